//! How far something long is: on a terminal a line that is redrawn, elsewhere a line now and then.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use kubeguard_core::ecr::apply::Progress as Applying;
use kubeguard_core::ecr::aws::{Calls, Ecr};
use kubeguard_core::ecr::look::Progress as Looking;
use kubeguard_core::images::gather::Step;

use crate::terminal::{Terminal, printable};

/// Time between two redraws.
const FRAME: Duration = Duration::from_millis(120);
/// Time between two lines where none is redrawn, so that nobody thinks the command hangs.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// All lines of this process: two at once are drawn below each other.
static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// What is known of how far a command is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Far {
    /// As in `lifecycle previews`; empty for a look at the registry.
    doing: &'static str,
    /// Repositories done, and in all.
    repositories: Option<(usize, usize)>,
    /// Images read of repositories that are done.
    read: Option<usize>,
    /// Images read of those that are under way.
    under_way: HashMap<String, usize>,
    /// Images done, and in all.
    images: Option<(usize, usize)>,
    /// Kinds of all clusters that are read, and in all.
    kinds: Option<(usize, usize)>,
    /// References that clusters have named.
    references: u64,
    /// What it is at.
    at: String,
    /// Why it waits, while it does.
    slower: String,
}

impl Far {
    fn looking(&mut self, step: Looking<'_>) {
        match step {
            Looking::Listed { chosen, .. } => {
                self.repositories = Some((0, chosen));
                self.read = Some(0);
            }
            Looking::Page { repository, entries } => {
                self.under_way.insert(repository.to_owned(), entries);
                self.at = printable(repository);
            }
            Looking::Read { repository, entries, done, of } => {
                self.under_way.remove(repository);
                *self.read.get_or_insert(0) += entries;
                self.repositories = Some((done, of));
                self.at = printable(repository);
            }
        }
    }

    fn applying(&mut self, step: &Applying<'_>) {
        self.slower.clear();
        match step {
            Applying::ReadingUsage => "reading usage again".clone_into(&mut self.at),
            Applying::Repository { name, done, of, .. } => {
                self.repositories = Some((*done, *of));
                self.at = printable(name);
            }
            Applying::Item { done, of, .. } => self.images = Some((*done, *of)),
            Applying::Waiting { because, .. } => self.slower = format!("slower: {}", printable(because)),
        }
    }

    fn cluster(&mut self, name: &str, step: &Step) {
        let (done, of) = self.kinds.get_or_insert((0, 0));
        self.at = printable(name);
        match step {
            Step::Kinds(kinds) => *of += kinds,
            Step::Kind(kind) => {
                *done += 1;
                self.references += kind.references.unwrap_or(0);
                self.at = printable(&format!("{name}: {} of {}", kind.resource, kind.api_version));
            }
        }
    }

    /// Returns what people read, with the calls that were made to the registry so far.
    fn told(&self, calls: Option<Calls>) -> String {
        let mut parts = Vec::new();
        if !self.doing.is_empty() {
            parts.push(self.doing.to_owned());
        }
        if let Some((done, of)) = self.kinds {
            let word = if self.references == 1 { "reference" } else { "references" };
            parts.push(format!("{done}/{of} kinds, {} {word}", self.references));
        }
        if let Some((done, of)) = self.repositories {
            parts.push(format!("{done}/{of} repositories"));
        }
        if let Some((done, of)) = self.images {
            parts.push(format!("{done}/{of} images"));
        } else if let Some(read) = self.read {
            parts.push(format!("{} images", read + self.under_way.values().sum::<usize>()));
        }
        if let Some(calls) = calls {
            let throttled =
                if calls.throttled > 0 { format!(" ({} throttled)", calls.throttled) } else { String::new() };
            let word = if calls.made == 1 { "call" } else { "calls" };
            parts.push(format!("{} {word}{throttled}", calls.made));
            parts.push(format!("{:.0}/s", calls.per_second));
        }
        let at = [self.at.as_str(), &self.slower].into_iter().filter(|text| !text.is_empty());
        match (parts.join(", "), at.collect::<Vec<_>>().join(", ")) {
            (told, at) if at.is_empty() => told,
            (told, at) if told.is_empty() => at,
            (told, at) => format!("{told}: {at}"),
        }
    }
}

/// When a line is due where none is redrawn.
#[derive(Debug, Clone, Copy)]
struct Beat(Instant);

impl Beat {
    fn is_due(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.0) >= HEARTBEAT;
        if due {
            self.0 = now;
        }
        due
    }
}

/// Tells how far something long is, until it is dropped.
pub(super) struct Progress {
    far: Arc<Mutex<Far>>,
    beat: Mutex<Beat>,
    ecr: Option<Ecr>,
    terminal: Terminal,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins; with a registry its calls are counted.
    pub(super) fn new(terminal: Terminal, ecr: Option<&Ecr>) -> Self {
        Self::doing("", terminal, ecr)
    }

    /// Begins something that has a name.
    pub(super) fn doing(doing: &'static str, terminal: Terminal, ecr: Option<&Ecr>) -> Self {
        let far = Arc::new(Mutex::new(Far { doing, ..Far::default() }));
        let ecr = ecr.cloned();
        let bar = terminal.is_live().then(|| {
            let bar = LINES.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {far} ({elapsed})") {
                let (far, ecr) = (far.clone(), ecr.clone());
                // Calls are made between two steps, too.
                bar.set_style(style.with_key("far", move |_: &ProgressState, line: &mut dyn fmt::Write| {
                    let _ = line.write_str(&lock(&far).told(ecr.as_ref().map(Ecr::calls)));
                }));
            }
            bar.enable_steady_tick(FRAME);
            bar
        });
        Self { far, beat: Mutex::new(Beat(Instant::now())), ecr, terminal, bar }
    }

    /// Tells a step of a look at the registry.
    pub(super) fn looking(&self, step: Looking<'_>) {
        self.step(|far| far.looking(step));
    }

    /// Tells a step of an apply.
    pub(super) fn applying(&self, step: &Applying<'_>) {
        self.step(|far| far.applying(step));
    }

    /// Tells a step of reading a cluster.
    pub(super) fn cluster(&self, name: &str, step: &Step) {
        self.step(|far| far.cluster(name, step));
    }

    /// Tells that so many repositories are done, and which one is under way, or was the last.
    pub(super) fn repository(&self, name: &str, done: usize, of: usize) {
        self.step(|far| {
            far.repositories = Some((done, of));
            far.at = printable(name);
        });
    }

    fn step(&self, take: impl FnOnce(&mut Far)) {
        take(&mut lock(&self.far));
        if self.bar.is_none() && lock(&self.beat).is_due(Instant::now()) {
            let told = lock(&self.far).told(self.ecr.as_ref().map(Ecr::calls));
            self.terminal.say(&told);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            LINES.remove(bar);
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: Calls = Calls { made: 118, throttled: 0, per_second: 23.6 };

    #[test]
    fn a_look_tells_repositories_images_calls_and_rate() {
        let mut far = Far::default();
        assert_eq!(far.told(Some(Calls::default())), "0 calls, 0/s");
        far.looking(Looking::Listed { all: 60, chosen: 40 });
        assert_eq!(far.told(Some(CALLS)), "0/40 repositories, 0 images, 118 calls, 24/s");
        far.looking(Looking::Page { repository: "app", entries: 1000 });
        far.looking(Looking::Page { repository: "team/web", entries: 700 });
        far.looking(Looking::Page { repository: "app", entries: 2000 });
        assert_eq!(far.told(Some(CALLS)), "0/40 repositories, 2700 images, 118 calls, 24/s: app");
        // Rows of pages that came twice are one entry each.
        far.looking(Looking::Read { repository: "app", entries: 1990, done: 1, of: 40 });
        assert_eq!(far.told(Some(CALLS)), "1/40 repositories, 2690 images, 118 calls, 24/s: app");
        far.looking(Looking::Read { repository: "team/web", entries: 700, done: 2, of: 40 });
        let throttled = Calls { throttled: 3, ..CALLS };
        assert_eq!(
            far.told(Some(throttled)),
            "2/40 repositories, 2690 images, 118 calls (3 throttled), 24/s: team/web"
        );
    }

    #[test]
    fn an_apply_tells_repositories_images_calls_and_rate() {
        let mut far = Far::default();
        far.applying(&Applying::ReadingUsage);
        assert_eq!(far.told(Some(CALLS)), "118 calls, 24/s: reading usage again");
        far.applying(&Applying::Repository { name: "app", done: 1, of: 3, acting: 9 });
        far.images = Some((39, 41));
        assert_eq!(far.told(Some(CALLS)), "1/3 repositories, 39/41 images, 118 calls, 24/s: app");
        far.applying(&Applying::Waiting { operation: "BatchDeleteImage", because: "Rate\nexceeded" });
        assert_eq!(far.told(None), "1/3 repositories, 39/41 images: app, slower: Rate exceeded");
        far.applying(&Applying::Repository { name: "web", done: 2, of: 3, acting: 9 });
        assert_eq!(far.told(None), "2/3 repositories, 39/41 images: web", "it goes on");
    }

    #[test]
    fn what_has_a_name_tells_it_and_a_cluster_needs_no_calls() {
        let far = Far { doing: "lifecycle previews", repositories: Some((3, 40)), ..Far::default() };
        assert_eq!(far.told(Some(CALLS)), "lifecycle previews, 3/40 repositories, 118 calls, 24/s");
    }

    #[test]
    fn clusters_that_are_read_at_once_are_told_together() {
        let mut far = Far { doing: "clusters", ..Far::default() };
        far.cluster("prod\u{1b}[2J", &Step::Kinds(61));
        assert_eq!(far.told(None), "clusters, 0/61 kinds, 0 references: prod[2J");
        far.cluster("edge", &Step::Kinds(48));
        let kind = serde_json::from_value(serde_json::json!({
            "apiVersion": "batch/v1", "resource": "cronjobs", "need": "required", "status": "ok", "references": 12,
        }));
        far.cluster("prod", &Step::Kind(kind.unwrap()));
        assert_eq!(far.told(None), "clusters, 1/109 kinds, 12 references: prod: cronjobs of batch/v1");
    }

    #[test]
    fn a_log_gets_a_line_now_and_then() {
        let start = Instant::now();
        let mut beat = Beat(start);
        let due: Vec<u64> = (0..100).filter(|second| beat.is_due(start + Duration::from_secs(*second))).collect();
        assert_eq!(due, [30, 60, 90]);
    }
}
