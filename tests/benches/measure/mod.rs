//! What processes cost, and how it is printed.
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a finished process used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// Peak resident memory in KiB.
    pub(crate) peak: u64,
}

/// Runs a program to its end, sampling its peak memory; one that fails has no cost to tell.
pub(crate) fn measure(command: &mut Command) -> Used {
    measure_ending(command, &[0])
}

/// Runs a program that may also end with these codes.
pub(crate) fn measure_ending(command: &mut Command, codes: &[i32]) -> Used {
    // `times` of the shell tells the CPU time of its children, to the millisecond.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#""$@" >/dev/null & child=$!; echo "$child"; wait "$child"; code=$?; times; exit $code"#, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    let start = Instant::now();
    let mut child = shell.stdout(Stdio::piped()).spawn().expect("sh starts");
    let mut out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).expect("the shell tells the pid");
    let status = format!("/proc/{}/status", line.trim());
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().expect("a child") {
            break ended;
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        peak = peak.max(high.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    };
    let wall = start.elapsed();
    assert!(ended.code().is_some_and(|code| codes.contains(&code)), "{command:?}: {ended}");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).expect("the shell ends");
    let cpu = rest.lines().last().map(|line| line.split_whitespace().map(minutes).sum()).unwrap_or_default();
    Used { wall, cpu, peak }
}

/// Reads `0m0.038s`.
fn minutes(text: &str) -> Duration {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap_or(("0", "0"));
    Duration::from_secs_f64(minutes.parse::<f64>().unwrap_or(0.0) * 60.0 + seconds.parse::<f64>().unwrap_or(0.0))
}

/// Returns the value in the middle.
pub(crate) fn median<T: Copy + Ord>(mut values: Vec<T>) -> T {
    values.sort();
    values[values.len() / 2]
}

/// Prints what something took beside what it is measured against.
pub(crate) fn row(what: &str, ours: Duration, theirs: Duration) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64().max(1e-9);
    println!("{what:<64} {:>10.1}ms {:>10.1}ms {ratio:>8.2}", ours.as_secs_f64() * 1e3, theirs.as_secs_f64() * 1e3);
}

/// Prints a number beside its limit.
pub(crate) fn limit(what: &str, value: &str, limit: &str) {
    println!("{what:<64} {value:>12} {limit:>12}");
}

/// Builds a package of another tool from its Go module under `tests/peers`; says why where it cannot be had.
pub(crate) fn peer(name: &str, package: &str) -> Option<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = tests.join("../target/peers").join(name);
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(package)
        .env("CGO_ENABLED", "0")
        .current_dir(tests.join("peers").join(name))
        .status();
    match built {
        Ok(status) if status.success() => Some(program),
        other => {
            println!("{name} is left out: go build: {other:?}");
            None
        }
    }
}

/// Returns MB.
#[expect(clippy::cast_precision_loss, reason = "memory in MB")]
pub(crate) fn kib(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}
