//! What the kubelet knows of a container: its probes, how it is ended, how it starts.

use super::{Question, Span};
use crate::audit::kinds::PodSpec;
use crate::audit::probes::handlers::is_remote;
use crate::audit::probes::{Probe, ProbeKind, Timing, lifecycle, probes, same_endpoint};
use crate::pods::{Class, Member, restarts};

/// The least that a process gets between SIGTERM and SIGKILL, in seconds.
///
/// Source: `minimumGracePeriodInSeconds` in `pkg/kubelet/kuberuntime/kuberuntime_container.go`.
const LEAST: i64 = 2;

/// A container with its numbers.
pub(super) struct Shape<'a> {
    pub(super) name: &'a str,
    pub(super) liveness: Option<Probe<'a>>,
    pub(super) readiness: Option<Probe<'a>>,
    pub(super) startup: Option<Probe<'a>>,
    /// Both ask the same.
    pub(super) same: bool,
    /// It is started again after a failure.
    pub(super) restarts: bool,
    pub(super) native: bool,
    grace: i64,
    /// How long the preStop hook takes.
    hook: Span,
    start: Span,
    container: &'a crate::audit::kinds::Container,
}

/// How a failed attempt ends: at once, or when its timeout is over.
pub(super) type Fails = (bool, bool);
/// Every attempt hangs.
pub(super) const HANGS: Fails = (false, false);
/// Attempts are refused at once.
pub(super) const REFUSED: Fails = (true, true);
/// Nobody knows which.
pub(super) const EITHER: Fails = (true, false);

/// Returns from when to when a probe notices a fault that begins at 0: (f − 1)·max(p, δ) to f·max(p, δ) + δ.
pub(super) fn notices(timing: &Timing, (soonest, latest): Fails) -> Span {
    let (period, timeout, failure) = (i64::from(timing.period), i64::from(timing.timeout), i64::from(timing.failure));
    let takes = |refused: bool| if refused { 0 } else { timeout };
    let (least, most) = (takes(soonest), takes(latest));
    Span::from(((failure - 1) * period.max(least), failure * period.max(most) + most))
}

impl<'a> Shape<'a> {
    pub(super) fn of(spec: &PodSpec, member: &Member<'a>, question: &Question) -> Self {
        let container = member.container;
        let mut all = probes(member, spec);
        let mut take = |kind| all.iter().position(|probe| probe.kind == kind).map(|at| all.remove(at));
        let (liveness, readiness) = (take(ProbeKind::Liveness), take(ProbeKind::Readiness));
        let startup = take(ProbeKind::Startup);
        let same =
            liveness.as_ref().zip(readiness.as_ref()).is_some_and(|(one, two)| same_endpoint(one, two, container));
        let has_hook = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
        let grace = spec.termination_grace_period_seconds.unwrap_or(30);
        let hook = match lifecycle::slept(container) {
            Some((seconds, _)) => Span::from(seconds),
            None if has_hook => Span { earliest: 0, latest: None },
            None => Span::from(0),
        };
        let granted = startup.as_ref().map_or(0, |probe| probe.timing.granted());
        let start = question.observed.map_or(Span::from((0, granted)), |seen| Span::from((seen.p50, seen.p95)));
        Self {
            name: &container.name,
            liveness,
            readiness,
            startup,
            same,
            restarts: restarts(*member, spec, 137),
            native: member.class == Class::NativeSidecar,
            grace,
            hook,
            start,
            container,
        }
    }

    /// Returns whether it is said, or was seen, how long a start takes.
    pub(super) fn start_is_known(&self, question: &Question) -> bool {
        self.startup.is_some() || question.observed.is_some()
    }

    pub(super) fn start(&self) -> Span {
        self.start
    }

    /// Returns the grace of a kill by a probe: its own, else the pod's.
    pub(super) fn grace_of(&self, probe: &Probe<'_>) -> i64 {
        probe.grace.unwrap_or(self.grace)
    }

    /// Returns when the process gets SIGTERM after a kill was decided: when the hook is done, or out of time.
    pub(super) fn term(&self, grace: i64) -> Span {
        Span::from((self.hook.earliest.min(grace), self.hook.latest.unwrap_or(grace).min(grace)))
    }

    /// Returns when a process that does not end by itself is gone after a kill was decided.
    pub(super) fn killed(&self, grace: i64) -> Span {
        let after = |hook: i64| hook.min(grace) + (grace - hook.min(grace)).max(LEAST);
        Span::from((after(self.hook.earliest), after(self.hook.latest.unwrap_or(grace))))
    }

    /// Returns when a process is gone that may end by itself on SIGTERM.
    pub(super) fn gone(&self, grace: i64) -> Span {
        Span { earliest: self.term(grace).earliest, latest: self.killed(grace).latest }
    }

    /// Returns how long after its start a container is ready, once its process serves.
    pub(super) fn readies(&self) -> Span {
        let Some(timing) = self.readiness.as_ref().map(|probe| probe.timing) else { return Span::from(0) };
        let least = i64::from(timing.success.saturating_sub(1)) * i64::from(timing.period);
        Span::from((least, timing.readies()))
    }

    /// Returns from a restart to being ready again.
    pub(super) fn back(&self) -> Span {
        let both = self.start + self.readies();
        // The delay counts from the start of the container, not from that of serving.
        let delay = self.readiness.as_ref().map_or(0, |probe| i64::from(probe.timing.delay));
        let waits = delay + self.readies().earliest;
        Span { earliest: both.earliest.max(waits), latest: both.latest }
    }

    /// Returns how long after the end of a fault readiness is back.
    pub(super) fn recovers(&self) -> Span {
        let Some(timing) = self.readiness.as_ref().map(|probe| probe.timing) else { return Span::from(0) };
        Span::from((i64::from(timing.success.saturating_sub(1)) * timing.pace(), timing.heals()))
    }

    /// Returns whether a probe asks something outside of the pod.
    pub(super) fn asks_elsewhere(&self, probe: &Probe<'_>) -> bool {
        is_remote(probe, self.container)
    }

    /// Returns whether a probe notices a process that accepts connections and answers nothing.
    pub(super) fn feels(&self, probe: &Probe<'_>) -> bool {
        probe.handler.tcp_socket.is_none() && !self.asks_elsewhere(probe)
    }
}
