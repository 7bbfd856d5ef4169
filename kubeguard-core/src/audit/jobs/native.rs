//! Native sidecars that do not end, or never start.

use jiff::SignedDuration;

use super::view::{Case, OF_PODS, at_status, known, span};
use crate::audit::facts::{Pod, State};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Fold, Rule, absorbs_of_root};
use crate::pods::{Class, done};

pub(super) const ZJ106: Rule = Rule {
    id: "ZJ106",
    name: "native-sidecar-drag",
    severity: Severity::Medium,
    fold: Fold::Job,
    needs: OF_PODS,
    absorbs: &[absorbs_of_root("ZJ405"), absorbs_of_root("ZJ701")],
    summary: "all containers have ended, and a native sidecar runs on past its grace period",
    why: "the kubelet ends native sidecars after the last container; one that ignores SIGTERM holds the job for the whole \
          grace period",
    remedy: "lower terminationGracePeriodSeconds, fix its preStop hook or its handling of SIGTERM, and check the node",
    traps: &["a native sidecar may take its grace period"],
    links: &["https://github.com/kubernetes/kubernetes/issues/125880"],
    check: Check::Pod(drags),
    ..Rule::BASE
};

pub(super) const ZJ107: Rule = Rule {
    id: "ZJ107",
    name: "native-sidecar-never-started",
    severity: Severity::High,
    fold: Fold::Job,
    needs: OF_PODS,
    absorbs: &[absorbs_of_root("ZJ405"), absorbs_of_root("ZJ701")],
    summary: "a native sidecar never counts as started, so the work never begins",
    why: "what comes after a native sidecar waits until its startup probe has passed; the pod is Pending, so that \
          backoffLimit does not apply",
    remedy: "fix its startup probe; a sidecar that waits for the work cannot be a native one",
    traps: &["an image that is pulled is not this"],
    check: Check::Pod(never_started),
    ..Rule::BASE
};

fn drags<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::alive(context.facts, pod) else { return };
    let Some(regular) = case.containers(Class::Regular) else { return };
    if regular.is_empty() || !regular.iter().all(|(member, status)| done(*member, &pod.spec, status)) {
        return;
    }
    let ends: Option<Vec<_>> =
        regular.iter().map(|(_, status)| known(status.terminated().and_then(|ended| ended.finished))).collect();
    let since = ends.and_then(|ends| ends.into_iter().max());
    let grace = pod.spec.termination_grace_period_seconds.unwrap_or(30);
    if !context.held(since, SignedDuration::from_secs(grace.saturating_add(30))) {
        return;
    }
    for (member, status) in case.containers(Class::NativeSidecar).into_iter().flatten() {
        if !status.is_running() {
            continue;
        }
        let name = member.container.name.as_str();
        let age = since.map_or_else(String::new, |since| format!(" {} after the last one", span(context.age(since))));
        let message =
            format!("all containers have ended, native sidecar {name} still runs{age}; its grace is {grace}s");
        let severity = if grace >= 3600 { Severity::High } else { Severity::Medium };
        let at = at_status(&case, Class::NativeSidecar, name);
        let draft = context.finding(pod, message).on(name).severity(severity).since(since);
        findings.push(
            draft.evidence(format!("{at}/state"), "running").evidence("/spec/terminationGracePeriodSeconds", grace),
        );
    }
}

fn never_started<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(case) = Case::alive(context.facts, pod) else { return };
    let Some(regular) = case.containers(Class::Regular) else { return };
    if regular.is_empty() || !regular.iter().all(|(_, status)| status.waiting() == Some("PodInitializing")) {
        return;
    }
    for (member, status) in case.containers(Class::NativeSidecar).into_iter().flatten() {
        // Whatever comes after it and has begun proves that it has started.
        let later = case.status.init.iter().skip_while(|other| other.name != status.name).skip(1);
        if status.started == Some(true)
            || later.into_iter().any(|other| other.is_running() || other.terminated().is_some())
        {
            continue;
        }
        let name = member.container.name.as_str();
        let at = at_status(&case, Class::NativeSidecar, name);
        let probe = member.container.startup_probe.as_ref();
        let budget = probe.map_or(0, |probe| {
            i64::from(probe.initial_delay_seconds)
                + i64::from(probe.failure_threshold) * i64::from(probe.period_seconds)
        });
        let draft = match &status.state {
            State::Running { since } => {
                let since = known(*since);
                if !context.held(since, SignedDuration::from_secs(budget.saturating_add(60))) {
                    continue;
                }
                let age = since.map_or_else(String::new, |since| format!(" for {}", span(context.age(since))));
                let message =
                    format!("native sidecar {name} runs{age} and has not started (budget {budget}s): the work waits");
                let started = status.started.map_or(serde_json::Value::Null, serde_json::Value::from);
                context.finding(pod, message).since(since).evidence(format!("{at}/started"), started)
            }
            State::Waiting { reason, .. } if *reason == "CrashLoopBackOff" => {
                let message =
                    format!("native sidecar {name} crashes before the work can begin ({} restarts)", status.restarts);
                context.finding(pod, message).evidence(format!("{at}/state/waiting/reason"), "CrashLoopBackOff")
            }
            _ => continue,
        };
        findings.push(draft.on(name));
    }
}
