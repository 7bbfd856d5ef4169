//! What clusters say: live, from inventory files, from manifests; each with its own failure.

use std::path::Path;

use jiff::Timestamp;
use kubeguard_core::access::Environment;
use kubeguard_core::ecr::clusters::{Cluster, ClusterSource, Clusters};
use kubeguard_core::ecr::plan::RefusalReason;
use kubeguard_core::ecr::planning::Answer;
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::manifests;
use kubeguard_core::images::changes::changed;
use kubeguard_core::images::gather::{Reading, of_manifests, of_snapshot, read};
use kubeguard_core::images::inventory::Scan;
use kubeguard_core::images::{CheckingKey, HostMap, Inventory};

use super::args::{ClusterAccess, SourceArgs};
use super::inventory::InventoryArgs;
use super::progress::Progress;
use super::{TOOL, files, usage};
use crate::explain;
use crate::given;
use crate::terminal::Terminal;

/// Returns the declared clusters: those of the file, else those that flags name.
///
/// `current` takes the current context where nothing is named; for a plan that is never all there is.
pub(super) fn clusters(source: &SourceArgs, current: bool) -> Result<Clusters> {
    if let Some(path) = &source.clusters {
        let clusters = Clusters::parse(&path.display().to_string(), &files::read(path)?)?;
        usable(&source.inventory)?;
        return Ok(clusters);
    }
    let contexts = source.context.iter().map(|name| undeclared(name, ClusterSource::Context(name.clone())));
    let mut clusters: Vec<Cluster> = contexts.collect();
    for path in &source.inventory {
        let name = match inventory(path) {
            Ok(inventory) => inventory.cluster,
            // It refuses everything, and the plan says so.
            Err(Error::Altered { .. }) => stem(path),
            Err(error) => return Err(error),
        };
        clusters.push(undeclared(&name, ClusterSource::Inventory(path.clone())));
    }
    if clusters.is_empty() && current {
        clusters.push(undeclared("current", ClusterSource::Context(String::new())));
    }
    if clusters.is_empty() {
        let hint =
            "give --clusters FILE, --context NAME or --inventory FILE; the current context is never all clusters";
        return Err(usage("no cluster is named", hint));
    }
    let mut names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    names.sort_unstable();
    let twice = names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next);
    if let Some((name, _)) = twice {
        return Err(usage(format!("cluster {name:?} is named twice"), ""));
    }
    Ok(Clusters { clusters, from_file: false })
}

/// Tells what is wrong with inventories that flags name before anybody is asked. One that was altered is believed by
/// nobody, and the plan says so.
///
/// # Errors
/// When one cannot be read.
pub(super) fn usable(inventories: &[std::path::PathBuf]) -> Result<()> {
    let broken = inventories.iter().map(|path| inventory(path)).filter_map(Result::err);
    broken.into_iter().find(|error| !matches!(error, Error::Altered { .. })).map_or(Ok(()), Err)
}

/// A cluster that a flag names and no file declares.
fn undeclared(name: &str, source: ClusterSource) -> Cluster {
    Cluster {
        name: name.to_owned(),
        source: Some(source),
        uid: None,
        registries: Vec::new(),
        standby_of: None,
        hibernated_since: None,
        retired: None,
        public_key: None,
        repositories: None,
    }
}

/// What an inventory is called that cannot be believed.
fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}

fn inventory(path: &Path) -> Result<Inventory> {
    Inventory::parse(&path.display().to_string(), &files::read(path)?)
}

/// Makes an inventory of the files that the command line names.
pub(super) fn of_files(asked: &InventoryArgs, scan: &Scan, hosts: &HostMap, now: Timestamp) -> Result<Inventory> {
    let cluster = asked.cluster.as_deref().unwrap_or_default();
    let reading = Reading { cluster, scan, hosts, tool: TOOL };
    if let Some(path) = &asked.snapshot {
        let file = path.display().to_string();
        let opened = std::fs::File::open(path);
        let opened = opened.map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
        return of_snapshot(&file, opened, reading, asked.uid.clone(), asked.complete);
    }
    let mut found = Vec::new();
    for file in &asked.filename {
        found.extend(given::manifests(file, asked.recursive)?);
    }
    if let Some(folder) = &asked.kustomize {
        let folder = folder.display().to_string();
        found.extend(manifests::parse(&folder, &given::kustomized(&folder)?)?);
    }
    if found.is_empty() {
        return Err(usage("the files hold no object", ""));
    }
    let objects = found.iter().map(|manifest| &manifest.object);
    Ok(of_manifests(objects, reading, asked.uid.clone(), asked.complete, now))
}

/// How clusters are asked.
pub(super) struct Evidence<'a> {
    pub(super) access: &'a ClusterAccess,
    pub(super) scan: &'a Scan,
    pub(super) hosts: &'a HostMap,
    pub(super) terminal: Terminal,
}

impl Evidence<'_> {
    /// Reads every cluster that has a context, all at once.
    pub(super) async fn live(&self, clusters: &Clusters) -> Vec<(String, Result<Inventory>)> {
        let progress = Progress::doing("clusters", self.terminal, None);
        let reads = clusters.clusters.iter().filter_map(|cluster| match &cluster.source {
            Some(ClusterSource::Context(context)) => Some((&cluster.name, context)),
            _ => None,
        });
        let reads = reads.map(|(name, context)| {
            let progress = &progress;
            async move {
                let context = Some(context.as_str()).filter(|context| !context.is_empty());
                let inventory = match self.access.of(context).connect(&Environment::of_process()).await {
                    Ok(cluster) => {
                        let reading = Reading { cluster: name, scan: self.scan, hosts: self.hosts, tool: TOOL };
                        read(&cluster, reading, Timestamp::now, |step| progress.cluster(name, &step)).await
                    }
                    Err(error) => Err(error),
                };
                (name.clone(), inventory)
            }
        });
        futures::future::join_all(reads).await
    }

    /// Waits until one of the clusters is not any more what its inventory says, or cannot be reached.
    pub(super) async fn changed(&self, clusters: &Clusters, inventories: &[Inventory]) {
        let watches = inventories.iter().filter_map(|inventory| {
            let cluster = clusters.clusters.iter().find(|cluster| cluster.name == inventory.cluster)?;
            let Some(ClusterSource::Context(context)) = &cluster.source else { return None };
            let context = Some(context.as_str()).filter(|context| !context.is_empty());
            Some(Box::pin(async move {
                match self.access.of(context).connect(&Environment::of_process()).await {
                    Ok(cluster) => changed(&cluster, inventory).await,
                    Err(error) => tracing::info!(%error, "cannot watch"),
                }
            }))
        });
        let watches: Vec<_> = watches.collect();
        if !watches.is_empty() {
            futures::future::select_all(watches).await;
        }
    }

    /// Returns what every declared cluster says for a plan.
    ///
    /// # Errors
    /// When a file that a flag names cannot be used; what a clusters file names is an answer of its own.
    pub(super) async fn answers(
        &self,
        clusters: &Clusters,
        source: &SourceArgs,
        now: Timestamp,
    ) -> Result<Vec<Answer>> {
        let missing = |error: &Error| {
            let because = std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
            (RefusalReason::InventoryMissing, format!("{error}{because}"))
        };
        let mut answers: Vec<Answer> = Vec::new();
        for (cluster, inventory) in self.live(clusters).await {
            answers.push(Answer { cluster, inventory: inventory.map_err(|error| missing(&error)) });
        }
        for cluster in &clusters.clusters {
            let inventory = match &cluster.source {
                Some(ClusterSource::Inventory(path)) => match inventory(path) {
                    Ok(inventory) => vouched(cluster, inventory),
                    // The hash tells that somebody changed it; anything else tells nothing.
                    Err(error @ Error::Altered { .. }) => Err((RefusalReason::InventoryAltered, error.to_string())),
                    Err(error) => Err(missing(&error)),
                },
                Some(ClusterSource::Manifests(paths)) => {
                    self.of_manifests(&cluster.name, paths, now).map_err(|error| missing(&error))
                }
                Some(ClusterSource::Context(_)) | None => continue,
            };
            answers.push(Answer { cluster: cluster.name.clone(), inventory });
        }
        if clusters.from_file {
            for (context, inventory) in self.live(&given(clusters, source)).await {
                match inventory {
                    Ok(inventory) => supply(&mut answers, clusters, inventory, true),
                    Err(error) => {
                        // Nobody knows for which of the declared clusters it was to speak.
                        explain::show(self.terminal, &error);
                        answers.push(Answer { cluster: context, inventory: Err(missing(&error)) });
                    }
                }
            }
            for path in &source.inventory {
                match inventory(path) {
                    Ok(inventory) => supply(&mut answers, clusters, inventory, false),
                    Err(error @ Error::Altered { .. }) => {
                        let inventory = Err((RefusalReason::InventoryAltered, error.to_string()));
                        answers.push(Answer { cluster: stem(path), inventory });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(answers)
    }

    fn of_manifests(&self, cluster: &str, paths: &[std::path::PathBuf], now: Timestamp) -> Result<Inventory> {
        let mut found = Vec::new();
        for path in paths {
            for file in manifests::files(path, true)? {
                found.extend(manifests::read(&file)?);
            }
        }
        let reading = Reading { cluster, scan: self.scan, hosts: self.hosts, tool: TOOL };
        Ok(of_manifests(found.iter().map(|manifest| &manifest.object), reading, None, false, now))
    }
}

/// Returns the contexts that flags name beside a clusters file, without those that it names itself.
fn given(clusters: &Clusters, source: &SourceArgs) -> Clusters {
    let known = |context: &String| {
        clusters.clusters.iter().any(|cluster| cluster.source == Some(ClusterSource::Context(context.clone())))
    };
    let contexts = source.context.iter().filter(|context| !known(context));
    let contexts = contexts.map(|name| undeclared(name, ClusterSource::Context(name.clone())));
    Clusters { clusters: contexts.collect(), from_file: false }
}

/// Returns an inventory that somebody took elsewhere, if whoever must vouch for it does.
fn vouched(cluster: &Cluster, inventory: Inventory) -> Result<Inventory, (RefusalReason, String)> {
    let Some(path) = &cluster.public_key else { return Ok(inventory) };
    let refused = |cause: String| {
        let message = format!("the inventory of {} must be signed with {}: {cause}", cluster.name, path.display());
        Err((RefusalReason::InventoryAltered, message))
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return refused(format!("that key cannot be read: {error}")),
    };
    let key = match CheckingKey::from_pem(&text) {
        Ok(key) => key,
        Err(error) => return refused(format!("that key cannot be used: {error}")),
    };
    match inventory.check_signature(&key) {
        Ok(()) => Ok(inventory),
        Err(error) => refused(error.to_string()),
    }
}

/// Lets an inventory that a flag names speak for the declared cluster of the same uid, or, where one of the two has no
/// uid, of the same name; else it speaks for itself, and nobody has declared it.
///
/// What is read live needs no signature; a file that is given in its place does.
fn supply(answers: &mut Vec<Answer>, clusters: &Clusters, inventory: Inventory, live: bool) {
    let of_uid = |cluster: &&Cluster| cluster.uid.is_some() && cluster.uid == inventory.uid;
    let of_name = |cluster: &&Cluster| cluster.name == inventory.cluster;
    let all = &clusters.clusters;
    let Some(cluster) = all.iter().find(of_uid).or_else(|| all.iter().find(of_name)) else {
        answers.push(Answer { cluster: inventory.cluster.clone(), inventory: Ok(inventory) });
        return;
    };
    answers.retain(|answer| answer.cluster != cluster.name);
    let inventory = if live { Ok(inventory) } else { vouched(cluster, inventory) };
    answers.push(Answer { cluster: cluster.name.clone(), inventory });
}
