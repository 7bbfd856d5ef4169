//! A process that listens as a sidecar does, and is asked to quit.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// It answers with this status code.
    Answers(u16),
    /// It hears the request and ends without an answer.
    HangsUp,
    /// It hears the request, says nothing, and keeps the connection.
    Silent,
    /// It answers something that is no HTTP.
    Babbles,
}

/// A process on loopback that keeps what it is sent.
#[derive(Debug)]
pub struct Sidecar {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Sidecar {
    /// Starts one; `then` is called with each request before it is answered.
    #[must_use]
    pub fn start(manners: Manners, then: impl Fn() + Send + 'static) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"), manners, then)
    }

    /// Starts one at a socket that is there.
    #[must_use]
    pub fn at(listener: TcpListener, manners: Manners, then: impl Fn() + Send + 'static) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = heard.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let request = read(&mut stream);
                log.lock().expect("nobody panics with it").push(request);
                then();
                match manners {
                    Manners::Answers(code) => {
                        let text = format!("HTTP/1.1 {code} Said\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                        drop(stream.write_all(text.as_bytes()));
                    }
                    Manners::Babbles => drop(stream.write_all(b"SSH-2.0-OpenSSH\r\n")),
                    Manners::HangsUp => {}
                    Manners::Silent => kept.push(stream),
                }
            }
        });
        Self { address, heard }
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns every request so far, byte for byte.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("nobody panics with it").clone()
    }
}

/// Reads a request without a body to its end.
fn read(stream: &mut TcpStream) -> String {
    drop(stream.set_read_timeout(Some(Duration::from_secs(5))));
    let mut bytes = Vec::new();
    let mut some = [0; 1024];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut some) {
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&some[..count]),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
