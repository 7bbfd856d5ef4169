//! Takes archived images back, with what they list and what is attached to them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::registry::{ErrorKind, Registry, StorageClass};
use super::snapshot::{RepositorySnapshot, Status};
use crate::images::Digest;

/// What became of one archived entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// Repository.
    pub repository: String,
    /// Digest.
    pub digest: Digest,
    /// Its status as the call answers; absent where it failed. A restoration takes up to 20 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Why not, in the registry's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Returns the archived entries that some entries need to be pulled, themselves included: children before the indexes
/// that list them, what is attached last. Entries that are not archived are left out.
#[must_use]
pub fn restorable(repository: &RepositorySnapshot, wanted: &[Digest]) -> Vec<Digest> {
    let mut walk = Walk { repository, seen: BTreeSet::new(), order: Vec::new() };
    for digest in wanted {
        walk.visit(*digest);
    }
    let archived = |digest: &Digest| {
        let entry = repository.entries.iter().find(|entry| entry.digest == *digest);
        entry.is_some_and(|entry| entry.status == Status::Archived)
    };
    walk.order.retain(archived);
    walk.order
}

struct Walk<'a> {
    repository: &'a RepositorySnapshot,
    seen: BTreeSet<Digest>,
    order: Vec<Digest>,
}

impl Walk<'_> {
    fn visit(&mut self, start: Digest) {
        // Each entry twice: first its children go before it, then it goes before what is attached to it.
        let mut open = vec![(start, false)];
        while let Some((digest, ready)) = open.pop() {
            if ready {
                self.order.push(digest);
                open.extend(self.attached(digest).into_iter().map(|attached| (attached, false)));
            } else if self.seen.insert(digest) {
                open.push((digest, true));
                let index = self.repository.indexes.get(&digest);
                open.extend(index.into_iter().flat_map(|index| &index.children).map(|child| (child.digest, false)));
            }
        }
    }

    fn attached(&self, digest: Digest) -> Vec<Digest> {
        let hex = format!("sha256-{}", digest.hex());
        let names = |tag: &String| {
            tag.strip_prefix(&hex).is_some_and(|suffix| matches!(suffix, "" | ".sig" | ".att" | ".sbom"))
        };
        let indexes = &self.repository.indexes;
        let is_attached = |entry: &&super::snapshot::Entry| {
            entry.subject == Some(digest)
                || indexes.get(&entry.digest).is_some_and(|index| index.subject == Some(digest))
                || entry.tags.iter().any(names)
        };
        self.repository.entries.iter().filter(is_attached).map(|entry| entry.digest).collect()
    }
}

/// Restores archived entries in their order, one call each; those that are refused are tried once more, the other way
/// round: which of an index and its children must come first is not documented.
///
/// Returns what became of each, in the order given. Without valid credentials the rest is not tried.
pub async fn restore<R: Registry>(registry: &R, repository: &str, digests: &[Digest]) -> Vec<Restored> {
    let blank =
        |digest: &Digest| Restored { repository: repository.to_owned(), digest: *digest, status: None, error: None };
    let mut restored: Vec<Restored> = digests.iter().map(blank).collect();
    for backwards in [false, true] {
        let mut places: Vec<usize> = (0..restored.len()).collect();
        if backwards {
            places.reverse();
        }
        for place in places {
            let Some(item) = restored.get_mut(place).filter(|item| item.status.is_none()) else { continue };
            match registry.set_storage_class(repository, item.digest, StorageClass::Standard).await {
                Ok(status) => (item.status, item.error) = (Some(status), None),
                Err(error) => {
                    item.error = Some(error.to_string());
                    if error.kind == ErrorKind::Credentials {
                        return restored;
                    }
                }
            }
        }
    }
    restored
}
