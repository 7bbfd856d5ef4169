//! What pods stand on and what limits them.

use super::LabelSelector;
use crate::kinds::{IntOrString, ObjectMeta, ObjectReference, PodCondition, Quantity, Time, kinds, message};
pub use crate::scheduling::Taint;

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
    /// What the kubelet says of its node.
    struct NodeStatus {
        1 capacity: Quantities,
        2 allocatable: Quantities,
        4 conditions: [{PodCondition}],
        7 node_info: {NodeInfo},
        8 images: [{NodeImage}],
    }
}

message! {
    /// An image in a node's cache; kept where [`Builder::keep_node_images`](crate::audit::Builder::keep_node_images) says.
    struct NodeImage {
        1 names: [String],
        2 size_bytes: i64?,
    }
}

message! {
    /// What the node runs.
    struct NodeInfo {
        5 os_image: String,
        7 kubelet_version: String,
        9 operating_system: String,
        10 architecture: String,
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
        2 max: Quantities,
        3 min: Quantities,
        4 default: Quantities,
        5 default_request: Quantities,
        6 max_limit_request_ratio: Quantities,
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
        4 metrics: [{MetricSpec}],
        5 behavior: {Behavior},
        #[serde(rename = "targetCPUUtilizationPercentage")]
        1000 target_cpu: i32?,
    }
}

message! {
    /// One metric of an autoscaler; of its four sources one.
    struct MetricSpec {
        1 r#type: String,
        2 object: {ObjectMetric},
        3 pods: {PodsMetric},
        4 resource: {ResourceMetric},
        5 external: {ExternalMetric},
        7 container_resource: {ResourceMetric},
    }
}

message! {
    /// A metric of another object.
    struct ObjectMetric {
        1 described_object: {CrossVersionObjectReference},
        2 target: {MetricTarget},
        3 metric: {MetricName},
    }
}

message! {
    /// A metric of each pod.
    struct PodsMetric {
        1 metric: {MetricName},
        2 target: {MetricTarget},
    }
}

message! {
    /// A resource of each pod, or of one container of each pod.
    struct ResourceMetric {
        1 name: String,
        2 target: {MetricTarget},
        3 container: String,
    }
}

message! {
    /// A metric of no object.
    struct ExternalMetric {
        1 metric: {MetricName},
        2 target: {MetricTarget},
    }
}

message! {
    /// Which metric.
    struct MetricName {
        1 name: String,
        2 selector: {LabelSelector},
    }
}

message! {
    /// What a metric shall be; one of the three.
    struct MetricTarget {
        1 r#type: String,
        2 value: {Quantity},
        3 average_value: {Quantity},
        4 average_utilization: i32?,
    }
}

message! {
    /// How fast an autoscaler may go.
    struct Behavior {
        1 scale_up: {ScalingRules},
        2 scale_down: {ScalingRules},
    }
}

message! {
    /// How fast, in one direction.
    struct ScalingRules {
        1 select_policy: String,
        2 policies: [{ScalingPolicy}],
        3 stabilization_window_seconds: i32?,
        4 tolerance: {Quantity},
    }
}

message! {
    /// How much in how many seconds.
    struct ScalingPolicy {
        1 r#type: String,
        2 value: i32,
        3 period_seconds: i32,
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
        2 last_scale_time: {Time},
        3 current_replicas: i32,
        4 desired_replicas: i32,
        6 conditions: [{AutoscalerCondition}],
    }
}

message! {
    /// What an autoscaler says of itself; its layout is not that of pods' conditions.
    struct AutoscalerCondition {
        1 r#type: String,
        2 status: String,
        3 last_transition_time: {Time},
        4 reason: String,
        5 message: String,
    }
}

crate::kinds::conditions!(AutoscalerCondition);
