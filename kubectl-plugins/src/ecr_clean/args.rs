//! Flags of `kubectl ecr-clean`.

use std::collections::BTreeMap;
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
use super::rbac::RbacArgs;
use super::report::ReportArgs;
use super::restore::RestoreArgs;
use super::verify::VerifyArgs;
use super::{BINARY, NAME};
use crate::cli::{ChatterArgs, pair};
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
    /// Print the least rights in a cluster, and a CronJob that takes its inventory
    Rbac(RbacArgs),
}

/// How clusters are reached; which ones, `--clusters` or `--context` say.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Access")]
pub(super) struct ClusterAccess {
    /// Path to the kubeconfig file to use
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,
    /// Name of the kubeconfig user to use for every cluster
    #[arg(long, value_name = "NAME", global = true)]
    user: Option<String>,
    /// Address and port of the API server, for one cluster alone
    #[arg(short, long, value_name = "URL", global = true)]
    server: Option<String>,
    /// Bearer token for the API servers
    #[arg(long, value_name = "TOKEN", global = true)]
    token: Option<String>,
    /// Path to a client certificate
    #[arg(long, value_name = "FILE", global = true)]
    client_certificate: Option<String>,
    /// Path to the client certificate's key
    #[arg(long, value_name = "FILE", global = true)]
    client_key: Option<String>,
    /// Path to the authorities that may sign the servers' certificates
    #[arg(long, value_name = "FILE", global = true)]
    certificate_authority: Option<String>,
    /// Do not check the servers' certificates
    #[arg(long, global = true)]
    insecure_skip_tls_verify: bool,
    /// Name that the servers' certificates must carry
    #[arg(long, value_name = "NAME", global = true)]
    tls_server_name: Option<String>,
    /// User to act as
    #[arg(long = "as", value_name = "USER", global = true)]
    impersonate: Option<String>,
    /// Uid to act as
    #[arg(long = "as-uid", value_name = "UID", global = true)]
    impersonate_uid: Option<String>,
    /// Group to act as, repeatable
    #[arg(long = "as-group", value_name = "GROUP", global = true)]
    impersonate_groups: Vec<String>,
    /// Extra attribute to act with, repeatable
    #[arg(long = "as-user-extra", value_name = "KEY=VALUE", global = true, value_parser = pair)]
    impersonate_extra: Vec<(String, String)>,
    /// Time that one request may take: 30s, bare seconds, or 0 for no limit
    #[arg(long, value_name = "DURATION", default_value = "60s", global = true, value_parser = parse_limit)]
    request_timeout: Duration,
    /// Do not ask for compressed answers
    #[arg(long, global = true)]
    disable_compression: bool,
    /// Accepted for kubectl's sake; nothing is cached on disk
    #[arg(long, value_name = "DIR", global = true, hide = true)]
    cache_dir: Option<PathBuf>,
}

impl ClusterAccess {
    /// Returns what the library connects with to a context; the current one where none is named.
    pub(super) fn of(&self, context: Option<&str>) -> Access {
        let mut impersonate_extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in &self.impersonate_extra {
            impersonate_extra.entry(key.clone()).or_default().push(value.clone());
        }
        Access {
            kubeconfig: self.kubeconfig.clone(),
            context: context.map(ToOwned::to_owned),
            cluster: None,
            user: self.user.clone(),
            server: self.server.clone(),
            token: self.token.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
            certificate_authority: self.certificate_authority.clone(),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify,
            tls_server_name: self.tls_server_name.clone(),
            impersonate: self.impersonate.clone(),
            impersonate_uid: self.impersonate_uid.clone(),
            impersonate_groups: self.impersonate_groups.clone(),
            impersonate_extra,
            request_timeout: Some(self.request_timeout).filter(|limit| !limit.is_zero()),
            disable_compression: self.disable_compression,
            user_agent: format!("{BINARY}/{}", env!("CARGO_PKG_VERSION")),
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
