//! PA301 to PA307 and PA311: the numbers of probes.

use serde_json::json;

use super::{
    Probe, ProbeKind, ROUTED, TEMPLATES, Timing, about, asked, below, ceil, probes, routing, same_endpoint, staying,
};
use crate::audit::facts::Carrier;
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Absorbs, Check, Context, Findings, Rule, absorbs, absorbs_probes};
use crate::pods::Member;

const BOTH: &[Absorbs] = &[absorbs("PA305"), absorbs_probes("PA303", &["liveness", "readiness"])];

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA301",
        name: "liveness-not-slower",
        severity: Severity::High,
        absorbs: BOTH,
        summary: "liveness and readiness ask the same, and liveness does not flip later",
        why: "a pod that is slow restarts instead of being taken out of service until it recovers",
        remedy: "give liveness a failureThreshold of at least three times that of readiness",
        traps: &["the same endpoint with slower liveness is what the documentation recommends"],
        links: &["https://github.com/zegl/kube-score/issues/339"],
        needs: TEMPLATES,
        check: Check::Container(not_slower),
        ..Rule::BASE
    },
    Rule {
        id: "PA302",
        name: "liveness-on-ready-path",
        severity: Severity::High,
        proof: Proof::Model,
        summary: "liveness asks a path that is made for readiness",
        why: "such a path reports on what the application depends on: when that is down, every replica restarts",
        remedy: "ask a path that reports on the process alone",
        traps: &["a pod without readiness has nothing else"],
        needs: TEMPLATES,
        check: Check::Container(ready_path),
        ..Rule::BASE
    },
    Rule {
        id: "PA303",
        name: "timeout-default",
        summary: "a probe waits for one second",
        why: "a process that is throttled or collects garbage answers later: liveness then restarts it",
        remedy: "set timeoutSeconds to 5",
        traps: &["the kernel answers a tcpSocket probe", "an injector wrote the probe"],
        links: &["https://github.com/datastax/pulsar-helm-chart/issues/73"],
        needs: TEMPLATES,
        check: Check::Container(one_second),
        ..Rule::BASE
    },
    Rule {
        id: "PA304",
        name: "timeout-exceeds-period",
        severity: Severity::Low,
        summary: "a probe's timeout is longer than its period",
        why: "attempts are made one at a time: the period is not the one that is written",
        remedy: "set the timeout to at most the period",
        needs: TEMPLATES,
        check: Check::Container(overlong),
        ..Rule::BASE
    },
    Rule {
        id: "PA305",
        name: "hair-trigger-liveness",
        severity: Severity::High,
        summary: "liveness restarts the container within fifteen seconds or after a single failure",
        why: "one pause for garbage collection, or one lost packet, restarts a healthy process",
        remedy: "set failureThreshold to at least 3 and periodSeconds to at least 10",
        traps: &["one failure of a started container with a long period"],
        needs: TEMPLATES,
        check: Check::Container(hair_trigger),
        ..Rule::BASE
    },
    Rule {
        id: "PA306",
        name: "lazy-readiness",
        summary: "readiness takes more than a minute to take a routed container out of service",
        why: "clients get errors meanwhile",
        remedy: "lower periodSeconds or failureThreshold",
        needs: ROUTED,
        check: Check::Template(lazy),
        ..Rule::BASE
    },
    Rule {
        id: "PA307",
        name: "delay-instead-of-startup",
        summary: "liveness waits for a long start instead of a startup probe",
        why: "after every restart a deadlock stays unnoticed for the delay, and a start that is slower than it is killed",
        remedy: "add a startup probe with the same handler and the delay as its budget, and drop the delay",
        links: &["https://github.com/kubernetes/enhancements/issues/950"],
        needs: TEMPLATES,
        check: Check::Container(delayed),
        ..Rule::BASE
    },
    Rule {
        id: "PA311",
        name: "slow-healer",
        summary: "readiness takes more than a minute to take a recovered container back",
        why: "it prolongs every recovery of the whole fleet",
        remedy: "lower successThreshold or periodSeconds",
        needs: TEMPLATES,
        check: Check::Container(slow_healer),
        ..Rule::BASE
    },
];

/// The shortest time within which liveness may restart a container, in seconds.
const HAIR_TRIGGER: i64 = 15;
/// Beyond this a routed container should have left or returned, in seconds.
const LAZY: i64 = 60;
/// A delay as long as this is there for the start, in seconds.
const LONG_DELAY: u32 = 30;
/// Below this many thousandths of a CPU one second is soon gone.
const THROTTLED: i128 = 500_000_000;

fn pair<'p, 'a>(found: &'p [Probe<'a>]) -> Option<(&'p Probe<'a>, &'p Probe<'a>)> {
    let of = |kind| found.iter().find(|probe| probe.kind == kind);
    Some((of(ProbeKind::Liveness)?, of(ProbeKind::Readiness)?))
}

/// Writes f × max(p, t) + t with its numbers.
fn sum(timing: &Timing) -> String {
    format!("{} × {} + {} = {} s", timing.failure, timing.pace(), timing.timeout, timing.longest())
}

fn not_slower<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let found = staying(context, &carrier, &member);
    let Some((liveness, readiness)) = pair(&found) else { return };
    let (slow, fast) = (liveness.timing, readiness.timing);
    if !same_endpoint(liveness, readiness, member.container) || slow.longest() > fast.longest() {
        return;
    }
    let message = format!(
        "liveness and readiness of {} both ask {}, and liveness flips within {}, readiness within {}: pods restart instead of draining",
        member.container.name,
        liveness.told(),
        sum(&slow),
        sum(&fast)
    );
    let limit =
        |timing: Timing| if timing.timeout == 1 && liveness.handler.tcp_socket.is_none() { 5 } else { timing.timeout };
    let ready = Timing { timeout: limit(fast), ..fast };
    let ready = Timing { period: ready.period.max(ready.timeout), ..ready };
    let live = Timing { timeout: limit(slow), period: slow.period.max(10), ..slow };
    let failure = ceil(3 * i64::from(ready.failure) * ready.pace(), live.pace()).max(3);
    let live = Timing { failure: u32::try_from(failure).unwrap_or(u32::MAX), ..live };
    let mut finding = context.container(carrier, member, message);
    for (kind, before, after) in [(ProbeKind::Liveness, slow, live), (ProbeKind::Readiness, fast, ready)] {
        let numbers = [
            ("failureThreshold", before.failure, after.failure),
            ("periodSeconds", before.period, after.period),
            ("timeoutSeconds", before.timeout, after.timeout),
        ];
        for (field, before, after) in numbers {
            let at = below(&carrier, &member, kind, field);
            finding = finding.evidence(at.clone(), before);
            if before != after {
                finding = finding.set(&carrier, at, after);
            }
        }
    }
    findings.push(finding);
}

fn means_ready(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    path.split(['/', '-', '_']).any(|word| matches!(word.to_lowercase().as_str(), "ready" | "readyz" | "readiness"))
}

fn ready_path<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let found = staying(context, &carrier, &member);
    let Some((liveness, _)) = pair(&found) else { return };
    let Some(get) = liveness.get().filter(|get| means_ready(&get.path)) else { return };
    let (name, path) = (&member.container.name, &get.path);
    let message = format!("liveness of {name} asks {path}: when what it depends on is down, it is restarted");
    let at = below(&carrier, &member, ProbeKind::Liveness, "httpGet/path");
    let finding = about(context, &carrier, &member, liveness, message).evidence(at, path.as_str());
    findings.push(finding.assuming(format!("{path} reports on readiness, as its name says")));
}

/// Names in images of runtimes that pause.
const RUNTIMES: &[(&str, &str)] =
    &[("jdk", "a JVM"), ("jre", "a JVM"), ("java", "a JVM"), ("temurin", "a JVM"), ("node", "Node.js")];

fn one_second<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let container = member.container;
    let limits = container.resources.as_ref().map(|resources| &resources.limits);
    let limit = limits.and_then(|limits| limits.get("cpu"));
    let throttled = limit.filter(|limit| limit.nanos().is_some_and(|nanos| nanos <= THROTTLED));
    for probe in staying(context, &carrier, &member) {
        if probe.timing.timeout != 1 || probe.handler.tcp_socket.is_some() {
            continue;
        }
        let exec = probe.handler.exec.is_some();
        let severity = match (probe.kind, exec, throttled) {
            (ProbeKind::Readiness, false, _) => Severity::Low,
            (_, _, None) => Severity::Medium,
            (_, _, Some(_)) => Severity::High,
        };
        let then = if probe.kind == ProbeKind::Readiness { "take it out of service" } else { "restart it" };
        let cpu = throttled.map(|limit| format!(" with a limit of {limit} CPU")).unwrap_or_default();
        let words: Vec<&str> = container.image.split(['/', ':', '-', '.', '@']).collect();
        let runtime = RUNTIMES.iter().find(|(word, _)| words.contains(word));
        let pauses = runtime.map(|(_, name)| format!("; {name} pauses for longer")).unwrap_or_default();
        let message = format!(
            "{} of {} waits 1 s (the default){cpu}: late answers, {} in a row, {then}{pauses}",
            probe.word(),
            container.name,
            probe.timing.failure
        );
        let at = below(&carrier, &member, probe.kind, "timeoutSeconds");
        let mut finding = about(context, &carrier, &member, &probe, message).severity(severity).evidence(at.clone(), 1);
        if let Some(limit) = throttled {
            finding =
                finding.evidence(format!("{}{}/resources/limits/cpu", carrier.path, member.path()), limit.to_string());
        }
        finding = finding.set(&carrier, at, 5);
        if probe.timing.period < 5 {
            finding = finding.set(&carrier, below(&carrier, &member, probe.kind, "periodSeconds"), 5);
        }
        findings.push(finding);
    }
}

fn overlong<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    for probe in staying(context, &carrier, &member) {
        let Timing { timeout, period, .. } = probe.timing;
        if timeout <= period {
            continue;
        }
        let message = format!(
            "{} of {} has timeout {timeout} s > period {period} s: while it hangs the period is {timeout} s",
            probe.word(),
            member.container.name
        );
        let at = below(&carrier, &member, probe.kind, "timeoutSeconds");
        let finding = about(context, &carrier, &member, &probe, message).evidence(at.clone(), timeout);
        let finding = finding.number(&carrier, &member, probe.kind, "periodSeconds", period);
        findings.push(finding.set(&carrier, at, period));
    }
}

fn hair_trigger<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let found = staying(context, &carrier, &member);
    let Some(liveness) = found.iter().find(|probe| probe.kind == ProbeKind::Liveness) else { return };
    let startup = found.iter().any(|probe| probe.kind == ProbeKind::Startup);
    let timing = liveness.timing;
    let severity = match timing {
        _ if timing.longest() < HAIR_TRIGGER => Severity::High,
        Timing { failure: 1, .. } if !startup => Severity::High,
        Timing { failure: 1, .. } => Severity::Low,
        _ => return,
    };
    let message = format!(
        "liveness of {} restarts it within {} of a fault: one pause is enough",
        member.container.name,
        sum(&timing)
    );
    let mut finding = about(context, &carrier, &member, liveness, message).severity(severity);
    for (field, before, least) in [("failureThreshold", timing.failure, 3), ("periodSeconds", timing.period, 10)] {
        let at = below(&carrier, &member, ProbeKind::Liveness, field);
        finding = finding.evidence(at.clone(), before);
        if before < least {
            finding = finding.set(&carrier, at, least);
        }
    }
    findings.push(finding);
}

fn lazy<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        let Some(route) = routing.to(member.container).find(|route| !route.is_telemetry()) else { continue };
        let found = probes(&member, carrier.spec);
        let Some(readiness) = found.iter().find(|probe| probe.kind == ProbeKind::Readiness) else { continue };
        let timing = readiness.timing;
        if timing.longest() <= LAZY {
            continue;
        }
        let message = format!(
            "readiness of {} flips within {} > {LAZY} s of a fault: service {} routes to it meanwhile",
            member.container.name,
            sum(&timing),
            route.service.meta.name
        );
        let finding = about(context, &carrier, &member, readiness, message);
        let finding = finding.number(&carrier, &member, ProbeKind::Readiness, "periodSeconds", timing.period);
        let finding = finding.number(&carrier, &member, ProbeKind::Readiness, "failureThreshold", timing.failure);
        findings.push(finding);
    }
}

fn delayed<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let found = staying(context, &carrier, &member);
    let Some(liveness) = found.iter().find(|probe| probe.kind == ProbeKind::Liveness) else { return };
    let delay = liveness.timing.delay;
    if delay < LONG_DELAY || member.container.startup_probe.is_some() {
        return;
    }
    let message = format!(
        "liveness of {} begins {delay} s after every start: a deadlock stays unnoticed so long, and a slower start is killed",
        member.container.name
    );
    let at = below(&carrier, &member, ProbeKind::Liveness, "initialDelaySeconds");
    let mut finding = about(context, &carrier, &member, liveness, message).evidence(at.clone(), delay);
    let mut startup = json!({
        "periodSeconds": 10, "timeoutSeconds": liveness.timing.timeout.max(5), "failureThreshold": delay.div_ceil(10).max(3),
    });
    let handler = serde_json::to_value(&*liveness.handler).unwrap_or_default();
    if let (Some(startup), Some(handler)) = (startup.as_object_mut(), handler.as_object()) {
        startup.extend(handler.clone().into_iter().filter(|(_, value)| !value.is_null()));
    }
    finding = finding.set(&carrier, below(&carrier, &member, ProbeKind::Startup, ""), startup);
    findings.push(finding.unset(&carrier, at));
}

fn slow_healer<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let found = staying(context, &carrier, &member);
    let Some(readiness) = found.iter().find(|probe| probe.kind == ProbeKind::Readiness) else { return };
    let timing = readiness.timing;
    if timing.heals() <= LAZY {
        return;
    }
    let message = format!(
        "readiness of {} takes {} × {} = {} s > {LAZY} s to take it back after a fault",
        member.container.name,
        timing.success,
        timing.pace(),
        timing.heals()
    );
    let finding = about(context, &carrier, &member, readiness, message);
    let finding = finding.number(&carrier, &member, ProbeKind::Readiness, "successThreshold", timing.success);
    findings.push(finding.number(&carrier, &member, ProbeKind::Readiness, "periodSeconds", timing.period));
}
