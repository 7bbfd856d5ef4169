//! The kinds as audits read them: more of each object than a wait needs, and never kept in recordings.
//!
//! Declared as in [`crate::kinds`]. Pods are decoded into [`Pod`] and kept as [`crate::audit::facts::Pod`], which is a
//! tenth of the size.

mod cluster;
mod fleet;
mod network;
mod template;
mod workloads;

pub use cluster::*;
pub use fleet::*;
pub use network::*;
pub use template::*;
pub use workloads::*;
