//! `JUnit` XML: a suite per family of rules, a test case per rule and object.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use kubeguard_core::audit::{AuditReport, Finding};

use super::{Frame, ShowAudit};
use crate::output::junit::{Case, document, place, suite};
use crate::terminal::printable;

pub(super) struct Junit;

impl ShowAudit for Junit {
    fn report(&self, report: &AuditReport, frame: &Frame<'_>) -> String {
        let mut suites: BTreeMap<&str, Vec<Case>> = BTreeMap::new();
        for finding in &report.items {
            suites.entry(family(&finding.rule)).or_default().push(case(finding, frame));
        }
        let mut said: BTreeSet<&str> = report.items.iter().map(|finding| finding.rule.as_str()).collect();
        for skipped in &report.skipped {
            let class = skipped.namespace.as_deref().unwrap_or_default();
            for rule in &skipped.rules {
                let word = if skipped.partial { "judgedInPart" } else { "notJudged" };
                let outcome = ("skipped", word.to_owned(), printable(&skipped.reason), String::new());
                let case = Case { class: place(class), name: printable(rule), outcome: Some(outcome) };
                suites.entry(family(rule)).or_default().push(case);
                said.insert(rule);
            }
        }
        // A document without a case is an error to some readers; and a rule that found nothing is a test that passed.
        for rule in frame.rules.iter().filter(|rule| !said.contains(rule.id)) {
            let name = printable(&format!("{} {}", rule.id, rule.name));
            suites.entry(family(rule.id)).or_default().push(Case { class: "rules".to_owned(), name, outcome: None });
        }
        document(|writer| {
            let root = writer.create_element("testsuites").with_attribute(("name", frame.command));
            let written = root.write_inner_content(|writer| {
                suites.iter().try_for_each(|(name, cases)| suite(writer, name, cases, None)).map_err(io::Error::other)
            });
            written.map(|_| ())
        })
    }
}

/// Returns the letters before the number of a rule.
fn family(rule: &str) -> &str {
    rule.find(|c: char| !c.is_ascii_alphabetic()).map_or(rule, |end| &rule[..end])
}

fn case(finding: &Finding, frame: &Frame<'_>) -> Case {
    let container = finding.container.as_ref().map_or(String::new(), |container| format!(" container {container}"));
    let name = printable(&format!("{} {} {}{container}", finding.rule, finding.name, finding.object));
    let mut text = vec![printable(&format!("{}: {}", finding.severity, finding.message))];
    text.extend(finding.evidence.iter().map(|evidence| {
        let object = evidence.object.as_ref().map_or(String::new(), |object| format!("{object} "));
        printable(&format!("{object}{} = {}", evidence.path, evidence.value))
    }));
    if !finding.remedy.text.is_empty() {
        text.push(printable(&format!("remedy: {}", finding.remedy.text)));
    }
    let fails = frame.fail_on.is_some_and(|fail_on| finding.severity >= fail_on);
    let element = if fails { "failure" } else { "system-out" };
    let outcome = (element, finding.severity.word().to_owned(), printable(&finding.message), text.join("\n"));
    Case { class: place(&finding.object.namespace), name, outcome: Some(outcome) }
}
