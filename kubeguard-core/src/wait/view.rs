//! Every object a wait has seen, with the look-ups that rules need: by key, by owner, by subject.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::object::{Body, Object, ObjectKey};
use crate::kinds::{Event, Pod};

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<T> {
    /// The list has been read; this is what is there.
    Known(T),
    /// Nobody may read it: the verb and resource that are missing, as in `list pods`.
    Denied(&'static str),
    /// It has not been read, or only a file was given.
    Unread,
}

impl<T> Lookup<T> {
    /// Returns what is there, if it could be read.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(found) => Some(found),
            Self::Denied(_) | Self::Unread => None,
        }
    }

    /// Applies `f` to what is there.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Known(found) => Lookup::Known(f(found)),
            Self::Denied(what) => Lookup::Denied(what),
            Self::Unread => Lookup::Unread,
        }
    }
}

/// A kind in one namespace, or in all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Area {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, as in `Pod`.
    pub kind: String,
    /// Namespace; `None` for all, and for cluster-wide kinds.
    pub namespace: Option<String>,
}

impl Area {
    /// Returns the area of a kind.
    pub fn new(group: impl Into<String>, kind: impl Into<String>, namespace: Option<&str>) -> Self {
        Self { group: group.into(), kind: kind.into(), namespace: namespace.map(ToOwned::to_owned) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Read,
    Denied,
}

/// Every object a wait has seen.
#[derive(Debug, Clone, Default)]
pub struct View {
    objects: BTreeMap<ObjectKey, Object>,
    by_uid: HashMap<String, ObjectKey>,
    /// Uid of a controller → the objects it controls.
    controlled: HashMap<String, BTreeSet<ObjectKey>>,
    /// Namespace and name of a service → its slices.
    slices: HashMap<(String, String), BTreeSet<ObjectKey>>,
    /// Uid of an event's subject → its events.
    events: HashMap<String, BTreeSet<ObjectKey>>,
    /// The last message of a failed pull per pod uid and container: a back-off says no more than that it waits.
    pulls: HashMap<String, BTreeMap<String, String>>,
    areas: BTreeMap<Area, Reading>,
    /// Kinds of which some object carries an observed generation, by group and kind.
    observing: BTreeSet<(String, String)>,
    /// Objects that are waited for, whether they are there or not.
    expected: BTreeSet<ObjectKey>,
    /// Kinds that discovery lists, by group and kind.
    served: BTreeMap<(String, String), bool>,
}

impl View {
    /// Adds an object or replaces its older state.
    pub fn insert(&mut self, object: Object) {
        let key = object.key.clone();
        self.forget(&key);
        let uid = &object.meta().uid;
        if !uid.is_empty() {
            self.by_uid.insert(uid.clone(), key.clone());
        }
        if let Some(owner) = object.meta().controller() {
            self.controlled.entry(owner.uid.clone()).or_default().insert(key.clone());
        }
        match &object.body {
            Body::Event(event) => {
                self.events.entry(subject(event).to_owned()).or_default().insert(key.clone());
            }
            Body::Pod(pod) => self.remember_pulls(pod),
            Body::Slice(_) => {
                self.slices.entry(service_of(&object)).or_default().insert(key.clone());
            }
            _ => {}
        }
        if object.observed_generation().is_some_and(|observed| observed > 0) {
            self.observing.insert((key.group.clone(), key.kind.clone()));
        }
        self.objects.insert(key, object);
    }

    /// Takes an object away.
    pub fn remove(&mut self, key: &ObjectKey) {
        if let Some(object) = self.objects.get(key) {
            self.pulls.remove(&object.meta().uid);
        }
        self.forget(key);
        self.objects.remove(key);
    }

    fn forget(&mut self, key: &ObjectKey) {
        let Some(object) = self.objects.get(key) else { return };
        self.by_uid.remove(&object.meta().uid);
        if matches!(object.body, Body::Slice(_))
            && let Some(keys) = self.slices.get_mut(&service_of(object))
        {
            keys.remove(key);
        }
        let owner = object.meta().controller().map(|owner| owner.uid.clone());
        let subject = if let Body::Event(event) = &object.body { Some(subject(event).to_owned()) } else { None };
        for (index, uid) in [(&mut self.controlled, owner), (&mut self.events, subject)] {
            let Some(uid) = uid else { continue };
            if let Some(keys) = index.get_mut(&uid) {
                keys.remove(key);
                if keys.is_empty() {
                    index.remove(&uid);
                }
            }
        }
    }

    fn remember_pulls(&mut self, pod: &Pod) {
        let Some(status) = &pod.status else { return };
        for container in status.init_container_statuses.iter().chain(&status.container_statuses) {
            let Some(waiting) = container.state.as_ref().and_then(|state| state.waiting.as_ref()) else { continue };
            if waiting.reason == "ErrImagePull" && !waiting.message.is_empty() {
                let pulls = self.pulls.entry(pod.metadata.uid.clone()).or_default();
                pulls.insert(container.name.clone(), waiting.message.clone());
            }
        }
    }

    /// Returns the last message of a failed pull of a pod's container.
    #[must_use]
    pub fn pull_message(&self, pod_uid: &str, container: &str) -> Option<&str> {
        self.pulls.get(pod_uid)?.get(container).map(String::as_str)
    }

    /// Notes that an object is waited for.
    pub fn expect(&mut self, key: ObjectKey) {
        self.expected.insert(key);
    }

    /// Returns whether an object is waited for and not there yet.
    #[must_use]
    pub fn is_to_come(&self, key: &ObjectKey) -> bool {
        self.expected.contains(key) && !self.objects.contains_key(key)
    }

    /// Returns the object of `key`.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Returns the object with `uid`.
    #[must_use]
    pub fn by_uid(&self, uid: &str) -> Option<&Object> {
        self.objects.get(self.by_uid.get(uid)?)
    }

    /// Returns every object of a kind in a namespace, by name; an empty namespace for cluster-wide kinds.
    pub fn of_kind<'a>(
        &'a self,
        group: &'a str,
        kind: &'a str,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Object> {
        // Keys are ordered by namespace and kind: the objects of one lie side by side.
        self.objects
            .range(ObjectKey::new("", kind, namespace, "")..)
            .map(|(_, object)| object)
            .take_while(move |object| object.key.kind == kind && object.key.namespace == namespace)
            .filter(move |object| object.key.group == group)
    }

    /// Returns what an object controls of one kind, by name.
    pub fn controlled<'a>(&'a self, uid: &str, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.controlled
            .get(uid)
            .into_iter()
            .flatten()
            .filter(move |key| key.kind == kind)
            .filter_map(|key| self.objects.get(key))
    }

    /// Returns the slices of a service, by name.
    pub fn slices<'a>(&'a self, namespace: &str, service: &str) -> impl Iterator<Item = &'a Object> {
        let keys = self.slices.get(&(namespace.to_owned(), service.to_owned()));
        keys.into_iter().flatten().filter_map(|key| self.objects.get(key))
    }

    /// Returns the pods an object controls, by name.
    pub fn pods<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Pod> {
        self.controlled(uid, "Pod").filter_map(|object| match &object.body {
            Body::Pod(pod) => Some(pod.as_ref()),
            _ => None,
        })
    }

    /// Returns the events of an object, oldest first.
    #[must_use]
    pub fn events(&self, uid: &str) -> Vec<&Event> {
        let mut events: Vec<&Event> = self
            .events
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|key| match &self.objects.get(key)?.body {
                Body::Event(event) => Some(event.as_ref()),
                _ => None,
            })
            .collect();
        events.sort_by(|a, b| (a.newest(), &a.metadata.name).cmp(&(b.newest(), &b.metadata.name)));
        events
    }

    /// Notes that a list has been read to its end.
    pub fn mark_read(&mut self, area: Area) {
        self.areas.insert(area, Reading::Read);
    }

    /// Notes that a list may not be read.
    pub fn mark_denied(&mut self, area: Area) {
        self.areas.insert(area, Reading::Denied);
    }

    /// Returns whether the kind has been read in `namespace`; `denied` names what is missing where it may not be.
    #[must_use]
    pub fn reading(&self, group: &str, kind: &str, namespace: &str, denied: &'static str) -> Lookup<()> {
        let everywhere = self.areas.get(&Area::new(group, kind, None));
        let here = self.areas.get(&Area::new(group, kind, Some(namespace)));
        match here.or(everywhere) {
            Some(Reading::Read) => Lookup::Known(()),
            Some(Reading::Denied) => Lookup::Denied(denied),
            None => Lookup::Unread,
        }
    }

    /// Returns whether some object of the kind carries an observed generation: its controller does write it.
    #[must_use]
    pub fn observes(&self, group: &str, kind: &str) -> bool {
        self.observing.contains(&(group.to_owned(), kind.to_owned()))
    }

    /// Notes whether discovery lists a kind.
    pub fn mark_served(&mut self, group: &str, kind: &str, served: bool) {
        self.served.insert((group.to_owned(), kind.to_owned()), served);
    }

    /// Returns whether discovery lists a kind; `None` when nobody has asked.
    #[must_use]
    pub fn served(&self, group: &str, kind: &str) -> Option<bool> {
        self.served.get(&(group.to_owned(), kind.to_owned())).copied()
    }
}

/// Returns namespace and name of the service that a slice belongs to.
fn service_of(slice: &Object) -> (String, String) {
    let service = slice.meta().labels.get("kubernetes.io/service-name").cloned().unwrap_or_default();
    (slice.key.namespace.clone(), service)
}

fn subject(event: &Event) -> &str {
    event.involved_object.as_ref().map_or("", |subject| subject.uid.as_str())
}
