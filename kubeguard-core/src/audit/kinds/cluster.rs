//! What pods stand on and what limits them.

use super::LabelSelector;
use crate::kinds::{IntOrString, ObjectMeta, ObjectReference, PodCondition, Time, kinds, message};

kinds! {
    Node = "" / "v1" / "nodes", namespaced: false;
    Namespace = "" / "v1" / "namespaces", namespaced: false;
    Event = "" / "v1" / "events", namespaced: true;
    LimitRange = "" / "v1" / "limitranges", namespaced: true;
    PodDisruptionBudget = "policy" / "v1" / "poddisruptionbudgets", namespaced: true;
    HorizontalPodAutoscaler = "autoscaling" / "v2" / "horizontalpodautoscalers", namespaced: true;
}

message! {
    /// A node.
    struct Node {
        1 metadata: ObjectMeta,
        2 spec: {NodeSpec},
        3 status: {NodeStatus},
    }
}

message! {
    /// What somebody wants of a node.
    struct NodeSpec {
        #[serde(rename = "providerID")]
        3 provider_id: String,
        4 unschedulable: bool,
        5 taints: [{Taint}],
    }
}

message! {
    /// What keeps pods away.
    struct Taint {
        1 key: String,
        2 value: String,
        3 effect: String,
        4 time_added: {Time},
    }
}

message! {
    /// What the kubelet says of its node.
    struct NodeStatus {
        2 allocatable: Quantities,
        4 conditions: [{PodCondition}],
        7 node_info: {NodeInfo},
    }
}

message! {
    /// What the node runs.
    struct NodeInfo {
        7 kubelet_version: String,
        9 operating_system: String,
    }
}

message! {
    /// A namespace.
    struct Namespace {
        1 metadata: ObjectMeta,
    }
}

message! {
    /// Something that happened to an object.
    struct Event {
        1 metadata: ObjectMeta,
        2 involved_object: {ObjectReference},
        3 reason: String,
        4 message: String,
        6 first_timestamp: {Time},
        7 last_timestamp: {Time},
        8 count: i32,
        9 r#type: String,
        10 event_time: {Time},
        11 series: {EventSeries},
    }
}

message! {
    /// Repetitions of an event.
    struct EventSeries {
        1 count: i32,
        2 last_observed_time: {Time},
    }
}

message! {
    /// Limits of a namespace.
    struct LimitRange {
        1 metadata: ObjectMeta,
        2 spec: {LimitRangeSpec},
    }
}

message! {
    /// Its limits.
    struct LimitRangeSpec {
        1 limits: [{LimitRangeItem}],
    }
}

message! {
    /// One limit.
    struct LimitRangeItem {
        1 r#type: String,
        4 default: Quantities,
        5 default_request: Quantities,
    }
}

message! {
    /// How many pods may be away at once.
    struct PodDisruptionBudget {
        1 metadata: ObjectMeta,
        2 spec: {PodDisruptionBudgetSpec},
        3 status: {PodDisruptionBudgetStatus},
    }
}

message! {
    /// What a budget demands.
    struct PodDisruptionBudgetSpec {
        1 min_available: {IntOrString},
        2 selector: {LabelSelector},
        3 max_unavailable: {IntOrString},
        4 unhealthy_pod_eviction_policy: String,
    }
}

message! {
    /// What is left of a budget.
    struct PodDisruptionBudgetStatus {
        3 disruptions_allowed: i32,
        4 current_healthy: i32,
        5 desired_healthy: i32,
        6 expected_pods: i32,
    }
}

message! {
    /// An autoscaler.
    struct HorizontalPodAutoscaler {
        1 metadata: ObjectMeta,
        2 spec: {HorizontalPodAutoscalerSpec},
        3 status: {HorizontalPodAutoscalerStatus},
    }
}

message! {
    /// What an autoscaler scales.
    struct HorizontalPodAutoscalerSpec {
        1 scale_target_ref: = CrossVersionObjectReference,
        2 min_replicas: i32?,
        3 max_replicas: i32,
    }
}

message! {
    /// The object that is scaled.
    struct CrossVersionObjectReference {
        1 kind: String,
        2 name: String,
        3 api_version: String,
    }
}

message! {
    /// What an autoscaler has done.
    struct HorizontalPodAutoscalerStatus {
        3 current_replicas: i32,
        4 desired_replicas: i32,
    }
}
