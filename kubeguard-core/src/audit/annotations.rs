//! The annotations that the engine reads: what is suppressed, and what is wrong with them.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::facts::{Carried, Facts, Link, Object};
use super::needs::{Fact, Need};
use super::report::{ObjectName, Proof, Severity};
use super::rule::{Check, Context, Findings, Fold, Policy, Rule};
use super::suppress::{Acceptance, Asked, Entry, Flaw, IGNORE, Place, parse};
use crate::audit::text::Labels;
use crate::models::declared;

pub(super) const EXPIRED: &str = "SUP-001";
pub(super) const REASONLESS: &str = "SUP-002";
pub(super) const UNREADABLE: &str = "SUP-003";
pub(super) const UNUSED: &str = "SUP-004";
pub(super) const MALFORMED: &str = "ANN-001";

/// Annotations of ours that name containers of the pod, divided by commas.
const CONTAINERS: &[&str] =
    &["kubeguard.dev/main-containers", "kubeguard.dev/sidecar-containers", "kubeguard.dev/non-critical"];
/// Annotations of ours with free text; families add theirs here, so that a misspelt one is seen.
const KNOWN: &[&str] = &[IGNORE];

/// Returns whether a rule is about suppressions: it can be neither suppressed nor baselined.
pub(super) fn is_own(rule: &str) -> bool {
    rule.starts_with("SUP-") || rule.starts_with("ANN-")
}

const NEEDS: &[Need] = &[
    Need::enriches(Fact::Namespace).or_none(),
    Need::enriches(Fact::Deployment).or_none(),
    Need::enriches(Fact::StatefulSet).or_none(),
    Need::enriches(Fact::DaemonSet).or_none(),
    Need::enriches(Fact::Job).or_none(),
    Need::enriches(Fact::CronJob).or_none(),
];

const OWN: Rule = Rule { fold: Fold::Workload, proof: Proof::Exact, check: Check::Engine, ..Rule::BASE };

/// The rows about suppressions and annotations.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: EXPIRED,
        name: "suppression-expired",
        severity: Severity::Medium,
        summary: "an accepted finding is no longer accepted: the day has passed",
        why: "what was put off for a while is forgotten for ever",
        remedy: "mend what was accepted, or set a later day with a reason",
        traps: &["the day itself still counts, to its end in UTC"],
        ..OWN
    },
    Rule {
        id: REASONLESS,
        name: "suppression-without-reason",
        severity: Severity::Medium,
        summary: "a suppression gives no reason, so it suppresses nothing",
        why: "nobody can tell later whether it still holds",
        remedy: "add because= and the reason",
        ..OWN
    },
    Rule {
        id: UNREADABLE,
        name: "suppression-unreadable",
        severity: Severity::Medium,
        summary: "a suppression cannot be read, so it suppresses nothing",
        why: "somebody believes that a finding is accepted",
        remedy: "correct the entry: RULE[container=NAME] until=2027-01-31 because=reason",
        traps: &["the entries beside it still work"],
        ..OWN
    },
    Rule {
        id: UNUSED,
        name: "suppression-unused",
        severity: Severity::Info,
        opt_in: true,
        summary: "a suppression matches no finding of a rule that was judged",
        why: "it hides the next finding of its kind",
        remedy: "remove the entry",
        traps: &["a rule that was skipped says nothing about its suppressions"],
        ..OWN
    },
    Rule {
        id: MALFORMED,
        name: "annotation-unreadable",
        severity: Severity::Low,
        summary: "an annotation of kubeguard is unknown, or names a container that is not there",
        why: "it has no effect",
        remedy: "correct the annotation's name, or the container's",
        traps: &["a container that only live pods have is there"],
        needs: NEEDS,
        ..OWN
    },
];

/// An entry with the object that carries it.
struct Kept<'a> {
    at: &'a dyn Object,
    path: String,
    text: String,
    entry: Result<Entry, Flaw>,
    used: bool,
}

/// Every suppression of the facts and of the policy's file.
pub(super) struct Ignores<'a> {
    entries: RefCell<Vec<Kept<'a>>>,
    by_object: HashMap<ObjectName, Vec<usize>>,
    file: Vec<(String, Result<Entry, Flaw>)>,
}

/// Returns a JSON pointer's token.
fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Returns the annotations of an object and of its pod template, each with its JSON pointer.
fn annotations(object: &dyn Object) -> Vec<(&Labels, String)> {
    let mut all = vec![(&object.meta().annotations, "/metadata/annotations".to_owned())];
    if let Some(Carried { annotations, path, .. }) = object.carried()
        && !path.is_empty()
    {
        all.push((annotations, format!("{path}/metadata/annotations")));
    }
    all
}

impl<'a> Ignores<'a> {
    pub(super) fn of(facts: &'a Facts, rules: &[&Rule], policy: &Policy) -> Self {
        // Entries may name any rule, judged now or not, and a caller's own.
        let known: Vec<Rule> = super::rules().iter().chain(rules.iter().copied()).copied().collect();
        let (mut entries, mut by_object): (Vec<Kept<'a>>, HashMap<ObjectName, Vec<usize>>) = Default::default();
        for object in facts.all() {
            for (labels, path) in annotations(object) {
                let Some(text) = labels.get(IGNORE) else { continue };
                for (text, entry) in parse(text, &known) {
                    by_object.entry(object.object_name()).or_default().push(entries.len());
                    let path = format!("{path}/{}", token(IGNORE));
                    entries.push(Kept { at: object, path, text, entry, used: false });
                }
            }
        }
        Self { entries: RefCell::new(entries), by_object, file: policy.ignore.entries.clone() }
    }

    /// Returns why the object's own annotation accepts a finding.
    pub(super) fn of_object(&self, object: &dyn Object, asked: &Asked<'_>, now: Timestamp) -> Option<Acceptance> {
        if self.by_object.is_empty() {
            return None;
        }
        self.by_name(&object.object_name(), asked, now)
    }

    fn by_name(&self, object: &ObjectName, asked: &Asked<'_>, now: Timestamp) -> Option<Acceptance> {
        let mut entries = self.entries.borrow_mut();
        let mut accepted = None;
        for index in self.by_object.get(object).into_iter().flatten() {
            let Some(carried) = entries.get_mut(*index) else { continue };
            if let Ok(entry) = &carried.entry
                && !entry.is_expired(now)
                && entry.matches(asked)
            {
                carried.used = true;
                accepted = accepted.or_else(|| Some(entry.acceptance(Place::Annotation)));
            }
        }
        accepted
    }

    /// Returns why the objects of a chain, its namespace or the file accept a finding: what is nearest says it, and all
    /// that match count as used.
    pub(super) fn accepts(&self, chain: &[Link<'_>], asked: &Asked<'_>, now: Timestamp) -> Option<Acceptance> {
        let mut accepted = None;
        for link in chain {
            let by_link = self.by_name(&link.name, asked, now);
            accepted = accepted.or(by_link);
        }
        let namespace = ObjectName {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            namespace: String::new(),
            name: asked.namespace.to_owned(),
        };
        let by_namespace = self.by_name(&namespace, asked, now);
        let fits = |entry: &&Entry| !entry.is_expired(now) && entry.matches(asked);
        let by_file = || self.file.iter().filter_map(|(_, entry)| entry.as_ref().ok()).find(fits);
        accepted.or(by_namespace).or_else(|| by_file().map(|entry| entry.acceptance(Place::File)))
    }

    /// Finds entries that no finding of a rule that ran matches.
    pub(super) fn unused(&self, context: &Context<'a>, ran: &[&Rule], findings: &mut Findings<'a>) {
        for carried in self.entries.borrow().iter().filter(|carried| !carried.used) {
            let Ok(entry) = &carried.entry else { continue };
            let judged = ran.iter().any(|rule| rule.id.starts_with(&entry.rules));
            if entry.is_expired(context.now) || !judged {
                continue;
            }
            let message = format!("the suppression {:?} matches no finding", carried.text);
            findings
                .push(context.finding(carried.at, message).key(&carried.text).evidence(&carried.path, &*carried.text));
        }
    }
}

/// Finds what is wrong with annotations, for the rules that are about them.
pub(super) fn check<'a>(context: &Context<'a>, ignores: &Ignores<'a>, findings: &mut Findings<'a>) {
    match context.rule.id {
        EXPIRED | REASONLESS | UNREADABLE => suppressions(context, ignores, findings),
        MALFORMED => malformed(context, findings),
        _ => {}
    }
}

fn suppressions<'a>(context: &Context<'a>, ignores: &Ignores<'a>, findings: &mut Findings<'a>) {
    let now = context.now;
    let said = |text: &str, entry: &Result<Entry, Flaw>| match (context.rule.id, entry) {
        (EXPIRED, Ok(entry)) if entry.is_expired(now) => {
            Some(format!("the suppression {text:?} has expired: what it accepted is reported again"))
        }
        (REASONLESS, Err(Flaw::NoReason)) => {
            Some(format!("the suppression {text:?} gives no reason, so it suppresses nothing"))
        }
        (UNREADABLE, Err(Flaw::Unreadable(problem))) => {
            Some(format!("the suppression {text:?} cannot be read, so it suppresses nothing: {problem}"))
        }
        _ => None,
    };
    for carried in ignores.entries.borrow().iter() {
        // What a pod has from its template is said of the template.
        let inherited = carried.at.fact() == Fact::Pod && carried.at.meta().owner.is_some();
        if let Some(message) = said(&carried.text, &carried.entry).filter(|_| !inherited) {
            let evidence = context.finding(carried.at, message).key(&carried.text);
            findings.push(evidence.evidence(&carried.path, &*carried.text));
        }
    }
}

fn malformed<'a>(context: &Context<'a>, findings: &mut Findings<'a>) {
    for object in context.facts.all() {
        if object.fact() == Fact::Pod && object.meta().owner.is_some() {
            continue;
        }
        for (labels, path) in annotations(object) {
            for (name, value) in labels.iter().filter(|(name, _)| name.starts_with("kubeguard.dev/")) {
                let path = format!("{path}/{}", token(name));
                if CONTAINERS.contains(&name) {
                    let Some(there) = containers(context.facts, object) else { continue };
                    let lost = value.split(',').map(str::trim).filter(|one| !there.contains(*one));
                    for lost in lost {
                        let message = if lost.is_empty() {
                            format!("annotation {name} names no container")
                        } else {
                            format!("annotation {name} names container {lost}, which is not there")
                        };
                        findings.push(
                            context.finding(object, message).key(format!("{name} {lost}")).evidence(&path, value),
                        );
                    }
                } else if let Some(problem) = declared::problem(name, value) {
                    let message = format!("annotation {name} does not read, so it states nothing: {problem}");
                    findings.push(context.finding(object, message).key(name).evidence(&path, value));
                } else if let Some(lost) = declared::named_container(name) {
                    let Some(there) = containers(context.facts, object) else { continue };
                    if !there.contains(lost) {
                        let message = format!("annotation {name} names container {lost}, which is not there");
                        findings.push(context.finding(object, message).key(name).evidence(&path, value));
                    }
                } else if !KNOWN.contains(&name) && !declared::is_known(name) {
                    let message = format!("annotation {name} is none that kubeguard knows: it has no effect");
                    findings.push(context.finding(object, message).key(name).evidence(&path, value));
                }
            }
        }
    }
}

/// Returns the containers of an object's template and of its pods; none where it has no template, as a namespace.
fn containers<'a>(facts: &'a Facts, object: &'a dyn Object) -> Option<BTreeSet<&'a str>> {
    fn of(spec: &super::kinds::PodSpec) -> impl Iterator<Item = &str> {
        crate::pods::members(spec).map(|member| member.container.name.as_str())
    }
    let carried = object.carried()?;
    let mut found: BTreeSet<&str> = of(carried.spec).collect();
    let mut makers = vec![object];
    while let Some(maker) = makers.pop() {
        for made in facts.owned_by(maker) {
            match (made.fact(), made.carried()) {
                (Fact::Pod, Some(carried)) => found.extend(of(carried.spec)),
                _ => makers.push(made),
            }
        }
    }
    Some(found)
}
