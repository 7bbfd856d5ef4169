//! DaemonSets: the rules WD-N1 to WD-N6.

use std::collections::BTreeSet;

use super::assess::Context;
use super::object::{Body, Object, ObjectKey};
use super::policy::Level;
use super::reason::Reason;
use super::verdict::{Outcome, Statement};
use super::view::Lookup;
use crate::kinds::{DaemonSet, Node, Pod, Time};

const REVISION: &str = "controller-revision-hash";

pub(super) fn judge(object: &Object, set: &DaemonSet, cx: &Context<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(status) = &set.status else {
        outcome.wait("WD-N1", Reason::NoObservedGeneration, "no status yet");
        return outcome;
    };
    let Some(desired) = status.desired_number_scheduled.filter(|desired| *desired >= 0) else {
        outcome.wait("WD-N1", Reason::NoDesiredNumber, "the status does not say how many pods are desired");
        return outcome;
    };
    let spec = set.spec.clone().unwrap_or_default();
    let updated = status.updated_number_scheduled;
    let available = match status.number_available {
        Some(available) => available,
        None if spec.min_ready_seconds == 0 => status.number_ready,
        None => 0,
    };
    outcome.available = Some(i64::from(available));
    for (path, value) in [
        ("status.desiredNumberScheduled", desired),
        ("status.updatedNumberScheduled", updated),
        ("status.numberReady", status.number_ready),
        ("status.numberAvailable", available),
    ] {
        outcome.read(path, value);
    }
    let on_delete = spec.update_strategy.as_ref().is_some_and(|strategy| strategy.r#type == "OnDelete");
    if on_delete && updated < desired {
        let message = format!("{updated} of {desired} pods updated, the strategy is OnDelete");
        outcome.suspended = Some(Statement::new("WD-N3", Reason::ManualDeleteRequired, message));
        return outcome;
    }
    if updated < desired {
        let message = format!("{updated} of {desired} pods updated");
        outcome.wait("WD-N4", Reason::UpdatedReplicas, message);
    }
    let new: Vec<&Pod> = new_pods(object, cx, &mut outcome);
    if cx.policy.until >= Level::Available && available < desired && outcome.progressing.is_empty() {
        let budget = cx.policy.max_broken_nodes.of(desired);
        match counted(&new, status.number_ready, cx) {
            Some(excluded) if excluded.broken <= budget => {
                outcome.note("NodesExcluded", excluded.names());
                outcome.done("WD-N6", "every pod on a node that can run one is ready");
                return outcome;
            }
            Some(excluded) => {
                let (broken, names) = (excluded.broken, excluded.names());
                let message =
                    format!("{available} of {desired} available; {broken} nodes are broken, {budget} may be: {names}");
                outcome.wait("WD-N6", Reason::AvailableReplicas, message);
            }
            None => outcome.wait("WD-N5", Reason::AvailableReplicas, format!("{available} of {desired} available")),
        }
    }
    if desired == 0 {
        outcome.warn("NoNodes", "no node matches: nothing runs");
    }
    if !outcome.progressing.is_empty() {
        let counted = new.into_iter().filter(|pod| node(pod, cx).is_none_or(Node::takes_pods));
        cx.suspect_pods(counted, &mut outcome);
    }
    outcome.done("WD-N5", format!("{available} of {desired} available"));
    outcome
}

/// Returns the hash of the newest revision, where revisions can be read.
pub(super) fn newest_hash<'a>(object: &'a Object, cx: &Context<'a>) -> Option<&'a str> {
    let revisions = cx.view.controlled(&object.meta().uid, "ControllerRevision");
    let newest = revisions
        .filter_map(|revision| match &revision.body {
            Body::Revision(body) => Some((body.revision.unwrap_or(0), revision.key.name.as_str())),
            _ => None,
        })
        .max();
    newest.and_then(|(_, name)| name.strip_prefix(object.key.name.as_str())?.strip_prefix('-'))
}

/// Returns whether a pod is of the revision with `hash`; every pod where no hash is known.
pub(super) fn belongs(hash: Option<&str>, pod: &Pod) -> bool {
    hash.is_none_or(|hash| pod.metadata.label(REVISION) == hash)
}

/// Returns the pods of the newest revision; all of them, with a note, where revisions cannot be read.
fn new_pods<'a>(object: &Object, cx: &Context<'a>, outcome: &mut Outcome) -> Vec<&'a Pod> {
    let hash = newest_hash(object, cx);
    if let Lookup::Denied(what) = cx.reading("apps", "ControllerRevision") {
        outcome.note("DetailUnavailable", format!("cannot {what}: pods of older revisions count too"));
    }
    cx.view.pods(&object.meta().uid).filter(|pod| belongs(hash, pod)).collect()
}

/// Returns the node a pod runs on, if nodes can be read.
fn node<'a>(pod: &Pod, cx: &Context<'a>) -> Option<&'a Node> {
    let name = &pod.spec.as_ref()?.node_name;
    match &cx.view.get(&ObjectKey::new("", "Node", "", name))?.body {
        Body::Node(node) => Some(node.as_ref()),
        _ => None,
    }
}

/// Nodes that a decision leaves out.
struct Excluded {
    nodes: BTreeSet<String>,
    /// Those that were there at the start and cannot run a pod.
    broken: usize,
}

impl Excluded {
    fn names(&self) -> String {
        self.nodes.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Decides over the nodes that can run a pod and, in a live wait, were there at its start: a node that joins must not
/// extend the wait for ever, a broken one must not block it. Returns the nodes left out when all others are ready.
fn counted(new: &[&Pod], number_ready: i32, cx: &Context<'_>) -> Option<Excluded> {
    let mut excluded = Excluded { nodes: BTreeSet::new(), broken: 0 };
    let mut counted = 0;
    for pod in new {
        let node = node(pod, cx)?;
        let joined = cx.clock.start.is_some_and(|start| {
            let born = node.metadata.creation_timestamp.as_ref().and_then(Time::timestamp);
            born.is_some_and(|born| born > start)
        });
        if !node.takes_pods() || joined {
            let is_new = excluded.nodes.insert(node.metadata.name.clone());
            excluded.broken += usize::from(is_new && !joined);
        } else if pod.is_ready() {
            counted += 1;
        } else {
            return None;
        }
    }
    (counted > 0 && number_ready >= counted && !excluded.nodes.is_empty()).then_some(excluded)
}
