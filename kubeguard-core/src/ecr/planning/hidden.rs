//! What hashed inventories mean here: every name that an entry of this registry can have is hidden with the same salt, and
//! compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::clusters::Cluster;
use super::super::plan::{RefusalReason, Refused, VoteKind};
use super::super::snapshot::{PullThroughRule, ReplicationRule};
use super::names::upstream;
use super::usage::{Cast, Judged, Revisions, Spoken, by, kind};
use crate::images::hashed::Hash;
use crate::images::inventory::{Rewritten, Suspicion, Suspicious};
use crate::images::maps::below;
use crate::images::{Inventory, Reference, RegistryId, Salt, Use};

/// By which name an entry was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// One of the managed registry, also as a copy of something upstream.
    Here,
    /// One of a registry whose deletions follow.
    Replica(RegistryId),
    /// One of another registry from which a standby pulls the same from here.
    Elsewhere(RegistryId),
}

/// What a hash stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Repository,
    /// A folder that the repository lies in.
    Folder,
    Tag(usize),
    Digest(usize),
    /// A digest alone: of this entry.
    Bare(usize),
    /// A digest alone: of this entry's configuration.
    Config(usize),
}

/// One thing that a hash stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    pub(super) repository: usize,
    pub(super) place: Place,
    pub(super) what: What,
}

/// The hashes of all inventories with what they stand for here. Nothing is kept of names that nobody asks for.
#[derive(Default)]
pub(super) struct Hidden {
    found: HashMap<Hash, Vec<Match>>,
}

/// Returns the 32 bytes of a hash as inventories write it.
fn bytes(hash: &str) -> Option<Hash> {
    crate::images::Digest::from_hex(hash).map(|digest| *digest.bytes())
}

/// Returns every hash that an inventory names.
fn hashes(inventory: &Inventory) -> impl Iterator<Item = &String> {
    let rows = inventory.references.iter().flat_map(|row| {
        let alone = [&row.hash, &row.digest_hash, &row.bare_hash, &row.repository_hash];
        alone.into_iter().flatten().chain(&row.spec_hashes).chain(&row.spec_repositories)
    });
    let suspicious = inventory.suspicious.iter().filter_map(|text| text.repository_hash.as_ref());
    rows.chain(suspicious)
        .chain(inventory.rewritten.iter().flat_map(|one| one.from_hashes.iter().chain(&one.to_hashes)))
}

impl Hidden {
    /// Looks up what hashed inventories name. One pass over the names of all entries.
    pub(super) fn new(
        salt: Option<&Salt>,
        spoken: &[Spoken<'_>],
        repositories: &[Judged<'_>],
        managed: &RegistryId,
        pull_through: &[PullThroughRule],
        replication: &[ReplicationRule],
    ) -> Self {
        let hashed = || spoken.iter().filter(|spoken| is_readable(spoken.inventory, salt));
        let found =
            hashed().flat_map(|spoken| hashes(spoken.inventory)).filter_map(|hash| Some((bytes(hash)?, Vec::new())));
        let mut hidden = Self { found: found.collect() };
        let Some(salt) = salt.filter(|_| !hidden.found.is_empty()) else { return hidden };
        let elsewhere: BTreeSet<&RegistryId> = hashed()
            .filter(|spoken| !spoken.standbys.is_empty())
            .flat_map(|spoken| spoken.cluster.registries.iter().map(|registry| &registry.0))
            .collect();
        for (at, repository) in repositories.iter().enumerate() {
            let name = repository.name;
            let mut names =
                vec![(format!("{}/{name}", managed.host()), Place::Here), (format!("/{name}"), Place::Here)];
            let copied = replication.iter().filter(|rule| follows(rule, name)).map(|rule| &rule.destination);
            let copied: BTreeSet<&RegistryId> = copied.filter(|registry| *registry != managed).collect();
            let replica =
                |registry: &&RegistryId| (format!("{}/{name}", registry.host()), Place::Replica((*registry).clone()));
            names.extend(copied.iter().map(replica));
            let others = elsewhere.iter().filter(|registry| **registry != managed && !copied.contains(**registry));
            names.extend(others.map(|one| (format!("{}/{name}", one.host()), Place::Elsewhere((*one).clone()))));
            for rule in pull_through {
                let rest = if rule.prefix == "ROOT" { Some(name) } else { below(name, &rule.prefix) };
                names.extend(rest.map(|rest| (format!("{}/{rest}", upstream(rule)), Place::Here)));
            }
            for (name, place) in &names {
                hidden.names(salt, name, place, at, repository);
            }
            let mut alone = |digest: crate::images::Digest, what| {
                let hash = salt.hash(&[&digest.to_string()]);
                hidden.take(hash, Match { repository: at, place: Place::Here, what });
            };
            for (entry, row) in repository.graph.entries.iter().enumerate() {
                alone(row.digest, What::Bare(entry));
                if let Some(config) = repository.configs.get(&row.digest) {
                    alone(*config, What::Config(entry));
                }
            }
        }
        for matches in hidden.found.values_mut() {
            matches.sort();
            matches.dedup();
        }
        hidden
    }

    /// Takes all names that begin with one spelling of a repository.
    fn names(&mut self, salt: &Salt, name: &str, place: &Place, at: usize, repository: &Judged<'_>) {
        let of = |what| Match { repository: at, place: place.clone(), what };
        self.take(salt.hash(&[name]), of(What::Repository));
        let path = name.find('/').map_or(0, |slash| slash + 1);
        for (slash, _) in name.char_indices().filter(|(slash, c)| *c == '/' && *slash >= path) {
            self.take(salt.hash(&[name.get(..slash).unwrap_or_default()]), of(What::Folder));
        }
        for (entry, row) in repository.graph.entries.iter().enumerate() {
            for tag in &row.tags {
                // Of rows that disagree the last has the tag, as for names that are not hidden.
                if repository.graph.by_tag(tag) == Some(entry) {
                    self.take(salt.hash(&[name, ":", tag]), of(What::Tag(entry)));
                }
            }
            self.take(salt.hash(&[name, "@", &row.digest.to_string()]), of(What::Digest(entry)));
        }
    }

    fn take(&mut self, hash: Hash, found: Match) {
        if let Some(matches) = self.found.get_mut(&hash) {
            matches.push(found);
        }
    }

    /// Returns what a hash stands for; nothing for one of another registry, or of something that is not there.
    pub(super) fn of(&self, hash: &str) -> &[Match] {
        bytes(hash).and_then(|hash| self.found.get(&hash)).map_or(&[], Vec::as_slice)
    }

    /// Returns the repositories that a hash stands for by their names here and in replicas.
    pub(super) fn repositories(&self, hash: &str) -> BTreeSet<usize> {
        let named = self.of(hash).iter().filter(|found| found.what == What::Repository && found.place.is_ours());
        named.map(|found| found.repository).collect()
    }

    /// Returns the entries of a repository that hashes name by tag or digest, here and in replicas.
    pub(super) fn entries(&self, hashes: &[String], repository: usize) -> Vec<usize> {
        let all = hashes.iter().flat_map(|hash| self.of(hash));
        let named = all.filter(|found| found.repository == repository && found.place.is_ours());
        let entries: BTreeSet<usize> = named.filter_map(|found| found.what.entry()).collect();
        entries.into_iter().collect()
    }

    /// Returns what a row's keys name, by repository and place: its entries, and the one that is named by digest.
    pub(super) fn named(
        &self,
        keys: [Option<&String>; 2],
    ) -> BTreeMap<(usize, Place), (BTreeSet<usize>, Option<usize>)> {
        let mut named: BTreeMap<_, (BTreeSet<usize>, Option<usize>)> = BTreeMap::new();
        for found in keys.into_iter().flatten().flat_map(|hash| self.of(hash)) {
            let Some(entry) = found.what.entry() else { continue };
            let (entries, by_digest) = named.entry((found.repository, found.place.clone())).or_default();
            entries.insert(entry);
            if let What::Digest(entry) = found.what {
                *by_digest = Some(entry);
            }
        }
        named
    }
}

impl Place {
    pub(super) const fn is_ours(&self) -> bool {
        matches!(self, Self::Here | Self::Replica(_))
    }
}

impl What {
    const fn entry(self) -> Option<usize> {
        match self {
            Self::Tag(entry) | Self::Digest(entry) => Some(entry),
            Self::Repository | Self::Folder | Self::Bare(_) | Self::Config(_) => None,
        }
    }
}

/// Returns whether an inventory is hashed with a salt that we have.
pub(super) fn is_readable(inventory: &Inventory, salt: Option<&Salt>) -> bool {
    let hashed = inventory.hashed.as_ref();
    hashed.is_some_and(|hashed| salt.is_some_and(|salt| salt.id() == hashed.salt_id))
}

/// Returns whether what is deleted in a repository is deleted in a rule's destination.
pub(super) fn follows(rule: &ReplicationRule, repository: &str) -> bool {
    let prefixed = rule.prefixes.iter().any(|prefix| repository.starts_with(prefix.as_str()));
    rule.deletes && (rule.prefixes.is_empty() || prefixed)
}

/// Returns whether a standby pulls from our registry, or from one that follows it, what is named elsewhere.
pub(super) fn pulls_here(
    standby: &Cluster,
    elsewhere: &RegistryId,
    repository: &str,
    managed: &RegistryId,
    replication: &[&ReplicationRule],
) -> bool {
    let copies =
        |target: &RegistryId| replication.iter().any(|rule| rule.destination == *target && follows(rule, repository));
    let targets = standby.registries.iter().map(|registry| &registry.0).filter(|target| *target != elsewhere);
    targets.into_iter().any(|target| target == managed || copies(target))
}

impl Cast<'_, '_, '_> {
    /// A reference without its name: whatever of ours has the same hash.
    pub(super) fn hidden(&mut self, spoken: &Spoken<'_>, reference: &Reference, revisions: &Revisions<'_>) {
        let by = by(&spoken.cluster.name, reference);
        if let Some(bare) = &reference.bare_hash {
            return self.hidden_bare(reference, bare, &by);
        }
        let ours = reference.repository_hash.iter().flat_map(|hash| self.hidden.repositories(hash));
        let ours: BTreeSet<usize> = ours.collect();
        for at in &ours {
            let name = self.repositories[*at].name.to_owned();
            self.usage.used.entry(name).or_default().insert(spoken.cluster.name.clone());
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

    fn hidden_bare(&mut self, reference: &Reference, bare: &str, by: &str) {
        let hidden = self.hidden;
        let beside = reference.spec_repositories.iter().flat_map(|hash| hidden.repositories(hash));
        let named = beside.map(|at| (at, hidden.entries(&reference.spec_hashes, at))).collect();
        let alone = |place: usize| hidden.of(bare).iter().filter(move |found| found.repository == place);
        let entry = |place: usize, _: &Judged<'_>| {
            alone(place).find_map(|found| if let What::Bare(at) = found.what { Some(at) } else { None })
        };
        let is_config =
            |place: usize, _: &Judged<'_>, at: usize| alone(place).any(|found| found.what == What::Config(at));
        let cause = format!("{by} runs a digest that is no entry here");
        self.alone(reference, named, (by, &cause), entry, is_config);
    }

    /// What suspicious texts of hashed inventories still say: which repository they speak of.
    pub(super) fn hidden_text(&mut self, cluster: &str, suspicious: &Suspicious) {
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
            self.repositories[at].doubts.add(cause.clone(), "", None);
        }
    }

    pub(super) fn hidden_rewrite(&mut self, cluster: &str, rewritten: &Rewritten) {
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
}
