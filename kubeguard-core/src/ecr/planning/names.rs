//! From a written reference to keys of the managed registry: as it is, and by every name that leads there.

use std::collections::{BTreeSet, HashMap};

use super::super::policy::Policy;
use super::super::snapshot::{PullThroughRule, ReplicationRule};
use super::hidden::follows;
use crate::images::maps::{Readable, Spelling, below};
use crate::images::{Digest, HostMap, ImageKey, ImageRef, Maps, RegistryId};

/// Which entry of which repository a reference means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ecr) struct Selector {
    pub(in crate::ecr) repository: String,
    pub(in crate::ecr) tag: Option<String>,
    pub(in crate::ecr) digest: Option<Digest>,
    /// The registry that the reference names, where what is there follows the managed one.
    pub(in crate::ecr) by_replica: Option<RegistryId>,
}

/// What a written reference means here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::ecr) struct Meaning {
    /// Sorted, each once.
    pub(in crate::ecr) selectors: Vec<Selector>,
    /// An image of another ECR registry, in its usual spelling.
    pub(in crate::ecr) foreign: Option<String>,
    /// The registry of the image, where it is one of ECR.
    pub(in crate::ecr) registry: Option<RegistryId>,
    pub(in crate::ecr) bare: Option<Digest>,
}

/// Returns whether a text is an image as people write it for a registry, with or without a host; its tag may be a glob where
/// there is no digest.
pub(in crate::ecr) fn is_image(text: &str, globs: bool) -> bool {
    let plain = match text.rsplit_once(':') {
        Some((name, tag)) if globs && !tag.contains('/') && !text.contains('@') => {
            format!("{name}:{}", tag.replace(['*', '?'], "x"))
        }
        _ => text.to_owned(),
    };
    let anywhere = RegistryId::new("000000000000", "us-east-1");
    !matches!(
        ImageRef::parse(&whole(&plain, &anywhere), &HostMap::default()),
        ImageRef::Unparsed(_) | ImageRef::Bare(_)
    )
}

/// Returns an image with the host of a registry, where it has none.
fn whole(text: &str, registry: &RegistryId) -> String {
    let first = text.split('/').next().unwrap_or_default();
    let has_host = text.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    if has_host { text.to_owned() } else { format!("{}/{text}", registry.host()) }
}

/// Every way a name can lead to the managed registry.
pub(in crate::ecr) struct Names<'a> {
    pub(super) managed: &'a RegistryId,
    maps: Maps,
    pull_through: &'a [PullThroughRule],
    /// Destinations that follow deletions.
    pub(super) replicas: Vec<&'a ReplicationRule>,
    known: HashMap<String, Meaning>,
}

impl<'a> Names<'a> {
    pub(in crate::ecr) fn new(
        managed: &'a RegistryId,
        policy: &'a Policy,
        pull_through: &'a [PullThroughRule],
        replication: &'a [ReplicationRule],
    ) -> Self {
        let replicas = replication.iter().filter(|rule| rule.deletes).collect();
        Self { managed, maps: policy.maps(), pull_through, replicas, known: HashMap::new() }
    }

    /// Returns what a reference means; each text is looked at once.
    pub(in crate::ecr) fn meaning(&mut self, text: &str) -> &Meaning {
        if !self.known.contains_key(text) {
            let meaning = self.look(text);
            self.known.insert(text.to_owned(), meaning);
        }
        &self.known[text]
    }

    /// Returns a reference as people write it in lists for this registry: without a host it is one of its images.
    pub(in crate::ecr) fn own(&self, text: &str) -> String {
        whole(text, self.managed)
    }

    /// Returns whether a repository of a registry is, or leads to, the one of the same name here.
    pub(super) fn is_ours(&mut self, registry: &RegistryId, repository: &str) -> bool {
        let follows = self.replicas.iter().any(|rule| rule.destination == *registry && follows(rule, repository));
        let leads = |names: &mut Self| {
            let meaning = names.meaning(&format!("{}/{repository}", registry.host()));
            meaning.selectors.iter().any(|selector| selector.repository == repository)
        };
        registry == self.managed || follows || leads(self)
    }

    /// Returns the repository that can be read of a text which is no reference.
    pub(super) fn readable(&self, text: &str) -> Option<Readable> {
        Readable::of(text, self.maps.hosts())
    }

    /// Returns whether some mapping leads from one image to the other.
    pub(in crate::ecr) fn leads(&mut self, from: &str, to: &str) -> bool {
        let repositories = |meaning: &Meaning| -> BTreeSet<String> {
            meaning.selectors.iter().map(|selector| selector.repository.clone()).collect()
        };
        let from = repositories(self.meaning(from));
        !repositories(self.meaning(to)).is_disjoint(&from)
    }

    fn look(&self, text: &str) -> Meaning {
        let mut meaning = Meaning::default();
        let written = ImageRef::parse(text, self.maps.hosts());
        if let ImageRef::Bare(digest) = written {
            meaning.bare = Some(digest);
        }
        let Some(normal) = Spelling::of(&written).map(|spelling| spelling.text()) else { return meaning };
        if let ImageRef::Ecr(key) = &written {
            meaning.registry = Some(key.registry.clone());
        }
        if let ImageRef::Ecr(key) = &written {
            self.take(key, &mut meaning);
            if meaning.selectors.is_empty() {
                meaning.foreign = Some(normal.clone());
            }
        }
        for other in self.other_names(text, &normal) {
            if let ImageRef::Ecr(key) = ImageRef::parse(&other, self.maps.hosts()) {
                self.take(&key, &mut meaning);
            }
        }
        meaning
    }

    /// Takes a key of the managed registry, or of a registry whose images follow it.
    fn take(&self, key: &ImageKey, meaning: &mut Meaning) {
        let follows =
            self.replicas.iter().any(|rule| rule.destination == key.registry && follows(rule, &key.repository));
        if key.registry == *self.managed || follows {
            let selector = Selector {
                repository: key.repository.clone(),
                tag: key.tag.clone(),
                digest: key.digest,
                by_replica: Some(key.registry.clone()).filter(|registry| registry != self.managed),
            };
            if let Err(place) = meaning.selectors.binary_search(&selector) {
                meaning.selectors.insert(place, selector);
            }
        }
    }

    /// Returns what mirrors, rewrites and pull-through rules make of a reference.
    fn other_names(&self, raw: &str, normal: &str) -> Vec<String> {
        let mut names = self.maps.other_names(raw, normal);
        for rule in self.pull_through {
            let Some(rest) = below(normal, &upstream(rule)) else { continue };
            let prefix = if rule.prefix == "ROOT" { String::new() } else { format!("{}/", rule.prefix) };
            names.push(format!("{}/{prefix}{rest}", self.managed.host()));
        }
        names
    }
}

/// Returns host and path that a rule's repositories are copies of.
pub(super) fn upstream(rule: &PullThroughRule) -> String {
    let host = rule.upstream.rsplit_once("://").map_or(rule.upstream.as_str(), |(_, host)| host);
    let host = if host == "registry-1.docker.io" { "docker.io" } else { host };
    match rule.upstream_prefix.as_deref() {
        Some(prefix) if prefix != "ROOT" => format!("{host}/{prefix}"),
        _ => host.to_owned(),
    }
}
