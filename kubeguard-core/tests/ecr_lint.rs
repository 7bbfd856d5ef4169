//! Lifecycle policies and AWS' previews of them, read from a registry that does not always answer at once.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use kubeguard_core::ecr::lint::{LONGEST_WAIT, Lifecycle, lifecycles};
use kubeguard_core::error::Error;
use kubeguard_testkit::FakeEcr;
use kubeguard_testkit::fake_ecr::{Calls, Fault, Lifecycle as Scripted, Store, image};

const TEXT: &str = r#"{"rules": []}"#;

/// A registry with `app`, which has a policy whose preview takes D1 and D2, and `base`, which has none.
fn store() -> Store {
    let mut store = Store::default();
    let one = store.push("app", image("D1").tag("v1"));
    let two = store.push("app", image("D2").tag("v2"));
    store.push("base", image("B1").tag("v1"));
    store.repository("app").lifecycle = Some(Scripted::new(TEXT).expires(one, 10).archives(two, 20));
    store
}

struct Read {
    ecr: FakeEcr,
    paused: Duration,
    lifecycles: Result<Vec<Lifecycle>, Error>,
}

impl Read {
    async fn of(store: Store) -> Self {
        Self::again(FakeEcr::new(store)).await
    }

    async fn again(ecr: FakeEcr) -> Self {
        let paused = Mutex::new(Duration::ZERO);
        let pause = |time: Duration| -> BoxFuture<'static, ()> {
            *paused.lock().unwrap() += time;
            Box::pin(std::future::ready(()))
        };
        let lifecycles = lifecycles(&ecr.direct(), &["app", "base"], &pause, &|_, _| {}).await;
        Self { paused: paused.into_inner().unwrap(), ecr, lifecycles }
    }

    fn app(&self) -> &Lifecycle {
        &self.lifecycles.as_ref().unwrap()[0]
    }

    fn why(&self) -> &str {
        self.app().preview.as_ref().unwrap_err()
    }

    fn starts(&self) -> usize {
        self.ecr.store().count("StartLifecyclePolicyPreview")
    }
}

#[tokio::test]
async fn a_preview_is_started_waited_for_and_read_to_its_end() {
    let mut store = store();
    for number in 0..150 {
        let digest = store.push("app", image(&format!("E{number}")));
        let lifecycle = store.repository("app").lifecycle.take().unwrap();
        store.repository("app").lifecycle = Some(lifecycle.expires(digest, 30));
    }
    store.repository("app").lifecycle.as_mut().unwrap().polls = 3;
    let read = Read::of(store).await;
    let app = read.app();
    assert_eq!(app.policy, Ok(Some(TEXT.to_owned())));
    let results = app.preview.as_ref().unwrap();
    assert_eq!((results.len(), results[0].priority, results[1].priority), (152, 10, 20));
    assert!(read.paused > Duration::ZERO && read.paused < Duration::from_secs(10), "{:?}", read.paused);
    let base = &read.lifecycles.as_ref().unwrap()[1];
    assert_eq!(
        (&base.policy, &base.preview),
        (&Ok(None), &Ok(Vec::new())),
        "without a policy there is nothing to preview"
    );
    assert_eq!(read.starts(), 1);
}

#[tokio::test]
async fn somebody_elses_preview_is_waited_for_and_ours_comes_after_it() {
    let mut own = store();
    let lifecycle = own.repository("app").lifecycle.as_mut().unwrap();
    lifecycle.polls = 4;
    let ecr = FakeEcr::new(own);
    // Theirs is not read to its end.
    let theirs = kubeguard_core::ecr::registry::Registry::start_lifecycle_preview(&ecr.direct(), "app").await;
    theirs.unwrap();
    let read = Read::again(ecr).await;
    assert_eq!(read.app().preview.as_ref().map(Vec::len), Ok(2));
    assert_eq!(read.starts(), 3, "theirs, ours that was refused, ours");
}

#[tokio::test]
async fn nobody_waits_for_longer_than_ten_minutes() {
    let mut store = store();
    store.repository("app").lifecycle.as_mut().unwrap().polls = u32::MAX;
    let read = Read::of(store).await;
    assert_eq!(read.why(), "AWS' preview of the lifecycle policy was not done after 10 minutes");
    assert_eq!(read.paused, LONGEST_WAIT);
    let read = Read::again(read.ecr).await;
    assert_eq!(read.why(), "somebody else's preview of the lifecycle policy was not done after 10 minutes");
}

#[tokio::test]
async fn an_expired_preview_is_started_once_more_and_a_failed_one_is_not() {
    for (end, why, starts) in [
        ("EXPIRED", "AWS' preview of the lifecycle policy expired twice, or others started theirs", 2),
        ("FAILED", "AWS' preview of the lifecycle policy failed", 1),
        ("A_NEW_WORD", "AWS' preview of the lifecycle policy failed", 1),
    ] {
        let mut store = store();
        store.repository("app").lifecycle.as_mut().unwrap().end = end.to_owned();
        let read = Read::of(store).await;
        assert_eq!((read.why(), read.starts()), (why, starts), "{end}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_for_its_repository_and_the_others_go_on() {
    for operation in ["GetLifecyclePolicy", "StartLifecyclePolicyPreview", "GetLifecyclePolicyPreview"] {
        let mut store = store();
        store.fail_in("app", operation, Calls::All, Fault::AccessDenied);
        let read = Read::of(store).await;
        assert!(read.why().starts_with(operation), "{}", read.why());
        assert!(read.lifecycles.as_ref().unwrap()[1].preview.is_ok());
        assert_eq!(read.app().policy.is_ok(), operation != "GetLifecyclePolicy", "the policy may be known without it");
    }
}

#[tokio::test]
async fn credentials_that_have_ended_end_everything() {
    let mut store = store();
    store.fail("StartLifecyclePolicyPreview", Calls::All, Fault::Expired);
    let read = Read::of(store).await;
    assert!(matches!(read.lifecycles, Err(Error::Registry { .. })), "{:?}", read.lifecycles);
}

#[tokio::test]
async fn a_policy_that_is_taken_away_meanwhile_is_none() {
    let mut store = store();
    store.before("StartLifecyclePolicyPreview", 1, |store| store.repository("app").lifecycle = None);
    let read = Read::of(store).await;
    assert_eq!((&read.app().policy, &read.app().preview), (&Ok(None), &Ok(Vec::new())));
}

#[tokio::test]
async fn a_page_token_that_comes_back_is_no_answer() {
    let mut store = store();
    for number in 0..150 {
        let digest = store.push("app", image(&format!("E{number}")));
        let lifecycle = store.repository("app").lifecycle.take().unwrap();
        store.repository("app").lifecycle = Some(lifecycle.expires(digest, 30));
    }
    store.repository("app").lifecycle.as_mut().unwrap().polls = 0;
    store.fail("GetLifecyclePolicyPreview", Calls::All, Fault::RepeatedToken);
    let read = Read::of(store).await;
    assert!(read.why().contains("same page token"), "{}", read.why());
}

#[tokio::test]
async fn a_preview_of_another_text_says_nothing_of_ours() {
    let mut store = store();
    // Somebody puts another policy, and previews it, right after ours has begun.
    store.before("GetLifecyclePolicyPreview", 1, |store| {
        store.repository("app").lifecycle.as_mut().unwrap().text = r#"{"rules": [{"rulePriority": 1}]}"#.to_owned();
    });
    store.before("StartLifecyclePolicyPreview", 2, |store| {
        store.repository("app").lifecycle.as_mut().unwrap().text = "{ \"rules\":[] }".to_owned();
    });
    let read = Read::of(store).await;
    assert_eq!(
        (read.app().preview.as_ref().map(Vec::len), read.starts()),
        (Ok(2), 2),
        "the same text in another layout is ours"
    );
}
