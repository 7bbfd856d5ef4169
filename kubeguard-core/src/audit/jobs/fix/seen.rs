//! What followed an act, beside what was predicted.

use super::{Act, Fix, pod_of};
use crate::audit::facts::Facts;
use crate::audit::jobs::{Ends, JobState, Phase, state};

/// What was seen after an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// What was predicted, in words.
    AsPredicted(String),
    /// Something else, in words.
    Differs(String),
    /// Nothing final yet: how it stands, in words.
    NotYet(String),
}

/// Judges facts that were read after an act.
///
/// Once the job is gone nothing more can be seen: with a pod that ended as predicted, or as the deletion of the job,
/// that is what was predicted.
#[must_use]
pub fn seen(act: &Act, facts: &Facts) -> Seen {
    match act.fix {
        Fix::Quit => quit(act, facts),
        Fix::Delete => delete(act, facts),
    }
}

fn delete(act: &Act, facts: &Facts) -> Seen {
    let target = act.job.as_ref();
    let same = facts.jobs().iter().find(|job| target.is_some_and(|target| job.meta.uid == *target.uid));
    match same {
        None => Seen::AsPredicted("the job is gone".to_owned()),
        Some(job) if job.meta.deleted.is_some() => {
            let waits = job.meta.finalizers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Seen::NotYet(format!("the job is being deleted; its finalizers: {waits}"))
        }
        Some(_) => Seen::NotYet("the job is still there".to_owned()),
    }
}

fn quit(act: &Act, facts: &Facts) -> Seen {
    let (Some(target), Some(container), [predicted]) = (&act.pod, &act.container, act.predicted.as_slice()) else {
        return Seen::NotYet("nothing is known of it".to_owned());
    };
    let pod = pod_of(facts, target).filter(|pod| pod.meta.uid == *target.uid);
    let finished = job(act, facts);
    let Some(pod) = pod else {
        // A pod may go as soon as it has ended; then the job alone tells.
        return match finished {
            Standing::Finished(as_it) if as_it == predicted.job => Seen::AsPredicted(word(as_it).to_owned()),
            Standing::Finished(as_it) => Seen::Differs(format!("{}, and the pod is gone", word(as_it))),
            _ => Seen::NotYet("the pod is gone before its end was seen".to_owned()),
        };
    };
    let Some(status) = pod.status.as_ref().and_then(|status| status.container(&container.name)) else {
        return Seen::NotYet(format!("what {} does is not known", container.name));
    };
    let fresh = super::quit::instance(status);
    if status.restarts > container.restarts || (status.is_running() && fresh.started != container.started) {
        return Seen::Differs(format!("{} was started again", container.name));
    }
    let phase = match pod.phase() {
        "Succeeded" => Some(Phase::Succeeded),
        "Failed" => Some(Phase::Failed),
        _ => None,
    };
    let code = status.terminated().map(|ended| ended.exit_code);
    let ended = code.map_or_else(
        || format!("{} still runs", container.name),
        |code| format!("{} ended with {code}", container.name),
    );
    match (phase, predicted.pod_phase) {
        (None, Some(Phase::Succeeded | Phase::Failed)) => Seen::NotYet(ended),
        // Others hold the pod: that this one has ended is all there is to see.
        (_, Some(Phase::Running | Phase::Pending) | None) => match code {
            Some(0) => Seen::AsPredicted(ended),
            Some(_) => Seen::Differs(ended),
            None => Seen::NotYet(ended),
        },
        (Some(phase), Some(wanted)) if phase != wanted => Seen::Differs(format!("{ended}, pod {}", phase.as_str())),
        (Some(phase), Some(_)) => {
            let so_far = format!("{ended}, pod {}", phase.as_str());
            match (finished, predicted.job) {
                // It has no job, or the job is gone with the pod that ended well.
                (Standing::Gone, _) | (_, Ends::Progressing | Ends::Suspended) => Seen::AsPredicted(so_far),
                (Standing::Finished(found), wanted) if found == wanted => {
                    Seen::AsPredicted(format!("{so_far}, {}", word(found)))
                }
                (Standing::Finished(found), _) => Seen::Differs(format!("{so_far}, {}", word(found))),
                (Standing::Open, _) => Seen::NotYet(format!("{so_far}; the job has not finished")),
            }
        }
    }
}

const fn word(ends: Ends) -> &'static str {
    match ends {
        Ends::Complete => "the job is complete",
        Ends::Failed => "the job failed",
        Ends::Progressing => "the job goes on",
        Ends::Suspended => "the job is suspended",
        Ends::Missing => "the job is gone",
    }
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is gone, or there never was one.
    Gone,
    /// It has not finished.
    Open,
    /// It has.
    Finished(Ends),
}

fn job(act: &Act, facts: &Facts) -> Standing {
    let same = |uid: &str| act.job.as_ref().is_some_and(|target| target.uid == uid);
    let Some(job) = facts.jobs().iter().find(|job| same(&job.meta.uid)) else { return Standing::Gone };
    match state(job) {
        JobState::Finished(condition) if condition.r#type == "Complete" => Standing::Finished(Ends::Complete),
        JobState::Finished(_) => Standing::Finished(Ends::Failed),
        _ => Standing::Open,
    }
}
