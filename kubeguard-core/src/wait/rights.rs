//! Rights that a wait needs and the caller lacks, asked of the server before the first watch.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use super::needs::{Need, needs};
use super::policy::Policy;
use super::record::Target;
use crate::access::Cluster;
use crate::error::{Error, Failure, Result};
use crate::gather::pages::Selection;

/// What a caller may do in one namespace: `SelfSubjectRulesReview.status`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rules {
    resource_rules: Vec<Rule>,
    /// The server could not tell everything.
    incomplete: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

impl Rules {
    fn allow(&self, verb: &str, need: &Need) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        self.resource_rules.iter().any(|rule| {
            let names = rule.resource_names.is_empty()
                || (!need.names.is_empty() && need.names.iter().all(|name| rule.resource_names.contains(name)));
            names
                && has(&rule.verbs, verb)
                && has(&rule.api_groups, &need.group)
                && has(&rule.resources, &need.resource)
        })
    }
}

/// Refuses to begin a wait whose level cannot be answered with the caller's rights; what costs detail only is logged.
///
/// One `SelfSubjectRulesReview` per namespace, a `SelfSubjectAccessReview` per need where that leaves a doubt. A server
/// that answers neither is believed to allow everything: the watches will tell.
///
/// # Errors
/// [`Error::Configuration`] naming verb, resource and namespace; [`Error::Api`] when the server cannot be reached.
pub async fn preflight(cluster: &Cluster, targets: &[Target], policy: &Policy) -> Result<()> {
    let own: BTreeSet<&str> = targets.iter().map(|target| target.resource.plural.as_str()).collect();
    let mut places: BTreeMap<Option<String>, Vec<Need>> = BTreeMap::new();
    // Targets themselves are judged one by one: those that may not be read are reported as not judged.
    for need in needs(targets, policy).into_iter().filter(|need| !own.contains(need.resource.as_str())) {
        places.entry(need.namespace.clone()).or_default().push(need);
    }
    let reviews = places.into_iter().map(|(namespace, needs)| lacking(cluster, namespace, needs));
    let reviews = futures::future::try_join_all(reviews).await.map_err(|failure| {
        let asked = targets
            .first()
            .map(|target| Selection::all(target.resource.clone(), target.namespace.as_deref()).doing("list"));
        cluster.failed(asked.unwrap_or_default(), failure)
    })?;
    for (need, verbs) in reviews.into_iter().flatten() {
        let place = need.namespace.as_ref().map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
        let verbs = verbs.join(" or ");
        if need.required {
            return Err(Error::Configuration {
                problem: format!(
                    "cannot {verbs} {}{place}: --until {} cannot be answered",
                    need.resource, policy.until
                ),
                hint: "--print-rbac prints the Role it needs".to_owned(),
                source: None,
            });
        }
        tracing::info!("cannot {verbs} {}{place}: less detail ({})", need.resource, need.why);
    }
    Ok(())
}

/// Returns the needs of one namespace that are not met, each with its missing verbs.
///
/// # Errors
/// When the server cannot be reached.
async fn lacking(
    cluster: &Cluster,
    namespace: Option<String>,
    needs: Vec<Need>,
) -> std::result::Result<Vec<(Need, Vec<&'static str>)>, Failure> {
    let known = match &namespace {
        None => None,
        Some(namespace) => {
            let question = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace},
            });
            let answer = cluster.ask("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &question).await;
            match answer {
                Ok(mut answer) => serde_json::from_value::<Rules>(answer["status"].take()).ok(),
                Err(failure @ (Failure::Connection(_) | Failure::TimedOut(_))) => return Err(failure),
                Err(_) => return Ok(Vec::new()),
            }
        }
    };
    let mut lacking = Vec::new();
    for need in needs {
        let mut missing = Vec::new();
        for verb in need.verbs.iter().copied() {
            let doubt = match &known {
                Some(rules) if rules.allow(verb, &need) => continue,
                Some(rules) => rules.incomplete,
                None => true,
            };
            // Detail is not worth a question each.
            let allowed = doubt && (!need.required || is_allowed(cluster, verb, &need).await);
            if !allowed {
                missing.push(verb);
            }
        }
        if !missing.is_empty() {
            lacking.push((need, missing));
        }
    }
    Ok(lacking)
}

async fn is_allowed(cluster: &Cluster, verb: &str, need: &Need) -> bool {
    let (resource, subresource) = need.resource.split_once('/').unwrap_or((&need.resource, ""));
    let attributes = json!({
        "namespace": need.namespace, "verb": verb, "group": need.group, "resource": resource, "subresource": subresource,
    });
    let question = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes},
    });
    let answer = cluster.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &question).await;
    answer.is_ok_and(|answer| answer["status"]["allowed"] != false)
}
