//! Whether pull times can be trusted where they decide.

use super::finding::{evidence, found, registry_name};
use super::policy::LifecyclePolicy;
use super::{Inputs, skip};
use crate::audit::{Finding, Skipped};
use crate::ecr::iam;
use crate::ecr::snapshot::Reading;

/// Judges `EC206` and `EC207`.
///
/// Exclusions that cannot be read matter only where pull times decide.
pub(super) fn judge(
    inputs: &Inputs<'_>,
    policies: &[(&str, LifecyclePolicy)],
    findings: &mut Vec<Finding>,
    skipped: &mut Vec<Skipped>,
) {
    let Inputs { registry, policy, plan, .. } = *inputs;
    let windows = windows(inputs, policies);
    let arns = match &registry.exclusions {
        Reading::Read(arns) => arns,
        Reading::Failed(why) => {
            if !windows.is_empty() {
                skipped.push(skip(&["EC206", "EC207"], format!("pull-time exclusions: {why}"), false));
            }
            return;
        }
    };
    let own = |arn: &str| iam::is_same(arn, &registry.caller);
    let trusted = |arn: &str| policy.pull_times.trusted_exclusions.iter().any(|pattern| pattern.matches(arn));
    for arn in arns.iter().filter(|arn| !windows.is_empty() && !own(arn) && !trusted(arn)) {
        let message = format!("pulls by {arn} leave no pull time, and {} decides by pull times", windows.join(", "));
        let mut excluded = found("EC206", registry_name(&plan.registry), arn, message);
        excluded.evidence = vec![evidence("/pullTimeUpdateExclusions", arn.as_str())];
        findings.push(excluded);
    }
    let Some(principal) = iam::principal(&registry.caller) else { return };
    if !arns.iter().any(|arn| own(arn)) {
        let call = format!("aws ecr register-pull-time-update-exclusion --principal-arn {principal}");
        let path =
            if registry.caller.contains(":assumed-role/") { " (with its path, if the role has one)" } else { "" };
        let message = format!("{principal} counts as a puller when it reads manifests; exclude it with: {call}");
        let mut counted = found("EC207", registry_name(&plan.registry), &principal, message);
        counted.evidence = vec![evidence("/caller", registry.caller.as_str())];
        counted.remedy.text = format!("{call}{path}");
        findings.push(counted);
    }
}

/// What decides by pull times, in words.
fn windows(inputs: &Inputs<'_>, policies: &[(&str, LifecyclePolicy)]) -> Vec<String> {
    let rules = inputs.policy.rules.iter().filter(|rule| !rule.keep_pulled_within.is_zero());
    let rules = rules.map(|rule| format!("keepPulledWithin of rule {}", rule.name));
    let lifecycle = policies.iter().flat_map(|(name, policy)| {
        let by_pull_time = policy.rules.iter().filter(|rule| rule.selection.by_pull_time());
        by_pull_time.map(move |rule| format!("lifecycle rule {} of {name}", rule.rule_priority))
    });
    rules.chain(lifecycle).collect()
}
