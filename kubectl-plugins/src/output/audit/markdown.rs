//! Markdown, as GitHub and GitLab show it: a line with the totals, a table from the worst to the least.

use kubeguard_core::audit::{AuditReport, Finding, Severity};

use super::{Frame, ShowAudit, not_judged, place, summary};
use crate::terminal::printable;

pub(super) struct Markdown;

impl ShowAudit for Markdown {
    fn report(&self, report: &AuditReport, frame: &Frame<'_>) -> String {
        let mut text = format!("**{}**: {}\n", frame.command, summary(report, frame));
        let findings = Severity::ALL
            .into_iter()
            .flat_map(|severity| report.items.iter().filter(move |finding| finding.severity == severity));
        let rows: String = findings.map(row).collect();
        if !rows.is_empty() {
            text += "\n| Severity | Rule | Namespace | Object | Container | Message | Remedy |\n";
            text += "| --- | --- | --- | --- | --- | --- | --- |\n";
            text += &rows;
        }
        if !report.skipped.is_empty() {
            text += "\nNot everything could be judged:\n\n";
            text.extend(not_judged(report).iter().map(|line| format!("- {}\n", plain(line))));
        }
        text
    }
}

fn row(finding: &Finding) -> String {
    let (rule, object) = (format!("{} {}", finding.rule, finding.name), finding.object.to_string());
    let cells = [
        finding.severity.word(),
        &rule,
        place(finding),
        &object,
        finding.container.as_deref().unwrap_or_default(),
        &finding.message,
        &finding.remedy.text,
    ];
    let cells: String = cells.iter().map(|cell| format!(" {} |", plain(cell))).collect();
    format!("|{cells}\n")
}

/// Takes the meaning from everything that Markdown or HTML would read as markup.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '!' | '$' => plain.extend(['\\', c]),
            c => plain.push(c),
        }
    }
    plain
}
