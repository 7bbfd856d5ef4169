//! `--watch`: the answer, and then whatever changes in it.

use std::time::Duration;

use jiff::Timestamp;
use kubeguard_core::audit::changes::{Changes, changes, remembered};
use kubeguard_core::audit::{AuditReport, Finding, Policy, Rule, audit, needs};
use kubeguard_core::error::{Error, Failure, Result};

use super::args::AuditCommandArgs;
use super::{Beside, Who, answer, ask, facts, selected, usage};
use crate::duration::parse_limit;
use crate::exit::ExitCode;
use crate::explain::show;
use crate::output::audit::AuditFormat;
use crate::terminal::{Terminal, printable};

/// What is looked at again and again.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct WatchArgs {
    /// Look again and again, and tell what is new and what has ended; --watch=10s says how often
    #[arg(
        short, long, value_name = "EVERY", num_args = 0..=1, require_equals = true, default_missing_value = "30s",
        value_parser = parse_limit
    )]
    watch: Option<Duration>,
}

/// A cluster is not asked more often than this.
const OFTEN: Duration = Duration::from_millis(100);

impl WatchArgs {
    /// Returns how often to look; none where it was not asked for.
    pub(super) fn every(&self) -> Option<Duration> {
        self.watch.map(|every| every.max(OFTEN))
    }
}

/// Answers, and tells what changes until it is interrupted or nobody reads any more.
///
/// A look that fails for a reason that may pass is told, and the next one comes; what is forbidden or unusable ends it.
pub(super) async fn run(asked: &AuditCommandArgs, who: Who, every: Duration, terminal: Terminal) -> Result<ExitCode> {
    if !asked.scope.is_of_cluster() {
        return Err(usage("--watch looks at a cluster: a file has no later", "without --watch"));
    }
    let format = asked.audit.output;
    let known = [AuditFormat::Table, AuditFormat::Wide, AuditFormat::Json, AuditFormat::Yaml, AuditFormat::Name];
    if !known.contains(&format) {
        return Err(usage("--watch answers as table, wide, json, yaml or name", "-o json: a whole report per change"));
    }
    let chosen = selected(asked, who)?;
    let mut policy = asked.policy()?;
    let (first, at) = look(asked, who, &chosen, &mut policy).await?;
    let mut goes_on = answer(asked, who, &chosen, &first, Beside::at(at), terminal);
    let mut before = first;
    while goes_on {
        tokio::time::sleep(every).await;
        let (after, at) = match look(asked, who, &chosen, &mut policy).await {
            Ok(found) => found,
            Err(error) if may_pass(&error) => {
                show(terminal, &error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let changed = changes(&before, &after);
        if !changed.is_empty() {
            goes_on = match format {
                AuditFormat::Json => answer(asked, who, &chosen, &after, Beside::at(at), terminal),
                AuditFormat::Yaml => {
                    terminal.answer("---\n") && answer(asked, who, &chosen, &after, Beside::at(at), terminal)
                }
                AuditFormat::Name => terminal.answer(&names(&changed)),
                _ => terminal.answer(&lines(&changed, &after, at)),
            };
        }
        before = remembered(&before, &after);
    }
    Ok(ExitCode::Yes)
}

/// Reads and judges once.
async fn look(
    asked: &AuditCommandArgs,
    who: Who,
    chosen: &[&Rule],
    policy: &mut Policy,
) -> Result<(AuditReport, Timestamp)> {
    let named = ask::named(&asked.names, who.kind)?;
    let wanted = ask::with_named(needs(chosen.iter().copied()), &named)?;
    let read = facts::read(&asked.scope, &asked.access, who.binary, &wanted).await?;
    let now = asked.now.or(read.now).unwrap_or_else(Timestamp::now);
    policy.only = match (ask::only(&named, &read.facts), &policy.only) {
        // What was there when the watch began may go.
        (Err(_), Some(_)) => Some(ask::still(&named, &read.facts)),
        (only, _) => only?,
    };
    Ok((audit(&read.facts, chosen, policy, now), now))
}

fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Api { failure, .. } if Failure::is_passing(failure))
}

fn names(changed: &Changes<'_>) -> String {
    let mut names: Vec<String> = changed.came.iter().map(|finding| format!("{}\n", finding.object)).collect();
    names.dedup();
    names.concat()
}

/// Returns a line for each change: when, what became of it, and the finding.
fn lines(changed: &Changes<'_>, after: &AuditReport, at: Timestamp) -> String {
    let line = |word: &str, finding: &Finding| {
        let namespace = if finding.object.namespace.is_empty() { "<none>" } else { &finding.object.namespace };
        let (severity, rule, message) = (finding.severity, &finding.rule, &finding.message);
        printable(&format!(
            "{at:.0}   {word:<5}   {severity:<8}   {rule}   {namespace}   {}   {message}",
            finding.object
        )) + "\n"
    };
    let mut text: String = changed.came.iter().map(|finding| line("new", finding)).collect();
    text.extend(changed.went.iter().map(|finding| line("ended", finding)));
    if changed.skipped {
        let lines = after.skipped.iter().map(|skipped| {
            printable(&format!("{at:.0}   not judged: {}: {}", skipped.rules.join(", "), skipped.reason)) + "\n"
        });
        text.extend(lines);
        if after.skipped.is_empty() {
            text += &format!("{at:.0}   everything can be judged again\n");
        }
    }
    text
}
