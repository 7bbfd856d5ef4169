//! What rules read, as data: listing, least privilege, skipping and snapshots follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::annotations;
use super::rule::Rule;
use crate::gather::resource::Resource;

/// One kind of object, or something about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "kinds by their names")]
pub enum Fact {
    Namespace,
    Node,
    Pod,
    PodTemplate,
    ReplicationController,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    Service,
    EndpointSlice,
    Ingress,
    /// The routes of the Gateway API.
    Route,
    PodDisruptionBudget,
    HorizontalPodAutoscaler,
    LimitRange,
    ValidatingWebhookConfiguration,
    MutatingWebhookConfiguration,
    Event,
    /// Custom resources that hold a pod template at a known path.
    CustomCarrier,
    /// Which groups and kinds the server serves.
    Served,
    PriorityClass,
    ResourceQuota,
    ConfigMap,
    PersistentVolume,
    PersistentVolumeClaim,
    ControllerRevision,
    Role,
    RoleBinding,
    ClusterRole,
    ClusterRoleBinding,
    PodMetrics,
    /// Optional kinds follow: read only where the server serves them, and kept as JSON.
    NodePool,
    NodeClaim,
    NodeClass,
    NodeReadinessRule,
    ScaledObject,
    VerticalPodAutoscaler,
    TargetGroupBinding,
    PeerAuthentication,
    ProxyConfig,
}

/// Where a kind is kept: group, version, plural, kind, namespaced.
pub(super) type Row = (&'static str, &'static str, &'static str, &'static str, bool);

impl Fact {
    /// Every fact.
    pub const ALL: [Self; 43] = [
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::PodTemplate,
        Self::ReplicationController,
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::CronJob,
        Self::Service,
        Self::EndpointSlice,
        Self::Ingress,
        Self::Route,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
        Self::LimitRange,
        Self::ValidatingWebhookConfiguration,
        Self::MutatingWebhookConfiguration,
        Self::Event,
        Self::CustomCarrier,
        Self::Served,
        Self::PriorityClass,
        Self::ResourceQuota,
        Self::ConfigMap,
        Self::PersistentVolume,
        Self::PersistentVolumeClaim,
        Self::ControllerRevision,
        Self::Role,
        Self::RoleBinding,
        Self::ClusterRole,
        Self::ClusterRoleBinding,
        Self::PodMetrics,
        Self::NodePool,
        Self::NodeClaim,
        Self::NodeClass,
        Self::NodeReadinessRule,
        Self::ScaledObject,
        Self::VerticalPodAutoscaler,
        Self::TargetGroupBinding,
        Self::PeerAuthentication,
        Self::ProxyConfig,
    ];

    /// Kinds that hold a pod template and are always served.
    pub const CARRIERS: [Self; 9] = [
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicationController,
        Self::Job,
        Self::CronJob,
        Self::PodTemplate,
        Self::Pod,
    ];

    pub(super) const fn rows(self) -> &'static [Row] {
        match self {
            Self::Namespace => &[("", "v1", "namespaces", "Namespace", false)],
            Self::Node => &[("", "v1", "nodes", "Node", false)],
            Self::Pod => &[("", "v1", "pods", "Pod", true)],
            Self::PodTemplate => &[("", "v1", "podtemplates", "PodTemplate", true)],
            Self::ReplicationController => &[("", "v1", "replicationcontrollers", "ReplicationController", true)],
            Self::Deployment => &[("apps", "v1", "deployments", "Deployment", true)],
            Self::ReplicaSet => &[("apps", "v1", "replicasets", "ReplicaSet", true)],
            Self::StatefulSet => &[("apps", "v1", "statefulsets", "StatefulSet", true)],
            Self::DaemonSet => &[("apps", "v1", "daemonsets", "DaemonSet", true)],
            Self::Job => &[("batch", "v1", "jobs", "Job", true)],
            Self::CronJob => &[("batch", "v1", "cronjobs", "CronJob", true)],
            Self::Service => &[("", "v1", "services", "Service", true)],
            Self::EndpointSlice => &[("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true)],
            Self::Ingress => &[("networking.k8s.io", "v1", "ingresses", "Ingress", true)],
            Self::Route => &[
                ("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", true),
                ("gateway.networking.k8s.io", "v1", "grpcroutes", "GRPCRoute", true),
                ("gateway.networking.k8s.io", "v1alpha2", "tcproutes", "TCPRoute", true),
                ("gateway.networking.k8s.io", "v1alpha2", "tlsroutes", "TLSRoute", true),
            ],
            Self::PodDisruptionBudget => &[("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true)],
            Self::HorizontalPodAutoscaler => {
                &[("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true)]
            }
            Self::LimitRange => &[("", "v1", "limitranges", "LimitRange", true)],
            Self::ValidatingWebhookConfiguration => &[(
                "admissionregistration.k8s.io",
                "v1",
                "validatingwebhookconfigurations",
                "ValidatingWebhookConfiguration",
                false,
            )],
            Self::MutatingWebhookConfiguration => &[(
                "admissionregistration.k8s.io",
                "v1",
                "mutatingwebhookconfigurations",
                "MutatingWebhookConfiguration",
                false,
            )],
            Self::Event => &[("", "v1", "events", "Event", true)],
            Self::CustomCarrier => &[
                ("argoproj.io", "v1alpha1", "rollouts", "Rollout", true),
                ("apps.kruise.io", "v1alpha1", "clonesets", "CloneSet", true),
                ("apps.kruise.io", "v1beta1", "statefulsets", "StatefulSet", true),
                ("apps.kruise.io", "v1alpha1", "daemonsets", "DaemonSet", true),
            ],
            Self::Served => &[],
            Self::PriorityClass => &[("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false)],
            Self::ResourceQuota => &[("", "v1", "resourcequotas", "ResourceQuota", true)],
            Self::ConfigMap => &[("", "v1", "configmaps", "ConfigMap", true)],
            Self::PersistentVolume => &[("", "v1", "persistentvolumes", "PersistentVolume", false)],
            Self::PersistentVolumeClaim => &[("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true)],
            Self::ControllerRevision => &[("apps", "v1", "controllerrevisions", "ControllerRevision", true)],
            Self::Role => &[("rbac.authorization.k8s.io", "v1", "roles", "Role", true)],
            Self::RoleBinding => &[("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true)],
            Self::ClusterRole => &[("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false)],
            Self::ClusterRoleBinding => {
                &[("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", false)]
            }
            Self::PodMetrics => &[("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", true)],
            Self::NodePool => &[("karpenter.sh", "v1", "nodepools", "NodePool", false)],
            Self::NodeClaim => &[("karpenter.sh", "v1", "nodeclaims", "NodeClaim", false)],
            Self::NodeClass => &[("karpenter.k8s.aws", "v1", "ec2nodeclasses", "EC2NodeClass", false)],
            Self::NodeReadinessRule => {
                &[("readiness.node.x-k8s.io", "v1alpha1", "nodereadinessrules", "NodeReadinessRule", false)]
            }
            Self::ScaledObject => &[("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", true)],
            Self::VerticalPodAutoscaler => {
                &[("autoscaling.k8s.io", "v1", "verticalpodautoscalers", "VerticalPodAutoscaler", true)]
            }
            Self::TargetGroupBinding => {
                &[("elbv2.k8s.aws", "v1beta1", "targetgroupbindings", "TargetGroupBinding", true)]
            }
            Self::PeerAuthentication => {
                &[("security.istio.io", "v1", "peerauthentications", "PeerAuthentication", true)]
            }
            Self::ProxyConfig => &[("networking.istio.io", "v1beta1", "proxyconfigs", "ProxyConfig", true)],
        }
    }

    /// Returns the fact of a kind.
    #[must_use]
    pub fn of(group: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.rows().iter().any(|row| row.0 == group && row.3 == kind)).or_else(|| {
            // Kinds that lived in another group once and are still written so.
            let old = matches!((group, kind), ("extensions", "Deployment" | "ReplicaSet" | "DaemonSet" | "Ingress"));
            let moved = if kind == "Ingress" { "networking.k8s.io" } else { "apps" };
            old.then(|| Self::of(moved, kind)).flatten()
        })
    }

    /// Returns what it is called in reasons: the plural of its first kind.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            // Pods are called so too.
            Self::PodMetrics => "pods.metrics.k8s.io",
            _ => self.rows().first().map_or("the kinds that the server serves", |row| row.2),
        }
    }

    /// Returns what one of its kinds is called in reasons: its plural, with its group where something that every server
    /// has is called so too.
    pub(super) fn called(self, group: &str, plural: &str) -> String {
        let is_taken = |fact: &Self| fact.is_built_in() && fact.rows().iter().any(|row| row.2 == plural);
        if !self.is_built_in() && Self::ALL.iter().any(is_taken) {
            format!("{plural}.{group}")
        } else {
            plural.to_owned()
        }
    }

    /// Returns where the server keeps its kinds.
    #[must_use]
    pub fn resources(self) -> Vec<Resource> {
        let rows = self.rows().iter();
        rows.map(|(group, version, plural, kind, namespaced)| Resource {
            group: (*group).to_owned(),
            version: (*version).to_owned(),
            kind: (*kind).to_owned(),
            plural: (*plural).to_owned(),
            namespaced: *namespaced,
        })
        .collect()
    }

    /// Returns whether every server has its kinds.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        !self.is_custom() && !matches!(self, Self::PodMetrics)
    }

    /// Returns whether its kinds are kept as JSON.
    #[must_use]
    pub const fn is_custom(self) -> bool {
        matches!(
            self,
            Self::Route
                | Self::CustomCarrier
                | Self::NodePool
                | Self::NodeClaim
                | Self::NodeClass
                | Self::NodeReadinessRule
                | Self::ScaledObject
                | Self::VerticalPodAutoscaler
                | Self::TargetGroupBinding
                | Self::PeerAuthentication
                | Self::ProxyConfig
        )
    }
}

/// How much of each object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Names, labels, annotations.
    Metadata,
    /// What is wanted.
    Spec,
    /// Everything that is declared.
    Full,
}

/// What a rule does without a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The rule is skipped.
    Decides,
    /// The rule runs without it, or without one branch; the report says so.
    Enriches,
}

/// Of which namespaces a fact is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Those that are judged.
    Subject,
    /// All.
    All,
}

/// One fact that a rule reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Need {
    /// What.
    pub fact: Fact,
    /// How much of it.
    pub level: Level,
    /// Without it.
    pub role: Role,
    /// Where.
    pub reach: Reach,
    /// In files, none means none; otherwise a rule whose fact does not occur is not applicable.
    pub absent_is_empty: bool,
    /// Field selector that is enough for this rule; empty for all.
    pub narrow: &'static str,
}

impl Need {
    /// A fact that decides, of the namespaces that are judged, everything of it.
    #[must_use]
    pub const fn decides(fact: Fact) -> Self {
        Self {
            fact,
            level: Level::Full,
            role: Role::Decides,
            reach: Reach::Subject,
            absent_is_empty: false,
            narrow: "",
        }
    }

    /// A fact that makes a finding better, or decides one branch alone.
    #[must_use]
    pub const fn enriches(fact: Fact) -> Self {
        Self { role: Role::Enriches, ..Self::decides(fact) }
    }

    /// The same, and in files none means none.
    #[must_use]
    pub const fn or_none(self) -> Self {
        Self { absent_is_empty: true, ..self }
    }

    /// The same, narrowed on the server.
    #[must_use]
    pub const fn narrowed(self, fields: &'static str) -> Self {
        Self { narrow: fields, ..self }
    }

    /// The same at another level.
    #[must_use]
    pub const fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// The same, of all namespaces.
    #[must_use]
    pub const fn everywhere(self) -> Self {
        Self { reach: Reach::All, ..self }
    }
}

/// Pods that should end: what batch rules read of pods.
///
/// Also those that have succeeded: a finalizer that keeps one, ends that nobody counted and the first success of a queue are
/// seen on them alone.
pub const BATCH_PODS: &str = "spec.restartPolicy!=Always";

/// One list of a union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// How much.
    pub level: Level,
    /// Where.
    pub reach: Reach,
    /// Field selector that all needs share; empty for all.
    pub narrow: &'static str,
}

/// The union of what rules read: one list per fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    lists: BTreeMap<Fact, Listed>,
}

/// Facts that findings need whatever the rule: owners to fold to, namespaces for suppressions.
const FOLDING: [(Fact, &[Fact]); 2] = [(Fact::Pod, &[Fact::ReplicaSet]), (Fact::Job, &[])];

/// Returns the union of what rules read. Rules about suppressions and annotations look at what the others read; alone, at
/// what every rule reads.
#[must_use]
pub fn needs<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Needs {
    let rules: Vec<&Rule> = rules.into_iter().collect();
    if !rules.is_empty() && rules.iter().all(|rule| annotations::is_own(rule.id)) {
        return joined(rules.into_iter().chain(super::rules()).flat_map(Rule::reads));
    }
    joined(rules.into_iter().flat_map(Rule::reads))
}

/// Returns the union of single needs, with what their answers are folded by: for models, which are no rules.
#[must_use]
pub fn union<'a>(needs: impl IntoIterator<Item = &'a Need>) -> Needs {
    joined(needs.into_iter().copied())
}

fn joined(needs: impl IntoIterator<Item = Need>) -> Needs {
    let mut lists: BTreeMap<Fact, Listed> = BTreeMap::new();
    for need in needs {
        let new = Listed { level: need.level, reach: need.reach, narrow: need.narrow };
        let known = lists.entry(need.fact).or_insert(new);
        known.level = known.level.max(need.level);
        known.reach = known.reach.max(need.reach);
        if known.narrow != need.narrow {
            known.narrow = "";
        }
    }
    for (fact, more) in FOLDING {
        if lists.contains_key(&fact) {
            for fact in more {
                let listed = Listed { level: Level::Metadata, reach: Reach::Subject, narrow: "" };
                lists.entry(*fact).or_insert(listed);
            }
        }
    }
    if lists.keys().any(|fact| fact.rows().iter().any(|row| row.4)) {
        let listed = Listed { level: Level::Metadata, reach: Reach::Subject, narrow: "" };
        lists.entry(Fact::Namespace).or_insert(listed);
    }
    Needs { lists }
}

impl Needs {
    /// Returns these lists and those of another union.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        for (fact, new) in other.lists {
            let known = self.lists.entry(fact).or_insert(new);
            known.level = known.level.max(new.level);
            known.reach = known.reach.max(new.reach);
            if known.narrow != new.narrow {
                known.narrow = "";
            }
        }
        self
    }

    /// Returns these lists and the names of a kind's objects, which say who owns what.
    #[must_use]
    pub fn naming(mut self, fact: Fact) -> Self {
        let listed = Listed { level: Level::Metadata, reach: Reach::Subject, narrow: "" };
        self.lists.entry(fact).or_insert(listed);
        self
    }

    /// Returns the lists, by fact.
    pub fn iter(&self) -> impl Iterator<Item = (Fact, Listed)> {
        self.lists.iter().map(|(fact, listed)| (*fact, *listed))
    }

    /// Returns the list of a fact.
    #[must_use]
    pub fn of(&self, fact: Fact) -> Option<Listed> {
        self.lists.get(&fact).copied()
    }

    /// Returns the smallest role that may read all of it, as YAML: a `Role` of a namespace with what lives in it, and
    /// a `ClusterRole` with the rest; without a namespace one `ClusterRole`.
    #[must_use]
    pub fn rbac(&self, namespace: Option<&str>) -> String {
        let resources: Vec<Resource> = self.lists.keys().flat_map(|fact| fact.resources()).collect();
        let (inside, outside): (Vec<_>, Vec<_>) =
            resources.into_iter().partition(|resource| namespace.is_some() && resource.namespaced);
        let mut text = String::new();
        if let Some(namespace) = namespace.filter(|_| !inside.is_empty()) {
            text.push_str(&role("Role", Some(namespace), &inside));
        }
        if !outside.is_empty() {
            if !text.is_empty() {
                text.push_str("---\n");
            }
            text.push_str(&role("ClusterRole", None, &outside));
        }
        text
    }
}

fn role(kind: &str, namespace: Option<&str>, resources: &[Resource]) -> String {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for resource in resources {
        groups.entry(&resource.group).or_default().insert(&resource.plural);
    }
    let mut text =
        format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: kubeguard-audit\n");
    if let Some(namespace) = namespace {
        let _ = writeln!(text, "  namespace: {namespace}");
    }
    text.push_str("rules:\n");
    for (group, plurals) in groups {
        let plurals: Vec<&str> = plurals.into_iter().collect();
        let _ = writeln!(text, "- apiGroups: [\"{group}\"]\n  resources: [{}]\n  verbs: [list]", plurals.join(", "));
    }
    text
}
