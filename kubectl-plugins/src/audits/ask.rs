//! What the commands beside the audit share: where facts come from, which workloads are meant, how it ends.

use std::path::PathBuf;

use jiff::Timestamp;
use kubeguard_core::audit::facts::{Carrier, Facts, Version};
use kubeguard_core::audit::{Fact, Needs, Policy, Skipped};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::pods::SidecarTable;
use serde::Serialize;

use super::args::{AuditScopeArgs, version};
use super::{PROBE_AUDIT, facts, usage};
use crate::cli::AccessArgs;
use crate::exit::ExitCode;
use crate::output::json;
use crate::terminal::{Terminal, printable};

#[derive(Debug, clap::Args)]
pub(super) struct AskArgs {
    /// File with sidecars beside the known ones
    #[arg(long, value_name = "FILE")]
    sidecar_table: Option<PathBuf>,
    /// Version of Kubernetes that files are judged for [default: the newest known]
    #[arg(long, value_name = "X.Y", value_parser = version)]
    kube_version: Option<Version>,
    /// Print the smallest role that this needs, and end
    #[arg(long)]
    print_rbac: bool,
    /// The moment that counts as now [default: the server's clock, or the snapshot's]
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
    #[command(flatten)]
    pub(super) scope: AuditScopeArgs,
    #[command(flatten)]
    access: AccessArgs,
}

/// What was read for a question.
pub(super) struct Known {
    pub(super) facts: Facts,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
}

impl AskArgs {
    /// Reads what is needed; nothing where only the role was asked for, which is printed.
    pub(super) async fn read(&self, needs: &Needs, terminal: Terminal) -> Result<Option<Known>> {
        if self.print_rbac {
            terminal.answer(&needs.rbac(self.scope.namespace.as_deref()));
            return Ok(None);
        }
        let policy = self.policy()?;
        let read = facts::read(&self.scope, &self.access, PROBE_AUDIT, needs).await?;
        for note in read.facts.notes() {
            tracing::info!("{note}");
        }
        let now = self.now.or(read.now).unwrap_or_else(Timestamp::now);
        Ok(Some(Known { facts: read.facts, policy, now }))
    }

    fn policy(&self) -> Result<Policy> {
        let mut policy = Policy { kube_version: self.kube_version, ..Policy::default() };
        if let Some(path) = &self.sidecar_table {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
            policy.sidecars = SidecarTable::with(&file, &text).map_err(|error| usage(error.to_string(), ""))?;
        }
        if let Some(selector) = &self.scope.selector {
            policy.labels = selector.parse().map_err(|error| usage(format!("-l {selector:?}: {error}"), ""))?;
        }
        Ok(policy)
    }
}

/// Returns the workloads that are named: `TYPE/NAME` each, or `TYPE NAME…`; without names all that somebody edits.
pub(super) fn workloads<'a>(known: &'a Known, names: &[String]) -> Result<Vec<Carrier<'a>>> {
    let facts = &known.facts;
    if names.is_empty() {
        let wants = |carrier: &Carrier<'_>| {
            let map = |labels: &kubeguard_core::audit::text::Labels| {
                labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
            };
            let labels = &known.policy.labels;
            labels.is_empty()
                || labels.matches(&map(carrier.labels))
                || labels.matches(&map(&carrier.object.meta().labels))
        };
        return Ok(facts.carriers().filter(wants).collect());
    }
    let mut found = Vec::new();
    for (kind, name) in pairs(names)? {
        let discovery = Discovery::well_known();
        let Some(resource) = discovery.resolve(kind) else {
            return Err(usage(
                format!("no kind is called {kind:?}"),
                "name it as kubectl does: deploy/web, sts/db, ds/agent, pod/x",
            ));
        };
        let before = found.len();
        if let Some(fact) = Fact::of(&resource.group, &resource.kind) {
            let own =
                facts.objects(fact).filter(|object| object.kind() == resource.kind && object.meta().name == *name);
            found.extend(own.filter_map(Carrier::of));
        }
        if found.len() == before {
            let unread = Fact::of(&resource.group, &resource.kind).map(|fact| facts.read(fact));
            let hint = match unread {
                Some(kubeguard_core::audit::facts::Read::Not(reason)) => reason.clone(),
                _ => "check the name and the namespace (-n, -A)".to_owned(),
            };
            return Err(usage(
                format!("no {} is called {name:?} in what was read", resource.kind.to_lowercase()),
                hint,
            ));
        }
    }
    Ok(found)
}

/// Reads names as kubectl does.
fn pairs(names: &[String]) -> Result<Vec<(&str, &str)>> {
    if names.iter().all(|name| name.contains('/')) {
        return Ok(names.iter().filter_map(|name| name.split_once('/')).collect());
    }
    match names {
        [kind, rest @ ..] if !rest.is_empty() && !names.iter().any(|name| name.contains('/')) => {
            Ok(rest.iter().map(|name| (kind.as_str(), name.as_str())).collect())
        }
        _ => Err(usage(
            format!("{:?} names no workload", names.join(" ")),
            "write TYPE/NAME for each, or one TYPE and its names",
        )),
    }
}

/// Returns how an answer ends: nothing where nothing could be judged, partly where something could not be read.
pub(super) fn code(skipped: &[Skipped], empty: bool) -> ExitCode {
    match skipped {
        [] => ExitCode::Yes,
        _ if empty && skipped.iter().any(|skipped| !skipped.partial) => ExitCode::NoAnswer,
        _ => ExitCode::Partly,
    }
}

/// Returns a line for everything that could not be read.
pub(super) fn unread(skipped: &[Skipped]) -> String {
    let lines = skipped.iter().map(|skipped| {
        let word = if skipped.partial { "judged in part" } else { "not judged" };
        let place = skipped.namespace.as_ref().map_or(String::new(), |namespace| format!(" in namespace {namespace}"));
        printable(&format!("{word}{place}: {}", skipped.reason)) + "\n"
    });
    lines.collect()
}

pub(super) fn json(value: &impl Serialize) -> String {
    json::text(value).unwrap_or_else(|error| error.to_string())
}

pub(super) fn yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| error.to_string())
}
