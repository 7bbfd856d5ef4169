//! `kubectl ecr-clean`: which images of an ECR registry no cluster needs, and why the others stay.

mod apply;
mod args;
mod evidence;
mod explain;
mod files;
mod iam;
mod inventory;
mod judgement;
mod lint;
mod metrics;
mod plan;
mod progress;
mod rbac;
mod registry;
mod report;
mod restore;
mod screens;
mod state;
mod verify;

use clap::CommandFactory;
use kubeguard_core::error::{Error, Result};

use crate::exit::ExitCode;
use crate::start;
use crate::terminal::Terminal;
use args::{Args, Command};

/// What users type.
const NAME: &str = "kubectl ecr-clean";
/// The program, as servers see it.
const BINARY: &str = "kubectl-ecr_clean";
/// What files name as their author.
const TOOL: &str = concat!("kubeguard ", env!("CARGO_PKG_VERSION"));

const EXIT_CODES: &str = "Exit codes:
  0    plan made, nothing refused; everything done or already gone; inventories complete; answered
  1    findings of verify or lint; the image is not in the registry, or not archived
  2    no answer: wrong usage, unreadable file, cluster or registry cannot be reached
  3    not active yet when --wait was over
  4    changed since the plan: what is in use, changed or kept now was left alone
  5    refused as unprovable: an inventory is missing, incomplete or stale; plan altered or expired; a cap is exceeded
  6    partly: some items failed or some repositories could not be read, the others are done
  130  interrupted
";
const EXAMPLES: &str = "Examples:
  # What two clusters need, a file each
  kubectl ecr-clean inventory --context prod-eu --context prod-us
  # What would go, and why an image stays
  kubectl ecr-clean plan --clusters clusters.yaml --policy policy.yaml
  kubectl ecr-clean explain app:v2
  # Look again and print the calls; then carry out exactly the plan that was approved
  kubectl ecr-clean apply plan.json --dry-run=server
  kubectl ecr-clean apply plan.json --sha256 7f3a9c…
  # Is everything in use there, and can it be pulled?
  kubectl ecr-clean verify --clusters clusters.yaml
  # Take an archived image back
  kubectl ecr-clean restore app:v4 --wait 20m
  # What would AWS' own lifecycle rules take away, what does the registry cost, who needs which rights?
  kubectl ecr-clean lint --clusters clusters.yaml
  kubectl ecr-clean report --clusters clusters.yaml --policy policy.yaml
  kubectl ecr-clean iam apply --policy policy.yaml
";

/// Returns the command with its examples and exit codes.
#[must_use]
pub fn command() -> clap::Command {
    Args::command().after_help(format!("{EXIT_CODES}\n{EXAMPLES}"))
}

/// Runs the plugin with the arguments of this process.
#[must_use]
pub fn run() -> std::process::ExitCode {
    start::run(
        command(),
        |args: &Args| &args.chatter,
        async |args, terminal| {
            tokio::select! {
                answer = answer(args, terminal) => answer,
                () = end(args, terminal) => Ok(ExitCode::Interrupted),
            }
        },
    )
}

/// Waits until somebody wants the command to end. An apply finishes its call in flight, and ends at once when it is
/// asked again: what it did is in its journal.
async fn end(args: &Args, terminal: Terminal) {
    start::interrupted().await;
    if matches!(args.command, Command::Apply(_)) {
        apply::end_soon();
        terminal.say("ending after the call in flight; once more ends at once");
        start::interrupted().await;
    }
}

async fn answer(args: &Args, terminal: Terminal) -> Result<ExitCode> {
    match &args.command {
        Command::Inventory(asked) => inventory::run(args, asked, terminal).await,
        Command::Plan(asked) => plan::run(args, asked, terminal).await,
        Command::Explain(asked) => explain::run(args, asked, terminal).await,
        Command::Apply(asked) => Box::pin(apply::run(args, asked, terminal)).await,
        Command::Verify(asked) => verify::run(args, asked, terminal).await,
        Command::Restore(asked) => restore::run(args, asked, terminal).await,
        Command::Lint(asked) => lint::run(args, asked, terminal).await,
        Command::Report(asked) => Box::pin(report::run(args, asked, terminal)).await,
        Command::Iam(asked) => iam::run(asked, terminal).await,
        Command::Rbac(asked) => rbac::run(args, asked, terminal).await,
    }
}

fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Configuration { problem: problem.into(), hint: hint.into(), source: None }
}
