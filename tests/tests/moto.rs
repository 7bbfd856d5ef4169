//! The SDK's requests and answers fit an independent implementation of ECR: <https://github.com/getmoto/moto>.
//!
//! Nothing else is tested here, since that implementation knows little of what makes deletion dangerous. It is
//! installed into `target/` once; `MOTO_ENDPOINT` names one that runs already.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use kubeguard_core::ecr::aws::AwsAccess;
use kubeguard_core::ecr::look::{Look, snapshot};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::registry::{ErrorKind, ImageId, Registry as _, StorageClass};
use kubeguard_core::ecr::snapshot::{ProblemKind, Reading, Repository};
use kubeguard_core::images::Digest;
use serde_json::{Value, json};

const VERSION: &str = "5.2.5";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A running moto, ended when dropped; or one that runs elsewhere.
struct Moto {
    address: String,
    child: Option<Child>,
}

impl Drop for Moto {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Moto {
    /// Starts moto; `None`, with a reason on stderr, when there is no Python 3 to run it.
    fn start() -> Option<Self> {
        if let Ok(address) = std::env::var("MOTO_ENDPOINT") {
            return Some(Self { address, child: None });
        }
        let Some(python) = ["python3", "python"].into_iter().find(|python| is_python3(python)) else {
            eprintln!("skipped: moto needs Python 3.9 or later");
            return None;
        };
        let folder = installed(python)
            .unwrap_or_else(|why| panic!("moto cannot be installed: {why}; MOTO_ENDPOINT names one that runs already"));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let mut server = Command::new(folder.join("bin/moto_server"));
        server.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = server.spawn().expect("moto_server starts");
        let mut moto = Self { address: format!("http://127.0.0.1:{port}"), child: Some(child) };
        moto.wait(port);
        Some(moto)
    }

    fn wait(&mut self, port: u16) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
            assert!(ended.is_none(), "moto_server ended: {ended:?}");
            assert!(Instant::now() < deadline, "moto_server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a call that the SDK's types have no words for.
    fn raw(&self, operation: &str, body: &Value) {
        let host = self.address.trim_start_matches("http://").trim_end_matches('/');
        let body = body.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1\r\n\
             x-amz-target: AmazonEC2ContainerRegistry_V20150921.{operation}\r\ncontent-length: {}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/ecr/aws4_request, SignedHeaders=host, \
             Signature=0\r\n\r\n{body}",
            body.len()
        );
        let mut connection = TcpStream::connect(host).expect("moto answers");
        connection.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{operation}: {answer}");
    }
}

fn is_python3(python: &str) -> bool {
    let version = Command::new(python).args(["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status();
    version.is_ok_and(|status| status.success())
}

/// Returns a virtual environment that has moto, made by the first run; or why it cannot be made, as on a machine that
/// reaches no package index.
fn installed(python: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("moto-{VERSION}"));
    let done = folder.join("installed");
    if !done.is_file() {
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &format!("moto[server]=={VERSION}")]))?;
        std::fs::write(&done, "").map_err(|error| error.to_string())?;
    }
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[tokio::test]
async fn the_sdk_lists_reads_and_deletes_in_an_independent_implementation() {
    let Some(moto) = Moto::start() else { return };
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let access = AwsAccess { endpoint_url: Some(moto.address.clone()), ..AwsAccess::default() };
    let registry = access.open(&config, |_| {}).await.expect("STS tells the account");
    assert_eq!(registry.id().to_string(), "123456789012/us-east-1");

    let (first, second) = (image("first"), image("second"));
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": MANIFEST, "digest": Digest::of(first.as_bytes()), "size": first.len(),
         "platform": {"os": "linux", "architecture": "amd64"}}]})
    .to_string();
    moto.raw("CreateRepository", &json!({"repositoryName": "app"}));
    for (tag, manifest, media_type) in [
        ("v1", &first, MANIFEST),
        ("v2", &second, MANIFEST),
        ("all", &index, "application/vnd.oci.image.index.v1+json"),
    ] {
        let body = json!({"repositoryName": "app", "imageManifest": manifest, "imageTag": tag,
                          "imageManifestMediaType": media_type, "imageDigest": Digest::of(manifest.as_bytes())});
        moto.raw("PutImage", &body);
    }
    let destination = json!({"region": "eu-west-1", "registryId": "123456789012"});
    let rule = json!({"destinations": [destination], "deleteReplication": {"enabled": true}});
    moto.raw("PutReplicationConfiguration", &json!({"replicationConfiguration": {"rules": [rule]}}));

    let cache = ManifestCache::in_memory();
    let look = Look {
        replication: true,
        pull_through: false,
        indexes: true,
        manifests: &cache,
        progress: &|_| {},
        now: "2026-11-22T10:00:00Z".parse().expect("a time"),
    };
    let all = |all: &[Repository]| Ok(all.iter().map(|repository| repository.name.clone()).collect());
    let seen = snapshot(&registry, all, &look).await.expect("a snapshot");
    assert_eq!(seen.caller_account, "123456789012");
    let Reading::Read(rules) = &seen.replication else { panic!("{:?}", seen.replication) };
    assert!(rules[0].deletes, "the flag that the SDK has no field for");
    assert!(matches!(&seen.exclusions, Reading::Failed(_)), "an operation that it lacks: {:?}", seen.exclusions);
    let [app] = &seen.repositories[..] else { panic!("{:?}", seen.repositories) };
    assert_eq!(app.problem.as_ref().map(|problem| problem.kind), None::<ProblemKind>, "{:?}", app.problem);
    let mut tags: Vec<&str> = app.entries.iter().flat_map(|entry| &entry.tags).map(String::as_str).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["all", "v1", "v2"]);
    let listed: Vec<Digest> = app.indexes.values().flat_map(|index| &index.children).map(|one| one.digest).collect();
    assert_eq!(listed, [Digest::of(first.as_bytes())]);

    let gone = Digest::of(second.as_bytes());
    let deleted = registry.delete("app", &[ImageId { digest: Some(gone), tag: None }]).await.expect("a deletion");
    assert_eq!(deleted.failures, []);
    let missing = registry.describe("app", &[gone]).await.expect_err("it is gone");
    assert_eq!(missing.kind, ErrorKind::ImageNotFound, "{missing}");
    let kept = registry.describe("app", &[Digest::of(first.as_bytes())]).await.expect("an answer");
    assert_eq!(kept.len(), 1);

    let archived = registry.set_storage_class("app", Digest::of(first.as_bytes()), StorageClass::Archive).await;
    let lacking = archived.expect_err("moto has no archive");
    assert_eq!(lacking.kind, ErrorKind::Unsupported, "{lacking}");
}

/// A manifest of one image, different for each name.
fn image(name: &str) -> String {
    let blob = Digest::of(name.as_bytes());
    json!({"schemaVersion": 2, "mediaType": MANIFEST,
           "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": blob, "size": 2},
           "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": blob, "size": 7}]})
    .to_string()
}
