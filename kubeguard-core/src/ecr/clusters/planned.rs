//! The clusters that a plan rests on, declared again by the plan itself.

use std::path::PathBuf;

use super::{Cluster, ClusterSource, Clusters, Retired};
use crate::ecr::plan::{Plan, PlannedCluster};
use crate::ecr::policy::Pattern;
use crate::error::{Error, Result};

impl Clusters {
    /// Returns the clusters that a plan declares, to be asked again.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the plan names what no clusters file can name.
    pub fn of(plan: &Plan) -> Result<Self> {
        let wrong = |cluster: &PlannedCluster, problem: String| Error::Configuration {
            problem: format!("cluster {} of the plan cannot be read: {problem}", cluster.name),
            hint: "give --clusters FILE".to_owned(),
            source: None,
        };
        let clusters = plan.clusters.iter().map(|planned| declared(planned).map_err(|problem| wrong(planned, problem)));
        Ok(Self { clusters: clusters.collect::<Result<_>>()?, from_file: true })
    }

    /// Says in words how these clusters differ from those of a plan; `None` where they do not.
    ///
    /// Names, uids and standbys count, and everything else that says whose word is needed: contexts and paths may differ.
    #[must_use]
    pub fn differ(&self, planned: &[PlannedCluster]) -> Option<String> {
        let missing = planned.iter().find(|known| !self.clusters.iter().any(|cluster| cluster.name == known.name));
        if let Some(missing) = missing {
            return Some(format!("cluster {} is not declared any more", missing.name));
        }
        self.clusters.iter().find_map(|cluster| {
            let Some(known) = planned.iter().find(|known| known.name == cluster.name) else {
                return Some(format!("cluster {} is new", cluster.name));
            };
            let own = super::super::planning::planned_cluster(cluster);
            let differs = |what: &str, differs: bool| differs.then(|| format!("cluster {} has {what}", cluster.name));
            differs("another uid", own.uid != known.uid)
                .or_else(|| differs("another standbyOf", own.standby_of != known.standby_of))
                .or_else(|| differs("other registries", own.registries != known.registries))
                .or_else(|| differs("other repositories", own.repositories != known.repositories))
                .or_else(|| differs("another hibernatedSince", own.hibernated_since != known.hibernated_since))
                .or_else(|| differs("another retired", own.retired != known.retired))
                .or_else(|| differs("no publicKey any more", own.public_key.is_none() && known.public_key.is_some()))
        })
    }
}

fn declared(planned: &PlannedCluster) -> Result<Cluster, String> {
    let source = match (&planned.context, &planned.inventory, planned.manifests.as_slice()) {
        (Some(context), None, []) => Some(ClusterSource::Context(context.clone())),
        (None, Some(file), []) => Some(ClusterSource::Inventory(PathBuf::from(file))),
        (None, None, files @ [_, ..]) => Some(ClusterSource::Manifests(files.iter().map(PathBuf::from).collect())),
        (None, None, []) if planned.standby_of.is_some() => None,
        _ => return Err("it has no source, or two".to_owned()),
    };
    let day = |text: &String| text.parse().map_err(|_| format!("{text:?} is no day"));
    let retired = planned.retired.as_ref().map(|retired| {
        let wait = retired.wait.parse().map_err(|_| format!("{:?} is no duration", retired.wait))?;
        Ok::<_, String>(Retired { at: day(&retired.at)?, wait })
    });
    let registries = planned.registries.iter().map(|name| name.parse().map_err(|_| format!("{name:?} is no registry")));
    let patterns = planned.repositories.as_ref().map(|patterns| {
        let patterns = patterns.iter().map(|text| Pattern::new(text));
        patterns.collect::<Result<Vec<_>, String>>()
    });
    Ok(Cluster {
        name: planned.name.clone(),
        source,
        uid: planned.uid.clone(),
        registries: registries.collect::<Result<_, _>>()?,
        standby_of: planned.standby_of.clone(),
        hibernated_since: planned.hibernated_since.as_ref().map(day).transpose()?,
        retired: retired.transpose()?,
        public_key: planned.public_key.as_ref().map(PathBuf::from),
        repositories: patterns.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTERS: &str = "apiVersion: kubeguard.dev/v1
kind: Clusters
clusters:
- {name: prod, context: prod-eu, uid: u-1, repositories: [\"app\", \"/^x-/\"]}
- {name: edge, inventory: edge.json, uid: u-2, publicKey: edge.pem}
- {name: dr, standbyOf: prod, registries: [111122223333/eu-west-1]}
- {name: winter, inventory: w.json, hibernatedSince: 2026-10-01}
- {name: old, inventory: old.json, retired: {at: 2026-11-01, wait: 14d}}
- {name: git, manifests: [deploy/]}
";

    fn planned(clusters: &Clusters) -> Vec<PlannedCluster> {
        clusters.clusters.iter().map(crate::ecr::planning::planned_cluster).collect()
    }

    #[test]
    fn clusters_survive_the_way_through_a_plan() {
        let clusters = Clusters::parse("clusters.yaml", CLUSTERS).unwrap();
        let planned = planned(&clusters);
        let again: Vec<_> = planned.iter().map(|cluster| declared(cluster).unwrap()).collect();
        assert_eq!(format!("{again:?}"), format!("{:?}", clusters.clusters));
        assert_eq!(clusters.differ(&planned), None);
    }

    #[test]
    fn contexts_and_paths_may_differ_and_nothing_else() {
        let planned = planned(&Clusters::parse("clusters.yaml", CLUSTERS).unwrap());
        for (from, to, said) in [
            ("context: prod-eu", "context: other", None),
            ("inventory: edge.json", "inventory: a/b.json", None),
            ("uid: u-1", "uid: u-9", Some("cluster prod has another uid")),
            ("name: edge", "name: rim", Some("cluster edge is not declared any more")),
            (", publicKey: edge.pem", "", Some("cluster edge has no publicKey any more")),
            ("standbyOf: prod", "standbyOf: edge", Some("cluster dr has another standbyOf")),
            ("wait: 14d", "wait: 2d", Some("cluster old has another retired")),
            ("- {name: git", "- {name: new, context: n}\n- {name: git", Some("cluster new is new")),
        ] {
            let given = Clusters::parse("clusters.yaml", &CLUSTERS.replace(from, to)).unwrap();
            assert_eq!(given.differ(&planned).as_deref(), said, "{from} → {to}");
        }
    }
}
