//! What may come next behind `kubectl wait-deploy`; kubectl's own completion calls it.

fn main() -> std::process::ExitCode {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    kubectl_plugins::wait_deploy::complete()
}
