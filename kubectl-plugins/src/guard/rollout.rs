//! `kubectl guard rollout simulate`: how much traffic a rollout loses, and what loses none.

use jiff::SignedDuration;
use kubeguard_core::audit::facts::{Object, Of};
use kubeguard_core::audit::kinds::{Deployment, RollingUpdate};
use kubeguard_core::audit::{AuditReport, Policy, Rule, audit, rollouts, rules};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::kinds::IntOrString;
use kubeguard_core::models::rollout::{
    Pace, Rate, Setting, Timeline, Tuned, capped, fenceposts, simulate, tune, visible_error,
};
use kubeguard_core::models::{Input, Origin, duration};
use serde::Serialize;

use super::envelope::Answer;
use super::input::{ModelArgs, Read, read};
use crate::cli::{AccessArgs, AuditArgs};
use crate::exit::ExitCode;
use crate::output::columns;
use crate::terminal::Terminal;

/// What is asked about rollouts.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum RolloutCommand {
    /// Step a rollout through time: how long it lasts, how much traffic it loses, and which settings lose none
    Simulate(Box<SimulateArgs>),
}

/// One rollout, and what is assumed of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SimulateArgs {
    /// The deployment, as in deploy/web; may be left out where there is one
    #[arg(value_name = "TYPE/NAME")]
    name: Option<String>,
    /// Other values of maxSurge, maxUnavailable and minReadySeconds
    #[arg(long, value_name = "FIELD=VALUE", value_delimiter = ',')]
    set: Vec<String>,
    /// How long clients keep an endpoint after it changed
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    propagation: Option<SignedDuration>,
    /// How long a pod that is being deleted keeps answering
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    drain: Option<SignedDuration>,
    /// From a pod's creation to its being ready
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ready_after: Option<SignedDuration>,
    /// Other replicas
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    replicas: Option<i32>,
    /// Writes of the controllers in a second, and at once
    #[arg(long, value_name = "Q,B", value_parser = rate)]
    rate: Option<Rate>,
    /// Retries of a client, each on another pod
    #[arg(long, value_name = "K", default_value_t)]
    retries: u32,
    /// Survival that settings must reach
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    target: f64,
    /// Show the states in between
    #[arg(long)]
    timeline: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    audit: AuditArgs,
    #[command(flatten)]
    access: AccessArgs,
}

/// The fields of a `RolloutSimulation`.
#[derive(Serialize)]
struct Own<'a> {
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a Timeline>,
    #[serde(rename = "visibleError", skip_serializing_if = "Option::is_none")]
    visible_error: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    settings: Vec<Advice<'a>>,
}

/// A setting with what it does.
#[derive(Serialize)]
struct Advice<'a> {
    #[serde(flatten)]
    setting: &'a Setting,
    duration: i64,
    alive: i64,
    survival: f64,
}

fn rate(text: &str) -> std::result::Result<Rate, String> {
    let wrong = || format!("{text:?} is no rate, as in 20,30");
    let (per_second, burst) = text.split_once(',').ok_or_else(wrong)?;
    let read = |text: &str| text.trim().parse().ok().filter(|count: &u32| *count > 0).ok_or_else(wrong);
    Ok(Rate { per_second: read(per_second)?, burst: read(burst)? })
}

fn share(text: &str) -> std::result::Result<f64, String> {
    let read = text.parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share));
    read.ok_or_else(|| format!("{text:?} is no share between 0 and 1, as in 0.95"))
}

fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Configuration { problem: problem.into(), hint: hint.into(), source: None }
}

/// Answers it.
pub(crate) async fn run(command: &RolloutCommand, terminal: Terminal) -> Result<ExitCode> {
    let RolloutCommand::Simulate(asked) = command;
    let read = read(&asked.model, &asked.access, &rollouts::needs(), |_| {}).await?;
    let deployment = chosen(asked, &read)?;
    let policy = Policy { measurements: read.measurements.clone(), ..Policy::default() };
    let family: Vec<&Rule> = rules().iter().filter(|rule| rule.family() == "ROLL").collect();
    let found = audit(&read.facts, &family, &policy, read.now);
    let object = deployment.object_name();
    let items = found.items.into_iter().filter(|item| item.object == object).collect();
    let report = AuditReport::new(items, found.skipped, 1);
    let (pace, note) = paced(asked, &read, &policy, deployment)?;
    let impossible = |error: &dyn std::fmt::Display| {
        usage(format!("{object} cannot be simulated: {error}"), "change the object, or a flag")
    };
    let timeline = pace.as_ref().map(simulate).transpose().map_err(|error| impossible(&error))?;
    let tuned = pace.as_ref().map_or(Ok(Vec::new()), |pace| tune(pace, asked.target, None));
    let tuned = tuned.map_err(|error| impossible(&error))?;
    let inputs = pace.as_ref().map_or_else(Vec::new, |pace| {
        vec![
            pace.propagation.named("propagation"),
            pace.ready_after.named("ready"),
            pace.drain.named("drain"),
            Input::new(pace.replicas, Origin::Object).named("replicas"),
            Input::new(pace.surge, Origin::Object).named("surge"),
            Input::new(pace.unavailable, Origin::Object).named("unavailable"),
            Input::new(pace.min_ready, Origin::Object).named("minReady"),
            Input::new(pace.grace, Origin::Object).named("grace"),
            Input::new(pace.rate.per_second, Origin::Default).named("rate"),
            Input::new(pace.rate.burst, Origin::Default).named("burst"),
        ]
    });
    let mut picture = format!("{object}");
    if let (Some(pace), Some(timeline)) = (&pace, &timeline) {
        picture = draw(asked, &picture, pace, timeline, &report, &tuned);
    }
    if let Some(note) = &note {
        picture = format!("{picture}: {note}\n");
    }
    let settings = tuned.iter().map(|Tuned { setting, timeline }| Advice {
        setting,
        duration: timeline.duration,
        alive: timeline.alive,
        survival: timeline.survival,
    });
    let own = Own {
        object: object.to_string(),
        summary: timeline.as_ref(),
        visible_error: timeline.as_ref().map(|timeline| visible_error(timeline.survival, asked.retries)),
        note,
        settings: settings.collect(),
    };
    let answer = Answer { kind: "RolloutSimulation", inputs: &inputs, own: &own, report: &report, picture };
    let (text, code) = answer.write(asked.audit);
    terminal.answer(&text);
    Ok(code)
}

/// Returns the deployment that is meant.
fn chosen<'a>(asked: &SimulateArgs, read: &'a Read) -> Result<&'a Of<Deployment>> {
    let all = read.facts.deployments();
    let Some(name) = &asked.name else {
        return match all {
            [one] => Ok(one),
            [] => Err(usage("there is no deployment to simulate", "name one, or give a file with one")),
            _ => Err(usage(format!("there are {} deployments", all.len()), "name one, as in deploy/web")),
        };
    };
    let (kind, name) = name.split_once('/').unwrap_or(("deployment", name));
    if !matches!(kind, "deploy" | "deployment" | "deployments" | "deployment.apps" | "deployments.apps") {
        return Err(usage(format!("{kind} has no rolling update of this form"), "name a deployment, as in deploy/web"));
    }
    let found = all.iter().find(|object| *object.meta.name == *name && *object.meta.namespace == *read.namespace);
    found.ok_or_else(|| {
        usage(format!("there is no deployment {name} in namespace {}", read.namespace), "look at -n and the name")
    })
}

/// Returns the pace with what flags say; none with a sentence where there is nothing to step through.
fn paced(
    asked: &SimulateArgs,
    read: &Read,
    policy: &Policy,
    deployment: &Of<Deployment>,
) -> Result<(Option<Pace>, Option<String>)> {
    let spec = deployment.spec.as_ref();
    let strategy = spec.and_then(|spec| spec.strategy.as_ref());
    if strategy.is_some_and(|strategy| strategy.r#type == "Recreate") {
        let note = "strategy Recreate: downtime from the first deletion until the last new pod is ready";
        return Ok((None, Some(note.to_owned())));
    }
    let replicas = asked.replicas.or_else(|| spec.and_then(|spec| spec.replicas)).unwrap_or(1);
    if replicas == 0 {
        return Ok((None, Some("no replicas: nothing to simulate".to_owned())));
    }
    let mut update: RollingUpdate = strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default();
    let mut min_ready = i64::from(spec.map_or(0, |spec| spec.min_ready_seconds));
    for set in &asked.set {
        let (field, value) =
            set.split_once('=').ok_or_else(|| usage(format!("--set {set:?}"), "write --set maxSurge=10%"))?;
        match field {
            "maxSurge" => update.max_surge = Some(count(value)),
            "maxUnavailable" => update.max_unavailable = Some(count(value)),
            "minReadySeconds" => {
                min_ready = value.parse().map_err(|_| usage(format!("--set {set:?} is no number"), "write seconds"))?;
            }
            _ => {
                let known = "known are maxSurge, maxUnavailable and minReadySeconds";
                return Err(usage(format!("--set does not know {field:?}"), known));
            }
        }
    }
    let deadline = i64::from(spec.and_then(|spec| spec.progress_deadline_seconds).unwrap_or(600));
    if min_ready >= deadline {
        let problem = format!("minReadySeconds {min_ready} ≥ progressDeadlineSeconds {deadline}: the API refuses it");
        return Err(usage(problem, "lower the one, or raise the other"));
    }
    let counts = fenceposts(update.max_surge.as_ref(), update.max_unavailable.as_ref(), replicas);
    let (surge, unavailable) = counts
        .map_err(|error| usage(format!("/spec/strategy/rollingUpdate: {error}"), "write a number or a percentage"))?;
    let Some(known) = rollouts::pace_of(&read.facts, policy, read.now, deployment) else {
        return Err(usage("the rollout of this deployment does not read", "look at spec.strategy and spec.replicas"));
    };
    let flag = |value: Option<SignedDuration>, known: &Input<SignedDuration>| {
        Input::or([value.map(|value| Input::new(value, Origin::Flag))], known.clone())
    };
    let pace = Pace {
        replicas,
        surge,
        unavailable: capped(unavailable, replicas),
        min_ready: SignedDuration::from_secs(min_ready),
        drain: flag(asked.drain, &known.drain),
        propagation: flag(asked.propagation, &known.propagation),
        ready_after: flag(asked.ready_after, &known.ready_after),
        grace: known.grace,
        rate: asked.rate.unwrap_or_default(),
    };
    Ok((Some(pace), None))
}

fn count(text: &str) -> IntOrString {
    let number = text.parse::<i32>().ok().and_then(|count| serde_json::from_value(count.into()).ok());
    number.unwrap_or_else(|| IntOrString::from(text.to_owned()))
}

fn seconds(millis: i64) -> String {
    format!("{:.1}s", SignedDuration::from_millis(millis).as_secs_f64())
}

fn plain(time: SignedDuration) -> String {
    format!("{}s", time.as_secs_f64())
}

/// Draws it for people.
fn draw(
    asked: &SimulateArgs,
    name: &str,
    pace: &Pace,
    timeline: &Timeline,
    report: &AuditReport,
    tuned: &[Tuned],
) -> String {
    let mut lines = vec![format!(
        "{name}: {} replicas, surge {}, unavailable {}, minReady {}, grace {}",
        pace.replicas,
        pace.surge,
        pace.unavailable,
        plain(pace.min_ready),
        plain(pace.grace)
    )];
    let told = [("propagation", &pace.propagation), ("ready after", &pace.ready_after), ("drain", &pace.drain)];
    let told: Vec<String> = told.iter().map(|(name, input)| input.named(name).sentence()).collect();
    let Rate { per_second, burst } = pace.rate;
    lines.push(format!("assumed: {}, {per_second} pods/s, burst {burst}", told.join(", ")));
    lines.push(format!("survival {}", sparkline(timeline)));
    if asked.timeline {
        let titles = ["TIME", "OLD", "NEW", "READY", "TERMINATING", "KNOWN", "ACCEPT", "SURVIVAL"];
        let mut rows = vec![titles.map(ToOwned::to_owned).to_vec()];
        rows.extend(timeline.points.iter().map(|point| {
            let counts = [point.old, point.new, point.ready, point.terminating, point.known, point.accepting];
            let counts = counts.map(|count| count.to_string());
            [vec![seconds(point.at)], counts.to_vec(), vec![format!("{:.2}", point.survival)]].concat()
        }));
        lines.push(String::new());
        lines.extend(columns(rows));
    }
    let error = visible_error(timeline.survival, asked.retries) * 100.0;
    lines.push(format!(
        "\nlasts {} · {} pods at most · {} deletions/s · {:.1} s of full traffic lost · worst error {error:.0} % ({} retries)",
        seconds(timeline.duration),
        timeline.alive,
        timeline.deleted_in_a_second,
        timeline.failed_share_seconds,
        asked.retries
    ));
    if !report.items.is_empty() {
        let mut rows = vec![["RULE", "SEVERITY", "PROOF", "WHY"].map(ToOwned::to_owned).to_vec()];
        rows.extend(report.items.iter().map(|item| {
            vec![item.rule.clone(), item.severity.to_string(), item.proof.to_string(), item.message.clone()]
        }));
        lines.push(String::new());
        lines.extend(columns(rows));
    }
    let mut rows = vec![["WITH", "LASTS", "PODS", "SURVIVAL"].map(ToOwned::to_owned).to_vec()];
    rows.extend(tuned.iter().map(|Tuned { setting, timeline }| {
        let sleep = setting.pre_stop_sleep.map_or(String::new(), |sleep| format!(", preStop sleep {sleep}s"));
        let Setting { max_surge, min_ready_seconds, grace, .. } = setting;
        let with = format!("surge {max_surge}, unavailable 0, minReady {min_ready_seconds}s{sleep}, grace {grace}s");
        let survival = format!("{:.2}", timeline.survival);
        vec![with, seconds(timeline.duration), timeline.alive.to_string(), survival]
    }));
    lines.push(String::new());
    if tuned.is_empty() {
        lines.push(format!("no setting that was tried has a survival of {}", asked.target));
    } else {
        lines.extend(columns(rows));
    }
    lines.join("\n") + "\n"
}

/// Draws survival over time in forty marks.
fn sparkline(timeline: &Timeline) -> String {
    const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let end = timeline.points.last().map_or(0, |point| point.at).max(1);
    let mark = |slot: i64| {
        let (from, to) = (end * slot / 40, end * (slot + 1) / 40);
        let within = timeline.points.iter().filter(|point| point.at >= from && point.at < to);
        let before = timeline.points.iter().rev().find(|point| point.at <= from);
        let least = within.chain(before).map(|point| point.survival).fold(1.0, f64::min);
        let level = (0..7_u8).rev().find(|level| least * 7.0 >= f64::from(*level) + 0.5).map_or(0, |level| level + 1);
        MARKS.get(usize::from(level)).copied().unwrap_or('█')
    };
    (0..40).map(mark).collect()
}
