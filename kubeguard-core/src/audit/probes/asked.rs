//! What the commands beside the audit read, and what of it could not be read.

use crate::audit::facts::{Facts, Read};
use crate::audit::needs::{Need, Needs, Role, union};
use crate::audit::report::Skipped;

/// Returns what a command reads.
pub(super) fn needs(of: &[Need]) -> Needs {
    union(of)
}

/// Returns what of it could not be read: what decides as a whole, what enriches in part.
pub(super) fn skipped(facts: &Facts, command: &str, needs: &[Need]) -> Vec<Skipped> {
    let skipped = |reason: &str, partial: bool, namespace: Option<&String>| Skipped {
        rules: vec![command.to_owned()],
        reason: reason.to_owned(),
        partial,
        namespace: namespace.cloned(),
    };
    let mut all = Vec::new();
    for need in needs {
        if let Read::Not(reason) = facts.read(need.fact) {
            all.push(skipped(reason, need.role == Role::Enriches, None));
        }
        let gaps = facts.gaps().iter().filter(|gap| gap.fact == need.fact);
        all.extend(gaps.map(|gap| skipped(&gap.reason, true, gap.namespace.as_ref())));
    }
    all.extend(facts.malformed().iter().map(|reason| skipped(reason, true, None)));
    all.sort();
    all.dedup();
    all
}
