//! From the clusters file to declared clusters.

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::Deserialize;

use super::{Cluster, ClusterSource, Clusters, Retired};
use crate::document;
use crate::ecr::policy::{Pattern, RegistryName, Window};
use crate::error::Result;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    api_version: String,
    kind: String,
    clusters: Vec<WrittenCluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenCluster {
    name: String,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    inventory: Option<PathBuf>,
    #[serde(default)]
    manifests: Vec<PathBuf>,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    registries: Vec<RegistryName>,
    #[serde(default)]
    standby_of: Option<String>,
    #[serde(default)]
    hibernated_since: Option<Date>,
    #[serde(default)]
    retired: Option<WrittenRetired>,
    #[serde(default)]
    public_key: Option<PathBuf>,
    #[serde(default)]
    repositories: Option<Vec<Pattern>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRetired {
    at: Date,
    #[serde(default = "two_weeks")]
    wait: Window,
}

const fn two_weeks() -> Window {
    Window::days(14)
}

impl Clusters {
    /// Reads a clusters file; paths in it are relative to its own folder.
    ///
    /// # Errors
    /// [`crate::error::Error::File`] with line and column: unknown keys, names that are empty or come twice, a cluster with
    /// no source or with two, a standby of nobody, a wait that is shorter than a day.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let written: Written = document::read(file, text)?;
        let refuse = |problem: String, hint: &str| Err(document::invalid(file, problem, hint));
        if (written.api_version.as_str(), written.kind.as_str()) != ("kubeguard.dev/v1", "Clusters") {
            let found = format!("{}, {}", written.api_version, written.kind);
            return refuse(
                format!("this declares no clusters: {found}"),
                "apiVersion: kubeguard.dev/v1 and kind: Clusters",
            );
        }
        if written.clusters.is_empty() {
            return refuse("no cluster is declared".to_owned(), "without one nothing is known to be unused");
        }
        let folder = Path::new(file).parent().unwrap_or_else(|| Path::new(""));
        let names: Vec<String> = written.clusters.iter().map(|cluster| cluster.name.clone()).collect();
        let mut clusters: Vec<Cluster> = Vec::new();
        for cluster in written.clusters {
            let name = &cluster.name;
            if name.is_empty() || clusters.iter().any(|known| known.name == *name) {
                return refuse(format!("two clusters are named {name:?}, or one has no name"), "");
            }
            if let Some(other) = &cluster.standby_of
                && (!names.contains(other) || other == name)
            {
                return refuse(format!("{name} stands by for {other:?}, which is not declared"), "");
            }
            let source = match (&cluster.context, &cluster.inventory, cluster.manifests.as_slice()) {
                (Some(context), None, []) => Some(ClusterSource::Context(context.clone())),
                (None, Some(inventory), []) => Some(ClusterSource::Inventory(folder.join(inventory))),
                (None, None, files @ [_, ..]) => {
                    Some(ClusterSource::Manifests(files.iter().map(|file| folder.join(file)).collect()))
                }
                (None, None, []) if cluster.standby_of.is_some() => None,
                (None, None, []) => {
                    return refuse(format!("{name} has no source"), "context, inventory or manifests; or standbyOf");
                }
                _ => return refuse(format!("{name} has two sources"), "one of context, inventory and manifests"),
            };
            if cluster.hibernated_since.is_some() && cluster.inventory.is_none() {
                return refuse(format!("{name} hibernates and has no inventory file"), "write one before it sleeps");
            }
            let retired = cluster.retired.map(|retired| Retired { at: retired.at, wait: retired.wait });
            if retired.as_ref().is_some_and(|retired| retired.wait < Window::days(1)) {
                return refuse(format!("{name} is retired with a wait under 1d"), "");
            }
            clusters.push(Cluster {
                name: cluster.name,
                source,
                uid: cluster.uid,
                registries: cluster.registries,
                standby_of: cluster.standby_of,
                hibernated_since: cluster.hibernated_since,
                retired,
                public_key: cluster.public_key.map(|key| folder.join(key)),
                repositories: cluster.repositories,
            });
        }
        Ok(Self { clusters, from_file: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters(text: &str) -> std::result::Result<Clusters, String> {
        let text = format!("apiVersion: kubeguard.dev/v1\nkind: Clusters\nclusters:\n{text}");
        Clusters::parse("ops/clusters.yaml", &text).map_err(|error| error.to_string())
    }

    #[test]
    fn sources_are_read_relative_to_the_file() {
        let read = clusters(
            "- {name: prod, context: prod-eu, uid: u-1}\n- {name: edge, inventory: i/edge.json}\n- {name: git, manifests: [deploy/]}\n- {name: dr, standbyOf: prod, registries: [111122223333/eu-west-1]}\n- {name: old, inventory: old.json, retired: {at: 2026-11-01}}",
        )
        .unwrap();
        let sources: Vec<_> = read.clusters.iter().map(|cluster| cluster.source.clone()).collect();
        assert_eq!(sources[0], Some(ClusterSource::Context("prod-eu".to_owned())));
        assert_eq!(sources[1], Some(ClusterSource::Inventory("ops/i/edge.json".into())));
        assert_eq!(sources[2], Some(ClusterSource::Manifests(vec!["ops/deploy/".into()])));
        assert_eq!((&sources[3], read.clusters[4].retired.as_ref().unwrap().wait), (&None, Window::days(14)));
    }

    #[test]
    fn what_is_wrong_is_told_before_anything_is_asked() {
        for (text, said) in [
            ("  []", "no cluster is declared"),
            ("- {name: a, contxt: b}", "clusters.yaml:4:13: unknown field \"contxt\""),
            ("- {name: a, context: b}\n- {name: a, context: c}", "two clusters are named"),
            ("- {name: a, context: b, inventory: c}", "two sources"),
            ("- {name: a}", "no source"),
            ("- {name: a, standbyOf: b}", "not declared"),
            ("- {name: a, context: b, hibernatedSince: 2026-10-01}", "no inventory file"),
            ("- {name: a, context: b, retired: {at: 2026-10-01, wait: 1h}}", "under 1d"),
            ("- {name: a, context: b, registries: [here]}", "not ACCOUNT/REGION"),
        ] {
            let told = clusters(text).unwrap_err();
            assert!(told.contains(said), "{text}: {told}");
        }
    }
}
