//! ROLL-003 and ROLL-009: what a container does before it stops, and before it counts as ready.

use jiff::SignedDuration;
use serde_json::json;

use super::{PACED, Rolled, grace, grace_path};
use crate::audit::facts::Carrier;
use crate::audit::kinds::Container;
use crate::audit::needs::{Fact, Need};
use crate::audit::probes::command::{base, run};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Rule};
use crate::models::{Calculation, Input};
use crate::pods::{Member, members};

/// What holds pods that stay.
const STAYING: &[Need] = &[
    Need::decides(Fact::Deployment).or_none(),
    Need::decides(Fact::StatefulSet).or_none(),
    Need::decides(Fact::DaemonSet).or_none(),
    Need::enriches(Fact::ReplicaSet).or_none(),
];

/// So many seconds are left to a process at least.
const LEFT: i64 = 5;

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "ROLL-003",
        name: "hook-eats-grace",
        severity: Severity::High,
        summary: "a preStop hook lasts as long as the grace period",
        why: "the process is killed without time to end",
        remedy: "raise terminationGracePeriodSeconds",
        traps: &["hooks run at the same time", "a hook of unknown length"],
        needs: STAYING,
        check: Check::Template(eats),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-009",
        name: "ready-at-once",
        summary: "a container that serves has neither readiness nor startup probe",
        why: "a new pod counts as ready before it answers, and the old one is deleted",
        remedy: "add a readiness probe",
        traps: &["a startup probe gates readiness", "a readiness gate"],
        needs: PACED,
        check: Check::Template(at_once),
        ..Rule::BASE
    },
];

/// Returns for how many seconds a container's preStop hook lasts, as far as that is written: a sleep, or the sum of the
/// sleeps of a command.
pub(super) fn hook(container: &Container) -> i64 {
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let Some(hook) = hook else { return 0 };
    if let Some(sleep) = &hook.sleep {
        return sleep.seconds.unwrap_or(0).max(0);
    }
    let Some(exec) = &hook.exec else { return 0 };
    run(&exec.command).iter().filter_map(|words| slept(words)).fold(0, i64::saturating_add)
}

fn slept(words: &[String]) -> Option<i64> {
    let [program, time] = words else { return None };
    if base(program) != "sleep" {
        return None;
    }
    let (digits, unit) = match time.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (time.strip_suffix('s').unwrap_or(time), 1),
    };
    digits.parse::<i64>().ok().filter(|count| *count >= 0)?.checked_mul(unit)
}

fn eats<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if !matches!(carrier.object.fact(), Fact::Deployment | Fact::StatefulSet | Fact::DaemonSet) {
        return;
    }
    let grace = grace(&carrier);
    let gating = members(carrier.spec).filter(Member::is_gating);
    let Some((time, member)) = gating.map(|member| (hook(member.container), member)).max_by_key(|(time, _)| *time)
    else {
        return;
    };
    if time == 0 || grace - time >= LEFT {
        return;
    }
    let name = &member.container.name;
    let (severity, inequality) = if time >= grace {
        (Severity::High, format!("preStop of {name} {time}s ≥ grace {grace}s"))
    } else {
        (Severity::Low, format!("preStop of {name} {time}s leaves {} s of grace {grace}s < {LEFT}s", grace - time))
    };
    let at = format!("{}{}/lifecycle/preStop", carrier.path, member.path());
    let seconds = |value| SignedDuration::from_secs(value);
    let sum = Calculation::new(inequality.clone())
        .with("hook", &Input::object(seconds(time), at.clone()))
        .with("grace", &Input::object(seconds(grace), grace_path(&carrier)))
        .flip(format!("terminationGracePeriodSeconds at least {}", time + LEFT));
    let finding = context.container(carrier, member, format!("{inequality}: the process has no time to end"));
    let finding = finding.severity(severity).calculation(&sum).evidence(at, time).evidence(grace_path(&carrier), grace);
    let patch = json!({"op": "add", "path": grace_path(&carrier), "value": time.saturating_add(30)});
    let is_made = carrier.object.meta().owner.is_some();
    findings.push(if is_made { finding } else { finding.patch(patch) });
}

fn at_once<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::routed(context, carrier) else { return };
    if !carrier.spec.readiness_gates.is_empty() {
        return;
    }
    let routing = crate::audit::probes::routing(context.facts, &carrier);
    let replaced = i64::from(rolled.replaced());
    let severity = if replaced * 2 >= i64::from(rolled.replicas) { Severity::High } else { Severity::Medium };
    for member in members(carrier.spec).filter(Member::is_gating) {
        let container = member.container;
        let routed = routing.to(container).any(|route| !route.is_telemetry());
        if !routed || container.readiness_probe.is_some() || container.startup_probe.is_some() {
            continue;
        }
        let message = format!(
            "{} has neither readiness nor startup probe: {replaced} of {} pods are replaced as soon as new ones run",
            container.name, rolled.replicas
        );
        let sum = Calculation::new(format!("0 probes before ready, {replaced} of {} pods at once", rolled.replicas))
            .with("replicas", &rolled.count())
            .with("surge", &rolled.surges())
            .with("unavailable", &rolled.misses())
            .flip(format!("a readiness probe on {}", container.name));
        let at = format!("{}{}/readinessProbe", carrier.path, member.path());
        let finding = context.container(carrier, member, message).severity(severity).calculation(&sum);
        findings.push(finding.evidence(at, serde_json::Value::Null));
    }
}
