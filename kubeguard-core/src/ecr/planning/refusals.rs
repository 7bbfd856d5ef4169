//! Which repositories are refused, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::super::findings::found;
use super::super::iam;
use super::super::plan::{PlanFinding, RefusalReason, Refused};
use super::super::policy::{Cap, Policy, Rule};
use super::super::snapshot::{ProblemKind, Reading, RegistrySnapshot, RepositorySnapshot};
use super::decide::Verdicts;
use super::evidence::Evidence;
use super::usage::{Judged, Usage};

/// Who refuses what; by repository.
#[derive(Default)]
pub(super) struct Refusals {
    pub(super) rows: BTreeSet<Refused>,
    pub(super) findings: BTreeSet<PlanFinding>,
    /// The first reason of each refused repository.
    pub(super) reasons: BTreeMap<String, RefusalReason>,
}

impl Refusals {
    pub(super) fn refuse(&mut self, repository: &str, refused: &Refused) {
        let refused = Refused { repository: repository.to_owned(), ..refused.clone() };
        let reason = self.reasons.entry(repository.to_owned()).or_insert(refused.reason);
        *reason = refused.reason.min(*reason);
        self.rows.insert(refused);
    }

    pub(super) fn because(&mut self, repository: &str, reason: RefusalReason, message: impl Into<String>) {
        let refused = Refused { repository: String::new(), reason, message: message.into(), by: None };
        self.refuse(repository, &refused);
    }

    pub(super) fn of_repository(
        &mut self,
        repository: &RepositorySnapshot,
        tags: Option<&String>,
        rule: &Rule,
        registry: &RegistrySnapshot,
        policy: &Policy,
    ) {
        let name = repository.repository.name.as_str();
        if let Some(problem) = &repository.problem {
            let reason = match problem.kind {
                ProblemKind::AccessDenied => RefusalReason::AccessDenied,
                ProblemKind::RegistryUnreadable => RefusalReason::RegistryUnreadable,
                ProblemKind::ManifestUnreadable => RefusalReason::ManifestUnreadable,
            };
            self.because(name, reason, &problem.message);
        }
        if let Some(problem) = tags {
            self.because(name, RefusalReason::RepositoryTagInvalid, problem);
        }
        if rule.keep_pulled_within.is_zero() {
            return;
        }
        let trusted = &policy.pull_times.trusted_exclusions;
        match &registry.exclusions {
            Reading::Failed(message) => {
                let message = format!("which roles leave no pull time cannot be read: {message}");
                self.because(name, RefusalReason::PullTimesUntrusted, message);
            }
            Reading::Read(arns) => {
                let own = |arn: &str| iam::is_same(arn, &registry.caller);
                let strange = arns.iter().find(|arn| !own(arn) && !trusted.iter().any(|pattern| pattern.matches(arn)));
                if let Some(arn) = strange {
                    let message = format!("pulls by {arn} leave no pull time");
                    self.because(name, RefusalReason::PullTimesUntrusted, message);
                }
            }
        }
    }

    /// What is deleted here is deleted there: whoever pulls there must be known.
    pub(super) fn of_replicas(&mut self, name: &str, evidence: &Evidence<'_>, usage: &Usage, policy: &Policy) {
        for rule in evidence.replication.iter().filter(|rule| rule.deletes) {
            let covers =
                rule.prefixes.is_empty() || rule.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
            let nobody = policy.replication.no_users.iter().any(|known| known.0 == rule.destination);
            if covers && !nobody && evidence.users_of(&rule.destination).is_empty() {
                let message = format!(
                    "deletions reach {}, and no declared cluster pulls there ({} use the repository)",
                    rule.destination,
                    usage.used.get(name).map_or(0, BTreeSet::len)
                );
                self.because(name, RefusalReason::ReplicaUsersUnknown, message);
                let message =
                    format!("deletions in {name} reach {}, and no declared cluster pulls there", rule.destination);
                self.findings.insert(found("EC208", message).of_repository(name));
            }
        }
    }

    pub(super) fn of_evidence(&mut self, evidence: &Evidence<'_>, judged: &[Judged<'_>]) {
        for (scope, refused) in &evidence.refused {
            for repository in judged {
                let concerned = scope.is_none_or(|scope| scope.iter().any(|pattern| pattern.matches(repository.name)));
                if concerned {
                    self.refuse(repository.name, refused);
                }
            }
        }
    }

    pub(super) fn of_usage(&mut self, usage: &Usage, judged: &[Judged<'_>]) {
        for refused in &usage.refused {
            for repository in
                judged.iter().filter(|judged| refused.repository == "*" || refused.repository == judged.name)
            {
                self.refuse(repository.name, refused);
            }
        }
    }

    /// The cap of the whole run: beyond it nothing is planned at all.
    pub(super) fn of_the_run(&mut self, planned: &mut [Verdicts], policy: &Policy) {
        let count = planned.iter().map(Verdicts::planned).sum::<usize>();
        let Cap::Entries(most) = policy.caps.per_run else { return };
        if u64::try_from(count).is_ok_and(|count| count <= most) {
            return;
        }
        for verdicts in planned {
            let message = format!("{count} entries would go in this run, caps.perRun allows {most}");
            self.because(&verdicts.repository, RefusalReason::CapExceeded, message);
            verdicts.refuse();
        }
    }
}
