#![expect(clippy::needless_pass_by_value, reason = "json! makes values where they are used")]

use serde_json::{Value, json};

use crate::audit::facts::{Builder, Facts, Origin};
use crate::audit::jobs::{Action, Ends, Outcome, outcome};
use crate::pods::SidecarTable;

fn merged(mut into: Value, patch: Value) -> Value {
    if let (Some(into), Value::Object(patch)) = (into.as_object_mut(), patch) {
        into.extend(patch);
    }
    into
}

/// A job whose pod waits for its sidecar; `spec`, `status` and `annotations` of the pod on top.
fn world(policy: &str, spec: Value, status: Value, annotations: Value) -> Facts {
    let side = json!({"name": "side", "env": [{"name": "KRUISE_TERMINATE_SIDECAR_WHEN_JOB_EXIT", "value": "true"}]});
    let pod = json!({"restartPolicy": policy, "containers": [{"name": "main"}, side]});
    let mut builder = Builder::new(Origin::Live);
    builder.add(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "t", "uid": "j-1"},
        "spec": merged(json!({"template": {"spec": pod}}), spec),
        "status": merged(json!({"active": 1, "startTime": "2026-11-22T09:00:00Z"}), status),
    }));
    builder.add(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "j-a", "namespace": "t", "uid": "p-1", "annotations": annotations,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j-1", "controller": true}]},
        "spec": pod,
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "main", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-22T09:50:00Z"}}},
            {"name": "side", "restartCount": 0, "state": {"running": {}}}]},
    }));
    builder.finish()
}

fn all(facts: &Facts, action: Action<'_>) -> Vec<Outcome> {
    outcome(facts, &facts.pods()[0], action, &SidecarTable::default(), "2026-11-22T10:00:00Z".parse().unwrap())
}

/// What follows when the sidecar ends with 0, and when it dies of SIGTERM.
fn both(facts: &Facts) -> [(Ends, Option<bool>, String); 2] {
    let told = all(facts, Action::Signal("side")).into_iter().map(|o| (o.job, o.runs_again, o.steps.join("; ")));
    told.collect::<Vec<_>>().try_into().unwrap()
}

fn index(number: u32) -> Value {
    json!({"batch.kubernetes.io/job-completion-index": number.to_string()})
}

const INDEXED: fn(Value) -> Value =
    |more| merged(json!({"completionMode": "Indexed", "completions": 3, "parallelism": 3}), more);

#[test]
fn a_success_policy_completes_a_job_whose_other_indexes_have_not_run() {
    let met = json!({"successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]}});
    let [good, bad] = both(&world("Never", INDEXED(met.clone()), json!({}), index(1)));
    assert_eq!((good.0, good.1), (Ends::Complete, Some(false)), "{}", good.2);
    assert!(good.2.contains("successPolicy"), "{}", good.2);
    assert_eq!((bad.0, bad.1), (Ends::Progressing, Some(true)), "{}", bad.2);
    let [other, _] = both(&world("Never", INDEXED(met), json!({}), index(2)));
    assert_eq!(other.0, Ends::Progressing, "index 2 is not named: {}", other.2);
    let count = json!({"successPolicy": {"rules": [{"succeededCount": 2}]}});
    let [second, _] = both(&world("Never", INDEXED(count), json!({"completedIndexes": "2", "succeeded": 1}), index(0)));
    assert_eq!(second.0, Ends::Complete, "{}", second.2);
}

#[test]
fn an_index_has_its_own_tries_and_the_job_its_own_losses() {
    let each = json!({"backoffLimitPerIndex": 1});
    let [_, first] = both(&world("Never", INDEXED(each.clone()), json!({}), index(0)));
    assert_eq!((first.0, first.1), (Ends::Progressing, Some(true)), "{}", first.2);
    assert!(first.2.contains("attempt 2 of 2 of index 0"), "{}", first.2);
    let again = merged(index(0), json!({"batch.kubernetes.io/job-index-failure-count": "1"}));
    let [_, beyond] = both(&world("Never", INDEXED(each.clone()), json!({}), again.clone()));
    assert_eq!((beyond.0, beyond.1), (Ends::Progressing, Some(false)), "{}", beyond.2);
    let final_index = json!({"completedIndexes": "1,2", "succeeded": 2});
    let [_, last] = both(&world("Never", INDEXED(each.clone()), final_index, again.clone()));
    assert_eq!((last.0, last.1), (Ends::Failed, Some(false)), "{}", last.2);
    let few = merged(each.clone(), json!({"maxFailedIndexes": 1}));
    let [_, many] = both(&world("Never", INDEXED(few), json!({"failedIndexes": "2"}), again));
    assert_eq!(many.0, Ends::Failed, "{}", many.2);
    assert!(many.2.contains("maxFailedIndexes 1"), "{}", many.2);
    let [_, unknown] = both(&world("Never", INDEXED(each), json!({}), json!({})));
    assert_eq!((unknown.0, unknown.1), (Ends::Progressing, None), "without an index nobody knows: {}", unknown.2);
}

#[test]
fn a_policy_may_fail_the_index_alone() {
    let policy = json!({"backoffLimitPerIndex": 5, "podFailurePolicy": {"rules": [
        {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [143]}}]}});
    let [_, bad] = both(&world("Never", INDEXED(policy), json!({"completedIndexes": "1-2"}), index(0)));
    assert_eq!((bad.0, bad.1), (Ends::Failed, Some(false)), "the others are done: {}", bad.2);
}

#[test]
fn an_ignored_failure_does_not_count_towards_the_limit() {
    let policy = json!({"backoffLimit": 0, "podFailurePolicy": {"rules": [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [143]}}]}});
    let [_, bad] = both(&world("Never", policy, json!({}), json!({})));
    assert_eq!((bad.0, bad.1), (Ends::Progressing, Some(true)), "{}", bad.2);
}

#[test]
fn a_deadline_that_is_over_decides_before_any_retry() {
    let [good, bad] = both(&world("Never", json!({"activeDeadlineSeconds": 1800}), json!({}), json!({})));
    assert_eq!((bad.0, bad.1), (Ends::Failed, Some(false)), "{}", bad.2);
    assert_eq!(good.0, Ends::Failed, "the controller looks at the deadline first: {}", good.2);
}

#[test]
fn a_suspended_job_makes_no_pod_until_it_is_resumed() {
    let facts = world("Never", json!({"suspend": true, "activeDeadlineSeconds": 60}), json!({}), json!({}));
    let [good, bad] = both(&facts);
    assert_eq!(good.0, Ends::Complete, "its only completion is there: {}", good.2);
    assert_eq!((bad.0, bad.1), (Ends::Suspended, None), "{}", bad.2);
    assert_eq!(all(&facts, Action::Wait)[0].job, Ends::Suspended);
    assert_eq!(all(&facts, Action::Deadline(jiff::SignedDuration::from_secs(1)))[0].job, Ends::Suspended);
}

#[test]
fn a_work_queue_makes_no_pod_after_its_first_success() {
    let queue = json!({"parallelism": 2});
    let [_, bad] = both(&world("Never", queue.clone(), json!({"succeeded": 1}), json!({})));
    assert_eq!((bad.0, bad.1), (Ends::Complete, Some(false)), "{}", bad.2);
    let [_, first] = both(&world("Never", queue, json!({}), json!({})));
    assert_eq!((first.0, first.1), (Ends::Progressing, Some(true)), "{}", first.2);
}

#[test]
fn restarts_of_a_sidecar_use_up_the_limit_under_on_failure() {
    let [_, bad] = both(&world("OnFailure", json!({"backoffLimit": 1}), json!({}), json!({})));
    assert_eq!(bad.0, Ends::Failed, "{}", bad.2);
    assert!(bad.2.contains("1 restarts of containers reach backoffLimit 1"), "{}", bad.2);
    let [_, more] = both(&world("OnFailure", json!({"backoffLimit": 2}), json!({}), json!({})));
    assert_eq!(more.0, Ends::Progressing, "{}", more.2);
}

#[test]
fn a_job_that_is_decided_stays_so() {
    let decided = json!({"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}], "terminating": 1});
    let [good, bad] = both(&world("Never", json!({}), decided, json!({})));
    assert_eq!((good.0, bad.0, bad.1), (Ends::Complete, Ends::Complete, Some(false)));
}

#[test]
fn a_pod_that_is_replaced_only_at_its_end_is_not_replaced_while_it_ends() {
    let facts = world("Never", json!({"podReplacementPolicy": "Failed"}), json!({}), json!({}));
    let branches: Vec<_> = all(&facts, Action::DeletePod).into_iter().map(|o| (o.job, o.runs_again)).collect();
    assert_eq!(branches, [(Ends::Complete, Some(false)), (Ends::Progressing, Some(true))]);
    let at_once = all(&world("Never", json!({}), json!({}), json!({})), Action::DeletePod);
    assert_eq!((at_once[0].job, at_once[0].runs_again), (Ends::Progressing, Some(true)));
}
