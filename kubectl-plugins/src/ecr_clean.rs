//! `kubectl ecr-clean`: which images of an ECR registry no cluster needs, and why the others stay.

mod args;
mod evidence;
mod explain;
mod files;
mod inventory;
mod plan;
mod registry;
mod screens;

use clap::{CommandFactory, FromArgMatches};
use kubeguard_core::error::{Error, Result};

use crate::exit::ExitCode;
use crate::explain::show;
use crate::terminal::Terminal;
use args::{Args, Command};

/// What users type.
const NAME: &str = "kubectl ecr-clean";
/// The program, as servers see it.
const BINARY: &str = "kubectl-ecr_clean";
/// What files name as their author.
const TOOL: &str = concat!("kubeguard ", env!("CARGO_PKG_VERSION"));

const EXIT_CODES: &str = "Exit codes:
  0    plan made, nothing refused; inventories complete; answered
  1    the image is not in the registry
  2    no answer: wrong usage, unreadable file, cluster or registry cannot be reached
  5    refused as unprovable: an inventory is missing, incomplete or stale; a cap is exceeded
  6    some repositories could not be read, the others are planned
  130  interrupted
";
const EXAMPLES: &str = "Examples:
  kubectl ecr-clean inventory --context prod-eu --context prod-us   # what two clusters need, a file each
  kubectl ecr-clean plan --clusters clusters.yaml --policy policy.yaml
  kubectl ecr-clean explain app:v2                                  # why an image of the last plan stays
  kubectl ecr-clean plan --inventory prod.json --policy policy.yaml --registry-file registry.json   # without AWS
";

/// Returns the command with its examples and exit codes.
#[must_use]
pub fn command() -> clap::Command {
    Args::command().after_help(format!("{EXIT_CODES}\n{EXAMPLES}"))
}

/// Runs the plugin with the arguments of this process.
#[must_use]
pub fn run() -> std::process::ExitCode {
    let args = match command().try_get_matches().and_then(|matches| Args::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => {
            drop(error.print());
            return u8::try_from(error.exit_code()).unwrap_or(ExitCode::NoAnswer.code()).into();
        }
    };
    args.chatter.start_logging();
    let terminal = Terminal::new(args.chatter.color, args.chatter.quiet, args.chatter.verbose > 0);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal.complain(&format!("error: cannot start: {error}"));
            return ExitCode::NoAnswer.into();
        }
    };
    let answer = runtime.block_on(async {
        tokio::select! {
            answer = answer(&args, terminal) => answer,
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::Interrupted),
        }
    });
    let code = answer.unwrap_or_else(|error| {
        show(terminal, &error);
        ExitCode::NoAnswer
    });
    runtime.shutdown_background();
    if Terminal::has_lost_an_answer() { ExitCode::NoAnswer.into() } else { code.into() }
}

async fn answer(args: &Args, terminal: Terminal) -> Result<ExitCode> {
    match &args.command {
        Command::Inventory(asked) => inventory::run(args, asked, terminal).await,
        Command::Plan(asked) => plan::run(args, asked, terminal).await,
        Command::Explain(asked) => explain::run(asked, terminal),
    }
}

fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Configuration { problem: problem.into(), hint: hint.into(), source: None }
}
