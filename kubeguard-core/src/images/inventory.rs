//! What one cluster needs, as data: references with the places that name them, and what could not be read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Every image that one cluster may still start, as a versioned file keeps it.
///
/// Arrays are sorted; absent is left out. `complete` is a fact: `false` as soon as one kind that decides could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `ImageInventory`.
    pub kind: String,
    /// Label of the cluster, as the clusters file names it.
    pub cluster: String,
    /// Uid of its namespace `kube-system`; absent where files hold none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Where the objects came from.
    pub source: Source,
    /// Version of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The tool that wrote it, as in `kubeguard 0.4.0`.
    pub tool: String,
    /// When the first list was asked for, by the server's clock.
    pub started_at: Timestamp,
    /// When the last list was read, by the server's clock.
    pub taken_at: Timestamp,
    /// Everything that decides was read.
    pub complete: bool,
    /// What was asked for.
    pub scan: Scan,
    /// What was read of each kind.
    #[serde(default)]
    pub kinds: Vec<KindRead>,
    /// What the nodes can run.
    #[serde(default)]
    pub platforms: Vec<PlatformNodes>,
    /// What is named where; sorted by namespace, kind, name, path, image.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// Images that annotations pin.
    #[serde(default)]
    pub pinned: Vec<Pinned>,
    /// Pods whose image is another than that of the template they came from.
    #[serde(default)]
    pub rewritten: Vec<Rewritten>,
    /// Texts that look like a reference and are none.
    #[serde(default)]
    pub suspicious: Vec<Suspicious>,
    /// What was looked at beside.
    #[serde(default)]
    pub coverage: Coverage,
    /// How references are hidden, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashed: Option<Hashed>,
    /// sha256 of the canonical form without this field and `signature`.
    #[serde(default)]
    pub sha256: String,
    /// Who vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// Where an inventory's objects came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A cluster.
    Live,
    /// Files or a snapshot.
    Manifests,
}

/// What an inventory reads beyond pods and workloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Scan {
    /// Custom resources.
    pub custom_resources: Demand,
    /// `ConfigMaps`.
    pub config_maps: Demand,
    /// Secrets.
    pub secrets: Secrets,
    /// Events: late evidence of short pods.
    pub events: Switch,
    /// Images in the nodes' caches.
    pub node_images: Switch,
    /// Kinds that are left out, as `resource.group`, with globs.
    pub skip_kinds: Vec<String>,
    /// What a text with a repository and no tag means.
    pub text_without_tag: TextWithoutTag,
    /// What a text with a placeholder means.
    pub templated: Templated,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            custom_resources: Demand::Required,
            config_maps: Demand::Required,
            secrets: Secrets::Helm,
            events: Switch::Off,
            node_images: Switch::Off,
            skip_kinds: Vec::new(),
            text_without_tag: TextWithoutTag::Repository,
            templated: Templated::Keep,
        }
    }
}

/// Whether a kind must be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Demand {
    /// It is not looked at.
    Off,
    /// It is read where that is allowed.
    Optional,
    /// Without it the inventory is incomplete.
    Required,
}

/// Which Secrets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Secrets {
    /// None.
    Off,
    /// Helm's releases, where that is allowed.
    Helm,
    /// All.
    All,
}

/// On or off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Switch {
    /// Not at all.
    #[default]
    Off,
    /// Yes.
    On,
}

/// What a text with a repository and no tag means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TextWithoutTag {
    /// Only the tag `latest`.
    Latest,
    /// Any image of the repository: the tag stands elsewhere.
    Repository,
}

/// What a text with a placeholder means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Templated {
    /// It is only reported.
    Report,
    /// Any image it may name stays.
    Keep,
}

/// What was read of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindRead {
    /// As in `apps/v1`.
    pub api_version: String,
    /// Plural name.
    pub resource: String,
    /// Whether it decides.
    pub need: Need,
    /// What came of it.
    pub status: ReadStatus,
    /// Objects of one unbroken list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// Pages of that list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
    /// References found in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<u64>,
    /// Version of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Why it was not read, in the server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether a kind decides over completeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Need {
    /// It must be read.
    Required,
    /// It must be read where the cluster serves it.
    Served,
    /// It never decides.
    Optional,
}

/// What came of reading one kind. Denied is never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReadStatus {
    /// Read to its end.
    Ok,
    /// Not served.
    Absent,
    /// 401 or 403.
    Denied,
    /// No whole list within the attempts.
    Failed,
    /// Left out by the policy.
    Skipped,
}

/// How many nodes run one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformNodes {
    /// As in `linux/amd64`.
    pub platform: String,
    /// Number of nodes.
    pub nodes: u64,
}

/// One place that names an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    /// Namespace; absent for cluster-wide objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Kind of the object, or of the owner that many pods share.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name of the object, or of that owner.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Field, as in `spec.containers[0].image`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// As written; empty in a hashed inventory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// What naming it means.
    pub r#use: Use,
    /// For a status: what the same container's spec names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// Container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Platforms of the nodes it may run on; empty where none is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Pods folded into this one reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<u64>,
    /// Oldest start of such a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// For a revision: `Kind/name` of the workload it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For a revision: its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Hidden: HMAC of the key with its tag, or with its digest where it has no tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Hidden: HMAC of the key with its digest, where it has a tag too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest_hash: Option<String>,
    /// Hidden: HMAC of a digest without a repository; it is one of those in `spec_repositories`, or is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_hash: Option<String>,
    /// Hidden: HMAC of the repository alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository_hash: Option<String>,
    /// Hidden, for a status: the keys that the same container's spec names, for a digest alone also its status.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spec_hashes: Vec<String>,
    /// Hidden, for a digest alone: the repositories of those keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spec_repositories: Vec<String>,
}

/// What naming an image in a place means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Use {
    /// A workload's template.
    #[default]
    Template,
    /// A pod's spec.
    Pod,
    /// What a pod runs.
    Status,
    /// An older template that a rollback can reach.
    Revision,
    /// A Job that has ended.
    Finished,
    /// A field of a custom resource.
    Custom,
    /// A text: environment, argument, annotation, `ConfigMap`.
    Text,
    /// A list that people keep.
    Declared,
    /// An event.
    Event,
    /// A node's image cache.
    Node,
}

/// An image that an annotation pins, or a whole object's images.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pinned {
    /// Namespace of the annotated object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Object and annotation, as in `Namespace/team kubeguard.dev/keep-images`.
    pub source: String,
    /// The image; without a host it is one of the managed registry.
    pub image: String,
}

/// A pod whose image is another than that of the template it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rewritten {
    /// What the template says; empty in a hashed inventory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// What the pod says; empty in a hashed inventory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Kind of the workload.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name of the workload.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Hidden: HMAC of the repositories that the template's image may mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from_hashes: Vec<String>,
    /// Hidden: HMAC of the repositories that the pod's image may mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to_hashes: Vec<String>,
}

/// A text that looks like a reference and is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Suspicious {
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Kind of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Field.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The text; empty in a hashed inventory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What is wrong with it.
    pub reason: Suspicion,
    /// It stands in an image field of a built-in kind, or in a status: there it must be a reference.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spec_place: bool,
    /// Hidden: HMAC of the repository alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_hash: Option<String>,
}

/// What is wrong with a suspicious text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspicion {
    /// It has a placeholder.
    Templated,
    /// It looks like an ECR reference and does not parse.
    Unparsed,
    /// It names a repository, and neither tag nor digest.
    NoTag,
}

/// What was looked at, beyond the references.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Coverage {
    /// Hosts of registries that stand alone in a text, without a path.
    pub registry_addresses: u64,
    /// Kinds that were never asked for.
    pub kinds_skipped: Vec<String>,
    /// Objects nested deeper than is followed, as `Kind namespace/name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub too_deep: Vec<String>,
    /// Texts that look like a reference and name no repository, so that they cannot be hidden.
    #[serde(skip_serializing_if = "is_zero")]
    pub unreadable: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How references are hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hashed {
    /// `hmac-sha256`.
    pub algorithm: String,
    /// First 8 hexadecimal digits of the salt's sha256.
    pub salt_id: String,
    /// sha256 of the aliases, mirrors and rewrites that were applied.
    pub maps_sha256: String,
}

/// A signature over the 32 bytes of `sha256`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// `ed25519`.
    pub algorithm: String,
    /// First 8 hexadecimal digits of the public key's sha256.
    pub key_id: String,
    /// Base64.
    pub value: String,
}
