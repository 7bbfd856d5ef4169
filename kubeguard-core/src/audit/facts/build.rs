//! Taking objects in, from wherever they come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::defaults::Defaults;
use super::{Custom, Facts, Gap, Happened, Meta, Of, Origin, Owner, Pod, Read, Tables, Template, Version, Written};
use crate::audit::kinds::{self, PodTemplateSpec};
use crate::audit::needs::Fact;
use crate::audit::text::Interner;
use crate::gather::Source;
use crate::kinds::{Kind, ObjectMeta, Time};

/// A kind with a table of its own.
pub(crate) trait Judged: Kind + Default + DeserializeOwned + Defaults + 'static {
    fn table(tables: &mut Tables) -> &mut Vec<Of<Self>>
    where
        Self: Sized;
}

/// Annotations that change with every apply or pod and say nothing to rules.
const NEVER_KEPT: &[&str] = &["kubectl.kubernetes.io/last-applied-configuration"];
/// Domains of annotations that rules read of pods; everything else would keep the annotations of pods apart.
const KEPT_OF_PODS: &[&str] = &[
    "kubeguard.dev",
    "kubectl.kubernetes.io",
    "kubernetes.io",
    "istio.io",
    "linkerd.io",
    "hashicorp.com",
    "kuma.io",
    "dapr.io",
    "gke-gcsfuse",
    "datadoghq.com",
    "lemonade.com",
    "helm.sh",
    "argoproj.io",
    "tekton.dev",
    "kueue.x-k8s.io",
];

/// Makes facts from objects in any order.
#[derive(Debug)]
pub struct Builder {
    facts: Facts,
    texts: Interner,
    namespace: String,
    kept: Vec<String>,
    node_images: bool,
    written: BTreeMap<(Fact, String, String), Source>,
}

impl Builder {
    /// Returns an empty one.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        let facts = Facts {
            origin,
            version: None,
            reads: BTreeMap::new(),
            gaps: Vec::new(),
            malformed: Vec::new(),
            notes: Vec::new(),
            tables: Tables::default(),
            served: Vec::new(),
            events: HashMap::new(),
            by_uid: HashMap::new(),
            by_name: HashMap::new(),
            children: HashMap::new(),
            children_by_name: HashMap::new(),
            selectors: super::lookup::Selectors::default(),
            by_node: HashMap::new(),
            rooms: std::sync::OnceLock::new(),
        };
        let namespace = "default".to_owned();
        Self {
            facts,
            texts: Interner::default(),
            namespace,
            kept: Vec::new(),
            node_images: false,
            written: BTreeMap::new(),
        }
    }

    /// Takes facts up again, so that single objects can be replaced by what was read anew.
    #[must_use]
    pub fn again(facts: Facts) -> Self {
        let facts = Facts {
            by_uid: HashMap::new(),
            by_name: HashMap::new(),
            children: HashMap::new(),
            children_by_name: HashMap::new(),
            by_node: HashMap::new(),
            ..facts
        };
        Self { facts, ..Self::new(Origin::Live) }
    }

    /// Takes out one pod or job.
    pub fn forget_named(&mut self, fact: Fact, namespace: &str, name: &str) {
        let stays = |meta: &Meta| meta.namespace != *namespace || meta.name != *name;
        match fact {
            Fact::Pod => self.facts.tables.pods.retain(|pod| stays(&pod.meta)),
            Fact::Job => self.facts.tables.jobs.retain(|job| stays(&job.meta)),
            _ => {}
        }
    }

    /// Sets the namespace of objects that name none; `default` otherwise.
    pub fn default_namespace(&mut self, namespace: &str) {
        namespace.clone_into(&mut self.namespace);
    }

    /// Keeps further annotations of pods, by their whole names.
    pub fn keep_annotations(&mut self, names: impl IntoIterator<Item = String>) {
        self.kept.extend(names);
    }

    /// Keeps the lists of images that nodes have pulled; they are long, and rules do not read them.
    pub fn keep_node_images(&mut self) {
        self.node_images = true;
    }

    /// Says which version the server has.
    pub fn version(&mut self, version: Option<Version>) {
        self.facts.version = version;
    }

    /// Takes out what was read of a kind, in one namespace or in all.
    pub(crate) fn forget(&mut self, fact: Fact, namespace: Option<&str>) {
        if fact == Fact::Event {
            for events in self.facts.events.values_mut() {
                events.retain(|event| namespace.is_some_and(|namespace| event.namespace != *namespace));
            }
        }
        self.facts.tables.forget(fact, namespace);
    }

    /// Says that a kind was read, in one namespace at least.
    pub(crate) fn read_whole(&mut self, fact: Fact) {
        self.facts.reads.insert(fact, Read::Whole);
    }

    /// Says that the server does not serve a kind, unless another of its kinds was read.
    pub(crate) fn read_unserved(&mut self, fact: Fact) {
        self.facts.reads.entry(fact).or_insert(Read::Unserved);
    }

    /// Returns whether anything of a kind was read.
    pub(crate) fn has_read(&self, fact: Fact) -> bool {
        self.facts.reads.contains_key(&fact)
    }

    /// Says how much of a kind was read.
    pub fn read(&mut self, fact: Fact, read: Read) {
        self.facts.reads.insert(fact, read);
    }

    /// Says what could not be read: all of a kind, or that of one namespace.
    pub fn gap(&mut self, gap: Gap) {
        if gap.namespace.is_none() {
            self.facts.reads.insert(gap.fact, Read::Not(gap.reason));
        } else {
            self.facts.gaps.push(gap);
        }
    }

    /// Says that an object could not be read, and why.
    pub fn malformed(&mut self, reason: String) {
        self.facts.malformed.push(reason);
    }

    /// Says something to those who ask for details.
    pub fn note(&mut self, note: String) {
        self.facts.notes.push(note);
    }

    /// Says that the server serves a kind.
    pub fn serves(&mut self, group: &str, kind: &str) {
        let pair = (self.texts.text(group), self.texts.text(kind));
        self.facts.served.push(pair);
    }

    /// Takes an object as JSON; what is of no kind that rules read is left out. Returns what it was.
    pub fn add(&mut self, object: Value) -> Option<Fact> {
        self.add_written(object, None)
    }

    pub(crate) fn add_written(&mut self, object: Value, written: Option<Arc<Written>>) -> Option<Fact> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion").to_owned(), text("kind").to_owned());
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let fact = Fact::of(group, &kind)?;
        if self.facts.origin == Origin::Manifests {
            self.facts.reads.entry(fact).or_insert(Read::Whole);
        }
        macro_rules! dispatch {
            ($($fact:ident)*) => {
                match fact {
                    $(Fact::$fact => {
                        let object = self.lenient::<kinds::$fact>(object, &kind, written.as_deref());
                        self.add_kind(object, &api_version, written);
                    })*
                    Fact::Pod => {
                        let pod = self.lenient::<kinds::Pod>(object, &kind, written.as_deref());
                        self.add_pod(pod, written);
                    }
                    Fact::Event => {
                        let event = self.lenient::<kinds::Event>(object, &kind, written.as_deref());
                        self.add_event(&event);
                    }
                    Fact::Served => {}
                    _ => self.add_custom(object, &api_version, &kind, written),
                }
            };
        }
        dispatch!(
            Deployment ReplicaSet StatefulSet DaemonSet ReplicationController Job CronJob PodTemplate Service
            EndpointSlice Ingress PodDisruptionBudget HorizontalPodAutoscaler Node Namespace LimitRange
            ValidatingWebhookConfiguration MutatingWebhookConfiguration PriorityClass ResourceQuota ConfigMap PersistentVolume PersistentVolumeClaim ControllerRevision Role RoleBinding ClusterRole ClusterRoleBinding PodMetrics
        );
        Some(fact)
    }

    /// Reads an object; parts of the wrong shape count as absent.
    fn lenient<T: Kind + DeserializeOwned + Default>(
        &mut self,
        object: Value,
        kind: &str,
        written: Option<&Written>,
    ) -> T {
        let (read, malformed) = crate::kinds::read::<T>(object);
        for path in malformed {
            let name = &read.meta().name;
            let place = written.map_or_else(String::new, |w| format!("{}:{}: ", w.source.file, w.source.line));
            self.facts.notes.push(format!("{place}{kind} {name}: {path} has the wrong type and counts as absent"));
        }
        read
    }

    /// Takes an object of a kind with a table.
    pub(crate) fn add_kind<T: Judged>(&mut self, mut object: T, api_version: &str, written: Option<Arc<Written>>) {
        object.fill();
        object.slim(self.node_images);
        let raw = std::mem::take(object.meta_mut());
        let meta = self.meta(&raw, T::NAMESPACED, |name| !NEVER_KEPT.contains(&name));
        let template = object.template().map(|template| self.template(template));
        self.twice(Fact::of(T::GROUP, T::KIND), T::KIND, &meta, written.as_deref());
        let api_version = self.texts.text(api_version);
        T::table(&mut self.facts.tables).push(Of { api_version, meta, template, written, body: object });
    }

    /// Takes a pod.
    pub(crate) fn add_pod(&mut self, mut pod: kinds::Pod, written: Option<Arc<Written>>) {
        pod.fill();
        let raw = std::mem::take(&mut pod.metadata);
        let kept = std::mem::take(&mut self.kept);
        let meta = self.meta(&raw, true, |name| kept.iter().any(|known| known == name) || is_kept(name));
        self.kept = kept;
        self.twice(Some(Fact::Pod), "Pod", &meta, written.as_deref());
        let pod = Pod::of(pod, meta, written, &mut self.texts);
        self.facts.tables.pods.push(pod);
    }

    /// Takes an event: only what it says of whom, how often and when.
    pub(crate) fn add_event(&mut self, event: &kinds::Event) {
        let Some(about) = event.involved_object.as_ref().filter(|about| !about.uid.is_empty()) else { return };
        let time = |time: &Option<Time>| time.as_ref().and_then(Time::timestamp);
        let series = event.series.as_ref();
        let last = series
            .and_then(|series| time(&series.last_observed_time))
            .or_else(|| time(&event.last_timestamp))
            .or_else(|| time(&event.event_time))
            .or_else(|| time(&event.first_timestamp));
        let first = time(&event.first_timestamp).or_else(|| time(&event.event_time)).or(last);
        let count = series.map_or(event.count, |series| series.count).max(1);
        let new = Happened {
            namespace: self.texts.text(&event.metadata.namespace),
            reason: self.texts.text(&event.reason),
            kind: self.texts.text(&event.r#type),
            field_path: self.texts.text(&about.field_path),
            message: self.texts.text(&event.message),
            count: u64::try_from(count).unwrap_or(1),
            first,
            last,
        };
        let uid = self.texts.text(&about.uid);
        self.facts.events.entry(uid).or_default().push(new);
    }

    fn add_custom(&mut self, mut object: Value, api_version: &str, kind: &str, written: Option<Arc<Written>>) {
        let Some(map) = object.as_object_mut() else { return };
        let raw: ObjectMeta = map.remove("metadata").map(|meta| crate::kinds::read(meta).0).unwrap_or_default();
        let meta = self.meta(&raw, true, |name| !NEVER_KEPT.contains(&name));
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let fact = Fact::of(group, kind).unwrap_or(Fact::CustomCarrier);
        let spec = map.get_mut("spec").and_then(Value::as_object_mut).filter(|_| fact == Fact::CustomCarrier);
        let template = spec.and_then(|spec| spec.remove("template"));
        let template = template.map(|template| {
            let mut template: PodTemplateSpec = crate::kinds::read(template).0;
            super::defaults::template(&mut template);
            self.template(template)
        });
        let (api_version, kind) = (self.texts.text(api_version), self.texts.text(kind));
        let body = Custom { fact, kind, object };
        self.facts.tables.custom.push(Of { api_version, meta, template, written, body });
    }

    fn twice(&mut self, fact: Option<Fact>, kind: &str, meta: &Meta, written: Option<&Written>) {
        let (Some(fact), Some(written)) = (fact, written) else { return };
        let key = (fact, meta.namespace.to_string(), meta.name.to_string());
        if let Some(before) = self.written.insert(key, written.source.clone()) {
            let Source { file, line } = &written.source;
            let note = format!(
                "{file}:{line}: {kind} {} is also in {}:{}: this one counts, as with kubectl apply",
                meta.name, before.file, before.line
            );
            self.facts.notes.push(note);
        }
    }

    fn template(&mut self, template: PodTemplateSpec) -> Template {
        let keep = |name: &str| !NEVER_KEPT.contains(&name);
        let mut spec = template.spec.unwrap_or_default();
        super::prune(&mut spec);
        Template {
            labels: self.texts.labels(&template.metadata.labels, |_| true),
            annotations: self.texts.labels(&template.metadata.annotations, keep),
            spec: self.texts.spec(spec),
        }
    }

    fn meta(&mut self, raw: &ObjectMeta, namespaced: bool, keep: impl Fn(&str) -> bool) -> Meta {
        let namespace = match (namespaced, raw.namespace.as_str()) {
            (false, _) => "",
            (true, "") => self.namespace.as_str(),
            (true, namespace) => namespace,
        };
        let owner = raw.controller().map(|owner| {
            let owner = Owner {
                api_version: self.texts.text(&owner.api_version),
                kind: self.texts.text(&owner.kind),
                name: self.texts.text(&owner.name),
                uid: self.texts.text(&owner.uid),
            };
            self.texts.owner(owner)
        });
        let time = |time: &Option<Time>| time.as_ref().and_then(Time::timestamp);
        Meta {
            namespace: self.texts.text(namespace),
            name: raw.name.as_str().into(),
            uid: self.texts.text(&raw.uid),
            generation: raw.generation,
            created: time(&raw.creation_timestamp),
            deleted: time(&raw.deletion_timestamp),
            labels: self.texts.labels(&raw.labels, |_| true),
            annotations: self.texts.labels(&raw.annotations, keep),
            owner,
            finalizers: raw.finalizers.iter().map(|name| self.texts.text(name)).collect(),
        }
    }

    /// Returns the facts: sorted, indexed.
    #[must_use]
    pub fn finish(mut self) -> Facts {
        drop(self.texts);
        self.facts.tables.sort();
        for events in self.facts.events.values_mut() {
            events.sort_by(|a, b| {
                let key = |e: &Happened| (e.last, e.first, e.reason.clone(), e.field_path.clone(), e.message.clone());
                key(a).cmp(&key(b))
            });
            events.shrink_to_fit();
        }
        self.facts.gaps.sort();
        self.facts.malformed.sort();
        self.facts.index();
        self.facts
    }
}

fn is_kept(name: &str) -> bool {
    let domain = name.split_once('/').map_or(name, |(domain, _)| domain);
    KEPT_OF_PODS.iter().any(|kept| domain.strip_suffix(kept).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        && !NEVER_KEPT.contains(&name)
}
