//! What an act is about, read anew: its pod, its job, and the job's other pods.

use serde_json::Value;

use super::Applying;
use crate::access::Call;
use crate::audit::facts::{Builder, Facts};
use crate::audit::jobs::fix::{Act, Target};
use crate::audit::needs::Fact;
use crate::error::Failure;

/// Facts with what was read anew.
pub(super) struct Fresh {
    pub(super) facts: Facts,
    /// Version of the job; none where it is gone, or there is none.
    pub(super) version: Option<String>,
}

impl Applying<'_> {
    /// Reads the objects of an act anew and puts them in the place of what was known of them.
    ///
    /// # Errors
    /// What could not be read, in words: nothing may be concluded then.
    pub(super) async fn read(&self, act: &Act) -> Result<Fresh, String> {
        let mut builder = Builder::again(self.facts.clone());
        builder.keep_annotations(self.policy.sidecars.annotations());
        let mut version = None;
        if let Some(target) = &act.job {
            let job = self.get(target, "/apis/batch/v1", "jobs").await?;
            builder.forget_named(Fact::Job, &target.name.namespace, &target.name.name);
            let known = self.facts.jobs().iter().find(|job| job.meta.uid == *target.uid);
            for pod in known.into_iter().flat_map(|job| self.facts.pods_of(job)) {
                builder.forget_named(Fact::Pod, &pod.meta.namespace, &pod.meta.name);
            }
            if let Some(job) = job {
                version = job.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(ToOwned::to_owned);
                for pod in self.pods_of(&job, target).await? {
                    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                    builder.forget_named(Fact::Pod, &target.name.namespace, name);
                    builder.add(pod);
                }
                builder.add(job);
            }
        }
        // Last, so that it is as fresh as can be when it is acted on.
        if let Some(target) = &act.pod {
            let pod = self.get(target, "/api/v1", "pods").await?;
            builder.forget_named(Fact::Pod, &target.name.namespace, &target.name.name);
            if let Some(pod) = pod {
                builder.add(pod);
            }
        }
        Ok(Fresh { facts: builder.finish(), version })
    }

    async fn get(&self, target: &Target, root: &str, plural: &str) -> Result<Option<Value>, String> {
        let (namespace, name) = (&target.name.namespace, &target.name.name);
        let path = format!("{root}/namespaces/{namespace}/{plural}/{name}");
        let singular = plural.trim_end_matches('s');
        match self.cluster.fetch(Call::Get, &path, "application/json").await {
            Ok(answer) => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|error| format!("{singular} {name} cannot be read again: {error}")),
            Err(Failure::Status { code: 404, .. }) => Ok(None),
            Err(failure) => Err(format!("{singular} {name} cannot be read again: {failure}")),
        }
    }

    /// Reads the pods that a job controls, by its own selector.
    async fn pods_of(&self, job: &Value, target: &Target) -> Result<Vec<Value>, String> {
        let namespace = &target.name.namespace;
        let mut path = format!("/api/v1/namespaces/{namespace}/pods");
        let labels = job.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
        let pairs = labels.into_iter().flatten().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
        let selector = pairs.collect::<Vec<_>>().join(",");
        if !selector.is_empty() {
            path += &format!("?labelSelector={}", encoded(&selector));
        }
        let name = &target.name.name;
        let unread = |why: String| format!("the pods of job {name} cannot be read again: {why}");
        let answer = self.cluster.fetch(Call::List, &path, "application/json").await;
        let answer = answer.map_err(|failure| unread(failure.to_string()))?;
        let mut list: Value = serde_json::from_slice(&answer.body).map_err(|error| unread(error.to_string()))?;
        let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) else {
            return Err(unread("the answer is no list".to_owned()));
        };
        let is_own = |pod: &Value| {
            let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            owners.into_iter().flatten().any(|owner| owner.get("uid").and_then(Value::as_str) == Some(&target.uid))
        };
        let whole = |mut pod: Value| {
            // Items of a list do not say what they are.
            pod["apiVersion"] = "v1".into();
            pod["kind"] = "Pod".into();
            pod
        };
        Ok(items.into_iter().filter(is_own).map(whole).collect())
    }
}

/// Encodes what stands in a query.
fn encoded(text: &str) -> String {
    let keep = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/');
    text.bytes().map(|byte| if keep(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
