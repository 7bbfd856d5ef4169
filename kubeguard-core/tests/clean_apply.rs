//! Carrying out a plan: the protocol case by case, killed runs, and the promise that nothing needed goes.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

#[path = "clean_apply/killed.rs"]
mod killed;
#[path = "clean_apply/protocol.rs"]
mod protocol;
#[path = "clean_apply/store.rs"]
mod store;
#[path = "clean_apply/theorem.rs"]
mod theorem;
#[path = "clean_apply/world.rs"]
mod world;
