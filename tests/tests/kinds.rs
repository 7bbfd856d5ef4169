//! Every kind that is read from protobuf against upstream's own types: JSON gives the same object.

use kubeguard_core::audit::kinds as audited;
use kubeguard_core::gather::resource::Resource;
use kubeguard_core::kinds::{
    ControllerRevision, DaemonSet, Deployment, EndpointSlice, Event, Job, Kind, Namespace, Node, PersistentVolumeClaim,
    Pod, ReplicaSet, Service, StatefulSet, StorageClass, protobuf, read,
};
use kubeguard_testkit::Oracle;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Objects per kind; every optional field is filled in many of them.
const OBJECTS: u64 = 60;

#[test]
fn json_and_protobuf_of_upstreams_types_are_read_as_the_same_object() {
    let oracle = Oracle::start();
    same::<ControllerRevision>(&oracle);
    same::<DaemonSet>(&oracle);
    same::<Deployment>(&oracle);
    same::<EndpointSlice>(&oracle);
    same::<Event>(&oracle);
    same::<Job>(&oracle);
    same::<Namespace>(&oracle);
    same::<Node>(&oracle);
    same::<PersistentVolumeClaim>(&oracle);
    same::<Pod>(&oracle);
    same::<ReplicaSet>(&oracle);
    same::<Service>(&oracle);
    same::<StatefulSet>(&oracle);
    same::<StorageClass>(&oracle);
}

#[test]
fn the_kinds_that_audits_read_are_the_same_from_json_and_protobuf() {
    let oracle = Oracle::start();
    same::<audited::CronJob>(&oracle);
    same::<audited::DaemonSet>(&oracle);
    same::<audited::Deployment>(&oracle);
    same::<audited::EndpointSlice>(&oracle);
    same::<audited::Event>(&oracle);
    same::<audited::HorizontalPodAutoscaler>(&oracle);
    same::<audited::Ingress>(&oracle);
    same::<audited::Job>(&oracle);
    same::<audited::LimitRange>(&oracle);
    same::<audited::MutatingWebhookConfiguration>(&oracle);
    same::<audited::Namespace>(&oracle);
    same::<audited::Node>(&oracle);
    same::<audited::Pod>(&oracle);
    same::<audited::PodDisruptionBudget>(&oracle);
    same::<audited::PodTemplate>(&oracle);
    same::<audited::ReplicaSet>(&oracle);
    same::<audited::ReplicationController>(&oracle);
    same::<audited::Service>(&oracle);
    same::<audited::StatefulSet>(&oracle);
    same::<audited::ValidatingWebhookConfiguration>(&oracle);
}

fn same<T: Kind + prost::Message + Default + PartialEq + Serialize + DeserializeOwned>(oracle: &Oracle) {
    let resource = Resource::of::<T>();
    for seed in 0..OBJECTS {
        let encoded = oracle.random(&resource.api_version(), T::KIND, seed);
        let (from_json, malformed) = read::<T>(encoded.json);
        assert_eq!(malformed, Vec::<String>::new(), "{} {seed}", T::KIND);
        let from_protobuf: T = protobuf::item(encoded.protobuf.into()).expect("upstream's protobuf");
        assert_same(&from_json, &from_protobuf, seed);
        // Written and read again it is still the same: recordings and snapshots keep what was declared.
        let written = serde_json::to_value(&from_protobuf).expect("JSON");
        assert_same(&read::<T>(written).0, &from_protobuf, seed);
    }
}

/// Names the first field that differs: the whole objects are long.
fn assert_same<T: Kind + PartialEq + Serialize>(left: &T, right: &T, seed: u64) {
    if left != right {
        let (left, right) = (serde_json::to_value(left).expect("JSON"), serde_json::to_value(right).expect("JSON"));
        let found = difference("", &left, &right).unwrap_or_else(|| "a field that JSON leaves out".to_owned());
        panic!("{} {seed}: {found}", T::KIND);
    }
}

fn difference(path: &str, left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => left.keys().chain(right.keys()).find_map(|key| {
            difference(
                &format!("{path}.{key}"),
                left.get(key).unwrap_or(&Value::Null),
                right.get(key).unwrap_or(&Value::Null),
            )
        }),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(index, (left, right))| difference(&format!("{path}[{index}]"), left, right)),
        _ => (left != right).then(|| format!("{path}: {left} from JSON, {right} from protobuf")),
    }
}
