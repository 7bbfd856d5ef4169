//! Causes that only real controllers, a real scheduler and real admission show.

use jiff::Timestamp;
use kubeguard_testkit::{Behaviour, ControlPlane};
use serde_json::{Value, json};

use crate::plugin::{deployment, wait_deploy, workload};

const IMAGE: &str = "registry.example.org/shop/web:1";

#[test]
fn a_missing_secret_is_named() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("secret");
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::ConfigError("secret \"login\" not found")));
    let args = ["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s", "--fail-on", "MissingReference"];
    let item = wait_deploy(&args).item();
    assert_eq!(
        (item["verdict"].as_str(), item["reason"].as_str()),
        (Some("failed"), Some("MissingReference")),
        "{item}"
    );
    assert!(item["remedy"].as_str().is_some_and(|remedy| remedy.contains("Secret login")), "{item}");
}

#[test]
fn a_missing_service_account_is_named() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("account");
    let mut web = workload("Deployment", &namespace, "web", 1, IMAGE, &Behaviour::Ready(0));
    web["spec"]["template"]["spec"]["serviceAccountName"] = "robot".into();
    plane.apply(&web.to_string());
    let args = ["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s", "--fail-on", "MissingReference"];
    let item = wait_deploy(&args).item();
    assert_eq!(
        (item["verdict"].as_str(), item["reason"].as_str()),
        (Some("failed"), Some("MissingReference")),
        "{item}"
    );
    assert!(item["remedy"].as_str().is_some_and(|remedy| remedy.contains("ServiceAccount robot")), "{item}");
}

#[test]
fn a_webhook_that_cannot_be_called_is_named() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("webhook");
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [{
            "name": "pods.policy.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://127.0.0.1:1/pods"}, "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    });
    plane.apply(&webhook.to_string());
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::Ready(0)));
    let args = ["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s", "--fail-on", "WebhookUnavailable"];
    let item = wait_deploy(&args).item();
    plane.run(&["delete", "validatingwebhookconfiguration", &namespace]);
    assert_eq!(
        (item["verdict"].as_str(), item["reason"].as_str()),
        (Some("failed"), Some("WebhookUnavailable")),
        "{item}"
    );
    assert!(item["remedy"].as_str().is_some_and(|remedy| remedy.contains("pods.policy.example.org")), "{item}");
}

#[test]
fn a_policy_that_refuses_pods_is_told_with_its_message() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("policy");
    plane.run(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    plane.apply(&deployment(&namespace, "web", 1, IMAGE, &Behaviour::Ready(0)));
    let args = ["deploy/web", "-n", &namespace, "-o", "json", "--timeout", "60s", "--fail-on", "AdmissionDenied"];
    let item = wait_deploy(&args).item();
    assert_eq!(
        (item["verdict"].as_str(), item["reason"].as_str()),
        (Some("failed"), Some("AdmissionDenied")),
        "{item}"
    );
    assert!(item["message"].as_str().is_some_and(|message| message.contains("violates PodSecurity")), "{item}");
}

/// Returns the item after ten seconds, and how long its sign of failure is held.
fn unschedulable(namespace: &str) -> (Value, i64) {
    let item = wait_deploy(&["deploy/web", "-n", namespace, "-o", "json", "--timeout", "10s"]).item();
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let since = time(&item["causes"][0]["since"]).unwrap_or_else(|| panic!("{item}"));
    let hold = time(&item["failsAt"]).unwrap_or_else(|| panic!("{item}")).duration_since(since).as_secs();
    (item, hold)
}

#[test]
fn a_pod_that_no_node_takes_waits_longer_while_an_autoscaler_works() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("nodes");
    let mut web = workload("Deployment", &namespace, "web", 1, IMAGE, &Behaviour::Ready(0));
    web["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "fast"});
    plane.apply(&web.to_string());
    let (item, hold) = unschedulable(&namespace);
    assert_eq!((item["reason"].as_str(), hold), (Some("Unschedulable"), 180), "{item}");

    let pods: Value = serde_json::from_str(&plane.run(&["get", "pods", "-n", &namespace, "-o", "json"])).expect("JSON");
    let pod = &pods["items"][0]["metadata"];
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let subject =
        json!({"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod["name"], "uid": pod["uid"]});
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "scale-up", "namespace": namespace},
        "involvedObject": subject, "type": "Normal", "reason": "TriggeredScaleUp", "message": "pod triggered scale-up",
        "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "cluster-autoscaler"},
    });
    plane.apply(&event.to_string());
    let (item, hold) = unschedulable(&namespace);
    assert_eq!((item["reason"].as_str(), hold), (Some("Unschedulable"), 900), "{item}");
}

#[test]
fn a_pod_that_fits_on_no_node_is_told_so() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("huge");
    let mut web = workload("Deployment", &namespace, "web", 1, IMAGE, &Behaviour::Ready(0));
    web["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "5000"}});
    plane.apply(&web.to_string());
    let (item, hold) = unschedulable(&namespace);
    assert_eq!(hold, 60, "{item}");
    assert!(item["message"].as_str().is_some_and(|message| message.contains("it asks for 5000 cpu")), "{item}");
}

#[test]
fn a_schedule_is_there_or_suspended() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("cron");
    let cron = |suspend: bool| {
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "app", "image": IMAGE}]});
        let template = json!({"spec": {"template": {"spec": pod}}});
        let spec = json!({"schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": template});
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": namespace}, "spec": spec})
            .to_string()
    };
    plane.apply(&cron(false));
    assert_eq!(wait_deploy(&["cronjob/report", "-n", &namespace, "--timeout", "20s"]).code, 0);
    plane.apply(&cron(true));
    let ran = wait_deploy(&["cronjob/report", "-n", &namespace, "--once", "-o", "json"]);
    assert_eq!((ran.code, ran.item()["reason"].as_str()), (3, Some("JobSuspended")), "{ran:?}");
}
