//! Answers questions about a Kubernetes cluster: gather, judge, explain.
//!
//! [`access`] reaches a cluster the way kubectl does, [`gather`] lists, watches and reads files, [`kinds`] are the slim
//! Kubernetes kinds that rules read, and [`wait`](mod@wait) answers the first question: has it rolled out, and how do
//! we know? Nothing here prints, exits, or reads a clock of its own.
//!
//! Judging needs no cluster:
//!
//! ```
//! use kubeguard_core::wait::{Object, Policy, Verdict, offline};
//!
//! let web = serde_json::json!({
//!     "apiVersion": "apps/v1", "kind": "Deployment",
//!     "metadata": {"name": "web", "namespace": "team", "generation": 2},
//!     "spec": {"replicas": 1},
//!     "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
//! });
//! let now = "2026-01-01T00:00:00Z".parse()?;
//! let report = offline::judge(Object::read(web).into_iter().collect(), Policy::default(), now);
//! assert_eq!(report.verdict, Verdict::Progressing);
//! assert_eq!(report.items[0].message, "the status is of generation 1, the object is at 2");
//! # Ok::<(), jiff::Error>(())
//! ```

pub mod access;
pub mod audit;
pub mod canonical;
pub mod cron;
mod document;
#[cfg(feature = "ecr")]
pub mod ecr;
pub mod error;
pub mod gather;
pub mod images;
pub mod kinds;
pub mod models;
pub mod pods;
pub mod policies;
pub mod scheduling;
pub mod wait;
