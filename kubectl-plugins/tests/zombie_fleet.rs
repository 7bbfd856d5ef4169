//! `kubectl zombie-jobs sidecars` and `--watch`.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

mod zombies;

use insta::assert_snapshot;
use kubeguard_testkit::Fault;
use serde_json::{Value, json};
use zombies::{World, finish};

const SHIP: &str = "apiVersion: batch/v1
kind: CronJob
metadata: {name: ship, namespace: team}
spec:
  schedule: 0 * * * *
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - {name: app, image: 'app:1'}
          - {name: fluent-bit, image: 'fluent/fluent-bit:3'}
";

fn cron(name: &str, containers: &Value) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": "team"}, "spec": {
        "schedule": "0 * * * *",
        "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}}}})
}

fn fleet() -> World {
    let world = World::new();
    world.add("load");
    let crons = "/apis/batch/v1/namespaces/team/cronjobs";
    let app = json!({"name": "app", "image": "app:1"});
    world.cluster.put(crons, cron("ship", &json!([app, {"name": "fluent-bit", "image": "fluent/fluent-bit:3"}])));
    let sql = json!({"name": "cloud-sql-proxy", "image": "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2"});
    world.cluster.put(crons, cron("sql", &json!([app, sql])));
    let mut marked = cron("own", &json!([app, {"name": "agent", "image": "agent:1"}]));
    marked["metadata"]["annotations"] = json!({"kubeguard.dev/sidecar-containers": "agent"});
    world.cluster.put(crons, marked);
    world
}

#[test]
fn the_sidecars_of_the_fleet_are_listed_with_what_ends_them_and_what_can_migrate() {
    let world = fleet();
    assert_snapshot!(world.run("sidecars -A"), @r"
    0
    SIDECAR           JOBS   CRONJOBS   NATIVE   ENDS BY                      WILL HANG   CAN MIGRATE TODAY
    istio-proxy       1      0          0        /quitquitquit                1           1: annotation
    cloud-sql-proxy   0      1          0        /quitquitquit, not enabled   1           1: move to initContainers
    fluent-bit        0      1          0        SIGTERM only                 1           1: move to initContainers
    unknown (1)       0      1          0        <none>                       1           1: move to initContainers
    ");
    assert_snapshot!(world.run("sidecars -A -o wide"), @r"
    0
    SIDECAR           NAMESPACE   OBJECT               NATIVE   INJECTED   PROOF   ENDS BY                      WILL HANG   MIGRATION
    istio-proxy       team        job.batch/load       no       yes        exact   /quitquitquit                yes         annotation
    cloud-sql-proxy   team        cronjob.batch/sql    no       no         model   /quitquitquit, not enabled   yes         move to initContainers
    fluent-bit        team        cronjob.batch/ship   no       no         model   SIGTERM only                 yes         move to initContainers
    agent             team        cronjob.batch/own    no       no         exact   <none>                       yes         move to initContainers
    ");
    assert_eq!(
        world.run("sidecars -A -o name"),
        "0\ncronjob.batch/own\ncronjob.batch/ship\ncronjob.batch/sql\njob.batch/load\n"
    );
    let told = world.run("sidecars -A -o json");
    let found: Value = serde_json::from_str(told.strip_prefix("0\n").unwrap()).unwrap();
    assert_eq!((&found["kind"], &found["complete"]), (&json!("SidecarInventory"), &json!(true)));
    let ship = found["items"].as_array().unwrap().iter().find(|item| item["name"] == "fluent-bit").unwrap();
    assert_eq!(ship["workloads"][0]["object"]["kind"], "CronJob");
    assert!(
        ship["workloads"][0]["migration"]["command"]
            .as_str()
            .unwrap()
            .starts_with("kubectl patch cronjob ship -n team")
    );
    assert!(world.run("sidecars -A -o yaml").contains("kind: SidecarInventory"));
    world.is_untouched();
}

#[test]
fn what_cannot_be_read_is_named_and_a_file_is_as_good_as_a_cluster() {
    let world = fleet();
    world.cluster.fail("list", "/nodes", Fault::Status(403, "Forbidden"), None);
    let told = world.run("sidecars -A -o wide");
    assert!(told.starts_with("6\n") && told.contains("not read: cannot list nodes"), "{told}");
    assert!(told.contains("refused: the versions of the nodes are not known"), "{told}");
    world.write("ship.yaml", SHIP);
    let told = world.run("sidecars -f ship.yaml");
    assert!(told.starts_with("0\nSIDECAR") && told.contains("1: move to initContainers"), "{told}");
    let told = world.run("sidecars -f ship.yaml --kube-version 1.28");
    assert!(told.contains("<none>") && !told.contains("1: move"), "{told}");
    world.write("own.yaml", "- {id: mine, names: [app], class: helper}");
    let told = world.run("sidecars -f ship.yaml --sidecar-table own.yaml");
    assert!(told.starts_with("0\n"), "{told}");
    assert!(world.run("sidecars --print-rbac").contains("cronjobs"));
    let told = world.run("-A sidecars");
    assert!(told.starts_with("2\n") && told.contains("sidecars"), "{told}");
}

#[test]
fn a_watch_tells_what_is_new_and_what_has_ended() {
    let world = World::new();
    world.add("a");
    let mut running = world.start("--watch=100ms --select ZJ101 -q");
    assert!(running.line().starts_with("SEVERITY"));
    assert!(running.line().contains("job.batch/a"));
    assert!(running.line().starts_with("1 finding"));
    world.add("b");
    let line = running.line();
    assert!(line.starts_with("2026-11-22T10:00:00Z   new     high       ZJ101   team   job.batch/b   "), "{line}");
    finish(&world.cluster, "a", 0);
    let line = running.line();
    assert!(line.starts_with("2026-11-22T10:00:00Z   ended   high       ZJ101   team   job.batch/a   "), "{line}");
    // A look that fails is not the end, and ends nothing.
    world.cluster.fail("list", "/pods", Fault::Status(403, "Forbidden"), None);
    let line = running.line();
    assert!(line.starts_with("2026-11-22T10:00:00Z   not judged: ") && line.contains("cannot list pods"), "{line}");
    world.cluster.heal();
    let mut line = running.line();
    while line.contains("not judged") {
        line = running.line();
    }
    assert_eq!(line, "2026-11-22T10:00:00Z   everything can be judged again\n");
    // What was known before is not new; the next line is about what is.
    world.add("c");
    let line = running.line();
    assert!(line.contains("   new     ") && line.contains("job.batch/c"), "{line}");
}

#[test]
fn a_watch_in_json_gives_a_report_for_each_change() {
    let world = World::new();
    let mut running = world.start("--watch=100ms --select ZJ101 -q -o name");
    world.add("a");
    assert_eq!(running.line(), "job.batch/a\n");
    let mut running = world.start("--watch=100ms --select ZJ101 -q -o json");
    let mut report = || {
        let mut text = String::new();
        loop {
            let line = running.line();
            text += &line;
            if line.is_empty() || line == "}\n" {
                return serde_json::from_str::<Value>(&text).unwrap();
            }
        }
    };
    assert_eq!(report()["items"].as_array().unwrap().len(), 1);
    world.add("b");
    assert_eq!(report()["items"].as_array().unwrap().len(), 2);
}

#[test]
fn only_a_cluster_can_be_watched() {
    let world = World::new();
    world.write("ship.yaml", SHIP);
    assert!(world.run("--watch -f ship.yaml").starts_with("2\nerror: --watch looks at a cluster"));
    assert!(world.run("--watch -o html").contains("--watch answers as table, wide, json, yaml or name"));
    assert!(world.run("--watch --server http://127.0.0.1:1").starts_with("2\n"), "nobody is there");
}
