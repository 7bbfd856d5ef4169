//! Which platforms a pod may land on: the nodes that fit it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::images::inventory::PlatformNodes;
use crate::scheduling::{PlaceNode, Placement};

/// The nodes of a cluster, and what was asked of them.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// The nodes of each platform, without their images.
    by_platform: BTreeMap<String, Vec<PlaceNode>>,
    /// Each text of a placement once.
    places: BTreeSet<Arc<str>>,
    /// What was found for a placement.
    known: HashMap<Arc<str>, BTreeSet<String>>,
}

impl Nodes {
    /// Takes a node; one whose platform nobody knows tells nothing.
    pub(super) fn add(&mut self, node: &PlaceNode) {
        let Some(platform) = node.platform() else { return };
        let mut kept = PlaceNode { metadata: node.metadata.clone(), spec: node.spec.clone(), status: None };
        kept.metadata.annotations.clear();
        self.by_platform.entry(platform).or_default().push(kept);
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (platform, nodes) in other.by_platform {
            self.by_platform.entry(platform).or_default().extend(nodes);
        }
    }

    /// Returns the one copy of a placement's text.
    pub(super) fn place(&mut self, place: Arc<str>) -> Arc<str> {
        if let Some(known) = self.places.get(&place) {
            return known.clone();
        }
        self.places.insert(place.clone());
        place
    }

    /// Returns the platforms of all nodes that fit one of these placements, sorted.
    pub(super) fn platforms(&mut self, places: &BTreeSet<Arc<str>>) -> Vec<String> {
        let mut platforms = BTreeSet::new();
        for place in places {
            if !self.known.contains_key(place) {
                let found = self.fitting(place);
                self.known.insert(place.clone(), found);
            }
            platforms.extend(self.known.get(place).into_iter().flatten().cloned());
        }
        platforms.into_iter().collect()
    }

    /// One node of a platform is enough.
    fn fitting(&self, place: &str) -> BTreeSet<String> {
        let placement: Placement = serde_json::from_str(place).unwrap_or_default();
        let fitting = self.by_platform.iter().filter(|(_, nodes)| nodes.iter().any(|node| placement.fits(node)));
        fitting.map(|(platform, _)| platform.clone()).collect()
    }

    /// Returns how many nodes run each platform.
    pub(super) fn counted(&self) -> Vec<PlatformNodes> {
        let count = |(platform, nodes): (&String, &Vec<PlaceNode>)| PlatformNodes {
            platform: platform.clone(),
            nodes: u64::try_from(nodes.len()).unwrap_or(u64::MAX),
        };
        self.by_platform.iter().map(count).collect()
    }
}
