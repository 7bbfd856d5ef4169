//! Tags that mean another image now than the one that a pod runs by them: its next start changes the version.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ecr::findings::found;
use crate::ecr::plan::{Plan, PlanFinding};
use crate::ecr::planning::names::Names;
use crate::ecr::snapshot::{RegistrySnapshot, RepositorySnapshot};
use crate::images::{Digest, Inventory, Use};

/// Returns a finding for each tag of a workload whose running digest it does not mean any more.
///
/// A digest that lies below what the tag means, as one platform of an index, is the same image. A digest without a
/// repository is judged where it is an entry; what may be a configuration proves nothing.
pub(super) fn tags(plan: &Plan, registry: &RegistrySnapshot, inventories: &[&Inventory]) -> Vec<PlanFinding> {
    let mut names = Names::of(&plan.policy, registry);
    let mut repositories: HashMap<&str, Repository<'_>> = registry
        .repositories
        .iter()
        .map(|repository| (repository.repository.name.as_str(), Repository { snapshot: repository, known: None }))
        .collect();
    // By what is told, with who runs it.
    let mut moved: BTreeMap<(String, Digest, Digest), BTreeSet<String>> = BTreeMap::new();
    for inventory in inventories {
        let running = inventory.references.iter().filter(|reference| reference.r#use == Use::Status);
        for reference in running {
            let Some(spec) = &reference.spec else { continue };
            let ran = names.meaning(&reference.image).clone();
            let digests: BTreeSet<Digest> =
                ran.bare.into_iter().chain(ran.selectors.iter().filter_map(|selector| selector.digest)).collect();
            for selector in &names.meaning(spec).selectors {
                let (Some(tag), None) = (&selector.tag, selector.digest) else { continue };
                let Some(repository) = repositories.get_mut(selector.repository.as_str()) else { continue };
                let Some(now) = repository.tagged(tag) else { continue };
                for digest in &digests {
                    // An image that is not here is another registry's, or a configuration.
                    if !repository.is_entry(*digest) || repository.reaches(now, *digest) {
                        continue;
                    }
                    let namespace = reference.namespace.as_deref().unwrap_or("-");
                    let by = format!("{}/{namespace}/{}/{}", inventory.cluster, reference.kind, reference.name);
                    let image = format!("{}:{tag}", selector.repository);
                    moved.entry((image, *digest, now)).or_default().insert(by);
                }
            }
        }
    }
    let tell = |((image, ran, now), by): ((String, Digest, Digest), BTreeSet<String>)| {
        let others = if by.len() > 1 { format!(" and {} more", by.len() - 1) } else { String::new() };
        let by = by.into_iter().next().unwrap_or_default();
        let message = format!("{by}{others} runs {ran}, {image} is {now} now: a restart changes the version");
        found("EC105", message).of(&by, &image)
    };
    moved.into_iter().map(tell).collect()
}

struct Repository<'a> {
    snapshot: &'a RepositorySnapshot,
    known: Option<(HashMap<&'a str, Digest>, BTreeSet<Digest>)>,
}

impl<'a> Repository<'a> {
    fn known(&mut self) -> &(HashMap<&'a str, Digest>, BTreeSet<Digest>) {
        let entries = &self.snapshot.entries;
        self.known.get_or_insert_with(|| {
            let tags = entries.iter().flat_map(|entry| entry.tags.iter().map(|tag| (tag.as_str(), entry.digest)));
            (tags.collect(), entries.iter().map(|entry| entry.digest).collect())
        })
    }

    fn tagged(&mut self, tag: &str) -> Option<Digest> {
        self.known().0.get(tag).copied()
    }

    fn is_entry(&mut self, digest: Digest) -> bool {
        self.known().1.contains(&digest)
    }

    /// Whether an entry is, or lies below, another.
    fn reaches(&self, from: Digest, wanted: Digest) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(digest) = open.pop() {
            if digest == wanted {
                return true;
            }
            let index = self.snapshot.indexes.get(&digest);
            let children = index.into_iter().flat_map(|index| &index.children).map(|child| child.digest);
            open.extend(children.filter(|child| seen.insert(*child)));
        }
        false
    }
}
