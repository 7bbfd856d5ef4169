//! Workflow commands of GitHub Actions: an annotation for each finding, on its file where there is one.

use kubeguard_core::audit::{AuditReport, Finding, Severity};

use super::{Frame, ShowAudit, not_judged, summary};
use crate::output::github::command;
use crate::terminal::printable;

pub(super) struct Github;

impl ShowAudit for Github {
    fn report(&self, report: &AuditReport, frame: &Frame<'_>) -> String {
        let findings = report.items.iter().map(|finding| {
            let level = match finding.severity {
                Severity::Critical | Severity::High => "error",
                Severity::Medium => "warning",
                Severity::Low | Severity::Info => "notice",
            };
            let title = printable(&format!("{} {}", finding.rule, finding.name));
            command(level, finding.source.as_ref(), &title, &said(finding))
        });
        let mut text: String = findings.collect();
        text.extend(not_judged(report).iter().map(|line| command("warning", None, "not judged", line)));
        text + &summary(report, frame) + "\n"
    }
}

fn said(finding: &Finding) -> String {
    let object = &finding.object;
    let place = if object.namespace.is_empty() { String::new() } else { format!(" in {}", object.namespace) };
    let container = finding.container.as_ref().map_or(String::new(), |container| format!(", container {container}"));
    let mut lines = vec![printable(&format!("{object}{place}{container}: {}", finding.message))];
    if !finding.remedy.text.is_empty() {
        lines.push(printable(&format!("remedy: {}", finding.remedy.text)));
    }
    lines.join("\n")
}
