//! Built-in kinds with a handful of rules each that are read as untyped JSON: autoscalers, disruption budgets,
//! schedules, ingresses, replication controllers.

use serde_json::Value;

use super::assess::{Context, Known};
use super::custom::conditions::{Entry, conditions};
use super::evidence::{Gate, gate_observed, gate_pod};
use super::object::Object;
use super::reason::{Reason, Word};
use super::replica_set;
use super::rules::Effect;
use super::verdict::{Evidence, Outcome, Statement, Suspect, Witness};
use crate::kinds::{self, ReplicaSet};

/// Judges a built-in kind; `None` for every other one.
pub(super) fn judge(
    object: &Object,
    value: &Value,
    known: &Known,
    cx: &Context<'_>,
) -> Option<(Outcome, Option<Evidence>)> {
    let weak = Some(Evidence::Weak(Witness::Kind));
    let mut notes = Vec::new();
    let gate = match (object.key.group.as_str(), object.key.kind.as_str()) {
        ("autoscaling", "HorizontalPodAutoscaler") => gate_pod(object),
        ("policy", "PodDisruptionBudget") | ("", "ReplicationController") if has_status(value) => {
            gate_observed(object, &mut notes, known, cx.written)
        }
        ("policy", "PodDisruptionBudget") | ("", "ReplicationController") => {
            let mut outcome = Outcome::default();
            outcome.wait("WD-G3", Reason::NoStatusYet, "no status yet");
            return Some((outcome, None));
        }
        ("batch", "CronJob") => return Some((schedule(value), weak)),
        ("networking.k8s.io", "Ingress") => return Some((ingress(), weak)),
        _ => return None,
    };
    let evidence = match gate {
        Gate::Pass(evidence) => Some(evidence),
        Gate::Wait(said) => return Some((Outcome { progressing: vec![said], notes, ..Outcome::default() }, None)),
        Gate::Unproven => weak,
    };
    let mut outcome = match object.key.kind.as_str() {
        "HorizontalPodAutoscaler" => autoscaler(object, value),
        "PodDisruptionBudget" => budget(object, value),
        _ => {
            let (set, _) = kinds::read::<ReplicaSet>(value.clone());
            replica_set::judge(object, &set, cx)
        }
    };
    outcome.notes.extend(notes);
    Some((outcome, evidence))
}

fn has_status(value: &Value) -> bool {
    value.get("status").and_then(Value::as_object).is_some_and(|status| !status.is_empty())
}

/// The rule WD-J9: the Jobs it starts are objects of their own.
fn schedule(value: &Value) -> Outcome {
    let mut outcome = Outcome::default();
    let suspended = value.pointer("/spec/suspend") == Some(&Value::Bool(true));
    outcome.read("spec.suspend", suspended);
    if suspended {
        outcome.suspended = Some(Statement::new("WD-J9", Reason::JobSuspended, "the schedule is suspended"));
        outcome.flips.push("spec.suspend = false".to_owned());
    }
    let schedule = value.pointer("/spec/schedule").and_then(Value::as_str).unwrap_or_default();
    outcome.done("WD-J9", format!("scheduled {schedule}").trim_end());
    outcome
}

/// The rule WD-I1: many controllers never write an address.
fn ingress() -> Outcome {
    let mut outcome = Outcome::default();
    outcome.done("WD-I1", "in place");
    outcome
}

/// The rules WD-H1 to WD-H6.
fn autoscaler(object: &Object, value: &Value) -> Outcome {
    let mut outcome = Outcome::default();
    // autoscaling/v1 carries the conditions of v2 in an annotation.
    let carried = object.meta().annotation("autoscaling.alpha.kubernetes.io/conditions");
    let carried = serde_json::json!({"conditions": serde_json::from_str::<Value>(carried).unwrap_or_default()});
    let status = value.get("status").filter(|status| status.get("conditions").is_some()).unwrap_or(&carried);
    let all = conditions(status, None, &Effect::default());
    let of = |name: &str| all.entries.iter().find(|entry| entry.name == name);
    for entry in &all.entries {
        outcome.read(&entry.path, &entry.status);
    }
    let is = |entry: Option<&Entry<'_>>, status: &str| entry.is_some_and(|entry| entry.status == status);
    let suspect = |rule: &'static str, reason: Reason, entry: &Entry<'_>| {
        let word = Word::from(reason);
        Suspect::new(rule, word, &object.key, said(entry)).since(entry.changed_at)
    };
    let (active, able) = (of("ScalingActive"), of("AbleToScale"));
    if let Some(refused) = active.filter(|entry| entry.status == "False") {
        match refused.reason {
            "ScalingDisabled" => {
                outcome.done("WD-H1", "scaling is disabled: the target has no replicas");
                return outcome;
            }
            "InvalidSelector" | "InvalidMetricSourceType" | "AmbiguousSelector" => {
                outcome.suspects.push(suspect("WD-H2", Reason::HpaInvalid, refused));
            }
            _ => outcome.suspects.push(suspect("WD-H4", Reason::HpaMetric, refused)),
        }
        outcome.wait(
            "WD-H4",
            outcome.suspects.last().map_or(Reason::HpaMetric, |found| found.word.reason),
            said(refused),
        );
    }
    if let Some(refused) = able.filter(|entry| entry.status == "False") {
        outcome.suspects.push(suspect("WD-H3", Reason::HpaTarget, refused));
    }
    if is(active, "True") {
        if let Some(limited) = of("ScalingLimited").filter(|entry| entry.status == "True") {
            outcome.note("ScalingLimited", limited.message);
        }
        outcome.done("WD-H5", "scaling is active");
    } else if outcome.progressing.is_empty() {
        outcome.wait("WD-H6", Reason::NoMetricYet, "no metric has been read yet");
    }
    outcome
}

/// The rules WD-B1 and WD-B2.
fn budget(object: &Object, value: &Value) -> Outcome {
    let mut outcome = Outcome::default();
    let status = value.get("status").cloned().unwrap_or_default();
    let all = conditions(&status, None, &Effect::default());
    // Two controllers may write an entry each.
    for entry in all.entries.iter().filter(|entry| entry.name == "DisruptionAllowed" && entry.status == "False") {
        outcome.read(&entry.path, format!("{} ({})", entry.status, entry.reason));
        if entry.reason == "SyncFailed" {
            let suspect = Suspect::new("WD-B1", Reason::SyncFailed, &object.key, said(entry));
            outcome.suspects.push(suspect.since(entry.changed_at));
        } else {
            outcome.warn(entry.reason, entry.message);
        }
    }
    let count = |key: &str| status.get(key).and_then(Value::as_i64).unwrap_or_default();
    outcome.done("WD-B2", format!("{} healthy, {} wanted", count("currentHealthy"), count("desiredHealthy")));
    outcome
}

fn said(entry: &Entry<'_>) -> String {
    let head = format!("{}={} ({})", entry.name, entry.status, entry.reason);
    if entry.message.is_empty() { head } else { format!("{head}: {}", entry.message) }
}
