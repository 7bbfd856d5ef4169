//! One look at the registry, with the manifests that were read before.

use jiff::Timestamp;
use kubeguard_core::ecr::aws::AwsAccess;
use kubeguard_core::ecr::look::{Look, Progress, snapshot};
use kubeguard_core::ecr::manifests::ManifestCache;
use kubeguard_core::ecr::policy::{Assumption, Policy};
use kubeguard_core::ecr::registry::Registry as _;
use kubeguard_core::ecr::snapshot::{RegistrySnapshot, Repository};
use kubeguard_core::error::Result;
use kubeguard_core::images::RegistryId;

use super::files::StateFolder;
use super::plan::PlanArgs;
use super::{screens, usage};
use crate::terminal::Terminal;

/// Looks at the registry, with the manifests that were read before.
pub(super) async fn look(
    asked: &PlanArgs,
    policy: &Policy,
    terminal: Terminal,
) -> Result<(RegistrySnapshot, StateFolder)> {
    let own = policy.registry.clone().unwrap_or_default();
    for (flag, given, written) in
        [("--registry", &asked.aws.registry, &own.account), ("--region", &asked.aws.region, &own.region)]
    {
        if let (Some(given), Some(written)) = (given, written)
            && given != written
        {
            return Err(usage(format!("{flag} says {given}, the policy says {written}"), "leave one of them out"));
        }
    }
    let access = AwsAccess {
        account: asked.aws.registry.clone().or(own.account),
        region: asked.aws.region.clone().or(own.region),
        profile: asked.aws.profile.clone(),
        endpoint_url: asked.aws.endpoint_url.clone(),
    };
    let registry =
        access.connect(|retry| tracing::info!(error = %retry.error, attempt = retry.attempt, "trying again")).await?;
    let state = StateFolder::new(asked.state.as_deref(), registry.id())?;
    let manifests = ManifestCache::in_folder(state.manifests());
    let progress = screens::Reading::new(terminal);
    let look = Look {
        replication: policy.replication.assume == Assumption::Read,
        pull_through: policy.pull_through_rules == Assumption::Read,
        indexes: true,
        manifests: &manifests,
        progress: &|step: Progress<'_>| progress.registry(step),
        now: Timestamp::now(),
    };
    let snapshot = snapshot(&registry, |all| choose(policy, all, registry.id()), &look).await;
    progress.end();
    Ok((snapshot?, state))
}

/// Returns the repositories that a rule is for; a pattern that is for none is a mistake.
fn choose(policy: &Policy, all: &[Repository], registry: &RegistryId) -> Result<Vec<String>> {
    for rule in &policy.rules {
        let idle = rule.repositories.iter().find(|pattern| !all.iter().any(|known| pattern.matches(&known.name)));
        if let Some(pattern) = idle {
            let problem = format!("rule {}: {:?} matches no repository of {registry}", rule.name, pattern.text);
            let near = all.iter().map(|known| (strsim::jaro_winkler(&known.name, &pattern.text), known.name.as_str()));
            let near = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
            return Err(usage(problem, near.map_or(String::new(), |(_, name)| format!("did you mean {name}?"))));
        }
    }
    Ok(all.iter().map(|known| known.name.clone()).filter(|name| policy.rule_for(name).is_some()).collect())
}
