//! What vendors' kinds mean, as data: the built-in pack, and files of the same form from users.
//!
//! A rule names kinds by group, kind and version, and says what their conditions, words and generations mean. It never
//! replaces the evidence gate. Rules of users come first, then the more specific ones.

mod effect;
mod evaluate;
mod expression;
mod pattern;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(super) use self::effect::{Effect, Facts as RuleFacts, Spoken};
use self::expression::Expression;
use self::pattern::Pattern;
use super::verdict::Verdict;
use crate::error::{Error, Result};

const PACK: &str = include_str!("rules/pack.yaml");
const API_VERSION: &str = "kubeguard.dev/v1";
const KIND: &str = "HealthRules";

/// A document of rules.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

/// What is known of some kinds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Unique name, shown by `--explain`.
    pub id: String,
    /// One line, with the public document that the rule follows.
    #[serde(default)]
    pub about: String,
    /// The kinds; any hit counts.
    pub r#match: Vec<Match>,
    /// Condition types.
    #[serde(default)]
    conditions: BTreeMap<String, ConditionRule>,
    /// Condition types that must be there.
    #[serde(default)]
    require: Vec<String>,
    /// Paths below the status whose text has these meanings.
    #[serde(default)]
    words: BTreeMap<String, WordRule>,
    #[serde(default)]
    generations: Vec<Pair>,
    #[serde(default)]
    when: Vec<When>,
    no_status: Option<Answer>,
    empty_status: Option<Answer>,
    otherwise: Option<Answer>,
    #[serde(default)]
    ignore: Vec<Ignore>,
    children: Option<Children>,
    #[serde(default)]
    holds: BTreeMap<String, Seconds>,
    #[serde(default)]
    ignore_generation: bool,
    /// From a user's file.
    #[serde(skip)]
    own: bool,
}

/// Group, kind and version as globs; an absent one matches all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// API group, as in `*.crossplane.io`.
    pub group: Pattern,
    /// Kind, as in `!*ProviderConfig`.
    pub kind: Pattern,
    /// Version.
    pub version: Pattern,
}

impl Default for Match {
    fn default() -> Self {
        let all = Pattern::all();
        Self { group: all.clone(), kind: all.clone(), version: all }
    }
}

/// The part a condition plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// True speaks for the whole object.
    Summary,
    /// True is good.
    Positive,
    /// True is one step on the way.
    Step,
    /// True is bad.
    Negative,
    /// True means that work is going on.
    Progress,
    /// True means that somebody wants it to stand still.
    Suspend,
    /// Worth a warning, no vote.
    Warn,
    /// Worth showing, no vote.
    Info,
    /// Says nothing at all.
    Ignore,
    /// Says nothing by itself.
    Neutral,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConditionRule {
    role: Option<Role>,
    reasons: BTreeMap<ReasonClass, Vec<String>>,
}

/// What a reason means, whatever its words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReasonClass {
    Failed,
    Progressing,
    Suspended,
    Complete,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum WordRule {
    /// Only `ignore`.
    Word(IgnoreWord),
    Classes(WordClasses),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum IgnoreWord {
    Ignore,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WordClasses {
    complete: Vec<Text>,
    progressing: Vec<Text>,
    failed: Vec<Text>,
    suspended: Vec<Text>,
    missing: Vec<Text>,
    unverifiable: Vec<Text>,
    r#else: Option<Answer>,
}

/// Text; numbers and booleans are read as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Bool(bool),
            Number(serde_json::Number),
            Text(String),
        }
        Ok(Self(match Any::deserialize(deserializer)? {
            Any::Bool(value) => value.to_string(),
            Any::Number(value) => value.to_string(),
            Any::Text(value) => value,
        }))
    }
}

/// The answer of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    Complete,
    Progressing,
    Failed,
    Suspended,
    Missing,
    Unverifiable,
    /// No statement.
    Ignore,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    #[serde(deserialize_with = "value")]
    observed: Expression,
    #[serde(deserialize_with = "value")]
    current: Expression,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    #[serde(deserialize_with = "condition")]
    r#if: Expression,
    #[serde(default)]
    verdict: Option<Answer>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: Message,
    #[serde(default)]
    warn: bool,
}

/// What a row says: an expression that gives text where it is one, else the text itself.
#[derive(Debug, Clone, Default, PartialEq)]
struct Message {
    text: String,
    expression: Option<Expression>,
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self { expression: Expression::parse(&text).ok(), text })
    }
}

/// Parts of the generic judgement that a rule leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ignore {
    /// Counters.
    Counters,
    /// `spec.paused` and its kin.
    Paused,
    /// Words and counters below the first level of the status.
    Nested,
    /// Words of the status.
    Words,
}

/// Whose signs of failure count too, by owner reference.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Children {
    /// Only `pods`: those that the object controls itself.
    Pods(PodsWord),
    /// Workloads that the object controls, with their pods.
    Kinds(Vec<ChildKind>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PodsWord {
    Pods,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChildKind {
    group: String,
    kind: String,
}

/// A duration in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seconds(u32);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration: SignedDuration = text.parse().map_err(serde::de::Error::custom)?;
        u32::try_from(duration.as_secs()).map(Self).map_err(serde::de::Error::custom)
    }
}

fn value<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Expression, D::Error> {
    let source = String::deserialize(deserializer)?;
    Expression::parse(&source).map_err(|mistake| serde::de::Error::custom(format!("{source:?}, {mistake}")))
}

fn condition<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Expression, D::Error> {
    let source = String::deserialize(deserializer)?;
    Expression::condition(&source).map_err(|mistake| serde::de::Error::custom(format!("{source:?}, {mistake}")))
}

/// Where rules come from; enough to make them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sources {
    /// The built-in pack is used.
    pub pack: bool,
    /// Users' files: name and text.
    pub files: Vec<(String, String)>,
    /// `--done-when`.
    pub done_when: Vec<String>,
    /// `--fail-when`.
    pub fail_when: Vec<String>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { pack: true, files: Vec::new(), done_when: Vec::new(), fail_when: Vec::new() }
    }
}

/// Rules that have been read and checked.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    sources: Sources,
    /// `None` for the pack alone: it is read only once a custom resource is judged.
    own: Option<Arc<Vec<Rule>>>,
    done_when: Arc<Vec<Expression>>,
    fail_when: Arc<Vec<Expression>>,
    /// By group, version and kind.
    effects: Arc<Mutex<BTreeMap<[String; 3], Arc<Effect>>>>,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.sources == other.sources
    }
}

impl Eq for Rules {}

/// The pack, read once; a test proves that it can be read.
static BUILT_IN: LazyLock<Arc<Vec<Rule>>> = LazyLock::new(|| Arc::new(read("pack.yaml", PACK).unwrap_or_default()));

impl Rules {
    /// Reads and checks rules.
    ///
    /// # Errors
    /// [`Error::Rules`] with file and line, where a file or an expression is wrong, or an id is there twice.
    pub fn new(sources: Sources) -> Result<Self> {
        let mut all: Vec<Rule> = if sources.pack { BUILT_IN.to_vec() } else { Vec::new() };
        for (file, text) in &sources.files {
            for mut rule in read(file, text)? {
                if all.iter().any(|known| known.id == rule.id && known.own) {
                    return Err(wrong(file, format!("there are two rules {:?}", rule.id)));
                }
                // A user's rule takes the place of a built-in one of the same name.
                all.retain(|known| known.id != rule.id);
                rule.own = true;
                all.push(rule);
            }
        }
        let expressions = |flag: &str, sources: &[String]| {
            let parsed = sources.iter().map(|source| {
                Expression::condition(source).map_err(|mistake| wrong(flag, format!("{source:?}, {mistake}")))
            });
            parsed.collect::<Result<Vec<_>>>()
        };
        let done_when = Arc::new(expressions("--done-when", &sources.done_when)?);
        let fail_when = Arc::new(expressions("--fail-when", &sources.fail_when)?);
        Ok(Self { own: Some(Arc::new(all)), done_when, fail_when, sources, effects: Arc::default() })
    }

    /// Returns where they come from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Returns a short digest of the built-in pack: with another pack another verdict is no surprise.
    #[must_use]
    pub fn pack_hash() -> String {
        let hash = Sha256::digest(PACK);
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns whether callers say themselves what done or failed means.
    #[must_use]
    pub fn has_expressions(&self) -> bool {
        !self.done_when.is_empty() || !self.fail_when.is_empty()
    }

    /// Returns every rule, the built-in ones first.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        self.own.as_ref().unwrap_or(&BUILT_IN)
    }

    /// Returns what is known of a kind.
    pub(super) fn of(&self, group: &str, version: &str, kind: &str) -> Arc<Effect> {
        let mut effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [group, version, kind].map(ToOwned::to_owned);
        effects.entry(key).or_insert_with(|| Arc::new(self.effect(group, version, kind))).clone()
    }

    fn effect(&self, group: &str, version: &str, kind: &str) -> Effect {
        let mut matching: Vec<(bool, usize, usize, &Rule)> = self
            .all()
            .iter()
            .enumerate()
            .filter_map(|(at, rule)| Some((rule.own, rule.specificity(group, version, kind)?, at, rule)))
            .collect();
        matching.sort_by_key(|(own, specificity, at, _)| (*own, *specificity, *at));
        let rules = matching.into_iter().map(|(.., rule)| rule.clone()).collect();
        Effect::new(rules, self.done_when.clone(), self.fail_when.clone())
    }
}

impl Rule {
    /// Returns how closely it names a kind; `None` where it does not.
    fn specificity(&self, group: &str, version: &str, kind: &str) -> Option<usize> {
        let hits = self.r#match.iter().filter(|wanted| {
            wanted.group.matches(group) && wanted.version.matches(version) && wanted.kind.matches(kind)
        });
        hits.map(|wanted| usize::from(wanted.group.is_exact()) + 2 * usize::from(wanted.kind.is_exact())).max()
    }

    /// Returns whether it comes from a user's file.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Returns whether it speaks of a kind.
    #[must_use]
    pub fn matches(&self, group: &str, version: &str, kind: &str) -> bool {
        self.specificity(group, version, kind).is_some()
    }
}

fn wrong(file: &str, problem: String) -> Error {
    Error::Rules { file: file.to_owned(), problem }
}

fn read(file: &str, text: &str) -> Result<Vec<Rule>> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| {
        // The lines that follow show the text once more.
        let words = error.to_string();
        let first = words.lines().next().unwrap_or_default();
        wrong(file, first.trim_start_matches("error: ").to_owned())
    })?;
    if document.api_version != API_VERSION || document.kind != KIND {
        return Err(wrong(file, format!("it is no {API_VERSION} {KIND}")));
    }
    let mut seen = std::collections::BTreeSet::new();
    for rule in &document.rules {
        if !seen.insert(&rule.id) {
            return Err(wrong(file, format!("there are two rules {:?}", rule.id)));
        }
    }
    Ok(document.rules)
}

impl Serialize for Rules {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.sources.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::new(Sources::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Answer {
    /// Returns the verdict; `None` for no statement.
    const fn verdict(self) -> Option<Verdict> {
        Some(match self {
            Self::Complete => Verdict::Complete,
            Self::Progressing => Verdict::Progressing,
            Self::Failed => Verdict::Failed,
            Self::Suspended => Verdict::Suspended,
            Self::Missing => Verdict::Missing,
            Self::Unverifiable => Verdict::Unverifiable,
            Self::Ignore => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_can_be_read() {
        let rules = read("pack.yaml", PACK).unwrap();
        assert!(!rules.is_empty());
        assert!(rules.iter().all(|rule| !rule.about.is_empty()), "every rule says what it follows");
    }
}
