//! PA1: what a container's probes are, and whether it needs them.

use serde_json::json;

use super::events::{container_of, kind_of};
use super::routing::{declared, is_exposed};
use super::{
    Probe, ProbeKind, ROUTED, TEMPLATES, about, asked, below, command, ends, pods_of, probes, routing, staying,
};
use crate::audit::facts::{Carrier, Facts, Happened, Pod, Port, resolve};
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Rule};
use crate::pods::{Class, Member, Role};

super::needs_of!(
    WARNED,
    "Templates, what routes to them from outside, and what the kubelet says of their pods.",
    Need::decides(Fact::Service).or_none(),
    Need::enriches(Fact::Ingress).or_none(),
    Need::enriches(Fact::Route).or_none(),
    Need::enriches(Fact::Event).or_none()
);

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA103",
        name: "no-liveness",
        severity: Severity::Info,
        opt_in: true,
        summary: "a container has no liveness probe",
        why: "a process that hangs is not restarted; a wrong liveness probe is worse than none",
        remedy: "add a liveness probe only where the process is known to hang and a restart is known to help",
        needs: TEMPLATES,
        check: Check::Container(no_liveness),
        ..Rule::BASE
    },
    Rule {
        id: "PA105",
        name: "liveness-in-job",
        summary: "the main container of a job has a liveness probe",
        why: "the probe kills work under CPU pressure, and with restart policy Never it fails the pod",
        remedy: "remove it, and bound the job by activeDeadlineSeconds",
        traps: &["a native sidecar of the job", "another sidecar of the job"],
        needs: TEMPLATES,
        check: Check::Template(in_job),
        ..Rule::BASE
    },
    Rule {
        id: "PA106",
        name: "probe-on-plain-init",
        severity: Severity::High,
        summary: "an init container that ends has a probe",
        why: "the API server rejects the object",
        remedy: "remove the probe, or make it a native sidecar with restartPolicy Always",
        traps: &["a native sidecar may have probes"],
        needs: TEMPLATES,
        check: Check::Container(plain_init),
        ..Rule::BASE
    },
    Rule {
        id: "PA107",
        name: "noop-probe",
        summary: "a probe's command always succeeds",
        why: "it satisfies a linter and hides outages",
        remedy: "ask something that can fail, or remove the probe",
        links: &["https://github.com/grafana/helm-charts/issues/1296"],
        needs: TEMPLATES,
        check: Check::Container(noop),
        ..Rule::BASE
    },
    Rule {
        id: "PA108",
        name: "shallow-tcp",
        severity: Severity::Low,
        summary: "a port that speaks HTTP or gRPC is only asked for a connection",
        why: "the kernel accepts connections while the application is dead, and a mesh may answer for it",
        remedy: "use httpGet with a path, or grpc",
        traps: &["a port that speaks TLS alone"],
        needs: ROUTED,
        check: Check::Template(shallow),
        ..Rule::BASE
    },
    Rule {
        id: "PA109",
        name: "probe-host",
        severity: Severity::High,
        summary: "a probe names a host of its own",
        why: "the kubelet asks that host, not the pod: loopback is the node's own; Pod Security rejects it since 1.34",
        remedy: "drop host; for a virtual host set the header Host",
        traps: &["loopback in the node's own network"],
        links: &["https://github.com/kyverno/kyverno/issues/15111"],
        needs: TEMPLATES,
        check: Check::Container(host),
        ..Rule::BASE
    },
    Rule {
        id: "PA110",
        name: "root-path",
        severity: Severity::Info,
        summary: "a probe asks for / of an application that is reached from outside",
        why: "a redirect to a login page counts as success",
        remedy: "ask a path made for it",
        needs: WARNED,
        check: Check::Template(root_path),
        ..Rule::BASE
    },
    Rule {
        id: "PA111",
        name: "exec-wraps-http",
        severity: Severity::Low,
        summary: "a probe runs curl or wget against its own container",
        why: "each attempt is a process, attempts pile up when they hang, and the image needs the tool",
        remedy: "use httpGet",
        traps: &["a client certificate", "a unix socket"],
        links: &["https://github.com/kubernetes/kubernetes/issues/110070"],
        needs: TEMPLATES,
        check: Check::Container(wraps_http),
        ..Rule::BASE
    },
    Rule {
        id: "PA112",
        name: "credential-in-probe",
        summary: "a probe's header carries a credential",
        why: "everybody who may read the object may read it",
        remedy: "let the health port answer without authentication",
        needs: TEMPLATES,
        check: Check::Container(credential),
        ..Rule::BASE
    },
    Rule {
        id: "PA113",
        name: "deep-health-path",
        proof: Proof::Hint,
        summary: "a liveness probe asks an aggregate of checks although a finer path is known",
        why: "the aggregate includes the database: when that is slow, every replica restarts",
        remedy: "ask the path made for liveness",
        traps: &["a plain /healthz"],
        needs: TEMPLATES,
        check: Check::Container(deep_path),
        ..Rule::BASE
    },
];

fn no_liveness<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    if member.is_gating() && !ends(context.facts, &carrier) && member.container.liveness_probe.is_none() {
        let message = format!("container {} has no liveness probe: a process that hangs stays", member.container.name);
        let at = below(&carrier, &member, ProbeKind::Liveness, "");
        findings.push(context.container(carrier, member, message).evidence(at, json!(null)));
    }
}

fn in_job<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if !matches!(carrier.object.fact(), Fact::Job | Fact::CronJob) {
        return;
    }
    let roles = context.facts.template_roles(&carrier, &context.policy.sidecars, context.now);
    for member in crate::pods::members(carrier.spec).filter(|member| member.class == Class::Regular) {
        let container = member.container;
        // Its shape says nothing here: a main container with a probe alone would be a sidecar by its probe.
        let sidecar = roles
            .iter()
            .find(|one| one.container == container.name)
            .is_some_and(|one| one.role == Role::Sidecar && one.hits.first().is_some_and(|hit| hit.step <= 5));
        if container.liveness_probe.is_none() || sidecar {
            continue;
        }
        let message = format!("liveness of container {} kills the work of a job when it answers late", container.name);
        let at = below(&carrier, &member, ProbeKind::Liveness, "");
        let finding = context.container(carrier, member, message).probe("liveness");
        findings.push(finding.evidence(at.clone(), json!({})).unset(&carrier, at));
    }
}

fn plain_init<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let container = member.container;
    if member.class != Class::Init {
        return;
    }
    let given = [
        (ProbeKind::Liveness, &container.liveness_probe),
        (ProbeKind::Readiness, &container.readiness_probe),
        (ProbeKind::Startup, &container.startup_probe),
    ];
    for (kind, _) in given.into_iter().filter(|(_, probe)| probe.is_some()) {
        let (word, name) = (kind.word(), &container.name);
        let message =
            format!("init container {name} ends before others start and may have no {word} probe: the API rejects it");
        let at = below(&carrier, &member, kind, "");
        let finding = context.container(carrier, member, message).probe(word);
        findings.push(finding.evidence(at.clone(), json!({})).unset(&carrier, at));
    }
}

fn noop<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    for probe in staying(context, &carrier, &member) {
        if command::always_succeeds(probe.exec()) {
            let (word, command) = (probe.word(), probe.exec().join(" "));
            let message = format!("{word} of {} runs {command:?}, which always succeeds", member.container.name);
            let at = below(&carrier, &member, probe.kind, "exec/command");
            findings.push(about(context, &carrier, &member, &probe, message).evidence(at, probe.exec().to_vec()));
        }
    }
}

fn speaks(name: &str) -> bool {
    (name.starts_with("http") || name.starts_with("grpc")) && !name.starts_with("https") && !name.contains("tls")
}

fn shallow<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        let container = member.container;
        for probe in probes(&member, carrier.spec) {
            let Some(port) = probe.handler.tcp_socket.as_ref().and_then(|tcp| tcp.port.as_ref()) else { continue };
            let Port::Number(number) = resolve(port, container) else { continue };
            let name = declared(container, number).unwrap_or_default();
            let by_service = routing.to(container).find(|route| {
                route.number == Some(number)
                    && matches!(route.port.app_protocol.as_str(), "http" | "http2" | "grpc" | "kubernetes.io/h2c")
            });
            // TLS alone: neither handler could ask without a certificate that the kubelet knows.
            if matches!(number, 443 | 8443) || name.starts_with("https") || !(speaks(name) || by_service.is_some()) {
                continue;
            }
            let what = by_service.map_or(name, |route| route.port.app_protocol.as_str());
            let message = format!(
                "{} of {} only connects to port {number} ({what}): the kernel accepts while the application is dead",
                probe.word(),
                container.name
            );
            let at = below(&carrier, &member, probe.kind, "tcpSocket/port");
            findings.push(about(context, &carrier, &member, &probe, message).evidence(at, port.to_string()));
        }
    }
}

fn host<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    for probe in staying(context, &carrier, &member) {
        let Some((host, part)) = probe.host() else { continue };
        let loopback =
            command::place(host) == command::Target::Local || super::handlers::is_own(host, &carrier, member.container);
        let at = below(&carrier, &member, probe.kind, part);
        let (severity, then) = match (carrier.spec.host_network, loopback) {
            (true, true) => (Severity::Info, "in the node's own network, which is the pod's"),
            (false, true) => (Severity::High, "which is the node's own, not the pod's"),
            (_, false) => (Severity::High, "whose health is not that of the pod"),
        };
        let message = format!("{} of {} asks host {host}, {then}", probe.word(), member.container.name);
        let finding = about(context, &carrier, &member, &probe, message).severity(severity).evidence(at.clone(), host);
        findings.push(finding.unset(&carrier, at));
    }
}

fn root_path<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        let exposed = routing.to(member.container).find(|route| is_exposed(context.facts, route.service));
        let Some(route) = exposed else { continue };
        for probe in probes(&member, carrier.spec) {
            if probe.get().is_none_or(|get| !matches!(get.path.as_str(), "" | "/")) {
                continue;
            }
            let warned = redirected(context.facts, &carrier, &member, probe.kind);
            let seen = if warned.is_some() { ", and one was seen" } else { "" };
            let message = format!(
                "{} of {} asks for / of what service {} exposes: a redirect to a login page counts as success{seen}",
                probe.word(),
                member.container.name,
                route.service.meta.name
            );
            let severity = if warned.is_some() { Severity::Medium } else { Severity::Info };
            let at = below(&carrier, &member, probe.kind, "httpGet/path");
            let finding =
                about(context, &carrier, &member, &probe, message).severity(severity).evidence(at.clone(), "/");
            findings.push(match warned {
                Some((pod, event)) => finding.since(event.first).evidence_of(pod, "", &*event.message),
                None => finding,
            });
        }
    }
}

/// Returns the kubelet's word that a probe of a template's container was redirected, with the pod that it is about.
fn redirected<'a>(
    facts: &'a Facts,
    carrier: &Carrier<'a>,
    member: &Member<'_>,
    kind: ProbeKind,
) -> Option<(&'a Pod, &'a Happened)> {
    pods_of(facts, carrier).into_iter().find_map(|pod| {
        let mut events = facts.events(&pod.meta.uid).iter().filter(|event| event.reason == "ProbeWarning");
        let own = |event: &&Happened| {
            container_of(event) == Some(&member.container.name) && kind_of(&event.message) == Some(kind)
        };
        events.find(own).map(|event| (pod, event))
    })
}

fn wraps_http<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    const OWN: &[&str] = &["--cert", "--key", "--unix-socket", "-E", "--certificate", "--private-key"];
    for probe in staying(context, &carrier, &member) {
        let all = command::run(probe.exec());
        // One request and nothing else: what looks at the answer does more than httpGet can.
        let [words] = all.as_slice() else { continue };
        let Some(url) = command::fetched(words) else { continue };
        let certain = words.iter().any(|word| OWN.iter().any(|own| word.starts_with(own)));
        let insecure = url.starts_with("https") && words.iter().any(|word| word == "-k" || word == "--insecure");
        let local = command::target(probe.exec(), member.container) == command::Target::Local;
        if certain || insecure || !(local || url.contains("POD_IP") || url.contains("HOSTNAME")) {
            continue;
        }
        let period = probe.timing.period;
        let severity = if period < 10 { Severity::Medium } else { Severity::Low };
        let message = format!(
            "{} of {} starts {} every {period} s instead of httpGet: attempts that hang pile up",
            probe.word(),
            member.container.name,
            words.first().map_or("", String::as_str)
        );
        let at = below(&carrier, &member, probe.kind, "exec/command");
        let finding = about(context, &carrier, &member, &probe, message).severity(severity);
        findings.push(finding.evidence(at, probe.exec().to_vec()));
    }
}

fn credential<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    for probe in staying(context, &carrier, &member) {
        for (index, header) in probe.get().into_iter().flat_map(|get| &get.http_headers).enumerate() {
            let name = header.name.to_lowercase();
            let known = matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie");
            let words = ["token", "secret", "api-key", "apikey", "api_key"];
            if !known && !words.iter().any(|word| name.contains(word)) || header.value.is_empty() {
                continue;
            }
            let message = format!(
                "{} of {} sends header {}: everybody who may read the object may read it",
                probe.word(),
                member.container.name,
                header.name
            );
            let at = below(&carrier, &member, probe.kind, &format!("httpGet/httpHeaders/{index}/value"));
            let finding = about(context, &carrier, &member, &probe, message).key(name);
            findings.push(finding.evidence(at, header.value.as_str()));
        }
    }
}

fn deep_path<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let found = staying(context, &carrier, &member);
    let path = |probe: &Probe<'_>| {
        probe.get().map(|get| get.path.split('?').next().unwrap_or_default().trim_end_matches('/').to_owned())
    };
    let Some(liveness) = found.iter().find(|probe| probe.kind == ProbeKind::Liveness) else { return };
    let Some(asked) = path(liveness) else { return };
    let finer = if asked.ends_with("/actuator/health") {
        Some(format!("{asked}/liveness"))
    } else if matches!(asked.as_str(), "/health" | "/healthcheck" | "/status") {
        // Only where another probe shows that the application has one.
        found.iter().filter_map(path).find(|other| {
            other.rsplit('/').next().is_some_and(|last| matches!(last, "livez" | "live" | "liveness" | "alive"))
        })
    } else {
        None
    };
    let Some(finer) = finer else { return };
    let message = format!(
        "liveness of {} asks {asked}, which includes what the application depends on; {finer} does not",
        member.container.name
    );
    let at = below(&carrier, &member, ProbeKind::Liveness, "httpGet/path");
    let finding = about(context, &carrier, &member, liveness, message).evidence(at.clone(), asked);
    findings.push(finding.remedy(format!("ask {finer}")).assuming(format!("the application answers {finer}")));
}
