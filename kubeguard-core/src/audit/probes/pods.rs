//! Pods as live rules read them, and the rules that need no events: PA404, PA406, PA604, PA607, PA614.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::model::{budget, to_ready};
use super::{ProbeKind, listed, routing};
use crate::audit::facts::{Carrier, ContainerStatus, Facts, Of, Pod, State};
use crate::audit::kinds::Service;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Absorbs, Check, Context, Findings, Rule, absorbs};
use crate::audit::text::Text;
use crate::pods::{Class, Criticality, Member, Role, View, criticality, members};

const PODS: &[Need] = &[
    Need::decides(Fact::Pod),
    Need::enriches(Fact::ReplicaSet),
    Need::enriches(Fact::Deployment),
    Need::enriches(Fact::Namespace),
];
const SERVED: &[Need] = &[
    Need::decides(Fact::Pod),
    Need::decides(Fact::Service),
    Need::decides(Fact::EndpointSlice),
    Need::decides(Fact::StatefulSet).or_none(),
    Need::enriches(Fact::ReplicaSet),
    Need::enriches(Fact::Deployment),
    Need::enriches(Fact::Namespace),
];

/// What every rule with a cause of its own makes redundant.
const UNKNOWN: &[Absorbs] = &[absorbs("PA615")];

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA404",
        name: "proxy-without-liveness",
        severity: Severity::Info,
        summary: "a proxy in the data path has been unready for long, and nothing restarts it",
        why: "it stays so until somebody deletes the pod",
        remedy: "delete the pod; give the proxy a liveness probe of its own",
        links: &["https://github.com/istio/istio/issues/50550"],
        needs: PODS,
        check: Check::Cluster(stuck_proxy),
        ..Rule::BASE
    },
    Rule {
        id: "PA406",
        name: "readiness-gate-orphan",
        severity: Severity::Critical,
        absorbs: UNKNOWN,
        summary: "nobody sets a condition that a readiness gate waits for",
        why: "the pod never becomes ready",
        remedy: "install the controller that sets the condition, or drop the gate",
        traps: &["load balancer controllers need minutes", "containers that are not ready yet"],
        needs: PODS,
        check: Check::Cluster(orphan),
        ..Rule::BASE
    },
    Rule {
        id: "PA604",
        name: "never-ready",
        severity: Severity::High,
        absorbs: UNKNOWN,
        summary: "a container runs for longer than it may need to start, and has never been ready",
        why: "the pod gets no traffic, and a rollout waits for it",
        remedy: "look at the container's log and at what its readiness probe asks",
        traps: &[
            "it may still be starting",
            "a readiness gate holds the pod, not the container",
            "a pod that is meant to end is asked for no readiness",
        ],
        needs: PODS,
        check: Check::Cluster(never_ready),
        ..Rule::BASE
    },
    Rule {
        id: "PA607",
        name: "one-container-downs-service",
        severity: Severity::Critical,
        absorbs: &[absorbs("PA604"), absorbs("PA614"), absorbs("PA615")],
        summary: "a service has no endpoint because one container is unready in every pod, and the others are ready",
        why: "a pod is ready only while all of its containers are",
        remedy: "repair the container; if it must not decide about traffic, take its readiness probe away and move it out of the pod",
        traps: &["a new revision that is still starting"],
        needs: SERVED,
        check: Check::Cluster(downs_service),
        ..Rule::BASE
    },
    Rule {
        id: "PA614",
        name: "sidecar-crash-unready",
        severity: Severity::High,
        absorbs: UNKNOWN,
        summary: "a pod is unready only because a sidecar does not run",
        why: "a container that is not running makes the pod unready at once, whatever the probes say",
        remedy: "repair the sidecar; one that ends by design belongs into a cron job or an init container",
        links: &["https://github.com/kubernetes/kubernetes/issues/8327"],
        needs: PODS,
        check: Check::Cluster(crashed_sidecar),
        ..Rule::BASE
    },
];

/// Observed starts above this are flaps.
const LONGEST_START: i64 = 600;
/// What is granted beyond the arithmetic: the kubelet's own delays.
const SLACK: i64 = 60;
/// A proxy may be unready for this long.
const STUCK: SignedDuration = SignedDuration::from_mins(30);
/// A controller may take this long to set a gate.
pub(super) const GATED: SignedDuration = SignedDuration::from_mins(5);

/// The pods that are judged, with how long their containers took to start.
pub(super) struct World<'a> {
    /// Neither ended nor deleted nor meant to end.
    pub(super) pods: Vec<&'a Pod>,
    starts: HashMap<(Text, &'a str), Vec<i64>>,
}

/// Returns what tells the pods of one workload from others: the uid of the owner of their owner, or of their owner.
pub(super) fn workload(facts: &Facts, pod: &Pod) -> Text {
    let Some(owner) = &pod.meta.owner else { return pod.meta.uid.clone() };
    let above = facts.owner_of(pod).and_then(|owner| owner.meta().owner.as_ref());
    above.map_or_else(|| owner.uid.clone(), |above| above.uid.clone())
}

fn of_job(pod: &Pod) -> bool {
    pod.meta.owner.as_ref().is_some_and(|owner| owner.kind == "Job")
}

/// Returns how long a container took from its start to its pod's readiness, if it is its first one.
fn start(pod: &Pod, container: &ContainerStatus) -> Option<i64> {
    let ready = pod.status.as_ref()?.condition("Ready").filter(|ready| ready.is_true())?.at?;
    let State::Running { since: Some(since) } = container.state else { return None };
    let took = ready.duration_since(since).as_secs();
    (container.restarts == 0 && (0..=LONGEST_START).contains(&took)).then_some(took)
}

impl<'a> World<'a> {
    pub(super) fn of(facts: &'a Facts) -> Self {
        // What is meant to end is unready as soon as its first container has ended.
        let ends = |pod: &Pod| of_job(pod) || matches!(pod.spec.restart_policy.as_str(), "Never" | "OnFailure");
        let judged = |pod: &&Pod| !pod.is_over() && pod.meta.deleted.is_none() && !ends(pod) && pod.status.is_some();
        let pods: Vec<&Pod> = facts.pods().iter().filter(judged).collect();
        let mut starts: HashMap<(Text, &str), Vec<i64>> = HashMap::new();
        for pod in &pods {
            let statuses = pod.status.iter().flat_map(|status| status.containers.iter().chain(&status.init));
            for container in statuses {
                if let Some(took) = start(pod, container) {
                    starts.entry((workload(facts, pod), &container.name)).or_default().push(took);
                }
            }
        }
        for all in starts.values_mut() {
            all.sort_unstable();
        }
        Self { pods, starts }
    }

    /// Returns the observed starts of a container of a workload, in seconds, the shortest first.
    pub(super) fn starts(&self, workload: &Text, container: &'a str) -> &[i64] {
        self.starts.get(&(workload.clone(), container)).map_or(&[], Vec::as_slice)
    }

    /// Returns after how many seconds a container that is not ready was not merely starting.
    pub(super) fn settles(&self, facts: &Facts, pod: &'a Pod, member: &Member<'a>) -> i64 {
        let granted = match member.container.startup_probe {
            Some(_) => budget(member),
            None => self.starts(&workload(facts, pod), &member.container.name).last().copied().unwrap_or_default(),
        };
        granted + to_ready(member) + SLACK
    }

    /// Returns the longest of these times of a pod's containers.
    pub(super) fn pod_settles(&self, facts: &Facts, pod: &'a Pod) -> i64 {
        gating(pod).map(|member| self.settles(facts, pod, &member)).max().unwrap_or(SLACK)
    }
}

/// Returns the containers that make a pod unready.
pub(super) fn gating(pod: &Pod) -> impl Iterator<Item = Member<'_>> {
    members(&pod.spec).filter(Member::is_gating)
}

/// Returns what the kubelet says of a container.
pub(super) fn status<'a>(pod: &'a Pod, member: &Member<'_>) -> Option<&'a ContainerStatus> {
    pod.status.as_ref()?.container(&member.container.name)
}

/// Returns a pod as a template of its own.
pub(super) fn carried(pod: &Pod) -> Carrier<'_> {
    Carrier { object: pod, labels: &pod.meta.labels, annotations: &pod.meta.annotations, spec: &pod.spec, path: "" }
}

/// Returns since when a container runs, or its pod where nothing is said of it.
pub(super) fn since(pod: &Pod, container: &ContainerStatus) -> Option<Timestamp> {
    let running = match &container.state {
        State::Running { since } => *since,
        _ => None,
    };
    running.or_else(|| pod.status.as_ref()?.started)
}

/// Returns the pointer of a container's status.
pub(super) fn status_path(pod: &Pod, name: &str) -> String {
    let Some(status) = &pod.status else { return "/status".to_owned() };
    let regular = status.containers.iter().position(|one| one.name == name).map(|at| ("containerStatuses", at));
    let init = || status.init.iter().position(|one| one.name == name).map(|at| ("initContainerStatuses", at));
    regular.or_else(init).map_or_else(|| "/status".to_owned(), |(list, at)| format!("/status/{list}/{at}"))
}

fn class(context: &Context<'_>, pod: &Pod, member: &Member<'_>) -> (Criticality, Proof) {
    let view = View { around: context.facts.around(pod), ..View::of_pod(pod) };
    criticality(member.container, &view, &context.policy.sidecars)
}

fn stuck_proxy<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    for pod in World::of(context.facts).pods {
        for member in gating(pod) {
            let container = member.container;
            let Some(status) = status(pod, &member) else { continue };
            if container.readiness_probe.is_none()
                || container.liveness_probe.is_some()
                || status.ready
                || !status.is_running()
            {
                continue;
            }
            let (class, proof) = class(context, pod, &member);
            let ready = pod.status.as_ref().and_then(|status| status.condition("Ready"));
            let since = ready.filter(|ready| !ready.is_true()).and_then(|ready| ready.at);
            // A proxy that was started again later has been unready for no longer than it runs.
            let since = since.max(self::since(pod, status));
            if class != Criticality::DataPath || !context.held(since, STUCK) {
                continue;
            }
            let message = format!(
                "{} has been unready for more than 30 minutes while running, and has no liveness probe",
                container.name
            );
            let finding = context.container(carried(pod), member, message).proof(proof).since(since);
            findings.push(finding.evidence(format!("{}/ready", status_path(pod, &container.name)), false));
        }
    }
}

fn orphan<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    for pod in World::of(context.facts).pods {
        let Some(status) = &pod.status else { continue };
        let ready = status.condition("ContainersReady");
        if pod.spec.readiness_gates.is_empty()
            || ready.is_some_and(|ready| !ready.is_true())
            || pod.phase() != "Running"
        {
            continue;
        }
        let all = gating(pod).all(|member| self::status(pod, &member).is_none_or(|status| status.ready));
        let since = ready.and_then(|ready| ready.at).or(status.started);
        if !all || !context.held(since, GATED) {
            continue;
        }
        for (at, gate) in pod.spec.readiness_gates.iter().enumerate() {
            let kind = &gate.condition_type;
            if status.condition(kind).is_some() {
                continue;
            }
            let message = format!(
                "nobody has set the condition {kind} that a readiness gate waits for: the pod never becomes ready"
            );
            let finding = context.finding(pod, message).key(kind.as_str()).since(since);
            findings.push(finding.evidence(format!("/spec/readinessGates/{at}/conditionType"), kind.as_str()));
        }
    }
}

fn never_ready<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let world = World::of(context.facts);
    for pod in &world.pods {
        if pod.phase() != "Running" {
            continue;
        }
        for member in gating(pod) {
            let Some(status) = status(pod, &member) else { continue };
            let known = matches!(status.state, State::Running { .. } | State::Unknown);
            if status.ready || status.restarts != 0 || !known {
                continue;
            }
            let since = since(pod, status);
            let settles = world.settles(context.facts, pod, &member);
            if !context.held(since, SignedDuration::from_secs(settles)) {
                continue;
            }
            let name = &member.container.name;
            let message =
                format!("{name} has run for longer than {settles} s, which it may need, and has never been ready");
            let finding = context.container(carried(pod), member, message).since(since);
            findings.push(finding.evidence(format!("{}/ready", status_path(pod, name)), false));
        }
    }
}

/// Returns the one container that keeps a pod unready while others are ready.
fn sole<'a>(pod: &'a Pod) -> Option<Member<'a>> {
    let is_ready = |member: &Member<'_>| status(pod, member).is_some_and(|status| status.ready);
    let (ready, unready): (Vec<Member<'a>>, Vec<Member<'a>>) = gating(pod).partition(is_ready);
    match unready.as_slice() {
        [one] if !ready.is_empty() => Some(*one),
        _ => None,
    }
}

/// A service and the pods that it selects.
type Behind<'a> = (&'a Of<Service>, Vec<&'a Pod>);
/// Services that one container keeps down, and its pods.
type Downed<'a> = (Vec<&'a Of<Service>>, Vec<&'a Pod>);

fn downs_service<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let facts = context.facts;
    let world = World::of(facts);
    let mut behind: BTreeMap<(Text, Text), Behind<'a>> = BTreeMap::new();
    for pod in &world.pods {
        for service in facts.services_of(&pod.meta.namespace, &pod.meta.labels) {
            let key = (service.meta.namespace.clone(), service.meta.name.clone());
            behind.entry(key).or_insert_with(|| (service, Vec::new())).1.push(pod);
        }
    }
    let mut downed: BTreeMap<(Text, &str), Downed<'a>> = BTreeMap::new();
    for (service, pods) in behind.into_values() {
        let endpoints = facts.slices_of(service).flat_map(|slice| &slice.endpoints);
        let ready = |endpoint: &crate::audit::kinds::Endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
        };
        if !routing::counts(facts, service) || endpoints.into_iter().any(ready) {
            continue;
        }
        let sole: Option<Vec<Member<'a>>> = pods.iter().map(|pod| sole(pod)).collect();
        let Some((first, rest)) = sole.as_deref().and_then(<[_]>::split_first) else { continue };
        let one = rest.iter().all(|other| other.container.name == first.container.name);
        let starting = pods.iter().zip(sole.iter().flatten()).all(|(pod, member)| {
            let settles = SignedDuration::from_secs(world.settles(facts, pod, member));
            let restarts = status(pod, member).map_or(0, |status| status.restarts);
            let born = pod.status.as_ref().and_then(|status| status.started).or(pod.meta.created);
            let waits = status(pod, member).and_then(ContainerStatus::waiting);
            restarts == 0 && waits != Some("CrashLoopBackOff") && !context.held(born, settles)
        });
        if !one || starting {
            continue;
        }
        for pod in pods {
            let entry = downed.entry((workload(facts, pod), &first.container.name)).or_default();
            if !entry.0.iter().any(|known| known.meta.name == service.meta.name) {
                entry.0.push(service);
            }
            if !entry.1.iter().any(|known| std::ptr::eq(*known, pod)) {
                entry.1.push(pod);
            }
        }
    }
    for (services, pods) in downed.into_values() {
        let names: Vec<&str> = services.iter().map(|service| &*service.meta.name).collect();
        for pod in &pods {
            let Some(member) = sole(pod) else { continue };
            let container = &member.container.name;
            let noncritical = class(context, pod, &member).0 == Criticality::NonCritical;
            let (count, plural) = (names.len(), if names.len() == 1 { "" } else { "s" });
            let what = if noncritical { "took down" } else { "keeps down" };
            let message = format!(
                "{container} {what} {count} service{plural}: {} {} no endpoint, everything else in {} pods is ready",
                listed(&names),
                if count == 1 { "has" } else { "have" },
                pods.len()
            );
            let mut finding = context.container(carried(pod), member, message);
            finding = finding.evidence(format!("{}/ready", status_path(pod, container)), false);
            finding = finding.detail("services", json!(names));
            if let Some(service) = services.first() {
                finding = finding.evidence_of(*service, "/spec/selector", json!({}));
            }
            findings.push(finding);
        }
    }
}

fn crashed_sidecar<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    for pod in World::of(context.facts).pods {
        let Some(member) = sole(pod) else { continue };
        let Some(status) = status(pod, &member) else { continue };
        let state = match &status.state {
            State::Waiting { reason, .. } if reason == "CrashLoopBackOff" => "waits in CrashLoopBackOff".to_owned(),
            State::Terminated(ended) => format!("ended with exit code {}", ended.exit_code),
            _ => continue,
        };
        let proof = if member.class == Class::NativeSidecar {
            Proof::Exact
        } else {
            let roles = context.facts.roles(pod, &context.policy.sidecars, context.now);
            let role = roles.iter().find(|one| one.container == member.container.name);
            // What alone has ports or probes is the work of a pod that stays: shape says nothing here.
            let sign = role.and_then(|one| one.hits.first()).filter(|hit| hit.step <= 5 && hit.role == Role::Sidecar);
            let Some(sign) = sign else { continue };
            sign.proof
        };
        let name = &member.container.name;
        let message =
            format!("sidecar {name} {state}, and everything else in the pod is ready: the pod gets no traffic");
        let finding = context.container(carried(pod), member, message).proof(proof);
        findings.push(finding.evidence(format!("{}/ready", status_path(pod, name)), false));
    }
}

/// Returns a probe of a live container by its kind.
pub(super) fn probe_of<'a>(pod: &'a Pod, member: &Member<'a>, kind: ProbeKind) -> Option<super::Probe<'a>> {
    super::model::probe(member, &pod.spec, kind)
}
