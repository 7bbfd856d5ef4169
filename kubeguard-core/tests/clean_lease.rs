//! The Lease of a cluster that lets one run at a time clean a registry.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::apply::{ClusterLease, Lease as _, LeaseError};
use kubeguard_core::images::RegistryId;
use serde_json::{Value, json};

/// An API server that knows one object, and lets only writers of its newest version write.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Option<Value>>>);

impl Server {
    /// Serves on a free port until the test ends; returns the address.
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                server.answer(stream.unwrap());
            }
        });
        address
    }

    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (code, answer) = self.act(first.split(' ').next().unwrap(), serde_json::from_slice(&body).ok());
        let text = answer.to_string();
        let head = format!("HTTP/1.1 {code} x\r\ncontent-type: application/json\r\nconnection: close\r\n");
        write!(reader.get_mut(), "{head}content-length: {}\r\n\r\n{text}", text.len()).unwrap();
    }

    fn act(&self, verb: &str, body: Option<Value>) -> (u16, Value) {
        let refuse = |code: u16, reason: &str| {
            (
                code,
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": reason}),
            )
        };
        let mut kept = self.0.lock().unwrap();
        let version =
            |object: &Value| object["metadata"]["resourceVersion"].as_str().map(|text| text.parse::<u64>().unwrap());
        match (verb, &*kept) {
            ("GET", Some(object)) => (200, object.clone()),
            ("POST", Some(_)) => refuse(409, "AlreadyExists"),
            ("PUT", Some(object)) if version(object) != body.as_ref().and_then(version) => refuse(409, "Conflict"),
            ("POST", None) | ("PUT", Some(_)) => {
                let mut object = body.unwrap();
                let next = kept.as_ref().and_then(version).unwrap_or(0) + 1;
                object["metadata"]["resourceVersion"] = json!(next.to_string());
                *kept = Some(object.clone());
                (200, object)
            }
            _ => refuse(404, "NotFound"),
        }
    }

    fn spec(&self, field: &str) -> Value {
        self.0.lock().unwrap().as_ref().unwrap()["spec"][field].clone()
    }
}

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn lease(address: &str, holder: &str, seconds: i64) -> ClusterLease {
    let config = kube::Config::new(address.parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    let at = now() + SignedDuration::from_secs(seconds);
    ClusterLease::new(client, "ops", &RegistryId::new("111122223333", "us-east-1"), holder, move || at)
}

#[tokio::test]
async fn one_of_two_holds_it_until_it_gives_it_back() {
    let server = Server::default();
    let address = server.start();
    let (one, two) = (lease(&address, "one", 0), lease(&address, "two", 60));
    one.acquire(None).await.unwrap();
    assert_eq!(server.spec("renewTime"), "2026-11-22T10:00:00.000000Z");
    let error = two.acquire(None).await.unwrap_err();
    assert!(matches!(&error, LeaseError::Held { holder, .. } if holder == "one"), "{error}");
    one.renew().await.unwrap();
    one.release().await;
    two.acquire(None).await.unwrap();
    assert_eq!((server.spec("holderIdentity"), server.spec("leaseTransitions")), (json!("two"), json!(1)));
}

#[tokio::test]
async fn it_ends_without_renewal_and_its_old_holder_notices() {
    let server = Server::default();
    let address = server.start();
    let one = lease(&address, "one", 0);
    one.acquire(None).await.unwrap();
    assert!(lease(&address, "two", 120).acquire(None).await.is_err());
    lease(&address, "two", 121).acquire(None).await.unwrap();
    let error = one.renew().await.unwrap_err();
    assert!(matches!(&error, LeaseError::Held { holder, .. } if holder == "two"), "{error}");
    // What is another's is not given back.
    one.release().await;
    assert_eq!(server.spec("holderIdentity"), "two");
}

#[tokio::test]
async fn a_holder_that_is_proven_dead_is_taken_over_from_at_once_and_only_that_one() {
    let server = Server::default();
    let address = server.start();
    lease(&address, "one", 0).acquire(None).await.unwrap();
    assert!(lease(&address, "two", 1).acquire(Some("three")).await.is_err());
    lease(&address, "two", 1).acquire(Some("one")).await.unwrap();
}

#[tokio::test]
async fn a_label_that_others_add_does_not_lose_it_and_a_deletion_does() {
    let server = Server::default();
    let address = server.start();
    let one = lease(&address, "one", 0);
    one.acquire(None).await.unwrap();
    server.0.lock().unwrap().as_mut().unwrap()["metadata"]["resourceVersion"] = json!("77");
    one.renew().await.unwrap();
    *server.0.lock().unwrap() = None;
    assert!(matches!(one.renew().await, Err(LeaseError::Held { .. })));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_as_such() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    assert!(matches!(lease(&address, "one", 0).acquire(None).await, Err(LeaseError::Unreachable { .. })));
}
