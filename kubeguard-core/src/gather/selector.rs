//! Label selectors as typed after `-l`, for objects that no server filters: files and optional items.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A parsed label selector; an empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    text: String,
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    /// An object without the label passes, as in `labels.Requirement.Matches` of apimachinery.
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// A selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selector {text:?} cannot be read at {at:?}; examples: app=web, tier!=cache, env in (prod, test), !legacy")]
pub struct SelectorError {
    text: String,
    at: String,
}

impl Selector {
    /// Returns whether an object with `labels` is selected.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.test {
                Test::In(values) => value.is_some_and(|value| values.contains(value)),
                Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::Greater(limit) => number(value).is_some_and(|value| value > *limit),
                Test::Less(limit) => number(value).is_some_and(|value| value < *limit),
            }
        })
    }

    /// Returns whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

fn number(value: Option<&String>) -> Option<i64> {
    value?.parse().ok()
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    /// Reads the grammar of kubectl's `-l`: `=`, `==`, `!=`, `in`, `notin`, `key`, `!key`, `<`, `>`, joined by commas.
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() && text.trim().is_empty() {
                continue;
            }
            let requirement =
                requirement(part).ok_or_else(|| SelectorError { text: text.to_owned(), at: part.to_owned() })?;
            requirements.push(requirement);
        }
        Ok(Self { text: text.to_owned(), requirements })
    }
}

/// Splits at commas that stand outside of parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn requirement(part: &str) -> Option<Requirement> {
    let of = |key: &str, test| {
        let key = key.trim();
        is_key(key).then(|| Requirement { key: key.to_owned(), test })
    };
    let value = |value: &str| {
        let value = value.trim();
        is_value(value).then(|| vec![value.to_owned()])
    };
    if let Some(key) = part.strip_prefix('!') {
        return of(key, Test::Absent);
    }
    if let Some((key, rest)) = part.split_once("!=") {
        return of(key, Test::NotIn(value(rest)?));
    }
    if let Some((key, rest)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return of(key, Test::In(value(rest)?));
    }
    if let Some((key, rest)) = part.split_once('>') {
        return of(key, Test::Greater(rest.trim().parse().ok()?));
    }
    if let Some((key, rest)) = part.split_once('<') {
        return of(key, Test::Less(rest.trim().parse().ok()?));
    }
    if let Some((head, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let (key, word) = head.trim().rsplit_once(char::is_whitespace)?;
        let values = values.split(',').map(|v| value(v).map(|v| v.concat())).collect::<Option<Vec<_>>>()?;
        return match word {
            "in" => of(key, Test::In(values)),
            "notin" => of(key, Test::NotIn(values)),
            _ => None,
        };
    }
    of(part, Test::Exists)
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

fn is_value(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        selector.parse::<Selector>().unwrap().matches(&labels)
    }

    #[test]
    fn every_operator_of_kubectl_is_read() {
        let web = &[("app", "web"), ("tier", "front"), ("size", "7")];
        for yes in [
            "",
            "app",
            "app=web",
            "app==web",
            "tier!=cache",
            "gone!=x",
            "!gone",
            "app in (api, web),tier",
            "app notin (api)",
            "gone notin (a,b)",
            "size>6",
            "size<8",
        ] {
            assert!(matches(yes, web), "{yes}");
        }
        for no in ["gone", "app=api", "app!=web", "!app", "app in (api)", "app notin (web)", "size>7", "app=web,gone"] {
            assert!(!matches(no, web), "{no}");
        }
    }

    #[test]
    fn a_selector_that_cannot_be_read_says_where() {
        for bad in ["app=web,", "=web", "app in web)", "app near (x)", "a b", "size>big"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
