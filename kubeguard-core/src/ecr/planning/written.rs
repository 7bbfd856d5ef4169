//! The plan as it is written: entries, totals, windows as dates, clusters.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::clusters::{Cluster, ClusterSource};
use super::super::plan::{
    Class, Decision, PlannedCluster, PlannedImage, PlannedInventory, PlannedReplication, PlannedRepository,
    PlannedRetired, Resolved, ResolvedRule, Summary, Vote, VoteKind,
};
use super::super::policy::{Policy, Rule, Window};
use super::super::snapshot::{ReplicationRule, RepositorySnapshot, Status};
use super::decide::{Verdicts, orders};
use super::evidence::Evidence;
use super::refusals::Refusals;
use super::usage::Judged;
use super::votes::Moment;
use crate::images::Inventory;
use crate::images::inventory::ReadStatus;

/// Votes of one kind that a plan lists per entry.
pub(super) const MOST_VOTES: usize = 10;

/// Puts the entries of all repositories together.
pub(super) fn images(
    included: &[(&RepositorySnapshot, &Rule)],
    judged: &mut [Judged<'_>],
    planned: Vec<Verdicts>,
    refusals: &Refusals,
    (spoken, asked): (usize, usize),
) -> Vec<PlannedImage> {
    let mut images = Vec::with_capacity(included.iter().map(|(repository, _)| repository.entries.len()).sum());
    for (((repository, _), judged), mut verdicts) in included.iter().zip(judged).zip(planned) {
        let orders = orders(&judged.graph, &verdicts.decisions);
        let refused = refusals.reasons.get(judged.name).map(|reason| format!("refused/{}", reason.word()));
        let mut order: Vec<usize> = (0..repository.entries.len()).collect();
        order.sort_unstable_by_key(|at| repository.entries[*at].digest);
        for at in order {
            let entry = &repository.entries[at];
            let mut kept = std::mem::take(&mut judged.votes[at]);
            if let Some(by) = refused.as_ref().filter(|_| kept.is_empty()) {
                kept.push(Vote { vote: VoteKind::Unknown, by: by.clone(), path: None, more: None });
            }
            let born = verdicts.births[at];
            let decision = verdicts.decisions[at];
            let mut because = std::mem::take(&mut verdicts.because[at]);
            if decision == Decision::Keep {
                because.clear();
            } else {
                let age =
                    born.map(|born| format!("born {}, older than {}", born.strftime("%Y-%m-%d"), judged.rule.min_age));
                because.extend(age);
                because.push(format!("no reference in {spoken} of {asked} clusters"));
                because.sort();
            }
            let index = repository.indexes.get(&entry.digest);
            let children: BTreeSet<_> =
                index.into_iter().flat_map(|index| &index.children).map(|child| child.digest).collect();
            images.push(PlannedImage {
                repository: judged.name.to_owned(),
                digest: entry.digest,
                tags: sorted(&entry.tags),
                decision,
                kept,
                candidate: verdicts.candidates[at],
                because,
                class: judged.graph.classes[at],
                media_type: entry.media_type.clone(),
                status: entry.status.clone(),
                pushed_at: entry.pushed_at,
                born,
                last_pulled_at: entry.last_pulled_at,
                archived_at: entry.last_archived_at.filter(|_| entry.status == Status::Archived),
                candidate_since: verdicts.since[at],
                bytes: entry.bytes,
                children: children.into_iter().collect(),
                subjects: judged.graph.subjects[at].clone(),
                order: orders[at],
            });
        }
    }
    images
}

fn sorted(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort_unstable();
    tags
}

/// Sorts the votes of all entries, drops doubles, and says how many more of a kind there are; `all` names entries that
/// list every vote.
pub(super) fn fold(judged: &mut Judged<'_>, all: &BTreeSet<usize>) {
    for at in 0..judged.votes.len() {
        let most = if all.contains(&at) { usize::MAX } else { MOST_VOTES };
        let folded = folded(std::mem::take(&mut judged.votes[at]), most, judged.doubts.unlisted(at));
        judged.votes[at] = folded;
    }
}

/// `doubts` counts votes of the last kind, `unknown`, that are not among the votes.
fn folded(mut votes: Vec<Vote>, most: usize, doubts: u64) -> Vec<Vote> {
    votes.sort_unstable();
    votes.dedup();
    let mut folded: Vec<Vote> = Vec::new();
    let mut of_kind = 0;
    for vote in votes {
        of_kind = if folded.last().is_some_and(|last| last.vote == vote.vote) { of_kind + 1 } else { 1 };
        if of_kind <= most {
            folded.push(vote);
        } else if let Some(last) = folded.last_mut() {
            last.more = Some(last.more.unwrap_or(0) + 1);
        }
    }
    if let Some(last) = folded.last_mut().filter(|last| doubts > 0 && last.vote == VoteKind::Unknown) {
        last.more = Some(last.more.unwrap_or(0) + doubts);
    }
    folded.shrink_to_fit();
    folded
}

pub(super) fn summary(images: &[PlannedImage], refused: usize) -> Summary {
    let mut summary =
        Summary { refused_repositories: u64::try_from(refused).unwrap_or(u64::MAX), ..Summary::default() };
    for image in images {
        summary.images += 1;
        match image.decision {
            Decision::Delete => summary.delete += 1,
            Decision::Archive => summary.archive += 1,
            Decision::Keep => summary.keep += 1,
        }
        let planned = image.decision != Decision::Keep;
        summary.candidates += u64::from(planned || image.candidate);
        if planned && image.class != Class::Index {
            summary.bytes = summary.bytes.saturating_add(image.bytes.unwrap_or(0));
        }
    }
    summary
}

pub(super) fn resolved(policy: &Policy, moment: &Moment<'_>) -> Resolved {
    let before = |window: Window| moment.now.checked_sub(window.0).unwrap_or(Timestamp::MIN);
    let optional = |window: Window| Some(window).filter(|window| !window.is_zero()).map(before);
    Resolved {
        watermark: moment.watermark.map(|(watermark, _)| watermark),
        expires: moment.now.checked_add(policy.max_plan_age.0).unwrap_or(Timestamp::MAX),
        rules: policy
            .rules
            .iter()
            .map(|rule| ResolvedRule {
                name: rule.name.clone(),
                pushed_before: before(rule.min_age),
                used_before: optional(rule.keep_used_within),
                pulled_before: optional(rule.keep_pulled_within),
            })
            .collect(),
    }
}

pub(in crate::ecr) fn planned_cluster(cluster: &Cluster) -> PlannedCluster {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let (mut context, mut inventory, mut manifests) = (None, None, Vec::new());
    match &cluster.source {
        Some(ClusterSource::Context(name)) => context = Some(name.clone()),
        Some(ClusterSource::Inventory(file)) => inventory = Some(path(file)),
        Some(ClusterSource::Manifests(files)) => manifests = files.iter().map(path).collect(),
        None => {}
    }
    PlannedCluster {
        name: cluster.name.clone(),
        context,
        inventory,
        manifests,
        uid: cluster.uid.clone(),
        standby_of: cluster.standby_of.clone(),
        registries: cluster.registries.iter().map(|registry| registry.0.to_string()).collect(),
        repositories: cluster
            .repositories
            .as_ref()
            .map(|patterns| patterns.iter().map(|pattern| pattern.text.clone()).collect()),
        hibernated_since: cluster.hibernated_since.map(|date| date.to_string()),
        retired: cluster
            .retired
            .as_ref()
            .map(|retired| PlannedRetired { at: retired.at.to_string(), wait: retired.wait.to_string() }),
        public_key: cluster.public_key.as_ref().map(path),
    }
}

pub(super) fn planned_inventory(inventory: &Inventory, cluster: &str) -> PlannedInventory {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    PlannedInventory {
        cluster: cluster.to_owned(),
        uid: inventory.uid.clone(),
        started_at: inventory.started_at,
        taken_at: inventory.taken_at,
        complete: inventory.complete,
        references: count(inventory.references.len()),
        kinds: count(inventory.kinds.len()),
        kinds_read: Some(count(inventory.kinds.iter().filter(|kind| kind.status == ReadStatus::Ok).count())),
        suspicious: count(inventory.suspicious.len()),
        sha256: inventory.sha256.clone(),
    }
}

pub(super) fn planned_replication(rule: &ReplicationRule, evidence: &Evidence<'_>) -> PlannedReplication {
    PlannedReplication {
        destination: rule.destination.to_string(),
        prefixes: rule.prefixes.clone(),
        deletes: rule.deletes,
        users: evidence.users_of(&rule.destination).to_vec(),
    }
}

pub(super) fn planned_repository(
    repository: &RepositorySnapshot,
    rule: &Rule,
    evidence: &Evidence<'_>,
) -> PlannedRepository {
    let name = &repository.repository.name;
    let archived = repository.entries.iter().filter(|entry| entry.status == Status::Archived).count();
    let covers = |rule: &&ReplicationRule| {
        !rule.deletes
            && (rule.prefixes.is_empty() || rule.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())))
    };
    let immutable = repository
        .repository
        .immutable_tags
        .then_some("tags are immutable, but a tag that was deleted can be pushed again with other content");
    let copies = evidence.replication.iter().filter(covers);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    PlannedRepository {
        name: name.clone(),
        arn: repository.repository.arn.clone(),
        rule: rule.name.clone(),
        entries: count(repository.entries.len()),
        archived: count(archived),
        notes: copies
            .map(|rule| format!("copies remain in {}", rule.destination))
            .chain(immutable.map(ToOwned::to_owned))
            .collect(),
    }
}
