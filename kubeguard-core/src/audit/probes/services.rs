//! PA407 to PA410: probes, services and disruption budgets together.

use super::{Probe, ProbeKind, ROUTED, SCALED, about, asked, probes, replicas, routing};
use crate::audit::facts::{Carrier, Of};
use crate::audit::kinds;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Fold, Rule};
use crate::pods::{Member, members};

const BUDGETS: &[Need] = &[Need::decides(Fact::PodDisruptionBudget), Need::decides(Fact::Pod)];

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA407",
        name: "single-replica-flappable",
        severity: Severity::Low,
        summary: "a single routed replica leaves its service after one or two failures of its readiness probe",
        why: "any flap is an outage",
        remedy: "raise failureThreshold, or run two replicas",
        needs: SCALED,
        check: Check::Template(single),
        ..Rule::BASE
    },
    Rule {
        id: "PA408",
        name: "pdb-unready-deadlock",
        severity: Severity::High,
        fold: Fold::Itself,
        summary: "a disruption budget protects pods that are unready from being evicted",
        why: "a drain waits for ever: what is unready never becomes healthy on that node",
        remedy: "set unhealthyPodEvictionPolicy to AlwaysAllow",
        traps: &["enough pods are healthy"],
        links: &["https://github.com/kubernetes/enhancements/issues/3017"],
        needs: BUDGETS,
        check: Check::Budget(deadlock),
        ..Rule::BASE
    },
    Rule {
        id: "PA409",
        name: "readiness-ignored",
        fold: Fold::Itself,
        summary: "a service publishes addresses that are not ready, and its pods have readiness probes",
        why: "the probes do nothing for this service: it sends traffic to pods that said they cannot take it",
        remedy: "publish unready addresses by a second, headless service for peers alone",
        traps: &["headless and stateful peers find each other so"],
        needs: ROUTED,
        check: Check::Service(ignored),
        ..Rule::BASE
    },
    Rule {
        id: "PA410",
        name: "readiness-gates-too-many",
        severity: Severity::Info,
        summary: "three or more containers of a routed pod have readiness probes",
        why: "the pod is ready only while all are: their unavailabilities add up",
        remedy: "keep the readiness of what serves the traffic",
        needs: ROUTED,
        check: Check::Template(many),
        ..Rule::BASE
    },
];

fn single<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    // A pod that stands alone is nobody's replica.
    if carrier.object.fact() == Fact::Pod || replicas(context.facts, &carrier) != Some(1) {
        return;
    }
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        if !routing.to(member.container).any(|route| !route.is_telemetry()) {
            continue;
        }
        let found = probes(&member, carrier.spec);
        let flappable = |probe: &&Probe<'_>| probe.kind == ProbeKind::Readiness && probe.timing.failure <= 2;
        let Some(readiness) = found.iter().find(flappable) else { continue };
        let failure = readiness.timing.failure;
        let message = format!(
            "the only replica leaves its service after {failure} failures of readiness of {}: any flap is an outage",
            member.container.name
        );
        let at = super::below(&carrier, &member, ProbeKind::Readiness, "failureThreshold");
        let finding = about(context, &carrier, &member, readiness, message).evidence(at.clone(), failure);
        findings.push(finding.set(&carrier, at, 3));
    }
}

fn deadlock<'a>(context: &Context<'a>, budget: &'a Of<kinds::PodDisruptionBudget>, findings: &mut Findings<'a>) {
    let (Some(spec), Some(status)) = (&budget.spec, &budget.status) else { return };
    let always = spec.unhealthy_pod_eviction_policy == "AlwaysAllow";
    if always || status.current_healthy >= status.desired_healthy {
        return;
    }
    let Some(selector) = &spec.selector else { return };
    let unready = context.facts.pods().iter().filter(|pod| {
        pod.meta.namespace == budget.meta.namespace
            && pod.meta.deleted.is_none()
            && pod.phase() == "Running"
            && selector.matches(&pod.meta.labels)
            && pod.status.as_ref().and_then(|status| status.condition("Ready")).is_some_and(|ready| !ready.is_true())
    });
    let count = unready.count();
    if count == 0 {
        return;
    }
    let (current, desired) = (status.current_healthy, status.desired_healthy);
    let message = format!(
        "{current} of {desired} wanted pods are healthy, so none of {count} unready pods may be evicted: a drain waits for ever"
    );
    let finding = context.finding(budget, message);
    let finding = finding.evidence("/status/currentHealthy", current).evidence("/status/desiredHealthy", desired);
    let patch = serde_json::json!({"op": "add", "path": "/spec/unhealthyPodEvictionPolicy", "value": "AlwaysAllow"});
    findings.push(finding.patch(patch));
}

fn ignored<'a>(context: &Context<'a>, service: &'a Of<kinds::Service>, findings: &mut Findings<'a>) {
    let Some(spec) = &service.spec else { return };
    if !spec.publish_not_ready_addresses
        || spec.cluster_ip == "None"
        || spec.selector.is_empty()
        || spec.r#type == "ExternalName"
    {
        return;
    }
    // What a stateful set names its pods by is for peers, headless or not.
    let of_peers = context.facts.stateful_sets().iter().any(|set| {
        set.meta.namespace == service.meta.namespace
            && set.spec.as_ref().is_some_and(|spec| *spec.service_name == *service.meta.name)
    });
    if of_peers {
        return;
    }
    let behind = context.facts.carriers().filter(|carrier| {
        carrier.object.meta().namespace == service.meta.namespace
            && !super::ends(context.facts, carrier)
            && spec.selector.iter().all(|(key, value)| carrier.labels.get(key) == Some(value))
    });
    let probed = |carrier: &Carrier<'_>| {
        members(carrier.spec).any(|member| member.is_gating() && member.container.readiness_probe.is_some())
    };
    let names: Vec<String> = behind.filter(probed).map(|carrier| carrier.object.object_name().to_string()).collect();
    let Some(first) = names.first() else { return };
    let message = format!(
        "service {} publishes unready addresses: the readiness probes of {first} do nothing for it",
        service.meta.name
    );
    findings.push(context.finding(service, message).evidence("/spec/publishNotReadyAddresses", true));
}

fn many<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let asked = asked(context, &carrier);
    let probed: Vec<&Member<'a>> = asked.iter().filter(|member| member.container.readiness_probe.is_some()).collect();
    if probed.len() < 3 || routing(context.facts, &carrier).routes.is_empty() {
        return;
    }
    let names: Vec<&str> = probed.iter().map(|member| member.container.name.as_str()).collect();
    // Of containers that are each ready 99.9 % of the time.
    let together = 0.999_f64.powi(i32::try_from(names.len()).unwrap_or(i32::MAX)) * 100.0;
    let message = format!(
        "{} containers decide whether the pod is ready ({}): each ready 99.9 % of the time, all are {together:.1} %",
        names.len(),
        names.join(", ")
    );
    let finding =
        context.finding(carrier.object, message).evidence(format!("{}/spec/containers", carrier.path), names.len());
    findings.push(finding);
}
