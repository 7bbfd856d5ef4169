//! From objects to references: what every kind says of images, folded while lists are read.
//!
//! Pods are read slim and folded by owner; every other object is walked by the shape of its parts, so that a custom
//! resource nobody has heard of is read as well as a `Deployment`.

mod helm;
mod kept;
mod platforms;
mod pod;
mod text;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::hosts::HostMap;
use super::inventory::{
    Coverage, Pinned, PlatformNodes, Reference, Rewritten, Scan, Secrets, Suspicion, Suspicious, Switch, Use,
};
use super::parse::is_ecr_like;
use super::reference::ImageRef;
use crate::kinds::{ObjectMeta, Time};
use crate::scheduling::PlaceNode;
use kept::{Folded, Named, Place, Text, Texts};
use platforms::Nodes;
pub use pod::*;
use walk::{Mention, Walk, What};

/// Keeps everything that an object or a namespace refers to.
const KEEP: &str = "kubeguard.dev/keep";
/// Keeps the images that it lists.
const KEEP_IMAGES: &str = "kubeguard.dev/keep-images";
/// Groups whose kinds are known: outside of them everything is a custom resource.
const BUILT_IN: &[&str] = &[
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "extensions",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Returns whether a group is one of Kubernetes' own.
#[must_use]
pub fn is_built_in(group: &str) -> bool {
    BUILT_IN.contains(&group)
}

/// What was found in a cluster's objects; every list sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What is named where.
    pub references: Vec<Reference>,
    /// What annotations pin.
    pub pinned: Vec<Pinned>,
    /// Pods that run another image than their template says.
    pub rewritten: Vec<Rewritten>,
    /// What looks like a reference and is none.
    pub suspicious: Vec<Suspicious>,
    /// What the nodes that were read can run.
    pub platforms: Vec<PlatformNodes>,
    /// What was looked at beside.
    pub coverage: Coverage,
}

/// Takes objects one by one, in any order, and keeps only what they say of images.
///
/// ```
/// use kubeguard_core::images::{Collector, HostMap, inventory::Scan};
/// use serde_json::json;
///
/// let (hosts, scan) = (HostMap::default(), Scan::default());
/// let mut collector = Collector::new(&hosts, &scan);
/// collector.add(&json!({
///     "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"namespace": "team", "name": "report"},
///     "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "web:2"}]}}}}},
/// }));
/// let found = collector.finish();
/// assert_eq!(found.references[0].path, "spec.jobTemplate.spec.template.spec.containers[0].image");
/// ```
#[derive(Debug)]
pub struct Collector<'a> {
    hosts: &'a HostMap,
    scan: &'a Scan,
    texts: Texts,
    references: BTreeMap<Named, Folded>,
    nodes: Nodes,
    suspicious: BTreeSet<Suspicious>,
    pinned: BTreeSet<Pinned>,
    /// Objects and namespaces (kind `Namespace`, no namespace) whose references are all kept.
    kept: BTreeSet<Place>,
    /// Who controls a `ReplicaSet` or Job.
    owners: BTreeMap<Place, (Text, Text)>,
    /// The images of templates that pods come from, by container.
    templates: BTreeMap<Place, Vec<(Text, Text)>>,
    /// What pods of a template run, by container.
    runs: BTreeSet<(Place, Text, Text)>,
    /// Revisions that a workload runs now.
    current: BTreeSet<Place>,
    /// The newest deployed revision of each Helm release.
    deployed: BTreeMap<Place, i64>,
    coverage: Coverage,
}

/// Whose mentions are recorded, and what they mean.
#[derive(Clone)]
struct Origin {
    namespace: Option<Text>,
    kind: Text,
    name: Text,
    r#use: Use,
    /// A known image field must hold a reference here.
    spec_place: bool,
    owner: Option<Text>,
    revision: Option<i64>,
}

/// What a pod adds to a mention.
#[derive(Default)]
struct Seen {
    /// For a status: what the same container's spec names.
    spec: Option<Text>,
    started: Option<Timestamp>,
    /// One for a pod, none for anything else.
    pods: u64,
}

impl Origin {
    /// What running text of the object means: as much as the object itself where that is past.
    const fn text_use(&self) -> Use {
        match self.r#use {
            Use::Revision | Use::Finished => self.r#use,
            _ => Use::Text,
        }
    }

    fn place(&self) -> Place {
        (self.namespace.clone().unwrap_or_default(), self.kind.clone(), self.name.clone())
    }
}

impl<'a> Collector<'a> {
    /// Begins with nothing.
    #[must_use]
    pub fn new(hosts: &'a HostMap, scan: &'a Scan) -> Self {
        Self {
            hosts,
            scan,
            texts: Texts::default(),
            references: BTreeMap::new(),
            nodes: Nodes::default(),
            suspicious: BTreeSet::new(),
            pinned: BTreeSet::new(),
            kept: BTreeSet::new(),
            owners: BTreeMap::new(),
            templates: BTreeMap::new(),
            runs: BTreeSet::new(),
            current: BTreeSet::new(),
            deployed: BTreeMap::new(),
            coverage: Coverage::default(),
        }
    }

    /// Returns how many references there are so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.references.len()
    }

    /// Takes everything that another has found.
    pub fn merge(&mut self, other: Self) {
        for (reference, folded) in other.references {
            self.references.entry(reference).or_default().add(folded);
        }
        self.nodes.merge(other.nodes);
        self.suspicious.extend(other.suspicious);
        self.pinned.extend(other.pinned);
        self.kept.extend(other.kept);
        self.owners.extend(other.owners);
        self.templates.extend(other.templates);
        self.runs.extend(other.runs);
        self.current.extend(other.current);
        for (release, revision) in other.deployed {
            let newest = self.deployed.entry(release).or_insert(revision);
            *newest = revision.max(*newest);
        }
        self.coverage.registry_addresses += other.coverage.registry_addresses;
        self.coverage.kinds_skipped.extend(other.coverage.kinds_skipped);
        self.coverage.too_deep.extend(other.coverage.too_deep);
    }

    /// Says that a kind was left out.
    pub fn skipped(&mut self, kind: impl Into<String>) {
        self.coverage.kinds_skipped.push(kind.into());
    }

    /// Takes a pod; pods of one owner that run the same are one reference each.
    pub fn add_pod(&mut self, pod: &ImagePod) {
        let meta = &pod.metadata;
        let status = pod.status.as_ref();
        let ended = status.is_some_and(|status| matches!(status.phase.as_str(), "Succeeded" | "Failed"));
        let (kind, name) = meta.controller().map_or(("Pod", &meta.name), |owner| (owner.kind.as_str(), &owner.name));
        let origin = Origin {
            namespace: self.texts.some(&meta.namespace),
            kind: self.texts.one(kind),
            name: self.texts.one(name),
            r#use: if ended { Use::Finished } else { Use::Pod },
            spec_place: true,
            owner: None,
            revision: None,
        };
        self.pins(&meta.annotations, "Pod", &meta.name, &meta.namespace);
        let mut walk = Walk::new(self.hosts, true);
        for (key, text) in &meta.annotations {
            walk.text_at(&format!("metadata.annotations[{key}]"), text);
        }
        let mut spec_images = BTreeMap::new();
        if let Some(spec) = &pod.spec {
            walk.pod_spec("spec", spec);
            let containers = spec.containers();
            spec_images =
                containers.map(|(_, _, container)| (container.name.as_str(), container.image.as_str())).collect();
        }
        let kept = meta.annotation(KEEP) == "true";
        for mention in walk.mentions() {
            if let What::Image(image) = &mention.what
                && kept
            {
                // Under the owner's name: its pods are told apart nowhere else.
                let source = format!("{}/{} {KEEP}", origin.kind, origin.name);
                let namespace = origin.namespace.as_deref().map(ToOwned::to_owned);
                let pinned = Pinned { namespace, source, image: image.clone() };
                self.pinned.insert(pinned);
            }
            self.record(&origin, mention, Seen { pods: 1, ..Seen::default() });
        }
        if let Some((kind, name)) = template_of(meta) {
            let template = self.texts.place(&meta.namespace, &kind, &name);
            for (container, image) in &spec_images {
                self.runs.insert((template.clone(), self.texts.one(container), self.texts.one(image)));
            }
        }
        let Some(status) = status else { return };
        let time = |time: Option<&Time>| time.and_then(Time::timestamp);
        let origin = Origin { r#use: if ended { Use::Finished } else { Use::Status }, ..origin };
        for (list, at, container) in status.statuses() {
            let running = container.state.as_ref().and_then(|state| state.running.as_ref());
            // A container that began anew may have pulled anew: the pod's own start says nothing of that.
            let of_pod = status.start_time.as_ref().filter(|_| container.restart_count == 0);
            let started = time(running.and_then(|since| since.started_at.as_ref()).or(of_pod));
            let spec = spec_images.get(container.name.as_str()).map(|image| self.texts.one(image));
            for (field, image) in [("imageID", &container.image_id), ("image", &container.image)] {
                if image.is_empty() || Some(image.as_str()) == spec.as_deref() {
                    continue;
                }
                let what = match ImageRef::parse(image, self.hosts) {
                    ImageRef::Unparsed(_) if is_ecr_like(image) => What::Suspicious(image.clone(), Suspicion::Unparsed),
                    ImageRef::Unparsed(_) => continue,
                    _ => What::Image(image.clone()),
                };
                let path = format!("status.{list}[{at}].{field}");
                let container = Some(container.name.clone()).filter(|name| !name.is_empty());
                let mention = Mention { path, container, structural: true, place: None, what };
                self.record(&origin, mention, Seen { spec: spec.clone(), started, pods: 1 });
            }
        }
    }

    /// Takes a node: what it runs on, and with the scan's `nodeImages` what it has pulled.
    pub fn add_node(&mut self, node: &PlaceNode) {
        let images = node.status.iter().flat_map(|status| &status.images).flat_map(|image| &image.names);
        let origin = Origin {
            namespace: None,
            kind: self.texts.one("Node"),
            name: self.texts.one(&node.metadata.name),
            r#use: Use::Node,
            spec_place: false,
            owner: None,
            revision: None,
        };
        for name in images.filter(|_| self.scan.node_images == Switch::On) {
            let (path, what) = ("status.images".to_owned(), What::Image(name.clone()));
            let mention = Mention { path, container: None, structural: true, place: None, what };
            self.record(&origin, mention, Seen::default());
        }
        self.nodes.add(node);
    }

    /// Takes any object as JSON; pods, workloads, Helm's releases and custom resources alike.
    pub fn add(&mut self, object: &Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let namespace = text("/metadata/namespace");
        if (group, kind) == ("", "Pod") {
            let (pod, _) = crate::kinds::read::<ImagePod>(object.clone());
            return self.add_pod(&pod);
        }
        let (meta, _) = crate::kinds::read::<ObjectMeta>(object.get("metadata").cloned().unwrap_or_default());
        self.pins(&meta.annotations, kind, name, namespace);
        let mut origin = Origin {
            namespace: self.texts.some(namespace),
            kind: self.texts.one(kind),
            name: self.texts.one(name),
            r#use: Use::Template,
            spec_place: true,
            owner: None,
            revision: None,
        };
        let place = self.texts.place(namespace, kind, name);
        let owner = meta.controller();
        match (group, kind) {
            ("", "Secret" | "ConfigMap") if helm::is_release(object) => {
                if kind == "ConfigMap" || self.scan.secrets >= Secrets::Helm {
                    self.helm(object, &origin);
                }
                return;
            }
            ("", "Secret") => {
                if self.scan.secrets == Secrets::All {
                    self.encoded(object, &origin, "data");
                }
                return;
            }
            ("", "ConfigMap") => {
                origin.r#use = Use::Text;
                self.encoded(object, &origin, "binaryData");
            }
            ("", "Node") => return self.add_node(&crate::kinds::read::<PlaceNode>(object.clone()).0),
            ("" | "events.k8s.io", "Event") => return self.event(object, &origin),
            ("apps", "ReplicaSet") => {
                let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64);
                if let (Some(owner), Some(0)) = (owner, replicas) {
                    origin.r#use = Use::Revision;
                    origin.owner = Some(self.texts.one(&format!("{}/{}", owner.kind, owner.name)));
                    origin.revision = meta.annotation("deployment.kubernetes.io/revision").parse().ok();
                }
                self.template(&place, object.pointer("/spec/template/spec"));
            }
            ("apps", "ControllerRevision") => {
                origin.r#use = Use::Revision;
                origin.owner = owner.map(|owner| self.texts.one(&format!("{}/{}", owner.kind, owner.name)));
                origin.revision = object.get("revision").and_then(Value::as_i64);
                self.template(&place, object.pointer("/data/spec/template/spec"));
            }
            ("batch", "Job") => {
                let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
                let ended = conditions.into_iter().flatten().any(|condition| {
                    condition["status"] == "True" && (condition["type"] == "Complete" || condition["type"] == "Failed")
                });
                if ended {
                    origin.r#use = Use::Finished;
                }
                self.template(&place, object.pointer("/spec/template/spec"));
            }
            (group, _) if is_built_in(group) => {}
            _ => (origin.r#use, origin.spec_place) = (Use::Custom, false),
        }
        // StatefulSets say it, and so do the sets of OpenKruise and others that keep revisions.
        for field in ["/status/currentRevision", "/status/updateRevision"] {
            let revision = text(field);
            if !revision.is_empty() {
                self.current.insert(self.texts.place(namespace, "ControllerRevision", revision));
            }
        }
        if let Some(owner) = owner {
            let owner = (self.texts.one(&owner.kind), self.texts.one(&owner.name));
            self.owners.insert(place, owner);
        }
        let mut walk = Walk::new(self.hosts, origin.r#use != Use::Text);
        if (group, kind) == ("apps", "DaemonSet") {
            walk = walk.of_daemon();
        }
        walk.object(object);
        for mut mention in walk.mentions() {
            // Annotations are texts, whatever their keys say.
            mention.structural &= origin.r#use != Use::Text && !mention.path.starts_with("metadata.");
            self.record(&origin, mention, Seen::default());
        }
    }

    /// Takes a line of a list that people keep: an image that something outside of every cluster needs.
    pub fn declare(&mut self, image: &str, source: &str) {
        let named = Named {
            namespace: None,
            kind: self.texts.one("KeepList"),
            name: self.texts.one(source),
            path: self.texts.one(""),
            image: self.texts.one(image),
            r#use: Use::Declared,
            spec: None,
            container: None,
            owner: None,
            revision: None,
        };
        self.references.insert(named, Folded::default());
    }

    /// Returns what was found, owners resolved and pins applied.
    #[must_use]
    pub fn finish(mut self) -> Found {
        let mut folded: BTreeMap<Named, Folded> = BTreeMap::new();
        for (mut named, seen) in std::mem::take(&mut self.references) {
            let place = named.place();
            let runs_now = named.r#use == Use::Revision && (self.current.contains(&place) || self.is_deployed(&named));
            if runs_now {
                named.r#use = Use::Template;
            }
            if matches!(named.r#use, Use::Pod | Use::Status | Use::Finished)
                && let Some((kind, name)) = self.workload(&place)
                && seen.pods > 0
            {
                (named.kind, named.name) = (kind, name);
            }
            folded.entry(named).or_default().add(seen);
        }
        let rewritten = self.rewritten();
        for named in folded.keys() {
            if let Some((_, kind, name)) = self.keeper(named) {
                let source = format!("{kind}/{name} {KEEP}");
                let namespace = named.namespace.as_deref().map(ToOwned::to_owned);
                self.pinned.insert(Pinned { namespace, source, image: (*named.image).to_owned() });
            }
        }
        let mut nodes = self.nodes;
        // What was only kept to get here goes first: references are written out in full now.
        drop((self.texts, self.owners, self.templates, self.runs));
        let finished = folded.into_iter().map(|(named, seen)| named.reference(&seen, nodes.platforms(&seen.places)));
        let mut references: Vec<Reference> = finished.collect();
        references.sort_unstable_by(|a, b| sort_key(a).cmp(&sort_key(b)).then_with(|| a.cmp(b)));
        self.coverage.kinds_skipped.sort();
        self.coverage.kinds_skipped.dedup();
        self.coverage.too_deep.sort();
        Found {
            references,
            pinned: self.pinned.into_iter().collect(),
            rewritten,
            suspicious: self.suspicious.into_iter().collect(),
            platforms: nodes.counted(),
            coverage: self.coverage,
        }
    }

    /// Returns whose annotation keeps everything that a reference is part of: its namespace, its object or that one's owner.
    fn keeper(&self, named: &Named) -> Option<Place> {
        if self.kept.is_empty() {
            return None;
        }
        let namespace = named.namespace.clone().unwrap_or_default();
        let owner = named.owner.as_deref().and_then(|owner| owner.split_once('/'));
        let own = [
            (Text::default(), Text::from("Namespace"), namespace.clone()),
            named.place(),
            owner.map_or_else(Place::default, |(kind, name)| (namespace, Text::from(kind), Text::from(name))),
        ];
        own.into_iter().find(|place| self.kept.contains(place))
    }

    /// Returns the workload behind a `ReplicaSet` or Job, if it has one.
    fn workload(&self, place: &Place) -> Option<(Text, Text)> {
        matches!(&*place.1, "ReplicaSet" | "Job").then(|| self.owners.get(place).cloned()).flatten()
    }

    /// Returns whether a reference is of the newest deployed revision of its Helm release.
    fn is_deployed(&self, named: &Named) -> bool {
        &*named.kind == HELM && self.deployed.get(&named.place()).copied() == named.revision
    }

    /// Compares what pods run with the templates they came from: another repository means that somebody rewrites.
    fn rewritten(&self) -> Vec<Rewritten> {
        let repository = |image: &str| match ImageRef::parse(image, self.hosts) {
            ImageRef::Ecr(key) => Some((key.registry.host(), key.repository)),
            ImageRef::Other(image) => Some((image.host, image.path)),
            ImageRef::Bare(_) | ImageRef::Unparsed(_) => None,
        };
        let mut rewritten = BTreeSet::new();
        for (place, container, to) in &self.runs {
            let template = self.templates.get(place).into_iter().flatten();
            let Some((_, from)) = template.into_iter().find(|(name, _)| name == container) else { continue };
            if from == to || repository(from) == repository(to) {
                continue;
            }
            let (namespace, kind, name) = place.clone();
            let (kind, name) = self.workload(place).or_else(|| self.owners.get(place).cloned()).unwrap_or((kind, name));
            rewritten.insert(Rewritten {
                from: (**from).to_owned(),
                to: (**to).to_owned(),
                namespace: Some((*namespace).to_owned()).filter(|namespace| !namespace.is_empty()),
                kind: (*kind).to_owned(),
                name: (*name).to_owned(),
                container: (**container).to_owned(),
                ..Rewritten::default()
            });
        }
        rewritten.into_iter().collect()
    }

    /// Keeps a mention; where the object's own texts are meant, none of them is structural.
    fn record(&mut self, origin: &Origin, mention: Mention, seen: Seen) {
        let structural = mention.structural;
        let Mention { path, container, place, what, .. } = mention;
        match what {
            What::Image(image) => {
                let named = Named {
                    namespace: origin.namespace.clone(),
                    kind: origin.kind.clone(),
                    name: origin.name.clone(),
                    path: self.texts.one(&path),
                    image: self.texts.one(&image),
                    r#use: if structural { origin.r#use } else { origin.text_use() },
                    spec: seen.spec,
                    container: container.map(|container| self.texts.one(&container)),
                    owner: origin.owner.clone(),
                    revision: origin.revision,
                };
                let places = place.map(|place| self.nodes.place(place)).into_iter().collect();
                let seen = Folded { pods: seen.pods, started: seen.started, places };
                self.references.entry(named).or_default().add(seen);
            }
            What::Suspicious(text, reason) => {
                self.suspicious.insert(Suspicious {
                    namespace: origin.namespace.as_deref().map(ToOwned::to_owned),
                    kind: (*origin.kind).to_owned(),
                    name: (*origin.name).to_owned(),
                    path,
                    text,
                    reason,
                    spec_place: structural && origin.spec_place,
                    repository_hash: None,
                });
            }
            What::Address => self.coverage.registry_addresses += 1,
            What::TooDeep => self.unfollowed(origin),
        }
    }

    fn unfollowed(&mut self, origin: &Origin) {
        let name = match &origin.namespace {
            Some(namespace) => format!("{} {namespace}/{}", origin.kind, origin.name),
            None => format!("{} {}", origin.kind, origin.name),
        };
        if !self.coverage.too_deep.contains(&name) {
            self.coverage.too_deep.push(name);
        }
    }

    fn pins(&mut self, annotations: &BTreeMap<String, String>, kind: &str, name: &str, namespace: &str) {
        if annotations.get(KEEP).is_some_and(|value| value == "true") {
            self.kept.insert(self.texts.place(namespace, kind, name));
        }
        let images = annotations.get(KEEP_IMAGES).map(String::as_str).unwrap_or_default();
        for image in images.split(|c: char| c.is_whitespace() || c == ',').filter(|image| !image.is_empty()) {
            let namespace = if kind == "Namespace" { name } else { namespace };
            self.pinned.insert(Pinned {
                namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
                source: format!("{kind}/{name} {KEEP_IMAGES}"),
                image: image.to_owned(),
            });
        }
    }

    fn template(&mut self, place: &Place, spec: Option<&Value>) {
        let Some(spec) = spec else { return };
        let (spec, _) = crate::kinds::read::<ImagePodSpec>(spec.clone());
        let texts = &mut self.texts;
        let images =
            spec.containers().map(|(_, _, container)| (texts.one(&container.name), texts.one(&container.image)));
        self.templates.insert(place.clone(), images.collect());
    }

    fn helm(&mut self, object: &Value, stored: &Origin) {
        let Some(release) = helm::decode(object, &*stored.kind == "Secret") else { return self.unfollowed(stored) };
        let origin = Origin {
            kind: self.texts.one(HELM),
            name: self.texts.one(&release.name),
            r#use: Use::Revision,
            spec_place: false,
            owner: Some(self.texts.one(&format!("{HELM}/{}", release.name))),
            revision: Some(release.revision),
            namespace: stored.namespace.clone(),
        };
        if release.deployed {
            let newest = self.deployed.entry(origin.place()).or_insert(release.revision);
            *newest = release.revision.max(*newest);
        }
        let mut walk = Walk::new(self.hosts, true);
        for (place, object) in &release.objects {
            walk.part(place, object);
        }
        for (place, text) in &release.texts {
            walk.text_at(place, text);
        }
        for mention in walk.mentions() {
            self.record(&origin, mention, Seen::default());
        }
    }

    /// Reads the texts of a field whose values are base64; what is no text names no image.
    fn encoded(&mut self, object: &Value, origin: &Origin, field: &str) {
        use base64::Engine as _;
        let origin = Origin { r#use: Use::Text, ..origin.clone() };
        let mut walk = Walk::new(self.hosts, false);
        for (key, value) in object.get(field).and_then(Value::as_object).into_iter().flatten() {
            let bytes = value.as_str().and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
            if let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
                walk.text_at(&format!("{field}[{key}]"), &text);
            }
        }
        for mention in walk.mentions() {
            self.record(&origin, mention, Seen::default());
        }
    }

    fn event(&mut self, object: &Value, origin: &Origin) {
        if self.scan.events == Switch::Off {
            return;
        }
        let message = ["message", "note"].iter().find_map(|field| object.get(*field)?.as_str());
        let mut walk = Walk::new(self.hosts, false);
        walk.text_at("message", message.unwrap_or_default());
        for mut mention in walk.mentions() {
            mention.structural = true;
            self.record(&Origin { r#use: Use::Event, spec_place: false, ..origin.clone() }, mention, Seen::default());
        }
    }
}

/// The kind under which a Helm release is recorded.
const HELM: &str = "Helm";

fn sort_key(reference: &Reference) -> (Option<&str>, &str, &str, &str, &str) {
    let Reference { namespace, kind, name, path, image, .. } = reference;
    (namespace.as_deref(), kind, name, path, image)
}

/// Returns kind and name of the object whose template a pod was made from: its `ReplicaSet` or Job, or the revision of its
/// set.
fn template_of(meta: &ObjectMeta) -> Option<(String, String)> {
    let owner = meta.controller()?;
    Some(match owner.kind.as_str() {
        "ReplicaSet" | "Job" => (owner.kind.clone(), owner.name.clone()),
        "StatefulSet" | "DaemonSet" => {
            let hash = Some(meta.label("controller-revision-hash")).filter(|hash| !hash.is_empty())?;
            // A StatefulSet's pods carry the revision's name, a DaemonSet's only the end of it.
            let is_name = hash.strip_prefix(&owner.name).is_some_and(|rest| rest.starts_with('-'));
            let name = if is_name { hash.to_owned() } else { format!("{}-{hash}", owner.name) };
            ("ControllerRevision".to_owned(), name)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
