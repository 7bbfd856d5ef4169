//! Every row of `tests/scenarios`, through the same state machine that a live wait runs.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails with what differs")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::gather::resource::Resource;
use kubeguard_core::wait::object::{Facts, Object, ObjectKey};
use kubeguard_core::wait::offline;
use kubeguard_core::wait::policy::{
    EvidenceFloor, Hold, JobMode, Level, NodeBudget, OnFailure, Paused, PodMode, Policy, Profile,
};
use kubeguard_core::wait::record::{Op, Record, Target};
use kubeguard_core::wait::report::{Ended, ItemReport};
use kubeguard_core::wait::rules::{Rules, Sources};
use kubeguard_core::wait::state::State;
use kubeguard_core::wait::verdict::Note;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    base: Value,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    id: String,
    #[serde(default)]
    case: String,
    #[serde(default)]
    options: Options,
    /// The test that runs a row which needs more than data.
    #[serde(default)]
    held_by: String,
    /// Exit code and end of the whole set after the last state.
    exit: Option<u8>,
    ended: Option<Ended>,
    #[serde(default)]
    states: Vec<Moment>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Options {
    live: bool,
    follow: bool,
    assume_observed: bool,
    profile: Option<Profile>,
    until: Option<Level>,
    /// Seconds.
    settle: i64,
    evidence: Option<EvidenceFloor>,
    on_failure: Option<OnFailure>,
    max_broken_nodes: Option<NodeBudget>,
    paused: Option<Paused>,
    pod_mode: Option<PodMode>,
    job_mode: Option<JobMode>,
    facts: Facts,
    tolerate: BTreeMap<String, Value>,
    rules: Sources,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moment {
    #[serde(default)]
    at: i64,
    object: Option<Value>,
    #[serde(default)]
    with: Vec<Value>,
    /// Further objects that are waited for.
    #[serde(default)]
    also: Vec<Value>,
    /// Further objects that are waited for, and not there yet.
    #[serde(default)]
    awaited: Vec<Value>,
    /// The watch of the judged object fails with this code.
    error: Option<u16>,
    #[serde(default)]
    gone: Vec<String>,
    /// Kinds whose list has been read to its end, as in `apps/ReplicaSet`.
    #[serde(default)]
    read: Vec<String>,
    expect: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    evidence: String,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
    /// Why the whole wait has ended by now; `once` while it goes on.
    ended: Option<Ended>,
    /// Events of the first cause, or of the item itself.
    events: Option<Vec<String>>,
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn policy(options: &Options) -> Policy {
    let default = Policy::default();
    let seconds = |value: u64| Hold::Seconds(u32::try_from(value).unwrap());
    let hold = |value: &Value| value.as_u64().map_or(Hold::Never, seconds);
    Policy {
        timeout: None,
        follow: options.follow,
        assume_observed: options.assume_observed,
        profile: options.profile.unwrap_or(default.profile),
        until: options.until.unwrap_or(default.until),
        settle: SignedDuration::from_secs(options.settle),
        evidence: options.evidence.unwrap_or(default.evidence),
        on_failure: options.on_failure.unwrap_or(default.on_failure),
        max_broken_nodes: options.max_broken_nodes.unwrap_or(default.max_broken_nodes),
        paused: options.paused.unwrap_or(default.paused),
        pod_mode: options.pod_mode.unwrap_or(default.pod_mode),
        job_mode: options.job_mode.unwrap_or(default.job_mode),
        holds: options.tolerate.iter().map(|(word, value)| (word.clone(), hold(value))).collect(),
        rules: Rules::new(options.rules.clone()).unwrap(),
        ..default
    }
}

/// Runs one row and returns what differs from its expectations.
fn run(base: &Value, row: &Row) -> Vec<String> {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut state = State::new(policy(&row.options), None, start, row.options.live);
    let mut judged: Option<ObjectKey> = None;
    let mut differences = Vec::new();
    for (number, moment) in row.states.iter().enumerate() {
        let at = start + SignedDuration::from_secs(moment.at);
        for value in &moment.awaited {
            let object = Object::read(value.clone()).unwrap();
            state.step(at, &Record::Target(Box::new(offline::target(&object))));
        }
        for value in &moment.with {
            let object = Object::read(value.clone()).unwrap();
            state.step(at, &Record::Event(Op::Modified, Box::new(object)));
        }
        for read in &moment.read {
            let (group, kind) = read.split_once('/').unwrap();
            let plural = String::new();
            let resource =
                Resource { group: group.into(), version: "v1".into(), kind: kind.into(), plural, namespaced: false };
            state.step(at, &Record::Relist(resource, None));
        }
        if let Some(over) = &moment.object {
            let mut value = base.clone();
            merge(&mut value, over);
            let object = Object::read(value).unwrap_or_else(|| panic!("{}: no object", row.id));
            let key = object.key.clone();
            if judged.is_none() {
                let target = Target { facts: row.options.facts.clone(), ..offline::target(&object) };
                state.step(at, &Record::Target(Box::new(target)));
            }
            judged = Some(key);
            state.step(at, &Record::Event(Op::Modified, Box::new(object)));
        }
        for value in &moment.also {
            let object = Object::read(value.clone()).unwrap();
            state.step(at, &Record::Target(Box::new(offline::target(&object))));
            state.step(at, &Record::Event(Op::Modified, Box::new(object)));
        }
        if let (Some(code), Some(key)) = (moment.error, &judged) {
            let resource = Resource {
                group: key.group.clone(),
                version: "v1".into(),
                kind: key.kind.clone(),
                plural: String::new(),
                namespaced: true,
            };
            state.step(at, &Record::Error(resource, Some(code), "it failed".to_owned()));
        }
        for name in &moment.gone {
            let (kind, name) = name.split_once('/').unwrap();
            let metadata = serde_json::json!({"name": name, "namespace": "team"});
            let stub = serde_json::json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
            state.step(at, &Record::Event(Op::Deleted, Box::new(Object::read(stub).unwrap())));
        }
        state.step(at, &Record::Tick);
        let item = state.item(judged.as_ref().unwrap()).unwrap();
        let place = format!("{} {} state {number}", row.id, row.case);
        differences.extend(compare(&place, moment, &item));
        let ended = state.report(false).ended;
        if moment.ended.is_some_and(|expected| expected != ended) {
            differences.push(format!("{place}: ended {ended}"));
        }
    }
    let report = state.report(false);
    if row.exit.is_some_and(|exit| exit != report.exit_code) || row.ended.is_some_and(|ended| ended != report.ended) {
        differences.push(format!("{} {}: exit {}, ended {}", row.id, row.case, report.exit_code, report.ended));
    }
    differences
}

fn compare(place: &str, moment: &Moment, item: &ItemReport) -> Vec<String> {
    let words = |notes: &[Note]| notes.iter().map(|note| note.word.clone()).collect::<Vec<_>>();
    let mut got = item.verdict.to_string();
    if moment.expect.contains('(') {
        got = format!("{got}({})", item.reason);
    }
    let mut differences = Vec::new();
    if got != moment.expect {
        differences.push(format!("{place}: {} expected, {got}: {}", moment.expect, item.message));
    }
    if !item.message.contains(&moment.message) {
        differences.push(format!("{place}: message {:?} lacks {:?}", item.message, moment.message));
    }
    if !moment.evidence.is_empty() && item.evidence != Some(moment.evidence.as_str()) {
        differences.push(format!("{place}: evidence {} expected, {:?}", moment.evidence, item.evidence));
    }
    if let Some(events) = &moment.events {
        let got = item.causes.first().map(|cause| cause.events.clone()).unwrap_or_default();
        if got != *events {
            differences.push(format!("{place}: events {got:?}, {events:?} expected"));
        }
    }
    for (wanted, got) in [(&moment.notes, words(&item.notes)), (&moment.warnings, words(&item.warnings))] {
        for word in wanted.iter().filter(|word| !got.contains(word)) {
            differences.push(format!("{place}: {word} not among {got:?}"));
        }
    }
    differences
}

fn check(file: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let table: Table = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (elsewhere, now): (Vec<&Row>, Vec<&Row>) = table.rows.iter().partition(|row| row.states.is_empty());
    for row in elsewhere {
        assert!(!row.held_by.is_empty(), "{} has no states and no test", row.id);
        println!("held by: {} {}: {}", row.id, row.case, row.held_by);
    }
    let differences: Vec<String> = now.iter().flat_map(|row| run(&table.base, row)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

macro_rules! tables {
    ($($name:ident: $file:literal;)*) => {
        $(#[test]
        fn $name() {
            check($file);
        })*
    };
}

tables! {
    deployments: "deployment.yaml";
    stateful_sets: "stateful-set.yaml";
    daemon_sets: "daemon-set.yaml";
    replica_sets: "replica-set.yaml";
    jobs: "job.yaml";
    pods: "pod.yaml";
    pods_seen_by_their_owner: "owned-pod.yaml";
    the_platform: "platform.yaml";
    custom_resources: "custom.yaml";
    sequences: "sequence.yaml";
    levels: "levels.yaml";
}
