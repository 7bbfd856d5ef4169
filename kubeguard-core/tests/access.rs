//! Reaching a cluster: which files are read, how they merge, what flags override, and what the server then sees.
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kubeguard_core::access::{Access, Cluster, Environment};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::pages::fold;
use kubeguard_core::kinds::Pod;
use kubeguard_testkit::{FakeCluster, Fault, Seen};

struct Files {
    folder: tempfile::TempDir,
    fake: FakeCluster,
}

impl Files {
    fn new() -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        Self { folder: tempfile::tempdir().unwrap(), fake: FakeCluster::start() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text.replace("SERVER", self.fake.url())).unwrap();
        path
    }

    /// A kubeconfig with one context of a name, whose user is `user`.
    fn config(&self, name: &str, user: &str) -> PathBuf {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\nclusters: [{{name: {name}, cluster: {{server: SERVER}}}}]\n\
             users: [{{name: {name}, user: {{{user}}}}}]\ncontexts: [{{name: {name}, context: {{cluster: {name}, user: {name}, namespace: ns-{name}}}}}]\n"
        );
        self.write(&format!("{name}.yaml"), &text)
    }

    /// Connects, lists once, and returns what the server saw.
    async fn seen(&self, access: &Access, environment: &Environment) -> (Cluster, Seen) {
        let cluster = access.connect(environment).await.unwrap();
        fold::<Pod, ()>(&cluster, None, "", || (), |(), _| ()).await.unwrap();
        (cluster, self.fake.seen().last().unwrap().clone())
    }
}

fn of_files(files: &[&Path]) -> Environment {
    let joined = std::env::join_paths(files).unwrap().into_string().unwrap();
    Environment { kubeconfig: Some(joined), home: None }
}

fn problem(result: Result<Cluster>) -> (String, String) {
    let error: Error = result.err().unwrap();
    (error.to_string(), error.hint().unwrap_or_default())
}

#[tokio::test]
async fn files_that_are_not_there_are_skipped_and_the_first_context_wins() {
    let files = Files::new();
    let (a, b) = (files.config("a", "token: token-a"), files.config("b", "token: token-b"));
    let environment = of_files(&[Path::new("/nowhere/config"), &a, &b]);
    let (cluster, seen) = files.seen(&Access::default(), &environment).await;
    assert_eq!((cluster.default_namespace(), seen.authorization.as_str()), ("ns-a", "Bearer token-a"));
    let other = Access { context: Some("b".to_owned()), ..Access::default() };
    let (cluster, seen) = files.seen(&other, &environment).await;
    assert_eq!((cluster.default_namespace(), seen.authorization.as_str()), ("ns-b", "Bearer token-b"));
}

#[tokio::test]
async fn the_home_file_is_read_when_nothing_else_is_named() {
    let files = Files::new();
    let config = files.config("home", "token: token-home");
    let text = std::fs::read_to_string(config).unwrap();
    files.write(".kube/config", &text);
    let environment = Environment { kubeconfig: None, home: Some(files.folder.path().to_owned()) };
    assert_eq!(files.seen(&Access::default(), &environment).await.1.authorization, "Bearer token-home");
}

#[tokio::test]
async fn a_path_in_a_file_is_relative_to_that_file() {
    let files = Files::new();
    files.write("deep/secret.txt", "token-from-file");
    let config = files.config("deep", "tokenFile: secret.txt");
    let inside = files.folder.path().join("deep/config");
    std::fs::rename(config, &inside).unwrap();
    assert_eq!(files.seen(&Access::default(), &of_files(&[&inside])).await.1.authorization, "Bearer token-from-file");
}

#[cfg(unix)]
#[tokio::test]
async fn an_exec_plugin_logs_in_and_a_token_takes_its_place() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let credential = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"token-of-plugin"}}"#;
    let plugin = files.write("login", &format!("#!/bin/sh\ntouch \"$0.ran\"\necho '{credential}'\n"));
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let exec = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: \"{}\", interactiveMode: Never}}",
        plugin.display()
    );
    let environment = of_files(&[&files.config("exec", &exec)]);
    let ran = files.folder.path().join("login.ran");
    let token = Access { token: Some("mine".to_owned()), impersonate: Some("alice".to_owned()), ..Access::default() };
    let (_, seen) = files.seen(&token, &environment).await;
    assert_eq!(
        (seen.authorization.as_str(), seen.impersonated.as_str(), ran.exists()),
        ("Bearer mine", "alice", false)
    );
    assert_eq!(files.seen(&Access::default(), &environment).await.1.authorization, "Bearer token-of-plugin");
    assert!(ran.exists());
}

#[tokio::test]
async fn names_that_are_not_there_list_those_that_are() {
    let files = Files::new();
    let environment = of_files(&[&files.config("a", "token: x"), &files.config("b", "token: x")]);
    for (what, access) in [
        ("context", Access { context: Some("c".to_owned()), ..Access::default() }),
        ("cluster", Access { cluster: Some("c".to_owned()), ..Access::default() }),
        ("user", Access { user: Some("c".to_owned()), ..Access::default() }),
    ] {
        let (text, hint) = problem(access.connect(&environment).await);
        assert_eq!(
            (text.as_str(), hint.as_str()),
            (format!("the kubeconfig has no {what} \"c\"").as_str(), "there are: a, b")
        );
    }
}

#[tokio::test]
async fn a_file_that_is_named_must_be_there() {
    let access = Access { kubeconfig: Some("/nowhere/config".into()), ..Access::default() };
    let (text, _) = problem(access.connect(&Environment::default()).await);
    assert_eq!(text, "cannot read kubeconfig /nowhere/config");
}

#[tokio::test]
async fn nothing_configured_says_what_to_set() {
    let (text, hint) = problem(Access::default().connect(&Environment::default()).await);
    assert!(text.starts_with("no cluster is configured"), "{text}");
    assert!(hint.contains("KUBECONFIG"), "{hint}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_with_the_time_limit() {
    let files = Files::new();
    files.fake.fail("list", "pods", Fault::Slow(Duration::from_secs(30)), None);
    let access = Access { request_timeout: Some(Duration::from_millis(200)), ..Access::default() };
    let cluster = access.connect(&of_files(&[&files.config("a", "token: x")])).await.unwrap();
    let start = Instant::now();
    let error = fold::<Pod, ()>(&cluster, Some("team"), "", || (), |(), _| ()).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(error.to_string(), "cannot list pods in namespace team");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no answer within 200ms");
}

#[tokio::test]
async fn a_call_that_may_pass_is_tried_three_times_and_one_that_may_not_once() {
    let files = Files::new();
    let cluster = Access::default().connect(&of_files(&[&files.config("a", "token: x")])).await.unwrap();
    files.fake.fail("list", "pods", Fault::Status(503, "ServiceUnavailable"), Some(2));
    fold::<Pod, ()>(&cluster, None, "", || (), |(), _| ()).await.unwrap();
    assert_eq!(files.fake.count("list", "pods"), 3);
    files.fake.fail("list", "pods", Fault::Status(403, "Forbidden"), None);
    let error = fold::<Pod, ()>(&cluster, None, "", || (), |(), _| ()).await.unwrap_err();
    assert_eq!(files.fake.count("list", "pods"), 4);
    assert_eq!(error.hint().as_deref(), Some("kubectl auth can-i list pods; --print-rbac prints the Role it needs"));
}
