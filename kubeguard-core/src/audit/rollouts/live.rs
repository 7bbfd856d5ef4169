//! ROLL-014, ROLL-016 and ROLL-017: rollouts as they are going on.

use jiff::{SignedDuration, Timestamp};

use super::{CHANGES, PACED, Rolled, grace, grace_path, shown};
use crate::audit::facts::{Carrier, Object, Pod};
use crate::audit::needs::{Fact, Need};
use crate::audit::report::Proof;
use crate::audit::rule::{Check, Context, Findings, Fold, Rule};
use crate::models::{Calculation, Input};

const REVISIONS: &[Need] = &[Need::decides(Fact::Deployment).or_none(), Need::decides(Fact::ReplicaSet).or_none()];
const PODS: &[Need] = &[Need::decides(Fact::Pod)];

/// So long after its time a pod that is still there is stuck.
const STUCK: SignedDuration = SignedDuration::from_secs(30);

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "ROLL-014",
        name: "fleet-pace",
        proof: Proof::Model,
        summary: "all rollouts together change endpoints faster than clients can follow",
        why: "every proxy and every node is told of every change: all of them fall behind",
        remedy: "let deploys wait for each other",
        traps: &["a large set without a service"],
        needs: PACED,
        check: Check::Cluster(fleet),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-016",
        name: "back-to-back-deploys",
        summary: "two changes of a template are closer than the grace period",
        why: "pods of three revisions exist at once: N more for each deploy within the grace period",
        remedy: "wait until a rollout has settled before the next one",
        traps: &["a rollback"],
        needs: REVISIONS,
        check: Check::Template(back_to_back),
        ..Rule::BASE
    },
    Rule {
        id: "ROLL-017",
        name: "stuck-drain",
        fold: Fold::Pod,
        summary: "a pod should be gone and is still there",
        why: "its place and its address stay taken, and a rollout that waits for it never ends",
        remedy: "look at its finalizers and at its node",
        traps: &["a deletion that is not due yet"],
        needs: PODS,
        check: Check::Pod(stuck),
        ..Rule::BASE
    },
];

fn fleet<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let mut all = Vec::new();
    for carrier in context.facts.carriers() {
        let Some(rolled) = Rolled::routed(context, carrier) else { continue };
        let Some(status) = &rolled.deployment.status else { continue };
        let unseen = rolled.deployment.meta.generation.is_some_and(|now| now > status.observed_generation.unwrap_or(0));
        if !unseen && status.updated_replicas >= status.replicas {
            continue;
        }
        let wave = rolled.pace(context).wave().as_secs_f64().max(1.0);
        all.push((3.0 * f64::from(rolled.replaced()) / wave, rolled));
    }
    let sum: f64 = all.iter().map(|(changes, _)| changes).sum();
    let budget = context.policy.thresholds.share(&CHANGES);
    let Some((_, worst)) = all.iter().max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|_| sum > budget) else { return };
    let inequality = format!("{sum:.0} changes of endpoints in a second > {budget:.0}");
    let calculation = Calculation::new(inequality.clone())
        .with("changes", &Input::default(sum, "3 for each replaced pod, by wave"))
        .with("rollouts", &Input::default(u64::try_from(all.len()).unwrap_or(u64::MAX), "in progress"))
        .flip("fewer rollouts at the same time");
    let message = format!("{} rollouts at the same time make {inequality}; this one the most", all.len());
    let finding = context.finding(worst.carrier.object, message).calculation(&calculation);
    findings.push(
        finding.evidence("/status/updatedReplicas", worst.deployment.status.as_ref().map(|s| s.updated_replicas)),
    );
}

fn back_to_back<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if carrier.object.fact() != Fact::Deployment {
        return;
    }
    let made = context.facts.owned_by(carrier.object).filter(|child| child.fact() == Fact::ReplicaSet);
    let mut times: Vec<(Timestamp, &'a dyn Object)> = made.filter_map(|set| Some((set.meta().created?, set))).collect();
    times.sort_by_key(|(at, set)| (std::cmp::Reverse(*at), set.meta().name.clone()));
    let [(last, set), (before, _), ..] = times.as_slice() else { return };
    let (apart, grace) = (last.duration_since(*before), SignedDuration::from_secs(grace(&carrier)));
    if apart >= grace {
        return;
    }
    let inequality = format!("two deploys {} apart < grace {}", shown(apart), shown(grace));
    let sum = Calculation::new(inequality.clone())
        .with("apart", &Input::object(apart, "/metadata/creationTimestamp"))
        .with("grace", &Input::object(grace, grace_path(&carrier)))
        .flip(format!("{} between deploys", shown(grace)));
    let finding = context.finding(carrier.object, format!("{inequality}: pods of three revisions exist at once"));
    let finding = finding.calculation(&sum).since(Some(*last));
    findings.push(finding.evidence_of(*set, "/metadata/creationTimestamp", last.to_string()));
}

fn stuck<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(due) = pod.meta.deleted.filter(|due| context.held(Some(*due), STUCK)) else { return };
    let late = SignedDuration::from_secs(context.age(due).as_secs());
    let inequality = format!("{} after its time > {}", shown(late), shown(STUCK));
    let sum = Calculation::new(inequality.clone())
        .with("late", &Input::object(late, "/metadata/deletionTimestamp"))
        .with("allowed", &Input::default(STUCK, "hold time"));
    let kept = match &*pod.meta.finalizers {
        [] => String::new(),
        names => format!(", kept by {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    let finding = context.finding(pod, format!("still there {inequality}{kept}")).calculation(&sum).since(Some(due));
    findings.push(finding.evidence("/metadata/deletionTimestamp", due.to_string()));
}
