//! Progress on stderr: on a terminal a table that is redrawn, elsewhere one line per change and a heartbeat.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::wait::report::{ItemReport, Requests};
use kubeguard_core::wait::verdict::Verdict;

use crate::duration::human;
use crate::output::{columns, detail, name, style};
use crate::terminal::{Terminal, shorten};

/// Time without a line after which one is written all the same, so that nobody thinks the tool hangs.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Redraws per second on a terminal.
const FRAMES: u8 = 5;
/// Time between two redraws; what changes in between is shown by the next.
const FRAME: Duration = Duration::from_millis(1000 / FRAMES as u64);

/// Shows how a wait goes on.
pub(crate) struct Progress {
    terminal: Terminal,
    bar: Option<ProgressBar>,
    timeout: Option<SignedDuration>,
    started: Instant,
    last_line: Instant,
    last_frame: Option<Instant>,
    /// Something has changed since the last frame.
    dirty: bool,
}

impl Progress {
    /// Begins; `timeout` is shown beside the time that has passed.
    pub(crate) fn new(terminal: Terminal, timeout: Option<SignedDuration>) -> Self {
        let bar = terminal.is_live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(FRAMES));
            if let Ok(look) = ProgressStyle::with_template("{msg}\n{spinner} {prefix}") {
                bar.set_style(look);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Self { terminal, bar, timeout, started: now, last_line: now, last_frame: None, dirty: false }
    }

    /// Shows what changed.
    pub(crate) fn changed(
        &mut self,
        time: Timestamp,
        changes: &[ItemReport],
        items: impl FnOnce() -> Vec<ItemReport>,
        requests: Requests,
    ) {
        if self.bar.is_some() {
            self.dirty = true;
            if self.next_frame_in().is_zero() {
                self.draw(time, &items(), requests);
            }
            return;
        }
        for item in changes {
            let place = if item.namespace.is_empty() { "cluster" } else { &item.namespace };
            let verdict = style(item.verdict).paint(item.verdict.word(), self.terminal.colour_chatter());
            self.terminal.say(&format!("{time:.0}  {place}  {}  {verdict}  {}", name(item), detail(item)));
            self.last_line = Instant::now();
        }
    }

    /// Returns how long to wait for a change before [`Progress::beat`] is due.
    pub(crate) fn beats_in(&self) -> Duration {
        match &self.bar {
            Some(_) if self.dirty => self.next_frame_in(),
            Some(_) => Duration::from_secs(1),
            None => HEARTBEAT.saturating_sub(self.last_line.elapsed()),
        }
    }

    fn next_frame_in(&self) -> Duration {
        self.last_frame.map_or(Duration::ZERO, |last| FRAME.saturating_sub(last.elapsed()))
    }

    /// Shows that time passes.
    pub(crate) fn beat(&mut self, time: Timestamp, items: &[ItemReport], requests: Requests) {
        if self.bar.is_some() {
            self.draw(time, items, requests);
        } else if self.last_line.elapsed() >= HEARTBEAT {
            self.terminal.say(&format!("{time:.0}  {}", self.footer(items, requests)));
            self.last_line = Instant::now();
        }
    }

    fn draw(&mut self, time: Timestamp, items: &[ItemReport], requests: Requests) {
        let Some(bar) = &self.bar else { return };
        let (height, width) = console_size();
        bar.set_message(table(time, items, height.saturating_sub(4).max(3), width));
        bar.set_prefix(shorten(&self.footer(items, requests), width.saturating_sub(3)));
        self.last_frame = Some(Instant::now());
        self.dirty = false;
    }

    fn footer(&self, items: &[ItemReport], requests: Requests) -> String {
        let complete = items.iter().filter(|item| item.verdict == Verdict::Complete).count();
        let elapsed = human(SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX));
        let of = self.timeout.map_or(String::new(), |timeout| format!(" of {}", human(timeout)));
        format!(
            "{complete} of {} complete   {elapsed}{of}   requests: {} list, {} watch",
            items.len(),
            requests.list,
            requests.watch
        )
    }

    /// Takes the table away: the answer follows.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn console_size() -> (usize, usize) {
    let term = indicatif_size();
    (usize::from(term.0), usize::from(term.1))
}

fn indicatif_size() -> (u16, u16) {
    console::Term::stderr().size_checked().unwrap_or((24, 100))
}

/// Returns the open items first, so that a low terminal shows what is waited for.
fn table(time: Timestamp, items: &[ItemReport], most: usize, width: usize) -> String {
    let mut sorted: Vec<&ItemReport> = items.iter().collect();
    if items.len() > most {
        sorted.sort_by_key(|item| item.verdict == Verdict::Complete);
    }
    let mut rows = vec![["NAMESPACE", "OBJECT", "VERDICT", "SINCE", "DETAIL"].map(ToOwned::to_owned).to_vec()];
    rows.extend(sorted.iter().take(most).map(|item| {
        let since = item.since.map_or(SignedDuration::ZERO, |since| time.duration_since(since));
        let place = if item.namespace.is_empty() { "cluster" } else { &item.namespace };
        vec![
            place.to_owned(),
            name(item),
            item.verdict.word().to_owned(),
            human(SignedDuration::from_secs(since.as_secs())),
            detail(item),
        ]
    }));
    let mut lines: Vec<String> = columns(rows).iter().map(|line| shorten(line, width)).collect();
    if items.len() > most {
        lines.push(format!("… and {} more", items.len() - most));
    }
    lines.join("\n")
}
