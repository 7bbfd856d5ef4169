//! `BatchGetImage` and `PutImage`. Reading a manifest counts as a pull.

use bytes::Bytes;
use kubeguard_core::ecr::snapshot::Status;
use kubeguard_core::images::Digest;
use serde::{Deserialize, Serialize};

use super::images::find;
use super::{ImageFailure, ImageIdentifier, Operation, Refusal, Site};
use crate::fake_ecr::journal::Change;
use crate::fake_ecr::repository::Entry;
use crate::fake_ecr::store::Store;

/// `BatchGetImage`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchGetImage {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub image_ids: Vec<ImageIdentifier>,
    pub accepted_media_types: Option<Vec<String>>,
}

/// One image of an answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the fields are AWS' own")]
pub(crate) struct Image {
    pub registry_id: String,
    pub repository_name: String,
    pub image_id: ImageIdentifier,
    pub image_manifest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_media_type: Option<String>,
}

/// Answer of [`BatchGetImage`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Images {
    pub images: Vec<Image>,
    pub failures: Vec<ImageFailure>,
}

impl BatchGetImage {
    /// Returns why an item is refused.
    fn refuse(&self, entry: &Entry, store: &Store, at: &Site) -> Option<&'static str> {
        let named = at.refused_items.iter().find(|(digest, _)| *digest == entry.digest);
        let kinds = self.accepted_media_types.as_ref();
        let accepted = kinds.is_none_or(|kinds| entry.media_type.as_ref().is_none_or(|kind| kinds.contains(kind)));
        let archived = entry.status != Status::Active && !store.behaviour.archived_manifests;
        match named {
            Some((_, code)) => Some(*code),
            None if archived || !accepted => Some("ImageNotFound"),
            None => entry.manifest.is_none().then_some("ImageInaccessible"),
        }
    }
}

impl Operation for BatchGetImage {
    const NAME: &'static str = "BatchGetImage";
    type Output = Images;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn ids(&self) -> Vec<ImageIdentifier> {
        self.image_ids.clone()
    }

    fn failures(output: &Images) -> Vec<String> {
        output.failures.iter().map(|failure| failure.failure_code.clone()).collect()
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<Images, Refusal> {
        if self.image_ids.is_empty() || self.image_ids.len() > 100 {
            return Err(Refusal::invalid("'imageIds': 1 to 100 ids"));
        }
        let recorded = !store.registry(&at.registry).exclusions.contains(&at.caller);
        let now = store.now();
        store.named_repository(at, &self.repository_name)?;
        let mut answer = Images { images: Vec::new(), failures: Vec::new() };
        for id in &self.image_ids {
            let repository = store.look(&at.registry, &self.repository_name);
            let Some(entry) = repository.and_then(|repository| find(repository, id)) else {
                answer.failures.push(ImageFailure::new(id, "ImageNotFound", "Requested image not found"));
                continue;
            };
            let refused = self.refuse(entry, store, at);
            let (Some(manifest), None) = (&entry.manifest, refused) else {
                let code = refused.unwrap_or("ImageInaccessible");
                answer.failures.push(ImageFailure::new(id, code, "The image cannot be had"));
                continue;
            };
            let digest = entry.digest;
            answer.images.push(Image {
                registry_id: at.registry.account.clone(),
                repository_name: self.repository_name.clone(),
                image_id: ImageIdentifier::of(&digest, id.image_tag.as_deref()),
                image_manifest: String::from_utf8_lossy(manifest).into_owned(),
                image_manifest_media_type: entry.media_type.clone(),
            });
            if let Some(entry) = store.named_repository(at, &self.repository_name)?.entry_mut(&digest) {
                entry.pulled_at = if recorded { Some(now) } else { entry.pulled_at };
            }
        }
        Ok(answer)
    }
}

/// `PutImage`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutImage {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub image_manifest: String,
    pub image_manifest_media_type: Option<String>,
    pub image_tag: Option<String>,
    pub image_digest: Option<String>,
}

/// Answer of [`PutImage`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PutAnswer {
    pub image: Image,
}

impl PutImage {
    fn entry(&self) -> Result<Entry, Refusal> {
        let bytes = Bytes::from(self.image_manifest.clone());
        let entry = Entry::of_manifest(bytes, self.image_manifest_media_type.as_deref());
        let entry = entry.map_err(|why| Refusal::invalid(&format!("'imageManifest': {why}")))?;
        let digest: Option<Digest> = self.image_digest.as_deref().and_then(|text| text.parse().ok());
        if self.image_digest.is_some() && digest != Some(entry.digest) {
            let words = "The digest of the image manifest does not match the given one";
            return Err(Refusal::new("ImageDigestDoesNotMatchException", words));
        }
        Ok(entry)
    }
}

impl Operation for PutImage {
    const NAME: &'static str = "PutImage";
    const MUTATES: bool = true;
    type Output = PutAnswer;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn ids(&self) -> Vec<ImageIdentifier> {
        vec![ImageIdentifier { image_digest: self.image_digest.clone(), image_tag: self.image_tag.clone() }]
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<PutAnswer, Refusal> {
        let now = store.now();
        let mut entry = self.entry()?;
        let digest = entry.digest;
        let repository = store.named_repository(at, &self.repository_name)?;
        let missing: Vec<&Digest> = entry.children.iter().filter(|child| repository.entry(child).is_none()).collect();
        if !missing.is_empty() {
            let words = format!("Images with digests {missing:?} referenced by the manifest do not exist");
            return Err(Refusal::new("ReferencedImagesNotFoundException", &words));
        }
        let before = self.image_tag.as_deref().and_then(|tag| repository.tagged(tag));
        let known = repository.entry(&digest).is_some_and(|entry| entry.status == Status::Active);
        if known && (before == Some(digest) || self.image_tag.is_none()) {
            let words = format!("Image with digest '{digest}' already exists");
            return Err(Refusal::new("ImageAlreadyExistsException", &words));
        }
        if before.is_some_and(|before| before != digest) && repository.mutability.starts_with("IMMUTABLE") {
            let words = "The tag already exists, and tags of the repository are immutable";
            return Err(Refusal::new("ImageTagAlreadyExistsException", words));
        }
        let largest = entry.children.iter().filter_map(|child| repository.entry(child)?.size).max();
        entry.size = largest.or(entry.size);
        entry.pushed_at = Some(now);
        let (media_type, new) = (entry.media_type.clone(), repository.entry(&digest).is_none());
        let mut changes = Vec::new();
        if new {
            repository.insert(entry);
            changes.push(Change::Pushed(digest));
        } else if let Some(entry) = repository.entry_mut(&digest).filter(|entry| entry.status != Status::Active) {
            // A push brings an archived image back at once.
            (entry.status, entry.active_from, entry.activated_at) = (Status::Active, None, Some(now));
            changes.push(Change::Restored(digest));
        }
        if let Some(tag) = &self.image_tag {
            if let Some(before) = repository.tag(tag, &digest) {
                changes.push(Change::Untagged(tag.clone(), before));
            }
            changes.push(Change::Tagged(tag.clone(), digest));
        }
        for change in changes {
            store.effect(&at.registry, &self.repository_name, change);
        }
        Ok(PutAnswer {
            image: Image {
                registry_id: at.registry.account.clone(),
                repository_name: self.repository_name.clone(),
                image_id: ImageIdentifier::of(&digest, self.image_tag.as_deref()),
                image_manifest: self.image_manifest.clone(),
                image_manifest_media_type: media_type,
            },
        })
    }
}
