//! What the command line names: objects by name, selections, manifests, the output of `kubectl apply`.

use kubeguard_core::access::Cluster;
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::gather::inventory::{Inventory, inventory};
use kubeguard_core::gather::manifests::{self, Manifest};
use kubeguard_core::gather::resource::Resource;
use kubeguard_core::gather::selector::Selector;
use kubeguard_core::wait::object::{Body, Facts, Object};
use kubeguard_core::wait::offline;
use kubeguard_core::wait::record::Target;

use super::NAME;
use super::args::WaitArgs;
use crate::cli::ScopeArgs;
use crate::given;

/// What was named, read and checked before anything is contacted.
pub(super) struct Named {
    /// Type as typed, and a name; none for a selection.
    typed: Vec<(String, Option<String>)>,
    manifests: Vec<Manifest>,
    /// Labels alone: whatever carries them, of any kind.
    labelled: Option<String>,
}

fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::Configuration { problem: problem.into(), hint: hint.into(), source: None }
}

impl Named {
    /// Reads arguments and files.
    pub(super) fn read(objects: &[String], scope: &ScopeArgs) -> Result<Self> {
        let mut found = Vec::new();
        for file in &scope.filename {
            found.extend(given::manifests(file, scope.recursive)?);
        }
        if let Some(folder) = &scope.kustomize {
            found.extend(manifests::parse(folder, &given::kustomized(folder)?)?);
        }
        if !found.is_empty() && !objects.is_empty() {
            return Err(usage("objects and -f cannot be combined", format!("{NAME} --help shows examples")));
        }
        if let Some(text) = &scope.selector {
            let selector = text.parse::<Selector>().map_err(|error| usage(error.to_string(), ""))?;
            let given = !found.is_empty();
            found.retain(|manifest| {
                Object::read(manifest.object.clone()).is_some_and(|object| selector.matches(&object.meta().labels))
            });
            if given && found.is_empty() {
                return Err(usage(format!("no object of the files has the labels {text}"), ""));
            }
        }
        let name = scope.namespace.as_deref().unwrap_or_default();
        if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') || name.len() > 63 {
            return Err(usage(format!("{name:?} cannot be a namespace"), "lower-case letters, digits and -"));
        }
        let typed = typed(objects, scope)?;
        let given = !scope.filename.is_empty() || scope.kustomize.is_some();
        let labelled = scope.selector.clone().filter(|_| typed.is_empty() && !given);
        if typed.is_empty() && found.is_empty() && labelled.is_none() {
            let problem = if given { "the files hold no object" } else { "no object is named" };
            return Err(usage(problem, format!("{NAME} deploy/web, or -f FILE; --help shows examples")));
        }
        Ok(Self { typed, manifests: found, labelled })
    }

    /// Returns the objects of the files, and a target for each.
    ///
    /// `whole` keeps all of each object, for a caller's own expressions.
    pub(super) fn manifests(self, whole: bool) -> (Vec<Object>, Vec<Target>) {
        let objects = self.manifests.into_iter().filter_map(|manifest| {
            let object = if whole { Object::read_whole(manifest.object) } else { Object::read(manifest.object) }?;
            let target = Target { source: Some(manifest.source), ..offline::target(&object) };
            Some((object, target))
        });
        objects.unzip()
    }

    /// Resolves types into what the server serves, asking it only where a type is not built in.
    pub(super) async fn targets(self, cluster: &Cluster, scope: &ScopeArgs, wait: &WaitArgs) -> Result<Vec<Target>> {
        let namespace = scope.namespace.clone().unwrap_or_else(|| cluster.default_namespace().to_owned());
        let mut kinds = Kinds { cluster, known: Discovery::well_known(), asked: false };
        let mut targets = Vec::new();
        for (kind, name) in &self.typed {
            let resource = kinds.resolve(kind).await?;
            let place = Some(namespace.as_str()).filter(|_| resource.namespaced && !scope.all_namespaces);
            let mut target = match name {
                Some(name) => Target::named(resource, place, name),
                None => Target::selected(resource, place, scope.selector.clone().unwrap_or_default()),
            };
            target.fields = scope.field_selector.clone().unwrap_or_default();
            target.min_count = wait.min_count;
            target.facts.uid.clone_from(&wait.uid);
            targets.push(target);
        }
        if let Some(labels) = &self.labelled {
            kinds.ask().await?;
            let place = Some(namespace.as_str()).filter(|_| !scope.all_namespaces);
            targets.extend(members(inventory(cluster, &kinds.known, place, labels).await, place, labels, wait)?);
        }
        let defined = defined(&self.manifests);
        for manifest in self.manifests {
            let Some(object) = Object::read(manifest.object.clone()) else { continue };
            if object.key.name.is_empty() {
                return Err(nameless(&manifest));
            }
            let resource = kinds.of_manifest(&object, &defined).await?;
            let own = Some(object.key.namespace.as_str()).filter(|namespace| !namespace.is_empty());
            if let (Some(own), Some(asked)) = (own, &scope.namespace)
                && own != asked
                && resource.namespaced
            {
                let place = format!("{}:{}", manifest.source.file, manifest.source.line);
                return Err(usage(
                    format!("{place}: {} is in namespace {own}, not in {asked}", object.key),
                    "leave out -n",
                ));
            }
            let place = Some(own.unwrap_or(&namespace)).filter(|_| resource.namespaced);
            let mut target = Target::named(resource, place, &object.key.name);
            if manifest.source.file == "-" {
                target.facts = facts(&object);
            }
            target.source = Some(manifest.source);
            add(&mut targets, target);
        }
        for target in &mut targets {
            target.facts.min_generation = wait.min_generation;
        }
        Ok(targets)
    }
}

/// Makes a target of every member, and of each kind that could not be looked through: what may be among it is not known.
fn members(found: Inventory, place: Option<&str>, labels: &str, wait: &WaitArgs) -> Result<Vec<Target>> {
    if found.unread.is_empty() && found.members.len() < wait.min_count {
        let count = found.members.len();
        let problem = if count == 0 {
            format!("no object of any kind has the labels {labels}")
        } else {
            format!("{count} objects have the labels {labels}, --min-count asks for {}", wait.min_count)
        };
        return Err(usage(problem, format!("to wait for objects that come later, name their types: TYPE -l {labels}")));
    }
    let named = found.members.into_iter().map(|member| {
        let place = Some(member.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        Target::named(member.resource, place, member.name)
    });
    let unread = found.unread.into_iter().map(|(resource, _)| {
        let place = place.filter(|_| resource.namespaced);
        Target { min_count: 0, ..Target::selected(resource, place, labels) }
    });
    Ok(named.chain(unread).collect())
}

/// A file may leave out the name, a cluster has none without.
fn nameless(manifest: &Manifest) -> Error {
    let generated = manifest.object.pointer("/metadata/generateName").is_some();
    let hint = if generated { "a generated name is known only after kubectl create -o json" } else { "" };
    Error::File {
        file: manifest.source.file.clone(),
        line: manifest.source.line,
        column: 1,
        problem: "an object without metadata.name".to_owned(),
        hint: hint.to_owned(),
    }
}

/// The same object twice is one target, with the newest facts.
fn add(targets: &mut Vec<Target>, target: Target) {
    let same = |other: &&mut Target| {
        other.resource == target.resource && other.namespace == target.namespace && other.name == target.name
    };
    match targets.iter_mut().find(same) {
        Some(known) if known.facts.generation >= target.facts.generation => {}
        Some(known) => *known = target,
        None => targets.push(target),
    }
}

struct Kinds<'a> {
    cluster: &'a Cluster,
    known: Discovery,
    asked: bool,
}

impl Kinds<'_> {
    async fn ask(&mut self) -> Result<()> {
        if !self.asked {
            self.known = Discovery::of(self.cluster).await?;
            self.asked = true;
        }
        Ok(())
    }

    async fn resolve(&mut self, name: &str) -> Result<Resource> {
        if self.known.resolve(name).is_none() {
            self.ask().await?;
        }
        self.known.resolve(name).cloned().ok_or_else(|| self.known.unknown(name))
    }

    async fn of_manifest(&mut self, object: &Object, defined: &[Resource]) -> Result<Resource> {
        let (group, version, kind) = (&object.key.group, version(&object.api_version), &object.key.kind);
        if self.known.of_kind(group, version, kind).is_none() {
            self.ask().await?;
        }
        let ours = || defined.iter().find(|resource| resource.group == *group && resource.kind == *kind);
        let found = self.known.of_kind(group, version, kind).or_else(ours);
        found.cloned().ok_or_else(|| self.known.unknown(&format!("{kind}.{group}").to_lowercase()))
    }
}

/// Returns the kinds that definitions among the manifests will bring.
fn defined(manifests: &[Manifest]) -> Vec<Resource> {
    let definitions = manifests.iter().filter_map(|manifest| match Object::read(manifest.object.clone())?.body {
        Body::Definition(definition) => Some(definition),
        _ => None,
    });
    definitions
        .flat_map(|definition| {
            let spec = definition.spec;
            spec.versions.into_iter().filter(|version| version.served).map(move |version| Resource {
                group: spec.group.clone(),
                version: version.name,
                kind: spec.names.kind.clone(),
                plural: spec.names.plural.clone(),
                namespaced: spec.scope == "Namespaced",
            })
        })
        .collect()
}

/// What `kubectl apply -o json` tells of its own write.
fn facts(object: &Object) -> Facts {
    let meta = object.meta();
    if meta.uid.is_empty() {
        return Facts::default();
    }
    let write = object.provenance.spec.clone().unwrap_or_default();
    Facts {
        uid: Some(meta.uid.clone()),
        generation: meta.generation,
        resource_version: Some(meta.resource_version.clone()).filter(|version| !version.is_empty()),
        time: write.time,
        manager: Some(write.manager).filter(|manager| !manager.is_empty()),
        revision: None,
        min_generation: None,
        digests: object.provenance.digests.clone(),
    }
}

fn version(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or(api_version)
}

/// `TYPE/NAME…`, `TYPE NAME…`, or `TYPE[,TYPE]` with a selection.
fn typed(objects: &[String], scope: &ScopeArgs) -> Result<Vec<(String, Option<String>)>> {
    let Some(first) = objects.first() else { return Ok(Vec::new()) };
    let selects = scope.selector.is_some() || scope.field_selector.is_some() || scope.all_namespaces;
    if first.contains('/') {
        let pairs = objects.iter().map(|object| match object.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok((kind.to_owned(), Some(name.to_owned())))
            }
            _ => Err(usage(format!("{object:?} is not TYPE/NAME"), "as in deploy/web sts/db")),
        });
        let pairs = pairs.collect::<Result<Vec<_>>>()?;
        if selects {
            return Err(usage("names and a selection cannot be combined", "leave out -l, --field-selector and -A"));
        }
        return Ok(pairs);
    }
    let names = objects.get(1..).unwrap_or_default();
    match (names.is_empty(), selects) {
        (true, false) => Err(usage(
            format!("{first:?} names a type, and no object"),
            format!("{first}/NAME, {first} -l SELECTOR, or {first} -A"),
        )),
        (false, true) => {
            Err(usage("names and a selection cannot be combined", "leave out -l, --field-selector and -A"))
        }
        (true, true) => Ok(first.split(',').map(|kind| (kind.to_owned(), None)).collect()),
        (false, false) => Ok(names.iter().map(|name| (first.clone(), Some(name.clone()))).collect()),
    }
}
