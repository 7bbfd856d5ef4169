//! Waits for a set of objects and prints what became of each: `cargo run -p kubeguard-examples --example wait -- web api`.

use jiff::Timestamp;
use kubeguard_core::access::{Access, Environment};
use kubeguard_core::gather::resource::Resource;
use kubeguard_core::kinds::Deployment;
use kubeguard_core::wait::{Policy, Target, wait};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    kubeguard_examples::install_tls();
    let cluster = Access::default().connect(&Environment::of_process()).await?;
    let namespace = cluster.default_namespace().to_owned();
    let names = std::env::args().skip(1);
    let targets = names.map(|name| Target::named(Resource::of::<Deployment>(), Some(&namespace), name)).collect();

    let report = wait(cluster, targets, Policy::default(), Timestamp::now).await?;
    for item in &report.items {
        println!("{} {}: {} {}", item.name, item.verdict, item.reason, item.message);
    }
    std::process::exit(report.exit_code.into())
}
