//! Digests that a container runs and that name no repository: entries, configurations of images, or nobody knows what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::plan::Class;
use super::super::policy::Policy;
use super::super::snapshot::{Reading, RegistrySnapshot};
use super::graph::Graph;
use super::names::Names;
use super::{Answer, included};
use crate::images::Digest;
use crate::images::status::StatusImages;

/// Returns whose manifests must be read, by repository, so that digests without a repository can be told: of the images
/// that the same containers name, which are in use, so that reading them changes nothing about their pull times.
///
/// What is known already ([`RepositorySnapshot::configs`](super::super::snapshot::RepositorySnapshot::configs)) is left
/// out. A digest that nobody can tell afterwards keeps everything that was pushed before its container started.
#[must_use]
pub fn configs_to_read(
    policy: &Policy,
    registry: &RegistrySnapshot,
    answers: &[Answer],
) -> BTreeMap<String, BTreeSet<Digest>> {
    let mut names = Names::of(policy, registry);
    let places: HashMap<&str, _> = included(policy, registry)
        .into_iter()
        .map(|(repository, rule)| (repository.repository.name.as_str(), (repository, rule)))
        .collect();
    let mut graphs: HashMap<&str, (Graph<'_>, BTreeSet<Digest>)> = HashMap::new();
    let mut wanted: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    let mut asked: BTreeSet<(Digest, Vec<String>)> = BTreeSet::new();
    for inventory in answers.iter().filter_map(|answer| answer.inventory.as_ref().ok()) {
        let images = StatusImages::of(inventory);
        for reference in inventory.references.iter().filter(|reference| reference.spec.is_some()) {
            let Some(digest) = names.meaning(&reference.image).bare else { continue };
            let beside: Vec<String> = images.beside(reference).map(ToOwned::to_owned).collect();
            if !asked.insert((digest, beside.clone())) {
                continue;
            }
            let mut unknown = Vec::new();
            let mut told = false;
            for text in &beside {
                for selector in &names.meaning(text).selectors {
                    let Some((name, (repository, rule))) = places.get_key_value(selector.repository.as_str()) else {
                        continue;
                    };
                    let (graph, no_images) = graphs.entry(name).or_insert_with(|| {
                        let children = repository.indexes.values().flat_map(|index| &index.children);
                        let attests = children.filter(|child| child.platform.as_deref() == Some("unknown/unknown"));
                        (Graph::new(repository, rule), attests.map(|child| child.digest).collect())
                    });
                    told |= graph.by_digest(digest).is_some();
                    let meant: Vec<usize> = graph.selected(selector.tag.as_deref(), selector.digest).collect();
                    for at in graph.below(&meant).into_iter().filter(|at| graph.classes[*at] == Class::Image) {
                        let entry = graph.entries[at].digest;
                        match repository.configs.get(&entry) {
                            Some(config) => told |= *config == digest,
                            None if no_images.contains(&entry) => {}
                            None => unknown.push((*name, entry)),
                        }
                    }
                }
            }
            for (name, entry) in unknown.into_iter().filter(|_| !told) {
                wanted.entry(name.to_owned()).or_default().insert(entry);
            }
        }
    }
    wanted
}

impl<'a> Names<'a> {
    /// Takes the names that lead to a registry by its own settings.
    pub(in crate::ecr) fn of(policy: &'a Policy, registry: &'a RegistrySnapshot) -> Self {
        fn rules<T>(reading: &Reading<Vec<T>>) -> &[T] {
            match reading {
                Reading::Read(rules) => rules,
                Reading::Failed(_) => &[],
            }
        }
        Self::new(&registry.registry, policy, rules(&registry.pull_through), rules(&registry.replication))
    }
}
