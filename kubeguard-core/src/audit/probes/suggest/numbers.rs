//! The numbers of probes, each with its reason.

use crate::audit::kinds::{self, ProbeHandler};
use crate::audit::probes::{StartTimes, ceil};

/// A start that is seen to take longer than this wants a startup probe, in seconds.
const LONG_START: i64 = 10;
/// The least that a startup probe grants, in seconds.
const LEAST_BUDGET: i64 = 30;

/// What is known of how long a start takes.
pub(super) struct Slow {
    pub(super) seen: Option<StartTimes>,
    /// The delay that liveness has, in seconds.
    pub(super) delay: i64,
    /// The image looks like a JVM's.
    pub(super) jvm: bool,
}

impl Slow {
    pub(super) fn wants(&self) -> bool {
        self.seen.is_some_and(|seen| seen.p95 > LONG_START) || self.delay >= 30 || self.jvm
    }

    /// Returns whether a budget is less than PA308 wants.
    pub(super) fn is_short(&self, granted: i64) -> bool {
        match self.seen.filter(|seen| seen.count >= 3) {
            Some(seen) => granted * 2 < seen.p95 * 3,
            None => self.jvm && granted < LEAST_BUDGET,
        }
    }

    pub(super) fn numbers(&self) -> Numbers {
        let seen = self.seen.map_or(0, |seen| 3 * seen.p95);
        let wanted = LEAST_BUDGET.max(seen).max(self.delay);
        let failure = ceil(wanted, 5);
        let granted = failure * 5;
        let reason = match self.seen {
            Some(times) if wanted == seen => {
                let starts = if times.count == 1 { "start" } else { "starts" };
                format!("{granted} s: 3 × the observed p95 of {} s ({} {starts})", times.p95, times.count)
            }
            _ if wanted == self.delay => format!("{granted} s: the delay that liveness had"),
            _ if self.jvm => format!("{granted} s: the image looks like a JVM's"),
            _ => format!("{granted} s: no less is worth a startup probe"),
        };
        Numbers {
            period: (5, "the start is noticed within 5 s".to_owned()),
            timeout: (3, "1 s fails under CPU throttling".to_owned()),
            failure: (failure, reason),
            delay: "the budget covers it".to_owned(),
            grace: None,
        }
    }
}

/// The numbers of a probe, each with its reason.
pub(super) struct Numbers {
    pub(super) period: (i32, String),
    pub(super) timeout: (i32, String),
    pub(super) failure: (i64, String),
    /// Why there is no delay.
    pub(super) delay: String,
    pub(super) grace: Option<(i64, String)>,
}

impl Numbers {
    pub(super) fn readiness() -> Self {
        Self {
            period: (5, "out of service within 18 s: 3 × 5 + 3".to_owned()),
            timeout: (3, "1 s fails under CPU throttling".to_owned()),
            failure: (3, "one lost answer is no outage".to_owned()),
            delay: "failing while it starts does no harm".to_owned(),
            grace: None,
        }
    }

    pub(super) fn liveness(failure: i64, readiness: Option<i64>, delay: i64, pod: Option<i64>) -> Self {
        let reason = match readiness {
            Some(longest) if failure > 3 => {
                format!("{} s: 3 × the {longest} s in which readiness drains", failure * 10)
            }
            _ => format!("{} s: one pause is no reason to restart", failure * 10),
        };
        let delay = if delay > 0 { "the startup probe covers the start" } else { "the start is short" };
        Self {
            period: (10, "a restart is the last resort".to_owned()),
            timeout: (5, "1 s fails under CPU throttling".to_owned()),
            failure: (failure, reason),
            delay: delay.to_owned(),
            grace: pod.map(|pod| (30, format!("a hung process needs no {pod} s to end"))),
        }
    }

    pub(super) fn probe(&self, handler: ProbeHandler) -> kinds::Probe {
        kinds::Probe {
            handler,
            initial_delay_seconds: 0,
            timeout_seconds: self.timeout.0,
            period_seconds: self.period.0,
            success_threshold: 1,
            failure_threshold: i32::try_from(self.failure.0).unwrap_or(i32::MAX),
            termination_grace_period_seconds: self.grace.as_ref().map(|(grace, _)| *grace),
        }
    }
}
