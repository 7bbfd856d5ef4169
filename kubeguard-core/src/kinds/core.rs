//! Kinds of the core group: pods and what they stand on.

use super::meta::conditions;
use super::{ObjectMeta, Time, kinds, message};

kinds! {
    Pod = "" / "v1" / "pods", namespaced: true;
    Service = "" / "v1" / "services", namespaced: true;
    PersistentVolumeClaim = "" / "v1" / "persistentvolumeclaims", namespaced: true;
    Namespace = "" / "v1" / "namespaces", namespaced: false;
    Node = "" / "v1" / "nodes", namespaced: false;
    Event = "" / "v1" / "events", namespaced: true;
    StorageClass = "storage.k8s.io" / "v1" / "storageclasses", namespaced: false;
    EndpointSlice = "discovery.k8s.io" / "v1" / "endpointslices", namespaced: true;
}

conditions!(PodCondition);

message! {
    /// A condition of a pod, node, claim, namespace or Job: all share one layout.
    struct PodCondition {
        1 r#type: String,
        2 status: String,
        4 last_transition_time: {Time},
        5 reason: String,
        6 message: String,
    }
}

message! {
    /// A pod.
    struct Pod {
        1 metadata: ObjectMeta,
        2 spec: {PodSpec},
        3 status: {PodStatus},
    }
}

message! {
    /// What a pod runs.
    struct PodSpec {
        1 volumes: [{Volume}],
        20 init_containers: [{Container}],
        2 containers: [{Container}],
        3 restart_policy: String,
        8 service_account_name: String,
        10 node_name: String,
        15 image_pull_secrets: [{LocalObjectReference}],
        28 readiness_gates: [{PodReadinessGate}],
        38 scheduling_gates: [{PodSchedulingGate}],
    }
}

message! {
    /// One container of a pod.
    struct Container {
        1 name: String,
        2 image: String,
        24 restart_policy: String,
        8 resources: {ResourceRequirements},
        11 readiness_probe: {Probe},
    }
}

message! {
    /// When a probe runs and how often it may fail; seconds.
    struct Probe {
        2 initial_delay_seconds: i32,
        4 period_seconds: i32,
        6 failure_threshold: i32,
    }
}

message! {
    /// What a container asks for and may not exceed.
    struct ResourceRequirements {
        1 limits: Quantities,
        2 requests: Quantities,
    }
}

message! {
    /// The name of an object in the same namespace.
    struct LocalObjectReference {
        1 name: String,
    }
}

message! {
    /// A condition that somebody else must set before the pod is ready.
    struct PodReadinessGate {
        1 condition_type: String,
    }
}

message! {
    /// Something that keeps the pod from being scheduled until it is taken away.
    struct PodSchedulingGate {
        1 name: String,
    }
}

message! {
    /// A volume of a pod; of its sources only the claim is read.
    struct Volume {
        1 name: String,
        #[serde(flatten)]
        2 volume_source: VolumeSource,
    }
}

message! {
    /// Where a volume comes from.
    struct VolumeSource {
        10 persistent_volume_claim: {ClaimSource},
    }
}

message! {
    /// The claim behind a volume.
    struct ClaimSource {
        1 claim_name: String,
    }
}

message! {
    /// What the kubelet says of a pod.
    struct PodStatus {
        17 observed_generation: i64?,
        1 phase: String,
        2 conditions: [{PodCondition}],
        3 message: String,
        4 reason: String,
        7 start_time: {Time},
        10 init_container_statuses: [{ContainerStatus}],
        8 container_statuses: [{ContainerStatus}],
    }
}

message! {
    /// What the kubelet says of a container.
    struct ContainerStatus {
        1 name: String,
        2 state: {ContainerState},
        3 last_state: {ContainerState},
        4 ready: bool,
        5 restart_count: i32?,
        6 image: String,
        9 started: bool?,
    }
}

message! {
    /// One of waiting, running and terminated.
    struct ContainerState {
        1 waiting: {Waiting},
        2 running: {Running},
        3 terminated: {Terminated},
    }
}

message! {
    /// A container that has not started.
    struct Waiting {
        1 reason: String,
        2 message: String,
    }
}

message! {
    /// A container that runs.
    struct Running {
        1 started_at: {Time},
    }
}

message! {
    /// A container that has ended.
    struct Terminated {
        1 exit_code: i32,
        2 signal: i32,
        3 reason: String,
        4 message: String,
        5 started_at: {Time},
        6 finished_at: {Time},
    }
}

message! {
    /// A pod as a controller makes it.
    struct PodTemplateSpec {
        1 metadata: ObjectMeta,
        2 spec: {PodSpec},
    }
}

message! {
    /// A service.
    struct Service {
        1 metadata: ObjectMeta,
        2 spec: {ServiceSpec},
        3 status: {ServiceStatus},
    }
}

message! {
    /// What a service selects and how it is reached.
    struct ServiceSpec {
        2 selector: Map,
        #[serde(rename = "clusterIP")]
        3 cluster_ip: String,
        4 r#type: String,
        10 external_name: String,
        19 ip_families: [String],
    }
}

message! {
    /// Status of a service.
    struct ServiceStatus {
        1 load_balancer: {LoadBalancerStatus},
    }
}

message! {
    /// Addresses of a load balancer.
    struct LoadBalancerStatus {
        1 ingress: [{LoadBalancerIngress}],
    }
}

message! {
    /// One address of a load balancer.
    struct LoadBalancerIngress {
        1 ip: String,
        2 hostname: String,
    }
}

message! {
    /// Where a service routes to: endpoints of one address family.
    struct EndpointSlice {
        1 metadata: ObjectMeta,
        4 address_type: String,
        2 endpoints: [{Endpoint}],
    }
}

message! {
    /// One endpoint of a service.
    struct Endpoint {
        2 conditions: {EndpointConditions},
        4 target_ref: {ObjectReference},
    }
}

message! {
    /// What an endpoint can do now.
    struct EndpointConditions {
        1 ready: bool?,
        3 terminating: bool?,
    }
}

message! {
    /// A claim for a volume.
    struct PersistentVolumeClaim {
        1 metadata: ObjectMeta,
        2 spec: {ClaimSpec},
        3 status: {ClaimStatus},
    }
}

message! {
    /// What a claim asks for.
    struct ClaimSpec {
        2 resources: {ResourceRequirements},
        3 volume_name: String,
        5 storage_class_name: String,
    }
}

message! {
    /// What a claim has got.
    struct ClaimStatus {
        1 phase: String,
        3 capacity: Quantities,
        4 conditions: [{PodCondition}],
        9 modify_volume_status: {ModifyVolumeStatus},
    }
}

message! {
    /// A change of the volume's attributes.
    struct ModifyVolumeStatus {
        1 target_volume_attributes_class_name: String,
        2 status: String,
    }
}

message! {
    /// A class of storage.
    struct StorageClass {
        1 metadata: ObjectMeta,
        2 provisioner: String,
        7 volume_binding_mode: String,
    }
}

message! {
    /// A namespace.
    struct Namespace {
        1 metadata: ObjectMeta,
        3 status: {NamespaceStatus},
    }
}

message! {
    /// Status of a namespace.
    struct NamespaceStatus {
        1 phase: String,
        2 conditions: [{PodCondition}],
    }
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
        4 unschedulable: bool,
    }
}

message! {
    /// What the kubelet says of its node.
    struct NodeStatus {
        2 allocatable: Quantities,
        4 conditions: [{PodCondition}],
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
    /// The object an event is about.
    struct ObjectReference {
        1 kind: String,
        2 namespace: String,
        3 name: String,
        4 uid: String,
        7 field_path: String,
    }
}

impl Event {
    /// Returns when it was seen last: series, last, event and first time, the first that is there.
    #[must_use]
    pub fn newest(&self) -> Option<jiff::Timestamp> {
        let series = self.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
        [series, self.last_timestamp.as_ref(), self.event_time.as_ref(), self.first_timestamp.as_ref()]
            .into_iter()
            .flatten()
            .find_map(Time::timestamp)
    }

    /// Returns when it was seen first.
    #[must_use]
    pub fn oldest(&self) -> Option<jiff::Timestamp> {
        [self.first_timestamp.as_ref(), self.event_time.as_ref(), self.last_timestamp.as_ref()]
            .into_iter()
            .flatten()
            .find_map(Time::timestamp)
    }

    /// Returns how often it was seen.
    #[must_use]
    pub fn times(&self) -> i32 {
        self.series.as_ref().map_or(self.count, |series| series.count).max(1)
    }
}

impl Node {
    /// Returns whether its kubelet says it is ready and nobody keeps pods away from it.
    #[must_use]
    pub fn takes_pods(&self) -> bool {
        let ready = self.status.as_ref().and_then(|status| super::condition(&status.conditions, "Ready"));
        ready.is_some_and(super::Condition::is_true) && !self.spec.as_ref().is_some_and(|spec| spec.unschedulable)
    }
}

impl Pod {
    /// Returns the condition of a type.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<&PodCondition> {
        super::condition(&self.status.as_ref()?.conditions, name)
    }

    /// Returns whether its condition `Ready` is True.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(super::Condition::is_true)
    }
}
