//! A cluster with jobs that proxies hold.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use kubeguard_testkit::{FakeCluster, Manners, Seen, Sidecar};
use serde_json::{Value, json};

pub(crate) const JOBS: &str = "/apis/batch/v1/namespaces/team/jobs";
pub(crate) const PODS: &str = "/api/v1/namespaces/team/pods";
pub(crate) const EVENTS: &str = "/api/v1/namespaces/team/events";
pub(crate) const PROXY_PORT: u16 = 15020;

/// A job of one main container that has not finished.
pub(crate) fn job(name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": "team", "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-22T08:00:00Z"},
        "spec": {
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": format!("uid-{name}")}},
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "main:1"}]}},
        },
        "status": {"active": 1, "startTime": "2026-11-22T08:00:00Z"},
    })
}

/// Its pod: the main has ended with 0 an hour ago, istio's proxy, which a webhook added, runs.
pub(crate) fn pod(name: &str) -> Value {
    let uid = format!("uid-{name}");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{name}-x"), "namespace": "team", "labels": {"batch.kubernetes.io/controller-uid": uid},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true}],
        },
        "spec": {"restartPolicy": "Never", "nodeName": "n1", "containers": [
            {"name": "main", "image": "main:1"}, {"name": "istio-proxy", "image": "istio/proxyv2:1.26"}]},
        "status": {"phase": "Running", "containerStatuses": [
            {"name": "main", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-22T09:00:00Z"}}},
            {"name": "istio-proxy", "state": {"running": {"startedAt": "2026-11-22T08:00:00Z"}}}]},
    })
}

/// Replaces the sidecar of a pod.
pub(crate) fn held(mut pod: Value, container: Value) -> Value {
    pod["status"]["containerStatuses"][1]["name"] = container["name"].clone();
    pod["spec"]["containers"][1] = container;
    pod
}

/// What the kubelet and the Job controller write once the proxy has ended.
pub(crate) fn finish(cluster: &FakeCluster, name: &str, code: i32) {
    let mut ended = pod(name);
    ended["status"]["phase"] = if code == 0 { "Succeeded" } else { "Failed" }.into();
    ended["status"]["containerStatuses"][1]["state"] = json!({"terminated": {"exitCode": code}});
    cluster.put(PODS, ended);
    let mut finished = job(name);
    if code == 0 {
        finished["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
    }
    cluster.put(JOBS, finished);
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) cluster: Arc<FakeCluster>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = FakeCluster::start();
        drop(cluster.kubeconfig(folder.path()));
        cluster.minor_version(34);
        cluster.date("Sun, 22 Nov 2026 10:00:00 GMT");
        cluster.put("/api/v1/nodes", json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.34.0"}}}));
        cluster
            .put("/api/v1/namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}));
        Self { folder, cluster: Arc::new(cluster) }
    }

    /// Adds a job whose work is done and whose pod a proxy holds.
    pub(crate) fn add(&self, name: &str) {
        self.cluster.put(JOBS, job(name));
        self.cluster.put(PODS, pod(name));
    }

    /// Adds one whose work failed.
    pub(crate) fn add_failed(&self, name: &str, code: i32) {
        let mut failed = pod(name);
        failed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = code.into();
        self.cluster.put(JOBS, job(name));
        self.cluster.put(PODS, failed);
    }

    /// Lets a process listen at the port of a job's proxy.
    pub(crate) fn sidecar(
        &self,
        name: &str,
        manners: Manners,
        then: impl Fn(&FakeCluster) + Send + 'static,
    ) -> Sidecar {
        let cluster = self.cluster.clone();
        let sidecar = Sidecar::start(manners, move || then(&cluster));
        self.cluster.listen("team", &format!("{name}-x"), PROXY_PORT, sidecar.address());
        sidecar
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-zombie_jobs"));
        command.args(args.split(' ')).current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        command.env("KUBECONFIG", self.folder.path().join("kubeconfig")).stdin(Stdio::null());
        command
    }

    /// Returns the exit code, then stdout and stderr together.
    pub(crate) fn run(&self, args: &str) -> String {
        let output = self.command(args).output().unwrap();
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}\n{}{}", output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
    }

    /// Starts one that does not end by itself.
    pub(crate) fn start(&self, args: &str) -> Running {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Running { child, out }
    }

    /// Returns the requests of a verb whose path ends so.
    pub(crate) fn seen(&self, verb: &str, end: &str) -> Vec<Seen> {
        self.cluster.seen().into_iter().filter(|seen| seen.verb == verb && seen.path.ends_with(end)).collect()
    }

    /// Fails unless nothing was changed: no deletion, no port-forward, no event that stays.
    pub(crate) fn is_untouched(&self) {
        assert_eq!(self.cluster.count("delete", ""), 0);
        assert_eq!(self.cluster.count("forward", ""), 0);
        assert!(self.cluster.objects(EVENTS).is_empty());
    }
}

/// A plugin that runs; it is ended with the test.
pub(crate) struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Returns the next line of its answer.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
