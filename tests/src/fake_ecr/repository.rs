//! One repository: its entries in the order of their pushes, found by tag, parent and subject without a search.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use jiff::Timestamp;
use kubeguard_core::ecr::snapshot::Status;
use kubeguard_core::images::Digest;
use serde_json::Value;

use super::lifecycle::Lifecycle;

/// One manifest as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its digest: the sha256 of the manifest, unless it was generated or spoilt.
    pub digest: Digest,
    /// Its tags in the order they came.
    pub tags: Vec<String>,
    /// First push; absent where the test says so.
    pub pushed_at: Option<Timestamp>,
    /// Size as listed.
    pub size: Option<u64>,
    /// Type of the manifest.
    pub media_type: Option<String>,
    /// Type of its config or artifact; none for an index.
    pub artifact_type: Option<String>,
    /// Last recorded pull.
    pub pulled_at: Option<Timestamp>,
    /// What it is attached to.
    pub subject: Option<Digest>,
    /// Whether it can be pulled.
    pub status: Status,
    /// When it was archived last.
    pub archived_at: Option<Timestamp>,
    /// When it was restored last.
    pub activated_at: Option<Timestamp>,
    /// The manifest; none for generated entries.
    pub manifest: Option<Bytes>,
    /// Children that its manifest lists.
    pub children: Vec<Digest>,
    /// An archived image is active again at this time.
    pub(super) active_from: Option<Timestamp>,
}

impl Entry {
    /// Reads what a manifest says of itself: type, artifact type, subject, children and the size of its layers.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub(super) fn of_manifest(manifest: Bytes, media_type: Option<&str>) -> Result<Self, String> {
        let read: Value = serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
        if !read.is_object() {
            return Err("a manifest is an object".to_owned());
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let media_type = text(&read["mediaType"]).or_else(|| media_type.map(str::to_owned));
        let digest_of = |value: &Value| value["digest"].as_str().and_then(|text| text.parse().ok());
        let layers = read["layers"].as_array().into_iter().flatten();
        Ok(Self {
            digest: Digest::of(&manifest),
            tags: Vec::new(),
            pushed_at: None,
            size: Some(layers.filter_map(|layer| layer["size"].as_u64()).sum()),
            artifact_type: text(&read["artifactType"]).or_else(|| text(&read["config"]["mediaType"])),
            pulled_at: None,
            subject: digest_of(&read["subject"]),
            status: Status::Active,
            archived_at: None,
            activated_at: None,
            children: read["manifests"].as_array().into_iter().flatten().filter_map(digest_of).collect(),
            manifest: Some(manifest),
            active_from: None,
            media_type,
        })
    }
}

/// A repository and its settings.
#[derive(Debug, Clone)]
pub struct Repository {
    entries: HashMap<Digest, (u64, Entry)>,
    order: BTreeMap<u64, Digest>,
    tags: HashMap<String, Digest>,
    parents: HashMap<Digest, BTreeSet<Digest>>,
    referrers: HashMap<Digest, BTreeSet<u64>>,
    pushes: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its AWS tags.
    pub aws_tags: BTreeMap<String, String>,
    /// `MUTABLE`, `IMMUTABLE`, or one of the two with exclusions.
    pub mutability: String,
    /// Its lifecycle policy and what a preview of it says.
    pub lifecycle: Option<Lifecycle>,
}

impl Repository {
    pub(super) fn new(created_at: Timestamp) -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            tags: HashMap::new(),
            parents: HashMap::new(),
            referrers: HashMap::new(),
            pushes: 0,
            created_at,
            aws_tags: BTreeMap::new(),
            mutability: "MUTABLE".to_owned(),
            lifecycle: None,
        }
    }

    /// Returns how many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns an entry.
    #[must_use]
    pub fn entry(&self, digest: &Digest) -> Option<&Entry> {
        self.entries.get(digest).map(|(_, entry)| entry)
    }

    /// Returns an entry to change its dates, types or status; tags, children and subject have their own methods.
    pub fn entry_mut(&mut self, digest: &Digest) -> Option<&mut Entry> {
        self.entries.get_mut(digest).map(|(_, entry)| entry)
    }

    /// Returns its entries in the order of their pushes.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.after(0).map(|(_, entry)| entry)
    }

    /// Returns the entries that come behind a place in the order of pushes, each with its own place, from 1.
    pub(super) fn after(&self, place: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.order
            .range((std::ops::Bound::Excluded(place), std::ops::Bound::Unbounded))
            .filter_map(|(place, digest)| Some((*place, self.entry(digest)?)))
    }

    /// Returns what a tag points to.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Option<Digest> {
        self.tags.get(tag).copied()
    }

    /// Returns the indexes that list an entry, by digest.
    #[must_use]
    pub fn parents(&self, digest: &Digest) -> Vec<Digest> {
        self.parents.get(digest).into_iter().flatten().copied().collect()
    }

    /// Returns the entries attached to a subject behind a place in the order of pushes.
    pub(super) fn referrers(&self, subject: &Digest, place: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let places = self.referrers.get(subject).into_iter().flatten().filter(move |found| **found > place);
        places.filter_map(|place| Some((*place, self.entry(self.order.get(place)?)?)))
    }

    /// Puts an entry in, without tags. One that is there already stays as it is.
    pub(super) fn insert(&mut self, mut entry: Entry) {
        if self.entries.contains_key(&entry.digest) {
            return;
        }
        self.pushes += 1;
        entry.tags.clear();
        for child in &entry.children {
            self.parents.entry(*child).or_default().insert(entry.digest);
        }
        if let Some(subject) = entry.subject {
            self.referrers.entry(subject).or_default().insert(self.pushes);
        }
        self.order.insert(self.pushes, entry.digest);
        self.entries.insert(entry.digest, (self.pushes, entry));
    }

    /// Takes an entry away with all its tags; returns it.
    pub(super) fn remove(&mut self, digest: &Digest) -> Option<Entry> {
        let (place, entry) = self.entries.remove(digest)?;
        self.order.remove(&place);
        for tag in &entry.tags {
            self.tags.remove(tag);
        }
        for child in &entry.children {
            if let Some(parents) = self.parents.get_mut(child) {
                parents.remove(digest);
            }
        }
        if let Some(places) = entry.subject.and_then(|subject| self.referrers.get_mut(&subject)) {
            places.remove(&place);
        }
        Some(entry)
    }

    /// Lets a tag point to an entry, wherever it pointed before; the entry it leaves stays, without a tag maybe.
    ///
    /// Returns what it pointed to, where that was another entry; nothing happens without the entry.
    pub(super) fn tag(&mut self, tag: &str, digest: &Digest) -> Option<Digest> {
        let before = self.tagged(tag);
        if before == Some(*digest) || !self.entries.contains_key(digest) {
            return None;
        }
        self.untag(tag);
        self.tags.insert(tag.to_owned(), *digest);
        if let Some((_, entry)) = self.entries.get_mut(digest) {
            entry.tags.push(tag.to_owned());
        }
        before
    }

    /// Takes a tag away and leaves the entry; returns what it pointed to.
    pub(super) fn untag(&mut self, tag: &str) -> Option<Digest> {
        let digest = self.tags.remove(tag)?;
        if let Some((_, entry)) = self.entries.get_mut(&digest) {
            entry.tags.retain(|other| other != tag);
        }
        Some(digest)
    }

    /// Ends the restoring of everything that is active from now on.
    pub(super) fn settle(&mut self, now: Timestamp) {
        for (_, entry) in self.entries.values_mut() {
            if entry.active_from.is_some_and(|from| from <= now) {
                entry.status = Status::Active;
                entry.activated_at = entry.active_from.take();
            }
        }
    }
}
