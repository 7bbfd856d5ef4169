//! What is never shown: header values, and text that looks like a secret.

use serde_json::Value;

/// What stands in its place.
pub const REDACTED: &str = "<redacted>";

/// Parts of names whose values are secrets.
const WORDS: &[&str] = &["pass", "secret", "token", "key", "credential", "auth", "dsn", "conn"];
/// Names that rules read and that say nothing secret, with `*` at the end.
const READ: &[&str] =
    &["KRUISE_*", "KUBEXIT_*", "ISTIO_KUBE_APP_PROBERS", "PGHOST", "MYSQL_HOST", "REDIS_HOST", "GOMAXPROCS", "OMP_*"];

/// Returns a value as it may be shown.
pub(super) fn value(path: &str, value: &Value) -> Value {
    let header = path.contains("/httpHeaders/") && path.ends_with("/value");
    match value {
        Value::String(text) if header || looks_secret(text) => REDACTED.into(),
        other => other.clone(),
    }
}

/// Returns whether an environment variable's value may not be kept.
#[must_use]
pub fn is_secret_variable(name: &str, value: &str) -> bool {
    let read = |known: &&str| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *known == name,
    };
    let lower = name.to_lowercase();
    !READ.iter().any(read) && (WORDS.iter().any(|word| lower.contains(word)) || looks_secret(value))
}

/// Returns whether text is a URL with a user, a JSON web token, a PEM block or a cloud's access key.
#[must_use]
pub fn looks_secret(text: &str) -> bool {
    let user = text
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')));
    let word = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let parts: Vec<&str> = text.split('.').collect();
    let web_token = text.starts_with("eyJ")
        && parts.len() == 3
        && parts.iter().all(|part| part.len() > 3 && part.chars().all(word));
    let access_key = ["AKIA", "ASIA"].iter().any(|start| {
        text.len() == 20
            && text.starts_with(start)
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    });
    user || web_token || access_key || text.contains("-----BEGIN ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        for secret in
            ["postgres://bob:pw@db/x", "AKIAIOSFODNN7EXAMPLE", "eyJhbGci.eyJzdWIi.c2lnbmF0", "-----BEGIN KEY-----"]
        {
            assert!(looks_secret(secret), "{secret}");
        }
        assert!(!looks_secret("http://db:5432/a@b") && !looks_secret("http"));
        assert_eq!(value("/spec/x/httpHeaders/0/value", &"abc".into()), REDACTED);
        assert!(is_secret_variable("DB_PASSWORD", "x") && is_secret_variable("URL", "a://b:c@d"));
        assert!(!is_secret_variable("KUBEXIT_DEATH_DEPS", "app") && !is_secret_variable("PORT", "80"));
    }
}
