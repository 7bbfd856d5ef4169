//! A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok that plays
//! the kubelets.

mod certificates;
mod supervisor;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use self::certificates::Authority;
use self::supervisor::Supervised;
use crate::programs::{module, program};

/// Starting takes a few seconds; a machine that needs this long has another problem.
const PATIENCE: Duration = Duration::from_secs(90);
const NODES: usize = 3;

/// What happens to a pod, as annotations of its template; `tests/control-plane/stages.yaml` carries them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Ready after so many seconds.
    Ready(u32),
    /// The registry answers with this message.
    ImagePullError(&'static str),
    /// Ends with this exit code again and again.
    CrashLoop(u8),
    /// The kubelet misses something and says so.
    ConfigError(&'static str),
    /// Runs and never becomes ready.
    NeverReady,
    /// Takes so many seconds to go when it is deleted.
    SlowTermination(u32),
    /// Runs for so many seconds and ends well.
    Succeed(u32),
    /// Runs for so many seconds and ends with this exit code.
    Fail(u32, u8),
    /// The container of this name ends at once with this exit code; the others run on until the pod is annotated with
    /// `kubeguard.dev/quit`, whose value is the exit code they end with then.
    Held(&'static str, u8),
    /// Runs, and the container of this name never becomes ready.
    Unready(&'static str),
}

impl Behaviour {
    /// Returns the annotations that ask for it.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<&'static str, String> {
        let seconds = |seconds: &u32| format!("{seconds}s");
        let behaves = |word: &str| ("kubeguard.dev/behaviour", word.to_owned());
        let message = |text: &str| ("kubeguard.dev/message", text.to_owned());
        let container = |name: &str| ("kubeguard.dev/container", name.to_owned());
        let code = |code: &u8| ("kubeguard.dev/exit-code", code.to_string());
        let after = |time: &u32| ("kubeguard.dev/after", seconds(time));
        match self {
            Self::Ready(time) => BTreeMap::from([behaves("ready"), after(time)]),
            Self::ImagePullError(text) => BTreeMap::from([behaves("image-pull-error"), message(text)]),
            Self::CrashLoop(exit) => BTreeMap::from([behaves("crash-loop"), code(exit)]),
            Self::ConfigError(text) => BTreeMap::from([behaves("config-error"), message(text)]),
            Self::NeverReady => BTreeMap::from([behaves("never-ready")]),
            Self::SlowTermination(time) => BTreeMap::from([("kubeguard.dev/linger", seconds(time))]),
            Self::Succeed(time) => BTreeMap::from([behaves("succeed"), after(time)]),
            Self::Fail(time, exit) => BTreeMap::from([behaves("fail"), after(time), code(exit)]),
            Self::Held(name, exit) => BTreeMap::from([behaves("held"), container(name), code(exit)]),
            Self::Unready(name) => BTreeMap::from([behaves("unready"), container(name)]),
        }
    }
}

/// A running control plane; dropping it stops every program.
pub struct ControlPlane {
    // Dropped first to last: clients before servers.
    others: Mutex<Vec<Supervised>>,
    apiserver: Mutex<Option<Supervised>>,
    _etcd: Supervised,
    apiserver_args: Vec<String>,
    authority: Authority,
    server: String,
    etcd_url: String,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
    names: AtomicU32,
    sidecars: TcpListener,
}

/// Ports of pods that are forwarded to `ControlPlane::sidecars`: where the sidecars of the field are asked to quit.
const FORWARDED: [u16; 3] = [15020, 9091, 3500];

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    socket.local_addr().expect("a bound socket has an address").port()
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "no {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn arguments(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(flag, value)| format!("--{flag}={value}")).collect()
}

impl ControlPlane {
    /// Returns the one control plane that the tests of a binary share; starts it when first asked.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ControlPlane> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a control plane of one's own, for a test that stops parts of it.
    ///
    /// # Panics
    /// When a program is missing or does not start; the message says which, with the end of its log.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "most of it is the flags of four programs")]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("kubeguard-").tempdir().expect("a temporary folder");
        let path = folder.path().to_owned();
        let file = |name: &str| path.join(name).display().to_string();
        let authority = Authority::new(&path);
        authority.serve(&path);

        let etcd_url = format!("http://127.0.0.1:{}", free_port());
        let peer = format!("http://127.0.0.1:{}", free_port());
        let mut etcd = Supervised::start(
            "etcd",
            &program("etcd"),
            &arguments(&[
                ("name", "test"),
                ("data-dir", &file("etcd")),
                ("unsafe-no-fsync", "true"),
                ("quota-backend-bytes", "8589934592"),
                ("listen-client-urls", &etcd_url),
                ("advertise-client-urls", &etcd_url),
                ("listen-peer-urls", &peer),
                ("initial-advertise-peer-urls", &peer),
                ("initial-cluster", &format!("test={peer}")),
                ("log-level", "error"),
            ]),
            &path,
        );
        let port = free_port();
        let server = format!("https://127.0.0.1:{port}");
        let apiserver_args = arguments(&[
            ("etcd-servers", &etcd_url),
            ("bind-address", "127.0.0.1"),
            ("advertise-address", "127.0.0.1"),
            ("secure-port", &port.to_string()),
            ("endpoint-reconciler-type", "none"),
            ("tls-cert-file", &file("apiserver.crt")),
            ("tls-private-key-file", &file("apiserver.key")),
            ("cert-dir", &file("certs")),
            ("client-ca-file", &file("ca.crt")),
            ("authorization-mode", "Node,RBAC"),
            ("allow-privileged", "true"),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            ("service-account-key-file", &file("sa.pub")),
            ("service-account-signing-key-file", &file("sa.key")),
            ("service-cluster-ip-range", "10.96.0.0/16"),
            ("kubelet-preferred-address-types", "InternalIP"),
        ]);
        let mut apiserver = Supervised::start("kube-apiserver", &program("kube-apiserver"), &apiserver_args, &path);
        let write = |name: &str, user: &str, group: &str| {
            let kubeconfig = path.join(name);
            std::fs::write(&kubeconfig, authority.kubeconfig(&server, user, group, "default")).expect("a file");
            kubeconfig
        };
        let kubeconfig = write("admin.kubeconfig", "admin", "system:masters");
        let manager = write("manager.kubeconfig", "system:kube-controller-manager", "").display().to_string();
        let scheduler = write("scheduler.kubeconfig", "system:kube-scheduler", "").display().to_string();
        until("answer of the API server", || {
            etcd.assert_running();
            apiserver.assert_running();
            kubectl(&kubeconfig, &["get", "--raw", "/readyz"]).status.success()
        });

        let component = |name: &'static str, config: &str, more: &[(&str, &str)]| {
            let mut args = arguments(&[
                ("kubeconfig", config),
                ("authentication-kubeconfig", config),
                ("authorization-kubeconfig", config),
                ("bind-address", "127.0.0.1"),
                ("secure-port", &free_port().to_string()),
                ("cert-dir", &file("certs")),
                ("leader-elect", "false"),
                ("kube-api-qps", "500"),
                ("kube-api-burst", "1000"),
            ]);
            args.extend(arguments(more));
            Supervised::start(name, &program(name), &args, &path)
        };
        // kwok answers a port-forward itself; behind every pod's port is one process of ours.
        let sidecars = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let behind = sidecars.local_addr().expect("a bound socket has an address").port();
        let forwards = serde_json::json!({
            "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterPortForward", "metadata": {"name": "sidecars"},
            "spec": {"forwards": [{"ports": FORWARDED, "target": {"address": "127.0.0.1", "port": behind}}]},
        });
        std::fs::write(file("forwards.yaml"), forwards.to_string()).expect("a file");
        let kubelets = free_port().to_string();
        let others = vec![
            component(
                "kube-controller-manager",
                &manager,
                &[
                    ("use-service-account-credentials", "true"),
                    ("service-account-private-key-file", &file("sa.key")),
                    ("root-ca-file", &file("ca.crt")),
                    ("node-monitor-grace-period", "50s"),
                    ("horizontal-pod-autoscaler-sync-period", "1s"),
                ],
            ),
            component("kube-scheduler", &scheduler, &[]),
            Supervised::start(
                "kwok",
                &program("kwok"),
                &arguments(&[
                    ("kubeconfig", &kubeconfig.display().to_string()),
                    ("config", &module().join("stages.yaml").display().to_string()),
                    ("manage-all-nodes", "true"),
                    ("node-lease-duration-seconds", "40"),
                    ("cidr", "10.244.0.1/16"),
                    ("config", &file("forwards.yaml")),
                    ("node-ip", "127.0.0.1"),
                    ("node-port", &kubelets),
                    ("server-address", &format!("127.0.0.1:{kubelets}")),
                    ("tls-cert-file", &file("apiserver.crt")),
                    ("tls-private-key-file", &file("apiserver.key")),
                ]),
                &path,
            ),
        ];
        let plane = Self {
            others: Mutex::new(others),
            apiserver: Mutex::new(Some(apiserver)),
            _etcd: etcd,
            apiserver_args,
            authority,
            server,
            etcd_url,
            kubeconfig,
            folder,
            names: AtomicU32::new(0),
            sidecars,
        };
        plane.add_nodes();
        plane
    }

    fn add_nodes(&self) {
        let nodes: Vec<serde_json::Value> = (1..=NODES)
            .map(|number| {
                let name = format!("node-{number}");
                serde_json::json!({
                    "apiVersion": "v1", "kind": "Node",
                    "metadata": {"name": name, "labels": {
                        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                        "topology.kubernetes.io/zone": format!("zone-{number}"),
                    }},
                })
            })
            .collect();
        self.apply(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": nodes}).to_string());
        until("node that takes pods", || {
            self.others.lock().expect("no test panics here").iter_mut().for_each(Supervised::assert_running);
            let taints = self.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].spec.taints}"]);
            let ready = self.kubectl(&["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=1s"]);
            let account = self.kubectl(&["get", "serviceaccount", "default"]);
            ready.status.success() && account.status.success() && taints.stdout.is_empty()
        });
    }

    /// Returns the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns the address of the API server.
    pub fn url(&self) -> &str {
        &self.server
    }

    /// Returns the socket behind the ports 15020, 9091 and 3500 of every pod, as a port-forward reaches them.
    #[must_use]
    pub fn sidecars(&self) -> TcpListener {
        self.sidecars.try_clone().expect("a second handle of a socket")
    }

    /// Returns a program of the control plane, as in `kubectl`.
    #[must_use]
    pub fn program(name: &str) -> PathBuf {
        program(name)
    }

    /// Runs kubectl as administrator.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        kubectl(&self.kubeconfig, args)
    }

    /// Runs kubectl, which must succeed, and returns what it prints.
    ///
    /// # Panics
    /// With kubectl's words when it fails.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.kubectl(args);
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Applies YAML or JSON and returns the objects as the server stored them.
    ///
    /// # Panics
    /// With kubectl's words when the server refuses it.
    pub fn apply(&self, text: &str) -> String {
        self.pipe(&["apply", "-o", "json", "-f", "-"], text)
    }

    /// Runs kubectl with something on standard input.
    ///
    /// # Panics
    /// With kubectl's words when it fails.
    pub fn pipe(&self, args: &[&str], text: &str) -> String {
        let mut child = command(&self.kubeconfig)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("kubectl reads");
        let output = child.wait_with_output().expect("kubectl ends");
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes a namespace that no other test has, ready for pods.
    pub fn namespace(&self, prefix: &str) -> String {
        let name = format!("{prefix}-{}", self.names.fetch_add(1, Ordering::Relaxed));
        self.run(&["create", "namespace", &name]);
        until("service account", || self.kubectl(&["get", "serviceaccount", "default", "-n", &name]).status.success());
        name
    }

    /// Returns the kubeconfig of a user with only these rules in one namespace, as `verbs resources` like
    /// `get,list,watch deployments.apps`.
    pub fn user(&self, name: &str, namespace: &str, rules: &[&str]) -> PathBuf {
        for (number, rule) in rules.iter().enumerate() {
            let (verbs, resource) = rule.split_once(' ').expect("verbs and a resource");
            let role = format!("{name}-{number}");
            let verbs = format!("--verb={verbs}");
            let resource = format!("--resource={resource}");
            self.run(&["create", "role", &role, &verbs, &resource, "-n", namespace]);
            let (of, user) = (format!("--role={role}"), format!("--user={name}"));
            self.run(&["create", "rolebinding", &role, &of, &user, "-n", namespace]);
        }
        let path = self.folder.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&path, self.authority.kubeconfig(&self.server, name, "", namespace)).expect("a file");
        path
    }

    /// Kills the API server.
    pub fn stop_apiserver(&self) {
        drop(self.apiserver.lock().expect("no test panics here").take());
    }

    /// Starts the API server again and waits until it answers.
    pub fn start_apiserver(&self) {
        let mut apiserver =
            Supervised::start("kube-apiserver", &program("kube-apiserver"), &self.apiserver_args, self.folder.path());
        until("answer of the API server", || {
            apiserver.assert_running();
            self.kubectl(&["get", "--raw", "/readyz"]).status.success()
        });
        *self.apiserver.lock().expect("no test panics here") = Some(apiserver);
    }

    /// Stops everything but etcd and the API server: what is written from now on stays as it is, and nobody else keeps
    /// a copy of it in memory.
    pub fn stop_controllers(&self) {
        self.others.lock().expect("no test panics here").clear();
    }

    /// Lets a node stop answering.
    pub fn lose_node(&self, name: &str) {
        self.run(&["annotate", "node", name, "kubeguard.dev/lost=true"]);
    }

    /// Fills a namespace with realistic pods of about 14 KB, straight into etcd.
    pub fn load_pods(&self, namespace: &str, count: usize) {
        self.load(namespace, count, false);
    }

    /// The same, with the workloads, Services, slices and budgets of the pods; a tenth of them are pods of Jobs.
    pub fn load_workloads(&self, namespace: &str, count: usize) {
        self.load(namespace, count, true);
    }

    fn load(&self, namespace: &str, count: usize, around: bool) {
        let loaded = Command::new(program("loader"))
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .arg(format!("--etcd={}", self.etcd_url))
            .arg(format!("--namespace={namespace}"))
            .arg(format!("--count={count}"))
            .arg(format!("--around={around}"))
            .output()
            .expect("the loader starts");
        assert!(loaded.status.success(), "loader: {}", String::from_utf8_lossy(&loaded.stderr));
    }
}

fn command(kubeconfig: &Path) -> Command {
    let mut command = Command::new(program("kubectl"));
    command.env("KUBECONFIG", kubeconfig).env_remove("HTTPS_PROXY").env_remove("https_proxy");
    command
}

fn kubectl(kubeconfig: &Path, args: &[&str]) -> Output {
    command(kubeconfig).args(args).output().expect("kubectl starts")
}
