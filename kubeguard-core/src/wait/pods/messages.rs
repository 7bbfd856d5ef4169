//! What the messages of kubelets and registries say.

use std::sync::LazyLock;

use regex::Regex;

use crate::wait::reason::Reason;

/// A pattern that is a constant of this file; a test compiles each.
struct Pattern(LazyLock<Option<Regex>>);

impl Pattern {
    fn is_in(&self, message: &str) -> bool {
        self.0.as_ref().is_some_and(|pattern| pattern.is_match(message))
    }
}

macro_rules! pattern {
    ($name:ident = $pattern:literal) => {
        static $name: Pattern = Pattern(LazyLock::new(|| Regex::new($pattern).ok()));
    };
}

pattern!(NOT_FOUND = r"(?i)not found|manifest unknown|name unknown|repository does not exist");
pattern!(HIDDEN = r"(?i)pull access denied|may require");
pattern!(REFUSED = r"(?i)unauthorized|denied|no basic auth|authentication required|\b403\b");
pattern!(LIMITED = r"(?i)toomanyrequests|too many requests|\b429\b|rate limit");
pattern!(
    UNREACHABLE = r"(?i)timeout|timed out|deadline exceeded|cancell?ed|connection refused|connection reset|dial tcp|no such host|x509|\b50[0-9]\b|\bEOF\b|server misbehaving|network is unreachable"
);
pattern!(CANNOT_RUN = r"(?i)executable file not found|no such file|permission denied");

/// Returns why an image cannot be pulled, by the registry's and runtime's words.
///
/// A registry that hides what one may not see says "not found" of both; "pull access denied" and "may require" give
/// that away.
pub(super) fn pull_failure(message: &str) -> Reason {
    let message = head(message);
    if NOT_FOUND.is_in(message) && !HIDDEN.is_in(message) {
        Reason::ImageNotFound
    } else if REFUSED.is_in(message) || HIDDEN.is_in(message) {
        Reason::ImageAuth
    } else if LIMITED.is_in(message) {
        Reason::ImageRateLimited
    } else if UNREACHABLE.is_in(message) {
        Reason::ImagePullNetwork
    } else {
        Reason::ImagePullBackOff
    }
}

/// Returns whether a runtime's message leaves open that the command can run.
pub(super) fn can_run(message: &str) -> bool {
    !CANNOT_RUN.is_in(head(message))
}

/// Returns the object that a kubelet, the scheduler or an admission plugin misses, as in `ConfigMap settings`,
/// `ConfigMap settings (key url)` or `ServiceAccount robot`.
pub(in crate::wait) fn missing_reference(message: &str) -> Option<String> {
    static WHOLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"(?i)\b(configmap|secret|serviceaccount|persistentvolumeclaim)s? "([^"]+)" not found"#).ok()
    });
    static PRIORITY: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"no PriorityClass with name (\S+) was found").ok());
    static KEY: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)couldn't find key (\S+) in (configmap|secret) (?:[^/\s]+/)?(\S+)").ok());
    let message = head(message);
    let kind = |word: &str| match word.to_ascii_lowercase().as_str() {
        "secret" => "Secret",
        "serviceaccount" => "ServiceAccount",
        "persistentvolumeclaim" => "PersistentVolumeClaim",
        _ => "ConfigMap",
    };
    if let Some(found) = PRIORITY.as_ref()?.captures(message) {
        return Some(format!("PriorityClass {}", found.get(1)?.as_str()));
    }
    if let Some(found) = WHOLE.as_ref()?.captures(message) {
        return Some(format!("{} {}", kind(found.get(1)?.as_str()), found.get(2)?.as_str()));
    }
    let found = KEY.as_ref()?.captures(message)?;
    let (key, name) = (found.get(1)?.as_str(), found.get(3)?.as_str());
    Some(format!("{} {name} (key {key})", kind(found.get(2)?.as_str())))
}

/// The first 4 KiB say everything.
fn head(message: &str) -> &str {
    let end = (0..=message.len().min(4096)).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    message.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrys_words_tell_why_an_image_cannot_be_pulled() {
        for (message, expected) in [
            (
                "rpc error: code = NotFound desc = failed to resolve reference \"r.example/app:1\": not found",
                Reason::ImageNotFound,
            ),
            ("manifest unknown: manifest tagged by \"v9\" is not found", Reason::ImageNotFound),
            ("pull access denied, repository does not exist or may require authorization", Reason::ImageAuth),
            ("unexpected status from HEAD request: 403 Forbidden", Reason::ImageAuth),
            ("no basic auth credentials", Reason::ImageAuth),
            ("toomanyrequests: You have reached your pull rate limit", Reason::ImageRateLimited),
            ("dial tcp: lookup r.example: no such host", Reason::ImagePullNetwork),
            ("net/http: request canceled while waiting", Reason::ImagePullNetwork),
            ("received unexpected HTTP status: 503 Service Unavailable", Reason::ImagePullNetwork),
            ("Back-off pulling image \"r.example/app:1\"", Reason::ImagePullBackOff),
            ("image sha256:403abc cannot be unpacked", Reason::ImagePullBackOff),
        ] {
            assert_eq!(pull_failure(message), expected, "{message}");
        }
    }

    #[test]
    fn the_kubelet_names_what_it_misses() {
        assert_eq!(missing_reference("configmap \"settings\" not found").as_deref(), Some("ConfigMap settings"));
        assert_eq!(
            missing_reference("couldn't find key url in ConfigMap team/settings").as_deref(),
            Some("ConfigMap settings (key url)")
        );
        assert_eq!(missing_reference("something else"), None);
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&NOT_FOUND, &HIDDEN, &REFUSED, &LIMITED, &UNREACHABLE, &CANNOT_RUN] {
            assert!(pattern.0.is_some());
        }
    }
}
