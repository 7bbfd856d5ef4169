//! One request to a process in a pod, through the API server's port-forward.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Cluster;
use crate::error::Failure;

/// What a process answers to one HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A status code.
    Status(u16),
    /// No answer, though the request was sent; in words. It may have been heard all the same.
    Nothing(String),
    /// The request never came to it; in words.
    Unreachable(String),
}

/// The head of an answer is never longer than this in practice.
const LONGEST_HEAD: usize = 16 * 1024;

impl Cluster {
    /// Sends an HTTP request without a body to a port of a pod, as seen from inside the pod, and reads the status.
    ///
    /// `limit` is the time for the connection, and again for the answer.
    ///
    /// # Errors
    /// A [`Failure`] when the server does not forward the port; the request was not sent then.
    pub(crate) async fn ask_in_pod(
        &self,
        (namespace, pod): (&str, &str),
        port: u16,
        (method, path): (&str, &str),
        limit: Duration,
    ) -> Result<Said, Failure> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let opened = timeout(limit, api.portforward(pod, &[port])).await;
        let mut forward = opened.map_err(|_| Failure::TimedOut(limit))?.map_err(Failure::from)?;
        let nothing = || Ok(Said::Unreachable("the port was not forwarded".to_owned()));
        let Some(mut stream) = forward.take_stream(port) else { return nothing() };
        let Some(error) = forward.take_error(port) else { return nothing() };
        let request = request(method, path, port);
        let said = match stream.write_all(request.as_bytes()).await {
            Err(error) => Said::Unreachable(error.to_string()),
            Ok(()) => answer(&mut stream, error, limit).await,
        };
        forward.abort();
        Ok(said)
    }
}

/// Returns the request, byte for byte.
fn request(method: &str, path: &str, port: u16) -> String {
    let agent = concat!("kubeguard/", env!("CARGO_PKG_VERSION"));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

/// Reads until the status is known, the stream ends, its channel of errors says why nothing comes, or the time is up.
async fn answer(
    stream: &mut (impl AsyncRead + Unpin),
    error: impl Future<Output = Option<String>>,
    limit: Duration,
) -> Said {
    tokio::pin!(error);
    // What the channel of errors said, once it has ended.
    let mut why: Option<Option<String>> = None;
    let head = {
        let read = head(stream);
        tokio::pin!(read);
        let whole = async {
            loop {
                tokio::select! {
                    biased;
                    head = &mut read => return head,
                    said = &mut error, if why.is_none() => {
                        let ends = said.is_some();
                        why = Some(said);
                        if ends {
                            return Vec::new();
                        }
                    }
                }
            }
        };
        match timeout(limit, whole).await {
            Ok(head) => head,
            Err(_) => return Said::Nothing(format!("no answer within {limit:?}")),
        }
    };
    if let Some(code) = status(&head) {
        return Said::Status(code);
    }
    let why = match why {
        Some(why) => why,
        None => timeout(limit, &mut error).await.ok().flatten(),
    };
    match why.as_deref().map(str::trim) {
        Some(why) if !why.is_empty() => Said::Unreachable(why.to_owned()),
        _ if head.is_empty() => Said::Nothing("the connection ended without an answer".to_owned()),
        _ => Said::Nothing("what it answers is no HTTP".to_owned()),
    }
}

/// Reads the first line, or what there is of it.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut head = Vec::new();
    while head.len() < LONGEST_HEAD && !head.contains(&b'\n') {
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    head
}

/// Returns the status code of an answer's first line.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let rest = line.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503\n"), Some(503));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(status(b""), None);
    }

    #[test]
    fn a_request_names_the_loopback_of_the_pod_and_has_no_body() {
        let sent = request("POST", "/quitquitquit", 15020);
        assert!(sent.starts_with("POST /quitquitquit HTTP/1.1\r\nHost: 127.0.0.1:15020\r\n"), "{sent}");
        assert!(
            sent.contains("\r\nContent-Length: 0\r\n") && sent.ends_with("\r\nConnection: close\r\n\r\n"),
            "{sent}"
        );
    }

    #[tokio::test]
    async fn a_stream_that_ends_tells_why() {
        let limit = Duration::from_secs(5);
        let refused = async { Some("connection refused".to_owned()) };
        assert_eq!(answer(&mut &b""[..], refused, limit).await, Said::Unreachable("connection refused".to_owned()));
        let silent = answer(&mut &b""[..], async { None }, limit).await;
        assert_eq!(silent, Said::Nothing("the connection ended without an answer".to_owned()));
        // A stream that stays open after its error does not keep anybody waiting.
        let (mut open, _other) = tokio::io::duplex(64);
        let refused = async { Some("connection refused".to_owned()) };
        assert_eq!(answer(&mut open, refused, limit).await, Said::Unreachable("connection refused".to_owned()));
        assert_eq!(answer(&mut &b"HTTP/1.1 404 Not Found\r\n"[..], async { None }, limit).await, Said::Status(404));
    }
}
