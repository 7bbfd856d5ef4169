//! What earlier runs saw: first sightings of tags, uses, candidates, deployed images.

mod reads;
mod record;
mod uses;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::images::{Digest, RegistryId};

/// The recorded history of one registry, as `state.json` keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanState {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `CleanState`.
    pub kind: String,
    /// First record.
    pub since: Timestamp,
    /// Newest record.
    pub updated_at: Timestamp,
    /// The registry.
    pub registry: RegistryId,
    /// Clusters seen.
    #[serde(default)]
    pub clusters: Vec<KnownCluster>,
    /// Recorded plans, oldest first.
    #[serde(default)]
    pub plans: Vec<RecordedPlan>,
    /// Entries, sorted by repository and digest.
    #[serde(default)]
    pub repositories: Vec<RepositoryHistory>,
    /// Uses by key, sorted.
    #[serde(default)]
    pub uses: Vec<KeyUse>,
    /// Images of each workload container, sorted.
    #[serde(default)]
    pub deployed: Vec<Deployed>,
    /// Entries that a plan has deleted, sorted by repository and digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<Deletion>,
}

/// An entry that a plan has deleted: why an image cannot be pulled any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// Repository.
    pub repository: String,
    /// Digest.
    pub digest: Digest,
    /// Tags that it had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When.
    pub at: Timestamp,
    /// sha256 of the plan.
    pub plan: String,
    /// Newest use that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Who used it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_by: Option<String>,
}

/// A cluster seen before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownCluster {
    /// Uid.
    pub uid: String,
    /// Label.
    pub name: String,
    /// First inventory.
    pub first_seen: Timestamp,
    /// Newest inventory.
    pub last_inventory: Timestamp,
    /// It was taken down and its wait is over.
    #[serde(default)]
    pub retired: bool,
}

/// A plan that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPlan {
    /// Its hash.
    pub sha256: String,
    /// Its clock.
    pub at: Timestamp,
}

/// What was seen of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryHistory {
    /// Name.
    pub name: String,
    /// Entries by digest.
    #[serde(default)]
    pub entries: Vec<EntryHistory>,
}

/// What was seen of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryHistory {
    /// Digest.
    pub digest: Digest,
    /// Its tags with their first sightings.
    #[serde(default)]
    pub tags: Vec<TagHistory>,
    /// Newest use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Who used it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_by: Option<String>,
    /// First of the plans in a row in which it was a candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_since: Option<Timestamp>,
    /// Those plans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidate_plans: Vec<Timestamp>,
    /// Our own last read of its manifest, which counts as a pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_read_at: Option<Timestamp>,
    /// Newest look in which the registry still had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

/// When a tag was first seen on an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagHistory {
    /// The tag.
    pub tag: String,
    /// First sighting.
    pub first_seen: Timestamp,
}

/// The newest use of a key, recorded without asking the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyUse {
    /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST` of the registry, else the whole reference of another one.
    pub key: String,
    /// Newest use.
    pub last: Timestamp,
    /// Who used it then.
    pub by: String,
}

/// The images that one workload container has had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deployed {
    /// `CLUSTER/NAMESPACE/Kind/name`.
    pub by: String,
    /// Container.
    pub container: String,
    /// Images, newest use last.
    #[serde(default)]
    pub images: Vec<DeployedImage>,
}

/// One image that a workload container has had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeployedImage {
    /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
    pub image: String,
    /// First sighting.
    pub first: Timestamp,
    /// Newest sighting.
    pub last: Timestamp,
}
