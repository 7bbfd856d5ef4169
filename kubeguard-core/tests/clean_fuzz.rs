//! The fuzz targets of files that decide what is deleted, over a bounded number of damaged ones; `cargo fuzz run policy`
//! goes on without end.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

#[path = "../fuzz/clean.rs"]
mod clean;

use kubeguard_core::ecr::clusters::Clusters;
use kubeguard_core::ecr::plan::Plan;
use kubeguard_core::ecr::planning::{Inputs, plan};
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::snapshot::{self, RegistrySnapshot};
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::images::gather::{Reading, of_manifests};
use kubeguard_core::images::inventory::Scan;
use kubeguard_core::images::{HostMap, Inventory, RegistryId};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const POLICY: &str = r#"
apiVersion: kubeguard.dev/v1
kind: CleanPolicy
registry: {account: "111122223333", region: us-east-1}
aliases: {registry.corp.example: 111122223333.dkr.ecr.us-east-1.amazonaws.com}
caps: {share: 50%, perRepository: 1000, perRun: "off"}
defaults: {minAge: 90d, quarantine: {plans: 2, apart: 24h}}
rules:
- {name: apps, repositories: ["app", "team/*", "/^svc-[a-z]+$/"], exclude: ["team/base"], action: delete, keepTags: ["prod"]}
- {name: previews, repositories: ["preview/**"], action: archive-then-delete, minAge: 7d, selectTags: ["pr-*"]}
"#;

const CLUSTERS: &str = r#"
apiVersion: kubeguard.dev/v1
kind: Clusters
clusters:
- {name: prod, context: prod-eu, uid: 0c7e5b0e-6a55-4d0c-9b7e-3f1d3a1f0a11, registries: ["111122223333/eu-west-1"]}
- {name: dr, standbyOf: prod, registries: ["111122223333/eu-west-1"]}
- {name: winter, inventory: inventories/winter.json, hibernatedSince: "2026-10-01"}
- {name: old, inventory: inventories/old.json, retired: {at: "2026-11-01", wait: 14d}}
"#;

/// What stands in a text instead of something else.
const BITS: [&str; 16] = [
    "null",
    "-1",
    "99999999999999999999",
    "{}",
    "[]",
    "\"\"",
    "\n",
    ": ",
    "- ",
    "3m",
    "é",
    "&a ",
    "*a",
    "/(/",
    "off",
    "*",
];

/// Damages: where each begins, how much is taken away, and what stands there instead.
fn damages() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, &'static str)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, prop::sample::select(BITS.to_vec())), 0..5)
}

fn damaged(text: &str, damages: &[(prop::sample::Index, usize, &str)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, taken, instead) in damages {
        let from = at.index(bytes.len() + 1);
        let to = (from + taken).min(bytes.len());
        bytes.splice(from..to, instead.bytes());
    }
    bytes
}

/// A plan and a state of an empty registry, as files.
fn written() -> (String, String) {
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    let policy = Policy::parse("policy", POLICY).unwrap();
    let clusters = Clusters::parse("clusters", CLUSTERS).unwrap();
    let registry = RegistrySnapshot {
        registry: RegistryId::new("111122223333", "us-east-1"),
        caller: String::new(),
        caller_account: "111122223333".to_owned(),
        taken_at: now,
        replication: snapshot::Reading::Read(Vec::new()),
        pull_through: snapshot::Reading::Read(Vec::new()),
        exclusions: snapshot::Reading::Read(Vec::new()),
        repositories: Vec::new(),
    };
    let inputs = Inputs {
        policy: &policy,
        clusters: &clusters,
        answers: &[],
        registry: &registry,
        state: None,
        keep_lists: &[],
        salt: None,
        now,
        tool: "kubeguard",
        offline: false,
    };
    let plan = plan(&inputs);
    let state = CleanState::new(registry.registry.clone(), now).after(&plan, &inputs);
    (serde_json::to_string_pretty(&plan).unwrap(), serde_json::to_string_pretty(&state).unwrap())
}

/// An inventory of one workload, as a file.
fn inventory() -> String {
    let pod = serde_json::json!({"containers": [{"name": "app", "image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/app:v1"}]});
    let web = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "team", "name": "web"},
        "spec": {"template": {"spec": pod}}});
    let (scan, hosts) = (Scan::default(), HostMap::default());
    let reading = Reading { cluster: "prod", scan: &scan, hosts: &hosts, tool: "kubeguard" };
    let now = "2026-11-22T10:00:00Z".parse().unwrap();
    let inventory = of_manifests([&web], reading, Some("uid".to_owned()), true, now);
    serde_json::to_string_pretty(&inventory).unwrap()
}

#[test]
fn what_is_damaged_here_is_sound_at_first() {
    let (plan, state) = written();
    assert!(!Plan::parse("plan", &plan).unwrap().is_altered());
    Inventory::parse("inventory", &inventory()).unwrap();
    CleanState::parse("state", &state, &RegistryId::new("111122223333", "us-east-1")).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_damaged_policy_panics(damages in damages()) {
        clean::policy(&damaged(POLICY, &damages));
    }

    #[test]
    fn no_damaged_clusters_file_panics(damages in damages()) {
        clean::clusters(&damaged(CLUSTERS, &damages));
    }

    #[test]
    fn no_damaged_inventory_panics(damages in damages()) {
        clean::inventory(&damaged(&inventory(), &damages));
    }

    #[test]
    fn no_damaged_plan_or_state_panics(damages in damages()) {
        let (plan, state) = written();
        clean::plan(&damaged(&plan, &damages));
        clean::state(&damaged(&state, &damages));
    }
}
