//! Numbers of the rule tables: each a named constant with a default that a policy file may change.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use super::duration;
use crate::error::Error;

/// A number of a rule table. Families declare theirs as constants and list them in [`crate::audit::thresholds`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// As in `rollout.survival`.
    pub name: &'static str,
    /// What counts where nobody says otherwise.
    pub default: Setting,
    /// What it is, in one line.
    pub about: &'static str,
}

/// The value of a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// A count.
    Count(i64),
    /// A part of a whole, or a factor; not below zero.
    Share(f64),
    /// A time.
    Time(SignedDuration),
}

/// Thresholds that somebody changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds(BTreeMap<&'static str, Setting>);

/// The file: `thresholds` by their names, and hold times of rules by their ids.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyFile {
    api_version: String,
    kind: String,
    #[serde(default)]
    thresholds: BTreeMap<String, Value>,
    #[serde(default)]
    holds: BTreeMap<String, String>,
}

impl Thresholds {
    /// Returns a count.
    #[must_use]
    pub fn count(&self, of: &Threshold) -> i64 {
        match self.of(of) {
            Setting::Count(count) => count,
            Setting::Share(_) | Setting::Time(_) => 0,
        }
    }

    /// Returns a share.
    #[must_use]
    pub fn share(&self, of: &Threshold) -> f64 {
        match self.of(of) {
            Setting::Share(share) => share,
            Setting::Count(_) | Setting::Time(_) => 0.0,
        }
    }

    /// Returns a time.
    #[must_use]
    pub fn time(&self, of: &Threshold) -> SignedDuration {
        match self.of(of) {
            Setting::Time(time) => time,
            Setting::Count(_) | Setting::Share(_) => SignedDuration::ZERO,
        }
    }

    /// Returns whether somebody changed it.
    #[must_use]
    pub fn is_changed(&self, of: &Threshold) -> bool {
        self.0.contains_key(of.name)
    }

    fn of(&self, of: &Threshold) -> Setting {
        self.0.get(of.name).copied().unwrap_or(of.default)
    }

    /// Reads a policy file: the thresholds, and the hold times of rules.
    ///
    /// # Errors
    /// [`Error::File`] with what is wrong: a name that is none, a value of another kind, a time that does not read.
    pub fn parse(
        file: &str,
        text: &str,
        known: &[Threshold],
    ) -> Result<(Self, BTreeMap<String, SignedDuration>), Error> {
        let wrong = |problem: String| Error::File {
            file: file.to_owned(),
            line: 1,
            column: 1,
            problem,
            hint: "a policy has apiVersion kubeguard.dev/v1, kind Policy, thresholds and holds".to_owned(),
        };
        let read: PolicyFile =
            serde_saphyr::from_str(text).map_err(|error| wrong(format!("this is no policy: {error}")))?;
        if (read.api_version.as_str(), read.kind.as_str()) != ("kubeguard.dev/v1", "Policy") {
            return Err(wrong(format!("it is {} of {}", read.kind, read.api_version)));
        }
        let mut thresholds = Self::default();
        for (name, value) in &read.thresholds {
            let Some(threshold) = known.iter().find(|threshold| threshold.name == name) else {
                let names: Vec<&str> = known.iter().map(|threshold| threshold.name).collect();
                return Err(wrong(format!("there is no threshold {name:?}; known are {}", names.join(", "))));
            };
            let setting = threshold.default.like(value).map_err(|problem| wrong(format!("{name}: {problem}")))?;
            thresholds.0.insert(threshold.name, setting);
        }
        let holds = read.holds.into_iter().map(|(rule, time)| {
            duration::parse(&time)
                .map(|time| (rule.clone(), time))
                .map_err(|problem| wrong(format!("{rule}: {problem}")))
        });
        Ok((thresholds, holds.collect::<Result<_, _>>()?))
    }
}

impl Setting {
    /// Reads a value of the same kind.
    fn like(self, value: &Value) -> Result<Self, String> {
        let wrong = |what: &str| format!("{value} is no {what}");
        match self {
            Self::Count(_) => value.as_i64().filter(|count| *count >= 0).map(Self::Count).ok_or_else(|| wrong("count")),
            Self::Share(_) => {
                value.as_f64().filter(|share| *share >= 0.0).map(Self::Share).ok_or_else(|| wrong("share, as in 0.95"))
            }
            Self::Time(_) => {
                duration::parse(value.as_str().ok_or_else(|| wrong("duration, as in 90s"))?).map(Self::Time)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURVIVAL: Threshold = Threshold { name: "test.survival", default: Setting::Share(0.95), about: "" };
    const PODS: Threshold = Threshold { name: "test.pods", default: Setting::Count(3), about: "" };
    const WAIT: Threshold =
        Threshold { name: "test.wait", default: Setting::Time(SignedDuration::from_secs(10)), about: "" };

    fn read(body: &str) -> Result<(Thresholds, BTreeMap<String, SignedDuration>), Error> {
        let text = format!("apiVersion: kubeguard.dev/v1\nkind: Policy\n{body}");
        Thresholds::parse("policy.yaml", &text, &[SURVIVAL, PODS, WAIT])
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let (read, holds) = read("thresholds: {test.survival: 0.9, test.wait: 1m}\nholds: {ROLL-001: 5m}").unwrap();
        assert_eq!((read.share(&SURVIVAL), read.count(&PODS), read.time(&WAIT).as_secs()), (0.9, 3, 60));
        assert!(read.is_changed(&WAIT) && !read.is_changed(&PODS));
        assert_eq!(holds["ROLL-001"].as_secs(), 300);
    }

    #[test]
    fn what_is_no_policy_says_why() {
        for (body, word) in [
            ("thresholds: {test.survivel: 0.9}", "no threshold"),
            ("thresholds: {test.survival: much}", "test.survival"),
            ("thresholds: {test.pods: -1}", "no count"),
            ("thresholds: {test.wait: 5}", "no duration"),
            ("holds: {ROLL-001: soon}", "no duration"),
            ("rules: []", "no policy"),
        ] {
            let error = read(body).unwrap_err().to_string();
            assert!(error.contains(word), "{body}: {error}");
        }
    }
}
