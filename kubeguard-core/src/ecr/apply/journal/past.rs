//! What earlier runs of the same plan left in a journal.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Event, Line};
use crate::ecr::apply::outcome::ItemState;
use crate::images::Digest;

/// What earlier runs did, or were about to do when they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// Who held the lease last.
    pub holder: Option<String>,
    named: HashMap<String, HashMap<Digest, BTreeSet<String>>>,
    done: HashMap<String, HashMap<Digest, ItemState>>,
    tombstones: HashMap<String, HashSet<Digest>>,
}

impl Past {
    /// Reads it from the lines of a journal.
    ///
    /// # Errors
    /// Why these lines are not of this plan, in words.
    pub(super) fn of(lines: &[Line], plan: &str) -> Result<Self, String> {
        let mut past = Self::default();
        for line in lines {
            match &line.event {
                Event::Start { plan: other, .. } if other != plan => {
                    return Err(format!("it is the journal of another plan, {other}"));
                }
                Event::Lease { holder, .. } => past.holder = Some(holder.clone()),
                Event::Intent { repository, ids, .. } => past.name(repository, ids),
                Event::Confirm { repository, digest, state, .. } => past.found(repository, *digest, *state),
                Event::Tombstone { repository, digest } => past.bury(repository, *digest),
                _ => {}
            }
        }
        Ok(past)
    }

    /// Notes what a call names.
    pub(in crate::ecr::apply) fn name(&mut self, repository: &str, ids: &[crate::ecr::registry::ImageId]) {
        let named = self.named.entry(repository.to_owned()).or_default();
        for id in ids {
            if let Some(digest) = id.digest {
                named.entry(digest).or_default().extend(id.tag.clone());
            }
        }
    }

    /// Notes what became of an entry.
    pub(in crate::ecr::apply) fn found(&mut self, repository: &str, digest: Digest, state: ItemState) {
        if matches!(state, ItemState::Deleted | ItemState::Archived | ItemState::Gone) {
            self.done.entry(repository.to_owned()).or_default().insert(digest, state);
        }
    }

    /// Notes that a manifest was put aside.
    pub(in crate::ecr::apply) fn bury(&mut self, repository: &str, digest: Digest) {
        self.tombstones.entry(repository.to_owned()).or_default().insert(digest);
    }

    /// Returns whether a call of this plan named an entry.
    #[must_use]
    pub fn named(&self, repository: &str, digest: Digest) -> bool {
        self.named.get(repository).is_some_and(|named| named.contains_key(&digest))
    }

    /// Returns whether a call of this plan named a tag of an entry.
    #[must_use]
    pub fn untagged(&self, repository: &str, digest: Digest, tag: &str) -> bool {
        self.named.get(repository).and_then(|named| named.get(&digest)).is_some_and(|tags| tags.contains(tag))
    }

    /// Returns what became of an entry for good.
    #[must_use]
    pub fn done(&self, repository: &str, digest: Digest) -> Option<ItemState> {
        self.done.get(repository).and_then(|done| done.get(&digest)).copied()
    }

    /// Returns whether the manifest of an entry was put aside.
    #[must_use]
    pub fn buried(&self, repository: &str, digest: Digest) -> bool {
        self.tombstones.get(repository).is_some_and(|buried| buried.contains(&digest))
    }
}
