//! What is different between two reports of the same rules.

use std::collections::BTreeMap;

use super::report::{AuditReport, Finding, ObjectName, Severity};

/// What makes a finding the same over time, and how bad it was.
type Known<'a> = BTreeMap<(&'a str, &'a ObjectName), Severity>;

/// What has changed since an earlier report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes<'a> {
    /// Findings that are new, or have another severity now; in the order of the report.
    pub came: Vec<&'a Finding>,
    /// Findings that are no more, as they were; only where the newer report could judge their rules.
    pub went: Vec<&'a Finding>,
    /// What can be judged has changed.
    pub skipped: bool,
}

impl Changes<'_> {
    /// Returns whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.came.is_empty() && self.went.is_empty() && !self.skipped
    }
}

/// Returns what has changed from one report to the next.
///
/// A finding is known by its fingerprint and object: the next run of a `CronJob` is another finding. What the newer
/// report could not judge has not ended.
#[must_use]
pub fn changes<'a>(before: &'a AuditReport, after: &'a AuditReport) -> Changes<'a> {
    let (old, new) = (known(before), known(after));
    let key = |finding: &'a Finding| (finding.fingerprint.as_str(), &finding.object);
    let judged = |finding: &Finding| !after.skipped.iter().any(|skipped| skipped.rules.contains(&finding.rule));
    Changes {
        came: after.items.iter().filter(|finding| old.get(&key(finding)) != Some(&finding.severity)).collect(),
        went: before.items.iter().filter(|finding| !new.contains_key(&key(finding)) && judged(finding)).collect(),
        skipped: before.skipped != after.skipped,
    }
}

/// Returns the newer report with the findings of the older one that it could not judge: what the next one is compared
/// with.
#[must_use]
pub fn remembered(before: &AuditReport, after: &AuditReport) -> AuditReport {
    let new = known(after);
    let unjudged = before.items.iter().filter(|finding| {
        let skipped = after.skipped.iter().any(|skipped| skipped.rules.contains(&finding.rule));
        skipped && !new.contains_key(&(finding.fingerprint.as_str(), &finding.object))
    });
    let items = after.items.iter().chain(unjudged).cloned().collect();
    AuditReport::new(items, after.skipped.clone(), after.summary.objects)
}

fn known(report: &AuditReport) -> Known<'_> {
    report.items.iter().map(|finding| ((finding.fingerprint.as_str(), &finding.object), finding.severity)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::report::{Proof, Remedy, Skipped, fingerprint};

    fn finding(rule: &str, name: &str, severity: Severity) -> Finding {
        let (api_version, kind) = ("batch/v1".to_owned(), "Job".to_owned());
        let object = ObjectName { api_version, kind, namespace: "t".to_owned(), name: name.to_owned() };
        Finding {
            rule: rule.to_owned(),
            name: String::new(),
            severity,
            proof: Proof::Exact,
            fingerprint: fingerprint(rule, &object, None, ""),
            object,
            container: None,
            source: None,
            message: String::new(),
            evidence: Vec::new(),
            remedy: Remedy::default(),
            since: None,
            pods: None,
            also: Vec::new(),
            assumptions: Vec::new(),
            details: serde_json::Map::new(),
        }
    }

    fn report(items: Vec<Finding>, skipped: &[&str]) -> AuditReport {
        let skipped = skipped.iter().map(|rule| Skipped {
            rules: vec![(*rule).to_owned()],
            reason: "cannot list pods: Forbidden".to_owned(),
            partial: false,
            namespace: None,
        });
        AuditReport::new(items, skipped.collect(), 1)
    }

    #[test]
    fn what_is_new_or_worse_came_and_what_is_no_more_went() {
        let before = report(vec![finding("ZJ101", "a", Severity::High), finding("ZJ101", "b", Severity::High)], &[]);
        let after = report(vec![finding("ZJ101", "b", Severity::Critical), finding("ZJ102", "c", Severity::High)], &[]);
        let found = changes(&before, &after);
        let names = |findings: &[&Finding]| findings.iter().map(|f| f.object.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&found.came), names(&found.went)),
            (vec!["b".to_owned(), "c".to_owned()], vec!["a".to_owned()])
        );
        assert!(changes(&after, &after).is_empty());
    }

    #[test]
    fn what_cannot_be_judged_any_more_has_not_ended() {
        let before = report(vec![finding("ZJ101", "a", Severity::High)], &[]);
        let after = report(Vec::new(), &["ZJ101"]);
        let found = changes(&before, &after);
        assert!(found.went.is_empty() && found.skipped);
        // Once it can be judged again it is nothing new.
        let kept = remembered(&before, &after);
        assert!(changes(&kept, &before).came.is_empty());
    }
}
