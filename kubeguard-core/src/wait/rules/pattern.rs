//! Names with wildcards: `*.crossplane.io`, `!*ProviderConfig`.

use serde::Deserialize;

/// A glob: `*` stands for any text; a leading `!` turns it round; an empty one matches only the empty name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    pub(super) fn all() -> Self {
        Self("*".to_owned())
    }

    /// Returns whether it matches `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_prefix('!') {
            Some(not) => !glob(not, name),
            None => glob(&self.0, name),
        }
    }

    /// Returns whether it names exactly one thing.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*') && !self.0.starts_with('!')
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Matches the parts between the stars from left to right, each as early as it can, the last one at the end.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let (last, middle) = parts.split_last().map_or(("", &[][..]), |(last, middle)| (*last, middle));
    for part in middle {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, hit) in [
            ("*", "", true),
            ("*.crossplane.io", "s3.aws.crossplane.io", true),
            ("*.crossplane.io", "crossplane.io", false),
            ("*upbound.io", "upbound.io", true),
            ("!*ProviderConfig", "ProviderConfig", false),
            ("!*ProviderConfig", "Bucket", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXc", false),
            ("Kafka", "KafkaTopic", false),
        ] {
            assert_eq!(Pattern(pattern.to_owned()).matches(text), hit, "{pattern} {text}");
        }
    }
}
