//! Processes that never outlive the test that started them, however it ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs a program until it ends or nobody holds the other end of standard input any more. A test that is killed closes
/// it like one that ends well.
const SCRIPT: &str = r#"exec 3<&0
"$@" </dev/null 3<&- &
child=$!
(cat <&3 >/dev/null; kill -KILL "$child") 2>/dev/null &
exec 3<&-
wait "$child""#;

/// A program under supervision; dropping it kills the program.
#[derive(Debug)]
pub(crate) struct Supervised {
    shell: Child,
    log: PathBuf,
    name: &'static str,
}

impl Supervised {
    /// Starts a program with its output in a log file.
    pub(crate) fn start(name: &'static str, program: &Path, args: &[String], folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("a log file in a fresh folder");
        let err = out.try_clone().expect("a second handle of the log");
        let mut command = Command::new("sh");
        command.arg("-c").arg(SCRIPT).arg("sh").arg(program).args(args);
        command.stdin(Stdio::piped()).stdout(out).stderr(err).env("HOME", folder);
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy);
        }
        Self { shell: command.spawn().expect("sh runs everywhere the control plane does"), log, name }
    }

    /// Fails the test with the end of the log when the program has ended.
    pub(crate) fn assert_running(&mut self) {
        if let Ok(Some(status)) = self.shell.try_wait() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
            panic!("{} ended with {status}:\n{tail}", self.name);
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Killed at once: nothing a test leaves behind is worth a clean end.
        drop(self.shell.wait());
    }
}
