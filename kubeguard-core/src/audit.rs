//! Findings about objects: what will hurt, how sure that is, and the smallest change that ends it.
//!
//! [`report`] is the answer as data, the same for every family of rules.

pub mod report;

pub use report::{AuditReport, Evidence, Finding, ObjectName, Proof, Remedy, Severity, Skipped, Summary};
