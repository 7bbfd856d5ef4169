//! What a plan, a verification or a lint can find: one row for each rule.

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
];

/// Returns the row of a rule.
#[must_use]
pub fn rule(id: &str) -> Option<&'static FindingRule> {
    RULES.iter().find(|rule| rule.id == id)
}
