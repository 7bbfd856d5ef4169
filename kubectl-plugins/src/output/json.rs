//! The report as one JSON or YAML object.

use kubeguard_core::wait::report::WaitReport;

use super::Show;

pub(super) struct Json;
pub(super) struct Yaml;

/// Escapes what JSON lets stand and a terminal obeys: delete, and the control characters above it.
///
/// They stand only inside of strings, so that a reader gets the same text.
pub(crate) fn escaped(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe
}

impl Show for Json {
    fn report(&self, report: &WaitReport) -> String {
        serde_json::to_string_pretty(report).map_or_else(|error| error.to_string(), |text| escaped(&text) + "\n")
    }

    fn tells_skipped(&self) -> bool {
        true
    }
}

impl Show for Yaml {
    fn report(&self, report: &WaitReport) -> String {
        serde_saphyr::to_string(report).unwrap_or_else(|error| error.to_string())
    }

    fn tells_skipped(&self) -> bool {
        true
    }
}
