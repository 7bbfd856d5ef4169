//! A rule is a row, and a small pure function over facts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::facts::{Carrier, Facts, Object, Of, Origin, Pod, Version};
use super::kinds;
use super::needs::{Fact, Need};
use super::report::{ObjectName, Proof, Remedy, Severity};
use crate::gather::selector::{FieldSelector, Selector};
use crate::models::Calculation;
use crate::models::measurements::Measurements;
use crate::models::thresholds::Thresholds;
use crate::pods::{Class, Member, SidecarTable};

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// As in `PA201`; unique over all families.
    pub id: &'static str,
    /// As in `named-port-unresolved`; unique over all families.
    pub name: &'static str,
    /// How much it hurts, before a check raises or lowers it.
    pub severity: Severity,
    /// How sure it is, before a check says otherwise.
    pub proof: Proof,
    /// Where its findings live.
    pub fold: Fold,
    /// What it reads.
    pub needs: &'static [Need],
    /// The oldest and the newest server that it is about.
    pub servers: (Option<Version>, Option<Version>),
    /// It runs only when its whole id is selected.
    pub opt_in: bool,
    /// What runs in its place when its whole id is selected: it finds more, and has the same id and name.
    pub asked: Option<&'static Self>,
    /// Rules whose findings its own make redundant.
    pub absorbs: &'static [Absorbs],
    /// What it finds, in one line.
    pub summary: &'static str,
    /// What happens to those who do not heed it.
    pub why: &'static str,
    /// What ends it.
    pub remedy: &'static str,
    /// False alarms that it avoids; each has a fixture of this name.
    pub traps: &'static [&'static str],
    /// Where it comes from.
    pub links: &'static [&'static str],
    /// What it judges, and how.
    pub check: Check,
}

impl Rule {
    /// Returns what it reads: its needs, and the objects that it is about where it is about one kind.
    pub fn reads(&self) -> impl Iterator<Item = Need> + use<> {
        let needs = self.needs;
        let about = match self.check.subjects() {
            [subject] if !needs.iter().any(|need| need.fact == *subject) => Some(Need::decides(*subject)),
            _ => None,
        };
        needs.iter().copied().chain(about)
    }

    /// A row to begin with: medium, exact, folded to the workload, and nothing else.
    pub const BASE: Self = Self {
        id: "",
        name: "",
        severity: Severity::Medium,
        proof: Proof::Exact,
        fold: Fold::Workload,
        needs: &[],
        servers: (None, None),
        opt_in: false,
        asked: None,
        absorbs: &[],
        summary: "",
        why: "",
        remedy: "",
        traps: &[],
        links: &[],
        check: Check::Engine,
    };

    /// Returns the letters before its number, as in `PA`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        let end = self.id.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(self.id.len());
        self.id.get(..end).unwrap_or(self.id)
    }
}

/// A rule whose findings another makes redundant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absorbs {
    /// Its id.
    pub rule: &'static str,
    /// On the same root owner, not only on the same object.
    pub root: bool,
    /// Of findings that name a probe only these; all where empty.
    pub probes: &'static [&'static str],
}

/// The findings of a rule on the same object are redundant.
#[must_use]
pub const fn absorbs(rule: &'static str) -> Absorbs {
    Absorbs { rule, root: false, probes: &[] }
}

/// The findings of a rule on the same object are redundant where they are about certain probes.
#[must_use]
pub const fn absorbs_probes(rule: &'static str, probes: &'static [&'static str]) -> Absorbs {
    Absorbs { rule, root: false, probes }
}

/// The findings of a rule on any object of the same root owner are redundant.
#[must_use]
pub const fn absorbs_of_root(rule: &'static str) -> Absorbs {
    Absorbs { rule, root: true, probes: &[] }
}

/// The object that a finding is put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// The carrier that a person edits.
    Workload,
    /// The job, else the root owner, else the pod.
    Job,
    /// The object that was judged.
    Itself,
    /// The pod.
    Pod,
}

/// What a rule judges, and how; called once for each.
#[derive(Clone, Copy)]
pub enum Check {
    /// Pod templates that somebody edits; see [`Facts::carriers`].
    Template(for<'a> fn(&Context<'a>, Carrier<'a>, &mut Findings<'a>)),
    /// Containers of such templates, init containers and native sidecars among them.
    Container(for<'a> fn(&Context<'a>, Carrier<'a>, Member<'a>, &mut Findings<'a>)),
    /// Pods.
    Pod(for<'a> fn(&Context<'a>, &'a Pod, &mut Findings<'a>)),
    /// Jobs.
    Job(for<'a> fn(&Context<'a>, &'a Of<kinds::Job>, &mut Findings<'a>)),
    /// Cron jobs.
    CronJob(for<'a> fn(&Context<'a>, &'a Of<kinds::CronJob>, &mut Findings<'a>)),
    /// Services.
    Service(for<'a> fn(&Context<'a>, &'a Of<kinds::Service>, &mut Findings<'a>)),
    /// Nodes.
    Node(for<'a> fn(&Context<'a>, &'a Of<kinds::Node>, &mut Findings<'a>)),
    /// Autoscalers.
    Autoscaler(for<'a> fn(&Context<'a>, &'a Of<kinds::HorizontalPodAutoscaler>, &mut Findings<'a>)),
    /// Disruption budgets.
    Budget(for<'a> fn(&Context<'a>, &'a Of<kinds::PodDisruptionBudget>, &mut Findings<'a>)),
    /// Everything at once.
    Cluster(for<'a> fn(&Context<'a>, &mut Findings<'a>)),
    /// The engine itself finds it.
    Engine,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Template(_) => "Template",
            Self::Container(_) => "Container",
            Self::Pod(_) => "Pod",
            Self::Job(_) => "Job",
            Self::CronJob(_) => "CronJob",
            Self::Service(_) => "Service",
            Self::Node(_) => "Node",
            Self::Autoscaler(_) => "Autoscaler",
            Self::Budget(_) => "Budget",
            Self::Cluster(_) => "Cluster",
            Self::Engine => "Engine",
        })
    }
}

impl Check {
    /// Returns the kinds of the objects that it is called for.
    #[must_use]
    pub fn subjects(&self) -> &'static [Fact] {
        match self {
            Self::Template(_) | Self::Container(_) => &Fact::CARRIERS,
            Self::Pod(_) => &[Fact::Pod],
            Self::Job(_) => &[Fact::Job],
            Self::CronJob(_) => &[Fact::CronJob],
            Self::Service(_) => &[Fact::Service],
            Self::Node(_) => &[Fact::Node],
            Self::Autoscaler(_) => &[Fact::HorizontalPodAutoscaler],
            Self::Budget(_) => &[Fact::PodDisruptionBudget],
            Self::Cluster(_) | Self::Engine => &[],
        }
    }
}

/// What rules may be told; the defaults are those of the documents.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Sidecars by name and image.
    pub sidecars: SidecarTable,
    /// Hold times that differ: rule id → time.
    pub holds: BTreeMap<String, SignedDuration>,
    /// Version that files are judged for; the newest that is known otherwise.
    pub kube_version: Option<Version>,
    /// What somebody suppresses by a file.
    pub ignore: super::suppress::IgnoreList,
    /// Findings that are known.
    pub baseline: super::baseline::Baseline,
    /// Labels of the objects that are judged; all where empty.
    pub labels: Selector,
    /// Fields of the objects that are judged, those of [`FIELDS`]; all where empty.
    pub fields: FieldSelector,
    /// Objects that are judged, with everything that they make; all where it is absent, none where it is empty.
    pub only: Option<BTreeSet<ObjectName>>,
    /// Numbers of the rule tables that differ.
    pub thresholds: Thresholds,
    /// What somebody measured.
    pub measurements: Option<Measurements>,
}

/// What a field selector may ask of objects: the first two of all, the others of pods, which alone are judged then.
pub const FIELDS: [&str; 6] = [
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
];

/// Returns a field of [`FIELDS`]; none where an object of its kind has no such field.
fn field<'a>(object: &'a dyn Object, path: &str) -> Option<&'a str> {
    let spec = || object.carried().filter(|_| object.fact() == Fact::Pod).map(|carried| carried.spec);
    match path {
        "metadata.name" => Some(&object.meta().name),
        "metadata.namespace" => Some(&object.meta().namespace),
        "spec.nodeName" => Some(&spec()?.node_name),
        "spec.restartPolicy" => Some(&spec()?.restart_policy),
        "spec.schedulerName" => Some(&spec()?.scheduler_name),
        "spec.serviceAccountName" => Some(&spec()?.service_account_name),
        _ => None,
    }
}

impl Policy {
    /// Returns whether not all objects are judged.
    pub(super) fn is_narrowed(&self) -> bool {
        self.only.is_some() || !self.labels.is_empty() || !self.fields.is_empty()
    }

    /// Returns whether findings about an object are wanted: by its name or that of what makes it, and by its own labels
    /// or those of its pods.
    #[must_use]
    pub fn wants(&self, facts: &Facts, object: &dyn Object) -> bool {
        if let Some(only) = &self.only
            && !facts.chain(object).iter().any(|link| only.contains(&link.name))
        {
            return false;
        }
        if !self.fields.matches(|path| field(object, path)) {
            return false;
        }
        if self.labels.is_empty() {
            return true;
        }
        let map = |labels: &super::text::Labels| labels.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let mut sets = vec![map(&object.meta().labels)];
        sets.extend(object.carried().map(|carried| map(carried.labels)));
        self.labels.matches_any(&sets)
    }
}

/// What a check is given beside its subject.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Everything that was read.
    pub facts: &'a Facts,
    /// What the caller wants.
    pub policy: &'a Policy,
    /// The time of the judgement.
    pub now: Timestamp,
    /// The rule itself.
    pub rule: &'a Rule,
}

impl<'a> Context<'a> {
    /// Returns whether a state has lasted longer than a hold time.
    ///
    /// Without a time: yes in files and snapshots, which have no later; not yet in a cluster. What began in the future
    /// has lasted for no time.
    #[must_use]
    pub fn held(&self, since: Option<Timestamp>, hold: SignedDuration) -> bool {
        let hold = self.policy.holds.get(self.rule.id).copied().unwrap_or(hold);
        match since {
            None => self.facts.origin() != Origin::Live,
            Some(since) => self.age(since) > hold,
        }
    }

    /// Returns how long ago something was; never negative.
    #[must_use]
    pub fn age(&self, since: Timestamp) -> SignedDuration {
        self.now.duration_since(since).max(SignedDuration::ZERO)
    }

    /// Returns the version of the server, or the one that files are judged for.
    #[must_use]
    pub fn version(&self) -> Version {
        self.facts.version().or(self.policy.kube_version).unwrap_or(super::NEWEST)
    }

    /// Begins a finding about an object.
    pub fn finding(&self, object: &'a dyn Object, message: impl Into<String>) -> Draft<'a> {
        Draft {
            at: object,
            container: None,
            probe: None,
            key: String::new(),
            severity: self.rule.severity,
            proof: self.rule.proof,
            message: message.into(),
            evidence: Vec::new(),
            remedy: Remedy::default(),
            since: None,
            assumptions: Vec::new(),
            details: serde_json::Map::new(),
        }
    }

    /// Begins a finding about a container of a template or pod.
    pub fn container(&self, carrier: Carrier<'a>, member: Member<'a>, message: impl Into<String>) -> Draft<'a> {
        let mut draft = self.finding(carrier.object, message);
        draft.container = Some(member.container.name.clone());
        draft
    }
}

/// A finding before it is folded.
#[derive(Debug, Clone)]
#[must_use]
pub struct Draft<'a> {
    pub(super) at: &'a dyn Object,
    pub(super) container: Option<String>,
    pub(super) probe: Option<&'static str>,
    pub(super) key: String,
    pub(super) severity: Severity,
    pub(super) proof: Proof,
    pub(super) message: String,
    pub(super) evidence: Vec<Proven<'a>>,
    pub(super) remedy: Remedy,
    pub(super) since: Option<Timestamp>,
    pub(super) assumptions: Vec<String>,
    pub(super) details: serde_json::Map<String, Value>,
}

/// A field that decided.
#[derive(Debug, Clone)]
pub(super) struct Proven<'a> {
    pub(super) at: Whose<'a>,
    pub(super) path: String,
    pub(super) value: Value,
}

/// Whose field it is.
#[derive(Debug, Clone)]
pub(super) enum Whose<'a> {
    /// The object that was judged.
    Own,
    Other(&'a dyn Object),
    Named(ObjectName),
}

impl<'a> Draft<'a> {
    /// Names the container.
    pub fn on(self, container: impl Into<String>) -> Self {
        Self { container: Some(container.into()), ..self }
    }

    /// Names the probe: `liveness`, `readiness` or `startup`; part of the finding's identity.
    pub fn probe(self, probe: &'static str) -> Self {
        Self { probe: Some(probe), ..self }
    }

    /// Tells findings of one rule about one container apart, as in a service's name; part of the finding's identity.
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// Raises or lowers the severity.
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// Says how sure it is; never more than the row says.
    pub fn proof(self, proof: Proof) -> Self {
        Self { proof, ..self }
    }

    /// Adds a field that decided, by its JSON pointer into the object that was judged.
    pub fn evidence(mut self, path: impl Into<String>, value: impl Into<Value>) -> Self {
        self.evidence.push(Proven { at: Whose::Own, path: path.into(), value: value.into() });
        self
    }

    /// Adds a field of another object that decided.
    pub fn evidence_of(mut self, object: &'a dyn Object, path: impl Into<String>, value: impl Into<Value>) -> Self {
        self.evidence.push(Proven { at: Whose::Other(object), path: path.into(), value: value.into() });
        self
    }

    /// Adds a field of an object that is known by its names alone.
    pub fn evidence_named(mut self, object: ObjectName, path: impl Into<String>, value: impl Into<Value>) -> Self {
        self.evidence.push(Proven { at: Whose::Named(object), path: path.into(), value: value.into() });
        self
    }

    /// Says what ends it.
    pub fn remedy(mut self, text: impl Into<String>) -> Self {
        self.remedy.text = text.into();
        self
    }

    /// Adds an operation of RFC 6902 against the object that the finding is put on.
    pub fn patch(mut self, operation: Value) -> Self {
        self.remedy.patch.push(operation);
        self
    }

    /// Says when the state began.
    pub fn since(self, since: Option<Timestamp>) -> Self {
        Self { since, ..self }
    }

    /// Adds an assumption of a model.
    pub fn assuming(mut self, sentence: impl Into<String>) -> Self {
        self.assumptions.push(sentence.into());
        self
    }

    /// Adds the sum by which it was judged, and what that takes for granted.
    pub fn calculation(mut self, sum: &Calculation) -> Self {
        self.assumptions.extend(sum.assumptions());
        self.detail("calculation", serde_json::to_value(sum).unwrap_or_default())
    }

    /// Adds a further fact.
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

/// Where checks put what they find.
#[derive(Debug, Default)]
pub struct Findings<'a> {
    pub(super) drafts: Vec<Draft<'a>>,
}

impl<'a> Findings<'a> {
    /// Adds a finding.
    pub fn push(&mut self, draft: Draft<'a>) {
        self.drafts.push(draft);
    }
}

impl<'a> Extend<Draft<'a>> for Findings<'a> {
    fn extend<I: IntoIterator<Item = Draft<'a>>>(&mut self, drafts: I) {
        self.drafts.extend(drafts);
    }
}

/// Runs a rule over its subjects.
pub(super) fn run<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    let facts = context.facts;
    match context.rule.check {
        Check::Template(check) => facts.carriers().for_each(|carrier| check(context, carrier, findings)),
        Check::Container(check) => {
            for carrier in facts.carriers() {
                for member in crate::pods::members(carrier.spec).filter(|member| member.class != Class::Ephemeral) {
                    check(context, carrier, member, findings);
                }
            }
        }
        Check::Pod(check) => facts.pods().iter().for_each(|pod| check(context, pod, findings)),
        Check::Job(check) => facts.jobs().iter().for_each(|job| check(context, job, findings)),
        Check::CronJob(check) => facts.cron_jobs().iter().for_each(|job| check(context, job, findings)),
        Check::Service(check) => facts.services().iter().for_each(|service| check(context, service, findings)),
        Check::Node(check) => facts.nodes().iter().for_each(|node| check(context, node, findings)),
        Check::Autoscaler(check) => facts.autoscalers().iter().for_each(|scaler| check(context, scaler, findings)),
        Check::Budget(check) => facts.budgets().iter().for_each(|budget| check(context, budget, findings)),
        Check::Cluster(check) => check(context, findings),
        Check::Engine => {}
    }
}
