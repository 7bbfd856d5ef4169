//! Answers questions about a Kubernetes cluster: gather, judge, explain.

pub mod access;
pub mod gather;
pub mod kinds;
pub mod wait;
