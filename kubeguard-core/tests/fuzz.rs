//! The fuzz targets over a bounded number of damaged files; `cargo fuzz run recording` goes on without end.

#[path = "../fuzz/inputs.rs"]
mod inputs;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// One damage to a text: where it begins, how much is taken away, and what stands there instead.
type Damage = (prop::sample::Index, usize, Vec<u8>);

const BITS: [&str; 16] = [
    "null",
    "-1",
    "99999999999999999999",
    "{}",
    "[]",
    "\"\"",
    "\n",
    ": ",
    "- ",
    "\u{feff}",
    "é",
    "&a ",
    "*a",
    "\t",
    "status",
    "{\"t\":",
];

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let bit = prop_oneof![
        prop::sample::select(BITS.to_vec()).prop_map(|bit| bit.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), 0_usize..60, bit), 0..6)
}

fn damaged(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, taken, instead) in damages {
        let from = at.index(bytes.len() + 1);
        let to = (from + taken).min(bytes.len());
        bytes.splice(from..to, instead.iter().copied());
    }
    bytes
}

fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_damaged_recording_panics(damages in damages(), stuck: bool) {
        let text = if stuck {
            include_str!("../../examples/recordings/a-stale-ready.ndjson")
        } else {
            include_str!("../../examples/recordings/an-image-that-does-not-exist.ndjson")
        };
        inputs::recording(&damaged(text, &damages));
    }

    #[test]
    fn no_damaged_file_panics(damages in damages()) {
        inputs::objects(&damaged(include_str!("../../examples/snapshots/shop.yaml"), &damages));
    }

    #[test]
    fn no_damaged_rules_panic(damages in damages()) {
        let own = "apiVersion: kubeguard.dev/v1\nkind: HealthRules\nrules:\n- id: own\n  match: [{group: '*.io'}]\n  conditions: {Ready: {role: summary, reasons: {failed: ['*False']}}}\n  words: {phase: {complete: [Ready], else: progressing}}\n  generations: [{observed: status.size, current: spec.size}]\n  when:\n  - {if: 'status.size < spec.size || conditions.exists(c, c == \"X\")', verdict: progressing, message: '\"size \" + string(status.size)'}\n";
        inputs::rules(&damaged(own, &damages));
    }

    #[test]
    fn no_damaged_reference_panics(damages in damages()) {
        let text = "docker-pullable://111122223333.dkr.ecr.us-east-1.amazonaws.com:443/team/web:1.2@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";
        inputs::reference(&damaged(text, &damages));
    }

    #[test]
    fn no_damaged_object_panics_where_images_are_read(damages in damages()) {
        inputs::images(&damaged(include_str!("../../examples/snapshots/images.yaml"), &damages));
    }
}
