//! What makes pods: workloads, jobs and their schedules.

use super::PodTemplateSpec;
use crate::kinds::{IntOrString, ObjectMeta, PodCondition, Time, kinds, message};

kinds! {
    Deployment = "apps" / "v1" / "deployments", namespaced: true;
    ReplicaSet = "apps" / "v1" / "replicasets", namespaced: true;
    StatefulSet = "apps" / "v1" / "statefulsets", namespaced: true;
    DaemonSet = "apps" / "v1" / "daemonsets", namespaced: true;
    ReplicationController = "" / "v1" / "replicationcontrollers", namespaced: true;
    Job = "batch" / "v1" / "jobs", namespaced: true;
    CronJob = "batch" / "v1" / "cronjobs", namespaced: true;
}

message! {
    /// Which labels are meant.
    struct LabelSelector {
        1 match_labels: Map,
        2 match_expressions: [{LabelSelectorRequirement}],
    }
}

message! {
    /// One demand on labels.
    struct LabelSelectorRequirement {
        1 key: String,
        2 operator: String,
        3 values: [String],
    }
}

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
        2 rolling_update: {RollingUpdate},
    }
}

message! {
    /// How many pods may be missing or surplus meanwhile.
    struct RollingUpdate {
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
        4 ready_replicas: i32,
        5 available_replicas: i32,
        3 observed_generation: i64?,
        7 terminating_replicas: i32?,
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
        5 service_name: String,
        6 pod_management_policy: String,
        7 update_strategy: {StatefulSetUpdateStrategy},
        9 min_ready_seconds: i32,
        11 ordinals: {StatefulSetOrdinals},
    }
}

message! {
    /// The first ordinal.
    struct StatefulSetOrdinals {
        1 start: i32,
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
    /// How far a stateful set has come.
    struct StatefulSetStatus {
        1 observed_generation: i64?,
        2 replicas: i32,
        3 ready_replicas: i32,
        5 updated_replicas: i32,
        6 current_revision: String,
        7 update_revision: String,
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
        1 selector: {LabelSelector},
        2 template: {PodTemplateSpec},
        3 update_strategy: {DaemonSetUpdateStrategy},
        4 min_ready_seconds: i32,
    }
}

message! {
    /// How a daemon set replaces pods.
    struct DaemonSetUpdateStrategy {
        1 r#type: String,
        2 rolling_update: {RollingUpdate},
    }
}

message! {
    /// How far a daemon set has come.
    struct DaemonSetStatus {
        3 desired_number_scheduled: i32,
        4 number_ready: i32,
        5 observed_generation: i64?,
        6 updated_number_scheduled: i32,
        7 number_available: i32,
    }
}

message! {
    /// The forerunner of replica sets.
    struct ReplicationController {
        1 metadata: ObjectMeta,
        2 spec: {ReplicationControllerSpec},
    }
}

message! {
    /// What a replication controller wants.
    struct ReplicationControllerSpec {
        1 replicas: i32?,
        4 min_ready_seconds: i32,
        2 selector: Map,
        3 template: {PodTemplateSpec},
    }
}

message! {
    /// A job.
    struct Job {
        1 metadata: ObjectMeta,
        2 spec: {JobSpec},
        3 status: {JobStatus},
    }
}

message! {
    /// What a job wants.
    struct JobSpec {
        1 parallelism: i32?,
        2 completions: i32?,
        3 active_deadline_seconds: i64?,
        11 pod_failure_policy: {PodFailurePolicy},
        16 success_policy: {SuccessPolicy},
        7 backoff_limit: i32?,
        12 backoff_limit_per_index: i32?,
        13 max_failed_indexes: i32?,
        6 template: {PodTemplateSpec},
        8 ttl_seconds_after_finished: i32?,
        9 completion_mode: String,
        10 suspend: bool,
        14 pod_replacement_policy: String,
        15 managed_by: String,
    }
}

message! {
    /// Which failures of pods count.
    struct PodFailurePolicy {
        1 rules: [{PodFailurePolicyRule}],
    }
}

message! {
    /// One rule about failures.
    struct PodFailurePolicyRule {
        1 action: String,
        2 on_exit_codes: {PodFailurePolicyOnExitCodesRequirement},
        3 on_pod_conditions: [{PodFailurePolicyOnPodConditionsPattern}],
    }
}

message! {
    /// Exit codes that a rule is about.
    struct PodFailurePolicyOnExitCodesRequirement {
        1 container_name: String,
        2 operator: String,
        3 values: [i32],
    }
}

message! {
    /// A condition that a rule is about.
    struct PodFailurePolicyOnPodConditionsPattern {
        1 r#type: String,
        2 status: String,
    }
}

message! {
    /// When a job has succeeded before all indexes have.
    struct SuccessPolicy {
        1 rules: [{SuccessPolicyRule}],
    }
}

message! {
    /// One rule about success.
    struct SuccessPolicyRule {
        1 succeeded_indexes: String,
        2 succeeded_count: i32?,
    }
}

message! {
    /// How far a job has come.
    struct JobStatus {
        1 conditions: [{PodCondition}],
        2 start_time: {Time},
        3 completion_time: {Time},
        4 active: i32,
        5 succeeded: i32,
        6 failed: i32,
        11 terminating: i32?,
        7 completed_indexes: String,
        10 failed_indexes: String,
        8 uncounted_terminated_pods: {UncountedTerminatedPods},
        9 ready: i32?,
    }
}

message! {
    /// Uids of pods that have ended and are not counted yet.
    struct UncountedTerminatedPods {
        1 succeeded: [String],
        2 failed: [String],
    }
}

message! {
    /// A job that is made by a schedule.
    struct CronJob {
        1 metadata: ObjectMeta,
        2 spec: {CronJobSpec},
        3 status: {CronJobStatus},
    }
}

message! {
    /// What a cron job wants.
    struct CronJobSpec {
        1 schedule: String,
        8 time_zone: String,
        2 starting_deadline_seconds: i64?,
        3 concurrency_policy: String,
        4 suspend: bool,
        5 job_template: = JobTemplateSpec,
        6 successful_jobs_history_limit: i32?,
        7 failed_jobs_history_limit: i32?,
    }
}

message! {
    /// A job as a cron job makes it.
    struct JobTemplateSpec {
        1 metadata: ObjectMeta,
        2 spec: = JobSpec,
    }
}

message! {
    /// What a cron job has done.
    struct CronJobStatus {
        1 active: [{ActiveJob}],
        4 last_schedule_time: {Time},
        5 last_successful_time: {Time},
    }
}

message! {
    /// A job that runs.
    struct ActiveJob {
        3 name: String,
        4 uid: String,
    }
}
