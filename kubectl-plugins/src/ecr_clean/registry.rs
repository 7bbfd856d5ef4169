//! The registry: connecting to it, and one look at it with the manifests that were read before.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use kubeguard_core::ecr::aws::{AwsAccess, Ecr};
use kubeguard_core::ecr::look::{Look, read_configs, snapshot};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::planning::{Answer, configs_to_read};
use kubeguard_core::ecr::policy::{Assumption, Pattern, Policy, Rule};
use kubeguard_core::ecr::registry::Registry as _;
use kubeguard_core::ecr::snapshot::{RegistrySnapshot, Repository};
use kubeguard_core::error::Result;
use kubeguard_core::images::RegistryId;

use super::args::AwsArgs;
use super::files::StateFolder;
use super::progress::Progress;
use super::usage;
use crate::terminal::Terminal;

/// A registry that was looked at, and where its state is kept.
pub(super) struct Looked {
    pub(super) ecr: Ecr,
    pub(super) snapshot: RegistrySnapshot,
    pub(super) state: StateFolder,
}

/// Connects to a registry: of flags and file, both must agree.
pub(super) async fn connect(asked: &AwsArgs, account: Option<String>, region: Option<String>) -> Result<Ecr> {
    let access = AwsAccess {
        account: asked.registry.clone().or(account),
        region: asked.region.clone().or(region),
        profile: asked.profile.clone(),
        endpoint_url: asked.endpoint_url.clone(),
    };
    access.connect(|retry| tracing::info!(error = %retry.error, attempt = retry.attempt, "trying again")).await
}

/// Which of the repositories that a policy is for are looked at.
pub(super) enum Choice {
    /// All of them; a pattern of the policy that matches none is a mistake.
    EveryPattern,
    /// All of them.
    Any,
    /// Those that match too; a pattern that matches none is a mistake.
    Only(Vec<Pattern>),
    /// Those with these names, as far as they are there.
    Named(BTreeSet<String>),
}

/// Connects to the registry of a policy; what flags say must agree with it.
pub(super) async fn connected(asked: &AwsArgs, policy: &Policy) -> Result<Ecr> {
    let own = policy.registry.clone().unwrap_or_default();
    for (flag, given, written) in
        [("--registry", &asked.registry, &own.account), ("--region", &asked.region, &own.region)]
    {
        if let (Some(given), Some(written)) = (given, written)
            && given != written
        {
            return Err(usage(format!("{flag} says {given}, the policy says {written}"), "leave one of them out"));
        }
    }
    connect(asked, own.account, own.region).await
}

/// Looks at a registry by a policy.
pub(super) async fn look(
    ecr: Ecr,
    state: Option<&Path>,
    policy: &Policy,
    choice: &Choice,
    terminal: Terminal,
) -> Result<Looked> {
    let state = StateFolder::new(state, ecr.id())?;
    let manifests = state.manifests();
    state.check(ecr.id())?;
    let progress = Progress::new(terminal, Some(&ecr));
    let look = Look {
        replication: policy.replication.assume == Assumption::Read,
        pull_through: policy.pull_through_rules == Assumption::Read,
        indexes: true,
        manifests: &manifests,
        progress: &|step| progress.looking(step),
        now: Timestamp::now(),
    };
    let snapshot = snapshot(&ecr, |all| choose(policy, all, ecr.id(), choice), &look).await;
    drop(progress);
    Ok(Looked { snapshot: snapshot?, ecr, state })
}

/// Reads the manifests that tell which images pods run that name a digest without a repository.
pub(super) async fn explain_digests(
    ecr: &Ecr,
    registry: &mut RegistrySnapshot,
    policy: &Policy,
    answers: &[Answer],
    manifests: &ManifestCache,
    terminal: Terminal,
) -> Result<()> {
    let wanted = configs_to_read(policy, registry, answers);
    let _progress = Progress::doing("manifests of what pods run", terminal, Some(ecr));
    read_configs(ecr, registry, &wanted, manifests).await
}

/// Returns the repositories that are looked at.
fn choose(policy: &Policy, all: &[Repository], registry: &RegistryId, choice: &Choice) -> Result<Vec<String>> {
    let patterns: Vec<(String, &Pattern)> = match choice {
        Choice::EveryPattern => {
            let of = |rule: &Rule| format!("rule {}", rule.name);
            policy.rules.iter().flat_map(|rule| rule.repositories.iter().map(move |own| (of(rule), own))).collect()
        }
        Choice::Any | Choice::Named(_) => Vec::new(),
        Choice::Only(patterns) => patterns.iter().map(|own| ("--repository".to_owned(), own)).collect(),
    };
    let idle = patterns.iter().find(|(_, pattern)| !all.iter().any(|known| pattern.matches(&known.name)));
    if let Some((by, pattern)) = idle {
        let problem = format!("{by}: {:?} matches no repository of {registry}", pattern.text);
        let near = all.iter().map(|known| (strsim::jaro_winkler(&known.name, &pattern.text), known.name.as_str()));
        let near = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
        return Err(usage(problem, near.map_or(String::new(), |(_, name)| format!("did you mean {name}?"))));
    }
    let wanted = |name: &String| match choice {
        Choice::EveryPattern | Choice::Any => true,
        Choice::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        Choice::Named(names) => names.contains(name),
    };
    let names = all.iter().map(|known| known.name.clone());
    Ok(names.filter(|name| policy.rule_for(name).is_some() && wanted(name)).collect())
}
