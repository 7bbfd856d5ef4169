//! How fast calls that change something are made.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

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

    /// Waits until the next call may be made.
    pub(super) async fn wait(&mut self) {
        let now = Instant::now();
        if self.next > now {
            tokio::time::sleep_until(self.next).await;
        }
        self.next = self.next.max(now) + self.gap;
    }

    /// Notes that a call was accepted.
    pub(super) fn accepted(&mut self) {
        self.gap = (self.gap * 9 / 10).max(self.usual);
    }

    /// Notes that a call was one too many.
    pub(super) fn refused(&mut self) {
        self.gap = (self.gap * 2).min(SLOWEST.max(self.usual));
    }

    /// Waits before another attempt, longer each time, and never as long as others do.
    pub(super) async fn back_off(&self, attempt: u32) {
        let most = (FIRST_WAIT * 2_u32.saturating_pow(attempt.min(8))).min(SLOWEST);
        let part = u32::try_from(RandomState::new().build_hasher().finish() % 1024).unwrap_or(0);
        tokio::time::sleep(most / 2 + most / 2 * part / 1024).await;
    }
}
