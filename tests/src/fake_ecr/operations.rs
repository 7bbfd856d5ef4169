//! The operations: what AWS' API takes and answers, as plain functions over the store.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kubeguard_core::images::{Digest, RegistryId};
use serde::{Deserialize, Serialize};

use super::store::Store;
use super::traffic::Seen;

pub(super) mod delete;
pub(super) mod images;
pub(super) mod layers;
pub(super) mod manifests;
pub(super) mod referrers;
pub(super) mod repositories;
pub(super) mod settings;
pub(super) mod storage;
pub(super) mod sts;

/// One operation: its input, and what it does to the store.
///
/// The field names of inputs and answers are AWS' own in JSON.
pub trait Operation {
    /// As in `DescribeImages`.
    const NAME: &'static str;
    /// Whether it is one of those that change what a registry holds, and so goes into the journal.
    const MUTATES: bool = false;
    /// The answer.
    type Output;

    /// Returns `registryId` as it was sent.
    fn registry_id(&self) -> Option<&str> {
        None
    }

    /// Returns the repository it names.
    fn repository(&self) -> Option<&str> {
        None
    }

    /// Returns the ids it names.
    fn ids(&self) -> Vec<ImageIdentifier> {
        Vec::new()
    }

    /// Returns where it continues a list, if it is one that comes in pages.
    fn listing(&self) -> Option<Listing<'_>> {
        None
    }

    /// Returns the answer's own token.
    fn next_token(_: &mut Self::Output) -> Option<&mut Option<String>> {
        None
    }

    /// Adds a row that names nothing to the answer, where it is one of rows.
    fn add_nameless_row(_: &mut Self::Output) {}

    /// Returns the codes of refused items of an answer.
    fn failures(_: &Self::Output) -> Vec<String> {
        Vec::new()
    }

    /// Does what it does.
    ///
    /// # Errors
    /// AWS' refusal of the call as a whole.
    fn run(&self, store: &mut Store, at: &Site) -> Result<Self::Output, Refusal>;
}

/// Where a list goes on.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// The token of the call.
    pub token: Option<&'a str>,
}

/// A call that is refused as a whole: AWS' code and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As in `RepositoryNotFoundException`.
    pub code: String,
    /// AWS' words.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new("InvalidParameterException", &format!("Invalid parameter at {message}"))
    }

    pub(super) fn server() -> Self {
        Self::new("ServerException", "Internal error")
    }

    pub(super) fn throttled() -> Self {
        Self::new("ThrottlingException", "Rate exceeded")
    }

    pub(super) fn expired() -> Self {
        Self::new("ExpiredTokenException", "The security token included in the request is expired")
    }

    pub(super) fn denied(seen: &Seen) -> Self {
        let resource = match &seen.repository {
            Some(name) => format!("repository/{name}"),
            None => "*".to_owned(),
        };
        let RegistryId { partition, account, region } = &seen.registry;
        let message = format!(
            "User: {} is not authorized to perform: ecr:{} on resource: arn:{}:ecr:{region}:{account}:{resource} \
             because no identity-based policy allows the ecr:{} action",
            seen.caller,
            seen.operation,
            partition.word(),
            seen.operation
        );
        Self { code: "AccessDeniedException".to_owned(), message }
    }

    /// Returns the HTTP status that goes with the code.
    #[must_use]
    pub fn status(&self) -> u16 {
        if self.code == "ServerException" { 500 } else { 400 }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// What an image is named by in a call: a tag, a digest, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIdentifier {
    /// As it was sent, maybe no digest at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// As it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<String>,
}

impl ImageIdentifier {
    pub(super) fn of(digest: &Digest, tag: Option<&str>) -> Self {
        Self { image_digest: Some(digest.to_string()), image_tag: tag.map(str::to_owned) }
    }
}

/// An item that is refused in an answer that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageFailure {
    /// The item as it was sent.
    pub image_id: ImageIdentifier,
    /// As in `ImageNotFound`.
    pub failure_code: String,
    /// AWS' words.
    pub failure_reason: String,
}

impl ImageFailure {
    pub(super) fn new(id: &ImageIdentifier, code: &str, reason: &str) -> Self {
        Self { image_id: id.clone(), failure_code: code.to_owned(), failure_reason: reason.to_owned() }
    }
}

/// `TAGGED` or `UNTAGGED`; which statuses, `ACTIVE` unless said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageFilter {
    pub tag_status: Option<String>,
    pub image_status: Option<String>,
}

impl ImageFilter {
    pub(super) fn takes(&self, entry: &super::repository::Entry) -> bool {
        let tags = match self.tag_status.as_deref() {
            Some("TAGGED") => !entry.tags.is_empty(),
            Some("UNTAGGED") => entry.tags.is_empty(),
            _ => true,
        };
        tags && takes_status(self.image_status.as_deref(), &entry.status)
    }
}

/// What is not asked for is hidden: without a filter only active images are listed.
pub(super) fn takes_status(asked: Option<&str>, status: &kubeguard_core::ecr::snapshot::Status) -> bool {
    asked == Some("ANY") || asked.unwrap_or("ACTIVE") == status_word(status)
}

pub(super) fn status_word(status: &kubeguard_core::ecr::snapshot::Status) -> &str {
    use kubeguard_core::ecr::snapshot::Status;
    match status {
        Status::Active => "ACTIVE",
        Status::Archived => "ARCHIVED",
        Status::Activating => "ACTIVATING",
        Status::Other(word) => word,
    }
}

/// Whose registry a call is about, who asks, and what the call has met.
#[derive(Debug)]
pub struct Site {
    /// The registry that answers.
    pub registry: RegistryId,
    /// ARN of the caller.
    pub caller: String,
    pub(super) operation: &'static str,
    pub(super) repository: Option<String>,
    pub(super) refused_items: Vec<(Digest, &'static str)>,
    pub(super) page_limit: Option<usize>,
    /// Makes every token of its own.
    pub(super) number: usize,
}

impl Site {
    /// Returns how many rows a page has.
    pub(super) fn page_size(&self, asked: Option<i64>, default: usize, most: usize) -> Result<usize, Refusal> {
        let size = asked.map_or(Some(default), |asked| usize::try_from(asked).ok()).unwrap_or(0);
        if size == 0 || size > most {
            return Err(Refusal::invalid(&format!("'maxResults': must be between 1 and {most}")));
        }
        Ok(size.min(self.page_limit.unwrap_or(most)))
    }

    /// Writes a token for the rows behind a place.
    pub(super) fn token(&self, operation: &str, place: u64) -> String {
        let about = self.repository.as_deref().unwrap_or_default();
        URL_SAFE_NO_PAD.encode(format!("{operation} {about} {place} {}", self.number))
    }

    /// Reads a token; a list without one begins at 0. One of another list is refused.
    pub(super) fn place(&self, operation: &str, token: Option<&str>) -> Result<u64, Refusal> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(0) };
        let read = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            let mut words = text.split(' ');
            let own = words.next() == Some(operation) && words.next() == Some(self.repository.as_deref().unwrap_or(""));
            own.then(|| words.next()?.parse().ok()).flatten()
        };
        read().ok_or_else(|| Refusal::invalid("'nextToken'"))
    }
}

/// Times are seconds since the epoch, with a fraction.
#[expect(clippy::cast_precision_loss, reason = "milliseconds fit for the next 200,000 years")]
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

#[expect(clippy::ref_option, reason = "serde hands over the field")]
pub(super) fn write_seconds<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(seconds).serialize(serializer)
}
