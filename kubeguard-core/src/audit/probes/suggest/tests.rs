//! Whatever is suggested, our own rules find nothing in it; and what is written is what the document says.

#![expect(clippy::needless_pass_by_value, reason = "json! makes values where they are used")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::audit::report::Severity;
use crate::audit::{Builder, Origin, Selection, audit, rules};

const NOW: &str = "2026-11-22T10:00:00Z";

fn facts(objects: &[Value]) -> Facts {
    let mut builder = Builder::new(Origin::Manifests);
    for object in objects {
        builder.add(object.clone());
    }
    builder.finish()
}

fn suggested(objects: &[Value], with_liveness: bool) -> Vec<Suggestion> {
    let facts = facts(objects);
    let (policy, starts) = (Policy::default(), Starts::of(&facts));
    let wish = Wish { policy: &policy, now: NOW.parse().unwrap(), with_liveness };
    facts.carriers().map(|carrier| suggest(&facts, &carrier, &starts, wish)).collect()
}

/// Applies operations of RFC 6902 on members of objects and items of lists.
fn applied(object: &Value, operations: &[Value]) -> Value {
    let mut object = object.clone();
    for operation in operations {
        let path = operation["path"].as_str().unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match operation["op"].as_str().unwrap() {
            "add" => drop(parent.insert(name.to_owned(), operation["value"].clone())),
            _ => drop(parent.remove(name).unwrap()),
        }
    }
    object
}

/// Applies a strategic merge patch: maps are merged, null takes away, containers are found by name.
fn merged(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merged(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(into), Value::Array(patch)) if patch.iter().all(|item| item.get("name").is_some()) => {
            for item in patch {
                let own = into.iter_mut().find(|own| own["name"] == item["name"]).unwrap();
                merged(own, item);
            }
        }
        // What is new has no nulls.
        (into @ Value::Null, Value::Object(_)) => {
            *into = json!({});
            merged(into, patch);
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// Returns the findings about probes at medium or above: not those about hooks, rollouts and what no probe mends.
fn found(objects: &[Value], containers: &[&str]) -> Vec<String> {
    let selection = Selection { select: ["PA1", "PA2", "PA3"].map(ToOwned::to_owned).to_vec(), ignore: Vec::new() };
    let chosen = selection.of(rules()).unwrap();
    let report = audit(&facts(objects), &chosen, &Policy::default(), NOW.parse().unwrap());
    // Hooks and drains are no probes; a port that no container declares cannot be asked.
    let others = ["PA102", "PA316", "PA317"];
    let items = report.items.into_iter().filter(|item| {
        item.severity >= Severity::Medium
            && !others.contains(&item.rule.as_str())
            && item.container.as_deref().is_none_or(|name| containers.contains(&name))
    });
    items.map(|item| format!("{} {} {}", item.rule, item.severity, item.message)).collect()
}

fn web(container: Value, more: Value) -> Value {
    let mut web = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "team", "uid": "d-1"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}},
    });
    merged(&mut web, &more);
    web
}

fn service(port: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "team"},
        "spec": {"selector": {"app": "web"}, "ports": [port]}})
}

/// Returns the probes as `probe field=value …`.
fn told(suggestion: &Suggestion) -> Vec<String> {
    let probes = suggestion.containers.iter().flat_map(|container| {
        container.probes.iter().map(move |probe| {
            let fields: Vec<String> =
                probe.fields.iter().map(|field| format!("{}={}", field.name, field.value)).collect();
            format!("{} {} {}", container.container, probe.probe, fields.join(" "))
        })
    });
    probes.collect()
}

#[test]
fn a_routed_container_gets_readiness_on_its_port_by_name() {
    let app = json!({"name": "app", "image": "example/app:1", "ports": [{"containerPort": 2525, "name": "smtp"}, {"containerPort": 9}]});
    let objects = [web(app, json!({})), service(json!({"port": 25, "targetPort": 2525}))];
    let all = suggested(&objects, false);
    assert_eq!(
        told(&all[0]),
        [r#"app readiness tcpSocket={"port":"smtp"} periodSeconds=5 timeoutSeconds=3 failureThreshold=3"#]
    );
    assert_eq!(all[0].containers[0].about, "routed by service web:25 → 2525");
    assert!(all[0].containers[0].probes[0].fields.iter().all(|field| !field.reason.is_empty()));
    assert_eq!(all[0].patch["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["periodSeconds"], 5);
}

#[test]
fn a_grpc_port_is_asked_by_grpc() {
    let app = json!({"name": "app", "image": "example/app:1", "ports": [{"containerPort": 9000}]});
    let objects = [web(app, json!({})), service(json!({"port": 9000, "appProtocol": "grpc"}))];
    assert_eq!(
        told(&suggested(&objects, false)[0]),
        [r#"app readiness grpc={"port":9000} periodSeconds=5 timeoutSeconds=3 failureThreshold=3"#]
    );
}

#[test]
fn what_gets_no_traffic_ends_or_is_unknown_gets_no_probe_and_the_reason() {
    let app = json!({"name": "app", "image": "example/app:1", "ports": [{"containerPort": 80}]});
    let lonely = suggested(&[web(app.clone(), json!({}))], false);
    assert!(lonely[0].is_empty() && lonely[0].left[0].reason.contains("no service routes"), "{lonely:?}");
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work", "namespace": "team"},
        "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"restartPolicy": "Never", "containers": [app.clone()]}}}});
    let ends = suggested(&[job, service(json!({"port": 80}))], false);
    assert!(ends[0].is_empty() && ends[0].left[0].reason.contains("meant to end"), "{ends:?}");
    let clean = json!({"name": "app", "image": "example/app:1", "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80, "path": "/ok"}, "timeoutSeconds": 5}});
    let fine = suggested(&[web(clean, json!({})), service(json!({"port": 80}))], false);
    assert!(fine[0].is_empty() && fine[0].left[0].reason == "its probes have no findings", "{fine:?}");
}

#[test]
fn a_port_that_nobody_declares_is_told_and_nothing_is_invented() {
    let app = json!({"name": "app", "image": "example/app:1"});
    let all = suggested(&[web(app, json!({})), service(json!({"port": 80, "targetPort": "http"}))], false);
    assert!(all[0].is_empty(), "{all:?}");
    assert!(all[0].left[0].reason.contains("service web routes to port http, which no container declares"), "{all:?}");
}

#[test]
fn a_handler_without_findings_is_reused_and_one_with_is_not() {
    let app = |port: Value| {
        json!({"name": "app", "image": "example/app:1", "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": port, "path": "/live", "httpHeaders": [{"name": "Host", "value": "x"}]},
            "initialDelaySeconds": 60, "timeoutSeconds": 5}})
    };
    let routed = service(json!({"port": 80}));
    let all = suggested(&[web(app(json!(80)), json!({})), routed.clone()], false);
    assert_eq!(
        told(&all[0]),
        [
            r#"app readiness httpGet={"path":"/live","port":80,"httpHeaders":[{"name":"Host","value":"x"}]} periodSeconds=5 timeoutSeconds=3 failureThreshold=3"#,
            r#"app startup httpGet={"path":"/live","port":80,"httpHeaders":[{"name":"Host","value":"x"}]} periodSeconds=5 timeoutSeconds=3 failureThreshold=12"#,
            r#"app liveness httpGet={"path":"/live","port":80,"httpHeaders":[{"name":"Host","value":"x"}]} initialDelaySeconds=0 periodSeconds=10 timeoutSeconds=5 failureThreshold=6"#,
        ]
    );
    // A name that leads nowhere: the routed port is asked instead, and the old handler goes.
    let all = suggested(&[web(app(json!("htp")), json!({})), routed], false);
    let liveness = &all[0].containers[0].probes[2];
    let named = |name: &str| liveness.fields.iter().find(|field| field.name == name).unwrap();
    assert_eq!((&named("tcpSocket").value, &named("httpGet").value), (&json!({"port": 80}), &Value::Null));
    assert!(liveness.ends.contains(&"PA201"), "{liveness:?}");
}

#[test]
fn a_sidecar_that_does_not_matter_loses_its_readiness() {
    let sidecar = json!({"name": "logs", "image": "fluent/fluent-bit:3", "readinessProbe": {"httpGet": {"port": 2020, "path": "/"}}});
    let app = json!({"name": "app", "image": "example/app:1", "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80, "path": "/ok"}, "timeoutSeconds": 5}});
    let mut object = web(app, json!({}));
    object["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(sidecar);
    object["spec"]["template"]["metadata"]["annotations"] = json!({"kubeguard.dev/non-critical": "logs"});
    let all = suggested(&[object, service(json!({"port": 80}))], false);
    assert_eq!(told(&all[0]), ["logs readiness "]);
    assert_eq!(
        all[0].patch["spec"]["template"]["spec"]["containers"],
        json!([{"name": "logs", "readinessProbe": null}])
    );
}

#[test]
fn a_start_that_outlasts_the_rollouts_deadline_raises_it() {
    let app = json!({"name": "app", "image": "example/app:1", "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": 80, "path": "/live"}, "initialDelaySeconds": 500, "timeoutSeconds": 5}});
    let all =
        suggested(&[web(app, json!({"spec": {"progressDeadlineSeconds": 300}})), service(json!({"port": 80}))], false);
    assert_eq!(all[0].fields[0].name, "progressDeadlineSeconds");
    assert_eq!(all[0].patch["spec"]["progressDeadlineSeconds"], 500 + 8 + 60);
}

#[test]
fn a_liveness_that_the_new_readiness_makes_wrong_is_written_anew_or_said_to_be_left() {
    let live = |path: &str| {
        json!({"name": "app", "image": "example/app:1", "ports": [{"containerPort": 8080}],
        "livenessProbe": {"httpGet": {"port": 8080, "path": path}, "timeoutSeconds": 3, "failureThreshold": 4}})
    };
    let of = |path| suggested(&[web(live(path), json!({})), service(json!({"port": 80, "targetPort": 8080}))], false);
    let ready = of("/ready");
    let written: Vec<&str> = ready[0].containers.iter().flat_map(|it| &it.probes).map(|probe| probe.probe).collect();
    assert!(written.contains(&"liveness") || !ready[0].left.is_empty(), "{ready:#?}");
    let clean = of("/livez");
    assert!(clean[0].left.is_empty(), "{clean:#?}");
}

fn handler() -> BoxedStrategy<Value> {
    let port =
        prop_oneof![Just(json!(8080)), Just(json!(9090)), Just(json!("http")), Just(json!("nope")), Just(json!(7))];
    let path =
        prop_oneof![Just("/"), Just("/ok"), Just("/ready"), Just("/actuator/health"), Just("/healthz"), Just("/livez")];
    prop_oneof![
        4 => (port.clone(), path, proptest::bool::weighted(0.1)).prop_map(|(port, path, host)| {
            let mut get = json!({"port": port, "path": path});
            if host {
                get["host"] = json!("db.example");
            }
            json!({"httpGet": get})
        }),
        2 => port.prop_map(|port| json!({"tcpSocket": {"port": port}})),
        1 => Just(json!({"exec": {"command": ["true"]}})),
        1 => Just(json!({"exec": {"command": ["psql", "-h", "db", "-c", "select 1"]}})),
        1 => Just(json!({"exec": {"command": ["sh", "-c", "curl localhost:8080/ok"]}})),
        1 => Just(json!({"exec": {"command": ["cat", "/a", "&&", "cat", "/b"]}})),
        1 => Just(json!({"grpc": {"port": 9090}})),
    ]
    .boxed()
}

fn some_probe() -> BoxedStrategy<Option<Value>> {
    let numbers = (0_i64..70, 0_i64..30, 0_i64..12, 0_i64..12, proptest::option::of(1_i64..100));
    proptest::option::of((handler(), numbers).prop_map(|(mut handler, (delay, period, timeout, failure, grace))| {
        let numbers = [
            ("initialDelaySeconds", delay),
            ("periodSeconds", period),
            ("timeoutSeconds", timeout),
            ("failureThreshold", failure),
        ];
        for (name, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
            handler[name] = json!(number);
        }
        if let Some(grace) = grace.filter(|grace| grace % 3 == 0) {
            handler["terminationGracePeriodSeconds"] = json!(grace);
        }
        handler
    }))
    .boxed()
}

fn some_container(name: &'static str) -> BoxedStrategy<Value> {
    let image = prop_oneof![Just("example/app:1"), Just("eclipse-temurin:21-jre"), Just("gcr.io/distroless/base")];
    let ports = prop_oneof![
        Just(json!([{"containerPort": 8080, "name": "http"}])),
        Just(json!([{"containerPort": 8080}])),
        Just(json!([{"containerPort": 8080, "name": "http"}, {"containerPort": 9090, "name": "admin"}])),
        Just(json!([{"containerPort": 53, "protocol": "UDP"}])),
        Just(json!([])),
    ];
    let cpu = prop_oneof![Just(json!({})), Just(json!({"limits": {"cpu": "100m"}}))];
    (image, ports, cpu, some_probe(), some_probe(), some_probe())
        .prop_map(move |(image, ports, cpu, liveness, readiness, startup)| {
            let mut container = json!({"name": name, "image": image, "ports": ports, "resources": cpu});
            for (kind, probe) in [("livenessProbe", liveness), ("readinessProbe", readiness), ("startupProbe", startup)]
            {
                if let Some(probe) = probe {
                    container[kind] = probe;
                }
            }
            container
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Applied by either patch, what was written has no finding of medium or above.
    #[test]
    fn what_is_suggested_has_no_findings(
        app in some_container("app"),
        other in proptest::option::of(some_container("other")),
        target in prop_oneof![Just(json!({"port": 80, "targetPort": 8080})), Just(json!({"port": 80, "targetPort": "http"})),
            Just(json!({"port": 9090, "name": "grpc-api"})), Just(json!({"port": 80, "targetPort": 8080, "appProtocol": "grpc"}))],
        grace in prop_oneof![Just(30), Just(200), Just(900)],
        routed in proptest::bool::weighted(0.8),
        with_liveness in any::<bool>(),
    ) {
        let mut object = web(app, json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": grace}}}}));
        if let Some(other) = other {
            object["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(other);
        }
        let mut objects = vec![object.clone()];
        objects.extend(routed.then(|| service(target)));
        let all = suggested(&objects, with_liveness);
        let suggestion = &all[0];
        let written: Vec<&str> = suggestion.containers.iter().map(|container| container.container.as_str()).collect();
        prop_assume!(!written.is_empty());
        // What could not be written is said, and keeps what it had.
        let left: Vec<&str> = suggestion.left.iter().map(|left| left.container.as_str()).collect();
        let whole: Vec<&str> = written.into_iter().filter(|name| !left.contains(name)).collect();
        let by_operations = applied(&object, &suggestion.json_patch);
        let mut by_merge = object.clone();
        merged(&mut by_merge, &suggestion.patch);
        for after in [by_operations, by_merge] {
            let mut objects = objects.clone();
            objects[0] = after;
            let found = found(&objects, &whole);
            prop_assert!(found.is_empty() || whole.is_empty(), "{found:#?}\n{suggestion:#?}");
        }
    }
}
