//! Findings about objects: what will hurt, how sure that is, and the smallest change that ends it.
//!
//! A [`Rule`] is a row of a table with a small pure check; [`needs`](fn@needs) says what chosen rules read, [`facts`]
//! are what was read, [`audit`] judges, and [`report`] is the answer as data, the same for every family of rules.

mod absorb;
mod annotations;
pub mod baseline;
pub mod changes;
mod engine;
pub mod facts;
pub mod gather;
pub mod jobs;
pub mod kinds;
mod lines;
pub mod needs;
pub mod probes;
pub mod redact;
pub mod report;
pub mod rollouts;
pub mod rule;
pub mod selection;
pub mod snapshot;
pub mod suppress;
pub mod text;

use std::sync::LazyLock;

pub use engine::{Audited, Suppressed, audit, audited};
pub use facts::{Builder, Facts, Gap, Origin};
pub use needs::{Fact, Need, Needs, needs, union};
pub use report::{AuditReport, Evidence, Finding, ObjectName, Proof, Remedy, Severity, Skipped, Summary};
pub use rule::{Check, Context, FIELDS, Findings, Fold, Policy, Rule};
pub use selection::{Selection, UnknownRule};

/// The newest version of Kubernetes that this crate knows: files are judged for it.
pub const NEWEST: facts::Version = (1, 37);

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let mut rules: Vec<Rule> = [jobs::RULES, &probes::RULES, &rollouts::RULES, annotations::RULES].concat();
    rules.sort_by_key(|rule| rule.id);
    rules
});

/// Returns the numbers of the rule tables that a policy file may change.
#[must_use]
pub fn thresholds() -> Vec<crate::models::thresholds::Threshold> {
    // Families add theirs here.
    rollouts::THRESHOLDS.to_vec()
}

/// Returns every rule, by id.
#[must_use]
pub fn rules() -> &'static [Rule] {
    &RULES
}
