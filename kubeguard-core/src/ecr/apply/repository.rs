//! One repository after the other: fresh usage, fresh listing, fresh judgement, then its calls.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::as_planned::as_planned;
use super::calls::{batches, repositories};
use super::lease::Good;
use super::recheck::{Side, Work, forbidden, recheck};
use super::{
    Event, Evidence, Halt, ItemState, Operation, Progress, Run, SkipReason, Stop, StopReason, Verdict, refusals,
};
use crate::ecr::look::{self, Look};
use crate::ecr::plan::{Decision, Plan, PlanFinding, RefusalReason, Refused};
use crate::ecr::policy::Assumption;
use crate::ecr::registry::Registry;
use crate::ecr::snapshot::{ProblemKind, RegistrySnapshot, Repository, RepositorySnapshot};
use crate::ecr::verify;
use crate::error::Error;
use crate::images::Digest;

impl<R: Registry, E: Evidence> Run<'_, R, E> {
    /// Goes through all repositories of the plan.
    pub(super) async fn all(&mut self, good: Option<&Good>) -> Result<(), Halt> {
        let apply = self.apply;
        let names = repositories(apply.plan);
        if names.is_empty() {
            return Ok(());
        }
        self.read_usage().await?;
        let settings = self.settings(&names).await?;
        let fresh = self.judge(&settings, &[])?;
        if let Some(stop) = refusals::of_facts(apply.plan, &fresh, &names) {
            self.refused = fresh.refused;
            return Err(stop.into());
        }
        for (done, name) in names.iter().enumerate() {
            self.may_go_on(good)?;
            self.repository(name, &settings, good, (done, names.len())).await?;
        }
        Ok(())
    }

    /// Ends the run when it may not go on.
    pub(super) fn may_go_on(&self, good: Option<&Good>) -> Result<(), Stop> {
        if (self.apply.interrupted)() {
            return Err(Stop::new(StopReason::Interrupted, "the same plan can be applied again, and goes on"));
        }
        if good.is_some_and(|good| !good.holds(super::batch::CALL)) {
            return Err(Stop::new(StopReason::LeaseLost, ""));
        }
        Ok(())
    }

    async fn read_usage(&mut self) -> Result<(), Halt> {
        (self.apply.progress)(Progress::ReadingUsage);
        let began = (self.apply.clock)();
        self.usage = Some((self.apply.evidence.usage().await?, began));
        Ok(())
    }

    fn look(&self, now: Timestamp) -> Look<'_> {
        let policy = &self.apply.plan.policy;
        Look {
            replication: policy.replication.assume == Assumption::Read,
            pull_through: policy.pull_through_rules == Assumption::Read,
            indexes: true,
            manifests: self.apply.manifests,
            progress: &|_| {},
            now,
        }
    }

    /// The registry's settings, with the repositories of the plan and nothing in them.
    async fn settings(&self, names: &[&str]) -> Result<RegistrySnapshot, Halt> {
        let registry = self.apply.registry;
        let doing = || format!("read the settings of {}", registry.id());
        let failed = |source| Error::Registry { doing: doing(), source: Box::new(source) };
        let settings = look::settings(registry, &self.look(self.now())).await.map_err(failed)?;
        let caller = registry.caller().await.map_err(failed)?;
        let known = self.apply.plan.repositories.iter().filter(|known| names.contains(&known.name.as_str()));
        // Whether they are still opted in is seen when they are read.
        let opt_in = &self.apply.plan.policy.opt_in_tag;
        let repositories = known
            .map(|known| empty(Repository { name: known.name.clone(), arn: known.arn.clone(), immutable_tags: false }))
            .map(|mut repository| {
                repository.aws_tags.extend(Some((opt_in.clone(), "true".to_owned())).filter(|_| !opt_in.is_empty()));
                repository
            })
            .collect();
        Ok(RegistrySnapshot {
            registry: registry.id().clone(),
            caller: caller.arn,
            caller_account: caller.account,
            taken_at: self.now(),
            replication: settings.replication,
            pull_through: settings.pull_through,
            exclusions: settings.exclusions,
            repositories,
        })
    }

    /// Judges anew; with a repository, only that one. Usage that was judged for the first time is noted.
    fn judge(&mut self, settings: &RegistrySnapshot, repository: &[RepositorySnapshot]) -> Result<Plan, Halt> {
        let now = self.now();
        let mut registry = RegistrySnapshot { taken_at: now, ..settings.clone() };
        if !repository.is_empty() {
            registry.repositories = repository.to_vec();
        }
        let fresh = match &self.usage {
            Some((usage, _)) => self.apply.evidence.judge(usage, &registry, now),
            None => return Err(Stop::new(StopReason::UsageRefused, "usage was not read").into()),
        };
        if repository.is_empty() {
            self.inventories.clone_from(&fresh.inventories);
            self.log(fresh.inventories.iter().map(|inventory| Event::Usage {
                cluster: inventory.cluster.clone(),
                taken_at: inventory.taken_at,
                complete: inventory.complete,
                references: inventory.references,
                sha256: inventory.sha256.clone(),
            }))?;
        }
        Ok(fresh)
    }

    async fn repository(
        &mut self,
        name: &str,
        settings: &RegistrySnapshot,
        good: Option<&Good>,
        (done, of): (usize, usize),
    ) -> Result<(), Halt> {
        let plan = self.apply.plan;
        let age = self.usage.as_ref().map(|(_, began)| (self.apply.clock)().duration_since(*began));
        if age.is_none_or(|age| age > plan.policy.max_usage_age.0) {
            self.read_usage().await?;
            let fresh = self.judge(settings, &[])?;
            if let Some(stop) = refusals::of_facts(plan, &fresh, &[name]) {
                self.refused.extend(fresh.refused);
                return Err(stop.into());
            }
        }
        let planned = Side::of(plan, name);
        let mut listing = match self.list(name).await? {
            Ok(listing) => listing,
            Err(verdict) => return self.skip_rest(name, &verdict),
        };
        self.read_configs(settings, &mut listing).await?;
        let restored = as_planned(&listing, &planned, &self.past);
        let before = self.judge(settings, std::slice::from_ref(restored.as_ref().unwrap_or(&listing)))?;
        if let Some(refused) = before.refused.iter().find(|refused| refused.repository == name) {
            let verdict = Verdict::skip(SkipReason::Refused(refused.reason), Some(refused.message.clone()));
            self.refused.push(refused.clone());
            return self.skip_rest(name, &verdict);
        }
        let fresh = Side::of(&before, name);
        let (work, settled) = recheck(plan, &planned, &fresh, &listing, &self.past);
        let entries = listing.entries.len() as u64;
        let total = (work.len() + settled.len()) as u64;
        let events: Vec<Event> =
            settled.into_iter().filter_map(|(digest, verdict)| self.found(name, digest, verdict)).collect();
        self.log(
            [Event::Repository { repository: name.to_owned(), entries, planned: total, acting: work.len() as u64 }]
                .into_iter()
                .chain(events),
        )?;
        (self.apply.progress)(Progress::Repository { name, done, of, acting: work.len() });
        if let Some((reason, why)) = forbidden(plan, &fresh, &listing, &work, self.acted) {
            return self.skip_rest(name, &Verdict::skip(reason, Some(why)));
        }
        self.acted += work.len() as u64;
        let acted = !work.is_empty();
        let findings = match restored {
            // What earlier runs took, and somebody uses since, is nothing new.
            Some(_) if acted => needed(&self.judge(settings, std::slice::from_ref(&listing))?),
            _ => needed(&before),
        };
        self.orders(&planned, work, &mut listing, good).await?;
        if acted && plan.policy.apply.verify && self.journal.is_some() {
            self.verify(name, settings, &findings, listing)?;
        }
        Ok(())
    }

    /// Lists a repository, or tells why nothing of it may go.
    async fn list(&mut self, name: &str) -> Result<Result<RepositorySnapshot, Verdict>, Halt> {
        let registry = self.apply.registry;
        let arn = self.apply.plan.repositories.iter().find(|known| known.name == name).map(|known| known.arn.as_str());
        let found = match registry.repository(name).await {
            Ok(found) => found.filter(|found| Some(found.arn.as_str()) == arn),
            Err(error) if error.kind == crate::ecr::registry::ErrorKind::Credentials => {
                return Err(Stop::new(StopReason::Credentials, error.to_string()).into());
            }
            Err(error) => return Ok(Err(self.unread(name, RefusalReason::RegistryUnreadable, error.to_string()))),
        };
        let Some(found) = found else { return Ok(Err(Verdict::skip(SkipReason::RepositoryGone, None))) };
        let read = look::repository(registry, found, &self.look(self.now())).await;
        let listing = match read {
            Ok(listing) => listing,
            Err(look::Trouble::Credentials(error)) => {
                return Err(Stop::new(StopReason::Credentials, error.to_string()).into());
            }
            Err(trouble) => return Err(trouble.error(format!("read repository {name}")).into()),
        };
        Ok(match &listing.problem {
            None => Ok(listing),
            Some(problem) => {
                let reason = match problem.kind {
                    ProblemKind::AccessDenied => RefusalReason::AccessDenied,
                    ProblemKind::RegistryUnreadable => RefusalReason::RegistryUnreadable,
                    ProblemKind::ManifestUnreadable => RefusalReason::ManifestUnreadable,
                };
                Err(self.unread(name, reason, problem.message.clone()))
            }
        })
    }

    /// Reads the manifests that tell which images bare digests of pods are.
    async fn read_configs(
        &mut self,
        settings: &RegistrySnapshot,
        listing: &mut RepositorySnapshot,
    ) -> Result<(), Halt> {
        let Some((usage, _)) = &self.usage else { return Ok(()) };
        let hollow = empty(listing.repository.clone());
        let alone = vec![std::mem::replace(listing, hollow)];
        let mut registry = RegistrySnapshot { repositories: alone, ..settings.clone() };
        let wanted = self.apply.evidence.configs_to_read(usage, &registry);
        if let Some(read) = registry.repositories.pop() {
            *listing = read;
        }
        let name = listing.repository.name.clone();
        let Some(digests) = wanted.get(&name) else { return Ok(()) };
        match look::read_images(self.apply.registry, listing, digests, self.apply.manifests).await {
            // What cannot be read explains nothing, and what it may be is kept.
            Ok(_) => Ok(()),
            Err(look::Trouble::Credentials(error)) => Err(Stop::new(StopReason::Credentials, error.to_string()).into()),
            Err(trouble) => Err(trouble.error(format!("read manifests of {name}")).into()),
        }
    }

    fn unread(&mut self, name: &str, reason: RefusalReason, message: String) -> Verdict {
        self.refused.push(Refused { repository: name.to_owned(), reason, message: message.clone(), by: None });
        Verdict::skip(SkipReason::Refused(reason), Some(message))
    }

    /// Settles everything of a repository that is not settled yet.
    pub(super) fn skip_rest(&mut self, name: &str, verdict: &Verdict) -> Result<(), Halt> {
        let open = |item: &&super::Item| item.repository == name && item.reason == Some(SkipReason::NotReached);
        let digests: Vec<Digest> = self.items.iter().filter(open).map(|item| item.digest).collect();
        let mut events = Vec::new();
        for digest in digests {
            let verdict = self.past.done(name, digest).map_or_else(|| verdict.clone(), Verdict::of);
            events.extend(self.found(name, digest, verdict));
        }
        Ok(self.log(events)?)
    }

    /// Carries out one order after the other: what lists or carries an entry is seen to be gone before it follows.
    async fn orders(
        &mut self,
        planned: &Side<'_>,
        work: Vec<Work>,
        listing: &mut RepositorySnapshot,
        good: Option<&Good>,
    ) -> Result<(), Halt> {
        let name = listing.repository.name.clone();
        let mut orders: BTreeMap<(u64, Operation), Vec<Work>> = BTreeMap::new();
        for work in work {
            if let Some(operation) = Operation::of(work.decision) {
                orders.entry((work.order, operation)).or_default().push(work);
            }
        }
        for ((_, operation), work) in orders {
            let (mut free, mut events) = (Vec::new(), Vec::new());
            for work in work {
                let image = planned.images.get(&work.digest);
                match image.and_then(|image| {
                    planned.before(image).find(|before| !self.is_away(&name, planned, *before, work.decision))
                }) {
                    None => free.push(work),
                    Some(before) => {
                        let verdict = Verdict::skip(SkipReason::ParentKept, Some(before.to_string()));
                        events.extend(self.found(&name, work.digest, verdict));
                    }
                }
            }
            self.log(events)?;
            for batch in batches(operation, free, |work| work.seen.tags.len()) {
                if let Err(verdict) = self.batch(operation, batch, planned, listing, good).await? {
                    return self.skip_rest(&name, &verdict);
                }
            }
        }
        Ok(())
    }

    /// Whether what lists or carries an entry is out of its way. What the plan never saw is not there.
    ///
    /// What is archived can be restored, and needs then what it lists and what is attached to it: it only lets these be
    /// archived too.
    fn is_away(&self, name: &str, planned: &Side<'_>, digest: Digest, decision: Decision) -> bool {
        use ItemState::{Archived, Deleted, Due, Gone};
        let Some(image) = planned.images.get(&digest) else { return true };
        match self.state(name, digest) {
            Some(Deleted | Gone) => true,
            Some(Archived) => decision == Decision::Archive,
            Some(Due) => image.decision == Decision::Delete || decision == Decision::Archive,
            _ => false,
        }
    }

    /// Looks whether anything in use is missing that was not missing before.
    fn verify(
        &mut self,
        name: &str,
        settings: &RegistrySnapshot,
        before: &[PlanFinding],
        listing: RepositorySnapshot,
    ) -> Result<(), Halt> {
        let after = self.judge(settings, &[listing])?;
        let new: Vec<PlanFinding> = needed(&after).into_iter().filter(|finding| !before.contains(finding)).collect();
        self.log([Event::Verify { repository: name.to_owned(), findings: new.len() as u64 }])?;
        let Some(first) = new.first() else { return Ok(()) };
        let stop = Stop::new(StopReason::Verify, format!("{} {}", first.rule, first.message));
        self.findings = new;
        Err(stop.into())
    }
}

/// What is needed now and missing: signatures and old revisions are no outage.
fn needed(judged: &Plan) -> Vec<PlanFinding> {
    let mut findings = verify::missing(judged);
    findings.retain(|finding| !matches!(finding.severity.as_str(), "low" | "info"));
    findings
}

/// A repository of which nothing is known yet.
fn empty(repository: Repository) -> RepositorySnapshot {
    RepositorySnapshot {
        repository,
        aws_tags: BTreeMap::new(),
        entries: Vec::new(),
        indexes: BTreeMap::new(),
        configs: BTreeMap::new(),
        layers: BTreeMap::new(),
        manifests_read: Vec::new(),
        problem: None,
    }
}
