//! Whether everything in use is in the registry, can be pulled, and runs on the nodes: findings, without changing anything.

mod moved;

use std::collections::{BTreeSet, HashMap, HashSet};

use super::findings::found;
use super::plan::{Class, Plan, PlanFinding, PlannedImage};
use super::planning::noticed::name;
use super::snapshot::{Child, RegistrySnapshot, RepositorySnapshot};
use crate::images::{Digest, HostMap, ImageRef, Inventory, Use};

/// Returns what is in use and missing, archived or incomplete, sorted by rule and message: `EC101`, `EC102`, `EC104`,
/// and signatures whose image is gone, `EC106`.
///
/// `plan` is a fresh judgement of the registry; it knows whom every reference means.
#[must_use]
pub fn missing(plan: &Plan) -> Vec<PlanFinding> {
    let of_rules = |rules: &[&str]| {
        let carried = plan.findings.iter().filter(|finding| rules.contains(&finding.rule.as_str()));
        carried.cloned().collect::<BTreeSet<_>>()
    };
    let there: HashSet<(&str, Digest)> =
        plan.images.iter().map(|image| (image.repository.as_str(), image.digest)).collect();
    let mut findings = of_rules(&["EC101", "EC102", "EC104"]);
    for image in plan.images.iter().filter(|image| image.class == Class::Attached) {
        let is_there = |digest: &Digest| there.contains(&(image.repository.as_str(), *digest));
        if !image.subjects.iter().any(is_there) {
            findings.insert(of_gone_subject(image));
        }
    }
    findings.into_iter().collect()
}

/// Returns all findings of a verification, `EC101` to `EC109`: those of [`missing`], what the plan noticed about
/// references that are foreign, templated or do not parse, `EC103`, indexes in use that have no image for a platform that
/// their pods may land on, and `EC105`, tags that mean another image now than the one that runs.
///
/// Single images are not judged by platform, nor are hashed inventories. A variant fits when it is equal or one side
/// names none.
#[must_use]
pub fn verify(
    plan: &Plan,
    registry: &RegistrySnapshot,
    inventories: &[&Inventory],
    hosts: &HostMap,
) -> Vec<PlanFinding> {
    let mut findings: BTreeSet<PlanFinding> = missing(plan).into_iter().collect();
    let carried = |finding: &&PlanFinding| matches!(finding.rule.as_str(), "EC107" | "EC108" | "EC109");
    findings.extend(plan.findings.iter().filter(carried).cloned());
    findings.extend(moved::tags(plan, registry, inventories));
    let places = Places::of(registry);
    for inventory in inventories {
        let pods = inventory.references.iter().filter(|reference| {
            !reference.platforms.is_empty() && matches!(reference.r#use, Use::Template | Use::Pod | Use::Custom)
        });
        for reference in pods {
            let Some(children) = places.children(&reference.image, hosts) else { continue };
            let lacks = |platform: &&String| !children.iter().any(|child| fits(child, platform));
            if let Some(platform) = reference.platforms.iter().find(lacks) {
                let namespace = reference.namespace.as_deref().unwrap_or("-");
                let by = format!("{}/{namespace}/{}/{}", inventory.cluster, reference.kind, reference.name);
                let message = format!("{} has no image for {platform}, where {by} may run", reference.image);
                findings.insert(found("EC103", message).of(&by, &reference.image));
            }
        }
    }
    findings.into_iter().collect()
}

fn of_gone_subject(image: &PlannedImage) -> PlanFinding {
    let name = name(image);
    found("EC106", format!("what {name} is attached to is gone")).of_image(&image.repository, &name)
}

/// Where tags of a registry point.
struct Places<'a> {
    registry: &'a RegistrySnapshot,
    repositories: HashMap<&'a str, (&'a RepositorySnapshot, HashMap<&'a str, Digest>)>,
}

impl<'a> Places<'a> {
    fn of(registry: &'a RegistrySnapshot) -> Self {
        let tags = |repository: &'a RepositorySnapshot| {
            let rows = repository.entries.iter();
            rows.flat_map(|entry| entry.tags.iter().map(|tag| (tag.as_str(), entry.digest))).collect()
        };
        let named =
            |repository: &'a RepositorySnapshot| (repository.repository.name.as_str(), (repository, tags(repository)));
        Self { registry, repositories: registry.repositories.iter().map(named).collect() }
    }

    /// What an index that a reference names lists; `None` for everything that is no index of this registry.
    fn children(&self, image: &str, hosts: &HostMap) -> Option<&'a [Child]> {
        let ImageRef::Ecr(key) = ImageRef::parse(image, hosts) else { return None };
        if key.registry != self.registry.registry {
            return None;
        }
        let (repository, tags) = self.repositories.get(key.repository.as_str())?;
        let digest = key.digest.or_else(|| tags.get(key.tag.as_deref()?).copied())?;
        repository.indexes.get(&digest).map(|index| index.children.as_slice())
    }
}

/// Whether a child runs on a platform, as in `linux/arm/v7`. One that names no platform may run anywhere.
pub(super) fn fits(child: &Child, platform: &str) -> bool {
    let Some(own) = &child.platform else { return true };
    let (mut own, mut wanted) = (own.split('/'), platform.split('/'));
    let same = own.next() == wanted.next() && own.next() == wanted.next();
    same && match (own.next(), wanted.next()) {
        (Some(own), Some(wanted)) => own == wanted,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{Child, fits};
    use crate::images::Digest;

    #[test]
    fn a_variant_fits_when_it_is_equal_or_not_named() {
        let child = |platform: &str| Child { digest: Digest::of(b""), platform: Some(platform.to_owned()) };
        for (own, wanted, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
            ("unknown/unknown", "linux/amd64", false),
        ] {
            assert_eq!(fits(&child(own), wanted), expected, "{own} on {wanted}");
        }
        assert!(fits(&Child { digest: Digest::of(b""), platform: None }, "linux/amd64"));
    }
}
