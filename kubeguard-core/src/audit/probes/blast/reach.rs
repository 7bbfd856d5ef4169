//! Endpoints of services, and which of them go with what falls.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::fleet::{Fleet, whole};
use super::weight::Weights;
use super::{Ask, BlastItem, Duration, Exempt, Mode, ServiceHit, WhatIf, rounded};
use crate::audit::facts::{Facts, Of, Origin};
use crate::audit::kinds::{EndpointSlice, PodDisruptionBudget, Service, ServicePort};
use crate::audit::needs::Fact;
use crate::kinds::IntOrString;
use crate::pods::{Member, members};

/// One port of a service, in one address family.
#[derive(Default)]
struct Group {
    /// Its name or number; empty where it is the only one.
    port: String,
    /// Ready endpoints.
    ready: usize,
    /// Ready endpoints by cohort.
    cohorts: BTreeMap<usize, usize>,
    /// Endpoints that serve while they terminate.
    draining: usize,
}

/// A service with its endpoints and the cohorts behind it.
pub(super) struct Served<'a> {
    pub(super) service: &'a Of<Service>,
    groups: Vec<Group>,
    /// What it selects.
    pub(super) behind: Vec<usize>,
}

/// Every service that has an endpoint, and every one that publishes unready ones.
pub(super) struct Reach<'a> {
    pub(super) served: Vec<Served<'a>>,
    publishing: Vec<Served<'a>>,
    /// Budgets, and the cohorts that each selects.
    budgets: Vec<Guarded<'a>>,
    /// Endpoints follow from selectors.
    pub(super) modelled: bool,
    pub(super) notes: Vec<String>,
}

/// A budget and the cohorts that it selects.
type Guarded<'a> = (&'a Of<PodDisruptionBudget>, Vec<usize>);

/// What falls: subject → endpoints that are lost.
type Lost = HashMap<usize, usize>;

impl<'a> Reach<'a> {
    pub(super) fn of(facts: &'a Facts, fleet: &Fleet<'a>) -> Self {
        let mut behind: HashMap<*const Of<Service>, Vec<usize>> = HashMap::new();
        let mut budgets: BTreeMap<(&str, &str), Guarded<'a>> = BTreeMap::new();
        for (place, cohort) in fleet.cohorts.iter().enumerate() {
            for service in facts.services_of(cohort.namespace, cohort.labels) {
                behind.entry(std::ptr::from_ref(service)).or_default().push(place);
            }
            for budget in facts.budgets_of(cohort.namespace, cohort.labels) {
                let key = (&*budget.meta.namespace, &*budget.meta.name);
                budgets.entry(key).or_insert_with(|| (budget, Vec::new())).1.push(place);
            }
        }
        let mut reach = Self {
            served: Vec::new(),
            publishing: Vec::new(),
            budgets: budgets.into_values().collect(),
            modelled: false,
            notes: Vec::new(),
        };
        let mut by_selector = 0_usize;
        for service in facts.services() {
            let Some(spec) = &service.spec else { continue };
            if spec.selector.is_empty() || spec.r#type == "ExternalName" {
                continue;
            }
            let behind = behind.remove(&std::ptr::from_ref(service)).unwrap_or_default();
            if spec.publish_not_ready_addresses {
                reach.publishing.push(Served { service, groups: Vec::new(), behind });
                continue;
            }
            let slices: Vec<&Of<EndpointSlice>> = facts.slices_of(service).collect();
            // Slices name pods: without those they prove nothing.
            let known = !slices.is_empty() && !fleet.modelled;
            let groups = if known {
                of_slices(&slices, fleet)
            } else if facts.origin() != Origin::Manifests && facts.knows(Fact::EndpointSlice) && !fleet.modelled {
                Vec::new()
            } else {
                by_selector += 1;
                of_selector(service, &behind, fleet)
            };
            if groups.iter().any(|group| group.ready > 0) {
                reach.served.push(Served { service, groups, behind });
            }
        }
        reach.modelled = by_selector > 0;
        if by_selector > 0 && !fleet.modelled {
            let services = if by_selector == 1 { "service" } else { "services" };
            reach.notes.push(format!(
                "endpoints of {by_selector} {services} follow from selectors and ready pods: there are no endpoint slices to read"
            ));
        }
        reach
    }

    pub(super) fn count(&self) -> usize {
        self.served.len()
    }

    /// Returns the services that are never counted.
    pub(super) fn exempt(facts: &Facts) -> Vec<Exempt> {
        let all = facts.services().iter().filter_map(|service| {
            let spec = service.spec.as_ref()?;
            let reason = match spec.r#type.as_str() {
                "ExternalName" => "ExternalName",
                _ if spec.selector.is_empty() => "no selector",
                _ if spec.publish_not_ready_addresses => "publishNotReadyAddresses",
                _ => return None,
            };
            Some(spared(service, reason))
        });
        all.collect()
    }

    /// Returns what falls with each subject.
    pub(super) fn items(&self, fleet: &Fleet<'a>, weights: &Weights<'a>, ask: &Ask<'_>) -> Vec<BlastItem> {
        let mut items: Vec<BlastItem> = fleet.subjects.iter().map(|subject| begun(subject, ask)).collect();
        let broken = self.broken(fleet);
        for served in &self.served {
            let (weight, because) = weights.weigh(served.service);
            for (subject, (group, lost)) in worst(served, fleet) {
                let Some(item) = items.get_mut(subject) else { continue };
                let budget = broken.get(&subject).into_iter().flatten().find(|index| {
                    let selected = self.budgets.get(**index).map(|(_, cohorts)| cohorts);
                    selected
                        .into_iter()
                        .flatten()
                        .any(|cohort| group.cohorts.contains_key(cohort) && has(fleet, *cohort, subject))
                });
                let budget = budget.and_then(|index| self.budgets.get(*index));
                let hit = ServiceHit {
                    namespace: served.service.meta.namespace.to_string(),
                    name: served.service.meta.name.to_string(),
                    port: Some(group.port.clone()).filter(|port| !port.is_empty()),
                    ready: group.ready,
                    lost,
                    weight,
                    because: because.clone(),
                    exposed: weights.is_exposed(served.service),
                    webhook: weights.is_webhook(served.service),
                    budget: budget.map(|(budget, _)| budget.meta.name.to_string()),
                    fallback: if lost == group.ready { group.draining } else { 0 },
                };
                let after = group.ready - lost;
                if after == 0 {
                    item.downed.push(hit);
                } else if after * 2 < group.ready || hit.budget.is_some() {
                    item.degraded.push(hit);
                } else {
                    item.touched.push(hit);
                }
            }
        }
        for served in &self.publishing {
            let hit: BTreeSet<usize> = served
                .behind
                .iter()
                .filter_map(|place| fleet.cohorts.get(*place))
                .flat_map(|cohort| cohort.subjects.iter().copied())
                .collect();
            for subject in hit {
                if let Some(item) = items.get_mut(subject) {
                    item.exempt.push(spared(served.service, "publishNotReadyAddresses"));
                }
            }
        }
        for item in &mut items {
            let sum = |hits: &[ServiceHit]| f64::from(hits.iter().map(|hit| hit.weight).sum::<u32>());
            item.weight = sum(&item.downed) + sum(&item.degraded) / 2.0;
            item.risk = rounded(item.likelihood * item.weight);
        }
        items
    }

    /// Returns the budgets that each subject's fall breaks.
    fn broken(&self, fleet: &Fleet<'_>) -> HashMap<usize, Vec<usize>> {
        let mut broken: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, (budget, cohorts)) in self.budgets.iter().enumerate() {
            let of = |place: &usize| fleet.cohorts.get(*place);
            let pods: usize = cohorts.iter().filter_map(of).map(|cohort| cohort.pods).sum();
            let healthy: usize = cohorts.iter().filter_map(of).map(|cohort| cohort.healthy).sum();
            let Some((current, desired)) = demanded(budget, pods, healthy) else { continue };
            let mut lost: Lost = HashMap::new();
            for cohort in cohorts.iter().filter_map(of) {
                for subject in &cohort.subjects {
                    *lost.entry(*subject).or_default() += cohort.healthy;
                }
            }
            for (subject, lost) in lost {
                if lost > 0 && current.saturating_sub(lost) < desired {
                    broken.entry(subject).or_default().push(index);
                }
            }
        }
        broken
    }
}

/// Returns how many healthy pods a budget has and demands: as its controller says, else as it is written.
fn demanded(budget: &PodDisruptionBudget, pods: usize, healthy: usize) -> Option<(usize, usize)> {
    let number = |count: i32| usize::try_from(count).unwrap_or_default();
    if let Some(status) = budget.status.as_ref().filter(|status| status.expected_pods > 0) {
        return Some((number(status.current_healthy), number(status.desired_healthy)));
    }
    let spec = budget.spec.as_ref()?;
    // As the disruption controller rounds: both up.
    let share = |value: &IntOrString| {
        let text = value.to_string();
        match text.strip_suffix('%') {
            Some(percent) => Some((percent.parse::<usize>().ok()? * pods).div_ceil(100)),
            None => text.parse().ok(),
        }
    };
    let desired = match (&spec.min_available, &spec.max_unavailable) {
        (Some(least), _) => share(least)?,
        (None, Some(most)) => pods.saturating_sub(share(most)?),
        (None, None) => return None,
    };
    Some((healthy, desired))
}

fn spared(service: &Of<Service>, reason: &'static str) -> Exempt {
    let (namespace, name) = (service.meta.namespace.to_string(), service.meta.name.to_string());
    Exempt { namespace, name, reason }
}

fn has(fleet: &Fleet<'_>, place: usize, subject: usize) -> bool {
    fleet.cohorts.get(place).is_some_and(|cohort| cohort.subjects.contains(&subject))
}

/// Returns for each subject the port that suffers most, with what it loses.
fn worst<'s>(served: &'s Served<'_>, fleet: &Fleet<'_>) -> BTreeMap<usize, (&'s Group, usize)> {
    let mut worst: BTreeMap<usize, (&Group, usize)> = BTreeMap::new();
    for group in &served.groups {
        let mut lost: Lost = HashMap::new();
        for (place, count) in &group.cohorts {
            for subject in fleet.cohorts.get(*place).into_iter().flat_map(|cohort| &cohort.subjects) {
                *lost.entry(*subject).or_default() += count;
            }
        }
        for (subject, lost) in lost {
            let known = worst.entry(subject).or_insert((group, lost));
            if lost * known.0.ready > known.1 * group.ready {
                *known = (group, lost);
            }
        }
    }
    worst
}

fn begun(subject: &super::fleet::Subject, ask: &Ask<'_>) -> BlastItem {
    let (likelihood, terms) = subject.likelihood();
    let duration = match ask.mode {
        Mode::Crash => Duration {
            noticed_seconds: (0, 1),
            back_seconds: subject.starts,
            restart_delays: crate::audit::probes::timeline::DELAYS,
        },
        Mode::Probe => Duration {
            noticed_seconds: (subject.notices.0.unwrap_or_default(), subject.notices.1),
            back_seconds: subject.recovers,
            restart_delays: &[],
        },
    };
    BlastItem {
        image: subject.image(),
        container: subject.container(),
        mode: ask.mode,
        pods: if ask.what_if == Some(WhatIf::DaemonSet) { 0 } else { subject.pods },
        downed: Vec::new(),
        degraded: Vec::new(),
        touched: Vec::new(),
        exempt: Vec::new(),
        weight: 0.0,
        likelihood,
        terms,
        risk: 0.0,
        duration,
    }
}

/// Reads the endpoints of slices: by address family and port, each pod once.
fn of_slices(slices: &[&Of<EndpointSlice>], fleet: &Fleet<'_>) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, &str), (Group, BTreeSet<&str>)> = BTreeMap::new();
    let ports: BTreeSet<&str> =
        slices.iter().flat_map(|slice| slice.ports.iter().map(|port| port.name.as_str())).collect();
    for slice in slices {
        let none = [""];
        let names: Vec<&str> = slice.ports.iter().map(|port| port.name.as_str()).collect();
        let names: &[&str] = if names.is_empty() { &none } else { &names };
        for name in names {
            let (group, seen) = groups.entry((slice.address_type.as_str(), name)).or_default();
            if ports.len() > 1 {
                (*name).clone_into(&mut group.port);
            }
            for endpoint in &slice.endpoints {
                let conditions = endpoint.conditions.clone().unwrap_or_default();
                if !conditions.ready.unwrap_or(true) {
                    let drains = conditions.serving == Some(true) && conditions.terminating == Some(true);
                    group.draining += usize::from(drains);
                    continue;
                }
                let Some(target) = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod") else {
                    group.ready += 1;
                    continue;
                };
                let key = if target.uid.is_empty() { &target.name } else { &target.uid };
                if !seen.insert(key) {
                    continue;
                }
                group.ready += 1;
                let namespace =
                    if target.namespace.is_empty() { &slice.meta.namespace } else { target.namespace.as_str() };
                if let Some(place) = fleet.cohort_of(&target.uid, namespace, &target.name) {
                    *group.cohorts.entry(place).or_default() += 1;
                }
            }
        }
    }
    groups.into_values().map(|(group, _)| group).collect()
}

/// Models the endpoints of a service from what it selects.
fn of_selector(service: &Of<Service>, behind: &[usize], fleet: &Fleet<'_>) -> Vec<Group> {
    let ports: Vec<Option<&ServicePort>> = match service.spec.as_ref().map(|spec| spec.ports.as_slice()) {
        None | Some([]) => vec![None],
        Some(ports) => ports.iter().map(Some).collect(),
    };
    let many = ports.len() > 1;
    let groups = ports.into_iter().map(|port| {
        let target = port.and_then(|port| port.target_port.as_ref()).map(ToString::to_string);
        let named = target.filter(|target| target.parse::<u16>().is_err());
        let mut group = Group::default();
        if let Some(port) = port.filter(|_| many) {
            group.port = if port.name.is_empty() { port.port.to_string() } else { port.name.clone() };
        }
        for place in behind {
            let Some(cohort) = fleet.cohorts.get(*place) else { continue };
            let offers = |name: &String| {
                let mut all = members(cohort.spec).filter(Member::is_gating);
                all.any(|member| member.container.ports.iter().any(|port| port.name == *name))
            };
            // A name that no container declares gives no endpoint.
            if cohort.healthy > 0 && named.as_ref().is_none_or(offers) {
                group.ready += cohort.healthy;
                group.cohorts.insert(*place, cohort.healthy);
            }
        }
        group
    });
    groups.collect()
}

impl ServiceHit {
    /// Returns the share of its endpoints that is lost: 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.ready == 0 { 0.0 } else { whole(self.lost) / whole(self.ready) }
    }
}
