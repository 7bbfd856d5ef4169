//! What a string says about an image: registry, repository, tag and digest.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The sha256 of a manifest. Displays as `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// A text that is no sha256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not sha256: and 64 hexadecimal digits")]
pub struct NotADigest(pub String);

impl Digest {
    /// Wraps the 32 bytes of a sha256.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the digest of some bytes, as a registry computes it of a manifest.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the 64 hexadecimal digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        self.to_string().split_off("sha256:".len())
    }

    /// Reads 64 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(bytes))
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"sha256:0000000000000000000000000000000000000000000000000000000000000000";
        let (_, hex) = text.split_at_mut(7);
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        text.strip_prefix("sha256:").and_then(Self::from_hex).ok_or_else(|| NotADigest(text.to_owned()))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A group of AWS regions with accounts and host names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are AWS' own, and say all there is to say")]
pub enum Partition {
    #[serde(rename = "aws")]
    Aws,
    #[serde(rename = "aws-cn")]
    China,
    #[serde(rename = "aws-us-gov")]
    GovCloud,
    #[serde(rename = "aws-iso")]
    Iso,
    #[serde(rename = "aws-iso-b")]
    IsoB,
    #[serde(rename = "aws-iso-e")]
    IsoE,
    #[serde(rename = "aws-iso-f")]
    IsoF,
    #[serde(rename = "aws-eusc")]
    EuSovereign,
}

impl Partition {
    /// Returns the partition a region belongs to, by its prefix.
    #[must_use]
    pub fn of_region(region: &str) -> Self {
        let prefixes = [
            ("cn-", Self::China),
            ("us-gov-", Self::GovCloud),
            ("us-isob-", Self::IsoB),
            ("us-isof-", Self::IsoF),
            ("us-iso-", Self::Iso),
            ("eu-isoe-", Self::IsoE),
            ("eusc-", Self::EuSovereign),
        ];
        prefixes.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or(Self::Aws, |(_, partition)| *partition)
    }

    /// Returns the word of ARNs, as in `aws-cn`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::GovCloud => "aws-us-gov",
            Self::Iso => "aws-iso",
            Self::IsoB => "aws-iso-b",
            Self::IsoE => "aws-iso-e",
            Self::IsoF => "aws-iso-f",
            Self::EuSovereign => "aws-eusc",
        }
    }
}

/// One ECR registry: an account in a region. Displays as `ACCOUNT/REGION`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RegistryId {
    /// Partition of the region.
    pub partition: Partition,
    /// Twelve digits.
    pub account: String,
    /// As in `us-east-1`.
    pub region: String,
}

impl RegistryId {
    /// Returns the name of the Lease that whoever deletes in the registry holds.
    #[must_use]
    pub fn lease_name(&self) -> String {
        format!("kubeguard-ecr-clean-{}-{}", self.account, self.region)
    }

    /// Names a registry; the partition follows from the region.
    #[must_use]
    pub fn new(account: &str, region: &str) -> Self {
        Self { partition: Partition::of_region(region), account: account.to_owned(), region: region.to_owned() }
    }

    /// Returns the usual host of its images, as in `111122223333.dkr.ecr.us-east-1.amazonaws.com`.
    #[must_use]
    pub fn host(&self) -> String {
        let suffix = match self.partition {
            Partition::Aws | Partition::GovCloud => "amazonaws.com",
            Partition::China => "amazonaws.com.cn",
            Partition::Iso => "c2s.ic.gov",
            Partition::IsoB => "sc2s.sgov.gov",
            Partition::IsoE => "cloud.adc-e.uk",
            Partition::IsoF => "csp.hci.ic.gov",
            Partition::EuSovereign => "amazonaws.eu",
        };
        format!("{}.dkr.ecr.{}.{suffix}", self.account, self.region)
    }
}

impl fmt::Display for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

/// The canonical name of an image in ECR: every spelling of its host leads to the same key.
///
/// With a tag and a digest both count: the digest is pulled, the tag must not be lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageKey {
    /// Where it lives.
    pub registry: RegistryId,
    /// Name of the repository, as in `team/web`.
    pub repository: String,
    /// Tag; `latest` where a reference has neither tag nor digest.
    pub tag: Option<String>,
    /// Digest.
    pub digest: Option<Digest>,
}

/// What a string turned out to name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImageRef {
    /// An image in some ECR registry.
    Ecr(ImageKey),
    /// An image elsewhere, in its normal spelling.
    Other(OtherImage),
    /// A digest without a repository.
    Bare(Digest),
    /// Not a reference; as given.
    Unparsed(String),
}

/// An image of a registry that is not ECR.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OtherImage {
    /// Host in lower case, with its port unless 443; `docker.io` where the reference names none.
    pub host: String,
    /// Path, as in `library/nginx`.
    pub path: String,
    /// Tag; `latest` where a reference has neither tag nor digest.
    pub tag: Option<String>,
    /// Digest.
    pub digest: Option<Digest>,
}
