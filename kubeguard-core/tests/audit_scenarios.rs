//! Every row of `tests/scenarios/audit`: objects, and the findings that are expected of them, live, in files and in a
//! snapshot alike.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails with what differs")]

#[path = "audit_scenarios/patch.rs"]
mod patch;
#[path = "audit_scenarios/server.rs"]
mod server;
#[path = "audit_scenarios/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use kubeguard_core::audit::baseline::Baseline;
use kubeguard_core::audit::facts::Version;
use kubeguard_core::audit::suppress::IgnoreList;
use kubeguard_core::audit::{
    self, AuditReport, Builder, Fact, Facts, Finding, Gap, Origin, Policy, Proof, Selection, Severity,
};
use kubeguard_core::pods::SidecarTable;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Table {
    /// Objects that rows begin with, by name.
    #[serde(default)]
    templates: BTreeMap<String, Value>,
    /// What rows select that say nothing.
    #[serde(default)]
    select: Vec<String>,
    #[serde(default)]
    now: Option<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Row {
    id: String,
    /// In words.
    case: String,
    /// `live`, `manifests` or `snapshot`, where the answer differs between them; all otherwise.
    #[serde(default)]
    origins: Vec<String>,
    now: Option<String>,
    /// As in `1.34`.
    version: Option<String>,
    #[serde(default)]
    select: Vec<String>,
    #[serde(default)]
    ignore: Vec<String>,
    #[serde(default)]
    ignore_file: Value,
    #[serde(default)]
    sidecar_table: Value,
    /// Plurals of kinds that cannot be listed; with `/namespace` behind it in that namespace alone.
    #[serde(default)]
    forbidden: Vec<String>,
    /// Kinds in the form GROUP/KIND that the server serves.
    #[serde(default)]
    served: Vec<String>,
    /// Objects; `{from: NAME, …}` is the template with the rest merged in.
    objects: Vec<Value>,
    /// Rules that look at these objects and say nothing.
    #[serde(default)]
    silent: Vec<String>,
    /// False alarms that are avoided: `RULE: words of the row`.
    #[serde(default)]
    traps: Vec<String>,
    /// Findings, all of them.
    #[serde(default)]
    findings: Vec<Expected>,
    #[serde(default)]
    skipped: Option<Vec<ExpectedSkip>>,
    #[serde(default)]
    complete: Option<bool>,
    #[serde(default)]
    exit: Option<u8>,
    #[serde(default)]
    suppressed: u64,
    /// Every fingerprint of the report is the same one.
    #[serde(default)]
    one_fingerprint: bool,
}

#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expected {
    rule: String,
    /// `Kind/name` or `Kind/namespace/name`.
    object: Option<String>,
    container: Option<String>,
    severity: Option<Severity>,
    proof: Option<Proof>,
    /// A part of the message.
    says: Option<String>,
    /// The JSON pointer of one operation of its patch; none at all where empty.
    patch: Option<String>,
    /// The JSON pointer of one field of its evidence.
    path: Option<String>,
    pods: Option<u64>,
    also: Option<Vec<String>>,
    details: Option<serde_json::Map<String, Value>>,
    /// How many such findings there are.
    #[serde(default = "one")]
    times: usize,
}

fn one() -> usize {
    1
}

#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExpectedSkip {
    /// One of its rules.
    rule: String,
    reason: String,
    #[serde(default)]
    partial: bool,
    namespace: Option<String>,
}

const NOW: &str = "2026-11-22T10:00:00Z";

fn tables() -> Vec<(String, Table)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios/audit");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|end| end == "yaml"))
        .map(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&file).unwrap();
            let table = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, table)
        })
        .collect()
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

fn objects(table: &Table, row: &Row) -> Vec<Value> {
    let made = |object: &Value| {
        let Some(from) = object.get("from").and_then(Value::as_str) else { return object.clone() };
        let mut made = table.templates.get(from).unwrap_or_else(|| panic!("{}: no template {from}", row.id)).clone();
        let mut patch = object.clone();
        patch.as_object_mut().unwrap().remove("from");
        merge(&mut made, &patch);
        made
    };
    row.objects.iter().map(made).collect()
}

fn version(text: &str) -> Version {
    let (major, minor) = text.split_once('.').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

fn facts(row: &Row, objects: &[Value], origin: Origin) -> Facts {
    let mut builder = Builder::new(origin);
    for object in objects {
        builder.add(object.clone());
    }
    builder.version(row.version.as_deref().map(version));
    for served in &row.served {
        let (group, kind) = served.rsplit_once('/').unwrap();
        builder.serves(group, kind);
    }
    for forbidden in &row.forbidden {
        let (plural, namespace) = forbidden.split_once('/').map_or((forbidden.as_str(), None), |(p, n)| (p, Some(n)));
        let fact = Fact::ALL.into_iter().find(|fact| fact.plural() == plural).unwrap();
        let place = namespace.map_or(String::new(), |namespace| format!(" in namespace {namespace}"));
        let reason = format!("cannot list {plural}{place}: Forbidden");
        builder.gap(Gap { fact, namespace: namespace.map(ToOwned::to_owned), reason });
    }
    builder.finish()
}

fn policy(row: &Row) -> Policy {
    let mut policy = Policy::default();
    if !row.ignore_file.is_null() {
        policy.ignore = IgnoreList::parse("ignore.yaml", &row.ignore_file.to_string(), audit::rules()).unwrap();
    }
    if !row.sidecar_table.is_null() {
        policy.sidecars = SidecarTable::with("sidecars.yaml", &row.sidecar_table.to_string()).unwrap();
    }
    policy
}

fn now(table: &Table, row: &Row) -> Timestamp {
    row.now.as_ref().or(table.now.as_ref()).map_or(NOW, String::as_str).parse().unwrap()
}

fn report(table: &Table, row: &Row, origin: Origin) -> AuditReport {
    let select = if row.select.is_empty() { table.select.clone() } else { row.select.clone() };
    let selection = Selection { select, ignore: row.ignore.clone() };
    let rules = selection.of(audit::rules()).unwrap_or_else(|error| panic!("{}: {error}", row.id));
    let facts = facts(row, &objects(table, row), origin);
    audit::audit(&facts, &rules, &policy(row), now(table, row))
}

fn origins(row: &Row) -> Vec<Origin> {
    let named = |name: &str| match name {
        "live" => Origin::Live,
        "manifests" => Origin::Manifests,
        "snapshot" => Origin::Snapshot,
        other => panic!("{}: no origin {other}", row.id),
    };
    if row.origins.is_empty() {
        // Files cannot be forbidden.
        let files = row.forbidden.is_empty().then_some(Origin::Manifests);
        files.into_iter().chain([Origin::Live, Origin::Snapshot]).collect()
    } else {
        row.origins.iter().map(|name| named(name)).collect()
    }
}

fn fits(expected: &Expected, finding: &Finding) -> bool {
    let object = &finding.object;
    let named = |wanted: &String| {
        *wanted == format!("{}/{}", object.kind, object.name)
            || *wanted == format!("{}/{}/{}", object.kind, object.namespace, object.name)
    };
    expected.rule == finding.rule
        && expected.object.as_ref().is_none_or(named)
        && expected.container.as_ref().is_none_or(|name| Some(name) == finding.container.as_ref())
        && expected.severity.is_none_or(|severity| severity == finding.severity)
        && expected.proof.is_none_or(|proof| proof == finding.proof)
        && expected.says.as_ref().is_none_or(|part| finding.message.contains(part))
        && expected.patch.as_ref().is_none_or(|path| match path.as_str() {
            "" => finding.remedy.patch.is_empty(),
            path => finding.remedy.patch.iter().any(|operation| operation["path"] == path),
        })
        && expected.path.as_ref().is_none_or(|path| finding.evidence.iter().any(|proof| proof.path == *path))
        && expected.pods.is_none_or(|count| finding.pods.as_ref().is_some_and(|pods| pods.count == count))
        && expected.also.as_ref().is_none_or(|also| *also == finding.also)
        && expected.details.iter().flatten().all(|(key, value)| finding.details.get(key) == Some(value))
}

fn told(finding: &Finding) -> String {
    let Finding { rule, severity, proof, object, container, message, also, .. } = finding;
    let pods = finding.pods.as_ref().map_or(0, |pods| pods.count);
    let container = container.as_deref().unwrap_or("-");
    format!(
        "  {rule} {severity} {proof} {} {} {container} pods={pods} also={also:?}: {message}",
        object.namespace, object
    )
}

/// Returns what differs.
fn differences(row: &Row, report: &AuditReport) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut left: Vec<&Finding> = report.items.iter().collect();
    for expected in &row.findings {
        for _ in 0..expected.times {
            match left.iter().position(|finding| fits(expected, finding)) {
                Some(at) => drop(left.remove(at)),
                None => wrong.push(format!("missing: {expected:?}")),
            }
        }
    }
    wrong.extend(left.into_iter().map(|finding| format!("unexpected:\n{}", told(finding))));
    let complete = row.complete.unwrap_or(row.forbidden.is_empty());
    if report.complete != complete {
        wrong.push(format!("complete is {}, expected {complete}: {:?}", report.complete, report.skipped));
    }
    for skip in row.skipped.iter().flatten() {
        let found = report.skipped.iter().any(|found| {
            found.rules.contains(&skip.rule)
                && found.reason == skip.reason
                && found.partial == skip.partial
                && found.namespace == skip.namespace
        });
        if !found {
            wrong.push(format!("not skipped: {skip:?}, but {:?}", report.skipped));
        }
    }
    if report.summary.suppressed != row.suppressed {
        wrong.push(format!("{} suppressed, expected {}", report.summary.suppressed, row.suppressed));
    }
    if let Some(exit) = row.exit
        && report.exit_code(Some(Severity::High)) != exit
    {
        wrong.push(format!("exit {}, expected {exit}", report.exit_code(Some(Severity::High))));
    }
    let prints: BTreeSet<&str> = report.items.iter().map(|item| item.fingerprint.as_str()).collect();
    if row.one_fingerprint && prints.len() != 1 {
        wrong.push(format!("{} fingerprints", prints.len()));
    }
    if let Some(rule) = row.silent.iter().find(|rule| report.items.iter().any(|item| item.rule == **rule)) {
        wrong.push(format!("{rule} is not silent"));
    }
    wrong
}

#[test]
fn every_row_finds_what_it_should_and_nothing_else_live_in_files_and_in_a_snapshot() {
    let mut failed = Vec::new();
    for (file, table) in tables() {
        for row in &table.rows {
            for origin in origins(row) {
                let report = report(&table, row, origin);
                let wrong = differences(row, &report);
                if !wrong.is_empty() {
                    let found: Vec<String> = report.items.iter().map(told).collect();
                    let (case, wrong, found) = (&row.case, wrong.join("\n"), found.join("\n"));
                    failed.push(format!("{file} {} ({origin:?}): {case}\n{wrong}\nfound:\n{found}", row.id));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} rows differ\n\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn ids_of_rows_are_unique() {
    let mut seen = BTreeSet::new();
    for (file, table) in tables() {
        for row in table.rows {
            assert!(seen.insert(row.id.clone()), "{file}: {} is there twice", row.id);
        }
    }
}

#[test]
fn every_rule_has_a_row_that_fires_one_that_stays_silent_and_one_for_each_trap() {
    let (mut fires, mut silent, mut traps) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (_, table) in tables() {
        for row in table.rows {
            fires.extend(row.findings.into_iter().map(|finding| finding.rule));
            silent.extend(row.silent);
            traps.extend(row.traps);
        }
    }
    let mut missing = Vec::new();
    for rule in audit::rules() {
        if !fires.contains(rule.id) {
            missing.push(format!("{} {}: no row fires", rule.id, rule.name));
        }
        if !silent.contains(rule.id) {
            missing.push(format!("{} {}: no row stays silent", rule.id, rule.name));
        }
        for trap in rule.traps {
            if !traps.contains(&format!("{}: {trap}", rule.id)) {
                missing.push(format!("{} {}: no row for the trap {trap:?}", rule.id, rule.name));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    let known = |trap: &str| {
        audit::rules().iter().any(|rule| rule.traps.iter().any(|words| *trap == format!("{}: {words}", rule.id)))
    };
    let unknown: Vec<&String> = traps.iter().filter(|trap| !known(trap)).collect();
    assert!(unknown.is_empty(), "no rule has these traps: {unknown:?}");
}

#[test]
fn ids_and_names_of_rules_are_unique_and_every_row_says_what_why_and_how() {
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for rule in audit::rules() {
        assert!(ids.insert(rule.id) && names.insert(rule.name), "{} {}", rule.id, rule.name);
        assert!(![rule.summary, rule.why, rule.remedy].contains(&""), "{} lacks text", rule.id);
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(rule.name.chars().all(kebab), "{}", rule.name);
    }
}

/// E18 and E29.
#[test]
fn a_baseline_of_a_report_leaves_nothing_and_the_order_of_objects_changes_nothing() {
    for (file, table) in tables() {
        for row in &table.rows {
            let first = report(&table, row, Origin::Snapshot);
            let selection = Selection {
                select: if row.select.is_empty() { table.select.clone() } else { row.select.clone() },
                ignore: row.ignore.clone(),
            };
            let rules = selection.of(audit::rules()).unwrap();
            let mut turned = objects(&table, row);
            turned.reverse();
            let facts = facts(row, &turned, Origin::Snapshot);
            let again = audit::audit(&facts, &rules, &policy(row), now(&table, row));
            assert_eq!(
                serde_json::to_string(&first).unwrap(),
                serde_json::to_string(&again).unwrap(),
                "{file} {}",
                row.id
            );
            let known = Policy { baseline: Baseline::of(&first), ..policy(row) };
            let none = audit::audit(&facts, &rules, &known, now(&table, row));
            let left: Vec<&str> = none.items.iter().map(|item| item.rule.as_str()).collect();
            assert!(
                left.iter().all(|rule| rule.starts_with("SUP-") || rule.starts_with("ANN-")),
                "{file} {}: {left:?}",
                row.id
            );
        }
    }
}

/// Returns the place of an object among those of a row.
fn place(objects: &[Value], kind: &str, namespace: &str, name: &str) -> Option<usize> {
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    objects.iter().position(|object| {
        let of = text(object, "/metadata/namespace");
        let of = if of.is_empty() && !matches!(kind, "Node" | "Namespace") { "default".to_owned() } else { of };
        text(object, "/kind") == kind && of == namespace && text(object, "/metadata/name") == name
    })
}

#[test]
fn evidence_points_into_its_object_and_a_patch_fits_it_and_ends_its_finding() {
    let (mut wrong, mut paths, mut patches) = (Vec::new(), 0, 0);
    for (file, table) in tables() {
        for row in &table.rows {
            let origin = *origins(row).last().unwrap();
            let (objects, found) = (objects(&table, row), report(&table, row, origin));
            for item in &found.items {
                let told = |what: &str| format!("{file} {} {}: {what}", row.id, item.rule);
                for proof in &item.evidence {
                    let of = proof.object.as_ref().unwrap_or(&item.object);
                    let Some(at) = place(&objects, &of.kind, &of.namespace, &of.name) else { continue };
                    paths += 1;
                    // What is not written has its default, or is what is missing.
                    let parent = proof.path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    if objects[at].pointer(&proof.path).or(objects[at].pointer(parent)).is_none() {
                        wrong.push(told(&format!("{} is nowhere in {}", proof.path, of.name)));
                    }
                }
                let of = &item.object;
                let Some(at) = place(&objects, &of.kind, &of.namespace, &of.name) else { continue };
                // Such a patch is for the next runs.
                if item.remedy.patch.is_empty() || item.details.contains_key("patchObject") {
                    continue;
                }
                patches += 1;
                let mut mended = objects.clone();
                let fits = item.remedy.patch.iter().all(|step| patch::apply(&mut mended[at], step).is_some());
                if !fits {
                    wrong.push(told(&format!("the patch does not fit: {:?}", item.remedy.patch)));
                    continue;
                }
                let mut again = row.clone();
                again.objects = mended;
                let left = report(&tables_like(&table), &again, origin);
                if left.items.iter().any(|other| other.fingerprint == item.fingerprint) {
                    wrong.push(told(&format!("the patch changes nothing: {:?}", item.remedy.patch)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(paths > 200 && patches > 50, "{paths} paths and {patches} patches were looked at");
}

/// Returns a table of the same settings.
fn tables_like(table: &Table) -> Table {
    Table { templates: BTreeMap::new(), select: table.select.clone(), now: table.now.clone(), rows: Vec::new() }
}
