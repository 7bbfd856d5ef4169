//! Lines for people: one per object, and under what went wrong the chain to its cause.

use comfy_table::{ContentArrangement, Table as Grid, presets};
use jiff::SignedDuration;
use kubeguard_core::wait::report::{Cause, Ended, ItemReport, WaitReport};
use kubeguard_core::wait::verdict::Verdict;

use super::Show;
use crate::duration::human;
use crate::terminal::{Style, printable, shorten};

/// A message longer than this is cut; `-o json` has it whole.
const MOST: usize = 400;

pub(super) struct Table {
    pub(super) colour: bool,
    pub(super) wide: bool,
}

/// Returns the style of a verdict.
pub(crate) fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Complete => Style::Good,
        Verdict::Progressing | Verdict::Suspended => Style::Waiting,
        Verdict::Failed | Verdict::Terminating | Verdict::Missing | Verdict::Superseded | Verdict::Unverifiable => {
            Style::Bad
        }
    }
}

/// Returns `deployment/web`.
pub(crate) fn name(item: &ItemReport) -> String {
    format!("{}/{}", item.object_kind.to_lowercase(), item.name)
}

/// Returns reason and message in one line; what the first cause says stands below it, not here.
pub(crate) fn detail(item: &ItemReport) -> String {
    let cause = item.causes.first().map_or("", |cause| cause.message.as_str());
    let message = Some(cause).filter(|cause| !cause.is_empty()).and_then(|cause| item.message.strip_suffix(cause));
    let message = message.map_or(item.message.as_str(), |message| message.trim_end_matches(": "));
    let message = shorten(&printable(message), MOST);
    match (item.reason.is_empty(), message.is_empty()) {
        (true, _) => message,
        (false, true) => item.reason.clone(),
        (false, false) => format!("{}: {message}", item.reason),
    }
}

/// Returns rows in columns: three spaces, no borders.
pub(crate) fn columns(rows: Vec<Vec<String>>) -> Vec<String> {
    let mut grid = Grid::new();
    grid.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        grid.add_row(row);
    }
    for column in grid.column_iter_mut() {
        column.set_padding((0, 3));
    }
    grid.lines().map(|line| line.trim_end().to_owned()).collect()
}

impl Show for Table {
    fn report(&self, report: &WaitReport) -> String {
        let mut header = vec!["NAMESPACE", "OBJECT", "VERDICT"];
        if self.wide {
            header.extend(["EVIDENCE", "GENERATION", "OBSERVED", "SINCE"]);
        }
        header.push("DETAIL");
        let mut rows = vec![header.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()];
        rows.extend(report.items.iter().map(|item| self.row(item)));
        let mut lines = columns(rows).into_iter();
        let mut text = String::new();
        if !report.items.is_empty() {
            text.push_str(&lines.next().unwrap_or_default());
            text.push('\n');
        }
        for (item, line) in report.items.iter().zip(lines) {
            let word = item.verdict.word();
            let painted = style(item.verdict).paint(word, self.colour);
            text.push_str(&line.replacen(&format!(" {word}"), &format!(" {painted}"), 1));
            text.push('\n');
            for line in self.below(item) {
                text.push_str(&format!("  {line}\n"));
            }
        }
        for skipped in &report.skipped {
            let place = if skipped.namespace.is_empty() {
                String::new()
            } else {
                format!(" in namespace {}", skipped.namespace)
            };
            text.push_str(&format!("not judged: {}{place}: {}\n", skipped.object, printable(&skipped.reason)));
        }
        text.push_str(&summary(report, self.colour));
        text.push('\n');
        text
    }
}

impl Table {
    fn row(&self, item: &ItemReport) -> Vec<String> {
        let none = || "<none>".to_owned();
        let number = |number: Option<i64>| number.map_or_else(none, |number| number.to_string());
        let namespace = if item.namespace.is_empty() { none() } else { item.namespace.clone() };
        let mut row = vec![namespace, name(item), item.verdict.word().to_owned()];
        if self.wide {
            let evidence = match (item.evidence, item.witness) {
                (Some(evidence), Some(witness)) => format!("{evidence}({witness})"),
                (Some(evidence), None) => evidence.to_owned(),
                (None, _) => none(),
            };
            row.extend([
                evidence,
                number(item.generation),
                number(item.observed_generation),
                item.since.map_or_else(none, |since| format!("{since:.0}")),
            ]);
        }
        row.push(detail(item));
        row
    }

    fn below(&self, item: &ItemReport) -> Vec<String> {
        let mut lines = Vec::new();
        for note in &item.warnings {
            lines.push(format!("warning  {}", printable(&note.to_string())));
        }
        if self.wide || item.explain.is_some() {
            lines.extend(item.notes.iter().map(|note| format!("note     {}", printable(&note.to_string()))));
        }
        if item.verdict != Verdict::Complete {
            for cause in &item.causes {
                because(cause, &mut lines);
            }
        }
        if let Some(explain) = &item.explain {
            let reads: Vec<String> =
                explain.reads.iter().map(|read| format!("{} = {}", read.path, printable(&read.value))).collect();
            lines.push(format!("rule     {}", explain.rule));
            lines.extend(reads.iter().map(|read| format!("read     {read}")));
            lines.extend(explain.flips.iter().map(|flip| format!("flips    {}", printable(flip))));
        }
        if !matches!(item.verdict, Verdict::Complete) {
            if let Some((at, since)) = item.fails_at.zip(item.since) {
                lines.push(format!("fails    {} after it began", human(at.duration_since(since))));
            }
            if !item.remedy.is_empty() {
                lines.push(format!("remedy   {}", printable(&item.remedy)));
            }
            if !item.looser.is_empty() {
                lines.push(format!("looser   {}", item.looser.join("   or   ")));
            }
        }
        lines
    }
}

fn because(cause: &Cause, lines: &mut Vec<String>) {
    let many = match (cause.count, cause.of) {
        (count, Some(of)) if of > 1 => format!("{count} of {of} {}s, ", cause.object_kind.to_lowercase()),
        (count, _) if count > 1 => format!("{count} {}s, ", cause.object_kind.to_lowercase()),
        _ => String::new(),
    };
    let container = cause.container.as_ref().map_or(String::new(), |name| format!("container {name}: "));
    let message = printable(&cause.message);
    // A message that names its container already needs no second name.
    let container = if message.starts_with("container ") { String::new() } else { container };
    lines.push(format!("because  {many}{container}{}: {}", cause.reason, shorten(&message, MOST)));
    let chain: String = cause.chain.iter().map(|owner| format!("  ← {owner}")).collect();
    lines.push(format!("         {} {}{chain}", cause.object_kind.to_lowercase(), cause.name));
    lines.extend(cause.events.iter().map(|event| format!("event    {}", shorten(&printable(event), MOST))));
    lines.extend(cause.log.iter().map(|line| format!("log      {}", shorten(&printable(line), MOST))));
    lines.extend(cause.unavailable.iter().map(|what| format!("detail unavailable: {}", printable(what))));
}

fn summary(report: &WaitReport, colour: bool) -> String {
    let mut counts: Vec<(usize, &str)> = Vec::new();
    for verdict in Verdict::ALL {
        let count = report.items.iter().filter(|item| item.verdict == *verdict).count();
        if count > 0 {
            counts.push((count, verdict.word()));
        }
    }
    let counts: Vec<String> = counts.into_iter().map(|(count, word)| format!("{count} {word}")).collect();
    let counts = if counts.is_empty() { "no object".to_owned() } else { counts.join(", ") };
    #[expect(clippy::cast_possible_truncation, reason = "no wait lasts for so long")]
    let elapsed = human(SignedDuration::from_millis((report.elapsed_seconds * 1000.0) as i64));
    let word = match report.ended {
        Ended::TimedOut => "timed out",
        Ended::Stalled => "stalled",
        Ended::Interrupted => "interrupted",
        Ended::Cut => "cut",
        Ended::Done | Ended::Failed | Ended::Once => report.verdict.word(),
    };
    let when = if report.ended == Ended::Once { String::new() } else { format!(" after {elapsed}") };
    let more = match report.ended {
        Ended::TimedOut => "; --timeout gives it more time",
        Ended::Stalled => "; --stall gives it more time",
        _ => "",
    };
    format!("{}{when}: {counts}{more}", style(report.verdict).paint(word, colour))
}
