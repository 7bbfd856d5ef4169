//! What must hold for every object, whatever its controller writes.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::wait::object::{Object, Provenance};
use kubeguard_core::wait::offline;
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::record::{Op, Record};
use kubeguard_core::wait::recording::{Header, Recorder, Replay};
use kubeguard_core::wait::report::{Ended, ItemReport, Requests};
use kubeguard_core::wait::rules::Rules;
use kubeguard_core::wait::state::State;
use kubeguard_core::wait::verdict::Verdict;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn judge_at(value: &Value, now: Timestamp) -> ItemReport {
    let policy = Policy { assume_observed: true, ..Policy::default() };
    offline::judge(vec![Object::read(value.clone()).unwrap()], policy, now).items.remove(0)
}

fn judge(value: &Value) -> ItemReport {
    judge_at(value, now())
}

/// Keys and words that rules read, so that random JSON meets them.
fn any_json() -> impl Strategy<Value = Value> {
    let words = [
        "Ready",
        "True",
        "False",
        "Unknown",
        "Failed",
        "Running",
        "Progressing",
        "3/3",
        "2026-01-01T00:00:00Z",
        "not found",
        "",
        "é",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2_i64..4).prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    let keys = [
        "conditions",
        "type",
        "status",
        "reason",
        "message",
        "observedGeneration",
        "phase",
        "health",
        "replicas",
        "readyReplicas",
        "parents",
        "error",
        "state",
        "containerStatuses",
        "waiting",
        "terminated",
        "exitCode",
        "spec",
        "updatedReplicas",
        "severity",
        "ingress",
        "desiredNumberScheduled",
        "lastTransitionTime",
        "ready",
        "template",
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(keys.to_vec()), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())),
        ]
    })
}

fn kinds() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("batch/v1", "Job"),
        ("v1", "Pod"),
        ("v1", "Service"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Namespace"),
        ("v1", "Event"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("apiregistration.k8s.io/v1", "APIService"),
        ("acme.example.org/v1", "Widget"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("policy/v1", "PodDisruptionBudget"),
        ("batch/v1", "CronJob"),
        ("v1", "ReplicationController"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("k8s.elastic.co/v1", "Elasticsearch"),
        ("argoproj.io/v1alpha1", "Rollout"),
    ])
}

fn object((api_version, kind): (&str, &str), spec: &Value, status: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "main", "namespace": "team", "generation": 1}, "spec": spec, "status": status})
}

fn conditions() -> impl Strategy<Value = Vec<Value>> {
    let types = [
        "Ready",
        "Available",
        "Progressing",
        "Stalled",
        "Synced",
        "Paused",
        "PodsReady",
        "NotHealthy",
        "Novel",
        "Warning",
    ];
    let reasons = ["", "UpToDate", "ReconcileError", "Creating", "Paused", "NotFound"];
    let one = (
        prop::sample::select(types.to_vec()),
        prop::sample::select(vec!["True", "False", "Unknown", "Odd"]),
        prop::sample::select(reasons.to_vec()),
    );
    prop::collection::vec(one, 1..6).prop_map(|conditions| {
        conditions
            .into_iter()
            .map(|(name, status, reason)| json!({"type": name, "status": status, "reason": reason}))
            .collect()
    })
}

fn widget(generation: i64, observed: Option<i64>, conditions: &[Value]) -> Value {
    let mut value = object(("acme.example.org/v1", "Widget"), &json!({}), &json!({"conditions": conditions}));
    value["metadata"]["generation"] = generation.into();
    if let Some(observed) = observed {
        value["status"]["observedGeneration"] = observed.into();
    }
    value
}

/// The same objects every time: a rare one must not fail somebody else's change. `PROPTEST_CASES` tries more of them.
fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_object_is_too_strange_to_judge(kind in kinds(), spec in any_json(), status in any_json()) {
        let _ = judge(&object(kind, &spec, &status));
    }

    #[test]
    fn what_a_recording_keeps_reads_back_as_the_same(kind in kinds(), spec in any_json(), status in any_json()) {
        let read = Object::read(object(kind, &spec, &status)).unwrap();
        let provenance: Provenance = serde_json::from_value(serde_json::to_value(&read.provenance).unwrap()).unwrap();
        let kept: Value = serde_json::from_str(&read.to_value().unwrap().to_string()).unwrap();
        prop_assert_eq!(Object::of(kept, provenance).unwrap(), read);
    }

    #[test]
    fn the_order_of_conditions_does_not_matter(conditions in conditions()) {
        let mut reversed = conditions.clone();
        reversed.reverse();
        let (a, b) = (judge(&widget(1, Some(1), &conditions)), judge(&widget(1, Some(1), &reversed)));
        prop_assert_eq!((a.verdict, a.reason), (b.verdict, b.reason));
    }

    #[test]
    fn a_status_of_an_older_generation_is_never_complete(conditions in conditions(), observed in 1_i64..4, newer in 1_i64..4) {
        let judged = judge(&widget(observed + newer, Some(observed), &conditions));
        prop_assert_ne!(judged.verdict, Verdict::Complete, "{:?}", judged);
    }

    #[test]
    fn conditions_of_an_older_generation_are_never_complete(conditions in conditions(), observed in 1_i64..4, newer in 1_i64..4) {
        let mut old = conditions;
        for condition in &mut old {
            condition["observedGeneration"] = observed.into();
        }
        prop_assert_ne!(judge(&widget(observed + newer, None, &old)).verdict, Verdict::Complete);
    }

    #[test]
    fn time_alone_never_turns_a_failure_into_success(kind in kinds(), spec in any_json(), status in any_json(), days in 1_i64..400) {
        let value = object(kind, &spec, &status);
        let (before, after) = (judge(&value), judge_at(&value, now() + SignedDuration::from_hours(24 * days)));
        prop_assert!(before.verdict != Verdict::Failed || after.verdict == Verdict::Failed, "{before:?}\n{after:?}");
    }

    #[test]
    fn neither_the_order_of_keys_nor_an_unknown_field_matters(kind in kinds(), spec in any_json(), status in any_json()) {
        let value = object(kind, &spec, &status);
        let judged = judge(&value);
        let other = judge(&shuffled(&value));
        prop_assert_eq!((judged.verdict, &judged.reason), (other.verdict, &other.reason));
        if value["status"].as_object().is_some_and(|status| !status.is_empty()) {
            let mut more = value;
            more["status"]["novelty"] = json!({"nobody": ["knows", 1]});
            let more = judge(&more);
            prop_assert_eq!((judged.verdict, judged.reason), (more.verdict, more.reason));
        }
    }

    #[test]
    fn pods_of_an_older_revision_never_fail_a_rollout(statuses in prop::collection::vec(any_json(), 1..4), reason in trouble()) {
        let mut state = State::new(Policy::default(), None, now(), true);
        let owned = |kind: &str, owner: &str| json!([{"kind": kind, "name": owner, "uid": owner, "controller": true}]);
        let template = |image: &str| json!({"spec": {"containers": [{"name": "app", "image": image}]}});
        let web = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "team", "uid": "web", "generation": 2},
            "spec": {"replicas": 2, "template": template("web:2")},
            "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2},
        });
        let object = |value: Value| Object::read(value).unwrap();
        state.step(now(), &Record::Target(Box::new(offline::target(&object(web.clone())))));
        let set = |name: &str, image: &str| json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": "team", "uid": name, "ownerReferences": owned("Deployment", "web")},
            "spec": {"template": template(image)},
        });
        let mut all = vec![web, set("old", "web:1"), set("new", "web:2")];
        all.extend(statuses.into_iter().enumerate().map(|(number, status)| {
            let waiting = json!({"name": "app", "restartCount": 99, "state": {"waiting": {"reason": reason}}});
            let status = if number == 0 { json!({"phase": "Pending", "containerStatuses": [waiting]}) } else { status };
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("old-{number}"), "namespace": "team", "uid": format!("old-{number}"), "ownerReferences": owned("ReplicaSet", "old")},
                "status": status,
            })
        }));
        for value in all {
            state.step(now(), &Record::Event(Op::Listed, Box::new(object(value))));
        }
        state.step(now() + SignedDuration::from_mins(9), &Record::Tick);
        let item = state.report(false).items.remove(0);
        prop_assert_eq!(item.verdict, Verdict::Progressing, "{:?}", item);
    }

    #[test]
    fn a_replay_says_what_the_live_wait_said(
        kind in kinds(), states in prop::collection::vec((any_json(), any_json(), 0_i64..90, 1_i64..3), 1..6),
    ) {
        let policy = Policy { timeout: None, ..Policy::default() };
        let bytes = Memory::default();
        let header = Header {
            tool: "test".to_owned(), args: Vec::new(), pack_hash: Rules::pack_hash(), policy: policy.clone(), optional: String::new(),
        };
        let mut recorder = Recorder::new(Box::new(bytes.clone()), "run", now(), &header).unwrap();
        let mut live = State::new(policy, None, now(), true);
        let mut at = now();
        let mut step = |at: Timestamp, record: Record| {
            recorder.record(at, &record).unwrap();
            for key in live.step(at, &record) {
                recorder.verdict(at, &live.item(&key).unwrap()).unwrap();
            }
        };
        for (number, (spec, status, delay, generation)) in states.into_iter().enumerate() {
            let mut value = object(kind, &spec, &status);
            value["metadata"]["generation"] = generation.into();
            let object = Object::read(value).unwrap();
            if number == 0 {
                step(at, Record::Target(Box::new(offline::target(&object))));
            }
            at += SignedDuration::from_secs(delay);
            step(at, Record::Event(Op::Modified, Box::new(object)));
            at += SignedDuration::from_secs(delay);
            step(at, Record::Tick);
        }
        step(at, Record::End(Ended::Interrupted, Requests::default()));
        let recorded = bytes.0.lock().unwrap().clone();
        let mut replay = Replay::open(recorded.as_slice(), "run", |_| ()).unwrap();
        while replay.next_update().unwrap().is_some() {}
        prop_assert_eq!(replay.report(true), live.report(true));
    }
}

fn trouble() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["ErrImagePull", "CrashLoopBackOff", "InvalidImageName", "CreateContainerConfigError"])
}

/// Returns the same object with its keys the other way round.
fn shuffled(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().rev().map(|(key, value)| (key.clone(), shuffled(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(shuffled).collect()),
        other => other.clone(),
    }
}

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
