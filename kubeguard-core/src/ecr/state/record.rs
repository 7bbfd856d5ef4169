//! What a plan teaches for the next: sightings, uses, candidates. Recording the same plan twice adds nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::{
    CleanState, Deletion, Deployed, DeployedImage, EntryHistory, KnownCluster, RecordedPlan, RepositoryHistory,
    TagHistory,
};
use crate::ecr::apply::{Applied, Item, ItemState, SkipReason};
use crate::ecr::plan::{Decision, Plan, PlannedImage, RefusalReason, VoteKind};
use crate::ecr::planning::Inputs;
use crate::ecr::planning::deployed::{Running, running};
use crate::ecr::planning::recorded::{self, Recorded};
use crate::error::{Error, Result};
use crate::images::{Digest, RegistryId};

/// An entry that is gone from the registry, or a workload that is gone from its cluster, is forgotten after this time.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Images of one workload container that are remembered, where no rule asks for more.
const MOST_DEPLOYED: u64 = 50;

impl CleanState {
    /// Version of the file.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the file.
    pub const KIND: &'static str = "CleanState";

    /// Begins with nothing seen.
    #[must_use]
    pub fn new(registry: RegistryId, now: Timestamp) -> Self {
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            since: now,
            updated_at: now,
            registry,
            clusters: Vec::new(),
            plans: Vec::new(),
            repositories: Vec::new(),
            uses: Vec::new(),
            deployed: Vec::new(),
            deleted: Vec::new(),
        }
    }

    /// Reads a state file of a registry; `file` is only named in errors.
    ///
    /// # Errors
    /// [`Error::File`] for a file that is damaged, of another version or of another registry: never "nothing seen".
    pub fn parse(file: &str, text: &str, registry: &RegistryId) -> Result<Self> {
        let wrong = |line: usize, column: usize, problem: String| Error::File {
            file: file.to_owned(),
            line: u64::try_from(line.max(1)).unwrap_or(1),
            column: u64::try_from(column.max(1)).unwrap_or(1),
            problem,
            hint: "restore it from a backup; moving it away begins every quarantine anew".to_owned(),
        };
        let state: Self = serde_json::from_str(text)
            .map_err(|error| wrong(error.line(), error.column(), format!("the state is damaged: {error}")))?;
        if (state.api_version.as_str(), state.kind.as_str()) != (Self::API_VERSION, Self::KIND) {
            let found = format!("{}, {}", state.api_version, state.kind);
            return Err(wrong(1, 1, format!("this is no state of version {}: {found}", Self::API_VERSION)));
        }
        if state.registry != *registry {
            return Err(wrong(1, 1, format!("this is the state of {}, not of {registry}", state.registry)));
        }
        Ok(state)
    }

    /// Returns the state after a plan that was made of these inputs.
    ///
    /// A plan in which a repository was refused for its evidence neither counts for the quarantine there nor ends it.
    /// Plans may be recorded in another order than they were made in: an older one than the newest known adds what it
    /// saw in use, ends the quarantines that its votes end, and counts for none.
    #[must_use]
    pub fn after(&self, plan: &Plan, inputs: &Inputs<'_>) -> Self {
        let now = plan.created_at;
        let mut state = self.clone();
        let late = state.plans.last().is_some_and(|last| last.at > now);
        state.updated_at = state.updated_at.max(now);
        let place = state.plans.partition_point(|known| known.at < now);
        if state.plans.get(place).is_none_or(|known| known.at != now) {
            state.plans.insert(place, RecordedPlan { sha256: plan.sha256.clone(), at: now });
        }
        state.clusters(plan);
        // A cap says nothing against what was found.
        let evidence = plan.refused.iter().filter(|refused| refused.reason != RefusalReason::CapExceeded);
        let refused: BTreeSet<&str> = evidence.map(|refused| refused.repository.as_str()).collect();
        let recorded = recorded::uses(&Inputs { state: Some(self), ..*inputs });
        let mut repositories: BTreeMap<String, BTreeMap<_, EntryHistory>> = std::mem::take(&mut state.repositories)
            .into_iter()
            .map(|repository| {
                let entries = repository.entries.into_iter().map(|entry| (entry.digest, entry));
                (repository.name, entries.collect())
            })
            .collect();
        for image in &plan.images {
            let entries = repositories.entry(image.repository.clone()).or_default();
            let known = entries.get(&image.digest);
            let used = recorded.get(&image.repository).and_then(|entries| entries.get(&image.digest));
            let evidence = match (refused.contains(image.repository.as_str()), late) {
                (true, _) => Row::Untouched,
                (false, true) => Row::Late,
                (false, false) => Row::Next,
            };
            let entry = seen(known, image, used, evidence, now);
            entries.insert(image.digest, entry);
        }
        for repository in &inputs.registry.repositories {
            let Some(entries) = repositories.get_mut(&repository.repository.name) else { continue };
            for digest in &repository.manifests_read {
                if let Some(entry) = entries.get_mut(digest) {
                    entry.manifest_read_at = entry.manifest_read_at.max(Some(inputs.registry.taken_at));
                }
            }
        }
        let remembered =
            |entry: &EntryHistory| entry.last_seen.is_none_or(|seen| now.duration_since(seen) < FORGOTTEN_AFTER);
        state.repositories = repositories
            .into_iter()
            .map(|(name, entries)| RepositoryHistory {
                name,
                entries: entries.into_values().filter(remembered).collect(),
            })
            .filter(|repository| !repository.entries.is_empty())
            .collect();
        let asked = inputs.policy.rules.iter().map(|rule| rule.keep_deployed).max().unwrap_or(0);
        let most = usize::try_from(asked.max(MOST_DEPLOYED)).unwrap_or(usize::MAX);
        state.deployed(running(inputs), most, now);
        state.uses.retain(|used| now.duration_since(used.last) < FORGOTTEN_AFTER);
        state.deleted.retain(|deletion| now.duration_since(deletion.at) < FORGOTTEN_AFTER);
        state
    }

    /// Returns the state after a plan was carried out, or as much of it as could be: what is deleted is remembered as
    /// such, and what turned out to be in use begins its quarantine anew.
    #[must_use]
    pub fn after_apply(&self, applied: &Applied) -> Self {
        let now = applied.ended_at;
        let mut state = self.clone();
        state.updated_at = state.updated_at.max(now);
        let items: HashMap<(&str, Digest), &Item> =
            applied.items.iter().map(|item| ((item.repository.as_str(), item.digest), item)).collect();
        let known = self.repositories.iter().flat_map(|repository| {
            repository.entries.iter().map(|entry| ((repository.name.as_str(), entry.digest), entry))
        });
        let known: HashMap<(&str, Digest), &EntryHistory> = known.collect();
        let is_deleted = |item: &&Item| item.state == ItemState::Deleted;
        let deleted: HashMap<(&str, Digest), &Item> =
            items.iter().filter(|(_, item)| is_deleted(item)).map(|(place, item)| (*place, *item)).collect();
        // What is deleted again was pushed again in between; an apply that goes on tells the same deletion again.
        state.deleted.retain(|deletion| {
            deletion.plan == applied.plan || !deleted.contains_key(&(deletion.repository.as_str(), deletion.digest))
        });
        let told: HashSet<(String, Digest)> =
            state.deleted.iter().map(|deletion| (deletion.repository.clone(), deletion.digest)).collect();
        for item in deleted.values().filter(|item| !told.contains(&(item.repository.clone(), item.digest))) {
            let known = known.get(&(item.repository.as_str(), item.digest));
            state.deleted.push(Deletion {
                repository: item.repository.clone(),
                digest: item.digest,
                tags: item.tags.clone(),
                at: now,
                plan: applied.plan.clone(),
                last_used: known.and_then(|known| known.last_used),
                last_used_by: known.and_then(|known| known.last_used_by.clone()),
            });
        }
        for repository in &mut state.repositories {
            let name = repository.name.as_str();
            repository.entries.retain(|entry| !deleted.contains_key(&(name, entry.digest)));
            for entry in &mut repository.entries {
                let item = items.get(&(name, entry.digest));
                if let Some(item) = item.filter(|item| item.reason == Some(SkipReason::InUse)) {
                    entry.last_used = Some(now);
                    entry.last_used_by.clone_from(&item.by);
                }
            }
        }
        state.deleted.sort();
        state.repositories.retain(|repository| !repository.entries.is_empty());
        state
    }

    /// Adds what workloads have now behind what they had, and forgets what is too far back.
    fn deployed(&mut self, running: BTreeSet<Running>, most: usize, now: Timestamp) {
        let mut containers: BTreeMap<(String, String), Vec<DeployedImage>> = std::mem::take(&mut self.deployed)
            .into_iter()
            .map(|deployed| ((deployed.by, deployed.container), deployed.images))
            .collect();
        for Running { by, container, image } in running {
            let images = containers.entry((by, container)).or_default();
            match images.iter_mut().find(|known| known.image == image) {
                Some(known) => known.last = known.last.max(now),
                None => images.push(DeployedImage { image, first: now, last: now }),
            }
        }
        for ((by, container), mut images) in containers {
            images.sort_by(|a, b| (a.last, a.first, &a.image).cmp(&(b.last, b.first, &b.image)));
            images.drain(..images.len().saturating_sub(most));
            if images.last().is_some_and(|newest| now.duration_since(newest.last) < FORGOTTEN_AFTER) {
                self.deployed.push(Deployed { by, container, images });
            }
        }
    }

    fn clusters(&mut self, plan: &Plan) {
        for inventory in &plan.inventories {
            let Some(uid) = &inventory.uid else { continue };
            match self.clusters.iter_mut().find(|known| known.uid == *uid) {
                Some(known) => {
                    known.name.clone_from(&inventory.cluster);
                    known.last_inventory = known.last_inventory.max(inventory.taken_at);
                }
                None => self.clusters.push(KnownCluster {
                    uid: uid.clone(),
                    name: inventory.cluster.clone(),
                    first_seen: plan.created_at,
                    last_inventory: inventory.taken_at,
                    retired: false,
                }),
            }
        }
        let over = |name: &str| {
            plan.clusters.iter().any(|cluster| cluster.name == name && cluster.retired.is_some())
                && !plan.inventories.iter().any(|inventory| inventory.cluster == name)
        };
        for known in &mut self.clusters {
            known.retired |= over(&known.name);
        }
        self.clusters.sort_by(|a, b| a.uid.cmp(&b.uid));
    }
}

/// What a plan means for the row of plans in which an entry is a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// It goes on with this plan, or ends.
    Next,
    /// A newer plan is in it already: it may end before that one.
    Late,
    /// The plan says nothing of it.
    Untouched,
}

/// Returns what is known of an entry after a plan has seen it.
fn seen(
    known: Option<&EntryHistory>,
    image: &PlannedImage,
    recorded: Option<&Recorded>,
    row: Row,
    now: Timestamp,
) -> EntryHistory {
    let first = known.is_none();
    let mut entry = known.cloned().unwrap_or_else(|| EntryHistory {
        digest: image.digest,
        tags: Vec::new(),
        last_used: None,
        last_used_by: None,
        candidate_since: None,
        candidate_plans: Vec::new(),
        manifest_read_at: None,
        last_seen: None,
    });
    // What a newer look has seen of its tags holds.
    let newest = entry.last_seen.is_none_or(|seen| seen <= now);
    entry.last_seen = entry.last_seen.max(Some(now));
    if newest {
        entry.tags.retain(|known| image.tags.contains(&known.tag));
    }
    for tag in image.tags.iter().filter(|_| newest) {
        if !entry.tags.iter().any(|known| known.tag == *tag) {
            // What was there when we first looked was not put there today.
            let first_seen = if first { image.pushed_at.unwrap_or(now) } else { now };
            entry.tags.push(TagHistory { tag: tag.clone(), first_seen });
        }
    }
    entry.tags.sort_by(|a, b| a.tag.cmp(&b.tag));
    if let Some(used) = recorded.filter(|used| entry.last_used.is_none_or(|known| known < used.last)) {
        entry.last_used = Some(used.last);
        entry.last_used_by = Some(used.by.clone());
    }
    let used = image.kept.iter().find(|vote| matches!(vote.vote, VoteKind::InUse | VoteKind::Standby));
    if let Some(vote) = used.filter(|_| entry.last_used.is_none_or(|known| known <= now)) {
        entry.last_used = Some(now);
        entry.last_used_by = Some(vote.by.clone());
    }
    let candidate = image.candidate || image.decision != Decision::Keep;
    if row == Row::Late && !candidate {
        entry.candidate_plans.retain(|plan| *plan > now);
        entry.candidate_since = entry.candidate_plans.first().copied();
    }
    if row != Row::Next {
        return entry;
    }
    if candidate {
        // Whoever used it since has begun the row anew.
        if entry.candidate_since.is_some_and(|since| entry.last_used.is_some_and(|used| used > since)) {
            entry.candidate_since = None;
            entry.candidate_plans.clear();
        }
        entry.candidate_since.get_or_insert(now);
        if entry.candidate_plans.last() != Some(&now) {
            entry.candidate_plans.push(now);
        }
    } else {
        entry.candidate_since = None;
        entry.candidate_plans.clear();
    }
    entry
}
