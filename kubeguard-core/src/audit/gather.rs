//! Reading what rules need: from a cluster, from files.

mod files;
mod live;

pub use files::{Files, of_manifests};
pub use live::{Gathered, Scope, live};
