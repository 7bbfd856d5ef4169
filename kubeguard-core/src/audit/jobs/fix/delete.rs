//! Jobs that are deleted.

use jiff::Timestamp;

use super::{Act, Call, Fix, Target, context};
use crate::audit::facts::{Facts, Object, Of, Pod, Read};
use crate::audit::jobs::outcome::deletion;
use crate::audit::jobs::stuck::{self, Stuck};
use crate::audit::jobs::view::cron_of;
use crate::audit::jobs::{JobState, ladder, state};
use crate::audit::kinds::Job;
use crate::audit::needs::Fact;
use crate::audit::report::{Finding, ObjectName, Proof, Severity};
use crate::audit::rule::Policy;
use crate::pods::{Class, Role, members};

/// Returns the act that findings about one object lead to.
pub(super) fn of_findings(
    facts: &Facts,
    policy: &Policy,
    object: &ObjectName,
    findings: &[&Finding],
    now: Timestamp,
) -> Act {
    let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    if let Some(job) = named(facts, object) {
        return act(facts, policy, job, &rules, now);
    }
    let why = if object.kind == "Job" {
        "it could not be read, or is gone"
    } else {
        "it has no job to delete, and a pod is never deleted: its work would run again"
    };
    Act {
        fix: Fix::Delete,
        object: object.clone(),
        job: None,
        pod: None,
        container: None,
        rules: rules.into_iter().map(ToOwned::to_owned).collect(),
        proof: findings.iter().map(|finding| finding.proof).max().unwrap_or(Proof::Hint),
        call: None,
        predicted: Vec::new(),
        notes: Vec::new(),
        refused: Some(why.to_owned()),
    }
}

fn named<'a>(facts: &'a Facts, object: &ObjectName) -> Option<&'a Of<Job>> {
    let same = |job: &&Of<Job>| job.meta.namespace == *object.namespace && job.meta.name == *object.name;
    facts.jobs().iter().find(same).filter(|_| object.kind == "Job")
}

fn act(facts: &Facts, policy: &Policy, job: &Of<Job>, rules: &[&str], now: Timestamp) -> Act {
    let context = context(facts, policy, now);
    let mut speak: Vec<Stuck> = stuck::all(&context, job);
    speak.retain(|found| rules.contains(&found.rule));
    let cron = job.meta.owner.as_ref().filter(|owner| owner.kind == "CronJob" && cron_of(facts, job).is_none());
    let notes = cron.map(|owner| format!("CronJob {} could not be read: its next run is not known", owner.name));
    Act {
        fix: Fix::Delete,
        object: job.object_name(),
        job: Some(Target::of(job)),
        pod: None,
        container: None,
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        proof: speak.iter().map(|found| found.proof).max().unwrap_or(Proof::Hint),
        call: Some(Call::DeleteJob),
        predicted: vec![deletion(facts, Some(job), now)],
        notes: notes.into_iter().collect(),
        refused: refusal(facts, policy, job, &speak, now),
    }
}

/// Returns why a job is not deleted.
fn refusal(facts: &Facts, policy: &Policy, job: &Of<Job>, speak: &[Stuck], now: Timestamp) -> Option<String> {
    if !matches!(state(job), JobState::Active | JobState::Doomed(_)) {
        return Some("it is not stuck: it has finished, is suspended, or another controller runs it".to_owned());
    }
    if job.meta.deleted.is_some() {
        let waits = job.meta.finalizers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Some(format!("it is being deleted already; its finalizers: {waits}"));
    }
    if speak.is_empty() {
        return Some("nothing says that it is stuck any more".to_owned());
    }
    if speak.iter().all(|found| found.proof == Proof::Hint) {
        return Some("that it is stuck is only a guess".to_owned());
    }
    if speak.iter().all(|found| found.proof == Proof::Hint || found.severity == Severity::Info) {
        return Some("something else is at work on it, as the finding says".to_owned());
    }
    let unread = facts.gaps().iter().find(|gap| {
        gap.fact == Fact::Pod && gap.namespace.as_deref().is_none_or(|namespace| job.meta.namespace == *namespace)
    });
    let unread = unread.map(|gap| gap.reason.as_str()).or(match facts.read(Fact::Pod) {
        Read::Not(reason) => Some(reason.as_str()),
        _ => None,
    });
    if let Some(reason) = unread {
        return Some(format!("whether its work still runs is not known: {reason}"));
    }
    if let Some(why) = ladder::delete_job(job).refused {
        return Some(why);
    }
    facts.pods_of(job).find_map(|pod| at_work(facts, policy, pod, now))
}

/// Returns what of a pod may still be at work: a container that is not known to be a sidecar, and has begun and not ended.
fn at_work(facts: &Facts, policy: &Policy, pod: &Pod, now: Timestamp) -> Option<String> {
    if pod.is_over() || pod.meta.deleted.is_some() {
        return None;
    }
    let name = &pod.meta.name;
    let roles = facts.roles(pod, &policy.sidecars, now);
    let beside = |container: &str| {
        roles.iter().any(|role| role.container == container && role.role == Role::Sidecar && role.proof >= Proof::Model)
    };
    for member in members(&pod.spec).filter(|member| matches!(member.class, Class::Regular | Class::Init)) {
        let container = member.container.name.as_str();
        if member.class == Class::Regular && beside(container) {
            continue;
        }
        let Some(status) = pod.status.as_ref().and_then(|status| status.container(container)) else {
            // Before the kubelet has taken the pod nothing can run.
            if pod.phase() == "Pending" {
                continue;
            }
            return Some(format!("what container {container} of pod {name} does is not known"));
        };
        let begun = status.is_running() || (status.terminated().is_none() && status.last.is_some());
        // An init container that crashes is what holds the pod; one that runs may be at work.
        if begun && (member.class == Class::Regular || status.is_running()) {
            return Some(format!("work may still run: container {container} of pod {name} has not ended"));
        }
    }
    None
}

/// Judges an act again: the same job, still stuck by the same rules, and nothing at work.
pub(super) fn still(
    planned: &Act,
    rules: &[&str],
    facts: &Facts,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), String> {
    let name = &planned.object.name;
    let Some(job) = named(facts, &planned.object) else { return Err(format!("job {name} is gone")) };
    if planned.job.as_ref().is_none_or(|target| job.meta.uid != *target.uid) {
        return Err(format!("job {name} is another one now"));
    }
    act(facts, policy, job, rules, now).refused.map_or(Ok(()), Err)
}
