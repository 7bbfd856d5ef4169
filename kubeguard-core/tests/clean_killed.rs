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

const CHILD: &str = "KUBEGUARD_TEST_KILLED_BEFORE";
const FOLDER: &str = "KUBEGUARD_TEST_KILLED_FOLDER";

/// The process that is killed: it does nothing unless it is started by the test below.
#[tokio::test]
async fn a_process_that_kills_itself_before_a_call() {
    let (Ok(before), Ok(folder)) = (std::env::var(CHILD), std::env::var(FOLDER)) else { return };
    let mut world = World::new(fleet(), Pair::TagThenImage);
    let plan = world.plan().await;
    let path = std::path::Path::new(&folder);
    {
        let mut inner = world.store.lock();
        inner.dies_before = Some(inner.calls + before.parse::<u64>().unwrap());
        inner.effects = Some(std::fs::File::create(path.join("effects")).unwrap());
    }
    world.place = path.to_owned();
    world.apply(&plan).await;
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_what_the_next_one_needs() {
    let expected = {
        let world = World::new(fleet(), Pair::TagThenImage);
        let plan = world.plan().await;
        (world.apply(&plan).await.summary, world.entries("app"))
    };
    let mut cut_short = 0;
    for before in [1, 8, 9, 10, 11, 12, 13, 15, 17, 20] {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_that_kills_itself_before_a_call"])
            .env(CHILD, before.to_string())
            .env(FOLDER, folder.path())
            .output()
            .unwrap()
            .status;
        cut_short += u32::from(!status.success());
        let mut world = World::new(fleet(), Pair::TagThenImage);
        let plan = world.plan().await;
        let effects = std::fs::read_to_string(folder.path().join("effects")).unwrap_or_default();
        for (repository, digest) in effects.lines().filter_map(|line| line.split_once(' ')) {
            let digest: Digest = digest.parse().unwrap();
            world.store.lock().content.get_mut(repository).unwrap().entries.remove(&digest);
        }
        world.place = folder.path().to_owned();
        let applied = world.apply(&plan).await;
        assert_eq!((applied.summary, world.entries("app")), expected, "killed before call {before}");
    }
    assert!(cut_short >= 8, "{cut_short}");
}
