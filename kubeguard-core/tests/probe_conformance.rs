//! Findings about probes and jobs in the manifests of public projects: every one at `high` or above is judged by hand, in
//! `tests/scenarios/audit/pa-conformance.tsv`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails with what differs")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kubeguard_core::audit::gather::Files;
use kubeguard_core::audit::{self, Policy, Selection, Severity};

/// Project, rule, object, container: what a judgement is about.
type Key = [String; 4];

fn judged() -> BTreeMap<Key, (String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios/audit/pa-conformance.tsv");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [project, rule, object, container, judgement, reason] = cells.as_slice() else {
                panic!("not six cells: {line}")
            };
            let key = [project, rule, object, container].map(|cell| (*cell).to_owned());
            (key, ((*judgement).to_owned(), (*reason).to_owned()))
        })
        .collect()
}

#[test]
fn every_finding_at_high_or_above_in_manifests_of_public_projects_has_been_judged_right() {
    let Some(root) = std::env::var_os("KUBEGUARD_CONFORMANCE") else {
        eprintln!("skipped: KUBEGUARD_CONFORMANCE names no folder");
        return;
    };
    let judged = judged();
    for (key, (judgement, reason)) in &judged {
        assert!(judgement == "right" && !reason.is_empty(), "{key:?}: a finding that is wrong is a rule to repair");
    }
    let selection = Selection { select: vec!["PA".to_owned(), "ZJ".to_owned()], ignore: Vec::new() };
    let rules = selection.of(audit::rules()).unwrap();
    let mut projects: Vec<PathBuf> = std::fs::read_dir(PathBuf::from(root).join("manifests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    projects.sort();
    let (mut found, mut counts, mut unjudged) = (BTreeSet::new(), BTreeMap::<String, usize>::new(), Vec::new());
    for project in projects {
        let name = project.file_name().unwrap().to_string_lossy().into_owned();
        let mut files = Files::new("default");
        files.path(&project, true).unwrap();
        let facts = files.finish();
        let report = audit::audit(&facts, &rules, &Policy::default(), "2026-11-22T10:00:00Z".parse().unwrap());
        if std::env::var_os("KUBEGUARD_SHOW").is_some() {
            report.skipped.iter().for_each(|skipped| eprintln!("{name}\tskipped\t{}", skipped.reason));
        }
        for item in report.items {
            *counts.entry(format!("{} {}", item.rule, item.severity)).or_default() += 1;
            let object = format!("{}/{}/{}", item.object.kind, item.object.namespace, item.object.name);
            let container = item.container.clone().unwrap_or_default();
            let key = [name.clone(), item.rule.clone(), object, container];
            if std::env::var_os("KUBEGUARD_SHOW").is_some() {
                let source = item.source.map(|source| format!("{}:{}", source.file, source.line)).unwrap_or_default();
                eprintln!("{}\t{}\t{}\t{source}", key.join("\t"), item.severity, item.message);
            }
            if item.severity < Severity::High {
                continue;
            }
            if !judged.contains_key(&key) {
                unjudged.push(format!("{}\t{}: {}", key.join("\t"), item.severity, item.message));
            }
            found.insert(key);
        }
    }
    eprintln!("{counts:#?}");
    assert!(unjudged.is_empty(), "{} findings are not judged:\n{}", unjudged.len(), unjudged.join("\n"));
    let gone: Vec<&Key> = judged.keys().filter(|key| !found.contains(*key)).collect();
    assert!(gone.is_empty(), "judged, but found no more: {gone:?}");
}
