//! ReplicaSets by themselves: the rules WD-R1 to WD-R3.

use super::assess::{Context, refused_creation};
use super::object::Object;
use super::reason::Reason;
use super::verdict::Outcome;
use crate::kinds::{Condition as _, ReplicaSet, condition};

pub(super) fn judge(object: &Object, set: &ReplicaSet, cx: &Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(status) = &set.status else {
        outcome.wait("WD-R2", Reason::NoStatusYet, "no status yet");
        return outcome;
    };
    let want = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    outcome.available = Some(i64::from(status.available_replicas));
    if let Some(failure) = condition(&status.conditions, "ReplicaFailure").filter(|failure| failure.is_true()) {
        outcome.suspects.push(refused_creation("WD-R1", &object.key, failure.message(), failure.changed_at()));
    }
    let ready = status.ready_replicas.max(status.available_replicas);
    for (path, value, reason) in [
        ("status.fullyLabeledReplicas", status.fully_labeled_replicas.unwrap_or(want), Reason::FullyLabeledReplicas),
        ("status.readyReplicas", ready, Reason::ReadyReplicas),
        ("status.availableReplicas", status.available_replicas, Reason::AvailableReplicas),
    ] {
        outcome.read(path, value);
        if value < want {
            outcome.wait("WD-R2", reason, format!("{value} of {want} pods ({path})"));
            outcome.flips.push(format!("{path} = {want}"));
        }
    }
    if status.replicas > want {
        let message = format!("{} replicas, {want} wanted", status.replicas);
        outcome.wait("WD-R2", Reason::OldReplicas, message);
    }
    if !outcome.progressing.is_empty() {
        cx.suspect_pods(cx.view.pods(&object.meta().uid), &mut outcome);
    }
    outcome.done("WD-R2", format!("{} of {want} available", status.available_replicas));
    outcome
}
