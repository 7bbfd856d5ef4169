//! Selectors as typed after `-l` and `--field-selector`, for objects that no server filters: files, optional items, what
//! is judged of what was read.

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
        self.requirements.iter().all(|requirement| requirement.holds(labels.get(&requirement.key)))
    }

    /// Returns whether an object is selected that goes by several sets of labels, its own and those of its pods: what must
    /// be there may be in any of them, what must not be there is in none.
    #[must_use]
    pub fn matches_any(&self, sets: &[BTreeMap<String, String>]) -> bool {
        self.requirements.iter().all(|requirement| {
            let mut holds = sets.iter().map(|labels| requirement.holds(labels.get(&requirement.key)));
            match requirement.test {
                Test::NotIn(_) | Test::Absent => holds.all(|holds| holds),
                _ => holds.any(|holds| holds),
            }
        })
    }

    /// Returns whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl Requirement {
    fn holds(&self, value: Option<&String>) -> bool {
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::Greater(limit) => number(value).is_some_and(|value| value > *limit),
            Test::Less(limit) => number(value).is_some_and(|value| value < *limit),
        }
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

/// A parsed field selector; an empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// Path of the field, whether it must be equal, and the value.
    requirements: Vec<(String, bool, String)>,
}

/// A field selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at:?} is no requirement; examples: metadata.name=web, metadata.namespace!=kube-system")]
pub struct FieldSelectorError {
    at: String,
}

impl FieldSelector {
    /// Returns whether an object is selected; `field` gives the value of a path, none where the object has no such field,
    /// which then is not selected, whatever is asked of it.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|(path, equal, value)| field(path).is_some_and(|found| (found == value) == *equal))
    }

    /// Returns whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Returns the paths of the fields that it asks for.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().map(|(path, ..)| path.as_str())
    }
}

impl FromStr for FieldSelector {
    type Err = FieldSelectorError;

    /// Reads the grammar of kubectl's `--field-selector`: `=`, `==`, `!=`, joined by commas.
    fn from_str(text: &str) -> Result<Self, FieldSelectorError> {
        let requirement = |part: &str| {
            let (path, equal, value) = match (part.split_once("!="), part.split_once('=')) {
                (Some((path, value)), _) => (path, false, value),
                (None, Some((path, value))) => (path, true, value.strip_prefix('=').unwrap_or(value)),
                (None, None) => return Err(FieldSelectorError { at: part.to_owned() }),
            };
            let (path, value) = (path.trim().to_owned(), value.trim().to_owned());
            if path.is_empty() || value.contains('=') {
                return Err(FieldSelectorError { at: part.to_owned() });
            }
            Ok((path, equal, value))
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(Self { requirements: parts.map(requirement).collect::<Result<_, _>>()? })
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
    fn what_must_not_be_there_is_in_none_of_several_sets() {
        let set = |text: &str| BTreeMap::from([("app".to_owned(), text.to_owned())]);
        let both = [BTreeMap::new(), set("web")];
        let selects = |text: &str| text.parse::<Selector>().unwrap().matches_any(&both);
        assert!(selects("app=web") && selects("app") && selects("app!=db") && selects("!tier") && selects(""));
        assert!(!selects("app!=web") && !selects("!app") && !selects("app=db") && !selects("app notin (web, db)"));
    }

    #[test]
    fn fields_are_compared_as_a_server_does() {
        let pod = |path: &str| match path {
            "metadata.name" => Some("web"),
            "spec.nodeName" => Some(""),
            _ => None,
        };
        let selects = |text: &str| text.parse::<FieldSelector>().unwrap().matches(pod);
        for text in
            ["", "metadata.name=web", "metadata.name==web", "metadata.name!=db, spec.nodeName=", "spec.nodeName!=a"]
        {
            assert!(selects(text), "{text}");
        }
        // What has no such field is not selected, not even by what it is not.
        for text in
            ["metadata.name=db", "metadata.name!=web", "metadata.name=web,spec.nodeName=a", "status.phase!=Failed"]
        {
            assert!(!selects(text), "{text}");
        }
        for text in ["name", "=a", "!=", "a=b=c", "a in (b)"] {
            assert!(text.parse::<FieldSelector>().is_err(), "{text}");
        }
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
