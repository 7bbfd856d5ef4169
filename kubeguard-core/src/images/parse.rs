//! From a string to what it names: total, case by case, without a regular expression.

use super::hosts::{HostMap, registry_of_host};
use super::reference::{Digest, ImageKey, ImageRef, OtherImage};

/// Schemes that runtimes and charts write in front of a reference.
const SCHEMES: &[&str] = &["docker-pullable://", "docker://", "oci://", "https://", "http://"];
/// Longest tag that a registry takes.
const MOST_TAG: usize = 300;

impl ImageRef {
    /// Reads a reference as container runtimes do, whatever the text is.
    ///
    /// `[SCHEME://][HOST[:PORT]/]PATH[:TAG][@sha256:HEX]`; without a host it is `docker.io`, without tag and digest the
    /// tag is `latest`. With a tag and a digest both are kept. A text that speaks of an ECR registry and is no image in
    /// one is [`ImageRef::Unparsed`], never something else.
    #[must_use]
    pub fn parse(text: &str, hosts: &HostMap) -> Self {
        let unparsed = || Self::Unparsed(text.to_owned());
        let quotes = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
        let rest = without_scheme(text.trim_matches(quotes));
        let hex = rest.strip_prefix("sha256:").unwrap_or(rest);
        if let Some(digest) = Digest::from_hex(hex) {
            return Self::Bare(digest);
        }
        match split(rest).map(|parts| parts.resolve(hosts)) {
            Some(Some(found @ Self::Ecr(_))) => found,
            Some(Some(found)) if !is_ecr_like(text) => found,
            _ => unparsed(),
        }
    }
}

/// Returns whether a text speaks of an ECR registry, also where it is no reference.
#[must_use]
pub fn is_ecr_like(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["dkr.ecr", "dkr-ecr"].iter().any(|mark| {
        text.match_indices(mark).any(|(at, _)| {
            let before = text.as_bytes().get(..at).unwrap_or_default();
            let after = text.as_bytes().get(at + mark.len());
            let Some(before) = before.strip_suffix(b".") else { return false };
            let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            after == Some(&b'.') || digits >= 12
        })
    })
}

/// A reference cut at its separators, nothing checked against a registry yet.
struct Parts<'a> {
    /// As written, without the slash behind it; empty where there is none.
    host: &'a str,
    path: &'a str,
    tag: Option<&'a str>,
    digest: Written,
}

/// The digest of a reference.
#[derive(Clone, Copy)]
enum Written {
    None,
    Sha256(Digest),
    /// Of another algorithm, which ECR does not have.
    Foreign,
}

fn without_scheme(text: &str) -> &str {
    let scheme =
        SCHEMES.iter().find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    scheme.and_then(|scheme| text.get(scheme.len()..)).unwrap_or(text)
}

fn split(text: &str) -> Option<Parts<'_>> {
    let (name, digest) = match text.rsplit_once('@') {
        None => (text, Written::None),
        Some((name, digest)) => match digest.strip_prefix("sha256:") {
            Some(hex) => (name, Written::Sha256(Digest::from_hex(hex)?)),
            None => (name, Written::Foreign),
        },
    };
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name.get(last..)?.rfind(':') {
        None => (name, None),
        Some(colon) => (name.get(..last + colon)?, Some(name.get(last + colon + 1..)?)),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return None;
    }
    let (host, path) = match name.split_once('/') {
        Some((first, path)) if is_host(first) => (first, path),
        _ => ("", name),
    };
    Some(Parts { host, path, tag, digest })
}

/// Returns whether the first component of a path names a host, by Docker's rule.
fn is_host(component: &str) -> bool {
    component.contains(['.', ':']) || component == "localhost" || component.chars().any(char::is_uppercase)
}

impl Parts<'_> {
    fn resolve(self, hosts: &HostMap) -> Option<ImageRef> {
        let host = self.host.to_ascii_lowercase();
        let host = host.strip_suffix(":443").unwrap_or(&host);
        let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() && !self.host.is_empty() || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return None;
        }
        let host = port.map_or(name.to_owned(), |port| format!("{name}:{port}"));
        let (host, path) = hosts.replace(host, self.path);
        if !is_path(&path) {
            return None;
        }
        let (digest, foreign) = match self.digest {
            Written::None => (None, false),
            Written::Sha256(digest) => (Some(digest), false),
            Written::Foreign => (None, true),
        };
        let named = self.tag.map(ToOwned::to_owned);
        let tag = named.or_else(|| (digest.is_none() && !foreign).then(|| "latest".to_owned()));
        if let Some(registry) = registry_of_host(&host) {
            let fits = (2..=256).contains(&path.len()) && !foreign;
            return fits.then_some(ImageRef::Ecr(ImageKey { registry, repository: path, tag, digest }));
        }
        let (host, path) = match host.as_str() {
            "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
                let path = if path.contains('/') { path } else { format!("library/{path}") };
                ("docker.io".to_owned(), path)
            }
            _ => (host, path),
        };
        Some(ImageRef::Other(OtherImage { host, path, tag, digest }))
    }
}

/// Returns whether a text can be a tag: a word character, then words, dots and dashes.
pub(super) fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MOST_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Returns whether a text can be the path of a repository: components of lower-case letters and digits, joined by one
/// dot, one or two underscores, or dashes.
#[must_use]
pub fn is_path(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.split('/').all(|component| {
        let bytes = component.as_bytes();
        let ends = bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
        let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends && separators
            .filter(|run| !run.is_empty())
            .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::reference::RegistryId;
    use super::*;

    const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

    fn parse(text: &str) -> ImageRef {
        ImageRef::parse(text, &HostMap::default())
    }

    fn key(text: &str) -> ImageKey {
        match parse(text) {
            ImageRef::Ecr(key) => key,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_spelling_of_a_host_leads_to_the_same_key() {
        let expected = key(&format!("{HOST}/team/web:1.2"));
        assert_eq!(expected.registry, RegistryId::new("111122223333", "us-east-1"));
        assert_eq!((expected.repository.as_str(), expected.tag.as_deref()), ("team/web", Some("1.2")));
        for text in [
            "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com/team/web:1.2",
            "111122223333.dkr-ecr.us-east-1.on.aws/team/web:1.2",
            "111122223333.dkr-ecr-fips.us-east-1.on.aws/team/web:1.2",
            "111122223333.DKR.ECR.us-east-1.AmazonAWS.com/team/web:1.2",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com.:443/team/web:1.2",
            " 'docker-pullable://111122223333.dkr.ecr.us-east-1.amazonaws.com/team/web:1.2' ",
            "OCI://111122223333.dkr.ecr.us-east-1.amazonaws.com/team/web:1.2",
        ] {
            assert_eq!(key(text), expected, "{text}");
        }
    }

    #[test]
    fn every_partition_has_its_own_hosts() {
        for (host, region) in [
            ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("111122223333.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1"),
            ("111122223333.dkr.ecr.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("111122223333.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
            ("111122223333.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
            ("111122223333.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
            ("111122223333.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
            ("111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ] {
            assert_eq!(key(&format!("{host}/web")).registry, RegistryId::new("111122223333", region), "{host}");
        }
    }

    #[test]
    fn tag_and_digest_are_both_kept_and_neither_means_latest() {
        let hex = "0F".repeat(32);
        let both = key(&format!("{HOST}/web:1@sha256:{hex}"));
        assert_eq!((both.tag.as_deref(), both.digest), (Some("1"), Digest::from_hex(&hex)));
        let pinned = key(&format!("{HOST}/web@sha256:{hex}"));
        assert_eq!((pinned.tag, pinned.digest), (None, Digest::from_hex(&hex)));
        assert_eq!(key(&format!("{HOST}/web")).tag.as_deref(), Some("latest"));
        for bare in [hex.clone(), format!("sha256:{hex}"), format!("docker://sha256:{hex}")] {
            assert_eq!(parse(&bare), ImageRef::Bare(Digest::from_hex(&hex).unwrap()), "{bare}");
        }
    }

    #[test]
    fn what_speaks_of_ecr_and_names_no_image_there_is_never_dropped() {
        let hex = "0f".repeat(32);
        for text in [
            HOST.to_owned(),
            format!("{HOST}/"),
            format!("{HOST}/Team/web:1"),
            format!("{HOST}/w:1"),
            format!("{HOST}/web:"),
            format!("{HOST}/web:$(TAG)"),
            format!("{HOST}/web@sha512:{hex}{hex}"),
            format!("{HOST}/web@sha256:{}", &hex[1..]),
            format!("{HOST}:8443/web:1"),
            format!("{HOST}/a/../web:1"),
            format!("mirror.example.org/{HOST}/web:1"),
            "1111.dkr.ecr.us-east-1.amazonaws.com/web:1".to_owned(),
            "111122223333.dkr.ecr.us-east-1.example.org/web:1".to_owned(),
            "111122223333.dkr-ecr.us-east-1.amazonaws.com/web:1".to_owned(),
        ] {
            assert_eq!(parse(&text), ImageRef::Unparsed(text.clone()), "{text}");
        }
        assert_eq!(parse("$IMAGE"), ImageRef::Unparsed("$IMAGE".to_owned()));
    }

    #[test]
    fn other_registries_are_spelt_as_docker_spells_them() {
        let other = |text: &str| match parse(text) {
            ImageRef::Other(image) => (image.host, image.path, image.tag.unwrap_or_default()),
            found => panic!("{text}: {found:?}"),
        };
        let of = |host: &str, path: &str, tag: &str| (host.to_owned(), path.to_owned(), tag.to_owned());
        assert_eq!(other("nginx"), of("docker.io", "library/nginx", "latest"));
        assert_eq!(other("index.docker.io/bitnami/redis:7"), of("docker.io", "bitnami/redis", "7"));
        assert_eq!(other("localhost:5000/a/b:c"), of("localhost:5000", "a/b", "c"));
        assert_eq!(other("Registry/a"), of("registry", "a", "latest"));
        assert_eq!(other("quay.io:443/a/b"), of("quay.io", "a/b", "latest"));
        assert_eq!(other("public.ecr.aws/docker/library/nginx:1"), of("public.ecr.aws", "docker/library/nginx", "1"));
        // Any image of the repository: the digest is of an algorithm that is not compared.
        assert_eq!(other("quay.io/a/b@sha512:00"), of("quay.io", "a/b", ""));
    }

    #[test]
    fn an_alias_stands_for_a_host_and_a_prefix() {
        let mapping = |from: &str, to: &str| super::super::hosts::Mapping { from: from.to_owned(), to: to.to_owned() };
        let hosts = HostMap::new(&[
            mapping("registry.corp.example", HOST),
            mapping("registry.corp.example/mirror", &format!("{HOST}/cached/hub")),
            mapping(&format!("{HOST}:8443"), HOST),
        ])
        .unwrap();
        let named = |text: &str| match ImageRef::parse(text, &hosts) {
            ImageRef::Ecr(key) => key.repository,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(named("Registry.Corp.Example/team/web:1"), "team/web");
        assert_eq!(named("registry.corp.example/mirror/nginx"), "cached/hub/nginx");
        assert_eq!(named("registry.corp.example/mirrored/nginx"), "mirrored/nginx");
        assert_eq!(named(&format!("{HOST}:8443/web:1")), "web");
        assert!(HostMap::new(&[mapping("a.example", "b.example")]).is_err());
        assert!(HostMap::new(&[mapping("", HOST)]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_something_and_what_speaks_of_ecr_is_a_key_or_unparsed(text in "\\PC{0,80}", inside in "[a-z0-9.:/@-]{0,24}") {
            drop(parse(&text));
            let text = format!("{text}111122223333.dkr.ecr.eu-west-1.{inside}");
            let found = parse(&text);
            proptest::prop_assert!(matches!(found, ImageRef::Ecr(_) | ImageRef::Unparsed(_)), "{:?}", found);
        }

        #[test]
        fn a_key_is_read_back_from_its_usual_spelling(
            repository in "[a-z0-9]{2,9}([._-][a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,9}){0,2}",
            tag in "[A-Za-z0-9_][A-Za-z0-9._-]{0,30}",
        ) {
            let registry = RegistryId::new("111122223333", "ap-southeast-2");
            let text = format!("{}/{repository}:{tag}", registry.host());
            let expected = ImageKey { registry, repository, tag: Some(tag), digest: None };
            proptest::prop_assert_eq!(parse(&text), ImageRef::Ecr(expected));
        }
    }
}
