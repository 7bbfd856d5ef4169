//! The counters of a status vote: how many are wanted, how many are there, and which of two sides it has reached.

use serde_json::{Map, Value};

use super::conditions::number;
use super::votes::{Ballot, Vote, is_history, vote};
use super::words::camel;

const WANTED: [&str; 5] = ["replicas", "instances", "size", "count", "nodes"];
const REACHED: [&str; 9] = [
    "readyReplicas",
    "availableReplicas",
    "updatedReplicas",
    "updatedReadyReplicas",
    "updatedAvailableReplicas",
    "readyInstances",
    "readyNodes",
    "availableNodes",
    "readyMembers",
];
const PAIRS: [(&str, &str); 5] = [
    ("readyReplicas", "replicas"),
    ("ready", "size"),
    ("availableNodes", "expectedNodes"),
    ("readyMembers", "members"),
    ("readyNodes", "nodes"),
];
const MISSED: [&str; 5] =
    ["unavailableReplicas", "unreadyReplicas", "failedReplicas", "failedInstances", "failedTasksCount"];

/// Returns the votes of counters: wanted in the spec against reached in the status, and pairs inside the status.
pub(super) fn of_counters(spec: Option<&Value>, status: &Value) -> Vec<Vote> {
    let mut votes = Vec::new();
    let wanted = WANTED.iter().find_map(|key| number(spec?.get(*key)?)).or_else(|| wanted_of_parts(spec?));
    if let Some(wanted) = wanted {
        for key in REACHED {
            if let Some(reached) = status.get(key).and_then(number) {
                votes.push(count(&format!("status.{key}"), reached, wanted));
            }
        }
        if let Some(replicas) = status.get("replicas").and_then(number) {
            if replicas > wanted {
                let message = format!("{replicas} replicas, {wanted} wanted");
                let ballot = Ballot::Progress { active: false };
                votes.push(vote(
                    ballot,
                    "status.replicas".to_owned(),
                    "OldReplicas".to_owned(),
                    &message,
                    &replicas.to_string(),
                ));
            } else if votes.is_empty() {
                votes.push(Vote {
                    word: "Replicas".to_owned(),
                    ..count("status.replicas", replicas.min(wanted - 1), wanted)
                });
            }
        }
    }
    inner_pairs("status", status, 2, &mut votes);
    for key in MISSED {
        if let Some(missed) = status.get(key).and_then(number).filter(|missed| *missed > 0) {
            let message = format!("{key} is {missed}");
            let ballot = Ballot::Progress { active: false };
            votes.push(vote(ballot, format!("status.{key}"), camel(key), &message, &missed.to_string()));
        }
    }
    votes
}

/// Returns how many are wanted where the spec has one list of parts, each with its own count.
fn wanted_of_parts(spec: &Value) -> Option<i64> {
    let counts = |list: &Value| {
        let parts = list.as_array().filter(|parts| !parts.is_empty())?;
        parts.iter().map(|part| WANTED.iter().find_map(|key| number(part.get(*key)?))).sum::<Option<i64>>()
    };
    let mut lists = spec.as_object()?.values().filter_map(counts);
    // Of several lists nobody can know which one a counter counts.
    lists.next().filter(|_| lists.next().is_none())
}

/// Only `status.replicas` is there: it counts pods that exist, which proves nothing of their being ready.
pub(super) fn is_bare_replicas(vote: &Vote) -> bool {
    vote.path == "status.replicas" && vote.word == "Replicas"
}

fn inner_pairs(path: &str, value: &Value, depth: u8, votes: &mut Vec<Vote>) {
    let Some(map) = value.as_object() else { return };
    for (reached, wanted) in PAIRS {
        if let (Some(k), Some(n)) = (map.get(reached).and_then(number), map.get(wanted).and_then(number)) {
            votes.push(count(&format!("{path}.{reached}"), k, n));
        }
    }
    for (key, inner) in map {
        if let Some((k, n)) = inner.as_str().and_then(|text| text.split_once('/')) {
            if let (Ok(k), Ok(n)) = (k.trim().parse(), n.trim().parse()) {
                votes.push(count(&format!("{path}.{key}"), k, n));
            }
        } else if depth > 0 && !is_history(key) {
            inner_pairs(&format!("{path}.{key}"), inner, depth - 1, votes);
        }
    }
}

fn count(path: &str, reached: i64, wanted: i64) -> Vote {
    let key = path.rsplit('.').next().unwrap_or(path);
    let ballot = if reached < wanted { Ballot::Progress { active: false } } else { Ballot::Counters };
    vote(
        ballot,
        path.to_owned(),
        camel(key),
        &format!("{reached} of {wanted} ({key})"),
        &format!("{reached} of {wanted}"),
    )
}

/// Names of the two sides of a change: what is reached, and what is wanted.
const SIDES: [(&str, &str); 6] = [
    ("active", "proposed"),
    ("active", "desired"),
    ("actual", "desired"),
    ("applied", "desired"),
    ("current", "desired"),
    ("current", "target"),
];
/// Last parts of a path that tell which content it is.
const IDENTITIES: [&str; 6] = ["sha", "hash", "revision", "commit", "digest", "version"];

/// Returns a vote for every change that has two sides of which one is not there yet, up to three levels down.
pub(super) fn of_sides(status: &Value) -> Vec<Vote> {
    let mut votes = Vec::new();
    sides("status", status, 3, &mut votes);
    votes
}

fn sides(path: &str, value: &Value, depth: u8, votes: &mut Vec<Vote>) {
    match value {
        Value::Object(map) => {
            for (reached, wanted) in SIDES {
                compare(path, map, (reached, wanted), votes);
            }
            for (key, inner) in map.iter().filter(|(key, _)| depth > 0 && !is_history(key)) {
                sides(&format!("{path}.{key}"), inner, depth - 1, votes);
            }
        }
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                sides(&format!("{path}[{at}]"), inner, depth, votes);
            }
        }
        _ => {}
    }
}

/// Compares `active.sha` with `proposed.sha`, and `currentVersion` with `targetVersion`.
fn compare(path: &str, map: &Map<String, Value>, (reached, wanted): (&str, &str), votes: &mut Vec<Vote>) {
    let mut differ = |at: &str, is: &str, should: &str| {
        let name = |side: &str| if side.is_empty() { "nothing".to_owned() } else { side.to_owned() };
        let message = format!("{at} is {}, {} is {wanted}", name(is), name(should));
        let ballot = Ballot::Progress { active: false };
        votes.push(vote(ballot, format!("{path}.{at}"), camel(&format!("{reached} not {wanted}")), &message, is));
    };
    if let (Some(reached_side), Some(wanted_side)) = (map.get(reached), map.get(wanted)) {
        let (mut is, mut should) = (Vec::new(), Vec::new());
        identities(reached, reached_side, 2, &mut is);
        identities(wanted, wanted_side, 2, &mut should);
        let same =
            |(at, text): &(String, &str)| should.iter().any(|(path, other)| tail(path) == tail(at) && other == text);
        // One identity that agrees shows that both sides hold the same content.
        if !is.iter().any(same)
            && let Some((at, _)) = is.first().or(should.first())
        {
            let of = |side: &[(String, &str)]| {
                let found = side.iter().find(|(path, _)| tail(path) == tail(at));
                found.map_or_else(String::new, |(_, text)| (*text).to_owned())
            };
            differ(&format!("{reached}.{}", tail(at)), &of(&is), &of(&should));
        }
    }
    for identity in IDENTITIES {
        let key = |side: &str| format!("{side}{}", camel(identity));
        let side = |side: &str| map.get(&key(side)).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let (Some(is), Some(should)) = (side(reached), side(wanted))
            && is != should
        {
            differ(&key(reached), is, should);
        }
    }
}

/// Returns the path behind the side's own name.
fn tail(path: &str) -> &str {
    path.split_once('.').map_or("", |(_, tail)| tail)
}

fn identities<'a>(path: &str, value: &'a Value, depth: u8, found: &mut Vec<(String, &'a str)>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match inner.as_str() {
            Some(text) if IDENTITIES.contains(&key.as_str()) && !text.is_empty() => found.push((path, text)),
            None if depth > 0 => identities(&path, inner, depth - 1, found),
            _ => {}
        }
    }
}
