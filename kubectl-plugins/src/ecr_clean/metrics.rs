//! Metrics for the CronJob that runs a command: a text file for the node exporter's textfile collector.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::path::Path;

use kubeguard_core::ecr::apply::Applied;
use kubeguard_core::ecr::plan::{Class, Decision, Plan};
use kubeguard_core::error::Result;
use kubeguard_core::images::Inventory;

use super::files;

/// Writes the metrics of inventories.
pub(super) fn of_inventories(path: &Path, inventories: &[Inventory]) -> Result<()> {
    let mut text = Text::default();
    for inventory in inventories {
        let cluster = [("cluster", inventory.cluster.as_str())];
        text.add("inventory_complete", "1 when everything that decides was read", &cluster, inventory.complete.into());
        text.add("inventory_references", "References of an inventory", &cluster, count(inventory.references.len()));
        text.add(
            "inventory_timestamp_seconds",
            "When its last list was read",
            &cluster,
            inventory.taken_at.as_second(),
        );
    }
    files::write(path, &text.finish())
}

/// Writes the metrics of a plan.
pub(super) fn of_plan(path: &Path, plan: &Plan) -> Result<()> {
    let mut text = Text::default();
    let registry = plan.registry.to_string();
    let registry = [("registry", registry.as_str())];
    text.add("plan_timestamp_seconds", "When the plan was made", &registry, plan.created_at.as_second());
    text.add(
        "plan_candidates",
        "Entries that only quarantine, a refusal or report keeps, and what goes",
        &registry,
        number(plan.summary.candidates),
    );
    let mut entries: BTreeMap<&str, (i64, i64)> = ["keep", "archive", "delete"].map(|word| (word, (0, 0))).into();
    for image in &plan.images {
        let word = match image.decision {
            Decision::Keep => "keep",
            Decision::Archive => "archive",
            Decision::Delete => "delete",
        };
        let sum = entries.entry(word).or_default();
        sum.0 += 1;
        if image.class != Class::Index {
            sum.1 += number(image.bytes.unwrap_or(0));
        }
    }
    for (word, (count, bytes)) in entries {
        let labels = [registry[0], ("decision", word)];
        text.add("plan_entries", "Entries by what happens to them", &labels, count);
        text.add("plan_bytes", "Their bytes without indexes, an upper bound", &labels, bytes);
    }
    let mut refused: BTreeMap<String, i64> = BTreeMap::new();
    for row in &plan.refused {
        *refused.entry(row.reason.word()).or_default() += 1;
    }
    for (reason, count) in &refused {
        text.add("plan_refused", "Repositories in which nothing may go", &[registry[0], ("reason", reason)], *count);
    }
    text.add(
        "plan_refused_repositories",
        "Repositories in which nothing may go, in all",
        &registry,
        number(plan.summary.refused_repositories),
    );
    let oldest = plan.inventories.iter().map(|inventory| inventory.taken_at).min();
    // Clocks differ: one of the future is of now, and no number below 0 but the one that says there is none.
    let age = oldest.map_or(-1, |oldest| plan.created_at.duration_since(oldest).as_secs().max(0));
    text.add("oldest_inventory_age_seconds", "Age of the oldest inventory, -1 without one", &registry, age);
    files::write(path, &text.finish())
}

/// Writes the metrics of an apply.
pub(super) fn of_apply(path: &Path, applied: &Applied) -> Result<()> {
    let mut text = Text::default();
    let registry = applied.registry.to_string();
    let registry = [("registry", registry.as_str())];
    let sum = &applied.summary;
    for (state, count) in [
        ("deleted", sum.deleted),
        ("archived", sum.archived),
        ("gone", sum.gone),
        ("skipped", sum.skipped),
        ("failed", sum.failed),
        ("unconfirmed", sum.unconfirmed),
    ] {
        text.add(
            "apply_entries",
            "Planned entries by what became of them",
            &[registry[0], ("state", state)],
            number(count),
        );
    }
    text.add("apply_deleted_bytes", "Bytes of what was deleted, an upper bound", &registry, number(sum.bytes));
    text.add("apply_exit_code", "Exit code", &registry, applied.exit_code.into());
    text.add("apply_timestamp_seconds", "When it ended", &registry, applied.ended_at.as_second());
    files::write(path, &text.finish())
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Samples by metric: all of one metric must stand together.
#[derive(Default)]
struct Text(BTreeMap<&'static str, (&'static str, Vec<String>)>);

impl Text {
    fn add(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: i64) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let sample = format!("kubeguard_ecr_clean_{name}{{{}}} {value}\n", labels.join(","));
        self.0.entry(name).or_insert_with(|| (help, Vec::new())).1.push(sample);
    }

    fn finish(self) -> String {
        let metric = |(name, (help, samples)): (&str, (&str, Vec<String>))| {
            let name = format!("kubeguard_ecr_clean_{name}");
            format!("# HELP {name} {help}\n# TYPE {name} gauge\n{}", samples.concat())
        };
        self.0.into_iter().map(metric).collect()
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
