//! Templates that say themselves that their pods never end.

use super::shell;
use super::view::{in_files, is_template};
use crate::audit::facts::Carrier;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Fold, Rule};
use crate::pods::{Class, Member, members, restarts};

/// What holds templates of batch pods.
pub(super) const TEMPLATES: &[Need] = &[Need::decides(Fact::Job).or_none(), Need::decides(Fact::CronJob).or_none()];

pub(super) const ZJ104: Rule = Rule {
    id: "ZJ104",
    name: "container-level-always",
    severity: Severity::Critical,
    fold: Fold::Job,
    needs: TEMPLATES,
    summary: "a container of a job is started again even when it succeeds",
    why: "its own restart policy or rules win over the pod's: the pod never ends",
    remedy: "take the container's restartPolicy out, or move the container to initContainers",
    traps: &["a native sidecar is started again by design", "a rule that restarts failures alone lets success end"],
    links: &["https://github.com/kubernetes/enhancements/issues/5307"],
    check: Check::Container(always),
    ..Rule::BASE
};

pub(super) const ZJ105: Rule = Rule {
    id: "ZJ105",
    name: "endless-main",
    severity: Severity::Low,
    proof: Proof::Hint,
    fold: Fold::Job,
    needs: TEMPLATES,
    summary: "the only container of a job runs a command that never ends",
    why: "a job ends when its containers end",
    remedy: "run a server as a Deployment, or end the command",
    traps: &["a sleep with a number ends", "beside other containers it may be ended by them"],
    check: Check::Template(endless),
    ..Rule::BASE
};

/// The version that knows restart policies of containers.
const CONTAINER_POLICIES: crate::audit::facts::Version = (1, 34);

fn always<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    if !is_template(context.facts, &carrier) || !carrier.is_batch() || member.class != Class::Regular {
        return;
    }
    let container = member.container;
    if !restarts(member, carrier.spec, 0) {
        return;
    }
    let at = format!("{}{}", carrier.path, member.path());
    // A server that keeps the field honours it; an older one drops it from what is applied.
    let dropped = in_files(context) && context.version() < CONTAINER_POLICIES;
    let (severity, then) = if dropped {
        (Severity::Info, "this server drops the field")
    } else {
        (Severity::Critical, "the job never ends")
    };
    let message = format!("container {} is started again after exit code 0: {then}", container.name);
    let draft = context.container(carrier, member, message).severity(severity);
    let matching = container.restart_policy_rules.iter().position(|rule| {
        let codes = rule.exit_codes.as_ref();
        codes.is_some_and(|codes| (codes.operator == "In") == codes.values.contains(&0))
    });
    findings.push(if let Some(index) = matching {
        let action = container.restart_policy_rules.get(index).map(|rule| rule.action.clone());
        draft.evidence(format!("{at}/restartPolicyRules/{index}/action"), action.unwrap_or_default())
    } else {
        let field = format!("{at}/restartPolicy");
        let removal = serde_json::json!({"op": "remove", "path": field});
        draft.evidence(field, container.restart_policy.as_str()).patch(removal)
    });
}

fn endless<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if !is_template(context.facts, &carrier) || !carrier.is_batch() {
        return;
    }
    let [container] = carrier.spec.containers.as_slice() else { return };
    let Some(member) = members(carrier.spec).find(|member| member.class == Class::Regular) else { return };
    let Some(why) = shell::endless(&container.command, &container.args) else { return };
    let message = format!("container {} runs {why:?}, which never ends: the job never completes", container.name);
    let list = if container.command.is_empty() { "args" } else { "command" };
    let path = format!("{}{}/{list}", carrier.path, member.path());
    findings.push(context.container(carrier, member, message).evidence(path, why));
}
