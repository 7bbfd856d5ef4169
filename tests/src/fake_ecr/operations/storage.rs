//! `UpdateImageStorageClass`: one image a call; an index before its children, and back through `ACTIVATING`.

use kubeguard_core::ecr::snapshot::Status;
use serde::{Deserialize, Serialize};

use super::images::find;
use super::{ImageIdentifier, Operation, Refusal, Site, status_word};
use crate::fake_ecr::journal::Change;
use crate::fake_ecr::store::Store;

/// `UpdateImageStorageClass`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateImageStorageClass {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub image_id: ImageIdentifier,
    pub target_storage_class: String,
}

/// Answer of [`UpdateImageStorageClass`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stored {
    pub registry_id: String,
    pub repository_name: String,
    pub image_id: ImageIdentifier,
    pub image_status: String,
}

fn not_supported(words: &str) -> Refusal {
    Refusal::new("ImageStorageClassUpdateNotSupportedException", words)
}

impl Operation for UpdateImageStorageClass {
    const NAME: &'static str = "UpdateImageStorageClass";
    const MUTATES: bool = true;
    type Output = Stored;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn ids(&self) -> Vec<ImageIdentifier> {
        vec![self.image_id.clone()]
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<Stored, Refusal> {
        let (now, wait) = (store.now(), store.behaviour.activation);
        let repository = store.named_repository(at, &self.repository_name)?;
        let found = find(repository, &self.image_id).map(|entry| entry.digest);
        let digest = found.ok_or_else(|| Refusal::new("ImageNotFoundException", "The image does not exist"))?;
        if at.refused_items.iter().any(|(refused, _)| *refused == digest) {
            return Err(not_supported("The storage class of this image cannot be updated"));
        }
        let parents = repository.parents(&digest);
        let live = |parent| repository.entry(parent).is_some_and(|parent| parent.status == Status::Active);
        let has_live_parent = parents.iter().any(live);
        let Some(entry) = repository.entry_mut(&digest) else { return Err(Refusal::server()) };
        let change = match (self.target_storage_class.as_str(), &entry.status) {
            ("ARCHIVE", Status::Active) if has_live_parent => {
                let words = format!("Requested image referenced by manifest list: {parents:?}");
                return Err(not_supported(&words));
            }
            ("ARCHIVE", Status::Active) => {
                (entry.status, entry.archived_at) = (Status::Archived, Some(now));
                Some(Change::Archived(digest))
            }
            ("ARCHIVE", Status::Activating) => return Err(not_supported("The image is being activated")),
            ("STANDARD", Status::Archived) => {
                let from = now.checked_add(wait).expect("a time that can be written");
                (entry.status, entry.active_from) = (Status::Activating, Some(from));
                Some(Change::Restored(digest))
            }
            ("ARCHIVE" | "STANDARD", _) => None,
            _ => return Err(Refusal::new("ValidationException", "'targetStorageClass': STANDARD or ARCHIVE")),
        };
        let image_status = status_word(&entry.status).to_owned();
        if let Some(change) = change {
            store.effect(&at.registry, &self.repository_name, change);
        }
        Ok(Stored {
            registry_id: at.registry.account.clone(),
            repository_name: self.repository_name.clone(),
            image_id: ImageIdentifier::of(&digest, self.image_id.image_tag.as_deref()),
            image_status,
        })
    }
}
