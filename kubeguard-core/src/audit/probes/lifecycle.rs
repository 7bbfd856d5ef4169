//! PA310, PA312, PA313, PA316 and PA317: thresholds and graces that are rejected, or that cost an outage.

use super::routing::is_exposed;
use super::{EXPOSED, ProbeKind, TEMPLATES, about, any, asked, below, class, command, is_over, routing, staying};
use crate::audit::facts::Carrier;
use crate::audit::kinds::Container;
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Rule};
use crate::pods::{Class, Criticality, Member, members};

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA310",
        name: "bad-success-threshold",
        severity: Severity::High,
        summary: "a liveness or startup probe wants more than one success",
        why: "the API server rejects the object",
        remedy: "set successThreshold to 1",
        needs: TEMPLATES,
        check: Check::Container(successes),
        ..Rule::BASE
    },
    Rule {
        id: "PA312",
        name: "grace-drag",
        summary: "a container that liveness restarts keeps the pod's long grace period",
        why: "a process that hangs does not end by itself: it is restarted only after the whole grace period",
        remedy: "give the liveness probe a terminationGracePeriodSeconds of 10 to 30",
        links: &["https://github.com/kubernetes/enhancements/issues/2238"],
        needs: TEMPLATES,
        check: Check::Container(drag),
        ..Rule::BASE
    },
    Rule {
        id: "PA313",
        name: "probe-grace-invalid",
        severity: Severity::High,
        summary: "a readiness probe has a grace period, or a probe's is longer than the pod's",
        why: "the API server rejects the first; the second makes a restart slower than a deletion",
        remedy: "remove it from readiness; elsewhere set it below the pod's",
        needs: TEMPLATES,
        check: Check::Container(grace),
        ..Rule::BASE
    },
    Rule {
        id: "PA316",
        name: "prestop-eats-grace",
        summary: "the preStop hook sleeps for the whole grace period",
        why: "the process is killed without time to end",
        remedy: "raise terminationGracePeriodSeconds above the sleep by what the process needs",
        needs: TEMPLATES,
        check: Check::Container(sleeps),
        ..Rule::BASE
    },
    Rule {
        proof: Proof::Hint,
        severity: Severity::Medium,
        asked: Some(&NO_DRAIN_WINDOW),
        check: Check::Template(drains),
        ..NO_DRAIN_WINDOW
    },
];

/// Selected by its id it tells every routed container without a window; otherwise those alone of which it is known that
/// they need one, and that are reached from outside.
const NO_DRAIN_WINDOW: Rule = Rule {
    id: "PA317",
    name: "no-drain-window",
    severity: Severity::Info,
    summary: "a routed container stops serving at SIGTERM while traffic still arrives",
    why: "endpoints are taken out asynchronously: clients get errors during every rollout",
    remedy: "add a preStop hook that sleeps for some seconds",
    traps: &[
        "nobody asked about applications that may serve on after SIGTERM",
        "a proxy of a mesh that ends connections in order",
    ],
    needs: EXPOSED,
    check: Check::Template(drains_at_all),
    ..Rule::BASE
};

fn successes<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    for probe in any(context, &carrier, &member) {
        let success = probe.timing.success;
        if probe.kind == ProbeKind::Readiness || success == 1 {
            continue;
        }
        let (word, name) = (probe.word(), &member.container.name);
        let message = format!("{word} of {name} has successThreshold {success}: the API rejects anything but 1");
        let at = below(&carrier, &member, probe.kind, "successThreshold");
        let finding = about(context, &carrier, &member, &probe, message).evidence(at.clone(), success);
        findings.push(finding.set(&carrier, at, 1));
    }
}

/// Returns a pod's grace period in seconds.
pub(super) fn pod_grace(carrier: &Carrier<'_>) -> i64 {
    carrier.spec.termination_grace_period_seconds.unwrap_or(30)
}

fn grace_path(carrier: &Carrier<'_>) -> String {
    format!("{}/spec/terminationGracePeriodSeconds", carrier.path)
}

fn drag<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let all = pod_grace(&carrier);
    let found = staying(context, &carrier, &member).into_iter().find(|probe| probe.kind == ProbeKind::Liveness);
    let Some(liveness) = found.filter(|probe| probe.grace.is_none() && all >= 120) else { return };
    let severity = if all >= 600 { Severity::High } else { Severity::Medium };
    let message = format!(
        "when liveness of {} fails, a process that hangs is killed only after the pod's {all} s of grace",
        member.container.name
    );
    let at = below(&carrier, &member, ProbeKind::Liveness, "terminationGracePeriodSeconds");
    let finding = about(context, &carrier, &member, &liveness, message).severity(severity);
    findings.push(finding.evidence(grace_path(&carrier), all).set(&carrier, at, 30));
}

fn grace<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let all = pod_grace(&carrier);
    for probe in any(context, &carrier, &member) {
        let Some(own) = probe.grace else { continue };
        let (word, name) = (probe.word(), &member.container.name);
        let at = below(&carrier, &member, probe.kind, "terminationGracePeriodSeconds");
        let finding = if probe.kind == ProbeKind::Readiness {
            let message =
                format!("readiness of {name} has a grace period, but it never ends anything: the API rejects it");
            about(context, &carrier, &member, &probe, message).evidence(at.clone(), own).unset(&carrier, at)
        } else if own > all {
            let message = format!("{word} of {name} grants {own} s > {all} s, the pod's own grace period");
            let finding = about(context, &carrier, &member, &probe, message).severity(Severity::Low);
            finding.evidence(at.clone(), own).evidence(grace_path(&carrier), all).set(&carrier, at, all)
        } else {
            continue;
        };
        findings.push(finding);
    }
}

/// Returns for how many seconds a container's preStop hook sleeps, and the field that says so.
pub(super) fn slept(container: &Container) -> Option<(i64, &'static str)> {
    let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
    if let Some(sleep) = &hook.sleep {
        return Some((sleep.seconds?, "sleep/seconds"));
    }
    // Only a sleep and nothing else has a length that is known.
    let all = command::run(&hook.exec.as_ref()?.command);
    let [words] = all.as_slice() else { return None };
    let [program, time] = words.as_slice() else { return None };
    let seconds = time.strip_suffix('s').unwrap_or(time).parse().ok()?;
    (command::base(program) == "sleep").then_some((seconds, "exec/command"))
}

fn sleeps<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    if member.class == Class::Init || is_over(context.facts, &carrier) {
        return;
    }
    let Some((seconds, part)) = slept(member.container) else { return };
    let all = pod_grace(&carrier);
    if seconds < all {
        return;
    }
    let message = format!(
        "preStop of {} sleeps {seconds} s ≥ {all} s of grace: the process is killed without SIGTERM's time",
        member.container.name
    );
    let at = format!("{}{}/lifecycle/preStop/{part}", carrier.path, member.path());
    let finding = context.container(carrier, member, message).evidence(at, seconds).evidence(grace_path(&carrier), all);
    findings.push(finding.set(&carrier, grace_path(&carrier), seconds + 30));
}

/// Returns whether an image's process is known to close its ports at once.
fn closes(image: &str) -> bool {
    let path = image.split('@').next().unwrap_or(image);
    let last = path.rsplit('/').next().unwrap_or(path);
    matches!(last.split(':').next(), Some("nginx" | "nginx-unprivileged"))
}

fn drains<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    // What others do at SIGTERM nobody knows.
    windows(context, carrier, findings, |exposed, closes| exposed && closes);
}

fn drains_at_all<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    windows(context, carrier, findings, |_, _| true);
}

/// Returns whether connections to a container pass through another one, which ends them in order.
fn is_behind_proxy(context: &Context<'_>, carrier: &Carrier<'_>, member: &Member<'_>) -> bool {
    members(carrier.spec).filter(Member::is_gating).any(|other| {
        let is_proxy = other.container.name != member.container.name;
        is_proxy
            && matches!(class(context, carrier, other.container), (Criticality::DataPath, Proof::Model | Proof::Exact))
    })
}

/// Tells containers without a window that are meant: by whether they are reached from outside, and whether their process
/// is known to close its ports at once.
fn windows<'a>(
    context: &Context<'a>,
    carrier: Carrier<'a>,
    findings: &mut Findings<'a>,
    is_meant: fn(bool, bool) -> bool,
) {
    let all = pod_grace(&carrier);
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        let container = member.container;
        let hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
        let routes: Vec<_> = routing.to(container).filter(|route| !route.is_telemetry()).collect();
        let Some(route) = routes.first().filter(|_| !hook && all <= 30) else { continue };
        let exposed = routes.iter().any(|route| is_exposed(context.facts, route.service));
        let closes = closes(&container.image);
        if !is_meant(exposed, closes) || is_behind_proxy(context, &carrier, &member) {
            continue;
        }
        let message = format!(
            "{} has no preStop hook: service {} still sends traffic when it stops",
            container.name, route.service.meta.name
        );
        let finding = context.container(carrier, member, message).evidence(grace_path(&carrier), all);
        findings.push(if exposed && closes {
            let assumed = format!("image {} closes its ports at SIGTERM or SIGQUIT", container.image);
            finding.severity(Severity::Medium).proof(Proof::Hint).assuming(assumed)
        } else {
            finding
        });
    }
}
