//! Manifests of what is deleted, put aside before: with them an image can be put back while its layers exist.

use std::fs::OpenOptions;
use std::io::Write as _;

use serde::Serialize;

use super::recheck::Work;
use super::{Event, Evidence, Halt, Run, Verdict};
use crate::ecr::manifests::check;
use crate::ecr::plan::Decision;
use crate::ecr::registry::{BATCH, Registry};
use crate::error::Error;
use crate::images::Digest;

/// One line of the file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tombstone<'a> {
    time: jiff::Timestamp,
    plan: &'a str,
    repository: &'a str,
    digest: Digest,
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    last_pulled_at: Option<jiff::Timestamp>,
    /// As stored, to the byte.
    manifest: &'a str,
}

impl<R: Registry, E: Evidence> Run<'_, R, E> {
    /// Puts the manifests of a batch aside, where that is wanted. `Err` when one cannot be had: then nothing may go.
    pub(super) async fn bury(&mut self, name: &str, batch: &[Work]) -> Result<Result<(), Verdict>, Halt> {
        let Some(path) = self.apply.demands.tombstones.filter(|_| self.journal.is_some()) else { return Ok(Ok(())) };
        let wanted = |work: &&Work| work.decision == Decision::Delete && !self.past.buried(name, work.digest);
        let digests: Vec<Digest> = batch.iter().filter(wanted).map(|work| work.digest).collect();
        for part in digests.chunks(BATCH) {
            let manifests = match self.apply.registry.manifests(name, part).await {
                Ok(manifests) => manifests,
                Err(error) => {
                    let code = error.code.clone().unwrap_or_else(|| "ManifestUnreadable".to_owned());
                    return Ok(Err(Verdict::failed(&code, &error.message)));
                }
            };
            let (mut text, mut events) = (Vec::new(), Vec::new());
            for work in batch.iter().filter(|work| part.contains(&work.digest)) {
                let Some(manifest) = manifests.found.get(&work.digest) else {
                    // What is gone already cannot be kept; what is not there when described is told then.
                    if manifests
                        .failures
                        .iter()
                        .any(|failure| failure.digest == Some(work.digest) && failure.code == "ImageNotFound")
                    {
                        continue;
                    }
                    return Ok(Err(Verdict::failed("ManifestUnreadable", &format!("{} cannot be had", work.digest))));
                };
                let Some(manifest) =
                    check(work.digest, manifest).ok().and_then(|()| std::str::from_utf8(manifest).ok())
                else {
                    return Ok(Err(Verdict::failed("ManifestUnreadable", &format!("{} is another's", work.digest))));
                };
                let line = Tombstone {
                    time: (self.apply.clock)(),
                    plan: &self.apply.plan.sha256,
                    repository: name,
                    digest: work.digest,
                    tags: &work.tags,
                    last_pulled_at: work.seen.last_pulled_at,
                    manifest,
                };
                serde_json::to_writer(&mut text, &line).map_err(|error| self.unwritten(error.into()))?;
                text.push(b'\n');
                events.push(Event::Tombstone { repository: name.to_owned(), digest: work.digest });
            }
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_data()))
                .map_err(|error| self.unwritten(error))?;
            self.log(events)?;
            for digest in part {
                self.past.bury(name, *digest);
            }
        }
        Ok(Ok(()))
    }

    fn unwritten(&self, source: std::io::Error) -> Error {
        let file = self.apply.demands.tombstones.map_or_else(String::new, |path| path.display().to_string());
        Error::Io { doing: "write", file, source }
    }
}
