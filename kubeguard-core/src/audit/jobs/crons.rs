//! What jobs that do not end do to their CronJobs.

use jiff::{SignedDuration, Timestamp};

use super::stuck::{Stuck, stuck};
use super::view::{JobState, PODS, jobs_of, moment, newest, state};
use crate::audit::facts::Of;
use crate::audit::kinds::{CronJob, CronJobSpec, Job};
use crate::audit::needs::{Fact, Need};
use crate::audit::report::Severity;
use crate::audit::rule::{Check, Context, Draft, Findings, Fold, Rule};
use crate::cron::{Missed, Schedule, missed};

const WITH_JOBS: &[Need] = &[
    PODS,
    Need::decides(Fact::Job),
    Need::decides(Fact::CronJob),
    Need::enriches(Fact::Node),
    Need::enriches(Fact::Event),
];

pub(super) const ZJ501: Rule = Rule {
    id: "ZJ501",
    name: "forbid-blocked",
    severity: Severity::Critical,
    fold: Fold::Itself,
    needs: WITH_JOBS,
    summary: "a job that does not end keeps its CronJob from running",
    why: "with concurrencyPolicy Forbid each run is skipped while one is active; the event that says so is of type Normal",
    remedy: "end the job that hangs, then mend the template",
    traps: &["a job that is still at work may be long", "a suspended CronJob wants no runs"],
    links: &["https://github.com/hashicorp/vault-k8s/issues/133", "https://github.com/dapr/dapr/issues/1439"],
    check: Check::CronJob(blocked),
    ..Rule::BASE
};

pub(super) const ZJ502: Rule = Rule {
    id: "ZJ502",
    name: "allow-pileup",
    severity: Severity::High,
    fold: Fold::Itself,
    needs: WITH_JOBS,
    summary: "jobs of a CronJob pile up because they do not end",
    why: "history limits take away finished jobs alone: each run adds pods that keep what they request",
    remedy: "end the jobs that hang, mend the template, and set concurrencyPolicy",
    traps: &["two active jobs are no pile", "many jobs at work are no pile"],
    check: Check::CronJob(pileup),
    ..Rule::BASE
};

pub(super) const ZJ503: Rule = Rule {
    id: "ZJ503",
    name: "replace-starves",
    severity: Severity::High,
    fold: Fold::Itself,
    needs: &[Need::decides(Fact::CronJob), Need::enriches(Fact::Job)],
    summary: "every run of a CronJob is deleted by the next one",
    why: "with concurrencyPolicy Replace a run that takes longer than the interval never ends",
    remedy: "lengthen the schedule, shorten the work, or use Forbid",
    traps: &["runs that fail are not starved", "a run that succeeded lately"],
    check: Check::CronJob(starved),
    ..Rule::BASE
};

pub(super) const ZJ504: Rule = Rule {
    id: "ZJ504",
    name: "cron-not-firing",
    severity: Severity::High,
    fold: Fold::Itself,
    needs: &[Need::decides(Fact::CronJob), Need::enriches(Fact::Job), Need::enriches(Fact::Event)],
    summary: "a CronJob does not run when it should",
    why: "nothing fails, so nobody is told",
    remedy: "correct schedule and time zone; look at the events of the CronJob and at the controller manager",
    traps: &[
        "a CronJob that has just been made has missed nothing",
        "a suspended CronJob does not run",
        "more than a hundred missed runs stop no modern server",
    ],
    links: &["https://github.com/kubernetes/kubernetes/issues/42649"],
    check: Check::CronJob(not_firing),
    ..Rule::BASE
};

pub(super) const ZJ505: Rule = Rule {
    id: "ZJ505",
    name: "stale-template",
    severity: Severity::High,
    fold: Fold::Itself,
    needs: WITH_JOBS,
    summary: "the template was mended, and a job that hangs was made from the old one",
    why: "a job keeps the template that it was made from: the fix does not reach it",
    remedy: "delete the job that hangs; the next run is made from the new template",
    traps: &["a job that works may be of the old template"],
    links: &["https://github.com/kubernetes/kubernetes/issues/58748"],
    check: Check::CronJob(stale),
    ..Rule::BASE
};

pub(super) const ZJ506: Rule = Rule {
    id: "ZJ506",
    name: "narrow-start-window",
    severity: Severity::Medium,
    fold: Fold::Itself,
    needs: &[Need::decides(Fact::CronJob)],
    summary: "startingDeadlineSeconds is below 10",
    why: "the controller looks every ten seconds: it may skip every run",
    remedy: "set startingDeadlineSeconds to 10 at least",
    traps: &["ten seconds are enough"],
    check: Check::CronJob(narrow),
    ..Rule::BASE
};

/// Servers before this one stop after a hundred missed runs.
const STOPS: crate::audit::facts::Version = (1, 21);
/// How late a run may start when nobody says.
const SLACK: i64 = 100;

fn schedule(spec: &CronJobSpec) -> Result<Schedule, crate::cron::ScheduleError> {
    Schedule::parse(&spec.schedule, (!spec.time_zone.is_empty()).then_some(spec.time_zone.as_str()))
}

/// Returns the spec of a CronJob that is not suspended.
fn working(cron: &Of<CronJob>) -> Option<&CronJobSpec> {
    cron.spec.as_ref().filter(|spec| !spec.suspend && cron.meta.deleted.is_none())
}

fn scheduled(cron: &Of<CronJob>) -> Option<Timestamp> {
    moment(cron.status.as_ref()?.last_schedule_time.as_ref())
}

/// Returns jobs that have not finished.
fn active<'a>(context: &Context<'a>, cron: &'a Of<CronJob>) -> Vec<&'a Of<Job>> {
    jobs_of(context.facts, cron).filter(|job| !matches!(state(job), JobState::Finished(_))).collect()
}

fn hanging<'a>(context: &Context<'a>, cron: &'a Of<CronJob>) -> Vec<(&'a Of<Job>, Stuck)> {
    active(context, cron).into_iter().filter_map(|job| Some((job, stuck(context, job)?))).collect()
}

fn count(missed: Missed) -> String {
    if missed.more { format!("more than {}", missed.count) } else { missed.count.to_string() }
}

fn assuming<'a>(draft: Draft<'a>, schedule: &Schedule) -> Draft<'a> {
    if schedule.zone_is_assumed() { draft.assuming("the controller manager runs in UTC") } else { draft }
}

fn about<'a>(mut draft: Draft<'a>, jobs: &[(&'a Of<Job>, Stuck)]) -> Draft<'a> {
    for (job, stuck) in jobs.iter().take(5) {
        draft = draft.evidence_of(*job, "", format!("{}: {}", stuck.rule, stuck.message));
    }
    let names: Vec<String> = jobs.iter().map(|(job, _)| job.meta.name.to_string()).collect();
    draft.detail("jobs", names)
}

fn blocked<'a>(context: &Context<'a>, cron: &'a Of<CronJob>, findings: &mut Findings<'a>) {
    let Some(spec) = working(cron).filter(|spec| spec.concurrency_policy == "Forbid") else { return };
    let (Some(last), Ok(schedule)) = (scheduled(cron), schedule(spec)) else { return };
    let skipped = missed(&schedule, last, context.now, SignedDuration::ZERO);
    if skipped.count == 0 {
        return;
    }
    let jobs = hanging(context, cron);
    let Some(proof) = jobs.iter().map(|(_, stuck)| stuck.proof).max() else { return };
    let since = schedule.next(last);
    let from = since.map_or_else(String::new, |since| format!(" since {since}"));
    let runs = if skipped.count == 1 && !skipped.more { "run" } else { "runs" };
    let names: Vec<&str> = jobs.iter().map(|(job, _)| &*job.meta.name).collect();
    let message =
        format!("{} {runs} lost{from}: job {} does not end and overlap is forbidden", count(skipped), names.join(", "));
    let draft = context.finding(cron, message).proof(proof).since(since);
    let draft =
        draft.evidence("/spec/concurrencyPolicy", "Forbid").evidence("/status/lastScheduleTime", last.to_string());
    let draft = draft.detail("lostRuns", u64::try_from(skipped.count).unwrap_or(u64::MAX));
    findings.push(assuming(about(draft, &jobs), &schedule));
}

fn pileup<'a>(context: &Context<'a>, cron: &'a Of<CronJob>, findings: &mut Findings<'a>) {
    if cron.spec.as_ref().is_none_or(|spec| spec.concurrency_policy != "Allow") {
        return;
    }
    let all = active(context, cron).len();
    if all < 3 {
        return;
    }
    let jobs = hanging(context, cron);
    let Some(proof) = jobs.iter().map(|(_, stuck)| stuck.proof).max().filter(|_| jobs.len() >= 2) else { return };
    let message = format!("{all} jobs are active, {} of them do not end: they pile up", jobs.len());
    let draft = context.finding(cron, message).proof(proof).evidence("/spec/concurrencyPolicy", "Allow");
    findings.push(about(draft, &jobs));
}

fn starved<'a>(context: &Context<'a>, cron: &'a Of<CronJob>, findings: &mut Findings<'a>) {
    let Some(spec) = working(cron).filter(|spec| spec.concurrency_policy == "Replace") else { return };
    let (Some(last), Ok(schedule)) = (scheduled(cron), schedule(spec)) else { return };
    let success = moment(cron.status.as_ref().and_then(|status| status.last_successful_time.as_ref()));
    let Some(since) = success.or(cron.meta.created) else { return };
    // A run that failed was not taken away: it ended.
    let failed = |job: &Of<Job>| {
        let JobState::Finished(found) = state(job) else { return false };
        found.r#type == "Failed" && job.meta.created.is_none_or(|created| created > since)
    };
    if jobs_of(context.facts, cron).any(failed) {
        return;
    }
    let late = missed(&schedule, last, context.now, SignedDuration::ZERO);
    let skipped = missed(&schedule, since, context.now, SignedDuration::ZERO);
    if late.count > 1 || skipped.count < 3 {
        return;
    }
    let word = if success.is_some() { "the last success" } else { "it was made" };
    let message =
        format!("{} runs since {word} at {since}, and none has succeeded: each is deleted by the next", count(skipped));
    let draft = context.finding(cron, message).since(Some(since)).evidence("/spec/concurrencyPolicy", "Replace");
    let draft = draft.evidence("/status/lastScheduleTime", last.to_string());
    findings.push(assuming(draft, &schedule));
}

fn not_firing<'a>(context: &Context<'a>, cron: &'a Of<CronJob>, findings: &mut Findings<'a>) {
    let Some(spec) = working(cron) else { return };
    let schedule = match schedule(spec) {
        Ok(schedule) => schedule,
        Err(error) => {
            let (path, value) = match error {
                crate::cron::ScheduleError::Zone(_) => ("/spec/timeZone", &spec.time_zone),
                _ => ("/spec/schedule", &spec.schedule),
            };
            let draft = context.finding(cron, format!("the schedule cannot be parsed, so it never runs: {error}"));
            findings.push(draft.evidence(path, value.as_str()).detail("cause", "UnparseableSchedule"));
            return;
        }
    };
    if schedule.next(context.now).is_none() {
        let message = format!("the schedule {:?} does not match within {} years", spec.schedule, Schedule::YEARS);
        findings.push(context.finding(cron, message).evidence("/spec/schedule", spec.schedule.as_str()));
        return;
    }
    let busy = cron.status.as_ref().is_some_and(|status| !status.active.is_empty());
    let Some(since) = scheduled(cron).or(cron.meta.created) else { return };
    if busy || !active(context, cron).is_empty() {
        return;
    }
    let slack = SignedDuration::from_secs(spec.starting_deadline_seconds.unwrap_or(SLACK));
    let skipped = missed(&schedule, since, context.now, slack);
    if skipped.count < 2 {
        return;
    }
    let mut causes = vec!["UnparseableSchedule", "InvalidSchedule", "UnknownTimeZone", "MissSchedule", "FailedCreate"];
    if context.version() < STOPS {
        causes.push("TooManyMissedTimes");
    }
    let event = newest(context.facts, cron, &causes);
    let cause = event.map_or_else(|| "unknown".to_owned(), |event| event.reason.to_string());
    let words =
        event.map_or_else(String::new, |event| format!(" ({})", event.message.lines().next().unwrap_or_default()));
    let message = format!("{} runs missed since {since}: cause {cause}{words}", count(skipped));
    let draft = context.finding(cron, message).since(schedule.next(since)).detail("cause", cause);
    let draft = match scheduled(cron) {
        Some(before) => draft.evidence("/status/lastScheduleTime", before.to_string()),
        None => draft.evidence("/metadata/creationTimestamp", since.to_string()),
    };
    findings.push(assuming(draft, &schedule));
}

fn stale<'a>(context: &Context<'a>, cron: &'a Of<CronJob>, findings: &mut Findings<'a>) {
    let Some(template) = &cron.template else { return };
    for (job, stuck) in hanging(context, cron) {
        let Some(made_from) = &job.template else { continue };
        let lists = [
            ("containers", &made_from.spec.containers, &template.spec.containers),
            ("initContainers", &made_from.spec.init_containers, &template.spec.init_containers),
        ];
        for (list, old, new) in lists {
            for (index, old) in old.iter().enumerate() {
                let Some((at, new)) = new.iter().enumerate().find(|(_, new)| new.name == old.name) else { continue };
                let parts = [
                    ("image", old.image.clone(), new.image.clone()),
                    ("command", old.command.join(" "), new.command.join(" ")),
                    ("args", old.args.join(" "), new.args.join(" ")),
                ];
                let Some((part, was, is)) = parts.into_iter().find(|(_, was, is)| was != is) else { continue };
                let (name, job_name) = (&old.name, &job.meta.name);
                let message = format!(
                    "job {job_name} hangs ({}) with the old {part} of container {name}: the template's fix cannot reach it",
                    stuck.rule
                );
                let draft = context.finding(cron, message).on(name.as_str());
                let path = format!("/spec/jobTemplate/spec/template/spec/{list}/{at}/{part}");
                let draft = draft.evidence(path, is);
                findings.push(draft.evidence_of(job, format!("/spec/template/spec/{list}/{index}/{part}"), was));
            }
        }
    }
}

fn narrow<'a>(context: &Context<'a>, cron: &'a Of<CronJob>, findings: &mut Findings<'a>) {
    let seconds = cron.spec.as_ref().and_then(|spec| spec.starting_deadline_seconds);
    if let Some(seconds) = seconds.filter(|seconds| *seconds < 10) {
        let message =
            format!("a run that does not start within {seconds}s is skipped, and the controller looks every 10s");
        findings.push(context.finding(cron, message).evidence("/spec/startingDeadlineSeconds", seconds));
    }
}
