//! How much a service matters: who must be answered, who comes from outside, who is named by others.

use std::collections::{HashMap, HashSet};

use super::reach::{Reach, Served};
use crate::audit::facts::{Facts, Of};
use crate::audit::kinds::{Container, PodSpec, Service, WebhookClientConfig};
use crate::audit::probes::routing;
use crate::audit::text::Text;
use crate::pods::members;

/// A namespace and a name in it.
type Place<'a> = (&'a str, &'a str);

/// What makes services weigh more.
pub(super) struct Weights<'a> {
    /// Backends of webhooks that must answer, with the webhook's name.
    webhooks: HashMap<Place<'a>, &'a str>,
    /// Backends of ingresses and routes, and services of type load balancer.
    entries: HashSet<Place<'a>>,
    /// Services, and one workload that names each.
    named: HashMap<Place<'a>, String>,
}

impl<'a> Weights<'a> {
    pub(super) fn of(facts: &'a Facts, reach: &Reach<'a>) -> Self {
        let validating = facts.validating_webhooks().iter().flat_map(|one| &one.webhooks);
        let validating = validating.map(|one| (&one.client_config, &one.failure_policy, &one.name));
        let mutating = facts.mutating_webhooks().iter().flat_map(|one| &one.webhooks);
        let mutating = mutating.map(|one| (&one.client_config, &one.failure_policy, &one.name));
        let backend = |(config, failure_policy, name): (&'a WebhookClientConfig, &'a String, &'a String)| {
            let service = config.service.as_ref()?;
            let must = failure_policy != "Ignore";
            must.then_some(((service.namespace.as_str(), service.name.as_str()), name.as_str()))
        };
        let webhooks = validating.chain(mutating).filter_map(backend).collect();
        let mut entries: HashSet<Place<'a>> = routing::from_outside(facts).collect();
        let balanced = |served: &&Served<'a>| of_type(served.service) == "LoadBalancer";
        entries.extend(reach.served.iter().filter(balanced).map(|served| place(served.service)));
        Self { webhooks, entries, named: named(facts, reach) }
    }

    pub(super) fn is_webhook(&self, service: &Of<Service>) -> bool {
        self.webhooks.contains_key(&place(service))
    }

    /// Returns whether a service is reached from outside; a port of a node is a way in too.
    pub(super) fn is_exposed(&self, service: &Of<Service>) -> bool {
        self.entries.contains(&place(service)) || of_type(service) == "NodePort"
    }

    /// Returns a service's weight, and why it is more than 1.
    pub(super) fn weigh(&self, service: &Of<Service>) -> (u32, String) {
        let place = place(service);
        if let Some(webhook) = self.webhooks.get(&place) {
            return (5, format!("webhook {webhook} must be answered by it"));
        }
        if self.entries.contains(&place) {
            return (3, "reached from outside".to_owned());
        }
        self.named.get(&place).map_or((1, String::new()), |by| (2, format!("named by {by}")))
    }
}

fn place(service: &Of<Service>) -> Place<'_> {
    (&service.meta.namespace, &service.meta.name)
}

fn of_type(service: &Of<Service>) -> &str {
    service.spec.as_ref().map_or("", |spec| &spec.r#type)
}

/// Returns the services that other workloads name in their variables and arguments.
fn named<'a>(facts: &'a Facts, reach: &Reach<'a>) -> HashMap<Place<'a>, String> {
    let mut wanted: HashMap<&str, Vec<&'a Of<Service>>> = HashMap::new();
    for served in &reach.served {
        wanted.entry(&served.service.meta.name).or_default().push(served.service);
    }
    let mut found: HashMap<Place<'a>, String> = HashMap::new();
    let mut look = |namespace: &Text, labels: &crate::audit::text::Labels, spec: &PodSpec, who: &dyn Fn() -> String| {
        let texts = members(spec).flat_map(|member| texts(member.container));
        for (text, whole) in texts {
            for host in hosts(text, whole) {
                let (name, rest) = host.split_once('.').map_or((host, None), |(name, rest)| (name, Some(rest)));
                let Some(services) = wanted.get(name) else { continue };
                let place = rest.map_or(&**namespace, |rest| rest.split('.').next().unwrap_or_default());
                for service in services.iter().filter(|service| *service.meta.namespace == *place) {
                    // Its own pods are no others.
                    let selector = service.spec.as_ref().map(|spec| &spec.selector);
                    let own = service.meta.namespace == *namespace
                        && selector
                            .is_some_and(|pairs| pairs.iter().all(|(key, value)| labels.get(key) == Some(value)));
                    if !own {
                        found.entry((&service.meta.namespace, &service.meta.name)).or_insert_with(who);
                    }
                }
            }
        }
    };
    let mut seen: HashSet<(&Text, usize)> = HashSet::new();
    for carrier in facts.carriers() {
        let meta = carrier.object.meta();
        look(&meta.namespace, carrier.labels, carrier.spec, &|| carrier.object.object_name().to_string());
    }
    for pod in facts.pods().iter().filter(|pod| pod.meta.owner.is_some()) {
        if seen.insert((&pod.meta.namespace, std::ptr::from_ref(&*pod.spec).addr())) {
            let root = || facts.chain(pod).last().map(|link| link.name.to_string()).unwrap_or_default();
            look(&pod.meta.namespace, &pod.meta.labels, &pod.spec, &root);
        }
    }
    found
}

/// Returns the texts of a container that may name hosts, and whether each is one value of a variable.
fn texts(container: &Container) -> impl Iterator<Item = (&str, bool)> {
    let values = container.env.iter().map(|variable| (variable.value.as_str(), is_address(&variable.name)));
    let words = container.command.iter().chain(&container.args).map(|word| (word.as_str(), false));
    values.chain(words)
}

/// Returns whether a variable holds a host, as its name says.
fn is_address(name: &str) -> bool {
    const WORDS: &[&str] =
        &["HOST", "HOSTNAME", "ADDR", "ADDRESS", "URL", "URI", "ENDPOINT", "SERVER", "SERVICE", "UPSTREAM", "BROKERS"];
    name.to_uppercase().split(['_', '.', '-']).any(|word| WORDS.contains(&word))
}

/// Returns what may be a host in a text: behind `//` or `@`, before `:` and a port, with `.svc` in it, or all of a
/// variable that holds one.
fn hosts(text: &str, whole: bool) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let mut at = 0;
    let words = text.split(move |c: char| !is_part(c)).map(move |word| {
        let begin = at;
        at += word.len() + 1;
        (begin, word)
    });
    words.filter_map(move |(begin, word)| {
        let (before, after) = (text.get(..begin)?, text.get(begin + word.len()..)?);
        // A user and a password stand before the host.
        if after.split(['/', ',', ' ']).next().is_some_and(|rest| rest.contains('@')) {
            return None;
        }
        let reached = before.ends_with("//") || before.ends_with('@');
        let mut next = after.chars();
        let port = next.next() == Some(':') && next.next().is_some_and(|c| c.is_ascii_digit());
        let full = word.contains(".svc");
        (!word.is_empty() && (reached || port || full || (whole && word == text))).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_a_word() {
        let found = |text: &'static str, whole| hosts(text, whole).collect::<Vec<_>>();
        assert_eq!(found("http://cart/v1", false), ["cart"]);
        assert_eq!(found("cart.shop.svc.cluster.local", false), ["cart.shop.svc.cluster.local"]);
        assert_eq!(found("--upstream=cart:8080,web:80", false), ["cart", "web"]);
        assert_eq!(found("postgres://user:word@db.data/x", false), ["db.data"]);
        assert_eq!(found("cart", true), ["cart"]);
        assert_eq!(found("cart", false), [""; 0]);
        assert_eq!(found("--component=cart", false), [""; 0]);
        assert!(is_address("CART_HOST") && is_address("cartUrl".to_uppercase().replace("URL", "_URL").as_str()));
    }
}
