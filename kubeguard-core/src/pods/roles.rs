//! Which containers are the work, and which stand beside it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Class, Member, Sidecar, SidecarTable, done, members};
use crate::audit::facts::{Carrier, Pod};
use crate::audit::kinds::{Container, PodSpec};
use crate::audit::report::Proof;
use crate::audit::text::Labels;

/// What a container is to the work of its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It is the work.
    Main,
    /// It stands beside the work.
    Sidecar,
}

/// One sign of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleHit {
    /// The step of the ladder: 1 marks of our own, 2 injection, 3 marks of other tools, 4 injectors' status, 5 the table,
    /// 6 shape, 7 elimination.
    pub step: u8,
    /// What it says.
    pub role: Role,
    /// How sure it is.
    pub proof: Proof,
    /// In words.
    pub because: String,
}

/// The role of one regular container.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleOf<'a> {
    /// The container's name.
    pub container: &'a str,
    /// Its role.
    pub role: Role,
    /// How sure that is.
    pub proof: Proof,
    /// Every sign, the one that decided first.
    pub hits: Vec<RoleHit>,
    /// Its row of the table, if name or image is known.
    pub row: Option<&'a Sidecar>,
}

/// A pod or template whose roles are asked for.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Labels of the pod.
    pub labels: &'a Labels,
    /// Annotations of the pod.
    pub annotations: &'a Labels,
    /// What it runs.
    pub spec: &'a PodSpec,
    /// The pod itself, if it is one.
    pub pod: Option<&'a Pod>,
    /// Annotations of owner and namespace, the nearest first.
    pub around: Vec<&'a Labels>,
    /// The template of the object that controls the pod, where its uid is the one the pod names and, for a stateful
    /// set or daemon set, its current revision is the pod's.
    pub made_from: Option<&'a PodSpec>,
    /// The median time of the owner's finished runs.
    pub usual: Option<SignedDuration>,
}

impl<'a> View<'a> {
    /// Returns a template, or a pod as it stands.
    #[must_use]
    pub fn of(carrier: &Carrier<'a>) -> Self {
        let Carrier { labels, annotations, spec, .. } = *carrier;
        Self { labels, annotations, spec, pod: None, around: Vec::new(), made_from: None, usual: None }
    }

    /// Returns a pod.
    #[must_use]
    pub fn of_pod(pod: &'a Pod) -> Self {
        Self {
            labels: &pod.meta.labels,
            annotations: &pod.meta.annotations,
            spec: &pod.spec,
            pod: Some(pod),
            around: Vec::new(),
            made_from: None,
            usual: None,
        }
    }

    /// Returns the nearest value of an annotation: pod or template, then owner, then namespace.
    fn nearest(&self, name: &str) -> Option<&'a str> {
        std::iter::once(&self.annotations).chain(&self.around).find_map(|labels| labels.get(name))
    }
}

const MAINS: &str = "kubeguard.dev/main-containers";
const SIDECARS: &str = "kubeguard.dev/sidecar-containers";
const NON_CRITICAL: &str = "kubeguard.dev/non-critical";
/// A container may be the last one for this long before elimination says anything.
const SHORTEST_ELIMINATION: SignedDuration = SignedDuration::from_hours(1);
/// Users that service meshes run their proxies as.
const MESH_USERS: [i64; 2] = [1337, 2102];

fn listed(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn env<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    container.env.iter().find(|variable| variable.name == name).map(|variable| variable.value.as_str())
}

/// Returns the role of every regular container, in their order, with all signs.
#[must_use]
pub fn roles<'a>(view: &View<'a>, table: &'a SidecarTable, now: Timestamp) -> Vec<RoleOf<'a>> {
    let regular: Vec<Member<'a>> = members(view.spec).filter(|member| member.class == Class::Regular).collect();
    let mut found: Vec<RoleOf<'a>> = regular
        .iter()
        .map(|member| {
            let container = member.container;
            let mut hits = Vec::new();
            let row = by_marks(view, container, &regular, table, &mut hits);
            RoleOf { container: &container.name, role: Role::Main, proof: Proof::Exact, hits, row }
        })
        .collect();
    by_shape(&regular, view, &mut found);
    by_elimination(&regular, view, now, &mut found);
    for one in &mut found {
        if let Some(first) = one.hits.first() {
            (one.role, one.proof) = (first.role, first.proof);
        }
    }
    // Something must be the work: if nothing is, nobody knows what.
    if !found.is_empty() && found.iter().all(|one| one.role == Role::Sidecar) {
        for one in &mut found {
            (one.role, one.proof) = (Role::Main, Proof::Hint);
        }
        return found;
    }
    // A marked main that is done makes what was only guessed of the others likely.
    let ended = |name: &str| {
        let (Some(pod), Some(member)) = (view.pod, regular.iter().find(|m| m.container.name == name)) else {
            return false;
        };
        let status = pod.status.as_ref().and_then(|status| status.container(name));
        status.is_some_and(|status| done(*member, view.spec, status))
    };
    let marked = found.iter().any(|one| {
        let mark = |hit: &RoleHit| hit.step <= 3 && hit.role == Role::Main && hit.proof >= Proof::Model;
        one.role == Role::Main && one.hits.iter().any(mark) && ended(one.container)
    });
    if marked {
        for one in found.iter_mut().filter(|one| one.role == Role::Sidecar && one.proof == Proof::Hint) {
            one.proof = Proof::Model;
        }
    }
    found
}

/// Steps 1 to 5: marks, injection, status of injectors, the table.
fn by_marks<'a>(
    view: &View<'a>,
    container: &'a Container,
    regular: &[Member<'a>],
    table: &'a SidecarTable,
    hits: &mut Vec<RoleHit>,
) -> Option<&'a Sidecar> {
    let name = container.name.as_str();
    let mut hit =
        |step: u8, role: Role, proof: Proof, because: String| hits.push(RoleHit { step, role, proof, because });
    // 1: our own marks.
    let own = |annotation: &'static str, named: Role, other: Role| {
        view.nearest(annotation).map(|list| (annotation, if listed(list).any(|n| n == name) { named } else { other }))
    };
    let (mains, sidecars) = (own(MAINS, Role::Main, Role::Sidecar), own(SIDECARS, Role::Sidecar, Role::Main));
    let mark = match (mains, sidecars) {
        // With both given, only what is named has a role by them.
        (Some((by, Role::Main)), _) => Some((by, Role::Main)),
        (_, Some((by, Role::Sidecar))) => Some((by, Role::Sidecar)),
        (Some(_), Some(_)) => None,
        (one, other) => one.or(other),
    };
    if let Some((by, role)) = mark {
        hit(1, role, Proof::Exact, format!("annotation {by}"));
    }
    // 2: injection.
    if let Some(template) = view.made_from
        && !template.containers.iter().any(|known| known.name == name)
    {
        hit(2, Role::Sidecar, Proof::Exact, "not in its owner's template: an admission webhook added it".to_owned());
    }
    // 3: marks of other tools.
    let kruise = |container: &Container| {
        env(container, "KRUISE_TERMINATE_SIDECAR_WHEN_JOB_EXIT") == Some("true")
            || env(container, "KRUISE_TERMINATE_SIDECAR_WHEN_JOB_EXIT_WITH_IMAGE").is_some()
    };
    if kruise(container) {
        hit(3, Role::Sidecar, Proof::Exact, "env KRUISE_TERMINATE_SIDECAR_WHEN_JOB_EXIT".to_owned());
    } else if regular.iter().any(|other| kruise(other.container)) {
        hit(3, Role::Main, Proof::Exact, "others carry KRUISE_TERMINATE_SIDECAR_WHEN_JOB_EXIT, it does not".to_owned());
    }
    if env(container, "KUBEXIT_DEATH_DEPS").is_some() {
        hit(3, Role::Sidecar, Proof::Exact, "env KUBEXIT_DEATH_DEPS".to_owned());
    }
    if view.annotations.get("lemonade.com/sidecars").is_some_and(|list| listed(list).any(|n| n == name)) {
        hit(3, Role::Sidecar, Proof::Exact, "annotation lemonade.com/sidecars".to_owned());
    }
    if view.labels.get("tekton.dev/taskRun").is_some() {
        let role = if name.starts_with("step-") { Some(Role::Main) } else { None };
        let role = role.or(name.starts_with("sidecar-").then_some(Role::Sidecar));
        if let Some(role) = role {
            hit(3, role, Proof::Exact, "Tekton names steps and sidecars".to_owned());
        }
    }
    if view.labels.get("workflows.argoproj.io/workflow").is_some() {
        let role = match name {
            "main" => Some(Role::Main),
            "wait" => Some(Role::Sidecar),
            _ => None,
        };
        if let Some(role) = role {
            hit(3, role, Proof::Exact, "Argo Workflows names main and wait".to_owned());
        }
    }
    if view.annotations.get("kubectl.kubernetes.io/default-container") == Some(name) {
        hit(3, Role::Main, Proof::Model, "annotation kubectl.kubernetes.io/default-container".to_owned());
    }
    if view.labels.get("app") == Some(name) {
        hit(3, Role::Main, Proof::Hint, "its name equals the label app".to_owned());
    }
    // 4: what injectors write.
    for row in table.rows() {
        let Some(status) = &row.status else { continue };
        let Some(value) = view.annotations.get(&status.annotation) else { continue };
        let by = format!("annotation {}", status.annotation);
        if status.containers_at.is_empty() {
            if row.names.iter().any(|pattern| super::sidecars::glob_matches(pattern, name)) {
                hit(4, Role::Sidecar, Proof::Model, by);
            }
        } else if let Ok(value) = serde_json::from_str::<Value>(value) {
            let names = value.pointer(&status.containers_at).and_then(Value::as_array);
            if names.into_iter().flatten().any(|known| known.as_str() == Some(name)) {
                hit(4, Role::Sidecar, Proof::Exact, by);
            }
        }
    }
    // 5: the table.
    match table.find(name, &container.image)? {
        Ok(row) => {
            hit(5, Role::Sidecar, Proof::Model, format!("name and image are those of {}", row.id));
            Some(row)
        }
        Err(row) => {
            hit(5, Role::Sidecar, Proof::Hint, format!("name or image is that of {}", row.id));
            Some(row)
        }
    }
}

/// Step 6: it alone has ports or probes, or runs as a mesh's user.
fn by_shape<'a>(regular: &[Member<'a>], view: &View<'a>, found: &mut [RoleOf<'a>]) {
    let serves = |container: &Container| {
        !container.ports.is_empty() || container.readiness_probe.is_some() || container.liveness_probe.is_some()
    };
    let serving = regular.iter().filter(|member| serves(member.container)).count();
    // Shape never takes the last container that may be the work: what is left beside known sidecars is the work.
    let known = |one: &RoleOf<'_>| one.hits.first().is_some_and(|hit| hit.role == Role::Sidecar);
    if found.iter().filter(|one| !known(one)).count() < 2 {
        return;
    }
    for (member, one) in regular.iter().zip(found) {
        let own = member.container.security_context.as_ref().and_then(|context| context.run_as_user);
        let user = own.or(view.spec.security_context.as_ref().and_then(|context| context.run_as_user));
        let because = if user.is_some_and(|user| MESH_USERS.contains(&user)) && regular.len() > 1 {
            "it runs as a user that meshes use"
        } else if serving == 1 && regular.len() > 1 && serves(member.container) {
            "it alone has ports or probes"
        } else {
            continue;
        };
        one.hits.push(RoleHit { step: 6, role: Role::Sidecar, proof: Proof::Hint, because: because.to_owned() });
    }
}

/// Step 7: what still runs long after something was done.
fn by_elimination<'a>(regular: &[Member<'a>], view: &View<'a>, now: Timestamp, found: &mut [RoleOf<'a>]) {
    let Some(status) = view.pod.and_then(|pod| pod.status.as_ref()) else { return };
    let sure = |hit: &RoleHit| hit.step <= 5 && hit.role == Role::Sidecar;
    if found.iter().any(|one| one.hits.iter().any(sure)) {
        return;
    }
    let running: BTreeSet<&str> = regular
        .iter()
        .map(|member| member.container.name.as_str())
        .filter(|name| status.container(name).is_some_and(super::ContainerStatus::is_running))
        .collect();
    let named = |one: &RoleOf<'_>| {
        let mark = |hit: &RoleHit| hit.role == Role::Main && hit.proof == Proof::Exact;
        running.contains(one.container) && one.hits.iter().any(mark)
    };
    if found.iter().any(named) {
        return;
    }
    let ends: Vec<Option<Timestamp>> = regular
        .iter()
        .filter_map(|member| {
            let status = status.container(&member.container.name)?;
            done(*member, view.spec, status).then(|| status.terminated().and_then(|ended| ended.finished))
        })
        .collect();
    let Some(newest) = ends.iter().copied().flatten().max() else { return };
    let least = view.usual.map_or(SHORTEST_ELIMINATION, |usual| (usual * 3).max(SHORTEST_ELIMINATION));
    if now.duration_since(newest) <= least {
        return;
    }
    for one in found.iter_mut().filter(|one| running.contains(one.container)) {
        let because = "it still runs long after another has ended".to_owned();
        one.hits.push(RoleHit { step: 7, role: Role::Sidecar, proof: Proof::Hint, because });
    }
}

/// What losing a container means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criticality {
    /// The pod is of no use without it.
    Essential,
    /// The pod's traffic passes through it.
    DataPath,
    /// The main container needs it.
    Helper,
    /// Losing it must not lose the pod.
    NonCritical,
}

/// Returns what losing a container means, and how sure that is.
#[must_use]
pub fn criticality(container: &Container, view: &View<'_>, table: &SidecarTable) -> (Criticality, Proof) {
    if view.nearest(NON_CRITICAL).is_some_and(|list| listed(list).any(|name| name == container.name)) {
        return (Criticality::NonCritical, Proof::Exact);
    }
    let class = |row: &Sidecar| match row.class.as_str() {
        "data-path" => Criticality::DataPath,
        "helper" => Criticality::Helper,
        "noncritical" => Criticality::NonCritical,
        _ => Criticality::Essential,
    };
    match table.find(&container.name, &container.image) {
        Some(Ok(row)) => (class(row), Proof::Model),
        Some(Err(row)) => (class(row), Proof::Hint),
        None => (Criticality::Essential, Proof::Exact),
    }
}
