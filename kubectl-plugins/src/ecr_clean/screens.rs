//! What people read: tables, explanations.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kubeguard_core::images::Inventory;
use kubeguard_core::images::inventory::ReadStatus;

use crate::output::columns;
use crate::terminal::printable;

pub(super) fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| printable(cell)).collect()
}

pub(super) fn lines(rows: Vec<Vec<String>>) -> String {
    columns(rows).join("\n") + "\n"
}

/// Returns a size as people read it.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(super) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// Returns every image that inventories name, each once; hidden names are none.
pub(super) fn images(inventories: &[Inventory]) -> String {
    let references = inventories.iter().flat_map(|inventory| &inventory.references);
    let images = references.map(|reference| reference.image.as_str()).filter(|image| !image.is_empty());
    let images: BTreeSet<&str> = images.collect();
    images.into_iter().map(|image| printable(image) + "\n").collect()
}

/// Returns a line for each cluster, and below it what could not be read; with `wide` every kind.
pub(super) fn inventories(inventories: &[Inventory], wide: bool) -> String {
    let mut rows = vec![row(&["CLUSTER", "UID", "TAKEN", "KINDS", "REFERENCES", "SUSPICIOUS", "COMPLETE"])];
    for inventory in inventories {
        let read = inventory.kinds.iter().filter(|kind| kind.status == ReadStatus::Ok).count();
        rows.push(row(&[
            &inventory.cluster,
            inventory.uid.as_deref().map_or("-", |uid| uid.get(..8).unwrap_or(uid)),
            &inventory.taken_at.to_string(),
            &format!("{read}/{}", inventory.kinds.len()),
            &inventory.references.len().to_string(),
            &inventory.suspicious.len().to_string(),
            if inventory.complete { "yes" } else { "no" },
        ]));
    }
    let mut text = lines(rows);
    for inventory in inventories {
        let unread = inventory.kinds.iter().filter(|kind| !matches!(kind.status, ReadStatus::Ok));
        for kind in unread {
            let status = serde_json::to_value(kind.status).ok();
            let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or_default().to_owned();
            let message = kind.message.as_deref().map_or(String::new(), |message| format!(": {message}"));
            text += &printable(&format!("{}: {} {status}{message}", inventory.cluster, kind.resource));
            text.push('\n');
        }
        if wide {
            let kinds = inventory.kinds.iter().filter(|kind| kind.status == ReadStatus::Ok);
            let mut rows = vec![row(&["CLUSTER", "API", "KIND", "OBJECTS", "PAGES", "REFERENCES"])];
            rows.extend(kinds.map(|kind| {
                let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
                let (objects, pages, found) = (number(kind.objects), number(kind.pages), number(kind.references));
                row(&[&inventory.cluster, &kind.api_version, &kind.resource, &objects, &pages, &found])
            }));
            text += &lines(rows);
        }
    }
    text
}

/// Returns a time as people read it, in UTC.
pub(super) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Returns the day of a time, in UTC.
pub(super) fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}
