//! A mutating webhook that adds a sidecar to pods, as the injectors of meshes and agents do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubeguard_testkit::ControlPlane;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Adds a container to every pod with the label `inject: "true"` that is created in the namespace from now on.
///
/// The server refuses those pods if the webhook does not answer, so that no pod is ever without its sidecar.
pub(crate) fn inject(plane: &ControlPlane, namespace: &str, container: &Value) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let secret = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let tls = tls.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], secret).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tls, patch) = (Arc::new(tls), STANDARD.encode(patch(container)));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (tls, patch) = (tls.clone(), patch.clone());
            std::thread::spawn(move || stream.map(|stream| serve(stream, tls, &patch)));
        }
    });
    let url = format!("https://127.0.0.1:{port}/inject");
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [{
            "name": "sidecar.injector.example", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 10,
            "clientConfig": {"url": url, "caBundle": STANDARD.encode(certificate.pem())},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "objectSelector": {"matchLabels": {"inject": "true"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    });
    plane.pipe(&["create", "-f", "-"], &webhook.to_string());
    // The API server learns of it through a watch of its own.
    let probe = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": namespace, "labels": {"inject": "true"}},
        "spec": {"containers": [{"name": "app", "image": "probe:1"}]}});
    super::audits::until("webhook", || {
        let made = plane.pipe(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &probe.to_string());
        let made: Value = serde_json::from_str(&made).unwrap();
        made["spec"]["containers"].as_array().is_some_and(|containers| containers.len() == 2)
    });
}

fn patch(container: &Value) -> String {
    json!([{"op": "add", "path": "/spec/containers/-", "value": container}]).to_string()
}

/// Answers the reviews of one connection until the API server closes it.
fn serve(stream: TcpStream, tls: Arc<ServerConfig>, patch: &str) -> Option<()> {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(tls).ok()?, stream));
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let review: Value = serde_json::from_slice(&body).ok()?;
        let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
            "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch}});
        let answer = answer.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.get_mut().write_all((head + &answer).as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
    }
}
