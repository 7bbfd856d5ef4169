//! Carries out exactly one plan, after looking again, so that nothing that is needed can go.
//!
//! Before a repository is touched its usage and all its entries are read anew and judged by the same function that made
//! the plan; only what both answers let go, and what has not changed in between, goes on. Right before each call the
//! entries that it names are described once more, and the call is on the disk before it is made. What lists or carries
//! an entry goes first, and is seen to be gone before the entry follows.
//!
//! A tagged entry is deleted by pairs of tag and digest, one for each of its tags, all of which the plan names: whether
//! such a pair takes one tag, the whole image, or leaves the image without tags, no more goes than was planned. What is
//! left without tags is then deleted by its digest.

mod as_planned;
mod batch;
mod calls;
mod evidence;
mod journal;
mod lease;
mod outcome;
mod pace;
mod recheck;
mod refusals;
mod repository;
mod tombstones;

use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use jiff::Timestamp;

pub use calls::{Call, Operation, calls};
pub use evidence::{Evidence, Fresh};
pub use journal::{CallOutcome, Event, Journal, Line, Past, lines};
pub use lease::{AnyLease, ClusterLease, FileLease, GOOD_FOR, Lease, LeaseError, RENEWED_EVERY};
pub use outcome::{Applied, Item, ItemState, SkipReason, Stop, StopReason, Totals};

use self::lease::Good;
use self::pace::Pace;
use super::clusters::Clusters;
use super::manifests::ManifestCache;
use super::plan::{Decision, Plan, PlanFinding, PlannedInventory, Refused};
use super::registry::Registry;
use crate::error::{Error, Result};
use crate::images::Digest;

/// A plan with everything that it takes to carry it out.
pub struct Apply<'a, R, E> {
    /// The plan.
    pub plan: &'a Plan,
    /// What else the caller demands of it.
    pub demands: Demands<'a>,
    /// The registry.
    pub registry: &'a R,
    /// Usage and judgement.
    pub evidence: &'a E,
    /// Manifests that were read before.
    pub manifests: &'a ManifestCache,
    /// The time of this machine.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// Waits: between calls, and before one that is repeated.
    pub pause: &'a (dyn Fn(Duration) -> BoxFuture<'static, ()> + Sync),
    /// Whether the run is to end before its next call.
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
    /// Told how far it is.
    pub progress: &'a (dyn Fn(Progress<'_>) + Sync),
}

/// What a caller demands of a plan beyond the plan itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demands<'a> {
    /// The plan's hash, as somebody approved it.
    pub sha256: Option<&'a str>,
    /// Hash of the policy that is given beside the plan.
    pub policy_sha256: Option<&'a str>,
    /// The clusters that are given beside the plan: they must be the same, wherever they are read now.
    pub clusters: Option<&'a Clusters>,
    /// File that keeps the manifests of what is deleted.
    pub tombstones: Option<&'a Path>,
}

/// How far an apply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Usage is read anew.
    ReadingUsage,
    /// A repository begins.
    Repository {
        /// Its name.
        name: &'a str,
        /// Repositories before it.
        done: usize,
        /// Repositories in all.
        of: usize,
        /// Its entries that may still go.
        acting: usize,
    },
    /// It is known what became of an entry.
    Item {
        /// The entry.
        item: &'a Item,
        /// Entries before it, and it.
        done: usize,
        /// Planned entries in all.
        of: usize,
    },
    /// The registry wants calls to be slower, or did not answer.
    Waiting {
        /// The call that is repeated after another look.
        operation: &'a str,
        /// In the registry's words.
        because: &'a str,
    },
}

impl<R: Registry, E: Evidence> Apply<'_, R, E> {
    /// Carries the plan out, or on: what earlier runs did is known from the journal and counts once.
    ///
    /// Refusals, changes and failures of single entries are part of the answer, as are a lease that others hold and an
    /// interruption. Everything that was done is in the journal, whatever happens.
    ///
    /// # Errors
    /// [`Error::Io`] when the journal cannot be written: no call is made after that. [`Error::Registry`] when the
    /// registry does not answer before anything was called, and whatever reading usage gives.
    pub async fn run<L: Lease>(&self, journal: Journal, past: Past, lease: &L) -> Result<Applied> {
        let dead = past.holder.clone();
        let mut run = Run::new(self, Some(journal), past);
        if let Some(stop) = refusals::of_plan(self) {
            return run.end(Some(stop));
        }
        let caller = match refusals::of_caller(self).await? {
            Ok(caller) => caller,
            Err(stop) => return run.end(Some(stop)),
        };
        run.caller = Some(caller.clone());
        match lease.acquire(dead.as_deref()).await {
            Ok(()) => {}
            Err(error @ LeaseError::Held { .. }) => {
                return run.end(Some(Stop::new(StopReason::LeaseHeld, error.to_string())));
            }
            Err(error @ LeaseError::Unreachable { .. }) => {
                return Err(Error::Configuration {
                    problem: error.to_string(),
                    hint: "without a lease two runs could clean the same registry at once".to_owned(),
                    source: None,
                });
            }
        }
        let good = Good::new();
        let result = {
            let body = pin!(async {
                run.log([
                    Event::Start {
                        plan: self.plan.sha256.clone(),
                        tool: concat!("kubeguard ", env!("CARGO_PKG_VERSION")).to_owned(),
                        caller,
                        registry: self.plan.registry.clone(),
                    },
                    Event::Lease { holder: lease.holder().to_owned(), kind: lease.kind().to_owned() },
                ])?;
                let ended = run.all(Some(&good)).await;
                run.settle(ended)
            });
            match select(body, pin!(good.keep(lease))).await {
                Either::Left((result, _)) => result,
                Either::Right((never, _)) => match never {},
            }
        };
        lease.release().await;
        result
    }

    /// Does everything but the calls that change something: no lease, no journal. Tells which calls would be made.
    ///
    /// # Errors
    /// As for [`Apply::run`].
    pub async fn rehearse(&self, past: Past) -> Result<Applied> {
        let mut run = Run::new(self, None, past);
        if let Some(stop) = refusals::of_plan(self) {
            return run.end(Some(stop));
        }
        match refusals::of_caller(self).await? {
            Ok(caller) => run.caller = Some(caller),
            Err(stop) => return run.end(Some(stop)),
        }
        let ended = run.all(None).await;
        run.settle(ended)
    }
}

/// Why a run does not go on.
enum Halt {
    /// It ends here, and tells what was done.
    Stop(Stop),
    /// It cannot even tell that safely.
    Error(Box<Error>),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// One run of a plan.
struct Run<'a, R, E: Evidence> {
    apply: &'a Apply<'a, R, E>,
    /// Absent in a rehearsal.
    journal: Option<Journal>,
    past: Past,
    started_at: Timestamp,
    pace: Pace,
    usage: Option<(E::Usage, Timestamp)>,
    items: Vec<Item>,
    /// Where the item of an entry is, by repository and digest.
    places: HashMap<(String, Digest), usize>,
    known: usize,
    acted: u64,
    calls: Vec<Call>,
    refused: Vec<Refused>,
    findings: Vec<PlanFinding>,
    caller: Option<String>,
    inventories: Vec<PlannedInventory>,
}

impl<'a, R: Registry, E: Evidence> Run<'a, R, E> {
    fn new(apply: &'a Apply<'a, R, E>, journal: Option<Journal>, past: Past) -> Self {
        let planned = apply.plan.images.iter().filter(|image| image.decision != Decision::Keep);
        let items: Vec<Item> = planned.map(Item::new).collect();
        let places = items.iter().enumerate().map(|(at, item)| ((item.repository.clone(), item.digest), at)).collect();
        Self {
            apply,
            journal,
            past,
            started_at: (apply.clock)(),
            pace: Pace::new(apply.plan.policy.apply.requests_per_second),
            usage: None,
            items,
            places,
            known: 0,
            acted: 0,
            calls: Vec::new(),
            refused: Vec::new(),
            findings: Vec::new(),
            caller: None,
            inventories: Vec::new(),
        }
    }

    /// The time that judgements rest on: the registry's, if it tells one.
    fn now(&self) -> Timestamp {
        self.apply.registry.now().unwrap_or_else(|| (self.apply.clock)())
    }

    fn log(&mut self, events: impl IntoIterator<Item = Event>) -> Result<()> {
        match &mut self.journal {
            Some(journal) => journal.write((self.apply.clock)(), events),
            None => Ok(()),
        }
    }

    fn item(&mut self, repository: &str, digest: Digest) -> Option<&mut Item> {
        let at = *self.places.get(&(repository.to_owned(), digest))?;
        self.items.get_mut(at)
    }

    fn state(&self, repository: &str, digest: Digest) -> Option<ItemState> {
        let at = *self.places.get(&(repository.to_owned(), digest))?;
        self.items.get(at).filter(|item| item.reason != Some(SkipReason::NotReached)).map(|item| item.state)
    }

    /// Settles what became of an entry, and returns what the journal says of it.
    fn found(&mut self, repository: &str, digest: Digest, verdict: Verdict) -> Option<Event> {
        let decision = self.item(repository, digest)?.decision;
        let item = self.item(repository, digest)?;
        item.state = verdict.state;
        item.reason = verdict.reason;
        item.by = verdict.by;
        item.code = verdict.code;
        item.removed_tags = verdict.removed;
        let item = item.clone();
        // A deletion and an archival never meet: each entry has one decision.
        debug_assert!(decision == item.decision);
        self.known += 1;
        let (done, of) = (self.known, self.items.len());
        (self.apply.progress)(Progress::Item { item: &item, done, of });
        let before = self.past.done(repository, digest);
        self.past.found(repository, digest, item.state);
        if before == Some(item.state) {
            return None;
        }
        Some(match item.reason {
            Some(reason) if item.removed_tags.is_empty() => {
                Event::Skip { repository: item.repository, digest, tags: item.tags, reason, by: item.by }
            }
            _ => Event::Confirm {
                repository: item.repository,
                digest,
                state: item.state,
                code: item.code,
                removed_tags: item.removed_tags,
                bytes: item.bytes,
            },
        })
    }

    /// Ends a run that got as far as its lease.
    fn settle(&mut self, ended: Result<(), Halt>) -> Result<Applied> {
        match ended {
            Ok(()) => self.end(None),
            Err(Halt::Stop(stop)) => {
                self.log([Event::Stop { reason: stop.reason, message: stop.message.clone() }])?;
                self.end(Some(stop))
            }
            Err(Halt::Error(error)) => Err(*error),
        }
    }

    fn end(&mut self, stopped: Option<Stop>) -> Result<Applied> {
        let plan = self.apply.plan;
        self.count_past();
        let indexes: std::collections::HashSet<_> = plan
            .images
            .iter()
            .filter(|image| image.class == super::plan::Class::Index)
            .map(|image| (image.repository.as_str(), image.digest))
            .collect();
        let counts = |item: &Item| !indexes.contains(&(item.repository.as_str(), item.digest));
        let (summary, exit_code) = outcome::totals(&self.items, counts, stopped.as_ref());
        // A run that was turned away before it began leaves the journal as it was.
        if self.known > 0 || stopped.is_none() {
            self.log([Event::End { totals: summary, exit_code }])?;
        }
        Ok(Applied {
            api_version: "kubeguard.dev/v1".to_owned(),
            kind: "CleanResult".to_owned(),
            plan: plan.sha256.clone(),
            registry: plan.registry.clone(),
            caller: self.caller.take(),
            inventories: std::mem::take(&mut self.inventories),
            started_at: self.started_at,
            ended_at: (self.apply.clock)(),
            rehearsed: self.journal.is_none(),
            stopped,
            refused: std::mem::take(&mut self.refused),
            findings: std::mem::take(&mut self.findings),
            items: std::mem::take(&mut self.items),
            calls: std::mem::take(&mut self.calls),
            summary,
            exit_code,
        })
    }

    /// What earlier runs finished counts, also where this one did not get that far.
    fn count_past(&mut self) {
        for item in &mut self.items {
            if item.reason == Some(SkipReason::NotReached)
                && let Some(state) = self.past.done(&item.repository, item.digest)
            {
                item.state = state;
                item.reason = None;
            }
        }
    }
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    state: ItemState,
    reason: Option<SkipReason>,
    by: Option<String>,
    code: Option<String>,
    removed: Vec<String>,
}

impl Verdict {
    fn of(state: ItemState) -> Self {
        Self { state, reason: None, by: None, code: None, removed: Vec::new() }
    }

    fn skip(reason: SkipReason, by: Option<String>) -> Self {
        Self { reason: Some(reason), by, ..Self::of(ItemState::Skipped) }
    }

    fn failed(code: &str, why: &str) -> Self {
        let by = Some(why.to_owned()).filter(|why| !why.is_empty());
        Self { code: Some(code.to_owned()), by, ..Self::of(ItemState::Failed) }
    }

    fn removed(self, removed: Vec<String>) -> Self {
        Self { removed, ..self }
    }
}
