//! Hosts that are ECR registries, and names that people give them.

use serde::{Deserialize, Serialize};

use super::reference::RegistryId;

/// Ends of hosts under `dkr.ecr`.
const PLAIN: &[&str] = &[
    "amazonaws.com",
    "amazonaws.com.cn",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "amazonaws.eu",
];
/// Ends of hosts under `dkr-ecr`, which answer over IPv6 too.
const DUAL_STACK: &[&str] = &["on.aws", "on.amazonwebservices.com.cn"];

/// One prefix that stands for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What a reference begins with.
    pub from: String,
    /// What stands there instead.
    pub to: String,
}

/// Returns the registry that a lower-case host is, in any of its spellings.
#[must_use]
pub fn registry_of_host(host: &str) -> Option<RegistryId> {
    let (account, rest) = host.split_once('.')?;
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (rest, ends) = match rest.strip_prefix("dkr.ecr") {
        Some(rest) => (rest, PLAIN),
        None => (rest.strip_prefix("dkr-ecr")?, DUAL_STACK),
    };
    let rest = rest.strip_prefix("-fips").unwrap_or(rest).strip_prefix('.')?;
    let (region, end) = rest.split_once('.')?;
    let of_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = !region.is_empty() && region.bytes().all(of_region) && ends.contains(&end);
    fits.then(|| RegistryId::new(account, region))
}

/// Other names of ECR hosts: private endpoints, vanity names, with or without a prefix of the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostMap {
    /// Longest prefix first, so that the most specific name wins.
    aliases: Vec<Alias>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Alias {
    host: String,
    prefix: String,
    to_host: String,
    to_prefix: String,
}

impl HostMap {
    /// Takes aliases `HOST[/PREFIX]` → `ECR-HOST[/PREFIX]`.
    ///
    /// # Errors
    /// In words, when a name is empty or its target is no ECR host.
    pub fn new(aliases: &[Mapping]) -> Result<Self, String> {
        let read = |mapping: &Mapping| {
            let cut = |text: &str| {
                let (host, prefix) =
                    text.trim_end_matches('/').split_once('/').unwrap_or((text.trim_end_matches('/'), ""));
                (host.to_ascii_lowercase(), prefix.to_owned())
            };
            let ((host, prefix), (to_host, to_prefix)) = (cut(&mapping.from), cut(&mapping.to));
            if host.is_empty() {
                return Err("an alias without a host".to_owned());
            }
            if registry_of_host(&to_host).is_none() {
                return Err(format!("{:?} is no ECR host; an alias stands for one", mapping.to));
            }
            Ok(Alias { host, prefix, to_host, to_prefix })
        };
        let mut aliases: Vec<Alias> = aliases.iter().map(read).collect::<Result<_, _>>()?;
        aliases.sort_by_key(|alias| std::cmp::Reverse(alias.prefix.len()));
        Ok(Self { aliases })
    }

    /// Returns whether a lower-case host has an alias.
    pub(super) fn has(&self, host: &str) -> bool {
        self.aliases.iter().any(|alias| alias.host == host)
    }

    /// Returns host and path with an alias replaced by what it stands for.
    pub(super) fn replace(&self, host: String, path: &str) -> (String, String) {
        for alias in self.aliases.iter().filter(|alias| alias.host == host) {
            if let Some(rest) = below(path, &alias.prefix) {
                let path =
                    if alias.to_prefix.is_empty() { rest.to_owned() } else { format!("{}/{rest}", alias.to_prefix) };
                return (alias.to_host.clone(), path);
            }
        }
        (host, path.to_owned())
    }
}

/// Returns what stands below a prefix of whole components.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() { Some(path) } else { path.strip_prefix(prefix)?.strip_prefix('/') }
}
