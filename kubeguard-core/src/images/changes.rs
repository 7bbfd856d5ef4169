//! Waiting until a cluster is not what an inventory says any more.

use futures::StreamExt as _;

use super::inventory::{Inventory, KindRead, Need, ReadStatus};
use crate::access::Cluster;

/// The server ends a watch after this long, so that nothing goes unseen for longer.
const WATCH_SECONDS: u32 = 600;

/// Waits until an object changes of a kind that decides over an inventory's completeness.
///
/// Every kind is watched from the version at which it was read, so nothing that happened since is missed. Where a watch
/// is refused, forgotten or ends, nobody knows, and that counts as a change.
pub async fn changed(cluster: &Cluster, inventory: &Inventory) {
    let decides = |kind: &&KindRead| kind.need != Need::Optional && kind.status == ReadStatus::Ok;
    let mut watches: futures::stream::FuturesUnordered<_> =
        inventory.kinds.iter().filter(decides).map(|kind| next(cluster, kind)).collect();
    // Without a kind there is nothing that could change.
    if watches.next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Waits for the next change of one kind.
async fn next(cluster: &Cluster, kind: &KindRead) {
    let root = if kind.api_version.contains('/') { "/apis" } else { "/api" };
    let version = kind.resource_version.as_deref().unwrap_or_default();
    let path = format!(
        "{root}/{}/{}?watch=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}",
        kind.api_version, kind.resource
    );
    match cluster.open(&path).await {
        Ok((_, lines)) => {
            let line = std::pin::pin!(lines).next().await;
            tracing::debug!(kind = kind.resource, ended = line.is_none(), "changed");
        }
        Err(failure) => tracing::info!(kind = kind.resource, %failure, "cannot watch"),
    }
}
