//! The report as one JSON or YAML object.

use kubeguard_core::audit::AuditReport;

use super::{Frame, ShowAudit};
use crate::output::json;

pub(super) struct Json;
pub(super) struct Yaml;

impl ShowAudit for Json {
    fn report(&self, report: &AuditReport, _: &Frame<'_>) -> String {
        json::text(report).unwrap_or_else(|error| error.to_string())
    }
}

impl ShowAudit for Yaml {
    fn report(&self, report: &AuditReport, _: &Frame<'_>) -> String {
        serde_saphyr::to_string(report).unwrap_or_else(|error| error.to_string())
    }
}
