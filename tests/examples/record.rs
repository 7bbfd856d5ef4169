//! Makes the recordings of `examples/recordings` anew, on a real control plane:
//! `cargo run -p kubeguard-testkit --example record`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kubeguard_testkit::{Behaviour, ControlPlane};
use serde_json::{Value, json};

fn main() {
    let plane = ControlPlane::start();
    plane.run(&["create", "namespace", "team"]);
    rollout(&plane, "a-good-rollout", "web", &Behaviour::Ready(2), "registry.example.org/shop/web:1.4.2");
    let missing = "rpc error: code = NotFound desc = failed to pull and unpack image: registry.example.org/shop/api:1.4.3: not found";
    rollout(
        &plane,
        "an-image-that-does-not-exist",
        "api",
        &Behaviour::ImagePullError(missing),
        "registry.example.org/shop/api:1.4.3",
    );
    stale_ready(&plane);
    stuck_stateful_set(&plane);
}

fn rollout(plane: &ControlPlane, recording: &str, name: &str, behaviour: &Behaviour, image: &str) {
    plane.apply(&workload("Deployment", name, 3, &Behaviour::Ready(0), "registry.example.org/shop/old:1").to_string());
    plane.run(&["rollout", "status", &format!("deploy/{name}"), "-n", "team", "--timeout=60s"]);
    plane.apply(&workload("Deployment", name, 3, behaviour, image).to_string());
    record(plane, recording, &[&format!("deploy/{name}"), "-n", "team"]);
}

fn workload(kind: &str, name: &str, replicas: u32, behaviour: &Behaviour, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "team"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}, "annotations": behaviour.annotations()},
            "spec": {"containers": [{"name": "app", "image": image}]},
        }},
    })
}

/// A controller that writes no observedGeneration and has not seen the new spec: its Ready is of the old one.
fn stale_ready(plane: &ControlPlane) {
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    plane.apply(
        &json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "caches.acme.example.org"},
            "spec": {"group": "acme.example.org", "scope": "Namespaced", "names": {"kind": "Cache", "plural": "caches"}, "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}},
            }]},
        })
        .to_string(),
    );
    plane.run(&["wait", "--for=condition=Established", "crd/caches.acme.example.org", "--timeout=20s"]);
    while !plane.kubectl(&["get", "caches"]).status.success() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let cache = |size: u32| json!({"apiVersion": "acme.example.org/v1", "kind": "Cache", "metadata": {"name": "sessions", "namespace": "team"}, "spec": {"size": size}});
    plane.apply(&cache(3).to_string());
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "UpToDate", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    plane.run(&[
        "patch",
        "cache",
        "sessions",
        "-n",
        "team",
        "--subresource=status",
        "--type=merge",
        "-p",
        &ready.to_string(),
    ]);
    // managedFields have whole seconds.
    std::thread::sleep(Duration::from_millis(1500));
    plane.apply(&cache(5).to_string());
    record(plane, "a-stale-ready", &["caches.acme.example.org/sessions", "-n", "team"]);
}

fn stuck_stateful_set(plane: &ControlPlane) {
    let bad = workload(
        "StatefulSet",
        "db",
        2,
        &Behaviour::ImagePullError("manifest unknown"),
        "registry.example.org/shop/db:bad",
    );
    plane.apply(&bad.to_string());
    while !plane.run(&["get", "pods", "-n", "team", "-l", "app=db"]).contains("ImagePullBackOff") {
        std::thread::sleep(Duration::from_millis(100));
    }
    let good = workload("StatefulSet", "db", 2, &Behaviour::Ready(0), "registry.example.org/shop/db:17");
    plane.apply(&good.to_string());
    record(plane, "a-stuck-stateful-set", &["sts/db", "-n", "team"]);
}

fn record(plane: &ControlPlane, name: &str, args: &[&str]) {
    let file: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recordings").join(format!("{name}.ndjson"));
    let status = Command::new(kubeguard_testkit::plugin("kubectl-wait_deploy"))
        .args(args)
        .arg("--record")
        .arg(&file)
        .env("KUBECONFIG", plane.kubeconfig())
        .status()
        .expect("the plugin starts");
    println!("{name}: {status}");
}
