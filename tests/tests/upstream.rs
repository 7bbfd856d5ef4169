//! Random objects judged by us and by upstream's own code: wherever the answers differ, the difference is one of ours,
//! and it has a name here.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::Timestamp;
use kubeguard_core::wait::object::Object;
use kubeguard_core::wait::offline;
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::report::ItemReport;
use kubeguard_core::wait::verdict::Verdict;
use kubeguard_testkit::Oracle;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

const CASES: u32 = 10_000;

/// Judges an object as a file.
fn judge(value: &Value) -> ItemReport {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let object = Object::read(value.clone()).unwrap();
    offline::judge(vec![object], Policy::default(), now).items.remove(0)
}

/// Compares over random objects; `named` gives the name of a deliberate difference. Prints how often each was met.
fn compare(
    objects: &impl Strategy<Value = Value>,
    upstream: impl Fn(&Value) -> bool,
    named: impl Fn(&Value, &ItemReport, bool) -> Option<&'static str>,
) {
    let met: RefCell<BTreeMap<&'static str, u32>> = RefCell::default();
    // The same objects every time: a difference that nobody has named yet must not fail somebody else's change.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(objects, |object| {
        let ours = judge(&object);
        let theirs = upstream(&object);
        let same = (ours.verdict == Verdict::Complete) == theirs;
        let name = if same { Some("the same answer") } else { named(&object, &ours, theirs) };
        let Some(name) = name else {
            return Err(TestCaseError::fail(format!("{ours:?}\nupstream: done {theirs}\n{object}")));
        };
        *met.borrow_mut().entry(name).or_default() += 1;
        Ok(())
    });
    for (name, count) in met.into_inner() {
        println!("{count:6}  {name}");
    }
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn conditions() -> impl Strategy<Value = Value> {
    let progressing = prop_oneof![
        Just(None),
        Just(Some(json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}))),
        Just(Some(json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}))),
        Just(Some(json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}))),
    ];
    let available = prop_oneof![Just(None), Just(Some("True")), Just(Some("False"))];
    (progressing, available).prop_map(|(progressing, available)| {
        let available = available.map(|status| json!({"type": "Available", "status": status}));
        progressing.into_iter().chain(available).collect()
    })
}

prop_compose! {
    /// Counters that a controller could write: updated and ready pods exist, available ones are ready.
    fn deployments()(
        generation in 1_i64..4, observed in prop::option::of(0_i64..5), want in 0_i32..5, replicas in 0_i32..6,
        parts in prop::collection::vec(0_i32..6, 3), paused in any::<bool>(), deadline in prop::option::of(Just(600)),
        conditions in conditions(),
    ) -> Value {
        let updated = parts[0].min(replicas);
        let ready = parts[1].min(replicas);
        let available = parts[2].min(ready);
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "team", "generation": generation},
            "spec": {"replicas": want, "paused": paused},
            "status": {"replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready,
                       "availableReplicas": available, "conditions": conditions},
        });
        if let Some(observed) = observed {
            object["status"]["observedGeneration"] = observed.into();
        }
        if let Some(deadline) = deadline {
            object["spec"]["progressDeadlineSeconds"] = deadline.into();
        }
        object
    }
}

fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

#[test]
fn deployments_differ_from_kubectls_rollout_status_only_by_name() {
    let oracle = Oracle::start();
    compare(
        &deployments(),
        |object| oracle.rollout_status(object).done,
        |object, ours, theirs| {
            let (want, replicas) = (number(object, "/spec/replicas"), number(object, "/status/replicas"));
            let (updated, available) =
                (number(object, "/status/updatedReplicas"), number(object, "/status/availableReplicas"));
            match ours.reason.as_str() {
                "OldReplicas" if theirs && replicas > want => Some("surplus pods are waited for (WD-D7)"),
                "ReplicaSetNotAvailable" | "NoProgressingCondition" if theirs => {
                    Some("the controller's own word is waited for (WD-D9)")
                }
                "MinimumReplicasUnavailable" if theirs => Some("Available=False is not believed away (WD-D10)"),
                "Paused" if theirs && replicas > want => Some("paused with counters that are not complete (WD-D4)"),
                "Paused" if theirs => Some("paused before the controller's own word (WD-D4)"),
                "NoEvidence" if theirs => Some("an observed generation from the future proves nothing (G3, G7)"),
                "GenerationNotObserved" if theirs => Some("an observed generation of 0 is none (G3)"),
                "ProgressDeadlineExceeded" if !theirs => Some("the same: kubectl calls it an error"),
                // Upstream never asks for the wanted number: with more updated pods than wanted it compares those.
                _ if theirs && updated > want && available < want => {
                    Some("available pods are compared with the wanted (WD-D8)")
                }
                _ => None,
            }
        },
    );
}

prop_compose! {
    fn stateful_sets()(
        generation in 1_i64..4, observed in prop::option::of(0_i64..5), want in 0_i32..4, replicas in 0_i32..5,
        parts in prop::collection::vec(0_i32..5, 3), partition in prop::option::of(0_i32..4), min_ready in prop::option::of(Just(5)),
        revisions in prop_oneof![Just(None), Just(Some(("a", "a"))), Just(Some(("a", "b")))], on_delete in prop::bool::weighted(0.1),
    ) -> Value {
        let updated = parts[0].min(replicas);
        let ready = parts[1].min(replicas);
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "db", "namespace": "team", "generation": generation},
            "spec": {"replicas": want, "updateStrategy": {"type": if on_delete { "OnDelete" } else { "RollingUpdate" }}},
            "status": {"replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready,
                       "currentReplicas": replicas - updated, "availableReplicas": parts[2].min(ready)},
        });
        if let (Some(partition), false) = (partition, on_delete) {
            object["spec"]["updateStrategy"]["rollingUpdate"] = json!({"partition": partition});
        }
        if let Some(seconds) = min_ready {
            object["spec"]["minReadySeconds"] = seconds.into();
        }
        if let Some(observed) = observed {
            object["status"]["observedGeneration"] = observed.into();
        }
        if let Some((current, update)) = revisions {
            object["status"]["currentRevision"] = current.into();
            object["status"]["updateRevision"] = update.into();
        }
        object
    }
}

#[test]
fn stateful_sets_differ_from_kubectls_rollout_status_only_by_name() {
    let oracle = Oracle::start();
    compare(
        &stateful_sets(),
        |object| oracle.rollout_status(object).done,
        |object, ours, theirs| {
            let on_delete = object["spec"]["updateStrategy"]["type"] == "OnDelete";
            match ours.reason.as_str() {
                _ if on_delete && !theirs => Some("OnDelete is judged instead of refused (WD-T5)"),
                "ScalingDown" if theirs => Some("surplus pods are waited for (WD-T4)"),
                "UpdatedReplicas" if theirs => Some("updated pods are counted, not only revisions compared (WD-T6)"),
                "AvailableReplicas" if theirs => Some("minReadySeconds counts (WD-T7)"),
                "RevisionPending" if theirs => Some("revisions are compared with a written partition of 0 too (WD-T8)"),
                "NoEvidence" if theirs => Some("an observed generation from the future proves nothing (G3, G7)"),
                _ => None,
            }
        },
    );
}

prop_compose! {
    fn daemon_sets()(
        generation in 1_i64..4, observed in prop::option::of(0_i64..5), desired in prop::option::of(0_i32..4),
        parts in prop::collection::vec(0_i32..4, 2), available in prop::option::of(0_i32..4),
    ) -> Value {
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "agent", "namespace": "team", "generation": generation},
            "spec": {"updateStrategy": {"type": "RollingUpdate"}},
            "status": {"updatedNumberScheduled": parts[0], "numberReady": parts[1]},
        });
        for (key, value) in [("desiredNumberScheduled", desired), ("numberAvailable", available)] {
            if let Some(value) = value {
                object["status"][key] = value.into();
            }
        }
        if let Some(observed) = observed {
            object["status"]["observedGeneration"] = observed.into();
        }
        object
    }
}

#[test]
fn daemon_sets_differ_from_kubectls_rollout_status_only_by_name() {
    let oracle = Oracle::start();
    compare(
        &daemon_sets(),
        |object| oracle.rollout_status(object).done,
        |object, ours, theirs| {
            let unavailable = object["status"].get("numberAvailable").is_none();
            match ours.reason.as_str() {
                _ if ours.verdict == Verdict::Complete && unavailable => {
                    Some("ready pods are available without minReadySeconds (WD-N5)")
                }
                "NoDesiredNumber" if theirs => Some("a status without a desired number is not written yet (WD-N1)"),
                "NoEvidence" if theirs => Some("an observed generation from the future proves nothing (G3, G7)"),
                _ => None,
            }
        },
    );
}

fn resource_conditions() -> impl Strategy<Value = Vec<Value>> {
    let one = (
        prop::sample::select(vec!["Ready", "Reconciling", "Stalled", "Available", "Synced", "Novel"]),
        prop::sample::select(vec!["True", "False", "Unknown"]),
        prop::option::of(1_i64..4),
    );
    prop::collection::btree_map(one.0, (one.1, one.2), 0..4).prop_map(|conditions| {
        conditions
            .into_iter()
            .map(|(name, (status, observed))| {
                let mut condition = json!({"type": name, "status": status, "reason": "Because"});
                if let Some(observed) = observed {
                    condition["observedGeneration"] = observed.into();
                }
                condition
            })
            .collect()
    })
}

prop_compose! {
    fn custom_resources()(
        generation in 1_i64..4, observed in prop::option::of(1_i64..4), conditions in prop::option::of(resource_conditions()),
        phase in prop::option::of(prop::sample::select(vec!["Ready", "Pending", "Failed", "Running"])), status in prop::bool::weighted(0.9),
    ) -> Value {
        let mut object = json!({
            "apiVersion": "acme.example.org/v1", "kind": "Widget",
            "metadata": {"name": "main", "namespace": "team", "generation": generation},
        });
        if status {
            object["status"] = json!({});
            for (key, value) in [("observedGeneration", json!(observed)), ("conditions", json!(conditions)), ("phase", json!(phase))] {
                if !value.is_null() {
                    object["status"][key] = value;
                }
            }
        }
        object
    }
}

fn has_stale(object: &Value) -> bool {
    let generation = number(object, "/metadata/generation");
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| (1..generation).contains(&number(condition, "/observedGeneration")))
}

#[test]
fn custom_resources_differ_from_kstatus_only_by_name() {
    let oracle = Oracle::start();
    compare(
        &custom_resources(),
        |object| {
            let said = oracle.kstatus(object);
            assert_eq!(said.error, "", "{object}");
            said.status == "Current"
        },
        |object, ours, theirs| match (ours.verdict, ours.reason.as_str(), theirs) {
            (Verdict::Complete, _, false) if ours.notes.iter().any(|note| note.word == "ObservedGenerationAhead") => {
                Some("an observed generation from the future is no statement, and the spec has never changed (G3, G7)")
            }
            (Verdict::Complete, _, false) if has_stale(object) => {
                Some("a condition of an older generation says nothing, bad things included (G4)")
            }
            (Verdict::Complete, ..) | (_, _, false) => None,
            (_, "NoStatusYet" | "EmptyStatus", _) => Some("no status is no Current"),
            (Verdict::Unverifiable, "NoEvidence", _) => {
                Some("a status that nothing ties to the spec is not believed (G7)")
            }
            (_, "ConditionNotCurrent", _) => Some("a condition of an older generation does not count (G4)"),
            (_, "GenerationNotObserved", _) => Some("an observed generation from the future proves nothing (G3)"),
            (_, "NoKnownCondition" | "NoCondition" | "NothingKnown", _) => {
                Some("nothing known is no Current (Q14, Q15)")
            }
            (Verdict::Progressing | Verdict::Failed, _, _) => Some("other conditions and phases count too (3.5)"),
            _ => None,
        },
    );
}
