//! Has it rolled out, and how do we know?

pub mod judgement;
pub mod object;
pub mod policy;
pub mod reason;
pub mod report;
pub mod verdict;
