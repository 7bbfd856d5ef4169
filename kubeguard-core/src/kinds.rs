//! The slim Kubernetes kinds that rules read: each field once, readable from JSON, YAML and protobuf.
//!
//! A declaration is a table: protobuf tag, name, type. Tags and names are those of upstream's `generated.proto` and
//! JSON; whatever is not declared is skipped while reading and never kept. An empty [`String`] means absent, as
//! upstream writes strings that were never set; where absent and zero differ the field is an [`Option`].
//!
//! ```
//! use kubeguard_core::kinds::{Deployment, read};
//!
//! let (web, malformed) = read::<Deployment>(serde_json::json!({
//!     "metadata": {"name": "web"},
//!     "spec": {"replicas": "3", "paused": ["not a bool"]},
//! }));
//! assert_eq!(web.spec.and_then(|spec| spec.replicas), Some(3));
//! assert_eq!(malformed, ["spec.paused"]);
//! ```

mod apps;
mod batch;
mod core;
mod definitions;
mod lenient;
mod meta;
pub mod protobuf;
mod scalars;

pub use apps::*;
pub use batch::*;
pub use core::*;
pub use definitions::*;
pub use lenient::read;
pub use meta::*;
pub use scalars::*;

/// A top-level kind: where the server keeps it, and its metadata.
pub trait Kind {
    /// API group; empty for the core group.
    const GROUP: &'static str;
    /// Version, as in `v1`.
    const VERSION: &'static str;
    /// Kind, as in `Pod`.
    const KIND: &'static str;
    /// The name in paths, as in `pods`.
    const PLURAL: &'static str;
    /// Whether its objects live in namespaces.
    const NAMESPACED: bool;

    /// Returns the object's metadata.
    fn meta(&self) -> &ObjectMeta;

    /// Returns the object's metadata for changes.
    fn meta_mut(&mut self) -> &mut ObjectMeta;
}

/// Declares messages as tables of `tag name: type`.
///
/// Types: `String`, `[String]`, `Map` (of strings), `Quantities`, `bool`, `bool?`, `i32`, `i32?`, `i64?`,
/// `[i32]`, `{Message}` (optional), `[{Message}]`, `= Message` (always there), and the two messages that are always
/// there by their names, `ObjectMeta` and `VolumeSource`.
macro_rules! message {
    ($(#[$meta:meta])* struct $name:ident { $($body:tt)* }) => {
        message!(@ { $(#[$meta])* $name } [] $($body)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: String, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(string, tag = $tag)] #[serde(skip_serializing_if = "String::is_empty")] $(#[$attr])* ($field: String)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: [String], $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(string, repeated, tag = $tag)] #[serde(skip_serializing_if = "Vec::is_empty")] $(#[$attr])* ($field: Vec<String>)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: Map, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(btree_map = "string, string", tag = $tag)] #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")] $(#[$attr])* ($field: std::collections::BTreeMap<String, String>)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: Quantities, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(btree_map = "string, message", tag = $tag)] #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")] $(#[$attr])* ($field: std::collections::BTreeMap<String, $crate::kinds::Quantity>)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: bool?, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(bool, optional, tag = $tag)] #[serde(skip_serializing_if = "Option::is_none")] $(#[$attr])* ($field: Option<bool>)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: bool, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(bool, tag = $tag)] #[serde(skip_serializing_if = "std::ops::Not::not")] $(#[$attr])* ($field: bool)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: i32?, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(int32, optional, tag = $tag)] #[serde(skip_serializing_if = "Option::is_none")] $(#[$attr])* ($field: Option<i32>)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: i32, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(int32, tag = $tag)] #[serde(skip_serializing_if = "crate::kinds::is_zero")] $(#[$attr])* ($field: i32)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: i64?, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(int64, optional, tag = $tag)] #[serde(skip_serializing_if = "Option::is_none")] $(#[$attr])* ($field: Option<i64>)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: [i32], $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(int32, repeated, packed = "false", tag = $tag)] #[serde(skip_serializing_if = "Vec::is_empty")] $(#[$attr])* ($field: Vec<i32>)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: = $message:ty, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(message, required, tag = $tag)] $(#[$attr])* ($field: $message)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: ObjectMeta, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(message, required, tag = $tag)] $(#[$attr])* ($field: ObjectMeta)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: VolumeSource, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(message, required, tag = $tag)] $(#[$attr])* ($field: VolumeSource)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: {$message:ty}, $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(message, optional, tag = $tag)] #[serde(skip_serializing_if = "Option::is_none")] $(#[$attr])* ($field: Option<$message>)] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$attr:meta])* $tag:literal $field:ident: [{$message:ty}], $($rest:tt)*) => {
        message!(@ $head [$($done)* #[prost(message, repeated, tag = $tag)] #[serde(skip_serializing_if = "Vec::is_empty")] $(#[$attr])* ($field: Vec<$message>)] $($rest)*);
    };
    (@ { $(#[$meta:meta])* $name:ident } [$($(#[$attr:meta])* ($field:ident: $type:ty))*]) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, prost::Message, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $(
                #[doc = concat!("The API's field `", stringify!($field), "`.")]
                $(#[$attr])*
                pub $field: $type,
            )*
        }
    };
}
pub(crate) use message;

/// Ties top-level kinds to their place in the API.
macro_rules! kinds {
    ($($type:ident = $group:literal / $version:literal / $plural:literal, namespaced: $namespaced:literal;)*) => {
        $(impl $crate::kinds::Kind for $type {
            const GROUP: &'static str = $group;
            const VERSION: &'static str = $version;
            const KIND: &'static str = stringify!($type);
            const PLURAL: &'static str = $plural;
            const NAMESPACED: bool = $namespaced;

            fn meta(&self) -> &$crate::kinds::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut $crate::kinds::ObjectMeta {
                &mut self.metadata
            }
        })*
    };
}
pub(crate) use kinds;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) const fn is_zero(number: &i32) -> bool {
    *number == 0
}
