//! The phase of a pod, as the kubelet computes it from its containers.
//!
//! Source: `getPhase` and `SyncPod` of `pkg/kubelet/kubelet_pods.go`.

use crate::audit::facts::{PodStatus, State};
use crate::audit::kinds::PodSpec;
use crate::pods::{Class, members, restarts};

/// A phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Something has not started.
    Pending,
    /// Something runs or is started again.
    Running,
    /// Every container has ended with 0, for good.
    Succeeded,
    /// Every container has ended for good, one of them not with 0.
    Failed,
}

impl Phase {
    /// Returns its name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// What counts towards a phase.
#[derive(Default)]
struct Counts {
    pending_init: u32,
    init_failed: u32,
    pending_native: u32,
    initialised: bool,
    running: u32,
    waiting: u32,
    stopped: u32,
    succeeded: u32,
    last: u32,
    unknown: u32,
}

/// Returns the phase of a pod with such containers; `ending` says that it is being deleted, evicted or past its deadline.
///
/// A phase that is already `Succeeded` or `Failed` stays.
#[must_use]
pub fn phase(spec: &PodSpec, status: &PodStatus, ending: bool) -> Phase {
    match &*status.phase {
        "Succeeded" => return Phase::Succeeded,
        "Failed" => return Phase::Failed,
        _ => {}
    }
    let counts = count(spec, status);
    if counts.init_failed > 0 {
        return Phase::Failed;
    }
    let native = counts.pending_native > 0 && !counts.initialised;
    if counts.pending_init > 0 || native || counts.waiting > 0 {
        return Phase::Pending;
    }
    if counts.unknown > 0 {
        return Phase::Pending;
    }
    if counts.running > 0 {
        return Phase::Running;
    }
    let ended = if counts.stopped == counts.succeeded { Phase::Succeeded } else { Phase::Failed };
    match counts.stopped {
        0 => Phase::Pending,
        _ if ending => ended,
        stopped if stopped != counts.last => Phase::Running,
        _ => ended,
    }
}

fn count(spec: &PodSpec, status: &PodStatus) -> Counts {
    let mut counts = Counts {
        initialised: status.condition("Initialized").is_some_and(super::super::facts::Condition::is_true)
            || status.containers.iter().any(|c| c.is_running() || c.terminated().is_some() || c.last.is_some()),
        ..Counts::default()
    };
    for member in members(spec) {
        let found = status.container(&member.container.name);
        let ended = found.and_then(|found| {
            found.terminated().or(match &found.state {
                State::Waiting { .. } => found.last.as_deref(),
                _ => None,
            })
        });
        let state = found.map_or(&State::Unknown, |found| &found.state);
        let again = |code: i32| restarts(member, spec, code);
        match (member.class, state, ended) {
            (Class::Init, _, Some(ended)) => {
                counts.init_failed += u32::from(ended.exit_code != 0 && !again(ended.exit_code));
            }
            (Class::Init, ..) => counts.pending_init += 1,
            (Class::NativeSidecar, State::Running { .. }, _) => {
                counts.running += 1;
                counts.pending_native += u32::from(found.and_then(|found| found.started) != Some(true));
            }
            (Class::NativeSidecar, _, Some(_)) | (Class::Ephemeral, ..) => {}
            (Class::NativeSidecar, State::Waiting { .. }, None) => {
                counts.pending_native += 1;
                counts.waiting += 1;
            }
            (Class::Regular, State::Running { .. }, _) => counts.running += 1,
            (Class::Regular, _, Some(ended)) => {
                counts.stopped += 1;
                counts.succeeded += u32::from(found.is_some_and(|f| f.terminated().is_some()) && ended.exit_code == 0);
                counts.last += u32::from(!again(ended.exit_code));
            }
            (Class::Regular, State::Waiting { .. }, None) => counts.waiting += 1,
            (Class::Regular | Class::NativeSidecar, ..) => counts.unknown += 1,
        }
    }
    counts
}
