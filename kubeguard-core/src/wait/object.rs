//! Objects as the wait keeps them: a key, who wrote them last, and what their spec was.

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names one object. The version is left out: an object has one identity in all versions of its group.
///
/// Ordered by namespace, kind, name and group, the order of every answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectKey {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, as in `Deployment`.
    pub kind: String,
    /// Namespace; empty for cluster-wide objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// Returns the key of an object.
    pub fn new(
        group: impl Into<String>,
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    fn order(&self) -> (&str, &str, &str, &str) {
        (&self.namespace, &self.kind, &self.name, &self.group)
    }
}

impl Ord for ObjectKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for ObjectKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ObjectKey {
    /// Writes `deployment/web`; the namespace stands in a column of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}

/// Who wrote a part of an object last, and when; from `metadata.managedFields`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Write {
    /// The field manager.
    pub manager: String,
    /// Time of its newest write, whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The subresource it wrote through, as in `scale`; empty for the object itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// The two newest writes that matter: of the spec and of the status.
///
/// A controller that writes spec and status in one entry is no witness: it is neither.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Writers {
    /// Newest entry without subresource, or through `scale`, that owns part of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<Write>,
    /// Newest entry that owns nothing but the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Write>,
}

/// What is known about one's own write; each part optional.
///
/// Comes from the output of `kubectl apply -o json`, from flags, or from a program that has just written the object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// Uid of the object that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Generation that the write returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Resource version that the write returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Time of the write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// Field manager of the write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// Revision of a Deployment that the write made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// A floor only: what is newer passes too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_generation: Option<i64>,
}

/// The clock of one judgement; core reads no clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The moment that is judged.
    pub now: Timestamp,
    /// When the wait began; `None` offline, where a hold without a time counts as used up.
    pub start: Option<Timestamp>,
}
