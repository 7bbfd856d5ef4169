//! Lifecycle rules of AWS that would hurt: AWS' own preview of them, held against what is in use.
//!
//! [`lifecycles`] gathers the policies with their previews, [`lint`](fn@lint) judges them.

mod finding;
mod policy;
mod preview;
mod pull_times;
mod rules;
mod used;

pub use finding::{of_plan, repository_name};
pub use preview::{LONGEST_WAIT, Pause, lifecycles};

use std::collections::BTreeMap;

use self::policy::LifecyclePolicy;
use self::used::Needed;
use super::plan::{Plan, PlannedImage};
use super::policy::Policy;
use super::registry::PreviewResult;
use super::snapshot::RegistrySnapshot;
use crate::audit::{AuditReport, Finding, Skipped};

/// Images that AWS allows in one repository, unless it was asked for more. Every entry counts.
pub const QUOTA: u64 = 100_000;

/// What AWS' lifecycle rules are for one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// The repository.
    pub repository: String,
    /// Text of its policy, `None` where it has none; or why it cannot be read.
    pub policy: Result<Option<String>, String>,
    /// What AWS' preview of the policy says, empty without one; or why there is none.
    pub preview: Result<Vec<PreviewResult>, String>,
}

/// Everything that a lint rests on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Lifecycle policies with their previews.
    pub lifecycles: &'a [Lifecycle],
    /// A fresh judgement of the registry: it knows who needs what.
    pub plan: &'a Plan,
    /// The registry that the plan was made of.
    pub registry: &'a RegistrySnapshot,
    /// The policy that the plan was made of.
    pub policy: &'a Policy,
    /// Entries that one repository may have.
    pub quota: u64,
}

/// Returns what is wrong with the lifecycle rules and settings of a registry: `EC201` to `EC207`, and of the plan's own
/// findings those from `EC208` on. Objects are repositories, and the registry where a finding is of none.
///
/// What could not be read is among the skipped: a repository, a preview, a cluster's usage.
#[must_use]
pub fn lint(inputs: &Inputs<'_>) -> AuditReport {
    let Inputs { lifecycles, plan, registry, quota, .. } = *inputs;
    let mut findings: Vec<Finding> =
        plan.findings.iter().filter(|own| own.rule.as_str() >= "EC208").map(|own| of_plan(own, plan)).collect();
    let mut skipped: Vec<Skipped> = Vec::new();

    let mut images: BTreeMap<&str, Vec<&PlannedImage>> = BTreeMap::new();
    for image in &plan.images {
        images.entry(&image.repository).or_default().push(image);
    }
    let needed = Needed::of(plan);
    let mut policies = Vec::new();
    for lifecycle in lifecycles {
        let name = lifecycle.repository.as_str();
        let entries = images.get(name).map_or(&[][..], Vec::as_slice);
        match &lifecycle.preview {
            Ok(results) => findings.extend(used::removed(name, results, entries, &needed)),
            Err(why) => skipped.push(skip(&["EC201", "EC202"], format!("{name}: {why}"), false)),
        }
        let read = match &lifecycle.policy {
            Ok(None) => continue,
            Ok(Some(text)) => LifecyclePolicy::read(text),
            Err(why) => Err(why.clone()),
        };
        match read {
            Ok(read) => {
                findings.extend(rules::of_policy(name, &read, entries));
                policies.push((name, read));
            }
            Err(why) => skipped.push(skip(&["EC203", "EC204"], format!("{name}: {why}"), false)),
        }
    }
    for repository in &registry.repositories {
        let name = repository.repository.name.as_str();
        match &repository.problem {
            Some(problem) => {
                let rules = ["EC201", "EC202", "EC203", "EC204", "EC205"];
                skipped.push(skip(&rules, format!("{name}: {}", problem.message), false));
            }
            None => findings.extend(rules::near_quota(name, repository.entries.len() as u64, quota)),
        }
    }
    pull_times::judge(inputs, &policies, &mut findings, &mut skipped);
    for refused in &plan.refused {
        if refused.reason.is_missing_usage() {
            let reason = format!("usage is not complete: {}: {}", refused.reason.word(), refused.message);
            skipped.push(skip(&["EC201", "EC202"], reason, true));
        }
    }
    AuditReport::new(findings, skipped, registry.repositories.len() as u64)
}

fn skip(rules: &[&str], reason: String, partial: bool) -> Skipped {
    Skipped { rules: rules.iter().map(|rule| (*rule).to_owned()).collect(), reason, partial, namespace: None }
}

#[cfg(test)]
mod tests;
