//! Uses that are recorded beside the plans: by inventories, and by whoever carries a plan out.

use std::collections::BTreeMap;

use super::{CleanState, KeyUse};
use crate::ecr::policy::{Keep, Policy};
use crate::images::{HostMap, ImageRef, Inventory, RegistryId, Use};

impl CleanState {
    /// Records what an inventory names, by key, without asking the registry; the next plan tells which entries these are.
    ///
    /// Templates, pods, statuses, custom resources, texts and lists count, and Jobs that have ended unless the policy's
    /// rule for their repository ignores them; what only a rollback, an event or a node's cache names does not. A hashed
    /// inventory names nothing. Recording the same inventory twice adds nothing, nor does an older one take anything.
    pub fn record_uses(&mut self, inventory: &Inventory, policy: Option<&Policy>) {
        let hosts = policy.map_or_else(HostMap::default, Policy::hosts);
        let mut newest: BTreeMap<String, KeyUse> =
            std::mem::take(&mut self.uses).into_iter().map(|used| (used.key.clone(), used)).collect();
        for reference in &inventory.references {
            let finished = match reference.r#use {
                Use::Template | Use::Pod | Use::Status | Use::Custom | Use::Text | Use::Declared => false,
                Use::Finished => true,
                Use::Revision | Use::Event | Use::Node => continue,
            };
            let image = ImageRef::parse(&reference.image, &hosts);
            if let (true, ImageRef::Ecr(key)) = (finished, &image)
                && policy.and_then(|policy| policy.rule_for(&key.repository)).is_some_and(ignores_finished)
            {
                continue;
            }
            let namespace = reference.namespace.as_deref().unwrap_or("-");
            let by = format!("{}/{namespace}/{}/{}", inventory.cluster, reference.kind, reference.name);
            for key in keys(&image, &self.registry) {
                add(&mut newest, KeyUse { key, last: inventory.taken_at, by: by.clone() });
            }
        }
        self.uses = newest.into_values().collect();
        self.updated_at = self.updated_at.max(inventory.taken_at);
    }

    /// Takes over the uses that another state of the same registry has recorded; of each key the newest stays.
    pub fn merge_uses(&mut self, other: &Self) {
        let mut newest: BTreeMap<String, KeyUse> =
            std::mem::take(&mut self.uses).into_iter().map(|used| (used.key.clone(), used)).collect();
        for used in &other.uses {
            add(&mut newest, used.clone());
        }
        self.uses = newest.into_values().collect();
        self.updated_at = self.updated_at.max(other.updated_at);
    }
}

/// Keeps the newer of two uses of a key. At one time several use it: the first by name is told, whatever the order.
fn add(newest: &mut BTreeMap<String, KeyUse>, used: KeyUse) {
    let known = newest.entry(used.key.clone()).or_insert_with(|| used.clone());
    if known.last < used.last || known.last == used.last && used.by < known.by {
        *known = used;
    }
}

fn ignores_finished(rule: &crate::ecr::policy::Rule) -> bool {
    rule.finished_jobs == Keep::Ignore
}

/// Returns the keys of an image: of the registry `repository:tag` and `repository@digest`, else its usual spelling.
fn keys(image: &ImageRef, registry: &RegistryId) -> Vec<String> {
    let spelt = |host: &str, path: &str, tag: Option<&str>, digest: Option<String>| {
        let tag = tag.map_or(String::new(), |tag| format!(":{tag}"));
        vec![format!("{host}/{path}{tag}{}", digest.map_or(String::new(), |digest| format!("@{digest}")))]
    };
    match image {
        ImageRef::Ecr(key) if key.registry == *registry => {
            let tag = key.tag.as_ref().map(|tag| format!("{}:{tag}", key.repository));
            let digest = key.digest.map(|digest| format!("{}@{digest}", key.repository));
            tag.into_iter().chain(digest).collect()
        }
        ImageRef::Ecr(key) => {
            let digest = key.digest.map(|digest| digest.to_string());
            spelt(&key.registry.host(), &key.repository, key.tag.as_deref(), digest)
        }
        ImageRef::Other(image) => {
            let digest = image.digest.map(|digest| digest.to_string());
            spelt(&image.host, &image.path, image.tag.as_deref(), digest)
        }
        ImageRef::Bare(_) | ImageRef::Unparsed(_) => Vec::new(),
    }
}
