//! The audits against a real control plane: what controllers, admission and the kubelets' words make of objects is found,
//! from the cluster and from its snapshot alike.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kubeguard_testkit::{Behaviour, ControlPlane, Manners, Sidecar};
use serde_json::{Value, json};

use crate::injector::inject;
use crate::plugin::{Ran, run};

/// Waits for what controllers do.
pub(crate) fn until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_mins(1), "no {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn audit(program: &str, args: &[&str]) -> Ran {
    run(program, ControlPlane::shared().kubeconfig(), args)
}

fn get(namespace: &str, what: &[&str]) -> Value {
    let output = ControlPlane::shared().kubectl(&[&["get", "-o", "json", "-n", namespace], what].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Returns the moment that long from now: what has just happened is old enough then to be told.
fn after(minutes: i64) -> String {
    Timestamp::now().checked_add(SignedDuration::from_mins(minutes)).unwrap().to_string()
}

/// Returns the rules that found something, without that about annotations: those by which the kit tells kwok what to do
/// are none of the tool's.
fn rules(report: &Value) -> Vec<&str> {
    let all = report["items"].as_array().unwrap().iter().map(|item| item["rule"].as_str().unwrap());
    all.filter(|rule| *rule != "ANN-001").collect()
}

fn item<'a>(report: &'a Value, rule: &str) -> &'a Value {
    let items = report["items"].as_array().unwrap();
    items.iter().find(|item| item["rule"] == rule).unwrap_or_else(|| panic!("no {rule} in {report:#}"))
}

/// Judges a namespace live and from a snapshot of it, which must agree; returns the report.
fn both(program: &str, namespace: &str, now: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.jsonl.gz").display().to_string();
    let taken = audit("kubectl-guard", &["snapshot", "-o", &file, "-n", namespace]);
    assert_eq!(taken.code, 0, "{taken:?}");
    let live = audit(program, &["-n", namespace, "-o", "json", "--now", now]);
    let offline = audit(program, &["--snapshot", &file, "-n", namespace, "-o", "json", "--now", now]);
    assert_eq!(offline.code, live.code, "{live:?} {offline:?}");
    let (live, offline) = (live.report(), offline.report());
    assert_eq!(offline["items"], live["items"]);
    assert_eq!(offline["skipped"], live["skipped"]);
    assert_eq!((&live["complete"], &offline["complete"]), (&json!(true), &json!(true)), "{}", live["skipped"]);
    live
}

/// Returns the spec of a Job whose container `app` ends at once with this exit code, with a label that has a sidecar
/// injected into its pods.
fn spec(exit: u8) -> Value {
    json!({
        "activeDeadlineSeconds": 604_800, "backoffLimit": 6,
        "template": {
            "metadata": {"labels": {"inject": "true"}, "annotations": Behaviour::Held("app", exit).annotations()},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "registry.example.org/load:1",
                "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]},
        },
    })
}

fn job(namespace: &str, name: &str, exit: u8) -> String {
    let meta = json!({"name": name, "namespace": namespace});
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec(exit)}).to_string()
}

/// Waits until the work of a Job is over and its sidecar runs on; returns its pod.
fn held(namespace: &str, job: &str) -> Value {
    let mut pod = Value::Null;
    until("pod whose work is over", || {
        pod = get(namespace, &["pods", "-l", &format!("job-name={job}")])["items"][0].take();
        let states = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        let is = |name: &str, state: &str| {
            states.iter().any(|status| status["name"] == name && status["state"].get(state).is_some())
        };
        is("app", "terminated") && states.iter().any(|status| status["state"].get("running").is_some())
    });
    pod
}

#[test]
fn what_a_webhook_injected_holds_jobs_and_is_told_from_their_work() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("zombies");
    inject(plane, &namespace, &json!({"name": "zz-agent", "image": "registry.example.org/inhouse/agent:1"}));
    plane.apply(&job(&namespace, "done", 0));
    plane.apply(&job(&namespace, "broken", 137));
    for name in ["done", "broken"] {
        let pod = held(&namespace, name);
        assert_eq!(pod["spec"]["containers"][1]["name"], "zz-agent", "injected last");
        let template = get(&namespace, &["job", name])["spec"]["template"].take();
        assert_eq!(
            template["spec"]["containers"].as_array().map(Vec::len),
            Some(1),
            "the template knows nothing of it"
        );
    }
    // Inside its grace a sidecar may still be busy.
    let early = audit("kubectl-zombie_jobs", &["-n", &namespace, "-o", "json", "--now", &after(0)]);
    assert_eq!((early.code, rules(&early.report())), (0, Vec::<&str>::new()));

    let report = both("kubectl-zombie_jobs", &namespace, &after(10));
    let mut found = rules(&report);
    found.sort_unstable();
    assert_eq!(found, ["ZJ101", "ZJ102"], "{report:#}");
    for (rule, name, severity, exit) in [("ZJ101", "done", "high", 0), ("ZJ102", "broken", "critical", 137)] {
        let item = item(&report, rule);
        assert_eq!((&item["object"]["kind"], &item["object"]["name"]), (&json!("Job"), &json!(name)));
        // No table knows this agent: that it is not in the Job's template is the proof.
        assert_eq!((&item["severity"], &item["proof"]), (&json!(severity), &json!("exact")), "{item:#}");
        assert_eq!(item["details"]["holders"][0]["name"], "zz-agent", "{item:#}");
        assert_eq!(item["details"]["mains"][0]["name"], "app", "{item:#}");
        let ended = json!({"path": "/status/containerStatuses/0/state/terminated/exitCode", "value": exit});
        let evidence = item["evidence"].as_array().unwrap();
        let says = |wanted: &Value| {
            evidence.iter().any(|told| told["path"] == wanted["path"] && told["value"] == wanted["value"])
        };
        assert!(says(&ended), "{item:#}");
    }
}

#[test]
fn a_cron_job_that_the_controller_may_not_start_for_a_zombie_has_lost_runs() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("forbid");
    inject(plane, &namespace, &json!({"name": "zz-agent", "image": "registry.example.org/inhouse/agent:1"}));
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": namespace},
        "spec": {"schedule": "0 * * * *", "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid", "suspend": true, "jobTemplate": {"spec": spec(0)}}});
    plane.apply(&cron.to_string());
    let last = |hours: i64| {
        let time = Timestamp::now().checked_sub(SignedDuration::from_hours(hours)).unwrap();
        let second = time.as_second() - time.as_second().rem_euclid(3600);
        let time = Timestamp::from_second(second).unwrap().to_string();
        let status = json!({"status": {"lastScheduleTime": time}}).to_string();
        plane.run(&[
            "patch",
            "cronjob",
            "report",
            "-n",
            &namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ]);
        second
    };
    // Nobody waits for the hour: a run that was missed is started at once, by the controller itself.
    last(2);
    plane.run(&["patch", "cronjob", "report", "-n", &namespace, "-p", r#"{"spec": {"suspend": false}}"#]);
    let mut started = Value::Null;
    until("job of the CronJob", || {
        started = get(&namespace, &["cronjob", "report"])["status"]["active"][0].take();
        started["name"].is_string()
    });
    let name = started["name"].as_str().unwrap();
    held(&namespace, name);
    // Another run is due, half an hour off that one: the controller says that it may not start it. (Of the same time it
    // would find its own job, and say nothing.)
    plane.run(&["patch", "cronjob", "report", "-n", &namespace, "-p", r#"{"spec": {"schedule": "30 * * * *"}}"#]);
    let scheduled = last(3);
    until("word of the controller", || {
        let events = get(&namespace, &["events", "--field-selector=reason=JobAlreadyActive"]);
        events["items"].as_array().is_some_and(|events| !events.is_empty())
    });
    assert_eq!(get(&namespace, &["jobs"])["items"].as_array().map(Vec::len), Some(1));

    let now = after(10);
    let runs = (now.parse::<Timestamp>().unwrap().as_second() - scheduled + 1800) / 3600;
    let report = both("kubectl-zombie_jobs", &namespace, &now);
    let mut found = rules(&report);
    found.sort_unstable();
    assert_eq!(found, ["ZJ101", "ZJ501"], "{report:#}");
    let (zombie, blocked) = (item(&report, "ZJ101"), item(&report, "ZJ501"));
    assert_eq!((&zombie["severity"], &zombie["object"]["name"]), (&json!("critical"), &json!(name)));
    assert_eq!(blocked["object"]["name"], "report");
    assert!(blocked["message"].as_str().unwrap().contains(&format!("{runs} runs")), "{blocked:#}");
}

fn web(namespace: &str, name: &str, behaviour: &Behaviour, containers: &Value) -> String {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}, "annotations": behaviour.annotations()},
            "spec": {"containers": containers}}}})
    .to_string()
}

#[test]
fn one_container_takes_a_service_down_and_a_port_that_nobody_named_keeps_a_rollout_from_ending() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("probes");
    let ready = |path: &str, port: Value| json!({"httpGet": {"path": path, "port": port}, "timeoutSeconds": 5});
    let containers = json!([
        {"name": "app", "image": "registry.example.org/pay:1", "ports": [{"containerPort": 8080}], "readinessProbe": ready("/ok", json!(8080))},
        {"name": "statsd-agent", "image": "registry.example.org/statsd-agent:1", "ports": [{"containerPort": 8125}],
            "readinessProbe": ready("/healthz", json!(8125))},
    ]);
    plane.apply(&web(&namespace, "pay", &Behaviour::Unready("statsd-agent"), &containers));
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "pay-api", "namespace": namespace},
        "spec": {"selector": {"app": "pay"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    plane.apply(&service.to_string());
    let typo = json!([{"name": "app", "image": "registry.example.org/cart:1", "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": ready("/ok", json!("web"))}]);
    plane.apply(&web(&namespace, "cart", &Behaviour::NeverReady, &typo));
    until("slice without a ready endpoint", || {
        let slices = get(&namespace, &["endpointslices", "-l", "kubernetes.io/service-name=pay-api"]);
        let endpoints = slices["items"][0]["endpoints"].as_array().cloned().unwrap_or_default();
        let pods = get(&namespace, &["pods", "-l", "app=pay"])["items"].as_array().cloned().unwrap_or_default();
        let judged = |pod: &Value| pod["status"]["containerStatuses"][1]["ready"] == false;
        endpoints.len() == 2
            && endpoints.iter().all(|endpoint| endpoint["conditions"]["ready"] == false)
            && pods.len() == 2
            && pods.iter().all(judged)
    });
    until("pod that runs", || {
        let pods = get(&namespace, &["pods", "-l", "app=cart"]);
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        pods.len() == 2 && pods.iter().all(|pod| pod["status"]["phase"] == "Running")
    });

    let report = both("kubectl-probe_audit", &namespace, &after(60));
    let down = item(&report, "PA607");
    assert_eq!((&down["severity"], &down["container"]), (&json!("critical"), &json!("statsd-agent")), "{down:#}");
    assert_eq!((&down["object"]["kind"], &down["object"]["name"]), (&json!("Deployment"), &json!("pay")));
    assert!(down["message"].as_str().unwrap().contains("pay-api"), "{down:#}");
    let typo = item(&report, "PA201");
    assert_eq!((&typo["severity"], &typo["object"]["name"]), (&json!("critical"), &json!("cart")));
    let port = json!("/spec/template/spec/containers/0/readinessProbe/httpGet/port");
    assert_eq!((&typo["evidence"][0]["path"], &typo["evidence"][0]["value"]), (&port, &json!("web")), "{typo:#}");
}

#[test]
fn what_a_user_may_not_read_is_named_and_is_no_all_clear() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("blind");
    let cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "fine", "namespace": namespace},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": spec(0)}}});
    plane.apply(&cron.to_string());
    let user = format!("user-of-{namespace}");
    let kubeconfig = plane.user(&user, &namespace, &["list jobs.batch", "list cronjobs.batch"]);
    let may = |what: &str| {
        plane.kubectl(&["auth", "can-i", "list", what, "-n", &namespace, &format!("--as={user}")]).status.success()
    };
    until("rights", || may("jobs.batch") && may("cronjobs.batch"));
    let ran = ran_as(&kubeconfig, &namespace);
    assert_eq!(ran.code, 6, "{ran:?}");
    let report = ran.report();
    assert_eq!((&report["complete"], &report["summary"]["high"]), (&json!(false), &json!(0)), "{report:#}");
    let is_skipped = |rule: &str, plural: &str| {
        let mut entries = report["skipped"].as_array().unwrap().iter();
        entries.any(|entry| {
            entry["rules"].as_array().unwrap().contains(&json!(rule))
                && entry["reason"] == format!("cannot list {plural}: Forbidden")
        })
    };
    assert!(is_skipped("ZJ101", "pods") && is_skipped("ZJ302", "nodes"), "{report:#}");
}

fn ran_as(kubeconfig: &Path, namespace: &str) -> Ran {
    run("kubectl-zombie_jobs", kubeconfig, &["-n", namespace, "-o", "json"])
}

#[test]
fn a_sidecar_is_asked_to_quit_through_the_servers_port_forward_and_the_job_completes() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("quit");
    let proxy = json!({"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.27.0"});
    inject(plane, &namespace, &proxy);
    plane.apply(&job(&namespace, "load", 0));
    let pod = held(&namespace, "load")["metadata"]["name"].as_str().unwrap().to_owned();
    let (of, name) = (namespace.clone(), pod.clone());
    let sidecar = Sidecar::at(plane.sidecars(), Manners::Answers(200), move || {
        plane.run(&["annotate", "pod", &name, "-n", &of, "kubeguard.dev/quit=0"]);
    });
    let now = after(10);
    let args = ["-n", &namespace, "--fix", "quit", "-o", "json", "--now", &now];
    let rehearsed = audit("kubectl-zombie_jobs", &[&args[..], &["--dry-run=client"]].concat());
    assert_eq!((rehearsed.code, sidecar.heard().len()), (0, 0), "{rehearsed:?}");
    let ran = audit("kubectl-zombie_jobs", &[&args[..], &["--yes"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let heard = sidecar.heard();
    assert!(heard.len() == 1 && heard[0].starts_with("POST /quitquitquit HTTP/1.1\r\n"), "{heard:?}");
    until("end of the job", || {
        let job = get(&namespace, &["job", "load"]);
        let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|told| told["type"] == "Complete" && told["status"] == "True")
    });
    let report = ran.report();
    assert_eq!(report["items"].as_array().map(Vec::len), Some(1), "{report:#}");
    let after = audit("kubectl-zombie_jobs", &["-n", &namespace, "-o", "json", "--now", &now]);
    assert_eq!((after.code, rules(&after.report())), (0, Vec::<&str>::new()));
}
