//! The real binaries of the audits: manifests, a cluster and its snapshot, rules, and what is wrong with the question.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::process::Command;

use insta::assert_snapshot;
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: web:1
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {port: http, path: /ready}}
";

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.write("web.yaml", WEB);
        world
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Returns the exit code, then stdout and stderr together.
    fn run(&self, binary: &str, args: &str) -> String {
        let mut command = Command::new(match binary {
            "kubectl-guard" => env!("CARGO_BIN_EXE_kubectl-guard"),
            "kubectl-zombie_jobs" => env!("CARGO_BIN_EXE_kubectl-zombie_jobs"),
            _ => env!("CARGO_BIN_EXE_kubectl-probe_audit"),
        });
        command.args(args.split_whitespace()).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        let output = command.env("KUBECONFIG", self.0.path().join("kubeconfig")).output().unwrap();
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}\n{}{}", output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
    }
}

#[test]
fn what_is_named_is_judged_alone() {
    let world = World::new();
    world.write("api.yaml", &WEB.replace("name: web", "name: api"));
    let told = |args: &str| world.run("kubectl-probe_audit", &format!("{args} -f . --select PA201 -o name"));
    assert_eq!(told(""), "1\ndeployment.apps/api\ndeployment.apps/web\n");
    assert_eq!(told("deploy/web"), "1\ndeployment.apps/web\n");
    assert_eq!(told("deployments.apps web api"), "1\ndeployment.apps/api\ndeployment.apps/web\n");
    let report = world.run("kubectl-guard", "audit deploy/web -f . -o json");
    let report: Value = serde_json::from_str(report.split_once('\n').unwrap().1).unwrap();
    assert_eq!(report["summary"]["objects"], 1);
    assert!(report["items"].as_array().unwrap().iter().all(|item| item["object"]["name"] == "web"));
    // A name that is not there is no clean bill of health.
    assert_snapshot!(told("deploy/wbe"), @r#"
    2
    error: no deployment is called "wbe" in what was read
    try: did you mean web?
    "#);
    assert_snapshot!(told("web"), @r#"
    2
    error: "web" does not say of which kind
    try: write TYPE/NAME for each, or one TYPE and its names
    "#);
    assert_snapshot!(told("deplyo/web"), @r#"
    2
    error: no kind is called "deplyo"
    try: name it as kubectl does: deploy/web, sts/db, ds/agent, job/load, pod/x
    "#);
    assert_snapshot!(told("role/web"), @r"
    2
    error: no rule that was asked for looks at roles
    try: kubectl guard rules says what each of them reads
    ");
}

#[test]
fn selectors_choose_what_is_judged_and_not_what_is_known_beside_it() {
    let world = World::new();
    world.write("api.yaml", &WEB.replace("name: web, namespace: team", "name: api, namespace: core"));
    let told = |args: &str| world.run("kubectl-probe_audit", &format!("-f . --select PA201 -o name {args}"));
    assert_eq!(told("--field-selector metadata.namespace!=team"), "1\ndeployment.apps/api\n");
    assert_eq!(told("--field-selector metadata.name=web --offline"), "1\ndeployment.apps/web\n");
    let both = told("--field-selector metadata.name=web,metadata.namespace=core");
    assert_eq!(both, "0\nnothing that these rules judge was found\n");
    assert_eq!(told("-l app=web"), "1\ndeployment.apps/api\ndeployment.apps/web\n");
    assert_eq!(told("-l app!=web"), "0\nnothing that these rules judge was found\n");
    assert_snapshot!(told("--field-selector status.phase=Running"), @r#"
    2
    error: --field-selector: no field "status.phase" can be asked for
    try: metadata.name, metadata.namespace, spec.nodeName, spec.restartPolicy, spec.schedulerName, spec.serviceAccountName
    "#);
    let wrong = told("--field-selector metadata.name");
    assert!(wrong.starts_with("2\n") && wrong.contains("is no requirement; examples: metadata.name=web"), "{wrong}");
}

#[test]
fn a_kustomization_is_built_by_kubectl_and_offline_asks_no_cluster() {
    let world = World::new();
    assert_snapshot!(world.run("kubectl-guard", "audit --offline"), @r"
    2
    error: --offline contacts no cluster, and no files are named
    try: -f FILE, -k DIR or --snapshot FILE
    ");
    let asked = |path: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-probe_audit"));
        command.args(["-k", "overlay", "--select", "PA201", "-o", "json"]).current_dir(world.0.path());
        command.env("PATH", path).output().unwrap()
    };
    let without = asked(&world.0.path().join("nothing"));
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(without.status.code() == Some(2) && said.contains("-k needs kubectl on the PATH"), "{without:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        world.write(
            "bin/kubectl",
            &format!("#!/bin/sh\n[ \"$*\" = 'kustomize overlay' ] && /bin/cat <<'END'\n{WEB}END\n"),
        );
        let kubectl = world.0.path().join("bin/kubectl");
        std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = asked(&world.0.path().join("bin"));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["items"][0]["source"], json!({"file": "overlay", "line": 13}), "{output:?}");
    }
}

/// E19.
#[test]
fn only_what_is_new_since_a_baseline_is_shown_and_counts() {
    let world = World::new();
    let before = world.run("kubectl-probe_audit", "-f web.yaml --select PA201 -o json");
    world.write("before.json", before.split_once('\n').unwrap().1);
    let args = "-f web.yaml --select PA201,PA303 --baseline before.json --fail-on high";
    let now = world.run("kubectl-probe_audit", &format!("{args} -o json"));
    let (code, text) = now.split_once('\n').unwrap();
    let report: Value = serde_json::from_str(text).unwrap();
    let rules: Vec<&Value> = report["items"].as_array().unwrap().iter().map(|item| &item["rule"]).collect();
    assert_eq!((code, rules, &report["summary"]["baseline"]), ("0", vec![&json!("PA303")], &json!(1)));
    // A list of fingerprints says the same.
    let report: Value = serde_json::from_str(before.split_once('\n').unwrap().1).unwrap();
    world.write("before.json", &format!("{}\n", report["items"][0]["fingerprint"].as_str().unwrap()));
    assert_eq!(world.run("kubectl-probe_audit", &format!("{args} -o json")), now);
}

#[test]
fn no_format_tells_a_secret() {
    let world = World::new();
    let app = json!({"name": "app", "image": "web:1", "ports": [{"containerPort": 8080}],
        "env": [{"name": "DB_PASSWORD", "value": "s3cr3t-env"}, {"name": "DATABASE", "value": "postgres://u:s3cr3t-url@db/x"}],
        "readinessProbe": {"httpGet": {"port": "http", "path": "/ready?token=s3cr3t-query",
            "httpHeaders": [{"name": "Authorization", "value": "Bearer s3cr3t-header"}]}},
        "livenessProbe": {"exec": {"command": ["sh", "-c", "curl http://localhost:8080/"]}},
        "startupProbe": {"httpGet": {"port": "nope"}}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "team"},
        "spec": {"selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [app]}}}});
    world.write("web.yaml", &deployment.to_string());
    for format in
        ["table", "wide", "json", "yaml", "name", "sarif", "junit", "markdown", "github", "prometheus", "html"]
    {
        let told = world.run("kubectl-guard", &format!("audit -f web.yaml --fail-on never -o {format}"));
        assert!(told.starts_with("0\n"), "{format}: {told}");
        assert!(!told.contains("s3cr3t"), "{format}: {}", told.lines().find(|line| line.contains("s3cr3t")).unwrap());
    }
}

/// A folder with one good file; what stands beside it must neither hide its finding nor look clean.
#[test]
fn bad_files_are_named_with_their_place_and_the_good_one_is_judged() {
    let nested = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    let object = |spec: &str| format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: bad}}\nspec: {spec}\n");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", "));
    }
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("bomb.yaml", (bomb + &object("*a11")).into(), "aliases make it so"),
        ("nested.yaml", object(&nested("[", "]")).into(), "nested.yaml:4:"),
        (
            "nested.json",
            (r#"{"apiVersion":"v1","kind":"Pod","spec":"#.to_owned() + &nested(r#"{"a":"#, "}")).into(),
            "nested",
        ),
        ("binary.yaml", (0..=255).collect::<Vec<u8>>().repeat(100), "is not UTF-8"),
        ("utf16.yaml", WEB.encode_utf16().flat_map(u16::to_le_bytes).collect(), "utf16.yaml:1:"),
        ("twice.yaml", format!("{WEB}spec: {{}}\n").into(), "twice.yaml:14:1: duplicate mapping key: spec"),
        ("tab.yaml", WEB.replace("  template", "\ttemplate").into(), "tab.yaml:6:"),
        ("number.yaml", object("{replicas: 1e400}").into(), "number.yaml:4:"),
    ];
    for (name, bytes, says) in cases {
        let world = World::new();
        std::fs::write(world.0.path().join(name), bytes).unwrap();
        let told = world.run("kubectl-guard", "audit -f . --select PA201 --fail-on never");
        assert!(told.starts_with("6\n") && told.contains("deployment.apps/web"), "{name}: {told}");
        assert!(told.contains("judged in part: ") && told.contains(says), "{name}: {told}");
        // Alone it is no clean answer either.
        let alone = world.run("kubectl-guard", &format!("audit -f {name}"));
        assert!(alone.starts_with("2\n") && alone.contains(says), "{name}: {alone}");
    }
}

#[test]
fn what_is_too_large_or_empty_is_said_and_a_link_that_leads_back_is_not_followed() {
    let world = World::new();
    std::fs::File::create(world.0.path().join("large.yaml")).unwrap().set_len(200 << 20).unwrap();
    let told = world.run("kubectl-guard", "audit -f . --select PA201 --fail-on never");
    assert!(told.starts_with("6\n") && told.contains("deployment.apps/web"), "{told}");
    assert!(told.contains("large.yaml:1:1: 200 MiB are too many for manifests, 128 are read"), "{told}");
    std::fs::remove_file(world.0.path().join("large.yaml")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(".", world.0.path().join("loop")).unwrap();
        let told = world.run("kubectl-guard", "audit -f . -R --select PA201 -o name");
        assert_eq!(told, "1\ndeployment.apps/web\n");
    }
    for text in ["", "---\n---\n# nothing\n", "\u{feff}"] {
        world.write("web.yaml", text);
        assert_eq!(world.run("kubectl-guard", "audit -f web.yaml -q -o name"), "0\n", "{text:?}");
    }
    std::fs::remove_file(world.0.path().join("web.yaml")).unwrap();
    let told = world.run("kubectl-guard", "audit -f . -R -o name");
    assert_eq!(told, "0\nnothing that these rules judge was found\n");
    // A mark at its beginning and lines as other systems end them are no errors.
    world.write("web.yaml", &format!("\u{feff}{}", WEB.replace('\n', "\r\n")));
    assert_eq!(world.run("kubectl-guard", "audit -f . --select PA201 -o name"), "1\ndeployment.apps/web\n");
    assert_eq!(
        world.run("kubectl-guard", "audit -f none.yaml"),
        "2\nerror: cannot read none.yaml\nbecause: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_cron_job_that_is_named_is_judged_with_its_jobs_and_a_bare_name_is_a_job() {
    let world = World::new();
    let job = |name: &str, owner: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": name, "namespace": "team", "uid": name, "creationTimestamp": "2026-11-22T00:00:00Z",
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": owner, "uid": owner, "controller": true}]},
            "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a:1"}]}}},
            "status": {"conditions": [{"type": "Suspended", "status": "True", "lastTransitionTime": "2026-11-22T00:00:00Z"}]}})
    };
    let cron = |name: &str| {
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": "team", "uid": name},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never",
                "containers": [{"name": "a", "image": "a:1"}]}}}}}})
    };
    let all = json!({"apiVersion": "v1", "kind": "List", "items":
        [job("report-1", "report"), job("report-2", "report"), job("load-1", "load"), cron("report"), cron("load")]});
    world.write("jobs.json", &all.to_string());
    let told = |names: &str| {
        let args = format!("{names} -f jobs.json --select ZJ401 -o name --fail-on never --now 2026-12-22T00:00:00Z");
        world.run("kubectl-zombie_jobs", args.trim())
    };
    assert_eq!(told(""), "0\njob.batch/load-1\njob.batch/report-1\njob.batch/report-2\n");
    assert_eq!(told("report-2"), "0\njob.batch/report-2\n");
    assert_eq!(told("cj/report"), "0\njob.batch/report-1\njob.batch/report-2\n");
    assert_eq!(told("cronjob report load"), told(""));
    assert_snapshot!(told("report"), @r#"
    2
    error: no job is called "report" in what was read
    try: did you mean report-1 or report-2?
    "#);
}

#[test]
fn what_is_accepted_is_a_suppressed_result_of_sarif_with_its_reason() {
    let results = |world: &World, args: &str| {
        let said = world.run("kubectl-probe_audit", args);
        let sarif: Value = serde_json::from_str(said.split_once('\n').unwrap().1).unwrap();
        sarif["runs"][0]["results"].as_array().cloned().unwrap_or_default()
    };
    let world = World::new();
    let args = "-f web.yaml --select PA201 -o sarif --now 2026-11-22T10:00:00Z";
    assert_eq!(results(&world, args)[0].get("suppressions"), None);
    let list = |until: &str| {
        format!(
            "apiVersion: kubeguard.dev/v1\nkind: IgnoreList\nitems: [{{rule: PA2, until: \"{until}\", because: old}}]\n"
        )
    };
    world.write("ignore.yaml", &list("2027-01-31"));
    let by_file = results(&world, &format!("{args} --ignore-file ignore.yaml"));
    assert_eq!(by_file.len(), 1);
    assert_eq!(
        by_file[0]["suppressions"],
        json!([{"kind": "external", "status": "accepted", "justification": "old",
            "properties": {"until": "2027-01-31T23:59:59.999999999Z"}}])
    );
    // One that is over accepts nothing.
    world.write("ignore.yaml", &list("2026-11-21"));
    let over = results(&world, &format!("{args} --ignore-file ignore.yaml"));
    assert!(over.iter().all(|result| result.get("suppressions").is_none()), "{over:#?}");
    let annotated = WEB.replace(
        "name: web, namespace: team",
        "name: web, namespace: team, annotations: {kubeguard.dev/ignore: \"PA201 because=no port yet\"}",
    );
    world.write("web.yaml", &annotated);
    world.write("ignore.yaml", &list("2027-01-31"));
    // What stands nearest says why.
    let both = results(&world, &format!("{args} --ignore-file ignore.yaml"));
    assert_eq!(
        both[0]["suppressions"],
        json!([{"kind": "inSource", "status": "accepted", "justification": "no port yet"}])
    );
}

#[test]
fn a_file_is_judged_by_the_rules_that_were_asked_for() {
    let world = World::new();
    assert_snapshot!(world.run("kubectl-probe_audit", "-f web.yaml --select PA201"), @r#"
    1
    SEVERITY   RULE    NAMESPACE   OBJECT                CONTAINER   MESSAGE
    critical   PA201   team        deployment.apps/web   app         readiness port "http" is not among the ports of container app: the pod never becomes ready
    1 finding: 1 critical · 1 object, 1 rule
    "#);
    let told = world.run("kubectl-zombie_jobs", "-f web.yaml");
    assert!(told.starts_with("0\n"), "{told}");
    let told = world.run("kubectl-probe_audit", "-f web.yaml --select PA201 -o json --fail-on never");
    let report: Value = serde_json::from_str(told.strip_prefix("0\n").unwrap()).unwrap();
    assert_eq!(report["items"][0]["source"], json!({"file": "web.yaml", "line": 13}));
}

#[test]
fn what_is_wrong_with_the_question_is_told_with_what_was_meant() {
    let world = World::new();
    assert_snapshot!(world.run("kubectl-guard", "audit -f web.yaml --select PA20l"), @r#"
    2
    error: no rule is called "PA20l"; did you mean PA201 or PA202 or PA203?
    try: kubectl guard rules lists them
    "#);
    let told = world.run("kubectl-guard", "audit -f nothing.yaml");
    assert!(told.starts_with("2\n"), "{told}");
    let told = world.run("kubectl-guard", "rules PA201");
    assert!(told.starts_with("0\nPA201 named-port-unresolved") && told.contains("\navoids"), "{told}");
}

#[test]
fn a_broken_file_among_good_ones_is_named_and_the_others_are_judged() {
    let world = World::new();
    world.write("all/web.yaml", WEB);
    world.write("all/broken.yaml", "a: [1\nb: 2\n");
    let told = world.run("kubectl-probe_audit", "-f all --select PA201 --fail-on never");
    assert!(told.starts_with("6\n") && told.contains("PA201") && told.contains("broken.yaml"), "{told}");
}

#[test]
fn a_cluster_and_its_snapshot_give_the_same_answer_and_what_is_forbidden_is_named() {
    let world = World::new();
    let cluster = FakeCluster::start();
    drop(cluster.kubeconfig(world.0.path()));
    let web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "team"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "web:1", "ports": [{"containerPort": 8080}],
                "readinessProbe": {"httpGet": {"port": "http", "path": "/ready"}}}]}}},
    });
    cluster.put("/apis/apps/v1/namespaces/team/deployments", web);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "load", "namespace": "team"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "load:1"}]}, "status": {"phase": "Pending"}});
    cluster.put("/api/v1/namespaces/team/pods", pod);
    let live = world.run("kubectl-probe_audit", "-A --select PA201 -o json --now 2026-01-01T00:00:00Z");
    assert!(live.starts_with("1\n") && live.contains("named-port-unresolved"), "{live}");
    let written = world.run("kubectl-guard", "snapshot -o team.jsonl.gz --select PA201");
    assert!(written.starts_with("0\n"), "{written}");
    let command = "--snapshot team.jsonl.gz --select PA201 -o json --now 2026-01-01T00:00:00Z";
    assert_eq!(world.run("kubectl-probe_audit", command), live);
    cluster.fail("list", "/deployments", Fault::Status(403, "Forbidden"), None);
    let told = world.run("kubectl-probe_audit", "-A --select PA201");
    assert!(told.starts_with("6\n") && told.contains("deployments"), "{told}");
    for (binary, args, plural) in [
        ("kubectl-zombie_jobs", "-A", "jobs"),
        ("kubectl-probe_audit", "-A", "services"),
        ("kubectl-guard", "audit -A", "nodes"),
    ] {
        cluster.heal();
        cluster.fail(
            "list",
            match plural {
                "jobs" => "/jobs?",
                "services" => "/services?",
                _ => "/nodes?",
            },
            Fault::Status(403, "Forbidden"),
            None,
        );
        let told = world.run(binary, &format!("{args} --fail-on never"));
        let named = format!("cannot list {plural}: Forbidden");
        assert!(told.starts_with("6\n") && told.contains(&named), "{binary} without {plural}: {told}");
    }
    let told = world.run("kubectl-zombie_jobs", "-A --print-rbac");
    assert!(told.starts_with("0\n") && told.contains("cronjobs"), "{told}");
}
