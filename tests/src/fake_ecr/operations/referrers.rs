//! `ListImageReferrers`: what names an image as its subject.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Listing, Operation, Refusal, Site, status_word, takes_status};
use crate::fake_ecr::store::Store;
use kubeguard_core::images::Digest;

/// `ListImageReferrers`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListImageReferrers {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub subject_id: Subject,
    #[serde(default)]
    pub filter: ReferrerFilter,
    pub next_token: Option<String>,
    pub max_results: Option<i64>,
}

/// The image whose referrers are asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    pub image_digest: String,
}

/// Which referrers; only active ones unless said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReferrerFilter {
    pub artifact_types: Option<Vec<String>>,
    pub artifact_status: Option<String>,
}

/// One row of [`ListImageReferrers`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrer {
    pub digest: String,
    pub media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Map<String, Value>>,
    pub artifact_status: String,
}

/// One page of [`ListImageReferrers`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrers {
    pub referrers: Vec<Referrer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Operation for ListImageReferrers {
    const NAME: &'static str = "ListImageReferrers";
    type Output = Referrers;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn listing(&self) -> Option<Listing<'_>> {
        Some(Listing { token: self.next_token.as_deref() })
    }

    fn next_token(output: &mut Referrers) -> Option<&mut Option<String>> {
        Some(&mut output.next_token)
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<Referrers, Refusal> {
        let repository = &*store.named_repository(at, &self.repository_name)?;
        let size = at.page_size(self.max_results, 20, 50)?;
        let from = at.place(Self::NAME, self.next_token.as_deref())?;
        let subject: Digest =
            self.subject_id.image_digest.parse().map_err(|_| Refusal::invalid("'subjectId.imageDigest'"))?;
        let kinds = self.filter.artifact_types.as_ref();
        if kinds.is_some_and(|kinds| kinds.is_empty() || kinds.len() > 5) {
            return Err(Refusal::invalid("'filter.artifactTypes': 1 to 5 types"));
        }
        let mut rows = repository.referrers(&subject, from).filter(|(_, entry)| {
            let kind = kinds.is_none_or(|kinds| entry.artifact_type.as_ref().is_some_and(|kind| kinds.contains(kind)));
            kind && takes_status(self.filter.artifact_status.as_deref(), &entry.status)
        });
        let (mut referrers, mut last) = (Vec::new(), from);
        for (place, entry) in rows.by_ref().take(size) {
            let read = entry.manifest.as_ref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
            referrers.push(Referrer {
                digest: entry.digest.to_string(),
                media_type: entry.media_type.clone().unwrap_or_default(),
                artifact_type: entry.artifact_type.clone(),
                size: entry.manifest.as_ref().map_or(0, |bytes| bytes.len() as u64),
                annotations: read.and_then(|manifest| manifest["annotations"].as_object().cloned()),
                artifact_status: status_word(&entry.status).to_owned(),
            });
            last = place;
        }
        let next_token = rows.next().map(|_| at.token(Self::NAME, last));
        Ok(Referrers { referrers, next_token })
    }
}
