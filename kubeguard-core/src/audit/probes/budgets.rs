//! PA308, PA309, PA314 and PA315: how long a start may take, and what a rollout makes of it.

use super::model::{budget, probe, to_ready};
use super::pods::World;
use super::{ProbeKind, TEMPLATES, about, asked, ceil, find, replicas, routing, staying};
use crate::audit::facts::{Carrier, Of};
use crate::audit::kinds;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Rule};
use crate::kinds::IntOrString;
use crate::pods::{Member, members};

super::needs_of!(
    ROLLED,
    "Templates, what routes to them and what scales them.",
    Need::decides(Fact::Service).or_none(),
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none()
);

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA308",
        name: "startup-budget-short",
        summary: "the startup probe grants less than the start takes",
        why: "the container is killed while it starts, again and again",
        remedy: "raise failureThreshold of the startup probe",
        traps: &["too few starts were seen"],
        needs: TEMPLATES,
        check: Check::Container(short),
        ..Rule::BASE
    },
    Rule {
        id: "PA309",
        name: "startup-budget-huge",
        severity: Severity::Low,
        summary: "the startup probe grants more than half an hour",
        why: "a start that hangs goes unnoticed for so long",
        remedy: "lower failureThreshold of the startup probe to about three times the longest start",
        traps: &["a container that loads a model"],
        needs: TEMPLATES,
        check: Check::Container(huge),
        ..Rule::BASE
    },
    Rule {
        id: "PA314",
        name: "rollout-deadline-short",
        summary: "a deployment's progress deadline is shorter than a start may take",
        why: "the rollout is declared failed while its pods start as they may",
        remedy: "raise progressDeadlineSeconds",
        needs: TEMPLATES,
        check: Check::Template(deadline),
        ..Rule::BASE
    },
    Rule {
        id: "PA315",
        name: "flap-through-rollout",
        severity: Severity::Low,
        summary: "one good probe is enough for a rollout to take the next pod away",
        why: "a broken version that answers once passes",
        remedy: "set minReadySeconds to at least the longest time in which readiness flips",
        needs: ROLLED,
        check: Check::Template(flaps_through),
        ..Rule::BASE
    },
];

/// Names in images whose processes take long to start.
const SLOW: &[&str] = &[
    "openjdk",
    "jdk",
    "jre",
    "temurin",
    "corretto",
    "java",
    "tomcat",
    "wildfly",
    "jboss",
    "spring",
    "keycloak",
    "elasticsearch",
    "logstash",
    "opensearch",
    "kafka",
    "cassandra",
    "jenkins",
    "sonarqube",
    "activemq",
    "solr",
];
/// Names in images whose processes load models.
const MODELS: &[&str] = &[
    "vllm",
    "triton",
    "tritonserver",
    "ollama",
    "torchserve",
    "tgi",
    "tei",
    "sglang",
    "llama",
    "huggingface",
    "inference",
];
/// A JVM rarely starts sooner, in seconds.
const JVM: i64 = 30;
/// What is granted beyond this is no budget, in seconds.
const HUGE: i64 = 1_800;

/// Returns whether an image looks like one of a JVM, whose start takes long.
pub(super) fn is_slow(image: &str) -> bool {
    words(image).any(|word| SLOW.contains(&word))
}

fn words(image: &str) -> impl Iterator<Item = &str> {
    image.split(['/', ':', '-', '.', '@', '_'])
}

fn short<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let Some(startup) = staying(context, &carrier, &member).into_iter().find(|probe| probe.kind == ProbeKind::Startup)
    else {
        return;
    };
    let granted = startup.timing.granted();
    let name = &member.container.name;
    let finding = |message: String| {
        let finding = about(context, &carrier, &member, &startup, message);
        let finding = finding.number(&carrier, &member, ProbeKind::Startup, "failureThreshold", startup.timing.failure);
        finding.number(&carrier, &member, ProbeKind::Startup, "periodSeconds", startup.timing.period)
    };
    let enough = |seconds: i64| ceil(seconds, startup.timing.pace());
    let at = super::below(&carrier, &member, ProbeKind::Startup, "failureThreshold");
    // Only what was seen of this workload's own pods.
    let seen = observed(context, &carrier, name);
    if let Some(p95) = seen.get((seen.len() * 95).div_ceil(100).saturating_sub(1)).filter(|_| seen.len() >= 3) {
        if granted * 2 < p95 * 3 {
            let message = format!(
                "the startup probe of {name} grants {granted} s < 1.5 × {p95} s, the 95th percentile of {} starts",
                seen.len()
            );
            let finding = finding(message).severity(Severity::High);
            findings.push(finding.set(&carrier, at, enough(p95 * 3)));
        }
        return;
    }
    let image = &member.container.image;
    if granted < JVM && is_slow(image) {
        let message =
            format!("the startup probe of {name} grants {granted} s < {JVM} s, and image {image} looks like a JVM");
        let finding = finding(message).proof(Proof::Hint).set(&carrier, at, enough(JVM));
        findings.push(finding.assuming("a JVM takes half a minute to start"));
    }
}

/// Returns the observed starts of a template's container, in seconds, the shortest first.
fn observed(context: &Context<'_>, carrier: &Carrier<'_>, container: &str) -> Vec<i64> {
    let facts = context.facts;
    let uid = &carrier.object.meta().uid;
    if uid.is_empty() || facts.pods().is_empty() || facts.owned_by(carrier.object).next().is_none() {
        return Vec::new();
    }
    World::of(facts).starts(uid, container).to_vec()
}

fn huge<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let Some(startup) = staying(context, &carrier, &member).into_iter().find(|probe| probe.kind == ProbeKind::Startup)
    else {
        return;
    };
    let (granted, container) = (startup.timing.granted(), member.container);
    let limits =
        container.resources.iter().flat_map(|resources| resources.limits.keys().chain(resources.requests.keys()));
    let accelerated =
        limits.into_iter().any(|name| name.ends_with("/gpu") || name.contains("tpu") || name.contains("neuron"));
    if granted <= HUGE || accelerated || words(&container.image).any(|word| MODELS.contains(&word)) {
        return;
    }
    let message = format!(
        "the startup probe of {} grants {} min > 30 min: a start that hangs goes unnoticed",
        container.name,
        granted / 60
    );
    let finding = about(context, &carrier, &member, &startup, message);
    let finding = finding.number(&carrier, &member, ProbeKind::Startup, "failureThreshold", startup.timing.failure);
    findings.push(finding.number(&carrier, &member, ProbeKind::Startup, "periodSeconds", startup.timing.period));
}

fn deployment<'a>(context: &Context<'a>, carrier: &Carrier<'a>) -> Option<&'a Of<kinds::Deployment>> {
    if carrier.object.fact() == Fact::Deployment { find(context.facts.deployments(), carrier) } else { None }
}

fn deadline<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(spec) = deployment(context, &carrier).and_then(|deployment| deployment.spec.as_ref()) else { return };
    let deadline = i64::from(spec.progress_deadline_seconds.unwrap_or(600));
    let ready_for = i64::from(spec.min_ready_seconds);
    let starts = |member: Member<'a>| (budget(&member), to_ready(&member), member);
    let slowest =
        members(carrier.spec).filter(Member::is_gating).map(starts).max_by_key(|(granted, ready, _)| granted + ready);
    let Some((granted, ready, member)) = slowest.filter(|(granted, ready, _)| deadline < granted + ready + ready_for)
    else {
        return;
    };
    let needs = granted + ready + ready_for;
    let message = format!(
        "progressDeadlineSeconds {deadline} < {granted} + {ready} + {ready_for} = {needs} s that {} may take to start, become ready and stay so",
        member.container.name
    );
    let finding = context.finding(carrier.object, message).evidence("/spec/progressDeadlineSeconds", deadline);
    findings.push(finding.set(&carrier, "/spec/progressDeadlineSeconds".to_owned(), needs + 60));
}

/// Returns a number or a share of a number of pods.
fn share(value: Option<&IntOrString>, of: i32, up: bool) -> Option<i32> {
    let text = value?.to_string();
    match text.strip_suffix('%') {
        None => text.parse().ok(),
        Some(percent) => {
            let whole = percent.parse::<i32>().ok()?.checked_mul(of)?;
            Some(if up { whole.div_euclid(100) + i32::from(whole % 100 != 0) } else { whole / 100 })
        }
    }
}

fn flaps_through<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let Some(spec) = deployment(context, &carrier).and_then(|deployment| deployment.spec.as_ref()) else { return };
    let Some(update) = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref()) else { return };
    let Some(count) = replicas(context.facts, &carrier).filter(|_| spec.min_ready_seconds == 0) else { return };
    let unavailable = share(update.max_unavailable.as_ref(), count, false);
    let surge = share(update.max_surge.as_ref(), count, true);
    let (Some(unavailable), Some(surge)) = (unavailable, surge) else { return };
    // With neither, one pod may be missing.
    let unavailable = if unavailable == 0 && surge == 0 { 1 } else { unavailable };
    if unavailable == 0 {
        return;
    }
    let routing = routing(context.facts, &carrier);
    for member in asked(context, &carrier) {
        let found = probe(&member, carrier.spec, ProbeKind::Readiness);
        let Some(readiness) = found.filter(|probe| probe.timing.success == 1) else { continue };
        if !routing.to(member.container).any(|route| !route.is_telemetry()) {
            continue;
        }
        let longest = readiness.timing.longest();
        let message = format!(
            "{unavailable} of {count} pods may be missing, minReadySeconds is 0, and one success makes {} ready: a version that answers once replaces all",
            member.container.name
        );
        let finding = about(context, &carrier, &member, &readiness, message).evidence("/spec/minReadySeconds", 0);
        findings.push(finding.set(&carrier, "/spec/minReadySeconds".to_owned(), longest));
    }
}
