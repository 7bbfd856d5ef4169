//! What calls have changed, by digest and tag.

use kubeguard_core::images::{Digest, RegistryId};

use super::operations::ImageIdentifier;

/// One call that changes something, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// As in `BatchDeleteImage`.
    pub operation: &'static str,
    /// ARN of the caller.
    pub caller: String,
    /// The registry that answered.
    pub registry: RegistryId,
    /// `registryId` as it was sent.
    pub registry_id: Option<String>,
    /// The repository it names.
    pub repository: String,
    /// The ids as they were sent.
    pub ids: Vec<ImageIdentifier>,
    /// What it did, in order; also where its answer was lost.
    pub effects: Vec<Effect>,
    /// Codes of refused items, in order.
    pub failures: Vec<String>,
    /// Code of a call that was refused as a whole; `Reset` where the connection was closed before it did anything.
    pub refused: Option<String>,
}

/// One thing that a call has done to one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The registry: of the call, or one that deletions are replicated to.
    pub registry: RegistryId,
    /// The repository.
    pub repository: String,
    /// What was done.
    pub change: Change,
}

/// What was done to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new entry.
    Pushed(Digest),
    /// A tag was put on an entry.
    Tagged(String, Digest),
    /// A tag was taken off an entry.
    Untagged(String, Digest),
    /// An entry has gone, with the tags it still had.
    Deleted(Digest, Vec<String>),
    /// An entry was archived.
    Archived(Digest),
    /// An archived entry is being restored.
    Restored(Digest),
}
