//! The pipeline behind facts: check, cap, fold, absorb, suppress, baseline, sort.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::annotations::{self, Ignores};
use super::facts::{Facts, Link, Object, Read};
use super::needs::{Fact, Role};
use super::report::{AuditReport, Evidence, Finding, ObjectName, PodCount, Skipped, Source, fingerprint};
use super::rule::{Context, Draft, Findings, Fold, Policy, Rule, Whose, run};
use super::suppress::{Acceptance, Asked};

/// A finding with what later steps ask of it.
pub(super) struct Work<'a> {
    pub(super) finding: Finding,
    pub(super) root: ObjectName,
    pub(super) probe: Option<&'static str>,
    pub(super) rule: &'a Rule,
    chain: Vec<Link<'a>>,
    accepted: Option<Acceptance>,
}

/// A finding that somebody accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Suppressed {
    /// What would have been reported.
    pub finding: Finding,
    /// Why it is not.
    pub acceptance: Acceptance,
}

/// What an audit says, and what it keeps beside the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// The report.
    pub report: AuditReport,
    /// Findings that somebody accepted, in the order of findings.
    pub suppressed: Vec<Suppressed>,
    /// Ids of rules that were judged.
    pub ran: Vec<&'static str>,
    /// Rules that do not fit the server or the source, and why; nobody is told unless asked.
    pub not_applicable: Vec<(&'static str, String)>,
}

/// Judges facts by rules.
///
/// Pure: identical facts and `now` give identical reports, whatever the order in which objects were read. Findings are
/// sorted by namespace, kind, name, rule and container.
#[must_use]
pub fn audit(facts: &Facts, rules: &[&Rule], policy: &Policy, now: Timestamp) -> AuditReport {
    audited(facts, rules, policy, now).report
}

/// Judges facts by rules, and tells what was suppressed and what did not apply.
#[must_use]
pub fn audited(facts: &Facts, rules: &[&Rule], policy: &Policy, now: Timestamp) -> Audited {
    let mut skips = Skips::default();
    let mut ran: Vec<&Rule> = Vec::new();
    let mut not_applicable = Vec::new();
    for rule in rules {
        match applies(facts, rule, policy, &mut skips) {
            Applies::Yes => ran.push(rule),
            Applies::Skipped => {}
            Applies::Not(why) => not_applicable.push((rule.id, why)),
        }
    }
    let ignores = Ignores::of(facts, rules, policy);
    let mut works: Vec<Work<'_>> = Vec::new();
    for rule in &ran {
        let context = Context { facts, policy, now, rule };
        let mut findings = Findings::default();
        run(&context, &mut findings);
        annotations::check(&context, &ignores, &mut findings);
        fold(&context, findings.drafts, &ignores, &mut works);
    }
    let works = super::absorb::absorb(works);
    let (works, suppressed) = suppress(works, &ignores, facts, &ran, policy, now);
    let (known, new): (Vec<_>, Vec<_>) =
        works.into_iter().partition(|work| !annotations::is_own(work.rule.id) && policy.baseline.knows(&work.finding));
    let objects = objects(facts, &ran, policy);
    let mut skipped = skips.finish();
    skipped.extend(facts.malformed().iter().map(|reason| Skipped {
        rules: Vec::new(),
        reason: reason.clone(),
        partial: true,
        namespace: None,
    }));
    skipped.extend(super::probes::unread(facts, &ran, policy).into_iter().map(|reason| Skipped {
        rules: vec!["PA".to_owned()],
        reason,
        partial: true,
        namespace: None,
    }));
    let items = new.into_iter().map(|work| work.finding).collect();
    let mut report = AuditReport::new(items, skipped, objects);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    report.unjudged = !report.complete && ran.iter().all(|rule| annotations::is_own(rule.id));
    report.summary.suppressed = count(suppressed.len());
    report.summary.baseline = count(known.len());
    Audited { report, suppressed, ran: ran.iter().map(|rule| rule.id).collect(), not_applicable }
}

/// Returns how many objects were judged.
fn objects(facts: &Facts, ran: &[&Rule], policy: &Policy) -> u64 {
    let mut kinds: BTreeSet<Fact> = ran.iter().flat_map(|rule| rule.check.subjects()).copied().collect();
    // Rules about everything judge what they read.
    for rule in ran.iter().filter(|rule| rule.check.subjects().is_empty()) {
        kinds.extend(rule.reads().map(|need| need.fact));
    }
    let count = |fact| {
        if policy.is_narrowed() {
            facts.objects(fact).filter(|object| policy.wants(facts, *object)).count()
        } else {
            facts.count(fact)
        }
    };
    let sum: usize = kinds.into_iter().map(count).sum();
    u64::try_from(sum).unwrap_or(u64::MAX)
}

enum Applies {
    Yes,
    Skipped,
    Not(String),
}

/// Skipped rules by reason.
#[derive(Default)]
struct Skips {
    rules: BTreeMap<(String, bool, Option<String>), BTreeSet<&'static str>>,
}

impl Skips {
    fn add(&mut self, rule: &Rule, reason: &str, partial: bool, namespace: Option<&str>) {
        let key = (reason.to_owned(), partial, namespace.map(ToOwned::to_owned));
        self.rules.entry(key).or_default().insert(rule.id);
    }

    fn finish(self) -> Vec<Skipped> {
        let skipped = self.rules.into_iter().map(|((reason, partial, namespace), rules)| Skipped {
            rules: rules.into_iter().map(ToOwned::to_owned).collect(),
            reason,
            partial,
            namespace,
        });
        skipped.collect()
    }
}

/// Returns whether a rule can be judged; what is missing goes to `skips`.
fn applies(facts: &Facts, rule: &Rule, policy: &Policy, skips: &mut Skips) -> Applies {
    let version = facts.version().or(policy.kube_version).unwrap_or(super::NEWEST);
    let (from, to) = rule.servers;
    if from.is_some_and(|from| version < from) || to.is_some_and(|to| version > to) {
        return Applies::Not(format!("not about servers of version {}.{}", version.0, version.1));
    }
    let mut missing = false;
    // Of several kinds of subjects those that can be read are judged.
    let is_unread = |fact: &Fact| matches!(facts.read(*fact), Read::Not(_));
    let about = rule.check.subjects();
    let one_of_many = |fact: Fact| about.len() > 1 && about.contains(&fact) && !about.iter().all(is_unread);
    for need in rule.reads() {
        match (facts.read(need.fact), need.role) {
            (Read::Not(reason), Role::Decides) if one_of_many(need.fact) => skips.add(rule, reason, true, None),
            (Read::Not(reason), Role::Decides) => {
                skips.add(rule, reason, false, None);
                missing = true;
            }
            (Read::Not(reason), Role::Enriches) => skips.add(rule, reason, true, None),
            (Read::Absent, Role::Decides) if !need.absent_is_empty && !is_subject(rule, need.fact) => {
                return Applies::Not(format!("the files hold no {}", need.fact.plural()));
            }
            (Read::Absent | Read::Whole | Read::Unserved, _) => {}
        }
    }
    if missing {
        return Applies::Skipped;
    }
    for gap in facts.gaps() {
        if rule.reads().any(|need| need.fact == gap.fact) {
            skips.add(rule, &gap.reason, true, gap.namespace.as_deref());
        }
    }
    // Findings about pods are folded by what makes pods, and anything may be suppressed by its namespace.
    let reads = |fact: Fact| rule.reads().any(|need| need.fact == fact);
    for (fact, of) in [(Fact::ReplicaSet, Fact::Pod)] {
        if let Read::Not(reason) = facts.read(fact)
            && reads(of)
            && !reads(fact)
        {
            skips.add(rule, reason, true, None);
        }
    }
    Applies::Yes
}

/// Without subjects there is nothing to judge: that needs no further words.
fn is_subject(rule: &Rule, fact: Fact) -> bool {
    rule.check.subjects().contains(&fact)
}

/// The parts of a finding's identity.
type Key = (ObjectName, Option<String>, Option<&'static str>, String);

/// Puts findings of one rule on the objects that a person edits; those that are equal then become one.
fn fold<'a>(context: &Context<'a>, drafts: Vec<Draft<'a>>, ignores: &Ignores<'a>, works: &mut Vec<Work<'a>>) {
    let rule = context.rule;
    let mut groups: HashMap<Key, Vec<(Draft<'a>, Option<Acceptance>)>> = HashMap::new();
    let mut chains: HashMap<ObjectName, Vec<Link<'a>>> = HashMap::new();
    for mut draft in drafts {
        if !context.policy.wants(context.facts, draft.at) {
            continue;
        }
        draft.proof = draft.proof.min(rule.proof);
        draft.severity = draft.proof.caps(draft.severity);
        let chain = context.facts.chain(draft.at);
        let at = folded(&chain, rule.fold);
        let object = chain.get(at).map_or_else(|| draft.at.object_name(), |link| link.name.clone());
        // What a pod's own annotation accepts is accepted of that pod alone.
        let asked = Asked {
            rule: rule.id,
            container: draft.container.as_deref(),
            probe: draft.probe,
            kind: &object.kind,
            namespace: &object.namespace,
            name: &object.name,
        };
        let own = at > 0 && draft.at.fact() == Fact::Pod;
        let accepted = if own { ignores.of_object(draft.at, &asked, context.now) } else { None };
        let key = (object.clone(), draft.container.clone(), draft.probe, draft.key.clone());
        chains.entry(object).or_insert_with(|| chain.into_iter().skip(at).collect());
        groups.entry(key).or_default().push((draft, accepted));
    }
    for ((object, container, probe, key), mut group) in groups {
        group.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
        let is_accepted = group.iter().all(|(_, accepted)| accepted.is_some());
        if !is_accepted {
            group.retain(|(_, accepted)| accepted.is_none());
        }
        let pods: BTreeSet<&str> = group
            .iter()
            .filter(|(draft, _)| draft.at.fact() == Fact::Pod)
            .map(|(draft, _)| &*draft.at.meta().name)
            .collect();
        let count = u64::try_from(pods.len()).unwrap_or(u64::MAX);
        let chain = chains.get(&object).cloned().unwrap_or_default();
        let Some((draft, accepted)) = group.first() else { continue };
        let is_pod = draft.at.fact() == Fact::Pod;
        let example = draft.at.meta().name.to_string();
        let pods = (is_pod && object.kind != "Pod").then_some(PodCount { count, example });
        let (draft, accepted) = (draft.clone(), accepted.clone());
        let root = chain.last().map_or_else(|| object.clone(), |link| link.name.clone());
        // Probe and key are both what tells findings of one container apart.
        let told_apart = [probe.unwrap_or_default(), key.as_str()].into_iter().filter(|part| !part.is_empty());
        let told_apart = told_apart.collect::<Vec<_>>().join("/");
        let print = fingerprint(rule.id, &root, container.as_deref(), &told_apart);
        let finding = finish(&draft, rule, object, &chain, pods, print);
        works.push(Work { finding, root, probe, rule, chain, accepted });
    }
}

/// Returns the object that findings about an object are put on.
pub(super) fn folded_name(facts: &Facts, object: &dyn Object, fold: Fold) -> ObjectName {
    let chain = facts.chain(object);
    let at = folded(&chain, fold);
    chain.get(at).map_or_else(|| object.object_name(), |link| link.name.clone())
}

/// Worst first, then surest, then by name.
fn rank<'b>(draft: &'b Draft<'_>) -> impl Ord + 'b {
    let meta = draft.at.meta();
    (Reverse(draft.severity), Reverse(draft.proof), &*meta.namespace, draft.at.kind(), &*meta.name, &draft.message)
}

/// Returns which object of a chain a finding is put on.
fn folded(chain: &[Link<'_>], fold: Fold) -> usize {
    let root = chain.len().saturating_sub(1);
    let carries = |link: &Link<'_>| {
        link.fact()
            .is_some_and(|fact| fact == Fact::CustomCarrier || Fact::CARRIERS.contains(&fact) && fact != Fact::Pod)
    };
    match fold {
        Fold::Itself | Fold::Pod => 0,
        Fold::Job => chain.iter().position(|link| link.fact() == Some(Fact::Job)).unwrap_or(root),
        // What no carrier holds is its own, unless a pod's owner is known by name.
        Fold::Workload => match chain.iter().rposition(carries) {
            Some(at) => at,
            None if chain.first().is_some_and(|link| link.fact() == Some(Fact::Pod)) => root,
            None => 0,
        },
    }
}

fn finish(
    draft: &Draft<'_>,
    rule: &Rule,
    object: ObjectName,
    chain: &[Link<'_>],
    pods: Option<PodCount>,
    fingerprint: String,
) -> Finding {
    let judged = draft.at.object_name();
    let evidence = draft.evidence.iter().map(|proven| {
        let of = match &proven.at {
            Whose::Own => judged.clone(),
            Whose::Other(other) => other.object_name(),
            Whose::Named(name) => name.clone(),
        };
        let value = super::redact::value(&proven.path, &proven.value);
        Evidence { object: (of != object).then_some(of), path: proven.path.clone(), value }
    });
    let evidence: Vec<Evidence> = evidence.collect();
    let own = chain.first().and_then(|link| link.object).unwrap_or(draft.at);
    let path = draft.evidence.iter().zip(&evidence).find(|(_, shown)| shown.object.is_none());
    let source = source(own, path.map_or("", |(proven, _)| proven.path.as_str()));
    let remedy = if draft.remedy.text.is_empty() {
        super::report::Remedy { text: rule.remedy.to_owned(), patch: draft.remedy.patch.clone() }
    } else {
        draft.remedy.clone()
    };
    Finding {
        rule: rule.id.to_owned(),
        name: rule.name.to_owned(),
        severity: draft.severity,
        proof: draft.proof,
        object,
        container: draft.container.clone(),
        source,
        message: draft.message.clone(),
        evidence,
        remedy,
        fingerprint,
        since: draft.since,
        pods,
        also: Vec::new(),
        assumptions: draft.assumptions.clone(),
        details: draft.details.clone(),
    }
}

/// Returns where a field is written: the line of its deepest node that is.
fn source(object: &dyn Object, path: &str) -> Option<Source> {
    object.line_of(path)
}

/// Takes out what somebody accepts.
fn suppress<'a>(
    works: Vec<Work<'a>>,
    ignores: &Ignores<'a>,
    facts: &'a Facts,
    ran: &[&'a Rule],
    policy: &'a Policy,
    now: Timestamp,
) -> (Vec<Work<'a>>, Vec<Suppressed>) {
    let (mut kept, mut suppressed) = (Vec::new(), Vec::new());
    for work in works {
        let Finding { rule, container, object, .. } = &work.finding;
        let asked = Asked {
            rule,
            container: container.as_deref(),
            probe: work.probe,
            kind: &object.kind,
            namespace: &object.namespace,
            name: &object.name,
        };
        let by_others = || ignores.accepts(&work.chain, &asked, now);
        let accepted = if annotations::is_own(rule) { None } else { work.accepted.clone().or_else(by_others) };
        match accepted {
            Some(acceptance) => suppressed.push(Suppressed { finding: work.finding, acceptance }),
            None => kept.push(work),
        }
    }
    suppressed.sort_by(|a, b| a.finding.order(&b.finding));
    for rule in ran.iter().filter(|rule| rule.id == annotations::UNUSED) {
        let context = Context { facts, policy, now, rule };
        let mut findings = Findings::default();
        ignores.unused(&context, ran, &mut findings);
        fold(&context, findings.drafts, ignores, &mut kept);
    }
    (kept, suppressed)
}
