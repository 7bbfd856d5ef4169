//! `kubectl ecr-clean rbac`: the least rights in a cluster, generated from what it serves.

use std::path::PathBuf;

use kubeguard_core::access::Environment;
use kubeguard_core::error::Result;
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::images::RegistryId;
use kubeguard_core::images::inventory::Scan;
use kubeguard_core::images::rights::{Every, Grant, Rights};
use serde_json::json;

use super::args::Args;
use super::{files, usage};
use crate::exit::ExitCode;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(super) struct RbacArgs {
    /// Context of the cluster [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Policy whose scan settings and lease hold [default: no lease]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Name of the objects
    #[arg(long, value_name = "NAME", default_value = "kubeguard-ecr-clean")]
    name: String,
    /// Namespace of the service accounts
    #[arg(short, long, value_name = "NAMESPACE", default_value = "kubeguard")]
    namespace: String,
    /// Add a CronJob that runs `inventory` with this image, which must hold kubectl-ecr_clean
    #[arg(long, value_name = "IMAGE", requires = "cluster")]
    image: Option<String>,
    /// Label of the cluster in the CronJob's inventory
    #[arg(long, value_name = "NAME", requires = "image")]
    cluster: Option<String>,
    /// When the CronJob runs
    #[arg(long, value_name = "CRON", default_value = "0 * * * *", requires = "image")]
    schedule: String,
    /// Volume claim that the CronJob writes to
    #[arg(long, value_name = "NAME", default_value = "inventories", requires = "image")]
    claim: String,
    /// How the answer is written; table, wide and yaml are yaml with comments
    #[arg(short, long, value_parser = ["table", "wide", "yaml", "json", "name"], default_value = "table", value_name = "FORMAT")]
    output: String,
}

/// Prints manifests, after the cluster was asked which kinds it serves.
pub(super) async fn run(args: &Args, asked: &RbacArgs, terminal: Terminal) -> Result<ExitCode> {
    let policy = asked.policy.as_deref().map(files::policy).transpose()?;
    let lease = match policy.as_ref().and_then(|policy| Some((policy.lease.as_ref()?, policy.registry.as_ref()))) {
        None => None,
        Some((place, Some(own))) if own.account.is_some() && own.region.is_some() => {
            let word = |word: &Option<String>| word.clone().unwrap_or_default();
            Some((place.namespace.clone(), RegistryId::new(&word(&own.account), &word(&own.region))))
        }
        Some(_) => {
            let problem = "the policy has a lease and does not say of which registry";
            return Err(usage(problem, "write registry: {account: …, region: …} into it: the Lease is named after it"));
        }
    };
    let every = asked.image.as_ref().zip(asked.cluster.as_ref()).map(|(image, cluster)| Every {
        image: image.clone(),
        schedule: asked.schedule.clone(),
        cluster: cluster.clone(),
        claim: asked.claim.clone(),
    });
    let scan = policy.map_or_else(Scan::default, |policy| policy.scan);
    let cluster = args.access.of(asked.context.as_deref()).connect(&Environment::of_process()).await?;
    let discovery = Discovery::of(&cluster).await?;
    for group in discovery.unavailable() {
        terminal.complain(&format!("{group}: its server does not answer, and what it serves is left out"));
    }
    let complete = discovery.unavailable().next().is_none();
    let rights = Rights::of(&discovery, &scan);
    let grant = Grant { name: asked.name.clone(), namespace: asked.namespace.clone(), lease, every };
    let manifests = rights.manifests(&grant);
    terminal.answer(&match asked.output.as_str() {
        "json" => files::pretty(&json!({"apiVersion": "v1", "kind": "List", "items": manifests}))?,
        "name" => {
            let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_lowercase();
            let name = |object: &serde_json::Value| {
                format!("{}/{}\n", word(&object["kind"]), object["metadata"]["name"].as_str().unwrap_or_default())
            };
            manifests.iter().map(name).collect()
        }
        _ => rights.yaml(&grant),
    });
    Ok(if complete { ExitCode::Yes } else { ExitCode::Partly })
}
