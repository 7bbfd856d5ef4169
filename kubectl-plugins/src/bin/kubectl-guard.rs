//! `kubectl guard`.

fn main() -> std::process::ExitCode {
    // Fails only when a provider is installed already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    kubectl_plugins::audits::guard()
}
