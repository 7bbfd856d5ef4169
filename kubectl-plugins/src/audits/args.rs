//! Flags of the audits.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use kubeguard_core::audit::baseline::Baseline;
use kubeguard_core::audit::facts::Version;
use kubeguard_core::audit::snapshot::Keep;
use kubeguard_core::audit::suppress::IgnoreList;
use kubeguard_core::audit::{FIELDS, Policy, rules, thresholds};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::selector::FieldSelector;
use kubeguard_core::models::measurements::Measurements;
use kubeguard_core::models::thresholds::Thresholds;

use super::fix::FixArgs;
use super::sidecars::SidecarsArgs;
use super::watch::WatchArgs;
use super::{sidecar_table, usage};
use crate::cli::{AccessArgs, AuditArgs, ChatterArgs};
use crate::guard::policy::PolicyArgs;

/// Find jobs that will never end: which container holds them, since when, what it costs, and what ends them well
#[derive(Debug, Parser)]
#[command(name = "kubectl-zombie_jobs", bin_name = "kubectl zombie-jobs", version)]
#[command(args_conflicts_with_subcommands = true, after_help = super::fix::HELP)]
pub(super) struct ZombieJobs {
    #[command(subcommand)]
    pub(super) command: Option<ZombieCommand>,
    #[command(flatten)]
    pub(super) audit: AuditCommandArgs,
    #[command(flatten)]
    pub(super) fix: FixArgs,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
    #[command(flatten)]
    pub(super) chatter: ChatterArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum ZombieCommand {
    /// List the sidecars of all jobs: what ends them, which jobs will hang, what can become native today
    Sidecars(SidecarsArgs),
}

/// Find probes that are wrong, and pods that they keep from serving
#[derive(Debug, Parser)]
#[command(name = "kubectl-probe_audit", bin_name = "kubectl probe-audit", version)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ProbeAudit {
    #[command(subcommand)]
    pub(super) command: Option<ProbeCommand>,
    #[command(flatten)]
    pub(super) audit: AuditCommandArgs,
    #[command(flatten)]
    pub(super) chatter: ChatterArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProbeCommand {
    /// Rank images by what falls when their containers fall
    Blast(super::blast::BlastArgs),
    /// Tell what happens second by second when a container crashes, hangs, starts slowly or loses what it depends on
    Timeline(super::timeline::TimelineArgs),
    /// Write probes from ports, services and observed starts, each number with its reason
    Suggest(super::suggest::SuggestArgs),
}

/// Guard a cluster against the ways to blow it up
#[derive(Debug, Parser)]
#[command(name = "kubectl-guard", bin_name = "kubectl guard", version)]
pub(super) struct Guard {
    #[command(subcommand)]
    pub(super) command: GuardCommand,
    #[command(flatten)]
    pub(super) chatter: ChatterArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum GuardCommand {
    /// Judge a cluster, files or a snapshot by every rule
    Audit(Box<AuditCommandArgs>),
    /// List the rules, or tell one: what, why, how to fix, which false alarms it avoids
    Rules(RulesArgs),
    /// Write what the rules read into a file that is judged later, or elsewhere
    Snapshot(Box<SnapshotArgs>),
    /// Print admission policies, quotas and roles that keep a cluster away from what the rules find
    Policy(PolicyArgs),
    /// Ask what a rollout does to its clients
    #[command(subcommand)]
    Rollout(crate::guard::rollout::RolloutCommand),
}

#[derive(Debug, clap::Args)]
pub(super) struct RulesArgs {
    /// Id of a rule, or what ids begin with
    #[arg(value_name = "ID")]
    pub(super) id: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct SnapshotArgs {
    /// The file; compressed where its name ends in .gz
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// Only this namespace [default: all]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// All namespaces, as without -n
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(super) all_namespaces: bool,
    /// Only what these rules read: ids, or what ids begin with; repeatable
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(super) select: Vec<String>,
    /// Keep what is left out otherwise; repeatable
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    keep: Vec<Kept>,
    #[command(flatten)]
    pub(super) access: AccessArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kept {
    /// Data of Secrets
    Secrets,
    /// Environment values that look like secrets
    Env,
    /// Annotations with last-applied contents
    LastApplied,
}

impl SnapshotArgs {
    pub(super) fn keep(&self) -> Keep {
        let has = |kept| self.keep.contains(&kept);
        Keep { secrets: has(Kept::Secrets), env: has(Kept::Env), last_applied: has(Kept::LastApplied) }
    }
}

/// Where to look.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Scope")]
pub(super) struct AuditScopeArgs {
    /// Namespace; the context's where it is left out
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(super) all_namespaces: bool,
    /// Labels of what is judged, or of its pods, as in app=web; what is read beside it stays whole
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(super) selector: Option<String>,
    /// Fields of what is judged, as in metadata.namespace!=kube-system, or of pods, as in spec.nodeName=node-1
    #[arg(long, value_name = "SELECTOR", value_parser = FieldSelector::from_str)]
    pub(super) field_selector: Option<FieldSelector>,
    /// File, folder or address with manifests instead of a cluster, or - for standard input; repeatable
    #[arg(short, long, value_name = "FILE", conflicts_with = "snapshot")]
    pub(super) filename: Vec<String>,
    /// Read the folders of -f with their folders
    #[arg(short = 'R', long)]
    pub(super) recursive: bool,
    /// Folder with a kustomization instead of a cluster, built by kubectl
    #[arg(short = 'k', long, value_name = "DIR", conflicts_with = "snapshot")]
    pub(super) kustomize: Option<String>,
    /// Say that no cluster is meant; files and snapshots are judged as they stand anyway
    #[arg(long)]
    pub(super) offline: bool,
    /// Snapshot instead of a cluster, as `kubectl guard snapshot` writes it
    #[arg(long, value_name = "FILE")]
    pub(super) snapshot: Option<PathBuf>,
}

impl AuditScopeArgs {
    /// Returns whether manifests are judged.
    pub(super) fn is_of_files(&self) -> bool {
        !self.filename.is_empty() || self.kustomize.is_some()
    }

    /// Returns whether a cluster is judged.
    pub(super) fn is_of_cluster(&self) -> bool {
        self.snapshot.is_none() && !self.is_of_files()
    }

    /// Says to a policy what is judged.
    ///
    /// # Errors
    /// When a selector cannot be read.
    pub(super) fn narrow(&self, policy: &mut Policy) -> Result<()> {
        if let Some(selector) = &self.selector {
            policy.labels = selector.parse().map_err(|error| usage(format!("-l {selector:?}: {error}"), ""))?;
        }
        policy.fields = self.field_selector.clone().unwrap_or_default();
        if let Some(unknown) = policy.fields.paths().find(|path| !FIELDS.contains(path)) {
            return Err(usage(format!("--field-selector: no field {unknown:?} can be asked for"), FIELDS.join(", ")));
        }
        Ok(())
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct AuditCommandArgs {
    /// What is judged, with what it makes, as in deploy/web, cronjob/report, pod x; a bare name is a job for zombie-jobs [default: all]
    #[arg(value_name = "TYPE/NAME")]
    pub(super) names: Vec<String>,
    /// Rules that run: ids, or what ids begin with; repeatable
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(super) select: Vec<String>,
    /// Rules that do not run; repeatable
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(super) ignore: Vec<String>,
    /// File with findings that are suppressed, each with a reason
    #[arg(long, value_name = "FILE")]
    ignore_file: Option<PathBuf>,
    /// Earlier report in JSON, or fingerprints: only what is new is shown
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// File with sidecars beside the known ones
    #[arg(long, value_name = "FILE")]
    sidecar_table: Option<PathBuf>,
    /// File with thresholds of rules and hold times that differ: kind Policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// File with measured times, as `kubectl guard rollout settle --store` writes it
    #[arg(long, value_name = "FILE")]
    measurements: Option<PathBuf>,
    /// Version of Kubernetes that files are judged for [default: the newest known]
    #[arg(long, value_name = "X.Y", value_parser = version)]
    kube_version: Option<Version>,
    /// Print the smallest role that the rules need, and end
    #[arg(long)]
    pub(super) print_rbac: bool,
    /// The moment that counts as now [default: the server's clock, or the snapshot's]
    #[arg(long, value_name = "RFC3339")]
    pub(super) now: Option<Timestamp>,
    #[command(flatten)]
    pub(super) scope: AuditScopeArgs,
    #[command(flatten)]
    pub(super) audit: AuditArgs,
    #[command(flatten)]
    pub(super) access: AccessArgs,
}

pub(super) fn version(text: &str) -> std::result::Result<Version, String> {
    let wrong = || format!("{text:?} is no version, as in 1.36");
    let (major, minor) = text.trim_start_matches('v').split_once('.').ok_or_else(wrong)?;
    Ok((major.parse().map_err(|_| wrong())?, minor.parse().map_err(|_| wrong())?))
}

impl AuditCommandArgs {
    /// Returns what the rules are told.
    pub(super) fn policy(&self) -> Result<Policy> {
        let read = |path: &PathBuf| {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path);
            text.map(|text| (file.clone(), text)).map_err(|source| Error::Io { doing: "read", file, source })
        };
        let mut policy = Policy { kube_version: self.kube_version, ..Policy::default() };
        if let Some(path) = &self.sidecar_table {
            policy.sidecars = sidecar_table(path)?;
        }
        if let Some(path) = &self.policy {
            let (file, text) = read(path)?;
            (policy.thresholds, policy.holds) = Thresholds::parse(&file, &text, &thresholds())?;
        }
        if let Some(path) = &self.measurements {
            let (file, text) = read(path)?;
            policy.measurements = Some(Measurements::parse(&file, &text)?);
        }
        if let Some(path) = &self.ignore_file {
            let (file, text) = read(path)?;
            policy.ignore = IgnoreList::parse(&file, &text, rules()).map_err(|error| usage(error.to_string(), ""))?;
        }
        if let Some(path) = &self.baseline {
            let (file, text) = read(path)?;
            policy.baseline = Baseline::parse(&file, &text).map_err(|error| usage(error.to_string(), ""))?;
        }
        self.scope.narrow(&mut policy)?;
        Ok(policy)
    }
}
