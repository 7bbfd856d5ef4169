//! Which probes are wrong, and what falls when a container falls: the family `PA`.

use super::facts::{Carrier, Port, resolve};
use super::kinds::Probe;
use super::needs::{Fact, Need};
use super::report::Severity;
use super::rule::{Check, Context, Findings, Rule};
use crate::kinds::IntOrString;
use crate::pods::Member;

/// Everything that holds a pod template.
pub(super) const TEMPLATES: &[Need] = &[
    Need::decides(Fact::Deployment).or_none(),
    Need::decides(Fact::StatefulSet).or_none(),
    Need::decides(Fact::DaemonSet).or_none(),
    Need::decides(Fact::ReplicaSet).or_none(),
    Need::decides(Fact::ReplicationController).or_none(),
    Need::decides(Fact::Job).or_none(),
    Need::decides(Fact::CronJob).or_none(),
    Need::decides(Fact::Pod).or_none(),
];

/// The rows.
pub(super) const RULES: &[Rule] = &[Rule {
    id: "PA201",
    name: "named-port-unresolved",
    severity: Severity::Critical,
    summary: "a probe names a port that its own container does not declare",
    why: "the kubelet gets an error, throws the result away and keeps the initial one: readiness stays false for ever, \
          liveness never fires, a startup probe neither passes nor kills",
    remedy: "name the port in that container, or use its number",
    traps: &["text of digits is a number", "a name that only a sibling declares is still broken"],
    needs: TEMPLATES,
    check: Check::Container(named_port),
    ..Rule::BASE
}];

/// Returns a container's probes with their names: liveness, readiness, startup.
pub(super) fn probes<'a>(member: &Member<'a>) -> impl Iterator<Item = (&'static str, &'a Probe)> {
    let container = member.container;
    [
        ("liveness", &container.liveness_probe),
        ("readiness", &container.readiness_probe),
        ("startup", &container.startup_probe),
    ]
    .into_iter()
    .filter_map(|(name, probe)| Some((name, probe.as_ref()?)))
}

/// Returns the port that a probe asks, with its JSON pointer below the probe.
pub(super) fn asked(probe: &Probe) -> Option<(&IntOrString, &'static str)> {
    let handler = &probe.handler;
    let http = handler.http_get.as_ref().and_then(|get| get.port.as_ref()).map(|port| (port, "httpGet/port"));
    http.or_else(|| handler.tcp_socket.as_ref()?.port.as_ref().map(|port| (port, "tcpSocket/port")))
}

fn named_port<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    for (name, probe) in probes(&member) {
        let Some((port, at)) = asked(probe) else { continue };
        let Port::Unresolved(port) = resolve(port, member.container) else { continue };
        let container = &member.container.name;
        let (severity, then) = match name {
            "liveness" => (Severity::High, "the container is never restarted"),
            "startup" => (Severity::Critical, "the container never counts as started"),
            _ => (Severity::Critical, "the pod never becomes ready"),
        };
        let message = format!("{name} port {port:?} is not among the ports of container {container}: {then}");
        let path = format!("{}{}/{name}Probe/{at}", carrier.path, member.path());
        let finding = context.container(carrier, member, message).probe(name).severity(severity);
        findings.push(finding.evidence(path, port));
    }
}
