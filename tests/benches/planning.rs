//! What a plan costs, by the number of images: `cargo bench -p kubeguard-testkit --bench planning`.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::clusters::{Cluster, ClusterSource, Clusters};
use kubeguard_core::ecr::plan::Plan;
use kubeguard_core::ecr::planning::{Answer, Inputs, plan};
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::snapshot::{
    Entry, MediaType, Reading, RegistrySnapshot, Repository, RepositorySnapshot, Status,
};
use kubeguard_core::images::inventory::{Coverage, Source};
use kubeguard_core::images::{Digest, Inventory, Reference, RegistryId, Use};

const POLICY: &str = r#"
apiVersion: kubeguard.dev/v1
kind: CleanPolicy
rules:
- {name: all, repositories: ["team-*/app-*"], action: delete, keepTags: ["release-*"]}
"#;
/// Images of one repository.
const EACH: usize = 200;

/// The target of the design: so many entries, pods that run in three clusters, and MiB at most.
const TARGET: (usize, usize, u64) = (100_000, 5_000, 512);

fn main() {
    match std::env::var("KUBEGUARD_BENCH").as_deref() {
        Ok("target") => return target(),
        Ok(images) => return measure(images.parse().expect("a number of images")),
        Err(_) => {}
    }
    println!("{:>9}  {:>12} {:>10}  {:>8}  {:>9}", "images", "repositories", "references", "seconds", "peak RSS");
    let this = std::env::current_exe().expect("a program knows its path");
    for images in [250_000_usize, 500_000, 1_000_000] {
        let status = std::process::Command::new(&this).env("KUBEGUARD_BENCH", images.to_string()).status();
        assert!(status.expect("the benchmark starts").success(), "{images} images");
    }
    println!("limits for 1,000,000: 10 s, 1536 MiB; twice the images may take twice the time");
    let status = std::process::Command::new(&this).env("KUBEGUARD_BENCH", "target").status();
    assert!(status.expect("the benchmark starts").success(), "the target is met");
}

/// Plans what the design demands, twice: the bytes are the same. With pods of which every tenth runs a digest that nobody knows.
fn target() {
    let (entries, pods, most) = TARGET;
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
    let policy = Policy::parse("policy", POLICY).expect("a policy");
    let registry = registry(entries, now);
    let names = ["a", "b", "c"];
    let answers = names.map(|name| {
        let inventory = Inventory {
            cluster: name.to_owned(),
            uid: Some(name.to_owned()),
            references: running(pods / names.len(), entries, now),
            ..inventory(&policy, 0, entries, now)
        };
        Answer { cluster: name.to_owned(), inventory: Ok(inventory) }
    });
    let clusters = Clusters { clusters: names.map(cluster).to_vec(), from_file: true };
    let inputs = Inputs {
        policy: &policy,
        clusters: &clusters,
        answers: &answers,
        registry: &registry,
        state: None,
        keep_lists: &[],
        salt: None,
        now,
        tool: "bench",
        offline: false,
    };
    let start = Instant::now();
    let written = |plan: &Plan| serde_json::to_string_pretty(plan).expect("a plan can be written");
    let first = written(&plan(&inputs));
    let seconds = start.elapsed().as_secs_f64();
    assert!(first == written(&plan(&inputs)), "the same inputs give the same bytes");
    let peak = peak() / 1024;
    println!("target: {entries} entries, {pods} pods, 3 clusters: {seconds:.2} s, {peak} MiB of at most {most} MiB");
    assert!(peak <= most, "{peak} MiB");
}

/// Pods with what their specs name and what they run.
fn running(pods: usize, images: usize, now: Timestamp) -> Vec<Reference> {
    let host = RegistryId::new("111122223333", "us-east-1").host();
    let pod = |number: usize| {
        let (repository, at) = (number % (images / EACH), number % EACH);
        let spec = format!("{host}/{}:v{at}", name(repository));
        let digest = Digest::of(format!("{repository}/{at}").as_bytes());
        let nobody = Digest::of(format!("config {number}").as_bytes());
        let ran = if number.is_multiple_of(10) {
            nobody.to_string()
        } else {
            format!("{host}/{}@{digest}", name(repository))
        };
        let days = i64::try_from(number % 90).expect("a small number") + 1;
        let reference = |path: &str, image: String, r#use: Use| Reference {
            namespace: Some(format!("team-{}", number % 100)),
            kind: "ReplicaSet".to_owned(),
            name: format!("web-{number}"),
            path: path.to_owned(),
            image,
            r#use,
            container: Some("app".to_owned()),
            started_at: now.checked_sub(SignedDuration::from_hours(24 * days)).ok(),
            ..Reference::default()
        };
        let status = Reference {
            spec: Some(spec.clone()),
            ..reference("status.containerStatuses[0].imageID", ran, Use::Status)
        };
        [reference("spec.containers[0].image", spec, Use::Pod), status]
    };
    (0..pods).flat_map(pod).collect()
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        source: Some(ClusterSource::Context(name.to_owned())),
        uid: None,
        registries: Vec::new(),
        standby_of: None,
        hibernated_since: None,
        retired: None,
        public_key: None,
        repositories: None,
    }
}

/// Makes one plan in a process of its own, so that its peak is its own.
fn measure(images: usize) {
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
    let policy = Policy::parse("policy", POLICY).expect("a policy");
    let registry = registry(images, now);
    let references = images / 5;
    let answers = [Answer { cluster: "prod".to_owned(), inventory: Ok(inventory(&policy, references, images, now)) }];
    let clusters = Clusters { clusters: vec![cluster("prod")], from_file: true };
    let inputs = Inputs {
        policy: &policy,
        clusters: &clusters,
        answers: &answers,
        registry: &registry,
        state: None,
        keep_lists: &[],
        salt: None,
        now,
        tool: "bench",
        offline: false,
    };
    let start = Instant::now();
    let plan = plan(&inputs);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(plan.images.len(), images, "every entry is in the plan");
    println!("{images:>9}  {:>12} {references:>10}  {seconds:>8.2}  {:>5} MiB", images / EACH, peak() / 1024);
}

/// Returns the peak of resident memory in KiB, inputs included.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
    high.unwrap_or(0)
}

fn name(repository: usize) -> String {
    format!("team-{}/app-{repository}", repository % 100)
}

fn registry(images: usize, now: Timestamp) -> RegistrySnapshot {
    let media_type = MediaType::new("application/vnd.oci.image.manifest.v1+json");
    let artifact = MediaType::new("application/vnd.oci.image.config.v1+json");
    let repositories = (0..images / EACH).map(|repository| {
        let entries = (0..EACH).map(|at| {
            let days = i64::try_from(at).expect("a small number") + 1;
            Entry {
                digest: Digest::of(format!("{repository}/{at}").as_bytes()),
                tags: if at % 3 == 0 { Vec::new() } else { vec![format!("v{at}")] },
                pushed_at: now.checked_sub(SignedDuration::from_hours(24 * days)).ok(),
                bytes: Some(100 << 20),
                media_type: Some(media_type.clone()),
                artifact_type: Some(artifact.clone()),
                last_pulled_at: None,
                subject: None,
                status: Status::Active,
                last_archived_at: None,
                last_activated_at: None,
                conflicting: false,
            }
        });
        RepositorySnapshot {
            repository: Repository {
                name: name(repository),
                arn: format!("arn:aws:ecr:us-east-1:111122223333:repository/{}", name(repository)),
                immutable_tags: false,
            },
            aws_tags: BTreeMap::new(),
            entries: entries.collect(),
            indexes: BTreeMap::new(),
            configs: BTreeMap::new(),
            layers: BTreeMap::new(),
            manifests_read: Vec::new(),
            problem: None,
        }
    });
    RegistrySnapshot {
        registry: RegistryId::new("111122223333", "us-east-1"),
        caller: "arn:aws:sts::111122223333:assumed-role/plan/bench".to_owned(),
        caller_account: "111122223333".to_owned(),
        taken_at: now,
        replication: Reading::Read(Vec::new()),
        pull_through: Reading::Read(Vec::new()),
        exclusions: Reading::Read(Vec::new()),
        repositories: repositories.collect(),
    }
}

fn inventory(policy: &Policy, references: usize, images: usize, now: Timestamp) -> Inventory {
    let host = RegistryId::new("111122223333", "us-east-1").host();
    let references = (0..references).map(|number| {
        let repository = number % (images / EACH);
        Reference {
            namespace: Some(format!("team-{}", number % 100)),
            kind: "Deployment".to_owned(),
            name: format!("web-{number}"),
            path: "spec.template.spec.containers[0].image".to_owned(),
            image: format!("{host}/{}:v{}", name(repository), number % EACH),
            r#use: Use::Template,
            container: Some("app".to_owned()),
            ..Reference::default()
        }
    });
    Inventory {
        api_version: Inventory::API_VERSION.to_owned(),
        kind: Inventory::KIND.to_owned(),
        cluster: "prod".to_owned(),
        uid: Some("prod".to_owned()),
        source: Source::Live,
        server: None,
        tool: "bench".to_owned(),
        started_at: now,
        taken_at: now,
        complete: true,
        scan: policy.scan.clone(),
        kinds: Vec::new(),
        platforms: Vec::new(),
        references: references.collect(),
        pinned: Vec::new(),
        rewritten: Vec::new(),
        suspicious: Vec::new(),
        coverage: Coverage::default(),
        hashed: None,
        sha256: String::new(),
        signature: None,
    }
}
