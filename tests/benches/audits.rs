//! What the audits cost: `cargo build --release && cargo bench -p kubeguard-testkit --bench audits`. Parts may follow:
//! `-- 30000`, `-- 100000` (pods of a real control plane), `-- manifests` (against kube-score; `KUBEGUARD_MANIFESTS` names the folder).

mod measure;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use futures::StreamExt;
use kubeguard_core::access::{Access, Cluster, Environment};
use kubeguard_core::audit::needs::Level;
use kubeguard_core::audit::{Rule, needs, rules};
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::gather::pages::{Selection, metadata, transfer_selected};
use kubeguard_testkit::ControlPlane;
use serde_json::Value;

use self::measure::{Used, kib, limit, measure, measure_ending, median, peer, row};

/// Codes of an audit that has an answer: nothing, findings, and partly.
const ANSWERED: [i32; 3] = [0, 1, 6];

fn main() {
    if let Ok(family) = std::env::var("KUBEGUARD_BENCH") {
        return raw(&family);
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    println!("{:<64} {:>12} {:>12} {:>8}", "measured (median)", "ours", "theirs", "ratio");
    if is_wanted("manifests") {
        manifests();
    }
    let sizes: Vec<usize> = [30_000, 100_000].into_iter().filter(|size| is_wanted(&size.to_string())).collect();
    if !sizes.is_empty() {
        pods(&sizes);
    }
}

/// Audits of many pods with what stands around them, against the raw transfer of exactly the lists that the rules read.
fn pods(sizes: &[usize]) {
    let plane = ControlPlane::start();
    // Each of them would keep every pod in memory, which no machine of ours has room for.
    let namespaces: Vec<String> = sizes.iter().map(|_| plane.namespace("load")).collect();
    plane.stop_controllers();
    let mut loaded = 0;
    for (pods, namespace) in sizes.iter().zip(&namespaces) {
        plane.load_workloads(namespace, pods - loaded);
        loaded = *pods;
        for (program, family) in [("kubectl-probe_audit", "PA"), ("kubectl-zombie_jobs", "ZJ")] {
            audited(&plane, program, family, loaded, if loaded > 30_000 { 1 } else { 5 });
        }
    }
}

fn audited(plane: &ControlPlane, program: &str, family: &str, pods: usize, rounds: usize) {
    // An API server that has just compacted serves later pages much slower: a touched pod renews its cache.
    let touch = || {
        let touched = format!("touched={:?}", Instant::now());
        drop(plane.kubectl(&["annotate", "pod", "load-pattern", "-n", "load-0", "--overwrite", &touched]));
    };
    let this = std::env::current_exe().expect("a program knows its path");
    let command = || {
        let mut command = Command::new(kubeguard_testkit::plugin(program));
        command.args(["-A", "-q", "-o", "json", "--fail-on", "never"]).env("KUBECONFIG", plane.kubeconfig());
        command
    };
    let said = command().output().expect("the plugin runs");
    let said: Value = serde_json::from_slice(&said.stdout).expect("a report");
    assert_eq!(said["complete"], true, "{}", said["skipped"]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        touch();
        let mut child = Command::new(&this);
        theirs.push(measure(child.env("KUBEGUARD_BENCH", family).env("KUBECONFIG", plane.kubeconfig())));
        touch();
        ours.push(measure(&mut command()));
    }
    let wall = |used: &[Used]| median(used.iter().map(|used| used.wall).collect::<Vec<_>>());
    let cpu = |used: &[Used]| median(used.iter().map(|used| used.cpu).collect::<Vec<_>>());
    row(&format!("{program} -A, {pods} pods, against raw transfer (limit 1.25)"), wall(&ours), wall(&theirs));
    row("  CPU", cpu(&ours), cpu(&theirs));
    let peak = ours.iter().map(|used| used.peak).max().unwrap_or(0);
    limit("  peak RSS", &format!("{:.1} MB", kib(peak)), if pods > 30_000 { "400 MB" } else { "150 MB" });
    println!(
        "  {} findings, {} objects judged",
        said["items"].as_array().map_or(0, Vec::len),
        said["summary"]["objects"]
    );
}

/// Runs as a child of the benchmark: transfers what the rules of a family read, and looks at none of it.
fn raw(family: &str) {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let cluster = Access::default().connect(&Environment::of_process()).await.expect("a cluster");
        let of_family = |rule: &&Rule| rule.id.starts_with(family) || ["SUP", "ANN"].contains(&rule.family());
        let wanted = needs(rules().iter().filter(of_family));
        // Kinds that a cluster may serve are asked for, as the audit does.
        let custom = wanted.iter().any(|(fact, _)| !fact.is_built_in());
        if custom {
            Discovery::of(&cluster).await.expect("discovery");
        }
        let lists: Vec<(Selection, Level)> = wanted
            .iter()
            .filter(|(fact, _)| fact.is_built_in())
            .flat_map(|(fact, listed)| fact.resources().into_iter().map(move |resource| (resource, listed)))
            .map(|(resource, listed)| {
                (Selection { fields: listed.narrow.to_owned(), ..Selection::all(resource, None) }, listed.level)
            })
            .collect();
        let lists = lists.iter().map(|(selection, level)| transferred(&cluster, selection, *level));
        let read: Vec<usize> = futures::stream::iter(lists.collect::<Vec<_>>()).buffer_unordered(8).collect().await;
        assert!(read.iter().sum::<usize>() > 0, "nothing was transferred");
    });
}

async fn transferred(cluster: &Cluster, selection: &Selection, level: Level) -> usize {
    if level == Level::Metadata {
        return metadata(cluster, selection).await.map_or(0, |all| all.len());
    }
    transfer_selected(cluster, selection).await.expect("every page")
}

/// Every family over a folder of manifests, against kube-score's checks of the same files.
fn manifests() {
    let Some(folder) = std::env::var_os("KUBEGUARD_MANIFESTS").map(PathBuf::from) else {
        println!("manifests are left out: `KUBEGUARD_MANIFESTS` names a folder with them");
        return;
    };
    let Some(theirs) = peer("kube-score", "github.com/zegl/kube-score/cmd/kube-score") else { return };
    let mut files = Vec::new();
    collect(&folder, &mut files);
    files.sort();
    let all = files.len();
    // One file that it cannot read keeps it from all others: both get those that it can.
    files.retain(|file| {
        let ran = Command::new(&theirs).arg("score").arg(file).output().expect("kube-score starts");
        !String::from_utf8_lossy(&ran.stderr).contains("Failed")
    });
    let (mut ours, mut scores) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        scores.push(measure_ending(Command::new(&theirs).arg("score").args(&files), &[0, 1]));
        let mut audit = Command::new(kubeguard_testkit::plugin("kubectl-guard"));
        audit.args(["audit", "-q", "--fail-on", "never"]);
        for file in &files {
            audit.arg("-f").arg(file);
        }
        ours.push(measure_ending(&mut audit, &ANSWERED));
    }
    let wall = |used: &[Used]| median(used.iter().map(|used| used.wall).collect::<Vec<_>>());
    let cpu = |used: &[Used]| median(used.iter().map(|used| used.cpu).collect::<Vec<_>>());
    let peak = |used: &[Used]| format!("{:.1} MB", kib(used.iter().map(|used| used.peak).max().unwrap_or(0)));
    row(
        &format!("guard audit -f, {} of {all} files, against kube-score, CPU (limit 0.2)", files.len()),
        cpu(&ours),
        cpu(&scores),
    );
    row("  wall", wall(&ours), wall(&scores));
    limit("  peak RSS", &peak(&ours), "100 MB");
    limit("  kube-score's peak RSS", &peak(&scores), "");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml") {
            files.push(path);
        }
    }
}
