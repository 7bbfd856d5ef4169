//! Lines for people, one for each finding.

use kubeguard_core::audit::{AuditReport, Finding};
use serde_json::Value;

use super::{Frame, ShowAudit, not_judged, style, summary};
use crate::output::columns;
use crate::terminal::{printable, shorten};

/// A message longer than this is cut; `-o json` has it whole.
const MOST: usize = 400;

pub(super) struct Table {
    pub(super) wide: bool,
}

impl ShowAudit for Table {
    fn report(&self, report: &AuditReport, frame: &Frame<'_>) -> String {
        let kind = frame.kind.map(str::to_uppercase);
        let mut header = vec!["SEVERITY", "RULE"];
        match &kind {
            Some(kind) => header.push(kind),
            None => header.extend(["NAMESPACE", "OBJECT", "CONTAINER"]),
        }
        if self.wide {
            header.extend(["PROOF", "SINCE", "PODS", "FINGERPRINT"]);
        }
        header.push("MESSAGE");
        let mut rows = vec![header.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()];
        rows.extend(report.items.iter().map(|finding| self.row(finding, frame)));
        let mut text = String::new();
        if !report.items.is_empty() {
            let mut lines = columns(rows).into_iter();
            text.extend(lines.next().map(|header| header + "\n"));
            for (finding, line) in report.items.iter().zip(lines) {
                let word = finding.severity.word();
                let painted = style(finding.severity).paint(word, frame.colour);
                text.push_str(&line.replacen(word, &painted, 1));
                text.push('\n');
                if self.wide {
                    text.extend(sum(finding).iter().map(|line| format!("  {}\n", printable(line))));
                }
            }
        }
        text.push_str(&summary(report, frame));
        text.push('\n');
        text.extend(not_judged(report).into_iter().map(|line| line + "\n"));
        text
    }
}

fn or_none(cell: Option<impl ToString>) -> String {
    cell.map_or_else(|| "<none>".to_owned(), |cell| cell.to_string())
}

impl Table {
    fn row(&self, finding: &Finding, frame: &Frame<'_>) -> Vec<String> {
        let mut row = vec![finding.severity.word().to_owned(), finding.rule.clone()];
        let object = &finding.object;
        if let Some(kind) = frame.kind {
            row.push(if object.kind == kind { object.name.clone() } else { "-".to_owned() });
        } else {
            let namespace = Some(&object.namespace).filter(|namespace| !namespace.is_empty());
            row.extend([or_none(namespace), object.to_string(), or_none(finding.container.as_ref())]);
        }
        if self.wide {
            row.extend([
                finding.proof.word().to_owned(),
                or_none(finding.since.map(|since| format!("{since:.0}"))),
                or_none(finding.pods.as_ref().map(|pods| format!("{}, as {}", pods.count, pods.example))),
                finding.fingerprint.clone(),
            ]);
        }
        row.push(shorten(&printable(&finding.message), MOST));
        row
    }
}

/// Returns the sum by which a finding was judged: the inequality, what it takes for granted, what turns it round.
fn sum(finding: &Finding) -> Vec<String> {
    let Some(sum) = finding.details.get("calculation") else { return Vec::new() };
    let word = |key: &str| sum.get(key).and_then(Value::as_str);
    let mut lines: Vec<String> = word("inequality").map(|text| format!("{:<9}{text}", "because")).into_iter().collect();
    lines.extend(finding.assumptions.iter().map(|text| format!("{:<9}{text}", "assumes")));
    lines.extend(word("flip").map(|text| format!("{:<9}{text}", "flip")));
    lines
}
