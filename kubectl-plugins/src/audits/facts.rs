//! Where the facts of an audit come from: a cluster, files, or a snapshot.

use std::path::Path;

use jiff::Timestamp;
use kubeguard_core::access::{Cluster, Environment};
use kubeguard_core::audit::gather::{Files, Scope, live};
use kubeguard_core::audit::{Builder, Facts, Needs, Origin, snapshot};
use kubeguard_core::error::{Error, Result};

use super::args::AuditScopeArgs;
use super::usage;
use crate::cli::AccessArgs;
use crate::given;

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
    if scope.is_of_files() {
        let mut files = Files::new(scope.namespace.as_deref().unwrap_or("default"));
        for name in &scope.filename {
            if name == "-" {
                files.text(name, &given::standard_input()?);
            } else if given::is_address(name) {
                files.text(name, &given::behind(name)?);
            } else {
                files.path(Path::new(name), scope.recursive)?;
            }
        }
        if let Some(folder) = &scope.kustomize {
            files.text(folder, &given::kustomized(folder)?);
        }
        return Ok(Read { facts: files.finish(), now: None, cluster: None });
    }
    if scope.offline {
        return Err(usage(
            "--offline contacts no cluster, and no files are named",
            "-f FILE, -k DIR or --snapshot FILE",
        ));
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
