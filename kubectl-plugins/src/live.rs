//! Progress on stderr: on a terminal a table that is redrawn, elsewhere one line per change and a heartbeat.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::wait::report::{ItemReport, Requests};
use kubeguard_core::wait::verdict::Verdict;

use crate::duration::human;
use crate::output::{brief, columns, name, place, style};
use crate::terminal::{Terminal, printable, shorten};

/// Time without a line after which one is written all the same, so that nobody thinks the tool hangs.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Time after which the clock of the table moves on.
const SECOND: Duration = Duration::from_secs(1);
/// Redraws per second on a terminal.
const FRAMES: u8 = 5;
/// Time between two redraws; what changes in between is shown by the next.
const FRAME: Duration = Duration::from_millis(1000 / FRAMES as u64);
/// Lines of the terminal that are not objects': the header, the footer, the count of what is left out, the cursor's.
const OTHER_LINES: usize = 4;

/// The moment that is shown: `time` is the server's and tells how old a verdict is, `now` is this process' own and
/// tells how long it has waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) time: Timestamp,
    pub(crate) now: Instant,
}

/// Shows how a wait goes on.
pub(crate) struct Progress {
    terminal: Terminal,
    bar: Option<ProgressBar>,
    pace: Pace,
}

impl Progress {
    /// Begins at `now`; `timeout` is shown beside the time that has passed.
    pub(crate) fn new(terminal: Terminal, timeout: Option<SignedDuration>, now: Instant) -> Self {
        let bar = terminal.is_live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(FRAMES));
            if let Ok(look) = ProgressStyle::with_template("{msg}\n{spinner} {prefix}") {
                bar.set_style(look);
            }
            bar.enable_steady_tick(FRAME);
            bar
        });
        Self { terminal, bar, pace: Pace::new(timeout, now) }
    }

    /// Shows what changed.
    pub(crate) fn changed(
        &mut self,
        at: Moment,
        changes: &[ItemReport],
        items: impl FnOnce() -> Vec<ItemReport>,
        requests: Requests,
    ) {
        if self.bar.is_some() {
            self.pace.dirty = true;
            if self.pace.frame_in(at.now).is_zero() {
                self.draw(at, &items(), requests);
            }
            return;
        }
        for item in changes {
            self.terminal.say(&line(at.time, item, self.terminal.colour_chatter()));
            self.pace.last_line = at.now;
        }
    }

    /// Returns how long to wait for a change before [`Progress::beat`] is due.
    pub(crate) fn beats_in(&self, now: Instant) -> Duration {
        if self.bar.is_some() { self.pace.frame_in(now) } else { self.pace.line_in(now) }
    }

    /// Shows that time passes.
    pub(crate) fn beat(&mut self, at: Moment, items: &[ItemReport], requests: Requests) {
        if self.bar.is_some() {
            self.draw(at, items, requests);
        } else if self.pace.line_in(at.now).is_zero() {
            self.terminal.say(&format!("{:.0}  {}", at.time, self.pace.footer(at.now, items, requests)));
            self.pace.last_line = at.now;
        }
    }

    fn draw(&mut self, at: Moment, items: &[ItemReport], requests: Requests) {
        let Some(bar) = &self.bar else { return };
        let (height, width) = console::Term::stderr().size_checked().unwrap_or((24, 100));
        let (height, width) = (usize::from(height), usize::from(width));
        bar.set_message(table(at.time, items, height.saturating_sub(OTHER_LINES).max(3), width));
        bar.set_prefix(shorten(&self.pace.footer(at.now, items, requests), width.saturating_sub(3)));
        self.pace.last_frame = Some(at.now);
        self.pace.dirty = false;
    }

    /// Writes something else, with the table out of the way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the table away: the answer follows.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Leaves the table as it stands, for the answer to follow below. After Ctrl-C the terminal may have written `^C`
    /// on a line of its own, which nobody can know, so that taking the table away would miss a line.
    pub(crate) fn leave(&self) {
        if let Some(bar) = &self.bar {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            self.terminal.say("");
        }
    }
}

/// How long the wait is, and when it showed something last.
#[derive(Debug, Clone, Copy)]
struct Pace {
    timeout: Option<SignedDuration>,
    started: Instant,
    last_line: Instant,
    last_frame: Option<Instant>,
    /// Something has changed since the last frame.
    dirty: bool,
}

impl Pace {
    fn new(timeout: Option<SignedDuration>, now: Instant) -> Self {
        Self { timeout, started: now, last_line: now, last_frame: None, dirty: false }
    }

    /// Returns how long it is until the next heartbeat.
    fn line_in(self, now: Instant) -> Duration {
        HEARTBEAT.saturating_sub(now.saturating_duration_since(self.last_line))
    }

    /// Returns how long it is until the next frame: soon after a change, else when the clock moves on.
    fn frame_in(self, now: Instant) -> Duration {
        let pause = if self.dirty { FRAME } else { SECOND };
        self.last_frame.map_or(Duration::ZERO, |last| pause.saturating_sub(now.saturating_duration_since(last)))
    }

    fn footer(self, now: Instant, items: &[ItemReport], requests: Requests) -> String {
        let complete = items.iter().filter(|item| item.verdict == Verdict::Complete).count();
        let passed = now.saturating_duration_since(self.started);
        let elapsed = human(SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX));
        let of = self.timeout.map_or(String::new(), |timeout| format!(" of {}", human(timeout)));
        let (total, list, watch) = (items.len(), requests.list, requests.watch);
        format!("{complete} of {total} complete   {elapsed}{of}   requests: {list} list, {watch} watch")
    }
}

/// Returns the line of one change, for a log.
fn line(time: Timestamp, item: &ItemReport, colour: bool) -> String {
    let verdict = style(item.verdict).paint(item.verdict.word(), colour);
    let (place, name, brief) = (printable(place(item)), printable(&name(item)), printable(&brief(item)));
    format!("{time:.0}  {place}  {name}  {verdict}  {brief}").trim_end().to_owned()
}

/// Returns at most `most` objects in lines of `width` columns, the open ones first, so that a low terminal shows what
/// is waited for.
fn table(time: Timestamp, items: &[ItemReport], most: usize, width: usize) -> String {
    let mut sorted: Vec<&ItemReport> = items.iter().collect();
    if items.len() > most {
        sorted.sort_by_key(|item| item.verdict == Verdict::Complete);
    }
    let mut rows = vec![["NAMESPACE", "OBJECT", "VERDICT", "SINCE", "DETAIL"].map(ToOwned::to_owned).to_vec()];
    rows.extend(sorted.iter().take(most).map(|item| {
        let since = item.since.map_or(SignedDuration::ZERO, |since| time.duration_since(since));
        let since = human(SignedDuration::from_secs(since.as_secs()));
        vec![place(item).to_owned(), name(item), item.verdict.word().to_owned(), since, brief(item)]
    }));
    let mut lines: Vec<String> = columns(rows).iter().map(|line| shorten(line, width)).collect();
    if let Some(more) = items.len().checked_sub(most).filter(|more| *more > 0) {
        let complete = sorted.iter().skip(most).filter(|item| item.verdict == Verdict::Complete).count();
        lines.push(format!("… and {more} more, {complete} of them complete"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::output::samples::{complete, crash_loop, progressing};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_live_table_names_the_cause_and_fits_the_width() {
        let items = [complete("api"), crash_loop(), progressing("worker")];
        assert_snapshot!(table(at("2026-11-22T10:01:46Z"), &items, 10, 100), @"
        NAMESPACE   OBJECT              VERDICT       SINCE   DETAIL
        team        deployment/api      complete      48s     2 of 2 available
        team        deployment/web      failed        48s     2 of 2 pods, container app: CrashLoop: exit 1…
        team        deployment/worker   progressing   48s     UpdatedReplicas: 1 of 3 pods updated, 3 avail…
        ");
    }

    #[test]
    fn a_low_terminal_shows_what_is_waited_for() {
        let mut items: Vec<ItemReport> = (0..40).map(|n| complete(&format!("done-{n:02}"))).collect();
        items.push(progressing("worker"));
        let table = table(at("2026-11-22T10:01:46Z"), &items, 3, 80);
        assert_snapshot!(table, @"
        NAMESPACE   OBJECT               VERDICT       SINCE   DETAIL
        team        deployment/worker    progressing   48s     UpdatedReplicas: 1 of 3 …
        team        deployment/done-00   complete      48s     2 of 2 available
        team        deployment/done-01   complete      48s     2 of 2 available
        … and 38 more, 38 of them complete
        ");
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        let mut item = progressing("worker");
        item.message = "容器".repeat(100);
        let table = table(at("2026-11-22T10:01:46Z"), &[item], 3, 80);
        assert!(table.lines().all(|line| console::measure_text_width(line) <= 80), "{table}");
    }

    #[test]
    fn a_change_is_one_line_whatever_the_cluster_says() {
        let mut item = crash_loop();
        item.name = "web\u{1b}[2J\nfake  complete".to_owned();
        assert_snapshot!(line(at("2026-11-22T10:01:46Z"), &item, false), @"2026-11-22T10:01:46Z  team  deployment/web[2J fake  complete  failed  2 of 2 pods, container app: CrashLoop: exit 1, 3 restarts in 1m40s; 1 of 4 pods updated, 3 old still there");
    }

    #[test]
    fn a_heartbeat_is_due_thirty_seconds_after_the_last_line() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(Some(SignedDuration::from_mins(10)), start);
        assert_eq!(pace.line_in(after(29)), SECOND);
        assert_eq!(pace.line_in(after(31)), Duration::ZERO);
        pace.last_line = after(31);
        assert_eq!(pace.line_in(after(32)), Duration::from_secs(29));
        let requests = Requests { list: 6, watch: 6, get: 0 };
        let items = [complete("api"), progressing("worker")];
        assert_snapshot!(pace.footer(after(62), &items, requests), @"1 of 2 complete   1m02s of 10m   requests: 6 list, 6 watch");
        pace.timeout = None;
        assert_snapshot!(pace.footer(after(5), &items, requests), @"1 of 2 complete   5s   requests: 6 list, 6 watch");
    }

    #[test]
    fn changes_are_drawn_five_times_a_second_and_the_clock_once() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(None, start);
        assert_eq!(pace.frame_in(start), Duration::ZERO);
        pace.last_frame = Some(start);
        assert_eq!(pace.frame_in(after(50)), Duration::from_millis(950));
        pace.dirty = true;
        assert_eq!(pace.frame_in(after(50)), Duration::from_millis(150));
        assert_eq!(pace.frame_in(after(200)), Duration::ZERO);
    }
}
