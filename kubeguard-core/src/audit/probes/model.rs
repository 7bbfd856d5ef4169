//! Probes as numbers and endpoints: defaults applied, a mesh's rewriting undone.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use jiff::SignedDuration;
use serde_json::Value;

use super::command;
use crate::audit::facts::{Port, resolve};
use crate::audit::kinds::{Container, HTTPGetAction, PodSpec, Probe as Raw, ProbeHandler};
use crate::kinds::IntOrString;
use crate::pods::Member;

/// Which probe of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Its failure restarts the container.
    Liveness,
    /// Its failure takes the pod out of its services.
    Readiness,
    /// The others wait for it; its failure restarts the container.
    Startup,
}

impl ProbeKind {
    /// Returns its word, as in `liveness`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Startup => "startup",
        }
    }
}

/// When a probe runs and how often it may fail; delay, period and timeout in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields of a probe")]
pub struct Timing {
    pub delay: u32,
    pub period: u32,
    pub timeout: u32,
    pub success: u32,
    pub failure: u32,
}

fn seconds(count: u32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(count))
}

impl Timing {
    /// Returns the timing of a probe with the API's defaults; `None` where a number is negative, which the API rejects.
    fn of(probe: &Raw) -> Option<Self> {
        let or = |number: i32, default: u32| match u32::try_from(number).ok()? {
            0 => Some(default),
            number => Some(number),
        };
        Some(Self {
            delay: u32::try_from(probe.initial_delay_seconds).ok()?,
            period: or(probe.period_seconds, 10)?,
            timeout: or(probe.timeout_seconds, 1)?,
            success: or(probe.success_threshold, 1)?,
            failure: or(probe.failure_threshold, 3)?,
        })
    }

    /// Returns how far apart attempts are when they hang: one at a time, so that a timeout stretches the period.
    pub(super) fn pace(&self) -> i64 {
        i64::from(self.period.max(self.timeout))
    }

    /// Returns the shortest time from fault to flip, in seconds: (f − 1)·max(p, t).
    pub(super) fn shortest(&self) -> i64 {
        i64::from(self.failure.saturating_sub(1)) * self.pace()
    }

    /// Returns the longest time from fault to flip, in seconds: f·max(p, t) + t.
    pub(super) fn longest(&self) -> i64 {
        i64::from(self.failure) * self.pace() + i64::from(self.timeout)
    }

    /// Returns d + f·max(p, t) in seconds: what a startup probe grants.
    pub(super) fn granted(&self) -> i64 {
        i64::from(self.delay) + i64::from(self.failure) * self.pace()
    }

    /// Returns s·max(p, t) in seconds.
    pub(super) fn heals(&self) -> i64 {
        i64::from(self.success) * self.pace()
    }

    /// Returns d + s·max(p, t) + t in seconds: the longest time from started to ready of a healthy container.
    pub(super) fn readies(&self) -> i64 {
        i64::from(self.delay) + self.heals() + i64::from(self.timeout)
    }

    /// Returns the shortest and the longest time from a fault to the probe's flip.
    #[must_use]
    pub fn flips_after(&self) -> RangeInclusive<SignedDuration> {
        SignedDuration::from_secs(self.shortest())..=SignedDuration::from_secs(self.longest())
    }

    /// Returns how long a container may take to start where this is its startup probe.
    #[must_use]
    pub fn budget(&self) -> SignedDuration {
        SignedDuration::from_secs(self.granted())
    }

    /// Returns the time to become ready again after a fault has ended.
    #[must_use]
    pub fn recovery(&self) -> SignedDuration {
        SignedDuration::from_secs(self.heals())
    }

    /// Returns the delay before the first attempt.
    #[must_use]
    pub fn initial_delay(&self) -> SignedDuration {
        seconds(self.delay)
    }
}

/// A probe that the API accepts: one handler, no negative number.
#[derive(Debug, Clone)]
pub struct Probe<'a> {
    /// Which one.
    pub kind: ProbeKind,
    /// What it asks.
    pub handler: Cow<'a, ProbeHandler>,
    /// When and how often.
    pub timing: Timing,
    /// Its own grace period in seconds.
    pub grace: Option<i64>,
}

impl Probe<'_> {
    /// Returns its word, as in `liveness`.
    pub(super) fn word(&self) -> &'static str {
        self.kind.word()
    }

    /// Returns the port that it asks, with its JSON pointer below the probe.
    pub(super) fn port(&self) -> Option<(IntOrString, &'static str)> {
        if let Some(get) = &self.handler.http_get {
            return Some((get.port.clone()?, "httpGet/port"));
        }
        if let Some(tcp) = &self.handler.tcp_socket {
            return Some((tcp.port.clone()?, "tcpSocket/port"));
        }
        self.handler.grpc.as_ref().map(|grpc| (IntOrString::from(grpc.port), "grpc/port"))
    }

    /// Returns the host that it names, with its JSON pointer below the probe.
    pub(super) fn host(&self) -> Option<(&str, &'static str)> {
        let http = self.handler.http_get.as_ref().map(|get| (get.host.as_str(), "httpGet/host"));
        let tcp = || self.handler.tcp_socket.as_ref().map(|tcp| (tcp.host.as_str(), "tcpSocket/host"));
        http.or_else(tcp).filter(|(host, _)| !host.is_empty())
    }

    /// Returns its request, if it makes one.
    pub(super) fn get(&self) -> Option<&HTTPGetAction> {
        self.handler.http_get.as_ref()
    }

    /// Returns its command; empty where it has none.
    pub(super) fn exec(&self) -> &[String] {
        self.handler.exec.as_ref().map_or(&[], |exec| &exec.command)
    }

    /// Returns what it asks in a few words, as in `GET :8080/healthz`.
    pub(super) fn told(&self) -> String {
        let port = || self.port().map(|(port, _)| port.to_string()).unwrap_or_default();
        match &*self.handler {
            ProbeHandler { http_get: Some(get), .. } => format!("GET {}:{}{}", get.host, port(), get.path),
            ProbeHandler { tcp_socket: Some(tcp), .. } => format!("TCP {}:{}", tcp.host, port()),
            ProbeHandler { grpc: Some(_), .. } => format!("gRPC :{}", port()),
            _ => "its command".to_owned(),
        }
    }
}

/// What a probe asks, in a form in which equal endpoints are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A request: scheme with protocol, host, port, path with query, headers by lower-case name.
    Http(String, String, Port, String, Vec<(String, String)>),
    /// A connection: host and port.
    Tcp(String, Port),
    /// A command.
    Exec(Vec<String>),
    /// A question to gRPC's health service: port and service.
    Grpc(i32, String),
}

/// Returns what a probe of a container asks; `None` where it names no port.
#[must_use]
pub fn endpoint(probe: &Probe<'_>, container: &Container) -> Option<Endpoint> {
    let handler = &probe.handler;
    let port = || Some(resolve(&probe.port()?.0, container));
    if let Some(get) = &handler.http_get {
        let headers = get.http_headers.iter().map(|header| (header.name.to_lowercase(), header.value.clone()));
        let mut headers: Vec<(String, String)> = headers.collect();
        headers.sort();
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let scheme = format!("{}{}", or(&get.scheme, "HTTP").to_uppercase(), get.protocol);
        return Some(Endpoint::Http(scheme, get.host.clone(), port()?, or(&get.path, "/"), headers));
    }
    if let Some(tcp) = &handler.tcp_socket {
        return Some(Endpoint::Tcp(tcp.host.clone(), port()?));
    }
    if let Some(grpc) = &handler.grpc {
        return Some(Endpoint::Grpc(grpc.port, grpc.service.clone()));
    }
    let argv = probe.exec();
    let mut argv: Vec<String> = argv.to_vec();
    if command::script(&argv).is_some()
        && let Some(script) = argv.get_mut(2)
    {
        *script = script.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    Some(Endpoint::Exec(argv))
}

/// Returns whether two probes of one container ask the same.
#[must_use]
pub fn same_endpoint(one: &Probe<'_>, other: &Probe<'_>, container: &Container) -> bool {
    endpoint(one, container).is_some_and(|asked| Some(asked) == endpoint(other, container))
}

/// Returns the probes of a container: liveness, readiness, startup; without those that the API rejects and without
/// those that a mesh has rewritten in a way that cannot be undone.
#[must_use]
pub fn probes<'a>(member: &Member<'a>, spec: &PodSpec) -> Vec<Probe<'a>> {
    let container = member.container;
    [
        (ProbeKind::Liveness, &container.liveness_probe),
        (ProbeKind::Readiness, &container.readiness_probe),
        (ProbeKind::Startup, &container.startup_probe),
    ]
    .into_iter()
    .filter_map(|(kind, raw)| read(kind, raw.as_ref()?, spec).ok())
    .collect()
}

/// Reads a probe, with the API's defaults.
///
/// # Errors
/// Why it cannot be judged, as a part of a sentence.
pub(super) fn read<'a>(kind: ProbeKind, raw: &'a Raw, spec: &PodSpec) -> Result<Probe<'a>, String> {
    let ProbeHandler { exec, http_get, tcp_socket, grpc } = &raw.handler;
    let handlers = [
        ("exec", exec.is_some()),
        ("httpGet", http_get.is_some()),
        ("tcpSocket", tcp_socket.is_some()),
        ("grpc", grpc.is_some()),
    ];
    let given: Vec<&str> = handlers.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    match given.as_slice() {
        [_] => {}
        [] => return Err("it has no handler, and the API takes one of exec, httpGet, tcpSocket and grpc".to_owned()),
        several => return Err(format!("it has the handlers {}, and the API takes one", several.join(" and "))),
    }
    let numbers = [
        ("initialDelaySeconds", i64::from(raw.initial_delay_seconds)),
        ("periodSeconds", i64::from(raw.period_seconds)),
        ("timeoutSeconds", i64::from(raw.timeout_seconds)),
        ("successThreshold", i64::from(raw.success_threshold)),
        ("failureThreshold", i64::from(raw.failure_threshold)),
        ("terminationGracePeriodSeconds", raw.termination_grace_period_seconds.unwrap_or(0)),
    ];
    if let Some((name, number)) = numbers.into_iter().find(|(_, number)| *number < 0) {
        return Err(format!("{name} is {number}, and the API takes no negative number"));
    }
    let handler = original(&raw.handler, spec).ok_or_else(|| {
        "Istio has rewritten it, and ISTIO_KUBE_APP_PROBERS of its proxy does not say what it asked before".to_owned()
    })?;
    let timing = Timing::of(raw).ok_or_else(|| "its numbers are out of range".to_owned())?;
    Ok(Probe { kind, handler, timing, grace: raw.termination_grace_period_seconds })
}

/// Returns one probe of a container.
pub(super) fn probe<'a>(member: &Member<'a>, spec: &PodSpec, kind: ProbeKind) -> Option<Probe<'a>> {
    probes(member, spec).into_iter().find(|probe| probe.kind == kind)
}

/// The port on which Istio's agent answers for the application, unless an annotation names another.
const ISTIO: &str = "15020";
/// Where the agent keeps what was asked before.
const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";

fn probers(spec: &PodSpec) -> Option<&str> {
    let variables = spec.containers.iter().chain(&spec.init_containers).flat_map(|container| &container.env);
    variables.into_iter().find(|variable| variable.name == PROBERS).map(|variable| variable.value.as_str())
}

/// Returns whether Istio has rewritten a request: to `/app-health/CONTAINER/livez` of its agent.
pub(super) fn is_rewritten(get: &HTTPGetAction, spec: &PodSpec) -> bool {
    let agents = || get.port.as_ref().is_some_and(|port| port.to_string() == ISTIO) || probers(spec).is_some();
    get.path.starts_with("/app-health/") && agents()
}

/// Undoes Istio's rewriting; `None` where what was asked before cannot be read.
fn original<'a>(handler: &'a ProbeHandler, spec: &PodSpec) -> Option<Cow<'a, ProbeHandler>> {
    let rewritten = handler.http_get.as_ref().filter(|get| is_rewritten(get, spec));
    let Some(get) = rewritten else { return Some(Cow::Borrowed(handler)) };
    let kept: Value = serde_json::from_str(probers(spec)?).ok()?;
    let before = kept.get(&get.path)?;
    let handler: ProbeHandler = serde_json::from_value(before.clone()).ok()?;
    let one = [handler.http_get.is_some(), handler.tcp_socket.is_some(), handler.grpc.is_some()];
    one.into_iter().any(|given| given).then_some(Cow::Owned(handler))
}

/// Returns what a startup probe grants, in seconds; 0 without one. Its numbers hold even where nobody knows what it asks.
pub(super) fn budget(member: &Member<'_>) -> i64 {
    member.container.startup_probe.as_ref().and_then(Timing::of).map_or(0, |timing| timing.granted())
}

/// Returns the longest time from started to ready of a healthy container, in seconds; 0 without a readiness probe.
pub(super) fn to_ready(member: &Member<'_>) -> i64 {
    member.container.readiness_probe.as_ref().and_then(Timing::of).map_or(0, |timing| timing.readies())
}
