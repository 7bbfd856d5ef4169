//! Own rules: expressions on the command line, files, and the list of what is built in.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::process::{Command, Output};

/// A folder with the files of one test, and no cluster.
struct Run(tempfile::TempDir);

impl Run {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-wait_deploy"));
        command.args(args).env_clear().env("KUBECONFIG", "/nowhere").current_dir(self.0.path()).output().unwrap()
    }
}

const CACHES: &str = r"
apiVersion: acme.example.org/v1
kind: Cache
metadata: {name: a, namespace: team, generation: 1}
spec: {size: 2}
status: {level: 4, size: 2}
---
apiVersion: acme.example.org/v1
kind: Cache
metadata: {name: b, namespace: team, generation: 1}
spec: {size: 2}
status: {level: 4, size: 1}
";

#[test]
fn callers_say_themselves_what_done_and_failed_mean() {
    let run = Run::new();
    run.file("caches.yaml", CACHES);
    let judge = |flags: &[&str]| run.run(&[&["-f", "caches.yaml", "--offline", "-o", "json"], flags].concat());
    let verdicts = |output: &Output| -> Vec<String> {
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let items = report["items"].as_array().unwrap().iter();
        items.map(|item| item["verdict"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(verdicts(&judge(&[])), ["unverifiable", "unverifiable"]);
    let done = judge(&["--done-when", "status.size == spec.size"]);
    assert_eq!((verdicts(&done), done.status.code()), (vec!["complete".into(), "progressing".into()], Some(3)));
    let either = judge(&["--done-when", "status.size == spec.size", "--done-when", "status.level > 3"]);
    assert_eq!(either.status.code(), Some(0));
    let failed = judge(&["--done-when", "status.level > 3", "--fail-when", "status.size < spec.size"]);
    assert_eq!((verdicts(&failed), failed.status.code()), (vec!["complete".into(), "failed".into()], Some(1)));
}

#[test]
fn a_wrong_expression_is_shown_with_its_position_before_anything_is_contacted() {
    let run = Run::new();
    for (expression, problem) in [
        ("status.level = 3", "column 14"),
        ("status.level > 3 && nonsense", "column 21: there is no \"nonsense\""),
        ("3", "it is a number, not true or false"),
        ("status.phase.lower() == 'done'", "there is no function \"lower\""),
        ("'a' < 3", "column 5: < does not go with text and a number"),
    ] {
        let output = run.run(&["deploy/web", "--done-when", expression]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("cannot use --done-when") && said.contains(problem), "{expression}: {said}");
    }
}

#[test]
fn a_file_with_rules_is_tested_against_objects() {
    let run = Run::new();
    run.file("caches.yaml", CACHES);
    let rules = |when: &str| {
        format!(
            "apiVersion: kubeguard.dev/v1\nkind: HealthRules\nrules:\n- id: acme\n  match: [{{group: acme.example.org}}]\n  \
             when:\n  - {{if: {when}, verdict: complete, message: '\"level \" + string(status.level)'}}\n\
             - id: idle\n  match: [{{group: nowhere.example.org}}]\n"
        )
    };
    run.file("rules.yaml", &rules("spec.size == status.size"));
    let output = run.run(&["rules", "test", "rules.yaml", "-f", "caches.yaml"]);
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @r"
    OBJECT    VERDICT        RULE     DETAIL
    cache/a   complete       acme     level 4
    cache/b   unverifiable   WD-Q15   nothing in the status is known to mean anything
    ");
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("rule idle matches none of the objects"));

    run.file("wrong.yaml", &rules("spec.size =="));
    let output = run.run(&["-f", "caches.yaml", "--offline", "--rules", "wrong.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("wrong.yaml: line 7 column"), "{said}");
}

#[test]
fn the_built_in_rules_are_listed() {
    let run = Run::new();
    let list: serde_json::Value = serde_json::from_slice(&run.run(&["rules", "-o", "json"]).stdout).unwrap();
    let ids: Vec<&str> = list["items"].as_array().unwrap().iter().filter_map(|rule| rule["id"].as_str()).collect();
    assert!(ids.contains(&"crossplane") && ids.contains(&"cnpg"), "{ids:?}");
    assert!(String::from_utf8_lossy(&run.run(&["rules"]).stdout).starts_with("RULE "));
}

#[test]
fn expressions_read_every_field_of_a_built_in_kind_behind_the_gate() {
    let run = Run::new();
    let web = |observed: u32| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: team, generation: 2}}\n\
             spec: {{replicas: 1, revisionHistoryLimit: 7}}\nstatus: {{observedGeneration: {observed}, replicas: 1, updatedReplicas: 1}}\n"
        )
    };
    run.file("web.yaml", &web(2));
    run.file("stale.yaml", &web(1));
    let code =
        |file: &str, expression: &str, flag: &str| run.run(&["-f", file, "--offline", flag, expression]).status.code();
    assert_eq!(code("web.yaml", "spec.revisionHistoryLimit == 7", "--done-when"), Some(0));
    assert_eq!(code("web.yaml", "spec.revisionHistoryLimit == 8", "--done-when"), Some(3));
    assert_eq!(code("web.yaml", "spec.revisionHistoryLimit == 7", "--fail-when"), Some(1));
    assert_eq!(code("stale.yaml", "spec.revisionHistoryLimit == 7", "--done-when"), Some(3), "the gate comes first");
}
