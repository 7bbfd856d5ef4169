//! Has it rolled out?
