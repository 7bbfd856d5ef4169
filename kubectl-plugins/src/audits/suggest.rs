//! `kubectl probe-audit suggest`: probes written from what is known, each number with its reason.

use clap::ValueEnum;
use kubeguard_core::audit::Skipped;
use kubeguard_core::audit::probes::Starts;
use kubeguard_core::audit::probes::suggest::{self, ContainerSuggestion, Field, Suggestion, Wish};
use kubeguard_core::error::Result;
use serde::Serialize;
use serde_json::Value;

use super::ask::{self, AskArgs};
use crate::exit::ExitCode;
use crate::output::json;
use crate::terminal::{Terminal, printable};

const EXAMPLES: &str = "Examples:
  # probes of one deployment, as a patch with reasons
  kubectl probe-audit suggest deploy/mail -n shop

  # look at it, then apply it
  kubectl probe-audit suggest deploy/mail -n shop > probes.yaml
  kubectl patch deploy/mail -n shop --patch-file probes.yaml --dry-run=server

  # what files lack
  helm template charts/shop | kubectl probe-audit suggest -f -

Exit codes:
  0    told
  2    no answer: wrong usage, no such workload, cluster cannot be reached, no permission, unreadable file
  6    partly: something could not be read; it is named
  130  interrupted
";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SuggestArgs {
    /// Workloads as TYPE/NAME, or one TYPE and its names [default: all that are read]
    #[arg(value_name = "TYPE/NAME")]
    names: Vec<String>,
    /// Liveness also where there is none
    #[arg(long)]
    with_liveness: bool,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    output: Format,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// A patch for each workload, with a reason behind each number
    #[default]
    Yaml,
    /// One JSON object, with strategic merge patches and JSON patches
    Json,
    /// Names of the workloads for which something is suggested
    Name,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SuggestReport {
    api_version: &'static str,
    kind: &'static str,
    complete: bool,
    items: Vec<Suggestion>,
    skipped: Vec<Skipped>,
}

pub(super) async fn run(asked: &SuggestArgs, terminal: Terminal) -> Result<ExitCode> {
    let Some(known) = asked.ask.read(&suggest::needs(), terminal).await? else { return Ok(ExitCode::Yes) };
    let workloads = ask::workloads(&known, &asked.names)?;
    let starts = Starts::of(&known.facts);
    let wish = Wish { policy: &known.policy, now: known.now, with_liveness: asked.with_liveness };
    let items: Vec<Suggestion> =
        workloads.iter().map(|carrier| suggest::suggest(&known.facts, carrier, &starts, wish)).collect();
    let skipped = suggest::skipped(&known.facts);
    let nothing = items.iter().all(Suggestion::is_empty);
    if nothing {
        terminal.say(if items.is_empty() { "no workload was found" } else { "nothing to suggest" });
    }
    let report = SuggestReport {
        api_version: "kubeguard.dev/v1",
        kind: "SuggestReport",
        complete: skipped.is_empty(),
        items,
        skipped,
    };
    terminal.answer(&match asked.output {
        Format::Yaml => patches(&report, !asked.names.is_empty()),
        Format::Json => ask::json(&report),
        Format::Name => {
            let named = report.items.iter().filter(|item| !item.is_empty());
            named.map(|item| printable(&item.object.to_string()) + "\n").collect()
        }
    });
    Ok(ask::code(&report.skipped, nothing))
}

/// Writes a document for each workload that gets something; with `all` also why the others do not.
fn patches(report: &SuggestReport, all: bool) -> String {
    let shown = report.items.iter().filter(|item| all || !item.is_empty());
    let documents: Vec<String> = shown.map(document).collect();
    let unread: String = ask::unread(&report.skipped).lines().map(|line| format!("# {line}\n")).collect();
    documents.join("---\n") + &unread
}

fn document(item: &Suggestion) -> String {
    let object = &item.object;
    let place = if object.namespace.is_empty() { String::new() } else { format!(" in namespace {}", object.namespace) };
    let mut text = format!("# {}{place}\n", printable(&object.to_string()));
    for left in &item.left {
        text += &comment(&format!("container {}: {}", left.container, left.reason));
    }
    if item.is_empty() {
        return text;
    }
    for container in &item.containers {
        text += &comment(&format!("container {}: {}", container.container, container.about));
    }
    let mut writer = Writer { text, depth: 0 };
    writer.line("spec:", "");
    let parts: Vec<&str> = item.path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        writer.depth += 1;
    } else {
        // The workload's own fields stand beside its template.
        writer.depth += 1;
        for field in &item.fields {
            writer.field(field);
        }
        for part in parts.iter().skip(1) {
            writer.line(&format!("{part}:"), "");
            writer.depth += 1;
        }
        writer.line("spec:", "");
        writer.depth += 1;
    }
    for (list, native) in [("initContainers", true), ("containers", false)] {
        let own: Vec<&ContainerSuggestion> = item.containers.iter().filter(|one| one.native == native).collect();
        if own.is_empty() {
            continue;
        }
        writer.line(&format!("{list}:"), "");
        for container in own {
            writer.line(&format!("- name: {}", flow(&Value::String(container.container.clone()))), "");
            writer.depth += 1;
            for probe in &container.probes {
                let key = format!("{}Probe:", probe.probe);
                if probe.fields.is_empty() {
                    writer.line(&format!("{key} null"), &probe.reason);
                    continue;
                }
                writer.line(&key, &probe.reason);
                writer.depth += 1;
                for field in &probe.fields {
                    writer.field(field);
                }
                writer.depth -= 1;
            }
            writer.depth -= 1;
        }
    }
    writer.text
}

fn comment(text: &str) -> String {
    format!("# {}\n", printable(text))
}

struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    fn field(&mut self, field: &Field) {
        self.line(&format!("{}: {}", field.name, flow(&field.value)), &field.reason);
    }

    fn line(&mut self, line: &str, reason: &str) {
        let line = format!("{}{line}", "  ".repeat(self.depth));
        let line = if reason.is_empty() { line } else { format!("{line:<48} # {}", printable(reason)) };
        self.text += &(line + "\n");
    }
}

/// Writes a value in one line: plain words as they are, everything else as JSON, which is YAML too.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {}", flow(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) => {
            json::line(text).map_or_else(|error| error.to_string(), |text| text.trim_end().to_owned())
        }
        other => other.to_string(),
    }
}

/// Returns whether every reader of YAML takes a text for a text without quotes.
fn is_plain(text: &str) -> bool {
    let word = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
    word && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n")
}
