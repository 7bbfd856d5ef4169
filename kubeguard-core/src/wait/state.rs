//! The state of a wait: a fold over records. The same fold runs live, over a recording and over files.

mod ending;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::assess::{Known, assess};
use super::judgement::{Generations, Judgement, Memory, resolve};
use super::needs::Place;
use super::object::{Body, Clock, Facts, Object, ObjectKey};
use super::policy::{Hold, Level, Policy};
use super::reason::Reason;
use super::record::{Op, Record, Target};
use super::report::{Ended, Requests, Skipped, Source};
use super::verdict::{Outcome, Statement, Suspect, Verdict};
use super::view::{Area, Lookup, View};
use crate::gather::pages::Selection;
use crate::gather::resource::Resource;
use crate::gather::selector::Selector;

/// A kind that the server has not found so often in a row is not served, unless a definition may bring it.
const NOT_SERVED: u32 = 3;

/// The state of one wait.
#[derive(Debug, Clone)]
pub struct State {
    policy: Policy,
    optional: Option<Selector>,
    start: Option<Timestamp>,
    now: Timestamp,
    targets: Vec<Target>,
    items: BTreeMap<ObjectKey, Item>,
    view: View,
    /// What must be watched, by kind and namespace.
    wants: BTreeMap<Place, Selection>,
    /// Number of items per namespace: pods of a single one are asked for by their labels.
    crowds: BTreeMap<String, usize>,
    timers: BTreeSet<(Timestamp, ObjectKey)>,
    skipped: BTreeMap<(String, String), Skipped>,
    logs: BTreeMap<(String, String, String), Log>,
    /// What the server said last of a kind that it did not list, by group and kind, and how often it said "not found".
    errors: BTreeMap<(String, String), (String, u32)>,
    ended: Option<(Ended, Timestamp)>,
    requests: Requests,
}

/// The tail of a container's log, or why there is none.
pub(crate) type Log = Result<Vec<String>, String>;

/// One object the wait is about.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) api_version: String,
    pub(crate) facts: Facts,
    pub(crate) source: Option<Source>,
    pub(crate) optional: bool,
    pub(crate) judgement: Judgement,
    /// Since when verdict and reason stand.
    pub(crate) since: Timestamp,
    memory: Memory,
    known: Known,
    closed: bool,
    complete_since: Option<Timestamp>,
    timer: Option<Timestamp>,
    moved_at: Timestamp,
}

impl State {
    /// Returns the state before anything has happened.
    ///
    /// `start` is the beginning of a live wait; without it objects are judged as a file, which has no later.
    #[must_use]
    pub fn new(policy: Policy, optional: Option<Selector>, now: Timestamp, live: bool) -> Self {
        Self {
            policy,
            optional,
            start: live.then_some(now),
            now,
            targets: Vec::new(),
            items: BTreeMap::new(),
            view: View::default(),
            wants: BTreeMap::new(),
            crowds: BTreeMap::new(),
            timers: BTreeSet::new(),
            skipped: BTreeMap::new(),
            logs: BTreeMap::new(),
            errors: BTreeMap::new(),
            ended: None,
            requests: Requests::default(),
        }
    }

    /// Takes in what happened at `at` and returns the items whose verdict, reason or message changed, in order.
    ///
    /// Judges only what the record touches, and items whose hold or settle time is over. After the wait has ended
    /// records still add detail (events, logs), and no verdict changes any more.
    pub fn step(&mut self, at: Timestamp, record: &Record) -> Vec<ObjectKey> {
        self.now = self.now.max(at);
        let mut touched = self.apply(record);
        if self.ended.is_some() {
            return Vec::new();
        }
        touched.extend(self.due());
        let changed: Vec<ObjectKey> = touched.into_iter().filter(|key| self.judge(key)).collect();
        self.conclude();
        changed
    }

    fn apply(&mut self, record: &Record) -> BTreeSet<ObjectKey> {
        let mut touched = BTreeSet::new();
        match record {
            Record::Target(target) => touched.extend(self.add_target(target)),
            Record::Event(op, object) => self.take_event(*op, object, &mut touched),
            Record::Relist(resource, namespace) => {
                let area = Area::new(&resource.group, &resource.kind, namespace.as_deref());
                self.view.mark_served(&resource.group, &resource.kind, true);
                self.view.mark_read(area);
                touched.extend(self.concerned(resource));
            }
            Record::Error(resource, status, message) => {
                let known = self.errors.entry((resource.group.clone(), resource.kind.clone())).or_default();
                message.clone_into(&mut known.0);
                if *status == Some(404) {
                    known.1 += 1;
                    let stays = known.1 >= NOT_SERVED && !self.brings_definitions();
                    self.view.mark_served(&resource.group, &resource.kind, false);
                    if stays {
                        self.deny("list", resource, (None, None), message, &mut touched);
                    }
                    touched.extend(self.concerned(resource));
                }
            }
            Record::Denied { verb, resource, namespace, name, message } => {
                let of = (namespace.as_deref(), name.as_deref());
                self.deny(verb, resource, of, message, &mut touched);
            }
            Record::Served(resource, served) => {
                self.view.mark_served(&resource.group, &resource.kind, *served);
                touched.extend(self.concerned(resource));
                touched.extend(self.items.keys().filter(|key| key.kind == "CustomResourceDefinition").cloned());
            }
            Record::Log { namespace, name, container, lines, .. } => {
                self.logs.insert((namespace.clone(), name.clone(), container.clone()), lines.clone());
            }
            Record::Tick => {}
            Record::End(ended, requests) => {
                self.requests = *requests;
                self.finish(*ended);
            }
        }
        touched
    }

    fn add_target(&mut self, target: &Target) -> Option<ObjectKey> {
        self.targets.push(target.clone());
        self.want_target(target);
        let name = target.name.as_ref()?;
        let namespace = target.namespace.clone().unwrap_or_default();
        let key = ObjectKey::new(&target.resource.group, &target.resource.kind, namespace, name);
        self.view.expect(key.clone());
        let now = self.now;
        let crowd = self.crowds.entry(key.namespace.clone()).or_default();
        let item = self.items.entry(key.clone()).or_insert_with(|| {
            *crowd += 1;
            Item::new(&target.resource, now)
        });
        if item.facts.generation <= target.facts.generation {
            item.facts = target.facts.clone();
        }
        item.source = target.source.clone().or(item.source.take());
        Some(key)
    }

    fn take_event(&mut self, op: Op, object: &Object, touched: &mut BTreeSet<ObjectKey>) {
        let key = &object.key;
        let siblings_knew = self.view.observes(&key.group, &key.kind);
        match op {
            Op::Deleted | Op::Left => {
                touched.extend(self.roots(self.view.get(key).unwrap_or(object)));
                self.view.remove(key);
                if op == Op::Left {
                    self.items.remove(key);
                    touched.remove(key);
                } else if let Some(item) = self.items.get_mut(key) {
                    item.known.gone = true;
                }
            }
            Op::Listed | Op::Added | Op::Modified => {
                self.view.insert(object.clone());
                self.join(object);
                touched.extend(self.roots(object));
            }
        }
        if self.items.contains_key(key) {
            touched.insert(key.clone());
        }
        if siblings_knew != self.view.observes(&key.group, &key.kind) {
            touched.extend(self.items.keys().filter(|item| item.group == key.group && item.kind == key.kind).cloned());
        }
        match &object.body {
            Body::Node(_) => {
                let unplaced = |item: &Item| {
                    item.judgement.suspects.iter().any(|suspect| suspect.word.reason == Reason::Unschedulable)
                };
                let open =
                    self.items.iter().filter(|(key, item)| !item.closed && (key.kind == "DaemonSet" || unplaced(item)));
                touched.extend(open.map(|(key, _)| key.clone()));
            }
            Body::Service(_) | Body::Slice(_) if self.policy.until >= Level::Serving => {
                let here = self.items.iter().filter(|(item, _)| item.namespace == key.namespace);
                touched.extend(here.filter(|(_, item)| !item.closed).map(|(item, _)| item.clone()));
            }
            Body::StorageClass(_) => touched.extend(self.open_of("PersistentVolumeClaim")),
            Body::Definition(_) => touched.extend(self.custom_of(object)),
            _ => {}
        }
    }

    /// Makes an item of an object that a selection matches.
    fn join(&mut self, object: &Object) {
        if self.items.contains_key(&object.key) {
            if let Some(item) = self.items.get_mut(&object.key) {
                item.optional = self.optional.as_ref().is_some_and(|selector| selector.matches(&object.meta().labels));
                item.api_version.clone_from(&object.api_version);
            }
            return;
        }
        let Some(target) = self.targets.iter().find(|target| selects(target, object)) else { return };
        let mut item = Item::new(&target.resource, self.now);
        item.optional = self.optional.as_ref().is_some_and(|selector| selector.matches(&object.meta().labels));
        item.api_version.clone_from(&object.api_version);
        item.facts.min_generation = target.facts.min_generation;
        self.items.insert(object.key.clone(), item);
        *self.crowds.entry(object.key.namespace.clone()).or_default() += 1;
    }

    /// Returns the items above an object: its owners, or the owners of an event's subject.
    fn roots(&self, object: &Object) -> Vec<ObjectKey> {
        let mut next = match &object.body {
            Body::Event(event) => event.involved_object.as_ref().and_then(|subject| self.view.by_uid(&subject.uid)),
            _ => Some(object),
        };
        let mut roots = Vec::new();
        // A chain of owners is short; the bound guards against a loop of owner references.
        for _ in 0..8 {
            let Some(object) = next else { break };
            if self.items.contains_key(&object.key) {
                roots.push(object.key.clone());
            }
            next = object.meta().controller().and_then(|owner| self.view.by_uid(&owner.uid));
        }
        roots
    }

    fn concerned(&self, resource: &Resource) -> Vec<ObjectKey> {
        let child = self.targets.iter().all(|target| target.resource.kind != resource.kind);
        self.items
            .iter()
            .filter(|(key, item)| (child && !item.closed) || (key.kind == resource.kind && key.group == resource.group))
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn open_of(&self, kind: &str) -> Vec<ObjectKey> {
        self.items.iter().filter(|(key, item)| key.kind == kind && !item.closed).map(|(key, _)| key.clone()).collect()
    }

    fn custom_of(&self, definition: &Object) -> Vec<ObjectKey> {
        let Body::Definition(definition) = &definition.body else { return Vec::new() };
        let (group, kind) = definition.defines();
        self.items.keys().filter(|key| key.group == group && key.kind == kind).cloned().collect()
    }

    fn deny(
        &mut self,
        verb: &str,
        resource: &Resource,
        (namespace, name): (Option<&str>, Option<&str>),
        message: &str,
        touched: &mut BTreeSet<ObjectKey>,
    ) {
        if verb == "watch" {
            // A poll answers in its place.
            return;
        }
        // Where a single name may not be read, the others still are.
        if name.is_none() {
            self.view.mark_denied(Area::new(&resource.group, &resource.kind, namespace));
        }
        let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
        let reason = format!("cannot {verb} {}{place}: {message}", resource.plural);
        for target in self.targets.iter().filter(|target| {
            target.resource == *resource
                && (namespace.is_none() || target.namespace.as_deref() == namespace)
                && (name.is_none() || target.name.as_deref() == name)
        }) {
            let object = object_of(target);
            let namespace = target.namespace.clone().unwrap_or_default();
            let skipped = Skipped { object: object.clone(), namespace: namespace.clone(), reason: reason.clone() };
            self.skipped.insert((namespace.clone(), object), skipped);
            if let Some(name) = &target.name {
                self.items.remove(&ObjectKey::new(&resource.group, &resource.kind, namespace, name));
            }
        }
        touched.extend(self.concerned(resource));
    }

    /// Returns whether a definition is waited for, which may bring the kind of another target.
    fn brings_definitions(&self) -> bool {
        self.targets.iter().any(|target| target.resource.kind == "CustomResourceDefinition")
    }

    /// Takes the items whose timer is over.
    fn due(&mut self) -> Vec<ObjectKey> {
        let later = self.timers.iter().take_while(|(at, _)| *at <= self.now).count();
        (0..later).filter_map(|_| self.timers.pop_first()).map(|(_, key)| key).collect()
    }

    /// Judges one item; returns whether what is shown of it changed.
    fn judge(&mut self, key: &ObjectKey) -> bool {
        let Some(item) = self.items.get_mut(key) else { return false };
        if item.closed {
            return false;
        }
        let clock = Clock { now: self.now, start: self.start };
        let (outcome, evidence, generations) = if let Some(object) = self.view.get(key) {
            let Some(found) = assess(object, &mut item.facts, &mut item.known, &self.view, &self.policy, clock) else {
                return false;
            };
            (found.outcome, found.evidence, found.generations)
        } else {
            if item.known.gone && item.judgement.verdict == Verdict::Complete && ends_by_itself(key) {
                return false;
            }
            (absent(key, item, &self.view, self.policy.once), None, Generations::default())
        };
        let judgement = resolve(outcome, evidence, generations, &self.policy, clock, &mut item.memory);
        let before = std::mem::replace(&mut item.judgement, judgement);
        let after = &item.judgement;
        let turned = before.verdict != after.verdict || before.word != after.word;
        if turned {
            item.since = self.now;
        }
        if before.reads != after.reads || before.generations != after.generations || turned {
            item.moved_at = self.now;
        }
        item.settle(self.now, turned || before.reads != after.reads);
        let closes = matches!(
            item.judgement.verdict,
            Verdict::Failed | Verdict::Missing | Verdict::Terminating | Verdict::Superseded | Verdict::Unverifiable
        );
        item.closed = closes && self.start.is_some();
        let changed = turned || before.message != item.judgement.message;
        let timer = item.next_timer(self.policy.settle);
        self.set_timer(key, timer);
        if self.start.is_some() {
            self.want_children(key);
        }
        changed
    }

    fn set_timer(&mut self, key: &ObjectKey, timer: Option<Timestamp>) {
        let Some(item) = self.items.get_mut(key) else { return };
        if let Some(before) = item.timer.take() {
            self.timers.remove(&(before, key.clone()));
        }
        item.timer = timer;
        if let Some(at) = timer {
            self.timers.insert((at, key.clone()));
        }
    }

    /// Replaces the count of requests made so far.
    pub fn count_requests(&mut self, requests: Requests) {
        self.requests = requests;
    }

    /// Returns the watches that the wait needs as it stands.
    pub(crate) fn wants(&self) -> &BTreeMap<Place, Selection> {
        &self.wants
    }

    pub(crate) fn wants_mut(&mut self) -> &mut BTreeMap<Place, Selection> {
        &mut self.wants
    }

    /// Returns whether an item is the only one of its namespace.
    pub(crate) fn is_alone(&self, key: &ObjectKey) -> bool {
        self.crowds.get(&key.namespace) == Some(&1)
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    pub(crate) fn items(&self) -> &BTreeMap<ObjectKey, Item> {
        &self.items
    }

    /// Returns the signs of failure of the objects that have not got there, object by object, worst first.
    pub(crate) fn worst_suspects(&self) -> impl Iterator<Item = &Suspect> {
        let open = self.items.values().filter(|item| {
            !matches!(item.judgement.verdict, Verdict::Complete | Verdict::Superseded | Verdict::Missing)
        });
        open.flat_map(|item| &item.judgement.suspects)
    }

    pub(crate) fn skipped(&self) -> impl Iterator<Item = &Skipped> {
        self.skipped.values()
    }

    pub(crate) fn requests(&self) -> Requests {
        self.requests
    }

    pub(crate) fn start(&self) -> Option<Timestamp> {
        self.start
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn log(&self, namespace: &str, pod: &str, container: &str) -> Option<&Log> {
        self.logs.get(&(namespace.to_owned(), pod.to_owned(), container.to_owned()))
    }
}

impl Item {
    fn new(resource: &Resource, now: Timestamp) -> Self {
        let unseen = Outcome {
            progressing: vec![Statement::new("WD-K1", Reason::NotFound, "not read yet")],
            ..Outcome::default()
        };
        let clock = Clock { now, start: Some(now) };
        let judgement =
            resolve(unseen, None, Generations::default(), &Policy::default(), clock, &mut Memory::default());
        Self {
            api_version: resource.api_version(),
            facts: Facts::default(),
            source: None,
            optional: false,
            judgement,
            since: now,
            memory: Memory::default(),
            known: Known::default(),
            closed: false,
            complete_since: None,
            timer: None,
            moved_at: now,
        }
    }

    /// Keeps the moment since when it has been complete without a change.
    fn settle(&mut self, now: Timestamp, changed: bool) {
        if self.judgement.verdict != Verdict::Complete {
            self.complete_since = None;
        } else if changed || self.complete_since.is_none() {
            self.complete_since = Some(now);
        }
    }

    fn has_settled(&self, now: Timestamp, settle: SignedDuration) -> bool {
        self.complete_since.is_some_and(|since| now.duration_since(since) >= settle)
    }

    fn next_timer(&self, settle: SignedDuration) -> Option<Timestamp> {
        if self.closed {
            return None;
        }
        let settled =
            self.complete_since.filter(|_| !settle.is_zero()).and_then(|since| since.checked_add(settle).ok());
        // A hold is over only after its last moment: one millisecond later, the precision of a recording.
        let past = self.judgement.fails_at.and_then(|at| at.checked_add(SignedDuration::from_millis(1)).ok());
        [settled, past, self.known.asks_again_at].into_iter().flatten().min()
    }
}

/// Returns what a target asks for, as in `deployment/web` or `deployments -l app=web`.
fn object_of(target: &Target) -> String {
    match &target.name {
        Some(name) => format!("{}/{name}", target.resource.kind.to_lowercase()),
        None if target.labels.is_empty() => target.resource.plural.clone(),
        None => format!("{} -l {}", target.resource.plural, target.labels),
    }
}

/// Judges an object that is not in the view.
///
/// One look (`once`) does not wait for it to appear.
fn absent(key: &ObjectKey, item: &Item, view: &View, once: bool) -> Outcome {
    let mut outcome = Outcome::default();
    if item.known.gone {
        outcome.suspects.push(Suspect::new("WD-K5", Reason::Gone, key, format!("{key} was there and is gone")));
        return outcome;
    }
    if view.served(&key.group, &key.kind) == Some(false) {
        let message = format!("the server does not serve {} yet", key.kind);
        outcome.wait("WD-K2", Reason::KindNotServed, message);
        return outcome;
    }
    match view.reading(&key.group, &key.kind, &key.namespace, "list") {
        Lookup::Known(()) => {
            let mut suspect = Suspect::new("WD-K1", Reason::NotFound, key, format!("there is no {key}"));
            suspect.holds = once.then_some([Hold::Seconds(0); 3]);
            outcome.suspects.push(suspect);
        }
        Lookup::Denied(_) | Lookup::Unread => outcome.wait("WD-K1", Reason::NotFound, "not read yet"),
    }
    outcome
}

/// Jobs and bare pods with a time to live end well and are then taken away.
fn ends_by_itself(key: &ObjectKey) -> bool {
    matches!((key.group.as_str(), key.kind.as_str()), ("batch", "Job") | ("", "Pod"))
}

fn selects(target: &Target, object: &Object) -> bool {
    target.name.is_none()
        && target.resource.group == object.key.group
        && target.resource.kind == object.key.kind
        && target.namespace.as_ref().is_none_or(|namespace| *namespace == object.key.namespace)
        // The server has applied the field selector; labels may be those of another selection of the same watch.
        && target.labels.parse::<Selector>().is_ok_and(|selector| selector.matches(&object.meta().labels))
}
