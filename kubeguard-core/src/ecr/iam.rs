//! The rights that each part needs, as IAM policies, and the names that AWS gives to whoever asks.

mod patterns;

use serde_json::{Value, json};

use super::policy::Pattern;
use crate::images::RegistryId;

/// What a role is for. The roles are apart, so that who plans cannot delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Plans, verifies, reports: reads.
    Plan,
    /// Carries plans out, and restores.
    Apply,
    /// Looks for lifecycle rules that would hurt: reads, and starts AWS' previews.
    Lint,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Plan, Self::Apply, Self::Lint];

    /// Returns its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Lint => "lint",
        }
    }
}

/// Which repositories a role is for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The registry.
    pub registry: &'a RegistryId,
    /// Patterns of repositories; none for all.
    pub repositories: &'a [Pattern],
    /// AWS tag that a repository must carry with the value `true`; empty for none.
    pub opt_in_tag: &'a str,
}

/// A policy document, and what it grants beyond what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IamPolicy {
    /// The document, version 2012-10-17.
    pub document: Value,
    /// Patterns that IAM cannot express, each with what covers it, in words.
    pub notes: Vec<String>,
}

const REGISTRY_READS: [&str; 3] =
    ["ecr:DescribePullThroughCacheRules", "ecr:DescribeRegistry", "ecr:ListPullTimeUpdateExclusions"];
const REPOSITORY_READS: [&str; 6] = [
    "ecr:BatchGetImage",
    "ecr:DescribeImages",
    "ecr:GetLifecyclePolicy",
    "ecr:ListImageReferrers",
    "ecr:ListImages",
    "ecr:ListTagsForResource",
];
const CHANGES: [&str; 2] = ["ecr:BatchDeleteImage", "ecr:UpdateImageStorageClass"];
const PREVIEWS: [&str; 2] = ["ecr:GetLifecyclePolicyPreview", "ecr:StartLifecyclePolicyPreview"];

/// Returns the least policy for a role.
///
/// A pattern that IAM cannot express becomes the narrowest that covers it, which the notes tell. Changes have the condition
/// that the repository opted in by its AWS tag, where one is named. No role may delete a repository, whatever else it is
/// allowed.
#[must_use]
pub fn policy(role: Role, scope: Scope<'_>) -> IamPolicy {
    let RegistryId { partition, account, region } = scope.registry;
    let arn = |name: &str| format!("arn:{}:ecr:{region}:{account}:repository/{name}", partition.word());
    let covers = patterns::covers(scope.repositories);
    let repositories: Vec<String> = covers.names.iter().map(|name| arn(name)).collect();
    let mut statements = vec![
        json!({"Sid": "ReadRegistry", "Effect": "Allow", "Action": REGISTRY_READS, "Resource": "*"}),
        json!({"Sid": "ListRepositories", "Effect": "Allow", "Action": "ecr:DescribeRepositories", "Resource": arn("*")}),
        json!({"Sid": "ReadRepositories", "Effect": "Allow", "Action": REPOSITORY_READS, "Resource": repositories}),
    ];
    match role {
        Role::Plan => {}
        Role::Apply => {
            let mut changes =
                json!({"Sid": "CarryOutPlans", "Effect": "Allow", "Action": CHANGES, "Resource": repositories});
            if !scope.opt_in_tag.is_empty() {
                let key = format!("aws:ResourceTag/{}", scope.opt_in_tag);
                changes["Condition"] = json!({"StringEquals": {key: "true"}});
            }
            statements.push(changes);
        }
        Role::Lint => {
            statements.push(
                json!({"Sid": "PreviewLifecycle", "Effect": "Allow", "Action": PREVIEWS, "Resource": repositories}),
            );
        }
    }
    statements.push(
        json!({"Sid": "NeverDeleteRepository", "Effect": "Deny", "Action": "ecr:DeleteRepository", "Resource": "*"}),
    );
    IamPolicy { document: json!({"Version": "2012-10-17", "Statement": statements}), notes: covers.notes }
}

/// Returns the name of the role in an ARN of a role, or of a session of it.
fn role_of(arn: &str) -> Option<&str> {
    let (_, resource) = arn.rsplit_once(':')?;
    let mut parts = resource.split('/');
    match parts.next()? {
        "assumed-role" => parts.next(),
        "role" => parts.next_back(),
        _ => None,
    }
}

/// Returns whether an ARN of a role or user means whoever asks, as STS names them.
#[must_use]
pub fn is_same(arn: &str, caller: &str) -> bool {
    let account = |arn: &str| arn.split(':').nth(4).map(ToOwned::to_owned);
    arn == caller || role_of(arn).is_some() && role_of(arn) == role_of(caller) && account(arn) == account(caller)
}

/// Returns the ARN under which IAM knows whoever asks: of a session the role, without its path, which STS does not tell.
/// `None` for an account's root, and for whom STS did not name.
#[must_use]
pub fn principal(caller: &str) -> Option<String> {
    let mut parts = caller.splitn(6, ':');
    let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    match (arn, service) {
        ("arn", "sts") => Some(format!("arn:{partition}:iam::{account}:role/{}", role_of(caller)?)),
        ("arn", "iam") if resource.starts_with("role/") || resource.starts_with("user/") => Some(caller.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "arn:aws-cn:sts::111122223333:assumed-role/ecr-plan/ci";

    #[test]
    fn a_session_is_its_role_in_the_same_account() {
        assert_eq!(principal(SESSION).as_deref(), Some("arn:aws-cn:iam::111122223333:role/ecr-plan"));
        assert!(is_same("arn:aws-cn:iam::111122223333:role/ci/ecr-plan", SESSION));
        assert!(!is_same("arn:aws-cn:iam::222233334444:role/ecr-plan", SESSION));
        assert!(!is_same("arn:aws-cn:iam::111122223333:role/ecr-apply", SESSION));
        let user = "arn:aws:iam::111122223333:user/ci";
        assert_eq!(principal(user).as_deref(), Some(user));
        assert!(is_same(user, user));
        for nobody in ["account/111122223333", "arn:aws:iam::111122223333:root", ""] {
            assert_eq!(principal(nobody), None, "{nobody}");
        }
    }

    fn documents(region: &str, patterns: &[&str], tag: &str) -> Vec<IamPolicy> {
        let registry = RegistryId::new("111122223333", region);
        let repositories: Vec<Pattern> = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
        let scope = Scope { registry: &registry, repositories: &repositories, opt_in_tag: tag };
        Role::ALL.into_iter().map(|role| policy(role, scope)).collect()
    }

    fn actions(policy: &IamPolicy, effect: &str) -> Vec<String> {
        let statements = policy.document["Statement"].as_array().unwrap().iter();
        let of = statements.filter(|statement| statement["Effect"] == effect);
        let actions = of.flat_map(|statement| match &statement["Action"] {
            Value::String(one) => vec![one.clone()],
            many => serde_json::from_value(many.clone()).unwrap(),
        });
        let mut actions: Vec<String> = actions.collect();
        actions.sort();
        actions
    }

    #[test]
    fn each_role_may_do_what_its_part_calls_and_none_may_delete_a_repository() {
        let policies = documents("us-east-1", &["app"], "");
        let reads = [
            "ecr:BatchGetImage",
            "ecr:DescribeImages",
            "ecr:DescribePullThroughCacheRules",
            "ecr:DescribeRegistry",
            "ecr:DescribeRepositories",
            "ecr:GetLifecyclePolicy",
            "ecr:ListImageReferrers",
            "ecr:ListImages",
            "ecr:ListPullTimeUpdateExclusions",
            "ecr:ListTagsForResource",
        ];
        let with = |more: &[&str]| {
            let mut all: Vec<String> = reads.iter().chain(more).map(|action| (*action).to_owned()).collect();
            all.sort();
            all
        };
        assert_eq!(actions(&policies[0], "Allow"), reads);
        assert_eq!(actions(&policies[1], "Allow"), with(&CHANGES));
        assert_eq!(actions(&policies[2], "Allow"), with(&PREVIEWS));
        for policy in &policies {
            assert_eq!(actions(policy, "Deny"), ["ecr:DeleteRepository"]);
        }
    }

    #[test]
    fn changes_are_for_the_named_repositories_alone_and_where_they_opted_in() {
        let policies = documents("cn-north-1", &["team/*", "app", "app"], "kubeguard/clean");
        let changes = policies[1].document["Statement"].as_array().unwrap().iter();
        let changes = changes.clone().find(|statement| statement["Sid"] == "CarryOutPlans").unwrap();
        assert_eq!(
            changes["Resource"],
            json!([
                "arn:aws-cn:ecr:cn-north-1:111122223333:repository/app",
                "arn:aws-cn:ecr:cn-north-1:111122223333:repository/team/*"
            ])
        );
        assert_eq!(changes["Condition"], json!({"StringEquals": {"aws:ResourceTag/kubeguard/clean": "true"}}));
        assert!(documents("us-east-1", &["app"], "")[1].document.to_string().find("Condition").is_none());
    }
}
