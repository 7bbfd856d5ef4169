#![expect(clippy::needless_pass_by_value, reason = "json! makes values where they are used")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn spec(value: Value) -> PodSpec {
    crate::kinds::read(value).0
}

fn cpu(amount: impl ToString) -> Value {
    json!({"resources": {"requests": {"cpu": amount.to_string()}}})
}

fn sidecar(amount: impl ToString) -> Value {
    json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": amount.to_string()}}})
}

fn request(value: Value) -> Amounts {
    pod_request(&effective_resources(&spec(value), []))
}

/// The rows of the design, named as there.
#[test]
fn a_pod_requests_the_larger_of_starting_and_running() {
    for (case, pod, whole) in [
        ("request/init-above-main", json!({"initContainers": [cpu(4)], "containers": [cpu(1)]}), 4),
        ("request/mains-above-init", json!({"initContainers": [cpu(2)], "containers": [cpu(2), cpu(3)]}), 5),
        ("request/overhead", json!({"initContainers": [cpu(4)], "containers": [cpu(1)], "overhead": {"cpu": "1"}}), 5),
        ("request/one-sidecar", json!({"initContainers": [sidecar(1)], "containers": [cpu(1)]}), 2),
        (
            "request/init-then-sidecars",
            json!({"initContainers": [cpu(5), sidecar(1), sidecar(2), sidecar(3)], "containers": [cpu(1)]}),
            7,
        ),
        (
            "request/init-between-sidecars",
            json!({"initContainers": [cpu(5), sidecar(1), sidecar(2), cpu(5), sidecar(3)], "containers": [cpu(1)]}),
            8,
        ),
        (
            "request/init-after-sidecar",
            json!({"initContainers": [sidecar(10), cpu(200)], "containers": [cpu(100)]}),
            210,
        ),
    ] {
        assert_eq!(request(pod).cpu(), whole * 1000, "{case}");
    }
}

#[test]
fn a_request_of_the_whole_pod_replaces_the_sum_for_some_resources_only() {
    let container = json!({"resources": {"requests": {"cpu": "1", "example.com/gpu": "2"}}});
    let whole = json!({"requests": {"cpu": "300m", "example.com/gpu": "9"}});
    let asked = request(json!({"containers": [container], "resources": whole, "overhead": {"cpu": "50m"}}));
    assert_eq!((asked.cpu(), asked.of("example.com/gpu")), (350, 2));
    // A limit of the whole pod is its request only where no container names the resource.
    let limited = json!({"limits": {"cpu": "2", "memory": "1Gi"}});
    let asked = request(json!({"containers": [cpu("500m")], "resources": limited}));
    assert_eq!((asked.cpu(), asked.memory()), (500, 1 << 30));
}

#[test]
fn limit_ranges_fill_in_what_is_absent_in_the_apis_order() {
    let range = |item: Value| crate::kinds::read::<LimitRangeSpec>(json!({"limits": [item]})).0;
    let pod = |resources: Value| spec(json!({"containers": [{"name": "app", "resources": resources}]}));
    for (item, resources, request, limit) in [
        // A limit that is written is the request before the namespace says anything.
        (json!({"type": "Container", "defaultRequest": {"cpu": "100m"}}), json!({"limits": {"cpu": "1"}}), 1000, 1000),
        // max → default → defaultRequest; min only where that is still missing.
        (json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "50m"}}), json!({}), 2000, 2000),
        (json!({"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}), json!({}), 1000, 1000),
        (
            json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}),
            json!({}),
            100,
            1000,
        ),
        (json!({"type": "Container", "min": {"cpu": "50m"}}), json!({}), 50, 0),
        // What is there is neither raised nor lowered.
        (
            json!({"type": "Container", "min": {"cpu": "500m"}, "max": {"cpu": "1"}}),
            json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "4"}}),
            100,
            4000,
        ),
        (json!({"type": "Pod", "default": {"cpu": "1"}, "max": {"cpu": "1"}}), json!({}), 0, 0),
    ] {
        let range = range(item.clone());
        let effective = effective_resources(&pod(resources), [&range]);
        let app = effective.container("app").unwrap();
        assert_eq!((app.request("cpu").unwrap_or(0), app.limit("cpu").unwrap_or(0)), (request, limit), "{item}");
    }
    let (first, second) = (
        range(json!({"type": "Container", "default": {"cpu": "1"}})),
        range(json!({"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}})),
    );
    let effective = effective_resources(&pod(json!({})), [&first, &second]);
    assert_eq!((pod_request(&effective).cpu(), pod_request(&effective).memory()), (1000, 1 << 30));
}

#[test]
fn the_hosts_network_takes_every_port_and_what_does_not_parse_is_told() {
    let ports = json!([{"containerPort": 80}, {"containerPort": 53, "hostPort": 53, "protocol": "UDP"}]);
    let of = |host: bool| {
        effective_resources(&spec(json!({"hostNetwork": host, "containers": [{"ports": ports}]})), []).ports
    };
    assert_eq!(of(true).iter().map(|port| port.port).collect::<Vec<_>>(), [80, 53]);
    assert_eq!(of(false).iter().map(|port| (port.port, port.protocol.as_str())).collect::<Vec<_>>(), [(53, "UDP")]);
    let wrong = effective_resources(&spec(json!({"initContainers": [cpu("lots")], "containers": [cpu("1")]})), []);
    assert_eq!(wrong.unparsed[0].path, "/spec/initContainers/0/resources/requests/cpu");
    assert_eq!(pod_request(&wrong).cpu(), 1000);
}

#[test]
fn sums_are_exact_and_rounded_once() {
    let asked = request(json!({"containers": [cpu("0.0004"), cpu("0.0004"), cpu("0.0002")]}));
    assert_eq!(asked.cpu(), 1);
    let huge = request(
        json!({"containers": [{"resources": {"requests": {"memory": "16Ei"}}}, {"resources": {"requests": {"memory": "16Ei"}}}]}),
    );
    assert_eq!(huge.memory(), i64::MAX);
    assert_eq!(
        (shown("cpu", 250), shown("cpu", 2000), shown("memory", 3 << 29)),
        ("250m".into(), "2".into(), "1536Mi".into())
    );
}

proptest! {
    #[test]
    fn a_pod_never_requests_less_than_any_part_of_it(
        inits in prop::collection::vec((0..5000_i64, any::<bool>()), 0..6),
        mains in prop::collection::vec(0..5000_i64, 1..6),
    ) {
        let init = |(amount, always): &(i64, bool)| {
            let amount = format!("{amount}m");
            if *always { sidecar(amount) } else { cpu(amount) }
        };
        let pod = json!({
            "initContainers": inits.iter().map(init).collect::<Vec<_>>(),
            "containers": mains.iter().map(|amount| cpu(format!("{amount}m"))).collect::<Vec<_>>(),
        });
        let asked = request(pod).cpu();
        let running: i64 = mains.iter().sum::<i64>() + inits.iter().filter(|one| one.1).map(|one| one.0).sum::<i64>();
        let largest = inits.iter().map(|one| one.0).max().unwrap_or(0);
        prop_assert!(asked >= running && asked >= largest);
        prop_assert!(asked <= running + largest);
    }
}
