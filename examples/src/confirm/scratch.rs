//! The scratch repository: what is pushed into it is known, and removed in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_ecr::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_sdk_ecr::operation::batch_delete_image::BatchDeleteImageOutput;
use aws_sdk_ecr::primitives::Blob;
use aws_sdk_ecr::types::ImageIdentifier;
use jiff::Timestamp;
use kubeguard_core::ecr::aws::{AwsAccess, Ecr};
use kubeguard_core::ecr::look::describe;
use kubeguard_core::ecr::registry::Registry as _;
use kubeguard_core::ecr::snapshot::Entry;
use kubeguard_core::images::Digest;
use serde_json::{Value, json};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Rounds in which what was pushed is removed: indexes of indexes need one each.
const ROUNDS: usize = 4;

/// A call that failed, in words.
pub(super) type Failed = String;

pub(super) struct Scratch {
    pub(super) ecr: Ecr,
    sdk: aws_sdk_ecr::Client,
    repository: String,
    run: String,
    /// What was pushed, with the length of its manifest and whether it could be seen at once.
    pushed: Mutex<BTreeMap<Digest, (usize, bool)>>,
    layers: Mutex<BTreeSet<Digest>>,
}

/// What one deleting call answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Rows of what is gone: tag and digest.
    pub(super) gone: Vec<(Option<String>, Option<String>)>,
    /// Codes of what was refused, by digest.
    pub(super) refused: Vec<(Option<String>, String)>,
}

impl Scratch {
    pub(super) async fn open(config: &SdkConfig, repository: &str) -> Result<Self, Box<dyn Error>> {
        let ecr = AwsAccess::default().open(config, |_| {}).await?;
        let page = ecr.entries(repository, None).await?;
        if !page.entries.is_empty() || page.next.is_some() {
            let problem = format!("{repository} of {} is not empty: give an empty repository of its own", ecr.id());
            return Err(problem.into());
        }
        Ok(Self {
            sdk: aws_sdk_ecr::Client::new(config),
            ecr,
            repository: repository.to_owned(),
            run: Timestamp::now().to_string(),
            pushed: Mutex::default(),
            layers: Mutex::default(),
        })
    }

    /// Pushes a tiny image, unlike any other of any run.
    pub(super) async fn image(&self, name: &str, tags: &[&str]) -> Result<Digest, Failed> {
        let labels = json!({"name": name, "run": self.run});
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(name.as_bytes()).to_string()]}});
        let config = self.layer(config.to_string().into_bytes()).await?;
        let layer = self.layer(format!("{name} of {}", self.run).into_bytes()).await?;
        let manifest = json!({"schemaVersion": 2, "mediaType": IMAGE, "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER, &layer)]});
        self.put(&manifest, IMAGE, tags).await
    }

    pub(super) async fn index(&self, children: &[Digest], tags: &[&str]) -> Result<Digest, Failed> {
        let children = children.iter().map(|child| {
            let size = lock(&self.pushed).get(child).map_or(0, |(size, _)| *size);
            json!({"mediaType": IMAGE, "digest": child.to_string(), "size": size,
                "platform": {"os": "linux", "architecture": "amd64"}})
        });
        let manifest = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children.collect::<Vec<_>>(),
            "annotations": {"run": self.run}});
        self.put(&manifest, INDEX, tags).await
    }

    /// Pushes something that names an image as its subject.
    pub(super) async fn referrer(&self, subject: Digest) -> Result<Digest, Failed> {
        let size = lock(&self.pushed).get(&subject).map_or(0, |(size, _)| *size);
        let empty = self.layer(b"{}".to_vec()).await?;
        let manifest = json!({"schemaVersion": 2, "mediaType": IMAGE, "artifactType": "application/vnd.example.note",
            "config": descriptor("application/vnd.oci.empty.v1+json", &empty),
            "layers": [descriptor("application/vnd.oci.empty.v1+json", &empty)],
            "subject": {"mediaType": IMAGE, "digest": subject.to_string(), "size": size},
            "annotations": {"run": self.run}});
        self.put(&manifest, IMAGE, &[]).await
    }

    async fn put(&self, manifest: &Value, media_type: &str, tags: &[&str]) -> Result<Digest, Failed> {
        let text = manifest.to_string();
        let digest = Digest::of(text.as_bytes());
        let untagged = if tags.is_empty() { vec![None] } else { Vec::new() };
        for tag in untagged.into_iter().chain(tags.iter().map(|tag| Some((*tag).to_owned()))) {
            let call = self.sdk.put_image().repository_name(&self.repository).image_manifest(&text);
            let call = call.image_manifest_media_type(media_type).set_image_tag(tag);
            // Even when the answer is lost, it may be there.
            lock(&self.pushed).entry(digest).or_insert((text.len(), true));
            call.send().await.map_err(|error| format!("PutImage: {}", DisplayErrorContext(error)))?;
        }
        let visible = self.entry(digest).await?.is_some();
        lock(&self.pushed).insert(digest, (text.len(), visible));
        Ok(digest)
    }

    /// Uploads a blob, once.
    async fn layer(&self, bytes: Vec<u8>) -> Result<(Digest, usize), Failed> {
        let (digest, size) = (Digest::of(&bytes), bytes.len());
        if !lock(&self.layers).insert(digest) {
            return Ok((digest, size));
        }
        let begun = self.sdk.initiate_layer_upload().repository_name(&self.repository).send().await;
        let begun = begun.map_err(|error| format!("InitiateLayerUpload: {}", DisplayErrorContext(error)))?;
        let upload = begun.upload_id.unwrap_or_default();
        let last = i64::try_from(size.saturating_sub(1)).unwrap_or(i64::MAX);
        let part = self.sdk.upload_layer_part().repository_name(&self.repository).upload_id(&upload);
        let part = part.part_first_byte(0).part_last_byte(last).layer_part_blob(Blob::new(bytes)).send().await;
        part.map_err(|error| format!("UploadLayerPart: {}", DisplayErrorContext(error)))?;
        let done = self.sdk.complete_layer_upload().repository_name(&self.repository).upload_id(&upload);
        match done.layer_digests(digest.to_string()).send().await {
            Ok(_) => Ok((digest, size)),
            Err(error) if error.code() == Some("LayerAlreadyExistsException") => Ok((digest, size)),
            Err(error) => Err(format!("CompleteLayerUpload: {}", DisplayErrorContext(error))),
        }
    }

    /// Returns an entry as it is now.
    pub(super) async fn entry(&self, digest: Digest) -> Result<Option<Entry>, Failed> {
        let found = describe(&self.ecr, &self.repository, &[digest]).await.map_err(|error| error.to_string())?;
        Ok(found.into_iter().next())
    }

    /// Reads a manifest, which counts as a pull.
    pub(super) async fn read(&self, digest: Digest) -> Result<(), Failed> {
        let read = self.ecr.manifests(&self.repository, &[digest]).await.map_err(|error| error.to_string())?;
        if read.found.is_empty() { Err(format!("the manifest cannot be had: {:?}", read.failures)) } else { Ok(()) }
    }

    /// Deletes in one call by tag, digest, or both. Only what was pushed here can be named.
    pub(super) async fn delete(&self, ids: &[(Option<&str>, Option<Digest>)]) -> Result<Answer, Failed> {
        let ids = ids.iter().map(|(tag, digest)| {
            let digest = digest.map(|digest| digest.to_string());
            ImageIdentifier::builder().set_image_tag(tag.map(str::to_owned)).set_image_digest(digest).build()
        });
        let call = self.sdk.batch_delete_image().repository_name(&self.repository);
        let answer = call.set_image_ids(Some(ids.collect())).send().await;
        let BatchDeleteImageOutput { image_ids, failures, .. } =
            answer.map_err(|error| format!("BatchDeleteImage: {}", DisplayErrorContext(error)))?;
        let gone = image_ids.unwrap_or_default().into_iter().map(|id| (id.image_tag, id.image_digest));
        let refused = failures.unwrap_or_default().into_iter().map(|failure| {
            let code = failure.failure_code.map_or("none".to_owned(), |code| code.as_str().to_owned());
            (failure.image_id.and_then(|id| id.image_digest), code)
        });
        Ok(Answer { gone: gone.collect(), refused: refused.collect() })
    }

    /// Returns the name of the repository.
    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns how many were pushed, and how many of them could not be seen at once.
    pub(super) fn visibility(&self) -> (usize, usize) {
        let pushed = lock(&self.pushed);
        (pushed.len(), pushed.values().filter(|(_, visible)| !visible).count())
    }

    /// Removes everything that was pushed here; returns what is left.
    pub(super) async fn clean(&self) -> Vec<String> {
        let pushed: Vec<Digest> = lock(&self.pushed).keys().copied().collect();
        let mut left: Vec<String> = pushed.iter().map(Digest::to_string).collect();
        for _ in 0..ROUNDS {
            let Ok(found) = describe(&self.ecr, &self.repository, &pushed).await else { break };
            left = found.iter().map(|entry| entry.digest.to_string()).collect();
            if found.is_empty() {
                break;
            }
            for part in found.chunks(100) {
                let ids: Vec<_> = part.iter().map(|entry| (None, Some(entry.digest))).collect();
                // What is refused now may go after what lists it.
                drop(self.delete(&ids).await);
            }
        }
        left
    }
}

fn descriptor(media_type: &str, (digest, size): &(Digest, usize)) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
