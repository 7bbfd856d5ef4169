//! How often our judgement agrees with the controllers' own experts, over custom resources of real projects.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails with what differs, and prints its table"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kubeguard_core::wait::object::Object;
use kubeguard_core::wait::offline;
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::report::ItemReport;
use kubeguard_core::wait::rules::{Rules, Sources};
use kubeguard_core::wait::verdict::Verdict;
use serde_json::{Value, json};

/// Cases whose given status is not taken over: file, our verdict, why.
const DELIBERATE: &str = include_str!("../../tests/scenarios/deliberate.tsv");

struct Case {
    file: String,
    expected: Verdict,
    object: Value,
}

/// Returns the cases; none where they are not beside the project, which is said.
fn cases() -> Vec<Case> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let folder = std::env::var_os("KUBEGUARD_CONFORMANCE").map_or(beside, PathBuf::from).join("custom-resources");
    let Ok(table) = std::fs::read_to_string(folder.join("cases.tsv")) else {
        eprintln!("skipped: no conformance cases in {}; KUBEGUARD_CONFORMANCE names their folder", folder.display());
        return Vec::new();
    };
    let rows = table.lines().filter_map(|line| line.split_once('\t')).filter(|(file, _)| *file != "file");
    rows.map(|(file, rest)| {
        let expected = match rest.split('\t').next().unwrap_or_default() {
            "Healthy" => Verdict::Complete,
            "Progressing" => Verdict::Progressing,
            "Degraded" => Verdict::Failed,
            "Suspended" => Verdict::Suspended,
            "Missing" => Verdict::Missing,
            "Unknown" => Verdict::Unverifiable,
            other => panic!("{file}: {other}"),
        };
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        Case { file: file.to_owned(), expected, object: serde_saphyr::from_str(&text).unwrap() }
    })
    .collect()
}

fn policy(pack: bool) -> Policy {
    let rules = Rules::new(Sources { pack, ..Sources::default() }).unwrap();
    Policy { assume_observed: true, rules, ..Policy::default() }
}

fn judge(object: Value, policy: &Policy) -> Verdict {
    explained(object, policy).verdict
}

fn explained(object: Value, policy: &Policy) -> ItemReport {
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let object = Object::read(object).unwrap();
    let target = offline::target(&object);
    offline::judge_targets(vec![object], vec![target], policy.clone(), None, now).report(true).items.remove(0)
}

/// Returns whether some part of a status carries a generation that can be compared.
fn observed(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, inner)| {
            let number = inner.as_i64().or_else(|| inner.as_str()?.parse().ok());
            (key == "observedGeneration" && number.is_some_and(|number| number > 0)) || observed(inner)
        }),
        Value::Array(list) => list.iter().any(observed),
        _ => false,
    }
}

#[derive(Default)]
struct Score {
    agree: usize,
    false_complete: Vec<String>,
    /// File, our verdict, the given one.
    differ: Vec<(String, Verdict, Verdict)>,
    table: BTreeMap<(Verdict, Verdict), usize>,
}

fn score(cases: &[Case], policy: &Policy) -> Score {
    let mut score = Score::default();
    for case in cases {
        let verdict = judge(case.object.clone(), policy);
        *score.table.entry((case.expected, verdict)).or_default() += 1;
        // An object that is being deleted is being deleted, whatever its status says.
        if verdict == case.expected || verdict == Verdict::Terminating {
            score.agree += 1;
            continue;
        }
        score.differ.push((case.file.clone(), verdict, case.expected));
        if verdict == Verdict::Complete {
            score.false_complete.push(case.file.clone());
        }
    }
    score
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred cases")]
fn percent(part: usize, all: usize) -> f64 {
    part as f64 * 100.0 / all as f64
}

#[test]
fn the_judgement_agrees_with_the_controllers_experts() {
    let cases = cases();
    if cases.is_empty() {
        return;
    }
    let (generic, pack) = (score(&cases, &policy(false)), score(&cases, &policy(true)));
    println!("{:<26} {:>5} of {}  {:>6}  false complete", "", "agree", cases.len(), "");
    println!("{:<26} {:>5}  {:>13.1} %  {}", "kstatus' generic rules", 212, percent(212, cases.len()), 336);
    for (name, score) in [("generic rules alone", &generic), ("with the rule pack", &pack)] {
        let (agree, share) = (score.agree, percent(score.agree, cases.len()));
        println!("{name:<26} {agree:>5}  {share:>13.1} %  {}", score.false_complete.len());
    }
    println!("\nwith the rule pack, given status down, our verdict across");
    let verdicts: Vec<Verdict> = Verdict::ALL.to_vec();
    println!("{:14}{}", "", verdicts.iter().map(|verdict| format!("{:>14}", verdict.word())).collect::<String>());
    for given in verdicts.iter().filter(|given| pack.table.keys().any(|(known, _)| known == *given)) {
        let row = verdicts.iter().map(|ours| pack.table.get(&(*given, *ours)).copied().unwrap_or(0));
        println!("{:14}{}", given.word(), row.map(|count| format!("{count:>14}")).collect::<String>());
    }

    let deliberate: BTreeMap<&str, (&str, &str)> = DELIBERATE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t').and_then(|(file, rest)| Some((file, rest.split_once('\t')?))))
        .collect();
    let unnamed: Vec<_> = pack
        .differ
        .iter()
        .filter(|(file, verdict, _)| deliberate.get(file.as_str()).is_none_or(|(known, _)| *known != verdict.word()))
        .collect();
    assert!(unnamed.is_empty(), "differences without a reason in deliberate.tsv: {unnamed:#?}");
    let stale: Vec<_> =
        deliberate.keys().filter(|file| pack.differ.iter().all(|(differs, ..)| differs != *file)).collect();
    assert!(stale.is_empty(), "deliberate.tsv names what does not differ: {stale:?}");
    assert!(percent(generic.agree, cases.len()) >= 82.0);
    assert!(generic.false_complete.len() <= 5, "{:?}", generic.false_complete);
    assert!(percent(pack.agree, cases.len()) >= 98.0);
    let doubtful = |file: &str| deliberate.get(file).is_some_and(|(_, why)| why.starts_with("doubtful: "));
    let doubts = deliberate.keys().filter(|file| doubtful(file)).count();
    assert!(percent(doubts, cases.len()) <= 1.0, "{doubts} doubtful cases");
    let believed: Vec<_> = pack.false_complete.iter().filter(|file| !doubtful(file)).collect();
    assert!(believed.is_empty(), "{believed:?}");
}

/// Returns the conditions of a status, wherever they stand.
fn each_condition(value: &mut Value, change: &mut dyn FnMut(&mut Vec<Value>)) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                if key == "conditions"
                    && let Value::Array(list) = inner
                {
                    change(list);
                }
                each_condition(inner, change);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| each_condition(inner, change)),
        _ => {}
    }
}

#[test]
fn order_and_spelling_change_nothing_and_a_newer_spec_is_never_complete() {
    for pack in [false, true] {
        let policy = policy(pack);
        for Case { file, object, .. } in cases() {
            let verdict = judge(object.clone(), &policy);
            let mut reversed = object.clone();
            each_condition(&mut reversed["status"], &mut |list| list.reverse());
            assert_eq!(judge(reversed, &policy), verdict, "{file}: conditions in another order");
            let mut booleans = object.clone();
            each_condition(&mut booleans["status"], &mut |list| {
                for condition in list.iter_mut() {
                    match condition["status"].as_str() {
                        Some("True") => condition["status"] = true.into(),
                        Some("False") => condition["status"] = false.into(),
                        _ => {}
                    }
                }
            });
            assert_eq!(judge(booleans, &policy), verdict, "{file}: booleans for text");

            let mut newer = object.clone();
            let observes = observed(&newer["status"]);
            newer["metadata"]["generation"] = json!(1_000_000_000_000_i64);
            let newer = judge(newer, &policy);
            assert!(!observes || newer != Verdict::Complete, "{file}: a newer spec is {newer}");

            let mut silent = object.clone();
            silent.as_object_mut().unwrap().remove("status");
            let silent = explained(silent, &policy);
            let rule = silent.explain.map(|explain| explain.rule).unwrap_or_default();
            let is_named = policy.rules.all().iter().any(|known| known.id == rule);
            assert!(
                is_named || silent.verdict != Verdict::Complete,
                "{file}: without a status it is complete ({rule})"
            );
        }
    }
}
