//! What a kept entry keeps: upwards where a digest was named, downwards always.

use super::super::plan::VoteKind;
use super::usage::Judged;

/// Carries votes on: to the indexes that list an entry named by its digest, to children, to what is attached.
///
/// A child that is kept for itself must not keep an index that is dead; so only digests that were named or pulled lead
/// upwards, and what was reached downwards leads only further down. May be called again after further votes.
pub(super) fn close(repository: &mut Judged<'_>) {
    let mut open: Vec<usize> = repository.direct.iter().copied().collect();
    let pulled = repository
        .votes
        .iter()
        .enumerate()
        .filter(|(_, votes)| votes.iter().any(|vote| matches!(vote.vote, VoteKind::Pulled | VoteKind::Inspector)));
    open.extend(pulled.map(|(at, _)| at));
    open.retain(|at| !repository.votes[*at].is_empty());
    while let Some(at) = open.pop() {
        for parent in repository.graph.parents[at].clone() {
            if refer(repository, parent, "child", at) {
                open.push(parent);
            }
        }
    }
    let mut open: Vec<usize> = (0..repository.votes.len()).filter(|at| !repository.votes[*at].is_empty()).collect();
    while let Some(at) = open.pop() {
        for child in repository.graph.children[at].clone() {
            let first = repository.votes[child].is_empty();
            if refer(repository, child, "parent", at) && first {
                open.push(child);
            }
        }
        for attached in repository.graph.attached[at].clone() {
            let first = repository.votes[attached].is_empty();
            if refer(repository, attached, "subject", at) && first {
                open.push(attached);
            }
        }
    }
}

/// Lets `from` keep `at`; returns whether that is new.
fn refer(repository: &mut Judged<'_>, at: usize, relation: &str, from: usize) -> bool {
    let by = format!("{relation} {}", repository.graph.entries[from].digest);
    let known = repository.votes[at].iter().any(|vote| vote.vote == VoteKind::Referenced && vote.by == by);
    if !known {
        repository.vote(at, VoteKind::Referenced, by, None);
    }
    !known
}
