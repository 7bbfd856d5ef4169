//! `DescribeImages` and `ListImages`: only active images unless asked for others; one unknown id fails the whole call.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ImageFilter, ImageIdentifier, Listing, Operation, Refusal, Site, status_word, write_seconds};
use crate::fake_ecr::repository::{Entry, Repository};
use crate::fake_ecr::store::Store;

/// `DescribeImages`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeImages {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub image_ids: Option<Vec<ImageIdentifier>>,
    pub next_token: Option<String>,
    pub max_results: Option<i64>,
    #[serde(default)]
    pub filter: ImageFilter,
}

/// One row of [`DescribeImages`].
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageDetail {
    pub registry_id: String,
    pub repository_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size_in_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_seconds")]
    pub image_pushed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_seconds")]
    pub last_recorded_pull_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_manifest_digest: Option<String>,
    pub image_status: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_seconds")]
    pub last_archived_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_seconds")]
    pub last_activated_at: Option<Timestamp>,
}

/// One page of [`DescribeImages`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribedImages {
    pub image_details: Vec<ImageDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

fn detail(at: &Site, repository: &str, entry: &Entry) -> ImageDetail {
    ImageDetail {
        registry_id: at.registry.account.clone(),
        repository_name: repository.to_owned(),
        image_digest: Some(entry.digest.to_string()),
        image_tags: entry.tags.clone(),
        image_size_in_bytes: entry.size,
        image_pushed_at: entry.pushed_at,
        image_manifest_media_type: entry.media_type.clone(),
        artifact_media_type: entry.artifact_type.clone(),
        last_recorded_pull_time: entry.pulled_at,
        subject_manifest_digest: entry.subject.map(|subject| subject.to_string()),
        image_status: status_word(&entry.status).to_owned(),
        last_archived_at: entry.archived_at,
        last_activated_at: entry.activated_at,
    }
}

/// Finds what an id names; a digest and a tag must agree.
pub(super) fn find<'a>(repository: &'a Repository, id: &ImageIdentifier) -> Option<&'a Entry> {
    let tagged = id.image_tag.as_deref().map(|tag| repository.tagged(tag));
    let named = id.image_digest.as_deref().map(|digest| digest.parse().ok());
    let digest = match (tagged, named) {
        (Some(tagged), Some(named)) if tagged != named => None,
        (Some(digest), _) | (None, Some(digest)) => digest,
        (None, None) => None,
    };
    repository.entry(&digest?)
}

impl Operation for DescribeImages {
    const NAME: &'static str = "DescribeImages";
    type Output = DescribedImages;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn ids(&self) -> Vec<ImageIdentifier> {
        self.image_ids.clone().unwrap_or_default()
    }

    fn listing(&self) -> Option<Listing<'_>> {
        self.image_ids.is_none().then_some(Listing { token: self.next_token.as_deref() })
    }

    fn next_token(output: &mut DescribedImages) -> Option<&mut Option<String>> {
        Some(&mut output.next_token)
    }

    fn add_nameless_row(output: &mut DescribedImages) {
        output.image_details.push(ImageDetail { image_status: "ACTIVE".to_owned(), ..ImageDetail::default() });
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<DescribedImages, Refusal> {
        let name = &self.repository_name;
        let repository = &*store.named_repository(at, name)?;
        if let Some(ids) = &self.image_ids {
            if ids.is_empty() || ids.len() > 100 || self.max_results.is_some() || self.next_token.is_some() {
                return Err(Refusal::invalid("'imageIds': 1 to 100 ids, and no paging"));
            }
            let mut details = Vec::with_capacity(ids.len());
            for id in ids {
                let found = find(repository, id).filter(|entry| self.filter.takes(entry));
                let found = found.ok_or_else(|| Refusal {
                    code: "ImageNotFoundException".to_owned(),
                    message: format!(
                        "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the \
                         repository with name '{name}' in the registry with id '{}'",
                        id.image_digest.as_deref().unwrap_or("null"),
                        id.image_tag.as_deref().unwrap_or("null"),
                        at.registry.account
                    ),
                })?;
                details.push(detail(at, name, found));
            }
            return Ok(DescribedImages { image_details: details, next_token: None });
        }
        let size = at.page_size(self.max_results, 100, 1000)?;
        let from = at.place(Self::NAME, self.next_token.as_deref())?;
        let mut rows = repository.after(from).filter(|(_, entry)| self.filter.takes(entry));
        let (mut details, mut last) = (Vec::with_capacity(size.min(repository.len())), from);
        for (place, entry) in rows.by_ref().take(size) {
            details.push(detail(at, name, entry));
            last = place;
        }
        let next_token = rows.next().map(|_| at.token(Self::NAME, last));
        Ok(DescribedImages { image_details: details, next_token })
    }
}

/// `ListImages`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListImages {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub next_token: Option<String>,
    pub max_results: Option<i64>,
    #[serde(default)]
    pub filter: ImageFilter,
}

/// One page of [`ListImages`]: a row for each tag, and one for what has none.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedImages {
    pub image_ids: Vec<ImageIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Bits of a place that count the tags of one entry; an image has at most 1,000.
const TAG_BITS: u32 = 12;

impl Operation for ListImages {
    const NAME: &'static str = "ListImages";
    type Output = ListedImages;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn listing(&self) -> Option<Listing<'_>> {
        Some(Listing { token: self.next_token.as_deref() })
    }

    fn next_token(output: &mut ListedImages) -> Option<&mut Option<String>> {
        Some(&mut output.next_token)
    }

    fn add_nameless_row(output: &mut ListedImages) {
        output.image_ids.push(ImageIdentifier::default());
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<ListedImages, Refusal> {
        let repository = &*store.named_repository(at, &self.repository_name)?;
        let size = at.page_size(self.max_results, 100, 1000)?;
        let from = at.place(Self::NAME, self.next_token.as_deref())?;
        // The entry that the last page ended in may have more tags.
        let entries = repository.after((from >> TAG_BITS).saturating_sub(1));
        let rows = entries.filter(|(_, entry)| self.filter.takes(entry)).flat_map(|(place, entry)| {
            let tags = entry.tags.iter().map(|tag| Some(tag.as_str()));
            let untagged = entry.tags.is_empty().then_some(None);
            let numbered = tags.chain(untagged).zip(1_u64..);
            numbered.map(move |(tag, number)| ((place << TAG_BITS) + number, ImageIdentifier::of(&entry.digest, tag)))
        });
        let mut rows = rows.skip_while(|(place, _)| *place <= from);
        let (mut image_ids, mut last) = (Vec::with_capacity(size.min(repository.len())), from);
        for (place, id) in rows.by_ref().take(size) {
            image_ids.push(id);
            last = place;
        }
        let next_token = rows.next().map(|_| at.token(Self::NAME, last));
        Ok(ListedImages { image_ids, next_token })
    }
}
