//! Usage and registry, read anew and judged together, for the commands that make no plan of their own.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kubeguard_core::ecr::aws::Ecr;
use kubeguard_core::ecr::clusters::Clusters;
use kubeguard_core::ecr::plan::{Plan, RefusalReason};
use kubeguard_core::ecr::planning::{Answer, Inputs, KeptImage, plan, plan_explaining, plan_part};
use kubeguard_core::ecr::policy::{Pattern, Policy};
use kubeguard_core::ecr::snapshot::RegistrySnapshot;
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::error::Result;
use kubeguard_core::images::{Inventory, Salt};

use super::args::{Args, AwsArgs, SourceArgs};
use super::evidence::{self, Evidence};
use super::files;
use super::registry::{Choice, Looked, connected, explain_digests, look};
use super::{TOOL, usage};
use crate::exit::ExitCode;
use crate::terminal::Terminal;

/// Which usage and which repositories.
#[derive(Debug, clap::Args)]
pub(super) struct JudgementArgs {
    /// Policy whose rules, mirrors and scan settings hold [default: all repositories, no mirrors]
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,
    /// Only repositories that match, as in team/*; repeatable
    #[arg(long, value_name = "PATTERN")]
    pub(super) repository: Vec<String>,
    /// Folder for what earlier plans saw [default: the user's own, by registry]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// The moment that counts as now [default: the registry's clock]
    #[arg(long, value_name = "RFC3339")]
    pub(super) now: Option<Timestamp>,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
}

/// Everything that a judgement rests on.
pub(super) struct Judgement {
    pub(super) policy: Policy,
    pub(super) clusters: Clusters,
    pub(super) answers: Vec<Answer>,
    pub(super) ecr: Ecr,
    pub(super) registry: RegistrySnapshot,
    /// Every repository that the policy is for was looked at.
    whole: bool,
    pub(super) state: Option<CleanState>,
    keep_lists: Vec<KeptImage>,
    salt: Option<Salt>,
    pub(super) now: Timestamp,
}

impl JudgementArgs {
    /// Returns the policy that was named, else one that takes all repositories and lets nothing go.
    pub(super) fn policy(&self) -> Result<Policy> {
        match &self.policy {
            Some(path) => files::policy(path),
            None => everything(),
        }
    }

    /// Returns the patterns of the repositories that were named; none for all.
    fn only(&self) -> Result<Vec<Pattern>> {
        patterns(&self.repository)
    }

    /// Reads usage and registry.
    pub(super) async fn gather(&self, args: &Args, terminal: Terminal) -> Result<Judgement> {
        let (policy, only) = (self.policy()?, self.only()?);
        let salt = args.salt_file.as_deref().map(files::salt).transpose()?;
        let clusters = evidence::clusters(&self.source, false)?;
        let file = self.policy.as_deref().unwrap_or_else(|| Path::new(""));
        // What is wrong with them is told before anything is asked; which lines count is known by the registry's clock.
        drop(files::keep_lists(&policy, file, Timestamp::now())?);
        let whole = only.is_empty();
        let choice = match (self.policy.is_some(), only.is_empty()) {
            (_, false) => Choice::Only(only),
            (true, true) => Choice::EveryPattern,
            (false, true) => Choice::Any,
        };
        let Looked { ecr, snapshot: mut registry, state: folder } =
            look(connected(&self.aws, &policy).await?, self.state.as_deref(), &policy, &choice, terminal).await?;
        let now = self.now.unwrap_or(registry.taken_at);
        let state = folder.read(&registry.registry)?;
        let keep_lists = files::keep_lists(&policy, file, now)?;
        let hosts = policy.hosts();
        let evidence = Evidence { access: &args.access, scan: &policy.scan, hosts: &hosts, terminal };
        let answers = evidence.answers(&clusters, &self.source, now).await?;
        explain_digests(&ecr, &mut registry, &policy, &answers, &folder.manifests(), terminal).await?;
        Ok(Judgement { policy, clusters, answers, ecr, registry, whole, state, keep_lists, salt, now })
    }
}

impl Judgement {
    /// Judges every entry, as a plan does.
    pub(super) fn plan(&self) -> Plan {
        let make = if self.whole { plan } else { plan_part };
        make(&self.inputs())
    }

    /// Judges every entry, with every vote of those that an image names.
    pub(super) fn plan_explaining(&self, image: &str) -> Plan {
        plan_explaining(&self.inputs(), image)
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            policy: &self.policy,
            clusters: &self.clusters,
            answers: &self.answers,
            registry: &self.registry,
            state: self.state.as_ref(),
            keep_lists: &self.keep_lists,
            salt: self.salt.as_ref(),
            now: self.now,
            tool: TOOL,
            offline: false,
        }
    }

    /// Returns the inventories of the clusters that answered.
    pub(super) fn inventories(&self) -> Vec<&Inventory> {
        self.answers.iter().filter_map(|answer| answer.inventory.as_ref().ok()).collect()
    }
}

/// Returns the exit code of a judgement's gaps: usage that is not complete weighs more than a repository that cannot be
/// read. What only concerns deletion is no gap.
pub(super) fn gaps(plan: &Plan) -> ExitCode {
    let has = |of: fn(RefusalReason) -> bool| plan.refused.iter().any(|refused| of(refused.reason));
    if has(RefusalReason::is_missing_usage) {
        ExitCode::Unprovable
    } else if has(RefusalReason::is_unreadable) {
        ExitCode::Partly
    } else {
        ExitCode::Yes
    }
}

/// Reads the patterns of `--repository`.
pub(super) fn patterns(texts: &[String]) -> Result<Vec<Pattern>> {
    let wrong = |text: &String, problem| usage(format!("--repository {text:?}: {problem}"), "");
    texts.iter().map(|text| Pattern::new(text).map_err(|problem| wrong(text, problem))).collect()
}

/// A policy that takes every repository and lets nothing go.
pub(super) fn everything() -> Result<Policy> {
    Policy::parse(
        "the built-in policy",
        "apiVersion: kubeguard.dev/v1\nkind: CleanPolicy\nrules:\n- {name: all, repositories: [\"**\"], action: report}\n",
    )
}
