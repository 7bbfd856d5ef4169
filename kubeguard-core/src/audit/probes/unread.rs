//! Probes that no rule can judge: the API rejects them, or a mesh has rewritten them beyond recognition. What is not
//! judged is named.

use std::collections::BTreeSet;

use super::is_over;
use super::model::{self, ProbeKind};
use super::pods::carried;
use crate::audit::facts::{Carrier, Facts, Pod};
use crate::audit::kinds::Probe as Raw;
use crate::audit::rule::{Check, Policy, Rule};
use crate::pods::{Class, Member, members};

/// Returns why probes could not be judged, one sentence each with file, line and path, sorted; empty where no rule of
/// the family that reads probes ran.
pub(in crate::audit) fn unread(facts: &Facts, ran: &[&Rule], policy: &Policy) -> Vec<String> {
    let reads = |rule: &&Rule| rule.family() == "PA" && matches!(rule.check, Check::Template(_) | Check::Container(_));
    if !ran.iter().any(reads) {
        return Vec::new();
    }
    let mut found = BTreeSet::new();
    for carrier in facts.carriers().filter(|carrier| policy.wants(facts, carrier.object) && !is_over(facts, carrier)) {
        of_carrier(&carrier, &carrier.object.object_name().to_string(), &mut found);
    }
    // A mesh rewrites pods, not what makes them: of many alike one is named.
    let mut seen = BTreeSet::new();
    for pod in
        facts.pods().iter().filter(|pod| pod.meta.owner.is_some() && is_rewritten(pod) && policy.wants(facts, *pod))
    {
        let root = facts.chain(pod).last().map(|link| link.name.to_string());
        if !pod.is_over() && seen.insert(root) {
            of_carrier(&carried(pod), &format!("pod/{}", pod.meta.name), &mut found);
        }
    }
    found.into_iter().collect()
}

fn raw<'a>(member: &Member<'a>) -> impl Iterator<Item = (ProbeKind, &'a Raw)> + use<'a> {
    let container = member.container;
    [
        (ProbeKind::Liveness, &container.liveness_probe),
        (ProbeKind::Readiness, &container.readiness_probe),
        (ProbeKind::Startup, &container.startup_probe),
    ]
    .into_iter()
    .filter_map(|(kind, probe)| Some((kind, probe.as_ref()?)))
}

fn is_rewritten(pod: &Pod) -> bool {
    let asks = |(_, probe): (ProbeKind, &Raw)| {
        probe.handler.http_get.as_ref().is_some_and(|get| model::is_rewritten(get, &pod.spec))
    };
    members(&pod.spec).any(|member| raw(&member).any(asks))
}

fn of_carrier(carrier: &Carrier<'_>, name: &str, found: &mut BTreeSet<String>) {
    // An init container that ends may have no probe at all; another rule says so.
    for member in members(carrier.spec).filter(|member| member.class != Class::Init) {
        for (kind, probe) in raw(&member) {
            let Err(why) = model::read(kind, probe, carrier.spec) else { continue };
            let path = super::below(carrier, &member, kind, "");
            let place =
                carrier.object.line_of(&path).map_or_else(String::new, |at| format!("{}:{}: ", at.file, at.line));
            let namespace = &carrier.object.meta().namespace;
            found.insert(format!(
                "{place}{} probe of container {} of {name} in namespace {namespace} cannot be judged: {why} ({path})",
                kind.word(),
                member.container.name
            ));
        }
    }
}
