//! What a failed call means: by AWS' code, since most of what matters is in no model of the SDK.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecr::config::http::HttpResponse;
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};

use crate::ecr::registry::{CallError, ErrorKind};
use crate::error::innermost;

/// Tells why a call failed.
pub(super) fn failed<E>(operation: &'static str, about: &str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let (kind, code, message) = match error {
        SdkError::ServiceError(refusal) => {
            let (answer, refusal) = (refusal.raw(), refusal.err());
            let status = answer.status().as_u16();
            match refusal.code() {
                // An answer that cannot be read is a refusal to the SDK, whatever its status: the call may have worked.
                None if answer.status().is_success() => (ErrorKind::Unknown, None, unreadable(refusal)),
                Some(code) => (of_code(code, status), Some(code.to_owned()), words(refusal.message(), status)),
                None => (of_status(status), None, words(refusal.message(), status)),
            }
        }
        SdkError::ResponseError(_) => (ErrorKind::Unknown, None, unreadable(error)),
        SdkError::TimeoutError(_) => (ErrorKind::Unknown, None, "no answer in time".to_owned()),
        _ => match credentials(error) {
            Some(why) => (ErrorKind::Credentials, None, why),
            None if matches!(error, SdkError::ConstructionFailure(_)) => (ErrorKind::Invalid, None, innermost(error)),
            None => (ErrorKind::Unknown, None, innermost(error)),
        },
    };
    CallError { operation, about: about.to_owned(), kind, code, message }
}

fn unreadable(error: &(dyn StdError + 'static)) -> String {
    format!("the answer cannot be read: {}", innermost(error))
}

fn words(message: Option<&str>, status: u16) -> String {
    message.map_or_else(|| format!("HTTP status {status} without a reason"), str::to_owned)
}

/// Returns why there are no credentials, if that is what failed.
fn credentials(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<CredentialsError>() {
            return Some(match error {
                CredentialsError::CredentialsNotLoaded(_) => "there are no AWS credentials".to_owned(),
                other => format!("the AWS credentials cannot be loaded: {}", innermost(other)),
            });
        }
        next = error.source();
    }
    None
}

/// Codes of ECR, STS and of what stands before every service of AWS. One that is not known here is a refusal.
fn of_code(code: &str, status: u16) -> ErrorKind {
    match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "SlowDown" => ErrorKind::Throttled,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "NotAuthorized"
        | "BlockedByOrganizationPolicyException" => ErrorKind::AccessDenied,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => ErrorKind::Credentials,
        "ImageNotFoundException" => ErrorKind::ImageNotFound,
        "RepositoryNotFoundException" => ErrorKind::RepositoryNotFound,
        "LifecyclePolicyNotFoundException" | "LifecyclePolicyPreviewNotFoundException" => ErrorKind::LifecycleNotFound,
        "LifecyclePolicyPreviewInProgressException" => ErrorKind::PreviewInProgress,
        "ImageStorageClassUpdateNotSupportedException" => ErrorKind::StorageClassNotSupported,
        "InvalidParameterException"
        | "InvalidTagParameterException"
        | "ValidationException"
        | "ValidationError"
        | "SerializationException" => ErrorKind::Invalid,
        "UnknownOperationException" | "InvalidAction" => ErrorKind::Unsupported,
        _ if status == 429 => ErrorKind::Throttled,
        "RequestTimeout" | "RequestTimeoutException" => ErrorKind::Unknown,
        _ if status >= 500 => ErrorKind::Unknown,
        _ => ErrorKind::Refused,
    }
}

/// Without a code it was not AWS that answered, or something that does not know the operation: AWS' own errors of the
/// server carry a code, and what stands before a server that is away answers 502 to 504.
fn of_status(status: u16) -> ErrorKind {
    match status {
        429 => ErrorKind::Throttled,
        404 | 405 | 500 | 501 => ErrorKind::Unsupported,
        401 | 403 => ErrorKind::AccessDenied,
        502.. => ErrorKind::Unknown,
        _ => ErrorKind::Refused,
    }
}
