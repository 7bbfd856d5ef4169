//! One look at one object: the gate, then the rules of its kind. Pure; what a wait remembers is passed in.

use jiff::Timestamp;
use serde_json::Value;

use super::custom::conditions::{Conditions, Currency, conditions};
use super::custom::{self, StatusSchema, Subject};
use super::evidence::{Gate, Identity, gate_custom, gate_observed, gate_pod, identity, written_at};
use super::judgement::Generations;
use super::object::{Body, Clock, Facts, Object, ObjectKey};
use super::pods::{classify, is_ended_by_node, missing_reference};
use super::policy::{EvidenceFloor, Level, Policy};
use super::reason::{Reason, Word};
use super::rules::{Effect, RuleFacts};
use super::verdict::{Evidence, Note, Outcome, Suspect, Witness};
use super::view::{Lookup, View};
use super::{daemon_set, deployment, job, levels, pod, replica_set, small, stateful_set, untyped};
use crate::kinds::Pod;

/// What a wait knows of an object beyond its newest state.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// It was there, and a look by name found it gone.
    pub(super) gone: bool,
    /// Its status changed while the generation stayed the same, seen by this wait.
    pub(super) status_changed: bool,
    /// Digests of the spec that is one's own.
    pub(super) digests: std::collections::BTreeMap<String, String>,
    /// Changes that were followed.
    pub(super) notes: Vec<Note>,
    /// A moment at which the answer may change by time alone.
    pub(super) asks_again_at: Option<Timestamp>,
    last: Option<(Option<i64>, Value)>,
}

/// What one look found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) outcome: Outcome,
    pub(super) evidence: Option<Evidence>,
    pub(super) generations: Generations,
}

/// What the rules of a kind may ask.
pub(super) struct Context<'a> {
    pub(super) view: &'a View,
    pub(super) policy: &'a Policy,
    pub(super) clock: Clock,
    /// When the spec was written, as far as anything tells.
    pub(super) written: Option<Timestamp>,
    namespace: &'a str,
    asks_again_at: Option<Timestamp>,
}

impl Context<'_> {
    /// Asks for another look at `at`, when nothing but time will have changed.
    pub(super) fn ask_again_at(&mut self, at: Timestamp) {
        self.asks_again_at = Some(self.asks_again_at.map_or(at, |before| before.min(at)));
    }

    /// Returns whether a kind has been read in the object's namespace.
    pub(super) fn reading(&self, group: &str, kind: &str) -> Lookup<()> {
        let what = match kind {
            "ReplicaSet" => "list replicasets",
            "ControllerRevision" => "list controllerrevisions",
            "Pod" => "list pods",
            "Service" => "list services",
            "EndpointSlice" => "list endpointslices",
            _ => "list it",
        };
        self.view.reading(group, kind, self.namespace, what)
    }

    /// Returns the key of an object in the same namespace.
    pub(super) fn key(&self, group: &str, kind: &str, name: &str) -> ObjectKey {
        ObjectKey::new(group, kind, self.namespace, name)
    }

    /// Adds what is wrong with an owner's new pods. Pods being deleted, and pods that their node ended, are replaced
    /// by the controller and count as progress.
    pub(super) fn suspect_pods<'p>(&self, pods: impl Iterator<Item = &'p Pod>, outcome: &mut Outcome) {
        if let Lookup::Denied(what) = self.reading("", "Pod") {
            outcome.note("DetailUnavailable", format!("cannot {what}"));
        }
        for pod in pods.filter(|pod| !pod.metadata.is_deleted()) {
            let Some(status) = &pod.status else { continue };
            let at = ObjectKey::new("", "Pod", &pod.metadata.namespace, &pod.metadata.name);
            match status.phase.as_str() {
                "Succeeded" => continue,
                // Its controller replaces a failed pod, and a Job counts it.
                "Failed" => {
                    let owner = pod.metadata.controller().map_or("", |owner| owner.kind.as_str());
                    if !is_ended_by_node(&status.reason) && owner != "Job" {
                        let message = pod::first_failure(status).unwrap_or_else(|| status.message.clone());
                        outcome.suspects.push(Suspect::new("WD-P3", Reason::PodFailed, &at, message));
                    }
                    continue;
                }
                _ => {}
            }
            let found = classify(pod, self.view, self.policy);
            if found.is_empty() && !pod.is_ready() {
                outcome.undecided_pods += 1;
            }
            outcome.suspects.extend(found);
        }
    }
}

/// Looks at an object. Returns `None` for a state that is older than one's own write, when a newer one is known.
pub(super) fn assess(
    object: &Object,
    facts: &mut Facts,
    known: &mut Known,
    view: &View,
    policy: &Policy,
    clock: Clock,
) -> Option<Found> {
    known.asks_again_at = None;
    let generations = Generations { current: object.meta().generation, observed: object.observed_generation() };
    let found = |outcome: Outcome, evidence: Option<Evidence>| Some(Found { outcome, evidence, generations });
    if object.meta().is_deleted() {
        return found(deleted(object), None);
    }
    match identity(object, facts, known, (view, policy), clock) {
        Identity::Mine => {}
        Identity::Stale(_) if known.last.is_some() => return None,
        Identity::Stale(said) => {
            return found(Outcome { progressing: vec![said], ..Outcome::default() }, None);
        }
        Identity::Other(verdict, said) => {
            return found(Outcome { settled: Some((verdict, said)), ..Outcome::default() }, None);
        }
    }
    known.see(object);
    if let Some(annotation) = not_waited_for(object) {
        let mut outcome = Outcome::default();
        outcome.note("NotWaitedFor", format!("annotation {annotation} asks not to wait for it"));
        outcome.done("WD-K9", format!("not waited for: {annotation}"));
        return found(outcome, Some(Evidence::None));
    }
    let mut cx = Context {
        view,
        policy,
        clock,
        written: written_at(object, facts, clock),
        namespace: &object.key.namespace,
        asks_again_at: None,
    };
    let (mut outcome, evidence) = look(object, known, &mut cx);
    if let Some(whole) = object.whole.as_deref().filter(|_| evidence.is_some()) {
        outcome = own_words(object, whole, outcome, &cx);
    }
    known.asks_again_at = cx.asks_again_at;
    outcome.notes.extend(known.notes.iter().cloned());
    outcome.notes.extend(object.provenance.malformed.iter().map(|path| Note::new("Malformed", path)));
    if policy.until == Level::Observed && evidence.is_some() {
        outcome.progressing.clear();
        outcome.suspended = None;
        outcome.done("WD-L1", "the controller has read the spec");
    }
    let stands = outcome.progressing.is_empty() && outcome.suspended.is_none();
    if (policy.until > Level::Available || !policy.settle.is_zero()) && stands && outcome.complete.is_some() {
        levels::beyond(object, &cx, &mut outcome);
    }
    // Typed kinds are read field by field: what could not be read may be what says no.
    let unread = |path: &&String| path.starts_with("status.") || path.as_str() == "metadata.deletionTimestamp";
    let typed = !matches!(object.body, Body::Custom(..));
    if let Some(path) = object.provenance.malformed.iter().find(unread).filter(|_| typed) {
        outcome.wait("WD-K0", Reason::Malformed, format!("{path} has the wrong shape"));
    }
    demand(object, evidence, policy, &mut outcome);
    found(outcome, evidence)
}

/// Lays a caller's own expressions over what the rules of a built-in kind found, once its status has passed the gate.
fn own_words(object: &Object, whole: &Value, mut outcome: Outcome, cx: &Context<'_>) -> Outcome {
    let version = object.api_version.rsplit('/').next().unwrap_or_default();
    let rules = cx.policy.rules.of(&object.key.group, version, &object.key.kind);
    let no_status = Value::Null;
    let all = conditions(whole.get("status").unwrap_or(&no_status), object.meta().generation, &rules);
    let facts = RuleFacts {
        meta: object.meta(),
        api_version: &object.api_version,
        kind: &object.key.kind,
        value: whole,
        conditions: &all.entries,
        now: cx.clock.now,
    };
    let (said, warnings) = rules.when(&facts);
    outcome.warnings.extend(warnings);
    if let Some(said) = said.filter(|said| said.verdict == super::verdict::Verdict::Failed) {
        let word = Word::said(Reason::ConditionFailed, said.reason);
        outcome.suspects.push(Suspect::new(said.rule, word, &object.key, said.message));
    }
    custom::with_own_done(outcome, &rules, &facts)
}

/// Returns the annotation by which an object's author asks that nobody waits for it: our own, kapp's (any value), and
/// that by which Argo CD leaves an object out of an application's health.
fn not_waited_for(object: &Object) -> Option<&'static str> {
    let annotations = &object.meta().annotations;
    let any = ["kubeguard.dev/disable-wait", "kapp.k14s.io/disable-wait"];
    let ignored = "argocd.argoproj.io/ignore-healthcheck";
    let named = any.into_iter().find(|name| annotations.contains_key(*name));
    named.or_else(|| (object.meta().annotation(ignored) == "true").then_some(ignored))
}

impl Known {
    fn see(&mut self, object: &Object) {
        let Body::Custom(_, value) = &object.body else {
            self.last = Some((object.meta().generation, Value::Null));
            return;
        };
        let status = value.get("status").cloned().unwrap_or_default();
        let generation = object.meta().generation;
        match &self.last {
            Some((before, _)) if *before != generation => self.status_changed = false,
            Some((_, before)) if *before != status => self.status_changed = true,
            _ => {}
        }
        self.last = Some((generation, status));
    }
}

fn deleted(object: &Object) -> Outcome {
    let meta = object.meta();
    let since = meta.deletion_timestamp.as_ref().and_then(crate::kinds::Time::timestamp);
    let waits =
        if meta.finalizers.is_empty() { String::new() } else { format!(", finalizers {}", meta.finalizers.join(", ")) };
    let content = match &object.body {
        Body::Namespace(namespace) => remaining(namespace),
        _ => String::new(),
    };
    let message = format!("{} is being deleted{waits}{content}", object.key);
    let suspect = Suspect::new("WD-K6", Reason::Terminating, &object.key, message)
        .since(since)
        .name("finalizers", meta.finalizers.join(", "));
    Outcome { suspects: vec![suspect], ..Outcome::default() }
}

fn remaining(namespace: &crate::kinds::Namespace) -> String {
    let conditions = namespace.status.as_ref().map_or(&[][..], |status| &status.conditions);
    ["NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionContentFailure"]
        .iter()
        .filter_map(|name| crate::kinds::condition(conditions, name).filter(|condition| condition.status == "True"))
        .map(|condition| format!("; {}", condition.message))
        .collect()
}

fn look(object: &Object, known: &Known, cx: &mut Context<'_>) -> (Outcome, Option<Evidence>) {
    let mut notes = Vec::new();
    let weak = Some(Evidence::Weak(Witness::Kind));
    let has_status = match &object.body {
        Body::Deployment(body) => body.status.is_some(),
        Body::StatefulSet(body) => body.status.is_some(),
        Body::DaemonSet(body) => body.status.is_some(),
        Body::ReplicaSet(body) => body.status.is_some(),
        Body::Custom(_, value) => {
            return untyped::judge(object, value, known, cx)
                .unwrap_or_else(|| custom_resource(object, value, known, cx));
        }
        _ => false,
    };
    let gate = match &object.body {
        Body::Pod(_) => gate_pod(object),
        Body::Deployment(_) | Body::StatefulSet(_) | Body::DaemonSet(_) | Body::ReplicaSet(_) if has_status => {
            gate_observed(object, &mut notes, known, cx.written)
        }
        _ => Gate::Pass(Evidence::Weak(Witness::Kind)),
    };
    let evidence = match gate {
        Gate::Pass(evidence) => Some(evidence),
        Gate::Wait(said) => {
            let mut outcome = Outcome { progressing: vec![said], notes, ..Outcome::default() };
            reads(object, &mut outcome);
            return (outcome, None);
        }
        Gate::Unproven => return (unproven(object, None, cx.written, notes), None),
    };
    let mut outcome = match &object.body {
        Body::Deployment(body) if body.status.is_none() => {
            let mut outcome = Outcome::default();
            outcome.wait("WD-D6", Reason::NoStatusYet, "no status yet");
            return (outcome, None);
        }
        Body::Deployment(body) => deployment::judge(object, body, cx),
        Body::StatefulSet(body) => stateful_set::judge(object, body, cx),
        Body::DaemonSet(body) => daemon_set::judge(object, body, cx),
        Body::ReplicaSet(body) => replica_set::judge(object, body, cx),
        Body::Job(body) => job::judge(object, body, cx),
        Body::Pod(body) => pod::judge(object, body, cx),
        Body::Service(body) => small::service(object, body, cx),
        Body::Claim(body) => small::claim(object, body, cx),
        Body::Namespace(body) => small::namespace(body),
        Body::Definition(body) => small::definition(object, body, cx),
        Body::ApiService(body) => small::api_service(object, body),
        Body::Present(_)
        | Body::Revision(_)
        | Body::StorageClass(_)
        | Body::Slice(_)
        | Body::Node(_)
        | Body::Event(_)
        | Body::Custom(..) => {
            let mut outcome = Outcome::default();
            outcome.done("WD-K0", "present, nothing to observe");
            return (outcome, Some(Evidence::Strong));
        }
    };
    outcome.notes.extend(notes);
    let evidence = if evidence == weak || has_status || matches!(object.body, Body::Pod(_)) { evidence } else { weak };
    (outcome, evidence)
}

fn reads(object: &Object, outcome: &mut Outcome) {
    let number = |value: Option<i64>| value.map_or_else(|| "absent".to_owned(), |value| value.to_string());
    outcome.read("metadata.generation", number(object.meta().generation));
    outcome.read("status.observedGeneration", number(object.observed_generation()));
    if let Some(generation) = object.meta().generation {
        outcome.flips.push(format!("status.observedGeneration = {generation}"));
    }
}

fn custom_resource(object: &Object, value: &Value, known: &Known, cx: &mut Context<'_>) -> (Outcome, Option<Evidence>) {
    let schema = schema(object, cx.view);
    let no_status = Value::Null;
    let status = value.get("status").filter(|status| status.is_object());
    let generation = object.meta().generation;
    let version = object.api_version.rsplit('/').next().unwrap_or_default();
    let rules = cx.policy.rules.of(&object.key.group, version, &object.key.kind);
    let mut all = conditions(status.unwrap_or(&no_status), generation, &rules);
    let mut notes = std::mem::take(&mut all.notes);
    if value.get("status").is_some_and(|status| !status.is_object() && !status.is_null()) {
        notes.push(Note::new("Malformed", "status"));
    }
    let Some(status) = status.filter(|status| status.as_object().is_some_and(|map| !map.is_empty())) else {
        let mut outcome = custom::assess(&subject(object, value, &all, Vec::new(), (schema, &rules, cx.clock.now)));
        outcome.notes.extend(notes);
        let evidence = outcome.complete.is_some().then_some(Evidence::Strong);
        return (outcome, evidence);
    };
    let observes =
        schema.is_some_and(|schema| schema.observes) && cx.view.observes(&object.key.group, &object.key.kind);
    let current: Vec<_> = all.entries.iter().filter(|entry| entry.currency != Currency::Stale).cloned().collect();
    let gate = if rules.ignores_generation() {
        notes.push(Note::new("GenerationIgnored", "a rule says that this kind's generations mean nothing"));
        Gate::Pass(Evidence::None)
    } else {
        let facts = RuleFacts {
            meta: object.meta(),
            api_version: &object.api_version,
            kind: &object.key.kind,
            value,
            conditions: &current,
            now: cx.clock.now,
        };
        let pairs = rules.generations(&facts);
        gate_custom(object, status, &all, (observes, pairs), known, cx.written, &mut notes)
    };
    let (mut outcome, evidence) = match gate {
        Gate::Pass(evidence) => {
            (custom::assess(&subject(object, value, &all, current, (schema, &rules, cx.clock.now))), Some(evidence))
        }
        Gate::Wait(said) => {
            let mut outcome = Outcome { progressing: vec![said], ..Outcome::default() };
            reads(object, &mut outcome);
            let proven = all
                .entries
                .iter()
                .filter(|entry| {
                    let after = entry.changed_at.zip(cx.written).is_some_and(|(at, written)| at > written);
                    entry.currency == Currency::Proven || (entry.currency == Currency::Unnumbered && after)
                })
                .cloned()
                .collect();
            outcome.suspects =
                custom::proven_failures(&subject(object, value, &all, proven, (schema, &rules, cx.clock.now)));
            let evidence = (!outcome.suspects.is_empty()).then_some(Evidence::Strong);
            (outcome, evidence)
        }
        Gate::Unproven => {
            let subject = subject(object, value, &all, current, (schema, &rules, cx.clock.now));
            if cx.policy.assume_observed {
                let mut outcome = custom::assess(&subject);
                outcome.note("AssumeObserved", "nothing proves that the status belongs to this spec");
                (outcome, Some(Evidence::None))
            } else {
                let failing = custom::failing_text(&subject);
                (unproven(object, failing, cx.written, Vec::new()), Some(Evidence::None))
            }
        }
    };
    outcome.notes.extend(notes);
    outcome.notes.extend(silent_parents(object, value));
    if rules.children().is_some() && outcome.complete.is_none() {
        cx.suspect_pods(descendants(object, cx).into_iter(), &mut outcome);
    }
    (outcome, evidence)
}

/// Returns a note for each parent that the spec names and the status does not (WD-W3): its controller may not be there.
fn silent_parents(object: &Object, value: &Value) -> Vec<Note> {
    let list = |path: &str| value.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let text = |reference: &Value, key: &str| reference.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of = |reference: &Value| {
        let namespace = Some(text(reference, "namespace")).filter(|namespace| !namespace.is_empty());
        (
            namespace.unwrap_or_else(|| object.key.namespace.clone()),
            text(reference, "name"),
            text(reference, "sectionName"),
        )
    };
    let answered: Vec<_> = list("/status/parents").filter_map(|parent| parent.get("parentRef").map(of)).collect();
    let wanted = list("/spec/parentRefs").map(of).filter(|parent| !answered.is_empty() && !answered.contains(parent));
    wanted
        .map(|(namespace, name, _)| Note::new("ParentSilent", format!("{namespace}/{name} has not answered")))
        .collect()
}

/// Returns the pods that an object controls, itself or through a workload of its own.
fn descendants<'a>(object: &Object, cx: &Context<'a>) -> Vec<&'a Pod> {
    let uid = &object.meta().uid;
    let mut pods: Vec<&Pod> = cx.view.pods(uid).collect();
    for kind in ["StatefulSet", "Deployment", "ReplicaSet", "DaemonSet", "Job"] {
        for child in cx.view.controlled(uid, kind) {
            pods.extend(cx.view.pods(&child.meta().uid));
            for set in cx.view.controlled(&child.meta().uid, "ReplicaSet") {
                pods.extend(cx.view.pods(&set.meta().uid));
            }
        }
    }
    pods
}

fn subject<'a>(
    object: &'a Object,
    value: &'a Value,
    all: &Conditions<'_>,
    current: Vec<custom::conditions::Entry<'a>>,
    (schema, rules, now): (Option<StatusSchema>, &'a Effect, Timestamp),
) -> Subject<'a> {
    Subject {
        key: &object.key,
        meta: object.meta(),
        value,
        current,
        has_conditions: all.has_own || all.reporters.is_some(),
        schema,
        rules,
        api_version: &object.api_version,
        now,
    }
}

/// Returns what the kind's definition declares of its status, if the definition is at hand.
fn schema(object: &Object, view: &View) -> Option<StatusSchema> {
    let version = object.api_version.rsplit('/').next().unwrap_or_default();
    view.of_kind("apiextensions.k8s.io", "CustomResourceDefinition", "").find_map(|candidate| match &candidate.body {
        Body::Definition(definition)
            if definition.defines() == (object.key.group.as_str(), object.key.kind.as_str()) =>
        {
            StatusSchema::of(definition, version)
        }
        _ => None,
    })
}

/// Nothing ties the status to the spec: says who is silent.
fn unproven(object: &Object, failing: Option<String>, written: Option<Timestamp>, notes: Vec<Note>) -> Outcome {
    let mut outcome = Outcome { notes, ..Outcome::default() };
    reads(object, &mut outcome);
    let silent = match (object.provenance.status.as_ref().and_then(|write| write.time), written) {
        (Some(status), Some(spec)) => format!("its last status write was at {status}, the spec was written at {spec}"),
        (None, Some(spec)) => format!("no status write after {spec} is known"),
        (_, None) => "nobody knows when its spec was written".to_owned(),
    };
    let said = failing.map_or_else(String::new, |text| format!("; it says: {text}"));
    let message = format!(
        "the controller of {}.{} writes no observedGeneration; {silent}{said}",
        object.key.kind, object.key.group
    );
    outcome.suspects.push(Suspect::new("WD-G7", Reason::NoEvidence, &object.key, message));
    outcome.flips.push("a status write after the spec".to_owned());
    outcome
}

/// Where a caller asks for strong evidence, what would be complete on weaker ground is unproven.
fn demand(object: &Object, evidence: Option<Evidence>, policy: &Policy, outcome: &mut Outcome) {
    let weaker = !matches!(evidence, Some(Evidence::Strong | Evidence::Weak(Witness::Kind)));
    let would_be = outcome.complete.is_some()
        && outcome.progressing.is_empty()
        && outcome.suspended.is_none()
        && !outcome.suspects.iter().any(Suspect::blocks_complete);
    if policy.evidence == EvidenceFloor::Strong && weaker && would_be {
        let has = evidence.map_or_else(|| "none".to_owned(), |evidence| evidence.to_string());
        let message = format!("strong evidence is asked for, there is {has}");
        outcome.suspects.push(Suspect::new("WD-G7", Reason::NoEvidence, &object.key, message));
    }
}

/// A controller cannot create pods: says by whose refusal, as far as the message tells.
pub(super) fn refused_creation(rule: &'static str, at: &ObjectKey, message: &str, since: Option<Timestamp>) -> Suspect {
    let quoted = |after: &str| {
        let rest = message.split_once(after)?.1;
        let name = rest.trim_start().trim_start_matches(['"', ':', ' ']);
        let end = name.find(['"', ',', ' ']).unwrap_or(name.len());
        name.get(..end).filter(|name| !name.is_empty()).map(ToOwned::to_owned)
    };
    let (reason, placeholder, name) = if let Some(reference) = missing_reference(message) {
        (Reason::MissingReference, "reference", Some(reference))
    } else if message.contains("exceeded quota") {
        (Reason::QuotaExceeded, "quota", quoted("exceeded quota"))
    } else if message.contains("LimitRange") || message.contains("limit range") || message.contains("usage per") {
        (Reason::QuotaExceeded, "quota", None)
    } else if message.contains("failed calling webhook") {
        (Reason::WebhookUnavailable, "webhook", quoted("failed calling webhook"))
    } else if message.contains("violates PodSecurity") {
        (
            Reason::AdmissionDenied,
            "policy",
            quoted("violates PodSecurity").map(|level| format!("PodSecurity level {level}")),
        )
    } else if message.contains("admission webhook") && message.contains("denied") {
        (Reason::AdmissionDenied, "policy", quoted("admission webhook").map(|name| format!("webhook {name}")))
    } else if message.contains("forbidden:") {
        (Reason::AdmissionDenied, "policy", None)
    } else {
        (Reason::FailedCreate, "policy", None)
    };
    Suspect::new(rule, reason, at, message).since(since).name(placeholder, name.unwrap_or_default())
}
