//! Pods and jobs that cannot leave.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::nodes::is_lost;
use super::view::{Case, JobState, OF_PODS, PODS, TRACKING, ended, job_of, sees, span, state};
use crate::audit::facts::{Meta, Of, Pod};
use crate::audit::kinds::Job;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Fold, Rule, absorbs};
use crate::kinds::Condition as _;

pub(super) const ZJ301: Rule = Rule {
    id: "ZJ301",
    name: "terminating-overdue",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: &[PODS, Need::enriches(Fact::Node), Need::enriches(Fact::Job)],
    summary: "a pod is still there long after its grace period",
    why: "its job counts it as terminating and does not finish",
    remedy: "look at the kubelet of its node, at its volumes and its preStop hooks",
    traps: &["a long preStop hook lies within the grace period"],
    check: Check::Pod(overdue),
    ..Rule::BASE
};

pub(super) const ZJ303: Rule = Rule {
    id: "ZJ303",
    name: "tracking-finalizer-orphan",
    severity: Severity::Medium,
    fold: Fold::Pod,
    needs: &[PODS, Need::decides(Fact::Job)],
    absorbs: &[absorbs("ZJ301")],
    summary: "a pod waits to be counted by a job that does not exist",
    why: "nobody takes the finalizer away: the pod stays, and its namespace cannot be deleted",
    remedy: "take out that finalizer alone, with a JSON patch that tests it first; a merge patch can fail on the spec",
    traps: &["the controller needs a moment"],
    links: &[
        "https://github.com/kubernetes/kubernetes/issues/108645",
        "https://github.com/kubernetes/kubernetes/issues/127917",
    ],
    check: Check::Pod(orphan),
    ..Rule::BASE
};

pub(super) const ZJ304: Rule = Rule {
    id: "ZJ304",
    name: "foreign-finalizer",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: OF_PODS,
    absorbs: &[absorbs("ZJ301")],
    summary: "a pod or job that is being deleted waits for a finalizer",
    why: "it stays until the controller of that finalizer takes it away",
    remedy: "look after the controller of each finalizer; take one out by hand only if its controller is gone",
    traps: &["a foreground deletion waits for what it deletes"],
    check: Check::Cluster(foreign),
    ..Rule::BASE
};

pub(super) const ZJ305: Rule = Rule {
    id: "ZJ305",
    name: "doomed-not-finished",
    severity: Severity::High,
    fold: Fold::Job,
    needs: &[PODS.or_none()],
    absorbs: &[absorbs("ZJ301")],
    summary: "a job is decided and does not finish, because its pods do not leave",
    why: "the final condition is written when no pod is terminating any more; a CronJob that forbids overlap waits",
    remedy: "look at the pods that are terminating",
    traps: &["long grace periods take their time"],
    links: &["https://github.com/kubernetes/kubernetes/issues/123775"],
    check: Check::Job(doomed),
    ..Rule::BASE
};

pub(super) const ZJ306: Rule = Rule {
    id: "ZJ306",
    name: "uncounted-stuck",
    severity: Severity::High,
    fold: Fold::Job,
    needs: &[PODS],
    summary: "pods of a job have ended and are not counted",
    why: "the Job controller is down or throttled: no job makes progress",
    remedy: "look at the controller manager",
    traps: &["a very large job takes longer to count"],
    check: Check::Job(uncounted),
    ..Rule::BASE
};

const OVERDUE: SignedDuration = SignedDuration::from_mins(2);
const ORPHAN: SignedDuration = SignedDuration::from_mins(5);
const DOOMED: SignedDuration = SignedDuration::from_mins(10);
const LARGE: SignedDuration = SignedDuration::from_mins(30);

fn left_alone(case: &Case<'_>) -> bool {
    case.job.is_some_and(|job| matches!(state(job), JobState::Suspended | JobState::ExternallyManaged(_)))
}

fn overdue<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::of(context.facts, pod).filter(|case| !left_alone(case)) else { return };
    let Some(deleted) = pod.meta.deleted.filter(|deleted| context.held(Some(*deleted), OVERDUE)) else { return };
    let decided = case.job.is_some_and(|job| doomed_since(context, job).is_some());
    let orphan = is_orphan(context, pod);
    if is_lost(context, &case) || decided || orphan || !foreign_of(context, &pod.meta, false).is_empty() {
        return;
    }
    let message = format!("the pod should have been gone {} ago and is still there", span(context.age(deleted)));
    let draft = context.finding(pod, message).since(Some(deleted));
    findings.push(draft.evidence("/metadata/deletionTimestamp", deleted.to_string()));
}

/// Returns whether a pod waits too long to be counted by a job that does not exist.
fn is_orphan(context: &Context<'_>, pod: &Pod) -> bool {
    let tracked = pod.meta.finalizers.iter().any(|name| *name == TRACKING);
    let over = pod.meta.deleted.is_some() || pod.is_over();
    let seen = sees(context.facts, Fact::Job, &pod.meta.namespace);
    tracked && over && seen && job_of(context.facts, pod).is_none() && context.held(left_since(pod), ORPHAN)
}

/// Returns since when a pod is on its way out.
fn left_since(pod: &Pod) -> Option<Timestamp> {
    pod.meta.deleted.or_else(|| ended(pod))
}

fn orphan<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    if !is_orphan(context, pod) {
        return;
    }
    let since = left_since(pod);
    let Some(index) = pod.meta.finalizers.iter().position(|name| *name == TRACKING) else { return };
    let path = format!("/metadata/finalizers/{index}");
    let message = "the pod waits to be counted by a job that does not exist: it never leaves, nor does its namespace";
    let draft = context.finding(pod, message).since(since).evidence(path.as_str(), TRACKING);
    let draft = draft.patch(json!({"op": "test", "path": path, "value": TRACKING}));
    findings.push(draft.patch(json!({"op": "remove", "path": path})));
}

/// Returns finalizers that others must take away of what should be gone.
fn foreign_of<'a>(context: &Context<'_>, meta: &'a Meta, has_children: bool) -> Vec<(usize, &'a str)> {
    if !meta.deleted.is_some_and(|deleted| context.held(Some(deleted), OVERDUE)) {
        return Vec::new();
    }
    let names = meta.finalizers.iter().enumerate().map(|(index, name)| (index, &**name));
    let waits = |name: &str| matches!(name, "foregroundDeletion" | "orphan");
    names.filter(|(_, name)| *name != TRACKING && !(has_children && waits(name))).collect()
}

fn foreign<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    for pod in context.facts.pods() {
        foreign_pod(context, pod, findings);
    }
    for job in context.facts.jobs() {
        foreign_job(context, job, findings);
    }
}

/// Judges the finalizers of a pod.
pub(super) fn foreign_pod<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    if Case::of(context.facts, pod).is_some_and(|case| !left_alone(&case)) {
        // What a pod owns is not read: a deletion in the foreground may wait for it.
        told(context, pod, &foreign_of(context, &pod.meta, true), findings);
    }
}

/// Judges the finalizers of a job.
pub(super) fn foreign_job<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    if matches!(state(job), JobState::ExternallyManaged(_)) {
        return;
    }
    let seen = sees(context.facts, Fact::Pod, &job.meta.namespace);
    let has_children = !seen || context.facts.pods_of(job).next().is_some();
    told(context, job, &foreign_of(context, &job.meta, has_children), findings);
}

fn told<'a>(
    context: &Context<'a>,
    object: &'a dyn crate::audit::facts::Object,
    finalizers: &[(usize, &str)],
    findings: &mut Findings<'a>,
) {
    let Some(deleted) = object.meta().deleted.filter(|_| !finalizers.is_empty()) else { return };
    let names: Vec<&str> = finalizers.iter().map(|(_, name)| *name).collect();
    let kind = object.kind().to_lowercase();
    let age = span(context.age(deleted));
    let message = format!("the {kind} should have been gone {age} ago and waits for {}", names.join(", "));
    let mut draft = context.finding(object, message).key(names.join(",")).since(Some(deleted));
    for (index, name) in finalizers {
        draft = draft.evidence(format!("/metadata/finalizers/{index}"), *name);
    }
    findings.push(draft);
}

/// Returns since when a job is decided and not finished, if that is too long.
fn doomed_since(context: &Context<'_>, job: &Of<Job>) -> Option<(Option<Timestamp>, String)> {
    let JobState::Doomed(found) = state(job) else { return None };
    if job.status.as_ref().and_then(|status| status.terminating).unwrap_or(0) <= 0 {
        return None;
    }
    let grace = |spec: &crate::audit::kinds::PodSpec| spec.termination_grace_period_seconds.unwrap_or(30);
    let of_pods = context.facts.pods_of(job).filter(|pod| pod.meta.deleted.is_some()).map(|pod| grace(&pod.spec)).max();
    // Without the pods, the template's.
    let longest = of_pods.or_else(|| job.template.as_ref().map(|template| grace(&template.spec))).unwrap_or(30);
    let hold = DOOMED.max(SignedDuration::from_secs(longest.saturating_add(120)));
    let since = super::view::known(found.changed_at());
    context.held(since, hold).then(|| (since, format!("{}={}", found.r#type, found.reason)))
}

fn doomed<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let Some((since, target)) = doomed_since(context, job) else { return };
    let terminating = job.status.as_ref().and_then(|status| status.terminating).unwrap_or(0);
    let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
    let message = format!("the job is decided ({target}){age} and waits for {terminating} pods to leave");
    let draft = context.finding(job, message).since(since).evidence("/status/terminating", terminating);
    findings.push(draft.evidence("/status/conditions", target));
}

fn uncounted<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    if !matches!(state(job), JobState::Active | JobState::Doomed(_)) {
        return;
    }
    let Some(listed) = job.status.as_ref().and_then(|status| status.uncounted_terminated_pods.as_ref()) else { return };
    let uids = listed.succeeded.iter().chain(&listed.failed);
    let count = listed.succeeded.len() + listed.failed.len();
    // Pods that cannot be seen say nothing.
    let Some(newest) = uids.filter_map(|uid| context.facts.pod(uid)).filter_map(ended).max() else { return };
    let completions = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(0);
    let large = completions > 5000 || context.facts.pods_of(job).count() > 5000;
    if !context.held(Some(newest), if large { LARGE } else { DOOMED }) {
        return;
    }
    let age = span(context.age(newest));
    let message = format!("{count} pods of the job have ended and are not counted, the newest {age} ago");
    let draft = context.finding(job, message).since(Some(newest));
    findings.push(draft.evidence("/status/uncountedTerminatedPods", u64::try_from(count).unwrap_or(u64::MAX)));
}
