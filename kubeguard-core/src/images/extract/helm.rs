//! Helm's stored releases: base64 (in a Secret twice), gzip, JSON with the manifests of one revision.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::gather::manifests;

/// A release larger than this is not followed, and said not to be.
const MOST_BYTES: u64 = 64 << 20;

/// One stored revision of a release.
pub(super) struct Release {
    pub(super) name: String,
    pub(super) revision: i64,
    /// It is what runs, or was the last to.
    pub(super) deployed: bool,
    /// The objects that it makes, with `manifest` or `hooks[N]` in front of their kind and name.
    pub(super) objects: Vec<(String, Value)>,
    /// Manifests that are no objects, as text.
    pub(super) texts: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Stored {
    name: String,
    #[serde(default)]
    version: i64,
    #[serde(default)]
    info: Info,
    #[serde(default)]
    manifest: String,
    #[serde(default)]
    hooks: Option<Vec<Hook>>,
}

#[derive(Deserialize, Default)]
struct Info {
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Hook {
    #[serde(default)]
    manifest: String,
}

/// Returns whether a Secret or `ConfigMap` holds a release, by Helm's own label.
pub(super) fn is_release(object: &Value) -> bool {
    object.pointer("/metadata/labels/owner").and_then(Value::as_str) == Some("helm")
        && object.pointer("/data/release").is_some_and(Value::is_string)
}

/// Decodes a release; `None` when it is damaged or too large.
pub(super) fn decode(object: &Value, is_secret: bool) -> Option<Release> {
    let text = object.pointer("/data/release")?.as_str()?;
    let mut bytes = STANDARD.decode(text).ok()?;
    if is_secret {
        bytes = STANDARD.decode(bytes).ok()?;
    }
    let mut json = Vec::new();
    let mut plain: Box<dyn Read> = if bytes.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::GzDecoder::new(bytes.as_slice()).take(MOST_BYTES + 1))
    } else {
        Box::new(bytes.as_slice())
    };
    plain.read_to_end(&mut json).ok()?;
    if json.len() as u64 > MOST_BYTES {
        return None;
    }
    let stored: Stored = serde_json::from_slice(&json).ok()?;
    let mut release = Release {
        name: stored.name,
        revision: stored.version,
        deployed: stored.info.status == "deployed",
        objects: Vec::new(),
        texts: Vec::new(),
    };
    let hooks = stored.hooks.unwrap_or_default();
    let hooks = hooks.into_iter().enumerate().map(|(at, hook)| (format!("hooks[{at}]"), hook.manifest));
    for (place, manifest) in std::iter::once(("manifest".to_owned(), stored.manifest)).chain(hooks) {
        match manifests::parse(&place, manifest.as_bytes()) {
            Ok(found) => release.objects.extend(found.into_iter().map(|manifest| {
                let text = |pointer: &str| manifest.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                (format!("{place}[{}/{}]", text("/kind"), text("/metadata/name")), manifest.object)
            })),
            Err(_) => release.texts.push((place, manifest)),
        }
    }
    Some(release)
}
