//! Inventories of real clusters: every kind that can name an image, refused kinds, several clusters of which one is down.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kubeguard_core::access::{Access, Cluster, Environment};
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::images::gather::{Reading, read};
use kubeguard_core::images::inventory::{ReadStatus, Scan};
use kubeguard_core::images::rights::{Every, Grant, Rights};
use kubeguard_core::images::{HostMap, Inventory, RegistryId};
use kubeguard_testkit::ControlPlane;
use serde_json::{Value, json};

use crate::custom_resources::{definition, until_served};

const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

async fn connect(kubeconfig: &Path, impersonate: Option<&str>) -> Cluster {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let access = Access {
        kubeconfig: Some(kubeconfig.to_owned()),
        impersonate: impersonate.map(ToOwned::to_owned),
        request_timeout: Some(Duration::from_secs(10)),
        ..Access::default()
    };
    access.connect(&Environment::default()).await.unwrap()
}

async fn inventory(kubeconfig: &Path, impersonate: Option<&str>) -> kubeguard_core::error::Result<Inventory> {
    let (scan, hosts) = (Scan::default(), HostMap::default());
    let reading = Reading { cluster: "test", scan: &scan, hosts: &hosts, tool: "kubeguard-tests" };
    read(&connect(kubeconfig, impersonate).await, reading, Timestamp::now, drop).await
}

fn template(name: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": format!("{HOST}/{name}:1")}]}})
}

fn workloads(namespace: &str) -> Vec<Value> {
    let meta = |name: &str| json!({"name": name, "namespace": namespace});
    let of = |api: &str, kind: &str, name: &str, mut spec: Value| {
        spec["selector"] = json!({"matchLabels": {"app": name}});
        spec["template"] = template(name);
        json!({"apiVersion": api, "kind": kind, "metadata": meta(name), "spec": spec})
    };
    let job = |name: &str| {
        let mut template = template(name);
        template["spec"]["restartPolicy"] = "Never".into();
        json!({"suspend": true, "template": template})
    };
    let mut pod = template("pod");
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"] = meta("pod");
    vec![
        of("apps/v1", "Deployment", "deployment", json!({"replicas": 0})),
        of("apps/v1", "ReplicaSet", "replicaset", json!({"replicas": 0})),
        of("apps/v1", "StatefulSet", "statefulset", json!({"replicas": 0, "serviceName": "none"})),
        of("apps/v1", "DaemonSet", "daemonset", json!({})),
        json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": meta("rc"),
            "spec": {"replicas": 0, "selector": {"app": "rc"}, "template": template("rc")}}),
        json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": meta("podtemplate"), "template": template("podtemplate")}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("job"), "spec": job("job")}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta("cronjob"),
            "spec": {"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"spec": job("cronjob")}}}),
        pod,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("configmap"), "data": {"run": format!("{HOST}/configmap:1")}}),
    ]
}

/// Returns the repositories that an inventory names in one namespace.
fn repositories(inventory: &Inventory, namespace: &str) -> BTreeSet<String> {
    let here = inventory.references.iter().filter(|reference| reference.namespace.as_deref() == Some(namespace));
    let ours =
        here.filter_map(|reference| reference.image.strip_prefix(HOST)?.strip_prefix('/')?.split([':', '@']).next());
    ours.map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_several_clusters_is_read_and_what_is_not_is_told() {
    let (shared, own) = (ControlPlane::shared(), ControlPlane::start());
    let namespace = shared.namespace("inventory");
    let groups = ["alpha.inventory.example", "beta.inventory.example", "gamma.inventory.example"];
    let mut objects = workloads(&namespace);
    for group in groups {
        shared.apply(&definition(group, "Widget", true).to_string());
        until_served(group);
        let name = group.split('.').next().unwrap();
        objects.push(json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "main", "namespace": namespace},
            "spec": {"deep": {"sidecarImage": format!("{HOST}/{name}:1")}}}));
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    shared.pipe(&["create", "-f", "-"], &list);
    own.run(&["create", "namespace", "team"]);
    own.pipe(
        &["create", "-f", "-"],
        &json!({"apiVersion": "v1", "kind": "List", "items": workloads("team")}).to_string(),
    );

    // Both at once.
    let (one, other) = tokio::join!(inventory(shared.kubeconfig(), None), inventory(own.kubeconfig(), None));
    let (one, other) = (one.unwrap(), other.unwrap());
    let built_in = [
        "configmap",
        "cronjob",
        "daemonset",
        "deployment",
        "job",
        "pod",
        "podtemplate",
        "rc",
        "replicaset",
        "statefulset",
    ];
    let mut expected: BTreeSet<String> = built_in.into_iter().map(ToOwned::to_owned).collect();
    assert_eq!(repositories(&other, "team"), expected);
    expected.extend(["alpha", "beta", "gamma"].map(ToOwned::to_owned));
    assert_eq!(repositories(&one, &namespace), expected);
    assert!(other.complete, "{:?}", other.kinds);
    assert_ne!(one.uid, other.uid);
    assert!(other.server.as_deref().is_some_and(|version| version.starts_with("v1.")), "{:?}", other.server);

    // Refused is not empty.
    let role = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "all-but-cronjobs"}, "rules": [
            {"apiGroups": ["", "apps", "admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["get", "list"]},
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "all-but-cronjobs"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "all-but-cronjobs"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "half-blind"}]},
    ]});
    own.pipe(&["create", "-f", "-"], &role.to_string());
    let start = std::time::Instant::now();
    while !own.kubectl(&["auth", "can-i", "list", "jobs.batch", "-A", "--as=half-blind"]).status.success() {
        assert!(start.elapsed() < Duration::from_secs(20), "the role is not known to the authorizer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let partly = inventory(own.kubeconfig(), Some("half-blind")).await.unwrap();
    let unread: Vec<(&str, ReadStatus)> = partly
        .kinds
        .iter()
        .filter(|kind| kind.status != ReadStatus::Ok)
        .map(|kind| (kind.resource.as_str(), kind.status))
        .collect();
    assert_eq!((partly.complete, unread), (false, vec![("cronjobs", ReadStatus::Denied)]));

    // One that is down is an error of its own and no obstacle for the other.
    own.stop_apiserver();
    let (one, other) = tokio::join!(inventory(shared.kubeconfig(), None), inventory(own.kubeconfig(), None));
    assert_eq!(repositories(&one.unwrap(), &namespace), expected);
    let error = other.unwrap_err();
    assert!(error.to_string().contains("identifies the cluster"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_accepts_the_rights_and_with_exactly_them_an_inventory_is_complete() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("rights");
    let cluster = connect(plane.kubeconfig(), None).await;
    let rights = Rights::of(&Discovery::of(&cluster).await.unwrap(), &Scan::default());
    let grant = Grant {
        name: namespace.clone(),
        namespace: namespace.clone(),
        lease: Some((namespace.clone(), RegistryId::new("111122223333", "eu-west-1"))),
        every: Some(Every {
            image: "registry.example.org/kubeguard:1".to_owned(),
            schedule: "0 * * * *".to_owned(),
            cluster: "test".to_owned(),
            claim: "inventories".to_owned(),
        }),
    };
    let yaml = rights.yaml(&grant);
    plane.pipe(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &yaml);
    let blind = format!("system:serviceaccount:{namespace}:{namespace}");
    assert!(inventory(plane.kubeconfig(), Some(&blind)).await.is_err(), "nothing was created yet");

    plane.pipe(&["apply", "--server-side", "-f", "-"], &yaml);
    let start = std::time::Instant::now();
    let told = loop {
        match inventory(plane.kubeconfig(), Some(&blind)).await {
            Ok(told) if told.complete => break told,
            other => assert!(start.elapsed() < Duration::from_secs(20), "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let unread: Vec<&str> =
        told.kinds.iter().filter(|kind| kind.status != ReadStatus::Ok).map(|kind| kind.resource.as_str()).collect();
    assert_eq!(unread, [""; 0], "secrets and nodes too");
    let can = |account: &str, verb: &str, what: &str| {
        let account = format!("--as=system:serviceaccount:{namespace}:{account}");
        plane.kubectl(&["auth", "can-i", verb, what, "-n", &namespace, &account]).status.success()
    };
    let apply = format!("{namespace}-apply");
    let lease = "leases.coordination.k8s.io/kubeguard-ecr-clean-111122223333-eu-west-1";
    assert!(can(&apply, "update", lease) && can(&apply, "create", "leases.coordination.k8s.io"));
    for (account, verb, what) in [
        (namespace.as_str(), "update", lease),
        (namespace.as_str(), "get", "pods"),
        (namespace.as_str(), "delete", "pods"),
        (apply.as_str(), "update", "leases.coordination.k8s.io/other"),
        (apply.as_str(), "delete", lease),
    ] {
        assert!(!can(account, verb, what), "{account} may {verb} {what}");
    }
}
