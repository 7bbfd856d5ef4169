//! ROLL-001, 002, 004, 006, 007, 008 and 018: how fast pods are replaced, against what clients know.

use jiff::SignedDuration;
use serde_json::json;

use super::{
    ADVISED, GOVERNED_FROM, PACED, Rolled, SIZED, SURVIVAL, VANISHING, ceil, grace_path, scaler, share, shown,
};
use crate::audit::facts::Carrier;
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Draft, Findings, Rule};
use crate::models::rollout::{Pace, simulate};
use crate::models::{Calculation, Input};
use crate::scheduling::Round;

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "ROLL-001",
        name: "full-swap",
        severity: Severity::High,
        proof: Proof::Model,
        summary: "a rollout may replace every pod before clients know the new ones",
        why: "clients keep the old endpoints for a while, and none of them is left; twice the pods run at once",
        remedy: "set minReadySeconds to the propagation at least, surge to a quarter, and let pods drain that long",
        traps: &["one replica", "two or three replicas with the default strategy", "no service"],
        links: &["https://github.com/istio/istio/issues/52690"],
        needs: PACED,
        check: Check::Template(swap),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-002",
        name: "drain-shorter-than-propagation",
        proof: Proof::Model,
        summary: "pods stop answering before clients know that they are gone",
        why: "requests to endpoints that are gone fail, in every rollout, eviction and scale-down",
        remedy: "let preStop sleep for the propagation and two seconds, and raise the grace period by the same",
        traps: &["an application that serves on after SIGTERM"],
        links: &["https://github.com/kubernetes/kubernetes/issues/43576"],
        needs: PACED,
        check: Check::Template(drain),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-004",
        name: "pace-ungoverned",
        proof: Proof::Model,
        summary: "most pods may vanish within the time that clients need to learn of it",
        why: "the default strategy is not slow when pods become ready within seconds",
        remedy: "raise minReadySeconds, or lower maxSurge and maxUnavailable",
        traps: &["few replicas"],
        needs: PACED,
        check: Check::Template(ungoverned),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-006",
        name: "fencepost-surprise",
        severity: Severity::Info,
        summary: "surge 0 and a percentage that rounds to no pod: one pod is unavailable all the same",
        why: "a rollout could not begin otherwise, so the controller takes one",
        remedy: "write maxUnavailable as a number",
        traps: &["one replica on purpose"],
        needs: SIZED,
        check: Check::Template(surprise),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-007",
        name: "surge-above-replicas",
        summary: "maxSurge is a number above the replicas",
        why: "the whole set is doubled at once",
        remedy: "lower it to the replicas at most, better to a quarter of them",
        traps: &["an autoscaler raises the replicas"],
        needs: SIZED,
        check: Check::Template(above),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-008",
        name: "deadline-too-short",
        severity: Severity::High,
        proof: Proof::Model,
        summary: "progressDeadlineSeconds is shorter than a pod takes to become available",
        why: "a good rollout is declared failed",
        remedy: "raise progressDeadlineSeconds",
        needs: SIZED,
        check: Check::Template(deadline),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-018",
        name: "single-replica",
        severity: Severity::Info,
        summary: "a service has one pod behind it",
        why: "an eviction or a crash is an outage",
        remedy: "run two replicas, or accept it",
        traps: &["an autoscaler's minimum is above one"],
        needs: PACED,
        check: Check::Template(single),
        ..Rule::BASE
    },
];

/// Says of a finding what ends it, where nothing else makes the deployment.
fn mend<'a>(draft: Draft<'a>, carrier: &Carrier<'_>, path: &str, value: impl Into<serde_json::Value>) -> Draft<'a> {
    if carrier.object.meta().owner.is_some() {
        return draft;
    }
    draft.patch(json!({"op": "add", "path": path, "value": value.into()}))
}

fn swap<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::routed(context, carrier) else { return };
    let (pace, min_ready) = (rolled.pace(context), rolled.min_ready());
    let propagation = pace.propagation.value;
    if rolled.replicas < 2 || rolled.replaced() < rolled.replicas || min_ready.value >= propagation {
        return;
    }
    let Pace { surge, unavailable, replicas, .. } = pace;
    let inequality = format!(
        "{surge} + {unavailable} ≥ {replicas} pods replaced at once, minReady {} < propagation {}",
        shown(min_ready.value),
        shown(propagation)
    );
    let least = ceil(propagation);
    let sum = Calculation::new(inequality.clone())
        .with("replicas", &rolled.count())
        .with("surge", &rolled.surges())
        .with("unavailable", &rolled.misses())
        .with("minReady", &min_ready)
        .with("propagation", &pace.propagation)
        .with("drain", &pace.drain)
        .flip(format!("minReadySeconds at least {least}"));
    let severity = if pace.drain.value < propagation { Severity::High } else { Severity::Medium };
    let message = format!("{inequality}; {} pods run at once", i64::from(replicas) + i64::from(surge));
    let finding = context.finding(carrier.object, message).severity(severity).calculation(&sum);
    let finding = finding.evidence("/spec/strategy/rollingUpdate/maxSurge", surge);
    findings.push(mend(finding, &carrier, "/spec/minReadySeconds", least));
}

fn drain<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::routed(context, carrier) else { return };
    let pace = rolled.pace(context);
    let (drain, propagation) = (pace.drain.value, pace.propagation.value);
    if drain >= propagation {
        return;
    }
    let survival = simulate(&pace).ok().map(|timeline| timeline.survival);
    let limit = context.policy.thresholds.share(&SURVIVAL);
    let is_low = survival.is_some_and(|survival| survival < limit);
    let severity = if is_low { Severity::High } else { Severity::Medium };
    let inequality = format!("drain {} < propagation {}", shown(drain), shown(propagation));
    let told = survival.map_or(String::new(), |survival| format!(", survival {survival:.2}"));
    let (sleep, grace) = (ceil(propagation) + 2, ceil(pace.grace));
    let serving = rolled.serving(context);
    let names: Vec<&str> = serving.iter().map(|member| member.container.name.as_str()).collect();
    let sum = Calculation::new(inequality.clone())
        .with("drain", &pace.drain)
        .with("propagation", &pace.propagation)
        .with("ready", &pace.ready_after)
        .with("survival", &Input::default(survival.unwrap_or(0.0), "simulated"))
        .flip(format!("preStop.sleep.seconds of {} at least {}", names.join(", "), ceil(propagation)));
    let message = format!("{inequality}{told}: pods stop answering before clients know that they are gone");
    let mut finding = context.finding(carrier.object, message).severity(severity).calculation(&sum);
    finding = finding.evidence(grace_path(&carrier), grace);
    finding = finding.remedy(format!("let preStop sleep {sleep} s, and raise the grace period to {} s", grace + sleep));
    if serving.iter().all(|member| member.container.lifecycle.is_none()) {
        for member in &serving {
            let path = format!("{}{}/lifecycle", carrier.path, member.path());
            finding = mend(finding, &carrier, &path, json!({"preStop": {"sleep": {"seconds": sleep}}}));
        }
        finding = mend(finding, &carrier, &grace_path(&carrier), grace + sleep);
    }
    findings.push(finding);
}

/// Returns the smallest whole minReadySeconds with which no more than a share vanishes within the propagation.
fn governed(pace: &Pace, share: f64) -> Option<i64> {
    let fits = |seconds: i64| {
        let tried = Pace { min_ready: SignedDuration::from_secs(seconds), ..pace.clone() };
        #[expect(clippy::cast_precision_loss, reason = "pods of one deployment")]
        let vanishing = tried.vanish_within(pace.propagation.value) as f64;
        vanishing <= share * f64::from(pace.replicas)
    };
    // More than the propagation lets one wave through: beyond that nothing changes.
    let (mut low, mut high) = (0, ceil(pace.propagation.value) + 1);
    if !fits(high) {
        return None;
    }
    while low < high {
        let middle = i64::midpoint(low, high);
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

fn ungoverned<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::routed(context, carrier) else { return };
    let thresholds = &context.policy.thresholds;
    if i64::from(rolled.replicas) < thresholds.count(&GOVERNED_FROM) || rolled.replaced() >= rolled.replicas {
        return;
    }
    let pace = rolled.pace(context);
    let vanishing = pace.vanish_within(pace.propagation.value);
    let limit = thresholds.share(&VANISHING);
    #[expect(clippy::cast_precision_loss, reason = "pods of one deployment")]
    let part = vanishing as f64 / f64::from(rolled.replicas);
    if part <= limit {
        return;
    }
    let advised = governed(&pace, thresholds.share(&ADVISED));
    let inequality = format!(
        "{vanishing} of {} pods may vanish within propagation {}: {part:.2} > {limit}",
        rolled.replicas,
        shown(pace.propagation.value)
    );
    let mut sum = Calculation::new(inequality.clone())
        .with("replicas", &rolled.count())
        .with("surge", &rolled.surges())
        .with("unavailable", &rolled.misses())
        .with("minReady", &rolled.min_ready())
        .with("propagation", &pace.propagation)
        .with("ready", &pace.ready_after);
    let least = governed(&pace, limit);
    if let Some(seconds) = least {
        sum = sum.flip(format!("minReadySeconds at least {seconds}"));
    }
    let mut finding = context.finding(carrier.object, inequality).calculation(&sum);
    finding = finding.evidence("/spec/minReadySeconds", rolled.min_ready().value.as_secs());
    finding = match advised {
        Some(seconds) => mend(
            finding.remedy(format!("set minReadySeconds to {seconds}")),
            &carrier,
            "/spec/minReadySeconds",
            seconds,
        ),
        None => finding.remedy("lower maxSurge and maxUnavailable, and set minReadySeconds to the propagation"),
    };
    findings.push(finding);
}

fn surprise<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::of(context, carrier) else { return };
    let update = rolled.deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref()?.rolling_update.as_ref());
    let Some(update) = update.filter(|_| rolled.replicas > 1) else { return };
    let surge = share(update.max_surge.as_ref(), rolled.replicas, Round::Up);
    let missing = share(update.max_unavailable.as_ref(), rolled.replicas, Round::Down);
    let Some(written) = update.max_unavailable.as_ref().filter(|_| surge == 0 && missing == 0) else { return };
    let inequality = format!("maxUnavailable {written} of {} is 0, and surge is 0", rolled.replicas);
    let sum = Calculation::new(inequality.clone())
        .with("replicas", &rolled.count())
        .with("surge", &rolled.surges())
        .flip("maxUnavailable 1");
    let at = "/spec/strategy/rollingUpdate/maxUnavailable";
    let finding =
        context.finding(carrier.object, format!("{inequality}: the controller takes one pod away all the same"));
    let finding = finding.calculation(&sum).evidence(at, written.to_string());
    findings.push(mend(finding, &carrier, at, 1));
}

fn above<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::of(context, carrier) else { return };
    let update = rolled.deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref()?.rolling_update.as_ref());
    let Some(surge) = update.and_then(|update| update.max_surge.as_ref()?.number()) else { return };
    let most = scaler(context, rolled.deployment).and_then(|scaler| scaler.spec.as_ref()).map_or(0, |s| s.max_replicas);
    if surge <= rolled.replicas.max(most) {
        return;
    }
    let inequality = format!("maxSurge {surge} > {} replicas", rolled.replicas);
    let sum = Calculation::new(inequality.clone())
        .with("surge", &rolled.surges())
        .with("replicas", &rolled.count())
        .flip(format!("maxSurge at most {}", rolled.replicas));
    let at = "/spec/strategy/rollingUpdate/maxSurge";
    let finding = context.finding(carrier.object, format!("{inequality}: the whole set is doubled at once"));
    findings.push(mend(finding.calculation(&sum).evidence(at, surge), &carrier, at, rolled.replicas));
}

fn deadline<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::of(context, carrier) else { return };
    let Some(spec) = rolled.deployment.spec.as_ref() else { return };
    let seconds = spec.progress_deadline_seconds.unwrap_or(600);
    let deadline = Input::object(SignedDuration::from_secs(i64::from(seconds)), "/spec/progressDeadlineSeconds");
    let name = carrier.object.object_name();
    let slow = context.policy.measurements.as_ref().and_then(|told| told.ready_slow(&name, context.now));
    let ready = Input::or([slow], rolled.ready_after(context));
    let min_ready = rolled.min_ready();
    let needed = ready.value.saturating_add(min_ready.value);
    if deadline.value >= needed {
        return;
    }
    let inequality = format!(
        "progressDeadlineSeconds {seconds} < ready after {} + minReady {}",
        shown(ready.value),
        shown(min_ready.value)
    );
    let least = ceil(needed);
    let sum = Calculation::new(inequality.clone())
        .with("deadline", &deadline)
        .with("ready", &ready)
        .with("minReady", &min_ready)
        .flip(format!("progressDeadlineSeconds at least {least}"));
    let at = "/spec/progressDeadlineSeconds";
    let finding = context.finding(carrier.object, format!("{inequality}: a good rollout is declared failed"));
    findings.push(mend(finding.calculation(&sum).evidence(at, seconds), &carrier, at, least.max(600)));
}

fn single<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(rolled) = Rolled::routed(context, carrier) else { return };
    if rolled.replicas != 1 {
        return;
    }
    let sum = Calculation::new("1 replica < 2").with("replicas", &rolled.count()).flip("replicas at least 2");
    let service = rolled.services.first().map_or(String::new(), |service| service.meta.name.to_string());
    let message = format!("the only pod behind service {service}: an eviction or a crash is an outage");
    findings.push(context.finding(carrier.object, message).calculation(&sum).evidence("/spec/replicas", 1));
}
