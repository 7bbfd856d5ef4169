//! Has it rolled out, and how do we know?
//!
//! [`Wait`] watches a set of [`Target`]s until each has a [`Verdict`]; [`wait`](fn@wait) does so to the end;
//! [`offline::judge`] looks at objects as they stand; [`recording::Replay`] plays a recorded wait again. All of them
//! feed [`record::Record`]s to the same [`state::State`], a pure fold.
//!
//! One judgement of one object at one moment runs in this order:
//!
//! ```text
//! deleted?  identity and floor      terminating, missing, superseded
//! evidence                          does this status belong to this spec?
//! rules of the kind                 complete, progressing, suspended, suspects
//! pods, events                      suspects
//! hold times                        a suspect past its hold is a failure
//! ```

mod assess;
mod custom;
mod daemon_set;
mod deployment;
mod evidence;
mod job;
pub mod judgement;
mod levels;
pub mod live;
mod needs;
pub mod object;
pub mod offline;
mod pod;
mod pods;
pub mod policy;
pub mod reason;
pub mod record;
pub mod recording;
mod replica_set;
pub mod report;
mod reporting;
mod rights;
pub mod rules;
mod secrets;
mod small;
pub mod state;
mod stateful_set;
mod untyped;
pub mod verdict;
pub mod view;

pub use live::{Wait, wait};
pub use needs::{Need, needs};
pub use object::Object;
pub use policy::Policy;
pub use record::Target;
pub use report::WaitReport;
pub use rights::preflight;
pub use verdict::Verdict;
