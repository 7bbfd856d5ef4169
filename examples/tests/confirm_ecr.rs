//! The program that confirms assumptions, against the fake ECR, whose answers are known.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use kubeguard_examples::confirm::{Confirmed, Seen, confirm};
use kubeguard_testkit::fake_ecr::{ACCESS_KEY, FakeEcr, Pairs, REGION, Store, image};

/// A registry with an empty repository `scratch`, and the configuration that leads there.
fn world() -> (FakeEcr, SdkConfig) {
    let mut store = Store::default();
    store.repository("scratch");
    let fake = FakeEcr::new(store).serve();
    let credentials = Credentials::new(ACCESS_KEY, "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(fake.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let config = config.build();
    (fake, config)
}

fn seen(confirmed: &Confirmed, wanted: Seen) -> Vec<&'static str> {
    confirmed.rows.iter().filter(|row| row.seen == wanted).map(|row| row.id).collect()
}

#[tokio::test]
async fn every_assumption_has_its_row_and_nothing_that_was_pushed_is_left() {
    let (fake, config) = world();
    let confirmed = confirm(&config, "scratch").await.unwrap();
    let ids: Vec<&str> = confirmed.rows.iter().map(|row| row.id).collect();
    let all: Vec<String> = (1..=15).map(|number| format!("A{number}")).collect();
    assert_eq!(ids, all);
    assert_eq!(seen(&confirmed, Seen::NotTried), ["A6", "A12", "A14"]);
    // The fake judges the ids of a call in their order: once the index is gone, nothing lists the child.
    assert_eq!(seen(&confirmed, Seen::Fails), ["A2"], "{:#?}", confirmed.rows);
    assert!(seen(&confirmed, Seen::Open).is_empty(), "{:#?}", confirmed.rows);
    assert!(confirmed.left.is_empty());
    assert_eq!(fake.store().repository("scratch").entries().count(), 0);
}

#[tokio::test]
async fn a_registry_that_reads_pairs_in_another_way_is_told() {
    for (pairs, reading) in [(Pairs::Image, "reading B"), (Pairs::TagOnly, "reading C")] {
        let (fake, config) = world();
        fake.store().behaviour.pairs = pairs;
        let confirmed = confirm(&config, "scratch").await.unwrap();
        let row = confirmed.rows.iter().find(|row| row.id == "A1").unwrap();
        assert!(row.seen == Seen::Fails && row.because.starts_with(reading), "{row:?}");
        assert_eq!(fake.store().repository("scratch").entries().count(), 0);
    }
}

#[tokio::test]
async fn a_repository_that_holds_something_is_left_alone() {
    let (fake, config) = world();
    fake.store().push("scratch", image("D1").tag("v1"));
    let journal = fake.store().journal().len();
    let refused = confirm(&config, "scratch").await.unwrap_err().to_string();
    assert!(refused.contains("is not empty"), "{refused}");
    assert_eq!(fake.store().journal().len(), journal);
    assert!(confirm(&config, "elsewhere").await.is_err());
}
