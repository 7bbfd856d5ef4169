//! What must hold for every object, whatever its controller writes.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::wait::object::{Object, Provenance};
use kubeguard_core::wait::offline;
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::report::ItemReport;
use kubeguard_core::wait::verdict::Verdict;
use proptest::prelude::*;
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

proptest! {
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
        prop_assert!(before.verdict != Verdict::Failed || after.verdict != Verdict::Complete);
    }
}
