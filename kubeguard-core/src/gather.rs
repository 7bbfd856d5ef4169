//! Lists, watches, files and discovery: where objects come from.

pub mod discovery;
pub mod inventory;
pub mod manifests;
pub mod pages;
pub mod resource;
pub mod selector;
pub(crate) mod watch;

use serde::{Deserialize, Serialize};

/// Where an object was named: a file and the line on which it begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// Path as given; `-` is standard input.
    pub file: String,
    /// Line, counted from 1.
    pub line: u64,
}
