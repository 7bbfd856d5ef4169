//! `kubectl zombie-jobs sidecars`: the sidecars of all jobs, and what can become native today.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;
use kubeguard_core::audit::Policy;
use kubeguard_core::audit::facts::Version;
use kubeguard_core::audit::jobs::fleet::{Inventory, Row, inventory, inventory_needs};
use kubeguard_core::error::Result;

use super::args::{AuditScopeArgs, version};
use super::{facts, sidecar_table, usage};
use crate::cli::AccessArgs;
use crate::exit::ExitCode;
use crate::output::{columns, json};
use crate::terminal::{Terminal, printable};

/// What to list.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SidecarsArgs {
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
    /// File with sidecars beside the known ones
    #[arg(long, value_name = "FILE")]
    sidecar_table: Option<PathBuf>,
    /// Version of Kubernetes that files are judged for [default: the newest known]
    #[arg(long, value_name = "X.Y", value_parser = version)]
    kube_version: Option<Version>,
    /// Print the smallest role that it needs, and end
    #[arg(long)]
    print_rbac: bool,
    /// The moment that counts as now [default: the server's clock, or the snapshot's]
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
    #[command(flatten)]
    scope: AuditScopeArgs,
}

const EXAMPLES: &str = "Examples:
  # Every sidecar of the fleet, and how many of its jobs can make it native today
  kubectl zombie-jobs sidecars -A
  # The patch for each template
  kubectl zombie-jobs sidecars -n team -o json | jq -r '.items[].workloads[].migration.command // empty'

Exit codes:
  0    everything could be read
  2    no answer: wrong usage, cluster cannot be reached, no permission, unreadable file
  6    partly: something could not be read
";

/// How the inventory is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Lines for people, one for each sidecar
    #[default]
    Table,
    /// Lines for people, one for each sidecar and place, with what can be done
    Wide,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
    /// Names of the jobs and cron jobs that a sidecar will keep from ending
    Name,
}

/// Answers it.
pub(super) async fn run(
    asked: &SidecarsArgs,
    access: &AccessArgs,
    binary: &str,
    terminal: Terminal,
) -> Result<ExitCode> {
    let needs = inventory_needs();
    if asked.print_rbac {
        terminal.answer(&needs.rbac(asked.scope.namespace.as_deref()));
        return Ok(ExitCode::Yes);
    }
    let mut policy = Policy { kube_version: asked.kube_version, ..Policy::default() };
    if let Some(path) = &asked.sidecar_table {
        policy.sidecars = sidecar_table(path)?;
    }
    if let Some(selector) = &asked.scope.selector {
        policy.labels = selector.parse().map_err(|error| usage(format!("-l {selector:?}: {error}"), ""))?;
    }
    let read = facts::read(&asked.scope, access, binary, &needs).await?;
    let now = asked.now.or(read.now).unwrap_or_else(Timestamp::now);
    let found = inventory(&read.facts, &policy, now);
    if found.items.is_empty() && found.complete {
        terminal.say("no job has a sidecar that is known");
    }
    for why in &found.skipped {
        terminal.complain(&printable(&format!("not read: {why}")));
    }
    terminal.answer(&written(&found, asked.output));
    Ok(match (found.complete, found.items.is_empty()) {
        (true, _) => ExitCode::Yes,
        (false, true) => ExitCode::NoAnswer,
        (false, false) => ExitCode::Partly,
    })
}

fn written(found: &Inventory, format: Format) -> String {
    match format {
        Format::Table => table(found),
        Format::Wide => wide(found),
        Format::Json => json::text(found).unwrap_or_else(|error| error.to_string()),
        Format::Yaml => serde_saphyr::to_string(found).unwrap_or_else(|error| error.to_string()),
        Format::Name => {
            let hanging = found.items.iter().flat_map(|row| &row.workloads).filter(|workload| workload.will_hang);
            let mut names: Vec<String> = hanging.map(|workload| format!("{}\n", workload.object)).collect();
            names.sort();
            names.dedup();
            names.concat()
        }
    }
}

fn table(found: &Inventory) -> String {
    if found.items.is_empty() {
        return String::new();
    }
    let header = ["SIDECAR", "JOBS", "CRONJOBS", "NATIVE", "ENDS BY", "WILL HANG", "CAN MIGRATE TODAY"];
    let mut rows = vec![header.map(ToOwned::to_owned).to_vec()];
    let (known, unknown): (Vec<&Row>, Vec<&Row>) = found.items.iter().partition(|row| row.id.is_some());
    rows.extend(known.into_iter().map(|row| cells(&row.name, row)));
    if !unknown.is_empty() {
        rows.push(cells(&format!("unknown ({})", unknown.len()), &sum(&unknown)));
    }
    columns(rows).join("\n") + "\n"
}

/// Adds up what the table of sidecars does not know.
fn sum(rows: &[&Row]) -> Row {
    let add = |into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>| {
        for (key, count) in from {
            *into.entry(key.clone()).or_default() += count;
        }
    };
    let mut sum = Row::default();
    for row in rows {
        sum.jobs += row.jobs;
        sum.cron_jobs += row.cron_jobs;
        sum.native += row.native;
        sum.will_hang += row.will_hang;
        add(&mut sum.ends_by, &row.ends_by);
        add(&mut sum.can_migrate, &row.can_migrate);
    }
    sum
}

fn cells(name: &str, row: &Row) -> Vec<String> {
    let none = || "<none>".to_owned();
    let by: Vec<String> = match row.ends_by.len() {
        0 => vec![none()],
        1 => row.ends_by.keys().cloned().collect(),
        _ => row.ends_by.iter().map(|(by, count)| format!("{by} ({count})")).collect(),
    };
    let can: Vec<String> = row.can_migrate.iter().map(|(how, count)| format!("{count}: {how}")).collect();
    let can = if can.is_empty() { none() } else { can.join(", ") };
    let numbers = [row.jobs, row.cron_jobs, row.native].map(|count| count.to_string());
    let [jobs, cron_jobs, native] = numbers;
    vec![name.to_owned(), jobs, cron_jobs, native, by.join(", "), row.will_hang.to_string(), can]
}

fn wide(found: &Inventory) -> String {
    if found.items.is_empty() {
        return String::new();
    }
    let header = ["SIDECAR", "NAMESPACE", "OBJECT", "NATIVE", "INJECTED", "PROOF", "ENDS BY", "WILL HANG", "MIGRATION"];
    let mut rows = vec![header.map(ToOwned::to_owned).to_vec()];
    let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    for row in &found.items {
        rows.extend(row.workloads.iter().map(|workload| {
            let migration = workload.migration.as_ref().map_or_else(
                || "<none>".to_owned(),
                |migration| match &migration.refused {
                    Some(why) => format!("refused: {why}"),
                    None => migration.how.to_owned(),
                },
            );
            vec![
                row.name.clone(),
                workload.object.namespace.clone(),
                workload.object.to_string(),
                word(workload.native),
                word(workload.injected),
                workload.proof.to_string(),
                workload.ends_by.clone().unwrap_or_else(|| "<none>".to_owned()),
                word(workload.will_hang),
                migration,
            ]
        }));
    }
    columns(rows).join("\n") + "\n"
}
