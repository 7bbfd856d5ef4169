//! A cluster that serves what a test puts into it.

use kubeguard_core::access::{Access, Cluster, Environment};
use kubeguard_core::audit::gather::{Gathered, Scope, live};
use kubeguard_core::audit::{Builder, Fact, Origin, Rule, needs};
use kubeguard_testkit::FakeCluster;
use serde_json::Value;

pub(crate) async fn connect(server: &FakeCluster) -> Cluster {
    let access = Access { server: Some(server.url().to_owned()), ..Access::default() };
    access.connect(&Environment::default()).await.unwrap()
}

/// Returns the collection of an object.
fn collection(object: &Value) -> Option<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let fact = Fact::of(group, text("/kind"))?;
    let resource = fact.resources().into_iter().find(|resource| resource.kind == text("/kind"))?;
    Some(resource.path(Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty())))
}

pub(crate) fn put(server: &FakeCluster, objects: &[Value]) {
    for object in objects {
        server.put(&collection(object).unwrap(), object.clone());
    }
}

pub(crate) async fn gathered(server: &FakeCluster, rules: &[&Rule], namespaces: &[&str]) -> Gathered {
    let scope = Scope { namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect() };
    live(&connect(server).await, &needs(rules.iter().copied()), &scope, Builder::new(Origin::Live)).await.unwrap()
}
