//! What turns a plan away before anything is called.

use jiff::Timestamp;

use super::{Apply, Evidence, Stop, StopReason};
use crate::ecr::plan::{Decision, Plan, PlannedReplication, Refused};
use crate::ecr::registry::Registry;
use crate::error::{Error, Result};

/// What is wrong with the plan itself.
pub(super) fn of_plan<R: Registry, E: Evidence>(apply: &Apply<'_, R, E>) -> Option<Stop> {
    let plan = apply.plan;
    let stop = |reason, detail: String| Some(Stop::new(reason, detail));
    let hash = plan.hash();
    if hash != plan.sha256 {
        return stop(StopReason::PlanAltered, format!("its hash is {hash}, and it says {}", plan.sha256));
    }
    if let Some(wanted) = apply.demands.sha256.filter(|wanted| *wanted != plan.sha256) {
        return stop(StopReason::PlanAltered, format!("its hash is {hash}, not {wanted}"));
    }
    if plan.offline {
        return stop(StopReason::PlanOffline, "make it from the registry itself".to_owned());
    }
    if plan.registry != *apply.registry.id() {
        return stop(StopReason::WrongRegistry, format!("it is for {}, not {}", plan.registry, apply.registry.id()));
    }
    if apply.demands.policy_sha256.is_some_and(|given| given != plan.policy_sha256) {
        return stop(StopReason::PolicyChanged, "make a new plan with the policy that is given".to_owned());
    }
    if let Some(why) = apply.demands.clusters.and_then(|clusters| clusters.differ(&plan.clusters)) {
        return stop(StopReason::PolicyChanged, why);
    }
    let nothing = plan.images.iter().all(|image| image.decision == Decision::Keep);
    match plan.refused.first() {
        Some(refused) if nothing => stop(StopReason::PlanRefused, words(refused)),
        _ => None,
    }
}

/// Why a plan does not count any more, or not yet.
fn expired(plan: &Plan, now: Timestamp) -> Option<Stop> {
    let age = now.duration_since(plan.created_at);
    let why = if age > plan.policy.max_plan_age.0 {
        format!("it was made at {} and counts until {}", plan.created_at, plan.resolved.expires)
    } else if -age > plan.policy.max_clock_skew.0 {
        format!("it was made at {}, and now is {now}", plan.created_at)
    } else {
        return None;
    };
    Some(Stop::new(StopReason::PlanExpired, why))
}

/// Who asks, where that is somebody of the account that asked for the plan, and the plan still counts by the registry's
/// own time, which is known from the same answer.
///
/// # Errors
/// [`Error::Registry`] when nobody can say whose credentials these are.
pub(super) async fn of_caller<R: Registry, E: Evidence>(apply: &Apply<'_, R, E>) -> Result<Result<String, Stop>> {
    let caller = apply.registry.caller().await.map_err(|source| Error::Registry {
        doing: "tell whose credentials these are".to_owned(),
        source: Box::new(source),
    })?;
    let planned = account(&apply.plan.caller);
    if planned != Some(caller.account.as_str()) {
        let planned = planned.unwrap_or("nobody that can be told");
        let detail = format!("they are of {}, not of {planned}", caller.account);
        return Ok(Err(Stop::new(StopReason::WrongAccount, detail)));
    }
    let now = apply.registry.now().unwrap_or_else(|| (apply.clock)());
    Ok(expired(apply.plan, now).map_or(Ok(caller.arn), Err))
}

/// The account of an ARN, or of `account/ACCOUNT`.
fn account(caller: &str) -> Option<&str> {
    caller.strip_prefix("account/").or_else(|| caller.split(':').nth(4)).filter(|account| !account.is_empty())
}

/// What fresh facts about the whole registry refuse.
pub(super) fn of_facts(plan: &Plan, fresh: &Plan, repositories: &[&str]) -> Option<Stop> {
    if let Some(refused) = fresh.refused.iter().find(|refused| repositories.contains(&refused.repository.as_str())) {
        return Some(Stop::new(StopReason::UsageRefused, words(refused)));
    }
    let known = |rule: &PlannedReplication| {
        plan.replication.iter().any(|known| {
            known.destination == rule.destination && known.prefixes == rule.prefixes && (known.deletes || !rule.deletes)
        })
    };
    let added = fresh.replication.iter().find(|rule| !known(rule))?;
    Some(Stop::new(StopReason::ReplicationChanged, &added.destination))
}

/// A refusal in words.
pub(super) fn words(refused: &Refused) -> String {
    format!("{} ({} in {})", refused.message, refused.reason.word(), refused.repository)
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn the_account_is_read_from_every_kind_of_caller() {
        assert_eq!(account("arn:aws:sts::111122223333:assumed-role/ecr-plan/ci"), Some("111122223333"));
        assert_eq!(account("arn:aws-cn:iam::111122223333:user/x"), Some("111122223333"));
        assert_eq!(account("account/111122223333"), Some("111122223333"));
        assert_eq!(account("somebody"), None);
    }
}
