//! A timeline as a picture: one strip says when the pod serves, below it each event has its span on the same axis.

use kubeguard_core::audit::probes::timeline::{Means, Span, TimelineEvent};

use super::text;
use crate::audits::Told;

/// An axis that ends shortly after the last time that is known.
struct Axis(i64);

impl Axis {
    fn of(events: &[TimelineEvent]) -> Self {
        let ends = events.iter().map(|event| event.at.latest.unwrap_or(event.at.earliest).max(event.at.earliest));
        let last = ends.max().unwrap_or_default().max(10);
        Self(last + last.div_euclid(12).max(1))
    }

    /// Returns a time as a percentage with two digits.
    fn at(&self, seconds: i64) -> String {
        let hundredths = seconds.clamp(0, self.0) * 10_000 / self.0;
        format!("{}.{:02}%", hundredths / 100, hundredths % 100)
    }

    /// Returns the step of the ticks: four to eight of them.
    fn step(&self) -> i64 {
        const STEPS: &[i64] = &[2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 21_600, 86_400];
        STEPS.iter().copied().find(|step| self.0 / step <= 6).unwrap_or(self.0.max(1))
    }

    /// Returns a bar between two times; a moment is a mark.
    fn bar(&self, class: &str, from: i64, to: i64, y: usize, height: usize) -> String {
        let (x, width) = (self.at(from), self.at(to - from));
        let width = if to - from <= self.0 / 150 { "3".to_owned() } else { width };
        format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\n")
    }
}

/// Returns a container under a fault as a section.
pub(super) fn section(told: &Told) -> String {
    let events = &told.timeline.events;
    let axis = Axis::of(events);
    let rows: String = events.iter().map(|event| row(event, &axis)).collect();
    let asides: String = told.asides().map(|aside| format!("<p class=\"quiet\">{}</p>\n", text(&aside))).collect();
    let strip = if events.is_empty() { String::new() } else { serving(events, &axis) };
    let list = if rows.is_empty() { rows } else { format!("<ol class=\"events\">\n{rows}</ol>\n") };
    format!("<section class=\"timeline\">\n<h2>{}</h2>\n{strip}{list}{asides}</section>\n", text(&told.title()))
}

/// Draws when the pod is in its services for sure, when perhaps, and when not.
fn serving(events: &[TimelineEvent], axis: &Axis) -> String {
    let find = |means: Means| events.iter().find(|event| event.means == means).map(|event| event.at);
    let last = events.iter().rev().find(|event| event.means == Means::Ready).map(|event| event.at);
    let fault = Span::from(0);
    // What starts, or is ended before it is drained, serves nobody.
    let starting = events.iter().any(|event| event.means == Means::Fault && event.what.contains("is started"));
    let out = if starting { Some(fault) } else { earlier(find(Means::Drained), find(Means::Killed)) };
    let mut bars = axis.bar("track", 0, axis.0, 4, 16);
    match out {
        None => bars += &axis.bar("serving", 0, axis.0, 4, 16),
        Some(out) => {
            let gone = out.latest.unwrap_or(axis.0);
            bars += &axis.bar("serving", 0, out.earliest, 4, 16);
            bars += &axis.bar("perhaps", out.earliest, gone, 4, 16);
            let back = last.map_or(axis.0, |back| back.earliest.max(gone));
            bars += &axis.bar("out", gone, back, 4, 16);
            if let Some(last) = last {
                let sure = last.latest.unwrap_or(axis.0);
                bars += &axis.bar("perhaps", back, sure, 4, 16);
                bars += &axis.bar("serving", sure, axis.0, 4, 16);
            }
        }
    }
    let step = axis.step();
    let ticks: String = (0..=axis.0 / step)
        .map(|nth| {
            let (at, seconds) = (axis.at(nth * step), nth * step);
            let anchor = if nth == 0 { "start" } else { "middle" };
            format!(
                "<line class=\"tick\" x1=\"{at}\" y1=\"20\" x2=\"{at}\" y2=\"25\"/>\n<text class=\"tick\" x=\"{at}\" y=\"38\" text-anchor=\"{anchor}\">{seconds} s</text>\n"
            )
        })
        .collect();
    format!(
        "<p class=\"legend\"><span class=\"serving\">in service</span> <span class=\"perhaps\">perhaps</span> <span class=\"out\">out</span></p>\n\
         <svg class=\"strip\" role=\"img\" width=\"100%\" height=\"42\" aria-label=\"When the pod is in its services\">\n{bars}{ticks}</svg>\n"
    )
}

fn earlier(one: Option<Span>, other: Option<Span>) -> Option<Span> {
    match (one, other) {
        (Some(one), Some(other)) if other.earliest < one.earliest => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

fn row(event: &TimelineEvent, axis: &Axis) -> String {
    let class = match event.means {
        Means::Fault | Means::Killed | Means::Gone => "bad",
        Means::Drained | Means::Stays => "out",
        Means::Restarted | Means::Ends => "neutral",
        Means::Ready => "serving",
    };
    let to = event.at.latest.unwrap_or(axis.0);
    let bar = axis.bar("track", 0, axis.0, 3, 4) + &axis.bar(class, event.at.earliest, to, 0, 10);
    format!(
        "<li><b>{}</b> {}\n<svg class=\"span\" width=\"100%\" height=\"10\" aria-hidden=\"true\">\n{bar}</svg></li>\n",
        text(&event.at.to_string()),
        text(&event.what)
    )
}
