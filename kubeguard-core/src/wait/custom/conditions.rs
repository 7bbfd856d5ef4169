//! Conditions as controllers really write them, read from untyped JSON.

use jiff::Timestamp;
use serde_json::Value;

use super::roles::role;
use super::words::{WordClass, class};
use crate::wait::rules::{Effect, ReasonClass, Role};
use crate::wait::verdict::Note;

/// Lists whose entries carry conditions of their own, one entry per reporter.
const REPORTERS: [&str; 5] = ["parents", "ancestors", "controllers", "ingress", "listeners"];
const OBSERVED: &str = "observedGeneration";

/// How a condition relates to the object's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::wait) enum Currency {
    /// It names an older generation.
    Stale,
    /// It names no generation, or one that cannot be compared.
    Unnumbered,
    /// It names the object's generation.
    Proven,
}

/// One entry of a list of conditions.
#[derive(Debug, Clone)]
pub(in crate::wait) struct Entry<'a> {
    /// Dotted path, as in `status.conditions[Ready]`.
    pub(in crate::wait) path: String,
    /// Its type.
    pub(in crate::wait) name: &'a str,
    /// Its status: `True`, `False`, `Unknown`, or any other text.
    pub(in crate::wait) status: String,
    pub(in crate::wait) reason: &'a str,
    pub(in crate::wait) message: &'a str,
    pub(in crate::wait) severity: &'a str,
    pub(in crate::wait) observed: Option<i64>,
    pub(in crate::wait) currency: Currency,
    /// The newest of its times.
    pub(in crate::wait) changed_at: Option<Timestamp>,
    /// It stands in the entry of a reporter, not in the object's own list.
    pub(in crate::wait) reported: bool,
    /// The part it plays, by rule or by the words of its type.
    pub(in crate::wait) role: Role,
    /// What its reason means, by rule or by its words.
    pub(in crate::wait) class: WordClass,
    /// A rule says that its reason means done.
    pub(in crate::wait) is_done: bool,
}

impl Entry<'_> {
    /// Returns whether it speaks for the whole object.
    pub(in crate::wait) fn is_summary(&self) -> bool {
        !self.reported && self.role == Role::Summary
    }
}

/// Every condition of a status, and what was wrong with the lists.
#[derive(Debug, Default)]
pub(in crate::wait) struct Conditions<'a> {
    pub(in crate::wait) entries: Vec<Entry<'a>>,
    /// `status.conditions` is there.
    pub(in crate::wait) has_own: bool,
    /// A list of reporters is there; each reporter with whether one of its conditions is current.
    pub(in crate::wait) reporters: Option<Vec<Reporter>>,
    pub(in crate::wait) notes: Vec<Note>,
}

/// One reporter.
#[derive(Debug, Clone)]
pub(in crate::wait) struct Reporter {
    /// Dotted path, as in `status.parents[0]`.
    pub(in crate::wait) path: String,
    /// At least one of its conditions is current.
    pub(in crate::wait) current: bool,
}

/// Reads the conditions of `status` of an object of `generation`.
pub(in crate::wait) fn conditions<'a>(status: &'a Value, generation: Option<i64>, rules: &Effect) -> Conditions<'a> {
    let mut found = Conditions::default();
    if let Some(own) = status.get("conditions") {
        found.has_own = true;
        read_list(own, "status.conditions", (generation, false), rules, &mut found);
    }
    for list in REPORTERS {
        let Some(reporters) = status.get(list).and_then(Value::as_array) else { continue };
        let silent = reporters.iter().all(|reporter| reporter.get("conditions").is_none());
        if matches!(list, "ingress" | "listeners") && silent {
            // Load balancers list addresses under this name, others ports, not reporters.
            continue;
        }
        let mut known = Vec::new();
        for (at, reporter) in reporters.iter().enumerate() {
            let path = format!("status.{list}[{at}]");
            let from = found.entries.len();
            if let Some(conditions) = reporter.get("conditions") {
                read_list(conditions, &format!("{path}.conditions"), (generation, true), rules, &mut found);
            }
            let current = found.entries.iter().skip(from).any(|entry| entry.currency != Currency::Stale);
            known.push(Reporter { path, current });
        }
        found.reporters.get_or_insert_default().extend(known);
    }
    found
}

fn read_list<'a>(
    list: &'a Value,
    path: &str,
    (generation, reported): (Option<i64>, bool),
    rules: &Effect,
    found: &mut Conditions<'a>,
) {
    let Some(list) = list.as_array() else {
        found.notes.push(Note::new("Malformed", path));
        return;
    };
    for (at, value) in list.iter().enumerate() {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("type");
        if name.is_empty() {
            found.notes.push(Note::new("Malformed", format!("{path}[{at}]")));
            continue;
        }
        let observed = value.get(OBSERVED).and_then(number).filter(|observed| *observed > 0);
        let currency = match (observed, generation) {
            (Some(observed), Some(generation)) if observed < generation => Currency::Stale,
            (Some(observed), Some(generation)) if observed == generation => Currency::Proven,
            _ => Currency::Unnumbered,
        };
        let times = ["lastTransitionTime", "lastUpdateTime", "lastProbeTime", "lastHeartbeatTime"];
        let status = status_text(value.get("status"));
        let meaning = rules.condition(name, &status, text("reason"));
        found.entries.push(Entry {
            path: format!("{path}[{name}]"),
            name,
            role: meaning.role.unwrap_or_else(|| role(name)),
            class: match meaning.reason {
                Some(ReasonClass::Failed) => WordClass::Fail,
                Some(ReasonClass::Progressing) => WordClass::Progress,
                Some(ReasonClass::Suspended) => WordClass::Suspend,
                Some(ReasonClass::Complete) => WordClass::Done,
                None => class(text("reason")),
            },
            is_done: meaning.reason == Some(ReasonClass::Complete),
            status,
            reason: text("reason"),
            message: text("message"),
            severity: text("severity"),
            observed,
            currency,
            changed_at: times.iter().filter_map(|key| text(key).parse().ok()).max(),
            reported,
        });
    }
}

/// Returns `True`, `False` or `Unknown` for what means that in any spelling, else the text itself.
fn status_text(status: Option<&Value>) -> String {
    match status {
        Some(Value::Bool(true)) => "True".to_owned(),
        Some(Value::Bool(false)) => "False".to_owned(),
        Some(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" => "True".to_owned(),
            "false" => "False".to_owned(),
            "unknown" | "" => "Unknown".to_owned(),
            _ => text.clone(),
        },
        None | Some(Value::Null) => "Unknown".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// Returns a whole number, also one written as text.
pub(in crate::wait) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
