//! Manifests: what an index lists, and those that were read once and are never read again.
//!
//! Reading a manifest counts as a pull. A manifest never changes, so each is read once and kept by its digest.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;

use super::snapshot::{Child, IndexManifest};
use crate::error::{Error, Result};
use crate::images::Digest;

/// ECR stores no larger manifest.
pub const LARGEST: usize = 4 << 20;

/// Manifests that were read before, by digest: in a folder, or for as long as the process lives.
#[derive(Debug)]
pub struct ManifestCache(Place);

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Memory(Mutex<BTreeMap<Digest, Bytes>>),
}

impl ManifestCache {
    /// Keeps manifests in `sha256/ab/HEX` under a folder, which is made when the first one is kept.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self(Place::Folder(folder.into()))
    }

    /// Keeps manifests while the process lives.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Place::Memory(Mutex::default()))
    }

    /// Returns a manifest that was kept. One that is not what its digest says counts as absent: it is read anew.
    ///
    /// # Errors
    /// [`Error::Io`] when a kept manifest cannot be read.
    pub fn get(&self, digest: Digest) -> Result<Option<Bytes>> {
        match &self.0 {
            Place::Memory(kept) => Ok(kept.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()),
            Place::Folder(folder) => {
                let path = path(folder, digest);
                match fs::read(&path) {
                    Ok(bytes) => Ok(Some(Bytes::from(bytes)).filter(|bytes| Digest::of(bytes) == digest)),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(Error::Io { doing: "read", file: path.display().to_string(), source }),
                }
            }
        }
    }

    /// Keeps a manifest that the caller has checked against its digest. A crash leaves the whole manifest or none.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written: it would be read, and so count as pulled, again and again.
    pub fn keep(&self, digest: Digest, manifest: &Bytes) -> Result<()> {
        match &self.0 {
            Place::Memory(kept) => {
                kept.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, manifest.clone());
                Ok(())
            }
            Place::Folder(folder) => {
                let path = path(folder, digest);
                write(&path, manifest).map_err(|source| Error::Io {
                    doing: "write",
                    file: path.display().to_string(),
                    source,
                })
            }
        }
    }
}

fn path(folder: &Path, digest: Digest) -> PathBuf {
    let hex = digest.hex();
    folder.join("sha256").join(hex.get(..2).unwrap_or_default()).join(hex)
}

/// Writes beside the place and renames: two processes that keep the same manifest do not meet.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let unique = format!("{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let beside = path.with_extension(unique);
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()
    });
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        // What is left over is named by no digest, so it is never read; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    })
}

/// Checks that some bytes are the manifest that a digest names.
///
/// # Errors
/// Why they are not, in words.
pub fn check(digest: Digest, manifest: &[u8]) -> Result<(), String> {
    if manifest.len() > LARGEST {
        return Err(format!("the manifest of {digest} has {} bytes, more than the 4 MiB there can be", manifest.len()));
    }
    let actual = Digest::of(manifest);
    if actual == digest { Ok(()) } else { Err(format!("the manifest of {digest} is that of {actual}")) }
}

impl IndexManifest {
    /// Reads the manifest of an OCI index or a Docker manifest list.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn read(manifest: &[u8]) -> Result<Self, String> {
        let index: Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
        let listed = index.get("manifests").and_then(Value::as_array).ok_or("it lists no manifests")?;
        let mut read = Self::default();
        for descriptor in listed {
            match digest(descriptor) {
                Some(digest) => read.children.push(Child { digest, platform: platform(descriptor) }),
                None => read.strange = true,
            }
            read.strange |= !is_manifest(descriptor.get("mediaType").and_then(Value::as_str).unwrap_or_default());
        }
        match index.get("subject") {
            None | Some(Value::Null) => {}
            Some(subject) => {
                read.subject = digest(subject);
                read.strange |= read.subject.is_none();
            }
        }
        Ok(read)
    }
}

/// Config and layers of one image, as its manifest names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageManifest {
    /// Digest of the config, which some runtimes report as the id of the image.
    pub config: Option<Digest>,
    /// Layers with their compressed sizes, in the order of the manifest; `None` when one of them cannot be read.
    pub layers: Option<Vec<(Digest, u64)>>,
}

impl ImageManifest {
    /// Reads the manifest of one image.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn read(manifest: &[u8]) -> Result<Self, String> {
        let image: Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
        let layer = |layer: &Value| Some((digest(layer)?, layer.get("size")?.as_u64()?));
        Ok(Self {
            config: image.get("config").and_then(digest),
            layers: image.get("layers").and_then(Value::as_array).and_then(|all| all.iter().map(layer).collect()),
        })
    }
}

fn digest(descriptor: &Value) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.parse().ok()
}

fn platform(descriptor: &Value) -> Option<String> {
    let platform = descriptor.get("platform")?;
    let part = |name: &str| platform.get(name).and_then(Value::as_str).filter(|part| !part.is_empty());
    let (system, architecture) = (part("os")?, part("architecture")?);
    Some(match part("variant") {
        Some(variant) => format!("{system}/{architecture}/{variant}"),
        None => format!("{system}/{architecture}"),
    })
}

fn is_manifest(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.docker.distribution.manifest.v2+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
            | "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.oci.image.index.v1+json"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_index_tells_children_platforms_and_subject() {
        let (a, b, subject) = (Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"subject"));
        let manifest = json!({
            "schemaVersion": 2,
            "manifests": [
                {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": a, "size": 1,
                 "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
                {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": b, "size": 1},
            ],
            "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1},
        });
        let index = IndexManifest::read(manifest.to_string().as_bytes()).unwrap();
        assert_eq!(
            index.children,
            [Child { digest: a, platform: Some("linux/arm/v7".to_owned()) }, Child { digest: b, platform: None }]
        );
        assert_eq!((index.subject, index.strange), (Some(subject), false));
    }

    #[test]
    fn what_an_index_lists_beside_manifests_makes_it_strange_and_stays_a_child() {
        let layer = Digest::of(b"layer");
        for (listed, children) in [
            (json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer}]), 1),
            (json!([{"digest": layer}]), 1),
            (json!([{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha512:00"}]), 0),
        ] {
            let index = IndexManifest::read(json!({"manifests": listed}).to_string().as_bytes()).unwrap();
            assert!(index.strange, "{listed}");
            assert_eq!(index.children.len(), children, "{listed}");
        }
        assert!(IndexManifest::read(br#"{"manifests": [], "subject": {"digest": "?"}}"#).unwrap().strange);
    }

    #[test]
    fn what_lists_no_manifests_is_no_index() {
        for manifest in ["", "[]", "{}", r#"{"manifests": {}}"#, "<html>"] {
            assert!(IndexManifest::read(manifest.as_bytes()).is_err(), "{manifest}");
        }
    }

    #[test]
    fn a_kept_manifest_is_found_again_and_a_damaged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Bytes::from_static(b"{}");
        let digest = Digest::of(&manifest);
        let cache = ManifestCache::in_folder(folder.path());
        assert_eq!(cache.get(digest).unwrap(), None);
        cache.keep(digest, &manifest).unwrap();
        assert_eq!(ManifestCache::in_folder(folder.path()).get(digest).unwrap(), Some(manifest.clone()));

        let kept = path(folder.path(), digest);
        let names: Vec<_> = fs::read_dir(kept.parent().unwrap()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(names, std::slice::from_ref(&kept), "nothing else is left there");
        fs::write(&kept, b"{").unwrap();
        assert_eq!(cache.get(digest).unwrap(), None);
        cache.keep(digest, &manifest).unwrap();
        assert_eq!(cache.get(digest).unwrap(), Some(manifest));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = ManifestCache::in_folder(file.path()).keep(Digest::of(b"{}"), &Bytes::from_static(b"{}"));
        assert!(matches!(error, Err(Error::Io { doing: "write", .. })), "{error:?}");
    }

    #[test]
    fn a_manifest_is_checked_by_size_and_digest() {
        assert!(check(Digest::of(b"{}"), b"{}").is_ok());
        assert!(check(Digest::of(b"{}"), b"{ }").is_err());
        let large = vec![b' '; LARGEST + 1];
        assert!(check(Digest::of(&large), &large).unwrap_err().contains("4 MiB"));
    }
}
