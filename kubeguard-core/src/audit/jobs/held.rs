//! The work is over, a sidecar holds the pod.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::view::{Case, OF_PODS, at_status, span};
use super::zombie::{Holder, Zombie, zombie};
use super::{cost, ladder};
use crate::audit::facts::Pod;
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Draft, Findings, Fold, Rule, absorbs_of_root};
use crate::pods::Class;

pub(super) const ZJ101: Rule = Rule {
    id: "ZJ101",
    name: "sidecar-holds-pod",
    severity: Severity::High,
    fold: Fold::Job,
    needs: OF_PODS,
    absorbs: &[absorbs_of_root("ZJ405"), absorbs_of_root("ZJ701")],
    summary: "the work succeeded, and a sidecar keeps the pod running",
    why: "a pod ends when all its regular containers have ended: the job never completes, what the pod requests stays \
          reserved, a CronJob that forbids overlap stops, and no alert fires because nothing has failed",
    remedy: "ask the sidecar to quit so that it exits 0, or delete the job; never delete the pod: the work would run \
             again. For the next runs make it a native sidecar or set a deadline",
    traps: &[
        "a sidecar may flush during the grace period",
        "a second main container still runs",
        "a sidecar that ends by itself has five minutes",
        "a helper has the time that its row gives it",
        "a container without status says nothing",
        "an ephemeral container is no sidecar",
        "a main that ended in the future has just ended",
        "a pod that is being deleted is leaving",
        "pods of a job that another controller runs are its business",
    ],
    links: &[
        "https://github.com/kubernetes/kubernetes/issues/25908",
        "https://github.com/hashicorp/vault-k8s/issues/133",
    ],
    check: Check::Pod(holds),
    ..Rule::BASE
};

pub(super) const ZJ102: Rule = Rule {
    id: "ZJ102",
    name: "sidecar-masks-failure",
    severity: Severity::Critical,
    fold: Fold::Job,
    needs: OF_PODS,
    absorbs: &[absorbs_of_root("ZJ405"), absorbs_of_root("ZJ701")],
    summary: "the work failed, and a sidecar keeps the pod running",
    why: "the pod does not count as failed while the sidecar runs: there is no retry, no Failed condition and no alert",
    remedy: "ask the sidecar to quit or delete the job; the job will then try again or fail",
    traps: &["a main that is started again has not failed"],
    links: &["https://github.com/openkruise/kruise/issues/1366"],
    check: Check::Pod(masks),
    ..Rule::BASE
};

pub(super) const ZJ103: Rule = Rule {
    id: "ZJ103",
    name: "sidecar-restart-loop",
    severity: Severity::High,
    fold: Fold::Job,
    needs: OF_PODS,
    absorbs: &[absorbs_of_root("ZJ405"), absorbs_of_root("ZJ701")],
    summary: "the work is over, and the kubelet starts a sidecar again each time it ends",
    why: "under OnFailure only exit code 0 ends a container: a sidecar that ends otherwise, or that its liveness probe \
          kills, comes back and the pod stays",
    remedy: "make the sidecar exit 0 on SIGTERM, drop its liveness probe, or make it a native sidecar",
    traps: &["restarts before the work was over are not this"],
    links: &["https://github.com/hashicorp/consul-k8s/issues/1791"],
    check: Check::Pod(restarts),
    ..Rule::BASE
};

/// A zombie this old is critical whatever waits for it.
const OLD: SignedDuration = SignedDuration::from_hours(24);

fn holds<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(zombie) = successful(context, pod) else { return };
    let told = format!("work done (exit 0){}", since(&zombie));
    let severity = escalated(context, &zombie);
    findings.push(draft(context, &zombie, &told, "the job never completes").severity(severity));
}

fn masks<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(zombie) = failed(context, pod) else { return };
    let code = zombie.mains.iter().map(|main| main.exit_code).find(|code| *code != 0).unwrap_or_default();
    let told = format!("main failed (exit {code}){}", since(&zombie));
    let then = "nobody was told: no retry, no Failed condition; once it ends the job tries again or fails";
    findings.push(draft(context, &zombie, &told, then));
}

fn restarts<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(zombie) = looping(context, pod) else { return };
    let times: i32 = zombie.holders.iter().map(|holder| holder.status.restarts).sum();
    let code = zombie.mains.iter().map(|main| main.exit_code).find(|code| *code != 0);
    let told = match code {
        Some(code) => format!("main failed (exit {code}){}", since(&zombie)),
        None => format!("work done (exit 0){}", since(&zombie)),
    };
    let severity = escalated(context, &zombie);
    let then = format!("it was started again after that, {times} restarts by now: the pod stays");
    findings.push(draft(context, &zombie, &told, &then).severity(severity));
}

/// Returns what each of some rules of this file speaks of in a pod, with the holders that it names.
pub(super) fn spoken<'a>(context: &Context<'a>, rules: &[&str], pod: &'a Pod) -> Vec<(&'static str, Zombie<'a>)> {
    type Finds = for<'b> fn(&Context<'b>, &'b Pod) -> Option<Zombie<'b>>;
    let known: [(&'static Rule, Finds); 3] = [(&ZJ101, successful), (&ZJ102, failed), (&ZJ103, looping)];
    let wanted = known.into_iter().filter(|(rule, _)| rules.contains(&rule.id));
    wanted.filter_map(|(rule, finds)| Some((rule.id, finds(&Context { rule, ..*context }, pod)?))).collect()
}

/// Returns a zombie whose work succeeded, with the holders that do not restart, after their grace.
fn successful<'a>(context: &Context<'a>, pod: &'a Pod) -> Option<Zombie<'a>> {
    quiet(context, pod).filter(Zombie::succeeded)
}

/// Returns a zombie whose work failed, with the holders that do not restart, after their grace.
fn failed<'a>(context: &Context<'a>, pod: &'a Pod) -> Option<Zombie<'a>> {
    quiet(context, pod).filter(|zombie| !zombie.succeeded())
}

/// Returns a zombie with the holders that were started again after the work was over.
fn looping<'a>(context: &Context<'a>, pod: &'a Pod) -> Option<Zombie<'a>> {
    let found = running(context, pod)?;
    let over = found.over_since;
    only(found, |holder| holder.restarts_since(over))
}

/// Returns a zombie whose pod runs.
fn running<'a>(context: &Context<'a>, pod: &'a Pod) -> Option<Zombie<'a>> {
    (pod.phase() == "Running").then(|| zombie(context.facts, pod, &context.policy.sidecars, context.now)).flatten()
}

/// Returns a zombie with the holders that do not restart, after their grace.
fn quiet<'a>(context: &Context<'a>, pod: &'a Pod) -> Option<Zombie<'a>> {
    let found = running(context, pod)?;
    let over = found.over_since;
    let found = only(found, |holder| !holder.restarts_since(over))?;
    context.held(over, found.grace()).then_some(found)
}

fn only<'a>(mut zombie: Zombie<'a>, keep: impl Fn(&Holder<'a>) -> bool) -> Option<Zombie<'a>> {
    zombie.holders.retain(keep);
    zombie.proof = zombie.holders.iter().map(|holder| holder.role.proof).min()?;
    Some(zombie)
}

/// Returns whether a rule of this file speaks of a pod.
pub(super) fn any<'a>(context: &Context<'a>, pod: &'a Pod) -> bool {
    [&ZJ101, &ZJ102, &ZJ103].into_iter().any(|rule| {
        let context = Context { rule, ..*context };
        let mut findings = Findings::default();
        holds(&context, pod, &mut findings);
        masks(&context, pod, &mut findings);
        restarts(&context, pod, &mut findings);
        !findings.drafts.is_empty()
    })
}

fn since(zombie: &Zombie<'_>) -> String {
    zombie.age.map_or_else(String::new, |age| format!(" {} ago", span(age)))
}

fn escalated(context: &Context<'_>, zombie: &Zombie<'_>) -> Severity {
    let cron = Case::of(context.facts, zombie.pod).and_then(|case| case.cron);
    let forbids = cron.and_then(|cron| cron.spec.as_ref()).is_some_and(|spec| spec.concurrency_policy == "Forbid");
    let old = zombie.age.is_some_and(|age| age > OLD);
    if forbids || old { Severity::Critical } else { Severity::High }
}

fn draft<'a>(context: &Context<'a>, zombie: &Zombie<'a>, told: &str, then: &str) -> Draft<'a> {
    let names: Vec<&str> = zombie.holders.iter().map(Holder::name).collect();
    let verb = if names.len() == 1 { "still runs" } else { "still run" };
    let case = Case::of(context.facts, zombie.pod);
    let cron = case.and_then(|case| case.cron);
    let forbids = cron.filter(|cron| cron.spec.as_ref().is_some_and(|spec| spec.concurrency_policy == "Forbid"));
    let forbids = forbids.map_or_else(String::new, |cron| format!("; CronJob {} forbids overlap", cron.meta.name));
    let message = format!("{told}, sidecar {} {verb}: {then}{forbids}", names.join(", "));
    let mut draft = context.finding(zombie.pod, message).proof(zombie.proof).since(zombie.over_since);
    if let [name] = names.as_slice() {
        draft = draft.on(*name);
    }
    if let Some(case) = case {
        for main in &zombie.mains {
            let at = at_status(&case, Class::Regular, main.name);
            draft = draft.evidence(format!("{at}/state/terminated/exitCode"), main.exit_code);
        }
        for holder in &zombie.holders {
            let at = at_status(&case, Class::Regular, holder.name());
            let state = if holder.status.is_running() { "running" } else { "waiting" };
            draft = draft.evidence(format!("{at}/state"), state);
        }
    }
    let mains: Vec<Value> = zombie
        .mains
        .iter()
        .map(|main| json!({"name": main.name, "exitCode": main.exit_code, "finishedAt": main.finished}))
        .collect();
    let holders: Vec<Value> = zombie.holders.iter().map(|holder| told_of(zombie, holder)).collect();
    draft = draft.detail("mains", mains).detail("holders", holders).detail("cost", cost(zombie).as_json());
    if let Some((over, age)) = zombie.over_since.zip(zombie.age) {
        draft = draft.detail("workOverAt", over.to_string()).detail("ageSeconds", age.as_secs());
    }
    if let Some(cron) = cron {
        draft = draft.detail("cronJob", cron.meta.name.to_string());
    }
    let steps = ladder(context.facts, context.policy, zombie, context.now);
    let outcomes: Vec<Value> = steps.iter().flat_map(ladder::Ladder::outcomes_as_json).collect();
    let remedies: Vec<Value> = steps.iter().map(ladder::Ladder::as_json).collect();
    let offered = || steps.iter().filter(|step| step.refused.is_none());
    let now = offered().find(|step| step.is_for_now());
    let later = offered().find(|step| !step.patch.is_empty());
    let words: Vec<String> =
        [now.map(ladder::Ladder::words), later.map(|step| step.text.clone())].into_iter().flatten().collect();
    if !words.is_empty() {
        draft = draft.remedy(words.join("; "));
    }
    if let Some(step) = later {
        // A template that later runs are made from may belong to the CronJob: then the patch is for that.
        draft = step.patch.iter().cloned().fold(draft, Draft::patch).detail("patchObject", step.object.clone());
    }
    draft.detail("outcomes", outcomes).detail("remedies", remedies)
}

fn told_of(zombie: &Zombie<'_>, holder: &Holder<'_>) -> Value {
    let row = holder.role.row;
    let because: Vec<&str> = holder.role.hits.iter().map(|hit| hit.because.as_str()).collect();
    let quit = ladder::quit_of(zombie.pod, holder);
    json!({
        "name": holder.name(),
        "proof": holder.role.proof.to_string(),
        "hits": because,
        "injector": row.map(|row| row.id.as_str()),
        "quit": quit.map(|quit| json!({"method": quit.method, "port": quit.port, "path": quit.path, "enabled": quit.enabled})),
        "selfEnding": row.is_some_and(|row| row.self_ending),
    })
}
