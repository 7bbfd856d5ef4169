//! ECR itself, through the AWS SDK.
//!
//! [`AwsAccess`] names credentials, region and endpoint as every AWS tool does; [`AwsAccess::connect`] turns it into
//! [`Ecr`], the [`Registry`](super::registry::Registry) that answers for a registry of AWS. Reads are repeated, slower
//! and visibly, while that may help; what changes something is sent once.

mod answers;
mod calls;
mod connect;
mod failures;
mod meter;
mod pace;
mod replication;
#[cfg(test)]
mod tests;
mod traffic;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OnceCell;

pub use self::meter::Calls;
use self::traffic::Traffic;
use super::registry::{CallError, Caller};
use crate::images::RegistryId;

/// What names credentials, region and endpoint. What is absent comes from where every AWS tool looks: environment,
/// shared files, the machine's role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsAccess {
    /// Account whose registry is meant; the caller's own where it is absent.
    pub account: Option<String>,
    /// Region, as in `us-east-1`.
    pub region: Option<String>,
    /// Profile of the shared files.
    pub profile: Option<String>,
    /// Address that answers for ECR, and for STS unless one is configured for it.
    pub endpoint_url: Option<String>,
}

/// A registry of AWS. Clones share connections, credentials and the pace of calls.
#[derive(Clone)]
pub struct Ecr {
    client: aws_sdk_ecr::Client,
    sts: aws_sdk_sts::Client,
    id: RegistryId,
    clock: Clock,
    traffic: Arc<Traffic>,
    caller: Arc<OnceCell<Caller>>,
}

impl Ecr {
    /// Returns how many calls were made so far, by this and its clones, and how fast: for whoever tells how far it is.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.traffic.calls()
    }
}

impl fmt::Debug for Ecr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ecr").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A read that is about to be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Why.
    pub error: CallError,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// Time until the next.
    pub pause: Duration,
}

/// The registry's clock: the `Date` of the newest answer.
#[derive(Debug, Clone, Default)]
struct Clock(Arc<Mutex<Option<Timestamp>>>);

impl Clock {
    fn now(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}
