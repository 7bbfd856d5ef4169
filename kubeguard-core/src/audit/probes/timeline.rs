//! What happens when a container crashes, hangs, starts slowly, loses a dependency or is overloaded: second by second.
//!
//! Pure arithmetic over a pod's spec, by the kubelet's rules: probes run one attempt at a time; liveness and readiness
//! wait for the startup probe; a kill runs the preStop hook inside of the grace period, which is the probe's own where it
//! has one; the first restart is at once, later ones wait 10, 20, 40 … 300 s, and ten minutes of running forget that.
//! The fault is at second 0.

mod cycle;
mod fault;
mod shape;
mod span;

use serde::Serialize;

pub use span::Span;

use super::{ProbeKind, StartTimes, asked};
use crate::audit::kinds::PodSpec;
use crate::audit::needs::{Fact, Need, Needs};
use crate::pods::Member;
use shape::Shape;

/// What the kubelet waits before the first and each further restart, in seconds.
pub const DELAYS: &[i64] = &[0, 10, 20, 40, 80, 160, 300];

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The process ends.
    Crash,
    /// The process runs and answers nothing.
    Hang,
    /// Something that it asks for its answers is down.
    Dependency,
    /// Its start takes longer than usual.
    SlowStart,
    /// Every answer takes longer than usual.
    Overload,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 5] = [Self::Crash, Self::Hang, Self::SlowStart, Self::Dependency, Self::Overload];

    /// Returns its word, as in `slow-start`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Dependency => "dependency",
            Self::SlowStart => "slow-start",
            Self::Overload => "overload",
        }
    }
}

/// A question about one container; all times in seconds.
#[derive(Debug, Clone)]
pub struct Question {
    /// What goes wrong.
    pub fault: Fault,
    /// How long it lasts; for ever where absent.
    pub lasts: Option<i64>,
    /// How long a slow start, or an answer under overload, takes.
    pub takes: i64,
    /// Probes that check the dependency; by their handlers where absent.
    pub checks: Option<Vec<ProbeKind>>,
    /// Starts that were seen.
    pub observed: Option<StartTimes>,
    /// Services that route to the container.
    pub services: Vec<String>,
    /// Pods that are alike.
    pub replicas: Option<i32>,
}

impl Question {
    /// Returns a question with nothing but its fault.
    #[must_use]
    pub fn of(fault: Fault) -> Self {
        let takes = if fault == Fault::Overload { 10 } else { 120 };
        Self { fault, lasts: None, takes, checks: None, observed: None, services: Vec::new(), replicas: None }
    }
}

/// What an event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// The fault begins.
    Fault,
    /// The fault ends.
    Ends,
    /// The pod leaves its services.
    Drained,
    /// The kubelet decides to end the container.
    Killed,
    /// The process is gone.
    Gone,
    /// The container is started again.
    Restarted,
    /// The pod is in its services again.
    Ready,
    /// Nothing more happens by itself.
    Stays,
}

/// Something that happens, within a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimelineEvent {
    /// When.
    #[serde(flatten)]
    pub at: Span,
    /// What it means.
    pub means: Means,
    /// In words.
    pub what: String,
}

/// What happens, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// By their earliest time, the fault first.
    pub events: Vec<TimelineEvent>,
    /// A change of numbers that would make the order certain, and what it gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What there is to know beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the model assumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
}

impl Timeline {
    fn add(&mut self, at: impl Into<Span>, means: Means, what: impl Into<String>) {
        self.events.push(TimelineEvent { at: at.into(), means, what: what.into() });
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn assume(&mut self, assumed: impl Into<String>) {
        let assumed = assumed.into();
        if !self.assumptions.contains(&assumed) {
            self.assumptions.push(assumed);
        }
    }

    /// Returns the first event of a meaning.
    #[must_use]
    pub fn first(&self, means: Means) -> Option<&TimelineEvent> {
        self.events.iter().find(|event| event.means == means)
    }
}

/// What the timeline reads.
const NEEDS: &[Need] = &[
    Need::decides(Fact::Deployment).or_none(),
    Need::decides(Fact::StatefulSet).or_none(),
    Need::decides(Fact::DaemonSet).or_none(),
    Need::decides(Fact::ReplicaSet).or_none(),
    Need::decides(Fact::ReplicationController).or_none(),
    Need::enriches(Fact::Job).or_none(),
    Need::enriches(Fact::CronJob).or_none(),
    Need::enriches(Fact::CustomCarrier).or_none(),
    Need::enriches(Fact::Pod).or_none(),
    Need::enriches(Fact::Service).or_none(),
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none(),
];

/// Returns what timelines read.
#[must_use]
pub fn needs() -> Needs {
    asked::needs(NEEDS)
}

/// Returns what of it could not be read.
#[must_use]
pub fn skipped(facts: &crate::audit::Facts) -> Vec<crate::audit::Skipped> {
    asked::skipped(facts, "timeline", NEEDS)
}

/// Returns what happens to a container that the pod's readiness hangs on; of an init container nothing is known.
#[must_use]
pub fn timeline(spec: &PodSpec, member: &Member<'_>, question: &Question) -> Timeline {
    let shape = Shape::of(spec, member, question);
    let mut timeline = Timeline::default();
    if !member.is_gating() {
        timeline.note(format!("{} ends before the others start: it has no probes and serves nobody", shape.name));
        return timeline;
    }
    match question.fault {
        Fault::Crash => fault::crash(&shape, question, &mut timeline),
        Fault::Hang => fault::hang(&shape, question, &mut timeline),
        Fault::Dependency => fault::dependency(&shape, question, &mut timeline),
        Fault::SlowStart => fault::slow_start(&shape, question, &mut timeline),
        Fault::Overload => fault::overload(&shape, question, &mut timeline),
    }
    if let Some(start) = question.observed {
        timeline.assume(format!(
            "a start takes {}, the median and 95th percentile of {} seen",
            Span::from((start.p50, start.p95)),
            start.count
        ));
    }
    // Stable: what happens at the same time stays in its order.
    timeline.events.sort_by_key(|event| (event.means != Means::Fault, event.at.earliest));
    timeline
}

#[cfg(test)]
mod tests;
