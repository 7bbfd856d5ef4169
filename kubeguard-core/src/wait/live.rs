//! A live wait: watches feed records to the state machine, which says what it needs next and when it has ended.

mod details;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{AbortHandle, JoinHandle};

use super::needs::Place;
use super::policy::Policy;
use super::record::{Record, Target};
use super::recording::{Header, Recorder, Update};
use super::report::{Ended, ItemReport, WaitReport};
use super::rules::Rules;
use super::state::State;
use crate::access::Cluster;
use crate::error::{Failure, Result};
use crate::gather::discovery::until_served;
use crate::gather::pages::Selection;
use crate::gather::resource::Resource;
use crate::gather::selector::Selector;
use crate::gather::watch::{Notice, watch};

/// Notices that may wait for their turn; a watch that is faster waits itself.
const QUEUE: usize = 1024;
/// The `Date` header has whole seconds: a smaller difference is no difference.
const NO_SKEW: SignedDuration = SignedDuration::from_millis(1500);

/// A wait under way.
pub struct Wait<C> {
    cluster: Cluster,
    clock: C,
    skew: SignedDuration,
    header: Header,
    state: Option<State>,
    targets: Vec<Target>,
    optional: Option<Selector>,
    watches: BTreeMap<Place, (Selection, Running)>,
    asking: BTreeMap<Resource, Running>,
    closing: Option<JoinHandle<Vec<Record>>>,
    begun: Option<tokio::time::Instant>,
    to: Sender<Notice>,
    from: Receiver<Notice>,
    recorder: Option<Recorder>,
    record_to: Option<(Box<dyn std::io::Write + Send>, String)>,
    last_contact: Option<Timestamp>,
    closed: bool,
}

/// A task that ends when it is dropped.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<C: Fn() -> Timestamp> Wait<C> {
    /// Prepares a wait for `targets`; nothing is asked before the first [`Wait::next`].
    ///
    /// `clock` tells the time of this machine; where the server's clock differs, the server's is used.
    pub fn new(cluster: Cluster, targets: Vec<Target>, policy: Policy, clock: C) -> Self {
        let (to, from) = channel(QUEUE);
        let pack_hash = Rules::pack_hash();
        let header = Header { tool: String::new(), args: Vec::new(), pack_hash, policy, optional: String::new() };
        Self {
            cluster,
            clock,
            skew: SignedDuration::ZERO,
            header,
            state: None,
            targets,
            optional: None,
            watches: BTreeMap::new(),
            asking: BTreeMap::new(),
            closing: None,
            begun: None,
            to,
            from,
            recorder: None,
            record_to: None,
            last_contact: None,
            closed: false,
        }
    }

    /// Lets the objects that `selector` matches fail without failing the set.
    #[must_use]
    pub fn optional(mut self, selector: Selector) -> Self {
        self.header.optional = selector.to_string();
        self.optional = Some(selector);
        self
    }

    /// Records everything that happens; `tool` and `args` tell readers who wrote it.
    #[must_use]
    pub fn record(mut self, to: Box<dyn std::io::Write + Send>, file: &str, tool: &str, args: &[String]) -> Self {
        tool.clone_into(&mut self.header.tool);
        self.header.args = args.to_vec();
        self.record_to = Some((to, file.to_owned()));
        self
    }

    /// Waits for the next moment at which something changed; `None` once the wait has ended.
    ///
    /// Safe to cancel: nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// When the server cannot be reached at all, or lets nothing be read; and when a recording cannot be written.
    pub async fn next(&mut self) -> Result<Option<Update>> {
        loop {
            if self.closed {
                return Ok(None);
            }
            if self.state.as_ref().is_some_and(|state| state.ended().is_some()) {
                return self.close().await;
            }
            self.start_watches();
            self.start_asking();
            let wake = self.wake_in();
            let silent_until = self.silent_until();
            let notice = tokio::select! {
                biased;
                notice = self.from.recv() => notice,
                () = tokio::time::sleep_until(silent_until), if self.state.is_none() => return Err(self.silent()),
                () = tokio::time::sleep(wake.unwrap_or(Duration::MAX)), if wake.is_some() => Some(Notice::Record(Record::Tick)),
            };
            let Some(notice) = notice else { continue };
            if let Some(update) = self.take(notice)? {
                return Ok(Some(update));
            }
        }
    }

    /// Ends the wait because somebody asked for it; [`Wait::report`] tells the state so far.
    ///
    /// # Errors
    /// When the end cannot be written to the recording.
    pub fn interrupt(&mut self) -> Result<()> {
        self.closed = true;
        self.watches.clear();
        if self.state.is_none() {
            self.begin()?;
        }
        let requests = self.cluster.requests();
        self.step(self.now(), &Record::End(Ended::Interrupted, requests)).map(drop)
    }

    /// Returns every item as it stands.
    #[must_use]
    pub fn items(&self) -> Vec<ItemReport> {
        self.state.as_ref().map_or_else(Vec::new, |state| state.report(false).items)
    }

    /// Returns the calls made so far.
    #[must_use]
    pub fn requests(&self) -> super::report::Requests {
        self.cluster.requests()
    }

    /// Returns how far the server's clock is ahead of this machine's; zero where they agree.
    #[must_use]
    pub fn skew(&self) -> SignedDuration {
        self.skew
    }

    /// Returns when the server answered last.
    #[must_use]
    pub fn last_contact(&self) -> Option<Timestamp> {
        self.last_contact
    }

    /// Returns the report as it stands.
    #[must_use]
    pub fn report(&self, explain: bool) -> Option<WaitReport> {
        self.state.as_ref().map(|state| state.report(explain))
    }

    /// The server's time, to the millisecond: the precision of a recording, so that a replay sees the same.
    fn now(&self) -> Timestamp {
        let now = (self.clock)().saturating_add(self.skew).unwrap_or(Timestamp::MAX);
        let milliseconds = TimestampRound::new().smallest(Unit::Millisecond).mode(jiff::RoundMode::Trunc);
        now.round(milliseconds).unwrap_or(now)
    }

    fn state(&mut self, now: Timestamp) -> &mut State {
        let (policy, optional) = (&self.header.policy, &self.optional);
        self.state.get_or_insert_with(|| State::new(policy.clone(), optional.clone(), now, true))
    }

    /// Begins: from the first answer on the clock is the server's.
    fn begin(&mut self) -> Result<()> {
        let now = self.now();
        if let Some((to, file)) = self.record_to.take() {
            self.recorder = Some(Recorder::new(to, file, now, &self.header)?);
        }
        self.state(now);
        for target in self.targets.clone() {
            self.step(now, &Record::Target(Box::new(target)))?;
        }
        Ok(())
    }

    fn take(&mut self, notice: Notice) -> Result<Option<Update>> {
        let record = match notice {
            Notice::Contact(date) => {
                let local = (self.clock)();
                if self.last_contact.is_none() {
                    let skew = date.duration_since(local);
                    self.skew = if skew.abs() > NO_SKEW { skew } else { SignedDuration::ZERO };
                    if self.state.is_none() {
                        self.begin()?;
                    }
                }
                self.last_contact = Some(self.now());
                return Ok(None);
            }
            Notice::Record(record) => record,
        };
        if self.state.is_none() {
            self.unreachable(&record)?;
            self.begin()?;
        }
        let now = self.now();
        let update = self.step(now, &record)?;
        self.end_once();
        Ok(Some(update).filter(|update| !update.changes.is_empty()))
    }

    /// Before anything was read, a failed connection is the answer.
    fn unreachable(&self, record: &Record) -> Result<()> {
        match record {
            Record::Error(resource, None, message) => {
                let target = self.targets.iter().find(|target| target.resource == *resource);
                let namespace = target.and_then(|target| target.namespace.as_deref());
                let doing = Selection::all(resource.clone(), namespace).doing("list");
                Err(self.cluster.failed(doing, Failure::Connection(message.clone())))
            }
            Record::Denied { verb, resource, namespace, message, .. } if message.contains("Unauthorized") => {
                let doing = Selection::all(resource.clone(), namespace.as_deref()).doing(verb);
                let (reason, message) = ("Unauthorized".to_owned(), "the credentials are not accepted".to_owned());
                let failure = Failure::Status { code: 401, reason, message, retry_after: None };
                Err(self.cluster.failed(doing, failure))
            }
            _ => Ok(()),
        }
    }

    fn step(&mut self, at: Timestamp, record: &Record) -> Result<Update> {
        let Some(state) = &mut self.state else { return Ok(Update { time: at, changes: Vec::new() }) };
        if let Some(recorder) = &mut self.recorder {
            recorder.record(at, record)?;
        }
        let keys = state.step(at, record);
        let changes: Vec<ItemReport> = keys.iter().filter_map(|key| state.item(key)).collect();
        if let Some(recorder) = &mut self.recorder {
            for change in &changes {
                recorder.verdict(at, change)?;
            }
        }
        Ok(Update { time: at, changes })
    }

    /// `--once` ends as soon as everything the judgement needs has been read, or refused.
    fn end_once(&mut self) {
        let Some(state) = &mut self.state else { return };
        if self.header.policy.once && state.ended().is_none() && state.has_read_all() {
            state.finish(Ended::Once);
        }
    }

    fn start_watches(&mut self) {
        let wants = self.state.as_ref().map_or_else(
            || {
                // Before the first answer there is no clock and so no state: the targets alone say what to ask.
                let mut asked = State::new(self.header.policy.clone(), None, self.now(), true);
                for target in &self.targets {
                    asked.step(self.now(), &Record::Target(Box::new(target.clone())));
                }
                asked.wants().clone()
            },
            |state| state.wants().clone(),
        );
        for (place, selection) in wants {
            let running = self.watches.get(&place).map(|(running, _)| running);
            // A watch is only ever widened: what was read stays watched.
            let narrower = running.is_some_and(|running| *running != selection && running.is_whole());
            if running == Some(&selection) || narrower {
                continue;
            }
            tracing::debug!(what = %selection.doing("watch"), "starting");
            let task = tokio::spawn(watch(self.cluster.clone(), selection.clone(), self.to.clone()));
            self.watches.insert(place, (selection, Running(task.abort_handle())));
        }
    }

    /// Returns until when a server may say nothing at all: before its first answer there is no other deadline.
    fn silent_until(&mut self) -> tokio::time::Instant {
        let now = tokio::time::Instant::now();
        let begun = *self.begun.get_or_insert(now);
        let timeout = self.header.policy.timeout.and_then(|timeout| Duration::try_from(timeout).ok());
        timeout.and_then(|timeout| begun.checked_add(timeout)).unwrap_or(now + Duration::from_hours(24))
    }

    fn silent(&self) -> crate::error::Error {
        let asked = self
            .targets
            .first()
            .map(|target| Selection::all(target.resource.clone(), target.namespace.as_deref()).doing("list"));
        let timeout = self.header.policy.timeout.and_then(|timeout| Duration::try_from(timeout).ok());
        self.cluster.failed(asked.unwrap_or_default(), Failure::TimedOut(timeout.unwrap_or_default()))
    }

    fn wake_in(&self) -> Option<Duration> {
        let due = self.state.as_ref()?.next_deadline()?;
        let left = due.duration_since(self.now());
        // A millisecond late rather than a moment early: an early look would find nothing due.
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO) + Duration::from_millis(1))
    }

    /// Asks for kinds whose definition is established until discovery lists them.
    fn start_asking(&mut self) {
        let wanted = self.state.as_ref().map(State::wants_served).unwrap_or_default();
        self.asking.retain(|resource, _| wanted.contains(resource));
        for resource in wanted {
            let (cluster, to, asked) = (self.cluster.clone(), self.to.clone(), resource.clone());
            self.asking.entry(resource).or_insert_with(|| {
                let task = tokio::spawn(async move {
                    until_served(&cluster, &asked).await;
                    drop(to.send(Notice::Record(Record::Served(asked, true))).await);
                });
                Running(task.abort_handle())
            });
        }
    }

    /// Reads what explains a failure, then ends for good.
    async fn close(&mut self) -> Result<Option<Update>> {
        if self.closing.is_none() {
            let suspects = self.state.iter().flat_map(State::worst_suspects).take(details::MOST).cloned().collect();
            self.closing = Some(tokio::spawn(details::read(self.cluster.clone(), suspects)));
        }
        // A task of its own: it goes on when the caller drops this question to ask again.
        let read = match &mut self.closing {
            Some(closing) => closing.await.unwrap_or_default(),
            None => Vec::new(),
        };
        let now = self.now();
        for record in read {
            self.step(now, &record)?;
        }
        let requests = self.cluster.requests();
        self.closed = true;
        self.watches.clear();
        if let Some((ended, _)) = self.state.as_ref().and_then(State::ended) {
            self.step(now, &Record::End(ended, requests))?;
        }
        Ok(None)
    }
}

/// Waits to the end and returns the report, for programs that need no progress.
///
/// # Errors
/// Those of [`Wait::next`].
pub async fn wait(
    cluster: Cluster,
    targets: Vec<Target>,
    policy: Policy,
    clock: impl Fn() -> Timestamp,
) -> Result<WaitReport> {
    let now = clock();
    let (policy_again, mut wait) = (policy.clone(), Wait::new(cluster, targets, policy, clock));
    while wait.next().await?.is_some() {}
    Ok(wait.report(false).unwrap_or_else(|| State::new(policy_again, None, now, true).report(false)))
}
