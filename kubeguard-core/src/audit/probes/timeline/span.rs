//! Spans of time.

use serde::Serialize;

/// From the earliest to the latest second at which something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Not before.
    #[serde(rename = "earliestSeconds")]
    pub earliest: i64,
    /// Not after; unknown where absent.
    #[serde(rename = "latestSeconds", skip_serializing_if = "Option::is_none")]
    pub latest: Option<i64>,
}

impl From<i64> for Span {
    fn from(at: i64) -> Self {
        Self { earliest: at, latest: Some(at) }
    }
}

impl From<(i64, i64)> for Span {
    fn from((earliest, latest): (i64, i64)) -> Self {
        Self { earliest, latest: Some(latest) }
    }
}

impl std::ops::Add for Span {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        let latest = self.latest.zip(more.latest).map(|(one, other)| one + other);
        Self { earliest: self.earliest + more.earliest, latest }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.latest {
            Some(latest) if latest == self.earliest => f.pad(&format!("{latest} s")),
            Some(latest) => f.pad(&format!("{} – {latest} s", self.earliest)),
            None => f.pad(&format!("{} s –", self.earliest)),
        }
    }
}
