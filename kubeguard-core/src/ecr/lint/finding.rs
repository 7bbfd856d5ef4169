//! How findings of a registry are written.

use serde_json::Value;

use crate::audit::report::fingerprint;
use crate::audit::{Evidence, Finding, ObjectName, Proof, Remedy, Severity};
use crate::ecr::findings::rule;
use crate::ecr::plan::{Plan, PlanFinding};
use crate::images::RegistryId;
use crate::images::gather::built_in_version;

/// What stands for an API version of objects that are in no cluster.
const API_VERSION: &str = "ecr";

/// Returns how findings name a repository.
#[must_use]
pub fn repository_name(name: &str) -> ObjectName {
    let (api_version, kind) = (API_VERSION.to_owned(), "Repository".to_owned());
    ObjectName { api_version, kind, namespace: String::new(), name: name.to_owned() }
}

/// Returns how findings name a whole registry.
pub(super) fn registry_name(id: &RegistryId) -> ObjectName {
    let (api_version, kind) = (API_VERSION.to_owned(), "Registry".to_owned());
    ObjectName { api_version, kind, namespace: String::new(), name: id.to_string() }
}

/// Returns a finding of a rule about a repository or the registry; `key` tells it from others of the same rule there.
pub(super) fn found(id: &str, object: ObjectName, key: &str, message: String) -> Finding {
    let row = rule(id);
    let severity = row.and_then(|row| severity(row.severity)).unwrap_or(Severity::Medium);
    let proof = row.and_then(|row| proof(row.proof)).unwrap_or(Proof::Model);
    Finding {
        rule: id.to_owned(),
        name: row.map_or_else(String::new, |row| row.name.to_owned()),
        severity: proof.caps(severity),
        proof,
        fingerprint: fingerprint(id, &object, None, key),
        object,
        container: None,
        source: None,
        message,
        evidence: Vec::new(),
        remedy: Remedy { text: row.map_or_else(String::new, |row| row.remedy.to_owned()), patch: Vec::new() },
        since: None,
        pods: None,
        also: Vec::new(),
        assumptions: Vec::new(),
        details: serde_json::Map::new(),
    }
}

pub(super) fn evidence(path: impl Into<String>, value: impl Into<Value>) -> Evidence {
    Evidence { object: None, path: path.into(), value: value.into() }
}

/// Returns a plan's finding as one of an audit. Its object is who names the image, else the repository, else the
/// registry; the image, or what is said, tells it from others there.
#[must_use]
pub fn of_plan(finding: &PlanFinding, plan: &Plan) -> Finding {
    let user = finding.by.as_deref().and_then(referrer);
    let object = match (&user, &finding.repository) {
        (Some((_, object)), _) => object.clone(),
        (None, Some(repository)) => repository_name(repository),
        (None, None) => registry_name(&plan.registry),
    };
    let key = finding.image.as_ref().unwrap_or(&finding.message);
    let cluster = user.map_or_else(String::new, |(cluster, _)| cluster);
    let key = if cluster.is_empty() { key.clone() } else { format!("{cluster} {key}") };
    let mut own = found(&finding.rule, object, &key, finding.message.clone());
    own.evidence.extend(finding.image.as_ref().map(|image| evidence("image", image.as_str())));
    if !cluster.is_empty() {
        own.details.insert("cluster".to_owned(), cluster.into());
    }
    own.severity = own.proof.caps(severity(&finding.severity).unwrap_or(own.severity));
    own.remedy.text.clone_from(&finding.remedy.text);
    own
}

/// Reads `CLUSTER/NAMESPACE/Kind/name`.
fn referrer(by: &str) -> Option<(String, ObjectName)> {
    let mut parts = by.splitn(4, '/');
    let (cluster, namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let api_version = built_in_version(kind).unwrap_or_default().to_owned();
    let namespace = if namespace == "-" { String::new() } else { namespace.to_owned() };
    let object = ObjectName { api_version, kind: kind.to_owned(), namespace, name: name.to_owned() };
    Some((cluster.to_owned(), object))
}

fn severity(word: &str) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| severity.word() == word)
}

fn proof(word: &str) -> Option<Proof> {
    [Proof::Exact, Proof::Model, Proof::Hint].into_iter().find(|proof| proof.word() == word)
}
