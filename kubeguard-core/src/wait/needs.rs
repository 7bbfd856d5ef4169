//! What a wait must read, computed from its state: the watches to run, and the Role that allows them.

use std::collections::{BTreeMap, BTreeSet};

use super::object::{Body, ObjectKey};
use super::policy::{Level, Policy};
use super::reason::Reason;
use super::record::Target;
use super::state::State;
use super::verdict::{Suspect, Verdict};
use crate::gather::discovery::Discovery;
use crate::gather::pages::Selection;
use crate::gather::resource::Resource;
use crate::kinds::{
    ControllerRevision, CustomResourceDefinition, EndpointSlice, Event, Node, Pod, ReplicaSet, Service, StorageClass,
};

/// One watch per kind and namespace, shared by every item and its children.
pub(crate) type Place = (Resource, Option<String>);

/// One thing a wait must be allowed to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// API group; empty for the core group.
    pub group: String,
    /// As in `deployments`, or `pods/log`.
    pub resource: String,
    /// Namespace; `None` for all, and for cluster-wide kinds.
    pub namespace: Option<String>,
    /// Names, where no more than these are read; empty for all.
    pub names: Vec<String>,
    /// As in `get`, `list`, `watch`.
    pub verbs: Vec<&'static str>,
    /// Why, for people.
    pub why: &'static str,
    /// Without it there is no verdict; else only detail is lost.
    pub required: bool,
}

impl State {
    /// Notes the watch that a target needs.
    pub(crate) fn want_target(&mut self, target: &Target) {
        let selection = Selection {
            resource: target.resource.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            names: Vec::new(),
            whole: self.policy().rules.has_expressions(),
            labels: target.labels.clone(),
            fields: target.fields.clone(),
        };
        add(self.wants_mut(), selection);
    }

    /// Notes the watches that an item needs as it stands: its children while it is open, events once something is
    /// wrong. The set only grows: what was asked once stays watched.
    pub(crate) fn want_children(&mut self, key: &ObjectKey) {
        let mut wishes = Vec::new();
        {
            let Some(item) = self.items().get(key) else { return };
            let has_suspects = !item.judgement.suspects.is_empty();
            let (until, settle) = (self.policy().until, self.policy().settle);
            let complete = item.judgement.verdict == Verdict::Complete;
            // A level beyond available, and a quiet time, ask for the pods also when all counters are there.
            let asks_more = complete && (until > Level::Available || !settle.is_zero());
            let done = !asks_more
                && matches!(item.judgement.verdict, Verdict::Complete | Verdict::Missing | Verdict::Superseded);
            let Some(object) = self.view().get(key).filter(|_| !done || has_suspects) else { return };
            let place = self.place(key);
            let mut kinds = children(&object.body);
            if let Body::Custom(..) = object.body {
                let version = object.api_version.rsplit('/').next().unwrap_or_default();
                let rules = self.policy().rules.of(&key.group, version, &key.kind);
                if let Some(between) = rules.children() {
                    let known = Discovery::well_known();
                    kinds.extend(between.iter().filter_map(|(group, kind)| known.of_kind(group, "v1", kind).cloned()));
                    kinds.push(Resource::of::<Pod>());
                }
            }
            for resource in kinds {
                let place = place.as_deref().filter(|_| resource.namespaced);
                let narrow = resource.kind != "ReplicaSet" && self.is_alone(key);
                let labels = if narrow { selector(&object.body) } else { String::new() };
                wishes.push(Selection { labels, ..Selection::all(resource, place) });
            }
            let unplaced = |suspect: &Suspect| suspect.word.reason == Reason::Unschedulable;
            if item.judgement.suspects.iter().any(unplaced) {
                wishes.push(Selection::all(Resource::of::<Node>(), None));
            }
            if until >= Level::Serving && routes(&object.body) {
                wishes.push(Selection::all(Resource::of::<Service>(), place.as_deref()));
                wishes.push(Selection::all(Resource::of::<EndpointSlice>(), place.as_deref()));
            }
            if has_suspects || matches!(object.body, Body::Claim(_) | Body::Service(_)) {
                wishes.push(Selection::all(Resource::of::<Event>(), place.as_deref()));
            }
            if let (Body::Custom(..), Some(name)) = (&object.body, self.definition_of(key)) {
                let all = Selection::all(Resource::of::<CustomResourceDefinition>(), None);
                wishes.push(Selection { name: Some(name), ..all });
            }
        }
        for wish in wishes {
            add(self.wants_mut(), wish);
        }
    }

    /// Returns the name of the definition behind a custom resource, from the plural of the target that named it.
    fn definition_of(&self, key: &ObjectKey) -> Option<String> {
        let of = |target: &&Target| target.resource.group == key.group && target.resource.kind == key.kind;
        let target = self.targets().iter().find(of).filter(|_| !key.group.is_empty())?;
        Some(format!("{}.{}", target.resource.plural, key.group))
    }

    /// Returns where an item's children are read: its namespace, or everywhere when it was asked for everywhere.
    fn place(&self, key: &ObjectKey) -> Option<String> {
        let everywhere = self.targets().iter().any(|target| {
            target.name.is_none()
                && target.namespace.is_none()
                && target.resource.namespaced
                && target.resource.kind == key.kind
                && target.resource.group == key.group
        });
        (!everywhere && !key.namespace.is_empty()).then(|| key.namespace.clone())
    }

    /// Returns the definitions that are established and whose kinds discovery has not been seen to list.
    pub(crate) fn wants_served(&self) -> BTreeSet<Resource> {
        let mut wanted = BTreeSet::new();
        for (key, item) in self.items().iter().filter(|(key, _)| key.kind == "CustomResourceDefinition") {
            let Some(Body::Definition(definition)) = self.view().get(key).map(|object| &object.body) else { continue };
            let (group, kind) = definition.defines();
            let version = definition.spec.versions.iter().find(|version| version.served);
            if item.judgement.rule == "WD-X4" && self.view().served(group, kind) != Some(true) {
                wanted.extend(version.map(|version| Resource {
                    group: group.to_owned(),
                    version: version.name.clone(),
                    kind: kind.to_owned(),
                    plural: definition.spec.names.plural.clone(),
                    namespaced: definition.spec.scope == "Namespaced",
                }));
            }
        }
        wanted
    }
}

/// Two wishes for the same place become one that holds both.
fn add(wants: &mut BTreeMap<Place, Selection>, wish: Selection) {
    let place = (wish.resource.clone(), wish.namespace.clone());
    match wants.get_mut(&place) {
        None => {
            wants.insert(place, wish);
        }
        Some(known) if *known == wish => {}
        Some(known) => {
            // Names alone can still be looked at one by one where the list is refused.
            let lists_names = |selection: &Selection| selection.name.is_some() || !selection.names.is_empty();
            let both = lists_names(known) && lists_names(&wish);
            let all = known.names.drain(..).chain(known.name.take()).chain(wish.name);
            let mut names: Vec<String> = all.filter(|_| both).collect();
            names.sort_unstable();
            names.dedup();
            let whole = known.whole || wish.whole;
            *known = Selection { names, whole, ..Selection::all(wish.resource, wish.namespace.as_deref()) };
        }
    }
}

/// Returns whether a kind's pods are reached through Services, or it is one.
fn routes(body: &Body) -> bool {
    matches!(
        body,
        Body::Deployment(_) | Body::ReplicaSet(_) | Body::StatefulSet(_) | Body::DaemonSet(_) | Body::Service(_)
    )
}

fn children(body: &Body) -> Vec<Resource> {
    match body {
        Body::Deployment(_) => vec![Resource::of::<ReplicaSet>(), Resource::of::<Pod>()],
        Body::ReplicaSet(_) | Body::StatefulSet(_) | Body::Job(_) => vec![Resource::of::<Pod>()],
        Body::DaemonSet(_) => {
            vec![Resource::of::<ControllerRevision>(), Resource::of::<Pod>(), Resource::of::<Node>()]
        }
        Body::Claim(_) => vec![Resource::of::<StorageClass>(), Resource::of::<Pod>()],
        _ => Vec::new(),
    }
}

/// Returns the labels by which a single workload's pods are found.
fn selector(body: &Body) -> String {
    let labels = match body {
        Body::Deployment(object) => object.spec.as_ref().and_then(|spec| spec.selector.as_ref()),
        Body::ReplicaSet(object) => object.spec.as_ref().and_then(|spec| spec.selector.as_ref()),
        Body::StatefulSet(object) => object.spec.as_ref().and_then(|spec| spec.selector.as_ref()),
        Body::Job(object) => object.spec.as_ref().and_then(|spec| spec.selector.as_ref()),
        _ => None,
    };
    let pairs = labels.map(|labels| &labels.match_labels).into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Returns what waiting for `targets` needs: the one list from which a Role is printed.
#[must_use]
pub fn needs(targets: &[Target], policy: &Policy) -> Vec<Need> {
    let mut needs = BTreeSet::new();
    for target in targets {
        let Resource { group, plural, kind, namespaced, .. } = &target.resource;
        let namespace = target.namespace.clone().filter(|_| *namespaced);
        let need = |group: &str, resource: &str, verbs: &[&'static str], why, namespaced: bool| Need {
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.clone().filter(|_| namespaced),
            names: Vec::new(),
            verbs: verbs.to_vec(),
            why,
            required: false,
        };
        let mut own = need(group, plural, &["get", "list", "watch"], "the verdict", true);
        // Several objects of one kind share a watch of the whole namespace.
        let same = |other: &&Target| other.resource == target.resource && other.namespace == target.namespace;
        let alone = targets.iter().filter(same).count() == 1;
        own.names = target.name.iter().filter(|_| alone).cloned().collect();
        own.required = true;
        needs.insert(own);
        let watch = &["list", "watch"];
        match (group.as_str(), kind.as_str()) {
            ("apps", "Deployment") => {
                needs.insert(need("apps", "replicasets", watch, "pods of the new revision", true));
            }
            ("apps", "DaemonSet") => {
                needs.insert(need("apps", "controllerrevisions", watch, "pods of the new revision", true));
            }
            ("", "PersistentVolumeClaim") => {
                needs.insert(need("storage.k8s.io", "storageclasses", watch, "binding modes", false));
            }
            ("" | "apps" | "batch" | "apiextensions.k8s.io", _) => {}
            _ => {
                let mut definition = need(
                    "apiextensions.k8s.io",
                    "customresourcedefinitions",
                    &["get", "list", "watch"],
                    "what it reports",
                    false,
                );
                definition.names = vec![format!("{plural}.{group}")];
                needs.insert(definition);
            }
        }
        // Groups of custom resources have a dot.
        let rules = group.contains('.').then(|| policy.rules.of(group, &target.resource.version, kind));
        let between = rules.as_ref().and_then(|rules| rules.children()).map(|between| {
            let known = Discovery::well_known();
            between.iter().filter_map(|(group, kind)| known.of_kind(group, "v1", kind).cloned()).collect::<Vec<_>>()
        });
        for child in between.iter().flatten() {
            needs.insert(need(&child.group, &child.plural, watch, "early failures", true));
        }
        let routed = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Service"];
        if policy.until >= Level::Serving && routed.contains(&kind.as_str()) {
            for (group, resource) in [("", "services"), ("discovery.k8s.io", "endpointslices")] {
                let mut need = need(group, resource, watch, "traffic", true);
                need.required = true;
                needs.insert(need);
            }
        }
        let has_pods = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "PersistentVolumeClaim"];
        if has_pods.contains(&kind.as_str()) || between.is_some() {
            needs.insert(need("", "pods", watch, "early failures", true));
            needs.insert(need("", "pods/log", &["get"], "log lines", true));
            needs.insert(need("", "nodes", watch, "broken nodes, pods that fit nowhere", false));
        }
        needs.insert(need("", "events", watch, "reasons", true));
    }
    needs.into_iter().collect()
}
