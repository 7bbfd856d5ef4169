//! How every plugin starts and ends: arguments, logging, a runtime, an exit code.

use clap::FromArgMatches;
use kubeguard_core::error::Result;

use crate::cli::ChatterArgs;
use crate::exit::ExitCode;
use crate::explain::show;
use crate::terminal::Terminal;

/// Parses the arguments of this process, answers them, and returns what the process ends with.
///
/// Usage that clap refuses ends with clap's own codes: 0 for help and version, 2 for wrong usage, as the contract says.
#[expect(clippy::needless_pass_by_value, reason = "the types of a closure behind a reference are not inferred")]
pub(crate) fn run<A, C>(
    command: clap::Command,
    chatter: impl Fn(&A) -> &ChatterArgs,
    answer: impl AsyncFn(&A, Terminal) -> Result<C>,
) -> std::process::ExitCode
where
    A: FromArgMatches,
    C: Into<std::process::ExitCode>,
{
    let args = match command.try_get_matches().and_then(|matches| A::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => {
            drop(error.print());
            return u8::try_from(error.exit_code()).unwrap_or(ExitCode::NoAnswer.code()).into();
        }
    };
    let chatter = chatter(&args);
    chatter.start_logging();
    let terminal = Terminal::new(chatter.color, chatter.quiet, chatter.verbose > 0);
    // Connections have the worker for themselves: a page is decrypted and taken in while this thread judges the one before.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal.complain(&format!("error: cannot start: {error}"));
            return ExitCode::NoAnswer.into();
        }
    };
    let ended = runtime.block_on(answer(&args, terminal)).map_or_else(
        |error| {
            show(terminal, &error);
            ExitCode::NoAnswer.into()
        },
        C::into,
    );
    // Connections that are still open must not hold the process.
    runtime.shutdown_background();
    if Terminal::has_lost_an_answer() { ExitCode::NoAnswer.into() } else { ended }
}

/// Resolves when somebody asks the process to end: Ctrl-C, or the signal by which a CI system or a cluster ends it.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut end) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = end.recv() => {}
            }
            return;
        }
    }
    drop(tokio::signal::ctrl_c().await);
}
