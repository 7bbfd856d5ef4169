//! Kinds that define kinds; the server keeps them as JSON, so they are read as JSON only.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ObjectMeta, PodCondition, kinds};

kinds! {
    CustomResourceDefinition = "apiextensions.k8s.io" / "v1" / "customresourcedefinitions", namespaced: false;
    APIService = "apiregistration.k8s.io" / "v1" / "apiservices", namespaced: false;
}

/// A definition of a kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomResourceDefinition {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What it defines.
    pub spec: DefinitionSpec,
    /// What the server says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Conditions>,
}

/// What a definition defines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefinitionSpec {
    /// API group.
    pub group: String,
    /// `Namespaced` or `Cluster`.
    pub scope: String,
    /// Names of the kind.
    pub names: DefinitionNames,
    /// Its versions.
    pub versions: Vec<DefinitionVersion>,
}

/// Names of a defined kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefinitionNames {
    /// As in `Widget`.
    pub kind: String,
    /// As in `widgets`.
    pub plural: String,
}

/// One version of a defined kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefinitionVersion {
    /// As in `v1`.
    pub name: String,
    /// Whether the server serves it.
    pub served: bool,
    /// What is declared of the status: the schema of `status`, nothing else of the schema is kept.
    #[serde(skip_serializing_if = "Value::is_null", deserialize_with = "status_schema", alias = "schema")]
    pub status_schema: Value,
    /// Subresources; only whether `status` is there matters.
    pub subresources: Subresources,
}

/// Subresources of a defined kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subresources {
    /// There when the kind has a status subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

/// Conditions and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// The conditions; they share the layout of a pod's.
    pub conditions: Vec<PodCondition>,
}

/// An aggregated API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct APIService {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Where it is served.
    pub spec: APIServiceSpec,
    /// What the aggregator says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Conditions>,
}

/// Where an aggregated API is served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct APIServiceSpec {
    /// The service behind it; none for what the server itself serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceReference>,
}

/// Names a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The extension by which a schema keeps fields that it does not name.
const OPEN: &str = "x-kubernetes-preserve-unknown-fields";

/// Reads `{openAPIV3Schema: {properties: {status: …}}}` or what an earlier reading kept of it.
fn status_schema<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let mut schema = Value::deserialize(deserializer)?;
    let Some(root) = schema.get_mut("openAPIV3Schema") else { return Ok(schema) };
    if let Some(status) = root.pointer_mut("/properties/status") {
        return Ok(status.take());
    }
    // A schema that keeps whatever it is given says nothing of the status, not that there is none.
    let open = root.get(OPEN) == Some(&Value::Bool(true));
    Ok(if open { serde_json::json!({ OPEN: true }) } else { Value::Null })
}

impl CustomResourceDefinition {
    /// Returns group and kind of what it defines.
    #[must_use]
    pub fn defines(&self) -> (&str, &str) {
        (&self.spec.group, &self.spec.names.kind)
    }
}
