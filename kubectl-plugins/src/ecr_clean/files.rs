//! Files: read whole, written beside and renamed, so that nobody ever sees half of one.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::plan::Plan;
use kubeguard_core::ecr::planning::KeptImage;
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::snapshot::RegistrySnapshot;
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::error::{Error, Result};
use kubeguard_core::images::{RegistryId, Salt, SigningKey};
use serde::Serialize;

use super::usage;
use crate::output::json;

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let file = path.display().to_string();
    move |source| Error::Io { doing, file, source }
}

pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(io("read", path))
}

/// Writes a file whole: beside it first, then under its name.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    write_by(path, |out| out.write_all(text.as_bytes()))
}

/// Writes a document to a file like [`write`]: no text of it is kept, however long it is.
pub(super) fn write_json<T: Serialize + ?Sized>(path: &Path, document: &T) -> Result<()> {
    write_by(path, |out| json::write(out, document))
}

fn write_by(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(io("write", folder))?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let whole = || {
        let mut out = std::io::BufWriter::new(std::fs::File::create(&beside)?);
        write(&mut out)?;
        out.flush()
    };
    let written = whole().and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        drop(std::fs::remove_file(&beside));
    }
    written.map_err(io("write", path))
}

/// Returns the text of a document, as files and `-o json` have it.
pub(super) fn pretty<T: Serialize + ?Sized>(document: &T) -> Result<String> {
    json::text(document).map_err(|error| usage(format!("cannot write JSON: {error}"), ""))
}

/// Returns the text of a document as YAML.
pub(super) fn yaml<T: Serialize>(document: &T) -> Result<String> {
    serde_saphyr::to_string(document).map_err(|error| usage(format!("cannot write YAML: {error}"), ""))
}

pub(super) fn policy(path: &Path) -> Result<Policy> {
    Policy::parse(&path.display().to_string(), &read(path)?)
}

/// Reads the key that inventories are signed with.
pub(super) fn signing_key(path: &Path) -> Result<SigningKey> {
    SigningKey::from_pem(&read(path)?).map_err(|problem| {
        let hint = "openssl genpkey -algorithm ed25519 writes one";
        usage(format!("{}: {problem}", path.display()), hint)
    })
}

/// Reads the salt of hashed inventories.
pub(super) fn salt(path: &Path) -> Result<Salt> {
    let bytes = std::fs::read(path).map_err(io("read", path))?;
    Salt::new(&bytes)
        .map_err(|problem| usage(format!("{}: {problem}", path.display()), "openssl rand -hex 32 writes one"))
}

pub(super) fn plan(path: &Path) -> Result<Plan> {
    Plan::parse(&path.display().to_string(), &read(path)?)
}

pub(super) fn registry(path: &Path) -> Result<RegistrySnapshot> {
    serde_json::from_str(&read(path)?).map_err(|error| Error::File {
        file: path.display().to_string(),
        line: u64::try_from(error.line().max(1)).unwrap_or(1),
        column: u64::try_from(error.column().max(1)).unwrap_or(1),
        problem: format!("this is no saved registry: {error}"),
        hint: "plan --save-registry FILE writes one".to_owned(),
    })
}

/// Reads the keep lists and scans of a policy, whose paths are relative to the folder of the file that names them.
pub(super) fn keep_lists(policy: &Policy, file: &Path, now: Timestamp) -> Result<Vec<KeptImage>> {
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let lists = policy.pins.keep_lists.iter().map(|list| {
        let path = folder.join(list);
        KeptImage::parse_list(&path.display().to_string(), &read(&path)?, now)
    });
    let scans = policy.providers.ecrm_scans.iter().map(|scan| {
        let path = folder.join(scan);
        KeptImage::parse_scan(&path.display().to_string(), &read(&path)?)
    });
    Ok(lists.chain(scans).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Where what earlier runs saw is kept.
pub(super) struct StateFolder(PathBuf);

impl StateFolder {
    /// Takes the folder that was named, else the user's own for this registry.
    pub(super) fn new(named: Option<&Path>, registry: &RegistryId) -> Result<Self> {
        if let Some(named) = named {
            return Ok(Self(named.to_owned()));
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        let base = base.ok_or_else(|| usage("there is no place for the state", "give --state DIR"))?;
        let RegistryId { partition, account, region } = registry;
        Ok(Self(base.join("kubeguard/ecr-clean").join(partition.word()).join(account).join(region)))
    }

    /// Returns the registry whose state is in a folder; `None` where there is no state yet.
    pub(super) fn registry_of(folder: &Path) -> Result<Option<RegistryId>> {
        #[derive(serde::Deserialize)]
        struct Named {
            registry: RegistryId,
        }
        let path = folder.join("state.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str::<Named>(&text)
                .map(|named| Some(named.registry))
                .map_err(|error| usage(format!("{} is damaged: {error}", path.display()), "restore it from a backup")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("read", &path)(error)),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// The manifests that were read before.
    pub(super) fn manifests(&self) -> ManifestCache {
        ManifestCache::in_folder(self.0.join("manifests"))
    }

    /// The lock that keeps two runs apart; its folder is there afterwards.
    pub(super) fn lock(&self) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.0).map_err(io("write", &self.0))?;
        Ok(self.0.join("lock"))
    }

    /// Where manifests of what is deleted are put aside.
    pub(super) fn tombstones(&self) -> PathBuf {
        self.0.join("tombstones.ndjson")
    }

    /// Reads the state; `None` on the first run, never for a damaged one.
    pub(super) fn read(&self, registry: &RegistryId) -> Result<Option<CleanState>> {
        let path = self.0.join("state.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => CleanState::parse(&path.display().to_string(), &text, registry).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("read", &path)(error)),
        }
    }

    pub(super) fn write(&self, state: &CleanState) -> Result<()> {
        write_json(&self.0.join("state.json"), state)
    }
}
