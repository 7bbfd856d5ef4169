//! What an admission webhook will add to the pods of a job, and what a shared process namespace lets the work do to it.

use super::ladder::{injector_patch, switched};
use super::outcome::is_flag;
use super::shell;
use super::view::{as_job, is_future, is_template};
use crate::audit::facts::{Carrier, Facts, Of, Pod};
use crate::audit::kinds::{Container, Namespace};
use crate::audit::needs::{BATCH_PODS, Fact, Need};
use crate::audit::report::{Proof, Severity};
use crate::audit::rule::{Check, Context, Findings, Fold, Rule};
use crate::audit::text::Labels;
use crate::pods::{Class, Role, Sidecar, members};

const INJECTED: &[Need] = &[
    Need::decides(Fact::Job).or_none(),
    Need::decides(Fact::CronJob).or_none(),
    Need::enriches(Fact::Pod).narrowed(BATCH_PODS),
    Need::enriches(Fact::Namespace),
];

pub(super) const ZJ701: Rule = Rule {
    id: "ZJ701",
    name: "will-be-injected",
    severity: Severity::High,
    proof: Proof::Model,
    fold: Fold::Job,
    needs: INJECTED,
    summary: "an injector will add a sidecar that does not end to the pods of a job",
    why: "the sidecar becomes a regular container: the pod ends when it does, which is never, so the job never completes",
    remedy: "switch the injector to native sidecars for this template, or keep it away",
    traps: &[
        "the template opts out",
        "pods of this injector have it as a native sidecar",
        "the template asks for a native sidecar",
        "a proxy stays away from the node's own network",
        "a sidecar that ends by itself when the work has ended",
        "the work asks it to quit",
        "a job with pods is judged by its pods",
        "the namespace says no",
    ],
    links: &["https://github.com/istio/istio/issues/6324", "https://github.com/linkerd/linkerd2/issues/1869"],
    check: Check::Template(injected),
    ..Rule::BASE
};

pub(super) const ZJ704: Rule = Rule {
    id: "ZJ704",
    name: "shared-pid-kill",
    severity: Severity::Low,
    proof: Proof::Hint,
    fold: Fold::Job,
    needs: INJECTED,
    summary: "the work kills its sidecar through a shared process namespace",
    why: "a process that dies of a signal does not exit 0: under Never the pod fails and the work runs again, under \
          OnFailure the kubelet starts the sidecar again",
    remedy: "make it a native sidecar: the kubelet ends it after the work, and its exit code does not count",
    traps: &["a process of its own", "without a shared process namespace nothing is reached"],
    check: Check::Template(kills),
    ..Rule::BASE
};

/// Returns whether labels or annotations hold one of some pairs: `key=value`, or a key alone.
fn holds<'p>(labels: &Labels, pairs: impl IntoIterator<Item = &'p String>) -> bool {
    pairs.into_iter().any(|pair| match pair.split_once('=') {
        Some((key, value)) => labels.get(key) == Some(value),
        None => labels.get(pair).is_some(),
    })
}

/// Returns whether a key of some pairs is there with another value: that is a no.
fn denies<'p>(labels: &Labels, pairs: impl IntoIterator<Item = &'p String>) -> bool {
    let other = |pair: &String| {
        pair.split_once('=').is_some_and(|(key, value)| labels.get(key).is_some_and(|found| found != value))
    };
    pairs.into_iter().any(other)
}

/// What switches an injector on for a template: JSON pointer and value, of the template or of its namespace.
struct On<'a> {
    namespace: Option<&'a Of<Namespace>>,
    path: String,
    value: String,
}

/// Returns what switches the injector of a row on for a template; `None` where it stays away.
fn switches<'a>(carrier: &Carrier<'a>, namespace: Option<&'a Of<Namespace>>, row: &Sidecar) -> Option<On<'a>> {
    let enable = row.enable.as_ref()?;
    let out = row.opt_out.as_ref();
    let opted = out.is_some_and(|out| {
        let given = |labels: &Labels, pair: &String| !pair.is_empty() && holds(labels, [pair]);
        given(carrier.labels, &out.label) || given(carrier.annotations, &out.annotation)
    });
    let said_no = denies(carrier.labels, &enable.pod_labels) || denies(carrier.annotations, &enable.pod_annotations);
    if opted || said_no {
        return None;
    }
    let at = |root: &str, list: &str, pair: &String, labels: &Labels| {
        let key = pair.split('=').next().unwrap_or(pair);
        let token = key.replace('~', "~0").replace('/', "~1");
        (format!("{root}/metadata/{list}/{token}"), labels.get(key).unwrap_or_default().to_owned())
    };
    let of_pod =
        [("labels", carrier.labels, &enable.pod_labels), ("annotations", carrier.annotations, &enable.pod_annotations)];
    for (list, labels, pairs) in of_pod {
        if let Some(pair) = pairs.iter().find(|pair| holds(labels, [*pair])) {
            let (path, value) = at(carrier.path, list, pair, labels);
            return Some(On { namespace: None, path, value });
        }
    }
    let found = namespace?;
    let of_namespace = [
        ("labels", &found.meta.labels, &enable.namespace_labels),
        ("annotations", &found.meta.annotations, &enable.namespace_annotations),
    ];
    if of_namespace.iter().any(|(_, labels, pairs)| denies(labels, *pairs)) {
        return None;
    }
    of_namespace.into_iter().find_map(|(list, labels, pairs)| {
        let pair = pairs.iter().find(|pair| holds(labels, [*pair]))?;
        let (path, value) = at("", list, pair, labels);
        Some(On { namespace, path, value })
    })
}

/// Returns whether a template asks its injector for a native sidecar.
fn asks_native(carrier: &Carrier<'_>, row: &Sidecar) -> bool {
    let Some(native) = row.native.as_ref().filter(|native| !native.pod_annotation.is_empty()) else { return false };
    let short = native.pod_annotation.rsplit('/').next().unwrap_or_default();
    let names = native.alt_prefixes.iter().map(|prefix| format!("{prefix}/{short}"));
    std::iter::once(native.pod_annotation.clone())
        .chain(names)
        .any(|name| matches!(carrier.annotations.get(&name), Some("true" | "enabled")))
}

fn is_of(row: &Sidecar, container: &Container) -> bool {
    row.names.contains(&container.name)
}

/// Returns the newest pod that an injector has worked on, with the class of the container that it added.
fn newest_of<'a>(facts: &'a Facts, row: &Sidecar) -> Option<(&'a Pod, Class)> {
    let marked =
        |pod: &&Pod| row.status.as_ref().is_some_and(|status| pod.meta.annotations.get(&status.annotation).is_some());
    let seen = |pod: &'a Pod| {
        let found = members(&pod.spec).find(|member| is_of(row, member.container) && member.is_gating())?;
        Some((pod, found.class))
    };
    let all = facts.pods().iter().filter(marked).filter_map(seen);
    all.max_by_key(|(pod, _)| (pod.meta.created, &*pod.meta.namespace, &*pod.meta.name))
}

/// Returns whether any pod has the container of a row as a native sidecar.
pub(super) fn shows_native(facts: &Facts, row: &Sidecar) -> bool {
    let native = |pod: &Pod| members(&pod.spec).any(|m| m.class == Class::NativeSidecar && is_of(row, m.container));
    facts.pods().iter().any(native)
}

/// Returns whether the work of a template asks a sidecar to quit by an endpoint that is on.
pub(super) fn is_asked_to_quit(carrier: &Carrier<'_>, row: &Sidecar) -> bool {
    row.quit.iter().any(|quit| {
        let on = quit.enabled_by.as_ref().is_none_or(|by| {
            let sidecar = members(carrier.spec).find(|member| is_of(row, member.container));
            let words = sidecar.iter().flat_map(|s| s.container.command.iter().chain(&s.container.args));
            by.or_control_plane_default
                || switched(by, |name| carrier.annotations.get(name))
                || !by.arg.is_empty() && words.into_iter().any(|arg| is_flag(arg, &by.arg))
        });
        let ports: Vec<u16> = quit.port.into_iter().chain(quit.ports.iter().copied()).collect();
        let calls = |text: &String| ports.iter().any(|port| text.contains(&format!(":{port}{}", quit.path)));
        let works = members(carrier.spec).filter(|m| m.class == Class::Regular && !is_of(row, m.container));
        on && works.flat_map(|m| m.container.command.iter().chain(&m.container.args)).any(calls)
    })
}

fn injected<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let facts = context.facts;
    if !carrier.is_batch() || !is_future(facts, &carrier) {
        return;
    }
    let namespace = facts.namespace(&carrier.object.meta().namespace);
    for row in context.policy.sidecars.rows() {
        let proxy = row.class == "data-path" && carrier.spec.host_network;
        let own = members(carrier.spec).any(|member| is_of(row, member.container));
        let Some(on) = switches(&carrier, namespace, row) else { continue };
        if row.self_ending || proxy || own || asks_native(&carrier, row) || is_asked_to_quit(&carrier, row) {
            continue;
        }
        let Some(name) = row.names.first() else { continue };
        let (severity, proof, seen) = match newest_of(facts, row) {
            Some((_, Class::NativeSidecar)) => continue,
            Some((pod, _)) => {
                let seen = format!("as in pod {} of namespace {}", pod.meta.name, pod.meta.namespace);
                (Severity::High, Proof::Model, seen)
            }
            None => (Severity::Medium, Proof::Hint, "unless it is set to native sidecars".to_owned()),
        };
        let message = format!(
            "the injector of {} will add {name} to the regular containers ({seen}): it does not end with the work, and the job never completes",
            row.id
        );
        let draft = context.finding(carrier.object, message).on(name.as_str()).key(row.id.as_str());
        let draft = draft.severity(severity).proof(proof);
        let draft = match on.namespace {
            Some(namespace) => draft.evidence_of(namespace, on.path, on.value),
            None => draft.evidence(on.path, on.value),
        };
        let draft = match newest_of(facts, row) {
            Some((pod, class)) => {
                let found = members(&pod.spec).find(|m| m.class == class && is_of(row, m.container));
                let path = found.map_or_else(String::new, |member| format!("{}/name", member.path()));
                draft
                    .evidence_of(pod, path, name.as_str())
                    .assuming(format!("{} treats these pods as it treated the newest that it worked on", row.id))
            }
            None => draft.assuming(format!("{} adds regular containers, as it does unless told otherwise", row.id)),
        };
        findings.push(match injector_patch(row, &carrier) {
            Some((text, patch)) => patch.into_iter().fold(draft.remedy(text), crate::audit::rule::Draft::patch),
            None => draft,
        });
    }
}

/// Returns the words by which a command is told to signal processes by name: of `pkill`, `killall`, `pidof`, `pgrep`.
fn targets(script: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut words = script.split([' ', '\n', '\t', ';', '|', '&', '(', ')', '`', '"', '\'']).filter(|w| !w.is_empty());
    while let Some(word) = words.next() {
        let program = word.rsplit('/').next().unwrap_or(word);
        if !matches!(program, "pkill" | "killall" | "pidof" | "pgrep") {
            continue;
        }
        found.extend(words.by_ref().find(|word| !word.starts_with('-') && !word.starts_with('$')));
    }
    found
}

/// Returns whether a process of a container goes by a name, in whole or in part.
fn goes_by(container: &Container, name: &str) -> bool {
    let image = container.image.split(['@', ':']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let program = container.command.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
    let alike = |known: &str| known == name || known.split(['-', '_', '.']).any(|part| part == name);
    let long = name.len() >= 4;
    alike(&container.name) || alike(image) || program == name || long && container.name.contains(name)
}

fn kills<'a>(context: &Context<'a>, carrier: Carrier<'a>, findings: &mut Findings<'a>) {
    let facts = context.facts;
    if !carrier.spec.share_process_namespace || !carrier.is_batch() || !is_template(facts, &carrier) {
        return;
    }
    let roles = facts.template_roles(&carrier, &context.policy.sidecars, context.now);
    let is_sidecar = |name: &str| roles.iter().any(|role| role.container == name && role.role == Role::Sidecar);
    // What was injected stands in the pods alone.
    let pod = as_job(facts, carrier.object).and_then(|job| facts.pods_of(job).next());
    let injected = pod.into_iter().flat_map(|pod| members(&pod.spec)).filter(|member| {
        !members(carrier.spec).any(|known| known.container.name == member.container.name) && member.is_gating()
    });
    let beside: Vec<&Container> = members(carrier.spec)
        .filter(|member| member.class == Class::NativeSidecar || is_sidecar(&member.container.name))
        .chain(injected)
        .map(|member| member.container)
        .collect();
    for member in members(carrier.spec).filter(|member| member.class == Class::Regular) {
        let container = member.container;
        if is_sidecar(&container.name) {
            continue;
        }
        let Some((script, _)) = shell::script(&container.command, &container.args) else { continue };
        let names = targets(script);
        let hit = names.iter().find_map(|name| beside.iter().find(|other| goes_by(other, name)));
        let hit =
            hit.filter(|other| other.name != container.name && !names.iter().all(|name| goes_by(container, name)));
        let Some(sidecar) = hit else { continue };
        let then = if carrier.spec.restart_policy == "OnFailure" {
            "it does not exit 0, and the kubelet starts it again"
        } else {
            "it does not exit 0, and the pod fails although the work succeeded"
        };
        let message = format!(
            "the command of container {} kills {} through the shared process namespace: {then}",
            container.name, sidecar.name
        );
        let draft = context.container(carrier, member, message).key(sidecar.name.as_str());
        let draft = draft.evidence(format!("{}/spec/shareProcessNamespace", carrier.path), true);
        let list = if container.command.iter().any(|word| word == script) { "command" } else { "args" };
        findings.push(draft.evidence(format!("{}{}/{list}", carrier.path, member.path()), script));
    }
}
