//! The calls that a plan comes to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ecr::plan::{Decision, Plan};
use crate::ecr::registry::{BATCH, ImageId};
use crate::images::Digest;

/// One call that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// AWS' name of it.
    pub operation: Operation,
    /// Repository.
    pub repository: String,
    /// Order of what it names: a higher order follows when the lower one is seen to be gone.
    pub order: u64,
    /// What it names, at most [`BATCH`].
    pub ids: Vec<ImageId>,
}

/// The calls that change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "AWS' own names")]
pub enum Operation {
    BatchDeleteImage,
    UpdateImageStorageClass,
}

impl Operation {
    /// The operation of a decision; `None` for what stays.
    pub(super) fn of(decision: Decision) -> Option<Self> {
        match decision {
            Decision::Delete => Some(Self::BatchDeleteImage),
            Decision::Archive => Some(Self::UpdateImageStorageClass),
            Decision::Keep => None,
        }
    }

    /// Returns AWS' name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BatchDeleteImage => "BatchDeleteImage",
            Self::UpdateImageStorageClass => "UpdateImageStorageClass",
        }
    }

    /// Entries of one call, given how many ids each takes.
    fn room(self) -> usize {
        match self {
            Self::BatchDeleteImage => BATCH,
            Self::UpdateImageStorageClass => 1,
        }
    }

    /// What a call names for one entry.
    pub(super) fn ids(self, digest: Digest, tags: &[String]) -> Vec<ImageId> {
        match self {
            Self::BatchDeleteImage if !tags.is_empty() => {
                tags.iter().map(|tag| ImageId { digest: Some(digest), tag: Some(tag.clone()) }).collect()
            }
            _ => vec![ImageId { digest: Some(digest), tag: None }],
        }
    }
}

/// Splits entries into calls: all ids of one entry share a call, except of an entry that has more than a call may name.
pub(super) fn batches<T>(operation: Operation, entries: Vec<T>, tags: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut free = 0;
    for entry in entries {
        let ids = if operation == Operation::BatchDeleteImage { tags(&entry).max(1) } else { 1 };
        match batches.last_mut() {
            Some(batch) if ids <= free => {
                batch.push(entry);
                free -= ids;
            }
            _ => {
                batches.push(vec![entry]);
                free = operation.room().saturating_sub(ids);
            }
        }
    }
    batches
}

/// Returns the calls that a plan comes to when nothing has changed since, in their order, without asking anybody.
#[must_use]
pub fn calls(plan: &Plan) -> Vec<Call> {
    let mut calls = Vec::new();
    for repository in repositories(plan) {
        let mut orders: BTreeMap<(u64, Operation), Vec<_>> = BTreeMap::new();
        for image in plan.images.iter().filter(|image| image.repository == repository) {
            if let Some(operation) = Operation::of(image.decision) {
                orders.entry((image.order.unwrap_or(1), operation)).or_default().push(image);
            }
        }
        for ((order, operation), images) in orders {
            for batch in batches(operation, images, |image| image.tags.len()) {
                let ids: Vec<ImageId> =
                    batch.iter().flat_map(|image| operation.ids(image.digest, &image.tags)).collect();
                calls.extend(ids.chunks(operation.room()).map(|ids| Call {
                    operation,
                    repository: repository.to_owned(),
                    order,
                    ids: ids.to_vec(),
                }));
            }
        }
    }
    calls
}

/// The repositories in which something goes: the smallest first where the policy wants a canary, then by name.
pub(super) fn repositories(plan: &Plan) -> Vec<&str> {
    let mut planned: BTreeMap<&str, usize> = BTreeMap::new();
    for image in plan.images.iter().filter(|image| image.decision != Decision::Keep) {
        *planned.entry(&image.repository).or_default() += 1;
    }
    let canary = planned.iter().min_by_key(|(name, entries)| (**entries, **name)).map(|(name, _)| *name);
    let mut names: Vec<&str> = planned.into_keys().collect();
    if plan.policy.apply.canary {
        names.sort_by_key(|name| (Some(*name) != canary, *name));
    }
    names
}
