//! What holds of hashed inventories: they keep what the same inventory keeps with its names, and tell no name.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::clusters::{Cluster, ClusterSource, Clusters};
use kubeguard_core::ecr::plan::{Decision, Plan, RefusalReason, VoteKind};
use kubeguard_core::ecr::planning::{Answer, Inputs, plan};
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::snapshot::{
    Child, Entry, IndexManifest, MediaType, PullThroughRule, Reading, RegistrySnapshot, ReplicationRule, Repository,
    RepositorySnapshot, Status,
};
use kubeguard_core::images::inventory::{Coverage, Pinned, Rewritten, Source, Suspicion, Suspicious};
use kubeguard_core::images::{Digest, Inventory, Maps, Reference, RegistryId, Salt, Use};
use proptest::prelude::*;

const POLICY: &str = r#"
apiVersion: kubeguard.dev/v1
kind: CleanPolicy
caps: {share: "off", perRepository: "off", perRun: "off"}
aliases: {registry.corp.example: 111122223333.dkr.ecr.us-east-1.amazonaws.com}
mirrors: [{from: quay.io, to: 111122223333.dkr.ecr.us-east-1.amazonaws.com/team}]
rewrites: [{from: ghcr.io/acme-, to: 111122223333.dkr.ecr.us-east-1.amazonaws.com/}]
rules:
- {name: all, repositories: ["app", "team/web", "hub/**"], action: delete, minAge: 30d, keepNewest: 1, keepUsedWithin: 10d, keepDeployed: 0, quarantine: "off", rollback: 1, finishedJobs: ignore, pullThrough: delete}
"#;
const REPOSITORIES: [&str; 3] = ["app", "team/web", "hub/library/nginx"];

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn salt() -> Salt {
    Salt::new(b"what nobody can guess").unwrap()
}

fn host(region: &str) -> String {
    RegistryId::new("111122223333", region).host()
}

fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

/// The digest of an entry's configuration.
fn config(number: u8) -> Digest {
    Digest::of(&[number, 0])
}

/// Three repositories of six entries each; the third lists the first two, the fourth the second alone.
fn snapshot() -> RegistrySnapshot {
    let repository = |(of, name): (usize, &&str)| {
        let number = |at: u8| u8::try_from(of).unwrap() * 10 + at;
        let mut indexes = BTreeMap::new();
        for (index, children) in [(2, vec![0, 1]), (3, vec![1])] {
            let children = children.into_iter().map(|child| Child { digest: digest(number(child)), platform: None });
            let index_of = IndexManifest { children: children.collect(), subject: None, strange: false };
            indexes.insert(digest(number(index)), index_of);
        }
        let entry = |at: u8| Entry {
            digest: digest(number(at)),
            tags: if at == 1 { Vec::new() } else { vec![format!("t{at}")] },
            pushed_at: Some(now() - SignedDuration::from_hours(24 * 120 + i64::from(at))),
            bytes: Some(1),
            media_type: Some(MediaType::new(if matches!(at, 2 | 3) {
                "application/vnd.oci.image.index.v1+json"
            } else {
                "application/vnd.oci.image.manifest.v1+json"
            })),
            artifact_type: (!matches!(at, 2 | 3)).then(|| MediaType::new("application/vnd.oci.image.config.v1+json")),
            last_pulled_at: None,
            subject: None,
            status: Status::Active,
            last_archived_at: None,
            last_activated_at: None,
            conflicting: false,
        };
        RepositorySnapshot {
            repository: Repository {
                name: (*name).to_owned(),
                arn: format!("arn:aws:ecr:us-east-1:111122223333:repository/{name}"),
                immutable_tags: false,
            },
            aws_tags: BTreeMap::new(),
            entries: (0..6).map(entry).collect(),
            indexes,
            configs: (0..6).map(|at| (digest(number(at)), config(number(at)))).collect(),
            layers: BTreeMap::new(),
            manifests_read: Vec::new(),
            problem: None,
        }
    };
    RegistrySnapshot {
        registry: RegistryId::new("111122223333", "us-east-1"),
        caller: String::new(),
        caller_account: "111122223333".to_owned(),
        taken_at: now(),
        replication: Reading::Read(vec![ReplicationRule {
            destination: RegistryId::new("111122223333", "eu-west-1"),
            prefixes: vec!["app".to_owned()],
            deletes: true,
        }]),
        pull_through: Reading::Read(vec![PullThroughRule {
            prefix: "hub".to_owned(),
            upstream: "registry-1.docker.io".to_owned(),
            upstream_prefix: None,
        }]),
        exclusions: Reading::Read(Vec::new()),
        repositories: REPOSITORIES.iter().enumerate().map(repository).collect(),
    }
}

/// A repository by some name that may lead to it, or to no repository of ours.
fn name() -> impl Strategy<Value = String> {
    let names = [
        format!("{}/app", host("us-east-1")),
        format!("{}/team/web", host("us-east-1")),
        format!("{}/hub/library/nginx", host("us-east-1")),
        format!("{}/unknown", host("us-east-1")),
        format!("{}/app", host("eu-west-1")),
        format!("{}/team/web", host("eu-west-1")),
        format!("{}/app", host("ap-south-1")),
        format!("{}/app", host("sa-east-1")),
        "111122223333.dkr-ecr.us-east-1.on.aws/app".to_owned(),
        "Registry.Corp.Example/team/web".to_owned(),
        "quay.io/web".to_owned(),
        "ghcr.io/acme-app".to_owned(),
        "nginx".to_owned(),
        "docker.io/library/nginx".to_owned(),
        "example.org/app".to_owned(),
    ];
    prop::sample::select(names.to_vec())
}

fn number() -> impl Strategy<Value = u8> {
    (0_u8..3, 0_u8..7).prop_map(|(of, at)| of * 10 + at)
}

fn image() -> impl Strategy<Value = String> {
    (name(), 0_u8..7, number(), 0_u8..8).prop_map(|(name, tag, number, form)| match form {
        0..4 => format!("{name}:t{tag}"),
        4..6 => format!("{name}@{}", digest(number)),
        6 => format!("{name}:t{tag}@{}", digest(number)),
        _ => name,
    })
}

fn reference() -> impl Strategy<Value = Reference> {
    let uses = [
        Use::Template,
        Use::Pod,
        Use::Status,
        Use::Status,
        Use::Revision,
        Use::Finished,
        Use::Custom,
        Use::Text,
        Use::Declared,
        Use::Event,
        Use::Node,
    ];
    let bare = (number(), any::<bool>())
        .prop_map(|(at, of_config)| (if of_config { config(at) } else { digest(at) }).to_string());
    let named = prop_oneof![4 => image(), 1 => bare];
    let spec = prop::option::weighted(0.8, image());
    (named, prop::sample::select(uses.to_vec()), spec, 0_u8..3, 0_i64..4, prop::option::of(0_i64..240)).prop_map(
        |(image, r#use, spec, owner, revision, days)| {
            let is_revision = r#use == Use::Revision;
            Reference {
                namespace: Some("secret-namespace".to_owned()),
                kind: "Deployment".to_owned(),
                name: "secret-name".to_owned(),
                path: "spec.containers[0].image".to_owned(),
                spec: spec.filter(|_| r#use == Use::Status || image.starts_with("sha256:")),
                container: Some("secret-container".to_owned()),
                started_at: days.map(|days| now() - SignedDuration::from_hours(24 * days)),
                owner: is_revision.then(|| format!("Deployment/secret-{owner}")),
                revision: is_revision.then_some(revision),
                image,
                r#use,
                ..Reference::default()
            }
        },
    )
}

fn suspicious() -> impl Strategy<Value = Suspicious> {
    let reasons = [Suspicion::Templated, Suspicion::Unparsed, Suspicion::NoTag];
    (name(), prop::sample::select(reasons.to_vec()), any::<bool>(), 0_u8..5).prop_map(
        |(name, reason, spec_place, form)| {
            let end = ["", ":$(TAG)", "-${X}", "/", "@sha512:00"][usize::from(form)];
            let folder = name.replace("team/web", "team");
            let text = if reason == Suspicion::NoTag { folder } else { format!("{name}{end}") };
            Suspicious {
                namespace: Some("secret-namespace".to_owned()),
                kind: "ConfigMap".to_owned(),
                name: "secret-name".to_owned(),
                path: "data".to_owned(),
                text,
                reason,
                spec_place,
                repository_hash: None,
            }
        },
    )
}

fn pinned() -> impl Strategy<Value = Pinned> {
    let own = (prop::sample::select(REPOSITORIES.to_vec()), 0_u8..7).prop_map(|(name, tag)| format!("{name}:t{tag}"));
    let pattern = prop::sample::select(vec!["app:t*".to_owned(), "team/web:t?".to_owned()]);
    prop_oneof![3 => image(), 3 => own, 1 => pattern].prop_map(|image| Pinned {
        namespace: Some("secret-namespace".to_owned()),
        source: "Namespace/secret-namespace kubeguard.dev/keep-images".to_owned(),
        image,
    })
}

fn rewritten() -> impl Strategy<Value = Rewritten> {
    (image(), image()).prop_map(|(from, to)| Rewritten {
        from,
        to,
        namespace: Some("secret-namespace".to_owned()),
        kind: "Deployment".to_owned(),
        name: "secret-name".to_owned(),
        container: "secret-container".to_owned(),
        ..Rewritten::default()
    })
}

fn inventory() -> impl Strategy<Value = Inventory> {
    (
        prop::collection::vec(reference(), 0..6),
        prop::collection::vec(suspicious(), 0..2),
        prop::collection::vec(pinned(), 0..2),
        prop::collection::vec(rewritten(), 0..2),
    )
        .prop_map(|(references, suspicious, pinned, rewritten)| Inventory {
            api_version: "kubeguard.dev/v1".to_owned(),
            kind: "ImageInventory".to_owned(),
            cluster: "edge".to_owned(),
            uid: Some("edge".to_owned()),
            source: Source::Live,
            server: None,
            tool: String::new(),
            started_at: now(),
            taken_at: now(),
            complete: true,
            scan: Policy::parse("policy", POLICY).unwrap().scan,
            kinds: Vec::new(),
            platforms: Vec::new(),
            references,
            pinned,
            rewritten,
            suspicious,
            coverage: Coverage {
                too_deep: vec!["ConfigMap secret-namespace/secret-name".to_owned()],
                ..Coverage::default()
            },
            hashed: None,
            sha256: String::new(),
            signature: None,
        })
}

fn cluster(name: &str, standby_of: Option<&str>, registries: &[&str]) -> Cluster {
    Cluster {
        name: name.to_owned(),
        source: standby_of.is_none().then(|| ClusterSource::Context(name.to_owned())),
        uid: None,
        registries: registries.iter().map(|region| format!("111122223333/{region}").parse().unwrap()).collect(),
        standby_of: standby_of.map(ToOwned::to_owned),
        hibernated_since: None,
        retired: None,
        public_key: None,
        repositories: None,
    }
}

/// A cluster and, if wanted, one that stands by for it and pulls from here.
fn planned(inventory: &Inventory, standby: bool, salt: Option<&Salt>) -> Plan {
    let policy = Policy::parse("policy", POLICY).unwrap();
    let mut clusters = vec![cluster("edge", None, &["us-east-1", "eu-west-1", "ap-south-1", "sa-east-1"])];
    if standby {
        clusters.push(cluster("dr", Some("edge"), &["us-east-1"]));
    }
    plan(&Inputs {
        policy: &policy,
        clusters: &Clusters { clusters, from_file: true },
        answers: &[Answer { cluster: "edge".to_owned(), inventory: Ok(inventory.clone()) }],
        registry: &snapshot(),
        state: None,
        keep_lists: &[],
        salt,
        now: now(),
        tool: "kubeguard",
        offline: false,
    })
}

fn hashed(inventory: &Inventory) -> Inventory {
    let hashed = inventory.hashed(&salt(), &Policy::parse("policy", POLICY).unwrap().maps());
    // As it comes out of a file.
    Inventory::parse("edge.json", &serde_json::to_string(&hashed).unwrap()).unwrap()
}

fn gone(plan: &Plan) -> BTreeSet<Digest> {
    plan.images.iter().filter(|image| image.decision == Decision::Delete).map(|image| image.digest).collect()
}

fn refused(plan: &Plan) -> BTreeSet<(String, RefusalReason)> {
    plan.refused.iter().map(|refused| (refused.repository.clone(), refused.reason)).collect()
}

/// Entries that a reference keeps, whatever else does.
fn used(plan: &Plan) -> BTreeSet<Digest> {
    let uses = [VoteKind::InUse, VoteKind::Rollback, VoteKind::RecentUse, VoteKind::Pinned, VoteKind::Standby];
    let kept = plan.images.iter().filter(|image| image.kept.iter().any(|vote| uses.contains(&vote.vote)));
    kept.map(|image| image.digest).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_hidden_keeps_exactly_what_its_names_keep(mut inventory in inventory(), standby in any::<bool>()) {
        // These are told apart less when they are hidden, and keep more: pins by a pattern keep the whole repository, pins of
        // another registry count for standbys as references do.
        inventory.pinned.retain(|pinned| !standby && !pinned.image.contains(['*', '?']));
        inventory.rewritten.retain(|rewritten| !rewritten.from.contains("/unknown"));
        let hidden = hashed(&inventory);
        prop_assume!(hidden.complete);
        let (plain, hidden) = (planned(&inventory, standby, None), planned(&hidden, standby, Some(&salt())));
        prop_assert_eq!(refused(&plain), refused(&hidden));
        prop_assert_eq!(gone(&plain), gone(&hidden));
        prop_assert_eq!(used(&plain), used(&hidden));
    }

    #[test]
    fn what_is_hidden_never_keeps_less(inventory in inventory(), standby in any::<bool>()) {
        let hidden = planned(&hashed(&inventory), standby, Some(&salt()));
        prop_assert!(gone(&hidden).is_subset(&gone(&planned(&inventory, standby, None))));
        prop_assert!(hidden.findings.iter().all(|finding| finding.rule != "EC101"));
    }

    #[test]
    fn no_name_is_told(inventory in inventory()) {
        let text = serde_json::to_string(&hashed(&inventory)).unwrap();
        for name in ["secret-", "app", "web", "nginx", "dkr", "docker.io", "sha256:", "Deployment"] {
            prop_assert!(!text.contains(name), "{} is in {}", name, text);
        }
    }
}

fn using(image: &str) -> Inventory {
    let strategy = inventory();
    let tree = strategy.new_tree(&mut proptest::test_runner::TestRunner::deterministic()).unwrap();
    let mut inventory = proptest::strategy::ValueTree::current(&tree);
    (inventory.references, inventory.pinned) = (Vec::new(), Vec::new());
    (inventory.suspicious, inventory.rewritten) = (Vec::new(), Vec::new());
    inventory.references.push(Reference { image: image.to_owned(), ..Reference::default() });
    inventory
}

/// Returns the only refusal's reason and words, the same for every repository.
fn refusal(plan: &Plan) -> (RefusalReason, String) {
    assert_eq!(gone(plan), BTreeSet::new());
    let words: BTreeSet<_> = plan.refused.iter().map(|refused| (refused.reason, refused.message.clone())).collect();
    assert_eq!((words.len(), plan.refused.len()), (1, 3), "{words:?}");
    words.into_iter().next().unwrap()
}

#[test]
fn whoever_cannot_read_the_hashes_deletes_nothing() {
    let hidden = hashed(&using(&format!("{}/app:t4", host("us-east-1"))));
    let told = |inventory: &Inventory, salt: Option<&Salt>| {
        let (reason, message) = refusal(&planned(inventory, false, salt));
        assert_eq!(reason, RefusalReason::InventoryIncomplete);
        message
    };
    assert!(told(&hidden, None).contains("no salt was given"));
    assert!(told(&hidden, Some(&Salt::new(b"another one of them").unwrap())).contains("another salt"));
    let other_maps = using("app").hashed(&salt(), &Maps::default());
    assert!(told(&other_maps, Some(&salt())).contains("other aliases, mirrors or rewrites"));
    let mut other = hidden.clone();
    other.hashed.as_mut().unwrap().algorithm = "md5".to_owned();
    assert!(told(&other, Some(&salt())).contains("only hmac-sha256"));
    let mut weaker = hidden.clone();
    weaker.scan.templated = kubeguard_core::images::inventory::Templated::Report;
    assert!(told(&weaker, Some(&salt())).contains("weaker scan"));
    let mut bald = hidden;
    bald.hashed = None;
    assert!(told(&bald, Some(&salt())).contains("references that name nothing"));
}

#[test]
fn a_hidden_user_is_the_cluster_alone() {
    let hidden = planned(&hashed(&using(&format!("{}/app:t4", host("us-east-1")))), false, Some(&salt()));
    let kept = hidden.images.iter().flat_map(|image| &image.kept);
    let by: BTreeSet<&str> = kept.filter(|vote| vote.vote == VoteKind::InUse).map(|vote| vote.by.as_str()).collect();
    assert_eq!(by, BTreeSet::from(["edge/-/-/-"]));
}

#[test]
fn a_standby_of_a_hidden_cluster_needs_the_registries_of_that_cluster() {
    let hidden = hashed(&using(&format!("{}/app:t4", host("ap-south-1"))));
    let planned = planned(&hidden, true, Some(&salt()));
    let standby = planned.images.iter().find(|image| image.tags == ["t4"] && image.repository == "app").unwrap();
    assert_eq!((standby.kept[0].vote, standby.kept[0].by.as_str()), (VoteKind::Standby, "dr: edge/-/-/-"));
}

#[test]
fn a_salt_that_can_be_guessed_is_none_and_the_end_of_its_line_does_not_count() {
    assert!(Salt::new(b"short").is_err());
    assert_eq!(Salt::new(b"what nobody can guess\n").unwrap().id(), salt().id());
    assert!(!format!("{:?}", salt()).contains("guess"));
}
