//! `kubectl ecr-clean apply`: carries out exactly one plan, after looking again.

mod screen;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use kubeguard_core::access::Environment;
use kubeguard_core::ecr::apply::{
    AnyLease, Apply, ClusterLease, Demands, FileLease, Fresh, Journal, Past, Progress as Applying, calls,
};
use kubeguard_core::ecr::clusters::Clusters;
use kubeguard_core::ecr::plan::Plan;
use kubeguard_core::ecr::planning::KeptImage;
use kubeguard_core::ecr::registry::Registry as _;
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::error::{Error, Result};

use super::args::{Args, AwsArgs, SourceArgs};
use super::evidence::{self, Evidence};
use super::files::{self, StateFolder};
use super::progress::Progress;
use super::{TOOL, metrics, registry, usage};
use crate::exit::ExitCode;
use crate::terminal::Terminal;

/// What is done instead of applying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DryRun {
    /// Print the calls that the plan comes to, without asking anybody
    Client,
    /// Look again as an apply does, and print the calls that it would make
    Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    /// The plan
    #[arg(value_name = "PLAN", default_value = "plan.json")]
    pub(super) plan: PathBuf,
    /// The policy as it is now: one that differs from the plan's ends the run
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,
    /// Folder for what earlier plans saw [default: the user's own, by registry]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Where every call is written down before it is made [default: journal-PLAN.ndjson beside the plan]
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// Hash that the plan must have, as it was approved
    #[arg(long, value_name = "HEX")]
    pub(super) sha256: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Change nothing, and print the calls
    #[arg(long, value_name = "WHERE", value_enum)]
    pub(super) dry_run: Option<DryRun>,
    /// Write metrics for Prometheus into this file
    #[arg(long, value_name = "FILE")]
    pub(super) metrics_file: Option<PathBuf>,
    /// How the answer is written
    #[arg(short, long, value_parser = ["table", "wide", "json", "yaml", "name"], default_value = "table", value_name = "FORMAT")]
    pub(super) output: String,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
}

/// Carries out a plan.
pub(super) async fn run(args: &Args, asked: &ApplyArgs, terminal: Terminal) -> Result<ExitCode> {
    let plan = files::plan(&asked.plan)?;
    if asked.dry_run == Some(DryRun::Client) {
        return print_calls(&plan, asked, terminal);
    }
    let salt = args.salt_file.as_deref().map(files::salt).transpose()?;
    let given = asked.policy.as_deref().map(files::policy).transpose()?;
    let given = given.map(|policy| policy.hash());
    let declared = asked.source.clusters.is_some().then(|| evidence::clusters(&asked.source, false)).transpose()?;
    let clusters = match &declared {
        Some(declared) => declared.clone(),
        None => Clusters::of(&plan)?,
    };
    evidence::usable(&asked.source.inventory)?;
    let keep_lists = keep_lists(&plan, asked)?;
    let own = &plan.registry;
    let ecr = registry::connect(&asked.aws, Some(own.account.clone()), Some(own.region.clone())).await?;
    let folder = StateFolder::new(asked.state.as_deref(), own)?;
    let state = folder.read(own)?;
    let (hosts, manifests, tombstones) = (plan.policy.hosts(), folder.manifests(), folder.tombstones());
    let evidence = Evidence { access: &args.access, scan: &plan.policy.scan, hosts: &hosts, terminal };
    let now = || ecr.now().unwrap_or_else(Timestamp::now);
    let recorded = Mutex::new(CleanState::new(own.clone(), plan.created_at));
    let fresh = Fresh::new(&plan.policy, &clusters, state.as_ref(), &keep_lists, TOOL, || async {
        let answers = evidence.answers(&clusters, &asked.source, now()).await?;
        let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
        for inventory in answers.iter().filter_map(|answer| answer.inventory.as_ref().ok()) {
            recorded.record_uses(inventory, Some(&plan.policy));
        }
        Ok(answers)
    });
    let fresh = fresh.with_salt(salt.as_ref());
    let asks = asked.dry_run.is_none() && !asked.yes && Terminal::can_ask();
    if asks && !screen::confirmed(&plan, &asked.plan, terminal) {
        terminal.say("nothing was done");
        return Ok(ExitCode::Interrupted);
    }
    // Not before: a line that is redrawn would be drawn over the question.
    let progress = Progress::new(terminal, Some(&ecr));
    let apply = Apply {
        plan: &plan,
        demands: Demands {
            sha256: asked.sha256.as_deref(),
            policy_sha256: given.as_deref(),
            clusters: declared.as_ref(),
            tombstones: plan.policy.apply.tombstones.then_some(tombstones.as_path()),
        },
        registry: &ecr,
        evidence: &fresh,
        manifests: &manifests,
        clock: &Timestamp::now,
        pause: &|time| Box::pin(pause(time)),
        interrupted: &is_to_end,
        progress: &|step| tell(&progress, &step),
    };
    let journal = asked.journal.clone().unwrap_or_else(|| asked.plan.with_file_name(Journal::name(&plan.sha256)));
    let mut written = Ok(());
    let applied = if asked.dry_run.is_some() {
        let applied = apply.rehearse(Past::default()).await;
        drop(progress);
        applied?
    } else {
        let lease = lease(args, &plan, &folder).await?;
        let Some((open, past)) = Journal::open(&journal, &plan.sha256)? else {
            drop(progress);
            terminal.complain(&format!("LeaseHeld: another process writes {} now", journal.display()));
            return Ok(ExitCode::Unprovable);
        };
        let applied = apply.run(open, past, &lease).await;
        drop(progress);
        if std::fs::metadata(&journal).is_ok_and(|journal| journal.len() == 0) {
            // It was turned away before it began, and has nothing to tell.
            drop(std::fs::remove_file(&journal));
        }
        let applied = applied?;
        let uses = recorded.into_inner().unwrap_or_else(PoisonError::into_inner);
        let record = |mut known: CleanState| {
            known.merge_uses(&uses);
            known.after_apply(&applied)
        };
        written = folder.update(own, applied.ended_at, terminal, record).await;
        applied
    };
    if let Some(file) = &asked.metrics_file {
        metrics::of_apply(file, &applied)?;
    }
    match asked.output.as_str() {
        "json" => drop(terminal.answer(&files::pretty(&applied)?)),
        "yaml" => drop(terminal.answer(&files::yaml(&applied)?)),
        "name" => drop(terminal.answer(&screen::names(&applied))),
        _ => {
            let told = screen::applied(&plan, &applied, &journal, asked.output == "wide", terminal.colour());
            terminal.answer(&told);
        }
    }
    // What was done is told first.
    written?;
    Ok(ExitCode::of(applied.exit_code))
}

/// Tells how far it is.
fn tell(progress: &Progress, step: &Applying<'_>) {
    if let Applying::Waiting { operation, because } = step {
        tracing::info!(operation, because, "slower");
    }
    progress.applying(step);
}

/// Reads the keep lists and scans that the plan's policy names, before anything is asked.
///
/// # Errors
/// When one cannot be read; without `--policy` nobody knows the folder that its paths are relative to.
fn keep_lists(plan: &Plan, asked: &ApplyArgs) -> Result<Vec<KeptImage>> {
    let read = |file| files::keep_lists(&plan.policy, file, Timestamp::now());
    let Some(policy) = &asked.policy else {
        return read(&asked.plan).map_err(|error| match error {
            Error::Io { file, source, .. } => usage(
                format!("the keep list or scan {file} of the plan's policy cannot be read beside the plan: {source}"),
                "give --policy FILE: its lists lie beside it; without it they are looked for beside the plan",
            ),
            other => other,
        });
    };
    read(policy)
}

/// Prints what the plan comes to when nothing has changed since.
fn print_calls(plan: &Plan, asked: &ApplyArgs, terminal: Terminal) -> Result<ExitCode> {
    let altered = plan.is_altered() || asked.sha256.as_ref().is_some_and(|wanted| *wanted != plan.sha256);
    if altered {
        terminal.complain("PlanAltered: the plan is not what its hash says, or not the one that was asked for");
        return Ok(ExitCode::Unprovable);
    }
    let calls = calls(plan);
    terminal.answer(&match asked.output.as_str() {
        "json" => files::pretty(&calls)?,
        "yaml" => files::yaml(&calls)?,
        _ => screen::calls(&calls),
    });
    Ok(ExitCode::Yes)
}

/// Names the lease of the policy: a Lease of a cluster, else a lock file beside the state.
async fn lease(args: &Args, plan: &Plan, folder: &StateFolder) -> Result<AnyLease> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let holder = format!("{host}/{}/{}", std::process::id(), Timestamp::now().as_microsecond());
    Ok(match &plan.policy.lease {
        None => AnyLease::File(FileLease::new(folder.lock()?, &host, &holder, Timestamp::now)),
        Some(place) => {
            let cluster = args.access.of(Some(&place.context)).connect(&Environment::of_process()).await?;
            let client = cluster.client();
            let lease = ClusterLease::new(client, &place.namespace, &plan.registry, &holder, Timestamp::now);
            AnyLease::Cluster(Box::new(lease))
        }
    })
}

/// Waits, but not beyond an interruption.
async fn pause(time: Duration) {
    let step = Duration::from_millis(100);
    let end = tokio::time::Instant::now() + time;
    while !is_to_end() && tokio::time::Instant::now() < end {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        tokio::time::sleep(step.min(left)).await;
    }
}

static END: AtomicBool = AtomicBool::new(false);

/// Lets a run end after its call in flight.
pub(super) fn end_soon() {
    END.store(true, Ordering::Relaxed);
}

fn is_to_end() -> bool {
    END.load(Ordering::Relaxed)
}
