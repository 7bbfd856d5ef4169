//! A real control plane, a scripted API server and upstream's own code, for tests.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a test kit fails the test, in words"
)]

mod control_plane;
mod fake_cluster;
mod oracle;
mod programs;

pub use control_plane::{Behaviour, ControlPlane};
pub use fake_cluster::{FakeCluster, Fault, Seen};
pub use oracle::Oracle;
pub use programs::plugin;
