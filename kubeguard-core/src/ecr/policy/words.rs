//! The small texts of policy and clusters files: spans of time, patterns, limits, registries.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use regex::Regex;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Cap, Pattern, RegistryName, Window};
use crate::images::RegistryId;

impl Window {
    /// Returns a span of whole days.
    #[must_use]
    pub const fn days(days: i64) -> Self {
        Self(SignedDuration::from_hours(24 * days))
    }

    /// Returns a span of whole hours.
    #[must_use]
    pub const fn hours(hours: i64) -> Self {
        Self(SignedDuration::from_hours(hours))
    }

    /// Returns a span of whole minutes.
    #[must_use]
    pub const fn minutes(minutes: i64) -> Self {
        Self(SignedDuration::from_mins(minutes))
    }

    /// Returns whether it is no time at all, which switches most settings off.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_secs();
        if left == 0 {
            return f.write_str("0");
        }
        for (unit, letter) in [(86400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')] {
            if left / unit > 0 {
                write!(f, "{}{letter}", left / unit)?;
                left %= unit;
            }
        }
        Ok(())
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a span of time; write it as 30d, 12h, 90m or 1d12h");
        if text == "0" {
            return Ok(Self::default());
        }
        let (mut left, mut seconds) = (text, 0_i64);
        for (letter, unit) in [('d', 86400), ('h', 3600), ('m', 60), ('s', 1)] {
            let digits = left.len() - left.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = left.split_at(digits);
            let Some(rest) = rest.strip_prefix(letter) else { continue };
            let number: i64 = number.parse().map_err(|_| wrong())?;
            let part = number.checked_mul(unit).and_then(|part| seconds.checked_add(part));
            seconds = part.filter(|seconds| *seconds < 86400 * 36500).ok_or_else(wrong)?;
            left = rest;
        }
        if text.is_empty() || !left.is_empty() { Err(wrong()) } else { Ok(Self(SignedDuration::from_secs(seconds))) }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Window;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time, as in 30d or 12h")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Window, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Window, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Window, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl Pattern {
    /// Compiles a glob or a `/regex/`; both must match all of a name.
    ///
    /// # Errors
    /// In words, when it is empty, no regex, or a glob of another language.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern matches nothing; leave it out".to_owned());
        }
        let inner = match text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
            Some(regex) if !regex.is_empty() => format!("(?:{regex})"),
            _ => glob(text)?,
        };
        let regex = Regex::new(&format!(r"\A{inner}\z"));
        let regex = regex.map_err(|error| {
            let why = error.to_string();
            format!("{text:?} is not a regular expression: {}", why.lines().last().unwrap_or_default())
        })?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Returns whether it matches all of a name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

/// Translates `*` (within a segment), `**` (across segments) and `?`.
///
/// # Errors
/// When it holds a mark that means something in other patterns and is in no name: it would match nothing.
fn glob(text: &str) -> Result<String, String> {
    if let Some(mark) = text.chars().find(|c| c.is_whitespace() || c.is_control() || r"[]{}()|\^$".contains(*c)) {
        return Err(format!(
            "{text:?} is no glob: {mark:?} is in no name; write *, ** and ?, or a regular expression as /…/"
        ));
    }
    let mut regex = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (step, piece) = match c {
            '*' if rest.starts_with("**") => (2, ".*".to_owned()),
            '*' => (1, "[^/]*".to_owned()),
            '?' => (1, "[^/]".to_owned()),
            c => (c.len_utf8(), regex::escape(c.encode_utf8(&mut [0; 4]))),
        };
        regex.push_str(&piece);
        rest = rest.get(step..).unwrap_or_default();
    }
    Ok(regex)
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Cap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Entries(entries) => serializer.serialize_u64(*entries),
            Self::Percent(percent) => serializer.collect_str(&format_args!("{percent}%")),
        }
    }
}

impl<'de> Deserialize<'de> for Cap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Cap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of entries, a share as in 50%, or off")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Cap, E> {
                if text == "off" {
                    return Ok(Cap::Off);
                }
                let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
                let percent = percent.filter(|percent| (1..=100).contains(percent));
                percent.map(Cap::Percent).ok_or_else(|| E::custom(format!("{text:?} is neither off nor 1% to 100%")))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Cap, E> {
                if number == 0 {
                    Err(E::custom("0 would plan nothing; the least is 1"))
                } else {
                    Ok(Cap::Entries(number))
                }
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Cap, E> {
                if on { Err(E::custom("on is no limit; write a number or off")) } else { Ok(Cap::Off) }
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl FromStr for RegistryName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text.split_once('/').filter(|(account, region)| {
            account.len() == 12
                && account.bytes().all(|digit| digit.is_ascii_digit())
                && !region.is_empty()
                && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
        let (account, region) = named.ok_or_else(|| format!("{text:?} is not ACCOUNT/REGION"))?;
        Ok(Self(RegistryId::new(account, region)))
    }
}

impl Serialize for RegistryName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RegistryName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
