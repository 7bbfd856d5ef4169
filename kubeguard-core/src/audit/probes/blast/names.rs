//! Names of images and containers, and patterns of them.

use crate::pods::glob_matches;

/// A pattern of names: `*` stands for anything within one element of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// A pattern that matches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an empty pattern matches nothing; * matches every name")]
pub struct PatternError;

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() { Err(PatternError) } else { Ok(Self(text.to_owned())) }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Returns whether a container's name matches.
    #[must_use]
    pub fn is_container(&self, name: &str) -> bool {
        glob_matches(&self.0, name)
    }

    /// Returns whether an image matches: the pattern is held against as many of the last elements of its name as the
    /// pattern has, with its tag or digest where the pattern has one.
    ///
    /// `statsd*` matches `registry.example/acme/statsd-agent:1`, `acme/*` too, `statsd-agent:2` does not.
    #[must_use]
    pub fn is_image(&self, image: &str) -> bool {
        let (name, tag, digest) = parts(image);
        let last = self.0.rsplit('/').next().unwrap_or_default();
        let text = match (last.contains('@'), last.contains(':')) {
            (true, _) => format!("{name}@{}", digest.unwrap_or_default()),
            (false, true) => format!("{name}:{}", tag.unwrap_or("latest")),
            (false, false) => name.to_owned(),
        };
        let elements: Vec<&str> = text.split('/').collect();
        let wanted = self.0.split('/').count();
        let tail = elements.get(elements.len().saturating_sub(wanted)..).unwrap_or_default().join("/");
        glob_matches(&self.0, &tail)
    }
}

/// Returns an image's name, tag and digest.
pub(super) fn parts(image: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = image.split_once('@').map_or((image, None), |(rest, digest)| (rest, Some(digest)));
    let slash = rest.rfind('/').map_or(0, |at| at + 1);
    match rest.get(slash..).and_then(|last| last.split_once(':')) {
        Some((last, tag)) => (rest.get(..slash + last.len()).unwrap_or(rest), Some(tag), digest),
        None => (rest, None, digest),
    }
}

/// Returns an image's repository without registry host, tag and digest, as in `acme/statsd-agent`.
#[must_use]
pub fn repository(image: &str) -> &str {
    let (name, ..) = parts(image);
    let is_host = |text: &str| text.contains(['.', ':']) || text == "localhost";
    let path = name.split_once('/').filter(|(first, _)| is_host(first)).map_or(name, |(_, path)| path);
    path.strip_prefix("library/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_its_repository() {
        for (image, name) in [
            ("nginx", "nginx"),
            ("docker.io/library/nginx:1.27", "nginx"),
            ("registry.example:5000/acme/statsd-agent:2@sha256:00", "acme/statsd-agent"),
            ("localhost/a/b/c:1", "a/b/c"),
            ("acme/statsd-agent", "acme/statsd-agent"),
        ] {
            assert_eq!(repository(image), name, "{image}");
        }
    }

    #[test]
    fn a_pattern_is_held_against_the_last_elements() {
        let image = "registry.example:5000/acme/statsd-agent:1";
        for (pattern, matches) in [
            ("statsd-agent", true),
            ("statsd*", true),
            ("*", true),
            ("acme/*", true),
            ("registry.example:5000/acme/statsd-agent", true),
            ("statsd-agent:1", true),
            ("statsd-agent:*", true),
            ("statsd-agent:2", false),
            ("other/*", false),
            ("statsd", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().is_image(image), matches, "{pattern}");
        }
        assert!("nginx:latest".parse::<Pattern>().unwrap().is_image("nginx"));
        assert_eq!("".parse::<Pattern>(), Err(PatternError));
    }
}
