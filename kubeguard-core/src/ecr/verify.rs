//! Whether everything in use is in the registry, can be pulled, and runs on the nodes: findings, without changing anything.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::findings::found;
use super::plan::{Class, Plan, PlanFinding, PlannedImage, VoteKind};
use super::snapshot::{Child, RegistrySnapshot, RepositorySnapshot, Status};
use crate::images::{Digest, HostMap, ImageRef, Inventory, Use};

/// Returns what is in use and missing, archived or incomplete, sorted by rule and message: `EC101`, `EC102`, `EC104`,
/// and signatures whose image is gone, `EC106`.
///
/// `plan` is a fresh judgement of the registry; it knows whom every reference means.
#[must_use]
pub fn missing(plan: &Plan) -> Vec<PlanFinding> {
    let there: HashSet<(&str, Digest)> =
        plan.images.iter().map(|image| (image.repository.as_str(), image.digest)).collect();
    let mut findings: BTreeSet<PlanFinding> =
        plan.findings.iter().filter(|finding| finding.rule == "EC101").cloned().collect();
    for image in &plan.images {
        findings.extend(not_active(image));
        let is_there = |digest: &&Digest| there.contains(&(image.repository.as_str(), **digest));
        findings.extend(image.children.iter().find(|child| !is_there(child)).map(|child| {
            let severity = if user(image).is_some() { "critical" } else { "medium" };
            let message = format!("{} lists {child}, which is not in the registry", name(image));
            found("EC104", message).with_severity(severity)
        }));
        if image.class == Class::Attached && !image.subjects.iter().any(|subject| is_there(&subject)) {
            let message = format!("what {} is attached to is gone", name(image));
            findings.insert(found("EC106", message));
        }
    }
    findings.into_iter().collect()
}

/// Returns all findings of a verification: those of [`missing`], and `EC103`, indexes in use that have no image for a
/// platform that their pods may land on.
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
                findings.insert(found("EC103", message));
            }
        }
    }
    findings.into_iter().collect()
}

/// An image by its repository with its first tag, or its digest.
fn name(image: &PlannedImage) -> String {
    match image.tags.first() {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => format!("{}@{}", image.repository, image.digest),
    }
}

/// Who uses an image now.
fn user(image: &PlannedImage) -> Option<&str> {
    let in_use = image.kept.iter().find(|vote| matches!(vote.vote, VoteKind::InUse | VoteKind::Standby));
    in_use.map(|vote| vote.by.as_str())
}

fn not_active(image: &PlannedImage) -> Option<PlanFinding> {
    let user = user(image)?;
    let (severity, state) = match &image.status {
        Status::Active => return None,
        Status::Activating => ("high", "being restored"),
        Status::Archived => ("critical", "archived"),
        Status::Other(_) => ("critical", "in a state that is not known here"),
    };
    let message = format!("{} is used by {user} and is {state}: it cannot be pulled", name(image));
    let remedy = format!("kubectl ecr-clean restore {}", name(image));
    Some(found("EC102", message).with_severity(severity).with_remedy(remedy))
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
fn fits(child: &Child, platform: &str) -> bool {
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
