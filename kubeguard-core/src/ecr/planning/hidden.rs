//! What hashed inventories mean here: every name that an entry of this registry can have is hidden with the same salt, and
//! compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::clusters::Cluster;
use super::super::snapshot::{PullThroughRule, ReplicationRule};
use super::names::upstream;
use super::usage::{Judged, Spoken};
use crate::images::hashed::Hash;
use crate::images::maps::below;
use crate::images::{Inventory, RegistryId, Salt};

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
        alone.into_iter().flatten().chain(&row.spec_hashes)
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
