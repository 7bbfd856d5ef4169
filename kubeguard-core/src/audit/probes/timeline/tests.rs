//! The golden lines of the document and the kubelet's edges.

#![expect(clippy::needless_pass_by_value, reason = "json! makes values where they are used")]

use serde_json::json;

use super::*;
use crate::pods::members;

fn of(spec: serde_json::Value, question: &Question) -> Timeline {
    let spec: PodSpec = crate::kinds::read(spec).0;
    let member = members(&spec).find(|member| member.container.name == "app").unwrap();
    timeline(&spec, &member, question)
}

fn probe(more: serde_json::Value) -> serde_json::Value {
    let mut probe = json!({"httpGet": {"port": 8080, "path": "/ok"}, "periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3});
    for (key, value) in more.as_object().unwrap() {
        probe[key] = value.clone();
    }
    probe
}

fn pod(container: serde_json::Value) -> serde_json::Value {
    let mut app = json!({"name": "app"});
    for (key, value) in container.as_object().unwrap() {
        app[key] = value.clone();
    }
    json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "containers": [app]})
}

/// Returns when each event happens, with its meaning.
fn told(timeline: &Timeline) -> Vec<String> {
    timeline.events.iter().map(|event| format!("{} {:?}", event.at, event.means)).collect()
}

fn seen() -> StartTimes {
    StartTimes { p50: 12, p95: 26, max: 30, count: 20 }
}

#[test]
fn equal_probes_of_a_hang_flip_together_and_the_order_is_not_certain() {
    let spec = pod(json!({"livenessProbe": probe(json!({})), "readinessProbe": probe(json!({}))}));
    let question = Question { observed: Some(seen()), services: vec!["web".to_owned()], ..Question::of(Fault::Hang) };
    let timeline = of(spec, &question);
    assert_eq!(
        told(&timeline),
        ["0 s Fault", "20 – 31 s Drained", "20 – 31 s Killed", "50 – 61 s Gone", "62 – 98 s Ready"]
    );
    let texts: Vec<&str> = timeline.events.iter().map(|event| event.what.as_str()).collect();
    assert!(texts[1].contains("3 × 10 s, timeout 1 s") && texts[1].contains("the pod leaves service web"), "{texts:?}");
    assert!(texts[2].contains("the order is not certain (PA301)"), "{texts:?}");
    assert_eq!(
        timeline.advice.as_deref(),
        Some("with failureThreshold 9 on liveness of app: drained at 20 – 31 s, killed at 80 – 91 s")
    );
}

#[test]
fn a_slower_liveness_kills_after_the_drain() {
    let spec = pod(json!({"livenessProbe": probe(json!({"failureThreshold": 9})), "readinessProbe": probe(json!({}))}));
    let timeline = of(spec, &Question::of(Fault::Hang));
    assert_eq!(timeline.first(Means::Drained).unwrap().at, Span::from((20, 31)));
    assert_eq!(timeline.first(Means::Killed).unwrap().at, Span::from((80, 91)));
    assert!(timeline.first(Means::Killed).unwrap().what.contains("after the pod has left its services"));
    assert_eq!(timeline.advice, None);
}

#[test]
fn a_timeout_above_the_period_stretches_it() {
    let spec = pod(json!({"readinessProbe": probe(json!({"periodSeconds": 5, "timeoutSeconds": 8}))}));
    let timeline = of(spec, &Question::of(Fault::Hang));
    assert_eq!(timeline.first(Means::Drained).unwrap().at, Span::from((16, 32)));
}

#[test]
fn a_connection_does_not_notice_a_hang() {
    let tcp = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3});
    let spec = pod(json!({"livenessProbe": tcp, "readinessProbe": tcp}));
    let timeline = of(spec, &Question::of(Fault::Hang));
    assert_eq!(told(&timeline), ["0 s Fault", "0 s – Stays"]);
    assert!(timeline.events[1].what.contains("nothing notices"), "{timeline:?}");
    assert_eq!(timeline.notes.len(), 2);
}

#[test]
fn a_hang_that_is_over_soon_is_not_noticed_and_one_that_lasts_heals() {
    let spec = pod(json!({"readinessProbe": probe(json!({"successThreshold": 2}))}));
    let soon = Question { lasts: Some(15), ..Question::of(Fault::Hang) };
    assert_eq!(told(&of(spec.clone(), &soon)), ["0 s Fault", "15 s Ends"]);
    let long = Question { lasts: Some(60), ..Question::of(Fault::Hang) };
    assert_eq!(told(&of(spec.clone(), &long)), ["0 s Fault", "20 – 31 s Drained", "60 s Ends", "70 – 80 s Ready"]);
    let ever = of(spec, &Question::of(Fault::Hang));
    assert_eq!(told(&ever), ["0 s Fault", "20 – 31 s Drained", "31 s – Stays"]);
}

#[test]
fn the_grace_is_the_probes_own_and_the_hook_runs_inside_of_it() {
    let hook = json!({"preStop": {"sleep": {"seconds": 5}}});
    let with = |grace: Option<i64>, pod_grace: i64, seconds: i64| {
        let mut liveness = probe(json!({}));
        if let Some(grace) = grace {
            liveness["terminationGracePeriodSeconds"] = json!(grace);
        }
        let mut hook = hook.clone();
        hook["preStop"]["sleep"]["seconds"] = json!(seconds);
        let mut spec = pod(json!({"livenessProbe": liveness, "lifecycle": hook}));
        spec["terminationGracePeriodSeconds"] = json!(pod_grace);
        of(spec, &Question::of(Fault::Hang)).first(Means::Gone).unwrap().at
    };
    assert_eq!(with(None, 30, 5), Span::from((50, 61)));
    assert_eq!(with(Some(10), 3600, 5), Span::from((30, 41)));
    // The kubelet leaves at least two seconds between the signals.
    assert_eq!(with(None, 30, 60), Span::from((52, 63)));
    assert_eq!(with(None, 0, 5), Span::from((22, 33)));
}

#[test]
fn what_is_not_restarted_stays_down() {
    let mut spec = pod(json!({"livenessProbe": probe(json!({}))}));
    spec["restartPolicy"] = json!("Never");
    let hang = of(spec.clone(), &Question::of(Fault::Hang));
    assert_eq!(told(&hang), ["0 s Fault", "20 – 31 s Killed", "50 – 61 s Gone", "50 – 61 s Stays"]);
    assert_eq!(told(&of(spec.clone(), &Question::of(Fault::Crash))), ["0 s Fault", "0 – 1 s Drained", "0 s Stays"]);
    // A native sidecar is always started again, whatever the pod's policy.
    let mut app = spec["containers"][0].clone();
    app["restartPolicy"] = json!("Always");
    let spec = json!({"restartPolicy": "Never", "initContainers": [app], "containers": [{"name": "work"}]});
    let crash = of(spec, &Question::of(Fault::Crash));
    assert_eq!(told(&crash), ["0 s Fault", "0 – 1 s Drained", "0 s Restarted", "0 s Ready"]);
    assert!(crash.notes.iter().any(|note| note.contains("native sidecar")), "{crash:?}");
}

#[test]
fn an_init_container_has_no_timeline() {
    let spec =
        json!({"restartPolicy": "Always", "initContainers": [{"name": "app"}], "containers": [{"name": "work"}]});
    let timeline = of(spec, &Question::of(Fault::Crash));
    assert!(timeline.events.is_empty() && timeline.notes.len() == 1);
}

#[test]
fn a_crash_is_back_after_start_and_readiness_and_a_lasting_one_after_the_back_off() {
    let spec = pod(json!({
        "readinessProbe": probe(json!({"initialDelaySeconds": 5})),
        "startupProbe": probe(json!({"failureThreshold": 6})),
    }));
    let once = of(spec.clone(), &Question::of(Fault::Crash));
    // B 60 + T_ready 5 + 10 + 1; not before the delay, which counts from the start of the container.
    assert_eq!(told(&once), ["0 s Fault", "0 – 1 s Drained", "0 s Restarted", "5 – 76 s Ready"]);
    let lasting = of(spec, &Question { lasts: Some(60), ..Question::of(Fault::Crash) });
    assert_eq!(
        told(&lasting),
        [
            "0 s Fault",
            "0 – 1 s Drained",
            "0 s Restarted",
            "10 s Restarted",
            "30 s Restarted",
            "60 s Ends",
            "70 s Restarted",
            "75 – 146 s Ready"
        ]
    );
}

#[test]
fn an_outage_of_a_dependency_takes_every_pod_out_and_ends_with_recovery() {
    let spec = pod(json!({"readinessProbe": probe(json!({}))}));
    let question = Question { lasts: Some(300), replicas: Some(3), ..Question::of(Fault::Dependency) };
    let timeline = of(spec, &question);
    // Refused at the earliest, hanging at the latest.
    assert_eq!(told(&timeline), ["0 s Fault", "20 – 31 s Drained", "300 s Ends", "300 – 310 s Ready"]);
    assert!(timeline.events[1].what.contains("all 3 pods leave its services: no endpoint is left"), "{timeline:?}");
    assert_eq!(timeline.assumptions.len(), 1, "{timeline:?}");
}

#[test]
fn liveness_that_asks_a_dependency_restarts_until_it_is_back_and_beyond() {
    let spec =
        pod(json!({"livenessProbe": probe(json!({"httpGet": null, "exec": {"command": ["pg_isready", "-h", "db"]}}))}));
    let question = Question { lasts: Some(120), ..Question::of(Fault::Dependency) };
    let timeline = of(spec, &question);
    let kills: Vec<String> =
        timeline.events.iter().filter(|e| e.means == Means::Killed).map(|e| e.at.to_string()).collect();
    assert_eq!(kills[..2], ["20 – 31 s", "40 – 92 s"], "{timeline:#?}");
    let ready = timeline.first(Means::Ready).unwrap();
    // At most five kills at 20, 40, 70, 110 s and with them 40 s of back-off, after 30 s of grace;
    // an attempt that began before the end may fail a second later.
    assert_eq!((ready.at.earliest, ready.at.latest), (120, Some(120 + 1 + 30 + 40)), "{timeline:#?}");
    assert!(ready.what.contains("120 s of it cost 120 – 191 s"), "{}", ready.what);
    let forever = of(
        pod(json!({"livenessProbe": probe(json!({"tcpSocket": {"port": 1, "host": "db"}, "httpGet": null}))})),
        &Question::of(Fault::Dependency),
    );
    assert_eq!(forever.events.last().unwrap().at.latest, None);
}

#[test]
fn a_start_beyond_the_budget_is_killed_again_and_again() {
    let startup = pod(json!({
        "readinessProbe": probe(json!({})), "livenessProbe": probe(json!({"failureThreshold": 9})),
        "startupProbe": probe(json!({"initialDelaySeconds": 5, "failureThreshold": 6})),
    }));
    let takes = |takes: i64| Question { takes, ..Question::of(Fault::SlowStart) };
    // d + (f − 1)·p = 55, B = 65.
    let passes = of(startup.clone(), &takes(50));
    assert_eq!(told(&passes), ["0 s Fault", "50 – 71 s Ready"]);
    assert!(passes.notes.iter().any(|note| note.contains("5 s are left")), "{passes:?}");
    let killed = of(startup.clone(), &takes(66));
    assert_eq!(killed.first(Means::Killed).unwrap().at, Span::from((55, 65)));
    assert!(killed.notes.iter().any(|note| note.contains("never becomes ready")), "{killed:?}");
    let may = of(startup, &takes(60));
    assert!(may.notes.iter().any(|note| note.contains("it may just pass")), "{may:?}");
    // Without a startup probe: d_L + T_max(L).
    let liveness =
        pod(json!({"livenessProbe": probe(json!({"initialDelaySeconds": 30})), "readinessProbe": probe(json!({}))}));
    assert_eq!(of(liveness.clone(), &takes(62)).first(Means::Killed).unwrap().at, Span::from((50, 61)));
    assert_eq!(told(&of(liveness, &takes(49))), ["0 s Fault", "49 – 60 s Ready"]);
    // With nothing, traffic comes before the answer.
    let none = of(pod(json!({})), &takes(49));
    assert_eq!(told(&none), ["0 s Fault", "0 s Ready"]);
}

#[test]
fn under_load_only_probes_with_less_patience_fail() {
    let spec = pod(json!({
        "livenessProbe": probe(json!({"timeoutSeconds": 5, "failureThreshold": 6})), "readinessProbe": probe(json!({})),
    }));
    let question = Question { takes: 3, lasts: Some(100), ..Question::of(Fault::Overload) };
    let timeline = of(spec, &question);
    assert_eq!(told(&timeline), ["0 s Fault", "20 – 31 s Drained", "100 s Ends", "100 – 110 s Ready"]);
    assert!(
        timeline.notes.iter().any(|note| note.contains("liveness still passes: its timeout is 5 s")),
        "{timeline:?}"
    );
}

#[test]
fn whatever_the_numbers_spans_are_in_order_and_probes_notice_no_sooner_than_their_threshold() {
    use proptest::prelude::*;
    proptest!(|(p in 1_u32..40, t in 1_u32..40, f in 1_u32..10, d in 0_u32..60, grace in 0_i64..100, fault in 0_usize..5,
                lasts in proptest::option::of(1_i64..4000))| {
        let one = json!({"httpGet": {"port": 1}, "periodSeconds": p, "timeoutSeconds": t, "failureThreshold": f, "initialDelaySeconds": d});
        let mut spec = pod(json!({"livenessProbe": one, "readinessProbe": one, "startupProbe": one}));
        spec["terminationGracePeriodSeconds"] = json!(grace);
        let question = Question { lasts, ..Question::of(Fault::ALL[fault]) };
        let timeline = of(spec, &question);
        for event in &timeline.events {
            prop_assert!(event.at.earliest >= 0);
            prop_assert!(event.at.latest.is_none_or(|latest| latest >= event.at.earliest), "{event:?}");
        }
        if fault != 0 && let Some(killed) = timeline.first(Means::Killed) {
            prop_assert!(killed.at.earliest >= i64::from((f - 1) * p));
        }
    });
}
