//! What a simulator looks at: a cluster, a snapshot, files, or files on top of one of them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kubeguard_core::access::Environment;
use kubeguard_core::audit::gather::{Files, Scope, live};
use kubeguard_core::audit::{Builder, Facts, Needs, Origin, snapshot};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::manifests;
use kubeguard_core::models::measurements::Measurements;

use crate::cli::AccessArgs;

/// Where a simulator looks, and what it is told.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Scope")]
pub(crate) struct ModelArgs {
    /// Namespace; the context's where it is left out
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// File or folder with manifests, or - for standard input; with --snapshot they replace its objects; repeatable
    #[arg(short, long, value_name = "FILE")]
    pub(crate) filename: Vec<String>,
    /// Read the folders of -f with their folders
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Snapshot instead of a cluster, as `kubectl guard snapshot` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
    /// File with measured times, as `kubectl guard rollout settle --store` writes it
    #[arg(long, value_name = "FILE")]
    measurements: Option<PathBuf>,
    /// The moment that counts as now [default: the server's clock, or the snapshot's]
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The facts.
    pub(crate) facts: Facts,
    /// The time of what is judged.
    pub(crate) now: Timestamp,
    /// What somebody measured.
    pub(crate) measurements: Option<Measurements>,
    /// The namespace of names on the command line.
    pub(crate) namespace: String,
}

/// Reads what a simulator needs.
///
/// `prepare` is given the builder first, as for [`Builder::keep_node_images`]. Everything that sums over nodes needs the
/// pods of all namespaces: that is said by the needs, whose reach is then all.
///
/// # Errors
/// When files, snapshot or measurements do not read, or nothing of the cluster does.
pub(crate) async fn read(
    asked: &ModelArgs,
    access: &AccessArgs,
    needs: &Needs,
    prepare: impl FnOnce(&mut Builder),
) -> Result<Read> {
    let measurements = match &asked.measurements {
        None => None,
        Some(path) => {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
            Some(Measurements::parse(&file, &text)?)
        }
    };
    let in_files = asked.namespace.clone().unwrap_or_else(|| "default".to_owned());
    if let Some(path) = &asked.snapshot {
        let file = path.display().to_string();
        let opened = std::fs::File::open(path);
        let opened = opened.map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
        let mut builder = snapshot::builder();
        builder.default_namespace(&in_files);
        prepare(&mut builder);
        let mut over = Vec::new();
        for (name, bytes) in texts(asked)? {
            over.extend(manifests::parse(&name, &bytes)?.into_iter().map(|manifest| manifest.object));
        }
        // Of equal names the later one stays: manifests come last.
        let (facts, header) = snapshot::read_under(&file, opened, builder, over)?;
        return Ok(Read { facts, now: asked.now.unwrap_or(header.taken_at), measurements, namespace: in_files });
    }
    if !asked.filename.is_empty() {
        let mut files = Files::new(&in_files);
        prepare(files.builder());
        for (name, bytes) in texts(asked)? {
            files.text(&name, &bytes);
        }
        let now = asked.now.unwrap_or_else(Timestamp::now);
        return Ok(Read { facts: files.finish(), now, measurements, namespace: in_files });
    }
    let cluster = access.access("kubectl-guard").connect(&Environment::of_process()).await?;
    let namespace = asked.namespace.clone().unwrap_or_else(|| cluster.default_namespace().to_owned());
    let mut builder = Builder::new(Origin::Live);
    prepare(&mut builder);
    let gathered = live(&cluster, needs, &Scope { namespaces: vec![namespace.clone()] }, builder).await?;
    let now = asked.now.or(gathered.now).unwrap_or_else(Timestamp::now);
    Ok(Read { facts: gathered.facts, now, measurements, namespace })
}

/// Returns the contents of the files of `-f`, with their names.
fn texts(asked: &ModelArgs) -> Result<Vec<(String, Vec<u8>)>> {
    let mut texts = Vec::new();
    for name in &asked.filename {
        if name == "-" {
            let mut bytes = Vec::new();
            let read = std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes);
            read.map_err(|source| Error::Io { doing: "read", file: "standard input".to_owned(), source })?;
            texts.push((name.clone(), bytes));
            continue;
        }
        for path in manifests::files(Path::new(name), asked.recursive)? {
            let file = path.display().to_string();
            let bytes = std::fs::read(&path);
            texts.push((file.clone(), bytes.map_err(|source| Error::Io { doing: "read", file, source })?));
        }
    }
    Ok(texts)
}
