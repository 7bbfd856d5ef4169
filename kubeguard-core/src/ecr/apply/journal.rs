//! What was about to be done, and what came of it: written down and on the disk before each call.
//!
//! One JSON object a line, numbered, each with the beginning of its own sha256. What a killed process was writing last
//! may be torn; everything before it must be whole.

mod past;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

pub use past::Past;

use super::outcome::{ItemState, SkipReason, StopReason, Totals};
use crate::ecr::registry::{ImageId, ItemFailure};
use crate::error::{Error, Result};
use crate::images::{Digest, RegistryId};

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// From 1, without gaps.
    pub seq: u64,
    /// When it was written.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a line of a journal tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// A run begins; a later one of the same plan goes on in the same journal.
    Start {
        /// sha256 of the plan.
        plan: String,
        /// As in `kubeguard 0.4.0`.
        tool: String,
        /// Whose credentials these are.
        caller: String,
        /// The registry.
        registry: RegistryId,
    },
    /// Nobody else cleans this registry now.
    Lease {
        /// Who holds it.
        holder: String,
        /// `Lease` or `File`.
        kind: String,
    },
    /// Usage was read anew.
    Usage {
        /// Cluster.
        cluster: String,
        /// When the last list was read.
        taken_at: Timestamp,
        /// Everything that decides was read.
        complete: bool,
        /// References in it.
        references: u64,
        /// Hash of the inventory.
        sha256: String,
    },
    /// A repository begins.
    Repository {
        /// Name.
        repository: String,
        /// Its entries now.
        entries: u64,
        /// Those that are planned.
        planned: u64,
        /// Those that may still go.
        acting: u64,
    },
    /// A planned entry stays.
    Skip {
        /// Repository.
        repository: String,
        /// Digest.
        digest: Digest,
        /// Its planned tags.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        /// Why.
        reason: SkipReason,
        /// Who causes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A call will be made next.
    Intent {
        /// Number of the call, from 1 in each run.
        call: u64,
        /// Attempt, from 1.
        attempt: u32,
        /// AWS' name of the call.
        operation: String,
        /// Repository.
        repository: String,
        /// Order of what it names.
        order: u64,
        /// What it names.
        ids: Vec<ImageId>,
    },
    /// What the call answered.
    Result {
        /// The call.
        call: u64,
        /// The attempt.
        attempt: u32,
        /// What came of it.
        outcome: CallOutcome,
        /// AWS' code, where it is an error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Request id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// What was refused.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<ItemFailure>,
        /// How long it took.
        millis: u64,
    },
    /// What was found of an entry afterwards.
    Confirm {
        /// Repository.
        repository: String,
        /// Digest.
        digest: Digest,
        /// What became of it.
        state: ItemState,
        /// AWS' code, where it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Planned tags that are gone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed_tags: Vec<String>,
        /// Its size.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// What is in use was looked up afterwards.
    Verify {
        /// Repository.
        repository: String,
        /// Findings that were not there before.
        findings: u64,
    },
    /// The manifest of an entry was put aside before its deletion.
    Tombstone {
        /// Repository.
        repository: String,
        /// Digest.
        digest: Digest,
    },
    /// The run ends before everything was tried.
    Stop {
        /// Why.
        reason: StopReason,
        /// In words.
        message: String,
    },
    /// The run ends.
    End {
        /// Totals of the plan, earlier runs included.
        #[serde(flatten)]
        totals: Totals,
        /// Exit code.
        exit_code: u8,
    },
}

/// What came of a call as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallOutcome {
    /// It was accepted; single items may have been refused.
    Ok,
    /// Too many calls.
    Throttled,
    /// No answer that can be trusted: it may have been carried out.
    Timeout,
    /// It was refused.
    Error,
}

/// A journal that is open for writing, and locked: its writer is alive.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    seq: u64,
}

impl Journal {
    /// Returns the usual name of a plan's journal, beside the plan.
    #[must_use]
    pub fn name(plan: &str) -> String {
        format!("journal-{}.ndjson", plan.get(..12).unwrap_or(plan))
    }

    /// Opens or creates a journal, and tells what earlier runs of the same plan left in it.
    ///
    /// A torn last line is cut off. `None` when another process writes it now. As long as the journal is open no other
    /// process gets it, so whoever wrote it before is dead or done.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, read or cut; [`Error::File`] when a line before the last is damaged, or
    /// the journal is of another plan: it is then not touched.
    pub fn open(path: &Path, plan: &str) -> Result<Option<(Self, Past)>> {
        let name = path.display().to_string();
        let io = |doing| {
            let file = name.clone();
            move |source| Error::Io { doing, file, source }
        };
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io("open the journal"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(io("lock the journal")(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let (lines, whole) = read(&bytes).map_err(|(line, problem)| Error::File {
            file: name.clone(),
            line,
            column: 1,
            problem,
            hint: "a journal is never edited; give --journal another file, and what it tells is found out anew"
                .to_owned(),
        })?;
        let past = Past::of(&lines, plan).map_err(|problem| Error::File {
            file: name.clone(),
            line: 1,
            column: 1,
            problem,
            hint: "each plan has a journal of its own; give --journal another file".to_owned(),
        })?;
        if whole < bytes.len() {
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX)).map_err(io("cut the torn end of"))?;
            file.seek(SeekFrom::End(0)).map_err(io("cut the torn end of"))?;
        }
        file.sync_all().map_err(io("write"))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            // The name of a new file is on the disk only when its folder is; not every system can open a folder.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        let seq = lines.last().map_or(0, |line| line.seq);
        Ok(Some((Self { file, path: path.to_owned(), seq }, past)))
    }

    /// Writes events in one go; they are on the disk when it returns.
    ///
    /// # Errors
    /// [`Error::Io`]: what was to be done must then not be done.
    pub fn write(&mut self, now: Timestamp, events: impl IntoIterator<Item = Event>) -> Result<()> {
        let mut text = Vec::new();
        let mut seq = self.seq;
        for event in events {
            seq += 1;
            text.extend(sealed(&Line { seq, time: now, event }).map_err(|source| self.failed(source.into()))?);
        }
        if text.is_empty() {
            return Ok(());
        }
        self.file.write_all(&text).and_then(|()| self.file.sync_data()).map_err(|source| self.failed(source))?;
        self.seq = seq;
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { doing: "write", file: self.path.display().to_string(), source }
    }
}

const SEAL: &str = r#","sum":""#;
const DIGITS: usize = 16;

/// The line with its seal as its last field.
fn sealed(line: &Line) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.pop();
    let sum = sum(&text);
    text.extend(SEAL.as_bytes());
    text.extend(sum.as_bytes());
    text.extend(b"\"}\n");
    Ok(text)
}

fn sum(text: &[u8]) -> String {
    let digest = Digest::new(sha2::Sha256::digest(text).into());
    digest.hex().chars().take(DIGITS).collect()
}

/// A line whose seal fits.
fn opened(text: &[u8]) -> Option<Line> {
    let rest = text.strip_suffix(b"\"}")?;
    let (rest, seal) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    let body = rest.strip_suffix(SEAL.as_bytes())?;
    if sum(body).as_bytes() != seal {
        return None;
    }
    serde_json::from_slice(&[body, b"}"].concat()).ok()
}

/// Reads the lines of a journal, and up to which byte they are whole; or the number of a damaged line, and why.
///
/// # Errors
/// A line that is not the last is damaged, or the numbers have a gap.
fn read(bytes: &[u8]) -> Result<(Vec<Line>, usize), (u64, String)> {
    let (mut lines, mut whole) = (Vec::<Line>::new(), 0);
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        let number = lines.len() as u64 + 1;
        let last = whole + text.len() == bytes.len();
        match text.strip_suffix(b"\n").and_then(opened) {
            Some(line) if line.seq == number => {
                lines.push(line);
                whole += text.len();
            }
            None if last => break,
            Some(line) => return Err((number, format!("its number is {}, not {number}: lines are missing", line.seq))),
            None => return Err((number, "it is damaged".to_owned())),
        }
    }
    Ok((lines, whole))
}

/// Reads the whole lines of a journal.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::File`] when a line before the last is damaged.
pub fn lines(path: &Path) -> Result<Vec<Line>> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
    match read(&bytes) {
        Ok((lines, _)) => Ok(lines),
        Err((line, problem)) => Err(Error::File { file, line, column: 1, problem, hint: String::new() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "0123456789abcdef";

    fn start() -> Event {
        Event::Start {
            plan: PLAN.to_owned(),
            tool: "kubeguard 0".to_owned(),
            caller: "arn".to_owned(),
            registry: RegistryId::new("111122223333", "us-east-1"),
        }
    }

    fn verify(findings: u64) -> Event {
        Event::Verify { repository: "app".to_owned(), findings }
    }

    fn written() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.ndjson");
        let (mut journal, _) = Journal::open(&path, PLAN).unwrap().unwrap();
        journal.write(Timestamp::UNIX_EPOCH, [start(), verify(0)]).unwrap();
        journal.write(Timestamp::UNIX_EPOCH, [verify(1)]).unwrap();
        (folder, path)
    }

    #[test]
    fn a_journal_that_ends_anywhere_keeps_its_whole_lines_and_goes_on() {
        let (_folder, path) = written();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let whole = bytes[..length].split(|byte| *byte == b'\n').count() as u64 - 1;
            let (mut journal, _) = Journal::open(&path, PLAN).unwrap().unwrap();
            journal.write(Timestamp::UNIX_EPOCH, [if whole == 0 { start() } else { verify(7) }]).unwrap();
            drop(journal);
            let lines = lines(&path).unwrap();
            assert_eq!(lines.len() as u64, whole + 1, "cut at {length}");
            assert_eq!(lines.last().unwrap().seq, whole + 1);
        }
    }

    #[test]
    fn a_damaged_line_that_is_not_the_last_is_an_error_and_nothing_is_cut() {
        let (_folder, path) = written();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = Journal::open(&path, PLAN).unwrap_err();
        assert!(error.to_string().ends_with(":1:1: it is damaged"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_missing_line_is_noticed() {
        let (_folder, path) = written();
        let text = std::fs::read_to_string(&path).unwrap();
        let without: String =
            text.lines().enumerate().filter(|(at, _)| *at != 1).map(|(_, l)| format!("{l}\n")).collect();
        std::fs::write(&path, without).unwrap();
        assert!(Journal::open(&path, PLAN).is_err());
    }

    #[test]
    fn the_journal_of_another_plan_is_not_taken() {
        let (_folder, path) = written();
        let error = Journal::open(&path, "fedcba9876543210").unwrap_err();
        assert!(error.to_string().contains("another plan"), "{error}");
    }

    #[test]
    fn only_one_process_writes_a_journal() {
        let (_folder, path) = written();
        let first = Journal::open(&path, PLAN).unwrap().unwrap();
        assert!(Journal::open(&path, PLAN).unwrap().is_none());
        drop(first);
        assert!(Journal::open(&path, PLAN).unwrap().is_some());
    }
}
