//! From the SDK's types to ours. What is not known here stays as it came.

use aws_sdk_ecr::primitives::DateTime;
use aws_sdk_ecr::types as sdk;
use jiff::Timestamp;

use crate::ecr::registry::{ItemFailure, PreviewAction, PreviewResult, PreviewStatus};
use crate::ecr::snapshot::{Entry, MediaType, PullThroughRule, Repository, Status};
use crate::images::Digest;

/// Reads a row of `DescribeImages`; `Err` names the row whose digest, or that of what it is attached to, cannot be read.
pub(super) fn entry(row: sdk::ImageDetail) -> Result<Entry, String> {
    let text = row.image_digest.unwrap_or_default();
    let Ok(digest) = text.parse() else {
        return Err(format!("digest {text:?}, tags {:?}", row.image_tags.unwrap_or_default()));
    };
    let subject = match row.subject_manifest_digest.as_deref().filter(|text| !text.is_empty()).map(str::parse) {
        Some(Err(_)) => {
            return Err(format!("subject {:?} of {digest}", row.subject_manifest_digest.unwrap_or_default()));
        }
        Some(Ok(subject)) => Some(subject),
        None => None,
    };
    let mut tags = row.image_tags.unwrap_or_default();
    tags.sort_unstable();
    let media_type = |text: Option<String>| text.map(|text| MediaType::new(&text));
    Ok(Entry {
        digest,
        tags,
        pushed_at: row.image_pushed_at.and_then(time),
        bytes: row.image_size_in_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        media_type: media_type(row.image_manifest_media_type),
        artifact_type: media_type(row.artifact_media_type),
        last_pulled_at: row.last_recorded_pull_time.and_then(time),
        subject,
        status: row.image_status.as_ref().map_or(Status::Active, status),
        last_archived_at: row.last_archived_at.and_then(time),
        last_activated_at: row.last_activated_at.and_then(time),
        conflicting: false,
    })
}

pub(super) fn status(status: &sdk::ImageStatus) -> Status {
    match status {
        sdk::ImageStatus::Active => Status::Active,
        sdk::ImageStatus::Archived => Status::Archived,
        sdk::ImageStatus::Activating => Status::Activating,
        other => Status::Other(other.as_str().to_owned()),
    }
}

/// Returns a repository; `None` when the row does not name it.
pub(super) fn repository(row: sdk::Repository) -> Option<Repository> {
    Some(Repository {
        name: row.repository_name?,
        arn: row.repository_arn?,
        immutable_tags: row
            .image_tag_mutability
            .is_some_and(|mutability| mutability != sdk::ImageTagMutability::Mutable),
    })
}

/// Returns a pull-through rule; `None` when the row does not name prefix and upstream.
pub(super) fn pull_through_rule(row: sdk::PullThroughCacheRule) -> Option<PullThroughRule> {
    Some(PullThroughRule {
        prefix: row.ecr_repository_prefix?,
        upstream: row.upstream_registry_url?,
        upstream_prefix: row.upstream_repository_prefix,
    })
}

pub(super) fn item_failure(row: sdk::ImageFailure) -> ItemFailure {
    let id = row.image_id;
    ItemFailure {
        digest: id.as_ref().and_then(|id| digest(id.image_digest.as_deref())),
        tag: id.and_then(|id| id.image_tag),
        code: row.failure_code.map_or_else(|| "Unknown".to_owned(), |code| code.as_str().to_owned()),
        reason: row.failure_reason.unwrap_or_default(),
    }
}

pub(super) fn preview_status(status: Option<&sdk::LifecyclePolicyPreviewStatus>) -> PreviewStatus {
    match status {
        Some(sdk::LifecyclePolicyPreviewStatus::InProgress) => PreviewStatus::InProgress,
        Some(sdk::LifecyclePolicyPreviewStatus::Complete) => PreviewStatus::Complete,
        Some(sdk::LifecyclePolicyPreviewStatus::Expired) => PreviewStatus::Expired,
        _ => PreviewStatus::Failed,
    }
}

pub(super) fn preview_result(row: sdk::LifecyclePolicyPreviewResult) -> PreviewResult {
    let transition = row.action.and_then(|action| action.r#type) == Some(sdk::ImageActionType::Transition);
    PreviewResult {
        digest: digest(row.image_digest.as_deref()),
        tags: row.image_tags.unwrap_or_default(),
        priority: row.applied_rule_priority.map_or(0, i64::from),
        action: if transition { PreviewAction::Transition } else { PreviewAction::Expire },
    }
}

pub(super) fn digest(text: Option<&str>) -> Option<Digest> {
    text?.parse().ok()
}

fn time(time: DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}
