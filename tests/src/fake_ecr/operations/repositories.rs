//! `DescribeRepositories` and `ListTagsForResource`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Listing, Operation, Refusal, Site, seconds};
use crate::fake_ecr::repository::Repository;
use crate::fake_ecr::store::Store;

/// `DescribeRepositories`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeRepositories {
    pub registry_id: Option<String>,
    pub repository_names: Option<Vec<String>>,
    pub next_token: Option<String>,
    pub max_results: Option<i64>,
}

/// One repository of an answer.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RepositoryRow {
    pub repository_arn: String,
    pub registry_id: String,
    pub repository_name: String,
    pub repository_uri: String,
    pub created_at: f64,
    pub image_tag_mutability: String,
}

/// One page of [`DescribeRepositories`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Repositories {
    pub repositories: Vec<RepositoryRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

fn row(at: &Site, name: &str, repository: &Repository) -> RepositoryRow {
    RepositoryRow {
        repository_arn: at.arn(name),
        registry_id: at.registry.account.clone(),
        repository_name: name.to_owned(),
        repository_uri: format!("{}/{name}", at.registry.host()),
        created_at: seconds(repository.created_at),
        image_tag_mutability: repository.mutability.clone(),
    }
}

impl Site {
    /// Returns the ARN of one of its repositories.
    pub(super) fn arn(&self, repository: &str) -> String {
        let registry = &self.registry;
        let partition = registry.partition.word();
        format!("arn:{partition}:ecr:{}:{}:repository/{repository}", registry.region, registry.account)
    }
}

impl Operation for DescribeRepositories {
    const NAME: &'static str = "DescribeRepositories";
    type Output = Repositories;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn listing(&self) -> Option<Listing<'_>> {
        self.repository_names.is_none().then_some(Listing { token: self.next_token.as_deref() })
    }

    fn next_token(output: &mut Repositories) -> Option<&mut Option<String>> {
        Some(&mut output.next_token)
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<Repositories, Refusal> {
        if let Some(names) = &self.repository_names {
            if names.is_empty() || names.len() > 100 || self.max_results.is_some() || self.next_token.is_some() {
                return Err(Refusal::invalid("'repositoryNames': 1 to 100 names, and no paging"));
            }
            let rows = names.iter().map(|name| Ok(row(at, name, store.named_repository(at, name)?)));
            return Ok(Repositories { repositories: rows.collect::<Result<_, Refusal>>()?, next_token: None });
        }
        let size = at.page_size(self.max_results, 100, 1000)?;
        let from = usize::try_from(at.place(Self::NAME, self.next_token.as_deref())?).unwrap_or(usize::MAX);
        let repositories = &store.registry(&at.registry).repositories;
        let rows = repositories.iter().skip(from).take(size);
        let answer = rows.map(|(name, repository)| row(at, name, repository)).collect();
        let more = repositories.len() > from.saturating_add(size);
        Ok(Repositories { repositories: answer, next_token: more.then(|| at.token(Self::NAME, (from + size) as u64)) })
    }
}

/// `ListTagsForResource`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTagsForResource {
    pub resource_arn: String,
}

/// AWS tags of a repository.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tags {
    pub tags: Vec<ResourceTag>,
}

/// One AWS tag.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ResourceTag {
    pub key: String,
    pub value: String,
}

impl ListTagsForResource {
    /// Takes the account out of `arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME`.
    fn part(&self, number: usize) -> Option<&str> {
        self.resource_arn.splitn(6, ':').nth(number)
    }
}

impl Operation for ListTagsForResource {
    const NAME: &'static str = "ListTagsForResource";
    type Output = Tags;

    /// The ARN says whose registry is meant.
    fn registry_id(&self) -> Option<&str> {
        self.part(4)
    }

    fn repository(&self) -> Option<&str> {
        self.part(5).and_then(|resource| resource.strip_prefix("repository/"))
    }

    fn run(&self, store: &mut Store, at: &Site) -> Result<Tags, Refusal> {
        let name = self.repository().unwrap_or_default();
        if self.resource_arn != at.arn(name) {
            return Err(Refusal::invalid("'resourceArn'"));
        }
        let tags: BTreeMap<String, String> = store.named_repository(at, name)?.aws_tags.clone();
        Ok(Tags { tags: tags.into_iter().map(|(key, value)| ResourceTag { key, value }).collect() })
    }
}
