//! Patterns that match nothing: whoever wrote them believes that something stays.

use std::collections::BTreeMap;

use super::super::findings::found;
use super::super::plan::PlanFinding;
use super::super::policy::{Pattern, Pins, Policy, Rule};
use super::super::snapshot::RepositorySnapshot;

/// Tells of tag patterns that match no tag of the repositories that they are for.
///
/// The default of `pins.tags` is nobody's belief. Where a repository could not be read, nothing is told of its patterns.
pub(super) fn patterns(policy: &Policy, included: &[(&RepositorySnapshot, &Rule)]) -> Vec<PlanFinding> {
    let mut told = Vec::new();
    let all: Vec<&RepositorySnapshot> = included.iter().map(|(repository, _)| *repository).collect();
    if policy.pins.tags != Pins::default().tags {
        told.extend(idle(&policy.pins.tags, &all).map(|pattern| format!("pins.tags: {:?}", pattern.text)));
    }
    let mut by_rule: BTreeMap<&str, (&Rule, Vec<&RepositorySnapshot>)> = BTreeMap::new();
    for (repository, rule) in included {
        by_rule.entry(&rule.name).or_insert_with(|| (rule, Vec::new())).1.push(repository);
    }
    for (rule, repositories) in by_rule.values() {
        for (setting, patterns) in [("keepTags", &rule.keep_tags), ("selectTags", &rule.select_tags)] {
            let idle = idle(patterns, repositories);
            told.extend(idle.map(|pattern| format!("rule {}: {setting}: {:?}", rule.name, pattern.text)));
        }
    }
    told.into_iter().map(|what| found("EC209", format!("{what} matches no tag"))).collect()
}

fn idle<'a>(patterns: &'a [Pattern], repositories: &[&RepositorySnapshot]) -> impl Iterator<Item = &'a Pattern> {
    let readable = repositories.iter().all(|repository| repository.problem.is_none());
    let mut open: Vec<&Pattern> = patterns.iter().filter(|_| readable).collect();
    for tag in repositories.iter().flat_map(|repository| &repository.entries).flat_map(|entry| &entry.tags) {
        if open.is_empty() {
            break;
        }
        open.retain(|pattern| !pattern.matches(tag));
    }
    open.into_iter()
}
