//! How fast a repository grows, by what earlier runs saw.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::ecr::snapshot::RepositorySnapshot;
use crate::ecr::state::{CleanState, EntryHistory};
use crate::images::Digest;

/// What is gone is remembered for this long, so further back the past is not known.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(24 * 90);
/// Over less time a rate says nothing.
const LEAST: SignedDuration = SignedDuration::from_hours(24);

/// How many entries there were, and when there will be too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// The oldest run that can be compared with.
    pub since: Timestamp,
    /// Entries then.
    pub entries_then: u64,
    /// Entries that are added in 30 days, those that go taken off.
    pub entries_per_month: i64,
    /// Whole days until the quota is full at that rate; absent where it does not grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_to_quota: Option<u64>,
}

/// Compares a repository with what it was at the oldest recorded plan of the last 90 days, at least one day ago.
pub(super) fn of(repository: &RepositorySnapshot, state: &CleanState, now: Timestamp, quota: u64) -> Option<Growth> {
    let plans = state.plans.iter().map(|plan| plan.at);
    let comparable = |at: &Timestamp| (LEAST..=KNOWN_FOR).contains(&now.duration_since(*at));
    let since = plans.filter(comparable).min()?;
    let name = &repository.repository.name;
    let history = state.repositories.iter().find(|history| history.name == *name)?;
    let present: HashSet<Digest> = repository.entries.iter().map(|entry| entry.digest).collect();
    let then_of_present = repository.entries.iter().filter(|entry| entry.pushed_at.is_some_and(|at| at <= since));
    let gone = history.entries.iter().filter(|entry| !present.contains(&entry.digest));
    let then_of_gone = gone.filter(|entry| was_there(entry, since));
    let deleted = state.deleted.iter().filter(|deletion| {
        // Whether it was there already is not known any more; what was deleted was old as a rule.
        deletion.repository == *name && deletion.at > since && !present.contains(&deletion.digest)
    });
    let then = (then_of_present.count() + then_of_gone.count() + deleted.count()) as u64;
    let entries = repository.entries.len() as u64;
    let seconds = i128::from(now.duration_since(since).as_secs());
    let grown = i128::from(entries) - i128::from(then);
    let month = i128::from(SignedDuration::from_hours(24 * 30).as_secs());
    let left = i128::from(quota.saturating_sub(entries));
    let days = (grown > 0).then(|| left * seconds / (grown * 86_400));
    Some(Growth {
        since,
        entries_then: then,
        entries_per_month: i64::try_from(grown * month / seconds).unwrap_or(i64::MAX),
        days_to_quota: days.and_then(|days| u64::try_from(days).ok()),
    })
}

/// Whether an entry that is gone now was there at a time.
fn was_there(entry: &EntryHistory, at: Timestamp) -> bool {
    let first = entry.tags.iter().map(|tag| tag.first_seen).chain(entry.candidate_since).chain(entry.manifest_read_at);
    entry.last_seen.is_some_and(|last| last >= at) && first.min().is_none_or(|first| first <= at)
}
