//! Has it rolled out, and how do we know?

mod assess;
mod custom;
mod daemon_set;
mod deployment;
mod evidence;
mod job;
pub mod judgement;
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
mod secrets;
mod small;
pub mod state;
mod stateful_set;
pub mod verdict;
pub mod view;

pub use needs::{Need, needs};
