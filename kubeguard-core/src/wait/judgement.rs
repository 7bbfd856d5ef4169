//! Applies hold times to what the rules found: suspects become failures, or stay suspects.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::object::{Clock, ObjectKey};
use super::policy::{Level, Patience, Paused, Policy, Profile};
use super::reason::{Class, Reason, Word};
use super::verdict::{Evidence, Note, Outcome, Read, RuleId, Statement, Suspect, Verdict};

/// What the gate knows about the object's generations; travels with every judgement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generations {
    /// Generation of the spec.
    pub current: Option<i64>,
    /// Generation that the controller has observed.
    pub observed: Option<i64>,
}

/// The answer for one object at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason, where there is something to say.
    pub word: Option<Word>,
    /// Details for people.
    pub message: String,
    /// Id of the rule that decided.
    pub rule: RuleId,
    /// What ties the status to the spec; `None` before anything was seen.
    pub evidence: Option<Evidence>,
    /// Generation of the spec and the one observed.
    pub generations: Generations,
    /// Signs of failure, worst first; those before `failed` are past their hold.
    pub suspects: Vec<Suspect>,
    /// How many of `suspects` are past their hold.
    pub past_hold: usize,
    /// When the next hold is over.
    pub fails_at: Option<Timestamp>,
    /// Things worth knowing that decide nothing.
    pub notes: Vec<Note>,
    /// Things worth a warning.
    pub warnings: Vec<Note>,
    /// The fields that decided.
    pub reads: Vec<Read>,
    /// What would change the verdict.
    pub flips: Vec<String>,
}

/// What one wait remembers of an object's suspects: times that no object carries.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    seen: BTreeMap<SuspectKey, Sighting>,
    available: Option<i64>,
    risen_at: Option<Timestamp>,
}

type SuspectKey = (ObjectKey, Option<String>, Reason);

#[derive(Debug, Clone, Copy)]
struct Sighting {
    first: Timestamp,
    /// Since when it has not been there.
    gone: Option<Timestamp>,
}

impl Memory {
    /// Remembers the suspects of this moment, forgets those gone for longer than their hold, and notes whether more
    /// new pods have become available.
    fn remember(&mut self, outcome: &Outcome, policy: &Policy, now: Timestamp) {
        if let Some(available) = outcome.available {
            if self.available.is_some_and(|before| available > before) {
                self.risen_at = Some(now);
            }
            self.available = Some(available);
        }
        let present: BTreeSet<SuspectKey> = outcome.suspects.iter().map(key).collect();
        for (_, sighting) in self.seen.iter_mut().filter(|(key, _)| !present.contains(*key)) {
            sighting.gone.get_or_insert(now);
        }
        for suspect in &outcome.suspects {
            let hold = match policy.patience(&suspect.word, suspect.holds) {
                Patience::For(hold) => hold,
                Patience::Restarts(_) | Patience::Never => SignedDuration::MAX,
            };
            let sighting = self.seen.entry(key(suspect)).or_insert(Sighting { first: now, gone: None });
            if sighting.gone.take().is_some_and(|gone| now.duration_since(gone) > hold) {
                sighting.first = now;
            }
        }
    }

    fn first_seen(&self, suspect: &Suspect) -> Option<Timestamp> {
        self.seen.get(&key(suspect)).map(|sighting| sighting.first)
    }
}

/// `ErrImagePull` and `ImagePullBackOff` alternate; one state, so one entry.
fn key(suspect: &Suspect) -> SuspectKey {
    let reason = match suspect.word.reason {
        Reason::ImageNotFound | Reason::ImageAuth => Reason::ImagePullBackOff,
        reason => reason,
    };
    (suspect.at.clone(), suspect.container.clone(), reason)
}

/// Where a suspect stands with its hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Past,
    Until(Timestamp),
    Open,
}

fn standing(suspect: &Suspect, policy: &Policy, clock: Clock, memory: &Memory) -> Standing {
    let hold = match policy.patience(&suspect.word, suspect.holds) {
        Patience::Never => return Standing::Open,
        Patience::Restarts(budget) => {
            let beyond = suspect.restarts.is_none_or(|restarts| restarts > budget);
            return if beyond { Standing::Past } else { Standing::Open };
        }
        Patience::For(hold) => hold,
    };
    if hold.is_zero() {
        return Standing::Past;
    }
    let seen = if clock.start.is_some() { memory.first_seen(suspect) } else { None };
    let Some(mut begun) = suspect.since.or(seen) else { return Standing::Past };
    if suspect.of_pod && suspect.class() == Class::Probable {
        begun = begun.max(memory.risen_at.unwrap_or(begun));
    }
    let begun = begun.min(clock.now);
    match begun.checked_add(hold) {
        Ok(end) if clock.now <= end => Standing::Until(end),
        _ => Standing::Past,
    }
}

/// Judges what the rules found. `memory` is that of the object in this wait; a look at a file brings an empty one.
///
/// Order: settled by the object itself · a suspect past its hold · suspended · a suspect within its hold · the first
/// thing missing · complete.
#[must_use]
pub fn resolve(
    mut outcome: Outcome,
    evidence: Option<Evidence>,
    generations: Generations,
    policy: &Policy,
    clock: Clock,
    memory: &mut Memory,
) -> Judgement {
    memory.remember(&outcome, policy, clock.now);
    let waits_for_pods = policy.profile == Profile::Patient && outcome.undecided_pods > 0;
    let mut ranked: Vec<(Standing, Suspect)> = std::mem::take(&mut outcome.suspects)
        .into_iter()
        .map(|suspect| match standing(&suspect, policy, clock, memory) {
            Standing::Past if suspect.of_pod && waits_for_pods => (Standing::Open, suspect),
            standing => (standing, suspect),
        })
        .collect();
    rank(&mut ranked);
    let past_hold = ranked.iter().take_while(|(standing, _)| *standing == Standing::Past).count();
    let fails_at = ranked
        .iter()
        .filter_map(|(standing, _)| match standing {
            Standing::Until(end) => Some(*end),
            Standing::Past | Standing::Open => None,
        })
        .min();
    let suspects: Vec<Suspect> = ranked.into_iter().map(|(_, suspect)| suspect).collect();

    let missing = outcome.progressing.first();
    let (verdict, word, message, rule) = if let Some((verdict, said)) = &outcome.settled {
        (*verdict, Some(said.word.clone()), said.message.clone(), said.rule.clone())
    } else if let (true, Some(worst)) = (past_hold > 0, suspects.first()) {
        (worst.becomes(), Some(worst.word.clone()), with_progress(missing, worst), worst.rule.clone())
    } else if let Some(said) = &outcome.suspended {
        let verdict = match policy.paused {
            Paused::Suspended => Verdict::Suspended,
            Paused::Complete => Verdict::Complete,
            Paused::Failed => Verdict::Failed,
        };
        (verdict, Some(said.word.clone()), said.message.clone(), said.rule.clone())
    } else if let Some(worst) = suspects
        .first()
        .filter(|worst| missing.is_some() || (policy.until != Level::Observed && blocked(&suspects, worst)))
    {
        (Verdict::Progressing, Some(worst.word.clone()), with_progress(missing, worst), worst.rule.clone())
    } else if let Some(said) = missing {
        (Verdict::Progressing, Some(said.word.clone()), said.message.clone(), said.rule.clone())
    } else if let Some(done) = &outcome.complete {
        (Verdict::Complete, done.word.clone(), done.message.clone(), done.rule.clone())
    } else {
        (Verdict::Progressing, Some(Reason::NotReady.into()), String::new(), "WD-Q15".into())
    };

    Judgement {
        verdict,
        word,
        message,
        rule,
        evidence,
        generations,
        suspects,
        past_hold,
        fails_at: (verdict == Verdict::Progressing).then_some(fails_at).flatten(),
        notes: outcome.notes,
        warnings: outcome.warnings,
        reads: outcome.reads,
        flips: outcome.flips,
    }
}

fn blocked(suspects: &[Suspect], worst: &Suspect) -> bool {
    worst.blocks_complete() || suspects.iter().any(Suspect::blocks_complete)
}

/// Past hold first; then class, number of equal suspects, age and name.
fn rank(suspects: &mut [(Standing, Suspect)]) {
    let mut equal: BTreeMap<(Word, Option<String>), usize> = BTreeMap::new();
    for (_, suspect) in &*suspects {
        *equal.entry((suspect.word.clone(), suspect.container.clone())).or_default() += 1;
    }
    suspects.sort_by_cached_key(|(standing, suspect)| {
        let count = equal.get(&(suspect.word.clone(), suspect.container.clone())).copied().unwrap_or(1);
        (
            *standing != Standing::Past,
            suspect.class(),
            Reverse(count),
            suspect.since.unwrap_or(Timestamp::MAX),
            suspect.at.clone(),
            suspect.container.clone(),
            suspect.word.clone(),
        )
    });
}

fn with_progress(missing: Option<&Statement>, worst: &Suspect) -> String {
    match missing {
        Some(said) if !said.message.is_empty() && said.message != worst.message => {
            format!("{}: {}", said.message, worst.message)
        }
        _ => worst.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn outcome(suspect: Suspect) -> Outcome {
        let mut outcome = Outcome { suspects: vec![suspect], ..Outcome::default() };
        outcome.done("WD-T", "all there");
        outcome
    }

    fn pod() -> ObjectKey {
        ObjectKey::new("", "Pod", "team", "web-1")
    }

    fn judge(outcome: Outcome, now: i64, memory: &mut Memory) -> Judgement {
        let clock = Clock { now: at(now), start: Some(at(0)) };
        resolve(outcome, Some(Evidence::Strong), Generations::default(), &Policy::default(), clock, memory)
    }

    #[test]
    fn a_suspect_without_a_time_is_measured_from_when_this_wait_first_saw_it() {
        let suspect = Suspect::new("WD-T", Reason::ImagePullBackOff, &pod(), "cannot pull");
        let mut memory = Memory::default();
        let first = judge(outcome(suspect.clone()), 10, &mut memory);
        assert_eq!((first.verdict, first.fails_at), (Verdict::Progressing, Some(at(100))));
        assert_eq!(judge(outcome(suspect.clone()), 100, &mut memory).verdict, Verdict::Progressing);
        assert_eq!(judge(outcome(suspect), 101, &mut memory).verdict, Verdict::Failed);
    }

    #[test]
    fn a_suspect_that_vanishes_for_longer_than_its_hold_starts_anew() {
        let suspect = Suspect::new("WD-T", Reason::FailedCreate, &pod(), "quota");
        let mut memory = Memory::default();
        let _ = judge(outcome(suspect.clone()), 0, &mut memory);
        let _ = judge(Outcome::default(), 20, &mut memory);
        assert_eq!(judge(outcome(suspect), 40, &mut memory).verdict, Verdict::Progressing);
    }

    #[test]
    fn a_file_has_no_later() {
        let suspect = Suspect::new("WD-T", Reason::ImagePullBackOff, &pod(), "cannot pull");
        let clock = Clock { now: at(0), start: None };
        let judged =
            resolve(outcome(suspect), None, Generations::default(), &Policy::default(), clock, &mut Memory::default());
        assert_eq!(judged.verdict, Verdict::Failed);
    }

    #[test]
    fn a_transient_sign_does_not_keep_complete_counters_from_being_complete() {
        let suspect = Suspect::new("WD-T", Reason::ImagePullNetwork, &pod(), "timeout");
        assert_eq!(judge(outcome(suspect), 0, &mut Memory::default()).verdict, Verdict::Complete);
    }

    #[test]
    fn more_available_pods_restart_the_hold_of_probable_signs() {
        let mut suspect = Suspect::new("WD-T", Reason::ImagePullBackOff, &pod(), "cannot pull").since(Some(at(0)));
        suspect.of_pod = true;
        let mut memory = Memory::default();
        for (now, available) in [(10, 1), (80, 2)] {
            let found = Outcome { available: Some(available), ..outcome(suspect.clone()) };
            assert_eq!(judge(found, now, &mut memory).verdict, Verdict::Progressing);
        }
        let found = Outcome { available: Some(2), ..outcome(suspect.clone()) };
        assert_eq!(judge(found.clone(), 120, &mut memory).verdict, Verdict::Progressing);
        assert_eq!(judge(found, 171, &mut memory).verdict, Verdict::Failed);
    }

    #[test]
    fn restarts_within_the_budget_are_not_a_failure() {
        let mut suspect = Suspect::new("WD-T", Reason::CrashLoop, &pod(), "exit 1");
        suspect.restarts = Some(2);
        assert_eq!(judge(outcome(suspect.clone()), 900, &mut Memory::default()).verdict, Verdict::Progressing);
        suspect.restarts = Some(3);
        assert_eq!(judge(outcome(suspect), 0, &mut Memory::default()).verdict, Verdict::Failed);
    }
}
