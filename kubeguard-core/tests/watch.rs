//! What a server may do to a wait, on a server that does it on demand.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::access::{Access, Cluster, Environment};
use kubeguard_core::error::{Error, Failure};
use kubeguard_core::gather::pages::fold;
use kubeguard_core::gather::resource::Resource;
use kubeguard_core::kinds::{CustomResourceDefinition, Deployment, Pod};
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::record::Target;
use kubeguard_core::wait::recording::Replay;
use kubeguard_core::wait::report::{Ended, WaitReport};
use kubeguard_core::wait::rules::{Rules, Sources};
use kubeguard_core::wait::verdict::Verdict;
use kubeguard_core::wait::{self, live::Wait};
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/team/deployments";
const PODS: &str = "/api/v1/namespaces/team/pods";

async fn cluster(fake: &FakeCluster) -> Cluster {
    // The first client of a process chooses the TLS provider; later ones find it there.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let access = Access {
        server: Some(fake.url().to_owned()),
        user_agent: "kubeguard-tests/1".to_owned(),
        request_timeout: Some(Duration::from_secs(5)),
        ..Access::default()
    };
    access.connect(&Environment::default()).await.unwrap()
}

fn deployment(name: &str, generation: i64, ready: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "team", "generation": generation, "labels": {"app": name}},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready},
    })
}

/// Puts a Deployment with one pod, and the ReplicaSet that every rollout needs.
fn put(fake: &FakeCluster, name: &str, ready: i32) {
    let owner = json!({"kind": "Deployment", "name": name, "uid": format!("uid-{name}"), "controller": true});
    let metadata = json!({"name": format!("{name}-1"), "namespace": "team", "ownerReferences": [owner]});
    fake.put(
        "/apis/apps/v1/namespaces/team/replicasets",
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata}),
    );
    fake.put(DEPLOYMENTS, deployment(name, 1, ready));
}

fn target(name: &str) -> Target {
    Target::named(Resource::of::<Deployment>(), Some("team"), name)
}

type Waiting = Wait<fn() -> Timestamp>;

async fn waiting(fake: &FakeCluster, targets: Vec<Target>) -> Waiting {
    let clock: fn() -> Timestamp = Timestamp::now;
    Wait::new(cluster(fake).await, targets, Policy::default(), clock)
}

/// Waits until the item says so, or the wait ends.
async fn until(wait: &mut Waiting, reason: &str) {
    let soon = tokio::time::timeout(Duration::from_secs(20), async {
        while wait.next().await.unwrap().is_some_and(|update| !update.changes.iter().any(|item| item.reason == reason))
        {
        }
    });
    soon.await.unwrap();
}

async fn finish(wait: &mut Waiting) -> WaitReport {
    let soon = tokio::time::timeout(Duration::from_secs(20), async { while wait.next().await.unwrap().is_some() {} });
    soon.await.unwrap();
    wait.report(false).unwrap()
}

/// Starts a wait for one Deployment that is not ready, with its watch open.
async fn open(fake: &FakeCluster) -> Waiting {
    put(fake, "web", 0);
    let mut wait = waiting(fake, vec![target("web")]).await;
    until(&mut wait, "AvailableReplicas").await;
    while fake.count("watch", "deployments") == 0 {
        drop(tokio::time::timeout(Duration::from_millis(20), wait.next()).await);
    }
    wait
}

#[tokio::test]
async fn a_change_in_the_stream_is_seen() {
    let fake = FakeCluster::start();
    let mut wait = open(&fake).await;
    put(&fake, "web", 1);
    assert_eq!(finish(&mut wait).await.verdict, Verdict::Complete);
}

#[tokio::test]
async fn a_forgotten_version_is_listed_again_and_no_transition_is_lost() {
    let fake = FakeCluster::start();
    let mut wait = open(&fake).await;
    fake.silently(|objects, version| {
        let mut changed = deployment("web", 1, 1);
        changed["metadata"]["uid"] = "uid-web".into();
        changed["metadata"]["resourceVersion"] = version.to_string().into();
        objects.get_mut(DEPLOYMENTS).unwrap().insert("web".to_owned(), changed);
    });
    fake.forget();
    let report = finish(&mut wait).await;
    assert_eq!((report.verdict, report.items[0].verdict), (Verdict::Complete, Verdict::Complete));
    assert!(fake.count("list", "deployments") >= 2);
}

#[tokio::test]
async fn an_object_that_vanished_while_the_stream_was_down_is_gone() {
    let fake = FakeCluster::start();
    let mut wait = open(&fake).await;
    fake.silently(|objects, _| drop(objects.get_mut(DEPLOYMENTS).unwrap().remove("web")));
    fake.forget();
    let report = finish(&mut wait).await;
    assert_eq!((report.verdict, report.items[0].reason.as_str()), (Verdict::Missing, "Gone"));
}

#[tokio::test]
async fn a_closed_stream_goes_on_where_it_stopped_without_a_list() {
    let fake = FakeCluster::start();
    let mut wait = open(&fake).await;
    let lists = fake.count("list", "deployments");
    fake.close_watches();
    put(&fake, "web", 1);
    assert_eq!(finish(&mut wait).await.verdict, Verdict::Complete);
    assert_eq!(fake.count("list", "deployments"), lists);
    assert!(fake.count("watch", "deployments") >= 2);
}

#[tokio::test]
async fn a_bookmark_moves_the_version_from_which_a_stream_goes_on() {
    let fake = FakeCluster::start();
    let mut wait = open(&fake).await;
    fake.put("/api/v1/namespaces/team/configmaps", json!({"metadata": {"name": "noise"}}));
    fake.bookmark();
    fake.close_watches();
    put(&fake, "web", 1);
    assert_eq!(finish(&mut wait).await.verdict, Verdict::Complete);
    let versions: Vec<String> = fake
        .seen()
        .iter()
        .filter(|seen| seen.verb == "watch" && seen.path == DEPLOYMENTS)
        .map(|seen| seen.query.clone())
        .collect();
    let version = |query: &str| {
        query.split("resourceVersion=").nth(1).unwrap().split('&').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(version(&versions[1]) > version(&versions[0]), "{versions:?}");
}

#[tokio::test]
async fn errors_that_pass_do_not_end_a_wait() {
    for fault in
        [Fault::Status(500, "InternalError"), Fault::Limited(0), Fault::Garbage, Fault::GoneInWatch, Fault::Closed]
    {
        let fake = FakeCluster::start();
        put(&fake, "web", 0);
        fake.fail("watch", "deployments", fault.clone(), Some(1));
        let mut wait = waiting(&fake, vec![target("web")]).await;
        until(&mut wait, "AvailableReplicas").await;
        put(&fake, "web", 1);
        assert_eq!(finish(&mut wait).await.verdict, Verdict::Complete, "{fault:?}");
    }
    let fake = FakeCluster::start();
    put(&fake, "web", 1);
    fake.fail("list", "deployments", Fault::Status(500, "InternalError"), Some(1));
    assert_eq!(finish(&mut waiting(&fake, vec![target("web")]).await).await.verdict, Verdict::Complete);
}

#[tokio::test]
async fn without_the_right_to_watch_the_list_is_read_again() {
    let fake = FakeCluster::start();
    put(&fake, "web", 0);
    fake.fail("watch", "deployments", Fault::Status(403, "Forbidden"), None);
    let mut wait = waiting(&fake, vec![target("web")]).await;
    until(&mut wait, "AvailableReplicas").await;
    put(&fake, "web", 1);
    assert_eq!(finish(&mut wait).await.verdict, Verdict::Complete);
}

#[tokio::test]
async fn without_the_right_to_list_a_named_object_is_read_by_name() {
    let fake = FakeCluster::start();
    put(&fake, "web", 1);
    fake.fail("list", "deployments", Fault::Status(403, "Forbidden"), None);
    let report = finish(&mut waiting(&fake, vec![target("web")]).await).await;
    assert_eq!(report.verdict, Verdict::Complete);
    assert!(report.requests.get >= 1);
}

#[tokio::test]
async fn without_any_right_the_object_is_skipped_and_named() {
    let fake = FakeCluster::start();
    put(&fake, "web", 1);
    for verb in ["list", "get", "watch"] {
        fake.fail(verb, "deployments", Fault::Status(403, "Forbidden"), None);
    }
    let report = finish(&mut waiting(&fake, vec![target("web")]).await).await;
    assert_eq!((report.exit_code, report.items.len(), report.skipped[0].object.as_str()), (2, 0, "deployment/web"));
    assert!(report.skipped[0].reason.starts_with("cannot get deployments in namespace team"), "{:?}", report.skipped);
}

#[tokio::test]
async fn pods_that_may_not_be_read_cost_detail_and_no_verdict() {
    let fake = FakeCluster::start();
    let mut wait = {
        put(&fake, "web", 0);
        for kind in ["pods", "replicasets", "events"] {
            fake.fail("list", kind, Fault::Status(403, "Forbidden"), None);
        }
        waiting(&fake, vec![target("web")]).await
    };
    until(&mut wait, "AvailableReplicas").await;
    put(&fake, "web", 1);
    assert_eq!(finish(&mut wait).await.verdict, Verdict::Complete);
}

#[tokio::test]
async fn an_object_that_leaves_the_selector_leaves_the_set() {
    let fake = FakeCluster::start();
    for name in ["web", "api"] {
        put(&fake, name, 0);
        let mut object = deployment(name, 1, i32::from(name == "web"));
        object["metadata"]["labels"]["team"] = "shop".into();
        fake.put(DEPLOYMENTS, object);
    }
    let selection = Target::selected(Resource::of::<Deployment>(), Some("team"), "team=shop");
    let mut wait = waiting(&fake, vec![selection]).await;
    until(&mut wait, "AvailableReplicas").await;
    while fake.count("watch", "deployments") == 0 {
        drop(tokio::time::timeout(Duration::from_millis(20), wait.next()).await);
    }
    // A server tells a watch with a selector that the object is deleted; a look by name finds it.
    fake.silently(|objects, version| {
        let mut left = deployment("api", 1, 0);
        left["metadata"]["resourceVersion"] = version.to_string().into();
        objects.get_mut(DEPLOYMENTS).unwrap().insert("api".to_owned(), left);
    });
    fake.forget();
    let report = finish(&mut wait).await;
    assert_eq!((report.verdict, report.items.len(), report.items[0].name.as_str()), (Verdict::Complete, 1, "web"));
}

#[tokio::test]
async fn requests_do_not_grow_with_the_number_of_objects() {
    for count in [1, 400] {
        let fake = FakeCluster::start();
        for number in 0..count {
            fake.put(DEPLOYMENTS, deployment(&format!("web-{number}"), 1, 1));
        }
        let selection = Target::selected(Resource::of::<Deployment>(), Some("team"), "");
        let report = finish(&mut waiting(&fake, vec![selection]).await).await;
        assert_eq!((report.verdict, report.items.len()), (Verdict::Complete, count));
        assert!(report.requests.list <= 4 && report.requests.watch <= 4, "{:?}", report.requests);
    }
}

#[tokio::test]
async fn an_unreachable_server_is_one_clear_error() {
    let fake = FakeCluster::start();
    let url = fake.url().to_owned();
    let cluster = cluster(&fake).await;
    drop(fake);
    while std::net::TcpStream::connect(url.trim_start_matches("http://")).is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let clock: fn() -> Timestamp = Timestamp::now;
    let error = Wait::new(cluster, vec![target("web")], Policy::default(), clock).next().await.unwrap_err();
    assert_eq!(error.to_string(), "cannot list deployments in namespace team");
    assert!(
        matches!(&error, Error::Api { failure: Failure::Connection(why), .. } if why.contains("refused")),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_servers_clock_is_the_clock() {
    let fake = FakeCluster::start();
    fake.date("Thu, 01 Jan 2026 12:00:00 GMT");
    put(&fake, "web", 1);
    let mut wait = waiting(&fake, vec![target("web")]).await;
    let report = finish(&mut wait).await;
    assert_eq!(report.ended, Ended::Done);
    assert!(
        report.items[0].since.unwrap().to_string().starts_with("2026-01-01T12:00:0"),
        "{:?}",
        report.items[0].since
    );
    assert!(wait.skew().abs().as_hours() > 24);
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "team"}})
}

#[tokio::test]
async fn a_list_is_folded_page_by_page() {
    let fake = FakeCluster::start();
    fake.page_size(100);
    for number in 0..450 {
        fake.put(PODS, pod(&format!("pod-{number}")));
    }
    let cluster = cluster(&fake).await;
    let count = fold::<Pod, usize>(&cluster, Some("team"), "", || 0, |count, _| *count += 1).await.unwrap();
    assert_eq!((count, fake.count("list", "pods")), (450, 5));
    let first = &fake.seen()[0];
    assert!(first.accept.starts_with("application/vnd.kubernetes.protobuf"), "{first:?}");
    assert!(first.query.contains("limit=500"), "{first:?}");
    assert_eq!(first.user_agent, "kubeguard-tests/1");
}

#[tokio::test]
async fn a_list_that_is_forgotten_in_the_middle_begins_anew() {
    let fake = FakeCluster::start();
    fake.page_size(10);
    for number in 0..25 {
        fake.put(PODS, pod(&format!("pod-{number:02}")));
    }
    fake.fail("list", "continue=20", Fault::Status(410, "Expired"), Some(1));
    let cluster = cluster(&fake).await;
    let count = fold::<Pod, usize>(&cluster, Some("team"), "", || 0, |count, _| *count += 1).await.unwrap();
    assert_eq!((count, fake.count("list", "pods")), (25, 6));
}

#[tokio::test]
async fn a_part_of_a_list_is_never_given_as_the_whole() {
    let fake = FakeCluster::start();
    fake.page_size(1);
    fake.put(PODS, pod("a"));
    fake.put(PODS, pod("b"));
    fake.fail("list", "continue=", Fault::Status(403, "Forbidden"), None);
    let cluster = cluster(&fake).await;
    let counted = fold::<Pod, usize>(&cluster, Some("team"), "", || 0, |count, _| *count += 1).await;
    assert_eq!(counted.unwrap_err().to_string(), "cannot list pods in namespace team");
}

#[tokio::test]
async fn json_is_asked_for_where_a_server_refuses_protobuf() {
    let fake = FakeCluster::start();
    fake.put(PODS, pod("a"));
    fake.fail("list", "pods", Fault::Status(406, "NotAcceptable"), Some(1));
    let cluster = cluster(&fake).await;
    let count = fold::<Pod, usize>(&cluster, Some("team"), "", || 0, |count, _| *count += 1).await.unwrap();
    assert_eq!(count, 1);
    assert_eq!(fake.seen().last().unwrap().accept, "application/json");
}

/// A file in memory that the test still has when the wait owns it.
#[derive(Clone, Default)]
struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_interrupted_wait_tells_its_time_and_is_replayed_as_interrupted() {
    let fake = FakeCluster::start();
    put(&fake, "web", 0);
    let ahead = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let later = ahead.clone();
    let clock = move || Timestamp::now() + SignedDuration::from_secs(later.load(std::sync::atomic::Ordering::Relaxed));
    let memory = Memory::default();
    let mut wait = Wait::new(cluster(&fake).await, vec![target("web")], Policy::default(), clock).record(
        Box::new(memory.clone()),
        "run.ndjson",
        "test",
        &[],
    );
    while wait.next().await.unwrap().is_some_and(|update| update.changes[0].reason != "AvailableReplicas") {}
    ahead.store(42, std::sync::atomic::Ordering::Relaxed);
    wait.interrupt().unwrap();
    let report = wait.report(false).unwrap();
    assert_eq!((report.ended, report.exit_code), (Ended::Interrupted, 130));
    assert!((42.0..60.0).contains(&report.elapsed_seconds), "{}", report.elapsed_seconds);
    assert!(wait.next().await.unwrap().is_none());

    let recorded = memory.0.lock().unwrap().clone();
    let mut replay = Replay::open(recorded.as_slice(), "run.ndjson", |_| ()).unwrap();
    while replay.next_update().unwrap().is_some() {}
    assert!(!replay.is_cut());
    assert_eq!(replay.report(false), report);
}

#[tokio::test]
async fn a_wait_that_is_interrupted_before_any_answer_tells_what_it_waited_for() {
    let fake = FakeCluster::start();
    let mut wait = waiting(&fake, vec![target("web")]).await;
    wait.interrupt().unwrap();
    let report = wait.report(false).unwrap();
    assert_eq!((report.ended, report.items.len()), (Ended::Interrupted, 1));
    assert_eq!(report.items[0].verdict, Verdict::Progressing);
}

/// Asks for the next change like a caller that redraws meanwhile: every question is dropped after a moment.
async fn impatiently(wait: &mut Waiting) -> WaitReport {
    let end =
        async { while !matches!(tokio::time::timeout(Duration::from_millis(20), wait.next()).await, Ok(Ok(None))) {} };
    tokio::time::timeout(Duration::from_secs(20), end).await.unwrap();
    wait.report(false).unwrap()
}

#[tokio::test]
async fn a_caller_that_drops_its_questions_still_gets_the_details_once() {
    let fake = FakeCluster::start();
    let waiting_for_image = json!({"reason": "ErrImagePull", "message": "manifest unknown"});
    fake.put(
        PODS,
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "job", "namespace": "team"},
            "spec": {"containers": [{"name": "app", "image": "registry.example.org/app:1"}]},
            "status": {"phase": "Pending", "containerStatuses": [
                {"name": "app", "restartCount": 0, "state": {"waiting": waiting_for_image}},
            ]},
        }),
    );
    fake.put(
        "/api/v1/namespaces/team/events",
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "job.1", "namespace": "team"},
            "involvedObject": {"kind": "Pod", "name": "job", "namespace": "team"},
            "type": "Warning", "reason": "Failed", "message": "manifest unknown",
        }),
    );
    fake.fail("list", "/events", Fault::Slow(Duration::from_millis(300)), None);
    let mut wait = waiting(&fake, vec![Target::named(Resource::of::<Pod>(), Some("team"), "job")]).await;
    let report = impatiently(&mut wait).await;
    assert_eq!((report.verdict, report.ended), (Verdict::Failed, Ended::Failed));
    assert_eq!(fake.count("list", "events"), 1);
}

#[tokio::test]
async fn a_caller_that_drops_its_questions_still_learns_that_a_kind_is_served() {
    let fake = FakeCluster::start();
    let kind = Resource {
        group: "acme.example".to_owned(),
        version: "v1".to_owned(),
        kind: "Widget".to_owned(),
        plural: "widgets".to_owned(),
        namespaced: true,
    };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.acme.example"},
        "spec": {"group": "acme.example", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                 "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
        "status": {"conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]},
    });
    fake.put("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition);
    let crd = Target::named(Resource::of::<CustomResourceDefinition>(), None, "widgets.acme.example");
    let mut wait = waiting(&fake, vec![crd, Target::named(kind, Some("team"), "one")]).await;
    for _ in 0..5 {
        drop(tokio::time::timeout(Duration::from_millis(20), wait.next()).await);
    }
    fake.fail("other", "/apis/acme.example/v1", Fault::Slow(Duration::from_millis(300)), None);
    fake.serve("acme.example", "v1", "Widget", "widgets");
    let widget = json!({
        "apiVersion": "acme.example/v1", "kind": "Widget", "metadata": {"name": "one", "namespace": "team", "generation": 1},
        "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]},
    });
    fake.put("/apis/acme.example/v1/namespaces/team/widgets", widget);
    assert_eq!(impatiently(&mut wait).await.verdict, Verdict::Complete);
}

fn short(seconds: i64) -> Policy {
    Policy { timeout: Some(SignedDuration::from_secs(seconds)), ..Policy::default() }
}

#[tokio::test]
async fn a_list_that_is_not_read_to_its_end_is_no_yes() {
    let fake = FakeCluster::start();
    put(&fake, "api", 1);
    put(&fake, "web", 0);
    fake.page_size(1);
    fake.fail("list", "continue=", Fault::Slow(Duration::from_mins(1)), None);
    let target = Target::selected(Resource::of::<Deployment>(), Some("team"), String::new());
    let report = wait::wait(cluster(&fake).await, vec![target], short(3), Timestamp::now).await.unwrap();
    assert_eq!((report.ended, report.exit_code, report.verdict), (Ended::TimedOut, 3, Verdict::Progressing));
    assert_eq!(report.items[0].verdict, Verdict::Complete);
}

#[tokio::test]
async fn a_server_that_never_answers_is_an_error_at_the_deadline() {
    let fake = FakeCluster::start();
    put(&fake, "web", 1);
    fake.fail("list", "/deployments", Fault::Slow(Duration::from_mins(5)), None);
    let ended = wait::wait(cluster(&fake).await, vec![target("web")], short(1), Timestamp::now);
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
    assert!(matches!(ended, Err(Error::Api { failure: Failure::TimedOut(_), .. })), "{ended:?}");
}

#[tokio::test]
async fn what_can_never_be_read_is_no_answer_with_the_servers_words() {
    for (fault, words) in [
        (Fault::Status(400, "BadRequest"), "BadRequest"),
        (Fault::Status(404, "NotFound"), "NotFound"),
        (Fault::Status(500, "InternalError"), "InternalError"),
    ] {
        let fake = FakeCluster::start();
        put(&fake, "web", 1);
        fake.fail("list", "/deployments", fault, None);
        let report = wait::wait(cluster(&fake).await, vec![target("web")], short(6), Timestamp::now).await.unwrap();
        assert_eq!(report.exit_code, 2, "{report:?}");
        assert!(report.skipped[0].reason.contains(words), "{report:?}");
    }
}

#[test]
fn a_recording_cut_before_anything_was_seen_is_no_yes() {
    let text = include_str!("../../examples/recordings/a-good-rollout.ndjson");
    let header = text.lines().next().unwrap().to_owned() + "\n";
    let mut replay = Replay::open(header.as_bytes(), "cut", |_| ()).unwrap();
    while replay.next_update().unwrap().is_some() {}
    let report = replay.report(false);
    assert_eq!((report.ended, report.exit_code, report.verdict), (Ended::Cut, 3, Verdict::Progressing));
}

#[tokio::test]
async fn several_names_are_read_one_by_one_where_their_list_is_refused() {
    let fake = FakeCluster::start();
    put(&fake, "api", 1);
    put(&fake, "web", 1);
    fake.fail("list", "/deployments", Fault::Status(403, "Forbidden"), None);
    fake.fail("get", "/deployments/web", Fault::Status(403, "Forbidden"), None);
    let mut wait = waiting(&fake, vec![target("api"), target("web")]).await;
    let report = finish(&mut wait).await;
    assert_eq!((report.items.len(), report.items[0].verdict), (1, Verdict::Complete), "{report:?}");
    assert_eq!((report.skipped[0].object.as_str(), report.exit_code), ("deployment/web", 6), "{report:?}");
}

#[tokio::test]
async fn a_callers_own_words_read_fields_that_no_rule_reads_live_and_replayed() {
    let fake = FakeCluster::start();
    let mut web = deployment("web", 1, 0);
    web["spec"]["revisionHistoryLimit"] = 7.into();
    fake.put(DEPLOYMENTS, web);
    let sources = Sources { done_when: vec!["spec.revisionHistoryLimit == 7".to_owned()], ..Sources::default() };
    let policy = Policy { rules: Rules::new(sources).unwrap(), ..short(10) };
    let memory = Memory::default();
    let wait = Wait::new(cluster(&fake).await, vec![target("web")], policy, Timestamp::now);
    let mut wait = wait.record(Box::new(memory.clone()), "run.ndjson", "test", &[]);
    while wait.next().await.unwrap().is_some() {}
    let report = wait.report(false).unwrap();
    assert_eq!(report.verdict, Verdict::Complete, "{report:?}");
    let recorded = memory.0.lock().unwrap().clone();
    let mut replay = Replay::open(recorded.as_slice(), "run.ndjson", |_| ()).unwrap();
    while replay.next_update().unwrap().is_some() {}
    assert_eq!(replay.report(false), report);
}
