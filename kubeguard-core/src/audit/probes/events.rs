//! PA601 to PA603 and PA608 to PA612: what events say of probes. Events live about an hour: their absence proves nothing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::pods::{World, carried, gating, probe_of, since, status, status_path, workload};
use super::{Probe, ProbeKind};
use crate::audit::facts::{Facts, Happened, Of, Pod, State};
use crate::audit::kinds::PodMetrics;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Absorbs, Check, Context, Draft, Findings, Rule, absorbs};
use crate::audit::text::Text;
use crate::kinds::Quantity;
use crate::pods::Member;

const EVENTS: &[Need] = &[
    Need::decides(Fact::Pod),
    Need::decides(Fact::Event),
    Need::enriches(Fact::ReplicaSet),
    Need::enriches(Fact::Deployment),
];
const MEASURED: &[Need] = &[
    Need::decides(Fact::Pod),
    Need::decides(Fact::Event),
    Need::enriches(Fact::ReplicaSet),
    Need::enriches(Fact::Deployment),
    Need::enriches(Fact::PodMetrics),
];
const STORM: &[Absorbs] = &[absorbs("PA601"), absorbs("PA615")];
const CAUSE: &[Absorbs] = &[absorbs("PA601"), absorbs("PA604"), absorbs("PA615")];

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA601",
        name: "unhealthy-storm",
        absorbs: &[absorbs("PA615")],
        summary: "a probe has failed more than once a minute for a quarter of an hour",
        why: "the container is half dead, or the probe is wrong; either hides the next real fault",
        remedy: "look at the messages: they name what failed",
        needs: EVENTS,
        check: Check::Cluster(storm),
        ..Rule::BASE
    },
    Rule {
        id: "PA602",
        name: "killed-by-liveness",
        severity: Severity::High,
        absorbs: STORM,
        summary: "liveness restarts a container again and again",
        why: "each restart loses what was in flight, and back-off grows to five minutes",
        remedy: "raise timeoutSeconds and failureThreshold, or repair what makes the process hang",
        traps: &["a container that ran out of memory"],
        links: &["https://github.com/devantler-tech/platform/issues/1714"],
        needs: EVENTS,
        check: Check::Cluster(killed),
        ..Rule::BASE
    },
    Rule {
        id: "PA603",
        name: "killed-by-startup",
        severity: Severity::High,
        absorbs: CAUSE,
        summary: "the startup probe kills a container before it has started",
        why: "the container never gets as far as its work",
        remedy: "raise failureThreshold of the startup probe, or repair the start",
        needs: EVENTS,
        check: Check::Cluster(killed_at_start),
        ..Rule::BASE
    },
    Rule {
        id: "PA608",
        name: "exec-broken",
        severity: Severity::High,
        absorbs: CAUSE,
        summary: "the command of a probe cannot run, or does not end in time",
        why: "the probe says nothing about the process",
        remedy: "use a program of the image, or httpGet, grpc or tcpSocket",
        needs: EVENTS,
        check: Check::Cluster(exec_broken),
        ..Rule::BASE
    },
    Rule {
        id: "PA609",
        name: "http-status",
        severity: Severity::High,
        absorbs: CAUSE,
        summary: "a probe gets an HTTP status that tells what is wrong with it",
        why: "404 is a wrong path, 401 and 403 lack credentials, 5xx is the application, a redirect may be a login page",
        remedy: "ask a path that answers 200 without credentials",
        traps: &["an application that answers 503 while it starts"],
        links: &["https://github.com/SREGym/SREGym/issues/50"],
        needs: EVENTS,
        check: Check::Cluster(http_status),
        ..Rule::BASE
    },
    Rule {
        id: "PA610",
        name: "refused-port",
        severity: Severity::High,
        absorbs: CAUSE,
        summary: "a probe is refused on a port that its container does not declare",
        why: "nothing listens there: the number is likely wrong",
        remedy: "ask the port on which the process listens",
        traps: &["it was still starting"],
        needs: EVENTS,
        check: Check::Cluster(refused),
        ..Rule::BASE
    },
    Rule {
        id: "PA611",
        name: "timeout-under-throttle",
        proof: Proof::Model,
        absorbs: STORM,
        summary: "a probe times out in a container with half a CPU or less",
        why: "a throttled process cannot answer in time: the probe measures the limit",
        remedy: "raise the CPU limit or timeoutSeconds",
        traps: &["a container that uses little of its limit"],
        needs: MEASURED,
        check: Check::Cluster(throttled),
        ..Rule::BASE
    },
    Rule {
        id: "PA612",
        name: "synchronized-restarts",
        severity: Severity::Critical,
        absorbs: &[absorbs("PA601"), absorbs("PA602"), absorbs("PA615")],
        summary: "liveness has restarted several replicas at the same time",
        why: "a cause that they share took the workload down, and the restarts helped nobody",
        remedy: "take what they share out of the liveness probe",
        traps: &["a rollout that replaces pods"],
        needs: EVENTS,
        check: Check::Cluster(synchronized),
        ..Rule::BASE
    },
];

/// A container with at most this much CPU, in billionths, is slow to answer once it is throttled.
const HALF_A_CPU: i128 = 500_000_000;
/// From this share of its limit on, in percent, a container is throttled: usage is a mean, and throttling comes in bursts.
const THROTTLED: i128 = 80;

/// What happened to one probe.
struct Seen<'a> {
    event: &'a Happened,
    kind: ProbeKind,
}

/// Returns the container that an event is about.
pub(super) fn container_of(event: &Happened) -> Option<&str> {
    let rest = event.field_path.strip_prefix("spec.containers{");
    rest.or_else(|| event.field_path.strip_prefix("spec.initContainers{"))?.strip_suffix('}')
}

/// Returns the probe that an event is about, by the first word of its message.
pub(super) fn kind_of(message: &str) -> Option<ProbeKind> {
    match message.split_whitespace().next()? {
        "Liveness" => Some(ProbeKind::Liveness),
        "Readiness" => Some(ProbeKind::Readiness),
        "Startup" => Some(ProbeKind::Startup),
        _ => None,
    }
}

/// Returns the failures of a container's probes.
fn unhealthy<'a>(context: &Context<'a>, pod: &'a Pod, member: &Member<'_>) -> Vec<Seen<'a>> {
    let events = context.facts.events(&pod.meta.uid).iter();
    let own = events.filter(|event| event.reason == "Unhealthy" && container_of(event) == Some(&member.container.name));
    own.filter_map(|event| Some(Seen { event, kind: kind_of(&event.message)? })).collect()
}

/// Returns whether any failure of a probe is known of a pod.
pub(super) fn has_unhealthy(context: &Context<'_>, pod: &Pod) -> bool {
    context.facts.events(&pod.meta.uid).iter().any(|event| event.reason == "Unhealthy")
}

/// Begins a finding about a container's probe with an event as its evidence.
fn draft<'a>(context: &Context<'a>, pod: &'a Pod, member: &Member<'a>, seen: &Seen<'a>, message: String) -> Draft<'a> {
    let finding = context.container(carried(pod), *member, message).probe(seen.kind.word()).since(seen.event.first);
    let at = format!("{}/{}Probe", member.path(), seen.kind.word());
    finding.evidence(at, json!(&*seen.event.message))
}

/// Calls for every failure that is known of a probe that a pod still has.
fn each<'a>(context: &Context<'a>, mut judge: impl FnMut(&World<'a>, &'a Pod, Member<'a>, &Seen<'a>, &Probe<'a>)) {
    let world = World::of(context.facts);
    for pod in &world.pods {
        if context.facts.events(&pod.meta.uid).is_empty() {
            continue;
        }
        for member in gating(pod) {
            for seen in unhealthy(context, pod, &member) {
                if let Some(probe) = probe_of(pod, &member, seen.kind) {
                    judge(&world, pod, member, &seen, &probe);
                }
            }
        }
    }
}

fn storm<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let world = World::of(context.facts);
    for pod in &world.pods {
        for member in gating(pod) {
            let mut kinds: BTreeMap<ProbeKind, (u64, Option<Timestamp>, Option<Timestamp>, Seen<'a>)> = BTreeMap::new();
            for seen in unhealthy(context, pod, &member) {
                let (count, first, last) = (seen.event.count, seen.event.first, seen.event.last);
                let entry = kinds.entry(seen.kind).or_insert((0, first, last, seen));
                entry.0 += count;
                entry.1 = match (entry.1, first) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                entry.2 = entry.2.max(last);
            }
            for (kind, (count, first, last, seen)) in kinds {
                let (Some(first), Some(last)) = (first, last) else { continue };
                let minutes = last.duration_since(first).as_secs() / 60;
                if minutes < 15 || i64::try_from(count).unwrap_or(i64::MAX) <= minutes {
                    continue;
                }
                let message =
                    format!("{} of {} failed {count} times in {minutes} minutes", kind.word(), member.container.name);
                findings.push(draft(context, pod, &member, &seen, message));
            }
        }
    }
}

/// That liveness killed a container, and when, where that is known.
struct Killed(Option<Timestamp>);

/// Returns when liveness killed a container, if it did.
fn kill<'a>(context: &Context<'a>, pod: &'a Pod, member: &Member<'a>) -> Option<Killed> {
    let name = member.container.name.as_str();
    let container = status(pod, member)?;
    let last = container.last.as_deref();
    if last.is_some_and(|last| last.reason == "OOMKilled") {
        return None;
    }
    let killing = context.facts.events(&pod.meta.uid).iter().filter(|event| {
        event.reason == "Killing"
            && container_of(event) == Some(name)
            && event.message.contains("failed liveness probe")
    });
    if let Some(event) = killing.max_by_key(|event| event.last) {
        return Some(Killed(event.last));
    }
    let probe = probe_of(pod, member, ProbeKind::Liveness)?;
    let finished = last?.finished?;
    let grace = probe.grace.or(pod.spec.termination_grace_period_seconds).unwrap_or(30);
    let window = SignedDuration::from_secs(probe.timing.longest() + grace);
    let failed = unhealthy(context, pod, member).into_iter().filter(|seen| seen.kind == ProbeKind::Liveness);
    let near = |at: Timestamp| at <= finished && finished.duration_since(at) <= window;
    failed.into_iter().any(|seen| seen.event.last.is_some_and(near)).then_some(Killed(Some(finished)))
}

fn killed<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    for pod in World::of(context.facts).pods {
        for member in gating(pod) {
            let restarts = status(pod, &member).map_or(0, |status| status.restarts);
            if restarts < 2 || kill(context, pod, &member).is_none() {
                continue;
            }
            let name = &member.container.name;
            let message = format!("liveness restarts {name}: {restarts} restarts so far");
            let finding = context.container(carried(pod), member, message).probe("liveness");
            findings.push(finding.evidence(format!("{}/restartCount", status_path(pod, name)), restarts));
        }
    }
}

fn killed_at_start<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    for pod in World::of(context.facts).pods {
        for member in gating(pod) {
            let Some(status) = status(pod, &member) else { continue };
            let failed = unhealthy(context, pod, &member).into_iter().find(|seen| seen.kind == ProbeKind::Startup);
            let Some(seen) = failed.filter(|_| status.started == Some(false) && status.restarts >= 2) else { continue };
            let Some(probe) = probe_of(pod, &member, ProbeKind::Startup) else { continue };
            let message = format!(
                "the startup probe kills {} after {} s, {} times so far",
                member.container.name,
                probe.timing.granted(),
                status.restarts
            );
            findings.push(draft(context, pod, &member, &seen, message));
        }
    }
}

fn exec_broken<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    each(context, |_, pod, member, seen, probe| {
        let message = seen.event.message.to_lowercase();
        let problem = if message.contains("executable file not found") || message.contains(": not found") {
            "its program is not in the image"
        } else if message.contains("permission denied") {
            "it is not permitted"
        } else if message.contains("oci runtime exec") || message.contains("failed to exec") {
            "it cannot be started"
        } else if message.contains("timed out") {
            "it does not end in time"
        } else {
            return;
        };
        if probe.handler.exec.is_none() || seen.event.count < 3 {
            return;
        }
        let message = format!("the command of {} of {} fails: {problem}", probe.word(), member.container.name);
        findings.push(draft(context, pod, &member, seen, message));
    });
}

/// Returns the status that a probe got.
fn code(message: &str) -> Option<u16> {
    let (_, rest) = message.split_once("statuscode: ")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

fn http_status<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    each(context, |world, pod, member, seen, probe| {
        let Some(code) = code(&seen.event.message).filter(|_| probe.handler.http_get.is_some()) else { return };
        let Some(status) = status(pod, &member) else { return };
        let hurts = match probe.kind {
            ProbeKind::Readiness => !status.ready,
            ProbeKind::Liveness | ProbeKind::Startup => status.restarts > 0,
        };
        if !hurts || seen.event.count < u64::from(probe.timing.failure) {
            return;
        }
        let (severity, means) = match code {
            404 => (Severity::High, "its path is wrong"),
            401 | 403 => (Severity::High, "it lacks credentials"),
            500.. => (Severity::Medium, "the application says that it is not well"),
            _ => (Severity::Medium, "the application does not take it"),
        };
        // An application may say so while it starts.
        let settles = SignedDuration::from_secs(world.settles(context.facts, pod, &member));
        if severity == Severity::Medium && !context.held(since(pod, status), settles) {
            return;
        }
        let message =
            format!("{} of {} gets status {code} for {}: {means}", probe.word(), member.container.name, probe.told());
        findings.push(draft(context, pod, &member, seen, message).severity(severity));
    });
    for pod in World::of(context.facts).pods {
        for event in context.facts.events(&pod.meta.uid).iter().filter(|event| event.reason == "ProbeWarning") {
            let member = container_of(event).and_then(|name| gating(pod).find(|member| member.container.name == name));
            let (Some(member), Some(kind)) = (member, kind_of(&event.message)) else { continue };
            let message = format!(
                "{} of {} is redirected elsewhere, which counts as success",
                kind.word(),
                member.container.name
            );
            let seen = Seen { event, kind };
            findings.push(draft(context, pod, &member, &seen, message).severity(Severity::Medium));
        }
    }
}

/// Returns the port that refused.
fn refused_port(message: &str) -> Option<i32> {
    let (before, _) =
        message.split_once(": connect: connection refused").or_else(|| message.split_once(": connection refused"))?;
    before.rsplit(':').next()?.trim().parse().ok()
}

fn refused<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    each(context, |world, pod, member, seen, probe| {
        let Some(port) = refused_port(&seen.event.message) else { return };
        let container = member.container;
        let is_declared = container.ports.iter().any(|declared| declared.container_port == port);
        let Some(status) = status(pod, &member).filter(|_| !is_declared && seen.event.count >= 3) else { return };
        let settles = SignedDuration::from_secs(world.settles(context.facts, pod, &member));
        let late = match (since(pod, status), seen.event.last) {
            (Some(since), Some(last)) => last.duration_since(since) > settles,
            _ => false,
        };
        if !late || probe.kind == ProbeKind::Readiness && status.ready {
            return;
        }
        let message = format!(
            "{} of {} is refused on port {port}, which the container does not declare",
            probe.word(),
            container.name
        );
        findings.push(draft(context, pod, &member, seen, message));
    });
}

/// What a container used of a CPU when that was measured last.
struct Used<'a> {
    metrics: &'a Of<PodMetrics>,
    path: String,
    at: Timestamp,
    nanos: i128,
}

/// Returns what a container used; nothing where nobody measures, or measured only the process before it.
fn used<'a>(facts: &'a Facts, pod: &Pod, member: &Member<'_>) -> Option<Used<'a>> {
    let metrics = facts.metrics_of(pod)?;
    let at = metrics.timestamp.as_ref()?.timestamp()?;
    if let Some(State::Running { since: Some(since) }) = status(pod, member).map(|status| &status.state)
        && at < *since
    {
        return None;
    }
    let index = metrics.containers.iter().position(|measured| measured.name == member.container.name)?;
    let nanos = metrics.containers.get(index)?.of("cpu")?.nanos()?;
    Some(Used { metrics, path: format!("/containers/{index}/usage/cpu"), at, nanos })
}

fn throttled<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    each(context, |_, pod, member, seen, probe| {
        let said = seen.event.message.to_lowercase();
        let late = ["deadline exceeded", "client.timeout", "i/o timeout", "timed out"];
        let limits = member.container.resources.as_ref().map(|resources| &resources.limits);
        let limit = limits.and_then(|limits| limits.get("cpu"));
        let Some((limit, allowed)) = limit.and_then(|limit| Some((limit, limit.nanos()?))) else { return };
        if allowed > HALF_A_CPU || seen.event.count < 3 || !late.iter().any(|words| said.contains(words)) {
            return;
        }
        let used = used(context.facts, pod, &member);
        if used.as_ref().is_some_and(|used| used.nanos * 100 < allowed * THROTTLED) {
            return;
        }
        let (name, timeout) = (&member.container.name, probe.timing.timeout);
        let message =
            format!("{} of {name} gets no answer within {timeout} s, with a limit of {limit} CPU", probe.word());
        let limit_at = format!("{}/resources/limits/cpu", member.path());
        let finding = draft(context, pod, &member, seen, message).evidence(limit_at, limit.to_string());
        findings.push(match used {
            None => finding.assuming("the process is throttled; its usage is not known"),
            Some(Used { metrics, path, at, nanos }) => {
                let used = Quantity::whole(nanos);
                let assumed = format!("the {used} CPU that {name} used at {at} are what it uses when the probe fails");
                finding.evidence_of(metrics, path, used.to_string()).assuming(assumed)
            }
        });
    });
}

/// When which container was killed.
type Kill<'a> = (Timestamp, &'a Pod, Member<'a>);

fn synchronized<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let world = World::of(context.facts);
    let mut kills: BTreeMap<(Text, &'a str), Vec<Kill<'a>>> = BTreeMap::new();
    for pod in &world.pods {
        for member in gating(pod) {
            if let Some(Killed(Some(at))) = kill(context, pod, &member) {
                kills
                    .entry((workload(context.facts, pod), &member.container.name))
                    .or_default()
                    .push((at, pod, member));
            }
        }
    }
    for mut all in kills.into_values() {
        all.sort_by_key(|(at, pod, _)| (*at, pod.meta.name.clone()));
        let window = all.iter().filter_map(|(_, pod, member)| probe_of(pod, member, ProbeKind::Liveness));
        let Some(window) = window.map(|probe| probe.timing.longest()).min() else { continue };
        let near = |(one, ..): &Kill<'_>, (other, ..): &Kill<'_>| one.duration_since(*other).abs().as_secs() <= window;
        let together: Vec<_> =
            all.iter().filter(|one| all.iter().filter(|other| near(one, other)).count() > 1).collect();
        for (at, pod, member) in &together {
            let message = format!(
                "liveness restarted {} in {} replicas within {window} s of each other",
                member.container.name,
                together.len()
            );
            let finding = context.container(carried(pod), *member, message).probe("liveness").since(Some(*at));
            findings.push(finding.evidence(
                format!("{}/restartCount", status_path(pod, &member.container.name)),
                status(pod, member).map_or(0, |status| status.restarts),
            ));
        }
    }
}
