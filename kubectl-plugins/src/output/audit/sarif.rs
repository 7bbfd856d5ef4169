//! SARIF 2.1.0, as code scanning reads it.
//!
//! Format: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use kubeguard_core::audit::suppress::{Acceptance, Place};
use kubeguard_core::audit::{AuditReport, Finding, Severity};
use serde_json::{Value, json};

use super::{Frame, RuleRow, ShowAudit, not_judged};
use crate::output::json::text;
use crate::terminal::printable;

pub(super) struct Sarif;

impl ShowAudit for Sarif {
    fn report(&self, report: &AuditReport, frame: &Frame<'_>) -> String {
        let mut rules: Vec<Value> = frame.rules.iter().map(rule).collect();
        let mut ids: Vec<&str> = frame.rules.iter().map(|rule| rule.id).collect();
        // A result must not point to a rule that is not listed.
        let suppressed = frame.suppressed.iter().map(|suppressed| &suppressed.finding);
        for finding in report.items.iter().chain(suppressed) {
            if !ids.contains(&finding.rule.as_str()) {
                ids.push(&finding.rule);
                let (name, severity) = (finding.name.as_str(), finding.severity);
                rules.push(rule(&RuleRow { id: &finding.rule, name, severity, summary: name, remedy: "" }));
            }
        }
        let mut results: Vec<Value> = report.items.iter().map(|finding| result(finding, &ids)).collect();
        results.extend(frame.suppressed.iter().map(|suppressed| {
            let mut result = result(&suppressed.finding, &ids);
            result["suppressions"] = json!([suppression(&suppressed.acceptance)]);
            result
        }));
        let notes = not_judged(report).into_iter().map(|line| json!({"level": "warning", "message": {"text": line}}));
        let notes: Vec<Value> = notes.collect();
        let mut invocation = json!({"executionSuccessful": report.complete});
        if !notes.is_empty() {
            invocation["toolExecutionNotifications"] = notes.into();
        }
        let driver = json!({
            "name": "kubeguard", "fullName": frame.command, "version": env!("CARGO_PKG_VERSION"), "rules": rules,
        });
        let sarif = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "invocations": [invocation], "results": results}],
        });
        text(&sarif).unwrap_or_else(|error| error.to_string())
    }
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

fn rule(rule: &RuleRow<'_>) -> Value {
    let mut described = json!({
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": printable(rule.summary)},
        "defaultConfiguration": {"level": level(rule.severity)},
    });
    if !rule.remedy.is_empty() {
        described["help"] = json!({"text": printable(rule.remedy)});
    }
    described
}

fn result(finding: &Finding, ids: &[&str]) -> Value {
    let object = &finding.object;
    let parts =
        [object.namespace.as_str(), &object.kind, &object.name, finding.container.as_deref().unwrap_or_default()];
    let parts: Vec<String> = parts.iter().filter(|part| !part.is_empty()).map(|part| printable(part)).collect();
    let name = finding.container.as_deref().unwrap_or(&object.name);
    let mut location = json!({
        "logicalLocations": [{"fullyQualifiedName": parts.join("/"), "name": printable(name), "kind": "resource"}],
    });
    if let Some(source) = &finding.source {
        location["physicalLocation"] = json!({
            "artifactLocation": {"uri": uri(&source.file)},
            "region": {"startLine": source.line.max(1)},
        });
    }
    let mut properties = json!({"severity": finding.severity, "proof": finding.proof});
    if !finding.remedy.text.is_empty() {
        properties["remedy"] = printable(&finding.remedy.text).into();
    }
    if !finding.assumptions.is_empty() {
        properties["assumptions"] = finding.assumptions.iter().map(|text| printable(text)).collect::<Vec<_>>().into();
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": {"text": printable(&finding.message)},
        "locations": [location],
        "partialFingerprints": {"kubeguard/v1": finding.fingerprint},
        "properties": properties,
    });
    if let Some(index) = ids.iter().position(|id| *id == finding.rule) {
        result["ruleIndex"] = index.into();
    }
    result
}

/// Returns why a result is not to be shown.
fn suppression(acceptance: &Acceptance) -> Value {
    let kind = match acceptance.place {
        Place::Annotation => "inSource",
        Place::File => "external",
    };
    let mut suppression = json!({"kind": kind, "status": "accepted", "justification": printable(&acceptance.because)});
    if let Some(until) = acceptance.until {
        suppression["properties"] = json!({"until": until});
    }
    suppression
}

/// Returns a path as a reference of RFC 3986; an address stays one.
fn uri(path: &str) -> String {
    let (scheme, path) = match path.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), path),
    };
    let mut uri = scheme;
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
