//! The objects with findings, as kubectl names them, each once.

use std::collections::HashSet;

use kubeguard_core::audit::AuditReport;

use super::{Frame, ShowAudit};
use crate::terminal::printable;

pub(super) struct Name;

impl ShowAudit for Name {
    fn report(&self, report: &AuditReport, _: &Frame<'_>) -> String {
        let mut seen = HashSet::new();
        let objects = report.items.iter().map(|finding| &finding.object).filter(|object| seen.insert(*object));
        objects.map(|object| printable(&object.to_string()) + "\n").collect()
    }
}
