//! Usage that may mean any entry of a repository: each counts for all of them, and is kept once.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::plan::VoteKind;
use super::usage::Judged;
use super::written::MOST_VOTES;

/// Who may need any entry, or any that was there by some time.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Cause, field, and the time by which an entry must have been pushed, if one is known.
    causes: BTreeSet<(String, String, Option<Timestamp>)>,
    /// Per entry: causes beyond those that are listed; empty where there are no doubts.
    unlisted: Vec<u64>,
}

impl Doubts {
    pub(super) fn add(&mut self, cause: String, path: &str, pushed_by: Option<Timestamp>) {
        self.causes.insert((cause, path.to_owned(), pushed_by));
    }

    /// Returns how many doubts keep an entry beyond those that are listed as its votes.
    pub(super) fn unlisted(&self, at: usize) -> u64 {
        self.unlisted.get(at).copied().unwrap_or(0)
    }
}

/// Casts the votes of all doubts: of each entry the first ones, and the number of the others.
///
/// Costs as much as causes and entries together, not one by the other. `all` names entries that list every doubt.
pub(super) fn cast(repository: &mut Judged<'_>, all: &BTreeSet<usize>) {
    let causes: Vec<_> = std::mem::take(&mut repository.doubts.causes).into_iter().collect();
    if causes.is_empty() {
        return;
    }
    // Latest first: whoever began later may need more.
    let mut by_time: Vec<(Timestamp, usize)> =
        causes.iter().enumerate().map(|(rank, (.., by))| (by.unwrap_or(Timestamp::MAX), rank)).collect();
    by_time.sort_unstable_by(|a, b| b.cmp(a));
    // An entry without a push time may have been there always.
    let pushed = |at: &usize| repository.graph.entries[*at].pushed_at.unwrap_or(Timestamp::MIN);
    let mut entries: Vec<usize> = (0..repository.graph.entries.len()).collect();
    entries.sort_unstable_by_key(|at| std::cmp::Reverse(pushed(at)));
    repository.doubts.unlisted = vec![0; entries.len()];
    let (mut first, mut count) = (BTreeSet::new(), 0);
    for at in entries {
        let pushed = repository.graph.entries[at].pushed_at.unwrap_or(Timestamp::MIN);
        while let Some((_, rank)) = by_time.get(count).filter(|(by, _)| *by >= pushed) {
            count += 1;
            first.insert(*rank);
            if first.len() > MOST_VOTES {
                first.pop_last();
            }
        }
        let listed: Vec<usize> = if all.contains(&at) {
            by_time.iter().take(count).map(|(_, rank)| *rank).collect()
        } else {
            first.iter().copied().collect()
        };
        repository.doubts.unlisted[at] = u64::try_from(count - listed.len()).unwrap_or(u64::MAX);
        for rank in listed {
            let (cause, path, _) = &causes[rank];
            repository.vote(at, VoteKind::Unknown, cause.clone(), Some(path));
        }
    }
}
