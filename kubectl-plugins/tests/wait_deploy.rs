//! The real binary against a scripted API server: what it prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/team/deployments";
const CONFIGS: &str = "/api/v1/namespaces/team/configmaps";

struct Run {
    folder: tempfile::TempDir,
    fake: FakeCluster,
}

impl Run {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), fake: FakeCluster::start() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-wait_deploy"));
        let kubeconfig = self.fake.kubeconfig(self.folder.path());
        command
            .args(args)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("PATH", "/nowhere")
            .current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Returns the exit code, then stdout and stderr together.
    fn text(&self, args: &[&str]) -> String {
        text(&self.run(args))
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn put(&self, name: &str, ready: i32) {
        let owner = json!({"kind": "Deployment", "name": name, "uid": format!("uid-{name}"), "controller": true});
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": format!("{name}-1"), "namespace": "team", "ownerReferences": [owner]}});
        self.fake.put("/apis/apps/v1/namespaces/team/replicasets", set);
        self.fake.put(
            DEPLOYMENTS,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": name, "namespace": "team", "generation": 1},
                "spec": {"replicas": 1},
                "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready},
            }),
        );
    }
}

fn text(output: &Output) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
}

#[test]
fn an_unknown_kind_gets_the_kinds_that_are_near() {
    let run = Run::new();
    run.fake.serve("apps.example.org", "v1", "Deploymint", "deploymints");
    assert_snapshot!(run.text(&["deploymnt/web"]), @r#"
    2
    error: the server has no kind "deploymnt"
    try: did you mean deploymints.apps.example.org?
    "#);
}

#[test]
fn no_such_object_is_missing_after_its_hold_and_at_once_when_one_look_is_asked_for() {
    let run = Run::new();
    assert_snapshot!(run.text(&["deploy/web", "--once", "-q"]), @"
    1
    NAMESPACE   OBJECT           VERDICT   DETAIL
    team        deployment/web   missing   NotFound: there is no deployment/web
      remedy   apply it, or check its name and namespace
    missing: 1 missing
    ");
    let waited = run.run(&["deploy/web", "--profile", "strict", "-o", "name"]);
    assert_eq!(waited.status.code(), Some(1), "{}", text(&waited));
}

#[test]
fn labels_alone_mean_whatever_carries_them_and_what_another_owns_is_judged_through_it() {
    let run = Run::new();
    run.fake.serve("", "v1", "ConfigMap", "configmaps");
    run.fake.serve("apps", "v1", "Deployment", "deployments");
    run.fake.serve("apps", "v1", "ReplicaSet", "replicasets");
    let labels = json!({"set": "a"});
    let object = |kind: &str, api: &str, name: &str| {
        json!({"apiVersion": api, "kind": kind,
            "metadata": {"name": name, "namespace": "team", "uid": name, "generation": 1, "labels": labels}})
    };
    let mut web = object("Deployment", "apps/v1", "web");
    web["spec"] = json!({"replicas": 0});
    web["status"] = json!({"observedGeneration": 1});
    run.fake.put(DEPLOYMENTS, web);
    let mut owned = object("ReplicaSet", "apps/v1", "web-1");
    owned["metadata"]["ownerReferences"] = json!([{"kind": "Deployment", "name": "web", "uid": "web"}]);
    run.fake.put("/apis/apps/v1/namespaces/team/replicasets", owned);
    run.fake.put(CONFIGS, object("ConfigMap", "v1", "settings"));
    let found = run.run(&["-l", "set=a", "--once", "-q", "-o", "json"]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found));
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    let names: Vec<&Value> = report["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["settings", "web"], "no ReplicaSet");

    let none = run.run(&["-l", "set=b", "--once", "-q"]);
    assert!(text(&none).starts_with("2\nerror: no object of any kind has the labels set=b"), "{}", text(&none));

    // What could not be looked through may hold a member: that is never a yes.
    run.fake.fail("list", CONFIGS, Fault::Status(403, "Forbidden"), None);
    let partly = run.run(&["-l", "set=a", "--once", "-q"]);
    assert_ne!(partly.status.code(), Some(0), "{}", text(&partly));
    assert!(text(&partly).contains("configmaps"), "{}", text(&partly));
}

#[test]
fn a_recording_judged_by_other_rules_shows_both_verdicts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recordings");
    let recorded = std::fs::read_to_string(folder.join("a-good-rollout.ndjson")).unwrap();
    let mut lines: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines[0]["packHash"] = "another".into();
    let verdict = lines.iter_mut().find(|line| line["type"] == "verdict" && line["verdict"] == "complete").unwrap();
    verdict["reason"] = "Changed".into();
    let text_of = |lines: &[Value]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text_of(&lines)).unwrap();
    let replay = |path: &Path| {
        Command::new(env!("CARGO_BIN_EXE_kubectl-wait_deploy")).arg("--replay").arg(path).output().unwrap()
    };
    let shown = replay(file.path());
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown));
    assert!(text(&shown).contains("the rules have changed since: recorded complete(Changed) for "), "{}", text(&shown));

    lines[0]["packHash"] = serde_json::from_str::<Value>(recorded.lines().next().unwrap()).unwrap()["packHash"].clone();
    std::fs::write(file.path(), text_of(&lines)).unwrap();
    assert_eq!(replay(file.path()).status.code(), Some(2), "with the same rules a difference is an error");
}

#[test]
fn a_selector_that_matches_nothing_waits_as_long_as_it_is_let() {
    let run = Run::new();
    let waited = run.run(&["deploy", "-l", "app=web", "--timeout", "300ms", "-q"]);
    assert_eq!(waited.status.code(), Some(3), "{}", text(&waited));
    let enough = run.run(&["deploy", "-l", "app=web", "--min-count", "0", "-q"]);
    assert_eq!(enough.status.code(), Some(0), "{}", text(&enough));
}

#[test]
fn a_broken_file_is_named_with_line_and_column_and_nothing_is_contacted() {
    let run = Run::new();
    let good = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    run.file("two.yaml", &format!("{good}---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [broken\n"));
    let output = text(&run.run(&["-f", "two.yaml"]));
    assert!(output.starts_with("2\nerror: two.yaml:") && output.lines().count() <= 4, "{output}");
    run.file("none.yaml", &format!("{good}---\nmetadata: {{name: web}}\n"));
    assert_snapshot!(run.text(&["-f", "none.yaml"]), @"
    2
    error: none.yaml:5:1: an object without kind
    ");
    assert_eq!(run.fake.seen(), []);
}

#[test]
fn what_kubectl_apply_prints_by_default_gets_a_hint() {
    let run = Run::new();
    let mut child =
        run.command(&["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"deployment.apps/web configured\n").unwrap();
    assert_snapshot!(text(&child.wait_with_output().unwrap()), @"
    2
    error: -:1:1: this is no Kubernetes object
    try: kubectl apply -o json prints what a wait needs
    ");
}

#[test]
fn an_unreachable_server_is_one_clear_error() {
    let run = Run::new();
    let output = text(&run.run(&["deploy/web", "--server", "http://127.0.0.1:1", "--request-timeout", "5s"]));
    assert_snapshot!(output, @"
    2
    error: cannot list deployments in namespace team
    because: Connection refused
    try: is http://127.0.0.1:1 the right address, and reachable from here?
    ");
}

#[test]
fn a_wrong_context_lists_those_there_are() {
    let run = Run::new();
    assert_snapshot!(run.text(&["deploy/web", "--context", "prod"]), @r#"
    2
    error: the kubeconfig has no context "prod"
    try: there are: fake
    "#);
}

#[test]
fn no_configuration_says_where_it_was_looked_for() {
    let run = Run::new();
    let output = run.command(&["deploy/web"]).env("KUBECONFIG", "/nowhere/config").output().unwrap();
    assert_snapshot!(text(&output), @"
    2
    error: no cluster is configured: none of the files in KUBECONFIG is there (/nowhere/config), and this is not a pod
    try: --kubeconfig FILE, or set KUBECONFIG; what is judged in files needs no cluster
    ");
}

#[test]
fn missing_rights_are_named() {
    let run = Run::new();
    run.put("web", 1);
    for verb in ["list", "get", "watch"] {
        run.fake.fail(verb, "deployments", Fault::Status(403, "Forbidden"), None);
    }
    assert_snapshot!(run.text(&["deploy/web", "-q"]), @"
    2
    not judged: deployment/web in namespace team: cannot get deployments in namespace team: server says (Forbidden): get /apis/apps/v1/namespaces/team/deployments/web is refused
    no answer after 0s: 1 not judged
    ");
    for format in ["name", "ndjson"] {
        let output = run.run(&["deploy/web", "-o", format]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.stdout.is_empty() && said.contains("not judged: deployment/web in namespace team"), "{said}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let run = Run::new();
    for args in [
        &["--no-such-flag"][..],
        &[],
        &["deploy"],
        &["deploy/web", "-l", "app=web"],
        &["deploy/web", "--until", "routed"],
        &["deploy/web", "--tolerate", "ImageNotFund"],
        &["deploy/web", "--timeout", "5"],
        &["deploy/web", "-o", "xml"],
        &["deploy/web", "--offline"],
        &["-f", "no-such-file.yaml"],
        &["deploy", "-l", "app in web)"],
    ] {
        let output = run.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}: {}", text(&output));
    }
    let typo = run.text(&["deploy/web", "--tolerate", "ImageNotFund"]);
    assert!(typo.contains("did you mean ImageNotFound?"), "{typo}");
    assert_eq!(run.fake.seen(), []);
}

#[test]
fn one_look_is_one_list() {
    let run = Run::new();
    run.put("web", 1);
    let output = run.run(&["deploy/web", "--once", "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["kind"].as_str(), report["ended"].as_str()), (Some("WaitReport"), Some("once")));
    assert_eq!((run.fake.count("list", ""), run.fake.count("get", ""), run.fake.count("other", "")), (1, 0, 0));
    let seen = &run.fake.seen()[0];
    assert!(seen.user_agent.starts_with("kubectl-wait_deploy/"), "{seen:?}");
}

#[test]
fn a_name_in_a_file_cannot_steer_the_terminal() {
    let run = Run::new();
    run.file("evil.yaml", "apiVersion: acme.io/v1\nkind: Widget\nmetadata: {name: \"a\\e[2Jb\", generation: 1}\n");
    for format in ["table", "wide", "json", "yaml", "ndjson", "name"] {
        let output = run.text(&["-f", "evil.yaml", "--offline", "--now", "2026-01-01T00:00:00Z", "-o", format]);
        assert!(!output.contains('\u{1b}'), "{format}: {output:?}");
    }
}

#[test]
fn text_from_the_cluster_cannot_steer_the_terminal() {
    let run = Run::new();
    run.file(
        "evil.yaml",
        "apiVersion: acme.io/v1\nkind: Widget\nmetadata: {name: a, generation: 1}\nstatus:\n  conditions:\n  - {type: Ready, status: \"False\", reason: Broken, message: \"\\e[2Jgone\\nnext\"}\n",
    );
    let output = run.text(&["-f", "evil.yaml", "--offline", "--now", "2026-01-01T00:00:00Z", "--color", "never"]);
    assert!(output.contains("[2Jgone next") && !output.contains('\u{1b}'), "{output:?}");
}

#[test]
fn a_reader_that_goes_away_is_a_quiet_success() {
    let run = Run::new();
    run.put("web", 1);
    let mut child =
        run.command(&["deploy/web", "-o", "json", "-q"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{}", text(&output));
}

fn recording(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recordings").join(name).display().to_string()
}

#[test]
fn the_readmes_recordings_tell_what_the_readme_says() {
    let run = Run::new();
    for (name, code, reason) in [
        ("a-good-rollout.ndjson", 0, ""),
        ("an-image-that-does-not-exist.ndjson", 1, "ImageNotFound"),
        ("a-stale-ready.ndjson", 5, "NoEvidence"),
        ("a-stuck-stateful-set.ndjson", 1, "StuckOnBrokenPod"),
    ] {
        let output = run.run(&["--replay", &recording(name), "-o", "json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let said = report["items"][0]["reason"].as_str().unwrap_or_default();
        assert_eq!((output.status.code(), said), (Some(code), reason), "{}", text(&output));
        let again = run.run(&["--replay", &recording(name), "-o", "json"]);
        assert_eq!(output.stdout, again.stdout, "{name}");
    }
    assert_eq!(run.fake.seen(), []);
}

#[test]
fn a_recording_cut_in_the_middle_is_judged_from_what_is_there() {
    let run = Run::new();
    let whole = std::fs::read_to_string(recording("an-image-that-does-not-exist.ndjson")).unwrap();
    run.file("cut.ndjson", whole.get(..whole.len() / 2).unwrap());
    let output = run.run(&["--replay", "cut.ndjson", "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["ended"].as_str()), (Some(3), Some("cut")), "{}", text(&output));
    assert!(
        text(&output).contains("warning: cut.ndjson was cut; this is judged from what is there"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_recording_of_a_newer_version_or_with_another_verdict_is_refused() {
    let run = Run::new();
    let whole = std::fs::read_to_string(recording("an-image-that-does-not-exist.ndjson")).unwrap();
    run.file("newer.ndjson", &whole.replacen("\"version\":1", "\"version\":2", 1));
    assert_snapshot!(run.text(&["--replay", "newer.ndjson"]), @"
    2
    error: recording newer.ndjson: line 1: it is of version 2, this tool reads up to 1
    ");
    run.file(
        "other.ndjson",
        &whole
            .replace("\"verdict\":\"failed\",\"reason\":\"ImageNotFound\"", "\"verdict\":\"complete\",\"reason\":\"\""),
    );
    let output = run.text(&["--replay", "other.ndjson"]);
    assert!(
        output.starts_with("2\nerror: recording other.ndjson: line ")
            && output.contains("judged failed(ImageNotFound)"),
        "{output}"
    );
    run.file("none.ndjson", "hello\n");
    assert!(run.text(&["--replay", "none.ndjson"]).contains("this is no recording of a wait"));
}

#[test]
fn config_maps_alone_are_complete_and_strong() {
    let run = Run::new();
    run.file(
        "maps.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: team}\ndata: {secret: hunter2}\n",
    );
    run.fake.put("/api/v1/namespaces/team/configmaps", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "team"}, "data": {"secret": "hunter2"}}));
    let output = run.run(&["-f", "maps.yaml", "-o", "json", "--record", "run.ndjson"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), report["items"][0]["evidence"].as_str()),
        (Some(0), Some("strong")),
        "{}",
        text(&output)
    );
    let recorded = std::fs::read_to_string(run.folder.path().join("run.ndjson")).unwrap();
    assert!(!recorded.contains("hunter2"), "{recorded}");
}

#[test]
fn a_recording_never_holds_the_token() {
    let run = Run::new();
    run.put("web", 1);
    for (file, token) in [("two.ndjson", &["--token", "hunter2"][..]), ("one.ndjson", &["--token=hunter2"][..])] {
        let output = run.run(&[token, &["deploy/web", "--record", file, "-q"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let recorded = std::fs::read_to_string(run.folder.path().join(file)).unwrap();
        assert!(recorded.contains("deploy/web") && !recorded.contains("hunter2"), "{recorded}");
    }
}

#[test]
fn a_namespace_of_the_file_that_is_not_the_one_asked_for_is_refused() {
    let run = Run::new();
    run.file("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: team}\n");
    assert_snapshot!(run.text(&["-f", "a.yaml", "-n", "other"]), @"
    2
    error: a.yaml:1: configmap/a is in namespace team, not in other
    try: leave out -n
    ");
}

#[test]
fn the_least_role_is_printed() {
    let run = Run::new();
    assert_snapshot!(run.text(&["deploy/web", "--print-rbac"]), @r#"
    0
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata: {name: wait-deploy, namespace: team}
    rules:
    - {apiGroups: [""], resources: [events], verbs: [list, watch]}   # optional: reasons
    - {apiGroups: [""], resources: [pods], verbs: [list, watch]}   # optional: early failures
    - {apiGroups: [""], resources: [pods/log], verbs: [get]}   # optional: log lines
    - {apiGroups: [apps], resources: [deployments], resourceNames: [web], verbs: [get, list, watch]}
    - {apiGroups: [apps], resources: [replicasets], verbs: [list, watch]}   # optional: pods of the new revision
    ---
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata: {name: wait-deploy}
    rules:
    - {apiGroups: [""], resources: [nodes], verbs: [list, watch]}   # optional: broken nodes, pods that fit nowhere
    "#);
}

#[test]
fn every_reason_is_listed_for_people_and_programs() {
    let run = Run::new();
    let table = run.text(&["reasons"]);
    assert!(table.contains("ImageNotFound") && table.contains("60s"), "{table}");
    let list: Value = serde_json::from_slice(&run.run(&["reasons", "-o", "json"]).stdout).unwrap();
    assert_eq!(list["kind"], "ReasonList");
    assert_eq!(run.fake.seen(), []);
}

#[test]
fn every_reason_has_its_remedy_beside_it() {
    let table = Run::new().text(&["reasons"]);
    let row = table.lines().find(|line| line.starts_with("ImageNotFound ")).unwrap();
    assert_snapshot!(row, @"ImageNotFound                fatal       0s           0s           60s          the registry has no such image                                                  push IMAGE or correct its tag");
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is as long as the help")]
fn the_short_help_lists_flags_exit_codes_and_examples() {
    let run = Run::new();
    // clap wraps at the width that it is told.
    let output = run.command(&["-h"]).env("COLUMNS", "100").output().unwrap();
    assert_snapshot!(text(&output), @r#"
    0
    Wait until objects have rolled out, and say why when they cannot

    Usage: kubectl wait-deploy [OPTIONS] [OBJECT]...
           kubectl wait-deploy <COMMAND>

    Commands:
      reasons     List every reason with its class, hold times, remedy and explanation
      completion  Print the completion script of a shell, for this command under its own name
      rules       List the rules for custom resources, or run a file with rules over objects
      help        Print this message or the help of the given subcommand(s)

    Arguments:
      [OBJECT]...  TYPE/NAME…, TYPE NAME…, or TYPE[,TYPE] with a selector; a label selector alone means
                   objects of every kind

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Scope:
      -n, --namespace <NAMESPACE>      Namespace; the context's where it is left out
      -A, --all-namespaces             All namespaces
      -l, --selector <SELECTOR>        Label selector, as in app=web
          --field-selector <SELECTOR>  Field selector, as in metadata.name=web
      -f, --filename <FILE>            File, folder or address with objects, or - for standard input;
                                       repeatable
      -R, --recursive                  Read the folders of -f with their folders
      -k, --kustomize <DIR>            Folder with a kustomization, built by kubectl

    Wait:
          --until <LEVEL>                 How far: observed (the controller has read the spec), updated
                                          (every pod runs the new template), available, gone (no old pod
                                          is left, terminating ones included), serving (every Service
                                          routes to the new pods), stable (serving, and nothing has
                                          changed or restarted for --settle) [default: available]
          --timeout <DURATION>            Time for the whole wait; 0 waits for ever [default: 10m]
          --stall <DURATION>              End when nothing made progress for this long [default: off]
          --settle <DURATION>             Quiet time after success [default: 0s; 30s with --until
                                          stable]
          --once                          Judge now and end
          --offline                       Judge the objects of -f as they stand, contact nothing
          --now <RFC3339>                 The moment that counts as now with --offline [default: the
                                          current time]
          --evidence <FLOOR>              What proves that a status belongs to its spec: any, strong (an
                                          observed generation) [default: any]
          --assume-observed               Believe a status that nothing ties to its spec
          --min-generation <N>            Oldest generation that counts
          --uid <UID>                     Uid that the object must have
          --follow                        Accept a newer generation that somebody else writes meanwhile
          --profile <PROFILE>             Hold times and restart budget: strict, normal, patient
                                          [default: normal]
          --tolerate <REASON[=DURATION]>  Wait longer before a reason fails, or for ever without a
                                          duration; repeatable
          --fail-on <REASON>              Fail at once for a reason; repeatable
          --on-failure <WHEN>             End at the first failure (fast), or gather all (collect)
                                          [default: fast]
          --paused <VERDICT>              What a paused object counts as: suspended, complete, failed
                                          [default: suspended]
          --done-when <CEL>               CEL that says when an object is done: self, spec, status,
                                          conditions, generation, age; repeatable, one is enough
          --fail-when <CEL>               CEL that says when an object has failed; repeatable, one is
                                          enough
          --rules <FILE>                  File with rules for custom resources, which come before the
                                          built-in ones; repeatable
          --no-rule-pack                  Judge custom resources by the generic rules alone
          --min-count <N>                 How many objects a selector must match [default: 1]
          --optional <SELECTOR>           Objects that may fail without failing the set
          --max-broken-nodes <N|P%>       Nodes that may be broken, and so without a ready pod of a
                                          DaemonSet: a number, or a share as in 10% [default: 100%]
          --job-mode <WHEN>               When a Job is done: complete, started [default: complete]
          --pod-mode <WHEN>               When a bare pod is done: ready, complete [default: ready]
          --record <FILE>                 Record everything that happens into a file
          --replay <FILE>                 Play a recording again; further options ask "what if"
          --print-rbac                    Print the least Role for this wait and end

    Output:
      -o, --output <FORMAT>  How the answer is written [default: table] [possible values: table, wide,
                             json, yaml, ndjson, name, junit, github]
          --explain          Show the rule that decided, the fields it read and what would change the
                             verdict
          --color <WHEN>     When to use colour [default: auto] [possible values: auto, always, never]
      -q, --quiet            No progress and no hints on stderr
      -v, --verbose...       Explain what is done on stderr; -vv with details, -vvv with every request

    Access:
          --kubeconfig <FILE>             Path to the kubeconfig file to use
          --context <NAME>                Name of the kubeconfig context to use
          --cluster <NAME>                Name of the kubeconfig cluster to use
          --user <NAME>                   Name of the kubeconfig user to use
      -s, --server <URL>                  Address and port of the API server
          --token <TOKEN>                 Bearer token for the API server
          --client-certificate <FILE>     Path to a client certificate
          --client-key <FILE>             Path to the client certificate's key
          --certificate-authority <FILE>  Path to the authorities that may sign the server's certificate
          --insecure-skip-tls-verify      Do not check the server's certificate
          --tls-server-name <NAME>        Name that the server's certificate must carry
          --as <USER>                     User to act as
          --as-uid <UID>                  Uid to act as
          --as-group <GROUP>              Group to act as, repeatable
          --as-user-extra <KEY=VALUE>     Extra attribute to act with, repeatable
          --request-timeout <DURATION>    Time that one request may take: 30s, bare seconds, or 0 for no
                                          limit [default: 0]
          --disable-compression           Do not ask for compressed answers

    Exit codes:
      0    yes: rolled out
      1    no: failed, missing or being deleted
      2    no answer: wrong usage, cluster cannot be reached, no permission, unreadable file
      3    not yet: timed out, stalled, or --once while progressing or suspended
      4    changed under us: superseded
      5    unprovable: nothing ties the status to this spec
      6    partly: some objects could not be judged, the others are reported
      130  interrupted

    Examples:
      kubectl apply -f app.yaml -o json | kubectl wait-deploy -f -   wait for what was just applied
      kubectl wait-deploy deploy/web sts/db -n team                  wait for two objects
      kubectl wait-deploy deploy -A -l team=shop --timeout 5m        wait for every Deployment of a team
      kubectl wait-deploy kafka/main --once -o json                  judge a custom resource now
      kubectl wait-deploy -f snapshot.yaml --offline --explain       judge a file, contact nothing
    "#);
}

#[test]
fn help_tells_the_exit_codes() {
    let help = Run::new().text(&["--help"]);
    for code in ["  0    yes", "  4    changed under us", "  130  interrupted"] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn yaml_and_json_say_the_same() {
    let run = Run::new();
    run.put("web", 1);
    let json: Value = serde_json::from_slice(&run.run(&["deploy/web", "--once", "-o", "json"]).stdout).unwrap();
    let yaml = String::from_utf8(run.run(&["deploy/web", "--once", "-o", "yaml"]).stdout).unwrap();
    assert!(yaml.contains("kind: WaitReport") && yaml.contains("verdict: complete"), "{yaml}");
    assert_eq!(json["items"][0]["objectKind"], "Deployment");
}

#[test]
fn a_stream_for_machines_has_one_line_per_change() {
    let run = Run::new();
    run.put("web", 1);
    let output = run.run(&["deploy/web", "-o", "ndjson", "-q"]);
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["verdict"], "complete");
    assert!(lines.iter().all(|line| line["time"].is_string() && line["name"] == "web"), "{lines:?}");
}

#[test]
fn files_that_kubectl_would_refuse_are_refused_in_words() {
    let run = Run::new();
    run.file("number.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 3}\n");
    run.file("twice.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, name: b}\n");
    run.file("web.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {app: web}}\n");
    for (args, words) in [
        (&["-f", "number.yaml", "--offline"][..], "number.yaml:1:1: metadata.name is 3, not text"),
        (&["-f", "twice.yaml", "--offline"], "duplicate"),
        (&["-f", "web.yaml", "--offline", "-l", "app=other"], "no object of the files has the labels app=other"),
        (&["deploy/web", "-n", "bad name"], "cannot be a namespace"),
    ] {
        let output = run.run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words) && !said.contains("DuplicateKeyPolicy"), "{args:?}: {said}");
    }
    assert_eq!(run.run(&["-f", "web.yaml", "--offline", "-l", "app=web"]).status.code(), Some(0));
}

#[test]
fn a_list_as_the_api_writes_it_is_read_object_by_object() {
    let run = Run::new();
    let items = r#"[{"metadata":{"name":"a"},"status":{"phase":"Active"}},{"metadata":{"name":"b"},"status":{"phase":"Active"}}]"#;
    run.file("list.json", &format!(r#"{{"apiVersion":"v1","kind":"NamespaceList","items":{items}}}"#));
    run.file("empty.json", r#"{"apiVersion":"v1","kind":"List","items":null}"#);
    let output = run.run(&["-f", "list.json", "--offline"]);
    assert!(text(&output).contains("namespace/a") && text(&output).contains("2 complete"), "{}", text(&output));
    assert_eq!(run.run(&["-f", "empty.json", "--offline"]).status.code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_is_lost_is_an_error() {
    let run = Run::new();
    run.put("web", 1);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = run.command(&["deploy/web", "--once", "-q"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[test]
fn what_may_come_next_is_completed() {
    let run = Run::new();
    run.put("web", 1);
    run.put("worker", 1);
    let complete = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl_complete-wait_deploy"));
        let kubeconfig = run.fake.kubeconfig(run.folder.path());
        let output = command.args(words).env_clear().env("KUBECONFIG", kubeconfig).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(complete(&["--until", "s"]), "serving\nstable\n:4\n");
    assert_eq!(complete(&["deploy/wo"]), "deploy/worker\n:4\n");
    assert_eq!(complete(&["deploy", "w"]), "web\nworker\n:4\n");
    assert_eq!(complete(&["--sett"]), "--settle\n:4\n");
    assert_eq!(complete(&["-f", ""]), ":0\n");
    run.fake.serve("apps", "v1", "Deployment", "deployments");
    assert!(complete(&["-q", "dep"]).starts_with("deployments/\n"));
}

#[test]
fn a_file_behind_an_address_is_read_without_credentials() {
    let run = Run::new();
    run.put("web", 1);
    let address = format!("{}{DEPLOYMENTS}/web", run.fake.url());
    let output = run.run(&["-f", &address, "--offline", "--token", "hunter2"]);
    assert!(text(&output).contains("deployment/web") && output.status.code() == Some(0), "{}", text(&output));
    assert!(run.fake.seen().iter().all(|seen| seen.authorization.is_empty()), "{:?}", run.fake.seen());
    let output = run.run(&["-f", &format!("{}/nowhere.yaml", run.fake.url()), "--offline"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("Not Found") && said.contains("nowhere.yaml"), "{said}");
}
