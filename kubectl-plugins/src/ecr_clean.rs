//! `kubectl ecr-clean`: which images of an ECR registry no cluster needs, and why the others stay.

mod args;
mod evidence;
mod files;
mod screens;

use clap::{CommandFactory, FromArgMatches};
use jiff::Timestamp;
use kubeguard_core::ecr::aws::AwsAccess;
use kubeguard_core::ecr::look::{Look, Progress, snapshot};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::plan::{Plan, RefusalReason};
use kubeguard_core::ecr::planning::{Inputs, plan};
use kubeguard_core::ecr::policy::{Assumption, Policy};
use kubeguard_core::ecr::registry::Registry as _;
use kubeguard_core::ecr::snapshot::{RegistrySnapshot, Repository};
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::error::{Error, Result};
use kubeguard_core::images::inventory::Scan;
use kubeguard_core::images::{HostMap, RegistryId};

use crate::exit::ExitCode;
use crate::explain;
use crate::terminal::Terminal;
use args::{Args, Command, ExplainArgs, InventoryArgs, PlanArgs};
use evidence::Evidence;
use files::StateFolder;

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
        explain::show(terminal, &error);
        ExitCode::NoAnswer
    });
    runtime.shutdown_background();
    if Terminal::has_lost_an_answer() { ExitCode::NoAnswer.into() } else { code.into() }
}

async fn answer(args: &Args, terminal: Terminal) -> Result<ExitCode> {
    match &args.command {
        Command::Inventory(inventory) => take_inventory(args, inventory, terminal).await,
        Command::Plan(plan) => make_plan(args, plan, terminal).await,
        Command::Explain(explain) => explain_image(explain, terminal),
    }
}

fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Configuration { problem: problem.into(), hint: hint.into(), source: None }
}

async fn take_inventory(args: &Args, asked: &InventoryArgs, terminal: Terminal) -> Result<ExitCode> {
    let policy = asked.policy.as_deref().map(files::policy).transpose()?;
    let (scan, hosts) = match &policy {
        Some(policy) => (policy.scan.clone(), policy.hosts()),
        None => (Scan::default(), HostMap::default()),
    };
    if !asked.filename.is_empty() {
        let inventory = evidence::of_files(asked, &scan, &hosts, asked.now.unwrap_or_else(Timestamp::now))?;
        return show_inventories(&[inventory], asked, terminal);
    }
    let clusters = evidence::clusters(&asked.source, true)?;
    let evidence = Evidence { access: &args.access, scan: &scan, hosts: &hosts, terminal };
    let mut inventories = Vec::new();
    let mut failed = false;
    for (name, inventory) in evidence.live(&clusters).await {
        match inventory {
            Ok(inventory) => inventories.push(inventory),
            Err(error) => {
                failed = true;
                terminal.complain(&format!("cluster {name}:"));
                explain::show(terminal, &error);
            }
        }
    }
    let code = show_inventories(&inventories, asked, terminal)?;
    Ok(if failed { ExitCode::NoAnswer } else { code })
}

fn show_inventories(
    inventories: &[kubeguard_core::images::Inventory],
    asked: &InventoryArgs,
    terminal: Terminal,
) -> Result<ExitCode> {
    if asked.output == "json" {
        for inventory in inventories {
            terminal.answer(&files::pretty(inventory)?);
        }
    } else {
        for inventory in inventories {
            let path = asked.dir.join(format!("{}.json", inventory.cluster));
            files::write(&path, &files::pretty(inventory)?)?;
            terminal.say(&format!("written: {}", path.display()));
        }
        terminal.answer(&screens::inventories(inventories, asked.output == "wide"));
    }
    let complete = inventories.iter().all(|inventory| inventory.complete);
    Ok(if complete { ExitCode::Yes } else { ExitCode::Unprovable })
}

async fn make_plan(args: &Args, asked: &PlanArgs, terminal: Terminal) -> Result<ExitCode> {
    let policy = files::policy(&asked.policy)?;
    let clusters = evidence::clusters(&asked.source, false)?;
    let saved = asked.registry_file.as_deref().map(files::registry).transpose()?;
    let offline = saved.is_some();
    let hosts = policy.hosts();
    let evidence = Evidence { access: &args.access, scan: &policy.scan, hosts: &hosts, terminal };
    let (registry, state) = if let Some(registry) = saved {
        let state = StateFolder::new(asked.state.as_deref(), &registry.registry)?;
        (registry, state)
    } else {
        look(asked, &policy, terminal).await?
    };
    let now = asked.now.unwrap_or(registry.taken_at);
    let earlier = state.read(&registry.registry)?;
    let keep_lists = files::keep_lists(&policy, &asked.policy, now)?;
    let answers = evidence.answers(&clusters, &asked.source, now).await?;
    let inputs = Inputs {
        policy: &policy,
        clusters: &clusters,
        answers: &answers,
        registry: &registry,
        state: earlier.as_ref(),
        keep_lists: &keep_lists,
        now,
        tool: TOOL,
        offline,
    };
    let plan = plan(&inputs);
    if let Some(file) = &asked.save_registry {
        files::write(file, &files::pretty(&registry)?)?;
    }
    let text = files::pretty(&plan)?;
    files::write(&asked.plan_file, &text)?;
    if !offline {
        let first = CleanState::new(registry.registry.clone(), now);
        state.write(&earlier.as_ref().unwrap_or(&first).after(&plan, &inputs))?;
    }
    match asked.output.as_str() {
        "json" => drop(terminal.answer(&text)),
        "name" => drop(terminal.answer(&screens::names(&plan))),
        _ => drop(terminal.answer(&screens::plan(&plan, &asked.plan_file, terminal.colour()))),
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

/// Looks at the registry, with the manifests that were read before.
async fn look(asked: &PlanArgs, policy: &Policy, terminal: Terminal) -> Result<(RegistrySnapshot, StateFolder)> {
    let own = policy.registry.clone().unwrap_or_default();
    for (flag, given, written) in
        [("--registry", &asked.aws.registry, &own.account), ("--region", &asked.aws.region, &own.region)]
    {
        if let (Some(given), Some(written)) = (given, written)
            && given != written
        {
            return Err(usage(format!("{flag} says {given}, the policy says {written}"), "leave one of them out"));
        }
    }
    let access = AwsAccess {
        account: asked.aws.registry.clone().or(own.account),
        region: asked.aws.region.clone().or(own.region),
        profile: asked.aws.profile.clone(),
        endpoint_url: asked.aws.endpoint_url.clone(),
    };
    let registry =
        access.connect(|retry| tracing::info!(error = %retry.error, attempt = retry.attempt, "trying again")).await?;
    let state = StateFolder::new(asked.state.as_deref(), registry.id())?;
    let manifests = ManifestCache::in_folder(state.manifests());
    let progress = screens::Reading::new(terminal);
    let look = Look {
        replication: policy.replication.assume == Assumption::Read,
        pull_through: policy.pull_through_rules == Assumption::Read,
        indexes: true,
        manifests: &manifests,
        progress: &|step: Progress<'_>| progress.registry(step),
        now: Timestamp::now(),
    };
    let snapshot = snapshot(&registry, |all| choose(policy, all, registry.id()), &look).await;
    progress.end();
    Ok((snapshot?, state))
}

/// Returns the repositories that a rule is for; a pattern that is for none is a mistake.
fn choose(policy: &Policy, all: &[Repository], registry: &RegistryId) -> Result<Vec<String>> {
    for rule in &policy.rules {
        let idle = rule.repositories.iter().find(|pattern| !all.iter().any(|known| pattern.matches(&known.name)));
        if let Some(pattern) = idle {
            let problem = format!("rule {}: {:?} matches no repository of {registry}", rule.name, pattern.text);
            let near = all.iter().map(|known| (strsim::jaro_winkler(&known.name, &pattern.text), known.name.as_str()));
            let near = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
            return Err(usage(problem, near.map_or(String::new(), |(_, name)| format!("did you mean {name}?"))));
        }
    }
    Ok(all.iter().map(|known| known.name.clone()).filter(|name| policy.rule_for(name).is_some()).collect())
}

fn explain_image(asked: &ExplainArgs, terminal: Terminal) -> Result<ExitCode> {
    let plan = files::plan(&asked.plan_file)?;
    if plan.is_altered() {
        let hint = format!("make it anew: {NAME} plan");
        return Err(usage(format!("{} was altered since it was made", asked.plan_file.display()), hint));
    }
    let found = screens::found(&plan, &asked.image);
    if found.is_empty() {
        terminal.complain(&format!("{} is not among the {} images of this plan", asked.image, plan.images.len()));
        return Ok(ExitCode::No);
    }
    let text = if asked.output == "json" { files::pretty(&found)? } else { screens::explanation(&plan, &found) };
    terminal.answer(&text);
    Ok(ExitCode::Yes)
}
