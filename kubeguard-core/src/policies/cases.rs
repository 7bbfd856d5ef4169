//! What each bundle must admit, change and refuse: the proof that a policy does what it says.

use serde_json::{Value, json};

use super::settings::PolicySettings;
use crate::kinds::Quantity;

/// One request, and what the server must answer once the bundle is enforced.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// What is asked of the server.
    pub act: Act,
    /// Whether it happens in a namespace that no policy judges.
    pub exempt: bool,
    /// The answer.
    pub expected: Expected,
}

/// What is asked of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Create an object; its namespace is that of the test.
    Create(Value),
    /// Change an object that exists, by a merge patch: any object of this kind, however bad it is.
    Touch {
        /// As in `apps/v1`.
        api_version: &'static str,
        /// As in `DaemonSet`.
        kind: &'static str,
        /// RFC 7386.
        patch: Value,
    },
}

/// What the server must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Yes.
    Admitted,
    /// No, with these words in the message.
    Refused(String),
    /// Yes, and the field behind this pointer has this value then.
    Changed(String, Value),
}

/// Returns the cases of a bundle.
pub(super) fn of(bundle: &str, settings: &PolicySettings) -> Vec<Case> {
    match bundle {
        "daemonset" => daemonset(settings),
        "daemonset-quota" => {
            vec![refused("a DaemonSet of a tenant", daemon(&json!({})), "exceeded quota: kubeguard-no-daemonsets")]
        }
        "surge" => surge(),
        "hpa" => autoscaler(settings),
        "start-order" => start_order(),
        "field-ref" => field_ref(),
        "gomaxprocs" => gomaxprocs(),
        "zone" => zone(),
        _ => Vec::new(),
    }
}

fn admitted(name: &str, object: Value) -> Case {
    Case { name: name.to_owned(), act: Act::Create(object), exempt: false, expected: Expected::Admitted }
}

fn refused(name: &str, object: Value, says: &str) -> Case {
    Case { expected: Expected::Refused(says.to_owned()), ..admitted(name, object) }
}

fn exempt(name: &str, object: Value) -> Case {
    Case { exempt: true, ..admitted(name, object) }
}

fn touched(name: &str, api_version: &'static str, kind: &'static str, patch: Value) -> Case {
    let act = Act::Touch { api_version, kind, patch };
    Case { name: name.to_owned(), act, exempt: false, expected: Expected::Admitted }
}

/// Returns `base` with `change` merged in, as a merge patch (RFC 7386) would.
fn with(mut base: Value, change: &Value) -> Value {
    merge(&mut base, change);
    base
}

fn merge(base: &mut Value, change: &Value) {
    let Some(change) = change.as_object() else { return base.clone_from(change) };
    if !base.is_object() {
        *base = json!({});
    }
    let Some(base) = base.as_object_mut() else { return };
    for (key, value) in change {
        if value.is_null() {
            base.remove(key);
        } else {
            merge(base.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A workload of one container, with its pod spec changed.
fn workload(api_version: &str, kind: &str, spec: &Value, pod: &Value) -> Value {
    let container = json!({"name": "app", "image": "registry.k8s.io/pause:3.10",
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}}});
    let base = json!({
        "apiVersion": api_version, "kind": kind, "metadata": {"name": "kubeguard-case"},
        "spec": {
            "selector": {"matchLabels": {"app": "kubeguard-case"}},
            "template": {"metadata": {"labels": {"app": "kubeguard-case"}}, "spec": {"containers": [container]}},
        },
    });
    with(base, &json!({"spec": with(spec.clone(), &json!({"template": {"spec": pod}}))}))
}

fn daemon(pod: &Value) -> Value {
    workload("apps/v1", "DaemonSet", &json!({}), pod)
}

fn deployment(spec: &Value, pod: &Value) -> Value {
    workload("apps/v1", "Deployment", spec, pod)
}

/// A Job's selector is the controller's.
fn job(pod: &Value) -> Value {
    with(
        workload("batch/v1", "Job", &json!({}), &with(json!({"restartPolicy": "Never"}), pod)),
        &json!({"spec": {"selector": null}}),
    )
}

fn cron_job(pod: &Value) -> Value {
    let job = job(pod);
    json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "kubeguard-case"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job["spec"]}}})
}

/// A container that asks for so much.
fn container(resources: &Value, more: &Value) -> Value {
    with(json!({"name": "app", "image": "registry.k8s.io/pause:3.10", "resources": resources}), more)
}

/// Returns a multiple of an amount, in percent.
fn share(amount: &Quantity, percent: i128) -> String {
    Quantity::whole(amount.nanos().unwrap_or_default().saturating_mul(percent) / 100).to_string()
}

fn daemonset(settings: &PolicySettings) -> Vec<Case> {
    let gate = &settings.daemon_sets;
    let asks = |cpu: i128, memory: i128, pod: &Value| {
        let memory = share(&gate.max_memory, memory);
        let resources =
            json!({"requests": {"cpu": share(&gate.max_cpu, cpu), "memory": memory}, "limits": {"memory": memory}});
        daemon(&with(json!({"containers": [container(&resources, &json!({}))]}), pod))
    };
    let review = "DaemonSet needs review";
    let half = |list: &str| {
        let amount = share(&gate.max_cpu, 60);
        let memory = share(&gate.max_memory, 10);
        let one = container(&json!({"requests": {"cpu": amount}, "limits": {"memory": memory}}), &json!({}));
        let other = with(
            one.clone(),
            &json!({"name": "side", "restartPolicy": if list == "initContainers" { json!("Always") } else { Value::Null }}),
        );
        match list {
            "initContainers" => json!({"containers": [one], "initContainers": [other]}),
            _ => json!({"containers": [one, other]}),
        }
    };
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}}});
    let mut cases = vec![
        admitted("a small set", asks(50, 50, &json!({}))),
        refused("nearly twice the budget of cpu", asks(180, 50, &json!({})), review),
        refused("nearly twice the budget of memory", asks(50, 180, &json!({})), review),
        refused("two containers that are too much together", daemon(&half("containers")), review),
        refused("a native sidecar that is too much beside the container", daemon(&half("initContainers")), review),
        refused(
            "a container without a memory limit",
            daemon(&json!({"containers": [container(&json!({"requests": {"cpu": "1m"}}), &json!({}))]})),
            "every container needs a memory limit and a cpu request",
        ),
        refused("a toleration without a key", asks(50, 50, &json!({"tolerations": [{"operator": "Exists"}]})), review),
        refused(
            "an approval that nobody gave",
            with(asks(180, 50, &json!({})), &json!({"metadata": {"annotations": {"kubeguard.dev/approved": "by me"}}})),
            "only a reviewer may write kubeguard.dev/approved",
        ),
        touched("a restart", "apps/v1", "DaemonSet", restart),
        touched("labels of the object", "apps/v1", "DaemonSet", json!({"metadata": {"labels": {"team": "other"}}})),
        exempt("twice the budget in an exempt namespace", asks(200, 50, &json!({}))),
    ];
    if gate.priority_classes.is_some() {
        let pod = json!({"priorityClassName": "system-node-critical"});
        cases.push(refused("a priority class that is not listed", asks(50, 50, &pod), review));
    }
    if gate.host_ports.is_some() {
        let amount = json!({"requests": {"cpu": "1m"}, "limits": {"memory": "1Mi"}});
        let port = json!({"ports": [{"containerPort": 61999, "hostPort": 61999}]});
        cases.push(refused(
            "a host port that is not listed",
            daemon(&json!({"containers": [container(&amount, &port)]})),
            review,
        ));
    }
    if let Some(paths) = &gate.host_paths {
        let volume = |path: &str| json!({"volumes": [{"name": "host", "hostPath": {"path": path}}]});
        cases.push(refused("a host path that is not listed", asks(50, 50, &volume("/kubeguard-case")), review));
        if let Some(path) = paths.first() {
            cases.push(refused(
                "a host path that only begins alike",
                asks(50, 50, &volume(&format!("{path}-other"))),
                review,
            ));
            cases.push(admitted(
                "what lies below a host path that is listed",
                asks(50, 50, &volume(&format!("{path}/below"))),
            ));
        }
    }
    cases
}

fn surge() -> Vec<Case> {
    let paced = |replicas: u32, surge: &Value| {
        let update = json!({"maxSurge": surge, "maxUnavailable": 1});
        deployment(
            &json!({"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": update}}),
            &json!({}),
        )
    };
    vec![
        admitted("the defaults", deployment(&json!({"replicas": 4}), &json!({}))),
        admitted("a quarter at a time", paced(60, &json!("25%"))),
        admitted("as a number", paced(60, &json!(59))),
        admitted("one replica", paced(1, &json!("100%"))),
        admitted("Recreate", deployment(&json!({"replicas": 4, "strategy": {"type": "Recreate"}}), &json!({}))),
        refused("all at once", paced(60, &json!("100%")), "replaces all 60 pods at once"),
        refused("all at once, as a number", paced(60, &json!(60)), "replaces all 60 pods at once"),
        refused("more than there are", paced(2, &json!("150%")), "replaces all 2 pods at once"),
        touched("labels of the object", "apps/v1", "Deployment", json!({"metadata": {"labels": {"team": "other"}}})),
        exempt("all at once in an exempt namespace", paced(60, &json!("100%"))),
    ]
}

fn autoscaler(settings: &PolicySettings) -> Vec<Case> {
    let ratio = settings.autoscalers.max_ratio;
    let scaler = |least: Option<u32>, most: u32| {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "kubeguard-case"},
            "spec": with(json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": most,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]}),
                &json!({"minReplicas": least}))})
    };
    vec![
        admitted("up to the ratio", scaler(Some(3), 3 * ratio)),
        refused("above the ratio", scaler(Some(3), 3 * ratio + 1), "times minReplicas 3"),
        admitted("a least number that is left out is one", scaler(None, ratio)),
        refused("above the ratio of one", scaler(None, ratio + 1), "times minReplicas 1"),
        touched(
            "labels of the object",
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"metadata": {"labels": {"team": "other"}}}),
        ),
        exempt("above the ratio in an exempt namespace", scaler(Some(1), ratio + 1)),
    ]
}

fn start_order() -> Vec<Case> {
    // What another policy asks of a DaemonSet is there: each case is about one thing.
    let resources = json!({"requests": {"cpu": "1m"}, "limits": {"memory": "1Mi"}});
    let sidecar = |more: &Value| {
        let own = json!({"name": "proxy", "restartPolicy": "Always"});
        json!({"initContainers": [container(&resources, &with(own, more))]})
    };
    let probe = json!({"startupProbe": {"httpGet": {"path": "/ready", "port": 15021}}});
    let hook = json!({"lifecycle": {"postStart": {"exec": {"command": ["wait"]}}}});
    let says = "sidecar proxy has neither startupProbe nor postStart";
    vec![
        admitted("no sidecar", deployment(&json!({}), &json!({}))),
        admitted(
            "a regular init container",
            deployment(&json!({}), &json!({"initContainers": [container(&json!({}), &json!({"name": "migrate"}))]})),
        ),
        admitted("a sidecar with a startupProbe", deployment(&json!({}), &sidecar(&probe))),
        admitted("a sidecar with a postStart hook", deployment(&json!({}), &sidecar(&hook))),
        refused("a sidecar without a gate", deployment(&json!({}), &sidecar(&json!({}))), says),
        refused("the same in a DaemonSet", daemon(&sidecar(&json!({}))), says),
        refused("the same in a Job", job(&sidecar(&json!({}))), says),
        refused("the same in a CronJob", cron_job(&sidecar(&json!({}))), says),
        touched("labels of the object", "apps/v1", "Deployment", json!({"metadata": {"labels": {"team": "other"}}})),
        exempt("a sidecar without a gate in an exempt namespace", deployment(&json!({}), &sidecar(&json!({})))),
    ]
}

fn field_ref() -> Vec<Case> {
    let reads = |name: &str, field: &Value, limits: &Value| {
        let reference = with(json!({"resource": "limits.cpu"}), field);
        let env = json!([{"name": name, "valueFrom": {"resourceFieldRef": reference}}]);
        json!({"containers": [container(&json!({"limits": limits}), &json!({"env": env}))]})
    };
    let (none, two) = (json!({}), json!({"cpu": "2"}));
    let beside = json!({"containers": [
        container(&json!({}), &json!({"env": [{"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {"containerName": "side", "resource": "limits.cpu"}}}]})),
        container(&json!({"limits": two}), &json!({"name": "side"})),
    ]});
    let of_deployment = |pod: &Value| deployment(&json!({}), pod);
    vec![
        admitted("a limit is there to be read", of_deployment(&reads("GOMAXPROCS", &json!({}), &two))),
        admitted("another container's limit is read", of_deployment(&beside)),
        admitted(
            "the pod has a limit",
            of_deployment(&with(reads("GOMAXPROCS", &json!({}), &none), &json!({"resources": {"limits": two}}))),
        ),
        refused(
            "no limit to be read",
            of_deployment(&reads("GOMAXPROCS", &json!({}), &none)),
            "container app reads limits.cpu where no cpu limit is set",
        ),
        refused(
            "no limit to be read, in a CronJob",
            cron_job(&reads("ANY", &json!({}), &none)),
            "container app reads limits.cpu where no cpu limit is set",
        ),
        refused(
            "threads in thousandths",
            of_deployment(&reads("GOMAXPROCS", &json!({"divisor": "1m"}), &two)),
            "container app reads its number of threads with divisor 1m",
        ),
        admitted(
            "thousandths for a program that wants them",
            of_deployment(&reads("MILLI_CPU", &json!({"divisor": "1m"}), &two)),
        ),
        touched("labels of the object", "apps/v1", "Deployment", json!({"metadata": {"labels": {"team": "other"}}})),
        exempt("no limit to be read in an exempt namespace", of_deployment(&reads("GOMAXPROCS", &json!({}), &none))),
    ]
}

fn gomaxprocs() -> Vec<Case> {
    let pod = |resources: &Value, more: &Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kubeguard-case"},
            "spec": {"containers": [container(resources, more)]}})
    };
    let limit = json!({"limits": {"cpu": "2500m"}});
    let added =
        json!({"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {"divisor": "0", "resource": "limits.cpu"}}});
    let changed = |name: &str, object: Value, pointer: &str, value: Value| Case {
        expected: Expected::Changed(pointer.to_owned(), value),
        ..admitted(name, object)
    };
    let own = json!({"env": [{"name": "GOMAXPROCS", "value": "4"}]});
    let other = json!({"env": [{"name": "MODE", "value": "fast"}]});
    vec![
        changed("a limit and no environment", pod(&limit, &json!({})), "/spec/containers/0/env/0", added.clone()),
        changed("a limit and another variable", pod(&limit, &other), "/spec/containers/0/env/1", added),
        changed("a number of its own stays", pod(&limit, &own), "/spec/containers/0/env", own["env"].clone()),
        changed("no limit to be read", pod(&json!({}), &json!({})), "/spec/containers/0/env", Value::Null),
        Case {
            exempt: true,
            ..changed("a limit in an exempt namespace", pod(&limit, &json!({})), "/spec/containers/0/env", Value::Null)
        },
    ]
}

fn zone() -> Vec<Case> {
    let spread = |replicas: u32, constraint: &Value| {
        let own = json!({"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "kubeguard-case"}}});
        deployment(&json!({"replicas": replicas}), &json!({"topologySpreadConstraints": [with(own, constraint)]}))
    };
    let says = "no topologySpreadConstraint on topology.kubernetes.io/zone";
    vec![
        admitted("spread over zones", spread(3, &json!({}))),
        admitted("two replicas", deployment(&json!({"replicas": 2}), &json!({}))),
        refused("three replicas and nothing", deployment(&json!({"replicas": 3}), &json!({})), says),
        refused("spread over nodes alone", spread(3, &json!({"topologyKey": "kubernetes.io/hostname"})), says),
        refused(
            "a selector that misses its own pods",
            spread(3, &json!({"labelSelector": {"matchLabels": {"app": "other"}}})),
            says,
        ),
        refused("no selector", spread(3, &json!({"labelSelector": null})), says),
        touched("labels of the object", "apps/v1", "Deployment", json!({"metadata": {"labels": {"team": "other"}}})),
        exempt("three replicas and nothing in an exempt namespace", deployment(&json!({"replicas": 3}), &json!({}))),
    ]
}
