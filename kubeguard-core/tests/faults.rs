//! Every request of a wait against every way in which a server fails, once and for ever.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::access::{Access, Environment};
use kubeguard_core::error::Error;
use kubeguard_core::gather::resource::Resource;
use kubeguard_core::kinds::Deployment;
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::record::Target;
use kubeguard_core::wait::report::{Ended, WaitReport};
use kubeguard_core::wait::verdict::Verdict;
use kubeguard_core::wait::{Wait, preflight};
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::json;

/// What a wait for a Deployment asks: verb, and a part of the path.
const REQUESTS: [(&str, &str); 6] = [
    ("list", "/deployments"),
    ("watch", "/deployments"),
    ("list", "/replicasets"),
    ("list", "/pods"),
    ("list", "/events"),
    ("other", "/selfsubjectrulesreviews"),
];
/// Long enough for a busy machine to answer what it means to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Waits that run at once.
const AT_ONCE: usize = 16;

fn faults() -> [(&'static str, Fault); 8] {
    [
        ("403", Fault::Status(403, "Forbidden")),
        ("404", Fault::Status(404, "NotFound")),
        ("410", Fault::Status(410, "Expired")),
        ("429", Fault::Limited(1)),
        ("500", Fault::Status(500, "InternalError")),
        ("garbage", Fault::Garbage),
        ("timeout", Fault::Slow(REQUEST_TIMEOUT * 2)),
        ("reset", Fault::Reset),
    ]
}

fn put(fake: &FakeCluster, ready: i32) {
    let owner = json!({"kind": "Deployment", "name": "web", "uid": "uid-web", "controller": true});
    let set = json!({"name": "web-1", "namespace": "team", "uid": "web-1", "ownerReferences": [owner]});
    let pod = json!({"name": "web-1-a", "namespace": "team", "uid": "a", "ownerReferences": [
        {"kind": "ReplicaSet", "name": "web-1", "uid": "web-1", "controller": true},
    ]});
    let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image"});
    fake.put(
        "/apis/apps/v1/namespaces/team/replicasets",
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": set}),
    );
    fake.put("/api/v1/namespaces/team/pods", json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": pod,
        "status": {"phase": "Pending", "containerStatuses": [{"name": "app", "restartCount": 0, "state": {"waiting": waiting}}]},
    }));
    fake.put("/apis/apps/v1/namespaces/team/deployments", json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "team", "uid": "uid-web", "generation": 1}, "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready},
    }));
}

/// Runs a wait to its end; the Deployment gets ready after a while where `gets_ready` says so.
async fn run(fake: &FakeCluster, timeout: SignedDuration, gets_ready: bool) -> Result<WaitReport, Error> {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let access =
        Access { server: Some(fake.url().to_owned()), request_timeout: Some(REQUEST_TIMEOUT), ..Access::default() };
    let cluster = access.connect(&Environment::default()).await?;
    let targets = vec![Target::named(Resource::of::<Deployment>(), Some("team"), "web")];
    let policy = Policy { timeout: Some(timeout), ..Policy::default() };
    preflight(&cluster, &targets, &policy).await?;
    let mut wait = Wait::new(cluster, targets, policy, Timestamp::now);
    let mut put_at = gets_ready.then(|| tokio::time::Instant::now() + Duration::from_millis(600));
    loop {
        let soon = put_at.unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_mins(1));
        match tokio::time::timeout_at(soon, wait.next()).await {
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) => return Ok(wait.report(false).unwrap()),
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                put(fake, 1);
                put_at = None;
            }
        }
    }
}

/// Runs `check` for every request and fault, none longer than `limit`.
async fn for_each(
    limit: Duration,
    check: impl AsyncFn(&'static str, &'static str, &'static str, Fault) -> Result<(), String>,
) {
    let cases = REQUESTS.iter().flat_map(|(verb, path)| faults().map(|(name, fault)| (*verb, *path, name, fault)));
    let checks = cases.map(|(verb, path, name, fault)| {
        let check = tokio::time::timeout(limit, check(verb, path, name, fault));
        async move {
            match check.await {
                Err(_) => Some(format!("{verb} {path}: {name}: it hangs")),
                Ok(Err(problem)) => Some(format!("{verb} {path}: {name}: {problem}")),
                Ok(Ok(())) => None,
            }
        }
    });
    let problems = futures::stream::iter(checks).buffer_unordered(AT_ONCE).filter_map(async |problem| problem);
    let mut problems: Vec<String> = problems.collect().await;
    problems.sort();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test]
async fn what_fails_once_is_survived() {
    for_each(Duration::from_secs(50), async |verb, path, name, fault| {
        let fake = FakeCluster::start();
        put(&fake, 0);
        fake.fail(verb, path, fault, Some(1));
        match run(&fake, SignedDuration::from_secs(40), true).await {
            Ok(report) if report.verdict == Verdict::Complete => Ok(()),
            // The very first answer decides whether there is a server at all.
            Err(Error::Api { .. })
                if path == "/deployments" && verb == "list" && matches!(name, "timeout" | "reset" | "garbage") =>
            {
                Ok(())
            }
            Err(Error::Api { .. }) if verb == "other" && matches!(name, "timeout" | "reset") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn what_fails_for_ever_ends_at_the_deadline_without_a_false_verdict() {
    for_each(Duration::from_secs(40), async |verb, path, _, fault| {
        let fake = FakeCluster::start();
        put(&fake, 0);
        fake.fail(verb, path, fault, None);
        match run(&fake, SignedDuration::from_secs(5), false).await {
            Ok(report) if report.items.iter().all(|item| item.verdict == Verdict::Progressing) => {
                let ended = matches!(report.ended, Ended::TimedOut | Ended::Done) && report.exit_code != 0;
                if ended { Ok(()) } else { Err(format!("{report:?}")) }
            }
            Err(Error::Api { .. })
                if verb != "watch" && matches!(path, "/deployments" | "/selfsubjectrulesreviews") =>
            {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn detail_that_fails_for_ever_costs_no_verdict() {
    for_each(Duration::from_secs(50), async |verb, path, _, fault| {
        if path == "/deployments" || verb == "other" {
            return Ok(());
        }
        let fake = FakeCluster::start();
        put(&fake, 0);
        fake.fail(verb, path, fault, None);
        match run(&fake, SignedDuration::from_secs(40), true).await {
            Ok(report) if report.verdict == Verdict::Complete => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
