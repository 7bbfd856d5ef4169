//! What a user decides about the bundles: budgets, exempt namespaces, allow-lists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::document;
use crate::error::Result;
use crate::kinds::Quantity;

/// A file `kubeguard-policy.yaml`; what it leaves out has the values of [`PolicySettings::default`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicySettings {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `GuardPolicy`.
    pub kind: String,
    /// Where the parameters of policies are kept.
    pub namespace: String,
    /// Namespaces that no policy judges.
    pub exempt_namespaces: Vec<String>,
    /// What happens at the last stage when a policy cannot be evaluated.
    pub failure_policy: FailurePolicy,
    /// For a bundle, by name, the namespaces that it judges instead of those its text names.
    pub namespaces: BTreeMap<String, SelectedNamespaces>,
    /// What a DaemonSet may ask for unreviewed.
    pub daemon_sets: DaemonSetGate,
    /// Namespaces whose owners may create no DaemonSets.
    pub tenants: Vec<String>,
    /// How far an autoscaler may grow.
    pub autoscalers: AutoscalerGate,
    /// The agent that new nodes wait for.
    pub node_hold: NodeHold,
}

/// What happens when a policy cannot be evaluated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum FailurePolicy {
    /// The object is admitted.
    #[default]
    Ignore,
    /// The object is refused.
    Fail,
}

/// Namespaces by their labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SelectedNamespaces {
    /// Labels that a namespace has.
    pub match_labels: BTreeMap<String, String>,
}

/// What a DaemonSet may ask for unreviewed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DaemonSetGate {
    /// CPU per node.
    pub max_cpu: Quantity,
    /// Memory per node.
    pub max_memory: Quantity,
    /// How many nodes there are, where that is known.
    pub nodes: Option<u64>,
    /// Users that install DaemonSets of the platform.
    pub robots: Vec<String>,
    /// Priority classes that need no review; absent means every class.
    pub priority_classes: Option<Vec<String>>,
    /// Host ports that need no review; absent means every port.
    pub host_ports: Option<Vec<u16>>,
    /// Host paths below which no review is needed; absent means every path.
    pub host_paths: Option<Vec<String>>,
}

/// How far an autoscaler may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AutoscalerGate {
    /// `maxReplicas` as a multiple of `minReplicas`.
    pub max_ratio: u32,
    /// Seconds that an increase must be wanted for, in namespaces labelled `startup=heavy`.
    pub min_scale_up_window: u32,
}

/// The agent that new nodes wait for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeHold {
    /// Name of the `NodePool`.
    pub node_pool: String,
    /// Namespace of the agent's DaemonSet.
    pub namespace: String,
    /// Name of the agent's DaemonSet.
    pub daemon_set: String,
    /// The node's condition that says that it runs.
    pub condition: String,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            api_version: Self::API_VERSION.to_owned(),
            kind: Self::KIND.to_owned(),
            namespace: "kube-system".to_owned(),
            exempt_namespaces: vec!["kube-system".to_owned()],
            failure_policy: FailurePolicy::default(),
            namespaces: BTreeMap::new(),
            daemon_sets: DaemonSetGate::default(),
            tenants: vec!["tenant".to_owned()],
            autoscalers: AutoscalerGate::default(),
            node_hold: NodeHold::default(),
        }
    }
}

impl Default for DaemonSetGate {
    fn default() -> Self {
        Self {
            max_cpu: Quantity::from("500m"),
            max_memory: Quantity::from("512Mi"),
            nodes: None,
            robots: vec!["system:serviceaccount:kube-system:daemon-set-installer".to_owned()],
            priority_classes: None,
            host_ports: None,
            host_paths: None,
        }
    }
}

impl Default for AutoscalerGate {
    fn default() -> Self {
        Self { max_ratio: 10, min_scale_up_window: 120 }
    }
}

impl Default for NodeHold {
    fn default() -> Self {
        Self {
            node_pool: "default".to_owned(),
            namespace: "logging".to_owned(),
            daemon_set: "agent".to_owned(),
            condition: "LoggingAgentReady".to_owned(),
        }
    }
}

impl PolicySettings {
    /// Version of the file.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the file.
    pub const KIND: &'static str = "GuardPolicy";

    /// Reads a settings file; `file` is only named in errors.
    ///
    /// # Errors
    /// [`crate::error::Error::File`] for an unknown key, another version or kind, a budget that is no quantity, and a bundle
    /// that does not exist.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let settings: Self = document::read(file, text)?;
        let wrong = |problem: String, hint: &str| Err(document::invalid(file, problem, hint));
        let (version, kind) = (settings.api_version.as_str(), settings.kind.as_str());
        if (version, kind) != (Self::API_VERSION, Self::KIND) {
            return wrong(
                format!("this is {version} {kind}"),
                &format!("apiVersion: {} and kind: {}", Self::API_VERSION, Self::KIND),
            );
        }
        let gate = &settings.daemon_sets;
        for (key, amount) in [("maxCpu", &gate.max_cpu), ("maxMemory", &gate.max_memory)] {
            if amount.nanos().is_none_or(|amount| amount < 0) {
                return wrong(format!("daemonSets.{key}: {amount} is no quantity"), "as in 500m, or 512Mi");
            }
        }
        if settings.autoscalers.max_ratio == 0 {
            return wrong("autoscalers.maxRatio: 0 would admit no autoscaler at all".to_owned(), "at least 1");
        }
        if let Some(name) = settings.namespaces.keys().find(|name| super::bundle(name).is_none()) {
            return wrong(format!("namespaces.{name}: there is no such bundle"), "kubectl guard policy lists them");
        }
        Ok(settings)
    }

    /// Writes the settings into one manifest of a bundle.
    pub(super) fn write_into(&self, bundle: &str, manifest: &mut Value) {
        let kind = super::kind(manifest).to_owned();
        match kind.as_str() {
            "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
                self.write_binding(bundle, manifest);
            }
            "ValidatingAdmissionPolicy" if bundle == "daemonset" => self.daemon_sets.write_policy(manifest),
            "ConfigMap" => {
                manifest["metadata"]["namespace"] = json!(self.namespace);
                let data = match bundle {
                    "daemonset" => self.daemon_sets.parameters(),
                    _ => json!({"maxRatio": self.autoscalers.max_ratio.to_string(),
                        "minScaleUpWindow": self.autoscalers.min_scale_up_window.to_string()}),
                };
                manifest["data"] = data;
            }
            kind if bundle == "node-hold" => self.node_hold.write(kind, manifest),
            _ => {}
        }
    }

    fn write_binding(&self, bundle: &str, binding: &mut Value) {
        let spec = &mut binding["spec"];
        if spec.get("paramRef").is_some() {
            spec["paramRef"]["namespace"] = json!(self.namespace);
        }
        let selector = &mut spec["matchResources"]["namespaceSelector"];
        if let Some(chosen) = self.namespaces.get(bundle) {
            *selector = json!({"matchLabels": chosen.match_labels});
        }
        if !self.exempt_namespaces.is_empty() {
            selector["matchExpressions"] = json!([{
                "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": self.exempt_namespaces,
            }]);
        }
    }

    /// Repeats the quota for each tenant.
    pub(super) fn of_tenants(&self, manifests: Vec<Value>) -> Vec<Value> {
        let (quotas, others): (Vec<Value>, Vec<Value>) =
            manifests.into_iter().partition(|manifest| super::kind(manifest) == "ResourceQuota");
        let mut repeated = Vec::new();
        for tenant in &self.tenants {
            for mut quota in quotas.iter().cloned() {
                quota["metadata"]["namespace"] = json!(tenant);
                repeated.push(quota);
            }
        }
        repeated.extend(others);
        repeated
    }
}

impl DaemonSetGate {
    /// Returns the data of the `ConfigMap` that the policy reads.
    #[must_use]
    pub fn parameters(&self) -> Value {
        let nodes = self.nodes.map_or_else(|| "an unknown number of".to_owned(), |nodes| nodes.to_string());
        json!({"maxCpu": self.max_cpu.to_string(), "maxMemory": self.max_memory.to_string(), "nodes": nodes})
    }

    fn write_policy(&self, policy: &mut Value) {
        let robots = json!(self.robots).to_string();
        if let Some(condition) = find(&mut policy["spec"]["matchConditions"], "not-platform-robot") {
            condition.insert("expression".to_owned(), json!(format!("!(request.userInfo.username in {robots})")));
        }
        let spec = "object.spec.template.spec";
        let mut more = Vec::new();
        if let Some(classes) = &self.priority_classes {
            let class = format!("{spec}.priorityClassName");
            more.push((
                format!("!has({class}) || {class} == '' || {class} in {}", json!(classes)),
                format!("DaemonSet needs review: priority classes without review are {}", classes.join(", ")),
            ));
        }
        if let Some(ports) = &self.host_ports {
            let listed: Vec<String> = ports.iter().map(ToString::to_string).collect();
            more.push((
                format!(
                    "variables.cs.all(c, !has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0 || \
                     p.hostPort in {}))",
                    json!(ports)
                ),
                format!("DaemonSet needs review: host ports without review are {}", listed.join(", ")),
            ));
        }
        if let Some(paths) = &self.host_paths {
            // `/var/log` allows itself and what lies below, not `/var/logs`.
            more.push((
                format!(
                    "!has({spec}.volumes) || {spec}.volumes.all(v, !has(v.hostPath) || {}.exists(p, \
                     v.hostPath.path == p || (v.hostPath.path.startsWith(p + '/') && !v.hostPath.path.contains('..'))))",
                    json!(paths)
                ),
                format!("DaemonSet needs review: host paths without review are {}", paths.join(", ")),
            ));
        }
        let Some(validations) = policy["spec"]["validations"].as_array_mut() else { return };
        validations.extend(more.into_iter().map(|(expression, message)| {
            json!({"expression": format!("variables.approved || {expression}"), "message": message})
        }));
    }
}

impl NodeHold {
    fn write(&self, kind: &str, manifest: &mut Value) {
        // A dot keeps it one element: the rule's schema allows exactly one slash.
        let key = format!("readiness.k8s.io/{}.{}", self.namespace, self.daemon_set);
        let spec = &mut manifest["spec"];
        match kind {
            "NodePool" => {
                spec["template"]["spec"]["startupTaints"] = json!([{"key": key, "effect": "NoSchedule"}]);
                manifest["metadata"]["name"] = json!(self.node_pool);
            }
            "NodeReadinessRule" => {
                spec["nodeSelector"] = json!({"matchLabels": {"karpenter.sh/nodepool": self.node_pool}});
                spec["taint"] = json!({"key": key, "effect": "NoSchedule"});
                spec["conditions"] = json!([{"type": self.condition, "requiredStatus": "True"}]);
                manifest["metadata"]["name"] = json!(format!("{}-{}", self.namespace, self.daemon_set));
            }
            _ => {
                spec["template"]["spec"]["tolerations"] =
                    json!([{"key": key, "operator": "Exists", "effect": "NoSchedule"}]);
                manifest["metadata"] = json!({"name": self.daemon_set, "namespace": self.namespace});
            }
        }
    }
}

/// Finds the item of a name in a list of objects.
fn find<'a>(list: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    list.as_array_mut()?.iter_mut().filter_map(Value::as_object_mut).find(|item| item.get("name") == Some(&json!(name)))
}
