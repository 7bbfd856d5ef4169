//! `kubectl ecr-clean verify`.

use kubeguard_core::error::Result;

use super::args::Args;
use super::judgement::JudgementArgs;
use crate::exit::ExitCode;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    pub(super) judged: JudgementArgs,
}

pub(super) async fn run(args: &Args, asked: &VerifyArgs, terminal: Terminal) -> Result<ExitCode> {
    let judged = asked.judged.gather(args, terminal).await?;
    let _ = judged.inventories();
    Ok(super::judgement::gaps(&judged.plan()))
}
