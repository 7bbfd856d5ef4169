//! Leaves out of log lines what looks like a secret.

use std::sync::LazyLock;

use regex::Regex;

static SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|credentials?|authorization)["']?\s*[:=]\s*)(?:(?:bearer|basic)\s+)?("[^"]*"|'[^']*'|[^\s,;&"']+)"#,
    )
    .ok()
});
static IN_ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(://[^/\s:@]+:)[^/\s@]+@").ok());

/// Returns a line with the values behind words like `password=` replaced by `…`.
#[must_use]
pub(super) fn without(line: &str) -> String {
    let (Some(secret), Some(in_address)) = (SECRET.as_ref(), IN_ADDRESS.as_ref()) else { return String::new() };
    let line = secret.replace_all(line, "${1}…");
    in_address.replace_all(&line, "${1}…@").into_owned()
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn values_that_look_like_secrets_are_left_out() {
        for (line, kept) in [
            ("password=hunter2 user=bob", "password=… user=bob"),
            ("Authorization: Bearer abc.def", "Authorization: …"),
            (r#"{"token": "abc", "a": 1}"#, r#"{"token": …, "a": 1}"#),
            ("postgres://bob:pw@db/x", "postgres://bob:…@db/x"),
            ("panic: DATABASE_URL is not set", "panic: DATABASE_URL is not set"),
        ] {
            assert_eq!(without(line), kept);
        }
    }
}
