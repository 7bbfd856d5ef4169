//! A process that is killed while it applies a plan, and the next one that goes on.
//!
//! A binary of its own: a process that is being started holds the open files of all tests beside it for a moment.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

#[path = "clean_apply/store.rs"]
#[expect(dead_code, reason = "shared with the other tests of apply")]
mod store;
#[path = "clean_apply/world.rs"]
#[expect(dead_code, reason = "shared with the other tests of apply")]
mod world;

use std::process::Command;

use kubeguard_core::images::Digest;

use store::Pair;
use world::{World, fleet};

/// `before N` or `after N`: the call, counted from 1, at which the process ends.
const MOMENT: &str = "KUBEGUARD_TEST_KILLED";
const FOLDER: &str = "KUBEGUARD_TEST_KILLED_FOLDER";

/// The process that is killed: it does nothing unless it is started by the test below.
#[tokio::test]
async fn a_process_that_kills_itself_at_a_call() {
    let (Ok(moment), Ok(folder)) = (std::env::var(MOMENT), std::env::var(FOLDER)) else { return };
    let (when, number) = moment.split_once(' ').unwrap();
    let mut world = World::new(fleet(), Pair::TagThenImage);
    let plan = world.plan().await;
    let path = std::path::Path::new(&folder);
    {
        let mut inner = world.store.lock();
        let call = Some(inner.calls + number.parse::<u64>().unwrap());
        match when {
            "before" => inner.dies_before = call,
            _ => inner.dies_after = call,
        }
        inner.effects = Some(std::fs::File::create(path.join("effects")).unwrap());
    }
    world.place = path.to_owned();
    world.apply(&plan).await;
}

/// The journal is written before and after each call, so these are all its positions: before a call, and when the call
/// has had its effect and nobody knows yet.
#[tokio::test]
async fn a_process_that_is_killed_anywhere_leaves_what_the_next_one_needs() {
    let expected = {
        let world = World::new(fleet(), Pair::TagThenImage);
        let plan = world.plan().await;
        (world.apply(&plan).await.summary, world.entries("app"))
    };
    let mut killed = [0, 0];
    for (at, when) in ["before", "after"].into_iter().enumerate() {
        for call in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_process_that_kills_itself_at_a_call"])
                .env(MOMENT, format!("{when} {call}"))
                .env(FOLDER, folder.path())
                .output()
                .unwrap()
                .status;
            let cut_short = !status.success();
            killed[at] += u32::from(cut_short);
            let mut world = World::new(fleet(), Pair::TagThenImage);
            let plan = world.plan().await;
            let effects = std::fs::read_to_string(folder.path().join("effects")).unwrap_or_default();
            for (repository, digest) in effects.lines().filter_map(|line| line.split_once(' ')) {
                let digest: Digest = digest.parse().unwrap();
                world.store.lock().content.get_mut(repository).unwrap().entries.remove(&digest);
            }
            world.place = folder.path().to_owned();
            let applied = world.apply(&plan).await;
            assert_eq!((applied.summary, world.entries("app")), expected, "killed {when} call {call}");
            // A read has no effect to die after: every call is tried.
            let over = if when == "before" { !cut_short } else { call >= killed[0] };
            if over {
                break;
            }
        }
    }
    assert!(killed[0] >= 12 && killed[1] >= 3, "{killed:?}");
}
