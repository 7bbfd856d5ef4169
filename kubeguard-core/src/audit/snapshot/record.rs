//! Taking a snapshot of a cluster.

use std::fs::File;
use std::io::Write;

use jiff::Timestamp;
use serde_json::Value;

use super::spool::Spool;
use super::{ClusterName, Header, Keep, ListRead, ServerVersion, SnapshotScope};
use crate::access::{Call, Cluster};
use crate::audit::gather::Scope;
use crate::audit::needs::{Fact, Needs};
use crate::error::{Error, Failure, Result};
use crate::gather::discovery::Discovery;
use crate::gather::pages::{self, Selection};
use crate::gather::resource::Resource;

/// Reads everything that is needed and writes it. Returns the header, and how many environment values were left out.
///
/// Times are the server's where it tells them, else `clock`.
///
/// # Errors
/// When nothing can be read, or the writer fails.
pub async fn record(
    cluster: &Cluster,
    needs: &Needs,
    scope: &Scope,
    keep: Keep,
    clock: Timestamp,
    to: impl Write,
) -> Result<(Header, u64)> {
    let discovery = Discovery::of(cluster).await?;
    let mut wanted: Vec<(Resource, Option<String>)> = Vec::new();
    let mut lists: Vec<ListRead> = Vec::new();
    for (fact, _) in needs.iter() {
        for resource in fact.resources() {
            let served =
                discovery.listed().find(|found| (&found.group, &found.kind) == (&resource.group, &resource.kind));
            let Some(found) = served.cloned().or_else(|| fact.is_built_in().then(|| resource.clone())) else {
                lists.push(ListRead { unserved: true, ..named(&resource) });
                continue;
            };
            let everywhere = scope.namespaces.is_empty() || !found.namespaced;
            let places = if everywhere { vec![None] } else { scope.namespaces.iter().cloned().map(Some).collect() };
            wanted.extend(places.into_iter().map(|place| (found.clone(), place)));
        }
    }
    let io = |source| Error::Io { doing: "write", file: "the snapshot".to_owned(), source };
    // One list after the other: what is not yet written is one page, however large the cluster is.
    let mut spool = Spool::new(tempfile::tempfile().map_err(io)?, keep);
    let (mut taken_at, mut failed) = (None, None);
    for (resource, place) in wanted {
        let before = spool.count();
        let found = list(cluster, &resource, place.as_deref(), &mut spool).await.map_err(io)?;
        let namespaces = vec![place.clone().unwrap_or_else(|| "*".to_owned())];
        match found {
            Ok(found) => {
                taken_at = taken_at.max(found.date);
                let count = u64::try_from(spool.count() - before).ok();
                let resource_version = found.resource_version;
                lists.push(ListRead { namespaces, count, resource_version, ..named(&resource) });
            }
            Err(failure) => {
                spool.forget_since(before);
                if failure.code() == Some(404) {
                    lists.push(ListRead { unserved: true, ..named(&resource) });
                    continue;
                }
                let error = Some(match &failure {
                    Failure::Status { reason, .. } if !reason.is_empty() => reason.clone(),
                    other => other.to_string(),
                });
                lists.push(ListRead { error, namespace: place.clone(), ..named(&resource) });
                let doing = Selection::all(resource, place.as_deref()).doing("list");
                failed.get_or_insert((doing, failure));
            }
        }
    }
    if let Some((doing, failure)) = failed
        && !lists.iter().any(|list| list.count.is_some())
    {
        return Err(cluster.failed(doing, failure));
    }
    lists.sort_by(|a, b| (&a.group, &a.kind, &a.namespaces).cmp(&(&b.group, &b.kind, &b.namespaces)));
    let left_out = [("secret-data", keep.secrets), ("env-values", keep.env), ("last-applied", keep.last_applied)];
    let left_out = left_out.into_iter().filter(|(_, kept)| !kept).map(|(word, _)| word).chain(["managed-fields"]);
    let served = discovery.listed().map(|resource| format!("{}/{}", resource.group, resource.kind));
    let header = Header {
        api_version: Header::API_VERSION.to_owned(),
        kind: Header::KIND.to_owned(),
        taken_at: taken_at.unwrap_or(clock),
        server_version: version(cluster).await,
        cluster: ClusterName { uid: uid(cluster).await.unwrap_or_default() },
        scope: SnapshotScope {
            namespaces: if scope.namespaces.is_empty() { vec!["*".to_owned()] } else { scope.namespaces.clone() },
        },
        lists,
        served: if needs.of(Fact::Served).is_some() { served.collect() } else { Vec::new() },
        left_out: left_out.map(ToOwned::to_owned).collect(),
    };
    let left_out = spool.finish(&header, to).map_err(io)?;
    Ok((header, left_out))
}

fn named(resource: &Resource) -> ListRead {
    ListRead {
        group: resource.group.clone(),
        version: resource.version.clone(),
        resource: resource.plural.clone(),
        kind: resource.kind.clone(),
        level: "full".to_owned(),
        ..ListRead::default()
    }
}

/// What a list says of itself.
#[derive(Default)]
struct Found {
    resource_version: String,
    date: Option<Timestamp>,
}

/// What became of a list; outside of it what became of the file that keeps its objects.
type Passed = std::io::Result<std::result::Result<Found, Failure>>;

/// Reads a list whole, once more from its beginning when the server has forgotten where it was.
async fn list(cluster: &Cluster, resource: &Resource, place: Option<&str>, spool: &mut Spool<File>) -> Passed {
    let before = spool.count();
    match pass(cluster, resource, place, spool).await? {
        Err(failure) if failure.code() == Some(410) => {
            spool.forget_since(before);
            pass(cluster, resource, place, spool).await
        }
        answer => Ok(answer),
    }
}

async fn pass(cluster: &Cluster, resource: &Resource, place: Option<&str>, spool: &mut Spool<File>) -> Passed {
    let selection = Selection::all(resource.clone(), place);
    let ask = |next: String| {
        let (cluster, selection) = (cluster.clone(), selection.clone());
        tokio::spawn(async move { pages::page(&cluster, &selection, &next, false).await })
    };
    let mut found = Found::default();
    let mut under_way = Some(ask(String::new()));
    while let Some(task) = under_way.take() {
        let page = match task.await.unwrap_or_else(|error| Err(Failure::Answer(error.to_string()))) {
            Ok(page) => page,
            Err(failure) => return Ok(Err(failure)),
        };
        found.date = found.date.max(page.answer.date);
        found.resource_version = page.resource_version;
        under_way = (!page.next.is_empty()).then(|| ask(page.next));
        for (index, item) in page.items.into_iter().enumerate() {
            let Some(mut object) = item.json() else {
                return Ok(Err(Failure::Answer("an item cannot be read".to_owned())));
            };
            // Items of a list leave out what the list says; the two come first, as people write them.
            if let Some(map) = object.as_object_mut() {
                map.shift_insert(0, "apiVersion".to_owned(), resource.api_version().into());
                map.shift_insert(1, "kind".to_owned(), resource.kind.clone().into());
            }
            spool.add(object)?;
            pages::give_way(index).await;
        }
    }
    Ok(Ok(found))
}

async fn version(cluster: &Cluster) -> Option<ServerVersion> {
    let answer = cluster.fetch(Call::Get, "/version", "application/json").await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}

async fn uid(cluster: &Cluster) -> Option<String> {
    let answer = cluster.fetch(Call::Get, "/api/v1/namespaces/kube-system", "application/json").await.ok()?;
    let namespace: Value = serde_json::from_slice(&answer.body).ok()?;
    namespace.pointer("/metadata/uid").and_then(Value::as_str).map(ToOwned::to_owned)
}
