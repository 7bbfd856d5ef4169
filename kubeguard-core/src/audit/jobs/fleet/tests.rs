#![expect(clippy::needless_pass_by_value, reason = "json! makes values where they are used")]

use serde_json::{Value, json};

use super::*;
use crate::audit::facts::{Builder, Gap, Origin};

const NOW: &str = "2026-11-22T10:00:00Z";

fn inventory_of(objects: Vec<Value>, origin: Origin, change: impl FnOnce(&mut Builder)) -> Inventory {
    let mut builder = Builder::new(origin);
    builder.version(Some((1, 34)));
    for object in objects {
        builder.add(object);
    }
    change(&mut builder);
    inventory(&builder.finish(), &Policy::default(), NOW.parse().unwrap())
}

fn live(objects: Vec<Value>) -> Inventory {
    inventory_of(objects, Origin::Live, |_| {})
}

fn node(version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": version}, "status": {"nodeInfo": {"kubeletVersion": version}}})
}

fn spec(containers: Value) -> Value {
    json!({"restartPolicy": "Never", "containers": containers})
}

/// A CronJob of this template, and its job, which has not finished.
fn cron(name: &str, spec: &Value) -> Vec<Value> {
    let owner = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": format!("c-{name}"), "controller": true}]);
    vec![
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": "t", "uid": format!("c-{name}")},
            "spec": {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": format!("{name}-1"), "namespace": "t",
            "uid": format!("j-{name}"), "ownerReferences": owner}, "spec": {"template": {"spec": spec}}}),
    ]
}

/// A pod of that job with what a webhook added.
fn pod(name: &str, spec: &Value, annotations: Value) -> Value {
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": format!("{name}-1"), "uid": format!("j-{name}"), "controller": true}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("{name}-1-x"), "namespace": "t", "uid": format!("p-{name}"),
        "ownerReferences": owner, "annotations": annotations}, "spec": spec})
}

fn row<'a>(found: &'a Inventory, name: &str) -> &'a Row {
    found.items.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name} in {found:?}"))
}

fn counts(row: &Row) -> (u64, u64, u64, u64) {
    (row.jobs, row.cron_jobs, row.native, row.will_hang)
}

fn only(map: &BTreeMap<String, u64>) -> String {
    map.iter().map(|(key, count)| format!("{count}: {key}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_sidecar_of_a_template_is_moved_to_the_init_containers() {
    let shipper = spec(json!([{"name": "app", "image": "a"}, {"name": "fluent-bit", "image": "fluent/fluent-bit:3"}]));
    let mut objects = cron("ship", &shipper);
    objects.push(node("v1.34.1"));
    let found = live(objects);
    let row = row(&found, "fluent-bit");
    assert_eq!(counts(row), (1, 1, 0, 1));
    assert_eq!(
        (only(&row.ends_by), only(&row.can_migrate)),
        ("1: SIGTERM only".to_owned(), "1: move to initContainers".to_owned())
    );
    let of_cron = row.workloads.iter().find(|workload| workload.object.kind == "CronJob").unwrap();
    let command = of_cron.migration.as_ref().unwrap().command.clone().unwrap();
    assert!(command.starts_with("kubectl patch cronjob ship -n t --type=json -p '[{\"op\":\"test\""), "{command}");
    let patch = &of_cron.migration.as_ref().unwrap().patch;
    assert_eq!(patch[2]["from"], "/spec/jobTemplate/spec/template/spec/containers/1");
}

#[test]
fn versions_that_are_too_old_or_not_known_refuse_the_move() {
    let shipper = spec(json!([{"name": "app", "image": "a"}, {"name": "fluent-bit", "image": "fluent/fluent-bit:3"}]));
    let why = |nodes: Vec<Value>| {
        let found = live(cron("ship", &shipper).into_iter().chain(nodes).collect());
        assert!(row(&found, "fluent-bit").can_migrate.is_empty());
        only(&row(&found, "fluent-bit").refused)
    };
    assert_eq!(why(Vec::new()), "1: the versions of the nodes are not known");
    assert_eq!(why(vec![node("v1.34.0"), node("v1.28.9")]), "1: node v1.28.9 is older than 1.29");
    // Files are judged for one version.
    let files = inventory_of(cron("ship", &shipper), Origin::Manifests, |builder| builder.version(None));
    assert_eq!(only(&row(&files, "fluent-bit").can_migrate), "1: move to initContainers");
}

#[test]
fn a_main_that_asks_it_to_quit_ends_it_and_must_be_changed_first() {
    let asks = json!({"name": "app", "image": "a", "command": ["sh", "-c", "app; x=$?; curl -X POST localhost:9091/quitquitquit; exit $x"]});
    let proxy = json!({"name": "cloud-sql-proxy", "image": "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2", "args": ["--quitquitquit"]});
    let mut objects = cron("sql", &spec(json!([asks, proxy])));
    objects.push(node("v1.34.1"));
    let found = live(objects);
    let row = row(&found, "cloud-sql-proxy");
    assert_eq!((counts(row), only(&row.ends_by)), ((1, 1, 0, 0), "1: /quitquitquit, asked by app".to_owned()));
    assert!(only(&row.refused).contains("take that out first"), "{:?}", row.refused);
}

#[test]
fn an_injected_sidecar_is_changed_by_its_injector_also_when_its_job_has_finished() {
    let plain = spec(json!([{"name": "app", "image": "a"}]));
    let with = spec(json!([{"name": "app", "image": "a"}, {"name": "vault-agent", "image": "hashicorp/vault:1"}]));
    let mut objects = cron("secret", &plain);
    objects[1]["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    objects.push(pod("secret", &with, json!({"vault.hashicorp.com/agent-inject-status": "injected"})));
    let found = live(objects);
    let row = row(&found, "vault-agent");
    // The job has finished; the next run will hang.
    assert_eq!((counts(row), only(&row.ends_by)), ((1, 1, 0, 1), "1: agent-pre-populate-only".to_owned()));
    assert_eq!(only(&row.can_migrate), "1: annotation");
    assert!(row.workloads.iter().all(|workload| workload.injected));
}

#[test]
fn native_ones_self_ending_ones_and_deadlines_do_not_hang() {
    let native = json!({"restartPolicy": "Never", "containers": [{"name": "app", "image": "a"}],
        "initContainers": [{"name": "istio-proxy", "image": "istio/proxyv2:1.27", "restartPolicy": "Always"}]});
    let found = live(cron("mesh", &native));
    assert_eq!(counts(row(&found, "istio-proxy")), (1, 1, 1, 0));
    assert_eq!(only(&row(&found, "istio-proxy").ends_by), "1: pod end");
    let kuma =
        spec(json!([{"name": "app", "image": "a"}, {"name": "kuma-sidecar", "image": "docker.io/kumahq/kuma-dp:2"}]));
    assert_eq!(counts(row(&live(cron("kuma", &kuma)), "kuma-sidecar")), (1, 1, 0, 0));
    let shipper = spec(json!([{"name": "app", "image": "a"}, {"name": "vector", "image": "timberio/vector:1"}]));
    let mut bounded = cron("ship", &shipper);
    bounded[0]["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] = 600.into();
    bounded[1]["spec"]["activeDeadlineSeconds"] = 600.into();
    assert_eq!(counts(row(&live(bounded), "vector")), (1, 1, 0, 0));
}

#[test]
fn what_only_looks_like_a_sidecar_is_not_listed_and_what_is_marked_is() {
    let shaped =
        spec(json!([{"name": "app", "image": "a"}, {"name": "web", "image": "b", "ports": [{"containerPort": 80}]}]));
    assert!(live(cron("shape", &shaped)).items.is_empty());
    let mut marked = cron("mark", &shaped);
    for object in &mut marked {
        object["metadata"]["annotations"] = json!({"kubeguard.dev/sidecar-containers": "web"});
    }
    marked.push(node("v1.34.1"));
    let found = live(marked);
    assert_eq!(
        (row(&found, "web").id.clone(), only(&row(&found, "web").can_migrate)),
        (None, "1: move to initContainers".to_owned())
    );
    assert!(row(&found, "web").ends_by.is_empty());
}

#[test]
fn what_cannot_be_read_is_named() {
    let found = inventory_of(Vec::new(), Origin::Live, |builder| {
        builder.gap(Gap { fact: Fact::Pod, namespace: None, reason: "cannot list pods: Forbidden".to_owned() });
    });
    assert_eq!((found.complete, found.skipped), (false, vec!["cannot list pods: Forbidden".to_owned()]));
}

#[test]
fn a_job_that_something_else_makes_is_changed_there() {
    let shipper = spec(json!([{"name": "app", "image": "a"}, {"name": "vector", "image": "timberio/vector:1"}]));
    let mut objects = cron("ship", &shipper);
    objects.remove(0);
    objects[0]["metadata"]["ownerReferences"] = json!([{"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "name": "set", "uid": "s", "controller": true}]);
    objects.push(node("v1.34.1"));
    assert_eq!(only(&row(&live(objects), "vector").refused), "1: JobSet set makes it: change that");
}
