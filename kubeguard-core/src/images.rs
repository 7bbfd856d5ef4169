//! Image references, and every place of a cluster that names one.
//!
//! [`mod@reference`] parses a reference instead of comparing text, [`Collector`] finds them in objects, [`gather`]
//! reads a cluster, [`inventory`] is what it needs, as data and as a file. Nothing here speaks to a registry.

mod extract;
pub mod gather;
pub mod hashed;
pub mod hosts;
pub mod inventory;
pub mod maps;
mod parse;
pub mod reference;
pub mod rights;
pub mod signature;
pub(crate) mod status;

pub use extract::{Collector, Found, ImagePod, is_built_in};
pub use hashed::Salt;
pub use hosts::{HostMap, Mapping};
pub use inventory::{Inventory, Reference, Use};
pub use maps::Maps;
pub use parse::{is_ecr_like, is_path};
pub use reference::{Digest, ImageKey, ImageRef, Partition, RegistryId};
pub use signature::{CheckingKey, SignatureError, SigningKey};
