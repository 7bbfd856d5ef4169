//! Which services and budgets select which pods, and where ports lead.

use std::collections::{BTreeMap, HashMap};

use super::{Facts, Of, Pod, Text};
use crate::audit::kinds::{Container, EndpointSlice, LabelSelector, PodDisruptionBudget, Service};
use crate::audit::text::Labels;
use crate::kinds::IntOrString;

/// Selectors by namespace, each filed under its rarest pair.
#[derive(Debug, Clone, Default)]
pub(super) struct Selectors {
    services: Filed,
    budgets: Filed,
    slices: HashMap<(Text, Text), Vec<u32>>,
}

/// Namespace, key and value → indexes; without a pair those that must be tried for every pod.
#[derive(Debug, Clone, Default)]
struct Filed {
    pairs: HashMap<(Text, Text, Text), Vec<u32>>,
    rest: HashMap<Text, Vec<u32>>,
}

impl Filed {
    fn of<'a>(selectors: impl Iterator<Item = (u32, &'a Text, &'a BTreeMap<String, String>)> + Clone) -> Self {
        let mut seen: HashMap<(&str, &str, &str), usize> = HashMap::new();
        for (_, namespace, pairs) in selectors.clone() {
            for (key, value) in pairs {
                *seen.entry((namespace, key, value)).or_default() += 1;
            }
        }
        let mut filed = Self::default();
        for (index, namespace, pairs) in selectors {
            let often = |key: &str, value: &str| seen.get(&(&**namespace, key, value)).copied();
            match pairs.iter().map(|(key, value)| (often(key, value), key, value)).min() {
                Some((_, key, value)) => {
                    let key = (namespace.clone(), Text::from(key.as_str()), Text::from(value.as_str()));
                    filed.pairs.entry(key).or_default().push(index);
                }
                None => filed.rest.entry(namespace.clone()).or_default().push(index),
            }
        }
        filed
    }

    fn candidates(&self, namespace: &Text, labels: &Labels) -> Vec<u32> {
        let mut found: Vec<u32> = self.rest.get(namespace).cloned().unwrap_or_default();
        for (key, value) in labels.iter() {
            let key = (namespace.clone(), Text::from(key), Text::from(value));
            found.extend(self.pairs.get(&key).into_iter().flatten());
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn holds(pairs: &BTreeMap<String, String>, labels: &Labels) -> bool {
    pairs.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl LabelSelector {
    /// Returns whether labels are selected; an empty selector selects everything.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        holds(&self.match_labels, labels)
            && self.match_expressions.iter().all(|demand| {
                let value = labels.get(&demand.key);
                let listed = value.is_some_and(|value| demand.values.iter().any(|known| known == value));
                match demand.operator.as_str() {
                    "In" => listed,
                    "NotIn" => !listed,
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

/// The number behind a port, or a name that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Port {
    /// A number.
    Number(i32),
    /// A name that the container does not declare.
    Unresolved(String),
}

/// Returns where a port leads in a container: a number, text of digits as its number, or a name among the ports of
/// **that** container.
#[must_use]
pub fn resolve(port: &IntOrString, container: &Container) -> Port {
    let text = port.to_string();
    if let Ok(number) = text.parse() {
        return Port::Number(number);
    }
    match container.ports.iter().find(|declared| declared.name == text) {
        Some(declared) => Port::Number(declared.container_port),
        None => Port::Unresolved(text),
    }
}

/// What a service's slices say of one pod.
#[derive(Debug, Clone, Copy)]
pub struct Endpoints<'a> {
    /// The slice.
    pub slice: &'a Of<EndpointSlice>,
    /// Index of the endpoint in it.
    pub index: usize,
}

impl Facts {
    /// Returns the services whose selector takes pods with labels, in a namespace; never one without a selector.
    pub fn services_of(&self, namespace: &Text, labels: &Labels) -> impl Iterator<Item = &Of<Service>> {
        let candidates = self.selectors.services.candidates(namespace, labels);
        candidates.into_iter().filter_map(|index| self.tables.services.get(usize::try_from(index).ok()?)).filter(
            move |service| {
                let selector = service.spec.as_ref().map(|spec| &spec.selector);
                selector.is_some_and(|selector| !selector.is_empty() && holds(selector, labels))
            },
        )
    }

    /// Returns the disruption budgets that select pods with labels, in a namespace.
    pub fn budgets_of(&self, namespace: &Text, labels: &Labels) -> impl Iterator<Item = &Of<PodDisruptionBudget>> {
        let candidates = self.selectors.budgets.candidates(namespace, labels);
        candidates.into_iter().filter_map(|index| self.tables.budgets.get(usize::try_from(index).ok()?)).filter(
            move |budget| {
                let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                selector.is_some_and(|selector| selector.matches(labels))
            },
        )
    }

    /// Returns the slices of a service.
    pub fn slices_of(&self, service: &Of<Service>) -> impl Iterator<Item = &Of<EndpointSlice>> {
        let key = (service.meta.namespace.clone(), service.meta.name.clone());
        let indexes: &[u32] = self.selectors.slices.get(&key).map_or(&[], Vec::as_slice);
        indexes.iter().filter_map(|index| self.tables.endpoint_slices.get(usize::try_from(*index).ok()?))
    }

    /// Returns the pod of a uid.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&Pod> {
        match self.by_uid.get(uid)? {
            (super::Fact::Pod, index) => self.tables.pods.get(usize::try_from(*index).ok()?),
            _ => None,
        }
    }

    /// Returns the pods on a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Pod> {
        let indexes: &[u32] = self.by_node.get(node).map_or(&[], Vec::as_slice);
        indexes.iter().filter_map(|index| self.tables.pods.get(usize::try_from(*index).ok()?))
    }

    pub(super) fn index(&mut self) {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        let empty = BTreeMap::new();
        let services = self.tables.services.iter().enumerate().filter_map(|(index, service)| {
            let selector = &service.spec.as_ref()?.selector;
            (!selector.is_empty()).then_some((number(index), &service.meta.namespace, selector))
        });
        let budgets = self.tables.budgets.iter().enumerate().filter_map(|(index, budget)| {
            let selector = budget.spec.as_ref()?.selector.as_ref()?;
            let pairs = if selector.match_labels.is_empty() { &empty } else { &selector.match_labels };
            Some((number(index), &budget.meta.namespace, pairs))
        });
        let mut slices: HashMap<(Text, Text), Vec<u32>> = HashMap::new();
        for (index, slice) in self.tables.endpoint_slices.iter().enumerate() {
            if let Some(service) = slice.meta.labels.get("kubernetes.io/service-name") {
                let key = (slice.meta.namespace.clone(), Text::from(service));
                slices.entry(key).or_default().push(number(index));
            }
        }
        self.selectors = Selectors { services: Filed::of(services), budgets: Filed::of(budgets), slices };
        for (index, pod) in self.tables.pods.iter().enumerate() {
            if !pod.node.is_empty() {
                self.by_node.entry(pod.node.clone()).or_default().push(number(index));
            }
        }
        for fact in super::Fact::ALL {
            if matches!(fact, super::Fact::EndpointSlice) {
                continue;
            }
            for (index, object) in self.tables.of(fact).enumerate() {
                let (meta, place) = (object.meta(), (fact, number(index)));
                if !meta.uid.is_empty() {
                    self.by_uid.insert(meta.uid.clone(), place);
                }
                if fact != super::Fact::Pod {
                    self.by_name.insert((fact, meta.namespace.clone(), meta.name.clone()), number(index));
                }
                let Some(owner) = &meta.owner else { continue };
                if !owner.uid.is_empty() {
                    self.children.entry(owner.uid.clone()).or_default().push(place);
                }
            }
        }
        // Owners without a uid own by name.
        let mut nameless = HashMap::new();
        for fact in super::Fact::ALL {
            for (index, object) in self.tables.of(fact).enumerate() {
                let Some(owner) = self.owner_of(object).filter(|_| object.meta().owner.is_some()) else { continue };
                let by_uid = object
                    .meta()
                    .owner
                    .as_ref()
                    .is_some_and(|known| !known.uid.is_empty() && known.uid == owner.meta().uid);
                if !by_uid {
                    let key = (owner.fact(), owner.meta().namespace.clone(), owner.meta().name.clone());
                    nameless.entry(key).or_insert_with(Vec::new).push((fact, number(index)));
                }
            }
        }
        self.children_by_name = nameless;
    }
}
