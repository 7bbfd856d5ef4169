//! From policy, inventories and one look at the registry to a plan: pure, total, the same bytes for the same inputs.
//!
//! Per repository, in this order: refusals, votes, closure, candidates, quarantine and closure again, action, caps. One
//! vote keeps an entry; nothing is planned where anybody who must speak has not spoken.

mod bare;
mod closure;
mod decide;
pub(super) mod deployed;
mod doubts;
mod evidence;
mod graph;
mod hidden;
mod idle;
mod keep_list;
pub(super) mod names;
pub(super) mod noticed;
pub(super) mod recorded;
mod refusals;
mod usage;
mod votes;
mod written;

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use self::decide::decide;
use self::hidden::Hidden;
use self::names::Names;
use self::refusals::Refusals;
use self::usage::Judged;
use self::votes::{History, Moment};
use self::written::{fold, images, planned_inventory, planned_replication, planned_repository, resolved, summary};
use super::clusters::Clusters;
use super::findings::found;
use super::plan::{Plan, RefusalReason, Refused};
use super::policy::{Action, Policy, Rule, Window};
use super::snapshot::{Reading, RegistrySnapshot, RepositorySnapshot};
use super::state::{CleanState, RepositoryHistory};
use crate::images::{Inventory, Salt};
pub use bare::configs_to_read;
pub use keep_list::KeptImage;
pub(super) use written::planned_cluster;

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
    made(inputs, Form { whole: true, explained: None })
}

/// Makes the plan with every vote of the entries that an image names, of which [`plan`] lists ten of a kind.
///
/// `image` is as in `app:v2` or `app@sha256:…` of the registry, or a whole reference.
#[must_use]
pub fn plan_explaining(inputs: &Inputs<'_>, image: &str) -> Plan {
    made(inputs, Form { whole: true, explained: Some(image) })
}

/// Makes the plan of a part of the repositories that rules are for: what is not in the snapshot may be there all the
/// same, and a pattern may match what is not in it.
#[must_use]
pub fn plan_part(inputs: &Inputs<'_>) -> Plan {
    made(inputs, Form { whole: false, explained: None })
}

/// How a plan is made.
#[derive(Debug, Clone, Copy)]
struct Form<'a> {
    /// The snapshot holds every repository that a rule is for.
    whole: bool,
    /// An image of whose entries every vote is listed.
    explained: Option<&'a str>,
}

fn made(inputs: &Inputs<'_>, form: Form<'_>) -> Plan {
    let Inputs { policy, clusters, registry, state, now, .. } = *inputs;
    let mut evidence = evidence::weigh(inputs);
    let included = included(policy, registry);
    let rules: Vec<(&RepositorySnapshot, Result<Rule, String>)> =
        included.iter().map(|(repository, rule)| (*repository, safer(rule, repository))).collect();
    let effective: Vec<Rule> =
        included.iter().zip(&rules).map(|((_, rule), (_, safer))| safer.as_ref().unwrap_or(rule).clone()).collect();
    let mut judged: Vec<Judged<'_>> =
        included.iter().zip(&effective).map(|((repository, _), rule)| Judged::new(repository, rule)).collect();

    let pull_through = match &registry.pull_through {
        Reading::Read(rules) => rules.as_slice(),
        Reading::Failed(_) => &[],
    };
    let mut names = Names::new(&registry.registry, policy, pull_through, evidence.replication);
    let all: HashSet<&str> =
        registry.repositories.iter().map(|repository| repository.repository.name.as_str()).collect();
    let all = form.whole.then_some(&all);
    let hidden =
        Hidden::new(inputs.salt, &evidence.spoken, &judged, &registry.registry, pull_through, evidence.replication);
    let mut usage = usage::cast(&evidence.spoken, inputs.keep_lists, &mut judged, &mut names, &hidden, policy, all);
    deployed::cast(state, &mut judged);
    let explained = form.explained.map(|image| names.meaning(&names.own(image)).clone()).unwrap_or_default();
    let recorded = recorded::uses(inputs);
    let histories: HashMap<&str, &RepositoryHistory> =
        state.into_iter().flat_map(|state| &state.repositories).map(|known| (known.name.as_str(), known)).collect();
    let watermark = usage::oldest(&evidence.spoken)
        .and_then(|(start, cluster)| Some((start.checked_sub(policy.inventory_margin.0).ok()?, cluster)));
    let moment =
        Moment { now, policy, watermark, cached: pull_through.iter().map(|rule| rule.prefix.as_str()).collect() };

    let mut refusals = Refusals::default();
    for ((repository, rule), judged) in rules.iter().zip(&judged) {
        refusals.of_repository(repository, rule.as_ref().err(), judged.rule, registry, policy);
        refusals.of_replicas(judged.name, &evidence, &usage, policy);
    }
    refusals.of_evidence(&evidence, &judged);
    refusals.of_usage(&usage, &judged);

    let mut planned = Vec::new();
    for (repository, judged) in included.iter().map(|(repository, _)| *repository).zip(&mut judged) {
        let history = History::new(histories.get(judged.name).copied(), recorded.get(judged.name));
        let own = explained.selectors.iter().filter(|selector| selector.repository == judged.name);
        let asked_for: BTreeSet<usize> = own.flat_map(|selector| judged.selected(selector)).collect();
        doubts::cast(judged, &asked_for);
        if votes::cast(judged, repository, &history, &moment) {
            let name = judged.name;
            let message = format!("{name} was pulled from in the last 30 days by nobody whom an inventory names");
            usage.findings.insert(found("EC213", message).of_repository(name));
        }
        closure::close(judged);
        planned.push(decide(judged, repository, &history, &moment, &mut refusals));
        fold(judged, &asked_for);
        usage.findings.extend(noticed::sparse(judged, repository));
    }
    refusals.of_the_run(&mut planned, policy);
    let (spoken, asked) = (evidence.spoken.len(), clusters.clusters.len());
    let images = images(&included, &mut judged, planned, &refusals, (spoken, asked));

    let mut findings = std::mem::take(&mut usage.findings);
    findings.extend(evidence.findings.drain(..).chain(std::mem::take(&mut refusals.findings)));
    findings.extend(images.iter().filter_map(noticed::not_active).chain(noticed::foreign(&usage.foreign)));
    if form.whole {
        findings.extend(idle::patterns(policy, &included));
    }
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
        replication: evidence.replication.iter().map(|rule| planned_replication(rule, &evidence)).collect(),
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
