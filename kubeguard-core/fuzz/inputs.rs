//! What reads text that nobody has checked: each takes any bytes, and must neither panic nor hang.
//!
//! Shared by the fuzz targets and by a bounded test (`tests/fuzz.rs`).

use jiff::Timestamp;
use kubeguard_core::gather::manifests;
use kubeguard_core::images::inventory::{Scan, Secrets, Switch};
use kubeguard_core::images::{Collector, HostMap, ImageRef};
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

/// A reference to an image, and an object all of whose texts are that reference.
pub(crate) fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (hosts, scan) = (HostMap::default(), Scan::default());
    drop(ImageRef::parse(&text, &hosts));
    let mut collector = Collector::new(&hosts, &scan);
    collector.add(&serde_json::json!({
        "apiVersion": "acme.io/v1", "kind": "Widget", "metadata": {"name": "a", "annotations": {"note": text}},
        "spec": {"image": text, "script": text, "containers": [{"name": "a", "image": text, "args": [text]}]},
    }));
    let _ = collector.finish();
}

/// Objects, read for the images that they name.
pub(crate) fn images(bytes: &[u8]) {
    let Ok(found) = manifests::parse("fuzz", bytes) else { return };
    let scan = Scan { secrets: Secrets::All, events: Switch::On, node_images: Switch::On, ..Scan::default() };
    let hosts = HostMap::default();
    let mut collector = Collector::new(&hosts, &scan);
    for manifest in &found {
        collector.add(&manifest.object);
    }
    let _ = collector.finish();
}
