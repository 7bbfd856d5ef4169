//! What people read of an apply: the question, the calls, what became of everything.

use std::collections::BTreeMap;
use std::path::Path;

use kubeguard_core::ecr::apply::{Applied, Call, Item, ItemState, SkipReason};
use kubeguard_core::ecr::plan::{Decision, Plan};

use super::super::screens::{lines, row, short, size};
use crate::terminal::{Style, Terminal, printable};

/// Shows what would happen, and asks.
pub(super) fn confirmed(plan: &Plan, file: &Path, terminal: Terminal) -> bool {
    let mut rows = vec![row(&["REPOSITORY", "DELETE", "ARCHIVE"])];
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for image in &plan.images {
        let count = counts.entry(&image.repository).or_default();
        match image.decision {
            Decision::Delete => count.0 += 1,
            Decision::Archive => count.1 += 1,
            Decision::Keep => {}
        }
    }
    let some = counts.into_iter().filter(|(_, count)| *count != (0, 0));
    rows.extend(some.map(|(name, (delete, archive))| row(&[name, &delete.to_string(), &archive.to_string()])));
    terminal.complain(lines(rows).trim_end());
    let summary = &plan.summary;
    let what = format!(
        "{}: {} to delete, {} to archive in {} (≤ {}); deleted images cannot be taken back",
        file.display(),
        summary.delete,
        summary.archive,
        plan.registry,
        size(summary.bytes)
    );
    terminal.complain(&what);
    terminal.ask("carry it out?")
}

/// Returns calls, one a line.
pub(super) fn calls(calls: &[Call]) -> String {
    if calls.is_empty() {
        return "no calls\n".to_owned();
    }
    let mut rows = vec![row(&["CALL", "OPERATION", "REPOSITORY", "ORDER", "IDS"])];
    rows.extend(calls.iter().enumerate().map(|(at, call)| {
        let id = |id: &kubeguard_core::ecr::registry::ImageId| {
            let digest = id.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
            format!("{}{digest}", id.tag.as_deref().unwrap_or_default())
        };
        let ids: Vec<String> = call.ids.iter().map(id).collect();
        let (at, order) = ((at + 1).to_string(), call.order.to_string());
        row(&[&at, call.operation.name(), &call.repository, &order, &ids.join(" ")])
    }));
    lines(rows)
}

/// Returns what is gone or archived, one a line.
pub(super) fn names(applied: &Applied) -> String {
    let acted = |item: &&Item| matches!(item.state, ItemState::Deleted | ItemState::Archived | ItemState::Due);
    applied.items.iter().filter(acted).map(|item| format!("{}@{}\n", item.repository, item.digest)).collect()
}

/// Returns what became of a plan; with `wide` every entry has its line.
pub(super) fn applied(plan: &Plan, applied: &Applied, journal: &Path, wide: bool, colour: bool) -> String {
    let caller = applied.caller.as_deref().map_or(String::new(), |caller| format!(", now {}", role(caller)));
    let mut text = format!("plan {}… of {} by {}{caller}\n", short(&plan.sha256), plan.created_at, role(&plan.caller));
    if !applied.inventories.is_empty() {
        let read = applied.inventories.iter().map(|inventory| {
            let gap = if inventory.complete { "" } else { " (incomplete)" };
            let s = if inventory.references == 1 { "" } else { "s" };
            format!("{} {} reference{s}{gap}", inventory.cluster, inventory.references)
        });
        text += &format!("usage read again: {}\n", read.collect::<Vec<_>>().join(", "));
    }
    let mut rows = vec![row(&["REPOSITORY", "DIGEST", "TAGS", "RESULT", "REASON"])];
    let mut done: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for item in &applied.items {
        let as_planned =
            matches!(item.state, ItemState::Deleted | ItemState::Archived | ItemState::Gone | ItemState::Due);
        let unreached = item.reason == Some(SkipReason::NotReached);
        if !wide && (as_planned || unreached) {
            let word = if unreached { "not reached" } else { word(item.state) };
            *done.entry((&item.repository, word)).or_default() += 1;
        } else {
            let digest = format!("sha256:{}…", short(&item.digest.hex()));
            rows.push(row(&[&item.repository, &digest, &item.tags.join(","), word(item.state), &reason(item)]));
        }
    }
    let entry = |count: u64| if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
    rows.extend(done.into_iter().map(|((name, word), count)| row(&[name, &entry(count), "", word, ""])));
    if rows.len() > 1 {
        text += &lines(rows);
    }
    if applied.rehearsed && !applied.calls.is_empty() {
        text += &calls(&applied.calls);
    }
    for refused in &applied.refused {
        let said = format!("{} refused: {}: {}", refused.repository, refused.reason.word(), refused.message);
        text += &Style::Bad.paint(&printable(&said), colour);
        text.push('\n');
    }
    for finding in &applied.findings {
        text += &printable(&format!("{} {}: {}", finding.severity, finding.rule, finding.message));
        text.push('\n');
    }
    if let Some(stop) = &applied.stopped {
        text += &Style::Bad.paint(&printable(&format!("stopped: {:?}: {}", stop.reason, stop.message)), colour);
        text.push('\n');
    }
    text += &totals(plan, applied);
    if !applied.rehearsed && journal.exists() {
        text += &format!("{}\n", journal.display());
    }
    text
}

fn totals(plan: &Plan, applied: &Applied) -> String {
    let sum = &applied.summary;
    let counts = [
        (sum.deleted, "deleted"),
        (sum.archived, "archived"),
        (sum.gone, "gone before"),
        (sum.due, "would go"),
        (sum.skipped, "skipped"),
        (sum.failed, "failed"),
        (sum.unconfirmed, "unconfirmed"),
    ];
    let some = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| {
        let goes = matches!(*word, "deleted" | "would go") && sum.bytes > 0;
        if goes { format!("{count} {word} (≤ {})", size(sum.bytes)) } else { format!("{count} {word}") }
    });
    let said: Vec<String> = some.collect();
    let said = if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") };
    let acted = sum.deleted + sum.archived > 0 && !applied.rehearsed;
    let verified = match (acted && plan.policy.apply.verify, applied.findings.len()) {
        (false, _) => String::new(),
        (true, 0) => "; verify: every reference in use still resolves".to_owned(),
        (true, new) => format!("; verify: {new} new findings"),
    };
    format!("{said}{verified}\n")
}

/// The part of an ARN that says who it is.
fn role(arn: &str) -> &str {
    arn.rsplit_once(':').map_or(arn, |(_, role)| role)
}

const fn word(state: ItemState) -> &'static str {
    match state {
        ItemState::Deleted => "deleted",
        ItemState::Archived => "archived",
        ItemState::Gone => "gone before",
        ItemState::Skipped => "skipped",
        ItemState::Failed => "failed",
        ItemState::Unconfirmed => "unconfirmed",
        ItemState::Due => "would go",
    }
}

fn reason(item: &Item) -> String {
    let word = match (&item.reason, &item.code) {
        (Some(SkipReason::Refused(reason)), _) => reason.word(),
        (Some(reason), _) => format!("{reason:?}"),
        (None, Some(code)) => code.clone(),
        (None, None) => String::new(),
    };
    match &item.by {
        Some(by) if !word.is_empty() => format!("{word}: {by}"),
        Some(by) => by.clone(),
        None => word,
    }
}
