//! What people decide: which repositories are cleaned, what stays, how much may go at once.

mod parse;
mod words;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::images::inventory::{Scan, Switch};
use crate::images::{Mapping, RegistryId};

/// A cleaning policy with every default filled in, as a plan repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `CleanPolicy`.
    pub kind: String,
    /// The registry, where the policy names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<PolicyRegistry>,
    /// An older inventory counts for nothing.
    pub max_inventory_age: Window,
    /// The watermark lies this long before the start of the oldest inventory.
    pub inventory_margin: Window,
    /// An older plan is not carried out.
    pub max_plan_age: Window,
    /// Usage must be this fresh at a repository's first deletion.
    pub max_usage_age: Window,
    /// How far in the future a time may lie before it counts as wrong.
    pub max_clock_skew: Window,
    /// Whether pull-through rules are read, or declared not to exist.
    pub pull_through_rules: Assumption,
    /// AWS tag that a repository must carry with the value `true`; empty for none.
    pub opt_in_tag: String,
    /// Host, or host and prefix, that stands for an ECR host.
    pub aliases: BTreeMap<String, String>,
    /// Mirrors: both spellings count as used.
    pub mirrors: Vec<Mapping>,
    /// Prefixes that admission rewrites: both spellings count as used.
    pub rewrites: Vec<Mapping>,
    /// What an inventory must have read.
    pub scan: Scan,
    /// What pins an image in every repository.
    pub pins: Pins,
    /// Replication.
    pub replication: ReplicationPolicy,
    /// Pull times.
    pub pull_times: PullTimes,
    /// Other sources of usage.
    pub providers: Providers,
    /// How much may go at once.
    pub caps: Caps,
    /// How a plan is carried out.
    pub apply: ApplyPolicy,
    /// Where the lease is kept; a lock file in the state directory where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeasePlace>,
    /// Rules in their order; the first that matches a repository decides over it.
    pub rules: Vec<Rule>,
}

/// A span of time in a policy, as in `30d` or `1d12h`; a day is 24 hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window(pub SignedDuration);

/// The registry a policy is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRegistry {
    /// Twelve digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// As in `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// Whether a setting of the registry is read, or declared not to exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Assumption {
    /// It is read; unreadable stops everything.
    #[default]
    Read,
    /// There is none.
    None,
}

/// What pins an image in every repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pins {
    /// Patterns of image tags.
    pub tags: Vec<Pattern>,
    /// Files that list references, as paths.
    pub keep_lists: Vec<String>,
}

impl Default for Pins {
    fn default() -> Self {
        Self { tags: Pattern::new("pin-*").into_iter().collect(), keep_lists: Vec::new() }
    }
}

/// What is assumed of replication.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReplicationPolicy {
    /// Whether the rules are read.
    pub assume: Assumption,
    /// Destinations that nobody uses.
    pub no_users: Vec<RegistryName>,
}

/// `ACCOUNT/REGION`, as policy and clusters files write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryName(pub RegistryId);

/// Pull times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PullTimes {
    /// Excluded roles that are no nodes, with globs.
    pub trusted_exclusions: Vec<Pattern>,
}

/// Other sources of usage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Providers {
    /// Files with a JSON array of image URIs, as ecrm scans write them.
    pub ecrm_scans: Vec<String>,
    /// Amazon Inspector.
    pub inspector: Switch,
    /// Amazon ECS.
    pub ecs: Switch,
    /// AWS Lambda.
    pub lambda: Switch,
}

/// How much may go at once; absent is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caps {
    /// Percent of a repository's entries.
    pub share: Cap,
    /// Entries of a repository.
    pub per_repository: Cap,
    /// Entries of a run.
    pub per_run: Cap,
}

/// A limit: entries, or percent for `share`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// No limit.
    Off,
    /// A number of entries.
    Entries(u64),
    /// 1 to 100.
    Percent(u8),
}

/// How a plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApplyPolicy {
    /// The smallest repository goes first.
    pub canary: bool,
    /// Each repository is verified afterwards.
    pub verify: bool,
    /// Calls that change something, per second.
    pub requests_per_second: u32,
    /// Manifests of what is deleted are kept.
    pub tombstones: bool,
}

impl Default for ApplyPolicy {
    fn default() -> Self {
        Self { canary: true, verify: true, requests_per_second: 10, tombstones: false }
    }
}

/// Where the lease is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeasePlace {
    /// Context of the kubeconfig.
    pub context: String,
    /// Namespace.
    pub namespace: String,
}

/// A pattern of names: a glob (`*` within a segment, `**` across, `?` one character) or `/regex/`; always anchored.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As written.
    pub text: String,
    /// Compiled.
    pub(crate) regex: regex::Regex,
}

/// What happens to an image that nothing keeps. Ordered from the weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is only named.
    Report,
    /// It is archived.
    Archive,
    /// It is archived, and deleted after `archiveFor`.
    ArchiveThenDelete,
    /// It is deleted.
    Delete,
}

/// One rule of a policy with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Name, shown in plans.
    pub name: String,
    /// Repositories it is for.
    pub repositories: Vec<Pattern>,
    /// Repositories it is not for, though they match.
    pub exclude: Vec<Pattern>,
    /// What happens.
    pub action: Action,
    /// A younger image stays.
    pub min_age: Window,
    /// The same for untagged roots.
    pub untagged_min_age: Window,
    /// The same in repositories that somebody unknown pulls from; zero is off.
    pub foreign_pull_min_age: Window,
    /// Newest roots that stay.
    pub keep_newest: u64,
    /// Tags that pin an image.
    pub keep_tags: Vec<Pattern>,
    /// Only images all of whose tags match may go; empty for all.
    pub select_tags: Vec<Pattern>,
    /// Untagged roots.
    pub untagged: Untagged,
    /// An image pulled within this time stays; zero is off.
    pub keep_pulled_within: Window,
    /// An image that any recorded inventory used within this time stays; zero is off.
    pub keep_used_within: Window,
    /// How long an image must have been a candidate; absent is off.
    #[serde(with = "quarantine")]
    pub quarantine: Option<Quarantine>,
    /// How many revisions per owner a rollback must find; absent is all.
    #[serde(with = "rollback")]
    pub rollback: Option<u64>,
    /// Last images of each workload container in our own history that stay.
    pub keep_deployed: u64,
    /// Whether a finished Job keeps its images.
    pub finished_jobs: Keep,
    /// Artifact types that are treated like images, with globs.
    pub artifacts: Vec<Pattern>,
    /// Attached entries whose subject is gone.
    pub orphaned_artifacts: Orphans,
    /// OCI manifests without a type.
    pub missing_artifact_type: MissingType,
    /// Time in the archive before deletion.
    pub archive_for: Window,
    /// Repositories under a pull-through prefix.
    pub pull_through: PullThrough,
    /// Their age.
    pub pull_through_min_age: Window,
}

/// How long an image must have been a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantine {
    /// Recorded plans in a row, this one included; at least 2.
    pub plans: u64,
    /// Time between the first and this one.
    pub apart: Window,
}

/// Which untagged roots may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Untagged {
    /// They may go like all others.
    Include,
    /// Only they may go.
    Only,
    /// They stay.
    Skip,
}

/// Whether something keeps its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Keep {
    /// It does.
    Keep,
    /// It does not.
    Ignore,
}

/// What happens to attached entries without a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Orphans {
    /// They stay.
    Keep,
    /// They may go.
    Delete,
}

/// What an OCI manifest without a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MissingType {
    /// Not known: it stays.
    Keep,
    /// An image.
    Image,
}

/// What happens in repositories under a pull-through prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PullThrough {
    /// Everything stays.
    Keep,
    /// What may go is archived.
    Archive,
    /// The rule's action holds.
    Delete,
}

mod quarantine {
    //! `off`, or the two numbers.

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Quarantine;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        On(Quarantine),
        Off(super::Off),
        /// A bare `off` is a boolean to older YAML.
        Bare(bool),
    }

    #[expect(clippy::ref_option, reason = "the signature that serde's `with` calls")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Quarantine>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str("off"),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Quarantine>, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::On(value) => Some(value),
            Written::Off(super::Off::Off) | Written::Bare(false) => None,
            Written::Bare(true) => return Err(D::Error::custom("write how many plans, and how far apart; or off")),
        })
    }
}

mod rollback {
    //! `all`, or a number.

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Newest(u64),
        All(super::All),
    }

    #[expect(clippy::ref_option, reason = "the signature that serde's `with` calls")]
    pub(super) fn serialize<S: Serializer>(value: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_u64(*value),
            None => serializer.serialize_str("all"),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Newest(value) => Some(value),
            Written::All(super::All::All) => None,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Off {
    Off,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum All {
    All,
}
