//! Pods of a workload: which are of its newest revision, and how long they take to be ready.

use jiff::SignedDuration;

use super::{Carried, Facts, Object, Of, Pod, Template};
use crate::audit::kinds::{Deployment, LimitRangeSpec, PodSpec, ReplicaSet};
use crate::audit::needs::Fact;
use crate::scheduling::{EffectivePod, effective_resources};

/// Label that tells the replica sets of a deployment apart.
const HASH: &str = "pod-template-hash";
/// Label that tells the revisions of stateful sets and daemon sets apart.
const REVISION: &str = "controller-revision-hash";
/// Fewer pods than these say nothing of the next one.
const ENOUGH: usize = 3;

/// How long pods take from their creation to being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyAfter {
    /// The median of pods, or what the probes make sure of.
    pub time: SignedDuration,
    /// Of so many pods; 0 where too few say anything.
    pub pods: usize,
}

impl Facts {
    /// Returns the pods that an object controls, by itself or by what it makes.
    #[must_use]
    pub fn all_pods_of(&self, object: &dyn Object) -> Vec<&Pod> {
        let mut pods: Vec<&Pod> = self.pods_of(object).collect();
        for made in self.owned_by(object).filter(|made| made.fact() != Fact::Pod) {
            pods.extend(self.pods_of(made));
        }
        pods
    }

    /// Returns the replica set that a deployment's template has now: the oldest whose template is equal without its
    /// hash. None where there is none yet, or they were read without their templates.
    #[must_use]
    pub fn newest_replica_set(&self, deployment: &Of<Deployment>) -> Option<&Of<ReplicaSet>> {
        let wanted = deployment.template.as_ref()?;
        let made: Vec<&dyn Object> = self.owned_by(deployment).collect();
        let sets = self.tables.replica_sets.iter().filter(|set| {
            let owned = made.iter().any(|made| made.meta().uid == set.meta.uid && made.meta().name == set.meta.name);
            owned && set.template.as_ref().is_some_and(|template| same(template, wanted))
        });
        sets.min_by_key(|set| (set.meta.created, set.meta.name.clone()))
    }

    /// Returns the value of the label that pods of the newest revision of a workload have.
    ///
    /// Of a deployment that of the replica set with its template; of a stateful set its update revision; of a daemon set
    /// that of the controller revision with the highest number. None where that is not known.
    #[must_use]
    pub fn newest_revision(&self, object: &dyn Object) -> Option<(&'static str, String)> {
        let meta = object.meta();
        let place = |of: &super::Meta| (of.namespace.clone(), of.name.clone());
        let is = |of: &super::Meta| place(of) == place(meta);
        match object.fact() {
            Fact::Deployment => {
                let deployment = self.tables.deployments.iter().find(|of| is(&of.meta))?;
                let hash = self.newest_replica_set(deployment)?.meta.labels.get(HASH)?;
                Some((HASH, hash.to_owned()))
            }
            Fact::StatefulSet => {
                let status = self.tables.stateful_sets.iter().find(|of| is(&of.meta))?.status.as_ref()?;
                let known = !status.update_revision.is_empty();
                known.then(|| (REVISION, status.update_revision.clone()))
            }
            Fact::DaemonSet => {
                let own = |owner: &super::Owner| match (owner.uid.is_empty(), meta.uid.is_empty()) {
                    (false, false) => owner.uid == meta.uid,
                    _ => owner.kind == "DaemonSet" && owner.name == meta.name,
                };
                let revisions = self.tables.revisions.iter().filter(|revision| {
                    revision.meta.namespace == meta.namespace && revision.meta.owner.as_deref().is_some_and(own)
                });
                let newest = revisions.max_by_key(|revision| revision.revision)?;
                Some((REVISION, newest.meta.labels.get(REVISION)?.to_owned()))
            }
            _ => None,
        }
    }

    /// Returns the pods of a workload that are of its newest revision; none where that is not known.
    #[must_use]
    pub fn newest_pods_of(&self, object: &dyn Object) -> Option<Vec<&Pod>> {
        let (label, value) = self.newest_revision(object)?;
        let mut pods = self.all_pods_of(object);
        pods.retain(|pod| pod.meta.labels.get(label) == Some(&value));
        Some(pods)
    }

    /// Returns how long a workload's pods take from creation to being ready: the median over those that are ready and
    /// never started a container again; of fewer than three the larger initial delay of the readiness and startup probes
    /// of its serving containers, and at least a second.
    #[must_use]
    pub fn ready_after(&self, object: &dyn Object) -> ReadyAfter {
        let mut times: Vec<SignedDuration> = self.all_pods_of(object).into_iter().filter_map(took).collect();
        if times.len() >= ENOUGH {
            times.sort_unstable();
            let time = times.get(times.len() / 2).copied().unwrap_or_default();
            return ReadyAfter { time, pods: times.len() };
        }
        let delay = object.carried().map_or(0, |carried| initial_delay(carried.spec));
        ReadyAfter { time: SignedDuration::from_secs(i64::from(delay.max(1))), pods: 0 }
    }

    /// Returns what the limits of a namespace are, by their names.
    pub fn limits_of(&self, namespace: &str) -> impl Iterator<Item = &LimitRangeSpec> {
        let ranges = self.tables.limit_ranges.iter().filter(move |range| range.meta.namespace == *namespace);
        ranges.filter_map(|range| range.spec.as_ref())
    }

    /// Returns the resources of a pod or of a template's pods. A pod has what the server gave it; a template has what its
    /// namespace fills in.
    #[must_use]
    pub fn effective(&self, object: &dyn Object) -> Option<EffectivePod> {
        let Carried { spec, path, .. } = object.carried()?;
        if path.is_empty() {
            return Some(effective_resources(spec, []));
        }
        Some(effective_resources(spec, self.limits_of(&object.meta().namespace)))
    }
}

/// Returns whether a replica set's template is a deployment's, without the label that tells revisions apart.
fn same(of_set: &Template, wanted: &Template) -> bool {
    let labels = of_set.labels.iter().filter(|(key, _)| *key != HASH);
    let equal = labels.eq(wanted.labels.iter().filter(|(key, _)| *key != HASH));
    equal && of_set.annotations == wanted.annotations && of_set.spec == wanted.spec
}

/// Returns how long a pod took, if it is ready and was never started again.
fn took(pod: &Pod) -> Option<SignedDuration> {
    let status = pod.status.as_ref()?;
    let ready = status.condition("Ready").filter(|ready| ready.is_true())?;
    let fresh = status.containers.iter().chain(&status.init).all(|container| container.restarts == 0);
    let took = ready.at?.duration_since(pod.meta.created?);
    (fresh && !took.is_negative()).then_some(took)
}

fn initial_delay(spec: &PodSpec) -> i32 {
    let serving = crate::pods::members(spec).filter(crate::pods::Member::is_gating);
    let probes = serving.flat_map(|member| [&member.container.readiness_probe, &member.container.startup_probe]);
    probes.flatten().map(|probe| probe.initial_delay_seconds).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::audit::{Builder, Origin};

    fn facts(objects: Vec<Value>) -> Facts {
        let mut builder = Builder::new(Origin::Live);
        for object in objects {
            builder.add(object);
        }
        builder.finish()
    }

    fn template(image: &str, hash: Option<&str>) -> Value {
        let mut labels = json!({"app": "web"});
        if let Some(hash) = hash {
            labels["pod-template-hash"] = hash.into();
        }
        let probe = json!({"initialDelaySeconds": 7, "tcpSocket": {"port": 80}});
        json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image, "readinessProbe": probe}]}})
    }

    fn owned(kind: &str, name: &str, uid: &str) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}])
    }

    fn set(name: &str, image: &str, hash: &str, created: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "namespace": "t", "uid": name,
            "labels": {"pod-template-hash": hash}, "creationTimestamp": created, "ownerReferences": owned("Deployment", "web", "d")},
            "spec": {"template": template(image, Some(hash))}})
    }

    fn pod(name: &str, set: &str, hash: &str, seconds: u32, restarts: u32) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "t", "uid": name,
            "labels": {"pod-template-hash": hash}, "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": owned("ReplicaSet", set, set)},
            "spec": {"containers": [{"name": "app"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": format!("2026-01-01T00:00:{seconds:02}Z")}],
                "containerStatuses": [{"name": "app", "restartCount": restarts}]}})
    }

    fn deployment() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "t", "uid": "d"},
            "spec": {"template": template("web:2", None)}})
    }

    #[test]
    fn the_newest_revision_is_the_one_with_the_template_whatever_its_name_or_age() {
        let facts = facts(vec![
            deployment(),
            set("web-zzz", "web:1", "zzz", "2026-03-01T00:00:00Z"),
            set("web-aaa", "web:2", "aaa", "2026-01-01T00:00:00Z"),
            pod("p1", "web-zzz", "zzz", 5, 0),
            pod("p2", "web-aaa", "aaa", 5, 0),
        ]);
        let web = &facts.deployments()[0];
        assert_eq!(facts.newest_replica_set(web).map(|set| &*set.meta.name), Some("web-aaa"));
        assert_eq!(facts.newest_pods_of(web).map(|pods| pods.len()), Some(1));
        assert_eq!(facts.all_pods_of(web).len(), 2);
    }

    #[test]
    fn the_median_is_of_pods_that_never_started_again() {
        let mut objects = vec![deployment(), set("web-a", "web:2", "a", "2026-01-01T00:00:00Z")];
        objects.extend([("p1", 4, 0), ("p2", 6, 0), ("p3", 50, 3)].map(|(name, s, r)| pod(name, "web-a", "a", s, r)));
        let few = facts(objects.clone());
        let told = few.ready_after(&few.deployments()[0]);
        assert_eq!((told.time.as_secs(), told.pods), (7, 0), "two pods are too few: the probe's delay");
        objects.push(pod("p4", "web-a", "a", 9, 0));
        let enough = facts(objects);
        let told = enough.ready_after(&enough.deployments()[0]);
        assert_eq!((told.time.as_secs(), told.pods), (6, 3));
    }

    #[test]
    fn the_newest_revision_of_a_daemon_set_has_the_highest_number() {
        let revision = |name: &str, number: u32| {
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": number,
                "metadata": {"name": name, "namespace": "t", "labels": {"controller-revision-hash": name},
                    "ownerReferences": owned("DaemonSet", "log", "ds")}})
        };
        let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "log", "namespace": "t", "uid": "ds"},
            "spec": {"template": template("log:1", None)}});
        let facts = facts(vec![set, revision("a", 3), revision("b", 2)]);
        let found = facts.newest_revision(&facts.daemon_sets()[0]);
        assert_eq!(found, Some(("controller-revision-hash", "a".to_owned())));
    }

    #[test]
    fn a_template_has_what_its_namespace_fills_in_and_a_pod_what_it_has() {
        let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "namespace": "t"},
            "spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "100m"}}]}});
        let facts = facts(vec![deployment(), range, pod("p1", "web-a", "a", 4, 0)]);
        let cpu = |object: &dyn Object| facts.effective(object).map(|pod| crate::scheduling::pod_request(&pod).cpu());
        assert_eq!((cpu(&facts.deployments()[0]), cpu(&facts.pods()[0])), (Some(100), Some(0)));
    }
}
