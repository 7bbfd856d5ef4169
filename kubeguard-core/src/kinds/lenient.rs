//! Reading what people and controllers really write: a part of the wrong shape is left out, the rest is read.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

/// More wrong parts than this are not worth looking at one by one: the object is read as empty.
const MOST_PARTS: usize = 64;

/// Reads a kind from JSON, and returns the paths of parts that had the wrong shape and were left out.
///
/// Text of digits counts as a number, a boolean as its text where text is wanted; `null` is absent.
#[must_use]
pub fn read<T: DeserializeOwned + Default>(mut value: Value) -> (T, Vec<String>) {
    drop_nulls(&mut value);
    let mut malformed = Vec::new();
    for _ in 0..MOST_PARTS {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(read) => return (read, malformed),
            Err(error) => error,
        };
        let segments: Vec<Segment> = error.path().iter().cloned().collect();
        if let Some(path) = mend(&mut value, &segments) {
            malformed.push(path);
        } else if segments.is_empty() {
            malformed.push(".".to_owned());
            break;
        }
    }
    (T::default(), malformed)
}

/// Converts the value at the path of an error if its text says what was wanted, else takes it away.
/// Returns the path of what was taken away.
fn mend(value: &mut Value, segments: &[Segment]) -> Option<String> {
    let (last, parents) = segments.split_last()?;
    let mut parent = value;
    let mut path = String::new();
    for segment in parents {
        parent = step(parent, segment)?;
        push(&mut path, segment);
    }
    push(&mut path, last);
    let found = step(parent, last);
    if let Some(found) = found
        && let Some(converted) = convert(found)
    {
        *found = converted;
        return None;
    }
    match (parent, last) {
        (Value::Object(map), Segment::Map { key }) => drop(map.shift_remove(key)),
        (Value::Array(items), Segment::Seq { index }) if *index < items.len() => drop(items.remove(*index)),
        (parent, _) => *parent = Value::Object(serde_json::Map::new()),
    }
    Some(path)
}

fn step<'a>(value: &'a mut Value, segment: &Segment) -> Option<&'a mut Value> {
    match segment {
        Segment::Map { key } => value.get_mut(key),
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn push(path: &mut String, segment: &Segment) {
    if !path.is_empty() && !matches!(segment, Segment::Seq { .. }) {
        path.push('.');
    }
    path.push_str(&segment.to_string());
}

/// Text of digits becomes a number; a boolean becomes its text. Neither converts back, so each is tried once.
fn convert(found: &Value) -> Option<Value> {
    match found {
        Value::String(text) => text.trim().parse::<i64>().ok().map(Value::from),
        Value::Bool(flag) => Some(Value::from(if *flag { "True" } else { "False" })),
        _ => None,
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{Deployment, Pod, condition};
    use super::*;

    #[test]
    fn parts_of_the_wrong_shape_are_left_out_and_named() {
        let (web, malformed) = read::<Deployment>(json!({
            "metadata": {"name": "web", "generation": "7"},
            "status": {"replicas": "3", "readyReplicas": "many", "conditions": ["text", null, {"type": "Available", "status": true}]},
        }));
        let status = web.status.unwrap();
        assert_eq!((web.metadata.generation, status.replicas, status.ready_replicas), (Some(7), 3, 0));
        assert_eq!(condition(&status.conditions, "Available").unwrap().status, "True");
        assert_eq!(malformed, ["status.readyReplicas", "status.conditions[0]", "status.conditions[0]"]);
    }

    #[test]
    fn a_status_that_is_no_map_is_left_out() {
        let (pod, malformed) = read::<Pod>(json!({"metadata": {"name": "a"}, "status": "fine"}));
        assert_eq!((pod.status, malformed), (None, vec!["status".to_owned()]));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z0-9-]{0,8}".prop_map(Value::from),
        ];
        let keys = prop_oneof![
            Just("status"),
            Just("conditions"),
            Just("metadata"),
            Just("spec"),
            Just("replicas"),
            Just("type"),
            Just("containerStatuses"),
            Just("state"),
            Just("waiting")
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(keys.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_is_too_strange_to_read(value in any_json()) {
            let _ = read::<Deployment>(value.clone());
            let _ = read::<Pod>(value);
        }
    }
}
