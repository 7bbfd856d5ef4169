//! A row's servers, and one run against them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::access::{self, Access, Environment};
use kubeguard_core::ecr::apply::{Applied, Apply, Demands, FileLease, Fresh, Journal};
use kubeguard_core::ecr::clusters::{Cluster, ClusterSource, Clusters, Retired};
use kubeguard_core::ecr::look::{self, Look};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::plan::{Decision, Plan, PlanFinding, RefusalReason};
use kubeguard_core::ecr::planning::{Answer, Inputs, KeptImage, configs_to_read, plan};
use kubeguard_core::ecr::policy::{Assumption, Policy, Window};
use kubeguard_core::ecr::snapshot::{ProblemKind, RegistrySnapshot};
use kubeguard_core::ecr::state::{CleanState, EntryHistory, KeyUse, KnownCluster, RepositoryHistory, TagHistory};
use kubeguard_core::ecr::verify::verify;
use kubeguard_core::images::gather::{Reading, read};
use kubeguard_core::images::{Digest, RegistryId, Salt};
use kubeguard_testkit::fake_ecr::{
    ACCESS_KEY, ACCOUNT, Calls, Direct, Fault, Lifecycle, Pairs, Push, REGION, Store, config_digest, image, index,
};
use kubeguard_testkit::{FakeCluster, FakeEcr, Fault as ClusterFault};
use serde_json::{Value, json};

use crate::row::{Act, History, OLD, Row, Told, Written, digest};

const NOW: &str = "2026-11-22T10:00:00Z";
const TOOL: &str = "kubeguard";
/// Kinds that every cluster serves.
const KINDS: [(&str, &str, &str); 13] = [
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
    ("", "Secret", "secrets"),
];

/// Entries by repository and digest, each with its tags.
pub(crate) type Content = BTreeMap<(String, Digest), BTreeSet<String>>;

pub(crate) struct World {
    pub(crate) ecr: FakeEcr,
    pub(crate) id: RegistryId,
    clusters: Arc<BTreeMap<String, FakeCluster>>,
    connected: tokio::sync::OnceCell<Vec<(String, access::Cluster)>>,
    declared: Clusters,
    hashed: BTreeSet<String>,
    written_policy: String,
    policy: Policy,
    cache: ManifestCache,
    state: CleanState,
    keep_lists: Vec<KeptImage>,
    salt: Salt,
    folder: tempfile::TempDir,
    access_key: Arc<Mutex<String>>,
}

fn new_salt() -> Salt {
    Salt::new(b"what nobody can guess").expect("it is long enough")
}

fn hours(hours: f64) -> SignedDuration {
    SignedDuration::from_secs_f64(hours * 3600.0)
}

fn ago(time: f64) -> Timestamp {
    NOW.parse::<Timestamp>().expect("a time") - hours(time)
}

/// Replaces `HOST`, `<name>` and `<hex name>`.
fn spelt(text: &str, row: &Row, store: &Store, registry: &RegistryId) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('<') {
        let (name, after) = after.split_once('>').unwrap_or((after, ""));
        out.push_str(before);
        match (name.strip_prefix("hex "), row.configs.iter().find(|(_, config)| *config == name)) {
            (Some(name), _) => out.push_str(&digest(store, name).hex()),
            (None, Some((entry, _))) => out.push_str(&config_digest(entry).to_string()),
            (None, None) => out.push_str(&digest(store, name).to_string()),
        }
        rest = after;
    }
    out.push_str(rest);
    out.replace("HOST", &registry.host())
}

fn everywhere(value: Value, spell: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => spell(&text).into(),
        Value::Array(items) => items.into_iter().map(|item| everywhere(item, spell)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, everywhere(value, spell))).collect(),
        other => other,
    }
}

fn pushed(written: &Written, spell: impl Fn(&str) -> String) -> Push {
    let mut push = if written.children.is_empty() { image(&written.name) } else { index(&written.name) };
    for child in &written.children {
        // Nobody has pushed what is gone.
        push = if child.starts_with("GONE") { push.lacking(child) } else { push.children([child.as_str()]) };
    }
    for tag in written.tags.iter().flatten() {
        push = push.tag(&spell(tag));
    }
    if let Some(subject) = &written.subject {
        push = push.subject(subject.as_str());
    }
    if let Some(kind) = &written.artifact {
        push = push.kind(kind);
    }
    if !written.layers.is_empty() {
        let layers: Vec<(&str, u64)> = written.layers.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        push = push.layers(&layers);
    }
    push = match written.hours_ago {
        Some(time) => push.age(hours(time)),
        None => push.undated(),
    };
    if let Some(time) = written.archived_hours_ago {
        push = push.archived(hours(time));
    }
    match written.pulled_hours_ago {
        Some(time) => push.pulled(hours(time)),
        None => push,
    }
}

/// Pushes a row's entries: what others list, sign or carry first.
fn fill(row: &Row, store: &mut Store, registry: &RegistryId) {
    let mut waiting = row.written();
    let names: BTreeSet<String> = waiting.iter().map(|written| written.name.clone()).collect();
    while !waiting.is_empty() {
        let pushed_before = waiting.len();
        for written in std::mem::take(&mut waiting) {
            let tags = written.tags.iter().flatten();
            let signed = tags.filter_map(|tag| Some(tag.split_once("<hex ")?.1.split_once('>')?.0));
            let mut needed = signed.chain(written.children.iter().chain(&written.subject).map(String::as_str));
            if needed.any(|name| names.contains(name) && store.labelled(name).is_none()) {
                waiting.push(written);
                continue;
            }
            let push = pushed(&written, |text| spelt(text, row, store, registry));
            store.push((registry, written.repository.as_str()), push);
        }
        assert!(waiting.len() < pushed_before, "{}: entries that name each other", row.id);
    }
    if row.generated > 0 {
        store.generate((registry, "app"), row.generated, hours(OLD));
    }
    for number in 0..row.indexes {
        let children = ["a", "b"].map(|child| format!("i{number}-{child}"));
        let push =
            index(&format!("i{number}")).tag(&format!("m{number}")).children(children.each_ref().map(String::as_str));
        store.push((registry, "app"), push.age(hours(OLD)));
    }
    for repository in 0..row.repositories {
        for number in 1..=3 {
            let push = image(&format!("r{repository}-{number}")).tag(&format!("v{number}"));
            store.push((registry, format!("r{repository}").as_str()), push.age(hours(OLD - f64::from(number))));
        }
    }
}

fn settings(row: &Row, store: &mut Store, registry: &RegistryId) {
    for rule in &row.replication {
        store.replicate(registry, &[&rule.destination.0], None, rule.deletes);
    }
    for rule in &row.pull_through {
        let mut written = json!({"ecrRepositoryPrefix": rule.prefix, "upstreamRegistryUrl": rule.upstream});
        if let Some(prefix) = &rule.upstream_prefix {
            written["upstreamRepositoryPrefix"] = prefix.clone().into();
        }
        store.registry(registry).pull_through.push(written);
    }
    for (repository, tags) in &row.aws_tags {
        store.repository((registry, repository.as_str())).aws_tags.clone_from(tags);
    }
    for (repository, previewed) in &row.lifecycle {
        let mut lifecycle = Lifecycle::new(&previewed.policy.to_string());
        lifecycle.polls = 0;
        for (priority, entries) in &previewed.expires {
            lifecycle = entries.iter().fold(lifecycle, |own, entry| own.expires(digest(store, entry), *priority));
        }
        for (priority, entries) in &previewed.archives {
            lifecycle = entries.iter().fold(lifecycle, |own, entry| own.archives(digest(store, entry), *priority));
        }
        store.repository((registry, repository.as_str())).lifecycle = Some(lifecycle);
    }
    for setting in &row.unreadable {
        let operation = match setting.as_str() {
            "replication" => "DescribeRegistry",
            "pullThrough" => "DescribePullThroughCacheRules",
            "exclusions" => "ListPullTimeUpdateExclusions",
            other => panic!("no setting is called {other:?}"),
        };
        store.fail(operation, Calls::All, Fault::AccessDenied);
    }
    for (repository, problem) in &row.problems {
        let (operation, fault) = match problem {
            ProblemKind::AccessDenied => ("DescribeImages", Fault::AccessDenied),
            ProblemKind::RegistryUnreadable => ("DescribeImages", Fault::Server),
            ProblemKind::ManifestUnreadable => ("BatchGetImage", Fault::AccessDenied),
        };
        store.fail_in(repository, operation, Calls::All, fault);
    }
}

fn collection(object: &Value) -> (String, String, String, String) {
    let version = object["apiVersion"].as_str().unwrap_or("apps/v1");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = object["kind"].as_str().expect("an object has a kind");
    let plural = format!("{}s", kind.to_lowercase());
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let path = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{plural}"),
    };
    (group.to_owned(), version.to_owned(), plural, path)
}

fn deployment(name: &str, image: &str) -> Value {
    let image = if image.starts_with('@') { format!("HOST/app{image}") } else { format!("HOST/app:{image}") };
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "team", "name": name},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}})
}

fn cluster(name: &str, told: &Told, spell: &impl Fn(&str) -> String) -> FakeCluster {
    let fake = FakeCluster::start();
    fake.date(&ago(told.hours_old).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    let uid = told.uid.clone().unwrap_or_else(|| format!("uid-{name}"));
    fake.put(
        "/api/v1/namespaces",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": uid}}),
    );
    for (group, kind, plural) in KINDS {
        fake.serve(group, "v1", kind, plural);
    }
    let used = told.uses.iter().enumerate().map(|(at, image)| deployment(&format!("web-{at}"), image));
    for object in used.chain(told.objects.iter().cloned()) {
        let (group, version, plural, path) = collection(&object);
        if !KINDS.iter().any(|known| (known.0, known.2) == (group.as_str(), plural.as_str())) {
            fake.serve(&group, &version, object["kind"].as_str().unwrap_or_default(), &plural);
        }
        fake.put(&path, everywhere(object, spell));
    }
    if told.missing.is_some() {
        fake.fail("get", "kube-system", ClusterFault::Status(403, "Forbidden"), None);
    }
    if let Some(kind) = &told.incomplete {
        fake.fail("list", &format!("/{kind}?"), ClusterFault::Status(403, "Forbidden"), None);
    }
    if let Some(items) = told.pages {
        fake.page_size(items);
    }
    if told.forgets {
        fake.fail("list", "continue=", ClusterFault::Status(410, "Expired"), Some(1));
    }
    fake
}

impl World {
    pub(crate) fn new(row: &Row, pairs: Pairs) -> Self {
        let id = RegistryId::new(ACCOUNT, row.registry.as_deref().unwrap_or(REGION));
        let mut store = Store::new(NOW.parse().expect("a time"));
        store.behaviour.pairs = pairs;
        fill(row, &mut store, &id);
        settings(row, &mut store, &id);
        let known = if row.stranger { "AKIASTRANGER" } else { ACCESS_KEY };
        let mut access_key = known.to_owned();
        if let Some(account) = &row.caller {
            access_key = sign_in(&mut store, account);
            store.registry(&id).grants.insert(account.clone());
            let own = RegistryId::new(account, &id.region);
            store.push((&own, "app"), image("OWN").tag("v2").age(hours(OLD)));
            store.push((&own, "app"), image("OWN2").tag("v1").age(hours(OLD)));
        }
        let spell = |text: &str| spelt(text, row, &store, &id);
        let clusters = row.clusters.iter().map(|(name, told)| (name.clone(), cluster(name, told, &spell)));
        let clusters = Arc::new(clusters.collect());
        let written_policy = everywhere(row.policy.clone(), &spell).to_string();
        // One that is no policy is for the binary to refuse.
        let policy = Policy::parse("row", &written_policy);
        let policy = policy.or_else(|error| if row.runs.is_empty() { Err(error) } else { usual_policy() });
        let policy = policy.unwrap_or_else(|error| panic!("{}: {error}", row.id));
        let line = |image: &String| KeptImage { image: image.clone(), source: "keep.txt:1".to_owned() };
        Self {
            connected: tokio::sync::OnceCell::new(),
            declared: declared(row),
            hashed: row.clusters.iter().filter(|(_, told)| told.hashed).map(|(name, _)| name.clone()).collect(),
            state: state(row, &store, &id),
            salt: salt(),
            keep_lists: row.keep_lists.iter().map(line).collect(),
            salt: new_salt(),
            ecr: FakeEcr::new(store),
            id,
            clusters,
            written_policy,
            policy,
            cache: ManifestCache::in_memory(),
            folder: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder"),
            access_key: Arc::new(Mutex::new(access_key)),
        }
    }

    fn registry(&self) -> Direct {
        self.ecr.direct_as(&self.access_key(), self.id.clone())
    }

    pub(crate) fn access_key(&self) -> String {
        self.access_key.lock().expect("a key").clone()
    }

    pub(crate) fn cluster_url(&self, name: &str) -> &str {
        self.clusters[name].url()
    }

    /// Returns the policy as a file.
    pub(crate) fn policy_text(&self) -> String {
        self.written_policy.clone()
    }

    fn now(&self) -> Timestamp {
        self.ecr.store().now()
    }

    pub(crate) fn digest(&self, name: &str) -> Digest {
        digest(&self.ecr.store(), name)
    }

    pub(crate) fn content(&self) -> Content {
        let mut store = self.ecr.store();
        let repositories = store.registry(&self.id).repositories.iter();
        let entries = repositories.flat_map(|(name, repository)| {
            let tagged = |entry: &kubeguard_testkit::fake_ecr::Entry| {
                ((name.clone(), entry.digest), entry.tags.iter().cloned().collect())
            };
            repository.entries().map(tagged)
        });
        entries.collect()
    }

    async fn connect(&self) -> Vec<(String, access::Cluster)> {
        let mut connected = Vec::new();
        for (name, fake) in &*self.clusters {
            let access = Access {
                server: Some(fake.url().to_owned()),
                request_timeout: Some(Duration::from_secs(30)),
                ..Access::default()
            };
            connected.push((name.clone(), access.connect(&Environment::default()).await.expect("an address")));
        }
        connected
    }

    async fn answers(&self) -> Vec<Answer> {
        let hosts = self.policy.hosts();
        let mut answers = Vec::new();
        for (name, cluster) in self.connected.get_or_init(|| self.connect()).await {
            let reading = Reading { cluster: name, scan: &self.policy.scan, hosts: &hosts, tool: TOOL };
            let inventory = read(cluster, reading, || self.now(), |_| {}).await;
            let inventory = inventory.map(|inventory| {
                let hides = self.hashed.contains(name);
                if hides { inventory.hashed(&self.salt, &self.policy.maps()) } else { inventory }
            });
            let inventory = inventory.map_err(|error| (RefusalReason::InventoryMissing, error.to_string()));
            answers.push(Answer { cluster: name.clone(), inventory });
        }
        answers
    }

    async fn look(&self, row: &Row, answers: &[Answer]) -> RegistrySnapshot {
        let look = Look {
            replication: self.policy.replication.assume == Assumption::Read,
            pull_through: self.policy.pull_through_rules == Assumption::Read,
            indexes: true,
            manifests: &self.cache,
            progress: &|_| {},
            now: self.now(),
        };
        let included = |all: &[kubeguard_core::ecr::snapshot::Repository]| {
            let names = all.iter().map(|repository| repository.name.clone());
            Ok(names.filter(|name| self.policy.rule_for(name).is_some()).collect())
        };
        let mut snapshot = look::snapshot(&self.registry(), included, &look).await.expect("a look");
        let wanted = configs_to_read(&self.policy, &snapshot, answers);
        let read = look::read_configs(&self.registry(), &mut snapshot, &wanted, &self.cache).await;
        assert!(read.is_ok(), "{}: manifests cannot be read", row.id);
        snapshot
    }

    fn inputs<'a>(&'a self, answers: &'a [Answer], registry: &'a RegistrySnapshot) -> Inputs<'a> {
        Inputs {
            policy: &self.policy,
            clusters: &self.declared,
            answers,
            registry,
            state: Some(&self.state),
            keep_lists: &self.keep_lists,
            salt: Some(&self.salt),
            now: self.now(),
            tool: TOOL,
            offline: false,
        }
    }

    /// Plans, and verifies by what the plan has seen.
    pub(crate) async fn plan(&self, row: &Row) -> (Plan, Vec<PlanFinding>) {
        let answers = self.answers().await;
        let registry = self.look(row, &answers).await;
        let plan = plan(&self.inputs(&answers, &registry));
        let inventories: Vec<_> = answers.iter().filter_map(|answer| answer.inventory.as_ref().ok()).collect();
        let findings = verify(&plan, &registry, &inventories, &self.policy.hosts());
        (plan, findings)
    }

    /// Lets others do something.
    pub(crate) fn act(&self, acts: &[Act]) {
        let mut store = self.ecr.store();
        for act in acts {
            self.doer()(&mut store, act);
        }
    }

    /// Returns what does things, also from inside of a call.
    fn doer(&self) -> impl Fn(&mut Store, &Act) + Send + 'static {
        let (clusters, id, access_key) = (self.clusters.clone(), self.id.clone(), self.access_key.clone());
        move |store, act| match act {
            Act::Tag(tag, name) => {
                let digest = digest(store, name);
                store.tag((&id, "app"), tag, digest);
            }
            Act::Push(name) => {
                store.push((&id, "app"), image(name));
            }
            Act::Delete(name) => {
                let digest = digest(store, name);
                store.remove((&id, "app"), digest);
            }
            Act::Deploy(cluster, image) => {
                let object = everywhere(deployment("late", image), &|text| text.replace("HOST", &id.host()));
                clusters[cluster].put(&collection(&object).3, object);
            }
            Act::Wait(time) => {
                store.advance(SignedDuration::from_hours(*time));
                let date = store.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                for cluster in clusters.values() {
                    cluster.date(&date);
                }
            }
            Act::SignIn(account) => {
                *access_key.lock().expect("a key") = sign_in(store, account);
                store.registry(&id).grants.insert(account.clone());
            }
            Act::Replicate(region) => {
                let to = RegistryId::new(&id.account, region);
                store.replicate(&id, &[&to], None, true);
            }
        }
    }

    pub(crate) fn set_up_calls(&self, row: &Row) {
        let mut store = self.ecr.store();
        for wrong in &row.faults {
            let fault = wrong.fault(&store);
            store.fail(&wrong.call, wrong.calls(), fault);
        }
        for hook in &row.before {
            let (doer, acts) = (self.doer(), hook.acts.clone());
            store.before(&hook.call, hook.nth, move |store| acts.iter().for_each(|act| doer(store, act)));
        }
    }

    /// Returns how many pages of pods were asked for, in all clusters.
    pub(crate) fn pages_of_pods(&self) -> usize {
        self.clusters.values().map(|cluster| cluster.count("list", "/pods")).sum()
    }

    pub(crate) async fn apply(&self, plan: &Plan) -> Applied {
        let registry = self.registry();
        let fresh = Fresh::new(&self.policy, &self.declared, Some(&self.state), &self.keep_lists, TOOL, || async {
            Ok(self.answers().await)
        });
        let fresh = fresh.with_salt(Some(&self.salt));
        let path = self.folder.path().join(Journal::name(&plan.sha256));
        let (journal, past) = Journal::open(&path, &plan.sha256).expect("a journal").expect("nobody else writes it");
        let store = self.ecr.clone();
        let lease = FileLease::new(self.folder.path().join("lock"), "here", "me", move || store.store().now());
        let apply = Apply {
            plan,
            demands: Demands::default(),
            registry: &registry,
            evidence: &fresh,
            manifests: &self.cache,
            clock: &|| self.now(),
            pause: &pause,
            interrupted: &|| false,
            progress: &|_| {},
        };
        apply.run(journal, past, &lease).await.expect("an outcome")
    }
}

/// Returns a plan whose file somebody has edited by hand.
pub(crate) fn edited(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let kept = plan.images.iter_mut().find(|image| image.decision == Decision::Keep);
    kept.expect("something is kept").decision = Decision::Delete;
    plan
}

/// Nobody waits: the clock is the store's.
fn pause(_: Duration) -> BoxFuture<'static, ()> {
    Box::pin(tokio::task::yield_now())
}

fn usual_policy() -> kubeguard_core::error::Result<Policy> {
    let rule = json!({"name": "any", "repositories": ["app"], "action": "report"});
    Policy::parse("row", &json!({"apiVersion": "kubeguard.dev/v1", "kind": "CleanPolicy", "rules": [rule]}).to_string())
}

fn sign_in(store: &mut Store, account: &str) -> String {
    let key = format!("AKIA{account}");
    store.allow(&key, account, &format!("arn:aws:iam::{account}:user/cleaner"));
    key
}

fn declared(row: &Row) -> Clusters {
    let one = |name: &str| Cluster {
        name: name.to_owned(),
        source: Some(ClusterSource::Context(name.to_owned())),
        uid: None,
        registries: Vec::new(),
        standby_of: None,
        hibernated_since: None,
        retired: None,
        public_key: None,
        repositories: None,
    };
    let told = row.clusters.iter().map(|(name, told)| Cluster {
        registries: told.registries.clone(),
        source: Some(if told.manifests {
            ClusterSource::Manifests(Vec::new())
        } else {
            ClusterSource::Context(name.clone())
        }),
        hibernated_since: told.hibernated.then(|| "2026-10-01".parse().expect("a day")),
        retired: told.retired.map(|at| Retired { at, wait: Window::days(14) }),
        ..one(name)
    });
    let standby = row.standby.iter().map(|standby| Cluster {
        source: None,
        registries: vec![standby.registry.clone()],
        standby_of: Some(standby.of.clone()),
        ..one(&standby.name)
    });
    Clusters { clusters: told.chain(standby).collect(), from_file: true }
}

fn state(row: &Row, store: &Store, registry: &RegistryId) -> CleanState {
    let entry = |(name, seen): (&String, &History)| EntryHistory {
        digest: digest(store, name),
        tags: seen.tags.iter().map(|(tag, time)| TagHistory { tag: tag.clone(), first_seen: ago(*time) }).collect(),
        last_used: seen.last_used_hours.map(ago),
        last_used_by: None,
        candidate_since: seen.candidate_hours.first().map(|time| ago(*time)),
        candidate_plans: seen.candidate_hours.iter().map(|time| ago(*time)).collect(),
        manifest_read_at: None,
        last_seen: None,
    };
    let known = row.dropped.iter().map(|name| KnownCluster {
        uid: "gone".to_owned(),
        name: name.clone(),
        first_seen: ago(OLD),
        last_inventory: ago(OLD),
        retired: false,
    });
    CleanState {
        api_version: "kubeguard.dev/v1".to_owned(),
        kind: "CleanState".to_owned(),
        since: ago(OLD),
        updated_at: ago(0.0),
        registry: registry.clone(),
        clusters: known.collect(),
        plans: Vec::new(),
        repositories: vec![RepositoryHistory {
            name: "app".to_owned(),
            entries: row.state.iter().map(entry).collect(),
        }],
        uses: row
            .recorded
            .iter()
            .map(|(key, time)| KeyUse {
                key: spelt(key, row, store, registry),
                last: ago(*time),
                by: "B/team/CronJob/late".to_owned(),
            })
            .collect(),
        deployed: Vec::new(),
        deleted: Vec::new(),
    }
}
