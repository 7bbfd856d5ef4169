//! Which clusters must answer before anything may go.

mod parse;
mod planned;

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::civil::Date;

use super::policy::{Pattern, RegistryName, Window};

/// The declared clusters, in the order of their file.
#[derive(Debug, Clone, Default)]
pub struct Clusters {
    /// The clusters.
    pub clusters: Vec<Cluster>,
    /// They come from a clusters file, not from flags.
    pub from_file: bool,
}

/// One declared cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Unique label.
    pub name: String,
    /// Where its usage is read; `None` only for a standby.
    pub source: Option<ClusterSource>,
    /// Pinned uid of its namespace `kube-system`.
    pub uid: Option<String>,
    /// Registries it pulls from, where they are declared.
    pub registries: Vec<RegistryName>,
    /// The cluster whose references count for this one too.
    pub standby_of: Option<String>,
    /// Since when it is off: its last inventory counts at any age.
    pub hibernated_since: Option<Date>,
    /// When it was taken down, and how long its last inventory still counts.
    pub retired: Option<Retired>,
    /// PEM file with the Ed25519 key that its inventory must be signed with.
    pub public_key: Option<PathBuf>,
    /// Repositories it may use; `None` for all.
    pub repositories: Option<Vec<Pattern>>,
}

impl Cluster {
    /// Returns whether it was taken down and the time is over for which its last inventory counts: then it says nothing.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.retired.as_ref().and_then(Retired::until).is_some_and(|until| until <= now)
    }
}

/// Where a cluster's usage is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterSource {
    /// Context of the kubeconfig.
    Context(String),
    /// Inventory file.
    Inventory(PathBuf),
    /// Files or folders of manifests: they only add votes.
    Manifests(Vec<PathBuf>),
}

/// When a cluster was taken down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// The day.
    pub at: Date,
    /// How long its last inventory still counts.
    pub wait: Window,
}

impl Retired {
    /// Returns when its last inventory stops to count.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        let start = jiff::tz::TimeZone::UTC.to_timestamp(self.at.at(0, 0, 0, 0)).ok()?;
        start.checked_add(self.wait.0).ok()
    }
}
