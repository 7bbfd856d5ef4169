//! What a kept entry keeps: upwards where a digest was named, downwards always.

use super::super::plan::VoteKind;
use super::usage::Judged;

/// Which entries have carried their votes on already: each does so once in either direction.
#[derive(Debug, Default)]
pub(super) struct Carried {
    up: Vec<bool>,
    down: Vec<bool>,
}

impl Carried {
    pub(super) fn none(entries: usize) -> Self {
        Self { up: vec![false; entries], down: vec![false; entries] }
    }
}

/// Carries votes on: to the indexes that list an entry named by its digest, to children, to what is attached.
///
/// A child that is kept for itself must not keep an index that is dead; so only digests that were named or pulled lead
/// upwards, and what was reached downwards leads only further down. May be called again after further votes.
pub(super) fn close(repository: &mut Judged<'_>) {
    let leads_up = |at: &usize| {
        let pulled = |at| {
            let votes: &Vec<_> = &repository.votes[at];
            votes
                .iter()
                .any(|vote: &super::super::plan::Vote| matches!(vote.vote, VoteKind::Pulled | VoteKind::Inspector))
        };
        !repository.votes[*at].is_empty() && (repository.direct.contains(at) || pulled(*at))
    };
    let mut open: Vec<usize> = (0..repository.votes.len()).filter(leads_up).collect();
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut repository.carried.up[at], true) {
            continue;
        }
        for place in 0..repository.graph.parents[at].len() {
            let parent = repository.graph.parents[at][place];
            refer(repository, parent, "child", at);
            open.push(parent);
        }
    }
    let mut open: Vec<usize> = (0..repository.votes.len()).filter(|at| !repository.votes[*at].is_empty()).collect();
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut repository.carried.down[at], true) {
            continue;
        }
        for place in 0..repository.graph.children[at].len() {
            let child = repository.graph.children[at][place];
            refer(repository, child, "parent", at);
            open.push(child);
        }
        for place in 0..repository.graph.attached[at].len() {
            let attached = repository.graph.attached[at][place];
            refer(repository, attached, "subject", at);
            open.push(attached);
        }
    }
}

/// Lets what is archived already, and hangs below an entry that is to be archived, stay with it: what can be restored
/// must be whole then.
pub(super) fn keep_restorable(
    repository: &mut Judged<'_>,
    to_archive: impl Fn(&Judged<'_>, usize) -> bool,
    goes: impl Fn(&Judged<'_>, usize) -> bool,
) {
    let archived: Vec<usize> = (0..repository.votes.len()).filter(|at| to_archive(repository, *at)).collect();
    for at in archived {
        let children = repository.graph.children[at].iter().map(|child| (*child, "parent"));
        let attached = repository.graph.attached[at].iter().map(|attached| (*attached, "subject"));
        let below: Vec<_> = children.chain(attached).filter(|(below, _)| goes(repository, *below)).collect();
        for (below, relation) in below {
            refer(repository, below, relation, at);
        }
    }
    close(repository);
}

/// Lets `from` keep `at`.
fn refer(repository: &mut Judged<'_>, at: usize, relation: &str, from: usize) {
    let by = format!("{relation} {}", repository.graph.entries[from].digest);
    repository.vote(at, VoteKind::Referenced, by, None);
}
