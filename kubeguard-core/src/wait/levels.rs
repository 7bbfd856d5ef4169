//! Levels beyond available: pods of the older template gone, traffic moved to the new ones, and a quiet time.
//!
//! Each level holds the ones before it; a kind without a level's notion treats it as the one before.

use std::collections::BTreeSet;

use super::assess::Context;
use super::object::{Body, Object, ObjectKey};
use super::policy::Level;
use super::reason::Reason;
use super::verdict::Outcome;
use super::view::Lookup;
use super::{daemon_set, deployment, small, stateful_set};
use crate::kinds::{EndpointSlice, Pod, Service};

/// The pods of a workload, and what tells which Services select them.
struct Crowd<'a> {
    new: Vec<&'a Pod>,
    /// Of an older template, or being deleted.
    old: Vec<&'a Pod>,
    want: i32,
    labels: Vec<(&'a str, &'a str)>,
}

/// Asks what the levels beyond `available` ask, of an object that has come as far as that; a quiet time alone only notes
/// what must not change meanwhile.
pub(super) fn beyond(object: &Object, cx: &Context<'_>, outcome: &mut Outcome) {
    match &object.body {
        Body::Service(service) if cx.policy.until >= Level::Serving => routed(object, service, cx, outcome),
        Body::Custom(_, value) if cx.policy.until >= Level::Serving => addressed(object, value, cx, outcome),
        _ => {}
    }
    let Some(crowd) = crowd(object, cx) else { return };
    if cx.policy.until >= Level::Gone {
        gone(object, &crowd, cx, outcome);
    }
    if cx.policy.until >= Level::Serving {
        serving(object, &crowd, cx, outcome);
    }
    // Whatever is read here starts the quiet time anew when it changes.
    let restarts = |pod: &&Pod| -> i32 {
        let statuses = pod.status.iter().flat_map(|status| &status.container_statuses);
        statuses.filter_map(|container| container.restart_count).sum()
    };
    let pods = crowd.new.iter().map(|pod| format!("{} ({} restarts)", pod.metadata.name, restarts(pod)));
    outcome.read("new pods", pods.collect::<Vec<_>>().join(", "));
}

/// Returns whether a kind's pods matter beyond `available`; `None` for kinds without pods.
fn crowd<'a>(object: &'a Object, cx: &Context<'a>) -> Option<Crowd<'a>> {
    let uid = &object.meta().uid;
    let all: Vec<&Pod> = match &object.body {
        Body::Deployment(_) => {
            let sets = cx.view.controlled(uid, "ReplicaSet");
            sets.flat_map(|set| cx.view.pods(&set.meta().uid)).collect()
        }
        Body::ReplicaSet(_) | Body::StatefulSet(_) | Body::DaemonSet(_) => cx.view.pods(uid).collect(),
        _ => return None,
    };
    let (want, template) = match &object.body {
        Body::Deployment(body) => (body.spec.as_ref()?.replicas, body.spec.as_ref()?.template.as_ref()),
        Body::ReplicaSet(body) => (body.spec.as_ref()?.replicas, body.spec.as_ref()?.template.as_ref()),
        Body::StatefulSet(body) => (body.spec.as_ref()?.replicas, body.spec.as_ref()?.template.as_ref()),
        Body::DaemonSet(body) => {
            (body.status.as_ref()?.desired_number_scheduled, body.spec.as_ref()?.template.as_ref())
        }
        _ => return None,
    };
    let newest = match &object.body {
        Body::Deployment(_) => deployment::newest_replica_set(object, cx).map(|set| set.metadata.uid.as_str()),
        Body::DaemonSet(_) => daemon_set::newest_hash(object, cx),
        _ => None,
    };
    let is_new = |pod: &Pod| match &object.body {
        Body::Deployment(_) => pod.metadata.controller().map(|owner| owner.uid.as_str()) == newest,
        Body::StatefulSet(body) => stateful_set::belongs(body, pod),
        Body::DaemonSet(_) => daemon_set::belongs(newest, pod),
        _ => true,
    };
    let (new, old) = all.into_iter().partition(|pod| is_new(pod) && !pod.metadata.is_deleted());
    let labels = template.map(|template| &template.metadata.labels).into_iter().flatten();
    Some(Crowd {
        new,
        old,
        want: want.unwrap_or(1),
        labels: labels.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
    })
}

fn gone(object: &Object, crowd: &Crowd<'_>, cx: &Context<'_>, outcome: &mut Outcome) {
    let terminating = match &object.body {
        Body::Deployment(body) => body.status.as_ref().and_then(|status| status.terminating_replicas),
        Body::ReplicaSet(body) => body.status.as_ref().and_then(|status| status.terminating_replicas),
        _ => None,
    };
    if let Some(terminating) = terminating {
        outcome.read("status.terminatingReplicas", terminating);
        if terminating > 0 {
            let message = format!("{} still terminating", deployment::plural(terminating, "pod"));
            outcome.wait("WD-L2", Reason::TerminatingReplicas, message);
            outcome.flips.push("status.terminatingReplicas = 0".to_owned());
        }
        return;
    }
    if !is_read("", "Pod", cx) {
        outcome.wait(
            "WD-L2",
            Reason::OldPods,
            "whether pods of an older template are left cannot be told: pods are not read",
        );
        return;
    }
    let names: Vec<&str> = crowd.old.iter().map(|pod| pod.metadata.name.as_str()).collect();
    outcome.read("old pods", names.len());
    if let Some(first) = names.first() {
        let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
        outcome.wait("WD-L2", Reason::OldPods, format!("{first}{more} still there"));
    }
}

/// Returns whether a kind has been read; a file holds all there is.
fn is_read(group: &str, kind: &str, cx: &Context<'_>) -> bool {
    cx.clock.start.is_none() || matches!(cx.reading(group, kind), Lookup::Known(()))
}

/// Every Service that selects the pods routes to each of them, in every address family.
fn serving(object: &Object, crowd: &Crowd<'_>, cx: &Context<'_>, outcome: &mut Outcome) {
    if !is_read("", "Service", cx) || !is_read("discovery.k8s.io", "EndpointSlice", cx) {
        let message = "whether traffic has moved cannot be told: services and endpointslices are not read";
        outcome.wait("WD-L3", Reason::NoReadyEndpoint, message);
        return;
    }
    let mut selected = false;
    for (key, service) in services(&object.key.namespace, cx) {
        let Some(spec) = service.spec.as_ref().filter(|spec| !spec.selector.is_empty()) else { continue };
        if !spec.selector.iter().all(|(key, value)| crowd.labels.contains(&(key, value))) {
            continue;
        }
        selected = true;
        for family in families(service) {
            let ready = ready_endpoints(key, family, cx);
            let missing: Vec<&str> = crowd
                .new
                .iter()
                .filter(|pod| pod.is_ready() && !ready.contains(pod.metadata.uid.as_str()))
                .map(|pod| pod.metadata.name.as_str())
                .collect();
            outcome.read(format!("ready endpoints of {key} ({family})"), ready.len());
            if let Some(first) = missing.first() {
                let count = missing.len();
                let message = format!("{key} ({family}) does not route to {first} yet, {count} missing");
                outcome.wait("WD-L3", Reason::NoReadyEndpoint, message);
            } else if ready.is_empty() && crowd.want > 0 {
                outcome.wait("WD-L3", Reason::NoReadyEndpoint, format!("{key} ({family}) has no ready endpoint"));
            }
        }
        if spec.r#type == "LoadBalancer" && small::addresses(service).is_empty() {
            outcome.wait("WD-L3", Reason::NoAddress, format!("{key} has no load balancer address yet"));
        }
    }
    if !selected {
        outcome.note("NoService", "no Service selects its pods");
    }
}

/// A Service by itself: at least one ready endpoint, unless every workload that it selects wants none.
fn routed(object: &Object, service: &Service, cx: &Context<'_>, outcome: &mut Outcome) {
    let Some(spec) = service.spec.as_ref().filter(|spec| !spec.selector.is_empty()) else { return };
    if !is_read("discovery.k8s.io", "EndpointSlice", cx) {
        outcome.wait("WD-L3", Reason::NoReadyEndpoint, "endpoints cannot be told: endpointslices are not read");
        return;
    }
    let workloads = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];
    let mut selected = workloads
        .iter()
        .flat_map(|kind| cx.view.of_kind("apps", kind, &object.key.namespace))
        .filter_map(|workload| crowd(workload, cx))
        .filter(|crowd| spec.selector.iter().all(|(key, value)| crowd.labels.contains(&(key, value))))
        .peekable();
    if selected.peek().is_some() && selected.all(|crowd| crowd.want == 0) {
        outcome.note("NoEndpoints", "every workload that it selects wants no pods");
        return;
    }
    for family in families(service) {
        let ready = ready_endpoints(&object.key, family, cx);
        outcome.read(format!("ready endpoints ({family})"), ready.len());
        if ready.is_empty() {
            outcome.wait("WD-L3", Reason::NoReadyEndpoint, format!("no ready endpoint ({family})"));
        }
    }
}

/// Ingresses and Gateways have an address, where their kind gets one here.
fn addressed(object: &Object, value: &serde_json::Value, cx: &Context<'_>, outcome: &mut Outcome) {
    let filled = |value: &serde_json::Value, path: &str| {
        value.pointer(path).and_then(serde_json::Value::as_array).is_some_and(|list| !list.is_empty())
    };
    match (object.key.group.as_str(), object.key.kind.as_str()) {
        ("gateway.networking.k8s.io", "Gateway") if !filled(value, "/status/addresses") => {
            outcome.wait("WD-W4", Reason::NoAddress, "the gateway has no address yet");
        }
        ("networking.k8s.io", "Ingress") if !filled(value, "/status/loadBalancer/ingress") => {
            let class = |value: &serde_json::Value| value.pointer("/spec/ingressClassName").cloned();
            // Many controllers never write an address; one that did for another ingress will for this one.
            let others = cx.view.of_kind("networking.k8s.io", "Ingress", &object.key.namespace);
            let writes = others.filter(|other| other.key != object.key).any(|other| match &other.body {
                Body::Custom(_, other) => class(other) == class(value) && filled(other, "/status/loadBalancer/ingress"),
                _ => false,
            });
            if writes {
                outcome.wait("WD-I1", Reason::NoAddress, "others of its class have an address, it has none yet");
            }
        }
        _ => {}
    }
}

fn services<'a>(namespace: &'a str, cx: &Context<'a>) -> impl Iterator<Item = (&'a ObjectKey, &'a Service)> {
    cx.view.of_kind("", "Service", namespace).filter_map(|object| match &object.body {
        Body::Service(service) => Some((&object.key, service.as_ref())),
        _ => None,
    })
}

/// Returns the address families of a Service, as EndpointSlices name them.
fn families(service: &Service) -> Vec<&str> {
    let families = service.spec.as_ref().map(|spec| spec.ip_families.as_slice()).unwrap_or_default();
    if families.is_empty() { vec!["IPv4"] } else { families.iter().map(String::as_str).collect() }
}

/// Returns the uids of the pods behind a Service that are ready; a missing `ready` means yes.
fn ready_endpoints<'a>(service: &ObjectKey, family: &str, cx: &Context<'a>) -> BTreeSet<&'a str> {
    let slices = cx.view.slices(&service.namespace, &service.name).filter_map(|object| match &object.body {
        Body::Slice(slice) => Some(slice.as_ref()),
        _ => None,
    });
    let of_family = slices.filter(|slice: &&EndpointSlice| slice.address_type == family);
    let endpoints = of_family.flat_map(|slice| &slice.endpoints);
    let ready = endpoints
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
    ready.filter_map(|endpoint| Some(endpoint.target_ref.as_ref()?.uid.as_str())).collect()
}
