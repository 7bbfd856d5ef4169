//! Upstream's own answer about an object: kubectl's rollout status, and kstatus.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

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
    /// An error, as `ProgressDeadlineExceeded` is one to kubectl.
    pub error: String,
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
        self.ask("rollout-status", object)
    }

    /// Returns what kstatus says of any object.
    pub fn kstatus(&self, object: &Value) -> Said {
        self.ask("kstatus", object)
    }

    fn ask(&self, op: &str, object: &Value) -> Said {
        let mut pipes = self.pipes.lock().expect("no test panics here");
        let (to, from) = &mut *pipes;
        writeln!(to, "{}", json!({"op": op, "object": object})).expect("the oracle reads");
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
