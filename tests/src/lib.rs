//! A real control plane, a scripted API server, a registry in memory and upstream's own code, for tests.

mod control_plane;
mod fake_cluster;
pub mod fake_ecr;
mod oracle;
mod programs;
mod sidecar;

pub use control_plane::{Behaviour, ControlPlane};
pub use fake_cluster::{FakeCluster, Fault, Seen};
pub use fake_ecr::FakeEcr;
pub use oracle::{Encoded, Oracle, Said};
pub use programs::plugin;
pub use sidecar::{Manners, Sidecar};
