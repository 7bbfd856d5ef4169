//! What a registry says of itself: replication, pull-through rules, pulls that are not recorded.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Listing, Operation, Refusal, Site};
use crate::fake_ecr::store::Store;

/// `DescribeRegistry`: of the caller's own registry, whatever else the call is about.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct DescribeRegistry {}

impl Operation for DescribeRegistry {
    const NAME: &'static str = "DescribeRegistry";
    type Output = Value;

    fn run(&self, store: &mut Store, at: &Site) -> Result<Value, Refusal> {
        let rules = &store.registry(&at.registry).replication;
        Ok(json!({"registryId": at.registry.account, "replicationConfiguration": {"rules": rules}}))
    }
}

/// A page of rows that are kept as AWS writes them.
fn page(
    at: &Site,
    rows: &[Value],
    operation: &str,
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<Value>, Option<String>), Refusal> {
    let from = usize::try_from(at.place(operation, token)?).unwrap_or(usize::MAX);
    let rest = rows.get(from..).unwrap_or_default();
    let next = (rest.len() > size).then(|| at.token(operation, (from + size) as u64));
    Ok((rest.iter().take(size).cloned().collect(), next))
}

/// `DescribePullThroughCacheRules`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribePullThroughCacheRules {
    pub registry_id: Option<String>,
    pub ecr_repository_prefixes: Option<Vec<String>>,
    pub next_token: Option<String>,
    pub max_results: Option<i64>,
}

/// One page of [`DescribePullThroughCacheRules`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PullThroughCacheRules {
    pub pull_through_cache_rules: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Operation for DescribePullThroughCacheRules {
    const NAME: &'static str = "DescribePullThroughCacheRules";
    type Output = PullThroughCacheRules;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn listing(&self) -> Option<Listing<'_>> {
        Some(Listing { token: self.next_token.as_deref() })
    }

    fn next_token(output: &mut PullThroughCacheRules) -> Option<&mut Option<String>> {
        Some(&mut output.next_token)
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<PullThroughCacheRules, Refusal> {
        let size = at.page_size(self.max_results, 100, 1000)?;
        let wanted = |rule: &&Value| {
            let prefix = rule["ecrRepositoryPrefix"].as_str().unwrap_or_default();
            self.ecr_repository_prefixes.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| wanted == prefix))
        };
        let rules: Vec<Value> = store.registry(&at.registry).pull_through.iter().filter(wanted).cloned().collect();
        let (pull_through_cache_rules, next_token) = page(at, &rules, Self::NAME, self.next_token.as_deref(), size)?;
        Ok(PullThroughCacheRules { pull_through_cache_rules, next_token })
    }
}

/// `ListPullTimeUpdateExclusions`: of the caller's own registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListPullTimeUpdateExclusions {
    pub next_token: Option<String>,
    pub max_results: Option<i64>,
}

/// One page of [`ListPullTimeUpdateExclusions`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PullTimeUpdateExclusions {
    pub pull_time_update_exclusions: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Operation for ListPullTimeUpdateExclusions {
    const NAME: &'static str = "ListPullTimeUpdateExclusions";
    type Output = PullTimeUpdateExclusions;

    fn listing(&self) -> Option<Listing<'_>> {
        Some(Listing { token: self.next_token.as_deref() })
    }

    fn next_token(output: &mut PullTimeUpdateExclusions) -> Option<&mut Option<String>> {
        Some(&mut output.next_token)
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<PullTimeUpdateExclusions, Refusal> {
        let size = at.page_size(self.max_results, 100, 1000)?;
        let rows = store.registry(&at.registry).exclusions.iter().cloned().map(Value::from).collect::<Vec<_>>();
        let (pull_time_update_exclusions, next_token) = page(at, &rows, Self::NAME, self.next_token.as_deref(), size)?;
        Ok(PullTimeUpdateExclusions { pull_time_update_exclusions, next_token })
    }
}
