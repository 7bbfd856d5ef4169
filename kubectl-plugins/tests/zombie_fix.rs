//! `kubectl zombie-jobs --fix` against an API server that forwards ports to a process of the test: what is sent, byte for
//! byte, what is refused, and what is told.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

mod zombies;

use std::sync::Arc;

use insta::assert_snapshot;
use kubeguard_testkit::{FakeCluster, Fault, Manners};
use serde_json::{Value, json};
use zombies::{EVENTS, JOBS, PODS, World, finish, held, job, pod};

#[test]
fn a_proxy_is_asked_to_quit_and_the_end_of_the_job_is_seen() {
    let world = World::new();
    world.add("load");
    let sidecar = world.sidecar("load", Manners::Answers(200), |cluster| finish(cluster, "load", 0));
    assert_snapshot!(world.run("--fix quit --yes -q"), @r"
    0
    quit         istio-proxy in pod load-x: POST 127.0.0.1:15020/quitquitquit (port-forward)
                 predicted: istio-proxy ends with 0 → pod Succeeded → the job completes
                 seen: istio-proxy ended with 0, pod Succeeded, the job is complete
    1 done, 0 refused
    ");
    let agent = concat!("kubeguard/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        sidecar.heard(),
        [format!(
            "POST /quitquitquit HTTP/1.1\r\nHost: 127.0.0.1:15020\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        )]
    );
    let seen = world.cluster.seen();
    let at = |verb: &str, path: &str| seen.iter().position(|seen| seen.verb == verb && seen.path == path).unwrap();
    let forward = at("forward", &format!("{PODS}/load-x/portforward"));
    assert!(seen[forward].query.contains("ports=15020"), "{}", seen[forward].query);
    assert!(at("get", &format!("{PODS}/load-x")) < forward && at("get", &format!("{JOBS}/load")) < forward);
    assert_eq!(world.cluster.count("delete", ""), 0);
    let events = world.cluster.objects(EVENTS);
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["reason"], &events[0]["type"]), (&json!("KubeguardFix"), &json!("Normal")));
    let about =
        json!({"apiVersion": "batch/v1", "kind": "Job", "namespace": "team", "name": "load", "uid": "uid-load"});
    assert_eq!(events[0]["involvedObject"], about);
    let told = events[0]["message"].as_str().unwrap();
    assert_eq!(
        told,
        "asked istio-proxy of pod load-x to quit (ZJ101); predicted: istio-proxy ends with 0; pod Succeeded; the job completes"
    );
}

#[test]
fn a_dry_run_of_the_client_sends_nothing_and_says_what_would_follow() {
    let world = World::new();
    world.add_failed("load", 137);
    assert_snapshot!(world.run("--fix quit --dry-run=client"), @r"
    0
    would quit   istio-proxy in pod load-x: POST 127.0.0.1:15020/quitquitquit (port-forward)
                 predicted: istio-proxy ends with 0 → pod Failed → attempt 2 of 7: the main runs again
    nothing was changed (dry run) · 1 action, 0 refused
    ");
    assert_snapshot!(world.run("--fix delete --dry-run=client -o wide -A"), @r"
    0
    would delete job.batch/load: with its pods, in the background in namespace team
                 found by: ZJ102 (exact)
                 predicted: the job and its pods are deleted, and with them the record of the run
    nothing was changed (dry run) · 1 action, 0 refused
    ");
    world.is_untouched();
    let lists = ["list", "get"].map(|verb| world.cluster.count(verb, "/jobs/") + world.cluster.count(verb, "/pods/"));
    assert_eq!(lists, [0, 0], "nothing is read a second time");
}

#[test]
fn a_dry_run_of_the_server_asks_for_the_rights_and_changes_nothing() {
    let world = World::new();
    world.add("load");
    let told = world.run("--fix quit --dry-run=server -q");
    assert!(told.starts_with("0\nwould quit") && told.contains("nothing was changed (dry run)"), "{told}");
    let asked: Vec<Value> = world
        .seen("create", "accessreviews")
        .iter()
        .map(|seen| seen.body["spec"]["resourceAttributes"].clone())
        .collect();
    let right =
        |verb: &str| json!({"namespace": "team", "verb": verb, "resource": "pods", "subresource": "portforward"});
    assert_eq!(asked, [right("get"), right("create")]);
    assert!(world.seen("create", "/events").iter().all(|seen| seen.query == "dryRun=All"));
    world.is_untouched();
    let told = world.run("--fix delete --dry-run=server -q");
    assert!(told.starts_with("0\nwould delete"), "{told}");
    let deleted = world.seen("delete", "/jobs/load");
    assert_eq!(deleted[0].body["dryRun"], json!(["All"]));
    assert_eq!(world.cluster.objects(JOBS).len(), 1, "nothing is deleted");
    world.cluster.deny("create pods/portforward");
    assert_snapshot!(world.run("--fix quit --dry-run=server -q"), @r"
    6
    failed       istio-proxy in pod load-x: POST 127.0.0.1:15020/quitquitquit (port-forward)
                 because: ports of pods in namespace team may not be forwarded: create pods/portforward is not allowed
                 predicted: istio-proxy ends with 0 → pod Succeeded → the job completes
    nothing was changed (dry run) · 0 actions, 0 refused, 1 failed
    ");
}

#[test]
fn a_job_is_deleted_only_as_it_was_read() {
    let world = World::new();
    world.add("load");
    assert_snapshot!(world.run("--fix delete --yes -q"), @r"
    0
    deleted      job.batch/load: with its pods, in the background
                 predicted: the job and its pods are deleted, and with them the record of the run
                 seen: the job is gone
    1 done, 0 refused
    ");
    let sent = &world.seen("delete", "/jobs/load")[0];
    assert_eq!(sent.path, format!("{JOBS}/load"));
    let version = sent.body["preconditions"]["resourceVersion"].as_str().unwrap();
    assert!(!version.is_empty());
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": {"uid": "uid-load", "resourceVersion": version},
    });
    assert_eq!(sent.body, options);
    assert_eq!(world.cluster.objects(EVENTS).len(), 1);
    assert_eq!(world.cluster.count("delete", "/pods"), 0, "no pod is ever deleted");
    // It changes in the moment in which it is deleted.
    world.add("load");
    world.cluster.before("delete", "/jobs/load", |objects| {
        objects.get_mut(JOBS).unwrap().get_mut("load").unwrap()["metadata"]["resourceVersion"] = "9999".into();
    });
    let told = world.run("--fix delete --yes -q");
    assert!(told.starts_with("4\nchanged") && told.contains("has changed right now"), "{told}");
}

#[test]
fn a_job_that_its_finalizers_keep_is_not_told_as_deleted() {
    let world = World::new();
    world.add("load");
    let mut kept = job("load");
    kept["metadata"]["finalizers"] = json!(["example.com/keep"]);
    world.cluster.put(JOBS, kept);
    let told = world.run("--fix delete --yes -q --timeout 0");
    assert!(told.starts_with("6\nfailed") && told.contains("its finalizers: example.com/keep"), "{told}");
}

#[test]
fn what_has_changed_since_it_was_read_is_left_alone() {
    let world = World::new();
    for (fix, verb) in [("quit", "forward"), ("delete", "delete")] {
        for (change, words) in [
            (
                json!({"/status/containerStatuses/0/state": {"running": {}}}),
                "does not hold work|nothing says that it is stuck",
            ),
            (json!({"/metadata/uid": "another"}), "another one now|"),
            (
                json!({"/status/containerStatuses/1/state": {"terminated": {"exitCode": 0}}}),
                "does not run|nothing says",
            ),
        ] {
            if fix == "delete" && words.ends_with('|') {
                continue;
            }
            world.add("load");
            world.cluster.before("get", "/jobs/load", move |objects| {
                let pod = objects.get_mut(PODS).unwrap().get_mut("load-x").unwrap();
                for (path, value) in change.as_object().unwrap() {
                    *pod.pointer_mut(path).unwrap() = value.clone();
                }
            });
            let told = world.run(&format!("--fix {fix} --yes -q"));
            assert!(told.starts_with("4\nchanged"), "{fix}: {told}");
            assert!(words.split('|').any(|words| !words.is_empty() && told.contains(words)), "{fix}: {told}");
            assert_eq!(world.cluster.count(verb, "load"), 0, "nothing is sent");
        }
    }
    // The job itself is gone, or another one.
    world.add("load");
    world.cluster.before("get", "/jobs/load", |objects| drop(objects.get_mut(JOBS).unwrap().remove("load")));
    let told = world.run("--fix delete --yes -q");
    assert!(told.starts_with("4\n") && told.contains("job load is gone"), "{told}");
}

#[test]
fn what_cannot_be_read_again_leads_to_nothing() {
    let world = World::new();
    world.add("load");
    for path in ["/pods/load-x", "/jobs/load"] {
        world.cluster.fail("get", path, Fault::Status(403, "Forbidden"), None);
        let told = world.run("--fix quit --yes -q");
        assert!(told.starts_with("6\nfailed") && told.contains("cannot be read again"), "{told}");
        world.cluster.heal();
    }
    world.is_untouched();
    world.cluster.fail("list", "/pods", Fault::Status(403, "Forbidden"), None);
    let told = world.run("--fix quit --yes -q");
    assert!(
        told.contains("nothing to fix was found\nnot judged: ZJ101, ZJ102, ZJ103") && !told.starts_with("0\n"),
        "{told}"
    );
    let told = world.run("--fix delete --yes -q");
    assert!(!told.starts_with("0\n"), "{told}");
    world.cluster.heal();
    world.cluster.fail("list", "/jobs", Fault::Status(403, "Forbidden"), None);
    let told = world.run("--fix delete --yes -q");
    assert!(!told.starts_with("0\n"), "{told}");
    world.is_untouched();
}

#[test]
fn a_forward_that_is_forbidden_is_said_calmly() {
    let world = World::new();
    world.add("load");
    world.cluster.fail("forward", "/portforward", Fault::Status(403, "Forbidden"), None);
    assert_snapshot!(world.run("--fix quit --yes -q"), @r"
    6
    failed       istio-proxy in pod load-x: POST 127.0.0.1:15020/quitquitquit (port-forward)
                 because: ports of pods in namespace team may not be forwarded: server says (Forbidden): forward /api/v1/namespaces/team/pods/load-x/portforward is refused; it takes the verbs get and create on pods/portforward
                 predicted: istio-proxy ends with 0 → pod Succeeded → the job completes
    0 done, 0 refused, 1 failed
    ");
    assert!(world.cluster.objects(EVENTS).is_empty(), "nothing was done, so nothing is told of it");
}

#[test]
fn what_a_sidecar_answers_is_told_as_it_is() {
    let told = |manners: Manners, then: fn(&FakeCluster)| {
        let world = World::new();
        world.add("load");
        let sidecar = world.sidecar("load", manners, then);
        let told = world.run("--fix quit --yes -q --timeout 0");
        assert_eq!(sidecar.heard().len(), 1, "it is asked once");
        (told, world.cluster.objects(EVENTS).len())
    };
    for (code, words) in [
        (404, "it answers 404 at :15020/quitquitquit: it has no such endpoint, or it is switched off"),
        (503, "it answers 503 at :15020/quitquitquit: it cannot quit at the moment; try again later"),
        (405, "it wants another method"),
    ] {
        let (told, events) = told(Manners::Answers(code), |_| {});
        assert!(told.starts_with("6\nfailed") && told.contains(words), "{told}");
        assert_eq!(events, 0);
    }
    // It went without a word: what counts is what is seen.
    let (gone, events) = told(Manners::HangsUp, |cluster| finish(cluster, "load", 0));
    assert!(gone.starts_with("0\nquit "), "{gone}");
    assert_eq!(events, 1);
    for (manners, words) in [
        (Manners::Silent, "no answer within 500ms; what was predicted was not seen within 0ns"),
        (Manners::HangsUp, "the connection ended without an answer"),
        (Manners::Babbles, "what it answers is no HTTP"),
        (Manners::Answers(200), "what was predicted was not seen within 0ns"),
    ] {
        let (told, _) = told(manners, |_| {});
        assert!(told.starts_with("6\nfailed"), "{told}");
        assert!(told.contains(words) && told.contains("seen: istio-proxy still runs"), "{told}");
    }
    let world = World::new();
    world.add("load");
    let told = world.run("--fix quit --yes -q --timeout 0");
    assert!(told.starts_with("6\n") && told.contains("nothing listens at port 15020: failed to connect"), "{told}");
}

#[test]
fn after_one_that_led_to_something_else_nothing_more_is_begun() {
    let world = World::new();
    world.add("a");
    world.add("b");
    let (a, b) = (
        world.sidecar("a", Manners::Answers(200), |cluster| finish(cluster, "a", 1)),
        world.sidecar("b", Manners::Answers(200), |cluster| finish(cluster, "b", 0)),
    );
    assert_snapshot!(world.run("--fix quit --yes -q"), @r"
    6
    failed       istio-proxy in pod a-x: POST 127.0.0.1:15020/quitquitquit (port-forward)
                 because: it led to something else than was predicted
                 predicted: istio-proxy ends with 0 → pod Succeeded → the job completes
                 seen: istio-proxy ended with 1, pod Failed
    not tried    istio-proxy in pod b-x: POST 127.0.0.1:15020/quitquitquit (port-forward)
                 because: one before it led to something else than was predicted
                 predicted: istio-proxy ends with 0 → pod Succeeded → the job completes
    0 done, 0 refused, 1 failed, 1 not tried
    ");
    assert_eq!((a.heard().len(), b.heard().len()), (1, 0));
}

#[test]
fn no_more_is_done_than_max_allows_and_names_choose() {
    let world = World::new();
    world.add("a");
    world.add("b");
    let a = world.sidecar("a", Manners::Answers(200), |cluster| finish(cluster, "a", 0));
    let b = world.sidecar("b", Manners::Answers(200), |cluster| finish(cluster, "b", 0));
    let told = world.run("--fix quit --yes -q --max 1");
    assert!(told.starts_with("5\nquit ") && told.contains("because: it is beyond --max 1"), "{told}");
    assert_eq!((a.heard().len(), b.heard().len()), (1, 0));
    world.add("a");
    let told = world.run("--fix quit --yes -q job/b");
    assert!(told.starts_with("0\nquit         istio-proxy in pod b-x"), "{told}");
    assert_eq!((a.heard().len(), b.heard().len()), (1, 1));
    let told = world.run("--fix quit --yes job/b");
    assert_eq!(told, "0\nnothing to fix was found\njob/b: nothing is known that could be fixed\n");
    let told = world.run("--fix quit --yes job/c");
    assert!(told.starts_with("2\nerror: no job is called \"c\""), "{told}");
}

#[test]
fn two_acts_are_a_second_apart() {
    let world = World::new();
    world.add("a");
    world.add("b");
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let _sidecars = ["a", "b"].map(|name| {
        let heard = heard.clone();
        world.sidecar(name, Manners::Answers(200), move |cluster| {
            heard.lock().unwrap().push(std::time::Instant::now());
            finish(cluster, name, 0);
        })
    });
    let told = world.run("--fix quit --yes -q");
    assert!(told.contains("2 done, 0 refused"), "{told}");
    let heard = heard.lock().unwrap();
    assert!(heard[1] - heard[0] >= std::time::Duration::from_millis(950), "{heard:?}");
}

#[test]
fn nobody_is_there_to_be_asked_and_so_nothing_is_done() {
    let world = World::new();
    world.add("load");
    assert_snapshot!(world.run("--fix quit"), @r"
    2
    error: nobody can be asked here whether that shall be done
    try: --yes does it without asking, --dry-run=client shows what would be done
    ");
    assert!(world.cluster.seen().is_empty());
}

#[test]
fn questions_that_cannot_be_meant_are_turned_away() {
    let world = World::new();
    // JSON is YAML.
    world.write("job.yaml", &job("load").to_string());
    let told = |args: &str| world.run(args);
    assert!(
        told("--yes load").starts_with("2\nerror: --yes, --dry-run, --max and --timeout are for --fix"),
        "{}",
        told("--yes load")
    );
    assert!(told("--fix quit --yes -f job.yaml").contains("acts on a cluster, not on files"));
    assert!(told("--fix quit --yes -o sarif").contains("answers as table, wide, json, yaml or name"));
    assert!(told("--fix quit --yes --select ZJ4").contains("no rule is left whose findings --fix quit acts on"));
    assert!(told("--fix kill --yes").starts_with("2\n"));
    let told = world.run("--fix quit --dry-run=client -f job.yaml");
    assert_eq!(told, "0\nnothing to fix was found\n");
    let told = world.run("--fix quit --print-rbac -n team");
    assert!(told.contains("resources: [pods/portforward]\n  verbs: [get, create]"), "{told}");
    assert!(world.run("--fix delete --print-rbac").contains("verbs: [get, delete]"));
}

#[test]
fn an_event_that_may_not_be_written_is_a_note() {
    let world = World::new();
    world.add("load");
    let _sidecar = world.sidecar("load", Manners::Answers(200), |cluster| finish(cluster, "load", 0));
    world.cluster.fail("create", "/events", Fault::Status(403, "Forbidden"), None);
    let told = world.run("--fix quit --yes -q");
    assert!(
        told.starts_with("0\nquit ") && told.contains("note: no event was written: server says (Forbidden)"),
        "{told}"
    );
}

#[test]
fn the_report_in_json_says_what_was_done() {
    let world = World::new();
    world.add("load");
    let _sidecar = world.sidecar("load", Manners::Answers(200), |cluster| finish(cluster, "load", 0));
    world.cluster.put(JOBS, job("other"));
    world.cluster.put(PODS, held(pod("other"), json!({"name": "agent", "image": "agent:1"})));
    let told = world.run("--fix quit --yes -q -o json");
    let report: Value = serde_json::from_str(told.strip_prefix("5\n").unwrap()).unwrap();
    assert_eq!(report["kind"], "FixReport");
    assert_eq!(
        report["items"][0],
        json!({
            "action": "quit",
            "object": {"apiVersion": "batch/v1", "kind": "Job", "namespace": "team", "name": "load"},
            "uid": "uid-load", "pod": "load-x", "container": "istio-proxy", "rules": ["ZJ101"], "proof": "exact",
            "request": {"method": "POST", "port": 15020, "path": "/quitquitquit", "by": "portforward"},
            "predicted": [{
                "steps": ["istio-proxy ends with 0", "pod Succeeded", "the job completes"],
                "podPhase": "Succeeded", "job": "complete", "runsAgain": false, "assumptions": [],
            }],
            "notes": [], "result": "done", "seen": "istio-proxy ended with 0, pod Succeeded, the job is complete",
        })
    );
    assert_eq!(report["items"][1]["result"], "refused");
    assert_eq!(report["items"][1]["reason"], "no endpoint is known by which agent quits");
    let counts = json!({"planned": 0, "done": 1, "refused": 1, "changed": 0, "failed": 0, "notTried": 0});
    assert_eq!((&report["summary"], &report["exitCode"]), (&counts, &json!(5)));
    world.add("load");
    assert_eq!(world.run("--fix quit --dry-run=client -q -o name load"), "0\njob.batch/load\n");
    assert!(world.run("--fix quit --dry-run=client -q -o yaml load").contains("result: planned"));
}

#[test]
fn the_help_has_examples_and_every_exit_code() {
    let help = World::new().run("--help");
    for words in
        ["--fix quit --dry-run=client", "sidecars -A", "A pod is never deleted", "--watch", "  5    with --fix"]
    {
        assert!(help.contains(words), "{words} is not in {help}");
    }
    assert!(World::new().run("sidecars --help").contains("jq -r"));
}
