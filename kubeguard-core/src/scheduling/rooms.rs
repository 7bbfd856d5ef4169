//! What nodes have left, in one pass over the pods.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::requests::{Amounts, HostPort, Unparsed, amounts, effective_resources, pod_request};
use crate::audit::facts::{Of, Pod};
use crate::audit::kinds::{Node, PodSpec};

/// Ports of a node that are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortSet(Vec<HostPort>);

impl PortSet {
    /// Returns the taken port that keeps a wanted one away: same number and protocol, and one of the two is of every
    /// address, or both are of the same.
    #[must_use]
    pub fn conflict(&self, wanted: &HostPort) -> Option<&HostPort> {
        let every = |ip: &str| matches!(ip, "" | "0.0.0.0");
        self.0.iter().find(|taken| {
            let same = taken.port == wanted.port && taken.protocol == wanted.protocol;
            same && (taken.ip == wanted.ip || every(&taken.ip) || every(&wanted.ip))
        })
    }

    /// Takes ports.
    pub fn add(&mut self, ports: &[HostPort]) {
        self.0.extend_from_slice(ports);
    }
}

/// What a node has, and what is left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeRoom {
    /// What pods may use; of resource `pods`, how many.
    pub allocatable: Amounts,
    /// What the pods on it ask for.
    pub used: Amounts,
    /// Pods on it that are not over; terminating ones among them.
    pub pods: i64,
    /// Ports that they have taken.
    pub ports: PortSet,
}

impl NodeRoom {
    /// Returns what is left; negative where more is asked for than there is.
    #[must_use]
    pub fn free(&self) -> Amounts {
        let mut free = self.allocatable.clone();
        free.0.remove("pods");
        free.take(&self.used);
        free
    }

    /// Returns how many more pods the kubelet takes.
    #[must_use]
    pub fn slots(&self) -> i64 {
        self.allocatable.of("pods").saturating_sub(self.pods)
    }

    /// Puts a pod on it.
    pub fn place(&mut self, request: &Amounts, ports: &[HostPort]) {
        self.used.add(request);
        self.pods += 1;
        self.ports.add(ports);
    }

    /// Returns the first thing that it has not enough of for a pod: `pods`, a resource, or a port as `port 80/TCP`.
    #[must_use]
    pub fn short_of(&self, request: &Amounts, ports: &[HostPort]) -> Option<String> {
        if self.slots() < 1 {
            return Some("pods".to_owned());
        }
        if let Some(name) = request.exceeds(&self.free()) {
            return Some(name.to_owned());
        }
        let taken = ports.iter().find(|port| self.ports.conflict(port).is_some());
        taken.map(|port| format!("port {}/{}", port.port, port.protocol))
    }
}

/// Rooms of nodes, and what they leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rooms {
    /// By the node's name; only nodes that say what they have.
    pub nodes: BTreeMap<String, NodeRoom>,
    /// Nodes without `status.allocatable`: no candidates.
    pub silent: Vec<String>,
    /// Nodes that pods are bound to and that are not there: how many pods.
    pub unknown: BTreeMap<String, u64>,
    /// Pods, by namespace and name, whose requests could not be read whole: what their node has left is not known.
    pub unparsed: BTreeMap<String, Vec<Unparsed>>,
}

/// Returns what nodes have left: allocatable without the requests of the pods bound to them that are not over.
///
/// A pod in the middle of a resize counts with what it has been given where that is more. One pass over the pods; equal
/// specs are summed once.
#[must_use]
pub fn rooms(nodes: &[Of<Node>], pods: &[Pod]) -> Rooms {
    let mut rooms = Rooms::default();
    for node in nodes {
        let allocatable = node.status.as_ref().map(|status| &status.allocatable).filter(|known| !known.is_empty());
        let Some(allocatable) = allocatable else {
            rooms.silent.push(node.meta.name.to_string());
            continue;
        };
        let (allocatable, unparsed) = amounts(allocatable, "/status/allocatable");
        if !unparsed.is_empty() {
            rooms.unparsed.insert(node.meta.name.to_string(), unparsed);
        }
        rooms.nodes.insert(node.meta.name.to_string(), NodeRoom { allocatable, ..NodeRoom::default() });
    }
    let mut known: HashMap<*const PodSpec, (Amounts, Vec<HostPort>, Vec<Unparsed>)> = HashMap::new();
    for pod in pods.iter().filter(|pod| !pod.node.is_empty() && !pod.is_over()) {
        let (request, ports, unparsed) = known.entry(Arc::as_ptr(&pod.spec)).or_insert_with(|| {
            let effective = effective_resources(&pod.spec, []);
            (pod_request(&effective), effective.ports, effective.unparsed)
        });
        if !unparsed.is_empty() {
            rooms.unparsed.insert(format!("{}/{}", pod.meta.namespace, pod.meta.name), unparsed.clone());
        }
        match rooms.nodes.get_mut(&*pod.node) {
            Some(room) => match pod.resized() {
                Some(spec) => room.place(&pod_request(&effective_resources(&spec, [])), ports),
                None => room.place(request, ports),
            },
            None if rooms.silent.iter().any(|silent| pod.node == **silent) => {}
            None => *rooms.unknown.entry(pod.node.to_string()).or_default() += 1,
        }
    }
    rooms
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::audit::{Builder, Facts, Origin};

    fn facts(objects: Vec<Value>) -> Facts {
        let mut builder = Builder::new(Origin::Manifests);
        for object in objects {
            builder.add(object);
        }
        builder.finish()
    }

    fn node(name: &str, allocatable: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"allocatable": allocatable}})
    }

    fn pod(name: &str, node: &str, cpu: &str, status: &Value) -> Value {
        let container = json!({"name": "app", "resources": {"requests": {"cpu": cpu}}, "ports": [{"containerPort": 80, "hostPort": 80}]});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "team"},
            "spec": {"nodeName": node, "containers": [container]}, "status": status})
    }

    fn of(facts: &Facts) -> Rooms {
        rooms(facts.nodes(), facts.pods())
    }

    #[test]
    fn pods_that_are_over_use_nothing_and_pending_and_unknown_ones_do() {
        let facts = facts(vec![
            node("n1", &json!({"cpu": "4", "memory": "8Gi", "pods": "10"})),
            pod("a", "n1", "1", &json!({"phase": "Running"})),
            pod("b", "n1", "500m", &json!({"phase": "Pending"})),
            pod("c", "n1", "1", &json!({"phase": "Succeeded"})),
            pod("d", "n1", "1", &json!({"phase": "Failed"})),
            pod("e", "", "1", &json!({"phase": "Pending"})),
            pod("f", "gone", "1", &json!({"phase": "Running"})),
        ]);
        let rooms = of(&facts);
        let room = &rooms.nodes["n1"];
        assert_eq!((room.free().cpu(), room.free().memory(), room.slots()), (2500, 8 << 30, 8));
        assert_eq!(rooms.unknown["gone"], 1);
        let taken = HostPort { ip: String::new(), protocol: "TCP".to_owned(), port: 80 };
        assert_eq!(room.short_of(&Amounts::default(), &[taken]).as_deref(), Some("port 80/TCP"));
        assert_eq!(facts.rooms(), &rooms);
    }

    #[test]
    fn a_node_that_does_not_say_what_it_has_is_no_candidate() {
        let rooms = of(&facts(vec![node("n1", &json!({})), pod("a", "n1", "1", &json!({}))]));
        assert_eq!((rooms.silent.as_slice(), rooms.nodes.len(), rooms.unknown.len()), (&["n1".to_owned()][..], 0, 0));
    }

    #[test]
    fn a_pod_counts_with_what_it_was_given_while_it_is_resized() {
        let given = |cpu: &str| json!({"phase": "Running", "containerStatuses": [{"name": "app", "allocatedResources": {"cpu": cpu}}]});
        let facts = facts(vec![
            node("n1", &json!({"cpu": "4", "pods": "10"})),
            pod("larger", "n1", "1", &given("2")),
            pod("smaller", "n1", "1", &given("500m")),
        ]);
        assert_eq!(of(&facts).nodes["n1"].free().cpu(), 1000);
    }

    #[test]
    fn a_request_that_does_not_parse_is_told_with_its_path() {
        let rooms = of(&facts(vec![node("n1", &json!({"cpu": "4", "pods": "1"})), pod("a", "n1", "much", &json!({}))]));
        assert_eq!(
            rooms.unparsed["team/a"][0].to_string(),
            "/spec/containers/0/resources/requests/cpu: \"much\" is no quantity, as in 500m or 2Gi"
        );
    }

    #[test]
    fn ports_conflict_by_number_protocol_and_address() {
        let port = |ip: &str, protocol: &str, port| HostPort { ip: ip.to_owned(), protocol: protocol.to_owned(), port };
        let mut taken = PortSet::default();
        taken.add(&[port("10.0.0.1", "TCP", 80)]);
        for (wanted, conflicts) in [
            (port("10.0.0.1", "TCP", 80), true),
            (port("", "TCP", 80), true),
            (port("0.0.0.0", "TCP", 80), true),
            (port("10.0.0.2", "TCP", 80), false),
            (port("10.0.0.1", "UDP", 80), false),
            (port("10.0.0.1", "TCP", 81), false),
        ] {
            assert_eq!(taken.conflict(&wanted).is_some(), conflicts, "{wanted:?}");
        }
    }
}
