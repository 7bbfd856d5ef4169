//! The pods of a fleet, those alike taken together, and the containers that are asked for in them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::names::{parts, repository};
use super::{Ask, Match, Mode, Term, WhatIf, rounded};
use crate::audit::facts::{Carrier, ContainerStatus, Facts, Object, Origin, Pod, Read};
use crate::audit::kinds::{Container, PodSpec};
use crate::audit::needs::Fact;
use crate::audit::probes::model::{budget, to_ready};
use crate::audit::probes::{ProbeKind, probes, replicas};
use crate::audit::report::ObjectName;
use crate::audit::text::{Labels, Text};
use crate::pods::{Member, members};

/// Pods that are alike: same namespace, labels and spec.
pub(super) struct Cohort<'a> {
    pub(super) namespace: &'a Text,
    pub(super) labels: &'a Labels,
    pub(super) spec: &'a PodSpec,
    /// How many there are.
    pub(super) pods: usize,
    /// How many of them are ready.
    pub(super) healthy: usize,
    /// What falls here: indexes of subjects, each once.
    pub(super) subjects: Vec<usize>,
}

/// An image or a name, or all of a pattern.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts")]
pub(super) struct Subject {
    images: BTreeMap<String, usize>,
    names: BTreeMap<String, usize>,
    pub(super) pods: usize,
    waits: bool,
    ended: usize,
    liveness: bool,
    moving: bool,
    socket: bool,
    pub(super) notices: (Option<i64>, i64),
    pub(super) recovers: i64,
    pub(super) starts: i64,
}

/// The fleet.
pub(super) struct Fleet<'a> {
    pub(super) cohorts: Vec<Cohort<'a>>,
    pub(super) subjects: Vec<Subject>,
    /// Uid of a pod → its cohort.
    by_uid: HashMap<&'a str, usize>,
    /// Namespace and name of a pod → its cohort.
    by_name: HashMap<(&'a str, &'a str), usize>,
    /// Templates stand for their pods.
    pub(super) modelled: bool,
    pub(super) notes: Vec<String>,
}

/// What is found in one spec: each container that is asked for, with its subject.
type Found<'a> = Vec<(usize, Member<'a>)>;

/// Terminations count for this long.
const RECENT: SignedDuration = SignedDuration::from_hours(24);
/// Reasons for which a container waits because of its image.
const IMAGE: &[&str] = &[
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
];

impl<'a> Fleet<'a> {
    pub(super) fn of(facts: &'a Facts, ask: &Ask<'_>) -> Self {
        let mut builder = Building { facts, ask, keys: HashMap::new(), subjects: Vec::new(), specs: HashMap::new() };
        let mut fleet = Self {
            cohorts: Vec::new(),
            subjects: Vec::new(),
            by_uid: HashMap::new(),
            by_name: HashMap::new(),
            modelled: false,
            notes: Vec::new(),
        };
        let mut places: HashMap<(&Text, &Labels, usize), usize> = HashMap::new();
        let mut owners: HashSet<ObjectName> = HashSet::new();
        let templates = facts.origin() == Origin::Manifests || matches!(facts.read(Fact::Pod), Read::Not(_));
        for pod in facts.pods().iter().filter(|pod| stays(pod)) {
            let key = (&pod.meta.namespace, &pod.meta.labels, std::ptr::from_ref(&*pod.spec).addr());
            let place = *places.entry(key).or_insert_with(|| {
                let subjects = builder.subjects_of(pod, &pod.spec);
                fleet.cohorts.push(Cohort {
                    namespace: &pod.meta.namespace,
                    labels: &pod.meta.labels,
                    spec: &pod.spec,
                    pods: 0,
                    healthy: 0,
                    subjects,
                });
                fleet.cohorts.len() - 1
            });
            if let Some(cohort) = fleet.cohorts.get_mut(place) {
                cohort.pods += 1;
                cohort.healthy += usize::from(is_ready(pod));
                builder.count(&pod.spec, &cohort.subjects, 1);
                builder.look(pod, ask.now);
            }
            if !pod.meta.uid.is_empty() {
                fleet.by_uid.insert(&pod.meta.uid, place);
            }
            fleet.by_name.insert((&pod.meta.namespace, &pod.meta.name), place);
            if templates && pod.meta.owner.is_some() {
                owners.extend(facts.chain(pod).into_iter().map(|link| link.name));
            }
        }
        if templates {
            fleet.add_templates(facts, &mut builder, &owners);
        }
        fleet.subjects = builder.subjects;
        // What runs once a node takes no pod with it.
        if ask.what_if == Some(WhatIf::DaemonSet) {
            fleet.cohorts.iter_mut().for_each(|cohort| cohort.subjects.clear());
        }
        fleet
    }

    /// Adds what stands for pods that nobody has seen.
    fn add_templates(&mut self, facts: &'a Facts, builder: &mut Building<'a, '_>, owners: &HashSet<ObjectName>) {
        let (mut guessed, mut added) = (BTreeSet::new(), false);
        for carrier in facts.carriers().filter(|carrier| stands_for_pods(carrier)) {
            if owners.contains(&carrier.object.object_name()) {
                continue;
            }
            let count = replicas(facts, &carrier).or_else(|| custom_replicas(facts, &carrier));
            if count.is_none() {
                guessed.insert(carrier.object.object_name().to_string());
            }
            let count = usize::try_from(count.unwrap_or(1)).unwrap_or_default();
            if count == 0 {
                continue;
            }
            added = true;
            let subjects = builder.subjects_of(carrier.object, carrier.spec);
            builder.count(carrier.spec, &subjects, count);
            let namespace = &carrier.object.meta().namespace;
            let Carrier { labels, spec, .. } = carrier;
            self.cohorts.push(Cohort { namespace, labels, spec, pods: count, healthy: count, subjects });
        }
        self.modelled = added;
        if added {
            self.notes.push("templates stand for their pods: each replica counts as a ready one".to_owned());
        }
        if !guessed.is_empty() {
            let names: Vec<&str> = guessed.iter().map(String::as_str).collect();
            let names = super::super::listed(&names);
            self.notes.push(format!("{names}: how many pods there are is not written, one is assumed"));
        }
    }

    /// Returns the cohort of a pod that an endpoint names.
    pub(super) fn cohort_of(&self, uid: &str, namespace: &str, name: &str) -> Option<usize> {
        let by_uid = if uid.is_empty() { None } else { self.by_uid.get(uid) };
        by_uid.or_else(|| self.by_name.get(&(namespace, name))).copied()
    }
}

/// Returns whether a pod counts: neither ended nor deleted nor made by a job.
fn stays(pod: &Pod) -> bool {
    let of_job = pod.meta.owner.as_ref().is_some_and(|owner| owner.kind == "Job");
    !pod.is_over() && pod.meta.deleted.is_none() && !of_job
}

/// Returns whether a pod is ready; one without a status, as in a file, counts as such.
fn is_ready(pod: &Pod) -> bool {
    pod.status.as_ref().is_none_or(|status| match status.condition("Ready") {
        Some(ready) => ready.is_true(),
        None => status.phase.is_empty() && status.conditions.is_empty(),
    })
}

fn stands_for_pods(carrier: &Carrier<'_>) -> bool {
    !matches!(carrier.object.fact(), Fact::Pod | Fact::Job | Fact::CronJob | Fact::PodTemplate)
}

/// Returns the replicas of a kind that this crate does not declare.
fn custom_replicas(facts: &Facts, carrier: &Carrier<'_>) -> Option<i32> {
    let meta = carrier.object.meta();
    let own = facts.custom().iter().find(|custom| {
        custom.meta.namespace == meta.namespace
            && custom.meta.name == meta.name
            && *custom.kind == *carrier.object.kind()
    });
    let written = own?.object.pointer("/spec/replicas").and_then(serde_json::Value::as_i64);
    written.and_then(|count| i32::try_from(count).ok())
}

/// Subjects under construction.
struct Building<'a, 'q> {
    facts: &'a Facts,
    ask: &'q Ask<'q>,
    keys: HashMap<String, usize>,
    subjects: Vec<Subject>,
    specs: HashMap<usize, Found<'a>>,
}

impl<'a> Building<'a, '_> {
    /// Returns what is asked for in the pods of an object, each once.
    fn subjects_of(&mut self, object: &dyn Object, spec: &'a PodSpec) -> Vec<usize> {
        if !self.ask.policy.wants(self.facts, object) {
            return Vec::new();
        }
        self.learn(spec);
        let found = self.specs.get(&std::ptr::from_ref(spec).addr());
        let subjects: BTreeSet<usize> = found.into_iter().flatten().map(|(subject, _)| *subject).collect();
        subjects.into_iter().collect()
    }

    /// Finds the containers of a spec that are asked for.
    fn learn(&mut self, spec: &'a PodSpec) {
        let at = std::ptr::from_ref(spec).addr();
        if self.specs.contains_key(&at) {
            return;
        }
        let mut found = Vec::new();
        for member in members(spec).filter(Member::is_gating) {
            let container = member.container;
            let key = match &self.ask.what {
                Match::Images => repository(&container.image),
                Match::Containers => container.name.as_str(),
                Match::Image(pattern) if pattern.is_image(&container.image) => "",
                Match::Container(pattern) if pattern.is_container(&container.name) => "",
                Match::Image(_) | Match::Container(_) => continue,
            };
            if !self.is_hit(&member, spec) {
                continue;
            }
            let fresh = self.subjects.len();
            let subject = *self.keys.entry(key.to_owned()).or_insert(fresh);
            if subject == fresh {
                self.subjects.push(Subject::default());
            }
            if let Some(known) = self.subjects.get_mut(subject) {
                known.learn(&member, spec);
            }
            found.push((subject, member));
        }
        self.specs.insert(at, found);
    }

    /// Returns whether a container's fall is one of its pod.
    fn is_hit(&self, member: &Member<'_>, spec: &PodSpec) -> bool {
        let without = self.ask.what_if == Some(WhatIf::NoReadiness);
        self.ask.mode == Mode::Crash
            || probes(member, spec).iter().any(|probe| match probe.kind {
                ProbeKind::Liveness => true,
                ProbeKind::Readiness => !without,
                ProbeKind::Startup => false,
            })
    }

    /// Counts pods of a spec.
    fn count(&mut self, spec: &PodSpec, subjects: &[usize], pods: usize) {
        for subject in subjects {
            if let Some(subject) = self.subjects.get_mut(*subject) {
                subject.pods += pods;
            }
        }
        if subjects.is_empty() {
            return;
        }
        let mut seen = HashSet::new();
        for (subject, member) in self.specs.get(&std::ptr::from_ref(spec).addr()).into_iter().flatten() {
            let Some(subject) = self.subjects.get_mut(*subject) else { continue };
            *subject.images.entry(repository(&member.container.image).to_owned()).or_default() += pods;
            if seen.insert(&member.container.name) {
                *subject.names.entry(member.container.name.clone()).or_default() += pods;
            }
        }
    }

    /// Looks at what the kubelet says of a pod's containers.
    fn look(&mut self, pod: &Pod, now: Timestamp) {
        let Some(status) = &pod.status else { return };
        for (subject, member) in self.specs.get(&std::ptr::from_ref(&*pod.spec).addr()).into_iter().flatten() {
            let (Some(subject), Some(container)) =
                (self.subjects.get_mut(*subject), status.container(&member.container.name))
            else {
                continue;
            };
            let waits = container.waiting();
            subject.waits |= waits.is_some_and(|reason| reason == "CrashLoopBackOff" || IMAGE.contains(&reason));
            subject.ended += usize::from(ended_lately(container, now));
        }
    }
}

fn ended_lately(container: &ContainerStatus, now: Timestamp) -> bool {
    let ended = container.terminated().or(container.last.as_deref()).and_then(|ended| ended.finished);
    ended.is_some_and(|at| now.duration_since(at) <= RECENT)
}

fn is_moving(container: &Container) -> bool {
    let (_, tag, digest) = parts(&container.image);
    digest.is_none() && matches!(tag, None | Some("latest")) || container.image_pull_policy == "Always"
}

/// Returns whether a path of a node is one of a socket, as its name says.
fn is_socket(path: &str) -> bool {
    path.rsplit('.').next() == Some("sock")
}

/// Returns whether a container depends on something that listens on its node.
fn mounts_socket(container: &Container, spec: &PodSpec) -> bool {
    container.volume_mounts.iter().any(|mount| {
        let volume = spec.volumes.iter().find(|volume| volume.name == mount.name);
        let path = volume.and_then(|volume| volume.volume_source.host_path.as_ref());
        path.is_some_and(|path| path.r#type == "Socket" || is_socket(&path.path))
    })
}

impl Subject {
    fn learn(&mut self, member: &Member<'_>, spec: &PodSpec) {
        let container = member.container;
        self.liveness |= container.liveness_probe.is_some();
        self.moving |= is_moving(container);
        self.socket |= mounts_socket(container, spec);
        self.starts = self.starts.max(budget(member) + to_ready(member));
        for probe in probes(member, spec).iter().filter(|probe| probe.kind != ProbeKind::Startup) {
            let (least, most) = (probe.timing.shortest(), probe.timing.longest());
            self.notices = (Some(self.notices.0.map_or(least, |known| known.min(least))), self.notices.1.max(most));
            let back = match probe.kind {
                ProbeKind::Readiness => probe.timing.heals(),
                // It is restarted.
                _ => budget(member) + to_ready(member),
            };
            self.recovers = self.recovers.max(back);
        }
    }

    /// Returns its images, several for a pattern.
    pub(super) fn image(&self) -> String {
        frequent(&self.images)
    }

    /// Returns the names of its containers.
    pub(super) fn container(&self) -> String {
        frequent(&self.names)
    }

    /// Returns the terms of its likelihood, and what they add up to.
    pub(super) fn likelihood(&self) -> (f64, Vec<Term>) {
        let term = |value: f64, why: String| Term { value: rounded(value), why };
        let mut terms = vec![term(0.05, "base".to_owned())];
        if self.waits {
            terms.push(term(0.25, "waiting now".to_owned()));
        }
        if self.ended > 0 {
            let (ended, pods) = (whole(self.ended), whole(self.pods).max(1.0));
            let each = (10.0 * ended / pods).min(5.0);
            terms.push(term(0.10 * each, format!("{} ended within 24 h, in {} pods", self.ended, self.pods)));
        }
        let fixed = [
            (self.liveness, "liveness"),
            (self.moving, "tag latest, or always pulled"),
            (self.socket, "depends on a socket of its node"),
        ];
        terms.extend(fixed.into_iter().filter(|(holds, _)| *holds).map(|(_, why)| term(0.10, why.to_owned())));
        let sum: f64 = terms.iter().map(|term| term.value).sum();
        (rounded(sum.min(1.0)), terms)
    }
}

/// Returns a count as a number to divide by.
pub(super) fn whole(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Returns names, the most frequent first; of many the first with how many there are.
fn frequent(names: &BTreeMap<String, usize>) -> String {
    let mut all: Vec<(&String, &usize)> = names.iter().collect();
    all.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    match all.as_slice() {
        [] => String::new(),
        [(one, _)] => (*one).clone(),
        [(one, _), (two, _)] => format!("{one}, {two}"),
        [(one, _), rest @ ..] => format!("{one} and {} more", rest.len()),
    }
}
