//! From a written reference to keys of the managed registry: as it is, and by every name that leads there.

use std::collections::{BTreeSet, HashMap};

use super::super::policy::Policy;
use super::super::snapshot::{PullThroughRule, ReplicationRule};
use crate::images::hosts::registry_of_host;
use crate::images::{Digest, HostMap, ImageKey, ImageRef, RegistryId};

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

/// Every way a name can lead to the managed registry.
pub(in crate::ecr) struct Names<'a> {
    managed: &'a RegistryId,
    hosts: HostMap,
    policy: &'a Policy,
    pull_through: &'a [PullThroughRule],
    /// Destinations that follow deletions.
    replicas: Vec<&'a ReplicationRule>,
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
        Self { managed, hosts: policy.hosts(), policy, pull_through, replicas, known: HashMap::new() }
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
        let first = text.split('/').next().unwrap_or_default();
        let has_host = text.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        if has_host { text.to_owned() } else { format!("{}/{text}", self.managed.host()) }
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
        let written = ImageRef::parse(text, &self.hosts);
        let normal = match &written {
            ImageRef::Ecr(key) => {
                meaning.registry = Some(key.registry.clone());
                spelt(&key.registry.host(), &key.repository, key.tag.as_deref(), key.digest)
            }
            ImageRef::Other(image) => spelt(&image.host, &image.path, image.tag.as_deref(), image.digest),
            ImageRef::Bare(digest) => {
                meaning.bare = Some(*digest);
                return meaning;
            }
            ImageRef::Unparsed(_) => return meaning,
        };
        if let ImageRef::Ecr(key) = &written {
            self.take(key, &mut meaning);
            if meaning.selectors.is_empty() {
                meaning.foreign = Some(normal.clone());
            }
        }
        for other in self.other_names(text, &normal) {
            if let ImageRef::Ecr(key) = ImageRef::parse(&other, &self.hosts) {
                self.take(&key, &mut meaning);
            }
        }
        meaning
    }

    /// Takes a key of the managed registry, or of a registry whose images follow it.
    fn take(&self, key: &ImageKey, meaning: &mut Meaning) {
        let follows = self.replicas.iter().any(|rule| {
            let prefixed = rule.prefixes.iter().any(|prefix| key.repository.starts_with(prefix.as_str()));
            rule.destination == key.registry && (rule.prefixes.is_empty() || prefixed)
        });
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
        let mut names = Vec::new();
        for rewrite in &self.policy.rewrites {
            let rests = [raw, normal].into_iter().filter_map(|text| text.strip_prefix(rewrite.from.as_str()));
            names.extend(rests.map(|rest| format!("{}{rest}", rewrite.to)));
        }
        for mirror in &self.policy.mirrors {
            let rest = below(normal, &mirror.from);
            names.extend(rest.map(|rest| format!("{}/{rest}", mirror.to.trim_end_matches('/'))));
        }
        for rule in self.pull_through {
            let upstream = rule.upstream.rsplit_once("://").map_or(rule.upstream.as_str(), |(_, host)| host);
            let upstream = if upstream == "registry-1.docker.io" { "docker.io" } else { upstream };
            let upstream = match rule.upstream_prefix.as_deref() {
                Some(prefix) if prefix != "ROOT" => format!("{upstream}/{prefix}"),
                _ => upstream.to_owned(),
            };
            let Some(rest) = below(normal, &upstream) else { continue };
            let prefix = if rule.prefix == "ROOT" { String::new() } else { format!("{}/", rule.prefix) };
            names.push(format!("{}/{prefix}{rest}", self.managed.host()));
        }
        names
    }
}

/// Returns the repository that can be read of a text which is no reference, and whether its name is whole.
pub(in crate::ecr) fn readable(text: &str) -> Option<(RegistryId, String, bool)> {
    let text = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
    let (host, path) = text.split_once('/')?;
    let host = host.split(':').next().unwrap_or(host).trim_end_matches('.').to_ascii_lowercase();
    let registry = registry_of_host(&host)?;
    let of_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '/');
    let end = path.find(|c| !of_path(c)).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let whole = rest.is_empty() || rest.starts_with([':', '@']);
    Some((registry, name.trim_end_matches('/').to_owned(), whole && !name.is_empty()))
}

fn spelt(host: &str, path: &str, tag: Option<&str>, digest: Option<Digest>) -> String {
    let tag = tag.map_or(String::new(), |tag| format!(":{tag}"));
    let digest = digest.map_or(String::new(), |digest| format!("@{digest}"));
    format!("{host}/{path}{tag}{digest}")
}

/// Returns what stands below a host, or a host and whole components of a path.
fn below<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.strip_prefix(prefix.trim_end_matches('/'))?.strip_prefix('/')
}
