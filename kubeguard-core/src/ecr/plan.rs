//! What would go, what stays, and why: the plan as data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::snapshot::{MediaType, Status};
use crate::images::{Digest, RegistryId};

/// A plan, as its versioned file keeps it. Identical inputs give identical bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `CleanPlan`.
    pub kind: String,
    /// Its clock.
    pub created_at: Timestamp,
    /// sha256 of the canonical form without this field.
    pub sha256: String,
    /// As in `kubeguard 0.4.0`.
    pub tool: String,
    /// The registry.
    pub registry: RegistryId,
    /// Who asked.
    pub caller: String,
    /// It was made from a saved registry and cannot be carried out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// The whole policy with every default filled in.
    pub policy: Policy,
    /// sha256 of the canonical form of the policy.
    pub policy_sha256: String,
    /// Declared clusters.
    pub clusters: Vec<PlannedCluster>,
    /// Windows as dates.
    pub resolved: Resolved,
    /// Usage it rests on.
    pub inventories: Vec<PlannedInventory>,
    /// Destinations of replication.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replication: Vec<PlannedReplication>,
    /// References to other registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<Foreign>,
    /// Included repositories, by name.
    pub repositories: Vec<PlannedRepository>,
    /// What is refused, and why.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// What was noticed, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<PlanFinding>,
    /// Every entry of every included repository, by repository and digest.
    pub images: Vec<PlannedImage>,
    /// Totals.
    pub summary: Summary,
}

/// A declared cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedCluster {
    /// Label.
    pub name: String,
    /// Context, where it is read live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Inventory file, where it is read from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<String>,
    /// Manifests, where it is desired state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
    /// Uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The cluster it stands by for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby_of: Option<String>,
    /// Registries it pulls from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<String>,
    /// Repositories it may use, as patterns; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// Since when it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hibernated_since: Option<String>,
    /// When it was taken down, and how long its inventory counts: `{at, wait}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<PlannedRetired>,
    /// Key its inventory must be signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// When a cluster was taken down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRetired {
    /// The day.
    pub at: String,
    /// How long its last inventory still counts.
    pub wait: String,
}

/// Windows of the policy as dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// Nothing born after it is touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
    /// When the plan stops to count.
    pub expires: Timestamp,
    /// The rules' windows.
    pub rules: Vec<ResolvedRule>,
}

/// Windows of one rule as dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedRule {
    /// Name of the rule.
    pub name: String,
    /// Only what was born before it may go.
    pub pushed_before: Timestamp,
    /// Only what was not used since may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_before: Option<Timestamp>,
    /// Only what was not pulled since may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulled_before: Option<Timestamp>,
}

/// An inventory that the plan rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedInventory {
    /// Label of the cluster.
    pub cluster: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// When the first list was asked for.
    pub started_at: Timestamp,
    /// When the last list was read.
    pub taken_at: Timestamp,
    /// Everything that decides was read.
    pub complete: bool,
    /// References in it.
    pub references: u64,
    /// Kinds asked for.
    pub kinds: u64,
    /// Kinds read to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds_read: Option<u64>,
    /// Texts that look like a reference and are none.
    pub suspicious: u64,
    /// Its hash.
    pub sha256: String,
}

/// One destination of replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedReplication {
    /// `ACCOUNT/REGION`.
    pub destination: String,
    /// Repository prefixes; empty for all.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Deletions are copied.
    pub deletes: bool,
    /// Declared clusters that use it.
    #[serde(default)]
    pub users: Vec<String>,
}

/// A reference to another ECR registry: it protects nothing here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Foreign {
    /// As written.
    pub image: String,
    /// Who names it.
    pub by: String,
}

/// An included repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRepository {
    /// Name.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// Rule that decides over it.
    pub rule: String,
    /// Its entries.
    pub entries: u64,
    /// Those that are archived.
    pub archived: u64,
    /// What people should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A repository, or all (`repository` is then each of them), in which nothing may go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refused {
    /// Name.
    pub repository: String,
    /// Why.
    pub reason: RefusalReason,
    /// In words.
    pub message: String,
    /// Who causes it, where somebody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Why nothing may go in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "`meaning` says each in words")]
pub enum RefusalReason {
    InventoryMissing,
    InventoryIncomplete,
    InventoryStale,
    InventoryAltered,
    ClusterDuplicate,
    ClusterMismatch,
    ClusterUndeclared,
    ClusterDropped,
    ReplicationUnreadable,
    ReplicaUsersUnknown,
    PullThroughUnreadable,
    UnparsedReference,
    RewriteUnmapped,
    PullTimesUntrusted,
    RepositoryTagInvalid,
    CapExceeded,
    AccessDenied,
    RegistryUnreadable,
    ManifestUnreadable,
}

impl RefusalReason {
    /// Returns its word, as plans and exit messages write it.
    #[must_use]
    pub fn word(self) -> String {
        format!("{self:?}")
    }

    /// Returns what it means, in one sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::InventoryMissing => "a declared cluster cannot be reached, or its file is not there",
            Self::InventoryIncomplete => "an inventory has not read everything that decides",
            Self::InventoryStale => "an inventory is older than the policy allows, or lies in the future",
            Self::InventoryAltered => "the hash or signature of an inventory is wrong",
            Self::ClusterDuplicate => "two declared clusters are the same one",
            Self::ClusterMismatch => "an inventory is of another cluster than the declared one",
            Self::ClusterUndeclared => "an inventory is of a cluster that is not declared",
            Self::ClusterDropped => "a cluster that was asked before is neither declared nor retired",
            Self::ReplicationUnreadable => "whether deletions reach other registries cannot be read",
            Self::ReplicaUsersUnknown => "deletions reach a registry whose users are not declared",
            Self::PullThroughUnreadable => "which repositories are caches cannot be read",
            Self::UnparsedReference => "a field that must name an image names none that can be read",
            Self::RewriteUnmapped => "pods run another repository than their template, and no mapping says why",
            Self::PullTimesUntrusted => "some roles leave no pull times",
            Self::RepositoryTagInvalid => "an AWS tag of the repository has a value that cannot be read",
            Self::CapExceeded => "more would go than the policy allows at once",
            Self::AccessDenied => "the repository may not be read",
            Self::RegistryUnreadable => "the repository could not be read after all attempts",
            Self::ManifestUnreadable => "an index of the repository cannot be read",
        }
    }

    /// Returns what to do about it, in a few words.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::InventoryMissing => {
                "check its context and credentials; one that is off is declared with hibernatedSince or retired"
            }
            Self::InventoryIncomplete => {
                "let it read what is named: kubectl ecr-clean rbac; of files, --complete says they are all"
            }
            Self::InventoryStale => "take it anew: kubectl ecr-clean inventory",
            Self::InventoryAltered => "take it anew where it comes from",
            Self::ClusterDuplicate => "correct one of the two sources",
            Self::ClusterMismatch => "correct the source, or the uid in the clusters file",
            Self::ClusterUndeclared => "declare it in the clusters file with its uid",
            Self::ClusterDropped => "declare it again; one that was taken down with retired: {at: DAY}",
            Self::ReplicationUnreadable => {
                "allow ecr:DescribeRegistry; without such replication, replication: {assume: none}"
            }
            Self::ReplicaUsersUnknown => "declare the clusters that pull there with registries, or replication.noUsers",
            Self::PullThroughUnreadable => {
                "allow ecr:DescribePullThroughCacheRules; without such rules, pullThroughRules: none"
            }
            Self::UnparsedReference => "correct the reference",
            Self::RewriteUnmapped => "add to policy.rewrites what leads from the one to the other: {from: …, to: …}",
            Self::PullTimesUntrusted => "name it in pullTimes.trustedExclusions, or keepPulledWithin: 0",
            Self::RepositoryTagInvalid => "correct that tag of the repository",
            Self::CapExceeded => "look at what would go; if it is right, raise the cap",
            Self::AccessDenied => "allow the read: kubectl ecr-clean iam prints the policy",
            Self::RegistryUnreadable => "try again later",
            Self::ManifestUnreadable => "push that index again",
        }
    }

    /// Returns whether who uses what is not wholly known: nobody can say then that nothing is missing.
    #[must_use]
    pub const fn is_missing_usage(self) -> bool {
        matches!(
            self,
            Self::InventoryMissing
                | Self::InventoryIncomplete
                | Self::InventoryStale
                | Self::InventoryAltered
                | Self::ClusterDuplicate
                | Self::ClusterMismatch
                | Self::ClusterUndeclared
                | Self::ClusterDropped
                | Self::PullThroughUnreadable
        )
    }

    /// Returns whether the registry could not be read, other than evidence that is missing (exit code 6 instead of 5).
    #[must_use]
    pub const fn is_unreadable(self) -> bool {
        matches!(self, Self::AccessDenied | Self::RegistryUnreadable | Self::ManifestUnreadable)
    }
}

/// What every versioned file begins with.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    api_version: String,
    kind: String,
}

impl Plan {
    /// Version of the file.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the file.
    pub const KIND: &'static str = "CleanPlan";

    /// Reads a plan's file; `file` is only named in errors.
    ///
    /// # Errors
    /// [`Error::File`](crate::error::Error::File) for text that is no plan, is cut off or is of another version. Whether it
    /// says what its own hash vouches for, [`Plan::is_altered`] tells.
    pub fn parse(file: &str, text: &str) -> crate::error::Result<Self> {
        let wrong = |line: usize, column: usize, problem: String| crate::error::Error::File {
            file: file.to_owned(),
            line: u64::try_from(line.max(1)).unwrap_or(1),
            column: u64::try_from(column.max(1)).unwrap_or(1),
            problem,
            hint: "make it anew: kubectl ecr-clean plan".to_owned(),
        };
        let unread = |error: serde_json::Error| {
            let problem =
                if error.is_eof() { "the file is cut off".to_owned() } else { format!("this is no plan: {error}") };
            wrong(error.line(), error.column(), problem)
        };
        let head: Head = serde_json::from_str(text).map_err(unread)?;
        if (head.api_version.as_str(), head.kind.as_str()) != (Self::API_VERSION, Self::KIND) {
            let problem =
                format!("this is no plan of version {}: {}, {}", Self::API_VERSION, head.api_version, head.kind);
            return Err(wrong(1, 1, problem));
        }
        serde_json::from_str(text).map_err(unread)
    }

    /// Returns whether it says something else than its own hash vouches for.
    #[must_use]
    pub fn is_altered(&self) -> bool {
        self.sha256 != self.hash()
    }

    /// Returns the sha256 of everything it says, which its file carries.
    #[must_use]
    pub fn hash(&self) -> String {
        // A plan has no fractions, and its keys are text.
        crate::canonical::sha256(self, &["sha256"]).unwrap_or_default()
    }
}

/// Something that a plan noticed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlanFinding {
    /// Id, as in `EC102`.
    pub rule: String,
    /// `critical`, `high`, `medium`, `low` or `info`.
    pub severity: String,
    /// In words.
    pub message: String,
    /// What to do.
    pub remedy: PlanRemedy,
    /// Who names the image, as in `prod/team/Deployment/web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The image that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The repository that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlanRemedy {
    /// In words.
    pub text: String,
}

/// What happens to one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// It is deleted.
    Delete,
    /// It is archived.
    Archive,
    /// It stays.
    Keep,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// A runnable image.
    Image,
    /// An index of images.
    Index,
    /// A signature, attestation or other referrer of another entry.
    Attached,
    /// Anything else with a type of its own.
    Artifact,
    /// Not known.
    Unknown,
}

/// The reasons to keep an entry, in the order they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteKind {
    /// A reference resolves to it.
    InUse,
    /// A rollback can reach it.
    Rollback,
    /// It was used lately, or its quarantine is not over.
    RecentUse,
    /// It is too young.
    Age,
    /// It is among the newest.
    Newest,
    /// It was pulled lately.
    Pulled,
    /// People want it.
    Pinned,
    /// It is no image, and no rule names its type.
    Artifact,
    /// Something that stays needs it.
    Referenced,
    /// A standby cluster would need it.
    Standby,
    /// Amazon Inspector saw it in use.
    Inspector,
    /// What it is, or who needs it, is not known.
    Unknown,
}

/// One reason to keep one entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vote {
    /// What kind of reason.
    pub vote: VoteKind,
    /// Who gives it: `CLUSTER/NAMESPACE/Kind/name`, or words.
    pub by: String,
    /// Field, where a reference gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Further votes of the same kind that are not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u64>,
}

/// One entry with its decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedImage {
    /// Repository.
    pub repository: String,
    /// Digest.
    pub digest: Digest,
    /// All its tags, sorted.
    pub tags: Vec<String>,
    /// What happens to it.
    pub decision: Decision,
    /// Why it stays; empty for what goes, and for what is only reported.
    pub kept: Vec<Vote>,
    /// Nothing but quarantine, a refusal or `report` keeps it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub candidate: bool,
    /// Why it may go, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// What it is.
    pub class: Class,
    /// Type of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Whether it can be pulled.
    pub status: Status,
    /// First push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Timestamp>,
    /// Newest of push, restoration and first sightings of its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<Timestamp>,
    /// Last pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pulled_at: Option<Timestamp>,
    /// Since when it is archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// Since which plan nothing but quarantine, a refusal or `report` keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_since: Option<Timestamp>,
    /// Size as the registry tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// For an index: what it lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Digest>,
    /// For an attached entry: what it is attached to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Digest>,
    /// For what goes: after which others, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
}

/// Totals of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Entries.
    pub images: u64,
    /// Entries to delete.
    pub delete: u64,
    /// Entries to archive.
    pub archive: u64,
    /// Entries that stay.
    pub keep: u64,
    /// Entries that go, and those that only quarantine, a refusal or `report` keeps.
    pub candidates: u64,
    /// Repositories in which nothing may go.
    pub refused_repositories: u64,
    /// Bytes of what goes, indexes left out: an upper bound, as layers are shared.
    pub bytes: u64,
    /// `bytes` is exact.
    pub bytes_exact: bool,
}
