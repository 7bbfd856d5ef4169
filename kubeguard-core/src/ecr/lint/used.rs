//! Who needs what a preview says will go.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::finding::{evidence, found, repository_name};
use crate::audit::{Evidence, Finding, ObjectName};
use crate::ecr::plan::{Plan, PlannedImage, Vote, VoteKind};
use crate::ecr::registry::{PreviewAction, PreviewResult};
use crate::images::Digest;

/// Images that somebody needs, each with the image that is named and how it leads there.
pub(super) struct Needed<'a> {
    by: HashMap<(&'a str, Digest), Need<'a>>,
}

#[derive(Clone, Copy)]
struct Need<'a> {
    /// The image whose votes say who needs it.
    root: &'a PlannedImage,
    /// How the image belongs to it; empty for itself.
    relation: &'static str,
}

/// The votes of those who need an image now, after a rollback, or when a standby takes over.
fn wanted(image: &PlannedImage) -> impl Iterator<Item = &Vote> {
    let needs = |vote: &&Vote| matches!(vote.vote, VoteKind::InUse | VoteKind::Rollback | VoteKind::Standby);
    image.kept.iter().filter(needs)
}

impl<'a> Needed<'a> {
    /// Follows what is needed to what it needs: the index that lists a digest that is named, children, what is attached.
    pub(super) fn of(plan: &'a Plan) -> Self {
        let images: HashMap<(&str, Digest), &PlannedImage> =
            plan.images.iter().map(|image| ((image.repository.as_str(), image.digest), image)).collect();
        let mut attached: HashMap<(&str, Digest), Vec<&PlannedImage>> = HashMap::new();
        // An index that is kept for a child of it: only where a digest of it is named, as the votes tell.
        let mut above: HashMap<(&str, Digest), Vec<&PlannedImage>> = HashMap::new();
        for image in &plan.images {
            let name = image.repository.as_str();
            for subject in &image.subjects {
                attached.entry((name, *subject)).or_default().push(image);
            }
            let referenced = image.kept.iter().filter(|vote| vote.vote == VoteKind::Referenced);
            let children = referenced.filter_map(|vote| vote.by.strip_prefix("child ")?.parse().ok());
            for child in children {
                above.entry((name, child)).or_default().push(image);
            }
        }
        let mut needed = Self { by: HashMap::new() };
        let mut open: VecDeque<(&PlannedImage, Need<'_>)> = VecDeque::new();
        let named = plan.images.iter().filter(|image| wanted(image).next().is_some());
        open.extend(named.map(|image| (image, Need { root: image, relation: "" })));
        while let Some((image, need)) = open.pop_front() {
            let name = image.repository.as_str();
            if needed.by.contains_key(&(name, image.digest)) {
                continue;
            }
            needed.by.insert((name, image.digest), need);
            let on = |relation| Need { root: need.root, relation };
            let indexes = above.get(&(name, image.digest)).into_iter().flatten();
            // Whoever was reached downwards leads only further down.
            let indexes = indexes.filter(|_| matches!(need.relation, "" | "the index of"));
            open.extend(indexes.map(|index| (*index, on("the index of"))));
            let children = image.children.iter().filter_map(|child| images.get(&(name, *child)));
            open.extend(children.map(|child| (*child, on("a part of"))));
            let attachments = attached.get(&(name, image.digest)).into_iter().flatten();
            open.extend(attachments.map(|attachment| (*attachment, on("attached to"))));
        }
        needed
    }
}

/// Returns what a preview says will go though somebody needs it.
pub(super) fn removed(
    repository: &str,
    results: &[PreviewResult],
    entries: &[&PlannedImage],
    needed: &Needed<'_>,
) -> Vec<Finding> {
    let by_digest: HashMap<Digest, &PlannedImage> = entries.iter().map(|image| (image.digest, *image)).collect();
    let of = |result: &PreviewResult| {
        let tagged = || entries.iter().find(|image| image.tags.iter().any(|tag| result.tags.contains(tag))).copied();
        // An answer without a digest that can be read names the image by its tags.
        result.digest.map_or_else(tagged, |digest| by_digest.get(&digest).copied())
    };
    let hits = results.iter().filter_map(|result| {
        let image = of(result)?;
        let need = needed.by.get(&(repository, image.digest))?;
        Some(finding(image, result, *need))
    });
    hits.collect()
}

/// Returns `app:v4`, or `app@sha256:…` for what has no tag.
pub(super) fn named(image: &PlannedImage) -> String {
    match image.tags.first() {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => format!("{}@{}", image.repository, image.digest),
    }
}

fn finding(image: &PlannedImage, result: &PreviewResult, need: Need<'_>) -> Finding {
    let (rule, verb) = match result.action {
        PreviewAction::Expire => ("EC201", "removes"),
        PreviewAction::Transition => ("EC202", "archives"),
    };
    let votes: Vec<&Vote> = wanted(need.root).collect();
    let said = match votes.first() {
        Some(vote) => {
            let how = match vote.vote {
                VoteKind::Rollback => "needed for a rollback by",
                VoteKind::Standby => "needed by standby",
                _ => "used by",
            };
            let listed = votes.len() as u64 + votes.iter().filter_map(|vote| vote.more).sum::<u64>() - 1;
            let more = if listed == 0 { String::new() } else { format!(" and {listed} more") };
            format!("{how} {}{more}", vote.by)
        }
        None => String::new(),
    };
    let part =
        if need.relation.is_empty() { String::new() } else { format!(", {} {}", need.relation, named(need.root)) };
    let priority = result.priority;
    let name = named(image);
    let message = format!("lifecycle rule {priority} {verb} {name} within 24h{part}; {said}");
    let mut own = found(rule, repository_name(&image.repository), &image.digest.to_string(), message);
    own.evidence = vec![
        evidence("/image", name),
        evidence("/digest", image.digest.to_string()),
        evidence("/lifecyclePolicy/rulePriority", priority),
    ];
    own.evidence.extend(votes.first().and_then(|vote| referrer(vote, need.root)));
    own.remedy.text = format!(
        "change lifecycle rule {priority} of {}, or pin the image by a tag of a rule with a higher priority",
        image.repository
    );
    let users: Vec<Value> = votes.iter().map(|vote| vote.by.as_str().into()).collect();
    own.details.insert("rulePriority".to_owned(), priority.into());
    own.details.insert("usedBy".to_owned(), users.into());
    own
}

/// The field that names an image, where an object of a cluster does.
fn referrer(vote: &Vote, image: &PlannedImage) -> Option<Evidence> {
    let mut parts = vote.by.split('/');
    let (_cluster, namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let namespace = if namespace == "-" { "" } else { namespace };
    let object = ObjectName {
        api_version: String::new(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let path = vote.path.as_ref()?.replace('[', ".").replace(']', "").replace('.', "/");
    Some(Evidence { object: Some(object), path: format!("/{path}"), value: named(image).into() })
}
