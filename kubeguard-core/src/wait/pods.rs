//! Why a pod is not ready: each container's state, the pod's conditions and its newest event, as suspects.

mod messages;

use jiff::Timestamp;

pub(in crate::wait) use self::messages::missing_reference;
use self::messages::{can_run, pull_failure};
use super::object::{Body, ObjectKey};
use super::policy::{Hold, Policy};
use super::reason::Reason;
use super::verdict::Suspect;
use super::view::View;
use crate::kinds::{Condition as _, Container, ContainerStatus, Event, Pod, PodSpec, Quantity, Terminated, Time};

/// Reasons by which a node ends a pod; a controller makes a new one.
const ENDED_BY_NODE: [&str; 9] = [
    "Evicted",
    "Preempting",
    "NodeShutdown",
    "Shutdown",
    "Terminated",
    "NodeLost",
    "NodeAffinity",
    "UnexpectedAdmissionError",
    "DisruptionTarget",
];

/// Classifies a pod by the states of its containers, its conditions and events. Never looks at phase or deletion.
pub(super) fn classify(pod: &Pod, view: &View, policy: &Policy) -> Vec<Suspect> {
    let events = view.events(&pod.metadata.uid);
    let look = Look {
        pod,
        view,
        policy,
        newest: events.last().copied().filter(|event| event.r#type == "Warning"),
        events,
        key: ObjectKey::new("", "Pod", &pod.metadata.namespace, &pod.metadata.name),
    };
    let mut findings = Vec::new();
    let Some(status) = &pod.status else { return findings };
    let spec = pod.spec.clone().unwrap_or_default();
    for (statuses, containers, init) in [
        (&status.init_container_statuses, &spec.init_containers, true),
        (&status.container_statuses, &spec.containers, false),
    ] {
        for container in statuses {
            let spec = containers.iter().find(|spec| spec.name == container.name);
            let sidecar = spec.is_some_and(|spec| spec.restart_policy == "Always");
            look.container(container, spec, init && !sidecar, &mut findings);
        }
    }
    look.conditions(&mut findings);
    look.mounts(&mut findings);
    for suspect in &mut findings {
        suspect.of_pod = true;
    }
    findings
}

/// Returns whether the node ended the pod for a reason of its own, so that its controller makes a new one.
pub(super) fn is_ended_by_node(reason: &str) -> bool {
    ENDED_BY_NODE.contains(&reason) || reason.starts_with("OutOf")
}

struct Look<'a> {
    pod: &'a Pod,
    view: &'a View,
    policy: &'a Policy,
    events: Vec<&'a Event>,
    /// The newest event, if it is a warning: an older one is superseded by a newer normal event.
    newest: Option<&'a Event>,
    key: ObjectKey,
}

impl Look<'_> {
    fn suspect(&self, rule: &'static str, reason: Reason, message: impl Into<String>) -> Suspect {
        let node = self.pod.spec.as_ref().map_or("", |spec| spec.node_name.as_str());
        Suspect::new(rule, reason, &self.key, message).name("node", node)
    }

    /// Something that the pod names is not there; what the same set will bring never fails it.
    fn missing(&self, message: &str, reference: &str) -> Suspect {
        let suspect = self.suspect("WD-P4", Reason::MissingReference, message).name("reference", reference);
        let (kind, name) = reference.split_once(' ').unwrap_or((reference, ""));
        let name = name.split(' ').next().unwrap_or(name);
        if self.view.is_to_come(&ObjectKey::new("", kind, &self.key.namespace, name)) {
            let message = format!("{message}: it is in this set, and not applied yet");
            return Suspect { message, holds: Some([Hold::Never; 3]), ..suspect };
        }
        suspect
    }

    fn container(&self, status: &ContainerStatus, spec: Option<&Container>, init: bool, findings: &mut Vec<Suspect>) {
        let image = spec.map_or(status.image.as_str(), |spec| spec.image.as_str());
        let add = |findings: &mut Vec<Suspect>, mut suspect: Suspect| {
            suspect.container = Some(status.name.clone());
            suspect.since = suspect.since.or_else(|| self.began(status));
            suspect.restarts = status.restart_count.map(|count| u32::try_from(count).unwrap_or(0));
            findings.push(suspect.name("container", &status.name).name("image", image));
        };
        let state = status.state.clone().unwrap_or_default();
        if let Some(waiting) = &state.waiting {
            let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            if let Some(suspect) = self.waiting(status, &waiting.reason, &waiting.message, last, init) {
                add(findings, suspect);
            }
        } else if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
            if let Some(suspect) = self.ended(status, ended, init) {
                add(findings, suspect);
            }
        } else if state.running.is_some() && !status.ready && !init {
            if let Some(last) = self.beyond_budget(status) {
                add(findings, self.suspect("WD-P4", Reason::CrashLoop, exit(status, last)));
            } else if let Some(suspect) = self.probe(spec) {
                add(findings, suspect);
            }
        }
    }

    fn waiting(
        &self,
        status: &ContainerStatus,
        reason: &str,
        message: &str,
        last: Option<&Terminated>,
        init: bool,
    ) -> Option<Suspect> {
        let name = &status.name;
        match reason {
            "InvalidImageName" => Some(self.suspect("WD-P4", Reason::InvalidImageName, message)),
            "ErrImageNeverPull" => Some(self.suspect("WD-P4", Reason::ImageNeverPull, message)),
            "ErrImagePull" | "ImagePullBackOff" => {
                let detail = self.pull_detail(name, reason, message);
                let found = pull_failure(&detail);
                let said = if detail.is_empty() { message.to_owned() } else { detail };
                Some(self.suspect("WD-P4", found, said))
            }
            "CreateContainerConfigError" => {
                let waits = message.contains("failed to sync") && message.contains("cache");
                if waits {
                    return Some(self.suspect("WD-P4", Reason::ConfigCacheSync, message));
                }
                Some(self.missing(message, &missing_reference(message).unwrap_or_default()))
            }
            "CreateContainerError" | "RunContainerError" | "StartError" | "ContainerCannotRun" => {
                let found = if can_run(message) { Reason::ContainerStart } else { Reason::BadCommand };
                Some(self.suspect("WD-P4", found, message))
            }
            "CrashLoopBackOff" => {
                let bad = last.is_some_and(is_bad_command);
                let found = match () {
                    () if bad => Reason::BadCommand,
                    () if init => Reason::InitCrashLoop,
                    () if self.is_killed_by_probe() => Reason::ProbeRestart,
                    () => Reason::CrashLoop,
                };
                let said = last.map_or_else(|| restarts(status, message), |last| exit(status, last));
                Some(self.suspect("WD-P4", found, said))
            }
            _ => None,
        }
    }

    fn ended(&self, status: &ContainerStatus, ended: &Terminated, init: bool) -> Option<Suspect> {
        let said = exit(status, ended);
        if is_bad_command(ended) {
            return Some(self.suspect("WD-P4", Reason::BadCommand, said));
        }
        let never = self.pod.spec.as_ref().is_some_and(|spec| spec.restart_policy == "Never");
        if never {
            return None;
        }
        let beyond = status.restart_count.is_none_or(|count| self.is_beyond(count));
        let found = match (beyond, init) {
            (false, _) => Reason::ContainerTerminated,
            (true, true) => Reason::InitCrashLoop,
            (true, false) => Reason::CrashLoop,
        };
        Some(self.suspect("WD-P4", found, said))
    }

    fn is_beyond(&self, count: i32) -> bool {
        i64::from(count) > i64::from(self.policy.restart_budget())
    }

    /// Returns the last termination of a container that has restarted too often, whatever it does this moment.
    fn beyond_budget<'c>(&self, status: &'c ContainerStatus) -> Option<&'c Terminated> {
        let last = status.last_state.as_ref()?.terminated.as_ref()?;
        (last.exit_code != 0 && status.restart_count.is_some_and(|count| self.is_beyond(count))).then_some(last)
    }

    /// Returns why the image cannot be pulled: from the state itself, the state before the back-off, or an event.
    fn pull_detail(&self, container: &str, reason: &str, message: &str) -> String {
        if reason == "ErrImagePull" {
            return message.to_owned();
        }
        if let Some((_, detail)) = message.split_once("ErrImagePull: ") {
            return detail.to_owned();
        }
        let seen = self.view.pull_message(&self.pod.metadata.uid, container).map(ToOwned::to_owned);
        let field = format!("{{{container}}}");
        let event = || {
            let mut failed = self.events.iter().rev().filter(|event| event.message.starts_with("Failed to pull image"));
            failed
                .find(|event| {
                    event.involved_object.as_ref().is_some_and(|subject| subject.field_path.ends_with(&field))
                })
                .map(|event| event.message.clone())
        };
        seen.or_else(event).unwrap_or_default()
    }

    fn is_killed_by_probe(&self) -> bool {
        self.events.iter().any(|event| {
            event.reason == "Unhealthy"
                && (event.message.contains("Liveness probe failed") || event.message.contains("Startup probe failed"))
        })
    }

    fn probe(&self, spec: Option<&Container>) -> Option<Suspect> {
        let failed = self
            .events
            .iter()
            .rev()
            .find(|event| event.reason == "Unhealthy" && event.message.contains("Readiness probe failed"))?;
        let probe = spec.and_then(|spec| spec.readiness_probe.clone()).unwrap_or_default();
        let every = u32::try_from(probe.period_seconds.max(1)).unwrap_or(10);
        let failures = u32::try_from(probe.failure_threshold.max(1)).unwrap_or(3);
        let delay = u32::try_from(probe.initial_delay_seconds).unwrap_or(0);
        let hold =
            |k: u32| Hold::Seconds(delay.saturating_add(every.saturating_mul(failures).saturating_mul(k)).max(60));
        let mut suspect = self.suspect("WD-P4", Reason::ProbeFailing, &failed.message).since(failed.oldest());
        suspect.holds = Some([hold(3), hold(10), Hold::Never]);
        Some(suspect)
    }

    fn conditions(&self, findings: &mut Vec<Suspect>) {
        if let Some(scheduled) = self.pod.condition("PodScheduled").filter(|condition| condition.is_false()) {
            if scheduled.reason == "SchedulingGated" {
                let gates = self.pod.spec.as_ref().map(|spec| &spec.scheduling_gates).into_iter().flatten();
                let gates: Vec<&str> = gates.map(|gate| gate.name.as_str()).collect();
                let suspect = self.suspect("WD-P4", Reason::SchedulingGated, &scheduled.message);
                findings.push(suspect.since(scheduled.changed_at()).name("gate", gates.join(", ")));
            } else if scheduled.reason == "Unschedulable" {
                findings.push(self.unschedulable(&scheduled.message, scheduled.changed_at()));
            }
        }
        let gates = self.pod.spec.as_ref().map(|spec| &spec.readiness_gates).into_iter().flatten();
        let all_ready = self.pod.condition("ContainersReady").is_some_and(super::super::kinds::Condition::is_true);
        for gate in gates.filter(|_| all_ready) {
            let condition = self.pod.condition(&gate.condition_type);
            if condition.is_none_or(|condition| !condition.is_true()) {
                let message = format!("readiness gate {} is not met", gate.condition_type);
                let suspect = self.suspect("WD-P7", Reason::ReadinessGate, message).name("gate", &gate.condition_type);
                findings.push(suspect.since(condition.and_then(crate::kinds::Condition::changed_at)));
            }
        }
    }

    /// No node takes the pod. An autoscaler at work gives it more time, one that gave up gives it less.
    fn unschedulable(&self, message: &str, since: Option<Timestamp>) -> Suspect {
        if let Some(reference) = missing_reference(message) {
            return self.missing(message, &reference).since(since);
        }
        let by = |reason: &str| self.events.iter().rev().find(|event| event.reason == reason);
        let mut suspect = self.suspect("WD-P4", Reason::Unschedulable, message).since(since);
        if let Some(event) = by("TriggeredScaleUp") {
            suspect.holds = Some([Hold::Seconds(300), Hold::Seconds(900), Hold::Never]);
            suspect.since = event.newest().or(since);
        } else if let Some(event) = by("NotTriggerScaleUp") {
            suspect.holds = Some([Hold::Seconds(15), Hold::Seconds(60), Hold::Seconds(180)]);
            suspect.since = since.or_else(|| event.oldest());
        } else if let Some(why) = self.never_fits() {
            suspect.holds = Some([Hold::Seconds(15), Hold::Seconds(60), Hold::Seconds(180)]);
            suspect.message = format!("{message}; {why}");
        }
        suspect
    }

    /// Returns why no node can ever take the pod, however empty: it asks for more than the largest one has.
    fn never_fits(&self) -> Option<String> {
        let spec = self.pod.spec.as_ref()?;
        let nodes = self.view.of_kind("", "Node", "").filter_map(|node| match &node.body {
            Body::Node(node) => node.status.as_ref().map(|status| &status.allocatable),
            _ => None,
        });
        let nodes: Vec<_> = nodes.collect();
        ["cpu", "memory"].into_iter().find_map(|resource| {
            let asked = request(spec, resource)?;
            let has = |amounts: &&std::collections::BTreeMap<String, Quantity>| amounts.get(resource).cloned();
            let largest = nodes.iter().filter_map(has).max_by_key(|amount| amount.nanos().unwrap_or(i128::MAX))?;
            let fits = largest.nanos().is_none_or(|largest| largest >= asked);
            let asked = Quantity::whole(asked);
            (!fits).then(|| format!("it asks for {asked} {resource}, the largest node has {largest}"))
        })
    }

    fn mounts(&self, findings: &mut Vec<Suspect>) {
        let Some(event) = self.newest else { return };
        let started = self.pod.status.as_ref().is_some_and(|status| {
            let all = status.init_container_statuses.iter().chain(&status.container_statuses);
            all.filter_map(|container| container.state.as_ref())
                .any(|state| state.running.is_some() || state.terminated.is_some())
        });
        let reference = missing_reference(&event.message).filter(|_| event.reason == "FailedMount" && !started);
        if let Some(reference) = reference {
            findings.push(self.missing(&event.message, &reference).since(event.oldest()));
            return;
        }
        let found = match event.reason.as_str() {
            "FailedMount" | "FailedAttachVolume" if !started => Reason::VolumeMount,
            "FailedCreatePodSandBox" => Reason::SandboxFailed,
            _ => return,
        };
        findings.push(self.suspect("WD-P4", found, &event.message).since(event.oldest()));
    }

    /// Returns since when a container is in trouble, as far as the pod tells: a waiting state carries no time.
    fn began(&self, status: &ContainerStatus) -> Option<Timestamp> {
        let ended = |status: &ContainerStatus| {
            let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            let now = status.state.as_ref().and_then(|state| state.terminated.as_ref());
            last.or(now).and_then(|ended| ended.finished_at)
        };
        let pod = self.pod.status.as_ref()?;
        let inits =
            || pod.init_container_statuses.iter().filter(|init| init.name != status.name).filter_map(ended).max();
        let scheduled = || {
            let condition = self.pod.condition("PodScheduled").filter(|condition| condition.is_true())?;
            condition.last_transition_time
        };
        ended(status).or_else(inits).or_else(scheduled).or(pod.start_time).as_ref().and_then(Time::timestamp)
    }
}

/// Returns how much of a resource the containers of a pod ask for at once, in billionths.
///
/// Regular containers and sidecars run together; an ordinary init container runs beside the sidecars before it.
fn request(spec: &PodSpec, resource: &str) -> Option<i128> {
    let of = |container: &Container| {
        let amount = container.resources.as_ref()?.requests.get(resource)?;
        amount.nanos()
    };
    let mut sidecars = 0;
    let mut most: i128 = 0;
    for init in &spec.init_containers {
        let asked = of(init).unwrap_or(0);
        if init.restart_policy == "Always" {
            sidecars += asked;
        } else {
            most = most.max(sidecars + asked);
        }
    }
    let together: i128 = spec.containers.iter().filter_map(of).sum();
    Some(most.max(together + sidecars)).filter(|asked| *asked > 0)
}

/// Exit 126 and 127 are the shell's words for a command that cannot be run.
fn is_bad_command(ended: &Terminated) -> bool {
    matches!(ended.exit_code, 126 | 127)
        || (matches!(ended.reason.as_str(), "StartError" | "ContainerCannotRun") && !can_run(&ended.message))
}

fn exit(status: &ContainerStatus, ended: &Terminated) -> String {
    let mut said = format!("container {}: exit {}", status.name, ended.exit_code);
    if ended.signal != 0 {
        said.push_str(&format!(", signal {}", ended.signal));
    }
    if ended.reason == "OOMKilled" {
        said.push_str(", OOMKilled");
    }
    let said = restarts(status, &said);
    let message = ended.message.trim();
    if message.is_empty() { said } else { format!("{said}: {message}") }
}

fn restarts(status: &ContainerStatus, said: &str) -> String {
    match status.restart_count {
        Some(1) => format!("{said}, 1 restart"),
        Some(count) if count > 1 => format!("{said}, {count} restarts"),
        _ => said.to_owned(),
    }
}
