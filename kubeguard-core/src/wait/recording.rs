//! Recordings: newline-delimited JSON, one line per record with its time, written as it happens.
//!
//! The first line is a header with the options of the run. Verdict lines say what was judged when; a replay computes
//! them anew and compares. A last line that was cut is dropped.

use std::io::{BufRead, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{Facts, Object, ObjectKey, Provenance, group_of};
use super::policy::Policy;
use super::record::{Op, Record, Target};
use super::report::{Ended, ItemReport, Requests, Source, WaitReport};
use super::rules::Rules;
use super::state::State;
use crate::error::{Error, Result};
use crate::gather::resource::Resource;

/// The version this crate writes, and the newest it reads.
pub const VERSION: u64 = 1;

/// What a run was asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Version of the tool that wrote it.
    pub tool: String,
    /// The command line's arguments, for readers.
    #[serde(default)]
    pub args: Vec<String>,
    /// Digest of the built-in rules that judged.
    #[serde(default)]
    pub pack_hash: String,
    /// Options of the run.
    pub policy: Policy,
    /// Label selector of items that may fail without failing the set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub optional: String,
}

/// Writes a recording line by line; each line is flushed, so that a killed run leaves what it saw.
pub struct Recorder {
    to: Box<dyn Write + Send>,
    file: String,
}

impl Recorder {
    /// Begins a recording.
    ///
    /// # Errors
    /// [`Error::Io`] when the header cannot be written.
    pub fn new(to: Box<dyn Write + Send>, file: impl Into<String>, at: Timestamp, header: &Header) -> Result<Self> {
        let mut recorder = Self { to, file: file.into() };
        let mut line = stamp(at, "header");
        extend(&mut line, &json!({"version": VERSION}));
        extend(&mut line, &serde_json::to_value(header).unwrap_or_default());
        recorder.write(&line)?;
        Ok(recorder)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`Error::Io`] when the line cannot be written.
    pub fn record(&mut self, at: Timestamp, record: &Record) -> Result<()> {
        self.write(&encode(at, record))
    }

    /// Writes what was judged.
    ///
    /// # Errors
    /// [`Error::Io`] when the line cannot be written.
    pub fn verdict(&mut self, at: Timestamp, item: &ItemReport) -> Result<()> {
        self.write(&verdict(at, item))
    }

    fn write(&mut self, line: &Value) -> Result<()> {
        let written = writeln!(self.to, "{line}").and_then(|()| self.to.flush());
        written.map_err(|source| Error::Io { doing: "write", file: self.file.clone(), source })
    }
}

fn stamp(at: Timestamp, kind: &str) -> Value {
    json!({"t": format!("{at:.3}"), "type": kind})
}

fn extend(line: &mut Value, more: &Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        for (key, value) in more {
            if !value.is_null() {
                line.insert(key.clone(), value.clone());
            }
        }
    }
}

fn gvk(resource: &Resource) -> Value {
    json!({"gvk": format!("{}/{}", resource.api_version(), resource.kind), "plural": resource.plural, "namespaced": resource.namespaced})
}

fn verdict(at: Timestamp, item: &ItemReport) -> Value {
    let mut line = stamp(at, "verdict");
    extend(
        &mut line,
        &json!({
            "gvk": format!("{}/{}", item.api_version, item.object_kind), "namespace": item.namespace, "name": item.name,
            "verdict": item.verdict, "reason": item.reason, "message": item.message, "evidence": item.evidence,
        }),
    );
    line
}

fn encode(at: Timestamp, record: &Record) -> Value {
    let (kind, more) = match record {
        Record::Target(target) => ("item", item(target)),
        Record::Event(op, object) => {
            let gvk = format!("{}/{}", object.api_version, object.key.kind);
            let seen = object.to_value().unwrap_or_default();
            let provenance = serde_json::to_value(&object.provenance).unwrap_or_default();
            let provenance = Some(provenance).filter(|found| found.as_object().is_some_and(|map| !map.is_empty()));
            (
                "event",
                json!({"op": op, "gvk": gvk, "rv": object.meta().resource_version, "object": seen, "provenance": provenance}),
            )
        }
        Record::Relist(resource, namespace) => {
            let mut more = gvk(resource);
            extend(&mut more, &json!({"namespace": namespace}));
            ("relist", more)
        }
        Record::Error(resource, status, message) => {
            let mut more = gvk(resource);
            extend(&mut more, &json!({"status": status, "message": message}));
            ("error", more)
        }
        Record::Denied { verb, resource, namespace, name, message } => {
            let mut more = json!({"verb": verb});
            extend(&mut more, &gvk(resource));
            extend(&mut more, &json!({"namespace": namespace, "name": name, "message": message}));
            ("denied", more)
        }
        Record::Served(resource, served) => {
            let mut more = gvk(resource);
            extend(&mut more, &json!({"served": served}));
            ("served", more)
        }
        Record::Log { namespace, name, container, previous, lines } => {
            let mut more = json!({"namespace": namespace, "name": name, "container": container, "previous": previous});
            extend(
                &mut more,
                &match lines {
                    Ok(lines) => json!({"lines": lines}),
                    Err(why) => json!({"unavailable": why}),
                },
            );
            ("log", more)
        }
        Record::Tick => ("tick", json!({})),
        Record::End(ended, requests) => ("end", json!({"why": ended, "requests": requests})),
    };
    let mut line = stamp(at, kind);
    extend(&mut line, &more);
    line
}

fn item(target: &Target) -> Value {
    let mut more = gvk(&target.resource);
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let facts = (target.facts != Facts::default()).then_some(&target.facts);
    extend(
        &mut more,
        &json!({
            "namespace": target.namespace, "name": target.name, "labels": text(&target.labels), "fields": text(&target.fields),
            "minCount": target.min_count, "facts": facts, "source": target.source,
        }),
    );
    more
}

/// One line as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Line {
    t: Timestamp,
    r#type: String,
    gvk: String,
    plural: String,
    namespaced: bool,
    namespace: Option<String>,
    name: Option<String>,
    labels: String,
    fields: String,
    min_count: usize,
    facts: Facts,
    source: Option<Source>,
    op: Option<Op>,
    object: Value,
    provenance: Provenance,
    status: Option<u16>,
    message: String,
    verb: String,
    served: bool,
    container: String,
    previous: bool,
    lines: Option<Vec<String>>,
    unavailable: String,
    why: Option<Ended>,
    requests: Requests,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            t: Timestamp::UNIX_EPOCH,
            r#type: String::new(),
            gvk: String::new(),
            plural: String::new(),
            namespaced: true,
            namespace: None,
            name: None,
            labels: String::new(),
            fields: String::new(),
            min_count: 1,
            facts: Facts::default(),
            source: None,
            op: None,
            object: Value::Null,
            provenance: Provenance::default(),
            status: None,
            message: String::new(),
            verb: String::new(),
            served: false,
            container: String::new(),
            previous: false,
            lines: None,
            unavailable: String::new(),
            why: None,
            requests: Requests::default(),
        }
    }
}

impl Line {
    fn resource(&self) -> Resource {
        let (api_version, kind) = self.gvk.rsplit_once('/').unwrap_or(("", &self.gvk));
        let group = group_of(api_version);
        Resource {
            group: group.to_owned(),
            version: api_version.rsplit('/').next().unwrap_or_default().to_owned(),
            kind: kind.to_owned(),
            plural: self.plural.clone(),
            namespaced: self.namespaced,
        }
    }

    /// Returns the record, `Ok(None)` for lines that are no records, `Err` for what no run writes.
    fn record(self) -> Result<Option<Record>, &'static str> {
        let resource = self.resource();
        Ok(Some(match self.r#type.as_str() {
            "item" => Record::Target(Box::new(Target {
                resource,
                namespace: self.namespace,
                name: self.name,
                labels: self.labels,
                fields: self.fields,
                facts: self.facts,
                source: self.source,
                min_count: self.min_count,
            })),
            "event" => {
                let object = Object::of(self.object, self.provenance).ok_or("an event without an object")?;
                Record::Event(self.op.ok_or("an event without an op")?, Box::new(object))
            }
            "relist" => Record::Relist(resource, self.namespace),
            "error" => Record::Error(resource, self.status, self.message),
            "denied" => {
                let (verb, namespace, name, message) = (self.verb, self.namespace, self.name, self.message);
                Record::Denied { verb, resource, namespace, name, message }
            }
            "served" => Record::Served(resource, self.served),
            "log" => Record::Log {
                namespace: self.namespace.unwrap_or_default(),
                name: self.name.unwrap_or_default(),
                container: self.container,
                previous: self.previous,
                lines: self.lines.ok_or(self.unavailable),
            },
            "tick" => Record::Tick,
            "end" => Record::End(self.why.ok_or("an end without why")?, self.requests),
            "verdict" => return Ok(None),
            _ => return Err("a line of unknown type"),
        }))
    }
}

/// What a replay is asked, beside its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The same.
    Same,
    /// The same, with another rule pack.
    WithOtherRules,
    /// Something else: what if.
    Otherwise,
}

/// A run played again from its recording, by the recorded clock.
pub struct Replay {
    lines: Vec<String>,
    next: usize,
    file: String,
    header: Header,
    state: State,
    asked: Asked,
    /// Verdicts that other rules have changed: the recorded one, and the one now.
    differences: Vec<String>,
    complete: bool,
    torn: bool,
}

/// What changed at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// When.
    pub time: Timestamp,
    /// The items whose verdict, reason or message changed, in order.
    pub changes: Vec<ItemReport>,
}

impl Replay {
    /// Opens a recording. `options` may change the run's policy, to ask "what if".
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Recording`] when its header cannot, or is of a newer version.
    pub fn open(from: impl BufRead, file: &str, options: impl FnOnce(&mut Policy)) -> Result<Self> {
        let broken = |line: usize, problem: String| Error::Recording {
            file: file.to_owned(),
            line: u64::try_from(line).unwrap_or(0),
            problem,
        };
        let mut lines: Vec<String> = Vec::new();
        let mut from = from;
        let mut torn = false;
        loop {
            let mut line = String::new();
            let read = from.read_line(&mut line).map_err(|source| Error::Io {
                doing: "read",
                file: file.to_owned(),
                source,
            })?;
            if read == 0 {
                break;
            }
            // A run that was killed leaves its last line without an end.
            torn = !line.ends_with('\n');
            if !torn {
                lines.push(line.trim_start_matches('\u{feff}').trim_end().to_owned());
            }
        }
        let head: Value = lines
            .first()
            .and_then(|line| serde_json::from_str(line).ok())
            .filter(|head: &Value| head["type"] == "header")
            .ok_or_else(|| broken(1, "no header: this is no recording of a wait".to_owned()))?;
        let version = head["version"].as_u64().unwrap_or(0);
        if version > VERSION {
            return Err(broken(1, format!("it is of version {version}, this tool reads up to {VERSION}")));
        }
        let at: Timestamp = serde_json::from_value(head["t"].clone()).map_err(|error| broken(1, error.to_string()))?;
        let header: Header = serde_json::from_value(head).map_err(|error| broken(1, error.to_string()))?;
        let mut policy = header.policy.clone();
        options(&mut policy);
        let same_rules = header.pack_hash.is_empty() || header.pack_hash == Rules::pack_hash();
        let asked = match (policy == header.policy, same_rules) {
            (true, true) => Asked::Same,
            (true, false) => Asked::WithOtherRules,
            (false, _) => Asked::Otherwise,
        };
        let optional = Some(&header.optional).filter(|text| !text.is_empty()).and_then(|text| text.parse().ok());
        let state = State::new(policy, optional, at, true);
        let (file, differences) = (file.to_owned(), Vec::new());
        Ok(Self { lines, next: 1, file, header, state, asked, differences, complete: false, torn })
    }

    /// Returns what the run was asked to do.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Plays on to the next moment at which something changed; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Recording`] for a line that no run writes, and for a verdict that differs although the options are the
    /// same.
    pub fn next_update(&mut self) -> Result<Option<Update>> {
        while let Some(text) = self.lines.get(self.next) {
            self.next += 1;
            if text.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(text).map_err(|error| self.broken(error.to_string()))?;
            let time = line.t;
            if line.r#type == "verdict" {
                let difference = self.compare(text)?;
                self.differences.extend(difference);
                continue;
            }
            let ends = line.r#type == "end";
            let Some(record) = line.record().map_err(|problem| self.broken(problem.to_owned()))? else { continue };
            // With other options the run may end at another moment.
            if ends && self.asked != Asked::Same && self.state.ended().is_none() {
                if let Record::End(_, requests) = record {
                    self.state.count_requests(requests);
                }
                break;
            }
            self.complete |= ends;
            let changes = self.state.step(time, &record);
            let changes: Vec<ItemReport> = changes.iter().filter_map(|key| self.state.item(key)).collect();
            if !changes.is_empty() {
                return Ok(Some(Update { time, changes }));
            }
        }
        self.state.finish(Ended::Cut);
        Ok(None)
    }

    /// Compares a recorded verdict with the judgement now: they are equal, except where the rules have changed since.
    fn compare(&self, text: &str) -> Result<Option<String>> {
        if self.asked == Asked::Otherwise {
            return Ok(None);
        }
        let recorded: Value = serde_json::from_str(text).map_err(|error| self.broken(error.to_string()))?;
        let word = |key: &str| recorded[key].as_str().unwrap_or_default().to_owned();
        let gvk = word("gvk");
        let (api_version, kind) = gvk.rsplit_once('/').unwrap_or(("", &gvk));
        let key = ObjectKey::new(group_of(api_version), kind, word("namespace"), word("name"));
        let computed = self.state.item(&key);
        let same = computed
            .as_ref()
            .is_some_and(|item| item.verdict.word() == word("verdict") && item.reason == word("reason"));
        if same {
            return Ok(None);
        }
        let now = computed.map_or("nothing".to_owned(), |item| format!("{}({})", item.verdict, item.reason));
        let both = format!("recorded {}({}) for {key}, judged {now}", word("verdict"), word("reason"));
        if self.asked == Asked::WithOtherRules { Ok(Some(both)) } else { Err(self.broken(both)) }
    }

    /// Returns the verdicts that other rules than those of the run have changed so far, each with the recorded one.
    #[must_use]
    pub fn differences(&self) -> &[String] {
        &self.differences
    }

    fn broken(&self, problem: String) -> Error {
        Error::Recording { file: self.file.clone(), line: u64::try_from(self.next).unwrap_or(0), problem }
    }

    /// Returns whether the recording ends before its run did.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        !self.complete && self.asked == Asked::Same || self.torn
    }

    /// Returns every item as it stands.
    #[must_use]
    pub fn items(&self) -> Vec<ItemReport> {
        self.state.report(false).items
    }

    /// Returns the report of the run as far as it was played.
    #[must_use]
    pub fn report(&self, explain: bool) -> WaitReport {
        self.state.report(explain)
    }
}
