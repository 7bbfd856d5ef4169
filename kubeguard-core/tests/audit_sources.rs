//! Audits of a cluster, of files and of snapshots: what is asked for, what cannot be read,.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

#[path = "audit_scenarios/server.rs"]
mod server;

use kubeguard_core::audit::gather::{Files, Scope, live};
use kubeguard_core::audit::{
    self, AuditReport, Builder, Fact, Facts, Need, Origin, Policy, Rule, Selection, Severity, audit, needs,
};
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

use server::{connect, gathered, put};

const NOW: &str = "2026-11-22T10:00:00Z";
const DATE: &str = "Sun, 22 Nov 2026 10:00:00 GMT";

fn rules(select: &[&str]) -> Vec<&'static Rule> {
    let select = select.iter().map(|id| (*id).to_owned()).collect();
    Selection { select, ignore: Vec::new() }.of(audit::rules()).unwrap()
}

fn judged(facts: &Facts, rules: &[&Rule]) -> AuditReport {
    audit(facts, rules, &Policy::default(), NOW.parse().unwrap())
}

fn deployment(namespace: &str, name: &str, port: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "uid": format!("d-{namespace}-{name}")},
        "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{
            "name": "app", "image": "web:1", "ports": [{"name": "web", "containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": port}}}]}}}})
}

fn lists(server: &FakeCluster) -> Vec<String> {
    let mut lists: Vec<String> =
        server.seen().into_iter().filter(|seen| seen.verb == "list").map(|seen| seen.path).collect();
    lists.sort();
    lists.dedup();
    lists
}

#[tokio::test]
async fn exactly_what_the_rules_need_is_listed_and_the_time_is_the_servers() {
    const NEEDS: &[Need] = &[Need::decides(Fact::Pod).narrowed("spec.restartPolicy!=Always"), Need::decides(Fact::Job)];
    let server = FakeCluster::start();
    server.date(DATE);
    put(&server, &[deployment("team", "web", "http")]);
    let narrow = Rule { needs: NEEDS, ..Rule::BASE };
    let found = gathered(&server, &[&narrow], &[]).await;
    assert_eq!(found.now, Some(NOW.parse().unwrap()));
    assert_eq!(
        lists(&server),
        ["/api/v1/namespaces", "/api/v1/pods", "/apis/apps/v1/replicasets", "/apis/batch/v1/jobs"],
        "pods are folded by their replica sets, and anything may be suppressed by its namespace"
    );
    let pods = server.seen().into_iter().find(|seen| seen.path == "/api/v1/pods").unwrap();
    assert!(pods.query.contains("fieldSelector=spec.restartPolicy%21%3DAlways"), "{}", pods.query);
    let sets = server.seen().into_iter().find(|seen| seen.path.ends_with("replicasets")).unwrap();
    assert!(sets.accept.contains("as=PartialObjectMetadataList"), "{}", sets.accept);
}

/// E22.
#[tokio::test]
async fn a_part_of_a_family_lists_no_more_than_it_reads() {
    let server = FakeCluster::start();
    put(&server, &[deployment("team", "web", "http")]);
    gathered(&server, &rules(&["ZJ6"]), &[]).await;
    let lists = lists(&server);
    assert!(lists.iter().any(|path| path.ends_with("/jobs")) && lists.iter().any(|path| path.ends_with("/pods")));
    for plural in ["nodes", "services", "events"] {
        assert!(!lists.iter().any(|path| path.ends_with(plural)), "{plural}: {lists:?}");
    }
}

#[tokio::test]
async fn one_namespace_is_read_by_its_name_and_nothing_outside_of_it() {
    let server = FakeCluster::start();
    put(&server, &[deployment("team", "web", "http"), deployment("shop", "cart", "http")]);
    server.put("/api/v1/namespaces", json!({"metadata": {"name": "team"}}));
    let rules = rules(&["PA201"]);
    let report = judged(&gathered(&server, &rules, &["team"]).await.facts, &rules);
    assert_eq!(report.items.len(), 1);
    assert!(lists(&server).iter().all(|path| path.contains("/namespaces/team/")), "{:?}", lists(&server));
    assert_eq!(server.count("get", "/api/v1/namespaces/team"), 1);
}

#[tokio::test]
async fn a_namespace_that_is_forbidden_is_named_and_the_other_is_judged() {
    let server = FakeCluster::start();
    put(&server, &[deployment("team", "web", "http"), deployment("shop", "cart", "http")]);
    server.fail("list", "/namespaces/shop/deployments", Fault::Status(403, "Forbidden"), None);
    let rules = rules(&["PA201"]);
    let report = judged(&gathered(&server, &rules, &["team", "shop"]).await.facts, &rules);
    assert_eq!((report.items.len(), report.complete, report.exit_code(Some(Severity::High))), (1, false, 1));
    let skipped = &report.skipped[0];
    assert_eq!(skipped.reason, "cannot list deployments in namespace shop: Forbidden");
    assert_eq!((skipped.partial, skipped.namespace.as_deref()), (true, Some("shop")));
}

#[tokio::test]
async fn a_server_that_lets_nothing_be_read_is_an_error_with_its_words() {
    let server = FakeCluster::start();
    server.fail("list", "/", Fault::Status(401, "Unauthorized"), None);
    server.fail("get", "/", Fault::Status(401, "Unauthorized"), None);
    let needs = needs(rules(&["PA201"]));
    let told = live(&connect(&server).await, &needs, &Scope::default(), Builder::new(Origin::Live)).await.unwrap_err();
    assert!(std::error::Error::source(&told).unwrap().to_string().contains("Unauthorized"), "{told}");
}

#[tokio::test]
async fn a_list_that_the_server_forgets_in_the_middle_begins_anew_once() {
    let rules = rules(&["PA201"]);
    for (times, found) in [(1, 5), (2, 0)] {
        let server = FakeCluster::start();
        server.page_size(2);
        let objects: Vec<Value> = (0..5).map(|number| deployment("team", &format!("web-{number}"), "http")).collect();
        put(&server, &objects);
        server.fail("list", "deployments?limit=500&continue=", Fault::Status(410, "Expired"), Some(times));
        let report = judged(&gathered(&server, &rules, &[]).await.facts, &rules);
        assert_eq!((report.items.len(), report.complete), (found, times == 1));
        if times == 2 {
            assert_eq!(report.skipped[0].reason, "cannot list deployments: Expired");
        }
    }
}

#[test]
fn a_broken_file_among_good_ones_is_named_with_line_and_column_and_the_others_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", &serde_json::to_string_pretty(&deployment("team", "web", "http")).unwrap());
    write(
        "b.yaml",
        "kind: Deployment\napiVersion: apps/v1\nmetadata: [unclosed\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n",
    );
    write("values.yaml", "replicas: 3\n");
    let mut files = Files::new("default");
    files.path(folder.path(), false).unwrap();
    let facts = files.finish();
    let report = judged(&facts, &rules(&["PA201"]));
    assert_eq!(report.items.iter().map(|item| item.rule.as_str()).collect::<Vec<_>>(), ["PA201"]);
    assert_eq!((report.complete, report.exit_code(Some(Severity::High)), report.exit_code(None)), (false, 1, 6));
    let reason = &report.skipped[0].reason;
    assert!(reason.contains("b.yaml:") && reason.matches(':').count() >= 3, "{reason}");
    assert_eq!(facts.objects(Fact::Namespace).count(), 1, "the document behind the broken one is read");
    assert!(facts.notes()[0].contains("values.yaml:1: a document without kind"), "{:?}", facts.notes());
}

#[test]
fn nothing_is_not_a_clean_answer_when_everything_was_broken() {
    let mut files = Files::new("default");
    files.text("-", b"kind: [");
    assert_eq!(judged(&files.finish(), &rules(&[])).exit_code(Some(Severity::High)), 2);
    let report = judged(&Files::new("default").finish(), &rules(&[]));
    assert_eq!((report.exit_code(Some(Severity::High)), report.summary.objects), (0, 0));
}

/// E30.
#[test]
fn a_finding_names_the_line_of_the_field_inside_a_list_too() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: web}\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata:\n    name: web\n  spec:\n    template:\n      spec:\n        containers:\n        - name: app\n          readinessProbe:\n            httpGet:\n              port: http\n";
    let mut files = Files::new("default");
    files.text("list.yaml", text.as_bytes());
    let report = judged(&files.finish(), &rules(&["PA201"]));
    let source = report.items[0].source.as_ref().unwrap();
    assert_eq!((source.file.as_str(), source.line), ("list.yaml", 18));
    assert_eq!(report.items[0].object.namespace, "default");
}

#[test]
fn the_later_of_two_objects_of_one_name_counts_as_with_kubectl_apply() {
    let mut files = Files::new("default");
    files.text("a.json", deployment("team", "web", "http").to_string().as_bytes());
    files.text("b.json", deployment("team", "web", "web").to_string().as_bytes());
    let facts = files.finish();
    assert_eq!(judged(&facts, &rules(&["PA201"])).items.len(), 0);
    assert!(facts.notes()[0].contains("b.json:1: Deployment web is also in a.json:1"), "{:?}", facts.notes());
}

#[test]
fn the_least_privilege_follows_from_the_needs() {
    let text = needs(rules(&["PA201"])).rbac(Some("team"));
    assert!(text.contains("kind: Role\n") && text.contains("namespace: team") && text.contains("cronjobs, jobs"));
    assert!(text.contains("kind: ClusterRole\n") && text.contains("resources: [namespaces]"));
    assert!(!text.contains("nodes") && !text.contains("secrets"), "{text}");
}
