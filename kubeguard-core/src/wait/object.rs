//! Objects as the wait keeps them: a key, who wrote them last, and what their spec was.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kinds::{self, Kind, ObjectMeta};

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
    /// Digests of the spec that was written, by top-level key; tell what somebody else has changed since.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

/// The clock of one judgement; core reads no clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The moment that is judged.
    pub now: Timestamp,
    /// When the wait began; `None` offline, where a hold without a time counts as used up.
    pub start: Option<Timestamp>,
}

/// What stays of an object's managedFields and spec once both are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Provenance {
    /// Newest entry of managedFields without subresource, or through `scale`, that owns part of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<Write>,
    /// Newest entry of managedFields that owns nothing but the status.
    ///
    /// A controller that writes spec and status in one entry is no witness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Write>,
    /// Top-level key of the spec → digest of its value, to name what changed between two generations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
    /// All of the object is kept, for a caller's own expressions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// Paths of parts that had the wrong shape and were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<String>,
}

/// One object as the wait keeps it: without managedFields, and of known kinds only the fields that rules read.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its name.
    pub key: ObjectKey,
    /// As in `apps/v1`.
    pub api_version: String,
    /// What is known of its writers and of the parts of its spec.
    pub provenance: Provenance,
    /// The parts that rules read.
    pub body: Body,
    /// Everything but the metadata, of a typed kind that a caller's own expressions read.
    pub whole: Option<Box<Value>>,
}

/// Declares the kinds that are read into types of their own, and how.
macro_rules! bodies {
    ($($(#[$doc:meta])* $variant:ident($type:ident),)*) => {
        /// The parts of an object that rules read.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Body {
            $($(#[$doc])* $variant(Box<kinds::$type>),)*
            /// A kind that reports nothing: ConfigMap, Role and the like; of it only metadata is kept.
            Present(Box<ObjectMeta>),
            /// Any other kind, as JSON.
            Custom(Box<ObjectMeta>, Box<Value>),
        }

        impl Body {
            fn read(group: &str, kind: &str, mut value: Value) -> (Self, Vec<String>) {
                match (group, kind) {
                    $((kinds::$type::GROUP, kinds::$type::KIND) => {
                        let (read, malformed) = kinds::read(value);
                        (Self::$variant(Box::new(read)), malformed)
                    })*
                    _ => {
                        let metadata = value.get("metadata").cloned().unwrap_or_default();
                        let (meta, malformed) = kinds::read(metadata);
                        if REPORTS_NOTHING.contains(&(group, kind)) {
                            (Self::Present(Box::new(meta)), malformed)
                        } else {
                            if let Value::Object(map) = &mut value {
                                map.shift_remove("metadata");
                            }
                            (Self::Custom(Box::new(meta), Box::new(value)), malformed)
                        }
                    }
                }
            }

            fn meta(&self) -> &ObjectMeta {
                match self {
                    $(Self::$variant(object) => object.meta(),)*
                    Self::Present(meta) | Self::Custom(meta, _) => meta,
                }
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$variant(object) => object.meta_mut(),)*
                    Self::Present(meta) | Self::Custom(meta, _) => meta,
                }
            }

            fn to_value(&self) -> serde_json::Result<Value> {
                match self {
                    $(Self::$variant(object) => serde_json::to_value(object),)*
                    Self::Present(meta) => Ok(serde_json::json!({ "metadata": meta })),
                    Self::Custom(meta, rest) => {
                        let mut value = serde_json::json!({ "metadata": meta });
                        if let (Value::Object(map), Value::Object(rest)) = (&mut value, rest.as_ref()) {
                            map.extend(rest.clone());
                        }
                        Ok(value)
                    }
                }
            }
        }
    };
}

bodies! {
    /// A deployment.
    Deployment(Deployment),
    /// One revision of a deployment.
    ReplicaSet(ReplicaSet),
    /// A stateful set.
    StatefulSet(StatefulSet),
    /// A daemon set.
    DaemonSet(DaemonSet),
    /// One revision of a stateful set or daemon set.
    Revision(ControllerRevision),
    /// A job.
    Job(Job),
    /// A pod.
    Pod(Pod),
    /// A service.
    Service(Service),
    /// A claim for a volume.
    Claim(PersistentVolumeClaim),
    /// A class of storage.
    StorageClass(StorageClass),
    /// Where a service routes to.
    Slice(EndpointSlice),
    /// A namespace.
    Namespace(Namespace),
    /// A node.
    Node(Node),
    /// Something that happened.
    Event(Event),
    /// A definition of a kind.
    Definition(CustomResourceDefinition),
    /// An aggregated API.
    ApiService(APIService),
}

/// Built-in kinds without a status.
const REPORTS_NOTHING: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "LimitRange"),
    ("", "PodTemplate"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("coordination.k8s.io", "Lease"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "CSIStorageCapacity"),
    ("storage.k8s.io", "VolumeAttributesClass"),
];

impl Object {
    /// Reads an object as the server or a file gives it: keeps what rules read, and of managedFields and spec only
    /// the provenance. Returns `None` for JSON without apiVersion or kind.
    #[must_use]
    pub fn read(mut value: Value) -> Option<Self> {
        let provenance = Provenance::of(&value);
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            metadata.shift_remove("managedFields");
            if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                // A second copy of the whole spec, which may hold what nobody should keep.
                annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
        Self::of(value, provenance)
    }

    /// Reads an object and keeps all of it, for a caller's own expressions.
    #[must_use]
    pub fn read_whole(value: Value) -> Option<Self> {
        let read = Self::read(value.clone())?;
        Self::of(value, Provenance { whole: true, malformed: Vec::new(), ..read.provenance })
    }

    /// Reads an object that [`Object::to_value`] has written, with its provenance.
    #[must_use]
    pub fn of(mut value: Value, mut provenance: Provenance) -> Option<Self> {
        let map = value.as_object_mut()?;
        let api_version = map.shift_remove("apiVersion")?.as_str()?.to_owned();
        let kind = map.shift_remove("kind")?.as_str()?.to_owned();
        let group = group_of(&api_version).to_owned();
        let mut whole = provenance.whole.then(|| Box::new(value.clone()));
        if let Some(Value::Object(map)) = whole.as_deref_mut() {
            map.shift_remove("metadata");
        }
        let (body, malformed) = Body::read(&group, &kind, value);
        let meta = body.meta();
        if !malformed.is_empty() {
            provenance.malformed = malformed;
        }
        let key = ObjectKey::new(group, kind, &meta.namespace, &meta.name);
        let whole = whole.filter(|_| !matches!(body, Body::Custom(..)));
        Some(Self { key, api_version, provenance, body, whole })
    }

    /// Wraps a kind that was read by itself, as from protobuf, where nothing of its writers is wanted.
    #[must_use]
    pub fn slim<T: Kind>(object: T, wrap: fn(Box<T>) -> Body) -> Self {
        let api_version =
            if T::GROUP.is_empty() { T::VERSION.to_owned() } else { format!("{}/{}", T::GROUP, T::VERSION) };
        let key = ObjectKey::new(T::GROUP, T::KIND, &object.meta().namespace, &object.meta().name);
        Self { key, api_version, provenance: Provenance::default(), body: wrap(Box::new(object)), whole: None }
    }

    /// Returns what is kept, as JSON; [`Object::of`] reads it back.
    ///
    /// # Errors
    /// None that JSON made by this crate can cause.
    pub fn to_value(&self) -> serde_json::Result<Value> {
        let mut value = serde_json::json!({ "apiVersion": self.api_version, "kind": self.key.kind });
        if let (Value::Object(map), Value::Object(body)) = (&mut value, self.body.to_value()?) {
            map.extend(body);
            if let Some(Value::Object(whole)) = self.whole.as_deref() {
                map.extend(whole.clone());
            }
        }
        Ok(value)
    }

    /// Returns its metadata, without managedFields.
    #[must_use]
    pub fn meta(&self) -> &ObjectMeta {
        self.body.meta()
    }

    /// Sets the namespace of an object that a file gives none.
    pub fn set_namespace(&mut self, namespace: &str) {
        namespace.clone_into(&mut self.body.meta_mut().namespace);
        namespace.clone_into(&mut self.key.namespace);
    }

    /// Returns the status-level observed generation of the kinds whose controllers write one.
    #[must_use]
    pub fn observed_generation(&self) -> Option<i64> {
        match &self.body {
            Body::Deployment(object) => object.status.as_ref()?.observed_generation,
            Body::ReplicaSet(object) => object.status.as_ref()?.observed_generation,
            Body::StatefulSet(object) => object.status.as_ref()?.observed_generation,
            Body::DaemonSet(object) => object.status.as_ref()?.observed_generation,
            Body::Pod(object) => object.status.as_ref()?.observed_generation,
            Body::Custom(_, value) => super::evidence::observed_generation(value.get("status")?),
            _ => None,
        }
    }

    /// Returns the digest of `spec.template` without the label that a ReplicaSet adds.
    #[must_use]
    pub fn template_digest(&self) -> Option<&str> {
        self.provenance.digests.get("template").map(String::as_str)
    }
}

/// Returns the group of `apps/v1`; empty for the core group's `v1`.
#[must_use]
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl Provenance {
    fn of(object: &Value) -> Self {
        let mut provenance = Self::default();
        for entry in object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let write =
                Write { manager: text("manager"), time: text("time").parse().ok(), subresource: text("subresource") };
            let fields = entry.get("fieldsV1").and_then(Value::as_object);
            let owns = |key: &str| fields.is_some_and(|fields| fields.contains_key(key));
            let other = fields.is_some_and(|fields| fields.keys().any(|key| key != "f:metadata" && key != "f:status"));
            let only_status = owns("f:status") && !other && !owns("f:metadata");
            if write.subresource == "status" || (write.subresource.is_empty() && only_status) {
                keep_newest(&mut provenance.status, write);
            } else if matches!(write.subresource.as_str(), "" | "scale")
                && (owns("f:spec") || (!has_spec(object) && other))
            {
                keep_newest(&mut provenance.spec, write);
            }
        }
        for (key, value) in object.get("spec").and_then(Value::as_object).into_iter().flatten() {
            provenance.digests.insert(key.clone(), digest(value));
        }
        provenance
    }
}

fn has_spec(object: &Value) -> bool {
    object.get("spec").is_some()
}

fn keep_newest(slot: &mut Option<Write>, write: Write) {
    if slot.as_ref().is_none_or(|kept| kept.time <= write.time) {
        *slot = Some(write);
    }
}

/// Returns a digest that does not depend on the order of keys, nor on the label by which a ReplicaSet's template
/// differs from its Deployment's.
fn digest(value: &Value) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, value);
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        use fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().filter(|key| *key != "pod-template-hash").collect();
            keys.sort();
            hash.update(b"{");
            for key in keys {
                hash.update(key.as_bytes());
                hash.update(b"\0");
                if let Some(value) = map.get(key) {
                    feed(hash, value);
                }
            }
            hash.update(b"}");
        }
        Value::Array(list) => {
            hash.update(b"[");
            for value in list {
                feed(hash, value);
                hash.update(b",");
            }
            hash.update(b"]");
        }
        leaf => hash.update(leaf.to_string().as_bytes()),
    }
}
