//! The real binaries of the audits: manifests, a cluster and its snapshot, rules, and what is wrong with the question.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::process::Command;

use insta::assert_snapshot;
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: web:1
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {port: http, path: /ready}}
";

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.write("web.yaml", WEB);
        world
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Returns the exit code, then stdout and stderr together.
    fn run(&self, binary: &str, args: &str) -> String {
        let mut command = Command::new(match binary {
            "kubectl-guard" => env!("CARGO_BIN_EXE_kubectl-guard"),
            "kubectl-zombie_jobs" => env!("CARGO_BIN_EXE_kubectl-zombie_jobs"),
            _ => env!("CARGO_BIN_EXE_kubectl-probe_audit"),
        });
        command.args(args.split(' ')).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        let output = command.env("KUBECONFIG", self.0.path().join("kubeconfig")).output().unwrap();
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}\n{}{}", output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
    }
}

#[test]
fn a_file_is_judged_by_the_rules_that_were_asked_for() {
    let world = World::new();
    assert_snapshot!(world.run("kubectl-probe_audit", "-f web.yaml --select PA201"), @r#"
    1
    SEVERITY   RULE    NAMESPACE   OBJECT                CONTAINER   MESSAGE
    critical   PA201   team        deployment.apps/web   app         readiness port "http" is not among the ports of container app: the pod never becomes ready
    1 finding: 1 critical · 1 object, 1 rule
    "#);
    let told = world.run("kubectl-zombie_jobs", "-f web.yaml");
    assert!(told.starts_with("0\n"), "{told}");
    let told = world.run("kubectl-probe_audit", "-f web.yaml --select PA201 -o json --fail-on never");
    let report: Value = serde_json::from_str(told.strip_prefix("0\n").unwrap()).unwrap();
    assert_eq!(report["items"][0]["source"], json!({"file": "web.yaml", "line": 13}));
}

#[test]
fn what_is_wrong_with_the_question_is_told_with_what_was_meant() {
    let world = World::new();
    assert_snapshot!(world.run("kubectl-guard", "audit -f web.yaml --select PA20l"), @r#"
    2
    error: no rule is called "PA20l"; did you mean PA201 or PA202 or PA203?
    try: kubectl guard rules lists them
    "#);
    let told = world.run("kubectl-guard", "audit -f nothing.yaml");
    assert!(told.starts_with("2\n"), "{told}");
    let told = world.run("kubectl-guard", "rules PA201");
    assert!(told.starts_with("0\nPA201 named-port-unresolved") && told.contains("\navoids"), "{told}");
}

#[test]
fn a_broken_file_among_good_ones_is_named_and_the_others_are_judged() {
    let world = World::new();
    world.write("all/web.yaml", WEB);
    world.write("all/broken.yaml", "a: [1\nb: 2\n");
    let told = world.run("kubectl-probe_audit", "-f all --select PA201 --fail-on never");
    assert!(told.starts_with("6\n") && told.contains("PA201") && told.contains("broken.yaml"), "{told}");
}

#[test]
fn a_cluster_and_its_snapshot_give_the_same_answer_and_what_is_forbidden_is_named() {
    let world = World::new();
    let cluster = FakeCluster::start();
    drop(cluster.kubeconfig(world.0.path()));
    let web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "team"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "web:1", "ports": [{"containerPort": 8080}],
                "readinessProbe": {"httpGet": {"port": "http", "path": "/ready"}}}]}}},
    });
    cluster.put("/apis/apps/v1/namespaces/team/deployments", web);
    let live = world.run("kubectl-probe_audit", "-A --select PA201 -o json --now 2026-01-01T00:00:00Z");
    assert!(live.starts_with("1\n") && live.contains("named-port-unresolved"), "{live}");
    let written = world.run("kubectl-guard", "snapshot -o team.jsonl.gz --select PA201");
    assert!(written.starts_with("0\n"), "{written}");
    let command = "--snapshot team.jsonl.gz --select PA201 -o json --now 2026-01-01T00:00:00Z";
    assert_eq!(world.run("kubectl-probe_audit", command), live);
    cluster.fail("list", "/deployments", Fault::Status(403, "Forbidden"), None);
    let told = world.run("kubectl-probe_audit", "-A --select PA201");
    assert!(told.starts_with("6\n") && told.contains("deployments"), "{told}");
    let told = world.run("kubectl-zombie_jobs", "-A --print-rbac");
    assert!(told.starts_with("0\n") && told.contains("cronjobs"), "{told}");
}
