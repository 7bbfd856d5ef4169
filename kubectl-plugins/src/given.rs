//! What users give in files: folders, standard input, addresses, what kustomize builds.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use kubeguard_core::access::download;
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::manifests::{self, Manifest};

/// Reads the manifests that `-f` names: a file, a folder, an address, or standard input.
pub(crate) fn manifests(name: &str, recursive: bool) -> Result<Vec<Manifest>> {
    if name == "-" {
        return manifests::parse(name, &standard_input()?);
    }
    if is_address(name) {
        return manifests::parse(name, &behind(name)?);
    }
    let mut found = Vec::new();
    for path in manifests::files(Path::new(name), recursive)? {
        found.extend(manifests::read(&path)?);
    }
    Ok(found)
}

/// Reads standard input to its end.
pub(crate) fn standard_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { doing: "read", file: "standard input".to_owned(), source })?;
    Ok(bytes)
}

/// Returns whether `-f` names an address.
pub(crate) fn is_address(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// Reads the file behind an address; whatever the caller runs in, this waits by itself.
pub(crate) fn behind(address: &str) -> Result<Vec<u8>> {
    let address = address.to_owned();
    let read = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let io = |source| Error::Io { doing: "read", file: address.clone(), source };
        runtime.map_err(io)?.block_on(download(&address))
    });
    read.join().unwrap_or_else(|_| Err(wrong("the file behind the address could not be read", "")))
}

/// Lets kubectl build a kustomization: what it means by its files, nobody else should guess.
pub(crate) fn kustomized(folder: &str) -> Result<Vec<u8>> {
    let built = Command::new("kubectl").args(["kustomize", folder]).output();
    let built = built.map_err(|source| Error::Configuration {
        problem: format!("cannot build the kustomization in {folder}"),
        hint: format!("-k needs kubectl on the PATH; or build it elsewhere: kubectl kustomize {folder}, and -f"),
        source: Some(source.into()),
    })?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr).trim().to_owned();
        return Err(wrong(format!("cannot build the kustomization in {folder}"), said));
    }
    Ok(built.stdout)
}

fn wrong(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Configuration { problem: problem.into(), hint: hint.into(), source: None }
}
