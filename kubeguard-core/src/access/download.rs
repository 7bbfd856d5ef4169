//! A file behind an address, as `kubectl apply -f URL` reads it: no credentials are ever sent along.

use std::time::Duration;

use http::Request;
use http::header::{ACCEPT, LOCATION};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::{Client, Config};

use crate::error::{Error, Failure, Result, innermost};

/// Redirects that are followed; release pages need one or two.
const MOST_REDIRECTS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads what is behind `address`, following redirects.
///
/// # Errors
/// [`Error::Api`] when the server cannot be reached or does not give it.
pub async fn download(address: &str) -> Result<Vec<u8>> {
    let failed = |server: &str, failure: Failure| Error::Api {
        doing: format!("read {address}"),
        failure,
        server: server.to_owned(),
    };
    let mut next = address.to_owned();
    for _ in 0..=MOST_REDIRECTS {
        let read = tokio::time::timeout(PATIENCE, read(&next)).await;
        match read.unwrap_or(Err(Failure::TimedOut(PATIENCE))).map_err(|failure| failed(&next, failure))? {
            Found::File(bytes) => return Ok(bytes),
            Found::Elsewhere(there) => next = resolve(&next, &there),
        }
    }
    Err(failed(&next, Failure::Connection(format!("more than {MOST_REDIRECTS} redirects"))))
}

enum Found {
    File(Vec<u8>),
    Elsewhere(String),
}

async fn read(address: &str) -> std::result::Result<Found, Failure> {
    let words = |error: &(dyn std::error::Error + 'static)| Failure::Connection(innermost(error));
    let uri: http::Uri = address.parse().map_err(|error: http::uri::InvalidUri| words(&error))?;
    let origin =
        format!("{}://{}", uri.scheme_str().unwrap_or("https"), uri.authority().map_or("", |host| host.as_str()));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // A fresh client knows no user: what a cluster trusts us with is nobody else's business.
    let mut config = Config::new(origin.parse().map_err(|error: http::uri::InvalidUri| words(&error))?);
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| words(&error))?;
    let request = Request::get(path).header(ACCEPT, "*/*").body(Body::empty()).map_err(|error| words(&error))?;
    let (parts, body) = client.send(request).await?.into_parts();
    if parts.status.is_redirection()
        && let Some(there) = parts.headers.get(LOCATION).and_then(|there| there.to_str().ok())
    {
        return Ok(Found::Elsewhere(there.to_owned()));
    }
    if !parts.status.is_success() {
        let reason = parts.status.canonical_reason().unwrap_or_default().to_owned();
        return Err(Failure::Status { code: parts.status.as_u16(), reason, message: String::new(), retry_after: None });
    }
    let body = body.collect().await.map_err(|error| words(&error))?;
    Ok(Found::File(body.to_bytes().to_vec()))
}

/// Returns the address that a redirect names; one that begins with `/` stays on the same server.
fn resolve(from: &str, there: &str) -> String {
    if there.contains("://") {
        return there.to_owned();
    }
    let host = from.find("://").and_then(|scheme| from.get(scheme + 3..)?.find('/').map(|slash| scheme + 3 + slash));
    let origin = host.and_then(|end| from.get(..end)).unwrap_or(from);
    format!("{origin}/{}", there.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_name_a_path_or_an_address() {
        assert_eq!(resolve("https://a.example/x/y.yaml", "/z.yaml"), "https://a.example/z.yaml");
        assert_eq!(resolve("https://a.example/x", "https://b.example/z"), "https://b.example/z");
    }
}
