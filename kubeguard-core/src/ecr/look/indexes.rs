//! Manifests that a look needs: of every index, once; of single images only where somebody asks.

use std::collections::{BTreeMap, HashMap};

use super::{Problem, Stop, Trouble, entries};
use crate::ecr::manifests::{ImageManifest, ManifestCache, check};
use crate::ecr::registry::{BATCH, Registry};
use crate::ecr::snapshot::{Entry, IndexManifest, RepositorySnapshot};
use crate::images::Digest;

const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// Reads what the indexes of a repository list.
pub(super) async fn read<R: Registry>(
    registry: &R,
    read: &mut RepositorySnapshot,
    cache: &ManifestCache,
) -> Result<(), Stop> {
    let is_index =
        |entry: &&Entry| entry.media_type.as_ref().is_some_and(|media_type| INDEX_TYPES.contains(&media_type.as_str()));
    let digests: Vec<Digest> = read.entries.iter().filter(is_index).map(|entry| entry.digest).collect();
    let mut indexes = BTreeMap::new();
    each(registry, read, &digests, cache, |digest, manifest| {
        indexes.insert(digest, IndexManifest::read(manifest)?);
        Ok(())
    })
    .await?;
    read.indexes = indexes;
    Ok(())
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
    digests: &[Digest],
    cache: &ManifestCache,
) -> Result<Option<Problem>, Trouble> {
    let mut images = Vec::new();
    let ended = each(registry, read, digests, cache, |digest, manifest| {
        images.push((digest, ImageManifest::read(manifest)?));
        Ok(())
    })
    .await;
    for (digest, image) in images {
        read.configs.extend(image.config.map(|config| (digest, config)));
        read.layers.extend(image.layers.map(|layers| (digest, layers)));
    }
    match ended {
        Ok(()) => Ok(None),
        Err(Stop::Here(problem)) => Ok(Some(problem)),
        Err(Stop::Everywhere(trouble)) => Err(trouble),
    }
}

/// Gives every manifest to `take`, from the cache or, once in its life, from the registry.
async fn each<R: Registry>(
    registry: &R,
    read: &mut RepositorySnapshot,
    digests: &[Digest],
    cache: &ManifestCache,
    mut take: impl FnMut(Digest, &[u8]) -> Result<(), String>,
) -> Result<(), Stop> {
    let mut parse = |digest: Digest, manifest: &[u8]| {
        take(digest, manifest).map_err(|why| Stop::manifest(format!("the manifest of {digest} cannot be read: {why}")))
    };
    let mut missing = Vec::new();
    for digest in digests {
        match cache.get(*digest)? {
            Some(manifest) => parse(*digest, &manifest)?,
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
            parse(*digest, manifest)?;
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
