//! Small programs that use only kubeguard-core; they are in `examples/`, recordings of real waits in `recordings/`.

pub mod confirm;

/// Chooses the TLS provider of this process, as every program that connects must once.
pub fn install_tls() {
    // Fails only when a provider is chosen already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}
