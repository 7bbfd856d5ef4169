//! `kubectl ecr-clean report`: sizes and costs.

use clap::value_parser;
use kubeguard_core::ecr::lint::QUOTA;
use kubeguard_core::ecr::registry::Registry as _;
use kubeguard_core::ecr::report::{
    Amounts, Growth, Inputs, RegistryReport, read_layers, recall_layers, report, unread_layers, untrusted_windows,
};
use kubeguard_core::ecr::snapshot::RegistrySnapshot;
use kubeguard_core::error::Result;

use super::args::Args;
use super::files::{self, StateFolder};
use super::judgement::JudgementArgs;
use super::progress::Progress;
use super::screens::{lines, row, size};
use crate::exit::ExitCode;
use crate::terminal::{Terminal, printable};

#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Read manifests although the policy decides by pull times and the own role's pulls are recorded
    #[arg(long)]
    read_manifests: bool,
    /// US dollars for a GB-month
    #[arg(long, value_name = "N", default_value = "0.10", value_parser = micro_dollars)]
    price: u64,
    /// Entries that AWS allows in one repository
    #[arg(long, value_name = "N", default_value_t = QUOTA, value_parser = value_parser!(u64).range(1..))]
    quota: u64,
    /// How the answer is written
    #[arg(short, long, value_parser = ["table", "wide", "json", "yaml", "name"], default_value = "table", value_name = "FORMAT")]
    output: String,
    #[command(flatten)]
    judged: JudgementArgs,
}

/// Reads dollars, with at most six decimals, as micro-dollars.
fn micro_dollars(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("{text:?} is no price; write dollars, as in 0.10");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
    whole.checked_mul(1_000_000).and_then(|whole| whole.checked_add(part)).ok_or_else(wrong)
}

/// Reads usage, registry and manifests, and shows sizes and costs.
pub(super) async fn run(args: &Args, asked: &ReportArgs, terminal: Terminal) -> Result<ExitCode> {
    let mut judged = asked.judged.gather(args, terminal).await?;
    // Before our own reads, which count as pulls.
    let plan = judged.plan();
    let folder = StateFolder::new(asked.judged.state.as_deref(), judged.ecr.id())?;
    let cache = folder.manifests();
    let unread = unread_layers(&plan, &judged.registry);
    recall_layers(&mut judged.registry, &unread, &cache)?;
    let unread = unread_layers(&plan, &judged.registry);
    let windows = untrusted_windows(&judged.policy, &judged.registry).filter(|_| !asked.read_manifests);
    let mut code = ExitCode::Yes;
    if let Some(windows) = windows.filter(|_| !unread.is_empty()) {
        let entries: usize = unread.iter().map(|(_, digests)| digests.len()).sum();
        terminal.complain(&format!(
            "{entries} manifests are not read: that counts as a pull, and {windows} decides by pull times\n\
             try: --read-manifests reads them; or exclude the role, kubectl ecr-clean lint prints the call"
        ));
        code = ExitCode::Unprovable;
    } else {
        let bar = Progress::doing("manifests", terminal, Some(&judged.ecr));
        let progress = |name: &str, done: usize| bar.repository(name, done, unread.len());
        let read = read_layers(&judged.ecr, &mut judged.registry, &unread, &cache, &progress).await;
        drop(bar);
        remember(&judged.registry, &folder, terminal).await?;
        for (repository, why) in read? {
            terminal.complain(&printable(&format!("{repository}: {why}")));
            code = ExitCode::Partly;
        }
    }
    if judged.registry.repositories.iter().any(|repository| repository.problem.is_some()) {
        code = code.worse(ExitCode::Partly);
    }
    let (registry, state) = (&judged.registry, judged.state.as_ref());
    let report = report(&Inputs { plan: &plan, registry, state, price: asked.price, quota: asked.quota });
    terminal.answer(&match asked.output.as_str() {
        "json" => files::pretty(&report)?,
        "yaml" => files::yaml(&report)?,
        "name" => report.items.iter().map(|item| printable(&item.name) + "\n").collect(),
        format => table(&report, format == "wide"),
    });
    if !plan.refused.is_empty() {
        terminal.say("some repositories are refused, so nothing of them counts as reclaimable: plan says why");
    }
    Ok(code)
}

/// Remembers our own reads, so that the next plan does not take them for somebody's pulls.
async fn remember(registry: &RegistrySnapshot, folder: &StateFolder, terminal: Terminal) -> Result<()> {
    if registry.repositories.iter().all(|repository| repository.manifests_read.is_empty()) {
        return Ok(());
    }
    folder.update(&registry.registry, registry.taken_at, terminal, |state| state.after_reads(registry)).await
}

fn table(report: &RegistryReport, wide: bool) -> String {
    let mut header = vec!["REPOSITORY", "ENTRIES", "ROOTS", "SIZE", "RECLAIMABLE", "COST", "GROWTH", "QUOTA"];
    if wide {
        header.extend(["ARCHIVED", "CANDIDATES"]);
    }
    let mut rows = vec![row(&header)];
    for item in &report.items {
        rows.push(cells(&item.name, &item.amounts, item.growth.as_ref(), wide));
    }
    if report.items.len() > 1 {
        rows.push(cells("total", &report.summary, None, wide));
    }
    let mut text = lines(rows);
    for item in &report.items {
        if let Some(problem) = &item.problem {
            text += &printable(&format!("{} could not be read: {problem}", item.name));
            text.push('\n');
        }
    }
    let alone = report.summary.kept_only_by.iter().filter(|(_, bytes)| **bytes > 0).map(|(kind, bytes)| {
        let word = serde_json::to_value(kind).ok();
        let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or_default().to_owned();
        format!("{word} {}", bound(*bytes, &report.summary))
    });
    let alone: Vec<String> = alone.collect();
    if !alone.is_empty() {
        text += &format!("kept by one kind of vote alone: {}\n", alone.join(", "));
    }
    let saved = dollars(report.summary.reclaimable_micro_usd);
    text += &format!(
        "{} a month at {} a GB, {saved} of it reclaimable\n",
        dollars(report.summary.cost_micro_usd),
        dollars(report.price_micro_usd)
    );
    text
}

fn cells(name: &str, amounts: &Amounts, growth: Option<&Growth>, wide: bool) -> Vec<String> {
    let grown = growth.map_or("-".to_owned(), |growth| format!("{:+}/month", growth.entries_per_month));
    let days = growth.and_then(|growth| growth.days_to_quota);
    let mut cells = vec![
        printable(name),
        amounts.entries.to_string(),
        amounts.roots.to_string(),
        bound(amounts.bytes, amounts),
        bound(amounts.reclaimable_bytes, amounts),
        dollars(amounts.cost_micro_usd),
        grown,
        days.map_or("-".to_owned(), |days| format!("in {days} days")),
    ];
    if wide {
        cells.extend([amounts.archived.to_string(), bound(amounts.candidate_bytes, amounts)]);
    }
    cells
}

/// A size that may be less where not every layer is known.
fn bound(bytes: u64, amounts: &Amounts) -> String {
    if amounts.bytes_exact || bytes == 0 { size(bytes) } else { format!("≤ {}", size(bytes)) }
}

/// Returns `0.98 USD`; less than a cent has six decimals.
fn dollars(micro: u64) -> String {
    let (whole, part) = (micro / 1_000_000, micro % 1_000_000);
    if whole == 0 && part > 0 && part < 10_000 {
        return format!("0.{part:06} USD");
    }
    format!("{whole}.{:02} USD", part / 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_written_in_dollars() {
        for (text, expected) in [("0.10", 100_000), ("1", 1_000_000), ("0.000001", 1), ("12.5", 12_500_000)] {
            assert_eq!(micro_dollars(text), Ok(expected), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "0.0000001", "1e3", "99999999999999999999", "0,10", "+1"] {
            assert!(micro_dollars(text).is_err(), "{text}");
        }
    }

    #[test]
    fn money_is_shown_to_the_cent_and_below_it_to_the_last_decimal() {
        for (micro, expected) in [
            (0, "0.00 USD"),
            (100_000, "0.10 USD"),
            (999_999, "0.99 USD"),
            (1_500, "0.001500 USD"),
            (12_345_678, "12.34 USD"),
        ] {
            assert_eq!(dollars(micro), expected);
        }
    }
}
