//! `kubectl ecr-clean explain`: what keeps an image of a plan, or why it may go.

use std::path::PathBuf;

use kubeguard_core::error::Result;

use super::{NAME, files, screens, usage};
use crate::exit::ExitCode;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Image, as in app:v2 or app@sha256:…
    #[arg(value_name = "IMAGE")]
    pub(super) image: String,
    /// The plan
    #[arg(long, value_name = "FILE", default_value = "plan.json")]
    pub(super) plan_file: PathBuf,
    /// How the answer is written
    #[arg(short, long, value_parser = ["table", "json"], default_value = "table", value_name = "FORMAT")]
    pub(super) output: String,
}

/// Explains an image.
pub(super) fn run(asked: &ExplainArgs, terminal: Terminal) -> Result<ExitCode> {
    let plan = files::plan(&asked.plan_file)?;
    if plan.is_altered() {
        let hint = format!("make it anew: {NAME} plan");
        return Err(usage(format!("{} was altered since it was made", asked.plan_file.display()), hint));
    }
    let found = screens::found(&plan, &asked.image);
    if found.is_empty() {
        terminal.complain(&format!("{} is not among the {} images of this plan", asked.image, plan.images.len()));
        return Ok(ExitCode::No);
    }
    let text = if asked.output == "json" { files::pretty(&found)? } else { screens::explanation(&plan, &found) };
    terminal.answer(&text);
    Ok(ExitCode::Yes)
}
