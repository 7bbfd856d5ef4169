//! Findings that somebody accepts, with a reason and until a day.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::rule::Rule;
use super::selection::is_known;

/// The annotation.
pub const IGNORE: &str = "kubeguard.dev/ignore";

/// One entry: which findings, until when, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// An id, or a prefix of ids.
    pub rules: String,
    /// Container; `*` matches anything.
    pub container: Option<String>,
    /// `liveness`, `readiness` or `startup`.
    pub probe: Option<String>,
    /// Kind of the object.
    pub kind: Option<String>,
    /// Name of the object.
    pub name: Option<String>,
    /// Namespace of the object; only in files.
    pub namespace: Option<String>,
    /// It ends then.
    pub until: Option<Timestamp>,
    /// Why.
    pub because: String,
}

/// Why a finding is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// Where somebody wrote it.
    pub place: Place,
    /// The reason that they gave.
    pub because: String,
    /// It ends then.
    pub until: Option<Timestamp>,
}

/// Where a suppression is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In an annotation of an object.
    Annotation,
    /// In a file beside the objects.
    File,
}

/// An entry that suppresses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It gives no reason.
    NoReason,
    /// It cannot be read.
    Unreadable(String),
}

/// What an entry is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) rule: &'a str,
    pub(super) container: Option<&'a str>,
    pub(super) probe: Option<&'a str>,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl Entry {
    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        let fits = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|glob| found.is_some_and(|found| fits(glob, found)))
        };
        asked.rule.starts_with(&self.rules)
            && fits(&self.container, asked.container)
            && fits(&self.probe, asked.probe)
            && fits(&self.kind, Some(asked.kind))
            && fits(&self.namespace, Some(asked.namespace))
            && fits(&self.name, Some(asked.name))
    }

    /// Returns what it says of the findings that it matches.
    pub(super) fn acceptance(&self, place: Place) -> Acceptance {
        Acceptance { place, because: self.because.clone(), until: self.until }
    }

    /// Returns whether it has ended.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until < now)
    }
}

/// Returns whether text matches a pattern; `*` stands for anything.
fn fits(glob: &str, text: &str) -> bool {
    match glob.split_once('*') {
        None => glob == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| rest.get(at..).is_some_and(|rest| fits(after, rest)))
        }),
    }
}

/// Reads a day, which lasts to its end in UTC, or a time.
fn until(text: &str) -> Option<Timestamp> {
    if let Ok(day) = text.parse::<Date>()
        && text.len() == 10
    {
        let end = TimeZone::UTC.to_timestamp(day.tomorrow().ok()?.at(0, 0, 0, 0)).ok()?;
        return end.checked_sub(jiff::SignedDuration::from_nanos(1)).ok();
    }
    text.parse().ok()
}

/// Reads the annotation: entries divided by `;` or lines, each with its text.
#[must_use]
pub fn parse(text: &str, rules: &[Rule]) -> Vec<(String, Result<Entry, Flaw>)> {
    let mut entries = Vec::new();
    let (mut quoted, mut start) = (false, 0);
    for (at, letter) in text.char_indices().chain([(text.len(), ';')]) {
        match letter {
            '"' => quoted = !quoted,
            // The end closes what is open.
            ';' | '\n' if !quoted || at == text.len() => {
                let entry = text.get(start..at).unwrap_or_default().trim();
                if !entry.is_empty() {
                    entries.push((entry.to_owned(), one(entry, rules)));
                }
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    entries
}

fn one(text: &str, rules: &[Rule]) -> Result<Entry, Flaw> {
    let unreadable = |problem: String| Err(Flaw::Unreadable(problem));
    let (head, because) = match text.find("because=") {
        Some(at) if at == 0 || text.get(..at).is_some_and(|head| head.ends_with(char::is_whitespace)) => {
            text.split_at(at)
        }
        _ => (text, ""),
    };
    let because = because.strip_prefix("because=").unwrap_or_default().trim();
    let because = because.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(because).trim();
    let head = head.trim();
    let end = head.find(|c: char| c == '[' || c.is_whitespace()).unwrap_or(head.len());
    let (pattern, mut rest) = head.split_at(end);
    if !is_known(pattern, rules) {
        return unreadable(format!("no rule is called {pattern:?}"));
    }
    let mut entry = Entry {
        rules: pattern.to_owned(),
        container: None,
        probe: None,
        kind: None,
        name: None,
        namespace: None,
        until: None,
        because: because.to_owned(),
    };
    rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('[') {
        let Some((keys, after)) = inside.split_once(']') else {
            return unreadable("a [ without ]".to_owned());
        };
        for pair in keys.split(',') {
            let Some((key, value)) = pair.split_once('=') else {
                return unreadable(format!("{:?} is no key=value", pair.trim()));
            };
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            let place = match key.trim() {
                "container" => &mut entry.container,
                "probe" => &mut entry.probe,
                "kind" => &mut entry.kind,
                "name" => &mut entry.name,
                other => return unreadable(format!("{other:?} is none of container, probe, kind, name")),
            };
            if value.is_none() {
                return unreadable(format!("{:?} has no value", key.trim()));
            }
            *place = value;
        }
        rest = after.trim_start();
    }
    if let Some(after) = rest.strip_prefix("until=") {
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (date, after) = after.split_at(end);
        let Some(until) = until(date) else {
            return unreadable(format!("{date:?} is neither a day as 2027-01-31 nor a time of RFC 3339"));
        };
        entry.until = Some(until);
        rest = after.trim_start();
    }
    if !rest.is_empty() {
        return unreadable(format!("{rest:?} is not expected here"));
    }
    if entry.because.is_empty() { Err(Flaw::NoReason) } else { Ok(entry) }
}

/// What a file suppresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IgnoreList {
    /// Its entries, each with the line on which it begins and its text; flawed ones suppress nothing.
    pub entries: Vec<(String, Result<Entry, Flaw>)>,
    /// Path of the file.
    pub file: String,
}

/// A file that is no list of suppressions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct IgnoreError {
    /// Path of the file.
    pub file: String,
    /// What is wrong, with line and column.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Item {
    rule: String,
    namespace: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    container: Option<String>,
    probe: Option<String>,
    until: Option<String>,
    because: String,
}

impl IgnoreList {
    /// Reads a file of kind `IgnoreList`.
    ///
    /// # Errors
    /// [`IgnoreError`] for text that is no such file, with line and column. An entry without reason or with an unknown
    /// rule is no error: it suppresses nothing and is a finding.
    pub fn parse(file: &str, text: &str, rules: &[Rule]) -> Result<Self, IgnoreError> {
        let wrong = |problem: String| IgnoreError { file: file.to_owned(), problem };
        let read: File = serde_saphyr::from_str(text).map_err(|error| {
            wrong(error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned())
        })?;
        if (read.api_version.as_str(), read.kind.as_str()) != ("kubeguard.dev/v1", "IgnoreList") {
            return Err(wrong(format!("this is {} {}, not kubeguard.dev/v1 IgnoreList", read.api_version, read.kind)));
        }
        let entries = read.items.into_iter().map(|item| {
            let place = [("namespace", &item.namespace), ("kind", &item.kind), ("name", &item.name)];
            let place: Vec<String> =
                place.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?))).collect();
            let said = format!("{} {}", item.rule, place.join(","));
            (said.trim().to_owned(), entry(item, rules))
        });
        Ok(Self { entries: entries.collect(), file: file.to_owned() })
    }
}

fn entry(item: Item, rules: &[Rule]) -> Result<Entry, Flaw> {
    if !is_known(&item.rule, rules) {
        return Err(Flaw::Unreadable(format!("no rule is called {:?}", item.rule)));
    }
    let until = match item.until.as_deref() {
        None => None,
        Some(text) => match until(text) {
            Some(until) => Some(until),
            None => return Err(Flaw::Unreadable(format!("{text:?} is neither a day nor a time"))),
        },
    };
    if item.because.trim().is_empty() {
        return Err(Flaw::NoReason);
    }
    let Item { rule, namespace, kind, name, container, probe, because, .. } = item;
    Ok(Entry { rules: rule, container, probe, kind, name, namespace, until, because })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[Rule] =
        &[Rule { id: "PA301", name: "a", ..Rule::BASE }, Rule { id: "ZJ101", name: "b", ..Rule::BASE }];

    fn read(text: &str) -> Vec<Result<Entry, Flaw>> {
        parse(text, RULES).into_iter().map(|(_, entry)| entry).collect()
    }

    #[test]
    fn an_entry_has_rules_a_place_an_end_and_a_reason() {
        let entries = read(
            "PA301[container=app,probe=liveness] until=2027-01-31 because=same cheap endpoint; ZJ1 because=\"a; b\"",
        );
        let first = entries[0].as_ref().unwrap();
        assert_eq!((first.container.as_deref(), first.because.as_str()), (Some("app"), "same cheap endpoint"));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(!first.is_expired(at("2027-01-31T23:59:59Z")) && first.is_expired(at("2027-02-01T00:00:00Z")));
        assert_eq!(entries[1].as_ref().unwrap().because, "a; b");
    }

    #[test]
    fn what_is_wrong_with_an_entry_is_told() {
        assert_eq!(read("PA301"), [Err(Flaw::NoReason)]);
        assert_eq!(read("PA301 because="), [Err(Flaw::NoReason)]);
        for (text, problem) in [
            ("PA999 because=x", "no rule is called \"PA999\""),
            ("PA301[pod=x] because=x", "\"pod\" is none of container, probe, kind, name"),
            ("PA301[container=x because=x", "a [ without ]"),
            ("PA301 until=soon because=x", "\"soon\" is neither a day as 2027-01-31 nor a time of RFC 3339"),
            ("PA301 for ever because=x", "\"for ever\" is not expected here"),
        ] {
            assert_eq!(read(text), [Err(Flaw::Unreadable(problem.to_owned()))], "{text}");
        }
        let two = read("PA301 because=x\nZJ1[ because=y");
        assert!(two[0].is_ok() && two[1].is_err());
    }

    #[test]
    fn a_file_holds_entries_for_places() {
        let text = "apiVersion: kubeguard.dev/v1\nkind: IgnoreList\nitems:\n- {rule: PA301, namespace: team-*, because: x}\n- {rule: PA301}\n";
        let list = IgnoreList::parse("i.yaml", text, RULES).unwrap();
        let asked = |namespace| Asked {
            rule: "PA301",
            container: None,
            probe: None,
            kind: "Deployment",
            namespace,
            name: "web",
        };
        let entry = list.entries[0].1.as_ref().unwrap();
        assert!(entry.matches(&asked("team-a")) && !entry.matches(&asked("shop")));
        assert_eq!(list.entries[1].1, Err(Flaw::NoReason));
        assert!(IgnoreList::parse("i.yaml", "kind: List", RULES).is_err());
    }
}
