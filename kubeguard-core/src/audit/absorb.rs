//! Findings that others make redundant.

use std::collections::{BTreeSet, HashMap};

use super::engine::Work;
use super::report::ObjectName;

/// The same fact seen by several families: the worse finding stays, of equal ones the first named.
const GROUPS: &[&[&str]] = &[
    &["PA101", "PA102", "ROLL-009"],
    &["ROLL-003", "PA316"],
    &["ROLL-002", "PA317"],
    &["ROLL-008", "PA314"],
    &["PA409", "ROLL-015"],
    &["PA106", "INIT-018"],
    &["ZJ701", "ZJ405", "INIT-011"],
    &["INIT-009", "PA702"],
    &["PA405", "INIT-016"],
];

/// Takes out what others make redundant; all is decided on the full set, so that order does not matter.
pub(super) fn absorb(mut works: Vec<Work<'_>>) -> Vec<Work<'_>> {
    // One order whatever the order of reading: what is equal otherwise is decided by it.
    works.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut same: HashMap<&ObjectName, Vec<usize>> = HashMap::new();
    let mut roots: HashMap<&ObjectName, Vec<usize>> = HashMap::new();
    for (index, work) in works.iter().enumerate() {
        same.entry(&work.finding.object).or_default().push(index);
        roots.entry(&work.root).or_default().push(index);
    }
    let mut by: Vec<Option<usize>> = vec![None; works.len()];
    let mut remove = |loser: usize, winner: usize| {
        if let Some(place) = by.get_mut(loser)
            && place.is_none()
        {
            *place = Some(winner);
        }
    };
    for (winner, work) in works.iter().enumerate() {
        for absorbed in work.rule.absorbs {
            let near = if absorbed.root { roots.get(&work.root) } else { same.get(&work.finding.object) };
            for loser in near.into_iter().flatten().copied() {
                let meant = |other: &Work<'_>| {
                    absorbed.probes.is_empty() || other.probe.is_none_or(|probe| absorbed.probes.contains(&probe))
                };
                let fits = |other: &Work<'_>| other.finding.rule == absorbed.rule && alike(work, other) && meant(other);
                if loser != winner && works.get(loser).is_some_and(fits) {
                    remove(loser, winner);
                }
            }
        }
    }
    for near in same.values() {
        for group in GROUPS {
            let place =
                |index: &usize| works.get(*index).and_then(|work| group.iter().position(|id| *id == work.finding.rule));
            let mut members: Vec<usize> = near.iter().copied().filter(|index| place(index).is_some()).collect();
            // The worst first, of equal ones the first named.
            members
                .sort_by_key(|index| (works.get(*index).map(|w| std::cmp::Reverse(w.finding.severity)), place(index)));
            for (at, winner) in members.iter().enumerate() {
                for loser in members.iter().skip(at + 1) {
                    if let (Some(a), Some(b)) = (works.get(*winner), works.get(*loser))
                        && a.finding.rule != b.finding.rule
                        && alike(a, b)
                    {
                        remove(*loser, *winner);
                    }
                }
            }
        }
    }
    let survivor = |index: usize| {
        let (mut at, mut seen) = (index, BTreeSet::from([index]));
        while let Some(Some(next)) = by.get(at) {
            if !seen.insert(*next) {
                return None;
            }
            at = *next;
        }
        Some(at)
    };
    let mut also: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    let mut gone: BTreeSet<usize> = BTreeSet::new();
    for index in 0..works.len() {
        if let Some(at) = survivor(index).filter(|at| *at != index) {
            also.entry(at).or_default().insert(index);
            gone.insert(index);
        }
    }
    drop((same, roots));
    for (at, losers) in also {
        let lost: Vec<(String, super::Severity)> = losers
            .iter()
            .filter_map(|index| works.get(*index))
            .map(|work| (work.finding.rule.clone(), work.finding.severity))
            .collect();
        let Some(work) = works.get_mut(at) else { continue };
        for (rule, severity) in lost {
            let finding = &mut work.finding;
            finding.severity = finding.proof.caps(finding.severity.max(severity));
            if !finding.also.contains(&rule) && finding.rule != rule {
                finding.also.push(rule);
            }
        }
        work.finding.also.sort();
    }
    let kept = works.into_iter().enumerate().filter(|(index, _)| !gone.contains(index));
    kept.map(|(_, work)| work).collect()
}

fn key<'b>(work: &'b Work<'_>) -> impl Ord + 'b {
    let finding = &work.finding;
    (&finding.object, &finding.rule, &finding.container, work.probe, &finding.fingerprint)
}

/// The same container and the same probe, where both name one.
fn alike(one: &Work<'_>, other: &Work<'_>) -> bool {
    let same = |a: Option<&str>, b: Option<&str>| a.is_none() || b.is_none() || a == b;
    same(one.finding.container.as_deref(), other.finding.container.as_deref()) && same(one.probe, other.probe)
}
