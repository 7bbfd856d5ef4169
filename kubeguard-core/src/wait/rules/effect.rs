//! Every rule that matches one kind, as one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::evaluate::{Datum, Scope};
use super::expression::Expression;
use super::pattern::glob;
use super::{Answer, Children, Ignore, ReasonClass, Role, Rule, WordRule};
use crate::kinds::ObjectMeta;
use crate::wait::custom::conditions::{Currency, Entry};
use crate::wait::policy::Hold;
use crate::wait::verdict::{Note, Verdict};

/// What is known of a kind.
#[derive(Debug, Clone, Default)]
pub(in crate::wait) struct Effect {
    /// From the general to the specific, those of users last.
    rules: Vec<Rule>,
    done_when: Arc<Vec<Expression>>,
    fail_when: Arc<Vec<Expression>>,
}

/// The part that one condition plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wait) struct Meaning {
    pub(in crate::wait) role: Option<Role>,
    /// What its reason means, whatever its words say.
    pub(in crate::wait) reason: Option<ReasonClass>,
}

/// What a text of the status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wait) enum Spoken {
    Verdict(Verdict),
    /// It says nothing.
    Ignored,
}

/// A row that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::wait) struct Said {
    /// Id of the rule.
    pub(in crate::wait) rule: String,
    pub(in crate::wait) verdict: Verdict,
    /// A CamelCase word; may be empty.
    pub(in crate::wait) reason: String,
    pub(in crate::wait) message: String,
    /// What was read.
    pub(in crate::wait) condition: String,
}

/// What an expression may read.
#[derive(Debug)]
pub(in crate::wait) struct Facts<'a> {
    pub(in crate::wait) meta: &'a ObjectMeta,
    pub(in crate::wait) api_version: &'a str,
    pub(in crate::wait) kind: &'a str,
    /// The object without its metadata.
    pub(in crate::wait) value: &'a Value,
    pub(in crate::wait) conditions: &'a [Entry<'a>],
    pub(in crate::wait) now: Timestamp,
}

impl Effect {
    pub(super) fn new(rules: Vec<Rule>, done_when: Arc<Vec<Expression>>, fail_when: Arc<Vec<Expression>>) -> Self {
        Self { rules, done_when, fail_when }
    }

    /// Returns the rules, the most specific first.
    fn specific_first(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().rev()
    }

    /// Returns the part of a condition.
    pub(in crate::wait) fn condition(&self, name: &str, status: &str, reason: &str) -> Meaning {
        let rules = || self.specific_first().filter_map(|rule| rule.conditions.get(name));
        let hits = |wanted: &String| {
            wanted == "*" || wanted == reason || wanted.strip_prefix('*').is_some_and(|wanted| wanted == status)
        };
        let reason = rules().find_map(|rule| {
            // A reason that is named beats one that is meant by a star.
            let exact = rule.reasons.iter().find(|(_, reasons)| reasons.iter().any(|wanted| wanted == reason));
            let any = || rule.reasons.iter().find(|(_, reasons)| reasons.iter().any(hits));
            exact.or_else(any).map(|(class, _)| *class)
        });
        Meaning { role: rules().find_map(|rule| rule.role), reason }
    }

    /// Returns the condition types that must be there, each with the rule that says so.
    pub(in crate::wait) fn required(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().flat_map(|rule| rule.require.iter().map(|name| (name.as_str(), rule.id.as_str())))
    }

    /// Returns every text of the status that a rule names: path, text, meaning, and the rule.
    pub(in crate::wait) fn words(&self, status: &Value) -> Vec<(String, String, Spoken, String)> {
        let mut paths: BTreeMap<String, (String, Vec<&str>)> = BTreeMap::new();
        for rule in &self.rules {
            for path in rule.words.keys() {
                for (at, text) in texts(status, path) {
                    paths.entry(at).or_insert_with(|| (text, Vec::new())).1.push(path);
                }
            }
        }
        let mut found = Vec::new();
        for (at, (text, patterns)) in paths {
            let rules = self.specific_first().flat_map(|rule| {
                let named = rule.words.iter().filter(|(path, _)| patterns.contains(&path.as_str()));
                named.map(move |(_, words)| (rule, words))
            });
            let mut other = None;
            let mut hit = None;
            for (rule, words) in rules {
                match words {
                    WordRule::Word(_) => hit = hit.or(Some((Spoken::Ignored, rule))),
                    WordRule::Classes(classes) => {
                        let lists = [
                            (&classes.complete, Verdict::Complete),
                            (&classes.progressing, Verdict::Progressing),
                            (&classes.failed, Verdict::Failed),
                            (&classes.suspended, Verdict::Suspended),
                            (&classes.missing, Verdict::Missing),
                            (&classes.unverifiable, Verdict::Unverifiable),
                        ];
                        let named = lists.iter().find(|(list, _)| list.iter().any(|word| glob(&word.0, &text)));
                        hit = hit.or_else(|| named.map(|(_, verdict)| (Spoken::Verdict(*verdict), rule)));
                        other = other.or_else(|| classes.r#else.map(|answer| (answer, rule)));
                    }
                }
            }
            let rest = || other.map(|(answer, rule)| (answer.verdict().map_or(Spoken::Ignored, Spoken::Verdict), rule));
            if let Some((spoken, rule)) = hit.or_else(rest) {
                found.push((format!("status.{at}"), text, spoken, rule.id.clone()));
            }
        }
        found
    }

    /// Returns the pairs of generations that vendors write: observed, current.
    pub(in crate::wait) fn generations(&self, facts: &Facts<'_>) -> Vec<(i64, i64)> {
        let pairs: Vec<_> = self.rules.iter().flat_map(|rule| &rule.generations).collect();
        if pairs.is_empty() {
            return Vec::new();
        }
        let scope = scope(facts);
        let number = |expression: &Expression| expression.evaluate(&scope).ok()?.number();
        pairs.into_iter().filter_map(|pair| Some((number(&pair.observed)?, number(&pair.current)?))).collect()
    }

    /// Returns the first row that fits, and the warnings of all before it.
    pub(in crate::wait) fn when(&self, facts: &Facts<'_>) -> (Option<Said>, Vec<Note>) {
        let mut warnings = Vec::new();
        if self.fail_when.is_empty() && self.rules.iter().all(|rule| rule.when.is_empty()) {
            return (None, warnings);
        }
        let scope = scope(facts);
        for expression in self.fail_when.iter() {
            if is_true(expression, &scope, "--fail-when", &mut warnings) {
                let message = format!("--fail-when {} is true", expression.source());
                let (rule, reason) = ("--fail-when".to_owned(), "FailWhen".to_owned());
                let condition = expression.source().to_owned();
                return (Some(Said { rule, verdict: Verdict::Failed, reason, message, condition }), warnings);
            }
        }
        for rule in self.specific_first() {
            for row in &rule.when {
                if !is_true(&row.r#if, &scope, &rule.id, &mut warnings) {
                    continue;
                }
                let said = row.message.expression.as_ref().and_then(|message| message.evaluate(&scope).ok());
                let message = said.map(|said| said.text()).filter(|said| !said.is_empty());
                let message = message.unwrap_or_else(|| row.message.text.clone());
                match row.verdict.and_then(Answer::verdict).filter(|_| !row.warn) {
                    Some(verdict) => {
                        let (rule, reason) = (rule.id.clone(), row.reason.clone());
                        let condition = row.r#if.source().to_owned();
                        return (Some(Said { rule, verdict, reason, message, condition }), warnings);
                    }
                    None => warnings.push(Note::new(&row.reason, message)),
                }
            }
        }
        (None, warnings)
    }

    /// Returns what callers' own words for done say; `None` where they said none.
    pub(in crate::wait) fn done(&self, facts: &Facts<'_>) -> Option<(bool, String, Vec<Note>)> {
        if self.done_when.is_empty() {
            return None;
        }
        let scope = scope(facts);
        let mut warnings = Vec::new();
        let hit = self.done_when.iter().find(|expression| is_true(expression, &scope, "--done-when", &mut warnings));
        let all = || self.done_when.iter().map(Expression::source).collect::<Vec<_>>().join(" || ");
        Some((hit.is_some(), hit.map_or_else(all, |hit| hit.source().to_owned()), warnings))
    }

    pub(in crate::wait) fn no_status(&self) -> Option<(Verdict, &str)> {
        self.answer(|rule| rule.no_status)
    }

    pub(in crate::wait) fn empty_status(&self) -> Option<(Verdict, &str)> {
        self.answer(|rule| rule.empty_status)
    }

    pub(in crate::wait) fn otherwise(&self) -> Option<(Verdict, &str)> {
        self.answer(|rule| rule.otherwise)
    }

    fn answer(&self, of: impl Fn(&Rule) -> Option<Answer>) -> Option<(Verdict, &str)> {
        self.specific_first().find_map(|rule| Some((of(rule)?.verdict()?, rule.id.as_str())))
    }

    pub(in crate::wait) fn ignores_counters(&self) -> bool {
        self.ignores(Ignore::Counters)
    }

    pub(in crate::wait) fn ignores_paused(&self) -> bool {
        self.ignores(Ignore::Paused)
    }

    pub(in crate::wait) fn ignores_nested(&self) -> bool {
        self.ignores(Ignore::Nested)
    }

    pub(in crate::wait) fn ignores_words(&self) -> bool {
        self.ignores(Ignore::Words)
    }

    fn ignores(&self, part: Ignore) -> bool {
        self.rules.iter().any(|rule| rule.ignore.contains(&part))
    }

    /// Returns the hold of a reason, in every profile.
    pub(in crate::wait) fn hold(&self, word: &str) -> Option<[Hold; 3]> {
        self.specific_first().find_map(|rule| rule.holds.get(word)).map(|seconds| [Hold::Seconds(seconds.0); 3])
    }

    /// Returns the kinds between the object and its pods; `None` where its pods do not count.
    pub(in crate::wait) fn children(&self) -> Option<Vec<(&str, &str)>> {
        let children = self.specific_first().find_map(|rule| rule.children.as_ref())?;
        Some(match children {
            Children::Pods(_) => Vec::new(),
            Children::Kinds(kinds) => kinds.iter().map(|kind| (kind.group.as_str(), kind.kind.as_str())).collect(),
        })
    }

    /// Returns whether a user has said that this kind's generations mean nothing.
    pub(in crate::wait) fn ignores_generation(&self) -> bool {
        self.rules.iter().any(|rule| rule.own && rule.ignore_generation)
    }
}

fn is_true(expression: &Expression, scope: &Scope<'_>, rule: &str, warnings: &mut Vec<Note>) -> bool {
    match expression.evaluate(scope) {
        Ok(value) => value.is_true(),
        Err(problem) => {
            warnings.push(Note::new("RuleError", format!("{rule}: {:?}: {problem}", expression.source())));
            false
        }
    }
}

fn scope<'a>(facts: &Facts<'a>) -> Scope<'a> {
    let part = |name: &str| {
        facts.value.get(name).map_or(Datum::Json(Cow::Owned(Value::Null)), |part| Datum::Json(Cow::Borrowed(part)))
    };
    let mut this = facts.value.as_object().cloned().unwrap_or_default();
    this.insert("apiVersion".to_owned(), facts.api_version.into());
    this.insert("kind".to_owned(), facts.kind.into());
    this.insert("metadata".to_owned(), serde_json::to_value(facts.meta).unwrap_or_default());
    let created = facts.meta.creation_timestamp.as_ref().and_then(crate::kinds::Time::timestamp);
    let age = created
        .map_or(Datum::Json(Cow::Owned(Value::Null)), |created| Datum::Duration(facts.now.duration_since(created)));
    Scope::new([
        ("self", Value::Object(this).into()),
        ("spec", part("spec")),
        ("status", part("status")),
        ("conditions", conditions(facts.conditions).into()),
        ("generation", facts.meta.generation.map_or(Value::Null, Value::from).into()),
        ("age", age),
    ])
}

/// Returns the current conditions by type; of two of a type the one that is not True.
fn conditions(entries: &[Entry<'_>]) -> Value {
    let mut by_type = Map::new();
    for entry in entries.iter().filter(|entry| !entry.reported && entry.currency != Currency::Stale) {
        let true_before = by_type.get(entry.name).is_some_and(|known: &Value| known["status"] == "True");
        if by_type.contains_key(entry.name) && !true_before {
            continue;
        }
        let mut condition = Map::from_iter([
            ("type".to_owned(), entry.name.into()),
            ("status".to_owned(), entry.status.clone().into()),
        ]);
        for (key, text) in [("reason", entry.reason), ("message", entry.message), ("severity", entry.severity)] {
            if !text.is_empty() {
                condition.insert(key.to_owned(), text.into());
            }
        }
        by_type.insert(entry.name.to_owned(), condition.into());
    }
    by_type.into()
}

/// Returns the texts at a path below the status, where `*` stands for every key and every entry of a list.
fn texts(status: &Value, path: &str) -> Vec<(String, String)> {
    let mut level: Vec<(String, &Value)> = vec![(String::new(), status)];
    for part in path.split('.') {
        let mut next = Vec::new();
        for (at, value) in level {
            let join = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
            match (part, value) {
                ("*", Value::Object(map)) => next.extend(map.iter().map(|(key, inner)| (join(key), inner))),
                ("*", Value::Array(list)) => {
                    next.extend(list.iter().enumerate().map(|(number, inner)| (join(&number.to_string()), inner)));
                }
                (part, value) => next.extend(value.get(part).map(|inner| (join(part), inner))),
            }
        }
        level = next;
    }
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    level.into_iter().filter_map(|(at, value)| Some((at, text(value)?))).collect()
}
