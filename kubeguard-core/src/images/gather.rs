//! Reading one cluster into an inventory: every kind that can name an image, each list whole or said not to be.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;

use super::extract::{Collector, Found, ImagePod, is_built_in};
use super::hosts::HostMap;
use super::inventory::{Demand, Inventory, KindRead, Need, ReadStatus, Scan, Secrets, Source, Switch};
use crate::access::{Call, Cluster};
use crate::audit::snapshot;
use crate::error::{Error, Failure, Result};
use crate::gather::discovery::Discovery;
use crate::gather::pages::{self, Selection};
use crate::gather::resource::Resource;
use crate::kinds::Kind;
use crate::scheduling::PlaceNode;

/// Lists at the same time.
const AT_ONCE: usize = 4;
/// How often a list begins anew when the server has forgotten where it was.
const RESTARTS: usize = 3;
/// How often one page is asked for.
const ATTEMPTS: u32 = 4;
/// Time before the second attempt; doubled each time.
const PAUSE: Duration = Duration::from_millis(250);

/// Kinds without which an inventory says nothing: group, kind, plural.
const REQUIRED: &[(&str, &str, &str)] = &[
    ("", "Pod", "pods"),
    ("apps", "Deployment", "deployments"),
    ("apps", "ReplicaSet", "replicasets"),
    ("apps", "StatefulSet", "statefulsets"),
    ("apps", "DaemonSet", "daemonsets"),
    ("apps", "ControllerRevision", "controllerrevisions"),
    ("", "ReplicationController", "replicationcontrollers"),
    ("", "PodTemplate", "podtemplates"),
    ("batch", "Job", "jobs"),
    ("batch", "CronJob", "cronjobs"),
    // Its annotations pin what runs in it.
    ("", "Namespace", "namespaces"),
];
/// Groups whose objects are measured anew for every question.
const METRICS: &[&str] = &["metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"];

/// Returns the API version of a kind of [`REQUIRED`].
#[cfg(feature = "ecr")]
pub(crate) fn built_in_version(kind: &str) -> Option<&'static str> {
    let (group, ..) = REQUIRED.iter().find(|(_, known, _)| *known == kind)?;
    Some(match *group {
        "apps" => "apps/v1",
        "batch" => "batch/v1",
        _ => "v1",
    })
}

/// What is asked for, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Label of the cluster.
    pub cluster: &'a str,
    /// What is read beyond pods and workloads.
    pub scan: &'a Scan,
    /// Other names of ECR hosts.
    pub hosts: &'a HostMap,
    /// As in `kubeguard 0.4.0`.
    pub tool: &'a str,
}

/// A step of a reading, for those who watch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many kinds will be read.
    Kinds(usize),
    /// One kind has been read, or not.
    Kind(KindRead),
}

/// Reads a cluster.
///
/// Pods are read first, so that what starts meanwhile is seen in its workload. A kind that is refused is
/// [`ReadStatus::Denied`] and makes the inventory incomplete where it decides; it is never taken for empty. Times are the
/// server's where it tells them, else of `clock`.
///
/// # Errors
/// When the cluster cannot be identified: its namespace `kube-system` cannot be read, or it does not answer at all.
pub async fn read(
    cluster: &Cluster,
    reading: Reading<'_>,
    clock: impl Fn() -> Timestamp,
    mut watch: impl FnMut(Step),
) -> Result<Inventory> {
    let (uid, dated) = identity(cluster).await?;
    let started_at = dated.unwrap_or_else(&clock);
    let discovery = Discovery::of(cluster).await?;
    let mut collector = Collector::new(reading.hosts, reading.scan);
    let (wanted, skipped) = wanted(&discovery, reading.scan);
    for kind in skipped {
        collector.skipped(kind);
    }
    watch(Step::Kinds(wanted.len()));
    let mut kinds = Vec::new();
    let (pods, others): (Vec<Wanted>, Vec<Wanted>) = wanted
        .into_iter()
        .partition(|wanted| wanted.resource.kind == ImagePod::KIND && wanted.resource.group.is_empty());
    for batch in [pods, others] {
        let lists = batch.into_iter().map(|wanted| list(cluster, wanted, reading));
        let mut lists = futures::stream::iter(lists).buffer_unordered(AT_ONCE);
        while let Some((read, found)) = lists.next().await {
            watch(Step::Kind(read.clone()));
            collector.merge(found);
            kinds.push(read);
        }
    }
    for group in discovery.unavailable() {
        let Some(need) = silent(group, reading.scan) else {
            collector.skipped(format!("*.{}", group.split('/').next().unwrap_or_default()));
            continue;
        };
        let message = Some("the server behind this group does not answer".to_owned());
        kinds.push(KindRead { message, ..unread(group, "*", need, ReadStatus::Failed) });
    }
    kinds.sort_by(|a, b| (&a.api_version, &a.resource).cmp(&(&b.api_version, &b.resource)));
    let taken_at = identity(cluster).await.ok().and_then(|(_, dated)| dated).unwrap_or_else(&clock);
    let found = collector.finish();
    let inventory = Inventory {
        uid: Some(uid),
        source: Source::Live,
        server: version(cluster).await,
        taken_at,
        complete: kinds.iter().all(decides_well),
        kinds,
        ..blank(reading, started_at, found)
    };
    Ok(inventory.sealed())
}

/// An inventory of files that nobody has vouched for: what was found, and nothing else that could be known.
fn blank(reading: Reading<'_>, now: Timestamp, found: Found) -> Inventory {
    Inventory {
        api_version: Inventory::API_VERSION.to_owned(),
        kind: Inventory::KIND.to_owned(),
        cluster: reading.cluster.to_owned(),
        uid: None,
        source: Source::Manifests,
        server: None,
        tool: reading.tool.to_owned(),
        started_at: now,
        taken_at: now,
        complete: false,
        scan: reading.scan.clone(),
        kinds: Vec::new(),
        platforms: found.platforms,
        references: found.references,
        pinned: found.pinned,
        rewritten: found.rewritten,
        suspicious: found.suspicious,
        coverage: found.coverage,
        hashed: None,
        sha256: String::new(),
        signature: None,
    }
}

/// Returns whether a kind does not stand in the way of completeness.
fn decides_well(read: &KindRead) -> bool {
    match read.need {
        Need::Required => read.status == ReadStatus::Ok,
        Need::Served => matches!(read.status, ReadStatus::Ok | ReadStatus::Absent | ReadStatus::Skipped),
        Need::Optional => true,
    }
}

/// Returns the uid of namespace `kube-system`, which is the cluster's identity, and the server's clock.
async fn identity(cluster: &Cluster) -> Result<(String, Option<Timestamp>)> {
    let doing = "read namespace kube-system, which identifies the cluster";
    let answer = cluster.fetch(Call::Get, "/api/v1/namespaces/kube-system", "application/json").await;
    let answer = answer.map_err(|failure| cluster.failed(doing, failure))?;
    let namespace: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let uid = namespace.pointer("/metadata/uid").and_then(Value::as_str).filter(|uid| !uid.is_empty());
    let nameless = || cluster.failed(doing, Failure::Answer("it has no uid".to_owned()));
    Ok((uid.ok_or_else(nameless)?.to_owned(), answer.date))
}

async fn version(cluster: &Cluster) -> Option<String> {
    let answer = cluster.fetch(Call::Get, "/version", "application/json").await.ok()?;
    let version: Value = serde_json::from_slice(&answer.body).ok()?;
    version.get("gitVersion").and_then(Value::as_str).map(ToOwned::to_owned)
}

/// A kind to read.
pub(super) struct Wanted {
    pub(super) resource: Resource,
    need: Need,
    labels: &'static str,
    /// The server does not serve it.
    absent: bool,
}

/// Returns what is to be read of what a server serves, and what the policy leaves out.
pub(super) fn wanted(discovery: &Discovery, scan: &Scan) -> (Vec<Wanted>, Vec<String>) {
    let (mut wanted, mut skipped) = (Vec::new(), Vec::new());
    let need = |demand: Demand| match demand {
        Demand::Off => None,
        Demand::Optional => Some(Need::Optional),
        Demand::Required => Some(Need::Served),
    };
    let skips = |resource: &Resource| scan.skip_kinds.iter().any(|pattern| matches(pattern, &resource.to_string()));
    for (group, kind, plural) in REQUIRED {
        let served = discovery.listed().find(|resource| resource.group == *group && resource.kind == *kind);
        let resource = served.cloned().unwrap_or_else(|| Resource {
            group: (*group).to_owned(),
            version: "v1".to_owned(),
            kind: (*kind).to_owned(),
            plural: (*plural).to_owned(),
            namespaced: *kind != "Namespace",
        });
        wanted.push(Wanted { resource, need: Need::Required, labels: "", absent: served.is_none() });
    }
    for resource in discovery.listed() {
        let (group, kind) = (resource.group.as_str(), resource.kind.as_str());
        if REQUIRED.iter().any(|(known, of, _)| (*known, *of) == (group, kind)) || METRICS.contains(&group) {
            continue;
        }
        let (need, labels) = match (group, kind) {
            ("", "ConfigMap") => (need(scan.config_maps), ""),
            ("", "Secret") => match scan.secrets {
                Secrets::Off => (None, ""),
                Secrets::Helm => (Some(Need::Optional), "owner=helm"),
                Secrets::All => (Some(Need::Optional), ""),
            },
            ("", "Event") => ((scan.events == Switch::On).then_some(Need::Optional), ""),
            // What they run on tells where an image must run; their caches are read with them where that is asked for.
            ("", "Node") => (Some(Need::Optional), ""),
            ("admissionregistration.k8s.io", _) => (Some(Need::Served), ""),
            (group, _) if is_built_in(group) => continue,
            _ => (need(scan.custom_resources), ""),
        };
        match need.filter(|_| !skips(resource)) {
            Some(need) => wanted.push(Wanted { resource: resource.clone(), need, labels, absent: false }),
            None => skipped.push(resource.to_string()),
        }
    }
    (wanted, skipped)
}

/// Returns how much a group is missed whose server does not say what it serves, as in `example.org/v1`; `None` where none of
/// its kinds would be read.
fn silent(group_version: &str, scan: &Scan) -> Option<Need> {
    // A version without a group is the core's.
    let group = group_version.split_once('/').map_or("", |(group, _)| group);
    let skips = |pattern: &String| pattern.starts_with('*') && matches(pattern, &format!("*.{group}"));
    if METRICS.contains(&group) || !group.is_empty() && scan.skip_kinds.iter().any(skips) {
        return None;
    }
    match scan.custom_resources {
        _ if is_built_in(group) => Some(Need::Served),
        Demand::Off => None,
        Demand::Optional => Some(Need::Optional),
        Demand::Required => Some(Need::Served),
    }
}

/// Returns whether a name fits a pattern with `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
        last = Some(part);
    }
    match last {
        None => rest.is_empty(),
        Some("") => true,
        Some(part) => rest.is_empty() || name.ends_with(part),
    }
}

fn unread(api_version: &str, resource: &str, need: Need, status: ReadStatus) -> KindRead {
    KindRead {
        api_version: api_version.to_owned(),
        resource: resource.to_owned(),
        need,
        status,
        objects: None,
        pages: None,
        references: None,
        resource_version: None,
        message: None,
    }
}

/// Reads all objects of one kind; what was found of a list that broke off is kept, for it can only add votes.
async fn list<'a>(cluster: &Cluster, wanted: Wanted, reading: Reading<'a>) -> (KindRead, Collector<'a>) {
    let new = || Collector::new(reading.hosts, reading.scan);
    let mut read = unread(&wanted.resource.api_version(), &wanted.resource.plural, wanted.need, ReadStatus::Ok);
    if wanted.absent {
        read.status = ReadStatus::Absent;
        return (read, new());
    }
    let selection = Selection { labels: wanted.labels.to_owned(), ..Selection::all(wanted.resource, None) };
    let mut collector = new();
    let mut restarts = 0;
    loop {
        match whole(cluster, &selection, &mut collector).await {
            Ok(whole) => {
                read.objects = Some(whole.objects);
                read.pages = Some(whole.pages);
                read.resource_version = Some(whole.resource_version).filter(|version| !version.is_empty());
                read.references = Some(u64::try_from(collector.count()).unwrap_or(u64::MAX));
                return (read, collector);
            }
            Err(failure) if failure.code() == Some(410) && restarts < RESTARTS => {
                restarts += 1;
                collector = new();
            }
            Err(failure) => {
                read.status = match failure.code() {
                    Some(401 | 403) => ReadStatus::Denied,
                    // Discovery listed it: it went away since, or its objects cannot be listed.
                    Some(404 | 405) => ReadStatus::Absent,
                    _ => ReadStatus::Failed,
                };
                read.message = Some(failure.to_string());
                return (read, collector);
            }
        }
    }
}

/// One unbroken list.
struct Whole {
    objects: u64,
    pages: u64,
    resource_version: String,
}

async fn whole(
    cluster: &Cluster,
    selection: &Selection,
    collector: &mut Collector<'_>,
) -> std::result::Result<Whole, Failure> {
    let is = |kind: &str| selection.resource.kind == kind && selection.resource.group.is_empty();
    let (is_pods, is_nodes) = (is(ImagePod::KIND), is(PlaceNode::KIND));
    let mut read = Whole { objects: 0, pages: 0, resource_version: String::new() };
    // A task of its own: where a runtime has a thread to spare, the next page is taken in beside this one.
    let ask = |next: String| {
        let (cluster, selection) = (cluster.clone(), selection.clone());
        tokio::spawn(async move { page(&cluster, &selection, &next, is_pods || is_nodes).await })
    };
    let mut under_way = Some(ask(String::new()));
    while let Some(task) = under_way.take() {
        let current = task.await.unwrap_or_else(|error| Err(Failure::Answer(error.to_string())))?;
        read.pages += 1;
        read.resource_version = current.resource_version;
        let (items, next) = (current.items, current.next);
        under_way = (!next.is_empty()).then(|| ask(next));
        // Lets the request go out before this page keeps the thread.
        tokio::task::yield_now().await;
        for (index, item) in items.into_iter().enumerate() {
            let damaged = || Failure::Answer("an item cannot be read".to_owned());
            if is_pods {
                collector.add_pod(&item.decode::<ImagePod>().ok_or_else(damaged)?);
            } else if is_nodes {
                collector.add_node(&item.decode::<PlaceNode>().ok_or_else(damaged)?);
            } else {
                let mut object = item.json().ok_or_else(damaged)?;
                // Items of a list leave out what the list says.
                if let Some(map) = object.as_object_mut() {
                    map.insert("apiVersion".to_owned(), selection.resource.api_version().into());
                    map.insert("kind".to_owned(), selection.resource.kind.clone().into());
                }
                collector.add(&object);
            }
            read.objects += 1;
            pages::give_way(index).await;
        }
    }
    Ok(read)
}

/// Reads one page, several times where it may help.
async fn page(
    cluster: &Cluster,
    selection: &Selection,
    next: &str,
    slim: bool,
) -> std::result::Result<pages::Page, Failure> {
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS {
        match pages::page(cluster, selection, next, slim).await {
            Err(failure) if failure.is_passing() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            answer => return answer,
        }
    }
    pages::page(cluster, selection, next, slim).await
}

/// Reads files as a cluster would be read: the same extractors over objects of manifests.
///
/// Complete only where the caller says so: nobody knows what a folder leaves out.
#[must_use]
pub fn of_manifests<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    reading: Reading<'_>,
    uid: Option<String>,
    complete: bool,
    now: Timestamp,
) -> Inventory {
    let mut collector = Collector::new(reading.hosts, reading.scan);
    let mut kinds: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut own = None;
    for object in objects {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        *kinds.entry((text("/apiVersion").to_owned(), text("/kind").to_owned())).or_default() += 1;
        if (text("/kind"), text("/metadata/name")) == ("Namespace", "kube-system") {
            own = Some(text("/metadata/uid").to_owned()).filter(|uid| !uid.is_empty());
        }
        collector.add(object);
    }
    let read = |((api_version, kind), objects): ((String, String), u64)| KindRead {
        objects: Some(objects),
        ..unread(&api_version, &kind, Need::Optional, ReadStatus::Ok)
    };
    let found = collector.finish();
    let inventory = Inventory {
        uid: uid.or(own),
        complete,
        kinds: kinds.into_iter().map(read).collect(),
        ..blank(reading, now, found)
    };
    inventory.sealed()
}

/// Reads a snapshot as a cluster would be read; `file` is only named in errors.
///
/// Complete only where the caller says so, and only where the snapshot has every required kind whole and nothing that
/// it could not read: what was not recorded is not known to be empty.
///
/// # Errors
/// Those of [`snapshot::read`].
pub fn of_snapshot(
    file: &str,
    from: impl std::io::Read,
    reading: Reading<'_>,
    uid: Option<String>,
    complete: bool,
) -> Result<Inventory> {
    let mut collector = Collector::new(reading.hosts, reading.scan);
    let header = snapshot::each(file, from, |object| collector.add(&object))?;
    let whole =
        |list: &snapshot::ListRead| list.error.is_none() && !list.unserved && list.namespaces.contains(&"*".to_owned());
    let need = |list: &snapshot::ListRead| {
        let required = REQUIRED.iter().any(|(group, kind, _)| (*group, *kind) == (&list.group, &list.kind));
        if required { Need::Required } else { Need::Served }
    };
    let kinds: Vec<KindRead> = header
        .lists
        .iter()
        .map(|list| {
            let version =
                if list.group.is_empty() { list.version.clone() } else { format!("{}/{}", list.group, list.version) };
            let status = match (&list.error, list.unserved) {
                (None, false) => ReadStatus::Ok,
                (None, true) => ReadStatus::Absent,
                (Some(reason), _) if reason == "Forbidden" => ReadStatus::Denied,
                (Some(_), _) => ReadStatus::Failed,
            };
            KindRead {
                objects: list.count,
                message: list.error.clone(),
                ..unread(&version, &list.resource, need(list), status)
            }
        })
        .collect();
    let has = |(group, kind, _): &(&str, &str, &str)| {
        header.lists.iter().any(|list| (list.group.as_str(), list.kind.as_str()) == (*group, *kind) && whole(list))
    };
    let found = collector.finish();
    let inventory = Inventory {
        uid: Some(header.cluster.uid).filter(|uid| !uid.is_empty()).or(uid),
        server: header.server_version.map(|version| version.git_version).filter(|version| !version.is_empty()),
        complete: complete && REQUIRED.iter().all(has) && kinds.iter().all(decides_well),
        kinds,
        ..blank(reading, header.taken_at, found)
    };
    Ok(inventory.sealed())
}

impl Inventory {
    /// Version of the file.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the file.
    pub const KIND: &'static str = "ImageInventory";

    /// Writes its hash into it.
    fn sealed(mut self) -> Self {
        self.sha256 = self.hash();
        self
    }

    /// Returns the sha256 of everything it says, which its file carries.
    #[must_use]
    pub fn hash(&self) -> String {
        // An inventory has no fractions, and its keys are text.
        crate::canonical::sha256(self, &["sha256", "signature"]).unwrap_or_default()
    }

    /// Reads an inventory's file; `file` is only named in errors.
    ///
    /// # Errors
    /// [`Error::File`] for text that is no inventory, is cut off, or is of another version; [`Error::Altered`] for one
    /// that says something else than its own hash vouches for.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let wrong = |line: usize, column: usize, problem: String, hint: &str| Error::File {
            file: file.to_owned(),
            line: u64::try_from(line.max(1)).unwrap_or(1),
            column: u64::try_from(column.max(1)).unwrap_or(1),
            problem,
            hint: hint.to_owned(),
        };
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let cut = if error.is_eof() { "the file is cut off".to_owned() } else { error.to_string() };
            wrong(error.line(), error.column(), cut, "write it again: kubectl ecr-clean inventory --dir DIR")
        })?;
        let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        if (word("apiVersion"), word("kind")) != (Self::API_VERSION, Self::KIND) {
            let problem = format!(
                "this is no inventory of version {}: {}, {}",
                Self::API_VERSION,
                word("apiVersion"),
                word("kind")
            );
            return Err(wrong(1, 1, problem, ""));
        }
        let inventory: Self =
            serde_json::from_value(value).map_err(|error| wrong(1, 1, format!("this is no inventory: {error}"), ""))?;
        let hash = inventory.hash();
        if inventory.sha256 != hash {
            let (file, says) = (file.to_owned(), short(&inventory.sha256).to_owned());
            return Err(Error::Altered { file, hash: short(&hash).to_owned(), says });
        }
        Ok(inventory)
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_that_does_not_answer_is_missed_as_much_as_its_kinds_would_be() {
        let scan = |custom, skipped: &[&str]| Scan {
            custom_resources: custom,
            skip_kinds: skipped.iter().map(|pattern| (*pattern).to_owned()).collect(),
            ..Scan::default()
        };
        let required = |skipped: &[&str]| scan(Demand::Required, skipped);
        for (group, scan, need) in [
            ("example.org/v1", required(&[]), Some(Need::Served)),
            ("example.org/v1", scan(Demand::Optional, &[]), Some(Need::Optional)),
            ("example.org/v1", scan(Demand::Off, &[]), None),
            ("example.org/v1", required(&["*.example.org"]), None),
            ("example.org/v1", required(&["things.example.org", "*.example.com"]), Some(Need::Served)),
            ("metrics.k8s.io/v1beta1", required(&[]), None),
            ("apps/v1", scan(Demand::Off, &[]), Some(Need::Served)),
            ("v1", required(&["*"]), Some(Need::Served)),
        ] {
            assert_eq!(silent(group, &scan), need, "{group} {:?}", scan.skip_kinds);
        }
    }

    #[test]
    fn patterns_of_kinds_have_stars() {
        for (pattern, name, fits) in [
            ("events", "events", true),
            ("events", "events.events.k8s.io", false),
            ("*.example.org", "things.example.org", true),
            ("*.example.org", "things.example.com", false),
            ("thing*.org", "things.example.org", true),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_snapshot_is_complete_only_with_every_required_kind_whole() {
        let (scan, hosts) = (Scan::default(), HostMap::default());
        let reading = Reading { cluster: "prod", scan: &scan, hosts: &hosts, tool: "kubeguard" };
        let list = |(group, kind, plural): &(&str, &str, &str)| json!({"group": group, "version": "v1", "kind": kind, "resource": plural, "namespaces": ["*"], "count": 0});
        let lists: Vec<Value> = REQUIRED.iter().map(list).collect();
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "web:1"}]}}}});
        let read = |lists: &[Value], complete| {
            let header = json!({"apiVersion": "kubeguard.dev/v1", "kind": "Snapshot", "takenAt": "2026-11-22T10:00:00Z",
                "cluster": {"uid": "u-1"}, "lists": lists});
            let text = format!("{header}\n{deployment}\n");
            of_snapshot("s.jsonl", text.as_bytes(), reading, None, complete).unwrap()
        };
        let whole = read(&lists, true);
        assert_eq!((whole.complete, whole.uid.as_deref(), whole.references.len()), (true, Some("u-1"), 1));
        assert!(!read(&lists, false).complete, "nobody has said that it is all there is");
        assert!(!read(&lists[1..], true).complete, "a kind was not recorded");
        for (field, value) in
            [("error", json!("Forbidden")), ("namespaces", json!(["team"])), ("unserved", json!(true))]
        {
            let mut other = lists.clone();
            other[3][field] = value;
            assert!(!read(&other, true).complete, "{field}");
        }
    }

    #[test]
    fn a_file_is_read_back_and_one_that_was_touched_is_not() {
        let (scan, hosts) = (Scan::default(), HostMap::default());
        let reading = Reading { cluster: "prod", scan: &scan, hosts: &hosts, tool: "kubeguard" };
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": "web:1"}]}});
        let system =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "u-1"}});
        let inventory = of_manifests([&pod, &system], reading, None, false, "2026-11-22T10:00:00Z".parse().unwrap());
        assert_eq!((inventory.uid.as_deref(), inventory.complete, inventory.references.len()), (Some("u-1"), false, 1));
        let text = serde_json::to_string_pretty(&inventory).unwrap();
        assert_eq!(Inventory::parse("i.json", &text).unwrap(), inventory);
        let told = |text: &str| Inventory::parse("i.json", text).unwrap_err().to_string();
        let altered = Inventory::parse("i.json", &text.replace("web:1", "web:2")).unwrap_err();
        assert!(matches!(altered, Error::Altered { .. }), "{altered}");
        assert!(told(&text[..text.len() - 3]).contains("the file is cut off"));
        assert!(told(&text.replace("kubeguard.dev/v1", "kubeguard.dev/v2")).contains("no inventory of version"));
    }
}
