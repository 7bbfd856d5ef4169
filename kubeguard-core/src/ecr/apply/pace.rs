//! How fast calls that change something are made.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

/// The slowest that refusals make it.
const SLOWEST: Duration = Duration::from_secs(8);
/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// At most so many calls a second; half as many after each refusal, then slowly more again.
#[derive(Debug)]
pub(super) struct Pace {
    usual: Duration,
    gap: Duration,
    next: Instant,
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        let usual = Duration::from_secs(1) / per_second.max(1);
        Self { usual, gap: usual, next: Instant::now() }
    }

    /// Returns how long the next call must wait.
    pub(super) fn next(&mut self) -> Duration {
        let now = Instant::now();
        let start = self.next.max(now);
        self.next = start + self.gap;
        start - now
    }

    /// Notes that a call was accepted.
    pub(super) fn accepted(&mut self) {
        self.gap = (self.gap * 9 / 10).max(self.usual);
    }

    /// Notes that a call was one too many.
    pub(super) fn refused(&mut self) {
        self.gap = (self.gap * 2).min(SLOWEST.max(self.usual));
    }
}

/// Returns how long another attempt waits: longer each time, and never as long as others do.
pub(super) fn back_off(attempt: u32) -> Duration {
    let most = (FIRST_WAIT * 2_u32.saturating_pow(attempt.min(8))).min(SLOWEST);
    let part = u32::try_from(RandomState::new().build_hasher().finish() % 1024).unwrap_or(0);
    most / 2 + most / 2 * part / 1024
}
