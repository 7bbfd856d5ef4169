//! An audit's answer as data: findings in their order, what could not be judged, totals.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;

pub use crate::gather::Source;

/// How much it hurts, from little to much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Untidy.
    Low,
    /// It will hurt some day.
    Medium,
    /// It hurts in cases that are common.
    High,
    /// It is an outage, or will be one.
    Critical,
}

impl Severity {
    /// Every severity, the worst first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];

    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How sure a finding is, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// A guess from names or images.
    Hint,
    /// An exact algorithm over stated assumptions.
    Model,
    /// Arithmetic over objects.
    Exact,
}

impl Proof {
    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Model => "model",
            Self::Exact => "exact",
        }
    }

    /// Returns the severity that this proof can carry: a guess is never above medium.
    #[must_use]
    pub fn caps(self, severity: Severity) -> Severity {
        if self == Self::Hint { severity.min(Severity::Medium) } else { severity }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// An object by its names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// As in `apps/v1`.
    pub api_version: String,
    /// As in `Deployment`.
    pub kind: String,
    /// Empty for what has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectName {
    /// Returns the API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

impl fmt::Display for ObjectName {
    /// Writes it as kubectl does: `deployment.apps/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, group) = (self.kind.to_lowercase(), self.group());
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "{kind}{dot}{group}/{}", self.name)
    }
}

/// A field that proves a finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The object, where it is not the finding's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectName>,
    /// JSON pointer into the object.
    pub path: String,
    /// What it says there.
    pub value: Value,
}

/// What ends a finding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    /// In words, the smallest change first.
    pub text: String,
    /// RFC 6902 against the object; empty where none can be derived.
    pub patch: Vec<Value>,
}

/// Pods of one owner that show the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCount {
    /// How many.
    pub count: u64,
    /// One of them.
    pub example: String,
}

/// One statement about one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Id of the rule, as in `PA201`.
    pub rule: String,
    /// Its name, as in `named-port-unresolved`.
    pub name: String,
    /// How much it hurts.
    pub severity: Severity,
    /// How sure it is.
    pub proof: Proof,
    /// The object that somebody would edit.
    pub object: ObjectName,
    /// Its container, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Where the object is written, if it is from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// One sentence with the consequence.
    pub message: String,
    /// The fields that decided.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What ends it.
    #[serde(default)]
    pub remedy: Remedy,
    /// Identity over edits, versions and runs, see [`fingerprint`].
    pub fingerprint: String,
    /// When the state began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Pods that show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCount>,
    /// Rules whose findings this one makes redundant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// What a model assumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    /// Further facts, by the family's document.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub details: serde_json::Map<String, Value>,
}

/// Returns the identity of a finding: it survives edits, upgrades and new runs.
///
/// The first 16 bytes, as lower-case hexadecimal digits, of the sha256 of rule, group and kind, namespace and name of the
/// *root owner* (the `CronJob`, not this hour's `Job`), container, and a key that the rule may add.
#[must_use]
pub fn fingerprint(rule: &str, root: &ObjectName, container: Option<&str>, key: &str) -> String {
    let container = container.unwrap_or_default();
    let ObjectName { kind, namespace, name, .. } = root;
    let text = format!("v1\n{rule}\n{}/{kind}\n{namespace}\n{name}\n{container}\n{key}", root.group());
    let hash = sha2::Sha256::digest(text.as_bytes());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Rules that could not be judged, and why: never "nothing found".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Skipped {
    /// Their ids.
    pub rules: Vec<String>,
    /// In words.
    pub reason: String,
    /// The rules ran without some of what makes them better.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The namespace, where it is one of many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Totals of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the severities")]
pub struct Summary {
    pub critical: u64,
    pub high: u64,
    pub medium: u64,
    pub low: u64,
    pub info: u64,
    /// Objects that were judged.
    pub objects: u64,
    /// Findings that somebody suppressed with a reason.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
    /// Findings that the baseline knows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub baseline: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Summary {
    /// Returns the findings of a severity.
    #[must_use]
    pub const fn of(&self, severity: Severity) -> u64 {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
            Severity::Info => self.info,
        }
    }
}

/// What an audit says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `AuditReport`.
    pub kind: String,
    /// Everything that was asked for could be judged.
    pub complete: bool,
    /// Findings, sorted by namespace, kind, name, rule, container.
    pub items: Vec<Finding>,
    /// What could not be judged.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// Totals.
    pub summary: Summary,
    /// None of the rules could be judged; of a report that was read again it is not known.
    #[serde(skip)]
    pub unjudged: bool,
}

impl AuditReport {
    /// Version of the document.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the document.
    pub const KIND: &'static str = "AuditReport";

    /// Puts findings in their order and counts them; complete where nothing was skipped.
    #[must_use]
    pub fn new(mut items: Vec<Finding>, mut skipped: Vec<Skipped>, objects: u64) -> Self {
        items.sort_by(Finding::order);
        skipped.sort();
        skipped.dedup();
        let mut summary = Summary { objects, ..Summary::default() };
        for item in &items {
            let count = match item.severity {
                Severity::Critical => &mut summary.critical,
                Severity::High => &mut summary.high,
                Severity::Medium => &mut summary.medium,
                Severity::Low => &mut summary.low,
                Severity::Info => &mut summary.info,
            };
            *count += 1;
        }
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            complete: skipped.is_empty(),
            items,
            skipped,
            summary,
            unjudged: false,
        }
    }

    /// Returns the exit code of the contract: 2 when what there was could not be read and nothing was judged, 1 when a
    /// finding is at or above a severity, 6 when something could not be judged, else 0.
    #[must_use]
    pub fn exit_code(&self, fail_on: Option<Severity>) -> u8 {
        // Where some rules were judged, a list that is forbidden leaves an answer in part, also about nothing.
        let is_unread = self.unjudged || self.skipped.iter().any(|skipped| skipped.rules.is_empty());
        match (self.complete, self.fails(fail_on)) {
            (false, _) if is_unread && self.summary.objects == 0 && self.items.is_empty() => 2,
            (_, true) => 1,
            (false, false) => 6,
            (true, false) => 0,
        }
    }

    /// Returns whether a finding is at or above a severity; `None` is never.
    #[must_use]
    pub fn fails(&self, fail_on: Option<Severity>) -> bool {
        fail_on.is_some_and(|fail_on| self.items.iter().any(|item| item.severity >= fail_on))
    }
}

impl Finding {
    /// Compares as a report sorts.
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        key(self).cmp(&key(other))
    }
}

/// The order of findings.
fn key(finding: &Finding) -> impl Ord + '_ {
    let ObjectName { api_version, kind, namespace, name } = &finding.object;
    (namespace, kind, name, api_version, &finding.rule, &finding.container, &finding.fingerprint, &finding.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(namespace: &str) -> ObjectName {
        let (api_version, kind) = ("apps/v1".to_owned(), "Deployment".to_owned());
        ObjectName { api_version, kind, namespace: namespace.to_owned(), name: "web".to_owned() }
    }

    #[test]
    fn a_fingerprint_is_of_rule_root_container_and_key_alone() {
        let one = fingerprint("PA201", &web("team"), Some("app"), "readiness");
        assert_eq!(one.len(), 32);
        let newer = ObjectName { api_version: "apps/v2".to_owned(), ..web("team") };
        assert_eq!(fingerprint("PA201", &newer, Some("app"), "readiness"), one);
        for other in [
            fingerprint("PA202", &web("team"), Some("app"), "readiness"),
            fingerprint("PA201", &web("shop"), Some("app"), "readiness"),
            fingerprint("PA201", &web("team"), None, "readiness"),
            fingerprint("PA201", &web("team"), Some("app"), "liveness"),
        ] {
            assert_ne!(other, one);
        }
    }

    #[test]
    fn a_guess_is_never_above_medium() {
        assert_eq!(Proof::Hint.caps(Severity::Critical), Severity::Medium);
        assert_eq!(Proof::Hint.caps(Severity::Low), Severity::Low);
        assert_eq!(Proof::Model.caps(Severity::Critical), Severity::Critical);
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        assert_eq!(web("team").to_string(), "deployment.apps/web");
        let pod = ObjectName { api_version: "v1".to_owned(), kind: "Pod".to_owned(), ..web("team") };
        assert_eq!(pod.to_string(), "pod/web");
    }
}
