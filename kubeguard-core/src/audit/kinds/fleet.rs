//! What a fleet's models read beside workloads: quotas, priorities, rights, volumes, measurements.

use crate::kinds::{ObjectMeta, Quantity, Time, kinds, message};
use crate::scheduling::NodeSelector;

kinds! {
    PriorityClass = "scheduling.k8s.io" / "v1" / "priorityclasses", namespaced: false;
    ResourceQuota = "" / "v1" / "resourcequotas", namespaced: true;
    ConfigMap = "" / "v1" / "configmaps", namespaced: true;
    PersistentVolume = "" / "v1" / "persistentvolumes", namespaced: false;
    PersistentVolumeClaim = "" / "v1" / "persistentvolumeclaims", namespaced: true;
    ControllerRevision = "apps" / "v1" / "controllerrevisions", namespaced: true;
    Role = "rbac.authorization.k8s.io" / "v1" / "roles", namespaced: true;
    RoleBinding = "rbac.authorization.k8s.io" / "v1" / "rolebindings", namespaced: true;
    ClusterRole = "rbac.authorization.k8s.io" / "v1" / "clusterroles", namespaced: false;
    ClusterRoleBinding = "rbac.authorization.k8s.io" / "v1" / "clusterrolebindings", namespaced: false;
    PodMetrics = "metrics.k8s.io" / "v1beta1" / "pods", namespaced: true;
}

message! {
    /// A priority with a name.
    struct PriorityClass {
        1 metadata: ObjectMeta,
        2 value: i32,
        3 global_default: bool,
        5 preemption_policy: String,
    }
}

message! {
    /// How much a namespace may use.
    struct ResourceQuota {
        1 metadata: ObjectMeta,
        2 spec: {ResourceQuotaSpec},
        3 status: {ResourceQuotaStatus},
    }
}

message! {
    /// What a quota allows, and to which pods it applies.
    struct ResourceQuotaSpec {
        1 hard: Quantities,
        2 scopes: [String],
        3 scope_selector: {ScopeSelector},
    }
}

message! {
    /// Demands on pods that must all hold.
    struct ScopeSelector {
        1 match_expressions: [{ScopeRequirement}],
    }
}

message! {
    /// One demand on pods.
    struct ScopeRequirement {
        1 scope_name: String,
        2 operator: String,
        3 values: [String],
    }
}

message! {
    /// What a quota allows and what is used of it.
    struct ResourceQuotaStatus {
        1 hard: Quantities,
        2 used: Quantities,
    }
}

message! {
    /// Text by key; read only where a rule names the object.
    struct ConfigMap {
        1 metadata: ObjectMeta,
        2 data: Map,
    }
}

message! {
    /// A volume.
    struct PersistentVolume {
        1 metadata: ObjectMeta,
        2 spec: {PersistentVolumeSpec},
    }
}

message! {
    /// Which nodes reach a volume, and whose it is.
    struct PersistentVolumeSpec {
        4 claim_ref: {ClaimReference},
        6 storage_class_name: String,
        9 node_affinity: {VolumeNodeAffinity},
    }
}

message! {
    /// The claim that has a volume.
    struct ClaimReference {
        2 namespace: String,
        3 name: String,
        4 uid: String,
    }
}

message! {
    /// The nodes that reach a volume.
    struct VolumeNodeAffinity {
        1 required: {NodeSelector},
    }
}

message! {
    /// A claim for a volume.
    struct PersistentVolumeClaim {
        1 metadata: ObjectMeta,
        2 spec: {PersistentVolumeClaimSpec},
    }
}

message! {
    /// What a claim has got, or will get.
    struct PersistentVolumeClaimSpec {
        3 volume_name: String,
        5 storage_class_name: String,
    }
}

message! {
    /// One revision of a stateful set or daemon set.
    struct ControllerRevision {
        1 metadata: ObjectMeta,
        3 revision: i64?,
    }
}

message! {
    /// Rights in a namespace.
    struct Role {
        1 metadata: ObjectMeta,
        2 rules: [{PolicyRule}],
    }
}

message! {
    /// Rights everywhere.
    struct ClusterRole {
        1 metadata: ObjectMeta,
        2 rules: [{PolicyRule}],
    }
}

message! {
    /// One right.
    struct PolicyRule {
        1 verbs: [String],
        2 api_groups: [String],
        3 resources: [String],
        4 resource_names: [String],
    }
}

message! {
    /// Who has rights in a namespace.
    struct RoleBinding {
        1 metadata: ObjectMeta,
        2 subjects: [{Subject}],
        3 role_ref: = RoleRef,
    }
}

message! {
    /// Who has rights everywhere.
    struct ClusterRoleBinding {
        1 metadata: ObjectMeta,
        2 subjects: [{Subject}],
        3 role_ref: = RoleRef,
    }
}

message! {
    /// Somebody.
    struct Subject {
        1 kind: String,
        3 name: String,
        4 namespace: String,
    }
}

message! {
    /// The role that is bound.
    struct RoleRef {
        2 kind: String,
        3 name: String,
    }
}

message! {
    /// What a pod uses, as the metrics server has measured it.
    struct PodMetrics {
        1 metadata: ObjectMeta,
        2 timestamp: {Time},
        4 containers: [{ContainerMetrics}],
    }
}

message! {
    /// What a container uses.
    struct ContainerMetrics {
        1 name: String,
        2 usage: Quantities,
    }
}

impl ContainerMetrics {
    /// Returns what is used of a resource.
    #[must_use]
    pub fn of(&self, resource: &str) -> Option<&Quantity> {
        self.usage.get(resource)
    }
}
