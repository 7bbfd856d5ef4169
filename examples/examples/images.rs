//! Lists every image that the objects of a file need, and where each is named:
//! `cargo run -p kubeguard-examples --example images -- FILE|DIRECTORY`.

use std::collections::BTreeMap;
use std::path::Path;

use kubeguard_core::gather::manifests;
use kubeguard_core::images::inventory::Scan;
use kubeguard_core::images::{Collector, HostMap};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "examples/snapshots/images.yaml".to_owned());
    let (hosts, scan) = (HostMap::default(), Scan::default());
    let mut collector = Collector::new(&hosts, &scan);
    for manifest in manifests::read(Path::new(&file))? {
        collector.add(&manifest.object);
    }
    let found = collector.finish();

    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for reference in &found.references {
        let place = format!("{}/{} {}", reference.kind, reference.name, reference.path);
        places.entry(&reference.image).or_default().push(place);
    }
    for (image, places) in places {
        println!("{image}");
        for place in places {
            println!("  {place}");
        }
    }
    for doubt in &found.suspicious {
        println!("{}: which image is that? {}/{} {}", doubt.text, doubt.kind, doubt.name, doubt.path);
    }
    Ok(())
}
