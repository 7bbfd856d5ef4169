//! What holds of every plan: nothing needed goes, more usage never deletes more, and what nobody needs is gone.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::clusters::{Cluster, ClusterSource, Clusters};
use kubeguard_core::ecr::plan::{Decision, Plan};
use kubeguard_core::ecr::planning::{Answer, Inputs, plan};
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::snapshot::{
    Child, Entry, IndexManifest, MediaType, Reading, RegistrySnapshot, Repository, RepositorySnapshot, Status,
};
use kubeguard_core::images::inventory::{Coverage, Source};
use kubeguard_core::images::{Digest, Inventory, Reference, RegistryId, Use};
use proptest::prelude::*;

const POLICY: &str = r#"
apiVersion: kubeguard.dev/v1
kind: CleanPolicy
caps: {share: "off", perRepository: "off", perRun: "off"}
rules:
- {name: all, repositories: ["app"], action: delete, minAge: 30d, keepNewest: 1, keepUsedWithin: 0, keepDeployed: 0, quarantine: "off", orphanedArtifacts: delete}
"#;

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn digest(number: usize) -> Digest {
    Digest::of(&number.to_be_bytes())
}

/// One entry: its tags, its children and its subject by number, and whether it is young.
#[derive(Debug, Clone)]
struct Made {
    tags: Vec<String>,
    children: Vec<usize>,
    subject: Option<usize>,
    signs: Option<usize>,
    young: bool,
}

fn entries() -> impl Strategy<Value = Vec<Made>> {
    let one = (
        0_u8..10,
        prop::collection::vec(0_usize..12, 0..3),
        0_usize..12,
        0_u8..8,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.6),
    );
    prop::collection::vec(one, 1..12).prop_map(|made| {
        let most = made.len();
        let made = made.into_iter().enumerate().map(|(at, (kind, children, subject, _, young, tagged))| {
            // Only earlier entries can be listed: the digest of a child is known before that of its index.
            let below = |other: usize| (at > 0).then(|| other % at);
            let is_index = kind < 3;
            Made {
                tags: if tagged { vec![format!("t{at}")] } else { Vec::new() },
                children: if is_index { children.into_iter().filter_map(below).collect() } else { Vec::new() },
                subject: (kind == 8).then(|| below(subject)).flatten(),
                signs: (kind == 9).then_some(subject % most).filter(|other| *other != at),
                young,
            }
        });
        made.collect()
    })
}

fn snapshot(made: &[Made]) -> RegistrySnapshot {
    let registry = RegistryId::new("111122223333", "us-east-1");
    let mut indexes = BTreeMap::new();
    let entries = made.iter().enumerate().map(|(at, made)| {
        let is_index = !made.children.is_empty();
        if is_index {
            let children = made.children.iter().map(|child| Child { digest: digest(*child), platform: None }).collect();
            indexes.insert(digest(at), IndexManifest { children, subject: None, strange: false });
        }
        let signature = made.signs.map(|subject| format!("sha256-{}.sig", digest(subject).hex()));
        let hours = if made.young { 1 } else { 24 * 120 + i64::try_from(at).unwrap() };
        Entry {
            digest: digest(at),
            tags: signature.map_or_else(|| made.tags.clone(), |tag| vec![tag]),
            pushed_at: Some(now() - SignedDuration::from_hours(hours)),
            bytes: Some(1),
            media_type: Some(MediaType::new(if is_index {
                "application/vnd.oci.image.index.v1+json"
            } else {
                "application/vnd.oci.image.manifest.v1+json"
            })),
            artifact_type: (!is_index).then(|| MediaType::new("application/vnd.oci.image.config.v1+json")),
            last_pulled_at: None,
            subject: made.subject.map(digest),
            status: Status::Active,
            last_archived_at: None,
            last_activated_at: None,
            conflicting: false,
        }
    });
    let entries = entries.collect();
    let arn = "arn:aws:ecr:us-east-1:111122223333:repository/app".to_owned();
    RegistrySnapshot {
        registry,
        caller: String::new(),
        caller_account: "111122223333".to_owned(),
        taken_at: now(),
        replication: Reading::Read(Vec::new()),
        pull_through: Reading::Read(Vec::new()),
        exclusions: Reading::Read(Vec::new()),
        repositories: vec![RepositorySnapshot {
            repository: Repository { name: "app".to_owned(), arn, immutable_tags: false },
            aws_tags: BTreeMap::new(),
            entries,
            indexes,
            configs: BTreeMap::new(),
            layers: BTreeMap::new(),
            manifests_read: Vec::new(),
            problem: None,
        }],
    }
}

/// A use of an entry: by its tag, or by its digest.
fn reference(at: usize, by_digest: bool) -> Reference {
    let host = RegistryId::new("111122223333", "us-east-1").host();
    let image = if by_digest { format!("{host}/app@{}", digest(at)) } else { format!("{host}/app:t{at}") };
    Reference {
        kind: "Deployment".to_owned(),
        name: format!("d{at}"),
        image,
        r#use: Use::Template,
        ..Reference::default()
    }
}

fn planned(made: &[Made], uses: &[(usize, bool)]) -> Plan {
    let policy = Policy::parse("policy", POLICY).unwrap();
    let cluster = Cluster {
        name: "a".to_owned(),
        source: Some(ClusterSource::Context("a".to_owned())),
        uid: None,
        registries: Vec::new(),
        standby_of: None,
        hibernated_since: None,
        retired: None,
        public_key: None,
        repositories: None,
    };
    let inventory = Inventory {
        api_version: "kubeguard.dev/v1".to_owned(),
        kind: "ImageInventory".to_owned(),
        cluster: "a".to_owned(),
        uid: Some("a".to_owned()),
        source: Source::Live,
        server: None,
        tool: String::new(),
        started_at: now(),
        taken_at: now(),
        complete: true,
        scan: policy.scan.clone(),
        kinds: Vec::new(),
        platforms: Vec::new(),
        references: uses.iter().map(|(at, by_digest)| reference(at % made.len(), *by_digest)).collect(),
        pinned: Vec::new(),
        rewritten: Vec::new(),
        suspicious: Vec::new(),
        coverage: Coverage::default(),
        hashed: None,
        sha256: String::new(),
        signature: None,
    };
    plan(&Inputs {
        policy: &policy,
        clusters: &Clusters { clusters: vec![cluster], from_file: true },
        answers: &[Answer { cluster: "a".to_owned(), inventory: Ok(inventory) }],
        registry: &snapshot(made),
        state: None,
        keep_lists: &[],
        salt: None,
        now: now(),
        tool: "kubeguard",
        offline: false,
    })
}

fn gone(plan: &Plan) -> BTreeSet<Digest> {
    plan.images.iter().filter(|image| image.decision == Decision::Delete).map(|image| image.digest).collect()
}

/// Returns what is needed by the words of the OCI specifications alone: an entry that is named, all that an index lists,
/// and whatever is attached to something needed.
fn needed(made: &[Made], uses: &[(usize, bool)]) -> BTreeSet<usize> {
    let named = uses.iter().filter(|(at, by_digest)| {
        let made = &made[at % made.len()];
        *by_digest || !made.tags.is_empty() && made.signs.is_none()
    });
    let mut needed: BTreeSet<usize> = named.map(|(at, _)| at % made.len()).collect();
    loop {
        let before = needed.len();
        for (at, entry) in made.iter().enumerate() {
            if needed.contains(&at) {
                needed.extend(&entry.children);
            }
            if entry.subject.into_iter().chain(entry.signs).any(|subject| needed.contains(&subject)) {
                needed.insert(at);
            }
        }
        if needed.len() == before {
            return needed;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_needed_goes(made in entries(), uses in prop::collection::vec((0_usize..12, any::<bool>()), 0..4)) {
        let plan = planned(&made, &uses);
        let gone = gone(&plan);
        for at in needed(&made, &uses) {
            prop_assert!(!gone.contains(&digest(at)), "entry {} is needed", at);
        }
        // What stays says why, what goes does not; a child goes with or after its index.
        for image in &plan.images {
            prop_assert_eq!(image.kept.is_empty(), image.decision == Decision::Delete);
            prop_assert_eq!(image.order.is_some(), image.decision == Decision::Delete);
            if image.decision == Decision::Delete {
                let parents = plan.images.iter().filter(|parent| parent.children.contains(&image.digest));
                for parent in parents {
                    prop_assert!(parent.decision == Decision::Delete && parent.order < image.order);
                }
            }
        }
    }

    #[test]
    fn more_usage_never_deletes_more(made in entries(), uses in prop::collection::vec((0_usize..12, any::<bool>()), 1..4)) {
        let (fewer, more) = (planned(&made, &uses[1..]), planned(&made, &uses));
        prop_assert!(gone(&more).is_subset(&gone(&fewer)));
    }

    #[test]
    fn what_nobody_needs_is_gone(made in entries(), uses in prop::collection::vec((0_usize..12, any::<bool>()), 0..3)) {
        let plan = planned(&made, &uses);
        for image in plan.images.iter().filter(|image| image.decision == Decision::Keep) {
            prop_assert!(!image.kept.is_empty(), "{} stays without a reason", image.digest);
        }
        // Old entries that nothing lists, nothing is attached to and nobody names are planned, but for the newest root.
        let kept_newest = plan.images.iter().filter(|image| image.kept.iter().any(|vote| vote.by.contains(" of "))).count();
        prop_assert!(kept_newest <= 1);
        if made.iter().all(|entry| !entry.young && entry.children.is_empty() && entry.subject.is_none() && entry.signs.is_none()) && uses.is_empty() {
            prop_assert_eq!(gone(&plan).len(), made.len() - 1);
        }
    }
}
