//! Kinds with a handful of rules each: services, claims, namespaces, definitions, aggregated APIs.

use super::assess::Context;
use super::object::{Body, Object};
use super::reason::Reason;
use super::verdict::{Outcome, Statement, Suspect, Verdict};
use super::view::Lookup;
use crate::kinds::{
    APIService, Condition as _, CustomResourceDefinition, Namespace, PersistentVolumeClaim, Service, condition,
};

/// The rules WD-V1 to WD-V4.
pub(super) fn service(object: &Object, service: &Service, cx: &Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let spec = service.spec.clone().unwrap_or_default();
    outcome.read("spec.type", if spec.r#type.is_empty() { "ClusterIP" } else { &spec.r#type });
    if spec.r#type == "ExternalName" {
        outcome.done("WD-V1", format!("points at {}", spec.external_name));
        return outcome;
    }
    if spec.r#type == "LoadBalancer" {
        let addresses = addresses(service);
        if spec.cluster_ip.is_empty() {
            outcome.wait("WD-V2", Reason::NoClusterIP, "no cluster address yet");
        } else if addresses.is_empty() {
            let events = cx.view.events(&object.meta().uid);
            let failed = events.last().filter(|event| event.reason == "SyncLoadBalancerFailed");
            let message = failed.map_or("no load balancer address yet", |event| event.message.as_str());
            outcome.wait("WD-V3", Reason::NoAddress, message);
        }
        outcome.done("WD-V4", addresses.join(", "));
        return outcome;
    }
    outcome.done("WD-V4", "in place");
    outcome
}

/// Returns the addresses of a Service's load balancer.
pub(super) fn addresses(service: &Service) -> Vec<&str> {
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = ingress.map(|balancer| &balancer.ingress).into_iter().flatten();
    let addresses = entries.map(|entry| if entry.ip.is_empty() { entry.hostname.as_str() } else { entry.ip.as_str() });
    addresses.filter(|address| !address.is_empty()).collect()
}

/// The rules WD-C1 to WD-C6.
pub(super) fn claim(object: &Object, claim: &PersistentVolumeClaim, cx: &Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let status = claim.status.clone().unwrap_or_default();
    let spec = claim.spec.clone().unwrap_or_default();
    outcome.read("status.phase", if status.phase.is_empty() { "absent" } else { &status.phase });
    match status.phase.as_str() {
        "Bound" => {
            let wanted = spec.resources.as_ref().and_then(|resources| resources.requests.get("storage"));
            let has = status.capacity.get("storage");
            let smaller = wanted.zip(has).is_some_and(|(wanted, has)| has < wanted);
            let changing = status.modify_volume_status.as_ref().filter(|change| !change.status.is_empty());
            if smaller {
                let pending = condition(&status.conditions, "FileSystemResizePending");
                let text = pending.map_or("", |pending| pending.message());
                let sizes = wanted.zip(has).map_or(String::new(), |(wanted, has)| format!("{has} of {wanted}"));
                outcome.wait("WD-C1", Reason::Resizing, format!("{sizes} {text}").trim_end());
            } else if let Some(change) = changing {
                let class = &change.target_volume_attributes_class_name;
                outcome.wait("WD-C1", Reason::Resizing, format!("changing to class {class}: {}", change.status));
            }
            outcome.done("WD-C1", "bound");
        }
        "Lost" => {
            let suspect = Suspect::new("WD-C2", Reason::ClaimLost, &object.key, "the claim has lost its volume");
            outcome.suspects.push(suspect.name("name", &object.key.name));
        }
        _ => pending(object, claim, cx, &mut outcome),
    }
    outcome
}

fn pending(object: &Object, claim: &PersistentVolumeClaim, cx: &Context<'_>, outcome: &mut Outcome) {
    let class = claim.spec.as_ref().map_or("", |spec| spec.storage_class_name.as_str());
    let known: Vec<_> = cx.view.of_kind("storage.k8s.io", "StorageClass", "").collect();
    let named = known.iter().find(|candidate| candidate.key.name == class);
    let waits = named.is_some_and(
        |class| matches!(&class.body, Body::StorageClass(class) if class.volume_binding_mode == "WaitForFirstConsumer"),
    );
    if waits && matches!(cx.reading("", "Pod"), Lookup::Known(()) | Lookup::Unread) && !is_used(object, cx) {
        outcome.note("WaitForFirstConsumer", "no pod uses it yet");
        outcome.done("WD-C3", "waits for its first consumer");
        return;
    }
    let read = cx.clock.start.is_none() || matches!(cx.reading("storage.k8s.io", "StorageClass"), Lookup::Known(()));
    let is_default =
        |object: &&&Object| object.meta().annotation("storageclass.kubernetes.io/is-default-class") == "true";
    if read && !class.is_empty() && named.is_none() {
        let message = format!("storage class {class} is not there");
        let suspect = Suspect::new("WD-C4", Reason::StorageClassMissing, &object.key, message);
        outcome.suspects.push(suspect.name("class", class));
    } else if read && class.is_empty() && cx.clock.start.is_some() && !known.iter().any(|class| is_default(&class)) {
        let message = "it names no storage class, and no class is the default";
        outcome.suspects.push(Suspect::new("WD-C4", Reason::StorageClassMissing, &object.key, message));
    }
    let events = cx.view.events(&object.meta().uid);
    if let Some(failed) = events.last().filter(|event| event.reason == "ProvisioningFailed") {
        let suspect = Suspect::new("WD-C5", Reason::ProvisioningFailed, &object.key, &failed.message);
        outcome.suspects.push(suspect.since(failed.oldest()));
    }
    outcome.wait("WD-C6", Reason::Unbound, "not bound yet");
}

fn is_used(object: &Object, cx: &Context<'_>) -> bool {
    cx.view.of_kind("", "Pod", &object.key.namespace).any(|pod| match &pod.body {
        Body::Pod(pod) => pod.spec.as_ref().is_some_and(|spec| {
            let claims = spec.volumes.iter().filter_map(|volume| volume.volume_source.persistent_volume_claim.as_ref());
            claims.into_iter().any(|claim| claim.claim_name == object.key.name)
        }),
        _ => false,
    })
}

/// The rule WD-M1.
pub(super) fn namespace(namespace: &Namespace) -> Outcome {
    let mut outcome = Outcome::default();
    let phase = namespace.status.as_ref().map_or("", |status| status.phase.as_str());
    outcome.read("status.phase", if phase.is_empty() { "absent" } else { phase });
    match phase {
        "Active" => outcome.done("WD-M1", "active"),
        "Terminating" => {
            let said = Statement::new("WD-M1", Reason::Terminating, "the namespace is being deleted");
            outcome.settled = Some((Verdict::Terminating, said));
        }
        _ => outcome.wait("WD-M1", Reason::NotReady, "no phase yet"),
    }
    outcome
}

/// The rules WD-X1 to WD-X5.
pub(super) fn definition(object: &Object, definition: &CustomResourceDefinition, cx: &Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let conditions = definition.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let of = |name: &str| condition(conditions, name);
    for condition in conditions {
        outcome.read(format!("status.conditions[{}]", condition.r#type), &condition.status);
    }
    if let Some(ending) = of("Terminating").filter(|condition| condition.is_true()) {
        let said = Statement::new("WD-X1", Reason::Terminating, ending.message());
        outcome.settled = Some((Verdict::Terminating, said));
        return outcome;
    }
    if let Some(refused) = of("NamesAccepted").filter(|condition| condition.is_false()) {
        let suspect = Suspect::new("WD-X2", Reason::CrdNamesNotAccepted, &object.key, said(refused));
        outcome.suspects.push(suspect.since(refused.changed_at()));
    } else if let Some(refused) = of("Established").filter(|c| c.is_false() && c.reason != "Installing") {
        let suspect = Suspect::new("WD-X3", Reason::CrdNotEstablished, &object.key, said(refused));
        outcome.suspects.push(suspect.since(refused.changed_at()));
    }
    if let Some(loose) = of("NonStructuralSchema").filter(|condition| condition.is_true()) {
        outcome.warn("NonStructuralSchema", loose.message());
    }
    let both =
        ["NamesAccepted", "Established"].iter().all(|name| of(name).is_some_and(crate::kinds::Condition::is_true));
    let (group, kind) = definition.defines();
    if !both {
        outcome.wait("WD-X5", Reason::Installing, "not established yet");
    } else if cx.clock.start.is_some() && cx.view.served(group, kind) != Some(true) {
        outcome.wait("WD-X4", Reason::Installing, format!("established, and discovery does not list {kind} yet"));
    }
    let served = definition.spec.versions.iter().filter(|version| version.served);
    let versions: Vec<&str> = served.map(|version| version.name.as_str()).collect();
    outcome.done("WD-X4", format!("served as {}", versions.join(", ")));
    outcome
}

/// The rule WD-A1.
pub(super) fn api_service(object: &Object, service: &APIService) -> Outcome {
    let mut outcome = Outcome::default();
    let conditions = service.status.as_ref().map_or(&[][..], |status| &status.conditions);
    match condition(conditions, "Available") {
        Some(available) if available.is_true() => outcome.done("WD-A1", "available"),
        Some(available) => {
            let mut suspect = Suspect::new("WD-A1", Reason::ApiServiceUnavailable, &object.key, said(available))
                .since(available.changed_at());
            if let Some(service) = &service.spec.service {
                suspect = suspect.name("service", format!("{}/{}", service.namespace, service.name));
            }
            outcome.suspects.push(suspect);
            outcome.wait("WD-A1", Reason::ApiServiceUnavailable, said(available));
        }
        None => outcome.wait("WD-A1", Reason::ApiServiceUnavailable, "no condition Available yet"),
    }
    outcome
}

fn said(condition: &crate::kinds::PodCondition) -> String {
    let head = format!("{}={} ({})", condition.r#type, condition.status, condition.reason);
    if condition.message.is_empty() { head } else { format!("{head}: {}", condition.message) }
}
