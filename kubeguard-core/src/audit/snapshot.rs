//! A cluster in a file: one JSON document a line, the header first.
//!
//! Objects are kept as the server gave them, of kinds and fields that this crate does not know too, without what nobody
//! should pass on: secrets' data, environment values that look like secrets, last-applied annotations, managed fields.

mod record;
mod spool;

use std::io::{BufRead, BufReader, Read as _, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use record::record;
use spool::Spool;

use super::facts::{Builder, Facts, Gap, Origin, Read};
use super::needs::Fact;
use super::redact::{REDACTED, is_secret_variable};
use crate::error::Error;

/// What is kept although it is left out otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Data of secrets.
    pub secrets: bool,
    /// Environment values that look like secrets.
    pub env: bool,
    /// Annotations with last-applied contents.
    pub last_applied: bool,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `Snapshot`.
    pub kind: String,
    /// The server's clock.
    pub taken_at: Timestamp,
    /// The server's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<ServerVersion>,
    /// Which cluster it is.
    #[serde(default)]
    pub cluster: ClusterName,
    /// Which namespaces it has.
    #[serde(default)]
    pub scope: SnapshotScope,
    /// What was listed.
    #[serde(default)]
    pub lists: Vec<ListRead>,
    /// Kinds that the server serves, as `group/Kind`; empty where not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub served: Vec<String>,
    /// What was left out of objects.
    #[serde(default)]
    pub left_out: Vec<String>,
}

/// The server's version, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the server's words")]
pub struct ServerVersion {
    pub major: String,
    pub minor: String,
    pub git_version: String,
}

impl ServerVersion {
    /// Returns major and minor as numbers.
    #[must_use]
    pub fn numbers(&self) -> Option<super::facts::Version> {
        // Some distributions write `34+`.
        let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
        Some((number(&self.major)?, number(&self.minor)?))
    }
}

/// Which cluster it is: the uid of namespace `kube-system`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "a uid")]
pub struct ClusterName {
    pub uid: String,
}

/// Which namespaces a snapshot has; `*` for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names")]
pub struct SnapshotScope {
    pub namespaces: Vec<String>,
}

/// One kind of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListRead {
    /// API group; empty for the core group.
    pub group: String,
    /// Version, as in `v1`.
    pub version: String,
    /// The name in paths.
    pub resource: String,
    /// The kind.
    pub kind: String,
    /// `full`.
    pub level: String,
    /// Namespaces that were read; `*` for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// State of the server that the list shows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Why it, or the namespace that is named here, could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The namespace that could not be read, where the others could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The server does not serve it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unserved: bool,
}

impl Header {
    /// Version of the file.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the file.
    pub const KIND: &'static str = "Snapshot";
}

/// Writes a snapshot: the header, then objects sorted by group, kind, namespace, name.
///
/// # Errors
/// Those of the writer.
pub fn write(
    header: &Header,
    objects: impl IntoIterator<Item = Value>,
    keep: Keep,
    to: impl Write,
) -> std::io::Result<u64> {
    let mut spool = Spool::new(std::io::Cursor::new(Vec::new()), keep);
    for object in objects {
        spool.add(object)?;
    }
    spool.finish(header, to)
}

/// Takes out what is not passed on; returns how many environment values that were.
fn without(object: &mut Value, keep: Keep) -> u64 {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.shift_remove("managedFields");
        if !keep.last_applied
            && let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut)
        {
            annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if kind == "Secret"
        && !keep.secrets
        && let Some(secret) = object.as_object_mut()
    {
        secret.shift_remove("data");
        secret.shift_remove("stringData");
    }
    if keep.env { 0 } else { env(object) }
}

/// Replaces environment values that look like secrets, wherever a list `env` of names and values stands.
fn env(value: &mut Value) -> u64 {
    let mut count = 0;
    match value {
        Value::Array(items) => count += items.iter_mut().map(env).sum::<u64>(),
        Value::Object(map) => {
            for (key, value) in map {
                if key != "env" {
                    count += env(value);
                    continue;
                }
                for variable in value.as_array_mut().into_iter().flatten() {
                    let name = variable.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                    if let Some(Value::String(text)) = variable.get_mut("value")
                        && is_secret_variable(&name, text)
                    {
                        REDACTED.clone_into(text);
                        count += 1;
                    }
                }
            }
        }
        _ => {}
    }
    count
}

/// Reads a snapshot, compressed or not; `file` is only named in errors. Lines behind the header may stand in any order.
///
/// # Errors
/// [`Error::File`] for a file without header, of another version, or with a line that is no object.
pub fn read(file: &str, from: impl std::io::Read, mut builder: Builder) -> Result<(Facts, Header), Error> {
    let header = each(file, from, |object| {
        let _fact = builder.add(object);
    })?;
    header.tell(&mut builder);
    Ok((builder.finish(), header))
}

/// Reads a snapshot as [`read`] does, and puts objects over it: one of the same kind, namespace and name replaces that of
/// the snapshot. An object of a kind that the snapshot does not have makes nothing known of the others of that kind.
///
/// # Errors
/// Those of [`read`].
pub fn read_under(
    file: &str,
    from: impl std::io::Read,
    mut builder: Builder,
    over: impl IntoIterator<Item = Value>,
) -> Result<(Facts, Header), Error> {
    let header = each(file, from, |object| {
        let _fact = builder.add(object);
    })?;
    for object in over {
        let _fact = builder.add(object);
    }
    header.tell(&mut builder);
    Ok((builder.finish(), header))
}

/// Reads the objects of a snapshot one after the other, and returns its header.
///
/// # Errors
/// Those of [`read`].
pub fn each(file: &str, from: impl std::io::Read, mut take: impl FnMut(Value)) -> Result<Header, Error> {
    let wrong = |line: u64, problem: String, hint: &str| Error::File {
        file: file.to_owned(),
        line,
        column: 1,
        problem,
        hint: hint.to_owned(),
    };
    let io = |source| Error::Io { doing: "read", file: file.to_owned(), source };
    let mut from = BufReader::new(from);
    let zipped = from.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
    let from: Box<dyn std::io::Read> =
        if zipped { Box::new(flate2::read::MultiGzDecoder::new(from)) } else { Box::new(from) };
    let mut from = BufReader::new(from);
    let mut line = String::new();
    from.read_line(&mut line).map_err(io)?;
    let hint = "kubectl guard snapshot -o FILE writes one";
    let first: Value =
        serde_json::from_str(&line).map_err(|_| wrong(1, "this is no snapshot: it has no header".to_owned(), hint))?;
    let word = |key: &str| first.get(key).and_then(Value::as_str).unwrap_or_default();
    if word("kind") != Header::KIND {
        return Err(wrong(1, "this is no snapshot: it has no header".to_owned(), hint));
    }
    if word("apiVersion") != Header::API_VERSION {
        let problem = format!("it is of version {}, this program reads {}", word("apiVersion"), Header::API_VERSION);
        return Err(wrong(1, problem, "take it anew, or use the program that wrote it"));
    }
    let header: Header = serde_json::from_value(first).map_err(|error| wrong(1, format!("its header: {error}"), ""))?;
    let mut number = 1;
    loop {
        line.clear();
        number += 1;
        // A line that never ends would take all memory.
        let read = (&mut from).take(LONGEST).read_line(&mut line).map_err(io)?;
        if read == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let object: Value = serde_json::from_str(&line)
            .map_err(|error| wrong(number, format!("this line is no object: {error}"), "is the file cut off?"))?;
        take(object);
    }
    Ok(header)
}

/// No object is larger than etcd takes, by far.
const LONGEST: u64 = 64 << 20;

/// Returns a builder for [`read`].
#[must_use]
pub fn builder() -> Builder {
    Builder::new(Origin::Snapshot)
}

impl Header {
    /// Says what was read and what was not.
    fn tell(&self, builder: &mut Builder) {
        builder.version(self.server_version.as_ref().and_then(ServerVersion::numbers));
        for served in &self.served {
            if let Some((group, kind)) = served.rsplit_once('/') {
                builder.serves(group, kind);
            }
        }
        for fact in Fact::ALL {
            let of: Vec<&ListRead> =
                self.lists.iter().filter(|list| Fact::of(&list.group, &list.kind) == Some(fact)).collect();
            let whole = of.iter().any(|list| list.error.is_none() && !list.unserved);
            if whole {
                builder.read(fact, Read::Whole);
            } else if of.iter().any(|list| list.unserved) {
                builder.read(fact, Read::Unserved);
            } else if fact == Fact::Served && !self.served.is_empty() {
                builder.read(fact, Read::Whole);
            } else if of.is_empty() {
                builder.read(fact, Read::Not(format!("cannot list {}: not in the snapshot", fact.plural())));
            }
            for list in of {
                if let Some(error) = &list.error {
                    let namespace = list.namespace.clone().filter(|_| whole);
                    let place = namespace.as_ref().map_or(String::new(), |name| format!(" in namespace {name}"));
                    let called = fact.called(&list.group, &list.resource);
                    let reason = format!("cannot list {called}{place}: {error}");
                    builder.gap(Gap { fact, namespace, reason });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header() -> Header {
        let list = |group: &str, resource: &str, kind: &str, error: Option<&str>| ListRead {
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            kind: kind.to_owned(),
            error: error.map(ToOwned::to_owned),
            ..ListRead::default()
        };
        Header {
            api_version: Header::API_VERSION.to_owned(),
            kind: Header::KIND.to_owned(),
            taken_at: "2026-11-22T10:00:00Z".parse().unwrap(),
            server_version: Some(ServerVersion {
                major: "1".into(),
                minor: "34+".into(),
                git_version: "v1.34.1".into(),
            }),
            cluster: ClusterName::default(),
            scope: SnapshotScope { namespaces: vec!["*".to_owned()] },
            lists: vec![list("", "pods", "Pod", None), list("", "nodes", "Node", Some("Forbidden"))],
            served: Vec::new(),
            left_out: Vec::new(),
        }
    }

    fn pod() -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "managedFields": [{}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"containers": [{"name": "app", "unknownField": 1, "env": [
                {"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "PORT", "value": "80"}]}]}})
    }

    fn text(keep: Keep) -> (u64, String) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "eA=="}});
        let mut to = Vec::new();
        let left = write(&header(), [secret, pod()], keep, &mut to).unwrap();
        (left, String::from_utf8(to).unwrap())
    }

    #[test]
    fn what_is_secret_is_left_out_and_what_is_unknown_is_kept() {
        let (left, written) = text(Keep::default());
        assert_eq!(left, 1);
        for gone in ["hunter2", "eA==", "managedFields", "last-applied"] {
            assert!(!written.contains(gone), "{gone}");
        }
        assert!(written.contains("unknownField") && written.contains(r#""value":"80""#));
        let (left, written) = text(Keep { secrets: true, env: true, last_applied: true });
        assert!(
            left == 0 && written.contains("hunter2") && written.contains("eA==") && written.contains("last-applied")
        );
        // Sorted by group, kind, namespace, name.
        assert!(written.find("\"Pod\"}").is_none() && written.find("hunter2") < written.find("eA=="));
    }

    #[test]
    fn a_snapshot_says_what_it_has_not() {
        let (_, written) = text(Keep::default());
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(written.as_bytes()).unwrap();
        let zipped = zipped.finish().unwrap();
        for bytes in [written.as_bytes(), &zipped] {
            let (facts, header) = read("s", bytes, builder()).unwrap();
            assert_eq!((facts.pods().len(), facts.version()), (1, Some((1, 34))));
            assert_eq!(header.taken_at.to_string(), "2026-11-22T10:00:00Z");
            assert_eq!(*facts.read(Fact::Pod), Read::Whole);
            assert_eq!(*facts.read(Fact::Node), Read::Not("cannot list nodes: Forbidden".to_owned()));
            assert_eq!(*facts.read(Fact::Job), Read::Not("cannot list jobs: not in the snapshot".to_owned()));
        }
    }

    #[test]
    fn a_file_without_header_of_another_version_or_cut_off_is_refused() {
        let told = |text: &str| read("s", text.as_bytes(), builder()).unwrap_err().to_string();
        assert_eq!(told(&pod().to_string()), "s:1:1: this is no snapshot: it has no header");
        assert_eq!(told(""), "s:1:1: this is no snapshot: it has no header");
        let (_, written) = text(Keep::default());
        let newer = written.replacen("kubeguard.dev/v1", "kubeguard.dev/v2", 1);
        assert_eq!(told(&newer), "s:1:1: it is of version kubeguard.dev/v2, this program reads kubeguard.dev/v1");
        assert!(told(&written[..written.len() - 9]).starts_with("s:3:1: this line is no object"));
    }
}
