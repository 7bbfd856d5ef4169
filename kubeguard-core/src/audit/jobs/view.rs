//! What may be judged of jobs and their pods.

use jiff::Timestamp;

use crate::audit::facts::{Carrier, ContainerStatus, Facts, Happened, Object, Of, Origin, Pod, PodStatus};
use crate::audit::kinds::{CronJob, Job, JobSpec};
use crate::audit::needs::{BATCH_PODS, Fact, Need};
use crate::audit::rule::Context;
use crate::kinds::{Condition as _, PodCondition, Time, condition};
use crate::pods::{Class, Member, members};

/// Pods that should end.
pub(super) const PODS: Need = Need::decides(Fact::Pod).narrowed(BATCH_PODS);
/// What rules about pods read.
pub(super) const OF_PODS: &[Need] = &[PODS, Need::enriches(Fact::Job), Need::enriches(Fact::CronJob)];
/// The finalizer by which the Job controller counts pods.
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum JobState<'a> {
    /// A condition `Complete` or `Failed` is true.
    Finished(&'a PodCondition),
    /// It will end so as soon as its pods are gone: `FailureTarget` or `SuccessCriteriaMet` is true.
    Doomed(&'a PodCondition),
    /// Its pods were taken away on purpose.
    Suspended,
    /// Another controller runs it.
    ExternallyManaged(&'a str),
    /// It runs.
    Active,
}

/// Returns what a job is doing; only conditions whose status is true count.
#[must_use]
pub fn state(job: &Job) -> JobState<'_> {
    let conditions = job.status.as_ref().map_or(&[][..], |status| status.conditions.as_slice());
    let holds = |name: &str| condition(conditions, name).filter(|found| found.is_true());
    if let Some(found) = holds("Complete").or_else(|| holds("Failed")) {
        return JobState::Finished(found);
    }
    let managed = job.spec.as_ref().map(|spec| spec.managed_by.as_str());
    if let Some(by) = managed.filter(|by| !matches!(*by, "" | "kubernetes.io/job-controller")) {
        return JobState::ExternallyManaged(by);
    }
    if let Some(found) = holds("FailureTarget").or_else(|| holds("SuccessCriteriaMet")) {
        return JobState::Doomed(found);
    }
    if job.spec.as_ref().is_some_and(|spec| spec.suspend) { JobState::Suspended } else { JobState::Active }
}

/// A pod that should end, with what makes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) pod: &'a Pod,
    pub(super) status: &'a PodStatus,
    pub(super) job: Option<&'a Of<Job>>,
    pub(super) cron: Option<&'a Of<CronJob>>,
}

impl<'a> Case<'a> {
    /// Returns a pod that should end and has a status.
    pub(super) fn of(facts: &'a Facts, pod: &'a Pod) -> Option<Self> {
        if !matches!(pod.spec.restart_policy.as_str(), "Never" | "OnFailure") {
            return None;
        }
        let job = job_of(facts, pod);
        let cron = job.and_then(|job| cron_of(facts, job));
        Some(Self { pod, status: pod.status.as_ref()?, job, cron })
    }

    /// Returns one that is expected to run: neither over nor leaving, and its job, if it has one, is active.
    pub(super) fn alive(facts: &'a Facts, pod: &'a Pod) -> Option<Self> {
        let case = Self::of(facts, pod)?;
        let active = case.job.is_none_or(|job| state(job) == JobState::Active);
        (active && pod.meta.deleted.is_none() && !pod.is_over()).then_some(case)
    }

    /// Returns containers of a class with their statuses; `None` when a status is missing.
    pub(super) fn containers(&self, class: Class) -> Option<Vec<(Member<'a>, &'a ContainerStatus)>> {
        members(&self.pod.spec)
            .filter(|member| member.class == class)
            .map(|member| Some((member, self.status.container(&member.container.name)?)))
            .collect()
    }
}

/// Returns the job that controls a pod.
pub(super) fn job_of<'a>(facts: &'a Facts, pod: &Pod) -> Option<&'a Of<Job>> {
    facts.owner_of(pod).filter(|owner| owner.fact() == Fact::Job).and_then(|owner| as_job(facts, owner))
}

/// Returns an object as a job.
pub(super) fn as_job<'a>(facts: &'a Facts, object: &dyn Object) -> Option<&'a Of<Job>> {
    (object.fact() == Fact::Job).then(|| named(facts.jobs(), object)).flatten()
}

/// Returns an object as a CronJob.
pub(super) fn as_cron<'a>(facts: &'a Facts, object: &dyn Object) -> Option<&'a Of<CronJob>> {
    (object.fact() == Fact::CronJob).then(|| named(facts.cron_jobs(), object)).flatten()
}

/// Returns the CronJob that makes a job.
pub(super) fn cron_of<'a>(facts: &'a Facts, job: &Of<Job>) -> Option<&'a Of<CronJob>> {
    facts.owner_of(job).and_then(|owner| as_cron(facts, owner))
}

fn named<'a, T>(table: &'a [Of<T>], object: &dyn Object) -> Option<&'a Of<T>> {
    let wanted = object.meta();
    let wanted = (&*wanted.namespace, &*wanted.name);
    let at = table.binary_search_by(|of| (&*of.meta.namespace, &*of.meta.name).cmp(&wanted)).ok()?;
    table.get(at)
}

/// Returns the jobs of a CronJob.
pub(super) fn jobs_of<'a>(facts: &'a Facts, cron: &'a Of<CronJob>) -> impl Iterator<Item = &'a Of<Job>> {
    facts.owned_by(cron).filter_map(|object| as_job(facts, object))
}

/// Returns what a carrier of batch pods wants of its jobs, with the JSON pointer to it.
pub(super) fn job_spec<'a>(facts: &'a Facts, carrier: &Carrier<'_>) -> Option<(&'a JobSpec, &'static str)> {
    if let Some(job) = as_job(facts, carrier.object) {
        return job.spec.as_ref().map(|spec| (spec, "/spec"));
    }
    as_cron(facts, carrier.object)?.spec.as_ref().map(|spec| (&spec.job_template.spec, "/spec/jobTemplate/spec"))
}

/// Returns the template of a CronJob, or of a job that may still run.
pub(super) fn is_template(facts: &Facts, carrier: &Carrier<'_>) -> bool {
    match as_job(facts, carrier.object) {
        Some(job) => state(job) == JobState::Active,
        None => carrier.object.fact() == Fact::CronJob,
    }
}

/// Returns whether a carrier is a CronJob or a job that has made no pod yet.
pub(super) fn is_future(facts: &Facts, carrier: &Carrier<'_>) -> bool {
    let Some(job) = as_job(facts, carrier.object) else { return carrier.object.fact() == Fact::CronJob };
    let status = job.status.as_ref();
    let idle = status.is_none_or(|status| {
        let uncounted = status.uncounted_terminated_pods.as_ref();
        let counted = [status.active, status.succeeded, status.failed, status.terminating.unwrap_or(0)];
        counted.iter().all(|count| *count == 0)
            && uncounted.is_none_or(|pods| pods.succeeded.is_empty() && pods.failed.is_empty())
    });
    state(job) == JobState::Active && idle && facts.pods_of(job).next().is_none()
}

/// Returns whether an object lives on a server: a manifest that was never applied has no past.
pub(super) fn lives(object: &dyn Object) -> bool {
    !object.meta().uid.is_empty() && object.meta().created.is_some()
}

/// Returns whether what is not there of a kind does not exist in a namespace.
pub(super) fn sees(facts: &Facts, fact: Fact, namespace: &str) -> bool {
    use crate::audit::facts::Read;
    let gap = |gap: &crate::audit::facts::Gap| {
        gap.fact == fact && gap.namespace.as_deref().is_none_or(|other| other == namespace)
    };
    matches!(facts.read(fact), Read::Whole | Read::Unserved) && !facts.gaps().iter().any(gap)
}

/// Returns a moment; the zero that stands for "unknown" is none.
pub(super) fn moment(time: Option<&Time>) -> Option<Timestamp> {
    known(time.and_then(Time::timestamp))
}

/// Takes out the zero that stands for "unknown".
pub(super) fn known(time: Option<Timestamp>) -> Option<Timestamp> {
    time.filter(|at| at.as_second() > 0)
}

/// Returns when a job's clock started.
pub(super) fn started(job: &Of<Job>) -> Option<Timestamp> {
    moment(job.status.as_ref().and_then(|status| status.start_time.as_ref()))
}

/// Returns when a job's deadline ends it.
pub(super) fn deadline(job: &Of<Job>) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.active_deadline_seconds?;
    started(job)?.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}

/// Returns the newest event about an object whose reason is one of some.
pub(super) fn newest<'a>(facts: &'a Facts, object: &dyn Object, reasons: &[&str]) -> Option<&'a Happened> {
    let of = facts.events(&object.meta().uid).iter();
    of.filter(|event| reasons.contains(&&*event.reason)).max_by_key(|event| event.last)
}

/// Returns the newest end of any container of a pod.
pub(super) fn ended(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let ends = status.containers.iter().chain(&status.init);
    ends.filter_map(|container| known(container.terminated()?.finished)).max()
}

/// Returns the JSON pointer to a container's status.
pub(super) fn at_status(case: &Case<'_>, class: Class, name: &str) -> String {
    let (list, statuses) = if class == Class::Regular {
        ("containerStatuses", &case.status.containers)
    } else {
        ("initContainerStatuses", &case.status.init)
    };
    let index = statuses.iter().position(|status| status.name == *name).unwrap_or(0);
    format!("/status/{list}/{index}")
}

/// Returns a span in the largest two units, as in `3h12m`.
pub(super) fn span(time: jiff::SignedDuration) -> String {
    let seconds = time.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, 0) => format!("{hours}h"),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, 0, _) => format!("{days}d"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

/// Returns whether facts come from files.
pub(super) fn in_files(context: &Context<'_>) -> bool {
    context.facts.origin() == Origin::Manifests
}
