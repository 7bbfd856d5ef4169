//! Looks at a registry that is slow, broken, forbidden or large, through the SDK and over HTTP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use kubeguard_core::ecr::aws::{AwsAccess, Ecr, Retry};
use kubeguard_core::ecr::look::{Look, Progress, snapshot};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::registry::{CallError, ErrorKind};
use kubeguard_core::ecr::snapshot::{ProblemKind, Reading, RegistrySnapshot, Repository, RepositorySnapshot};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::images::RegistryId;
use kubeguard_testkit::FakeEcr;
use kubeguard_testkit::fake_ecr::{ACCESS_KEY, ACCOUNT, Calls, Fault, REGION, Store, image, index};

const APP: &str = "app";

/// Asks as an access key for the registry of [`ACCOUNT`].
async fn registry(ecr: &FakeEcr, access_key: &str, on_retry: impl Fn(&Retry) + Send + Sync + 'static) -> Ecr {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(access_key, "s", None, None, "test")))
        .build();
    let (account, endpoint_url) = (Some(ACCOUNT.to_owned()), Some(ecr.url().to_owned()));
    let access = AwsAccess { account, endpoint_url, ..AwsAccess::default() };
    access.open(&config, on_retry).await.expect("a registry")
}

async fn seen_by(registry: &Ecr, manifests: &ManifestCache) -> Result<RegistrySnapshot> {
    let progress = |_: Progress<'_>| {};
    let now = "2026-06-01T12:00:00Z".parse().expect("a time");
    let look = Look { replication: true, pull_through: true, indexes: true, manifests, progress: &progress, now };
    let all = |all: &[Repository]| Ok(all.iter().map(|repository| repository.name.clone()).collect());
    snapshot(registry, all, &look).await
}

/// One look as the usual caller, and the kinds of failures that were repeated.
async fn look(ecr: &FakeEcr) -> (Result<RegistrySnapshot>, Vec<ErrorKind>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let registry = registry(ecr, ACCESS_KEY, move |retry| telling.lock().expect("a list").push(retry.error.kind)).await;
    let seen = seen_by(&registry, &ManifestCache::in_memory()).await;
    let told = told.lock().expect("a list").clone();
    (seen, told)
}

async fn app(ecr: &FakeEcr) -> (RepositorySnapshot, Vec<ErrorKind>) {
    let (seen, told) = look(ecr).await;
    (seen.expect("a snapshot").repositories.remove(0), told)
}

fn refused(seen: Result<RegistrySnapshot>) -> CallError {
    match seen {
        Err(Error::Registry { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

/// Three images in pages of two.
fn small() -> FakeEcr {
    let ecr = FakeEcr::default().serve();
    let mut store = ecr.store();
    store.behaviour.page_limit = Some(2);
    for label in ["one", "two", "three"] {
        store.push(APP, image(label).tag(label));
    }
    drop(store);
    ecr
}

#[tokio::test]
async fn what_passes_is_waited_for_and_seen() {
    for (fault, told) in [
        (Fault::Server, vec![ErrorKind::Unknown]),
        (Fault::Throttled, vec![ErrorKind::Throttled]),
        (Fault::Reset, vec![ErrorKind::Unknown]),
        (Fault::Lost, vec![ErrorKind::Unknown]),
        (Fault::Garbage, vec![ErrorKind::Unknown]),
        (Fault::Slow(Duration::from_millis(20)), vec![]),
        (Fault::DuplicatePage, vec![]),
        (Fault::EmptyToken, vec![]),
    ] {
        let ecr = small();
        ecr.store().fail("DescribeImages", Calls::First(1), fault.clone());
        let (app, repeated) = app(&ecr).await;
        assert_eq!((&app.problem, app.entries.len()), (&None, 3), "{fault:?}");
        assert_eq!(repeated, told, "{fault:?}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_a_problem_of_its_repository() {
    for (fault, kind) in [
        (Fault::Server, ProblemKind::RegistryUnreadable),
        (Fault::AccessDenied, ProblemKind::AccessDenied),
        (Fault::RepeatedToken, ProblemKind::RegistryUnreadable),
        (Fault::NamelessRow, ProblemKind::RegistryUnreadable),
        (Fault::UnknownOperation, ProblemKind::RegistryUnreadable),
        (Fault::Refused("KmsException"), ProblemKind::RegistryUnreadable),
    ] {
        let ecr = small();
        ecr.store().push("other", image("four"));
        ecr.store().fail_in(APP, "DescribeImages", Calls::All, fault.clone());
        let (seen, _) = look(&ecr).await;
        let seen = seen.expect("a snapshot");
        let kinds: Vec<_> =
            seen.repositories.iter().map(|read| read.problem.as_ref().map(|problem| problem.kind)).collect();
        assert_eq!(kinds, [Some(kind), None], "{fault:?}");
    }
}

#[tokio::test]
async fn settings_that_the_endpoint_does_not_know_are_unread() {
    let ecr = small();
    for operation in ["DescribeRegistry", "DescribePullThroughCacheRules", "ListPullTimeUpdateExclusions"] {
        ecr.store().fail(operation, Calls::All, Fault::UnknownOperation);
    }
    let seen = look(&ecr).await.0.expect("a snapshot");
    assert!(matches!(seen.replication, Reading::Failed(_)), "{:?}", seen.replication);
    assert!(matches!(seen.pull_through, Reading::Failed(_)), "{:?}", seen.pull_through);
    assert!(matches!(seen.exclusions, Reading::Failed(_)), "{:?}", seen.exclusions);
    assert_eq!(seen.repositories[0].problem, None);
}

#[tokio::test]
async fn credentials_that_expire_halfway_end_the_look() {
    let ecr = small();
    ecr.store().before("DescribeImages", 2, |store| store.expire(ACCESS_KEY));
    let error = refused(look(&ecr).await.0);
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Credentials, Some("ExpiredTokenException")));
}

#[tokio::test]
async fn a_caller_of_another_account_needs_the_registrys_consent() {
    let ecr = small();
    ecr.store().allow("AKIAOTHER", "444455556666", "arn:aws:iam::444455556666:user/ci");
    let other = registry(&ecr, "AKIAOTHER", |_| {}).await;
    let error = refused(seen_by(&other, &ManifestCache::in_memory()).await);
    assert_eq!((error.kind, error.operation), (ErrorKind::AccessDenied, "DescribeRepositories"));

    ecr.store().home().grants.insert("444455556666".to_owned());
    let other = registry(&ecr, "AKIAOTHER", |_| {}).await;
    let seen = seen_by(&other, &ManifestCache::in_memory()).await.expect("a snapshot");
    assert_eq!(seen.registry, RegistryId::new(ACCOUNT, REGION));
    assert_eq!((seen.caller_account.as_str(), seen.repositories[0].entries.len()), ("444455556666", 3));
    assert!(matches!(seen.replication, Reading::Failed(_)), "DescribeRegistry tells of the caller's own");
    assert!(matches!(seen.exclusions, Reading::Failed(_)));
}

#[tokio::test]
async fn every_seventh_call_is_throttled_and_2350_images_are_seen() {
    let ecr = FakeEcr::default().serve();
    ecr.store().generate(APP, 2350, jiff::SignedDuration::from_hours(24 * 120));
    ecr.store().behaviour.page_limit = Some(100);
    ecr.store().fail("*", Calls::Every(7), Fault::Throttled);
    let (app, told) = app(&ecr).await;
    assert_eq!((app.problem, app.entries.len()), (None, 2350));
    assert_eq!(told, vec![ErrorKind::Throttled; ecr.store().seen().len() / 7]);
}

#[tokio::test]
async fn a_look_settles_at_the_speed_that_the_registry_takes() {
    let ecr = FakeEcr::default().serve();
    for number in 0..60 {
        ecr.store().push(format!("app-{number}").as_str(), image("one"));
    }
    ecr.store().limit("*", 50, 20);
    let (seen, told) = look(&ecr).await;
    assert!(seen.expect("a snapshot").repositories.iter().all(|read| read.problem.is_none()));
    let calls = ecr.store().seen().len();
    assert!(told.len() < calls / 3, "{} of {calls} calls were too many", told.len());
}

#[tokio::test]
async fn three_of_1200_repositories_are_denied() {
    const DENIED: [&str; 3] = ["app-0003", "app-0700", "app-1199"];
    let ecr = FakeEcr::default().serve();
    for number in 0..1200 {
        ecr.store().push(format!("app-{number:04}").as_str(), image("one"));
    }
    for name in DENIED {
        ecr.store().deny(name);
    }
    let (seen, told) = look(&ecr).await;
    let seen = seen.expect("a snapshot");
    let of_kind = |read: &&RepositorySnapshot| {
        read.problem.as_ref().is_some_and(|problem| problem.kind == ProblemKind::AccessDenied)
    };
    let denied: BTreeSet<&str> =
        seen.repositories.iter().filter(of_kind).map(|read| read.repository.name.as_str()).collect();
    assert_eq!(denied, BTreeSet::from(DENIED));
    assert_eq!(seen.repositories.iter().filter(|read| read.entries.len() == 1).count(), 1197);
    assert_eq!(told, []);
}

#[tokio::test]
async fn fifty_indexes_are_read_once_in_their_life() {
    let ecr = FakeEcr::default().serve();
    for number in 0..50 {
        let child = format!("child-{number}");
        ecr.store().push(APP, image(&child));
        ecr.store().push(APP, index(&format!("index-{number}")).child(child.as_str(), "linux/amd64"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut read = Vec::new();
    for _ in 0..2 {
        let before = ecr.store().count("BatchGetImage");
        let registry = registry(&ecr, ACCESS_KEY, |_| {}).await;
        let seen = seen_by(&registry, &ManifestCache::in_folder(folder.path())).await.expect("a snapshot");
        let app = &seen.repositories[0];
        assert_eq!((&app.problem, app.indexes.len()), (&None, 50));
        let pulled = app.entries.iter().filter(|entry| entry.last_pulled_at == Some(ecr.store().now())).count();
        assert_eq!(pulled, 50, "the pull times are those after our own read");
        read.push((ecr.store().count("BatchGetImage") - before, app.manifests_read.len()));
    }
    assert_eq!(read, [(1, 50), (0, 0)]);
}

#[tokio::test]
async fn an_index_that_goes_while_it_is_read_hides_no_other() {
    let ecr = FakeEcr::default().serve();
    for number in 0..5 {
        let child = format!("child-{number}");
        ecr.store().push(APP, image(&child));
        ecr.store().push(APP, index(&format!("index-{number}")).child(child.as_str(), "linux/amd64"));
    }
    // The second description is the one after our own read.
    ecr.store().before("DescribeImages", 2, |store: &mut Store| store.remove(APP, "index-3"));
    let (app, _) = app(&ecr).await;
    assert_eq!((app.problem, app.indexes.len(), app.entries.len()), (None, 5, 10));
    assert_eq!(app.entries.iter().filter(|entry| entry.last_pulled_at.is_some()).count(), 4);
}
