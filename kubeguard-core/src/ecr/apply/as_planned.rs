//! A repository as it would be without what earlier runs of the same plan did to it.
//!
//! A run that goes on is to end where the first would have ended: what was left of an index or an image that is gone
//! already must not count as something of its own.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Past;
use super::recheck::Side;
use crate::ecr::plan::{Class, Decision, PlannedImage};
use crate::ecr::snapshot::{Child, Entry, IndexManifest, MediaType, RepositorySnapshot, Status};

/// Puts back what our own earlier calls took; `None` where they took nothing.
///
/// Tags come back unless something else carries them now, so a reference to one still keeps its entry. Entries that are
/// gone come back as archived long ago: they tell what they listed and what was attached to them, and take no place
/// among the newest.
pub(super) fn as_planned(listing: &RepositorySnapshot, planned: &Side<'_>, past: &Past) -> Option<RepositorySnapshot> {
    let repository = listing.repository.name.as_str();
    let ours: Vec<&PlannedImage> = planned
        .images
        .values()
        .copied()
        .filter(|image| image.decision != Decision::Keep && past.named(repository, image.digest))
        .collect();
    if ours.is_empty() {
        return None;
    }
    let mut before = listing.clone();
    let taken: BTreeSet<&String> = listing.entries.iter().flat_map(|entry| &entry.tags).collect();
    for image in ours {
        let back = image.tags.iter().filter(|tag| past.untagged(repository, image.digest, tag) && !taken.contains(tag));
        if let Some(entry) = before.entries.iter_mut().find(|entry| entry.digest == image.digest) {
            entry.tags.extend(back.cloned());
            entry.tags.sort_unstable();
            if image.decision == Decision::Archive {
                // What was just archived must not keep what it lists.
                entry.status.clone_from(&image.status);
            }
            continue;
        }
        before.entries.push(gone(image, back.cloned().collect()));
        if image.class == Class::Index || !image.children.is_empty() {
            let child = |digest: &_| Child { digest: *digest, platform: None };
            let (children, subject) = (image.children.iter().map(child).collect(), image.subjects.first().copied());
            before.indexes.insert(image.digest, IndexManifest { children, subject, strange: false });
        }
    }
    before.entries.sort_unstable_by_key(|entry| entry.digest);
    Some(before)
}

/// An entry that is gone, as far as the plan tells of it.
fn gone(image: &PlannedImage, tags: Vec<String>) -> Entry {
    let config = (image.class == Class::Image).then(|| MediaType::new("application/vnd.oci.image.config.v1+json"));
    Entry {
        digest: image.digest,
        tags,
        pushed_at: image.pushed_at,
        bytes: image.bytes,
        media_type: image.media_type.clone(),
        artifact_type: config,
        last_pulled_at: image.last_pulled_at,
        subject: image.subjects.first().copied(),
        status: Status::Archived,
        last_archived_at: Some(Timestamp::UNIX_EPOCH),
        last_activated_at: None,
        conflicting: false,
    }
}
