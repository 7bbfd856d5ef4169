//! PA401 to PA403 and PA405: what a container that is not the work does to its pod, in templates and, where a webhook
//! added it, in pods.

use std::collections::{BTreeMap, BTreeSet};

use super::handlers::is_remote;
use super::model::probe;
use super::pods::{World, carried, workload};
use super::routing::{declared, is_exposed, services};
use super::{EXPOSED, ProbeKind, ROUTED, TEMPLATES, about, asked, below, class, find, listed};
use crate::audit::facts::{Carrier, Facts, Of, Pod, Port, resolve};
use crate::audit::kinds::Service;
use crate::audit::needs::Fact;
use crate::audit::report::{ObjectName, Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Rule, absorbs};
use crate::audit::text::Text;
use crate::pods::{Class, Criticality, Member, members};

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA401",
        name: "noncritical-gates-pod",
        severity: Severity::High,
        absorbs: &[absorbs("PA402")],
        summary: "a container whose loss should not matter has a readiness probe in a pod that gets traffic",
        why: "when its sink is down, the whole fleet leaves its services",
        remedy: "remove its readiness probe",
        traps: &["a proxy in the data path", "a helper that the work needs"],
        links: &["https://github.com/kubernetes/kubernetes/issues/95193"],
        needs: EXPOSED,
        check: Check::Cluster(everywhere),
        ..Rule::BASE
    },
    Rule {
        id: "PA402",
        name: "noncritical-can-crash-pod",
        summary: "a container whose loss should not matter stands in a pod that gets traffic",
        why: "its crash alone makes the pod unready; no field prevents it, and a native sidecar is no better",
        remedy: "move it to a DaemonSet or node agent; else merge it into the proxy, or run it under a supervisor that never exits",
        links: &["https://github.com/kubernetes/kubernetes/issues/142145"],
        needs: ROUTED,
        check: Check::Cluster(everywhere),
        ..Rule::BASE
    },
    Rule {
        id: "PA403",
        name: "noncritical-liveness",
        severity: Severity::High,
        summary: "a container whose loss should not matter is restarted when something outside of the pod is down",
        why: "while it restarts, the pod is unready",
        remedy: "remove its liveness probe",
        traps: &["a check of the container itself"],
        needs: TEMPLATES,
        check: Check::Cluster(everywhere),
        ..Rule::BASE
    },
    Rule {
        id: "PA405",
        name: "native-startup-blocks",
        summary: "the start of a native sidecar waits for what comes later, or for longer than the rollout's deadline",
        why: "the pod never initialises: other containers start only after it",
        remedy: "let its startup probe ask a port of its own, with a budget below the deadline",
        needs: TEMPLATES,
        check: Check::Cluster(everywhere),
        ..Rule::BASE
    },
];

/// Templates, and of each workload the newest pod where a webhook added containers: those alone are then judged.
struct Subject<'a> {
    carrier: Carrier<'a>,
    added: Option<Vec<&'a str>>,
}

impl Subject<'_> {
    fn is_about(&self, member: &Member<'_>) -> bool {
        self.added.as_ref().is_none_or(|added| added.contains(&member.container.name.as_str()))
    }
}

/// Returns the containers of a pod that its owner's template lacks; none where that template is not known.
fn added<'a>(facts: &'a Facts, pod: &'a Pod) -> Vec<&'a str> {
    let Some(template) = facts.made_from(pod) else { return Vec::new() };
    let known = |name: &str| members(template).any(|member| member.container.name == name);
    let all = members(&pod.spec).filter(Member::is_gating).map(|member| member.container.name.as_str());
    all.filter(|name| !known(name)).collect()
}

fn subjects<'a>(context: &Context<'a>) -> Vec<Subject<'a>> {
    let facts = context.facts;
    let mut all: Vec<Subject<'a>> = facts.carriers().map(|carrier| Subject { carrier, added: None }).collect();
    let mut newest: BTreeMap<Text, &'a Pod> = BTreeMap::new();
    for pod in World::of(facts).pods.into_iter().filter(|pod| pod.meta.owner.is_some()) {
        let key = |pod: &Pod| (pod.meta.created, pod.meta.name.clone());
        let entry = newest.entry(workload(facts, pod)).or_insert(pod);
        if key(pod) > key(entry) {
            *entry = pod;
        }
    }
    for pod in newest.into_values() {
        let added = added(facts, pod);
        if !added.is_empty() {
            all.push(Subject { carrier: carried(pod), added: Some(added) });
        }
    }
    all
}

pub(super) fn noncritical<'a>(context: &Context<'a>, carrier: &Carrier<'a>) -> Vec<(Member<'a>, Proof)> {
    let all = asked(context, carrier);
    // Where nothing else is in the pod, it is the work.
    let classes: Vec<_> = all.iter().map(|member| class(context, carrier, member.container)).collect();
    let is_all = classes
        .iter()
        .zip(&all)
        .all(|((class, _), member)| *class == Criticality::NonCritical || member.class != Class::Regular);
    if is_all {
        return Vec::new();
    }
    let each = all.into_iter().zip(classes);
    each.filter(|(_, (class, _))| *class == Criticality::NonCritical)
        .map(|(member, (_, proof))| (member, proof))
        .collect()
}

fn names<'a>(services: &[&'a Of<Service>]) -> Vec<&'a str> {
    services.iter().map(|service| &*service.meta.name).collect()
}

/// Returns whether a service has no pods but those of this template.
fn alone(context: &Context<'_>, carrier: &Carrier<'_>, service: &Of<Service>) -> bool {
    let facts = context.facts;
    let own: Vec<ObjectName> = facts.chain(carrier.object).into_iter().map(|link| link.name).collect();
    let mut others = facts.carriers().filter(|other| {
        other.object.meta().namespace == service.meta.namespace && !own.contains(&other.object.object_name())
    });
    !others.any(|other| {
        facts.services_of(&service.meta.namespace, other.labels).any(|known| known.meta.name == service.meta.name)
    })
}

/// Judges one subject by one of the rules.
type Judge = for<'a> fn(&Context<'a>, &Subject<'a>, &mut Findings<'a>);

/// The rules by their ids: a template that is not there yet is judged by them too.
const JUDGES: &[(&str, Judge)] =
    &[("PA401", gates_pod), ("PA402", crashes_pod), ("PA403", restarts_pod), ("PA405", blocks_pod)];

/// Judges every subject by the rule of the context.
fn everywhere<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let Some((_, judge)) = JUDGES.iter().find(|(id, _)| *id == context.rule.id) else { return };
    for subject in subjects(context) {
        judge(context, &subject, findings);
    }
}

/// Judges a template by the rule of the context, where it is one of these.
pub(super) fn of_template<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if let Some((_, judge)) = JUDGES.iter().find(|(id, _)| *id == context.rule.id) {
        judge(context, &Subject { carrier, added: None }, findings);
    }
}

fn gates_pod<'a>(context: &Context<'a>, subject: &Subject<'a>, findings: &mut Findings<'a>) {
    let carrier = subject.carrier;
    let services = services(context.facts, &carrier);
    if services.is_empty() {
        return;
    }
    for (member, proof) in noncritical(context, &carrier).into_iter().filter(|(member, _)| subject.is_about(member)) {
        let container = member.container;
        if container.readiness_probe.is_none() {
            continue;
        }
        let exposed =
            services.iter().any(|service| is_exposed(context.facts, service) && alone(context, &carrier, service));
        let severity = if exposed { Severity::Critical } else { Severity::High };
        let message = format!(
            "readiness of {}: when what it reports to is down, every pod leaves {}",
            container.name,
            listed(&names(&services))
        );
        let at = below(&carrier, &member, ProbeKind::Readiness, "");
        let finding = context.container(carrier, member, message).severity(severity).proof(proof);
        findings.push(finding.evidence(at.clone(), serde_json::json!({})).unset(&carrier, at));
    }
}

fn crashes_pod<'a>(context: &Context<'a>, subject: &Subject<'a>, findings: &mut Findings<'a>) {
    let carrier = subject.carrier;
    let services = services(context.facts, &carrier);
    if services.is_empty() {
        return;
    }
    for (member, proof) in noncritical(context, &carrier).into_iter().filter(|(member, _)| subject.is_about(member)) {
        let name = &member.container.name;
        let message = format!("a crash of {name} alone takes the pod out of {}", listed(&names(&services)));
        let at = format!("{}{}/name", carrier.path, member.path());
        findings.push(context.container(carrier, member, message).proof(proof).evidence(at, name.as_str()));
    }
}

fn restarts_pod<'a>(context: &Context<'a>, subject: &Subject<'a>, findings: &mut Findings<'a>) {
    for member in members(subject.carrier.spec).filter(|member| subject.is_about(member)) {
        restarts(context, subject.carrier, member, findings);
    }
}

fn restarts<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let found = probe(&member, carrier.spec, ProbeKind::Liveness).filter(|_| member.is_gating());
    let Some(liveness) = found.filter(|probe| is_remote(probe, member.container)) else { return };
    let Some((_, proof)) =
        noncritical(context, &carrier).into_iter().find(|(other, _)| std::ptr::eq(other.container, member.container))
    else {
        return;
    };
    let message =
        format!("{} is restarted when {} fails: the pod is unready meanwhile", member.container.name, liveness.told());
    let at = below(&carrier, &member, ProbeKind::Liveness, "");
    let finding = about(context, &carrier, &member, &liveness, message).proof(proof);
    findings.push(finding.evidence(at.clone(), serde_json::json!({})).unset(&carrier, at));
}

fn blocks_pod<'a>(context: &Context<'a>, subject: &Subject<'a>, findings: &mut Findings<'a>) {
    for member in members(subject.carrier.spec).filter(|member| subject.is_about(member)) {
        blocks(context, subject.carrier, member, findings);
    }
}

fn blocks<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    if member.class != Class::NativeSidecar || super::ends(context.facts, &carrier) {
        return;
    }
    let Some(startup) = probe(&member, carrier.spec, ProbeKind::Startup) else { return };
    let container = member.container;
    let chain = context.facts.chain(carrier.object);
    let root = chain.last().and_then(|link| link.object).and_then(Carrier::of);
    let deployment = root.filter(|root| root.object.fact() == Fact::Deployment);
    let deployment = deployment.and_then(|root| find(context.facts.deployments(), &root));
    let deadline =
        deployment.and_then(|found| Some((found, found.spec.as_ref()?.progress_deadline_seconds.map(i64::from)?)));
    let granted = startup.timing.granted();
    let at = |field: &str| below(&carrier, &member, ProbeKind::Startup, field);
    if let Some((deployment, deadline)) = deadline.filter(|(_, deadline)| granted >= *deadline) {
        let message = format!(
            "native sidecar {} may take {granted} s ≥ {deadline} s, the rollout's deadline, and nothing starts before it has",
            container.name
        );
        let finding = about(context, &carrier, &member, &startup, message);
        let finding = finding.evidence_of(deployment, "/spec/progressDeadlineSeconds", deadline);
        findings.push(finding.evidence(at("failureThreshold"), startup.timing.failure));
        return;
    }
    let Some((port, field)) = startup.port().filter(|_| startup.host().is_none()) else { return };
    let Port::Number(number) = resolve(&port, container) else { return };
    let holders: BTreeSet<Class> = members(carrier.spec)
        .filter(|other| declared(other.container, number).is_some())
        .map(|other| other.class)
        .collect();
    if holders.len() == 1 && holders.contains(&Class::Regular) {
        let message = format!(
            "native sidecar {} waits for port {number}, which only a container that starts after it declares",
            container.name
        );
        findings.push(about(context, &carrier, &member, &startup, message).evidence(at(field), number));
    }
}
