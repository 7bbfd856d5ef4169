//! Upstream's own answer about an object: kubectl's rollout status, kstatus, and how its types are encoded.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use base64::Engine;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::programs::program;

/// What upstream says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Said {
    /// Its words.
    pub message: String,
    /// Rolled out, or Current.
    pub done: bool,
    /// kstatus' word.
    pub status: String,
    /// A random object.
    pub encoded: Option<Encoded>,
    /// Seconds at which a schedule fires.
    pub times: Vec<i64>,
    /// An error, as `ProgressDeadlineExceeded` is one to kubectl.
    pub error: String,
}

/// One object in the API server's two encodings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Encoded {
    /// As JSON.
    pub json: Value,
    /// As protobuf.
    #[serde(deserialize_with = "from_base64")]
    pub protobuf: Vec<u8>,
}

fn from_base64<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    base64::prelude::BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// The running oracle.
pub struct Oracle {
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    child: Mutex<Child>,
}

impl Oracle {
    /// Starts the oracle.
    ///
    /// # Panics
    /// When it is nowhere and cannot be built.
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new(program("oracle"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { pipes: Mutex::new((to, BufReader::new(from))), child: Mutex::new(child) }
    }

    /// Returns what `kubectl rollout status` says of a workload.
    pub fn rollout_status(&self, object: &Value) -> Said {
        self.ask(&json!({"op": "rollout-status", "object": object}))
    }

    /// Returns what kstatus says of any object.
    pub fn kstatus(&self, object: &Value) -> Said {
        self.ask(&json!({"op": "kstatus", "object": object}))
    }

    /// Returns the first instants of a schedule after a second, by the parser that the CronJob controller uses.
    pub fn schedule(&self, schedule: &str, zone: &str, after: i64, count: usize) -> Said {
        self.ask(&json!({"op": "schedule", "schedule": schedule, "zone": zone, "after": after, "count": count}))
    }

    /// Returns an object of upstream's own type with random content, the same for the same `seed`.
    ///
    /// # Panics
    /// When upstream knows no such kind.
    pub fn random(&self, api_version: &str, kind: &str, seed: u64) -> Encoded {
        let object = json!({"apiVersion": api_version, "kind": kind});
        let said = self.ask(&json!({"op": "random", "object": object, "seed": seed}));
        said.encoded.unwrap_or_else(|| panic!("{api_version} {kind}: {}", said.error))
    }

    fn ask(&self, request: &Value) -> Said {
        let mut pipes = self.pipes.lock().expect("no test panics here");
        let (to, from) = &mut *pipes;
        writeln!(to, "{request}").expect("the oracle reads");
        let mut line = String::new();
        from.read_line(&mut line).expect("the oracle answers");
        serde_json::from_str(&line).expect("the oracle answers with JSON")
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let mut child = self.child.lock().expect("no test panics here");
        drop(child.kill());
        drop(child.wait());
    }
}
