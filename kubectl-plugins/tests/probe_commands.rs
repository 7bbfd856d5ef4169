//! The real `kubectl probe-audit blast`, `timeline` and `suggest`: files, a cluster and its snapshot, and what cannot be
//! read.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::process::Command;

use insta::assert_snapshot;
use kubeguard_testkit::{FakeCluster, Fault};
use serde_json::{Value, json};

const SHOP: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: registry.example/shop/web:1
        ports: [{containerPort: 8080, name: http}]
        env: [{name: MAIL_URL, value: "smtp://mail:25"}]
        livenessProbe: {httpGet: {path: /ok, port: http}}
        readinessProbe: {httpGet: {path: /ok, port: http}}
      - {name: statsd-agent, image: acme/statsd-agent, livenessProbe: {tcpSocket: {port: 8125}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: mail, namespace: shop}
spec:
  selector: {matchLabels: {app: mail}}
  template:
    metadata: {labels: {app: mail}, annotations: {kubeguard.dev/non-critical: "logtailer,statsd-agent"}}
    spec:
      containers:
      - {name: smtp, image: "registry.example/shop/mail:1", ports: [{containerPort: 2525, name: smtp}]}
      - {name: logtailer, image: "acme/logtailer:1", readinessProbe: {httpGet: {port: 2020, path: /}}}
      - {name: statsd-agent, image: acme/statsd-agent}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: mail, namespace: shop}, spec: {selector: {app: mail}, ports: [{port: 25, targetPort: smtp}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: peers, namespace: shop}, spec: {selector: {app: mail}, publishNotReadyAddresses: true, ports: [{port: 25}]}}
"#;

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        std::fs::write(world.0.path().join("shop.yaml"), SHOP).unwrap();
        world
    }

    /// Returns the exit code, then stdout and stderr together.
    fn run(&self, args: &str) -> String {
        self.run_binary(env!("CARGO_BIN_EXE_kubectl-probe_audit"), args)
    }

    fn run_binary(&self, binary: &str, args: &str) -> String {
        let mut command = Command::new(binary);
        command.args(args.split(' ')).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        let output = command.env("KUBECONFIG", self.0.path().join("kubeconfig")).output().unwrap();
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}\n{}{}", output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "the screens stand in it as people see them")]
fn a_ranking_of_images_names_what_falls_and_why_it_ranks() {
    let world = World::new();
    assert_snapshot!(world.run("blast -f shop.yaml"), @r"
    0
    IMAGE               CONTAINER      PODS   DOWNED   DEGRADED   TOUCHED   EXPOSED   WEBHOOKS   RISK
    acme/statsd-agent   statsd-agent   4      2 of 2   0          0         1         0          1.2
    shop/web            app            3      1 of 2   0          0         1         0          0.5
    acme/logtailer      logtailer      1      1 of 2   0          0         0         0          0.1
    shop/mail           smtp           1      1 of 2   0          0         0         0          0.1
    crash mode · probe mode: --mode probe · 1 service exempt (publishNotReadyAddresses)
    acme/statsd-agent: risk 1.2 = 0.25 × 5: 0.05 base + 0.10 liveness + 0.10 tag latest, or always pulled
    templates stand for their pods: each replica counts as a ready one
    ");
    assert_snapshot!(world.run("blast -f shop.yaml --container statsd-agent --what-if no-readiness --mode probe -o wide"), @r"
    0
    IMAGE               CONTAINER      PODS   DOWNED   DEGRADED   TOUCHED   EXPOSED   WEBHOOKS   RISK   LIKELIHOOD   NOTICED     BACK
    acme/statsd-agent   statsd-agent   3      1 of 2   0          0         1         0          0.8    0.25         20 – 31 s   +0 s
      downed: shop/web (reached from outside)
    probe mode · crash mode: --mode crash · 1 service exempt (publishNotReadyAddresses)
    acme/statsd-agent: risk 0.8 = 0.25 × 3: 0.05 base + 0.10 liveness + 0.10 tag latest, or always pulled
    what if: acme/statsd-agent would down 1 of 2 instead of 1, degrade 0 instead of 0, risk 0.8 instead of 0.8
    templates stand for their pods: each replica counts as a ready one
    without readiness only containers with a liveness probe are hit
    ");
    assert_snapshot!(world.run("blast -f shop.yaml --image statsd* --what-if daemonset"), @r"
    0
    IMAGE               CONTAINER      PODS   DOWNED   DEGRADED   TOUCHED   EXPOSED   WEBHOOKS   RISK
    acme/statsd-agent   statsd-agent   0      0 of 2   0          0         0         0          0.0
    crash mode · probe mode: --mode probe · 1 service exempt (publishNotReadyAddresses)
    acme/statsd-agent: risk 0.0 = 0.25 × 0: 0.05 base + 0.10 liveness + 0.10 tag latest, or always pulled
    what if: acme/statsd-agent would down 0 of 2 instead of 2, degrade 0 instead of 0, risk 0.0 instead of 1.2
    templates stand for their pods: each replica counts as a ready one
    as a DaemonSet it makes no pod of others unready: each node's pods depend on that node's agent instead
    ");
    assert_snapshot!(world.run("blast -f shop.yaml -o markdown --by container"), @r"
    0
    | image | container | pods | downed | degraded | touched | exposed | webhooks | risk |
    |---|---|---|---|---|---|---|---|---|
    | `acme/statsd-agent` | `statsd-agent` | 4 | 2 of 2 | 0 | 0 | 1 | 0 | 1.2 |
    | `shop/web` | `app` | 3 | 1 of 2 | 0 | 0 | 1 | 0 | 0.5 |
    | `acme/logtailer` | `logtailer` | 1 | 1 of 2 | 0 | 0 | 0 | 0 | 0.1 |
    | `shop/mail` | `smtp` | 1 | 1 of 2 | 0 | 0 | 0 | 0 | 0.1 |

    crash mode · probe mode: --mode probe · 1 service exempt (publishNotReadyAddresses)

    templates stand for their pods: each replica counts as a ready one
    ");
    assert_snapshot!(world.run("blast -f shop.yaml --image logtailer -o json"), @r#"
    0
    {
      "apiVersion": "kubeguard.dev/v1",
      "kind": "BlastReport",
      "complete": true,
      "mode": "crash",
      "proof": "model",
      "services": 2,
      "items": [
        {
          "image": "acme/logtailer",
          "container": "logtailer",
          "mode": "crash",
          "pods": 1,
          "downed": [
            {
              "namespace": "shop",
              "name": "mail",
              "ready": 1,
              "lost": 1,
              "weight": 2,
              "because": "named by deployment.apps/web",
              "exposed": false,
              "webhook": false
            }
          ],
          "degraded": [],
          "touched": [],
          "exempt": [
            {
              "namespace": "shop",
              "name": "peers",
              "reason": "publishNotReadyAddresses"
            }
          ],
          "weight": 2.0,
          "likelihood": 0.05,
          "terms": [
            {
              "value": 0.05,
              "why": "base"
            }
          ],
          "risk": 0.1,
          "duration": {
            "noticedSeconds": [
              0,
              1
            ],
            "backSeconds": 11,
            "restartDelays": [
              0,
              10,
              20,
              40,
              80,
              160,
              300
            ]
          }
        }
      ],
      "exempt": [
        {
          "namespace": "shop",
          "name": "peers",
          "reason": "publishNotReadyAddresses"
        }
      ],
      "notes": [
        "templates stand for their pods: each replica counts as a ready one"
      ],
      "skipped": []
    }
    "#);
    assert_snapshot!(world.run("blast -f shop.yaml -o name"), @r"
    0
    service/mail
    service/web
    ");
}

#[test]
fn more_downed_services_than_allowed_are_a_failure() {
    let world = World::new();
    assert!(world.run("blast -f shop.yaml --max-downed 2").starts_with("0\n"));
    assert!(world.run("blast -f shop.yaml --max-downed 1").starts_with("1\n"));
    assert_snapshot!(world.run("blast -f shop.yaml --image nothing"), @r"
    0
    crash mode · probe mode: --mode probe · 1 service exempt (publishNotReadyAddresses)
    templates stand for their pods: each replica counts as a ready one
    nothing matches nothing
    ");
    assert!(world.run("blast -f shop.yaml --image a --container b").starts_with("2\n"));
    assert!(world.run("-f shop.yaml blast").starts_with("2\n"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "the screens stand in it as people see them")]
fn a_timeline_says_when_with_its_arithmetic() {
    let world = World::new();
    assert_snapshot!(world.run("timeline -f shop.yaml deploy/web --fault hang,crash"), @r"
    0
    deployment.apps/web, container app: hang
    t (earliest – latest)   what happens
    0 s                     app hangs; every request to it waits
    20 – 31 s               readiness flips (3 × 10 s, timeout 1 s): the pod leaves service web
    20 – 31 s               liveness flips (3 × 10 s, timeout 1 s): SIGTERM, and the order is not certain (PA301)
    50 – 61 s               SIGKILL after 30 s of grace; restart at once
    50 – 72 s               app is ready again (start, ready within 11 s)
    with failureThreshold 9 on liveness of app: drained at 20 – 31 s, killed at 80 – 91 s
    a process that ends on SIGTERM is back sooner by the rest of the grace
    assumes: the start itself takes no time: none was seen, and no startup probe says how long it may take

    deployment.apps/web, container app: crash
    t (earliest – latest)   what happens
    0 s                     app ends: the pod is unready at once, whatever its probes say
    0 – 1 s                 the pod leaves service web
    0 s                     app is started again at once
    0 – 11 s                app is ready again (start, ready within 11 s)
    if it ends again within 10 min of a start, the next ones wait 10, 20, 40, 80, 160, then 300 s each; no threshold softens a crash
    assumes: the start itself takes no time: none was seen, and no startup probe says how long it may take
    ");
    assert_snapshot!(world.run("timeline -f shop.yaml deploy web --fault dependency --for 1m --checks liveness"), @r"
    0
    deployment.apps/web, container app: dependency for 60 s
    t (earliest – latest)   what happens
    0 s                     what app depends on is down, for every pod alike
    20 – 31 s               liveness flips: the kubelet ends app
    20 – 61 s               app is started again at once
    40 – 92 s               liveness flips: the kubelet ends app (if the fault is not over by then)
    50 – 132 s              app is started again after 10 s of back-off
    60 s                    the fault is over
    60 – 112 s              app is ready again: 60 s of it cost 60 – 112 s
    every pod is restarted at about the same time: what comes back first gets all the traffic
    assumes: the start itself takes no time: none was seen, and no startup probe says how long it may take
    ");
    assert_snapshot!(world.run("timeline -f shop.yaml deploy/mail --fault slow-start --takes 45s -o markdown"), @r"
    0
    ### deployment.apps/mail, container smtp: slow-start

    | t (earliest – latest) | what happens |
    |---|---|
    | 0 s | smtp is started, and takes 45 s until it answers |
    | 0 s | no readiness probe: service mail routes to the pod before smtp answers |
    ");
    assert_snapshot!(world.run("timeline -f shop.yaml deploy/web --fault overload --takes 3s -o yaml"), @r#"
    0
    apiVersion: kubeguard.dev/v1
    kind: TimelineReport
    complete: true
    items:
    - object:
        apiVersion: apps/v1
        kind: Deployment
        namespace: shop
        name: web
      container: app
      fault: overload
      events:
      - earliestSeconds: 0
        latestSeconds: 0
        means: fault
        what: every answer of app takes 3 s
      - earliestSeconds: 20
        latestSeconds: 31
        means: drained
        what: "readiness flips (3 × 10 s, timeout 1 s): all 3 pods leave service web: no endpoint is left"
      - earliestSeconds: 20
        latestSeconds: 31
        means: killed
        what: "liveness flips: the kubelet ends app"
      - earliestSeconds: 20
        latestSeconds: 61
        means: restarted
        what: app is started again at once
      - earliestSeconds: 40
        latestSeconds: 92
        means: killed
        what: "liveness flips: the kubelet ends app"
      - earliestSeconds: 50
        latestSeconds: 132
        means: restarted
        what: app is started again after 10 s of back-off
      - earliestSeconds: 70
        latestSeconds: 163
        means: killed
        what: "liveness flips: the kubelet ends app"
      - earliestSeconds: 90
        latestSeconds: 213
        means: restarted
        what: app is started again after 20 s of back-off
      - earliestSeconds: 110
        latestSeconds: 244
        means: killed
        what: "liveness flips: the kubelet ends app"
      - earliestSeconds: 150
        latestSeconds: 314
        means: restarted
        what: app is started again after 40 s of back-off
      - earliestSeconds: 170
        means: stays
        what: and so on, at last every 300 s and what it takes to fail, until the fault ends
      notes:
      - "every pod is restarted at about the same time: what comes back first gets all the traffic"
      assumptions:
      - "each pod is as slow: fewer pods in service would make the others slower, which is not modelled"
      - "the start itself takes no time: none was seen, and no startup probe says how long it may take"
    skipped: []
    "#);
    for (question, says) in [
        ("timeline -f shop.yaml deploy/nope", "no deployment is called \"nope\""),
        ("timeline -f shop.yaml nope/web", "no kind is called \"nope\""),
        ("timeline -f shop.yaml web", "does not say of which kind"),
        ("timeline -f shop.yaml deploy/web --container nope", "has no container \"nope\""),
        ("timeline -f shop.yaml deploy/web --for 100ms", "less than a second"),
    ] {
        let told = world.run(question);
        assert!(told.starts_with("2\n") && told.contains(says), "{question}: {told}");
    }
}

#[test]
fn a_suggestion_is_a_patch_with_a_reason_behind_each_number() {
    let world = World::new();
    assert_snapshot!(world.run("suggest -f shop.yaml"), @r"
    0
    # deployment.apps/mail in namespace shop
    # container statsd-agent: noncritical: it needs no probes
    # container smtp: routed by service mail:25 → 2525
    # container logtailer: noncritical
    spec:
      template:
        spec:
          containers:
          - name: smtp
            readinessProbe:                          # there is none
              tcpSocket: {port: smtp}                # no other handler is known; an HTTP path would be better
              periodSeconds: 5                       # out of service within 18 s: 3 × 5 + 3
              timeoutSeconds: 3                      # 1 s fails under CPU throttling
              failureThreshold: 3                    # one lost answer is no outage
          - name: logtailer
            readinessProbe: null                     # noncritical: must not decide about traffic
    ---
    # deployment.apps/web in namespace shop
    # container statsd-agent: noncritical: it needs no probes
    # container app: routed by service web:80 → 8080
    spec:
      template:
        spec:
          containers:
          - name: app
            readinessProbe:                          # ends PA301, PA303
              httpGet: {path: /ok, port: http}       # as it is
              periodSeconds: 5                       # out of service within 18 s: 3 × 5 + 3
              timeoutSeconds: 3                      # 1 s fails under CPU throttling
              failureThreshold: 3                    # one lost answer is no outage
            livenessProbe:                           # ends PA301, PA303
              httpGet: {path: /ok, port: http}       # as it is
              periodSeconds: 10                      # a restart is the last resort
              timeoutSeconds: 5                      # 1 s fails under CPU throttling
              failureThreshold: 6                    # 60 s: 3 × the 18 s in which readiness drains
    ");
    assert_snapshot!(world.run("suggest -f shop.yaml -o name"), @r"
    0
    deployment.apps/mail
    deployment.apps/web
    ");
    let told = world.run("suggest -f shop.yaml deploy/mail -o json");
    let report: Value = serde_json::from_str(told.strip_prefix("0\n").unwrap()).unwrap();
    // What is shown is what is applied.
    let shown = world.run("suggest -f shop.yaml deploy/mail -q");
    let shown: Value = serde_saphyr::from_str(shown.strip_prefix("0\n").unwrap()).unwrap();
    assert_eq!(shown, report["items"][0]["patch"]);
    assert_eq!(report["items"][0]["jsonPatch"][0]["path"], "/spec/template/spec/containers/0/readinessProbe");
    assert_snapshot!(world.run("suggest -f shop.yaml deploy/web --with-liveness --kube-version 1.30"), @r"
    0
    # deployment.apps/web in namespace shop
    # container statsd-agent: noncritical: it needs no probes
    # container app: routed by service web:80 → 8080
    spec:
      template:
        spec:
          containers:
          - name: app
            readinessProbe:                          # ends PA301, PA303
              httpGet: {path: /ok, port: http}       # as it is
              periodSeconds: 5                       # out of service within 18 s: 3 × 5 + 3
              timeoutSeconds: 3                      # 1 s fails under CPU throttling
              failureThreshold: 3                    # one lost answer is no outage
            livenessProbe:                           # ends PA301, PA303
              httpGet: {path: /ok, port: http}       # as it is
              periodSeconds: 10                      # a restart is the last resort
              timeoutSeconds: 5                      # 1 s fails under CPU throttling
              failureThreshold: 6                    # 60 s: 3 × the 18 s in which readiness drains
    ");
}

/// The elements of a page, as a parser of XML sees them; it refuses what is not closed or not escaped.
fn elements(page: &str) -> std::collections::BTreeMap<String, usize> {
    let mut found = std::collections::BTreeMap::new();
    let mut reader = quick_xml::Reader::from_str(page);
    reader.config_mut().check_end_names = true;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag) => {
                *found.entry(String::from_utf8_lossy(tag.name().as_ref()).into_owned()).or_default() += 1;
            }
            quick_xml::events::Event::Eof => return found,
            _ => {}
        }
    }
}

#[test]
fn pages_have_pictures_and_no_text_becomes_markup() {
    let world = World::new();
    let evil =
        SHOP.replace("name: logtailer,", "name: \"<script>x</script>\",").replace("acme/logtailer:1", "acme/<b>&1");
    std::fs::write(world.0.path().join("evil.yaml"), evil).unwrap();
    for (command, svgs) in [("-o html -f", 1), ("blast -o html -f", 1), ("timeline --fault hang -o html -f", 8)] {
        for file in ["shop.yaml", "evil.yaml"] {
            let told = world.run(&format!("{command} {file}"));
            let (_, page) = told.split_once('\n').unwrap();
            let elements = elements(page);
            assert!(elements["svg"] >= svgs && elements["rect"] >= 3, "{command}: {elements:?}");
            assert_eq!(
                (elements["script"], elements.get("b").is_some_and(|count| *count > 200)),
                (1, false),
                "{command}"
            );
            for outside in ["http://", "https://", "src=", "url("] {
                assert!(!page.replace("http://www.w3.org", "").contains(outside), "{command}: {outside}");
            }
        }
    }
    // Rules that read no services get no picture of them.
    let told = world.run("-o html -f shop.yaml --select PA201");
    assert!(!told.contains("<svg"), "{told}");
}

#[expect(clippy::needless_pass_by_value, reason = "json! makes values where they are used")]
fn pod(name: &str, app: &str, containers: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": app}},
        "spec": {"containers": containers}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

#[test]
fn a_cluster_and_its_snapshot_fall_alike_and_what_is_forbidden_is_named() {
    let world = World::new();
    let cluster = FakeCluster::start();
    drop(cluster.kubeconfig(world.0.path()));
    let both = json!([{"name": "app", "image": "shop/web:1"}, {"name": "statsd", "image": "acme/statsd:1"}]);
    cluster.put("/api/v1/namespaces/shop/pods", pod("web-1", "web", both.clone()));
    cluster.put("/api/v1/namespaces/shop/pods", pod("cart-1", "cart", both));
    for app in ["web", "cart"] {
        cluster.put(
            "/api/v1/namespaces/shop/services",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": app, "namespace": "shop"},
                "spec": {"selector": {"app": app}, "ports": [{"port": 80}]}}),
        );
        cluster.put(
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": app, "namespace": "shop", "labels": {"kubernetes.io/service-name": app}},
                "ports": [{"name": "", "port": 80}],
                "endpoints": [{"targetRef": {"kind": "Pod", "name": format!("{app}-1"), "namespace": "shop", "uid": format!("{app}-1")}}]}),
        );
    }
    let live = world.run("blast -A -o json --now 2026-01-01T00:00:00Z");
    let report: Value = serde_json::from_str(live.strip_prefix("0\n").unwrap()).unwrap();
    assert_eq!((&report["proof"], &report["items"][0]["image"]), (&json!("exact"), &json!("acme/statsd")), "{live}");
    assert_eq!(report["items"][0]["downed"].as_array().unwrap().len(), 2, "{live}");
    let written = world.run_binary(env!("CARGO_BIN_EXE_kubectl-guard"), "snapshot -o shop.jsonl.gz");
    assert!(written.starts_with("0\n"), "{written}");
    assert_eq!(world.run("blast --snapshot shop.jsonl.gz -o json --now 2026-01-01T00:00:00Z"), live);
    cluster.fail("list", "/endpointslices", Fault::Status(403, "Forbidden"), None);
    assert_snapshot!(world.run("blast -A"), @r"
    6
    IMAGE         CONTAINER   PODS   DOWNED   DEGRADED   TOUCHED   EXPOSED   WEBHOOKS   RISK
    acme/statsd   statsd      2      2 of 2   0          0         0         0          0.1
    shop/web      app         2      2 of 2   0          0         0         0          0.1
    crash mode · probe mode: --mode probe
    acme/statsd: risk 0.1 = 0.05 × 2: 0.05 base
    endpoints of 2 services follow from selectors and ready pods: there are no endpoint slices to read
    judged in part: cannot list endpointslices: Forbidden
    ");
    cluster.fail("list", "/services", Fault::Status(403, "Forbidden"), None);
    let told = world.run("blast -A");
    assert!(told.starts_with("6\n") && told.contains("cannot list services"), "{told}");
    let told = world.run("suggest -A");
    assert!(told.starts_with("2\n") && told.contains("cannot list services"), "{told}");
    let told = world.run("timeline -A pod/web-1 --fault crash");
    assert!(told.starts_with("6\n") && told.contains("0 – 1 s"), "{told}");
    let told = world.run("blast -A --print-rbac");
    assert!(
        told.starts_with("0\n") && told.contains("endpointslices") && told.contains("validatingwebhookconfigurations"),
        "{told}"
    );
}

#[test]
fn the_help_of_each_command_has_examples() {
    let world = World::new();
    for command in ["blast", "timeline", "suggest"] {
        let told = world.run(&format!("{command} --help"));
        assert!(told.starts_with("0\n") && told.contains("Examples:") && told.contains("Exit codes:"), "{told}");
        assert!(told.contains(&format!("kubectl probe-audit {command}")), "{told}");
    }
    assert_snapshot!(world.run("blast --help").split("Scope:").next().unwrap(), @r"
    0
    Rank images by what falls when their containers fall

    Usage: kubectl probe-audit blast [OPTIONS]

    Options:
          --all
              Every image, each for itself; this is the default

          --image <PATTERN>
              Images that fall together; * stands for anything within one element: statsd*, acme/*,
              agent:1.2

          --container <PATTERN>
              Names of containers that fall together

          --by <WHAT>
              What a row of the ranking is

              Possible values:
              - image:     An image, whatever its containers are called
              - container: A name of containers, whatever their image
              
              [default: image]

          --mode <MODE>
              How it falls

              Possible values:
              - crash: It stops; no probe softens that
              - probe: It runs, and its readiness or liveness probe fails
              
              [default: crash]

          --what-if <CHANGE>
              What would be different

              Possible values:
              - native:       It were a native sidecar
              - no-readiness: It had no readiness probe
              - daemonset:    It ran once a node

          --max-downed <N>
              End with exit code 1 when a row downs more services than this

          --sidecar-table <FILE>
              File with sidecars beside the known ones

          --kube-version <X.Y>
              Version of Kubernetes that files are judged for [default: the newest known]

          --print-rbac
              Print the smallest role that this needs, and end

          --now <RFC3339>
              The moment that counts as now [default: the server's clock, or the snapshot's]

      -h, --help
              Print help (see a summary with '-h')

    Output:
      -o, --output <FORMAT>
              How the answer is written

              Possible values:
              - table:    Lines for people
              - wide:     The same, with how long it lasts and each service that is hit
              - json:     One JSON object
              - yaml:     The same as YAML
              - name:     Services that lose all or most endpoints, each once
              - markdown: A table for a comment on a pull request
              - html:     One page with a picture
              
              [default: table]

          --color <WHEN>
              When to use colour

              Possible values:
              - auto:   On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise
              - always: Even into a pipe
              - never:  Not at all
              
              [default: auto]

      -q, --quiet
              No progress and no hints on stderr

      -v, --verbose...
              Explain what is done on stderr; -vv with details, -vvv with every request
    ");
    let told = world.run("--help");
    for command in ["blast", "timeline", "suggest"] {
        assert!(told.contains(&format!("\n  {command} ")), "{told}");
    }
}
