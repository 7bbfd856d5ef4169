//! Pods as the kubelet sees them: classes of containers, restarts, what is done, who is main and who is sidecar.

mod roles;
mod sidecars;

pub use roles::{Criticality, Role, RoleHit, RoleOf, View, criticality, roles};
pub(crate) use sidecars::glob_matches;
pub use sidecars::{Enable, Exit, Injected, Native, OptOut, Quit, Sidecar, SidecarTable, Switch, TableError};

use crate::audit::facts::ContainerStatus;
use crate::audit::kinds::{Container, PodSpec};
use crate::kinds::Quantity;

/// What a container is to its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// One of `spec.containers`.
    Regular,
    /// An init container with restart policy `Always`: it runs as long as the pod.
    NativeSidecar,
    /// Any other init container: it ends before the next one starts.
    Init,
    /// Added to a running pod; counts for nothing.
    Ephemeral,
}

/// A container with its class and place.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// What it is to its pod.
    pub class: Class,
    /// Its index in its list.
    pub index: usize,
    /// The container.
    pub container: &'a Container,
}

impl Member<'_> {
    /// Returns its JSON pointer in a pod's or template's metadata and spec, as in `/spec/containers/0`.
    #[must_use]
    pub fn path(&self) -> String {
        let list = if self.class == Class::Regular { "containers" } else { "initContainers" };
        format!("/spec/{list}/{}", self.index)
    }

    /// Returns whether the pod is unready while it is not ready: regular containers and native sidecars.
    #[must_use]
    pub fn is_gating(&self) -> bool {
        matches!(self.class, Class::Regular | Class::NativeSidecar)
    }
}

/// Returns the containers of a pod: regular ones, then native sidecars and init containers in their order.
pub fn members(spec: &PodSpec) -> impl Iterator<Item = Member<'_>> {
    let regular =
        spec.containers.iter().enumerate().map(|(index, container)| Member { class: Class::Regular, index, container });
    let init = spec.init_containers.iter().enumerate().map(|(index, container)| Member {
        class: if container.restart_policy == "Always" { Class::NativeSidecar } else { Class::Init },
        index,
        container,
    });
    regular.chain(init)
}

/// Returns whether the kubelet would start a container again after an exit code.
///
/// A native sidecar always; else the first rule of the container that matches the code; else its own policy, else the
/// pod's.
#[must_use]
pub fn restarts(member: Member<'_>, spec: &PodSpec, exit_code: i32) -> bool {
    if member.class == Class::NativeSidecar {
        return true;
    }
    let container = member.container;
    let matching = container.restart_policy_rules.iter().find(|rule| {
        rule.exit_codes.as_ref().is_some_and(|codes| match codes.operator.as_str() {
            "In" => codes.values.contains(&exit_code),
            "NotIn" => !codes.values.contains(&exit_code),
            _ => false,
        })
    });
    if let Some(rule) = matching {
        return matches!(rule.action.as_str(), "Restart" | "RestartAllContainers");
    }
    let own = container.restart_policy.as_str();
    match if own.is_empty() { spec.restart_policy.as_str() } else { own } {
        "OnFailure" => exit_code != 0,
        "Never" => false,
        _ => true,
    }
}

/// Returns whether a container has ended and is not started again; one that waits in back-off has not.
#[must_use]
pub fn done(member: Member<'_>, spec: &PodSpec, status: &ContainerStatus) -> bool {
    status.terminated().is_some_and(|ended| !restarts(member, spec, ended.exit_code))
}

/// Returns what the scheduler counts for a pod of one resource, in billionths of its unit.
///
/// The larger of what runs at the same time after start-up and what each init container needs beside the native
/// sidecars before it; a request of the whole pod replaces both; overhead comes on top. Source:
/// `k8s.io/component-helpers/resource`, `PodRequests`.
#[must_use]
pub fn request(spec: &PodSpec, resource: &str) -> i128 {
    let of = |container: &Container| {
        let requests = container.resources.as_ref().map(|resources| &resources.requests);
        requests.and_then(|requests| requests.get(resource)).and_then(Quantity::nanos).unwrap_or(0)
    };
    let (mut sidecars, mut init) = (0_i128, 0_i128);
    for container in &spec.init_containers {
        let own = of(container);
        if container.restart_policy == "Always" {
            sidecars += own;
            init = init.max(sidecars);
        } else {
            init = init.max(sidecars + own);
        }
    }
    let running: i128 = spec.containers.iter().map(of).sum::<i128>() + sidecars;
    let whole = spec.resources.as_ref().and_then(|resources| resources.requests.get(resource));
    let needed = whole.and_then(Quantity::nanos).unwrap_or_else(|| running.max(init));
    needed + spec.overhead.get(resource).and_then(Quantity::nanos).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: serde_json::Value) -> PodSpec {
        crate::kinds::read(value).0
    }

    #[test]
    fn the_policy_of_a_container_its_rules_and_the_pods_decide_in_this_order() {
        let spec = spec(json!({
            "restartPolicy": "OnFailure",
            "containers": [
                {"name": "plain"},
                {"name": "never", "restartPolicy": "Never"},
                {"name": "ruled", "restartPolicy": "Never", "restartPolicyRules": [
                    {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]},
            ],
            "initContainers": [{"name": "native", "restartPolicy": "Always"}, {"name": "init"}],
        }));
        let all: Vec<Member<'_>> = members(&spec).collect();
        let again =
            |name: &str, code: i32| restarts(*all.iter().find(|m| m.container.name == name).unwrap(), &spec, code);
        assert!(!again("plain", 0) && again("plain", 1));
        assert!(!again("never", 1));
        assert!(again("ruled", 42) && !again("ruled", 1));
        assert!(again("native", 0) && again("init", 1));
    }

    #[test]
    fn a_pod_requests_the_larger_of_start_up_and_run_time() {
        let spec = spec(json!({
            "overhead": {"cpu": "100m"},
            "containers": [{"resources": {"requests": {"cpu": "500m"}}}, {"resources": {"requests": {"cpu": "500m"}}}],
            "initContainers": [
                {"restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}}},
                {"resources": {"requests": {"cpu": "2"}}},
            ],
        }));
        assert_eq!(request(&spec, "cpu"), 2_300_000_000);
        assert_eq!(request(&spec, "memory"), 0);
    }
}
