//! Suggestions as patches.

use serde_json::{Map, Value, json};

use super::numbers::Numbers;
use super::{ContainerSuggestion, Field, ProbeSuggestion};
use crate::audit::facts::Carrier;
use crate::audit::kinds::{Container, PodSpec, Probe, ProbeHandler};
use crate::pods::{Class, members};

/// Returns a handler as it is written: one key, and what the API fills in left out.
fn handler(handler: &ProbeHandler) -> Map<String, Value> {
    let written = serde_json::to_value(handler).unwrap_or_default();
    let Value::Object(mut written) = pruned(written) else { return Map::new() };
    if let Some(Value::Object(get)) = written.get_mut("httpGet")
        && get.get("scheme").is_some_and(|scheme| scheme == "HTTP")
    {
        get.remove("scheme");
    }
    written
}

/// Takes out what is empty.
fn pruned(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().map(|(name, value)| (name, pruned(value))).filter(|(_, value)| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            });
            Value::Object(kept.collect())
        }
        other => other,
    }
}

/// Returns the fields of a probe that replaces another: what the other has and this has not is null.
pub(super) fn fields(before: Option<&Probe>, after: &Probe, remark: &str, numbers: &Numbers) -> Vec<Field> {
    let (old, mut new) = (before.map(|probe| handler(&probe.handler)).unwrap_or_default(), handler(&after.handler));
    let mut fields = Vec::new();
    for (kind, value) in &mut new {
        if let (Some(Value::Object(old)), Value::Object(new)) = (old.get(kind), value) {
            for name in old.keys() {
                new.entry(name.clone()).or_insert(Value::Null);
            }
        }
    }
    fields.extend(new.iter().map(|(kind, value)| Field::new(kind, value.clone(), remark)));
    fields.extend(
        old.keys().filter(|kind| !new.contains_key(*kind)).map(|kind| Field::new(kind, Value::Null, "replaced")),
    );
    if before.is_some_and(|before| before.initial_delay_seconds != 0) {
        fields.push(Field::new("initialDelaySeconds", 0, numbers.delay.clone()));
    }
    fields.push(Field::new("periodSeconds", numbers.period.0, numbers.period.1.clone()));
    fields.push(Field::new("timeoutSeconds", numbers.timeout.0, numbers.timeout.1.clone()));
    fields.push(Field::new("failureThreshold", numbers.failure.0, numbers.failure.1.clone()));
    if before.is_some_and(|before| !matches!(before.success_threshold, 0 | 1)) {
        fields.push(Field::new("successThreshold", 1, "one success is enough"));
    }
    match (&numbers.grace, before.and_then(|before| before.termination_grace_period_seconds)) {
        (Some((grace, reason)), _) => fields.push(Field::new("terminationGracePeriodSeconds", *grace, reason.clone())),
        (None, Some(_)) => fields.push(Field::new("terminationGracePeriodSeconds", Value::Null, "the pod's is enough")),
        (None, None) => {}
    }
    fields
}

/// Returns the value of a probe in a merge patch.
fn merged(suggestion: &ProbeSuggestion) -> Value {
    if suggestion.fields.is_empty() {
        return Value::Null;
    }
    Value::Object(suggestion.fields.iter().map(|field| (field.name.clone(), field.value.clone())).collect())
}

/// Returns a whole probe, as it will be.
fn whole(container: &Container, probe: &str) -> Value {
    let raw = match probe {
        "liveness" => &container.liveness_probe,
        "readiness" => &container.readiness_probe,
        _ => &container.startup_probe,
    };
    let Some(raw) = raw else { return Value::Null };
    let mut all = handler(&raw.handler);
    let mut number = |name: &str, value: i64, default: i64| {
        if value != default {
            all.insert(name.to_owned(), json!(value));
        }
    };
    number("initialDelaySeconds", raw.initial_delay_seconds.into(), 0);
    number("periodSeconds", raw.period_seconds.into(), 0);
    number("timeoutSeconds", raw.timeout_seconds.into(), 0);
    number("failureThreshold", raw.failure_threshold.into(), 0);
    if let Some(grace) = raw.termination_grace_period_seconds {
        all.insert("terminationGracePeriodSeconds".to_owned(), json!(grace));
    }
    Value::Object(all)
}

/// Returns a strategic merge patch and one of RFC 6902; nothing where nothing is suggested.
pub(super) fn of(
    carrier: &Carrier<'_>,
    spec: &PodSpec,
    fields: &[Field],
    containers: &[ContainerSuggestion],
) -> (Value, Vec<Value>) {
    if containers.is_empty() {
        return (Value::Null, Vec::new());
    }
    let (mut regular, mut init, mut operations) = (Vec::new(), Vec::new(), Vec::new());
    for suggested in containers {
        let mut patch = Map::from_iter([("name".to_owned(), json!(suggested.container))]);
        let class = if suggested.native { Class::NativeSidecar } else { Class::Regular };
        let member = members(spec).find(|member| member.class == class && member.container.name == suggested.container);
        for probe in &suggested.probes {
            let name = format!("{}Probe", probe.probe);
            patch.insert(name.clone(), merged(probe));
            let Some(member) = member else { continue };
            let at = format!("{}{}/{name}", carrier.path, member.path());
            operations.push(match whole(member.container, probe.probe) {
                Value::Null => json!({"op": "remove", "path": at}),
                value => json!({"op": "add", "path": at, "value": value}),
            });
        }
        if suggested.native { init.push(Value::Object(patch)) } else { regular.push(Value::Object(patch)) }
    }
    let mut pod = Map::new();
    for (name, list) in [("initContainers", init), ("containers", regular)] {
        if !list.is_empty() {
            pod.insert(name.to_owned(), Value::Array(list));
        }
    }
    let mut patch = json!({ "spec": pod });
    for part in carrier.path.rsplit('/').filter(|part| !part.is_empty()) {
        patch = json!({ part: patch });
    }
    for field in fields {
        if let Some(Value::Object(spec)) = patch.get_mut("spec") {
            spec.insert(field.name.clone(), field.value.clone());
        }
        operations.push(json!({"op": "add", "path": format!("/spec/{}", field.name), "value": field.value}));
    }
    (patch, operations)
}
