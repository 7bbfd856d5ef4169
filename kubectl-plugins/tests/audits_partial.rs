//! The real binaries of the audits against a server that answers only in part, or not at all.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

/// The three audits over all namespaces, and a kind that each of them reads.
const AUDITS: [(&str, &[&str], &str); 3] = [
    ("kubectl-zombie_jobs", &["-A"], "jobs"),
    ("kubectl-probe_audit", &["-A"], "services"),
    ("kubectl-guard", &["audit", "-A"], "nodes"),
];

/// Returns the exit code, stdout and stderr.
fn run(folder: &Path, binary: &str, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(match binary {
        "kubectl-guard" => env!("CARGO_BIN_EXE_kubectl-guard"),
        "kubectl-zombie_jobs" => env!("CARGO_BIN_EXE_kubectl-zombie_jobs"),
        _ => env!("CARGO_BIN_EXE_kubectl-probe_audit"),
    });
    command.args(args).current_dir(folder).env_clear().env("HOME", folder).env("KUBECONFIG", folder.join("kubeconfig"));
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn cluster(folder: &Path) -> FakeCluster {
    let cluster = FakeCluster::start();
    let pod = json!({"metadata": {"name": "web", "namespace": "team"}, "status": {"phase": "Running"},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "app", "image": "web:1"}]}});
    cluster.put("/api/v1/namespaces/team/pods", pod);
    let _written = cluster.kubeconfig(folder);
    cluster
}

#[test]
fn a_kind_that_cannot_be_read_ends_an_audit_with_six_and_is_named_by_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for (binary, args, plural) in AUDITS {
        let cluster = cluster(folder.path());
        cluster.fail("list", &format!("/{plural}?"), Fault::Status(403, "Forbidden"), None);
        for format in ["table", "wide", "yaml", "name", "sarif", "markdown", "junit", "github", "prometheus", "html"] {
            let (code, out, err) = run(folder.path(), binary, &[args, &["-o", format]].concat());
            assert_eq!(code, 6, "{binary} {format}: {out}{err}");
            let named = format!("cannot list {plural}: Forbidden");
            let is_told = match format {
                "prometheus" => out.contains("kubeguard_audit_complete 0"),
                _ => out.contains(&named) || err.contains(&named),
            };
            assert!(is_told, "{binary} {format}: {out}{err}");
        }
        for (fault, said) in [
            (Fault::Status(500, "InternalError"), "InternalError"),
            (Fault::Slow(Duration::from_mins(1)), "timed out"),
            (Fault::Garbage, "EOF"),
        ] {
            cluster.heal();
            cluster.fail("list", &format!("/{plural}?"), fault, None);
            let asked = [args, &["--request-timeout", "2s", "-o", "json"]].concat();
            let (code, out, err) = run(folder.path(), binary, &asked);
            let report: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(
                (code, &report["complete"], &report["items"]),
                (6, &json!(false), &json!([])),
                "{report:#}{err}"
            );
            let begin = format!("cannot list {plural}: ");
            let skipped = report["skipped"].as_array().unwrap().iter();
            let reasons: Vec<&str> = skipped.filter_map(|skipped| skipped["reason"].as_str()).collect();
            let is_named = reasons.iter().any(|reason| reason.starts_with(&begin) && reason.contains(said));
            assert!(is_named, "{binary} {said}: {reasons:?}");
        }
    }
}

#[test]
fn a_server_that_tells_nothing_is_no_answer_and_its_words_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for (binary, args, _) in AUDITS {
        let cluster = cluster(folder.path());
        for (code, reason) in [(401, "Unauthorized"), (403, "Forbidden"), (500, "InternalError")] {
            cluster.heal();
            cluster.fail("list", "/", Fault::Status(code, reason), None);
            cluster.fail("get", "/", Fault::Status(code, reason), None);
            cluster.fail("other", "/", Fault::Status(code, reason), None);
            let (ended, out, err) = run(folder.path(), binary, args);
            assert_eq!((ended, out.as_str()), (2, ""), "{binary} {reason}: {err}");
            assert!(
                err.contains(reason) && err.contains("is refused"),
                "{binary}: the server's words are missing: {err}"
            );
        }
        drop(cluster);
        // Nobody listens there any more.
        let (ended, out, err) = run(folder.path(), binary, args);
        assert_eq!((ended, out.as_str()), (2, ""), "{binary}: {err}");
        assert!(err.to_lowercase().contains("connection refused"), "{binary}: {err}");
    }
}
