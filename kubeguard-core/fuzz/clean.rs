//! Files that decide what is deleted: each reader takes any bytes, and must neither panic nor hang.
//!
//! Shared by the fuzz targets and by a bounded test (`tests/clean_fuzz.rs`).

use kubeguard_core::ecr::clusters::Clusters;
use kubeguard_core::ecr::plan::Plan;
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::images::{Inventory, RegistryId};

/// A policy.
pub(crate) fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse("fuzz", text) else { return };
    for rule in &policy.rules {
        assert!(!rule.repositories.is_empty(), "a rule without repositories is none");
    }
    let _ = (policy.hosts(), policy.rule_for("team/app"));
}

/// A clusters file.
pub(crate) fn clusters(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(clusters) = Clusters::parse("fuzz", text) else { return };
    assert!(clusters.from_file, "a file declares all clusters");
}

/// A plan: one that vouches for itself is read back as it was.
pub(crate) fn plan(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(plan) = Plan::parse("fuzz", text) else { return };
    if !plan.is_altered() {
        let again = serde_json::to_string(&plan).unwrap_or_default();
        let again = Plan::parse("again", &again).ok();
        assert!(again.is_some_and(|again| !again.is_altered()), "a plan is read back as it was written");
    }
}

/// A state file.
pub(crate) fn state(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let registry = RegistryId::new("111122223333", "us-east-1");
    let Ok(state) = CleanState::parse("fuzz", text, &registry) else { return };
    assert_eq!(state.registry, registry, "the state of another registry is not this one's");
}

/// An inventory: one that is believed is read back as it was written.
pub(crate) fn inventory(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(inventory) = Inventory::parse("fuzz", text) else { return };
    assert_eq!(inventory.sha256, inventory.hash(), "one that was altered is not believed");
    let again = serde_json::to_string(&inventory).unwrap_or_default();
    assert_eq!(Inventory::parse("again", &again).ok(), Some(inventory), "it is read back as it was written");
}
