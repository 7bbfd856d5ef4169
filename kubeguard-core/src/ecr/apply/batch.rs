//! One batch: described, written down, called, described again – until what became of each entry is known.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::lease::Good;
use super::pace::back_off;
use super::recheck::{Side, Work};
use super::{
    Call, CallOutcome, Event, Evidence, Halt, ItemState, Operation, Past, Progress, Run, SkipReason, Stop, StopReason,
    Verdict,
};
use crate::ecr::look::{self, Look};
use crate::ecr::plan::Decision;
use crate::ecr::registry::{BATCH, CallError, Deleted, ErrorKind, ImageId, ItemFailure, Registry, StorageClass};
use crate::ecr::snapshot::{Entry, RepositorySnapshot, Status};
use crate::error::Result;
use crate::images::Digest;

/// The longest that one call takes: connecting, and an attempt.
pub(super) const CALL: Duration = Duration::from_secs(40);
/// Calls that are refused for being too many, before the batch is given up.
const THROTTLED: u32 = 8;
/// Calls without an answer, before the batch is given up.
const UNANSWERED: u32 = 4;
/// Rows of one page of a listing.
const PAGE: usize = 1000;

/// What an absent entry means: ours, when a call of this plan named it.
pub(super) fn absent(past: &Past, repository: &str, digest: Digest) -> ItemState {
    if past.named(repository, digest) { ItemState::Deleted } else { ItemState::Gone }
}

/// What a call answered.
type Answer = Result<(Deleted, Option<Status>), CallError>;

impl<R: Registry, E: Evidence> Run<'_, R, E> {
    /// Carries out one batch. `Err` with what becomes of all other entries of the repository, where it cannot go on.
    pub(super) async fn batch(
        &mut self,
        operation: Operation,
        batch: Vec<Work>,
        planned: &Side<'_>,
        listing: &mut RepositorySnapshot,
        good: Option<&Good>,
    ) -> Result<Result<(), Verdict>, Halt> {
        let name = listing.repository.name.clone();
        if let Err(verdict) = self.bury(&name, &batch).await? {
            return Ok(Err(verdict));
        }
        let (mut left, mut attempt, mut throttled, mut unanswered) = (batch, 0, 0, 0);
        let mut again = Again::default();
        loop {
            let wait = self.pace.next();
            if !wait.is_zero() {
                (self.apply.pause)(wait).await;
            }
            self.may_go_on(good)?;
            left = match self.look_again(&name, left, planned).await? {
                Ok(left) => left,
                Err(verdict) => return Ok(Err(verdict)),
            };
            let ids: Vec<ImageId> = left.iter().flat_map(|work| operation.ids(work.digest, &work.seen.tags)).collect();
            let ids = ids.get(..BATCH).map_or(ids.clone(), <[ImageId]>::to_vec);
            let Some(order) = left.first().map(|work| work.order) else { return Ok(Ok(())) };
            // The lease may have ended while the registry was asked.
            self.may_go_on(good)?;
            self.calls.push(Call { operation, repository: name.clone(), order, ids: ids.clone() });
            if self.journal.is_none() {
                self.rehearsed(&name, &mut left, &ids);
                if left.is_empty() {
                    return Ok(Ok(()));
                }
                continue;
            }
            attempt += 1;
            let answer = self.call(operation, &name, order, attempt, &ids).await?;
            let unclear = match &answer {
                Err(error) if error.kind == ErrorKind::Throttled => {
                    throttled += 1;
                    self.pace.refused();
                    (throttled <= THROTTLED).then_some((error, throttled))
                }
                Err(error) if matches!(error.kind, ErrorKind::Unknown) => {
                    unanswered += 1;
                    (unanswered < UNANSWERED).then_some((error, unanswered))
                }
                _ => None,
            };
            if let Some((error, times)) = unclear {
                (self.apply.progress)(Progress::Waiting { operation: operation.name(), because: &error.message });
                (self.apply.pause)(back_off(times)).await;
                continue;
            }
            left = self.confirm(listing, left, &ids, &answer, &mut again).await?;
            match answer {
                Ok(_) => self.pace.accepted(),
                Err(error) if error.kind == ErrorKind::Credentials => {
                    self.skip_rest(&name, &Verdict::failed(&code(&error), &error.message))?;
                    return Err(Stop::new(StopReason::Credentials, error.to_string()).into());
                }
                // Of an archival only this one image is spoken of.
                Err(error) if ends_repository(operation, &error) => {
                    return Ok(Err(Verdict::failed(&code(&error), &error.message)));
                }
                Err(_) => {}
            }
            if left.is_empty() {
                return Ok(Ok(()));
            }
        }
    }

    /// Describes a batch right before its call, and keeps what is still as it was seen.
    ///
    /// What our own calls have archived is described with what it lists: one that somebody has tagged since is wanted, and
    /// so is what it lists.
    async fn look_again(
        &mut self,
        name: &str,
        batch: Vec<Work>,
        planned: &Side<'_>,
    ) -> Result<Result<Vec<Work>, Verdict>, Halt> {
        let before = |work: &Work| -> Vec<Digest> {
            let image = planned.images.get(&work.digest).filter(|_| work.decision == Decision::Archive);
            image.map_or_else(Vec::new, |image| planned.before(image).collect())
        };
        let mut digests: Vec<Digest> = batch.iter().map(|work| work.digest).collect();
        digests.extend(batch.iter().flat_map(before));
        digests.sort_unstable();
        digests.dedup();
        let now = match look::describe(self.apply.registry, name, &digests).await {
            Ok(now) => merged(now),
            Err(error) if error.kind == ErrorKind::Credentials => {
                self.skip_rest(name, &Verdict::failed(&code(&error), &error.message))?;
                return Err(Stop::new(StopReason::Credentials, error.to_string()).into());
            }
            Err(error) => return Ok(Err(Verdict::failed(&code(&error), &error.message))),
        };
        let (mut left, mut events) = (Vec::new(), Vec::new());
        let is_wanted = |digest: &Digest| {
            let own = planned.images.get(digest);
            now.get(digest).is_some_and(|now| now.tags.iter().any(|tag| own.is_none_or(|own| !own.tags.contains(tag))))
        };
        for mut work in batch {
            let wanted = before(&work).into_iter().find(is_wanted);
            let verdict = match now.get(&work.digest) {
                None => Verdict::of(absent(&self.past, name, work.digest)),
                Some(_) if wanted.is_some() => {
                    Verdict::skip(SkipReason::ParentKept, wanted.map(|wanted| wanted.to_string()))
                }
                Some(now) if is_archived(&work, now, &self.past, name) => Verdict::of(ItemState::Archived),
                Some(now) if !work.is_still(now, &self.past, name) => changed(&work, now, &self.past, name),
                Some(now) => {
                    work.seen.tags.clone_from(&now.tags);
                    left.push(work);
                    continue;
                }
            };
            events.extend(self.found(name, work.digest, verdict));
        }
        self.log(events)?;
        Ok(Ok(left))
    }

    /// Notes what a call would have done.
    fn rehearsed(&mut self, name: &str, left: &mut Vec<Work>, ids: &[ImageId]) {
        self.past.name(name, ids);
        left.retain_mut(|work| {
            // Tags beyond what one call may name follow in the next.
            work.seen
                .tags
                .retain(|tag| !ids.iter().any(|id| id.digest == Some(work.digest) && id.tag.as_ref() == Some(tag)));
            !work.seen.tags.is_empty() && work.decision == Decision::Delete
        });
        for digest in ids.iter().filter_map(|id| id.digest) {
            if !left.iter().any(|work| work.digest == digest) && self.state(name, digest).is_none() {
                self.found(name, digest, Verdict::of(ItemState::Due));
            }
        }
    }

    /// Makes one call, with what it is about on the disk before.
    async fn call(
        &mut self,
        operation: Operation,
        name: &str,
        order: u64,
        attempt: u32,
        ids: &[ImageId],
    ) -> Result<Answer, Halt> {
        let call = self.calls.len() as u64;
        self.log([Event::Intent {
            call,
            attempt,
            operation: operation.name().to_owned(),
            repository: name.to_owned(),
            order,
            ids: ids.to_vec(),
        }])?;
        self.past.name(name, ids);
        let began = Instant::now();
        let registry = self.apply.registry;
        let answer = match (operation, ids.first().and_then(|id| id.digest)) {
            (Operation::UpdateImageStorageClass, Some(digest)) => {
                let status = registry.set_storage_class(name, digest, StorageClass::Archive).await;
                status.map(|status| (Deleted::default(), Some(status)))
            }
            _ => registry.delete(name, ids).await.map(|deleted| (deleted, None)),
        };
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (outcome, code, request_id, failures) = match &answer {
            Ok((deleted, _)) => (CallOutcome::Ok, None, deleted.request_id.clone(), deleted.failures.clone()),
            Err(error) => {
                let outcome = match error.kind {
                    ErrorKind::Throttled => CallOutcome::Throttled,
                    ErrorKind::Unknown => CallOutcome::Timeout,
                    _ => CallOutcome::Error,
                };
                (outcome, Some(self::code(error)), None, Vec::new())
            }
        };
        self.log([Event::Result { call, attempt, outcome, code, request_id, failures, millis }])?;
        Ok(answer)
    }

    /// Describes a batch after its call, settles what is known, and returns what takes one more call.
    async fn confirm(
        &mut self,
        listing: &mut RepositorySnapshot,
        batch: Vec<Work>,
        ids: &[ImageId],
        answer: &Answer,
        again: &mut Again,
    ) -> Result<Vec<Work>, Halt> {
        let name = listing.repository.name.clone();
        let now = self.after(listing, &batch).await;
        let (mut left, mut events) = (Vec::new(), Vec::new());
        for mut work in batch {
            let verdict = match &now {
                Err(error) => Verdict { by: Some(error.clone()), ..Verdict::of(ItemState::Unconfirmed) },
                Ok(now) => {
                    note(listing, work.digest, now.get(&work.digest));
                    match judged(&work, now.get(&work.digest), ids, answer, &self.past, &name, again) {
                        Judged::Is(verdict) => verdict,
                        Judged::Again(tags) => {
                            work.seen.tags = tags;
                            left.push(work);
                            continue;
                        }
                    }
                }
            };
            events.extend(self.found(&name, work.digest, verdict));
        }
        self.log(events)?;
        Ok(left)
    }

    /// What is there of a batch after its call: described, or listed where most of it should be gone and describing
    /// would take more calls.
    async fn after(&self, listing: &RepositorySnapshot, batch: &[Work]) -> Result<HashMap<Digest, Entry>, String> {
        let registry = self.apply.registry;
        if listing.entries.len() / PAGE + 2 < batch.len() {
            let look = Look {
                replication: false,
                pull_through: false,
                indexes: false,
                manifests: self.apply.manifests,
                progress: &|_| {},
                now: self.now(),
            };
            if let Ok(RepositorySnapshot { entries, problem: None, .. }) =
                look::repository(registry, listing.repository.clone(), &look).await
            {
                return Ok(entries.into_iter().map(|entry| (entry.digest, entry)).collect());
            }
        }
        let digests: Vec<Digest> = batch.iter().map(|work| work.digest).collect();
        look::describe(registry, &listing.repository.name, &digests)
            .await
            .map(merged)
            .map_err(|error| error.to_string())
    }
}

/// Passes that an entry had beside the first.
#[derive(Debug, Default)]
struct Again {
    /// Entries that were refused for an index that is gone already.
    referenced: Vec<Digest>,
    /// Entries that were left without tags.
    by_digest: Vec<Digest>,
}

enum Judged {
    Is(Verdict),
    /// One more call, for what is left of its tags.
    Again(Vec<String>),
}

/// What became of one entry, or what is to be called once more.
fn judged(
    work: &Work,
    now: Option<&Entry>,
    ids: &[ImageId],
    answer: &Answer,
    past: &Past,
    name: &str,
    again: &mut Again,
) -> Judged {
    let Some(now) = now else { return Judged::Is(Verdict::of(absent(past, name, work.digest))) };
    if is_archived(work, now, past, name) {
        return Judged::Is(Verdict::of(ItemState::Archived));
    }
    let removed = work.removed(now);
    if !work.is_still(now, past, name) {
        return Judged::Is(changed(work, now, past, name));
    }
    let failures = match answer {
        Err(error) => return Judged::Is(Verdict::failed(&code(error), &error.message).removed(removed)),
        Ok((Deleted { failures, .. }, _)) => failures,
    };
    // A failure without a digest is told apart by its tag.
    let is_of = |failure: &&ItemFailure| match (failure.digest, &failure.tag) {
        (Some(digest), _) => digest == work.digest,
        (None, Some(tag)) => work.seen.tags.contains(tag),
        (None, None) => false,
    };
    if let Some(failure) = failures.iter().find(is_of) {
        match failure.code.as_str() {
            // It is there, so what is not is the tag: others move it.
            "ImageTagDoesNotMatchDigest" | "ImageNotFound" => {
                return Judged::Is(Verdict::skip(SkipReason::Changed, Some(failure.code.clone())).removed(removed));
            }
            // All planned indexes that list it are gone, or it would not be called: once more, then it is another's.
            "ImageReferencedByManifestList" if !again.referenced.contains(&work.digest) => {
                again.referenced.push(work.digest);
                return Judged::Again(now.tags.clone());
            }
            code => return Judged::Is(Verdict::failed(code, &failure.reason).removed(removed)),
        }
    }
    let named = |tag: &String| ids.iter().any(|id| id.digest == Some(work.digest) && id.tag.as_ref() == Some(tag));
    if now.tags.is_empty() && !work.tags.is_empty() && !again.by_digest.contains(&work.digest) {
        again.by_digest.push(work.digest);
        return Judged::Again(Vec::new());
    }
    if !now.tags.is_empty() && now.tags.len() < work.seen.tags.len() && !now.tags.iter().any(named) {
        return Judged::Again(now.tags.clone());
    }
    Judged::Is(
        Verdict::failed("NotCarriedOut", "the registry accepted the call, and it is still there").removed(removed),
    )
}

/// An entry that is not what was seen; tags that our own calls took are told.
fn changed(work: &Work, now: &Entry, past: &Past, name: &str) -> Verdict {
    let mut removed = work.removed(now);
    removed.retain(|tag| past.untagged(name, work.digest, tag));
    let why = if now.tags.iter().any(|tag| !work.seen.tags.contains(tag)) {
        "a tag was added"
    } else if now.pushed_at != work.seen.pushed_at {
        "it was pushed anew"
    } else if now.status != work.seen.status {
        "its status changed"
    } else {
        "a tag was moved or removed"
    };
    Verdict::skip(SkipReason::Changed, Some(why.to_owned())).removed(removed)
}

/// Whether our own call has archived an entry. One that somebody tags meanwhile is wanted, and so is what it lists.
fn is_archived(work: &Work, now: &Entry, past: &Past, name: &str) -> bool {
    work.decision == Decision::Archive
        && now.status == Status::Archived
        && past.named(name, work.digest)
        && now.tags.iter().all(|tag| work.tags.contains(tag))
}

/// Takes over into a listing what is there of an entry after its call.
fn note(listing: &mut RepositorySnapshot, digest: Digest, now: Option<&Entry>) {
    match now {
        None => listing.entries.retain(|entry| entry.digest != digest),
        Some(now) => {
            if let Some(entry) = listing.entries.iter_mut().find(|entry| entry.digest == digest) {
                entry.clone_from(now);
            }
        }
    }
}

/// Entries by digest, with the tags of all their rows.
fn merged(rows: Vec<Entry>) -> HashMap<Digest, Entry> {
    let mut entries: HashMap<Digest, Entry> = HashMap::with_capacity(rows.len());
    for mut row in rows {
        if let Some(known) = entries.get_mut(&row.digest) {
            known.tags.append(&mut row.tags);
            known.tags.sort_unstable();
            known.tags.dedup();
        } else {
            entries.insert(row.digest, row);
        }
    }
    entries
}

/// Whether a refused call says something of the whole repository.
fn ends_repository(operation: Operation, error: &CallError) -> bool {
    let of_all = matches!(error.kind, ErrorKind::AccessDenied | ErrorKind::RepositoryNotFound | ErrorKind::Unsupported);
    of_all || operation == Operation::BatchDeleteImage
}

/// The code of a failed call, or the word for what kind it is.
fn code(error: &CallError) -> String {
    error.code.clone().unwrap_or_else(|| format!("{:?}", error.kind))
}
