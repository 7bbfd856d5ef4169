//! The table of reasons, as the library has it.

use kubeguard_core::wait::policy::{Hold, Profile};
use kubeguard_core::wait::reason::{Class, Reason};

use crate::output::columns;

fn hold(reason: Reason, profile: Profile) -> String {
    match (reason.class(), reason.hold(profile)) {
        (Class::Progress, _) => "-".to_owned(),
        (_, Hold::Never) => "never".to_owned(),
        (Class::Budget, Hold::Seconds(restarts)) => format!("{restarts} restarts"),
        (_, Hold::Seconds(seconds)) => format!("{seconds}s"),
    }
}

/// The remedy with the names it would be filled with.
fn remedy(reason: Reason) -> String {
    let mut text = String::new();
    let mut rest = reason.row().remedy;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(&name.split('|').next().unwrap_or_default().to_uppercase());
        rest = after;
    }
    text + rest
}

/// Returns the table for people.
pub(super) fn table() -> String {
    let mut rows =
        vec![["REASON", "CLASS", "STRICT", "NORMAL", "PATIENT", "MEANING", "REMEDY"].map(ToOwned::to_owned).to_vec()];
    rows.extend(Reason::ALL.iter().map(|reason| {
        let row = reason.row();
        let mut cells = vec![row.word.to_owned(), row.class.word().to_owned()];
        cells.extend(Profile::ALL.iter().map(|profile| hold(*reason, *profile)));
        cells.push(row.about.to_owned());
        cells.push(remedy(*reason));
        cells
    }));
    columns(rows).join("\n") + "\n"
}

/// Returns the table for programs.
pub(super) fn json() -> String {
    let items: Vec<serde_json::Value> = Reason::ALL
        .iter()
        .map(|reason| {
            let row = reason.row();
            let [strict, normal, patient] =
                [Profile::Strict, Profile::Normal, Profile::Patient].map(|p| hold(*reason, p));
            serde_json::json!({
                "reason": row.word, "class": row.class.word(), "meaning": row.about, "remedy": remedy(*reason),
                "holds": {"strict": strict, "normal": normal, "patient": patient},
            })
        })
        .collect();
    let list = serde_json::json!({"apiVersion": "kubeguard.dev/v1", "kind": "ReasonList", "items": items});
    serde_json::to_string_pretty(&list).map_or_else(|error| error.to_string(), |text| text + "\n")
}
