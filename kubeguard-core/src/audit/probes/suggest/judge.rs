//! The rules over a template that is not there yet.

use super::Wish;
use crate::audit::facts::{Carrier, Facts};
use crate::audit::probes::RULES;
use crate::audit::probes::sidecars::of_template;
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Findings, Rule};
use crate::pods::{Class, members};

/// What a rule said.
#[derive(Debug, Clone)]
pub(super) struct Fired {
    pub(super) rule: &'static str,
    pub(super) container: Option<String>,
    pub(super) probe: Option<&'static str>,
    pub(super) severity: Severity,
}

/// Rules about probes that observed starts and deadlines decide: [`super::build`] keeps them by its numbers; and rules
/// about hooks and rollouts, which no probe mends.
const OTHERS: &[&str] = &["PA308", "PA314", "PA315", "PA316", "PA317"];

/// Returns what the rules about one container's own probes say of a template.
pub(super) fn judged(facts: &Facts, carrier: Carrier<'_>, wish: Wish<'_>) -> Vec<Fired> {
    let about = |rule: &&'static Rule| {
        let family = ["PA1", "PA2", "PA3", "PA40"].iter().any(|begin| rule.id.starts_with(begin));
        family && !rule.opt_in && !OTHERS.contains(&rule.id)
    };
    let mut fired = Vec::new();
    for rule in RULES.iter().filter(about) {
        let context = Context { facts, policy: wish.policy, now: wish.now, rule };
        let mut findings = Findings::default();
        match rule.check {
            Check::Template(check) => check(&context, carrier, &mut findings),
            Check::Container(check) => {
                for member in members(carrier.spec).filter(|member| member.class != Class::Ephemeral) {
                    check(&context, carrier, member, &mut findings);
                }
            }
            _ => of_template(&context, carrier, &mut findings),
        }
        fired.extend(findings.drafts.into_iter().map(|draft| Fired {
            rule: rule.id,
            container: draft.container,
            probe: draft.probe,
            severity: draft.proof.min(rule.proof).caps(draft.severity),
        }));
    }
    fired
}
