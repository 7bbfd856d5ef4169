//! Lists in pages: protobuf where the server gives it, the next page under way while this one is judged.

use bytes::Bytes;
use prost::Message;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::resource::Resource;
use crate::access::{Answer, Call, Cluster};
use crate::error::{Failure, Result};
use crate::kinds::{Kind, ObjectMeta, protobuf};

/// Items per page, as kubectl asks for.
pub const PAGE: usize = 500;

const JSON: &str = "application/json";
/// Protobuf first; JSON where a server refuses it.
const BOTH: &str = "application/vnd.kubernetes.protobuf,application/json;q=0.5";

/// What to list or watch: one kind, in one namespace or in all, narrowed by name or selectors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selection {
    /// The kind.
    pub resource: Resource,
    /// Namespace; `None` for all, and for cluster-wide kinds.
    pub namespace: Option<String>,
    /// One object by name.
    pub name: Option<String>,
    /// Names that are wanted of a whole list: what is looked at one by one where the list is refused.
    pub names: Vec<String>,
    /// All of each object is kept, for a caller's own expressions.
    pub whole: bool,
    /// Label selector; empty for all.
    pub labels: String,
    /// Field selector; empty for all.
    pub fields: String,
}

impl Selection {
    /// Returns every object of a kind, in one namespace or in all.
    #[must_use]
    pub fn all(resource: Resource, namespace: Option<&str>) -> Self {
        let namespace = namespace.map(ToOwned::to_owned);
        Self {
            resource,
            namespace,
            name: None,
            names: Vec::new(),
            whole: false,
            labels: String::new(),
            fields: String::new(),
        }
    }

    /// Returns whether it narrows nothing.
    pub(crate) fn is_whole(&self) -> bool {
        self.name.is_none() && self.labels.is_empty() && self.fields.is_empty()
    }

    /// Returns the path of a request with further query parameters.
    pub(crate) fn path(&self, more: &[(&str, &str)]) -> String {
        let mut query = form();
        let name = self.name.as_ref().map(|name| format!("metadata.name={name}"));
        let fields = [name.as_deref(), Some(self.fields.as_str())];
        let fields: Vec<&str> = fields.into_iter().flatten().filter(|fields| !fields.is_empty()).collect();
        for (key, value) in [("fieldSelector", fields.join(",").as_str()), ("labelSelector", &self.labels)] {
            if !value.is_empty() {
                query.append(key, value);
            }
        }
        for (key, value) in more {
            query.append(key, value);
        }
        query.onto(&self.resource.path(self.namespace.as_deref()))
    }

    /// Returns what an error says was being done, as in `list deployments in namespace team`.
    #[must_use]
    pub fn doing(&self, verb: &str) -> String {
        let place = match (&self.namespace, self.resource.namespaced) {
            (Some(namespace), true) => format!(" in namespace {namespace}"),
            (None, true) => " in all namespaces".to_owned(),
            (_, false) => String::new(),
        };
        // The group matters only where two could be meant: built-in workloads are known by their plural.
        let resource = &self.resource;
        let name = if resource.group.contains('.') { resource.to_string() } else { resource.plural.clone() };
        format!("{verb} {name}{place}")
    }
}

/// A query string under construction.
struct Query(String);

fn form() -> Query {
    Query(String::new())
}

impl Query {
    fn append(&mut self, key: &str, value: &str) {
        use std::fmt::Write as _;
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(key);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }

    fn onto(self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

/// One page, its items not decoded yet.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    pub(crate) resource_version: String,
    pub(crate) next: String,
    pub(crate) answer: Answer,
}

/// One item of a page: bytes that share the page's memory.
#[derive(Debug)]
pub(crate) enum Item {
    Protobuf(Bytes),
    Json(Bytes),
}

impl Item {
    /// Returns the item as JSON; `None` when it is protobuf, or damaged.
    pub(crate) fn json(self) -> Option<serde_json::Value> {
        match self {
            Self::Protobuf(_) => None,
            Self::Json(bytes) => serde_json::from_slice(&bytes).ok(),
        }
    }

    /// Decodes the item; `None` when it is no such kind.
    pub(crate) fn decode<T: Message + Default + DeserializeOwned>(self) -> Option<T> {
        match self {
            Self::Protobuf(bytes) => protobuf::item(bytes).ok(),
            Self::Json(bytes) => match serde_json::from_slice(&bytes) {
                Ok(item) => Some(item),
                Err(_) => Some(crate::kinds::read(serde_json::from_slice(&bytes).ok()?).0),
            },
        }
    }
}

#[derive(Deserialize)]
struct JsonPage<'a> {
    #[serde(default)]
    metadata: protobuf::ListMeta,
    #[serde(borrow, default)]
    /// Some servers write null for none.
    items: Option<Vec<&'a RawValue>>,
}

/// Takes an answer apart into items without decoding them.
fn apart(answer: Answer) -> std::result::Result<Page, Failure> {
    let promised = |error: &dyn std::fmt::Display| Failure::Answer(format!("the list cannot be read: {error}"));
    if answer.media_type.starts_with(protobuf::MEDIA_TYPE) {
        let page = protobuf::page(&answer.body).map_err(|error| promised(&error))?;
        let meta = page.metadata.unwrap_or_default();
        let items = page.items.into_iter().map(Item::Protobuf).collect();
        return Ok(Page { items, resource_version: meta.resource_version, next: meta.r#continue, answer });
    }
    let page: JsonPage<'_> = serde_json::from_slice(&answer.body).map_err(|error| promised(&error))?;
    let items =
        page.items.iter().flatten().map(|raw| Item::Json(answer.body.slice_ref(raw.get().as_bytes()))).collect();
    let (resource_version, next) = (page.metadata.resource_version, page.metadata.r#continue);
    Ok(Page { items, resource_version, next, answer })
}

/// Reads one page of metadata alone, in protobuf where the server gives it; each item decodes as any kind without more.
pub(crate) async fn metadata_alone(
    cluster: &Cluster,
    selection: &Selection,
    next: &str,
) -> std::result::Result<Page, Failure> {
    const ACCEPT: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
        application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1;q=0.7,application/json;q=0.5";
    let limit = PAGE.to_string();
    let mut query = vec![("limit", limit.as_str())];
    if !next.is_empty() {
        query.push(("continue", next));
    }
    apart(cluster.fetch(Call::List, &selection.path(&query), ACCEPT).await?)
}

/// Reads one page; `next` is the token of the page before, empty for the first.
pub(crate) async fn page(
    cluster: &Cluster,
    selection: &Selection,
    next: &str,
    slim: bool,
) -> std::result::Result<Page, Failure> {
    let limit = PAGE.to_string();
    let mut query = vec![("limit", limit.as_str())];
    if !next.is_empty() {
        query.push(("continue", next));
    }
    let path = selection.path(&query);
    let answer = match cluster.fetch(Call::List, &path, if slim { BOTH } else { JSON }).await {
        Err(failure) if slim && matches!(failure.code(), Some(406 | 415)) => {
            cluster.fetch(Call::List, &path, JSON).await?
        }
        answer => answer?,
    };
    apart(answer)
}

/// Items that are looked at before connections get their turn.
const SLICE: usize = 16;

/// Lets connections take in the next page every now and then: else its server waits while this one is looked at.
pub(crate) async fn give_way(index: usize) {
    if index % SLICE == SLICE - 1 {
        tokio::task::yield_now().await;
    }
}

/// Folds every object of a kind, page by page: while one page is folded the next is under way, and each is dropped.
///
/// When the server forgets the list in the middle (410), the fold begins anew from `start`.
///
/// # Errors
/// [`crate::error::Error::Api`] when a page cannot be read: a part of a list is never given as the whole.
pub async fn fold<T, A>(
    cluster: &Cluster,
    namespace: Option<&str>,
    labels: &str,
    start: impl Fn() -> A,
    mut add: impl FnMut(&mut A, T),
) -> Result<A>
where
    T: Kind + Message + Default + DeserializeOwned,
{
    let selection = Selection { labels: labels.to_owned(), ..Selection::all(Resource::of::<T>(), namespace) };
    let failed = |failure| cluster.failed(selection.doing("list"), failure);
    let mut folded = start();
    let mut under_way = Some(spawn(cluster, &selection, String::new()));
    let mut first = true;
    while let Some(task) = under_way.take() {
        let page = match task.await.unwrap_or_else(|error| Err(Failure::Answer(error.to_string()))) {
            Ok(page) => page,
            Err(failure) if failure.code() == Some(410) && !first => {
                folded = start();
                first = true;
                under_way = Some(spawn(cluster, &selection, String::new()));
                continue;
            }
            Err(failure) => return Err(failed(failure)),
        };
        first = false;
        if !page.next.is_empty() {
            under_way = Some(spawn(cluster, &selection, page.next.clone()));
            // Lets the request go out before this page keeps the thread.
            tokio::task::yield_now().await;
        }
        for (index, item) in page.items.into_iter().enumerate() {
            let item = item.decode().ok_or_else(|| failed(Failure::Answer("an item cannot be read".to_owned())))?;
            add(&mut folded, item);
            give_way(index).await;
        }
    }
    Ok(folded)
}

/// Returns the names of the first objects of a kind, at most a page, for those who type.
///
/// # Errors
/// [`crate::error::Error::Api`] when they cannot be listed.
pub async fn names(cluster: &Cluster, resource: &Resource, namespace: Option<&str>) -> Result<Vec<String>> {
    let selection = Selection::all(resource.clone(), namespace);
    let (first, _) = metadata_page(cluster, &selection, "").await?;
    Ok(first.into_iter().map(|meta| meta.name).collect())
}

/// Returns the metadata of every object that a selection matches; nothing else is transferred.
///
/// # Errors
/// [`crate::error::Error::Api`] when a page cannot be read: a part of a list is never given as the whole.
pub async fn metadata(cluster: &Cluster, selection: &Selection) -> Result<Vec<ObjectMeta>> {
    let (mut all, mut next) = metadata_page(cluster, selection, "").await?;
    while !next.is_empty() {
        let (page, token) = metadata_page(cluster, selection, &next).await?;
        all.extend(page);
        next = token;
    }
    Ok(all)
}

async fn metadata_page(cluster: &Cluster, selection: &Selection, next: &str) -> Result<(Vec<ObjectMeta>, String)> {
    const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;q=0.5";
    #[derive(Deserialize)]
    struct Partial {
        #[serde(default)]
        metadata: ObjectMeta,
    }
    let limit = PAGE.to_string();
    let mut query = vec![("limit", limit.as_str())];
    if !next.is_empty() {
        query.push(("continue", next));
    }
    let failed = |failure| cluster.failed(selection.doing("list"), failure);
    let answer = cluster.fetch(Call::List, &selection.path(&query), METADATA).await.map_err(failed)?;
    let page = apart(answer).map_err(failed)?;
    let items = page.items.into_iter().map(|item| match item {
        Item::Json(bytes) => serde_json::from_slice::<Partial>(&bytes).ok(),
        Item::Protobuf(_) => None,
    });
    let items = items.map(|item| item.map(|item| item.metadata)).collect::<Option<Vec<_>>>();
    let items = items.ok_or_else(|| failed(Failure::Answer("the metadata of an item cannot be read".to_owned())))?;
    Ok((items, page.next))
}

/// Transfers every page of a kind and decodes none of its items; returns their number.
///
/// The measure of [`fold`]: what no way of reading can be faster than.
///
/// # Errors
/// [`crate::error::Error::Api`] when a page cannot be read.
pub async fn transfer(cluster: &Cluster, resource: &Resource, namespace: Option<&str>) -> Result<usize> {
    transfer_selected(cluster, &Selection::all(resource.clone(), namespace)).await
}

/// The same for what a selection matches.
///
/// # Errors
/// [`crate::error::Error::Api`] when a page cannot be read.
pub async fn transfer_selected(cluster: &Cluster, selection: &Selection) -> Result<usize> {
    let (mut next, mut items) = (String::new(), 0);
    loop {
        let page = page(cluster, selection, &next, true).await;
        let page = page.map_err(|failure| cluster.failed(selection.doing("list"), failure))?;
        items += page.items.len();
        next = page.next;
        if next.is_empty() {
            return Ok(items);
        }
    }
}

fn spawn(
    cluster: &Cluster,
    selection: &Selection,
    next: String,
) -> tokio::task::JoinHandle<std::result::Result<Page, Failure>> {
    let (cluster, selection) = (cluster.clone(), selection.clone());
    tokio::spawn(async move { page(&cluster, &selection, &next, true).await })
}
