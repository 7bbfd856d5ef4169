//! Admission policies, quotas and roles that keep a cluster away from what the rules find.
//!
//! A bundle is YAML that was tried on a real API server, with the user's budgets written into it. Nothing is applied
//! here: [`Bundle::manifests`] returns what a user reviews and applies, [`Bundle::cases`] what it must admit and refuse.

mod cases;
mod settings;

use serde_json::{Value, json};

pub use cases::{Act, Case, Expected};
pub use settings::{AutoscalerGate, DaemonSetGate, FailurePolicy, NodeHold, PolicySettings, SelectedNamespaces};

/// Objects that belong together: they are applied all or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundle {
    /// As in `kubectl guard policy NAME`.
    pub name: &'static str,
    /// What it is for, as in `kubectl guard policy --for WORD`.
    pub of: &'static str,
    /// What it keeps away.
    pub keeps_away: &'static str,
    /// Kinds of its objects that decide.
    pub kind: &'static str,
    /// What must be there: the oldest minor version of the server, or another program.
    pub needs: &'static str,
    /// The rules whose findings it prevents.
    pub rules: &'static [&'static str],
    text: &'static str,
}

/// How strictly a bundle is enforced: one stage after the other, so that nobody is surprised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Refusals are written into the audit log.
    Audit,
    /// The user is warned as well.
    #[default]
    Warn,
    /// The object is refused.
    Deny,
}

/// Every bundle, in the order in which they are listed.
pub const BUNDLES: &[Bundle] = &[
    Bundle {
        name: "daemonset",
        of: "daemonsets",
        keeps_away: "unreviewed DaemonSets",
        kind: "ValidatingAdmissionPolicy",
        needs: "1.30",
        rules: &["DS-006", "DS-007", "DS-010"],
        text: include_str!("../data/policies/daemonset.yaml"),
    },
    Bundle {
        name: "daemonset-quota",
        of: "daemonsets",
        keeps_away: "DaemonSets of tenants",
        kind: "ResourceQuota, ClusterRole",
        needs: "any",
        rules: &["DS-006"],
        text: include_str!("../data/policies/daemonset-quota.yaml"),
    },
    Bundle {
        name: "surge",
        of: "rollouts",
        keeps_away: "whole-fleet replacement",
        kind: "ValidatingAdmissionPolicy",
        needs: "1.30",
        rules: &["ROLL-001"],
        text: include_str!("../data/policies/surge.yaml"),
    },
    Bundle {
        name: "hpa",
        of: "autoscalers",
        keeps_away: "unbounded growth",
        kind: "ValidatingAdmissionPolicy",
        needs: "1.30",
        rules: &["HPA-001", "HPA-004"],
        text: include_str!("../data/policies/hpa.yaml"),
    },
    Bundle {
        name: "start-order",
        of: "start-order",
        keeps_away: "ungated sidecars",
        kind: "ValidatingAdmissionPolicy",
        needs: "1.30",
        rules: &["INIT-003"],
        text: include_str!("../data/policies/start-order.yaml"),
    },
    Bundle {
        name: "field-ref",
        of: "cpu",
        keeps_away: "parallelism read from the node",
        kind: "ValidatingAdmissionPolicy",
        needs: "1.30",
        rules: &["CPU-008", "CPU-009"],
        text: include_str!("../data/policies/field-ref.yaml"),
    },
    Bundle {
        name: "gomaxprocs",
        of: "cpu",
        keeps_away: "host-sized Go programs",
        kind: "MutatingAdmissionPolicy",
        needs: "1.36",
        rules: &["CPU-005", "CPU-006"],
        text: include_str!("../data/policies/gomaxprocs.yaml"),
    },
    Bundle {
        name: "zone",
        of: "zones",
        keeps_away: "workloads without a zone spread",
        kind: "ValidatingAdmissionPolicy",
        needs: "1.30",
        rules: &["ZONE-003", "ZONE-004"],
        text: include_str!("../data/policies/zone.yaml"),
    },
    Bundle {
        name: "node-hold",
        of: "daemonsets",
        keeps_away: "work on unfinished nodes",
        kind: "NodePool, NodeReadinessRule",
        needs: "Karpenter",
        rules: &["DS-015", "DS-017"],
        text: include_str!("../data/policies/node-hold.yaml"),
    },
];

/// Returns the bundle of a name.
#[must_use]
pub fn bundle(name: &str) -> Option<&'static Bundle> {
    BUNDLES.iter().find(|bundle| bundle.name == name)
}

impl Bundle {
    /// Returns the objects of the bundle, in the order in which they are applied.
    ///
    /// Parameters come before the policy that reads them, and the binding comes last: nothing is judged by half.
    #[must_use]
    pub fn manifests(&self, settings: &PolicySettings, stage: Stage) -> Vec<Value> {
        // The texts are ours, and a test reads each of them.
        let mut manifests: Vec<Value> = serde_saphyr::from_multiple(self.text).unwrap_or_default();
        for manifest in &mut manifests {
            settings.write_into(self.name, manifest);
            staged(manifest, stage, settings.failure_policy);
        }
        if self.name == "daemonset-quota" {
            manifests = settings.of_tenants(manifests);
        }
        manifests.sort_by_key(|manifest| match kind(manifest) {
            "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => 1,
            kind if kind.ends_with("Binding") => 2,
            _ => 0,
        });
        manifests
    }

    /// Returns what the bundle must admit, change and refuse under these settings.
    #[must_use]
    pub fn cases(&self, settings: &PolicySettings) -> Vec<Case> {
        cases::of(self.name, settings)
    }
}

/// Returns the kind of a manifest.
fn kind(manifest: &Value) -> &str {
    manifest["kind"].as_str().unwrap_or_default()
}

/// Writes a stage into a policy or its binding.
fn staged(manifest: &mut Value, stage: Stage, failure_policy: FailurePolicy) {
    let actions = match stage {
        Stage::Audit => json!(["Audit"]),
        Stage::Warn => json!(["Warn", "Audit"]),
        Stage::Deny => json!(["Deny"]),
    };
    match kind(manifest) {
        "ValidatingAdmissionPolicyBinding" => manifest["spec"]["validationActions"] = actions,
        "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy"
            if (stage, failure_policy) == (Stage::Deny, FailurePolicy::Fail) =>
        {
            manifest["spec"]["failurePolicy"] = json!("Fail");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
