//! Bare pods, or pods asked for by name: the rules WD-P1 to WD-P8.

use super::assess::Context;
use super::object::Object;
use super::pods::{classify, is_ended_by_node};
use super::policy::PodMode;
use super::reason::{Reason, Word};
use super::verdict::{Outcome, Suspect};
use crate::kinds::{Pod, PodStatus};

pub(super) fn judge(object: &Object, pod: &Pod, cx: &Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(status) = &pod.status else {
        outcome.wait("WD-P1", Reason::PodNotObserved, "no status yet");
        return outcome;
    };
    outcome.read("status.phase", if status.phase.is_empty() { "absent" } else { &status.phase });
    match status.phase.as_str() {
        "Succeeded" => outcome.done("WD-P2", "succeeded"),
        "Failed" => failed(object, status, &mut outcome),
        _ => running(pod, status, cx, &mut outcome),
    }
    outcome
}

fn failed(object: &Object, status: &PodStatus, outcome: &mut Outcome) {
    let managed = object.meta().controller().is_some();
    if managed && is_ended_by_node(&status.reason) {
        let message = format!("ended by its node ({}), its controller makes a new one", status.reason);
        outcome.wait("WD-P3", Word::said(Reason::NotReady, &status.reason), message);
        return;
    }
    let row = status.reason.parse().unwrap_or(Reason::PodFailed);
    let message = match (status.message.is_empty(), first_failure(status)) {
        (false, _) => status.message.clone(),
        (true, Some(failure)) => failure,
        (true, None) => "the pod has failed".to_owned(),
    };
    outcome.suspects.push(Suspect::new("WD-P3", Word::said(row, &status.reason), &object.key, message));
}

/// Returns the first container that ended with an error.
pub(super) fn first_failure(status: &PodStatus) -> Option<String> {
    status.init_container_statuses.iter().chain(&status.container_statuses).find_map(|container| {
        let ended = container.state.as_ref()?.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
        Some(format!("container {}: exit {}", container.name, ended.exit_code))
    })
}

fn running(pod: &Pod, status: &PodStatus, cx: &Context<'_>, outcome: &mut Outcome) {
    let policy = pod.spec.as_ref().map_or("", |spec| spec.restart_policy.as_str());
    // A status that leaves out a container says nothing of it.
    let wanted = pod.spec.as_ref().map_or(1, |spec| spec.containers.len()).max(1);
    let all_ended = status.container_statuses.len() >= wanted
        && status.container_statuses.iter().all(|container| {
            let ended = container.state.as_ref().and_then(|state| state.terminated.as_ref());
            ended.is_some_and(|ended| ended.exit_code == 0)
        });
    if policy == "Never" && all_ended {
        outcome.done("WD-P5", "every container ended with 0");
        return;
    }
    if pod.is_ready() {
        outcome.read("status.conditions[Ready]", "True");
        if cx.policy.pod_mode == PodMode::Complete && matches!(policy, "Never" | "OnFailure") {
            outcome.wait("WD-P6", Reason::Running, "ready, and still running");
        } else {
            outcome.done("WD-P6", "ready");
        }
        return;
    }
    outcome.suspects = classify(pod, cx.view, cx.policy);
    let message = pod.condition("Ready").map_or("not ready", |ready| ready.message.as_str());
    outcome.wait("WD-P8", Reason::NotReady, if message.is_empty() { "not ready" } else { message });
    outcome.flips.push("condition Ready = True".to_owned());
}
