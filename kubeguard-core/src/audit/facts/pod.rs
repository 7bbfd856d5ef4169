//! A pod as rules read it: what pods of one owner share is kept once.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Meta, Written};
use crate::audit::kinds::{self, PodSpec};
use crate::audit::text::{Interner, Text};
use crate::kinds::{Quantity, Time};

/// A pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// Metadata.
    pub meta: Meta,
    /// What it runs, with the API's defaults; without the name of its node.
    pub spec: Arc<PodSpec>,
    /// Its node; empty while it has none.
    pub node: Text,
    /// What the kubelet says of it.
    pub status: Option<PodStatus>,
    /// Names of the claims behind its volumes; they differ from pod to pod, so that specs are kept without them.
    pub claims: Box<[Text]>,
    /// Containers that have been given more than they ask for, in the middle of a resize.
    pub(super) allocated: Option<Box<[Allocated]>>,
    pub(crate) written: Option<Arc<Written>>,
}

/// What the kubelet says of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodStatus {
    /// As in `Running`.
    pub phase: Text,
    /// As in `Evicted`.
    pub reason: Text,
    /// In words.
    pub message: Text,
    /// When the kubelet saw it first.
    pub started: Option<Timestamp>,
    /// Conditions.
    pub conditions: Box<[Condition]>,
    /// Init containers, native sidecars among them.
    pub init: Box<[ContainerStatus]>,
    /// Regular containers.
    pub containers: Box<[ContainerStatus]>,
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Condition {
    /// As in `Ready`.
    pub kind: Text,
    /// `True`, `False` or `Unknown`.
    pub status: Text,
    /// As in `Unschedulable`.
    pub reason: Text,
    /// In words.
    pub message: Text,
    /// When the status changed last.
    pub at: Option<Timestamp>,
}

/// What the kubelet says of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerStatus {
    /// Its name.
    pub name: Text,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether its startup probe has passed; `None` where the kubelet has not said.
    pub started: Option<bool>,
    /// How often it was started again.
    pub restarts: i32,
    /// The image it runs.
    pub image: Text,
    /// What it does now.
    pub state: State,
    /// How it ended last, if it ran before.
    pub last: Option<Box<Ended>>,
}

/// What a container does now.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum State {
    /// The kubelet has not said.
    #[default]
    Unknown,
    /// It has not started.
    Waiting {
        /// As in `ImagePullBackOff`.
        reason: Text,
        /// In words.
        message: Text,
    },
    /// It runs.
    Running {
        /// Since then.
        since: Option<Timestamp>,
    },
    /// It has ended.
    Terminated(Box<Ended>),
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ended {
    /// Exit code.
    pub exit_code: i32,
    /// As in `OOMKilled`.
    pub reason: Text,
    /// In words.
    pub message: Text,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

impl PodStatus {
    /// Returns the condition of a type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Returns the status of a container, init containers included.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerStatus> {
        self.containers.iter().chain(&self.init).find(|container| container.name == name)
    }
}

impl Condition {
    /// Returns whether its status is `True`.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }
}

impl ContainerStatus {
    /// Returns whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Returns how it ended, if it has.
    #[must_use]
    pub fn terminated(&self) -> Option<&Ended> {
        match &self.state {
            State::Terminated(ended) => Some(ended),
            _ => None,
        }
    }

    /// Returns why it waits, if it does.
    #[must_use]
    pub fn waiting(&self) -> Option<&str> {
        match &self.state {
            State::Waiting { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

impl Pod {
    /// Returns its phase; empty where there is no status.
    #[must_use]
    pub fn phase(&self) -> &str {
        self.status.as_ref().map_or("", |status| &status.phase)
    }

    /// Returns whether it has ended for good.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// Returns its spec with what containers have been given, where that is more than they ask for.
    #[must_use]
    pub fn resized(&self) -> Option<PodSpec> {
        let allocated = self.allocated.as_ref()?;
        let mut spec = PodSpec::clone(&self.spec);
        for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
            let given = allocated.iter().filter(|(name, ..)| *name == *container.name);
            let requests = &mut container.resources.get_or_insert_default().requests;
            requests.extend(given.map(|(_, resource, amount)| (resource.to_string(), amount.clone())));
        }
        Some(spec)
    }

    pub(super) fn of(mut pod: kinds::Pod, meta: Meta, written: Option<Arc<Written>>, texts: &mut Interner) -> Self {
        let mut spec = pod.spec.take().unwrap_or_default();
        let node = texts.text(&std::mem::take(&mut spec.node_name));
        // A stateful set names each host after its pod: that says nothing, and keeps specs apart.
        if *spec.hostname == *meta.name {
            spec.hostname.clear();
        }
        let claims = spec.volumes.iter().filter_map(|volume| volume.volume_source.persistent_volume_claim.as_ref());
        let claims = claims.map(|claim| texts.text(&claim.claim_name)).collect();
        // The controller writes a daemon pod's node into its affinity: on that node it has done its work.
        let of_daemon_set = meta.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
        if !node.is_empty()
            && of_daemon_set
            && let Some(affinity) = &mut spec.affinity
        {
            affinity.node_affinity = None;
        }
        let allocated =
            pod.status.as_ref().map(|status| allocated(&spec, status, texts)).filter(|more| !more.is_empty());
        super::prune(&mut spec);
        let status = pod.status.map(|status| PodStatus::of(&status, texts));
        let allocated = allocated.map(Vec::into_boxed_slice);
        Self { meta, spec: texts.spec(spec), node, status, claims, allocated, written }
    }
}

/// Container, resource, amount.
type Allocated = (Text, Text, Quantity);

/// Returns what containers have been given beyond what they ask for.
fn allocated(spec: &PodSpec, status: &kinds::PodStatus, texts: &mut Interner) -> Vec<Allocated> {
    let mut found = Vec::new();
    for container in spec.containers.iter().chain(&spec.init_containers) {
        let mut statuses = status.container_statuses.iter().chain(&status.init_container_statuses);
        let Some(status) = statuses.find(|status| status.name == container.name) else { continue };
        for (name, given) in &status.allocated_resources {
            let asked = container.resources.as_ref().and_then(|resources| resources.requests.get(name));
            let more = asked.and_then(Quantity::nanos).is_some_and(|asked| given.nanos() > Some(asked));
            if more {
                found.push((texts.text(&container.name), texts.text(name), given.clone()));
            }
        }
    }
    found
}

fn at(time: Option<&Time>) -> Option<Timestamp> {
    time.and_then(Time::timestamp)
}

impl PodStatus {
    fn of(status: &kinds::PodStatus, texts: &mut Interner) -> Self {
        Self {
            phase: texts.text(&status.phase),
            reason: texts.text(&status.reason),
            message: texts.text(&status.message),
            started: at(status.start_time.as_ref()),
            conditions: status.conditions.iter().map(|condition| Condition::of(condition, texts)).collect(),
            init: status.init_container_statuses.iter().map(|c| ContainerStatus::of(c, texts)).collect(),
            containers: status.container_statuses.iter().map(|c| ContainerStatus::of(c, texts)).collect(),
        }
    }
}

impl Condition {
    fn of(condition: &crate::kinds::PodCondition, texts: &mut Interner) -> Self {
        Self {
            kind: texts.text(&condition.r#type),
            status: texts.text(&condition.status),
            reason: texts.text(&condition.reason),
            message: texts.text(&condition.message),
            at: crate::kinds::Condition::changed_at(condition),
        }
    }
}

impl ContainerStatus {
    fn of(status: &kinds::ContainerStatus, texts: &mut Interner) -> Self {
        let ended = |ended: &crate::kinds::Terminated, texts: &mut Interner| {
            Box::new(Ended {
                exit_code: ended.exit_code,
                reason: texts.text(&ended.reason),
                message: texts.text(&ended.message),
                started: at(ended.started_at.as_ref()),
                finished: at(ended.finished_at.as_ref()),
            })
        };
        let state = status.state.clone().unwrap_or_default();
        let state = match (&state.terminated, &state.running, &state.waiting) {
            (Some(terminated), ..) => State::Terminated(ended(terminated, texts)),
            (None, Some(running), _) => State::Running { since: at(running.started_at.as_ref()) },
            (None, None, Some(waiting)) => {
                State::Waiting { reason: texts.text(&waiting.reason), message: texts.text(&waiting.message) }
            }
            (None, None, None) => State::Unknown,
        };
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        Self {
            name: texts.text(&status.name),
            ready: status.ready,
            started: status.started,
            restarts: status.restart_count,
            image: texts.text(&status.image),
            state,
            last: last.map(|last| ended(last, texts)),
        }
    }
}
