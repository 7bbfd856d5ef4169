//! How the entries of one repository hang together: indexes and children, subjects and what is attached to them.

use std::collections::{BTreeSet, HashMap};

use super::super::plan::Class;
use super::super::policy::{MissingType, Rule};
use super::super::snapshot::{Entry, MediaType, RepositorySnapshot, Status};
use crate::images::Digest;

const INDEXES: &[&str] =
    &["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE_CONFIGS: &[&str] =
    &["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Returns whether a media type is that of an index.
pub(in crate::ecr) fn is_index(media_type: &MediaType) -> bool {
    INDEXES.contains(&media_type.as_str())
}

/// The entries of one repository by their place in its snapshot, with all edges.
pub(in crate::ecr) struct Graph<'a> {
    pub(in crate::ecr) entries: &'a [Entry],
    by_digest: HashMap<Digest, usize>,
    by_tag: HashMap<&'a str, usize>,
    pub(in crate::ecr) children: Vec<Vec<usize>>,
    pub(in crate::ecr) parents: Vec<Vec<usize>>,
    /// What is attached to an entry.
    pub(in crate::ecr) attached: Vec<Vec<usize>>,
    /// What an entry is attached to, there or not; sorted.
    pub(in crate::ecr) subjects: Vec<Vec<Digest>>,
    pub(in crate::ecr) classes: Vec<Class>,
    /// Indexes that list a child which is not there.
    pub(in crate::ecr) sparse: Vec<bool>,
}

impl<'a> Graph<'a> {
    pub(in crate::ecr) fn new(repository: &'a RepositorySnapshot, rule: &Rule) -> Self {
        let entries = repository.entries.as_slice();
        let by_digest: HashMap<Digest, usize> =
            entries.iter().enumerate().map(|(at, entry)| (entry.digest, at)).collect();
        let tags = entries.iter().enumerate().flat_map(|(at, entry)| entry.tags.iter().map(move |tag| (tag, at)));
        let mut graph = Self {
            entries,
            by_tag: tags.map(|(tag, at)| (tag.as_str(), at)).collect(),
            by_digest,
            children: vec![Vec::new(); entries.len()],
            parents: vec![Vec::new(); entries.len()],
            attached: vec![Vec::new(); entries.len()],
            subjects: vec![Vec::new(); entries.len()],
            classes: Vec::with_capacity(entries.len()),
            sparse: vec![false; entries.len()],
        };
        for (at, entry) in entries.iter().enumerate() {
            let index = repository.indexes.get(&entry.digest);
            let listed: BTreeSet<Digest> =
                index.into_iter().flat_map(|index| &index.children).map(|child| child.digest).collect();
            for child in &listed {
                match graph.by_digest.get(child) {
                    Some(child) => {
                        graph.children[at].push(*child);
                        graph.parents[*child].push(at);
                    }
                    None => graph.sparse[at] = true,
                }
            }
            let subjects = entry.tags.iter().filter_map(|tag| cosign_subject(tag)).chain(entry.subject);
            let subjects: BTreeSet<Digest> = subjects.chain(index.and_then(|index| index.subject)).collect();
            for subject in &subjects {
                if let Some(subject) = graph.by_digest.get(subject) {
                    graph.attached[*subject].push(at);
                }
            }
            graph.subjects[at] = subjects.into_iter().collect();
            let strange = index.is_some_and(|index| index.strange);
            let attached = entry.subject.is_some() || index.is_some_and(|index| index.subject.is_some());
            graph.classes.push(if strange { Class::Unknown } else { class(entry, attached, rule) });
        }
        graph
    }

    pub(in crate::ecr) fn by_digest(&self, digest: Digest) -> Option<usize> {
        self.by_digest.get(&digest).copied()
    }

    pub(in crate::ecr) fn by_tag(&self, tag: &str) -> Option<usize> {
        self.by_tag.get(tag).copied()
    }

    /// Returns the entries that a tag and a digest mean; with both, both.
    pub(in crate::ecr) fn selected(&self, tag: Option<&str>, digest: Option<Digest>) -> impl Iterator<Item = usize> {
        let tagged = tag.and_then(|tag| self.by_tag(tag));
        tagged.into_iter().chain(digest.and_then(|digest| self.by_digest(digest)))
    }

    /// Returns whether an entry can be started by its own tag or digest: of class image or index, active, in no index.
    pub(in crate::ecr) fn is_root(&self, at: usize) -> bool {
        self.could_be_root(at) && self.entries[at].status == Status::Active
    }

    /// Returns whether an entry is a root, or would be one if it was restored.
    pub(in crate::ecr) fn could_be_root(&self, at: usize) -> bool {
        matches!(self.classes[at], Class::Image | Class::Index) && self.parents[at].is_empty()
    }

    /// Returns whether what an entry is attached to is still there.
    pub(in crate::ecr) fn has_subject(&self, at: usize) -> bool {
        self.subjects[at].iter().any(|subject| self.by_digest.contains_key(subject))
    }

    /// Returns some entries and all that lies below them, by children of any depth.
    pub(in crate::ecr) fn below(&self, from: &[usize]) -> BTreeSet<usize> {
        let mut seen: BTreeSet<usize> = from.iter().copied().collect();
        let mut open = from.to_vec();
        while let Some(at) = open.pop() {
            open.extend(self.children[at].iter().filter(|child| seen.insert(**child)));
        }
        seen
    }

    /// Returns whether `wanted` is an entry or lies below it, by children of any depth.
    pub(in crate::ecr) fn reaches(&self, from: usize, wanted: usize) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if at == wanted {
                return true;
            }
            open.extend(self.children[at].iter().filter(|child| seen.insert(**child)));
        }
        false
    }
}

fn class(entry: &Entry, has_subject: bool, rule: &Rule) -> Class {
    let signs = !entry.tags.is_empty() && entry.tags.iter().all(|tag| cosign_subject(tag).is_some());
    if signs || has_subject {
        return Class::Attached;
    }
    let Some(media_type) = &entry.media_type else { return Class::Unknown };
    if is_index(media_type) {
        return Class::Index;
    }
    let artifact = entry.artifact_type.as_ref().map(MediaType::as_str);
    let listed = artifact.is_some_and(|artifact| rule.artifacts.iter().any(|pattern| pattern.matches(artifact)));
    match (media_type.as_str(), artifact) {
        _ if listed => Class::Image,
        (DOCKER_IMAGE, _) => Class::Image,
        (OCI_MANIFEST, Some(artifact)) if IMAGE_CONFIGS.contains(&artifact) => Class::Image,
        (OCI_MANIFEST, None) if rule.missing_artifact_type == MissingType::Image => Class::Image,
        (OCI_MANIFEST, Some(_)) => Class::Artifact,
        _ => Class::Unknown,
    }
}

/// Returns the digest that a tag of cosign's scheme names, as in `sha256-….sig`.
pub(in crate::ecr) fn cosign_subject(tag: &str) -> Option<Digest> {
    let rest = tag.strip_prefix("sha256-")?;
    let (hex, end) = rest.split_at_checked(64)?;
    let lower = hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (lower && matches!(end, "" | ".sig" | ".att" | ".sbom")).then(|| Digest::from_hex(hex)).flatten()
}
