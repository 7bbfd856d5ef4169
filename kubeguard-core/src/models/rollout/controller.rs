//! The arithmetic of the deployment controller. Source: `pkg/controller/deployment` of Kubernetes, `util.ResolveFenceposts`
//! and `util.NewRSNewReplicas`, and the controller's rolling update.

use crate::kinds::IntOrString;
use crate::scheduling::{NotACount, Round, int_or_percent};

/// What a replica set wants and has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetCounts {
    /// `spec.replicas`.
    pub wanted: i32,
    /// `status.availableReplicas`.
    pub available: i32,
}

/// Returns surge and unavailable as counts: of `replicas`, up and down; both zero gives one unavailable.
///
/// Fields that are absent count as zero, as in the controller; the API server fills in 25 % before it sees them. The
/// cap of unavailable by the replicas is the caller's where the strategy is a rolling update, as in
/// `deploymentutil.MaxUnavailable`: see [`capped`].
///
/// # Errors
/// Where one is neither a number nor a percentage.
pub fn fenceposts(
    surge: Option<&IntOrString>,
    unavailable: Option<&IntOrString>,
    replicas: i32,
) -> Result<(i32, i32), NotACount> {
    let of = |value: Option<&IntOrString>, round| value.map_or(Ok(0), |value| int_or_percent(value, replicas, round));
    let (surge, unavailable) = (of(surge, Round::Up)?, of(unavailable, Round::Down)?);
    Ok(if (surge, unavailable) == (0, 0) { (0, 1) } else { (surge, unavailable) })
}

/// Returns the pods that may be missing, no more than there are.
#[must_use]
pub const fn capped(unavailable: i32, replicas: i32) -> i32 {
    if unavailable > replicas { replicas } else { unavailable }
}

/// Returns what the new set wants next, with `old` and `new` as the sums of `spec.replicas`.
#[must_use]
pub fn new_set_size(replicas: i32, surge: i32, old: i32, new: i32) -> i32 {
    if new >= replicas {
        return replicas;
    }
    let room = replicas.saturating_add(surge).saturating_sub(old.saturating_add(new));
    new.saturating_add(room.min(replicas.saturating_sub(new)).max(0))
}

/// Returns what the old sets, oldest first, want next: unhealthy pods go first, then as many as may.
#[must_use]
pub fn old_set_step(sets: &[SetCounts], replicas: i32, unavailable: i32, new: SetCounts) -> Vec<i32> {
    let mut wanted: Vec<i32> = sets.iter().map(|set| set.wanted).collect();
    let floor = replicas.saturating_sub(unavailable);
    let all = wanted.iter().fold(new.wanted, |sum, wanted| sum.saturating_add(*wanted));
    let limit = all.saturating_sub(floor).saturating_sub(new.wanted.saturating_sub(new.available));
    if limit <= 0 {
        return wanted;
    }
    clean_up(sets, &mut wanted, limit);
    scale_down(sets, &mut wanted, floor, new.available);
    wanted
}

/// Takes unhealthy pods from old sets, `limit` at most.
pub(super) fn clean_up(sets: &[SetCounts], wanted: &mut [i32], limit: i32) {
    let mut left = limit;
    for (set, wanted) in sets.iter().zip(wanted) {
        let gone = left.min(set.wanted.saturating_sub(set.available)).max(0);
        *wanted -= gone;
        left -= gone;
    }
}

/// Takes pods from old sets while enough are available.
pub(super) fn scale_down(sets: &[SetCounts], wanted: &mut [i32], floor: i32, new_available: i32) {
    let available = sets.iter().fold(new_available, |sum, set| sum.saturating_add(set.available));
    let mut left = available.saturating_sub(floor);
    for wanted in wanted {
        let gone = left.min(*wanted).max(0);
        *wanted -= gone;
        left -= gone;
    }
}

/// Returns how many pods are being deleted, of sets with `(observedGeneration, terminatingReplicas)`; `None` where a
/// set that was seen does not say: then pods are listed.
#[must_use]
pub fn terminating(sets: &[(i64, Option<i32>)]) -> Option<i32> {
    sets.iter().try_fold(0_i32, |sum, (observed, count)| match (observed, count) {
        (_, Some(count)) => Some(sum.saturating_add(*count)),
        (0, None) => Some(sum),
        (_, None) => None,
    })
}
