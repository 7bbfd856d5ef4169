//! Which kinds of votes keep an entry in the end, also through what it belongs to.

use std::collections::{BTreeSet, HashMap};

use crate::ecr::plan::{PlannedImage, VoteKind};
use crate::images::Digest;

/// Returns for every image, in the order given, the kinds of votes that keep it. A vote of what needs it counts as that
/// vote, so that what an index of a rollback lists is kept by the rollback.
pub(super) fn kinds(images: &[&PlannedImage]) -> Vec<BTreeSet<VoteKind>> {
    let places: HashMap<Digest, usize> = images.iter().enumerate().map(|(at, image)| (image.digest, at)).collect();
    let own = |image: &&PlannedImage| -> BTreeSet<VoteKind> {
        image.kept.iter().map(|vote| vote.vote).filter(|vote| *vote != VoteKind::Referenced).collect()
    };
    let mut kinds: Vec<BTreeSet<VoteKind>> = images.iter().map(own).collect();
    // From what needs to what is needed.
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); images.len()];
    for (at, image) in images.iter().enumerate() {
        needs[at].extend(image.children.iter().filter_map(|child| places.get(child)));
        for subject in image.subjects.iter().filter_map(|subject| places.get(subject)) {
            needs[*subject].push(at);
        }
        let referenced = image.kept.iter().filter(|vote| vote.vote == VoteKind::Referenced);
        let children = referenced.filter_map(|vote| vote.by.strip_prefix("child ")?.parse::<Digest>().ok());
        for child in children.filter_map(|child| places.get(&child).copied()) {
            needs[child].push(at);
        }
    }
    let referenced: Vec<bool> =
        images.iter().map(|image| image.kept.iter().any(|vote| vote.vote == VoteKind::Referenced)).collect();
    let mut open: Vec<usize> = (0..images.len()).filter(|at| !kinds[*at].is_empty()).collect();
    while let Some(at) = open.pop() {
        let from = kinds[at].clone();
        for to in needs[at].iter().copied().filter(|to| referenced[*to]) {
            let before = kinds[to].len();
            kinds[to].extend(&from);
            if kinds[to].len() > before {
                open.push(to);
            }
        }
    }
    kinds
}
