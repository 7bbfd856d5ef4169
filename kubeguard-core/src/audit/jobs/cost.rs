//! What a pod that only waits keeps reserved.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::zombie::Zombie;
use crate::pods::request;

/// What a pod has reserved since its work was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Thousandths of core-hours.
    pub cpu_milli_hours: i128,
    /// Thousandths of GiB-hours.
    pub memory_milli_hours: i128,
}

/// Returns what a zombie has cost: the request of the whole pod, overhead included, times its age.
#[must_use]
pub fn cost(zombie: &Zombie<'_>) -> Cost {
    let seconds = i128::from(zombie.age.unwrap_or(SignedDuration::ZERO).as_secs());
    let hours = |nanos: i128| nanos * seconds / 3600 / 1_000_000;
    Cost {
        cpu_milli_hours: hours(request(&zombie.pod.spec, "cpu")),
        memory_milli_hours: hours(request(&zombie.pod.spec, "memory")) / (1 << 30),
    }
}

impl Cost {
    /// Returns it as it is printed in details: core-hours and GiB-hours, to three decimals.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let number = |milli: i128| format!("{}.{:03}", milli / 1000, milli % 1000).parse::<f64>().unwrap_or_default();
        json!({"cpuHours": number(self.cpu_milli_hours), "memoryGiBHours": number(self.memory_milli_hours)})
    }
}
