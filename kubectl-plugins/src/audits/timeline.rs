//! `kubectl probe-audit timeline`: what happens second by second.

use clap::ValueEnum;
use jiff::SignedDuration;
use kubeguard_core::audit::facts::Carrier;
use kubeguard_core::audit::probes::timeline::{self, Fault, Question, Timeline};
use kubeguard_core::audit::probes::{ProbeKind, Starts, replicas, routing};
use kubeguard_core::audit::{ObjectName, Skipped};
use kubeguard_core::error::Result;
use kubeguard_core::pods::{Member, members};
use serde::Serialize;

use super::ask::{self, AskArgs, Known};
use super::usage;
use crate::duration;
use crate::exit::ExitCode;
use crate::output::audit::html;
use crate::output::columns;
use crate::terminal::{Terminal, printable};

const EXAMPLES: &str = "Examples:
  # everything that may go wrong with a deployment
  kubectl probe-audit timeline deploy/web -n shop

  # it hangs: is it drained before it is killed?
  kubectl probe-audit timeline deploy/web -n shop --fault hang

  # what five minutes without the database cost, from files
  kubectl probe-audit timeline -f web.yaml deploy/web --fault dependency --for 5m --checks liveness

Exit codes:
  0    told
  2    no answer: wrong usage, no such workload, cluster cannot be reached, no permission, unreadable file
  6    partly: something could not be read; it is named
  130  interrupted
";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TimelineArgs {
    /// Workloads as TYPE/NAME, or one TYPE and its names [default: all that are read]
    #[arg(value_name = "TYPE/NAME")]
    names: Vec<String>,
    /// What goes wrong [default: each]; repeatable
    #[arg(long, value_enum, value_name = "FAULT", value_delimiter = ',')]
    fault: Vec<Wrong>,
    /// How long it lasts [default: for ever]
    #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
    lasts: Option<i64>,
    /// How long a slow start takes [default: 2m], or an answer under overload [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    takes: Option<i64>,
    /// Probes that check the dependency [default: by what they ask]
    #[arg(long, value_enum, value_name = "PROBE", value_delimiter = ',')]
    checks: Vec<Checks>,
    /// The container [default: those that services route to, else all]
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    output: Format,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wrong {
    /// The process ends
    Crash,
    /// The process runs and answers nothing
    Hang,
    /// The start takes longer
    SlowStart,
    /// What it depends on is down
    Dependency,
    /// Every answer takes longer
    Overload,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Checks {
    Liveness,
    Readiness,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// Lines for people
    #[default]
    Table,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
    /// Tables for a comment on a pull request
    Markdown,
    /// One page with pictures
    Html,
}

fn seconds(text: &str) -> std::result::Result<i64, String> {
    let read: SignedDuration = duration::parse(text)?;
    if read.as_secs() < 1 { Err(format!("{text:?} is less than a second")) } else { Ok(read.as_secs()) }
}

/// One container under one fault.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    pub(crate) object: ObjectName,
    pub(crate) container: String,
    pub(crate) fault: Fault,
    #[serde(rename = "lastsSeconds", skip_serializing_if = "Option::is_none")]
    pub(crate) lasts: Option<i64>,
    #[serde(flatten)]
    pub(crate) timeline: Timeline,
}

/// What happens, for containers and faults.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TimelineReport {
    api_version: &'static str,
    kind: &'static str,
    pub(crate) complete: bool,
    pub(crate) items: Vec<Told>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Told {
    /// Returns what it is about, as in `deployment.apps/web, container app: hang`.
    pub(crate) fn title(&self) -> String {
        let lasts = self.lasts.map_or(String::new(), |lasts| format!(" for {lasts} s"));
        format!("{}, container {}: {}{lasts}", self.object, self.container, self.fault.word())
    }

    /// Returns what is said beside the events.
    pub(crate) fn asides(&self) -> impl Iterator<Item = String> {
        let advice = self.timeline.advice.iter().cloned();
        let assumed = self.timeline.assumptions.iter().map(|assumed| format!("assumes: {assumed}"));
        advice.chain(self.timeline.notes.iter().cloned()).chain(assumed)
    }
}

pub(super) async fn run(asked: &TimelineArgs, terminal: Terminal) -> Result<ExitCode> {
    let Some(known) = asked.ask.read(&timeline::needs(), terminal).await? else { return Ok(ExitCode::Yes) };
    let workloads = ask::workloads(&known, &asked.names)?;
    let starts = Starts::of(&known.facts);
    let mut items = Vec::new();
    for carrier in &workloads {
        items.extend(asked.of(&known, carrier, &starts)?);
    }
    let skipped = timeline::skipped(&known.facts);
    if items.is_empty() && skipped.is_empty() {
        terminal.say("no workload was found");
    }
    let report = TimelineReport {
        api_version: "kubeguard.dev/v1",
        kind: "TimelineReport",
        complete: skipped.is_empty(),
        items,
        skipped,
    };
    terminal.answer(&match asked.output {
        Format::Table => table(&report),
        Format::Json => ask::json(&report),
        Format::Yaml => ask::yaml(&report),
        Format::Markdown => markdown(&report),
        Format::Html => html::timeline_page(&report, known.now),
    });
    Ok(ask::code(&report.skipped, report.items.is_empty()))
}

impl TimelineArgs {
    fn of<'a>(&self, known: &'a Known, carrier: &Carrier<'a>, starts: &Starts<'a>) -> Result<Vec<Told>> {
        let routing = routing(&known.facts, carrier);
        let all: Vec<Member<'a>> = members(carrier.spec).collect();
        let gating = || all.iter().filter(|member| member.is_gating());
        let chosen: Vec<&Member<'a>> = if let Some(name) = &self.container {
            let found: Vec<_> = all.iter().filter(|member| member.container.name == *name).collect();
            if found.is_empty() {
                let names: Vec<&str> = all.iter().map(|member| member.container.name.as_str()).collect();
                let object = carrier.object.object_name();
                return Err(usage(
                    format!("{object} has no container {name:?}"),
                    format!("it has {}", names.join(", ")),
                ));
            }
            found
        } else {
            let routed: Vec<_> = gating().filter(|member| routing.to(member.container).next().is_some()).collect();
            if routed.is_empty() { gating().collect() } else { routed }
        };
        let checks: Vec<ProbeKind> = self
            .checks
            .iter()
            .map(|checks| match checks {
                Checks::Liveness => ProbeKind::Liveness,
                Checks::Readiness => ProbeKind::Readiness,
            })
            .collect();
        let mut told = Vec::new();
        for member in chosen {
            let mut services: Vec<String> =
                routing.to(member.container).map(|route| route.service.meta.name.to_string()).collect();
            if services.is_empty() {
                services = routing.services().iter().map(|service| service.meta.name.to_string()).collect();
            }
            services.sort();
            services.dedup();
            for fault in self.faults() {
                let question = Question {
                    lasts: self.lasts,
                    takes: self.takes.unwrap_or(Question::of(fault).takes),
                    checks: Some(checks.clone()).filter(|checks| !checks.is_empty()),
                    observed: starts.seen(carrier, &member.container.name),
                    services: services.clone(),
                    replicas: replicas(&known.facts, carrier),
                    ..Question::of(fault)
                };
                told.push(Told {
                    object: carrier.object.object_name(),
                    container: member.container.name.clone(),
                    fault,
                    lasts: self.lasts.filter(|_| fault != Fault::SlowStart),
                    timeline: timeline::timeline(carrier.spec, member, &question),
                });
            }
        }
        Ok(told)
    }

    fn faults(&self) -> Vec<Fault> {
        let fault = |wrong: &Wrong| match wrong {
            Wrong::Crash => Fault::Crash,
            Wrong::Hang => Fault::Hang,
            Wrong::SlowStart => Fault::SlowStart,
            Wrong::Dependency => Fault::Dependency,
            Wrong::Overload => Fault::Overload,
        };
        if self.fault.is_empty() { Fault::ALL.to_vec() } else { self.fault.iter().map(fault).collect() }
    }
}

fn table(report: &TimelineReport) -> String {
    let mut parts = Vec::new();
    for told in &report.items {
        let mut text = format!("{}\n", printable(&told.title()));
        let mut rows = vec![vec!["t (earliest – latest)".to_owned(), "what happens".to_owned()]];
        rows.extend(told.timeline.events.iter().map(|event| vec![event.at.to_string(), event.what.clone()]));
        if !told.timeline.events.is_empty() {
            text.extend(columns(rows).into_iter().map(|line| line + "\n"));
        }
        text.extend(told.asides().map(|aside| printable(&aside) + "\n"));
        parts.push(text);
    }
    parts.join("\n") + &ask::unread(&report.skipped)
}

fn markdown(report: &TimelineReport) -> String {
    let clean = |cell: &str| printable(cell).replace('|', "\\|");
    let mut text = String::new();
    for told in &report.items {
        text += &format!("### {}\n\n| t (earliest – latest) | what happens |\n|---|---|\n", clean(&told.title()));
        for event in &told.timeline.events {
            text += &format!("| {} | {} |\n", event.at, clean(&event.what));
        }
        for aside in told.asides() {
            text += &format!("\n{}\n", clean(&aside));
        }
        text.push('\n');
    }
    text + &ask::unread(&report.skipped)
}
