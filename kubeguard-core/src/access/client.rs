//! One connection to a cluster: counted requests, our own retries, errors in words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{ACCEPT, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, BodyStream};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use super::{Access, Environment};
use crate::error::{Error, Failure, Result};
use crate::wait::report::Requests;

/// Waits between tries of a call that may pass: three tries in all.
const RETRIES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// A server that asks for more patience than this gets its error shown.
const MOST_PATIENCE: Duration = Duration::from_secs(10);

/// A connection to one cluster. Cheap to clone; clones share connections and counts.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
    timeout: Option<Duration>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    list: AtomicU64,
    watch: AtomicU64,
    get: AtomicU64,
}

/// What a request is for; each is counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    List,
    Watch,
    Get,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The body, decompressed.
    pub(crate) body: Bytes,
    /// Media type of the body.
    pub(crate) media_type: String,
    /// The server's clock, whole seconds.
    pub(crate) date: Option<Timestamp>,
}

impl Access {
    /// Connects: reads the configuration, and logs in where a plugin must. Makes no request by itself.
    ///
    /// # Errors
    /// [`Error::Configuration`] when files or flags name no usable cluster.
    pub async fn connect(&self, environment: &Environment) -> Result<Cluster> {
        let config = self.config(environment).await?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| Error::Configuration {
            problem: format!("cannot log in to {server}"),
            hint: "check the credentials of the context: kubectl config view --minify".to_owned(),
            source: Some(crate::error::innermost(&error).into()),
        })?;
        Ok(Cluster { client, server, timeout: self.request_timeout, counts: Arc::default() })
    }
}

impl Cluster {
    /// Wraps a client that a program already has. Its `default_retry` should be off: it would retry silently.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, server: "the cluster".to_owned(), timeout: None, counts: Arc::default() }
    }

    /// Returns the client, for calls that are not made here.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the namespace of the context, `default` where it names none.
    #[must_use]
    pub fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// Returns the address of the API server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the calls made so far.
    #[must_use]
    pub fn requests(&self) -> Requests {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Requests { list: load(&self.counts.list), watch: load(&self.counts.watch), get: load(&self.counts.get) }
    }

    /// Wraps a failure with what was being done.
    pub(crate) fn failed(&self, doing: impl Into<String>, failure: Failure) -> Error {
        Error::Api { doing: doing.into(), failure, server: self.server.clone() }
    }

    /// Reads a path to its end. Failures that may pass are tried again, visibly at level info.
    ///
    /// # Errors
    /// The last [`Failure`].
    pub(crate) async fn fetch(&self, call: Call, path: &str, accept: &str) -> std::result::Result<Answer, Failure> {
        let mut pauses = RETRIES.into_iter();
        loop {
            let failure = match self.fetch_once(call, path, accept).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            // A server that cannot be reached at all stays so for longer than a few tries.
            let again = matches!(failure, Failure::Status { .. }) && failure.is_passing();
            let Some(pause) = pauses.next().filter(|_| again) else { return Err(failure) };
            let pause = match &failure {
                Failure::Status { retry_after: Some(wish), .. } if *wish > MOST_PATIENCE => return Err(failure),
                Failure::Status { retry_after: Some(wish), .. } => *wish,
                _ => pause,
            };
            tracing::info!(path, %failure, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads a path to its end, once.
    ///
    /// # Errors
    /// A [`Failure`].
    pub(crate) async fn fetch_once(
        &self,
        call: Call,
        path: &str,
        accept: &str,
    ) -> std::result::Result<Answer, Failure> {
        self.within(async {
            let (headers, body) = self.send(call, path, accept).await?;
            let body = body.collect().await.map_err(|error| Failure::Connection(crate::error::innermost(&error)))?;
            let media_type = header(&headers, &CONTENT_TYPE).unwrap_or_default().to_owned();
            Ok(Answer { body: body.to_bytes(), media_type, date: date(&headers) })
        })
        .await
    }

    /// Sends a question that the server answers and does not keep, as access reviews are.
    ///
    /// # Errors
    /// A [`Failure`]; nothing is tried again.
    pub(crate) async fn ask(&self, path: &str, question: &Value) -> std::result::Result<Value, Failure> {
        self.counts.get.fetch_add(1, Ordering::Relaxed);
        self.send_json(Method::POST, path, question).await
    }

    /// Sends an object with a method, and reads the object that comes back.
    ///
    /// # Errors
    /// A [`Failure`]; nothing is tried again: it may have been carried out.
    pub(crate) async fn send_json(
        &self,
        method: Method,
        path: &str,
        object: &Value,
    ) -> std::result::Result<Value, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(object.to_string().into_bytes()))
            .map_err(|error| Failure::Connection(error.to_string()))?;
        let body = self
            .within(async {
                let (_, body) = self.answer(path, request).await?;
                let body = body.collect().await;
                body.map_err(|error| Failure::Connection(crate::error::innermost(&error)))
            })
            .await?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| Failure::Answer(error.to_string()))
    }

    /// Opens a stream of lines; the time limit counts until its head has come.
    ///
    /// # Errors
    /// A [`Failure`]; nothing is tried again here, the caller has a loop of its own.
    pub(crate) async fn open(
        &self,
        path: &str,
    ) -> std::result::Result<
        (Option<Timestamp>, impl Stream<Item = std::result::Result<Bytes, Failure>> + use<>),
        Failure,
    > {
        let (headers, body) = self.within(self.send(Call::Watch, path, "application/json")).await?;
        let chunks = BodyStream::new(body).filter_map(|frame| async move {
            match frame {
                Ok(frame) => frame.into_data().ok().map(Ok),
                Err(error) => Some(Err(Failure::Connection(crate::error::innermost(&error)))),
            }
        });
        Ok((date(&headers), lines(chunks.boxed())))
    }

    async fn within<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, Failure>>,
    ) -> std::result::Result<T, Failure> {
        match self.timeout {
            None => work.await,
            Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or(Err(Failure::TimedOut(limit))),
        }
    }

    async fn send(&self, call: Call, path: &str, accept: &str) -> std::result::Result<(HeaderMap, Body), Failure> {
        let count = match call {
            Call::List => &self.counts.list,
            Call::Watch => &self.counts.watch,
            Call::Get => &self.counts.get,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let request = Request::get(path)
            .header(ACCEPT, accept)
            .body(Body::empty())
            .map_err(|error| Failure::Connection(error.to_string()))?;
        self.answer(path, request).await
    }

    async fn answer(&self, path: &str, request: Request<Body>) -> std::result::Result<(HeaderMap, Body), Failure> {
        let (parts, body) = self.client.send(request).await?.into_parts();
        tracing::debug!(path, status = parts.status.as_u16(), "answered");
        if parts.status.is_success() {
            return Ok((parts.headers, body));
        }
        let text = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(status(parts.status, &parts.headers, &text))
    }
}

/// Reads the API's Status from an answer; a proxy's page has none.
fn status(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Status {
        reason: String,
        message: String,
    }
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let retry_after = header(headers, &RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let reason =
        if status.reason.is_empty() { code.canonical_reason().unwrap_or_default().to_owned() } else { status.reason };
    Failure::Status { code: code.as_u16(), reason, message: status.message, retry_after }
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = header(headers, &DATE)?;
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

/// Cuts a stream of chunks at line ends. A line without an end is given when the stream ends.
fn lines<S>(chunks: S) -> impl Stream<Item = std::result::Result<Bytes, Failure>>
where
    S: Stream<Item = std::result::Result<Bytes, Failure>> + Unpin,
{
    futures::stream::unfold((chunks, bytes::BytesMut::new(), false), |(mut chunks, mut buffer, ended)| async move {
        let mut searched = 0;
        loop {
            if let Some(at) = buffer.get(searched..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
                let mut line = buffer.split_to(searched + at + 1);
                line.truncate(searched + at);
                return Some((Ok(line.freeze()), (chunks, buffer, ended)));
            }
            searched = buffer.len();
            if ended {
                let rest = buffer.split().freeze();
                return (!rest.is_empty()).then_some((Ok(rest), (chunks, buffer, ended)));
            }
            match chunks.next().await {
                Some(Ok(chunk)) => buffer.extend_from_slice(&chunk),
                Some(Err(failure)) => return Some((Err(failure), (chunks, buffer, true))),
                None => {
                    return {
                        let rest = buffer.split().freeze();
                        (!rest.is_empty()).then_some((Ok(rest), (chunks, buffer, true)))
                    };
                }
            }
        }
    })
}
