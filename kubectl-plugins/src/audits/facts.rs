//! Where the facts of an audit come from: a cluster, files, or a snapshot.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use kubeguard_core::access::{Cluster, Environment};
use kubeguard_core::audit::gather::{Files, Scope, live};
use kubeguard_core::audit::{Builder, Facts, Needs, Origin, snapshot};
use kubeguard_core::error::{Error, Result};

use super::args::AuditScopeArgs;
use crate::cli::AccessArgs;

/// Facts, and the clock that goes with them.
pub(super) struct Read {
    pub(super) facts: Facts,
    pub(super) now: Option<Timestamp>,
    /// Where they were read, if that is a cluster.
    pub(super) cluster: Option<Cluster>,
}

/// Reads what rules need.
pub(super) async fn read(scope: &AuditScopeArgs, access: &AccessArgs, binary: &str, needs: &Needs) -> Result<Read> {
    if let Some(path) = &scope.snapshot {
        let file = path.display().to_string();
        let opened = std::fs::File::open(path);
        let opened = opened.map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
        let (facts, header) = snapshot::read(&file, opened, snapshot::builder())?;
        return Ok(Read { facts, now: Some(header.taken_at), cluster: None });
    }
    if !scope.filename.is_empty() {
        let mut files = Files::new(scope.namespace.as_deref().unwrap_or("default"));
        for name in &scope.filename {
            if name == "-" {
                let mut bytes = Vec::new();
                let read = std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes);
                read.map_err(|source| Error::Io { doing: "read", file: "standard input".to_owned(), source })?;
                files.text("-", &bytes);
            } else {
                files.path(Path::new(name), scope.recursive)?;
            }
        }
        return Ok(Read { facts: files.finish(), now: None, cluster: None });
    }
    let cluster = access.access(binary).connect(&Environment::of_process()).await?;
    let namespaces = match (&scope.namespace, scope.all_namespaces) {
        (_, true) => Vec::new(),
        (Some(namespace), false) => vec![namespace.clone()],
        (None, false) => vec![cluster.default_namespace().to_owned()],
    };
    let gathered = live(&cluster, needs, &Scope { namespaces }, Builder::new(Origin::Live)).await?;
    Ok(Read { facts: gathered.facts, now: gathered.now, cluster: Some(cluster) })
}

/// Compresses a snapshot whose name asks for it.
pub(super) fn packed(file: &Path, text: Vec<u8>) -> std::io::Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "gz") {
        return Ok(text);
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&text)?;
    packed.finish()
}
