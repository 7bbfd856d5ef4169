//! `BatchDeleteImage`: items in order, children behind their indexes, the last tag, and pairs as the test reads them.

use kubeguard_core::images::{Digest, RegistryId};
use serde::{Deserialize, Serialize};

use super::{ImageFailure, ImageIdentifier, Operation, Refusal, Site};
use crate::fake_ecr::journal::Change;
use crate::fake_ecr::repository::Repository;
use crate::fake_ecr::store::{Pairs, Store};

/// `BatchDeleteImage`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchDeleteImage {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub image_ids: Vec<ImageIdentifier>,
}

/// Answer of [`BatchDeleteImage`].
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    pub image_ids: Vec<ImageIdentifier>,
    pub failures: Vec<ImageFailure>,
}

/// What one id asks for, once it is clear what it names.
#[derive(Debug, Clone)]
enum Wish {
    /// The entry with all its tags.
    Everything(Digest),
    /// A tag; the entry goes with its last one, or stays without.
    Tag { tag: String, digest: Digest, keeps_entry: bool },
}

impl Wish {
    const fn digest(&self) -> &Digest {
        match self {
            Self::Everything(digest) | Self::Tag { digest, .. } => digest,
        }
    }
}

/// Reads an id. The error is the code and words of the item's failure.
fn wish(repository: &Repository, id: &ImageIdentifier, pairs: Pairs) -> Result<Wish, (&'static str, &'static str)> {
    const NOT_FOUND: (&str, &str) = ("ImageNotFound", "Requested image not found");
    let named: Option<Digest> = match &id.image_digest {
        Some(text) => Some(text.parse().map_err(|_| {
            ("InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex")
        })?),
        None => None,
    };
    if id.image_tag.as_deref().is_some_and(|tag| tag.is_empty() || tag.len() > 300) {
        return Err(("InvalidImageTag", "Invalid request parameters: image tag should satisfy the regex"));
    }
    let tagged = id.image_tag.as_ref().map(|tag| repository.tagged(tag).ok_or(NOT_FOUND)).transpose()?;
    match (named, id.image_tag.clone().zip(tagged)) {
        (None, None) => Err(("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null")),
        (Some(digest), None) => repository.entry(&digest).map(|_| Wish::Everything(digest)).ok_or(NOT_FOUND),
        (None, Some((tag, digest))) => Ok(Wish::Tag { tag, digest, keeps_entry: false }),
        (Some(named), Some((_, digest))) if named != digest => {
            Err(("ImageTagDoesNotMatchDigest", "Requested tag does not belong to the requested digest"))
        }
        (Some(_), Some((tag, digest))) => Ok(match pairs {
            Pairs::Tag => Wish::Tag { tag, digest, keeps_entry: false },
            Pairs::Image => Wish::Everything(digest),
            Pairs::TagOnly => Wish::Tag { tag, digest, keeps_entry: true },
        }),
    }
}

/// Carries a wish out in one repository; returns what changed, and what the answer lists.
fn carry_out(repository: &mut Repository, wish: &Wish) -> (Vec<Change>, Vec<ImageIdentifier>) {
    let digest = *wish.digest();
    let Some(entry) = repository.entry(&digest) else { return (Vec::new(), Vec::new()) };
    match wish {
        Wish::Everything(_) => {
            let tags = entry.tags.clone();
            let rows = tags.iter().map(|tag| ImageIdentifier::of(&digest, Some(tag))).collect();
            repository.remove(&digest);
            (vec![Change::Deleted(digest, tags)], rows)
        }
        Wish::Tag { tag, keeps_entry, .. } => {
            let last = entry.tags.len() == 1;
            if repository.tagged(tag) != Some(digest) {
                return (Vec::new(), Vec::new());
            }
            repository.untag(tag);
            let mut changes = vec![Change::Untagged(tag.clone(), digest)];
            if last && !keeps_entry {
                repository.remove(&digest);
                changes.push(Change::Deleted(digest, Vec::new()));
            }
            (changes, vec![ImageIdentifier::of(&digest, Some(tag))])
        }
    }
}

impl BatchDeleteImage {
    fn one(
        &self,
        store: &mut Store,
        at: &Site,
        id: &ImageIdentifier,
    ) -> Result<Vec<ImageIdentifier>, (String, String)> {
        let behaviour = store.behaviour.clone();
        let (code, words) = match store.look(&at.registry, &self.repository_name) {
            Some(repository) => match wish(repository, id, behaviour.pairs) {
                Ok(wish) => return self.grant(store, at, &wish),
                Err(failure) => failure,
            },
            None => ("ImageNotFound", "Requested image not found"),
        };
        Err((code.to_owned(), words.to_owned()))
    }

    fn grant(&self, store: &mut Store, at: &Site, wish: &Wish) -> Result<Vec<ImageIdentifier>, (String, String)> {
        let digest = *wish.digest();
        if let Some((_, code)) = at.refused_items.iter().find(|(refused, _)| *refused == digest) {
            return Err(((*code).to_owned(), "as the test wants it".to_owned()));
        }
        let (refuse_children, untagged_row) = (store.behaviour.refuse_children, store.behaviour.untagged_row);
        let Ok(repository) = store.named_repository(at, &self.repository_name) else { return Ok(Vec::new()) };
        let parents = repository.parents(&digest);
        let tags = repository.entry(&digest).map_or(0, |entry| entry.tags.len());
        let ends = match wish {
            Wish::Everything(_) => true,
            Wish::Tag { keeps_entry, .. } => tags == 1 && !keeps_entry,
        };
        if ends && refuse_children && !parents.is_empty() {
            let reason = format!("Requested image referenced by manifest list: {parents:?}");
            return Err(("ImageReferencedByManifestList".to_owned(), reason));
        }
        let (changes, mut rows) = carry_out(repository, wish);
        if rows.is_empty() && untagged_row {
            rows.push(ImageIdentifier::of(&digest, None));
        }
        for change in changes {
            store.effect(&at.registry, &self.repository_name, change);
        }
        for copy in store.copies_of_deletions(&at.registry, &self.repository_name) {
            self.replicate(store, &copy, wish);
        }
        Ok(rows)
    }

    fn replicate(&self, store: &mut Store, copy: &RegistryId, wish: &Wish) {
        let Some(repository) = store.registry(copy).repositories.get_mut(&self.repository_name) else { return };
        for change in carry_out(repository, wish).0 {
            store.effect(copy, &self.repository_name, change);
        }
    }
}

impl Operation for BatchDeleteImage {
    const NAME: &'static str = "BatchDeleteImage";
    const MUTATES: bool = true;
    type Output = Deleted;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn ids(&self) -> Vec<ImageIdentifier> {
        self.image_ids.clone()
    }

    fn failures(output: &Deleted) -> Vec<String> {
        output.failures.iter().map(|failure| failure.failure_code.clone()).collect()
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<Deleted, Refusal> {
        if self.image_ids.is_empty() || self.image_ids.len() > 100 {
            return Err(Refusal::invalid("'imageIds': 1 to 100 ids"));
        }
        store.named_repository(at, &self.repository_name)?;
        let mut answer = Deleted::default();
        for id in &self.image_ids {
            match self.one(store, at, id) {
                Ok(rows) => answer.image_ids.extend(rows),
                Err((code, reason)) => answer.failures.push(ImageFailure::new(id, &code, &reason)),
            }
        }
        Ok(answer)
    }
}
