//! Every row of `tests/scenarios/probes`: objects, and what falls, happens and is suggested, live, in files and in a
//! snapshot alike.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails with what differs")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use kubeguard_core::audit::probes::blast::{Ask, BlastItem, BlastReport, Match, Mode, ServiceHit, WhatIf, blast};
use kubeguard_core::audit::probes::suggest::{Wish, suggest};
use kubeguard_core::audit::probes::timeline::{Fault, Question, timeline};
use kubeguard_core::audit::probes::{ProbeKind, Starts, replicas, routing};
use kubeguard_core::audit::{Builder, Fact, Facts, Gap, Origin, Policy};
use kubeguard_core::pods::{Member, members};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    templates: BTreeMap<String, Value>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    case: String,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    forbidden: Vec<String>,
    objects: Vec<Value>,
    #[serde(default)]
    blast: Vec<Blast>,
    #[serde(default)]
    timeline: Vec<Told>,
    #[serde(default)]
    suggest: Vec<Suggested>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Blast {
    ask: Asked,
    proof: Option<String>,
    complete: Option<bool>,
    services: Option<usize>,
    #[serde(default)]
    skipped: Vec<String>,
    /// Parts of notes.
    #[serde(default)]
    notes: Vec<String>,
    exempt: Option<Vec<String>>,
    /// All rows whose image is hit, in any order.
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    image: Option<String>,
    container: Option<String>,
    mode: Option<String>,
    what_if: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    image: String,
    container: Option<String>,
    pods: Option<usize>,
    #[serde(default)]
    downed: Vec<String>,
    #[serde(default)]
    degraded: Vec<String>,
    #[serde(default)]
    touched: Vec<String>,
    #[serde(default)]
    exempt: Vec<String>,
    budget: Option<String>,
    port: Option<String>,
    fallback: Option<usize>,
    weight: Option<f64>,
    likelihood: Option<f64>,
    risk: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    fault: String,
    #[serde(rename = "for")]
    lasts: Option<i64>,
    takes: Option<i64>,
    #[serde(default)]
    checks: Vec<String>,
    events: Vec<String>,
    #[serde(default)]
    says: Vec<String>,
    advice: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Suggested {
    #[serde(default)]
    with_liveness: bool,
    probes: Vec<String>,
    #[serde(default)]
    reasons: Vec<String>,
    left: Option<Vec<String>>,
}

const NOW: &str = "2026-11-22T10:00:00Z";

fn table() -> Table {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios/probes/commands.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// Makes what is to be there several times, in lists at any depth.
fn repeated(value: &Value) -> Vec<Value> {
    let mut value = value.clone();
    let times = value.as_object_mut().and_then(|object| object.remove("times")).and_then(|times| times.as_u64());
    let text = value.to_string();
    let all = match times {
        None => vec![value],
        Some(times) => {
            (1..=times).map(|n| serde_json::from_str(&text.replace("{n}", &n.to_string())).unwrap()).collect()
        }
    };
    all.into_iter().map(within).collect()
}

fn within(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, within(value))).collect()),
        Value::Array(items) => Value::Array(items.iter().flat_map(repeated).collect()),
        other => other,
    }
}

fn facts(table: &Table, row: &Row, origin: Origin) -> Facts {
    let mut builder = Builder::new(origin);
    for object in row.objects.iter().flat_map(repeated) {
        let mut made = match object.get("from").and_then(Value::as_str) {
            Some(from) => table.templates[from].clone(),
            None => Value::Null,
        };
        merge(&mut made, &object);
        made.as_object_mut().unwrap().remove("from");
        builder.add(made);
    }
    for plural in &row.forbidden {
        let fact = Fact::ALL.into_iter().find(|fact| fact.plural() == plural).unwrap();
        builder.gap(Gap { fact, namespace: None, reason: format!("cannot list {plural}: Forbidden") });
    }
    builder.finish()
}

fn origins(row: &Row) -> Vec<Origin> {
    let all = [("live", Origin::Live), ("manifests", Origin::Manifests), ("snapshot", Origin::Snapshot)];
    let wanted = |name: &str| row.origins.is_empty() || row.origins.iter().any(|one| one == name);
    all.into_iter().filter(|(name, _)| wanted(name)).map(|(_, origin)| origin).collect()
}

fn hits(hits: &[ServiceHit], whole: bool) -> Vec<String> {
    let told = hits
        .iter()
        .map(|hit| if whole { hit.name.clone() } else { format!("{} {}/{}", hit.name, hit.lost, hit.ready) });
    told.collect()
}

/// Returns an item as rows write it, with what a row leaves out left out.
fn shown(item: &BlastItem, row: &Item) -> String {
    let exempt: Vec<&str> = item.exempt.iter().map(|exempt| exempt.name.as_str()).collect();
    let first = item.hurt().next();
    let mut told = format!(
        "downed {:?} degraded {:?} touched {:?} exempt {exempt:?}",
        hits(&item.downed, true),
        hits(&item.degraded, false),
        hits(&item.touched, false)
    );
    let mut more = |name: &str, wanted: bool, value: String| {
        if wanted {
            told += &format!(" {name} {value}");
        }
    };
    more("container", row.container.is_some(), item.container.clone());
    more("pods", row.pods.is_some(), item.pods.to_string());
    more("budget", row.budget.is_some(), first.and_then(|hit| hit.budget.clone()).unwrap_or_default());
    more("port", row.port.is_some(), first.and_then(|hit| hit.port.clone()).unwrap_or_default());
    more("fallback", row.fallback.is_some(), first.map_or(0, |hit| hit.fallback).to_string());
    more("weight", row.weight.is_some(), item.weight.to_string());
    more("likelihood", row.likelihood.is_some(), item.likelihood.to_string());
    more("risk", row.risk.is_some(), item.risk.to_string());
    told
}

fn wanted(row: &Item) -> String {
    let Item { downed, degraded, touched, exempt, .. } = row;
    let mut told = format!("downed {downed:?} degraded {degraded:?} touched {touched:?} exempt {exempt:?}");
    let mut more = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            told += &format!(" {name} {value}");
        }
    };
    more("container", row.container.clone());
    more("pods", row.pods.map(|pods| pods.to_string()));
    more("budget", row.budget.clone());
    more("port", row.port.clone());
    more("fallback", row.fallback.map(|count| count.to_string()));
    more("weight", row.weight.map(|weight| weight.to_string()));
    more("likelihood", row.likelihood.map(|likelihood| likelihood.to_string()));
    more("risk", row.risk.map(|risk| risk.to_string()));
    told
}

fn ask(asked: &Asked, facts: &Facts) -> BlastReport {
    let policy = Policy::default();
    let what = match (&asked.image, &asked.container) {
        (Some(image), _) => Match::Image(image.parse().unwrap()),
        (_, Some(container)) => Match::Container(container.parse().unwrap()),
        (None, None) => Match::Images,
    };
    let mode = if asked.mode.as_deref() == Some("probe") { Mode::Probe } else { Mode::Crash };
    let what_if = asked.what_if.as_deref().map(|change| match change {
        "native" => WhatIf::Native,
        "no-readiness" => WhatIf::NoReadiness,
        "daemonset" => WhatIf::DaemonSet,
        other => panic!("{other}"),
    });
    blast(facts, &Ask { what, mode, what_if, policy: &policy, now: NOW.parse().unwrap() })
}

fn blasted(row: &Blast, facts: &Facts, wrong: &mut Vec<String>) {
    let report = ask(&row.ask, facts);
    // What nobody routes to falls alone: rows need not name it.
    let falls = |item: &&BlastItem| {
        item.hurt().next().is_some() || !item.touched.is_empty() || row.items.iter().any(|one| one.image == item.image)
    };
    let mut left: Vec<&BlastItem> = report.items.iter().filter(falls).collect();
    for expected in &row.items {
        let Some(at) = left.iter().position(|item| item.image == expected.image) else {
            wrong.push(format!("no row of {}", expected.image));
            continue;
        };
        let (found, expects) = (shown(left.remove(at), expected), wanted(expected));
        if found != expects {
            wrong.push(format!("{}:\n  {found}\nexpected\n  {expects}", expected.image));
        }
    }
    wrong.extend(left.iter().map(|item| format!("unexpected: {} downs {:?}", item.image, hits(&item.downed, true))));
    if row.proof.as_ref().is_some_and(|proof| *proof != report.proof.word()) {
        wrong.push(format!("proof {}", report.proof));
    }
    if row.services.is_some_and(|services| services != report.services) {
        wrong.push(format!("{} services", report.services));
    }
    if report.complete != row.complete.unwrap_or(true) {
        wrong.push(format!("complete is {}", report.complete));
    }
    let reasons: Vec<&str> = report.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
    if reasons != row.skipped {
        wrong.push(format!("skipped {reasons:?}"));
    }
    let exempt: Vec<String> = report.exempt.iter().map(|exempt| format!("{} {}", exempt.name, exempt.reason)).collect();
    if row.exempt.as_ref().is_some_and(|wanted| *wanted != exempt) {
        wrong.push(format!("exempt {exempt:?}"));
    }
    let missing = row.notes.iter().filter(|part| !report.notes.iter().any(|note| note.contains(*part)));
    wrong.extend(missing.map(|part| format!("no note {part:?} in {:?}", report.notes)));
}

fn told(row: &Told, facts: &Facts, wrong: &mut Vec<String>) {
    let carrier = facts.carriers().next().unwrap();
    let member: Member<'_> = members(carrier.spec).find(Member::is_gating).unwrap();
    let fault = Fault::ALL.into_iter().find(|fault| fault.word() == row.fault).unwrap();
    let kind = |name: &String| if name == "liveness" { ProbeKind::Liveness } else { ProbeKind::Readiness };
    let services = routing(facts, &carrier).services().iter().map(|service| service.meta.name.to_string()).collect();
    let question = Question {
        lasts: row.lasts,
        takes: row.takes.unwrap_or(Question::of(fault).takes),
        checks: (!row.checks.is_empty()).then(|| row.checks.iter().map(kind).collect()),
        observed: Starts::of(facts).seen(&carrier, &member.container.name),
        services,
        replicas: replicas(facts, &carrier),
        ..Question::of(fault)
    };
    let timeline = timeline(carrier.spec, &member, &question);
    let events =
        timeline.events.iter().map(|event| format!("{} {}", event.at, format!("{:?}", event.means).to_lowercase()));
    let events: Vec<String> = events.collect();
    if events != row.events {
        wrong.push(format!("{}: {events:?}", row.fault));
    }
    for part in row.says.iter().filter(|part| !timeline.events.iter().any(|event| event.what.contains(*part))) {
        wrong.push(format!("{} does not say {part:?}: {:#?}", row.fault, timeline.events));
    }
    if timeline.advice != row.advice {
        wrong.push(format!("advice {:?}", timeline.advice));
    }
}

fn suggested(row: &Suggested, facts: &Facts, wrong: &mut Vec<String>) {
    let carrier = facts.carriers().next().unwrap();
    let (policy, starts) = (Policy::default(), Starts::of(facts));
    let wish = Wish { policy: &policy, now: NOW.parse().unwrap(), with_liveness: row.with_liveness };
    let suggestion = suggest(facts, &carrier, &starts, wish);
    let mut reasons: Vec<String> = Vec::new();
    let mut probes = Vec::new();
    for container in &suggestion.containers {
        for probe in &container.probes {
            let fields: Vec<String> =
                probe.fields.iter().map(|field| format!("{}={}", field.name, field.value)).collect();
            let fields = if fields.is_empty() { "null".to_owned() } else { fields.join(" ") };
            probes.push(format!("{} {} {fields}", container.container, probe.probe));
            reasons.push(probe.reason.clone());
            reasons.extend(probe.fields.iter().map(|field| field.reason.clone()));
        }
    }
    if probes != row.probes {
        wrong.push(format!("probes {probes:#?}"));
    }
    wrong.extend(
        row.reasons
            .iter()
            .filter(|reason| !reasons.contains(reason))
            .map(|reason| format!("no reason {reason:?} in {reasons:#?}")),
    );
    let left: Vec<String> = suggestion.left.iter().map(|left| format!("{} {}", left.container, left.reason)).collect();
    if row.left.as_ref().is_some_and(|wanted| *wanted != left) {
        wrong.push(format!("left {left:?}"));
    }
}

#[test]
fn every_row_says_what_falls_what_happens_and_what_to_write() {
    let table = table();
    let mut failed = Vec::new();
    for row in &table.rows {
        for origin in origins(row) {
            let facts = facts(&table, row, origin);
            let mut wrong = Vec::new();
            row.blast.iter().for_each(|one| blasted(one, &facts, &mut wrong));
            row.timeline.iter().for_each(|one| told(one, &facts, &mut wrong));
            row.suggest.iter().for_each(|one| suggested(one, &facts, &mut wrong));
            assert!(!(row.blast.is_empty() && row.timeline.is_empty() && row.suggest.is_empty()), "{}", row.id);
            if !wrong.is_empty() {
                failed.push(format!("{} ({origin:?}): {}\n{}", row.id, row.case, wrong.join("\n")));
            }
        }
    }
    assert!(failed.is_empty(), "{} differ\n\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn the_order_of_objects_changes_nothing() {
    let table = table();
    for row in table.rows.iter().filter(|row| !row.blast.is_empty()) {
        let turned = Row {
            objects: row.objects.iter().rev().cloned().collect(),
            id: row.id.clone(),
            case: row.case.clone(),
            origins: Vec::new(),
            forbidden: row.forbidden.clone(),
            blast: Vec::new(),
            timeline: Vec::new(),
            suggest: Vec::new(),
        };
        for one in &row.blast {
            for origin in origins(row) {
                let first = ask(&one.ask, &facts(&table, row, origin));
                let again = ask(&one.ask, &facts(&table, &turned, origin));
                assert_eq!(serde_json::to_value(first).unwrap(), serde_json::to_value(again).unwrap(), "{}", row.id);
            }
        }
    }
}
