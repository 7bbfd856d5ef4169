//! ROLL-013 and ROLL-015: services whose settings undo what a rollout takes care of.

use super::share;
use crate::audit::facts::{Object, Of};
use crate::audit::kinds::Service;
use crate::audit::needs::{Fact, Need};
use crate::audit::rule::{Check, Context, Findings, Fold, Rule};
use crate::models::{Calculation, Input};
use crate::scheduling::Round;

const LOCAL: &[Need] = &[Need::decides(Fact::Service), Need::decides(Fact::DaemonSet).or_none()];
const PUBLISHED: &[Need] = &[Need::decides(Fact::Service)];

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "ROLL-013",
        name: "local-traffic-gap",
        fold: Fold::Itself,
        summary: "a service keeps traffic on its node, and a rollout leaves nodes without a pod",
        why: "clients of that node reach nothing until the new pod is ready",
        remedy: "let the DaemonSet surge, where it uses no host port",
        traps: &["the daemon set surges"],
        needs: LOCAL,
        check: Check::Service(local),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-015",
        name: "published-unready",
        fold: Fold::Itself,
        summary: "a service with a cluster IP publishes addresses that are not ready",
        why: "it sends traffic to pods that cannot take it yet, in every rollout",
        remedy: "publish them by a second, headless service",
        traps: &["headless discovery of peers"],
        needs: PUBLISHED,
        check: Check::Service(published),
        ..Rule::BASE
    },
];

fn local<'a>(context: &Context<'a>, service: &'a Of<Service>, findings: &mut Findings<'a>) {
    let Some(spec) = &service.spec else { return };
    let (inside, outside) = (spec.internal_traffic_policy == "Local", spec.external_traffic_policy == "Local");
    if spec.selector.is_empty() || !(inside || outside) {
        return;
    }
    let field = if inside { "internalTrafficPolicy" } else { "externalTrafficPolicy" };
    for set in context.facts.daemon_sets() {
        let Some(template) = &set.template else { continue };
        let selected = spec.selector.iter().all(|(key, value)| template.labels.get(key) == Some(value));
        if set.meta.namespace != service.meta.namespace || !selected {
            continue;
        }
        let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        let Some(strategy) = strategy.filter(|strategy| strategy.r#type == "RollingUpdate") else { continue };
        let update = strategy.rolling_update.as_ref();
        // Of any number: whether it is none is all that counts.
        let surge = share(update.and_then(|update| update.max_surge.as_ref()), 100, Round::Up);
        let missing =
            update.and_then(|update| update.max_unavailable.as_ref()).map_or(1, |n| share(Some(n), 100, Round::Up));
        if surge > 0 || missing <= 0 {
            continue;
        }
        let inequality = format!("maxSurge {surge} = 0 and maxUnavailable > 0 of DaemonSet {}", set.meta.name);
        let sum = Calculation::new(inequality.clone())
            .with("surge", &Input::object(surge, "/spec/updateStrategy/rollingUpdate/maxSurge"))
            .flip("maxSurge at least 1 with maxUnavailable 0");
        let message = format!("{field} is Local, and {inequality}: each node is without a pod for a while");
        let finding = context.finding(service, message).key(set.meta.name.to_string()).calculation(&sum);
        let finding = finding.evidence(format!("/spec/{field}"), "Local");
        findings.push(finding.evidence_of(set as &dyn Object, "/spec/updateStrategy", surge));
    }
}

fn published<'a>(context: &Context<'a>, service: &'a Of<Service>, findings: &mut Findings<'a>) {
    let Some(spec) = &service.spec else { return };
    let has_address = spec.cluster_ip != "None" && spec.r#type != "ExternalName";
    if !spec.publish_not_ready_addresses || !has_address || spec.selector.is_empty() {
        return;
    }
    let message = format!("service {} has a cluster IP and publishes addresses that are not ready", service.meta.name);
    findings.push(context.finding(service, message).evidence("/spec/publishNotReadyAddresses", true));
}
