//! AWS' own preview of every lifecycle policy.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};

use super::Lifecycle;
use crate::ecr::look::AT_ONCE;
use crate::ecr::registry::{CallError, ErrorKind, PreviewResult, PreviewStatus, Registry};
use crate::error::{Error, Result};

/// How long one preview may take, and how long somebody else's is waited for.
pub const LONGEST_WAIT: Duration = Duration::from_mins(10);

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How previews wait between two looks.
pub type Pause<'a> = &'a (dyn Fn(Duration) -> BoxFuture<'static, ()> + Sync);

/// Reads the lifecycle policies of some repositories with AWS' previews of them, at most [`AT_ONCE`] at once, in the order
/// of the names; nothing is changed. `progress` is told how many of them are done.
///
/// A preview that runs already is waited for and followed by our own: it may be of another text. One that expired while
/// we waited is started once more.
///
/// # Errors
/// [`Error::Registry`] when the credentials are not valid. What else cannot be read is told for its repository.
pub async fn lifecycles<R: Registry>(
    registry: &R,
    repositories: &[&str],
    pause: Pause<'_>,
    progress: &(dyn Fn(&str, usize) + Sync),
) -> Result<Vec<Lifecycle>> {
    let mut read = Vec::with_capacity(repositories.len());
    let mut reads = stream::iter(repositories.iter().copied())
        .map(|repository| async move {
            lifecycle(registry, repository, pause).await.map_err(|source| Error::Registry {
                doing: format!("read the lifecycle policy of {repository}"),
                source: Box::new(source),
            })
        })
        .buffered(AT_ONCE);
    while let Some(next) = reads.next().await {
        let next = next?;
        progress(&next.repository, read.len() + 1);
        read.push(next);
    }
    drop(reads);
    Ok(read)
}

async fn lifecycle<R: Registry>(registry: &R, repository: &str, pause: Pause<'_>) -> Result<Lifecycle, CallError> {
    let (policy, preview) = match registry.lifecycle_policy(repository).await {
        Ok(None) => (Ok(None), Ok(Vec::new())),
        Ok(Some(text)) => match preview(registry, repository, &text, pause).await {
            Ok(results) => (Ok(Some(text)), Ok(results)),
            // It was taken away in between.
            Err(Stop::Call(error)) if error.kind == ErrorKind::LifecycleNotFound => (Ok(None), Ok(Vec::new())),
            Err(Stop::Call(error)) => (Ok(Some(text)), Err(here(error)?)),
            Err(Stop::Said(why)) => (Ok(Some(text)), Err(why)),
        },
        Err(error) => {
            let why = here(error)?;
            (Err(why.clone()), Err(why))
        }
    };
    Ok(Lifecycle { repository: repository.to_owned(), policy, preview })
}

/// Returns why one repository cannot be read, in words.
///
/// # Errors
/// The failure, where no other repository would escape it.
fn here(error: CallError) -> Result<String, CallError> {
    if error.kind == ErrorKind::Credentials { Err(error) } else { Ok(error.to_string()) }
}

enum Stop {
    Call(CallError),
    Said(String),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

async fn preview<R: Registry>(
    registry: &R,
    repository: &str,
    policy: &str,
    pause: Pause<'_>,
) -> Result<Vec<PreviewResult>, Stop> {
    let mut attempts = 2;
    loop {
        start(registry, repository, pause).await?;
        attempts -= 1;
        match finished(registry, repository, policy, pause).await? {
            Some(results) => return Ok(results),
            None if attempts > 0 => {}
            None => {
                let why = "AWS' preview of the lifecycle policy expired twice, or others started theirs";
                return Err(Stop::Said(why.to_owned()));
            }
        }
    }
}

/// Whether two texts are the same policy, however they are laid out.
fn is_same(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || read(one).is_some_and(|policy| Some(policy) == read(other))
}

/// Starts a preview, behind one that somebody else has started.
async fn start<R: Registry>(registry: &R, repository: &str, pause: Pause<'_>) -> Result<(), Stop> {
    let mut patience = Patience::new("somebody else's preview of the lifecycle policy");
    loop {
        match registry.start_lifecycle_preview(repository).await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind == ErrorKind::PreviewInProgress => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            patience.wait(pause).await?;
            match registry.lifecycle_preview(repository, None).await {
                Ok(page) if page.status == PreviewStatus::InProgress => {}
                Ok(_) => break,
                Err(error) if error.kind == ErrorKind::LifecycleNotFound => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits for a preview and reads it to its end; `None` when it expired, or another took its place, before it was read.
async fn finished<R: Registry>(
    registry: &R,
    repository: &str,
    policy: &str,
    pause: Pause<'_>,
) -> Result<Option<Vec<PreviewResult>>, Stop> {
    let mut patience = Patience::new("AWS' preview of the lifecycle policy");
    let (mut results, mut next, mut seen) = (Vec::new(), None, HashSet::new());
    loop {
        let first = next.is_none();
        let page = match registry.lifecycle_preview(repository, next.take()).await {
            Ok(page) => page,
            // Whether the policy is gone too, the next start tells.
            Err(error) if error.kind == ErrorKind::LifecycleNotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if page.policy.as_ref().is_some_and(|theirs| !is_same(theirs, policy)) {
            return Ok(None);
        }
        match page.status {
            PreviewStatus::InProgress if first => {
                patience.wait(pause).await?;
                continue;
            }
            PreviewStatus::Complete => {}
            // One that runs again in the middle of its pages was started anew by somebody.
            PreviewStatus::Expired | PreviewStatus::InProgress => return Ok(None),
            PreviewStatus::Failed => {
                return Err(Stop::Said("AWS' preview of the lifecycle policy failed".to_owned()));
            }
        }
        results.extend(page.results);
        let Some(token) = page.next.filter(|token| !token.is_empty()) else { return Ok(Some(results)) };
        if !seen.insert(token.clone()) {
            return Err(Stop::Said("GetLifecyclePolicyPreview gave the same page token twice".to_owned()));
        }
        next = Some(token);
    }
}

/// Pauses that grow, until it has been too long.
struct Patience {
    of: &'static str,
    waited: Duration,
    next: Duration,
}

impl Patience {
    const fn new(of: &'static str) -> Self {
        Self { of, waited: Duration::ZERO, next: FIRST_PAUSE }
    }

    async fn wait(&mut self, pause: Pause<'_>) -> Result<(), Stop> {
        let left = LONGEST_WAIT.saturating_sub(self.waited);
        if left.is_zero() {
            return Err(Stop::Said(format!("{} was not done after {} minutes", self.of, LONGEST_WAIT.as_secs() / 60)));
        }
        let now = self.next.min(left);
        pause(now).await;
        self.waited += now;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
