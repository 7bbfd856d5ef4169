//! What a look at a large registry costs, beside the bare transfer of the same pages:
//! `cargo bench -p kubeguard-testkit --bench registry`. The pages are made before anything is measured.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kubeguard_core::ecr::aws::AwsAccess;
use kubeguard_core::ecr::look::{Look, snapshot};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::snapshot::Repository;
use kubeguard_core::images::Digest;
use serde_json::{Value, json};

const ACCOUNT: &str = "111122223333";
const IMAGES: usize = 100_000;
/// ECR gives no larger page.
const PAGE: usize = 1000;
/// Each shape is measured so often; the median counts.
const ROUNDS: usize = 5;

fn main() {
    if let Ok(address) = std::env::var("KUBEGUARD_BENCH") {
        return look(&address);
    }
    println!("{:<44} {:>6} {:>9} {:>9} {:>7} {:>9}", "median", "calls", "ours", "transfer", "ratio", "peak RSS");
    for repositories in [1, 100] {
        let registry = Registry::start(repositories);
        let (mut ours, mut theirs, mut peak) = (Vec::new(), Vec::new(), 0);
        let before = registry.calls();
        for _ in 0..ROUNDS {
            let (wall, high) = measured(&registry.address);
            ours.push(wall);
            peak = peak.max(high);
        }
        let calls = (registry.calls() - before) / ROUNDS as u64;
        for _ in 0..ROUNDS {
            theirs.push(transfer(&registry, repositories));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{:<44} {calls:>6} {:>7.0}ms {:>7.0}ms {:>7.2} {:>6} MB",
            format!("{IMAGES} images in {repositories} repositories"),
            ours.as_secs_f64() * 1e3,
            theirs.as_secs_f64() * 1e3,
            ours.as_secs_f64() / theirs.as_secs_f64(),
            peak / 1000,
        );
        // The list of repositories, the caller and three settings; then tags and pages of each.
        assert_eq!(calls, 5 + (repositories + IMAGES / PAGE) as u64, "one listing of each repository and nothing else");
        assert!(peak < 512_000, "a look at {IMAGES} images takes less than 512 MB");
    }
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

/// Runs one look in a process of its own; returns its time and its peak memory in kB.
fn measured(address: &str) -> (Duration, u64) {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    let output = child.env("KUBEGUARD_BENCH", address).stderr(Stdio::inherit()).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("numbers");
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    (Duration::from_micros(next()), next())
}

/// Runs as a child: looks at everything, and prints microseconds and peak memory in kB.
fn look(address: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let credentials = Credentials::new("AKIABENCH", "secret", None, None, "bench");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let access =
        AwsAccess { account: Some(ACCOUNT.to_owned()), endpoint_url: Some(address.to_owned()), ..AwsAccess::default() };
    let cache = ManifestCache::in_memory();
    let now = "2026-06-01T00:00:00Z".parse().expect("a time");
    let look = Look { replication: true, pull_through: true, indexes: true, manifests: &cache, progress: &|_| {}, now };
    let all = |all: &[Repository]| Ok(all.iter().map(|repository| repository.name.clone()).collect());
    let start = Instant::now();
    let seen = runtime.block_on(async {
        let registry = access.open(&config, |retry| panic!("{retry:?}")).await.expect("a registry");
        snapshot(&registry, all, &look).await.expect("a snapshot")
    });
    let wall = start.elapsed();
    assert_eq!(seen.repositories.iter().map(|read| read.entries.len()).sum::<usize>(), IMAGES);
    assert!(seen.repositories.iter().all(|read| read.problem.is_none()));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
    println!("{} {}", wall.as_micros(), high.unwrap_or(0_u64));
}

/// A registry of pages that are ready to be sent.
struct Registry {
    address: String,
    calls: Arc<AtomicU64>,
}

struct Pages {
    repositories: Bytes,
    /// By number of the page in its repository: all repositories hold the same.
    entries: Vec<Bytes>,
    calls: Arc<AtomicU64>,
}

impl Registry {
    /// Serves so many repositories of equal size from a thread of its own, for as long as the process lives.
    fn start(repositories: usize) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let calls = Arc::new(AtomicU64::new(0));
        let pages = Arc::new(Pages::new(repositories, Arc::clone(&calls)));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                while let Ok((connection, _)) = listener.accept().await {
                    let pages = Arc::clone(&pages);
                    let service = service_fn(move |request| answer(Arc::clone(&pages), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(http.serve_connection(TokioIo::new(connection), service));
                }
            });
        });
        Self { address, calls }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Pages {
    fn new(repositories: usize, calls: Arc<AtomicU64>) -> Self {
        let each = IMAGES / repositories;
        let names = (0..repositories).map(|number| {
            let name = format!("team/app-{number}");
            let arn = format!("arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}");
            json!({"repositoryName": name, "repositoryArn": arn, "imageTagMutability": "MUTABLE"})
        });
        let body = |value: &Value| Bytes::from(value.to_string());
        let page = |from: usize| {
            let next = from + PAGE;
            let mut page = json!({"imageDetails": (from..next).map(row).collect::<Value>()});
            if next < each {
                page["nextToken"] = (next / PAGE).to_string().into();
            }
            body(&page)
        };
        Self {
            repositories: body(&json!({"repositories": names.collect::<Value>()})),
            entries: (0..each).step_by(PAGE).map(page).collect(),
            calls,
        }
    }

    fn entries(&self, body: &[u8]) -> Bytes {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        let page = body["nextToken"].as_str().map_or(0, |token| token.parse().expect("a token of ours"));
        self.entries[page].clone()
    }
}

/// An image as `DescribeImages` writes it, with every date that most have.
fn row(number: usize) -> Value {
    json!({
        "registryId": ACCOUNT, "repositoryName": "team/app", "imageDigest": Digest::of(&number.to_le_bytes()),
        "imageTags": [format!("v{number}")], "imageSizeInBytes": 104_857_600, "imagePushedAt": 1_780_000_000 + number,
        "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json", "imageStatus": "ACTIVE",
        "artifactMediaType": "application/vnd.oci.image.config.v1+json", "lastRecordedPullTime": 1_780_100_000 + number,
    })
}

async fn answer(pages: Arc<Pages>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    pages.calls.fetch_add(1, Ordering::Relaxed);
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer = match operation.as_str() {
        "DescribeImages" => pages.entries(&body),
        "DescribeRepositories" => pages.repositories.clone(),
        "DescribeRegistry" => json!({"registryId": ACCOUNT}).to_string().into(),
        "" => format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>{ACCOUNT}</Account>\
             <Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
        )
        .into(),
        _ => Bytes::from_static(b"{}"),
    };
    Ok(Response::new(Full::new(answer)))
}

/// Fetches every page one after the other over one connection, and looks at nothing.
fn transfer(registry: &Registry, repositories: usize) -> Duration {
    let host = registry.address.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).expect("the registry answers");
    let start = Instant::now();
    for _ in 0..repositories {
        for page in 0..IMAGES / repositories / PAGE {
            let body = if page == 0 { json!({}) } else { json!({"nextToken": page.to_string()}) }.to_string();
            let request = format!(
                "POST / HTTP/1.1\r\nhost: {host}\r\nx-amz-target: x.DescribeImages\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(request.as_bytes()).expect("a request");
            drain(&mut connection);
        }
    }
    start.elapsed()
}

/// Reads one answer to its end.
fn drain(connection: &mut TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    let (mut head, mut left) = (Vec::new(), None);
    while left != Some(0) {
        let length = connection.read(&mut buffer).expect("an answer");
        assert!(length > 0, "the answer ends early");
        if let Some(left) = &mut left {
            *left -= length;
            continue;
        }
        head.extend_from_slice(&buffer[..length]);
        let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&head[..end]).to_lowercase();
        let size = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        left = Some(size.expect("a length") + end + 4 - head.len());
    }
}
