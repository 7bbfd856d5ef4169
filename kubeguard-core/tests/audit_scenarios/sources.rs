//! Mixtures of rows: the same objects in a cluster, in files and in a snapshot are judged alike, and what may not be read
//! takes nothing from what may.

use std::collections::BTreeSet;

use kubeguard_core::audit::gather::{Files, Scope};
use kubeguard_core::audit::snapshot::{self, Keep};
use kubeguard_core::audit::{self, AuditReport, Fact, Facts, Finding, Policy, Rule, Selection, audit, needs};
use kubeguard_testkit::{FakeCluster, Fault};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::server::{connect, gathered, put};
use super::{NOW, objects, tables};

const DATE: &str = "Sun, 22 Nov 2026 10:00:00 GMT";

fn rules(select: &[&str]) -> Vec<&'static Rule> {
    let select = select.iter().map(|id| (*id).to_owned()).collect();
    Selection { select, ignore: Vec::new() }.of(audit::rules()).unwrap()
}

fn judged(facts: &Facts, rules: &[&Rule]) -> AuditReport {
    audit(facts, rules, &Policy::default(), NOW.parse().unwrap())
}

/// The objects of a row.
#[derive(Debug, Clone)]
struct Piece {
    objects: Vec<Value>,
    /// Files are judged like a cluster: nothing of it is about what only a cluster knows.
    of_files: bool,
}

/// Returns the objects of every row that a cluster and its snapshot judge alike: of kinds that every cluster serves.
fn pieces() -> Vec<Piece> {
    let built_in = |object: &Value| {
        let group = object["apiVersion"].as_str().unwrap_or_default().split_once('/').map_or("", |(group, _)| group);
        Fact::of(group, object["kind"].as_str().unwrap_or_default()).is_some_and(Fact::is_built_in)
    };
    let mut pieces = Vec::new();
    for (_, table) in tables() {
        for row in &table.rows {
            let has = |origin: &str| row.origins.is_empty() || row.origins.iter().any(|name| name == origin);
            if has("live") && has("snapshot") {
                let objects = objects(&table, row).into_iter().filter(built_in).collect();
                pieces.push(Piece { objects, of_files: has("manifests") });
            }
        }
    }
    pieces
}

/// Moves objects into a namespace of their own, with identities of their own.
fn moved(value: &mut Value, number: usize) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| moved(item, number)),
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "namespace" || key == "uid" => *text = format!("{text}-{number}"),
                    value => moved(value, number),
                }
            }
        }
        _ => {}
    }
}

/// Returns the pointers of every field that somebody declares.
fn declared(value: &Value, at: &str, found: &mut Vec<String>) {
    if let Value::Object(map) = value {
        for (key, value) in map {
            let path = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
            declared(value, &path, found);
            found.push(path);
        }
    } else if let Value::Array(items) = value {
        items.iter().enumerate().for_each(|(index, item)| declared(item, &format!("{at}/{index}"), found));
    }
}

/// Leaves out one declared field.
fn without(object: &mut Value, choice: usize) {
    let mut fields = Vec::new();
    declared(&object["spec"], "/spec", &mut fields);
    // A server gives a pod its policy; and a job's pod never has the one that it would get here.
    fields.retain(|path| path != "/spec/restartPolicy");
    let Some(path) = fields.get(choice % fields.len().max(1)) else { return };
    let (parent, key) = path.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    if let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.remove(&key);
    }
}

/// Gives an object what every server gives it.
fn accepted(object: &mut Value) {
    if object["kind"] == "Namespace" || object["kind"] == "Node" {
        object["metadata"].as_object_mut().unwrap().remove("namespace");
    }
    if object["kind"] == "Pod" && object["spec"]["restartPolicy"].is_null() {
        object["spec"]["restartPolicy"] = "Always".into();
    }
    if !object["spec"].is_null() && object["status"].is_null() {
        object["status"] = json!({});
    }
    let uid = format!("{}-{}-{}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]);
    let meta = &mut object["metadata"];
    if meta["uid"].is_null() {
        meta["uid"] = uid.into();
    }
    if meta["creationTimestamp"].is_null() {
        meta["creationTimestamp"] = "2026-11-22T08:00:00Z".into();
    }
}

/// One of each kind whose absence from files says nothing, for every namespace that objects are in.
fn bystanders(objects: &[Value]) -> Vec<Value> {
    let places: BTreeSet<&str> = objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    let mut all =
        vec![json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bystander", "uid": "bystander"}})];
    for place in places {
        let meta = |name: &str| json!({"name": name, "namespace": place, "uid": format!("{name}-{place}")});
        all.extend([
            json!({"apiVersion": "v1", "kind": "Event", "metadata": meta("bystander-e"), "type": "Normal", "reason": "Pulled",
                "involvedObject": {"kind": "Pod", "namespace": place, "name": "none", "uid": "none"}}),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta("bystander-s"),
                "addressType": "IPv4", "endpoints": []}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("bystander-p"),
                "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a:1"}]}, "status": {"phase": "Succeeded"}}),
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta("bystander-r"), "spec": {"replicas": 0}}),
        ]);
    }
    all
}

/// Several rows, some of their fields left out, each in namespaces of its own.
fn mixture() -> impl Strategy<Value = Piece> {
    let pieces = pieces();
    let piece = (0..pieces.len(), prop::collection::vec((any::<prop::sample::Index>(), any::<u16>()), 0..2));
    prop::collection::vec(piece, 1..12).prop_map(move |chosen| {
        let (mut all, mut like_files) = (Vec::new(), true);
        for (number, (index, changes)) in chosen.into_iter().enumerate() {
            let Piece { objects: mut piece, of_files } = pieces[index].clone();
            like_files &= of_files;
            for (at, choice) in changes {
                if !piece.is_empty() {
                    let at = at.index(piece.len());
                    without(&mut piece[at], usize::from(choice));
                }
            }
            for object in &mut piece {
                moved(object, number);
            }
            all.extend(piece);
        }
        all.extend(bystanders(&all));
        all.iter_mut().for_each(accepted);
        Piece { objects: all, of_files: like_files }
    })
}

/// Rules whose answer depends on the source by their meaning: a field that a server has kept is one that it knows.
const OF_FILES: [&str; 1] = ["PA702"];

fn told(finding: &Finding) -> String {
    serde_json::to_string(finding).unwrap()
}

/// Returns what the second report says otherwise than the first.
fn difference(one: &[Finding], other: &[Finding]) -> String {
    let (one, other): (BTreeSet<String>, BTreeSet<String>) =
        (one.iter().map(told).collect(), other.iter().map(told).collect());
    let lines = |sign: &str, a: &BTreeSet<String>, b: &BTreeSet<String>| {
        a.difference(b).map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    lines("-", &one, &other) + &lines("+", &other, &one)
}

/// E17.
#[test]
fn a_cluster_its_files_and_its_snapshot_give_the_same_findings() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let fired = std::cell::RefCell::new(BTreeSet::new());
    let result = runner.run(&mixture(), |Piece { objects, of_files }| {
        let server = FakeCluster::start();
        server.date(DATE);
        server.serve_workloads("cluster");
        server.minor_version(audit::NEWEST.1);
        put(&server, &objects);
        let mut files = Files::new("default");
        for (index, object) in objects.iter().enumerate() {
            files.text(&format!("{index}.json"), object.to_string().as_bytes());
        }
        let files = files.finish();
        let recorded = runtime.block_on(async {
            let mut bytes = Vec::new();
            let (needs, scope, clock) = (needs(rules(&[])), Scope::default(), NOW.parse().unwrap());
            let cluster = connect(&server).await;
            snapshot::record(&cluster, &needs, &scope, Keep::default(), clock, &mut bytes).await.unwrap();
            bytes
        });
        let (again, header) = snapshot::read("s", recorded.as_slice(), snapshot::builder()).unwrap();
        // A family is read alone too: what its lists leave out must not be missed.
        for select in [&[][..], &["ZJ"], &["PA"]] {
            let rules = rules(select);
            let live = runtime.block_on(gathered(&server, &rules, &[]));
            prop_assert_eq!(Some(header.taken_at), live.now);
            let [live, files, again] = [&live.facts, &files, &again].map(|facts| {
                let mut report = judged(facts, &rules);
                report.items.retain(|item| !OF_FILES.contains(&item.rule.as_str()));
                report.items.iter_mut().for_each(|item| item.source = None);
                (report.items, report.summary.suppressed)
            });
            prop_assert!(
                !of_files || live == files,
                "{select:?}: files differ from the cluster\n{}",
                difference(&live.0, &files.0)
            );
            prop_assert!(live == again, "{select:?}: the snapshot differs\n{}", difference(&live.0, &again.0));
            for rule in rules.iter().filter(|rule| select.is_empty() && live.0.iter().any(|item| item.rule == rule.id))
            {
                let alone = runtime.block_on(gathered(&server, &[rule], &[]));
                let alone = judged(&alone.facts, &[rule]).items;
                let is_found = |item: &&Finding| alone.iter().any(|found| found.fingerprint == item.fingerprint);
                let lost = live.0.iter().filter(|item| item.rule == rule.id).find(|item| !is_found(item));
                prop_assert!(lost.is_none(), "alone it does not find {}", told(lost.unwrap()));
            }
            fired.borrow_mut().extend(live.0.into_iter().map(|finding| finding.rule));
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let fired = fired.into_inner();
    let silent: Vec<&str> = audit::rules().iter().map(|rule| rule.id).filter(|id| !fired.contains(*id)).collect();
    assert!(silent.len() * 3 < audit::rules().len(), "too many rules never had a finding: {silent:?}");
}

#[test]
fn whichever_kind_may_not_be_listed_is_named_and_what_does_not_need_it_is_judged() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Every third row, each in a namespace of its own.
    let mut all = Vec::new();
    let pieces = pieces().into_iter().filter(|piece| piece.of_files).step_by(3);
    for (number, Piece { objects: mut piece, .. }) in pieces.enumerate() {
        for object in &mut piece {
            moved(object, number);
        }
        all.extend(piece);
    }
    all.extend(bystanders(&all));
    all.iter_mut().for_each(accepted);
    for select in [&["ZJ"][..], &["PA"], &[]] {
        let rules = rules(select);
        let whole = {
            let server = FakeCluster::start();
            server.date(DATE);
            put(&server, &all);
            judged(&runtime.block_on(gathered(&server, &rules, &[])).facts, &rules)
        };
        assert!(whole.complete, "{:?}", whole.skipped);
        let wanted = needs(rules.iter().copied());
        for (fact, _) in wanted.iter().filter(|(fact, _)| fact.is_built_in() && *fact != Fact::Served) {
            let plural = fact.plural();
            let server = FakeCluster::start();
            server.date(DATE);
            put(&server, &all);
            server.fail("list", &format!("/{plural}?"), Fault::Status(403, "Forbidden"), None);
            let report = judged(&runtime.block_on(gathered(&server, &rules, &[])).facts, &rules);
            let skipped = &report.skipped;
            assert!(!report.complete, "{select:?} without {plural}");
            assert_eq!(report.exit_code(None), 6, "{select:?} without {plural}: {skipped:?}, {:?}", report.summary);
            let reason = format!("cannot list {plural}: Forbidden");
            assert!(report.skipped.iter().any(|skipped| skipped.reason == reason), "{select:?}: {skipped:?}");
            // What a rule without any word of that kind finds is still found. Suppressions and annotations are of all kinds.
            let reads = |id: &str| {
                let rule = rules.iter().find(|rule| rule.id == id).unwrap();
                ["SUP", "ANN"].contains(&rule.family()) || needs([*rule]).of(fact).is_some()
            };
            let kept: BTreeSet<&str> = report.items.iter().map(|item| item.fingerprint.as_str()).collect();
            for item in whole.items.iter().filter(|item| !reads(&item.rule)) {
                assert!(kept.contains(item.fingerprint.as_str()), "{select:?} without {plural}: lost {}", told(item));
            }
        }
    }
}
