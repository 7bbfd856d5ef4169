//! What people read of a plan: who spoke, what would go where, what is refused and what was noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::plan::{Class, Decision, Plan, PlannedImage, PlannedRepository, Refused};
use kubeguard_core::ecr::policy::Rule;

use super::super::screens::{day, lines, minute, row, short, size};
use crate::terminal::{Style, printable};

/// Returns what a plan says to people; with `wide` every entry that would go, or that only waits, has its line.
pub(super) fn plan(plan: &Plan, file: &Path, wide: bool, colour: bool) -> String {
    let mut text = clusters(plan);
    text.push('\n');
    text += &repositories(plan);
    if wide {
        text += &entries(plan);
    }
    text += &refusals(&plan.refused, colour);
    for finding in &plan.findings {
        let said = printable(&format!("{} {}: {}", finding.severity, finding.rule, finding.message));
        text += &format!("{said}\n  try: {}\n", printable(&finding.remedy.text));
    }
    let summary = &plan.summary;
    let watermark = plan.resolved.watermark.map(minute);
    let watermark = watermark.map_or(String::new(), |time| format!("; nothing pushed after {time} is touched"));
    let ies = if summary.refused_repositories == 1 { "y" } else { "ies" };
    text += &format!(
        "{} to delete, {} to archive, {} kept, {} repositor{ies} refused{watermark}\n",
        summary.delete, summary.archive, summary.keep, summary.refused_repositories
    );
    let until = minute(plan.resolved.expires);
    text += &format!("{}  sha256 {}…  valid until {until}\n", file.display(), short(&plan.sha256));
    text
}

fn clusters(plan: &Plan) -> String {
    let mut rows = vec![row(&["CLUSTER", "UID", "TAKEN", "KINDS", "REFERENCES", "COMPLETE"])];
    let spoken = |name: &str| plan.inventories.iter().find(|inventory| inventory.cluster == name);
    rows.extend(plan.clusters.iter().map(|cluster| match (spoken(&cluster.name), &cluster.standby_of) {
        (Some(said), _) => row(&[
            &cluster.name,
            said.uid.as_deref().map_or("-", |uid| uid.get(..8).unwrap_or(uid)),
            &ago(said.taken_at, plan.created_at),
            &said.kinds_read.map_or_else(|| said.kinds.to_string(), |read| format!("{read}/{}", said.kinds)),
            &said.references.to_string(),
            if said.complete { "yes" } else { "no" },
        ]),
        (None, Some(of)) => {
            let copied = spoken(of).map_or("-".to_owned(), |said| said.references.to_string());
            row(&[&cluster.name, "-", "-", "-", &copied, &format!("standby of {of}")])
        }
        (None, None) => row(&[&cluster.name, "-", "-", "-", "-", "no answer"]),
    }));
    lines(rows)
}

/// Returns how long ago something was, in its largest unit.
fn ago(time: Timestamp, now: Timestamp) -> String {
    let since = now.duration_since(time);
    if since < SignedDuration::ZERO {
        return time.to_string();
    }
    let seconds = since.as_secs();
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..172_800 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

fn repositories(plan: &Plan) -> String {
    let mut rows = vec![row(&["REPOSITORY", "RULE", "ENTRIES", "KEEP", "ARCHIVE", "DELETE", "SIZE", "NOTE"])];
    let mut by_name: BTreeMap<&str, Counts> = BTreeMap::new();
    let rules: BTreeMap<&str, &Rule> = plan.policy.rules.iter().map(|rule| (rule.name.as_str(), rule)).collect();
    let rule_of: BTreeMap<&str, &Rule> = plan
        .repositories
        .iter()
        .filter_map(|repository| Some((repository.name.as_str(), *rules.get(repository.rule.as_str())?)))
        .collect();
    for image in &plan.images {
        let rule = rule_of.get(image.repository.as_str()).copied();
        by_name.entry(&image.repository).or_default().add(image, rule);
    }
    let mut refused: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for one in &plan.refused {
        refused.entry(&one.repository).or_default().insert(one.reason.word());
    }
    for repository in &plan.repositories {
        let counts = by_name.remove(repository.name.as_str()).unwrap_or_default();
        let note = match refused.get(repository.name.as_str()) {
            Some(reasons) => format!("refused: {}", reasons.iter().cloned().collect::<Vec<_>>().join(", ")),
            None => counts.note(repository),
        };
        let size = if counts.bytes == 0 { "0 B".to_owned() } else { format!("≤ {}", size(counts.bytes)) };
        let [entries, keep, archive, delete] =
            [repository.entries, counts.keep, counts.archive, counts.delete].map(|count| count.to_string());
        rows.push(row(&[&repository.name, &repository.rule, &entries, &keep, &archive, &delete, &size, &note]));
    }
    lines(rows)
}

#[derive(Default)]
struct Counts {
    keep: u64,
    archive: u64,
    delete: u64,
    /// Kept by the quarantine alone, and from when the first of them may go.
    quarantined: u64,
    first: Option<Timestamp>,
    /// Kept because the rule only reports.
    reported: u64,
    bytes: u64,
    oldest: Option<Timestamp>,
}

impl Counts {
    fn add(&mut self, image: &PlannedImage, rule: Option<&Rule>) {
        match image.decision {
            Decision::Keep => self.keep += 1,
            Decision::Archive => self.archive += 1,
            Decision::Delete => self.delete += 1,
        }
        if image.candidate && image.decision == Decision::Keep {
            if image.kept.is_empty() {
                self.reported += 1;
            } else {
                self.quarantined += 1;
                let apart = rule.and_then(|rule| rule.quarantine).map(|quarantine| quarantine.apart.0);
                let from = image.candidate_since.zip(apart).and_then(|(since, apart)| since.checked_add(apart).ok());
                self.first = self.first.into_iter().chain(from).min();
            }
        }
        if image.decision != Decision::Keep && image.class != Class::Index {
            self.bytes = self.bytes.saturating_add(image.bytes.unwrap_or(0));
        }
        self.oldest = self.oldest.into_iter().chain(image.pushed_at).min();
    }

    fn note(&self, repository: &PlannedRepository) -> String {
        let mut notes = Vec::new();
        let s = |number: u64| if number == 1 { "" } else { "s" };
        if self.quarantined > 0 {
            let first = self.first.map_or(String::new(), |first| format!(", first may go {}", day(first)));
            notes.push(format!("{} candidate{} in quarantine{first}", self.quarantined, s(self.quarantined)));
        }
        if self.reported > 0 {
            notes.push(format!("{} candidate{}, the rule only reports", self.reported, s(self.reported)));
        }
        if self.archive > 0 {
            notes.push("archive is a safety net, not a saving".to_owned());
        }
        notes.extend(repository.notes.iter().cloned());
        if let Some(oldest) = self.oldest.filter(|_| notes.is_empty()) {
            notes.push(format!("oldest push {}", day(oldest)));
        }
        notes.join("; ")
    }
}

/// Returns a line for every entry that would go, or that nothing but quarantine, a refusal or a report keeps.
fn entries(plan: &Plan) -> String {
    let goes = plan.images.iter().filter(|image| image.candidate || image.decision != Decision::Keep);
    let mut rows = vec![row(&["REPOSITORY", "DIGEST", "TAGS", "DECISION", "BORN", "SIZE", "BECAUSE"])];
    rows.extend(goes.map(|image| {
        let decision = match image.decision {
            Decision::Delete => "delete",
            Decision::Archive => "archive",
            Decision::Keep => "wait",
        };
        let because = match image.kept.first() {
            Some(vote) => vote.by.clone(),
            None if image.decision == Decision::Keep => "the rule only reports".to_owned(),
            None => image.because.join("; "),
        };
        let tags = if image.tags.is_empty() { "-".to_owned() } else { image.tags.join(",") };
        let born = image.born.map_or("-".to_owned(), day);
        let bytes = image.bytes.map_or("-".to_owned(), size);
        let digest = format!("sha256:{}…", short(&image.digest.hex()));
        row(&[&image.repository, &digest, &tags, decision, &born, &bytes, &because])
    }));
    if rows.len() > 1 { format!("\n{}\n", lines(rows)) } else { String::new() }
}

/// Returns what is refused; what is refused in several repositories for one reason is told once.
fn refusals(refused: &[Refused], colour: bool) -> String {
    let mut told: BTreeMap<(String, &str, Option<&str>), BTreeSet<&str>> = BTreeMap::new();
    for one in refused {
        let key = (one.reason.word(), one.message.as_str(), one.by.as_deref());
        told.entry(key).or_default().insert(&one.repository);
    }
    let mut text = String::new();
    for ((word, message, by), repositories) in told {
        let reason = refused.iter().find(|one| one.reason.word() == word).map(|one| one.reason);
        let place = match (repositories.len(), repositories.first()) {
            (1, Some(name)) => (*name).to_owned(),
            (number, _) => format!("{number} repositories"),
        };
        let by = by.filter(|by| !message.contains(by)).map_or(String::new(), |by| format!(" ({by})"));
        let line = printable(&format!("{place} refused: {word}: {message}{by}"));
        text += &Style::Bad.paint(&line, colour);
        text += &reason.map_or("\n".to_owned(), |reason| format!("\n  try: {}\n", reason.remedy()));
    }
    text
}

/// Returns the planned images, one a line.
pub(super) fn names(plan: &Plan) -> String {
    let planned = plan.images.iter().filter(|image| image.decision != Decision::Keep);
    planned.map(|image| format!("{}@{}\n", image.repository, image.digest)).collect()
}

#[cfg(test)]
mod tests {
    use super::ago;

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        for (time, told) in [
            ("2026-11-22T09:59:48Z", "12s ago"),
            ("2026-11-22T09:58:59Z", "1m ago"),
            ("2026-11-22T08:00:00Z", "2h ago"),
            ("2026-11-20T10:00:00Z", "2d ago"),
            ("2026-11-22T10:00:01Z", "2026-11-22T10:00:01Z"),
        ] {
            assert_eq!(ago(time.parse().unwrap(), now), told);
        }
    }
}
