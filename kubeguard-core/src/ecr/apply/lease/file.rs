//! A lock file in the state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Lease, LeaseError};

/// How long a lock of another host counts without a renewal.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// A lock file. The operating system frees it when its process ends, however that happens; what it says counts for
/// hosts that share the directory without sharing locks.
pub struct FileLease {
    path: PathBuf,
    host: String,
    holder: String,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    file: Mutex<Option<File>>,
}

impl std::fmt::Debug for FileLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileLease").field("path", &self.path).field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    holder: String,
    host: String,
    pid: u32,
    renewed_at: Timestamp,
}

impl FileLease {
    /// Names the lock file; its folder must exist. `host` is this machine, `holder` how others know this process.
    #[must_use]
    pub fn new(
        path: impl Into<PathBuf>,
        host: &str,
        holder: &str,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let (path, clock) = (path.into(), Box::new(clock));
        Self { path, host: host.to_owned(), holder: holder.to_owned(), clock, file: Mutex::default() }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn file(&self) -> MutexGuard<'_, Option<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, text: &str) -> LeaseError {
        let holder = serde_json::from_str(text).map_or_else(
            |_| "another process".to_owned(),
            |said: Said| {
                format!(
                    "{} (process {} on {}, since its sign at {})",
                    said.holder, said.pid, said.host, said.renewed_at
                )
            },
        );
        LeaseError::Held { name: self.name(), holder }
    }

    fn unreachable(&self, error: &std::io::Error) -> LeaseError {
        LeaseError::Unreachable { name: self.name(), because: error.to_string() }
    }

    fn say(&self, file: &mut File) -> std::io::Result<()> {
        let said = Said {
            holder: self.holder.clone(),
            host: self.host.clone(),
            pid: std::process::id(),
            renewed_at: (self.clock)(),
        };
        let mut text = serde_json::to_vec(&said)?;
        text.push(b'\n');
        file.rewind()?;
        file.write_all(&text)?;
        file.set_len(text.len() as u64)?;
        file.sync_data()
    }

    fn take(&self, dead: Option<&str>) -> Result<(), LeaseError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(|error| self.unreachable(&error))?;
        let locked = file.try_lock();
        let mut text = String::new();
        // What is written there may be torn; it is then of nobody who could be asked for.
        let _ = file.read_to_string(&mut text);
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.held(&text)),
            Err(TryLockError::Error(error)) => return Err(self.unreachable(&error)),
        }
        // On this host the lock itself proves that nobody else has it.
        if let Ok(said) = serde_json::from_str::<Said>(&text)
            && said.host != self.host
            && dead != Some(said.holder.as_str())
            && (self.clock)().duration_since(said.renewed_at) < STALE_AFTER
        {
            return Err(self.held(&text));
        }
        self.say(&mut file).map_err(|error| self.unreachable(&error))?;
        *self.file() = Some(file);
        Ok(())
    }

    fn again(&self) -> Result<(), LeaseError> {
        let mut held = self.file();
        let Some(file) = held.as_mut() else {
            return Err(self.unreachable(&std::io::Error::other("it is not held")));
        };
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(|error| self.unreachable(&error))?;
        match serde_json::from_str::<Said>(&text) {
            Ok(said) if said.holder == self.holder => self.say(file).map_err(|error| self.unreachable(&error)),
            _ => Err(self.held(&text)),
        }
    }
}

impl Lease for FileLease {
    fn kind(&self) -> &'static str {
        "File"
    }

    fn holder(&self) -> &str {
        &self.holder
    }

    async fn acquire(&self, dead: Option<&str>) -> Result<(), LeaseError> {
        self.take(dead)
    }

    async fn renew(&self) -> Result<(), LeaseError> {
        self.again()
    }

    async fn release(&self) {
        if let Some(file) = self.file().take() {
            // Closing the file frees the lock; an empty one tells other hosts at once.
            let _ = file.set_len(0).and_then(|()| file.sync_data());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(folder: &tempfile::TempDir, host: &str, holder: &str, now: &str) -> FileLease {
        let now: Timestamp = now.parse().unwrap();
        FileLease::new(folder.path().join("lock"), host, holder, move || now)
    }

    const NOW: &str = "2026-11-22T10:00:00Z";

    #[tokio::test]
    async fn the_second_of_two_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (lease(&folder, "a", "one", NOW), lease(&folder, "a", "two", NOW));
        one.acquire(None).await.unwrap();
        let error = two.acquire(None).await.unwrap_err();
        assert!(matches!(&error, LeaseError::Held { holder, .. } if holder.starts_with("one (process ")), "{error}");
        one.renew().await.unwrap();
        one.release().await;
        two.acquire(None).await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_whose_process_is_gone_is_free_at_once_on_this_host() {
        let folder = tempfile::tempdir().unwrap();
        let one = lease(&folder, "a", "one", NOW);
        one.acquire(None).await.unwrap();
        drop(one);
        lease(&folder, "a", "two", NOW).acquire(None).await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_of_another_host_counts_for_ten_minutes_unless_its_holder_is_proven_dead() {
        let folder = tempfile::tempdir().unwrap();
        let one = lease(&folder, "a", "one", NOW);
        one.acquire(None).await.unwrap();
        drop(one);
        let soon = lease(&folder, "b", "two", "2026-11-22T10:09:59Z");
        assert!(matches!(soon.acquire(None).await, Err(LeaseError::Held { .. })));
        assert!(matches!(soon.acquire(Some("three")).await, Err(LeaseError::Held { .. })));
        soon.acquire(Some("one")).await.unwrap();
        drop(soon);
        lease(&folder, "c", "three", "2026-11-22T10:20:00Z").acquire(None).await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_that_somebody_wrote_over_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let one = lease(&folder, "a", "one", NOW);
        one.acquire(None).await.unwrap();
        let said = format!(r#"{{"holder":"two","host":"b","pid":1,"renewedAt":"{NOW}"}}"#);
        std::fs::write(folder.path().join("lock"), said).unwrap();
        assert!(matches!(one.renew().await, Err(LeaseError::Held { .. })));
    }
}
