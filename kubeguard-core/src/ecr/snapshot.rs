//! What one look at a registry gives.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::images::{Digest, RegistryId};

/// One look at a registry: its settings, and the included repositories with all their entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrySnapshot {
    /// The registry.
    pub registry: RegistryId,
    /// Who asked, as STS names it.
    pub caller: String,
    /// Account of the caller.
    pub caller_account: String,
    /// The registry's time at its first answer.
    pub taken_at: Timestamp,
    /// Replication rules, one for each destination; the error where they could not be read.
    pub replication: Reading<Vec<ReplicationRule>>,
    /// Pull-through rules.
    pub pull_through: Reading<Vec<PullThroughRule>>,
    /// Roles and users whose pulls are not recorded.
    pub exclusions: Reading<Vec<String>>,
    /// Included repositories, sorted by name.
    pub repositories: Vec<RepositorySnapshot>,
}

/// What a read gave, or why it gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reading<T> {
    /// What was read.
    Read(T),
    /// Why not, in the registry's words.
    Failed(String),
}

/// One repository with all its entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositorySnapshot {
    /// The repository.
    #[serde(flatten)]
    pub repository: Repository,
    /// Its AWS tags.
    #[serde(default)]
    pub aws_tags: BTreeMap<String, String>,
    /// Its entries in every status, sorted by digest, each once.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// What the manifests of its indexes list.
    #[serde(default)]
    pub indexes: BTreeMap<Digest, IndexManifest>,
    /// Config digests of entries whose manifests were read to explain what a pod runs.
    #[serde(default)]
    pub configs: BTreeMap<Digest, Digest>,
    /// Layers of entries whose manifests were read for sizes: digest and bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<Digest, Vec<(Digest, u64)>>,
    /// Entries whose manifests were read during this look, which counts as a pull.
    #[serde(default)]
    pub manifests_read: Vec<Digest>,
    /// Why nothing of it may be judged, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Why a repository could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem it is.
    pub kind: ProblemKind,
    /// In the registry's words.
    pub message: String,
}

/// Kinds of [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProblemKind {
    /// A read is not allowed.
    AccessDenied,
    /// A read fails after all attempts, or its answer cannot be used.
    RegistryUnreadable,
    /// The manifest of an index cannot be had, is too large, or is not what its digest says.
    ManifestUnreadable,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// Name, as in `team/web`.
    pub name: String,
    /// ARN, with partition, region and account.
    pub arn: String,
    /// A tag can never be moved, at least for some tags.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable_tags: bool,
}

/// One manifest in one repository. Every field but the digest may be missing in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its digest.
    pub digest: Digest,
    /// All its tags, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// First push of this manifest; not renewed when a tag is moved to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Timestamp>,
    /// Compressed size; of an index the size of its largest member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Type of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of what it holds; of an image the type of its config, of an index none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// Last pull, up to a day late; absent when never recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pulled_at: Option<Timestamp>,
    /// What it is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// Whether it can be pulled.
    pub status: Status,
    /// When it was archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_archived_at: Option<Timestamp>,
    /// When it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_activated_at: Option<Timestamp>,
    /// The registry gave two rows for it that contradict each other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflicting: bool,
}

/// Whether an image can be pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It can.
    #[default]
    Active,
    /// Not before it is restored.
    Archived,
    /// It is being restored.
    Activating,
    /// Not known here.
    #[serde(untagged)]
    Other(String),
}

/// A media type. Those that every registry is full of take no memory of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MediaType(Cow<'static, str>);

impl MediaType {
    const COMMON: &'static [&'static str] = &[
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.config.v1+json",
    ];

    /// Takes a media type as it is written.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let common = Self::COMMON.iter().find(|common| **common == text);
        Self(common.map_or_else(|| Cow::Owned(text.to_owned()), |common| Cow::Borrowed(*common)))
    }

    /// Returns it as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

/// What the manifest of an index lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexManifest {
    /// Its children, in the order of the manifest.
    #[serde(default)]
    pub children: Vec<Child>,
    /// What it is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// It lists something that is neither manifest nor index, or a digest that cannot be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strange: bool,
}

/// One child of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// As in `linux/arm64` or `linux/arm/v7`; `unknown/unknown` for attestations; absent where the index names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// One destination of one replication rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReplicationRule {
    /// Where images are copied to.
    pub destination: RegistryId,
    /// Repository prefixes it is for; empty for all.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Deletions are copied too, or the rule has a setting that is not known here.
    pub deletes: bool,
}

/// One pull-through rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PullThroughRule {
    /// Prefix of the repositories here; `ROOT` for none.
    pub prefix: String,
    /// Host upstream.
    pub upstream: String,
    /// Prefix upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_prefix: Option<String>,
}
