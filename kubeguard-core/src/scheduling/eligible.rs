//! Whether a node takes a pod, and the first reason why not.

use std::fmt;

use super::{DAEMON_TOLERATES, PlaceNode, Taint};
use crate::audit::facts::Of;
use crate::audit::kinds::{self, PodSpec};

/// What is asked of a node.
pub trait Placed {
    /// Returns its name.
    fn name(&self) -> &str;
    /// Returns the value of a label.
    fn label(&self, key: &str) -> Option<&str>;
    /// Returns its taints.
    fn taints(&self) -> &[Taint];
    /// Returns whether somebody keeps new pods away from it.
    fn is_unschedulable(&self) -> bool;
}

impl Placed for PlaceNode {
    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.get(key).map(String::as_str)
    }

    fn taints(&self) -> &[Taint] {
        self.spec.as_ref().map_or(&[], |spec| &spec.taints)
    }

    fn is_unschedulable(&self) -> bool {
        Placed::taints(self).iter().any(|taint| taint.key == UNSCHEDULABLE)
    }
}

impl Placed for Of<kinds::Node> {
    fn name(&self) -> &str {
        &self.meta.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.meta.labels.get(key)
    }

    fn taints(&self) -> &[Taint] {
        self.spec.as_ref().map_or(&[], |spec| &spec.taints)
    }

    fn is_unschedulable(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.unschedulable)
    }
}

impl Placed for kinds::Node {
    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.get(key).map(String::as_str)
    }

    fn taints(&self) -> &[Taint] {
        self.spec.as_ref().map_or(&[], |spec| &spec.taints)
    }

    fn is_unschedulable(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.unschedulable)
    }
}

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NETWORK: &str = "node.kubernetes.io/network-unavailable";

/// Whether a node takes a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Eligibility {
    /// It does, if there is room.
    Yes,
    /// It does not.
    No(Obstacle),
}

impl Eligibility {
    /// Returns whether it does.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// The first reason why a node does not take a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Obstacle {
    /// The pod names another node.
    OtherNode(String),
    /// The node lacks a label of `nodeSelector`.
    Selector {
        /// Its key.
        key: String,
        /// What it should be.
        value: String,
    },
    /// No term of the required node affinity matches.
    Affinity,
    /// A taint that is not tolerated.
    Taint(Taint),
    /// It is cordoned.
    Unschedulable,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherNode(name) => write!(f, "the pod names node {name}"),
            Self::Selector { key, value } => write!(f, "the node has no label {key}={value}"),
            Self::Affinity => f.write_str("no term of the required node affinity matches"),
            Self::Taint(Taint { key, value, effect, .. }) if value.is_empty() => {
                write!(f, "the taint {key}:{effect} is not tolerated")
            }
            Self::Taint(Taint { key, value, effect, .. }) => {
                write!(f, "the taint {key}={value}:{effect} is not tolerated")
            }
            Self::Unschedulable => f.write_str("the node is cordoned"),
        }
    }
}

/// Returns whether a node takes a pod, by everything but room: name, selector, required node affinity, taints, cordon.
///
/// `daemon` adds what the controller of `DaemonSet`s lets its pods tolerate, with the host's network one more. Taints of
/// effect `PreferNoSchedule` and preferences do not count; a term that does not parse matches nothing.
#[must_use]
pub fn eligible(node: &impl Placed, pod: &PodSpec, daemon: bool) -> Eligibility {
    let no = Eligibility::No;
    if !pod.node_name.is_empty() && pod.node_name != node.name() {
        return no(Obstacle::OtherNode(pod.node_name.clone()));
    }
    if let Some((key, value)) = pod.node_selector.iter().find(|(key, value)| node.label(key) != Some(value)) {
        return no(Obstacle::Selector { key: key.clone(), value: value.clone() });
    }
    let required = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()?.required.as_ref());
    if required.is_some_and(|required| !required.matches(node)) {
        return no(Obstacle::Affinity);
    }
    let tolerated = |taint: &Taint| {
        let by_controller = daemon
            && (DAEMON_TOLERATES.contains(&(taint.key.as_str(), taint.effect.as_str()))
                || (pod.host_network && taint.key == NETWORK && taint.effect == "NoSchedule"));
        by_controller || pod.tolerations.iter().any(|toleration| toleration.tolerates(taint))
    };
    let keeps_away = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    if let Some(taint) = node.taints().iter().filter(keeps_away).find(|taint| !tolerated(taint)) {
        return no(Obstacle::Taint(taint.clone()));
    }
    // The taint of a cordon follows the field; a node in a file may have the field alone.
    let cordon = Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    if node.is_unschedulable() && !tolerated(&cordon) {
        return no(Obstacle::Unschedulable);
    }
    Eligibility::Yes
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(node: &Value, spec: &Value, daemon: bool) -> Eligibility {
        let node: kinds::Node = crate::kinds::read(node.clone()).0;
        eligible(&node, &crate::kinds::read(spec.clone()).0, daemon)
    }

    fn node(spec: &Value) -> Value {
        json!({"metadata": {"name": "n1", "labels": {"pool": "a"}}, "spec": spec})
    }

    fn required(term: &Value) -> Value {
        let terms = json!({"nodeSelectorTerms": [term]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
    }

    #[test]
    fn the_first_reason_is_told() {
        let plain = node(&json!({}));
        assert!(asked(&plain, &json!({}), false).is_yes());
        for (spec, why) in [
            (json!({"nodeName": "n2"}), "the pod names node n2"),
            (json!({"nodeSelector": {"pool": "b"}}), "the node has no label pool=b"),
            (
                required(
                    &json!({"matchExpressions": [{"key": "pool", "operator": "Exists"}, {"key": "x", "operator": "Exists"}]}),
                ),
                "no term of the required node affinity matches",
            ),
        ] {
            let Eligibility::No(obstacle) = asked(&plain, &spec, true) else { panic!("{spec}") };
            assert_eq!(obstacle.to_string(), why);
        }
    }

    #[test]
    fn an_affinity_that_does_not_parse_matches_nothing() {
        for (key, operator, values) in [
            ("disk", "NotIn", json!([])),
            ("disk", "DoesNotExist", json!(["a"])),
            ("pool", "Exists", json!(["a"])),
            ("pool", "Near", json!([])),
            ("pool", "Gt", json!(["few"])),
        ] {
            let term = json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
            let told = asked(&node(&json!({})), &required(&term), false);
            assert_eq!(told, Eligibility::No(Obstacle::Affinity), "{operator} {values}");
        }
    }

    #[test]
    fn daemons_tolerate_the_troubles_of_their_nodes_and_the_network_only_on_the_hosts() {
        let tainted = |key: &str, effect: &str| node(&json!({"taints": [{"key": key, "effect": effect}]}));
        for (key, effect) in DAEMON_TOLERATES {
            assert!(asked(&tainted(key, effect), &json!({}), true).is_yes(), "{key}");
            assert!(!asked(&tainted(key, effect), &json!({}), false).is_yes(), "{key}");
        }
        let network = tainted(NETWORK, "NoSchedule");
        assert!(asked(&network, &json!({"hostNetwork": true}), true).is_yes());
        assert!(!asked(&network, &json!({}), true).is_yes());
        assert!(!asked(&network, &json!({"hostNetwork": true}), false).is_yes());
        assert!(!asked(&tainted("gpu", "NoSchedule"), &json!({}), true).is_yes());
        assert!(asked(&tainted("gpu", "PreferNoSchedule"), &json!({}), false).is_yes());
    }

    #[test]
    fn a_cordon_keeps_away_what_does_not_tolerate_it() {
        let cordoned = node(&json!({"unschedulable": true}));
        assert_eq!(asked(&cordoned, &json!({}), false), Eligibility::No(Obstacle::Unschedulable));
        assert!(asked(&cordoned, &json!({}), true).is_yes());
        assert!(asked(&cordoned, &json!({"tolerations": [{"operator": "Exists"}]}), false).is_yes());
    }
}
