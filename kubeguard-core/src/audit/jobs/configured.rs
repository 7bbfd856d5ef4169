//! Jobs that are configured never to end.

use jiff::SignedDuration;

use super::endless::TEMPLATES;
use super::injected::is_asked_to_quit;
use super::outcome::matches;
use super::view::{
    JobState, PODS, ended, is_future, is_template, job_spec, known, lives, moment, span, started, state,
};
use crate::audit::facts::{Carrier, Of, Pod};
use crate::audit::kinds::{Job, JobStatus};
use crate::audit::needs::{Fact, Need};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Fold, Rule};
use crate::kinds::{Condition as _, condition};
use crate::pods::Role;

pub(super) const ZJ401: Rule = Rule {
    id: "ZJ401",
    name: "suspended-stale",
    severity: Severity::Low,
    fold: Fold::Job,
    needs: &[Need::decides(Fact::Job)],
    summary: "a job has been suspended for more than a week",
    why: "somebody may have forgotten it",
    remedy: "resume the job or delete it",
    traps: &["a queue suspends jobs until their turn", "a job may be suspended for a while", "a manifest has no past"],
    check: Check::Job(suspended),
    ..Rule::BASE
};

pub(super) const ZJ402: Rule = Rule {
    id: "ZJ402",
    name: "external-manager-silent",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: &[Need::decides(Fact::Job)],
    summary: "the controller that a job names has not touched it",
    why: "the Job controller leaves it alone, so nobody runs it",
    remedy: "correct spec.managedBy (the job must be made again), or install that controller",
    traps: &["a manager that writes status is there", "a manager may take ten minutes"],
    links: &["https://github.com/kubernetes/enhancements/issues/4368"],
    check: Check::Job(unmanaged),
    ..Rule::BASE
};

pub(super) const ZJ403: Rule = Rule {
    id: "ZJ403",
    name: "unbounded-retry",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: TEMPLATES,
    summary: "a job may be tried again more than a hundred times, and has no deadline",
    why: "a mistake that no retry heals keeps it busy for days before it counts as failed",
    remedy: "set activeDeadlineSeconds or a lower backoffLimit; a podFailurePolicy can ignore disruptions",
    traps: &["a deadline bounds the retries", "a few retries are usual"],
    links: &["https://github.com/kubernetes/kubernetes/issues/54870"],
    check: Check::Template(unbounded),
    ..Rule::BASE
};

pub(super) const ZJ404: Rule = Rule {
    id: "ZJ404",
    name: "ignore-loop",
    severity: Severity::High,
    fold: Fold::Job,
    needs: &[PODS],
    summary: "a podFailurePolicy ignores one failure after another",
    why: "ignored failures do not count towards backoffLimit: the job goes on for ever",
    remedy: "narrow the rule to DisruptionTarget, or set a deadline",
    traps: &["a few preemptions are what the rule is for", "failures of yesterday are over"],
    check: Check::Job(ignoring),
    ..Rule::BASE
};

pub(super) const ZJ405: Rule = Rule {
    id: "ZJ405",
    name: "no-end-guard",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: &[
        Need::decides(Fact::Job).or_none(),
        Need::decides(Fact::CronJob).or_none(),
        Need::enriches(Fact::Pod).narrowed(crate::audit::needs::BATCH_PODS),
    ],
    summary: "a job has a sidecar among its containers and no deadline",
    why: "nothing ends the sidecar when the work is over, and nothing ends the job",
    remedy: "make it a native sidecar: an init container with restartPolicy Always; or set activeDeadlineSeconds",
    traps: &[
        "a native sidecar ends with the work",
        "a job with pods is judged by its pods",
        "a sidecar that ends by itself",
        "the work asks it to quit by an endpoint that is on",
    ],
    links: &["https://github.com/kubernetes/kubernetes/issues/139368"],
    check: Check::Template(unguarded),
    ..Rule::BASE
};

pub(super) const ZJ406: Rule = Rule {
    id: "ZJ406",
    name: "paused",
    severity: Severity::Low,
    fold: Fold::Job,
    needs: &[Need::decides(Fact::Job)],
    summary: "the parallelism of a job is 0: it runs nothing",
    why: "it neither ends nor counts as suspended",
    remedy: "set parallelism, suspend the job, or delete it",
    traps: &["a pause of minutes is deliberate"],
    check: Check::Job(paused),
    ..Rule::BASE
};

pub(super) const ZJ407: Rule = Rule {
    id: "ZJ407",
    name: "work-queue-tail",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: &[PODS],
    summary: "a work queue is empty, and some of its workers do not end",
    why: "after the first success no new pods start, and the job ends with the last of the others",
    remedy: "look at what the other workers wait for",
    traps: &["workers that finish within an hour"],
    check: Check::Job(tail),
    ..Rule::BASE
};

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
const MANAGER: SignedDuration = SignedDuration::from_mins(10);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn suspended<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let queued = job.meta.labels.get("kueue.x-k8s.io/queue-name").is_some();
    if state(job) != JobState::Suspended || queued || !lives(job) {
        return;
    }
    let conditions = job.status.as_ref().map_or(&[][..], |status| status.conditions.as_slice());
    let found = condition(conditions, "Suspended").filter(|found| found.is_true());
    let since = known(found.and_then(crate::kinds::Condition::changed_at)).or(job.meta.created);
    if context.held(since, WEEK) {
        let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
        let draft = context.finding(job, format!("the job has been suspended{age}")).since(since);
        findings.push(draft.evidence("/spec/suspend", true));
    }
}

fn unmanaged<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let JobState::ExternallyManaged(by) = state(job) else { return };
    let silent = job.status.as_ref().is_none_or(|status| *status == JobStatus::default());
    let since = job.meta.created;
    if silent && lives(job) && context.held(since, MANAGER) {
        let age = since.map_or_else(String::new, |since| format!(" in {}", span(context.age(since))));
        let message = format!("{by} should run the job and has not touched it{age}");
        findings.push(context.finding(job, message).since(since).evidence("/spec/managedBy", by));
    }
}

fn unbounded<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if !is_template(context.facts, &carrier) {
        return;
    }
    let Some((spec, path)) = job_spec(context.facts, &carrier) else { return };
    let limit = crate::audit::facts::job_backoff_limit(spec);
    if spec.active_deadline_seconds.is_some() || limit < 100 {
        return;
    }
    let by_index = spec.backoff_limit_per_index.filter(|limit| *limit < 100);
    let severity = if by_index.is_some() { Severity::Low } else { Severity::Medium };
    // The back-off doubles from 10 s up to 10 minutes: 630 s for the first six, then 600 s each.
    let seconds = 630 + 600 * (i64::from(limit) - 6);
    let long = span(SignedDuration::from_secs(seconds));
    let message = match by_index {
        Some(each) => format!("no deadline bounds the job; each index is tried again {each} times"),
        None => format!("the job is tried again {limit} times and has no deadline: the waits alone take {long}"),
    };
    let draft = context.finding(carrier.object, message).severity(severity);
    findings.push(draft.evidence(format!("{path}/backoffLimit"), limit));
}

fn ignoring<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let Some(policy) = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref()) else { return };
    if state(job) != JobState::Active {
        return;
    }
    let failed: Vec<&Pod> = context.facts.pods_of(job).filter(|pod| pod.phase() == "Failed").collect();
    let recent = |pod: &&&Pod| ended(pod).is_some_and(|end| context.age(end) <= HOUR);
    let mut ignored: Vec<(usize, bool)> = Vec::new();
    for pod in failed.iter().filter(recent) {
        let Some(status) = &pod.status else { continue };
        let rule = policy.rules.iter().enumerate().find(|(_, rule)| matches(rule, status));
        if let Some((index, _)) = rule.filter(|(_, rule)| rule.action == "Ignore") {
            let disrupted = status.condition("DisruptionTarget").is_some_and(crate::audit::facts::Condition::is_true);
            ignored.push((index, disrupted));
        }
    }
    let own = ignored.iter().filter(|(_, disrupted)| !disrupted).count();
    let counted = job.status.as_ref().map_or(0, |status| status.failed);
    let all = i32::try_from(failed.len()).unwrap_or(i32::MAX);
    if counted >= all || own < 5 && ignored.len() < 10 {
        return;
    }
    let count = ignored.len();
    let message = format!("{count} pods failed within the last hour and were ignored: nothing ends the job");
    let mut rules: Vec<usize> = ignored.into_iter().map(|(index, _)| index).collect();
    rules.sort_unstable();
    rules.dedup();
    let mut draft = context.finding(job, message);
    for index in rules {
        draft = draft.evidence(format!("/spec/podFailurePolicy/rules/{index}/action"), "Ignore");
    }
    findings.push(draft.evidence("/status/failed", counted));
}

fn unguarded<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if !carrier.is_batch() || !is_future(context.facts, &carrier) {
        return;
    }
    let Some((spec, path)) = job_spec(context.facts, &carrier) else { return };
    if spec.active_deadline_seconds.is_some() {
        return;
    }
    let roles = context.facts.template_roles(&carrier, &context.policy.sidecars, context.now);
    let mut sidecars = roles
        .into_iter()
        .enumerate()
        .filter(|(_, role)| role.role == Role::Sidecar)
        .filter(|(_, role)| !role.row.is_some_and(|row| row.self_ending || is_asked_to_quit(&carrier, row)));
    let Some((first, role)) = sidecars.next() else { return };
    let (mut proof, mut names, mut indexes) = (role.proof, vec![role.container], vec![first]);
    for (index, role) in sidecars {
        proof = proof.min(role.proof);
        names.push(role.container);
        indexes.push(index);
    }
    let message =
        format!("sidecar {} is a regular container and there is no deadline: the job may never end", names.join(", "));
    let mut draft = context.finding(carrier.object, message).proof(proof);
    for (index, name) in indexes.into_iter().zip(&names) {
        draft = draft.evidence(format!("{}/spec/containers/{index}/name", carrier.path), *name);
    }
    findings.push(
        draft.detail("sidecars", names).evidence(format!("{path}/activeDeadlineSeconds"), serde_json::Value::Null),
    );
}

fn paused<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let zero = job.spec.as_ref().is_some_and(|spec| spec.parallelism == Some(0));
    let since = started(job).or(job.meta.created);
    if zero && lives(job) && state(job) == JobState::Active && context.held(since, HOUR) {
        let draft = context.finding(job, "parallelism is 0: the job runs nothing and does not end").since(since);
        findings.push(draft.evidence("/spec/parallelism", 0));
    }
}

fn tail<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let Some((spec, status)) = job.spec.as_ref().zip(job.status.as_ref()) else { return };
    if spec.completions.is_some() || status.succeeded < 1 || status.active < 1 || state(job) != JobState::Active {
        return;
    }
    // The job does not say when its first pod succeeded: only that pod does.
    let successes = context.facts.pods_of(job).filter(|pod| pod.phase() == "Succeeded").filter_map(ended);
    let Some(first) = successes.min().or_else(|| moment(status.completion_time.as_ref())) else { return };
    if context.held(Some(first), HOUR) {
        let (age, active) = (span(context.age(first)), status.active);
        let message =
            format!("the first worker succeeded {age} ago, {active} others still hold the job; no new ones start");
        findings.push(context.finding(job, message).since(Some(first)).evidence("/status/active", active));
    }
}
