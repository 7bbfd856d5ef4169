//! Every reason a verdict can carry: its word, class, hold times, remedy and explanation, in one table.

use std::fmt;
use std::str::FromStr;

use super::policy::{Hold, Profile};
use super::verdict::Verdict;

/// How sure a sign is that the rollout can never succeed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nothing but a new spec can heal it.
    Fatal,
    /// Restarts are counted; beyond the budget of the profile it has failed.
    Budget,
    /// Rarely heals by itself.
    Probable,
    /// Usually heals by itself; never keeps complete counters from being complete.
    Transient,
    /// No sign of failure at all: work is going on, or the reason belongs to another verdict.
    Progress,
}

impl Class {
    /// Returns the word used in documentation and in `kubectl wait-deploy reasons`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Budget => "budget",
            Self::Probable => "probable",
            Self::Transient => "transient",
            Self::Progress => "-",
        }
    }
}

/// One row of the table of reasons.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The stable CamelCase word.
    pub word: &'static str,
    /// How sure a sign of failure it is.
    pub class: Class,
    /// Hold times for the profiles strict, normal and patient; restarts for [`Class::Budget`].
    pub holds: [Hold; 3],
    /// What the item becomes once the hold is over.
    pub becomes: Verdict,
    /// What to do; `{name|default}` is filled with names from the suspect.
    pub remedy: &'static str,
    /// What the reason says, in one sentence.
    pub about: &'static str,
}

macro_rules! hold {
    (inf) => {
        Hold::Never
    };
    ($seconds:literal) => {
        Hold::Seconds($seconds)
    };
}

macro_rules! reasons {
    ($($word:ident $class:ident [$strict:tt $normal:tt $patient:tt] => $becomes:ident, $remedy:literal, $about:literal;)*) => {
        /// A stable reason word. Vendors' own words travel beside it in [`Word`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $about] $word,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$word,)*];

            /// Returns the row of the table.
            #[must_use]
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$word => Row {
                        word: stringify!($word),
                        class: Class::$class,
                        holds: [hold!($strict), hold!($normal), hold!($patient)],
                        becomes: Verdict::$becomes,
                        remedy: $remedy,
                        about: $about,
                    },)*
                }
            }
        }
    };
}

reasons! {
    // Evidence: does this status belong to this spec?
    GenerationNotObserved Progress [inf inf inf] => Progressing, "is the controller of {kind|this kind} running? its last status write was at {written|an unknown time}", "the controller has not read the newest spec yet";
    NoObservedGeneration Progress [inf inf inf] => Progressing, "is the controller of {kind|this kind} running? its last status write was at {written|an unknown time}", "the status carries no observedGeneration although this kind always writes one";
    NoStatusYet Transient [15 30 120] => Unverifiable, "is the controller of {kind|this kind} running? it has never written a status", "the controller has not written any status";
    EmptyStatus Transient [15 30 120] => Unverifiable, "is the controller of {kind|this kind} running? its status says nothing", "the status is there and says nothing";
    Malformed Progress [inf inf inf] => Progressing, "who wrote this status? --explain shows what was read", "a part of the status has the wrong shape and cannot be read";
    NoDesiredNumber Progress [inf inf inf] => Progressing, "is kube-controller-manager running?", "the DaemonSet's status does not yet say how many nodes should run a pod";
    PodNotObserved Progress [inf inf inf] => Progressing, "is the pod scheduled, and is the kubelet of its node running?", "the pod has no status yet";
    ConditionNotCurrent Progress [inf inf inf] => Progressing, "wait for the controller; {entry|the condition} is of generation {observed|an older one}", "a condition belongs to an older generation";
    ParentNotCurrent Progress [inf inf inf] => Progressing, "wait for the controller; no parent has answered for this generation", "no parent's entry belongs to this generation";
    PairNotCurrent Progress [inf inf inf] => Progressing, "wait for the controller; {entry|the pair} is of an older generation", "the kind's own pair of generations differs";
    DoneWhen Progress [inf inf inf] => Progressing, "wait, or correct --done-when", "what the caller says done means is not true yet";
    MissingCondition Progress [inf inf inf] => Progressing, "wait for the controller to write condition {entry|the condition}", "a condition that must be there is not";
    NoEvidence Transient [15 30 120] => Unverifiable, "check the controller, or accept its status with --assume-observed", "nothing proves that the status belongs to this spec";
    NothingKnown Transient [15 30 120] => Unverifiable, "--explain shows what was read; ask the controller's documentation what done looks like", "nothing in the status is known to mean anything";
    UnknownWord Transient [15 30 120] => Unverifiable, "--explain shows what was read; ask the controller's documentation what done looks like", "the status carries a word that is not known";
    StateUnknown Transient [15 30 120] => Unverifiable, "the controller itself does not know; look at its log", "the controller says that the state is unknown";
    UnreadableCondition Transient [15 30 120] => Unverifiable, "--explain shows what was read; ask the controller's documentation what done looks like", "a summary condition has a status that cannot be read";
    NoKnownCondition Progress [inf inf inf] => Progressing, "--explain shows what was read; ask the controller's documentation what done looks like", "no condition is known to say whether it is done";
    NoSummaryCondition Progress [inf inf inf] => Progressing, "--explain shows what was read; ask the controller's documentation what done looks like", "steps are done, and no summary condition says that all is";
    NoCondition Progress [inf inf inf] => Progressing, "wait for the controller to write its conditions", "the list of conditions is there and empty";
    StaleRead Progress [inf inf inf] => Progressing, "wait: the server has not shown the applied object yet", "the only state seen is older than the write";
    NothingToObserve Progress [inf inf inf] => Progressing, "", "this kind reports no status: present is complete";

    // Presence.
    NotFound Probable [0 10 120] => Missing, "apply it, or check its name and namespace", "the object is not there";
    Gone Fatal [0 0 0] => Missing, "apply it again; who deleted it is not recorded", "the object was there and has been deleted";
    Recreated Fatal [0 0 0] => Missing, "{manager|somebody} made it anew; wait for that one with --follow, or apply again", "another object has taken its name";
    Terminating Probable [0 5 60] => Terminating, "finalizers {finalizers|of the object} wait for their controllers", "the object is being deleted";
    KindNotServed Progress [inf inf inf] => Progressing, "wait until its CustomResourceDefinition is established", "the server does not serve this kind yet";
    TooFew Progress [inf inf inf] => Progressing, "wait for the objects, or lower --min-count", "the selector matches fewer objects than asked for";

    // Changed under us.
    NewerGeneration Fatal [0 0 0] => Superseded, "{manager|somebody} changed it at {time|an unknown time}; wait for that one with --follow, or apply again", "somebody wrote a newer spec";
    RolledBack Fatal [0 0 0] => Superseded, "revision {revision|an older one} is back; wait for it with --follow, or apply again", "the template of an older revision is back";
    OtherRevision Fatal [0 0 0] => Superseded, "revision {revision|another one} is current; wait for it with --follow, or apply again", "another revision than the applied one is current";

    // Work that is going on.
    UpdatedReplicas Progress [inf inf inf] => Progressing, "", "not every pod runs the new template";
    OldReplicas Progress [inf inf inf] => Progressing, "", "surplus pods are still there";
    AvailableReplicas Progress [inf inf inf] => Progressing, "", "not every pod is available";
    ReadyReplicas Progress [inf inf inf] => Progressing, "", "not every pod is ready";
    FullyLabeledReplicas Progress [inf inf inf] => Progressing, "", "not every pod carries the labels of the template";
    Partition Progress [inf inf inf] => Progressing, "", "not every pod beyond the partition is updated";
    ScalingDown Progress [inf inf inf] => Progressing, "", "more pods than wanted are still there";
    RevisionPending Progress [inf inf inf] => Progressing, "", "the controller has not made the new revision current";
    TerminatingReplicas Progress [inf inf inf] => Progressing, "", "pods are still terminating";
    OldPods Progress [inf inf inf] => Progressing, "", "pods of an older revision are still there";
    NoNewReplicaSet Progress [inf inf inf] => Progressing, "is kube-controller-manager running?", "there is no ReplicaSet of the new template";
    NoProgressingCondition Progress [inf inf inf] => Progressing, "is kube-controller-manager running?", "the Deployment has no Progressing condition";
    ReplicaSetNotAvailable Progress [inf inf inf] => Progressing, "is kube-controller-manager running?", "the controller does not say that the new ReplicaSet is available";
    MinimumReplicasUnavailable Progress [inf inf inf] => Progressing, "", "the controller says that fewer pods than the minimum are available";
    NotStarted Progress [inf inf inf] => Progressing, "", "the Job has not started";
    Running Progress [inf inf inf] => Progressing, "", "it runs and has not ended";
    NotReady Progress [inf inf inf] => Progressing, "", "the pod is not ready";
    ContainerTerminated Budget [0 2 5] => Failed, "look at the last log line of container {container|the container}", "a container has ended with an error and will be restarted";
    NoClusterIP Progress [inf inf inf] => Progressing, "", "the Service has no cluster address yet";
    NoReadyEndpoint Progress [inf inf inf] => Progressing, "look at the selector of the service and the readiness of its pods", "a service does not route to the new pods yet";
    NoAddress Progress [inf inf inf] => Progressing, "look at the load balancer controller's last event", "the load balancer has no address yet";
    Unbound Progress [inf inf inf] => Progressing, "claim {name|of the pod} waits for a volume", "the claim is not bound to a volume";
    Resizing Progress [inf inf inf] => Progressing, "claim {name|of the pod} is being resized", "the claim is smaller than requested";
    NoMetricYet Progress [inf inf inf] => Progressing, "", "the autoscaler has not read a metric yet";
    Installing Progress [inf inf inf] => Progressing, "", "the server is installing the kind";
    ConditionProgress Progress [inf inf inf] => Progressing, "", "a condition says that work is going on";
    WordProgress Progress [inf inf inf] => Progressing, "", "a word of the status says that work is going on";

    // At rest.
    Paused Progress [inf inf inf] => Suspended, "kubectl rollout resume {kind|the object}/{name|it}, or --paused complete", "the rollout is paused";
    JobSuspended Progress [inf inf inf] => Suspended, "set spec.suspend to false, or --paused complete", "the Job is suspended";
    Suspended Progress [inf inf inf] => Suspended, "resume it, or --paused complete", "the object says that it is at rest";
    ManualDeleteRequired Progress [inf inf inf] => Suspended, "kubectl delete pod {pods|the pods of the old revision}", "the update strategy OnDelete waits for somebody to delete the old pods";

    // Workloads that cannot come up.
    ProgressDeadlineExceeded Fatal [0 0 0] => Failed, "see the causes; kubectl rollout undo goes back to the revision before", "the rollout made no progress within progressDeadlineSeconds";
    QuotaExceeded Probable [5 15 120] => Failed, "raise quota {quota|of the namespace}, or lower the requests", "a quota refuses new pods";
    AdmissionDenied Probable [5 15 120] => Failed, "satisfy {policy|the policy that refuses the pods}", "admission refuses new pods";
    WebhookUnavailable Probable [60 180 600] => Failed, "repair webhook {webhook|that cannot be called}: its Service may have no endpoints", "an admission webhook cannot be called";
    FailedCreate Probable [5 15 120] => Failed, "create what the message names, or apply the file that holds it", "the controller cannot create pods";
    StuckOnBrokenPod Probable [15 30 180] => Failed, "kubectl delete pod {pod|NAME}: the controller will not replace it", "a broken pod of an older revision blocks the StatefulSet";

    // Pods that cannot come up.
    InvalidImageName Fatal [0 0 0] => Failed, "correct the image name {image|of the container}", "the image name cannot be parsed";
    ImageNeverPull Fatal [0 0 0] => Failed, "load {image|the image} onto the node, or change imagePullPolicy", "the image is not on the node and may not be pulled";
    ImageNotFound Fatal [0 0 60] => Failed, "push {image|the image} or correct its tag", "the registry has no such image";
    ImageAuth Fatal [0 30 120] => Failed, "pull secret {secret|of the pod} of service account {account|default} lacks access to {image|the image}", "the registry refuses access to the image";
    ImageRateLimited Transient [300 inf inf] => Failed, "the registry limits pulls from {node|the node}; waiting", "the registry limits the rate of pulls";
    ImagePullNetwork Transient [300 inf inf] => Failed, "the registry cannot be reached from {node|the node}; waiting", "the registry cannot be reached";
    ImagePullBackOff Probable [30 90 300] => Failed, "{image|the image} cannot be pulled on {node|the node}; the kubelet's events say why", "the image cannot be pulled, without detail";
    ConfigCacheSync Transient [120 inf inf] => Failed, "the kubelet of {node|the node} has not read the ConfigMaps and Secrets yet", "the kubelet waits for its cache of ConfigMaps and Secrets";
    MissingReference Probable [10 60 300] => Failed, "create {reference|the object that the message names}, or apply the file that holds it", "an object that the pod refers to is not there";
    BadCommand Fatal [0 0 60] => Failed, "the command of container {container|the container} is not in the image or not executable", "the container's command cannot be run";
    ContainerStart Probable [30 120 600] => Failed, "the runtime cannot start container {container|the container}; see the message", "the runtime cannot start the container";
    InitCrashLoop Budget [0 2 5] => Failed, "look at the last log line of init container {container|the container}", "an init container ends with an error again and again";
    ProbeRestart Budget [0 2 5] => Failed, "the liveness or startup probe of {container|the container} kills it; see kubectl probe-audit", "a probe kills the container again and again";
    CrashLoop Budget [0 2 5] => Failed, "look at the last log line of container {container|the container}, or kubectl rollout undo", "a container ends with an error again and again";
    ProbeFailing Probable [60 60 inf] => Failed, "the readiness probe of {container|the container} fails; its output is in the message", "the readiness probe keeps failing";
    ReadinessGate Transient [120 inf inf] => Failed, "gate {gate|of the pod} is set by its controller", "a readiness gate of the pod is not met";
    Unschedulable Probable [30 180 900] => Failed, "lower the requests, add nodes, or tolerate the taint that the message names", "no node can take the pod";
    SchedulingGated Transient [120 inf inf] => Failed, "gate {gate|of the pod} is taken away by its controller", "a scheduling gate holds the pod back";
    VolumeMount Probable [120 300 900] => Failed, "see the volume in the message; for multi-attach, the node that still holds it", "a volume cannot be attached or mounted";
    SandboxFailed Probable [120 300 900] => Failed, "look at the network plugin on {node|the node}", "the pod's sandbox cannot be made";
    Evicted Fatal [0 0 0] => Failed, "recreate the pod under a controller", "the node evicted the pod";
    Preempting Fatal [0 0 0] => Failed, "recreate the pod under a controller", "the pod was preempted";
    PodFailed Fatal [0 0 0] => Failed, "recreate the pod under a controller", "the pod has failed";

    // Jobs.
    BackoffLimitExceeded Fatal [0 0 0] => Failed, "look at the log of the last failed pod", "the Job's pods failed more often than backoffLimit";
    DeadlineExceeded Fatal [0 0 0] => Failed, "raise activeDeadlineSeconds, or make the work shorter", "the Job ran longer than activeDeadlineSeconds";
    PodFailurePolicy Fatal [0 0 0] => Failed, "look at the log of the last failed pod", "the Job's podFailurePolicy ended it";
    MaxFailedIndexesExceeded Fatal [0 0 0] => Failed, "look at the failed indexes", "more indexes failed than maxFailedIndexes";
    FailedIndexes Fatal [0 0 0] => Failed, "look at the failed indexes", "an index of the Job failed";
    JobFailed Fatal [0 0 0] => Failed, "look at the log of the last failed pod", "the Job has failed";

    // Claims, autoscalers, budgets, definitions.
    ClaimLost Fatal [0 0 0] => Failed, "restore the volume of claim {name|it}", "the claim has lost its volume";
    StorageClassMissing Probable [15 60 300] => Failed, "create storage class {class|of the claim}, or name one that exists", "the claim's storage class is not there";
    ProvisioningFailed Probable [60 180 900] => Failed, "see the provisioner's message", "the volume cannot be provisioned";
    HpaInvalid Probable [5 10 60] => Failed, "correct the selector or the metric source", "the autoscaler's spec is not valid";
    HpaTarget Probable [15 60 300] => Failed, "correct scaleTargetRef, or apply the target", "the autoscaler's target cannot be read or scaled";
    HpaMetric Transient [120 inf inf] => Failed, "is the metrics API served?", "the autoscaler cannot read its metric";
    SyncFailed Probable [5 10 60] => Failed, "see the message", "the disruption controller cannot compute the budget";
    CrdNamesNotAccepted Probable [5 10 60] => Failed, "choose names that no other definition has", "the definition's names conflict with another's";
    CrdNotEstablished Probable [5 10 60] => Failed, "see the message", "the server does not establish the definition";
    ApiServiceUnavailable Transient [120 inf inf] => Failed, "look at Service {service|behind the APIService}", "the aggregated API is not available";

    // Custom resources.
    ConditionFailed Probable [15 30 300] => Failed, "see the controller's message", "a condition says that it failed";
    WordFailed Probable [15 30 300] => Failed, "see the controller's message", "a word of the status says that it failed";
    ParentRejected Probable [15 30 300] => Failed, "see the parent's message", "a parent refuses the route or policy";
    Stalled Fatal [0 10 60] => Failed, "see the controller's message; it will not try again by itself", "the controller says that it has given up";
    Terminal Fatal [0 10 60] => Failed, "see the controller's message; it will not try again by itself", "the controller says that the error is terminal";
    RuleFailed Fatal [0 0 0] => Failed, "see the rule's message", "a rule says that it failed";
}

impl Reason {
    /// Returns the stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    /// Returns how sure a sign of failure it is.
    #[must_use]
    pub const fn class(self) -> Class {
        self.row().class
    }

    /// Returns the hold time, or the restart budget, of `profile`.
    #[must_use]
    pub const fn hold(self, profile: Profile) -> Hold {
        let [strict, normal, patient] = self.row().holds;
        match profile {
            Profile::Strict => strict,
            Profile::Normal => normal,
            Profile::Patient => patient,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Reason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|reason| reason.word() == text).ok_or(())
    }
}

/// A reason as shown: ours, or the controller's own word for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    /// The row that decides class, hold and remedy.
    pub reason: Reason,
    /// The controller's own CamelCase word, shown instead of the row's.
    pub said: Option<String>,
}

impl Word {
    /// Returns `reason` in the controller's own words.
    pub fn said(reason: Reason, said: impl Into<String>) -> Self {
        let said = said.into();
        let said = (!said.is_empty() && said != reason.word()).then_some(said);
        Self { reason, said }
    }

    /// Returns the word to show.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.said.as_deref().unwrap_or(self.reason.word())
    }
}

impl From<Reason> for Word {
    fn from(reason: Reason) -> Self {
        Self { reason, said: None }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_its_reason() {
        for reason in Reason::ALL {
            assert_eq!(reason.word().parse(), Ok(*reason));
        }
    }

    #[test]
    fn a_suspect_class_has_a_remedy_and_a_verdict_to_become() {
        for reason in Reason::ALL {
            let row = reason.row();
            assert!(!row.about.is_empty(), "{reason}");
            if row.class != Class::Progress {
                assert!(!row.remedy.is_empty(), "{reason}");
                assert_ne!(row.becomes, Verdict::Progressing, "{reason}");
            }
        }
    }

    #[test]
    fn patient_never_holds_shorter_than_strict() {
        for reason in Reason::ALL {
            let [strict, normal, patient] = reason.row().holds;
            assert!(strict <= normal && normal <= patient, "{reason}");
        }
    }
}
