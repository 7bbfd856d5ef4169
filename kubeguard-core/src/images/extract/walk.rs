//! Every place of an object that names an image, found by its shape instead of its kind.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::hosts::HostMap;
use super::super::inventory::Suspicion;
use super::super::parse::is_ecr_like;
use super::super::reference::ImageRef;
use super::pod::{ImageContainer, ImagePodSpec};
use super::text::{self, Found};

/// Objects nested deeper than this are not followed, and said to be.
const MOST_DEPTH: usize = 64;
/// JSON inside of text inside of JSON.
const MOST_EMBEDDED: usize = 3;
/// Last words of keys whose text is an image.
const IMAGE_KEYS: &[&str] =
    &["image", "imagename", "imageref", "imageurl", "dockerimage", "containerimage", "baseimage", "imagedigest"];
/// The same as ends of a key in camel case.
const CAMEL_ENDS: &[&str] = &["Image", "ImageName", "ImageRef", "ImageUrl", "ImageURL", "ImageDigest"];
/// Last words of keys whose text may be an image, or something else.
const PERHAPS_IMAGE_KEYS: &[&str] = &["package", "reference", "catalog"];
/// Last words of keys that hold the tag of an image beside them.
const TAG_KEYS: &[&str] = &["tag", "version", "digest"];
/// What else is read of a pod's spec.
const SPEC_FIELDS: &[&str] = &["volumes", "nodeSelector", "nodeName", "affinity", "tolerations"];
const CONTAINER_LISTS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// One mention of an image, at its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    /// As in `spec.template.spec.containers[0].image`.
    pub(super) path: String,
    pub(super) container: Option<String>,
    /// It stands in a field whose meaning is an image, not in running text.
    pub(super) structural: bool,
    /// Where the pod may run that starts it, as JSON of a `Placement`.
    pub(super) place: Option<Arc<str>>,
    pub(super) what: What,
}

/// What a mention is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Image(String),
    Suspicious(String, Suspicion),
    /// A registry's host without an image.
    Address,
    /// The object goes on here, deeper than is followed.
    TooDeep,
}

/// A walk over one object.
pub(super) struct Walk<'a> {
    hosts: &'a HostMap,
    /// Whether keys that speak of images are believed; a `ConfigMap`'s are names of files.
    believes_keys: bool,
    path: String,
    container: Option<String>,
    place: Option<Arc<str>>,
    /// Its pods are those of a `DaemonSet`.
    of_daemon: bool,
    embedded: usize,
    mentions: Vec<Mention>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(hosts: &'a HostMap, believes_keys: bool) -> Self {
        Self {
            hosts,
            believes_keys,
            path: String::new(),
            container: None,
            place: None,
            of_daemon: false,
            embedded: 0,
            mentions: Vec::new(),
        }
    }

    /// Says that the pods are those of a `DaemonSet`, which tolerate more.
    pub(super) fn of_daemon(mut self) -> Self {
        self.of_daemon = true;
        self
    }

    pub(super) fn mentions(self) -> Vec<Mention> {
        self.mentions
    }

    /// Walks a whole object.
    pub(super) fn object(&mut self, value: &Value) {
        self.value("", value, 0);
    }

    /// Walks a part that stands at a path.
    pub(super) fn part(&mut self, path: &str, value: &Value) {
        path.clone_into(&mut self.path);
        self.value(path.rsplit('.').next().unwrap_or_default(), value, 0);
    }

    /// Searches one text that stands at a path.
    pub(super) fn text_at(&mut self, path: &str, text: &str) {
        path.clone_into(&mut self.path);
        self.text(text, 0);
    }

    /// Reads the containers and image volumes of a pod's spec that stands at a path.
    pub(super) fn pod_spec(&mut self, path: &str, spec: &ImagePodSpec) {
        path.clone_into(&mut self.path);
        self.containers(spec);
    }

    fn value(&mut self, key: &str, value: &Value, depth: usize) {
        if depth > MOST_DEPTH {
            self.push(false, What::TooDeep);
            return;
        }
        match value {
            Value::String(text) if self.believes_keys && is_image_key(key, text) => self.image(text),
            Value::String(text) => self.text(text, depth),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.at(&format!("[{at}]"), |walk| walk.value(key, item, depth + 1));
                }
            }
            Value::Object(map) => self.map(key, map, depth),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn map(&mut self, key: &str, map: &Map<String, Value>, depth: usize) {
        let of_objects = |list: &str| {
            let items = map.get(list).and_then(Value::as_array);
            items.is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
        };
        let is_pod_spec = self.believes_keys && CONTAINER_LISTS.iter().any(|list| of_objects(list));
        if is_pod_spec {
            let lists = CONTAINER_LISTS.iter().chain(SPEC_FIELDS);
            let lists = lists.filter_map(|list| Some(((*list).to_owned(), map.get(*list)?.clone())));
            let (spec, _) = crate::kinds::read::<ImagePodSpec>(Value::Object(lists.collect()));
            self.containers(&spec);
        }
        let joined = if self.believes_keys { self.joined(key, map) } else { Vec::new() };
        if self.believes_keys && joined.is_empty() && !is_pod_spec {
            self.tags_elsewhere(map);
        }
        for (name, inner) in map {
            let here = self.path.is_empty();
            if name == "managedFields" && self.path == "metadata"
                || here && matches!(name.as_str(), "kind" | "apiVersion")
            {
                continue;
            }
            if joined.contains(&name.as_str()) {
                continue;
            }
            let is_list = is_pod_spec && CONTAINER_LISTS.contains(&name.as_str());
            self.at(&segment(name), |walk| match inner.as_array().filter(|_| is_list) {
                // What the pod spec has read is not read again.
                Some(items) => {
                    for (at, item) in items.iter().enumerate() {
                        let Some(item) = item.as_object() else { continue };
                        let rest = item.iter().filter(|(field, _)| {
                            !matches!(field.as_str(), "name" | "image" | "command" | "args" | "env")
                        });
                        for (field, inner) in rest {
                            walk.at(&format!("[{at}]{}", segment(field)), |walk| walk.value(field, inner, depth + 2));
                        }
                    }
                }
                None => walk.value(name, inner, depth + 1),
            });
        }
    }

    /// Puts `repository`, `tag` and the like under an image-like key together; returns the fields that were used.
    fn joined(&mut self, key: &str, map: &Map<String, Value>) -> Vec<&'static str> {
        let is_image = is_image_word(key);
        if !is_image && !PERHAPS_IMAGE_KEYS.contains(&last_word(key).as_str()) {
            return Vec::new();
        }
        let mut used = Vec::new();
        let mut text = |names: &[&'static str]| {
            let (name, text) = names.iter().find_map(|name| Some((*name, scalar(map.get(*name)?)?)))?;
            used.push(name);
            Some(text)
        };
        let Some(name) = text(&["repository", "image", "name"]).filter(|name| is_image || name.contains('/')) else {
            return Vec::new();
        };
        let mut whole = match text(&["registry"]) {
            Some(registry) => format!("{}/{name}", registry.trim_end_matches('/')),
            None => name,
        };
        let (tag, digest) = (text(&["tag", "version"]), text(&["digest"]));
        let complete = tag.is_some() || digest.is_some();
        if let Some(tag) = tag {
            whole = format!("{whole}:{tag}");
        }
        if let Some(digest) = digest {
            whole = format!("{whole}@{digest}");
        }
        self.image(&whole);
        if !complete && self.lacks_tag(&whole) {
            self.push(true, What::Suspicious(whole, Suspicion::NoTag));
        }
        used
    }

    /// Says of an image without a tag, beside which a tag or version stands, that its tag is not known: operators put
    /// the two together each in their own way.
    fn tags_elsewhere(&mut self, map: &Map<String, Value>) {
        let is_tag = |name: &String| TAG_KEYS.contains(&last_word(name).as_str()) || name.ends_with("Tag");
        if !map.iter().any(|(name, value)| is_tag(name) && scalar(value).is_some()) {
            return;
        }
        for (name, value) in map {
            if let Value::String(text) = value
                && is_image_word(name)
                && self.lacks_tag(text)
            {
                let what = What::Suspicious(text.clone(), Suspicion::NoTag);
                self.at(&segment(name), |walk| walk.push(true, what));
            }
        }
    }

    /// Returns whether a text names a repository of ECR, and neither tag nor digest.
    fn lacks_tag(&self, text: &str) -> bool {
        let ImageRef::Ecr(key) = ImageRef::parse(text, self.hosts) else { return false };
        let written = key.digest.is_some() || text.trim_end().ends_with(":latest");
        !written && key.tag.as_deref() == Some("latest")
    }

    fn containers(&mut self, spec: &ImagePodSpec) {
        let placement = spec.placement();
        let placement = if self.of_daemon { placement.of_daemon() } else { placement };
        self.place = serde_json::to_string(&placement).ok().map(Arc::from);
        for (list, at, container) in spec.containers() {
            self.container = Some(container.name.clone()).filter(|name| !name.is_empty());
            self.at(&format!(".{list}[{at}]"), |walk| walk.container(container));
        }
        self.container = None;
        for (at, volume) in spec.volumes.iter().enumerate() {
            let image = volume.volume_source.as_ref().and_then(|source| source.image.as_ref());
            if let Some(image) = image.filter(|image| !image.reference.is_empty()) {
                self.at(&format!(".volumes[{at}].image.reference"), |walk| walk.image(&image.reference));
            }
        }
        self.place = None;
    }

    fn container(&mut self, container: &ImageContainer) {
        self.at(".image", |walk| walk.image(&container.image));
        for (list, texts) in [("command", &container.command), ("args", &container.args)] {
            for (at, text) in texts.iter().enumerate() {
                self.at(&format!(".{list}[{at}]"), |walk| walk.text(text, 0));
            }
        }
        for (at, variable) in container.env.iter().enumerate().filter(|(_, variable)| !variable.value.is_empty()) {
            self.at(&format!(".env[{at}].value"), |walk| walk.text(&variable.value, 0));
        }
    }

    /// A text that is meant as an image.
    fn image(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        match ImageRef::parse(text, self.hosts) {
            ImageRef::Ecr(_) | ImageRef::Other(_) => self.push(true, What::Image(text.to_owned())),
            ImageRef::Bare(_) => {}
            ImageRef::Unparsed(_) if !is_ecr_like(text) => self.scan(text, true),
            ImageRef::Unparsed(_) => {
                // A list of images in one field is no reference, but every image in it is.
                let mut templated = false;
                for found in text::scan(text, self.hosts) {
                    match found {
                        Found::Image(image) => self.mention(image, true),
                        Found::NoTag(name) => self.push(true, What::Suspicious(name.to_owned(), Suspicion::NoTag)),
                        Found::Templated(text) => {
                            templated = true;
                            self.push(true, What::Suspicious(text.to_owned(), Suspicion::Templated));
                        }
                        Found::Address(_) => {}
                    }
                }
                if !templated {
                    self.push(true, What::Suspicious(text.to_owned(), Suspicion::Unparsed));
                }
            }
        }
    }

    /// Running text; JSON inside of it is walked.
    fn text(&mut self, text: &str, depth: usize) {
        let starts = text.trim_start();
        if starts.starts_with(['{', '['])
            && self.embedded < MOST_EMBEDDED
            && let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(starts)
        {
            self.embedded += 1;
            let from = self.mentions.len();
            self.value("", &inner, depth + 1);
            for mention in self.mentions.iter_mut().skip(from) {
                mention.structural = false;
            }
            self.embedded -= 1;
            return;
        }
        self.scan(text, false);
    }

    fn scan(&mut self, text: &str, structural: bool) {
        for found in text::scan(text, self.hosts) {
            match found {
                Found::Address(_) => self.push(structural, What::Address),
                Found::Image(image) => {
                    // A full stop may end the sentence or belong to the tag: both are kept.
                    let shorter = image.trim_end_matches('.');
                    if shorter.len() < image.len() {
                        self.mention(shorter, structural);
                    }
                    self.mention(image, structural);
                }
                Found::NoTag(image) => {
                    self.mention(image, structural);
                    self.push(structural, What::Suspicious(image.to_owned(), Suspicion::NoTag));
                }
                Found::Templated(text) => {
                    self.push(structural, What::Suspicious(text.to_owned(), Suspicion::Templated));
                }
            }
        }
    }

    fn mention(&mut self, image: &str, structural: bool) {
        let what = match ImageRef::parse(image, self.hosts) {
            ImageRef::Ecr(_) | ImageRef::Other(_) => What::Image(image.to_owned()),
            ImageRef::Bare(_) | ImageRef::Unparsed(_) => What::Suspicious(image.to_owned(), Suspicion::Unparsed),
        };
        self.push(structural, what);
    }

    fn push(&mut self, structural: bool, what: What) {
        let path = self.path.trim_start_matches('.').to_owned();
        let place = self.place.clone().filter(|_| structural);
        self.mentions.push(Mention { path, container: self.container.clone(), structural, place, what });
    }

    /// Does something one step further down the path.
    fn at(&mut self, segment: &str, act: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        let segment = if length == 0 { segment.trim_start_matches('.') } else { segment };
        self.path.push_str(segment);
        act(self);
        self.path.truncate(length);
    }
}

/// Returns a key as a step of a path: in brackets where its own characters would look like steps.
fn segment(key: &str) -> String {
    let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if plain { format!(".{key}") } else { format!("[{key}]") }
}

/// Returns the last word of a key in lower case, as in `image` of `proxy_image`.
fn last_word(key: &str) -> String {
    key.rsplit(['-', '_', '.', '/']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Returns the text of a scalar that is one, and not empty.
fn scalar(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Returns whether a key's last word says image, as in `image`, `proxy_image`, `driverImage` and `postgresImageName`.
fn is_image_word(key: &str) -> bool {
    let last = last_word(key);
    IMAGE_KEYS.contains(&last.as_str()) || CAMEL_ENDS.iter().any(|end| key.ends_with(end))
}

fn is_image_key(key: &str, text: &str) -> bool {
    is_image_word(key)
        || PERHAPS_IMAGE_KEYS.contains(&last_word(key).as_str()) && text.contains('/') && text.contains([':', '@'])
}
