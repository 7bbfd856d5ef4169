//! What rules judge: objects from a cluster, files or a snapshot, with the indexes that rules ask.
//!
//! [`Builder`] takes objects in any order; [`Facts`] hold them sorted, with the API's defaults, each shared part once.

mod around;
mod build;
mod defaults;
mod lookup;
mod owners;
mod pod;
mod workload;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde_json::Value;

pub use build::Builder;
pub(crate) use build::Judged;
pub use defaults::job_backoff_limit;
pub use lookup::{Endpoints, Port, resolve};
pub use owners::Link;
pub use pod::{Condition, ContainerStatus, Ended, Pod, PodStatus, State};
pub use workload::ReadyAfter;

use super::kinds::{self, PodSpec};
use super::needs::Fact;
use super::report::ObjectName;
use super::text::{Labels, Text};
use crate::gather::Source;

/// Where facts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A cluster.
    Live,
    /// Files.
    Manifests,
    /// A snapshot.
    Snapshot,
}

/// A version of Kubernetes: major and minor.
pub type Version = (u16, u16);

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// What.
    pub fact: Fact,
    /// In which namespace; `None` for all of it.
    pub namespace: Option<String>,
    /// As in `cannot list nodes: Forbidden`.
    pub reason: String,
}

/// Metadata as rules read it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meta {
    /// Namespace; empty for what lives in none.
    pub namespace: Text,
    /// Name.
    pub name: Text,
    /// Uid; empty in files.
    pub uid: Text,
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it was, or will be, deleted.
    pub deleted: Option<Timestamp>,
    /// Labels.
    pub labels: Labels,
    /// Annotations; of pods only those that rules read.
    pub annotations: Labels,
    /// The owner that controls it.
    pub owner: Option<Arc<Owner>>,
    /// What keeps it from going away.
    pub finalizers: Box<[Text]>,
}

/// The owner that controls an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields of an owner reference")]
pub struct Owner {
    pub api_version: Text,
    pub kind: Text,
    pub name: Text,
    pub uid: Text,
}

/// What pods are made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Template {
    /// Labels of the pods.
    pub labels: Labels,
    /// Annotations of the pods.
    pub annotations: Labels,
    /// What they run, with the API's defaults.
    pub spec: Arc<PodSpec>,
}

/// An object of one kind; reads like the kind itself, without its metadata and template.
#[derive(Debug, Clone, PartialEq)]
pub struct Of<T> {
    /// As it was written, as in `apps/v1`.
    pub api_version: Text,
    /// Metadata.
    pub meta: Meta,
    /// Its pod template.
    pub template: Option<Template>,
    pub(crate) written: Option<Arc<Written>>,
    body: T,
}

impl<T> std::ops::Deref for Of<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

/// An object of a kind that this crate does not declare.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom {
    /// What it is.
    pub(crate) fact: Fact,
    /// Its kind.
    pub kind: Text,
    /// The object, without metadata and pod template.
    pub object: Value,
}

/// Where an object is written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) source: Source,
    /// Its document, to find lines in; `None` where it was too large to keep.
    pub(crate) document: Option<Arc<super::lines::Document>>,
    /// JSON pointer of the object in its document; empty where it is all of it.
    pub(crate) at: String,
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// An object of any kind.
pub trait Object: std::fmt::Debug {
    /// What it is.
    fn fact(&self) -> Fact;
    /// As in `apps/v1`.
    fn api_version(&self) -> &str;
    /// As in `Deployment`.
    fn kind(&self) -> &str;
    /// Its metadata.
    fn meta(&self) -> &Meta;
    /// Where a field of it is written, by its JSON pointer; its beginning for an empty one.
    fn line_of(&self, path: &str) -> Option<Source>;
    /// What its pods are made of; a pod is its own.
    fn carried(&self) -> Option<Carried<'_>>;

    /// Returns its names.
    fn object_name(&self) -> ObjectName {
        ObjectName {
            api_version: self.api_version().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.meta().namespace.to_string(),
            name: self.meta().name.to_string(),
        }
    }
}

/// A pod template or pod, whatever holds it.
#[derive(Debug, Clone, Copy)]
pub struct Carried<'a> {
    /// Labels of the pods.
    pub labels: &'a Labels,
    /// Annotations of the pods.
    pub annotations: &'a Labels,
    /// What they run.
    pub spec: &'a PodSpec,
    /// Where the holder keeps the pod's metadata and spec, as in `/spec/template`; empty for a pod.
    pub path: &'static str,
}

/// A pod template together with the object that holds it.
#[derive(Debug, Clone, Copy)]
pub struct Carrier<'a> {
    /// The holder.
    pub object: &'a dyn Object,
    /// Labels of the pods.
    pub labels: &'a Labels,
    /// Annotations of the pods.
    pub annotations: &'a Labels,
    /// What they run.
    pub spec: &'a PodSpec,
    /// Where the holder keeps the pod's metadata and spec, as in `/spec/template`; empty for a pod.
    pub path: &'static str,
}

impl<'a> Carrier<'a> {
    /// Returns the template of an object that has one.
    #[must_use]
    pub fn of(object: &'a dyn Object) -> Option<Self> {
        let Carried { labels, annotations, spec, path } = object.carried()?;
        Some(Self { object, labels, annotations, spec, path })
    }

    /// Returns whether its pods are meant to end: restart policy `Never` or `OnFailure`.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        matches!(self.spec.restart_policy.as_str(), "Never" | "OnFailure")
    }
}

/// Implements the tables: one per kind.
macro_rules! tables {
    ($($fact:ident $table:ident: $type:ty, $path:literal;)*) => {
        /// Objects by kind, each table sorted by namespace and name.
        #[derive(Debug, Clone, Default)]
        pub(crate) struct Tables {
            pub(super) pods: Vec<Pod>,
            pub(super) custom: Vec<Of<Custom>>,
            $(pub(super) $table: Vec<Of<$type>>,)*
        }

        $(impl build::Judged for $type {
            fn table(tables: &mut Tables) -> &mut Vec<Of<Self>> {
                &mut tables.$table
            }
        }

        impl Object for Of<$type> {
            fn fact(&self) -> Fact {
                Fact::$fact
            }

            fn api_version(&self) -> &str {
                &self.api_version
            }

            fn kind(&self) -> &str {
                stringify!($fact)
            }

            fn meta(&self) -> &Meta {
                &self.meta
            }

            fn line_of(&self, path: &str) -> Option<Source> {
                self.written.as_ref().map(|written| super::lines::of(written, path))
            }

            fn carried(&self) -> Option<Carried<'_>> {
                let Template { labels, annotations, spec } = self.template.as_ref()?;
                Some(Carried { labels, annotations, spec, path: $path })
            }
        })*

        impl Tables {
            /// Returns an object by its place.
            fn get(&self, (fact, index): Place) -> Option<&dyn Object> {
                let index = usize::try_from(index).ok()?;
                match fact {
                    Fact::Pod => self.pods.get(index).map(|object| object as &dyn Object),
                    $(Fact::$fact => self.$table.get(index).map(|object| object as &dyn Object),)*
                    Fact::Event | Fact::Served => None,
                    _ => self.of(fact).nth(index),
                }
            }

            /// Returns the objects of a fact.
            fn of(&self, fact: Fact) -> Box<dyn Iterator<Item = &dyn Object> + '_> {
                match fact {
                    Fact::Pod => Box::new(self.pods.iter().map(|object| object as &dyn Object)),
                    $(Fact::$fact => Box::new(self.$table.iter().map(|object| object as &dyn Object)),)*
                    Fact::Event | Fact::Served => Box::new(std::iter::empty()),
                    _ => {
                        let of = self.custom.iter().filter(move |object| object.fact() == fact);
                        Box::new(of.map(|object| object as &dyn Object))
                    }
                }
            }

            fn len(&self, fact: Fact) -> usize {
                match fact {
                    Fact::Pod => self.pods.len(),
                    $(Fact::$fact => self.$table.len(),)*
                    _ => self.of(fact).count(),
                }
            }

            /// Takes out the objects of a fact, in one namespace or in all.
            fn forget(&mut self, fact: Fact, namespace: Option<&str>) {
                let stays = |meta: &Meta| namespace.is_some_and(|namespace| meta.namespace != *namespace);
                match fact {
                    Fact::Pod => self.pods.retain(|object| stays(&object.meta)),
                    $(Fact::$fact => self.$table.retain(|object| stays(&object.meta)),)*
                    Fact::Event | Fact::Served => {}
                    _ => self.custom.retain(|object| object.fact() != fact || stays(&object.meta)),
                }
            }

            fn sort(&mut self) {
                order(&mut self.pods);
                order(&mut self.custom);
                $(order(&mut self.$table);)*
            }
        }

        impl Facts {
            $(
                #[doc = concat!("Returns the `", stringify!($table), "`, by namespace and name.")]
                #[must_use]
                pub fn $table(&self) -> &[Of<$type>] {
                    &self.tables.$table
                }
            )*
        }
    };
}

tables! {
    Deployment deployments: kinds::Deployment, "/spec/template";
    ReplicaSet replica_sets: kinds::ReplicaSet, "/spec/template";
    StatefulSet stateful_sets: kinds::StatefulSet, "/spec/template";
    DaemonSet daemon_sets: kinds::DaemonSet, "/spec/template";
    ReplicationController replication_controllers: kinds::ReplicationController, "/spec/template";
    Job jobs: kinds::Job, "/spec/template";
    CronJob cron_jobs: kinds::CronJob, "/spec/jobTemplate/spec/template";
    PodTemplate pod_templates: kinds::PodTemplate, "/template";
    Service services: kinds::Service, "";
    EndpointSlice endpoint_slices: kinds::EndpointSlice, "";
    Ingress ingresses: kinds::Ingress, "";
    PodDisruptionBudget budgets: kinds::PodDisruptionBudget, "";
    HorizontalPodAutoscaler autoscalers: kinds::HorizontalPodAutoscaler, "";
    Node nodes: kinds::Node, "";
    Namespace namespaces: kinds::Namespace, "";
    LimitRange limit_ranges: kinds::LimitRange, "";
    ValidatingWebhookConfiguration validating_webhooks: kinds::ValidatingWebhookConfiguration, "";
    MutatingWebhookConfiguration mutating_webhooks: kinds::MutatingWebhookConfiguration, "";
    PriorityClass priority_classes: kinds::PriorityClass, "";
    ResourceQuota quotas: kinds::ResourceQuota, "";
    ConfigMap config_maps: kinds::ConfigMap, "";
    PersistentVolume volumes: kinds::PersistentVolume, "";
    PersistentVolumeClaim claims: kinds::PersistentVolumeClaim, "";
    ControllerRevision revisions: kinds::ControllerRevision, "";
    Role roles_of_namespaces: kinds::Role, "";
    RoleBinding role_bindings: kinds::RoleBinding, "";
    ClusterRole cluster_roles: kinds::ClusterRole, "";
    ClusterRoleBinding cluster_role_bindings: kinds::ClusterRoleBinding, "";
    PodMetrics pod_metrics: kinds::PodMetrics, "";
}

/// An object's place: its table and its index there.
type Place = (Fact, u32);

impl Object for Pod {
    fn fact(&self) -> Fact {
        Fact::Pod
    }

    fn api_version(&self) -> &'static str {
        "v1"
    }

    fn kind(&self) -> &'static str {
        "Pod"
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn line_of(&self, path: &str) -> Option<Source> {
        self.written.as_ref().map(|written| super::lines::of(written, path))
    }

    fn carried(&self) -> Option<Carried<'_>> {
        let Meta { labels, annotations, .. } = &self.meta;
        Some(Carried { labels, annotations, spec: &self.spec, path: "" })
    }
}

impl Object for Of<Custom> {
    fn fact(&self) -> Fact {
        self.body.fact
    }

    fn api_version(&self) -> &str {
        &self.api_version
    }

    fn kind(&self) -> &str {
        &self.body.kind
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn line_of(&self, path: &str) -> Option<Source> {
        self.written.as_ref().map(|written| super::lines::of(written, path))
    }

    fn carried(&self) -> Option<Carried<'_>> {
        let Template { labels, annotations, spec } = self.template.as_ref()?;
        Some(Carried { labels, annotations, spec, path: "/spec/template" })
    }
}

/// Events about one object, folded by reason and place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Happened {
    /// Namespace of the events.
    pub(crate) namespace: Text,
    /// As in `Unhealthy`.
    pub reason: Text,
    /// `Normal` or `Warning`.
    pub kind: Text,
    /// The part of the object, as in `spec.containers{app}`.
    pub field_path: Text,
    /// The newest message.
    pub message: Text,
    /// How often.
    pub count: u64,
    /// First seen.
    pub first: Option<Timestamp>,
    /// Last seen.
    pub last: Option<Timestamp>,
}

/// How much is known of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// All there is; of single namespaces there may be gaps.
    Whole,
    /// The server does not serve it: there is none.
    Unserved,
    /// It could not be read, or the snapshot does not have it.
    Not(String),
    /// The files hold none.
    Absent,
}

/// Everything that rules judge.
#[derive(Debug, Clone)]
pub struct Facts {
    origin: Origin,
    version: Option<Version>,
    reads: BTreeMap<Fact, Read>,
    gaps: Vec<Gap>,
    malformed: Vec<String>,
    notes: Vec<String>,
    tables: Tables,
    served: Vec<(Text, Text)>,
    events: HashMap<Text, Vec<Happened>>,
    by_uid: HashMap<Text, Place>,
    by_name: HashMap<(Fact, Text, Text), u32>,
    children: HashMap<Text, Vec<Place>>,
    children_by_name: HashMap<(Fact, Text, Text), Vec<Place>>,
    selectors: lookup::Selectors,
    by_node: HashMap<Text, Vec<u32>>,
    rooms: OnceLock<crate::scheduling::Rooms>,
}

impl Facts {
    /// Returns where they come from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns the server's version, where it is known.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Returns the pods, by namespace and name.
    #[must_use]
    pub fn pods(&self) -> &[Pod] {
        &self.tables.pods
    }

    /// Returns the objects of kinds that this crate does not declare, by namespace and name.
    #[must_use]
    pub fn custom(&self) -> &[Of<Custom>] {
        &self.tables.custom
    }

    /// Returns how much is known of a kind: files that have objects of it are taken to have all of them.
    #[must_use]
    pub fn read(&self, fact: Fact) -> &Read {
        match (self.reads.get(&fact), self.origin) {
            (Some(read), _) => read,
            (None, Origin::Manifests) => &Read::Absent,
            (None, _) => &Read::Whole,
        }
    }

    /// Returns whether a kind was read, so that what is not there does not exist.
    #[must_use]
    pub fn knows(&self, fact: Fact) -> bool {
        matches!(self.read(fact), Read::Whole | Read::Unserved) && !self.gaps.iter().any(|gap| gap.fact == fact)
    }

    /// Returns what could not be read in single namespaces.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Returns the objects that could not be read, and why.
    #[must_use]
    pub fn malformed(&self) -> &[String] {
        &self.malformed
    }

    /// Returns what somebody who asks for details is told, as in a name that occurs twice.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the objects of a kind, by namespace and name.
    pub fn objects(&self, fact: Fact) -> impl Iterator<Item = &dyn Object> {
        self.tables.of(fact)
    }

    /// Returns every object.
    pub fn all(&self) -> impl Iterator<Item = &dyn Object> {
        Fact::ALL.into_iter().flat_map(|fact| self.tables.of(fact))
    }

    /// Returns how many objects there are of a kind.
    #[must_use]
    pub fn count(&self, fact: Fact) -> usize {
        self.tables.len(fact)
    }

    /// Returns the templates that somebody edits: of carriers that no other carrier makes, and of pods without owner.
    pub fn carriers(&self) -> impl Iterator<Item = Carrier<'_>> {
        let holders = Fact::CARRIERS.into_iter().chain([Fact::CustomCarrier]);
        holders.flat_map(|fact| self.tables.of(fact)).filter(|object| self.is_edited(*object)).filter_map(Carrier::of)
    }

    /// Returns whether nothing that is known of makes the object.
    fn is_edited(&self, object: &dyn Object) -> bool {
        let Some(owner) = &object.meta().owner else { return true };
        if object.fact() == Fact::Pod {
            return false;
        }
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        match Fact::of(group, &owner.kind) {
            None => true,
            // What an owner that cannot be read would say is said of what it made.
            Some(fact) => matches!(self.read(fact), Read::Not(_) | Read::Absent) && self.owner_of(object).is_none(),
        }
    }

    /// Returns the namespace's object.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Of<kinds::Namespace>> {
        let at = self.tables.namespaces.binary_search_by(|namespace| (*namespace.meta.name).cmp(name)).ok()?;
        self.tables.namespaces.get(at)
    }

    /// Returns the node of a name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Of<kinds::Node>> {
        let at = self.tables.nodes.binary_search_by(|node| (*node.meta.name).cmp(name)).ok()?;
        self.tables.nodes.get(at)
    }

    /// Returns what a pod's containers used when that was measured last; none where nobody measures.
    #[must_use]
    pub fn metrics_of(&self, pod: &Pod) -> Option<&Of<kinds::PodMetrics>> {
        let key = (&*pod.meta.namespace, &*pod.meta.name);
        let all = &self.tables.pod_metrics;
        let at = all.binary_search_by(|one| (&*one.meta.namespace, &*one.meta.name).cmp(&key)).ok()?;
        all.get(at)
    }

    /// Returns the objects of an optional kind, as in `NodePool`, by namespace and name.
    pub fn custom_of(&self, fact: Fact) -> impl Iterator<Item = &Of<Custom>> {
        self.tables.custom.iter().filter(move |object| object.body.fact == fact)
    }

    /// Returns what the nodes have left; summed once, when it is first asked for.
    #[must_use]
    pub fn rooms(&self) -> &crate::scheduling::Rooms {
        self.rooms.get_or_init(|| crate::scheduling::rooms(&self.tables.nodes, &self.tables.pods))
    }

    /// Returns what happened to the object of a uid.
    #[must_use]
    pub fn events(&self, uid: &str) -> &[Happened] {
        self.events.get(uid).map_or(&[], Vec::as_slice)
    }

    /// Returns groups and kinds that the server serves beyond those that every server has; empty where not asked.
    pub fn served(&self) -> impl Iterator<Item = (&str, &str)> {
        self.served.iter().map(|(group, kind)| (&**group, &**kind))
    }
}

/// Sorts by namespace and name; of equal names the later one stays.
fn order<T: Object>(objects: &mut Vec<T>) {
    objects.sort_by(|a, b| place(a).cmp(&place(b)));
    // dedup_by keeps the first of equals: keep the last one by going backwards.
    objects.reverse();
    objects.dedup_by(|a, b| place(a) == place(b));
    objects.reverse();
    objects.shrink_to_fit();
}

fn place<T: Object>(object: &T) -> (&str, &str, &str) {
    let meta = object.meta();
    (&meta.namespace, &meta.name, object.kind())
}

/// Leaves out what no rule reads and what would keep equal specs apart.
fn prune(spec: &mut PodSpec) {
    spec.volumes.retain(|volume| volume.volume_source.host_path.is_some());
    let kept: Vec<&str> = spec.volumes.iter().map(|volume| volume.name.as_str()).collect();
    for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
        container.volume_mounts.retain(|mount| kept.contains(&mount.name.as_str()));
    }
}
