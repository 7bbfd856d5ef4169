//! The faults, one by one.

use super::cycle::{Killer, cycles, delay};
use super::shape::{EITHER, Fails, HANGS, REFUSED, Shape, notices};
use super::{Means, Question, Span, Timeline};
use crate::audit::probes::{Probe, ProbeKind, ceil, listed};

/// The kubelet and kube-proxy tell each other of an unready pod within about so many seconds.
const TOLD_WITHIN: i64 = 1;

/// Returns where the pod gets its traffic from, in words.
fn services(question: &Question) -> String {
    let names: Vec<&str> = question.services.iter().map(String::as_str).collect();
    match names.as_slice() {
        [] => "its services".to_owned(),
        [one] => format!("service {one}"),
        _ => format!("services {}", listed(&names)),
    }
}

/// Writes f × p, and the timeout where attempts may take it.
fn formula(probe: &Probe<'_>) -> String {
    let timing = probe.timing;
    format!("{} × {} s, timeout {} s", timing.failure, timing.pace(), timing.timeout)
}

/// Says that nothing tells how long a start takes, where that matters.
fn unknown_start(shape: &Shape<'_>, question: &Question, timeline: &mut Timeline) {
    if !shape.start_is_known(question) {
        timeline
            .assume("the start itself takes no time: none was seen, and no startup probe says how long it may take");
    }
}

pub(super) fn crash(shape: &Shape<'_>, question: &Question, timeline: &mut Timeline) {
    let name = shape.name;
    timeline.add(0, Means::Fault, format!("{name} ends: the pod is unready at once, whatever its probes say"));
    timeline.add((0, TOLD_WITHIN), Means::Drained, format!("the pod leaves {}", services(question)));
    if shape.native {
        timeline.note("a native sidecar that does not run makes the pod unready too");
    }
    if !shape.restarts {
        timeline.add(
            0,
            Means::Stays,
            format!("{name} is not started again: the restart policy forbids it, and the pod stays unready"),
        );
        return;
    }
    unknown_start(shape, question, timeline);
    let mut restart = 0;
    let mut nth = 0;
    timeline.add(0, Means::Restarted, format!("{name} is started again at once"));
    // While it lasts, each start ends at once.
    while let Some(lasts) = question.lasts.filter(|lasts| restart < *lasts) {
        nth += 1;
        restart += delay(nth);
        if nth <= 6 || restart >= lasts {
            let what = format!("it ended again; {name} is started after {} s of back-off", delay(nth));
            timeline.add(restart, Means::Restarted, what);
        }
    }
    if let Some(lasts) = question.lasts.filter(|lasts| *lasts > 0) {
        timeline.add(lasts, Means::Ends, "what made it end is over");
    }
    let back = Span::from(restart) + shape.back();
    let how = told_back(shape, question);
    let cost = match (question.lasts, back.latest) {
        (Some(lasts), Some(latest)) if lasts > 0 => format!(": {lasts} s of it cost {} – {latest} s", back.earliest),
        _ => String::new(),
    };
    timeline.add(back, Means::Ready, format!("{name} is ready again ({how}){cost}"));
    if question.lasts.is_none() {
        timeline.note("if it ends again within 10 min of a start, the next ones wait 10, 20, 40, 80, 160, then 300 s each; no threshold softens a crash");
    }
}

/// Returns what being ready again consists of.
fn told_back(shape: &Shape<'_>, question: &Question) -> String {
    let start = match (question.observed, &shape.startup) {
        (Some(seen), _) => format!("observed start {}", Span::from((seen.p50, seen.p95))),
        (None, Some(startup)) => format!("start within {} s", startup.timing.granted()),
        (None, None) => "start".to_owned(),
    };
    match shape.readies().latest {
        Some(0) | None => format!("{start}, no readiness probe"),
        Some(ready) => format!("{start}, ready within {ready} s"),
    }
}

/// Tells what a probe that asks by TCP alone makes of it.
fn deaf(shape: &Shape<'_>, probe: Option<&Probe<'_>>, timeline: &mut Timeline) {
    let Some(probe) = probe.filter(|probe| !shape.feels(probe)) else { return };
    let why = if shape.asks_elsewhere(probe) {
        "asks something else"
    } else {
        "opens a connection, and the kernel accepts it"
    };
    timeline.note(format!("{} notices nothing: it {why}", probe.word()));
}

/// Returns a probe that notices an application which does not answer.
fn feels<'s, 'a>(shape: &Shape<'a>, probe: Option<&'s Probe<'a>>) -> Option<&'s Probe<'a>> {
    probe.filter(|probe| shape.feels(probe))
}

/// Tells that readiness flips; returns when.
fn drained(
    probe: &Probe<'_>,
    fails: Fails,
    question: &Question,
    everywhere: bool,
    timeline: &mut Timeline,
) -> Option<Span> {
    let span = notices(&probe.timing, fails);
    if question.lasts.is_some_and(|lasts| lasts <= span.earliest) {
        timeline.note(format!("readiness does not notice it: that takes {span}"));
        return None;
    }
    let may = question.lasts.zip(span.latest).is_some_and(|(lasts, latest)| lasts < latest);
    let may = if may { " (if the fault is not over by then)" } else { "" };
    let whose = match (everywhere, question.replicas) {
        (true, Some(count)) if count > 1 => {
            format!("all {count} pods leave {}: no endpoint is left", services(question))
        }
        (true, None) => format!("every pod leaves {}: no endpoint is left", services(question)),
        _ => format!("the pod leaves {}", services(question)),
    };
    timeline.add(span, Means::Drained, format!("readiness flips ({}): {whose}{may}", formula(probe)));
    Some(span)
}

pub(super) fn hang(shape: &Shape<'_>, question: &Question, timeline: &mut Timeline) {
    let name = shape.name;
    timeline.add(0, Means::Fault, format!("{name} hangs; every request to it waits"));
    let (liveness, readiness) = (shape.liveness.as_ref(), shape.readiness.as_ref());
    deaf(shape, readiness, timeline);
    deaf(shape, liveness, timeline);
    let drained = feels(shape, readiness).and_then(|probe| drained(probe, HANGS, question, false, timeline));
    let killer = feels(shape, liveness).map(|probe| (probe, notices(&probe.timing, HANGS)));
    let killer = killer.filter(|(_, kill)| {
        let noticed = question.lasts.is_none_or(|lasts| lasts > kill.earliest);
        if !noticed {
            timeline.note(format!("liveness does not notice it: that takes {kill}"));
        }
        noticed
    });
    let Some((liveness, kill)) = killer else {
        unkilled(shape, question, drained, timeline);
        return;
    };
    let uncertain = drained.is_some_and(|drained| drained.latest.is_none_or(|latest| latest >= kill.earliest));
    let slow = readiness.is_some_and(|probe| liveness.timing.longest() > probe.timing.longest());
    let order = match (drained, uncertain) {
        (None, _) => " while the pod is still in its services",
        (Some(_), false) => ", after the pod has left its services",
        (Some(_), true) if shape.same && !slow => ", and the order is not certain (PA301)",
        (Some(_), true) => ", and the order is not certain",
    };
    let may = question.lasts.zip(kill.latest).is_some_and(|(lasts, latest)| lasts < latest);
    let may = if may { " (if the fault is not over by then)" } else { "" };
    let grace = shape.grace_of(liveness);
    let term = shape.term(grace);
    let signal = if term == Span::from(0) { "SIGTERM" } else { "preStop runs, then SIGTERM" };
    timeline.add(kill, Means::Killed, format!("liveness flips ({}): {signal}{order}{may}", formula(liveness)));
    let out = kill + shape.killed(grace);
    if !shape.restarts {
        timeline.add(out, Means::Gone, format!("SIGKILL after {grace} s of grace"));
        timeline.add(out, Means::Stays, format!("{name} is not started again: the restart policy forbids it"));
        return;
    }
    timeline.add(out, Means::Gone, format!("SIGKILL after {grace} s of grace; restart at once"));
    timeline.note("a process that ends on SIGTERM is back sooner by the rest of the grace");
    unknown_start(shape, question, timeline);
    timeline.add(out + shape.back(), Means::Ready, format!("{name} is ready again ({})", told_back(shape, question)));
    if let Some(readiness) = readiness.filter(|_| uncertain) {
        advise(shape, readiness, liveness, timeline);
    }
}

/// Tells what happens where nothing kills.
fn unkilled(shape: &Shape<'_>, question: &Question, drained: Option<Span>, timeline: &mut Timeline) {
    let name = shape.name;
    match (question.lasts, drained) {
        (Some(lasts), _) => {
            timeline.add(lasts, Means::Ends, "the fault is over");
            if drained.is_some() {
                timeline.add(Span::from(lasts) + shape.recovers(), Means::Ready, format!("{name} is ready again"));
            }
        }
        (None, Some(out)) => {
            let latest = Span { earliest: out.latest.unwrap_or(out.earliest), latest: None };
            timeline.add(
                latest,
                Means::Stays,
                format!("nothing restarts {name}: the pod stays out until somebody deletes it"),
            );
        }
        (None, None) => {
            let what = format!("nothing notices: the pod stays in {} and {name} answers nobody", services(question));
            timeline.add(Span { earliest: 0, latest: None }, Means::Stays, what);
        }
    }
}

/// Says which threshold would drain before it kills.
fn advise(shape: &Shape<'_>, readiness: &Probe<'_>, liveness: &Probe<'_>, timeline: &mut Timeline) {
    let (fast, slow) = (readiness.timing, liveness.timing);
    let failure = ceil(3 * i64::from(fast.failure) * fast.pace(), slow.pace()).max(3);
    let Ok(failure) = u32::try_from(failure) else { return };
    let slower = crate::audit::probes::Timing { failure, ..slow };
    let (drain, kill) = (notices(&fast, HANGS), notices(&slower, HANGS));
    if failure > slow.failure && drain.latest.is_some_and(|latest| latest < kill.earliest) {
        let advice = format!(
            "with failureThreshold {failure} on liveness of {}: drained at {drain}, killed at {kill}",
            shape.name
        );
        timeline.advice = Some(advice);
    }
}

/// Returns the probes that check the dependency, and says what is assumed of them.
fn checking<'s, 'a>(
    shape: &'s Shape<'a>,
    question: &Question,
    timeline: &mut Timeline,
) -> (Option<&'s Probe<'a>>, Option<&'s Probe<'a>>) {
    let (liveness, readiness) = (shape.liveness.as_ref(), shape.readiness.as_ref());
    if let Some(checks) = &question.checks {
        let asked = |probe: Option<&'s Probe<'a>>, kind| probe.filter(|_| checks.contains(&kind));
        return (asked(liveness, ProbeKind::Liveness), asked(readiness, ProbeKind::Readiness));
    }
    let known = |probe: Option<&'s Probe<'a>>| probe.filter(|probe| shape.asks_elsewhere(probe));
    if known(liveness).is_some() || known(readiness).is_some() {
        return (known(liveness), known(readiness));
    }
    // A connection says nothing of what stands behind it.
    let readiness = readiness.filter(|probe| probe.handler.tcp_socket.is_none());
    let liveness = liveness.filter(|_| shape.same && readiness.is_some());
    if readiness.is_some() {
        let both =
            if liveness.is_some() { "readiness, and liveness with the same endpoint," } else { "readiness alone" };
        let verb = if liveness.is_some() { "check" } else { "checks" };
        timeline.assume(format!("{both} {verb} the dependency: nothing in the probes says so"));
    }
    (liveness, readiness)
}

pub(super) fn dependency(shape: &Shape<'_>, question: &Question, timeline: &mut Timeline) {
    let name = shape.name;
    timeline.add(0, Means::Fault, format!("what {name} depends on is down, for every pod alike"));
    let (liveness, readiness) = checking(shape, question, timeline);
    lasting(shape, question, (liveness, readiness), EITHER, timeline);
}

pub(super) fn overload(shape: &Shape<'_>, question: &Question, timeline: &mut Timeline) {
    let (name, takes) = (shape.name, question.takes);
    timeline.add(0, Means::Fault, format!("every answer of {name} takes {takes} s"));
    timeline.assume("each pod is as slow: fewer pods in service would make the others slower, which is not modelled");
    let slow = |probe: &&Probe<'_>| shape.feels(probe) && i64::from(probe.timing.timeout) < takes;
    for probe in shape.liveness.iter().chain(&shape.readiness).filter(|probe| !slow(probe)) {
        let why = if shape.feels(probe) {
            format!("its timeout is {} s", probe.timing.timeout)
        } else {
            "it does not wait for an answer of the application".to_owned()
        };
        timeline.note(format!("{} still passes: {why}", probe.word()));
    }
    let probes = (shape.liveness.as_ref().filter(slow), shape.readiness.as_ref().filter(slow));
    lasting(shape, question, probes, HANGS, timeline);
}

/// Tells what a fault does that a restart does not heal, to every pod alike.
fn lasting<'a>(
    shape: &Shape<'a>,
    question: &Question,
    (liveness, readiness): (Option<&Probe<'a>>, Option<&Probe<'a>>),
    fails: Fails,
    timeline: &mut Timeline,
) {
    let name = shape.name;
    let drained = readiness.and_then(|probe| drained(probe, fails, question, true, timeline));
    let Some(liveness) = liveness else {
        if readiness.is_none() {
            let what = format!("no probe fails: the pods stay in {}, and answers fail", services(question));
            timeline.add(Span { earliest: 0, latest: question.lasts }, Means::Stays, what);
        }
        match question.lasts {
            Some(lasts) => {
                timeline.add(lasts, Means::Ends, "the fault is over");
                if drained.is_some() {
                    let back = Span::from(lasts) + shape.recovers();
                    timeline.add(back, Means::Ready, format!("{name} is ready again in every pod"));
                }
            }
            None if drained.is_some() => {
                let since = Span { earliest: drained.map_or(0, |drained| drained.earliest), latest: None };
                timeline.add(since, Means::Stays, "no pod serves until the fault ends; none is restarted");
            }
            None => {}
        }
        return;
    };
    unknown_start(shape, question, timeline);
    cycles(shape, &Killer::of(shape, liveness, fails), question, timeline);
    timeline.note("every pod is restarted at about the same time: what comes back first gets all the traffic");
}

pub(super) fn slow_start(shape: &Shape<'_>, question: &Question, timeline: &mut Timeline) {
    let (name, takes) = (shape.name, question.takes);
    timeline.add(0, Means::Fault, format!("{name} is started, and takes {takes} s until it answers"));
    if shape.native {
        timeline.note("containers after a native sidecar are started only when it has started");
    }
    if shape.readiness.is_none() {
        let what = format!("no readiness probe: {} routes to the pod before {name} answers", services(question));
        timeline.add(if shape.startup.is_some() { takes } else { 0 }, Means::Ready, what);
    }
    let ended = Question { lasts: None, observed: None, ..question.clone() };
    let killer = match (&shape.startup, &shape.liveness) {
        (Some(startup), _) => {
            let within = Span::from(i64::from(startup.timing.delay)) + notices(&startup.timing, REFUSED);
            Some((startup, Span { latest: Some(startup.timing.granted()), ..within }))
        }
        (None, Some(liveness)) if !shape.asks_elsewhere(liveness) => {
            Some((liveness, Span::from(i64::from(liveness.timing.delay)) + notices(&liveness.timing, EITHER)))
        }
        _ => None,
    };
    let Some((probe, within)) = killer.filter(|(_, within)| takes > within.earliest) else {
        let passes = shape.startup.as_ref().map_or(0, |startup| startup.timing.pace());
        if let Some(readiness) = &shape.readiness {
            let delay = i64::from(readiness.timing.delay);
            let least = takes.max(delay) + shape.readies().earliest;
            let most = shape.readies().latest.map(|ready| takes + passes + ready);
            timeline.add(Span { earliest: least, latest: most }, Means::Ready, format!("{name} is ready"));
        }
        if let Some((probe, within)) = killer {
            let spare = within.earliest - takes;
            timeline.note(format!(
                "{} ends a start that takes longer than {} s: {spare} s are left",
                probe.word(),
                within.earliest
            ));
        }
        return;
    };
    let sure = within.latest.is_some_and(|latest| takes > latest);
    if !sure {
        let (word, latest) = (probe.word(), within.latest.unwrap_or_default());
        timeline.note(format!("it may just pass: {word} ends a start between {} and {latest} s", within.earliest));
    }
    let killer = Killer { probe, first: within, next: within, late: 0 };
    cycles(shape, &killer, &ended, timeline);
    let why = format!("{name} never becomes ready: it is ended before {takes} s are over, each time");
    if sure {
        timeline.note(why);
    }
}
