//! Manifests of images, for their layers. Reading one counts as a pull.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};

use crate::ecr::iam;
use crate::ecr::look::{AT_ONCE, read_images};
use crate::ecr::manifests::{ImageManifest, ManifestCache};
use crate::ecr::plan::{Class, Plan};
use crate::ecr::policy::Policy;
use crate::ecr::registry::Registry;
use crate::ecr::snapshot::{Reading, RegistrySnapshot, Status};
use crate::error::{Error, Result};
use crate::images::Digest;

/// Returns the entries of each repository, in the registry's order, whose layers are not known and can be read: all that
/// are no indexes and not archived.
#[must_use]
pub fn unread_layers(plan: &Plan, registry: &RegistrySnapshot) -> Vec<(usize, BTreeSet<Digest>)> {
    let mut unread: Vec<BTreeSet<Digest>> = vec![BTreeSet::new(); registry.repositories.len()];
    for image in &plan.images {
        let by_name = |repository: &crate::ecr::snapshot::RepositorySnapshot| {
            repository.repository.name.as_str().cmp(image.repository.as_str())
        };
        let Ok(at) = registry.repositories.binary_search_by(by_name) else { continue };
        let known = registry.repositories[at].layers.contains_key(&image.digest);
        if image.class != Class::Index && image.status == Status::Active && !known {
            unread[at].insert(image.digest);
        }
    }
    unread.into_iter().enumerate().filter(|(_, digests)| !digests.is_empty()).collect()
}

/// Returns why manifests must not be read without being asked to: windows of pull times that our own reads would move. None
/// where the caller's pulls are not recorded.
#[must_use]
pub fn untrusted_windows(policy: &Policy, registry: &RegistrySnapshot) -> Option<String> {
    let rules = policy.rules.iter().filter(|rule| !rule.keep_pulled_within.is_zero());
    let names: Vec<&str> = rules.map(|rule| rule.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let excluded = match &registry.exclusions {
        Reading::Read(arns) => arns.iter().any(|arn| iam::is_same(arn, &registry.caller)),
        Reading::Failed(_) => false,
    };
    (!excluded).then(|| format!("keepPulledWithin of {}", names.join(", ")))
}

/// Takes the layers of those entries whose manifests were read before; asks nobody.
///
/// # Errors
/// [`Error::Io`] when the cache cannot be used.
pub fn recall_layers(
    registry: &mut RegistrySnapshot,
    unread: &[(usize, BTreeSet<Digest>)],
    cache: &ManifestCache,
) -> Result<()> {
    for (at, digests) in unread {
        let Some(repository) = registry.repositories.get_mut(*at) else { continue };
        for digest in digests {
            let manifest = cache.get(*digest)?.and_then(|manifest| ImageManifest::read(&manifest).ok());
            if let Some(layers) = manifest.and_then(|manifest| manifest.layers) {
                repository.layers.insert(*digest, layers);
            }
        }
    }
    Ok(())
}

/// Reads the layers of some entries into a registry, in batches, at most [`AT_ONCE`] repositories at once, from the cache
/// where they were read before; returns what could not be read, in words, by repository. `progress` is told a repository
/// that is done, and how many are.
///
/// # Errors
/// What no other repository would escape: credentials that are not valid, a cache that cannot be used.
pub async fn read_layers<R: Registry>(
    ask: &R,
    registry: &mut RegistrySnapshot,
    unread: &[(usize, BTreeSet<Digest>)],
    cache: &ManifestCache,
    progress: &(dyn Fn(&str, usize) + Sync),
) -> Result<Vec<(String, String)>> {
    let wanted = |at: usize| unread.iter().find(|(known, _)| *known == at).map(|(_, digests)| digests);
    let repositories = registry.repositories.iter_mut().enumerate();
    let repositories: Vec<_> = repositories.filter_map(|(at, repository)| Some((repository, wanted(at)?))).collect();
    let (mut problems, mut done) = (Vec::new(), 0);
    let mut reads = stream::iter(repositories)
        .map(|(repository, digests)| async move {
            let read = read_images(ask, repository, digests, cache).await;
            let name = repository.repository.name.clone();
            let problem = read.map_err(|trouble| trouble.error(format!("read the manifests of {name}")))?;
            Ok::<_, Error>((name, problem))
        })
        .buffer_unordered(AT_ONCE);
    while let Some(read) = reads.next().await {
        let (name, problem) = read?;
        done += 1;
        progress(&name, done);
        problems.extend(problem.map(|problem| (name, problem.message)));
    }
    drop(reads);
    problems.sort_unstable();
    Ok(problems)
}
