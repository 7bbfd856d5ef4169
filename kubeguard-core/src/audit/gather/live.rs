//! Facts from a cluster: exactly the lists that the rules need, in pages, at most 8 at once.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use prost::Message;
use serde::de::DeserializeOwned;

use crate::access::{Call, Cluster};
use crate::audit::facts::{Builder, Facts, Gap, Judged, Read};
use crate::audit::kinds;
use crate::audit::needs::{Fact, Level, Listed, Needs, Reach};
use crate::audit::snapshot::ServerVersion;
use crate::error::{Error, Failure, Result};
use crate::gather::discovery::Discovery;
use crate::gather::pages::{self, Item, Page, Selection};
use crate::gather::resource::Resource;

/// Lists at the same time.
const AT_ONCE: usize = 8;
/// How often a list begins anew when the server has forgotten where it was.
const RESTARTS: usize = 1;

/// Which namespaces are judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Their names; all where empty.
    pub namespaces: Vec<String>,
}

/// What was read, and when.
#[derive(Debug)]
pub struct Gathered {
    /// The facts.
    pub facts: Facts,
    /// The server's clock; none where it does not tell.
    pub now: Option<Timestamp>,
}

/// One list to read.
#[derive(Debug, Clone)]
struct List {
    fact: Fact,
    resource: Resource,
    namespace: Option<String>,
    level: Level,
    narrow: &'static str,
}

/// One step of reading a list.
enum Step {
    Page(Page),
    /// What came before is not part of the list.
    Anew,
    Failed(Failure),
}

/// Reads exactly what is needed.
///
/// What cannot be listed is a gap, named with the server's reason, and never taken for empty; a kind that the server
/// does not serve is known to be empty.
///
/// # Errors
/// When nothing at all can be read: the first reason.
pub async fn live(cluster: &Cluster, needs: &Needs, scope: &Scope, builder: Builder) -> Result<Gathered> {
    let mut reading = Reading { builder, now: None, failures: Vec::new(), read: 0 };
    let custom = needs.iter().any(|(fact, _)| !fact.is_built_in() || fact == Fact::Served);
    let discovery = if custom { Some(Discovery::of(cluster).await) } else { None };
    let mut lists = Vec::new();
    for (fact, listed) in needs.iter() {
        lists.extend(reading.lists(fact, listed, scope, discovery.as_ref()));
    }
    if let Ok(answer) = cluster.fetch(Call::Get, "/version", "application/json").await {
        let version = serde_json::from_slice::<ServerVersion>(&answer.body).ok();
        reading.builder.version(version.and_then(|version| version.numbers()));
        reading.now = answer.date;
    }
    let steps = lists.iter().map(|list| steps(cluster, list).map(move |step| (list, step)).boxed());
    let mut steps = futures::stream::iter(steps).flatten_unordered(AT_ONCE);
    while let Some((list, step)) = steps.next().await {
        reading.step(list, step).await;
    }
    drop(steps);
    reading.finish(cluster)
}

struct Reading {
    builder: Builder,
    now: Option<Timestamp>,
    failures: Vec<(List, Failure)>,
    read: usize,
}

impl Reading {
    /// Returns the lists of a fact; what the server does not serve is said to be empty.
    fn lists(&mut self, fact: Fact, listed: Listed, scope: &Scope, discovery: Option<&Result<Discovery>>) -> Vec<List> {
        let resources: Vec<Resource> = match discovery {
            _ if fact.is_built_in() && fact != Fact::Served => fact.resources(),
            Some(Ok(discovery)) if fact == Fact::Served => {
                for resource in discovery.listed() {
                    self.builder.serves(&resource.group, &resource.kind);
                }
                return Vec::new();
            }
            Some(Ok(discovery)) => {
                let known = fact.resources();
                let same = |found: &&Resource| known.iter().any(|k| (&k.group, &k.kind) == (&found.group, &found.kind));
                discovery.listed().filter(same).cloned().collect()
            }
            _ => {
                let reason = format!("cannot ask the server for its kinds, so {} are not known", fact.plural());
                self.builder.gap(Gap { fact, namespace: None, reason });
                return Vec::new();
            }
        };
        if resources.is_empty() {
            self.builder.read(fact, Read::Unserved);
        }
        let all = listed.reach == Reach::All || scope.namespaces.is_empty();
        let mut lists = Vec::new();
        for resource in resources {
            let list = |namespace: Option<String>| List {
                fact,
                resource: resource.clone(),
                namespace,
                level: listed.level,
                narrow: listed.narrow,
            };
            if !all && (fact == Fact::Namespace || resource.namespaced) {
                lists.extend(scope.namespaces.iter().cloned().map(Some).map(list));
            } else {
                lists.push(list(None));
            }
        }
        lists
    }

    async fn step(&mut self, list: &List, step: Step) {
        match step {
            Step::Anew => self.builder.forget(list.fact, list.namespace.as_deref()),
            Step::Failed(failure) => {
                self.builder.forget(list.fact, list.namespace.as_deref());
                self.failures.push((list.clone(), failure));
            }
            Step::Page(page) => {
                self.now = self.now.max(page.answer.date);
                if page.next.is_empty() {
                    self.read += 1;
                }
                self.builder.read_whole(list.fact);
                for (index, item) in page.items.into_iter().enumerate() {
                    if !self.item(list, item) {
                        let called = list.fact.called(&list.resource.group, &list.resource.plural);
                        let reason = format!("cannot read one of the {called}: its answer is damaged");
                        self.builder.malformed(reason);
                    }
                    pages::give_way(index).await;
                }
            }
        }
    }

    fn item(&mut self, list: &List, item: Item) -> bool {
        let api_version = list.resource.api_version();
        match list.fact {
            Fact::Pod => item.decode::<kinds::Pod>().map(|pod| self.builder.add_pod(pod, None)).is_some(),
            Fact::Event => item.decode::<kinds::Event>().map(|event| self.builder.add_event(&event)).is_some(),
            fact if fact.is_custom() => {
                let Some(mut object) = item.json() else { return false };
                if let Some(map) = object.as_object_mut() {
                    map.insert("apiVersion".to_owned(), api_version.into());
                    map.insert("kind".to_owned(), list.resource.kind.clone().into());
                }
                self.builder.add(object);
                true
            }
            Fact::Deployment => self.typed::<kinds::Deployment>(item, &api_version),
            Fact::ReplicaSet => self.typed::<kinds::ReplicaSet>(item, &api_version),
            Fact::StatefulSet => self.typed::<kinds::StatefulSet>(item, &api_version),
            Fact::DaemonSet => self.typed::<kinds::DaemonSet>(item, &api_version),
            Fact::ReplicationController => self.typed::<kinds::ReplicationController>(item, &api_version),
            Fact::Job => self.typed::<kinds::Job>(item, &api_version),
            Fact::CronJob => self.typed::<kinds::CronJob>(item, &api_version),
            Fact::PodTemplate => self.typed::<kinds::PodTemplate>(item, &api_version),
            Fact::Service => self.typed::<kinds::Service>(item, &api_version),
            Fact::EndpointSlice => self.typed::<kinds::EndpointSlice>(item, &api_version),
            Fact::Ingress => self.typed::<kinds::Ingress>(item, &api_version),
            Fact::PodDisruptionBudget => self.typed::<kinds::PodDisruptionBudget>(item, &api_version),
            Fact::HorizontalPodAutoscaler => self.typed::<kinds::HorizontalPodAutoscaler>(item, &api_version),
            Fact::Node => self.typed::<kinds::Node>(item, &api_version),
            Fact::Namespace => self.typed::<kinds::Namespace>(item, &api_version),
            Fact::LimitRange => self.typed::<kinds::LimitRange>(item, &api_version),
            Fact::ValidatingWebhookConfiguration => {
                self.typed::<kinds::ValidatingWebhookConfiguration>(item, &api_version)
            }
            Fact::MutatingWebhookConfiguration => self.typed::<kinds::MutatingWebhookConfiguration>(item, &api_version),
            Fact::PriorityClass => self.typed::<kinds::PriorityClass>(item, &api_version),
            Fact::ResourceQuota => self.typed::<kinds::ResourceQuota>(item, &api_version),
            Fact::ConfigMap => self.typed::<kinds::ConfigMap>(item, &api_version),
            Fact::PersistentVolume => self.typed::<kinds::PersistentVolume>(item, &api_version),
            Fact::PersistentVolumeClaim => self.typed::<kinds::PersistentVolumeClaim>(item, &api_version),
            Fact::ControllerRevision => self.typed::<kinds::ControllerRevision>(item, &api_version),
            Fact::Role => self.typed::<kinds::Role>(item, &api_version),
            Fact::RoleBinding => self.typed::<kinds::RoleBinding>(item, &api_version),
            Fact::ClusterRole => self.typed::<kinds::ClusterRole>(item, &api_version),
            Fact::ClusterRoleBinding => self.typed::<kinds::ClusterRoleBinding>(item, &api_version),
            Fact::PodMetrics => self.typed::<kinds::PodMetrics>(item, &api_version),
            // What is served is no list; the optional kinds are handled above.
            _ => true,
        }
    }

    fn typed<T: Judged + Message + DeserializeOwned>(&mut self, item: Item, api_version: &str) -> bool {
        item.decode::<T>().map(|object| self.builder.add_kind(object, api_version, None)).is_some()
    }

    fn finish(mut self, cluster: &Cluster) -> Result<Gathered> {
        let mut refused: BTreeMap<Fact, Vec<(List, Failure)>> = BTreeMap::new();
        for (list, failure) in self.failures {
            // Not served, or not in this version: there is none.
            if failure.code() == Some(404) {
                self.read += 1;
                self.builder.read_unserved(list.fact);
                continue;
            }
            refused.entry(list.fact).or_default().push((list, failure));
        }
        if self.read == 0
            && let Some((list, failure)) = refused.values().flatten().next()
        {
            return Err(failed(cluster, list, failure.clone()));
        }
        for (fact, failures) in refused {
            let whole = !self.builder.has_read(fact);
            for (list, failure) in failures {
                let namespace = list.namespace.clone().filter(|_| !whole);
                let place = namespace.as_ref().map_or(String::new(), |name| format!(" in namespace {name}"));
                let called = fact.called(&list.resource.group, &list.resource.plural);
                let reason = format!("cannot list {called}{place}: {}", in_short(&failure));
                self.builder.gap(Gap { fact, namespace, reason });
            }
        }
        Ok(Gathered { facts: self.builder.finish(), now: self.now })
    }
}

fn failed(cluster: &Cluster, list: &List, failure: Failure) -> Error {
    cluster.failed(Selection::all(list.resource.clone(), list.namespace.as_deref()).doing("list"), failure)
}

/// Returns the server's reason, as in `Forbidden`.
fn in_short(failure: &Failure) -> String {
    match failure {
        Failure::Status { reason, .. } if !reason.is_empty() => reason.clone(),
        Failure::Status { code, .. } => format!("status {code}"),
        Failure::TimedOut(_) => "timed out".to_owned(),
        other => other.to_string(),
    }
}

/// Returns the pages of a list, the next under way while one is judged; from its beginning once more when the server
/// has forgotten where it was.
fn steps(cluster: &Cluster, list: &List) -> impl Stream<Item = Step> {
    type Task = tokio::task::JoinHandle<std::result::Result<Page, Failure>>;
    let place = list.namespace.as_deref().filter(|_| list.resource.namespaced);
    let mut selection = Selection { fields: list.narrow.to_owned(), ..Selection::all(list.resource.clone(), place) };
    if list.fact == Fact::Namespace {
        selection.name.clone_from(&list.namespace);
    }
    let custom = !list.fact.is_built_in();
    let metadata = list.level == Level::Metadata && !custom;
    let cluster = cluster.clone();
    let ask = move |next: String| -> Task {
        let (cluster, selection) = (cluster.clone(), selection.clone());
        tokio::spawn(async move {
            match (metadata, &selection.name) {
                (_, Some(name)) => one(&cluster, &selection, name).await,
                (true, None) => pages::metadata_alone(&cluster, &selection, &next).await,
                (false, None) => pages::page(&cluster, &selection, &next, !custom).await,
            }
        })
    };
    // Asked for only once somebody listens: that is what keeps lists from being read all at once.
    let start = (None::<Task>, true, RESTARTS, ask);
    futures::stream::unfold(Some(start), |state| async move {
        let (task, first, restarts, ask) = state?;
        let task = task.unwrap_or_else(|| ask(String::new()));
        match task.await.unwrap_or_else(|error| Err(Failure::Answer(error.to_string()))) {
            Ok(page) => {
                let next = (!page.next.is_empty()).then(|| ask(page.next.clone()));
                if next.is_some() {
                    // Lets the request go out before this page keeps the thread.
                    tokio::task::yield_now().await;
                }
                Some((Step::Page(page), next.map(|next| (Some(next), false, restarts, ask))))
            }
            Err(failure) if failure.code() == Some(410) && !first && restarts > 0 => {
                Some((Step::Anew, Some((None, true, restarts - 1, ask))))
            }
            Err(failure) => Some((Step::Failed(failure), None)),
        }
    })
}

/// Reads one object by its name: who may read only that may not list.
async fn one(cluster: &Cluster, selection: &Selection, name: &str) -> std::result::Result<Page, Failure> {
    let path = format!("{}/{name}", selection.resource.path(selection.namespace.as_deref()));
    let answer = cluster.fetch(Call::Get, &path, "application/json").await?;
    let items = vec![Item::Json(answer.body.clone())];
    Ok(Page { items, resource_version: String::new(), next: String::new(), answer })
}
