//! Judges the objects of a file as they stand: `cargo run -p kubeguard-examples --example snapshot -- FILE`.

use std::path::Path;

use jiff::Timestamp;
use kubeguard_core::gather::manifests;
use kubeguard_core::wait::{Object, Policy, offline};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "examples/snapshots/shop.yaml".to_owned());
    let manifests = manifests::read(Path::new(&file))?;
    let objects: Vec<Object> = manifests.into_iter().filter_map(|manifest| Object::read(manifest.object)).collect();

    let report = offline::judge(objects, Policy::default(), Timestamp::now());
    for item in &report.items {
        println!("{:<12} {} {}: {}", item.verdict, item.object_kind, item.name, item.message);
    }
    Ok(())
}
