//! Custom resources: definitions and objects in one set, controllers that lag, controllers that say too little.

use kubeguard_testkit::ControlPlane;
use serde_json::{Value, json};

use crate::plugin::{end, start, wait_deploy, wait_deploy_with};

/// Returns a definition of a kind whose status is free.
pub(crate) fn definition(group: &str, kind: &str, namespaced: bool) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                        "conditions": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                    }},
                }}},
            }],
        },
    })
}

fn widget(group: &str, namespace: &str, size: u32) -> Value {
    json!({
        "apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "main", "namespace": namespace},
        "spec": {"flavour": size.to_string()},
    })
}

/// Plays the controller: writes the status.
fn write_status(group: &str, namespace: &str, status: &Value) {
    let patch = json!({"status": status}).to_string();
    ControlPlane::shared().run(&[
        "patch",
        &format!("widgets.{group}"),
        "main",
        "-n",
        namespace,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ]);
}

fn ready(more: &Value) -> Value {
    let mut condition =
        json!({"type": "Ready", "status": "True", "reason": "UpToDate", "lastTransitionTime": "2020-01-01T00:00:00Z"});
    if let (Value::Object(condition), Value::Object(more)) = (&mut condition, more) {
        condition.extend(more.clone());
    }
    json!([condition])
}

#[test]
fn a_definition_and_its_object_in_one_set_are_waited_for_in_order() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("set");
    let group = format!("{namespace}.example.org");
    let both = format!("{}\n{}", definition(&group, "Widget", true), widget(&group, &namespace, 1));
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), &both).unwrap();
    // The wait begins before anything of the set exists.
    let path = file.path().to_str().unwrap();
    let child = start(plane.kubeconfig(), &["-f", path, "-o", "json", "--timeout", "60s", "--profile", "patient"]);
    plane.apply(&definition(&group, "Widget", true).to_string());
    plane.run(&["wait", "--for=condition=Established", &format!("crd/widgets.{group}"), "--timeout=20s"]);
    plane.apply(&widget(&group, &namespace, 1).to_string());
    write_status(&group, &namespace, &json!({"observedGeneration": 1, "conditions": ready(&json!({}))}));
    let ran = end(child);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.report()["items"].as_array().unwrap().len(), 2);
}

/// Makes a widget of generation 2 whose status was written for generation 1.
fn stale(prefix: &str, status: &Value) -> (String, String) {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace(prefix);
    let group = format!("{namespace}.example.org");
    plane.apply(&definition(&group, "Widget", true).to_string());
    plane.run(&["wait", "--for=condition=Established", &format!("crd/widgets.{group}"), "--timeout=20s"]);
    until_served(&group);
    plane.apply(&widget(&group, &namespace, 1).to_string());
    write_status(&group, &namespace, status);
    // managedFields have whole seconds: the new spec must be of a later one to be told apart.
    let second = std::time::Instant::now();
    while second.elapsed() < std::time::Duration::from_millis(1100) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    plane.apply(&widget(&group, &namespace, 2).to_string());
    (namespace, group)
}

pub(crate) fn until_served(group: &str) {
    let start = std::time::Instant::now();
    while !ControlPlane::shared().kubectl(&["get", &format!("widgets.{group}")]).status.success() {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{group} is not served");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_lagging_controller_is_not_complete_until_its_status_is_of_this_generation() {
    let (namespace, group) = stale("lag", &json!({"observedGeneration": 1, "conditions": ready(&json!({}))}));
    let name = format!("widgets.{group}/main");
    let ran = wait_deploy(&[&name, "-n", &namespace, "-o", "json", "--timeout", "2s"]);
    assert_eq!((ran.code, ran.item()["reason"].as_str()), (3, Some("GenerationNotObserved")), "{ran:?}");
    write_status(&group, &namespace, &json!({"observedGeneration": 2}));
    let ran = wait_deploy(&[&name, "-n", &namespace, "-o", "json", "--timeout", "10s"]);
    assert_eq!((ran.code, ran.item()["evidence"].as_str()), (0, Some("strong")), "{ran:?}");
}

#[test]
fn a_stale_ready_is_never_complete_in_any_form() {
    for (prefix, status, reason) in [
        ("stale-status", json!({"observedGeneration": 1, "conditions": ready(&json!({}))}), "GenerationNotObserved"),
        ("stale-condition", json!({"conditions": ready(&json!({"observedGeneration": 1}))}), "ConditionNotCurrent"),
        ("stale-none", json!({"conditions": ready(&json!({}))}), "NoEvidence"),
        ("stale-phase", json!({"phase": "Ready"}), "NoEvidence"),
    ] {
        let (namespace, group) = stale(prefix, &status);
        let name = format!("widgets.{group}/main");
        let ran = wait_deploy(&[&name, "-n", &namespace, "-o", "json", "--timeout", "2s"]);
        assert_eq!((ran.code, ran.item()["reason"].as_str()), (3, Some(reason)), "{prefix}: {ran:?}");
    }
}

#[test]
fn a_controller_without_observed_generation_is_unverifiable_until_a_newer_status_write() {
    let (namespace, group) = stale("silent", &json!({"conditions": ready(&json!({}))}));
    let name = format!("widgets.{group}/main");
    let args = [name.as_str(), "-n", &namespace, "-o", "json", "--timeout", "60s", "--tolerate", "NoEvidence=1s"];
    let ran = wait_deploy(&args);
    assert_eq!((ran.code, ran.item()["reason"].as_str()), (5, Some("NoEvidence")), "{ran:?}");
    assert!(ran.item()["message"].as_str().is_some_and(|text| text.contains("observedGeneration")), "{}", ran.item());

    let second = std::time::Instant::now();
    while second.elapsed() < std::time::Duration::from_millis(1100) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    write_status(&group, &namespace, &json!({"note": "seen"}));
    let ran = wait_deploy(&args);
    assert_eq!((ran.code, ran.item()["witness"].as_str()), (0, Some("managedFields")), "{ran:?}");
    let ran = wait_deploy(&[&name, "-n", &namespace, "--evidence", "strong", "--tolerate", "NoEvidence=1s"]);
    assert_eq!(ran.code, 5, "{ran:?}");
}

#[test]
fn a_stalled_resource_is_failed_at_once_with_its_reason() {
    let status = json!({"observedGeneration": 2, "conditions": [
        {"type": "Stalled", "status": "True", "reason": "InvalidChart", "message": "no such chart"},
        {"type": "Ready", "status": "False", "reason": "InvalidChart", "message": "no such chart"},
    ]});
    let (namespace, group) = stale("stalled", &json!({"observedGeneration": 1}));
    write_status(&group, &namespace, &status);
    let name = format!("widgets.{group}/main");
    let ran = wait_deploy(&[&name, "-n", &namespace, "-o", "json", "--profile", "strict", "--timeout", "20s"]);
    assert_eq!((ran.code, ran.item()["reason"].as_str()), (1, Some("InvalidChart")), "{ran:?}");
    assert!(ran.report()["elapsedSeconds"].as_f64().unwrap() < 2.0, "{ran:?}");
}

#[test]
fn an_object_that_was_just_applied_brings_its_own_floor() {
    let plane = ControlPlane::shared();
    let (namespace, group) = stale("floor", &json!({"observedGeneration": 1, "conditions": ready(&json!({}))}));
    let applied = plane.apply(&widget(&group, &namespace, 3).to_string());
    let ran = wait_deploy_with(&applied, &["-f", "-", "-o", "json", "--timeout", "2s"]);
    assert_eq!((ran.code, ran.item()["generation"].as_i64()), (3, Some(3)), "{ran:?}");
}
