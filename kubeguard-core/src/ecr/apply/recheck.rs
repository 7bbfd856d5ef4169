//! Which planned entries may still go, by a fresh judgement and a fresh listing.

use std::collections::{BTreeSet, HashMap};

use super::{Past, SkipReason, Verdict};
use crate::ecr::plan::{Class, Decision, Plan, PlannedImage, VoteKind};
use crate::ecr::policy::Cap;
use crate::ecr::snapshot::{Entry, RepositorySnapshot, Status};
use crate::images::Digest;

/// One repository of a plan, with who needs whom.
#[derive(Debug, Default)]
pub(super) struct Side<'a> {
    pub(super) images: HashMap<Digest, &'a PlannedImage>,
    parents: HashMap<Digest, BTreeSet<Digest>>,
    attached: HashMap<Digest, BTreeSet<Digest>>,
}

impl<'a> Side<'a> {
    pub(super) fn of(plan: &'a Plan, repository: &str) -> Self {
        let mut side = Self::default();
        for image in plan.images.iter().filter(|image| image.repository == repository) {
            side.images.insert(image.digest, image);
            for child in &image.children {
                side.parents.entry(*child).or_default().insert(image.digest);
            }
            for subject in &image.subjects {
                side.attached.entry(*subject).or_default().insert(image.digest);
            }
        }
        side
    }

    /// What lists an entry, and what it is attached to.
    pub(super) fn before(&self, image: &PlannedImage) -> impl Iterator<Item = Digest> + use<'_> {
        let subjects: Vec<Digest> = image.subjects.clone();
        self.parents.get(&image.digest).into_iter().flatten().copied().chain(subjects)
    }

    /// Whether an entry has the same neighbours as in the plan, but for planned ones that are gone already.
    fn same_neighbours(planned: &Self, fresh: &Self, digest: Digest) -> bool {
        let none = BTreeSet::new();
        let goes = |digest: &Digest| planned.images.get(digest).is_some_and(|image| image.decision != Decision::Keep);
        let same = |planned: Option<&BTreeSet<Digest>>, now: Option<&BTreeSet<Digest>>| {
            let (planned, now) = (planned.unwrap_or(&none), now.unwrap_or(&none));
            now.is_subset(planned) && planned.difference(now).all(goes)
        };
        same(planned.parents.get(&digest), fresh.parents.get(&digest))
            && same(planned.attached.get(&digest), fresh.attached.get(&digest))
    }
}

/// An entry that may still go.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) digest: Digest,
    /// As it was seen last; its tags are those that are still to go.
    pub(super) seen: Entry,
    /// All its planned tags.
    pub(super) tags: Vec<String>,
    pub(super) decision: Decision,
    pub(super) order: u64,
}

impl Work {
    /// Whether an entry that is described again is still what was seen, but for tags that our own calls named.
    ///
    /// Pull times are not compared: our own reads move them.
    pub(super) fn is_still(&self, now: &Entry, past: &Past, repository: &str) -> bool {
        let ours = |tag: &&String| past.untagged(repository, self.digest, tag);
        now.pushed_at == self.seen.pushed_at
            && now.media_type == self.seen.media_type
            && now.status == self.seen.status
            && now.tags.iter().all(|tag| self.seen.tags.contains(tag))
            && self.seen.tags.iter().filter(|tag| !now.tags.contains(tag)).all(|tag| ours(&tag))
    }

    /// The planned tags that are not there.
    pub(super) fn removed(&self, now: &Entry) -> Vec<String> {
        self.tags.iter().filter(|tag| !now.tags.contains(tag)).cloned().collect()
    }
}

/// Sorts the planned entries of a repository into those that may still go, in their order, and what became of the others.
///
/// `listing` is what the registry has, `fresh` what is judged of it now.
pub(super) fn recheck(
    plan: &Plan,
    planned: &Side<'_>,
    fresh: &Side<'_>,
    listing: &RepositorySnapshot,
    past: &Past,
) -> (Vec<Work>, Vec<(Digest, Verdict)>) {
    let entries: HashMap<Digest, &Entry> = listing.entries.iter().map(|entry| (entry.digest, entry)).collect();
    let mut goes: Vec<&PlannedImage> =
        planned.images.values().copied().filter(|image| image.decision != Decision::Keep).collect();
    goes.sort_unstable_by_key(|image| (image.order, image.digest));
    let (mut work, mut settled) = (Vec::new(), Vec::new());
    for image in goes {
        match still(plan, planned, fresh, &entries, listing, past, image) {
            Ok(still) => work.push(still),
            Err(verdict) => settled.push((image.digest, verdict)),
        }
    }
    (work, settled)
}

fn still(
    plan: &Plan,
    planned: &Side<'_>,
    fresh: &Side<'_>,
    entries: &HashMap<Digest, &Entry>,
    listing: &RepositorySnapshot,
    past: &Past,
    image: &PlannedImage,
) -> Result<Work, Verdict> {
    let (repository, digest) = (image.repository.as_str(), image.digest);
    if let Some(done) = past.done(repository, digest) {
        return Err(Verdict::of(done));
    }
    let Some(entry) = entries.get(&digest) else {
        return Err(Verdict::of(super::batch::absent(past, repository, digest)));
    };
    let Some(now) = fresh.images.get(&digest) else {
        return Err(Verdict::skip(SkipReason::Kept, Some("the policy is not for this repository any more".to_owned())));
    };
    if image.decision == Decision::Archive && entry.status == Status::Archived && past.named(repository, digest) {
        return Err(Verdict::of(super::ItemState::Archived));
    }
    let used = |vote: &&crate::ecr::plan::Vote| {
        use VoteKind::{InUse, Inspector, RecentUse, Rollback, Standby};
        matches!(vote.vote, InUse | Rollback | RecentUse | Standby | Inspector)
    };
    if let Some(vote) = now.kept.iter().find(used) {
        return Err(Verdict::skip(SkipReason::InUse, Some(vote.by.clone())));
    }
    let own_read = listing.manifests_read.contains(&digest);
    let changed = || -> Option<&'static str> {
        let gone = |tag: &&String| !entry.tags.contains(tag);
        if entry.tags.iter().any(|tag| !image.tags.contains(tag)) {
            return Some("a tag was added");
        }
        if image.tags.iter().filter(gone).any(|tag| !past.untagged(repository, digest, tag)) {
            return Some("a tag was moved or removed");
        }
        if entry.pushed_at != image.pushed_at {
            return Some("it was pushed anew");
        }
        if entry.last_pulled_at != image.last_pulled_at && !own_read {
            return Some("it was pulled");
        }
        if entry.status != image.status || entry.conflicting {
            return Some("its status changed");
        }
        if now.children != image.children || now.subjects != image.subjects {
            return Some("what it lists or is attached to is told otherwise");
        }
        (!Side::same_neighbours(planned, fresh, digest)).then_some("something new lists it or is attached to it")
    };
    if let Some(why) = changed() {
        return Err(Verdict::skip(SkipReason::Changed, Some(why.to_owned())).removed(
            image
                .tags
                .iter()
                .filter(|tag| past.untagged(repository, digest, tag) && !entry.tags.contains(tag))
                .cloned()
                .collect(),
        ));
    }
    if let Some(vote) = now.kept.first() {
        return Err(Verdict::skip(SkipReason::Kept, Some(vote.by.clone())));
    }
    if now.decision != image.decision {
        return Err(Verdict::skip(SkipReason::Kept, Some("the policy would not do this any more".to_owned())));
    }
    let newest = now.born.max(image.born).max(entry.pushed_at);
    if newest.is_none_or(|born| born > plan.created_at || plan.resolved.watermark.is_some_and(|mark| born > mark)) {
        return Err(Verdict::skip(SkipReason::TooNew, newest.map(|born| format!("born {born}"))));
    }
    Ok(Work {
        digest,
        seen: (*entry).clone(),
        tags: image.tags.clone(),
        decision: image.decision,
        order: image.order.unwrap_or(1),
    })
}

/// What forbids the rest as a whole: a cap, or that nothing that runs would remain. `acted` counts earlier repositories.
pub(super) fn forbidden(
    plan: &Plan,
    fresh: &Side<'_>,
    listing: &RepositorySnapshot,
    work: &[Work],
    acted: u64,
) -> Option<(SkipReason, String)> {
    let acting = work.len() as u64;
    let entries = listing.entries.len() as u64;
    let caps = &plan.policy.caps;
    let over = |cap: Cap, number: u64| match cap {
        Cap::Off => None,
        Cap::Entries(most) => (number > most).then(|| format!("{number} entries, of at most {most}")),
        Cap::Percent(share) => (number * 100 > u64::from(share) * entries)
            .then(|| format!("{number} of {entries} entries, of at most {share} %")),
    };
    let capped = over(caps.share, acting)
        .or_else(|| over(caps.per_repository, acting))
        .or_else(|| over(caps.per_run, acting + acted).map(|why| format!("{why} in one run")));
    if let Some(why) = capped {
        return Some((SkipReason::CapExceeded, why));
    }
    let going: BTreeSet<Digest> = work.iter().map(|work| work.digest).collect();
    let is_root = |image: &&&PlannedImage| {
        matches!(image.class, Class::Image | Class::Index)
            && image.status == Status::Active
            && !fresh.parents.contains_key(&image.digest)
    };
    let roots: Vec<Digest> = fresh.images.values().filter(is_root).map(|image| image.digest).collect();
    let last = !roots.is_empty() && roots.iter().all(|root| going.contains(root));
    last.then(|| (SkipReason::LastImage, format!("all {} images that run would go", roots.len())))
}
