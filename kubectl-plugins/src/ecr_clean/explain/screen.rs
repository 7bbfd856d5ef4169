//! What people read of an explanation.

use std::collections::BTreeSet;

use kubeguard_core::ecr::explain::{Explained, Explanation, MayGo, Neighbour};
use kubeguard_core::ecr::plan::{Decision, PlannedImage, Vote, VoteKind};
use kubeguard_core::ecr::state::Deletion;

use super::super::NAME;
use super::super::screens::{day, lines, minute, row, short, size};
use crate::terminal::printable;

/// Returns why the entries of an image stay or go; with `wide` nothing is shortened.
pub(super) fn explanation(explanation: &Explanation, wide: bool) -> String {
    let mut text = String::new();
    for explained in &explanation.entries {
        text += &entry(explained, explanation.created_at, wide);
    }
    if explanation.entries.len() > 1 {
        text += &format!("{} entries; {NAME} explain REPOSITORY:TAG names one\n", explanation.entries.len());
    }
    text
}

/// Returns when an image went, by which plan, and who used it last.
pub(super) fn deletion(deletion: &Deletion) -> String {
    let Deletion { repository, digest, tags, at, plan, last_used, last_used_by } = deletion;
    let name = tags.iter().map(|tag| format!("{repository}:{tag}")).collect::<Vec<_>>().join(" ");
    let name = if name.is_empty() { format!("{repository} untagged") } else { name };
    let used = match (last_used, last_used_by) {
        (Some(used), Some(by)) => format!("last used {} by {by}", day(*used)),
        (Some(used), None) => format!("last used {}", day(*used)),
        (None, _) => "no use of it was recorded".to_owned(),
    };
    format!("{name}  {digest} was deleted {} by plan {}; {used}", minute(*at), short(plan))
}

fn entry(explained: &Explained, now: jiff::Timestamp, wide: bool) -> String {
    let image = &explained.entry;
    let tags: Vec<String> = image.tags.iter().map(|tag| format!("{}:{tag}", image.repository)).collect();
    let name = if tags.is_empty() { format!("{} untagged", image.repository) } else { tags.join(" ") };
    let mut facts = vec![word(&image.class)];
    facts.extend(image.bytes.map(size));
    facts.push(image.pushed_at.map_or("no push time".to_owned(), |pushed| {
        format!("pushed {} ({}d)", day(pushed), now.duration_since(pushed).as_hours() / 24)
    }));
    facts.extend(image.last_pulled_at.map(|pulled| format!("last pulled {}", day(pulled))));
    facts.extend(image.archived_at.map(|archived| format!("archived {}", day(archived))));
    let mut text = printable(&format!("{name}  {}  {}", image.digest, facts.join(", ")));
    text.push('\n');
    if wide {
        text += &printable(&more(image));
        text.push('\n');
    }
    match (image.decision, explained.votes) {
        (Decision::Keep, 0) => text += "WOULD GO: the rule only reports\n",
        (Decision::Keep, votes) => {
            text += &format!("KEPT by {votes} {}\n", if votes == 1 { "vote" } else { "votes" });
            let mut rows = vec![row(&["VOTE", "BY", "PATH"])];
            for vote in &image.kept {
                let more = vote.more.map_or(String::new(), |more| format!(" and {more} more"));
                let by = format!("{}{more}", vote.by);
                rows.push(row(&[&word(&vote.vote), &by, vote.path.as_deref().unwrap_or_default()]));
            }
            text += &lines(rows);
        }
        (decision, _) => {
            let verb = if decision == Decision::Delete { "GOES" } else { "IS ARCHIVED" };
            text += &printable(&format!("{verb}: {}", image.because.join("; ")));
            text.push('\n');
        }
    }
    let verb =
        if image.decision == Decision::Keep { "keeps with it" } else { "go with it, if nothing else keeps them" };
    for (what, neighbours) in [(verb, &explained.keeps), ("belongs to", &explained.belongs_to)] {
        if !neighbours.is_empty() {
            let names: Vec<String> = neighbours.iter().map(if wide { whole } else { neighbour }).collect();
            text += &printable(&format!("{what}: {}", names.join(", ")));
            text.push('\n');
        }
    }
    for refused in &explained.refused {
        text += &printable(&format!("refused: {}: {}", refused.reason.word(), refused.message));
        text += &format!("\n  try: {}\n", refused.reason.remedy());
    }
    if let Some(may_go) = &explained.may_go {
        text += &when(may_go, &image.kept);
    }
    text
}

/// What a wide answer tells of an entry: its type, its state, its times to the second, its place in the order.
fn more(image: &PlannedImage) -> String {
    let told = [
        ("type", image.media_type.as_ref().map(|media_type| media_type.as_str().to_owned())),
        ("status", Some(word(&image.status))),
        ("pushed", image.pushed_at.map(|time| time.to_string())),
        ("born", image.born.map(|time| time.to_string())),
        ("pulled", image.last_pulled_at.map(|time| time.to_string())),
        ("archived", image.archived_at.map(|time| time.to_string())),
        ("candidate since", image.candidate_since.map(|time| time.to_string())),
        ("order", image.order.map(|order| order.to_string())),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    told.collect::<Vec<_>>().join(", ")
}

fn whole(neighbour: &Neighbour) -> String {
    let Neighbour { digest, tags, relation } = neighbour;
    let tags = if tags.is_empty() { String::new() } else { format!(" {}", tags.join(" ")) };
    format!("{relation} {digest}{tags}")
}

fn neighbour(neighbour: &Neighbour) -> String {
    match neighbour.tags.first() {
        // The tag of a signature holds the digest that it signs.
        Some(tag) if tag.len() > 71 && tag.starts_with("sha256-") => {
            format!("{}….{}", tag.get(..11).unwrap_or(tag), tag.rsplit('.').next().unwrap_or_default())
        }
        Some(tag) => tag.clone(),
        None => format!("sha256:{}…", short(&neighbour.digest.hex())),
    }
}

fn when(may_go: &MayGo, votes: &[Vote]) -> String {
    let mut without: Vec<String> = Vec::new();
    for kind in &may_go.without {
        let word = match kind {
            VoteKind::InUse => {
                let users = votes.iter().filter(|vote| vote.vote == VoteKind::InUse);
                let kinds: BTreeSet<&str> = users.filter_map(|vote| vote.by.split('/').nth(2)).collect();
                without.extend(kinds.into_iter().map(|kind| format!("the {kind}")));
                continue;
            }
            VoteKind::Rollback => "rollback",
            VoteKind::RecentUse => "its last use",
            VoteKind::Age | VoteKind::Newest => "its place among the newest",
            VoteKind::Pulled => "its last pull",
            VoteKind::Pinned => "pin",
            VoteKind::Artifact => "its type",
            VoteKind::Referenced => "what it belongs to",
            VoteKind::Standby => "standby",
            VoteKind::Inspector => "what Inspector saw",
            VoteKind::Unknown => "what is not known",
        };
        without.push(word.to_owned());
    }
    let without = match without.split_last() {
        None => "it".to_owned(),
        Some((one, [])) => format!("without {one} it"),
        Some((last, others)) => format!("without {} and {last} it", others.join(", ")),
    };
    let because = may_go.because.as_deref().map_or(String::new(), |because| format!(" ({because})"));
    let plans = match may_go.plans {
        Some(plans) if plans > 1 => format!(", as a candidate in {plans} more plans"),
        _ => String::new(),
    };
    format!("{without} may go from {}{because}{plans}\n", minute(may_go.from))
}

fn word<T: serde::Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}
