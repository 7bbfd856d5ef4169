//! One JSON line per change, and nothing else.

use jiff::Timestamp;
use kubeguard_core::wait::report::{ItemReport, WaitReport};
use serde::Serialize;

use super::Show;
use super::json;

pub(super) struct Ndjson;

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    #[serde(flatten)]
    item: &'a ItemReport,
}

impl Show for Ndjson {
    fn change(&self, time: Timestamp, item: &ItemReport) -> Option<String> {
        json::line(&Line { time, item }).ok()
    }

    fn report(&self, _report: &WaitReport) -> String {
        String::new()
    }
}
