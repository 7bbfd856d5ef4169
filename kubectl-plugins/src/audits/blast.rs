//! `kubectl probe-audit blast`: what falls when a container falls.

use std::collections::BTreeSet;

use clap::ValueEnum;
use jiff::Timestamp;
use kubeguard_core::audit::Policy;
use kubeguard_core::audit::facts::Facts;
use kubeguard_core::audit::probes::blast::{self, Ask, BlastItem, BlastReport, Match, Mode, Pattern, WhatIf};
use kubeguard_core::error::Result;

use super::ask::{self, AskArgs};
use crate::exit::ExitCode;
use crate::output::audit::html;
use crate::output::columns;
use crate::terminal::{Style, Terminal, printable, shorten};

const EXAMPLES: &str = "Examples:
  # every image of the cluster, the worst first
  kubectl probe-audit blast -A

  # one image, and what a change would do
  kubectl probe-audit blast -A --image 'acme/statsd-agent' --what-if daemonset

  # in CI: no image of the charts may take down more than three services
  helm template charts/base | kubectl probe-audit blast -f - --max-downed 3

Exit codes:
  0    told
  1    a row downs more services than --max-downed allows
  2    no answer: wrong usage, cluster cannot be reached, no permission, unreadable file
  6    partly: something could not be read; it is named
  130  interrupted
";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BlastArgs {
    /// Every image, each for itself; this is the default
    #[arg(long, conflicts_with_all = ["image", "container"])]
    all: bool,
    /// Images that fall together; * stands for anything within one element: statsd*, acme/*, agent:1.2
    #[arg(long, value_name = "PATTERN", conflicts_with = "container")]
    image: Option<Pattern>,
    /// Names of containers that fall together
    #[arg(long, value_name = "PATTERN")]
    container: Option<Pattern>,
    /// What a row of the ranking is
    #[arg(long, value_enum, default_value_t, value_name = "WHAT", conflicts_with_all = ["image", "container"])]
    by: By,
    /// How it falls
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    mode: How,
    /// What would be different
    #[arg(long, value_enum, value_name = "CHANGE")]
    what_if: Option<Change>,
    /// End with exit code 1 when a row downs more services than this
    #[arg(long, value_name = "N")]
    max_downed: Option<usize>,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    output: Format,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum By {
    /// An image, whatever its containers are called
    #[default]
    Image,
    /// A name of containers, whatever their image
    Container,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum How {
    /// It stops; no probe softens that
    #[default]
    Crash,
    /// It runs, and its readiness or liveness probe fails
    Probe,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Change {
    /// It were a native sidecar
    Native,
    /// It had no readiness probe
    NoReadiness,
    /// It ran once a node
    Daemonset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Lines for people
    #[default]
    Table,
    /// The same, with how long it lasts and each service that is hit
    Wide,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
    /// Services that lose all or most endpoints, each once
    Name,
    /// A table for a comment on a pull request
    Markdown,
    /// One page with a picture
    Html,
}

/// Returns the ranking of every image, for the page of an audit.
pub(super) fn of_all(facts: &Facts, policy: &Policy, now: Timestamp) -> BlastReport {
    let ask = Ask { what: Match::Images, mode: Mode::Crash, what_if: None, policy, now };
    blast::blast(facts, &ask)
}

pub(super) async fn run(asked: &BlastArgs, terminal: Terminal) -> Result<ExitCode> {
    let Some(known) = asked.ask.read(&blast::needs(), terminal).await? else { return Ok(ExitCode::Yes) };
    let what = match (&asked.image, &asked.container, asked.by) {
        (Some(pattern), ..) => Match::Image(pattern.clone()),
        (_, Some(pattern), _) => Match::Container(pattern.clone()),
        (None, None, By::Image) => Match::Images,
        (None, None, By::Container) => Match::Containers,
    };
    let mode = match asked.mode {
        How::Crash => Mode::Crash,
        How::Probe => Mode::Probe,
    };
    let what_if = asked.what_if.map(|change| match change {
        Change::Native => WhatIf::Native,
        Change::NoReadiness => WhatIf::NoReadiness,
        Change::Daemonset => WhatIf::DaemonSet,
    });
    let ask = Ask { what, mode, what_if, policy: &known.policy, now: known.now };
    let report = blast::blast(&known.facts, &ask);
    let before = what_if.map(|_| blast::blast(&known.facts, &Ask { what_if: None, ..ask }));
    if report.items.is_empty() && report.complete {
        let pattern = asked.image.as_ref().or(asked.container.as_ref());
        terminal.say(&pattern.map_or_else(
            || "no pods and no templates were found".to_owned(),
            |pattern| format!("nothing matches {pattern}"),
        ));
    }
    terminal.answer(&match asked.output {
        Format::Table => table(&report, before.as_ref(), false, terminal.colour()),
        Format::Wide => table(&report, before.as_ref(), true, terminal.colour()),
        Format::Json => ask::json(&report),
        Format::Yaml => ask::yaml(&report),
        Format::Name => names(&report),
        Format::Markdown => markdown(&report),
        Format::Html => html::blast_page(&report, known.now),
    });
    let over = asked.max_downed.is_some_and(|most| report.items.iter().any(|item| item.downed.len() > most));
    let code = ask::code(&report.skipped, report.items.is_empty());
    Ok(if over { code.worse(ExitCode::No) } else { code })
}

const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Crash => "crash",
        Mode::Probe => "probe",
    }
}

/// Returns the numbers of a row: pods, downed, degraded, touched, exposed, webhooks, risk.
fn numbers(item: &BlastItem, report: &BlastReport) -> [String; 7] {
    let exposed = item.hurt().filter(|hit| hit.exposed).count();
    let webhooks = item.hurt().filter(|hit| hit.webhook).count();
    [
        item.pods.to_string(),
        format!("{} of {}", item.downed.len(), report.services),
        item.degraded.len().to_string(),
        item.touched.len().to_string(),
        exposed.to_string(),
        webhooks.to_string(),
        format!("{:.1}", item.risk),
    ]
}

fn table(report: &BlastReport, before: Option<&BlastReport>, wide: bool, colour: bool) -> String {
    let mut header = vec!["IMAGE", "CONTAINER", "PODS", "DOWNED", "DEGRADED", "TOUCHED", "EXPOSED", "WEBHOOKS", "RISK"];
    if wide {
        header.extend(["LIKELIHOOD", "NOTICED", "BACK"]);
    }
    let mut rows = vec![header.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()];
    rows.extend(report.items.iter().map(|item| {
        let mut row = vec![item.image.clone(), item.container.clone()];
        row.extend(numbers(item, report));
        if wide {
            let (least, most) = item.duration.noticed_seconds;
            row.extend([
                format!("{:.2}", item.likelihood),
                if least == most { format!("{most} s") } else { format!("{least} – {most} s") },
                format!("+{} s", item.duration.back_seconds),
            ]);
        }
        row
    }));
    let mut text = String::new();
    if !report.items.is_empty() {
        let mut lines = columns(rows).into_iter();
        text.extend(lines.next().map(|header| header + "\n"));
        for (item, line) in report.items.iter().zip(lines) {
            let cell = format!("{} of {}", item.downed.len(), report.services);
            let style = if item.downed.is_empty() { Style::Plain } else { Style::Bad };
            text += &(line.replacen(&cell, &style.paint(&cell, colour), 1) + "\n");
            if wide {
                text += &hits(item);
            }
        }
    }
    text += &format!("{}\n", summary(report));
    if let Some(worst) = report.items.first() {
        text += &format!("{}: {}\n", printable(&worst.image), terms(worst));
    }
    if let (Some(before), Some(worst)) = (before, before.and_then(|before| before.items.first())) {
        text += &format!("{}\n", compared(worst, before, report));
    }
    for note in &report.notes {
        text += &format!("{}\n", printable(note));
    }
    text + &ask::unread(&report.skipped)
}

/// Returns what a change does to the worst row.
fn compared(worst: &BlastItem, before: &BlastReport, report: &BlastReport) -> String {
    let after = report.items.iter().find(|item| item.image == worst.image && item.container == worst.container);
    let (downed, degraded, risk) =
        after.map_or((0, 0, 0.0), |item| (item.downed.len(), item.degraded.len(), item.risk));
    printable(&format!(
        "what if: {} would down {downed} of {} instead of {}, degrade {degraded} instead of {}, risk {risk:.1} instead of {:.1}",
        worst.image,
        before.services,
        worst.downed.len(),
        worst.degraded.len(),
        worst.risk
    ))
}

fn summary(report: &BlastReport) -> String {
    let other = match report.mode {
        Mode::Crash => "probe",
        Mode::Probe => "crash",
    };
    let mut parts = vec![format!("{} mode", word(report.mode)), format!("{other} mode: --mode {other}")];
    let publishing = report.exempt.iter().filter(|exempt| exempt.reason == "publishNotReadyAddresses").count();
    if publishing > 0 {
        let services = if publishing == 1 { "service" } else { "services" };
        parts.push(format!("{publishing} {services} exempt (publishNotReadyAddresses)"));
    }
    if report.more > 0 {
        parts.push(format!("{} more images", report.more));
    }
    parts.join(" · ")
}

/// Returns the terms of a ranking, as in `risk 12.0 = 0.15 × 80: 0.05 base + 0.10 liveness`.
fn terms(item: &BlastItem) -> String {
    let terms: Vec<String> = item.terms.iter().map(|term| format!("{:.2} {}", term.value, term.why)).collect();
    printable(&format!("risk {:.1} = {:.2} × {}: {}", item.risk, item.likelihood, item.weight, terms.join(" + ")))
}

/// Returns a line for each kind of loss with its services.
fn hits(item: &BlastItem) -> String {
    let lists = [("downed", &item.downed), ("degraded", &item.degraded), ("touched", &item.touched)];
    let lines = lists.into_iter().filter(|(_, hits)| !hits.is_empty()).map(|(word, hits)| {
        let names: Vec<String> = hits
            .iter()
            .map(|hit| {
                let mut more = String::new();
                if hit.lost < hit.ready {
                    more += &format!(" {} of {}", hit.lost, hit.ready);
                }
                if !hit.because.is_empty() {
                    more += &format!(" ({})", hit.because);
                }
                if let Some(budget) = &hit.budget {
                    more += &format!(" (breaks budget {budget})");
                }
                if hit.fallback > 0 {
                    more += &format!(" ({} still serve while they terminate)", hit.fallback);
                }
                format!("{}/{}{more}", hit.namespace, hit.name)
            })
            .collect();
        shorten(&printable(&format!("  {word}: {}", names.join(", "))), 400) + "\n"
    });
    let exempt: Vec<String> =
        item.exempt.iter().map(|exempt| format!("{}/{}", exempt.namespace, exempt.name)).collect();
    let exempt = if exempt.is_empty() {
        String::new()
    } else {
        shorten(&printable(&format!("  exempt: {}", exempt.join(", "))), 400) + "\n"
    };
    lines.collect::<String>() + &exempt
}

fn names(report: &BlastReport) -> String {
    let hit = report.items.iter().flat_map(BlastItem::hurt);
    let names: BTreeSet<String> = hit.map(|hit| printable(&format!("service/{}", hit.name)) + "\n").collect();
    names.into_iter().collect()
}

fn markdown(report: &BlastReport) -> String {
    let mut text = String::from(
        "| image | container | pods | downed | degraded | touched | exposed | webhooks | risk |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let clean = |cell: &str| printable(cell).replace('|', "\\|").replace('`', "'");
    for item in &report.items {
        let numbers = numbers(item, report).join(" | ");
        text += &format!("| `{}` | `{}` | {numbers} |\n", clean(&item.image), clean(&item.container));
    }
    text += &format!("\n{}\n", summary(report));
    for line in report
        .notes
        .iter()
        .map(|note| printable(note))
        .chain(ask::unread(&report.skipped).lines().map(ToOwned::to_owned))
    {
        text += &format!("\n{}\n", clean(&line));
    }
    text
}
