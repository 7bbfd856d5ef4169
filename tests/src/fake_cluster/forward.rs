//! A port-forward over a WebSocket, as the API server and the kubelet speak it: for each port a channel of data and one
//! of errors, each begun with the port's number.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Body;

const PROTOCOL: &str = "v4.channel.k8s.io";
const DATA: u8 = 0;
const ERROR: u8 = 1;

/// Switches protocols, and carries bytes between the caller and a process; `None` has nothing listen at the port.
pub(super) fn accept(request: &mut Request<Incoming>, port: u16, process: Option<SocketAddr>) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed());
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let speaks = header(SEC_WEBSOCKET_PROTOCOL).is_some_and(|known| known.contains(PROTOCOL));
    let Some(key) = header(SEC_WEBSOCKET_KEY).filter(|_| speaks) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    let accepted = derive_accept_key(key.as_bytes());
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted.parse().expect("base64 is a header's value"));
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        carry(socket, port, process).await;
    });
    response
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut frame = BytesMut::with_capacity(bytes.len() + 1);
    frame.put_u8(channel);
    frame.put_slice(bytes);
    Message::Binary(frame.freeze())
}

async fn carry(mut socket: Socket, port: u16, process: Option<SocketAddr>) {
    for channel in [DATA, ERROR] {
        drop(socket.send(frame(channel, &port.to_le_bytes())).await);
    }
    let connected = match process {
        Some(address) => TcpStream::connect(address).await.ok(),
        None => None,
    };
    let Some(mut stream) = connected else {
        let why = format!("failed to connect to localhost:{port} inside namespace: connection refused");
        drop(socket.send(frame(ERROR, why.as_bytes())).await);
        // The caller closes: what it still sends would meet a closed socket otherwise, and the reason be lost.
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
        }
        return;
    };
    let mut answer = vec![0; 4096];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    let data: Bytes = bytes;
                    if data.first() == Some(&DATA) && stream.write_all(&data[1..]).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
            read = stream.read(&mut answer) => match read {
                Ok(0) | Err(_) => break,
                Ok(count) => drop(socket.send(frame(DATA, &answer[..count])).await),
            },
        }
    }
    drop(socket.close(None).await);
}
