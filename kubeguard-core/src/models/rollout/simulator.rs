//! The controller, stepped through time, and what clients see of it.

use std::collections::VecDeque;

use serde::Serialize;

use super::{Impossible, Pace, SetCounts, new_set_size, old_set_step};

/// Milliseconds of one step.
const STEP: i64 = 500;
/// Steps after which a run is given up.
const MOST: usize = 4_000_000;

/// The state at the end of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Milliseconds since the start.
    pub at: i64,
    /// Old pods that are not being deleted.
    pub old: i32,
    /// New pods.
    pub new: i32,
    /// Pods that are ready and not being deleted.
    pub ready: i32,
    /// Pods that are being deleted.
    pub terminating: i32,
    /// Endpoints that clients know.
    pub known: i32,
    /// Those of them that still answer.
    pub accepting: i32,
    /// The share of them: one where clients know none.
    pub survival: f64,
}

/// What a rollout does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// Milliseconds until no old pod is left and all new ones are available.
    pub duration: i64,
    /// Most pods that exist at once, those that are being deleted among them.
    pub alive: i64,
    /// Most deletions within a second.
    pub deleted_in_a_second: i64,
    /// Most deletions within the time that clients need.
    pub deleted_in_propagation: i64,
    /// The least share of known endpoints that answers.
    pub survival: f64,
    /// Seconds of full traffic that are lost.
    pub failed_share_seconds: f64,
    /// States that differ from the one before, by time.
    pub points: Vec<Point>,
}

/// Pods of one step: when, and how many.
type Cohort = (i64, i32);

/// What is counted from step to step.
struct Run<'a> {
    pace: &'a Pace,
    now: i64,
    /// Thousandths of writes that are left.
    tokens: i64,
    old: i32,
    new: i32,
    ready: i32,
    available: i32,
    /// New pods that are not ready yet, and those that are not available yet.
    starting: VecDeque<Cohort>,
    settling: VecDeque<Cohort>,
    /// Deleted pods that still answer, and those that still exist.
    draining: VecDeque<Cohort>,
    going: VecDeque<Cohort>,
    answering: i32,
    terminating: i32,
    /// Endpoints at the end of the last steps: old and new.
    told: VecDeque<(i32, i32)>,
}

/// Steps a rollout until its clients know its end.
///
/// Steps of half a second; in each the new set grows, then the old one shrinks, both from one bucket of writes. A pod is
/// ready some time after its creation and available `min_ready` later. What a client knows is what was ready and not
/// deleted `propagation` ago. Assumed: traffic is spread evenly over known endpoints, and pods use their whole grace.
///
/// # Errors
/// [`Impossible`] where the numbers are none, or the end is too far away.
pub fn simulate(pace: &Pace) -> Result<Timeline, Impossible> {
    pace.check()?;
    let mut run = Run::new(pace);
    let lag = steps(millis(pace.propagation.value));
    let mut timeline = Timeline {
        duration: 0,
        alive: i64::from(pace.replicas),
        deleted_in_a_second: 0,
        deleted_in_propagation: 0,
        survival: 1.0,
        failed_share_seconds: 0.0,
        points: Vec::new(),
    };
    let (mut second, mut window) = (Window::new(steps(1000)), Window::new(lag));
    let (mut ended, mut failed) = (None, 0.0);
    for step in 0..MOST {
        run.now = i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(STEP);
        let deleted = run.step();
        timeline.deleted_in_a_second = timeline.deleted_in_a_second.max(second.push(deleted));
        timeline.deleted_in_propagation = timeline.deleted_in_propagation.max(window.push(deleted));
        let point = run.point(lag);
        let alive = i64::from(point.old) + i64::from(point.new) + i64::from(point.terminating);
        timeline.alive = timeline.alive.max(alive);
        timeline.survival = timeline.survival.min(point.survival);
        failed += 1.0 - point.survival;
        let same = timeline.points.last().is_some_and(|last| Point { at: point.at, ..*last } == point);
        if !same {
            timeline.points.push(point);
        }
        if ended.is_none() && run.old == 0 && run.available == pace.replicas {
            ended = Some(run.now);
        }
        if let Some(duration) = ended
            && run.now.saturating_sub(duration) >= millis(pace.propagation.value)
        {
            timeline.duration = duration;
            timeline.failed_share_seconds = failed * 0.5;
            return Ok(timeline);
        }
    }
    Err(Impossible::TooLong)
}

impl<'a> Run<'a> {
    fn new(pace: &'a Pace) -> Self {
        Self {
            pace,
            now: 0,
            tokens: i64::from(pace.rate.burst).saturating_mul(1000),
            old: pace.replicas,
            new: 0,
            ready: 0,
            available: 0,
            starting: VecDeque::new(),
            settling: VecDeque::new(),
            draining: VecDeque::new(),
            going: VecDeque::new(),
            answering: 0,
            terminating: 0,
            told: VecDeque::new(),
        }
    }

    /// Does one step; returns how many pods it deleted.
    fn step(&mut self) -> i32 {
        let pace = self.pace;
        let rate = i64::from(pace.rate.per_second).saturating_mul(STEP);
        self.tokens = self.tokens.saturating_add(rate).min(i64::from(pace.rate.burst).saturating_mul(1000));
        self.ready += take(&mut self.starting, self.now);
        self.available += take(&mut self.settling, self.now);
        let wanted = new_set_size(pace.replicas, pace.surge, self.old, self.new) - self.new;
        let created = self.spend(wanted);
        if created > 0 {
            self.new += created;
            let ready = self.now.saturating_add(millis(pace.ready_after.value));
            self.starting.push_back((ready, created));
            self.settling.push_back((ready.saturating_add(millis(pace.min_ready)), created));
            // What is ready at once is.
            self.ready += take(&mut self.starting, self.now);
            self.available += take(&mut self.settling, self.now);
        }
        let old = SetCounts { wanted: self.old, available: self.old };
        let new = SetCounts { wanted: self.new, available: self.available };
        let left = old_set_step(&[old], pace.replicas, pace.unavailable, new);
        let may = self.old - left.first().copied().unwrap_or(self.old);
        let deleted = self.spend(may);
        if deleted > 0 {
            self.old -= deleted;
            self.answering += deleted;
            self.terminating += deleted;
            self.draining.push_back((self.now.saturating_add(millis(pace.drain.value)), deleted));
            self.going.push_back((self.now.saturating_add(millis(pace.grace)), deleted));
        }
        // A pod that answers as long as clients need answers every request; else it must do so to the end of the step.
        if pace.drain.value < pace.propagation.value {
            self.answering -= take(&mut self.draining, self.now.saturating_add(STEP - 1));
        }
        self.terminating -= take(&mut self.going, self.now);
        deleted
    }

    /// Takes as many writes as there are whole ones.
    fn spend(&mut self, wanted: i32) -> i32 {
        let most = i32::try_from(self.tokens / 1000).unwrap_or(i32::MAX);
        let spent = wanted.clamp(0, most.max(0));
        self.tokens -= i64::from(spent) * 1000;
        spent
    }

    /// Returns what is to be seen at the end of the step.
    fn point(&mut self, lag: usize) -> Point {
        self.told.push_back((self.old, self.ready));
        let (old, new) = if self.told.len() > lag {
            self.told.pop_front().unwrap_or((self.old, self.ready))
        } else {
            (self.pace.replicas, 0)
        };
        let known = old + new;
        let gone = old - self.old;
        // Of the deleted ones that are known those answer longest that went last.
        let accepting = if self.pace.drain.value < self.pace.propagation.value {
            known - gone + gone.min(self.answering)
        } else {
            known
        };
        let survival = if known == 0 { 1.0 } else { f64::from(accepting) / f64::from(known) };
        Point {
            at: self.now,
            old: self.old,
            new: self.new,
            ready: self.old + self.ready,
            terminating: self.terminating,
            known,
            accepting,
            survival,
        }
    }
}

/// Takes the cohorts whose time has come; returns how many pods they are.
fn take(cohorts: &mut VecDeque<Cohort>, now: i64) -> i32 {
    let mut count = 0;
    while let Some((_, pods)) = cohorts.pop_front_if(|(at, _)| *at <= now) {
        count += pods;
    }
    count
}

/// Returns a time in whole steps, rounded up.
fn steps(millis: i64) -> usize {
    usize::try_from(millis.max(0).saturating_add(STEP - 1) / STEP).unwrap_or(usize::MAX)
}

fn millis(time: jiff::SignedDuration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A sum over the last steps.
struct Window {
    steps: usize,
    sum: i64,
    last: VecDeque<i32>,
}

impl Window {
    fn new(steps: usize) -> Self {
        Self { steps: steps.max(1), sum: 0, last: VecDeque::new() }
    }

    fn push(&mut self, count: i32) -> i64 {
        self.last.push_back(count);
        self.sum += i64::from(count);
        if self.last.len() > self.steps {
            self.sum -= i64::from(self.last.pop_front().unwrap_or(0));
        }
        self.sum
    }
}
