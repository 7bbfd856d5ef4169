//! What `--fix` would do, and why not: decided from facts alone, before anything is asked, and once more right before it
//! is done.
//!
//! [`plan`] says what findings lead to, [`still`] whether that holds for facts that were read anew, [`seen`] whether what
//! followed is what was predicted. [`apply`](fn@apply) alone makes requests. Nothing here deletes a pod: its work would
//! run again.

mod apply;
mod delete;
mod quit;
mod report;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use apply::{Applying, apply};
pub use report::{Became, FixItem, FixReport};
pub use seen::{Seen, seen};

use super::Outcome;
use super::stuck;
use crate::audit::annotations::Ignores;
use crate::audit::engine::folded_name;
use crate::audit::facts::{Facts, Object, Pod};
use crate::audit::needs::{Fact, Need, Needs, needs};
use crate::audit::report::{AuditReport, Finding, ObjectName, Proof, Skipped};
use crate::audit::rule::{Context, Fold, Policy, Rule};
use crate::audit::suppress::Asked;

/// What ends a zombie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// Its sidecars are asked to quit.
    Quit,
    /// Its job is deleted.
    Delete,
}

impl Fix {
    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Delete => "delete",
        }
    }

    /// Returns what rules read and it reads beside them: whether a node forwards ports.
    #[must_use]
    pub fn needs<'a>(self, rules: impl IntoIterator<Item = &'a Rule>) -> Needs {
        const NODES: Rule = Rule { needs: &[Need::enriches(Fact::Node)], ..Rule::BASE };
        let more: &[&Rule] = if self == Self::Quit { &[&NODES] } else { &[] };
        needs(rules.into_iter().chain(more.iter().copied()))
    }

    /// Returns whether findings of a rule lead to it.
    #[must_use]
    pub fn is_about(self, rule: &str) -> bool {
        match self {
            Self::Quit => QUIT.contains(&rule),
            Self::Delete => stuck::is_about(rule),
        }
    }
}

/// Rules whose findings name sidecars that may be asked to quit.
const QUIT: [&str; 3] = ["ZJ101", "ZJ102", "ZJ103"];

/// How far a fix goes without changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Nothing is sent.
    Client,
    /// Everything is read again, and the server is asked whether it would do it.
    Server,
}

impl DryRun {
    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// One object that is acted on: only the very same, by its uid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Its names.
    pub name: ObjectName,
    /// Its uid.
    pub uid: String,
}

impl Target {
    fn of(object: &dyn Object) -> Self {
        Self { name: object.object_name(), uid: object.meta().uid.to_string() }
    }
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// An HTTP request to a port of the pod, by port-forward.
    InPod {
        /// As in `POST`.
        method: String,
        /// Port, inside of the pod.
        port: u16,
        /// As in `/quitquitquit`.
        path: String,
    },
    /// The job's deletion, with its pods in the background; only of this uid and version.
    DeleteJob,
}

/// One container as it runs now, told from the one that the kubelet starts after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// The container's name.
    pub name: String,
    /// How often it was started again.
    pub restarts: i32,
    /// When it was started.
    pub started: Option<Timestamp>,
}

/// One thing to do, or the reason why it is not done.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Which.
    pub fix: Fix,
    /// The object of the finding: the job, else what owns the pod, else the pod.
    pub object: ObjectName,
    /// The job.
    pub job: Option<Target>,
    /// The pod whose sidecar is asked.
    pub pod: Option<Target>,
    /// The sidecar.
    pub container: Option<Instance>,
    /// Rules that speak of it.
    pub rules: Vec<String>,
    /// How sure they are.
    pub proof: Proof,
    /// What would be sent; none where nothing is known.
    pub call: Option<Call>,
    /// What it leads to, one per branch.
    pub predicted: Vec<Outcome>,
    /// What is not known of it, and does not speak against it.
    pub notes: Vec<String>,
    /// Why it is not done.
    pub refused: Option<String>,
}

/// Everything that findings lead to, in the order in which it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is done.
    pub fix: Fix,
    /// By namespace, object, pod and place of the container.
    pub acts: Vec<Act>,
    /// Everything that may lead to an act could be judged.
    pub complete: bool,
    /// What could not.
    pub skipped: Vec<Skipped>,
    /// Nothing at all could be judged.
    pub blind: bool,
}

impl Plan {
    /// Returns what is not refused.
    pub fn due(&self) -> impl Iterator<Item = &Act> {
        self.acts.iter().filter(|act| act.refused.is_none())
    }
}

/// Returns what the findings of a report lead to, at most `most` acts; what is beyond that is refused.
///
/// Suppressed findings and those of the baseline are not in the report, and lead to nothing. Pods are never deleted.
#[must_use]
pub fn plan(
    facts: &Facts,
    rules: &[&Rule],
    policy: &Policy,
    report: &AuditReport,
    (fix, most): (Fix, usize),
    now: Timestamp,
) -> Plan {
    let mut found: BTreeMap<&ObjectName, Vec<&Finding>> = BTreeMap::new();
    for finding in report.items.iter().filter(|finding| fix.is_about(&finding.rule)) {
        found.entry(&finding.object).or_default().push(finding);
    }
    let mut acts = match fix {
        Fix::Quit => quits(facts, rules, policy, &found, now),
        Fix::Delete => {
            let each = found.iter().filter(|(object, _)| object.kind != "CronJob");
            each.map(|(object, findings)| delete::of_findings(facts, policy, object, findings, now)).collect()
        }
    };
    let place = |act: &Act| (act.object.namespace.clone(), act.object.clone(), act.pod.clone());
    acts.sort_by_key(place);
    cap(&mut acts, most);
    let about = |skipped: &&Skipped| skipped.rules.is_empty() || skipped.rules.iter().any(|rule| fix.is_about(rule));
    let skipped: Vec<Skipped> = report.skipped.iter().filter(about).cloned().collect();
    let blind = !skipped.is_empty() && report.summary.objects == 0 && acts.is_empty();
    Plan { fix, acts, complete: skipped.is_empty(), skipped, blind }
}

fn quits(
    facts: &Facts,
    rules: &[&Rule],
    policy: &Policy,
    found: &BTreeMap<&ObjectName, Vec<&Finding>>,
    now: Timestamp,
) -> Vec<Act> {
    let ignores = Ignores::of(facts, rules, policy);
    let namespaces: BTreeSet<&str> = found.keys().map(|object| object.namespace.as_str()).collect();
    let mut acts = Vec::new();
    for pod in facts.pods().iter().filter(|pod| namespaces.contains(&*pod.meta.namespace)) {
        let object = folded_name(facts, pod, Fold::Job);
        let Some(findings) = found.get(&object) else { continue };
        // What a pod's own annotation accepts is accepted of that pod alone.
        let accepted = |finding: &Finding| {
            let asked = Asked {
                rule: &finding.rule,
                container: finding.container.as_deref(),
                probe: None,
                kind: &object.kind,
                namespace: &object.namespace,
                name: &object.name,
            };
            ignores.of_object(pod, &asked, now).is_some()
        };
        let rules: BTreeSet<&str> =
            findings.iter().filter(|finding| !accepted(finding)).map(|finding| finding.rule.as_str()).collect();
        acts.extend(quit::acts(facts, policy, &rules.into_iter().collect::<Vec<_>>(), pod, now));
    }
    acts
}

/// Refuses what is beyond a number; the sidecars of one pod stay together.
fn cap(acts: &mut [Act], most: usize) {
    let mut left = most;
    for group in acts.chunk_by_mut(|a, b| a.pod.is_some() && a.pod == b.pod) {
        let due = group.iter().filter(|act| act.refused.is_none()).count();
        if due <= left {
            left -= due;
            continue;
        }
        for act in group.iter_mut().filter(|act| act.refused.is_none()) {
            act.refused = Some(format!("it is beyond --max {most}"));
        }
    }
}

/// Judges an act again on facts that were read anew.
///
/// # Errors
/// What has changed, in words: nothing may be done then.
pub fn still(act: &Act, facts: &Facts, policy: &Policy, now: Timestamp) -> Result<(), String> {
    let rules: Vec<&str> = act.rules.iter().map(String::as_str).collect();
    match act.fix {
        Fix::Quit => quit::still(act, &rules, facts, policy, now),
        Fix::Delete => delete::still(act, &rules, facts, policy, now),
    }
}

/// Returns a context in which rules are asked one by one.
fn context<'a>(facts: &'a Facts, policy: &'a Policy, now: Timestamp) -> Context<'a> {
    Context { facts, policy, now, rule: &super::held::ZJ101 }
}

/// Returns the pod of a target, if it is still the same.
fn pod_of<'a>(facts: &'a Facts, target: &Target) -> Option<&'a Pod> {
    let same = |pod: &&Pod| pod.meta.namespace == *target.name.namespace && pod.meta.name == *target.name.name;
    facts.pods().iter().find(same)
}
