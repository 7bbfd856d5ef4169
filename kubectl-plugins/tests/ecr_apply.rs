//! The real binary from a plan to an empty registry: what it shows, asks, writes down, and what makes it stop.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::process::Command;

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::apply::{FileLease, Lease as _};
use kubeguard_core::images::RegistryId;
use kubeguard_testkit::FakeCluster;
use kubeguard_testkit::fake_ecr::{ACCOUNT, Calls, FakeEcr, Fault, REGION, Store, image, index};
use serde_json::{Value, json};

const NOW: &str = "2026-11-22T10:00:00Z";
const POLICY: &str = "apiVersion: kubeguard.dev/v1
kind: CleanPolicy
caps: {share: off, perRepository: off, perRun: off}
rules:
- {name: apps, repositories: [app], action: delete, keepNewest: 1, keepUsedWithin: 0, keepDeployed: 0, quarantine: off}
";

/// A registry with v1 to v5, and a cluster that uses v1.
struct World {
    ecr: FakeEcr,
    cluster: FakeCluster,
    folder: tempfile::TempDir,
}

impl World {
    fn new(policy: &str) -> Self {
        let id = RegistryId::new(ACCOUNT, REGION);
        let mut store = Store::new(NOW.parse().unwrap());
        for number in 1..=5 {
            let age = SignedDuration::from_hours(24 * (100 - number));
            store.push((&id, "app"), image(&format!("D{number}")).tag(&format!("v{number}")).age(age));
        }
        let cluster = FakeCluster::start();
        cluster.serve_workloads("uid-prod");
        let now: Timestamp = NOW.parse().unwrap();
        cluster.date(&now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let world = Self { ecr: FakeEcr::new(store).serve(), cluster, folder: tempfile::tempdir().unwrap() };
        world.deploy("web", "v1");
        drop(world.cluster.kubeconfig(world.folder.path()));
        world.write("policy.yaml", policy);
        world.write(
            "clusters.yaml",
            "apiVersion: kubeguard.dev/v1\nkind: Clusters\nclusters:\n- {name: prod, context: fake, uid: uid-prod}\n",
        );
        world
    }

    fn id() -> RegistryId {
        RegistryId::new(ACCOUNT, REGION)
    }

    fn deploy(&self, name: &str, tag: &str) {
        let container = json!({"name": "app", "image": format!("{}/app:{tag}", Self::id().host())});
        self.cluster.put(
            "/apis/apps/v1/namespaces/team/deployments",
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "team", "name": name},
                "spec": {"template": {"spec": {"containers": [container]}}}}),
        );
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-ecr_clean"));
        command.args(args.split(' ')).current_dir(self.folder.path()).env_clear().envs(self.ecr.environment());
        command.env("HOME", self.folder.path()).env("KUBECONFIG", self.folder.path().join("kubeconfig"));
        command
    }

    /// Returns the exit code, then stdout and stderr together.
    fn run(&self, args: &str) -> String {
        text(&mut self.command(args))
    }

    fn plan(&self) {
        let told = self.run("plan --clusters clusters.yaml --policy policy.yaml");
        assert!(told.starts_with("0\n"), "{told}");
    }

    /// Returns what a command told, with the plan's hash hidden.
    fn told(&self, args: &str) -> String {
        let told = self.run(args);
        let plan: Value = serde_json::from_str(&self.read("plan.json")).unwrap();
        let hash = plan["sha256"].as_str().unwrap();
        told.replace(hash, "HASH").replace(&hash[..12], "HASH")
    }

    fn tags(&self) -> Vec<String> {
        let store = self.ecr.store();
        let repository = store.look(&Self::id(), "app").unwrap();
        let mut tags: Vec<String> = repository.entries().flat_map(|entry| entry.tags.iter().cloned()).collect();
        tags.sort();
        tags
    }
}

fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
}

#[test]
fn exactly_the_plan_goes_and_the_same_command_again_finds_nothing_to_do() {
    let world = World::new(POLICY);
    world.plan();
    assert_snapshot!(world.told("apply plan.json --metrics-file apply.prom"), @"
    0
    plan HASH… of 2026-11-22T10:00:00Z by user/cleaner, now user/cleaner
    usage read again: prod 1 reference
    REPOSITORY   DIGEST      TAGS   RESULT    REASON
    app          3 entries          deleted
    3 deleted (≤ 286.1 MiB); verify: every reference in use still resolves
    journal-HASH.ndjson
    ");
    assert_eq!(world.tags(), ["v1", "v5"]);
    let metrics = world.read("apply.prom");
    let deleted = "kubeguard_ecr_clean_apply_entries{registry=\"111122223333/us-east-1\",state=\"deleted\"} 3\n";
    assert!(
        metrics.contains(deleted) && metrics.contains("# TYPE kubeguard_ecr_clean_apply_exit_code gauge\n"),
        "{metrics}"
    );
    let state: Value = serde_json::from_str(
        &world.read(&format!(".local/state/kubeguard/ecr-clean/aws/{ACCOUNT}/{REGION}/state.json")),
    )
    .unwrap();
    let deleted: Vec<&str> =
        state["deleted"].as_array().unwrap().iter().filter_map(|row| row["tags"][0].as_str()).collect();
    assert_eq!(deleted.len(), 3, "{deleted:?}");
    // Who misses one later is told where it went.
    let missed = world.run("explain app:v3 --policy policy.yaml --clusters clusters.yaml");
    assert!(missed.starts_with("1\n") && missed.contains("app:v3 is not among the 2 images"), "{missed}");
    let plan: Value = serde_json::from_str(&world.read("plan.json")).unwrap();
    let by = format!("by plan {}; no use of it was recorded", &plan["sha256"].as_str().unwrap()[..12]);
    assert!(missed.contains("was deleted ") && missed.contains(&by) && !missed.contains("app:v2"), "{missed}");
    let calls = world.ecr.store().journal().len();
    let again = world.told("apply plan.json");
    assert!(again.starts_with("0\n") && again.contains("3 deleted"), "{again}");
    assert_eq!(world.ecr.store().journal().len(), calls);
}

#[test]
fn what_is_deployed_after_the_plan_stays() {
    let world = World::new(POLICY);
    world.plan();
    world.deploy("late", "v3");
    assert_snapshot!(world.told("apply plan.json"), @"
    4
    plan HASH… of 2026-11-22T10:00:00Z by user/cleaner, now user/cleaner
    usage read again: prod 2 references
    REPOSITORY   DIGEST                 TAGS   RESULT    REASON
    app          sha256:6081b624a582…   v3     skipped   InUse: prod/team/Deployment/late
    app          2 entries                     deleted
    2 deleted (≤ 190.7 MiB), 1 skipped; verify: every reference in use still resolves
    journal-HASH.ndjson
    ");
    assert_eq!(world.tags(), ["v1", "v3", "v5"]);
}

#[test]
fn a_context_beside_a_clusters_file_speaks_for_the_cluster_of_its_uid_and_never_for_nobody() {
    let world = World::new(POLICY);
    let declared = |cluster: &str| {
        world
            .write("clusters.yaml", &format!("apiVersion: kubeguard.dev/v1\nkind: Clusters\nclusters:\n- {cluster}\n"));
        let told = world.run("plan --clusters clusters.yaml --policy policy.yaml --context fake -o json -q");
        let (code, plan) = told.split_once('\n').unwrap();
        let plan: Value = serde_json::from_str(plan).unwrap();
        (code.to_owned(), plan["summary"]["delete"].clone(), plan["refused"][0]["reason"].clone())
    };
    assert_eq!(declared("{name: prod, context: elsewhere, uid: uid-prod}"), ("0".to_owned(), json!(3), Value::Null));
    let stranger = declared("{name: prod, context: elsewhere, uid: another}");
    assert_eq!((stranger.0.as_str(), stranger.1), ("5", json!(0)));
}

#[test]
fn a_keep_list_that_is_not_there_is_told_before_anything_is_asked() {
    let world = World::new(&POLICY.replace("rules:", "pins: {keepLists: [keep.txt]}\nrules:"));
    let told = world.run("plan --clusters clusters.yaml --policy policy.yaml");
    assert!(told.starts_with("2\n") && told.contains("keep.txt"), "{told}");
    assert_eq!(world.ecr.store().seen().len(), 0, "nothing was asked");
    assert_eq!(world.cluster.seen().len(), 0);
}

#[test]
fn every_command_tells_what_is_wrong_with_files_before_anything_is_asked() {
    let world = World::new(&POLICY.replace("rules:", "pins: {keepLists: [keep.txt]}\nrules:"));
    world.write("cut.json", "{\"apiVersion\": \"kubeguard.dev/v1\",");
    let evidence = "--clusters clusters.yaml --policy policy.yaml";
    for command in ["plan", "explain app:v1", "verify", "lint", "report", "restore --in-use"] {
        let told = world.run(&format!("{command} {evidence}"));
        assert!(told.starts_with("2\n") && told.contains("keep.txt"), "{command}: {told}");
        let told = world.run(&format!("{command} --clusters clusters.yaml --policy policy.yaml --inventory cut.json"));
        assert!(told.starts_with("2\n") && told.contains("cut.json"), "{command}: {told}");
    }
    world.write("keep.txt", "app:v3 because=audit\n");
    world.write("state/state.json", "{\"apiVersion\": ");
    for command in ["plan", "explain app:v1", "verify", "lint", "report", "restore --in-use"] {
        let told = world.run(&format!("{command} {evidence} --state state --registry {ACCOUNT}"));
        assert!(told.starts_with("2\n") && told.contains("state.json is damaged"), "{command}: {told}");
    }
    for command in ["restore app@sha256:12ab", "explain app@sha256:12ab --policy policy.yaml --clusters clusters.yaml"]
    {
        let told = world.run(command);
        assert!(told.starts_with("2\n") && told.contains("is no image"), "{told}");
    }
    world.write("keep.txt", "app@sha256:12ab because=audit\n");
    let told = world.run(&format!("plan {evidence}"));
    assert!(told.starts_with("2\n") && told.contains("keep.txt:1:1: \"app@sha256:12ab\" is no image"), "{told}");
    world.write("policy.yaml", &POLICY.replace("[app]", "[\"app[12]\"]"));
    for command in [format!("plan {evidence}"), "verify --clusters clusters.yaml --repository app[12]".to_owned()] {
        let told = world.run(&command);
        assert!(told.starts_with("2\n") && told.contains("\"app[12]\" is no glob"), "{told}");
    }
    assert_eq!(world.ecr.store().seen().len(), 0, "nothing was asked");
    assert_eq!(world.cluster.seen().len(), 0);
}

#[test]
fn an_apply_tells_where_it_looked_for_the_lists_of_its_plan() {
    let world = World::new(&POLICY.replace("rules:", "pins: {keepLists: [keep.txt]}\nrules:"));
    world.write("keep.txt", "app:v3\n");
    world.plan();
    world.write("elsewhere/plan.json", &world.read("plan.json"));
    let asked = world.ecr.store().seen().len();
    assert_snapshot!(world.run("apply elsewhere/plan.json"), @"
    2
    error: the keep list or scan elsewhere/keep.txt of the plan's policy cannot be read beside the plan: No such file or directory (os error 2)
    try: give --policy FILE: its lists lie beside it; without it they are looked for beside the plan
    ");
    assert_eq!(world.ecr.store().seen().len(), asked, "nothing was asked");
    assert!(world.run("apply elsewhere/plan.json --policy policy.yaml").starts_with("0\n"));
    assert_eq!(world.tags(), ["v1", "v3", "v5"]);
}

#[test]
fn an_apply_without_a_state_records_what_it_saw_in_use_and_what_it_deleted() {
    let world = World::new(POLICY);
    world.plan();
    assert!(world.run("apply plan.json --state another").starts_with("0\n"));
    let state: Value = serde_json::from_str(&world.read("another/state.json")).unwrap();
    assert_eq!(state["uses"][0]["key"], "app:v1");
    assert_eq!(state["deleted"].as_array().unwrap().len(), 3);
}

#[test]
fn what_can_only_be_listed_is_read_too() {
    let world = World::new(POLICY);
    world.cluster.serve_verbs("build.example.org", "v1", ("Build", "builds"), &["list"]);
    world.cluster.put(
        "/apis/build.example.org/v1/namespaces/team/builds",
        json!({"apiVersion": "build.example.org/v1", "kind": "Build", "metadata": {"namespace": "team", "name": "b"},
            "spec": {"image": format!("{}/app:v3", World::id().host())}}),
    );
    world.plan();
    let kept = world.run("explain app:v3");
    assert!(kept.contains("prod/team/Build/b"), "{kept}");
}

#[test]
fn a_wide_answer_shortens_nothing() {
    let world = World::new(POLICY);
    {
        let mut store = world.ecr.store();
        let (id, age) = (World::id(), SignedDuration::from_hours(2000));
        store.push((&id, "app"), image("a").age(age));
        store.push((&id, "app"), index("I1").child("a", "linux/amd64").tag("multi").age(age));
    }
    world.plan();
    assert_snapshot!(world.run("explain app:multi -o wide"), @"
    0
    app:multi  sha256:d819bc172c258dc96f013ceb661a0b212ce96962aa2dd14188d25e9a9fb480bc  index, 95.4 MiB, pushed 2026-08-31 (83d), last pulled 2026-11-22
    type application/vnd.oci.image.index.v1+json, status ACTIVE, pushed 2026-08-31T02:00:00Z, born 2026-08-31T02:00:00Z, pulled 2026-11-22T10:00:00Z
    KEPT by 1 vote
    VOTE     BY                    PATH
    newest   policy/apps: 1 of 1
    keeps with it: child sha256:a72eef9f4d8ac214d81fc4a22c0f4a032843bd645734721341b71ceabd9b6fff
    without its place among the newest it may go from 2026-11-22 10:00
    ");
    assert_snapshot!(world.run("explain app:multi -o name"), @"
    0
    app@sha256:d819bc172c258dc96f013ceb661a0b212ce96962aa2dd14188d25e9a9fb480bc
    ");
    world.ecr.store().archive((&World::id(), "app"), "D2");
    assert_snapshot!(world.run("restore app:v2 --dry-run -o wide"), @"
    0
    REPOSITORY   DIGEST                                                                    TAGS   STATUS              SIZE       PUSHED                 ARCHIVED
    app          sha256:022d067b5a1be8a91c6acacdc58d9c73fd740b2ad919278013e59747b760962a   v2     would be restored   95.4 MiB   2026-08-16T10:00:00Z   2026-11-22T10:00:00Z
    ");
    assert_eq!(world.run("rbac -o wide"), world.run("rbac"));
}

#[test]
fn what_a_scan_of_another_tool_found_stays_and_a_scan_that_cannot_be_read_ends_the_command() {
    let world = World::new(&POLICY.replace("rules:", "providers: {ecrmScans: [scan.json]}\nrules:"));
    let told = world.run("plan --clusters clusters.yaml --policy policy.yaml");
    assert!(told.starts_with("2\n") && told.contains("cannot read scan.json"), "{told}");
    world.write("scan.json", "{}");
    let told = world.run("plan --clusters clusters.yaml --policy policy.yaml");
    assert!(told.starts_with("2\n") && told.contains("this is no scan"), "{told}");
    assert_eq!(world.ecr.store().seen().len(), 0, "nothing was asked");
    world.write("scan.json", &json!([format!("{}/app:v3", World::id().host())]).to_string());
    world.plan();
    let kept = world.run("explain app:v3");
    assert!(kept.contains("in-use") && kept.contains("scan.json"), "{kept}");
    assert!(world.run("apply plan.json").starts_with("0\n"));
    assert_eq!(world.tags(), ["v1", "v3", "v5"]);
}

#[test]
fn a_dry_run_prints_the_calls_and_makes_none() {
    let world = World::new(POLICY);
    world.plan();
    let client = world.told("apply plan.json --dry-run=client");
    assert!(client.starts_with("0\n") && client.contains("BatchDeleteImage"), "{client}");
    world.deploy("late", "v3");
    let server = world.told("apply plan.json --dry-run=server");
    let lines: Vec<&str> = server.lines().filter(|line| line.contains("BatchDeleteImage")).collect();
    assert!(lines.len() == 1 && lines[0].contains("v2@") && !lines[0].contains("v3@"), "{server}");
    assert!(server.contains("2 would go"), "{server}");
    assert!(world.ecr.store().journal().is_empty());
    let left: Vec<_> = std::fs::read_dir(world.folder.path()).unwrap().flatten().map(|file| file.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("journal")), "{left:?}");
}

#[test]
fn only_the_plan_that_was_approved_is_carried_out() {
    let world = World::new(POLICY);
    world.plan();
    let other = "0".repeat(64);
    let told = world.told(&format!("apply plan.json --sha256 {other}"));
    assert!(told.starts_with("5\n") && told.contains("PlanAltered"), "{told}");
    let told = world.told(&format!("apply plan.json --dry-run=client --sha256 {other}"));
    assert!(told.starts_with("5\n") && told.contains("PlanAltered"), "{told}");
    world.write("policy.yaml", &POLICY.replace("keepNewest: 1", "keepNewest: 2"));
    let told = world.told("apply plan.json --policy policy.yaml");
    assert!(told.starts_with("4\n") && told.contains("PolicyChanged"), "{told}");
    world.write("other.yaml", &world.read("clusters.yaml").replace("uid-prod", "uid-other"));
    let told = world.told("apply plan.json --clusters other.yaml");
    assert!(told.starts_with("4\n") && told.contains("cluster prod has another uid"), "{told}");
    assert_eq!(world.tags().len(), 5);
}

#[tokio::test]
async fn the_second_of_two_runs_is_told_who_the_first_is() {
    let world = World::new(POLICY);
    world.plan();
    let lock = world.folder.path().join(format!(".local/state/kubeguard/ecr-clean/aws/{ACCOUNT}/{REGION}/lock"));
    let first = FileLease::new(lock, "build-7", "the first", Timestamp::now);
    first.acquire(None).await.unwrap();
    let told = world.told("apply plan.json");
    assert!(told.starts_with("5\n") && told.contains("LeaseHeld") && told.contains("the first"), "{told}");
    assert_eq!(world.tags().len(), 5);
    first.release().await;
    assert!(world.told("apply plan.json").starts_with("0\n"));
}

#[test]
fn credentials_that_expire_stop_everything_and_the_rest_is_done_later() {
    let world = World::new(POLICY);
    world.plan();
    world.ecr.store().fail("BatchDeleteImage", Calls::Nth(1), Fault::Expired);
    let told = world.told("apply plan.json");
    assert!(told.starts_with("6\n") && told.contains("Credentials"), "{told}");
    assert_eq!(world.tags().len(), 5);
    let told = world.told("apply plan.json");
    assert!(told.starts_with("0\n") && told.contains("3 deleted"), "{told}");
}

#[test]
fn without_region_or_credentials_nothing_is_asked_of_anybody() {
    let world = World::new(POLICY);
    let mut command = world.command("plan --clusters clusters.yaml --policy policy.yaml");
    let told = text(command.env_remove("AWS_REGION"));
    assert!(told.starts_with("2\n") && told.contains("no AWS region is configured"), "{told}");
    let mut command = world.command("plan --clusters clusters.yaml --policy policy.yaml");
    let told = text(command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY"));
    assert!(told.starts_with("2\n") && told.contains("credentials"), "{told}");
}

#[test]
fn an_archived_index_is_taken_back_with_its_children() {
    let world = World::new(POLICY);
    {
        let mut store = world.ecr.store();
        let id = World::id();
        let age = SignedDuration::from_hours(2000);
        store.push((&id, "app"), image("a").age(age));
        store.push((&id, "app"), index("I1").child("a", "linux/amd64").tag("multi").age(age));
    }
    // What an archived index lists is only known when it was read before.
    world.plan();
    {
        let mut store = world.ecr.store();
        let id = World::id();
        for name in ["I1", "a", "D2"] {
            store.archive((&id, "app"), name);
        }
    }
    let told = world.run("restore app:v3 app:none");
    assert!(
        told.starts_with("1\n") && told.contains("app:v3 is active") && told.contains("app:none is not in"),
        "{told}"
    );
    let told = world.run("restore app:multi --dry-run");
    assert!(told.starts_with("0\n") && told.matches("would be restored").count() == 2, "{told}");
    assert!(world.ecr.store().journal().is_empty());
    let told = world.run("restore app:multi");
    assert!(told.starts_with("0\n") && told.matches("requested").count() == 2, "{told}");
    let told = world.run("restore app:multi --wait 1s");
    assert!(told.starts_with("1\n") && told.contains("being restored already"), "{told}");
    // What is in use is found by itself, and is waited for.
    world.deploy("late", "v2");
    let told = world.run("restore --in-use --clusters clusters.yaml --wait 1s");
    assert!(told.starts_with("3\n") && told.contains("waiting for 1 of 1"), "{told}");
}

#[test]
fn what_is_in_use_and_cannot_be_pulled_is_told_with_who_uses_it() {
    let world = World::new(POLICY);
    let fine = world.run("verify --clusters clusters.yaml");
    assert!(fine.starts_with("0\n"), "{fine}");
    world.deploy("late", "v9");
    world.deploy("old", "v2");
    world.ecr.store().archive((&World::id(), "app"), "D2");
    let told = world.run("verify --clusters clusters.yaml");
    assert_snapshot!(told, @"
    1
    SEVERITY   RULE    NAMESPACE   OBJECT                 CONTAINER   MESSAGE
    critical   EC101   team        deployment.apps/late   <none>      111122223333.dkr.ecr.us-east-1.amazonaws.com/app:v9 is named by prod/team/Deployment/late and is not in the registry
    critical   EC102   team        deployment.apps/old    <none>      app:v2 is used by prod/team/Deployment/old and is archived: it cannot be pulled
    2 findings: 2 critical · 3 objects, 9 rules
    ");
    let json = world.run("verify --clusters clusters.yaml -o json --fail-on never");
    let (code, json) = json.split_once('\n').unwrap();
    let report: Value = serde_json::from_str(json).unwrap();
    assert_eq!((code, &report["items"][0]["object"]["name"]), ("0", &json!("late")));
    assert!(world.ecr.store().journal().is_empty());
    // A cluster that does not answer uses what nobody knows.
    world.write("clusters.yaml", &world.read("clusters.yaml").replace("context: fake", "context: none"));
    let told = world.run("verify --clusters clusters.yaml");
    assert!(told.starts_with("5\n") && told.contains("InventoryMissing"), "{told}");
}

#[test]
fn rights_in_a_cluster_are_what_an_inventory_reads_there() {
    let world = World::new(POLICY);
    let told = world.run("rbac");
    assert!(told.starts_with("0\n") && told.contains("kind: ClusterRole\n"), "{told}");
    assert!(told.contains("resourceNames: [\"kube-system\"]") && !told.contains("CronJob"), "{told}");
    assert!(!told.contains("\"create\"") && !told.contains("- create"), "{told}");
    let job = world.run("rbac --image registry.example.org/kubeguard:1 --cluster prod -n audit -o name");
    let names: Vec<&str> = job.lines().collect();
    let expected = ["serviceaccount", "clusterrole", "clusterrolebinding", "cronjob"];
    assert_eq!(names[0], "0");
    assert_eq!(names[1..].iter().map(|name| name.split('/').next().unwrap()).collect::<Vec<_>>(), expected);
    let leased = format!("{POLICY}lease: {{context: fake, namespace: locks}}\n");
    world.write("policy.yaml", &leased);
    let told = world.run("rbac --policy policy.yaml");
    assert!(told.starts_with("2\n") && told.contains("does not say of which registry"), "{told}");
    world.write("policy.yaml", &format!("{leased}registry: {{account: \"{ACCOUNT}\", region: {REGION}}}\n"));
    let told = world.run("rbac --policy policy.yaml");
    assert!(told.starts_with("0\n") && told.contains("namespace: locks") && told.contains("leases"), "{told}");
}

#[test]
fn a_watched_inventory_is_written_anew_when_something_changes() {
    let world = World::new(POLICY);
    let mut command = world.command("inventory --cluster prod -q --watch=1s");
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let images = |wanted: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        loop {
            let text = std::fs::read_to_string(world.folder.path().join("inventories/prod.json")).unwrap_or_default();
            if text.contains(wanted) {
                return text;
            }
            assert!(std::time::Instant::now() < deadline, "{wanted} is not in {text}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    assert!(!images("app:v1").contains("app:v4"));
    world.deploy("late", "v4");
    images("app:v4");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_cluster_is_reached_with_the_flags_of_kubectl() {
    let world = World::new(POLICY);
    let mut command = world.command("inventory --cluster prod -q -o name --token fake --as-uid 7 --server");
    command.arg(world.cluster.url()).env_remove("KUBECONFIG");
    let told = text(&mut command);
    assert!(told.starts_with("0\n"), "{told}");
}
