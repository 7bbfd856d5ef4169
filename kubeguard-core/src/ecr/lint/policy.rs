//! The text of a lifecycle policy.

use serde::Deserialize;

/// A lifecycle policy as AWS keeps it; what is not known here is left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LifecyclePolicy {
    pub(super) rules: Vec<LifecycleRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LifecycleRule {
    pub(super) rule_priority: i64,
    pub(super) selection: Selection,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Selection {
    /// `tagged`, `untagged` or `any`.
    tag_status: String,
    tag_prefix_list: Vec<String>,
    tag_pattern_list: Vec<String>,
    pub(super) count_type: String,
    pub(super) count_number: u64,
}

impl LifecyclePolicy {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("the lifecycle policy cannot be read: {error}"))
    }
}

impl Selection {
    /// Returns what tags are asked for, as people read it; empty where the rule asks for none by name.
    pub(super) fn asked(&self) -> Vec<String> {
        let prefixes = self.tag_prefix_list.iter().map(|prefix| format!("{prefix}*"));
        prefixes.chain(self.tag_pattern_list.iter().cloned()).collect()
    }

    /// Returns whether an entry with these tags is selected: every prefix, and every pattern, must match one of them.
    pub(super) fn selects(&self, tags: &[String]) -> bool {
        match self.tag_status.as_str() {
            "any" => true,
            "untagged" => tags.is_empty(),
            _ => !tags.is_empty() && self.asked().iter().all(|pattern| tags.iter().any(|tag| matches(pattern, tag))),
        }
    }

    /// Returns whether pull times decide.
    pub(super) fn by_pull_time(&self) -> bool {
        self.count_type == "sinceImagePulled"
    }
}

/// Whether a pattern matches all of a tag; `*` stands for any characters, also for none.
pub(super) fn matches(pattern: &str, tag: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| tag.strip_prefix(first)) else { return false };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
    let middle = parts.clone().count().saturating_sub(1);
    for part in parts.take(middle) {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, tag, expected) in [
            ("prod", "prod", true),
            ("prod", "prod-1", false),
            ("prod*", "prod", true),
            ("prod*", "prod-1", true),
            ("*prod", "a-prod", true),
            ("*prod", "a-prod-1", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
            ("*", "", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, tag), expected, "{pattern} {tag}");
        }
    }

    #[test]
    fn every_tag_that_a_rule_names_must_be_there() {
        let selection = |json: serde_json::Value| serde_json::from_value::<Selection>(json).unwrap();
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let both = selection(serde_json::json!({"tagStatus": "tagged", "tagPrefixList": ["prod", "release-"]}));
        assert!(!both.selects(&tags(&["prod-1"])));
        assert!(both.selects(&tags(&["prod-1", "release-7"])));
        assert!(both.selects(&tags(&["x", "release-prod", "prod"])));
        let patterns = selection(serde_json::json!({"tagStatus": "tagged", "tagPatternList": ["v*-rc", "*x"]}));
        assert!(patterns.selects(&tags(&["v1-rc", "ax"])) && !patterns.selects(&tags(&["v1-rc"])));
        let untagged = selection(serde_json::json!({"tagStatus": "untagged"}));
        assert!(untagged.selects(&[]) && !untagged.selects(&tags(&["x"])));
        let any = selection(serde_json::json!({"tagStatus": "any"}));
        assert!(any.selects(&[]) && any.selects(&tags(&["x"])) && any.asked().is_empty());
    }
}
