use serde_json::{Value, json};

use super::*;
use crate::audit::facts::{Builder, Facts, Origin, Pod};
use crate::audit::rule::Policy;
use crate::pods::SidecarTable;

const NOW: &str = "2026-11-22T10:00:00Z";

/// A job whose pod's main has ended and whose sidecar runs.
#[expect(clippy::needless_pass_by_value, reason = "every caller makes them for the call")]
fn world(policy: &str, main: i32, job: Value, sidecar: Value) -> Facts {
    let mut side =
        json!({"name": "side", "env": [{"name": "KRUISE_TERMINATE_SIDECAR_WHEN_JOB_EXIT", "value": "true"}]});
    side.as_object_mut().unwrap().extend(sidecar.as_object().unwrap().clone());
    let name = side["name"].clone();
    let spec = json!({"restartPolicy": policy, "nodeName": "n1", "containers": [{"name": "main"}, side]});
    let mut wanted = json!({"template": {"spec": spec}});
    wanted.as_object_mut().unwrap().extend(job.as_object().unwrap().clone());
    let ended = json!({"exitCode": main, "finishedAt": "2026-11-22T09:50:00Z"});
    let mut builder = Builder::new(Origin::Live);
    builder.add(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "t", "uid": "j-1"},
        "spec": wanted, "status": {"active": 1, "startTime": "2026-11-22T09:00:00Z"},
    }));
    builder.add(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "j-a", "namespace": "t", "uid": "p-1",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j-1", "controller": true}]},
        "spec": spec,
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "main", "state": {"terminated": ended}}, {"name": name, "state": {"running": {}}}]},
    }));
    builder.finish()
}

fn pod(facts: &Facts) -> &Pod {
    &facts.pods()[0]
}

fn told(facts: &Facts, action: Action<'_>) -> Vec<(Option<Phase>, Ends, Option<bool>, String)> {
    let outcomes = outcome(facts, pod(facts), action, &SidecarTable::default(), NOW.parse().unwrap());
    outcomes.into_iter().map(|o| (o.pod_phase, o.job, o.runs_again, o.steps.join("; "))).collect()
}

#[test]
fn a_sidecar_that_quits_with_0_completes_the_job() {
    let facts = world("OnFailure", 0, json!({}), json!({}));
    let branches = told(&facts, Action::Quit("side"));
    assert_eq!(branches.len(), 2, "the code is not known");
    let (phase, job, again, _) = &branches[0];
    assert_eq!((*phase, *job, *again), (Some(Phase::Succeeded), Ends::Complete, Some(false)));
    // Any other code starts it again under OnFailure.
    let (phase, job, again, steps) = &branches[1];
    assert_eq!((*phase, *job, *again), (Some(Phase::Running), Ends::Progressing, Some(false)));
    assert!(steps.contains("started again: the pod stays"), "{steps}");
}

#[test]
fn a_sidecar_that_dies_of_sigterm_under_never_runs_the_work_again() {
    let facts = world("Never", 0, json!({}), json!({}));
    let branches = told(&facts, Action::Signal("side"));
    let (phase, job, again, steps) = &branches[1];
    assert_eq!((*phase, *job, *again), (Some(Phase::Failed), Ends::Progressing, Some(true)));
    assert!(steps.contains("side ends with 143") && steps.contains("attempt 2 of 7"), "{steps}");
}

#[test]
fn a_main_that_failed_fails_the_pod_whatever_the_sidecar_ends_with() {
    let facts = world("Never", 1, json!({}), json!({"name": "istio-proxy", "image": "istio/proxyv2:1.27"}));
    let branches = told(&facts, Action::Quit("istio-proxy"));
    assert_eq!(branches.len(), 1, "the code after a quit is known");
    assert_eq!((branches[0].0, branches[0].1, branches[0].2), (Some(Phase::Failed), Ends::Progressing, Some(true)));
    let none_left =
        world("Never", 1, json!({"backoffLimit": 0}), json!({"name": "istio-proxy", "image": "istio/proxyv2:1.27"}));
    let branches = told(&none_left, Action::Quit("istio-proxy"));
    assert_eq!((branches[0].1, branches[0].2), (Ends::Failed, Some(false)));
}

#[test]
fn deleting_the_pod_runs_the_work_again_and_deleting_the_job_does_not() {
    let facts = world("OnFailure", 0, json!({}), json!({}));
    let deleted = told(&facts, Action::DeletePod);
    assert_eq!((deleted[0].1, deleted[0].2), (Ends::Progressing, Some(true)));
    let deleted = told(&facts, Action::DeleteJob);
    assert_eq!((deleted[0].1, deleted[0].2), (Ends::Missing, Some(false)));
    // With the policy Failed the last phase counts: a sidecar that ends with 0 leaves a success.
    let facts = world("Never", 0, json!({"podReplacementPolicy": "Failed"}), json!({}));
    let branches = told(&facts, Action::DeletePod);
    assert_eq!(branches.iter().map(|b| b.2).collect::<Vec<_>>(), [Some(false), Some(true)]);
}

#[test]
fn a_deadline_that_is_past_fails_the_job_at_once() {
    let facts = world("OnFailure", 0, json!({}), json!({}));
    let outcome = &told(&facts, Action::Deadline(jiff::SignedDuration::from_mins(10)))[0];
    assert_eq!((outcome.1, outcome.2), (Ends::Failed, Some(false)));
    assert!(outcome.3.contains("at once"), "{}", outcome.3);
}

#[test]
fn a_failure_policy_decides_what_a_failed_pod_means() {
    let policy = |action: &str| json!({"podFailurePolicy": {"rules": [{"action": action, "onExitCodes": {"operator": "In", "values": [143]}}]}});
    let failing = |action: &str| {
        let facts = world("Never", 0, policy(action), json!({}));
        let branches = told(&facts, Action::Signal("side"));
        (branches[1].1, branches[1].2)
    };
    assert_eq!(failing("FailJob"), (Ends::Failed, Some(false)));
    assert_eq!(failing("Ignore"), (Ends::Progressing, Some(true)));
}

fn steps(facts: &Facts) -> Vec<Ladder> {
    let (policy, now) = (Policy::default(), NOW.parse().unwrap());
    let zombie = zombie(facts, pod(facts), &policy.sidecars, now).unwrap();
    ladder(facts, &policy, &zombie, now)
}

#[test]
fn a_known_proxy_is_asked_to_quit_and_an_unknown_one_is_not() {
    let facts = world("Never", 0, json!({}), json!({"name": "istio-proxy", "image": "istio/proxyv2:1.27"}));
    let all = steps(&facts);
    let quit = all.iter().find(|step| step.step == Step::Quit).unwrap();
    let command = quit.command.as_deref().unwrap();
    assert!(command.contains("port-forward -n t pod/j-a 15020:15020"), "{command}");
    assert!(command.ends_with("curl -X POST http://127.0.0.1:15020/quitquitquit"), "{command}");
    let all = steps(&world("Never", 0, json!({}), json!({})));
    assert!(all.iter().find(|step| step.step == Step::Quit).unwrap().refused.is_some());
    assert!(all.iter().any(|step| step.step == Step::DeleteJob && step.command.is_some()));
    assert!(all.iter().all(|step| step.step != Step::DeletePod || step.refused.is_some()), "the pod is never deleted");
}

#[test]
fn an_endpoint_that_is_off_or_a_liveness_probe_refuse_the_quit() {
    let linkerd = world("Never", 0, json!({}), json!({"name": "linkerd-proxy", "image": "linkerd/proxy:1"}));
    let why = |facts: &Facts| steps(facts).into_iter().find(|step| step.step == Step::Quit).unwrap().refused.unwrap();
    assert!(why(&linkerd).contains("proxy-admin-shutdown"), "{}", why(&linkerd));
    let probed =
        json!({"name": "istio-proxy", "image": "istio/proxyv2:1", "livenessProbe": {"tcpSocket": {"port": 1}}});
    assert!(why(&world("OnFailure", 0, json!({}), probed)).contains("liveness"));
}

#[test]
fn a_native_patch_moves_the_container_and_tests_its_name_first() {
    let native =
        steps(&world("Never", 0, json!({}), json!({}))).into_iter().find(|step| step.step == Step::Native).unwrap();
    let operations: Vec<&str> = native.patch.iter().map(|operation| operation["op"].as_str().unwrap()).collect();
    assert_eq!(operations, ["test", "add", "move", "add"]);
    assert_eq!(native.patch[2]["from"], "/spec/template/spec/containers/1");
    assert_eq!(
        native.patch[3],
        json!({"op": "add", "path": "/spec/template/spec/initContainers/0/restartPolicy", "value": "Always"})
    );
}

#[test]
fn a_phase_follows_from_the_containers() {
    let phase_of = |spec: Value, statuses: Value| {
        let mut builder = Builder::new(Origin::Live);
        builder.add(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec, "status": statuses}),
        );
        let facts = builder.finish();
        let pod = pod(&facts);
        phase(&pod.spec, pod.status.as_ref().unwrap(), false)
    };
    let one = |policy: &str| json!({"restartPolicy": policy, "containers": [{"name": "a"}]});
    let ended = |code: i32| json!({"containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": code}}}]});
    assert_eq!(phase_of(one("Never"), ended(0)), Phase::Succeeded);
    assert_eq!(phase_of(one("Never"), ended(1)), Phase::Failed);
    assert_eq!(phase_of(one("OnFailure"), ended(1)), Phase::Running);
    assert_eq!(phase_of(one("Always"), ended(0)), Phase::Running);
    let waiting = json!({"containerStatuses": [{"name": "a", "state": {"waiting": {}}}]});
    assert_eq!(phase_of(one("Never"), waiting), Phase::Pending);
    let native = json!({"restartPolicy": "Never", "containers": [{"name": "a"}], "initContainers": [{"name": "n", "restartPolicy": "Always"}]});
    let statuses = json!({"initContainerStatuses": [{"name": "n", "state": {"terminated": {"exitCode": 137}}}],
        "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0}}}]});
    assert_eq!(phase_of(native, statuses), Phase::Succeeded, "the code of a native sidecar is ignored");
}

#[test]
fn only_conditions_that_are_true_count() {
    let job = |conditions: Value, spec: Value| -> crate::audit::kinds::Job {
        crate::kinds::read(json!({"spec": spec, "status": {"conditions": conditions}})).0
    };
    assert!(matches!(state(&job(json!([{"type": "Failed", "status": "False"}]), json!({}))), JobState::Active));
    assert!(matches!(state(&job(json!([{"type": "Complete", "status": "True"}]), json!({}))), JobState::Finished(_)));
    assert!(matches!(
        state(&job(json!([{"type": "FailureTarget", "status": "True"}]), json!({}))),
        JobState::Doomed(_)
    ));
    assert!(matches!(state(&job(json!([]), json!({"suspend": true}))), JobState::Suspended));
    let own = json!({"managedBy": "kubernetes.io/job-controller"});
    assert!(matches!(state(&job(json!([]), own)), JobState::Active));
}

#[test]
fn the_cost_is_the_request_of_the_whole_pod_times_its_age() {
    let request = json!({"resources": {"requests": {"cpu": "600m", "memory": "6Gi"}}});
    let facts = world("Never", 0, json!({}), request);
    let table = SidecarTable::default();
    let zombie = zombie(&facts, pod(&facts), &table, NOW.parse().unwrap()).unwrap();
    assert_eq!(cost(&zombie), Cost { cpu_milli_hours: 100, memory_milli_hours: 1000 });
}

#[test]
fn a_switch_says_whether_anything_shows_that_it_is_honoured_and_a_waiting_helper_is_not_made_native() {
    let find = |facts: &Facts, wanted: Step| steps(facts).into_iter().find(|step| step.step == wanted).unwrap();
    let istio = world("Never", 0, json!({}), json!({"name": "istio-proxy", "image": "istio/proxyv2:1.27"}));
    let text = find(&istio, Step::Switch).text;
    assert!(text.contains("sidecar.istio.io/nativeSidecar=true") && text.contains("no pod shows"), "{text}");
    let xcom = world("Never", 0, json!({}), json!({"name": "airflow-xcom-sidecar", "image": "alpine"}));
    let refused = find(&xcom, Step::Native).refused.unwrap_or_default();
    assert!(refused.contains("may wait for the work"), "{refused}");
}
