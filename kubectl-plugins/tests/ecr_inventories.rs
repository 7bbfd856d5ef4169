//! The real binary: inventories that somebody took elsewhere, and who vouches for them.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::path::{Path, PathBuf};
use std::process::Command;

use kubeguard_core::images::{Inventory, SigningKey};
use serde_json::Value;

// Made with `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`, for these tests alone.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIEpEHnmp6MGZwwafvDWOqB22HGlewx/BPe9GyRtm3hmZ\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAsb/vnFXoD8b5pcBxW2BwapDIEvp5taiOUYuDv0DEh9s=\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAn6yufyhV0wh0Ku58RKOB/htZzl5V2TAQi/3Qvz4Hp8=\n-----END PUBLIC KEY-----\n";
/// Uid of the example's cluster.
const UID: &str = "5b1f7f1e-98a4-4a44-8f0a-6f1c8f5f2b22";

struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    /// Makes the example's inventory, `inventories/shop.json`.
    fn new() -> Self {
        let run = Self { folder: tempfile::tempdir().unwrap() };
        let args = ["inventory", "--cluster", "shop", "--complete", "--now", "2026-11-22T09:59:00Z", "-q", "-f"];
        let (code, told) = run.run(&[&args[..], &[&example("cluster.yaml")]].concat());
        assert_eq!(code, 0, "{told}");
        run
    }

    /// Returns the exit code, then stdout and stderr together.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-ecr_clean"));
        // Nothing of the machine's own configuration of AWS or of clusters is read.
        command
            .args(args)
            .env_clear()
            .env("PATH", "/nowhere")
            .env("HOME", self.folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(self.folder.path());
        let output = command.output().unwrap();
        let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), part(&output.stdout) + &part(&output.stderr))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Signs the example's inventory and writes it under a name.
    fn sign(&self, name: &str) {
        let mut inventory = Inventory::parse("shop.json", &self.read("inventories/shop.json")).unwrap();
        inventory.sign(&SigningKey::from_pem(PRIVATE).unwrap()).unwrap();
        self.write(name, &serde_json::to_string_pretty(&inventory).unwrap());
    }

    /// Plans with one declared cluster; its file lies in a folder, to which its paths are relative.
    fn plan(&self, cluster: &str, more: &[&str]) -> (i32, Value) {
        let declared = format!("apiVersion: kubeguard.dev/v1\nkind: Clusters\nclusters:\n- {cluster}\n");
        self.write("ops/clusters.yaml", &declared);
        let (policy, registry) = (example("policy.yaml"), example("registry.json"));
        let args = ["plan", "--clusters", "ops/clusters.yaml", "--policy", &policy, "--registry-file", &registry];
        let (code, told) = self.run(&[&args[..], &["-o", "json", "-q"], more].concat());
        let plan = serde_json::from_str(&told);
        assert!(plan.is_ok(), "{told}");
        (code, plan.unwrap())
    }
}

fn example(name: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/ecr");
    folder.join(name).display().to_string()
}

/// Returns why everything is refused, the same for every repository.
fn refused((code, plan): (i32, Value)) -> (String, String) {
    assert_eq!((code, &plan["summary"]["delete"]), (5, &0.into()), "{}", plan["refused"]);
    let refused = &plan["refused"][0];
    (refused["reason"].as_str().unwrap().to_owned(), refused["message"].as_str().unwrap().to_owned())
}

const SIGNED: &str = "{name: shop, inventory: ../signed.json, publicKey: ../keys/shop.pem}";

#[test]
fn an_inventory_with_a_public_key_must_be_signed_with_it() {
    let run = Run::new();
    run.sign("signed.json");
    run.write("keys/shop.pem", PUBLIC);
    let (code, plan) = run.plan(SIGNED, &[]);
    assert_eq!((code, &plan["summary"]["delete"]), (0, &7.into()), "{}", plan["refused"]);
    assert_eq!(plan["clusters"][0]["publicKey"], "ops/../keys/shop.pem");

    run.write("keys/shop.pem", OTHER);
    let (reason, message) = refused(run.plan(SIGNED, &[]));
    assert_eq!(reason, "InventoryAltered");
    assert!(message.contains("must be signed with ops/../keys/shop.pem: it is signed with key"), "{message}");

    run.write("keys/shop.pem", PUBLIC);
    run.write("signed.json", &run.read("inventories/shop.json"));
    let (reason, message) = refused(run.plan(SIGNED, &[]));
    assert_eq!((reason.as_str(), message.ends_with(": it is not signed")), ("InventoryAltered", true), "{message}");
}

#[test]
fn a_key_that_cannot_be_read_vouches_for_nothing() {
    let run = Run::new();
    run.sign("signed.json");
    let (reason, message) = refused(run.plan(SIGNED, &[]));
    assert_eq!((reason.as_str(), message.contains("cannot be read")), ("InventoryAltered", true), "{message}");
    run.write("keys/shop.pem", "no key");
    let (reason, message) = refused(run.plan(SIGNED, &[]));
    assert_eq!((reason.as_str(), message.contains("cannot be used")), ("InventoryAltered", true), "{message}");
}

#[test]
fn content_that_somebody_edited_is_refused_even_with_its_hash_made_anew() {
    let run = Run::new();
    run.sign("signed.json");
    run.write("keys/shop.pem", PUBLIC);
    let mut edited = Inventory::parse("signed.json", &run.read("signed.json")).unwrap();
    edited.references.clear();
    run.write("signed.json", &serde_json::to_string(&edited).unwrap());
    let (reason, message) = refused(run.plan(SIGNED, &[]));
    assert_eq!((reason.as_str(), message.contains("it was altered")), ("InventoryAltered", true), "{message}");
    edited.sha256 = edited.hash();
    run.write("signed.json", &serde_json::to_string(&edited).unwrap());
    let (reason, message) = refused(run.plan(SIGNED, &[]));
    assert_eq!((reason.as_str(), message.contains("signature is wrong")), ("InventoryAltered", true), "{message}");
}

#[test]
fn what_a_flag_gives_in_the_place_of_a_declared_cluster_must_be_signed_too() {
    let run = Run::new();
    run.sign("signed.json");
    run.write("keys/shop.pem", PUBLIC);
    for cluster in [
        format!("{{name: prod, context: nowhere, uid: {UID}, publicKey: ../keys/shop.pem}}"),
        "{name: shop, context: nowhere, publicKey: ../keys/shop.pem}".to_owned(),
        format!("{{name: shop, inventory: ../gone.json, uid: {UID}, publicKey: ../keys/shop.pem}}"),
    ] {
        let (code, plan) = run.plan(&cluster, &["--inventory", "signed.json"]);
        assert_eq!((code, &plan["summary"]["delete"]), (0, &7.into()), "{cluster}: {}", plan["refused"]);
        let (reason, message) = refused(run.plan(&cluster, &["--inventory", "inventories/shop.json"]));
        assert_eq!((reason.as_str(), message.ends_with(": it is not signed")), ("InventoryAltered", true), "{message}");
    }
}

#[test]
fn an_inventory_of_another_cluster_does_not_speak_under_a_declared_name() {
    let run = Run::new();
    let cluster = "{name: shop, context: nowhere, uid: another}";
    let (reason, message) = refused(run.plan(cluster, &["--inventory", "inventories/shop.json"]));
    assert_eq!(reason, "ClusterMismatch", "{message}");
    let cluster = "{name: prod, context: nowhere}";
    let (_, plan) = run.plan(cluster, &["--inventory", "inventories/shop.json"]);
    let reasons: Vec<_> =
        plan["refused"].as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"ClusterUndeclared") && reasons.contains(&"InventoryMissing"), "{reasons:?}");
}

#[test]
fn an_inventory_is_hidden_and_signed_at_the_prompt_and_planned_with_the_same_salt() {
    let run = Run::new();
    run.write("salt", "what nobody can guess\n");
    run.write("key.pem", PRIVATE);
    run.write("keys/shop.pem", PUBLIC);
    let (policy, files) = (example("policy.yaml"), example("cluster.yaml"));
    let taken = ["inventory", "--cluster", "shop", "--complete", "--now", "2026-11-22T09:59:00Z", "-q", "-f", &files];
    let hidden = ["--policy", &policy, "--hashed", "--salt-file", "salt", "--sign-key", "key.pem", "--dir", "hidden"];
    let (code, told) = run.run(&[&taken[..], &hidden].concat());
    assert_eq!(code, 0, "{told}");
    let text = run.read("hidden/shop.json");
    assert!(!text.contains("shop/web") && text.contains("\"algorithm\": \"ed25519\""), "{text}");

    let cluster = "{name: shop, inventory: ../hidden/shop.json, publicKey: ../keys/shop.pem}";
    let (code, plan) = run.plan(cluster, &["--salt-file", "salt"]);
    assert_eq!((code, &plan["summary"]["delete"]), (0, &7.into()), "{}", plan["refused"]);
    let (reason, message) = refused(run.plan(cluster, &[]));
    assert_eq!((reason.as_str(), message.contains("no salt was given")), ("InventoryIncomplete", true), "{message}");

    let (code, told) = run.run(&[&taken[..], &["--hashed"]].concat());
    assert!(code == 2 && told.contains("--salt-file"), "{told}");
    run.write("salt", "short");
    let (code, told) = run.run(&[&taken[..], &hidden].concat());
    assert!(code == 2 && told.contains("a salt has at least 16 bytes"), "{told}");
    let (code, told) = run.run(&[&taken[..], &["--sign-key", "keys/shop.pem"]].concat());
    assert!(code == 2 && told.contains("there is no PEM block \"PRIVATE KEY\""), "{told}");
}

#[test]
fn without_kubectl_a_folder_of_kustomize_is_not_guessed_at() {
    let (code, told) = Run::new().run(&["inventory", "--cluster", "shop", "-k", "."]);
    assert!(code == 2 && told.contains("-k needs kubectl on the PATH"), "{told}");
}

#[test]
fn an_inventory_is_written_in_every_format() {
    let run = Run::new();
    let files = example("cluster.yaml");
    let taken = |format: &str| {
        run.run(&["inventory", "--cluster", "shop", "--dir", "other", "--complete", "-q", "-f", &files, "-o", format])
    };
    let (code, images) = taken("name");
    let host = "111122223333.dkr.ecr.eu-west-1.amazonaws.com";
    assert_eq!((code, images), (0, format!("{host}/shop/web:v2\n{host}/shop/web:v7\n")));
    assert!(run.read("other/shop.json").contains("\"cluster\": \"shop\""));
    let (code, yaml) = taken("yaml");
    assert!(code == 0 && yaml.starts_with("---\napiVersion: kubeguard.dev/v1\nkind: ImageInventory\n"), "{yaml}");
}
