//! One look at a registry: its settings, and the chosen repositories with all their entries.
//!
//! What cannot be read is said so, per repository or setting; it is never an empty answer.

mod entries;
mod indexes;
#[cfg(test)]
mod tests;

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;

pub use entries::describe;
pub use indexes::{read_configs, read_images, read_indexes};

use super::manifests::ManifestCache;
use super::registry::{CallError, ErrorKind, Registry};
use super::snapshot::{
    Problem, ProblemKind, PullThroughRule, Reading, RegistrySnapshot, ReplicationRule, Repository, RepositorySnapshot,
};
use crate::error::{Error, Result};

/// Calls, and repositories, that are under way at once.
pub const AT_ONCE: usize = 8;

/// How to look.
pub struct Look<'a> {
    /// Replication rules are read; otherwise there are declared to be none.
    pub replication: bool,
    /// Pull-through rules are read; otherwise there are declared to be none.
    pub pull_through: bool,
    /// Manifests of all indexes are read; otherwise only those that the cache has are told.
    pub indexes: bool,
    /// Manifests that were read before.
    pub manifests: &'a ManifestCache,
    /// Told how far it is.
    pub progress: &'a (dyn Fn(Progress<'_>) + Sync),
    /// The time, for a registry that tells none.
    pub now: Timestamp,
}

/// How far a look is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The repositories are listed.
    Listed {
        /// Repositories there are.
        all: usize,
        /// Repositories that are read.
        chosen: usize,
    },
    /// One more page of entries has come.
    Page {
        /// Repository it is of.
        repository: &'a str,
        /// Rows so far.
        entries: usize,
    },
    /// A repository is read to its end, or cannot be read.
    Read {
        /// Its name.
        repository: &'a str,
        /// Its entries.
        entries: usize,
        /// Repositories done so far.
        done: usize,
        /// Repositories in all.
        of: usize,
    },
}

/// Looks at a registry: at most [`AT_ONCE`] repositories at once, each listed once, to its end.
///
/// `choose` names the repositories to read of all there are, before anything else is asked of the registry. Manifests
/// are read only of indexes that the cache does not have, since reading one counts as a pull.
///
/// # Errors
/// [`Error::Registry`] when the repositories cannot be listed, nobody can be named as the caller, or the credentials
/// are not valid; the error of `choose`; [`Error::Io`] when the cache cannot be used. A repository or a setting that
/// cannot be read is part of the snapshot.
pub async fn snapshot<R: Registry>(
    registry: &R,
    choose: impl FnOnce(&[Repository]) -> Result<Vec<String>>,
    look: &Look<'_>,
) -> Result<RegistrySnapshot> {
    let failed = |doing: String| move |source: CallError| Error::Registry { doing, source: Box::new(source) };
    let mut all =
        registry.repositories().await.map_err(failed(format!("list the repositories of {}", registry.id())))?;
    let taken_at = registry.now().unwrap_or(look.now);
    let mut chosen = choose(&all)?;
    chosen.sort_unstable();
    (look.progress)(Progress::Listed { all: all.len(), chosen: chosen.len() });
    all.retain(|repository| chosen.binary_search(&repository.name).is_ok());

    let caller = registry.caller().await.map_err(failed("tell whose credentials these are".to_owned()))?;
    let settings = settings(registry, look).await.map_err(failed(format!("read the settings of {}", registry.id())))?;

    let (of, mut repositories) = (all.len(), Vec::with_capacity(all.len()));
    let mut reads = stream::iter(all)
        .map(|listed| async move {
            let doing = format!("read repository {}", listed.name);
            repository(registry, listed, look).await.map_err(|trouble| trouble.error(doing))
        })
        .buffer_unordered(AT_ONCE);
    while let Some(read) = reads.next().await {
        let read = read?;
        let (repository, entries) = (read.repository.name.as_str(), read.entries.len());
        (look.progress)(Progress::Read { repository, entries, done: repositories.len() + 1, of });
        repositories.push(read);
    }
    drop(reads);
    repositories.sort_unstable_by(|a, b| a.repository.name.cmp(&b.repository.name));
    Ok(RegistrySnapshot {
        registry: registry.id().clone(),
        caller: caller.arn,
        caller_account: caller.account,
        taken_at,
        replication: settings.replication,
        pull_through: settings.pull_through,
        exclusions: settings.exclusions,
        repositories,
    })
}

/// What holds for a whole registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Replication rules, one for each destination; none where there are declared to be none.
    pub replication: Reading<Vec<ReplicationRule>>,
    /// Pull-through rules; none where there are declared to be none.
    pub pull_through: Reading<Vec<PullThroughRule>>,
    /// Roles and users whose pulls are not recorded.
    pub exclusions: Reading<Vec<String>>,
}

/// Reads the settings of a registry.
///
/// Replication rules and exclusions are told only of the caller's own registry: of another account's they are unread.
///
/// # Errors
/// A [`CallError`] of kind [`ErrorKind::Credentials`]; any other failure is part of the answer.
pub async fn settings<R: Registry>(registry: &R, look: &Look<'_>) -> Result<Settings, CallError> {
    let account = &registry.id().account;
    let replication = async {
        if !look.replication {
            return Ok(Reading::Read(Vec::new()));
        }
        Ok(match reading(registry.replication().await)? {
            Reading::Failed(why) => Reading::Failed(why),
            Reading::Read(answer) if answer.account == *account => Reading::Read(answer.rules),
            Reading::Read(answer) => Reading::Failed(format!(
                "DescribeRegistry tells of the caller's own registry {}, not of {account}",
                answer.account
            )),
        })
    };
    let pull_through = async {
        if look.pull_through { reading(registry.pull_through_rules().await) } else { Ok(Reading::Read(Vec::new())) }
    };
    let exclusions = async {
        match reading(registry.caller().await)? {
            Reading::Failed(why) => Ok(Reading::Failed(why)),
            Reading::Read(caller) if caller.account == *account => reading(registry.pull_time_exclusions().await),
            Reading::Read(caller) => Ok(Reading::Failed(format!(
                "ListPullTimeUpdateExclusions tells of the caller's own registry {}, not of {account}",
                caller.account
            ))),
        }
    };
    let (replication, pull_through, exclusions) = futures::try_join!(replication, pull_through, exclusions)?;
    Ok(Settings { replication, pull_through, exclusions })
}

fn reading<T>(answer: Result<T, CallError>) -> Result<Reading<T>, CallError> {
    match answer {
        Ok(answer) => Ok(Reading::Read(answer)),
        Err(error) if error.kind == ErrorKind::Credentials => Err(error),
        Err(error) => Ok(Reading::Failed(error.to_string())),
    }
}

/// What stops more than one repository.
#[derive(Debug)]
pub enum Trouble {
    /// The credentials are not valid, or not any more.
    Credentials(CallError),
    /// The cache of manifests cannot be used.
    Cache(Box<Error>),
}

impl Trouble {
    /// Tells it as an error, with what was being done.
    #[must_use]
    pub fn error(self, doing: String) -> Error {
        match self {
            Self::Credentials(source) => Error::Registry { doing, source: Box::new(source) },
            Self::Cache(error) => *error,
        }
    }
}

/// Why one repository cannot be read, or nothing can.
enum Stop {
    Here(Problem),
    Everywhere(Trouble),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        let kind = match error.kind {
            ErrorKind::Credentials => return Self::Everywhere(Trouble::Credentials(error)),
            ErrorKind::AccessDenied => ProblemKind::AccessDenied,
            _ => ProblemKind::RegistryUnreadable,
        };
        Self::Here(Problem { kind, message: error.to_string() })
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Everywhere(Trouble::Cache(Box::new(error)))
    }
}

impl Stop {
    fn unreadable(message: String) -> Self {
        Self::Here(Problem { kind: ProblemKind::RegistryUnreadable, message })
    }

    fn manifest(message: String) -> Self {
        Self::Here(Problem { kind: ProblemKind::ManifestUnreadable, message })
    }
}

/// Reads one repository: its AWS tags, all its entries, and what its indexes list.
///
/// What has been read before a problem stays in the snapshot beside it.
///
/// # Errors
/// A [`Trouble`], which no other repository would escape.
pub async fn repository<R: Registry>(
    registry: &R,
    repository: Repository,
    look: &Look<'_>,
) -> Result<RepositorySnapshot, Trouble> {
    let mut read = RepositorySnapshot {
        repository,
        aws_tags: std::collections::BTreeMap::new(),
        entries: Vec::new(),
        indexes: std::collections::BTreeMap::new(),
        configs: std::collections::BTreeMap::new(),
        layers: std::collections::BTreeMap::new(),
        manifests_read: Vec::new(),
        problem: None,
    };
    match fill(registry, &mut read, look).await {
        Ok(()) => Ok(read),
        Err(Stop::Here(problem)) => Ok(RepositorySnapshot { problem: Some(problem), ..read }),
        Err(Stop::Everywhere(trouble)) => Err(trouble),
    }
}

async fn fill<R: Registry>(registry: &R, read: &mut RepositorySnapshot, look: &Look<'_>) -> Result<(), Stop> {
    let (id, Repository { name, arn, .. }) = (registry.id(), &read.repository);
    if *arn != format!("arn:{}:ecr:{}:{}:repository/{name}", id.partition.word(), id.region, id.account) {
        // Whoever answers for another registry would delete there too.
        return Err(Stop::unreadable(format!("{arn} is no repository {name} of {id}")));
    }
    read.aws_tags = registry.repository_tags(&read.repository.arn).await?;
    read.entries = entries::list(registry, &read.repository.name, look.progress).await?;
    if look.indexes {
        indexes::read(registry, read, look.manifests).await
    } else {
        indexes::recall(read, look.manifests)
    }
}
