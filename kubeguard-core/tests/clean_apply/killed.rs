//! Killed
