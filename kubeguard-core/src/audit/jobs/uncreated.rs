//! Jobs whose pods were never made, or only in part.

use jiff::SignedDuration;

use super::starting::{is_unschedulable, softened, unscheduled_since};
use super::view::{Case, JobState, PODS, ended, lives, newest, sees, span, started, state};
use crate::audit::facts::{Of, Pod};
use crate::audit::kinds::{Job, JobSpec, JobStatus};
use crate::audit::needs::{Fact, Need};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Fold, Rule, absorbs};

pub(super) const ZJ206: Rule = Rule {
    id: "ZJ206",
    name: "no-pods-created",
    severity: Severity::High,
    fold: Fold::Job,
    needs: &[PODS, Need::enriches(Fact::Event)],
    summary: "a job wants pods and none is ever made",
    why: "it is never marked failed, and alerts on active jobs stay silent",
    remedy: "mend what refuses its pods: quota, LimitRange, PodSecurity, a webhook, a missing ServiceAccount",
    traps: &[
        "a manifest that was never applied has no pods to miss",
        "a job that has just begun has no pods yet",
        "a suspended job wants no pods",
    ],
    links: &["https://github.com/kubernetes/kubernetes/issues/45213"],
    check: Check::Job(none_created),
    ..Rule::BASE
};

pub(super) const ZJ207: Rule = Rule {
    id: "ZJ207",
    name: "partial-parallel",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: &[PODS],
    absorbs: &[absorbs("ZJ203")],
    summary: "some pods of a job run while no node takes the others",
    why: "pods that wait for each other at a barrier hold what they have and never go on",
    remedy: "schedule them as a gang, or lower parallelism",
    traps: &["a job without indexes is no barrier"],
    check: Check::Job(partial),
    ..Rule::BASE
};

const HOLD: SignedDuration = SignedDuration::from_mins(5);

/// Returns how many pods the controller wants at a time.
fn wanted(spec: &JobSpec, status: Option<&JobStatus>) -> i32 {
    let parallelism = spec.parallelism.unwrap_or(1);
    let (succeeded, active) = status.map_or((0, 0), |status| (status.succeeded, status.active));
    match spec.completions {
        Some(completions) => parallelism.min(completions - succeeded).max(0),
        None if succeeded > 0 => active,
        None => parallelism,
    }
}

fn none_created<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let (facts, status) = (context.facts, job.status.as_ref());
    let Some(spec) = &job.spec else { return };
    let active = status.map_or(0, |status| status.active);
    let idle = lives(job) && state(job) == JobState::Active && job.meta.deleted.is_none() && active == 0;
    if !idle || wanted(spec, status) <= 0 || !sees(facts, Fact::Pod, &job.meta.namespace) {
        return;
    }
    let counted = status.is_some_and(|status| {
        let uncounted = status.uncounted_terminated_pods.as_ref();
        status.succeeded > 0
            || status.failed > 0
            || uncounted.is_some_and(|pods| !pods.succeeded.is_empty() || !pods.failed.is_empty())
    });
    let refused = newest(facts, job, &["FailedCreate"]);
    let pods: Vec<&Pod> = facts.pods_of(job).collect();
    let since = if pods.is_empty() && !counted {
        started(job).or(job.meta.created)
    } else {
        let last = pods.iter().filter_map(|pod| ended(pod)).max();
        let over = pods.iter().all(|pod| pod.is_over());
        let newer = refused.and_then(|event| event.last).zip(last).is_some_and(|(event, last)| event > last);
        if !over || !newer {
            return;
        }
        last
    };
    if !context.held(since, HOLD) {
        return;
    }
    let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let cause = refused.map_or_else(|| "cause unknown".to_owned(), |event| first(&event.message));
    let then = "it is never marked failed";
    let draft = context.finding(job, format!("the job wants pods and has had none{age}: {cause}; {then}"));
    let draft = draft.since(since).detail("cause", cause).evidence("/status/active", active);
    findings.push(softened(context, Some(job), draft));
}

fn partial<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let Some(spec) = job.spec.as_ref().filter(|spec| spec.parallelism.is_some_and(|pods| pods > 1)) else { return };
    if state(job) != JobState::Active {
        return;
    }
    let cases: Vec<Case<'a>> = context.facts.pods_of(job).filter_map(|pod| Case::alive(context.facts, pod)).collect();
    let running = cases.iter().filter(|case| case.pod.phase() == "Running").count();
    let stuck: Vec<_> = cases.iter().filter(|case| is_unschedulable(context, case)).collect();
    if running == 0 || stuck.is_empty() {
        return;
    }
    let indexed = spec.completion_mode == "Indexed";
    let severity = if indexed { Severity::High } else { Severity::Medium };
    let waiting = stuck.len();
    let since = stuck.into_iter().filter_map(unscheduled_since).min();
    let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
    let then =
        if indexed { "pods that wait for each other hold what they have" } else { "it runs slower than it asks" };
    let message = format!("{running} of its pods run, no node has taken {waiting} others{age}: {then}");
    let draft = context.finding(job, message).severity(severity).since(since);
    let draft = draft
        .evidence("/spec/parallelism", spec.parallelism)
        .evidence("/spec/completionMode", spec.completion_mode.as_str());
    findings.push(softened(context, Some(job), draft));
}
