//! What the caller asks for: the level, the hold times, what paused means.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::reason::{Class, Reason, Word};
use super::rules::Rules;

/// How long a suspect is only suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hold {
    /// This many seconds; for [`Class::Budget`] this many restarts.
    Seconds(u32),
    /// It never fails by itself; only the deadline ends it.
    Never,
}

impl Hold {
    /// Returns the time, `None` for [`Hold::Never`].
    #[must_use]
    pub fn duration(self) -> Option<SignedDuration> {
        match self {
            Self::Seconds(seconds) => Some(SignedDuration::from_secs(i64::from(seconds))),
            Self::Never => None,
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the word of the contract.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|()| serde::de::Error::custom(format!("unknown word {text:?}")))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|value| value.word() == text).ok_or(())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// How far the set must come; each level contains the ones before it.
    Level {
        /// The controller has read the spec.
        Observed = "observed",
        /// Every pod runs the new template.
        Updated = "updated",
        /// Every pod is available.
        Available = "available",
        /// And no pod of an older template is left, terminating ones included.
        Gone = "gone",
        /// And every Service routes to the new pods, in every address family.
        Serving = "serving",
        /// And nothing has changed or restarted for the settle time.
        Stable = "stable",
    }
}

words! {
    /// How patient the early-failure classes are.
    Profile {
        /// For a pipeline that would rather roll back once too often.
        Strict = "strict",
        /// The default.
        Normal = "normal",
        /// For clusters that heal slowly.
        Patient = "patient",
    }
}

words! {
    /// What a paused object counts as.
    Paused {
        /// Neither yes nor no.
        Suspended = "suspended",
        /// As good as done.
        Complete = "complete",
        /// A failure.
        Failed = "failed",
    }
}

words! {
    /// When a Job is done.
    JobMode {
        /// Its work has succeeded.
        Complete = "complete",
        /// Its pods have started.
        Started = "started",
    }
}

words! {
    /// When a bare pod is done.
    PodMode {
        /// It is ready.
        Ready = "ready",
        /// Its containers have ended well.
        Complete = "complete",
    }
}

words! {
    /// What proves that a status belongs to its spec.
    EvidenceFloor {
        /// A generation or a witness.
        Any = "any",
        /// A generation only.
        Strong = "strong",
    }
}

words! {
    /// What the first failure does to the rest of the set.
    OnFailure {
        /// The wait ends.
        Fast = "fast",
        /// The wait gathers every verdict.
        Collect = "collect",
    }
}

/// A number of nodes, or a share of those that a `DaemonSet` wants pods on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NodeBudget {
    /// This many.
    Nodes(u32),
    /// This many of a hundred, rounded down.
    Percent(u8),
}

impl NodeBudget {
    /// Whatever is broken may be left out.
    pub const ALL: Self = Self::Percent(100);

    /// Returns how many of `desired` nodes it allows.
    #[must_use]
    pub fn of(self, desired: i32) -> usize {
        let desired = usize::try_from(desired).unwrap_or(0);
        match self {
            Self::Nodes(nodes) => usize::try_from(nodes).unwrap_or(usize::MAX),
            Self::Percent(percent) => desired.saturating_mul(usize::from(percent)) / 100,
        }
    }
}

impl std::fmt::Display for NodeBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nodes(nodes) => write!(f, "{nodes}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl std::str::FromStr for NodeBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no number of nodes: as in 2, or 10%");
        match text.strip_suffix('%') {
            Some(percent) => {
                percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent).ok_or_else(wrong)
            }
            None => text.parse().map(Self::Nodes).map_err(|_| wrong()),
        }
    }
}

impl TryFrom<String> for NodeBudget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NodeBudget> for String {
    fn from(budget: NodeBudget) -> Self {
        budget.to_string()
    }
}

/// Everything a caller can ask of a wait.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// How far the set must come.
    pub until: Level,
    /// Hold times and restart budget.
    pub profile: Profile,
    /// Holds of single reasons, by the word shown or by the row's word; they beat the profile.
    pub holds: BTreeMap<String, Hold>,
    /// What a paused object counts as.
    pub paused: Paused,
    /// What proves that a status belongs to its spec.
    pub evidence: EvidenceFloor,
    /// A status that nothing ties to its spec is believed all the same.
    pub assume_observed: bool,
    /// A newer generation written by somebody else is followed.
    pub follow: bool,
    /// When a Job is done.
    pub job_mode: JobMode,
    /// When a bare pod is done.
    pub pod_mode: PodMode,
    /// How many broken nodes a `DaemonSet` may leave out and still be done.
    pub max_broken_nodes: NodeBudget,
    /// What the first failure does to the rest.
    pub on_failure: OnFailure,
    /// The whole wait; `None` waits for ever, and is written as such: a recording that left it out would end sooner.
    pub timeout: Option<SignedDuration>,
    /// No progress of any open item for this long ends the wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall: Option<SignedDuration>,
    /// Quiet time after success.
    pub settle: SignedDuration,
    /// Judge once and end.
    pub once: bool,
    /// What vendors' kinds mean, and what callers say themselves.
    pub rules: Rules,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            until: Level::Available,
            profile: Profile::Normal,
            holds: BTreeMap::new(),
            paused: Paused::Suspended,
            evidence: EvidenceFloor::Any,
            assume_observed: false,
            follow: false,
            job_mode: JobMode::Complete,
            pod_mode: PodMode::Ready,
            max_broken_nodes: NodeBudget::ALL,
            on_failure: OnFailure::Fast,
            timeout: Some(SignedDuration::from_mins(10)),
            stall: None,
            settle: SignedDuration::ZERO,
            once: false,
            rules: Rules::default(),
        }
    }
}

/// How long a reason is held, and in what unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It fails once it is older than this.
    For(SignedDuration),
    /// It fails once the container has restarted more often than this.
    Restarts(u32),
    /// It never fails by itself.
    Never,
}

impl Policy {
    /// Returns how long `word` is held; `own` replaces the profile's hold where the suspect computed one.
    #[must_use]
    pub fn patience(&self, word: &Word, own: Option<[Hold; 3]>) -> Patience {
        let set = self.holds.get(word.as_str()).or_else(|| self.holds.get(word.reason.word()));
        if let Some(hold) = set {
            return hold.duration().map_or(Patience::Never, Patience::For);
        }
        let hold = own.map_or_else(|| word.reason.hold(self.profile), |own| self.of_profile(own));
        match (word.reason.class(), hold) {
            (Class::Budget, Hold::Seconds(restarts)) => Patience::Restarts(restarts),
            (_, hold) => hold.duration().map_or(Patience::Never, Patience::For),
        }
    }

    /// Returns the restarts a container may have before it has failed.
    #[must_use]
    pub fn restart_budget(&self) -> u32 {
        match Reason::CrashLoop.hold(self.profile) {
            Hold::Seconds(restarts) => restarts,
            Hold::Never => u32::MAX,
        }
    }

    fn of_profile(&self, [strict, normal, patient]: [Hold; 3]) -> Hold {
        match self.profile {
            Profile::Strict => strict,
            Profile::Normal => normal,
            Profile::Patient => patient,
        }
    }
}
