//! What can go wrong, in words: what was being done, why it failed, what to try.

use std::fmt;
use std::time::Duration;

/// The result of anything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Displays what was being done; [`std::error::Error::source`] says why, [`Error::hint`] what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call to the API server failed.
    #[error("cannot {doing}")]
    Api {
        /// What was being done, as in `list deployments in namespace team`.
        doing: String,
        /// Why it failed.
        #[source]
        failure: Failure,
        /// The server that was asked.
        server: String,
    },
    /// The configuration names no reachable cluster.
    #[error("{problem}")]
    Configuration {
        /// What is wrong.
        problem: String,
        /// What to try.
        hint: String,
        /// Why, where something below failed.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A kind that the server does not serve.
    #[error("the server has no kind {name:?}")]
    UnknownKind {
        /// What was asked for.
        name: String,
        /// Kinds with similar names, the most similar first.
        similar: Vec<String>,
    },
    /// A file that cannot be read as objects.
    #[error("{file}:{line}:{column}: {problem}")]
    File {
        /// Path as given; `-` is standard input.
        file: String,
        /// Line, counted from 1.
        line: u64,
        /// Column, counted from 1.
        column: u64,
        /// What is wrong there.
        problem: String,
        /// What to try; may be empty.
        hint: String,
    },
    /// A file that says something else than its own hash vouches for.
    #[error("{file}: it was altered: its hash is {hash}, it says {says}")]
    Altered {
        /// Path as given.
        file: String,
        /// First digits of the hash of what it says.
        hash: String,
        /// First digits of the hash that it carries.
        says: String,
    },
    /// A recording that cannot be replayed.
    #[error("recording {file}: line {line}: {problem}")]
    Recording {
        /// Path of the recording.
        file: String,
        /// Line, counted from 1.
        line: u64,
        /// What is wrong there.
        problem: String,
    },
    /// Rules or expressions that cannot be used.
    #[error("cannot use {file}: {problem}")]
    Rules {
        /// Path of the file, or the flag that gave an expression.
        file: String,
        /// What is wrong, with line and column.
        problem: String,
    },
    /// A call to ECR or STS failed.
    #[cfg(feature = "ecr")]
    #[error("cannot {doing}")]
    Registry {
        /// What was being done, as in `list the repositories of 111122223333/us-east-1`.
        doing: String,
        /// Why it failed.
        #[source]
        source: Box<crate::ecr::registry::CallError>,
    },
    /// A file that cannot be opened, read or written.
    #[error("cannot {doing} {file}")]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// Path of the file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Returns what to try, where something is known to help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Api { doing, failure, server } => failure.hint(doing, server),
            Self::Configuration { hint, .. } | Self::File { hint, .. } => {
                Some(hint.clone()).filter(|hint| !hint.is_empty())
            }
            Self::UnknownKind { similar, .. } if similar.is_empty() => {
                Some("kubectl api-resources lists the kinds there are".to_owned())
            }
            Self::UnknownKind { similar, .. } => Some(format!("did you mean {}?", similar.join(" or "))),
            #[cfg(feature = "ecr")]
            Self::Registry { source, .. } => source.hint(),
            Self::Altered { .. } => Some("take it anew; such a file is never edited".to_owned()),
            Self::Recording { .. } | Self::Rules { .. } | Self::Io { .. } => None,
        }
    }
}

/// Why a call to the API server failed; never a debug dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server answered with an error.
    Status {
        /// HTTP status code.
        code: u16,
        /// The API's reason, as in `Forbidden`; empty when a proxy answered.
        reason: String,
        /// The server's words.
        message: String,
        /// When to try again, by the server's wish.
        retry_after: Option<Duration>,
    },
    /// No answer within the time that `--request-timeout` gives.
    TimedOut(Duration),
    /// The connection could not be made or broke.
    Connection(String),
    /// The answer is not what the API promises.
    Answer(String),
}

impl Failure {
    /// Returns the HTTP status code, if the server answered.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Returns whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 429 | 500 | 502..=504),
            Self::TimedOut(_) | Self::Connection(_) | Self::Answer(_) => true,
        }
    }

    /// Returns whether the same question can never get another answer: the server does not accept it as it is.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.code(), Some(400 | 405 | 406 | 413 | 414 | 415 | 422))
    }

    /// Returns whether no repetition can help: not logged in, or not allowed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.code(), Some(401 | 403))
    }

    fn hint(&self, doing: &str, server: &str) -> Option<String> {
        match self {
            Self::Status { code: 401, .. } => Some("log in again, or check the token and the clock".to_owned()),
            Self::Status { code: 403, .. } => {
                let mut words = doing.split(' ');
                let (verb, resource) = (words.next().unwrap_or("list"), words.next().unwrap_or("pods"));
                let place = doing.split_once(" in namespace ").map_or(String::new(), |(_, name)| format!(" -n {name}"));
                Some(format!("kubectl auth can-i {verb} {resource}{place}; --print-rbac prints the Role it needs"))
            }
            Self::TimedOut(_) => Some(format!("is {server} reachable from here? --request-timeout gives it more time")),
            Self::Connection(_) => Some(format!("is {server} the right address, and reachable from here?")),
            Self::Status { .. } | Self::Answer(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { code, reason, message, .. } => {
                let reason = if reason.is_empty() { code.to_string() } else { reason.clone() };
                if message.is_empty() {
                    write!(f, "server says ({reason})")
                } else {
                    write!(f, "server says ({reason}): {message}")
                }
            }
            Self::TimedOut(after) => write!(f, "no answer within {after:?}"),
            Self::Connection(why) | Self::Answer(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Status {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
                retry_after: None,
            },
            other => Self::Connection(innermost(&other)),
        }
    }
}

/// Returns the words of an error's deepest cause, and of the one above where the deepest alone says too little.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if chain.last() != Some(&text) {
            chain.push(text);
        }
        next = error.source();
    }
    // The outer errors repeat the inner ones' text; the last is the fact.
    let mut last = chain.pop().unwrap_or_default();
    if let Some((fact, _)) = last.split_once(" (os error") {
        last = fact.to_owned();
    }
    last
}
