//! What is asked of an ECR registry, whoever answers.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::snapshot::{Entry, PullThroughRule, ReplicationRule, Repository, Status};
use crate::images::{Digest, RegistryId};

/// Ids that one call may name.
pub const BATCH: usize = 100;

/// The calls that kubeguard makes of one registry. Every call that takes a registry id carries it.
///
/// Reads are repeated while that may help; calls that change something are made once, and what became of them is
/// looked up by the caller.
pub trait Registry: Send + Sync {
    /// Returns the registry that every call speaks of.
    fn id(&self) -> &RegistryId;

    /// Returns the time of the registry's newest answer, if it gave one.
    fn now(&self) -> Option<Timestamp>;

    /// Returns who is asking.
    fn caller(&self) -> impl Future<Output = Result<Caller, CallError>> + Send;

    /// Returns every repository, sorted by name.
    fn repositories(&self) -> impl Future<Output = Result<Vec<Repository>, CallError>> + Send;

    /// Returns the repository with a name; `None` where there is none.
    fn repository(&self, name: &str) -> impl Future<Output = Result<Option<Repository>, CallError>> + Send;

    /// Returns the AWS tags of a repository.
    fn repository_tags(&self, arn: &str) -> impl Future<Output = Result<BTreeMap<String, String>, CallError>> + Send;

    /// Returns one page of the entries of a repository in every status, as they come: rows are not merged.
    fn entries(
        &self,
        repository: &str,
        next: Option<String>,
    ) -> impl Future<Output = Result<EntryPage, CallError>> + Send;

    /// Returns the entries with these digests, at most [`BATCH`].
    ///
    /// # Errors
    /// [`ErrorKind::ImageNotFound`] when one of them is not there: the call says nothing of the others.
    fn describe(
        &self,
        repository: &str,
        digests: &[Digest],
    ) -> impl Future<Output = Result<Vec<Entry>, CallError>> + Send;

    /// Returns the manifests with these digests, at most [`BATCH`]; those that cannot be had are among the failures.
    ///
    /// Reading a manifest counts as a pull.
    fn manifests(
        &self,
        repository: &str,
        digests: &[Digest],
    ) -> impl Future<Output = Result<Manifests, CallError>> + Send;

    /// Returns the registry's replication rules, and the account that they are of.
    fn replication(&self) -> impl Future<Output = Result<Replication, CallError>> + Send;

    /// Returns the registry's pull-through rules.
    fn pull_through_rules(&self) -> impl Future<Output = Result<Vec<PullThroughRule>, CallError>> + Send;

    /// Returns the roles and users whose pulls the caller's own registry does not record.
    fn pull_time_exclusions(&self) -> impl Future<Output = Result<Vec<String>, CallError>> + Send;

    /// Returns the text of a repository's lifecycle policy; `None` where it has none.
    fn lifecycle_policy(&self, repository: &str) -> impl Future<Output = Result<Option<String>, CallError>> + Send;

    /// Starts AWS' own preview of the lifecycle policy that a repository has.
    fn start_lifecycle_preview(&self, repository: &str) -> impl Future<Output = Result<(), CallError>> + Send;

    /// Returns one page of that preview.
    fn lifecycle_preview(
        &self,
        repository: &str,
        next: Option<String>,
    ) -> impl Future<Output = Result<PreviewPage, CallError>> + Send;

    /// Deletes at most [`BATCH`] ids in one call, without repeating it.
    fn delete(&self, repository: &str, ids: &[ImageId]) -> impl Future<Output = Result<Deleted, CallError>> + Send;

    /// Archives or restores one image in one call, without repeating it; returns the status it answers.
    fn set_storage_class(
        &self,
        repository: &str,
        digest: Digest,
        class: StorageClass,
    ) -> impl Future<Output = Result<Status, CallError>> + Send;
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Account of the credentials.
    pub account: String,
    /// As STS names it; `account/ACCOUNT` where STS does not answer.
    pub arn: String,
}

/// One page of a repository's entries.
#[derive(Debug, Clone, Default)]
pub struct EntryPage {
    /// Rows; `Err` is a row without a digest that can be read.
    pub entries: Vec<Result<Entry, String>>,
    /// Token of the next page; `None` at the end.
    pub next: Option<String>,
}

/// Manifests by digest.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    /// Bytes as stored, not checked against the digest yet.
    pub found: BTreeMap<Digest, Bytes>,
    /// What could not be had.
    pub failures: Vec<ItemFailure>,
}

/// The replication settings of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    /// The account that the answer names.
    pub account: String,
    /// One for each destination of each rule.
    pub rules: Vec<ReplicationRule>,
}

/// One page of a lifecycle preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewPage {
    /// How far it is.
    pub status: PreviewStatus,
    /// Text of the policy that it is of, which need not be the repository's.
    pub policy: Option<String>,
    /// What would happen.
    pub results: Vec<PreviewResult>,
    /// Token of the next page; `None` at the end.
    pub next: Option<String>,
}

/// How far a lifecycle preview is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewStatus {
    /// Ask again.
    InProgress,
    /// The results are all there.
    Complete,
    /// Too old; start it again.
    Expired,
    /// It failed, or its status is not known here.
    Failed,
}

/// What a lifecycle policy would do to one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewResult {
    /// The image.
    pub digest: Option<Digest>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Priority of the rule.
    pub priority: i64,
    /// What would happen.
    pub action: PreviewAction,
}

/// What a lifecycle rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewAction {
    /// Removes the image; also any action that is not known here.
    Expire,
    /// Archives it.
    Transition,
}

/// What a deleting call names: a tag, a digest, or a tag that must point to a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageId {
    /// Digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// The answer to a deleting call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Request id, for the journal.
    pub request_id: Option<String>,
    /// What was refused. What is not among these is *not* proven to be gone.
    pub failures: Vec<ItemFailure>,
}

/// One refused item of a call that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemFailure {
    /// Digest of the item, where the answer names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Tag of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// AWS' code, as in `ImageReferencedByManifestList`; also one that is not known here.
    pub code: String,
    /// AWS' words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Where an image's bytes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageClass {
    /// Ready to be pulled.
    Standard,
    /// Not to be pulled before it is restored.
    Archive,
}

/// A call that got no answer, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// AWS' name of the call, as in `DescribeImages`.
    pub operation: &'static str,
    /// What it was about: a repository, or empty.
    pub about: String,
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// AWS' code, where there is one.
    pub code: Option<String>,
    /// AWS' words, or those of the connection.
    pub message: String,
}

/// What a failed call means for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Too many calls: slow down.
    Throttled,
    /// Not allowed.
    AccessDenied,
    /// Credentials that have ended, or are none.
    Credentials,
    /// No such image, of at least one id.
    ImageNotFound,
    /// No such repository.
    RepositoryNotFound,
    /// No lifecycle policy, or no preview of one.
    LifecycleNotFound,
    /// A preview of this repository runs already.
    PreviewInProgress,
    /// Images of this kind cannot be archived.
    StorageClassNotSupported,
    /// The call is not accepted as it is.
    Invalid,
    /// 5xx, no answer in time, a broken connection: what became of the call is not known.
    Unknown,
    /// The endpoint does not know the operation.
    Unsupported,
    /// Any other refusal.
    Refused,
}

impl CallError {
    /// Returns what to try, where something is known to help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self.kind {
            ErrorKind::AccessDenied => Some(format!(
                "the caller's role must allow {}; kubectl ecr-clean iam prints the policy it needs",
                self.action()
            )),
            ErrorKind::Credentials => Some(
                "sign in again, or choose credentials: aws sts get-caller-identity shows whose they are".to_owned(),
            ),
            ErrorKind::Unknown => Some("is the endpoint of the registry reachable from here?".to_owned()),
            ErrorKind::Throttled => Some("others use the quota of this region too: try again later".to_owned()),
            _ => None,
        }
    }

    /// Returns the action of IAM policies that allows the call.
    fn action(&self) -> String {
        let service = if self.operation == "GetCallerIdentity" { "sts" } else { "ecr" };
        format!("{service}:{}", self.operation)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        if !self.about.is_empty() {
            write!(f, " of {}", self.about)?;
        }
        match &self.code {
            Some(code) => write!(f, ": {code}: {}", self.message),
            None => write!(f, ": {}", self.message),
        }
    }
}

impl std::error::Error for CallError {}
