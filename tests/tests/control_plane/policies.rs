//! Every generated policy on a real API server: accepted without a type warning, and enforced as its cases say.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kubeguard_core::policies::{Act, BUNDLES, Bundle, Case, Expected, PolicySettings, Stage};
use kubeguard_testkit::ControlPlane;
use serde_json::{Value, json};

/// The namespaces of one test: policies of this binary judge nobody else's.
struct Place {
    judged: String,
    exempt: String,
    settings: PolicySettings,
}

impl Place {
    fn new(plane: &ControlPlane) -> Self {
        let (judged, exempt) = (plane.namespace("judged"), plane.namespace("exempt"));
        let label = format!("kubeguard.dev/test={judged}");
        plane.run(&["label", "namespace", &judged, &exempt, &label]);
        let bundles =
            BUNDLES.iter().map(|bundle| format!("{}: {{matchLabels: {{kubeguard.dev/test: {judged}}}}}", bundle.name));
        let text = format!(
            "apiVersion: kubeguard.dev/v1\nkind: GuardPolicy\nnamespace: {judged}\nexemptNamespaces: [{exempt}]\n\
             tenants: [{judged}]\nnamespaces: {{{}}}\ndaemonSets: {{nodes: 240, priorityClasses: [low], hostPorts: [9100], \
             hostPaths: [/var/log]}}\n",
            bundles.collect::<Vec<_>>().join(", ")
        );
        let settings = PolicySettings::parse("policy.yaml", &text).expect("settings of the test");
        Self { judged, exempt, settings }
    }

    /// Somebody who may change workloads in both namespaces, and approves nothing.
    fn tenant(&self, plane: &ControlPlane) -> std::path::PathBuf {
        let rights = [
            "create,get,patch,update deployments.apps",
            "create,get,patch,update daemonsets.apps",
            "get,patch,update daemonsets.apps/status",
            "create,get,patch,update jobs.batch",
            "create,get,patch,update cronjobs.batch",
            "create,get,patch,update horizontalpodautoscalers.autoscaling",
            "create,get,patch,update pods",
        ];
        plane.user(&format!("tenant-{}", self.judged), &self.exempt, &rights);
        plane.user(&format!("tenant-{}", self.judged), &self.judged, &rights)
    }
}

fn kubectl(config: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(ControlPlane::program("kubectl"));
    command.env("KUBECONFIG", config).env_remove("HTTPS_PROXY").env_remove("https_proxy").args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input.as_bytes()).expect("kubectl reads");
    child.wait_with_output().expect("kubectl ends")
}

/// Sends a case as a dry run. Returns what is wrong with the answer.
fn judged(config: &Path, spaces: &Place, case: &Case) -> Result<(), String> {
    let namespace = if case.exempt { &spaces.exempt } else { &spaces.judged };
    let answer = match &case.act {
        Act::Create(object) => kubectl(
            config,
            &["create", "--dry-run=server", "-o", "json", "-n", namespace, "-f", "-"],
            &object.to_string(),
        ),
        Act::Touch { kind, patch, .. } => {
            let object = format!("{}/kubeguard-bad", kind.to_lowercase());
            let patch = patch.to_string();
            kubectl(
                config,
                &["patch", &object, "--dry-run=server", "-o", "json", "-n", namespace, "--type=merge", "-p", &patch],
                "",
            )
        }
    };
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    let object: Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
    let right = match &case.expected {
        Expected::Admitted => answer.status.success(),
        Expected::Refused(says) => !answer.status.success() && said.contains(says.as_str()),
        Expected::Changed(pointer, value) => {
            answer.status.success() && object.pointer(pointer).unwrap_or(&Value::Null) == value
        }
    };
    if right { Ok(()) } else { Err(format!("{}: {:?}, and the server: {said} {object}", case.name, case.expected)) }
}

/// Waits until the server enforces a bundle, which its caches take a moment for, then judges every case.
fn enforced(spaces: &Place, bundle: &Bundle, config: &Path) -> usize {
    let cases = bundle.cases(&spaces.settings);
    let began = Instant::now();
    let shows = |case: &&Case| match &case.expected {
        Expected::Admitted => false,
        Expected::Refused(_) => true,
        Expected::Changed(_, value) => value.is_object(),
    };
    if let Some(first) = cases.iter().find(shows) {
        while let Err(wrong) = judged(config, spaces, first) {
            assert!(began.elapsed() < Duration::from_mins(1), "{} is not enforced: {wrong}", bundle.name);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let wrong: Vec<String> = cases.iter().filter_map(|case| judged(config, spaces, case).err()).collect();
    assert!(wrong.is_empty(), "{}:\n{}", bundle.name, wrong.join("\n"));
    cases.len()
}

fn kind(object: &Value) -> String {
    object["kind"].as_str().unwrap_or_default().to_lowercase()
}

/// Objects that were there before any policy, as bad as they can be.
fn bad_objects(plane: &ControlPlane, spaces: &Place) {
    let container = json!({"name": "app", "image": "registry.k8s.io/pause:3.10", "resources": {"requests": {"cpu": "8"}},
        "env": [{"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}}]});
    let spec = json!({"selector": {"matchLabels": {"app": "bad"}}, "template": {"metadata": {"labels": {"app": "bad"}},
        "spec": {"containers": [container], "initContainers": [{"name": "side", "image": "registry.k8s.io/pause:3.10", "restartPolicy": "Always"}],
            "nodeSelector": {"nobody": "has-it"}}}});
    let object = |version: &str, kind: &str, more: Value| {
        let mut spec = spec.clone();
        spec.as_object_mut().expect("a spec").extend(more.as_object().cloned().unwrap_or_default());
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "kubeguard-bad", "namespace": spaces.judged}, "spec": spec})
    };
    let update = json!({"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}, "type": "RollingUpdate"});
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "kubeguard-bad", "namespace": spaces.judged},
        "spec": {"minReplicas": 1, "maxReplicas": 900, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"}}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        object("apps/v1", "Deployment", json!({"replicas": 4, "strategy": update})),
        object("apps/v1", "DaemonSet", json!({})),
        scaler,
    ]});
    plane.apply(&list.to_string());
}

fn apply(plane: &ControlPlane, bundle: &Bundle, settings: &PolicySettings, stage: Stage) {
    let items = bundle.manifests(settings, stage);
    plane.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
}

#[test]
fn every_policy_is_enforced_as_its_cases_say_and_has_no_type_warning() {
    let plane = ControlPlane::shared();
    let spaces = Place::new(plane);
    bad_objects(plane, &spaces);
    let tenant = spaces.tenant(plane);
    let review = kubeguard_core::policies::bundle("daemonset").expect("the bundle");
    apply(plane, review, &spaces.settings, Stage::Deny);
    let mut judged = enforced(&spaces, review, &tenant);
    reviews(plane, &spaces, &tenant);
    // Those without parameters one at a time, so that a case of one is no case of another.
    let of_server = |bundle: &&Bundle| !matches!(bundle.name, "daemonset" | "daemonset-quota" | "node-hold");
    for bundle in BUNDLES.iter().filter(of_server) {
        apply(plane, bundle, &spaces.settings, Stage::Deny);
        judged += enforced(&spaces, bundle, &tenant);
        let items = bundle.manifests(&spaces.settings, Stage::Deny);
        // A server that has seen the last binding with parameters go does not find those of the next.
        let gone = |item: &&Value| kind(item).ends_with("binding") && item["spec"].get("paramRef").is_none();
        for binding in items.iter().filter(gone) {
            plane.run(&["delete", &kind(binding), binding["metadata"]["name"].as_str().unwrap_or_default()]);
        }
    }
    assert!(judged > 60, "{judged} cases");
    let typed = |policy: &Value| policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
    let began = Instant::now();
    let policies = loop {
        let list: Value =
            serde_json::from_str(&plane.run(&["get", "validatingadmissionpolicies", "-o", "json"])).expect("a list");
        let ours: Vec<Value> = list["items"].as_array().into_iter().flatten().cloned().collect();
        if ours.iter().all(typed) || began.elapsed() > Duration::from_mins(1) {
            break ours;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(policies.len(), 6);
    for policy in policies {
        assert!(typed(&policy), "the server has not checked {}", policy["metadata"]["name"]);
        assert_eq!(policy["status"]["typeChecking"].get("expressionWarnings"), None, "{policy}");
    }
    quota(plane, &spaces, &tenant);
}

/// What a reviewer has approved passes while it stays what it was.
fn reviews(plane: &ControlPlane, spaces: &Place, tenant: &Path) {
    let judged = spaces.judged.as_str();
    let status = json!({"status": {"conditions": [{"type": "Seen", "status": "True"}]}}).to_string();
    let patch = |config: &Path, more: &[&str], patch: &str| {
        let args = ["patch", "daemonset/kubeguard-bad", "-n", judged, "--type=merge", "-p", patch];
        kubectl(config, &[&args[..], more].concat(), "")
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let status = patch(tenant, &["--subresource=status", "--dry-run=server"], &status);
    assert!(status.status.success(), "a status is not judged: {}", said(&status));
    let image = |image: &str, cpu: &str| {
        json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image,
            "resources": {"requests": {"cpu": cpu}, "limits": {"memory": "64Mi"}}}], "initContainers": null}}}})
    };
    let refused = patch(tenant, &[], &image("registry.k8s.io/pause:3.9", "8").to_string());
    assert!(
        !refused.status.success()
            && said(&refused).contains("DaemonSet needs review: 8 cpu per node on about 240 nodes"),
        "{}",
        said(&refused)
    );
    // The administrator may approve, as may do everything.
    let note = "cpu=8000m memory=67108864 images=registry.k8s.io/pause:3.9";
    let mut change = image("registry.k8s.io/pause:3.9", "8");
    change["metadata"] = json!({"annotations": {"kubeguard.dev/approved": note}});
    let approved = patch(plane.kubeconfig(), &[], &change.to_string());
    assert!(approved.status.success(), "{}", said(&approved));
    let environment = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}}).to_string();
    let same = patch(tenant, &["--dry-run=server"], &environment);
    assert!(same.status.success(), "sums and images are as approved: {}", said(&same));
    let other = patch(tenant, &["--dry-run=server"], &image("registry.k8s.io/pause:3.10", "8").to_string());
    assert!(!other.status.success(), "another image was never approved");
    let forged = json!({"metadata": {"annotations": {"kubeguard.dev/approved": "cpu=9000m"}}}).to_string();
    let forged = patch(tenant, &["--dry-run=server"], &forged);
    assert!(said(&forged).contains("only a reviewer may write kubeguard.dev/approved"), "{}", said(&forged));
}

/// The quota needs no policy: a tenant's first DaemonSet is one too many.
fn quota(plane: &ControlPlane, spaces: &Place, tenant: &Path) {
    let bundle = kubeguard_core::policies::bundle("daemonset-quota").expect("the bundle");
    plane.run(&["delete", "daemonset/kubeguard-bad", "-n", &spaces.judged]);
    apply(plane, bundle, &spaces.settings, Stage::Deny);
    enforced(spaces, bundle, tenant);
}
