//! PA605, PA606, PA613 and PA615: readiness that came and went, and what it costs to ask.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::events::has_unhealthy;
use super::pods::{GATED, World, gating, since, status, workload};
use crate::audit::facts::{Facts, Of, Pod, Read, State};
use crate::audit::kinds;
use crate::audit::needs::{Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Rule, absorbs};
use crate::audit::text::Text;

const FLAPS: &[Need] = &[
    Need::decides(Fact::Pod),
    Need::enriches(Fact::Node),
    Need::enriches(Fact::ReplicaSet),
    Need::enriches(Fact::Deployment),
];
const SPREAD: &[Need] = &[
    Need::decides(Fact::Pod),
    Need::decides(Fact::Node),
    Need::enriches(Fact::Event),
    Need::enriches(Fact::ReplicaSet),
    Need::enriches(Fact::Deployment),
];
const NODES: &[Need] = &[Need::decides(Fact::Node), Need::decides(Fact::Pod)];
const CAUSES: &[Need] = &[
    Need::decides(Fact::Pod),
    Need::enriches(Fact::Node),
    Need::enriches(Fact::Event),
    Need::enriches(Fact::ReplicaSet),
    Need::enriches(Fact::Deployment),
];

/// The rows.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "PA605",
        name: "readiness-flap",
        proof: Proof::Model,
        absorbs: &[absorbs("PA615")],
        summary: "a pod that ran for long became ready again: it was unready in between",
        why: "each flap takes it out of its services",
        remedy: "give readiness a higher failureThreshold or timeout, or repair what makes it slow",
        traps: &[
            "its node was not ready at that time",
            "every pod of its node flapped",
            "a readiness gate that came and went",
        ],
        needs: FLAPS,
        check: Check::Cluster(flap),
        ..Rule::BASE
    },
    Rule {
        id: "PA606",
        name: "correlated-flap",
        severity: Severity::Critical,
        absorbs: &[absorbs("PA605"), absorbs("PA615")],
        summary: "half of a workload's pods, on several nodes, became unready or ready within a minute, without a rollout",
        why: "readiness depends on something that they share: when that fails, there is no endpoint left",
        remedy: "take what they share out of the readiness probe",
        traps: &[
            "a rollout is going on",
            "a burst on one node is the kubelet's",
            "events say that their nodes were not ready",
        ],
        needs: SPREAD,
        check: Check::Cluster(correlated),
        ..Rule::BASE
    },
    Rule {
        id: "PA613",
        name: "exec-load",
        fold: crate::audit::rule::Fold::Itself,
        summary: "a node starts more than five processes a second for probes",
        why: "a hundred pods with trivial commands cost about a third of a node",
        remedy: "use httpGet, grpc or tcpSocket, or longer periods",
        links: &["https://github.com/kubernetes/kubernetes/issues/82440"],
        needs: NODES,
        check: Check::Node(load),
        ..Rule::BASE
    },
    Rule {
        id: "PA615",
        name: "unready-not-probe",
        severity: Severity::Info,
        summary: "pods are or were unready, and no probe is to blame",
        why: "looking at probes would lose time",
        remedy: "look at what is named",
        needs: CAUSES,
        check: Check::Cluster(not_probe),
        ..Rule::BASE
    },
];

/// A first start never takes this long, in seconds.
const FIRST_START: i64 = 600;
/// Two changes this close have one cause, in seconds.
const TOGETHER: i64 = 60;
/// Changes of a node's pods this close are the kubelet's, in seconds.
const BURST: i64 = 30;

/// A pod whose readiness changed once after it had started.
struct Change<'a> {
    pod: &'a Pod,
    at: Timestamp,
    ready: bool,
    /// Later than any first start.
    late: bool,
}

/// Returns the last change of a pod's readiness if it is no part of its start.
fn change<'a>(world: &World<'a>, facts: &Facts, pod: &'a Pod) -> Option<Change<'a>> {
    let ready = pod.status.as_ref()?.condition("Ready")?;
    let at = ready.at?;
    let mut began = None;
    for member in gating(pod) {
        let container = status(pod, &member)?;
        // After a restart a change is no riddle.
        let State::Running { since: Some(since) } = container.state else { return None };
        if container.restarts != 0 {
            return None;
        }
        began = began.max(Some(since));
    }
    let after = at.duration_since(began?).as_secs();
    let settles = world.pod_settles(facts, pod);
    (after > settles).then_some(Change { pod, at, ready: ready.is_true(), late: after > settles.max(FIRST_START) })
}

/// Returns the nodes whose pods changed together, with when and how many; changes by node.
fn bursts<'a>(changes: &[Change<'a>], world: &World<'a>, now: Timestamp) -> BTreeMap<Text, (Timestamp, usize)> {
    let mut judged: BTreeMap<&Text, usize> = BTreeMap::new();
    for pod in world.pods.iter().filter(|pod| !pod.node.is_empty()) {
        *judged.entry(&pod.node).or_default() += 1;
    }
    let mut times: BTreeMap<&Text, Vec<Timestamp>> = BTreeMap::new();
    let day = SignedDuration::from_hours(24);
    for change in changes.iter().filter(|change| now.duration_since(change.at) <= day) {
        times.entry(&change.pod.node).or_default().push(change.at);
    }
    let mut found = BTreeMap::new();
    for (node, mut times) in times {
        times.sort_unstable();
        let near = |from: &Timestamp| {
            times.iter().filter(|at| (0..=BURST).contains(&at.duration_since(*from).as_secs())).count()
        };
        let Some(best) = times.iter().max_by_key(|from| near(from)) else { continue };
        let (count, all) = (near(best), judged.get(node).copied().unwrap_or_default());
        if count >= 3 && count * 2 >= all {
            found.insert(node.clone(), (*best, count));
        }
    }
    found
}

fn in_burst(bursts: &BTreeMap<Text, (Timestamp, usize)>, change: &Change<'_>) -> bool {
    bursts
        .get(&change.pod.node)
        .is_some_and(|(from, _)| (0..=BURST).contains(&change.at.duration_since(*from).as_secs()))
}

/// Returns whether a pod's node changed its own readiness at that time.
fn by_node(facts: &Facts, change: &Change<'_>) -> bool {
    let ready = facts
        .node(&change.pod.node)
        .and_then(|node| node.status.as_ref())
        .and_then(|status| status.conditions.iter().find(|condition| condition.r#type == "Ready"));
    let at = ready.and_then(crate::kinds::Condition::changed_at);
    at.is_some_and(|at| at.duration_since(change.at).abs().as_secs() <= TOGETHER)
}

/// Returns whether events say that a pod's node was away at that time: the node controller tells the pods, too.
fn by_events(facts: &Facts, change: &Change<'_>) -> bool {
    const AWAY: &[&str] = &["NodeNotReady", "Rebooted"];
    let node = facts.node(&change.pod.node).map(|node| node.meta.uid.clone());
    // The kubelet names its node by its name where the uid should be.
    let about = [Some(change.pod.meta.uid.clone()), node, Some(change.pod.node.clone())];
    let near = |at: Option<Timestamp>| at.is_some_and(|at| at.duration_since(change.at).abs().as_secs() <= TOGETHER);
    about.into_iter().flatten().any(|uid| {
        let mut events = facts.events(&uid).iter().filter(|event| AWAY.contains(&&*event.reason));
        events.any(|event| near(event.last) || near(event.first))
    })
}

fn changes<'a>(world: &World<'a>, facts: &Facts) -> Vec<Change<'a>> {
    world.pods.iter().filter_map(|pod| change(world, facts, pod)).collect()
}

fn asks(pod: &Pod) -> bool {
    pod.spec.readiness_gates.is_empty() && gating(pod).any(|member| member.container.readiness_probe.is_some())
}

fn flap<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let (facts, world) = (context.facts, World::of(context.facts));
    let changes = changes(&world, facts);
    let bursts = bursts(&changes, &world, context.now);
    for change in changes.iter().filter(|change| change.ready && change.late && asks(change.pod)) {
        if by_node(facts, change) || in_burst(&bursts, change) {
            continue;
        }
        let message = format!(
            "the pod became ready at {}, long after its containers had started and without a restart: readiness flapped",
            change.at
        );
        let finding = context.finding(change.pod, message).since(Some(change.at));
        let finding = finding.evidence("/status/conditions", change.at.to_string());
        findings.push(finding.assuming("no first start of it takes more than ten minutes"));
    }
}

/// Returns whether a workload's pods are of one template and its controller has seen its newest spec.
fn is_settled(facts: &Facts, pods: &[&Pod]) -> bool {
    let hash = |pod: &&Pod| {
        let labels = &pod.meta.labels;
        let hash = labels.get("pod-template-hash").or_else(|| labels.get("controller-revision-hash"));
        hash.map(ToOwned::to_owned)
    };
    let hashes: BTreeSet<Option<String>> = pods.iter().map(hash).collect();
    let observed =
        pods.first().and_then(|pod| facts.chain(*pod).last().and_then(|link| link.object)).is_none_or(|root| {
            let of = facts.deployments().iter().find(|deployment| deployment.meta.uid == root.meta().uid);
            of.is_none_or(|deployment| {
                deployment.status.as_ref().and_then(|status| status.observed_generation) >= deployment.meta.generation
            })
        });
    hashes.len() == 1 && observed
}

fn correlated<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let (facts, world) = (context.facts, World::of(context.facts));
    let all = changes(&world, facts);
    let bursts = bursts(&all, &world, context.now);
    let mut pods: BTreeMap<Text, Vec<&'a Pod>> = BTreeMap::new();
    for pod in world.pods.iter().filter(|pod| pod.meta.owner.is_some()) {
        pods.entry(workload(facts, pod)).or_default().push(pod);
    }
    let mut changed: BTreeMap<Text, Vec<&Change<'a>>> = BTreeMap::new();
    let explained =
        |change: &Change<'_>| in_burst(&bursts, change) || by_node(facts, change) || by_events(facts, change);
    for change in all.iter().filter(|change| asks(change.pod) && !explained(change)) {
        changed.entry(workload(facts, change.pod)).or_default().push(change);
    }
    for (workload, mut changes) in changed {
        changes.sort_by_key(|change| change.at);
        let near = |from: &Change<'_>| -> Vec<&Change<'a>> {
            let close = |at: Timestamp| (0..=TOGETHER).contains(&at.duration_since(from.at).as_secs());
            changes.iter().copied().filter(|change| close(change.at)).collect()
        };
        let Some(best) = changes.iter().map(|change| near(change)).max_by_key(Vec::len) else { continue };
        let Some(siblings) = pods.get(&workload) else { continue };
        let nodes: BTreeSet<&Text> = best.iter().map(|change| &change.pod.node).collect();
        if best.len() < 3 || best.len() * 2 < siblings.len() || nodes.len() < 2 || !is_settled(facts, siblings) {
            continue;
        }
        for change in &best {
            let message = format!(
                "{} of {} pods on {} nodes changed their readiness within {TOGETHER} s, without a rollout: they share a cause",
                best.len(),
                siblings.len(),
                nodes.len()
            );
            let finding = context.finding(change.pod, message).since(best.first().map(|first| first.at));
            findings.push(finding.evidence("/status/conditions", change.at.to_string()));
        }
    }
}

fn load<'a>(context: &Context<'a>, node: &'a Of<kinds::Node>, findings: &mut Findings<'a>) {
    let mut each: Vec<(f64, &Pod)> = Vec::new();
    for pod in context.facts.pods_on(&node.meta.name).filter(|pod| pod.phase() == "Running") {
        let running = gating(pod)
            .filter(|member| status(pod, member).is_some_and(crate::audit::facts::ContainerStatus::is_running));
        let rate: f64 = running
            .flat_map(|member| super::probes(&member, &pod.spec))
            // Once it has passed, a startup probe runs no more.
            .filter(|probe| probe.handler.exec.is_some() && probe.kind != super::ProbeKind::Startup)
            .map(|probe| 1.0 / f64::from(probe.timing.period))
            .sum();
        if rate > 0.0 {
            each.push((rate, pod));
        }
    }
    let sum: f64 = each.iter().map(|(rate, _)| rate).sum();
    if sum <= 5.0 {
        return;
    }
    let message = format!("{} pods start {sum:.1} > 5 processes a second for probes", each.len());
    let finding = context.finding(node, message).detail("perSecond", (sum * 10.0).round() / 10.0);
    findings.push(finding.evidence("/metadata/name", &*node.meta.name));
}

/// Returns why a pod is unready, if that is no probe's doing.
fn cause(facts: &Facts, pod: &Pod) -> Option<(String, String)> {
    let status = pod.status.as_ref()?;
    let scheduled = status.condition("PodScheduled").filter(|condition| condition.status == "False");
    if let Some(condition) = scheduled {
        return Some((format!("it is not scheduled ({})", condition.reason), "/status/conditions".to_owned()));
    }
    let node = facts.node(&pod.node).and_then(|node| node.status.as_ref());
    let down = node.is_some_and(|node| {
        node.conditions.iter().any(|condition| condition.r#type == "Ready" && condition.status != "True")
    });
    if down {
        return Some((format!("node {} is not ready", pod.node), "/spec/nodeName".to_owned()));
    }
    let waits = status.init.iter().chain(&status.containers).find_map(|one| Some((one.name.clone(), one.waiting()?)));
    if let Some((name, reason)) = waits.filter(|(_, reason)| !reason.is_empty()) {
        let path = super::pods::status_path(pod, &name);
        return Some((format!("{name} waits: {reason}"), format!("{path}/state/waiting/reason")));
    }
    let gate = pod
        .spec
        .readiness_gates
        .iter()
        .find(|gate| status.condition(&gate.condition_type).is_none_or(|condition| !condition.is_true()));
    gate.map(|gate| (format!("readiness gate {} is not true", gate.condition_type), "/spec/readinessGates".to_owned()))
}

fn not_probe<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let (facts, world) = (context.facts, World::of(context.facts));
    let all = changes(&world, facts);
    let bursts = bursts(&all, &world, context.now);
    for (name, (from, count)) in &bursts {
        let Some(node) = facts.node(name) else { continue };
        let message = format!(
            "{count} pods of node {name} changed their readiness within {BURST} s at {from}: the kubelet was restarted, or the node was not ready"
        );
        let finding = context.finding(node, message).key("burst").since(Some(*from));
        findings.push(finding.evidence("/metadata/name", &**name));
    }
    // Without events nobody knows whether a probe failed.
    let blind = matches!(facts.read(Fact::Event), Read::Not(_));
    for pod in &world.pods {
        let Some(ready) = pod.status.as_ref().and_then(|status| status.condition("Ready")) else { continue };
        if ready.is_true() || has_unhealthy(context, pod) {
            continue;
        }
        let settles = SignedDuration::from_secs(world.pod_settles(facts, pod));
        // What was started again later may be starting still.
        let started = gating(pod).filter_map(|member| since(pod, status(pod, &member)?)).max();
        let since = ready.at.max(started);
        if !context.held(since, settles) {
            continue;
        }
        let told = cause(facts, pod);
        let known = told.is_some();
        let unread = || blind.then(|| ("cause unknown".to_owned(), "/status/conditions".to_owned()));
        let Some((cause, path)) = told.or_else(unread) else { continue };
        // Controllers of gates need minutes.
        if path.ends_with("readinessGates") && !context.held(since, GATED) {
            continue;
        }
        let message = if blind && known {
            format!("the pod is unready: {cause}; events cannot be read, so a probe may have failed as well")
        } else if known {
            format!("the pod is unready, and no probe failed: {cause}")
        } else {
            "the pod is unready, cause unknown: events cannot be read".to_owned()
        };
        findings.push(context.finding(*pod, message).since(ready.at).evidence(path, cause));
    }
}
