//! Reaching a cluster the way kubectl does.
//!
//! [`Access`] holds everything that names a cluster and a user; [`Access::connect`] turns it into a [`Cluster`].

mod client;
mod download;
mod forward;
mod kubeconfig;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use client::Cluster;
pub(crate) use client::{Answer, Call};
pub use download::download;
pub(crate) use forward::Said;

/// Everything that names a cluster and who is asking: the flags of kubectl, with its semantics.
///
/// Order: [`Access::kubeconfig`], else the files of `KUBECONFIG` that exist, else the home file, else the service
/// account of the pod. Once any flag names a cluster or a user, the service account is not tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Path of the only configuration file to read.
    pub kubeconfig: Option<PathBuf>,
    /// Context to use instead of the current one.
    pub context: Option<String>,
    /// Cluster to use instead of the context's.
    pub cluster: Option<String>,
    /// User to use instead of the context's.
    pub user: Option<String>,
    /// Address of the API server.
    pub server: Option<String>,
    /// Bearer token; replaces the user's credentials, keeps impersonation.
    pub token: Option<String>,
    /// Path of a client certificate.
    pub client_certificate: Option<String>,
    /// Path of the client certificate's key.
    pub client_key: Option<String>,
    /// Path of the authorities that may sign the server's certificate.
    pub certificate_authority: Option<String>,
    /// The server's certificate is not checked.
    pub insecure_skip_tls_verify: bool,
    /// Name that the server's certificate must carry.
    pub tls_server_name: Option<String>,
    /// User to act as.
    pub impersonate: Option<String>,
    /// Uid to act as.
    pub impersonate_uid: Option<String>,
    /// Groups to act as.
    pub impersonate_groups: Vec<String>,
    /// Extra attributes to act with.
    pub impersonate_extra: BTreeMap<String, Vec<String>>,
    /// Time that one request may take; `None` means no limit.
    pub request_timeout: Option<Duration>,
    /// Answers are not compressed.
    pub disable_compression: bool,
    /// Sent as `User-Agent`, as in `kubectl-wait_deploy/0.1.0`.
    pub user_agent: String,
}

/// What the process says about where configuration lies; passed in, so that a program decides what is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Value of `KUBECONFIG`.
    pub kubeconfig: Option<String>,
    /// Home folder.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { kubeconfig: set("KUBECONFIG"), home: set("HOME").or_else(|| set("USERPROFILE")).map(PathBuf::from) }
    }
}
