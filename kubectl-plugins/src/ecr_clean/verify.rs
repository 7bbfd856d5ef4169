//! `kubectl ecr-clean verify`: is everything in use there, can it be pulled, does it run on the nodes?

use kubeguard_core::audit::{AuditReport, Skipped};
use kubeguard_core::ecr::findings::RULES;
use kubeguard_core::ecr::lint::of_plan;
use kubeguard_core::ecr::plan::{Plan, RefusalReason, Refused};
use kubeguard_core::ecr::verify::verify;
use kubeguard_core::error::Result;

use super::args::Args;
use super::judgement::{JudgementArgs, gaps};
use super::lint::row;
use crate::cli::AuditArgs;
use crate::exit::ExitCode;
use crate::output::audit::{Frame, RuleRow};
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    judged: JudgementArgs,
    #[command(flatten)]
    audit: AuditArgs,
}

/// Reads usage and registry, and shows what cannot be pulled or run.
pub(super) async fn run(args: &Args, asked: &VerifyArgs, terminal: Terminal) -> Result<ExitCode> {
    let judged = asked.judged.gather(args, terminal).await?;
    let plan = judged.plan();
    let found = verify(&plan, &judged.registry, &judged.inventories(), &judged.policy.hosts());
    let findings = found.iter().map(|finding| of_plan(finding, &plan)).collect();
    let references = judged.inventories().iter().map(|inventory| inventory.references.len() as u64).sum();
    let report = AuditReport::new(findings, skipped(&plan), references);
    let rules: Vec<RuleRow<'_>> = RULES.iter().filter(|rule| rule.id < "EC2").map(row).collect();
    let frame = Frame {
        command: "kubectl ecr-clean verify",
        rules: &rules,
        fail_on: asked.audit.fail_on(),
        taken_at: judged.now,
        kind: None,
        colour: terminal.colour(),
        suppressed: &[],
        blast: None,
    };
    terminal.answer(&asked.audit.output.writer().report(&report, &frame));
    Ok(asked.audit.code_beside_gaps(&report).worse(gaps(&plan)))
}

/// What could not be looked at: usage that is not complete, repositories that cannot be read.
fn skipped(plan: &Plan) -> Vec<Skipped> {
    let hides = |reason: RefusalReason| reason.is_missing_usage() || reason.is_unreadable();
    let missing = plan.refused.iter().filter(|refused| hides(refused.reason));
    let skip = |refused: &Refused| {
        let place = if refused.reason.is_unreadable() { format!("{}: ", refused.repository) } else { String::new() };
        let reason = format!("{place}{}: {}", refused.reason.word(), refused.message);
        let rules = RULES.iter().filter(|rule| rule.id < "EC2").map(|rule| rule.id.to_owned()).collect();
        Skipped { rules, reason, partial: true, namespace: None }
    };
    missing.map(skip).collect()
}
