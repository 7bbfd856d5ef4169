//! What is known already: findings of an earlier report.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::report::{AuditReport, Finding};

/// Fingerprints of findings that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    fingerprints: BTreeSet<String>,
}

/// A file that is no baseline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct BaselineError {
    /// Path of the file.
    pub file: String,
    /// Line, counted from 1.
    pub line: u64,
    /// What is wrong there.
    pub problem: String,
}

#[derive(Deserialize)]
struct Known {
    kind: String,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    fingerprint: String,
}

impl Baseline {
    /// Returns the baseline that a report makes.
    #[must_use]
    pub fn of(report: &AuditReport) -> Self {
        Self { fingerprints: report.items.iter().map(|item| item.fingerprint.clone()).collect() }
    }

    /// Reads an earlier report in JSON, or one fingerprint a line; `#` begins a comment.
    ///
    /// # Errors
    /// [`BaselineError`] where it is neither.
    pub fn parse(file: &str, text: &str) -> Result<Self, BaselineError> {
        let wrong = |line: usize, problem: String| BaselineError {
            file: file.to_owned(),
            line: u64::try_from(line).unwrap_or(1),
            problem,
        };
        if text.trim_start().starts_with('{') {
            let known: Known = serde_json::from_str(text)
                .map_err(|error| wrong(error.line(), format!("this is no report of an audit: {error}")))?;
            if known.kind != AuditReport::KIND {
                return Err(wrong(1, format!("this is a {}, not an {}", known.kind, AuditReport::KIND)));
            }
            return Ok(Self { fingerprints: known.items.into_iter().map(|item| item.fingerprint).collect() });
        }
        let mut fingerprints = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            if line.len() != 32 || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(wrong(index + 1, format!("{line:?} is no fingerprint: it has 32 hexadecimal digits")));
            }
            fingerprints.insert(line.to_lowercase());
        }
        Ok(Self { fingerprints })
    }

    /// Returns whether a finding is known.
    #[must_use]
    pub fn knows(&self, finding: &Finding) -> bool {
        self.fingerprints.contains(&finding.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_a_report_or_a_list_of_fingerprints() {
        let print = "0123456789abcdef0123456789abcdef";
        let list = Baseline::parse("b", &format!("# known\n{print} # web\n\n")).unwrap();
        let report = format!(r#"{{"kind": "AuditReport", "items": [{{"fingerprint": "{print}"}}]}}"#);
        assert_eq!(Baseline::parse("b", &report).unwrap(), list);
        assert_eq!(Baseline::parse("b", "PA201").unwrap_err().line, 1);
        assert_eq!(
            Baseline::parse("b", r#"{"kind": "CleanPlan"}"#).unwrap_err().problem,
            "this is a CleanPlan, not an AuditReport"
        );
    }
}
