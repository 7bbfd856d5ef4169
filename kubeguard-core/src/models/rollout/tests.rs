//! The golden table, and what holds for every rollout.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::controller::{clean_up, scale_down};
use super::*;
use crate::kinds::IntOrString;
use crate::models::Origin;

fn seconds(value: i64) -> SignedDuration {
    SignedDuration::from_secs(value)
}

fn pace(replicas: i32, (surge, unavailable): (i32, i32), min_ready: i64, drain: i64, grace: i64) -> Pace {
    Pace {
        replicas,
        surge,
        unavailable,
        min_ready: seconds(min_ready),
        drain: Input::new(seconds(drain), Origin::Object),
        propagation: Input::new(seconds(10), Origin::Flag),
        ready_after: Input::new(seconds(5), Origin::Flag),
        grace: seconds(grace),
        rate: Rate::default(),
    }
}

fn posts(surge: Value, unavailable: Value, replicas: i32) -> (i32, i32) {
    let read = |value| serde_json::from_value::<IntOrString>(value).unwrap();
    fenceposts(Some(&read(surge)), Some(&read(unavailable)), replicas).unwrap()
}

/// N, surge, unavailable, m, D, G; then duration, most deleted in 1 s, in P, v, failed share·s, alive.
type Golden = ((i32, &'static str, &'static str, i64, i64, i64), (f64, i64, i64, f64, f64, i64));

const GOLDEN: [Golden; 8] = [
    ((60, "100%", "0%", 0, 0, 180), (6.5, 40, 60, 0.00, 10.0, 120)),
    ((60, "100%", "0%", 0, 15, 180), (6.5, 40, 60, 1.00, 0.0, 120)),
    ((60, "100%", "0%", 10, 0, 180), (16.5, 40, 60, 0.50, 5.3, 120)),
    ((60, "25%", "25%", 0, 0, 30), (11.5, 25, 45, 0.00, 11.7, 120)),
    ((60, "25%", "0%", 0, 0, 30), (21.5, 15, 30, 0.50, 10.0, 120)),
    ((60, "10%", "0%", 10, 0, 30), (154.5, 6, 6, 0.91, 9.1, 78)),
    ((60, "10%", "0%", 10, 12, 30), (154.5, 6, 6, 1.00, 0.0, 78)),
    ((400, "100%", "0%", 0, 0, 30), (38.5, 20, 200, 0.67, 6.5, 800)),
];

#[test]
fn the_golden_table() {
    for ((replicas, surge, unavailable, min_ready, drain, grace), expected) in GOLDEN {
        let both = posts(json!(surge), json!(unavailable), replicas);
        let told = format!("{replicas} {surge} {unavailable} {min_ready} {drain} {grace}");
        let timeline = simulate(&pace(replicas, both, min_ready, drain, grace)).unwrap();
        let (duration, second, window, survival, failed, alive) = expected;
        let took = SignedDuration::from_millis(timeline.duration).as_secs_f64();
        assert!((took - duration).abs() <= 0.5, "{told}: {took}");
        assert!((timeline.failed_share_seconds - failed).abs() <= 0.1, "{told}: {}", timeline.failed_share_seconds);
        assert_eq!(format!("{:.2}", timeline.survival), format!("{survival:.2}"), "{told}");
        let counted = (timeline.deleted_in_a_second, timeline.deleted_in_propagation, timeline.alive);
        assert_eq!(counted, (second, window, alive), "{told}");
    }
}

#[test]
fn fenceposts_are_those_of_the_controller() {
    assert_eq!(posts(json!("0%"), json!("0%"), 0), (0, 1));
    assert_eq!(posts(json!("39%"), json!("39%"), 10), (4, 3));
    assert_eq!(posts(json!(0), json!("25%"), 3), (0, 1));
}

#[test]
fn the_new_set_grows_into_what_is_left() {
    for ((old, new), surge, expected) in
        [((10, 0), 2, 2), ((5, 0), 2, 7), ((10, 2), 2, 2), ((2, 11), 2, 10), ((10, 0), 0, 0)]
    {
        assert_eq!(new_set_size(10, surge, old, new), expected, "{old} {new} {surge}");
    }
}

#[test]
fn old_sets_shrink_while_enough_are_available() {
    for (wanted, available, expected) in [(10, 10, 8), (10, 8, 10), (10, 1, 10), (0, 0, 0)] {
        let mut left = [wanted];
        scale_down(&[SetCounts { wanted, available }], &mut left, 8, 0);
        assert_eq!(left, [expected], "{wanted} {available}");
    }
    for (available, limit, expected) in [(8, 1, 1), (8, 3, 2), (8, 0, 0), (10, 3, 0)] {
        let mut left = [10];
        clean_up(&[SetCounts { wanted: 10, available }], &mut left, limit);
        assert_eq!(10 - left[0], expected, "{available} {limit}");
    }
}

#[test]
fn a_set_that_was_seen_and_says_nothing_makes_the_sum_unknown() {
    let two = [(1, Some(3)), (1, Some(1))];
    assert_eq!(terminating(&two), Some(4));
    assert_eq!(terminating(&[&two[..], &[(0, None)]].concat()), Some(4));
    assert_eq!(terminating(&[&two[..], &[(1, None)]].concat()), None);
}

#[test]
fn numbers_that_no_rollout_has_are_refused() {
    let good = pace(3, (1, 0), 0, 0, 30);
    let refused = |pace: Pace| simulate(&pace).unwrap_err();
    assert_eq!(refused(Pace { replicas: -1, ..good.clone() }), Impossible::Negative("replicas"));
    assert_eq!(refused(Pace { surge: 0, ..good.clone() }), Impossible::NoRoom);
    let rate = Rate { per_second: 0, burst: 30 };
    assert_eq!(refused(Pace { rate, ..good.clone() }), Impossible::NoRate);
    assert_eq!(refused(Pace { min_ready: SignedDuration::MAX, ..good.clone() }), Impossible::TooLong);
    assert_eq!(simulate(&Pace { replicas: 0, ..good }).unwrap().duration, 0);
}

#[test]
fn the_fastest_and_the_leanest_setting() {
    let ends = tune(&pace(60, (60, 0), 0, 0, 30), 0.95, None).unwrap();
    let told: Vec<_> = ends.iter().map(|end| (end.timeline.duration, end.timeline.alive)).collect();
    assert_eq!(told.first(), Some(&(6500, 120)));
    assert!(ends.len() == 2 && told[1].1 < 84, "{ends:?}");
    assert!(ends.iter().all(|end| end.timeline.survival >= 0.95));
    let narrow = tune(&pace(60, (60, 0), 0, 0, 30), 0.95, Some(6)).unwrap();
    assert!(narrow.iter().all(|end| end.timeline.alive <= 120 && end.setting.max_surge != "100%"));
}

#[test]
fn ten_thousand_replicas() {
    let timeline = simulate(&pace(10_000, (2500, 2500), 10, 0, 30)).unwrap();
    assert!(timeline.duration > 0);
}

proptest! {
    #[test]
    fn whatever_the_pace_the_loss_is_bounded(
        replicas in 1..300_i32, surge in 0..300_i32, missing in 0..300_i32, min_ready in 0..30_i64,
        drain in 0..10_i64, more in 1..20_i64, ready in 1..20_i64,
    ) {
        let unavailable = missing % replicas;
        prop_assume!(surge + unavailable > 0);
        let propagation = drain + more;
        let mut pace = pace(replicas, (surge, unavailable), min_ready, drain, 60);
        pace.propagation.value = seconds(propagation);
        pace.ready_after.value = seconds(ready);
        let timeline = simulate(&pace)?;
        let [all, surge, unavailable, more] =
            [replicas, surge.min(replicas), unavailable, i32::try_from(more)?].map(f64::from);
        let lost = timeline.failed_share_seconds;
        prop_assert!(lost >= more * all / (all + surge) - 0.3, "{lost}");
        prop_assert!(lost <= more * all / (all - unavailable) + 0.3, "{lost}");
        prop_assert!(timeline.survival < 1.0);
        pace.drain.value = seconds(propagation);
        prop_assert!(simulate(&pace)?.survival >= 1.0);
    }
}
