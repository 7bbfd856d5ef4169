//! What ends a zombie, the gentlest step first, each with its command, its outcome and the rights it needs.

mod later;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(super) use later::{
    NATIVE, Template, asks_to_quit, injector_patch, native_patch, native_switch, switch_of, too_old,
};
use later::{native, switch, template};

use super::outcome::{Action, Outcome, is_flag, outcome};
use super::view::{cron_of, job_of, jobs_of, moment, span, started, state};
use super::zombie::{Holder, Zombie};
use crate::audit::facts::{Facts, Of, Pod};
use crate::audit::kinds::{Container, CronJob, Job};
use crate::audit::needs::Fact;
use crate::audit::rule::Policy;
use crate::audit::text::Labels;
use crate::kinds::Condition as _;
use crate::pods::{Quit, Sidecar, Switch, restarts};

/// A step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Ask the sidecar to quit by its own endpoint.
    Quit,
    /// Send it SIGTERM; printed, never done.
    Signal,
    /// Make it a native sidecar: later runs only.
    Native,
    /// Its injector's own switch: later runs only.
    Switch,
    /// Give the job a deadline.
    Deadline,
    /// Delete the job.
    DeleteJob,
    /// Never: it runs the work again.
    DeletePod,
}

impl Step {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Signal => "signal",
            Self::Native => "native",
            Self::Switch => "switch",
            Self::Deadline => "deadline",
            Self::DeleteJob => "delete-job",
            Self::DeletePod => "delete-pod",
        }
    }
}

/// One way to end a zombie, or why it is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    /// Which.
    pub step: Step,
    /// In words.
    pub text: String,
    /// What to type.
    pub command: Option<String>,
    /// Operations of RFC 6902, against `object`.
    pub patch: Vec<Value>,
    /// What the patch is for.
    pub object: Option<String>,
    /// The rights it needs, as in `create pods/portforward`.
    pub rights: Vec<&'static str>,
    /// Why it is not offered.
    pub refused: Option<String>,
    /// What it leads to, one per branch.
    pub outcomes: Vec<Outcome>,
}

impl Ladder {
    fn new(step: Step, text: impl Into<String>) -> Self {
        let (command, object, refused) = (None, None, None);
        let (patch, rights, outcomes) = (Vec::new(), Vec::new(), Vec::new());
        Self { step, text: text.into(), command, patch, object, rights, refused, outcomes }
    }

    fn refused(self, why: impl Into<String>) -> Self {
        Self { command: None, patch: Vec::new(), refused: Some(why.into()), ..self }
    }

    /// Returns whether it ends the run that hangs now.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        matches!(self.step, Step::Quit | Step::DeleteJob)
    }

    /// Returns text and command as one sentence.
    #[must_use]
    pub fn words(&self) -> String {
        self.command.as_ref().map_or_else(|| self.text.clone(), |command| format!("{}: {command}", self.text))
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "step": self.step.as_str(),
            "text": self.text,
            "command": self.command,
            "object": self.object,
            "patch": self.patch,
            "rights": self.rights,
            "refused": self.refused,
        })
    }

    pub(super) fn outcomes_as_json(&self) -> Vec<Value> {
        let told = |outcome: &Outcome| {
            json!({
                "action": self.step.as_str(),
                "steps": outcome.steps,
                "podPhase": outcome.pod_phase.map(super::Phase::as_str),
                "job": outcome.job.as_str(),
                "runsAgain": outcome.runs_again,
                "assumptions": outcome.assumptions,
            })
        };
        self.outcomes.iter().map(told).collect()
    }
}

/// An endpoint that ends a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) method: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) enabled: bool,
    pub(super) confirmed: bool,
    by: String,
}

/// Returns the endpoint by which a holder quits, where its row knows one.
pub(super) fn quit_of(pod: &Pod, holder: &Holder<'_>) -> Option<Endpoint> {
    endpoint(sure(holder)?, &pod.meta.annotations, holder.member.container)
}

/// Returns the endpoint by which a container of a row quits, with what the pod's annotations say of it.
pub(super) fn endpoint(row: &Sidecar, annotations: &Labels, container: &Container) -> Option<Endpoint> {
    let fits = |quit: &&Quit| quit.for_names.is_empty() || quit.for_names.contains(&container.name);
    let quit = row.quit.iter().find(fits)?;
    let given = quit.port_from.as_ref().filter(|from| !from.annotation.is_empty());
    let given = given.and_then(|from| annotations.get(&from.annotation)?.parse().ok());
    let port = given.or(quit.port).or(quit.ports.first().copied())?;
    let method = quit.method.split('|').next().unwrap_or("POST").to_owned();
    let enabled = quit.enabled_by.as_ref().is_none_or(|by| {
        switched(by, |name| annotations.get(name))
            || !by.arg.is_empty() && container.command.iter().chain(&container.args).any(|arg| is_flag(arg, &by.arg))
    });
    let by = quit.enabled_by.as_ref().map_or_else(String::new, |by| format!("{}{}", by.annotation, by.arg));
    // One of several usual ports is a guess.
    let confirmed = quit.confirmed != Some(false) && (given.is_some() || quit.port.is_some());
    Some(Endpoint { method, port, path: quit.path.clone(), enabled, confirmed, by })
}

/// Returns whether an annotation switches something on.
pub(super) fn switched<'a>(by: &Switch, annotation: impl Fn(&str) -> Option<&'a str>) -> bool {
    if by.annotation.is_empty() {
        return false;
    }
    match by.annotation.split_once('=') {
        Some((name, value)) => annotation(name) == Some(value),
        None => annotation(&by.annotation).is_some(),
    }
}

/// Returns a holder's row, if it is known by more than its name or image alone.
pub(super) fn sure<'a>(holder: &Holder<'a>) -> Option<&'a Sidecar> {
    let row = holder.role.row?;
    let known = |hit: &crate::pods::RoleHit| {
        hit.role == crate::pods::Role::Sidecar
            && hit.step >= 4
            && hit.step <= 5
            && hit.proof >= crate::audit::Proof::Model
    };
    holder.role.hits.iter().any(known).then_some(row)
}

/// Returns every step for a zombie, refused ones with their reason.
#[must_use]
pub fn ladder(facts: &Facts, policy: &Policy, zombie: &Zombie<'_>, now: Timestamp) -> Vec<Ladder> {
    let pod = zombie.pod;
    let job = job_of(facts, pod);
    let cron = job.and_then(|job| cron_of(facts, job));
    let ends = |action: Action<'_>| outcome(facts, pod, action, &policy.sidecars, now);
    let mut steps = Vec::new();
    for holder in &zombie.holders {
        steps.push(Ladder { outcomes: ends(Action::Quit(holder.name())), ..quit(facts, pod, holder) });
        steps.push(Ladder { outcomes: ends(Action::Signal(holder.name())), ..signal(facts, pod, holder) });
        if let Some((job, holds)) = job.map(|job| (job, template(job, cron))) {
            steps.extend(holds.map(|holds| Ladder {
                outcomes: ends(Action::TemplatePatch),
                ..native(facts, zombie, holder, job, &holds)
            }));
            steps.extend(template(job, cron).and_then(|holds| switch(facts, holder, &holds)));
        }
    }
    if let Some(job) = job {
        let (step, after) = deadline(facts, job, cron, now);
        let outcomes = after.map_or_else(Vec::new, |after| ends(Action::Deadline(after)));
        steps.push(Ladder { outcomes, ..step });
        steps.push(Ladder { outcomes: ends(Action::DeleteJob), ..delete_job(job) });
    }
    let never = Ladder::new(Step::DeletePod, "do not delete the pod: its work would run again");
    steps.push(Ladder { outcomes: ends(Action::DeletePod), ..never }.refused("it runs work again that is over"));
    steps
}

/// Where there is neither exec nor port-forward.
fn is_virtual(facts: &Facts, pod: &Pod) -> bool {
    let Some(node) = facts.node(&pod.node) else { return pod.node.starts_with("fargate-") };
    let labels = &node.meta.labels;
    let taints = node.spec.iter().flat_map(|spec| &spec.taints);
    labels.get("type") == Some("virtual-kubelet")
        || labels.get("eks.amazonaws.com/compute-type") == Some("fargate")
        || taints.into_iter().any(|taint| taint.key.starts_with("virtual-kubelet.io/"))
}

pub(super) fn quit(facts: &Facts, pod: &Pod, holder: &Holder<'_>) -> Ladder {
    let name = holder.name();
    let step = Ladder::new(Step::Quit, format!("ask {name} to quit"));
    let Some(endpoint) = quit_of(pod, holder) else {
        return step.refused(format!("no endpoint is known by which {name} quits"));
    };
    if !endpoint.enabled {
        return step.refused(format!("it needs {}, which is off", endpoint.by));
    }
    if !endpoint.confirmed {
        return step.refused("its port is not confirmed");
    }
    if holder.member.container.liveness_probe.is_some() && restarts(holder.member, &pod.spec, 1) {
        return step.refused("its liveness probe would start it again");
    }
    if is_virtual(facts, pod) {
        return step.refused("its node is virtual: there is no port-forward");
    }
    if pod.spec.host_network {
        return step.refused("the pod uses its node's network: who listens on the port may be another pod's process");
    }
    let Endpoint { method, port, path, .. } = endpoint;
    let (namespace, pod) = (&pod.meta.namespace, &pod.meta.name);
    let command = format!(
        "kubectl port-forward -n {namespace} pod/{pod} {port}:{port} & curl -X {method} http://127.0.0.1:{port}{path}"
    );
    Ladder { command: Some(command), rights: vec!["get pods", "create pods/portforward"], ..step }
}

fn signal(facts: &Facts, pod: &Pod, holder: &Holder<'_>) -> Ladder {
    let name = holder.name();
    let step = Ladder::new(Step::Signal, format!("send SIGTERM to {name}, if its image has a kill command"));
    if is_virtual(facts, pod) {
        return step.refused("its node is virtual: there is no exec");
    }
    let (namespace, pod) = (&pod.meta.namespace, &pod.meta.name);
    let command = format!("kubectl exec -n {namespace} {pod} -c {name} -- kill -TERM 1");
    Ladder { command: Some(command), rights: vec!["create pods/exec"], ..step }
}

/// Returns three times the 99th percentile of the owner's successful runs, of three at least.
fn usual(facts: &Facts, cron: Option<&Of<CronJob>>, least: usize) -> Option<SignedDuration> {
    let took = |job: &Of<Job>| {
        let super::JobState::Finished(found) = state(job) else { return None };
        let status = job.status.as_ref().filter(|_| found.r#type == "Complete" && found.is_true())?;
        Some(moment(status.completion_time.as_ref())?.duration_since(started(job)?))
    };
    let name = cron?;
    let cron =
        facts.cron_jobs().iter().find(|c| c.meta.namespace == name.meta.namespace && c.meta.name == name.meta.name)?;
    let mut times: Vec<SignedDuration> = jobs_of(facts, cron).filter_map(took).collect();
    times.sort_unstable();
    if times.len() < least {
        return None;
    }
    let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(at).map(|time| *time * 3)
}

fn deadline(
    facts: &Facts,
    job: &Of<Job>,
    cron: Option<&Of<CronJob>>,
    now: Timestamp,
) -> (Ladder, Option<SignedDuration>) {
    let step = Ladder::new(Step::Deadline, "set a deadline; the job is then marked Failed although its work is done");
    let Some(after) = usual(facts, cron, 3) else {
        return (step.refused("fewer than three successful runs say how long a run takes"), None);
    };
    let past = started(job).is_some_and(|start| now.duration_since(start) >= after);
    let text = if past { "set a deadline; it is past already, the job fails at once" } else { step.text.as_str() };
    let (namespace, name, seconds) = (&job.meta.namespace, &job.meta.name, after.as_secs());
    let patch = vec![json!({"op": "add", "path": "/spec/activeDeadlineSeconds", "value": seconds})];
    let command = format!(
        "kubectl patch job {name} -n {namespace} --type=json -p '{}'",
        serde_json::to_string(&patch).unwrap_or_default()
    );
    let text = format!("{text} (three times the 99th percentile of its runs: {})", span(after));
    let object = Some(format!("job/{name}"));
    (Ladder { text, command: Some(command), patch, object, rights: vec!["patch jobs"], ..step }, Some(after))
}

pub(super) fn delete_job(job: &Of<Job>) -> Ladder {
    let (namespace, name) = (&job.meta.namespace, &job.meta.name);
    let step = Ladder::new(Step::DeleteJob, "delete the job; the record of the run is lost");
    for hook in ["helm.sh/hook", "argocd.argoproj.io/hook"] {
        if job.meta.annotations.get(hook).is_some() {
            return step.refused(format!("it is a hook ({hook}): what waits for it would fail"));
        }
    }
    let foreign =
        |owner: &&std::sync::Arc<crate::audit::facts::Owner>| Fact::of("batch", &owner.kind) != Some(Fact::CronJob);
    if let Some(owner) = job.meta.owner.as_ref().filter(foreign) {
        return step.refused(format!("{} {} made it", owner.kind, owner.name));
    }
    if let Some(by) = applier(job) {
        return step.refused(format!("{by} would make it again, and its work would run again"));
    }
    let command = format!("kubectl delete job {name} -n {namespace} --cascade=background");
    Ladder { command: Some(command), rights: vec!["delete jobs"], ..step }
}

/// Returns what keeps a job as it is written elsewhere, where it says so: a job that is taken away comes back.
fn applier(job: &Of<Job>) -> Option<&'static str> {
    if job.meta.owner.is_some() {
        return None;
    }
    let flux = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];
    if flux.iter().any(|label| job.meta.labels.get(label).is_some()) {
        return Some("Flux");
    }
    job.meta.annotations.get("argocd.argoproj.io/tracking-id").map(|_| "Argo CD")
}
