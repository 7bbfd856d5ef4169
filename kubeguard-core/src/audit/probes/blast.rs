//! What falls when a container falls: which services lose all, half or some of their endpoints with it.
//!
//! A container that is not running makes its pod unready at once, native sidecars included; a probe that fails does so
//! after its threshold. [`blast`] asks for every image, or for those that are named, which services that empties. One
//! pass: containers of pods by spec, endpoints by pod, one counter for each image and service.

mod fleet;
mod names;
mod reach;
mod weight;

use std::cmp::Reverse;

use jiff::Timestamp;
use serde::Serialize;

pub use names::{Pattern, PatternError, repository};

use super::asked;
use crate::audit::facts::Facts;
use crate::audit::needs::{Fact, Need, Needs};
use crate::audit::report::{Proof, Skipped};
use crate::audit::rule::Policy;
use fleet::Fleet;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub enum Match {
    /// Every image, each for itself.
    #[default]
    Images,
    /// Every container name, each for itself.
    Containers,
    /// All containers of the images that match, as one.
    Image(Pattern),
    /// All containers of the names that match, as one.
    Container(Pattern),
}

/// How it falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It stops: the pod is unready at once, whatever its probes say.
    #[default]
    Crash,
    /// It runs and its readiness or liveness probe fails; containers without either are not hit.
    Probe,
}

/// What would be different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhatIf {
    /// It were a native sidecar: no difference, they make the pod unready too.
    Native,
    /// It had no readiness probe.
    NoReadiness,
    /// It ran once a node instead of in the pods.
    #[serde(rename = "daemonset")]
    DaemonSet,
}

/// A question about the fleet.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Which containers.
    pub what: Match,
    /// How they fall.
    pub mode: Mode,
    /// What would be different.
    pub what_if: Option<WhatIf>,
    /// Labels that narrow the pods whose containers are asked for.
    pub policy: &'a Policy,
    /// The time of the judgement.
    pub now: Timestamp,
}

/// A service that is hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceHit {
    /// Namespace of the service.
    pub namespace: String,
    /// Name of the service.
    pub name: String,
    /// Its worst port, where it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Ready endpoints of that port now.
    pub ready: usize,
    /// How many of them are lost.
    pub lost: usize,
    /// How much it weighs: 5 webhook that must answer, 3 reached from outside, 2 named by another workload, else 1.
    pub weight: u32,
    /// Why it weighs more than 1.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub because: String,
    /// It is reached from outside.
    pub exposed: bool,
    /// It is the backend of an admission webhook that must answer.
    pub webhook: bool,
    /// The disruption budget that is left with fewer healthy pods than it demands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// Endpoints that serve while they terminate: kube-proxy uses them when no ready one is left.
    #[serde(skip_serializing_if = "is_zero")]
    pub fallback: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A service that loses nothing by this, whatever its pods do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exempt {
    /// Namespace of the service.
    pub namespace: String,
    /// Name of the service.
    pub name: String,
    /// As in `publishNotReadyAddresses`.
    pub reason: &'static str,
}

/// A term of the ranking's likelihood; no probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Term {
    /// How much it adds.
    pub value: f64,
    /// Why.
    pub why: String,
}

/// How long it lasts, in seconds, of the slowest container that is hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Duration {
    /// From the fault to the loss: nothing for a crash, else the shortest and the longest time of a probe.
    pub noticed_seconds: (i64, i64),
    /// Until it is back: after a restart at most startup budget and time to ready, after a failed probe its recovery.
    pub back_seconds: i64,
    /// What the kubelet waits before the first and each further restart; empty where nothing restarts.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub restart_delays: &'static [i64],
}

/// What falls with one image or container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlastItem {
    /// The image without registry host, tag and digest; several where names are asked for.
    pub image: String,
    /// The name of its container, the most frequent one first.
    pub container: String,
    /// How it falls.
    pub mode: Mode,
    /// Pods that have it and are hit.
    pub pods: usize,
    /// Services without an endpoint then.
    pub downed: Vec<ServiceHit>,
    /// Services with less than half of their endpoints then, or with a budget that is broken.
    pub degraded: Vec<ServiceHit>,
    /// Other services that lose endpoints.
    pub touched: Vec<ServiceHit>,
    /// Services of its pods that publish unready addresses.
    pub exempt: Vec<Exempt>,
    /// Σ weight × (1 downed, ½ degraded).
    pub weight: f64,
    /// The ranking's likelihood, at most 1.
    pub likelihood: f64,
    /// What it consists of.
    pub terms: Vec<Term>,
    /// Likelihood × weight.
    pub risk: f64,
    /// How long it lasts.
    pub duration: Duration,
}

impl BlastItem {
    /// Returns the services that are downed or degraded.
    pub fn hurt(&self) -> impl Iterator<Item = &ServiceHit> {
        self.downed.iter().chain(&self.degraded)
    }
}

/// What falls with each image or container, the worst first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlastReport {
    /// `kubeguard.dev/v1`.
    pub api_version: &'static str,
    /// `BlastReport`.
    pub kind: &'static str,
    /// Everything that decides could be read.
    pub complete: bool,
    /// How they fall.
    pub mode: Mode,
    /// What would be different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what_if: Option<WhatIf>,
    /// `exact` from endpoints, `model` from selectors.
    pub proof: Proof,
    /// Services that have a ready endpoint now, or pods that would be one.
    pub services: usize,
    /// By risk, then by what is downed, then by name.
    pub items: Vec<BlastItem>,
    /// Further images beyond those that are kept in full.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
    /// Services that are never counted.
    pub exempt: Vec<Exempt>,
    /// What a model assumes, and what there is to say of the question.
    pub notes: Vec<String>,
    /// What could not be read.
    pub skipped: Vec<Skipped>,
}

/// At most so many are kept in full.
const MOST: usize = 2_000;

/// What the blast radius reads.
const NEEDS: &[Need] = &[
    Need::decides(Fact::Pod).or_none(),
    Need::decides(Fact::Service).or_none(),
    Need::enriches(Fact::EndpointSlice).or_none(),
    Need::enriches(Fact::PodDisruptionBudget).or_none(),
    Need::enriches(Fact::HorizontalPodAutoscaler).or_none(),
    Need::enriches(Fact::Ingress).or_none(),
    Need::enriches(Fact::Route).or_none(),
    Need::enriches(Fact::ValidatingWebhookConfiguration).or_none(),
    Need::enriches(Fact::MutatingWebhookConfiguration).or_none(),
    Need::enriches(Fact::Deployment).or_none(),
    Need::enriches(Fact::ReplicaSet).or_none(),
    Need::enriches(Fact::StatefulSet).or_none(),
    Need::enriches(Fact::DaemonSet).or_none(),
    Need::enriches(Fact::ReplicationController).or_none(),
    Need::enriches(Fact::CustomCarrier).or_none(),
];

/// Returns what [`blast`] reads.
#[must_use]
pub fn needs() -> Needs {
    asked::needs(NEEDS)
}

/// Returns what falls with what is asked for, the worst first.
///
/// Endpoints are those of slices where slices and pods are known; otherwise what services select, of pods that are
/// ready, or of templates times their replicas: then the proof is `model` and the notes say what is assumed.
#[must_use]
pub fn blast(facts: &Facts, ask: &Ask<'_>) -> BlastReport {
    let fleet = Fleet::of(facts, ask);
    let reach = reach::Reach::of(facts, &fleet);
    let weights = weight::Weights::of(facts, &reach);
    let mut items = reach.items(&fleet, &weights, ask);
    items.sort_by(|a, b| {
        let rank = |item: &BlastItem| (Reverse(item.downed.len()), Reverse(item.degraded.len()), Reverse(item.pods));
        b.risk
            .total_cmp(&a.risk)
            .then_with(|| rank(a).cmp(&rank(b)))
            .then_with(|| (a.image.as_str(), a.container.as_str()).cmp(&(b.image.as_str(), b.container.as_str())))
    });
    let more = items.len().saturating_sub(MOST);
    items.truncate(MOST);
    let skipped = asked::skipped(facts, "blast", NEEDS);
    let mut notes = reach.notes.clone();
    notes.extend(fleet.notes.iter().cloned());
    notes.extend(ask.what_if.map(|what_if| told(what_if, ask.mode).to_owned()));
    BlastReport {
        api_version: "kubeguard.dev/v1",
        kind: "BlastReport",
        complete: skipped.is_empty(),
        mode: ask.mode,
        what_if: ask.what_if,
        proof: if reach.modelled || fleet.modelled { Proof::Model } else { Proof::Exact },
        services: reach.count(),
        items,
        more,
        exempt: reach::Reach::exempt(facts),
        notes,
        skipped,
    }
}

/// Returns what a change would do, in words.
const fn told(what_if: WhatIf, mode: Mode) -> &'static str {
    match (what_if, mode) {
        (WhatIf::Native, _) => "a native sidecar would change nothing: it makes the pod unready too",
        (WhatIf::NoReadiness, Mode::Crash) => {
            "without a readiness probe a crash does the same: what does not run is not ready"
        }
        (WhatIf::NoReadiness, Mode::Probe) => "without readiness only containers with a liveness probe are hit",
        (WhatIf::DaemonSet, _) => {
            "as a DaemonSet it makes no pod of others unready: each node's pods depend on that node's agent instead"
        }
    }
}

/// Rounds what is printed, so that equal inputs give equal bytes.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
