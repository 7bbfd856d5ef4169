//! Plans a clean-up from files alone, and says of every image why it stays or may go:
//! `cargo run -p kubeguard-examples --example plan`.

use std::fs::read_to_string;
use std::path::PathBuf;

use kubeguard_core::ecr::clusters::Clusters;
use kubeguard_core::ecr::planning::{Answer, Inputs, plan};
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::snapshot::RegistrySnapshot;
use kubeguard_core::gather::manifests;
use kubeguard_core::images::gather::{Reading, of_manifests};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "examples/ecr".to_owned()));
    let policy = Policy::parse("policy.yaml", &read_to_string(folder.join("policy.yaml"))?)?;
    let registry: RegistrySnapshot = serde_json::from_str(&read_to_string(folder.join("registry.json"))?)?;

    // Who must speak, and what they say: here one cluster, whose objects are in a file.
    let declared = "apiVersion: kubeguard.dev/v1\nkind: Clusters\nclusters:\n- {name: shop, inventory: shop.json}\n";
    let clusters = Clusters::parse("clusters.yaml", declared)?;
    let hosts = policy.hosts();
    let reading = Reading { cluster: "shop", scan: &policy.scan, hosts: &hosts, tool: "example" };
    let objects = manifests::read(&folder.join("cluster.yaml"))?;
    let objects = objects.iter().map(|manifest| &manifest.object);
    let inventory = of_manifests(objects, reading, None, true, registry.taken_at);
    let answers = [Answer { cluster: "shop".to_owned(), inventory: Ok(inventory) }];

    let plan = plan(&Inputs {
        policy: &policy,
        clusters: &clusters,
        answers: &answers,
        registry: &registry,
        state: None,
        keep_lists: &[],
        salt: None,
        now: registry.taken_at,
        tool: "example",
        offline: true,
    });
    for refused in &plan.refused {
        println!("{} is refused: {}", refused.repository, refused.message);
    }
    for image in &plan.images {
        let votes: Vec<String> = image.kept.iter().map(|vote| format!("{:?} by {}", vote.vote, vote.by)).collect();
        let why = if votes.is_empty() { image.because.join("; ") } else { votes.join(", ") };
        println!("{:?} {}:{} {why}", image.decision, image.repository, image.tags.join(","));
    }
    Ok(())
}
