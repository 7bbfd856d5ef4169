//! PA701 to PA703: probes that the server, a node or a namespace does not take.

use super::{ENFORCED, ProbeKind, VERSIONED, about, any, below, is_over};
use crate::audit::facts::{Carrier, Origin, Version};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Draft, Findings, Rule, absorbs};
use crate::pods::{Class, Member};

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA701",
        name: "exec-timeout-enforced",
        absorbs: &[absorbs("PA303")],
        summary: "a command has one second, and nodes are too old to enforce it",
        why: "after their upgrade every longer attempt fails",
        remedy: "set timeoutSeconds to what the command takes",
        needs: VERSIONED,
        check: Check::Container(enforced),
        ..Rule::BASE
    },
    Rule {
        id: "PA702",
        name: "field-unsupported",
        summary: "a template uses what the server or a node does not know",
        why: "the field is dropped or the object rejected: the container runs without what it asks for",
        remedy: "upgrade, or do without it",
        needs: VERSIONED,
        check: Check::Container(unsupported),
        ..Rule::BASE
    },
    Rule {
        id: "PA703",
        name: "podsecurity-will-reject",
        severity: Severity::High,
        absorbs: &[absorbs("PA109")],
        summary: "a probe or hook names a host, and the namespace's Pod Security level forbids it",
        why: "the next pod is not created",
        remedy: "drop the host",
        traps: &["the level is of an older version"],
        links: &["https://github.com/kyverno/kyverno/issues/15111"],
        needs: ENFORCED,
        check: Check::Container(rejected),
        ..Rule::BASE
    },
];

/// The version in which probes over TLS for gRPC and over HTTP/2 without TLS are alpha (KEP-4939, KEP-5999).
const GATED: Version = (1, 37);

/// Reads `1.34` and `v1.34.2+x`.
fn version(text: &str) -> Option<Version> {
    let mut parts = text.trim_start_matches('v').split('.');
    let minor = parts.clone().nth(1)?;
    let end = minor.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(minor.len());
    Some((parts.next()?.parse().ok()?, minor.get(..end)?.parse().ok()?))
}

/// Returns the oldest version that pods meet: the server's or a node's, and whose it is.
fn oldest(context: &Context<'_>) -> (Version, String) {
    let nodes = context.facts.nodes().iter().filter_map(|node| {
        let info = node.status.as_ref()?.node_info.as_ref()?;
        Some((version(&info.kubelet_version)?, format!("node {}", node.meta.name)))
    });
    let server = (context.version(), "the server".to_owned());
    nodes.chain([server]).min_by(|(one, _), (other, _)| one.cmp(other)).unwrap_or(((0, 0), String::new()))
}

fn enforced<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let (found, whose) = oldest(context);
    if found >= (1, 20) {
        return;
    }
    for probe in any(context, &carrier, &member) {
        if probe.handler.exec.is_none() || probe.timing.timeout != 1 {
            continue;
        }
        let message = format!(
            "{} of {} has 1 s (the default), which {whose} ({}.{}) does not enforce and 1.20 does",
            probe.word(),
            member.container.name,
            found.0,
            found.1
        );
        let at = below(&carrier, &member, probe.kind, "timeoutSeconds");
        findings.push(about(context, &carrier, &member, &probe, message).evidence(at.clone(), 1).set(&carrier, at, 5));
    }
}

fn unsupported<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    if is_over(context.facts, &carrier) {
        return;
    }
    let (found, whose) = oldest(context);
    let name = &member.container.name;
    let finding = |what: &str, since: Version, path: String| -> Option<Draft<'a>> {
        let (major, minor) = since;
        let message =
            format!("{name} uses {what}, which is of {major}.{minor}, and {whose} has {}.{}", found.0, found.1);
        (found < since).then(|| context.container(carrier, member, message).key(what).evidence(path, what))
    };
    let own = format!("{}{}", carrier.path, member.path());
    if member.class == Class::NativeSidecar {
        let found = finding("a native sidecar", (1, 29), format!("{own}/restartPolicy"));
        findings.drafts.extend(found.map(|finding| finding.severity(Severity::High)));
    }
    for probe in any(context, &carrier, &member) {
        if probe.handler.grpc.is_some() {
            let at = below(&carrier, &member, probe.kind, "grpc");
            findings.drafts.extend(finding("a gRPC probe", (1, 24), at).map(|finding| finding.probe(probe.word())));
        }
        let get = probe.handler.http_get.as_ref();
        let clear = get.is_some_and(|get| !matches!(get.protocol.as_str(), "" | "HTTP1" | "HTTP/1.1"));
        let tls = probe.handler.grpc.as_ref().is_some_and(|grpc| grpc.mode == "TLS");
        let gated = [(tls, "gRPC over TLS", "grpc/mode"), (clear, "HTTP/2 without TLS", "httpGet/protocol")];
        for (_, what, part) in gated.into_iter().filter(|(used, ..)| *used) {
            let at = below(&carrier, &member, probe.kind, part);
            let found = finding(what, GATED, at.clone()).or_else(|| {
                // A server that keeps the field has its gate on; of files nobody knows.
                let message = format!(
                    "{name} uses {what}, which {}.{} takes only with a gate that is off by default",
                    GATED.0, GATED.1
                );
                let finding = context.container(carrier, member, message).key(what).evidence(at, what);
                let off = context.facts.origin() == Origin::Manifests && context.version() == GATED;
                off.then(|| finding.proof(Proof::Model).assuming(format!("the alpha feature for {what} is off")))
            });
            findings.drafts.extend(found.map(|finding| finding.probe(probe.word())));
        }
        if probe.grace.is_some() && probe.kind != ProbeKind::Readiness {
            let at = below(&carrier, &member, probe.kind, "terminationGracePeriodSeconds");
            let finding = finding("a probe's own grace period", (1, 25), at);
            findings.drafts.extend(finding.map(|finding| finding.probe(probe.word())));
        }
    }
    let hook = member.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if hook.is_some_and(|hook| hook.sleep.is_some()) {
        findings.drafts.extend(finding("a sleep as preStop hook", (1, 30), format!("{own}/lifecycle/preStop/sleep")));
    }
}

/// Returns the level that a namespace enforces, if it forbids hosts of probes.
fn enforces<'a>(context: &Context<'a>, namespace: &str) -> Option<&'a str> {
    let namespace = context.facts.namespace(namespace)?;
    let level = namespace.meta.labels.get("pod-security.kubernetes.io/enforce")?;
    let written = namespace.meta.labels.get("pod-security.kubernetes.io/enforce-version").unwrap_or("latest");
    // `latest` is the server's own.
    let version = if written == "latest" { Some(context.version()) } else { version(written) };
    (matches!(level, "baseline" | "restricted") && version? >= (1, 34)).then_some(level)
}

fn rejected<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    if is_over(context.facts, &carrier) {
        return;
    }
    let Some(level) = enforces(context, &carrier.object.meta().namespace) else { return };
    let name = &member.container.name;
    for probe in any(context, &carrier, &member) {
        let Some((host, part)) = probe.host() else { continue };
        let message =
            format!("{} of {name} names host {host}: level {level} of the namespace rejects the pod", probe.word());
        let at = below(&carrier, &member, probe.kind, part);
        let finding = about(context, &carrier, &member, &probe, message).evidence(at.clone(), host);
        findings.push(finding.unset(&carrier, at));
    }
    let Some(lifecycle) = &member.container.lifecycle else { return };
    for (word, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        let Some(hook) = hook else { continue };
        let http = hook.http_get.as_ref().map(|get| (get.host.as_str(), "httpGet"));
        let tcp = hook.tcp_socket.as_ref().map(|tcp| (tcp.host.as_str(), "tcpSocket"));
        let Some((host, part)) = http.or(tcp).filter(|(host, _)| !host.is_empty()) else { continue };
        let message = format!("{word} of {name} names host {host}: level {level} of the namespace rejects the pod");
        let at = format!("{}{}/lifecycle/{word}/{part}/host", carrier.path, member.path());
        findings
            .push(context.container(carrier, member, message).key(word).evidence(at.clone(), host).unset(&carrier, at));
    }
}
