//! What a plan, a verification or a lint can find: one row for each rule.

use super::plan::{PlanFinding, PlanRemedy};

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingRule {
    /// Id, as in `EC102`.
    pub id: &'static str,
    /// Name, as it reads well in a log.
    pub name: &'static str,
    /// Usual severity: `critical`, `high`, `medium`, `low` or `info`; a finding may have a lower one.
    pub severity: &'static str,
    /// How sure it is: `exact`, `model` or `hint`.
    pub proof: &'static str,
    /// When it is found.
    pub when: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// All rules, by id.
pub const RULES: &[FindingRule] = &[
    FindingRule {
        id: "EC101",
        name: "reference-missing",
        severity: "critical",
        proof: "exact",
        when: "an in-use reference resolves to no entry",
        remedy: "push it, or correct the reference",
    },
    FindingRule {
        id: "EC102",
        name: "used-archived",
        severity: "critical",
        proof: "exact",
        when: "an image in use is archived, or being restored",
        remedy: "kubectl ecr-clean restore IMAGE",
    },
    FindingRule {
        id: "EC103",
        name: "platform-missing",
        severity: "critical",
        proof: "model",
        when: "an index in use has no image for a platform that its pods may land on",
        remedy: "build for it, or restrict the workload",
    },
    FindingRule {
        id: "EC104",
        name: "index-sparse",
        severity: "critical",
        proof: "exact",
        when: "an index lists an image that is not in the repository; medium where no pod needs that platform",
        remedy: "push the child again",
    },
    FindingRule {
        id: "EC105",
        name: "tag-moved",
        severity: "low",
        proof: "model",
        when: "a pod runs another digest than its tag means now: a restart changes the version",
        remedy: "pin the digest, or roll out",
    },
    FindingRule {
        id: "EC106",
        name: "signature-gone",
        severity: "low",
        proof: "hint",
        when: "what a signature or attestation is attached to is gone",
        remedy: "orphanedArtifacts: delete",
    },
    FindingRule {
        id: "EC107",
        name: "foreign-reference",
        severity: "info",
        proof: "exact",
        when: "a reference names another account or region of ECR",
        remedy: "run there too",
    },
    FindingRule {
        id: "EC108",
        name: "unparsed-reference",
        severity: "high",
        proof: "exact",
        when: "a field that must name an image looks like one of ECR and does not parse",
        remedy: "correct it",
    },
    FindingRule {
        id: "EC109",
        name: "templated-reference",
        severity: "medium",
        proof: "exact",
        when: "a text names an image with a placeholder, or without a tag",
        remedy: "list the images that it becomes in pins.keepLists, or change scan.templated or scan.textWithoutTag",
    },
    FindingRule {
        id: "EC201",
        name: "lifecycle-removes-used",
        severity: "critical",
        proof: "exact",
        when: "a lifecycle rule will remove what is in use, or what a rollback or a standby needs",
        remedy: "change that rule, or pin the image by a tag of a rule with a higher priority",
    },
    FindingRule {
        id: "EC202",
        name: "lifecycle-archives-used",
        severity: "critical",
        proof: "exact",
        when: "a lifecycle rule will archive what is in use, or what a rollback or a standby needs: it cannot be pulled then",
        remedy: "change that rule, or pin the image by a tag of a rule with a higher priority",
    },
    FindingRule {
        id: "EC203",
        name: "lifecycle-rule-idle",
        severity: "medium",
        proof: "model",
        when: "the tags that a lifecycle rule asks for are on no image",
        remedy: "correct the tags; one rule for each, where an image need not have all of them",
    },
    FindingRule {
        id: "EC204",
        name: "lifecycle-counts-parts",
        severity: "low",
        proof: "model",
        when: "a lifecycle rule counts images where an image is several entries",
        remedy: "count in entries, not in images",
    },
    FindingRule {
        id: "EC205",
        name: "quota-near",
        severity: "high",
        proof: "exact",
        when: "a repository is near its quota of entries: high from 95 percent on, medium from 80",
        remedy: "clean it, or ask AWS for a higher quota",
    },
    FindingRule {
        id: "EC206",
        name: "pull-times-excluded",
        severity: "high",
        proof: "exact",
        when: "pull times decide, and pulls by a role or user that is not trusted leave none",
        remedy: "remove the exclusion, or the window; or name it in pullTimes.trustedExclusions",
    },
    FindingRule {
        id: "EC207",
        name: "own-role-records-pulls",
        severity: "low",
        proof: "exact",
        when: "reads of manifests by this tool's own role count as pulls",
        remedy: "aws ecr register-pull-time-update-exclusion --principal-arn ARN",
    },
    FindingRule {
        id: "EC208",
        name: "delete-replication-open",
        severity: "high",
        proof: "exact",
        when: "deletions are copied to a registry whose users are not declared",
        remedy: "declare the clusters that pull there, or name it in replication.noUsers",
    },
    FindingRule {
        id: "EC209",
        name: "pattern-idle",
        severity: "medium",
        proof: "exact",
        when: "a pattern of keepTags, pins.tags or selectTags, or a line of a keep list, matches nothing",
        remedy: "correct it",
    },
    FindingRule {
        id: "EC210",
        name: "platform-or-kind-unread",
        severity: "medium",
        proof: "exact",
        when: "a kind that does not decide could not be read, as Helm's history or nodes",
        remedy: "kubectl ecr-clean rbac",
    },
    FindingRule {
        id: "EC211",
        name: "cluster-unpinned",
        severity: "medium",
        proof: "exact",
        when: "a cluster is declared without its uid, or without a clusters file",
        remedy: "name every cluster with its uid in --clusters FILE",
    },
    FindingRule {
        id: "EC212",
        name: "cluster-outside-scope",
        severity: "medium",
        proof: "exact",
        when: "a cluster uses what its repositories in the clusters file leave out",
        remedy: "widen them",
    },
    FindingRule {
        id: "EC213",
        name: "foreign-pulls",
        severity: "medium",
        proof: "model",
        when: "a repository is pulled from by nobody whom an inventory names",
        remedy: "find who pulls: declare that cluster, or list its images in pins.keepLists",
    },
];

/// Returns the row of a rule.
#[must_use]
pub fn rule(id: &str) -> Option<&'static FindingRule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// Returns a finding of a rule, as severe as the rule and with its remedy.
pub(super) fn found(id: &str, message: String) -> PlanFinding {
    let (severity, remedy) = rule(id).map_or(("medium", ""), |rule| (rule.severity, rule.remedy));
    let remedy = PlanRemedy { text: remedy.to_owned() };
    let (rule, severity) = (id.to_owned(), severity.to_owned());
    PlanFinding { rule, severity, message, remedy, by: None, image: None, repository: None }
}

impl PlanFinding {
    pub(super) fn with_severity(self, severity: &str) -> Self {
        Self { severity: severity.to_owned(), ..self }
    }

    /// Says who names which image.
    pub(super) fn of(self, by: &str, image: &str) -> Self {
        Self { by: Some(by.to_owned()), image: Some(image.to_owned()), ..self }
    }

    /// Says which image it is about, whoever names it.
    pub(super) fn of_image(self, repository: &str, image: &str) -> Self {
        Self { image: Some(image.to_owned()), ..self.of_repository(repository) }
    }

    /// Says which repository it is about.
    pub(super) fn of_repository(self, repository: &str) -> Self {
        Self { repository: Some(repository.to_owned()), ..self }
    }

    pub(super) fn with_remedy(self, text: String) -> Self {
        Self { remedy: PlanRemedy { text }, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::RULES;
    use crate::audit::report::{Proof, Severity};

    #[test]
    fn every_rule_has_an_id_and_a_name_of_its_own_and_the_words_that_reports_know() {
        let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
        for rule in RULES {
            assert!(Severity::ALL.iter().any(|known| known.word() == rule.severity), "{rule:?}");
            assert!(
                [Proof::Exact, Proof::Model, Proof::Hint].iter().any(|known| known.word() == rule.proof),
                "{rule:?}"
            );
            assert!(!rule.when.is_empty() && !rule.remedy.is_empty(), "{rule:?}");
        }
    }
}
