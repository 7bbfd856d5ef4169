use serde_json::{Value, json};

use super::*;
use crate::ecr::plan::PlannedImage;
use crate::ecr::state::CleanState;

const NOW: &str = "2026-11-22T10:00:00Z";

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// An image of `app`, with the decision and the votes that are given.
fn image(name: &str, class: &str, decision: &str, kept: &Value) -> PlannedImage {
    serde_json::from_value(json!({
        "repository": "app", "digest": digest(name), "tags": [name], "decision": decision, "kept": kept,
        "class": class, "status": "ACTIVE", "bytes": 1000,
    }))
    .unwrap()
}

fn single(name: &str, decision: &str, votes: &[&str]) -> PlannedImage {
    let kept: Vec<Value> = votes.iter().map(|vote| json!({"vote": vote, "by": "somebody"})).collect();
    image(name, "image", decision, &kept.into())
}

fn sizes(images: &[PlannedImage], layers: &[(&str, &[(&str, u64)])]) -> Sizes {
    let images: Vec<&PlannedImage> = images.iter().collect();
    let own = |layers: &[(&str, u64)]| layers.iter().map(|(name, bytes)| (digest(name), *bytes)).collect();
    let known = layers.iter().map(|(name, layers)| (digest(name), own(layers))).collect();
    Sizes::of(&images, &known, &votes::kinds(&images))
}

#[test]
fn a_layer_is_freed_when_everything_that_names_it_goes() {
    let images = [single("old", "delete", &[]), single("older", "delete", &[]), single("new", "keep", &["newest"])];
    let layers: &[(&str, &[(&str, u64)])] = &[
        ("old", &[("base", 900), ("o1", 100), ("gone", 30)]),
        ("older", &[("base", 900), ("o2", 50), ("gone", 30)]),
        ("new", &[("base", 900), ("n", 100)]),
    ];
    let sizes = sizes(&images, layers);
    assert!(sizes.exact);
    assert_eq!((sizes.all, sizes.deleted, sizes.candidates), (1180, 180, 180));
    assert_eq!(sizes.kept_only_by, BTreeMap::from([(VoteKind::Newest, 1000)]));
}

#[test]
fn an_image_whose_layers_are_not_known_counts_whole_and_nothing_is_exact() {
    let images = [single("old", "delete", &[]), single("new", "keep", &["in-use"])];
    let sizes = sizes(&images, &[("new", &[("base", 900), ("n", 100)])]);
    assert!(!sizes.exact);
    assert_eq!((sizes.all, sizes.deleted), (2000, 1000));
}

#[test]
fn what_would_go_is_told_apart_from_what_goes() {
    let mut waiting = single("waiting", "keep", &["recent-use"]);
    waiting.candidate = true;
    let archived = single("archived", "archive", &[]);
    let images = [single("old", "delete", &[]), waiting, archived];
    let layers: &[(&str, &[(&str, u64)])] =
        &[("old", &[("a", 1), ("ab", 10)]), ("waiting", &[("ab", 10), ("b", 100)]), ("archived", &[("c", 1000)])];
    let sizes = sizes(&images, layers);
    assert_eq!((sizes.deleted, sizes.candidates), (1, 1111), "an archived image costs what it did");
    assert_eq!(sizes.kept_only_by[&VoteKind::RecentUse], 110);
}

#[test]
fn only_the_vote_that_alone_keeps_a_layer_is_told_through_indexes_too() {
    let mut index = image("index", "index", "keep", &json!([{"vote": "rollback", "by": "x"}]));
    index.children = vec![digest("child")];
    let parent = json!([{"vote": "referenced", "by": format!("parent {}", digest("index"))}]);
    let child = image("child", "image", "keep", &parent);
    let mut signature = image("sig", "attached", "keep", &json!([{"vote": "referenced", "by": "subject"}]));
    signature.subjects = vec![digest("child")];
    let both = single("both", "keep", &["rollback", "pinned"]);
    let layers: &[(&str, &[(&str, u64)])] =
        &[("child", &[("c", 5), ("shared", 70)]), ("sig", &[("s", 2)]), ("both", &[("shared", 70), ("b", 300)])];
    let sizes = sizes(&[index, child, signature, both], layers);
    assert!(sizes.exact, "an index has no layers");
    assert_eq!(sizes.kept_only_by, BTreeMap::from([(VoteKind::Rollback, 7)]));
}

#[test]
fn a_price_is_for_a_month_of_a_gb_and_never_rounded_up() {
    assert_eq!(cost(GB, PRICE), 100_000);
    assert_eq!(cost(GB / 2, PRICE), 50_000);
    assert_eq!(cost(10_737, PRICE), 0);
    assert_eq!(cost(u64::MAX, u64::MAX), u64::MAX);
}

fn repository(pushed: &[(&str, &str)]) -> super::super::snapshot::RepositorySnapshot {
    let entries: Vec<Value> =
        pushed.iter().map(|(name, at)| json!({"digest": digest(name), "pushedAt": at, "status": "ACTIVE"})).collect();
    serde_json::from_value(json!({"name": "app", "arn": "", "entries": entries})).unwrap()
}

fn state(plans: &[&str], gone: &Value) -> CleanState {
    let plans: Vec<Value> = plans.iter().map(|at| json!({"sha256": "", "at": at})).collect();
    serde_json::from_value(json!({
        "apiVersion": "kubeguard.dev/v1", "kind": "CleanState", "since": NOW, "updatedAt": NOW,
        "registry": {"partition": "aws", "account": "111122223333", "region": "us-east-1"},
        "plans": plans, "repositories": [{"name": "app", "entries": gone}],
    }))
    .unwrap()
}

#[test]
fn growth_is_against_the_oldest_plan_that_can_be_compared() {
    let now = NOW.parse().unwrap();
    let app =
        repository(&[("a", "2026-10-01T00:00:00Z"), ("b", "2026-11-15T00:00:00Z"), ("c", "2026-11-20T00:00:00Z")]);
    let gone = json!([{"digest": digest("gone"), "lastSeen": "2026-11-15T00:00:00Z"}]);
    let plans = ["2026-01-01T00:00:00Z", "2026-11-12T10:00:00Z", "2026-11-22T00:00:00Z"];
    let growth = growth::of(&app, &state(&plans, &gone), now, 13).unwrap();
    assert_eq!(growth.since, "2026-11-12T10:00:00Z".parse().unwrap());
    // Two then, three now, in ten days: one in ten days, ten more until 13.
    assert_eq!((growth.entries_then, growth.entries_per_month, growth.days_to_quota), (2, 3, Some(100)));
    assert_eq!(growth::of(&app, &state(&["2026-11-22T00:00:00Z"], &json!([])), now, 13), None, "less than a day");
    let shrinking =
        json!(["x", "y", "z"].map(|name| json!({"digest": digest(name), "lastSeen": "2026-11-15T00:00:00Z"})));
    let growth = growth::of(&app, &state(&plans, &shrinking), now, 13).unwrap();
    assert_eq!((growth.entries_per_month, growth.days_to_quota), (-3, None));
}
