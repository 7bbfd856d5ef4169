//! One watch: a list in pages, then a stream of changes, for as long as somebody listens.
//!
//! Nothing a server does ends it: a closed stream is opened again where it stopped, a forgotten version (410) is
//! listed again and compared with what was known, anything else is tried again after a pause. Only a refusal of rights
//! changes the way: no watch → a list every few seconds, no list → a look by name.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc::Sender;

use super::pages::{Item, Page, Selection, page};
use crate::access::{Call, Cluster};
use crate::error::Failure;
use crate::kinds::{Event, Node, Pod};
use crate::wait::object::{Body, Object, ObjectKey};
use crate::wait::record::{Op, Record};

/// Time between two lists where watching is not allowed.
const POLL: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The server ends a watch after this long; a proxy in between often ends it earlier.
const WATCH_SECONDS: &str = "420";

/// What a watch tells: a record, or the server's clock.
#[derive(Debug)]
pub(crate) enum Notice {
    Record(Record),
    Contact(Timestamp),
}

/// Runs a watch until its listener is gone.
pub(crate) async fn watch(cluster: Cluster, selection: Selection, to: Sender<Notice>) {
    let mut watch = Watch { cluster, selection, to, cache: HashMap::new(), listed: false, pause: FIRST_PAUSE };
    // Ends only when nobody listens any more.
    while watch.round().await.is_some() {}
}

struct Watch {
    cluster: Cluster,
    selection: Selection,
    to: Sender<Notice>,
    /// Key → uid and resource version of what the listener has been told.
    cache: HashMap<ObjectKey, (String, String)>,
    listed: bool,
    pause: Duration,
}

/// How a stream ended.
enum Ended {
    /// Open it again at this version.
    Resume(String),
    /// The version is forgotten: list again.
    Gone,
    /// Something else: list again after a pause.
    Failed(Failure),
    /// Watching is not allowed.
    Refused,
    /// Nobody listens.
    Unheard,
}

impl Watch {
    /// One list and the streams that follow it. `None` when nobody listens any more.
    async fn round(&mut self) -> Option<()> {
        let mut version = match self.list().await {
            Ok(version) => version?,
            Err(failure) if failure.is_refusal() => return self.refused("list", &failure).await,
            Err(failure) if failure.is_final() => {
                self.tell(self.denied("list", &failure)).await?;
                self.to.closed().await;
                return None;
            }
            Err(failure) => return self.failed(failure).await,
        };
        loop {
            match self.stream(&version).await {
                Ended::Resume(at) => version = at,
                Ended::Gone => {
                    self.tell(self.error(Some(410), "the server has forgotten this version")).await?;
                    // A server that forgets every version at once must not be asked without end.
                    tokio::time::sleep(FIRST_PAUSE).await;
                    return Some(());
                }
                Ended::Failed(failure) => return self.failed(failure).await,
                Ended::Refused => return self.poll().await,
                Ended::Unheard => return None,
            }
        }
    }

    /// Lists every page and tells what differs from the cache. The inner `None`: nobody listens.
    async fn list(&mut self) -> Result<Option<String>, Failure> {
        let mut seen: HashMap<ObjectKey, (String, String)> = HashMap::new();
        let mut next = String::new();
        let version = loop {
            let Page { items, resource_version, next: after, answer } =
                page(&self.cluster, &self.selection, &next, is_slim(&self.selection)).await?;
            if let Some(date) = answer.date
                && self.to.send(Notice::Contact(date)).await.is_err()
            {
                return Ok(None);
            }
            for item in items {
                let Some(object) = self.decode(item) else { continue };
                let meta = object.meta();
                let mark = (meta.uid.clone(), meta.resource_version.clone());
                let known = self.cache.get(&object.key).filter(|known| **known == mark || known.0 == mark.0);
                let op = match known {
                    Some(known) if *known == mark && !mark.1.is_empty() => None,
                    Some(_) => Some(Op::Modified),
                    None => Some(if self.listed { Op::Added } else { Op::Listed }),
                };
                self.cache.insert(object.key.clone(), mark.clone());
                seen.insert(object.key.clone(), mark);
                if let Some(op) = op
                    && self.tell(Record::Event(op, Box::new(object))).await.is_none()
                {
                    return Ok(None);
                }
            }
            next = after;
            if next.is_empty() {
                break resource_version;
            }
        };
        let gone: Vec<ObjectKey> = self.cache.keys().filter(|key| !seen.contains_key(key)).cloned().collect();
        for key in gone {
            self.cache.remove(&key);
            if self.leave(key).await.is_none() {
                return Ok(None);
            }
        }
        self.listed = true;
        self.pause = FIRST_PAUSE;
        let relist = Record::Relist(self.selection.resource.clone(), self.selection.namespace.clone());
        Ok(self.tell(relist).await.map(|()| version))
    }

    async fn stream(&mut self, from: &str) -> Ended {
        let query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", WATCH_SECONDS),
            ("resourceVersion", from),
        ];
        let (date, lines) = match self.cluster.open(&self.selection.path(&query)).await {
            Ok(opened) => opened,
            Err(failure) if failure.is_refusal() || failure.code() == Some(405) => return Ended::Refused,
            Err(failure) if failure.code() == Some(410) => return Ended::Gone,
            Err(failure) => return Ended::Failed(failure),
        };
        if let Some(date) = date
            && self.to.send(Notice::Contact(date)).await.is_err()
        {
            return Ended::Unheard;
        }
        let mut version = from.to_owned();
        let mut lines = std::pin::pin!(lines);
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = self.to.closed() => return Ended::Unheard,
            };
            match line {
                None if version == from => {
                    // A server that ends every stream at once must not be asked without end.
                    tokio::time::sleep(FIRST_PAUSE).await;
                    return Ended::Resume(version);
                }
                None => return Ended::Resume(version),
                Some(Err(failure)) => {
                    tracing::info!(watch = %self.selection.resource, %failure, "stream broke, opening it again");
                    tokio::time::sleep(FIRST_PAUSE).await;
                    return Ended::Resume(version);
                }
                Some(Ok(line)) => match self.change(&line).await {
                    Ok(Some(at)) if at.is_empty() => {}
                    Ok(Some(at)) => version = at,
                    Ok(None) => return Ended::Unheard,
                    Err(ended) => return ended,
                },
            }
        }
    }

    /// Takes one line of a stream; returns the version it has come to.
    async fn change(&mut self, line: &Bytes) -> Result<Option<String>, Ended> {
        #[derive(Deserialize)]
        struct Line<'a> {
            r#type: &'a str,
            #[serde(borrow)]
            object: &'a RawValue,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Status {
            code: u16,
            reason: String,
            message: String,
        }
        let damaged = || Ended::Failed(Failure::Answer("a line of the watch cannot be read".to_owned()));
        if line.is_empty() {
            return Ok(Some(String::new()));
        }
        let Ok(Line { r#type, object }) = serde_json::from_slice::<Line<'_>>(line) else { return Err(damaged()) };
        let raw = line.slice_ref(object.get().as_bytes());
        if r#type == "ERROR" {
            let Status { code, reason, message } = serde_json::from_slice(&raw).unwrap_or_default();
            if code == 410 {
                return Err(Ended::Gone);
            }
            return Err(Ended::Failed(Failure::Status { code, reason, message, retry_after: None }));
        }
        if r#type == "BOOKMARK" {
            let mark: serde_json::Value = serde_json::from_slice(&raw).map_err(|_| damaged())?;
            let version = mark.pointer("/metadata/resourceVersion").and_then(serde_json::Value::as_str);
            return Ok(Some(version.unwrap_or_default().to_owned()));
        }
        let object = self.decode(Item::Json(raw)).ok_or_else(damaged)?;
        let meta = object.meta();
        let version = meta.resource_version.clone();
        let key = object.key.clone();
        if r#type == "DELETED" {
            self.cache.remove(&key);
            return Ok(self.leave(key).await.map(|()| version));
        }
        let mark = (meta.uid.clone(), version.clone());
        let before = self.cache.insert(key, mark);
        let op = if before.is_some() { Op::Modified } else { Op::Added };
        Ok(self.tell(Record::Event(op, Box::new(object))).await.map(|()| version))
    }

    /// An object is gone from the watch: deleted, or no longer selected. Where a selector could have left it out, a
    /// look by name decides.
    async fn leave(&self, key: ObjectKey) -> Option<()> {
        let narrowed = !self.selection.labels.is_empty() || !self.selection.fields.is_empty();
        let mut op = Op::Deleted;
        if narrowed {
            let namespace = Some(key.namespace.as_str()).filter(|namespace| !namespace.is_empty());
            let path = format!("{}/{}", self.selection.resource.path(namespace), key.name);
            if self.cluster.fetch(Call::Get, &path, "application/json").await.is_ok() {
                op = Op::Left;
            }
        }
        let stub = serde_json::json!({
            "apiVersion": self.selection.resource.api_version(),
            "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
        });
        match Object::read(stub) {
            Some(object) => self.tell(Record::Event(op, Box::new(object))).await,
            None => Some(()),
        }
    }

    async fn failed(&mut self, failure: Failure) -> Option<()> {
        let pause = match &failure {
            Failure::Status { retry_after: Some(wish), .. } => (*wish).min(LONGEST_PAUSE),
            // The kind may be served a moment later.
            Failure::Status { code: 404, .. } => FIRST_PAUSE * 2,
            _ => self.pause,
        };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        tracing::info!(what = %self.selection.doing("watch"), %failure, ?pause, "trying again");
        self.tell(self.error(failure.code(), &failure.to_string())).await?;
        tokio::select! {
            () = tokio::time::sleep(pause) => Some(()),
            () = self.to.closed() => None,
        }
    }

    fn error(&self, code: Option<u16>, message: &str) -> Record {
        Record::Error(self.selection.resource.clone(), code, message.to_owned())
    }

    /// Listing is refused. Named objects are looked at by name; anything else cannot be read.
    async fn refused(&mut self, verb: &str, failure: &Failure) -> Option<()> {
        let names = self.selection.name.iter().chain(&self.selection.names).cloned().collect::<Vec<_>>();
        if !names.is_empty() {
            return self.look_by_name(names).await;
        }
        self.tell(self.denied(verb, failure)).await?;
        self.to.closed().await;
        None
    }

    fn denied(&self, verb: &str, failure: &Failure) -> Record {
        Record::Denied {
            verb: verb.to_owned(),
            resource: self.selection.resource.clone(),
            namespace: self.selection.namespace.clone(),
            name: None,
            message: failure.to_string(),
        }
    }

    async fn poll(&mut self) -> Option<()> {
        tracing::info!(what = %self.selection.doing("watch"), "not allowed, listing every 5 s");
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = self.to.closed() => return None,
            }
            match self.list().await {
                Ok(version) => drop(version?),
                Err(failure) if failure.is_refusal() => return self.refused("list", &failure).await,
                Err(failure) => self.failed(failure).await?,
            }
        }
    }

    /// Looks at objects one by one, again and again; a name that may not be read is told and left out.
    async fn look_by_name(&mut self, mut names: Vec<String>) -> Option<()> {
        loop {
            let mut left = Vec::new();
            for name in names {
                if self.look_at(&name).await? {
                    left.push(name);
                }
            }
            names = left;
            self.relisted().await?;
            tokio::select! {
                () = tokio::time::sleep(POLL), if !names.is_empty() => {}
                () = self.to.closed() => return None,
            }
        }
    }

    /// Looks at one object until the server has answered; returns whether it may be read.
    async fn look_at(&mut self, name: &str) -> Option<bool> {
        let path = format!("{}/{name}", self.selection.resource.path(self.selection.namespace.as_deref()));
        loop {
            match self.cluster.fetch(Call::Get, &path, "application/json").await {
                Ok(answer) => {
                    if let Some(date) = answer.date {
                        self.to.send(Notice::Contact(date)).await.ok()?;
                    }
                    let Some(object) = self.decode(Item::Json(answer.body)) else { return Some(true) };
                    let mark = (object.meta().uid.clone(), object.meta().resource_version.clone());
                    let before = self.cache.insert(object.key.clone(), mark.clone());
                    if before.as_ref() != Some(&mark) {
                        let op = if before.is_some() { Op::Modified } else { Op::Listed };
                        self.tell(Record::Event(op, Box::new(object))).await?;
                    }
                    return Some(true);
                }
                Err(failure) if failure.code() == Some(404) => {
                    let gone = self.cache.keys().find(|key| key.name == name).cloned();
                    if let Some(key) = gone {
                        self.cache.remove(&key);
                        self.leave(key).await?;
                    }
                    return Some(true);
                }
                Err(failure) if failure.is_refusal() => {
                    let mut denied = self.denied("get", &failure);
                    if let Record::Denied { name: of, .. } = &mut denied {
                        *of = Some(name.to_owned());
                    }
                    self.tell(denied).await?;
                    return Some(false);
                }
                Err(failure) => self.failed(failure).await?,
            }
        }
    }

    async fn relisted(&mut self) -> Option<()> {
        if self.listed {
            return Some(());
        }
        self.listed = true;
        self.tell(Record::Relist(self.selection.resource.clone(), self.selection.namespace.clone())).await
    }

    async fn tell(&self, record: Record) -> Option<()> {
        self.to.send(Notice::Record(record)).await.ok()
    }

    /// Decodes an item; a list leaves out kind and version, which the selection knows.
    fn decode(&self, item: Item) -> Option<Object> {
        match (self.selection.resource.group.as_str(), self.selection.resource.kind.as_str()) {
            ("", "Pod") if !self.selection.whole => item.decode::<Pod>().map(|pod| Object::slim(pod, Body::Pod)),
            ("", "Event") if !self.selection.whole => {
                item.decode::<Event>().map(|event| Object::slim(event, Body::Event))
            }
            ("", "Node") if !self.selection.whole => item.decode::<Node>().map(|node| Object::slim(node, Body::Node)),
            _ => {
                let Item::Json(bytes) = item else { return None };
                let mut value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
                let map = value.as_object_mut()?;
                map.entry("apiVersion").or_insert_with(|| self.selection.resource.api_version().into());
                map.entry("kind").or_insert_with(|| self.selection.resource.kind.clone().into());
                if self.selection.whole { Object::read_whole(value) } else { Object::read(value) }
            }
        }
    }
}

/// Returns whether a kind is read from protobuf: those that come in bulk and of which no witness is wanted.
fn is_slim(selection: &Selection) -> bool {
    !selection.whole
        && selection.resource.group.is_empty()
        && matches!(selection.resource.kind.as_str(), "Pod" | "Event" | "Node")
}
