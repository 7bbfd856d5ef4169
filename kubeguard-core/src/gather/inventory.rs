//! What carries a label, of whatever kind: the members of a set that somebody applied together.

use std::collections::BTreeSet;

use futures::StreamExt;

use super::discovery::Discovery;
use super::pages::{self, Selection};
use super::resource::Resource;
use crate::access::Cluster;
use crate::error::{Error, Result};
use crate::kinds::ObjectMeta;

/// Lists at the same time.
const AT_ONCE: usize = 8;
/// Kinds that the control plane writes for other objects, with their labels and without naming an owner.
const WRITTEN_FOR_OTHERS: &[(&str, &str)] = &[("", "Endpoints"), ("", "Event"), ("events.k8s.io", "Event")];

/// What carries the labels.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The members, by kind, namespace and name; not those that another member owns.
    pub members: Vec<Member>,
    /// Kinds that could not be listed, and why: members may be among them.
    pub unread: Vec<(Resource, Error)>,
}

/// One object of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its kind.
    pub resource: Resource,
    /// Its namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Looks through every kind that the server lets list and watch, reading metadata alone.
///
/// What a member owns (a `Deployment`'s pods with the same labels) is judged through its owner and left out. Without a
/// namespace all are looked through; with one, kinds that live in none are looked through too.
pub async fn inventory(cluster: &Cluster, kinds: &Discovery, namespace: Option<&str>, labels: &str) -> Inventory {
    let written =
        |resource: &&Resource| WRITTEN_FOR_OTHERS.contains(&(resource.group.as_str(), resource.kind.as_str()));
    let lists = kinds.watched().filter(|resource| !written(resource)).map(|resource| async move {
        let place = namespace.filter(|_| resource.namespaced);
        let selection = Selection { labels: labels.to_owned(), ..Selection::all(resource.clone(), place) };
        (resource, pages::metadata(cluster, &selection).await)
    });
    let answers: Vec<(&Resource, Result<Vec<ObjectMeta>>)> =
        futures::stream::iter(lists).buffer_unordered(AT_ONCE).collect().await;

    let mut found = Inventory::default();
    let mut seen = Vec::new();
    for (resource, answer) in answers {
        match answer {
            Ok(objects) => seen.extend(objects.into_iter().map(|meta| (resource, meta))),
            // A kind that went away since, or never had a list.
            Err(Error::Api { failure, .. }) if matches!(failure.code(), Some(404 | 405)) => {}
            Err(error) => found.unread.push((resource.clone(), error)),
        }
    }
    // The same object may be served by two groups: the first in order is taken.
    seen.sort_by(|(a, one), (b, other)| (&one.uid, a).cmp(&(&other.uid, b)));
    seen.dedup_by(|(_, one), (_, other)| one.uid == other.uid && !one.uid.is_empty());
    let uids: BTreeSet<&str> = seen.iter().map(|(_, meta)| meta.uid.as_str()).collect();
    let owned = |meta: &ObjectMeta| meta.owner_references.iter().any(|owner| uids.contains(owner.uid.as_str()));
    found.members = seen
        .iter()
        .filter(|(_, meta)| !owned(meta))
        .map(|(resource, meta)| Member {
            resource: (*resource).clone(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
        })
        .collect();
    found.members.sort();
    found.unread.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}
