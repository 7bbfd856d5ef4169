//! What clusters use of a registry: from references to votes for entries, to doubts about repositories, to refusals.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::super::clusters::{Cluster, ClusterSource};
use super::super::findings::found;
use super::super::plan::{Foreign, PlanFinding, RefusalReason, Refused, Vote, VoteKind};
use super::super::policy::{Keep, Policy, Rule};
use super::super::snapshot::RepositorySnapshot;
use super::closure::Carried;
use super::doubts::Doubts;
use super::graph::Graph;
use super::hidden::Hidden;
use super::keep_list::KeptImage;
use super::names::{Meaning, Names, Selector};
use crate::images::inventory::{Suspicion, Suspicious, Templated, TextWithoutTag};
use crate::images::maps::Readable;
use crate::images::status::StatusImages;
use crate::images::{Digest, Inventory, Reference, RegistryId, Use, is_ecr_like};

/// One repository under judgement.
pub(super) struct Judged<'a> {
    pub(super) name: &'a str,
    pub(super) rule: &'a Rule,
    /// It was read to its end.
    pub(super) is_read: bool,
    pub(super) graph: Graph<'a>,
    /// Digest of an image's configuration, by entry, where it was read.
    pub(super) configs: &'a BTreeMap<Digest, Digest>,
    /// Votes by entry; sorted and without doubles only at the end.
    pub(super) votes: Vec<Vec<Vote>>,
    /// Entries that were named by their digest, or that count as named so.
    pub(super) direct: BTreeSet<usize>,
    pub(super) carried: Carried,
    pub(super) doubts: Doubts,
    /// For an index that lacks a child: platforms that it is used on, `None` where they are not known.
    pub(super) used_on: BTreeMap<usize, BTreeSet<Option<String>>>,
}

impl<'a> Judged<'a> {
    pub(super) fn new(repository: &'a RepositorySnapshot, rule: &'a Rule) -> Self {
        let entries = repository.entries.len();
        Self {
            name: &repository.repository.name,
            rule,
            is_read: repository.problem.is_none(),
            graph: Graph::new(repository, rule),
            configs: &repository.configs,
            votes: vec![Vec::new(); entries],
            direct: BTreeSet::new(),
            carried: Carried::none(entries),
            doubts: Doubts::default(),
            used_on: BTreeMap::new(),
        }
    }

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
    pub(super) fn selected(&self, selector: &Selector) -> Vec<usize> {
        self.graph.selected(selector.tag.as_deref(), selector.digest).collect()
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

/// Casts the votes of every inventory. `all` names the repositories there are, where they are known.
pub(super) fn cast(
    inventories: &[Spoken<'_>],
    keep_lists: &[KeptImage],
    repositories: &mut [Judged<'_>],
    names: &mut Names<'_>,
    hidden: &Hidden,
    policy: &Policy,
    all: Option<&HashSet<&str>>,
) -> Usage {
    let places: HashMap<String, usize> =
        repositories.iter().enumerate().map(|(at, repository)| (repository.name.to_owned(), at)).collect();
    let mut cast =
        Cast { repositories, places, names, hidden, policy, all, absent: HashMap::new(), usage: Usage::default() };
    for spoken in inventories {
        cast.inventory(spoken);
    }
    for kept in keep_lists {
        cast.kept(kept);
    }
    cast.usage
}

pub(super) struct Cast<'a, 'r, 'n> {
    pub(super) repositories: &'a mut [Judged<'r>],
    places: HashMap<String, usize>,
    pub(super) names: &'a mut Names<'n>,
    pub(super) hidden: &'a Hidden,
    policy: &'a Policy,
    all: Option<&'a HashSet<&'a str>>,
    /// Repositories that a rule is for and that are not there, once they are asked for.
    absent: HashMap<String, bool>,
    pub(super) usage: Usage,
}

impl Cast<'_, '_, '_> {
    fn inventory(&mut self, spoken: &Spoken<'_>) {
        let cluster = &spoken.cluster.name;
        let revisions = Revisions::of(spoken.inventory);
        let images = StatusImages::of(spoken.inventory);
        for reference in &spoken.inventory.references {
            if reference.image.is_empty() {
                self.hidden(spoken, reference, &revisions);
            } else {
                self.reference(spoken, reference, &revisions, &images);
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

    fn reference(
        &mut self,
        spoken: &Spoken<'_>,
        reference: &Reference,
        revisions: &Revisions<'_>,
        images: &StatusImages<'_>,
    ) {
        let meaning = self.names.meaning(&reference.image).clone();
        let by = by(&spoken.cluster.name, reference);
        if let Some(image) = &meaning.foreign {
            self.usage.foreign.insert(Foreign { image: image.clone(), by: by.clone() });
        }
        if let Some(digest) = meaning.bare {
            self.bare(reference, digest, &by, images);
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
        let Some(place) = self.places.get(&selector.repository).copied() else {
            return self.elsewhere(reference, selector, by);
        };
        let repository = &self.repositories[place];
        let entries = repository.selected(selector);
        let by_digest = selector.digest.and_then(|digest| repository.graph.by_digest(digest));
        let has_tag = selector.tag.as_deref().is_none_or(|tag| repository.graph.by_tag(tag).is_some());
        let explains = reference.r#use == Use::Status && explained(repository, reference, &entries, self.names);
        let kind = kind(reference, repository.rule, revisions).filter(|_| !explains);
        let Some(kind) = kind else { return };
        let kind = if standby.is_some() { VoteKind::Standby } else { kind };
        self.vote_for(place, reference, kind, by, &entries, by_digest);
        if entries.is_empty() || selector.digest.is_some() && by_digest.is_none() {
            self.missing(reference, by);
        } else if by_digest.is_some() && !has_tag {
            // Only the digest is pulled.
            let message = format!("{} is named by {by}: its digest is there, its tag is gone", reference.image);
            self.usage.findings.insert(found("EC101", message).of(by, &reference.image).with_severity("info"));
        }
    }

    /// Lets what a reference means stay.
    pub(super) fn vote_for(
        &mut self,
        place: usize,
        reference: &Reference,
        kind: VoteKind,
        by: &str,
        entries: &[usize],
        by_digest: Option<usize>,
    ) {
        let repository = &mut self.repositories[place];
        for at in entries {
            repository.vote(*at, kind, by, Some(&reference.path));
            if repository.graph.sparse[*at] && matches!(kind, VoteKind::InUse | VoteKind::Standby) {
                let platforms = reference.platforms.iter().cloned().map(Some);
                let unknown = reference.platforms.is_empty().then_some(None);
                repository.used_on.entry(*at).or_default().extend(platforms.chain(unknown));
            }
        }
        // A digest in a spec, or one that runs and that no spec explains, is named for itself.
        repository.direct.extend(by_digest);
    }

    /// A repository that is not judged: either no rule is for it, or it does not exist.
    fn elsewhere(&mut self, reference: &Reference, selector: &Selector, by: &str) {
        let Some(all) = self.all else { return };
        let name = &selector.repository;
        let absent = self.absent.get(name).copied().unwrap_or_else(|| {
            let absent = !all.contains(name.as_str()) && self.policy.rule_for(name).is_some();
            self.absent.insert(name.clone(), absent);
            absent
        });
        if absent && reference.r#use != Use::Status {
            self.missing(reference, by);
        }
    }

    fn missing(&mut self, reference: &Reference, by: &str) {
        let decides = matches!(reference.r#use, Use::Template | Use::Pod | Use::Status | Use::Custom | Use::Declared);
        let severity = if decides { "critical" } else { "info" };
        let message = format!("{} is named by {by} and is not in the registry", reference.image);
        self.usage.findings.insert(found("EC101", message).of(by, &reference.image).with_severity(severity));
    }

    /// A digest without a repository: an entry where the container's image is, its configuration, or nobody knows what.
    fn bare(&mut self, reference: &Reference, digest: Digest, by: &str, images: &StatusImages<'_>) {
        let mut named: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for text in images.beside(reference) {
            for selector in &self.names.meaning(text).selectors {
                let Some(place) = self.places.get(&selector.repository) else { continue };
                named.entry(*place).or_default().extend(self.repositories[*place].selected(selector));
            }
        }
        let entry = |repository: &Judged<'_>| repository.graph.by_digest(digest);
        let is_config = |repository: &Judged<'_>, at: usize| {
            repository.configs.get(&repository.graph.entries[at].digest) == Some(&digest)
        };
        let cause = format!("{by} runs {digest}, which is no entry here");
        self.alone(
            reference,
            named,
            (by, &cause),
            |_, repository| entry(repository),
            |_, repository, at| is_config(repository, at),
        );
    }

    /// A digest alone, beside which a container names entries of some repositories.
    pub(super) fn alone(
        &mut self,
        reference: &Reference,
        mut named: BTreeMap<usize, Vec<usize>>,
        (by, cause): (&str, &str),
        entry: impl Fn(usize, &Judged<'_>) -> Option<usize>,
        is_config: impl Fn(usize, &Judged<'_>, usize) -> bool,
    ) {
        if reference.r#use == Use::Finished {
            named.retain(|place, _| self.repositories[*place].rule.finished_jobs == Keep::Keep);
        }
        let mut known = false;
        for (place, named) in &named {
            let repository = &mut self.repositories[*place];
            let Some(at) = entry(*place, repository) else { continue };
            known = true;
            if !named.iter().any(|from| repository.graph.reaches(*from, at)) {
                repository.vote(at, VoteKind::InUse, by, Some(&reference.path));
                repository.direct.insert(at);
            }
        }
        let explained = |(place, named): (&usize, &Vec<usize>)| {
            let repository = &self.repositories[*place];
            repository.graph.below(named).iter().any(|at| is_config(*place, repository, *at))
        };
        if known || named.iter().any(explained) {
            return;
        }
        for place in named.keys() {
            self.repositories[*place].doubts.add(cause.to_owned(), &reference.path, reference.started_at);
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
            let message =
                format!("{by} says {:?} at {}, where an image must be named", suspicious.text, suspicious.path);
            self.usage.findings.insert(found("EC108", message).of(&by, &suspicious.text));
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
        if templated || suspicious.reason == Suspicion::NoTag {
            self.note(suspicious, &by);
        }
        // What names no repository is a folder of some, as kubeadm's imageRepository and a chart repository's address.
        let folder = suspicious.reason == Suspicion::NoTag && !self.places.contains_key(prefix);
        let begin = self.repositories.partition_point(|repository| repository.name < prefix);
        for repository in self.repositories.iter_mut().skip(begin) {
            let Some(rest) = repository.name.strip_prefix(prefix) else { break };
            let named = rest.is_empty() || folder && rest.starts_with('/') || !whole;
            if named && self.names.is_ours(&registry, repository.name) {
                repository.doubts.add(cause.clone(), &suspicious.path, None);
            }
        }
    }

    /// Returns whether images of a registry concern the managed one.
    fn concerns(&mut self, registry: &RegistryId) -> bool {
        let probe = format!("{}/probe", registry.host());
        registry == self.names.managed
            || self.names.replicas.iter().any(|rule| rule.destination == *registry)
            || !self.names.meaning(&probe).selectors.is_empty()
    }

    pub(super) fn is_relaxed(&self, reason: Suspicion) -> bool {
        match reason {
            Suspicion::Templated => self.policy.scan.templated == Templated::Report,
            Suspicion::NoTag => self.policy.scan.text_without_tag == TextWithoutTag::Latest,
            Suspicion::Unparsed => false,
        }
    }

    fn note(&mut self, suspicious: &Suspicious, by: &str) {
        let message = format!("{by} says {:?} at {}", suspicious.text, suspicious.path);
        self.usage.findings.insert(found("EC109", message).of(by, &suspicious.text));
    }

    fn kept(&mut self, kept: &KeptImage) {
        let image = self.names.own(&kept.image);
        let matched = self.pin(&image, &kept.source);
        if self.all.is_some() && !matched {
            let message = format!("{}: {} matches no image of these repositories", kept.source, kept.image);
            self.usage.findings.insert(found("EC209", message));
        }
    }

    /// Pins an image; its tag may be a glob. Returns whether there is one, or may be one where it cannot be seen.
    fn pin(&mut self, image: &str, source: &str) -> bool {
        let (name, tag) = match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && !image.contains('@') => (name, Some(tag)),
            _ => (image, None),
        };
        let pattern =
            tag.filter(|tag| tag.contains(['*', '?'])).and_then(|tag| super::super::policy::Pattern::new(tag).ok());
        let text = if pattern.is_some() { name } else { image };
        let meaning = self.names.meaning(text).clone();
        let mut matched = false;
        for selector in &meaning.selectors {
            let Some(repository) = self.places.get(&selector.repository).map(|at| &mut self.repositories[*at]) else {
                // No rule is for it, so nothing of it goes.
                matched = true;
                continue;
            };
            let entries: Vec<usize> = match &pattern {
                Some(pattern) => {
                    let entries = repository.graph.entries.iter().enumerate();
                    let tagged = entries.filter(|(_, entry)| entry.tags.iter().any(|tag| pattern.matches(tag)));
                    tagged.map(|(at, _)| at).collect()
                }
                None => repository.selected(selector),
            };
            matched |= !entries.is_empty() || !repository.is_read;
            for at in entries {
                repository.vote(at, VoteKind::Pinned, source, None);
            }
            if let Some(at) = selector.digest.and_then(|digest| repository.graph.by_digest(digest)) {
                repository.direct.insert(at);
            }
        }
        matched
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
pub(super) fn kind(reference: &Reference, rule: &Rule, revisions: &Revisions<'_>) -> Option<VoteKind> {
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
pub(super) struct Revisions<'a> {
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
    let tells = |spoken: &&Spoken<'_>| {
        let desired = matches!(spoken.cluster.source, Some(ClusterSource::Manifests(_)));
        spoken.cluster.hibernated_since.is_none() && !desired
    };
    let live = inventories.iter().filter(tells);
    live.map(|spoken| (spoken.inventory.started_at, spoken.cluster.name.as_str())).min()
}
