//! Workflow commands of GitHub Actions: an annotation per object that is not complete, on its file where there is one.
//!
//! Format: <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>.

use kubeguard_core::wait::report::{ItemReport, Source, WaitReport};
use kubeguard_core::wait::verdict::Verdict;

use super::{Show, brief, name, not_judged, table};
use crate::terminal::printable;

pub(super) struct Github;

impl Show for Github {
    fn report(&self, report: &WaitReport) -> String {
        let mut text = String::new();
        for item in &report.items {
            for warning in &item.warnings {
                text.push_str(&command(
                    "warning",
                    item.source.as_ref(),
                    &printable(&name(item)),
                    &printable(&warning.to_string()),
                ));
            }
            let level = match item.verdict {
                Verdict::Complete => continue,
                Verdict::Suspended => "warning",
                _ if item.optional => "warning",
                _ => "error",
            };
            text.push_str(&command(level, item.source.as_ref(), &title(item), &said(item)));
        }
        for skipped in &report.skipped {
            text.push_str(&command("error", None, &printable(&skipped.object), &not_judged(skipped)));
        }
        text + &table::summary(report, false) + "\n"
    }

    fn tells_skipped(&self) -> bool {
        true
    }
}

fn title(item: &ItemReport) -> String {
    let place = if item.namespace.is_empty() { String::new() } else { format!(" in {}", printable(&item.namespace)) };
    printable(&format!("{}{place} {}", name(item), item.verdict))
}

fn said(item: &ItemReport) -> String {
    let mut lines = vec![printable(&brief(item))];
    lines.extend(item.causes.iter().map(|cause| {
        let at = format!("{}/{}", cause.object_kind.to_lowercase(), cause.name);
        printable(&format!("{at}: {}: {}", cause.reason, cause.message))
    }));
    if !item.remedy.is_empty() {
        lines.push(format!("remedy: {}", printable(&item.remedy)));
    }
    lines.join("\n")
}

/// Returns one workflow command; texts must be printable.
pub(super) fn command(level: &str, source: Option<&Source>, title: &str, message: &str) -> String {
    let file = source
        .map_or(String::new(), |source| format!("file={},line={},", property(&printable(&source.file)), source.line));
    format!("::{level} {file}title={}::{}\n", property(title), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
