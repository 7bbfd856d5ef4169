//! Kinds of the group batch.

use super::{LabelSelector, ObjectMeta, PodCondition, Time, kinds, message};

kinds! {
    Job = "batch" / "v1" / "jobs", namespaced: true;
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
        4 selector: {LabelSelector},
        9 completion_mode: String,
        10 suspend: bool,
    }
}

message! {
    /// How far a job has come.
    struct JobStatus {
        1 conditions: [{PodCondition}],
        2 start_time: {Time},
        4 active: i32,
        5 succeeded: i32,
        6 failed: i32,
        7 completed_indexes: String,
        10 failed_indexes: String,
        9 ready: i32?,
    }
}
