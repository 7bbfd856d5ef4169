//! Audits of a cluster that answers only in part: whatever way a kind cannot be read, it is named, the rest is judged, and
//! no such answer is taken for a clean one.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::time::Duration;

use kubeguard_core::access::{Access, Cluster, Environment};
use kubeguard_core::audit::gather::{Scope, live};
use kubeguard_core::audit::snapshot::{self, Keep};
use kubeguard_core::audit::{
    self, AuditReport, Builder, Fact, Facts, Needs, Origin, Policy, Rule, Selection, Severity, audit, needs,
};
use kubeguard_core::error::Result;
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

const NOW: &str = "2026-11-22T10:00:00Z";
const DATE: &str = "Sun, 22 Nov 2026 10:00:00 GMT";

async fn connect(server: &FakeCluster, request_timeout: Option<Duration>) -> Cluster {
    let access = Access { server: Some(server.url().to_owned()), request_timeout, ..Access::default() };
    access.connect(&Environment::default()).await.unwrap()
}

fn rules(select: &[&str]) -> Vec<&'static Rule> {
    let select = select.iter().map(|id| (*id).to_owned()).collect();
    Selection { select, ignore: Vec::new() }.of(audit::rules()).unwrap()
}

/// Reads and judges what is in some namespaces; in all where none is named.
async fn report(cluster: &Cluster, rules: &[&Rule], namespaces: &[&str]) -> Result<AuditReport> {
    let scope = Scope { namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect() };
    let needs = needs(rules.iter().copied());
    live(cluster, &needs, &scope, Builder::new(Origin::Live)).await.map(|gathered| judged(&gathered.facts, rules))
}

fn judged(facts: &Facts, rules: &[&Rule]) -> AuditReport {
    audit(facts, rules, &Policy::default(), NOW.parse().unwrap())
}

/// Serves two namespaces, each with a Deployment whose probe asks a port that is not there and a `CronJob` that may start
/// within five seconds only.
fn cluster() -> FakeCluster {
    let server = FakeCluster::start();
    server.date(DATE);
    for namespace in ["shop", "team"] {
        let meta = |name: &str| {
            json!({"name": name, "namespace": namespace, "uid": format!("{name}-{namespace}"),
            "creationTimestamp": "2026-11-22T09:59:00Z"})
        };
        let container = json!({"name": "app", "image": "web:1", "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": "http"}}});
        let deployment = json!({"metadata": meta("web"), "spec": {"selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}}});
        server.put(&format!("/apis/apps/v1/namespaces/{namespace}/deployments"), deployment);
        let main = json!({"name": "main", "image": "report:1"});
        let pod = json!({"restartPolicy": "Never", "containers": [main]});
        let cron = json!({"metadata": meta("report"), "spec": {"schedule": "0 * * * *", "startingDeadlineSeconds": 5,
            "jobTemplate": {"spec": {"activeDeadlineSeconds": 60, "template": {"spec": pod}}}}});
        server.put(&format!("/apis/batch/v1/namespaces/{namespace}/cronjobs"), cron);
        server.put("/api/v1/namespaces", json!({"metadata": {"name": namespace, "uid": namespace}}));
    }
    server
}

/// Returns what rules read that every server has.
fn built_in(needs: &Needs) -> impl Iterator<Item = Fact> {
    needs.iter().map(|(fact, _)| fact).filter(|fact| fact.is_built_in() && *fact != Fact::Served)
}

/// Returns rules and places of what was found by the two rules that this cluster is about.
fn found(report: &AuditReport) -> Vec<(&str, &str)> {
    let ours = report.items.iter().filter(|item| ["PA201", "ZJ506"].contains(&item.rule.as_str()));
    let mut found: Vec<_> = ours.map(|item| (item.object.namespace.as_str(), item.rule.as_str())).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn whatever_goes_wrong_with_the_list_of_a_kind_it_is_named_with_what_went_wrong() {
    let rules = rules(&[]);
    let faults = [
        (Fault::Status(500, "InternalError"), "InternalError"),
        (Fault::Status(503, "ServiceUnavailable"), "ServiceUnavailable"),
        (Fault::Garbage, "EOF"),
        (Fault::Reset, "connection"),
    ];
    let kinds: Vec<Fact> = built_in(&needs(rules.iter().copied())).collect();
    let cases = faults.iter().flat_map(|(fault, said)| kinds.iter().map(move |fact| (*fact, fault, *said)));
    // All at once: what may pass is tried again after pauses.
    let cases = cases.map(async |(fact, fault, said)| {
        let server = cluster();
        let plural = fact.plural();
        server.fail("list", &format!("/{plural}?"), fault.clone(), None);
        let report = report(&connect(&server, None).await, &rules, &[]).await.unwrap();
        assert!(!report.complete, "{plural}: {fault:?}");
        assert_eq!(report.exit_code(None), 6, "{plural}: {fault:?}: {:?}", report.skipped);
        let begin = format!("cannot list {plural}: ");
        let named = report.skipped.iter().find(|skipped| skipped.reason.starts_with(&begin));
        let reason = &named.unwrap_or_else(|| panic!("{plural} is not named: {:?}", report.skipped)).reason;
        assert!(reason.contains(said), "{fault:?}: {reason}");
        // What the rule about cron jobs finds hangs on nothing but them.
        let is_found = found(&report).contains(&("team", "ZJ506"));
        assert_eq!(is_found, fact != Fact::CronJob, "{plural}: {fault:?}: {:?}", report.skipped);
    });
    futures::future::join_all(cases).await;
}

#[tokio::test]
async fn a_list_that_does_not_come_in_time_is_named_and_the_others_are_judged() {
    let server = cluster();
    server.fail("list", "/services?", Fault::Slow(Duration::from_mins(1)), None);
    let rules = rules(&[]);
    let report = report(&connect(&server, Some(Duration::from_secs(2))).await, &rules, &[]).await.unwrap();
    assert_eq!((report.complete, report.exit_code(None)), (false, 6));
    assert!(report.skipped.iter().any(|skipped| skipped.reason == "cannot list services: timed out"));
    assert_eq!(found(&report).len(), 4);
}

#[tokio::test]
async fn of_many_namespaces_the_one_that_may_not_be_read_is_named_for_every_kind() {
    let rules = rules(&[]);
    let wanted = needs(rules.iter().copied());
    let namespaced = |fact: &Fact| fact.resources().iter().all(|resource| resource.namespaced);
    for fact in built_in(&wanted).filter(namespaced) {
        let server = cluster();
        let plural = fact.plural();
        server.fail("list", &format!("/namespaces/shop/{plural}?"), Fault::Status(403, "Forbidden"), None);
        let report = report(&connect(&server, None).await, &rules, &["shop", "team"]).await.unwrap();
        // A kind that is judged across namespaces is asked for at once: nobody refuses that here.
        if server.count("list", &format!("/namespaces/shop/{plural}")) == 0 {
            assert!(report.complete, "{plural}");
            continue;
        }
        let reason = format!("cannot list {plural} in namespace shop: Forbidden");
        let named = report.skipped.iter().find(|skipped| skipped.reason == reason);
        let named = named.unwrap_or_else(|| panic!("{plural} is not named: {:?}", report.skipped));
        assert_eq!((named.partial, named.namespace.as_deref()), (true, Some("shop")), "{plural}");
        assert_eq!((report.complete, report.exit_code(None)), (false, 6));
        let team: Vec<_> = found(&report).into_iter().filter(|(namespace, _)| *namespace == "team").collect();
        assert_eq!(team, [("team", "PA201"), ("team", "ZJ506")], "{plural}");
    }
}

#[tokio::test]
async fn a_list_that_breaks_off_after_its_first_page_is_no_list() {
    let server = cluster();
    server.page_size(1);
    server.fail("list", "/cronjobs?limit=500&continue=", Fault::Status(500, "InternalError"), None);
    let rules = rules(&["ZJ506"]);
    let report = report(&connect(&server, None).await, &rules, &[]).await.unwrap();
    assert_eq!((found(&report).len(), report.complete), (0, false));
    assert_eq!(report.skipped[0].reason, "cannot list cronjobs: InternalError");
    assert_eq!(report.exit_code(Some(Severity::High)), 2, "nothing could be judged");
}

/// PA611 and the usage that metrics tell of, where they are served.
#[tokio::test]
async fn usage_is_looked_at_where_it_is_served_and_told_from_pods_where_it_may_not_be_read() {
    let server = FakeCluster::start();
    server.date(DATE);
    let container = json!({"name": "app", "image": "web:1", "resources": {"limits": {"cpu": "200m"}},
        "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 5}});
    let status = json!({"phase": "Running", "containerStatuses": [{"name": "app", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-11-22T06:00:00Z"}}}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T06:00:05Z"}]});
    let pod = json!({"metadata": {"name": "web", "namespace": "team", "uid": "p"},
        "spec": {"restartPolicy": "Always", "containers": [container]}, "status": status});
    server.put("/api/v1/namespaces/team/pods", pod);
    let event = json!({"metadata": {"name": "web.1", "namespace": "team"}, "reason": "Unhealthy", "type": "Warning",
        "involvedObject": {"kind": "Pod", "namespace": "team", "name": "web", "uid": "p", "fieldPath": "spec.containers{app}"},
        "message": "Readiness probe failed: context deadline exceeded", "count": 9,
        "firstTimestamp": "2026-11-22T09:00:00Z", "lastTimestamp": "2026-11-22T09:59:00Z"});
    server.put("/api/v1/namespaces/team/events", event);
    let measured = |cpu: &str| {
        server.put("/apis/metrics.k8s.io/v1beta1/namespaces/team/pods", json!({"metadata": {"name": "web", "namespace": "team"},
            "timestamp": "2026-11-22T09:59:30Z", "window": "15s", "containers": [{"name": "app", "usage": {"cpu": cpu}}]}));
    };
    let rules = rules(&["PA611"]);
    let wanted = needs(rules.iter().copied());
    let cluster = connect(&server, None).await;
    let told = |report: &AuditReport| {
        let assumed = report.items.iter().map(|item| item.assumptions.join(" ")).collect::<Vec<_>>();
        (report.complete, assumed)
    };
    // Nobody measures: that is known, and no gap.
    let unknown = vec!["the process is throttled; its usage is not known".to_owned()];
    assert_eq!(told(&report(&cluster, &rules, &[]).await.unwrap()), (true, unknown.clone()));

    server.serve("metrics.k8s.io", "v1beta1", "PodMetrics", "pods");
    measured("190m");
    let live = report(&cluster, &rules, &[]).await.unwrap();
    assert_eq!(
        told(&live).1,
        ["the 190m CPU that app used at 2026-11-22T09:59:30Z are what it uses when the probe fails"]
    );
    let evidence = live.items[0].evidence.last().unwrap();
    assert_eq!((evidence.path.as_str(), &evidence.value), ("/containers/0/usage/cpu", &Value::from("190m")));
    let mut file = Vec::new();
    snapshot::record(&cluster, &wanted, &Scope::default(), Keep::default(), NOW.parse().unwrap(), &mut file)
        .await
        .unwrap();
    let (facts, _) = snapshot::read("s", file.as_slice(), snapshot::builder()).unwrap();
    assert_eq!(told(&judged(&facts, &rules)), told(&live), "a snapshot keeps what was measured");
    measured("20m");
    assert_eq!(told(&report(&cluster, &rules, &[]).await.unwrap()), (true, Vec::new()));

    server.fail("list", "/apis/metrics.k8s.io", Fault::Status(403, "Forbidden"), None);
    let unread = report(&cluster, &rules, &[]).await.unwrap();
    assert_eq!(told(&unread), (false, unknown));
    let skipped = &unread.skipped[0];
    assert_eq!((skipped.reason.as_str(), skipped.partial), ("cannot list pods.metrics.k8s.io: Forbidden", true));
    let mut file = Vec::new();
    snapshot::record(&cluster, &wanted, &Scope::default(), Keep::default(), NOW.parse().unwrap(), &mut file)
        .await
        .unwrap();
    let (facts, _) = snapshot::read("s", file.as_slice(), snapshot::builder()).unwrap();
    assert_eq!(judged(&facts, &rules).skipped, unread.skipped);
}
