//! What stands around a pod: the template that it was made from, its owner's annotations, how long its like runs.

use jiff::{SignedDuration, Timestamp};

use super::{Carrier, Facts, Object, Of, Pod};
use crate::audit::kinds::{Job, PodSpec};
use crate::audit::needs::Fact;
use crate::audit::text::Labels;
use crate::kinds::{Time, condition};
use crate::pods::{RoleOf, SidecarTable, View, roles};

impl Facts {
    /// Returns what the owner of a pod would make today, where the pod is known to be made from exactly that.
    ///
    /// Only by uid. Of a stateful set only where the pod is of its update revision; of a daemon set, whose status names
    /// none, only where the controller says that every pod is up to date.
    #[must_use]
    pub fn made_from(&self, pod: &Pod) -> Option<&PodSpec> {
        let owner = pod.meta.owner.as_ref().filter(|owner| !owner.uid.is_empty())?;
        let found = self.owner_of(pod).filter(|found| found.meta().uid == owner.uid)?;
        let (namespace, name) = (&found.meta().namespace, &found.meta().name);
        let current = match found.fact() {
            Fact::Job | Fact::ReplicaSet | Fact::ReplicationController => true,
            Fact::StatefulSet => {
                let set = named(&self.tables.stateful_sets, namespace, name)?;
                let revision = set.status.as_ref().map(|status| status.update_revision.as_str());
                let hash = pod.meta.labels.get("controller-revision-hash");
                hash.is_some()
                    && hash == revision
                    && observed(set.meta.generation, set.status.as_ref()?.observed_generation)
            }
            Fact::DaemonSet => {
                let status = named(&self.tables.daemon_sets, namespace, name)?.status.as_ref()?;
                observed(found.meta().generation, status.observed_generation)
                    && status.desired_number_scheduled > 0
                    && status.updated_number_scheduled >= status.desired_number_scheduled
            }
            _ => false,
        };
        current.then(|| found.carried().map(|carried| carried.spec)).flatten()
    }

    /// Returns annotations around an object, the nearest first: of the objects that make it and of their templates, then
    /// of its namespace.
    #[must_use]
    pub fn around<'a>(&'a self, object: &'a dyn Object) -> Vec<&'a Labels> {
        let mut around = Vec::new();
        for link in self.chain(object) {
            let Some(object) = link.object else { continue };
            if let Some(carried) = object.carried().filter(|carried| !carried.path.is_empty()) {
                around.push(carried.annotations);
            }
            around.push(&object.meta().annotations);
        }
        around.extend(self.namespace(&object.meta().namespace).map(|namespace| &namespace.meta.annotations));
        around.retain(|labels| !labels.is_empty());
        around
    }

    /// Returns the roles of a pod's regular containers, with everything that is known around it.
    #[must_use]
    pub fn roles<'a>(&'a self, pod: &'a Pod, table: &'a SidecarTable, now: Timestamp) -> Vec<RoleOf<'a>> {
        let view = View {
            around: self.around(pod),
            made_from: self.made_from(pod),
            usual: self.usual_run(pod),
            ..View::of_pod(pod)
        };
        roles(&view, table, now)
    }

    /// Returns the roles of a template's regular containers, with everything that is known around it.
    #[must_use]
    pub fn template_roles<'a>(
        &'a self,
        carrier: &Carrier<'a>,
        table: &'a SidecarTable,
        now: Timestamp,
    ) -> Vec<RoleOf<'a>> {
        roles(&View { around: self.around(carrier.object), ..View::of(carrier) }, table, now)
    }

    /// Returns the median time of the finished, successful runs of what made a pod's job.
    #[must_use]
    pub fn usual_run(&self, pod: &Pod) -> Option<SignedDuration> {
        let job = self.owner_of(pod).filter(|owner| owner.fact() == Fact::Job)?;
        let mut times: Vec<SignedDuration> = self
            .owned_by(self.owner_of(job)?)
            .filter(|made| made.fact() == Fact::Job)
            .filter_map(|made| took(named(&self.tables.jobs, &made.meta().namespace, &made.meta().name)?))
            .collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

fn observed(generation: Option<i64>, observed: Option<i64>) -> bool {
    generation.is_some() && generation == observed
}

/// Returns how long a successful job took.
fn took(job: &Of<Job>) -> Option<SignedDuration> {
    let status = job.status.as_ref()?;
    condition(&status.conditions, "Complete").filter(|found| crate::kinds::Condition::is_true(*found))?;
    let time = |time: &Option<Time>| time.as_ref().and_then(Time::timestamp);
    Some(time(&status.completion_time)?.duration_since(time(&status.start_time)?))
}

/// Returns the object of a name in a sorted table.
fn named<'a, T>(table: &'a [Of<T>], namespace: &str, name: &str) -> Option<&'a Of<T>> {
    let at = table.binary_search_by(|of| (&*of.meta.namespace, &*of.meta.name).cmp(&(namespace, name))).ok()?;
    table.get(at)
}
