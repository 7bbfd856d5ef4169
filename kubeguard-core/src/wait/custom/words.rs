//! What a word of a status means: phases, reasons and states are classed by whole words, never by substrings.

/// The class of a word or phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::wait) enum WordClass {
    /// Somebody wants it to stand still.
    Suspend,
    /// The outside thing behind the object is not there.
    Missing,
    /// It failed.
    Fail,
    /// Work is going on.
    Progress,
    /// It is done.
    Done,
    /// Done for a service, progress for something that ends.
    Running,
    /// The controller itself does not know.
    Unknown,
    /// A done word with a negation.
    NotDone,
    /// No word of ours.
    Nothing,
}

impl WordClass {
    /// Returns its name for rules.
    pub(in crate::wait) const fn word(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Missing => "missing",
            Self::Fail => "fail",
            Self::Progress => "progress",
            Self::Done => "done",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::NotDone => "notdone",
            Self::Nothing => "nothing",
        }
    }
}

const SUSPEND: &str = "paused pause pausing suspended suspend suspending hibernated hibernating hibernation stopped";
const FAIL: &str = "fail fails failed failing failure failures error errors errored erroring err exception throwable \
    fatal fault faulted faulty panic invalid misconfigured rejected reject denied forbidden unauthorized \
    unauthenticated aborted abort degraded stalled unhealthy impaired broken crashed crashing crash crashloop corrupt \
    corrupted dead terminated evicted expired exceeded timeout conflict conflicts conflicted conflicting violation \
    violated missing orphan orphaned unreachable incompatible unsupported unsatisfiable terminal critical red";
const FAIL_PHRASES: &[&[&str]] = &[
    &["timed", "out"],
    &["not", "found"],
    &["does", "not", "exist"],
    &["do", "not", "exist"],
    &["not", "supported"],
    &["not", "allowed"],
    &["not", "permitted"],
    &["limit", "reached"],
    &["out", "of", "sync"],
    &["back", "off"],
];
const PROGRESS: &str = "progress inprogress init initialization uninitialized requested scheduled submitted queued wait \
    retry transfer maintenance partial partially unavailable warn warning yellow";
/// Words in -ing that say nothing of work going on.
const NO_PROGRESS: &str = "running serving listening working streaming leading replicating following existing \
    succeeding archiving standing opening incoming outgoing remaining warning missing failing setting binding mapping \
    routing networking logging monitoring tracing rating pricing billing sharing caching matching during spring string \
    ring thing nothing something anything everything";
const DONE: &str = "ready available healthy succeeded succeed success successful successfully complete completed done \
    finished established accepted admitted programmed synced synchronized valid validated verified deployed configured \
    provisioned applied bound reconciled compliant discoverable discovered advertised issued registered created exists \
    exist existing approved attached connected ok green joined loaded installed published enabled operational active \
    online up live stable idle served fulfilled passed pass resolved optimal normal";
const NEGATION: &str =
    "not no non none never without un cannot isn aren wasn weren doesn didn don couldn won hasn haven";

/// Returns whether `word` stands in a list of words.
pub(super) fn among(word: &str, list: &str) -> bool {
    list.split_ascii_whitespace().any(|entry| entry == word)
}

/// Splits a name into lower-case words: the part after the last `/`, cut at everything that is no letter or digit, at
/// `aB` and at `ABc`.
pub(super) fn split(text: &str) -> Vec<String> {
    let text = text.rsplit('/').next().unwrap_or(text);
    let chars: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, c) in chars.iter().copied().enumerate() {
        if !c.is_alphanumeric() {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
        let after = chars.get(at + 1).copied();
        let turns = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_uppercase() && after.is_some_and(char::is_lowercase))
            });
        if turns && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        word.extend(c.to_lowercase());
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Returns whether a word in -ing at the start or end of a phrase says that work is going on.
pub(super) fn is_going_on(word: &str) -> bool {
    word.len() >= 5 && word.ends_with("ing") && !among(word, NO_PROGRESS)
}

/// Returns the class of a word or phrase.
pub(in crate::wait) fn class(text: &str) -> WordClass {
    let words = split(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let any = |list: &str| words.iter().any(|word| among(word, list));
    let negated = any(NEGATION);
    let progress = any(PROGRESS)
        || words.first().copied().is_some_and(is_going_on)
        || words.last().copied().is_some_and(is_going_on);
    if any(SUSPEND) && !negated {
        return WordClass::Suspend;
    }
    if matches!(words.as_slice(), ["not", "found"] | ["missing" | "absent"]) {
        return WordClass::Missing;
    }
    if FAIL_PHRASES.iter().any(|phrase| words.windows(phrase.len()).any(|window| window == *phrase)) {
        return WordClass::Fail;
    }
    if negated {
        return if words.as_slice() == ["non", "compliant"] {
            WordClass::Fail
        } else if any(FAIL) || progress {
            WordClass::Nothing
        } else if any(DONE) || words.contains(&"running") {
            WordClass::NotDone
        } else {
            WordClass::Nothing
        };
    }
    if any(FAIL) {
        WordClass::Fail
    } else if words.contains(&"unknown") {
        WordClass::Unknown
    } else if progress {
        WordClass::Progress
    } else if words.contains(&"running") {
        WordClass::Running
    } else if any(DONE) {
        WordClass::Done
    } else {
        WordClass::Nothing
    }
}

/// Returns a phrase as one CamelCase word: `Failing over` → `FailingOver`.
pub(super) fn camel(text: &str) -> String {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).fold(String::new(), |mut all, word| {
        let mut chars = word.chars();
        all.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        all.push_str(chars.as_str());
        all
    })
}

/// Returns whether a reason is one CamelCase word, fit to be shown as it is.
pub(super) fn is_camel(text: &str) -> bool {
    text.chars().next().is_some_and(|c| c.is_ascii_uppercase()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_people_cut_them() {
        assert_eq!(split("ClusterIsNotReady"), ["cluster", "is", "not", "ready"]);
        assert_eq!(split("platform.confluent.io/app-ready"), ["app", "ready"]);
        assert_eq!(split("HEALTH_WARN"), ["health", "warn"]);
        assert_eq!(split("EKSControlPlaneUpdating"), ["eks", "control", "plane", "updating"]);
    }

    #[test]
    fn whole_words_decide_and_negations_turn_them() {
        for (text, expected) in [
            ("Running", WordClass::Running),
            ("Unavailable", WordClass::Progress),
            ("NotReady", WordClass::NotDone),
            ("NoErrors", WordClass::Nothing),
            ("NonCompliant", WordClass::Fail),
            ("Cluster in healthy state", WordClass::Done),
            ("Failing over", WordClass::Fail),
            ("Creating", WordClass::Progress),
            ("bucket in CREATING state", WordClass::Nothing),
            ("not found", WordClass::Missing),
            ("SecretNotFound", WordClass::Fail),
            ("Paused", WordClass::Suspend),
            ("unknown", WordClass::Unknown),
            ("green", WordClass::Done),
            ("Setting", WordClass::Nothing),
            ("isn't ready", WordClass::NotDone),
            ("cannot be ready", WordClass::NotDone),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }
}
