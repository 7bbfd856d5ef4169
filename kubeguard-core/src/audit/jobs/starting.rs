//! Pods that never start.

use jiff::{SignedDuration, Timestamp};

use super::view::{Case, OF_PODS, PODS, at_status, deadline, known, newest, sees, span};
use crate::audit::facts::{ContainerStatus, Pod, State};
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Draft, Findings, Fold, Rule};
use crate::pods::{Class, Member, members};

const WITH_EVENTS: &[Need] =
    &[PODS, Need::enriches(Fact::Job), Need::enriches(Fact::CronJob), Need::enriches(Fact::Event)];
const WITH_SERVED: &[Need] =
    &[PODS, Need::enriches(Fact::Job), Need::enriches(Fact::CronJob), Need::enriches(Fact::Served)];

pub(super) const ZJ201: Rule = Rule {
    id: "ZJ201",
    name: "image-never-pulls",
    severity: Severity::High,
    fold: Fold::Job,
    needs: OF_PODS,
    summary: "the image of a container cannot be pulled",
    why: "the pod stays Pending, which is not Failed: backoffLimit does not apply, and without a deadline the job waits \
          for ever",
    remedy: "fix the image and set a deadline; delete the job so that the CronJob's template takes effect",
    traps: &["a back-off alone may be a registry that is away for a moment"],
    links: &["https://github.com/kubernetes/kubernetes/issues/101584"],
    check: Check::Pod(image),
    ..Rule::BASE
};

pub(super) const ZJ202: Rule = Rule {
    id: "ZJ202",
    name: "config-never-resolves",
    severity: Severity::High,
    fold: Fold::Job,
    needs: WITH_EVENTS,
    summary: "a container cannot be created: something that it refers to is missing",
    why: "the pod stays Pending, which is not Failed: backoffLimit does not apply",
    remedy: "create the Secret, ConfigMap or volume that the message names",
    traps: &[
        "a cache that has not synced yet passes",
        "exit code 128 is noise of the node until the third restart",
        "a container that is created slowly is not broken",
    ],
    links: &["https://github.com/kubernetes/kubernetes/issues/66756"],
    check: Check::Pod(config),
    ..Rule::BASE
};

pub(super) const ZJ203: Rule = Rule {
    id: "ZJ203",
    name: "unschedulable",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: WITH_EVENTS,
    summary: "no node takes the pod",
    why: "the pod stays Pending, which is not Failed: backoffLimit does not apply",
    remedy: "add capacity, or change selector, tolerations or requests; set a deadline",
    traps: &["an autoscaler is at work"],
    check: Check::Pod(unschedulable),
    ..Rule::BASE
};

pub(super) const ZJ204: Rule = Rule {
    id: "ZJ204",
    name: "scheduling-gated",
    severity: Severity::Info,
    fold: Fold::Job,
    needs: WITH_SERVED,
    summary: "a scheduling gate holds the pod",
    why: "a gate is opened by its controller alone: without it the pod waits for ever",
    remedy: "install the gate's controller, or remove the gate",
    traps: &["a gate whose controller is there waits its turn"],
    check: Check::Pod(gated),
    ..Rule::BASE
};

pub(super) const ZJ205: Rule = Rule {
    id: "ZJ205",
    name: "init-stuck",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: OF_PODS,
    summary: "an init container does not end, so the work never begins",
    why: "the pod stays Pending while it runs or is started again",
    remedy: "fix the init container; set a deadline",
    traps: &["an init container may take half an hour"],
    check: Check::Pod(init),
    ..Rule::BASE
};

const PULL: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];
/// What does not heal by itself.
const FATAL: &[&str] =
    &["not found", "manifest unknown", "does not exist", "unauthorized", "denied", "no matching manifest"];
const CREATE: &[&str] = &["CreateContainerConfigError", "CreateContainerError", "RunContainerError"];
const VOLUMES: &[&str] = &["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"];

const SHORT: SignedDuration = SignedDuration::from_secs(60);
const HOLD: SignedDuration = SignedDuration::from_mins(10);
const LONG: SignedDuration = SignedDuration::from_mins(30);
const UNSCHEDULABLE: SignedDuration = SignedDuration::from_mins(15);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Returns containers that wait with one of some reasons: class, member, status, reason, message.
fn waiting<'a>(
    case: Case<'a>,
    reasons: &'a [&str],
) -> impl Iterator<Item = (Member<'a>, &'a ContainerStatus, &'a str, &'a str)> {
    members(&case.pod.spec).filter_map(move |member| {
        let status = case.status.container(&member.container.name)?;
        match &status.state {
            State::Waiting { reason, message } if reasons.contains(&&**reason) => {
                Some((member, status, &**reason, &**message))
            }
            _ => None,
        }
    })
}

/// Returns since when a container has not started: its last end, else the pod's scheduling, else its creation.
fn waits_since(case: &Case<'_>, status: &ContainerStatus) -> Option<Timestamp> {
    let last = status.last.as_ref().and_then(|last| known(last.finished));
    last.or_else(|| scheduled(case)).or(case.pod.meta.created)
}

fn scheduled(case: &Case<'_>) -> Option<Timestamp> {
    case.status.condition("PodScheduled").and_then(|found| known(found.at))
}

/// Lowers a finding about a job that its deadline ends within the hour.
pub(super) fn softened<'a>(
    context: &Context<'a>,
    job: Option<&'a crate::audit::facts::Of<crate::audit::kinds::Job>>,
    mut draft: Draft<'a>,
) -> Draft<'a> {
    if let Some(end) = job.and_then(deadline).filter(|end| end.duration_since(context.now) <= HOUR) {
        draft.severity = draft.severity.min(Severity::Medium);
        draft.message = format!("{}; its deadline ends the job at {end}", draft.message);
    }
    draft
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn image<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::alive(context.facts, pod) else { return };
    for (member, status, reason, message) in waiting(case, PULL) {
        let since = waits_since(&case, status);
        let words = message.to_ascii_lowercase();
        let fatal =
            matches!(reason, "InvalidImageName" | "ErrImageNeverPull") || FATAL.iter().any(|w| words.contains(w));
        if !context.held(since, if fatal { SHORT } else { HOLD }) {
            continue;
        }
        let told = told(context, &case, member, since, reason, message);
        let path = format!("/spec/{}/{}/image", list(member), member.index);
        findings.push(told.evidence(path, member.container.image.as_str()));
    }
}

fn list(member: Member<'_>) -> &'static str {
    if member.class == Class::Regular { "containers" } else { "initContainers" }
}

/// Begins a finding about a container that waits.
fn told<'a>(
    context: &Context<'a>,
    case: &Case<'a>,
    member: Member<'a>,
    since: Option<Timestamp>,
    reason: &str,
    message: &str,
) -> Draft<'a> {
    let name = member.container.name.as_str();
    let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
    let words = if message.is_empty() { String::new() } else { format!(" ({})", first_line(message)) };
    let then = "a pod that is pending never counts as failed";
    let text = format!("container {name} waits{age} with {reason}{words}: {then}");
    let at = at_status(case, member.class, name);
    let draft = context.finding(case.pod, text).on(name).since(since);
    softened(context, case.job, draft.evidence(format!("{at}/state/waiting/reason"), reason))
}

fn config<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::alive(context.facts, pod) else { return };
    for (member, status, reason, message) in waiting(case, CREATE) {
        let words = message.to_ascii_lowercase();
        let hold = if words.contains("failed to sync") && words.contains("cache") { LONG } else { HOLD };
        let noise = status
            .last
            .as_ref()
            .is_some_and(|last| last.exit_code == 128 || matches!(&*last.reason, "ContainerCannotRun" | "StartError"));
        let since = waits_since(&case, status);
        if noise && status.restarts < 3 || !context.held(since, hold) {
            continue;
        }
        findings.push(told(context, &case, member, since, reason, message));
    }
    if !sees(context.facts, Fact::Event, &pod.meta.namespace) {
        return;
    }
    let Some(event) = newest(context.facts, pod, VOLUMES) else { return };
    // One finding: the pod as a whole waits for its volumes or sandbox.
    for (member, status, _, _) in waiting(case, &["ContainerCreating"]).take(1) {
        let since = waits_since(&case, status);
        if context.held(since, HOLD) {
            findings.push(told(context, &case, member, since, &event.reason, &event.message));
        }
    }
}

/// Returns whether no node takes a pod, for too long.
pub(super) fn is_unschedulable(context: &Context<'_>, case: &Case<'_>) -> bool {
    let found = case.status.condition("PodScheduled");
    found.is_some_and(|found| found.status == "False" && found.reason == "Unschedulable")
        && context.held(unscheduled_since(case), UNSCHEDULABLE)
}

/// Returns since when a pod has no node.
pub(super) fn unscheduled_since(case: &Case<'_>) -> Option<Timestamp> {
    scheduled(case).or(case.pod.meta.created)
}

fn unschedulable<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::alive(context.facts, pod) else { return };
    if !is_unschedulable(context, &case) {
        return;
    }
    let since = unscheduled_since(&case);
    let scaling = newest(context.facts, pod, &["TriggeredScaleUp"])
        .is_some_and(|event| event.last.is_some_and(|last| context.age(last) <= UNSCHEDULABLE));
    let severity = if scaling {
        Severity::Info
    } else if since.is_some_and(|since| context.age(since) > HOUR) {
        Severity::High
    } else {
        Severity::Medium
    };
    let words = case.status.condition("PodScheduled").map_or("", |found| first_line(&found.message));
    let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
    let then = if scaling { "an autoscaler is at work" } else { "a pod that is pending never counts as failed" };
    let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
    let draft =
        context.finding(pod, format!("no node takes the pod{age}{words}: {then}")).severity(severity).since(since);
    findings.push(softened(
        context,
        case.job,
        draft.evidence("/status/conditions", "PodScheduled=False Unschedulable"),
    ));
}

fn gated<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::alive(context.facts, pod) else { return };
    let Some(found) = case.status.condition("PodScheduled").filter(|found| found.reason == "SchedulingGated") else {
        return;
    };
    let since = known(found.at).or(pod.meta.created);
    if pod.spec.scheduling_gates.is_empty() || !context.held(since, HOLD) {
        return;
    }
    for (index, gate) in pod.spec.scheduling_gates.iter().enumerate() {
        let served = |domain: &str| {
            context.facts.served().any(|(group, _)| group == domain || group.ends_with(&format!(".{domain}")))
        };
        let domain = gate.name.split_once('/').map(|(domain, _)| domain);
        let orphan = context.facts.knows(Fact::Served) && domain.is_some_and(|domain| !served(domain));
        let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
        let then = if orphan { ": no API group of that domain is served, nobody opens it" } else { "" };
        let message = format!("scheduling gate {} has held the pod{age}{then}", gate.name);
        let mut draft = context.finding(pod, message).key(gate.name.as_str()).since(since);
        if orphan {
            draft = draft
                .severity(Severity::High)
                .proof(Proof::Model)
                .assuming("the controller of a gate serves an API group of the gate's domain");
        }
        let draft = draft.evidence(format!("/spec/schedulingGates/{index}/name"), gate.name.as_str());
        findings.push(softened(context, case.job, draft));
    }
}

fn init<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::alive(context.facts, pod) else { return };
    let mut before = scheduled(&case).or(pod.meta.created);
    for member in members(&pod.spec).filter(|member| member.class == Class::Init) {
        let name = member.container.name.as_str();
        let Some(status) = case.status.container(name) else { return };
        let at = at_status(&case, Class::Init, name);
        let (since, hold, told, path) = match &status.state {
            State::Running { since } => (known(*since), LONG, "runs".to_owned(), "state/running/startedAt"),
            // Its last end is always recent: what counts is when it began to try.
            State::Waiting { reason, .. } if *reason == "CrashLoopBackOff" => {
                let told = format!("crashes ({} restarts)", status.restarts);
                (before, HOLD, told, "state/waiting/reason")
            }
            State::Terminated(ended) => {
                before = known(ended.finished).or(before);
                continue;
            }
            _ => continue,
        };
        if !context.held(since, hold) {
            continue;
        }
        let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
        let mut message = format!("init container {name} {told}{age}: the work has not begun");
        if pod.spec.restart_policy == "OnFailure" && status.restarts > 0 {
            message.push_str("; its restarts count towards backoffLimit");
        }
        let value =
            status.waiting().map_or_else(|| since.map(|at| at.to_string()).unwrap_or_default(), ToOwned::to_owned);
        let draft = context.finding(pod, message).on(name).since(since).evidence(format!("{at}/{path}"), value);
        findings.push(softened(context, case.job, draft));
    }
}
