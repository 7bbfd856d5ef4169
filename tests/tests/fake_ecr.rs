//! The registry in memory does what ECR does, whether it is asked directly or by the AWS SDK.

use std::collections::BTreeSet;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use jiff::SignedDuration;
use kubeguard_core::ecr::aws::{AwsAccess, Ecr};
use kubeguard_core::ecr::look::{Look, snapshot};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::registry::{
    CallError, ErrorKind, ImageId, PreviewAction, PreviewStatus, Registry, StorageClass,
};
use kubeguard_core::ecr::snapshot::{Entry, Reading, RegistrySnapshot, Status};
use kubeguard_core::images::{Digest, RegistryId};
use kubeguard_testkit::FakeEcr;
use kubeguard_testkit::fake_ecr::{
    ACCESS_KEY, ACCOUNT, Calls, Change, Fault, Lifecycle, Pairs, Push, REGION, Store, attestation, cosign, image,
    index, referrer,
};
use serde_json::json;

const APP: &str = "app";

fn ecr() -> FakeEcr {
    FakeEcr::default().serve()
}

/// Asks through the SDK, with an access key.
async fn sdk(ecr: &FakeEcr, access_key: &str, account: Option<&str>) -> Ecr {
    let credentials = Credentials::new(access_key, "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let access = AwsAccess {
        account: account.map(str::to_owned),
        endpoint_url: Some(ecr.url().to_owned()),
        ..AwsAccess::default()
    };
    access.open(&config, |_| {}).await.expect("it answers")
}

async fn all(registry: &impl Registry) -> Vec<Entry> {
    let (mut entries, mut next) = (Vec::new(), None);
    loop {
        let page = registry.entries(APP, next).await.expect("a page");
        entries.extend(page.entries.into_iter().map(|row| row.expect("a row with a digest")));
        next = page.next;
        if next.is_none() {
            return entries;
        }
    }
}

async fn look<R: Registry>(registry: &R) -> RegistrySnapshot {
    let (manifests, progress) = (ManifestCache::in_memory(), |_: kubeguard_core::ecr::look::Progress<'_>| {});
    let now = "2026-06-01T12:00:00Z".parse().expect("a time");
    let look =
        Look { replication: true, pull_through: true, indexes: true, manifests: &manifests, progress: &progress, now };
    let choose = |all: &[kubeguard_core::ecr::snapshot::Repository]| {
        Ok(all.iter().map(|repository| repository.name.clone()).collect())
    };
    snapshot(registry, choose, &look).await.expect("a look")
}

fn pair(ecr: &FakeEcr, label: &str, tag: &str) -> ImageId {
    ImageId { digest: Some(ecr.store().digest(label)), tag: Some(tag.to_owned()) }
}

fn by_digest(ecr: &FakeEcr, label: &str) -> ImageId {
    ImageId { digest: Some(ecr.store().digest(label)), tag: None }
}

fn push(ecr: &FakeEcr, pushes: impl IntoIterator<Item = Push>) {
    for push in pushes {
        ecr.store().push(APP, push);
    }
}

fn kind<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> ErrorKind {
    outcome.expect_err("a refusal").kind
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// Everything that a repository can hold.
fn filled() -> FakeEcr {
    let ecr = ecr();
    push(
        &ecr,
        [
            image("one").tag("v1").tag("latest").age(days(120)).pulled(days(3)),
            image("two").docker().undated(),
            image("old").tag("v0").age(days(200)).archived(days(10)),
            image("again").tag("v2").age(days(200)).activated(days(1)),
            attestation("proof"),
            index("multi").tag("m1").children(["amd", "arm"]).child("proof", "unknown/unknown"),
            index("nested").child("multi", "linux/amd64"),
            cosign("signature", "one", "sig"),
            referrer("sbom", "one"),
        ],
    );
    let mut store = ecr.store();
    let (home, other) = (RegistryId::new(ACCOUNT, REGION), RegistryId::new(ACCOUNT, "eu-west-1"));
    store.replicate(&home, &[&other], Some("app"), true);
    let rule = json!({"ecrRepositoryPrefix": "hub", "upstreamRegistryUrl": "registry-1.docker.io"});
    store.home().pull_through.push(rule);
    store.home().exclusions.push(format!("arn:aws:iam::{ACCOUNT}:role/scanner"));
    store.repository(APP).aws_tags.insert("team".to_owned(), "web".to_owned());
    drop(store);
    ecr
}

#[tokio::test]
async fn the_sdk_and_a_direct_look_see_the_same() {
    let ecr = filled();
    ecr.store().behaviour.page_limit = Some(4);
    let (direct, through_sdk) = (look(&ecr.direct()).await, look(&sdk(&ecr, ACCESS_KEY, None).await).await);
    let mut through_sdk = through_sdk;
    // Manifests were read by the first look, which is a pull.
    for (seen, before) in through_sdk.repositories.iter_mut().zip(&direct.repositories) {
        for (entry, before) in seen.entries.iter_mut().zip(&before.entries) {
            entry.last_pulled_at = before.last_pulled_at;
        }
    }
    assert_eq!(through_sdk, direct);
    let app = &direct.repositories[0];
    assert_eq!(app.entries.len(), 11);
    assert_eq!(app.problem, None);
    assert_eq!(app.aws_tags["team"], "web");
    assert_eq!(direct.caller, format!("arn:aws:iam::{ACCOUNT}:user/cleaner"));
    let Reading::Read(rules) = &direct.replication else { panic!("{:?}", direct.replication) };
    assert!(rules[0].deletes && rules[0].prefixes == ["app"]);
    let store = ecr.store();
    let children = &app.indexes[&store.digest("multi")].children;
    let platforms: Vec<_> = children.iter().map(|child| child.platform.as_deref().unwrap_or_default()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64", "unknown/unknown"]);
    assert_eq!(app.indexes[&store.digest("nested")].children[0].digest, store.digest("multi"));
    let entry = |label: &str| app.entries.iter().find(|entry| entry.digest == store.digest(label)).expect("an entry");
    assert_eq!(entry("old").status, Status::Archived);
    assert_eq!(entry("two").pushed_at, None);
    assert_eq!(entry("sbom").subject, Some(store.digest("one")));
    assert_eq!(entry("signature").tags, [format!("sha256-{}.sig", store.digest("one").hex())]);
    assert_eq!(entry("multi").artifact_type, None);
}

#[tokio::test]
async fn digests_are_those_of_the_manifests() {
    let ecr = filled();
    let digests: Vec<Digest> =
        ["one", "multi", "nested", "signature", "sbom"].map(|label| ecr.store().digest(label)).into();
    for found in [
        ecr.direct().manifests(APP, &digests).await.expect("manifests").found,
        sdk(&ecr, ACCESS_KEY, None).await.manifests(APP, &digests).await.expect("manifests").found,
    ] {
        assert_eq!(found.len(), digests.len());
        assert!(found.iter().all(|(digest, bytes)| Digest::of(bytes) == *digest));
    }
}

#[tokio::test]
async fn reading_a_manifest_is_a_pull_unless_the_caller_is_excluded_and_describing_is_none() {
    let ecr = filled();
    let (direct, one) = (ecr.direct(), ecr.store().digest("one"));
    let pulled = |ecr: &FakeEcr| ecr.store().entry(APP, "one").expect("an entry").pulled_at;
    let before = pulled(&ecr);
    all(&direct).await;
    direct.describe(APP, &[one]).await.expect("a row");
    ecr.store().home().exclusions.push(format!("arn:aws:iam::{ACCOUNT}:user/cleaner"));
    direct.manifests(APP, &[one]).await.expect("a manifest");
    assert_eq!(pulled(&ecr), before);
    ecr.store().home().exclusions.clear();
    direct.manifests(APP, &[one]).await.expect("a manifest");
    assert_eq!(pulled(&ecr), Some(ecr.store().now()));
}

#[tokio::test]
async fn one_unknown_id_fails_a_whole_description() {
    let ecr = filled();
    let ids = [ecr.store().digest("one"), Digest::of(b"nowhere")];
    for error in [
        ecr.direct().describe(APP, &ids).await.expect_err("a refusal"),
        sdk(&ecr, ACCESS_KEY, None).await.describe(APP, &ids).await.expect_err("a refusal"),
    ] {
        assert_eq!(error.kind, ErrorKind::ImageNotFound, "{error}");
    }
}

#[tokio::test]
async fn a_pair_is_read_in_three_ways() {
    for (pairs, after_one, after_both) in [
        (Pairs::Tag, Some(vec!["latest"]), None),
        (Pairs::Image, None, None),
        (Pairs::TagOnly, Some(vec!["latest"]), Some(vec![])),
    ] {
        for direct in [true, false] {
            let ecr = filled();
            ecr.store().behaviour.pairs = pairs;
            for (tag, expected) in [("v1", &after_one), ("latest", &after_both)] {
                let ids = [pair(&ecr, "one", tag)];
                let answer = if direct {
                    ecr.direct().delete(APP, &ids).await
                } else {
                    sdk(&ecr, ACCESS_KEY, None).await.delete(APP, &ids).await
                };
                answer.expect("an answer");
                let store = ecr.store();
                let tags = store.entry(APP, "one").map(|entry| entry.tags.clone());
                assert_eq!(
                    tags.as_deref(),
                    expected.as_ref().map(|tags| tags.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref(),
                    "{pairs:?} {tag}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_refused_item_says_why_and_the_others_go() {
    let ecr = filled();
    ecr.store().tag(APP, "moved", "two");
    let ids = [
        by_digest(&ecr, "amd"),
        pair(&ecr, "one", "moved"),
        pair(&ecr, "one", "unknown"),
        ImageId { digest: Some(Digest::of(b"nowhere")), tag: None },
        ImageId { digest: None, tag: None },
        by_digest(&ecr, "sbom"),
    ];
    let codes = [
        "ImageReferencedByManifestList",
        "ImageTagDoesNotMatchDigest",
        "ImageNotFound",
        "ImageNotFound",
        "MissingDigestAndTag",
    ];
    let answer = sdk(&ecr, ACCESS_KEY, None).await.delete(APP, &ids).await.expect("an answer");
    assert_eq!(answer.failures.iter().map(|failure| failure.code.as_str()).collect::<Vec<_>>(), codes);
    let parent = ecr.store().digest("multi").to_string();
    assert!(answer.failures[0].reason.ends_with(&format!("[{parent}]")), "{:?}", answer.failures[0]);
    assert!(ecr.store().entry(APP, "sbom").is_none());
    let store = ecr.store();
    let mutation = store.journal().last().expect("a call that changes something");
    assert_eq!(mutation.failures, codes);
    assert_eq!(mutation.registry_id.as_deref(), Some(ACCOUNT));
    assert_eq!(mutation.effects.len(), 1);
    assert_eq!(mutation.effects[0].change, Change::Deleted(store.digest("sbom"), Vec::new()));
}

#[tokio::test]
async fn children_go_behind_their_index_in_the_order_of_the_ids() {
    let ecr = ecr();
    push(&ecr, [index("i").tag("m").children(["a", "b"])]);
    let ids = [by_digest(&ecr, "a"), by_digest(&ecr, "i"), by_digest(&ecr, "b")];
    let answer = ecr.direct().delete(APP, &ids).await.expect("an answer");
    assert_eq!(answer.failures.len(), 1);
    assert!(ecr.store().entry(APP, "a").is_some() && ecr.store().entry(APP, "b").is_none());
}

#[tokio::test]
async fn too_many_ids_and_none_are_no_call() {
    let ecr = filled();
    let many: Vec<ImageId> = (0..101).map(|_| by_digest(&ecr, "one")).collect();
    for ids in [&many[..], &[]] {
        let error = ecr.direct().delete(APP, ids).await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    }
    assert_eq!(ecr.store().effects().count(), 0);
}

#[tokio::test]
async fn deletions_reach_the_copies_that_a_rule_names() {
    let ecr = filled();
    let copies = RegistryId::new(ACCOUNT, "eu-west-1");
    ecr.store().push((&copies, APP), image("one").tag("v1").tag("latest").age(days(120)));
    ecr.direct().delete(APP, &[by_digest(&ecr, "one")]).await.expect("an answer");
    assert!(ecr.store().entry((&copies, APP), "one").is_none());
    assert!(ecr.store().effects().any(|effect| effect.registry == copies));
}

#[tokio::test]
async fn archiving_goes_from_index_to_children_and_restoring_takes_its_time() {
    let ecr = filled();
    let registry = sdk(&ecr, ACCESS_KEY, None).await;
    let digest = |label: &str| ecr.store().digest(label);
    let error = registry.set_storage_class(APP, digest("amd"), StorageClass::Archive).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::StorageClassNotSupported, "{error}");
    for label in ["nested", "multi", "amd"] {
        let status = registry.set_storage_class(APP, digest(label), StorageClass::Archive).await.expect("a status");
        assert_eq!(status, Status::Archived, "{label}");
    }
    let status = registry.set_storage_class(APP, digest("amd"), StorageClass::Standard).await.expect("a status");
    assert_eq!(status, Status::Activating);
    ecr.store().advance(SignedDuration::from_mins(20));
    assert_eq!(ecr.store().entry(APP, "amd").expect("an entry").status, Status::Active);
}

#[tokio::test]
async fn a_preview_runs_once_at_a_time_and_then_tells() {
    let ecr = filled();
    let one = ecr.store().digest("one");
    ecr.store().repository(APP).lifecycle = Some(Lifecycle::new("{\"rules\": []}").expires(one, 7));
    let registry = sdk(&ecr, ACCESS_KEY, None).await;
    assert_eq!(registry.lifecycle_policy(APP).await.expect("an answer").as_deref(), Some("{\"rules\": []}"));
    registry.start_lifecycle_preview(APP).await.expect("a start");
    let error = registry.start_lifecycle_preview(APP).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::PreviewInProgress);
    assert_eq!(registry.lifecycle_preview(APP, None).await.expect("a page").status, PreviewStatus::InProgress);
    let page = registry.lifecycle_preview(APP, None).await.expect("a page");
    assert_eq!((page.status, page.results[0].priority), (PreviewStatus::Complete, 7));
    assert_eq!((page.results[0].digest, page.results[0].action), (Some(one), PreviewAction::Expire));
}

#[tokio::test]
async fn keys_accounts_and_repositories_have_their_own_refusals() {
    let ecr = filled();
    ecr.store().allow("AKIAOTHER", "222233334444", "arn:aws:iam::222233334444:user/other");
    let unknown = sdk(&ecr, "AKIANOBODY", Some(ACCOUNT)).await;
    assert_eq!(kind(unknown.repositories().await), ErrorKind::Credentials);
    assert_eq!(unknown.caller().await.expect_err("a refusal").kind, ErrorKind::Credentials);

    let other = sdk(&ecr, "AKIAOTHER", Some(ACCOUNT)).await;
    assert_eq!(kind(other.repositories().await), ErrorKind::AccessDenied);
    ecr.store().home().grants.insert("222233334444".to_owned());
    assert_eq!(other.repositories().await.expect("granted").len(), 1);
    assert_eq!(other.caller().await.expect("an identity").account, "222233334444");
    assert_eq!(other.replication().await.expect("its own").account, "222233334444");

    ecr.store().deny(APP);
    let own = sdk(&ecr, ACCESS_KEY, None).await;
    assert_eq!(kind(own.describe(APP, &[Digest::of(b"")]).await), ErrorKind::AccessDenied);
    ecr.store().heal();
    ecr.store().expire(ACCESS_KEY);
    assert_eq!(kind(own.repositories().await), ErrorKind::Credentials);
}

#[tokio::test]
async fn a_lost_answer_comes_after_the_effect_and_a_reset_before() {
    for (fault, gone) in [(Fault::Lost, true), (Fault::Reset, false)] {
        for direct in [true, false] {
            let ecr = filled();
            ecr.store().fail("BatchDeleteImage", Calls::Nth(1), fault.clone());
            let ids = [by_digest(&ecr, "sbom")];
            let outcome = if direct {
                ecr.direct().delete(APP, &ids).await
            } else {
                sdk(&ecr, ACCESS_KEY, None).await.delete(APP, &ids).await
            };
            assert_eq!(outcome.expect_err("no answer").kind, ErrorKind::Unknown);
            assert_eq!(ecr.store().entry(APP, "sbom").is_none(), gone);
        }
    }
}

#[tokio::test]
async fn others_act_right_before_a_call() {
    let ecr = filled();
    ecr.store().before("BatchDeleteImage", 1, |store: &mut Store| store.tag(APP, "prod", "one"));
    let ids = [pair(&ecr, "one", "v1"), pair(&ecr, "one", "latest")];
    ecr.direct().delete(APP, &ids).await.expect("an answer");
    assert_eq!(ecr.store().entry(APP, "one").expect("it has a tag left").tags, ["prod"]);
}

#[tokio::test]
async fn reads_get_through_where_every_second_call_is_throttled() {
    let ecr = filled();
    ecr.store().fail("DescribeImages", Calls::Every(2), Fault::Throttled);
    ecr.store().behaviour.page_limit = Some(2);
    let direct: BTreeSet<Digest> = all(&ecr.direct()).await.into_iter().map(|entry| entry.digest).collect();
    assert_eq!(direct.len(), 11);
    assert!(ecr.store().count("DescribeImages") > 10);
}

#[tokio::test]
async fn an_operation_that_is_not_known_is_a_page_of_html() {
    let ecr = filled();
    ecr.store().fail("UpdateImageStorageClass", Calls::All, Fault::UnknownOperation);
    let one = ecr.store().digest("one");
    let registry = sdk(&ecr, ACCESS_KEY, None).await;
    let error = registry.set_storage_class(APP, one, StorageClass::Archive).await.expect_err("no answer");
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn the_stores_clock_is_the_date_of_every_answer() {
    let ecr = filled();
    let registry = sdk(&ecr, ACCESS_KEY, None).await;
    registry.repositories().await.expect("an answer");
    assert_eq!(registry.now(), Some(ecr.store().now()));
    ecr.store().advance(days(2));
    registry.repositories().await.expect("an answer");
    assert_eq!(registry.now(), Some(ecr.store().now()));
}
