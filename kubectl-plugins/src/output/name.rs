//! The objects that are not complete, as kubectl names them.

use kubeguard_core::wait::report::WaitReport;
use kubeguard_core::wait::verdict::Verdict;

use super::Show;

pub(super) struct Name;

impl Show for Name {
    fn report(&self, report: &WaitReport) -> String {
        let open = report.items.iter().filter(|item| item.verdict != Verdict::Complete);
        let names = open.map(|item| {
            let kind = item.object_kind.to_lowercase();
            match item.api_version.split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}\n", item.name),
                None => format!("{kind}/{}\n", item.name),
            }
        });
        names.collect()
    }
}
