//! Which nodes a pod may be put on: `nodeName`, `nodeSelector`, required node affinity, taints and tolerations.
//!
//! The rules are those of the scheduler's filters `NodeName`, `NodeAffinity` and `TaintToleration`
//! (`k8s.io/component-helpers/scheduling/corev1`). Room on a node, preferences, volumes and topology are not looked at: they
//! pass, and these do not.
//!
//! Beside it what a pod asks for ([`pod_request`]), what nodes have left ([`rooms`]), and numbers that may be percentages
//! ([`int_or_percent`]): the arithmetic that models share.

mod count;
mod eligible;
mod requests;
mod rooms;

use serde_json::Value;

pub use count::{NotACount, Round, int_or_percent};
pub use eligible::{Eligibility, Obstacle, Placed, eligible};
pub use requests::{
    Amounts, EffectiveContainer, EffectivePod, HostPort, Unparsed, amounts, effective_resources, pod_level_default,
    pod_request, shown,
};
pub use rooms::{NodeRoom, PortSet, Rooms, rooms};

use crate::audit::kinds::LabelSelector;
use crate::kinds::{Kind, ObjectMeta, Time, message};

message! {
    /// The fields of a pod's spec that say where it may run.
    struct Placement {
        7 node_selector: Map,
        10 node_name: String,
        18 affinity: {Affinity},
        22 tolerations: [{Toleration}],
    }
}

message! {
    /// Required affinity to nodes, to pods, and against pods.
    struct Affinity {
        1 node_affinity: {NodeAffinity},
        2 pod_affinity: {PodAffinity},
        3 pod_anti_affinity: {PodAffinity},
    }
}

message! {
    /// Which pods are wanted near, or far; preferences are not read.
    struct PodAffinity {
        #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
        1 required: [{PodAffinityTerm}],
    }
}

message! {
    /// Pods, and what counts as near.
    struct PodAffinityTerm {
        1 label_selector: {LabelSelector},
        2 namespaces: [String],
        3 topology_key: String,
        4 namespace_selector: {LabelSelector},
        5 match_label_keys: [String],
        6 mismatch_label_keys: [String],
    }
}

message! {
    /// Which nodes are wanted; preferences are not read.
    struct NodeAffinity {
        #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
        1 required: {NodeSelector},
    }
}

message! {
    /// Terms of which one must match.
    struct NodeSelector {
        1 node_selector_terms: [{NodeSelectorTerm}],
    }
}

message! {
    /// Requirements that must all match.
    struct NodeSelectorTerm {
        1 match_expressions: [{NodeSelectorRequirement}],
        2 match_fields: [{NodeSelectorRequirement}],
    }
}

message! {
    /// One requirement of a label, or of the field `metadata.name`.
    struct NodeSelectorRequirement {
        1 key: String,
        2 operator: String,
        3 values: [String],
    }
}

message! {
    /// What a pod puts up with.
    struct Toleration {
        1 key: String,
        2 operator: String,
        3 value: String,
        4 effect: String,
    }
}

message! {
    /// A node, as far as pods are put on it.
    struct PlaceNode {
        1 metadata: ObjectMeta,
        2 spec: {PlaceNodeSpec},
        3 status: {PlaceNodeStatus},
    }
}

message! {
    /// What keeps pods away.
    struct PlaceNodeSpec {
        5 taints: [{Taint}],
    }
}

message! {
    /// A reason to keep pods away.
    struct Taint {
        1 key: String,
        2 value: String,
        3 effect: String,
        4 time_added: {Time},
    }
}

message! {
    /// What a node is, and what it has pulled.
    struct PlaceNodeStatus {
        7 node_info: {NodeInfo},
        8 images: [{NodeImage}],
    }
}

message! {
    /// What runs on a node.
    struct NodeInfo {
        9 operating_system: String,
        10 architecture: String,
    }
}

message! {
    /// An image in a node's cache.
    struct NodeImage {
        1 names: [String],
    }
}

impl Kind for PlaceNode {
    const GROUP: &'static str = "";
    const VERSION: &'static str = "v1";
    const KIND: &'static str = "Node";
    const PLURAL: &'static str = "nodes";
    const NAMESPACED: bool = false;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl PlaceNode {
    /// Returns `os/architecture`, by what the kubelet says, else by the well-known labels.
    #[must_use]
    pub fn platform(&self) -> Option<String> {
        let info = self.status.as_ref().and_then(|status| status.node_info.as_ref());
        let told = |of: fn(&NodeInfo) -> &String, label: &str| {
            let told = info.map(of).map(String::as_str).filter(|told| !told.is_empty());
            Some(told.unwrap_or_else(|| self.metadata.label(label)))
                .filter(|told| !told.is_empty())
                .map(ToOwned::to_owned)
        };
        let os = told(|info| &info.operating_system, "kubernetes.io/os")?;
        let architecture = told(|info| &info.architecture, "kubernetes.io/arch")?;
        Some(format!("{os}/{architecture}"))
    }

    fn taints(&self) -> impl Iterator<Item = &Taint> {
        self.spec.iter().flat_map(|spec| &spec.taints)
    }
}

/// What the controller of `DaemonSet`s lets every pod of theirs tolerate: `AddOrUpdateDaemonPodTolerations` without the
/// one for the host's network.
pub const DAEMON_TOLERATES: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

impl Placement {
    /// Reads the fields from a pod's spec.
    #[must_use]
    pub fn of(spec: &Value) -> Self {
        crate::kinds::read(spec.clone()).0
    }

    /// Adds what the controller of `DaemonSet`s lets every pod of theirs tolerate: its nodes' own troubles.
    ///
    /// The list is that of `AddOrUpdateDaemonPodTolerations` without the one for the host's network.
    #[must_use]
    pub fn of_daemon(mut self) -> Self {
        for (key, effect) in DAEMON_TOLERATES {
            self.tolerations.push(Toleration {
                key: key.to_owned(),
                operator: "Exists".to_owned(),
                value: String::new(),
                effect: effect.to_owned(),
            });
        }
        self
    }

    /// Returns whether a node fits.
    ///
    /// A pod with `nodeName` has passed the scheduler: only that node fits, whatever else the spec says.
    #[must_use]
    pub fn fits(&self, node: &PlaceNode) -> bool {
        if !self.node_name.is_empty() {
            return self.node_name == node.metadata.name;
        }
        self.selects(node) && self.tolerates(node)
    }

    /// Returns whether `nodeSelector` and required node affinity choose a node.
    #[must_use]
    pub fn selects(&self, node: &PlaceNode) -> bool {
        let labels = &node.metadata.labels;
        let required = self.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()?.required.as_ref());
        self.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && required.is_none_or(|required| required.matches(node))
    }

    /// Returns whether every taint of a node that keeps pods away is tolerated.
    #[must_use]
    pub fn tolerates(&self, node: &PlaceNode) -> bool {
        let mut taints = node.taints().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
        taints.all(|taint| self.tolerations.iter().any(|toleration| toleration.tolerates(taint)))
    }
}

impl NodeSelectorTerm {
    /// Returns whether a node matches all requirements; a term without any, or with one that is not valid, matches
    /// nothing.
    fn matches(&self, node: &impl Placed) -> bool {
        let has_some = !self.match_expressions.is_empty() || !self.match_fields.is_empty();
        let valid = self.match_expressions.iter().all(NodeSelectorRequirement::is_valid);
        let by_label = |one: &NodeSelectorRequirement| one.matches(node.label(&one.key));
        has_some
            && valid
            && self.match_expressions.iter().all(by_label)
            && self.match_fields.iter().all(|one| one.matches_name(node.name()))
    }
}

impl NodeSelector {
    /// Returns whether one term matches a node.
    #[must_use]
    pub fn matches(&self, node: &impl Placed) -> bool {
        self.node_selector_terms.iter().any(|term| term.matches(node))
    }
}

impl NodeSelectorRequirement {
    /// Returns whether the API's own parser takes it: the operator is known and has as many values as it wants.
    fn is_valid(&self) -> bool {
        match self.operator.as_str() {
            "In" | "NotIn" => !self.values.is_empty(),
            "Exists" | "DoesNotExist" => self.values.is_empty(),
            "Gt" | "Lt" => matches!(self.values.as_slice(), [one] if one.parse::<i64>().is_ok()),
            _ => false,
        }
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let named = label.is_some_and(|label| self.values.iter().any(|value| value == label));
        let compared = |order: std::cmp::Ordering| {
            let [value] = self.values.as_slice() else { return false };
            let numbers = label.and_then(|label| Some((label.parse::<i64>().ok()?, value.parse::<i64>().ok()?)));
            numbers.is_some_and(|(label, value)| label.cmp(&value) == order)
        };
        match self.operator.as_str() {
            "In" => named,
            "NotIn" => !named,
            "Exists" => label.is_some(),
            "DoesNotExist" => label.is_none(),
            "Gt" => compared(std::cmp::Ordering::Greater),
            "Lt" => compared(std::cmp::Ordering::Less),
            _ => false,
        }
    }

    /// Only `metadata.name` is a field, with one value.
    fn matches_name(&self, name: &str) -> bool {
        match (self.key.as_str(), self.operator.as_str(), self.values.as_slice()) {
            ("metadata.name", "In", [value]) => value == name,
            ("metadata.name", "NotIn", [value]) => value != name,
            _ => false,
        }
    }
}

impl Toleration {
    /// Returns whether a taint is put up with. What is left out means any effect, any key; the operator then is `Equal`.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let same = |own: &str, of_taint: &str| own.is_empty() || own == of_taint;
        let value = match self.operator.as_str() {
            "" | "Equal" => self.value == taint.value,
            "Exists" => true,
            _ => false,
        };
        same(&self.effect, &taint.effect) && same(&self.key, &taint.key) && value
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(labels: &Value, taints: &Value) -> PlaceNode {
        let node = json!({"metadata": {"name": "n1", "labels": labels}, "spec": {"taints": taints}});
        crate::kinds::read(node).0
    }

    fn requires(terms: &Value) -> Value {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
    }

    #[test]
    fn a_node_selector_wants_every_label() {
        let labels = json!({"kubernetes.io/arch": "arm64", "pool": "a"});
        for (selector, fits) in [
            (json!({}), true),
            (json!({"pool": "a"}), true),
            (json!({"pool": "a", "kubernetes.io/arch": "amd64"}), false),
            (json!({"disk": ""}), false),
        ] {
            let spec = json!({"nodeSelector": selector});
            assert_eq!(Placement::of(&spec).fits(&node(&labels, &json!([]))), fits, "{spec}");
        }
    }

    #[test]
    fn a_requirement_is_of_a_label_that_may_be_absent() {
        let labels = json!({"pool": "a", "cores": "16", "word": "many"});
        for (key, operator, values, fits) in [
            ("pool", "In", json!(["b", "a"]), true),
            ("pool", "In", json!([]), false),
            ("disk", "In", json!(["a"]), false),
            ("pool", "NotIn", json!(["a"]), false),
            ("disk", "NotIn", json!(["a"]), true),
            ("pool", "Exists", json!([]), true),
            ("disk", "Exists", json!([]), false),
            ("pool", "DoesNotExist", json!([]), false),
            ("disk", "DoesNotExist", json!([]), true),
            ("cores", "Gt", json!(["8"]), true),
            ("cores", "Gt", json!(["16"]), false),
            ("cores", "Lt", json!(["17"]), true),
            ("cores", "Lt", json!(["16"]), false),
            ("cores", "Gt", json!(["8", "9"]), false),
            ("cores", "Gt", json!(["few"]), false),
            ("word", "Gt", json!(["1"]), false),
            ("disk", "Lt", json!(["1"]), false),
            ("pool", "Near", json!(["a"]), false),
        ] {
            let terms = json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
            let placement = Placement::of(&requires(&terms));
            assert_eq!(placement.fits(&node(&labels, &json!([]))), fits, "{key} {operator} {values}");
        }
    }

    #[test]
    fn one_term_is_enough_all_of_it_must_match_and_an_empty_one_matches_nothing() {
        let own = json!({"key": "pool", "operator": "In", "values": ["a"]});
        let other = json!({"key": "pool", "operator": "In", "values": ["b"]});
        let named =
            |operator: &str, name: &str| json!({"key": "metadata.name", "operator": operator, "values": [name]});
        for (terms, fits) in [
            (json!([{"matchExpressions": [other]}, {"matchExpressions": [own]}]), true),
            (json!([{"matchExpressions": [own, other]}]), false),
            (json!([]), false),
            (json!([{}]), false),
            (json!([{}, {"matchExpressions": [own]}]), true),
            (json!([{"matchFields": [named("In", "n1")]}]), true),
            (json!([{"matchFields": [named("In", "n2")]}]), false),
            (json!([{"matchFields": [named("NotIn", "n1")]}]), false),
            (json!([{"matchFields": [named("NotIn", "n2")], "matchExpressions": [own]}]), true),
            (json!([{"matchFields": [named("Exists", "n1")]}]), false),
            (json!([{"matchFields": [{"key": "spec.unschedulable", "operator": "In", "values": ["n1"]}]}]), false),
        ] {
            let placement = Placement::of(&requires(&terms));
            assert_eq!(placement.fits(&node(&json!({"pool": "a"}), &json!([]))), fits, "{terms}");
        }
        let selected = json!({"nodeSelector": {"pool": "b"}, "affinity": requires(&json!([{"matchExpressions": [own]}]))["affinity"]});
        assert!(!Placement::of(&selected).fits(&node(&json!({"pool": "a"}), &json!([]))), "both must choose it");
    }

    #[test]
    fn taints_that_keep_pods_away_must_be_tolerated() {
        let taint = |effect: &str| json!([{"key": "gpu", "value": "yes", "effect": effect}]);
        for (taints, tolerations, fits) in [
            (taint("NoSchedule"), json!([]), false),
            (taint("NoExecute"), json!([]), false),
            (taint("PreferNoSchedule"), json!([]), true),
            (
                taint("NoSchedule"),
                json!([{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]),
                true,
            ),
            (taint("NoSchedule"), json!([{"key": "gpu", "value": "yes"}]), true),
            (taint("NoSchedule"), json!([{"key": "gpu", "value": "no"}]), false),
            (taint("NoSchedule"), json!([{"key": "gpu", "operator": "Exists"}]), true),
            (taint("NoSchedule"), json!([{"operator": "Exists"}]), true),
            (taint("NoSchedule"), json!([{"key": "cpu", "operator": "Exists"}]), false),
            (taint("NoExecute"), json!([{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]), false),
            (taint("NoSchedule"), json!([{"key": "gpu", "operator": "Gt", "value": "1"}]), false),
            (
                json!([{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoSchedule"}]),
                json!([{"key": "a", "operator": "Exists"}]),
                false,
            ),
        ] {
            let spec = json!({"tolerations": tolerations});
            assert_eq!(Placement::of(&spec).fits(&node(&json!({}), &taints)), fits, "{taints} {spec}");
        }
    }

    #[test]
    fn a_pod_that_was_put_on_a_node_fits_that_one_alone() {
        let tainted = json!([{"key": "gpu", "effect": "NoExecute"}]);
        let placed = |name: &str| Placement::of(&json!({"nodeName": name, "nodeSelector": {"pool": "b"}}));
        assert!(placed("n1").fits(&node(&json!({}), &tainted)));
        assert!(!placed("n2").fits(&node(&json!({}), &json!([]))));
    }

    #[test]
    fn pods_of_a_daemon_set_tolerate_the_troubles_of_their_nodes() {
        let cordoned = json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
        assert!(!Placement::default().fits(&node(&json!({}), &cordoned)));
        assert!(Placement::default().of_daemon().fits(&node(&json!({}), &cordoned)));
        assert!(
            !Placement::default().of_daemon().fits(&node(&json!({}), &json!([{"key": "gpu", "effect": "NoSchedule"}])))
        );
    }

    #[test]
    fn a_platform_is_what_the_kubelet_says_else_what_the_labels_say() {
        let labelled = json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"});
        let mut labelled = node(&labelled, &json!([]));
        assert_eq!(labelled.platform().as_deref(), Some("linux/arm64"));
        let info = NodeInfo { operating_system: "linux".to_owned(), architecture: "amd64".to_owned() };
        labelled.status = Some(PlaceNodeStatus { node_info: Some(info), images: Vec::new() });
        assert_eq!(labelled.platform().as_deref(), Some("linux/amd64"));
        assert_eq!(node(&json!({"kubernetes.io/os": "linux"}), &json!([])).platform(), None);
    }
}
