//! A row's commands, run by the real binary against the row's servers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use kubeguard_core::ecr::apply::Applied;
use kubeguard_core::ecr::plan::Plan;
use kubeguard_testkit::fake_ecr::FakeEcr;
use kubeguard_testkit::plugin;
use serde::Deserialize;
use serde_json::json;

use crate::check;
use crate::row::Row;
use crate::world::{self, World};

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
    let shell = Shell::new(row, world);
    for run in &row.runs {
        let name = format!("{} {}: {}", row.id, row.case, run.command);
        let before = counts(world, run);
        let output = shell.run(world, &run.command);
        let said = output.stdout + &output.stderr;
        assert_eq!(output.code, Some(run.exit), "{name}\n{said}");
        for words in &run.says {
            assert!(said.contains(words), "{name}: {words:?}\n{said}");
        }
        for ((operation, (least, most)), before) in run.calls.iter().zip(before) {
            let count = count(world, operation) - before;
            assert!((*least..=*most).contains(&count), "{name}: {count} calls of {operation}");
        }
        if run.command.starts_with("plan") && run.exit != 2 {
            check::plan(row, world, &shell.plan());
        }
    }
    assert!(world.ecr.store().journal().is_empty(), "{}: nothing is changed", row.id);
}

/// Plans and applies a row as [`crate::whole_way`] does in the library, with nothing but what a user types.
pub(crate) fn whole_way(row: &Row, world: &World) {
    let shell = Shell::new(row, world);
    let name = format!("{} {}", row.id, row.case);
    let registry = format!("--registry {} --state state", world.id.account);
    let planned = shell.run(world, &format!("plan --clusters clusters.yaml --policy policy.yaml {registry}"));
    assert_ne!(planned.code, Some(2), "{name}\n{}{}", planned.stdout, planned.stderr);
    let plan = shell.plan();
    check::plan(row, world, &plan);
    let before = world.content();
    world.act(&row.between);
    world.set_up_calls(row);
    if row.edited {
        shell.write("plan.json", &serde_json::to_string(&world::edited(&plan)).expect("a plan is JSON"));
    }
    let applied = shell.run(world, "apply plan.json --state state -o json");
    let outcome: Applied = serde_json::from_str(&applied.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}\n{}{}", applied.stdout, applied.stderr));
    assert_eq!(applied.code, Some(i32::from(outcome.exit_code)), "{name}\n{}", applied.stderr);
    check::applied(row, world, &plan, &outcome, &before);
}

/// A folder in which a row's commands run.
struct Shell {
    ecr: FakeEcr,
    folder: tempfile::TempDir,
}

/// What a command said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Shell {
    fn new(row: &Row, world: &World) -> Self {
        let shell = Self { ecr: world.ecr.clone().serve(), folder: tempfile::tempdir().expect("a folder") };
        shell.write("policy.yaml", &world.policy_text());
        shell.write("clusters.yaml", &clusters_file(row));
        shell.write("kubeconfig", &world.kubeconfig(row));
        shell
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }

    fn run(&self, world: &World, arguments: &str) -> Said {
        let folder = self.folder.path();
        let mut command = Command::new(plugin("kubectl-ecr_clean"));
        command.args(arguments.split(' ')).current_dir(folder).env_clear();
        command.envs(self.ecr.environment()).env("AWS_ACCESS_KEY_ID", world.access_key());
        command.env("AWS_REGION", &world.id.region);
        command.env("HOME", folder).env("KUBECONFIG", folder.join("kubeconfig"));
        let output = command.output().expect("a command that starts");
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: part(&output.stdout), stderr: part(&output.stderr) }
    }

    fn plan(&self) -> Plan {
        plan(self.folder.path())
    }
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
    let told = row.clusters.iter().map(|(name, told)| {
        let registries = told.registries.iter().map(|known| known.0.to_string()).collect::<Vec<_>>();
        json!({"name": name, "context": name, "registries": registries})
    });
    let standby = row.standby.iter().map(|standby| {
        json!({"name": standby.name, "standbyOf": standby.of, "registries": [standby.registry.0.to_string()]})
    });
    let named = told.chain(standby);
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
