//! `kubectl ecr-clean plan`: what would go, what stays and why.

mod screen;

use std::path::PathBuf;

use jiff::Timestamp;
use kubeguard_core::ecr::plan::{Plan, RefusalReason};
use kubeguard_core::ecr::planning::{Inputs, plan};
use kubeguard_core::error::Result;

use super::args::{Args, AwsArgs, SourceArgs};
use super::evidence::{self, Evidence};
use super::files::StateFolder;
use super::registry::{Choice, connected, explain_digests, look};
use super::{TOOL, files, metrics};
use crate::exit::ExitCode;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// Policy: which repositories, what stays, how much may go at once
    #[arg(long, value_name = "FILE")]
    pub(super) policy: PathBuf,
    /// Folder for what earlier plans saw [default: the user's own, by registry]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Where the plan is written
    #[arg(long, value_name = "FILE", default_value = "plan.json")]
    pub(super) plan_file: PathBuf,
    /// Save what was seen of the registry
    #[arg(long, value_name = "FILE", conflicts_with = "registry_file")]
    pub(super) save_registry: Option<PathBuf>,
    /// Plan with a saved registry, without AWS; such a plan cannot be applied
    #[arg(long, value_name = "FILE")]
    pub(super) registry_file: Option<PathBuf>,
    /// The moment that counts as now [default: the registry's clock]
    #[arg(long, value_name = "RFC3339")]
    pub(super) now: Option<Timestamp>,
    /// Write metrics for Prometheus into this file
    #[arg(long, value_name = "FILE")]
    pub(super) metrics_file: Option<PathBuf>,
    /// How the answer is written; json is the plan file itself
    #[arg(short, long, value_parser = ["table", "wide", "json", "yaml", "name"], default_value = "table", value_name = "FORMAT")]
    pub(super) output: String,
    #[command(flatten)]
    pub(super) source: SourceArgs,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
}

/// Makes a plan and writes it.
pub(super) async fn run(args: &Args, asked: &PlanArgs, terminal: Terminal) -> Result<ExitCode> {
    let policy = files::policy(&asked.policy)?;
    let salt = args.salt_file.as_deref().map(files::salt).transpose()?;
    let clusters = evidence::clusters(&asked.source, false)?;
    // What is wrong with them is told before anything is asked; which lines count is known by the registry's clock.
    drop(files::keep_lists(&policy, &asked.policy, Timestamp::now())?);
    let saved = asked.registry_file.as_deref().map(files::registry).transpose()?;
    let offline = saved.is_some();
    let hosts = policy.hosts();
    let evidence = Evidence { access: &args.access, scan: &policy.scan, hosts: &hosts, terminal };
    let (mut registry, state, ecr) = if let Some(registry) = saved {
        let state = StateFolder::new(asked.state.as_deref(), &registry.registry)?;
        (registry, state, None)
    } else {
        let ecr = connected(&asked.aws, &policy).await?;
        let looked = look(ecr, asked.state.as_deref(), &policy, &Choice::EveryPattern, terminal).await?;
        (looked.snapshot, looked.state, Some(looked.ecr))
    };
    let now = asked.now.unwrap_or(registry.taken_at);
    let earlier = state.read(&registry.registry)?;
    let keep_lists = files::keep_lists(&policy, &asked.policy, now)?;
    let answers = evidence.answers(&clusters, &asked.source, now).await?;
    if let Some(ecr) = &ecr {
        explain_digests(ecr, &mut registry, &policy, &answers, &state.manifests(), terminal).await?;
    }
    let inputs = Inputs {
        policy: &policy,
        clusters: &clusters,
        answers: &answers,
        registry: &registry,
        state: earlier.as_ref(),
        keep_lists: &keep_lists,
        salt: salt.as_ref(),
        now,
        tool: TOOL,
        offline,
    };
    let plan = plan(&inputs);
    if let Some(file) = &asked.save_registry {
        files::write_json(file, &registry)?;
    }
    files::write_json(&asked.plan_file, &plan)?;
    if let Some(file) = &asked.metrics_file {
        metrics::of_plan(file, &plan)?;
    }
    if !offline {
        // Others may have recorded something since it was read.
        state.update(&registry.registry, now, terminal, |known| known.after(&plan, &inputs)).await?;
    }
    match asked.output.as_str() {
        "json" => drop(terminal.answer_json(&plan)),
        "yaml" => drop(terminal.answer(&files::yaml(&plan)?)),
        "name" => drop(terminal.answer(&screen::names(&plan))),
        _ => {
            let told = screen::plan(&plan, &asked.plan_file, asked.output == "wide", terminal.colour());
            terminal.answer(&told);
        }
    }
    Ok(code(&plan))
}

/// Returns the exit code of a plan: evidence that is missing weighs more than a repository that cannot be read.
fn code(plan: &Plan) -> ExitCode {
    let reasons: Vec<RefusalReason> = plan.refused.iter().map(|refused| refused.reason).collect();
    if reasons.iter().any(|reason| !reason.is_unreadable()) {
        ExitCode::Unprovable
    } else if reasons.is_empty() {
        ExitCode::Yes
    } else {
        ExitCode::Partly
    }
}
