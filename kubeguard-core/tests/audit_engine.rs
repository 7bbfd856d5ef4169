//! The engine by rules made for the purpose: folding, absorption, hold times, skipping, roles.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]
#![expect(clippy::needless_pass_by_value, reason = "json! makes values where they are used")]

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::audit::facts::{Carrier, Pod, State};
use kubeguard_core::audit::rule::{absorbs, absorbs_of_root};
use kubeguard_core::audit::{
    self, AuditReport, Builder, Check, Context, Fact, Facts, Findings, Fold, Gap, Need, Origin, Policy, Proof, Rule,
    Severity, audited,
};
use kubeguard_core::pods::{Member, Role, SidecarTable};
use serde_json::{Value, json};

const NOW: &str = "2026-11-22T10:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn facts(origin: Origin, objects: impl IntoIterator<Item = Value>) -> Facts {
    let mut builder = Builder::new(origin);
    for object in objects {
        builder.add(object);
    }
    builder.finish()
}

fn judged(facts: &Facts, rules: &[&Rule]) -> AuditReport {
    audit::audit(facts, rules, &Policy::default(), now())
}

const PODS: &[Need] = &[Need::decides(Fact::Pod)];

/// A finding on every pod that is not ready.
const UNREADY: Rule = Rule { id: "TT001", name: "unready", needs: PODS, check: Check::Pod(unready), ..Rule::BASE };
/// The same, on the job.
const ON_JOB: Rule = Rule { id: "TT002", name: "on-job", fold: Fold::Job, ..UNREADY };

fn unready<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(ready) = pod.status.as_ref().and_then(|status| status.condition("Ready")) else { return };
    if !ready.is_true() && context.held(ready.at, SignedDuration::from_mins(5)) {
        findings
            .push(context.finding(pod, format!("{} is not ready", pod.meta.name)).evidence("/status/phase", "Running"));
    }
}

/// A finding on every container, of a severity and proof that its name gives.
const NAMED: Rule =
    Rule { id: "TT010", name: "named", severity: Severity::Critical, check: Check::Container(named), ..Rule::BASE };

fn named<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let proof = if member.container.name == "guess" { Proof::Hint } else { Proof::Exact };
    findings.push(context.container(carrier, member, "a container").proof(proof));
}

fn owner(api_version: &str, kind: &str, name: &str, controller: bool) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": format!("{kind}-{name}"), "controller": controller}])
}

fn object(api_version: &str, kind: &str, name: &str, owners: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "team",
        "uid": format!("{kind}-{name}"), "ownerReferences": owners}})
}

fn pod(name: &str, owners: Value) -> Value {
    let mut pod = object("v1", "Pod", name, owners);
    pod["metadata"]["labels"] = json!({"pod-template-hash": "5d8"});
    pod["spec"] = json!({"containers": [{"name": "app"}]});
    pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False",
        "lastTransitionTime": "2026-11-22T09:00:00Z"}]});
    pod
}

fn told(report: &AuditReport) -> Vec<String> {
    let told = |item: &audit::Finding| {
        let pods = item.pods.as_ref().map_or(String::new(), |pods| format!(" {} as {}", pods.count, pods.example));
        format!("{} {}{pods}", item.rule, item.object)
    };
    report.items.iter().map(told).collect()
}

/// E01, E02.
#[test]
fn pods_of_all_revisions_of_a_deployment_are_one_finding_on_it() {
    let objects = || {
        vec![
            object("apps/v1", "Deployment", "web", json!([])),
            object("apps/v1", "ReplicaSet", "web-5d8", owner("apps/v1", "Deployment", "web", true)),
            object("apps/v1", "ReplicaSet", "web-6c9", owner("apps/v1", "Deployment", "web", true)),
            pod("web-5d8-b", owner("apps/v1", "ReplicaSet", "web-5d8", true)),
            pod("web-5d8-a", owner("apps/v1", "ReplicaSet", "web-5d8", true)),
            pod("web-6c9-c", owner("apps/v1", "ReplicaSet", "web-6c9", true)),
        ]
    };
    let report = judged(&facts(Origin::Live, objects()), &[&UNREADY]);
    assert_eq!(told(&report), ["TT001 deployment.apps/web 3 as web-5d8-a"]);
    let evidence = &report.items[0].evidence[0];
    assert_eq!(evidence.object.as_ref().unwrap().name, "web-5d8-a", "the evidence is the example pod's");
}

/// E03.
#[test]
fn a_deployment_is_named_by_its_replica_sets_name_where_that_cannot_be_read() {
    let mut builder = Builder::new(Origin::Live);
    builder.add(pod("web-5d8-a", owner("apps/v1", "ReplicaSet", "web-5d8", true)));
    let reason = "cannot list replicasets: Forbidden".to_owned();
    builder.gap(Gap { fact: Fact::ReplicaSet, namespace: None, reason: reason.clone() });
    let report = judged(&builder.finish(), &[&UNREADY]);
    assert_eq!(told(&report), ["TT001 deployment.apps/web 1 as web-5d8-a"]);
    assert_eq!((report.complete, report.skipped[0].partial, &report.skipped[0].reason), (false, true, &reason));
}

/// E04.
#[test]
fn an_owner_that_does_not_control_takes_no_finding() {
    let report =
        judged(&facts(Origin::Live, [pod("a", owner("apps/v1", "ReplicaSet", "web-5d8", false))]), &[&UNREADY]);
    assert_eq!(told(&report), ["TT001 pod/a"]);
}

#[test]
fn a_pod_of_an_unknown_controller_is_folded_to_it_and_a_static_pod_to_itself() {
    let mut mirror = pod("etcd-node", json!([]));
    mirror["metadata"]["ownerReferences"] = owner("v1", "Node", "node", true);
    let known = facts(Origin::Live, [pod("a", owner("example.org/v1", "Widget", "w", true)), mirror]);
    assert_eq!(told(&judged(&known, &[&UNREADY])), ["TT001 pod/etcd-node", "TT001 widget.example.org/w 1 as a"]);
}

/// E05.
#[test]
fn thirty_jobs_of_one_cron_job_are_thirty_findings_of_one_identity() {
    let objects = (0..30).flat_map(|number| {
        let job = format!("run-{number}");
        [
            object("batch/v1", "Job", &job, owner("batch/v1", "CronJob", "run", true)),
            pod(&format!("{job}-a"), owner("batch/v1", "Job", &job, true)),
        ]
    });
    let report = judged(&facts(Origin::Live, objects), &[&ON_JOB]);
    assert_eq!(report.items.len(), 30);
    assert!(report.items.iter().all(|item| item.object.kind == "Job"));
    assert!(report.items.iter().all(|item| item.fingerprint == report.items[0].fingerprint));
}

/// E21.
#[test]
fn a_guess_is_medium_whatever_the_row_says() {
    let mut bare = pod("a", json!([]));
    bare["spec"] = json!({"containers": [{"name": "guess"}, {"name": "sure"}]});
    let report = judged(&facts(Origin::Manifests, [bare]), &[&NAMED]);
    let found: Vec<Severity> = report.items.iter().map(|item| item.severity).collect();
    assert_eq!(found, [Severity::Medium, Severity::Critical]);
}

/// E27.
#[test]
fn without_a_time_a_hold_is_used_up_in_files_and_has_not_begun_in_a_cluster() {
    let timeless = || {
        let mut pod = pod("a", json!([]));
        pod["status"]["conditions"][0].as_object_mut().unwrap().remove("lastTransitionTime");
        [pod]
    };
    assert_eq!(judged(&facts(Origin::Manifests, timeless()), &[&UNREADY]).items.len(), 1);
    assert_eq!(judged(&facts(Origin::Snapshot, timeless()), &[&UNREADY]).items.len(), 1);
    assert_eq!(judged(&facts(Origin::Live, timeless()), &[&UNREADY]).items.len(), 0);
    for (since, found) in [("2026-11-22T09:55:00Z", 0), ("2026-11-22T09:54:59Z", 1), ("2026-11-22T11:00:00Z", 0)] {
        let mut pod = pod("a", json!([]));
        pod["status"]["conditions"][0]["lastTransitionTime"] = since.into();
        assert_eq!(judged(&facts(Origin::Live, [pod]), &[&UNREADY]).items.len(), found, "{since}");
    }
}

/// E14, E15, E16.
#[test]
fn what_decides_and_cannot_be_read_skips_a_rule_and_what_no_file_holds_does_not_apply() {
    const NODES: Rule = Rule { id: "TT003", name: "nodes", needs: &[Need::decides(Fact::Node)], ..UNREADY };
    const BETTER: Rule = Rule {
        id: "TT004",
        name: "better",
        severity: Severity::High,
        needs: &[Need::decides(Fact::Pod), Need::enriches(Fact::Node)],
        ..UNREADY
    };
    let with_gap = |objects: Vec<Value>| {
        let mut builder = Builder::new(Origin::Live);
        for object in objects {
            builder.add(object);
        }
        let reason = "cannot list nodes: Forbidden".to_owned();
        builder.gap(Gap { fact: Fact::Node, namespace: None, reason });
        builder.finish()
    };
    let mut fine = pod("fine", json!([]));
    fine["status"]["conditions"][0]["status"] = "True".into();
    let report = judged(&with_gap(vec![fine]), &[&NODES, &BETTER]);
    assert_eq!((report.complete, report.exit_code(Some(Severity::High)), report.items.len()), (false, 6, 0));
    let skipped: Vec<(&str, bool)> = report.skipped.iter().map(|s| (s.rules[0].as_str(), s.partial)).collect();
    assert_eq!(skipped, [("TT003", false), ("TT004", true)]);
    let report = judged(&with_gap(vec![pod("a", json!([]))]), &[&NODES, &BETTER]);
    assert_eq!((report.exit_code(Some(Severity::High)), told(&report).len()), (1, 1));
    assert_eq!(judged(&with_gap(vec![pod("a", json!([]))]), &[&NODES]).exit_code(None), 2, "nothing was judged");
    let files = facts(Origin::Manifests, [pod("a", json!([]))]);
    let all = audited(&files, &[&NODES], &Policy::default(), now());
    assert_eq!((all.report.complete, all.not_applicable.len(), all.report.items.len()), (true, 1, 0));
}

#[test]
fn a_rule_runs_on_servers_that_it_is_about() {
    const NEW: Rule = Rule { id: "TT005", name: "new", servers: (Some((1, 34)), None), ..UNREADY };
    let found = |version| {
        let mut builder = Builder::new(Origin::Live);
        builder.version(Some(version));
        builder.add(pod("a", json!([])));
        judged(&builder.finish(), &[&NEW]).items.len()
    };
    assert_eq!((found((1, 33)), found((1, 34))), (0, 1));
}

/// E12, E13, and transitive absorption.
#[test]
fn a_finding_takes_in_what_it_makes_redundant() {
    const WIDE: Rule =
        Rule { id: "TT020", name: "wide", severity: Severity::Low, absorbs: &[absorbs("TT010")], ..NAMED };
    const WIDER: Rule =
        Rule { id: "TT021", name: "wider", severity: Severity::Info, absorbs: &[absorbs("TT020")], ..NAMED };
    let bare = || facts(Origin::Manifests, [pod("a", json!([]))]);
    let report = judged(&bare(), &[&NAMED, &WIDE, &WIDER]);
    assert_eq!(told(&report), ["TT021 pod/a"]);
    assert_eq!(
        (report.items[0].also.as_slice(), report.items[0].severity),
        (&["TT010".to_owned(), "TT020".to_owned()][..], Severity::Critical)
    );
    let report = judged(&bare(), &[&NAMED]);
    assert_eq!(told(&report), ["TT010 pod/a"], "what is ignored absorbs nothing");
    let mut ignoring = pod("a", json!([]));
    ignoring["metadata"]["annotations"] = json!({"kubeguard.dev/ignore": "TT020 because=x"});
    let report = judged(&facts(Origin::Manifests, [ignoring]), &[&NAMED, &WIDE]);
    assert_eq!(
        (report.items.len(), report.summary.suppressed),
        (0, 1),
        "what absorbs is accepted with what it absorbed"
    );
}

#[test]
fn absorption_over_the_root_reaches_other_objects_of_it() {
    const ON_CRON: Rule = Rule { id: "TT030", name: "on-cron", fold: Fold::Workload, ..UNREADY };
    const OF_ROOT: Rule = Rule { id: "TT031", name: "of-root", absorbs: &[absorbs_of_root("TT030")], ..ON_JOB };
    const OF_SAME: Rule = Rule { id: "TT032", name: "of-same", absorbs: &[absorbs("TT030")], ..ON_JOB };
    let objects = || {
        [
            object("batch/v1", "CronJob", "run", json!([])),
            object("batch/v1", "Job", "run-1", owner("batch/v1", "CronJob", "run", true)),
            pod("run-1-a", owner("batch/v1", "Job", "run-1", true)),
        ]
    };
    let found = |rule: &Rule| told(&judged(&facts(Origin::Live, objects()), &[&ON_CRON, rule]));
    assert_eq!(found(&OF_ROOT), ["TT031 job.batch/run-1 1 as run-1-a"]);
    assert_eq!(found(&OF_SAME).len(), 2);
}

#[test]
fn a_pods_own_suppression_counts_for_that_pod_alone() {
    let mut accepted = pod("web-5d8-a", owner("apps/v1", "ReplicaSet", "web-5d8", true));
    accepted["metadata"]["annotations"] = json!({"kubeguard.dev/ignore": "TT001 because=x"});
    let other = pod("web-5d8-b", owner("apps/v1", "ReplicaSet", "web-5d8", true));
    let report = judged(&facts(Origin::Live, [accepted.clone(), other]), &[&UNREADY]);
    assert_eq!(told(&report), ["TT001 deployment.apps/web 1 as web-5d8-b"]);
    let report = judged(&facts(Origin::Live, [accepted]), &[&UNREADY]);
    assert_eq!((report.items.len(), report.summary.suppressed), (0, 1));
}

/// E28.
#[test]
fn what_the_cluster_says_is_escaped_in_json() {
    let mut bare = pod("a", json!([]));
    bare["spec"] = json!({"containers": [{"name": "a\u{1b}[31m"}]});
    let text = serde_json::to_string(&judged(&facts(Origin::Manifests, [bare]), &[&NAMED])).unwrap();
    assert!(text.contains("\\u001b[31m") && !text.contains('\u{1b}'));
}

/// Containers by their names, with role and proof.
fn roles(objects: impl IntoIterator<Item = Value>, name: &str) -> Vec<String> {
    let facts = facts(Origin::Live, objects);
    let pod = facts.pods().iter().find(|pod| pod.meta.name == name).unwrap();
    let table = SidecarTable::default();
    let told = |one: &kubeguard_core::pods::RoleOf<'_>| {
        let role = if one.role == Role::Main { "main" } else { "sidecar" };
        format!("{} {role} {}", one.container, one.proof)
    };
    facts.roles(pod, &table, now()).iter().map(told).collect()
}

fn batch(containers: Value) -> Value {
    let mut pod = pod("run-1-a", owner("batch/v1", "Job", "run-1", true));
    pod["spec"] = json!({"restartPolicy": "Never", "containers": containers});
    pod["status"] = json!({"phase": "Running"});
    pod
}

fn job(containers: Value) -> Value {
    let mut job = object("batch/v1", "Job", "run-1", owner("batch/v1", "CronJob", "run", true));
    job["spec"] = json!({"template": {"spec": {"containers": containers}}});
    job
}

/// E23, E24.
#[test]
fn a_container_that_the_jobs_template_lacks_was_injected() {
    let both = json!([{"name": "work"}, {"name": "zz"}]);
    let one = json!([{"name": "work"}]);
    let found = roles([job(one.clone()), batch(both.clone())], "run-1-a");
    assert_eq!(found, ["work main exact", "zz sidecar exact"]);
    let mut cron = object("batch/v1", "CronJob", "run", json!([]));
    cron["spec"] = json!({"jobTemplate": {"spec": {"template": {"spec": {"containers": one}}}}});
    let found = roles([cron, job(both.clone()), batch(both.clone())], "run-1-a");
    assert_eq!(found, ["work main exact", "zz main exact"], "the cron job may have changed since");
    let mut other = job(json!([{"name": "work"}]));
    other["metadata"]["uid"] = "another".into();
    let found = roles([other, batch(both)], "run-1-a");
    assert_eq!(found, ["work main exact", "zz main exact"], "a job of the same name that was made anew");
}

/// E25.
#[test]
fn when_everything_looks_like_a_sidecar_nobody_knows_what_the_work_is() {
    let all = json!([{"name": "istio-proxy", "image": "istio/proxyv2:1"}, {"name": "vault-agent", "image": "hashicorp/vault:1"}]);
    assert_eq!(roles([job(all.clone()), batch(all)], "run-1-a"), ["istio-proxy main hint", "vault-agent main hint"]);
}

/// E26.
#[test]
fn a_name_alone_is_a_guess_and_name_and_image_a_model() {
    for (image, proof) in [("myrepo/app:1", "hint"), ("gcr.io/cloud-sql-connectors/cloud-sql-proxy:2", "model")] {
        let all = json!([{"name": "work"}, {"name": "cloud-sql-proxy", "image": image}]);
        let found = roles([job(all.clone()), batch(all)], "run-1-a");
        assert_eq!(found, ["work main exact".to_owned(), format!("cloud-sql-proxy sidecar {proof}")]);
    }
}

#[test]
fn marks_decide_before_everything_else_and_the_nearest_wins() {
    let all = json!([{"name": "istio-proxy", "image": "istio/proxyv2:1"}, {"name": "other"}]);
    let mut marked = batch(all.clone());
    marked["metadata"]["annotations"] = json!({"kubeguard.dev/main-containers": "istio-proxy"});
    let mut owner = job(all.clone());
    owner["metadata"]["annotations"] = json!({"kubeguard.dev/main-containers": "other"});
    assert_eq!(roles([owner.clone(), marked], "run-1-a"), ["istio-proxy main exact", "other sidecar exact"]);
    assert_eq!(roles([owner, batch(all)], "run-1-a"), ["istio-proxy sidecar exact", "other main exact"]);
}

#[test]
fn a_marked_main_that_is_done_makes_a_guess_likely() {
    let all = json!([{"name": "work"}, {"name": "envoy"}]);
    let mut ended = batch(all.clone());
    ended["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/default-container": "work"});
    assert_eq!(roles([job(all.clone()), ended.clone()], "run-1-a"), ["work main model", "envoy sidecar hint"]);
    ended["status"]["containerStatuses"] = json!([
        {"name": "work", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-22T09:50:00Z"}}},
        {"name": "envoy", "state": {"running": {}}}]);
    assert_eq!(roles([job(all), ended], "run-1-a"), ["work main model", "envoy sidecar model"]);
}

#[test]
fn what_runs_long_after_another_has_ended_is_a_sidecar_by_elimination() {
    let all = json!([{"name": "first"}, {"name": "second"}]);
    let ended = |at: &str| {
        let mut ended = batch(all.clone());
        ended["status"]["containerStatuses"] = json!([
            {"name": "first", "state": {"terminated": {"exitCode": 0, "finishedAt": at}}},
            {"name": "second", "state": {"running": {}}}]);
        roles([job(all.clone()), ended], "run-1-a")
    };
    assert_eq!(ended("2026-11-22T07:00:00Z"), ["first main exact", "second sidecar hint"]);
    assert_eq!(ended("2026-11-22T09:30:00Z"), ["first main exact", "second main exact"]);
    let mut usual = object("batch/v1", "Job", "run-0", owner("batch/v1", "CronJob", "run", true));
    usual["status"] = json!({"startTime": "2026-11-21T01:00:00Z", "completionTime": "2026-11-21T03:00:00Z",
        "conditions": [{"type": "Complete", "status": "True"}]});
    let mut pod = batch(all.clone());
    pod["status"]["containerStatuses"] = json!([
        {"name": "first", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-22T07:00:00Z"}}},
        {"name": "second", "state": {"running": {}}}]);
    let cron = object("batch/v1", "CronJob", "run", json!([]));
    let found = roles([cron, usual, job(all), pod], "run-1-a");
    assert_eq!(found, ["first main exact", "second main exact"], "runs of two hours may take six");
}

#[test]
fn statuses_and_equal_specs_are_kept_small() {
    let shared = facts(Origin::Live, ["a", "b"].map(|name| {
        let mut pod = pod(name, json!([]));
        pod["spec"]["nodeName"] = format!("node-{name}").into();
        pod["spec"]["volumes"] = json!([{"name": format!("kube-api-access-{name}"), "projected": {}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": format!("kube-api-access-{name}"), "mountPath": "/x"}]);
        pod["status"]["containerStatuses"] = json!([{"name": "app", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 3}}}]);
        pod
    }));
    let [a, b] = shared.pods() else { unreachable!("two pods") };
    assert!(std::ptr::eq(&raw const *a.spec, &raw const *b.spec), "one spec for both");
    assert_eq!((&*a.node, &*b.node), ("node-a", "node-b"));
    let status = a.status.as_ref().unwrap().container("app").unwrap();
    assert_eq!(
        (status.waiting(), status.last.as_ref().map(|last| last.exit_code)),
        (Some("CrashLoopBackOff"), Some(3))
    );
    assert!(matches!(status.state, State::Waiting { .. }));
}

#[test]
fn services_select_by_all_their_pairs_and_never_without_any() {
    let service = |name: &str, selector: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "team"}, "spec": {"selector": selector}});
    let known = facts(
        Origin::Manifests,
        [
            service("all", json!({"app": "web", "tier": "front"})),
            service("wider", json!({"app": "web"})),
            service("other", json!({"app": "web", "tier": "back"})),
            service("none", json!({})),
        ],
    );
    let labels = [("app", "web"), ("tier", "front")].map(|(k, v)| (k.into(), v.into())).into_iter().collect();
    let found: Vec<String> = known.services_of(&"team".into(), &labels).map(|s| s.meta.name.to_string()).collect();
    assert_eq!(found, ["all", "wider"]);
    assert_eq!(known.services_of(&"shop".into(), &labels).count(), 0);
}
