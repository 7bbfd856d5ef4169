//! A lifecycle policy and what AWS' own preview of it would say: scripted, never evaluated.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::operations::{Listing, Operation, Refusal, Site};
use super::store::Store;
use kubeguard_core::images::Digest;

/// A lifecycle policy with the script of its preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// The policy as it was put.
    pub text: String,
    /// What a preview finds.
    pub results: Vec<PreviewRow>,
    /// How many times a preview says `IN_PROGRESS` before it ends.
    pub polls: u32,
    /// How it ends: `COMPLETE`, `FAILED` or `EXPIRED`.
    pub end: String,
    /// Polls that are left of the preview that was started last.
    running: Option<u32>,
}

/// What a preview says of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewRow {
    /// The image.
    pub digest: Digest,
    /// Priority of the rule.
    pub priority: i64,
    /// `EXPIRE` or `TRANSITION`.
    pub action: &'static str,
}

impl Lifecycle {
    /// Takes a policy whose preview finds nothing, at the second look.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (text, end) = (text.to_owned(), "COMPLETE".to_owned());
        Self { text, results: Vec::new(), polls: 1, end, running: None }
    }

    /// Lets the preview say that a rule takes an image away.
    #[must_use]
    pub fn expires(mut self, digest: Digest, priority: i64) -> Self {
        self.results.push(PreviewRow { digest, priority, action: "EXPIRE" });
        self
    }

    /// Lets the preview say that a rule archives an image.
    #[must_use]
    pub fn archives(mut self, digest: Digest, priority: i64) -> Self {
        self.results.push(PreviewRow { digest, priority, action: "TRANSITION" });
        self
    }
}

/// `GetLifecyclePolicy`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetLifecyclePolicy {
    pub registry_id: Option<String>,
    pub repository_name: String,
}

/// A policy, and how far its preview is where one was asked for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyAnswer {
    pub registry_id: String,
    pub repository_name: String,
    pub lifecycle_policy_text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
}

fn policy<'a>(store: &'a mut Store, at: &Site, repository: &str) -> Result<&'a mut Lifecycle, Refusal> {
    let lifecycle = store.named_repository(at, repository)?.lifecycle.as_mut();
    lifecycle.ok_or_else(|| Refusal::new("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist"))
}

impl Operation for GetLifecyclePolicy {
    const NAME: &'static str = "GetLifecyclePolicy";
    type Output = PolicyAnswer;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<PolicyAnswer, Refusal> {
        let text = policy(store, at, &self.repository_name)?.text.clone();
        Ok(PolicyAnswer {
            registry_id: at.registry.account.clone(),
            repository_name: self.repository_name.clone(),
            lifecycle_policy_text: text,
            status: None,
        })
    }
}

/// `StartLifecyclePolicyPreview`, of the policy that the repository has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartLifecyclePolicyPreview {
    pub registry_id: Option<String>,
    pub repository_name: String,
}

impl Operation for StartLifecyclePolicyPreview {
    const NAME: &'static str = "StartLifecyclePolicyPreview";
    type Output = PolicyAnswer;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<PolicyAnswer, Refusal> {
        let lifecycle = policy(store, at, &self.repository_name)?;
        if lifecycle.running.is_some_and(|left| left > 0) {
            let words = "The previous lifecycle policy preview request has not completed";
            return Err(Refusal::new("LifecyclePolicyPreviewInProgressException", words));
        }
        lifecycle.running = Some(lifecycle.polls);
        Ok(PolicyAnswer {
            registry_id: at.registry.account.clone(),
            repository_name: self.repository_name.clone(),
            lifecycle_policy_text: lifecycle.text.clone(),
            status: Some("IN_PROGRESS"),
        })
    }
}

/// `GetLifecyclePolicyPreview`, in pages of at most 100.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetLifecyclePolicyPreview {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub next_token: Option<String>,
    pub max_results: Option<i64>,
}

/// One page of a preview.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreviewAnswer {
    pub registry_id: String,
    pub repository_name: String,
    pub lifecycle_policy_text: String,
    pub status: String,
    pub preview_results: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Operation for GetLifecyclePolicyPreview {
    const NAME: &'static str = "GetLifecyclePolicyPreview";
    type Output = PreviewAnswer;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn repository(&self) -> Option<&str> {
        Some(&self.repository_name)
    }

    fn listing(&self) -> Option<Listing<'_>> {
        Some(Listing { token: self.next_token.as_deref() })
    }

    fn next_token(output: &mut PreviewAnswer) -> Option<&mut Option<String>> {
        Some(&mut output.next_token)
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<PreviewAnswer, Refusal> {
        let size = at.page_size(self.max_results, 100, 100)?;
        let from = usize::try_from(at.place(Self::NAME, self.next_token.as_deref())?).unwrap_or(usize::MAX);
        let lifecycle = policy(store, at, &self.repository_name)?;
        let Some(left) = &mut lifecycle.running else {
            let words = "Lifecycle policy preview does not exist";
            return Err(Refusal::new("LifecyclePolicyPreviewNotFoundException", words));
        };
        let running = *left > 0;
        *left = left.saturating_sub(1);
        let lifecycle = lifecycle.clone();
        let mut answer = PreviewAnswer {
            registry_id: at.registry.account.clone(),
            repository_name: self.repository_name.clone(),
            lifecycle_policy_text: lifecycle.text,
            status: if running { "IN_PROGRESS".to_owned() } else { lifecycle.end.clone() },
            preview_results: Vec::new(),
            next_token: None,
        };
        if running || lifecycle.end != "COMPLETE" {
            return Ok(answer);
        }
        let rows = lifecycle.results.get(from..).unwrap_or_default();
        let repository = store.named_repository(at, &self.repository_name)?;
        for row in rows.iter().take(size) {
            let mut result = json!({
                "imageDigest": row.digest.to_string(), "appliedRulePriority": row.priority, "action": {"type": row.action},
            });
            if let Some(entry) = repository.entry(&row.digest) {
                result["imageTags"] = entry.tags.clone().into();
                result["imagePushedAt"] = entry.pushed_at.map(super::operations::seconds).into();
            }
            if row.action == "TRANSITION" {
                result["action"]["targetStorageClass"] = "ARCHIVE".into();
            }
            answer.preview_results.push(result);
        }
        if rows.len() > size {
            answer.next_token = Some(at.token(Self::NAME, (from + size) as u64));
        }
        Ok(answer)
    }
}
