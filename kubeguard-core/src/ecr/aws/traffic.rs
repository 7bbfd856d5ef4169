//! Calls on their way: never more than eight, at one pace for all, reads repeated while that may help.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Retry;
use super::meter::{Calls, Meter};
use super::pace::Pace;
use crate::ecr::look::AT_ONCE;
use crate::ecr::registry::{CallError, ErrorKind};

/// Attempts of a read that is refused for being one too many.
const THROTTLED: u32 = 8;
/// Attempts of a read that gets no answer, or an error of the server.
const UNKNOWN: u32 = 4;
/// No pause between two attempts is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// No new attempt starts after this time.
const PATIENCE: Duration = Duration::from_mins(2);

/// What all calls to one registry share.
pub(super) struct Traffic {
    slots: Semaphore,
    pace: Mutex<Pace>,
    meter: Mutex<Meter>,
    on_retry: Box<dyn Fn(&Retry) + Send + Sync>,
}

impl Traffic {
    pub(super) fn new(on_retry: Box<dyn Fn(&Retry) + Send + Sync>) -> Self {
        Self { slots: Semaphore::new(AT_ONCE), pace: Mutex::default(), meter: Mutex::default(), on_retry }
    }

    /// Makes a call once.
    ///
    /// # Errors
    /// That of the call.
    pub(super) async fn once<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        // The semaphore is never closed; without a permit the call would only be one more at once.
        let _slot = self.slots.acquire().await.ok();
        let start = self.pace(|pace| pace.start(Instant::now()));
        tokio::time::sleep_until(start.into()).await;
        self.meter(|meter| meter.began(Instant::now()));
        let answer = call.await;
        if answer.as_ref().is_err_and(|error| error.kind == ErrorKind::Throttled) {
            self.meter(Meter::throttled);
        }
        self.pace(|pace| match &answer {
            Err(error) if error.kind == ErrorKind::Throttled => pace.refused(start, Instant::now()),
            Err(error) if error.kind == ErrorKind::Unknown => {}
            _ => pace.accepted(),
        });
        answer
    }

    /// Makes a read, again and again while that may help.
    ///
    /// # Errors
    /// The last [`CallError`].
    pub(super) async fn read<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            // The SDK's futures are large.
            let error = match self.once(Box::pin(call())).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(pause) = pause(error.kind, attempt, random()) else { return Err(error) };
            if begun.elapsed() + pause > PATIENCE {
                return Err(error);
            }
            tracing::info!(operation = error.operation, about = error.about, %error, ?pause, "trying again");
            (self.on_retry)(&Retry { error, attempt, pause });
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Returns how many calls were made, and how fast.
    pub(super) fn calls(&self) -> Calls {
        self.meter(|meter| meter.calls(Instant::now()))
    }

    fn meter<T>(&self, work: impl FnOnce(&mut Meter) -> T) -> T {
        work(&mut self.meter.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pace<T>(&self, work: impl FnOnce(&mut Pace) -> T) -> T {
        work(&mut self.pace.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns how long to wait after a failed attempt, counted from 1; `None` when no other attempt helps.
///
/// `random` lies between 0 and 1: attempts that failed together do not come back together.
fn pause(kind: ErrorKind, attempt: u32, random: f64) -> Option<Duration> {
    let (most, first) = match kind {
        ErrorKind::Throttled => (THROTTLED, Duration::from_millis(250)),
        ErrorKind::Unknown => (UNKNOWN, Duration::from_millis(200)),
        _ => return None,
    };
    let full = first.saturating_mul(2_u32.saturating_pow(attempt - 1)).min(LONGEST_PAUSE);
    (attempt < most).then(|| full.mul_f64(0.5 + random / 2.0))
}

/// A number between 0 and 1, another one each time.
fn random() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or(u32::MAX);
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again_and_not_for_ever() {
        let attempts = |kind| (1..100).take_while(|attempt| pause(kind, *attempt, 0.5).is_some()).count() + 1;
        assert_eq!(attempts(ErrorKind::Throttled), 8);
        assert_eq!(attempts(ErrorKind::Unknown), 4);
        for kind in [ErrorKind::AccessDenied, ErrorKind::Credentials, ErrorKind::ImageNotFound, ErrorKind::Invalid] {
            assert_eq!(attempts(kind), 1, "{kind:?}");
        }
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<_> = (1..THROTTLED).filter_map(|n| pause(ErrorKind::Throttled, n, 1.0)).collect();
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= LONGEST_PAUSE), "{pauses:?}");
        assert!(pauses.iter().sum::<Duration>() < PATIENCE);
        assert!(pause(ErrorKind::Throttled, 3, 0.0) < pause(ErrorKind::Throttled, 3, 1.0));
    }

    #[tokio::test]
    async fn never_more_than_eight_calls_are_under_way() {
        let traffic = Traffic::new(Box::new(|_| {}));
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let call = || async {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        };
        let answers = futures::future::join_all((0..100).map(|_| traffic.read(call))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(most.into_inner(), AT_ONCE);
    }

    #[tokio::test]
    async fn every_call_is_counted_whatever_becomes_of_it() {
        let traffic = Traffic::new(Box::new(|_| {}));
        let refused = CallError {
            operation: "DescribeImages",
            about: String::new(),
            kind: ErrorKind::Throttled,
            code: None,
            message: String::new(),
        };
        for answer in [Ok(()), Ok(()), Err(refused)] {
            drop(traffic.once(async { answer }).await);
        }
        assert_eq!((traffic.calls().made, traffic.calls().throttled), (3, 1));
    }

    #[test]
    fn random_numbers_lie_between_zero_and_one_and_differ() {
        let numbers: Vec<f64> = (0..8).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)), "{numbers:?}");
        let different: std::collections::BTreeSet<u64> = numbers.iter().map(|number| number.to_bits()).collect();
        assert!(different.len() > 1, "{numbers:?}");
    }
}
