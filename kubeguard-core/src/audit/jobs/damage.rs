//! What sidecars do to work that is finished.

use super::held;
use super::view::{Case, JobState, OF_PODS, PODS, at_status, job_of, state};
use crate::audit::facts::{Of, Pod};
use crate::audit::kinds::Job;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Fold, Rule, absorbs};
use crate::pods::{Class, Role};

pub(super) const ZJ601: Rule = Rule {
    id: "ZJ601",
    name: "sidecar-fails-pod",
    severity: Severity::Critical,
    fold: Fold::Job,
    needs: OF_PODS,
    absorbs: &[absorbs("ZJ603")],
    summary: "the work succeeded, and the exit code of a sidecar failed the pod",
    why: "the job repeats work that succeeded",
    remedy: "make the sidecar exit 0 on SIGTERM, or make it a native sidecar, whose exit code does not count",
    traps: &["a main that failed fails the pod itself", "a native sidecar may end with any code"],
    links: &["https://github.com/openkruise/kruise/issues/1285"],
    check: Check::Pod(failed),
    ..Rule::BASE
};

pub(super) const ZJ602: Rule = Rule {
    id: "ZJ602",
    name: "sidecar-eats-backoff",
    severity: Severity::High,
    fold: Fold::Job,
    needs: &[PODS],
    absorbs: &[absorbs("ZJ603")],
    summary: "restarts of sidecars use up the retries of a job",
    why: "under OnFailure the Job controller adds up the restarts of all containers and compares them with backoffLimit",
    remedy: "mend the sidecar, make it end with 0, or use restartPolicy Never",
    traps: &["restarts of the main are its own", "with Never restarts do not count"],
    check: Check::Job(eaten),
    ..Rule::BASE
};

pub(super) const ZJ603: Rule = Rule {
    id: "ZJ603",
    name: "success-shown-as-failure",
    severity: Severity::High,
    fold: Fold::Job,
    needs: OF_PODS,
    summary: "a job counts as failed although its work succeeded",
    why: "who reads the job runs the work again",
    remedy: "check what the work did before running it again; make the sidecar a native one",
    traps: &["a pod that succeeded is one of several completions"],
    check: Check::Pod(shown_failed),
    ..Rule::BASE
};

pub(super) const ZJ604: Rule = Rule {
    id: "ZJ604",
    name: "ttl-defeated",
    severity: Severity::Info,
    fold: Fold::Job,
    needs: &[PODS, Need::enriches(Fact::CronJob)],
    summary: "ttlSecondsAfterFinished never begins, because the job does not finish",
    why: "the time counts from the end of the job",
    remedy: "end the sidecar; see the other finding",
    traps: &["a job at work has not finished either"],
    links: &["https://github.com/istio/istio/issues/15873"],
    check: Check::Job(defeated),
    ..Rule::BASE
};

/// A pod whose mains have all exited 0.
struct Good<'a> {
    case: Case<'a>,
    /// Sidecars: name, exit code if it has ended, proof.
    sidecars: Vec<(&'a str, Option<i32>, Proof)>,
}

fn good<'a>(context: &Context<'a>, pod: &'a Pod) -> Option<Good<'a>> {
    let case = Case::of(context.facts, pod)?;
    let statuses = case.containers(Class::Regular)?;
    let roles = context.facts.roles(pod, &context.policy.sidecars, context.now);
    let (mut mains, mut sidecars) = (0, Vec::new());
    for ((_, status), role) in statuses.into_iter().zip(roles) {
        let code = status.terminated().map(|ended| ended.exit_code);
        match role.role {
            Role::Main if code == Some(0) => mains += 1,
            Role::Main => return None,
            Role::Sidecar => sidecars.push((role.container, code, role.proof)),
        }
    }
    (mains > 0).then_some(Good { case, sidecars })
}

/// Returns why a job failed or is about to.
fn reason(job: &Of<Job>) -> &str {
    match state(job) {
        JobState::Finished(found) | JobState::Doomed(found)
            if matches!(found.r#type.as_str(), "Failed" | "FailureTarget") =>
        {
            &found.reason
        }
        _ => "",
    }
}

/// A pod whose work succeeded, the sidecars that failed it with their codes, and the weakest proof.
type Failers<'a> = (Case<'a>, Vec<(&'a str, i32)>, Proof);

/// Returns the sidecars that failed a pod whose work had succeeded, and the weakest proof.
fn failers<'a>(context: &Context<'a>, pod: &'a Pod) -> Option<Failers<'a>> {
    if pod.phase() != "Failed" || pod.meta.deleted.is_some() {
        return None;
    }
    let good = good(context, pod)?;
    // At its deadline the job itself ended the sidecar.
    let left_alone = good.case.job.is_some_and(|job| {
        reason(job) == "DeadlineExceeded" || matches!(state(job), JobState::Suspended | JobState::ExternallyManaged(_))
    });
    let failed = good.sidecars.iter().filter_map(|(name, code, proof)| Some((*name, (*code)?, *proof)));
    let failed: Vec<(&str, i32, Proof)> = failed.filter(|(_, code, _)| *code != 0).collect();
    let proof = failed.iter().map(|(_, _, proof)| *proof).min().filter(|_| !left_alone)?;
    Some((good.case, failed.into_iter().map(|(name, code, _)| (name, code)).collect(), proof))
}

fn failed<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some((case, sidecars, proof)) = failers(context, pod) else { return };
    let same =
        case.job.map_or(1, |job| context.facts.pods_of(job).filter(|pod| failers(context, pod).is_some()).count());
    let told: Vec<String> = sidecars.iter().map(|(name, code)| format!("{name} exited {code}")).collect();
    let pods = if same == 1 { "1 pod".to_owned() } else { format!("{same} pods") };
    let message = format!(
        "work done (exit 0), but {}: {pods} of finished work count as failed and are repeated",
        told.join(", ")
    );
    let mut draft = context.finding(pod, message).proof(proof);
    draft = draft.detail("duplicateRuns", u64::try_from(same).unwrap_or(u64::MAX));
    for (name, code) in &sidecars {
        let at = at_status(&case, Class::Regular, name);
        draft = draft.evidence(format!("{at}/state/terminated/exitCode"), *code);
    }
    if let [(name, _)] = sidecars.as_slice() {
        draft = draft.on(*name);
    }
    findings.push(draft);
}

/// Returns restarts of mains, of sidecars, and the weakest proof of the sidecars that were restarted.
fn restarts(context: &Context<'_>, pod: &Pod) -> Option<(i64, i64, Option<Proof>)> {
    let case = Case::of(context.facts, pod)?;
    let regular = case.containers(Class::Regular)?;
    let roles = context.facts.roles(pod, &context.policy.sidecars, context.now);
    let (mut mains, mut sidecars, mut proofs) = (0, 0, Vec::new());
    for ((_, status), role) in regular.into_iter().zip(roles) {
        let times = i64::from(status.restarts);
        match role.role {
            Role::Main => mains += times,
            Role::Sidecar => sidecars += times,
        }
        if role.role == Role::Sidecar && times > 0 {
            proofs.push(role.proof);
        }
    }
    for (_, status) in case.containers(Class::NativeSidecar).into_iter().flatten() {
        sidecars += i64::from(status.restarts);
        proofs.extend((status.restarts > 0).then_some(Proof::Exact));
    }
    Some((mains, sidecars, proofs.into_iter().min()))
}

fn eaten<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let Some(spec) = &job.spec else { return };
    let policy = job.template.as_ref().map(|template| template.spec.restart_policy.as_str());
    if policy != Some("OnFailure") {
        return;
    }
    let limit = i64::from(crate::audit::facts::job_backoff_limit(spec));
    let failed = match state(job) {
        JobState::Active => false,
        JobState::Finished(_) | JobState::Doomed(_) if reason(job) == "BackoffLimitExceeded" => true,
        _ => return,
    };
    let counts = |pod: &&Pod| failed || pod.meta.deleted.is_none() && matches!(pod.phase(), "Running" | "Pending");
    let found: Vec<_> = context.facts.pods_of(job).filter(counts).filter_map(|pod| restarts(context, pod)).collect();
    let mains: i64 = found.iter().map(|(mains, _, _)| mains).sum();
    let sidecars: i64 = found.iter().map(|(_, sidecars, _)| sidecars).sum();
    let Some(proof) = found.iter().filter_map(|(_, _, proof)| *proof).min() else { return };
    let (fires, then) = if failed {
        (mains == 0 && sidecars >= 1, "it failed without one restart of the work".to_owned())
    } else {
        let half = (limit.saturating_add(1) / 2).max(1);
        (sidecars >= half, format!("at {} the job fails whatever the work does", limit.max(1)))
    };
    if fires {
        let message =
            format!("sidecars were restarted {sidecars} times, and that counts against backoffLimit {limit}: {then}");
        let draft = context.finding(job, message).proof(proof).evidence("/spec/backoffLimit", limit);
        findings.push(draft.detail("sidecarRestarts", sidecars).detail("mainRestarts", mains));
    }
}

fn shown_failed<'a>(context: &Context<'a>, pod: &'a Pod, findings: &mut Findings<'a>) {
    let Some(job) = job_of(context.facts, pod) else { return };
    let JobState::Finished(found) = state(job) else { return };
    let by = reason(job);
    let retained = pod.meta.deleted.is_none() && pod.phase() != "Succeeded";
    if found.r#type != "Failed" || !matches!(by, "DeadlineExceeded" | "BackoffLimitExceeded") || !retained {
        return;
    }
    let Some(good) = good(context, pod) else { return };
    let proof = good.sidecars.iter().map(|(_, _, proof)| *proof).min().unwrap_or(Proof::Exact);
    let message = format!("the job failed with {by}, yet the work of its pod exited 0");
    let draft = context.finding(pod, message).proof(proof);
    let draft = draft.evidence("/status/phase", pod.phase());
    findings.push(draft.evidence_of(job, "/status/conditions", format!("Failed={by}")));
}

fn defeated<'a>(context: &Context<'a>, job: &'a Of<Job>, findings: &mut Findings<'a>) {
    let Some(ttl) = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished) else { return };
    if context.facts.pods_of(job).any(|pod| held::any(context, pod)) {
        let message = format!("ttlSecondsAfterFinished {ttl} never begins: the job does not finish");
        findings.push(context.finding(job, message).evidence("/spec/ttlSecondsAfterFinished", ttl));
    }
}
