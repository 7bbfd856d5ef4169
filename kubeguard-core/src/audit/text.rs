//! Text and labels that many objects share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use prost::Message;

use super::kinds::PodSpec;

/// Text that may be shared; it reads like a `str`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { Self(text.into()) }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Labels or annotations, sorted by key; cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[(Text, Text)]>);

impl Labels {
    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    /// Returns keys and values in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Text, Text)> for Labels {
    fn from_iter<I: IntoIterator<Item = (Text, Text)>>(pairs: I) -> Self {
        let sorted: BTreeMap<Text, Text> = pairs.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Keeps one of each text, set of labels and pod spec while facts are read.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<Text>,
    labels: HashSet<Labels>,
    owners: HashSet<Arc<super::facts::Owner>>,
    specs: HashMap<u64, Vec<Arc<PodSpec>>>,
    buffer: Vec<u8>,
}

impl Interner {
    pub(super) fn text(&mut self, text: &str) -> Text {
        if text.is_empty() {
            return Text::default();
        }
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new = Text::from(text);
        self.texts.insert(new.clone());
        new
    }

    pub(super) fn labels(&mut self, map: &BTreeMap<String, String>, keep: impl Fn(&str) -> bool) -> Labels {
        let kept = map.iter().filter(|(key, _)| keep(key));
        let pairs: Labels = kept.map(|(key, value)| (self.text(key), self.text(value))).collect();
        if pairs.is_empty() {
            return Labels::default();
        }
        if let Some(known) = self.labels.get(&pairs) {
            return known.clone();
        }
        self.labels.insert(pairs.clone());
        pairs
    }

    pub(super) fn owner(&mut self, owner: super::facts::Owner) -> Arc<super::facts::Owner> {
        if let Some(known) = self.owners.get(&owner) {
            return known.clone();
        }
        let new = Arc::new(owner);
        self.owners.insert(new.clone());
        new
    }

    pub(super) fn spec(&mut self, spec: PodSpec) -> Arc<PodSpec> {
        self.buffer.clear();
        // A buffer that grows takes any message.
        let _ = spec.encode(&mut self.buffer);
        let mut hasher = DefaultHasher::new();
        self.buffer.hash(&mut hasher);
        let same = self.specs.entry(hasher.finish()).or_default();
        if let Some(known) = same.iter().find(|known| ***known == spec) {
            return known.clone();
        }
        let new = Arc::new(spec);
        same.push(new.clone());
        new
    }
}
