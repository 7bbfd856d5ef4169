//! The same situations on one real control plane, told by `kubectl rollout status`, `kubectl wait` and ours:
//! `cargo run -p kubeguard-testkit --example side_by_side`. Takes as long as the longest hold, about three minutes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kubeguard_testkit::{Behaviour, ControlPlane};
use serde_json::{Value, json};

/// Nobody is given longer than this; the default of `progressDeadlineSeconds` is 600 s.
const PATIENCE: &str = "200s";

struct Situation {
    name: &'static str,
    object: Value,
    /// What our answer must name.
    cause: &'static str,
    /// Seconds within which it must do so, from the apply on.
    within: u64,
}

/// How one tool answered.
struct Told {
    after: Duration,
    answer: String,
}

fn situations(plane: &ControlPlane) -> Vec<(String, Situation)> {
    let missing = Behaviour::ImagePullError("manifest for registry.example.org/web:9 not found: manifest unknown");
    let of = |name: &'static str, behaviour: Behaviour, cause, within| {
        let object = deployment(&behaviour);
        Situation { name, object, cause, within }
    };
    let mut huge = deployment(&Behaviour::Ready(0));
    huge["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1000"}});
    let all = vec![
        of("good rollout", Behaviour::Ready(2), "complete", 30),
        of("image does not exist", missing, "ImageNotFound", 6),
        of("crash loop", Behaviour::CrashLoop(1), "CrashLoop", 10),
        of("never ready", Behaviour::NeverReady, "AvailableReplicas", 210),
        Situation { name: "unschedulable", object: huge, cause: "Unschedulable", within: 190 },
        of("quota", Behaviour::Ready(0), "QuotaExceeded", 20),
    ];
    all.into_iter()
        .map(|situation| {
            let namespace = plane.namespace("side");
            if situation.name == "quota" {
                plane.run(&["create", "quota", "few-pods", "--hard=pods=0", "-n", &namespace]);
            }
            (namespace, situation)
        })
        .collect()
}

fn deployment(behaviour: &Behaviour) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}, "annotations": behaviour.annotations()},
            "spec": {"containers": [{"name": "app", "image": "registry.example.org/web:9"}]},
        }},
    })
}

fn run(mut command: Command, start: Instant, tell: impl Fn(Option<i32>, &str) -> String) -> Told {
    let output = command.stdin(Stdio::null()).output().expect("a program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Told { after: start.elapsed(), answer: tell(output.status.code(), &text) }
}

fn last_line(code: Option<i32>, text: &str) -> String {
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    format!("{} ({line})", code.unwrap_or(-1))
}

fn tell(plane: &ControlPlane, namespace: &str, situation: &Situation) -> [Told; 3] {
    let mut object = situation.object.clone();
    object["metadata"]["namespace"] = namespace.into();
    plane.apply(&object.to_string());
    let start = Instant::now();
    let kubectl = |args: &[&str]| {
        let mut command = Command::new(ControlPlane::program("kubectl"));
        command.args(args).args(["-n", namespace]).env("KUBECONFIG", plane.kubeconfig());
        command
    };
    let timeout = format!("--timeout={PATIENCE}");
    let status = kubectl(&["rollout", "status", "deploy/web", &timeout]);
    let wait = kubectl(&["wait", "deploy/web", "--for=condition=Available", &timeout]);
    let mut ours = Command::new(kubeguard_testkit::plugin("kubectl-wait_deploy"));
    ours.args(["deploy/web", "-n", namespace, "-q", "-o", "json", "--timeout", PATIENCE])
        .env("KUBECONFIG", plane.kubeconfig());
    std::thread::scope(|scope| {
        let status = scope.spawn(move || run(status, start, last_line));
        let wait = scope.spawn(move || run(wait, start, last_line));
        let ours = run(ours, start, |code, text| {
            let report: Value = serde_json::from_str(text).unwrap_or_default();
            let item = &report["items"][0];
            let word = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
            let reason = if word("reason").is_empty() { word("verdict") } else { word("reason") };
            format!("{} {reason}: {}", code.unwrap_or(-1), item["message"].as_str().unwrap_or_default())
        });
        [status.join().expect("kubectl"), wait.join().expect("kubectl"), ours]
    })
}

fn main() {
    let plane = ControlPlane::start();
    let situations = situations(&plane);
    let told: Vec<[Told; 3]> = std::thread::scope(|scope| {
        let plane = &plane;
        let running: Vec<_> = situations
            .iter()
            .map(|(namespace, situation)| scope.spawn(move || tell(plane, namespace, situation)))
            .collect();
        running.into_iter().map(|thread| thread.join().expect("a situation")).collect()
    });
    let mut broken = Vec::new();
    for ((_, situation), told) in situations.iter().zip(&told) {
        println!("{}", situation.name);
        for (tool, told) in ["kubectl rollout status", "kubectl wait Available", "kubectl wait-deploy"].iter().zip(told)
        {
            let answer: String = told.answer.chars().take(150).collect();
            println!("  {tool:<24} {:>7.1} s   exit {answer}", told.after.as_secs_f64());
        }
        let [status, _, ours] = told;
        if !ours.answer.contains(situation.cause) || ours.after > Duration::from_secs(situation.within) {
            broken.push(format!("{}: {} not named within {} s", situation.name, situation.cause, situation.within));
        }
        // Both look at the same status; a few milliseconds of scheduling are no answer before the other's.
        let both_done = status.answer.starts_with("0 ") && ours.answer.starts_with("0 ");
        if both_done && ours.after + Duration::from_millis(250) < status.after {
            let early = status.after.saturating_sub(ours.after);
            broken.push(format!("{}: done {early:?} before rollout status", situation.name));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    println!("every cause named in time, never done before kubectl rollout status");
}
