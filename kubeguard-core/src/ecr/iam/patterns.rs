//! Patterns of repositories as IAM has them: `*` for any characters, slashes too, and `?` for one.

use std::collections::BTreeSet;

use crate::ecr::policy::Pattern;

/// Names with the wildcards of IAM, sorted, and what they cover beyond the patterns.
pub(super) struct Covers {
    pub(super) names: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Returns what covers some patterns; none of them means every repository.
pub(super) fn covers(patterns: &[Pattern]) -> Covers {
    let (mut names, mut notes) = (BTreeSet::new(), BTreeSet::new());
    if patterns.is_empty() {
        names.insert("*".to_owned());
    }
    for pattern in patterns {
        let text = pattern.text.as_str();
        let regex = text.strip_prefix('/').and_then(|text| text.strip_suffix('/')).filter(|regex| !regex.is_empty());
        let name = match regex {
            Some(regex) => format!("{}*", prefix(regex)),
            None => glob(text),
        };
        let wider = regex.is_some() || text.replace("**", "").contains(['*', '?']);
        if wider {
            notes.insert(format!(
                "{text:?} is granted as {name:?}: IAM's wildcards also stand for slashes, and it has no regex"
            ));
        }
        names.insert(name);
    }
    Covers { names: names.into_iter().collect(), notes: notes.into_iter().collect() }
}

fn glob(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        // Two stars in a row mean no more than one.
        if c != '*' || !name.ends_with('*') {
            name.push(c);
        }
    }
    name
}

/// Returns what every text that a regex matches begins with.
fn prefix(regex: &str) -> String {
    if has_alternatives(regex) {
        return String::new();
    }
    let mut prefix = String::new();
    let mut chars = regex.strip_prefix('^').unwrap_or(regex).chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            '\\' => match chars.next() {
                Some(c) if c.is_ascii_punctuation() => c,
                _ => break,
            },
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/') => c,
            _ => break,
        };
        // What may be there never is not common to all; after what may be there many times nothing is sure.
        match chars.peek() {
            Some('?' | '*' | '{') => break,
            Some('+') => {
                prefix.push(literal);
                break;
            }
            _ => prefix.push(literal),
        }
    }
    prefix
}

/// Whether a regex is several, of which any may match, outside of all groups and classes.
fn has_alternatives(regex: &str) -> bool {
    let (mut groups, mut classes) = (0_u32, 0_u32);
    // A bracket that closes right behind one that opens stands for itself.
    let mut first = false;
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        let was_first = std::mem::replace(&mut first, false);
        match c {
            '\\' => drop(chars.next()),
            '[' => {
                classes += 1;
                first = true;
            }
            '^' if was_first => first = true,
            ']' if classes > 0 && !was_first => classes -= 1,
            _ if classes > 0 => {}
            '(' => groups += 1,
            ')' => groups = groups.saturating_sub(1),
            '|' if groups == 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_becomes_the_narrowest_that_iam_can_say() {
        for (text, expected, wider) in [
            ("app", "app", false),
            ("team/**", "team/*", false),
            ("**", "*", false),
            ("team/*", "team/*", true),
            ("a?c", "a?c", true),
            ("/^svc-[a-z]+$/", "svc-*", true),
            ("/svc-a|web/", "*", true),
            ("/svc-(a|b)/", "svc-*", true),
            ("/app?/", "ap*", true),
            ("/a+b/", "a*", true),
            ("/a[(]|x/", "*", true),
            ("/a[^](|]b/", "a*", true),
            (r"/team\/web\.x\d/", "team/web.x*", true),
            ("/(?i)app/", "*", true),
            ("/app{2}/", "ap*", true),
        ] {
            let covers = covers(&[Pattern::new(text).unwrap()]);
            assert_eq!(covers.names, [expected], "{text}");
            assert_eq!(!covers.notes.is_empty(), wider, "{text}: {:?}", covers.notes);
        }
        assert_eq!(covers(&[]).names, ["*"]);
    }

    /// Whatever a pattern matches is covered.
    #[test]
    fn nothing_that_a_pattern_matches_is_left_out() {
        let names = ["svc-a", "svc-b/c", "web", "app", "ap", "appp", "team/web.x1", "aab", "APP", "x", "a("];
        for text in [
            "/^svc-[a-z]+$/",
            "/svc-a|web/",
            "/app?/",
            "/a+b/",
            r"/team\/web\.x\d/",
            "/(?i)app/",
            "/a[(]|x/",
            "*",
            "**",
            "a*",
        ] {
            let pattern = Pattern::new(text).unwrap();
            let cover = &covers(std::slice::from_ref(&pattern)).names[0];
            let (start, open) = cover.split_once('*').map_or((cover.as_str(), false), |(start, _)| (start, true));
            for name in names.iter().filter(|name| pattern.matches(name)) {
                assert!(if open { name.starts_with(start) } else { *name == start }, "{text} {name}");
            }
        }
    }
}
