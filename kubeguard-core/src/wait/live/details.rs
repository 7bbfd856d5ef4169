//! What explains a failure beyond the objects that are watched: events and log lines, read once at the end.

use std::time::Duration;

use crate::access::{Call, Cluster};
use crate::error::Failure;
use crate::gather::pages::{Item, Selection, page};
use crate::gather::resource::Resource;
use crate::kinds::Event;
use crate::wait::object::{Body, Object};
use crate::wait::reason::Class;
use crate::wait::record::{Op, Record};
use crate::wait::secrets;
use crate::wait::verdict::Suspect;

/// One detail may take this long; the verdict is known by then.
const DETAIL: Duration = Duration::from_secs(2);
const LOG_LINES: &str = "20";
/// Details of more objects than these say the same.
pub(super) const MOST: usize = 3;

/// Reads the events, and after a crash the log, of the objects that show a failure.
pub(super) async fn read(cluster: Cluster, suspects: Vec<Suspect>) -> Vec<Record> {
    let cluster = &cluster;
    let details = suspects.iter().map(|suspect| async move {
        let events = tokio::time::timeout(DETAIL, events_of(cluster, suspect)).await;
        let mut records = events.unwrap_or_default();
        let restarted = suspect.restarts.is_some_and(|restarts| restarts > 0);
        let crashed = suspect.class() == Class::Budget || restarted;
        if let Some(container) = suspect.container.as_ref().filter(|_| crashed) {
            records.push(log(cluster, suspect, container).await);
        }
        records
    });
    futures::future::join_all(details).await.into_iter().flatten().collect()
}

async fn events_of(cluster: &Cluster, suspect: &Suspect) -> Vec<Record> {
    let resource = Resource::of::<Event>();
    let mut selection = Selection::all(resource.clone(), Some(&suspect.at.namespace));
    selection.fields = format!("involvedObject.name={},involvedObject.kind={}", suspect.at.name, suspect.at.kind);
    match page(cluster, &selection, "", true).await {
        Ok(page) => page
            .items
            .into_iter()
            .filter_map(Item::decode::<Event>)
            .map(|event| Record::Event(Op::Listed, Box::new(Object::slim(event, Body::Event))))
            .collect(),
        Err(failure) if failure.is_refusal() => vec![Record::Denied {
            verb: "list".to_owned(),
            resource,
            namespace: selection.namespace,
            name: None,
            message: failure.to_string(),
        }],
        Err(_) => Vec::new(),
    }
}

async fn log(cluster: &Cluster, suspect: &Suspect, container: &str) -> Record {
    let pod = &suspect.at;
    let mut lines = Err("cannot get pods/log".to_owned());
    let mut previous = true;
    for from_previous in [true, false] {
        previous = from_previous;
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/log?container={container}&tailLines={LOG_LINES}&previous={from_previous}",
            pod.namespace, pod.name
        );
        let log = cluster.fetch_once(Call::Get, &path, "text/plain, */*");
        let answer = tokio::time::timeout(DETAIL, log).await.unwrap_or(Err(Failure::TimedOut(DETAIL)));
        match answer {
            Ok(answer) => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                lines = Ok(text.lines().map(secrets::without).collect());
                break;
            }
            Err(failure) => lines = Err(format!("no log: {failure}")),
        }
    }
    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
    Record::Log { namespace, name, container: container.to_owned(), previous, lines }
}
