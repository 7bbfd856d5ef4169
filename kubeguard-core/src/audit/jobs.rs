//! Which jobs will never end, why, and what ends them well: the family `ZJ`.
//!
//! Every rule is a pure judgement over facts. [`state`] says what may be judged of a job, [`zombie`] whether the work of a
//! pod is over while a sidecar holds it, [`outcome`] what each action would lead to, [`ladder`] what ends it.

mod books;
mod configured;
mod cost;
mod crons;
mod damage;
mod endless;
pub mod fix;
pub mod fleet;
mod held;
mod injected;
mod ladder;
mod leaving;
mod native;
mod nodes;
mod outcome;
mod phase;
mod predicted;
mod shell;
mod starting;
mod stuck;
#[cfg(test)]
mod tests;
mod uncreated;
mod view;
mod zombie;

pub use cost::{Cost, cost};
pub use ladder::{Ladder, Step, ladder};
pub use outcome::{Action, Ends, Outcome, outcome};
pub use phase::{Phase, phase};
pub use view::{JobState, state};
pub use zombie::{Holder, Main, Zombie, zombie};

use super::rule::Rule;

/// The rows.
pub(super) const RULES: &[Rule] = &[
    held::ZJ101,
    held::ZJ102,
    held::ZJ103,
    endless::ZJ104,
    endless::ZJ105,
    native::ZJ106,
    native::ZJ107,
    starting::ZJ201,
    starting::ZJ202,
    starting::ZJ203,
    starting::ZJ204,
    starting::ZJ205,
    uncreated::ZJ206,
    uncreated::ZJ207,
    leaving::ZJ301,
    nodes::ZJ302,
    leaving::ZJ303,
    leaving::ZJ304,
    leaving::ZJ305,
    leaving::ZJ306,
    configured::ZJ401,
    configured::ZJ402,
    configured::ZJ403,
    configured::ZJ404,
    configured::ZJ405,
    configured::ZJ406,
    configured::ZJ407,
    crons::ZJ501,
    crons::ZJ502,
    crons::ZJ503,
    crons::ZJ504,
    crons::ZJ505,
    crons::ZJ506,
    damage::ZJ601,
    damage::ZJ602,
    damage::ZJ603,
    damage::ZJ604,
    injected::ZJ701,
    predicted::ZJ702,
    predicted::ZJ703,
    injected::ZJ704,
];
