//! Every row of `tests/scenarios/ecr/plan.yaml`: objects → inventory → plan, without any registry to ask.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails with what differs")]

#[path = "clean_plan/noticed.rs"]
mod noticed;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::clusters::{Cluster, ClusterSource, Clusters, Retired};
use kubeguard_core::ecr::plan::{Decision, Plan, PlannedImage, RefusalReason, VoteKind};
use kubeguard_core::ecr::planning::{Answer, Inputs, KeptImage, plan};
use kubeguard_core::ecr::policy::{Policy, RegistryName, Window};
use kubeguard_core::ecr::snapshot::{
    Child, Entry, IndexManifest, MediaType, Problem, ProblemKind, PullThroughRule, Reading, RegistrySnapshot,
    ReplicationRule, Repository, RepositorySnapshot, Status,
};
use kubeguard_core::ecr::state::{CleanState, EntryHistory, KeyUse, KnownCluster, RepositoryHistory, TagHistory};
use kubeguard_core::images::inventory::{Coverage, Source};
use kubeguard_core::images::{Collector, Digest, Inventory, RegistryId, Salt};
use serde::Deserialize;
use serde_json::{Value, json};

const TABLE: &str = include_str!("../../tests/scenarios/ecr/plan.yaml");
const NOW: &str = "2026-11-22T10:00:00Z";
/// Old, in hours.
const OLD: f64 = 120.0 * 24.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    base: Value,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    id: String,
    #[serde(default)]
    case: String,
    #[serde(default)]
    policy: Value,
    #[serde(default)]
    rule: Value,
    #[serde(default)]
    registry: Option<String>,
    clusters: BTreeMap<String, Told>,
    #[serde(default)]
    standby: Option<Standby>,
    /// Beside D1 to D9, or instead of those of the same name.
    #[serde(default)]
    entries: Vec<Written>,
    /// Configuration of an entry, by name.
    #[serde(default)]
    configs: BTreeMap<String, String>,
    #[serde(default)]
    pull_through: Vec<PullThroughRule>,
    #[serde(default)]
    replication: Vec<Replicated>,
    #[serde(default)]
    unreadable: Vec<String>,
    #[serde(default)]
    problems: BTreeMap<String, ProblemKind>,
    #[serde(default)]
    aws_tags: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    keep_lists: Vec<String>,
    #[serde(default)]
    state: BTreeMap<String, Seen>,
    /// Hours since uses that inventories recorded, by key.
    #[serde(default)]
    recorded: BTreeMap<String, f64>,
    #[serde(default)]
    dropped: Option<String>,
    /// What stays, with a vote that it must have.
    #[serde(default)]
    stay: BTreeMap<String, VoteKind>,
    #[serde(default)]
    go: Vec<String>,
    #[serde(default)]
    archive: Vec<String>,
    #[serde(default)]
    candidates: Vec<String>,
    /// Pairs of which the first must be gone before the second.
    #[serde(default)]
    order: Vec<(String, String)>,
    #[serde(default)]
    refused: Vec<RefusalReason>,
    #[serde(default)]
    foreign: Vec<String>,
    /// What is said of repositories.
    #[serde(default)]
    notes: BTreeMap<String, Vec<String>>,
    /// Rules of which the plan carries a finding, among others.
    #[serde(default)]
    findings: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Told {
    uses: Vec<String>,
    objects: Vec<Value>,
    registries: Vec<RegistryName>,
    uid: Option<String>,
    missing: Option<String>,
    incomplete: Option<String>,
    hours_old: f64,
    hibernated: bool,
    hashed: bool,
    /// Day on which it was taken down; its inventory counts for 14 days more.
    retired: Option<jiff::civil::Date>,
    manifests: bool,
    repositories: Option<Vec<kubeguard_core::ecr::policy::Pattern>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Standby {
    name: String,
    of: String,
    registry: RegistryName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replicated {
    destination: RegistryName,
    deletes: bool,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    #[serde(default = "app")]
    repository: String,
    name: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default = "old")]
    hours_ago: Option<f64>,
    #[serde(default)]
    children: Vec<String>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    artifact: Option<String>,
    #[serde(default)]
    archived_hours_ago: Option<f64>,
    #[serde(default)]
    pulled_hours_ago: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Seen {
    /// Hours since a tag was first seen.
    tags: BTreeMap<String, f64>,
    /// Hours since each plan in which it was a candidate.
    candidate_hours: Vec<f64>,
    last_used_hours: Option<f64>,
}

fn app() -> String {
    "app".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "serde asks for the field's own type")]
fn old() -> Option<f64> {
    Some(OLD)
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn ago(hours: f64) -> Timestamp {
    now() - SignedDuration::from_secs_f64(hours * 3600.0)
}

fn salt() -> Salt {
    Salt::new(b"what nobody can guess").unwrap()
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Replaces `HOST`, `<name>` and `<hex name>`.
fn spelt(text: &str, registry: &RegistryId) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        let (name, after) = after.split_once('>').unwrap_or((after, ""));
        out.push_str(before);
        match name.strip_prefix("hex ") {
            Some(name) => out.push_str(&digest(name).hex()),
            None => out.push_str(&digest(name).to_string()),
        }
        rest = after;
    }
    out.push_str(rest);
    out.replace("HOST", &registry.host())
}

fn everywhere(value: Value, registry: &RegistryId) -> Value {
    match value {
        Value::String(text) => spelt(&text, registry).into(),
        Value::Array(items) => items.into_iter().map(|item| everywhere(item, registry)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, everywhere(value, registry))).collect(),
        other => other,
    }
}

impl Row {
    fn registry_id(&self) -> RegistryId {
        RegistryId::new("111122223333", self.registry.as_deref().unwrap_or("us-east-1"))
    }

    fn policy(&self, base: &Value) -> Policy {
        let mut policy = base.clone();
        for (key, value) in self.policy.as_object().into_iter().flatten() {
            policy[key] = value.clone();
        }
        for (key, value) in self.rule.as_object().into_iter().flatten() {
            policy["rules"][0][key] = value.clone();
        }
        let policy = everywhere(policy, &self.registry_id());
        Policy::parse("row", &policy.to_string())
            .unwrap_or_else(|error| panic!("{}: {error} {:?}", self.id, error.hint()))
    }

    fn written(&self) -> Vec<Written> {
        let single = |number: usize| Written {
            repository: app(),
            name: format!("D{number}"),
            tags: Some(vec![format!("v{number}")]),
            #[expect(clippy::cast_precision_loss, reason = "one digit")]
            hours_ago: Some(OLD - number as f64 / 60.0),
            children: Vec::new(),
            subject: None,
            artifact: None,
            archived_hours_ago: None,
            pulled_hours_ago: None,
        };
        let mut all: Vec<Written> = (1..=9).map(single).collect();
        for own in &self.entries {
            match all.iter_mut().find(|known| known.name == own.name) {
                Some(known) => {
                    let tags = own.tags.clone().or_else(|| known.tags.clone());
                    let same_age = own.hours_ago == Some(OLD);
                    let hours_ago = if same_age { known.hours_ago } else { own.hours_ago };
                    *known = Written { tags, hours_ago, ..own.clone() };
                }
                None => all.push(own.clone()),
            }
        }
        all
    }

    fn snapshot(&self) -> RegistrySnapshot {
        let registry = self.registry_id();
        let mut repositories: BTreeMap<String, RepositorySnapshot> = BTreeMap::new();
        for written in self.written() {
            let name = written.repository.clone();
            let repository = repositories.entry(name.clone()).or_insert_with(|| RepositorySnapshot {
                repository: Repository {
                    name: name.clone(),
                    arn: format!("arn:aws:ecr:{}:111122223333:repository/{name}", registry.region),
                    immutable_tags: false,
                },
                aws_tags: self.aws_tags.get(&name).cloned().unwrap_or_default(),
                entries: Vec::new(),
                indexes: BTreeMap::new(),
                configs: BTreeMap::new(),
                layers: BTreeMap::new(),
                manifests_read: Vec::new(),
                problem: self.problems.get(&name).map(|kind| Problem { kind: *kind, message: "told so".to_owned() }),
            });
            let media_type = if written.children.is_empty() {
                "application/vnd.oci.image.manifest.v1+json"
            } else {
                let children = written.children.iter().map(|child| Child { digest: digest(child), platform: None });
                let index = IndexManifest { children: children.collect(), subject: None, strange: false };
                repository.indexes.insert(digest(&written.name), index);
                "application/vnd.oci.image.index.v1+json"
            };
            let artifact = written.artifact.as_deref().unwrap_or("application/vnd.oci.image.config.v1+json");
            if let Some(config) = self.configs.get(&written.name) {
                repository.configs.insert(digest(&written.name), digest(config));
            }
            repository.entries.push(Entry {
                digest: digest(&written.name),
                tags: written.tags.iter().flatten().map(|tag| spelt(tag, &registry)).collect(),
                pushed_at: written.hours_ago.map(ago),
                bytes: Some(100 << 20),
                media_type: Some(MediaType::new(media_type)),
                artifact_type: written.children.is_empty().then(|| MediaType::new(artifact)),
                last_pulled_at: written.pulled_hours_ago.map(ago),
                subject: written.subject.as_deref().map(digest),
                status: if written.archived_hours_ago.is_some() { Status::Archived } else { Status::Active },
                last_archived_at: written.archived_hours_ago.map(ago),
                last_activated_at: None,
                conflicting: false,
            });
        }
        let unreadable = |what: &str| self.unreadable.iter().any(|known| known == what);
        let replication = self.replication.iter().map(|rule| ReplicationRule {
            destination: rule.destination.0.clone(),
            prefixes: Vec::new(),
            deletes: rule.deletes,
        });
        let failed = || "AccessDeniedException".to_owned();
        RegistrySnapshot {
            registry,
            caller: "arn:aws:sts::111122223333:assumed-role/ecr-clean/ci".to_owned(),
            caller_account: "111122223333".to_owned(),
            taken_at: now(),
            replication: if unreadable("replication") {
                Reading::Failed(failed())
            } else {
                Reading::Read(replication.collect())
            },
            pull_through: if unreadable("pullThrough") {
                Reading::Failed(failed())
            } else {
                Reading::Read(self.pull_through.clone())
            },
            exclusions: if unreadable("exclusions") { Reading::Failed(failed()) } else { Reading::Read(Vec::new()) },
            repositories: repositories.into_values().collect(),
        }
    }

    fn inventory(&self, name: &str, told: &Told, policy: &Policy) -> Inventory {
        let registry = self.registry_id();
        let hosts = policy.hosts();
        let mut collector = Collector::new(&hosts, &policy.scan);
        for image in &told.uses {
            let image = if image.starts_with('@') { format!("HOST/app{image}") } else { format!("HOST/app:{image}") };
            let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "team", "name": "web"},
                "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}});
            collector.add(&everywhere(object, &registry));
        }
        for object in &told.objects {
            collector.add(&everywhere(object.clone(), &registry));
        }
        let found = collector.finish();
        let uid = told.uid.clone().unwrap_or_else(|| format!("uid-{name}"));
        let inventory = Inventory {
            api_version: "kubeguard.dev/v1".to_owned(),
            kind: "ImageInventory".to_owned(),
            cluster: name.to_owned(),
            uid: Some(uid),
            source: Source::Live,
            server: None,
            tool: "kubeguard".to_owned(),
            started_at: ago(told.hours_old),
            taken_at: ago(told.hours_old),
            complete: told.incomplete.is_none(),
            scan: policy.scan.clone(),
            kinds: Vec::new(),
            platforms: Vec::new(),
            references: found.references,
            pinned: found.pinned,
            rewritten: found.rewritten,
            suspicious: found.suspicious,
            coverage: Coverage::default(),
            hashed: None,
            sha256: String::new(),
            signature: None,
        };
        if told.hashed { inventory.hashed(&salt(), &policy.maps()) } else { inventory }
    }

    fn clusters(&self) -> Clusters {
        let cluster = |(name, told): (&String, &Told)| Cluster {
            name: name.clone(),
            source: Some(if told.manifests {
                ClusterSource::Manifests(Vec::new())
            } else {
                ClusterSource::Context(name.clone())
            }),
            uid: None,
            registries: told.registries.clone(),
            standby_of: None,
            hibernated_since: told.hibernated.then(|| "2026-10-01".parse().unwrap()),
            retired: told.retired.map(|at| Retired { at, wait: Window::days(14) }),
            public_key: None,
            repositories: told.repositories.clone(),
        };
        let mut clusters: Vec<Cluster> = self.clusters.iter().map(cluster).collect();
        clusters.extend(self.standby.as_ref().map(|standby| Cluster {
            name: standby.name.clone(),
            source: None,
            uid: None,
            registries: vec![standby.registry.clone()],
            standby_of: Some(standby.of.clone()),
            hibernated_since: None,
            retired: None,
            public_key: None,
            repositories: None,
        }));
        Clusters { clusters, from_file: true }
    }

    fn state(&self) -> CleanState {
        let entry = |(name, seen): (&String, &Seen)| EntryHistory {
            digest: digest(name),
            tags: seen
                .tags
                .iter()
                .map(|(tag, hours)| TagHistory { tag: tag.clone(), first_seen: ago(*hours) })
                .collect(),
            last_used: seen.last_used_hours.map(ago),
            last_used_by: None,
            candidate_since: seen.candidate_hours.first().map(|hours| ago(*hours)),
            candidate_plans: seen.candidate_hours.iter().map(|hours| ago(*hours)).collect(),
            manifest_read_at: None,
            last_seen: None,
        };
        CleanState {
            api_version: "kubeguard.dev/v1".to_owned(),
            kind: "CleanState".to_owned(),
            since: ago(OLD),
            updated_at: now(),
            registry: self.registry_id(),
            clusters: self
                .dropped
                .iter()
                .map(|name| KnownCluster {
                    uid: "gone".to_owned(),
                    name: name.clone(),
                    first_seen: ago(OLD),
                    last_inventory: ago(OLD),
                    retired: false,
                })
                .collect(),
            plans: Vec::new(),
            repositories: vec![RepositoryHistory { name: app(), entries: self.state.iter().map(entry).collect() }],
            uses: self
                .recorded
                .iter()
                .map(|(key, hours)| KeyUse {
                    key: spelt(key, &self.registry_id()),
                    last: ago(*hours),
                    by: "B/team/CronJob/late".to_owned(),
                })
                .collect(),
            deployed: Vec::new(),
            deleted: Vec::new(),
        }
    }

    fn plan(&self, base: &Value, reversed: bool) -> Plan {
        self.made(base, reversed, &self.state(), |plan, _| plan)
    }

    /// Returns what is known after a plan of this row, of which nothing was known but `before`.
    fn after(&self, base: &Value, before: &CleanState) -> CleanState {
        self.made(base, false, before, |plan, inputs| before.after(&plan, inputs))
    }

    fn made<T>(
        &self,
        base: &Value,
        reversed: bool,
        state: &CleanState,
        with: impl FnOnce(Plan, &Inputs<'_>) -> T,
    ) -> T {
        let (policy, clusters, mut registry) = (self.policy(base), self.clusters(), self.snapshot());
        let answer = |(name, told): (&String, &Told)| Answer {
            cluster: name.clone(),
            inventory: match &told.missing {
                Some(message) => Err((RefusalReason::InventoryMissing, message.clone())),
                None => Ok(self.inventory(name, told, &policy)),
            },
        };
        let mut answers: Vec<Answer> = self.clusters.iter().map(answer).collect();
        let line = |image: &String| KeptImage { image: image.clone(), source: "keep.txt:1".to_owned(), in_use: false };
        let mut keep_lists: Vec<KeptImage> = self.keep_lists.iter().map(line).collect();
        if reversed {
            answers.reverse();
            keep_lists.reverse();
            registry.repositories.reverse();
            for repository in &mut registry.repositories {
                repository.entries.reverse();
                for entry in &mut repository.entries {
                    entry.tags.reverse();
                }
            }
            for answer in &mut answers {
                if let Ok(inventory) = &mut answer.inventory {
                    inventory.references.reverse();
                    inventory.suspicious.reverse();
                }
            }
        }
        let inputs = Inputs {
            policy: &policy,
            clusters: &clusters,
            answers: &answers,
            registry: &registry,
            state: Some(state),
            keep_lists: &keep_lists,
            salt: Some(&salt()),
            now: now(),
            tool: "kubeguard",
            offline: false,
        };
        with(plan(&inputs), &inputs)
    }

    fn answer(&self, name: &str, policy: &Policy) -> Answer {
        Answer { cluster: name.to_owned(), inventory: Ok(self.inventory(name, &self.clusters[name], policy)) }
    }

    /// Makes something of inventories and a registry that a test has changed.
    fn made_of<T>(
        &self,
        policy: &Policy,
        inventories: Vec<Inventory>,
        registry: &RegistrySnapshot,
        state: &CleanState,
        make: impl FnOnce(&Inputs<'_>) -> T,
    ) -> T {
        let answer = |inventory: Inventory| Answer { cluster: inventory.cluster.clone(), inventory: Ok(inventory) };
        let (answers, clusters): (Vec<Answer>, _) = (inventories.into_iter().map(answer).collect(), self.clusters());
        make(&Inputs {
            policy,
            clusters: &clusters,
            answers: &answers,
            registry,
            state: Some(state),
            keep_lists: &[],
            salt: None,
            now: now(),
            tool: "kubeguard",
            offline: false,
        })
    }

    fn check(&self, plan: &Plan) {
        let row = format!("{} {}", self.id, self.case);
        let find = |name: &String| -> &PlannedImage {
            let wanted = digest(name);
            plan.images.iter().find(|image| image.digest == wanted).unwrap_or_else(|| panic!("{row}: no {name}"))
        };
        let refused: Vec<RefusalReason> = plan.refused.iter().map(|refused| refused.reason).collect();
        for reason in &self.refused {
            assert!(refused.contains(reason), "{row}: {refused:?}");
        }
        assert_eq!(refused.is_empty(), self.refused.is_empty(), "{row}: {:?}", plan.refused);
        if !self.refused.is_empty() {
            let planned: Vec<_> = plan.images.iter().filter(|image| image.decision != Decision::Keep).collect();
            assert!(planned.is_empty(), "{row}: {planned:?}");
        }
        for (name, vote) in &self.stay {
            let image = find(name);
            assert_eq!(image.decision, Decision::Keep, "{row}: {name}");
            assert!(image.kept.iter().any(|kept| kept.vote == *vote), "{row}: {name}: {:?}", image.kept);
        }
        for (names, decision) in [(&self.go, Decision::Delete), (&self.archive, Decision::Archive)] {
            for name in names {
                let image = find(name);
                assert_eq!(image.decision, decision, "{row}: {name}: {:?}", image.kept);
                assert!(image.kept.is_empty(), "{row}: {name}");
            }
        }
        for name in &self.candidates {
            let image = find(name);
            assert!(image.candidate && image.kept.is_empty() && image.decision == Decision::Keep, "{row}: {name}");
        }
        for (first, second) in &self.order {
            assert!(find(first).order < find(second).order, "{row}: {first} before {second}");
        }
        let foreign: Vec<&str> = plan.foreign.iter().map(|foreign| foreign.image.as_str()).collect();
        for image in &self.foreign {
            assert!(foreign.contains(&image.as_str()), "{row}: {foreign:?}");
        }
        for (name, notes) in &self.notes {
            let repository = plan.repositories.iter().find(|repository| repository.name == *name).unwrap();
            assert!(notes.iter().all(|note| repository.notes.contains(note)), "{row}: {:?}", repository.notes);
        }
        for rule in &self.findings {
            assert!(plan.findings.iter().any(|finding| finding.rule == *rule), "{row}: {rule}: {:?}", plan.findings);
        }
    }
}

fn table() -> Table {
    serde_saphyr::from_str(TABLE).unwrap()
}

#[test]
fn every_row_holds() {
    let table = table();
    let holds = |row: &&Row| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| row.check(&row.plan(&table.base, false)))).is_ok()
    };
    let fail: Vec<String> =
        table.rows.iter().filter(|row| !holds(row)).map(|row| format!("{} {}", row.id, row.case)).collect();
    assert!(fail.is_empty(), "{fail:#?}");
}

#[test]
fn what_is_hidden_keeps_the_same() {
    let table = table();
    for mut row in table.rows {
        let plain = row.plan(&table.base, false);
        // Whom a standby stands by for must say where it pulls, as its references do not.
        let standby_of = row.standby.as_ref().map(|standby| standby.of.clone());
        for (name, told) in &mut row.clusters {
            told.hashed = true;
            if standby_of.as_ref() == Some(name) && told.registries.is_empty() {
                told.registries = vec!["111122223333/us-east-1".parse().unwrap()];
            }
            // Nor does it show by its references that it pulls from a destination.
            if row.case.starts_with("who names an image of the destination") {
                told.registries = vec!["111122223333/eu-west-1".parse().unwrap()];
            }
        }
        let hashed = row.plan(&table.base, false);
        // The beginning of a name cannot be compared when it is hidden.
        if row.case.ends_with("every repository that begins so") {
            assert!(hashed.refused.iter().all(|refused| refused.reason == RefusalReason::InventoryIncomplete));
            assert_eq!((hashed.refused.is_empty(), hashed.summary.delete), (false, 0));
            continue;
        }
        let decided = |plan: &Plan| -> Vec<_> {
            plan.images.iter().map(|image| (image.digest, image.decision, image.kept.is_empty())).collect()
        };
        assert_eq!(decided(&hashed), decided(&plain), "{} {}: {:?}", row.id, row.case, hashed.refused);
        let refused = |plan: &Plan| -> Vec<_> {
            plan.refused.iter().map(|refused| (refused.repository.clone(), refused.reason)).collect()
        };
        assert_eq!(refused(&hashed), refused(&plain), "{} {}", row.id, row.case);
        assert!(hashed.findings.iter().all(|finding| finding.rule != "EC101"), "{}: nothing hidden is missing", row.id);
    }
}

#[test]
fn the_order_of_what_is_given_changes_no_byte() {
    let table = table();
    for row in &table.rows {
        let (plan, reversed) = (row.plan(&table.base, false), row.plan(&table.base, true));
        let text = |plan: &Plan| serde_json::to_string_pretty(plan).unwrap();
        pretty_assertions(&text(&plan), &text(&reversed), &row.id);
        assert_eq!(plan.sha256, plan.hash(), "{}", row.id);
    }
}

fn pretty_assertions(plan: &str, reversed: &str, row: &str) {
    let differs = plan.lines().zip(reversed.lines()).find(|(a, b)| a != b);
    assert_eq!(plan.len(), reversed.len(), "{row}: {differs:?}");
    assert_eq!(differs, None, "{row}");
}

#[test]
fn a_plan_is_read_back_as_it_was_written() {
    let table = table();
    for row in &table.rows {
        let plan = row.plan(&table.base, false);
        let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(again.hash(), plan.sha256, "{}", row.id);
    }
}

#[test]
fn a_quarantine_ends_after_plans_far_enough_apart_and_recording_twice_adds_nothing() {
    let table = table();
    let mut row: Row = serde_json::from_value(json!({
        "id": "quarantine", "rule": {"quarantine": {"plans": 2, "apart": "24h"}}, "clusters": {"A": {"uses": ["v1"]}},
    }))
    .unwrap();
    let first = row.plan(&table.base, false);
    assert_eq!((first.summary.delete, first.summary.candidates), (0, 6));
    let empty = CleanState::new(row.registry_id(), now());
    let state = row.after(&table.base, &empty);
    assert_eq!(row.after(&table.base, &state), state);
    let entry = |state: &CleanState, name: &str| -> EntryHistory {
        state.repositories[0].entries.iter().find(|entry| entry.digest == digest(name)).unwrap().clone()
    };
    assert_eq!(entry(&state, "D2").candidate_since, Some(now()));
    assert_eq!((entry(&state, "D1").candidate_since, entry(&state, "D1").last_used), (None, Some(now())));
    assert_eq!(
        entry(&state, "D2").tags[0].first_seen,
        ago(OLD - 2.0 / 60.0),
        "what was there first was not put there today"
    );
    // The state is read back as written, and only for its own registry.
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(CleanState::parse("state.json", &text, &row.registry_id()).unwrap(), state);
    assert!(CleanState::parse("state.json", &text, &RegistryId::new("111122223333", "eu-west-1")).is_err());
    assert!(CleanState::parse("state.json", &text[..40], &row.registry_id()).is_err());

    // A plan that was refused for its evidence neither counts nor breaks the row.
    row.clusters.insert("B".to_owned(), Told { missing: Some("down".to_owned()), ..Told::default() });
    assert_eq!(entry(&row.after(&table.base, &state), "D2").candidate_since, Some(now()));
}

#[test]
fn a_plan_that_is_recorded_after_a_newer_one_counts_for_nothing_and_ends_what_it_ends() {
    let table = table();
    let row = |uses: &[&str]| -> Row {
        serde_json::from_value(json!({
            "id": "late", "rule": {"quarantine": {"plans": 2, "apart": "24h"}}, "clusters": {"A": {"uses": uses}},
        }))
        .unwrap()
    };
    let at = |hours: i64| now() + SignedDuration::from_hours(hours);
    let record = |row: &Row, before: &CleanState, hours: i64| {
        row.made(&table.base, false, before, |mut plan, inputs| {
            plan.created_at = at(hours);
            before.after(&plan, &Inputs { now: at(hours), ..*inputs })
        })
    };
    let entry = |state: &CleanState, name: &str| -> EntryHistory {
        state.repositories[0].entries.iter().find(|entry| entry.digest == digest(name)).unwrap().clone()
    };
    let free = row(&["v1"]);
    let empty = CleanState::new(free.registry_id(), at(0));
    // One plan after the other, then one that was made between them and is recorded last.
    let known = record(&free, &record(&free, &empty, 0), 48);
    let again = record(&free, &known, 24);
    assert_eq!(entry(&again, "D2").candidate_plans, [at(0), at(48)], "it does not count");
    assert_eq!(again.plans.iter().map(|plan| plan.at).collect::<Vec<_>>(), [at(0), at(24), at(48)]);
    assert_eq!(again.updated_at, at(48));
    assert_eq!(record(&free, &again, 24), again, "recording twice adds nothing");
    let used = record(&row(&["v1", "v2"]), &known, 24);
    assert_eq!(entry(&used, "D2").candidate_plans, [at(48)], "what came before its use is over");
    assert_eq!((entry(&used, "D2").candidate_since, entry(&used, "D2").last_used), (Some(at(48)), Some(at(24))));
    assert_eq!(entry(&used, "D1").last_used, Some(at(48)), "a newer use is known");
}

#[test]
fn uses_of_two_states_come_together() {
    let used = |key: &str, hours: i64, by: &str| KeyUse {
        key: key.to_owned(),
        last: now() + SignedDuration::from_hours(hours),
        by: by.to_owned(),
    };
    let state =
        |uses: Vec<KeyUse>| CleanState { uses, ..CleanState::new(RegistryId::new("111122223333", "us-east-1"), now()) };
    let mut known = state(vec![used("app:v1", 1, "b"), used("app:v3", 0, "a")]);
    known.merge_uses(&state(vec![used("app:v1", 1, "a"), used("app:v2", 0, "a"), used("app:v3", -1, "b")]));
    assert_eq!(known.uses, [used("app:v1", 1, "a"), used("app:v2", 0, "a"), used("app:v3", 0, "a")]);
}

#[test]
fn a_rollback_reaches_what_a_workload_had_before() {
    let table = table();
    let row = |tag: &str| -> Row {
        let row = json!({"id": tag, "rule": {"keepDeployed": 2}, "clusters": {"A": {"uses": [tag]}}});
        serde_json::from_value(row).unwrap()
    };
    // Three versions of one container, a day apart.
    let mut state = CleanState::new(row("v1").registry_id(), now());
    for tag in ["v1", "v2", "v3"] {
        for image in state.deployed.iter_mut().flat_map(|deployed| &mut deployed.images) {
            image.first -= SignedDuration::from_hours(24);
            image.last -= SignedDuration::from_hours(24);
        }
        state = row(tag).after(&table.base, &state);
    }
    let images: Vec<String> = state.deployed[0].images.iter().map(|image| image.image.clone()).collect();
    assert_eq!(images, ["D1", "D2", "D3"].map(|name| format!("app@{}", digest(name))));

    let plan = row("v3").made(&table.base, false, &state, |plan, _| plan);
    let kept = |name: &str| plan.images.iter().find(|image| image.digest == digest(name)).unwrap().kept.clone();
    assert_eq!(kept("D1"), []);
    let by = &kept("D2")[0];
    assert_eq!((by.vote, by.by.as_str()), (VoteKind::Rollback, "history: A/team/Deployment/web, container app"));

    // A workload that nobody has seen for long is forgotten with all that it had.
    for image in state.deployed.iter_mut().flat_map(|deployed| &mut deployed.images) {
        image.last -= SignedDuration::from_hours(24 * 91);
    }
    let nobody: Row = serde_json::from_value(json!({"id": "none", "clusters": {"A": {}}})).unwrap();
    assert_eq!(nobody.after(&table.base, &state).deployed, []);
}

#[test]
fn a_pull_that_nobody_explains_is_told_and_our_own_read_is_not_one() {
    let table = table();
    let row: Row = serde_json::from_value(json!({
        "id": "pulls", "rule": {"foreignPullMinAge": "200d"}, "clusters": {"A": {"uses": ["v1"]}},
        "entries": [{"name": "D1", "pulledHoursAgo": 5.0}, {"name": "D5", "pulledHoursAgo": 2.0}],
    }))
    .unwrap();
    let mut state = row.state();
    let told = |state: &CleanState| {
        let plan = row.made(&table.base, false, state, |plan, _| plan);
        (plan.findings.iter().any(|finding| finding.rule == "EC213"), plan.summary.delete)
    };
    assert_eq!(told(&state), (true, 0), "whoever pulls may need any of them");
    state.repositories[0].entries.push(EntryHistory {
        digest: digest("D5"),
        tags: Vec::new(),
        last_used: None,
        last_used_by: None,
        candidate_since: None,
        candidate_plans: Vec::new(),
        manifest_read_at: Some(ago(3.0)),
        last_seen: None,
    });
    assert_eq!(told(&state), (false, 6));
}

#[test]
fn a_plan_file_says_what_is_wrong_with_it() {
    let table = table();
    let plan = table.rows[0].plan(&table.base, false);
    let text = serde_json::to_string_pretty(&plan).unwrap();
    assert!(!Plan::parse("plan.json", &text).unwrap().is_altered());
    let edited = text.replacen("\"v1\"", "\"v2\"", 1);
    assert!(Plan::parse("plan.json", &edited).unwrap().is_altered());
    let told = |text: &str| Plan::parse("plan.json", text).unwrap_err().to_string();
    assert!(told(&text[..200]).contains("the file is cut off"));
    assert!(told(&text.replacen("kubeguard.dev/v1", "kubeguard.dev/v9", 1)).contains("no plan of version"));
    assert!(told("[]").contains("this is no plan"));
}

#[test]
fn a_cluster_that_uses_more_than_it_says_may_use_anything() {
    let table = table();
    let row = |uses: Value| -> Plan {
        let clusters =
            json!({"A": {"uses": ["v1"]}, "B": {"incomplete": "cronjobs", "repositories": ["other/*"], "uses": uses}});
        let row: Row = serde_json::from_value(json!({"id": "EC212", "clusters": clusters})).unwrap();
        row.plan(&table.base, false)
    };
    let limited = row(json!([]));
    assert!(limited.refused.is_empty() && limited.summary.delete > 0, "{:?}", limited.refused);
    let outside = row(json!(["v2"]));
    assert_eq!(outside.summary.delete, 0);
    assert_eq!(outside.refused[0].reason, RefusalReason::InventoryIncomplete);
    assert!(outside.findings.iter().any(|finding| finding.rule == "EC212"), "{:?}", outside.findings);
}

#[test]
fn a_cluster_that_uses_more_by_another_name_may_use_anything_too() {
    let table = table();
    let pod = |image: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "team"},
            "spec": {"containers": [{"name": "app", "image": image}]}})
    };
    for (image, more) in [
        ("docker.io/team/app:v2", json!({"policy": {"mirrors": [{"from": "docker.io/team", "to": "HOST"}]}})),
        ("quay.io/app:v2", json!({"pullThrough": [{"prefix": "ROOT", "upstream": "quay.io"}]})),
        (
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/app:v2",
            json!({"replication": [{"destination": "111122223333/eu-west-1", "deletes": true}]}),
        ),
    ] {
        let clusters = json!({"A": {"uses": ["v1"], "registries": ["111122223333/eu-west-1"]},
            "B": {"incomplete": "cronjobs", "repositories": ["other/*"], "objects": [pod(image)]}});
        let mut row = json!({"id": "EC212", "clusters": clusters});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let plan = serde_json::from_value::<Row>(row).unwrap().plan(&table.base, false);
        assert!(plan.findings.iter().any(|finding| finding.rule == "EC212"), "{image}: {:?}", plan.findings);
        assert_eq!((plan.summary.delete, plan.refused[0].reason), (0, RefusalReason::InventoryIncomplete), "{image}");
    }
}

#[test]
fn where_no_cluster_can_tell_what_runs_nothing_goes() {
    let table = table();
    for clusters in [
        json!({"M": {"manifests": true, "uses": ["v1"]}}),
        json!({"R": {"hoursOld": 600, "retired": "2026-11-01", "uses": ["v1"]}}),
    ] {
        let row = json!({"id": "H2", "clusters": clusters});
        let plan = serde_json::from_value::<Row>(row).unwrap().plan(&table.base, false);
        assert_eq!(plan.summary.delete, 0, "{clusters}");
        assert_eq!(plan.refused[0].reason, RefusalReason::InventoryMissing, "{clusters}");
    }
}
