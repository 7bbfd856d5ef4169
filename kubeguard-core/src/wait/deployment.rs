//! Deployments: the rules WD-D1 to WD-D12.

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};

use super::assess::{Context, refused_creation};
use super::object::{Body, Object};
use super::policy::Level;
use super::reason::Reason;
use super::verdict::{Outcome, Statement, Suspect};
use super::view::Lookup;
use crate::kinds::{Condition as _, Deployment, DeploymentStatus, ReplicaSet, condition};

/// The API server's way to say that there is no deadline.
const NO_DEADLINE: i32 = i32::MAX;

/// Annotations that ask for less than every pod; ours first, the others are read for those who come from them.
const MINIMUM: [&str; 3] = [
    "kubeguard.dev/required-rollout",
    "krane.shopify.io/required-rollout",
    "kapp.k14s.io/apps-v1-deployment-wait-minimum-replicas-available",
];

pub(super) fn judge(object: &Object, deployment: &Deployment, cx: &mut Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let status = deployment.status.clone().unwrap_or_default();
    let spec = deployment.spec.clone().unwrap_or_default();
    let want = spec.replicas.unwrap_or(1);
    let newest = newest_replica_set(object, cx);
    outcome.available = newest
        .map_or(Some(status.available_replicas), |newest| {
            newest.status.as_ref().map(|status| status.available_replicas)
        })
        .map(i64::from);

    cannot_create(object, &status, newest, cx, &mut outcome);
    past_deadline(object, &status, spec.progress_deadline_seconds, cx, &mut outcome);
    if let Some(minimum) = minimum(deployment, want) {
        with_minimum(minimum, newest, &mut outcome);
        if !outcome.progressing.is_empty() {
            new_pods(newest, cx, &mut outcome);
        }
        return outcome;
    }
    counters(&status, want, cx.policy.until, &mut outcome);
    let deadline = spec.progress_deadline_seconds.filter(|seconds| *seconds != NO_DEADLINE);
    if cx.policy.until >= Level::Available {
        conditions(&status, want, deadline, &mut outcome);
    }
    if newest.is_none() && want > 0 && matches!(cx.reading("apps", "ReplicaSet"), Lookup::Known(())) {
        outcome.wait("WD-D11", Reason::NoNewReplicaSet, "there is no ReplicaSet of the new template yet");
    }
    if spec.paused && !outcome.progressing.is_empty() {
        let message = outcome.progressing.first().map_or(String::new(), |said| format!(", {}", said.message));
        outcome.suspended = Some(Statement::new("WD-D4", Reason::Paused, format!("paused{message}")));
    } else if spec.paused {
        outcome.note("Paused", "");
    }
    if !outcome.progressing.is_empty() {
        new_pods(newest, cx, &mut outcome);
    }
    outcome.done("WD-D12", format!("{} of {want} available", status.available_replicas));
    outcome
}

/// Returns the ReplicaSet whose template is the Deployment's; of several the oldest, as the controller picks it.
pub(super) fn newest_replica_set<'a>(object: &Object, cx: &Context<'a>) -> Option<&'a ReplicaSet> {
    cx.view
        .controlled(&object.meta().uid, "ReplicaSet")
        .filter(|candidate| candidate.template_digest() == object.template_digest())
        .filter_map(|candidate| match &candidate.body {
            Body::ReplicaSet(set) => Some(set.as_ref()),
            _ => None,
        })
        .min_by_key(|set| (set.metadata.creation_timestamp, set.metadata.name.clone()))
}

fn cannot_create(
    object: &Object,
    status: &DeploymentStatus,
    newest: Option<&ReplicaSet>,
    cx: &Context<'_>,
    outcome: &mut Outcome,
) {
    let own = condition(&status.conditions, "ReplicaFailure").filter(|condition| condition.is_true());
    let inner = newest.and_then(|set| condition(&set.status.as_ref()?.conditions, "ReplicaFailure"));
    let inner = inner.filter(|condition| condition.is_true());
    if let Some(failure) = own {
        outcome.suspects.push(refused_creation("WD-D1", &object.key, failure.message(), failure.changed_at()));
    } else if let (Some(failure), Some(set)) = (inner, newest) {
        let at = cx.key("apps", "ReplicaSet", &set.metadata.name);
        outcome.suspects.push(refused_creation("WD-D1", &at, failure.message(), failure.changed_at()));
    } else if let Some(set) = newest
        && let Some(event) = cx.view.events(&set.metadata.uid).last().filter(|event| event.reason == "FailedCreate")
    {
        let at = cx.key("apps", "ReplicaSet", &set.metadata.name);
        outcome.suspects.push(refused_creation("WD-D1", &at, &event.message, event.oldest()));
    }
}

/// The controller's own deadline; a condition left over from an older wait does not count against this one.
fn past_deadline(
    object: &Object,
    status: &DeploymentStatus,
    seconds: Option<i32>,
    cx: &mut Context<'_>,
    outcome: &mut Outcome,
) {
    let Some(late) = condition(&status.conditions, "Progressing")
        .filter(|progressing| progressing.is_false() && progressing.reason == "ProgressDeadlineExceeded")
    else {
        return;
    };
    if let Some(start) = cx.clock.start {
        let updated: Option<Timestamp> = late.last_update_time.as_ref().and_then(crate::kinds::Time::timestamp);
        let of_this_spec = updated.zip(cx.written).is_some_and(|(updated, written)| updated >= written);
        let own = SignedDuration::from_secs(i64::from(seconds.unwrap_or(600)));
        let over = start.saturating_add(own).unwrap_or(Timestamp::MAX);
        if !of_this_spec && cx.clock.now < over {
            cx.ask_again_at(over);
            return;
        }
    }
    let message = if late.message.is_empty() { "no progress within progressDeadlineSeconds" } else { &late.message };
    outcome
        .suspects
        .push(Suspect::new("WD-D2", Reason::ProgressDeadlineExceeded, &object.key, message).since(late.changed_at()));
}

fn counters(status: &DeploymentStatus, want: i32, until: Level, outcome: &mut Outcome) {
    for (path, value) in [
        ("spec.replicas", want),
        ("status.updatedReplicas", status.updated_replicas),
        ("status.replicas", status.replicas),
        ("status.readyReplicas", status.ready_replicas),
        ("status.availableReplicas", status.available_replicas),
    ] {
        outcome.read(path, value);
    }
    let updated = status.updated_replicas;
    if updated < want {
        let old = status.replicas - updated;
        let serving = if old > 0 { format!(", {old} old still there") } else { String::new() };
        let message = format!("{updated} of {want} pods updated, {} available{serving}", status.available_replicas);
        outcome.wait("WD-D6", Reason::UpdatedReplicas, message);
        outcome.flips.push(format!("status.updatedReplicas = {want}"));
    }
    let most = if until == Level::Updated { updated.max(want) } else { want };
    if status.replicas > most {
        let message = format!("{} pending termination", plural(status.replicas - most, "old pod"));
        outcome.wait("WD-D7", Reason::OldReplicas, message);
        outcome.flips.push(format!("status.replicas = {want}"));
    }
    if until < Level::Available {
        return;
    }
    // Available pods are ready: readyReplicas needs no question of its own.
    if status.available_replicas < want {
        outcome.wait("WD-D8", Reason::AvailableReplicas, format!("{} of {want} available", status.available_replicas));
        outcome.flips.push(format!("status.availableReplicas = {want}"));
    }
}

fn conditions(status: &DeploymentStatus, want: i32, deadline: Option<i32>, outcome: &mut Outcome) {
    if want == 0 {
        return;
    }
    if deadline.is_some() {
        match condition(&status.conditions, "Progressing") {
            None => outcome.wait("WD-D9", Reason::NoProgressingCondition, "no Progressing condition yet"),
            Some(progressing) if !(progressing.is_true() && progressing.reason == "NewReplicaSetAvailable") => {
                let message = format!("Progressing={} ({})", progressing.status, progressing.reason);
                outcome.wait("WD-D9", Reason::ReplicaSetNotAvailable, message);
            }
            Some(_) => {}
        }
    }
    if condition(&status.conditions, "Available").is_some_and(crate::kinds::Condition::is_false) {
        let message = "fewer pods than the minimum are available";
        outcome.wait("WD-D10", Reason::MinimumReplicasUnavailable, message);
    }
}

fn new_pods(newest: Option<&ReplicaSet>, cx: &Context<'_>, outcome: &mut Outcome) {
    let pods = newest.into_iter().flat_map(|set| cx.view.pods(&set.metadata.uid));
    if let Lookup::Denied(what) = cx.reading("apps", "ReplicaSet") {
        outcome.note("DetailUnavailable", format!("cannot {what}"));
    }
    cx.suspect_pods(pods, outcome);
}

/// Returns how many available pods are enough, where an annotation asks for less than all.
fn minimum(deployment: &Deployment, want: i32) -> Option<i32> {
    let asked = MINIMUM.iter().map(|name| deployment.metadata.annotation(name)).find(|value| !value.is_empty())?;
    let part = |percent: i64| {
        let pods =
            (i64::from(want) * percent).div_euclid(100) + i64::from((i64::from(want) * percent).rem_euclid(100) > 0);
        i32::try_from(pods.max(0)).unwrap_or(want)
    };
    match asked {
        "full" => None,
        "none" => Some(0),
        "maxUnavailable" => {
            let strategy = deployment.spec.as_ref()?.strategy.as_ref();
            let unavailable = strategy
                .and_then(|strategy| strategy.rolling_update.as_ref()?.max_unavailable.as_ref())
                .map_or_else(|| "25%".to_owned(), ToString::to_string);
            match unavailable.strip_suffix('%') {
                Some(percent) => Some(part(100 - percent.trim().parse::<i64>().ok()?)),
                None => Some((want - unavailable.parse::<i32>().ok()?).max(0)),
            }
        }
        asked => match asked.strip_suffix('%') {
            Some(percent) => Some(part(percent.trim().parse().ok()?)),
            None => Some(asked.parse::<i32>().ok()?.max(0)),
        },
    }
}

fn with_minimum(minimum: i32, newest: Option<&ReplicaSet>, outcome: &mut Outcome) {
    let Some(set) = newest else {
        outcome.wait("WD-D5", Reason::NoNewReplicaSet, "there is no ReplicaSet of the new template yet");
        return;
    };
    let status = set.status.clone().unwrap_or_default();
    let available = status.available_replicas;
    let ready = status.ready_replicas.max(available);
    outcome.read("newest ReplicaSet status.availableReplicas", available);
    if status.observed_generation.zip(set.metadata.generation).is_some_and(|(observed, current)| observed < current) {
        outcome.wait("WD-D5", Reason::NoNewReplicaSet, "the new ReplicaSet has not been observed yet");
    } else if ready.min(available) < minimum {
        let missing = minimum - available;
        outcome.wait("WD-D5", Reason::AvailableReplicas, format!("{missing} more to reach the minimum of {minimum}"));
    }
    outcome.done("WD-D5", format!("{available} available, {minimum} asked for"));
}

/// Returns `1 pod` or `3 pods`.
pub(super) fn plural(count: impl Into<i64> + Display, what: &str) -> String {
    let count = count.into();
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
