//! What people read: tables, explanations, progress.

use std::collections::BTreeMap;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use kubeguard_core::ecr::look::Progress;
use kubeguard_core::ecr::plan::{Class, Decision, Plan, PlannedImage};
use kubeguard_core::images::Inventory;
use kubeguard_core::images::gather::Step;
use kubeguard_core::images::inventory::ReadStatus;

use super::NAME;
use crate::output::columns;
use crate::terminal::{Style, Terminal, printable};

pub(super) fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| printable(cell)).collect()
}

pub(super) fn lines(rows: Vec<Vec<String>>) -> String {
    columns(rows).join("\n") + "\n"
}

/// Returns a size as people read it.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(super) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// Returns a line for each cluster, and below it what could not be read; with `wide` every kind.
pub(super) fn inventories(inventories: &[Inventory], wide: bool) -> String {
    let mut rows = vec![row(&["CLUSTER", "UID", "TAKEN", "KINDS", "REFERENCES", "SUSPICIOUS", "COMPLETE"])];
    for inventory in inventories {
        let read = inventory.kinds.iter().filter(|kind| kind.status == ReadStatus::Ok).count();
        rows.push(row(&[
            &inventory.cluster,
            inventory.uid.as_deref().map_or("-", |uid| uid.get(..8).unwrap_or(uid)),
            &inventory.taken_at.to_string(),
            &format!("{read}/{}", inventory.kinds.len()),
            &inventory.references.len().to_string(),
            &inventory.suspicious.len().to_string(),
            if inventory.complete { "yes" } else { "no" },
        ]));
    }
    let mut text = lines(rows);
    for inventory in inventories {
        let unread = inventory.kinds.iter().filter(|kind| !matches!(kind.status, ReadStatus::Ok));
        for kind in unread {
            let status = serde_json::to_value(kind.status).ok();
            let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or_default().to_owned();
            let message = kind.message.as_deref().map_or(String::new(), |message| format!(": {message}"));
            text += &printable(&format!("{}: {} {status}{message}", inventory.cluster, kind.resource));
            text.push('\n');
        }
        if wide {
            let kinds = inventory.kinds.iter().filter(|kind| kind.status == ReadStatus::Ok);
            let mut rows = vec![row(&["CLUSTER", "API", "KIND", "OBJECTS", "PAGES", "REFERENCES"])];
            rows.extend(kinds.map(|kind| {
                let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
                let (objects, pages, found) = (number(kind.objects), number(kind.pages), number(kind.references));
                row(&[&inventory.cluster, &kind.api_version, &kind.resource, &objects, &pages, &found])
            }));
            text += &lines(rows);
        }
    }
    text
}

/// Returns what a plan says to people.
pub(super) fn plan(plan: &Plan, file: &Path, colour: bool) -> String {
    let mut text = String::new();
    let mut rows = vec![row(&["CLUSTER", "UID", "TAKEN", "KINDS", "REFERENCES", "COMPLETE"])];
    rows.extend(plan.clusters.iter().map(|cluster| {
        let spoken = plan.inventories.iter().find(|inventory| inventory.cluster == cluster.name);
        match (spoken, &cluster.standby_of) {
            (Some(said), _) => row(&[
                &cluster.name,
                said.uid.as_deref().map_or("-", |uid| uid.get(..8).unwrap_or(uid)),
                &said.taken_at.to_string(),
                &said.kinds.to_string(),
                &said.references.to_string(),
                if said.complete { "yes" } else { "no" },
            ]),
            (None, Some(of)) => row(&[&cluster.name, "-", "-", "-", "-", &format!("standby of {of}")]),
            (None, None) => row(&[&cluster.name, "-", "-", "-", "-", "no answer"]),
        }
    }));
    text += &lines(rows);
    text.push('\n');

    let mut rows = vec![row(&["REPOSITORY", "RULE", "ENTRIES", "KEEP", "ARCHIVE", "DELETE", "SIZE", "NOTE"])];
    let mut by_name: BTreeMap<&str, Counts> = BTreeMap::new();
    for image in &plan.images {
        by_name.entry(&image.repository).or_default().add(image);
    }
    for repository in &plan.repositories {
        let counts = by_name.remove(repository.name.as_str()).unwrap_or_default();
        let refused = plan.refused.iter().find(|refused| refused.repository == repository.name);
        let note = match refused {
            Some(refused) => format!("refused: {}", refused.reason.word()),
            None if counts.waiting > 0 => format!("{} candidates wait", counts.waiting),
            None => repository.notes.join("; "),
        };
        let size = if counts.bytes == 0 { "0 B".to_owned() } else { format!("≤ {}", size(counts.bytes)) };
        let [entries, keep, archive, delete] =
            [repository.entries, counts.keep, counts.archive, counts.delete].map(|count| count.to_string());
        rows.push(row(&[&repository.name, &repository.rule, &entries, &keep, &archive, &delete, &size, &note]));
    }
    text += &lines(rows);

    let mut said = std::collections::BTreeSet::new();
    for refused in &plan.refused {
        // What is refused everywhere is told once.
        let everywhere = plan.refused.iter().filter(|other| other.message == refused.message).count() > 1;
        let place = if everywhere { "refused" } else { refused.repository.as_str() };
        let line = format!("{place}: {}: {}", refused.reason.word(), refused.message);
        if said.insert(line.clone()) {
            text += &Style::Bad.paint(&printable(&line), colour);
            text.push('\n');
        }
    }
    for finding in &plan.findings {
        let said = printable(&format!("{} {}: {}", finding.severity, finding.rule, finding.message));
        text += &format!("{said}\n  try: {}\n", printable(&finding.remedy.text));
    }
    let summary = &plan.summary;
    let watermark =
        plan.resolved.watermark.map_or(String::new(), |time| format!("; nothing pushed after {time} is touched"));
    text += &format!(
        "{} to delete, {} to archive, {} kept, {} repositories refused{watermark}\n",
        summary.delete, summary.archive, summary.keep, summary.refused_repositories
    );
    text += &format!("{}  sha256 {}…  valid until {}\n", file.display(), short(&plan.sha256), plan.resolved.expires);
    text
}

#[derive(Default)]
struct Counts {
    keep: u64,
    archive: u64,
    delete: u64,
    /// Kept by quarantine, refusal or report alone.
    waiting: u64,
    bytes: u64,
}

impl Counts {
    fn add(&mut self, image: &PlannedImage) {
        match image.decision {
            Decision::Keep => self.keep += 1,
            Decision::Archive => self.archive += 1,
            Decision::Delete => self.delete += 1,
        }
        self.waiting += u64::from(image.candidate && image.decision == Decision::Keep);
        if image.decision != Decision::Keep && image.class != Class::Index {
            self.bytes = self.bytes.saturating_add(image.bytes.unwrap_or(0));
        }
    }
}

/// Returns the planned images, one a line.
pub(super) fn names(plan: &Plan) -> String {
    let planned = plan.images.iter().filter(|image| image.decision != Decision::Keep);
    planned.map(|image| format!("{}@{}\n", image.repository, image.digest)).collect()
}

/// Returns the images of a plan that a reference names: `repository:tag`, `repository@digest`, with or without a host.
pub(super) fn found<'a>(plan: &'a Plan, text: &str) -> Vec<&'a PlannedImage> {
    let host = format!("{}/", plan.registry.host());
    let text = text.strip_prefix(&host).unwrap_or(text);
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let wanted = |image: &&PlannedImage| {
        image.repository == name
            && digest.is_none_or(|digest| image.digest.to_string() == digest)
            && (digest.is_some() || tag.is_none_or(|tag| image.tags.iter().any(|known| known == tag)))
    };
    plan.images.iter().filter(wanted).collect()
}

/// Returns why images stay or go.
pub(super) fn explanation(plan: &Plan, images: &[&PlannedImage]) -> String {
    let mut text = String::new();
    for image in images {
        let tags = if image.tags.is_empty() { "untagged".to_owned() } else { image.tags.join(", ") };
        let pushed = image.pushed_at.map_or("no push time".to_owned(), |time| format!("pushed {time}"));
        let bytes = image.bytes.map_or(String::new(), |bytes| format!(", {}", size(bytes)));
        text += &printable(&format!("{}  {tags}  {}{bytes}, {pushed}", image.repository, image.digest));
        text.push('\n');
        match (image.decision, image.kept.len()) {
            (Decision::Keep, 0) => text += "WOULD GO: the rule only reports\n",
            (Decision::Keep, votes) => {
                text += &format!("KEPT by {votes} {}\n", if votes == 1 { "vote" } else { "votes" });
                let mut rows = vec![row(&["VOTE", "BY", "PATH"])];
                for vote in &image.kept {
                    let word = serde_json::to_value(vote.vote).ok();
                    let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or_default().to_owned();
                    let more = vote.more.map_or(String::new(), |more| format!(" and {more} more"));
                    rows.push(row(&[&word, &format!("{}{more}", vote.by), vote.path.as_deref().unwrap_or_default()]));
                }
                text += &lines(rows);
            }
            (decision, _) => {
                let verb = if decision == Decision::Delete { "GOES" } else { "IS ARCHIVED" };
                text += &printable(&format!("{verb}: {}", image.because.join("; ")));
                text.push('\n');
            }
        }
        let follows = plan.images.iter().filter(|other| {
            other.repository == image.repository
                && (image.children.contains(&other.digest) || other.subjects.contains(&image.digest))
        });
        let follows: Vec<String> = follows
            .map(|other| other.tags.first().cloned().unwrap_or_else(|| short(&other.digest.hex()).to_owned()))
            .collect();
        if !follows.is_empty() {
            text += &printable(&format!("belongs to it: {}", follows.join(", ")));
            text.push('\n');
        }
    }
    if images.len() > 1 {
        text += &format!("{} entries; {NAME} explain REPOSITORY:TAG names one\n", images.len());
    }
    text
}

/// A line on a terminal that tells how far a reading is.
pub(super) struct Reading(Option<ProgressBar>);

impl Reading {
    pub(super) fn new(terminal: Terminal) -> Self {
        Self(terminal.is_live().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            bar
        }))
    }

    pub(super) fn cluster(&self, name: &str, step: &Step) {
        let Some(bar) = &self.0 else { return };
        match step {
            Step::Kinds(kinds) => bar.set_message(format!("{name}: {kinds} kinds")),
            Step::Kind(kind) => bar.set_message(format!("{name}: {} of {}", kind.resource, kind.api_version)),
        }
    }

    pub(super) fn registry(&self, step: Progress<'_>) {
        let Some(bar) = &self.0 else { return };
        match step {
            Progress::Listed { all, chosen } => bar.set_message(format!("{chosen} of {all} repositories")),
            Progress::Page { repository, entries } => bar.set_message(format!("{repository}: {entries} entries")),
            Progress::Read { repository, done, of, .. } => {
                bar.set_message(format!("{done}/{of} repositories: {repository}"));
            }
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
