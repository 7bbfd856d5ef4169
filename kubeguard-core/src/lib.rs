//! Answers questions about a Kubernetes cluster: gather, judge, explain.

pub mod access;
pub mod error;
pub mod gather;
pub mod kinds;
pub mod wait;
