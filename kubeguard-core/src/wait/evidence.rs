//! The evidence gate: does this status belong to this spec?
//!
//! Three levels of observed generations, pairs of a vendor's own, and the witnesses of managedFields and condition
//! times. A status that does not pass is never complete, whatever it says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::assess::Known;
use super::custom::conditions::{Conditions, Currency, number};
use super::object::{Clock, Facts, Object, Write};
use super::policy::Policy;
use super::reason::{Reason, Word};
use super::verdict::{Evidence, Note, Statement, Verdict, Witness};
use super::view::View;

/// Names under which controllers write the generation they have read. Several → the smallest counts.
const OBSERVED: [&str; 8] = [
    "observedGeneration",
    "lastEvaluatedGeneration",
    "lastObservedGeneration",
    "reconciledGeneration",
    "lastReconciledGeneration",
    "lastHandledGeneration",
    "processedGeneration",
    "lastProcessedGeneration",
];

/// Returns the generation that a status says was observed; hashes, other text and numbers below 1 say nothing.
#[must_use]
pub(super) fn observed_generation(status: &Value) -> Option<i64> {
    OBSERVED.iter().filter_map(|key| number(status.get(*key)?)).filter(|observed| *observed > 0).min()
}

/// What the gate says of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// It belongs to the spec.
    Pass(Evidence),
    /// Not yet; nothing it says counts, apart from failures that are themselves proven.
    Wait(Statement),
    /// Nothing ties it to the spec.
    Unproven,
}

/// What identity and floor say, before any status is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// It is the object of this wait.
    Mine,
    /// It is older than the write: nothing about it counts.
    Stale(Statement),
    /// Another object or another spec has taken its place.
    Other(Verdict, Statement),
}

/// Compares an object with what is known of one's own write (G0 to G2), and follows changes that supersede nothing.
///
/// Without facts the first object that a live wait sees is taken as one's own; a file has no other.
pub(super) fn identity(
    object: &Object,
    facts: &mut Facts,
    known: &mut Known,
    (view, policy): (&View, &Policy),
    clock: Clock,
) -> Identity {
    let meta = object.meta();
    let generation = meta.generation.unwrap_or_default();
    if let Some(uid) = facts.uid.as_ref().filter(|uid| **uid != meta.uid && !meta.uid.is_empty()) {
        if !policy.follow {
            let message = format!("another object has taken its name: uid {} instead of {uid}", meta.uid);
            return Identity::Other(Verdict::Missing, Statement::new("WD-S1", Reason::Recreated, message));
        }
        facts.uid = Some(meta.uid.clone());
        facts.generation = meta.generation;
        known.digests.clear();
        facts.digests.clear();
    }
    let floor = facts.generation.max(facts.min_generation).unwrap_or_default();
    if meta.generation.is_some() && generation < floor {
        let message = format!("the only state seen is of generation {generation}, the write made {floor}");
        return Identity::Stale(Statement::new("WD-G1", Reason::StaleRead, message));
    }
    let revision = meta.annotation("deployment.kubernetes.io/revision");
    if let Some(mine) = facts.revision.filter(|mine| !revision.is_empty() && mine.to_string() != revision) {
        if !policy.follow {
            let message = format!("revision {revision} is current, {mine} was applied");
            return Identity::Other(Verdict::Superseded, Statement::new("WD-S7", Reason::OtherRevision, message));
        }
        facts.revision = revision.parse().ok();
    }
    if known.digests.is_empty() {
        known.digests.clone_from(&facts.digests);
    }
    if facts.generation.is_some_and(|mine| generation > mine) {
        match newer(object, facts, known, view) {
            Newer::Follow(note) => known.notes.extend(note),
            Newer::Superseded(_) if policy.follow => {}
            Newer::Superseded(statement) => return Identity::Other(Verdict::Superseded, statement),
        }
        facts.generation = Some(generation);
    }
    if clock.start.is_some() || facts.generation.is_some() {
        facts.uid.get_or_insert_with(|| meta.uid.clone());
        facts.generation = facts.generation.or(meta.generation);
        known.digests.clone_from(&object.provenance.digests);
    }
    Identity::Mine
}

enum Newer {
    Follow(Option<Note>),
    Superseded(Statement),
}

/// Judges a generation newer than one's own (G2): scaled, filled in, paused, rolled back, or superseded.
fn newer(object: &Object, facts: &Facts, known: &Known, view: &View) -> Newer {
    let writer = object.provenance.spec.clone().unwrap_or_default();
    let changed = changed(&known.digests, &object.provenance.digests);
    let by = if writer.manager.is_empty() { "somebody".to_owned() } else { writer.manager.clone() };
    if writer.subresource == "scale" || changed.as_deref() == Some(&["replicas"]) {
        return Newer::Follow(Some(Note::new("Scaled", format!("by {by}"))));
    }
    let status_writer = object.provenance.status.as_ref().map_or("", |write| write.manager.as_str());
    if !writer.manager.is_empty() && writer.manager == status_writer {
        return Newer::Follow(Some(Note::new("Defaulted", format!("by {by}"))));
    }
    let rests = |changed: &[&str]| {
        !changed.is_empty() && changed.iter().all(|key| matches!(*key, "paused" | "suspend" | "suspended" | "pause"))
    };
    if changed.as_deref().is_some_and(rests) {
        return Newer::Follow(None);
    }
    if let Some(revision) = rolled_back(object, view) {
        let message = format!("{by} has brought back the template of revision {revision}");
        return Newer::Superseded(Statement::new("WD-S5", Reason::RolledBack, message));
    }
    let from = facts.generation.unwrap_or_default();
    let to = object.meta().generation.unwrap_or_default();
    let time = writer.time.map_or_else(String::new, |time| format!(" at {time}"));
    let what = match changed.as_deref() {
        Some([]) | None => String::new(),
        Some(keys) => format!(": spec.{}", keys.join(", spec.")),
    };
    let message = format!("generation {to} replaces {from}, written by {by}{time}{what}");
    Newer::Superseded(Statement::new("WD-S6", Reason::NewerGeneration, message))
}

/// Returns the revision whose template a Deployment has again: a ReplicaSet that is older than the write.
fn rolled_back(object: &Object, view: &View) -> Option<String> {
    let written = object.provenance.spec.as_ref()?.time?;
    let digest = object.template_digest()?;
    let older = view.controlled(&object.meta().uid, "ReplicaSet").find(|set| {
        let created = set.meta().creation_timestamp.as_ref().and_then(crate::kinds::Time::timestamp);
        set.template_digest() == Some(digest) && created.is_some_and(|created| created < written)
    })?;
    Some(older.meta().annotation("deployment.kubernetes.io/revision").to_owned())
}

/// Returns the top-level keys of the spec that differ; `None` when the older spec is not at hand.
fn changed<'a>(before: &'a BTreeMap<String, String>, after: &'a BTreeMap<String, String>) -> Option<Vec<&'a str>> {
    if before.is_empty() {
        return None;
    }
    let mut keys: Vec<&str> = before
        .iter()
        .filter(|(key, digest)| after.get(*key) != Some(digest))
        .chain(after.iter().filter(|(key, _)| !before.contains_key(*key)))
        .map(|(key, _)| key.as_str())
        .collect();
    keys.sort_unstable();
    Some(keys)
}

/// Returns the time of the spec write: known from one's own write, else from managedFields, else the start of the wait.
pub(super) fn written_at(object: &Object, facts: &Facts, clock: Clock) -> Option<Timestamp> {
    facts.time.or_else(|| object.provenance.spec.as_ref()?.time).or(clock.start)
}

/// The gate for built-in kinds whose controller always writes an observed generation.
pub(super) fn gate_observed(object: &Object, notes: &mut Vec<Note>, known: &Known, written: Option<Timestamp>) -> Gate {
    let generation = object.meta().generation;
    let observed = object.observed_generation().unwrap_or_default();
    match generation {
        None => Gate::Pass(Evidence::Weak(Witness::Kind)),
        Some(generation) if observed == generation && observed > 0 => Gate::Pass(Evidence::Strong),
        Some(generation) if observed <= 0 || observed < generation => Gate::Wait(not_observed(generation, observed)),
        Some(generation) => {
            notes.push(ahead(generation, observed));
            witness(object, generation, known, written, None)
        }
    }
}

/// The gate for pods: newer kubelets write the pair, older ones do not.
pub(super) fn gate_pod(object: &Object) -> Gate {
    match (object.meta().generation, object.observed_generation().filter(|observed| *observed > 0)) {
        (Some(generation), Some(observed)) if observed < generation => Gate::Wait(not_observed(generation, observed)),
        (Some(generation), Some(observed)) if observed == generation => Gate::Pass(Evidence::Strong),
        _ => Gate::Pass(Evidence::Weak(Witness::Kind)),
    }
}

/// The gate for a custom resource with a status (G3 to G7).
pub(super) fn gate_custom(
    object: &Object,
    status: &Value,
    conditions: &Conditions<'_>,
    (controller_observes, pairs): (bool, Vec<(i64, i64)>),
    known: &Known,
    written: Option<Timestamp>,
    notes: &mut Vec<Note>,
) -> Gate {
    let meta = object.meta();
    let Some(generation) = meta.generation else { return Gate::Pass(Evidence::Weak(Witness::Kind)) };
    let observed = observed_generation(status);
    if let Some(observed) = observed.filter(|observed| *observed < generation) {
        return Gate::Wait(not_observed(generation, observed));
    }
    if let Some(observed) = observed.filter(|observed| *observed > generation) {
        notes.push(ahead(generation, observed));
    }
    if let Some(wait) = stale_conditions(conditions, generation).or_else(|| stale_reporters(conditions, notes)) {
        return Gate::Wait(wait);
    }
    let workload =
        meta.annotations.iter().find(|(key, _)| key.ends_with("/workload-generation")).and_then(|(_, value)| {
            Some((number(status.get("workloadObservedGeneration")?)?, value.parse::<i64>().ok()?))
        });
    let pairs: Vec<(i64, i64)> = pairs.into_iter().chain(workload).collect();
    if let Some((observed, current)) = pairs.iter().find(|(observed, current)| observed < current) {
        let message = format!("the workload's status is of generation {observed}, the workload is at {current}");
        return Gate::Wait(Statement::new("WD-G6", Reason::PairNotCurrent, message));
    }
    let proven = deciding(conditions).any(|entry| entry.currency == Currency::Proven);
    if observed == Some(generation) || !pairs.is_empty() || proven {
        return Gate::Pass(Evidence::Strong);
    }
    if controller_observes && generation > 1 {
        return Gate::Wait(not_observed(generation, 0));
    }
    let newest = deciding(conditions).filter_map(|entry| entry.changed_at).max();
    witness(object, generation, known, written, newest)
}

/// The conditions that decide: the summary where there is one, else all of them.
fn deciding<'a, 'b>(conditions: &'b Conditions<'a>) -> impl Iterator<Item = &'b super::custom::conditions::Entry<'a>> {
    let summary = conditions.entries.iter().any(super::custom::conditions::Entry::is_summary);
    conditions.entries.iter().filter(move |entry| entry.currency != Currency::Stale && (!summary || entry.is_summary()))
}

fn stale_conditions(conditions: &Conditions<'_>, generation: i64) -> Option<Statement> {
    let own: Vec<_> = conditions.entries.iter().filter(|entry| !entry.reported).collect();
    let all_stale = !own.is_empty() && own.iter().all(|entry| entry.currency == Currency::Stale);
    let stale = own.iter().find(|entry| entry.currency == Currency::Stale && (all_stale || entry.is_summary()))?;
    let of = stale.observed.unwrap_or_default();
    let message = format!("condition {} is of generation {of}, the object is at {generation}", stale.name);
    Some(Statement::new("WD-G4", Reason::ConditionNotCurrent, message))
}

fn stale_reporters(conditions: &Conditions<'_>, notes: &mut Vec<Note>) -> Option<Statement> {
    let reporters = conditions.reporters.as_ref()?;
    if !reporters.iter().any(|reporter| reporter.current) {
        let message =
            if reporters.is_empty() { "no parent has answered" } else { "no parent has answered for this generation" };
        return Some(Statement::new("WD-G5", Reason::ParentNotCurrent, message));
    }
    for silent in reporters.iter().filter(|reporter| !reporter.current) {
        notes.push(Note::new("ParentSilent", format!("{} is of an older generation", silent.path)));
    }
    None
}

/// The last resort (G7): who, or what time, ties the status to the spec.
fn witness(
    object: &Object,
    generation: i64,
    known: &Known,
    written: Option<Timestamp>,
    condition_time: Option<Timestamp>,
) -> Gate {
    let after = |at: Option<Timestamp>| at.zip(written).is_some_and(|(at, written)| at > written);
    let status_write = object.provenance.status.as_ref().and_then(|write: &Write| write.time);
    let witness = if generation == 1 {
        Witness::FirstGeneration
    } else if after(status_write) {
        Witness::ManagedFields
    } else if after(condition_time) {
        Witness::ConditionTime
    } else if known.status_changed {
        Witness::Changed
    } else {
        return Gate::Unproven;
    };
    Gate::Pass(Evidence::Weak(witness))
}

fn not_observed(generation: i64, observed: i64) -> Statement {
    let message = if observed > 0 {
        format!("the status is of generation {observed}, the object is at {generation}")
    } else {
        format!("the controller has not observed generation {generation}")
    };
    Statement::new("WD-G3", Word::from(Reason::GenerationNotObserved), message)
}

fn ahead(generation: i64, observed: i64) -> Note {
    let message = format!("observed {observed}, the object is at {generation}: restored, or not a generation");
    Note::new("ObservedGenerationAhead", message)
}
