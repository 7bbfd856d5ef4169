//! Who makes whom.

use super::{Facts, Object, Place, Text};
use crate::audit::needs::Fact;
use crate::audit::report::ObjectName;

/// A chain of owners is never longer in practice; a longer one is a mistake.
const LONGEST: usize = 5;

/// One object of a chain of owners.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// Its names.
    pub name: ObjectName,
    /// The object, where it is known; a reference is enough to name it.
    pub object: Option<&'a dyn Object>,
}

impl Link<'_> {
    /// Returns what it is, if it is of a kind that rules read.
    #[must_use]
    pub fn fact(&self) -> Option<Fact> {
        Fact::of(self.name.group(), &self.name.kind)
    }
}

impl Facts {
    /// Returns the object that controls an object, if it is known.
    ///
    /// By uid; by name only where one of the two carries no uid, as in files.
    #[must_use]
    pub fn owner_of(&self, object: &dyn Object) -> Option<&dyn Object> {
        let owner = object.meta().owner.as_ref()?;
        if !owner.uid.is_empty()
            && let Some(place) = self.by_uid.get(&owner.uid)
        {
            return self.tables.get(*place);
        }
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let fact = Fact::of(group, &owner.kind)?;
        let namespace = if matches!(fact, Fact::Node) { Text::default() } else { object.meta().namespace.clone() };
        let index = self.by_name.get(&(fact, namespace, owner.name.clone()))?;
        let found = self.tables.get((fact, *index))?;
        (owner.uid.is_empty() || found.meta().uid.is_empty()).then_some(found)
    }

    /// Returns the objects that an object controls, by kind, namespace and name.
    pub fn owned_by(&self, object: &dyn Object) -> impl Iterator<Item = &dyn Object> {
        let uid = &object.meta().uid;
        let places: &[Place] = if uid.is_empty() { &[] } else { self.children.get(uid).map_or(&[], Vec::as_slice) };
        let of_name =
            |object: &dyn Object| (object.fact(), object.meta().namespace.clone(), object.meta().name.clone());
        let nameless: &[Place] = self.children_by_name.get(&of_name(object)).map_or(&[], Vec::as_slice);
        places.iter().chain(nameless).filter_map(|place| self.tables.get(*place))
    }

    /// Returns the pods that an object controls.
    pub fn pods_of(&self, object: &dyn Object) -> impl Iterator<Item = &super::Pod> {
        let uid = &object.meta().uid;
        let places: &[Place] = if uid.is_empty() { &[] } else { self.children.get(uid).map_or(&[], Vec::as_slice) };
        let of_name = (object.fact(), object.meta().namespace.clone(), object.meta().name.clone());
        let nameless: &[Place] = self.children_by_name.get(&of_name).map_or(&[], Vec::as_slice);
        places
            .iter()
            .chain(nameless)
            .filter(|(fact, _)| *fact == Fact::Pod)
            .filter_map(|(_, index)| usize::try_from(*index).ok().and_then(|index| self.tables.pods.get(index)))
    }

    /// Returns an object and those that control it, up to the root. Where a replica set cannot be read, its
    /// deployment's name follows from its own.
    #[must_use]
    pub fn chain<'a>(&'a self, object: &'a dyn Object) -> Vec<Link<'a>> {
        let mut chain = vec![Link { name: object.object_name(), object: Some(object) }];
        let mut at = object;
        while chain.len() < LONGEST {
            let Some(owner) = &at.meta().owner else { break };
            // A static pod is its own root: its node does not make it.
            if owner.kind == "Node" && owner.api_version == "v1" {
                break;
            }
            if let Some(found) = self.owner_of(at) {
                let name = found.object_name();
                if chain.iter().any(|link| link.name == name) {
                    break;
                }
                chain.push(Link { name, object: Some(found) });
                at = found;
                continue;
            }
            let named = |api_version: &str, kind: &str, name: &str| ObjectName {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: at.meta().namespace.to_string(),
                name: name.to_owned(),
            };
            let hash = at.meta().labels.get("pod-template-hash").unwrap_or_default();
            let deployment = owner.name.strip_suffix(hash).and_then(|name| name.strip_suffix('-'));
            let is_revision = owner.kind == "ReplicaSet" && owner.api_version.starts_with("apps/") && !hash.is_empty();
            chain.push(Link { name: named(&owner.api_version, &owner.kind, &owner.name), object: None });
            if let Some(name) = deployment.filter(|_| is_revision) {
                let key = (Fact::Deployment, at.meta().namespace.clone(), Text::from(name));
                let known = self.by_name.get(&key).and_then(|index| self.tables.get((Fact::Deployment, *index)));
                let api_version = known.map_or("apps/v1", |found| found.api_version());
                chain.push(Link { name: named(api_version, "Deployment", name), object: known });
            }
            break;
        }
        chain
    }
}
