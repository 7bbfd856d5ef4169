//! Tries in a scratch repository of a real account what kubeguard assumes of ECR and nobody documents.
//!
//! Nothing depends on the answers: the code is safe whichever way they turn out. They tell whether it could do more.

mod rows;
mod scratch;

use std::error::Error;
use std::fmt;

use aws_config::SdkConfig;

use self::scratch::Scratch;

/// What became of one assumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// Part of it was seen, or it takes longer than a program waits.
    Open,
    /// It takes more than one scratch repository.
    NotTried,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Holds => "holds",
            Self::Fails => "FAILS",
            Self::Open => "open",
            Self::NotTried => "not tried",
        })
    }
}

/// One assumption, and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// As in `A1`.
    pub id: &'static str,
    /// What is assumed.
    pub assumed: &'static str,
    /// What became of it.
    pub seen: Seen,
    /// What was seen, in words.
    pub because: String,
}

/// What was tried, and what is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// One row for each assumption.
    pub rows: Vec<Row>,
    /// Digests that were pushed and could not be removed.
    pub left: Vec<String>,
}

/// Pushes tiny images into an empty repository, tries every assumption, and removes what it pushed, and nothing else.
///
/// # Errors
/// When the repository cannot be read or is not empty, before anything is pushed. A call that fails later is the answer of
/// its row.
pub async fn confirm(config: &SdkConfig, repository: &str) -> Result<Confirmed, Box<dyn Error>> {
    let scratch = Scratch::open(config, repository).await?;
    let rows = rows::all(&scratch).await;
    let left = scratch.clean().await;
    Ok(Confirmed { rows, left })
}
