//! Whether everybody who must speak has spoken: declared clusters, their inventories, the registry's own settings.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::clusters::{Cluster, ClusterSource};
use super::super::findings::found;
use super::super::plan::{PlanFinding, RefusalReason, Refused};
use super::super::policy::{Assumption, Pattern, Policy};
use super::super::snapshot::{Reading, RegistrySnapshot, ReplicationRule};
use super::super::state::CleanState;
use super::Inputs;
use super::hidden::is_readable;
use super::names::Names;
use super::usage::Spoken;
use crate::images::hashed::ALGORITHM;
use crate::images::inventory::{KindRead, Need, ReadStatus, Scan};
use crate::images::{ImageRef, Inventory, RegistryId, Salt, Use};

/// What is missing, and for which repositories.
pub(super) struct Evidence<'a> {
    /// Inventories that count.
    pub(super) spoken: Vec<Spoken<'a>>,
    /// Refusals of every repository that a cluster may use: its patterns, or all.
    pub(super) refused: Vec<(Option<&'a [Pattern]>, Refused)>,
    pub(super) findings: Vec<PlanFinding>,
    pub(super) replication: &'a [ReplicationRule],
    /// The clusters that pull from each destination.
    users: BTreeMap<&'a RegistryId, Vec<String>>,
}

fn refusal(reason: RefusalReason, message: String, by: Option<&str>) -> Refused {
    Refused { repository: String::new(), reason, message, by: by.map(ToOwned::to_owned) }
}

/// Holds the answers against what was declared.
pub(super) fn weigh<'a>(inputs: &Inputs<'a>) -> Evidence<'a> {
    let Inputs { policy, clusters, answers, registry, state, salt, now, .. } = *inputs;
    let mut evidence = Evidence {
        spoken: Vec::new(),
        refused: Vec::new(),
        findings: Vec::new(),
        replication: &[],
        users: BTreeMap::new(),
    };
    let mut uids: BTreeMap<&str, &str> = BTreeMap::new();
    let mut asked = false;
    for cluster in &clusters.clusters {
        if cluster.is_over(now) {
            continue;
        }
        let answer = answers.iter().find(|answer| answer.cluster == cluster.name);
        // Manifests tell what is wanted, not what runs.
        asked |= cluster.source.as_ref().is_some_and(|source| !matches!(source, ClusterSource::Manifests(_)));
        // A standby is not asked; what somebody says for it counts all the same.
        if cluster.source.is_none() && answer.is_none() {
            continue;
        }
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
        if inventory.hashed.is_some() {
            // Which repositories it names beyond its own list cannot be told.
            scope = None;
        }
        let standbys = clusters.clusters.iter().filter(|other| other.standby_of.as_deref() == Some(&cluster.name));
        let standbys: Vec<&Cluster> = standbys.collect();
        if !matches!(cluster.source, Some(ClusterSource::Manifests(_))) {
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
            if let Some(message) = unreadable(policy, cluster, inventory, &standbys, salt) {
                let refused = refusal(RefusalReason::InventoryIncomplete, message, Some(&cluster.name));
                evidence.refused.push((scope, refused));
            }
        }
        evidence.spoken.push(Spoken { cluster, inventory, standbys });
    }
    if !asked {
        let message = "no declared cluster can tell what runs: manifests and retired clusters do not".to_owned();
        evidence.refused.push((None, refusal(RefusalReason::InventoryMissing, message, None)));
    }
    for answer in answers {
        if !clusters.clusters.iter().any(|cluster| cluster.name == answer.cluster) {
            let (reason, message) = match &answer.inventory {
                Err((reason @ RefusalReason::InventoryAltered, message)) => (*reason, message.clone()),
                _ => (RefusalReason::ClusterUndeclared, format!("{} is no declared cluster", answer.cluster)),
            };
            let refused = refusal(reason, message, Some(&answer.cluster));
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
    evidence.users = users(inputs, &evidence);
    evidence
}

/// Returns who pulls from each destination: clusters that declare it, or, where they declare no registry, name an image of
/// it. A cluster that is not asked any more and manifests tell nobody's needs there; a standby needs what its original does.
fn users<'a>(inputs: &Inputs<'a>, evidence: &Evidence<'a>) -> BTreeMap<&'a RegistryId, Vec<String>> {
    let Inputs { policy, clusters, now, .. } = *inputs;
    let mut users: BTreeMap<&RegistryId, Vec<String>> = BTreeMap::new();
    if evidence.replication.is_empty() {
        return users;
    }
    let hosts = policy.hosts();
    let tells = |cluster: &Cluster| {
        !cluster.is_over(now) && !matches!(cluster.source, None | Some(ClusterSource::Manifests(_)))
    };
    for cluster in clusters.clusters.iter().filter(|cluster| !cluster.is_over(now)) {
        let spoken = evidence.spoken.iter().find(|spoken| spoken.cluster.name == cluster.name);
        let original = cluster.standby_of.as_deref();
        let original = clusters.clusters.iter().find(|other| Some(other.name.as_str()) == original);
        let is_told = match cluster.source {
            Some(ClusterSource::Manifests(_)) => false,
            Some(_) => true,
            None => spoken.is_some() || original.is_some_and(tells),
        };
        if !is_told {
            continue;
        }
        let named: BTreeSet<RegistryId> = if cluster.registries.is_empty() {
            let references = spoken.into_iter().flat_map(|spoken| &spoken.inventory.references);
            let images = references.map(|reference| ImageRef::parse(&reference.image, &hosts));
            images.filter_map(|image| if let ImageRef::Ecr(key) = image { Some(key.registry) } else { None }).collect()
        } else {
            cluster.registries.iter().map(|registry| registry.0.clone()).collect()
        };
        for rule in evidence.replication.iter().filter(|rule| named.contains(&rule.destination)) {
            let known = users.entry(&rule.destination).or_default();
            if known.last() != Some(&cluster.name) {
                known.push(cluster.name.clone());
            }
        }
    }
    users
}

impl<'a> Evidence<'a> {
    /// Returns the clusters that pull from a destination of the replication, in the order of their declaration.
    pub(super) fn users_of(&self, destination: &RegistryId) -> &[String] {
        self.users.get(destination).map_or(&[], Vec::as_slice)
    }

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
    // A mirror, a pull-through rule or a replica leads to a repository as well as its own name does.
    let pull_through = if let Reading::Read(rules) = &registry.pull_through { rules.as_slice() } else { &[] };
    let replication = if let Reading::Read(rules) = &registry.replication { rules.as_slice() } else { &[] };
    let mut names = Names::new(&registry.registry, policy, pull_through, replication);
    let mut used = BTreeSet::new();
    for reference in inventory.into_iter().flat_map(|inventory| &inventory.references) {
        used.extend(names.meaning(&reference.image).selectors.iter().map(|selector| selector.repository.clone()));
    }
    let own = format!("{}/", cluster.name);
    let seen = state.into_iter().flat_map(|state| &state.repositories).filter(|repository| {
        repository.entries.iter().any(|entry| entry.last_used_by.as_ref().is_some_and(|by| by.starts_with(&own)))
    });
    let deployed = state.into_iter().flat_map(|state| &state.deployed).filter(|deployed| deployed.by.starts_with(&own));
    let deployed = deployed.flat_map(|deployed| &deployed.images);
    let deployed = deployed.filter_map(|image| image.image.split('@').next().map(ToOwned::to_owned));
    let all = used.into_iter().chain(seen.map(|repository| repository.name.clone())).chain(deployed);
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
        let what = match (unread.is_empty(), inventory.coverage.unreadable) {
            (false, _) => unread.join(", "),
            (true, 0) => "something".to_owned(),
            (true, texts) => format!("{texts} texts, whose repository nobody can tell,"),
        };
        refuse(
            RefusalReason::InventoryIncomplete,
            format!("the inventory of {name} is incomplete: {what} could not be read"),
        );
    } else if weaker(&inventory.scan, &policy.scan) {
        let message = format!("the inventory of {name} was taken with a weaker scan than the policy asks for");
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

/// Returns why the names in an inventory cannot be told, where that is so.
fn unreadable(
    policy: &Policy,
    cluster: &Cluster,
    inventory: &Inventory,
    standbys: &[&Cluster],
    salt: Option<&Salt>,
) -> Option<String> {
    let name = &cluster.name;
    let Some(hashed) = &inventory.hashed else {
        let nameless = inventory.references.iter().any(|reference| reference.image.is_empty());
        return nameless.then(|| format!("the inventory of {name} has references that name nothing"));
    };
    let maps = policy.maps();
    let pins = inventory.references.iter().any(|reference| reference.r#use == Use::Declared);
    let why = if hashed.algorithm != ALGORITHM {
        format!("is hashed with {:?}, only {ALGORITHM} is known", hashed.algorithm)
    } else if salt.is_none() {
        "is hashed, and no salt was given".to_owned()
    } else if !is_readable(inventory, salt) {
        format!("is hashed with another salt ({})", hashed.salt_id)
    } else if hashed.maps_sha256 != maps.sha256() {
        "is hashed with other aliases, mirrors or rewrites than the policy has".to_owned()
    } else if inventory.scan.templated < policy.scan.templated
        || inventory.scan.text_without_tag < policy.scan.text_without_tag
    {
        // What those leave out is left out of the hashes.
        "was hashed with a weaker scan than the policy asks for".to_owned()
    } else if !standbys.is_empty() && cluster.registries.is_empty() {
        "is hashed and has a standby: which registries it pulls from must be declared".to_owned()
    } else if (pins || !standbys.is_empty()) && maps.leads_on_from_ecr() {
        "is hashed, and names of this registry lead on to others by mirrors or rewrites".to_owned()
    } else {
        return None;
    };
    Some(format!("the inventory of {name} {why}"))
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
