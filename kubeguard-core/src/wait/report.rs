//! The answer as data: what a plugin prints and a program reads.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::gather::Source;

use super::policy::{Level, words};
use super::verdict::{Note, Read, Verdict};

words! {
    /// Why a wait ended.
    Ended {
        /// Every object has its final verdict and nothing failed.
        Done = "done",
        /// An object failed, is missing, superseded or unverifiable.
        Failed = "failed",
        /// The deadline came first.
        TimedOut = "timedOut",
        /// Nothing made progress for the time of `--stall`.
        Stalled = "stalled",
        /// One look was asked for.
        Once = "once",
        /// Somebody pressed Ctrl-C.
        Interrupted = "interrupted",
        /// No further answer can come: rights or connection are lost, or a recording ends early.
        Cut = "cut",
    }
}

/// Calls made to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Pages of lists.
    pub list: u64,
    /// Watches opened.
    pub watch: u64,
    /// Single objects read, logs and discovery included.
    pub get: u64,
}

/// One link of the chain from an object to what broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Kind of the object that shows it.
    pub object_kind: String,
    /// Its namespace; left out for cluster-wide objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The container that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// A stable word, or the controller's own.
    pub reason: String,
    /// Details, the source's message verbatim.
    pub message: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How many objects show the same.
    pub count: u64,
    /// How many objects could show it, where that is known: `2 of 3 new pods`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// The owners from the named object down to this one, as in `replicaset web-6c9f7 (revision 8)`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// The newest event of the object where it is a warning, as `Reason: message`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Last lines of the container's log, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// What could not be read, as in `cannot list events`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unavailable: Vec<String>,
}

/// Why the tool believes what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Id of the rule that decided, as in `WD-D6`.
    pub rule: String,
    /// The fields that decided.
    pub reads: Vec<Read>,
    /// What would change the verdict, one sentence each.
    pub flips: Vec<String>,
}

/// The answer for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemReport {
    /// As in `apps/v1`.
    pub api_version: String,
    /// As in `Deployment`.
    pub object_kind: String,
    /// Left out for cluster-wide objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Where it was named, if in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The verdict.
    pub verdict: Verdict,
    /// A stable word, or the controller's own; left out when there is nothing to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Details for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// `strong`, `weak` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<&'static str>,
    /// The witness of weak evidence, as in `managedFields`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<&'static str>,
    /// Generation of the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Generation that the controller has observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Since when the verdict and its reason stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When a suspect's hold is over and the item fails, while it is only suspected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails_at: Option<Timestamp>,
    /// The chain to what broke, worst first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Flags that would have waited longer, as in `--tolerate CrashLoop=5m`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub looser: Vec<String>,
    /// Things worth knowing that decide nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Things worth a warning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Note>,
    /// True when it may fail without failing the set.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The rule and its fields; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation>,
}

/// Objects that could not be judged, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What was not judged, as in `deployment/web` or `deployments -l app=web`.
    pub object: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Why, as in `cannot list deployments in namespace team: Forbidden`.
    pub reason: String,
}

/// The answer for a whole set, section 3.2 of the contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitReport {
    /// Always `kubeguard.dev/v1`.
    pub api_version: &'static str,
    /// Always `WaitReport`.
    pub kind: &'static str,
    /// The verdict of the worst item.
    pub verdict: Verdict,
    /// The exit code of the contract, section 6.
    pub exit_code: u8,
    /// Seconds from the start of the wait to its end, milliseconds precise.
    pub elapsed_seconds: f64,
    /// The level that was asked for.
    pub until: Level,
    /// Why it ended.
    pub ended: Ended,
    /// Every object that was judged, by namespace, kind and name.
    pub items: Vec<ItemReport>,
    /// What could not be judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Calls made to the server.
    pub requests: Requests,
}
