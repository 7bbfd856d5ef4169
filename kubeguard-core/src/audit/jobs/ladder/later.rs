//! Steps for later runs: a sidecar becomes native, or its injector is switched.

use serde_json::{Value, json};

use super::super::injected::shows_native;
use super::super::shell;
use super::super::zombie::{Holder, Main, Zombie};
use super::{Ladder, Step, sure};
use crate::audit::facts::{Carrier, Facts, Object, Of};
use crate::audit::kinds::{Container, CronJob, Job};
use crate::audit::needs::Fact;
use crate::pods::Sidecar;

/// The template that later runs are made from.
pub(in crate::audit::jobs) struct Template<'a> {
    pub(in crate::audit::jobs) carrier: Carrier<'a>,
    /// As in `cronjob/report`.
    pub(in crate::audit::jobs) name: String,
}

impl<'a> Template<'a> {
    /// Returns the template of a job or `CronJob`.
    pub(in crate::audit::jobs) fn of(object: &'a dyn Object) -> Option<Self> {
        let kind = if object.fact() == Fact::CronJob { "cronjob" } else { "job" };
        let name = format!("{kind}/{}", object.meta().name);
        Carrier::of(object).map(|carrier| Self { carrier, name })
    }

    fn right(&self) -> &'static str {
        if self.carrier.object.fact() == Fact::CronJob { "patch cronjobs" } else { "patch jobs" }
    }
}

pub(super) fn template<'a>(job: &'a Of<Job>, cron: Option<&'a Of<CronJob>>) -> Option<Template<'a>> {
    Template::of(match cron {
        Some(cron) => cron,
        None => job,
    })
}

/// The oldest version that has native sidecars switched on.
pub(in crate::audit::jobs) const NATIVE: crate::audit::facts::Version = (1, 29);

pub(super) fn native(
    facts: &Facts,
    zombie: &Zombie<'_>,
    holder: &Holder<'_>,
    job: &Of<Job>,
    of: &Template<'_>,
) -> Ladder {
    let name = holder.name();
    let step = Ladder::new(Step::Native, format!("make {name} a native sidecar in {} for the next runs", of.name));
    let made_from = job.template.as_ref().map(|template| &template.spec);
    if made_from.is_some_and(|spec| !spec.containers.iter().any(|known| known.name == name)) {
        return step.refused("it is injected: use the switch of its injector");
    }
    // A helper of which nobody says how it becomes a native sidecar may wait for the work that would wait for it.
    if holder.role.row.is_some_and(|row| row.class == "helper" && row.native.is_none()) {
        return step.refused(format!("{name} may wait for the work, which would then wait for it"));
    }
    if let Some(why) = too_old(facts) {
        return step.refused(why);
    }
    let asks = |main: &Main<'_>| {
        let container = zombie.pod.spec.containers.iter().find(|container| container.name == main.name);
        container.is_some_and(asks_to_quit)
    };
    if zombie.mains.iter().any(asks) {
        return step.refused(ASKED);
    }
    let patch = match native_patch(of, name) {
        Ok(patch) => patch,
        Err(why) => return step.refused(why),
    };
    let known = if facts.nodes().is_empty() {
        "; the versions of the nodes are not known: all must be 1.29 or newer"
    } else {
        ""
    };
    let text = format!("{}{known}", step.text);
    Ladder { patch, object: Some(of.name.clone()), rights: vec![of.right()], text, ..step }
}

const ASKED: &str = "the main's command asks it to quit: take that out first";

pub(in crate::audit::jobs) fn asks_to_quit(container: &Container) -> bool {
    container.command.iter().chain(&container.args).any(|text| shell::is_quit(text))
}

/// Returns why native sidecars do not work: the server or a node is too old. What is not known is not too old here.
pub(in crate::audit::jobs) fn too_old(facts: &Facts) -> Option<String> {
    if let Some(version) = facts.version().filter(|version| *version < NATIVE) {
        return Some(format!("the server has version {}.{}, it takes 1.29", version.0, version.1));
    }
    let node = facts.nodes().iter().find(|node| kubelet(node).is_some_and(|version| version < NATIVE))?;
    Some(format!("node {} is older than 1.29", node.meta.name))
}

/// Returns the operations that make a container of a template a native sidecar: the first of the init containers, with
/// a startup probe like its readiness probe.
///
/// # Errors
/// Why it cannot be one.
pub(in crate::audit::jobs) fn native_patch(of: &Template<'_>, name: &str) -> Result<Vec<Value>, String> {
    let spec = of.carrier.spec;
    let found = spec.containers.iter().enumerate().find(|(_, known)| known.name == name);
    let Some((index, container)) = found else {
        return Err(format!("{} has no container of this name any more", of.name));
    };
    if spec.containers.iter().any(|other| other.name != name && asks_to_quit(other)) {
        return Err(ASKED.to_owned());
    }
    let root = format!("{}/spec", of.carrier.path);
    let mut patch = vec![json!({"op": "test", "path": format!("{root}/containers/{index}/name"), "value": name})];
    if spec.init_containers.is_empty() {
        patch.push(json!({"op": "add", "path": format!("{root}/initContainers"), "value": []}));
    }
    let moved = format!("{root}/initContainers/0");
    patch.push(json!({"op": "move", "from": format!("{root}/containers/{index}"), "path": moved}));
    patch.push(json!({"op": "add", "path": format!("{moved}/restartPolicy"), "value": "Always"}));
    if container.readiness_probe.is_some() && container.startup_probe.is_none() {
        let (from, to) = (format!("{moved}/readinessProbe"), format!("{moved}/startupProbe"));
        patch.push(json!({"op": "copy", "from": from, "path": to}));
    }
    Ok(patch)
}

fn kubelet(node: &Of<crate::audit::kinds::Node>) -> Option<crate::audit::facts::Version> {
    let text = &node.status.as_ref()?.node_info.as_ref()?.kubelet_version;
    let mut parts = text.trim_start_matches('v').split('.');
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    Some((number()?, number()?))
}

pub(super) fn switch(facts: &Facts, holder: &Holder<'_>, of: &Template<'_>) -> Option<Ladder> {
    let row = sure(holder)?;
    let step = switch_of(row, holder.name(), of)?;
    if native_switch(row).is_none() || shows_native(facts, row) {
        return Some(step);
    }
    let text = format!("{} (no pod shows that the installed version honours it)", step.text);
    Some(Ladder { text, ..step })
}

/// Returns the step by which a row's injector is switched in a template.
pub(in crate::audit::jobs) fn switch_of(row: &Sidecar, sidecar: &str, of: &Template<'_>) -> Option<Ladder> {
    let (text, patch) = injector_patch(row, &of.carrier)?;
    let text = format!("switch the injector of {sidecar} for the next runs of {}: {text}", of.name);
    let object = Some(of.name.clone());
    Some(Ladder { patch, object, rights: vec![of.right()], ..Ladder::new(Step::Switch, text) })
}

/// Returns what an injector is told in a template so that its sidecar no longer holds the pod: in words, and as a patch.
///
/// Its native switch where it has one, else the way out.
pub(in crate::audit::jobs) fn injector_patch(row: &Sidecar, of: &Carrier<'_>) -> Option<(String, Vec<Value>)> {
    let out = row.opt_out.as_ref().filter(|out| !out.annotation.is_empty());
    let (annotation, then) = match (native_switch(row), out) {
        (Some(native), _) => (format!("{native}=true"), "it is then a native sidecar"),
        (None, Some(out)) => (out.annotation.clone(), "it then no longer stands beside the work"),
        (None, None) => return None,
    };
    let (name, value) = annotation.split_once('=')?;
    let root = format!("{}/metadata/annotations", of.path);
    let mut patch = Vec::new();
    if of.annotations.is_empty() {
        // A template may have no metadata at all.
        if of.labels.is_empty() {
            patch.push(json!({"op": "add", "path": format!("{}/metadata", of.path), "value": {}}));
        }
        patch.push(json!({"op": "add", "path": root, "value": {}}));
    }
    let token = name.replace('~', "~0").replace('/', "~1");
    patch.push(json!({"op": "add", "path": format!("{root}/{token}"), "value": value}));
    Some((format!("annotate the pod template with {name}={value}: {then}"), patch))
}

/// Returns the annotation that makes an injector's sidecar a native one.
pub(in crate::audit::jobs) fn native_switch(row: &Sidecar) -> Option<&str> {
    let native = row.native.as_ref().filter(|native| native.confirmed != Some(false))?;
    Some(native.pod_annotation.as_str()).filter(|annotation| !annotation.is_empty())
}
