//! Tries in a real account what kubeguard assumes of ECR: pushes tiny images into an empty scratch repository, prints what
//! holds, and removes what it pushed and nothing else:
//! `cargo run -p kubeguard-examples --example confirm-ecr -- REPOSITORY`.
//!
//! Credentials, region and endpoint are those of every AWS tool: `AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL_ECR`.

use aws_config::BehaviorVersion;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use kubeguard_examples::confirm::{Seen, confirm};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(repository) = std::env::args().nth(1) else {
        return Err("name an empty repository that is there for this alone".into());
    };
    let client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(client).load().await;
    let confirmed = confirm(&config, &repository).await?;
    for row in &confirmed.rows {
        println!("{:<4} {:<9}  {}\n                {}", row.id, row.seen, row.assumed, row.because);
    }
    if !confirmed.left.is_empty() {
        return Err(format!("could not be removed: {}", confirmed.left.join(" ")).into());
    }
    if confirmed.rows.iter().any(|row| row.seen == Seen::Fails) {
        return Err("something is assumed that does not hold: design and code are safe without it, tell us".into());
    }
    Ok(())
}
