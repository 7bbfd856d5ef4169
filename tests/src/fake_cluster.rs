//! An in-process API server for what a real one will not do on demand: forgotten versions, closed streams, refusals,
//! slow answers.
//!
//! Speaks just enough of the API for lists in pages, watches with bookmarks, single objects, deletions, events,
//! port-forwards to processes of a test and discovery, over plain HTTP on loopback. Runs in a thread of its own, so that a plugin's binary can be tested against it.

mod forward;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An answer with this status code and reason.
    Status(u16, &'static str),
    /// 429 with `Retry-After` in seconds.
    Limited(u64),
    /// The answer comes after this time.
    Slow(Duration),
    /// In a watch: an ERROR event with 410 after the stream was opened.
    GoneInWatch,
    /// In a watch: the stream ends at once, without an error.
    Closed,
    /// The body is no JSON.
    Garbage,
    /// The connection is closed before an answer.
    Reset,
}

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `list`, `watch`, `get`, `create`, `delete`, `forward` or `other`.
    pub verb: &'static str,
    /// Path without the query.
    pub path: String,
    /// The query.
    pub query: String,
    /// Value of `Accept`.
    pub accept: String,
    /// Value of `User-Agent`.
    pub user_agent: String,
    /// Value of `Authorization`.
    pub authorization: String,
    /// Value of `Impersonate-User`.
    pub impersonated: String,
    /// The body, if it is JSON.
    pub body: Value,
}

#[derive(Debug)]
struct Rule {
    verb: &'static str,
    /// A part of path and query, as in `/namespaces/team/pods` or `continue=`.
    path: String,
    fault: Fault,
    times: Option<u32>,
}

#[derive(Debug, Clone)]
struct Change {
    kind: &'static str,
    collection: String,
    object: Value,
}

/// Path of a collection → name → object.
type Objects = BTreeMap<String, BTreeMap<String, Value>>;

struct Shared {
    objects: Objects,
    version: u64,
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    served: Vec<Value>,
    page: Option<usize>,
    date: Option<String>,
    /// Namespace, pod and port → the process that listens there.
    processes: BTreeMap<(String, String, u16), std::net::SocketAddr>,
    /// Rights that nobody has, as in `get pods/portforward`.
    denied: BTreeSet<String>,
    /// What happens right before a request is answered.
    before: Vec<Before>,
    /// Minor version that the server says it has; none where it does not tell.
    minor: Option<u16>,
}

/// A change of the world that comes with a request.
struct Before {
    verb: &'static str,
    path: String,
    happens: Box<dyn FnOnce(&mut Objects) + Send>,
}

/// The server; dropping it stops it.
pub struct FakeCluster {
    shared: Arc<Mutex<Shared>>,
    changes: broadcast::Sender<Change>,
    url: String,
    _stop: tokio::sync::oneshot::Sender<()>,
}

/// Kinds that an image inventory must read: group, kind, plural.
const WORKLOADS: [(&str, &str, &str); 12] = [
    ("", "Pod", "pods"),
    ("", "Namespace", "namespaces"),
    ("", "ConfigMap", "configmaps"),
    ("", "ReplicationController", "replicationcontrollers"),
    ("", "PodTemplate", "podtemplates"),
    ("apps", "Deployment", "deployments"),
    ("apps", "ReplicaSet", "replicasets"),
    ("apps", "StatefulSet", "statefulsets"),
    ("apps", "DaemonSet", "daemonsets"),
    ("apps", "ControllerRevision", "controllerrevisions"),
    ("batch", "Job", "jobs"),
    ("batch", "CronJob", "cronjobs"),
];

impl FakeCluster {
    /// Starts an empty server on a free port.
    #[must_use]
    pub fn start() -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            objects: Objects::new(),
            version: 100,
            rules: Vec::new(),
            seen: Vec::new(),
            served: Vec::new(),
            page: None,
            date: None,
            processes: BTreeMap::new(),
            denied: BTreeSet::new(),
            before: Vec::new(),
            minor: None,
        }));
        let (changes, _) = broadcast::channel(1024);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let (state, sender) = (shared.clone(), changes.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                tokio::select! {
                    () = serve(listener, state, sender) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { shared, changes, url, _stop: stop }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("the server does not panic")
    }

    /// Returns the server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes a kubeconfig that points here, with the namespace `team`.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn kubeconfig(&self, folder: &Path) -> std::path::PathBuf {
        let path = folder.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: fake\n\
             clusters: [{{name: fake, cluster: {{server: \"{}\"}}}}]\n\
             users: [{{name: fake, user: {{token: fake}}}}]\n\
             contexts: [{{name: fake, context: {{cluster: fake, user: fake, namespace: team}}}}]\n",
            self.url
        );
        std::fs::write(&path, text).expect("a folder that takes files");
        path
    }

    /// Answers lists in pages of at most so many items, whatever limit is asked for.
    pub fn page_size(&self, items: usize) {
        self.lock().page = Some(items);
    }

    /// Sets the `Date` header of every answer.
    pub fn date(&self, text: &str) {
        self.lock().date = Some(text.to_owned());
    }

    /// Lets discovery list a kind beside the built-in ones: group, version, kind, plural.
    pub fn serve(&self, group: &str, version: &str, kind: &str, plural: &str) {
        self.serve_verbs(group, version, (kind, plural), &["get", "list", "watch"]);
    }

    /// The same for a kind, with its plural, that only takes some verbs.
    pub fn serve_verbs(&self, group: &str, version: &str, (kind, plural): (&str, &str), verbs: &[&str]) {
        self.lock().served.push(json!({
            "metadata": {"name": group},
            "versions": [{"version": version, "resources": [{
                "resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced",
                "singularResource": kind.to_lowercase(), "verbs": verbs,
            }]}],
        }));
    }

    /// Serves every kind that an image inventory must read, and names the cluster by a uid of its own.
    pub fn serve_workloads(&self, uid: &str) {
        for (group, kind, plural) in WORKLOADS {
            self.serve(group, "v1", kind, plural);
        }
        let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": uid}});
        self.put("/api/v1/namespaces", system);
    }

    /// Puts an object into a collection, as in `/apis/apps/v1/namespaces/team/deployments`; tells every watch.
    ///
    /// # Panics
    /// When the object has no name.
    pub fn put(&self, collection: &str, mut object: Value) {
        let name = object["metadata"]["name"].as_str().expect("an object with a name").to_owned();
        let mut shared = self.lock();
        shared.version += 1;
        object["metadata"]["resourceVersion"] = shared.version.to_string().into();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{name}").into();
        }
        let before = shared.objects.entry(collection.to_owned()).or_default().insert(name, object.clone());
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        drop(self.changes.send(Change { kind, collection: collection.to_owned(), object }));
    }

    /// Takes an object away; tells every watch.
    pub fn delete(&self, collection: &str, name: &str) {
        let mut shared = self.lock();
        shared.version += 1;
        let version = shared.version.to_string();
        let Some(mut object) = shared.objects.get_mut(collection).and_then(|objects| objects.remove(name)) else {
            return;
        };
        object["metadata"]["resourceVersion"] = version.into();
        drop(self.changes.send(Change { kind: "DELETED", collection: collection.to_owned(), object }));
    }

    /// Changes objects without telling any watch, as happens while a stream is down.
    pub fn silently(&self, change: impl FnOnce(&mut BTreeMap<String, BTreeMap<String, Value>>, u64)) {
        let mut shared = self.lock();
        shared.version += 1;
        let version = shared.version;
        change(&mut shared.objects, version);
    }

    /// Sends every open watch a bookmark.
    pub fn bookmark(&self) {
        let version = self.lock().version.to_string();
        let object = json!({"kind": "Bookmark", "apiVersion": "v1", "metadata": {"resourceVersion": version}});
        drop(self.changes.send(Change { kind: "BOOKMARK", collection: String::new(), object }));
    }

    /// Says that the server has version 1 and this minor version.
    pub fn minor_version(&self, minor: u16) {
        self.lock().minor = Some(minor);
    }

    /// Lets a process listen at a port of a pod, for port-forwards.
    pub fn listen(&self, namespace: &str, pod: &str, port: u16, process: std::net::SocketAddr) {
        self.lock().processes.insert((namespace.to_owned(), pod.to_owned(), port), process);
    }

    /// Has access reviews answer that nobody has a right, as in `get pods/portforward`.
    pub fn deny(&self, right: &str) {
        self.lock().denied.insert(right.to_owned());
    }

    /// Changes objects right before the next request of a verb whose path contains `path` is answered, once.
    pub fn before(
        &self,
        verb: &'static str,
        path: &str,
        happens: impl FnOnce(&mut BTreeMap<String, BTreeMap<String, Value>>) + Send + 'static,
    ) {
        self.lock().before.push(Before { verb, path: path.to_owned(), happens: Box::new(happens) });
    }

    /// Returns the objects of a collection, by name.
    #[must_use]
    pub fn objects(&self, collection: &str) -> Vec<Value> {
        self.lock().objects.get(collection).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Ends every open watch without an error.
    pub fn close_watches(&self) {
        drop(self.changes.send(Change { kind: "CLOSE", collection: String::new(), object: Value::Null }));
    }

    /// Ends every open watch with 410.
    pub fn forget(&self) {
        drop(self.changes.send(Change { kind: "ERROR", collection: String::new(), object: gone() }));
    }

    /// Lets requests of a verb whose path and query contain `path` go wrong: so many times, or always.
    pub fn fail(&self, verb: &'static str, path: &str, fault: Fault, times: Option<u32>) {
        self.lock().rules.push(Rule { verb, path: path.to_owned(), fault, times });
    }

    /// Lets everything go well again.
    pub fn heal(&self) {
        self.lock().rules.clear();
    }

    /// Returns every request so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// Returns how many requests of a verb had a path that contains `path`.
    #[must_use]
    pub fn count(&self, verb: &str, path: &str) -> usize {
        self.lock().seen.iter().filter(|seen| seen.verb == verb && seen.path.contains(path)).count()
    }
}

fn gone() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old resource version"})
}

type Body = BoxBody<Bytes, Infallible>;

async fn serve(listener: std::net::TcpListener, shared: Arc<Mutex<Shared>>, changes: broadcast::Sender<Change>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (shared, changes) = (shared.clone(), changes.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let (shared, changes) = (shared.clone(), changes.clone());
                // An error here closes the connection without an answer.
                async move { answer(request, &shared, &changes).await.ok_or_else(|| std::io::Error::other("reset")) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            drop(connection.with_upgrades().await);
        });
    }
}

async fn answer(
    mut request: Request<Incoming>,
    shared: &Arc<Mutex<Shared>>,
    changes: &broadcast::Sender<Change>,
) -> Option<Response<Body>> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = if request.method() == http::Method::GET {
        Value::Null
    } else {
        let bytes = request.body_mut().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    };
    // Subscribed before the state is read: no change can fall between list and watch.
    let receiver = changes.subscribe();
    let (verb, fault, date) = {
        let mut shared = shared.lock().expect("the server does not panic");
        let verb = match *request.method() {
            http::Method::DELETE => "delete",
            http::Method::POST if path.ends_with("/events") || path.ends_with("accessreviews") => "create",
            _ if path.ends_with("/portforward") => "forward",
            _ => verb(&path, &query),
        };
        let header = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        shared.seen.push(Seen {
            verb,
            path: path.clone(),
            query: query.clone(),
            accept: header("accept"),
            user_agent: header("user-agent"),
            authorization: header("authorization"),
            impersonated: header("impersonate-user"),
            body: body.clone(),
        });
        shared.happens(verb, &path);
        (verb, shared.fault(verb, &format!("{path}?{query}")), shared.date.clone())
    };
    if let Some(Fault::Slow(time)) = &fault {
        tokio::time::sleep(*time).await;
    }
    let mut response = match fault {
        Some(Fault::Reset) => return None,
        Some(Fault::Status(code, reason)) => status(code, reason, &format!("{verb} {path} is refused")),
        Some(Fault::Limited(seconds)) => {
            let mut response = status(429, "TooManyRequests", "too many requests");
            response.headers_mut().insert("retry-after", seconds.into());
            response
        }
        Some(Fault::Garbage) => json_text(StatusCode::OK, "{\"items\": [".to_owned()),
        Some(Fault::Closed) if verb == "watch" => stream(Vec::new(), None, path),
        Some(Fault::GoneInWatch) if verb == "watch" => {
            stream(vec![json!({"type": "ERROR", "object": gone()})], None, path)
        }
        _ => {
            let mut shared = shared.lock().expect("the server does not panic");
            match verb {
                "delete" => shared.remove(&path, &body, changes),
                "create" => shared.create(&path, &query, body),
                "forward" => shared.forward(&path, &query, &mut request),
                _ => shared.answer(verb, &path, &query, receiver),
            }
        }
    };
    if let Some(date) = date.and_then(|date| date.parse().ok()) {
        response.headers_mut().insert("date", date);
    }
    Some(response)
}

/// The collections end in a plural; anything behind it is a name.
fn verb(path: &str, query: &str) -> &'static str {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts.first() {
        Some(&"api") => parts.get(2..),
        Some(&"apis") => parts.get(3..),
        _ => None,
    };
    let rest = match rest {
        Some(["namespaces", _, rest @ ..]) if !rest.is_empty() => rest,
        Some(rest) => rest,
        None => return "other",
    };
    match rest.len() {
        1 if query.contains("watch=true") => "watch",
        1 => "list",
        2 => "get",
        _ => "other",
    }
}

impl Shared {
    /// Lets happen what comes with a request.
    fn happens(&mut self, verb: &str, path: &str) {
        let due = self.before.iter().position(|before| before.verb == verb && path.contains(&before.path));
        if let Some(before) = due.map(|at| self.before.remove(at)) {
            (before.happens)(&mut self.objects);
        }
    }

    fn forward(&self, path: &str, query: &str, request: &mut Request<Incoming>) -> Response<Body> {
        let (pod, _) = path.rsplit_once('/').unwrap_or((path, ""));
        let (collection, name) = pod.rsplit_once('/').unwrap_or((pod, ""));
        if !self.objects.get(collection).is_some_and(|objects| objects.contains_key(name)) {
            return status(404, "NotFound", &format!("pods {name:?} not found"));
        }
        let namespace = collection.split('/').rev().nth(1).unwrap_or_default();
        let port = query.split('&').find_map(|pair| pair.strip_prefix("ports="));
        let port = port.and_then(|port| port.parse().ok()).unwrap_or(0);
        let process = self.processes.get(&(namespace.to_owned(), name.to_owned(), port)).copied();
        forward::accept(request, port, process)
    }

    fn fault(&mut self, verb: &str, path: &str) -> Option<Fault> {
        let rule = self
            .rules
            .iter_mut()
            .find(|rule| rule.verb == verb && path.contains(&rule.path) && rule.times.is_none_or(|times| times > 0))?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.fault.clone())
    }

    fn answer(&self, verb: &str, path: &str, query: &str, receiver: broadcast::Receiver<Change>) -> Response<Body> {
        let parameter = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| decode(value)))
        };
        let filter = Filter { labels: parameter("labelSelector"), fields: parameter("fieldSelector") };
        match verb {
            "list" => self.list(path, &filter, parameter("continue"), parameter("limit")),
            "watch" => {
                let from: u64 = parameter("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
                let missed = self.items(path, &filter).into_iter().filter(|object| version(object) > from);
                let missed = missed.map(|object| json!({"type": "MODIFIED", "object": object})).collect();
                stream(missed, Some((receiver, filter)), path.to_owned())
            }
            "get" => {
                let (collection, name) = path.rsplit_once('/').unwrap_or((path, ""));
                match self.objects.get(collection).and_then(|objects| objects.get(name)) {
                    Some(object) => json_text(StatusCode::OK, object.to_string()),
                    None => status(404, "NotFound", &format!("{name} not found")),
                }
            }
            _ if path == "/version" && self.minor.is_some() => {
                let minor = self.minor.unwrap_or_default();
                let version = json!({"major": "1", "minor": minor.to_string(), "gitVersion": format!("v1.{minor}.0")});
                json_text(StatusCode::OK, version.to_string())
            }
            _ if path == "/api" || path == "/apis" => {
                let items = if path == "/apis" { self.served.clone() } else { Vec::new() };
                let list =
                    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items});
                json_text(StatusCode::OK, list.to_string())
            }
            _ => status(404, "NotFound", "the server could not find the requested resource"),
        }
    }

    fn items(&self, path: &str, filter: &Filter) -> Vec<Value> {
        // A list over all namespaces gathers the collections of every namespace.
        let (root, plural) = path.rsplit_once('/').unwrap_or(("", path));
        let mut found = Vec::new();
        for (collection, objects) in &self.objects {
            let inside = collection
                .strip_prefix(&format!("{root}/namespaces/"))
                .is_some_and(|rest| rest.split_once('/').is_some_and(|(_, rest)| rest == plural));
            if collection == path || inside {
                found.extend(objects.values().filter(|object| filter.matches(object)).cloned());
            }
        }
        found
    }

    fn list(&self, path: &str, filter: &Filter, next: Option<String>, limit: Option<String>) -> Response<Body> {
        let items = self.items(path, filter);
        let from: usize = next.and_then(|next| next.parse().ok()).unwrap_or(0);
        let asked: usize = limit.and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let to = from.saturating_add(self.page.unwrap_or(usize::MAX).min(asked)).min(items.len());
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if to < items.len() {
            metadata["continue"] = to.to_string().into();
        }
        let page = items.get(from.min(to)..to).unwrap_or_default();
        json_text(
            StatusCode::OK,
            json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page}).to_string(),
        )
    }
}

#[derive(Debug, Clone)]
struct Filter {
    labels: Option<String>,
    fields: Option<String>,
}

impl Filter {
    fn matches(&self, object: &Value) -> bool {
        let all = |selector: &Option<String>, get: &dyn Fn(&str) -> Value| {
            selector.iter().flat_map(|selector| selector.split(',')).filter_map(|pair| pair.split_once('=')).all(
                |(key, value)| match key.strip_suffix('!') {
                    Some(key) => get(key).as_str().unwrap_or_default() != value,
                    None => get(key.trim_end_matches('=')).as_str() == Some(value.trim_start_matches('=')),
                },
            )
        };
        all(&self.labels, &|key| object["metadata"]["labels"][key].clone())
            && all(&self.fields, &|path| {
                object.pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or_default()
            })
    }
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex: Vec<u8> = rest.by_ref().take(2).collect();
            let hex = std::str::from_utf8(&hex).unwrap_or_default();
            bytes.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json_text(code: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = code;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    let text = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": message});
    json_text(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text.to_string())
}

/// A watch: first what was missed, then every change of its collection until it is closed.
fn stream(first: Vec<Value>, follow: Option<(broadcast::Receiver<Change>, Filter)>, path: String) -> Response<Body> {
    let (to, from) = tokio::sync::mpsc::unbounded_channel::<Value>();
    for line in first {
        drop(to.send(line));
    }
    if let Some((mut changes, filter)) = follow {
        tokio::spawn(async move {
            while let Ok(change) = changes.recv().await {
                let (root, plural) = path.rsplit_once('/').unwrap_or(("", &path));
                let inside = change.collection == path
                    || (change.collection.starts_with(&format!("{root}/namespaces/"))
                        && change.collection.ends_with(&format!("/{plural}")));
                let line = match change.kind {
                    "CLOSE" => return,
                    "BOOKMARK" | "ERROR" => json!({"type": change.kind, "object": change.object}),
                    _ if !inside || !filter.matches(&change.object) => continue,
                    kind => json!({"type": kind, "object": change.object}),
                };
                let last = change.kind == "ERROR";
                if to.send(line).is_err() || last {
                    return;
                }
            }
        });
    }
    let lines = futures_lines(from);
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(lines)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn futures_lines(
    from: tokio::sync::mpsc::UnboundedReceiver<Value>,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures::stream::unfold(from, |mut from| async move {
        let line = from.recv().await?;
        Some((Ok(Frame::data(Bytes::from(format!("{line}\n")))), from))
    })
}
