//! A row's commands, run by the real binary against the row's servers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use kubeguard_core::ecr::plan::Plan;
use kubeguard_testkit::plugin;
use serde::Deserialize;
use serde_json::json;

use crate::check;
use crate::row::Row;
use crate::world::World;

/// One command, and what must come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// Arguments, parted by spaces.
    command: String,
    exit: i32,
    /// What stdout and stderr hold together.
    #[serde(default)]
    says: Vec<String>,
    /// Least and greatest number of calls during this command; `*` for all of them together.
    #[serde(default)]
    calls: BTreeMap<String, (usize, usize)>,
}

/// Runs a row's commands in a folder with `clusters.yaml`, `policy.yaml` and a kubeconfig.
pub(crate) fn run(row: &Row, world: &World) {
    let (ecr, folder) = (world.ecr.clone().serve(), tempfile::tempdir().expect("a folder"));
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("a file");
    write("policy.yaml", world.policy_text());
    write("clusters.yaml", clusters_file(row));
    write("kubeconfig", world.kubeconfig(row));
    for run in &row.runs {
        let name = format!("{} {}: {}", row.id, row.case, run.command);
        let before = counts(world, run);
        let mut command = Command::new(plugin("kubectl-ecr_clean"));
        command.args(run.command.split(' ')).current_dir(folder.path()).env_clear();
        command.envs(ecr.environment()).env("AWS_ACCESS_KEY_ID", world.access_key());
        command.env("AWS_REGION", &world.id.region);
        command.env("HOME", folder.path()).env("KUBECONFIG", folder.path().join("kubeconfig"));
        let output = command.output().expect("a command that starts");
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = part(&output.stdout) + &part(&output.stderr);
        assert_eq!(output.status.code(), Some(run.exit), "{name}\n{said}");
        for words in &run.says {
            assert!(said.contains(words), "{name}: {words:?}\n{said}");
        }
        for ((operation, (least, most)), before) in run.calls.iter().zip(before) {
            let count = count(world, operation) - before;
            assert!((*least..=*most).contains(&count), "{name}: {count} calls of {operation}");
        }
        if run.command.starts_with("plan") && run.exit != 2 {
            check::plan(row, world, &plan(folder.path()));
        }
    }
    assert!(world.ecr.store().journal().is_empty(), "{}: nothing is changed", row.id);
}

fn plan(folder: &Path) -> Plan {
    let text = std::fs::read_to_string(folder.join("plan.json")).expect("a plan file");
    let plan = Plan::parse("plan.json", &text).expect("a plan");
    assert!(!plan.is_altered(), "its hash holds");
    plan
}

fn counts(world: &World, run: &Run) -> Vec<usize> {
    run.calls.keys().map(|operation| count(world, operation)).collect()
}

fn count(world: &World, operation: &str) -> usize {
    let store = world.ecr.store();
    if operation == "*" { store.seen().len() } else { store.count(operation) }
}

/// Declares every cluster of a row by a context of its name.
fn clusters_file(row: &Row) -> String {
    let named = row.clusters.keys().map(|name| json!({"name": name, "context": name}));
    json!({"apiVersion": "kubeguard.dev/v1", "kind": "Clusters", "clusters": named.collect::<Vec<_>>()}).to_string()
}

impl World {
    /// Leads to every cluster of a row but those without a context.
    fn kubeconfig(&self, row: &Row) -> String {
        let present = || row.clusters.iter().filter(|(_, told)| !told.no_context).map(|(name, _)| name);
        let clusters = present().map(|name| json!({"name": name, "cluster": {"server": self.cluster_url(name)}}));
        let contexts = present().map(|name| json!({"name": name, "context": {"cluster": name, "user": "fake"}}));
        json!({
            "apiVersion": "v1", "kind": "Config", "clusters": clusters.collect::<Vec<_>>(),
            "contexts": contexts.collect::<Vec<_>>(), "users": [{"name": "fake", "user": {"token": "fake"}}],
        })
        .to_string()
    }
}
