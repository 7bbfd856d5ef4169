//! The entries of one repository: every page, each entry once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Progress, Stop};
use crate::ecr::registry::{BATCH, CallError, ErrorKind, Registry};
use crate::ecr::snapshot::Entry;
use crate::images::Digest;

/// Lists a repository to its end, sorted by digest.
pub(super) async fn list<R: Registry>(
    registry: &R,
    repository: &str,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Vec<Entry>, Stop> {
    let mut merged = Merged::default();
    let (mut next, mut seen, mut rows) = (None, HashSet::new(), 0);
    loop {
        let page = registry.entries(repository, next).await?;
        rows += page.entries.len();
        for row in page.entries {
            // It may carry the tag that something needs, so nothing of this repository can be judged.
            merged.add(row.map_err(|row| Stop::unreadable(format!("an entry cannot be identified: {row}")))?);
        }
        progress(Progress::Page { repository, entries: rows });
        next = page.next.filter(|token| !token.is_empty());
        let Some(token) = &next else { break };
        let mut hash = DefaultHasher::new();
        token.hash(&mut hash);
        if !seen.insert(hash.finish()) {
            return Err(Stop::unreadable("DescribeImages gave the same page token twice".to_owned()));
        }
    }
    Ok(merged.sorted())
}

/// Rows of several pages; pushes between pages may repeat some.
#[derive(Default)]
struct Merged {
    entries: Vec<Entry>,
    places: HashMap<Digest, usize>,
}

impl Merged {
    fn add(&mut self, mut row: Entry) {
        row.tags.sort_unstable();
        row.tags.dedup();
        let place = *self.places.entry(row.digest).or_insert(self.entries.len());
        let Some(known) = self.entries.get_mut(place) else {
            self.entries.push(row);
            return;
        };
        let tags: BTreeSet<String> = known.tags.drain(..).chain(row.tags.drain(..)).collect();
        row.conflicting = known.conflicting;
        let conflicting = known.conflicting || *known != row;
        known.tags = tags.into_iter().collect();
        known.conflicting = conflicting;
    }

    fn sorted(mut self) -> Vec<Entry> {
        self.entries.sort_unstable_by_key(|entry| entry.digest);
        self.entries
    }
}

/// Describes entries by digest, in batches. One that is not there fails a whole call, so a call that fails so is halved.
///
/// Returns what is there.
///
/// # Errors
/// Any other failure of the call.
pub async fn describe<R: Registry>(
    registry: &R,
    repository: &str,
    digests: &[Digest],
) -> Result<Vec<Entry>, CallError> {
    let mut found = Vec::with_capacity(digests.len());
    let mut parts: Vec<&[Digest]> = digests.chunks(BATCH).rev().collect();
    while let Some(part) = parts.pop() {
        match registry.describe(repository, part).await {
            Ok(entries) => found.extend(entries),
            Err(error) if error.kind == ErrorKind::ImageNotFound => {
                let (left, right) = part.split_at(part.len() / 2);
                if !left.is_empty() {
                    parts.extend([right, left]);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecr::snapshot::Status;

    fn row(name: &str, tags: &[&str], pushed_at: &str) -> Entry {
        Entry {
            digest: Digest::of(name.as_bytes()),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            pushed_at: pushed_at.parse().ok(),
            bytes: None,
            media_type: None,
            artifact_type: None,
            last_pulled_at: None,
            subject: None,
            status: Status::Active,
            last_archived_at: None,
            last_activated_at: None,
            conflicting: false,
        }
    }

    fn merge(rows: Vec<Entry>) -> Vec<Entry> {
        let mut merged = Merged::default();
        for row in rows {
            merged.add(row);
        }
        merged.sorted()
    }

    #[test]
    fn rows_of_one_digest_become_one_entry_with_all_tags() {
        let at = "2026-01-01T00:00:00Z";
        let merged = merge(vec![row("a", &["v2", "v1"], at), row("a", &["v3"], at), row("a", &["v1", "v2"], at)]);
        assert_eq!(merged, [row("a", &["v1", "v2", "v3"], at)]);
    }

    #[test]
    fn rows_that_contradict_each_other_are_marked_for_good() {
        let (at, later) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        let merged = merge(vec![row("a", &[], at), row("a", &[], later), row("a", &[], at)]);
        assert_eq!(merged.len(), 1);
        assert!(merged[0].conflicting);
    }
}
