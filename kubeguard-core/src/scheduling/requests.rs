//! What a pod asks for, as the scheduler counts it.
//!
//! Sources: `LimitRanger` and the API's defaults for what is left out, `k8s.io/component-helpers/resource` for the sum.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::kinds::{Container, LimitRangeSpec, PodSpec};
use crate::kinds::{Quantity, ResourceRequirements};

/// Amounts by resource, in the scheduler's units: thousandths of a cpu, else whole units (bytes); rounded up.
///
/// What is not there is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Amounts(pub BTreeMap<String, i64>);

/// Billionths of a unit by resource: exact.
type Exact = BTreeMap<String, i128>;

impl Amounts {
    /// Returns the amount of a resource.
    #[must_use]
    pub fn of(&self, resource: &str) -> i64 {
        self.0.get(resource).copied().unwrap_or(0)
    }

    /// Returns thousandths of a cpu.
    #[must_use]
    pub fn cpu(&self) -> i64 {
        self.of("cpu")
    }

    /// Returns bytes of memory.
    #[must_use]
    pub fn memory(&self) -> i64 {
        self.of("memory")
    }

    /// Adds other amounts; a sum that no number holds is the largest one.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = own.saturating_add(*amount);
        }
    }

    /// Takes other amounts away; what is left may be negative.
    pub fn take(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = own.saturating_sub(*amount);
        }
    }

    /// Returns the amounts so many times.
    #[must_use]
    pub fn times(&self, count: i64) -> Self {
        Self(self.0.iter().map(|(name, amount)| (name.clone(), amount.saturating_mul(count))).collect())
    }

    /// Returns the first resource of which more is asked than there is; what is not asked for never is.
    #[must_use]
    pub fn exceeds(&self, room: &Self) -> Option<&str> {
        let short = |(name, amount): &(&String, &i64)| **amount > 0 && **amount > room.of(name);
        self.0.iter().find(short).map(|(name, _)| name.as_str())
    }

    fn rounded(exact: &Exact) -> Self {
        Self(exact.iter().map(|(name, nanos)| (name.clone(), units(name, *nanos))).collect())
    }
}

/// Returns billionths in the scheduler's units, rounded up.
fn units(name: &str, nanos: i128) -> i64 {
    let unit = if name == "cpu" { 1_000_000 } else { 1_000_000_000 };
    let whole = nanos.div_euclid(unit) + i128::from(nanos.rem_euclid(unit) != 0);
    i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
}

/// Writes an amount of a resource for people: `250m`, `2`, `512Mi`, `1500000`.
#[must_use]
pub fn shown(name: &str, amount: i64) -> String {
    if name == "cpu" {
        return if amount % 1000 == 0 { (amount / 1000).to_string() } else { format!("{amount}m") };
    }
    if name == "memory" || name == "ephemeral-storage" || name.starts_with("hugepages-") {
        for (suffix, size) in [("Ti", 1_i64 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if amount != 0 && amount % size == 0 {
                return format!("{}{suffix}", amount / size);
            }
        }
    }
    amount.to_string()
}

/// Text at a path that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{path}: {text:?} is no quantity, as in 500m or 2Gi")]
pub struct Unparsed {
    /// JSON pointer, from the pod.
    pub path: String,
    /// What is written.
    pub text: String,
}

/// A port of the node that a pod wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Address of the node; empty or `0.0.0.0` for all.
    pub ip: String,
    /// As in `TCP`.
    pub protocol: String,
    /// The number.
    pub port: i32,
}

/// A container with everything that the API and the namespace's limits fill in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EffectiveContainer {
    /// Its name.
    pub name: String,
    /// It is one of `initContainers`.
    pub is_init: bool,
    /// It is an init container that runs as long as the pod.
    pub is_sidecar: bool,
    requests: Exact,
    limits: Exact,
}

impl EffectiveContainer {
    /// Returns what it requests of a resource, in the scheduler's units; none where it asks for nothing.
    #[must_use]
    pub fn request(&self, resource: &str) -> Option<i64> {
        self.requests.get(resource).map(|nanos| units(resource, *nanos))
    }

    /// Returns what it may use of a resource at most, in the scheduler's units.
    #[must_use]
    pub fn limit(&self, resource: &str) -> Option<i64> {
        self.limits.get(resource).map(|nanos| units(resource, *nanos))
    }
}

/// A pod's resources with everything that the API and the namespace's limits fill in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EffectivePod {
    /// Init containers in their order, then the others.
    pub containers: Vec<EffectiveContainer>,
    /// Ports of the node that it wants.
    pub ports: Vec<HostPort>,
    /// What could not be read; it counts as absent.
    pub unparsed: Vec<Unparsed>,
    requests: Exact,
    limits: Exact,
    overhead: Exact,
}

impl EffectivePod {
    /// Returns a container by its name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&EffectiveContainer> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// Returns what the pod as a whole may use of a resource, where `spec.resources` says so.
    #[must_use]
    pub fn limit(&self, resource: &str) -> Option<i64> {
        self.limits.get(resource).map(|nanos| units(resource, *nanos))
    }

    /// Returns what `spec.resources` requests of a resource for the pod as a whole.
    #[must_use]
    pub fn request(&self, resource: &str) -> Option<i64> {
        self.requests.get(resource).map(|nanos| units(resource, *nanos))
    }
}

/// Resources that the pod as a whole may ask for.
fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Returns a pod's resources: limits that are requests too, the pod's own level, then the limits of its namespace.
///
/// `limits` are the `LimitRange`s of the namespace, in the order of their names; the first that names a resource wins.
/// They fill in what is absent, and never raise or lower what is there.
#[must_use]
pub fn effective_resources<'a>(pod: &PodSpec, limits: impl IntoIterator<Item = &'a LimitRangeSpec>) -> EffectivePod {
    let mut unparsed = Vec::new();
    let list = |name: &str, containers: &[Container], is_init: bool, unparsed: &mut Vec<Unparsed>| {
        let one = |(index, container): (usize, &Container)| {
            let path = format!("/spec/{name}/{index}/resources");
            let (requests, limits) = both(container.resources.as_ref(), &path, unparsed);
            let is_sidecar = is_init && container.restart_policy == "Always";
            EffectiveContainer { name: container.name.clone(), is_init, is_sidecar, requests, limits }
        };
        containers.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    let mut containers = list("initContainers", &pod.init_containers, true, &mut unparsed);
    containers.extend(list("containers", &pod.containers, false, &mut unparsed));
    for container in &mut containers {
        for (name, limit) in &container.limits {
            container.requests.entry(name.clone()).or_insert(*limit);
        }
    }
    let (mut requests, whole_limits) = both(pod.resources.as_ref(), "/spec/resources", &mut unparsed);
    for (name, limit) in &whole_limits {
        if !requests.contains_key(name) {
            let named = containers.iter().any(|container| container.requests.contains_key(name));
            requests.insert(name.clone(), if named { aggregate(&containers, name) } else { *limit });
        }
    }
    for range in limits {
        let (default, default_request) = defaults_of(range);
        for container in &mut containers {
            for (name, amount) in &default {
                container.limits.entry(name.clone()).or_insert(*amount);
            }
            for (name, amount) in &default_request {
                container.requests.entry(name.clone()).or_insert(*amount);
            }
        }
    }
    let overhead = exact(&pod.overhead, "/spec/overhead", &mut unparsed);
    EffectivePod { containers, ports: ports(pod), unparsed, requests, limits: whole_limits, overhead }
}

/// Returns what is requested and limited.
fn both(resources: Option<&ResourceRequirements>, path: &str, unparsed: &mut Vec<Unparsed>) -> (Exact, Exact) {
    let Some(resources) = resources else { return (Exact::new(), Exact::new()) };
    let requests = exact(&resources.requests, &format!("{path}/requests"), unparsed);
    (requests, exact(&resources.limits, &format!("{path}/limits"), unparsed))
}

fn exact(quantities: &BTreeMap<String, Quantity>, path: &str, unparsed: &mut Vec<Unparsed>) -> Exact {
    let mut amounts = Exact::new();
    for (name, quantity) in quantities {
        if let Some(nanos) = quantity.nanos() {
            amounts.insert(name.clone(), nanos);
        } else {
            let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
            unparsed.push(Unparsed { path, text: quantity.to_string() });
        }
    }
    amounts
}

/// Returns quantities in the scheduler's units; what is none counts as absent and is told.
#[must_use]
pub fn amounts(quantities: &BTreeMap<String, Quantity>, path: &str) -> (Amounts, Vec<Unparsed>) {
    let mut unparsed = Vec::new();
    let amounts = Amounts::rounded(&exact(quantities, path, &mut unparsed));
    (amounts, unparsed)
}

/// Returns the defaults of a `LimitRange` for containers, after its own: `max` for `default`, that for
/// `defaultRequest`, and `min` for what is still missing there.
fn defaults_of(range: &LimitRangeSpec) -> (Exact, Exact) {
    let (mut default, mut default_request) = (Exact::new(), Exact::new());
    let mut told = Vec::new();
    for item in range.limits.iter().filter(|item| item.r#type == "Container") {
        let mut read = |quantities: &BTreeMap<String, Quantity>| exact(quantities, "", &mut told);
        let mut own = read(&item.default);
        for (name, amount) in read(&item.max) {
            own.entry(name).or_insert(amount);
        }
        let mut requests = read(&item.default_request);
        for (name, amount) in own.iter().map(|(name, amount)| (name.clone(), *amount)).chain(read(&item.min)) {
            requests.entry(name).or_insert(amount);
        }
        // Of several items the last one wins, as in LimitRanger.
        default.extend(own);
        default_request.extend(requests);
    }
    (default, default_request)
}

/// Returns the larger of what runs after start-up and what each init container needs beside the sidecars before it.
fn aggregate(containers: &[EffectiveContainer], name: &str) -> i128 {
    let of = |container: &EffectiveContainer| container.requests.get(name).copied().unwrap_or(0);
    let (mut sidecars, mut starting, mut running) = (0_i128, 0_i128, 0_i128);
    for container in containers {
        if container.is_sidecar {
            sidecars += of(container);
        } else if container.is_init {
            starting = starting.max(sidecars + of(container));
        } else {
            running += of(container);
        }
    }
    starting.max(running + sidecars)
}

/// Returns what the scheduler counts for a pod.
///
/// The larger of what runs at the same time and what starting needs; a request of the whole pod replaces both for cpu,
/// memory and huge pages; overhead comes on top.
#[must_use]
pub fn pod_request(pod: &EffectivePod) -> Amounts {
    let requested = pod.containers.iter().flat_map(|container| container.requests.keys());
    let whole = pod.requests.keys().filter(|name| is_pod_level(name));
    let names: BTreeSet<&String> = requested.chain(whole).chain(pod.overhead.keys()).collect();
    let of = |name: &String| {
        let whole = pod.requests.get(name).copied().filter(|_| is_pod_level(name));
        let needed = whole.unwrap_or_else(|| aggregate(&pod.containers, name));
        (name.clone(), needed + pod.overhead.get(name).copied().unwrap_or(0))
    };
    Amounts::rounded(&names.into_iter().map(of).collect())
}

/// Fills in what the pod as a whole requests, as the API does: where it is limited and not requested, what its
/// containers request together if one of them names the resource, else the limit.
pub fn pod_level_default(pod: &mut PodSpec) {
    if pod.resources.as_ref().is_none_or(|resources| resources.limits.is_empty()) {
        return;
    }
    let effective = effective_resources(pod, []);
    let Some(resources) = &mut pod.resources else { return };
    for name in resources.limits.keys() {
        if let Some(nanos) = effective.requests.get(name) {
            resources.requests.entry(name.clone()).or_insert_with(|| Quantity::whole(*nanos));
        }
    }
}

fn ports(pod: &PodSpec) -> Vec<HostPort> {
    let declared = pod.containers.iter().chain(&pod.init_containers).flat_map(|container| &container.ports);
    let wanted = declared.filter_map(|port| {
        let own = if port.host_port == 0 && pod.host_network { port.container_port } else { port.host_port };
        let protocol = if port.protocol.is_empty() { "TCP" } else { &port.protocol };
        (own > 0).then(|| HostPort { ip: port.host_ip.clone(), protocol: protocol.to_owned(), port: own })
    });
    wanted.collect()
}

#[cfg(test)]
mod tests;
