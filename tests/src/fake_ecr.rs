//! An ECR in memory, for what AWS will not do on demand: lost answers, refused items, tags that move between two calls.
//!
//! The [`Store`] is the registry of every account and region, with a clock that only a test moves. It is asked in two
//! ways: directly, as the [`Registry`](kubeguard_core::ecr::registry::Registry) of the library, without any HTTP; or by
//! the AWS SDK through a server on loopback, so that a plugin's own binary runs against it. Both make the same calls.

mod direct;
mod journal;
mod lifecycle;
mod operations;
mod push;
mod repository;
mod server;
mod store;
mod traffic;

use std::sync::{Arc, Mutex, MutexGuard};

pub use direct::Direct;
pub use journal::{Change, Effect, Mutation};
pub use lifecycle::{Lifecycle, PreviewRow};
pub use operations::ImageIdentifier;
pub use push::{Link, Push, artifact, attestation, config_digest, cosign, image, index, missing_digest, referrer};
pub use repository::{Entry, Repository};
pub use store::{ACCESS_KEY, ACCOUNT, Behaviour, Pairs, Place, REGION, Registry, Store};
pub use traffic::{Calls, Fault, Seen};

use self::server::Server;
use self::store::Caller;
use kubeguard_core::images::RegistryId;

/// A registry in memory that others can ask while a test changes it. Clones are the same registry.
#[derive(Clone)]
pub struct FakeEcr {
    store: Arc<Mutex<Store>>,
    server: Option<Arc<Server>>,
}

impl Default for FakeEcr {
    fn default() -> Self {
        Self::new(Store::default())
    }
}

impl FakeEcr {
    /// Takes a store that is only asked directly.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store: Arc::new(Mutex::new(store)), server: None }
    }

    /// Starts a server on a free port of loopback, too. It stops with the last clone.
    #[must_use]
    pub fn serve(mut self) -> Self {
        self.server = Some(Arc::new(Server::start(self.store.clone())));
        self
    }

    /// Returns the store, and keeps calls waiting until it is dropped.
    ///
    /// # Panics
    /// When an assertion inside of a call has failed before.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no assertion inside of a call has failed")
    }

    /// Returns what asks the store directly, as the caller of [`ACCESS_KEY`], for the registry of [`ACCOUNT`] in
    /// [`REGION`].
    #[must_use]
    pub fn direct(&self) -> Direct {
        self.direct_as(ACCESS_KEY, RegistryId::new(ACCOUNT, REGION))
    }

    /// Returns what asks the store directly, by an access key, for a registry.
    #[must_use]
    pub fn direct_as(&self, access_key: &str, registry: RegistryId) -> Direct {
        let caller = Caller { access_key: access_key.to_owned(), region: registry.region.clone() };
        Direct::new(self.store.clone(), caller, registry)
    }

    /// Returns the server's address, as in `http://127.0.0.1:40123`.
    ///
    /// # Panics
    /// When no server was started.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.as_ref().expect("a server that was started").url()
    }

    /// Returns the environment that leads every AWS tool here, with the credentials of [`ACCESS_KEY`] in [`REGION`].
    ///
    /// # Panics
    /// When no server was started.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_ECR", self.url().to_owned()),
            ("AWS_ENDPOINT_URL_STS", self.url().to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            // A machine in AWS would answer for its own role.
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/nonexistent".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".to_owned()),
        ]
    }
}
