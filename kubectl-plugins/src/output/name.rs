//! The objects that are not complete, as kubectl names them.

use kubeguard_core::wait::report::WaitReport;
use kubeguard_core::wait::verdict::Verdict;

use super::Show;
use crate::terminal::printable;

pub(super) struct Name;

impl Show for Name {
    fn report(&self, report: &WaitReport) -> String {
        let open = report.items.iter().filter(|item| item.verdict != Verdict::Complete);
        let names = open.map(|item| {
            let kind = item.object_kind.to_lowercase();
            let name = match item.api_version.split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", item.name),
                None => format!("{kind}/{}", item.name),
            };
            printable(&name) + "\n"
        });
        names.collect()
    }
}
