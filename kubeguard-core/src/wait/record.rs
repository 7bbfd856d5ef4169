//! What happened, one record per event: the only input of the state machine, live, recorded or made from files.

use jiff::Timestamp;

use super::object::{Facts, Object};
use super::report::{Ended, Requests, Source};
use crate::gather::resource::Resource;

/// One thing a wait is about: an object by name, or every object that a selector matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind and where the server keeps it.
    pub resource: Resource,
    /// Namespace; `None` for all namespaces and for cluster-wide kinds.
    pub namespace: Option<String>,
    /// Name; `None` for a selection.
    pub name: Option<String>,
    /// Label selector of a selection; empty for all objects.
    pub labels: String,
    /// Field selector of a selection.
    pub fields: String,
    /// What is known about one's own write of a named object.
    pub facts: Facts,
    /// Where it was named, if in a file.
    pub source: Option<Source>,
    /// How many objects a selection must match before it can be complete.
    pub min_count: usize,
}

impl Target {
    /// Returns a target for one object by name.
    pub fn named(resource: Resource, namespace: Option<&str>, name: impl Into<String>) -> Self {
        Self {
            resource,
            namespace: namespace.map(ToOwned::to_owned),
            name: Some(name.into()),
            labels: String::new(),
            fields: String::new(),
            facts: Facts::default(),
            source: None,
            min_count: 1,
        }
    }

    /// Returns a target for every object of a kind that `labels` selects, in one namespace or in all.
    pub fn selected(resource: Resource, namespace: Option<&str>, labels: impl Into<String>) -> Self {
        Self { name: None, labels: labels.into(), ..Self::named(resource, namespace, "") }
    }
}

/// What a watch saw of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It stood in a list.
    Listed,
    /// It is new.
    Added,
    /// It has changed.
    Modified,
    /// It is gone; a look by name has made sure.
    Deleted,
    /// It is still there and no longer matches the selector.
    Left,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The wait is about this too.
    Target(Box<Target>),
    /// An object was seen.
    Event(Op, Box<Object>),
    /// A list of a kind, in a namespace or in all, has been read to its end.
    Relist(Resource, Option<String>),
    /// A list or watch failed and will be tried again.
    Error(Resource, Option<u16>, String),
    /// The server refuses this verb for good.
    Denied {
        /// `list`, `watch` or `get`.
        verb: String,
        /// What may not be read.
        resource: Resource,
        /// Where; `None` for all namespaces.
        namespace: Option<String>,
        /// The only object that is meant; `None` for all.
        name: Option<String>,
        /// The server's words.
        message: String,
    },
    /// Discovery lists the kind now, or does not.
    Served(Resource, bool),
    /// The tail of a container's log.
    Log {
        /// Namespace of the pod.
        namespace: String,
        /// Name of the pod.
        name: String,
        /// Container.
        container: String,
        /// From the instance before the current one.
        previous: bool,
        /// Lines, oldest first, secrets left out; or why there are none.
        lines: Result<Vec<String>, String>,
    },
    /// Time has passed and a hold, a settle time or the deadline is over.
    Tick,
    /// The wait has ended.
    End(Ended, Requests),
}

/// A record with the moment it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped {
    /// When.
    pub at: Timestamp,
    /// What.
    pub record: Record,
}
