//! A live wait: watches feed records to the state machine, which says what it needs next and when it has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;

use super::needs::Place;
use super::policy::Policy;
use super::reason::Class;
use super::record::{Record, Target};
use super::recording::{Header, Recorder, Update};
use super::report::{Ended, ItemReport, WaitReport};
use super::state::State;
use super::verdict::{Suspect, Verdict};
use crate::access::{Call, Cluster};
use crate::error::{Failure, Result};
use crate::gather::pages::{Selection, page};
use crate::gather::selector::Selector;
use crate::gather::watch::{Notice, watch};
use crate::kinds::Event;
use crate::wait::object::{Body, Object};
use crate::wait::record::Op;

/// Notices that may wait for their turn; a watch that is faster waits itself.
const QUEUE: usize = 1024;
/// Time between questions whether discovery lists a new kind.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// One detail at the end of a failed wait may take this long; the verdict is known by then.
const DETAIL: Duration = Duration::from_secs(2);
const LOG_LINES: &str = "20";
/// Logs of more pods than these say the same.
const MOST_LOGS: usize = 3;
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
        let header = Header { tool: String::new(), args: Vec::new(), policy, optional: String::new() };
        Self {
            cluster,
            clock,
            skew: SignedDuration::ZERO,
            header,
            state: None,
            targets,
            optional: None,
            watches: BTreeMap::new(),
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
            let wake = self.wake_in();
            let asks = self.state.as_ref().is_some_and(|state| !state.wants_served().is_empty());
            let notice = tokio::select! {
                biased;
                notice = self.from.recv() => notice,
                () = tokio::time::sleep(wake.unwrap_or(Duration::MAX)), if wake.is_some() => Some(Notice::Record(Record::Tick)),
                () = tokio::time::sleep(ASK_AGAIN), if asks => {
                    self.ask_served().await;
                    None
                }
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
            Record::Denied { verb, resource, namespace, message } if message.contains("Unauthorized") => {
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

    fn wake_in(&self) -> Option<Duration> {
        let due = self.state.as_ref()?.next_deadline()?;
        let left = due.duration_since(self.now());
        // A millisecond late rather than a moment early: an early look would find nothing due.
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO) + Duration::from_millis(1))
    }

    async fn ask_served(&mut self) {
        let wanted = self.state.as_ref().map(State::wants_served).unwrap_or_default();
        for resource in wanted {
            let path = format!("/apis/{}", resource.api_version());
            let Ok(answer) = self.cluster.fetch(Call::Get, &path, "application/json").await else { continue };
            let list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let served = list["resources"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|found| found["name"] == resource.plural.as_str());
            if served {
                // Goes through the queue, so that a cancelled wait loses nothing.
                drop(self.to.send(Notice::Record(Record::Served(resource, true))).await);
            }
        }
    }

    /// Reads what explains a failure, then ends for good.
    async fn close(&mut self) -> Result<Option<Update>> {
        let details = self.details().await;
        let now = self.now();
        for record in details {
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

    async fn details(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let Some(state) = &self.state else { return records };
        let open = state.items().iter().filter(|(_, item)| {
            !matches!(item.judgement.verdict, Verdict::Complete | Verdict::Superseded | Verdict::Missing)
        });
        let suspects: Vec<Suspect> =
            open.flat_map(|(_, item)| item.judgement.suspects.iter().take(MOST_LOGS)).cloned().collect();
        let details = suspects.iter().take(MOST_LOGS).map(|suspect| async move {
            let events = tokio::time::timeout(DETAIL, self.events_of(suspect)).await;
            let mut records = events.unwrap_or_default();
            let restarted = suspect.restarts.is_some_and(|restarts| restarts > 0);
            let crashed = suspect.class() == Class::Budget || restarted;
            if let Some(container) = suspect.container.as_ref().filter(|_| crashed) {
                records.push(self.log(suspect, container).await);
            }
            records
        });
        records.extend(futures::future::join_all(details).await.into_iter().flatten());
        records
    }

    async fn events_of(&self, suspect: &Suspect) -> Vec<Record> {
        let resource = crate::gather::resource::Resource::of::<Event>();
        let mut selection = Selection::all(resource.clone(), Some(&suspect.at.namespace));
        selection.fields = format!("involvedObject.name={},involvedObject.kind={}", suspect.at.name, suspect.at.kind);
        match page(&self.cluster, &selection, "", true).await {
            Ok(page) => page
                .items
                .into_iter()
                .filter_map(crate::gather::pages::Item::decode::<Event>)
                .map(|event| Record::Event(Op::Listed, Box::new(Object::slim(event, Body::Event))))
                .collect(),
            Err(failure) if failure.is_refusal() => vec![Record::Denied {
                verb: "list".to_owned(),
                resource,
                namespace: selection.namespace,
                message: failure.to_string(),
            }],
            Err(_) => Vec::new(),
        }
    }

    async fn log(&self, suspect: &Suspect, container: &str) -> Record {
        let pod = &suspect.at;
        let mut lines = Err("cannot get pods/log".to_owned());
        let mut previous = true;
        for from_previous in [true, false] {
            previous = from_previous;
            let path = format!(
                "/api/v1/namespaces/{}/pods/{}/log?container={container}&tailLines={LOG_LINES}&previous={from_previous}",
                pod.namespace, pod.name
            );
            let log = self.cluster.fetch(Call::Get, &path, "text/plain, */*");
            let answer = tokio::time::timeout(DETAIL, log).await.unwrap_or(Err(Failure::TimedOut(DETAIL)));
            match answer {
                Ok(answer) => {
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    lines = Ok(text.lines().map(super::secrets::without).collect());
                    break;
                }
                Err(failure) => lines = Err(format!("no log: {failure}")),
            }
        }
        let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
        Record::Log { namespace, name, container: container.to_owned(), previous, lines }
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
