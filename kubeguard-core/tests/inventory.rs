//! Reading a cluster into an inventory, on a server that does on demand what servers do.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::time::Duration;

use jiff::Timestamp;
use kubeguard_core::access::{Access, Cluster, Environment};
use kubeguard_core::error::Result;
use kubeguard_core::images::gather::{Reading, Step, read};
use kubeguard_core::images::inventory::{Need, ReadStatus, Scan, Secrets};
use kubeguard_core::images::{HostMap, Inventory, Use};
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
const PODS: &str = "/api/v1/namespaces/team/pods";

fn fake() -> FakeCluster {
    let fake = FakeCluster::start();
    fake.put(
        "/api/v1/namespaces",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "cluster-1"}}),
    );
    for (group, kind, plural) in [
        ("", "Pod", "pods"),
        ("", "Namespace", "namespaces"),
        ("", "ConfigMap", "configmaps"),
        ("", "Secret", "secrets"),
        ("", "ReplicationController", "replicationcontrollers"),
        ("", "PodTemplate", "podtemplates"),
        ("apps", "Deployment", "deployments"),
        ("apps", "ReplicaSet", "replicasets"),
        ("apps", "StatefulSet", "statefulsets"),
        ("apps", "DaemonSet", "daemonsets"),
        ("apps", "ControllerRevision", "controllerrevisions"),
        ("batch", "Job", "jobs"),
        ("batch", "CronJob", "cronjobs"),
        ("networking.k8s.io", "Ingress", "ingresses"),
        ("metrics.k8s.io", "PodMetrics", "pods"),
        ("example.org", "Thing", "things"),
    ] {
        fake.serve(group, "v1", kind, plural);
    }
    fake
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "team"},
        "spec": {"containers": [{"name": "app", "image": format!("{HOST}/{name}:1")}]}})
}

async fn cluster(fake: &FakeCluster) -> Cluster {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let access = Access {
        server: Some(fake.url().to_owned()),
        request_timeout: Some(Duration::from_secs(5)),
        ..Access::default()
    };
    access.connect(&Environment::default()).await.unwrap()
}

async fn inventory_with(fake: &FakeCluster, scan: &Scan) -> Result<Inventory> {
    let hosts = HostMap::default();
    let reading = Reading { cluster: "prod", scan, hosts: &hosts, tool: "kubeguard" };
    let mut steps = Vec::new();
    let inventory = read(&cluster(fake).await, reading, Timestamp::now, |step| steps.push(step)).await;
    if let (Ok(inventory), Some(Step::Kinds(kinds))) = (&inventory, steps.first()) {
        assert_eq!((inventory.kinds.len(), steps.len()), (*kinds, kinds + 1), "every kind is told once");
    }
    inventory
}

async fn inventory(fake: &FakeCluster) -> Inventory {
    inventory_with(fake, &Scan::default()).await.unwrap()
}

fn status(inventory: &Inventory, resource: &str) -> ReadStatus {
    inventory.kinds.iter().find(|kind| kind.resource == resource).unwrap().status
}

#[tokio::test]
async fn a_cluster_is_read_kind_by_kind_and_the_file_says_what_was_read() {
    let fake = fake();
    fake.date("Sun, 22 Nov 2026 10:00:00 GMT");
    fake.put(PODS, pod("web"));
    fake.put(
        "/apis/example.org/v1/namespaces/team/things",
        json!({"metadata": {"name": "t", "namespace": "team"}, "spec": {"image": format!("{HOST}/thing:1")}}),
    );
    fake.put(
        "/api/v1/namespaces/team/configmaps",
        json!({"metadata": {"name": "m", "namespace": "team"}, "data": {"run": format!("{HOST}/text:1")}}),
    );
    let inventory = inventory(&fake).await;
    assert!(inventory.complete);
    assert_eq!((inventory.uid.as_deref(), inventory.cluster.as_str()), (Some("cluster-1"), "prod"));
    assert_eq!(inventory.started_at.to_string(), "2026-11-22T10:00:00Z");
    let found: Vec<(Use, &str)> =
        inventory.references.iter().map(|r| (r.r#use, r.image.rsplit('/').next().unwrap())).collect();
    assert_eq!(found, [(Use::Text, "text:1"), (Use::Pod, "web:1"), (Use::Custom, "thing:1")]);
    let things = inventory.kinds.iter().find(|kind| kind.resource == "things").unwrap();
    assert_eq!(
        (things.api_version.as_str(), things.need, things.objects, things.references),
        ("example.org/v1", Need::Served, Some(1), Some(1))
    );
    let asked: Vec<String> = fake.seen().into_iter().map(|seen| seen.path).collect();
    assert!(!asked.iter().any(|path| path.contains("ingresses") || path.contains("metrics.k8s.io/")), "{asked:?}");
    assert!(
        asked.iter().position(|path| path == "/api/v1/pods")
            < asked.iter().position(|path| path.ends_with("/deployments"))
    );
}

#[tokio::test]
async fn a_refused_kind_is_denied_and_never_empty() {
    let fake = fake();
    fake.put(PODS, pod("web"));
    fake.fail("list", "/apis/batch/v1/cronjobs", Fault::Status(403, "Forbidden"), None);
    let denied = inventory(&fake).await;
    assert_eq!((denied.complete, status(&denied, "cronjobs")), (false, ReadStatus::Denied));
    let message = denied.kinds.iter().find(|kind| kind.resource == "cronjobs").unwrap().message.as_deref();
    assert!(message.is_some_and(|message| message.contains("is refused")), "{message:?}");
    assert_eq!(denied.references.len(), 1, "the rest is read");

    fake.heal();
    fake.fail("list", "/apis/example.org/v1/things", Fault::Status(403, "Forbidden"), None);
    assert!(!inventory(&fake).await.complete, "a served custom resource decides too");
    let optional = Scan { custom_resources: kubeguard_core::images::inventory::Demand::Optional, ..Scan::default() };
    assert!(inventory_with(&fake, &optional).await.unwrap().complete, "unless the policy says otherwise");

    fake.heal();
    fake.fail("list", "/api/v1/secrets", Fault::Status(403, "Forbidden"), None);
    assert!(inventory(&fake).await.complete, "Helm's history is read where that is allowed");
}

#[tokio::test]
async fn a_list_that_breaks_off_begins_anew_and_is_counted_once() {
    let fake = fake();
    fake.page_size(1);
    for name in ["one", "two", "three"] {
        fake.put(PODS, pod(name));
    }
    fake.fail("list", "/pods?limit=500&continue", Fault::Status(410, "Expired"), Some(1));
    let whole = inventory(&fake).await;
    let pods = whole.kinds.iter().find(|kind| kind.resource == "pods").unwrap();
    assert_eq!((pods.objects, pods.pages, pods.status), (Some(3), Some(3), ReadStatus::Ok));
    assert_eq!(whole.references.len(), 3);

    fake.fail("list", "/pods?limit=500&continue", Fault::Status(410, "Expired"), None);
    let broken = inventory(&fake).await;
    assert_eq!((broken.complete, status(&broken, "pods")), (false, ReadStatus::Failed));
}

#[tokio::test]
async fn errors_that_pass_are_waited_out_and_those_that_stay_are_failures() {
    let fake = fake();
    fake.put(PODS, pod("web"));
    fake.fail("list", "/api/v1/pods", Fault::Status(500, "InternalError"), Some(1));
    fake.fail("list", "/apis/apps/v1/deployments", Fault::Reset, Some(1));
    assert!(inventory(&fake).await.complete);
    fake.fail("list", "/api/v1/configmaps", Fault::Garbage, None);
    let broken = inventory(&fake).await;
    assert_eq!((broken.complete, status(&broken, "configmaps")), (false, ReadStatus::Failed));
}

#[tokio::test]
async fn a_cluster_without_a_name_is_no_cluster() {
    let fake = fake();
    fake.fail("get", "/api/v1/namespaces/kube-system", Fault::Status(403, "Forbidden"), None);
    let error = inventory_with(&fake, &Scan::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read namespace kube-system, which identifies the cluster");
}

#[tokio::test]
async fn what_the_policy_leaves_out_is_named() {
    let fake = fake();
    fake.put(
        "/apis/example.org/v1/namespaces/team/things",
        json!({"metadata": {"name": "t", "namespace": "team"}, "spec": {"image": "thing:1"}}),
    );
    let scan = Scan { skip_kinds: vec!["*.example.org".to_owned()], secrets: Secrets::Off, ..Scan::default() };
    let inventory = inventory_with(&fake, &scan).await.unwrap();
    assert!(inventory.complete && inventory.references.is_empty());
    assert_eq!(inventory.coverage.kinds_skipped, ["secrets", "things.example.org"]);
    // Helm's releases alone are asked for, unless all Secrets are.
    inventory_with(&fake, &Scan::default()).await.unwrap();
    let asked = fake.seen().into_iter().filter(|seen| seen.path.ends_with("/secrets"));
    assert!(asked.clone().count() == 1 && asked.clone().all(|seen| seen.query.contains("labelSelector=owner%3Dhelm")));
}

fn node(name: &str, architecture: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": architecture}}})
}

#[tokio::test]
async fn nodes_are_read_in_pages_and_tell_what_an_image_must_run_on() {
    let fake = fake();
    fake.serve("", "v1", "Node", "nodes");
    fake.put(PODS, pod("web"));
    for (name, architecture) in [("n1", "amd64"), ("n2", "arm64"), ("n3", "arm64")] {
        fake.put("/api/v1/nodes", node(name, architecture));
    }
    fake.page_size(2);
    let told = inventory(&fake).await;
    let counted: Vec<_> = told.platforms.iter().map(|platform| (platform.platform.as_str(), platform.nodes)).collect();
    assert_eq!(counted, [("linux/amd64", 1), ("linux/arm64", 2)]);
    assert_eq!(told.references[0].platforms, ["linux/amd64", "linux/arm64"]);
    let nodes = told.kinds.iter().find(|kind| kind.resource == "nodes").unwrap();
    assert_eq!(
        (nodes.need, nodes.status, nodes.objects, nodes.pages),
        (Need::Optional, ReadStatus::Ok, Some(3), Some(2))
    );
}

#[tokio::test]
async fn nodes_that_may_not_be_read_leave_the_platforms_unknown_and_the_inventory_complete() {
    let fake = fake();
    fake.serve("", "v1", "Node", "nodes");
    fake.put(PODS, pod("web"));
    fake.put("/api/v1/nodes", node("n1", "amd64"));
    fake.fail("list", "/api/v1/nodes", Fault::Status(403, "Forbidden"), None);
    let told = inventory(&fake).await;
    assert_eq!((told.complete, status(&told, "nodes")), (true, ReadStatus::Denied));
    assert!(told.platforms.is_empty() && told.references[0].platforms.is_empty());
}
