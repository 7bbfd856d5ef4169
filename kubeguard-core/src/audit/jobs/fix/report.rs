//! What became of a plan, as data.

use serde_json::{Value, json};

use super::{Act, Call, DryRun, Fix, Plan};
use crate::audit::jobs::{Outcome, Phase};
use crate::audit::report::{ObjectName, Skipped};

/// What became of one act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Became {
    /// It would be done.
    Planned,
    /// It was done, and what was predicted followed.
    Done,
    /// It is not done, as unsafe or unprovable.
    Refused,
    /// It was not done: what it was planned for has changed since.
    Changed,
    /// It could not be carried out, or what followed is not what was predicted.
    Failed,
    /// It was not begun, since one before it went wrong.
    NotTried,
}

impl Became {
    const ALL: [Self; 6] = [Self::Planned, Self::Done, Self::Refused, Self::Changed, Self::Failed, Self::NotTried];

    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::NotTried => "notTried",
        }
    }

    /// Returns the exit code of the contract.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Planned | Self::Done => 0,
            Self::Refused => 5,
            Self::Changed => 4,
            Self::Failed | Self::NotTried => 6,
        }
    }
}

/// One act, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct FixItem {
    /// The act.
    pub act: Act,
    /// What became of it.
    pub became: Became,
    /// Why it was not done, or what went wrong.
    pub reason: Option<String>,
    /// What followed, beside what was predicted.
    pub seen: Option<String>,
    /// Why there is no event about it on its object; none where there is one, or nothing was done.
    pub no_event: Option<String>,
}

impl FixItem {
    pub(super) fn new(act: &Act, became: Became, reason: Option<String>) -> Self {
        Self { act: act.clone(), became, reason, seen: None, no_event: None }
    }
}

/// What became of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct FixReport {
    /// What was asked for.
    pub fix: Fix,
    /// How far it went without changing anything; none where it was carried out.
    pub dry_run: Option<DryRun>,
    /// Every act, in the order of the plan.
    pub items: Vec<FixItem>,
    /// Everything that may lead to an act could be judged.
    pub complete: bool,
    /// What could not.
    pub skipped: Vec<Skipped>,
    blind: bool,
}

impl FixReport {
    /// Returns what a plan comes to when nothing is sent: because that was asked for, or since there is nothing to do.
    #[must_use]
    pub fn of_plan(plan: &Plan, dry_run: Option<DryRun>) -> Self {
        let item = |act: &Act| match &act.refused {
            Some(why) => FixItem::new(act, Became::Refused, Some(why.clone())),
            None => FixItem::new(act, Became::Planned, None),
        };
        Self::new(plan, dry_run, plan.acts.iter().map(item).collect())
    }

    pub(super) fn new(plan: &Plan, dry_run: Option<DryRun>, items: Vec<FixItem>) -> Self {
        let Plan { fix, complete, blind, .. } = *plan;
        Self { fix, dry_run, items, complete, skipped: plan.skipped.clone(), blind }
    }

    /// Returns how many acts became something.
    #[must_use]
    pub fn count(&self, became: Became) -> usize {
        self.items.iter().filter(|item| item.became == became).count()
    }

    /// Returns the exit code of the contract: 2 when nothing could be judged, else that of the worst item in the order 5,
    /// 4, 6, where what could not be judged counts as 6.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.blind {
            return 2;
        }
        let mut codes: Vec<u8> = self.items.iter().map(|item| item.became.exit_code()).collect();
        codes.extend((!self.complete).then_some(6));
        [5, 4, 6].into_iter().find(|code| codes.contains(code)).unwrap_or(0)
    }

    /// Returns the report as one JSON object; what is absent is left out.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let mut report = json!({
            "apiVersion": "kubeguard.dev/v1", "kind": "FixReport", "fix": self.fix.word(),
            "dryRun": self.dry_run.map(DryRun::word), "complete": self.complete, "exitCode": self.exit_code(),
            "items": self.items.iter().map(item).collect::<Vec<_>>(),
            "skipped": self.skipped,
            "summary": Became::ALL.into_iter().map(|became| (became.word().to_owned(), self.count(became).into()))
                .collect::<serde_json::Map<String, Value>>(),
        });
        strip(&mut report);
        report
    }
}

fn item(item: &FixItem) -> Value {
    let act = &item.act;
    json!({
        "action": act.fix.word(),
        "object": act.object,
        "uid": act.job.as_ref().map(|job| &job.uid),
        "pod": act.pod.as_ref().map(|pod| &pod.name.name),
        "container": act.container.as_ref().map(|container| &container.name),
        "rules": act.rules,
        "proof": act.proof,
        "request": act.call.as_ref().map(|call| request(call, act)),
        "predicted": act.predicted.iter().map(outcome).collect::<Vec<_>>(),
        "notes": act.notes,
        "result": item.became.word(),
        "reason": item.reason,
        "seen": item.seen,
        "noEvent": item.no_event,
    })
}

fn request(call: &Call, act: &Act) -> Value {
    match call {
        Call::InPod { method, port, path } => {
            json!({"method": method, "port": port, "path": path, "by": "portforward"})
        }
        Call::DeleteJob => {
            let ObjectName { namespace, name, .. } = &act.object;
            let uid = act.job.as_ref().map(|job| &job.uid);
            json!({
                "method": "DELETE", "path": format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}"),
                "propagationPolicy": "Background", "preconditions": {"uid": uid},
            })
        }
    }
}

fn outcome(outcome: &Outcome) -> Value {
    json!({
        "steps": outcome.steps,
        "podPhase": outcome.pod_phase.map(Phase::as_str),
        "job": outcome.job.as_str(),
        "runsAgain": outcome.runs_again,
        "assumptions": outcome.assumptions,
    })
}

/// Takes out what is null, at every depth.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
