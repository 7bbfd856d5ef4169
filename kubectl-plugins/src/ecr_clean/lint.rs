//! `kubectl ecr-clean lint`: lifecycle rules of AWS that would hurt.

use std::time::Duration;

use clap::value_parser;
use kubeguard_core::audit::Severity;
use kubeguard_core::ecr::findings::{FindingRule, RULES};
use kubeguard_core::ecr::lint::{Inputs, QUOTA, lifecycles, lint};
use kubeguard_core::error::Result;

use super::args::Args;
use super::judgement::{JudgementArgs, gaps};
use super::progress::Progress;
use crate::cli::AuditArgs;
use crate::exit::ExitCode;
use crate::output::audit::{Frame, RuleRow};
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(super) struct LintArgs {
    /// Entries that AWS allows in one repository
    #[arg(long, value_name = "N", default_value_t = QUOTA, value_parser = value_parser!(u64).range(1..))]
    quota: u64,
    #[command(flatten)]
    judged: JudgementArgs,
    #[command(flatten)]
    audit: AuditArgs,
}

/// Reads usage, registry and AWS' previews, and shows what would hurt.
pub(super) async fn run(args: &Args, asked: &LintArgs, terminal: Terminal) -> Result<ExitCode> {
    let judged = asked.judged.gather(args, terminal).await?;
    let plan = judged.plan();
    let readable = judged.registry.repositories.iter().filter(|repository| repository.problem.is_none());
    let names: Vec<&str> = readable.map(|repository| repository.repository.name.as_str()).collect();
    let bar = Progress::doing("lifecycle previews", terminal, Some(&judged.ecr));
    bar.repository("", 0, names.len());
    let progress = |name: &str, done: usize| bar.repository(name, done, names.len());
    let lifecycles = lifecycles(&judged.ecr, &names, &pause, &progress).await;
    drop(bar);
    let report = lint(&Inputs {
        lifecycles: &lifecycles?,
        plan: &plan,
        registry: &judged.registry,
        policy: &judged.policy,
        quota: asked.quota,
    });
    let rules: Vec<RuleRow<'_>> = RULES.iter().filter(|rule| rule.id >= "EC2").map(row).collect();
    let frame = Frame {
        command: "kubectl ecr-clean lint",
        rules: &rules,
        fail_on: asked.audit.fail_on(),
        taken_at: judged.now,
        kind: Some("Repository"),
        colour: terminal.colour(),
        suppressed: &[],
        blast: None,
    };
    terminal.answer(&asked.audit.output.writer().report(&report, &frame));
    Ok(asked.audit.code_beside_gaps(&report).worse(gaps(&plan)))
}

fn pause(time: Duration) -> futures::future::BoxFuture<'static, ()> {
    Box::pin(tokio::time::sleep(time))
}

/// Returns a rule as reports list it.
pub(super) fn row(rule: &FindingRule) -> RuleRow<'static> {
    let severity = Severity::ALL.into_iter().find(|severity| severity.word() == rule.severity);
    RuleRow {
        id: rule.id,
        name: rule.name,
        severity: severity.unwrap_or(Severity::Medium),
        summary: rule.when,
        remedy: rule.remedy,
    }
}
