//! The simulators of `kubectl guard`: what each shares with the others. A command is a file in `guard/`.

pub(crate) mod envelope;
pub(crate) mod input;
pub(crate) mod policy;
pub(crate) mod rollout;
