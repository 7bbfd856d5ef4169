//! Which probes of which containers, with which handlers and numbers.

use std::borrow::Cow;

use super::judge::{Fired, judged};
use super::numbers::{Numbers, Slow};
use super::{ContainerSuggestion, Field, Left, ProbeSuggestion, Suggestion, Wish, patch};
use crate::audit::facts::{Carrier, Facts, Read};
use crate::audit::kinds::{self, Container, GRPCAction, PodSpec, ProbeHandler, TCPSocketAction};
use crate::audit::needs::Fact;
use crate::audit::probes::budgets::is_slow;
use crate::audit::probes::model::{budget, probe, to_ready};
use crate::audit::probes::routing::declared;
use crate::audit::probes::sidecars::noncritical;
use crate::audit::probes::{ProbeKind, Route, Routing, Starts, ceil, ends, find, lifecycle, probes, routing};
use crate::audit::report::Severity;
use crate::audit::rule::{Context, Rule};
use crate::kinds::IntOrString;
use crate::pods::{Class, Member, members};

/// Rules about nothing: what some checks want to be told beside facts.
static NO_RULE: Rule = Rule::BASE;
/// Findings below medium that a rewrite ends too.
const SMALL: &[&str] = &["PA303", "PA304", "PA305", "PA310", "PA313"];

/// A handler, and where it comes from.
struct Candidate<'a> {
    handler: Cow<'a, ProbeHandler>,
    remark: String,
}

/// A suggestion under construction.
pub(super) struct Building<'a, 's> {
    facts: &'a Facts,
    carrier: Carrier<'a>,
    starts: &'s Starts<'a>,
    wish: Wish<'a>,
    routing: Routing<'a>,
    fired: Vec<Fired>,
    /// The template as it will be.
    spec: PodSpec,
    containers: Vec<ContainerSuggestion>,
    left: Vec<Left>,
}

impl<'a, 's> Building<'a, 's> {
    pub(super) fn of(facts: &'a Facts, carrier: Carrier<'a>, starts: &'s Starts<'a>, wish: Wish<'a>) -> Self {
        Self {
            facts,
            carrier,
            starts,
            wish,
            routing: routing(facts, &carrier),
            fired: judged(facts, carrier, wish),
            spec: carrier.spec.clone(),
            containers: Vec::new(),
            left: Vec::new(),
        }
    }

    pub(super) fn finish(mut self) -> Suggestion {
        let all: Vec<Member<'a>> = members(self.carrier.spec).filter(Member::is_gating).collect();
        if ends(self.facts, &self.carrier) {
            for member in &all {
                self.leave(member, "its pods are meant to end: no probe is asked of them");
            }
        } else if let Read::Not(reason) = self.facts.read(Fact::Service) {
            let reason = format!("who gets traffic is not known: {reason}");
            for member in &all {
                self.leave(member, reason.clone());
            }
        } else {
            let context = Context { facts: self.facts, policy: self.wish.policy, now: self.wish.now, rule: &NO_RULE };
            let minor = noncritical(&context, &self.carrier);
            for member in &all {
                if minor.iter().any(|(other, _)| std::ptr::eq(other.container, member.container)) {
                    self.lighten(member);
                } else {
                    self.write(member);
                }
            }
        }
        let fields = self.deadline();
        let Self { carrier, spec, containers, left, .. } = self;
        let (patch, json_patch) = patch::of(&carrier, &spec, &fields, &containers);
        Suggestion {
            object: carrier.object.object_name(),
            fields,
            containers,
            left,
            patch,
            json_patch,
            path: carrier.path,
        }
    }

    fn leave(&mut self, member: &Member<'_>, reason: impl Into<String>) {
        self.left.push(Left { container: member.container.name.clone(), reason: reason.into() });
    }

    /// Returns the findings about a probe of a container, those about all of its probes included.
    fn about(&self, name: &str, kind: ProbeKind) -> impl Iterator<Item = &Fired> {
        self.fired.iter().filter(move |fired| {
            let both = fired.rule == "PA301" && kind != ProbeKind::Startup;
            fired.container.as_deref() == Some(name) && (fired.probe == Some(kind.word()) || both)
        })
    }

    /// Returns the rules that ask for a probe to be written anew.
    fn wrong(&self, name: &str, kind: ProbeKind) -> Vec<&'static str> {
        let wrong = self.about(name, kind).filter(|fired| {
            !fired.rule.starts_with("PA40") && (fired.severity >= Severity::Medium || SMALL.contains(&fired.rule))
        });
        let mut rules: Vec<&'static str> = wrong.map(|fired| fired.rule).collect();
        rules.dedup();
        rules
    }

    /// Takes away what lets a container that does not matter decide about traffic.
    fn lighten(&mut self, member: &Member<'a>) {
        let name = &member.container.name;
        let of =
            |rule: &str| self.fired.iter().any(|fired| fired.rule == rule && fired.container.as_ref() == Some(name));
        let (gates, restarts) = (of("PA401"), of("PA403"));
        let mut probes = Vec::new();
        let mut take = |kind: ProbeKind, rule, reason: &str| {
            probes.push(ProbeSuggestion {
                probe: kind.word(),
                fields: Vec::new(),
                reason: reason.to_owned(),
                ends: vec![rule],
            });
        };
        if gates {
            take(ProbeKind::Readiness, "PA401", "noncritical: must not decide about traffic");
        }
        if restarts {
            take(ProbeKind::Liveness, "PA403", "noncritical: must not restart when something outside is down");
        }
        if probes.is_empty() {
            self.leave(member, "noncritical: it needs no probes");
            return;
        }
        if let Some(own) = own(&mut self.spec, member) {
            own.readiness_probe = own.readiness_probe.take().filter(|_| !gates);
            own.liveness_probe = own.liveness_probe.take().filter(|_| !restarts);
        }
        self.push(member, "noncritical".to_owned(), probes);
    }

    fn push(&mut self, member: &Member<'_>, about: String, probes: Vec<ProbeSuggestion>) {
        self.containers.push(ContainerSuggestion {
            container: member.container.name.clone(),
            native: member.class == Class::NativeSidecar,
            about,
            probes,
        });
    }

    /// Writes the probes of a container that matters.
    fn write(&mut self, member: &Member<'a>) {
        let container = member.container;
        let name = container.name.as_str();
        let route = route(&self.routing, container).copied();
        let route = route.as_ref();
        let seen = self.starts.seen(&self.carrier, name);
        let old = probes(member, self.carrier.spec);
        let find = |kind| old.iter().find(|probe| probe.kind == kind);
        let delay = find(ProbeKind::Liveness).map_or(0, |probe| i64::from(probe.timing.delay));
        let wrong = |kind| self.wrong(name, kind);
        let (bad_readiness, mut bad_liveness, mut bad_startup) =
            (wrong(ProbeKind::Readiness), wrong(ProbeKind::Liveness), wrong(ProbeKind::Startup));
        let slow = Slow { seen, delay, jvm: is_slow(&container.image) };
        if find(ProbeKind::Startup).is_some_and(|startup| slow.is_short(startup.timing.granted())) {
            bad_startup.push("PA308");
        }
        let readiness = (route.is_some() && container.readiness_probe.is_none()) || !bad_readiness.is_empty();
        let mut liveness = !bad_liveness.is_empty() || (self.wish.with_liveness && container.liveness_probe.is_none());
        let stays = container.liveness_probe.is_some() || readiness || liveness;
        let startup = !bad_startup.is_empty() || (slow.wants() && container.startup_probe.is_none() && stays);
        if !readiness && !liveness && !startup {
            let reason = match (route, old.is_empty()) {
                (None, true) => format!("{}: no probe is asked of it", self.unrouted()),
                _ => "its probes have no findings".to_owned(),
            };
            self.leave(member, reason);
            return;
        }
        let about = route.map_or_else(|| self.unrouted(), told);
        let mut probes = Vec::new();
        let mut why = Vec::new();
        let lacks = |rules: &[&str]| {
            if rules.is_empty() { "there is none".to_owned() } else { format!("ends {}", rules.join(", ")) }
        };
        if readiness {
            let numbers = Numbers::readiness();
            let reason = lacks(&bad_readiness);
            match self.probe(member, route, ProbeKind::Readiness, &numbers) {
                Ok(fields) => probes.push(suggestion(ProbeKind::Readiness, fields, reason, bad_readiness)),
                Err(reason) => why.push(reason),
            }
        }
        if readiness && !liveness {
            bad_liveness = self.spoiled(name);
            liveness = !bad_liveness.is_empty();
        }
        if startup {
            let reason = lacks(&bad_startup);
            match self.probe(member, route, ProbeKind::Startup, &slow.numbers()) {
                Ok(fields) => probes.push(suggestion(ProbeKind::Startup, fields, reason, bad_startup)),
                Err(reason) => why.push(reason),
            }
        }
        if liveness {
            let numbers = self.liveness_numbers(member, delay);
            let reason = lacks(&bad_liveness);
            match self.probe(member, route, ProbeKind::Liveness, &numbers) {
                Ok(fields) => probes.push(suggestion(ProbeKind::Liveness, fields, reason, bad_liveness)),
                Err(reason) => why.push(reason),
            }
        }
        why.dedup();
        for reason in why {
            self.leave(member, reason);
        }
        if !probes.is_empty() {
            self.push(member, about, probes);
        }
    }

    /// Returns why no service is known to route to a container.
    fn unrouted(&self) -> String {
        let unmapped = self.routing.unmapped().find(|route| !route.is_telemetry());
        unmapped.map_or_else(
            || "no service routes to it".to_owned(),
            |route| {
                let target = route.port.target_port.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("service {} routes to port {target}, which no container declares", route.service.meta.name)
            },
        )
    }

    /// Returns what is wrong with a liveness probe, which was right alone, beside the readiness that was just written.
    fn spoiled(&self, name: &str) -> Vec<&'static str> {
        let carrier = Carrier { spec: &self.spec, ..self.carrier };
        let about = |fired: &Fired| {
            fired.container.as_deref() == Some(name)
                && (fired.rule == "PA301" || fired.probe == Some(ProbeKind::Liveness.word()))
                && !fired.rule.starts_with("PA40")
                && fired.severity >= Severity::Medium
        };
        judged(self.facts, carrier, self.wish).into_iter().filter(about).map(|fired| fired.rule).collect()
    }

    /// Returns the liveness numbers beside the readiness that there will be.
    fn liveness_numbers(&self, member: &Member<'_>, delay: i64) -> Numbers {
        let now = members(&self.spec).find(|other| other.class == member.class && other.index == member.index);
        let longest =
            now.and_then(|now| probe(&now, &self.spec, ProbeKind::Readiness)).map(|probe| probe.timing.longest());
        let failure = longest.map_or(3, |longest| ceil(3 * longest, 10).max(3));
        let grace = lifecycle::pod_grace(&self.carrier);
        let version = self.facts.version().or(self.wish.policy.kube_version).unwrap_or(crate::audit::NEWEST);
        let own = (grace >= 120 && version >= (1, 25)).then_some(grace);
        Numbers::liveness(failure, longest, delay, own)
    }

    /// Tries handlers until the rules are silent, and writes the probe into the template.
    ///
    /// # Errors
    /// Why no handler is known.
    fn probe(
        &mut self,
        member: &Member<'a>,
        route: Option<&Route<'a>>,
        kind: ProbeKind,
        numbers: &Numbers,
    ) -> Result<Vec<Field>, String> {
        let route = route.copied();
        let candidates = self.candidates(member, route.as_ref(), kind);
        if candidates.is_empty() {
            return Err(format!(
                "{}: no probe to reuse, no routed port, and not exactly one declared TCP port",
                kind.word()
            ));
        }
        let before = slot(member.container, kind).cloned();
        for candidate in candidates {
            let written = numbers.probe(candidate.handler.into_owned());
            if let Some(own) = own(&mut self.spec, member) {
                *slot_mut(own, kind) = Some(written.clone());
            }
            let carrier = Carrier { spec: &self.spec, ..self.carrier };
            let name = Some(&member.container.name);
            let said = judged(self.facts, carrier, self.wish);
            let spoils = said.iter().any(|fired| {
                let about = fired.probe == Some(kind.word()) || fired.probe.is_none() && fired.rule == "PA301";
                // Liveness is written last: until then it may be the slower one yet.
                let later = fired.rule == "PA301" && kind != ProbeKind::Liveness;
                fired.container.as_ref() == name
                    && about
                    && !later
                    && !fired.rule.starts_with("PA40")
                    && fired.severity >= Severity::Medium
            });
            if !spoils {
                return Ok(patch::fields(before.as_ref(), &written, &candidate.remark, numbers));
            }
        }
        if let Some(own) = own(&mut self.spec, member) {
            *slot_mut(own, kind) = before;
        }
        Err(format!("{}: every handler that is known would have findings of its own", kind.word()))
    }

    /// Returns handlers in the order in which they are tried.
    fn candidates(&self, member: &Member<'a>, route: Option<&Route<'a>>, kind: ProbeKind) -> Vec<Candidate<'a>> {
        let name = member.container.name.as_str();
        let order = match kind {
            ProbeKind::Readiness => [ProbeKind::Readiness, ProbeKind::Liveness, ProbeKind::Startup],
            ProbeKind::Liveness => [ProbeKind::Liveness, ProbeKind::Startup, ProbeKind::Readiness],
            ProbeKind::Startup => [ProbeKind::Startup, ProbeKind::Readiness, ProbeKind::Liveness],
        };
        let mut all = Vec::new();
        for from in order {
            let clean = |fired: &Fired| !fired.rule.starts_with("PA1") && !fired.rule.starts_with("PA2");
            let Some(known) = probe(member, self.carrier.spec, from).filter(|_| self.about(name, from).all(clean))
            else {
                continue;
            };
            // Readiness on a port that gets no traffic measures something else.
            let routed = self.routing.to(member.container).filter_map(|route| route.number).collect::<Vec<_>>();
            let number = known.port().map(|(port, _)| crate::audit::facts::resolve(&port, member.container));
            let off = matches!(number, Some(crate::audit::facts::Port::Number(number)) if !routed.contains(&number));
            if kind == ProbeKind::Readiness && from != kind && route.is_some() && off {
                continue;
            }
            let remark = if from == kind { "as it is".to_owned() } else { format!("as {} asks", from.word()) };
            all.push(Candidate { handler: known.handler, remark });
        }
        all.extend(by_port(member.container, route));
        all
    }

    /// Returns a deadline that the start fits into, where it would not.
    fn deadline(&self) -> Vec<Field> {
        if self.containers.is_empty() || self.carrier.object.fact() != Fact::Deployment {
            return Vec::new();
        }
        let found = find(self.facts.deployments(), &self.carrier).and_then(|deployment| deployment.spec.as_ref());
        let Some(spec) = found else { return Vec::new() };
        let deadline = i64::from(spec.progress_deadline_seconds.unwrap_or(600));
        let starts = members(&self.spec).filter(Member::is_gating);
        let slowest = starts.map(|member| budget(&member) + to_ready(&member)).max().unwrap_or(0);
        let needs = slowest + i64::from(spec.min_ready_seconds);
        if deadline >= needs {
            return Vec::new();
        }
        let reason = format!("{deadline} s is shorter than the {needs} s that a start may take");
        vec![Field::new("progressDeadlineSeconds", needs + 60, reason)]
    }
}

fn suggestion(kind: ProbeKind, fields: Vec<Field>, reason: String, ends: Vec<&'static str>) -> ProbeSuggestion {
    ProbeSuggestion { probe: kind.word(), fields, reason, ends }
}

/// Returns the route that decides: by service and port, telemetry left out.
fn route<'r, 'a>(routing: &'r Routing<'a>, container: &Container) -> Option<&'r Route<'a>> {
    let traffic = routing.to(container).filter(|route| !route.is_telemetry());
    traffic.min_by_key(|route| (route.service.meta.name.to_string(), route.port.port))
}

fn told(route: &Route<'_>) -> String {
    let number = route.number.unwrap_or_default();
    format!("routed by service {}:{} → {number}", route.service.meta.name, route.port.port)
}

/// Returns what a port alone allows to ask: of the routed port, else of the only one that is declared.
fn by_port<'a>(container: &Container, route: Option<&Route<'_>>) -> Option<Candidate<'a>> {
    let tcp: Vec<i32> = container
        .ports
        .iter()
        .filter(|port| matches!(port.protocol.as_str(), "" | "TCP"))
        .map(|port| port.container_port)
        .collect();
    let only = match tcp.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    let number = route.and_then(|route| route.number).or(only)?;
    let name = declared(container, number).filter(|name| !name.is_empty());
    let grpc = route.is_some_and(|route| route.port.app_protocol == "grpc" || route.port.name.starts_with("grpc"))
        || name.is_some_and(|name| name.starts_with("grpc"));
    if grpc {
        let handler = ProbeHandler {
            grpc: Some(GRPCAction { port: number, ..GRPCAction::default() }),
            ..ProbeHandler::default()
        };
        let remark = "assumes that the process serves gRPC's health service".to_owned();
        return Some(Candidate { handler: Cow::Owned(handler), remark });
    }
    let port = name.map_or_else(|| IntOrString::from(number), |name| IntOrString::from(name.to_owned()));
    let handler = ProbeHandler {
        tcp_socket: Some(TCPSocketAction { port: Some(port), host: String::new() }),
        ..ProbeHandler::default()
    };
    let remark = "no other handler is known; an HTTP path would be better".to_owned();
    Some(Candidate { handler: Cow::Owned(handler), remark })
}

fn own<'s>(spec: &'s mut PodSpec, member: &Member<'_>) -> Option<&'s mut Container> {
    match member.class {
        Class::Regular => spec.containers.get_mut(member.index),
        _ => spec.init_containers.get_mut(member.index),
    }
}

fn slot(container: &Container, kind: ProbeKind) -> Option<&kinds::Probe> {
    match kind {
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
        ProbeKind::Startup => container.startup_probe.as_ref(),
    }
}

fn slot_mut(container: &mut Container, kind: ProbeKind) -> &mut Option<kinds::Probe> {
    match kind {
        ProbeKind::Liveness => &mut container.liveness_probe,
        ProbeKind::Readiness => &mut container.readiness_probe,
        ProbeKind::Startup => &mut container.startup_probe,
    }
}
