//! How long containers take to start, as their workload's own pods show it.

use serde::Serialize;

use super::pods::World;
use crate::audit::facts::{Carrier, Facts};

/// Observed starts of one container of a workload: from its start to its pod's readiness, in whole seconds.
///
/// Only of first starts (no restart yet) below ten minutes: what took longer was a flap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StartTimes {
    /// The median.
    pub p50: i64,
    /// The 95th percentile.
    pub p95: i64,
    /// The longest.
    pub max: i64,
    /// How many were seen.
    pub count: usize,
}

impl StartTimes {
    /// Returns what a list of starts, the shortest first, amounts to; `None` where there is none.
    #[must_use]
    pub fn of(sorted: &[i64]) -> Option<Self> {
        let at = |percent: usize| {
            let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(place).copied()
        };
        Some(Self { p50: at(50)?, p95: at(95)?, max: *sorted.last()?, count: sorted.len() })
    }
}

/// The observed starts of a whole fleet, read once.
pub struct Starts<'a>(World<'a>);

impl<'a> Starts<'a> {
    /// Reads the starts of all pods.
    #[must_use]
    pub fn of(facts: &'a Facts) -> Self {
        Self(World::of(facts))
    }

    /// Returns the starts of a container of a template; `None` where no pod of it is known.
    #[must_use]
    pub fn seen(&self, carrier: &Carrier<'a>, container: &'a str) -> Option<StartTimes> {
        let uid = &carrier.object.meta().uid;
        if uid.is_empty() { None } else { StartTimes::of(self.0.starts(uid, container)) }
    }
}

impl std::fmt::Debug for Starts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Starts").finish_non_exhaustive()
    }
}

/// Returns the observed starts of one container of a template; for many containers see [`Starts`].
#[must_use]
pub fn start_times<'a>(facts: &'a Facts, carrier: &Carrier<'a>, container: &'a str) -> Option<StartTimes> {
    Starts::of(facts).seen(carrier, container)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentiles_are_of_the_nearest_rank() {
        assert_eq!(StartTimes::of(&[]), None);
        assert_eq!(StartTimes::of(&[7]), Some(StartTimes { p50: 7, p95: 7, max: 7, count: 1 }));
        let many: Vec<i64> = (1..=20).collect();
        assert_eq!(StartTimes::of(&many), Some(StartTimes { p50: 10, p95: 19, max: 20, count: 20 }));
    }
}
