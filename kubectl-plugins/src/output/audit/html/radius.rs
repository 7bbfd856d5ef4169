//! The blast radius as a picture: a bar for each image, as long as the share of the fleet's services that it takes down.
//!
//! Widths are percentages and letters keep their size, so that it reads on a phone as on paper.

use kubeguard_core::audit::probes::blast::{BlastItem, BlastReport, Mode, ServiceHit};

use super::text;
use crate::terminal::shorten;

/// Height of a row and of what stands in it, in pixels.
const ROW: usize = 62;
/// A name longer than this would run out of a phone's page.
const NAME: usize = 40;
/// So many services are listed for each kind of loss.
const LISTED: usize = 40;

/// Returns the picture of the worst rows, with the services of each behind a fold; empty where nothing is hit.
pub(super) fn picture(report: &BlastReport, most: usize) -> String {
    let hit = |item: &&BlastItem| !(item.downed.is_empty() && item.degraded.is_empty() && item.touched.is_empty());
    let rows: Vec<&BlastItem> = report.items.iter().filter(hit).take(most).collect();
    if rows.is_empty() || report.services == 0 {
        return String::new();
    }
    let how = match report.mode {
        Mode::Crash => "when its container stops",
        Mode::Probe => "when its probe fails",
    };
    let left = report.items.iter().filter(hit).count() - rows.len() + report.more;
    let bars: String = rows.iter().enumerate().map(|(at, item)| row(at, item, report.services)).collect();
    let lists: String = rows.iter().map(|item| list(item)).collect();
    let more = if left > 0 {
        format!("<p class=\"quiet\">and {left} more images: kubectl probe-audit blast</p>\n")
    } else {
        String::new()
    };
    let notes: String = report.notes.iter().map(|note| format!("<p class=\"quiet\">{}</p>\n", text(note))).collect();
    format!(
        "<section class=\"blast\">\n<h2>What falls with each image, {how}</h2>\n\
         <p class=\"legend\"><span class=\"downed\">down</span> <span class=\"degraded\">degraded</span> \
         <span class=\"touched\">touched</span> of {services} services</p>\n\
         <svg class=\"radius\" role=\"img\" width=\"100%\" height=\"{height}\" aria-label=\"Services that fall with each image\">\n{bars}</svg>\n\
         {more}{notes}<details>\n<summary>Which services</summary>\n{lists}</details>\n</section>\n",
        services = report.services,
        height = rows.len() * ROW,
    )
}

/// Returns a share of the whole in percent, with two digits.
fn percent(part: usize, whole: usize) -> String {
    let hundredths = part * 10_000 / whole.max(1);
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

fn row(at: usize, item: &BlastItem, services: usize) -> String {
    let top = at * ROW;
    let (name, bar, foot) = (top + 14, top + 21, top + 50);
    let counts = [("downed", item.downed.len()), ("degraded", item.degraded.len()), ("touched", item.touched.len())];
    let mut from = 0;
    let mut bars = format!("<rect class=\"track\" x=\"0\" y=\"{bar}\" width=\"100%\" height=\"14\"/>\n");
    for (class, count) in counts {
        if count > 0 {
            let (x, width) = (percent(from, services), percent(count, services));
            bars += &format!("<rect class=\"{class}\" x=\"{x}\" y=\"{bar}\" width=\"{width}\" height=\"14\"/>\n");
        }
        from += count;
    }
    let [down, degraded, touched] = counts.map(|(_, count)| count);
    let told =
        format!("{down} down, {degraded} degraded, {touched} touched · risk {:.1} · {} pods", item.risk, item.pods);
    format!(
        "<g>\n<title>{image}: {told}</title>\n<text class=\"name\" x=\"0\" y=\"{name}\">{image}</text>\n{bars}\
         <text class=\"told\" x=\"0\" y=\"{foot}\">{told}</text>\n</g>\n",
        image = text(&shorten(&item.image, NAME)),
    )
}

fn list(item: &BlastItem) -> String {
    let lists = [("down", &item.downed), ("degraded", &item.degraded), ("touched", &item.touched)];
    let told: String = lists
        .into_iter()
        .filter(|(_, hits)| !hits.is_empty())
        .map(|(word, hits)| format!("<p><b>{word}</b> {}</p>\n", text(&services(hits))))
        .collect();
    let terms: Vec<String> = item.terms.iter().map(|term| format!("{:.2} {}", term.value, term.why)).collect();
    let terms = format!("risk {:.1} = {:.2} × {}: {}", item.risk, item.likelihood, item.weight, terms.join(" + "));
    format!(
        "<h3>{} <small>{}</small></h3>\n{told}<p class=\"quiet\">{}</p>\n",
        text(&item.image),
        text(&item.container),
        text(&terms)
    )
}

fn services(hits: &[ServiceHit]) -> String {
    let names = hits.iter().take(LISTED).map(|hit| {
        let lost = if hit.lost < hit.ready { format!(" {} of {}", hit.lost, hit.ready) } else { String::new() };
        let because = if hit.because.is_empty() { String::new() } else { format!(" ({})", hit.because) };
        format!("{}/{}{lost}{because}", hit.namespace, hit.name)
    });
    let mut all = names.collect::<Vec<_>>().join(", ");
    if hits.len() > LISTED {
        all += &format!(" and {} more", hits.len() - LISTED);
    }
    all
}
