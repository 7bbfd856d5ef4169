//! References in running text: environment, arguments, annotations, scripts, templates.

use super::super::hosts::{HostMap, registry_of_host};
use super::super::parse::is_ecr_like;
use super::super::reference::Digest;

/// Registries of AWS that are no account's own: what is there is another registry's.
const PUBLIC: &[&str] = &["public.ecr.aws", "ecr-public.aws.com"];

/// What a text says of an image, each as it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// The host of a registry, and no image.
    Address(&'a str),
    /// A whole reference.
    Image(&'a str),
    /// A repository without tag and digest.
    NoTag(&'a str),
    /// A repository, or the beginning of one, that goes on with a placeholder.
    Templated(&'a str),
}

/// Finds every mention of a registry whose host is known: ECR in all spellings, ECR Public, and the aliases; also of hosts
/// that only look like ECR (private endpoints, new partitions), so that whoever parses them says what they are not.
///
/// Linear in the text. A host begins where nothing before it could belong to it.
pub(super) fn scan<'a>(text: &'a str, hosts: &HostMap) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find(is_host_char)).map(|offset| at + offset) {
        let end = end_of(text, start, is_host_char);
        at = end;
        let host = text.get(start..end).unwrap_or_default();
        if !host.contains('.') || !is_known(host, hosts) {
            continue;
        }
        let port = text
            .get(end..)
            .and_then(|rest| rest.strip_prefix(':'))
            .map_or(end, |_| end_of(text, end + 1, |c| c.is_ascii_digit()));
        let named = text.get(port..).is_some_and(|rest| rest.starts_with('/'));
        if !named {
            found.push(Found::Address(host));
            continue;
        }
        let (mention, end) = mention(text, start, port + 1);
        found.extend(mention);
        at = end.max(at);
    }
    found
}

fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.' || c == '-'
}

fn is_known(host: &str, hosts: &HostMap) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    registry_of_host(&host).is_some() || PUBLIC.contains(&host.as_str()) || hosts.has(&host) || is_ecr_like(&host)
}

fn end_of(text: &str, from: usize, belongs: impl Fn(char) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.find(|c| !belongs(c)).unwrap_or(rest.len())
}

/// Reads what stands behind the slash at `path`; returns it with its end.
fn mention(text: &str, start: usize, path: usize) -> (Option<Found<'_>>, usize) {
    let upto = |end: usize| text.get(start..end).unwrap_or_default();
    let opens = |at: usize| text.get(at..).is_some_and(|rest| rest.starts_with(['$', '{', '%', '<']));
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let path_end = end_of(text, path, |c| word(c) || c == '/');
    let written = |at: usize| end_of(text, at, |c| !c.is_whitespace() && !matches!(c, '"' | '\'' | '`' | ','));
    if opens(path_end) {
        let end = written(path_end);
        return (Some(Found::Templated(upto(end))), end);
    }
    // A full stop or a slash behind the last component belongs to the sentence.
    let name = text.get(path..path_end).unwrap_or_default();
    let name_end = path + name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len();
    if name_end == path {
        return (Some(Found::Address(text.get(start..path - 1).unwrap_or_default())), path_end);
    }
    let mut end = name_end;
    let mut complete = false;
    if name_end == path_end && text.get(end..).is_some_and(|rest| rest.starts_with(':')) {
        let tag_end = end_of(text, end + 1, word);
        if opens(tag_end) {
            let end = written(tag_end);
            return (Some(Found::Templated(upto(end))), end);
        }
        if tag_end > end + 1 {
            (end, complete) = (tag_end, true);
        }
    }
    if (name_end == path_end || complete)
        && let Some(digest) = text.get(end..).and_then(|rest| rest.strip_prefix("@sha256:"))
    {
        if opens(end + "@sha256:".len()) {
            let end = written(end);
            return (Some(Found::Templated(upto(end))), end);
        }
        if digest.get(..64).is_some_and(|hex| Digest::from_hex(hex).is_some()) {
            end += "@sha256:".len() + 64;
            complete = true;
        }
    }
    (Some(if complete { Found::Image(upto(end)) } else { Found::NoTag(upto(end)) }), end.max(path_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

    fn found(text: &str) -> Vec<String> {
        let text = text.replace("HOST", HOST);
        let said = scan(&text, &HostMap::default()).into_iter().map(|found| match found {
            Found::Address(text) => format!("address {text}"),
            Found::Image(text) => format!("image {text}"),
            Found::NoTag(text) => format!("no tag {text}"),
            Found::Templated(text) => format!("templated {text}"),
        });
        said.map(|said| said.replace(HOST, "HOST")).collect()
    }

    #[test]
    fn images_stand_anywhere_in_a_text() {
        assert_eq!(found("run HOST/team/web:1.2, then HOST/db:3"), ["image HOST/team/web:1.2", "image HOST/db:3"]);
        assert_eq!(found(r#"{"image":"HOST/web:1@sha256:X"}"#), ["image HOST/web:1"]);
        let digest = "0f".repeat(32);
        assert_eq!(found(&format!("HOST/web@sha256:{digest}.")), [format!("image HOST/web@sha256:{digest}")]);
        assert_eq!(found(&format!("HOST/web:1@sha256:{digest}")), [format!("image HOST/web:1@sha256:{digest}")]);
        assert_eq!(found("docker://HOST/web:1"), ["image HOST/web:1"]);
        assert_eq!(found("HOST:443/web:1"), ["image HOST:443/web:1"]);
        assert_eq!(found("from public.ecr.aws/nginx/nginx:1"), ["image public.ecr.aws/nginx/nginx:1"]);
    }

    #[test]
    fn a_host_alone_is_an_address_and_a_repository_alone_has_no_tag() {
        assert_eq!(found("log in to HOST, or HOST/ now. HOST."), ["address HOST", "address HOST", "address HOST."]);
        assert_eq!(found("pull HOST/team/web."), ["no tag HOST/team/web"]);
        assert_eq!(found("repository: HOST/team/web\n"), ["no tag HOST/team/web"]);
        assert_eq!(found("HOST/web: a service"), ["no tag HOST/web"]);
    }

    #[test]
    fn a_placeholder_behind_a_repository_is_templated() {
        for text in ["HOST/app:$(TAG)", "HOST/team/app-${X}", "HOST/app:{{ .Tag }}", "HOST/app:v1-%s", "HOST/<name>:1"]
        {
            let expected = text.split(' ').next().unwrap();
            assert_eq!(found(&format!("image: \"{text}\"")), [format!("templated {expected}")], "{text}");
        }
    }

    #[test]
    fn what_goes_on_before_a_host_is_another_host() {
        assert_eq!(found("x.HOST/web:1"), ["image x.HOST/web:1"], "not the one of ECR behind the dot");
        assert!(found("mirror.example.org/web:1").is_empty());
    }

    #[test]
    fn a_host_that_only_looks_like_ecr_is_found_too() {
        for host in ["vpce-0a1b.dkr.ecr.us-east-1.vpce.amazonaws.com", "111122223333.dkr.ecr.xx-new-1.example.org"] {
            assert_eq!(found(&format!("image={host}/web:1")), [format!("image {host}/web:1")]);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_searched(text in "\\PC{0,60}", more in "\\PC{0,60}") {
            scan(&format!("{text}{HOST}{more}"), &HostMap::default());
        }
    }
}
