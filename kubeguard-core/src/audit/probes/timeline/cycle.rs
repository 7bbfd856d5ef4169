//! Kills and restarts that go on while a fault lasts.

use super::shape::{Fails, Shape, notices};
use super::{DELAYS, Means, Question, Span, Timeline};
use crate::audit::probes::Probe;

/// So many rounds are told one by one.
const TOLD: usize = 4;
/// A container that ran for so long is restarted at once again, in seconds.
const FORGETS: i64 = 600;

/// Returns what the kubelet waits before a restart, the first of them being 0.
pub(super) fn delay(nth: usize) -> i64 {
    DELAYS.get(nth).or(DELAYS.last()).copied().unwrap_or_default()
}

/// What kills, and how soon.
pub(super) struct Killer<'p, 'a> {
    pub(super) probe: &'p Probe<'a>,
    /// From the fault to the first kill.
    pub(super) first: Span,
    /// From a restart to the next kill.
    pub(super) next: Span,
    /// How long an attempt that began before the fault's end may go on.
    pub(super) late: i64,
}

impl<'p, 'a> Killer<'p, 'a> {
    /// Returns a liveness probe that fails in a certain way while the fault lasts.
    pub(super) fn of(shape: &Shape<'_>, probe: &'p Probe<'a>, fails: Fails) -> Self {
        let first = notices(&probe.timing, fails);
        // Liveness waits for the startup probe, and its delay counts from the start.
        let delay = i64::from(probe.timing.delay);
        let begins = match &shape.startup {
            Some(_) => {
                let start = shape.start();
                Span { earliest: start.earliest.max(delay), latest: start.latest.map(|latest| latest.max(delay)) }
            }
            None => Span::from(delay),
        };
        let late = if fails.1 { 0 } else { i64::from(probe.timing.timeout) };
        Self { probe, first, next: begins + first, late }
    }
}

/// Tells kills and restarts until the fault ends or the rounds repeat, and what the end looks like.
pub(super) fn cycles(shape: &Shape<'_>, killer: &Killer<'_, '_>, question: &Question, timeline: &mut Timeline) {
    let grace = shape.grace_of(killer.probe);
    let gone = shape.gone(grace);
    let word = killer.probe.word();
    let lasts = question.lasts;
    let (mut kill, mut rounds) = (killer.first, 0_usize);
    // One that runs for long between kills is restarted at once each time.
    let forgets = killer.next.earliest > FORGETS;
    let waits = |nth: usize| if forgets { 0 } else { delay(nth) };
    while lasts.is_none_or(|lasts| kill.earliest < lasts) && rounds < TOLD {
        let may = lasts.is_some_and(|lasts| kill.latest.is_none_or(|latest| latest > lasts));
        let may = if may { " (if the fault is not over by then)" } else { "" };
        timeline.add(kill, Means::Killed, format!("{word} flips: the kubelet ends {}{may}", shape.name));
        let out = kill + gone;
        if !shape.restarts {
            timeline.add(
                out,
                Means::Stays,
                format!("{} is not started again: the pod's restart policy forbids it", shape.name),
            );
            return;
        }
        let restart = out + Span::from(waits(rounds));
        let how =
            if waits(rounds) == 0 { "at once".to_owned() } else { format!("after {} s of back-off", waits(rounds)) };
        timeline.add(restart, Means::Restarted, format!("{} is started again {how}", shape.name));
        kill = restart + killer.next;
        rounds += 1;
    }
    let Some(lasts) = lasts else {
        let most = if forgets {
            "at once each time".to_owned()
        } else {
            format!("at last every {} s and what it takes to fail", delay(usize::MAX))
        };
        timeline.add(
            Span { earliest: kill.earliest, latest: None },
            Means::Stays,
            format!("and so on, {most}, until the fault ends"),
        );
        return;
    };
    ended(shape, killer, lasts, waits, gone, timeline);
}

/// Tells what the end of a fault looks like: the pod recovers, or the rest of a back-off and a start go by.
fn ended(
    shape: &Shape<'_>,
    killer: &Killer<'_, '_>,
    lasts: i64,
    waits: impl Fn(usize) -> i64,
    gone: Span,
    timeline: &mut Timeline,
) {
    // As many kills as there can be.
    let (mut at, mut kills) = (killer.first.earliest, 0_usize);
    while at < lasts && kills < 10_000 {
        at += gone.earliest + waits(kills) + killer.next.earliest.max(1);
        kills += 1;
    }
    timeline.add(lasts, Means::Ends, "the fault is over");
    let back = shape.back();
    let mut latest = shape.recovers().latest;
    if let Some(last) = kills.checked_sub(1) {
        let rest = gone.latest.zip(back.latest).map(|(gone, back)| killer.late + gone + waits(last) + back);
        latest = rest.zip(latest).map(|(rest, healed)| rest.max(healed));
    }
    let least = shape.recovers().earliest;
    let span = Span { earliest: lasts + least, latest: latest.map(|latest| lasts + latest) };
    let cost = match latest {
        Some(latest) if latest == least => format!("{lasts} s of it cost {} s", lasts + latest),
        Some(latest) => format!("{lasts} s of it cost {} – {} s", lasts + least, lasts + latest),
        None => format!("{lasts} s of it cost more than {} s", lasts + least),
    };
    timeline.add(span, Means::Ready, format!("{} is ready again: {cost}", shape.name));
}
