//! PA201 to PA205: the ports that probes ask.

use super::routing::declared;
use super::{Probe, ProbeKind, ROUTED, TEMPLATES, about, any, asked, below, command, probes, routing};
use crate::audit::facts::{Carrier, Port, resolve};
use crate::audit::kinds::Container;
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Rule};
use crate::pods::{Criticality, Member, View, criticality, members};

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA201",
        name: "named-port-unresolved",
        severity: Severity::Critical,
        summary: "a probe names a port that its own container does not declare",
        why: "the kubelet gets an error, throws the result away and keeps the initial one: readiness stays false for \
              ever, liveness never fires, a startup probe neither passes nor kills",
        remedy: "name the port in that container, or use its number",
        traps: &["text of digits is a number", "a name that only a sibling declares is still broken"],
        needs: TEMPLATES,
        check: Check::Container(named_port),
        ..Rule::BASE
    },
    Rule {
        id: "PA202",
        name: "port-undeclared",
        severity: Severity::Low,
        summary: "a probe asks a number that appears nowhere else in the pod",
        why: "it is likely a typo: the probe would never succeed",
        remedy: "check the number; declare it in the container's ports if it is right",
        traps: &["the number is in an argument or variable", "a container that declares no port at all"],
        links: &["https://github.com/stackrox/kube-linter/issues/1086"],
        needs: TEMPLATES,
        check: Check::Container(undeclared),
        ..Rule::BASE
    },
    Rule {
        id: "PA203",
        name: "port-of-sibling",
        severity: Severity::High,
        summary: "a probe asks a port that only another container of the pod declares",
        why: "the kubelet asks the pod's address: liveness restarts the innocent, readiness measures the wrong process",
        remedy: "move the probe to the container that declares the port, or ask a port of its own",
        traps: &["an application that is checked through its proxy", "its own arguments name the port too"],
        needs: TEMPLATES,
        check: Check::Container(of_sibling),
        ..Rule::BASE
    },
    Rule {
        id: "PA204",
        name: "port-wrong-protocol",
        severity: Severity::High,
        summary: "a probe asks a port that is declared for UDP or SCTP alone",
        why: "probes speak TCP: the port never answers",
        remedy: "ask a TCP port, or declare the port's protocol as it is",
        needs: TEMPLATES,
        check: Check::Container(wrong_protocol),
        ..Rule::BASE
    },
    Rule {
        id: "PA205",
        name: "probe-off-path",
        summary: "readiness asks a port that no service routes to, although others are routed",
        why: "the pod counts as ready while the port that gets the traffic is dead",
        remedy: "ask the routed port, or make sure that the health port reports on it",
        traps: &["a management port that aggregates"],
        needs: ROUTED,
        check: Check::Template(off_path),
        ..Rule::BASE
    },
];

/// Returns a probe's number, its pointer and whether the name or number leads to this pod.
fn number(probe: &Probe<'_>, container: &Container) -> Option<(i32, &'static str)> {
    // Another host's ports are its own.
    if probe.host().is_some_and(|(host, _)| command::place(host) != command::Target::Local) {
        return None;
    }
    let (port, field) = probe.port()?;
    match resolve(&port, container) {
        Port::Number(number) => Some((number, field)),
        Port::Unresolved(_) => None,
    }
}

fn named_port<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let container = member.container;
    for probe in any(context, &carrier, &member) {
        let Some((port, field)) = probe.port() else { continue };
        let Port::Unresolved(port) = resolve(&port, container) else { continue };
        let (severity, then) = match probe.kind {
            ProbeKind::Liveness => (Severity::High, "the container is never restarted"),
            ProbeKind::Startup => (Severity::Critical, "the container never counts as started"),
            ProbeKind::Readiness => (Severity::Critical, "the pod never becomes ready"),
        };
        let (word, name) = (probe.word(), &container.name);
        let message = format!("{word} port {port:?} is not among the ports of container {name}: {then}");
        let at = below(&carrier, &member, probe.kind, field);
        let mut finding =
            about(context, &carrier, &member, &probe, message).severity(severity).evidence(at.clone(), port);
        // With one port there is no doubt which one is meant.
        if let [only] = container.ports.as_slice() {
            finding = match only.name.as_str() {
                "" => finding.set(&carrier, at, only.container_port),
                name => finding.set(&carrier, at, name),
            };
        }
        findings.push(finding);
    }
}

/// Returns whether text holds a number that is no field of a longer one.
fn holds(text: &str, number: i32) -> bool {
    let number = number.to_string();
    text.match_indices(&number).any(|(at, _)| {
        let digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + number.len()..).and_then(|after| after.chars().next());
        !digit(before) && !digit(after)
    })
}

/// Returns whether a container's command, arguments or variables name a number.
fn mentions(container: &Container, number: i32) -> bool {
    let words = container.command.iter().chain(&container.args);
    words.chain(container.env.iter().map(|variable| &variable.value)).any(|text| holds(text, number))
}

fn undeclared<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let container = member.container;
    let all: Vec<Member<'a>> = members(carrier.spec).filter(Member::is_gating).collect();
    for probe in any(context, &carrier, &member) {
        let Some((number, field)) = number(&probe, container) else { continue };
        let is_declared = all.iter().any(|other| declared(other.container, number).is_some());
        if is_declared || all.iter().any(|other| mentions(other.container, number)) {
            continue;
        }
        let severity = if container.ports.is_empty() { Severity::Info } else { Severity::Low };
        let (word, name) = (probe.word(), &container.name);
        let message = format!(
            "{word} of {name} asks port {number}, which appears nowhere else in the pod: a typo, or a port nobody declared"
        );
        let at = below(&carrier, &member, probe.kind, field);
        findings.push(about(context, &carrier, &member, &probe, message).severity(severity).evidence(at, number));
    }
}

fn of_sibling<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let container = member.container;
    for probe in any(context, &carrier, &member) {
        let Some((number, field)) = number(&probe, container) else { continue };
        if declared(container, number).is_some() || mentions(container, number) {
            continue;
        }
        let siblings =
            members(carrier.spec).filter(Member::is_gating).filter(|other| other.container.name != container.name);
        let owners: Vec<&Container> =
            siblings.map(|other| other.container).filter(|other| declared(other, number).is_some()).collect();
        let Some(owner) = owners.first() else { continue };
        let proxied = owners
            .iter()
            .any(|owner| criticality(owner, &View::of(&carrier), &context.policy.sidecars).0 == Criticality::DataPath);
        let severity = match probe.kind {
            _ if proxied => Severity::Info,
            ProbeKind::Readiness => Severity::Medium,
            ProbeKind::Liveness | ProbeKind::Startup => Severity::High,
        };
        let then = match probe.kind {
            ProbeKind::Readiness => "it measures another process",
            ProbeKind::Liveness | ProbeKind::Startup => "it restarts the innocent",
        };
        let message = format!(
            "{} of {} asks port {number}, which container {} declares: {then}",
            probe.word(),
            container.name,
            owner.name
        );
        let at = below(&carrier, &member, probe.kind, field);
        findings.push(about(context, &carrier, &member, &probe, message).severity(severity).evidence(at, number));
    }
}

fn wrong_protocol<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let container = member.container;
    for probe in any(context, &carrier, &member) {
        let Some((number, field)) = number(&probe, container) else { continue };
        let mut declared = container.ports.iter().filter(|port| port.container_port == number).peekable();
        let Some(first) = declared.peek().copied() else { continue };
        if declared.any(|port| matches!(port.protocol.as_str(), "" | "TCP")) {
            continue;
        }
        let (word, name, protocol) = (probe.word(), &container.name, &first.protocol);
        let message = format!("{word} of {name} asks port {number} by TCP, but it is declared for {protocol} alone");
        let at = below(&carrier, &member, probe.kind, field);
        findings.push(about(context, &carrier, &member, &probe, message).evidence(at, number));
    }
}

/// Names of ports that are there for those who look after the application.
const ASIDE: &[&str] = &[
    "management",
    "mgmt",
    "admin",
    "health",
    "healthz",
    "healthcheck",
    "metrics",
    "probe",
    "probes",
    "status",
    "monitoring",
    "telemetry",
    "ready",
    "readyz",
    "readiness",
    "live",
    "liveness",
    "actuator",
    "ops",
    "diagnostics",
];

fn off_path<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        let container = member.container;
        let leading: Vec<_> = routing.to(container).filter(|route| !route.is_telemetry()).collect();
        if leading.is_empty() {
            continue;
        }
        let found = probes(&member, carrier.spec);
        let Some(probe) = found.iter().find(|probe| probe.kind == ProbeKind::Readiness) else { continue };
        let Some((number, field)) = number(probe, container) else { continue };
        if leading.iter().any(|route| route.number == Some(number)) {
            continue;
        }
        let name = declared(container, number).unwrap_or_default().to_lowercase();
        let aside = name.split(['-', '_']).any(|word| ASIDE.contains(&word));
        let severity = if aside { Severity::Low } else { Severity::Medium };
        let mut numbers: Vec<String> =
            leading.iter().filter_map(|route| route.number).map(|number| number.to_string()).collect();
        numbers.sort();
        numbers.dedup();
        let message = format!(
            "readiness of {} asks port {number}, services route to {}: ready while that is dead",
            container.name,
            numbers.join(", ")
        );
        let at = below(&carrier, &member, ProbeKind::Readiness, field);
        findings.push(about(context, &carrier, &member, probe, message).severity(severity).evidence(at, number));
    }
}
