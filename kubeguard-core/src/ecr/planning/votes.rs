//! What keeps an entry beside usage: its age, its rank, pulls, pins, and everything that is not known of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::super::plan::{Class, VoteKind};
use super::super::policy::{Action, Orphans, Policy, PullThrough, Untagged, Window};
use super::super::snapshot::{RepositorySnapshot, Status};
use super::super::state::{EntryHistory, RepositoryHistory};
use super::recorded::Recorded;
use super::usage::Judged;
use crate::images::Digest;

/// AWS archives nothing for a shorter time than this.
const ARCHIVED_AT_LEAST: Window = Window::days(90);

/// What earlier runs saw of one repository.
#[derive(Default)]
pub(super) struct History<'a> {
    entries: HashMap<Digest, &'a EntryHistory>,
    /// Newest uses that inventories recorded beside the plans.
    recorded: Option<&'a HashMap<Digest, Recorded>>,
}

impl<'a> History<'a> {
    pub(super) fn new(
        repository: Option<&'a RepositoryHistory>,
        recorded: Option<&'a HashMap<Digest, Recorded>>,
    ) -> Self {
        let entries = repository.into_iter().flat_map(|repository| &repository.entries);
        Self { entries: entries.map(|entry| (entry.digest, entry)).collect(), recorded }
    }

    pub(super) fn of(&self, digest: Digest) -> Option<&'a EntryHistory> {
        self.entries.get(&digest).copied()
    }

    /// Returns the newest use that was recorded, and by whom.
    fn last_used(&self, digest: Digest) -> Option<(Timestamp, &'a str)> {
        let by_plans = self
            .of(digest)
            .and_then(|entry| Some((entry.last_used?, entry.last_used_by.as_deref().unwrap_or_default())));
        let beside = self.recorded.and_then(|recorded| recorded.get(&digest));
        by_plans.max(beside.map(|used| (used.last, used.by.as_str())))
    }

    /// Returns since when an entry has been a candidate in a row of plans, and in how many, this one included.
    ///
    /// `None` where it was none before, or was used since.
    pub(super) fn candidate(&self, digest: Digest, now: Timestamp) -> Option<(Timestamp, usize)> {
        let entry = self.of(digest)?;
        let since = entry.candidate_since?;
        let used = self.last_used(digest).is_some_and(|(used, _)| used > since);
        (!used).then(|| (since, entry.candidate_plans.iter().filter(|at| **at != now).count() + 1))
    }
}

/// What all repositories are judged by.
pub(super) struct Moment<'a> {
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
    /// The oldest inventory's start with its margin, and its cluster.
    pub(super) watermark: Option<(Timestamp, &'a str)>,
    /// Prefixes of pull-through rules.
    pub(super) cached: BTreeSet<&'a str>,
}

/// Returns the newest of push, last activation and first sighting of each tag.
pub(super) fn born(repository: &RepositorySnapshot, at: usize, history: &History<'_>) -> Option<Timestamp> {
    let entry = repository.entries.get(at)?;
    let sighted = first_sightings(entry.digest, &entry.tags, history);
    Some(entry.pushed_at?).into_iter().chain(entry.last_activated_at).chain(sighted).max()
}

fn first_sightings<'a>(
    digest: Digest,
    tags: &'a [String],
    history: &History<'a>,
) -> impl Iterator<Item = Timestamp> + use<'a> {
    let known = history.of(digest).map(|entry| entry.tags.as_slice()).unwrap_or_default();
    known.iter().filter(|known| tags.contains(&known.tag)).map(|known| known.first_seen)
}

/// Casts every vote that needs no inventory; returns whether somebody pulls whom no inventory explains.
pub(super) fn cast(
    repository: &mut Judged<'_>,
    snapshot: &RepositorySnapshot,
    history: &History<'_>,
    moment: &Moment<'_>,
) -> bool {
    let births: Vec<Option<Timestamp>> = (0..snapshot.entries.len()).map(|at| born(snapshot, at, history)).collect();
    if snapshot.aws_tags.get("kubeguard/keep").is_some_and(|value| value == "true") {
        repository.vote_all(VoteKind::Pinned, "AWS tag kubeguard/keep", None);
    }
    newest(repository, &births, moment);
    let mut voter = Voter { repository, snapshot, history, moment, births: &births };
    let (foreign, through) = (voter.foreign_pull(), voter.pull_through());
    for at in 0..snapshot.entries.len() {
        voter.unknown(at);
        voter.age(at, foreign);
        voter.recent_use(at);
        voter.pulled(at);
        voter.pinned(at);
        voter.artifact(at);
        if let Some(action) = through {
            voter.cached(at, action);
        }
    }
    foreign
}

/// The newest roots stay, at least one; listed artifact types are counted apart.
///
/// Only active roots take a place, and none without a valid date. Where none of a kind is active, those that could be
/// restored take the places: the last image that could run must not go either.
fn newest(repository: &mut Judged<'_>, births: &[Option<Timestamp>], moment: &Moment<'_>) {
    let most = repository.rule.keep_newest.max(1);
    let latest = moment.now.checked_add(moment.policy.max_clock_skew.0).unwrap_or(Timestamp::MAX);
    let mut kinds: BTreeMap<&str, Vec<(bool, Timestamp, Digest, usize)>> = BTreeMap::new();
    for (at, entry) in repository.graph.entries.iter().enumerate() {
        let could_be = repository.graph.could_be_root(at);
        let Some(born) = births[at].filter(|born| could_be && *born <= latest) else { continue };
        let artifact = entry.artifact_type.as_ref().map(super::super::snapshot::MediaType::as_str).unwrap_or_default();
        let listed = repository.rule.artifacts.iter().any(|pattern| pattern.matches(artifact));
        let active = repository.graph.is_root(at);
        kinds.entry(if listed { artifact } else { "" }).or_default().push((active, born, entry.digest, at));
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut chosen = Vec::new();
    for roots in kinds.values_mut() {
        roots.sort_unstable_by(|a, b| b.cmp(a));
        if roots.first().is_some_and(|(active, ..)| *active) {
            roots.retain(|(active, ..)| *active);
        }
        chosen.extend(roots.iter().take(most).enumerate().map(|(rank, (.., at))| (*at, rank + 1)));
    }
    let name = repository.rule.name.clone();
    for (at, rank) in chosen {
        repository.vote(at, VoteKind::Newest, format!("policy/{name}: {rank} of {most}"), None);
    }
}

struct Voter<'a, 'r> {
    repository: &'a mut Judged<'r>,
    snapshot: &'a RepositorySnapshot,
    history: &'a History<'a>,
    moment: &'a Moment<'a>,
    births: &'a [Option<Timestamp>],
}

impl Voter<'_, '_> {
    fn vote(&mut self, at: usize, vote: VoteKind, by: impl Into<String>) {
        self.repository.vote(at, vote, by, None);
    }

    fn since(&self, time: Timestamp) -> SignedDuration {
        self.moment.now.duration_since(time)
    }

    /// Returns whether an entry follows what it is attached to, and has no age or rank of its own.
    fn follows(&self, at: usize) -> bool {
        self.repository.graph.classes[at] == Class::Attached && self.repository.graph.has_subject(at)
    }

    fn unknown(&mut self, at: usize) {
        let entry = &self.snapshot.entries[at];
        let skew = self.moment.policy.max_clock_skew.0;
        let causes = [
            (entry.pushed_at.is_none(), "no push time"),
            (entry.pushed_at.is_some_and(|pushed| self.since(pushed) < -skew), "a push time in the future"),
            (self.repository.graph.classes[at] == Class::Unknown, "an unknown media type"),
            (self.repository.graph.sparse[at], "an index that lists a missing child"),
            (!matches!(entry.status, Status::Active | Status::Archived), "an unknown or passing status"),
            (entry.status == Status::Archived && entry.last_archived_at.is_none(), "archived, and not since when"),
            (entry.conflicting, "rows that contradict each other"),
        ];
        for (_, cause) in causes.into_iter().filter(|(applies, _)| *applies) {
            self.vote(at, VoteKind::Unknown, cause);
        }
    }

    fn age(&mut self, at: usize, foreign: bool) {
        let entry = &self.snapshot.entries[at];
        let rule = self.repository.rule;
        // A tag or a push that the oldest inventory cannot have seen.
        if let Some((watermark, cluster)) = self.moment.watermark {
            let sighted = first_sightings(entry.digest, &entry.tags, self.history).max();
            if entry.pushed_at.into_iter().chain(sighted).any(|time| time > watermark) {
                self.vote(at, VoteKind::Age, format!("oldest-inventory: {cluster}"));
            }
        }
        if let (Status::Archived, Some(archived)) = (&entry.status, entry.last_archived_at) {
            let least = match rule.action {
                Action::ArchiveThenDelete => rule.archive_for.max(ARCHIVED_AT_LEAST),
                _ => ARCHIVED_AT_LEAST,
            };
            let (days, needed) = (self.since(archived).as_hours() / 24, least.0.as_hours() / 24);
            if self.since(archived) < least.0 {
                self.vote(at, VoteKind::Age, format!("archived {days} d of {needed}"));
            }
        }
        let Some(born) = self.births[at].filter(|_| !self.follows(at)) else { return };
        let untagged_root = entry.tags.is_empty() && self.repository.graph.is_root(at);
        let (setting, least) =
            if untagged_root { ("untaggedMinAge", rule.untagged_min_age) } else { ("minAge", rule.min_age) };
        if self.since(born) < least.0 {
            self.vote(at, VoteKind::Age, format!("policy/{}: {setting}", rule.name));
        }
        if foreign && self.since(born) < rule.foreign_pull_min_age.0 {
            self.vote(at, VoteKind::Age, "foreign-pulls");
        }
    }

    /// Returns whether somebody pulls from this repository whom no inventory explains.
    fn foreign_pull(&self) -> bool {
        if self.repository.rule.foreign_pull_min_age.is_zero() {
            return false;
        }
        let month = SignedDuration::from_hours(24 * 30);
        let (lag, own) = (SignedDuration::from_hours(48), SignedDuration::from_hours(24));
        let just_read: HashSet<&Digest> = self.snapshot.manifests_read.iter().collect();
        self.snapshot.entries.iter().enumerate().any(|(at, entry)| {
            let Some(pulled) = entry.last_pulled_at.filter(|pulled| self.since(*pulled) < month) else { return false };
            let used = self.repository.votes[at].iter().any(|vote| {
                matches!(vote.vote, VoteKind::InUse | VoteKind::Rollback | VoteKind::Standby | VoteKind::RecentUse)
            });
            let history = self.history.of(entry.digest);
            let was_used =
                self.history.last_used(entry.digest).is_some_and(|(used, _)| used.duration_since(pulled).abs() < lag);
            let now = just_read.contains(&entry.digest).then_some(self.moment.now);
            let read = history.and_then(|entry| entry.manifest_read_at);
            let ours = now.into_iter().chain(read).any(|read| {
                let since = pulled.duration_since(read);
                since > -own && since < own
            });
            !used && !was_used && !ours
        })
    }

    fn recent_use(&mut self, at: usize) {
        let window = self.repository.rule.keep_used_within;
        let used = self.history.last_used(self.snapshot.entries[at].digest);
        if let Some((used, by)) = used.filter(|(used, _)| !window.is_zero() && self.since(*used) < window.0) {
            let day = used.strftime("%Y-%m-%d");
            self.vote(at, VoteKind::RecentUse, format!("used {day} by {by}"));
        }
    }

    fn pulled(&mut self, at: usize) {
        let window = self.repository.rule.keep_pulled_within;
        let pulled = self.snapshot.entries[at].last_pulled_at.filter(|_| !window.is_zero() && !self.follows(at));
        if let Some(pulled) = pulled.filter(|pulled| self.since(*pulled) < window.0) {
            self.vote(at, VoteKind::Pulled, format!("pulled {pulled}"));
        }
    }

    fn pinned(&mut self, at: usize) {
        let entry = &self.snapshot.entries[at];
        let (rule, pins) = (self.repository.rule, &self.moment.policy.pins.tags);
        for (setting, patterns) in [("pins.tags", pins), ("keepTags", &rule.keep_tags)] {
            let matched = patterns.iter().find(|pattern| entry.tags.iter().any(|tag| pattern.matches(tag)));
            if let Some(pattern) = matched {
                self.vote(at, VoteKind::Pinned, format!("{setting}: {}", pattern.text));
            }
        }
        let is_root = self.repository.graph.is_root(at);
        let is_child = !self.repository.graph.parents[at].is_empty();
        let chooses = is_root || is_child && !entry.tags.is_empty();
        let selected = entry.tags.iter().all(|tag| rule.select_tags.iter().any(|pattern| pattern.matches(tag)));
        if chooses && !rule.select_tags.is_empty() && !entry.tags.is_empty() && !selected {
            self.vote(at, VoteKind::Pinned, format!("policy/{}: selectTags", rule.name));
        }
        let kept = match rule.untagged {
            Untagged::Include => false,
            Untagged::Only => !entry.tags.is_empty(),
            Untagged::Skip => entry.tags.is_empty(),
        };
        if is_root && kept {
            self.vote(at, VoteKind::Pinned, format!("policy/{}: untagged", rule.name));
        }
        if entry.status == Status::Archived && rule.action == Action::Archive {
            self.vote(at, VoteKind::Pinned, format!("policy/{}: archived already", rule.name));
        }
    }

    fn artifact(&mut self, at: usize) {
        let orphan = self.repository.graph.classes[at] == Class::Attached
            && !self.follows(at)
            && self.repository.rule.orphaned_artifacts == Orphans::Keep;
        if self.repository.graph.classes[at] == Class::Artifact || orphan {
            let entry = &self.snapshot.entries[at];
            let kind = entry.artifact_type.as_ref().or(entry.media_type.as_ref());
            let kind = kind.map_or("attached", super::super::snapshot::MediaType::as_str).to_owned();
            self.vote(at, VoteKind::Artifact, kind);
        }
    }

    /// Returns what may happen here, where the repository is a cache of another registry.
    fn pull_through(&self) -> Option<PullThrough> {
        let name = self.snapshot.repository.name.as_str();
        let below = |prefix: &&str| {
            *prefix == "ROOT"
                || name.strip_prefix(prefix.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
        };
        self.moment.cached.iter().any(below).then_some(self.repository.rule.pull_through)
    }

    fn cached(&mut self, at: usize, through: PullThrough) {
        if through == PullThrough::Keep {
            return self.vote(at, VoteKind::Unknown, format!("policy/{}: pullThrough", self.repository.rule.name));
        }
        let pulled = self.snapshot.entries[at].last_pulled_at;
        let newest = self.births[at].into_iter().chain(pulled).max();
        let window = self.repository.rule.pull_through_min_age;
        if newest.is_none_or(|newest| self.since(newest) < window.0) {
            self.vote(at, VoteKind::Unknown, format!("policy/{}: pullThroughMinAge", self.repository.rule.name));
        }
    }
}
