//! `JUnit` XML: a test case per object, as CI systems show them.

use std::io;

use kubeguard_core::wait::report::{ItemReport, WaitReport};
use kubeguard_core::wait::verdict::Verdict;
use quick_xml::Writer;
use quick_xml::events::{BytesText, Event};

use super::{Show, brief, name, not_judged};
use crate::terminal::printable;

pub(super) struct Junit;

/// What a test case says beside its name: element, type, message and text. `system-out` has the text alone.
pub(super) type Outcome = (&'static str, String, String, String);

/// A test case. Texts must be printable.
pub(super) struct Case {
    /// Name of the class, which groups cases.
    pub(super) class: String,
    /// Name.
    pub(super) name: String,
    /// Absent where there is nothing to say.
    pub(super) outcome: Option<Outcome>,
}

impl Show for Junit {
    fn report(&self, report: &WaitReport) -> String {
        let mut cases: Vec<Case> = report
            .items
            .iter()
            .map(|item| Case { class: place(&item.namespace), name: printable(&name(item)), outcome: outcome(item) })
            .collect();
        cases.extend(report.skipped.iter().map(|skipped| {
            let why = not_judged(skipped);
            let outcome = ("error", "notJudged".to_owned(), printable(&skipped.reason), why);
            Case { class: place(&skipped.namespace), name: printable(&skipped.object), outcome: Some(outcome) }
        }));
        document(|writer| suite(writer, "wait-deploy", &cases, Some(report.elapsed_seconds)))
    }

    fn tells_skipped(&self) -> bool {
        true
    }
}

/// Returns a document with what `write` writes.
pub(super) fn document(write: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    if let Err(error) = write(&mut writer) {
        return error.to_string();
    }
    let _newline = writer.write_event(Event::Text(BytesText::from_escaped("\n")));
    let body = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}")
}

/// Writes a suite with its counts.
pub(super) fn suite(writer: &mut Writer<Vec<u8>>, name: &str, cases: &[Case], seconds: Option<f64>) -> io::Result<()> {
    let count = |element: &str| {
        let hits = cases.iter().filter(|case| case.outcome.as_ref().is_some_and(|(is, ..)| *is == element));
        hits.count().to_string()
    };
    let (tests, failures, errors, skipped) =
        (cases.len().to_string(), count("failure"), count("error"), count("skipped"));
    let time = seconds.map(|seconds| format!("{seconds:.3}"));
    let suite = writer.create_element("testsuite").with_attributes([
        ("name", name),
        ("tests", &tests),
        ("failures", &failures),
        ("errors", &errors),
        ("skipped", &skipped),
    ]);
    let suite = suite.with_attributes(time.iter().map(|time| ("time", time.as_str())));
    let written = suite.write_inner_content(|writer| {
        for Case { class, name, outcome } in cases {
            let case = writer.create_element("testcase");
            let case = case.with_attributes([("classname", class.as_str()), ("name", name.as_str())]);
            match outcome {
                None => case.write_empty()?,
                Some((element, kind, message, text)) => case.write_inner_content(|writer| {
                    let inner = writer.create_element(*element);
                    let about = [("type", kind.as_str()), ("message", message.as_str())];
                    let about = about.into_iter().filter(|_| *element != "system-out");
                    inner.with_attributes(about).write_text_content(BytesText::new(text)).map(|_| ())
                })?,
            };
        }
        Ok(())
    });
    written.map(|_| ())
}

/// Returns the namespace as a class, or `cluster` for what has none.
pub(super) fn place(namespace: &str) -> String {
    if namespace.is_empty() { "cluster".to_owned() } else { printable(namespace) }
}

/// Returns what is not as it should be; an object that may fail is skipped, with the reason.
fn outcome(item: &ItemReport) -> Option<Outcome> {
    if item.verdict == Verdict::Complete {
        return None;
    }
    let element = if item.optional { "skipped" } else { "failure" };
    let kind = if item.reason.is_empty() { item.verdict.to_string() } else { printable(&item.reason) };
    let mut text = vec![printable(&format!("{}: {}", item.verdict, brief(item)))];
    text.extend(item.causes.iter().map(|cause| {
        let container = cause.container.as_ref().map_or(String::new(), |container| format!(" container {container}"));
        let at = format!("{}/{}{container}", cause.object_kind.to_lowercase(), cause.name);
        printable(&format!("{at}: {}: {}", cause.reason, cause.message))
    }));
    text.extend(item.causes.iter().flat_map(|cause| &cause.log).map(|line| format!("  log  {}", printable(line))));
    if !item.remedy.is_empty() {
        text.push(format!("remedy: {}", printable(&item.remedy)));
    }
    Some((element, kind, printable(&item.message), text.join("\n")))
}
