//! Judges objects as they stand: no waiting, no requests. A file has no later, so holds without a time are used up.

use jiff::Timestamp;

use super::object::{Object, group_of};
use super::policy::Policy;
use super::record::{Op, Record, Target};
use super::report::{Ended, WaitReport};
use super::state::State;
use crate::gather::resource::Resource;
use crate::gather::selector::Selector;

/// Judges every one of `objects` at `now`, each with the others around it: pods by their owners, events by their subject.
#[must_use]
pub fn judge(objects: Vec<Object>, policy: Policy, now: Timestamp) -> WaitReport {
    let targets = objects.iter().map(target).collect();
    judge_targets(objects, targets, policy, None, now).report(false)
}

/// Returns the state after `objects` were seen and `targets` judged at `now`.
#[must_use]
pub fn judge_targets(
    objects: Vec<Object>,
    targets: Vec<Target>,
    policy: Policy,
    optional: Option<Selector>,
    now: Timestamp,
) -> State {
    let mut state = State::new(policy, optional, now, false);
    for object in objects {
        state.step(now, &Record::Event(Op::Listed, Box::new(object)));
    }
    for target in targets {
        state.step(now, &Record::Target(Box::new(target)));
    }
    state.finish(Ended::Once);
    state
}

/// Returns the target that names an object. Its plural is guessed: offline nobody is asked for it.
#[must_use]
pub fn target(object: &Object) -> Target {
    let namespace = Some(object.key.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let resource = Resource {
        group: group_of(&object.api_version).to_owned(),
        version: object.api_version.rsplit('/').next().unwrap_or_default().to_owned(),
        kind: object.key.kind.clone(),
        plural: format!("{}s", object.key.kind.to_lowercase()),
        namespaced: namespace.is_some(),
    };
    Target::named(resource, namespace, &object.key.name)
}
