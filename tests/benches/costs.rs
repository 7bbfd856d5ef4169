//! What the tool costs, as ratios to kubectl or to a limit, on one real control plane in one run:
//! `cargo build --release && cargo bench -p kubeguard-testkit`. Names of parts may follow: `-- once latency many fold inventory`.

mod measure;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kubeguard_core::access::{Access, Cluster, Environment};
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::gather::pages::{fold, transfer};
use kubeguard_core::gather::resource::Resource;
use kubeguard_core::kinds::Pod;
use kubeguard_testkit::{Behaviour, ControlPlane};
use serde_json::{Value, json};

use self::measure::{Used, kib, limit, measure, median, peer, row};

const ROUNDS: usize = 15;

fn main() {
    if let Ok(mode) = std::env::var("KUBEGUARD_BENCH") {
        return list_pods(&mode);
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    let plane = ControlPlane::start();
    println!("{:<64} {:>12} {:>12} {:>8}", "measured (median)", "ours", "theirs", "ratio");
    if is_wanted("once") {
        once(&plane);
    }
    if is_wanted("latency") {
        latency(&plane);
    }
    if is_wanted("many") {
        many(&plane);
    }
    if is_wanted("scale") {
        scale(&plane);
    }
    if is_wanted("fold") || is_wanted("inventory") {
        drop(plane);
        pods(is_wanted("fold"), is_wanted("inventory"));
    }
}

fn plugin(plane: &ControlPlane, args: &[&str]) -> Command {
    let mut command = Command::new(kubeguard_testkit::plugin("kubectl-wait_deploy"));
    command.args(args).env("KUBECONFIG", plane.kubeconfig()).env("CI", "1");
    command
}

fn kubectl(plane: &ControlPlane, args: &[&str]) -> Command {
    let mut command = Command::new(ControlPlane::program("kubectl"));
    command.args(args).env("KUBECONFIG", plane.kubeconfig());
    command
}

fn deployment(namespace: &str, name: &str, behaviour: &Behaviour) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"bench": "many"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}, "annotations": behaviour.annotations()},
            "spec": {"containers": [{"name": "app", "image": "registry.example.org/web:1"}]},
        }},
    })
}

/// One look at one object, against `kubectl get` of it.
fn once(plane: &ControlPlane) {
    plane.apply(&deployment("default", "web", &Behaviour::Ready(0)).to_string());
    plane.run(&["rollout", "status", "deploy/web", "--timeout=60s"]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(measure(&mut plugin(plane, &["deploy/web", "--once", "-q"])));
        theirs.push(measure(&mut kubectl(plane, &["get", "deploy/web"])));
    }
    let walls = |used: &[Used]| median(used.iter().map(|used| used.wall).collect());
    let cpus = |used: &[Used]| median(used.iter().map(|used| used.cpu).collect());
    row("--once for one object against kubectl get, wall", walls(&ours), walls(&theirs));
    row("--once for one object against kubectl get, CPU", cpus(&ours), cpus(&theirs));
}

/// From the start of a rollout to the exit of each, side by side: the later one saw the deciding status later.
fn latency(plane: &ControlPlane) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let name = format!("late-{round}");
        plane.apply(&deployment("default", &name, &Behaviour::Ready(1)).to_string());
        let object = format!("deploy/{name}");
        let start = Instant::now();
        let quiet = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a program starts")
        };
        let mut children =
            [quiet(&mut plugin(plane, &[&object])), quiet(&mut kubectl(plane, &["rollout", "status", &object]))];
        let mut ends = [None, None];
        while ends.contains(&None) {
            for (child, end) in children.iter_mut().zip(&mut ends) {
                if end.is_none() && child.try_wait().expect("a child").is_some() {
                    *end = Some(start.elapsed());
                }
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        ours.extend(ends[0]);
        theirs.extend(ends[1]);
    }
    row("a rollout to our exit against kubectl rollout status", median(ours), median(theirs));
}

/// Requests, time, CPU and memory of a wait for more and more Deployments, beside kubectl, Helm and kubedog for the same
/// set.
fn scale(plane: &ControlPlane) {
    let peers: Vec<(&str, PathBuf)> =
        ["helm", "kubedog"].into_iter().filter_map(|name| Some((name, peer(name, ".")?))).collect();
    println!("\nobjects  tool       requests     wall      CPU  peak RSS");
    for count in [1, 100, 1000, 5000] {
        let namespace = plane.namespace("scale");
        let objects: Vec<Value> = (0..count)
            .map(|number| {
                let mut object = deployment(&namespace, &format!("web-{number}"), &Behaviour::Ready(0));
                // What is measured is the wait, not how many pods this machine carries.
                object["spec"]["replicas"] = 0.into();
                object
            })
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        plane.pipe(&["create", "-o", "name", "-f", "-"], &list);
        let all = ["deploy", "-n", &namespace, "-l", "bench=many", "--timeout", "10m"];
        let run = || plugin(plane, &all).args(["-q", "-o", "json"]).output().expect("the plugin runs");
        // The first wait takes as long as the controllers do; the second finds everything done, as kubectl will.
        drop(run());
        let report: Value = serde_json::from_slice(&run().stdout).expect("JSON");
        assert_eq!(report["items"].as_array().map(Vec::len), Some(count), "{}", report["verdict"]);
        let ours = measure(plugin(plane, &all).arg("-q"));
        let requests = |kind: &str| report["requests"][kind].as_u64().unwrap_or(0);
        let asked = requests("list") + requests("watch") + requests("get");
        line(count, "kubeguard", &asked.to_string(), &ours);
        let theirs =
            measure(&mut kubectl(plane, &["rollout", "status", "deploy", "-n", &namespace, "-l", "bench=many"]));
        line(count, "kubectl", "", &theirs);
        // Their own limits on requests make more than these a matter of many minutes.
        for (name, program) in peers.iter().filter(|_| count <= 1000) {
            // What they say on stderr is no part of the measure.
            let mut wait = Command::new("sh");
            let wait = wait.args(["-c", r#"exec "$@" 2>/dev/null"#, "sh"]).arg(program);
            let wait = wait.args([&namespace, &count.to_string()]).env("KUBECONFIG", plane.kubeconfig());
            line(count, name, "", &measure(wait));
        }
    }
}

fn line(count: usize, tool: &str, requests: &str, used: &Used) {
    let (wall, cpu) = (used.wall.as_secs_f64(), used.cpu.as_secs_f64());
    println!("{count:>7}  {tool:<9} {requests:>9} {wall:>7.2}s {cpu:>7.2}s {:>6.0} MB", kib(used.peak));
}

/// A thousand Deployments in twenty namespaces under one selector.
fn many(plane: &ControlPlane) {
    let namespaces: Vec<String> = (0..20).map(|_| plane.namespace("many")).collect();
    let objects: Vec<Value> = (0..1000)
        .map(|number| deployment(&namespaces[number % 20], &format!("web-{number}"), &Behaviour::Ready(0)))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let report = tempfile::NamedTempFile::new().expect("a file");
    let args = ["deploy", "-A", "-l", "bench=many", "--min-count", "1000", "-o", "json", "-q", "--timeout", "20m"];
    let out = report.reopen().expect("the file");
    let mut wait = plugin(plane, &args);
    let mut child = wait.stdout(out).spawn().expect("the plugin starts");
    let status = format!("/proc/{}/status", child.id());
    let created = std::thread::scope(|scope| {
        let creating = scope.spawn(|| plane.pipe(&["create", "-o", "name", "-f", "-"], &list).lines().count());
        let mut peak = 0_u64;
        while child.try_wait().expect("a child").is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let high =
                text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
            peak = peak.max(high.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(20));
        }
        limit("1,000 Deployments in 20 namespaces: peak RSS (limit 60 MB)", &format!("{:.1} MB", kib(peak)), "60 MB");
        creating.join().expect("kubectl create")
    });
    let ended = jiff::Timestamp::now();
    let text = std::fs::read_to_string(report.path()).expect("the report");
    let said: Value = serde_json::from_str(&text).expect("JSON");
    let live: Value =
        serde_json::from_str(&plane.run(&["get", "deploy", "-A", "-l", "bench=many", "-o", "json"])).expect("JSON");
    let times = live["items"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|item| item["status"]["conditions"].as_array().into_iter().flatten());
    let changed: Option<jiff::Timestamp> =
        times.filter_map(|condition| condition["lastUpdateTime"].as_str()?.parse().ok()).max();
    let lag = changed.map_or(f64::NAN, |changed| ended.duration_since(changed).as_secs_f64());
    println!("  {created} created, verdict {}, requests {}", said["verdict"], said["requests"]);
    limit("  watches (limit 4)", &said["requests"]["watch"].to_string(), "4");
    limit("  exit after the last change (server times have whole seconds)", &format!("{lag:.2} s"), "1 s (+1)");
}

/// Runs as a child of the benchmark: lists all pods, to fold or only to transfer them.
fn list_pods(mode: &str) {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let cluster = Access::default().connect(&Environment::of_process()).await.expect("a cluster");
        if mode == "raw-kinds" {
            return transfer_kinds(&cluster).await;
        }
        let count = if mode == "fold" {
            fold::<Pod, usize>(
                &cluster,
                None,
                "",
                || 0,
                |count, pod| *count += usize::from(!pod.metadata.name.is_empty()),
            )
            .await
        } else {
            transfer(&cluster, &Resource::of::<Pod>(), None).await
        };
        let all: usize = std::env::var("KUBEGUARD_BENCH_PODS").expect("how many").parse().expect("a number");
        assert!(count.expect("every page") >= all, "fewer pods than there are");
    });
}

/// Transfers every page of the kinds that an inventory has read, pods first as it does, and looks at none.
async fn transfer_kinds(cluster: &Cluster) {
    let kinds = std::env::var("KUBEGUARD_BENCH_KINDS").expect("which kinds");
    let wanted: Vec<&str> = kinds.split(',').collect();
    let served = Discovery::of(cluster).await.expect("discovery");
    let (pods, others): (Vec<&Resource>, Vec<&Resource>) = served
        .listed()
        .filter(|resource| wanted.contains(&format!("{}/{}", resource.api_version(), resource.plural).as_str()))
        .partition(|resource| resource.group.is_empty() && resource.plural == "pods");
    assert_eq!(pods.len() + others.len(), wanted.len(), "kinds that are served");
    for resources in [pods, others] {
        let lists = resources.into_iter().map(|resource| transfer(cluster, resource, None));
        let pages: Vec<_> = futures::StreamExt::collect(futures::StreamExt::buffer_unordered(
            futures::stream::iter(lists.collect::<Vec<_>>()),
            4,
        ))
        .await;
        assert!(pages.iter().all(Result::is_ok), "every page");
    }
}

/// What an inventory of many pods costs, against the raw transfer of the kinds that it reads.
fn inventory(plane: &ControlPlane, pods: usize, rounds: usize, touch: impl Fn()) {
    let inventory = || {
        let mut command = Command::new(kubeguard_testkit::plugin("kubectl-ecr_clean"));
        command.args(["inventory", "-q", "-o", "json"]).env("KUBECONFIG", plane.kubeconfig());
        command
    };
    let said = inventory().output().expect("the plugin runs");
    let said: Value = serde_json::from_slice(&said.stdout).expect("an inventory");
    assert_eq!(said["complete"], true, "{}", said["kinds"]);
    let read = said["kinds"].as_array().into_iter().flatten().filter(|kind| kind["status"] == "ok");
    let text = |kind: &Value, field: &str| kind[field].as_str().unwrap_or_default().to_owned();
    let kinds: Vec<String> = read.map(|kind| text(kind, "apiVersion") + "/" + &text(kind, "resource")).collect();
    let this = std::env::current_exe().expect("a program knows its path");
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        touch();
        let mut child = Command::new(&this);
        child.env("KUBEGUARD_BENCH", "raw-kinds").env("KUBEGUARD_BENCH_KINDS", kinds.join(","));
        raw.push(measure(child.env("KUBECONFIG", plane.kubeconfig())));
        touch();
        ours.push(measure(&mut inventory()));
    }
    let wall = |used: &[Used]| median(used.iter().map(|used| used.wall).collect::<Vec<_>>());
    let peak = ours.iter().map(|used| used.peak).max().unwrap_or(0);
    let what = format!("inventory of {pods} pods against raw transfer of {} kinds (limit 1.15)", kinds.len());
    row(&what, wall(&ours), wall(&raw));
    limit("  peak RSS", &format!("{:.1} MB", kib(peak)), "100 MB");
    let references = said["references"].as_array().map_or(0, Vec::len);
    println!("  {references} references, {} kinds read", kinds.len());
}

/// Listing and folding pods, against the raw transfer of the same pages and against kubectl; and inventories of them.
fn pods(fold: bool, inventories: bool) {
    let plane = ControlPlane::start();
    let more = plane.namespace("more");
    // Each of them would keep every pod in memory, which no machine of ours has room for.
    plane.stop_controllers();
    let this = std::env::current_exe().expect("a program knows its path");
    let touch = || {
        // An API server that has just compacted serves later pages much slower: a touched pod renews its cache.
        drop(plane.run(&[
            "annotate",
            "pod",
            "load-pattern",
            "-n",
            "default",
            "--overwrite",
            &format!("touched={:?}", Instant::now()),
        ]));
    };
    let list = |mode: &str, pods: usize| {
        touch();
        let mut child = Command::new(&this);
        child.env("KUBEGUARD_BENCH", mode).env("KUBEGUARD_BENCH_PODS", pods.to_string());
        measure(child.env("KUBECONFIG", plane.kubeconfig()))
    };
    for (pods, rounds) in [(30_000, 5), (100_000, 1)] {
        if pods == 30_000 {
            plane.load_pods("default", pods);
        } else {
            plane.load_pods(&more, pods - 30_000);
        }
        if inventories {
            inventory(&plane, pods, rounds.min(3), touch);
        }
        if !fold {
            continue;
        }
        let (mut ours, mut raw) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            raw.push(list("raw", pods));
            ours.push(list("fold", pods));
        }
        let wall = |used: &[Used]| median(used.iter().map(|used| used.wall).collect::<Vec<_>>());
        let cpu = median(ours.iter().map(|used| used.cpu).collect::<Vec<_>>());
        let peak = ours.iter().map(|used| used.peak).max().unwrap_or(0);
        row(&format!("{pods} pods listed and folded against raw transfer (limit 1.1)"), wall(&ours), wall(&raw));
        #[expect(clippy::cast_precision_loss, reason = "a count of pods")]
        let per = cpu.as_secs_f64() * 100_000.0 / pods as f64;
        limit("  CPU per 100,000 pods", &format!("{per:.2} s"), "4 s");
        limit("  peak RSS", &format!("{:.1} MB", kib(peak)), "64 MB");
        if pods == 30_000 {
            let theirs = measure(&mut kubectl(&plane, &["get", "pods", "-A", "-o", "json"]));
            row("  against kubectl get pods -A -o json (limit 0.1)", wall(&ours), theirs.wall);
            limit("  kubectl's peak RSS", &format!("{:.0} MB", kib(theirs.peak)), "");
        }
    }
}
