//! From votes to decisions: quarantine, action, caps, and what goes before what.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::plan::{Decision, RefusalReason, VoteKind};
use super::super::policy::{Action, Cap, Rule};
use super::super::snapshot::{RepositorySnapshot, Status};
use super::closure;
use super::graph::Graph;
use super::refusals::Refusals;
use super::usage::Judged;
use super::votes::{self, History, Moment};
use crate::images::Digest;

/// What becomes of the entries of one repository.
pub(super) struct Verdicts {
    pub(super) repository: String,
    pub(super) decisions: Vec<Decision>,
    /// No vote but that of the quarantine, a refusal or a rule that only reports.
    pub(super) candidates: Vec<bool>,
    pub(super) because: Vec<Vec<String>>,
    pub(super) births: Vec<Option<Timestamp>>,
    /// Since which plan an entry has had no vote but that of the quarantine.
    pub(super) since: Vec<Option<Timestamp>>,
}

impl Verdicts {
    pub(super) fn planned(&self) -> usize {
        self.decisions.iter().filter(|decision| **decision != Decision::Keep).count()
    }

    pub(super) fn refuse(&mut self) {
        for (decision, candidate) in self.decisions.iter_mut().zip(&mut self.candidates) {
            if *decision != Decision::Keep {
                (*decision, *candidate) = (Decision::Keep, true);
            }
        }
    }
}

/// Decides over one repository whose votes are cast and closed.
pub(super) fn decide(
    judged: &mut Judged<'_>,
    repository: &RepositorySnapshot,
    history: &History<'_>,
    moment: &Moment<'_>,
    refusals: &mut Refusals,
) -> Verdicts {
    let candidates: Vec<bool> = judged.votes.iter().map(Vec::is_empty).collect();
    let since = candidates.iter().zip(repository.entries.iter()).map(|(candidate, entry)| {
        let row = || history.candidate(entry.digest, moment.now).map_or(moment.now, |(since, _)| since);
        candidate.then(row)
    });
    let since = since.collect();
    let mut because = vec![Vec::new(); candidates.len()];
    for at in (0..candidates.len()).filter(|at| candidates[*at]) {
        match quarantine(judged.rule, repository.entries[at].digest, history, moment) {
            Ok(said) => because[at].extend(said),
            Err(said) => judged.vote(at, VoteKind::RecentUse, said, None),
        }
    }
    closure::close(judged);
    if judged.rule.action == Action::ArchiveThenDelete {
        let is_active = |at: usize| repository.entries[at].status == Status::Active;
        let archives = |judged: &Judged<'_>, at: usize| judged.votes[at].is_empty() && is_active(at);
        let goes = |judged: &Judged<'_>, at: usize| judged.votes[at].is_empty() && !is_active(at);
        closure::keep_restorable(judged, archives, goes);
    }
    let refused = refusals.reasons.contains_key(judged.name);
    let decisions = repository.entries.iter().enumerate().map(|(at, entry)| {
        if refused || !judged.votes[at].is_empty() {
            return Decision::Keep;
        }
        match (judged.rule.action, &entry.status) {
            (Action::Report, _) => Decision::Keep,
            (Action::Archive, _) | (Action::ArchiveThenDelete, Status::Active) => Decision::Archive,
            // What is not archived for long enough has a vote.
            (Action::ArchiveThenDelete | Action::Delete, _) => Decision::Delete,
        }
    });
    let decisions: Vec<Decision> = decisions.collect();
    let candidates =
        candidates.iter().zip(&decisions).map(|(candidate, decision)| *candidate && *decision == Decision::Keep);
    let births = (0..decisions.len()).map(|at| votes::born(repository, at, history)).collect();
    let (repository_name, candidates) = (judged.name.to_owned(), candidates.collect());
    let mut verdicts = Verdicts { repository: repository_name, candidates, decisions, because, births, since };
    let (planned, all) = (verdicts.planned(), repository.entries.len());
    let caps = &moment.policy.caps;
    let exceeded = match (caps.share, caps.per_repository) {
        (Cap::Percent(percent), _) if planned * 100 > all * usize::from(percent) => {
            Some(format!("{planned} of {all} entries would go, caps.share allows {percent}%"))
        }
        (_, Cap::Entries(most)) if u64::try_from(planned).is_ok_and(|planned| planned > most) => {
            Some(format!("{planned} entries would go, caps.perRepository allows {most}"))
        }
        _ => None,
    };
    if let Some(message) = exceeded {
        refusals.because(judged.name, RefusalReason::CapExceeded, message);
        verdicts.refuse();
    }
    verdicts
}

/// Says since when an entry has been a candidate, or, as an error, that it has not been one for long enough.
fn quarantine(
    rule: &Rule,
    digest: Digest,
    history: &History<'_>,
    moment: &Moment<'_>,
) -> Result<Option<String>, String> {
    let Some(quarantine) = rule.quarantine else { return Ok(None) };
    let (since, plans) = history.candidate(digest, moment.now).unwrap_or((moment.now, 1));
    let from = since.checked_add(quarantine.apart.0).unwrap_or(Timestamp::MAX);
    let enough = u64::try_from(plans).is_ok_and(|plans| plans >= quarantine.plans);
    if enough && moment.now >= from {
        return Ok(Some(format!("candidate since {} in {plans} plans", since.strftime("%Y-%m-%d"))));
    }
    let needed = quarantine.plans;
    Err(format!("quarantine: candidate since {since}, may go from {from}; this is plan {plans} of {needed}"))
}

/// Returns for every planned entry how many steps must be done before it, counted from 1: parents before children,
/// subjects before what is attached to them.
pub(super) fn orders(graph: &Graph<'_>, decisions: &[Decision]) -> Vec<Option<u64>> {
    let is_planned = |at: &usize| decisions[*at] != Decision::Keep;
    let mut orders: Vec<Option<u64>> = vec![None; decisions.len()];
    // Depth first, each entry after everything that must go before it. An entry that is met again on the way to itself
    // closes a circle through a subject, whose edge is then left out.
    let mut on_the_way = BTreeSet::new();
    for start in (0..decisions.len()).filter(is_planned) {
        let mut open = vec![(start, false)];
        while let Some((at, ready)) = open.pop() {
            if orders[at].is_some() {
                continue;
            }
            let subjects = graph.subjects[at].iter().filter_map(|subject| graph.by_digest(*subject));
            let before: Vec<usize> = graph.parents[at].iter().copied().chain(subjects).filter(is_planned).collect();
            if ready {
                let highest = before.iter().filter_map(|other| orders[*other]).max();
                orders[at] = Some(highest.unwrap_or(0) + 1);
                on_the_way.remove(&at);
                continue;
            }
            on_the_way.insert(at);
            open.push((at, true));
            open.extend(before.into_iter().filter(|other| !on_the_way.contains(other)).map(|other| (other, false)));
        }
    }
    orders
}
