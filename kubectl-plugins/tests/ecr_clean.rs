//! The real binary: inventories, plans and explanations without AWS, and what it says of bad input.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::path::{Path, PathBuf};
use std::process::Command;

use insta::assert_snapshot;
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-ecr_clean"));
        // Nothing of the machine's own configuration of AWS or of clusters is read.
        command
            .args(args)
            .env_clear()
            .env("PATH", "/nowhere")
            .env("HOME", self.folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(self.folder.path());
        command
    }

    /// Returns the exit code, then stdout and stderr together.
    fn text(&self, args: &[&str]) -> String {
        text(&mut self.command(args))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Makes the example's inventory.
    fn inventory(&self) {
        let cluster = example("cluster.yaml");
        let args = ["inventory", "--cluster", "shop", "--complete", "--now", "2026-11-22T09:59:00Z", "-q", "-f"];
        let told = self.text(&[&args[..], &[&cluster]].concat());
        assert!(told.starts_with("0\n"), "{told}");
    }

    fn plan(&self, more: &[&str]) -> String {
        let (policy, registry) = (example("policy.yaml"), example("registry.json"));
        let args = ["plan", "--inventory", "inventories/shop.json", "--policy", &policy, "--registry-file", &registry];
        self.text(&[&args[..], more].concat())
    }
}

fn example(name: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/ecr");
    folder.join(name).display().to_string()
}

fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
}

#[test]
fn the_example_is_planned_without_aws() {
    let run = Run::new();
    run.inventory();
    let told = run.plan(&[]);
    let plan: Value = serde_json::from_str(&run.read("plan.json")).unwrap();
    let told = told.replace(&plan["sha256"].as_str().unwrap()[..12], "HASH");
    assert_snapshot!(told, @"
    0
    CLUSTER   UID        TAKEN    KINDS   REFERENCES   COMPLETE
    shop      5b1f7f1e   1m ago   3/3     2            yes

    REPOSITORY   RULE   ENTRIES   KEEP   ARCHIVE   DELETE   SIZE          NOTE
    shop/web     apps   11        4      0         7        ≤ 400.0 MiB   oldest push 2026-02-10
    medium EC211: clusters are not declared in a file: one that is forgotten is not missed
      try: name every cluster with its uid in --clusters FILE
    7 to delete, 0 to archive, 4 kept, 0 repositories refused; nothing pushed after 2026-11-22 08:59 is touched
    plan.json  sha256 HASH…  valid until 2026-11-23 10:00
    ");
    // The same again gives the same bytes, and what programs read is the file.
    let json = run.plan(&["-o", "json", "--plan-file", "again.json"]);
    assert_eq!(json, format!("0\n{}", run.read("plan.json")));
    assert_eq!(run.read("again.json"), run.read("plan.json"));
    let names = run.plan(&["-o", "name"]);
    assert_eq!(names.lines().filter(|line| line.starts_with("shop/web@sha256:")).count(), 7, "{names}");
}

#[test]
fn an_image_is_explained_with_every_vote() {
    let run = Run::new();
    run.inventory();
    run.plan(&[]);
    assert_snapshot!(run.text(&["explain", "shop/web:v2"]), @"
    0
    shop/web:v2  sha256:612f7a0edd33d5c1a7f59b38db605f5f0f9bf63cb4ce753b9bad0ff3aa941412  image, 80.0 MiB, pushed 2026-03-10 (257d)
    KEPT by 1 vote
    VOTE     BY                         PATH
    in-use   shop/shop/CronJob/report   spec.jobTemplate.spec.template.spec.containers[0].image
    without the CronJob it may go from 2026-11-29 10:00 (keepUsedWithin)
    ");
    assert_snapshot!(run.text(&["explain", "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/web:v5"]), @"
    0
    shop/web:v5  sha256:0b7318a6c82d1f2b001dbbaea9d0032743e2c4fee96c2805d9e4754906eb801d  image, 80.0 MiB, pushed 2026-06-10 (165d)
    GOES: born 2026-06-10, older than 30d; no reference in 1 of 1 clusters
    go with it, if nothing else keeps them: sha256-0b73….sig
    ");
    assert_snapshot!(run.text(&["explain", "shop/web:v9"]), @"
    1
    shop/web:v9 is not among the 11 images of this plan
    ");
    run.file("plan.json", &run.read("plan.json").replacen("\"v5\"", "\"v4\"", 1));
    assert_snapshot!(run.text(&["explain", "shop/web:v2"]), @"
    2
    error: plan.json was altered since it was made
    try: make it anew: kubectl ecr-clean plan
    ");
}

#[test]
fn an_inventory_records_what_is_in_use_for_the_next_plan() {
    let run = Run::new();
    let take = |more: &[&str]| {
        let cluster = example("cluster.yaml");
        let args =
            ["inventory", "--cluster", "shop", "--complete", "--now", "2026-11-22T09:59:00Z", "-q", "-f", &cluster];
        run.text(&[&args[..], more].concat())
    };
    let unknown = take(&["--state", "state"]);
    assert!(unknown.starts_with("2\n") && unknown.contains("give --policy with a registry"), "{unknown}");
    let registry = "registry: {account: \"111122223333\", region: eu-west-1}";
    let rule = "{name: apps, repositories: [\"shop/**\"], action: report}";
    run.file("own.yaml", &format!("apiVersion: kubeguard.dev/v1\nkind: CleanPolicy\n{registry}\nrules:\n- {rule}\n"));
    let told = take(&["--state", "state", "--policy", "own.yaml"]);
    assert!(told.starts_with("0\n"), "{told}");
    let state: Value = serde_json::from_str(&run.read("state/state.json")).unwrap();
    let uses: Vec<&str> = state["uses"].as_array().unwrap().iter().filter_map(|used| used["key"].as_str()).collect();
    assert_eq!(uses, ["shop/web:v2", "shop/web:v7"]);
    assert_eq!(state["uses"][0]["by"], "shop/shop/CronJob/report");
    // From now on the folder tells whose state it is, and taking the same again adds nothing.
    assert!(take(&["--state", "state"]).starts_with("0\n"));
    let again: Value = serde_json::from_str(&run.read("state/state.json")).unwrap();
    assert_eq!(again, state);
}

#[test]
fn many_at_once_record_into_one_state_and_lose_nothing() {
    let run = Run::new();
    let registry = "registry: {account: \"111122223333\", region: eu-west-1}";
    let rule = "{name: apps, repositories: [\"**\"], action: report}";
    run.file("own.yaml", &format!("apiVersion: kubeguard.dev/v1\nkind: CleanPolicy\n{registry}\nrules:\n- {rule}\n"));
    let host = "111122223333.dkr.ecr.eu-west-1.amazonaws.com";
    let begun: Vec<_> = (0..12)
        .map(|number| {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "team", "name": "p"},
                "spec": {"containers": [{"name": "a", "image": format!("{host}/app:v{number:02}")}]}});
            let file = run.file(&format!("pod{number}.json"), &pod.to_string());
            let cluster = format!("c{number}");
            let args =
                ["inventory", "--cluster", &cluster, "--complete", "-q", "--state", "state", "--policy", "own.yaml"];
            run.command(&[&args[..], &["-f", &file]].concat()).stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in begun {
        assert!(child.wait().unwrap().success());
    }
    let state: Value = serde_json::from_str(&run.read("state/state.json")).unwrap();
    let uses: Vec<&str> = state["uses"].as_array().unwrap().iter().filter_map(|used| used["key"].as_str()).collect();
    let all: Vec<String> = (0..12).map(|number| format!("app:v{number:02}")).collect();
    assert_eq!(uses, all);
}

#[test]
fn nothing_may_go_where_an_inventory_is_incomplete() {
    let run = Run::new();
    let cluster = example("cluster.yaml");
    run.text(&["inventory", "--cluster", "shop", "--now", "2026-11-22T09:59:00Z", "-f", &cluster]);
    let told = run.plan(&[]);
    assert!(told.starts_with("5\n"), "{told}");
    assert!(told.contains("shop/web refused: InventoryIncomplete: the inventory of shop is incomplete"), "{told}");
    assert!(told.contains("0 to delete"), "{told}");
}

#[test]
fn bad_input_is_told_before_anything_is_asked() {
    let run = Run::new();
    run.inventory();
    let inventory = ["--inventory", "inventories/shop.json"];
    let with = |policy: &str| run.text(&[&["plan", "--policy", policy], &inventory[..]].concat());
    let policy = |rule: &str| {
        run.file("policy.yaml", &format!("apiVersion: kubeguard.dev/v1\nkind: CleanPolicy\nrules:\n- {rule}\n"))
    };
    policy("{name: a, repositories: [x], action: delete, minAge: 3m}");
    assert_snapshot!(with("policy.yaml"), @r#"
    2
    error: policy.yaml:4:56: 3m is too short, the smallest is 1h; "3m" is 3 minutes, write days as 90d
    "#);
    policy("{name: a, repositories: [x], action: delete, keepTag: [y]}");
    assert_snapshot!(with("policy.yaml"), @r#"
    2
    error: policy.yaml:4:48: unknown field "keepTag"
    try: did you mean keepTags?
    "#);
    policy("{name: a, repositories: [], action: delete}");
    assert_snapshot!(with("policy.yaml"), @"
    2
    error: policy.yaml:4:27: an empty list means no repository; name them
    ");
    policy("{name: a, repositories: [x], action: delete}");
    assert_snapshot!(run.text(&["plan", "--policy", "policy.yaml"]), @"
    2
    error: no cluster is named
    try: give --clusters FILE, --context NAME or --inventory FILE; the current context is never all clusters
    ");
    assert_snapshot!(with("policy.yaml"), @"
    2
    error: no AWS region is configured
    try: give --region, or set AWS_REGION or the region of the profile
    ");
    run.file("broken.json", &run.read("inventories/shop.json").replacen("web:v7", "web:v1", 1));
    let (policy, registry) = (example("policy.yaml"), example("registry.json"));
    let broken = ["plan", "--policy", &policy, "--registry-file", &registry, "--inventory", "broken.json"];
    let broken = run.text(&broken);
    assert!(broken.starts_with("5\n") && broken.contains("InventoryAltered"), "{broken}");
    run.file("cut.json", &run.read("inventories/shop.json")[..100]);
    let cut = run.text(&["plan", "--policy", &policy, "--registry-file", &registry, "--inventory", "cut.json"]);
    assert!(cut.starts_with("2\n") && cut.contains("the file is cut off"), "{cut}");
}

#[test]
fn a_live_cluster_is_read_and_one_that_refuses_a_kind_is_incomplete() {
    let (run, fake) = (Run::new(), FakeCluster::start());
    fake.date("Sun, 22 Nov 2026 10:00:00 GMT");
    fake.put("/api/v1/namespaces", json!({"metadata": {"name": "kube-system", "uid": "cluster-1"}}));
    for (group, kind, plural) in [
        ("", "Pod", "pods"),
        ("", "Namespace", "namespaces"),
        ("", "ReplicationController", "replicationcontrollers"),
        ("", "PodTemplate", "podtemplates"),
        ("apps", "Deployment", "deployments"),
        ("apps", "ReplicaSet", "replicasets"),
        ("apps", "StatefulSet", "statefulsets"),
        ("apps", "DaemonSet", "daemonsets"),
        ("apps", "ControllerRevision", "controllerrevisions"),
        ("batch", "Job", "jobs"),
        ("batch", "CronJob", "cronjobs"),
    ] {
        fake.serve(group, "v1", kind, plural);
    }
    let kubeconfig = fake.kubeconfig(run.folder.path());
    let inventory = || text(run.command(&["inventory"]).env("KUBECONFIG", &kubeconfig));
    assert_snapshot!(inventory(), @"
    0
    CLUSTER   UID        TAKEN                  KINDS   REFERENCES   SUSPICIOUS   COMPLETE
    current   cluster-   2026-11-22T10:00:00Z   11/11   0            0            yes
    written: inventories/current.json
    ");
    fake.fail("list", "/apis/batch/v1/cronjobs", Fault::Status(403, "Forbidden"), None);
    assert_snapshot!(inventory(), @"
    5
    CLUSTER   UID        TAKEN                  KINDS   REFERENCES   SUSPICIOUS   COMPLETE
    current   cluster-   2026-11-22T10:00:00Z   10/11   0            0            no
    current: cronjobs denied: server says (Forbidden): list /apis/batch/v1/cronjobs is refused
    written: inventories/current.json
    ");
    fake.fail("get", "/api/v1/namespaces/kube-system", Fault::Status(403, "Forbidden"), None);
    let refused = inventory();
    assert!(refused.starts_with("2\n"), "{refused}");
    assert!(refused.contains("error: cannot read namespace kube-system, which identifies the cluster"), "{refused}");
}
