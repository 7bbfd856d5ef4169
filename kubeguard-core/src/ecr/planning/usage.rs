//! What clusters use of a registry: from references to votes for entries, to doubts about repositories, to refusals.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::super::clusters::Cluster;
use super::super::plan::{Foreign, PlanFinding, PlanRemedy, RefusalReason, Refused, Vote, VoteKind};
use super::super::policy::{Keep, Policy, Rule};
use super::graph::Graph;
use super::hidden::{Hidden, Place, What, pulls_here};
use super::keep_list::KeptImage;
use super::names::{Meaning, Names, Selector};
use crate::images::inventory::{Rewritten, Suspicion, Suspicious, Templated, TextWithoutTag};
use crate::images::maps::Readable;
use crate::images::{Digest, Inventory, Reference, RegistryId, Use, is_ecr_like};

/// One repository under judgement.
pub(super) struct Judged<'a> {
    pub(super) name: &'a str,
    pub(super) rule: &'a Rule,
    pub(super) graph: Graph<'a>,
    /// Digest of an image's configuration, by entry, where it was read.
    pub(super) configs: &'a BTreeMap<Digest, Digest>,
    /// Votes by entry; sorted and without doubles only at the end.
    pub(super) votes: Vec<Vec<Vote>>,
    /// Entries that were named by their digest, or that count as named so.
    pub(super) direct: BTreeSet<usize>,
}

impl Judged<'_> {
    pub(super) fn vote(&mut self, at: usize, vote: VoteKind, by: impl Into<String>, path: Option<&str>) {
        let path = path.filter(|path| !path.is_empty()).map(ToOwned::to_owned);
        self.votes[at].push(Vote { vote, by: by.into(), path, more: None });
    }

    pub(super) fn vote_all(&mut self, vote: VoteKind, by: &str, path: Option<&str>) {
        for at in 0..self.graph.entries.len() {
            self.vote(at, vote, by, path);
        }
    }

    /// Returns the entries that a selector means; with a tag and a digest both.
    fn selected(&self, selector: &Selector) -> Vec<usize> {
        let tagged = selector.tag.as_deref().and_then(|tag| self.graph.by_tag(tag));
        let pinned = selector.digest.and_then(|digest| self.graph.by_digest(digest));
        tagged.into_iter().chain(pinned).collect()
    }
}

/// An inventory with the cluster that it speaks for.
pub(super) struct Spoken<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) inventory: &'a Inventory,
    /// Clusters that stand by for it.
    pub(super) standbys: Vec<&'a Cluster>,
}

/// Everything that usage decides.
#[derive(Default)]
pub(super) struct Usage {
    pub(super) refused: Vec<Refused>,
    pub(super) findings: BTreeSet<PlanFinding>,
    pub(super) foreign: BTreeSet<Foreign>,
    /// Repositories of the managed registry that clusters named, with who did, there or not.
    pub(super) used: BTreeMap<String, BTreeSet<String>>,
}

/// Casts the votes of every inventory.
pub(super) fn cast(
    inventories: &[Spoken<'_>],
    keep_lists: &[KeptImage],
    repositories: &mut [Judged<'_>],
    names: &mut Names<'_>,
    hidden: &Hidden,
    policy: &Policy,
) -> Usage {
    let places: HashMap<String, usize> =
        repositories.iter().enumerate().map(|(at, repository)| (repository.name.to_owned(), at)).collect();
    let mut cast = Cast { repositories, places, names, hidden, policy, usage: Usage::default() };
    for spoken in inventories {
        cast.inventory(spoken);
    }
    for kept in keep_lists {
        cast.kept(kept);
    }
    cast.usage
}

struct Cast<'a, 'r, 'n> {
    repositories: &'a mut [Judged<'r>],
    places: HashMap<String, usize>,
    names: &'a mut Names<'n>,
    hidden: &'a Hidden,
    policy: &'a Policy,
    usage: Usage,
}

impl Cast<'_, '_, '_> {
    fn inventory(&mut self, spoken: &Spoken<'_>) {
        let cluster = &spoken.cluster.name;
        let revisions = Revisions::of(spoken.inventory);
        for reference in &spoken.inventory.references {
            if reference.image.is_empty() {
                self.hidden(spoken, reference, &revisions);
            } else {
                self.reference(spoken, reference, &revisions);
            }
        }
        for pin in &spoken.inventory.pinned {
            let image = self.names.own(&pin.image);
            self.pin(&image, &format!("{cluster}/{}/{}", pin.namespace.as_deref().unwrap_or("-"), pin.source));
        }
        for suspicious in &spoken.inventory.suspicious {
            if suspicious.text.is_empty() {
                self.hidden_text(cluster, suspicious);
            } else {
                self.suspicious(cluster, suspicious);
            }
        }
        for rewritten in &spoken.inventory.rewritten {
            if rewritten.to.is_empty() {
                self.hidden_rewrite(cluster, rewritten);
                continue;
            }
            if self.names.leads(&rewritten.from, &rewritten.to) {
                continue;
            }
            let to = self.names.meaning(&rewritten.to).clone();
            let from = self.names.meaning(&rewritten.from);
            // From one repository of ours to another is a choice, not another registry's name.
            if !from.selectors.is_empty() {
                continue;
            }
            for selector in to.selectors {
                let namespace = rewritten.namespace.as_deref().unwrap_or("-");
                self.usage.refused.push(Refused {
                    repository: selector.repository,
                    reason: RefusalReason::RewriteUnmapped,
                    message: format!("pods run {} where their template says {}", rewritten.to, rewritten.from),
                    by: Some(format!("{cluster}/{namespace}/{}/{}", rewritten.kind, rewritten.name)),
                });
            }
        }
    }

    fn reference(&mut self, spoken: &Spoken<'_>, reference: &Reference, revisions: &Revisions<'_>) {
        let meaning = self.names.meaning(&reference.image).clone();
        let by = by(&spoken.cluster.name, reference);
        if let Some(image) = &meaning.foreign {
            self.usage.foreign.insert(Foreign { image: image.clone(), by: by.clone() });
        }
        if let Some(digest) = meaning.bare {
            self.bare(reference, digest, &by);
        }
        for selector in &meaning.selectors {
            self.usage.used.entry(selector.repository.clone()).or_default().insert(spoken.cluster.name.clone());
            let by = match &selector.by_replica {
                Some(replica) => format!("{by} in {replica}"),
                None => by.clone(),
            };
            self.selector(reference, selector, &by, revisions, None);
            for standby in &spoken.standbys {
                let to = format!("{}: {by}", standby.name);
                self.selector(reference, selector, &to, revisions, Some(standby));
            }
        }
        // What a standby will pull is the same image in its own registries.
        if meaning.selectors.is_empty() {
            self.standbys(spoken, reference, &meaning, &by, revisions);
        }
    }

    fn standbys(
        &mut self,
        spoken: &Spoken<'_>,
        reference: &Reference,
        meaning: &Meaning,
        by: &str,
        revisions: &Revisions<'_>,
    ) {
        let Some(registry) = &meaning.registry else { return };
        let copied = |registry: &RegistryId, image: &str| image.replacen(&registry_host(image), &registry.host(), 1);
        for standby in &spoken.standbys {
            for target in standby.registries.iter().filter(|target| target.0 != *registry) {
                let image = meaning.foreign.as_deref().unwrap_or(&reference.image);
                let there = self.names.meaning(&copied(&target.0, image)).clone();
                for selector in &there.selectors {
                    self.selector(reference, selector, &format!("{}: {by}", standby.name), revisions, Some(standby));
                }
            }
        }
    }

    fn selector(
        &mut self,
        reference: &Reference,
        selector: &Selector,
        by: &str,
        revisions: &Revisions<'_>,
        standby: Option<&Cluster>,
    ) {
        let Some(at) = self.places.get(&selector.repository).copied() else { return };
        let repository = &self.repositories[at];
        let entries = repository.selected(selector);
        let by_digest = selector.digest.and_then(|digest| repository.graph.by_digest(digest));
        let kind = kind(reference, repository.rule, revisions);
        let explains = reference.r#use == Use::Status && explained(repository, reference, &entries, self.names);
        let Some(kind) = kind.filter(|_| !explains) else { return };
        let kind = if standby.is_some() { VoteKind::Standby } else { kind };
        self.vote_for(at, reference, kind, by, &entries, by_digest);
        if entries.is_empty() || selector.digest.is_some() && by_digest.is_none() {
            self.missing(reference, by);
        }
    }

    /// Lets what a reference means stay.
    fn vote_for(
        &mut self,
        repository: usize,
        reference: &Reference,
        kind: VoteKind,
        by: &str,
        entries: &[usize],
        by_digest: Option<usize>,
    ) {
        let repository = &mut self.repositories[repository];
        for at in entries {
            repository.vote(*at, kind, by, Some(&reference.path));
        }
        // A digest in a spec, or one that runs and that no spec explains, is named for itself.
        repository.direct.extend(by_digest);
    }

    /// A reference without its name: whatever of ours has the same hash.
    fn hidden(&mut self, spoken: &Spoken<'_>, reference: &Reference, revisions: &Revisions<'_>) {
        let by = by(&spoken.cluster.name, reference);
        let ours = reference.repository_hash.iter().flat_map(|hash| self.hidden.repositories(hash));
        let ours: BTreeSet<usize> = ours.collect();
        for at in &ours {
            let name = self.repositories[*at].name.to_owned();
            self.usage.used.entry(name).or_default().insert(spoken.cluster.name.clone());
        }
        if let Some(bare) = &reference.bare_hash {
            for at in ours {
                self.hidden_bare(at, reference, bare, &by);
            }
            return;
        }
        if reference.hash.is_none() {
            // Some tags of the repository are pinned, and nobody can tell which.
            for at in ours {
                self.repositories[at].vote_all(VoteKind::Pinned, &by, None);
            }
            return;
        }
        let named = self.hidden.named([reference.hash.as_ref(), reference.digest_hash.as_ref()]);
        let is_ours = named.keys().any(|(_, place)| place.is_ours());
        for ((at, place), (entries, by_digest)) in named {
            let repository = &self.repositories[at];
            let Some(kind) = kind(reference, repository.rule, revisions) else { continue };
            let entries: Vec<usize> = entries.into_iter().collect();
            let roots = self.hidden.entries(&reference.spec_hashes, at);
            let reached = |at: &usize| roots.iter().any(|root| repository.graph.reaches(*root, *at));
            if reference.r#use == Use::Status && entries.iter().all(reached) {
                continue;
            }
            let standbys = spoken.standbys.iter().filter(|standby| match &place {
                Place::Here | Place::Replica(_) => true,
                Place::Elsewhere(registry) => {
                    let (managed, replicas) = (self.names.managed, &self.names.replicas);
                    !is_ours && pulls_here(standby, registry, repository.name, managed, replicas)
                }
            });
            let standbys: Vec<String> = standbys.map(|standby| format!("{}: {by}", standby.name)).collect();
            match &place {
                Place::Here => self.vote_for(at, reference, kind, &by, &entries, by_digest),
                Place::Replica(replica) => {
                    let by = format!("{by} in {replica}");
                    self.vote_for(at, reference, kind, &by, &entries, by_digest);
                }
                Place::Elsewhere(_) => {}
            }
            for by in standbys {
                self.vote_for(at, reference, VoteKind::Standby, &by, &entries, by_digest);
            }
        }
    }

    fn hidden_bare(&mut self, at: usize, reference: &Reference, bare: &str, by: &str) {
        let named = self.hidden.entries(&reference.spec_hashes, at);
        let matches = self.hidden.of(bare).iter().filter(|found| found.repository == at).map(|found| found.what);
        let (mut entry, mut configured) = (None, false);
        for what in matches {
            match what {
                What::Bare(at) => entry = Some(at),
                What::Config(at) => configured |= named.contains(&at),
                What::Repository | What::Folder | What::Tag(_) | What::Digest(_) => {}
            }
        }
        let cause = format!("{by} runs a digest that is no entry here");
        self.bare_in(at, reference, &named, entry, configured, (by, cause));
    }

    /// What suspicious texts of hashed inventories still say: which repository they speak of.
    fn hidden_text(&mut self, cluster: &str, suspicious: &Suspicious) {
        let Some(hash) = &suspicious.repository_hash else { return };
        let by = format!("{cluster}/-/-/-");
        let repositories = self.hidden.repositories(hash);
        if suspicious.spec_place && suspicious.reason != Suspicion::NoTag {
            for at in repositories {
                self.usage.refused.push(Refused {
                    repository: self.repositories[at].name.to_owned(),
                    reason: RefusalReason::UnparsedReference,
                    message: "a hidden text names an image of this repository, and no one can say which".to_owned(),
                    by: Some(by.clone()),
                });
            }
            return;
        }
        if self.is_relaxed(suspicious.reason) {
            return;
        }
        let folders = || {
            let below = self.hidden.of(hash).iter().filter(|found| found.what == What::Folder && found.place.is_ours());
            below.map(|found| found.repository).collect()
        };
        let is_folder = repositories.is_empty() && suspicious.reason == Suspicion::NoTag;
        let repositories: BTreeSet<usize> = if is_folder { folders() } else { repositories };
        let cause = format!("{by} says a hidden text");
        for at in repositories {
            self.repositories[at].vote_all(VoteKind::Unknown, &cause, None);
        }
    }

    fn hidden_rewrite(&mut self, cluster: &str, rewritten: &Rewritten) {
        let ours = |hashes: &[String]| -> BTreeSet<usize> {
            hashes.iter().flat_map(|hash| self.hidden.repositories(hash)).collect()
        };
        // What has a name of ours on both sides is explained, or a choice.
        if !ours(&rewritten.from_hashes).is_empty() {
            return;
        }
        for at in ours(&rewritten.to_hashes) {
            self.usage.refused.push(Refused {
                repository: self.repositories[at].name.to_owned(),
                reason: RefusalReason::RewriteUnmapped,
                message: "pods run images of this repository where their template, which is hidden, says others"
                    .to_owned(),
                by: Some(format!("{cluster}/-/-/-")),
            });
        }
    }

    fn is_relaxed(&self, reason: Suspicion) -> bool {
        match reason {
            Suspicion::Templated => self.policy.scan.templated == Templated::Report,
            Suspicion::NoTag => self.policy.scan.text_without_tag == TextWithoutTag::Latest,
            Suspicion::Unparsed => false,
        }
    }

    fn missing(&mut self, reference: &Reference, by: &str) {
        let decides = matches!(reference.r#use, Use::Template | Use::Pod | Use::Status | Use::Custom | Use::Declared);
        let severity = if decides { "critical" } else { "info" };
        self.usage.findings.insert(PlanFinding {
            rule: "EC101".to_owned(),
            severity: severity.to_owned(),
            message: format!("{} is named by {by} and is not in the registry", reference.image),
            remedy: PlanRemedy { text: "push it, or correct the reference".to_owned() },
        });
    }

    /// A digest without a repository: one of the spec's repository, its configuration, or nobody knows what.
    fn bare(&mut self, reference: &Reference, digest: Digest, by: &str) {
        let Some(spec) = &reference.spec else { return };
        let spec = self.names.meaning(spec).clone();
        for selector in &spec.selectors {
            let Some(at) = self.places.get(&selector.repository).copied() else { continue };
            let repository = &self.repositories[at];
            let named = repository.selected(selector);
            let entry = repository.graph.by_digest(digest);
            let config = |at: &usize| repository.configs.get(&repository.graph.entries[*at].digest) == Some(&digest);
            let configured = named.iter().any(config);
            let cause = format!("{by} runs {digest}, which is no entry here");
            self.bare_in(at, reference, &named, entry, configured, (by, cause));
        }
    }

    /// A digest alone in one repository: an entry, the configuration of what the spec names, or nobody knows what.
    fn bare_in(
        &mut self,
        repository: usize,
        reference: &Reference,
        named: &[usize],
        entry: Option<usize>,
        configured: bool,
        (by, cause): (&str, String),
    ) {
        let repository = &mut self.repositories[repository];
        if let Some(at) = entry {
            if !named.iter().any(|from| repository.graph.reaches(*from, at)) {
                repository.vote(at, VoteKind::InUse, by, Some(&reference.path));
                repository.direct.insert(at);
            }
            return;
        }
        if configured {
            return;
        }
        for at in 0..repository.graph.entries.len() {
            let pushed = repository.graph.entries[at].pushed_at;
            let before = match (pushed, reference.started_at) {
                (Some(pushed), Some(started)) => pushed <= started,
                _ => true,
            };
            if before {
                repository.vote(at, VoteKind::Unknown, cause.as_str(), Some(&reference.path));
            }
        }
    }

    fn suspicious(&mut self, cluster: &str, suspicious: &Suspicious) {
        let namespace = suspicious.namespace.as_deref().unwrap_or("-");
        let by = format!("{cluster}/{namespace}/{}/{}", suspicious.kind, suspicious.name);
        let readable = self.names.readable(&suspicious.text);
        let (templated, unparsed) =
            (suspicious.reason == Suspicion::Templated, suspicious.reason == Suspicion::Unparsed);
        if suspicious.spec_place && !matches!(suspicious.reason, Suspicion::NoTag) {
            if readable.is_none() && !is_ecr_like(&suspicious.text) {
                return;
            }
            let repository = readable.filter(|readable| readable.whole).map(|readable| readable.repository);
            self.usage.refused.push(Refused {
                repository: repository.unwrap_or_else(|| "*".to_owned()),
                reason: RefusalReason::UnparsedReference,
                message: format!("{:?} names an image of this registry, and no one can say which", suspicious.text),
                by: Some(by),
            });
            return;
        }
        let relaxed = self.is_relaxed(suspicious.reason);
        let readable = readable.filter(|found| self.concerns(&found.registry) && !found.repository.is_empty());
        let Some(Readable { registry, repository: name, whole }) = readable else {
            if templated || unparsed {
                self.note(suspicious, &by);
            }
            return;
        };
        if relaxed {
            return self.note(suspicious, &by);
        }
        let cause = format!("{by} says {:?}", suspicious.text);
        let prefix = name.as_str();
        // What names no repository is a folder of some, as kubeadm's imageRepository and a chart repository's address.
        let folder = suspicious.reason == Suspicion::NoTag && !self.repositories.iter().any(|one| one.name == prefix);
        for at in 0..self.repositories.len() {
            let repository = &mut self.repositories[at];
            let below = folder && repository.name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
            let named = repository.name == prefix || below || !whole && repository.name.starts_with(prefix);
            if named && self.names.is_ours(&registry, repository.name) {
                repository.vote_all(VoteKind::Unknown, &cause, Some(&suspicious.path));
            }
        }
    }

    /// Returns whether images of a registry concern the managed one.
    fn concerns(&mut self, registry: &RegistryId) -> bool {
        self.repositories.iter().any(|repository| self.names.is_ours(registry, repository.name))
    }

    fn note(&mut self, suspicious: &Suspicious, by: &str) {
        self.usage.findings.insert(PlanFinding {
            rule: "EC109".to_owned(),
            severity: "medium".to_owned(),
            message: format!("{by} says {:?} at {}", suspicious.text, suspicious.path),
            remedy: PlanRemedy { text: "list the images that it becomes in pins.keepLists".to_owned() },
        });
    }

    fn kept(&mut self, kept: &KeptImage) {
        let image = self.names.own(&kept.image);
        self.pin(&image, &kept.source);
    }

    /// Pins an image; its tag may be a glob.
    fn pin(&mut self, image: &str, source: &str) {
        let (name, tag) = match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && !image.contains('@') => (name, Some(tag)),
            _ => (image, None),
        };
        let pattern =
            tag.filter(|tag| tag.contains(['*', '?'])).and_then(|tag| super::super::policy::Pattern::new(tag).ok());
        let text = if pattern.is_some() { name } else { image };
        let meaning = self.names.meaning(text).clone();
        for selector in &meaning.selectors {
            let Some(repository) = self.places.get(&selector.repository).map(|at| &mut self.repositories[*at]) else {
                continue;
            };
            let entries = match &pattern {
                Some(pattern) => {
                    let entries = repository.graph.entries.iter().enumerate();
                    let tagged = entries.filter(|(_, entry)| entry.tags.iter().any(|tag| pattern.matches(tag)));
                    tagged.map(|(at, _)| at).collect()
                }
                None => repository.selected(selector),
            };
            for at in entries {
                repository.vote(at, VoteKind::Pinned, source, None);
            }
            if let Some(at) = selector.digest.and_then(|digest| repository.graph.by_digest(digest)) {
                repository.direct.insert(at);
            }
        }
    }
}

/// Returns the host of a reference in its usual spelling.
fn registry_host(image: &str) -> String {
    image.split('/').next().unwrap_or_default().to_owned()
}

/// Returns `cluster/namespace/Kind/name`, with `-` for what there is not, or what is hidden.
pub(super) fn by(cluster: &str, reference: &Reference) -> String {
    let namespace = reference.namespace.as_deref().unwrap_or("-");
    let told = |text: &'_ str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    format!("{cluster}/{namespace}/{}/{}", told(&reference.kind), told(&reference.name))
}

/// Returns the vote that naming an image casts under a rule; none for what the rule does not count.
fn kind(reference: &Reference, rule: &Rule, revisions: &Revisions<'_>) -> Option<VoteKind> {
    match reference.r#use {
        Use::Template | Use::Pod | Use::Status | Use::Custom | Use::Text | Use::Declared => Some(VoteKind::InUse),
        Use::Finished if rule.finished_jobs == Keep::Keep => Some(VoteKind::InUse),
        Use::Revision if revisions.within(reference, rule.rollback) => Some(VoteKind::Rollback),
        Use::Finished | Use::Revision => None,
        Use::Event | Use::Node => Some(VoteKind::RecentUse).filter(|_| !rule.keep_used_within.is_zero()),
    }
}

/// Returns whether a digest that runs lies below what the same container's spec names: then it adds nothing.
fn explained(repository: &Judged<'_>, reference: &Reference, entries: &[usize], names: &mut Names<'_>) -> bool {
    let Some(spec) = &reference.spec else { return false };
    let meaning = names.meaning(spec);
    let roots = meaning.selectors.iter().filter(|selector| selector.repository == repository.name);
    let roots: Vec<usize> = roots.flat_map(|selector| repository.selected(selector)).collect();
    !entries.is_empty() && entries.iter().all(|at| roots.iter().any(|root| repository.graph.reaches(*root, *at)))
}

/// The revisions of every owner, so that the newest can be told.
struct Revisions<'a> {
    /// By namespace and owner: its revisions, newest first.
    numbers: BTreeMap<(Option<&'a str>, &'a str), Vec<i64>>,
}

impl<'a> Revisions<'a> {
    fn of(inventory: &'a Inventory) -> Self {
        let mut numbers: BTreeMap<_, BTreeSet<i64>> = BTreeMap::new();
        for reference in inventory.references.iter().filter(|reference| reference.r#use == Use::Revision) {
            if let (Some(owner), Some(revision)) = (&reference.owner, reference.revision) {
                numbers.entry((reference.namespace.as_deref(), owner.as_str())).or_default().insert(revision);
            }
        }
        let newest_first = |numbers: BTreeSet<i64>| numbers.into_iter().rev().collect();
        Self { numbers: numbers.into_iter().map(|(owner, numbers)| (owner, newest_first(numbers))).collect() }
    }

    /// Returns whether a rollback can reach a revision; one without a number always counts.
    fn within(&self, reference: &Reference, rollback: Option<u64>) -> bool {
        let (Some(most), Some(owner), Some(revision)) = (rollback, &reference.owner, reference.revision) else {
            return true;
        };
        let numbers = self.numbers.get(&(reference.namespace.as_deref(), owner.as_str()));
        let place = numbers.and_then(|numbers| numbers.iter().position(|number| *number == revision));
        place.is_none_or(|place| u64::try_from(place).is_ok_and(|place| place < most))
    }
}

/// Returns the start of the oldest inventory that tells of now.
pub(super) fn oldest<'a>(inventories: &'a [Spoken<'a>]) -> Option<(Timestamp, &'a str)> {
    let live = inventories.iter().filter(|spoken| spoken.cluster.hibernated_since.is_none());
    live.map(|spoken| (spoken.inventory.started_at, spoken.cluster.name.as_str())).min()
}
