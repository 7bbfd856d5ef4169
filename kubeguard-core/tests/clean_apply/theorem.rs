//! Theorem
