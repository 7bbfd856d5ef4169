//! Why an image stays or goes, and from when it may go: the answer to one question about a plan, as data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plan::{Class, Decision, Plan, PlannedImage, PlannedRepository, RefusalReason, Refused, Vote, VoteKind};
use super::planning::names::is_image;
use super::policy::{Action, Rule, Window};
use super::snapshot::Status;
use super::state::{CleanState, Deletion};
use crate::images::{Digest, ImageRef};

/// AWS archives nothing for a shorter time than this.
const ARCHIVED_AT_LEAST: Window = Window::days(90);

/// What a plan says about one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// As it was asked for.
    pub image: String,
    /// The plan's clock.
    pub created_at: Timestamp,
    /// Entries that the image names, by digest; none where it is not in the registry.
    pub entries: Vec<Explained>,
    /// Nothing but refusals keeps one of them: it would go, if everybody who must speak had spoken.
    pub incomplete: bool,
}

/// What a plan says about one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The entry with its decision and votes.
    pub entry: PlannedImage,
    /// Votes in all, those that the plan does not list included.
    pub votes: u64,
    /// What it keeps: its children, and what is attached to it; by digest.
    pub keeps: Vec<Neighbour>,
    /// Indexes that list it, and what it is attached to; by digest.
    pub belongs_to: Vec<Neighbour>,
    /// Why nothing may go in its repository, where that is so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// When it may go, where something keeps it and a time can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_go: Option<MayGo>,
}

/// Another entry of the same repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its digest.
    pub digest: Digest,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `child`, `attached`, `parent` or `subject`.
    pub relation: String,
}

/// From when an entry may go, if what keeps it now is taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MayGo {
    /// What must be taken away first: each once, in the order of votes.
    pub without: Vec<VoteKind>,
    /// The time, if no vote is added; that of the plan where nothing but `without` keeps it.
    pub from: Timestamp,
    /// What lasts until then: a setting, `quarantine`, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Plans in which it must be a candidate, this one not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plans: Option<u64>,
}

/// Explains an image of a plan: `repository:tag`, `repository@digest`, a repository alone for all its entries, or a whole
/// reference.
///
/// A plan lists ten votes of a kind; [`plan_explaining`](super::planning::plan_explaining) makes one that lists all of
/// this image.
#[must_use]
pub fn explain(plan: &Plan, image: &str) -> Explanation {
    let wanted = Wanted::of(plan, image);
    let entries: Vec<&PlannedImage> = plan.images.iter().filter(|entry| wanted.is(entry)).collect();
    let around = Around::of(plan, &wanted.repository);
    let entries: Vec<Explained> = entries.into_iter().map(|entry| around.explained(plan, entry)).collect();
    let incomplete = entries.iter().any(Explained::is_incomplete);
    Explanation { image: image.to_owned(), created_at: plan.created_at, entries, incomplete }
}

/// Returns the deletions of an image that earlier runs have recorded, newest first: why it is not in the registry.
#[must_use]
pub fn deletions<'a>(state: &'a CleanState, plan: &Plan, image: &str) -> Vec<&'a Deletion> {
    let wanted = Wanted::of(plan, image);
    let is = |deletion: &&Deletion| {
        deletion.repository == wanted.repository
            && wanted.digest.is_none_or(|digest| digest == deletion.digest)
            && (wanted.digest.is_some() || wanted.tag.as_ref().is_none_or(|tag| deletion.tags.contains(tag)))
    };
    let mut found: Vec<&Deletion> = state.deleted.iter().filter(is).collect();
    found.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.digest.cmp(&b.digest)));
    found
}

/// Returns whether a text is an image, or a repository, that [`explain`] can look for.
#[must_use]
pub fn is_askable(image: &str) -> bool {
    is_image(image, false)
}

impl Explained {
    /// Returns whether nothing keeps it but evidence that is missing. A cap is no evidence.
    fn is_incomplete(&self) -> bool {
        let evidence = self.refused.iter().any(|refused| refused.reason != RefusalReason::CapExceeded);
        evidence && self.entry.kept.iter().all(is_refusal)
    }
}

fn is_refusal(vote: &Vote) -> bool {
    vote.vote == VoteKind::Unknown && vote.by.starts_with("refused/")
}

/// What is asked for.
struct Wanted {
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Wanted {
    fn of(plan: &Plan, image: &str) -> Self {
        let first = image.split('/').next().unwrap_or_default();
        let has_host = image.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        let text = if has_host { image.to_owned() } else { format!("{}/{image}", plan.registry.host()) };
        let named = image.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
        match ImageRef::parse(&text, &plan.policy.hosts()) {
            ImageRef::Ecr(key) if key.registry == plan.registry => {
                Self { repository: key.repository, tag: key.tag.filter(|_| named), digest: key.digest }
            }
            _ => Self { repository: String::new(), tag: None, digest: None },
        }
    }

    /// With a tag and a digest both are meant.
    fn is(&self, entry: &PlannedImage) -> bool {
        let tagged = self.tag.as_ref().is_some_and(|tag| entry.tags.contains(tag));
        let pinned = self.digest == Some(entry.digest);
        let all = self.tag.is_none() && self.digest.is_none();
        entry.repository == self.repository && (all || tagged || pinned)
    }
}

/// One repository with who belongs to whom.
struct Around<'a> {
    repository: Option<&'a PlannedRepository>,
    rule: Option<&'a Rule>,
    images: BTreeMap<Digest, &'a PlannedImage>,
    parents: BTreeMap<Digest, BTreeSet<Digest>>,
    attached: BTreeMap<Digest, BTreeSet<Digest>>,
}

impl<'a> Around<'a> {
    fn of(plan: &'a Plan, name: &str) -> Self {
        let repository = plan.repositories.iter().find(|repository| repository.name == name);
        let rule = repository.and_then(|own| plan.policy.rules.iter().find(|rule| rule.name == own.rule));
        let mut around =
            Self { repository, rule, images: BTreeMap::new(), parents: BTreeMap::new(), attached: BTreeMap::new() };
        for image in plan.images.iter().filter(|image| image.repository == name) {
            around.images.insert(image.digest, image);
            for child in &image.children {
                around.parents.entry(*child).or_default().insert(image.digest);
            }
            for subject in &image.subjects {
                around.attached.entry(*subject).or_default().insert(image.digest);
            }
        }
        around
    }

    fn neighbours<'b>(
        &'b self,
        digests: impl IntoIterator<Item = &'b Digest>,
        relation: &'b str,
    ) -> impl Iterator<Item = Neighbour> {
        digests.into_iter().filter_map(move |digest| {
            let tags = self.images.get(digest)?.tags.clone();
            Some(Neighbour { digest: *digest, tags, relation: relation.to_owned() })
        })
    }

    fn explained(&self, plan: &Plan, entry: &PlannedImage) -> Explained {
        let attached = self.attached.get(&entry.digest).into_iter().flatten();
        let parents = self.parents.get(&entry.digest).into_iter().flatten();
        let mut keeps: Vec<Neighbour> =
            self.neighbours(&entry.children, "child").chain(self.neighbours(attached, "attached")).collect();
        let mut belongs_to: Vec<Neighbour> =
            self.neighbours(parents, "parent").chain(self.neighbours(&entry.subjects, "subject")).collect();
        keeps.sort();
        belongs_to.sort();
        let name = self.repository.map(|repository| repository.name.as_str());
        let refused = plan.refused.iter().filter(|refused| Some(refused.repository.as_str()) == name);
        Explained {
            votes: entry.kept.iter().map(|vote| 1 + vote.more.unwrap_or(0)).sum(),
            keeps,
            belongs_to,
            refused: refused.cloned().collect(),
            may_go: self.rule.and_then(|rule| may_go(plan, entry, rule, self.parents.contains_key(&entry.digest))),
            entry: entry.clone(),
        }
    }
}

/// Tells from when an entry may go, as far as that is known; `None` for what goes or nothing but a report keeps, and where
/// no time can be told.
fn may_go(plan: &Plan, entry: &PlannedImage, rule: &Rule, is_child: bool) -> Option<MayGo> {
    let only_refused = entry.kept.iter().all(is_refusal);
    if entry.decision != Decision::Keep || only_refused || rule.action == Action::Report {
        return None;
    }
    let now = plan.created_at;
    let mut limits: Vec<(Timestamp, &str)> = Vec::new();
    let mut without = BTreeSet::new();
    let mut until = |since: Option<Timestamp>, window: Window, because: &'static str| {
        let end = since.and_then(|since| since.checked_add(window.0).ok());
        limits.extend(end.filter(|end| *end > now).map(|end| (end, because)));
    };
    for vote in entry.kept.iter().filter(|vote| !is_refusal(vote)) {
        match vote.vote {
            VoteKind::Age | VoteKind::Pulled => {}
            VoteKind::RecentUse if vote.by.starts_with("quarantine: ") => {}
            // The day is told, not the hour: it may go the day after.
            VoteKind::RecentUse => {
                let day = vote.by.strip_prefix("used ").and_then(|rest| rest.get(..10)?.parse().ok());
                let day = day.and_then(|day: jiff::civil::Date| {
                    jiff::tz::TimeZone::UTC.to_timestamp(day.tomorrow().ok()?.at(0, 0, 0, 0)).ok()
                });
                until(day, rule.keep_used_within, "keepUsedWithin");
            }
            VoteKind::Unknown if vote.by.ends_with(": pullThroughMinAge") => {
                until(entry.born.max(entry.last_pulled_at), rule.pull_through_min_age, "pullThroughMinAge");
            }
            // Nobody can tell when that ends.
            VoteKind::Unknown => return None,
            kind => drop(without.insert(kind)),
        }
    }
    let in_use = [VoteKind::InUse, VoteKind::Standby].iter().any(|kind| without.contains(kind));
    if in_use && !rule.keep_used_within.is_zero() {
        until(Some(now), rule.keep_used_within, "keepUsedWithin");
    }
    let has_age = |of: &str| entry.kept.iter().any(|vote| vote.vote == VoteKind::Age && vote.by.ends_with(of));
    let follows = entry.class == Class::Attached && !entry.subjects.is_empty() && !has_age("minAge");
    let untagged_root = entry.tags.is_empty() && !is_child;
    if !follows {
        let least = if untagged_root { rule.untagged_min_age } else { rule.min_age };
        let because = if untagged_root { "untaggedMinAge" } else { "minAge" };
        until(entry.born, least, because);
    }
    if has_age("foreign-pulls") {
        until(entry.born, rule.foreign_pull_min_age, "foreignPullMinAge");
    }
    if entry.status == Status::Archived {
        let archived_for = if rule.action == Action::ArchiveThenDelete { rule.archive_for } else { Window::default() };
        until(entry.archived_at, archived_for.max(ARCHIVED_AT_LEAST), "archived");
    }
    if !rule.keep_pulled_within.is_zero() {
        until(entry.last_pulled_at, rule.keep_pulled_within, "keepPulledWithin");
    }
    let others = limits.iter().copied().max();
    let mut plans = None;
    if let Some(quarantine) = rule.quarantine {
        // The row begins with the first plan in which nothing else keeps it.
        let begins = match (entry.candidate_since, others) {
            (Some(since), _) => since,
            (None, Some((end, _))) => end,
            (None, None) => now,
        };
        let end = begins.checked_add(quarantine.apart.0).ok()?;
        limits.push((end.max(now), "quarantine"));
        plans = Some(quarantine.plans.saturating_sub(u64::from(entry.candidate_since.is_some())).max(1));
    }
    let (from, because) = limits.into_iter().max().map_or((now, None), |(end, because)| (end, Some(because)));
    // An age that no setting of the rule explains, as that of a watermark or of a tag of the repository.
    let unexplained =
        entry.kept.iter().any(|vote| matches!(vote.vote, VoteKind::Age | VoteKind::Pulled)) && others.is_none();
    if unexplained {
        return None;
    }
    Some(MayGo { without: without.into_iter().collect(), from, because: because.map(ToOwned::to_owned), plans })
}
