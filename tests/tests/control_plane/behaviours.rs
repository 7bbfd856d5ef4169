//! The kit itself: every behaviour gives the pod status it promises, and nothing outlives a test.

use std::time::{Duration, Instant};

use kubeguard_testkit::{Behaviour, ControlPlane, Oracle};
use serde_json::Value;

type Check = Box<dyn Fn(&Value) -> bool>;

const STATE: &str = "/status/containerStatuses/0/state";

fn pod(namespace: &str, name: &str, behaviour: &Behaviour) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": behaviour.annotations()},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "registry.example.org/app:1"}]},
    })
    .to_string()
}

/// Reads a pod until it looks as expected.
fn until(namespace: &str, name: &str, check: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let text = ControlPlane::shared().run(&["get", "pod", name, "-n", namespace, "-o", "json"]);
        let pod: Value = serde_json::from_str(&text).unwrap();
        if check(&pod) {
            return pod;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{pod:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_behaviour_gives_the_status_of_a_kubelet() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("behaviours");
    let waits = |reason: &'static str| {
        move |pod: &Value| pod.pointer(&format!("{STATE}/waiting/reason")) == Some(&Value::from(reason))
    };
    let cases: Vec<(&str, Behaviour, Check)> = vec![
        ("ready", Behaviour::Ready(0), Box::new(|pod| pod["status"]["phase"] == "Running")),
        ("pull", Behaviour::ImagePullError("no such manifest"), Box::new(waits("ErrImagePull"))),
        ("config", Behaviour::ConfigError("secret \"x\" not found"), Box::new(waits("CreateContainerConfigError"))),
        (
            "crash",
            Behaviour::CrashLoop(7),
            Box::new(|pod| {
                let status = &pod["status"]["containerStatuses"][0];
                status["restartCount"].as_u64() >= Some(2) && status["lastState"]["terminated"]["exitCode"] == 7
            }),
        ),
        ("never", Behaviour::NeverReady, Box::new(|pod| pod["status"]["containerStatuses"][0]["started"] == true)),
        ("succeed", Behaviour::Succeed(0), Box::new(|pod| pod["status"]["phase"] == "Succeeded")),
        (
            "fail",
            Behaviour::Fail(0, 9),
            Box::new(|pod| pod.pointer(&format!("{STATE}/terminated/exitCode")) == Some(&Value::from(9))),
        ),
    ];
    for (name, behaviour, _) in &cases {
        plane.apply(&pod(&namespace, name, behaviour));
    }
    for (name, _, check) in cases {
        until(&namespace, name, check);
    }
}

#[test]
fn a_pod_may_take_its_time_to_go() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("linger");
    plane.apply(&pod(&namespace, "slow", &Behaviour::SlowTermination(3)));
    until(&namespace, "slow", |pod| pod["status"]["phase"] == "Running");
    plane.run(&["delete", "pod", "slow", "-n", &namespace, "--wait=false"]);
    until(&namespace, "slow", |pod| pod["metadata"]["deletionTimestamp"].is_string());
    plane.run(&["wait", "--for=delete", "pod/slow", "-n", &namespace, "--timeout=20s"]);
}

#[test]
fn a_lost_node_stops_answering() {
    let plane = ControlPlane::start();
    plane.lose_node("node-3");
    plane.run(&["wait", "--for=condition=Ready=Unknown", "node/node-3", "--timeout=20s"]);
}

#[test]
fn the_loader_fills_a_namespace_with_pods_that_the_server_can_read() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("load");
    plane.load_pods(&namespace, 300);
    let names = plane.run(&["get", "pods", "-n", &namespace, "-o", "name"]);
    assert_eq!(names.lines().count(), 301);
}

#[test]
fn the_oracle_runs_upstreams_code() {
    let oracle = Oracle::start();
    let surplus = serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "generation": 1},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 1, "replicas": 5, "updatedReplicas": 5, "readyReplicas": 5, "availableReplicas": 5},
    });
    let said = oracle.rollout_status(&surplus);
    assert!(said.done && said.message.contains("successfully rolled out"), "{said:?}");
    let ready = serde_json::json!({"apiVersion": "acme.io/v1", "kind": "Widget", "metadata": {"name": "a"}});
    assert_eq!(oracle.kstatus(&ready).status, "Current");
}
