//! Every name that leads to an image without asking anybody: aliases of hosts, mirrors, rewrites.

use serde::Serialize;

use super::hosts::{HostMap, Mapping, registry_of_host};
use super::reference::{Digest, ImageRef};

/// Aliases, mirrors and rewrites, as a policy has them.
#[derive(Debug, Clone, Default)]
pub struct Maps {
    written: Written,
    hosts: HostMap,
}

/// What two sides must have the same of, so that they mean the same by a name.
#[derive(Debug, Clone, Default, Serialize)]
struct Written {
    aliases: Vec<Mapping>,
    mirrors: Vec<Mapping>,
    rewrites: Vec<Mapping>,
}

/// A reference in its normal spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spelling {
    /// In lower case; that of `RegistryId::host` for a registry of ECR.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<Digest>,
}

impl Spelling {
    /// Returns the spelling of an image that has a repository.
    pub(crate) fn of(image: &ImageRef) -> Option<Self> {
        let (host, path, tag, digest) = match image {
            ImageRef::Ecr(key) => (key.registry.host(), &key.repository, &key.tag, key.digest),
            ImageRef::Other(image) => (image.host.clone(), &image.path, &image.tag, image.digest),
            ImageRef::Bare(_) | ImageRef::Unparsed(_) => return None,
        };
        Some(Self { host, path: path.clone(), tag: tag.clone(), digest })
    }

    pub(crate) fn text(&self) -> String {
        let tag = self.tag.as_ref().map_or(String::new(), |tag| format!(":{tag}"));
        let digest = self.digest.map_or(String::new(), |digest| format!("@{digest}"));
        format!("{}/{}{tag}{digest}", self.host, self.path)
    }
}

impl Maps {
    /// Takes aliases `HOST[/PREFIX]` → `ECR-HOST[/PREFIX]`, mirrors of whole components, and rewrites of any prefix.
    ///
    /// # Errors
    /// In words, as [`HostMap::new`].
    pub fn new(aliases: Vec<Mapping>, mirrors: Vec<Mapping>, rewrites: Vec<Mapping>) -> Result<Self, String> {
        Ok(Self { hosts: HostMap::new(&aliases)?, written: Written { aliases, mirrors, rewrites } })
    }

    /// Returns the aliases alone.
    #[must_use]
    pub const fn hosts(&self) -> &HostMap {
        &self.hosts
    }

    /// Returns the sha256 of all of them in their order, as lower-case hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        crate::canonical::sha256(&self.written, &[]).unwrap_or_default()
    }

    /// Returns whether a mirror or rewrite leads on from a name of ECR, so that what a name means depends on the registry
    /// that it is in.
    pub(crate) fn leads_on_from_ecr(&self) -> bool {
        let starts = |mapping: &Mapping| {
            mapping.from.split_once('/').is_none_or(|(host, _)| registry_of_host(&host.to_ascii_lowercase()).is_some())
        };
        let Written { mirrors, rewrites, .. } = &self.written;
        let mirrored = |mapping: &Mapping| {
            let host = mapping.from.split('/').next().unwrap_or_default();
            registry_of_host(&host.to_ascii_lowercase()).is_some()
        };
        rewrites.iter().any(starts) || mirrors.iter().any(mirrored)
    }

    /// Returns what mirrors and rewrites make of a reference, as written and in its normal spelling.
    pub(crate) fn other_names(&self, raw: &str, normal: &str) -> Vec<String> {
        let mut names = Vec::new();
        for rewrite in &self.written.rewrites {
            let rests = [raw, normal].into_iter().filter_map(|text| text.strip_prefix(rewrite.from.as_str()));
            names.extend(rests.map(|rest| format!("{}{rest}", rewrite.to)));
        }
        for mirror in &self.written.mirrors {
            let rest = below(normal, &mirror.from);
            names.extend(rest.map(|rest| format!("{}/{rest}", mirror.to.trim_end_matches('/'))));
        }
        names
    }

    /// Returns a reference in its normal spelling, and in every other that leads to a registry of ECR; nothing for a text
    /// that names no repository.
    pub(crate) fn spellings(&self, text: &str) -> Vec<Spelling> {
        let Some(normal) = Spelling::of(&ImageRef::parse(text, &self.hosts)) else { return Vec::new() };
        let others = self.other_names(text, &normal.text());
        let others = others.iter().map(|other| ImageRef::parse(other, &self.hosts));
        let others = others.filter(|other| matches!(other, ImageRef::Ecr(_))).filter_map(|other| Spelling::of(&other));
        let mut spellings = vec![normal];
        for other in others {
            if !spellings.contains(&other) {
                spellings.push(other);
            }
        }
        spellings
    }
}

/// Returns what stands below a host, or a host and whole components of a path.
pub(crate) fn below<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.strip_prefix(prefix.trim_end_matches('/'))?.strip_prefix('/')
}

/// The repository that can be read of a text which is no reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Readable {
    pub(crate) registry: super::RegistryId,
    /// Empty where nothing of it can be read.
    pub(crate) repository: String,
    /// The name ends there; else it may go on.
    pub(crate) whole: bool,
}

impl Readable {
    /// Reads host and path of a text, by its aliases too.
    pub(crate) fn of(text: &str, hosts: &HostMap) -> Option<Self> {
        let text = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
        let (host, path) = text.split_once('/')?;
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix(":443").unwrap_or(&host);
        let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let name = name.trim_end_matches('.');
        let of_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '/');
        let end = path.find(|c| !of_path(c)).unwrap_or(path.len());
        let (path, rest) = path.split_at(end);
        let whole = rest.is_empty() || rest.starts_with([':', '@']);
        // A port has an alias of its own; without one the host still tells whose repository it is.
        let with_port = port.map(|port| hosts.replace(format!("{name}:{port}"), path));
        let (host, path) = with_port
            .filter(|(host, _)| registry_of_host(host).is_some())
            .unwrap_or_else(|| hosts.replace(name.to_owned(), path));
        let registry = registry_of_host(&host)?;
        let repository = path.trim_end_matches('/').to_owned();
        Some(Self { registry, whole: whole && !repository.is_empty(), repository })
    }
}
