//! Metrics in Prometheus' text format, as its textfile collector reads them.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats>.

use std::collections::BTreeSet;

use kubeguard_core::audit::AuditReport;

use super::{Frame, ShowAudit};
use crate::terminal::printable;

pub(super) struct Prometheus;

impl ShowAudit for Prometheus {
    fn report(&self, report: &AuditReport, frame: &Frame<'_>) -> String {
        // A series may stand there once only, however many findings have its labels.
        let findings: BTreeSet<String> = report
            .items
            .iter()
            .map(|finding| {
                let object = &finding.object;
                labels(&[
                    ("rule", &finding.rule),
                    ("severity", finding.severity.word()),
                    ("namespace", &object.namespace),
                    ("kind", &object.kind),
                    ("name", &object.name),
                    ("container", finding.container.as_deref().unwrap_or_default()),
                ])
            })
            .collect();
        let skipped: BTreeSet<String> = report
            .skipped
            .iter()
            .flat_map(|skipped| skipped.rules.iter().map(|rule| labels(&[("rule", rule), ("reason", &skipped.reason)])))
            .collect();
        let mut text = String::new();
        let mut metric = |name: &str, help: &str, lines: Vec<String>| {
            text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
            text.extend(lines.into_iter().map(|line| format!("{name}{line}\n")));
        };
        let ones = |series: BTreeSet<String>| series.into_iter().map(|labels| labels + " 1").collect();
        metric("kubeguard_findings", "A rule finds something wrong with an object.", ones(findings));
        metric("kubeguard_rules_skipped", "A rule could not be judged.", ones(skipped));
        let complete = format!(" {}", u8::from(report.complete));
        metric("kubeguard_audit_complete", "Everything that was asked for could be judged.", vec![complete]);
        let time = format!(" {}", frame.taken_at.as_second());
        metric("kubeguard_audit_timestamp_seconds", "Time of what was judged.", vec![time]);
        text
    }
}

fn labels(labels: &[(&str, &str)]) -> String {
    let escaped = |value: &str| printable(value).replace('\\', "\\\\").replace('"', "\\\"");
    let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}
