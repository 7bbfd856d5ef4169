//! A Lease of a cluster, for runs that share no file system.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{GOOD_FOR, Lease, LeaseError};
use crate::error::Failure;
use crate::images::RegistryId;

/// How long one call to the API server may take: a renewal must end long before the lease does.
const CALL: Duration = Duration::from_secs(15);

/// A Lease object. Every write names the version it rests on, so of two writers one loses, whatever their clocks say.
pub struct ClusterLease {
    api: Api<DynamicObject>,
    resource: ApiResource,
    namespace: String,
    name: String,
    holder: String,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    held: Mutex<Option<DynamicObject>>,
}

impl std::fmt::Debug for ClusterLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterLease").field("name", &self.name).field("holder", &self.holder).finish_non_exhaustive()
    }
}

impl ClusterLease {
    /// Names the Lease of a registry in a namespace; `holder` is how others know this process.
    #[must_use]
    pub fn new(
        client: kube::Client,
        namespace: &str,
        registry: &RegistryId,
        holder: &str,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease"));
        Self {
            api: Api::namespaced_with(client, namespace, &resource),
            resource,
            namespace: namespace.to_owned(),
            name: registry.lease_name(),
            holder: holder.to_owned(),
            clock: Box::new(clock),
            held: Mutex::default(),
        }
    }

    fn words(&self) -> String {
        format!("lease {} in namespace {}", self.name, self.namespace)
    }

    fn held_by(&self, holder: &str) -> LeaseError {
        LeaseError::Held { name: self.words(), holder: holder.to_owned() }
    }

    fn unreachable(&self, because: impl Into<String>) -> LeaseError {
        LeaseError::Unreachable { name: self.words(), because: because.into() }
    }

    /// Makes one call; `None` when the object is not there, or its version is not the newest.
    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<Option<T>, LeaseError> {
        match tokio::time::timeout(CALL, call).await {
            Err(_) => Err(self.unreachable(format!("no answer within {CALL:?}"))),
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(error)) => {
                let failure = Failure::from(error);
                if matches!(failure.code(), Some(404 | 409)) {
                    Ok(None)
                } else {
                    Err(self.unreachable(failure.to_string()))
                }
            }
        }
    }

    async fn write(&self, lease: &DynamicObject) -> Result<Option<DynamicObject>, LeaseError> {
        self.call(self.api.replace(&self.name, &PostParams::default(), lease)).await
    }

    fn spec(&self, since: Option<&Value>, transitions: i64) -> Value {
        let now = micros((self.clock)());
        json!({
            "holderIdentity": self.holder,
            "leaseDurationSeconds": GOOD_FOR.as_secs(),
            "acquireTime": since.cloned().unwrap_or_else(|| Value::String(now.clone())),
            "renewTime": now,
            "leaseTransitions": transitions,
        })
    }

    /// Who holds a lease now.
    fn holder_of<'a>(&self, lease: &'a DynamicObject) -> Option<&'a str> {
        let spec = lease.data.get("spec")?;
        let holder = spec.get("holderIdentity")?.as_str().filter(|holder| !holder.is_empty())?;
        let good_for = spec.get("leaseDurationSeconds").and_then(Value::as_i64).map(SignedDuration::from_secs);
        let renewed = spec.get("renewTime").and_then(Value::as_str).and_then(|time| time.parse::<Timestamp>().ok());
        match (renewed, good_for) {
            (Some(renewed), Some(good_for)) if (self.clock)().duration_since(renewed) > good_for => None,
            // Without a time it does not end.
            _ => Some(holder),
        }
    }
}

/// As the API server writes times of Leases.
fn micros(time: Timestamp) -> String {
    format!("{time:.6}")
}

impl Lease for ClusterLease {
    fn kind(&self) -> &'static str {
        "Lease"
    }

    fn holder(&self) -> &str {
        &self.holder
    }

    async fn acquire(&self, dead: Option<&str>) -> Result<(), LeaseError> {
        let mut held = self.held.lock().await;
        let taken = if let Some(mut lease) = self.call(self.api.get(&self.name)).await? {
            if let Some(holder) = self.holder_of(&lease).filter(|holder| Some(*holder) != dead) {
                return Err(self.held_by(holder));
            }
            let transitions = lease.data.pointer("/spec/leaseTransitions").and_then(Value::as_i64).unwrap_or(0);
            lease.data["spec"] = self.spec(None, transitions + 1);
            self.write(&lease).await?
        } else {
            let mut lease = DynamicObject::new(&self.name, &self.resource);
            lease.data = json!({"spec": self.spec(None, 0)});
            self.call(self.api.create(&PostParams::default(), &lease)).await?
        };
        match taken {
            Some(lease) => {
                *held = Some(lease);
                Ok(())
            }
            // The namespace is missing, or somebody wrote in between.
            None => match self.call(self.api.get(&self.name)).await? {
                Some(lease) => Err(self.held_by(self.holder_of(&lease).unwrap_or("somebody else"))),
                None => Err(self.unreachable(format!("there is no namespace {}", self.namespace))),
            },
        }
    }

    async fn renew(&self) -> Result<(), LeaseError> {
        let mut held = self.held.lock().await;
        let Some(known) = held.as_ref() else { return Err(self.unreachable("it is not held")) };
        let mut lease = known.clone();
        // Others may have labelled it; only its holder decides.
        for _ in 0..3 {
            let transitions = lease.data.pointer("/spec/leaseTransitions").and_then(Value::as_i64).unwrap_or(0);
            lease.data["spec"] = self.spec(lease.data.pointer("/spec/acquireTime"), transitions);
            if let Some(written) = self.write(&lease).await? {
                *held = Some(written);
                return Ok(());
            }
            let Some(fresh) = self.call(self.api.get(&self.name)).await? else {
                return Err(self.held_by("nobody: it was deleted"));
            };
            let holder = fresh.data.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default();
            if holder != self.holder {
                return Err(self.held_by(if holder.is_empty() { "nobody: it was taken away" } else { holder }));
            }
            lease = fresh;
        }
        Err(self.unreachable("others write it again and again"))
    }

    async fn release(&self) {
        let mut held = self.held.lock().await;
        if let Some(mut lease) = held.take() {
            lease.data["spec"]["holderIdentity"] = json!("");
            // Whoever has it now keeps it; unreachable, it ends by itself.
            let _ = self.write(&lease).await;
        }
    }
}
