//! Kinds of the group apps: workloads and their revisions.

use super::meta::conditions;
use super::{IntOrString, LabelSelector, ObjectMeta, PodTemplateSpec, Time, kinds, message};

kinds! {
    Deployment = "apps" / "v1" / "deployments", namespaced: true;
    ReplicaSet = "apps" / "v1" / "replicasets", namespaced: true;
    StatefulSet = "apps" / "v1" / "statefulsets", namespaced: true;
    DaemonSet = "apps" / "v1" / "daemonsets", namespaced: true;
    ControllerRevision = "apps" / "v1" / "controllerrevisions", namespaced: true;
}

conditions!(DeploymentCondition, ReplicaSetCondition);

message! {
    /// A deployment.
    struct Deployment {
        1 metadata: ObjectMeta,
        2 spec: {DeploymentSpec},
        3 status: {DeploymentStatus},
    }
}

message! {
    /// What a deployment wants.
    struct DeploymentSpec {
        1 replicas: i32?,
        2 selector: {LabelSelector},
        3 template: {PodTemplateSpec},
        4 strategy: {DeploymentStrategy},
        5 min_ready_seconds: i32,
        7 paused: bool,
        9 progress_deadline_seconds: i32?,
    }
}

message! {
    /// How a deployment replaces pods.
    struct DeploymentStrategy {
        1 r#type: String,
        2 rolling_update: {RollingUpdateDeployment},
    }
}

message! {
    /// How many pods may be missing or surplus meanwhile.
    struct RollingUpdateDeployment {
        1 max_unavailable: {IntOrString},
        2 max_surge: {IntOrString},
    }
}

message! {
    /// How far a deployment has come.
    struct DeploymentStatus {
        1 observed_generation: i64?,
        2 replicas: i32,
        3 updated_replicas: i32,
        7 ready_replicas: i32,
        4 available_replicas: i32,
        5 unavailable_replicas: i32,
        9 terminating_replicas: i32?,
        6 conditions: [{DeploymentCondition}],
    }
}

message! {
    /// A condition of a deployment.
    struct DeploymentCondition {
        1 r#type: String,
        2 status: String,
        6 last_update_time: {Time},
        7 last_transition_time: {Time},
        4 reason: String,
        5 message: String,
    }
}

message! {
    /// One revision of a deployment.
    struct ReplicaSet {
        1 metadata: ObjectMeta,
        2 spec: {ReplicaSetSpec},
        3 status: {ReplicaSetStatus},
    }
}

message! {
    /// What a replica set wants.
    struct ReplicaSetSpec {
        1 replicas: i32?,
        2 selector: {LabelSelector},
        3 template: {PodTemplateSpec},
        4 min_ready_seconds: i32,
    }
}

message! {
    /// How far a replica set has come.
    struct ReplicaSetStatus {
        1 replicas: i32,
        2 fully_labeled_replicas: i32?,
        4 ready_replicas: i32,
        5 available_replicas: i32,
        3 observed_generation: i64?,
        7 terminating_replicas: i32?,
        6 conditions: [{ReplicaSetCondition}],
    }
}

message! {
    /// A condition of a replica set.
    struct ReplicaSetCondition {
        1 r#type: String,
        2 status: String,
        3 last_transition_time: {Time},
        4 reason: String,
        5 message: String,
    }
}

message! {
    /// A stateful set.
    struct StatefulSet {
        1 metadata: ObjectMeta,
        2 spec: {StatefulSetSpec},
        3 status: {StatefulSetStatus},
    }
}

message! {
    /// What a stateful set wants.
    struct StatefulSetSpec {
        1 replicas: i32?,
        2 selector: {LabelSelector},
        3 template: {PodTemplateSpec},
        6 pod_management_policy: String,
        7 update_strategy: {StatefulSetUpdateStrategy},
        9 min_ready_seconds: i32,
        11 ordinals: {StatefulSetOrdinals},
    }
}

message! {
    /// How a stateful set replaces pods.
    struct StatefulSetUpdateStrategy {
        1 r#type: String,
        2 rolling_update: {RollingUpdateStatefulSetStrategy},
    }
}

message! {
    /// From which ordinal on pods are replaced.
    struct RollingUpdateStatefulSetStrategy {
        1 partition: i32?,
        2 max_unavailable: {IntOrString},
    }
}

message! {
    /// The first ordinal.
    struct StatefulSetOrdinals {
        1 start: i32,
    }
}

message! {
    /// How far a stateful set has come.
    struct StatefulSetStatus {
        1 observed_generation: i64?,
        2 replicas: i32,
        3 ready_replicas: i32,
        4 current_replicas: i32,
        5 updated_replicas: i32?,
        6 current_revision: String,
        7 update_revision: String,
        11 available_replicas: i32,
    }
}

message! {
    /// A daemon set.
    struct DaemonSet {
        1 metadata: ObjectMeta,
        2 spec: {DaemonSetSpec},
        3 status: {DaemonSetStatus},
    }
}

message! {
    /// What a daemon set wants.
    struct DaemonSetSpec {
        2 template: {PodTemplateSpec},
        3 update_strategy: {DaemonSetUpdateStrategy},
        4 min_ready_seconds: i32,
    }
}

message! {
    /// How a daemon set replaces pods.
    struct DaemonSetUpdateStrategy {
        1 r#type: String,
    }
}

message! {
    /// How far a daemon set has come. Upstream always writes `desiredNumberScheduled`: absent means not written yet.
    struct DaemonSetStatus {
        3 desired_number_scheduled: i32?,
        4 number_ready: i32,
        5 observed_generation: i64?,
        6 updated_number_scheduled: i32,
        7 number_available: i32?,
    }
}

message! {
    /// One revision of a stateful set or daemon set.
    struct ControllerRevision {
        1 metadata: ObjectMeta,
        3 revision: i64?,
    }
}
