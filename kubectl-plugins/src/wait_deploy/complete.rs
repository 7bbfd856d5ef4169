//! What may come next on the command line: kubectl calls `kubectl_complete-wait_deploy` with the words so far.
//!
//! Contract: one candidate per line, then `:` and a directive of kubectl's own completion (2 no blank after it, 4 no
//! file names).

use std::time::Duration;

use clap::CommandFactory;
use kubeguard_core::access::Environment;
use kubeguard_core::gather::discovery::Discovery;
use kubeguard_core::gather::pages::names;
use kubeguard_core::gather::resource::Resource;
use kubeguard_core::kinds::Namespace;
use kubeguard_core::wait::reason::Reason;

use super::{Args, BINARY};
use crate::cli::AccessArgs;

/// Whoever presses the tab key does not wait longer.
const PATIENCE: Duration = Duration::from_secs(2);
const NO_FILES: u8 = 4;
const NO_BLANK: u8 = 2;
const FILES: u8 = 0;

/// Candidates, and the directive for the shell.
type Candidates = (Vec<String>, u8);

/// Prints what may come next.
#[must_use]
pub fn complete() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (found, directive) = match runtime {
        Ok(runtime) => {
            let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, candidates(&words)).await });
            runtime.shutdown_background();
            answer.unwrap_or((Vec::new(), NO_FILES))
        }
        Err(_) => (Vec::new(), NO_FILES),
    };
    let text: String = found.into_iter().map(|candidate| candidate + "\n").collect();
    crate::terminal::Terminal::plain().answer(&format!("{text}:{directive}\n"));
    std::process::ExitCode::SUCCESS
}

async fn candidates(words: &[String]) -> Candidates {
    let (current, before) = words.split_last().map_or(("", &[][..]), |(current, before)| (current.as_str(), before));
    let command = Args::command();
    let previous = before.last().map_or("", String::as_str);
    if let Some(argument) = value_of(&command, previous) {
        return values(argument, current, before).await;
    }
    if let Some((flag, start)) = current.split_once('=').filter(|(flag, _)| flag.starts_with("--")) {
        let Some(argument) = value_of(&command, flag) else { return (Vec::new(), NO_FILES) };
        let (found, directive) = values(argument, start, before).await;
        return (found.into_iter().map(|value| format!("{flag}={value}")).collect(), directive);
    }
    if current.starts_with('-') {
        let flags = command.get_arguments().filter_map(|argument| argument.get_long());
        return (starting(flags.map(|flag| format!("--{flag}")), current), NO_FILES);
    }
    objects(&command, current, before).await
}

/// Returns the flag that the word before takes its value for.
fn value_of<'a>(command: &'a clap::Command, word: &str) -> Option<&'a clap::Arg> {
    command.get_arguments().find(|argument| {
        let long = argument.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = argument.get_short().is_some_and(|short| word == format!("-{short}"));
        argument.get_action().takes_values() && (long || short)
    })
}

async fn values(argument: &clap::Arg, start: &str, before: &[String]) -> Candidates {
    let fixed = |values: &[&str]| (starting(values.iter().map(ToString::to_string), start), NO_FILES);
    match argument.get_id().as_str() {
        "namespace" => (starting(listed(&Resource::of::<Namespace>(), None, before).await, start), NO_FILES),
        "context" => {
            let contexts = access(before).access(BINARY).contexts(&Environment::of_process()).unwrap_or_default();
            (starting(contexts, start), NO_FILES)
        }
        "until" => fixed(&["observed", "updated", "available", "gone", "serving", "stable"]),
        "profile" => fixed(&["strict", "normal", "patient"]),
        "evidence" => fixed(&["any", "strong"]),
        "on_failure" => fixed(&["fast", "collect"]),
        "paused" => fixed(&["suspended", "complete", "failed"]),
        "job_mode" => fixed(&["complete", "started"]),
        "pod_mode" => fixed(&["ready", "complete"]),
        "tolerate" | "fail_on" => {
            (starting(Reason::ALL.iter().map(|reason| reason.word().to_owned()), start), NO_FILES)
        }
        "filename" | "kustomize" | "rules" | "record" | "replay" | "kubeconfig" => (Vec::new(), FILES),
        _ => {
            let possible = argument.get_possible_values();
            (starting(possible.iter().map(|value| value.get_name().to_owned()), start), NO_FILES)
        }
    }
}

/// Types, `TYPE/` names, and names behind a type.
async fn objects(command: &clap::Command, current: &str, before: &[String]) -> Candidates {
    let mut typed = Vec::new();
    let mut words = before.iter();
    while let Some(word) = words.next() {
        if value_of(command, word).is_some() {
            words.next();
        } else if !word.starts_with('-') {
            typed.push(word.as_str());
        }
    }
    let namespace = namespace(before);
    if let Some((kind, start)) = current.split_once('/') {
        let Some(resource) = resource(kind, before).await else { return (Vec::new(), NO_FILES) };
        let found = starting(listed(&resource, namespace.as_deref(), before).await, start);
        return (found.into_iter().map(|name| format!("{kind}/{name}")).collect(), NO_FILES);
    }
    match typed.first() {
        Some(kind) if !kind.contains('/') => {
            let Some(resource) = resource(kind, before).await else { return (Vec::new(), NO_FILES) };
            (starting(listed(&resource, namespace.as_deref(), before).await, current), NO_FILES)
        }
        first => {
            let kinds = discovery(before).await;
            let mut heads: Vec<String> = kinds.names().map(|name| format!("{name}/")).collect();
            if first.is_none() && "reasons".starts_with(current) | "rules".starts_with(current) {
                heads.extend(["reasons", "rules"].map(ToOwned::to_owned));
            }
            (starting(heads, current), NO_FILES | NO_BLANK)
        }
    }
}

fn starting(all: impl IntoIterator<Item = String>, start: &str) -> Vec<String> {
    let mut found: Vec<String> = all.into_iter().filter(|candidate| candidate.starts_with(start)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Reads the flags so far that say which cluster; what cannot be parsed yet counts as not there.
fn access(before: &[String]) -> AccessArgs {
    use clap::FromArgMatches;
    let command = <AccessArgs as clap::Args>::augment_args(clap::Command::new(BINARY)).ignore_errors(true);
    let command = command.arg(clap::Arg::new("rest").num_args(0..).allow_hyphen_values(true).trailing_var_arg(true));
    let matches = command.try_get_matches_from(std::iter::once(BINARY.to_owned()).chain(before.iter().cloned()));
    matches.ok().and_then(|matches| AccessArgs::from_arg_matches(&matches).ok()).unwrap_or_default()
}

fn namespace(before: &[String]) -> Option<String> {
    let mut words = before.iter();
    while let Some(word) = words.next() {
        if word == "-n" || word == "--namespace" {
            return words.next().cloned();
        }
        if let Some(namespace) = word.strip_prefix("--namespace=").or_else(|| word.strip_prefix("-n=")) {
            return Some(namespace.to_owned());
        }
    }
    None
}

async fn discovery(before: &[String]) -> Discovery {
    let known = Discovery::well_known();
    match access(before).access(BINARY).connect(&Environment::of_process()).await {
        Ok(cluster) => Discovery::of(&cluster).await.unwrap_or(known),
        Err(_) => known,
    }
}

async fn resource(kind: &str, before: &[String]) -> Option<Resource> {
    if let Some(known) = Discovery::well_known().resolve(kind) {
        return Some(known.clone());
    }
    discovery(before).await.resolve(kind).cloned()
}

async fn listed(resource: &Resource, namespace: Option<&str>, before: &[String]) -> Vec<String> {
    let Ok(cluster) = access(before).access(BINARY).connect(&Environment::of_process()).await else {
        return Vec::new();
    };
    let namespace = namespace.unwrap_or_else(|| cluster.default_namespace()).to_owned();
    let place = resource.namespaced.then_some(namespace.as_str());
    names(&cluster, resource, place).await.unwrap_or_default()
}
