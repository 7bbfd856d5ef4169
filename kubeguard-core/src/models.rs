//! Models of what will happen: pure functions over objects, each answer with the numbers that it came from.
//!
//! An [`Input`] is a number with its origin; a [`Calculation`] is the inequality that decided, with its inputs and the
//! smallest change that turns it round. [`measurements`] are what somebody measured, [`declared`] what annotations state.
//! Precedence: flag, annotation, measurement, default; see [`Input::or`].

pub mod declared;
pub mod duration;
mod input;
pub mod measurements;
pub mod rollout;
pub mod thresholds;

pub use input::{Calculation, Given, Input, Origin, Unit};
