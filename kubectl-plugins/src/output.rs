//! One file per format behind one trait; a format adds no decisions.

pub(crate) mod audit;
mod github;
mod json;
mod junit;
mod name;
mod ndjson;
mod table;

pub(crate) use json::escaped;
pub(crate) use table::{brief, columns, name, not_judged, place, style};

use clap::ValueEnum;
use jiff::Timestamp;
use kubeguard_core::wait::report::{ItemReport, WaitReport};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    #[default]
    Table,
    /// Lines for people, with evidence, generations and rules
    Wide,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
    /// One JSON line per change
    Ndjson,
    /// Names of the objects that are not complete
    Name,
    /// JUnit XML, a test case per object
    Junit,
    /// Annotations of GitHub Actions
    Github,
}

/// Writes answers in one format.
pub(crate) trait Show {
    /// Returns what is written while the wait goes on, whenever something changed.
    fn change(&self, _time: Timestamp, _item: &ItemReport) -> Option<String> {
        None
    }

    /// Returns what is written at the end.
    fn report(&self, report: &WaitReport) -> String;

    /// Returns whether the report names what could not be judged; if not, it is named on stderr.
    fn tells_skipped(&self) -> bool {
        false
    }
}

impl Format {
    /// Returns the writer of this format; `explain` adds to lines for people what decided.
    pub(crate) fn writer(self, colour: bool, explain: bool) -> Box<dyn Show> {
        match self {
            Self::Table => Box::new(table::Table { colour, explain, wide: false }),
            Self::Wide => Box::new(table::Table { colour, explain, wide: true }),
            Self::Json => Box::new(json::Json),
            Self::Yaml => Box::new(json::Yaml),
            Self::Ndjson => Box::new(ndjson::Ndjson),
            Self::Name => Box::new(name::Name),
            Self::Junit => Box::new(junit::Junit),
            Self::Github => Box::new(github::Github),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
