//! What facts weigh: this process holds nothing else, so its peak is theirs.
#![cfg(target_os = "linux")]

use kubeguard_core::audit::{self, Builder, Origin, Policy, Rule, audit};
use serde_json::{Value, json};

const PODS: u64 = 10_000;
const OF_ONE_OWNER: u64 = 10;
/// Peak of the whole process in MiB, the objects that are read included.
const MOST: u64 = 50;

const CONDITIONS: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// A pod as a server keeps it: two containers, every status, its own names and addresses.
fn pod(number: u64) -> Value {
    let owner = number / OF_ONE_OWNER;
    let (set, team) = (format!("workload-{owner}-5d8f7c9b4"), format!("team-{}", owner % 60));
    let name = format!("{set}-{number:05x}");
    let container = |name: &str, image: &str| {
        json!({"name": name, "image": image, "args": ["--port=8080", format!("--owner={owner}")],
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": (0..12).map(|n| json!({"name": format!("VARIABLE_{n}"), "value": format!("value-{n}-of-{owner}")})).collect::<Vec<_>>(),
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 10},
            "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 10},
            "volumeMounts": [{"name": format!("kube-api-access-{number}"), "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]})
    };
    let status = |name: &str| {
        json!({"name": name, "ready": true, "started": true, "restartCount": 1, "image": "registry.example.org/team/app:v1.2.3",
            "imageID": format!("registry.example.org/team/app@sha256:{:064x}", owner), "containerID": format!("containerd://{number:064x}"),
            "state": {"running": {"startedAt": "2026-11-22T09:00:00Z"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": "2026-11-22T08:00:00Z", "finishedAt": "2026-11-22T09:00:00Z"}}})
    };
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-11-22T09:00:05Z"});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": team, "uid": format!("0f9d3c1e-0000-4000-8000-{number:012x}"),
            "creationTimestamp": "2026-11-22T08:00:00Z",
            "labels": {"app": format!("workload-{owner}"), "pod-template-hash": "5d8f7c9b4", "team": team},
            "annotations": {"cni.example.org/ip": format!("10.0.{}.{}", number / 256, number % 256)},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": format!("set-{owner}"), "controller": true}]},
        "spec": {"nodeName": format!("node-{}", number % 500), "restartPolicy": "Always",
            "volumes": [{"name": format!("kube-api-access-{number}"), "projected": {"sources": []}}],
            "containers": [container("app", "registry.example.org/team/app:v1.2.3"), container("proxy", "registry.example.org/proxy:v2")]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "startTime": "2026-11-22T08:00:00Z",
            "conditions": CONDITIONS.map(condition),
            "containerStatuses": [status("app"), status("proxy")]},
    })
}

#[test]
fn ten_thousand_pods_are_judged_within_50_mib() {
    let mut builder = Builder::new(Origin::Live);
    for number in 0..PODS {
        builder.add(pod(number));
    }
    let facts = builder.finish();
    let rules: Vec<&Rule> = audit::rules().iter().collect();
    let report = audit(&facts, &rules, &Policy::default(), "2026-11-22T10:00:00Z".parse().unwrap());
    assert_eq!((facts.pods().len(), report.complete), (10_000, true));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak: u64 =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok()).unwrap();
    println!("peak of {PODS} pods: {} MiB", peak / 1024);
    assert!(peak / 1024 <= MOST, "{} MiB", peak / 1024);
}
