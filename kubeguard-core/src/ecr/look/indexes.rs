//! Manifests that a look needs: of every index, once; of single images only where somebody asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Problem, Stop, Trouble, entries};
use crate::ecr::manifests::{ImageManifest, ManifestCache, check};
use crate::ecr::registry::{BATCH, Registry};
use crate::ecr::snapshot::{Entry, IndexManifest, RegistrySnapshot, RepositorySnapshot};
use crate::images::Digest;

const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// Reads what all indexes of a repository list.
pub(super) async fn read<R: Registry>(
    registry: &R,
    read: &mut RepositorySnapshot,
    cache: &ManifestCache,
) -> Result<(), Stop> {
    let digests = listed(read);
    take(registry, read, &digests, cache).await
}

/// Tells what those indexes list whose manifests were read before.
pub(super) fn recall(read: &mut RepositorySnapshot, cache: &ManifestCache) -> Result<(), Stop> {
    for digest in listed(read) {
        if let Some(manifest) = cache.get(digest)? {
            read.indexes.insert(digest, index(digest, &manifest)?);
        }
    }
    Ok(())
}

/// Reads what some indexes of a repository list into [`RepositorySnapshot::indexes`]; digests of others are left out.
///
/// An index that cannot be had or read leaves nothing there; its problem is returned.
///
/// # Errors
/// A [`Trouble`], which no other repository would escape.
pub async fn read_indexes<R: Registry>(
    registry: &R,
    read: &mut RepositorySnapshot,
    digests: &BTreeSet<Digest>,
    cache: &ManifestCache,
) -> Result<Option<Problem>, Trouble> {
    let digests: Vec<Digest> = listed(read).into_iter().filter(|digest| digests.contains(digest)).collect();
    ended(take(registry, read, &digests, cache).await)
}

/// Digests of the entries that are indexes.
fn listed(read: &RepositorySnapshot) -> Vec<Digest> {
    let is_index =
        |entry: &&Entry| entry.media_type.as_ref().is_some_and(|media_type| INDEX_TYPES.contains(&media_type.as_str()));
    read.entries.iter().filter(is_index).map(|entry| entry.digest).collect()
}

async fn take<R: Registry>(
    registry: &R,
    read: &mut RepositorySnapshot,
    digests: &[Digest],
    cache: &ManifestCache,
) -> Result<(), Stop> {
    let mut indexes = Vec::with_capacity(digests.len());
    let ended = each(registry, read, digests, cache, |digest, manifest| {
        indexes.push((digest, index(digest, manifest)?));
        Ok(())
    })
    .await;
    read.indexes.extend(indexes);
    ended
}

fn index(digest: Digest, manifest: &[u8]) -> Result<IndexManifest, Stop> {
    IndexManifest::read(manifest).map_err(|why| unread(digest, &why))
}

fn unread(digest: Digest, why: &str) -> Stop {
    Stop::manifest(format!("the manifest of {digest} cannot be read: {why}"))
}

fn ended(ended: Result<(), Stop>) -> Result<Option<Problem>, Trouble> {
    match ended {
        Ok(()) => Ok(None),
        Err(Stop::Here(problem)) => Ok(Some(problem)),
        Err(Stop::Everywhere(trouble)) => Err(trouble),
    }
}

/// Reads the manifests of single images into [`RepositorySnapshot::configs`] and [`RepositorySnapshot::layers`].
///
/// Reading a manifest counts as a pull, so this is for images that are in use anyway, or where nobody asks for pull
/// times. A manifest that cannot be had or read leaves no config and no layers; its problem is returned.
///
/// # Errors
/// A [`Trouble`], which no other repository would escape.
pub async fn read_images<R: Registry>(
    registry: &R,
    read: &mut RepositorySnapshot,
    digests: &BTreeSet<Digest>,
    cache: &ManifestCache,
) -> Result<Option<Problem>, Trouble> {
    let digests: Vec<Digest> = digests.iter().copied().collect();
    let mut images = Vec::new();
    let result = each(registry, read, &digests, cache, |digest, manifest| {
        images.push((digest, ImageManifest::read(manifest).map_err(|why| unread(digest, &why))?));
        Ok(())
    })
    .await;
    for (digest, image) in images {
        read.configs.extend(image.config.map(|config| (digest, config)));
        read.layers.extend(image.layers.map(|layers| (digest, layers)));
    }
    ended(result)
}

/// Reads the manifests of some images of a whole look, by repository, into [`RepositorySnapshot::configs`].
///
/// For those that [`configs_to_read`](crate::ecr::planning::configs_to_read) names. A manifest that cannot be had or read
/// explains nothing: whoever runs such a digest may run any image that was there.
///
/// # Errors
/// As an [`Error`](crate::error::Error), a [`Trouble`]: credentials that are not valid, or a cache that cannot be used.
pub async fn read_configs<R: Registry>(
    registry: &R,
    snapshot: &mut RegistrySnapshot,
    wanted: &BTreeMap<String, BTreeSet<Digest>>,
    cache: &ManifestCache,
) -> crate::error::Result<()> {
    for repository in &mut snapshot.repositories {
        let name = repository.repository.name.clone();
        if let Some(digests) = wanted.get(&name) {
            let read = read_images(registry, repository, digests, cache).await;
            read.map_err(|trouble| trouble.error(format!("read manifests of {name}")))?;
        }
    }
    Ok(())
}

/// Gives every manifest to `take`, from the cache or, once in its life, from the registry.
async fn each<R: Registry>(
    registry: &R,
    read: &mut RepositorySnapshot,
    digests: &[Digest],
    cache: &ManifestCache,
    mut take: impl FnMut(Digest, &[u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut missing = Vec::new();
    for digest in digests {
        match cache.get(*digest)? {
            Some(manifest) => take(*digest, &manifest)?,
            None => missing.push(*digest),
        }
    }
    let repository = read.repository.name.clone();
    for batch in missing.chunks(BATCH) {
        let answer = registry.manifests(&repository, batch).await?;
        // Whatever comes of the answer, these count as pulled now.
        read.manifests_read.extend(answer.found.keys());
        for digest in batch {
            let why = || match answer.failures.iter().find(|failure| failure.digest == Some(*digest)) {
                Some(failure) => format!("{}: {}", failure.code, failure.reason),
                None => "the answer does not hold it".to_owned(),
            };
            let Some(manifest) = answer.found.get(digest) else {
                return Err(Stop::manifest(format!("the manifest of {digest} cannot be had: {}", why())));
            };
            check(*digest, manifest).map_err(Stop::manifest)?;
            cache.keep(*digest, manifest)?;
            take(*digest, manifest)?;
        }
        refresh(registry, read, batch).await?;
    }
    Ok(())
}

/// Takes over the pull times after our own read, so that a later look at the same entries finds them unchanged.
///
/// Nothing else is taken: a tag that moved in between would be at neither its old place nor its new one.
async fn refresh<R: Registry>(registry: &R, read: &mut RepositorySnapshot, digests: &[Digest]) -> Result<(), Stop> {
    let fresh = entries::describe(registry, &read.repository.name, digests).await?;
    let pulled: HashMap<Digest, _> = fresh.into_iter().map(|entry| (entry.digest, entry.last_pulled_at)).collect();
    for entry in &mut read.entries {
        if let Some(pulled) = pulled.get(&entry.digest) {
            entry.last_pulled_at = entry.last_pulled_at.max(*pulled);
        }
    }
    Ok(())
}
