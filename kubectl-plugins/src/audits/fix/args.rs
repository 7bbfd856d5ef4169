//! Flags of `--fix`.

use std::time::Duration;

use clap::ValueEnum;
use kubeguard_core::audit::jobs::fix::{DryRun, Fix};

use crate::duration::parse_limit;

/// What `kubectl zombie-jobs --help` says at its end.
pub(in crate::audits) const HELP: &str = "Examples:
  # Which jobs of all namespaces will never end, and why
  kubectl zombie-jobs -A
  # What asking their sidecars to quit would do and lead to; nothing is sent
  kubectl zombie-jobs -n etl --fix quit --dry-run=client
  # Ask the sidecars of one job, without a question
  kubectl zombie-jobs -n etl --fix quit --yes job/load-7
  # Delete what is stuck, three jobs at most
  kubectl zombie-jobs -n etl --fix delete --max 3
  # Tell what is new and what has ended, every ten seconds
  kubectl zombie-jobs -A --watch=10s
  # Which sidecars there are, and what can become native today
  kubectl zombie-jobs sidecars -A

A pod is never deleted: its work would run again.

Exit codes:
  0    nothing at or above --fail-on; with --fix: all done, or nothing to do
  1    findings at or above --fail-on
  2    no answer: wrong usage, cluster cannot be reached, no permission, unreadable file
  4    with --fix: something has changed since it was read, and was left alone
  5    with --fix: something was refused as unsafe or unprovable, or is beyond --max
  6    partly: some rules could not be judged, the others found nothing; with --fix: something failed
  130  interrupted, or answered with no
";

/// What to do about jobs that hang.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Fix")]
pub(in crate::audits) struct FixArgs {
    /// End what hangs; asks before it does
    #[arg(long, value_name = "HOW", value_enum)]
    fix: Option<How>,
    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,
    /// Change nothing
    #[arg(long, value_name = "WHERE", value_enum)]
    dry_run: Option<Where>,
    /// At most so many acts; what is beyond that is refused
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) max: usize,
    /// How long what follows an act is watched: 90s, bare seconds, or 0 for one look
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_limit)]
    pub(super) timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Ask sidecars that hold finished work to quit, through the API's port-forward
    Quit,
    /// Delete jobs that are stuck, with their pods; the record of the run is lost
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    /// Send nothing
    Client,
    /// Read everything again and ask the server
    Server,
}

impl FixArgs {
    /// Returns whether any of them was given.
    pub(in crate::audits) fn is_asked(&self) -> bool {
        self.fix.is_some() || self.yes || self.dry_run.is_some()
    }

    pub(super) fn fix(&self) -> Option<Fix> {
        self.fix.map(|how| match how {
            How::Quit => Fix::Quit,
            How::Delete => Fix::Delete,
        })
    }

    pub(super) fn dry_run(&self) -> Option<DryRun> {
        self.dry_run.map(|at| match at {
            Where::Client => DryRun::Client,
            Where::Server => DryRun::Server,
        })
    }
}
