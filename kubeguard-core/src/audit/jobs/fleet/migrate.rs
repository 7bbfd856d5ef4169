//! How a sidecar becomes native, or leaves the job: in templates that somebody edits.

use super::{Migration, Usage};
use crate::audit::facts::{Facts, Object, Origin};
use crate::audit::jobs::ladder::{self, Template};
use crate::audit::needs::Fact;
use crate::audit::report::Proof;
use crate::audit::rule::Policy;

const MOVE: &str = "move to initContainers";
const ANNOTATION: &str = "annotation";

/// Returns how one sidecar of a template is changed, or why it cannot be today.
pub(super) fn migration(facts: &Facts, policy: &Policy, object: &dyn Object, usage: &Usage<'_>) -> Migration {
    let how = if usage.injected { ANNOTATION } else { MOVE };
    let refused = |why: String| Migration { how, patch: Vec::new(), command: None, refused: Some(why) };
    if let Some(owner) = &object.meta().owner {
        return refused(format!("{} {} makes it: change that", owner.kind, owner.name));
    }
    if usage.proof == Proof::Hint {
        return refused("that it is a sidecar is only a guess".to_owned());
    }
    let Some(of) = Template::of(object) else { return refused("it has no template".to_owned()) };
    let name = usage.container.name.as_str();
    let becomes_native = !usage.injected || usage.row.is_some_and(|row| ladder::native_switch(row).is_some());
    if let Some(why) = becomes_native.then(|| unfit(facts, policy)).flatten() {
        return refused(why);
    }
    let patch = if usage.injected {
        match usage.row.and_then(|row| ladder::switch_of(row, name, &of)) {
            Some(step) => step.patch,
            None => return refused("its injector has no switch that is known".to_owned()),
        }
    } else {
        match ladder::native_patch(&of, name) {
            Ok(patch) => patch,
            Err(why) => return refused(why),
        }
    };
    // The template of a job cannot be changed: only what it is made from.
    let command = (object.fact() == Fact::CronJob).then(|| {
        let meta = object.meta();
        let patch = serde_json::to_string(&patch).unwrap_or_default().replace('\'', "'\\''");
        format!("kubectl patch cronjob {} -n {} --type=json -p '{patch}'", meta.name, meta.namespace)
    });
    Migration { how, patch, command, refused: None }
}

/// Returns why native sidecars do not work, or are not known to: a server or a node is too old, or cannot be read.
///
/// Files are judged for a version, which stands for the nodes too.
fn unfit(facts: &Facts, policy: &Policy) -> Option<String> {
    if let Some(why) = ladder::too_old(facts) {
        return Some(why);
    }
    if facts.origin() == Origin::Manifests {
        let version = policy.kube_version.unwrap_or(crate::audit::NEWEST);
        return (version < ladder::NATIVE)
            .then(|| format!("files are judged for version {}.{}, it takes 1.29", version.0, version.1));
    }
    if facts.version().is_none() {
        return Some("the version of the server is not known".to_owned());
    }
    facts.nodes().is_empty().then(|| "the versions of the nodes are not known".to_owned())
}
