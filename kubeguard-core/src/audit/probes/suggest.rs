//! Probes written from ports, services and observed starts, each number with its reason.
//!
//! Only for containers that get traffic and lack readiness, or whose probes have findings; never a path, a command or a
//! port that nobody has written down. What is suggested is judged by the same rules before it is shown: nothing that
//! they would find at medium or above is.

mod build;
mod judge;
mod numbers;
mod patch;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Starts, asked};
use crate::audit::facts::{Carrier, Facts};
use crate::audit::needs::{Fact, Need, Needs};
use crate::audit::report::{ObjectName, Skipped};
use crate::audit::rule::Policy;

/// What the caller wants.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// What the rules are told.
    pub policy: &'a Policy,
    /// The time of the judgement.
    pub now: Timestamp,
    /// Liveness also where there is none.
    pub with_liveness: bool,
}

/// One field that is set, or taken away where it is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Field {
    fn new(name: &str, value: impl Into<Value>, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), reason: reason.into() }
    }
}

/// A probe that is written, or taken away.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeSuggestion {
    /// `readiness`, `startup` or `liveness`.
    pub probe: &'static str,
    /// What is set; empty where the probe is taken away.
    pub fields: Vec<Field>,
    /// Why it is written, or taken away.
    pub reason: String,
    /// Rules whose findings it ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<&'static str>,
}

/// The probes of one container.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContainerSuggestion {
    /// Its name.
    pub container: String,
    /// It is a native sidecar: it stands among the init containers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub native: bool,
    /// What it is for its pod, as in `routed by service mail:25 → 2525`.
    pub about: String,
    /// What is written.
    pub probes: Vec<ProbeSuggestion>,
}

/// A container for which nothing is written, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Its name.
    pub container: String,
    /// Why.
    pub reason: String,
}

/// What is suggested for one workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suggestion {
    /// The workload.
    pub object: ObjectName,
    /// Fields of its own spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Its containers for which something is written.
    pub containers: Vec<ContainerSuggestion>,
    /// Its other containers.
    pub left: Vec<Left>,
    /// Strategic merge patch; null where nothing is suggested.
    pub patch: Value,
    /// The same by RFC 6902, for kinds that know no strategic merge.
    pub json_patch: Vec<Value>,
    /// Where the holder keeps the pod's metadata and spec.
    #[serde(skip)]
    pub path: &'static str,
}

impl Suggestion {
    /// Returns whether anything is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }
}

/// What suggestions read.
const NEEDS: &[Need] = &[
    Need::decides(Fact::Deployment).or_none(),
    Need::decides(Fact::StatefulSet).or_none(),
    Need::decides(Fact::DaemonSet).or_none(),
    Need::decides(Fact::ReplicaSet).or_none(),
    Need::decides(Fact::ReplicationController).or_none(),
    Need::decides(Fact::Service).or_none(),
    Need::enriches(Fact::CustomCarrier).or_none(),
    Need::enriches(Fact::Job).or_none(),
    Need::enriches(Fact::CronJob).or_none(),
    Need::enriches(Fact::Pod).or_none(),
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none(),
    Need::enriches(Fact::Ingress).or_none(),
    Need::enriches(Fact::Route).or_none(),
];

/// Returns what suggestions read.
#[must_use]
pub fn needs() -> Needs {
    asked::needs(NEEDS)
}

/// Returns what of it could not be read.
#[must_use]
pub fn skipped(facts: &Facts) -> Vec<Skipped> {
    asked::skipped(facts, "suggest", NEEDS)
}

/// Returns the probes that are suggested for a workload; where services are not known, none, with that reason.
#[must_use]
pub fn suggest<'a>(facts: &'a Facts, carrier: &Carrier<'a>, starts: &Starts<'a>, wish: Wish<'a>) -> Suggestion {
    build::Building::of(facts, *carrier, starts, wish).finish()
}

#[cfg(test)]
mod tests;
