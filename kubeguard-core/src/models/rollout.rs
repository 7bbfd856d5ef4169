//! The pace of a rollout: how fast a deployment replaces pods, and what its clients lose meanwhile.
//!
//! [`fenceposts`], [`new_set_size`] and [`old_set_step`] are the arithmetic of the deployment controller; [`simulate`]
//! steps it through time, and [`tune`] finds the settings that lose little enough. Nothing here reads a clock.

mod controller;
mod simulator;
mod tune;

use jiff::SignedDuration;

pub use controller::{SetCounts, capped, fenceposts, new_set_size, old_set_step, terminating};
pub use simulator::{Point, Timeline, simulate};
pub use tune::{Setting, Tuned, tune};

use super::Input;

/// How long clients behind kube-proxy keep an endpoint.
pub const NODE_PROPAGATION: SignedDuration = SignedDuration::from_secs(5);
/// How long clients behind proxies of a mesh do.
pub const MESH_PROPAGATION: SignedDuration = SignedDuration::from_secs(10);
/// How long a load balancer or registry outside does.
pub const OUTSIDE_PROPAGATION: SignedDuration = SignedDuration::from_secs(30);

/// How many writes the controllers' client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In a second.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_second: 20, burst: 30 }
    }
}

/// What decides how fast pods are replaced, and what that costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// Pods that are wanted.
    pub replicas: i32,
    /// Pods above that.
    pub surge: i32,
    /// Pods below that.
    pub unavailable: i32,
    /// From ready to available.
    pub min_ready: SignedDuration,
    /// How long a pod that is being deleted still answers.
    pub drain: Input<SignedDuration>,
    /// How long clients keep an endpoint after it changed.
    pub propagation: Input<SignedDuration>,
    /// From creation to ready.
    pub ready_after: Input<SignedDuration>,
    /// How long a pod that is being deleted exists.
    pub grace: SignedDuration,
    /// What the controllers may write.
    pub rate: Rate,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// A number that no object can have.
    #[error("{0} is below zero")]
    Negative(&'static str),
    /// Nothing would ever be created.
    #[error("a rate of no writes in a second, or a burst of none, replaces no pod")]
    NoRate,
    /// Neither surplus nor missing pods are allowed.
    #[error("surge 0 and unavailable 0 replace no pod")]
    NoRoom,
    /// Longer than anybody waits.
    #[error("the rollout lasts longer than 23 days")]
    TooLong,
}

impl Pace {
    /// Returns the time of one wave: until a new pod counts as available.
    #[must_use]
    pub fn wave(&self) -> SignedDuration {
        self.ready_after.value.saturating_add(self.min_ready)
    }

    /// Returns the most pods that vanish within a time: `min(N, (S+U)·(1+⌊x/t_w⌋), b+q·x)`.
    #[must_use]
    pub fn vanish_within(&self, time: SignedDuration) -> i64 {
        let time = time.as_millis().max(0);
        let per_wave = i128::from(self.surge) + i128::from(self.unavailable);
        // Pods that are available at once put no wave between two deletions.
        let waves = match self.wave().as_millis() {
            ..=0 => i128::from(self.replicas),
            wave => 1 + time / wave,
        };
        let written = i128::from(self.rate.burst) + i128::from(self.rate.per_second) * time / 1000;
        let most = i128::from(self.replicas).min(per_wave.saturating_mul(waves)).min(written);
        i64::try_from(most.max(0)).unwrap_or(i64::MAX)
    }

    /// Returns what is wrong with the numbers.
    ///
    /// # Errors
    /// [`Impossible`].
    pub fn check(&self) -> Result<(), Impossible> {
        let negative = [
            ("replicas", self.replicas < 0),
            ("surge", self.surge < 0),
            ("unavailable", self.unavailable < 0),
            ("minReadySeconds", self.min_ready.is_negative()),
            ("drain", self.drain.value.is_negative()),
            ("propagation", self.propagation.value.is_negative()),
            ("the time to ready", self.ready_after.value.is_negative()),
            ("grace", self.grace.is_negative()),
        ];
        if let Some((name, _)) = negative.into_iter().find(|(_, is)| *is) {
            return Err(Impossible::Negative(name));
        }
        if self.rate.per_second == 0 || self.rate.burst == 0 {
            return Err(Impossible::NoRate);
        }
        if self.replicas > 0 && self.surge == 0 && self.unavailable == 0 {
            return Err(Impossible::NoRoom);
        }
        Ok(())
    }
}

/// Returns the share of requests that fail after retries on independent picks: `(1−v)^(k+1)`.
#[must_use]
pub fn visible_error(survival: f64, retries: u32) -> f64 {
    let tries = i32::try_from(retries).unwrap_or(i32::MAX).saturating_add(1);
    (1.0 - survival).clamp(0.0, 1.0).powi(tries)
}

#[cfg(test)]
mod tests;
