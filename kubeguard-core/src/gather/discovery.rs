//! Which kinds a server serves, and what people call them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::resource::Resource;
use crate::access::{Call, Cluster};
use crate::error::{Error, Failure, Result};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;q=0.5";
/// More suggestions than these are no help.
const MOST_SIMILAR: usize = 3;
/// Time between questions whether a new kind is served.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// A kind with the names people use for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Where the server keeps it.
    pub resource: Resource,
    /// As in `deployment`.
    pub singular: String,
    /// As in `deploy`.
    pub short: Vec<String>,
    /// Whether its objects can be listed.
    pub listed: bool,
    /// Whether its objects can be watched.
    pub watched: bool,
}

/// The kinds of one server, those of preferred groups and versions first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    kinds: Vec<Named>,
    /// Groups whose own server did not say what it serves.
    unavailable: Vec<String>,
}

/// Built-in kinds that need no question to the server: group, version, kind, plural, namespaced, short names.
const WELL_KNOWN: &[(&str, &str, &str, &str, bool, &str)] = &[
    ("", "v1", "Pod", "pods", true, "po"),
    ("", "v1", "Service", "services", true, "svc"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true, "pvc"),
    ("", "v1", "Namespace", "namespaces", false, "ns"),
    ("", "v1", "Node", "nodes", false, "no"),
    ("", "v1", "Event", "events", true, "ev"),
    ("", "v1", "ConfigMap", "configmaps", true, "cm"),
    ("", "v1", "Secret", "secrets", true, ""),
    ("", "v1", "ServiceAccount", "serviceaccounts", true, "sa"),
    ("", "v1", "ReplicationController", "replicationcontrollers", true, "rc"),
    ("apps", "v1", "Deployment", "deployments", true, "deploy"),
    ("apps", "v1", "StatefulSet", "statefulsets", true, "sts"),
    ("apps", "v1", "DaemonSet", "daemonsets", true, "ds"),
    ("apps", "v1", "ReplicaSet", "replicasets", true, "rs"),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", true, ""),
    ("batch", "v1", "Job", "jobs", true, ""),
    ("batch", "v1", "CronJob", "cronjobs", true, "cj"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true, "ing"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true, "netpol"),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true, ""),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true, ""),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false, ""),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false, ""),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", false, "sc"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false, "crd,crds"),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", false, ""),
];

impl Discovery {
    /// Returns the built-in kinds that every supported server has, without asking one.
    #[must_use]
    pub fn well_known() -> Self {
        let kinds = WELL_KNOWN.iter().map(|(group, version, kind, plural, namespaced, short)| Named {
            resource: Resource {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
                kind: (*kind).to_owned(),
                plural: (*plural).to_owned(),
                namespaced: *namespaced,
            },
            singular: kind.to_lowercase(),
            short: short.split(',').filter(|short| !short.is_empty()).map(ToOwned::to_owned).collect(),
            listed: true,
            watched: true,
        });
        Self { kinds: kinds.collect(), unavailable: Vec::new() }
    }

    /// Asks the server for everything it serves: two requests where it aggregates discovery, else one per version.
    ///
    /// # Errors
    /// [`Error::Api`] when the server cannot be asked. A group whose own server is down is left out.
    pub async fn of(cluster: &Cluster) -> Result<Self> {
        let failed = |failure| cluster.failed("ask the server for its kinds", failure);
        let mut found = Self::default();
        for path in ["/api", "/apis"] {
            let answer = cluster.fetch(Call::Get, path, AGGREGATED).await.map_err(failed)?;
            match serde_json::from_slice::<Groups>(&answer.body) {
                Ok(groups) if groups.kind == "APIGroupDiscoveryList" => {
                    found.unavailable.extend(groups.stale());
                    found.kinds.extend(groups.kinds());
                }
                _ => legacy(cluster, path, &answer.body, &mut found).await.map_err(failed)?,
            }
        }
        Ok(found)
    }

    /// Returns the kind that somebody calls `name`: plural, singular, kind or short name, with group, or version and
    /// group, behind dots, in any case.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<&Resource> {
        let name = name.to_lowercase();
        let (head, rest) = name.split_once('.').unwrap_or((&name, ""));
        let called = |named: &&Named| {
            let Resource { kind, plural, .. } = &named.resource;
            plural == head
                || named.singular == head
                || kind.to_lowercase() == head
                || named.short.iter().any(|s| s == head)
        };
        let of_group = |named: &&Named| {
            let Resource { group, version, .. } = &named.resource;
            rest.is_empty()
                || *group == rest
                || format!("{version}.{group}") == rest
                || (group.is_empty() && version == rest)
        };
        // As in client-go: full names before short ones, whatever their order.
        let mut found = self.kinds.iter().filter(called).filter(of_group);
        let first = found.next()?;
        let exact = |named: &&Named| named.resource.plural == head || named.singular == head;
        let best = if exact(&first) { first } else { found.find(exact).unwrap_or(first) };
        Some(&best.resource)
    }

    /// Returns what people call the kinds: plurals, with their group where it is not a built-in one.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.kinds.iter().map(|named| match &named.resource {
            resource if resource.group.contains('.') => format!("{}.{}", resource.plural, resource.group),
            resource => resource.plural.clone(),
        })
    }

    /// Returns the kinds whose objects can be listed, each in the first version served.
    pub fn listed(&self) -> impl Iterator<Item = &Resource> {
        first_versions(self.kinds.iter().filter(|named| named.listed))
    }

    /// Returns the kinds whose objects can be listed and watched, each in the first version served.
    pub fn watched(&self) -> impl Iterator<Item = &Resource> {
        first_versions(self.kinds.iter().filter(|named| named.listed && named.watched))
    }

    /// Returns the groups with their versions whose own server did not say what it serves.
    pub fn unavailable(&self) -> impl Iterator<Item = &str> {
        self.unavailable.iter().map(String::as_str)
    }

    /// Returns the kind of a manifest; the version need not be the one asked for when the server serves another.
    #[must_use]
    pub fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Resource> {
        let mut same = self.kinds.iter().map(|named| &named.resource).filter(|r| r.group == group && r.kind == kind);
        let first = same.next()?;
        if first.version == version { Some(first) } else { same.find(|r| r.version == version).or(Some(first)) }
    }

    /// Returns the error for a kind that is not there, with similar names.
    #[must_use]
    pub fn unknown(&self, name: &str) -> Error {
        let head = name.split('.').next().unwrap_or(name).to_lowercase();
        let mut similar: Vec<(usize, String)> = self
            .kinds
            .iter()
            .filter_map(|named| {
                let names = [&named.resource.plural, &named.singular].into_iter().chain(&named.short);
                let nearest = names.map(|candidate| strsim::damerau_levenshtein(candidate, &head)).min();
                nearest.map(|distance| (distance, named.resource.to_string()))
            })
            .filter(|(distance, _)| *distance <= 1 + head.len() / 4)
            .collect();
        similar.sort();
        similar.dedup_by(|a, b| a.1 == b.1);
        let similar = similar.into_iter().take(MOST_SIMILAR).map(|(_, name)| name).collect();
        Error::UnknownKind { name: name.to_owned(), similar }
    }
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: crate::kinds::ObjectMeta,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "version")]
    name: String,
    #[serde(default)]
    resources: Vec<Discovered>,
    /// `Stale` where the group's own server has not answered lately.
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    resource: String,
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    kind: String,
}

impl Groups {
    /// Returns the versions of which nothing is known: what a server said before it fell silent is still told.
    fn stale(&self) -> Vec<String> {
        let versions = self.items.iter().flat_map(|group| group.versions.iter().map(move |version| (group, version)));
        let silent = versions.filter(|(_, version)| version.freshness == "Stale" && version.resources.is_empty());
        silent.map(|(group, version)| format!("{}/{}", group.metadata.name, version.name)).collect()
    }

    fn kinds(self) -> Vec<Named> {
        let mut kinds = Vec::new();
        for group in self.items {
            for version in group.versions {
                // What can only be created is no object that anybody could ask for; what can only be listed is one.
                let kept = |found: &Discovered| has(&found.verbs, "get") || has(&found.verbs, "list");
                for found in version.resources.into_iter().filter(kept) {
                    let listed = has(&found.verbs, "list");
                    // A list of objects of a kind that is not told has objects all the same.
                    let kind = found.response_kind.map(|kind| kind.kind).filter(|kind| !kind.is_empty());
                    let Some(kind) = kind.or_else(|| listed.then(|| found.resource.clone())) else { continue };
                    kinds.push(Named {
                        listed,
                        watched: has(&found.verbs, "watch"),
                        resource: Resource {
                            group: group.metadata.name.clone(),
                            version: version.name.clone(),
                            kind,
                            plural: found.resource,
                            namespaced: found.scope == "Namespaced",
                        },
                        singular: found.singular_resource,
                        short: found.short_names,
                    });
                }
            }
        }
        kinds
    }
}

fn has(verbs: &[String], verb: &str) -> bool {
    verbs.iter().any(|known| known == verb)
}

/// One kind may be served under two plurals, whose objects are not the same.
fn first_versions<'a>(kinds: impl Iterator<Item = &'a Named>) -> impl Iterator<Item = &'a Resource> {
    let mut known = BTreeSet::new();
    kinds.map(|named| &named.resource).filter(move |resource| known.insert((&resource.group, &resource.plural)))
}

/// Discovery of servers that do not aggregate: the list of versions, then each version's kinds.
async fn legacy(cluster: &Cluster, path: &str, body: &[u8], known: &mut Discovery) -> std::result::Result<(), Failure> {
    let root: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| Failure::Answer(format!("discovery cannot be read: {error}")))?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut versions: Vec<String> =
        root["versions"].as_array().into_iter().flatten().map(text).map(|version| format!("/api/{version}")).collect();
    for group in root["groups"].as_array().into_iter().flatten() {
        let preferred = text(&group["preferredVersion"]["groupVersion"]);
        let others = group["versions"].as_array().into_iter().flatten().map(|version| text(&version["groupVersion"]));
        let others: Vec<String> = others.filter(|version| *version != preferred).collect();
        versions.extend(std::iter::once(preferred).chain(others).map(|version| format!("{path}/{version}")));
    }
    for path in versions {
        let list = cluster.fetch(Call::Get, &path, "application/json").await.and_then(|answer| kinds_of(&answer.body));
        let list = match list {
            Ok(list) => list,
            Err(failure) => {
                tracing::warn!(path, %failure, "its kinds are left out");
                known.unavailable.push(path.trim_start_matches("/apis/").trim_start_matches("/api/").to_owned());
                continue;
            }
        };
        let group_version = text(&list["groupVersion"]);
        let (group, version) = group_version.split_once('/').unwrap_or(("", &group_version));
        for found in list["resources"].as_array().into_iter().flatten() {
            let plural = text(&found["name"]);
            if plural.contains('/') {
                continue;
            }
            let verbs: Vec<String> = found["verbs"].as_array().into_iter().flatten().map(text).collect();
            known.kinds.push(Named {
                listed: has(&verbs, "list"),
                watched: has(&verbs, "watch"),
                resource: Resource {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    kind: text(&found["kind"]),
                    plural,
                    namespaced: found["namespaced"].as_bool().unwrap_or(false),
                },
                singular: text(&found["singularName"]),
                short: found["shortNames"].as_array().into_iter().flatten().map(text).collect(),
            });
        }
    }
    Ok(())
}

/// Returns once the server serves `resource`: an established definition is not enough.
///
/// Whatever fails is asked again; the caller's deadline ends it.
pub async fn until_served(cluster: &Cluster, resource: &Resource) {
    let path = format!("/apis/{}", resource.api_version());
    loop {
        tokio::time::sleep(ASK_AGAIN).await;
        let Ok(answer) = cluster.fetch(Call::Get, &path, "application/json").await else { continue };
        let list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let kinds = list["resources"].as_array();
        if kinds.into_iter().flatten().any(|found| found["name"] == resource.plural.as_str()) {
            return;
        }
    }
}

/// Reads the list of one version's kinds; a text that is none says nothing, not that there are none.
fn kinds_of(body: &[u8]) -> std::result::Result<serde_json::Value, Failure> {
    let list: serde_json::Value =
        serde_json::from_slice(body).map_err(|error| Failure::Answer(format!("its kinds cannot be read: {error}")))?;
    if list["kind"] == "APIResourceList" { Ok(list) } else { Err(Failure::Answer("it lists no kinds".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lists_no_kinds_is_not_taken_for_an_empty_list() {
        assert!(kinds_of(br#"{"kind": "APIResourceList", "groupVersion": "a/v1", "resources": null}"#).is_ok());
        for body in [&b""[..], b"<html>sign in</html>", b"{}", br#"{"kind": "Status", "status": "Failure"}"#] {
            assert!(kinds_of(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_can_be_listed_is_a_kind_whether_or_not_it_can_be_read_one_by_one() {
        let groups: Groups = serde_json::from_value(serde_json::json!({"kind": "APIGroupDiscoveryList", "items": [
            {"metadata": {"name": "images.example.org"}, "versions": [
                {"version": "v2", "resources": [
                    {"resource": "builds", "responseKind": {"kind": "Build"}, "scope": "Namespaced", "verbs": ["list"]},
                    {"resource": "stagedbuilds", "responseKind": {"kind": "Build"}, "verbs": ["get", "list"]},
                    {"resource": "reviews", "responseKind": {"kind": "Review"}, "verbs": ["create"]},
                    {"resource": "single", "responseKind": {"kind": "Single"}, "verbs": ["get"]},
                    {"resource": "nameless", "verbs": ["list"]},
                    {"resource": "root", "verbs": ["get"]},
                ]},
                {"version": "v1", "resources": [
                    {"resource": "builds", "responseKind": {"kind": "Build"}, "scope": "Namespaced", "verbs": ["list"]},
                ]},
            ]},
        ]}))
        .unwrap();
        let found = Discovery { kinds: groups.kinds(), unavailable: Vec::new() };
        let listed: Vec<String> =
            found.listed().map(|resource| format!("{} {}", resource.api_version(), resource.plural)).collect();
        let of = |plural: &str| format!("images.example.org/v2 {plural}");
        assert_eq!(listed, [of("builds"), of("stagedbuilds"), of("nameless")], "each in the first version");
        assert!(found.resolve("reviews").is_none() && found.resolve("single").is_some());
        assert!(found.resolve("root").is_none());
    }

    #[test]
    fn people_may_call_a_kind_as_kubectl_lets_them() {
        let known = Discovery::well_known();
        for name in ["deploy", "deployment", "deployments", "Deployment", "deployments.apps", "deployments.v1.apps"] {
            assert_eq!(known.resolve(name).map(|resource| resource.kind.as_str()), Some("Deployment"), "{name}");
        }
        assert_eq!(known.resolve("deployments.example.org"), None);
        assert_eq!(known.resolve("po").map(Resource::to_string).as_deref(), Some("pods"));
    }

    #[test]
    fn a_typo_gets_the_names_that_are_near() {
        let Error::UnknownKind { similar, .. } = Discovery::well_known().unknown("deploymnet") else { panic!() };
        assert_eq!(similar, ["deployments.apps"]);
    }
}
