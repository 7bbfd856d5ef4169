//! What the commands beside the audit share: where facts come from, which workloads are meant, how it ends.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use kubeguard_core::audit::facts::{Carrier, Facts, Object, Read, Version};
use kubeguard_core::audit::{Fact, Finding, Needs, ObjectName, Policy, Skipped};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::gather::resource::Resource;
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
        self.scope.narrow(&mut policy)?;
        Ok(policy)
    }
}

/// Returns the workloads that are named: `TYPE/NAME` each, or `TYPE NAME…`; without names all that somebody edits.
pub(super) fn workloads<'a>(known: &'a Known, names: &[String]) -> Result<Vec<Carrier<'a>>> {
    let facts = &known.facts;
    if names.is_empty() {
        return Ok(facts.carriers().filter(|carrier| known.policy.wants(facts, carrier.object)).collect());
    }
    let mut found = Vec::new();
    for named in named(names, None)? {
        found.extend(named.objects(facts)?.into_iter().filter_map(Carrier::of));
    }
    Ok(found)
}

/// What a user names.
pub(super) struct Named {
    resource: Resource,
    name: String,
}

/// Reads names as kubectl does: `TYPE/NAME` each, or one `TYPE` and its names; bare names are of the default kind, where
/// a command has one.
pub(super) fn named(names: &[String], default: Option<&str>) -> Result<Vec<Named>> {
    let discovery = Discovery::well_known();
    let pairs: Vec<(&str, &str)> = match names {
        [kind, rest @ ..]
            if !rest.is_empty()
                && !names.iter().any(|name| name.contains('/'))
                && (default.is_none() || discovery.resolve(kind).is_some()) =>
        {
            rest.iter().map(|name| (kind.as_str(), name.as_str())).collect()
        }
        _ => {
            let mut pairs = Vec::new();
            for name in names {
                match (name.split_once('/'), default) {
                    (Some(pair), _) => pairs.push(pair),
                    (None, Some(kind)) => pairs.push((kind, name.as_str())),
                    (None, None) => {
                        return Err(usage(
                            format!("{:?} does not say of which kind", printable(name)),
                            "write TYPE/NAME for each, or one TYPE and its names",
                        ));
                    }
                }
            }
            pairs
        }
    };
    let of = |(kind, name): (&str, &str)| {
        let resource = discovery.resolve(kind).cloned().ok_or_else(|| {
            usage(
                format!("no kind is called {:?}", printable(kind)),
                "name it as kubectl does: deploy/web, sts/db, ds/agent, job/load, pod/x",
            )
        })?;
        Ok(Named { resource, name: name.to_owned() })
    };
    pairs.into_iter().map(of).collect()
}

/// Names that are offered where one is not found.
const MOST_SIMILAR: usize = 3;

impl Named {
    /// Returns the objects of that name: one of each namespace that was read.
    ///
    /// # Errors
    /// When there is none, or nobody may know.
    pub(super) fn objects<'a>(&self, facts: &'a Facts) -> Result<Vec<&'a dyn Object>> {
        let Self { resource, name } = self;
        let kind = resource.kind.to_lowercase();
        let Some(fact) = Fact::of(&resource.group, &resource.kind) else {
            return Err(usage(
                format!("no rule looks at the kind {kind}"),
                "deploy/web, sts/db, ds/agent, job/load, pod/x",
            ));
        };
        let of_kind = || facts.objects(fact).filter(|object| object.kind() == resource.kind);
        let found: Vec<&dyn Object> = of_kind().filter(|object| object.meta().name == **name).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let unread = match facts.read(fact) {
            Read::Not(reason) => Some(reason.clone()),
            _ => facts.gaps().iter().find(|gap| gap.fact == fact).map(|gap| gap.reason.clone()),
        };
        let hint = unread.unwrap_or_else(|| {
            let mut similar: BTreeSet<(usize, String)> = of_kind()
                .map(|object| (strsim::damerau_levenshtein(&object.meta().name, name), object.meta().name.to_string()))
                .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
                .collect();
            let similar: Vec<String> =
                std::iter::from_fn(|| similar.pop_first()).take(MOST_SIMILAR).map(|(_, name)| name).collect();
            if similar.is_empty() {
                "check the name and the namespace (-n, -A)".to_owned()
            } else {
                printable(&format!("did you mean {}?", similar.join(" or ")))
            }
        });
        Err(usage(format!("no {kind} is called {:?} in what was read", printable(name)), hint))
    }

    /// Returns whether a finding is about it: about the object itself, or a job of the `CronJob`.
    pub(super) fn is_about(&self, finding: &Finding) -> bool {
        let is_it = finding.object.kind == self.resource.kind && finding.object.name == self.name;
        let cron = finding.details.get("cronJob").and_then(serde_json::Value::as_str);
        is_it || self.resource.kind == "CronJob" && cron == Some(&self.name)
    }

    /// Returns it as users write it.
    pub(super) fn word(&self) -> String {
        printable(&format!("{}/{}", self.resource.kind.to_lowercase(), self.name))
    }
}

/// Returns needs with the kinds that are named: who owns what is found through them.
///
/// # Errors
/// When neither is a rule about such a kind, nor does it make anything that is judged.
pub(super) fn with_named(needs: Needs, named: &[Named]) -> Result<Needs> {
    named.iter().try_fold(needs, |needs, named| {
        let fact = Fact::of(&named.resource.group, &named.resource.kind);
        match fact {
            Some(fact) if Fact::CARRIERS.contains(&fact) || needs.of(fact).is_some() => Ok(needs.naming(fact)),
            _ => Err(usage(
                format!("no rule that was asked for looks at {}", named.resource.plural),
                "kubectl guard rules says what each of them reads",
            )),
        }
    })
}

/// Returns what a policy judges alone; all where nothing is named.
///
/// # Errors
/// When one of them was not found.
pub(super) fn only(named: &[Named], facts: &Facts) -> Result<Option<BTreeSet<ObjectName>>> {
    if named.is_empty() {
        return Ok(None);
    }
    let mut only = BTreeSet::new();
    for named in named {
        only.extend(named.objects(facts)?.into_iter().map(Object::object_name));
    }
    Ok(Some(only))
}

/// Returns what is still there of what is named.
pub(super) fn still(named: &[Named], facts: &Facts) -> BTreeSet<ObjectName> {
    let objects = named.iter().filter_map(|named| named.objects(facts).ok());
    objects.flatten().map(Object::object_name).collect()
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
