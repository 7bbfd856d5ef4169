//! What people read of a fix.

use kubeguard_core::audit::jobs::fix::{Act, Became, Call, Fix, FixItem, FixReport};

use crate::output::audit::AuditFormat;
use crate::output::json;
use crate::terminal::{Style, printable};

/// Returns the answer in a format; `all` says that namespaces are named.
pub(super) fn report(report: &FixReport, format: AuditFormat, all: bool, colour: bool) -> String {
    let json = || report.as_json();
    match format {
        AuditFormat::Json => json::text(&json()).unwrap_or_else(|error| error.to_string()),
        AuditFormat::Yaml => serde_saphyr::to_string(&json()).unwrap_or_else(|error| error.to_string()),
        AuditFormat::Name => {
            let acted = |item: &&FixItem| matches!(item.became, Became::Planned | Became::Done);
            let mut names: Vec<String> =
                report.items.iter().filter(acted).map(|item| format!("{}\n", item.act.object)).collect();
            names.dedup();
            names.concat()
        }
        _ => lines(report, all, format == AuditFormat::Wide, colour),
    }
}

/// Returns lines for people.
pub(super) fn lines(report: &FixReport, all: bool, wide: bool, colour: bool) -> String {
    let mut text = String::new();
    for item in &report.items {
        let (word, style) = word(item, report.fix);
        let place = if all { format!(" in namespace {}", item.act.object.namespace) } else { String::new() };
        text += &style.paint(&format!("{word:<12}"), colour);
        text += &format!(" {}{}\n", printable(&what(&item.act)), printable(&place));
        let more = |word: &str, said: &str| format!("{:<12} {word}: {}\n", "", printable(said));
        if wide {
            text += &more("found by", &format!("{} ({})", item.act.rules.join(", "), item.act.proof));
        }
        if let Some(why) = &item.reason {
            text += &more("because", why);
        }
        if item.became != Became::Refused {
            for outcome in &item.act.predicted {
                text += &more("predicted", &outcome.steps.join(" → "));
            }
        }
        text.extend(item.act.notes.iter().map(|note| more("note", note)));
        text.extend(item.seen.iter().map(|seen| more("seen", seen)));
        text.extend(item.no_event.iter().map(|why| more("note", why)));
    }
    text += &summary(report);
    for skipped in &report.skipped {
        let word = if skipped.partial { "judged in part" } else { "not judged" };
        let place = skipped.namespace.as_ref().map_or(String::new(), |namespace| format!(" in namespace {namespace}"));
        text += &format!("{word}: {}{}: {}\n", skipped.rules.join(", "), printable(&place), printable(&skipped.reason));
    }
    text
}

/// Returns `nothing was changed (dry run) · 1 action, 0 refused`.
fn summary(report: &FixReport) -> String {
    if report.items.is_empty() {
        return "nothing to fix was found\n".to_owned();
    }
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let refused = report.count(Became::Refused);
    let rest = [(Became::Changed, "changed meanwhile"), (Became::Failed, "failed"), (Became::NotTried, "not tried")];
    let rest = rest.into_iter().map(|(became, word)| (report.count(became), word)).filter(|(count, _)| *count > 0);
    let rest = rest.map(|(count, word)| format!(", {count} {word}")).collect::<String>();
    if report.dry_run.is_some() {
        let planned = plural(report.count(Became::Planned), "action");
        return format!("nothing was changed (dry run) · {planned}, {refused} refused{rest}\n");
    }
    format!("{} done, {refused} refused{rest}\n", report.count(Became::Done))
}

fn word(item: &FixItem, fix: Fix) -> (&'static str, Style) {
    match (item.became, fix) {
        (Became::Planned, Fix::Quit) => ("would quit", Style::Waiting),
        (Became::Planned, Fix::Delete) => ("would delete", Style::Waiting),
        (Became::Done, Fix::Quit) => ("quit", Style::Good),
        (Became::Done, Fix::Delete) => ("deleted", Style::Good),
        (Became::Refused, _) => ("refused", Style::Plain),
        (Became::Changed, _) => ("changed", Style::Waiting),
        (Became::Failed, _) => ("failed", Style::Bad),
        (Became::NotTried, _) => ("not tried", Style::Plain),
    }
}

/// Returns `istio-proxy in pod load-7-9xk2l: POST 127.0.0.1:15020/quitquitquit (port-forward)`.
fn what(act: &Act) -> String {
    let whom = match (&act.container, &act.pod) {
        (Some(container), Some(pod)) => format!("{} in pod {}", container.name, pod.name.name),
        _ => act.object.to_string(),
    };
    match &act.call {
        Some(Call::InPod { method, port, path }) => {
            format!("{whom}: {method} 127.0.0.1:{port}{path} (port-forward)")
        }
        Some(Call::DeleteJob) => format!("{whom}: with its pods, in the background"),
        None => whom,
    }
}

/// Returns what is said before an act, and after it.
pub(super) fn progress(act: &Act, item: Option<&FixItem>, all: bool) -> String {
    let place = if all { format!(" in namespace {}", act.object.namespace) } else { String::new() };
    let text = match item {
        None => format!("{}: {}{place}", act.fix.word(), what(act)),
        Some(item) => {
            let said = [&item.reason, &item.seen].into_iter().flatten().cloned().collect::<Vec<_>>().join(": ");
            let colon = if said.is_empty() { "" } else { ": " };
            format!("  {}{colon}{said}", word(item, act.fix).0)
        }
    };
    printable(&text)
}

/// Returns the rights that acting takes, beside those for reading.
pub(super) fn rbac(fix: Fix, namespace: Option<&str>) -> String {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let place = namespace.map_or(String::new(), |namespace| format!("  namespace: {namespace}\n"));
    let rules = match fix {
        Fix::Quit => [
            "- apiGroups: ['']\n  resources: [pods/portforward]\n  verbs: [get, create]\n",
            "- apiGroups: ['']\n  resources: [pods]\n  verbs: [get, list]\n\
             - apiGroups: [batch]\n  resources: [jobs]\n  verbs: [get]\n",
        ],
        Fix::Delete => [
            "- apiGroups: [batch]\n  resources: [jobs]\n  verbs: [get, delete]\n",
            "- apiGroups: ['']\n  resources: [pods]\n  verbs: [list]\n",
        ],
    };
    let (word, rules) = (fix.word(), rules.concat());
    format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: kubeguard-fix-{word}\n{place}\
         rules:\n{rules}- apiGroups: ['']\n  resources: [events]\n  verbs: [create]\n"
    )
}
