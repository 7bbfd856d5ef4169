//! Workloads: what rolls out, what cannot, and what somebody else changes meanwhile.

use kubeguard_testkit::{Behaviour, ControlPlane};
use serde_json::json;

use crate::plugin::{deployment, end, start, wait_deploy, wait_deploy_as, wait_deploy_with, workload};

const IMAGE: &str = "registry.example.org/shop/web:1";

#[test]
fn a_good_rollout_is_complete_with_strong_evidence() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("good");
    let applied = plane.apply(&deployment(&namespace, "web", 3, IMAGE, &Behaviour::Ready(1)));
    let ran = wait_deploy_with(&applied, &["-f", "-", "-o", "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.item()["evidence"], "strong");
    // The answer agrees with kubectl's at the same moment.
    plane.run(&["rollout", "status", "deploy/web", "-n", &namespace, "--timeout=1s"]);
}

#[test]
fn a_missing_image_fails_within_its_hold_and_names_the_cause() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("image");
    let behaviour =
        Behaviour::ImagePullError("failed to resolve reference \"registry.example.org/shop/web:9\": not found");
    plane.apply(&deployment(&namespace, "web", 2, "registry.example.org/shop/web:9", &behaviour));
    let ran = wait_deploy(&["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let item = ran.item();
    assert_eq!((item["verdict"].as_str(), item["reason"].as_str()), (Some("failed"), Some("ImageNotFound")), "{item}");
    let cause = &item["causes"][0];
    assert_eq!((cause["objectKind"].as_str(), cause["container"].as_str()), (Some("Pod"), Some("app")), "{cause}");
    assert!(cause["chain"][0].as_str().is_some_and(|chain| chain.starts_with("replicaset web-")), "{cause}");
    assert!(item["remedy"].as_str().is_some_and(|remedy| remedy.contains("shop/web:9")), "{item}");
}

#[test]
fn a_crash_loop_fails_beyond_its_budget_with_the_exit_code() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("crash");
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::CrashLoop(3)));
    let ran = wait_deploy(&["deploy/web", "-n", &namespace, "--timeout", "60s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("CrashLoop") && ran.stdout.contains("exit 3"), "{}", ran.stdout);
}

#[test]
fn a_missing_config_map_is_held_and_then_fails_by_name() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("config");
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::ConfigError("configmap \"settings\" not found")));
    let args = ["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s", "--tolerate", "MissingReference=2s"];
    let ran = wait_deploy(&args);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.item()["reason"], "MissingReference");
    assert!(
        ran.item()["remedy"].as_str().is_some_and(|remedy| remedy.contains("ConfigMap settings")),
        "{}",
        ran.item()
    );
}

#[test]
fn a_paused_rollout_is_suspended() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("paused");
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::Ready(0)));
    assert_eq!(wait_deploy(&["deploy/web", "-n", &namespace, "--timeout", "30s"]).code, 0);
    plane.run(&["rollout", "pause", "deploy/web", "-n", &namespace]);
    plane.run(&["set", "image", "deploy/web", "app=registry.example.org/shop/web:2", "-n", &namespace]);
    let ran = wait_deploy(&["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "2s"]);
    assert_eq!((ran.code, ran.item()["verdict"].as_str()), (3, Some("suspended")), "{ran:?}");
    let ran = wait_deploy(&["deploy/web", "-n", &namespace, "--timeout", "5s", "--paused", "complete"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn surplus_pods_after_a_scale_down_are_waited_for() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("surplus");
    plane.apply(&deployment(&namespace, "web", 4, IMAGE, &Behaviour::Ready(0)));
    assert_eq!(wait_deploy(&["deploy/web", "-n", &namespace, "--timeout", "30s"]).code, 0);
    plane.run(&["scale", "deploy/web", "--replicas=1", "-n", &namespace]);
    let ran = wait_deploy(&["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "30s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let live = plane.run(&["get", "deploy/web", "-n", &namespace, "-o", "jsonpath={.status.replicas}"]);
    assert_eq!(live, "1");
}

#[test]
fn an_update_by_somebody_else_supersedes_the_wait() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("superseded");
    let applied = plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::NeverReady));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), applied).unwrap();
    let child = start(plane.kubeconfig(), &["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s", "-v"]);
    // The first change that the wait shows proves that it has seen the generation it waits for.
    let child = after_first_line(child);
    plane.run(&["set", "image", "deploy/web", "app=registry.example.org/shop/web:2", "-n", &namespace]);
    let ran = end(child);
    assert_eq!(ran.code, 4, "{ran:?}");
    let item = ran.item();
    assert_eq!(item["reason"], "NewerGeneration");
    assert!(item["message"].as_str().is_some_and(|text| text.contains("kubectl-set")), "{item}");
}

/// Waits until the plugin has written its first line to stderr.
fn after_first_line(mut child: std::process::Child) -> std::process::Child {
    use std::io::Read;
    let stderr = child.stderr.as_mut().expect("a pipe");
    let mut byte = [0];
    while stderr.read(&mut byte).is_ok_and(|read| read == 1) && byte != [b'\n'] {}
    child
}

#[test]
fn an_autoscaler_that_changes_replicas_while_we_wait_does_not_supersede() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("scaled");
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::Ready(6)));
    let args = ["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s"];
    let child = after_first_line(start(plane.kubeconfig(), &args));
    // Below its minimum an autoscaler needs no metrics.
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"minReplicas": 2, "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    });
    plane.apply(&scaler.to_string());
    let ran = end(child);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.item()["notes"][0]["word"], "Scaled", "{}", ran.item());
    let live = plane.run(&["get", "deploy/web", "-n", &namespace, "-o", "jsonpath={.status.availableReplicas}"]);
    assert_eq!(live, "2", "both replicas were waited for");
}

#[test]
fn a_stateful_set_stuck_behind_a_broken_pod_names_the_pod_to_delete() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("stuck");
    let broken = Behaviour::ImagePullError("manifest unknown");
    plane.apply(&workload("StatefulSet", &namespace, "db", 1, "registry.example.org/db:bad", &broken).to_string());
    let ran = wait_deploy(&["sts/db", "-n", &namespace, "--timeout", "60s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    plane.apply(
        &workload("StatefulSet", &namespace, "db", 1, "registry.example.org/db:good", &Behaviour::Ready(0)).to_string(),
    );
    let ran = wait_deploy(&["sts/db", "-n", &namespace, "-o", "json", "--timeout", "60s", "--profile", "strict"]);
    assert_eq!((ran.code, ran.item()["reason"].as_str()), (1, Some("StuckOnBrokenPod")), "{ran:?}");
    assert!(ran.item()["remedy"].as_str().is_some_and(|remedy| remedy.contains("delete pod db-0")), "{}", ran.item());
}

#[test]
fn a_daemon_set_rolls_out_on_every_node() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("daemon");
    let mut set = workload("DaemonSet", &namespace, "agent", 1, IMAGE, &Behaviour::Ready(0));
    set["spec"].as_object_mut().unwrap().remove("replicas");
    plane.apply(&set.to_string());
    let ran = wait_deploy(&["ds/agent", "-n", &namespace, "-o", "json", "--timeout", "60s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

fn job(namespace: &str, name: &str, behaviour: &Behaviour) -> String {
    serde_json::json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {
            "metadata": {"annotations": behaviour.annotations()},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "work", "image": IMAGE}]},
        }},
    })
    .to_string()
}

#[test]
fn a_job_that_fails_is_failed_and_one_that_ends_well_is_complete() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("job");
    plane.apply(&job(&namespace, "bad", &Behaviour::Fail(0, 3)));
    plane.apply(&job(&namespace, "good", &Behaviour::Succeed(0)));
    let ran = wait_deploy(&["job/bad", "-n", &namespace, "-o", "json", "--timeout", "60s"]);
    assert_eq!((ran.code, ran.item()["reason"].as_str()), (1, Some("BackoffLimitExceeded")), "{ran:?}");
    let ran = wait_deploy(&["job/good", "-n", &namespace, "-o", "json", "--timeout", "60s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn without_the_right_to_list_pods_the_verdict_is_the_same_and_the_missing_verb_named() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("rights");
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::Ready(3)));
    let user = plane.user("reader", &namespace, &["get,list,watch deployments.apps"]);
    let ran = wait_deploy_as(&user, &["deploy/web", "-o", "json", "--timeout", "60s"]);
    assert_eq!(ran.code, 0, "{ran:?}");

    let broken = Behaviour::ImagePullError("not found");
    plane.apply(&deployment(&namespace, "bad", 1, "registry.example.org/shop/web:9", &broken));
    let ran = wait_deploy_as(&user, &["deploy/bad", "-o", "json", "--timeout", "3s"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.item()["notes"].to_string().contains("cannot list pods"), "{}", ran.item());
}

#[test]
fn objects_that_may_not_be_read_are_named_and_the_others_judged() {
    let plane = ControlPlane::shared();
    let (open, closed) = (plane.namespace("open"), plane.namespace("closed"));
    for namespace in [&open, &closed] {
        plane.apply(&deployment(namespace, "web", 1, IMAGE, &Behaviour::Ready(0)));
    }
    let user =
        plane.user("half", &open, &["get,list,watch deployments.apps", "list,watch replicasets.apps,pods,events"]);
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let both = [&open, &closed].map(|namespace| deployment(namespace, "web", 1, IMAGE, &Behaviour::Ready(0)));
    std::fs::write(file.path(), both.join("\n")).unwrap();
    let ran = wait_deploy_as(&user, &["-f", file.path().to_str().unwrap(), "-o", "json", "--timeout", "30s"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    let report = ran.report();
    assert_eq!(report["items"].as_array().unwrap().len(), 1);
    let reason = report["skipped"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("deployments") && reason.contains(&closed), "{reason}");
}

#[test]
fn a_quota_refusal_fails_with_the_quotas_name() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("quota");
    plane.run(&["create", "quota", "few-pods", "--hard=pods=0", "-n", &namespace]);
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::Ready(0)));
    let ran = wait_deploy(&["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s", "--profile", "strict"]);
    assert_eq!((ran.code, ran.item()["reason"].as_str()), (1, Some("QuotaExceeded")), "{ran:?}");
    assert!(ran.item()["remedy"].as_str().is_some_and(|remedy| remedy.contains("few-pods")), "{}", ran.item());
}

#[test]
fn a_selector_waits_for_every_object_in_all_namespaces() {
    let plane = ControlPlane::shared();
    let namespaces = [plane.namespace("sel"), plane.namespace("sel")];
    for namespace in &namespaces {
        let mut object = workload("Deployment", namespace, "web", 1, IMAGE, &Behaviour::Ready(1));
        object["metadata"]["labels"]["team"] = "selected".into();
        plane.apply(&object.to_string());
    }
    let ran =
        wait_deploy(&["deploy", "-A", "-l", "team=selected", "-o", "json", "--min-count", "2", "--timeout", "60s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.report();
    assert_eq!(report["items"].as_array().unwrap().len(), 2);
    assert!(report["requests"]["watch"].as_u64().unwrap() <= 4, "{report}");
}
