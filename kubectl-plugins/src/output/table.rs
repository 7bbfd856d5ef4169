//! Lines for people: one per object, and under what went wrong the chain to its cause.

use comfy_table::{ContentArrangement, Table as Grid, presets};
use jiff::SignedDuration;
use kubeguard_core::wait::report::{Cause, Ended, Explanation, ItemReport, Skipped, WaitReport};
use kubeguard_core::wait::verdict::Verdict;

use super::Show;
use crate::duration::human;
use crate::exit::ExitCode;
use crate::terminal::{Style, printable, shorten};

/// A message longer than this is cut; `-o json` has it whole.
const MOST: usize = 400;
/// Columns of the words before the lines below an object; the words of an explanation are longer.
const LABEL: usize = 9;
const LONG_LABEL: usize = 15;
/// The order in which verdicts are counted: what keeps the set from being complete comes first.
const WORST_FIRST: [Verdict; 8] = [
    Verdict::Failed,
    Verdict::Missing,
    Verdict::Terminating,
    Verdict::Unverifiable,
    Verdict::Superseded,
    Verdict::Suspended,
    Verdict::Progressing,
    Verdict::Complete,
];

pub(super) struct Table {
    pub(super) colour: bool,
    pub(super) explain: bool,
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

/// Returns the namespace, or `cluster` for what has none.
pub(crate) fn place(item: &ItemReport) -> &str {
    if item.namespace.is_empty() { "cluster" } else { &item.namespace }
}

/// Returns the message in one line; what the first cause says stands below it, not here.
fn message(item: &ItemReport) -> String {
    let cause = item.causes.first().map_or("", |cause| cause.message.as_str());
    let message = Some(cause).filter(|cause| !cause.is_empty()).and_then(|cause| item.message.strip_suffix(cause));
    let message = message.map_or(item.message.as_str(), |message| message.trim_end_matches(": "));
    shorten(&printable(message), MOST)
}

fn detail(item: &ItemReport) -> String {
    let parts = [&item.reason, &message(item)];
    parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(": ")
}

/// Returns message and first cause in one line, for where no line stands below. A line may be cut at its end: first
/// comes why it failed, or how far it has come.
pub(crate) fn brief(item: &ItemReport) -> String {
    let Some(cause) = item.causes.first().filter(|_| item.verdict != Verdict::Complete) else { return detail(item) };
    let (cause, message) = (headline(cause), message(item));
    let parts = if item.verdict == Verdict::Failed { [cause, message] } else { [message, cause] };
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Returns `2 of 3 pods, container app: CrashLoop: exit 1`.
fn headline(cause: &Cause) -> String {
    let kind = cause.object_kind.to_lowercase();
    let many = match (cause.count, cause.of) {
        (count, Some(of)) if of > 1 => format!("{count} of {of} {kind}s, "),
        (count, _) if count > 1 => format!("{count} {kind}s, "),
        _ => String::new(),
    };
    let message = shorten(&printable(&cause.message), MOST);
    // A message that names its container already needs no second name.
    let named = message.starts_with("container ");
    let container =
        cause.container.as_ref().filter(|_| !named).map_or(String::new(), |name| format!("container {name}"));
    let parts = [&container, &cause.reason, &message];
    many + &parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(": ")
}

/// Returns `not judged: deployment/web in namespace team: …`.
pub(crate) fn not_judged(skipped: &Skipped) -> String {
    let place = Some(&skipped.namespace).filter(|namespace| !namespace.is_empty());
    let place = place.map_or(String::new(), |namespace| format!(" in namespace {namespace}"));
    printable(&format!("not judged: {}{place}: {}", skipped.object, skipped.reason))
}

/// Returns rows in columns, made printable: three spaces, no borders.
pub(crate) fn columns(rows: Vec<Vec<String>>) -> Vec<String> {
    let mut grid = Grid::new();
    grid.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        grid.add_row(row.iter().map(|cell| printable(cell)));
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
            header.extend(["EVIDENCE", "GENERATION", "OBSERVED", "SINCE", "RULE"]);
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
            text.extend(self.below(item).iter().map(|line| format!("  {}\n", printable(line))));
        }
        text.extend(report.skipped.iter().map(|skipped| not_judged(skipped) + "\n"));
        text.push_str(&summary(report, self.colour));
        text.push('\n');
        text
    }

    fn tells_skipped(&self) -> bool {
        true
    }
}

fn or_none(cell: Option<impl ToString>) -> String {
    cell.map_or_else(|| "<none>".to_owned(), |cell| cell.to_string())
}

impl Table {
    fn row(&self, item: &ItemReport) -> Vec<String> {
        let namespace = Some(&item.namespace).filter(|namespace| !namespace.is_empty());
        let mut row = vec![or_none(namespace), name(item), item.verdict.word().to_owned()];
        if self.wide {
            row.extend([
                or_none(evidence(item)),
                or_none(item.generation),
                or_none(item.observed_generation),
                or_none(item.since.map(|since| format!("{since:.0}"))),
                or_none(item.explain.as_ref().map(|explain| &explain.rule)),
            ]);
        }
        row.push(detail(item));
        row
    }

    /// Returns the lines below an object, not yet printable.
    fn below(&self, item: &ItemReport) -> Vec<String> {
        let explain = item.explain.as_ref().filter(|_| self.explain);
        let mut lines = Lines { label: if explain.is_some() { LONG_LABEL } else { LABEL }, lines: Vec::new() };
        let unread = item.notes.iter().filter(|note| !self.wide && !self.explain && note.word == "DetailUnavailable");
        for note in unread.filter(|_| item.verdict != Verdict::Complete) {
            lines.add("", &format!("detail unavailable: {}", note.message));
        }
        for note in &item.warnings {
            lines.add("warning", &note.to_string());
        }
        if self.wide || self.explain {
            lines.add_all("note", &item.notes);
        }
        let open = item.verdict != Verdict::Complete;
        for cause in item.causes.iter().filter(|_| open) {
            because(cause, &mut lines);
        }
        if let Some(explain) = explain {
            explanation(item, explain, &mut lines);
        }
        if open {
            if let Some((at, since)) = item.fails_at.zip(item.since) {
                lines.add("fails", &format!("{} after it began", human(at.duration_since(since))));
            }
            if !item.remedy.is_empty() {
                lines.add("remedy", &item.remedy);
            }
            if !item.looser.is_empty() {
                lines.add("looser", &item.looser.join("   or   "));
            }
        }
        lines.lines
    }
}

/// Lines with a word before each, in one column.
struct Lines {
    label: usize,
    lines: Vec<String>,
}

impl Lines {
    fn add(&mut self, word: &str, text: &str) {
        self.lines.push(format!("{word:<0$}{text}", self.label));
    }

    /// Adds one line each; the word stands before the first alone.
    fn add_all(&mut self, word: &str, texts: &[impl ToString]) {
        for (index, text) in texts.iter().enumerate() {
            self.add(if index == 0 { word } else { "" }, &text.to_string());
        }
    }
}

/// Returns `strong`, or weak evidence with its witness.
fn evidence(item: &ItemReport) -> Option<String> {
    let evidence = item.evidence?;
    Some(item.witness.map_or_else(|| evidence.to_owned(), |witness| format!("{evidence}({witness})")))
}

fn because(cause: &Cause, lines: &mut Lines) {
    lines.add("because", &headline(cause));
    let chain: String = cause.chain.iter().map(|owner| format!("  ← {owner}")).collect();
    lines.add("", &format!("{} {}{chain}", cause.object_kind.to_lowercase(), cause.name));
    let short = |texts: &[String]| texts.iter().map(|text| shorten(&printable(text), MOST)).collect::<Vec<_>>();
    lines.add_all("event", &short(&cause.events));
    lines.add_all("log", &short(&cause.log));
    for what in &cause.unavailable {
        lines.add("", &format!("detail unavailable: {what}"));
    }
}

fn explanation(item: &ItemReport, explain: &Explanation, lines: &mut Lines) {
    let (generation, observed) = (or_none(item.generation), or_none(item.observed_generation));
    let evidence = or_none(evidence(item));
    lines.add("evidence", &format!("{evidence}   generation {generation}   observedGeneration {observed}"));
    lines.add("rule", &explain.rule);
    let reads = explain.reads.iter().map(|read| format!("{} = {}", read.path, shorten(&printable(&read.value), MOST)));
    lines.add_all("looked at", &reads.collect::<Vec<_>>());
    lines.add_all("would flip it", &explain.flips);
}

pub(super) fn summary(report: &WaitReport, colour: bool) -> String {
    let counts = WORST_FIRST.iter().filter_map(|verdict| {
        let count = report.items.iter().filter(|item| item.verdict == *verdict).count();
        (count > 0).then(|| format!("{count} {}", verdict.word()))
    });
    let skipped = Some(report.skipped.len()).filter(|skipped| *skipped > 0);
    let counts = counts.chain(skipped.map(|skipped| format!("{skipped} not judged"))).collect::<Vec<_>>().join(", ");
    let counts = if counts.is_empty() { "no object".to_owned() } else { counts };
    #[expect(clippy::cast_possible_truncation, reason = "no wait lasts for so long")]
    let elapsed = human(SignedDuration::from_millis((report.elapsed_seconds * 1000.0) as i64));
    let word = match report.ended {
        Ended::TimedOut => "timed out",
        Ended::Stalled => "stalled",
        Ended::Interrupted => "interrupted",
        Ended::Cut => "cut",
        _ if report.exit_code == ExitCode::NoAnswer.code() => "no answer",
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
