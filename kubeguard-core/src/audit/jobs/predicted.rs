//! What manifests say of the end of their jobs.

use super::endless::TEMPLATES;
use super::ladder::switched;
use super::outcome::is_flag;
use super::shell::{self, Loss, loses};
use super::view::{as_job, is_template};
use crate::audit::facts::Carrier;
use crate::audit::kinds::{Container, PodSpec};
use crate::audit::needs::{BATCH_PODS, Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Fold, Rule};
use crate::pods::{Class, Member, Quit, Sidecar, members};

pub(super) const ZJ702: Rule = Rule {
    id: "ZJ702",
    name: "quit-hook-loses-exit-code",
    severity: Severity::High,
    fold: Fold::Job,
    needs: TEMPLATES,
    summary: "a command asks a sidecar to quit in a way that loses the exit code of the work",
    why: "after a failure the sidecar is never asked and the pod hangs, or the failure is reported as success",
    remedy: "keep the code: app; x=$?; curl -X POST …/quitquitquit; exit $x; or trap '…' EXIT",
    traps: &[
        "a saved exit code is kept",
        "a trap runs after success and failure",
        "a script that cannot be read for certain",
    ],
    check: Check::Container(hook),
    ..Rule::BASE
};

pub(super) const ZJ703: Rule = Rule {
    id: "ZJ703",
    name: "quit-endpoint-disabled",
    severity: Severity::High,
    proof: Proof::Model,
    fold: Fold::Job,
    needs: &[
        Need::decides(Fact::Job).or_none(),
        Need::decides(Fact::CronJob).or_none(),
        Need::enriches(Fact::Pod).narrowed(BATCH_PODS),
        Need::enriches(Fact::Namespace),
    ],
    summary: "a command asks a sidecar to quit by an endpoint that is switched off",
    why: "the request is refused, the sidecar runs on and the job never completes",
    remedy: "switch the endpoint on",
    traps: &["an endpoint that is switched on", "a request to another port", "a namespace can switch it on"],
    links: &["https://github.com/cloudnative-pg/cloudnative-pg/issues/5643"],
    check: Check::Template(disabled),
    ..Rule::BASE
};

fn hook<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    if member.class != Class::Regular || !carrier.is_batch() || !is_template(context.facts, &carrier) {
        return;
    }
    let container = member.container;
    let Some((script, stops)) = shell::script(&container.command, &container.args) else { return };
    let Some(loss) = loses(script, stops) else { return };
    let then = match loss {
        Loss::NeverQuits => "after a failure the sidecar is never asked and the pod hangs",
        Loss::HidesFailure => "a failure of the work is reported as success",
    };
    let message =
        format!("the command of container {} asks a sidecar to quit and loses its exit code: {then}", container.name);
    // Which word the script is: command first, then args.
    let at = container.command.iter().position(|word| word == script);
    let (list, index) = at.map_or_else(
        || ("args", container.args.iter().position(|word| word == script).unwrap_or(0)),
        |at| ("command", at),
    );
    let path = format!("{}{}/{list}/{index}", carrier.path, member.path());
    findings.push(context.container(carrier, member, message).evidence(path, script));
}

/// Returns whether a command asks for a path at a port.
fn asks(container: &Container, port: u16, path: &str) -> bool {
    let wanted = format!(":{port}{path}");
    container.command.iter().chain(&container.args).any(|text| text.contains(&wanted))
}

/// Returns the container of a row in a template or in what was made from it, native or not.
fn container_of<'b>(row: &Sidecar, spec: &'b PodSpec) -> Option<&'b Container> {
    let named = |name: &str| row.names.iter().any(|pattern| pattern == name);
    members(spec).map(|member| member.container).find(|container| named(&container.name))
}

fn disabled<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    if !carrier.is_batch() || !is_template(context.facts, &carrier) {
        return;
    }
    let namespace =
        context.facts.namespace(&carrier.object.meta().namespace).map(|namespace| &namespace.meta.annotations);
    let pod = as_job(context.facts, carrier.object).and_then(|job| context.facts.pods_of(job).next());
    let annotation = |name: &str| {
        let of_pod = pod.and_then(|pod| pod.meta.annotations.get(name));
        carrier.annotations.get(name).or(of_pod).or_else(|| namespace.and_then(|labels| labels.get(name)))
    };
    for row in context.policy.sidecars.rows() {
        let Some(sidecar) = container_of(row, carrier.spec).or_else(|| container_of(row, &pod?.spec)) else { continue };
        let fits = |quit: &&Quit| quit.for_names.is_empty() || quit.for_names.contains(&sidecar.name);
        for quit in row.quit.iter().filter(fits) {
            let Some(by) = &quit.enabled_by else { continue };
            let on = switched(by, annotation)
                || !by.arg.is_empty() && sidecar.command.iter().chain(&sidecar.args).any(|arg| is_flag(arg, &by.arg));
            // The control plane may have switched it on for everybody.
            if on || by.or_control_plane_default {
                continue;
            }
            let given = quit.port_from.as_ref().and_then(|from| annotation(&from.annotation)?.parse().ok());
            let Some(port) = given.or(quit.port) else { continue };
            for member in members(carrier.spec).filter(|member| member.class == Class::Regular) {
                if member.container.name == sidecar.name || !asks(member.container, port, &quit.path) {
                    continue;
                }
                let switch = if by.annotation.is_empty() { &by.arg } else { &by.annotation };
                let (name, path) = (&member.container.name, &quit.path);
                let message = format!(
                    "container {name} asks {} to quit at :{port}{path}, which is off without {switch}: the request is refused",
                    sidecar.name
                );
                let draft = context.container(carrier, member, message).key(row.id.as_str());
                let draft = draft.assuming(format!("{} keeps to its vendor's documented defaults", sidecar.name));
                let list = if member.container.args.is_empty() { "command" } else { "args" };
                let draft =
                    draft.evidence(format!("{}{}/{list}", carrier.path, member.path()), format!(":{port}{path}"));
                findings.push(draft.remedy(format!("switch the endpoint on: {switch}")));
            }
        }
    }
}
