//! Random schedules read by us and by the parser that the CronJob controller uses: the same are errors, and the others
//! fire at the same instants, in every time zone.

use jiff::Timestamp;
use kubeguard_core::cron::Schedule;
use kubeguard_testkit::Oracle;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CASES: u32 = 10_000;
/// Zones with every habit: none, whole hours, half hours, half-hour daylight saving, clocks that skip midnight itself.
///
/// Pacific/Apia, which has skipped a whole day, is left out: upstream's search never ends there, ours does.
const ZONES: &[&str] =
    &["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Santiago"];

/// One field, mostly right.
fn field(least: u32, most: u32, names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let number = (least..=most).prop_map(|number| number.to_string());
    let end = prop_oneof![
        12 => number.clone(),
        1 => Just((most + 1).to_string()),
        if names.is_empty() { 1 } else { 6 } => prop::sample::select(if names.is_empty() { &["x"] } else { names }).prop_map(ToOwned::to_owned),
    ];
    let range = prop_oneof![
        4 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        4 => end.clone(),
        2 => (end.clone(), end).prop_map(|(start, end)| format!("{start}-{end}")),
    ];
    let stepped = (range, prop::option::weighted(0.3, 0_u32..20)).prop_map(|(range, step)| match step {
        Some(step) => format!("{range}/{step}"),
        None => range,
    });
    prop_oneof![
        5 => stepped.clone(),
        2 => prop::collection::vec(stepped, 1..4).prop_map(|ranges| ranges.join(",")),
    ]
}

fn schedules() -> impl Strategy<Value = String> {
    const MONTHS: &[&str] = &["jan", "FEB", "Mar", "dec"];
    const DAYS: &[&str] = &["sun", "MON", "fri", "sat"];
    let fields = (field(0, 59, &[]), field(0, 23, &[]), field(1, 31, &[]), field(1, 12, MONTHS), field(0, 6, DAYS));
    let five =
        fields.prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"));
    let descriptor = prop::sample::select(&[
        "@hourly",
        "@daily",
        "@midnight",
        "@weekly",
        "@monthly",
        "@yearly",
        "@annually",
        "@every 90m",
        "@every 1h30m10s",
        "@every 0.5s",
        "@every x",
        "@Daily",
        "@reboot",
        "",
        "* * * *",
        "* * * * * *",
        "5 4 * * 7",
        "1-2-3 * * * *",
        "1/2/3 * * * *",
    ]);
    prop_oneof![12 => five, 1 => descriptor.prop_map(ToOwned::to_owned)]
}

#[test]
fn schedules_fire_when_the_controller_says() {
    let oracle = Oracle::start();
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    // From 2010 to 2030.
    let seconds = 1_262_304_000_i64..1_893_456_000;
    let input = (schedules(), prop::sample::select(ZONES), seconds);
    let result = TestRunner::new_with_rng(config, rng).run(&input, |(text, zone, after)| {
        let theirs = oracle.schedule(&text, zone, after, 5);
        let Ok(ours) = Schedule::parse(&text, Some(zone)) else {
            prop_assert!(!theirs.error.is_empty(), "{text:?} is read by the controller");
            return Ok(());
        };
        prop_assert!(theirs.error.is_empty(), "{text:?} is not read by the controller: {}", theirs.error);
        let start = Timestamp::from_second(after).unwrap();
        let mut fired = Vec::new();
        let mut last = start;
        while fired.len() < 5 {
            let Some(next) = ours.next(last) else { break };
            fired.push(next.as_second());
            last = next;
        }
        prop_assert_eq!(fired, theirs.times, "{} in {} after {}", text, zone, start);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
