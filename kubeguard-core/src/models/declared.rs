//! Annotations that state a fact. They raise or remove a guess, and never lower what is exact.

use jiff::SignedDuration;

use super::{Input, Origin, duration};
use crate::audit::Facts;
use crate::audit::facts::Object;
use crate::gather::selector::Selector;
use crate::kinds::Quantity;

/// How long serving containers keep taking connections after SIGTERM.
pub const DRAIN: &str = "kubeguard.dev/drain";
/// How long clients keep an old endpoint.
pub const PROPAGATION: &str = "kubeguard.dev/propagation";
/// What a container needs when it starts; by container, or all in one.
pub const NEEDS: &str = "kubeguard.dev/needs";
/// What a container offers to others in its pod; by container, or all in one.
pub const PROVIDES: &str = "kubeguard.dev/provides";
/// Runtime and version of a container; by container, or all in one.
pub const RUNTIME: &str = "kubeguard.dev/runtime";
/// Extra cpu after a start, and for how long.
pub const START_BURN: &str = "kubeguard.dev/start-burn";
/// Nodes must not take work before this `DaemonSet` runs.
pub const NODE_CRITICAL: &str = "kubeguard.dev/node-critical";
/// Label selector of the pods that need a `DaemonSet` on their node.
pub const CONSUMERS: &str = "kubeguard.dev/consumers";
/// What a pod downloads to its node's disk after it started.
pub const DOWNLOADS: &str = "kubeguard.dev/downloads";
/// Whether clients prefer endpoints of their own zone.
pub const ZONE_AFFINE: &str = "kubeguard.dev/zone-affine";
/// What a reviewer approved; the policy on the server checks it.
pub const APPROVED: &str = "kubeguard.dev/approved";

/// Annotations whose names may end in `.` and a container's name.
const BY_CONTAINER: [&str; 3] = [NEEDS, PROVIDES, RUNTIME];

/// Extra cpu after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartBurn {
    /// Thousandths of a cpu.
    pub cpu: i64,
    /// For how long.
    pub lasts: SignedDuration,
}

/// Returns the value of an annotation around an object: its own, else its template's, else of what makes it, else its
/// namespace's.
#[must_use]
pub fn text<'a>(facts: &'a Facts, object: &'a dyn Object, name: &str) -> Option<&'a str> {
    for link in facts.chain(object) {
        let Some(link) = link.object else { continue };
        let own = link.meta().annotations.get(name);
        let found = own.or_else(|| link.carried().and_then(|carried| carried.annotations.get(name)));
        if found.is_some() {
            return found;
        }
    }
    facts.namespace(&object.meta().namespace)?.meta.annotations.get(name)
}

/// Returns what an annotation states, read by one of the readers of this module; what does not read is not given.
pub fn stated<T>(
    facts: &Facts,
    object: &dyn Object,
    name: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Input<T>> {
    let value = read(text(facts, object, name)?).ok()?;
    Some(Input::new(value, Origin::Annotation).because(name))
}

/// Returns what is stated of a container: `<name>.<container>`, else its part of `<name>` with `container=value` pairs
/// that semicolons divide.
#[must_use]
pub fn of_container<'a>(facts: &'a Facts, object: &'a dyn Object, name: &str, container: &str) -> Option<&'a str> {
    text(facts, object, &format!("{name}.{container}")).or_else(|| {
        let all = text(facts, object, name)?;
        let pairs = all.split(';').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == container).map(|(_, value)| value)
    })
}

/// Reads `true` or `false`.
///
/// # Errors
/// A sentence.
pub fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

/// Reads whole units of a quantity, as in `2Gi`, rounded up.
///
/// # Errors
/// A sentence.
pub fn quantity(text: &str) -> Result<i64, String> {
    units(text, 1_000_000_000)
}

/// Reads thousandths of a cpu, as in `500m`, rounded up.
///
/// # Errors
/// A sentence.
pub fn milli(text: &str) -> Result<i64, String> {
    units(text, 1_000_000)
}

fn units(text: &str, unit: i128) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no quantity, as in 500m or 2Gi");
    let nanos = text.parse::<Quantity>().ok().and_then(|quantity| quantity.nanos()).ok_or_else(wrong)?;
    if nanos < 0 {
        return Err(format!("{text:?} is below zero"));
    }
    i64::try_from((nanos + unit - 1) / unit).map_err(|_| wrong())
}

/// Reads `cpu=<quantity>,for=<duration>`.
///
/// # Errors
/// A sentence with an example.
pub fn start_burn(text: &str) -> Result<StartBurn, String> {
    let wrong = || format!("{text:?} is no start-up burn, as in cpu=1,for=120s");
    let (mut cpu, mut lasts) = (None, None);
    for part in text.split(',') {
        match part.split_once('=').ok_or_else(wrong)? {
            (key, value) if key.trim() == "cpu" => cpu = Some(milli(value.trim())?),
            (key, value) if key.trim() == "for" => lasts = Some(duration::parse(value.trim())?),
            _ => return Err(wrong()),
        }
    }
    Ok(StartBurn { cpu: cpu.ok_or_else(wrong)?, lasts: lasts.ok_or_else(wrong)? })
}

/// Reads names that commas divide.
///
/// # Errors
/// When one of them is empty.
pub fn list(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        Err(format!("{text:?} names nothing between two commas"))
    } else {
        Ok(names)
    }
}

/// Reads `jvm/17.0.9`, or `go` where the version is not known.
///
/// # Errors
/// A sentence with an example.
pub fn runtime(text: &str) -> Result<(String, Option<String>), String> {
    let (kind, version) = text.split_once('/').map_or((text, None), |(kind, version)| (kind, Some(version)));
    let starts = version.is_none_or(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    if kind.is_empty() || !starts {
        return Err(format!("{text:?} is no runtime, as in jvm/17.0.9 or go/1.25"));
    }
    Ok((kind.to_owned(), version.map(ToOwned::to_owned)))
}

/// Returns the container that the name of an annotation ends in, as in `kubeguard.dev/needs.app`.
#[must_use]
pub fn named_container(name: &str) -> Option<&str> {
    BY_CONTAINER.iter().find_map(|known| name.strip_prefix(known)?.strip_prefix('.')).filter(|rest| !rest.is_empty())
}

/// Returns what is wrong with the value of an annotation; `None` where nothing is, or where the name is none of these.
#[must_use]
pub fn problem(name: &str, value: &str) -> Option<String> {
    let of = |base: &str, value: &str| match base {
        RUNTIME => runtime(value).err(),
        _ => list(value).err(),
    };
    if named_container(name).is_some() {
        let base = BY_CONTAINER.iter().find(|known| name.starts_with(*known))?;
        return of(base, value);
    }
    match name {
        DRAIN | PROPAGATION => duration::parse(value).err(),
        START_BURN => start_burn(value).err(),
        NODE_CRITICAL | ZONE_AFFINE => flag(value).err(),
        CONSUMERS => value.parse::<Selector>().err().map(|error| format!("{value:?} is no label selector: {error}")),
        DOWNLOADS => quantity(value).err(),
        NEEDS | PROVIDES | RUNTIME => value.split(';').find_map(|pair| match pair.split_once('=') {
            Some((container, value)) if !container.trim().is_empty() => of(name, value.trim()),
            _ => Some(format!("{value:?} does not name containers, as in app=value;other=value")),
        }),
        _ => None,
    }
}

/// Returns whether an annotation is one of these.
#[must_use]
pub fn is_known(name: &str) -> bool {
    let names = [
        DRAIN,
        PROPAGATION,
        NEEDS,
        PROVIDES,
        RUNTIME,
        START_BURN,
        NODE_CRITICAL,
        CONSUMERS,
        DOWNLOADS,
        ZONE_AFFINE,
        APPROVED,
    ];
    names.contains(&name) || named_container(name).is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::{Builder, Origin as Source};

    #[test]
    fn the_nearest_annotation_counts() {
        let of = |own: Option<&str>, template: Option<&str>| {
            let noted = |value: Option<&str>| value.map_or(json!({}), |value| json!({DRAIN: value}));
            let mut builder = Builder::new(Source::Manifests);
            builder.add(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t", "annotations": {DRAIN: "3s"}}}));
            builder.add(json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "t", "annotations": noted(own)},
                "spec": {"template": {"metadata": {"annotations": noted(template)}, "spec": {"containers": []}}}}));
            let facts = builder.finish();
            stated(&facts, &facts.deployments()[0], DRAIN, duration::parse).map(|input| input.value.as_secs())
        };
        assert_eq!(of(Some("1s"), Some("2s")), Some(1));
        assert_eq!(of(None, Some("2s")), Some(2));
        assert_eq!(of(None, None), Some(3));
        assert_eq!(of(Some("soon"), Some("2s")), None, "what does not read is not given");
    }

    #[test]
    fn values_that_do_not_read_have_a_sentence() {
        for (name, good, bad) in [
            (DRAIN, "10s", "ten"),
            (START_BURN, "cpu=1500m,for=2m", "cpu=1"),
            (NODE_CRITICAL, "true", "yes"),
            (CONSUMERS, "app in (a,b)", "app in ("),
            (DOWNLOADS, "2Gi", "-1"),
            (NEEDS, "app=mesh,db:5432;other=mesh", "mesh"),
            ("kubeguard.dev/needs.app", "mesh, db:5432", "mesh,,db"),
            ("kubeguard.dev/runtime.app", "jvm/17.0.9", "jvm/new"),
        ] {
            assert_eq!(problem(name, good), None, "{name}");
            assert!(problem(name, bad).is_some(), "{name}: {bad}");
            assert!(is_known(name));
        }
        assert!(!is_known("kubeguard.dev/drains") && !is_known("kubeguard.dev/needs."));
        assert_eq!(start_burn("cpu=1, for=118s"), Ok(StartBurn { cpu: 1000, lasts: SignedDuration::from_secs(118) }));
    }
}
