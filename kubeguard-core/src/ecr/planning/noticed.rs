//! What a plan notices about images in use, beside its decisions.

use std::collections::BTreeMap;

use super::super::findings::found;
use super::super::plan::{Foreign, PlanFinding, PlannedImage, VoteKind};
use super::super::snapshot::{RepositorySnapshot, Status};
use super::super::verify::fits;
use super::usage::Judged;

/// An image by its repository with its first tag, or its digest.
pub(in crate::ecr) fn name(image: &PlannedImage) -> String {
    match image.tags.first() {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => format!("{}@{}", image.repository, image.digest),
    }
}

/// Tells of an image in use that cannot be pulled.
pub(super) fn not_active(image: &PlannedImage) -> Option<PlanFinding> {
    let in_use = image.kept.iter().find(|vote| matches!(vote.vote, VoteKind::InUse | VoteKind::Standby));
    let user = in_use.map(|vote| vote.by.as_str())?;
    let (severity, state) = match &image.status {
        Status::Active => return None,
        Status::Activating => ("high", "being restored"),
        Status::Archived => ("critical", "archived"),
        Status::Other(_) => ("critical", "in a state that is not known here"),
    };
    let message = format!("{} is used by {user} and is {state}: it cannot be pulled", name(image));
    let remedy = format!("kubectl ecr-clean restore {}", name(image));
    let own = found("EC102", message).of(user, &name(image)).of_repository(&image.repository);
    Some(own.with_severity(severity).with_remedy(remedy))
}

/// Tells of indexes that list what is not there; critical where a pod that uses one may land on such a platform.
///
/// Where the nodes of a user are not known it may land on any. What an index lists for no platform of nodes, as
/// attestations, runs nowhere.
pub(super) fn sparse(judged: &Judged<'_>, repository: &RepositorySnapshot) -> Vec<PlanFinding> {
    let indexes = judged.graph.entries.iter().enumerate().filter(|(at, _)| judged.graph.sparse[*at]);
    let found = indexes.filter_map(|(at, entry)| {
        let index = repository.indexes.get(&entry.digest)?;
        let missing = || index.children.iter().filter(|child| judged.graph.by_digest(child.digest).is_none());
        let used_on = judged.used_on.get(&at);
        let is_needed = |child: &&super::super::snapshot::Child| {
            let runs = child.platform.as_deref() != Some("unknown/unknown");
            runs && used_on.into_iter().flatten().any(|platform| platform.as_ref().is_none_or(|on| fits(child, on)))
        };
        let needed = missing().find(is_needed);
        let child = needed.or_else(|| missing().min_by_key(|child| child.digest))?;
        let severity = if needed.is_some() { "critical" } else { "medium" };
        let name = match entry.tags.iter().min() {
            Some(tag) => format!("{}:{tag}", judged.name),
            None => format!("{}@{}", judged.name, entry.digest),
        };
        let on = child.platform.as_deref().map_or(String::new(), |platform| format!(" for {platform}"));
        let message = format!("{name} lists {}{on}, which is not in the registry", child.digest);
        Some(found("EC104", message).of_image(judged.name, &name).with_severity(severity))
    });
    found.collect()
}

/// Tells of references to other registries, each image once.
pub(super) fn foreign<'a>(foreign: impl IntoIterator<Item = &'a Foreign>) -> Vec<PlanFinding> {
    let mut images: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for one in foreign {
        images.entry(&one.image).or_insert((&one.by, 0)).1 += 1;
    }
    let tell = |(image, (by, users)): (&str, (&str, usize))| {
        let others = if users > 1 { format!(" and {} more", users - 1) } else { String::new() };
        let message = format!("{image} is named by {by}{others} and is in another registry: it protects nothing here");
        found("EC107", message).of(by, image)
    };
    images.into_iter().map(tell).collect()
}
