//! The parts of a status vote; each vote has a class, and the order of the parts cannot matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::conditions::Entry;
use super::words::{WordClass, camel, class, is_camel, split};
use crate::wait::reason::Reason;
use crate::wait::rules::{Effect, Role, Spoken};
use crate::wait::verdict::Verdict;

/// What one part of a status says, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ballot {
    /// Somebody wants it to stand still.
    Suspend,
    /// The outside thing behind the object is not there.
    Missing,
    /// It failed.
    Fail,
    /// It failed, unless work is actively going on.
    SoftFail,
    /// A summary condition that cannot be read.
    Block,
    /// Work is going on; active work protects from a soft failure.
    Progress {
        /// Work is being done this moment.
        active: bool,
    },
    /// A later step may stay Unknown once something is finished.
    MaybeProgress,
    /// The controller does not know.
    Unknown,
    /// Running.
    Running,
    /// A summary condition says yes.
    Summary,
    /// A word says yes.
    Word,
    /// A condition says yes.
    Done,
    /// A word that is not known.
    Odd,
    /// Counters say yes.
    Counters,
    /// A word somewhere in the status says yes.
    Weak,
    /// A step is done.
    Step,
    /// A condition that says nothing by itself.
    Other,
}

/// One vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) ballot: Ballot,
    /// Where it was read, as in `status.conditions[Ready]` or `status.phase`.
    pub(super) path: String,
    /// The CamelCase word to show.
    pub(super) word: String,
    pub(super) message: String,
    /// The value that was read.
    pub(super) value: String,
    /// The row that gives hold and remedy if it fails.
    pub(super) row: Reason,
    pub(super) reported: bool,
}

/// Messages are searched no further than this: a longer one says nothing new.
const SEARCHED: usize = 4096;

static FAILING: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b(fail(ed|ure|s|ing)?|errors?|errored|exception|throwable|cannot|can't|could not|unable to|invalid|denied|forbidden|unauthorized|does not exist|not found|no such|refused|exceeded|timed out|timeout|unreachable|unsupported|rejected|conflict|unschedulable|quota|terminated unexpectedly|out of memory)\b",
    )
    .ok()
});

fn head(message: &str) -> &str {
    let end = (0..=SEARCHED.min(message.len())).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    message.get(..end).unwrap_or_default()
}

fn is_failing(message: &str) -> bool {
    let message = head(message);
    let Some(failing) = FAILING.as_ref() else { return false };
    failing.is_match(message) || message.split_whitespace().any(|word| failing.is_match(&split(word).join(" ")))
}

fn starts_failing(message: &str) -> bool {
    let message = head(message.trim_start()).to_lowercase();
    ["error", "failed", "fatal", "cannot", "could not", "unable"].iter().any(|start| message.starts_with(start))
}

/// Returns the vote of a condition, if it has one, and a warning's word otherwise.
pub(super) fn of_condition(entry: &Entry<'_>) -> Result<Option<Vote>, String> {
    let reason = entry.class;
    let word = if is_camel(entry.reason) { entry.reason.to_owned() } else { camel(entry.name) };
    let is_summary = entry.is_summary();
    let ballot = match (entry.role, entry.status.as_str()) {
        (Role::Warn, "True") => return Err(word),
        (Role::Summary, "True") if is_summary => Some(Ballot::Summary),
        (Role::Step, "True") => Some(Ballot::Step),
        (Role::Summary | Role::Positive, "True") => Some(Ballot::Done),
        (Role::Summary | Role::Positive | Role::Step, "False") => Some(refused(entry, reason)),
        (Role::Summary | Role::Positive | Role::Step, "Unknown") => Some(match reason {
            WordClass::Suspend => Ballot::Suspend,
            WordClass::Fail if is_summary => Ballot::SoftFail,
            _ => Ballot::MaybeProgress,
        }),
        (Role::Negative, "True") => Some(if is_harmless(entry) || reason == WordClass::Progress {
            Ballot::Progress { active: false }
        } else {
            Ballot::Fail
        }),
        (Role::Progress, "True") => Some(match reason {
            WordClass::Suspend => Ballot::Suspend,
            WordClass::Done => Ballot::Done,
            _ => Ballot::Progress { active: !is_retry(entry.reason) },
        }),
        (Role::Progress | Role::Neutral, "False") if reason == WordClass::Fail && entry.severity != "Info" => {
            Some(Ballot::SoftFail)
        }
        (Role::Progress, "Unknown") => Some(match reason {
            WordClass::Suspend => Ballot::Suspend,
            WordClass::Done if entry.is_done => Ballot::Done,
            _ => Ballot::Progress { active: false },
        }),
        (Role::Suspend, "True") => Some(Ballot::Suspend),
        (Role::Warn | Role::Info | Role::Ignore, _)
        | (Role::Negative | Role::Suspend, "False" | "Unknown")
        | (Role::Progress, "False") => None,
        (Role::Neutral, "True" | "False" | "Unknown") => Some(Ballot::Other),
        (_, text) => match class(text) {
            WordClass::Fail | WordClass::Progress => Some(Ballot::Progress { active: false }),
            _ if is_summary => Some(Ballot::Block),
            _ => None,
        },
    };
    let row = match split(entry.name).last().map(String::as_str) {
        Some("stalled") => Reason::Stalled,
        Some("terminal") => Reason::Terminal,
        _ if entry.reported => Reason::ParentRejected,
        _ => Reason::ConditionFailed,
    };
    Ok(ballot.map(|ballot| Vote {
        ballot,
        path: entry.path.clone(),
        word,
        message: said(entry),
        value: format!(
            "{}{}",
            entry.status,
            if entry.reason.is_empty() { String::new() } else { format!(" ({})", entry.reason) }
        ),
        row,
        reported: entry.reported,
    }))
}

/// Returns votes for conditions that must be there and are not.
///
/// A parent or ancestor that reports on the object says whether it accepts it (Gateway API, `PolicyAncestorStatus`); a
/// managed resource, known by `spec.forProvider`, says `Ready` once the thing outside is there, and `Synced` before
/// that (Crossplane Resource Model).
pub(super) fn of_missing(object: &Value, current: &[Entry<'_>]) -> Vec<Vote> {
    let mut votes = Vec::new();
    for list in ["status.parents[", "status.ancestors["] {
        let mut reporters: BTreeMap<&str, bool> = BTreeMap::new();
        for entry in current.iter().filter(|entry| entry.path.starts_with(list)) {
            let end = entry.path.find("].").map_or(entry.path.len(), |at| at + 1);
            let reporter = entry.path.get(..end).unwrap_or(&entry.path);
            *reporters.entry(reporter).or_default() |=
                matches!(entry.role, Role::Summary | Role::Positive | Role::Step);
        }
        for (reporter, _) in reporters.iter().filter(|(_, accepts)| !**accepts) {
            let message = format!("{reporter} does not say whether it accepts");
            votes.push(Vote { word: "ParentNotAccepted".to_owned(), ..missing(reporter, &message) });
        }
    }
    let managed = object.pointer("/spec/forProvider").is_some_and(Value::is_object);
    if managed && !current.is_empty() && current.iter().all(|entry| entry.name != "Ready") {
        votes.push(missing("status.conditions[Ready]", "no condition Ready yet"));
    }
    votes
}

/// The vote of something that must be there and is not.
pub(super) fn missing(path: &str, message: &str) -> Vote {
    let word = Reason::MissingCondition.word().to_owned();
    vote(Ballot::Progress { active: false }, path.to_owned(), word, message, "absent")
}

/// A positive condition that is False.
fn refused(entry: &Entry<'_>, reason: WordClass) -> Ballot {
    if is_harmless(entry) {
        return Ballot::Progress { active: false };
    }
    if entry.severity == "Error" {
        return Ballot::SoftFail;
    }
    match reason {
        WordClass::Suspend => Ballot::Suspend,
        WordClass::Done if entry.is_done => Ballot::Done,
        WordClass::Fail => Ballot::SoftFail,
        WordClass::Progress if starts_failing(entry.message) => Ballot::SoftFail,
        WordClass::Progress => Ballot::Progress { active: false },
        _ if entry.reported => Ballot::Fail,
        _ if is_failing(entry.message) => Ballot::SoftFail,
        _ => Ballot::Progress { active: false },
    }
}

fn is_harmless(entry: &Entry<'_>) -> bool {
    matches!(entry.severity, "Info" | "Warning")
}

fn is_retry(reason: &str) -> bool {
    split(reason).iter().any(|word| matches!(word.as_str(), "retry" | "retrying" | "backoff"))
}

fn said(entry: &Entry<'_>) -> String {
    let head = format!("{}={}", entry.name, entry.status);
    if entry.message.is_empty() { head } else { format!("{head}: {}", entry.message) }
}

const WORDS: [&str; 9] = [
    "phase",
    "state",
    "status",
    "health",
    "currentStatus",
    "currentState",
    "printableStatus",
    "overallStatus",
    "compliant",
];
const TEXTS: [&str; 5] = ["failureMessage", "failureReason", "errorMessage", "errorDescription", "lastError"];

/// Returns the votes of texts that rules name, and the paths that they have spoken for.
pub(super) fn of_rules(status: &Value, rules: &Effect) -> (Vec<Vote>, BTreeSet<String>) {
    let mut votes = Vec::new();
    let mut spoken_for = BTreeSet::new();
    for (path, text, spoken, rule) in rules.words(status) {
        if let Spoken::Verdict(verdict) = spoken {
            let ballot = match verdict {
                Verdict::Complete => Ballot::Word,
                Verdict::Failed => Ballot::Fail,
                Verdict::Suspended => Ballot::Suspend,
                Verdict::Missing => Ballot::Missing,
                Verdict::Unverifiable => Ballot::Unknown,
                _ => Ballot::Progress { active: false },
            };
            let key = path.rsplit('.').next().unwrap_or(&path);
            let message = format!("{key} is {text:?} (rule {rule})");
            votes.push(vote(ballot, path.clone(), camel(&text), &message, &text));
        }
        spoken_for.insert(path);
    }
    (votes, spoken_for)
}

/// Returns the votes of labels that carry a state, as controllers write them to select by: `example.org/rollout-state`.
///
/// A label that says yes is no vote: labels are copied, and nobody says to which spec they belong.
pub(super) fn of_labels(labels: &BTreeMap<String, String>) -> Vec<Vote> {
    let states = labels.iter().filter(|(key, _)| {
        let last = key.split_once('/').and_then(|(_, name)| split(name).pop());
        last.is_some_and(|last| matches!(last.as_str(), "state" | "status" | "phase" | "health"))
    });
    let votes = states.map(|(key, text)| of_word(&format!("metadata.labels[{key}]"), text));
    votes.filter(|vote| matches!(vote.ballot, Ballot::Fail | Ballot::Progress { .. })).collect()
}

/// Returns the votes of the words and texts of a status.
pub(super) fn of_words(status: &Value) -> Vec<Vote> {
    let mut votes = Vec::new();
    let Some(map) = status.as_object() else { return votes };
    for key in WORDS {
        if let Some(text) = map.get(key).and_then(Value::as_str) {
            votes.push(of_word(&format!("status.{key}"), text));
        }
    }
    for (key, inner) in map {
        if let Some(text) = inner.get("health").and_then(Value::as_str) {
            votes.push(of_word(&format!("status.{key}.health"), text));
        }
    }
    let error = map.get("error");
    let error = error.and_then(Value::as_str).or_else(|| error?.get("message")?.as_str()).map(|text| ("error", text));
    let texts = TEXTS.iter().filter_map(|key| Some((*key, map.get(*key)?.as_str()?)));
    for (key, text) in texts.chain(error).filter(|(_, text)| !text.is_empty()) {
        let word = if is_camel(text) { text.to_owned() } else { camel(key) };
        votes.push(vote(Ballot::Fail, format!("status.{key}"), word, text, text));
    }
    for (keys, no) in [
        (["ready", "readyToUse", "", "", "", ""], Ballot::Progress { active: false }),
        (["success", "succeeded", "pass", "passed", "healthy", "valid"], Ballot::Fail),
    ] {
        for key in keys {
            let Some(flag) = map.get(key).and_then(Value::as_bool) else { continue };
            let ballot = if flag { Ballot::Word } else { no };
            let word = if flag { camel(key) } else { camel(&format!("not {key}")) };
            votes.push(vote(ballot, format!("status.{key}"), word, &format!("{key}: {flag}"), &flag.to_string()));
        }
    }
    votes
}

fn of_word(path: &str, text: &str) -> Vote {
    let ballot = match class(text) {
        WordClass::Suspend => Ballot::Suspend,
        WordClass::Missing => Ballot::Missing,
        WordClass::Fail => Ballot::Fail,
        WordClass::Progress | WordClass::NotDone => Ballot::Progress { active: false },
        WordClass::Done => Ballot::Word,
        WordClass::Running => Ballot::Running,
        WordClass::Unknown => Ballot::Unknown,
        WordClass::Nothing => Ballot::Odd,
    };
    let key = path.rsplit('.').next().unwrap_or(path);
    vote(ballot, path.to_owned(), camel(text), &format!("{key} is {text:?}"), text)
}

pub(super) fn vote(ballot: Ballot, path: String, word: String, message: &str, value: &str) -> Vote {
    Vote {
        ballot,
        path,
        word,
        message: message.to_owned(),
        value: value.to_owned(),
        row: Reason::WordFailed,
        reported: false,
    }
}

/// Keys that speak of the past or of steps.
pub(super) fn is_history(key: &str) -> bool {
    matches!(split(key).first().map(String::as_str), Some("last" | "previous" | "history" | "stage" | "step"))
}

/// Returns the votes of words that stand deeper in the status; asked only when nothing better has spoken.
///
/// `everywhere` also reads longer keys below the first level, as in `brokers.0.configurationState`.
pub(super) fn of_weak_words(status: &Value, everywhere: bool) -> Vec<Vote> {
    let mut votes = Vec::new();
    if let Some(map) = status.as_object() {
        for (key, value) in map {
            if is_named_so(key) && !WORDS.contains(&key.as_str()) && !is_history(key) {
                votes.extend(value.as_str().and_then(|text| weak(&format!("status.{key}"), text)));
            }
        }
    }
    deeper("status", status, 2, (true, everywhere), &mut votes);
    votes
}

/// Returns whether a longer key names a state, as in `certificateStatus`.
fn is_named_so(key: &str) -> bool {
    ["Status", "State", "Phase", "Health"].iter().any(|end| key.ends_with(end))
}

fn deeper(path: &str, value: &Value, depth: u8, (top, everywhere): (bool, bool), votes: &mut Vec<Vote>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let path = format!("{path}.{key}");
                if is_history(key) || (top && key == "conditions") {
                    continue;
                }
                if !top
                    && (matches!(key.as_str(), "phase" | "state" | "status" | "health")
                        || (everywhere && is_named_so(key)))
                    && let Some(text) = inner.as_str()
                {
                    votes.extend(weak(&path, text));
                } else if depth > 0 {
                    deeper(&path, inner, depth - 1, (false, everywhere), votes);
                }
            }
        }
        // An entry of a list stands on the level of the list.
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate().filter(|(_, inner)| inner.is_object()) {
                deeper(&format!("{path}[{at}]"), inner, depth, (false, everywhere), votes);
            }
        }
        _ => {}
    }
}

fn weak(path: &str, text: &str) -> Option<Vote> {
    let vote = of_word(path, text);
    let ballot = match vote.ballot {
        Ballot::Odd | Ballot::Unknown => return None,
        Ballot::Missing => Ballot::Progress { active: false },
        Ballot::Word | Ballot::Running => Ballot::Weak,
        ballot => ballot,
    };
    Some(Vote { ballot, ..vote })
}
