//! What somebody measured of a cluster, as a small document.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::declared::StartBurn;
use super::{Input, Origin, declared, duration};
use crate::audit::ObjectName;
use crate::error::Error;

/// A measurement older than this is used, and told to be old.
const OLD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Measurements of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Measurements {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `Measurements`.
    pub kind: String,
    /// When they were taken.
    pub at: Timestamp,
    /// How long clients keep an old endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Percentiles>,
    /// By `namespace/Kind/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workloads: BTreeMap<String, Workload>,
}

/// Times of which so many were shorter; as Go writes durations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "percentiles")]
pub struct Percentiles {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p10: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
}

/// What was measured of one workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// From creation to ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Percentiles>,
    /// What starting costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burn: Option<Burn>,
}

/// Extra cpu after a start, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the annotation's words")]
pub struct Burn {
    pub cpu: String,
    pub r#for: String,
}

impl Measurements {
    /// Version of the document.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the document.
    pub const KIND: &'static str = "Measurements";

    /// Returns an empty document.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        let (api_version, kind) = (Self::API_VERSION.to_owned(), Self::KIND.to_owned());
        Self { api_version, kind, at, propagation: None, workloads: BTreeMap::new() }
    }

    /// Reads a document in JSON or YAML; `file` is only named in errors.
    ///
    /// # Errors
    /// [`Error::File`] for anything that is no such document, and for a duration or quantity in it that does not read.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::File {
            file: file.to_owned(),
            line: 1,
            column: 1,
            problem,
            hint: "kubectl guard rollout settle --store FILE writes one".to_owned(),
        };
        let read: Self =
            serde_saphyr::from_str(text).map_err(|error| wrong(format!("these are no measurements: {error}")))?;
        if (read.api_version.as_str(), read.kind.as_str()) != (Self::API_VERSION, Self::KIND) {
            let problem =
                format!("it is {} of {}, not {} of {}", read.kind, read.api_version, Self::KIND, Self::API_VERSION);
            return Err(wrong(problem));
        }
        let all = read.workloads.values().filter_map(|workload| workload.ready.as_ref()).chain(&read.propagation);
        for time in all.flat_map(|times| [&times.p10, &times.p50, &times.p99]).flatten() {
            duration::parse(time).map_err(wrong)?;
        }
        for burn in read.workloads.values().filter_map(|workload| workload.burn.as_ref()) {
            burn.read().map_err(wrong)?;
        }
        Ok(read)
    }

    /// Returns the workload's key.
    #[must_use]
    pub fn key(object: &ObjectName) -> String {
        format!("{}/{}/{}", object.namespace, object.kind, object.name)
    }

    /// Returns how long clients keep an old endpoint, at the slow end.
    #[must_use]
    pub fn propagation(&self, now: Timestamp) -> Option<Input<SignedDuration>> {
        self.input(now, time(self.propagation.as_ref()?.p99.as_ref())?)
    }

    /// Returns how long a workload's pods usually take to be ready.
    #[must_use]
    pub fn ready(&self, object: &ObjectName, now: Timestamp) -> Option<Input<SignedDuration>> {
        let ready = self.workloads.get(&Self::key(object))?.ready.as_ref()?;
        self.input(now, time(ready.p50.as_ref())?)
    }

    /// Returns how long its slowest pods take.
    #[must_use]
    pub fn ready_slow(&self, object: &ObjectName, now: Timestamp) -> Option<Input<SignedDuration>> {
        let ready = self.workloads.get(&Self::key(object))?.ready.as_ref()?;
        self.input(now, time(ready.p99.as_ref())?)
    }

    /// Returns what starting costs.
    #[must_use]
    pub fn burn(&self, object: &ObjectName, now: Timestamp) -> Option<Input<StartBurn>> {
        self.input(now, self.workloads.get(&Self::key(object))?.burn.as_ref()?.read().ok()?)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the callers end with it")]
    fn input<T>(&self, now: Timestamp, value: T) -> Option<Input<T>> {
        let age = now.duration_since(self.at);
        let old = if age > OLD { format!(", {} days old", age.as_hours() / 24) } else { String::new() };
        Some(Input::new(value, Origin::Measured).because(format!("measured {:.0}{old}", self.at)))
    }
}

impl Burn {
    fn read(&self) -> Result<StartBurn, String> {
        declared::start_burn(&format!("cpu={},for={}", self.cpu, self.r#for))
    }
}

fn time(text: Option<&String>) -> Option<SignedDuration> {
    duration::parse(text?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"apiVersion": "kubeguard.dev/v1", "kind": "Measurements", "at": "2026-11-22T10:00:00Z",
        "propagation": {"p50": "1.8s", "p99": "6.4s", "samples": 240},
        "workloads": {"team/Deployment/web": {"ready": {"p10": "4s", "p50": "5s", "p99": "9s"}, "burn": {"cpu": "1", "for": "118s"}}}}"#;

    #[test]
    fn a_document_is_read_and_an_old_one_says_so() {
        let read = Measurements::parse("m.json", TEXT).unwrap();
        let web = ObjectName {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: "team".to_owned(),
            name: "web".to_owned(),
        };
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        assert_eq!(read.propagation(now).unwrap().value.as_millis(), 6400);
        assert_eq!(read.ready(&web, now).unwrap().value.as_secs(), 5);
        assert_eq!(read.ready_slow(&web, now).unwrap().value.as_secs(), 9);
        assert_eq!(read.burn(&web, now).unwrap().value.cpu, 1000);
        let late = read.ready(&web, "2027-01-22T10:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(late.note.as_deref(), Some("measured 2026-11-22T10:00:00Z, 61 days old"));
        assert_eq!(Measurements::parse("again", &serde_json::to_string(&read).unwrap()).unwrap(), read);
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        for wrong in [
            "[]",
            r#"{"apiVersion": "v1", "kind": "Pod", "at": "2026-11-22T10:00:00Z"}"#,
            &TEXT.replace("118s", "long"),
            &TEXT.replace("6.4s", "6.4"),
            &TEXT.replace("Measurements", "Snapshot"),
        ] {
            assert!(Measurements::parse("m", wrong).is_err(), "{wrong}");
        }
    }
}
