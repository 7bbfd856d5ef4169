//! `kubectl ecr-clean restore`: takes archived images back, with what they need to be pulled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kubeguard_core::ecr::look::describe;
use kubeguard_core::ecr::plan::{Plan, VoteKind};
use kubeguard_core::ecr::registry::Registry;
use kubeguard_core::ecr::restore::{Restored, restorable, restore};
use kubeguard_core::ecr::snapshot::{RegistrySnapshot, RepositorySnapshot, Status};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::images::{Digest, HostMap, ImageKey, ImageRef, RegistryId};
use serde::Serialize;

use super::args::Args;
use super::judgement::{JudgementArgs, everything, gaps};
use super::progress::Progress;
use super::registry::{Choice, connected, look};
use super::screens::{lines, row, short, size};
use super::{files, usage};
use crate::duration::parse_limit;
use crate::exit::ExitCode;
use crate::terminal::{Terminal, printable};

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// Images, as in app:v2 or app@sha256:…
    #[arg(value_name = "IMAGE", required_unless_present = "in_use", conflicts_with = "in_use")]
    pub(super) images: Vec<String>,
    /// Everything archived that a declared cluster uses
    #[arg(long)]
    pub(super) in_use: bool,
    /// Wait until they can be pulled, for this long at most: 20m
    #[arg(long, value_name = "DURATION", value_parser = parse_limit)]
    pub(super) wait: Option<Duration>,
    /// Change nothing, and print the calls
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How the answer is written; wide adds sizes and times, and whole digests
    #[arg(short, long, value_parser = ["table", "wide", "json", "yaml", "name"], default_value = "table", value_name = "FORMAT")]
    pub(super) output: String,
    #[command(flatten)]
    pub(super) judged: JudgementArgs,
}

/// What became of a restoration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RestoreReport {
    api_version: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    items: Vec<Restored>,
    /// Images that are not there, or not archived, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
}

/// Restores what was named, or what is in use.
pub(super) async fn run(args: &Args, asked: &RestoreArgs, terminal: Terminal) -> Result<ExitCode> {
    let mut code = ExitCode::Yes;
    let mut left_out = Vec::new();
    let (ecr, snapshot, wanted) = if asked.in_use {
        let judged = asked.judged.gather(args, terminal).await?;
        let plan = judged.plan();
        code = gaps(&plan);
        let said = plan.refused.iter().map(|refused| format!("{}: {}", refused.reason.word(), refused.message));
        for line in said.collect::<BTreeSet<_>>() {
            terminal.complain(&printable(&line));
        }
        (judged.ecr, judged.registry, used(&plan))
    } else {
        let policy = everything()?;
        // What is no image is told before anything is asked; the account may only be known then.
        let anybody = RegistryId::new(asked.judged.aws.registry.as_deref().unwrap_or("000000000000"), "us-east-1");
        asked.images.iter().try_for_each(|image| parsed(image, &anybody).map(drop))?;
        let ecr = connected(&asked.judged.aws, &policy).await?;
        let keys = asked.images.iter().map(|image| key(image, ecr.id())).collect::<Result<Vec<_>>>()?;
        let names = keys.iter().map(|key| key.repository.clone()).collect();
        let looked = look(ecr, asked.judged.state.as_deref(), &policy, &Choice::Named(names), terminal).await?;
        let wanted = named(&asked.images, &keys, &looked.snapshot, &mut left_out);
        (looked.ecr, looked.snapshot, wanted)
    };
    if !left_out.is_empty() {
        code = ExitCode::No;
    }
    for problem in snapshot.repositories.iter().filter_map(|repository| repository.problem.as_ref()) {
        let more = "what it lists is not known until it is active: then restore it once more";
        terminal.complain(&printable(&format!("{}; {more}", problem.message)));
        code = code.worse(ExitCode::Partly);
    }
    let mut items = Vec::new();
    let progress = Progress::doing("restoring", terminal, Some(&ecr));
    for (done, repository) in snapshot.repositories.iter().enumerate() {
        let name = repository.repository.name.as_str();
        let Some(digests) = wanted.get(name) else { continue };
        let digests = restorable(repository, &digests.iter().copied().collect::<Vec<_>>());
        progress.repository(name, done, snapshot.repositories.len());
        if asked.dry_run {
            let due = |digest| Restored { repository: name.to_owned(), digest, status: None, error: None };
            items.extend(digests.into_iter().map(due));
        } else {
            items.extend(restore(&ecr, name, &digests).await);
        }
    }
    drop(progress);
    if items.iter().any(|item| item.error.is_some()) {
        code = code.worse(ExitCode::Partly);
    }
    if let Some(limit) = asked.wait.filter(|_| !asked.dry_run) {
        let active = wait(&ecr, &mut items, limit, terminal).await?;
        if !active {
            code = code.worse(ExitCode::NotYet);
        }
    }
    let report = RestoreReport {
        api_version: "kubeguard.dev/v1",
        kind: "RestoreReport",
        dry_run: asked.dry_run,
        items,
        left_out,
    };
    terminal.answer(&match asked.output.as_str() {
        "json" => files::pretty(&report)?,
        "yaml" => files::yaml(&report)?,
        "name" => report.items.iter().map(|item| format!("{}@{}\n", item.repository, item.digest)).collect(),
        format => table(&report, &snapshot, format == "wide"),
    });
    Ok(code)
}

/// Reads an image of this registry, with or without its host.
///
/// # Errors
/// When it is of another registry, or no reference at all.
fn key(text: &str, registry: &RegistryId) -> Result<ImageKey> {
    let key = parsed(text, registry)?;
    if key.registry == *registry {
        return Ok(key);
    }
    Err(usage(format!("{text} is of {}, not of {registry}", key.registry), ""))
}

/// Reads an image of any registry; without a host it is of this one.
///
/// # Errors
/// When it is no reference at all.
fn parsed(text: &str, registry: &RegistryId) -> Result<ImageKey> {
    let hosts = HostMap::default();
    let given = match ImageRef::parse(text, &hosts) {
        ImageRef::Ecr(key) => ImageRef::Ecr(key),
        _ => ImageRef::parse(&format!("{}/{text}", registry.host()), &hosts),
    };
    match given {
        ImageRef::Ecr(key) => Ok(key),
        _ => Err(usage(format!("{text:?} is no image"), "as in app:v2 or app@sha256:…")),
    }
}

/// The entries that images name; what is not archived, or not there, is told.
fn named(
    texts: &[String],
    keys: &[ImageKey],
    registry: &RegistrySnapshot,
    left_out: &mut Vec<String>,
) -> BTreeMap<String, BTreeSet<Digest>> {
    let mut wanted: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    for (text, key) in texts.iter().zip(keys) {
        let repository = registry.repositories.iter().find(|known| known.repository.name == key.repository);
        let entries = repository.map_or(&[][..], |repository| repository.entries.as_slice());
        let found = entries.iter().find(|entry| match (&key.digest, &key.tag) {
            (Some(digest), _) => entry.digest == *digest,
            (None, tag) => tag.as_ref().is_some_and(|tag| entry.tags.contains(tag)),
        });
        let Some(entry) = found else {
            left_out.push(format!("{text} is not in the registry"));
            continue;
        };
        if repository.is_none_or(|repository| restorable(repository, &[entry.digest]).is_empty()) {
            left_out.push(match entry.status {
                Status::Active => format!("{text} is active, and so is everything it needs"),
                Status::Activating => format!("{text} is being restored already"),
                Status::Archived | Status::Other(_) => format!("{text} is in a state that cannot be restored"),
            });
            continue;
        }
        wanted.entry(key.repository.clone()).or_default().insert(entry.digest);
    }
    wanted
}

/// Entries that cannot be pulled though somebody uses them, or needs them through an index or a signature.
fn used(plan: &Plan) -> BTreeMap<String, BTreeSet<Digest>> {
    let mut wanted: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    let uses = |vote| matches!(vote, VoteKind::InUse | VoteKind::Standby);
    for image in plan.images.iter().filter(|image| image.kept.iter().any(|kept| uses(kept.vote))) {
        wanted.entry(image.repository.clone()).or_default().insert(image.digest);
    }
    wanted
}

/// Waits until everything that was restored can be pulled; returns whether it can.
async fn wait<R: Registry>(registry: &R, items: &mut [Restored], limit: Duration, terminal: Terminal) -> Result<bool> {
    let end = tokio::time::Instant::now() + limit;
    let mut pause = Duration::from_secs(1);
    let mut last = 0;
    loop {
        let mut open: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
        for item in items.iter().filter(|item| item.error.is_none() && item.status != Some(Status::Active)) {
            open.entry(item.repository.clone()).or_default().push(item.digest);
        }
        let waiting: usize = open.values().map(Vec::len).sum();
        if waiting == 0 {
            return Ok(items.iter().all(|item| item.error.is_none()));
        }
        if waiting != last {
            terminal.say(&format!("waiting for {waiting} of {}", items.len()));
            last = waiting;
        }
        if tokio::time::Instant::now() >= end {
            return Ok(false);
        }
        tokio::time::sleep(pause.min(end.saturating_duration_since(tokio::time::Instant::now()))).await;
        pause = (pause * 2).min(Duration::from_secs(30));
        for (repository, digests) in open {
            let doing = format!("look after the images of {repository}");
            let seen = describe(registry, &repository, &digests).await;
            let seen = seen.map_err(|source| Error::Registry { doing, source: Box::new(source) })?;
            for item in items.iter_mut().filter(|item| item.repository == repository) {
                if let Some(entry) = seen.iter().find(|entry| entry.digest == item.digest) {
                    item.status = Some(entry.status.clone());
                }
            }
        }
    }
}

fn table(report: &RestoreReport, registry: &RegistrySnapshot, wide: bool) -> String {
    let entry = |item: &Restored| {
        let of = |repository: &&RepositorySnapshot| repository.repository.name == item.repository;
        let entries = registry.repositories.iter().find(of).map(|repository| repository.entries.iter());
        entries.into_iter().flatten().find(|entry| entry.digest == item.digest)
    };
    let mut header = vec!["REPOSITORY", "DIGEST", "TAGS", "STATUS"];
    if wide {
        header.extend(["SIZE", "PUSHED", "ARCHIVED"]);
    }
    let mut rows = vec![row(&header)];
    rows.extend(report.items.iter().map(|item| {
        let entry = entry(item);
        let tags = entry.map_or(String::new(), |entry| entry.tags.join(","));
        let status = match (&item.error, &item.status) {
            (Some(error), _) => format!("failed: {error}"),
            (None, Some(Status::Active)) => "active".to_owned(),
            (None, Some(Status::Activating)) => "requested: takes up to 20 minutes".to_owned(),
            (None, Some(Status::Archived)) => "still archived".to_owned(),
            (None, Some(Status::Other(other))) => other.clone(),
            (None, None) => "would be restored".to_owned(),
        };
        let digest = if wide { item.digest.to_string() } else { format!("sha256:{}…", short(&item.digest.hex())) };
        let mut cells = row(&[&item.repository, &digest, &tags, &status]);
        if wide {
            let time = |time: Option<Timestamp>| time.map_or("<none>".to_owned(), |time| time.to_string());
            cells.push(entry.and_then(|entry| entry.bytes).map_or("<none>".to_owned(), size));
            cells.push(time(entry.and_then(|entry| entry.pushed_at)));
            cells.push(time(entry.and_then(|entry| entry.last_archived_at)));
        }
        cells
    }));
    let mut text = if report.items.is_empty() { String::new() } else { lines(rows) };
    for said in &report.left_out {
        text += &printable(said);
        text.push('\n');
    }
    if text.is_empty() { "nothing that is in use is archived\n".to_owned() } else { text }
}
