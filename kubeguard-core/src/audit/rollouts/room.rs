//! ROLL-005: what pods above the replicas need.

use super::Rolled;
use crate::audit::facts::{Carrier, Of};
use crate::audit::kinds::ResourceQuota;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Rule};
use crate::models::{Calculation, Input};
use crate::scheduling::{self, Amounts, pod_request};

const QUOTAS: &[Need] = &[
    Need::decides(Fact::Deployment).or_none(),
    Need::decides(Fact::ResourceQuota).or_none(),
    Need::enriches(Fact::LimitRange).or_none(),
    Need::enriches(Fact::ReplicaSet).or_none(),
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none(),
];

/// The rows.
pub(super) const RULES: &[Rule] = &[Rule {
    id: "ROLL-005",
    name: "surge-does-not-fit",
    severity: Severity::High,
    summary: "the quota has no room for the pods of a rollout above the replicas",
    why: "the rollout stands still, or goes on with fewer pods than it was meant to have",
    remedy: "lower maxSurge to what fits, or raise the quota",
    traps: &["a quota for other pods"],
    needs: QUOTAS,
    check: Check::Template(fits),
    ..Rule::BASE
}];

/// Returns whether a quota counts pods of a template; not where a scope is not known.
fn counts(quota: &Of<ResourceQuota>, carrier: &Carrier<'_>, request: &Amounts) -> bool {
    let Some(spec) = &quota.spec else { return false };
    let is_limited = carrier
        .spec
        .containers
        .iter()
        .chain(&carrier.spec.init_containers)
        .any(|container| container.resources.as_ref().is_some_and(|resources| !resources.limits.is_empty()));
    let is_best_effort = request.0.values().all(|amount| *amount == 0) && !is_limited;
    let ends = carrier.spec.active_deadline_seconds.is_some();
    let class = carrier.spec.priority_class_name.as_str();
    let simple = |scope: &str| match scope {
        "BestEffort" => is_best_effort,
        "NotBestEffort" => !is_best_effort,
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "PriorityClass" => !class.is_empty(),
        _ => false,
    };
    let selected = spec.scope_selector.iter().flat_map(|selector| &selector.match_expressions).all(|wanted| {
        let named = wanted.values.iter().any(|value| value == class);
        match (wanted.scope_name.as_str(), wanted.operator.as_str()) {
            ("PriorityClass", "In") => named,
            ("PriorityClass", "NotIn") => !named,
            ("PriorityClass", "DoesNotExist") => class.is_empty(),
            (scope, "Exists") => simple(scope),
            _ => false,
        }
    });
    selected && spec.scopes.iter().all(|scope| simple(scope))
}

/// Returns what one pod takes of a resource of a quota.
fn taken(name: &str, request: &Amounts) -> i64 {
    match name {
        "pods" | "count/pods" => 1,
        "cpu" | "requests.cpu" => request.cpu(),
        "memory" | "requests.memory" => request.memory(),
        other => other.strip_prefix("requests.").map_or(0, |name| request.of(name)),
    }
}

/// Returns an amount of a resource of a quota in the scheduler's units.
fn amounts(quantities: &std::collections::BTreeMap<String, crate::kinds::Quantity>) -> Vec<(String, i64)> {
    let short = |name: &str| name.strip_prefix("requests.").unwrap_or(name).to_owned();
    let read = quantities.iter().map(|(name, quantity)| {
        let one = std::collections::BTreeMap::from([(short(name), quantity.clone())]);
        (name.clone(), scheduling::amounts(&one, "").0.of(&short(name)))
    });
    read.collect()
}

fn fits<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::of(context, carrier).filter(|rolled| rolled.surge > 0) else { return };
    let Some(pod) = context.facts.effective(carrier.object) else { return };
    let request = pod_request(&pod);
    let here = |quota: &&Of<ResourceQuota>| quota.meta.namespace == carrier.object.meta().namespace;
    for quota in context.facts.quotas().iter().filter(here).filter(|quota| counts(quota, &carrier, &request)) {
        let hard = quota.spec.as_ref().map(|spec| amounts(&spec.hard)).unwrap_or_default();
        let used = quota.status.as_ref().map(|status| amounts(&status.used));
        for (name, hard) in hard {
            let each = taken(&name, &request);
            if each <= 0 {
                continue;
            }
            // Without a status: its own pods are used at least.
            let own = each.saturating_mul(i64::from(rolled.replicas));
            let used = used.as_ref().and_then(|used| used.iter().find(|(of, _)| *of == name)).map_or(own, |(_, n)| *n);
            let more = each.saturating_mul(i64::from(rolled.surge));
            let total = used.saturating_add(more);
            if total <= hard {
                continue;
            }
            let short = name.strip_prefix("requests.").unwrap_or(&name);
            let [used_text, more_text, total_text, hard_text] =
                [used, more, total, hard].map(|amount| scheduling::shown(short, amount));
            let inequality = format!("{used_text} + {more_text} = {total_text} > {hard_text} {name}");
            let largest = ((hard - used).max(0) / each).min(i64::from(rolled.surge));
            let at = format!("/spec/hard/{}", name.replace('/', "~1"));
            let mut sum = Calculation::new(inequality.clone())
                .with("surge", &rolled.surges())
                .with("used", &Input::object(used, format!("/status/used/{}", name.replace('/', "~1"))))
                .with("each", &Input::object(each, format!("{}/spec", carrier.path)))
                .with("hard", &Input::object(hard, at.clone()));
            if largest > 0 {
                sum = sum.flip(format!("maxSurge at most {largest}"));
            }
            let message = format!(
                "{inequality} in quota {}: a surge of {} does not fit, {largest} do",
                quota.meta.name, rolled.surge
            );
            let finding = context.finding(carrier.object, message).key(format!("{}/{name}", quota.meta.name));
            findings.push(finding.calculation(&sum).evidence_of(quota, at, hard_text));
        }
    }
}
