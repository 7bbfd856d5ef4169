//! The report as one JSON or YAML object.

use kubeguard_core::wait::report::WaitReport;

use super::Show;

pub(super) struct Json;
pub(super) struct Yaml;

impl Show for Json {
    fn report(&self, report: &WaitReport) -> String {
        serde_json::to_string_pretty(report).map_or_else(|error| error.to_string(), |text| text + "\n")
    }
}

impl Show for Yaml {
    fn report(&self, report: &WaitReport) -> String {
        serde_saphyr::to_string(report).unwrap_or_else(|error| error.to_string())
    }
}
