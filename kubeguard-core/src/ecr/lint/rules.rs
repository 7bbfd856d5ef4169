//! What a lifecycle policy says about itself, and how full a repository is.

use std::collections::HashSet;

use super::finding::{evidence, found, repository_name};
use super::policy::{LifecyclePolicy, LifecycleRule, matches};
use crate::audit::{Finding, Severity};
use crate::ecr::plan::{Class, PlannedImage};
use crate::ecr::snapshot::Status;
use crate::images::Digest;

/// Returns what is wrong with the rules of one policy: `EC203` and `EC204`.
pub(super) fn of_policy(repository: &str, policy: &LifecyclePolicy, entries: &[&PlannedImage]) -> Vec<Finding> {
    if entries.is_empty() {
        return Vec::new();
    }
    let roots = roots(entries);
    let rules = policy.rules.iter();
    rules
        .flat_map(|rule| [idle(repository, rule, entries), parts(repository, rule, entries, &roots)])
        .flatten()
        .collect()
}

/// The images as people count them: runnable, not archived, and part of no index.
fn roots(entries: &[&PlannedImage]) -> HashSet<Digest> {
    let parts: HashSet<Digest> = entries.iter().flat_map(|image| &image.children).copied().collect();
    let is_root = |image: &&&PlannedImage| {
        matches!(image.class, Class::Image | Class::Index)
            && image.status == Status::Active
            && !parts.contains(&image.digest)
    };
    entries.iter().filter(is_root).map(|image| image.digest).collect()
}

/// A rule for tags that nothing has. A rule for what is untagged, or for any image, waits for what may come.
fn idle(repository: &str, rule: &LifecycleRule, entries: &[&PlannedImage]) -> Option<Finding> {
    let asked = rule.selection.asked();
    if asked.is_empty() || entries.iter().any(|image| rule.selection.selects(&image.tags)) {
        return None;
    }
    let priority = rule.rule_priority;
    let quoted: Vec<String> = asked.iter().map(|pattern| format!("{pattern:?}")).collect();
    let alone =
        |pattern: &String| entries.iter().filter(|image| image.tags.iter().any(|tag| matches(pattern, tag))).count();
    let message = match quoted.as_slice() {
        [only] => format!("lifecycle rule {priority} matches nothing: no image has a tag {only}"),
        all => {
            let each = asked.iter().all(|pattern| alone(pattern) > 0);
            let note = if each { "; each matches some image alone" } else { "" };
            format!("lifecycle rule {priority} matches nothing: tags must match {} at once{note}", all.join(" AND "))
        }
    };
    let mut own = found("EC203", repository_name(repository), &format!("tags\n{}", asked.join("\n")), message);
    own.evidence = vec![evidence("/lifecyclePolicy/rulePriority", priority)];
    own.evidence.extend(asked.iter().map(|pattern| evidence(format!("/images/{pattern}"), alone(pattern))));
    own.assumptions =
        vec!["every prefix and pattern of one rule must match a tag of the image, as AWS documents".to_owned()];
    own.details.insert("rulePriority".to_owned(), priority.into());
    Some(own)
}

/// A rule that counts entries, where an image is more than one of them.
fn parts(
    repository: &str,
    rule: &LifecycleRule,
    entries: &[&PlannedImage],
    roots: &HashSet<Digest>,
) -> Option<Finding> {
    let has_indexes = entries.iter().any(|image| image.class == Class::Index);
    if rule.selection.count_type != "imageCountMoreThan" || !has_indexes {
        return None;
    }
    let counted: Vec<_> = entries.iter().filter(|image| rule.selection.selects(&image.tags)).collect();
    let images = counted.iter().filter(|image| roots.contains(&image.digest)).count();
    if counted.len() == images {
        return None;
    }
    let (priority, keeps) = (rule.rule_priority, rule.selection.count_number);
    let all = counted.len() as u64;
    let ratio = match images as u64 {
        0 => format!("all {all} that it counts now are parts of images, or attached to them"),
        images => {
            let (tenths, about) = (all * 10 / images, keeps.saturating_mul(images) / all);
            format!(
                "{} entries per image here ({all} entries, {images} images), so that is about {about} images",
                format_args!("{}.{}", tenths / 10, tenths % 10)
            )
        }
    };
    let message = format!("lifecycle rule {priority} keeps {keeps} entries: {ratio}");
    let mut own = found("EC204", repository_name(repository), &format!("priority {priority}"), message);
    own.evidence = vec![
        evidence("/lifecyclePolicy/rulePriority", priority),
        evidence("/lifecyclePolicy/countNumber", keeps),
        evidence("/entries", all),
        evidence("/roots", images),
    ];
    own.assumptions = vec![
        "the children of an index and what is attached to it count as images of their own, as AWS documents".to_owned(),
    ];
    own.details.insert("rulePriority".to_owned(), priority.into());
    Some(own)
}

/// Returns `EC205` for a repository that is near its quota: medium from 80 percent on, high from 95.
pub(super) fn near_quota(repository: &str, entries: u64, quota: u64) -> Option<Finding> {
    let at_least = |percent: u128| u128::from(entries) * 100 >= u128::from(quota) * percent;
    if quota == 0 || !at_least(80) {
        return None;
    }
    let percent = u128::from(entries) * 100 / u128::from(quota);
    let message = format!("{entries} of {quota} entries ({percent} %): a push beyond the quota is refused");
    let mut own = found("EC205", repository_name(repository), "", message);
    own.severity = if at_least(95) { Severity::High } else { Severity::Medium };
    own.evidence = vec![evidence("/entries", entries), evidence("/quota", quota)];
    Some(own)
}
