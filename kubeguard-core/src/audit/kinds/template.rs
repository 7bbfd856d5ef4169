//! Pods and the templates that they are made of.

use crate::kinds::{
    ContainerState, IntOrString, ObjectMeta, PodCondition, PodReadinessGate, PodSchedulingGate, Quantity,
    ResourceRequirements, Time, kinds, message,
};
use crate::scheduling::{Affinity, Toleration};

use super::LabelSelector;

kinds! {
    Pod = "" / "v1" / "pods", namespaced: true;
    PodTemplate = "" / "v1" / "podtemplates", namespaced: true;
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
    /// A template that stands alone.
    struct PodTemplate {
        1 metadata: ObjectMeta,
        2 template: {PodTemplateSpec},
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
    /// What a pod runs.
    struct PodSpec {
        1 volumes: [{Volume}],
        20 init_containers: [{Container}],
        2 containers: [{Container}],
        34 ephemeral_containers: [{EphemeralContainer}],
        3 restart_policy: String,
        4 termination_grace_period_seconds: i64?,
        5 active_deadline_seconds: i64?,
        7 node_selector: Map,
        8 service_account_name: String,
        10 node_name: String,
        11 host_network: bool,
        18 affinity: {Affinity},
        19 scheduler_name: String,
        22 tolerations: [{Toleration}],
        24 priority_class_name: String,
        25 priority: i32?,
        29 runtime_class_name: String,
        31 preemption_policy: String,
        33 topology_spread_constraints: [{TopologySpreadConstraint}],
        27 share_process_namespace: bool,
        14 security_context: {SecurityContext},
        16 hostname: String,
        17 subdomain: String,
        28 readiness_gates: [{PodReadinessGate}],
        32 overhead: Quantities,
        38 scheduling_gates: [{PodSchedulingGate}],
        40 resources: {ResourceRequirements},
    }
}

message! {
    /// How evenly pods are spread.
    struct TopologySpreadConstraint {
        1 max_skew: i32,
        2 topology_key: String,
        3 when_unsatisfiable: String,
        4 label_selector: {LabelSelector},
        5 min_domains: i32?,
        6 node_affinity_policy: String,
        7 node_taints_policy: String,
        8 match_label_keys: [String],
    }
}

message! {
    /// One container of a pod.
    struct Container {
        1 name: String,
        2 image: String,
        3 command: [String],
        4 args: [String],
        6 ports: [{ContainerPort}],
        19 env_from: [{EnvFromSource}],
        7 env: [{EnvVar}],
        8 resources: {ResourceRequirements},
        24 restart_policy: String,
        25 restart_policy_rules: [{ContainerRestartRule}],
        9 volume_mounts: [{VolumeMount}],
        10 liveness_probe: {Probe},
        11 readiness_probe: {Probe},
        22 startup_probe: {Probe},
        12 lifecycle: {Lifecycle},
        14 image_pull_policy: String,
        15 security_context: {ContainerSecurityContext},
    }
}

message! {
    /// A container that was added to a running pod.
    struct EphemeralContainer {
        #[serde(flatten)]
        1 ephemeral_container_common: = EphemeralContainerCommon,
    }
}

message! {
    /// What an ephemeral container shares with others.
    struct EphemeralContainerCommon {
        1 name: String,
    }
}

message! {
    /// A port that a container declares.
    struct ContainerPort {
        1 name: String,
        2 host_port: i32,
        3 container_port: i32,
        4 protocol: String,
        #[serde(rename = "hostIP")]
        5 host_ip: String,
    }
}

message! {
    /// Whom a container runs as.
    struct ContainerSecurityContext {
        4 run_as_user: i64?,
    }
}

message! {
    /// Whom a pod's containers run as.
    struct SecurityContext {
        2 run_as_user: i64?,
    }
}

message! {
    /// A variable of a container.
    struct EnvVar {
        1 name: String,
        2 value: String,
        3 value_from: {EnvVarSource},
    }
}

message! {
    /// Where a variable's value comes from; that there is one, and the field it copies.
    struct EnvVarSource {
        1 field_ref: {ObjectFieldSelector},
        2 resource_field_ref: {ResourceFieldSelector},
    }
}

message! {
    /// A resource of a container, divided.
    struct ResourceFieldSelector {
        1 container_name: String,
        2 resource: String,
        3 divisor: {Quantity},
    }
}

message! {
    /// A field of the pod.
    struct ObjectFieldSelector {
        2 field_path: String,
    }
}

message! {
    /// Variables that come from elsewhere; that there are some.
    struct EnvFromSource {
        1 prefix: String,
    }
}

message! {
    /// What happens after certain exit codes.
    struct ContainerRestartRule {
        1 action: String,
        2 exit_codes: {ContainerRestartRuleOnExitCodes},
    }
}

message! {
    /// Exit codes.
    struct ContainerRestartRuleOnExitCodes {
        1 operator: String,
        2 values: [i32],
    }
}

message! {
    /// When a probe runs, how often it may fail, and what it asks; seconds.
    struct Probe {
        #[serde(flatten)]
        1 handler: = ProbeHandler,
        2 initial_delay_seconds: i32,
        3 timeout_seconds: i32,
        4 period_seconds: i32,
        5 success_threshold: i32,
        6 failure_threshold: i32,
        7 termination_grace_period_seconds: i64?,
    }
}

message! {
    /// What a probe asks; one of them.
    struct ProbeHandler {
        1 exec: {ExecAction},
        2 http_get: {HTTPGetAction},
        3 tcp_socket: {TCPSocketAction},
        4 grpc: {GRPCAction},
    }
}

message! {
    /// A command.
    struct ExecAction {
        1 command: [String],
    }
}

message! {
    /// A request.
    struct HTTPGetAction {
        1 path: String,
        2 port: {IntOrString},
        3 host: String,
        4 scheme: String,
        5 http_headers: [{HTTPHeader}],
        6 protocol: String,
    }
}

message! {
    /// A header of a request.
    struct HTTPHeader {
        1 name: String,
        2 value: String,
    }
}

message! {
    /// A connection.
    struct TCPSocketAction {
        1 port: {IntOrString},
        2 host: String,
    }
}

message! {
    /// A question to gRPC's health service.
    struct GRPCAction {
        1 port: i32,
        2 service: String,
        3 mode: String,
    }
}

message! {
    /// What happens after a container's start and before its end.
    struct Lifecycle {
        1 post_start: {LifecycleHandler},
        2 pre_stop: {LifecycleHandler},
        3 stop_signal: String,
    }
}

message! {
    /// What a hook does; one of them.
    struct LifecycleHandler {
        1 exec: {ExecAction},
        2 http_get: {HTTPGetAction},
        3 tcp_socket: {TCPSocketAction},
        4 sleep: {SleepAction},
    }
}

message! {
    /// A pause.
    struct SleepAction {
        1 seconds: i64?,
    }
}

message! {
    /// A volume of a pod.
    struct Volume {
        1 name: String,
        #[serde(flatten)]
        2 volume_source: = VolumeSource,
    }
}

message! {
    /// Where a volume comes from; the node's own paths and claims are read.
    struct VolumeSource {
        1 host_path: {HostPathVolumeSource},
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
    /// A path of the node.
    struct HostPathVolumeSource {
        1 path: String,
        2 r#type: String,
    }
}

message! {
    /// Where a container sees a volume.
    struct VolumeMount {
        1 name: String,
        3 mount_path: String,
    }
}

message! {
    /// What the kubelet says of a pod.
    struct PodStatus {
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
        5 restart_count: i32,
        6 image: String,
        9 started: bool?,
        10 allocated_resources: Quantities,
    }
}
