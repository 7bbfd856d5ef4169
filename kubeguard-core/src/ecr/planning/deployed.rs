//! What workloads ran before: a rollback beyond what controllers remember needs the images of our own history.

use std::collections::{BTreeSet, HashMap};

use super::super::plan::VoteKind;
use super::super::snapshot::{RegistrySnapshot, RepositorySnapshot};
use super::super::state::CleanState;
use super::Inputs;
use super::names::Names;
use super::usage::{Judged, by};
use crate::images::{Digest, Use};

/// An image that a container of a workload has now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ecr) struct Running {
    /// `CLUSTER/NAMESPACE/Kind/name`.
    pub(in crate::ecr) by: String,
    pub(in crate::ecr) container: String,
    /// `REPOSITORY@DIGEST`: what a tag meant is lost once it moves.
    pub(in crate::ecr) image: String,
}

/// Returns what the templates of all workloads name and the registry has.
pub(in crate::ecr) fn running(inputs: &Inputs<'_>) -> BTreeSet<Running> {
    let mut names = Names::of(inputs.policy, inputs.registry);
    let mut repositories = Tags::of(inputs.registry);
    let mut running = BTreeSet::new();
    let inventories =
        inputs.answers.iter().filter_map(|answer| Some((&answer.cluster, answer.inventory.as_ref().ok()?)));
    for (cluster, inventory) in inventories {
        for reference in inventory.references.iter().filter(|reference| reference.r#use == Use::Template) {
            let Some(container) = &reference.container else { continue };
            for selector in &names.meaning(&reference.image).selectors {
                let Some(tags) = repositories.get_mut(selector.repository.as_str()) else { continue };
                let tagged = selector.tag.as_deref().and_then(|tag| tags.digest(tag));
                if let Some(digest) = selector.digest.or(tagged) {
                    running.insert(Running {
                        by: by(cluster, reference),
                        container: container.clone(),
                        image: format!("{}@{digest}", selector.repository),
                    });
                }
            }
        }
    }
    running
}

/// Lets the last images of every workload container stay, as many as the rule of their repository says.
pub(super) fn cast(state: Option<&CleanState>, repositories: &mut [Judged<'_>]) {
    let places: HashMap<&str, usize> =
        repositories.iter().enumerate().map(|(at, repository)| (repository.name, at)).collect();
    for deployed in state.into_iter().flat_map(|state| &state.deployed) {
        for (rank, image) in deployed.images.iter().rev().enumerate() {
            let Some((name, digest)) = image.image.rsplit_once('@') else { continue };
            let Some(repository) = places.get(name).map(|at| &mut repositories[*at]) else { continue };
            let counts = u64::try_from(rank).is_ok_and(|rank| rank < repository.rule.keep_deployed);
            let entry = digest.parse().ok().and_then(|digest: Digest| repository.graph.by_digest(digest));
            if let Some(at) = entry.filter(|_| counts) {
                let by = format!("history: {}, container {}", deployed.by, deployed.container);
                repository.vote(at, VoteKind::Rollback, by, None);
            }
        }
    }
}

/// The tags of one repository, put in order when they are first asked for.
pub(super) struct Tags<'a> {
    repository: &'a RepositorySnapshot,
    tags: Option<HashMap<&'a str, Digest>>,
}

impl<'a> Tags<'a> {
    /// Returns those of all repositories, by name.
    pub(super) fn of(registry: &'a RegistrySnapshot) -> HashMap<&'a str, Self> {
        let all = registry.repositories.iter();
        all.map(|repository| (repository.repository.name.as_str(), Self { repository, tags: None })).collect()
    }

    pub(super) fn digest(&mut self, tag: &str) -> Option<Digest> {
        let entries = &self.repository.entries;
        let tags = self.tags.get_or_insert_with(|| {
            entries.iter().flat_map(|entry| entry.tags.iter().map(|tag| (tag.as_str(), entry.digest))).collect()
        });
        tags.get(tag).copied()
    }
}
