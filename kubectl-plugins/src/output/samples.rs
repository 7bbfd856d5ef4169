//! Reports as a wait makes them, for tests of what is shown.

use kubeguard_core::wait::policy::Level;
use kubeguard_core::wait::report::{Cause, Ended, Explanation, ItemReport, Requests, Skipped, Source, WaitReport};
use kubeguard_core::wait::verdict::{Read, Verdict};

fn item(kind: &str, name: &str, verdict: Verdict) -> ItemReport {
    ItemReport {
        api_version: "apps/v1".to_owned(),
        object_kind: kind.to_owned(),
        namespace: "team".to_owned(),
        name: name.to_owned(),
        source: None,
        verdict,
        reason: String::new(),
        message: String::new(),
        evidence: Some("strong"),
        witness: None,
        generation: Some(7),
        observed_generation: Some(7),
        since: "2026-11-22T10:00:58Z".parse().ok(),
        fails_at: None,
        causes: Vec::new(),
        remedy: String::new(),
        looser: Vec::new(),
        notes: Vec::new(),
        warnings: Vec::new(),
        optional: false,
        explain: None,
    }
}

/// A Deployment that has rolled out.
pub(crate) fn complete(name: &str) -> ItemReport {
    ItemReport { message: "2 of 2 available".to_owned(), ..item("Deployment", name, Verdict::Complete) }
}

/// A Deployment under way.
pub(crate) fn progressing(name: &str) -> ItemReport {
    ItemReport {
        reason: "UpdatedReplicas".to_owned(),
        message: "1 of 3 pods updated, 3 available, 3 old still there".to_owned(),
        ..item("Deployment", name, Verdict::Progressing)
    }
}

/// A Deployment whose new pods crash, with the whole chain.
pub(crate) fn crash_loop() -> ItemReport {
    let message = "exit 1, 3 restarts in 1m40s";
    ItemReport {
        source: Some(Source { file: "web.yaml".to_owned(), line: 1 }),
        reason: "CrashLoop".to_owned(),
        message: format!("1 of 4 pods updated, 3 old still there: {message}"),
        causes: vec![Cause {
            object_kind: "Pod".to_owned(),
            namespace: "team".to_owned(),
            name: "web-6c9f7-k2x".to_owned(),
            container: Some("app".to_owned()),
            reason: "CrashLoop".to_owned(),
            message: message.to_owned(),
            since: "2026-11-22T10:00:06Z".parse().ok(),
            count: 2,
            of: Some(2),
            chain: vec!["replicaset web-6c9f7 (revision 8)".to_owned()],
            events: vec!["BackOff: back-off restarting failed container".to_owned()],
            log: vec!["panic: config: DATABASE_URL is not set".to_owned(), "exit status 1".to_owned()],
            unavailable: Vec::new(),
        }],
        remedy: "look at the last log line of container app, or kubectl rollout undo".to_owned(),
        looser: vec!["--tolerate CrashLoop=5m".to_owned(), "--profile patient".to_owned()],
        ..item("Deployment", "web", Verdict::Failed)
    }
}

/// A custom resource that nothing ties to its spec, with its explanation.
pub(crate) fn unproved() -> ItemReport {
    let read = |path: &str, value: &str| Read { path: path.to_owned(), value: value.to_owned() };
    ItemReport {
        api_version: "kafka.example.org/v1".to_owned(),
        namespace: "data".to_owned(),
        reason: "NoEvidence".to_owned(),
        message: "Ready=True may belong to the previous spec".to_owned(),
        evidence: Some("none"),
        generation: Some(4),
        observed_generation: None,
        remedy: "check the controller, or accept its status with --assume-observed".to_owned(),
        explain: Some(Explanation {
            rule: "WD-G7".to_owned(),
            reads: vec![read("metadata.generation", "4"), read("status.observedGeneration", "absent")],
            flips: vec!["status.observedGeneration = 4".to_owned(), "a status write after the spec".to_owned()],
        }),
        ..item("Kafka", "main", Verdict::Unverifiable)
    }
}

/// A Deployment that somebody else changed.
pub(crate) fn superseded() -> ItemReport {
    ItemReport {
        reason: "NewerGeneration".to_owned(),
        message: "generation 8 was written by argocd-controller at 2026-11-22T10:00:41Z".to_owned(),
        generation: Some(8),
        remedy: "wait for that one with --follow, or apply again".to_owned(),
        ..item("Deployment", "api", Verdict::Superseded)
    }
}

/// What a missing right left out.
pub(crate) fn skipped() -> Skipped {
    Skipped {
        object: "job/migrate".to_owned(),
        namespace: "other".to_owned(),
        reason: "cannot list jobs in namespace other: server says (Forbidden)".to_owned(),
    }
}

/// Returns the report of `items`; the verdict is that of the last.
pub(crate) fn report(items: Vec<ItemReport>) -> WaitReport {
    let verdict = items.last().map_or(Verdict::Complete, |item| item.verdict);
    WaitReport {
        api_version: "kubeguard.dev/v1",
        kind: "WaitReport",
        verdict,
        exit_code: verdict.exit_code(),
        elapsed_seconds: 106.25,
        until: Level::Available,
        ended: Ended::Done,
        items,
        skipped: Vec::new(),
        requests: Requests { list: 3, watch: 3, get: 1 },
    }
}
