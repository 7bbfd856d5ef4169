//! One page: totals, a filter, and each finding with what proves it and what ends it.
//!
//! The page loads nothing and says so to the browser; without scripts it only lacks the filter. It is XML too, so that a
//! test can tell that no text from a cluster became markup.

mod radius;
mod strip;

use std::collections::BTreeSet;

use jiff::Timestamp;
use kubeguard_core::audit::probes::blast::BlastReport;
use kubeguard_core::audit::{AuditReport, Finding, Severity, Skipped};
use serde_json::Value;

use super::{Frame, ShowAudit, not_judged, place, summary};
use crate::audits::TimelineReport;
use crate::terminal::printable;

const STYLE: &str = include_str!("html/page.css");
const PICTURES: &str = include_str!("html/pictures.css");
const SCRIPT: &str = include_str!("html/page.js");

pub(super) struct Html;

impl ShowAudit for Html {
    fn report(&self, report: &AuditReport, frame: &Frame<'_>) -> String {
        let title =
            text(&format!("{}: {}", frame.command, if report.items.is_empty() { "no findings" } else { "findings" }));
        let items: String = report.items.iter().map(finding).collect();
        let skipped: String = not_judged(report).iter().map(|line| format!("<li>{}</li>\n", text(line))).collect();
        let skipped = if skipped.is_empty() {
            skipped
        } else {
            let heading = "<h2>Not everything could be judged</h2>";
            format!("<section class=\"skipped\">\n{heading}\n<ul>\n{skipped}</ul>\n</section>\n")
        };
        let picture = frame.blast.map(|blast| radius::picture(blast, PICTURED)).unwrap_or_default();
        let body = format!("{skipped}{picture}{filter}<main>\n{items}</main>\n", filter = filter(report));
        let summary = text(&summary(report, frame));
        page(&title, &text(frame.command), &summary, frame.taken_at, &counts(report), &body)
    }
}

/// So many rows of a picture stand above the findings.
const PICTURED: usize = 8;

/// Returns a page from parts that are markup already.
fn page(title: &str, heading: &str, summary: &str, time: Timestamp, head: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}{PICTURES}</style>\n</head>\n<body>\n<header>\n<h1>{heading}</h1>\n\
         <p class=\"when\">{summary} · <time datetime=\"{time}\">{time}</time></p>\n{head}</header>\n\
         {body}<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
    )
}

/// Returns what could not be read, as a section; empty where all could.
fn unread(skipped: &[Skipped]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let lines: String = skipped.iter().map(|one| format!("<li>{}</li>\n", text(&one.reason))).collect();
    format!("<section class=\"skipped\">\n<h2>Not everything could be read</h2>\n<ul>\n{lines}</ul>\n</section>\n")
}

/// Returns the page of a blast radius.
pub(crate) fn blast_page(report: &BlastReport, time: Timestamp) -> String {
    let images = report.items.len() + report.more;
    let summary = format!("{images} images, {} services", report.services);
    let body = format!("{}<main>\n{}</main>\n", unread(&report.skipped), radius::picture(report, usize::MAX));
    page("Blast radius", "kubectl probe-audit blast", &text(&summary), time, "", &body)
}

/// Returns the page of timelines.
pub(crate) fn timeline_page(report: &TimelineReport, time: Timestamp) -> String {
    let items: String = report.items.iter().map(strip::section).collect();
    let body = format!("{}<main>\n{items}</main>\n", unread(&report.skipped));
    let summary = format!("{} cases", report.items.len());
    page("Timeline", "kubectl probe-audit timeline", &summary, time, "", &body)
}

/// Escapes text of an element or of an attribute in double quotes.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn counts(report: &AuditReport) -> String {
    let rows = Severity::ALL.into_iter().map(|severity| {
        let count = report.summary.of(severity);
        let none = if count == 0 { " none" } else { "" };
        format!("<li class=\"{severity}{none}\"><b>{count}</b> {severity}</li>\n")
    });
    format!("<ul class=\"counts\">\n{}</ul>\n", rows.collect::<String>())
}

/// The form that a script shows; without one there is nothing that it could do.
fn filter(report: &AuditReport) -> String {
    if report.items.is_empty() {
        return String::new();
    }
    let severities = Severity::ALL.into_iter().filter(|severity| report.summary.of(*severity) > 0);
    let severities = severities.map(|severity| {
        format!(
            "<label><input type=\"checkbox\" name=\"severity\" value=\"{severity}\" checked=\"\"/> {severity}</label>\n"
        )
    });
    let namespaces: BTreeSet<&str> = report.items.iter().map(place).collect();
    let namespaces = namespaces.into_iter().map(|namespace| {
        let namespace = text(namespace);
        format!("<option value=\"{namespace}\">{namespace}</option>\n")
    });
    format!(
        "<form id=\"filter\" hidden=\"\">\n<label>Namespace <select name=\"namespace\">\n<option value=\"\">all</option>\n{}</select></label>\n\
         <fieldset>\n<legend>Severity</legend>\n{}</fieldset>\n<output name=\"shown\"></output>\n</form>\n",
        namespaces.collect::<String>(),
        severities.collect::<String>(),
    )
}

fn finding(finding: &Finding) -> String {
    let object = &finding.object;
    let mut facts = vec![("Object", object.to_string()), ("Namespace", place(finding).to_owned())];
    facts.extend(finding.container.iter().map(|container| ("Container", container.clone())));
    facts.extend(finding.source.iter().map(|source| ("Source", format!("{}:{}", source.file, source.line))));
    facts.extend(finding.since.map(|since| ("Since", format!("{since:.0}"))));
    facts.extend(finding.pods.iter().map(|pods| ("Pods", format!("{}, as {}", pods.count, pods.example))));
    facts.push(("Proof", finding.proof.word().to_owned()));
    facts.push(("Fingerprint", finding.fingerprint.clone()));
    let facts: String =
        facts.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", text(value))).collect();
    let severity = finding.severity;
    let mut page = format!(
        "<article class=\"{severity}\" data-severity=\"{severity}\" data-namespace=\"{}\">\n\
         <h2><span class=\"severity\">{severity}</span> {} <small>{}</small></h2>\n<p class=\"message\">{}</p>\n<dl>\n{facts}</dl>\n",
        text(place(finding)),
        text(&finding.rule),
        text(&finding.name),
        text(&finding.message),
    );
    if !finding.remedy.text.is_empty() {
        page += &format!("<p class=\"remedy\"><b>Remedy</b> {}</p>\n", text(&finding.remedy.text));
    }
    if !finding.remedy.patch.is_empty() {
        page +=
            &format!("<details>\n<summary>Patch</summary>\n<pre>{}</pre>\n</details>\n", pretty(&finding.remedy.patch));
    }
    let rows = finding.evidence.iter().map(|evidence| {
        let object = evidence.object.as_ref().map_or(String::new(), |object| format!("{} ", text(&object.to_string())));
        format!(
            "<tr><td>{object}<code>{}</code></td><td><code>{}</code></td></tr>\n",
            text(&evidence.path),
            value(&evidence.value)
        )
    });
    let rows: String = rows.collect();
    if !rows.is_empty() {
        page += &format!(
            "<details>\n<summary>Evidence</summary>\n<table>\n<tbody>\n{rows}</tbody>\n</table>\n</details>\n"
        );
    }
    let assumptions: String =
        finding.assumptions.iter().map(|assumed| format!("<li>{}</li>\n", text(assumed))).collect();
    if !assumptions.is_empty() {
        page += &format!("<details>\n<summary>Assumes</summary>\n<ul>\n{assumptions}</ul>\n</details>\n");
    }
    page + "</article>\n"
}

fn value(value: &Value) -> String {
    match value {
        Value::String(said) => text(said),
        other => text(&other.to_string()),
    }
}

/// Line ends stay line ends here, and are those of the layout alone: inside of strings they are escaped.
fn pretty(patch: &[Value]) -> String {
    let json = serde_json::to_string_pretty(patch).unwrap_or_default();
    json.lines().map(text).collect::<Vec<_>>().join("\n")
}
