//! `JUnit` XML: a test case per object, as CI systems show them.

use kubeguard_core::wait::report::{ItemReport, WaitReport};
use kubeguard_core::wait::verdict::Verdict;
use quick_xml::Writer;
use quick_xml::events::{BytesText, Event};

use super::{Show, brief, name, not_judged};
use crate::terminal::printable;

pub(super) struct Junit;

/// What a test case says beside its name: element, type, message and text.
type Outcome = (&'static str, String, String, String);

impl Show for Junit {
    fn report(&self, report: &WaitReport) -> String {
        let mut cases: Vec<(String, String, Option<Outcome>)> =
            report.items.iter().map(|item| (place(&item.namespace), printable(&name(item)), outcome(item))).collect();
        cases.extend(report.skipped.iter().map(|skipped| {
            let why = not_judged(skipped);
            let outcome = ("error", "notJudged".to_owned(), printable(&skipped.reason), why);
            (place(&skipped.namespace), printable(&skipped.object), Some(outcome))
        }));
        let count = |element: &str| {
            let hits = cases.iter().filter(|(_, _, outcome)| outcome.as_ref().is_some_and(|(is, ..)| *is == element));
            hits.count().to_string()
        };
        let (tests, failures, errors, skipped) =
            (cases.len().to_string(), count("failure"), count("error"), count("skipped"));
        let time = format!("{:.3}", report.elapsed_seconds);
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        let suite = writer.create_element("testsuite").with_attributes([
            ("name", "wait-deploy"),
            ("tests", &tests),
            ("failures", &failures),
            ("errors", &errors),
            ("skipped", &skipped),
            ("time", &time),
        ]);
        let written = suite.write_inner_content(|writer| {
            for (place, name, outcome) in &cases {
                let case = writer.create_element("testcase");
                let case = case.with_attributes([("classname", place.as_str()), ("name", name.as_str())]);
                match outcome {
                    None => case.write_empty()?,
                    Some((element, kind, message, text)) => case.write_inner_content(|writer| {
                        let inner = writer.create_element(*element);
                        let inner = inner.with_attributes([("type", kind.as_str()), ("message", message.as_str())]);
                        inner.write_text_content(BytesText::new(text)).map(|_| ())
                    })?,
                };
            }
            Ok(())
        });
        if let Err(error) = written.map(|_| ()) {
            return error.to_string();
        }
        let _newline = writer.write_event(Event::Text(BytesText::from_escaped("\n")));
        let body = String::from_utf8_lossy(&writer.into_inner()).into_owned();
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}")
    }

    fn tells_skipped(&self) -> bool {
        true
    }
}

fn place(namespace: &str) -> String {
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
