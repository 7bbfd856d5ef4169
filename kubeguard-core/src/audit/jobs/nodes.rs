//! Pods whose node is gone.

use jiff::{SignedDuration, Timestamp};

use super::view::{Case, JobState, PODS, known, moment, sees, span, state};
use crate::audit::facts::Pod;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Fold, Rule, absorbs};
use crate::kinds::Condition as _;

pub(super) const ZJ302: Rule = Rule {
    id: "ZJ302",
    name: "node-lost",
    severity: Severity::High,
    fold: Fold::Job,
    needs: &[PODS, Need::decides(Fact::Node), Need::enriches(Fact::Job)],
    absorbs: &[absorbs("ZJ301")],
    summary: "the node of a pod is gone or out of reach",
    why: "nobody reports the end of its containers; a job that replaces failed pods only waits for ever",
    remedy: "put the taint node.kubernetes.io/out-of-service on the node, or force-delete the pod once the node is proven \
             to be off: behind a network partition the work may still run, and would run twice",
    traps: &["a node that is away for a moment comes back"],
    links: &["https://github.com/kubernetes/enhancements/issues/6262"],
    check: Check::Pod(lost),
    ..Rule::BASE
};

const HOLD: SignedDuration = SignedDuration::from_mins(5);

/// How a node is lost.
struct Loss {
    told: String,
    since: Option<Timestamp>,
}

fn loss(context: &Context<'_>, case: &Case<'_>) -> Option<Loss> {
    let pod = case.pod;
    if pod.node.is_empty() || context.facts.nodes().is_empty() || !sees(context.facts, Fact::Node, "") {
        return None;
    }
    let Some(node) = context.facts.node(&pod.node) else {
        let ready = case.status.condition("Ready").filter(|found| !found.is_true());
        let since = pod.meta.deleted.or_else(|| known(ready?.at));
        return Some(Loss { told: "does not exist".to_owned(), since });
    };
    let taints = node.spec.iter().flat_map(|spec| &spec.taints);
    let tainted = taints.into_iter().find(|taint| taint.key == "node.kubernetes.io/unreachable");
    let status = node.status.as_ref();
    let ready = status.and_then(|status| crate::kinds::condition(&status.conditions, "Ready"));
    if let Some(ready) = ready.filter(|ready| !ready.is_true()) {
        return Some(Loss { told: format!("is not ready ({})", ready.status), since: known(ready.changed_at()) });
    }
    let added = tainted.map(|taint| moment(taint.time_added.as_ref()))?;
    Some(Loss { told: "is unreachable".to_owned(), since: added })
}

/// Returns whether a pod's node has been lost for long enough.
pub(super) fn is_lost(context: &Context<'_>, case: &Case<'_>) -> bool {
    loss(context, case).is_some_and(|loss| context.held(loss.since, HOLD))
}

fn lost<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::of(context.facts, pod) else { return };
    let about = pod.meta.deleted.is_some() || matches!(pod.phase(), "Running" | "Unknown");
    let left_alone = case.job.is_some_and(|job| match state(job) {
        JobState::Suspended | JobState::ExternallyManaged(_) => true,
        JobState::Finished(_) | JobState::Doomed(_) => pod.meta.deleted.is_none(),
        JobState::Active => false,
    });
    let Some(loss) = loss(context, &case).filter(|_| about && !left_alone) else { return };
    if !context.held(loss.since, HOLD) {
        return;
    }
    let spec = case.job.and_then(|job| job.spec.as_ref());
    let waits = spec.is_some_and(|spec| spec.pod_replacement_policy == "Failed" || spec.pod_failure_policy.is_some());
    let (severity, then) = if waits {
        (Severity::Critical, "the job waits for its end before it makes another")
    } else {
        (Severity::High, "nobody reports how its work ends")
    };
    let age = loss.since.map_or_else(String::new, |since| format!(" since {} ago", span(context.age(since))));
    let message = format!("node {} of the pod {}{age}: {then}", pod.node, loss.told);
    let draft = context.finding(pod, message).severity(severity).since(loss.since).key(&*pod.node);
    let draft = draft.evidence("/spec/nodeName", &*pod.node);
    let policy = spec.filter(|_| waits).map(|spec| spec.pod_replacement_policy.as_str());
    findings.push(match case.job.zip(policy) {
        Some((job, policy)) => draft.evidence_of(job, "/spec/podReplacementPolicy", policy),
        None => draft,
    });
}
