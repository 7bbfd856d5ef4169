//! The store behind HTTP on loopback: AWS JSON 1.1 for ECR, and the form and XML of STS on the same port.
//!
//! Who calls, and for which region, is read from the credential scope of the signature; the signature itself is not
//! checked, as nobody holds a secret here.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::lifecycle::{GetLifecyclePolicy, GetLifecyclePolicyPreview, StartLifecyclePolicyPreview};
use super::operations::Operation;
use super::operations::Refusal;
use super::operations::delete::BatchDeleteImage;
use super::operations::images::{DescribeImages, ListImages};
use super::operations::layers::{CompleteLayerUpload, InitiateLayerUpload, UploadLayerPart};
use super::operations::manifests::{BatchGetImage, PutImage};
use super::operations::referrers::ListImageReferrers;
use super::operations::repositories::{DescribeRepositories, ListTagsForResource};
use super::operations::settings::{DescribePullThroughCacheRules, DescribeRegistry, ListPullTimeUpdateExclusions};
use super::operations::storage::UpdateImageStorageClass;
use super::operations::sts::{AssumeRole, GetCallerIdentity};
use super::store::{Caller, Failed, Reply, Store};

const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.";

/// The server; dropping it stops it.
pub(super) struct Server {
    url: String,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    pub(super) fn start(store: Arc<Mutex<Store>>) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                tokio::select! {
                    () = serve(listener, store) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { url, _stop: stop }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

async fn serve(listener: std::net::TcpListener, store: Arc<Mutex<Store>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let store = store.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let store = store.clone();
                // An error here closes the connection without an answer.
                async move { answer(request, &store).await.ok_or_else(|| std::io::Error::other("closed")) }
            });
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, store: &Mutex<Store>) -> Option<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let call = Call { store, caller: caller(&head.headers), body };
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let mut response = match target.and_then(|target| target.strip_prefix(TARGET)) {
        Some(operation) => call.ecr(operation).await?,
        None => call.sts().await?,
    };
    let now = store.lock().ok()?.now();
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    response.headers_mut().insert("date", date.parse().ok()?);
    Some(response)
}

/// Reads `Credential=KEY/DATE/REGION/SERVICE/aws4_request`. A call without a signature is that of an unknown key.
fn caller(headers: &HeaderMap) -> Caller {
    let signature = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scope = signature.split_once("Credential=").map_or("", |(_, scope)| scope);
    let mut parts = scope.split([',', ' ']).next().unwrap_or_default().split('/');
    let access_key = parts.next().unwrap_or_default().to_owned();
    Caller { access_key, region: parts.nth(1).unwrap_or_default().to_owned() }
}

struct Call<'a> {
    store: &'a Mutex<Store>,
    caller: Caller,
    body: Bytes,
}

impl Call<'_> {
    async fn perform<O: Operation>(&self, input: &O) -> Result<O::Output, Failed> {
        let Reply { delay, outcome } = match self.store.lock() {
            Ok(mut store) => store.perform(&self.caller, input),
            // An assertion inside of a call has failed: the test says so, and whoever asks gets no answer.
            Err(_) => return Err(Failed::Closed),
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        outcome
    }

    async fn ecr(&self, operation: &str) -> Option<Response<Full<Bytes>>> {
        macro_rules! served {
            ($($input:ident)*) => {
                match operation {
                    $($input::NAME => self.json::<$input>().await,)*
                    _ => Err(self.not_served()),
                }
            };
        }
        let outcome = served!(
            DescribeRepositories ListTagsForResource DescribeImages ListImages BatchGetImage PutImage BatchDeleteImage
            UpdateImageStorageClass ListImageReferrers DescribeRegistry DescribePullThroughCacheRules
            ListPullTimeUpdateExclusions GetLifecyclePolicy StartLifecyclePolicyPreview GetLifecyclePolicyPreview
            InitiateLayerUpload UploadLayerPart CompleteLayerUpload
        );
        Some(match outcome {
            Ok(text) => json_text(StatusCode::OK, text),
            Err(Failed::Closed) => return None,
            Err(Failed::Refused(refusal)) => {
                let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
                json_text(status, json!({"__type": refusal.code, "message": refusal.message}).to_string())
            }
            Err(Failed::UnknownOperation) => unknown_operation(),
            Err(Failed::Garbage) => json_text(StatusCode::OK, "{\"imageDetails\": [".to_owned()),
        })
    }

    fn not_served(&self) -> Failed {
        match self.store.lock().ok().and_then(|store| store.behaviour.not_served) {
            Some(code) => Failed::Refused(Refusal::new(code, "The operation is not served")),
            None => Failed::UnknownOperation,
        }
    }

    async fn json<O: Operation + DeserializeOwned>(&self) -> Result<String, Failed>
    where
        O::Output: Serialize,
    {
        let input: O = serde_json::from_slice(&self.body)
            .map_err(|error| Failed::Refused(Refusal::new("SerializationException", &error.to_string())))?;
        let output = self.perform(&input).await?;
        Ok(serde_json::to_string(&output).expect("an answer is JSON"))
    }

    async fn sts(&self) -> Option<Response<Full<Bytes>>> {
        let fields: Vec<(String, String)> = form(&self.body);
        let field = |name: &str| {
            let found = fields.iter().find(|(key, _)| key == name);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        let action = field("Action");
        let outcome = match action.as_str() {
            "GetCallerIdentity" => self.perform(&GetCallerIdentity {}).await.map(|identity| {
                let (arn, account) = (identity.arn, identity.account);
                format!("<Arn>{arn}</Arn><UserId>AIDAFAKE</UserId><Account>{account}</Account>")
            }),
            "AssumeRole" => {
                let input = AssumeRole { role_arn: field("RoleArn"), role_session_name: field("RoleSessionName") };
                self.perform(&input).await.map(|session| {
                    format!(
                        "<AssumedRoleUser><Arn>{arn}</Arn><AssumedRoleId>AROAFAKE:session</AssumedRoleId>\
                         </AssumedRoleUser><Credentials><AccessKeyId>{key}</AccessKeyId>\
                         <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
                         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>",
                        arn = session.arn,
                        key = session.access_key
                    )
                })
            }
            _ => Err(Failed::Refused(Refusal::new("InvalidAction", "not served here"))),
        };
        Some(match outcome {
            Ok(result) => xml(
                StatusCode::OK,
                format!(
                    "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{result}\
                     </{action}Result><ResponseMetadata><RequestId>fake</RequestId></ResponseMetadata>\
                     </{action}Response>"
                ),
            ),
            Err(Failed::Closed) => return None,
            Err(Failed::Refused(refusal)) => {
                let (status, code) = sts_code(&refusal);
                let words = refusal.message.replace('&', "&amp;").replace('<', "&lt;");
                let error = format!("<Type>Sender</Type><Code>{code}</Code><Message>{words}</Message>");
                xml(status, format!("<ErrorResponse><Error>{error}</Error><RequestId>fake</RequestId></ErrorResponse>"))
            }
            Err(Failed::UnknownOperation) => unknown_operation(),
            Err(Failed::Garbage) => xml(StatusCode::OK, "<".to_owned()),
        })
    }
}

/// STS has other names for what every service refuses.
fn sts_code(refusal: &Refusal) -> (StatusCode, &str) {
    match refusal.code.as_str() {
        "UnrecognizedClientException" => (StatusCode::FORBIDDEN, "InvalidClientTokenId"),
        "ExpiredTokenException" => (StatusCode::FORBIDDEN, "ExpiredToken"),
        "AccessDeniedException" => (StatusCode::FORBIDDEN, "AccessDenied"),
        "ThrottlingException" => (StatusCode::BAD_REQUEST, "Throttling"),
        "ServerException" => (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"),
        other => (StatusCode::BAD_REQUEST, other),
    }
}

/// Reads a form: `key=value` joined by `&`, with `%` and `+`.
fn form(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).ok();
                hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(b'%')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json_text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    typed(status, "application/x-amz-json-1.1", text)
}

fn xml(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    typed(status, "text/xml", text)
}

/// What an endpoint says that knows nothing of an operation.
fn unknown_operation() -> Response<Full<Bytes>> {
    let page = "<!doctype html><title>500 Internal Server Error</title><h1>Internal Server Error</h1>";
    typed(StatusCode::INTERNAL_SERVER_ERROR, "text/html", page.to_owned())
}

fn typed(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    response.headers_mut().insert("x-amzn-requestid", http::HeaderValue::from_static("fake-request"));
    response
}
