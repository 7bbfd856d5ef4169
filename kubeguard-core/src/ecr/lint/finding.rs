//! How findings of a registry are written.

use serde_json::Value;

use crate::audit::report::fingerprint;
use crate::audit::{Evidence, Finding, ObjectName, Proof, Remedy, Severity};
use crate::ecr::findings::rule;
use crate::ecr::plan::{Plan, PlanFinding};
use crate::images::RegistryId;

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

/// Returns a plan's finding as one of an audit. Its object is the repository that its message begins with, else the
/// registry; what tells it from others there is the message, for it has nothing else.
#[must_use]
pub fn of_plan(finding: &PlanFinding, plan: &Plan) -> Finding {
    let first = finding.message.split([' ', ':', '@']).next().unwrap_or_default();
    let known = plan.repositories.iter().any(|repository| repository.name == first);
    let object = if known { repository_name(first) } else { registry_name(&plan.registry) };
    let mut own = found(&finding.rule, object, &finding.message, finding.message.clone());
    own.severity = own.proof.caps(severity(&finding.severity).unwrap_or(own.severity));
    own.remedy.text.clone_from(&finding.remedy.text);
    own
}

fn severity(word: &str) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| severity.word() == word)
}

fn proof(word: &str) -> Option<Proof> {
    [Proof::Exact, Proof::Model, Proof::Hint].into_iter().find(|proof| proof.word() == word)
}
