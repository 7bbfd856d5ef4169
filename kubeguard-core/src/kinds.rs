//! The slim Kubernetes kinds that rules read.
