//! Manifests that were read without a plan: the next one must not take our own reads for somebody's pulls.

use jiff::Timestamp;

use super::{CleanState, EntryHistory, RepositoryHistory, TagHistory};
use crate::ecr::snapshot::{Entry, RegistrySnapshot};

impl CleanState {
    /// Returns the state after manifests of a registry were read. Nothing counts for a quarantine.
    #[must_use]
    pub fn after_reads(&self, registry: &RegistrySnapshot) -> Self {
        let mut state = self.clone();
        for read in registry.repositories.iter().filter(|repository| !repository.manifests_read.is_empty()) {
            let name = &read.repository.name;
            let at = match state.repositories.binary_search_by(|known| known.name.cmp(name)) {
                Ok(at) => at,
                Err(at) => {
                    state.repositories.insert(at, RepositoryHistory { name: name.clone(), entries: Vec::new() });
                    at
                }
            };
            let history = &mut state.repositories[at];
            for digest in &read.manifests_read {
                let place = history.entries.binary_search_by(|known| known.digest.cmp(digest));
                let place = match place {
                    Ok(place) => place,
                    Err(place) => {
                        let Some(entry) = read.entries.iter().find(|entry| entry.digest == *digest) else { continue };
                        history.entries.insert(place, first(entry, registry.taken_at));
                        place
                    }
                };
                let entry = &mut history.entries[place];
                entry.manifest_read_at = entry.manifest_read_at.max(Some(registry.taken_at));
                entry.last_seen = entry.last_seen.max(Some(registry.taken_at));
            }
        }
        state
    }
}

/// The first record of an entry: what was there when we first looked was not put there today.
fn first(entry: &Entry, now: Timestamp) -> EntryHistory {
    let first_seen = entry.pushed_at.unwrap_or(now);
    EntryHistory {
        digest: entry.digest,
        tags: entry.tags.iter().map(|tag| TagHistory { tag: tag.clone(), first_seen }).collect(),
        last_used: None,
        last_used_by: None,
        candidate_since: None,
        candidate_plans: Vec::new(),
        manifest_read_at: None,
        last_seen: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::images::{Digest, RegistryId};

    #[test]
    fn a_read_is_remembered_as_ours_and_counts_for_nothing_else() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let entry = |digest: Digest, tag: &str| json!({"digest": digest, "tags": [tag], "pushedAt": "2026-06-01T00:00:00Z", "status": "ACTIVE"});
        let registry: RegistrySnapshot = serde_json::from_value(json!({
            "registry": {"partition": "aws", "account": "111122223333", "region": "us-east-1"},
            "caller": "arn:aws:iam::111122223333:user/ci", "callerAccount": "111122223333", "takenAt": "2026-11-22T10:00:00Z",
            "replication": {"read": []}, "pullThrough": {"read": []}, "exclusions": {"read": []},
            "repositories": [{"name": "app", "arn": "", "entries": [entry(a, "v1"), entry(b, "v2")], "manifestsRead": [a]}],
        }))
        .unwrap();
        let now = registry.taken_at;
        let state = CleanState::new(RegistryId::new("111122223333", "us-east-1"), now).after_reads(&registry);
        assert!(state.plans.is_empty());
        let [app] = state.repositories.as_slice() else { panic!("{state:?}") };
        let [entry] = app.entries.as_slice() else { panic!("{app:?}") };
        assert_eq!((entry.digest, entry.manifest_read_at), (a, Some(now)));
        assert_eq!(entry.tags[0].first_seen, "2026-06-01T00:00:00Z".parse().unwrap(), "a tag is not young for it");
        assert!(entry.candidate_plans.is_empty());
        assert_eq!(state.after_reads(&registry), state, "the same again adds nothing");
    }
}
