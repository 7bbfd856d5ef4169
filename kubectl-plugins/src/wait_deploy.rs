//! `kubectl wait-deploy`: has it rolled out, and how do we know?

mod args;
mod complete;
mod input;
mod rbac;
mod reasons;
mod rules;

use std::io::BufReader;
use std::path::PathBuf;
use std::time::Instant;

use clap::{CommandFactory, Parser, Subcommand};
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::access::{Cluster, Environment};
use kubeguard_core::error::{Error, Failure, Result};
use kubeguard_core::wait::live::Wait;
use kubeguard_core::wait::object::Object;
use kubeguard_core::wait::offline;
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::preflight;
use kubeguard_core::wait::record::Target;
use kubeguard_core::wait::recording::{Replay, Update};
use kubeguard_core::wait::report::{Ended, WaitReport};

use self::args::WaitArgs;
pub use self::complete::complete;
use crate::cli::{AccessArgs, ChatterArgs, ScopeArgs};
use crate::duration;
use crate::exit::ExitCode;
use crate::live::{Moment, Progress};
use crate::output::{Format, Show, not_judged};
use crate::start;
use crate::terminal::Terminal;

const NAME: &str = "kubectl wait-deploy";
const BINARY: &str = "kubectl-wait_deploy";
const EXAMPLES: &str = "Examples:
  kubectl apply -f app.yaml -o json | kubectl wait-deploy -f -   wait for what was just applied
  kubectl wait-deploy deploy/web sts/db -n team                  wait for two objects
  kubectl wait-deploy deploy -A -l team=shop --timeout 5m        wait for every Deployment of a team
  kubectl wait-deploy kafka/main --once -o json                  judge a custom resource now
  kubectl wait-deploy -f snapshot.yaml --offline --explain       judge a file, contact nothing";

/// Wait until objects have rolled out, and say why when they cannot
///
/// Judges Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, Pods, Services, PersistentVolumeClaims,
/// Namespaces, CustomResourceDefinitions, APIServices and every custom resource. Ties each answer to the spec that was
/// applied, fails early with the cause, and never believes a status that belongs to an older spec.
#[derive(Debug, Parser)]
#[command(name = BINARY, bin_name = NAME, version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// TYPE/NAME…, TYPE NAME…, or TYPE[,TYPE] with a selector; a label selector alone means objects of every kind
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    wait: WaitArgs,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    output: Format,
    /// Show the rule that decided, the fields it read and what would change the verdict
    #[arg(long, help_heading = "Output")]
    explain: bool,
    #[command(flatten)]
    chatter: ChatterArgs,
    #[command(flatten)]
    access: AccessArgs,
}

impl Args {
    /// Returns whether the report tells its rules: for the block of `--explain`, or for the column of `-o wide`.
    fn explains(&self) -> bool {
        self.explain || self.output == Format::Wide
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List every reason with its class, hold times, remedy and explanation
    Reasons {
        /// Write JSON instead of a table
        #[arg(short, long, value_parser = ["table", "json"], default_value = "table", value_name = "FORMAT")]
        output: String,
    },
    /// Print the completion script of a shell, for this command under its own name
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// List the rules for custom resources, or run a file with rules over objects
    Rules(RulesArgs),
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
struct RulesArgs {
    #[command(subcommand)]
    command: Option<RulesCommand>,
    /// Write JSON instead of a table
    #[arg(short, long, value_parser = ["table", "json"], default_value = "table", value_name = "FORMAT")]
    output: String,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Judge the objects of files by a file with rules, and say which rule spoke for which object
    Test {
        /// File with rules
        #[arg(value_name = "RULES")]
        rules: PathBuf,
        /// File or folder with objects, or - for standard input; repeatable
        #[arg(short, long, value_name = "FILE", required = true)]
        filename: Vec<String>,
    },
}

/// Returns the command with its examples and exit codes.
#[must_use]
pub fn command() -> clap::Command {
    Args::command().after_help(format!("{}\n{EXAMPLES}", ExitCode::help()))
}

/// Runs the plugin with the arguments of this process.
#[must_use]
pub fn run() -> std::process::ExitCode {
    start::run(command(), |args: &Args| &args.chatter, answer)
}

async fn answer(args: &Args, terminal: Terminal) -> Result<u8> {
    if let Some(Command::Reasons { output }) = &args.command {
        terminal.answer(&if output == "json" { reasons::json() } else { reasons::table() });
        return Ok(ExitCode::Yes.code());
    }
    if let Some(Command::Completion { shell }) = &args.command {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut command(), BINARY, &mut script);
        terminal.answer(&String::from_utf8_lossy(&script));
        return Ok(ExitCode::Yes.code());
    }
    if let Some(Command::Rules(args)) = &args.command {
        let Some(RulesCommand::Test { rules, filename }) = &args.command else {
            terminal.answer(&if args.output == "json" { rules::json() } else { rules::table() });
            return Ok(ExitCode::Yes.code());
        };
        return rules::test(rules, filename, terminal);
    }
    let writer = args.output.writer(terminal.colour(), args.explain);
    if let Some(file) = &args.wait.replay {
        return replay(args, file, writer.as_ref(), terminal);
    }
    let policy = args.wait.policy()?;
    let named = input::Named::read(&args.objects, &args.scope)?;
    if args.wait.offline {
        let named = named.manifests(policy.rules.has_expressions());
        let report = judge_files(args, policy, named);
        return Ok(finish(&report, writer.as_ref(), terminal));
    }
    let cluster = args.access.access(BINARY).connect(&Environment::of_process()).await?;
    let targets = within(policy.timeout, &cluster, named.targets(&cluster, &args.scope, &args.wait)).await?;
    if args.wait.print_rbac {
        terminal.answer(&rbac::manifests(&targets, &policy));
        return Ok(ExitCode::Yes.code());
    }
    if !policy.once {
        within(policy.timeout, &cluster, preflight(&cluster, &targets, &policy)).await?;
    }
    live(args, policy, cluster, targets, writer.as_ref(), terminal).await
}

/// Gives up on a server that says nothing for as long as the whole wait may take.
async fn within<T>(
    timeout: Option<SignedDuration>,
    cluster: &Cluster,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(limit) = timeout.and_then(|timeout| std::time::Duration::try_from(timeout).ok()) else {
        return work.await;
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::Api {
            doing: "ask the server what it serves".to_owned(),
            failure: Failure::TimedOut(limit),
            server: cluster.server().to_owned(),
        })
    })
}

/// Judges files as they stand.
fn judge_files(args: &Args, policy: Policy, (objects, targets): (Vec<Object>, Vec<Target>)) -> WaitReport {
    let now = args.wait.now.unwrap_or_else(Timestamp::now);
    offline::judge_targets(objects, targets, policy, args.wait.optional.clone(), now).report(args.explains())
}

async fn live(
    args: &Args,
    policy: Policy,
    cluster: Cluster,
    targets: Vec<Target>,
    writer: &dyn Show,
    terminal: Terminal,
) -> Result<u8> {
    let mut progress = Progress::new(terminal, policy.timeout, Instant::now());
    let mut wait = Wait::new(cluster, targets, policy, Timestamp::now);
    if let Some(selector) = &args.wait.optional {
        wait = wait.optional(selector.clone());
    }
    if let Some(path) = &args.wait.record {
        let file = path.display().to_string();
        let to =
            std::fs::File::create(path).map_err(|source| Error::Io { doing: "write", file: file.clone(), source })?;
        let tool = format!("{BINARY}/{}", env!("CARGO_PKG_VERSION"));
        wait = wait.record(Box::new(to), &file, &tool, &arguments());
    }
    let mut stop = std::pin::pin!(start::interrupted());
    let ended = loop {
        tokio::select! {
            update = wait.next() => match update {
                Ok(Some(Update { time, changes })) => {
                    let lines: String = changes.iter().filter_map(|item| writer.change(time, item)).collect();
                    if !lines.is_empty() && !progress.aside(|| terminal.answer(&lines)) {
                        break Ok(());
                    }
                    let requests = wait.requests();
                    let at = Moment { time, now: Instant::now() };
                    progress.changed(at, &changes, || wait.items(), requests);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            },
            () = &mut stop => {
                progress.leave();
                break wait.interrupt();
            }
            () = tokio::time::sleep(progress.beats_in(Instant::now())) => {
                let at = Moment { time: Timestamp::now().saturating_add(wait.skew()).unwrap_or(Timestamp::MAX), now: Instant::now() };
                progress.beat(at, &wait.items(), wait.requests());
            }
        }
    };
    progress.end();
    ended?;
    if wait.skew().abs() > SignedDuration::from_secs(30) {
        terminal
            .say(&format!("warning: this machine's clock is {} off the server's", duration::human(wait.skew().abs())));
    }
    let Some(report) = wait.report(args.explains()) else { return Ok(ExitCode::NoAnswer.code()) };
    if let Some(contact) = wait.last_contact().filter(|_| report.ended == Ended::TimedOut) {
        let ago = Timestamp::now().duration_since(contact);
        if ago > SignedDuration::from_secs(60) {
            terminal.say(&format!("warning: last contact with the server {} ago", duration::human(ago)));
        }
    }
    Ok(finish(&report, writer, terminal))
}

/// Flags that a recording leaves out, with their values: where it lies is no part of what it shows, and a token opens
/// the cluster to whoever is handed the file.
const UNRECORDED: &[&str] = &["--record", "--token"];

/// Returns the arguments of this process, for readers of a recording.
fn arguments() -> Vec<String> {
    let mut all = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let mut kept = Vec::new();
    while let Some(argument) = all.next() {
        let (flag, value) =
            argument.split_once('=').map_or((argument.as_str(), None), |(flag, value)| (flag, Some(value)));
        if !UNRECORDED.contains(&flag) {
            kept.push(argument);
        } else if value.is_none() {
            all.next();
        }
    }
    kept
}

fn replay(args: &Args, path: &std::path::Path, writer: &dyn Show, terminal: Terminal) -> Result<u8> {
    let file = path.display().to_string();
    let from = std::fs::File::open(path).map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
    let own_rules = args.wait.own_rules()?;
    let mut replay = Replay::open(BufReader::new(from), &file, |policy| args.wait.lay_over(policy, own_rules))?;
    while let Some(Update { time, changes }) = replay.next_update()? {
        let lines: String = changes.iter().filter_map(|item| writer.change(time, item)).collect();
        if !lines.is_empty() && !terminal.answer(&lines) {
            break;
        }
    }
    for difference in replay.differences() {
        terminal.say(&format!("the rules have changed since: {difference}"));
    }
    if replay.is_cut() {
        terminal.say(&format!("warning: {file} was cut; this is judged from what is there"));
    }
    Ok(finish(&replay.report(args.explains()), writer, terminal))
}

fn finish(report: &WaitReport, writer: &dyn Show, terminal: Terminal) -> u8 {
    if !writer.tells_skipped() {
        for skipped in &report.skipped {
            terminal.say(&not_judged(skipped));
        }
    }
    terminal.answer(&writer.report(report));
    report.exit_code
}
