//! The whole way of a call through the SDK, against answers that are written down here.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::{AwsAccess, Ecr, Retry};
use crate::ecr::look::{Look, snapshot};
use crate::ecr::manifests::ManifestCache;
use crate::ecr::registry::{CallError, Caller, ErrorKind, ImageId, Registry, StorageClass};
use crate::ecr::snapshot::{ProblemKind, Repository, Status};
use crate::error::Error;
use crate::images::Digest;

const ACCOUNT: &str = "111122223333";

/// What the wire gives back.
enum Answer {
    Json(u16, Value),
    Text(u16, &'static str),
    Broken,
}

type Script = dyn Fn(&str, &Value) -> Answer + Send + Sync;

/// Answers every request by its operation and body, and remembers both.
#[derive(Clone)]
struct Wire {
    script: Arc<Script>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or("Sts.GetCallerIdentity");
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or(Value::Null);
        let answer = (self.script)(&operation, &body);
        self.requests.lock().unwrap().push((operation, body));
        let (status, body) = match answer {
            Answer::Json(status, body) => (status, body.to_string()),
            Answer::Text(status, body) => (status, body.to_owned()),
            Answer::Broken => {
                let error = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset");
                return HttpConnectorFuture::ready(Err(ConnectorError::io(error.into())));
            }
        };
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        response.headers_mut().insert("date", "Sun, 22 Nov 2026 10:00:00 GMT");
        response.headers_mut().insert("x-amzn-requestid", "request-1");
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl Wire {
    fn new(script: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), requests: Arc::default() }
    }

    /// Bodies of the requests of one operation.
    fn bodies(&self, operation: &str) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(name, _)| name == operation).map(|(_, body)| body.clone()).collect()
    }

    fn config(&self) -> aws_types::sdk_config::Builder {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .http_client(self.clone())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
    }

    async fn registry(&self) -> Ecr {
        self.registry_with(|_| {}).await
    }

    async fn registry_with(&self, on_retry: impl Fn(&Retry) + Send + Sync + 'static) -> Ecr {
        let access = AwsAccess { account: Some(ACCOUNT.to_owned()), ..AwsAccess::default() };
        access.open(&self.config().build(), on_retry).await.unwrap()
    }
}

fn refusal(code: &str) -> Answer {
    Answer::Json(400, json!({"__type": code, "message": "its words"}))
}

async fn error_of(answer: impl Fn() -> Answer + Send + Sync + 'static) -> CallError {
    let wire = Wire::new(move |_, _| answer());
    wire.registry().await.delete("app", &[]).await.unwrap_err()
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_though_the_model_does_not_know_it() {
    for (code, kind) in [
        ("ThrottlingException", ErrorKind::Throttled),
        ("RequestLimitExceeded", ErrorKind::Throttled),
        ("TooManyRequestsException", ErrorKind::Throttled),
        ("AccessDeniedException", ErrorKind::AccessDenied),
        ("ExpiredTokenException", ErrorKind::Credentials),
        ("UnrecognizedClientException", ErrorKind::Credentials),
        ("RepositoryNotFoundException", ErrorKind::RepositoryNotFound),
        ("com.amazonaws.ecr#InvalidParameterException", ErrorKind::Invalid),
        ("UnknownOperationException", ErrorKind::Unsupported),
        ("SomethingNewException", ErrorKind::Refused),
    ] {
        let error = error_of(move || refusal(code)).await;
        assert_eq!(error.kind, kind, "{code}");
        assert_eq!(error.code.as_deref(), code.rsplit('#').next());
        assert_eq!((error.operation, error.about.as_str()), ("BatchDeleteImage", "app"));
        assert_eq!(error.message, "its words");
    }
    let server = error_of(|| Answer::Json(500, json!({"__type": "ServerException", "message": "oops"}))).await;
    assert_eq!(server.kind, ErrorKind::Unknown);
    assert_eq!(server.to_string(), "BatchDeleteImage of app: ServerException: oops");
}

#[tokio::test]
async fn what_stands_before_aws_is_told_by_its_status() {
    const PAGE: &str = "<html><body>an error page</body></html>";
    for (status, kind) in [
        (500, ErrorKind::Unsupported),
        (501, ErrorKind::Unsupported),
        (404, ErrorKind::Unsupported),
        (502, ErrorKind::Unknown),
        (503, ErrorKind::Unknown),
        (429, ErrorKind::Throttled),
        (403, ErrorKind::AccessDenied),
    ] {
        let error = error_of(move || Answer::Text(status, PAGE)).await;
        assert_eq!((error.kind, error.code), (kind, None), "{status}: {}", error.message);
    }
    let broken = error_of(|| Answer::Broken).await;
    assert_eq!((broken.kind, broken.message.as_str()), (ErrorKind::Unknown, "connection reset"));
    let garbled = error_of(|| Answer::Text(200, "<html>")).await;
    assert_eq!(garbled.kind, ErrorKind::Unknown);
    assert!(garbled.message.starts_with("the answer cannot be read"), "{}", garbled.message);
}

#[tokio::test]
async fn credentials_that_are_missing_or_cannot_be_loaded_are_told_so_without_a_call() {
    #[derive(Debug)]
    struct None(fn() -> CredentialsError);
    impl ProvideCredentials for None {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err((self.0)()))
        }
    }
    for (why, words) in [
        ((|| CredentialsError::not_loaded("no providers")) as fn() -> _, "there are no AWS credentials"),
        (|| CredentialsError::provider_error("the sign-in has expired"), "the AWS credentials cannot be loaded"),
    ] {
        let wire = Wire::new(|_, _| Answer::Broken);
        let config = wire.config().credentials_provider(SharedCredentialsProvider::new(None(why))).build();
        let access = AwsAccess { account: Some(ACCOUNT.to_owned()), ..AwsAccess::default() };
        let error = access.open(&config, |_| {}).await.unwrap().repositories().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Credentials, "{error}");
        assert!(error.message.starts_with(words), "{error}");
        assert!(wire.requests.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn without_a_region_nothing_is_asked() {
    let wire = Wire::new(|_, _| Answer::Broken);
    let error = AwsAccess::default().open(&wire.config().region(None::<Region>).build(), |_| {}).await.unwrap_err();
    assert!(matches!(&error, Error::Configuration { .. }), "{error}");
    assert_eq!(error.hint().unwrap(), "give --region, or set AWS_REGION or the region of the profile");
    assert!(wire.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn reads_are_repeated_visibly_and_deletions_are_not() {
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let wire = Wire::new(move |operation, _| {
        *counted.lock().unwrap() += 1;
        match (operation, *counted.lock().unwrap()) {
            (_, 1) | ("BatchDeleteImage", _) => refusal("ThrottlingException"),
            (_, 2) => Answer::Broken,
            _ => Answer::Json(200, json!({"repositories": []})),
        }
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let registry = {
        let told = Arc::clone(&told);
        wire.registry_with(move |retry| told.lock().unwrap().push((retry.attempt, retry.error.kind))).await
    };
    assert_eq!(registry.repositories().await, Ok(Vec::new()));
    assert_eq!(*told.lock().unwrap(), [(1, ErrorKind::Throttled), (2, ErrorKind::Unknown)]);

    let error = registry.delete("app", &[]).await.unwrap_err();
    assert_eq!((error.kind, wire.bodies("BatchDeleteImage").len()), (ErrorKind::Throttled, 1));
}

#[tokio::test]
async fn repositories_come_page_by_page_and_a_token_that_comes_twice_is_an_error() {
    let row = |name: &str| {
        json!({"repositoryName": name, "repositoryArn": format!("arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}"),
               "imageTagMutability": if name == "b" { "IMMUTABLE_WITH_EXCLUSION" } else { "MUTABLE" }})
    };
    let wire = Wire::new(move |_, body| match body["nextToken"].as_str() {
        None => Answer::Json(200, json!({"repositories": [row("b")], "nextToken": "2"})),
        _ => Answer::Json(200, json!({"repositories": [row("a")], "nextToken": ""})),
    });
    let repositories = wire.registry().await.repositories().await.unwrap();
    let read: Vec<_> = repositories.iter().map(|one| (one.name.as_str(), one.immutable_tags)).collect();
    assert_eq!(read, [("a", false), ("b", true)]);
    assert_eq!(wire.bodies("DescribeRepositories")[0], json!({"registryId": ACCOUNT, "maxResults": 1000}));

    let wire = Wire::new(|_, _| Answer::Json(200, json!({"repositories": [], "nextToken": "again"})));
    let error = wire.registry().await.repositories().await.unwrap_err();
    assert_eq!(error.message, "the same page token came twice");
    assert_eq!(wire.bodies("DescribeRepositories").len(), 2, "it is no failure that passes");
}

#[tokio::test]
async fn entries_of_every_status_keep_what_is_not_known_here() {
    let digest = Digest::of(b"1");
    let rows = json!([
        {"imageDigest": digest, "imageTags": ["v2", "v1"], "imagePushedAt": 1_700_000_000.5, "imageSizeInBytes": 7,
         "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json", "imageStatus": "FROZEN"},
        {"imageTags": ["v3"]},
        {"imageDigest": digest, "subjectManifestDigest": "sha512:00"},
    ]);
    let wire = Wire::new(move |_, _| Answer::Json(200, json!({"imageDetails": rows})));
    let registry = wire.registry().await;
    let page = registry.entries("app", None).await.unwrap();
    let [Ok(entry), Err(nameless), Err(attached)] = &page.entries[..] else { panic!("{page:?}") };
    assert_eq!(entry.status, Status::Other("FROZEN".to_owned()));
    assert_eq!(entry.tags, ["v1", "v2"]);
    assert_eq!(entry.pushed_at, "2023-11-14T22:13:20.5Z".parse().ok());
    assert!(nameless.contains("v3"), "{nameless}");
    assert!(attached.contains("sha512:00"), "{attached}");
    let asked = &wire.bodies("DescribeImages")[0];
    assert_eq!((&asked["filter"]["imageStatus"], &asked["maxResults"]), (&json!("ANY"), &json!(1000)));
    assert_eq!(registry.now(), "2026-11-22T10:00:00Z".parse().ok(), "the time of the answer");
}

#[tokio::test]
async fn describing_nothing_does_not_list_everything() {
    let wire = Wire::new(|_, _| Answer::Broken);
    assert_eq!(wire.registry().await.describe("app", &[]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn the_delete_flag_of_replication_is_read_past_the_sdk() {
    let wire = Wire::new(|_, _| {
        let destinations = json!([{"region": "eu-west-1", "registryId": ACCOUNT}]);
        let rule = json!({"destinations": destinations, "deleteReplication": {"enabled": true}});
        Answer::Json(200, json!({"registryId": ACCOUNT, "replicationConfiguration": {"rules": [rule]}}))
    });
    let replication = wire.registry().await.replication().await.unwrap();
    assert_eq!(replication.account, ACCOUNT);
    assert!(replication.rules[0].deletes);
    assert_eq!(replication.rules[0].destination.to_string(), "111122223333/eu-west-1");
}

#[tokio::test]
async fn a_deletion_tells_request_and_refused_items_with_codes_that_are_not_known_here() {
    let digest = Digest::of(b"1");
    let wire = Wire::new(move |_, _| {
        let id = json!({"imageDigest": digest, "imageTag": "v1"});
        let failure = json!({"imageId": id, "failureCode": "BrandNewCode", "failureReason": "no"});
        Answer::Json(200, json!({"imageIds": [], "failures": [failure, {}]}))
    });
    let id = ImageId { digest: Some(digest), tag: Some("v1".to_owned()) };
    let deleted = wire.registry().await.delete("app", std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(deleted.request_id.as_deref(), Some("request-1"));
    assert_eq!(deleted.failures[0].code, "BrandNewCode");
    assert_eq!((deleted.failures[0].digest, deleted.failures[0].tag.as_deref()), (Some(digest), Some("v1")));
    assert_eq!(deleted.failures[1].code, "Unknown");
    let sent = json!({"registryId": ACCOUNT, "repositoryName": "app",
                      "imageIds": [{"imageDigest": digest, "imageTag": "v1"}]});
    assert_eq!(wire.bodies("BatchDeleteImage"), [sent]);
}

#[tokio::test]
async fn archiving_answers_the_status_and_its_refusal_is_told_apart() {
    let wire = Wire::new(|_, _| Answer::Json(200, json!({"imageStatus": "ARCHIVED"})));
    let status = wire.registry().await.set_storage_class("app", Digest::of(b"1"), StorageClass::Archive).await;
    assert_eq!(status, Ok(Status::Archived));
    assert_eq!(wire.bodies("UpdateImageStorageClass")[0]["targetStorageClass"], "ARCHIVE");

    let wire = Wire::new(|_, _| refusal("ImageStorageClassUpdateNotSupportedException"));
    let refused = wire.registry().await.set_storage_class("app", Digest::of(b"1"), StorageClass::Archive).await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::StorageClassNotSupported);
}

#[tokio::test]
async fn no_lifecycle_policy_is_an_answer() {
    let wire = Wire::new(|_, _| refusal("LifecyclePolicyNotFoundException"));
    assert_eq!(wire.registry().await.lifecycle_policy("app").await, Ok(None));
}

const IDENTITY: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:sts::444455556666:assumed-role/plan/ci</Arn><UserId>U</UserId>\
    <Account>444455556666</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

#[tokio::test]
async fn the_account_is_the_callers_where_none_is_given_and_is_asked_once() {
    let wire = Wire::new(|_, _| Answer::Text(200, IDENTITY));
    let registry = AwsAccess::default().open(&wire.config().build(), |_| {}).await.unwrap();
    assert_eq!(registry.id().to_string(), "444455556666/us-east-1");
    let arn = "arn:aws:sts::444455556666:assumed-role/plan/ci".to_owned();
    assert_eq!(registry.caller().await, Ok(Caller { account: "444455556666".to_owned(), arn }));
    assert_eq!(wire.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn where_sts_does_not_answer_the_registry_names_the_account() {
    let wire = Wire::new(|operation, _| match operation {
        "DescribeRegistry" => Answer::Json(200, json!({"registryId": ACCOUNT})),
        _ => Answer::Text(404, "<html>"),
    });
    let registry = wire.registry().await;
    let arn = "account/111122223333".to_owned();
    assert_eq!(registry.caller().await, Ok(Caller { account: ACCOUNT.to_owned(), arn }));

    let denied = "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>no</Message></Error></ErrorResponse>";
    let wire = Wire::new(move |_, _| Answer::Text(403, denied));
    let error = wire.registry().await.caller().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Credentials, "expired credentials are no reason to guess: {error}");
    assert_eq!(wire.requests.lock().unwrap().len(), 1);
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of what chooses")]
fn everything(all: &[Repository]) -> crate::error::Result<Vec<String>> {
    Ok(all.iter().map(|repository| repository.name.clone()).collect())
}

fn look(manifests: &ManifestCache) -> Look<'_> {
    let now = "2026-11-22T09:00:00Z".parse().unwrap();
    Look { replication: true, pull_through: true, indexes: true, manifests, progress: &|_| {}, now }
}

fn repositories(count: usize) -> Value {
    let row = |number| {
        let name = format!("r{number:04}");
        json!({"repositoryArn": format!("arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}"), "repositoryName": name})
    };
    (0..count).map(row).collect()
}

#[tokio::test]
async fn three_of_1200_repositories_are_denied_and_all_others_are_read() {
    const DENIED: [&str; 3] = ["r0007", "r0500", "r1199"];
    let wire = Wire::new(|operation, body| match operation {
        "GetCallerIdentity" => Answer::Text(200, IDENTITY),
        "DescribeRepositories" => Answer::Json(200, json!({"repositories": repositories(1200)})),
        "DescribeRegistry" => Answer::Json(200, json!({"registryId": ACCOUNT})),
        "DescribeImages" if DENIED.iter().any(|name| body["repositoryName"] == *name) => {
            refusal("AccessDeniedException")
        }
        "DescribeImages" => Answer::Json(200, json!({"imageDetails": [{"imageDigest": Digest::of(b"1")}]})),
        _ => Answer::Json(200, json!({})),
    });
    let cache = ManifestCache::in_memory();
    let seen = snapshot(&wire.registry().await, everything, &look(&cache)).await.unwrap();
    let denied: Vec<&str> = seen
        .repositories
        .iter()
        .filter(|read| read.problem.as_ref().is_some_and(|problem| problem.kind == ProblemKind::AccessDenied))
        .map(|read| read.repository.name.as_str())
        .collect();
    assert_eq!(denied, DENIED);
    assert_eq!(seen.repositories.iter().filter(|read| read.entries.len() == 1).count(), 1197);
    assert_eq!(seen.taken_at, "2026-11-22T10:00:00Z".parse().unwrap(), "the registry's clock wins");
    assert_eq!(wire.requests.lock().unwrap().len(), 4 + 2 * 1200, "no call is made twice");
}

#[tokio::test]
async fn throttled_pages_come_all_the_same_and_every_repetition_is_told() {
    let count = Arc::new(Mutex::new(0_usize));
    let wire = Wire::new(move |operation, body| {
        let mut count = count.lock().unwrap();
        *count += 1;
        if count.is_multiple_of(7) {
            return refusal("ThrottlingException");
        }
        match operation {
            "DescribeRepositories" => Answer::Json(200, json!({"repositories": repositories(1)})),
            "DescribeRegistry" => Answer::Json(200, json!({"registryId": ACCOUNT})),
            "GetCallerIdentity" => Answer::Text(200, IDENTITY),
            "DescribeImages" => {
                let from: usize = body["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                let until = (from + 100).min(2350);
                let row =
                    |n: usize| json!({"imageDigest": Digest::of(&n.to_le_bytes()), "imageTags": [format!("v{n}")]});
                let rows: Value = (from..until).map(row).collect();
                let next = if until < 2350 { json!(until.to_string()) } else { Value::Null };
                Answer::Json(200, json!({"imageDetails": rows, "nextToken": next}))
            }
            _ => Answer::Json(200, json!({})),
        }
    });
    let told = Arc::new(Mutex::new(0_usize));
    let registry = {
        let told = Arc::clone(&told);
        wire.registry_with(move |retry| {
            assert_eq!(retry.error.kind, ErrorKind::Throttled);
            *told.lock().unwrap() += 1;
        })
        .await
    };
    let cache = ManifestCache::in_memory();
    let seen = snapshot(&registry, everything, &look(&cache)).await.unwrap();
    assert_eq!((seen.repositories[0].problem.clone(), seen.repositories[0].entries.len()), (None, 2350));
    let requests = wire.requests.lock().unwrap().len();
    assert_eq!(*told.lock().unwrap(), requests / 7, "of {requests} requests");
}

#[tokio::test]
async fn a_registry_of_another_account_that_grants_nothing_is_an_error_with_the_action_it_needs() {
    let wire = Wire::new(|_, _| refusal("AccessDeniedException"));
    let cache = ManifestCache::in_memory();
    let error = snapshot(&wire.registry().await, everything, &look(&cache)).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot list the repositories of 111122223333/us-east-1");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "DescribeRepositories: AccessDeniedException: its words");
    assert!(error.hint().unwrap().contains("ecr:DescribeRepositories"), "{:?}", error.hint());
    assert_eq!(wire.requests.lock().unwrap().len(), 1);
}
