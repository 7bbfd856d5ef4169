//! The books of the Job controller: what it makes of a pod that has ended.
//!
//! Source: `syncJob` of `pkg/controller/job/job_controller.go`, with `indexed_job_utils.go`, `success_policy.go` and
//! `pod_failure_policy.go` beside it; in their order of conditions.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::outcome::{Ends, matches};
use super::view::{JobState, deadline, state};
use crate::audit::facts::{Facts, Of, Pod, PodStatus};
use crate::audit::kinds::{Job, JobSpec};
use crate::pods::{Class, members};

/// What a pod that has ended means to its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) step: String,
    pub(super) job: Ends,
    /// Whether the work of the pod runs again; `None` where that cannot be told.
    pub(super) runs_again: Option<bool>,
    pub(super) assumption: Option<String>,
}

impl Entry {
    fn new(job: Ends, runs_again: Option<bool>, step: impl Into<String>) -> Self {
        Self { step: step.into(), job, runs_again, assumption: None }
    }
}

/// How a pod failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure<'a> {
    /// Its phase is `Failed`: a podFailurePolicy looks at it.
    Ended(&'a PodStatus),
    /// It is being deleted, and that counts.
    Deleted,
}

/// A job as its controller counts it, one of its pods left out.
pub(super) struct Books<'a> {
    pub(super) job: &'a Of<Job>,
    spec: &'a JobSpec,
    pod: &'a Pod,
    now: Timestamp,
    /// Other pods that have not ended and are not leaving.
    others: i64,
    /// Restarts of all containers of those that run or wait.
    restarts: i64,
    succeeded: i64,
    failed: i64,
    completed: BTreeSet<i32>,
    lost: BTreeSet<i32>,
    terminating: i64,
}

/// Reads `1,3-5`; what is no number is left out.
fn indexes(text: &str) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<i32>(), to.parse::<i32>()) {
            // The API allows 100 000 completions.
            found.extend((from..=to).take(100_001));
        }
    }
    found
}

fn length<T>(list: &[T]) -> i64 {
    i64::try_from(list.len()).unwrap_or(i64::MAX)
}

impl<'a> Books<'a> {
    /// Opens the books of a job for one of its pods; `None` for a job without a spec.
    pub(super) fn of(facts: &'a Facts, job: &'a Of<Job>, pod: &'a Pod, now: Timestamp) -> Option<Self> {
        let spec = job.spec.as_ref()?;
        let alive = facts
            .pods_of(job)
            .filter(|other| !other.is_over() && other.meta.deleted.is_none() && other.meta.name != pod.meta.name);
        let alive: Vec<&Pod> = alive.collect();
        let restarts = alive.iter().map(|other| restarts(other)).sum();
        let status = job.status.as_ref();
        let uncounted = status.and_then(|status| status.uncounted_terminated_pods.as_ref());
        let succeeded = i64::from(status.map_or(0, |status| status.succeeded))
            + uncounted.map_or(0, |pods| length(&pods.succeeded));
        let failed =
            i64::from(status.map_or(0, |status| status.failed)) + uncounted.map_or(0, |pods| length(&pods.failed));
        Some(Self {
            job,
            spec,
            pod,
            now,
            others: length(&alive),
            restarts,
            succeeded,
            failed,
            completed: indexes(status.map_or("", |status| status.completed_indexes.as_str())),
            lost: indexes(status.map_or("", |status| status.failed_indexes.as_str())),
            terminating: i64::from(status.and_then(|status| status.terminating).unwrap_or(0)),
        })
    }

    fn is_indexed(&self) -> bool {
        self.spec.completion_mode == "Indexed"
    }

    /// Returns the pod's index, which the controller writes on it.
    fn index(&self) -> Option<i32> {
        let key = "batch.kubernetes.io/job-completion-index";
        let meta = &self.pod.meta;
        meta.annotations.get(key).or_else(|| meta.labels.get(key))?.parse().ok()
    }

    /// Returns whether a pod is replaced only when it has ended.
    pub(super) fn waits_for_the_end(&self) -> bool {
        self.spec.pod_replacement_policy == "Failed" || self.spec.pod_failure_policy.is_some()
    }

    fn limit(&self) -> i64 {
        i64::from(crate::audit::facts::job_backoff_limit(self.spec))
    }

    /// Returns what holds whatever the pod ends as: a job that is decided already, or that another controller counts.
    pub(super) fn decided(&self) -> Option<Entry> {
        let end =
            |kind: &str| if matches!(kind, "Complete" | "SuccessCriteriaMet") { Ends::Complete } else { Ends::Failed };
        match state(self.job) {
            JobState::Finished(found) | JobState::Doomed(found) => {
                let step = format!("the job is decided already ({}): this changes nothing", found.r#type);
                Some(Entry::new(end(&found.r#type), Some(false), step))
            }
            JobState::ExternallyManaged(by) => {
                let mut entry = Entry::new(Ends::Progressing, None, format!("{by} decides what follows"));
                entry.assumption = Some(format!("the books of {by} are not known"));
                Some(entry)
            }
            JobState::Suspended | JobState::Active => None,
        }
    }

    /// Returns what follows when the pod has succeeded.
    pub(super) fn succeeds(&self) -> Entry {
        if let Some(entry) = self.decided() {
            return entry;
        }
        let mut completed = self.completed.clone();
        if self.is_indexed() {
            let Some(index) = self.index() else { return Self::without_index() };
            completed.insert(index);
        }
        let succeeded = if self.is_indexed() { length_of(&completed) } else { self.succeeded + 1 };
        if let Some(entry) = self.over(self.failed, &completed, &self.lost) {
            return Entry { runs_again: Some(false), ..entry };
        }
        let wanted = self.spec.completions;
        let enough = wanted.is_none_or(|wanted| succeeded >= i64::from(wanted));
        // A suspended job has no active pods: they are taken away.
        let others = if self.is_suspended() { 0 } else { self.others };
        if enough && others == 0 {
            return self.ends(Ends::Complete, "the job completes");
        }
        let of = wanted.map_or_else(String::new, |wanted| format!(" of {wanted}"));
        if self.is_suspended() {
            let step = format!("{succeeded}{of} succeeded; the job is suspended and makes no pod until it is resumed");
            return Entry::new(Ends::Suspended, Some(false), step);
        }
        Entry::new(Ends::Progressing, Some(false), format!("{succeeded}{of} succeeded, the others go on"))
    }

    /// Returns what follows when the pod has failed.
    pub(super) fn fails(&self, how: Failure<'_>) -> Entry {
        if let Some(entry) = self.decided() {
            return entry;
        }
        let rules = self.spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
        let rule = match how {
            Failure::Ended(status) => rules.into_iter().find(|rule| matches(rule, status)),
            Failure::Deleted => None,
        };
        match rule.map_or("", |rule| rule.action.as_str()) {
            "FailJob" => self.ends(Ends::Failed, "its podFailurePolicy fails the job"),
            "Ignore" => self.goes_on(self.failed, "its podFailurePolicy ignores the failure"),
            "FailIndex" => self.loses_index("its podFailurePolicy fails the index"),
            _ => self.counts(),
        }
    }

    /// Returns what follows when a container of the pod is started once more, if that ends the job.
    pub(super) fn restarted(&self) -> Option<Entry> {
        let (all, limit) = (self.restarts + restarts(self.pod) + 1, self.limit());
        let over = self.pod.spec.restart_policy == "OnFailure" && all >= limit.max(1);
        over.then(|| {
            self.ends(Ends::Failed, format!("{all} restarts of containers reach backoffLimit {limit}: the job fails"))
        })
    }

    /// Returns what follows when a failure counts.
    fn counts(&self) -> Entry {
        let failed = self.failed + 1;
        let Some(each) = self.spec.backoff_limit_per_index else {
            let limit = self.limit();
            if failed > limit {
                let step = format!("{failed} failures are more than backoffLimit {limit}: the job fails");
                return self.ends(Ends::Failed, step);
            }
            return self.goes_on(failed, format!("attempt {} of {}", failed + 1, limit.saturating_add(1)));
        };
        let Some(index) = self.index() else { return Self::without_index() };
        if failed > self.limit() {
            let step = format!("{failed} failures are more than backoffLimit {}: the job fails", self.limit());
            return self.ends(Ends::Failed, step);
        }
        let before: i32 = self
            .pod
            .meta
            .annotations
            .get("batch.kubernetes.io/job-index-failure-count")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0);
        if before >= each {
            return self.loses_index(format!("index {index} has failed more than {each} times, its limit"));
        }
        let step = format!("attempt {} of {} of index {index}", before + 2, i64::from(each) + 1);
        self.goes_on(failed, step)
    }

    /// Returns what follows when the pod's index is lost for good.
    fn loses_index(&self, step: impl Into<String>) -> Entry {
        let step = step.into();
        let Some(index) = self.index() else { return Self::without_index() };
        let mut lost = self.lost.clone();
        lost.insert(index);
        let entry = self.over(self.failed + 1, &self.completed, &lost).unwrap_or_else(|| {
            let job = if self.is_suspended() { Ends::Suspended } else { Ends::Progressing };
            Entry::new(job, Some(false), "the job fails once the other indexes are done")
        });
        Entry { step: format!("{step}; {}", entry.step), runs_again: Some(false), ..entry }
    }

    /// Returns what follows when the job may try again.
    fn goes_on(&self, failed: i64, step: impl Into<String>) -> Entry {
        let step = step.into();
        if let Some(entry) = self.over(failed, &self.completed, &self.lost) {
            return Entry { step: format!("{step}; {}", entry.step), ..entry };
        }
        let succeeded = if self.is_indexed() { length_of(&self.completed) } else { self.succeeded };
        let parallelism = i64::from(self.spec.parallelism.unwrap_or(1));
        let wanted = match self.spec.completions {
            Some(completions) => parallelism.min(i64::from(completions) - succeeded),
            // After the first success of a work queue no pod is made any more.
            None if succeeded > 0 => self.others,
            None => parallelism,
        };
        if self.is_suspended() {
            let step = format!("{step}; the job is suspended: the main runs again once it is resumed");
            return Entry::new(Ends::Suspended, None, step);
        }
        if parallelism == 0 {
            let step = format!("{step}; parallelism is 0: the main runs again once that is raised");
            return Entry::new(Ends::Progressing, None, step);
        }
        if wanted <= self.others {
            if self.spec.completions.is_none() && succeeded > 0 && self.others == 0 {
                return self.ends(Ends::Complete, format!("{step}; others have succeeded: the job completes"));
            }
            let step = format!("{step}; no pod is made for it, the others go on");
            return Entry::new(Ends::Progressing, Some(false), step);
        }
        Entry::new(Ends::Progressing, Some(true), format!("{step}: the main runs again"))
    }

    /// Returns how the job is over, whatever this pod ended as: in the controller's order.
    fn over(&self, failed: i64, completed: &BTreeSet<i32>, lost: &BTreeSet<i32>) -> Option<Entry> {
        let limit = self.limit();
        if failed > limit {
            let step = format!("{failed} failures are more than backoffLimit {limit}: the job fails");
            return Some(self.ends(Ends::Failed, step));
        }
        let on_failure = self.pod.spec.restart_policy == "OnFailure";
        if on_failure && self.restarts >= limit.max(1) {
            let step = format!(
                "the containers of its other pods were restarted {} times, backoffLimit is {limit}: the job fails",
                self.restarts
            );
            return Some(self.ends(Ends::Failed, step));
        }
        if !self.is_suspended()
            && let Some(end) = deadline(self.job).filter(|end| *end <= self.now)
        {
            return Some(self.ends(Ends::Failed, format!("its deadline was {end}: the job fails")));
        }
        if !self.is_indexed() {
            return None;
        }
        let all = i64::from(self.spec.completions.unwrap_or(1));
        let gone = length_of(lost);
        if self.spec.backoff_limit_per_index.is_some() {
            if let Some(most) = self.spec.max_failed_indexes.filter(|most| gone > i64::from(*most)) {
                let step = format!("{gone} failed indexes are more than maxFailedIndexes {most}: the job fails");
                return Some(self.ends(Ends::Failed, step));
            }
            if gone > 0 && gone + length_of(completed) >= all {
                let step = format!("{gone} of {all} indexes have failed and the others are done: the job fails");
                return Some(self.ends(Ends::Failed, step));
            }
        }
        self.meets_success_policy(completed).then(|| {
            self.ends(Ends::Complete, "its successPolicy is met: the other pods are deleted and the job completes")
        })
    }

    fn meets_success_policy(&self, completed: &BTreeSet<i32>) -> bool {
        self.spec.success_policy.iter().flat_map(|policy| &policy.rules).any(|rule| {
            let count = rule.succeeded_count.map(i64::from);
            if rule.succeeded_indexes.is_empty() {
                return count.is_some_and(|count| length_of(completed) >= count);
            }
            let named = indexes(&rule.succeeded_indexes);
            let met = length_of(&named.intersection(completed).copied().collect());
            met >= count.unwrap_or(length_of(&named))
        })
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend
    }

    /// Ends the job; the condition is written when no pod is terminating any more.
    fn ends(&self, job: Ends, step: impl Into<String>) -> Entry {
        let step = step.into();
        let step = match self.terminating {
            0 => step,
            pods => format!("{step}, once {pods} terminating pods are gone"),
        };
        Entry::new(job, Some(false), step)
    }

    fn without_index() -> Entry {
        let mut entry =
            Entry::new(Ends::Progressing, None, "what follows depends on the pod's index, which is not known");
        entry.assumption = Some("the pod carries no batch.kubernetes.io/job-completion-index".to_owned());
        entry
    }
}

fn length_of(indexes: &BTreeSet<i32>) -> i64 {
    i64::try_from(indexes.len()).unwrap_or(i64::MAX)
}

/// Returns the restarts of a pod's regular and init containers.
fn restarts(pod: &Pod) -> i64 {
    let Some(status) = pod.status.as_ref().filter(|_| matches!(pod.phase(), "Running" | "Pending")) else { return 0 };
    let names = members(&pod.spec).filter(|member| member.class != Class::Ephemeral);
    names.filter_map(|member| status.container(&member.container.name)).map(|found| i64::from(found.restarts)).sum()
}

#[cfg(test)]
mod tests;
