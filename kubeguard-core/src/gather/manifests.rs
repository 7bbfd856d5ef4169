//! Objects from files: YAML or JSON, many documents, lists, folders, standard input.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::wait::report::Source;

/// What is said of a document that says nothing of being an object.
pub(crate) const NO_OBJECT: &str = "an object without kind";

/// One object of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The object, whole.
    pub object: Value,
    /// Where its document begins.
    pub source: Source,
}

/// Returns the files that `path` names: itself, or the `.yaml`, `.yml` and `.json` files of a folder, sorted; with
/// `recursive` those of its folders too.
///
/// # Errors
/// [`Error::Io`] when the path is not there or cannot be read.
pub fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>> {
    let io = |source| Error::Io { doing: "read", file: path.display().to_string(), source };
    if !std::fs::metadata(path).map_err(io)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(io)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .map_err(io)?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let known =
            entry.extension().and_then(|end| end.to_str()).is_some_and(|end| matches!(end, "yaml" | "yml" | "json"));
        if entry.is_dir() {
            // As with kubectl, a link to a folder is not gone into: it may lead back.
            if recursive && !entry.is_symlink() {
                found.extend(files(&entry, true)?);
            }
        } else if known {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Reads a file's objects, those of `List` kinds one by one.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, else those of [`parse`].
pub fn read(path: &Path) -> Result<Vec<Manifest>> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
    parse(&file, &bytes)
}

/// Reads objects from text that came from `file` (`-` for standard input).
///
/// # Errors
/// [`Error::File`] with line and column for text that is no YAML, and for a document that is no object.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Manifest>> {
    let text = text(file, bytes)?;
    let mut manifests = Vec::new();
    for (line, document) in documents(text) {
        read_document(file, line, document, &mut manifests)?;
    }
    Ok(manifests)
}

fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
            Err(broken(file, line, 1, "the text is not UTF-8", ""))
        }
    }
}

fn read_document(file: &str, line: usize, document: &str, manifests: &mut Vec<Manifest>) -> Result<()> {
    if is_json(document) {
        json(file, line, document, manifests)
    } else if let Some(value) = yaml(file, line, document)? {
        expand(file, line, value, manifests)
    } else {
        Ok(())
    }
}

/// One document of a file, read as far as it can be.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    /// Its text.
    pub(crate) text: &'a str,
    /// The line on which the text begins, counted from 1.
    pub(crate) line: usize,
    /// Its objects before the first error.
    pub(crate) manifests: Vec<Manifest>,
    /// It is one object of a kind that was not asked for, and was not read.
    pub(crate) is_passed_over: bool,
    /// Why the rest of it could not be read.
    pub(crate) error: Option<Error>,
}

/// Reads every document of a text by itself: one that cannot be read does not hide the others.
///
/// Objects of kinds that `wants` (given `apiVersion` and `kind`) does not ask for are passed over where their kind can be
/// told without reading them; where it cannot, they are among the others.
///
/// # Errors
/// [`Error::File`] for text that is not UTF-8.
pub(crate) fn parse_each<'a>(
    file: &str,
    bytes: &'a [u8],
    wants: impl Fn(&str, &str) -> bool,
) -> Result<Vec<Document<'a>>> {
    let read = |(line, text): (usize, &'a str)| {
        let mut manifests = Vec::new();
        let is_passed_over = kind_of(text).is_some_and(|(api_version, kind)| !wants(api_version, kind));
        let error = if is_passed_over { None } else { read_document(file, line, text, &mut manifests).err() };
        Document { text, line, manifests, is_passed_over, error }
    };
    Ok(documents(text(file, bytes)?).into_iter().map(read).collect())
}

/// Returns `apiVersion` and `kind` of a document that says each exactly once at the beginning of a line, in a plain word.
///
/// Such a document is one block of YAML: what belongs to an inner object, or to a text of many lines, is indented. None
/// where anything is in doubt, and for lists.
fn kind_of(document: &str) -> Option<(&str, &str)> {
    let (mut api_version, mut kind) = (None, None);
    for line in document.split('\n') {
        let first = line.as_bytes().first();
        if first.is_none_or(u8::is_ascii_whitespace) {
            continue;
        }
        let (found, rest) = if let Some(rest) = line.strip_prefix("kind:") {
            (&mut kind, rest)
        } else if let Some(rest) = line.strip_prefix("apiVersion:") {
            (&mut api_version, rest)
        } else if first.is_some_and(|byte| byte.is_ascii_lowercase() || matches!(byte, b'#' | b'-')) {
            continue;
        } else {
            return None;
        };
        if found.replace(rest.trim()).is_some() {
            return None;
        }
    }
    let plain = |word: &&str| {
        let all = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-'));
        all && word.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    let (api_version, kind) = (api_version.filter(plain)?, kind.filter(plain)?);
    (!kind.ends_with("List")).then_some((api_version, kind))
}

/// Cuts at lines that begin with `---`; returns each document with the number of its first line that says something.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut cuts = vec![(0, 1)];
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        at += line.len();
        let ends = line.trim_end();
        if ends == "---" || ends.starts_with("--- ") {
            // What stands behind the dashes belongs to the document: keep the line where it says more.
            let keep = if ends.trim_start_matches('-').trim_start().starts_with('#') || ends == "---" {
                at
            } else {
                at - line.len() + 3
            };
            cuts.push((keep, if keep == at { number + 2 } else { number + 1 }));
        }
    }
    let ends: Vec<usize> = cuts.iter().skip(1).map(|(at, _)| *at).chain([text.len()]).collect();
    cuts.iter()
        .zip(ends)
        .map(|((from, line), to)| {
            let document = text.get(*from..to).unwrap_or_default();
            // The separator that ends it is not part of it.
            let document = document.trim_end();
            let document = document.strip_suffix("---").unwrap_or(document);
            let silent = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
            let skipped: Vec<&str> = document.split_inclusive('\n').take_while(silent).collect();
            let length: usize = skipped.iter().map(|line| line.len()).sum();
            (line + skipped.len(), document.get(length..).unwrap_or_default())
        })
        .filter(|(_, document)| !document.trim().is_empty())
        .collect()
}

fn is_json(document: &str) -> bool {
    document.trim_start().starts_with(['{', '['])
        && serde_json::Deserializer::from_str(document).into_iter::<Value>().next().is_some_and(|first| first.is_ok())
}

/// One or more JSON values one after the other.
fn json(file: &str, line: usize, document: &str, manifests: &mut Vec<Manifest>) -> Result<()> {
    let mut stream = serde_json::Deserializer::from_str(document).into_iter::<Value>();
    loop {
        let from = stream.byte_offset();
        let before = document.get(..from).unwrap_or_default();
        let blank = document.get(from..).unwrap_or_default();
        let blank = blank.get(..blank.len() - blank.trim_start().len()).unwrap_or_default();
        let here = line + before.matches('\n').count() + blank.matches('\n').count();
        match stream.next() {
            None => return Ok(()),
            Some(Ok(value)) => expand(file, here, value, manifests)?,
            Some(Err(error)) => {
                return Err(broken(file, line + error.line() - 1, error.column(), &error.to_string(), ""));
            }
        }
    }
}

fn yaml(file: &str, line: usize, document: &str) -> Result<Option<Value>> {
    match serde_saphyr::from_str::<Value>(document) {
        Ok(Value::Null) => Ok(None),
        Ok(value) if value.is_object() || value.is_array() => Ok(Some(value)),
        Ok(value) => {
            let text = value.as_str().unwrap_or_default();
            let applied = ["configured", "created", "unchanged", "serverside-applied"];
            let printed = text.split_whitespace().any(|word| applied.contains(&word)) && text.contains('/');
            let hint = if printed { "kubectl apply -o json prints what a wait needs" } else { "" };
            Err(broken(file, line, 1, "this is no Kubernetes object", hint))
        }
        Err(error) => {
            let place = error.location();
            let row = place.map_or(1, |place| usize::try_from(place.line()).unwrap_or(1)).max(1);
            let column = place.map_or(1, |place| usize::try_from(place.column()).unwrap_or(1)).max(1);
            let problem = error.without_snippet().to_string();
            let problem = problem.lines().next().unwrap_or_default();
            Err(broken(file, line + row - 1, column, &in_words(problem), ""))
        }
    }
}

/// Says what a parser found without the parser's own names, and the place only once.
fn in_words(problem: &str) -> String {
    let end = problem.find(" at line ").unwrap_or(problem.len());
    let said = problem.get(..end).unwrap_or(problem);
    if said.starts_with("budget breached: Depth") {
        "it is nested too deeply".to_owned()
    } else if said.starts_with("budget breached") {
        "it is too large, or its aliases make it so".to_owned()
    } else {
        let end = said.find("set DuplicateKeyPolicy").unwrap_or(said.len());
        said.get(..end).unwrap_or(said).trim_end_matches([' ', ',', ';', ':', '(']).to_owned()
    }
}

fn expand(file: &str, line: usize, value: Value, manifests: &mut Vec<Manifest>) -> Result<()> {
    let value = match value {
        Value::Array(items) => {
            return items.into_iter().try_for_each(|item| expand(file, line, item, manifests));
        }
        Value::Null => return Ok(()),
        value => value,
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    if kind.is_empty() && api_version.is_empty() {
        return Err(broken(file, line, 1, NO_OBJECT, ""));
    }
    for (name, found) in [("kind", kind), ("apiVersion", api_version)] {
        if found.is_empty() {
            return Err(broken(file, line, 1, &format!("an object without {name}"), ""));
        }
    }
    if let Some(of) = kind.strip_suffix("List")
        && let Some(items @ (Value::Array(_) | Value::Null)) = value.get("items")
    {
        let items = items.as_array().cloned().unwrap_or_default();
        // A list as the API writes it leaves out what its own kind says.
        let (of, api_version) = (of.to_owned(), api_version.to_owned());
        return items.into_iter().try_for_each(|mut item| {
            if let Some(map) = item.as_object_mut().filter(|_| !of.is_empty()) {
                map.entry("apiVersion").or_insert_with(|| api_version.clone().into());
                map.entry("kind").or_insert_with(|| of.clone().into());
            }
            expand(file, line, item, manifests)
        });
    }
    for field in ["name", "namespace"] {
        if let Some(found) =
            value.pointer(&format!("/metadata/{field}")).filter(|found| !found.is_string() && !found.is_null())
        {
            let problem = format!("metadata.{field} is {found}, not text");
            return Err(broken(file, line, 1, &problem, "put it in quotes"));
        }
    }
    let line = u64::try_from(line).unwrap_or(1);
    manifests.push(Manifest { object: value, source: Source { file: file.to_owned(), line } });
    Ok(())
}

fn broken(file: &str, line: usize, column: usize, problem: &str, hint: &str) -> Error {
    let number = |number: usize| u64::try_from(number).unwrap_or(1);
    Error::File {
        file: file.to_owned(),
        line: number(line),
        column: number(column),
        problem: problem.to_owned(),
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u64, String)> {
        let found = parse("a.yaml", text.as_bytes()).unwrap();
        found.into_iter().map(|m| (m.source.line, m.object["metadata"]["name"].as_str().unwrap().to_owned())).collect()
    }

    fn object(name: &str) -> String {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n")
    }

    #[test]
    fn every_object_knows_the_line_it_begins_on() {
        let text = format!("# head\n{}---\n# only a comment\n---\n\n{}", object("a"), object("b"));
        assert_eq!(lines(&text), [(2, "a".to_owned()), (10, "b".to_owned())]);
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(lines(&crlf), lines(&text));
    }

    #[test]
    fn lists_and_json_streams_are_taken_apart() {
        let a = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#;
        assert_eq!(lines(&format!("{a}\n{a}")).len(), 2);
        assert_eq!(lines(&format!(r#"{{"apiVersion":"v1","kind":"List","items":[{a},{a}]}}"#)).len(), 2);
    }

    #[test]
    fn a_broken_document_is_named_with_line_and_column() {
        let text = format!("{}---\napiVersion: v1\nkind: [\n", object("a"));
        let error = parse("a.yaml", text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("a.yaml:7:") || error.starts_with("a.yaml:8:"), "{error}");
    }

    #[test]
    fn what_kubectl_apply_prints_gets_a_hint() {
        let error = parse("-", b"deployment.apps/web configured\nservice/web unchanged\n").unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("kubectl apply -o json prints what a wait needs"));
    }

    #[test]
    fn a_kind_is_told_without_reading_only_where_nothing_is_in_doubt() {
        let head = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n";
        let told = Some(("apiextensions.k8s.io/v1", "CustomResourceDefinition"));
        assert_eq!(kind_of(head), told);
        assert_eq!(kind_of(&head.replace('\n', "\r\n")), told);
        assert_eq!(kind_of(&format!("# a\n{head}spec:\n  kind: Other\n  text: |\n    kind: Deployment\n")), told);
        for doubtful in [
            // A separator that was forgotten hides a second object.
            format!("{head}apiVersion: apps/v1\nkind: Deployment\n"),
            head.replace("kind: C", "kind: \"C"),
            head.replace("kind: C", "kind: &anchor C"),
            head.replace("Definition", "Definition # a comment"),
            head.replace("Definition", "DefinitionList"),
            format!("{head}\"kind\": Deployment\n"),
            format!("{head}? kind\n: Deployment\n"),
            format!("{{{head}}}"),
            "kind: CustomResourceDefinition\n".to_owned(),
            head.replace(": ", ":\n  "),
        ] {
            assert_eq!(kind_of(&doubtful), None, "{doubtful}");
        }
    }

    #[test]
    fn an_object_without_kind_is_refused_with_its_line() {
        let error = parse("a.yaml", b"\n\nmetadata: {name: a}\n").unwrap_err().to_string();
        assert_eq!(error, "a.yaml:3:1: an object without kind");
    }
}
