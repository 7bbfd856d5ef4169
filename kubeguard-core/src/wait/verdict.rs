//! The words of an answer: verdict, evidence, suspects, and what one look at an object found.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::object::ObjectKey;
use super::policy::{Hold, words};
use super::reason::{Class, Word};

/// Id of the rule that says something: `WD-…` for built-in ones, else the id of a rule of a pack.
pub type RuleId = std::borrow::Cow<'static, str>;

words! {
    /// The answer for one object, or for a whole set.
    Verdict {
        /// It has rolled out.
        Complete = "complete",
        /// Not yet.
        Progressing = "progressing",
        /// It will not roll out by itself.
        Failed = "failed",
        /// Somebody wants it to stand still.
        Suspended = "suspended",
        /// It is being deleted.
        Terminating = "terminating",
        /// It is not there.
        Missing = "missing",
        /// Somebody else changed it during the wait.
        Superseded = "superseded",
        /// Nothing ties its status to its spec.
        Unverifiable = "unverifiable",
    }
}

impl Verdict {
    /// Returns the exit code of the contract: 0 yes, 1 no, 3 not yet, 4 changed under us, 5 unprovable.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Failed | Self::Missing | Self::Terminating => 1,
            Self::Progressing | Self::Suspended => 3,
            Self::Superseded => 4,
            Self::Unverifiable => 5,
        }
    }
}

/// The witness that ties a status without an observed generation to its spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Witness {
    /// A built-in kind whose fields are written by one controller for one spec.
    Kind,
    /// The spec has never changed.
    FirstGeneration,
    /// The status was written after the spec, by managedFields.
    ManagedFields,
    /// A condition changed after the spec was written.
    ConditionTime,
    /// This wait saw the status change after the write.
    Changed,
}

/// What ties the status to the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// A generation observed by the controller equals the object's.
    Strong,
    /// No observed generation anywhere, but a witness.
    Weak(Witness),
    /// Nothing.
    None,
}

impl Evidence {
    /// Returns `strong`, `weak` or `none`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Weak(_) => "weak",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let witness = match self {
            Self::Strong => return f.write_str("strong"),
            Self::None => return f.write_str("none"),
            Self::Weak(witness) => witness,
        };
        f.write_str(match witness {
            Witness::Kind => "weak(kind)",
            Witness::FirstGeneration => "weak(firstGeneration)",
            Witness::ManagedFields => "weak(managedFields)",
            Witness::ConditionTime => "weak(conditionTime)",
            Witness::Changed => "weak(changed)",
        })
    }
}

/// Something a reader should know that decides nothing: `NodesExcluded`, `Scaled`, `Malformed` and the like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Note {
    /// A CamelCase word.
    pub word: String,
    /// Details for people; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Note {
    /// Returns a note of `word` with details.
    pub fn new(word: impl Into<String>, message: impl Into<String>) -> Self {
        Self { word: word.into(), message: message.into() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() { f.write_str(&self.word) } else { write!(f, "{}: {}", self.word, self.message) }
    }
}

/// A field that decided, with the value it had.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Read {
    /// Dotted path, as in `status.updatedReplicas`.
    pub path: String,
    /// The value as text; `absent` where there was none.
    pub value: String,
}

/// One sentence about an object, with the rule that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Id of the rule, as in `WD-D6`.
    pub rule: RuleId,
    /// The reason.
    pub word: Word,
    /// Details for people, as in `1 of 3 pods updated`.
    pub message: String,
}

impl Statement {
    /// Returns what `rule` says.
    pub fn new(rule: impl Into<RuleId>, word: impl Into<Word>, message: impl Into<String>) -> Self {
        Self { rule: rule.into(), word: word.into(), message: message.into() }
    }
}

/// A sign that may become a failure once its hold is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Id of the rule, as in `WD-D1`.
    pub rule: RuleId,
    /// The reason, in the controller's words where it has some.
    pub word: Word,
    /// The object that shows it.
    pub at: ObjectKey,
    /// The container that shows it.
    pub container: Option<String>,
    /// Details for people, the source's message verbatim where there is one.
    pub message: String,
    /// When it began, if an object carries a time for it.
    pub since: Option<Timestamp>,
    /// Restarts of the container; `None` in data without a count, which is beyond any budget.
    pub restarts: Option<u32>,
    /// Hold times of its own instead of the row's: strict, normal, patient.
    pub holds: Option<[Hold; 3]>,
    /// What it becomes when the hold is over, where that differs from the row.
    pub becomes: Option<Verdict>,
    /// Names for the remedy's placeholders.
    pub names: BTreeMap<&'static str, String>,
    /// Restarts the hold whenever more new pods become available (probable signs of pods).
    pub of_pod: bool,
}

impl Suspect {
    /// Returns a suspect that `rule` found on `at`.
    pub fn new(rule: impl Into<RuleId>, word: impl Into<Word>, at: &ObjectKey, message: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            word: word.into(),
            at: at.clone(),
            container: None,
            message: message.into(),
            since: None,
            restarts: None,
            holds: None,
            becomes: None,
            names: BTreeMap::new(),
            of_pod: false,
        }
    }

    /// Sets the time the objects give for its beginning.
    #[must_use]
    pub fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }

    /// Fills one placeholder of the remedy; an empty value leaves the placeholder's default.
    #[must_use]
    pub fn name(mut self, placeholder: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.names.insert(placeholder, value);
        }
        self
    }

    /// Returns the class of its reason.
    #[must_use]
    pub fn class(&self) -> Class {
        self.word.reason.class()
    }

    /// Returns the verdict of an item whose suspect is past its hold.
    #[must_use]
    pub fn becomes(&self) -> Verdict {
        self.becomes.unwrap_or(self.word.reason.row().becomes)
    }

    /// Returns whether complete counters are still not complete while it is there.
    #[must_use]
    pub fn blocks_complete(&self) -> bool {
        self.class() != Class::Transient || self.becomes() != Verdict::Failed
    }
}

/// Why something is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Id of the rule, as in `WD-D12`.
    pub rule: RuleId,
    /// The word shown, where there is more to say than "complete".
    pub word: Option<Word>,
    /// Details for people, as in `3 of 3 available`.
    pub message: String,
}

/// What the rules of a kind found at one moment, before holds are applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Signs that may become failures.
    pub suspects: Vec<Suspect>,
    /// It stands still because somebody wants it to.
    pub suspended: Option<Statement>,
    /// What is missing, in the order of the rules; the first is the item's reason.
    pub progressing: Vec<Statement>,
    /// What is said when nothing is missing.
    pub complete: Option<Done>,
    /// The object itself says that it is being deleted or gone; nothing else counts.
    pub settled: Option<(Verdict, Statement)>,
    /// Things worth knowing that decide nothing.
    pub notes: Vec<Note>,
    /// Things worth a warning.
    pub warnings: Vec<Note>,
    /// The fields that decided.
    pub reads: Vec<Read>,
    /// What would change the verdict, one sentence each.
    pub flips: Vec<String>,
    /// Pods that are available, where the kind counts them; a rise restarts the hold of probable signs of pods.
    pub available: Option<i64>,
    /// New pods that are neither ready nor suspects; the profile `patient` waits for them.
    pub undecided_pods: usize,
}

impl Outcome {
    /// Adds what is missing.
    pub fn wait(&mut self, rule: impl Into<RuleId>, word: impl Into<Word>, message: impl Into<String>) {
        self.progressing.push(Statement::new(rule, word, message));
    }

    /// Notes a field that decided.
    pub fn read(&mut self, path: impl Into<String>, value: impl fmt::Display) {
        self.reads.push(Read { path: path.into(), value: value.to_string() });
    }

    /// Says what is said when nothing is missing.
    pub fn done(&mut self, rule: impl Into<RuleId>, message: impl Into<String>) {
        self.complete = Some(Done { rule: rule.into(), word: None, message: message.into() });
    }

    /// Adds something worth knowing.
    pub fn note(&mut self, word: impl Into<String>, message: impl Into<String>) {
        self.notes.push(Note::new(word, message));
    }

    /// Adds something worth a warning.
    pub fn warn(&mut self, word: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Note::new(word, message));
    }
}
