//! Which probes are wrong, and what falls when a container falls: the family `PA`.
//!
//! Templates are judged on their owner; pods by what the kubelet says of them. See [`Timing`] for the arithmetic,
//! [`endpoint`] for what counts as the same question, and [`routing`] for which container gets traffic.

mod asked;
pub mod blast;
mod budgets;
pub(super) mod command;
mod container;
mod events;
mod guard;
mod handlers;
mod lifecycle;
mod live;
mod model;
mod pods;
mod ports;
pub(super) mod routing;
mod services;
mod sidecars;
mod starts;
pub mod suggest;
pub mod timeline;
mod timing;
mod unread;
mod versions;

use std::sync::LazyLock;

use serde_json::{Value, json};

pub use command::Target;
pub use model::{Endpoint, Probe, ProbeKind, Timing, endpoint, probes, same_endpoint};
pub use routing::{Route, Routing, routing};
pub use starts::{StartTimes, Starts, start_times};
pub(super) use unread::unread;

use super::facts::{Carrier, Facts, Of};
use super::kinds;
use super::needs::{Fact, Need};
use super::rule::{Context, Draft, Rule};
use crate::audit::report::Proof;
use crate::pods::{Class, Criticality, Member, View, criticality, members};

/// Declares what rules about templates read beside templates.
macro_rules! needs_of {
    ($name:ident, $words:literal $(, $need:expr)*) => {
        #[doc = $words]
        const $name: &[Need] = &[
            Need::decides(Fact::Deployment).or_none(),
            Need::decides(Fact::StatefulSet).or_none(),
            Need::decides(Fact::DaemonSet).or_none(),
            Need::decides(Fact::ReplicaSet).or_none(),
            Need::decides(Fact::ReplicationController).or_none(),
            Need::decides(Fact::Job).or_none(),
            Need::decides(Fact::CronJob).or_none(),
            Need::decides(Fact::Pod).or_none(),
            Need::enriches(Fact::CustomCarrier).or_none(),
            $($need,)*
        ];
    };
}

use needs_of;

needs_of!(TEMPLATES, "Everything that holds a pod template.");
needs_of!(ROUTED, "Templates and what routes to them.", Need::decides(Fact::Service).or_none());
needs_of!(
    EXPOSED,
    "Templates, and what routes to them from outside.",
    Need::decides(Fact::Service).or_none(),
    Need::enriches(Fact::Ingress).or_none(),
    Need::enriches(Fact::Route).or_none()
);
needs_of!(
    SCALED,
    "Templates, what routes to them, and what scales them.",
    Need::decides(Fact::Service).or_none(),
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none()
);
needs_of!(VERSIONED, "Templates and the versions of nodes.", Need::enriches(Fact::Node).or_none());
needs_of!(ENFORCED, "Templates and the labels of their namespaces.", Need::decides(Fact::Namespace).or_none());

/// The rows.
pub(super) static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    [
        guard::RULES,
        container::RULES,
        ports::RULES,
        handlers::RULES,
        timing::RULES,
        budgets::RULES,
        lifecycle::RULES,
        sidecars::RULES,
        services::RULES,
        pods::RULES,
        live::RULES,
        events::RULES,
        versions::RULES,
    ]
    .concat()
});

/// Returns whether the pods of a template are meant to end, or have: such are asked for no probes.
fn ends(facts: &Facts, carrier: &Carrier<'_>) -> bool {
    let fact = carrier.object.fact();
    matches!(fact, Fact::Job | Fact::CronJob) || carrier.is_batch() || is_over(facts, carrier)
}

/// Returns whether a bare pod has ended or is being deleted.
fn is_over(facts: &Facts, carrier: &Carrier<'_>) -> bool {
    carrier.object.fact() == Fact::Pod
        && (carrier.object.meta().deleted.is_some()
            || facts.pod(&carrier.object.meta().uid).is_some_and(super::facts::Pod::is_over))
}

/// Returns the containers of a template that are asked for probes: regular ones and native sidecars of pods that are
/// meant to stay.
fn asked<'a>(context: &Context<'a>, carrier: &Carrier<'a>) -> Vec<Member<'a>> {
    if ends(context.facts, carrier) { Vec::new() } else { members(carrier.spec).filter(Member::is_gating).collect() }
}

/// Returns a container with its probes, unless it is an init container or its pod is not meant to stay.
fn staying<'a>(context: &Context<'a>, carrier: &Carrier<'a>, member: &Member<'a>) -> Vec<Probe<'a>> {
    if !member.is_gating() || ends(context.facts, carrier) || is_injected(context, carrier, member) {
        Vec::new()
    } else {
        probes(member, carrier.spec)
    }
}

/// Returns whether an injector says that it added a container: nobody is blamed for the probes that it wrote.
fn is_injected(context: &Context<'_>, carrier: &Carrier<'_>, member: &Member<'_>) -> bool {
    let name = &member.container.name;
    context.policy.sidecars.rows().iter().any(|row| {
        let Some(status) = &row.status else { return false };
        let Some(value) = carrier.annotations.get(&status.annotation) else { return false };
        let known = row.names.contains(name);
        // The list of native sidecars has another name in it.
        known
            && (status.containers_at.is_empty()
                || serde_json::from_str::<Value>(value).is_ok_and(|told| names_it(&told, name)))
    })
}

/// Returns whether any list of an injector's status names a container.
fn names_it(told: &Value, name: &str) -> bool {
    let lists = told.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(Value::as_array);
    lists.flatten().any(|known| known.as_str() == Some(name))
}

/// Returns the probes of any container that may have some, also in jobs.
fn any<'a>(context: &Context<'a>, carrier: &Carrier<'a>, member: &Member<'a>) -> Vec<Probe<'a>> {
    if member.class == Class::Init || is_over(context.facts, carrier) || is_injected(context, carrier, member) {
        Vec::new()
    } else {
        probes(member, carrier.spec)
    }
}

/// Returns the JSON pointer of something below a probe of a template's container.
fn below(carrier: &Carrier<'_>, member: &Member<'_>, kind: ProbeKind, part: &str) -> String {
    let slash = if part.is_empty() { "" } else { "/" };
    format!("{}{}/{}Probe{slash}{part}", carrier.path, member.path(), kind.word())
}

/// Begins a finding about one probe.
fn about<'a>(
    context: &Context<'a>,
    carrier: &Carrier<'a>,
    member: &Member<'a>,
    probe: &Probe<'_>,
    message: impl Into<String>,
) -> Draft<'a> {
    context.container(*carrier, *member, message).probe(probe.word())
}

impl Draft<'_> {
    /// Adds an operation that sets a field of the template; none where something else makes the template.
    fn set(self, carrier: &Carrier<'_>, path: impl Into<String>, value: impl Into<Value>) -> Self {
        if carrier.object.meta().owner.is_some() {
            return self;
        }
        self.patch(json!({"op": "add", "path": path.into(), "value": value.into()}))
    }

    /// Adds an operation that takes a field of the template out; none where something else makes the template.
    fn unset(self, carrier: &Carrier<'_>, path: impl Into<String>) -> Self {
        if carrier.object.meta().owner.is_some() {
            return self;
        }
        self.patch(json!({"op": "remove", "path": path.into()}))
    }

    /// Adds a number of a probe that decided.
    fn number(
        self,
        carrier: &Carrier<'_>,
        member: &Member<'_>,
        kind: ProbeKind,
        field: &str,
        value: impl Into<Value>,
    ) -> Self {
        self.evidence(below(carrier, member, kind, field), value)
    }
}

/// Returns what losing a container means, with annotations of its owner and namespace.
fn class(context: &Context<'_>, carrier: &Carrier<'_>, container: &kinds::Container) -> (Criticality, Proof) {
    let view = View { around: context.facts.around(carrier.object), ..View::of(carrier) };
    criticality(container, &view, &context.policy.sidecars)
}

/// Returns how many pods a template makes at least, where that is written: an autoscaler's minimum, else the replicas.
#[must_use]
pub fn replicas(facts: &Facts, carrier: &Carrier<'_>) -> Option<i32> {
    let (kind, meta) = (carrier.object.kind(), carrier.object.meta());
    let scaler = facts.autoscalers().iter().find(|scaler| {
        let target = scaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
        scaler.meta.namespace == meta.namespace
            && target.is_some_and(|target| target.kind == kind && *target.name == *meta.name)
    });
    // An autoscaler that names no minimum goes down to one.
    if let Some(scaler) = scaler {
        return Some(scaler.spec.as_ref().and_then(|spec| spec.min_replicas).unwrap_or(1));
    }
    match carrier.object.fact() {
        Fact::Pod => Some(1),
        fact => written_replicas(facts, fact, carrier),
    }
}

fn written_replicas(facts: &Facts, fact: Fact, carrier: &Carrier<'_>) -> Option<i32> {
    macro_rules! of {
        ($table:ident) => {
            find(facts.$table(), carrier)?.spec.as_ref()?.replicas
        };
    }
    match fact {
        Fact::Deployment => of!(deployments),
        Fact::StatefulSet => of!(stateful_sets),
        Fact::ReplicaSet => of!(replica_sets),
        Fact::ReplicationController => of!(replication_controllers),
        _ => None,
    }
}

/// Returns the object that holds a template, as its own kind.
pub(super) fn find<'a, T>(table: &'a [Of<T>], carrier: &Carrier<'_>) -> Option<&'a Of<T>> {
    let meta = carrier.object.meta();
    let place = |object: &Of<T>| (&*object.meta.namespace, &*object.meta.name).cmp(&(&*meta.namespace, &*meta.name));
    table.get(table.binary_search_by(place).ok()?)
}

/// Returns the pods that are made from a template, by way of its replica sets.
fn pods_of<'a>(facts: &'a Facts, carrier: &Carrier<'a>) -> Vec<&'a super::facts::Pod> {
    if carrier.object.fact() == Fact::Pod {
        return facts.pod(&carrier.object.meta().uid).into_iter().collect();
    }
    let between = facts.owned_by(carrier.object).filter(|child| child.fact() == Fact::ReplicaSet);
    facts.pods_of(carrier.object).chain(between.flat_map(|child| facts.pods_of(child))).collect()
}

/// Returns names in a sentence: `a`, `a and b`, `a, b and 3 more`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

/// Divides and rounds up; both positive.
fn ceil(amount: i64, by: i64) -> i64 {
    amount.saturating_add(by.saturating_sub(1)) / by.max(1)
}
