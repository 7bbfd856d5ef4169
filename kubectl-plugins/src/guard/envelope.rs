//! What every simulator answers with: one object of JSON, and the exit codes of the audits.

use kubeguard_core::audit::{AuditReport, Finding, Skipped};
use kubeguard_core::models::Given;
use serde::Serialize;

use crate::cli::AuditArgs;
use crate::exit::ExitCode;
use crate::output::audit::AuditFormat;
use crate::output::json;

/// The answer of a simulator: its own fields beside what all have.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope<'a, T: Serialize> {
    api_version: &'static str,
    kind: &'static str,
    exit_code: u8,
    inputs: &'a [Given],
    #[serde(flatten)]
    own: &'a T,
    items: &'a [Finding],
    skipped: &'a [Skipped],
    complete: bool,
}

/// What a command hands over to be shown.
pub(crate) struct Answer<'a, T: Serialize> {
    /// As in `RolloutSimulation`.
    pub(crate) kind: &'static str,
    /// Numbers that it was made of, with their origins.
    pub(crate) inputs: &'a [Given],
    /// The fields of this kind.
    pub(crate) own: &'a T,
    /// Findings about the object, and what could not be judged; an empty report where there are none.
    pub(crate) report: &'a AuditReport,
    /// Lines for people.
    pub(crate) picture: String,
}

impl<T: Serialize> Answer<'_, T> {
    /// Returns the text of a format, and the exit code. Formats that are made for findings alone are for audits: here
    /// they get the picture.
    pub(crate) fn write(&self, asked: AuditArgs) -> (String, ExitCode) {
        let code = asked.code(self.report);
        let envelope = Envelope {
            api_version: AuditReport::API_VERSION,
            kind: self.kind,
            exit_code: code.code(),
            inputs: self.inputs,
            own: self.own,
            items: &self.report.items,
            skipped: &self.report.skipped,
            complete: self.report.complete,
        };
        let text = match asked.output {
            AuditFormat::Json => json::text(&envelope).unwrap_or_else(|error| error.to_string()),
            AuditFormat::Yaml => serde_saphyr::to_string(&envelope).unwrap_or_else(|error| error.to_string()),
            _ => self.picture.clone(),
        };
        (text, code)
    }
}
