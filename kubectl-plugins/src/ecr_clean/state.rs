//! The state: read, changed and written by one process at a time, so that two at once lose nothing.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::error::{Error, Result};
use kubeguard_core::images::RegistryId;

use super::files::StateFolder;
use super::usage;
use crate::terminal::Terminal;

/// Time between two looks whether another process is done.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// After so many of them it is told what is waited for.
const TOLD_AFTER: u32 = 80;

impl StateFolder {
    /// Tells whether there is a state that is damaged or of another registry, before anybody is asked for anything.
    ///
    /// # Errors
    /// That it is so.
    pub(super) fn check(&self, registry: &RegistryId) -> Result<()> {
        match Self::registry_of(self.folder())? {
            Some(other) if other != *registry => {
                let problem = format!("{} has the state of {other}, not of {registry}", self.folder().display());
                Err(usage(problem, "give another --state DIR, or none: each registry has its own"))
            }
            _ => Ok(()),
        }
    }

    /// Records something: reads the state as it is now, or begins one at `first`, and writes what `change` makes of it. Who
    /// does so at the same time is waited for; the system ends the turn of a process that ends.
    ///
    /// # Errors
    /// When the state cannot be read or written, or the folder is on a file system without locks.
    pub(super) async fn update(
        &self,
        registry: &RegistryId,
        first: Timestamp,
        terminal: Terminal,
        change: impl FnOnce(CleanState) -> CleanState,
    ) -> Result<()> {
        // Not the file `lock`, which is an apply's for as long as it runs.
        let _turn = turn(&self.lock()?.with_file_name("state.lock"), terminal).await?;
        let known = self.read(registry)?.unwrap_or_else(|| CleanState::new(registry.clone(), first));
        self.write(&change(known))
    }
}

/// Waits until nobody else has the lock of a file, and takes it until the answer is dropped.
async fn turn(path: &Path, terminal: Terminal) -> Result<File> {
    let failed = |source| Error::Io { doing: "lock", file: path.display().to_string(), source };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    let mut looks = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        looks += 1;
        if looks == TOLD_AFTER {
            terminal.say(&format!("waiting for another process, which has {}", path.display()));
        }
        // Sleeping lets an interruption end it.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_one_at_a_time_has_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.lock");
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let file = turn(&path, Terminal::plain()).await.unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(file);
                    });
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }
}
