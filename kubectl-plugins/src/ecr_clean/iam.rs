//! `kubectl ecr-clean iam`: the least rights, generated.

use std::path::PathBuf;

use clap::ValueEnum;
use kubeguard_core::ecr::iam::{Role, Scope, policy};
use kubeguard_core::ecr::policy::Pattern;
use kubeguard_core::ecr::registry::Registry as _;
use kubeguard_core::error::Result;
use kubeguard_core::images::RegistryId;
use serde::Serialize;
use serde_json::Value;

use super::args::AwsArgs;
use super::judgement::{everything, patterns};
use super::registry::connected;
use super::{files, usage};
use crate::exit::ExitCode;
use crate::terminal::{Terminal, printable};

#[derive(Debug, clap::Args)]
pub(super) struct IamArgs {
    /// Print one policy alone, as IAM takes it
    #[arg(value_enum, value_name = "ROLE")]
    role: Option<RoleName>,
    /// Policy whose repositories, registry and opt-in tag hold [default: all repositories]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Only these repositories, as in team/*; repeatable
    #[arg(long, value_name = "PATTERN")]
    repository: Vec<String>,
    /// How the answer is written; table and wide are json, name the roles
    #[arg(short, long, value_parser = ["table", "wide", "json", "yaml", "name"], default_value = "table", value_name = "FORMAT")]
    output: String,
    #[command(flatten)]
    aws: AwsArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Reads: to plan, verify and report
    Plan,
    /// Carries plans out
    Apply,
    /// Reads, and starts AWS' previews
    Lint,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IamPolicies {
    api_version: &'static str,
    kind: &'static str,
    registry: RegistryId,
    plan: Value,
    apply: Value,
    lint: Value,
}

/// Prints the policies. AWS is asked only where neither flags nor policy name the account.
pub(super) async fn run(asked: &IamArgs, terminal: Terminal) -> Result<ExitCode> {
    let own = match &asked.policy {
        Some(path) => files::policy(path)?,
        None => everything()?,
    };
    let only = patterns(&asked.repository)?;
    let registry = connected(&asked.aws, &own).await?.id().clone();
    let included: Vec<Pattern> = match (only.is_empty(), asked.policy.is_some()) {
        (false, _) => only,
        (true, true) => own.rules.iter().flat_map(|rule| rule.repositories.iter().cloned()).collect(),
        (true, false) => Vec::new(),
    };
    let scope = Scope { registry: &registry, repositories: &included, opt_in_tag: &own.opt_in_tag };
    for note in policy(Role::Plan, scope).notes {
        terminal.say(&printable(&note));
    }
    let document = |role| policy(role, scope).document;
    let role = asked.role.map(|role| match role {
        RoleName::Plan => Role::Plan,
        RoleName::Apply => Role::Apply,
        RoleName::Lint => Role::Lint,
    });
    if asked.output == "name" {
        let roles = Role::ALL.into_iter().filter(|known| role.is_none_or(|role| role == *known));
        terminal.answer(&roles.map(|role| format!("{}\n", role.word())).collect::<String>());
        return Ok(ExitCode::Yes);
    }
    let answer = match role {
        Some(role) => document(role),
        None => serde_json::to_value(IamPolicies {
            api_version: "kubeguard.dev/v1",
            kind: "IamPolicies",
            plan: document(Role::Plan),
            apply: document(Role::Apply),
            lint: document(Role::Lint),
            registry: registry.clone(),
        })
        .map_err(|error| usage(format!("cannot write JSON: {error}"), ""))?,
    };
    terminal.answer(&if asked.output == "yaml" { files::yaml(&answer)? } else { files::pretty(&answer)? });
    Ok(ExitCode::Yes)
}
