//! Lists, watches, files and discovery: where objects come from.

pub mod discovery;
pub mod inventory;
pub mod manifests;
pub mod pages;
pub mod resource;
pub mod selector;
pub(crate) mod watch;
