//! Deploys that are faster than their clients: the family `ROLL`. The arithmetic is that of [`crate::models::rollout`].

mod hooks;
mod live;
mod pace;
mod room;
mod services;

use std::sync::LazyLock;

use jiff::SignedDuration;

use super::facts::{Carrier, Object, Of};
use super::kinds::{Deployment, Service};
use super::needs::{Fact, Need};
use super::probes;
use super::rule::{Context, Rule};
use crate::models::declared::{self, DRAIN, PROPAGATION};
use crate::models::rollout::{self, Pace, Rate, capped, fenceposts};
use crate::models::thresholds::{Setting, Threshold};
use crate::models::{Input, Origin, duration};
use crate::pods::{Class, Member, members};
use crate::scheduling::{Round, int_or_percent};

/// Deployments, and what their pace depends on.
const PACED: &[Need] = &[
    Need::decides(Fact::Deployment).or_none(),
    Need::decides(Fact::Service).or_none(),
    Need::enriches(Fact::ReplicaSet).or_none(),
    Need::enriches(Fact::Pod).or_none(),
    Need::enriches(Fact::Namespace).or_none(),
    Need::enriches(Fact::Ingress).or_none(),
    Need::enriches(Fact::Route).or_none(),
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none(),
];

/// Deployments alone, and what scales them.
const SIZED: &[Need] = &[
    Need::decides(Fact::Deployment).or_none(),
    Need::enriches(Fact::ReplicaSet).or_none(),
    Need::enriches(Fact::Pod).or_none(),
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none(),
];

/// From so many replicas on the pace is asked about.
const GOVERNED_FROM: Threshold = Threshold {
    name: "rollout.governed-from",
    default: Setting::Count(10),
    about: "replicas from which ROLL-004 asks",
};
/// The share that may vanish within the propagation.
const VANISHING: Threshold = Threshold {
    name: "rollout.vanishing",
    default: Setting::Share(0.5),
    about: "share of the pods that may vanish before clients know (ROLL-004)",
};
/// The share that is advised.
const ADVISED: Threshold = Threshold {
    name: "rollout.advised",
    default: Setting::Share(0.25),
    about: "share of the pods that the advice of ROLL-004 lets vanish",
};
/// Below this survival a drain that is too short is severe.
const SURVIVAL: Threshold = Threshold {
    name: "rollout.survival",
    default: Setting::Share(0.5),
    about: "survival below which ROLL-002 is high",
};
/// Changes of endpoints in a second that a fleet bears.
const CHANGES: Threshold = Threshold {
    name: "rollout.changes",
    default: Setting::Share(50.0),
    about: "changes of endpoints in a second that all rollouts together may make (ROLL-014)",
};

/// What a policy file may change.
pub(super) const THRESHOLDS: [Threshold; 5] = [GOVERNED_FROM, VANISHING, ADVISED, SURVIVAL, CHANGES];

/// The rows.
pub(super) static RULES: LazyLock<Vec<Rule>> =
    LazyLock::new(|| [pace::RULES, hooks::RULES, room::RULES, services::RULES, live::RULES].concat());

/// A deployment that replaces its pods step by step.
struct Rolled<'a> {
    deployment: &'a Of<Deployment>,
    carrier: Carrier<'a>,
    replicas: i32,
    surge: i32,
    unavailable: i32,
    /// Services that select its pods.
    services: Vec<&'a Of<Service>>,
}

impl<'a> Rolled<'a> {
    /// Returns a deployment with its counts; none where the strategy is another one, no pods are wanted, or the counts
    /// do not read.
    fn of(context: &Context<'a>, carrier: Carrier<'a>) -> Option<Self> {
        if carrier.object.fact() != Fact::Deployment {
            return None;
        }
        let deployment = probes::find(context.facts.deployments(), &carrier)?;
        let spec = deployment.spec.as_ref()?;
        let strategy = spec.strategy.as_ref()?;
        let update = strategy.rolling_update.as_ref()?;
        let replicas = replicas(context, deployment, spec.replicas.unwrap_or(1));
        if strategy.r#type != "RollingUpdate" || replicas <= 0 {
            return None;
        }
        let counts = fenceposts(update.max_surge.as_ref(), update.max_unavailable.as_ref(), replicas).ok()?;
        let meta = deployment.meta();
        let services = context.facts.services_of(&meta.namespace, carrier.labels);
        let is_routed =
            |service: &&Of<Service>| service.spec.as_ref().is_some_and(|spec| spec.r#type != "ExternalName");
        Some(Self {
            deployment,
            carrier,
            replicas,
            surge: counts.0.max(0),
            unavailable: capped(counts.1, replicas).max(0),
            services: services.filter(is_routed).collect(),
        })
    }

    /// Returns the same where a service selects its pods.
    fn routed(context: &Context<'a>, carrier: Carrier<'a>) -> Option<Self> {
        Self::of(context, carrier).filter(|rolled| !rolled.services.is_empty())
    }

    fn min_ready(&self) -> Input<SignedDuration> {
        let seconds = self.deployment.spec.as_ref().map_or(0, |spec| spec.min_ready_seconds);
        Input::object(SignedDuration::from_secs(i64::from(seconds)), "/spec/minReadySeconds")
    }

    fn replaced(&self) -> i32 {
        self.surge.saturating_add(self.unavailable)
    }

    /// Returns the containers that take the services' traffic: owners of target ports, and proxies that accept for the
    /// pod; all regular ones where nobody declares the ports.
    fn serving(&self, context: &Context<'a>) -> Vec<Member<'a>> {
        let routing = probes::routing(context.facts, &self.carrier);
        let is_proxy = |member: &Member<'_>| {
            let row = context.policy.sidecars.find(&member.container.name, &member.container.image);
            member.class == Class::Regular && row.is_some_and(|row| row.is_ok_and(|row| row.class == "data-path"))
        };
        let owns = |member: &Member<'_>| routing.to(member.container).next().is_some();
        let all: Vec<Member<'a>> = members(self.carrier.spec).filter(Member::is_gating).collect();
        let serving: Vec<Member<'a>> = all.iter().filter(|member| owns(member) || is_proxy(member)).copied().collect();
        if serving.iter().any(owns) {
            return serving;
        }
        all.into_iter().filter(|member| member.class == Class::Regular).collect()
    }

    /// Returns how long a pod that is being deleted keeps answering: the shortest hook, and what is declared.
    fn drain(&self, context: &Context<'a>) -> Input<SignedDuration> {
        let hooks = self.serving(context).into_iter().map(|member| (hooks::hook(member.container), member));
        let least = hooks.min_by_key(|(time, _)| *time);
        let path = least.map_or(String::new(), |(_, member)| member.path());
        let time = SignedDuration::from_secs(least.map_or(0, |(time, _)| time));
        let at = format!("{}{path}/lifecycle", self.carrier.path);
        match declared::stated(context.facts, self.carrier.object, DRAIN, duration::parse) {
            Some(declared) => Input { value: declared.value.saturating_add(time), ..declared },
            None => Input::object(time, at),
        }
    }

    /// Returns how long clients keep an endpoint: stated, measured, or the slowest kind of client that there is.
    fn propagation(&self, context: &Context<'a>) -> Input<SignedDuration> {
        let stated = declared::stated(context.facts, self.carrier.object, PROPAGATION, duration::parse);
        let measured = context.policy.measurements.as_ref().and_then(|told| told.propagation(context.now));
        let outside = self.services.iter().any(|service| probes::routing::is_exposed(context.facts, service));
        let otherwise = if outside {
            Input::default(rollout::OUTSIDE_PROPAGATION, "load balancer outside")
        } else if self.is_meshed(context) {
            Input::default(rollout::MESH_PROPAGATION, "proxied mesh")
        } else {
            Input::default(rollout::NODE_PROPAGATION, "kube-proxy")
        };
        Input::or([stated, measured], otherwise)
    }

    /// Returns whether proxies of a mesh take the traffic: one is there, or labels say that one is added.
    fn is_meshed(&self, context: &Context<'a>) -> bool {
        let rows = context.policy.sidecars.rows().iter().filter(|row| row.class == "data-path");
        let there = members(self.carrier.spec).any(|member| {
            let row = context.policy.sidecars.find(&member.container.name, &member.container.image);
            row.is_some_and(|row| row.is_ok_and(|row| row.class == "data-path"))
        });
        let namespace = context.facts.namespace(&self.carrier.object.meta().namespace);
        let has = |labels: &super::text::Labels, wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key) == Some(value),
            None => labels.get(wanted).is_some(),
        };
        let mut added = rows.filter_map(|row| row.enable.as_ref()).map(|enable| {
            enable.pod_labels.iter().any(|wanted| has(self.carrier.labels, wanted))
                || enable.pod_annotations.iter().any(|wanted| has(self.carrier.annotations, wanted))
                || namespace.is_some_and(|namespace| {
                    enable.namespace_labels.iter().any(|wanted| has(&namespace.meta.labels, wanted))
                        || enable.namespace_annotations.iter().any(|wanted| has(&namespace.meta.annotations, wanted))
                })
        });
        there || added.any(|is| is)
    }

    /// Returns how long its pods take to be ready.
    fn ready_after(&self, context: &Context<'a>) -> Input<SignedDuration> {
        let name = self.deployment.object_name();
        let measured = context.policy.measurements.as_ref().and_then(|told| told.ready(&name, context.now));
        let seen = context.facts.ready_after(self.deployment);
        let otherwise = if seen.pods > 0 {
            Input::new(seen.time, Origin::Measured).because(format!("median of {} pods", seen.pods))
        } else {
            Input::default(seen.time, "initial delay of the probes")
        };
        Input::or([measured], otherwise)
    }

    fn grace(&self) -> SignedDuration {
        SignedDuration::from_secs(grace(&self.carrier))
    }

    fn pace(&self, context: &Context<'a>) -> Pace {
        Pace {
            replicas: self.replicas,
            surge: self.surge,
            unavailable: self.unavailable,
            min_ready: self.min_ready().value,
            drain: self.drain(context),
            propagation: self.propagation(context),
            ready_after: self.ready_after(context),
            grace: self.grace(),
            rate: Rate::default(),
        }
    }

    fn count(&self) -> Input<i32> {
        Input::object(self.replicas, "/spec/replicas")
    }

    fn surges(&self) -> Input<i32> {
        Input::object(self.surge, "/spec/strategy/rollingUpdate/maxSurge")
    }

    fn misses(&self) -> Input<i32> {
        Input::object(self.unavailable, "/spec/strategy/rollingUpdate/maxUnavailable")
    }
}

/// Returns the pods that a deployment wants: an autoscaler's minimum where that is more than what is written.
fn replicas(context: &Context<'_>, deployment: &Of<Deployment>, written: i32) -> i32 {
    let spec = scaler(context, deployment).and_then(|scaler| scaler.spec.as_ref());
    spec.map_or(written, |spec| written.max(spec.min_replicas.unwrap_or(1)))
}

/// Returns the autoscaler of a deployment.
fn scaler<'a>(
    context: &Context<'a>,
    deployment: &Of<Deployment>,
) -> Option<&'a Of<super::kinds::HorizontalPodAutoscaler>> {
    context.facts.autoscalers().iter().find(|scaler| {
        let target = scaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
        scaler.meta.namespace == deployment.meta.namespace
            && target.is_some_and(|target| target.kind == "Deployment" && *target.name == *deployment.meta.name)
    })
}

/// Returns a pod's grace period in seconds.
fn grace(carrier: &Carrier<'_>) -> i64 {
    carrier.spec.termination_grace_period_seconds.unwrap_or(30)
}

fn grace_path(carrier: &Carrier<'_>) -> String {
    format!("{}/spec/terminationGracePeriodSeconds", carrier.path)
}

/// Returns a time for people: `10s`, `2.5s`.
fn shown(time: SignedDuration) -> String {
    let millis = time.as_millis();
    if millis % 1000 == 0 { format!("{}s", millis / 1000) } else { format!("{}s", time.as_secs_f64()) }
}

/// Returns whole seconds, rounded up.
fn ceil(time: SignedDuration) -> i64 {
    time.as_secs().saturating_add(i64::from(time.subsec_nanos() > 0))
}

/// Returns a share of a number, rounded; zero where it does not read.
fn share(value: Option<&crate::kinds::IntOrString>, of: i32, round: Round) -> i32 {
    value.and_then(|value| int_or_percent(value, of, round).ok()).unwrap_or(0)
}

/// Returns the pace of a deployment as the rules see it; none where its strategy is no rolling update, no pods are
/// wanted, or its counts do not read.
#[must_use]
pub fn pace_of(
    facts: &super::Facts,
    policy: &super::Policy,
    now: jiff::Timestamp,
    deployment: &Of<Deployment>,
) -> Option<Pace> {
    let context = Context { facts, policy, now, rule: RULES.first()? };
    Rolled::of(&context, Carrier::of(deployment)?).map(|rolled| rolled.pace(&context))
}

/// Returns what a simulation of rollouts reads.
#[must_use]
pub fn needs() -> super::Needs {
    super::union(PACED)
}
