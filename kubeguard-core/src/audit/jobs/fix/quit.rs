//! Sidecars that are asked to quit.

use jiff::Timestamp;

use super::{Act, Call, Fix, Instance, Target, context, pod_of};
use crate::audit::engine::folded_name;
use crate::audit::facts::{ContainerStatus, Ended, Facts, Pod, State};
use crate::audit::jobs::view::job_of;
use crate::audit::jobs::{Action, Ends, Holder, Outcome, Phase, Zombie, held, ladder, outcome, zombie};
use crate::audit::needs::Fact;
use crate::audit::report::Proof;
use crate::audit::rule::{Fold, Policy};

/// Returns an act for each sidecar of a pod that some rules speak of, in the order of the containers.
///
/// The sidecars of one pod are asked all or none: one that stays would hold the pod all the same.
pub(super) fn acts(facts: &Facts, policy: &Policy, rules: &[&str], pod: &Pod, now: Timestamp) -> Vec<Act> {
    let context = context(facts, policy, now);
    let spoken = held::spoken(&context, rules, pod);
    let Some(whole) = zombie(facts, pod, &policy.sidecars, now).filter(|_| !spoken.is_empty()) else {
        return Vec::new();
    };
    let names = |zombie: &Zombie<'_>, name: &str| zombie.holders.iter().any(|holder| holder.name() == name);
    let mut state = pod.clone();
    let mut acts = Vec::new();
    for holder in &whole.holders {
        let name = holder.name();
        let speak = spoken.iter().filter(|(_, zombie)| names(zombie, name));
        let rules: Vec<String> = speak.map(|(rule, _)| (*rule).to_owned()).collect();
        let predicted = outcome(facts, &state, Action::Quit(name), &policy.sidecars, now);
        end(&mut state, name, now);
        // One that no finding names may still end by itself: that holds the others back, and nothing is done to it.
        if !rules.is_empty() {
            acts.push(act(facts, pod, holder, rules, predicted));
        }
    }
    let quiet = whole.holders.iter().find(|holder| !acts.iter().any(|act| is_of(act, holder.name())));
    let together = quiet
        .map(|holder| format!("sidecar {} holds the pod too, and has time left to end by itself", holder.name()))
        .or_else(|| doubt(facts, &whole, acts.last()?));
    refuse_together(&mut acts, together);
    acts
}

fn is_of(act: &Act, name: &str) -> bool {
    act.container.as_ref().is_some_and(|container| container.name == name)
}

fn act(facts: &Facts, pod: &Pod, holder: &Holder<'_>, rules: Vec<String>, predicted: Vec<Outcome>) -> Act {
    let call = ladder::quit_of(pod, holder).map(|endpoint| Call::InPod {
        method: endpoint.method,
        port: endpoint.port,
        path: endpoint.path,
    });
    let blind = facts.nodes().is_empty() && !facts.knows(Fact::Node);
    let notes = blind.then(|| "nodes could not be read: whether its node forwards ports is not known".to_owned());
    Act {
        fix: Fix::Quit,
        object: folded_name(facts, pod, Fold::Job),
        job: job_of(facts, pod).map(|job| Target::of(job)),
        pod: Some(Target::of(pod)),
        container: Some(instance(holder.status)),
        rules,
        proof: holder.role.proof,
        call,
        predicted,
        notes: notes.into_iter().collect(),
        refused: refusal(facts, pod, holder),
    }
}

pub(super) fn instance(status: &ContainerStatus) -> Instance {
    let started = match &status.state {
        State::Running { since } => *since,
        _ => None,
    };
    Instance { name: status.name.to_string(), restarts: status.restarts, started }
}

/// Marks a container as ended with 0, so that what the next one leads to is predicted from there.
fn end(pod: &mut Pod, name: &str, now: Timestamp) {
    let list = pod.status.as_mut().map(|status| &mut status.containers);
    if let Some(found) = list.into_iter().flatten().find(|found| found.name == *name) {
        found.state = State::Terminated(Box::new(Ended { finished: Some(now), ..Ended::default() }));
    }
}

/// Returns why one sidecar is not asked.
fn refusal(facts: &Facts, pod: &Pod, holder: &Holder<'_>) -> Option<String> {
    let name = holder.name();
    if holder.role.proof == Proof::Hint {
        return Some(format!(
            "that {name} is a sidecar is only a guess: the annotation kubeguard.dev/sidecar-containers makes it sure"
        ));
    }
    if let Some(why) = ladder::quit(facts, pod, holder).refused {
        return Some(why);
    }
    if !holder.status.is_running() {
        return Some(format!("{name} does not run at the moment"));
    }
    match ladder::sure(holder).and_then(|row| row.exit.as_ref()?.quit) {
        None => Some(format!("with which code {name} ends when it is asked is not known, nor what follows")),
        Some(0) => None,
        // What comes after it is predicted for 0; any other code would need a prediction of its own.
        Some(code) => Some(format!("{name} ends with {code} when it is asked: only 0 ends a pod well")),
    }
}

/// Returns why the sidecars of a pod are not asked although each could be: by what the last one leads to.
fn doubt(facts: &Facts, zombie: &Zombie<'_>, last: &Act) -> Option<String> {
    let pod = zombie.pod;
    let owner = pod.meta.owner.as_ref();
    let job = job_of(facts, pod);
    if let Some(owner) = owner.filter(|owner| owner.kind == "Job" && job.is_none()) {
        return Some(format!("job {} could not be read, or is gone: what follows is not known", owner.name));
    }
    if last.refused.is_some() {
        return None;
    }
    let [outcome] = last.predicted.as_slice() else {
        return Some("what follows is not known".to_owned());
    };
    if !matches!(outcome.pod_phase, Some(Phase::Succeeded | Phase::Failed)) {
        return Some(format!("it would not end the pod: {}", outcome.steps.join("; ")));
    }
    if let Some(owner) = owner.filter(|_| job.is_none() && outcome.pod_phase == Some(Phase::Failed)) {
        return Some(format!("what {} {} does with a pod that failed is not known", owner.kind, owner.name));
    }
    match outcome.runs_again {
        None => Some(format!("whether the work runs again is not known: {}", outcome.steps.join("; "))),
        Some(true) if zombie.succeeded() => {
            Some(format!("the work succeeded and would run again: {}", outcome.steps.join("; ")))
        }
        Some(_) => None,
    }
}

/// Refuses every act of a pod where one of them is refused.
fn refuse_together(acts: &mut [Act], together: Option<String>) {
    let refused = acts.iter().find(|act| act.refused.is_some());
    let other = refused
        .and_then(|act| Some(format!("sidecar {} holds the pod too, and is not asked", act.container.as_ref()?.name)));
    let Some(why) = other.or(together) else { return };
    for act in acts.iter_mut().filter(|act| act.refused.is_none()) {
        act.refused = Some(why.clone());
    }
}

/// Judges an act again: the same pod, the same sidecar, the same request, the same outcome.
pub(super) fn still(act: &Act, rules: &[&str], facts: &Facts, policy: &Policy, now: Timestamp) -> Result<(), String> {
    let (Some(target), Some(container)) = (&act.pod, &act.container) else { return Err("it names no pod".to_owned()) };
    let name = &target.name.name;
    let Some(pod) = pod_of(facts, target) else { return Err(format!("pod {name} is gone")) };
    if pod.meta.uid != *target.uid {
        return Err(format!("pod {name} is another one now"));
    }
    let fresh = acts(facts, policy, rules, pod, now);
    let Some(found) = fresh.into_iter().find(|fresh| is_of(fresh, &container.name)) else {
        return Err(held_no_more(pod, container));
    };
    if found.container.as_ref() != Some(container) {
        return Err(format!("{} was started again since", container.name));
    }
    if let Some(why) = found.refused {
        return Err(why);
    }
    let ends = |act: &Act| -> Vec<(Option<Phase>, Ends, Option<bool>)> {
        act.predicted.iter().map(|outcome| (outcome.pod_phase, outcome.job, outcome.runs_again)).collect()
    };
    if found.call != act.call || found.job != act.job {
        return Err(format!("what {} is asked for is another thing now", container.name));
    }
    if ends(&found) != ends(act) {
        let now = found.predicted.first().map_or_else(String::new, |outcome| outcome.steps.join("; "));
        return Err(format!("it would lead to something else now: {now}"));
    }
    Ok(())
}

fn held_no_more(pod: &Pod, container: &Instance) -> String {
    let status = pod.status.as_ref().and_then(|status| status.container(&container.name));
    if pod.meta.deleted.is_some() {
        return "the pod is being deleted".to_owned();
    }
    match status {
        Some(status) if status.is_running() => {
            format!("{} does not hold work that is over any more", container.name)
        }
        _ => format!("{} does not run any more", container.name),
    }
}
