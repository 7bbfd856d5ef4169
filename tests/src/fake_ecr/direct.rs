//! The store as the library's own registry: the same calls, faults and journal, without HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use kubeguard_core::ecr::registry as core;
use kubeguard_core::ecr::registry::{CallError, ErrorKind};
use kubeguard_core::ecr::snapshot::{Entry, MediaType, PullThroughRule, ReplicationRule, Repository, Status};
use kubeguard_core::images::{Digest, RegistryId};
use serde_json::Value;

use super::lifecycle::{GetLifecyclePolicy, GetLifecyclePolicyPreview, StartLifecyclePolicyPreview};
use super::operations::delete::BatchDeleteImage;
use super::operations::images::{DescribeImages, ImageDetail};
use super::operations::manifests::BatchGetImage;
use super::operations::repositories::{DescribeRepositories, ListTagsForResource, RepositoryRow};
use super::operations::settings::{DescribePullThroughCacheRules, DescribeRegistry, ListPullTimeUpdateExclusions};
use super::operations::storage::UpdateImageStorageClass;
use super::operations::sts::GetCallerIdentity;
use super::operations::{ImageFailure, ImageFilter, ImageIdentifier, Operation, Refusal};
use super::store::{Caller, Failed, Store};

/// How often a read is made that is throttled or gets no answer.
const ATTEMPTS: usize = 8;

/// One caller's way to one registry of a store.
#[derive(Clone)]
pub struct Direct {
    store: Arc<Mutex<Store>>,
    caller: Caller,
    id: RegistryId,
}

impl Direct {
    pub(super) const fn new(store: Arc<Mutex<Store>>, caller: Caller, id: RegistryId) -> Self {
        Self { store, caller, id }
    }

    /// Makes a call once.
    async fn once<O: Operation>(&self, about: &str, input: &O) -> Result<O::Output, CallError> {
        let reply = self.store.lock().expect("no assertion inside of a call has failed").perform(&self.caller, input);
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        reply.outcome.map_err(|failed| error(O::NAME, about, failed))
    }

    /// Makes a call again where that may help. Nobody waits in between: the store's clock stands still.
    async fn read<O: Operation>(&self, about: &str, input: &O) -> Result<O::Output, CallError> {
        let mut attempt = 1;
        loop {
            match self.once(about, input).await {
                Err(error) if attempt < ATTEMPTS && may_pass(&error) => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    fn account(&self) -> String {
        self.id.account.clone()
    }
}

fn repository(row: RepositoryRow) -> Repository {
    let immutable_tags = row.image_tag_mutability != "MUTABLE";
    Repository { name: row.repository_name, arn: row.repository_arn, immutable_tags }
}

const fn may_pass(error: &CallError) -> bool {
    matches!(error.kind, ErrorKind::Throttled | ErrorKind::Unknown)
}

fn error(operation: &'static str, about: &str, failed: Failed) -> CallError {
    let (kind, code, message) = match failed {
        Failed::Refused(Refusal { code, message }) => (kind(&code), Some(code), message),
        Failed::Closed => (ErrorKind::Unknown, None, "the connection was closed".to_owned()),
        Failed::UnknownOperation => (ErrorKind::Unsupported, None, "HTTP status 500 without a reason".to_owned()),
        Failed::Garbage => (ErrorKind::Unknown, None, "the answer cannot be read".to_owned()),
    };
    CallError { operation, about: about.to_owned(), kind, code, message }
}

/// What a code of the store's means; the many others that AWS has are the business of the SDK's side.
fn kind(code: &str) -> ErrorKind {
    match code {
        "ThrottlingException" | "LimitExceededException" => ErrorKind::Throttled,
        "AccessDeniedException" => ErrorKind::AccessDenied,
        "ExpiredTokenException" | "UnrecognizedClientException" => ErrorKind::Credentials,
        "ImageNotFoundException" => ErrorKind::ImageNotFound,
        "RepositoryNotFoundException" => ErrorKind::RepositoryNotFound,
        "LifecyclePolicyNotFoundException" | "LifecyclePolicyPreviewNotFoundException" => ErrorKind::LifecycleNotFound,
        "LifecyclePolicyPreviewInProgressException" => ErrorKind::PreviewInProgress,
        "ImageStorageClassUpdateNotSupportedException" => ErrorKind::StorageClassNotSupported,
        "InvalidParameterException" | "ValidationException" => ErrorKind::Invalid,
        "ServerException" => ErrorKind::Unknown,
        _ => ErrorKind::Refused,
    }
}

fn unusable(operation: &'static str, about: &str, why: &str) -> CallError {
    CallError { operation, about: about.to_owned(), kind: ErrorKind::Unknown, code: None, message: why.to_owned() }
}

fn entry(row: ImageDetail) -> Result<Entry, String> {
    let digest = row.image_digest.as_deref().and_then(|text| text.parse().ok());
    let mut tags = row.image_tags;
    tags.sort_unstable();
    let media_type = |text: Option<String>| text.map(|text| MediaType::new(&text));
    Ok(Entry {
        digest: digest.ok_or_else(|| format!("a row without a digest, tags {tags:?}"))?,
        tags,
        pushed_at: row.image_pushed_at,
        bytes: row.image_size_in_bytes,
        media_type: media_type(row.image_manifest_media_type),
        artifact_type: media_type(row.artifact_media_type),
        last_pulled_at: row.last_recorded_pull_time,
        subject: row.subject_manifest_digest.and_then(|text| text.parse().ok()),
        status: status(&row.image_status),
        last_archived_at: row.last_archived_at,
        last_activated_at: row.last_activated_at,
        conflicting: false,
    })
}

fn status(word: &str) -> Status {
    match word {
        "ACTIVE" => Status::Active,
        "ARCHIVED" => Status::Archived,
        "ACTIVATING" => Status::Activating,
        other => Status::Other(other.to_owned()),
    }
}

fn item_failure(failure: ImageFailure) -> core::ItemFailure {
    core::ItemFailure {
        digest: failure.image_id.image_digest.and_then(|text| text.parse().ok()),
        tag: failure.image_id.image_tag,
        code: failure.failure_code,
        reason: failure.failure_reason,
    }
}

fn by_digest(digests: &[Digest]) -> Vec<ImageIdentifier> {
    digests.iter().map(|digest| ImageIdentifier::of(digest, None)).collect()
}

/// One rule for each destination, as the library has them.
fn destinations(rule: &Value) -> Vec<ReplicationRule> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let filters = rule["repositoryFilters"].as_array().into_iter().flatten();
    let prefixes: Vec<String> = filters.map(|filter| text(&filter["filter"])).collect();
    let to = rule["destinations"].as_array().into_iter().flatten();
    let rules = to.map(|to| ReplicationRule {
        destination: RegistryId::new(&text(&to["registryId"]), &text(&to["region"])),
        prefixes: prefixes.clone(),
        deletes: rule["deleteReplication"]["enabled"] == true,
    });
    rules.collect()
}

impl core::Registry for Direct {
    fn id(&self) -> &RegistryId {
        &self.id
    }

    fn now(&self) -> Option<Timestamp> {
        Some(self.store.lock().expect("no assertion inside of a call has failed").now())
    }

    async fn caller(&self) -> Result<core::Caller, CallError> {
        let identity = self.read("", &GetCallerIdentity {}).await?;
        Ok(core::Caller { account: identity.account, arn: identity.arn })
    }

    async fn repository(&self, name: &str) -> Result<Option<Repository>, CallError> {
        let input = DescribeRepositories {
            registry_id: Some(self.account()),
            repository_names: Some(vec![name.to_owned()]),
            ..DescribeRepositories::default()
        };
        match self.read(name, &input).await {
            Ok(answer) => Ok(answer.repositories.into_iter().next().map(repository)),
            Err(error) if error.kind == ErrorKind::RepositoryNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn repositories(&self) -> Result<Vec<Repository>, CallError> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let input = DescribeRepositories {
                registry_id: Some(self.account()),
                max_results: Some(1000),
                next_token: next,
                ..DescribeRepositories::default()
            };
            let page = self.read("", &input).await?;
            all.extend(page.repositories.into_iter().map(repository));
            next = page.next_token;
            if next.is_none() {
                all.sort_unstable_by(|a: &Repository, b| a.name.cmp(&b.name));
                return Ok(all);
            }
        }
    }

    async fn repository_tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CallError> {
        let answer = self.read(arn, &ListTagsForResource { resource_arn: arn.to_owned() }).await?;
        Ok(answer.tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn entries(&self, repository: &str, next: Option<String>) -> Result<core::EntryPage, CallError> {
        let input = DescribeImages {
            registry_id: Some(self.account()),
            repository_name: repository.to_owned(),
            image_ids: None,
            next_token: next,
            max_results: Some(1000),
            filter: any_status(),
        };
        let page = self.read(repository, &input).await?;
        let next = page.next_token.filter(|token| !token.is_empty());
        Ok(core::EntryPage { entries: page.image_details.into_iter().map(entry).collect(), next })
    }

    async fn describe(&self, repository: &str, digests: &[Digest]) -> Result<Vec<Entry>, CallError> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let input = DescribeImages {
            registry_id: Some(self.account()),
            repository_name: repository.to_owned(),
            image_ids: Some(by_digest(digests)),
            filter: any_status(),
            ..DescribeImages::default()
        };
        let rows = self.read(repository, &input).await?.image_details.into_iter().map(entry);
        rows.collect::<Result<_, _>>().map_err(|row| unusable("DescribeImages", repository, &row))
    }

    async fn manifests(&self, repository: &str, digests: &[Digest]) -> Result<core::Manifests, CallError> {
        let input = BatchGetImage {
            registry_id: Some(self.account()),
            repository_name: repository.to_owned(),
            image_ids: by_digest(digests),
            accepted_media_types: None,
        };
        let answer = self.read(repository, &input).await?;
        let found = answer.images.into_iter().filter_map(|image| {
            let digest = image.image_id.image_digest?.parse().ok()?;
            Some((digest, Bytes::from(image.image_manifest)))
        });
        Ok(core::Manifests {
            found: found.collect(),
            failures: answer.failures.into_iter().map(item_failure).collect(),
        })
    }

    async fn replication(&self) -> Result<core::Replication, CallError> {
        let answer = self.read("", &DescribeRegistry {}).await?;
        let rules = answer["replicationConfiguration"]["rules"].as_array().into_iter().flatten();
        Ok(core::Replication {
            account: answer["registryId"].as_str().unwrap_or_default().to_owned(),
            rules: rules.flat_map(destinations).collect(),
        })
    }

    async fn pull_through_rules(&self) -> Result<Vec<PullThroughRule>, CallError> {
        let (mut rules, mut next) = (Vec::new(), None);
        loop {
            let input = DescribePullThroughCacheRules {
                registry_id: Some(self.account()),
                next_token: next,
                ..DescribePullThroughCacheRules::default()
            };
            let page = self.read("", &input).await?;
            let text = |value: &Value| value.as_str().map(str::to_owned);
            rules.extend(page.pull_through_cache_rules.iter().map(|rule| PullThroughRule {
                prefix: text(&rule["ecrRepositoryPrefix"]).unwrap_or_default(),
                upstream: text(&rule["upstreamRegistryUrl"]).unwrap_or_default(),
                upstream_prefix: text(&rule["upstreamRepositoryPrefix"]),
            }));
            next = page.next_token;
            if next.is_none() {
                rules.sort_unstable();
                return Ok(rules);
            }
        }
    }

    async fn pull_time_exclusions(&self) -> Result<Vec<String>, CallError> {
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let page = self.read("", &ListPullTimeUpdateExclusions { next_token: next, max_results: None }).await?;
            all.extend(page.pull_time_update_exclusions.iter().filter_map(|arn| arn.as_str().map(str::to_owned)));
            next = page.next_token;
            if next.is_none() {
                all.sort_unstable();
                return Ok(all);
            }
        }
    }

    async fn lifecycle_policy(&self, repository: &str) -> Result<Option<String>, CallError> {
        let input = GetLifecyclePolicy { registry_id: Some(self.account()), repository_name: repository.to_owned() };
        match self.read(repository, &input).await {
            Ok(answer) => Ok(Some(answer.lifecycle_policy_text)),
            Err(error) if error.kind == ErrorKind::LifecycleNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn start_lifecycle_preview(&self, repository: &str) -> Result<(), CallError> {
        let input =
            StartLifecyclePolicyPreview { registry_id: Some(self.account()), repository_name: repository.to_owned() };
        self.read(repository, &input).await.map(drop)
    }

    async fn lifecycle_preview(&self, repository: &str, next: Option<String>) -> Result<core::PreviewPage, CallError> {
        let input = GetLifecyclePolicyPreview {
            registry_id: Some(self.account()),
            repository_name: repository.to_owned(),
            next_token: next,
            ..GetLifecyclePolicyPreview::default()
        };
        let page = self.read(repository, &input).await?;
        let results = page.preview_results.iter().map(|row| core::PreviewResult {
            digest: row["imageDigest"].as_str().and_then(|text| text.parse().ok()),
            tags: row["imageTags"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|tag| Some(tag.as_str()?.to_owned()))
                .collect(),
            priority: row["appliedRulePriority"].as_i64().unwrap_or_default(),
            action: match row["action"]["type"].as_str() {
                Some("TRANSITION") => core::PreviewAction::Transition,
                _ => core::PreviewAction::Expire,
            },
        });
        Ok(core::PreviewPage {
            policy: Some(page.lifecycle_policy_text),
            status: match page.status.as_str() {
                "IN_PROGRESS" => core::PreviewStatus::InProgress,
                "COMPLETE" => core::PreviewStatus::Complete,
                "EXPIRED" => core::PreviewStatus::Expired,
                _ => core::PreviewStatus::Failed,
            },
            results: results.collect(),
            next: page.next_token,
        })
    }

    async fn delete(&self, repository: &str, ids: &[core::ImageId]) -> Result<core::Deleted, CallError> {
        let ids = ids.iter().map(|id| ImageIdentifier {
            image_digest: id.digest.map(|digest| digest.to_string()),
            image_tag: id.tag.clone(),
        });
        let input = BatchDeleteImage {
            registry_id: Some(self.account()),
            repository_name: repository.to_owned(),
            image_ids: ids.collect(),
        };
        let answer = self.once(repository, &input).await?;
        Ok(core::Deleted { request_id: None, failures: answer.failures.into_iter().map(item_failure).collect() })
    }

    async fn set_storage_class(
        &self,
        repository: &str,
        digest: Digest,
        class: core::StorageClass,
    ) -> Result<Status, CallError> {
        let class = match class {
            core::StorageClass::Standard => "STANDARD",
            core::StorageClass::Archive => "ARCHIVE",
        };
        let input = UpdateImageStorageClass {
            registry_id: Some(self.account()),
            repository_name: repository.to_owned(),
            image_id: ImageIdentifier::of(&digest, None),
            target_storage_class: class.to_owned(),
        };
        Ok(status(&self.once(repository, &input).await?.image_status))
    }
}

fn any_status() -> ImageFilter {
    ImageFilter { tag_status: None, image_status: Some("ANY".to_owned()) }
}
