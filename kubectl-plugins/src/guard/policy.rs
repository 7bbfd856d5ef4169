//! `kubectl guard policy`: prints admission policies, quotas and roles, and applies nothing.

use std::path::PathBuf;

use clap::ValueEnum;
use kubeguard_core::error::{Error, Result};
use kubeguard_core::policies::{BUNDLES, Bundle, PolicySettings, Stage};
use serde_json::{Value, json};

use crate::exit::ExitCode;
use crate::output::{columns, json};
use crate::terminal::Terminal;

/// Which policies are printed, and how strict they are.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  kubectl guard policy                                  what there is, and what it keeps away
  kubectl guard policy surge zone | kubectl apply -f -  warn; nothing is refused yet
  kubectl guard policy --for daemonsets --stage deny -f kubeguard-policy.yaml

Policies without parameters judge only namespaces that ask for them: kubectl label namespace team kubeguard.dev/surge=enabled
")]
pub(crate) struct PolicyArgs {
    /// Policies to print; without any they are listed
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print everything that is for one subject
    #[arg(long = "for", value_name = "SUBJECT", conflicts_with = "names")]
    subject: Option<String>,
    /// File with budgets, exempt namespaces and allow-lists
    #[arg(short, long, value_name = "FILE")]
    filename: Option<PathBuf>,
    /// How strictly they are enforced
    #[arg(long, value_name = "STAGE", value_enum, default_value_t)]
    stage: StageArg,
    /// Print the parameters alone, to be applied again when the number of nodes has changed
    #[arg(long)]
    params: bool,
    /// Answer format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: PolicyFormat,
}

/// How strictly policies are enforced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum StageArg {
    /// Refusals are written into the audit log
    Audit,
    /// Users are warned as well
    #[default]
    Warn,
    /// Objects are refused
    Deny,
}

/// How policies are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum PolicyFormat {
    /// A stream of YAML documents
    #[default]
    Yaml,
    /// One List
    Json,
    /// kind/name per line
    Name,
}

/// Prints what was asked for.
pub(crate) fn run(asked: &PolicyArgs, terminal: Terminal) -> Result<ExitCode> {
    let settings = match &asked.filename {
        None => PolicySettings::default(),
        Some(path) => {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
            PolicySettings::parse(&file, &text)?
        }
    };
    let chosen = chosen(asked)?;
    if chosen.is_empty() {
        terminal.answer(&list());
        return Ok(ExitCode::Yes);
    }
    let stage = match asked.stage {
        StageArg::Audit => Stage::Audit,
        StageArg::Warn => Stage::Warn,
        StageArg::Deny => Stage::Deny,
    };
    let manifests = chosen.iter().flat_map(|bundle| bundle.manifests(&settings, stage));
    let manifests: Vec<Value> = manifests.filter(|one| !asked.params || one["kind"] == "ConfigMap").collect();
    if manifests.is_empty() {
        return Err(usage("none of these has parameters".to_owned(), "daemonset and hpa have"));
    }
    terminal.answer(&written(&manifests, asked.output)?);
    Ok(ExitCode::Yes)
}

fn usage(problem: String, hint: impl Into<String>) -> Error {
    Error::Configuration { problem, hint: hint.into(), source: None }
}

/// Returns the bundles that were asked for; none where none was named.
fn chosen(asked: &PolicyArgs) -> Result<Vec<&'static Bundle>> {
    if let Some(subject) = &asked.subject {
        let found: Vec<&Bundle> = BUNDLES.iter().filter(|bundle| bundle.of == subject).collect();
        let mut known: Vec<&str> = BUNDLES.iter().map(|bundle| bundle.of).collect();
        known.sort_unstable();
        known.dedup();
        return if found.is_empty() { Err(unknown("policy for", subject, &known)) } else { Ok(found) };
    }
    let known: Vec<&str> = BUNDLES.iter().map(|bundle| bundle.name).collect();
    let found = |name: &String| {
        let found = BUNDLES.iter().find(|bundle| bundle.name == name);
        found.ok_or_else(|| unknown("policy", name, &known))
    };
    asked.names.iter().map(found).collect()
}

fn unknown(what: &str, word: &str, known: &[&str]) -> Error {
    let near = known.iter().find(|known| known.starts_with(word) || word.starts_with(**known));
    let hint = near.map_or_else(|| format!("known: {}", known.join(", ")), |near| format!("did you mean {near}?"));
    usage(format!("there is no {what} {word:?}"), hint)
}

fn list() -> String {
    let mut lines = vec![["NAME", "FOR", "KEEPS AWAY", "KIND", "NEEDS", "RULES"].map(ToOwned::to_owned).to_vec()];
    lines.extend(BUNDLES.iter().map(|bundle| {
        let rules = bundle.rules.join(" ");
        let cells = [bundle.name, bundle.of, bundle.keeps_away, bundle.kind, bundle.needs, &rules];
        cells.map(ToOwned::to_owned).to_vec()
    }));
    columns(lines).join("\n") + "\n"
}

fn written(manifests: &[Value], format: PolicyFormat) -> Result<String> {
    let failed = |error: String| usage(format!("cannot write: {error}"), "");
    match format {
        PolicyFormat::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
            json::text(&list).map_err(|error| failed(error.to_string()))
        }
        PolicyFormat::Yaml => {
            let mut text = String::new();
            for manifest in manifests {
                let one = serde_saphyr::to_string(manifest).map_err(|error| failed(error.to_string()))?;
                text += &format!("---\n{}\n", one.trim_end());
            }
            Ok(text)
        }
        PolicyFormat::Name => {
            let name = |one: &Value| {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                format!("{}/{}\n", word(&one["kind"]).to_lowercase(), word(&one["metadata"]["name"]))
            };
            Ok(manifests.iter().map(name).collect())
        }
    }
}
