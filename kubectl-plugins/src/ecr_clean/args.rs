//! Flags of `kubectl ecr-clean`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use kubeguard_core::access::Access;

use super::apply::ApplyArgs;
use super::explain::ExplainArgs;
use super::iam::IamArgs;
use super::inventory::InventoryArgs;
use super::lint::LintArgs;
use super::plan::PlanArgs;
use super::report::ReportArgs;
use super::restore::RestoreArgs;
use super::verify::VerifyArgs;
use super::{BINARY, NAME};
use crate::cli::ChatterArgs;
use crate::duration::parse_limit;

/// Free an ECR registry of images that no cluster needs, and prove why every other one stays
///
/// A plan is made from what every declared cluster names, from one look at the registry, and from a policy. One vote
/// keeps an image; where somebody who must answer has not answered, nothing may go.
#[derive(Debug, Parser)]
#[command(name = BINARY, bin_name = NAME, version)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) access: ClusterAccess,
    /// File with the salt that hides the names in hashed inventories: 16 bytes or more
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) salt_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) chatter: ChatterArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List every image that clusters name, a file for each cluster
    Inventory(InventoryArgs),
    /// Plan what would go, and say why the rest stays
    Plan(PlanArgs),
    /// Say what keeps an image of a plan, or why it may go
    Explain(ExplainArgs),
    /// Carry out exactly one plan, after looking again
    ///
    /// Usage and registry are read anew, and only what both answers let go is touched. Each call is written into the
    /// journal before it is made; the same command again goes on where a run has ended. On a terminal it asks first.
    Apply(ApplyArgs),
    /// Check that every image in use is there, can be pulled, and runs on the nodes
    Verify(VerifyArgs),
    /// Take archived images back
    Restore(RestoreArgs),
    /// Find lifecycle rules of AWS that would remove or archive what is in use
    ///
    /// AWS' own preview of every lifecycle policy is held against what clusters use, what a rollback and what a standby
    /// need. Nothing is changed.
    Lint(LintArgs),
    /// Tell sizes and costs, what would be freed, and what one kind of vote alone keeps
    ///
    /// Layers are shared, so sizes are added up by unique layers. For that the manifest of every image is read once in its
    /// life, which counts as a pull.
    Report(ReportArgs),
    /// Print the least IAM policies: one to plan, one to apply, one to lint
    Iam(IamArgs),
}

/// How clusters are reached; which ones, `--clusters` or `--context` say.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Access")]
pub(super) struct ClusterAccess {
    /// Path to the kubeconfig file to use
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,
    /// User to act as
    #[arg(long = "as", value_name = "USER", global = true)]
    impersonate: Option<String>,
    /// Group to act as, repeatable
    #[arg(long = "as-group", value_name = "GROUP", global = true)]
    impersonate_groups: Vec<String>,
    /// Time that one request may take: 30s, bare seconds, or 0 for no limit
    #[arg(long, value_name = "DURATION", default_value = "60s", global = true, value_parser = parse_limit)]
    request_timeout: Duration,
}

impl ClusterAccess {
    /// Returns what the library connects with to a context; the current one where none is named.
    pub(super) fn of(&self, context: Option<&str>) -> Access {
        Access {
            kubeconfig: self.kubeconfig.clone(),
            context: context.map(ToOwned::to_owned),
            impersonate: self.impersonate.clone(),
            impersonate_groups: self.impersonate_groups.clone(),
            request_timeout: Some(self.request_timeout).filter(|limit| !limit.is_zero()),
            user_agent: format!("{BINARY}/{}", env!("CARGO_PKG_VERSION")),
            ..Access::default()
        }
    }
}

/// Which clusters must answer.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Clusters")]
pub(super) struct SourceArgs {
    /// File that declares every cluster that must answer
    #[arg(long, value_name = "FILE")]
    pub(super) clusters: Option<PathBuf>,
    /// Context of a cluster to read, repeatable
    #[arg(long, value_name = "NAME")]
    pub(super) context: Vec<String>,
    /// Inventory file of a cluster, repeatable
    #[arg(long, value_name = "FILE")]
    pub(super) inventory: Vec<PathBuf>,
}

/// Which registry, and who is asking.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Registry")]
pub(super) struct AwsArgs {
    /// Account of the registry [default: the policy's, else the caller's own]
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) registry: Option<String>,
    /// Region [default: the policy's, else that of the environment or profile]
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Profile of the AWS configuration
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// Address that answers for ECR [default: that of the AWS configuration]
    #[arg(long, value_name = "URL")]
    pub(super) endpoint_url: Option<String>,
}
