//! The generic judge: a custom resource is judged by what its words mean, whoever its vendor is.
//!
//! Every part of the status has a vote; the decision looks only at which votes there are, never at their order.

pub(in crate::wait) mod conditions;
mod counters;
mod roles;
mod votes;
pub(in crate::wait) mod words;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use self::conditions::Entry;
use self::votes::{Ballot, Vote};
use super::object::ObjectKey;
use super::reason::{Reason, Word};
use super::rules::{Effect, RuleFacts};
use super::verdict::{Done, Outcome, Statement, Suspect, Verdict};
use crate::kinds::{CustomResourceDefinition, ObjectMeta};

/// What a definition declares of the status of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StatusSchema {
    /// The kind has a status at all.
    pub(super) has_status: bool,
    /// It declares conditions, an observed generation or a phase: its controller should write one.
    pub(super) reports: bool,
    /// It declares an integer `status.observedGeneration`.
    pub(super) observes: bool,
}

impl StatusSchema {
    /// Reads what `definition` declares for `version`; `None` when it does not have that version.
    #[must_use]
    pub(super) fn of(definition: &CustomResourceDefinition, version: &str) -> Option<Self> {
        let version = definition.spec.versions.iter().find(|candidate| candidate.name == version)?;
        let properties = version.status_schema.get("properties");
        let declares = |key: &str| properties.is_some_and(|properties| properties.get(key).is_some());
        let open = version.status_schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        let observed = properties.and_then(|properties| properties.pointer("/observedGeneration/type"));
        Some(Self {
            has_status: version.subresources.status.is_some() && (properties.is_some() || open),
            reports: ["conditions", "observedGeneration", "phase"].iter().any(|key| declares(key)),
            observes: observed.and_then(Value::as_str) == Some("integer"),
        })
    }
}

/// One custom resource, and those of its conditions that belong to its spec.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) meta: &'a ObjectMeta,
    /// The object without its metadata.
    pub(super) value: &'a Value,
    pub(super) current: Vec<Entry<'a>>,
    pub(super) has_conditions: bool,
    pub(super) schema: Option<StatusSchema>,
    pub(super) rules: &'a Effect,
    pub(super) api_version: &'a str,
    pub(super) now: Timestamp,
}

impl Subject<'_> {
    fn facts(&self) -> RuleFacts<'_> {
        RuleFacts {
            meta: self.meta,
            api_version: self.api_version,
            kind: &self.key.kind,
            value: self.value,
            conditions: &self.current,
            now: self.now,
        }
    }
}

/// Judges a custom resource whose status has passed the gate, or has none.
pub(super) fn assess(subject: &Subject<'_>) -> Outcome {
    let mut outcome = judge(subject);
    for suspect in &mut outcome.suspects {
        suspect.holds = subject.rules.hold(suspect.word.as_str()).or(suspect.holds);
    }
    with_own_done(outcome, subject.rules, &subject.facts())
}

/// Lays callers' own words for done over what the rules found: nothing else is done then, and failures stay.
pub(super) fn with_own_done(mut outcome: Outcome, rules: &Effect, facts: &RuleFacts<'_>) -> Outcome {
    let Some((is_done, expression, warnings)) = rules.done(facts) else { return outcome };
    outcome.warnings.extend(warnings);
    outcome.read(expression.clone(), is_done);
    if outcome.suspects.iter().any(|suspect| suspect.becomes() == Verdict::Failed) {
        return outcome;
    }
    if is_done {
        let (notes, warnings, reads) = (outcome.notes, outcome.warnings, outcome.reads);
        outcome = Outcome { notes, warnings, reads, ..Outcome::default() };
        outcome.done("--done-when", format!("{expression} is true"));
    } else if outcome.complete.take().is_some() || outcome.progressing.is_empty() {
        outcome.suspects.clear();
        outcome.wait("--done-when", Reason::DoneWhen, format!("{expression} is not true yet"));
    }
    outcome
}

fn judge(subject: &Subject<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let (said, warnings) = subject.rules.when(&subject.facts());
    outcome.warnings.extend(warnings);
    if let Some(said) = said {
        outcome.read(&said.condition, true);
        answer(subject, said.rule, said.verdict, &said.reason, &said.message, &mut outcome);
        return outcome;
    }
    if let Some(path) = rests(subject).filter(|_| !subject.rules.ignores_paused()) {
        outcome.read(&path, true);
        outcome.suspended = Some(Statement::new("WD-Q2", Reason::Paused, format!("{path} is set")));
        return outcome;
    }
    let Some(status) = subject.value.get("status").filter(|status| status.is_object()) else {
        without_status(subject, &mut outcome);
        return outcome;
    };
    if status.as_object().is_some_and(serde_json::Map::is_empty) {
        if let Some((verdict, rule)) = subject.rules.empty_status() {
            answer(subject, rule.to_owned(), verdict, "", "the status is empty", &mut outcome);
            return outcome;
        }
        let message = "the status is there and says nothing";
        outcome.suspects.push(Suspect::new("WD-Q0", Reason::EmptyStatus, subject.key, message));
        return outcome;
    }
    let ballots = gather(subject, status, &mut outcome);
    decide(subject, &ballots, &mut outcome);
    outcome
}

/// A rule has the answer itself.
fn answer(subject: &Subject<'_>, rule: String, verdict: Verdict, word: &str, message: &str, outcome: &mut Outcome) {
    let message = if message.is_empty() { format!("rule {rule}") } else { message.to_owned() };
    let mut suspect = |rule: String, reason: Reason, becomes: Verdict| {
        let mut suspect = Suspect::new(rule, Word::said(reason, word), subject.key, message.clone());
        suspect.becomes = Some(becomes);
        outcome.suspects.push(suspect);
    };
    match verdict {
        Verdict::Complete => outcome.done(rule, message),
        Verdict::Suspended => {
            outcome.suspended = Some(Statement::new(rule, Word::said(Reason::Suspended, word), message));
        }
        Verdict::Failed => suspect(rule, Reason::ConditionFailed, verdict),
        Verdict::Missing => suspect(rule, Reason::WordFailed, verdict),
        Verdict::Unverifiable => suspect(rule, Reason::StateUnknown, verdict),
        Verdict::Progressing | Verdict::Terminating | Verdict::Superseded => {
            outcome.wait(rule, Word::said(Reason::ConditionProgress, word), message);
        }
    }
}

/// Returns only the failures among conditions that are themselves proven, for a status that lags behind the spec.
pub(super) fn proven_failures(subject: &Subject<'_>) -> Vec<Suspect> {
    let mut outcome = Outcome::default();
    let votes: Vec<Vote> =
        subject.current.iter().filter_map(|entry| votes::of_condition(entry).ok().flatten()).collect();
    if votes.iter().any(|vote| matches!(vote.ballot, Ballot::Fail | Ballot::SoftFail)) {
        decide(subject, &votes, &mut outcome);
    }
    outcome.suspects.retain(|suspect| suspect.becomes() == Verdict::Failed);
    outcome.suspects
}

/// Returns the text of what fails, for a status that nothing ties to the spec.
pub(super) fn failing_text(subject: &Subject<'_>) -> Option<String> {
    proven_failures(subject).into_iter().next().map(|suspect| suspect.message)
}

fn without_status(subject: &Subject<'_>, outcome: &mut Outcome) {
    if let Some((verdict, rule)) = subject.rules.no_status() {
        answer(subject, rule.to_owned(), verdict, "", "there is no status", outcome);
        return;
    }
    match subject.schema {
        Some(schema) if !schema.has_status => {
            outcome.complete = Some(Done {
                rule: "WD-Q0a".into(),
                word: Some(Reason::NothingToObserve.into()),
                message: "its definition has no status".to_owned(),
            });
        }
        Some(schema) if schema.reports => {
            let message = format!("the controller of {} has written no status", plural(subject.key));
            outcome.suspects.push(Suspect::new("WD-Q0b", Reason::NoStatusYet, subject.key, message));
        }
        _ => outcome.wait("WD-Q0c", Reason::NoStatusYet, "no status and no observedGeneration yet"),
    }
}

/// Returns `certificates.cert-manager.io`-like words for messages.
fn plural(key: &ObjectKey) -> String {
    format!("{}.{}", key.kind, key.group)
}

fn gather(subject: &Subject<'_>, status: &Value, outcome: &mut Outcome) -> Vec<Vote> {
    let mut votes = Vec::new();
    for entry in &subject.current {
        match votes::of_condition(entry) {
            Ok(vote) => votes.extend(vote),
            Err(word) => outcome.warn(word, entry.message),
        }
    }
    votes.extend(votes::of_missing(subject.value, &subject.current));
    votes.extend(votes::of_labels(&subject.meta.labels));
    for (name, rule) in subject.rules.required() {
        if subject.current.iter().all(|entry| entry.name != name) {
            votes.push(votes::missing(
                &format!("status.conditions[{name}]"),
                &format!("no condition {name} yet (rule {rule})"),
            ));
        }
    }
    let (said, spoken_for) = votes::of_rules(status, subject.rules);
    if !subject.rules.ignores_words() {
        votes.extend(votes::of_words(status).into_iter().filter(|vote| !spoken_for.contains(&vote.path)));
    }
    votes.extend(said);
    let counted = counters::of_counters(subject.value.get("spec"), status);
    let counted = counted.into_iter().filter(|vote| !spoken_for.contains(&vote.path));
    let counted = if subject.rules.ignores_counters() { Vec::new() } else { counted.collect::<Vec<_>>() };
    let says_yes = votes.iter().any(|vote| vote.ballot == Ballot::Summary);
    votes.extend(counted.into_iter().filter(|vote| !(says_yes && counters::is_bare_replicas(vote))));

    votes.extend(counters::of_sides(status));

    let weak_words = |everywhere: bool| {
        let all = if subject.rules.ignores_nested() { Vec::new() } else { votes::of_weak_words(status, everywhere) };
        all.into_iter().filter(|vote| !spoken_for.contains(&vote.path))
    };
    let quiet = votes.iter().all(|vote| matches!(vote.ballot, Ballot::Counters | Ballot::Step | Ballot::Other));
    let fails = |vote: &Vote| matches!(vote.ballot, Ballot::Fail | Ballot::SoftFail);
    let is_progress = |vote: &Vote| matches!(vote.ballot, Ballot::Progress { .. });
    let works = votes.iter().any(is_progress);
    if quiet {
        votes.extend(weak_words(false));
    } else if works && !votes.iter().any(fails) && !subject.has_conditions {
        votes.extend(weak_words(false).filter(fails));
    } else if only_runs(&votes) && !subject.has_conditions {
        // Running is true of every service, also in the middle of a change.
        votes.extend(weak_words(true).filter(|vote| fails(vote) || is_progress(vote)));
    }
    votes.sort_by(|a, b| (a.ballot, &a.path, &a.word, &a.message).cmp(&(b.ballot, &b.path, &b.word, &b.message)));
    votes
}

/// Nothing but a word for running, and counters, has spoken.
fn only_runs(votes: &[Vote]) -> bool {
    votes.iter().all(|vote| matches!(vote.ballot, Ballot::Running | Ballot::Counters | Ballot::Other))
}

/// The decision table: the first row that fits.
fn decide(subject: &Subject<'_>, votes: &[Vote], outcome: &mut Outcome) {
    for vote in votes.iter().filter(|vote| vote.ballot != Ballot::Other) {
        outcome.read(&vote.path, &vote.value);
    }
    let first = |wanted: &[Ballot]| votes.iter().find(|vote| wanted.contains(&vote.ballot));
    let has = |wanted: Ballot| first(&[wanted]).is_some();
    let progress = [Ballot::Progress { active: true }, Ballot::Progress { active: false }];
    let active = first(&progress[..1]);

    if let Some(vote) = first(&[Ballot::Suspend]) {
        outcome.suspended = Some(Statement::new("WD-Q2", Word::said(Reason::Suspended, &vote.word), &vote.message));
    } else if let Some(vote) = first(&[Ballot::Missing]) {
        let word = Word::said(Reason::WordFailed, &vote.word);
        let mut suspect = Suspect::new("WD-Q3", word, subject.key, &vote.message);
        suspect.becomes = Some(Verdict::Missing);
        outcome.suspects.push(suspect);
    } else if let (Some(vote), false) = (active.filter(|_| has(Ballot::SoftFail)), has(Ballot::Fail)) {
        outcome.wait("WD-Q4", Word::said(Reason::ConditionProgress, &vote.word), &vote.message);
        outcome.flips.push(format!("{} no longer True", vote.path));
    } else if first(&[Ballot::Fail, Ballot::SoftFail]).is_some() {
        fail(subject, votes, outcome);
    } else if let Some(vote) = first(&[Ballot::Block]) {
        unverifiable("WD-Q6", Reason::UnreadableCondition, vote, subject, outcome);
    } else if let Some(vote) =
        first(&progress).or_else(|| first(&[Ballot::MaybeProgress]).filter(|_| !is_finished(subject)))
    {
        outcome.wait("WD-Q7", Word::said(Reason::ConditionProgress, &vote.word), &vote.message);
        outcome.flips.push(format!("a change of {}", vote.path));
    } else if let Some(vote) = first(&[Ballot::Unknown]) {
        unverifiable("WD-Q8", Reason::StateUnknown, vote, subject, outcome);
    } else if let (Some(vote), false) = (first(&[Ballot::Running]), has(Ballot::Summary)) {
        if ends(subject.value) {
            outcome.wait("WD-Q9", Reason::Running, &vote.message);
        } else {
            outcome.done("WD-Q9", &vote.message);
        }
    } else if let Some(vote) = first(&[Ballot::Running, Ballot::Summary, Ballot::Word, Ballot::Done]) {
        outcome.done("WD-Q10", &vote.message);
    } else if let Some(vote) = first(&[Ballot::Odd]) {
        unverifiable("WD-Q11", Reason::UnknownWord, vote, subject, outcome);
    } else if let Some(vote) = first(&[Ballot::Counters, Ballot::Weak]) {
        outcome.done("WD-Q12", &vote.message);
    } else if let Some(vote) = first(&[Ballot::Step]) {
        if vote.reported {
            outcome.done("WD-Q13", &vote.message);
        } else {
            let message = format!("{}, and no condition says that all is done", vote.message);
            outcome.wait("WD-Q13", Reason::NoSummaryCondition, message);
        }
    } else if let Some((verdict, rule)) = subject.rules.otherwise() {
        answer(subject, rule.to_owned(), verdict, "", "nothing says otherwise", outcome);
    } else if !subject.has_conditions {
        let message = "nothing in the status is known to mean anything";
        outcome.suspects.push(Suspect::new("WD-Q15", Reason::NothingKnown, subject.key, message));
    } else if subject.current.is_empty() {
        outcome.wait("WD-Q14", Reason::NoCondition, "conditions are there, and none can be read");
    } else {
        let names: BTreeSet<&str> = subject.current.iter().map(|entry| entry.name).collect();
        let names: Vec<&str> = names.into_iter().take(5).collect();
        let message = format!("no condition is known to say whether it is done: {}", names.join(", "));
        outcome.wait("WD-Q14", Reason::NoKnownCondition, message);
    }
}

fn fail(subject: &Subject<'_>, votes: &[Vote], outcome: &mut Outcome) {
    for vote in votes.iter().filter(|vote| matches!(vote.ballot, Ballot::Fail | Ballot::SoftFail)) {
        let word = Word::said(vote.row, &vote.word);
        let since = subject.current.iter().find(|entry| entry.path == vote.path).and_then(|entry| entry.changed_at);
        outcome.suspects.push(Suspect::new("WD-Q5", word, subject.key, &vote.message).since(since));
        outcome.flips.push(format!("a change of {}", vote.path));
    }
}

fn unverifiable(rule: &'static str, reason: Reason, vote: &Vote, subject: &Subject<'_>, outcome: &mut Outcome) {
    outcome.suspects.push(Suspect::new(rule, reason, subject.key, &vote.message));
}

/// Later steps of something finished may stay Unknown.
fn is_finished(subject: &Subject<'_>) -> bool {
    let finished = ["Complete", "Completed", "Succeeded", "Finished"];
    subject.current.iter().any(|entry| finished.contains(&entry.name) && entry.status == "True")
}

/// Returns whether it is something that ends, so that running is not done.
fn ends(value: &Value) -> bool {
    let has = |part: &str, keys: &[&str]| {
        value.get(part).is_some_and(|part| keys.iter().any(|key| part.get(*key).is_some_and(|value| !value.is_null())))
    };
    has(
        "status",
        &[
            "startTime",
            "startedAt",
            "startTimestamp",
            "completionTime",
            "completionTimestamp",
            "finishedAt",
            "completedAt",
            "endTime",
        ],
    ) || has(
        "spec",
        &["backoffLimit", "activeDeadlineSeconds", "completions", "ttlSecondsAfterFinished", "ttlStrategy", "duration"],
    )
}

/// Returns where the object says that somebody wants it to stand still.
fn rests(subject: &Subject<'_>) -> Option<String> {
    const FLAGS: [&str; 4] = ["paused", "pause", "suspend", "suspended"];
    fn flag(value: &Value, path: &str, depth: u8) -> Option<String> {
        let map = value.as_object()?;
        let here = FLAGS.iter().find(|key| map.get(**key) == Some(&Value::Bool(true)));
        here.map(|key| format!("{path}.{key}")).or_else(|| {
            let inner = map.iter().filter(|(key, _)| {
                depth > 0
                    && (key.ends_with("Strategy") || matches!(key.as_str(), "strategy" | "rollingUpdate" | "canary"))
            });
            inner.into_iter().find_map(|(key, inner)| flag(inner, &format!("{path}.{key}"), depth - 1))
        })
    }
    let annotation = subject.meta.annotations.iter().find(|(key, value)| {
        let last = key.rsplit('/').next().unwrap_or(key);
        (FLAGS.contains(&last) && *value == "true")
            || (last.starts_with("reconcil") && matches!(value.as_str(), "disabled" | "false"))
    });
    flag(subject.value.get("spec")?, "spec", 3)
        .or_else(|| annotation.map(|(key, _)| format!("metadata.annotations[{key}]")))
}
