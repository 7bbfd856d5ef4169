//! Which container gets which service's traffic.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::audit::facts::{Carrier, Facts, Object, Of};
use crate::audit::kinds::{Container, Service, ServicePort};
use crate::pods::{Member, members};

/// One port of a service that leads to a pod.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The service.
    pub service: &'a Of<Service>,
    /// Its port.
    pub port: &'a ServicePort,
    /// The container behind it; `None` where nobody declares it.
    pub to: Option<&'a Container>,
    /// The number behind it; `None` for a name that no container declares.
    pub number: Option<i32>,
}

/// Every port of every service that leads to a pod.
#[derive(Debug, Clone, Default)]
pub struct Routing<'a> {
    /// By service and port.
    pub routes: Vec<Route<'a>>,
}

impl<'a> Routing<'a> {
    /// Returns the routes to a container.
    pub fn to(&self, container: &Container) -> impl Iterator<Item = &Route<'a>> {
        self.routes.iter().filter(move |route| route.to.is_some_and(|to| std::ptr::eq(to, container)))
    }

    /// Returns the routes of which nobody knows the container.
    pub fn unmapped(&self) -> impl Iterator<Item = &Route<'a>> {
        self.routes.iter().filter(|route| route.to.is_none())
    }

    /// Returns the services, each once.
    #[must_use]
    pub fn services(&self) -> Vec<&'a Of<Service>> {
        let mut seen = BTreeSet::new();
        self.routes.iter().map(|route| route.service).filter(|service| seen.insert(&*service.meta.name)).collect()
    }
}

impl Route<'_> {
    /// Returns whether it is there for those who collect metrics alone.
    #[must_use]
    pub fn is_telemetry(&self) -> bool {
        // `metrics-server` and the like serve others; `x-metrics` is the place where x is scraped.
        let service = self.service.meta.name.trim_end_matches("-service").to_lowercase();
        if service == "metrics" || service.ends_with("-metrics") {
            return true;
        }
        let name = self.port.name.to_lowercase();
        let declared = self.to.and_then(|container| declared(container, self.number?)).unwrap_or_default();
        [name.as_str(), &declared.to_lowercase()].iter().any(|name| {
            name.split(['-', '_']).any(|word| {
                matches!(
                    word,
                    "metrics" | "telemetry" | "prometheus" | "prom" | "monitoring" | "metric" | "profiling" | "pprof"
                )
            })
        })
    }
}

/// Returns the name under which a container declares a number.
pub(super) fn declared(container: &Container, number: i32) -> Option<&str> {
    container.ports.iter().find(|port| port.container_port == number).map(|port| port.name.as_str())
}

/// Returns whether readiness behind a service is meant to count: not where unready addresses are published, and not
/// for the service that names a stateful set's pods.
pub(super) fn counts(facts: &Facts, service: &Of<Service>) -> bool {
    let Some(spec) = &service.spec else { return false };
    if spec.r#type == "ExternalName" || spec.publish_not_ready_addresses || spec.selector.is_empty() {
        return false;
    }
    let named = || {
        facts.stateful_sets().iter().any(|set| {
            set.meta.namespace == service.meta.namespace
                && set.spec.as_ref().is_some_and(|spec| *spec.service_name == *service.meta.name)
        })
    };
    !(spec.cluster_ip == "None" && named())
}

/// Returns the services whose readiness counts for pods of a template.
pub(super) fn services<'a>(facts: &'a Facts, carrier: &Carrier<'a>) -> Vec<&'a Of<Service>> {
    let namespace = &carrier.object.meta().namespace;
    facts.services_of(namespace, carrier.labels).filter(|service| counts(facts, service)).collect()
}

fn is_tcp(protocol: &str) -> bool {
    matches!(protocol, "" | "TCP")
}

/// Returns every port that leads to pods of a template.
#[must_use]
pub fn routing<'a>(facts: &'a Facts, carrier: &Carrier<'a>) -> Routing<'a> {
    let gating: Vec<Member<'a>> = members(carrier.spec).filter(Member::is_gating).collect();
    let only = match carrier.spec.containers.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let mut all = Vec::new();
    for service in services(facts, carrier) {
        for port in service.spec.iter().flat_map(|spec| &spec.ports).filter(|port| is_tcp(&port.protocol)) {
            let target = port.target_port.as_ref().map(ToString::to_string).unwrap_or_default();
            let number = target.parse::<i32>().ok();
            let offers = |container: &'a Container| {
                container.ports.iter().find(|own| {
                    is_tcp(&own.protocol) && number.map_or(own.name == target, |number| own.container_port == number)
                })
            };
            let found = gating.iter().find_map(|member| Some((member.container, offers(member.container)?)));
            let (to, number) = match (found, number) {
                (Some((container, own)), _) => (Some(container), Some(own.container_port)),
                (None, Some(number)) => (only, Some(number)),
                (None, None) => (None, None),
            };
            all.push(Route { service, port, to, number });
        }
    }
    Routing { routes: all }
}

/// Returns whether a service is reached from outside: by its type, an ingress or a route of the Gateway API.
pub(in crate::audit) fn is_exposed(facts: &Facts, service: &Of<Service>) -> bool {
    let of_type = service.spec.as_ref().is_some_and(|spec| matches!(spec.r#type.as_str(), "LoadBalancer" | "NodePort"));
    of_type || is_routed_from_outside(facts, service)
}

/// Returns whether an ingress or a route of the Gateway API leads to a service.
fn is_routed_from_outside(facts: &Facts, service: &Of<Service>) -> bool {
    let own = (&*service.meta.namespace, &*service.meta.name);
    by_ingress(facts).any(|place| place == own) || by_route(facts).any(|place| place == own)
}

/// Returns namespace and name of the services that ingresses and routes of the Gateway API lead to.
pub(super) fn from_outside(facts: &Facts) -> impl Iterator<Item = (&str, &str)> {
    by_ingress(facts).chain(by_route(facts))
}

fn by_ingress(facts: &Facts) -> impl Iterator<Item = (&str, &str)> {
    facts.ingresses().iter().filter_map(|ingress| Some((ingress, ingress.spec.as_ref()?))).flat_map(
        |(ingress, spec)| {
            let paths = spec.rules.iter().filter_map(|rule| rule.ingress_rule_value.http.as_ref());
            let backends = paths.flat_map(|http| &http.paths).map(|path| &path.backend).chain(&spec.default_backend);
            let services = backends.filter_map(|backend| backend.service.as_ref());
            services.map(|backend| (&*ingress.meta.namespace, backend.name.as_str()))
        },
    )
}

fn by_route(facts: &Facts) -> impl Iterator<Item = (&str, &str)> {
    let routes = facts.custom().iter().filter(|custom| custom.fact() == crate::audit::needs::Fact::Route);
    routes.flat_map(|route| {
        let rules = route.object.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten();
        let backends = rules.filter_map(|rule| rule.get("backendRefs")).filter_map(Value::as_array).flatten();
        backends.filter_map(|backend| {
            let text = |key: &str| backend.get(key).and_then(Value::as_str);
            let is_service = text("kind").unwrap_or("Service") == "Service";
            let name = text("name").filter(|_| is_service)?;
            Some((text("namespace").unwrap_or(&route.meta.namespace), name))
        })
    })
}
