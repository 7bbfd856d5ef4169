//! What reads text that nobody has checked: each takes any bytes, and must neither panic nor hang.
//!
//! Shared by the fuzz targets and by a bounded test (`tests/fuzz.rs`).

use jiff::Timestamp;
use kubeguard_core::gather::manifests;
use kubeguard_core::wait::policy::Policy;
use kubeguard_core::wait::recording::Replay;
use kubeguard_core::wait::rules::{Rules, Sources};
use kubeguard_core::wait::{Object, offline};

/// A recording.
pub(crate) fn recording(bytes: &[u8]) {
    let Ok(mut replay) = Replay::open(bytes, "fuzz", |_| ()) else { return };
    while let Ok(Some(_)) = replay.next_update() {}
    let _ = replay.report(true);
}

/// A file with objects.
pub(crate) fn objects(bytes: &[u8]) {
    let Ok(found) = manifests::parse("fuzz", bytes) else { return };
    let objects: Vec<Object> = found.into_iter().filter_map(|manifest| Object::read(manifest.object)).collect();
    let _ = offline::judge(objects, Policy::default(), Timestamp::UNIX_EPOCH);
}

/// A file with rules, and an object that they may match.
pub(crate) fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let files = vec![("fuzz".to_owned(), text.to_owned())];
    let Ok(rules) = Rules::new(Sources { files, ..Sources::default() }) else { return };
    let object = br#"{"apiVersion": "acme.io/v1", "kind": "Widget", "metadata": {"name": "a", "generation": 1},
        "spec": {"size": 3}, "status": {"phase": "Ready", "size": 2, "conditions": [{"type": "Ready", "status": "True"}]}}"#;
    let found = manifests::parse("fuzz", object).unwrap_or_default();
    let objects: Vec<Object> = found.into_iter().filter_map(|manifest| Object::read(manifest.object)).collect();
    let _ = offline::judge(objects, Policy { rules, ..Policy::default() }, Timestamp::UNIX_EPOCH);
}
