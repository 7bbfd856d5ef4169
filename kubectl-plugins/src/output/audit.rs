//! An audit's answer in each format of the contract; no format knows whose rules these are.

mod github;
pub(crate) mod html;
mod json;
mod junit;
mod markdown;
mod name;
mod prometheus;
mod sarif;
mod table;

use clap::ValueEnum;
use jiff::Timestamp;
use kubeguard_core::audit::probes::blast::BlastReport;
use kubeguard_core::audit::{AuditReport, Finding, Severity, Suppressed};

use crate::terminal::{Style, printable};

/// How the answer of an audit is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum AuditFormat {
    /// Lines for people
    #[default]
    Table,
    /// Lines for people, with proof, age, pods and fingerprints
    Wide,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
    /// Names of the objects, each once
    Name,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit XML, a test case per rule and object
    Junit,
    /// Tables for a comment on a pull request
    Markdown,
    /// Annotations of GitHub Actions
    Github,
    /// Metrics for Prometheus' textfile collector
    Prometheus,
    /// One page without anything beside it
    Html,
}

/// A rule, as reports list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuleRow<'a> {
    /// As in `PA201`.
    pub(crate) id: &'a str,
    /// As in `named-port-unresolved`.
    pub(crate) name: &'a str,
    /// Its usual severity.
    pub(crate) severity: Severity,
    /// What it finds.
    pub(crate) summary: &'a str,
    /// What ends it.
    pub(crate) remedy: &'a str,
}

/// What a format may want to know beside the report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Whose answer it is, as users type it.
    pub(crate) command: &'a str,
    /// The rules that were asked for.
    pub(crate) rules: &'a [RuleRow<'a>],
    /// The least severity that counts as a failure.
    pub(crate) fail_on: Option<Severity>,
    /// The time of what was judged.
    pub(crate) taken_at: Timestamp,
    /// The kind that most objects are of, where it has neither namespaces nor containers: tables name it alone.
    pub(crate) kind: Option<&'a str>,
    /// Lines for people have colour.
    pub(crate) colour: bool,
    /// Findings that somebody accepted.
    pub(crate) suppressed: &'a [Suppressed],
    /// What falls with what, for the page.
    pub(crate) blast: Option<&'a BlastReport>,
}

/// Writes an audit's answer in one format.
pub(crate) trait ShowAudit {
    /// Returns the whole answer, with a line end.
    fn report(&self, report: &AuditReport, frame: &Frame<'_>) -> String;
}

impl AuditFormat {
    /// Returns the writer of this format.
    pub(crate) fn writer(self) -> &'static dyn ShowAudit {
        match self {
            Self::Table => &table::Table { wide: false },
            Self::Wide => &table::Table { wide: true },
            Self::Json => &json::Json,
            Self::Yaml => &json::Yaml,
            Self::Name => &name::Name,
            Self::Sarif => &sarif::Sarif,
            Self::Junit => &junit::Junit,
            Self::Markdown => &markdown::Markdown,
            Self::Github => &github::Github,
            Self::Prometheus => &prometheus::Prometheus,
            Self::Html => &html::Html,
        }
    }

    /// Returns lines for what was not judged where the format has no place for them: no list of names is an all-clear.
    pub(crate) fn beside(self, report: &AuditReport) -> Vec<String> {
        if self == Self::Name { not_judged(report) } else { Vec::new() }
    }
}

const fn style(severity: Severity) -> Style {
    match severity {
        Severity::Critical | Severity::High => Style::Bad,
        Severity::Medium => Style::Waiting,
        Severity::Low | Severity::Info => Style::Plain,
    }
}

/// Returns `4 findings: 1 critical, 3 low · 2 suppressed · 41 objects, 212 rules`.
fn summary(report: &AuditReport, frame: &Frame<'_>) -> String {
    let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let total = report.items.len() as u64;
    let counts = Severity::ALL.into_iter().map(|severity| (report.summary.of(severity), severity));
    let counts = counts.filter(|(count, _)| *count > 0).map(|(count, severity)| format!("{count} {severity}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    let mut parts = vec![match total {
        0 => "no findings".to_owned(),
        _ => format!("{}: {counts}", plural(total, "finding")),
    }];
    let left_out = [(report.summary.suppressed, "suppressed"), (report.summary.baseline, "in the baseline")];
    parts.extend(left_out.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")));
    parts.push(format!("{}, {}", plural(report.summary.objects, "object"), plural(frame.rules.len() as u64, "rule")));
    parts.join(" · ")
}

/// Returns a line for everything that was not judged.
fn not_judged(report: &AuditReport) -> Vec<String> {
    let lines = report.skipped.iter().map(|skipped| {
        let word = if skipped.partial { "judged in part" } else { "not judged" };
        let place = skipped.namespace.as_ref().map_or(String::new(), |namespace| format!(" in namespace {namespace}"));
        let about = skipped.rules.join(", ") + &place;
        let about = if about.is_empty() { about } else { format!("{}: ", about.trim_start()) };
        printable(&format!("{word}: {about}{}", skipped.reason))
    });
    lines.collect()
}

/// Returns the namespace, or `cluster` for what has none.
fn place(finding: &Finding) -> &str {
    if finding.object.namespace.is_empty() { "cluster" } else { &finding.object.namespace }
}

#[cfg(test)]
mod tests;
