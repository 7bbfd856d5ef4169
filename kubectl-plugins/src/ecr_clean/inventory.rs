//! `kubectl ecr-clean inventory`: what clusters name, a file for each.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kubeguard_core::ecr::policy::Policy;
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::error::Result;
use kubeguard_core::images::inventory::Scan;
use kubeguard_core::images::{Inventory, Maps, RegistryId, Salt, SigningKey};

use super::args::{Args, SourceArgs};
use super::evidence::{self, Evidence};
use super::files::StateFolder;
use super::{files, metrics, screens, usage};
use crate::duration::parse_limit;
use crate::exit::ExitCode;
use crate::explain;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("files").args(["filename", "kustomize", "snapshot"]).multiple(true)))]
pub(super) struct InventoryArgs {
    /// Policy whose scan settings and aliases hold
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,
    /// Folder for the files, one NAME.json for each cluster
    #[arg(long, value_name = "DIR", default_value = "inventories")]
    pub(super) dir: PathBuf,
    /// Make an inventory of files instead of a cluster: file, folder, or - for standard input; repeatable
    #[arg(short, long, value_name = "FILE", requires = "cluster")]
    pub(super) filename: Vec<String>,
    /// Make an inventory of what kubectl kustomize builds of a folder
    #[arg(short, long, value_name = "DIR", requires = "cluster", conflicts_with = "filename")]
    pub(super) kustomize: Option<PathBuf>,
    /// Make an inventory of a snapshot, as `kubectl guard snapshot` writes it
    #[arg(long, value_name = "FILE", requires = "cluster", conflicts_with_all = ["filename", "kustomize"])]
    pub(super) snapshot: Option<PathBuf>,
    /// Read the folders of -f with their folders
    #[arg(short = 'R', long)]
    pub(super) recursive: bool,
    /// Label of the cluster, where it is one: that of the files, or the current context
    #[arg(long, value_name = "NAME")]
    pub(super) cluster: Option<String>,
    /// Uid of that cluster's namespace kube-system
    #[arg(long, value_name = "UID", requires = "files")]
    pub(super) uid: Option<String>,
    /// The files are all that there is
    #[arg(long, requires = "files")]
    pub(super) complete: bool,
    /// Hide every name with the salt of --salt-file
    #[arg(long, requires = "salt_file")]
    pub(super) hashed: bool,
    /// Sign the files with this Ed25519 key, PKCS#8 in PEM
    #[arg(long, value_name = "FILE")]
    pub(super) sign_key: Option<PathBuf>,
    /// Record what is in use in this folder, for the next plan [default: that of the registry which --policy names]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Keep the files up to date until interrupted: read again when something has changed, at most this often
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10s",
        value_parser = parse_limit, conflicts_with = "files")]
    pub(super) watch: Option<Duration>,
    /// The moment that counts as now with -f [default: the current time]
    #[arg(long, value_name = "RFC3339")]
    pub(super) now: Option<Timestamp>,
    /// Write metrics for Prometheus into this file
    #[arg(long, value_name = "FILE")]
    pub(super) metrics_file: Option<PathBuf>,
    /// How the answer is written; json and yaml are the inventories themselves, and no file is written then
    #[arg(short, long, value_parser = ["table", "wide", "json", "yaml", "name"], default_value = "table", value_name = "FORMAT")]
    pub(super) output: String,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

/// Takes the inventories that are asked for.
pub(super) async fn run(args: &Args, asked: &InventoryArgs, terminal: Terminal) -> Result<ExitCode> {
    let policy = asked.policy.as_deref().map(files::policy).transpose()?;
    let (scan, maps) = match &policy {
        Some(policy) => (policy.scan.clone(), policy.maps()),
        None => (Scan::default(), Maps::default()),
    };
    let hosts = maps.hosts().clone();
    let salt = args.salt_file.as_deref().filter(|_| asked.hashed).map(files::salt).transpose()?;
    // A key that cannot be used is told before anything is asked.
    let seal = Seal { salt, maps, key: asked.sign_key.as_deref().map(files::signing_key).transpose()? };
    if !asked.filename.is_empty() || asked.kustomize.is_some() || asked.snapshot.is_some() {
        let inventory = evidence::of_files(asked, &scan, &hosts, asked.now.unwrap_or_else(Timestamp::now))?;
        let inventories = [inventory];
        let code = seal.show(&inventories, asked, terminal)?;
        record(&inventories, asked, policy.as_ref(), terminal).await?;
        return Ok(code);
    }
    let mut clusters = evidence::clusters(&asked.source, true)?;
    if let (Some(name), false, [only]) = (&asked.cluster, clusters.from_file, clusters.clusters.as_mut_slice()) {
        only.name.clone_from(name);
    }
    let evidence = Evidence { access: &args.access, scan: &scan, hosts: &hosts, terminal };
    loop {
        let began = Instant::now();
        let mut inventories = Vec::new();
        let mut failed = false;
        for (name, inventory) in evidence.live(&clusters).await {
            match inventory {
                Ok(inventory) => inventories.push(inventory),
                Err(error) => {
                    failed = true;
                    terminal.complain(&format!("cluster {name}:"));
                    explain::show(terminal, &error);
                }
            }
        }
        let code = seal.show(&inventories, asked, terminal)?;
        // Our own state has the names, what is handed out may not.
        record(&inventories, asked, policy.as_ref(), terminal).await?;
        let Some(least) = asked.watch else { return Ok(if failed { ExitCode::NoAnswer } else { code }) };
        // Reading takes from a cluster what others need too: a tenth of the time at most.
        let gap = tokio::time::sleep(least.max(began.elapsed() * 9));
        if failed {
            gap.await;
        } else {
            futures::future::join(gap, evidence.changed(&clusters, &inventories)).await;
        }
    }
}

/// What is done to an inventory before anybody sees it.
struct Seal {
    /// Given where names are hidden.
    salt: Option<Salt>,
    maps: Maps,
    key: Option<SigningKey>,
}

impl Seal {
    /// Shows inventories as they are handed out; those that nothing is done to are not copied.
    fn show(&self, inventories: &[Inventory], asked: &InventoryArgs, terminal: Terminal) -> Result<ExitCode> {
        if self.salt.is_none() && self.key.is_none() {
            return show(inventories, asked, terminal);
        }
        let sealed = inventories.iter().cloned().map(|inventory| self.seal(inventory));
        show(&sealed.collect::<Result<Vec<_>>>()?, asked, terminal)
    }

    fn seal(&self, inventory: Inventory) -> Result<Inventory> {
        let mut inventory = match &self.salt {
            Some(salt) => inventory.hashed(salt, &self.maps),
            None => inventory,
        };
        if let Some(key) = &self.key {
            inventory.sign(key).map_err(|error| usage(format!("inventory of {}: {error}", inventory.cluster), ""))?;
        }
        Ok(inventory)
    }
}

/// Records uses in the state of the registry, which is not asked.
async fn record(
    inventories: &[Inventory],
    asked: &InventoryArgs,
    policy: Option<&Policy>,
    terminal: Terminal,
) -> Result<()> {
    let named = policy.and_then(|policy| policy.registry.as_ref());
    let named = named.and_then(|own| Some(RegistryId::new(own.account.as_ref()?, own.region.as_ref()?)));
    let registry = match (&asked.state, named) {
        (_, Some(registry)) => registry,
        (None, None) => return Ok(()),
        (Some(folder), None) => StateFolder::registry_of(folder)?.ok_or_else(|| {
            let problem = format!("{} does not tell of which registry it is", folder.display());
            usage(problem, "give --policy with a registry")
        })?,
    };
    let folder = StateFolder::new(asked.state.as_deref(), &registry)?;
    let Some(first) = inventories.iter().map(|inventory| inventory.taken_at).min() else { return Ok(()) };
    let record = |mut state: CleanState| {
        for inventory in inventories {
            state.record_uses(inventory, policy);
        }
        state
    };
    folder.update(&registry, first, terminal, record).await
}

fn show(inventories: &[Inventory], asked: &InventoryArgs, terminal: Terminal) -> Result<ExitCode> {
    if let Some(file) = &asked.metrics_file {
        metrics::of_inventories(file, inventories)?;
    }
    if matches!(asked.output.as_str(), "json" | "yaml") {
        for inventory in inventories {
            match asked.output.as_str() {
                "json" => terminal.answer_json(inventory),
                _ => terminal.answer(&format!("---\n{}", files::yaml(inventory)?)),
            };
        }
    } else {
        for inventory in inventories {
            let path = asked.dir.join(file_name(&inventory.cluster));
            files::write_json(&path, inventory)?;
            terminal.say(&format!("written: {}", path.display()));
        }
        terminal.answer(&match asked.output.as_str() {
            "name" => screens::images(inventories),
            _ => screens::inventories(inventories, asked.output == "wide"),
        });
    }
    let complete = inventories.iter().all(|inventory| inventory.complete);
    Ok(if complete { ExitCode::Yes } else { ExitCode::Unprovable })
}

/// The file of a cluster: a context's name may hold what parts folders, as those of EKS do.
fn file_name(cluster: &str) -> String {
    format!("{}.json", cluster.replace(['/', '\\'], "_"))
}
