//! Lists, watches, files and discovery: where objects come from.

pub mod resource;
pub mod selector;
