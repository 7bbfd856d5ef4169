//! What a test pushes: real manifests with true digests, named by labels.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::snapshot::Status;
use kubeguard_core::images::Digest;
use serde_json::{Value, json};

use super::repository::Entry;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// An image, index or artifact to be pushed. The label names it in the test, and makes its bytes its own.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before it is pushed"]
pub struct Push {
    pub(super) label: String,
    pub(super) tags: Vec<String>,
    pub(super) children: Option<Vec<Child>>,
    pub(super) subject: Option<Link>,
    pub(super) cosign: Option<(Link, &'static str)>,
    pub(super) platform: Option<String>,
    layers: Option<Vec<(String, u64)>>,
    docker: bool,
    artifact_type: Option<String>,
    annotations: Vec<(String, String)>,
    age: Option<SignedDuration>,
    pulled: Option<SignedDuration>,
    archived: Option<SignedDuration>,
    activated: Option<SignedDuration>,
    status: Status,
    manifest: Option<Bytes>,
}

/// Another entry, by its label or by its digest.
#[derive(Debug, Clone)]
pub enum Link {
    /// By label: of an entry that was pushed before, or of one that never will be.
    Label(String),
    /// By digest.
    Digest(Digest),
}

impl From<&str> for Link {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Label(text.to_owned()), Self::Digest)
    }
}

impl From<Digest> for Link {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) link: Link,
    pub(super) platform: Option<String>,
    /// Listed, but in no repository.
    pub(super) missing: bool,
}

/// Starts an image of one layer of 100 MB, pushed now, in the OCI format.
pub fn image(label: &str) -> Push {
    Push {
        label: label.to_owned(),
        tags: Vec::new(),
        children: None,
        subject: None,
        cosign: None,
        platform: None,
        layers: None,
        docker: false,
        artifact_type: Some(OCI_CONFIG.to_owned()),
        annotations: Vec::new(),
        age: Some(SignedDuration::ZERO),
        pulled: None,
        archived: None,
        activated: None,
        status: Status::Active,
        manifest: None,
    }
}

/// Starts an index without children.
pub fn index(label: &str) -> Push {
    Push { children: Some(Vec::new()), artifact_type: None, ..image(label) }
}

/// Starts an artifact that is no image, as in `application/vnd.cncf.helm.config.v1+json`.
pub fn artifact(label: &str, kind: &str) -> Push {
    Push { artifact_type: Some(kind.to_owned()), ..image(label) }.layers(&[(label, 10_000)])
}

/// Starts an attestation as buildx makes it: it looks like an image, and its platform in an index is unknown.
pub fn attestation(label: &str) -> Push {
    image(label).layers(&[(label, 20_000)]).platform("unknown/unknown")
}

/// Starts a signature as cosign made them before OCI 1.1: tied to its subject by its tag alone.
///
/// The suffix is `sig`, `att`, `sbom`, or empty for the fallback tag of referrers.
pub fn cosign(label: &str, subject: impl Into<Link>, suffix: &'static str) -> Push {
    Push { cosign: Some((subject.into(), suffix)), ..image(label) }.layers(&[(label, 300)])
}

/// Starts a referrer of OCI 1.1: an artifact whose manifest names its subject.
pub fn referrer(label: &str, subject: impl Into<Link>) -> Push {
    artifact(label, "application/vnd.dev.cosign.artifact.sig.v1+json").subject(subject)
}

impl Push {
    /// Adds a tag.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// Says how long ago it was pushed. Children that are pushed with an index are as old.
    pub fn age(mut self, age: SignedDuration) -> Self {
        self.age = Some(age);
        self
    }

    /// Takes its push time away.
    pub fn undated(mut self) -> Self {
        self.age = None;
        self
    }

    /// Says how long ago it was pulled last.
    pub fn pulled(mut self, ago: SignedDuration) -> Self {
        self.pulled = Some(ago);
        self
    }

    /// Says that it is archived, and since when.
    pub fn archived(mut self, ago: SignedDuration) -> Self {
        self.status = Status::Archived;
        self.archived = Some(ago);
        self
    }

    /// Says that it was archived before, and restored so long ago.
    pub fn activated(mut self, ago: SignedDuration) -> Self {
        self.activated = Some(ago);
        self
    }

    /// Gives it a status, also one that nobody knows.
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Says what it holds, in place of an image.
    pub fn kind(mut self, artifact_type: &str) -> Self {
        self.artifact_type = Some(artifact_type.to_owned());
        self
    }

    /// Writes it in Docker's format instead of OCI's.
    pub fn docker(mut self) -> Self {
        self.docker = true;
        if self.children.is_none() && self.artifact_type.as_deref() == Some(OCI_CONFIG) {
            self.artifact_type = Some(DOCKER_CONFIG.to_owned());
        }
        self
    }

    /// Gives it one layer of so many bytes.
    pub fn size(self, bytes: u64) -> Self {
        let label = self.label.clone();
        self.layers(&[(&label, bytes)])
    }

    /// Gives it layers by name and size: the same name is the same layer in every image.
    pub fn layers(mut self, layers: &[(&str, u64)]) -> Self {
        self.layers = Some(layers.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Names its platform in the index that lists it, as in `linux/arm64` or `linux/arm/v7`.
    pub fn platform(mut self, platform: &str) -> Self {
        self.platform = Some(platform.to_owned());
        self
    }

    /// Attaches it to a subject.
    pub fn subject(mut self, subject: impl Into<Link>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Lists children by label: for `linux/amd64`, `linux/arm64` and so on, unless they were pushed with a platform.
    ///
    /// What was not pushed yet is pushed with the index, as an image of the index' age.
    pub fn children<const N: usize>(mut self, labels: [&str; N]) -> Self {
        let listed = self.children.get_or_insert_default();
        listed.extend(labels.map(|label| Child { link: label.into(), platform: None, missing: false }));
        self
    }

    /// Lists a child for a platform.
    pub fn child(mut self, child: impl Into<Link>, platform: &str) -> Self {
        let child = Child { link: child.into(), platform: Some(platform.to_owned()), missing: false };
        self.children.get_or_insert_default().push(child);
        self
    }

    /// Lists a child that is not in the repository: the index is sparse.
    pub fn lacking(mut self, label: &str) -> Self {
        self.children.get_or_insert_default().push(Child { link: label.into(), platform: None, missing: true });
        self
    }

    /// Takes these bytes as its manifest, whatever they are; the digest is theirs.
    pub fn manifest(mut self, bytes: impl Into<Bytes>) -> Self {
        self.manifest = Some(bytes.into());
        self
    }

    /// Returns a child of this index' age and format that nobody has pushed.
    pub(super) fn sibling(&self, label: &str) -> Self {
        let child = Self { age: self.age, ..image(label) };
        if self.docker { child.docker() } else { child }
    }

    /// Returns the entry that a push of this makes at a time; `children` and `subject` are resolved.
    pub(super) fn entry(
        &self,
        now: Timestamp,
        children: &[(Digest, Option<String>, &str)],
        subject: Option<Digest>,
    ) -> Entry {
        let bytes = self.manifest.clone().unwrap_or_else(|| self.write(children, subject).to_string().into());
        let media_type = self.media_type();
        let ago = |age: SignedDuration| now.checked_sub(age).expect("a time that can be written");
        let entry = Entry::of_manifest(bytes.clone(), Some(media_type));
        let mut entry = entry.unwrap_or_else(|_| Entry {
            digest: Digest::of(&bytes),
            manifest: Some(bytes),
            ..Entry::of_manifest(Bytes::from_static(b"{}"), Some(media_type)).expect("an object")
        });
        entry.pushed_at = self.age.map(ago);
        entry.pulled_at = self.pulled.map(ago);
        entry.archived_at = self.archived.map(ago);
        entry.activated_at = self.activated.map(ago);
        entry.status = self.status.clone();
        entry.media_type = Some(media_type.to_owned());
        entry.artifact_type.clone_from(&self.artifact_type);
        entry
    }

    pub(super) const fn media_type(&self) -> &'static str {
        match (&self.children, self.docker) {
            (None, false) => OCI_MANIFEST,
            (None, true) => DOCKER_MANIFEST,
            (Some(_), false) => OCI_INDEX,
            (Some(_), true) => DOCKER_LIST,
        }
    }

    fn write(&self, children: &[(Digest, Option<String>, &str)], subject: Option<Digest>) -> Value {
        let mut manifest = json!({"schemaVersion": 2, "mediaType": self.media_type()});
        if self.children.is_some() {
            let listed = children.iter().map(|(digest, platform, media_type)| {
                let mut descriptor = json!({"mediaType": media_type, "digest": digest.to_string(), "size": 500});
                if let Some(platform) = platform {
                    descriptor["platform"] = describe_platform(platform);
                }
                descriptor
            });
            manifest["manifests"] = listed.collect();
            // Two indexes of the same children are two entries.
            manifest["annotations"] = json!({"label": self.label});
        } else {
            let config = if self.docker { DOCKER_CONFIG } else { OCI_CONFIG };
            let config = self.artifact_type.as_deref().unwrap_or(config);
            manifest["config"] = json!({"mediaType": config, "digest": blob("config", &self.label), "size": 1_500});
            let one = [(self.label.clone(), 100_000_000)];
            let layers = self.layers.as_deref().unwrap_or(&one).iter();
            let layers = layers.map(|(name, size)| {
                let kind =
                    if self.docker { "docker.image.rootfs.diff.tar.gzip" } else { "oci.image.layer.v1.tar+gzip" };
                json!({"mediaType": format!("application/vnd.{kind}"), "digest": blob("layer", name), "size": size})
            });
            manifest["layers"] = layers.collect();
        }
        if let Some(subject) = subject {
            manifest["subject"] = json!({"mediaType": OCI_MANIFEST, "digest": subject.to_string(), "size": 500});
        }
        for (key, value) in &self.annotations {
            manifest["annotations"][key] = value.clone().into();
        }
        manifest
    }
}

/// Returns the digest of an image's config, which some runtimes report as the image's id.
#[must_use]
pub fn config_digest(label: &str) -> Digest {
    Digest::of(format!("config {label}").as_bytes())
}

/// Returns the digest of an entry that was never pushed, by its label.
#[must_use]
pub fn missing_digest(label: &str) -> Digest {
    Digest::of(format!("missing {label}").as_bytes())
}

fn blob(kind: &str, name: &str) -> String {
    Digest::of(format!("{kind} {name}").as_bytes()).to_string()
}

fn describe_platform(platform: &str) -> Value {
    let mut parts = platform.split('/');
    let mut described = json!({"os": parts.next(), "architecture": parts.next()});
    if let Some(variant) = parts.next() {
        described["variant"] = variant.into();
    }
    described
}
