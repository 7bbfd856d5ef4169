//! PA101, PA102 and PA104: traffic that arrives where nothing says whether it can be taken.

use serde_json::json;

use super::routing::declared;
use super::{ProbeKind, ROUTED, asked, below, class, command, probes, routing};
use crate::audit::facts::Carrier;
use crate::audit::report::Severity;
use crate::audit::rule::{Absorbs, Check, Context, Findings, Rule, absorbs};
use crate::pods::Criticality;

const UNGUARDED: &[Absorbs] = &[absorbs("PA101"), absorbs("PA102")];

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA101",
        name: "routed-port-unguarded",
        severity: Severity::High,
        summary: "a container gets a service's traffic and has no readiness probe",
        why: "traffic arrives before the process listens, and a rollout proceeds as soon as the process exists",
        remedy: "add a readiness probe (httpGet, grpc or tcpSocket) on the port that the service routes to",
        traps: &[
            "unready addresses are published",
            "a headless service that names a stateful set's pods",
            "only UDP is routed",
            "a readiness gate guards the pod",
            "a port for metrics alone loses a scrape, no traffic",
            "a container that only sleeps serves nothing",
        ],
        needs: ROUTED,
        check: Check::Template(unguarded),
        ..Rule::BASE
    },
    Rule {
        id: "PA102",
        name: "pod-without-readiness",
        summary: "a service routes to a port that no container declares, and nothing in the pod has a readiness probe",
        why: "traffic arrives before the process listens, and a rollout proceeds as soon as the process exists",
        remedy: "add a readiness probe to the container that serves the port, and declare the port there",
        needs: ROUTED,
        check: Check::Template(unmapped),
        ..Rule::BASE
    },
    Rule {
        id: "PA104",
        name: "startup-only",
        severity: Severity::High,
        absorbs: UNGUARDED,
        summary: "a container gets a service's traffic and has a startup probe, but no readiness probe",
        why: "once it has started, nothing takes it out of service",
        remedy: "add a readiness probe; the startup probe's handler will do",
        needs: ROUTED,
        check: Check::Template(startup_only),
        ..Rule::BASE
    },
];

fn unguarded<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if !carrier.spec.readiness_gates.is_empty() {
        return;
    }
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        let container = member.container;
        let routes: Vec<_> = routing.to(container).collect();
        let Some(first) = routes.iter().find(|route| !route.is_telemetry()).or(routes.first()) else { continue };
        // Of what must not decide about traffic no readiness is asked.
        let noncritical = class(context, &carrier, container).0 == Criticality::NonCritical;
        // What only waits listens nowhere: a readiness probe would never pass.
        if container.readiness_probe.is_some() || noncritical || command::only_waits(container) {
            continue;
        }
        let (name, service) = (&container.name, &first.service.meta.name);
        let number = first.number.unwrap_or_default();
        let message = format!(
            "service {service} routes port {} to {name}:{number}, which has no readiness probe: traffic arrives before it listens",
            first.port.port
        );
        let telemetry = routes.iter().all(|route| route.is_telemetry());
        let severity = if telemetry { Severity::Low } else { Severity::High };
        let named = declared(container, number).filter(|name| !name.is_empty());
        let port = named.map_or_else(|| json!(number), |name| json!(name));
        let probe =
            json!({"tcpSocket": {"port": port}, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 3});
        let at = below(&carrier, &member, ProbeKind::Readiness, "");
        let finding = context.container(carrier, member, message).severity(severity);
        let finding = finding.evidence(at.clone(), json!(null));
        let finding = finding.evidence_of(first.service, "/spec/ports", first.port.port);
        // A number that is not among the ports that it declares may be the mistake itself.
        let certain = container.ports.is_empty() || declared(container, number).is_some();
        findings.push(if certain {
            finding.set(&carrier, at, probe)
        } else {
            let text = format!(
                "make sure that {name} listens on {number}, which it does not declare, and add a readiness probe"
            );
            finding.remedy(text)
        });
    }
}

fn unmapped<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let asked = asked(context, &carrier);
    let guarded = asked.iter().any(|member| member.container.readiness_probe.is_some())
        || asked.iter().all(|member| command::only_waits(member.container));
    if asked.is_empty() || guarded || !carrier.spec.readiness_gates.is_empty() {
        return;
    }
    let routing = routing(context.facts, &carrier);
    let Some(route) = routing.unmapped().find(|route| !route.is_telemetry()) else { return };
    let target = route.port.target_port.as_ref().map(ToString::to_string).unwrap_or_default();
    let service = &route.service.meta.name;
    let message = format!(
        "service {service} routes to port {target}, which no container declares, and none of {} containers has a readiness probe",
        asked.len()
    );
    let finding = context.finding(carrier.object, message);
    findings.push(finding.evidence(format!("{}/spec/containers", carrier.path), asked.len()).evidence_of(
        route.service,
        "/spec/ports",
        target,
    ));
}

fn startup_only<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if !carrier.spec.readiness_gates.is_empty() {
        return;
    }
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        let container = member.container;
        if container.readiness_probe.is_some() {
            continue;
        }
        let found = probes(&member, carrier.spec);
        let Some(startup) = found.iter().find(|probe| probe.kind == ProbeKind::Startup) else { continue };
        let Some(route) = routing.to(container).find(|route| !route.is_telemetry()) else { continue };
        let name = &container.name;
        let message = format!(
            "container {name} has a startup probe and no readiness probe: after its start nothing guards the traffic of service {}",
            route.service.meta.name
        );
        let handler = serde_json::to_value(&*startup.handler).unwrap_or_default();
        let mut probe = json!({"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 3});
        if let (Some(probe), Some(handler)) = (probe.as_object_mut(), handler.as_object()) {
            probe.extend(handler.clone().into_iter().filter(|(_, value)| !value.is_null()));
        }
        let at = below(&carrier, &member, ProbeKind::Readiness, "");
        let finding = context.container(carrier, member, message);
        findings.push(finding.evidence(at.clone(), json!(null)).set(&carrier, at, probe));
    }
}
