//! A registry in memory, with every reading of what deleting by pairs does, faults, and others who act in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::registry::{
    CallError, Caller, Deleted, EntryPage, ErrorKind, ImageId, ItemFailure, Manifests, PreviewPage, Registry,
    Replication, StorageClass,
};
use kubeguard_core::ecr::snapshot::{Entry, MediaType, PullThroughRule, ReplicationRule, Repository, Status};
use kubeguard_core::images::{Digest, RegistryId};

pub(crate) const ACCOUNT: &str = "111122223333";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

/// What deleting by a pair of tag and digest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pair {
    /// It removes the tag; the image goes with its last one.
    TagThenImage,
    /// It removes the image with all its tags.
    Image,
    /// It removes the tag; an image without tags stays.
    TagOnly,
}

pub(crate) const PAIRS: [Pair; 3] = [Pair::TagThenImage, Pair::Image, Pair::TagOnly];

/// What goes wrong with one call that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Throttled,
    /// No answer, and nothing was done.
    LostBefore,
    /// No answer, and everything was done.
    LostAfter,
    Denied,
    Expired,
    /// One item, by its place in the call, is refused with a code.
    Item(usize, &'static str),
}

/// What others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Pushes an image with a tag, from its number.
    Push(usize, String),
    /// Puts a tag on the n-th entry, wherever it was.
    Tag(usize, String),
    /// Removes a tag of the n-th entry.
    Untag(usize),
    /// Pushes an index over the n-th and m-th entry, with a tag.
    Index(usize, usize, String),
    /// Attaches something to the n-th entry.
    Sign(usize),
    Delete(usize),
    Pull(usize),
    Archive(usize),
    /// Deploys what a tag names.
    Deploy(String),
    /// Deploys the n-th entry by its digest.
    Pin(usize),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) entries: BTreeMap<Digest, Entry>,
    pub(crate) manifests: BTreeMap<Digest, Bytes>,
    pub(crate) children: BTreeMap<Digest, Vec<Digest>>,
}

impl Content {
    pub(crate) fn holder(&self, tag: &str) -> Option<Digest> {
        self.entries.values().find(|entry| entry.tags.iter().any(|own| own == tag)).map(|entry| entry.digest)
    }

    fn parents(&self, digest: Digest) -> Vec<Digest> {
        let lists = |(index, children): (&Digest, &Vec<Digest>)| {
            (self.entries.contains_key(index) && children.contains(&digest)).then_some(*index)
        };
        self.children.iter().filter_map(lists).collect()
    }

    fn nth(&self, n: usize) -> Option<Digest> {
        self.entries.keys().nth(n.checked_rem(self.entries.len())?).copied()
    }

    fn detach(&mut self, tag: &str) {
        for entry in self.entries.values_mut() {
            entry.tags.retain(|own| own != tag);
        }
    }

    fn attach(&mut self, digest: Digest, tag: &str) {
        self.detach(tag);
        if let Some(entry) = self.entries.get_mut(&digest) {
            entry.tags.push(tag.to_owned());
            entry.tags.sort();
        }
    }

    /// Adds an entry with the given children and subject; returns its digest.
    pub(crate) fn add(
        &mut self,
        seed: &str,
        tags: &[String],
        children: &[Digest],
        subject: Option<Digest>,
        at: Timestamp,
    ) -> Digest {
        let index = !children.is_empty();
        let list: Vec<_> = children
            .iter()
            .map(|digest| serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}))
            .collect();
        let body = if index {
            serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": list, "annotations": {"seed": seed}})
        } else {
            serde_json::json!({"schemaVersion": 2, "annotations": {"seed": seed}})
        };
        let bytes = Bytes::from(serde_json::to_vec(&body).unwrap());
        let digest = Digest::of(&bytes);
        let media = if index { INDEX } else { "application/vnd.oci.image.manifest.v1+json" };
        let artifact = match (index, subject) {
            (true, _) => None,
            (false, None) => Some("application/vnd.oci.image.config.v1+json"),
            (false, Some(_)) => Some("application/spdx+json"),
        };
        self.manifests.insert(digest, bytes);
        if index {
            self.children.insert(digest, children.to_vec());
        }
        self.entries.entry(digest).or_insert_with(|| Entry {
            digest,
            tags: Vec::new(),
            pushed_at: Some(at),
            bytes: Some(1000),
            media_type: Some(MediaType::new(media)),
            artifact_type: artifact.map(MediaType::new),
            last_pulled_at: None,
            subject,
            status: Status::Active,
            last_archived_at: None,
            last_activated_at: None,
            conflicting: false,
        });
        for tag in tags {
            self.attach(digest, tag);
        }
        digest
    }
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) content: BTreeMap<String, Content>,
    pub(crate) pair: Pair,
    pub(crate) caller: String,
    /// How far its clock is ahead.
    pub(crate) ahead: SignedDuration,
    pub(crate) replication: Vec<ReplicationRule>,
    /// By number of the call that changes something, from 1.
    pub(crate) faults: BTreeMap<u64, Fault>,
    /// Before the n-th call of any kind, in a repository.
    pub(crate) script: Vec<(u64, String, Deed)>,
    /// References that clusters have now.
    pub(crate) deployed: Vec<String>,
    /// References that some usage has told.
    pub(crate) told: BTreeSet<String>,
    pub(crate) calls: u64,
    pub(crate) mutations: Vec<(String, Vec<ImageId>)>,
    /// What the apply's own calls took that it must not take, in words.
    pub(crate) broken: Vec<String>,
    /// As it was when entries were described last.
    described: BTreeMap<String, Content>,
    /// Ends the process, hard, before this call.
    pub(crate) dies_before: Option<u64>,
    /// Ends the process, hard, when this call has done what it was asked, and before it answers.
    pub(crate) dies_after: Option<u64>,
    /// File that keeps what was deleted, for another process.
    pub(crate) effects: Option<std::fs::File>,
}

pub(crate) struct Store {
    id: RegistryId,
    inner: Mutex<Inner>,
}

/// As the kernel ends a process that must not get a last word.
fn die() {
    let pid = std::process::id().to_string();
    std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
    std::thread::park();
}

fn error(operation: &'static str, about: &str, kind: ErrorKind, code: &str) -> CallError {
    CallError { operation, about: about.to_owned(), kind, code: Some(code.to_owned()), message: "its words".to_owned() }
}

impl Store {
    pub(crate) fn new(content: BTreeMap<String, Content>, pair: Pair) -> Self {
        let inner = Inner {
            content,
            pair,
            caller: ACCOUNT.to_owned(),
            ahead: SignedDuration::ZERO,
            replication: Vec::new(),
            faults: BTreeMap::new(),
            script: Vec::new(),
            deployed: Vec::new(),
            told: BTreeSet::new(),
            calls: 0,
            mutations: Vec::new(),
            broken: Vec::new(),
            described: BTreeMap::new(),
            dies_before: None,
            dies_after: None,
            effects: None,
        };
        Self { id: RegistryId::new(ACCOUNT, "us-east-1"), inner: Mutex::new(inner) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// One call begins: others may act before it, and whoever waits for it may be stopped here.
    async fn step(&self) {
        tokio::task::yield_now().await;
        let mut inner = self.lock();
        inner.calls += 1;
        let calls = inner.calls;
        if inner.dies_before == Some(calls) {
            die();
        }
        let due: Vec<_> = inner.script.iter().filter(|(at, ..)| *at == calls).cloned().collect();
        for (_, repository, deed) in due {
            inner.act(&repository, &deed);
        }
    }
}

impl Inner {
    pub(crate) fn act(&mut self, repository: &str, deed: &Deed) {
        let Some(content) = self.content.get_mut(repository) else { return };
        let (at, pulled) = (now(), Some(now()));
        match deed {
            Deed::Push(seed, tag) => {
                content.add(&format!("new{seed}"), std::slice::from_ref(tag), &[], None, at);
            }
            Deed::Tag(n, tag) => {
                if let Some(digest) = content.nth(*n) {
                    content.attach(digest, tag);
                }
            }
            Deed::Untag(n) => {
                let tag = content.nth(*n).and_then(|digest| content.entries.get(&digest)?.tags.first().cloned());
                if let Some(tag) = tag {
                    content.detach(&tag);
                }
            }
            Deed::Index(n, m, tag) => {
                let children: BTreeSet<Digest> = [content.nth(*n), content.nth(*m)].into_iter().flatten().collect();
                let children: Vec<Digest> = children.into_iter().collect();
                if !children.is_empty() {
                    content.add("index", std::slice::from_ref(tag), &children, None, at);
                }
            }
            Deed::Sign(n) => {
                if let Some(digest) = content.nth(*n) {
                    content.add(&format!("sign{digest}"), &[], &[], Some(digest), at);
                }
            }
            Deed::Delete(n) => {
                if let Some(digest) = content.nth(*n).filter(|digest| content.parents(*digest).is_empty()) {
                    content.entries.remove(&digest);
                }
            }
            Deed::Pull(n) => {
                let entry = content.nth(*n).and_then(|digest| content.entries.get_mut(&digest));
                if let Some(entry) = entry {
                    entry.last_pulled_at = pulled;
                }
            }
            Deed::Archive(n) => {
                let entry = content.nth(*n).and_then(|digest| content.entries.get_mut(&digest));
                if let Some(entry) = entry {
                    entry.status = Status::Archived;
                    entry.last_archived_at = Some(at);
                }
            }
            Deed::Deploy(tag) => {
                self.deployed.push(format!("{}/{repository}:{tag}", RegistryId::new(ACCOUNT, "us-east-1").host()));
            }
            Deed::Pin(n) => {
                if let Some(digest) = content.nth(*n) {
                    self.deployed
                        .push(format!("{}/{repository}@{digest}", RegistryId::new(ACCOUNT, "us-east-1").host()));
                }
            }
        }
    }

    /// Everything that told references reach in what was described last: entries, and tags with what they name.
    ///
    /// A plain walk over the store's own content: it shares nothing with how plans are made.
    fn needed(&self, repository: &str) -> (BTreeSet<Digest>, BTreeSet<String>) {
        let Some(content) = self.described.get(repository) else { return Default::default() };
        let (mut needed, mut tags) = (BTreeSet::new(), BTreeSet::new());
        for reference in &self.told {
            let Some((_, path)) = reference.split_once('/') else { continue };
            if let Some((name, digest)) = path.split_once('@') {
                if name == repository {
                    needed.extend(digest.parse::<Digest>().ok().filter(|digest| content.entries.contains_key(digest)));
                }
            } else if let Some((name, tag)) = path.rsplit_once(':')
                && name == repository
                && let Some(digest) = content.holder(tag)
            {
                needed.insert(digest);
                tags.insert(tag.to_owned());
            }
        }
        loop {
            let mut more = BTreeSet::new();
            for digest in &needed {
                more.extend(content.children.get(digest).into_iter().flatten().copied());
                more.extend(content.entries.values().filter(|other| signs(other, *digest)).map(|other| other.digest));
            }
            more.retain(|digest| content.entries.contains_key(digest) && !needed.contains(digest));
            if more.is_empty() {
                return (needed, tags);
            }
            needed.extend(more);
        }
    }

    fn remove(&mut self, repository: &str, digest: Digest, tag: Option<&str>) {
        let (needed, tags) = self.needed(repository);
        if let Some(tag) = tag
            && tags.contains(tag)
            && self.described.get(repository).and_then(|content| content.holder(tag)) == Some(digest)
        {
            self.broken.push(format!("took the tag {tag} of {digest}, which is needed"));
        }
        let Some(content) = self.content.get_mut(repository) else { return };
        let whole = match (tag, self.pair) {
            (None, _) | (_, Pair::Image) => true,
            (Some(tag), pair) => {
                content.detach(tag);
                pair == Pair::TagThenImage && content.entries.get(&digest).is_some_and(|entry| entry.tags.is_empty())
            }
        };
        if whole {
            if needed.contains(&digest) {
                self.broken.push(format!("took {digest}, which is needed"));
            }
            content.entries.remove(&digest);
            if let Some(file) = &mut self.effects {
                writeln!(file, "{repository} {digest}").unwrap();
                file.sync_data().unwrap();
            }
        }
    }

    fn delete(&mut self, repository: &str, id: &ImageId) -> Result<(), ItemFailure> {
        let fail = |code: &str, reason: String| {
            Err(ItemFailure { digest: id.digest, tag: id.tag.clone(), code: code.to_owned(), reason })
        };
        let Some(content) = self.content.get(repository) else { return fail("ImageNotFound", String::new()) };
        let Some(digest) = id.digest else { return fail("MissingDigestAndTag", String::new()) };
        if let Some(tag) = &id.tag {
            match content.holder(tag) {
                None => return fail("ImageNotFound", String::new()),
                Some(other) if other != digest => return fail("ImageTagDoesNotMatchDigest", String::new()),
                Some(_) => {}
            }
        }
        let Some(entry) = content.entries.get(&digest) else { return fail("ImageNotFound", String::new()) };
        let parents = content.parents(digest);
        let last = id.tag.is_none() || self.pair == Pair::Image || entry.tags.len() == 1;
        if last && !parents.is_empty() {
            return fail("ImageReferencedByManifestList", format!("{parents:?}"));
        }
        self.remove(repository, digest, id.tag.as_deref());
        Ok(())
    }
}

/// Whether an entry is attached to another, by its subject or by a cosign tag.
fn signs(entry: &Entry, subject: Digest) -> bool {
    let tag = format!("sha256-{}.sig", subject.hex());
    entry.subject == Some(subject) || entry.tags.contains(&tag)
}

impl Registry for Store {
    fn id(&self) -> &RegistryId {
        &self.id
    }

    fn now(&self) -> Option<Timestamp> {
        Some(now() + self.lock().ahead)
    }

    async fn caller(&self) -> Result<Caller, CallError> {
        self.step().await;
        let account = self.lock().caller.clone();
        let arn = format!("arn:aws:sts::{account}:assumed-role/clean/ci");
        Ok(Caller { account, arn })
    }

    async fn repositories(&self) -> Result<Vec<Repository>, CallError> {
        self.step().await;
        let arn = |name: &str| format!("arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}");
        let names: Vec<String> = self.lock().content.keys().cloned().collect();
        Ok(names.into_iter().map(|name| Repository { arn: arn(&name), name, immutable_tags: false }).collect())
    }

    async fn repository(&self, name: &str) -> Result<Option<Repository>, CallError> {
        Ok(self.repositories().await?.into_iter().find(|found| found.name == name))
    }

    async fn repository_tags(&self, _: &str) -> Result<BTreeMap<String, String>, CallError> {
        self.step().await;
        Ok(BTreeMap::new())
    }

    async fn entries(&self, repository: &str, next: Option<String>) -> Result<EntryPage, CallError> {
        self.step().await;
        let inner = self.lock();
        let Some(content) = inner.content.get(repository) else {
            return Err(error(
                "DescribeImages",
                repository,
                ErrorKind::RepositoryNotFound,
                "RepositoryNotFoundException",
            ));
        };
        let from: usize = next.map_or(0, |next| next.parse().unwrap());
        let entries: Vec<_> = content.entries.values().skip(from).take(1000).cloned().map(Ok).collect();
        let next = (from + entries.len() < content.entries.len()).then(|| (from + entries.len()).to_string());
        let described = content.clone();
        drop(inner);
        self.lock().described.insert(repository.to_owned(), described);
        Ok(EntryPage { entries, next })
    }

    async fn describe(&self, repository: &str, digests: &[Digest]) -> Result<Vec<Entry>, CallError> {
        self.step().await;
        let mut inner = self.lock();
        let Some(content) = inner.content.get(repository).cloned() else {
            return Err(error(
                "DescribeImages",
                repository,
                ErrorKind::RepositoryNotFound,
                "RepositoryNotFoundException",
            ));
        };
        let found: Option<Vec<Entry>> = digests.iter().map(|digest| content.entries.get(digest).cloned()).collect();
        inner.described.insert(repository.to_owned(), content);
        found.ok_or_else(|| error("DescribeImages", repository, ErrorKind::ImageNotFound, "ImageNotFoundException"))
    }

    async fn manifests(&self, repository: &str, digests: &[Digest]) -> Result<Manifests, CallError> {
        self.step().await;
        let mut inner = self.lock();
        let mut answer = Manifests::default();
        let Some(content) = inner.content.get_mut(repository) else { return Ok(answer) };
        for digest in digests {
            if let (Some(bytes), Some(entry)) = (content.manifests.get(digest), content.entries.get_mut(digest)) {
                answer.found.insert(*digest, bytes.clone());
                entry.last_pulled_at = entry.last_pulled_at.max(Some(now() - SignedDuration::from_mins(1)));
            } else {
                let (code, reason) = ("ImageNotFound".to_owned(), String::new());
                answer.failures.push(ItemFailure { digest: Some(*digest), tag: None, code, reason });
            }
        }
        Ok(answer)
    }

    async fn replication(&self) -> Result<Replication, CallError> {
        self.step().await;
        Ok(Replication { account: ACCOUNT.to_owned(), rules: self.lock().replication.clone() })
    }

    async fn pull_through_rules(&self) -> Result<Vec<PullThroughRule>, CallError> {
        self.step().await;
        Ok(Vec::new())
    }

    async fn pull_time_exclusions(&self) -> Result<Vec<String>, CallError> {
        self.step().await;
        Ok(Vec::new())
    }

    async fn lifecycle_policy(&self, _: &str) -> Result<Option<String>, CallError> {
        Ok(None)
    }

    async fn start_lifecycle_preview(&self, _: &str) -> Result<(), CallError> {
        Ok(())
    }

    async fn lifecycle_preview(&self, repository: &str, _: Option<String>) -> Result<PreviewPage, CallError> {
        Err(error("GetLifecyclePolicyPreview", repository, ErrorKind::LifecycleNotFound, "none"))
    }

    async fn delete(&self, repository: &str, ids: &[ImageId]) -> Result<Deleted, CallError> {
        self.step().await;
        let answer = {
            let mut inner = self.lock();
            if ids.is_empty() || ids.len() > 100 {
                inner.broken.push(format!("a call with {} ids", ids.len()));
            }
            inner.mutations.push((repository.to_owned(), ids.to_vec()));
            let number = inner.mutations.len() as u64;
            let fault = inner.faults.get(&number).cloned();
            let failed = |kind, code| Err(error("BatchDeleteImage", repository, kind, code));
            let mut failures = Vec::new();
            match fault {
                Some(Fault::Throttled) => return failed(ErrorKind::Throttled, "ThrottlingException"),
                Some(Fault::LostBefore) => return failed(ErrorKind::Unknown, "ServerException"),
                Some(Fault::Denied) => return failed(ErrorKind::AccessDenied, "AccessDeniedException"),
                Some(Fault::Expired) => return failed(ErrorKind::Credentials, "ExpiredTokenException"),
                Some(Fault::LostAfter) => {
                    for id in ids {
                        let _ = inner.delete(repository, id);
                    }
                    return failed(ErrorKind::Unknown, "ServerException");
                }
                Some(Fault::Item(at, code)) => {
                    for (place, id) in ids.iter().enumerate() {
                        if place == at % ids.len() {
                            let (digest, tag) = (id.digest, id.tag.clone());
                            failures.push(ItemFailure { digest, tag, code: code.to_owned(), reason: "no".to_owned() });
                        } else {
                            failures.extend(inner.delete(repository, id).err());
                        }
                    }
                }
                None => failures.extend(ids.iter().filter_map(|id| inner.delete(repository, id).err())),
            }
            if inner.dies_after == Some(inner.calls) {
                die();
            }
            Deleted { request_id: Some(format!("r{number}")), failures }
        };
        // Done, and not answered yet.
        tokio::task::yield_now().await;
        Ok(answer)
    }

    async fn set_storage_class(
        &self,
        repository: &str,
        digest: Digest,
        class: StorageClass,
    ) -> Result<Status, CallError> {
        self.step().await;
        let mut inner = self.lock();
        inner.mutations.push((repository.to_owned(), vec![ImageId { digest: Some(digest), tag: None }]));
        let (needed, _) = inner.needed(repository);
        let refused =
            |code| Err(error("UpdateImageStorageClass", repository, ErrorKind::StorageClassNotSupported, code));
        let Some(content) = inner.content.get_mut(repository) else { return refused("RepositoryNotFoundException") };
        let active_parent = content
            .parents(digest)
            .iter()
            .any(|parent| content.entries.get(parent).is_some_and(|entry| entry.status == Status::Active));
        if class == StorageClass::Archive && active_parent {
            return refused("ImageStorageClassUpdateNotSupportedException");
        }
        let Some(entry) = content.entries.get_mut(&digest) else { return refused("ImageNotFoundException") };
        entry.status = if class == StorageClass::Archive { Status::Archived } else { Status::Activating };
        if class == StorageClass::Archive {
            entry.last_archived_at = Some(now());
        }
        let status = entry.status.clone();
        if class == StorageClass::Archive && needed.contains(&digest) {
            inner.broken.push(format!("archived {digest}, which is needed"));
        }
        Ok(status)
    }
}
