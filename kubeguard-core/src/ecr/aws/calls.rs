//! The calls, one by one.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_ecr::operation::RequestId as _;
use aws_sdk_ecr::types as sdk;
use bytes::Bytes;
use jiff::Timestamp;

use super::failures::failed;
use super::replication::Body;
use super::traffic::Traffic;
use super::{Ecr, answers, replication};
use crate::ecr::registry::{
    CallError, Caller, Deleted, EntryPage, ErrorKind, ImageId, Manifests, PreviewPage, Registry, Replication,
    StorageClass,
};
use crate::ecr::snapshot::{Entry, PullThroughRule, Repository, Status};
use crate::images::{Digest, RegistryId};

/// Rows that one page may hold.
const PAGE: i32 = 1000;
/// Results that one page of a lifecycle preview may hold.
const PREVIEW_PAGE: i32 = 100;
/// What a manifest may be; without this list ECR converts some to an older type, and the digest no longer fits.
const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
];

impl Registry for Ecr {
    fn id(&self) -> &RegistryId {
        &self.id
    }

    fn now(&self) -> Option<Timestamp> {
        self.clock.now()
    }

    async fn caller(&self) -> Result<Caller, CallError> {
        self.caller.get_or_try_init(|| caller(&self.sts, &self.client, &self.traffic)).await.cloned()
    }

    async fn repositories(&self) -> Result<Vec<Repository>, CallError> {
        const OPERATION: &str = "DescribeRepositories";
        let mut all = BTreeMap::new();
        let mut pages = Pages::new(OPERATION);
        while pages.more() {
            let answer = self
                .traffic
                .read(|| async {
                    let call = self.client.describe_repositories().registry_id(&self.id.account).max_results(PAGE);
                    let answer = call.set_next_token(pages.token()).send().await;
                    answer.map_err(|error| failed(OPERATION, "", &error))
                })
                .await?;
            for row in answer.repositories.unwrap_or_default() {
                let Some(repository) = answers::repository(row) else {
                    return Err(unusable(OPERATION, "", "a repository has no name or no ARN"));
                };
                all.insert(repository.name.clone(), repository);
            }
            pages.turn(answer.next_token)?;
        }
        Ok(all.into_values().collect())
    }

    async fn repository(&self, name: &str) -> Result<Option<Repository>, CallError> {
        const OPERATION: &str = "DescribeRepositories";
        let answer = self
            .traffic
            .read(|| async {
                let call = self.client.describe_repositories().registry_id(&self.id.account).repository_names(name);
                call.send().await.map_err(|error| failed(OPERATION, name, &error))
            })
            .await;
        match answer {
            Ok(answer) => {
                let rows = answer.repositories.unwrap_or_default().into_iter();
                Ok(rows.filter_map(answers::repository).find(|found| found.name == name))
            }
            Err(error) if error.kind == ErrorKind::RepositoryNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn repository_tags(&self, arn: &str) -> Result<BTreeMap<String, String>, CallError> {
        let answer = self
            .traffic
            .read(|| async {
                let answer = self.client.list_tags_for_resource().resource_arn(arn).send().await;
                answer.map_err(|error| failed("ListTagsForResource", arn, &error))
            })
            .await?;
        Ok(answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn entries(&self, repository: &str, next: Option<String>) -> Result<EntryPage, CallError> {
        let answer = self
            .traffic
            .read(|| async {
                let call = self.client.describe_images().registry_id(&self.id.account).repository_name(repository);
                let call = call.filter(any_status()).max_results(PAGE).set_next_token(next.clone());
                call.send().await.map_err(|error| failed("DescribeImages", repository, &error))
            })
            .await?;
        Ok(EntryPage {
            entries: answer.image_details.unwrap_or_default().into_iter().map(answers::entry).collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    async fn describe(&self, repository: &str, digests: &[Digest]) -> Result<Vec<Entry>, CallError> {
        const OPERATION: &str = "DescribeImages";
        if digests.is_empty() {
            // Without ids the call would list the repository.
            return Ok(Vec::new());
        }
        let answer = self
            .traffic
            .read(|| async {
                let call = self.client.describe_images().registry_id(&self.id.account).repository_name(repository);
                let call = call.filter(any_status()).set_image_ids(Some(digests.iter().map(by_digest).collect()));
                call.send().await.map_err(|error| failed(OPERATION, repository, &error))
            })
            .await?;
        let rows = answer.image_details.unwrap_or_default().into_iter().map(answers::entry);
        rows.collect::<Result<_, _>>().map_err(|row| unusable(OPERATION, repository, &row))
    }

    async fn manifests(&self, repository: &str, digests: &[Digest]) -> Result<Manifests, CallError> {
        let answer = self
            .traffic
            .read(|| async {
                let call = self.client.batch_get_image().registry_id(&self.id.account).repository_name(repository);
                let call = call.set_accepted_media_types(Some(MANIFEST_TYPES.map(str::to_owned).to_vec()));
                let call = call.set_image_ids(Some(digests.iter().map(by_digest).collect()));
                call.send().await.map_err(|error| failed("BatchGetImage", repository, &error))
            })
            .await?;
        let found = answer.images.unwrap_or_default().into_iter().filter_map(|image| {
            let digest = answers::digest(image.image_id?.image_digest.as_deref())?;
            Some((digest, Bytes::from(image.image_manifest?)))
        });
        let failures = answer.failures.unwrap_or_default().into_iter().map(answers::item_failure);
        Ok(Manifests { found: found.collect(), failures: failures.collect() })
    }

    async fn replication(&self) -> Result<Replication, CallError> {
        const OPERATION: &str = "DescribeRegistry";
        let body = self
            .traffic
            .read(|| async {
                let body = Body::default();
                let call = self.client.describe_registry().customize().interceptor(body.clone());
                call.send().await.map_err(|error| failed(OPERATION, "", &error))?;
                Ok(body.take().unwrap_or_default())
            })
            .await?;
        replication::read(&body).map_err(|why| unusable(OPERATION, "", &why))
    }

    async fn pull_through_rules(&self) -> Result<Vec<PullThroughRule>, CallError> {
        const OPERATION: &str = "DescribePullThroughCacheRules";
        let mut rules = Vec::new();
        let mut pages = Pages::new(OPERATION);
        while pages.more() {
            let answer = self
                .traffic
                .read(|| async {
                    let call = self.client.describe_pull_through_cache_rules().registry_id(&self.id.account);
                    let answer = call.max_results(PAGE).set_next_token(pages.token()).send().await;
                    answer.map_err(|error| failed(OPERATION, "", &error))
                })
                .await?;
            for row in answer.pull_through_cache_rules.unwrap_or_default() {
                let rule = answers::pull_through_rule(row);
                rules.push(rule.ok_or_else(|| unusable(OPERATION, "", "a rule has no prefix or no upstream"))?);
            }
            pages.turn(answer.next_token)?;
        }
        rules.sort_unstable();
        rules.dedup();
        Ok(rules)
    }

    async fn pull_time_exclusions(&self) -> Result<Vec<String>, CallError> {
        const OPERATION: &str = "ListPullTimeUpdateExclusions";
        let mut exclusions = Vec::new();
        let mut pages = Pages::new(OPERATION);
        while pages.more() {
            let answer = self
                .traffic
                .read(|| async {
                    let call = self.client.list_pull_time_update_exclusions().set_next_token(pages.token());
                    call.send().await.map_err(|error| failed(OPERATION, "", &error))
                })
                .await?;
            exclusions.extend(answer.pull_time_update_exclusions.unwrap_or_default());
            pages.turn(answer.next_token)?;
        }
        exclusions.sort_unstable();
        exclusions.dedup();
        Ok(exclusions)
    }

    async fn lifecycle_policy(&self, repository: &str) -> Result<Option<String>, CallError> {
        const OPERATION: &str = "GetLifecyclePolicy";
        let answer = self
            .traffic
            .read(|| async {
                let call = self.client.get_lifecycle_policy().registry_id(&self.id.account).repository_name(repository);
                call.send().await.map_err(|error| failed(OPERATION, repository, &error))
            })
            .await;
        match answer {
            Ok(answer) => {
                let text = answer.lifecycle_policy_text;
                text.map(Some).ok_or_else(|| unusable(OPERATION, repository, "the answer holds no policy"))
            }
            Err(error) if error.kind == ErrorKind::LifecycleNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn start_lifecycle_preview(&self, repository: &str) -> Result<(), CallError> {
        let call = || async {
            let call = self.client.start_lifecycle_policy_preview().registry_id(&self.id.account);
            let answer = call.repository_name(repository).send().await;
            answer.map_err(|error| failed("StartLifecyclePolicyPreview", repository, &error))
        };
        self.traffic.read(call).await.map(drop)
    }

    async fn lifecycle_preview(&self, repository: &str, next: Option<String>) -> Result<PreviewPage, CallError> {
        let answer = self
            .traffic
            .read(|| async {
                let call = self.client.get_lifecycle_policy_preview().registry_id(&self.id.account);
                let call = call.repository_name(repository).max_results(PREVIEW_PAGE).set_next_token(next.clone());
                call.send().await.map_err(|error| failed("GetLifecyclePolicyPreview", repository, &error))
            })
            .await?;
        Ok(PreviewPage {
            status: answers::preview_status(answer.status.as_ref()),
            policy: answer.lifecycle_policy_text,
            results: answer.preview_results.unwrap_or_default().into_iter().map(answers::preview_result).collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    async fn delete(&self, repository: &str, ids: &[ImageId]) -> Result<Deleted, CallError> {
        let ids = ids.iter().map(|id| {
            let digest = id.digest.map(|digest| digest.to_string());
            sdk::ImageIdentifier::builder().set_image_digest(digest).set_image_tag(id.tag.clone()).build()
        });
        let call = self.client.batch_delete_image().registry_id(&self.id.account).repository_name(repository);
        let call = call.set_image_ids(Some(ids.collect()));
        let call = async { call.send().await.map_err(|error| failed("BatchDeleteImage", repository, &error)) };
        let answer = self.traffic.once(Box::pin(call)).await?;
        Ok(Deleted {
            request_id: answer.request_id().map(str::to_owned),
            failures: answer.failures.unwrap_or_default().into_iter().map(answers::item_failure).collect(),
        })
    }

    async fn set_storage_class(
        &self,
        repository: &str,
        digest: Digest,
        class: StorageClass,
    ) -> Result<Status, CallError> {
        const OPERATION: &str = "UpdateImageStorageClass";
        let class = match class {
            StorageClass::Standard => sdk::TargetStorageClass::Standard,
            StorageClass::Archive => sdk::TargetStorageClass::Archive,
        };
        let call = self.client.update_image_storage_class().registry_id(&self.id.account).repository_name(repository);
        let call = call.image_id(by_digest(&digest)).target_storage_class(class);
        let call = async { call.send().await.map_err(|error| failed(OPERATION, repository, &error)) };
        let answer = self.traffic.once(Box::pin(call)).await?;
        // What became of the image is then looked up, as after a lost answer.
        let status = answer.image_status.as_ref().map(answers::status);
        status.ok_or_else(|| unusable(OPERATION, repository, "the answer holds no status"))
    }
}

/// Asks STS who is asking, and where it does not answer, ECR whose registry is asked.
pub(super) async fn caller(
    sts: &aws_sdk_sts::Client,
    ecr: &aws_sdk_ecr::Client,
    traffic: &Traffic,
) -> Result<Caller, CallError> {
    const OPERATION: &str = "GetCallerIdentity";
    let identity = traffic
        .read(|| async { sts.get_caller_identity().send().await.map_err(|error| failed(OPERATION, "", &error)) })
        .await;
    let error = match identity {
        Ok(identity) => match (identity.account, identity.arn) {
            (Some(account), Some(arn)) => return Ok(Caller { account, arn }),
            _ => unusable(OPERATION, "", "the answer names no account"),
        },
        Err(error) if error.kind == ErrorKind::Credentials => return Err(error),
        Err(error) => error,
    };
    let registry = traffic
        .read(|| async { ecr.describe_registry().send().await.map_err(|error| failed("DescribeRegistry", "", &error)) })
        .await;
    match registry.map(|registry| registry.registry_id) {
        Ok(Some(account)) => Ok(Caller { arn: format!("account/{account}"), account }),
        Ok(None) | Err(_) => Err(error),
    }
}

/// An answer that does not hold what the API promises.
fn unusable(operation: &'static str, about: &str, why: &str) -> CallError {
    CallError { operation, about: about.to_owned(), kind: ErrorKind::Unknown, code: None, message: why.to_owned() }
}

/// Without it archived images would look like images that are not there.
fn any_status() -> sdk::DescribeImagesFilter {
    sdk::DescribeImagesFilter::builder().image_status(sdk::ImageStatusFilter::Any).build()
}

fn by_digest(digest: &Digest) -> sdk::ImageIdentifier {
    sdk::ImageIdentifier::builder().image_digest(digest.to_string()).build()
}

/// The pages of a list, to their end.
struct Pages {
    operation: &'static str,
    next: Option<String>,
    seen: HashSet<String>,
    more: bool,
}

impl Pages {
    fn new(operation: &'static str) -> Self {
        Self { operation, next: None, seen: HashSet::new(), more: true }
    }

    fn more(&self) -> bool {
        self.more
    }

    fn token(&self) -> Option<String> {
        self.next.clone()
    }

    /// Turns to the next page. An empty token ends as none does.
    fn turn(&mut self, next: Option<String>) -> Result<(), CallError> {
        self.next = next.filter(|token| !token.is_empty());
        self.more = self.next.is_some();
        match &self.next {
            Some(token) if !self.seen.insert(token.clone()) => {
                Err(unusable(self.operation, "", "the same page token came twice"))
            }
            _ => Ok(()),
        }
    }
}
