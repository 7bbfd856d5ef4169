//! A registry, clusters and a policy, planned and applied in one place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::apply::{Applied, Apply, Demands, FileLease, Fresh, Journal, Past};
use kubeguard_core::ecr::clusters::{Cluster, ClusterSource, Clusters};
use kubeguard_core::ecr::look::{self, Look};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::plan::Plan;
use kubeguard_core::ecr::planning::{self, Answer, Inputs};
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::snapshot::{RegistrySnapshot, Repository};
use kubeguard_core::error::Result;
use kubeguard_core::images::inventory::{Coverage, Scan, Source};
use kubeguard_core::images::{Digest, Inventory, Reference};

use crate::store::{Content, Pair, Store, now};

pub(crate) const POLICY: &str = r#"
apiVersion: kubeguard.dev/v1
kind: CleanPolicy
caps: {share: "off", perRepository: "off", perRun: "off"}
apply: {requestsPerSecond: 50}
rules:
- {name: all, repositories: ["*"], action: delete, minAge: 1h, keepNewest: 1, keepUsedWithin: 0, keepDeployed: 0, foreignPullMinAge: 0, quarantine: "off", orphanedArtifacts: delete}
"#;

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) policy: Policy,
    pub(crate) clusters: Clusters,
    pub(crate) cache: ManifestCache,
    pub(crate) folder: tempfile::TempDir,
    /// Where journal and lock are.
    pub(crate) place: PathBuf,
    pub(crate) complete: std::sync::atomic::AtomicBool,
    pub(crate) interrupted: std::sync::atomic::AtomicBool,
}

pub(crate) fn old(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * 120) + SignedDuration::from_mins(minutes)
}

/// Images `v0`, `v1` … of one repository, the last the newest.
pub(crate) fn images(number: usize) -> (Content, Vec<Digest>) {
    let mut content = Content::default();
    let add = |at: usize| content.add(&format!("v{at}"), &[format!("v{at}")], &[], None, old(at.try_into().unwrap()));
    let digests = (0..number).map(add).collect();
    (content, digests)
}

/// 300 images: most alone, some in indexes, some signed.
pub(crate) fn fleet() -> Content {
    let (mut content, digests) = images(240);
    for at in 0..20_i64 {
        let child = content.add(&format!("child{at}"), &[], &[], None, old(-at));
        let index = content.add(&format!("index{at}"), &[format!("multi{at}")], &[child], None, old(-at));
        let subject = digests.get(usize::try_from(at).unwrap()).copied().unwrap_or(index);
        content.add(&format!("sig{at}"), &[format!("sha256-{}.sig", subject.hex())], &[], None, old(-at));
    }
    content
}

/// A folder in memory where there is one: thousands of journals are synced.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) fn pause(_: std::time::Duration) -> BoxFuture<'static, ()> {
    Box::pin(tokio::task::yield_now())
}

impl World {
    pub(crate) fn new(content: Content, pair: Pair) -> Self {
        Self::with(POLICY, BTreeMap::from([("app".to_owned(), content)]), pair)
    }

    pub(crate) fn with(policy: &str, content: BTreeMap<String, Content>, pair: Pair) -> Self {
        let cluster = Cluster {
            name: "prod".to_owned(),
            source: Some(ClusterSource::Context("prod".to_owned())),
            uid: None,
            registries: Vec::new(),
            standby_of: None,
            hibernated_since: None,
            retired: None,
            public_key: None,
            repositories: None,
        };
        let folder = folder();
        Self {
            store: Store::new(content, pair),
            policy: Policy::parse("policy.yaml", policy).unwrap(),
            clusters: Clusters { clusters: vec![cluster], from_file: true },
            cache: ManifestCache::in_memory(),
            place: folder.path().to_owned(),
            folder,
            complete: true.into(),
            interrupted: false.into(),
        }
    }

    pub(crate) fn clock(&self) -> Timestamp {
        now()
    }

    pub(crate) fn deploy(&self, reference: &str) {
        let host = kubeguard_core::images::RegistryId::new(crate::store::ACCOUNT, "us-east-1").host();
        self.store.lock().deployed.push(format!("{host}/{reference}"));
    }

    fn inventory(&self) -> Vec<Answer> {
        let mut inner = self.store.lock();
        let deployed = inner.deployed.clone();
        inner.told.extend(deployed.iter().cloned());
        drop(inner);
        let reference = |(at, image): (usize, String)| Reference {
            namespace: Some("team".to_owned()),
            kind: "Deployment".to_owned(),
            name: format!("web{at}"),
            path: "spec.template.spec.containers[0].image".to_owned(),
            image,
            ..Reference::default()
        };
        let inventory = Inventory {
            api_version: "kubeguard.dev/v1".to_owned(),
            kind: "ImageInventory".to_owned(),
            cluster: "prod".to_owned(),
            uid: Some("uid".to_owned()),
            source: Source::Live,
            server: None,
            tool: "test".to_owned(),
            started_at: now(),
            taken_at: now(),
            complete: self.complete.load(Ordering::Relaxed),
            scan: Scan::default(),
            kinds: Vec::new(),
            platforms: Vec::new(),
            references: deployed.into_iter().enumerate().map(reference).collect(),
            pinned: Vec::new(),
            rewritten: Vec::new(),
            suspicious: Vec::new(),
            coverage: Coverage::default(),
            hashed: None,
            sha256: String::new(),
            signature: None,
        };
        vec![Answer { cluster: "prod".to_owned(), inventory: Ok(inventory) }]
    }

    pub(crate) async fn look(&self) -> RegistrySnapshot {
        let look = Look {
            replication: true,
            pull_through: true,
            indexes: true,
            manifests: &self.cache,
            progress: &|_| {},
            now: now(),
        };
        let all = |all: &[Repository]| Ok(all.iter().map(|one| one.name.clone()).collect());
        look::snapshot(&self.store, all, &look).await.unwrap()
    }

    pub(crate) async fn plan(&self) -> Plan {
        let registry = self.look().await;
        planning::plan(&Inputs {
            policy: &self.policy,
            clusters: &self.clusters,
            answers: &self.inventory(),
            registry: &registry,
            state: None,
            keep_lists: &[],
            salt: None,
            now: now(),
            tool: "test",
            offline: false,
        })
    }

    pub(crate) fn journal(&self, plan: &Plan) -> PathBuf {
        self.place.join(Journal::name(&plan.sha256))
    }

    pub(crate) fn lease(&self, holder: &str) -> FileLease {
        FileLease::new(self.place.join("lock"), "here", holder, now)
    }

    pub(crate) async fn apply(&self, plan: &Plan) -> Applied {
        self.try_apply(plan).await.unwrap()
    }

    pub(crate) async fn try_apply(&self, plan: &Plan) -> Result<Applied> {
        let (journal, past) = Journal::open(&self.journal(plan), &plan.sha256)?.unwrap();
        self.run(plan, Some(journal), past, Demands::default()).await
    }

    pub(crate) async fn rehearse(&self, plan: &Plan) -> Applied {
        self.run(plan, None, Past::default(), Demands::default()).await.unwrap()
    }

    pub(crate) async fn run(
        &self,
        plan: &Plan,
        journal: Option<Journal>,
        past: Past,
        demands: Demands<'_>,
    ) -> Result<Applied> {
        let fresh = Fresh::new(&self.policy, &self.clusters, None, &[], "test", || async {
            tokio::task::yield_now().await;
            Ok(self.inventory())
        });
        let apply = Apply {
            plan,
            demands,
            registry: &self.store,
            evidence: &fresh,
            manifests: &self.cache,
            clock: &|| self.clock(),
            pause: &pause,
            interrupted: &|| self.interrupted.load(Ordering::Relaxed),
            progress: &|_| {},
        };
        match journal {
            Some(journal) => apply.run(journal, past, &self.lease("me")).await,
            None => apply.rehearse(past).await,
        }
    }

    pub(crate) fn entries(&self, repository: &str) -> Vec<Digest> {
        self.store.lock().content[repository].entries.keys().copied().collect()
    }
}
