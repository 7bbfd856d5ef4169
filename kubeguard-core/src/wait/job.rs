//! Jobs: the rules WD-J1 to WD-J8.

use super::assess::Context;
use super::object::Object;
use super::policy::JobMode;
use super::reason::{Reason, Word};
use super::verdict::{Outcome, Statement, Suspect};
use crate::kinds::{Condition as _, Job, JobStatus, condition};

pub(super) fn judge(object: &Object, job: &Job, cx: &mut Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let spec = job.spec.clone().unwrap_or_default();
    let status = job.status.clone().unwrap_or_default();
    let is_true = |name: &str| condition(&status.conditions, name).filter(|condition| condition.is_true());
    let counts = progress(job, &status);
    for (path, value) in
        [("status.active", status.active), ("status.succeeded", status.succeeded), ("status.failed", status.failed)]
    {
        outcome.read(path, value);
    }
    if is_true("Complete").is_some() {
        outcome.done("WD-J1", counts);
        return outcome;
    }
    for (rule, name) in [("WD-J2", "Failed"), ("WD-J3", "FailureTarget")] {
        if let Some(failed) = is_true(name) {
            let row = failed.reason.parse().unwrap_or(Reason::JobFailed);
            let message = if failed.message.is_empty() { counts } else { failed.message.clone() };
            let suspect = Suspect::new(rule, Word::said(row, &failed.reason), &object.key, message);
            outcome.suspects.push(suspect.since(failed.changed_at()));
            return outcome;
        }
    }
    if is_true("SuccessCriteriaMet").is_some() {
        outcome.note("PodsStopping", "");
        outcome.done("WD-J4", counts);
        return outcome;
    }
    if spec.suspend {
        outcome.suspended = Some(Statement::new("WD-J5", Reason::JobSuspended, format!("suspended, {counts}")));
        return outcome;
    }
    if cx.policy.job_mode == JobMode::Started && has_started(&status, cx) {
        outcome.done("WD-J6", format!("started, {counts}"));
        return outcome;
    }
    if status.start_time.is_none() {
        outcome.wait("WD-J7", Reason::NotStarted, "not started");
    } else {
        outcome.wait("WD-J7", Reason::Running, counts);
    }
    cx.suspect_pods(cx.view.pods(&object.meta().uid), &mut outcome);
    outcome
}

/// A pod that is active for 5 seconds has started; a file has no later.
fn has_started(status: &JobStatus, cx: &mut Context<'_>) -> bool {
    if status.ready.unwrap_or(0) >= 1 || status.succeeded >= 1 {
        return true;
    }
    if status.active < 1 {
        return false;
    }
    let started = status.start_time.as_ref().and_then(crate::kinds::Time::timestamp);
    match (cx.clock.start, started) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(_), Some(started)) => {
            let enough = started.saturating_add(jiff::SignedDuration::from_secs(5)).unwrap_or(started);
            if cx.clock.now < enough {
                cx.ask_again_at(enough);
            }
            cx.clock.now >= enough
        }
    }
}

fn progress(job: &Job, status: &JobStatus) -> String {
    let spec = job.spec.clone().unwrap_or_default();
    let wanted = spec.completions.or(spec.parallelism).unwrap_or(1);
    let mut said = format!("{} of {wanted} succeeded", status.succeeded);
    if status.failed > 0 {
        said.push_str(&format!(", {} failed", status.failed));
    }
    if spec.completion_mode == "Indexed" {
        for (what, indexes) in [("completed", &status.completed_indexes), ("failed", &status.failed_indexes)] {
            if !indexes.is_empty() {
                said.push_str(&format!(", {what} indexes {indexes}"));
            }
        }
    }
    said
}
