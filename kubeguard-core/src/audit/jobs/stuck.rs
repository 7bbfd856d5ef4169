//! Jobs that will not end: what rules about CronJobs ask.

use super::view::{JobState, state};
use super::{endless, leaving, native, nodes, starting, uncreated};
use crate::audit::facts::{Carrier, Of};
use crate::audit::kinds::Job;
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Rule};
use crate::pods::members;

/// Rules whose findings mean that a job is stuck.
static RULES: &[Rule] = &[
    super::held::ZJ101,
    super::held::ZJ102,
    super::held::ZJ103,
    endless::ZJ104,
    endless::ZJ105,
    native::ZJ106,
    native::ZJ107,
    starting::ZJ201,
    starting::ZJ202,
    starting::ZJ203,
    starting::ZJ204,
    starting::ZJ205,
    uncreated::ZJ206,
    uncreated::ZJ207,
    leaving::ZJ301,
    nodes::ZJ302,
    leaving::ZJ303,
    leaving::ZJ304,
    leaving::ZJ305,
    leaving::ZJ306,
];

/// Why a job is stuck.
#[derive(Debug, Clone)]
pub(super) struct Stuck {
    /// The strongest finding's rule.
    pub(super) rule: &'static str,
    /// How sure that is.
    pub(super) proof: Proof,
    /// How much it hurts.
    pub(super) severity: Severity,
    /// What it says.
    pub(super) message: String,
}

/// Returns the strongest finding of families 1 to 3 about a job that has not finished.
pub(super) fn stuck<'a>(context: &Context<'a>, job: &'a Of<Job>) -> Option<Stuck> {
    if matches!(state(job), JobState::Finished(_) | JobState::Suspended | JobState::ExternallyManaged(_)) {
        return None;
    }
    let mut best: Option<Stuck> = None;
    for found in all(context, job) {
        if best.as_ref().is_none_or(|best| (found.proof, found.severity) > (best.proof, best.severity)) {
            best = Some(found);
        }
    }
    best
}

/// Returns what families 1 to 3 say of a job, rule by rule.
pub(super) fn all<'a>(context: &Context<'a>, job: &'a Of<Job>) -> Vec<Stuck> {
    let of_rule = |rule: &'static Rule| {
        let mut found = Findings::default();
        judge(&Context { rule, ..*context }, job, &mut found);
        found.drafts.into_iter().map(|draft| {
            let proof = draft.proof.min(rule.proof);
            Stuck { rule: rule.id, proof, severity: proof.caps(draft.severity), message: draft.message }
        })
    };
    RULES.iter().flat_map(of_rule).collect()
}

/// Returns whether findings of a rule mean that a job is stuck.
pub(super) fn is_about(rule: &str) -> bool {
    RULES.iter().any(|known| known.id == rule)
}

fn judge<'a>(context: &Context<'a>, job: &'a Of<Job>, found: &mut Findings<'a>) {
    match context.rule.check {
        Check::Pod(check) => context.facts.pods_of(job).for_each(|pod| check(context, pod, found)),
        Check::Job(check) => check(context, job, found),
        Check::Template(check) => Carrier::of(job).into_iter().for_each(|carrier| check(context, carrier, found)),
        Check::Container(check) => {
            if let Some(carrier) = Carrier::of(job) {
                members(carrier.spec).for_each(|member| check(context, carrier, member, found));
            }
        }
        Check::Cluster(_) if context.rule.id == leaving::ZJ304.id => {
            leaving::foreign_job(context, job, found);
            context.facts.pods_of(job).for_each(|pod| leaving::foreign_pod(context, pod, found));
        }
        _ => {}
    }
}
