//! Who may clean a registry now: one process, which proves that it lives.

mod cluster;
mod file;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use cluster::ClusterLease;
pub use file::FileLease;

/// How long a lease is good without a renewal.
pub const GOOD_FOR: Duration = Duration::from_mins(2);
/// How often it is renewed.
pub const RENEWED_EVERY: Duration = Duration::from_secs(30);

/// A right that one process has at a time.
pub trait Lease: Send + Sync {
    /// Returns `Lease` or `File`.
    fn kind(&self) -> &'static str;

    /// Returns the words by which others know the holder.
    fn holder(&self) -> &str;

    /// Takes the lease. `dead` names a holder that is proven to be dead: its lease is taken over.
    fn acquire(&self, dead: Option<&str>) -> impl Future<Output = Result<(), LeaseError>> + Send;

    /// Proves that the holder lives.
    fn renew(&self) -> impl Future<Output = Result<(), LeaseError>> + Send;

    /// Gives the lease back. A lease that cannot be given back ends by itself.
    fn release(&self) -> impl Future<Output = ()> + Send;
}

/// Why there is no lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else has it.
    #[error("{holder} holds {name}")]
    Held {
        /// Which lease.
        name: String,
        /// Who.
        holder: String,
    },
    /// It cannot be read or written now.
    #[error("cannot write {name}: {because}")]
    Unreachable {
        /// Which lease.
        name: String,
        /// Why.
        because: String,
    },
}

/// Either kind of lease.
#[derive(Debug)]
pub enum AnyLease {
    /// A file in the state directory.
    File(FileLease),
    /// A Lease of a cluster.
    Cluster(Box<ClusterLease>),
}

impl Lease for AnyLease {
    fn kind(&self) -> &'static str {
        match self {
            Self::File(lease) => lease.kind(),
            Self::Cluster(lease) => lease.kind(),
        }
    }

    fn holder(&self) -> &str {
        match self {
            Self::File(lease) => lease.holder(),
            Self::Cluster(lease) => lease.holder(),
        }
    }

    async fn acquire(&self, dead: Option<&str>) -> Result<(), LeaseError> {
        match self {
            Self::File(lease) => lease.acquire(dead).await,
            Self::Cluster(lease) => lease.acquire(dead).await,
        }
    }

    async fn renew(&self) -> Result<(), LeaseError> {
        match self {
            Self::File(lease) => lease.renew().await,
            Self::Cluster(lease) => lease.renew().await,
        }
    }

    async fn release(&self) {
        match self {
            Self::File(lease) => lease.release().await,
            Self::Cluster(lease) => lease.release().await,
        }
    }
}

/// Whether a lease that was taken is still good.
#[derive(Debug)]
pub(super) struct Good {
    lost: AtomicBool,
    proven: Mutex<Instant>,
}

impl Good {
    /// A lease that was taken just now.
    pub(super) fn new() -> Self {
        Self { lost: AtomicBool::new(false), proven: Mutex::new(Instant::now()) }
    }

    /// Returns whether it may be relied on for one more call, which must end before others may take the lease.
    pub(super) fn holds(&self, call: Duration) -> bool {
        let proven = *self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        !self.lost.load(Ordering::Acquire) && proven.elapsed() + call < GOOD_FOR
    }

    /// Renews a lease for as long as it is polled. Never returns.
    pub(super) async fn keep<L: Lease>(&self, lease: &L) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(RENEWED_EVERY).await;
            // Others count from when the renewal was sent, at the earliest.
            let sent = Instant::now();
            match lease.renew().await {
                Ok(()) => *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = sent,
                Err(LeaseError::Held { .. }) => {
                    self.lost.store(true, Ordering::Release);
                    return std::future::pending().await;
                }
                Err(LeaseError::Unreachable { .. }) => {}
            }
        }
    }
}
