//! Whether everybody who must speak has spoken: declared clusters, their inventories, the registry's own settings.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::clusters::{Cluster, ClusterSource, Clusters};
use super::super::findings::found;
use super::super::plan::{PlanFinding, RefusalReason, Refused};
use super::super::policy::{Assumption, Pattern, Policy};
use super::super::snapshot::{Reading, RegistrySnapshot, ReplicationRule};
use super::super::state::CleanState;
use super::Answer;
use super::usage::Spoken;
use crate::images::inventory::{KindRead, Need, ReadStatus, Scan};
use crate::images::{ImageRef, Inventory};

/// What is missing, and for which repositories.
pub(super) struct Evidence<'a> {
    /// Inventories that count.
    pub(super) spoken: Vec<Spoken<'a>>,
    /// Refusals of every repository that a cluster may use: its patterns, or all.
    pub(super) refused: Vec<(Option<&'a [Pattern]>, Refused)>,
    pub(super) findings: Vec<PlanFinding>,
    pub(super) replication: &'a [ReplicationRule],
}

fn refusal(reason: RefusalReason, message: String, by: Option<&str>) -> Refused {
    Refused { repository: String::new(), reason, message, by: by.map(ToOwned::to_owned) }
}

/// Holds the answers against what was declared.
pub(super) fn weigh<'a>(
    policy: &Policy,
    clusters: &'a Clusters,
    answers: &'a [Answer],
    registry: &'a RegistrySnapshot,
    state: Option<&CleanState>,
    now: Timestamp,
) -> Evidence<'a> {
    let mut evidence = Evidence { spoken: Vec::new(), refused: Vec::new(), findings: Vec::new(), replication: &[] };
    let mut uids: BTreeMap<&str, &str> = BTreeMap::new();
    for cluster in &clusters.clusters {
        let Some(source) = &cluster.source else { continue };
        if cluster.retired.as_ref().and_then(super::super::clusters::Retired::until).is_some_and(|until| until <= now) {
            continue;
        }
        let answer = answers.iter().find(|answer| answer.cluster == cluster.name);
        let spoken = answer.and_then(|answer| answer.inventory.as_ref().ok());
        let mut scope = cluster.repositories.as_deref();
        if let Some(outside) = scope.and_then(|scope| outside(cluster, scope, spoken, policy, registry, state)) {
            // Whoever uses more than it says may use anything.
            scope = None;
            let name = &cluster.name;
            let message = format!("cluster {name} uses {outside}, which its repositories leave out: they are ignored");
            evidence.findings.push(found("EC212", message));
        }
        let inventory = match answer.map(|answer| &answer.inventory) {
            Some(Ok(inventory)) => inventory,
            Some(Err((reason, message))) => {
                // What was altered says nothing about any repository.
                let scope = scope.filter(|_| *reason != RefusalReason::InventoryAltered);
                evidence.refused.push((scope, refusal(*reason, message.clone(), Some(&cluster.name))));
                continue;
            }
            None => {
                let message = format!("cluster {} gave no inventory", cluster.name);
                let refused = refusal(RefusalReason::InventoryMissing, message, Some(&cluster.name));
                evidence.refused.push((scope, refused));
                continue;
            }
        };
        if !matches!(source, ClusterSource::Manifests(_)) {
            let known = state.into_iter().flat_map(|state| &state.clusters);
            let known = known.filter(|known| !known.retired && known.name == cluster.name);
            let known = known.max_by_key(|known| known.last_inventory).map(|known| known.uid.as_str());
            evidence.identity(cluster, inventory, known, &mut uids);
            if clusters.from_file && cluster.uid.is_none() {
                let (name, uid) = (&cluster.name, inventory.uid.as_deref().unwrap_or("none"));
                let message = format!("cluster {name} is declared without uid; its inventory says {uid}");
                let remedy = format!("add  uid: {uid}  to cluster {name} in the clusters file");
                let remedy = if inventory.uid.is_some() { remedy } else { "pin the uid".to_owned() };
                evidence.findings.push(found("EC211", message).with_remedy(remedy));
            }
            evidence.unread(cluster, inventory);
            for refused in freshness(policy, cluster, inventory, now) {
                evidence.refused.push((scope, refused));
            }
        }
        let standbys = clusters.clusters.iter().filter(|other| other.standby_of.as_deref() == Some(&cluster.name));
        evidence.spoken.push(Spoken { cluster, inventory, standbys: standbys.collect() });
    }
    for answer in answers {
        if !clusters.clusters.iter().any(|cluster| cluster.name == answer.cluster) {
            let message = format!("{} is no declared cluster", answer.cluster);
            let refused = refusal(RefusalReason::ClusterUndeclared, message, Some(&answer.cluster));
            evidence.refused.push((None, refused));
        }
    }
    let declared: Vec<&str> = clusters.clusters.iter().filter_map(|cluster| cluster.uid.as_deref()).collect();
    for known in state.into_iter().flat_map(|state| &state.clusters).filter(|known| !known.retired) {
        if !uids.contains_key(known.uid.as_str()) && !declared.contains(&known.uid.as_str()) {
            let message =
                format!("cluster {} ({}) was asked before and is not declared any more", known.name, known.uid);
            evidence.refused.push((None, refusal(RefusalReason::ClusterDropped, message, Some(&known.name))));
        }
    }
    if !clusters.from_file {
        let message = "clusters are not declared in a file: one that is forgotten is not missed".to_owned();
        evidence.findings.push(found("EC211", message));
    }
    evidence.settings(policy, registry);
    evidence
}

impl<'a> Evidence<'a> {
    /// Tells what does not decide and could not be read.
    fn unread(&mut self, cluster: &Cluster, inventory: &Inventory) {
        let unread = |kind: &&KindRead| {
            kind.need == Need::Optional && matches!(kind.status, ReadStatus::Denied | ReadStatus::Failed)
        };
        for kind in inventory.kinds.iter().filter(unread) {
            let why = kind.message.as_deref().map_or(String::new(), |why| format!(": {why}"));
            let message = format!("{} of cluster {} could not be read{why}", kind.resource, cluster.name);
            self.findings.push(found("EC210", message));
        }
    }

    /// Holds an inventory's uid against the declared one, else against the one that earlier runs saw by that name.
    fn identity(
        &mut self,
        cluster: &'a Cluster,
        inventory: &'a Inventory,
        known: Option<&str>,
        uids: &mut BTreeMap<&'a str, &'a str>,
    ) {
        let mut refuse = |reason, message| self.refused.push((None, refusal(reason, message, Some(&cluster.name))));
        let uid = inventory.uid.as_deref();
        match (&cluster.uid, uid) {
            (Some(declared), Some(found)) if declared == found => {}
            (Some(declared), found) => {
                let found = found.unwrap_or("none");
                let message =
                    format!("cluster {} is declared with uid {declared}, its inventory says {found}", cluster.name);
                refuse(RefusalReason::ClusterMismatch, message);
            }
            (None, found) => {
                if let Some(known) = known.filter(|known| Some(*known) != found) {
                    let (name, found) = (&cluster.name, found.unwrap_or("none"));
                    let message = format!("cluster {name} had uid {known} before, its inventory says {found}");
                    refuse(RefusalReason::ClusterMismatch, message);
                }
            }
        }
        if let Some(uid) = uid
            && let Some(other) = uids.insert(uid, &cluster.name)
        {
            let message =
                format!("{other} and {} are the same cluster ({uid}): one of them has not been asked", cluster.name);
            refuse(RefusalReason::ClusterDuplicate, message);
        }
    }

    fn settings(&mut self, policy: &Policy, registry: &'a RegistrySnapshot) {
        match &registry.replication {
            Reading::Read(rules) => self.replication = rules,
            Reading::Failed(message) if policy.replication.assume == Assumption::Read => {
                let message = format!("replication cannot be read: {message}");
                self.refused.push((None, refusal(RefusalReason::ReplicationUnreadable, message, None)));
            }
            Reading::Failed(_) => {}
        }
        if let Reading::Failed(message) = &registry.pull_through
            && policy.pull_through_rules == Assumption::Read
        {
            let message = format!("pull-through rules cannot be read: {message}");
            self.refused.push((None, refusal(RefusalReason::PullThroughUnreadable, message, None)));
        }
    }
}

/// Returns a repository of the registry that a cluster uses, now or as earlier runs saw, and that its patterns leave out.
fn outside(
    cluster: &Cluster,
    scope: &[Pattern],
    inventory: Option<&Inventory>,
    policy: &Policy,
    registry: &RegistrySnapshot,
    state: Option<&CleanState>,
) -> Option<String> {
    let hosts = policy.hosts();
    let named =
        inventory.into_iter().flat_map(|inventory| &inventory.references).filter_map(
            |reference| match ImageRef::parse(&reference.image, &hosts) {
                ImageRef::Ecr(key) if key.registry == registry.registry => Some(key.repository),
                _ => None,
            },
        );
    let own = format!("{}/", cluster.name);
    let seen = state.into_iter().flat_map(|state| &state.repositories).filter(|repository| {
        repository.entries.iter().any(|entry| entry.last_used_by.as_ref().is_some_and(|by| by.starts_with(&own)))
    });
    let deployed = state.into_iter().flat_map(|state| &state.deployed).filter(|deployed| deployed.by.starts_with(&own));
    let deployed = deployed.flat_map(|deployed| &deployed.images);
    let deployed = deployed.filter_map(|image| image.image.split('@').next().map(ToOwned::to_owned));
    let all = named.chain(seen.map(|repository| repository.name.clone())).chain(deployed);
    all.filter(|name| !scope.iter().any(|pattern| pattern.matches(name))).min()
}

/// Returns why an inventory cannot be relied on.
fn freshness(policy: &Policy, cluster: &Cluster, inventory: &Inventory, now: Timestamp) -> Vec<Refused> {
    let mut refused = Vec::new();
    let mut refuse = |reason, message| refused.push(refusal(reason, message, Some(&cluster.name)));
    let name = &cluster.name;
    if !inventory.complete {
        let unread = inventory.kinds.iter().filter(|kind| kind.message.is_some()).map(|kind| kind.resource.as_str());
        let unread: Vec<&str> = unread.collect();
        let what = if unread.is_empty() { "something".to_owned() } else { unread.join(", ") };
        refuse(
            RefusalReason::InventoryIncomplete,
            format!("the inventory of {name} is incomplete: {what} could not be read"),
        );
    } else if weaker(&inventory.scan, &policy.scan) {
        let message = format!("the inventory of {name} was taken with a weaker scan than the policy asks for");
        refuse(RefusalReason::InventoryIncomplete, message);
    } else if inventory.hashed.is_some() {
        let message = format!("the inventory of {name} is hashed, and no salt was given");
        refuse(RefusalReason::InventoryIncomplete, message);
    }
    let age = now.duration_since(inventory.taken_at);
    let hibernates = cluster.hibernated_since.is_some() || cluster.retired.is_some();
    if age < -policy.max_clock_skew.0 {
        refuse(
            RefusalReason::InventoryStale,
            format!("the inventory of {name} lies in the future: {}", inventory.taken_at),
        );
    } else if age > policy.max_inventory_age.0 && !hibernates {
        let (at, most) = (inventory.taken_at, policy.max_inventory_age);
        refuse(RefusalReason::InventoryStale, format!("the inventory of {name} is of {at}, older than {most}"));
    }
    refused
}

/// Returns whether less was read than is asked for.
fn weaker(taken: &Scan, asked: &Scan) -> bool {
    let skips_more = taken.skip_kinds.iter().any(|kind| !asked.skip_kinds.contains(kind));
    taken.custom_resources < asked.custom_resources
        || taken.config_maps < asked.config_maps
        || taken.secrets < asked.secrets
        || taken.events < asked.events
        || taken.node_images < asked.node_images
        || skips_more
}
