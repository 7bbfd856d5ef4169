//! The API server's protobuf: a magic number, an envelope, and the object inside.
//!
//! Format: `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`.

use prost::Message;
use prost::bytes::Bytes;

/// Media type to ask for.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";

/// Bytes that are not what the server promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The magic number is missing.
    #[error("the answer is not Kubernetes' protobuf")]
    Magic,
    /// A message cannot be decoded.
    #[error("the answer's protobuf is damaged")]
    Damaged(#[from] prost::DecodeError),
}

/// `runtime.Unknown`: what it is, and its bytes.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(bytes = "bytes", tag = "2")]
    raw: Bytes,
}

/// One page of a list, its items not decoded yet.
#[derive(Clone, PartialEq, Message)]
pub struct Page {
    /// Where the next page begins, and which state of the server this is.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ListMeta>,
    /// The items' bytes, each shared with the page.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub items: Vec<Bytes>,
}

/// Metadata of a list.
#[derive(Clone, PartialEq, Eq, Message, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// State of the server that the list shows.
    #[prost(string, tag = "2")]
    pub resource_version: String,
    /// Token of the next page; empty on the last.
    #[prost(string, tag = "3")]
    pub r#continue: String,
}

/// Takes a list's page apart without copying it.
///
/// # Errors
/// [`ProtobufError`] when the bytes are not what the server promised.
pub fn page(body: &Bytes) -> Result<Page, ProtobufError> {
    if !body.starts_with(MAGIC) {
        return Err(ProtobufError::Magic);
    }
    let envelope = Envelope::decode(body.slice(MAGIC.len()..))?;
    Ok(Page::decode(envelope.raw)?)
}

/// Decodes one item of a page.
///
/// # Errors
/// [`ProtobufError::Damaged`] when the bytes are no such message.
pub fn item<T: Message + Default>(bytes: Bytes) -> Result<T, ProtobufError> {
    Ok(T::decode(bytes)?)
}
