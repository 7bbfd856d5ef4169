//! References as they are kept while a cluster is read: a text that many share is in memory once.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::images::inventory::{Reference, Use};

/// A text, shared by all that say the same.
pub(super) type Text = Arc<str>;

/// An object by namespace, kind and name.
pub(super) type Place = (Text, Text, Text);

/// Each text once.
#[derive(Debug, Default)]
pub(super) struct Texts(HashSet<Text>);

impl Texts {
    /// Returns the one copy of a text.
    pub(super) fn one(&mut self, text: &str) -> Text {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new = Text::from(text);
        self.0.insert(new.clone());
        new
    }

    /// Returns the one copy of a text, of which an empty one is none.
    pub(super) fn some(&mut self, text: &str) -> Option<Text> {
        (!text.is_empty()).then(|| self.one(text))
    }

    pub(super) fn place(&mut self, namespace: &str, kind: &str, name: &str) -> Place {
        (self.one(namespace), self.one(kind), self.one(name))
    }
}

/// A [`Reference`] without what many mentions are folded into; in the order of its fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) namespace: Option<Text>,
    pub(super) kind: Text,
    pub(super) name: Text,
    pub(super) path: Text,
    pub(super) image: Text,
    pub(super) r#use: Use,
    pub(super) spec: Option<Text>,
    pub(super) container: Option<Text>,
    pub(super) owner: Option<Text>,
    pub(super) revision: Option<i64>,
}

impl Named {
    pub(super) fn place(&self) -> Place {
        (self.namespace.clone().unwrap_or_default(), self.kind.clone(), self.name.clone())
    }

    /// Returns it as an inventory has it.
    pub(super) fn reference(&self, seen: &Folded, platforms: Vec<String>) -> Reference {
        let owned = |text: &Option<Text>| text.as_deref().map(ToOwned::to_owned);
        Reference {
            namespace: owned(&self.namespace),
            kind: (*self.kind).to_owned(),
            name: (*self.name).to_owned(),
            path: (*self.path).to_owned(),
            image: (*self.image).to_owned(),
            r#use: self.r#use,
            spec: owned(&self.spec),
            container: owned(&self.container),
            platforms,
            pods: Some(seen.pods).filter(|pods| *pods > 0),
            started_at: seen.started,
            owner: owned(&self.owner),
            revision: self.revision,
            ..Reference::default()
        }
    }
}

/// What many mentions of one reference are folded into.
#[derive(Debug, Default)]
pub(super) struct Folded {
    pub(super) pods: u64,
    pub(super) started: Option<Timestamp>,
    pub(super) places: BTreeSet<Text>,
}

impl Folded {
    pub(super) fn add(&mut self, other: Self) {
        self.pods += other.pods;
        self.started = [self.started, other.started].into_iter().flatten().min();
        self.places.extend(other.places);
    }
}
