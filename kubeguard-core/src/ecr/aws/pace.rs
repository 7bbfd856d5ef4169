//! How fast calls are made: as fast as the registry likes, which it only tells by refusing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Starts that the present speed is measured by, at most,
const MEASURED: usize = 32;
/// and how old they may be.
const OF_LATE: Duration = Duration::from_secs(2);
/// No refusal makes it slower than this: calls per second.
const SLOWEST: f64 = 0.5;

/// Refusals among the last [`u32::BITS`] answers that are still few: the pace is nearly right.
const FEW: u32 = 6;

/// The pace of all calls to one registry: none until the first refusal, then half of what was too fast, then slowly
/// faster again, by about one call per second each second. Refusals that stay few lower it by a tenth.
///
/// Pure: time is passed in.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Calls per second.
    limit: Option<f64>,
    /// Earliest start of the next call.
    next: Option<Instant>,
    /// Newest starts.
    starts: VecDeque<Instant>,
    /// Last time it was lowered.
    lowered: Option<Instant>,
    /// The newest answers, one bit each, set for a refusal.
    refusals: u32,
}

impl Pace {
    /// Gives the next call its start, which may lie in the future.
    pub(super) fn start(&mut self, now: Instant) -> Instant {
        let start = self.next.map_or(now, |next| next.max(now));
        if let Some(limit) = self.limit {
            self.next = Some(start + Duration::from_secs_f64(1.0 / limit));
        }
        if self.starts.len() == MEASURED {
            self.starts.pop_front();
        }
        self.starts.push_back(start);
        start
    }

    /// Notes that a call was accepted.
    pub(super) fn accepted(&mut self) {
        self.refusals <<= 1;
        if let Some(limit) = &mut self.limit {
            *limit += 1.0 / limit.max(1.0);
        }
    }

    /// Notes that a call was refused for being one too many.
    ///
    /// Calls that were on their way already when the pace was lowered say nothing of the new pace.
    pub(super) fn refused(&mut self, started: Instant, now: Instant) {
        self.refusals = self.refusals << 1 | 1;
        if self.lowered.is_some_and(|lowered| started <= lowered) {
            return;
        }
        // What was allowed and not used says nothing.
        let speed = self.speed(now);
        let limit = match self.limit {
            Some(limit) if self.refusals.count_ones() <= FEW => limit.min(speed) * 0.9,
            Some(limit) => limit.min(speed) / 2.0,
            None => speed / 2.0,
        };
        let limit = limit.max(SLOWEST);
        self.limit = Some(limit);
        self.lowered = Some(now);
        self.next = Some(now + Duration::from_secs_f64(1.0 / limit));
    }

    /// Calls per second of late.
    fn speed(&self, now: Instant) -> f64 {
        let ages =
            || self.starts.iter().map(|start| now.saturating_duration_since(*start)).filter(|age| *age <= OF_LATE);
        let count = u32::try_from(ages().count()).map_or(0.0, f64::from);
        // Few calls at once say little about a second.
        count / ages().max().unwrap_or(OF_LATE).as_secs_f64().max(0.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// Plays calls one after the other against a registry that takes `allowed` per second; returns accepted and refused.
    fn play(pace: &mut Pace, from: Instant, seconds: u64, allowed: f64) -> (u32, u32) {
        let (mut now, mut tokens, mut filled) = (from, allowed, from);
        let (mut accepted, mut refused) = (0, 0);
        while now < from + Duration::from_secs(seconds) {
            let start = pace.start(now).max(now);
            tokens = (tokens + (start - filled).as_secs_f64() * allowed).min(allowed);
            filled = start;
            now = start + 5 * MILLI;
            if tokens >= 1.0 {
                tokens -= 1.0;
                accepted += 1;
                pace.accepted();
            } else {
                refused += 1;
                pace.refused(start, now);
            }
        }
        (accepted, refused)
    }

    #[test]
    fn nobody_waits_before_the_first_refusal() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!((0..1000).all(|_| pace.start(now) == now));
    }

    #[test]
    fn a_registry_that_takes_ten_calls_a_second_gets_nearly_ten_and_refuses_few() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        play(&mut pace, now, 20, 10.0);
        let (accepted, refused) = play(&mut pace, now + Duration::from_secs(20), 60, 10.0);
        assert!(accepted > 360, "{accepted} accepted in 60 s");
        assert!(refused < accepted / 10, "{refused} refused, {accepted} accepted");
    }

    #[test]
    fn calls_of_one_burst_lower_the_pace_once() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let starts: Vec<Instant> = (0..8).map(|_| pace.start(now)).collect();
        for start in starts {
            pace.refused(start, now + 100 * MILLI);
        }
        assert_eq!(pace.limit, Some(40.0), "8 calls in 100 ms, halved");
    }

    #[test]
    fn a_pace_that_nobody_uses_is_lowered_from_what_is_used() {
        let (mut pace, now) = (Pace { limit: Some(500.0), refusals: u32::MAX, ..Pace::default() }, Instant::now());
        let starts: Vec<Instant> = (0..10).map(|n| pace.start(now + n * 100 * MILLI)).collect();
        pace.refused(starts[9], now + Duration::from_secs(1));
        assert_eq!(pace.limit, Some(5.0), "10 calls in a second, halved");
    }

    #[test]
    fn refusals_that_have_nothing_to_do_with_the_pace_do_not_bring_it_to_a_crawl() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let begun = now;
        for number in 1..=200 {
            let start = pace.start(now);
            now = start.max(now) + 5 * MILLI;
            if number % 7 == 0 { pace.refused(start, now) } else { pace.accepted() }
        }
        assert!(now - begun < Duration::from_secs(20), "{:?}", now - begun);
    }

    #[test]
    fn the_pace_never_comes_to_a_stop() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..100 {
            let start = pace.start(now);
            now = start + MILLI;
            pace.refused(start, now);
        }
        assert_eq!(pace.limit, Some(SLOWEST));
        assert!(pace.start(now) <= now + Duration::from_secs(2));
    }
}
