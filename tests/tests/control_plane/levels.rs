//! Done levels beyond available, beside what kubectl says at the same moment.

use std::time::{Duration, Instant};

use kubeguard_testkit::{Behaviour, ControlPlane};
use serde_json::json;

use crate::plugin::{deployment, wait_deploy, wait_deploy_as};

const LINGER: u64 = 20;

#[test]
fn gone_waits_for_pods_that_kubectl_no_longer_sees() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("gone");
    let slow = Behaviour::SlowTermination(u32::try_from(LINGER).expect("a few seconds"));
    plane.apply(&deployment(&namespace, "web", 2, "registry.example.org/web:1", &slow));
    plane.run(&["rollout", "status", "deploy/web", "-n", &namespace, "--timeout=60s"]);
    let began = Instant::now();
    plane.apply(&deployment(&namespace, "web", 2, "registry.example.org/web:2", &slow));
    plane.run(&["rollout", "status", "deploy/web", "-n", &namespace, "--timeout=60s"]);
    let kubectl = began.elapsed();
    assert_eq!(wait_deploy(&["deploy/web", "-n", &namespace, "--once"]).code, 0, "available, as kubectl says");
    let not_yet = wait_deploy(&["deploy/web", "-n", &namespace, "--once", "--until", "gone", "-o", "json"]);
    assert_eq!((not_yet.code, not_yet.item()["reason"].as_str()), (3, Some("TerminatingReplicas")), "{not_yet:?}");
    let gone = wait_deploy(&["deploy/web", "-n", &namespace, "--until", "gone", "--timeout", "90s"]);
    let ours = began.elapsed();
    assert_eq!(gone.code, 0, "{gone:?}");
    assert!(kubectl < Duration::from_secs(LINGER) && ours >= Duration::from_secs(LINGER), "{kubectl:?} {ours:?}");
    println!("kubectl rollout status was done after {kubectl:?}, the old pods were gone after {ours:?}");
}

#[test]
fn serving_waits_until_the_slices_route_to_the_new_pods() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("serving");
    plane.apply(&deployment(&namespace, "web", 2, "registry.example.org/web:1", &Behaviour::Ready(0)));
    let service = |selector: &str| {
        let spec = json!({"selector": {"app": selector}, "ports": [{"port": 80}]});
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace}, "spec": spec})
            .to_string()
    };
    plane.apply(&service("web"));
    let ran = wait_deploy(&[
        "deploy/web",
        "service/web",
        "-n",
        &namespace,
        "--until",
        "serving",
        "--timeout",
        "60s",
        "-o",
        "json",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // A Service that selects nobody has no endpoint, and says so.
    plane.apply(&service("nobody"));
    let ran = wait_deploy(&["service/web", "-n", &namespace, "--until", "serving", "--timeout", "3s", "-o", "json"]);
    assert_eq!((ran.code, ran.item()["reason"].as_str()), (3, Some("NoReadyEndpoint")), "{ran:?}");
}

#[test]
fn stable_ends_after_a_quiet_time() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("stable");
    plane.apply(&deployment(&namespace, "web", 1, "registry.example.org/web:1", &Behaviour::Ready(0)));
    let args =
        ["deploy/web", "-n", &namespace, "--until", "stable", "--settle", "3s", "--timeout", "60s", "-o", "json"];
    let ran = wait_deploy(&args);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.report()["elapsedSeconds"].as_f64().is_some_and(|elapsed| elapsed >= 3.0), "{ran:?}");
}

#[test]
fn a_level_that_the_callers_rights_cannot_answer_is_refused_before_it_waits() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("rights");
    plane.apply(&deployment(&namespace, "web", 1, "registry.example.org/web:1", &Behaviour::Ready(0)));
    let rules =
        ["get,list,watch deployments.apps", "list,watch replicasets.apps", "list,watch pods", "list,watch services"];
    let user = plane.user("blind", &namespace, &rules);
    let ran = wait_deploy_as(&user, &["deploy/web", "-n", &namespace, "--until", "serving", "--timeout", "60s"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let missing = format!("cannot list or watch endpointslices in namespace {namespace}: --until serving");
    assert!(ran.stderr.contains(&missing), "{}", ran.stderr);
    let ran = wait_deploy_as(&user, &["deploy/web", "-n", &namespace, "--until", "gone", "--timeout", "60s", "-v"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("cannot list or watch events"), "{}", ran.stderr);
}
