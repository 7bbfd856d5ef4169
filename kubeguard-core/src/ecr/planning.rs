//! From policy, inventories and one look at the registry to a plan: pure, total, the same bytes for the same inputs.
//!
//! Per repository, in this order: refusals, votes, closure, candidates, quarantine and closure again, action, caps. One
//! vote keeps an entry; nothing is planned where anybody who must speak has not spoken.

mod closure;
pub(super) mod deployed;
mod evidence;
mod graph;
mod hidden;
mod keep_list;
mod names;
mod usage;
mod votes;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use self::evidence::Evidence;
use self::graph::Graph;
use self::hidden::Hidden;
use self::names::Names;
use self::usage::{Judged, Usage};
use self::votes::{History, Moment};
use super::clusters::{Cluster, ClusterSource, Clusters};
use super::plan::{
    Class, Decision, Plan, PlanFinding, PlanRemedy, PlannedCluster, PlannedImage, PlannedInventory, PlannedReplication,
    PlannedRepository, PlannedRetired, RefusalReason, Refused, Resolved, ResolvedRule, Summary, Vote, VoteKind,
};
use super::policy::{Action, Cap, Policy, Rule, Window};
use super::snapshot::{ProblemKind, Reading, RegistrySnapshot, RepositorySnapshot, Status};
use super::state::CleanState;
use crate::images::{Inventory, Salt};
pub use keep_list::KeptImage;

/// Votes of one kind that a plan lists per entry.
const MOST_VOTES: usize = 10;

/// What one declared cluster answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its label.
    pub cluster: String,
    /// Its inventory, or why there is none, in words.
    pub inventory: Result<Inventory, (RefusalReason, String)>,
}

/// Everything a plan rests on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What people decided.
    pub policy: &'a Policy,
    /// Who must speak.
    pub clusters: &'a Clusters,
    /// What they said; at most one per cluster.
    pub answers: &'a [Answer],
    /// The registry.
    pub registry: &'a RegistrySnapshot,
    /// What earlier runs saw; `None` on the first, which deletes nothing while there is a quarantine.
    pub state: Option<&'a CleanState>,
    /// Lines of keep lists.
    pub keep_lists: &'a [KeptImage],
    /// What names in hashed inventories are hidden with; without it such an inventory is incomplete.
    pub salt: Option<&'a Salt>,
    /// The registry's clock.
    pub now: Timestamp,
    /// As in `kubeguard 0.4.0`.
    pub tool: &'a str,
    /// The registry is a saved one.
    pub offline: bool,
}

/// Makes the plan. It is written even when everything is refused.
#[must_use]
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let Inputs { policy, clusters, registry, state, now, .. } = *inputs;
    let mut evidence = evidence::weigh(inputs);
    let included = included(policy, registry);
    let rules: Vec<(&RepositorySnapshot, Result<Rule, String>)> =
        included.iter().map(|(repository, rule)| (*repository, safer(rule, repository))).collect();
    let effective: Vec<Rule> =
        included.iter().zip(&rules).map(|((_, rule), (_, safer))| safer.as_ref().unwrap_or(rule).clone()).collect();
    let mut judged: Vec<Judged<'_>> = included
        .iter()
        .zip(&effective)
        .map(|((repository, _), rule)| Judged {
            name: &repository.repository.name,
            rule,
            graph: Graph::new(repository, rule),
            configs: &repository.configs,
            votes: vec![Vec::new(); repository.entries.len()],
            direct: BTreeSet::new(),
        })
        .collect();

    let pull_through = match &registry.pull_through {
        Reading::Read(rules) => rules.as_slice(),
        Reading::Failed(_) => &[],
    };
    let mut names = Names::new(&registry.registry, policy, pull_through, evidence.replication);
    let hidden =
        Hidden::new(inputs.salt, &evidence.spoken, &judged, &registry.registry, pull_through, evidence.replication);
    let mut usage = usage::cast(&evidence.spoken, inputs.keep_lists, &mut judged, &mut names, &hidden, policy);
    deployed::cast(state, &mut judged);
    let watermark = usage::oldest(&evidence.spoken)
        .and_then(|(start, cluster)| Some((start.checked_sub(policy.inventory_margin.0).ok()?, cluster)));
    let moment =
        Moment { now, policy, watermark, cached: pull_through.iter().map(|rule| rule.prefix.as_str()).collect() };

    let mut refusals = Refusals::default();
    for ((repository, rule), judged) in rules.iter().zip(&judged) {
        refusals.of_repository(repository, rule.as_ref().err(), judged.rule, registry, policy);
        refusals.of_replicas(judged.name, &evidence, &usage, policy, clusters);
    }
    refusals.of_evidence(&evidence, &judged);
    refusals.of_usage(&usage, &judged);

    let mut planned = Vec::new();
    for (repository, judged) in included.iter().map(|(repository, _)| *repository).zip(&mut judged) {
        let history = state.into_iter().flat_map(|state| &state.repositories);
        let history = History::new(history.into_iter().find(|history| history.name == judged.name));
        if votes::cast(judged, repository, &history, &moment) {
            usage.findings.insert(foreign_pulls(judged.name));
        }
        closure::close(judged);
        planned.push(decide(judged, repository, &history, &moment, &mut refusals));
        judged.votes.iter_mut().for_each(Vec::shrink_to_fit);
    }
    refusals.of_the_run(&mut planned, policy);
    let (spoken, asked) = (evidence.spoken.len(), clusters.clusters.len());
    let images = images(&included, &mut judged, planned, &refusals, (spoken, asked));

    let mut findings: BTreeSet<_> = usage.findings;
    findings.extend(evidence.findings.drain(..));
    let refused: Vec<Refused> = refusals.rows.into_iter().collect();
    let refused_names: BTreeSet<&str> = refused.iter().map(|refused| refused.repository.as_str()).collect();
    let summary = summary(&images, refused_names.len());
    let mut plan = Plan {
        api_version: Plan::API_VERSION.to_owned(),
        kind: Plan::KIND.to_owned(),
        created_at: now,
        sha256: String::new(),
        tool: inputs.tool.to_owned(),
        registry: registry.registry.clone(),
        caller: registry.caller.clone(),
        offline: inputs.offline,
        policy: policy.clone(),
        policy_sha256: policy.hash(),
        clusters: clusters.clusters.iter().map(planned_cluster).collect(),
        resolved: resolved(policy, &moment),
        inventories: evidence
            .spoken
            .iter()
            .map(|spoken| planned_inventory(spoken.inventory, &spoken.cluster.name))
            .collect(),
        replication: evidence.replication.iter().map(|rule| planned_replication(rule, clusters)).collect(),
        foreign: usage.foreign.into_iter().collect(),
        repositories: included
            .iter()
            .map(|(repository, rule)| planned_repository(repository, rule, &evidence))
            .collect(),
        refused,
        findings: findings.into_iter().collect(),
        images,
        summary,
    };
    plan.sha256 = plan.hash();
    plan
}

/// Returns the repositories that a rule is for, by name, each with the first such rule.
fn included<'a>(policy: &'a Policy, registry: &'a RegistrySnapshot) -> Vec<(&'a RepositorySnapshot, &'a Rule)> {
    let opted_in = |repository: &RepositorySnapshot| {
        policy.opt_in_tag.is_empty() || repository.aws_tags.get(&policy.opt_in_tag).is_some_and(|value| value == "true")
    };
    let repositories = registry.repositories.iter().filter(|repository| opted_in(repository));
    let mut included: Vec<_> = repositories
        .filter_map(|repository| Some((repository, policy.rule_for(&repository.repository.name)?)))
        .collect();
    included.sort_by(|(a, _), (b, _)| a.repository.name.cmp(&b.repository.name));
    included
}

/// Applies a repository's own AWS tags, which may only make its rule safer.
///
/// # Errors
/// In words, for a value that cannot be read.
fn safer(rule: &Rule, repository: &RepositorySnapshot) -> Result<Rule, String> {
    let mut rule = rule.clone();
    let tag = |name: &str| repository.aws_tags.get(&format!("kubeguard/{name}"));
    let wrong = |name: &str, value: &str| format!("AWS tag kubeguard/{name} has the value {value:?}");
    if let Some(value) = tag("min-age") {
        let window: Window = value.parse().map_err(|_| wrong("min-age", value))?;
        rule.min_age = rule.min_age.max(window);
        rule.untagged_min_age = rule.untagged_min_age.max(window);
    }
    if let Some(value) = tag("keep-newest") {
        let number: u64 = value.parse().map_err(|_| wrong("keep-newest", value))?;
        rule.keep_newest = rule.keep_newest.max(number);
    }
    if let Some(value) = tag("action") {
        let action: Action = serde_json::from_value(value.as_str().into()).map_err(|_| wrong("action", value))?;
        rule.action = rule.action.min(action);
    }
    match tag("keep").map(String::as_str) {
        None | Some("true" | "false") => Ok(rule),
        Some(value) => Err(wrong("keep", value)),
    }
}

/// Who refuses what; by repository.
#[derive(Default)]
struct Refusals {
    rows: BTreeSet<Refused>,
    /// The first reason of each refused repository.
    reasons: BTreeMap<String, RefusalReason>,
}

impl Refusals {
    fn refuse(&mut self, repository: &str, refused: &Refused) {
        let refused = Refused { repository: repository.to_owned(), ..refused.clone() };
        let reason = self.reasons.entry(repository.to_owned()).or_insert(refused.reason);
        *reason = refused.reason.min(*reason);
        self.rows.insert(refused);
    }

    fn because(&mut self, repository: &str, reason: RefusalReason, message: impl Into<String>) {
        let refused = Refused { repository: String::new(), reason, message: message.into(), by: None };
        self.refuse(repository, &refused);
    }

    fn of_repository(
        &mut self,
        repository: &RepositorySnapshot,
        tags: Option<&String>,
        rule: &Rule,
        registry: &RegistrySnapshot,
        policy: &Policy,
    ) {
        let name = repository.repository.name.as_str();
        if let Some(problem) = &repository.problem {
            let reason = match problem.kind {
                ProblemKind::AccessDenied => RefusalReason::AccessDenied,
                ProblemKind::RegistryUnreadable => RefusalReason::RegistryUnreadable,
                ProblemKind::ManifestUnreadable => RefusalReason::ManifestUnreadable,
            };
            self.because(name, reason, &problem.message);
        }
        if let Some(problem) = tags {
            self.because(name, RefusalReason::RepositoryTagInvalid, problem);
        }
        if rule.keep_pulled_within.is_zero() {
            return;
        }
        let trusted = &policy.pull_times.trusted_exclusions;
        match &registry.exclusions {
            Reading::Failed(message) => {
                let message = format!("which roles leave no pull time cannot be read: {message}");
                self.because(name, RefusalReason::PullTimesUntrusted, message);
            }
            Reading::Read(arns) => {
                let own = |arn: &str| role_of(&registry.caller).is_some_and(|role| role_of(arn) == Some(role));
                let strange = arns.iter().find(|arn| !own(arn) && !trusted.iter().any(|pattern| pattern.matches(arn)));
                if let Some(arn) = strange {
                    let message = format!("pulls by {arn} leave no pull time");
                    self.because(name, RefusalReason::PullTimesUntrusted, message);
                }
            }
        }
    }

    /// What is deleted here is deleted there: whoever pulls there must be known.
    fn of_replicas(
        &mut self,
        name: &str,
        evidence: &Evidence<'_>,
        usage: &Usage,
        policy: &Policy,
        clusters: &Clusters,
    ) {
        for rule in evidence.replication.iter().filter(|rule| rule.deletes) {
            let covers =
                rule.prefixes.is_empty() || rule.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
            let nobody = policy.replication.no_users.iter().any(|known| known.0 == rule.destination);
            if covers && !nobody && users_of(&rule.destination, clusters).is_empty() {
                let message = format!(
                    "deletions reach {}, and no declared cluster pulls there ({} use the repository)",
                    rule.destination,
                    usage.used.get(name).map_or(0, BTreeSet::len)
                );
                self.because(name, RefusalReason::ReplicaUsersUnknown, message);
            }
        }
    }

    fn of_evidence(&mut self, evidence: &Evidence<'_>, judged: &[Judged<'_>]) {
        for (scope, refused) in &evidence.refused {
            for repository in judged {
                let concerned = scope.is_none_or(|scope| scope.iter().any(|pattern| pattern.matches(repository.name)));
                if concerned {
                    self.refuse(repository.name, refused);
                }
            }
        }
    }

    fn of_usage(&mut self, usage: &Usage, judged: &[Judged<'_>]) {
        for refused in &usage.refused {
            for repository in
                judged.iter().filter(|judged| refused.repository == "*" || refused.repository == judged.name)
            {
                self.refuse(repository.name, refused);
            }
        }
    }

    /// The cap of the whole run: beyond it nothing is planned at all.
    fn of_the_run(&mut self, planned: &mut [Verdicts], policy: &Policy) {
        let count = planned.iter().map(Verdicts::planned).sum::<usize>();
        let Cap::Entries(most) = policy.caps.per_run else { return };
        if u64::try_from(count).is_ok_and(|count| count <= most) {
            return;
        }
        for verdicts in planned {
            let message = format!("{count} entries would go in this run, caps.perRun allows {most}");
            self.because(&verdicts.repository, RefusalReason::CapExceeded, message);
            verdicts.refuse();
        }
    }
}

/// Tells of pulls that nobody declared explains.
fn foreign_pulls(repository: &str) -> PlanFinding {
    PlanFinding {
        rule: "EC213".to_owned(),
        severity: "medium".to_owned(),
        message: format!("{repository} was pulled from in the last 30 days by nobody whom an inventory names"),
        remedy: PlanRemedy {
            text: "find who pulls: declare that cluster, or list its images in pins.keepLists".to_owned(),
        },
    }
}

/// Returns the name of the role in an ARN of a role, or of a session of it.
fn role_of(arn: &str) -> Option<&str> {
    let (_, resource) = arn.rsplit_once(':')?;
    let mut parts = resource.split('/');
    match parts.next()? {
        "assumed-role" => parts.next(),
        "role" => parts.next_back(),
        _ => None,
    }
}

/// Returns the clusters that pull from a registry, as they declare it.
fn users_of(registry: &crate::images::RegistryId, clusters: &Clusters) -> Vec<String> {
    let pulls = |cluster: &&Cluster| cluster.registries.iter().any(|known| known.0 == *registry);
    clusters.clusters.iter().filter(pulls).map(|cluster| cluster.name.clone()).collect()
}

/// What becomes of the entries of one repository.
struct Verdicts {
    repository: String,
    decisions: Vec<Decision>,
    /// No vote but that of the quarantine, a refusal or a rule that only reports.
    candidates: Vec<bool>,
    because: Vec<Vec<String>>,
    births: Vec<Option<Timestamp>>,
}

impl Verdicts {
    fn planned(&self) -> usize {
        self.decisions.iter().filter(|decision| **decision != Decision::Keep).count()
    }

    fn refuse(&mut self) {
        for (decision, candidate) in self.decisions.iter_mut().zip(&mut self.candidates) {
            if *decision != Decision::Keep {
                (*decision, *candidate) = (Decision::Keep, true);
            }
        }
    }
}

/// Decides over one repository whose votes are cast and closed.
fn decide(
    judged: &mut Judged<'_>,
    repository: &RepositorySnapshot,
    history: &History<'_>,
    moment: &Moment<'_>,
    refusals: &mut Refusals,
) -> Verdicts {
    let candidates: Vec<bool> = judged.votes.iter().map(Vec::is_empty).collect();
    let mut because = vec![Vec::new(); candidates.len()];
    for at in (0..candidates.len()).filter(|at| candidates[*at]) {
        match quarantine(judged.rule, history.of(repository.entries[at].digest), moment) {
            Ok(said) => because[at].extend(said),
            Err(said) => judged.vote(at, VoteKind::RecentUse, said, None),
        }
    }
    closure::close(judged);
    let refused = refusals.reasons.contains_key(judged.name);
    let decisions = repository.entries.iter().enumerate().map(|(at, entry)| {
        if refused || !judged.votes[at].is_empty() {
            return Decision::Keep;
        }
        match (judged.rule.action, &entry.status) {
            (Action::Report, _) => Decision::Keep,
            (Action::Archive, _) | (Action::ArchiveThenDelete, Status::Active) => Decision::Archive,
            (Action::ArchiveThenDelete, _) => {
                let since = entry.last_archived_at.map(|archived| moment.now.duration_since(archived));
                if since.is_some_and(|since| since >= judged.rule.archive_for.0) {
                    Decision::Delete
                } else {
                    Decision::Keep
                }
            }
            (Action::Delete, _) => Decision::Delete,
        }
    });
    let decisions: Vec<Decision> = decisions.collect();
    let candidates =
        candidates.iter().zip(&decisions).map(|(candidate, decision)| *candidate && *decision == Decision::Keep);
    let births = (0..decisions.len()).map(|at| votes::born(repository, at, history)).collect();
    let (repository_name, candidates) = (judged.name.to_owned(), candidates.collect());
    let mut verdicts = Verdicts { repository: repository_name, candidates, decisions, because, births };
    let (planned, all) = (verdicts.planned(), repository.entries.len());
    let caps = &moment.policy.caps;
    let exceeded = match (caps.share, caps.per_repository) {
        (Cap::Percent(percent), _) if planned * 100 > all * usize::from(percent) => {
            Some(format!("{planned} of {all} entries would go, caps.share allows {percent}%"))
        }
        (_, Cap::Entries(most)) if u64::try_from(planned).is_ok_and(|planned| planned > most) => {
            Some(format!("{planned} entries would go, caps.perRepository allows {most}"))
        }
        _ => None,
    };
    if let Some(message) = exceeded {
        refusals.because(judged.name, RefusalReason::CapExceeded, message);
        verdicts.refuse();
    }
    verdicts
}

/// Says since when an entry has been a candidate, or, as an error, that it has not been one for long enough.
fn quarantine(
    rule: &Rule,
    history: Option<&super::state::EntryHistory>,
    moment: &Moment<'_>,
) -> Result<Option<String>, String> {
    let Some(quarantine) = rule.quarantine else { return Ok(None) };
    let row = history.and_then(|history| {
        let since = history.candidate_since?;
        let used = history.last_used.is_some_and(|used| used > since);
        (!used).then(|| (since, history.candidate_plans.iter().filter(|at| **at != moment.now).count() + 1))
    });
    let (since, plans) = row.unwrap_or((moment.now, 1));
    let from = since.checked_add(quarantine.apart.0).unwrap_or(Timestamp::MAX);
    let enough = u64::try_from(plans).is_ok_and(|plans| plans >= quarantine.plans);
    if enough && moment.now >= from {
        return Ok(Some(format!("candidate since {} in {plans} plans", since.strftime("%Y-%m-%d"))));
    }
    Err(format!(
        "quarantine: candidate since {since}, may go from {from} in plan {} of {}",
        quarantine.plans.max(1),
        quarantine.plans
    ))
}

/// Puts the entries of all repositories together.
fn images(
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
            let mut kept = folded(std::mem::take(&mut judged.votes[at]));
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

/// Sorts votes, drops doubles, and says how many more of a kind there are.
fn folded(mut votes: Vec<Vote>) -> Vec<Vote> {
    votes.sort_unstable();
    votes.dedup();
    let mut folded: Vec<Vote> = Vec::new();
    let mut of_kind = 0;
    for vote in votes {
        of_kind = if folded.last().is_some_and(|last| last.vote == vote.vote) { of_kind + 1 } else { 1 };
        if of_kind <= MOST_VOTES {
            folded.push(vote);
        } else if let Some(last) = folded.last_mut() {
            last.more = Some(last.more.unwrap_or(0) + 1);
        }
    }
    folded.shrink_to_fit();
    folded
}

/// Returns for every planned entry how many steps must be done before it, counted from 1: parents before children,
/// subjects before what is attached to them.
fn orders(graph: &Graph<'_>, decisions: &[Decision]) -> Vec<Option<u64>> {
    let is_planned = |at: &usize| decisions[*at] != Decision::Keep;
    let mut orders: Vec<Option<u64>> = vec![None; decisions.len()];
    // Depth first, each entry after everything that must go before it. An entry that is met again on the way to itself
    // closes a circle through a subject, whose edge is then left out.
    let mut on_the_way = BTreeSet::new();
    for start in (0..decisions.len()).filter(is_planned) {
        let mut open = vec![(start, false)];
        while let Some((at, ready)) = open.pop() {
            if orders[at].is_some() {
                continue;
            }
            let subjects = graph.subjects[at].iter().filter_map(|subject| graph.by_digest(*subject));
            let before: Vec<usize> = graph.parents[at].iter().copied().chain(subjects).filter(is_planned).collect();
            if ready {
                let highest = before.iter().filter_map(|other| orders[*other]).max();
                orders[at] = Some(highest.unwrap_or(0) + 1);
                on_the_way.remove(&at);
                continue;
            }
            on_the_way.insert(at);
            open.push((at, true));
            open.extend(before.into_iter().filter(|other| !on_the_way.contains(other)).map(|other| (other, false)));
        }
    }
    orders
}

fn summary(images: &[PlannedImage], refused: usize) -> Summary {
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

fn resolved(policy: &Policy, moment: &Moment<'_>) -> Resolved {
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

/// A declared cluster, as plans have it.
pub(super) fn planned_cluster(cluster: &Cluster) -> PlannedCluster {
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

fn planned_inventory(inventory: &Inventory, cluster: &str) -> PlannedInventory {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    PlannedInventory {
        cluster: cluster.to_owned(),
        uid: inventory.uid.clone(),
        started_at: inventory.started_at,
        taken_at: inventory.taken_at,
        complete: inventory.complete,
        references: count(inventory.references.len()),
        kinds: count(inventory.kinds.len()),
        suspicious: count(inventory.suspicious.len()),
        sha256: inventory.sha256.clone(),
    }
}

fn planned_replication(rule: &super::snapshot::ReplicationRule, clusters: &Clusters) -> PlannedReplication {
    PlannedReplication {
        destination: rule.destination.to_string(),
        prefixes: rule.prefixes.clone(),
        deletes: rule.deletes,
        users: users_of(&rule.destination, clusters),
    }
}

fn planned_repository(repository: &RepositorySnapshot, rule: &Rule, evidence: &Evidence<'_>) -> PlannedRepository {
    let name = &repository.repository.name;
    let archived = repository.entries.iter().filter(|entry| entry.status == Status::Archived).count();
    let covers = |rule: &&super::snapshot::ReplicationRule| {
        !rule.deletes
            && (rule.prefixes.is_empty() || rule.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())))
    };
    let copies = evidence.replication.iter().filter(covers);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    PlannedRepository {
        name: name.clone(),
        arn: repository.repository.arn.clone(),
        rule: rule.name.clone(),
        entries: count(repository.entries.len()),
        archived: count(archived),
        notes: copies.map(|rule| format!("copies remain in {}", rule.destination)).collect(),
    }
}
