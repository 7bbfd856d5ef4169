//! `kubectl ecr-clean explain`: what keeps an image, or why and from when it may go.

mod screen;

use std::path::{Path, PathBuf};

use kubeguard_core::ecr::explain::{deletions, explain, is_askable};
use kubeguard_core::ecr::plan::Plan;
use kubeguard_core::error::Result;

use super::args::Args;
use super::files::StateFolder;
use super::judgement::JudgementArgs;
use super::{NAME, files, usage};
use crate::exit::ExitCode;
use crate::terminal::{Terminal, printable};

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Image, as in app:v2 or app@sha256:…
    #[arg(value_name = "IMAGE")]
    pub(super) image: String,
    /// Read this plan, which lists ten votes of a kind, instead of planning anew with --policy [default: plan.json]
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub(super) plan_file: Option<PathBuf>,
    /// How the answer is written; wide adds types, order and whole digests
    #[arg(short, long, value_parser = ["table", "wide", "json", "yaml", "name"], default_value = "table", value_name = "FORMAT")]
    pub(super) output: String,
    #[command(flatten)]
    pub(super) judged: JudgementArgs,
}

/// Explains an image.
pub(super) async fn run(args: &Args, asked: &ExplainArgs, terminal: Terminal) -> Result<ExitCode> {
    if !is_askable(&asked.image) {
        return Err(usage(
            format!("{:?} is no image", asked.image),
            "as in app:v2, app@sha256:…, or app for all of it",
        ));
    }
    let plan = if asked.judged.policy.is_some() {
        asked.judged.gather(args, terminal).await?.plan_explaining(&asked.image)
    } else {
        written(asked.plan_file.as_deref().unwrap_or_else(|| Path::new("plan.json")))?
    };
    let explanation = explain(&plan, &asked.image);
    if explanation.entries.is_empty() {
        terminal.complain(&format!("{} is not among the {} images of this plan", asked.image, plan.images.len()));
        let state = StateFolder::new(asked.judged.state.as_deref(), &plan.registry)?.read(&plan.registry)?;
        for deletion in state.iter().flat_map(|state| deletions(state, &plan, &asked.image)) {
            terminal.complain(&printable(&screen::deletion(deletion)));
        }
        return Ok(ExitCode::No);
    }
    terminal.answer(&match asked.output.as_str() {
        "json" => files::pretty(&explanation)?,
        "yaml" => files::yaml(&explanation)?,
        "name" => {
            let entries = explanation.entries.iter().map(|explained| &explained.entry);
            entries.map(|entry| printable(&format!("{}@{}", entry.repository, entry.digest)) + "\n").collect()
        }
        format => screen::explanation(&explanation, format == "wide"),
    });
    Ok(if explanation.incomplete { ExitCode::Unprovable } else { ExitCode::Yes })
}

fn written(file: &Path) -> Result<Plan> {
    let plan = files::plan(file)?;
    if plan.is_altered() {
        let hint = format!("make it anew: {NAME} plan");
        return Err(usage(format!("{} was altered since it was made", file.display()), hint));
    }
    Ok(plan)
}
