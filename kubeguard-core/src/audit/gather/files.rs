//! Facts from files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::audit::facts::{Builder, Facts, Origin, Written};
use crate::audit::lines::Document;
use crate::audit::needs::Fact;
use crate::error::{Error, Result};
use crate::gather::manifests;

/// Documents above this size are not kept to find lines in: findings then name the line on which the object begins.
const LARGEST_KEPT: usize = 4 << 20;
/// Text above this size is not read: its objects would take gigabytes, and a snapshot is made for so many.
const LARGEST: u64 = 128 << 20;

fn too_large(file: &str, size: u64) -> Error {
    let problem = format!("{} MiB are too many for manifests, {} are read", size >> 20, LARGEST >> 20);
    let hint = "divide it, or take a snapshot: kubectl guard snapshot -o FILE, and --snapshot FILE".to_owned();
    Error::File { file: file.to_owned(), line: 1, column: 1, problem, hint }
}

/// Facts under construction from files, in the order in which they are given.
#[derive(Debug)]
pub struct Files {
    builder: Builder,
    errors: Vec<Error>,
    objects: usize,
}

impl Files {
    /// Begins with none; objects that name no namespace are in `namespace`.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        let mut builder = Builder::new(Origin::Manifests);
        builder.default_namespace(namespace);
        Self { builder, errors: Vec::new(), objects: 0 }
    }

    /// Returns the builder, for what files do not say.
    pub fn builder(&mut self) -> &mut Builder {
        &mut self.builder
    }

    /// Reads a file, or the files of a folder.
    ///
    /// A file, or document, that cannot be read is kept as an error, and the others are read.
    ///
    /// # Errors
    /// [`Error::Io`] when the path itself is not there or cannot be read.
    pub fn path(&mut self, path: &Path, recursive: bool) -> Result<()> {
        let found = manifests::files(path, recursive)?;
        let single = found.as_slice() == [PathBuf::from(path)];
        for file in found {
            let name = file.display().to_string();
            let io = |source| Error::Io { doing: "read", file: name.clone(), source };
            let bytes = match std::fs::metadata(&file) {
                Ok(meta) if meta.len() > LARGEST => Err(too_large(&name, meta.len())),
                Ok(_) => std::fs::read(&file).map_err(io),
                Err(source) => Err(io(source)),
            };
            match bytes {
                Ok(bytes) => self.text(&name, &bytes),
                Err(error) if single => return Err(error),
                Err(error) => self.wrong(error),
            }
        }
        Ok(())
    }

    /// Reads text that came from `file` (`-` for standard input).
    pub fn text(&mut self, file: &str, bytes: &[u8]) {
        let wants = |api_version: &str, kind: &str| {
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            Fact::of(group, kind).is_some()
        };
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > LARGEST {
            return self.wrong(too_large(file, size));
        }
        let documents = match manifests::parse_each(file, bytes, wants) {
            Ok(documents) => documents,
            Err(error) => return self.wrong(error),
        };
        for read in documents {
            self.objects += usize::from(read.is_passed_over);
            let kept = (read.text.len() <= LARGEST_KEPT).then(|| Arc::new(Document::new(read.text, read.line)));
            let several = read.manifests.len() > 1;
            for (index, manifest) in read.manifests.into_iter().enumerate() {
                // Items of a list stand one behind the other; nested lists and streams of JSON only have a beginning.
                let at = if several { format!("/items/{index}") } else { String::new() };
                let written = Written { source: manifest.source, document: kept.clone(), at };
                let written = Arc::new(located(written));
                self.objects += 1;
                self.builder.add_written(manifest.object, Some(written));
            }
            match read.error {
                None => {}
                Some(Error::File { line, ref problem, .. }) if problem == manifests::NO_OBJECT => {
                    self.builder.note(format!("{file}:{line}: a document without kind and apiVersion is left out"));
                }
                Some(error) => self.wrong(error),
            }
        }
    }

    fn wrong(&mut self, error: Error) {
        let mut reason = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            reason = format!("{reason}: {source}");
        }
        self.builder.malformed(reason);
        self.errors.push(error);
    }

    /// Returns what could not be read; the facts say so too.
    #[must_use]
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// Returns how many objects were read, of whatever kind.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// Returns the facts.
    #[must_use]
    pub fn finish(self) -> Facts {
        self.builder.finish()
    }
}

/// An item of a list begins on its own line.
fn located(mut written: Written) -> Written {
    if !written.at.is_empty() {
        written.source = crate::audit::lines::of(&written, "");
    }
    written
}

/// Returns the facts of files and folders; what cannot be read is in [`Facts::malformed`].
///
/// # Errors
/// [`Error::Io`] when a path is not there.
pub fn of_manifests<'a>(paths: impl IntoIterator<Item = &'a Path>, recursive: bool, namespace: &str) -> Result<Facts> {
    let mut files = Files::new(namespace);
    for path in paths {
        files.path(path, recursive)?;
    }
    Ok(files.finish())
}
