//! Where the programs of the control plane come from: given, cached, or built once from the pinned Go module.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// Every program, its Go module (a folder of `tests/control-plane`), and its package.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("etcd", ".", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", ".", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", ".", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-scheduler", ".", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ("kubectl", ".", "k8s.io/kubernetes/cmd/kubectl"),
    ("oracle", ".", "./oracle"),
    ("loader", ".", "./loader"),
    ("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
];
/// What `kubectl version` says; the build has no Git tree to read it from.
const VERSION: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";
/// Files that decide what is built.
const SOURCES: &[&str] = &[
    "go.mod",
    "go.sum",
    "oracle/main.go",
    "oracle/random.go",
    "oracle/schedule.go",
    "loader/around.go",
    "loader/main.go",
    "kwok/go.mod",
    "kwok/go.sum",
];

/// Returns the folder of the Go module.
pub(crate) fn module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane")
}

/// Returns a program of the control plane; builds all that are missing when nobody has yet.
///
/// # Panics
/// With one sentence that says what to install or set, when it is nowhere and cannot be built.
pub(crate) fn program(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| {
        build().unwrap_or_else(|problem| panic!("{problem}"));
        find(name).unwrap_or_else(|| panic!("{name} was built and is not there"))
    })
}

fn find(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    given.into_iter().chain([cache()]).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map_or_else(std::env::temp_dir, |home| PathBuf::from(home).join(".cache"));
    let root = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map_or_else(home, PathBuf::from);
    let mut hash = Sha256::new();
    for file in SOURCES {
        hash.update(std::fs::read(module().join(file)).unwrap_or_default());
    }
    let version: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    root.join("kubeguard").join("control-plane").join(version)
}

fn build() -> Result<(), String> {
    let folder = cache();
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    // Two test binaries must not build the same at once.
    let lock = std::fs::File::create(folder.join("lock")).map_err(|error| format!("cannot lock: {error}"))?;
    lock.lock().map_err(|error| format!("cannot lock: {error}"))?;
    for (name, module_folder, package) in PROGRAMS {
        if find(name).is_some() {
            continue;
        }
        eprintln!("building {name} once, into {}", folder.display());
        let new = folder.join(format!("{name}.new"));
        let built = Command::new("go")
            .args(["build", "-trimpath", "-ldflags", VERSION, "-o"])
            .arg(&new)
            .arg(package)
            .current_dir(module().join(module_folder))
            .env("CGO_ENABLED", "0")
            .output();
        let built = built.map_err(|_| {
            "the tests need a control plane: install Go 1.26 or later, or set KUBEBUILDER_ASSETS to a folder with etcd, \
             kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, kwok, oracle and loader"
                .to_owned()
        })?;
        if !built.status.success() {
            return Err(format!("cannot build {name}: {}", String::from_utf8_lossy(&built.stderr).trim()));
        }
        std::fs::rename(&new, folder.join(name)).map_err(|error| format!("cannot keep {name}: {error}"))?;
    }
    Ok(())
}

/// Returns a plugin's binary, which `cargo test --workspace` builds beside the tests.
///
/// # Panics
/// With one sentence when it has not been built.
#[must_use]
pub fn plugin(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().find(|folder| folder.join(name).is_file());
    folder.map_or_else(
        || panic!("{name} is not built: cargo build --workspace --bins, or test the whole workspace"),
        |folder| folder.join(name),
    )
}
