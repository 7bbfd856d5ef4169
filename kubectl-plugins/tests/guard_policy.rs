//! `kubectl guard policy`: what it prints can be applied, and what is wrong with the question is said.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::process::Command;

use insta::assert_snapshot;
use serde_json::Value;

/// Returns the exit code, stdout and stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-guard"));
    let output = command.arg("policy").args(args).env_clear().output().unwrap();
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
}

#[test]
fn without_a_name_they_are_listed() {
    let (code, out, err) = run(&[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_snapshot!(out, @r"
    NAME              FOR           KEEPS AWAY                        KIND                          NEEDS       RULES
    daemonset         daemonsets    unreviewed DaemonSets             ValidatingAdmissionPolicy     1.30        DS-006 DS-007 DS-010
    daemonset-quota   daemonsets    DaemonSets of tenants             ResourceQuota, ClusterRole    any         DS-006
    surge             rollouts      whole-fleet replacement           ValidatingAdmissionPolicy     1.30        ROLL-001
    hpa               autoscalers   unbounded growth                  ValidatingAdmissionPolicy     1.30        HPA-001 HPA-004
    start-order       start-order   ungated sidecars                  ValidatingAdmissionPolicy     1.30        INIT-003
    field-ref         cpu           parallelism read from the node    ValidatingAdmissionPolicy     1.30        CPU-008 CPU-009
    gomaxprocs        cpu           host-sized Go programs            MutatingAdmissionPolicy       1.36        CPU-005 CPU-006
    zone              zones         workloads without a zone spread   ValidatingAdmissionPolicy     1.30        ZONE-003 ZONE-004
    node-hold         daemonsets    work on unfinished nodes          NodePool, NodeReadinessRule   Karpenter   DS-015 DS-017
    ");
}

#[test]
fn what_is_for_one_subject_is_printed_together_as_yaml_json_or_names() {
    let (code, names, _) = run(&["--for", "daemonsets", "-o", "name"]);
    assert_eq!(code, 0);
    assert_snapshot!(names, @r"
    configmap/kubeguard-daemonset-params
    clusterrole/kubeguard-daemonset-reviewer
    validatingadmissionpolicy/kubeguard-daemonset-review
    validatingadmissionpolicybinding/kubeguard-daemonset-review
    resourcequota/kubeguard-no-daemonsets
    clusterrole/kubeguard-edit-without-daemonsets
    nodepool/default
    nodereadinessrule/logging-agent
    daemonset/agent
    ");
    let (_, list, _) = run(&["surge", "hpa", "--stage", "deny", "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let actions: Vec<&Value> =
        list["items"].as_array().unwrap().iter().filter_map(|one| one["spec"].get("validationActions")).collect();
    assert_eq!((list["kind"].as_str(), actions), (Some("List"), vec![&serde_json::json!(["Deny"]); 2]));
    // Every document is an object, and reads as the JSON does.
    let (_, yaml, _) = run(&["surge", "hpa", "--stage", "deny"]);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
    assert_eq!(Value::Array(documents), list["items"]);
}

#[test]
fn a_file_sets_budgets_and_its_parameters_are_printed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, "apiVersion: kubeguard.dev/v1\nkind: GuardPolicy\ndaemonSets: {maxCpu: 250m, nodes: 12}\n")
        .unwrap();
    let (code, out, _) = run(&["daemonset", "--params", "-f", file.to_str().unwrap(), "-o", "json"]);
    let list: Value = serde_json::from_str(&out).unwrap();
    let items = list["items"].as_array().unwrap();
    assert_eq!((code, items.len()), (0, 1));
    assert_eq!(items[0]["data"], serde_json::json!({"maxCpu": "250m", "maxMemory": "512Mi", "nodes": "12"}));
}

#[test]
fn what_is_wrong_is_said_with_what_was_meant() {
    for (args, says) in [
        (vec!["surges"], "did you mean surge?"),
        (vec!["--for", "rollout"], "did you mean rollouts?"),
        (vec!["everything"], "known: daemonset, daemonset-quota"),
        (vec!["surge", "--params"], "none of these has parameters"),
        (vec!["surge", "-f", "/nowhere.yaml"], "/nowhere.yaml"),
    ] {
        let (code, out, err) = run(&args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}
