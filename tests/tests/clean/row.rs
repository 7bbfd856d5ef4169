//! The rows as they are written.

use std::collections::BTreeMap;

use kubeguard_core::ecr::apply::{SkipReason, StopReason};
use kubeguard_core::ecr::plan::{RefusalReason, VoteKind};
use kubeguard_core::ecr::policy::RegistryName;
use kubeguard_core::ecr::snapshot::{ProblemKind, PullThroughRule};
use kubeguard_testkit::fake_ecr::{Calls, Fault, Pairs, Store};
use serde::Deserialize;
use serde_json::Value;

use crate::commands::Run;

/// Old, in hours.
pub(crate) const OLD: f64 = 120.0 * 24.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) base: Value,
    pub(crate) rows: Vec<Row>,
}

/// One situation, and what must come of it. `README.md` beside the tables tells what each field means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the tables")]
pub(crate) struct Row {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) case: String,
    #[serde(default)]
    pub(crate) policy: Value,
    #[serde(default)]
    rule: Value,
    #[serde(default)]
    pub(crate) registry: Option<String>,
    pub(crate) clusters: BTreeMap<String, Told>,
    #[serde(default)]
    pub(crate) standby: Option<Standby>,
    #[serde(default)]
    pub(crate) entries: Vec<Written>,
    /// Configuration of an entry, by name.
    #[serde(default)]
    pub(crate) configs: BTreeMap<String, String>,
    /// So many more old images.
    #[serde(default)]
    pub(crate) generated: u32,
    /// So many more indexes `i0`, `i1` … of two children.
    #[serde(default)]
    pub(crate) indexes: u32,
    /// So many more repositories `r0`, `r1` … of three old images.
    #[serde(default)]
    pub(crate) repositories: u32,
    #[serde(default)]
    pub(crate) pull_through: Vec<PullThroughRule>,
    #[serde(default)]
    pub(crate) replication: Vec<Replicated>,
    #[serde(default)]
    pub(crate) unreadable: Vec<String>,
    #[serde(default)]
    pub(crate) problems: BTreeMap<String, ProblemKind>,
    #[serde(default)]
    pub(crate) aws_tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Lifecycle policies by repository.
    #[serde(default)]
    pub(crate) lifecycle: BTreeMap<String, Previewed>,
    #[serde(default)]
    pub(crate) keep_lists: Vec<String>,
    #[serde(default)]
    pub(crate) state: BTreeMap<String, History>,
    /// Hours since uses that inventories recorded, by key.
    #[serde(default)]
    pub(crate) recorded: BTreeMap<String, f64>,
    #[serde(default)]
    pub(crate) dropped: Option<String>,
    #[serde(default)]
    pub(crate) stay: BTreeMap<String, VoteKind>,
    #[serde(default)]
    pub(crate) go: Vec<String>,
    #[serde(default)]
    pub(crate) archive: Vec<String>,
    #[serde(default)]
    pub(crate) candidates: Vec<String>,
    /// Pairs of which the first must be gone before the second.
    #[serde(default)]
    pub(crate) order: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) refused: Vec<RefusalReason>,
    /// What is refused is so for some repositories only.
    #[serde(default)]
    pub(crate) partly: bool,
    #[serde(default)]
    pub(crate) foreign: Vec<String>,
    /// What is said of repositories.
    #[serde(default)]
    pub(crate) notes: BTreeMap<String, Vec<String>>,
    /// Rules of which the plan carries a finding, among others.
    #[serde(default)]
    pub(crate) findings: Vec<String>,

    /// Account of the caller.
    #[serde(default)]
    pub(crate) caller: Option<String>,
    /// The caller's key is not known.
    #[serde(default)]
    pub(crate) stranger: bool,
    /// A second look at the registry reads no manifest again.
    #[serde(default)]
    pub(crate) again: bool,
    /// The readings of pairs that the row is about: A, B or C; all where it names none.
    #[serde(default)]
    readings: String,
    /// Rules that a verification finds broken, all of them.
    #[serde(default)]
    pub(crate) verify: Option<Vec<String>>,
    /// Pages of pods that are asked for, in all clusters, for the plan.
    #[serde(default)]
    pub(crate) pages_of_pods: Option<usize>,
    /// The plan file is edited by hand.
    #[serde(default)]
    pub(crate) edited: bool,
    /// What others do between plan and apply.
    #[serde(default)]
    pub(crate) between: Vec<Act>,
    /// What others do right before calls of the apply.
    #[serde(default)]
    pub(crate) before: Vec<Hook>,
    /// What goes wrong with calls of the apply.
    #[serde(default)]
    pub(crate) faults: Vec<Wrong>,
    /// What the real binary is asked.
    #[serde(default)]
    pub(crate) runs: Vec<Run>,
    /// What comes of the apply, where not everything goes as planned.
    #[serde(default)]
    pub(crate) apply: Outcome,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the tables")]
pub(crate) struct Told {
    pub(crate) uses: Vec<String>,
    pub(crate) objects: Vec<Value>,
    pub(crate) registries: Vec<RegistryName>,
    pub(crate) uid: Option<String>,
    pub(crate) missing: Option<String>,
    /// The kubeconfig does not know it.
    pub(crate) no_context: bool,
    pub(crate) incomplete: Option<String>,
    pub(crate) hours_old: f64,
    pub(crate) hibernated: bool,
    /// Its inventory hides every name.
    pub(crate) hashed: bool,
    /// Day on which it was taken down; its inventory counts for 14 days more.
    pub(crate) retired: Option<jiff::civil::Date>,
    /// It is desired state, not a cluster.
    pub(crate) manifests: bool,
    /// Items of a page at most.
    pub(crate) pages: Option<usize>,
    /// The server forgets once where a list in pages was.
    pub(crate) forgets: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standby {
    pub(crate) name: String,
    pub(crate) of: String,
    pub(crate) registry: RegistryName,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replicated {
    pub(crate) destination: RegistryName,
    pub(crate) deletes: bool,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Written {
    #[serde(default = "app")]
    pub(crate) repository: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) tags: Option<Vec<String>>,
    #[serde(default = "old")]
    pub(crate) hours_ago: Option<f64>,
    #[serde(default)]
    pub(crate) children: Vec<String>,
    #[serde(default)]
    pub(crate) subject: Option<String>,
    #[serde(default)]
    pub(crate) artifact: Option<String>,
    #[serde(default)]
    pub(crate) archived_hours_ago: Option<f64>,
    #[serde(default)]
    pub(crate) pulled_hours_ago: Option<f64>,
    /// Bytes of its layers by name; the same name is the same layer everywhere.
    #[serde(default)]
    pub(crate) layers: BTreeMap<String, u64>,
}

/// A repository's lifecycle policy, and what AWS' preview of it says.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Previewed {
    /// The policy.
    pub(crate) policy: Value,
    /// Entries that a rule removes, by the rule's priority.
    pub(crate) expires: BTreeMap<i64, Vec<String>>,
    /// Entries that a rule archives.
    pub(crate) archives: BTreeMap<i64, Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct History {
    /// Hours since a tag was first seen.
    pub(crate) tags: BTreeMap<String, f64>,
    /// Hours since each plan in which it was a candidate.
    pub(crate) candidate_hours: Vec<f64>,
    pub(crate) last_used_hours: Option<f64>,
}

/// What somebody else does.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) enum Act {
    /// Lets a tag point to an entry.
    Tag(String, String),
    /// Pushes a fresh image without tags.
    Push(String),
    /// Deletes an entry.
    Delete(String),
    /// Deploys an image of `app` to a cluster.
    Deploy(String, String),
    /// Lets hours pass.
    Wait(i64),
    /// Signs in with another account.
    SignIn(String),
    /// Lets deletions be copied to another region from now on.
    Replicate(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hook {
    pub(crate) call: String,
    #[serde(default = "first")]
    pub(crate) nth: u64,
    pub(crate) acts: Vec<Act>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wrong {
    pub(crate) call: String,
    #[serde(default)]
    nth: Option<u64>,
    #[serde(default)]
    every: Option<u64>,
    fault: String,
    /// The entry whose item is refused with the fault as its code.
    #[serde(default)]
    item: Option<String>,
}

impl Wrong {
    pub(crate) fn calls(&self) -> Calls {
        match (self.nth, self.every) {
            (Some(nth), _) => Calls::Nth(nth),
            (_, Some(every)) => Calls::Every(every),
            _ => Calls::All,
        }
    }

    pub(crate) fn fault(&self, store: &Store) -> Fault {
        if let Some(item) = &self.item {
            return Fault::Item(digest(store, item), self.fault.clone().leak());
        }
        match self.fault.as_str() {
            "lost" => Fault::Lost,
            "reset" => Fault::Reset,
            "server" => Fault::Server,
            "throttled" => Fault::Throttled,
            "denied" => Fault::AccessDenied,
            "expired" => Fault::Expired,
            other => panic!("no fault is called {other:?}"),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Outcome {
    /// Exit code.
    pub(crate) exit: u8,
    /// Why it ended early.
    pub(crate) stopped: Option<StopReason>,
    pub(crate) skipped: BTreeMap<String, SkipReason>,
    /// By entry, AWS' code.
    pub(crate) failed: BTreeMap<String, String>,
    pub(crate) gone: Vec<String>,
    /// Tags that an entry has in the end, where they are not those it had before.
    pub(crate) tags: BTreeMap<String, Vec<String>>,
    /// Least and greatest number of calls.
    pub(crate) calls: BTreeMap<String, (usize, usize)>,
    /// Registries that nothing may have happened to.
    pub(crate) untouched: Vec<RegistryName>,
}

fn app() -> String {
    "app".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "serde asks for the field's own type")]
fn old() -> Option<f64> {
    Some(OLD)
}

const fn first() -> u64 {
    1
}

/// Returns the digest that a row's name stands for: of an entry, of a generated one by its number, or of nothing.
pub(crate) fn digest(store: &Store, name: &str) -> kubeguard_core::images::Digest {
    if let Some(number) = name.strip_prefix('#').and_then(|number| number.parse().ok()) {
        return Store::generated(number);
    }
    store.labelled(name).unwrap_or_else(|| kubeguard_core::images::Digest::of(name.as_bytes()))
}

impl Row {
    /// Fills in the policy from the table's own.
    pub(crate) fn based_on(mut self, base: &Value) -> Self {
        let mut policy = base.clone();
        for (key, value) in self.policy.as_object().into_iter().flatten() {
            policy[key] = value.clone();
        }
        for (key, value) in self.rule.as_object().into_iter().flatten() {
            policy["rules"][0][key] = value.clone();
        }
        self.policy = policy;
        self
    }

    pub(crate) fn takes(&self, pairs: Pairs) -> bool {
        let letter = match pairs {
            Pairs::Tag => 'A',
            Pairs::Image => 'B',
            Pairs::TagOnly => 'C',
        };
        self.readings.is_empty() || self.readings.contains(letter)
    }

    /// Returns D1 to D9, as the row changes them, and what it adds.
    pub(crate) fn written(&self) -> Vec<Written> {
        let single = |number: u8| Written {
            repository: app(),
            name: format!("D{number}"),
            tags: Some(vec![format!("v{number}")]),
            hours_ago: Some(OLD - f64::from(number) / 60.0),
            children: Vec::new(),
            subject: None,
            artifact: None,
            archived_hours_ago: None,
            pulled_hours_ago: None,
            layers: BTreeMap::new(),
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
}
