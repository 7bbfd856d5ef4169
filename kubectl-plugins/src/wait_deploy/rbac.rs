//! The least Role for a wait, printed as YAML.

use std::collections::BTreeMap;

use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::record::Target;
use kubeguard_core::wait::{Need, needs};

/// Returns a Role per namespace and a `ClusterRole` for what is asked everywhere.
pub(super) fn manifests(targets: &[Target], policy: &Policy) -> String {
    // What is asked everywhere comes last: most waits can do without it.
    let mut places: BTreeMap<(bool, Option<String>), Vec<Need>> = BTreeMap::new();
    for need in needs(targets, policy) {
        places.entry((need.namespace.is_none(), need.namespace.clone())).or_default().push(need);
    }
    let roles = places.into_iter().map(|((_, namespace), needs)| role(namespace.as_deref(), &needs));
    roles.collect::<Vec<_>>().join("---\n")
}

fn role(namespace: Option<&str>, needs: &[Need]) -> String {
    let (kind, place) = match namespace {
        Some(namespace) => ("Role", format!(", namespace: {namespace}")),
        None => ("ClusterRole", String::new()),
    };
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {{name: wait-deploy{place}}}\nrules:\n"
    );
    for need in needs {
        let group = if need.group.is_empty() { "\"\"" } else { &need.group };
        let names =
            if need.names.is_empty() { String::new() } else { format!(", resourceNames: [{}]", need.names.join(", ")) };
        let why = if need.required { String::new() } else { format!("   # optional: {}", need.why) };
        let verbs = need.verbs.join(", ");
        text.push_str(&format!(
            "- {{apiGroups: [{group}], resources: [{}]{names}, verbs: [{verbs}]}}{why}\n",
            need.resource
        ));
    }
    text
}
