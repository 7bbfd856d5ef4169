//! Counts calls, for people who wait for them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Calls begun within this time tell how fast calls are made now.
const LATELY: Duration = Duration::from_secs(10);
/// Calls that this is measured by, at most.
const MEASURED: usize = 1024;
/// A shorter time says little about a second.
const LEAST: Duration = Duration::from_secs(1);

/// Calls that were made to AWS, every attempt of them, and how fast they are made now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calls {
    /// Calls.
    pub made: u64,
    /// Those of them that were refused for being one too many.
    pub throttled: u64,
    /// Calls per second, of late.
    pub per_second: f64,
}

/// Counts. Pure: time is passed in.
#[derive(Debug, Default)]
pub(super) struct Meter {
    made: u64,
    throttled: u64,
    begun: VecDeque<Instant>,
}

impl Meter {
    /// Notes that a call is on its way.
    pub(super) fn began(&mut self, now: Instant) {
        self.made += 1;
        if self.begun.len() == MEASURED {
            self.begun.pop_front();
        }
        self.begun.push_back(now);
    }

    /// Notes that a call was one too many.
    pub(super) fn throttled(&mut self) {
        self.throttled += 1;
    }

    pub(super) fn calls(&self, now: Instant) -> Calls {
        let ages = self.begun.iter().map(|begun| now.saturating_duration_since(*begun));
        let (mut count, mut oldest) = (0_u32, LEAST);
        for age in ages.filter(|age| *age <= LATELY) {
            count += 1;
            oldest = oldest.max(age);
        }
        Calls { made: self.made, throttled: self.throttled, per_second: f64::from(count) / oldest.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_late_and_the_count_that_of_all() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        assert_eq!(meter.calls(start), Calls::default());
        for number in 0..40 {
            meter.began(start + number * Duration::from_millis(100));
        }
        meter.throttled();
        let calls = meter.calls(start + Duration::from_secs(4));
        assert_eq!(calls, Calls { made: 40, throttled: 1, per_second: 10.0 });
        let later = meter.calls(start + Duration::from_mins(1));
        assert_eq!((later.made, later.per_second), (40, 0.0), "nobody has called for a while");
    }

    #[test]
    fn a_first_burst_is_not_told_as_a_rate_that_nobody_keeps() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        (0..8).for_each(|_| meter.began(start));
        assert!((meter.calls(start).per_second - 8.0).abs() < f64::EPSILON);
        (0..5000).for_each(|_| meter.began(start));
        assert_eq!((meter.calls(start).made, meter.begun.len()), (5008, MEASURED));
    }
}
