//! kubectl plugins on top of kubeguard-core: flags, output, exit codes. The answers come from the library.

pub mod audits;
mod cli;
mod duration;
#[cfg(feature = "ecr")]
pub mod ecr_clean;
mod exit;
mod explain;
mod given;
mod guard;
mod live;
mod output;
mod start;
mod terminal;
pub mod wait_deploy;

pub use exit::ExitCode;
