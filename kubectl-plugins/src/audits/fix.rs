//! `kubectl zombie-jobs --fix`: the plan, the question, the acts, and what became of them.

mod args;
mod screen;

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::audit::jobs::fix::{self, Act, Applying, DryRun, FixItem, FixReport, Plan};
use kubeguard_core::audit::{Rule, audit};
use kubeguard_core::error::Result;

pub(super) use self::args::{FixArgs, HELP};
use super::args::AuditCommandArgs;
use super::{ALWAYS, Who, ask, facts, selected, usage};
use crate::exit::ExitCode;
use crate::output::audit::AuditFormat;
use crate::terminal::Terminal;

/// Carries out what findings lead to, or shows it.
pub(super) async fn run(asked: &AuditCommandArgs, wanted: &FixArgs, who: Who, terminal: Terminal) -> Result<ExitCode> {
    let Some(fix) = wanted.fix() else {
        return Err(usage(
            "--yes, --dry-run, --max and --timeout are for --fix",
            "kubectl zombie-jobs --fix quit --dry-run=client; subcommands come first: kubectl zombie-jobs sidecars -A",
        ));
    };
    check(asked, wanted)?;
    let chosen: Vec<&'static Rule> = selected(asked, who)?
        .into_iter()
        .filter(|rule| fix.is_about(rule.id) || ALWAYS.contains(&rule.family()))
        .collect();
    if !chosen.iter().any(|rule| fix.is_about(rule.id)) {
        let known = kubeguard_core::audit::rules().iter().filter(|rule| fix.is_about(rule.id)).map(|rule| rule.id);
        let known = known.collect::<Vec<_>>().join(", ");
        return Err(usage(format!("no rule is left whose findings --fix {} acts on", fix.word()), known));
    }
    let named = ask::named(&asked.names, who.kind)?;
    let needs = ask::with_named(fix.needs(chosen.iter().copied()), &named)?;
    if asked.print_rbac {
        let namespace = asked.scope.namespace.as_deref();
        terminal.answer(&(needs.rbac(namespace) + &screen::rbac(fix, namespace)));
        return Ok(ExitCode::Yes);
    }
    let mut policy = asked.policy()?;
    let started = Instant::now();
    let read = facts::read(&asked.scope, &asked.access, who.binary, &needs).await?;
    let base = asked.now.or(read.now).unwrap_or_else(Timestamp::now);
    let fixed = asked.now.is_some();
    let now = move || {
        let since = SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::ZERO);
        if fixed { base } else { base.checked_add(since).unwrap_or(base) }
    };
    policy.only = ask::only(&named, &read.facts)?;
    let report = audit(&read.facts, &chosen, &policy, base);
    for named in named.iter().filter(|named| !report.items.iter().any(|finding| named.is_about(finding))) {
        terminal.say(&format!("{}: nothing is known that could be fixed", named.word()));
    }
    let plan = fix::plan(&read.facts, &chosen, &policy, &report, (fix, wanted.max), base);
    let all = asked.scope.all_namespaces;
    let due = plan.due().count();
    let done = match (wanted.dry_run(), &read.cluster) {
        (Some(DryRun::Client), _) | (_, None) => FixReport::of_plan(&plan, wanted.dry_run()),
        (None, _) if due == 0 => FixReport::of_plan(&plan, None),
        (dry_run, Some(cluster)) => {
            if dry_run.is_none() && !wanted.yes && !confirmed(&plan, all, terminal) {
                terminal.say("nothing was done");
                return Ok(ExitCode::Interrupted);
            }
            let progress = |act: &Act, item: Option<&FixItem>| terminal.say(&screen::progress(act, item, all));
            let with = Applying {
                cluster,
                facts: &read.facts,
                policy: &policy,
                now: &now,
                rehearse: dry_run.is_some(),
                watch: wanted.timeout,
                tool: who.binary,
                progress: &progress,
            };
            fix::apply(&plan, with).await
        }
    };
    terminal.answer(&screen::report(&done, asked.audit.output, all, terminal.colour()));
    Ok(ExitCode::of(done.exit_code()))
}

/// Finds what cannot be meant before anything is read.
fn check(asked: &AuditCommandArgs, wanted: &FixArgs) -> Result<()> {
    let formats = [AuditFormat::Table, AuditFormat::Wide, AuditFormat::Json, AuditFormat::Yaml, AuditFormat::Name];
    if !formats.contains(&asked.audit.output) {
        return Err(usage("--fix answers as table, wide, json, yaml or name", "-o json"));
    }
    let is_cluster = asked.scope.is_of_cluster();
    if !is_cluster && wanted.dry_run() != Some(DryRun::Client) {
        return Err(usage(
            "--fix acts on a cluster, not on files or a snapshot",
            "--dry-run=client shows what it would do",
        ));
    }
    if wanted.dry_run().is_none() && !wanted.yes && !asked.print_rbac && !Terminal::can_ask() {
        return Err(usage(
            "nobody can be asked here whether that shall be done",
            "--yes does it without asking, --dry-run=client shows what would be done",
        ));
    }
    Ok(())
}

/// Shows the plan, and asks.
fn confirmed(plan: &Plan, all: bool, terminal: Terminal) -> bool {
    terminal.complain(screen::lines(&FixReport::of_plan(plan, Some(DryRun::Client)), all, false, false).trim_end());
    let due = plan.due().count();
    let what = match plan.fix {
        fix::Fix::Quit => "requests to quit",
        fix::Fix::Delete => "jobs to delete; what is deleted cannot be taken back",
    };
    terminal.ask(&format!("{due} {what}: carry it out?"))
}
