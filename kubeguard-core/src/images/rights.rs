//! Rights that reading an inventory needs, as manifests of RBAC: no more than what is read, and no write.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::gather::wanted;
use super::inventory::{Scan, Secrets};
use super::reference::RegistryId;
use crate::gather::discovery::Discovery;

/// What may be listed in a cluster, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Plural names by API group.
    listed: BTreeMap<String, BTreeSet<String>>,
    /// Which Secrets are read.
    secrets: Secrets,
    /// Groups whose servers did not answer, so that their kinds are not known.
    unavailable: Vec<String>,
}

/// Who is given the rights, and what else is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Name of every object, as in `kubeguard-ecr-clean`.
    pub name: String,
    /// Namespace of the service accounts.
    pub namespace: String,
    /// Where `apply` keeps its Lease, and of which registry; it gets a service account of its own, `NAME-apply`.
    pub lease: Option<(String, RegistryId)>,
    /// Takes the inventory again and again inside of the cluster.
    pub every: Option<Every>,
}

/// A `CronJob` that takes the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Every {
    /// Image that holds `kubectl-ecr_clean`.
    pub image: String,
    /// Schedule of cron, as in `0 * * * *`.
    pub schedule: String,
    /// Label of the cluster, and name of the file.
    pub cluster: String,
    /// `PersistentVolumeClaim` that the file is written to.
    pub claim: String,
}

impl Rights {
    /// Returns what an inventory with this scan reads of what a server serves.
    #[must_use]
    pub fn of(discovery: &Discovery, scan: &Scan) -> Self {
        let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for wanted in wanted(discovery, scan).0 {
            listed.entry(wanted.resource.group).or_default().insert(wanted.resource.plural);
        }
        // Secrets are told apart: their right is the one to think about.
        if let Some(core) = listed.get_mut("") {
            core.remove("secrets");
        }
        Self { listed, secrets: scan.secrets, unavailable: discovery.unavailable().map(ToOwned::to_owned).collect() }
    }

    /// Returns the rules of the `ClusterRole`, each with a comment where it needs one.
    fn rules(&self) -> Vec<(Value, &'static str)> {
        let identity =
            json!({"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]});
        let mut rules = vec![(identity, "Its uid is the cluster's identity.")];
        for (group, resources) in &self.listed {
            rules.push((json!({"apiGroups": [group], "resources": resources, "verbs": ["list"]}), ""));
        }
        let secrets = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]});
        match self.secrets {
            Secrets::Off => {}
            Secrets::Helm => rules.push((
                secrets,
                "Only Helm's releases are asked for (owner=helm), but RBAC cannot narrow a list by label or type: this \
                 reads all Secrets. Without it Helm's history is not known.",
            )),
            Secrets::All => rules.push((secrets, "All Secrets are read.")),
        }
        rules
    }

    /// Returns the manifests in the order in which they can be created: service accounts, `ClusterRole`, its binding, for a
    /// lease Role and `RoleBinding`, and the `CronJob`.
    #[must_use]
    pub fn manifests(&self, grant: &Grant) -> Vec<Value> {
        let Grant { name, namespace, lease, every } = grant;
        let apply = format!("{name}-apply");
        let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}});
        let subject = |name: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
        let role = |kind: &str, name: &str| json!({"apiGroup": RBAC, "kind": kind, "name": name});
        let api_version = format!("{RBAC}/v1");
        let mut manifests = vec![account(name)];
        let mut readers = vec![subject(name)];
        if lease.is_some() {
            manifests.push(account(&apply));
            readers.push(subject(&apply));
        }
        let rules: Vec<Value> = self.rules().into_iter().map(|(rule, _)| rule).collect();
        manifests.push(
            json!({"apiVersion": api_version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}),
        );
        manifests.push(json!({"apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": role("ClusterRole", name), "subjects": readers}));
        if let Some((place, registry)) = lease {
            let object = registry.lease_name();
            let leases =
                |verbs: &[&str]| json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs});
            let mut own = leases(&["get", "update"]);
            own["resourceNames"] = json!([object]);
            // What does not exist yet has no name to be narrowed by.
            let metadata = json!({"name": apply, "namespace": place});
            manifests.push(json!({"apiVersion": api_version, "kind": "Role", "metadata": metadata,
                "rules": [own, leases(&["create"])]}));
            manifests.push(json!({"apiVersion": api_version, "kind": "RoleBinding", "metadata": metadata,
                "roleRef": role("Role", &apply), "subjects": [subject(&apply)]}));
        }
        manifests.extend(every.as_ref().map(|every| every.manifest(grant)));
        manifests
    }

    /// Returns the manifests as YAML, with comments on what needs a thought.
    #[must_use]
    pub fn yaml(&self, grant: &Grant) -> String {
        let mut documents = Vec::new();
        for manifest in self.manifests(grant) {
            if manifest["kind"] != "ClusterRole" {
                documents.push(serde_saphyr::to_string(&manifest).unwrap_or_default());
                continue;
            }
            let mut text = String::new();
            for group in &self.unavailable {
                text += &format!("# The server behind {group} does not answer: what it serves is not in here.\n");
            }
            text += &format!("apiVersion: {RBAC}/v1\nkind: ClusterRole\nmetadata:\n  name: {}\nrules:\n", grant.name);
            for (rule, comment) in self.rules() {
                for line in wrapped(comment) {
                    text += &format!("# {line}\n");
                }
                let fields = rule.as_object().into_iter().flatten();
                for (at, (field, value)) in fields.enumerate() {
                    text += &format!("{} {field}: {value}\n", if at == 0 { "-" } else { " " });
                }
            }
            documents.push(text);
        }
        documents.join("---\n")
    }
}

/// Cuts a comment into lines.
fn wrapped(comment: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in comment.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 100 => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

const RBAC: &str = "rbac.authorization.k8s.io";

impl Every {
    fn manifest(&self, grant: &Grant) -> Value {
        let container = json!({
            "name": "inventory", "image": self.image, "command": ["kubectl-ecr_clean"],
            "args": ["inventory", "--cluster", self.cluster, "--dir", "/inventories"],
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "inventories", "mountPath": "/inventories"}],
        });
        let pod = json!({
            "serviceAccountName": grant.name, "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "inventories", "persistentVolumeClaim": {"claimName": self.claim}}],
        });
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": grant.name, "namespace": grant.namespace},
            "spec": {"schedule": self.schedule, "concurrencyPolicy": "Forbid",
                "jobTemplate": {"spec": {"backoffLimit": 2, "template": {"spec": pod}}}},
        })
    }
}
