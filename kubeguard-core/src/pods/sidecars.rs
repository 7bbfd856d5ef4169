//! Sidecars that are known by name and image, as data.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

/// The rows that are shipped.
const SHIPPED: &str = include_str!("../../data/sidecars.yaml");

/// One sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sidecar {
    /// As in `istio`.
    pub id: String,
    /// Names of its containers; `*` matches anything.
    pub names: Vec<String>,
    /// Last two elements of its images' paths; `*` matches within one element.
    pub images: Vec<String>,
    /// `data-path`, `helper` or `noncritical`.
    pub class: String,
    /// What switches its injector on.
    pub enable: Option<Enable>,
    /// What its injector writes on pods.
    pub status: Option<Injected>,
    /// What keeps its injector away.
    pub opt_out: Option<OptOut>,
    /// How it becomes a native sidecar.
    pub native: Option<Native>,
    /// Requests that end it.
    pub quit: Vec<Quit>,
    /// Its exit codes.
    pub exit: Option<Exit>,
    /// It ends by itself soon after the others.
    pub self_ending: bool,
    /// How long it may take, as in `10m`.
    pub report_after: String,
    /// Further facts in words.
    pub notes: String,
    /// The row is a user's own: name or image alone is enough.
    #[serde(skip)]
    pub own: bool,
}

/// What switches an injector on: `key=value`, or a key alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "places by their names")]
pub struct Enable {
    pub namespace_labels: Vec<String>,
    pub namespace_annotations: Vec<String>,
    pub pod_labels: Vec<String>,
    pub pod_annotations: Vec<String>,
}

/// What an injector writes on pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Injected {
    /// Its annotation.
    pub annotation: String,
    /// JSON pointer to the names of containers in the annotation's value.
    pub containers_at: String,
}

/// What keeps an injector away: `key=value`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "places by their names")]
pub struct OptOut {
    pub label: String,
    pub annotation: String,
}

/// How a sidecar becomes a native one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "versions and switches by their names")]
pub struct Native {
    pub since: String,
    pub default_from: String,
    pub pod_annotation: String,
    pub alt_prefixes: Vec<String>,
    pub how: String,
    pub confirmed: Option<bool>,
}

/// A request that ends a sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Quit {
    /// `POST`, or several divided by `|`.
    pub method: String,
    /// Its port.
    pub port: Option<u16>,
    /// Its ports, where there are several in use.
    pub ports: Vec<u16>,
    /// Where another port may be given.
    pub port_from: Option<Switch>,
    /// Its path.
    pub path: String,
    /// The switch without which there is no such request; on by default where absent.
    pub enabled_by: Option<Switch>,
    /// Only for containers of these names.
    pub for_names: Vec<String>,
    /// `false` where the value must be checked before anything acts on it.
    pub confirmed: Option<bool>,
}

/// A switch: an annotation with its value, or an argument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Switch {
    /// `name=value`, or a name alone.
    pub annotation: String,
    /// A command-line argument.
    pub arg: String,
    /// The control plane may switch it on for everybody.
    pub or_control_plane_default: bool,
}

/// Exit codes of a sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Exit {
    /// After its request to quit.
    pub quit: Option<i32>,
    /// After SIGTERM.
    pub term: Option<i32>,
    /// Switch with which SIGTERM gives 0.
    pub term_zero_with: Option<Switch>,
}

/// Sidecars by name and image; cheap to clone.
#[derive(Debug, Clone)]
pub struct SidecarTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rows: Vec<Sidecar>,
    names: HashMap<String, Vec<usize>>,
    images: HashMap<String, Vec<usize>>,
    name_globs: Vec<(String, usize)>,
    image_globs: Vec<(String, usize)>,
}

/// A table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct TableError {
    /// Path of the file.
    pub file: String,
    /// What is wrong, with line and column.
    pub problem: String,
}

/// The shipped table; a test proves that it can be read.
static TABLE: LazyLock<SidecarTable> =
    LazyLock::new(|| SidecarTable::of(serde_saphyr::from_str(SHIPPED).unwrap_or_default()));

impl Default for SidecarTable {
    /// Returns the shipped rows.
    fn default() -> Self {
        TABLE.clone()
    }
}

impl SidecarTable {
    fn of(rows: Vec<Sidecar>) -> Self {
        let (mut names, mut images): (HashMap<String, Vec<usize>>, HashMap<String, Vec<usize>>) = Default::default();
        let (mut name_globs, mut image_globs) = (Vec::new(), Vec::new());
        for (index, row) in rows.iter().enumerate() {
            for (patterns, exact, globs) in
                [(&row.names, &mut names, &mut name_globs), (&row.images, &mut images, &mut image_globs)]
            {
                for pattern in patterns {
                    if pattern.contains('*') {
                        globs.push((pattern.clone(), index));
                    } else {
                        exact.entry(pattern.clone()).or_default().push(index);
                    }
                }
            }
        }
        Self(Arc::new(Inner { rows, names, images, name_globs, image_globs }))
    }

    /// Returns the shipped rows with a user's own; a row with a known id replaces it.
    ///
    /// # Errors
    /// [`TableError`] for text that is no list of rows, an unknown field, or a row without id.
    pub fn with(file: &str, text: &str) -> Result<Self, TableError> {
        let wrong = |problem: String| TableError { file: file.to_owned(), problem };
        let own: Vec<Sidecar> = serde_saphyr::from_str(text).map_err(|error| {
            wrong(error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned())
        })?;
        let mut rows = Self::default().0.rows.clone();
        for mut row in own {
            if row.id.is_empty() {
                return Err(wrong("a row without id".to_owned()));
            }
            if !matches!(row.class.as_str(), "" | "data-path" | "helper" | "noncritical") {
                return Err(wrong(format!(
                    "row {}: class {:?} is none of data-path, helper, noncritical",
                    row.id, row.class
                )));
            }
            row.own = true;
            match rows.iter_mut().find(|known| known.id == row.id) {
                Some(known) => *known = row,
                None => rows.push(row),
            }
        }
        Ok(Self::of(rows))
    }

    /// Returns the rows.
    #[must_use]
    pub fn rows(&self) -> &[Sidecar] {
        &self.0.rows
    }

    /// Returns the row that both name and image match, else a user's row that either matches; `Err` gives the row that
    /// one of the two matches alone, which is only a guess.
    #[must_use]
    pub fn find(&self, name: &str, image: &str) -> Option<Result<&Sidecar, &Sidecar>> {
        let path = image_path(image);
        let found = |exact: &HashMap<String, Vec<usize>>, globs: &[(String, usize)], text: &str| {
            let mut found: Vec<usize> = exact.get(text).cloned().unwrap_or_default();
            found.extend(globs.iter().filter(|(glob, _)| glob_matches(glob, text)).map(|(_, index)| *index));
            found.sort_unstable();
            found.dedup();
            found
        };
        let by_name = found(&self.0.names, &self.0.name_globs, name);
        let by_image = found(&self.0.images, &self.0.image_globs, &path);
        let row = |index: &usize| self.0.rows.get(*index);
        let both = by_name.iter().find(|index| by_image.contains(index)).and_then(row);
        let own = || by_name.iter().chain(&by_image).filter_map(row).find(|row| row.own);
        match both.or_else(own) {
            Some(row) => Some(Ok(row)),
            None => by_name.first().or(by_image.first()).and_then(row).map(Err),
        }
    }

    /// Returns the names of annotations that roles read beyond those of well-known domains.
    pub fn annotations(&self) -> impl Iterator<Item = String> {
        let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
        self.0.rows.iter().flat_map(move |row| {
            let status = row.status.iter().map(|status| status.annotation.clone());
            let enable = row.enable.iter().flat_map(|enable| &enable.pod_annotations).map(|text| name(text));
            let out = row.opt_out.iter().map(|out| name(&out.annotation));
            let quit = row.quit.iter().flat_map(|quit| [&quit.port_from, &quit.enabled_by]).flatten();
            let all: Vec<String> =
                status.chain(enable).chain(out).chain(quit.map(|switch| name(&switch.annotation))).collect();
            all.into_iter().filter(|name| !name.is_empty())
        })
    }
}

/// Returns what is compared of an image: without registry host, tag and digest, the last two elements of its path.
pub(super) fn image_path(image: &str) -> String {
    let image = image.split('@').next().unwrap_or_default();
    let slash = image.rfind('/').map_or(0, |at| at + 1);
    let image = match image.get(slash..).and_then(|last| last.find(':')) {
        Some(colon) => image.get(..slash + colon).unwrap_or(image),
        None => image,
    };
    let mut elements: Vec<&str> = image.split('/').collect();
    let is_host = |text: &str| text.contains(['.', ':']) || text == "localhost";
    if elements.len() > 1 && elements.first().is_some_and(|first| is_host(first)) {
        elements.remove(0);
    }
    elements.split_off(elements.len().saturating_sub(2)).join("/")
}

/// Returns whether text matches a pattern; `*` stands for anything within one element of a path.
pub(crate) fn glob_matches(glob: &str, text: &str) -> bool {
    match glob.split_once('*') {
        None => glob == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let end = rest.find('/').unwrap_or(rest.len());
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .take_while(|at| *at <= end)
                .any(|at| rest.get(at..).is_some_and(|rest| glob_matches(after, rest)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_table_can_be_read_and_every_id_is_its_own() {
        let rows: Vec<Sidecar> = serde_saphyr::from_str(SHIPPED).unwrap();
        let mut ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), rows.len()), (19, 19));
        assert!(rows.iter().all(|row| !row.names.is_empty() && !row.class.is_empty()));
    }

    #[test]
    fn images_are_compared_by_the_last_two_elements_of_their_path() {
        for (image, path) in [
            ("docker.io/istio/proxyv2:1.27", "istio/proxyv2"),
            ("localhost:5000/mirror/gcr/istio/proxyv2@sha256:abc", "istio/proxyv2"),
            ("gcr.io/cloud-sql-connectors/cloud-sql-proxy:2", "cloud-sql-connectors/cloud-sql-proxy"),
            ("nginx", "nginx"),
            ("myrepo/app:1", "myrepo/app"),
        ] {
            assert_eq!(image_path(image), path, "{image}");
        }
    }

    #[test]
    fn both_name_and_image_make_a_match_and_one_alone_a_guess() {
        let table = SidecarTable::default();
        let id = |name: &str, image: &str| match table.find(name, image) {
            Some(Ok(row)) => format!("{} sure", row.id),
            Some(Err(row)) => format!("{} guess", row.id),
            None => String::new(),
        };
        assert_eq!(id("cloud-sql-proxy", "myrepo/app:1"), "cloud-sql-proxy guess");
        assert_eq!(id("cloud-sql-proxy", "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2"), "cloud-sql-proxy sure");
        assert_eq!(id("redis-exporter", "quay.io/x/statsd-exporter:1"), "metrics sure");
        assert_eq!(id("envoy", "public.ecr.aws/appmesh/aws-appmesh-envoy:v1"), "app-mesh sure");
        assert_eq!(id("app", "web:1"), "");
    }

    #[test]
    fn a_users_row_replaces_one_of_the_same_id_and_matches_by_either() {
        let table = SidecarTable::with("own.yaml", "- {id: metrics, names: [my-agent], class: noncritical}").unwrap();
        assert!(matches!(table.find("my-agent", "x"), Some(Ok(row)) if row.own));
        assert!(table.find("statsd", "x").is_none());
        let told = |text: &str| SidecarTable::with("own.yaml", text).unwrap_err().to_string();
        assert!(told("- {id: a, nmaes: [x]}").contains("nmaes"));
        assert_eq!(told("- {names: [x]}"), "own.yaml: a row without id");
    }

    #[test]
    fn a_star_stays_within_one_element() {
        assert!(glob_matches("*/kuma-dp", "kumahq/kuma-dp") && !glob_matches("*/kuma-dp", "a/b/kuma-dp"));
        assert!(glob_matches("envoyproxy/envoy*", "envoyproxy/envoy-distroless"));
        assert!(!glob_matches("fluent/*", "fluentd/a") && glob_matches("*-exporter", "node-exporter"));
    }
}
