//! The sidecars of all jobs: how many, what ends them, what will hang, and what can become native today.

mod migrate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::ladder;
use super::view::{JobState, jobs_of, state};
use crate::audit::facts::{Carrier, Facts, Object, Of, Pod, Read};
use crate::audit::kinds::{Container, CronJob, Job, PodSpec};
use crate::audit::needs::{BATCH_PODS, Fact, Need, Needs, needs};
use crate::audit::report::{ObjectName, Proof};
use crate::audit::rule::{Policy, Rule};
use crate::audit::text::Labels;
use crate::pods::{Class, Role, RoleOf, Sidecar, members};

/// What an inventory reads, as the rule that it is not.
const READS: Rule = Rule {
    needs: &[
        Need::decides(Fact::Job),
        Need::decides(Fact::CronJob),
        Need::enriches(Fact::Pod).narrowed(BATCH_PODS),
        Need::enriches(Fact::Node),
    ],
    ..Rule::BASE
};

/// Returns what an inventory reads.
#[must_use]
pub fn inventory_needs() -> Needs {
    needs([&READS])
}

/// The sidecars of all jobs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// `kubeguard.dev/v1`.
    pub api_version: &'static str,
    /// `SidecarInventory`.
    pub kind: &'static str,
    /// Everything could be read.
    pub complete: bool,
    /// One per name of a container, those of most jobs first; what the table does not know comes last.
    pub items: Vec<Row>,
    /// What could not be read, in words.
    pub skipped: Vec<String>,
}

/// One sidecar.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Name of its containers.
    pub name: String,
    /// Id of its row of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Jobs with it, finished ones among them.
    pub jobs: u64,
    /// `CronJobs` with it, or whose jobs have it.
    pub cron_jobs: u64,
    /// Of these jobs, and of the `CronJobs` without one: how many have it as a native sidecar.
    pub native: u64,
    /// Jobs that have not finished, and `CronJobs` without such a job, that it will keep from ending.
    pub will_hang: u64,
    /// What ends it, and in how many of these.
    pub ends_by: BTreeMap<String, u64>,
    /// Templates in which it can be changed today, by what is to be done.
    pub can_migrate: BTreeMap<String, u64>,
    /// Templates in which it cannot, by the reason.
    pub refused: BTreeMap<String, u64>,
    /// Where it is.
    pub workloads: Vec<Workload>,
}

/// A sidecar in one job or `CronJob`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// The job or `CronJob`.
    pub object: ObjectName,
    /// It is a native sidecar.
    pub native: bool,
    /// An admission webhook added it.
    pub injected: bool,
    /// How sure it is that it is a sidecar.
    pub proof: Proof,
    /// What ends it; absent where nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_by: Option<String>,
    /// It keeps the job, or the next run, from ending.
    pub will_hang: bool,
    /// How it becomes native, or leaves the job; of templates that somebody edits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
}

/// How a sidecar becomes native, or leaves the job.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// In words: `move to initContainers` or `annotation`.
    pub how: &'static str,
    /// RFC 6902 against the object; empty where it is refused.
    pub patch: Vec<Value>,
    /// What to type; absent where the template cannot be changed in place, or it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Why it cannot be done today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A sidecar as one template or pod shows it.
#[derive(Debug, Clone)]
struct Usage<'a> {
    container: &'a Container,
    row: Option<&'a Sidecar>,
    native: bool,
    injected: bool,
    proof: Proof,
    ends_by: Option<String>,
    ends: bool,
}

/// Sidecars by the names of their containers.
type Usages<'a> = BTreeMap<&'a str, Usage<'a>>;

/// Returns the sidecars of all jobs and `CronJobs`.
#[must_use]
pub fn inventory(facts: &Facts, policy: &Policy, now: Timestamp) -> Inventory {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let of_jobs: Vec<(&Of<Job>, Usages<'_>)> = facts
        .jobs()
        .iter()
        .filter(|job| policy.wants(facts, *job))
        .map(|job| (job, usages_of_job(facts, policy, job, now)))
        .collect();
    for (job, usages) in &of_jobs {
        for (name, usage) in usages {
            let row = rows.entry(name).or_default();
            row.jobs += 1;
            let open = !matches!(state(job), JobState::Finished(_)) && job.meta.deleted.is_none();
            let hangs = open && hangs(usage, job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds));
            row.count(usage, hangs);
            let edited = open && job.meta.owner.as_ref().is_none_or(|owner| owner.kind != "CronJob");
            row.add(facts, policy, *job, usage, hangs, edited);
        }
    }
    for cron in facts.cron_jobs().iter().filter(|cron| policy.wants(facts, *cron)) {
        let mine: BTreeSet<&str> = jobs_of(facts, cron).map(|job| &*job.meta.name).collect();
        let own: Vec<&(&Of<Job>, Usages<'_>)> = of_jobs
            .iter()
            .filter(|(job, _)| job.meta.namespace == cron.meta.namespace && mine.contains(&*job.meta.name))
            .collect();
        add_cron(facts, policy, cron, &own, &mut rows, now);
    }
    let mut items: Vec<Row> = rows.into_iter().map(|(name, row)| Row { name: name.to_owned(), ..row }).collect();
    items.sort_by(|a, b| (a.id.is_none(), b.jobs, &a.name).cmp(&(b.id.is_none(), a.jobs, &b.name)));
    for row in &mut items {
        row.workloads.sort_by(|a, b| place(a).cmp(&place(b)));
    }
    let skipped = skipped(facts);
    let (api_version, kind) = ("kubeguard.dev/v1", "SidecarInventory");
    Inventory { api_version, kind, complete: skipped.is_empty(), items, skipped }
}

fn place(workload: &Workload) -> impl Ord + '_ {
    let ObjectName { namespace, kind, name, .. } = &workload.object;
    (namespace, kind, name)
}

/// Adds what a `CronJob` has: by its template, and what is injected into the pods of its jobs.
fn add_cron<'a>(
    facts: &'a Facts,
    policy: &'a Policy,
    cron: &'a Of<CronJob>,
    own: &[&(&'a Of<Job>, Usages<'a>)],
    rows: &mut BTreeMap<&'a str, Row>,
    now: Timestamp,
) {
    let mut usages = Usages::new();
    for usage in of_template(facts, policy, cron, now) {
        usages.insert(&usage.container.name, usage);
    }
    for (name, usage) in own.iter().flat_map(|(_, usages)| usages).filter(|(_, usage)| usage.injected) {
        usages.entry(name).or_insert_with(|| usage.clone());
    }
    let deadline = cron.spec.as_ref().and_then(|spec| spec.job_template.spec.active_deadline_seconds);
    for (name, usage) in usages {
        let row = rows.entry(name).or_default();
        row.cron_jobs += 1;
        let hangs = hangs(&usage, deadline);
        let with = own.iter().filter(|(_, usages)| usages.contains_key(name));
        let (mut counted, mut hanging) = (false, false);
        for (job, usages) in with {
            counted = true;
            let open = !matches!(state(job), JobState::Finished(_));
            let deadline = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
            hanging |= open && usages.get(name).is_some_and(|usage| self::hangs(usage, deadline));
        }
        if !counted {
            row.count(&usage, false);
        }
        row.will_hang += u64::from(hangs && !hanging);
        row.add(facts, policy, cron, &usage, hangs, true);
    }
}

/// Returns whether a sidecar keeps a job from ending: a deadline ends it otherwise, as a failure.
fn hangs(usage: &Usage<'_>, deadline: Option<i64>) -> bool {
    !usage.native && !usage.ends && deadline.is_none()
}

impl Row {
    fn count(&mut self, usage: &Usage<'_>, hangs: bool) {
        self.native += u64::from(usage.native);
        self.will_hang += u64::from(hangs);
        if let Some(by) = &usage.ends_by {
            *self.ends_by.entry(by.clone()).or_default() += 1;
        }
        if self.id.is_none() {
            self.id = usage.row.map(|row| row.id.clone());
        }
    }

    fn add(
        &mut self,
        facts: &Facts,
        policy: &Policy,
        object: &dyn Object,
        usage: &Usage<'_>,
        hangs: bool,
        edited: bool,
    ) {
        let migration = (edited && !usage.native).then(|| migrate::migration(facts, policy, object, usage));
        if let Some(migration) = &migration {
            let (map, key) = match &migration.refused {
                Some(why) => (&mut self.refused, why.as_str()),
                None => (&mut self.can_migrate, migration.how),
            };
            *map.entry(key.to_owned()).or_default() += 1;
        }
        self.workloads.push(Workload {
            object: object.object_name(),
            native: usage.native,
            injected: usage.injected,
            proof: usage.proof,
            ends_by: usage.ends_by.clone(),
            will_hang: hangs,
            migration,
        });
    }
}

/// Returns the sidecars of a job: by its template, and by its pods, which know more.
fn usages_of_job<'a>(facts: &'a Facts, policy: &'a Policy, job: &'a Of<Job>, now: Timestamp) -> Usages<'a> {
    let mut usages = Usages::new();
    for usage in of_template(facts, policy, job, now) {
        usages.insert(&usage.container.name, usage);
    }
    for pod in facts.pods_of(job) {
        for usage in of_pod(facts, policy, job, pod, now) {
            usages.insert(&usage.container.name, usage);
        }
    }
    usages
}

fn of_template<'a>(facts: &'a Facts, policy: &'a Policy, object: &'a dyn Object, now: Timestamp) -> Vec<Usage<'a>> {
    let Some(carrier) = Carrier::of(object) else { return Vec::new() };
    let roles = facts.template_roles(&carrier, &policy.sidecars, now);
    found(policy, carrier.spec, carrier.annotations, &roles, None)
}

fn of_pod<'a>(facts: &'a Facts, policy: &'a Policy, job: &'a Of<Job>, pod: &'a Pod, now: Timestamp) -> Vec<Usage<'a>> {
    let roles = facts.roles(pod, &policy.sidecars, now);
    let made_from = job.template.as_ref().map(|template| &*template.spec);
    found(policy, &pod.spec, &pod.meta.annotations, &roles, made_from)
}

/// Returns the sidecars of a pod or template: those that are marked, injected or known, and native ones.
fn found<'a>(
    policy: &'a Policy,
    spec: &'a PodSpec,
    annotations: &'a Labels,
    roles: &[RoleOf<'a>],
    made_from: Option<&'a PodSpec>,
) -> Vec<Usage<'a>> {
    let mut found = Vec::new();
    for member in members(spec) {
        let container = member.container;
        let role = roles.iter().find(|role| member.class == Class::Regular && role.container == container.name);
        let row =
            role.and_then(|role| role.row).or_else(|| match policy.sidecars.find(&container.name, &container.image) {
                Some(Ok(row) | Err(row)) => Some(row),
                None => None,
            });
        let proof = match (member.class, role) {
            (Class::NativeSidecar, _) => Proof::Exact,
            // What has only the shape of a sidecar may be the work.
            (Class::Regular, Some(role))
                if role.role == Role::Sidecar && (row.is_some() || role.proof > Proof::Hint) =>
            {
                role.proof
            }
            _ => continue,
        };
        let known = |spec: &PodSpec| members(spec).any(|known| known.container.name == container.name);
        let injected = made_from.is_some_and(|spec| !known(spec));
        let asked = spec.containers.iter().find(|other| other.name != container.name && ladder::asks_to_quit(other));
        let (ends_by, ends) = ends(container, row, annotations, member.class == Class::NativeSidecar, asked);
        let native = member.class == Class::NativeSidecar;
        found.push(Usage { container, row, native, injected, proof, ends_by, ends });
    }
    found
}

/// Returns what ends a sidecar, in words, and whether that happens without anybody's doing.
fn ends(
    container: &Container,
    row: Option<&Sidecar>,
    annotations: &Labels,
    native: bool,
    asked: Option<&Container>,
) -> (Option<String>, bool) {
    if native {
        return (Some("pod end".to_owned()), true);
    }
    let Some(row) = row else { return (None, false) };
    if row.self_ending {
        return (Some("itself".to_owned()), true);
    }
    let endpoint = ladder::endpoint(row, annotations, container);
    if let Some(quit) = endpoint.as_ref().filter(|quit| quit.enabled) {
        return match asked {
            Some(main) => (Some(format!("{}, asked by {}", quit.path, main.name)), true),
            None if quit.confirmed => (Some(quit.path.clone()), false),
            None => (Some(format!("{}, not confirmed", quit.path)), false),
        };
    }
    let out = row.opt_out.as_ref().map(|out| out.annotation.as_str()).filter(|annotation| !annotation.is_empty());
    let short = |annotation: &str| {
        let name = annotation.split_once('/').map_or(annotation, |(_, name)| name);
        name.trim_end_matches("=true").to_owned()
    };
    let by = out.map(short).or(endpoint.map(|quit| format!("{}, not enabled", quit.path)));
    (Some(by.unwrap_or_else(|| "SIGTERM only".to_owned())), false)
}

/// Returns what could not be read.
fn skipped(facts: &Facts) -> Vec<String> {
    let mut skipped: Vec<String> = Vec::new();
    for need in READS.needs {
        if let Read::Not(reason) = facts.read(need.fact) {
            skipped.push(reason.clone());
        }
    }
    let gaps = facts.gaps().iter().filter(|gap| READS.needs.iter().any(|need| need.fact == gap.fact));
    skipped.extend(gaps.map(|gap| {
        let place = gap.namespace.as_ref().map_or(String::new(), |namespace| format!(" in namespace {namespace}"));
        format!("{}{place}", gap.reason)
    }));
    skipped.extend(facts.malformed().iter().cloned());
    skipped.sort();
    skipped.dedup();
    skipped
}
