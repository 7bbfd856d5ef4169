//! Runs the plugin's binary.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kubeguard_testkit::ControlPlane;
use serde_json::Value;

/// What a run of the plugin left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Returns the report of `-o json`.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the first item of the report.
    pub(crate) fn item(&self) -> Value {
        self.report()["items"][0].clone()
    }
}

fn command(kubeconfig: &Path, args: &[&str]) -> Command {
    command_of("kubectl-wait_deploy", kubeconfig, args)
}

fn command_of(program: &str, kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(kubeguard_testkit::plugin(program));
    command.args(args).env("KUBECONFIG", kubeconfig).env("CI", "1").stdin(Stdio::null());
    command
}

/// Runs the plugin as administrator.
pub(crate) fn wait_deploy(args: &[&str]) -> Ran {
    wait_deploy_as(ControlPlane::shared().kubeconfig(), args)
}

/// Runs another plugin.
pub(crate) fn run(program: &str, kubeconfig: &Path, args: &[&str]) -> Ran {
    ran(&command_of(program, kubeconfig, args).output().expect("the plugin starts"))
}

/// Runs the plugin with another kubeconfig.
pub(crate) fn wait_deploy_as(kubeconfig: &Path, args: &[&str]) -> Ran {
    let output = command(kubeconfig, args).output().expect("the plugin starts");
    ran(&output)
}

/// Runs the plugin with something on standard input.
pub(crate) fn wait_deploy_with(input: &str, args: &[&str]) -> Ran {
    let mut child = command(ControlPlane::shared().kubeconfig(), args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the plugin reads");
    ran(&child.wait_with_output().expect("the plugin ends"))
}

/// Starts the plugin and leaves it running.
pub(crate) fn start(kubeconfig: &Path, args: &[&str]) -> Child {
    command(kubeconfig, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the plugin starts")
}

/// Waits for a started plugin.
pub(crate) fn end(child: Child) -> Ran {
    ran(&child.wait_with_output().expect("the plugin ends"))
}

fn ran(output: &std::process::Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Returns a Deployment whose pods behave so.
pub(crate) fn deployment(
    namespace: &str,
    name: &str,
    replicas: u32,
    image: &str,
    behaviour: &kubeguard_testkit::Behaviour,
) -> String {
    workload("Deployment", namespace, name, replicas, image, behaviour).to_string()
}

/// Returns a workload whose pods behave so.
pub(crate) fn workload(
    kind: &str,
    namespace: &str,
    name: &str,
    replicas: u32,
    image: &str,
    behaviour: &kubeguard_testkit::Behaviour,
) -> Value {
    serde_json::json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": behaviour.annotations()},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    })
}
