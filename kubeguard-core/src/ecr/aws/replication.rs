//! Replication rules from the answer as it came: the SDK's own type has no field that tells whether deletions are
//! copied too.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ecr::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_ecr::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecr::error::BoxError;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ecr::registry::Replication;
use crate::ecr::snapshot::ReplicationRule;
use crate::images::RegistryId;

/// Keeps the body of an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Body(Arc<Mutex<Option<Bytes>>>);

impl Body {
    pub(super) fn take(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Body {
    fn name(&self) -> &'static str {
        "Body"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().map(Bytes::copy_from_slice);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registry {
    registry_id: String,
    #[serde(default)]
    replication_configuration: Option<Configuration>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    rules: Option<Vec<Rule>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    destinations: Vec<Destination>,
    #[serde(default)]
    repository_filters: Option<Vec<Filter>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    region: String,
    registry_id: String,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    filter: String,
    filter_type: String,
}

/// Reads the answer of `DescribeRegistry`.
///
/// A setting that is not known here and is not plainly off counts as one that copies deletions. A filter of an unknown
/// type counts as none: the rule is then for every repository.
///
/// # Errors
/// Why the answer is not what the API promises.
pub(super) fn read(body: &[u8]) -> Result<Replication, String> {
    let registry: Registry = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut rules = Vec::new();
    if let Some(configuration) = registry.replication_configuration {
        for rule in configuration.rules.unwrap_or_default() {
            let filters = rule.repository_filters.unwrap_or_default();
            let known = filters.iter().all(|filter| filter.filter_type == "PREFIX_MATCH");
            let mut prefixes: Vec<String> = filters.into_iter().map(|filter| filter.filter).collect();
            if !known {
                prefixes.clear();
            }
            for destination in rule.destinations {
                let others = [&configuration.others, &rule.others, &destination.others];
                rules.push(ReplicationRule {
                    destination: RegistryId::new(&destination.registry_id, &destination.region),
                    prefixes: prefixes.clone(),
                    deletes: others.into_iter().flat_map(Map::values).any(|value| !is_off(value)),
                });
            }
        }
    }
    Ok(Replication { account: registry.registry_id, rules })
}

/// Whether a value says nothing, or no.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.iter().all(is_off),
        Value::Object(fields) => fields.values().all(is_off),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(rule: &Value) -> Vec<ReplicationRule> {
        let mut rule = rule.clone();
        rule["destinations"] = json!([{"region": "eu-west-1", "registryId": "111122223333"}]);
        let body = json!({"registryId": "111122223333", "replicationConfiguration": {"rules": [rule]}});
        read(body.to_string().as_bytes()).unwrap().rules
    }

    #[test]
    fn the_delete_flag_is_read_and_what_is_unknown_counts_as_one() {
        for (rule, deletes) in [
            (json!({}), false),
            (json!({"deleteReplication": {"enabled": false}}), false),
            (json!({"deleteReplication": null, "later": {"mode": "", "of": []}}), false),
            (json!({"deleteReplication": {"enabled": true}}), true),
            (json!({"deleteReplication": {"mode": "ALL"}}), true),
            (json!({"mirrorExpiry": true}), true),
            (json!({"delaySeconds": 0}), true),
        ] {
            assert_eq!(answer(&rule)[0].deletes, deletes, "{rule}");
        }
    }

    #[test]
    fn unknown_settings_beside_the_rules_and_of_a_destination_count_too() {
        let destination = json!({"region": "eu-west-1", "registryId": "1"});
        let mut other = destination.clone();
        other["withDeletes"] = json!(true);
        let body =
            json!({"registryId": "1", "replicationConfiguration": {"rules": [{"destinations": [destination, other]}]}});
        let rules = read(body.to_string().as_bytes()).unwrap().rules;
        assert_eq!(rules.iter().map(|rule| rule.deletes).collect::<Vec<_>>(), [false, true]);

        let mut body = body;
        body["replicationConfiguration"]["deletes"] = json!("on");
        assert!(read(body.to_string().as_bytes()).unwrap().rules.iter().all(|rule| rule.deletes));
    }

    #[test]
    fn prefixes_narrow_a_rule_and_an_unknown_filter_does_not() {
        let filters = |kind: &str| json!({"repositoryFilters": [{"filter": "app", "filterType": kind}]});
        assert_eq!(answer(&filters("PREFIX_MATCH"))[0].prefixes, ["app"]);
        assert!(answer(&filters("GLOB"))[0].prefixes.is_empty());
    }

    #[test]
    fn an_answer_that_names_no_account_or_destination_is_none() {
        for body in [json!({}), json!({"registryId": "1", "replicationConfiguration": {"rules": [{}]}}), json!([])] {
            assert!(read(body.to_string().as_bytes()).is_err(), "{body}");
        }
        assert!(read(br#"{"registryId": "1"}"#).unwrap().rules.is_empty());
    }
}
