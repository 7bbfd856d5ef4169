//! StatefulSets: the rules WD-T1 to WD-T9.

use super::assess::Context;
use super::object::{Object, ObjectKey};
use super::pods::classify;
use super::policy::Level;
use super::reason::Reason;
use super::verdict::{Outcome, Statement, Suspect};
use crate::kinds::{Pod, StatefulSet, StatefulSetSpec, StatefulSetStatus};

const REVISION: &str = "controller-revision-hash";

pub(super) fn judge(object: &Object, set: &StatefulSet, cx: &Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(status) = &set.status else {
        outcome.wait("WD-T1", Reason::NoStatusYet, "no status yet");
        return outcome;
    };
    let spec = set.spec.clone().unwrap_or_default();
    let want = spec.replicas.unwrap_or(1);
    let partition = partition(&spec);
    let target = (want - partition).max(0);
    let updated = updated(status, partition);
    outcome.available = Some(i64::from(status.ready_replicas));
    for (path, value) in [
        ("spec.replicas", want),
        ("status.replicas", status.replicas),
        ("status.updatedReplicas", updated),
        ("status.readyReplicas", status.ready_replicas),
    ] {
        outcome.read(path, value);
    }
    if status.replicas > want {
        outcome.wait("WD-T4", Reason::ScalingDown, format!("{} pods, {want} wanted", status.replicas));
    }
    if is_on_delete(&spec) && updated < want {
        let pods: Vec<&str> = old_pods(object, status, cx).map(|pod| pod.metadata.name.as_str()).collect();
        let named = if pods.is_empty() { String::new() } else { format!(": delete {}", pods.join(", ")) };
        let message = format!("{updated} of {want} pods updated, the strategy is OnDelete{named}");
        outcome.suspended = Some(Statement::new("WD-T5", Reason::ManualDeleteRequired, message));
    } else if updated < target {
        let reason = if partition > 0 { Reason::Partition } else { Reason::UpdatedReplicas };
        outcome.wait("WD-T6", reason, format!("{updated} of {target} pods updated, {} to update", target - updated));
        outcome.flips.push(format!("status.updatedReplicas = {target}"));
    }
    if cx.policy.until >= Level::Available {
        readiness(&spec, status, want, partition, &mut outcome);
    }
    if !outcome.progressing.is_empty() || outcome.suspended.is_some() {
        let new = cx
            .view
            .pods(&object.meta().uid)
            .filter(|pod| !status.update_revision.is_empty() && pod.metadata.label(REVISION) == status.update_revision);
        cx.suspect_pods(new, &mut outcome);
        outcome.suspects.extend(stuck(object, &spec, status, partition, cx));
    }
    if partition > 0 {
        outcome.note("Partitioned", format!("{target} of {want}"));
    }
    outcome.done("WD-T9", format!("{} of {want} ready", status.ready_replicas));
    outcome
}

fn partition(spec: &StatefulSetSpec) -> i32 {
    let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    rolling.and_then(|rolling| rolling.partition).unwrap_or(0)
}

fn is_on_delete(spec: &StatefulSetSpec) -> bool {
    spec.update_strategy.as_ref().is_some_and(|strategy| strategy.r#type == "OnDelete")
}

/// Controllers used to leave updatedReplicas out at the end of a rollout; equal revisions say the same.
fn updated(status: &StatefulSetStatus, partition: i32) -> i32 {
    match status.updated_replicas {
        Some(updated) => updated,
        None if partition == 0 && status.update_revision == status.current_revision => status.current_replicas,
        None => 0,
    }
}

fn readiness(spec: &StatefulSetSpec, status: &StatefulSetStatus, want: i32, partition: i32, outcome: &mut Outcome) {
    let ready = status.ready_replicas;
    if ready < want {
        outcome.wait("WD-T7", Reason::ReadyReplicas, format!("{ready} of {want} ready, {} not ready", want - ready));
        outcome.flips.push(format!("status.readyReplicas = {want}"));
    } else if spec.min_ready_seconds > 0 && status.available_replicas < want {
        let message = format!("{} of {want} available", status.available_replicas);
        outcome.wait("WD-T7", Reason::AvailableReplicas, message);
    }
    let given = !status.update_revision.is_empty() && !status.current_revision.is_empty();
    if partition == 0 && given && status.update_revision != status.current_revision {
        let message = format!("revision {} is not current yet", status.update_revision);
        outcome.wait("WD-T8", Reason::RevisionPending, message);
    }
}

/// Returns whether a pod is one that stays: of the new revision, or held back by the partition, and wanted at all.
pub(super) fn belongs(set: &StatefulSet, pod: &Pod) -> bool {
    let (Some(spec), Some(status)) = (&set.spec, &set.status) else { return false };
    let first = spec.ordinals.as_ref().map_or(0, |ordinals| ordinals.start);
    let ordinal = pod.metadata.name.rsplit('-').next().and_then(|ordinal| ordinal.parse::<i32>().ok());
    let Some(ordinal) = ordinal else { return false };
    let is_new = status.update_revision.is_empty() || pod.metadata.label(REVISION) == status.update_revision;
    (is_new || ordinal < first + partition(spec)) && ordinal < first + spec.replicas.unwrap_or(1)
}

/// Returns the pods of an older revision, by name.
fn old_pods<'a>(object: &Object, status: &'a StatefulSetStatus, cx: &Context<'a>) -> impl Iterator<Item = &'a Pod> {
    cx.view
        .pods(&object.meta().uid)
        .filter(|pod| !status.update_revision.is_empty() && pod.metadata.label(REVISION) != status.update_revision)
}

/// A broken pod of an older revision that the controller waits for and will not replace (kubernetes/kubernetes#67250).
fn stuck(
    object: &Object,
    spec: &StatefulSetSpec,
    status: &StatefulSetStatus,
    partition: i32,
    cx: &Context<'_>,
) -> Vec<Suspect> {
    if spec.pod_management_policy == "Parallel" || is_on_delete(spec) {
        return Vec::new();
    }
    let first = spec.ordinals.as_ref().map_or(0, |ordinals| ordinals.start) + partition;
    let is_due = |pod: &&Pod| {
        let ordinal = pod.metadata.name.rsplit('-').next().and_then(|ordinal| ordinal.parse::<i32>().ok());
        ordinal.is_some_and(|ordinal| ordinal >= first)
    };
    // A pod that has failed or succeeded is replaced by the controller.
    let stands = |pod: &&Pod| {
        let phase = pod.status.as_ref().map_or("", |status| status.phase.as_str());
        !pod.metadata.is_deleted() && matches!(phase, "Pending" | "Running" | "")
    };
    old_pods(object, status, cx)
        .filter(is_due)
        .filter(stands)
        .filter_map(|pod| {
            let worst = classify(pod, cx.view, cx.policy).into_iter().min_by_key(Suspect::class)?;
            let name = &pod.metadata.name;
            let at = ObjectKey::new("", "Pod", &pod.metadata.namespace, name);
            let message = format!(
                "pod {name} of the older revision {} is broken ({}) and blocks the update; delete pod {name}",
                pod.metadata.label(REVISION),
                worst.word
            );
            let suspect = Suspect::new("WD-T3", Reason::StuckOnBrokenPod, &at, message);
            Some(suspect.since(worst.since).name("pod", format!("{name} -n {}", pod.metadata.namespace)))
        })
        .collect()
}
