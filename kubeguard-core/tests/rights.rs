//! Rights that an inventory needs: exactly what is read, from what a server serves.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::time::Duration;

use kubeguard_core::access::{Access, Environment};
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::images::RegistryId;
use kubeguard_core::images::inventory::{Demand, Scan, Secrets, Switch};
use kubeguard_core::images::rights::{Every, Grant, Rights};
use kubeguard_testkit::FakeCluster;
use serde_json::{Value, json};

async fn rights(scan: &Scan) -> Rights {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let fake = FakeCluster::start();
    for (group, kind, plural) in [
        ("", "Pod", "pods"),
        ("", "Node", "nodes"),
        ("", "ConfigMap", "configmaps"),
        ("", "Secret", "secrets"),
        ("", "Event", "events"),
        ("", "Service", "services"),
        ("apps", "Deployment", "deployments"),
        ("batch", "Job", "jobs"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        ("networking.k8s.io", "Ingress", "ingresses"),
        ("metrics.k8s.io", "PodMetrics", "pods"),
        ("example.org", "Thing", "things"),
        ("example.org", "Other", "others"),
    ] {
        fake.serve(group, "v1", kind, plural);
    }
    let access = Access {
        server: Some(fake.url().to_owned()),
        request_timeout: Some(Duration::from_secs(5)),
        ..Access::default()
    };
    let cluster = access.connect(&Environment::default()).await.unwrap();
    Rights::of(&Discovery::of(&cluster).await.unwrap(), scan)
}

fn grant() -> Grant {
    Grant { name: "reader".to_owned(), namespace: "kubeguard".to_owned(), lease: None, every: None }
}

/// Returns what may be listed, as `group/resources`.
fn listed(rights: &Rights) -> Vec<String> {
    let role = rights.manifests(&grant()).into_iter().find(|manifest| manifest["kind"] == "ClusterRole").unwrap();
    let rules = role["rules"].as_array().unwrap().clone();
    let (identity, rules) = rules.split_first().unwrap();
    assert_eq!(
        *identity,
        json!({"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]})
    );
    let line = |rule: &Value| {
        assert_eq!(rule["verbs"], json!(["list"]), "nothing is written");
        let resources = rule["resources"].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
        format!("{}/{}", rule["apiGroups"][0].as_str().unwrap(), resources.collect::<Vec<_>>().join(","))
    };
    rules.iter().map(line).collect()
}

#[tokio::test]
async fn what_is_read_may_be_listed_and_nothing_else() {
    let required = "/configmaps,namespaces,nodes,pods,podtemplates,replicationcontrollers";
    let apps = "apps/controllerrevisions,daemonsets,deployments,replicasets,statefulsets";
    let webhooks = "admissionregistration.k8s.io/mutatingwebhookconfigurations";
    assert_eq!(
        listed(&rights(&Scan::default()).await),
        [required, webhooks, apps, "batch/cronjobs,jobs", "example.org/others,things", "/secrets"]
    );
    let less = Scan {
        custom_resources: Demand::Off,
        config_maps: Demand::Off,
        secrets: Secrets::Off,
        skip_kinds: vec!["nodes".to_owned()],
        ..Scan::default()
    };
    let core = "/namespaces,pods,podtemplates,replicationcontrollers";
    assert_eq!(listed(&rights(&less).await), [core, webhooks, apps, "batch/cronjobs,jobs"]);
    let more = Scan { events: Switch::On, ..Scan::default() };
    assert!(listed(&rights(&more).await)[0].starts_with("/configmaps,events,"));
}

#[tokio::test]
async fn only_who_applies_may_write_and_only_its_own_lease() {
    let lease = Some(("ops".to_owned(), RegistryId::new("111122223333", "eu-west-1")));
    let every = Some(Every {
        image: "registry.example.org/kubeguard:1".to_owned(),
        schedule: "0 * * * *".to_owned(),
        cluster: "edge".to_owned(),
        claim: "inventories".to_owned(),
    });
    let manifests = rights(&Scan::default()).await.manifests(&Grant { lease, every, ..grant() });
    let names: Vec<String> = manifests
        .iter()
        .map(|manifest| {
            format!("{} {}", manifest["kind"].as_str().unwrap(), manifest["metadata"]["name"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        names,
        [
            "ServiceAccount reader",
            "ServiceAccount reader-apply",
            "ClusterRole reader",
            "ClusterRoleBinding reader",
            "Role reader-apply",
            "RoleBinding reader-apply",
            "CronJob reader"
        ]
    );
    assert_eq!(
        manifests[4]["rules"],
        json!([
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"],
                "resourceNames": ["kubeguard-ecr-clean-111122223333-eu-west-1"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        ])
    );
    assert_eq!(manifests[4]["metadata"]["namespace"], "ops");
    let apply = json!([{"kind": "ServiceAccount", "name": "reader-apply", "namespace": "kubeguard"}]);
    assert_eq!(manifests[5]["subjects"], apply);
    let job = &manifests[6]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(
        (&job["serviceAccountName"], &job["containers"][0]["image"]),
        (&"reader".into(), &"registry.example.org/kubeguard:1".into())
    );
}

#[tokio::test]
async fn the_yaml_is_the_manifests_with_a_word_on_secrets() {
    let rights = rights(&Scan::default()).await;
    let lease = Some(("ops".to_owned(), RegistryId::new("111122223333", "eu-west-1")));
    let grant = Grant { lease, ..grant() };
    let text = rights.yaml(&grant);
    let read = kubeguard_core::gather::manifests::parse("rights.yaml", text.as_bytes()).unwrap();
    let read: Vec<Value> = read.into_iter().map(|manifest| manifest.object).collect();
    assert_eq!(read, rights.manifests(&grant));
    assert!(text.contains("RBAC cannot narrow a list by label or type"), "{text}");
}
