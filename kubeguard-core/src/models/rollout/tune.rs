//! Settings that lose little enough.

use jiff::SignedDuration;
use serde::Serialize;

use super::{Impossible, Pace, Timeline, simulate};
use crate::models::{Input, Origin};

/// Percentages of surge that are tried.
const SURGES: [i32; 9] = [1, 2, 5, 10, 15, 20, 25, 50, 100];
/// Up to so many replicas every count is tried.
const FEW: i32 = 20;

/// What somebody would write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// As in `10%`, or a number.
    pub max_surge: String,
    /// Pods that may be missing.
    pub max_unavailable: i32,
    /// Seconds from ready to available.
    pub min_ready_seconds: i64,
    /// Seconds of the preStop sleep; none where the drain is long enough as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_stop_sleep: Option<i64>,
    /// Seconds of grace: the present one, and the sleep.
    pub grace: i64,
}

/// A setting with what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// What somebody would write.
    pub setting: Setting,
    /// What it does.
    pub timeline: Timeline,
}

/// Returns the fastest setting whose survival is `target` at least, and the one with the fewest pods; one where they
/// are the same, none where no candidate is good enough.
///
/// `room` is the greatest surge that fits; `None` where nothing limits it.
///
/// # Errors
/// [`Impossible`] where the pace itself is none.
pub fn tune(pace: &Pace, target: f64, room: Option<i32>) -> Result<Vec<Tuned>, Impossible> {
    pace.check()?;
    let mut good: Vec<Tuned> = Vec::new();
    for (written, surge) in surges(pace.replicas) {
        if room.is_some_and(|room| surge > room) {
            continue;
        }
        let propagation = ceil(pace.propagation.value);
        for min_ready in [0, propagation] {
            for sleep in [None, Some(propagation + 2), Some(propagation + 5)] {
                let tried = with(pace, surge, min_ready, sleep);
                let Ok(timeline) = simulate(&tried) else { continue };
                if timeline.survival < target {
                    continue;
                }
                let grace = ceil(tried.grace);
                let setting = Setting {
                    max_surge: written.clone(),
                    max_unavailable: 0,
                    min_ready_seconds: min_ready,
                    pre_stop_sleep: sleep,
                    grace,
                };
                good.push(Tuned { setting, timeline });
            }
        }
    }
    let slept = |tuned: &Tuned| tuned.setting.pre_stop_sleep.unwrap_or(0);
    let fastest = good.iter().min_by_key(|tuned| (tuned.timeline.duration, tuned.timeline.alive, slept(tuned)));
    let fewest = good.iter().min_by_key(|tuned| (tuned.timeline.alive, tuned.timeline.duration, slept(tuned)));
    let mut ends: Vec<Tuned> = fastest.into_iter().chain(fewest).cloned().collect();
    ends.dedup();
    Ok(ends)
}

/// Returns the surges that are tried, as they are written and as they count.
fn surges(replicas: i32) -> Vec<(String, i32)> {
    let mut found: Vec<(String, i32)> = Vec::new();
    if replicas <= FEW {
        found.extend((1..=replicas.max(1)).map(|count| (count.to_string(), count)));
    } else {
        let of =
            |percent: i32| i32::try_from((i64::from(percent) * i64::from(replicas) + 99) / 100).unwrap_or(i32::MAX);
        found.extend(SURGES.map(|percent| (format!("{percent}%"), of(percent))));
    }
    found.dedup_by_key(|(_, count)| *count);
    found
}

fn with(pace: &Pace, surge: i32, min_ready: i64, sleep: Option<i64>) -> Pace {
    let mut tried = Pace { surge, unavailable: 0, min_ready: SignedDuration::from_secs(min_ready), ..pace.clone() };
    if let Some(sleep) = sleep.map(SignedDuration::from_secs) {
        tried.drain = Input::new(pace.drain.value.max(sleep), Origin::Object);
        tried.grace = pace.grace.saturating_add(sleep);
    }
    tried
}

/// Returns whole seconds, rounded up.
pub(super) fn ceil(time: SignedDuration) -> i64 {
    time.as_secs().saturating_add(i64::from(time.subsec_nanos() > 0))
}
