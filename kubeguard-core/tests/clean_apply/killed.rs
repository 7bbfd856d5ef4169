//! Runs that are killed, at every moment, and go on.

use futures::FutureExt as _;
use kubeguard_core::ecr::apply::{Totals, lines};
use kubeguard_core::images::Digest;

use crate::store::{PAIRS, Pair};
use crate::world::{World, fleet};

async fn whole(pair: Pair) -> (Totals, Vec<Digest>) {
    let world = World::new(fleet(), pair);
    world.deploy("app:multi3");
    let plan = world.plan().await;
    let applied = world.apply(&plan).await;
    assert_eq!(applied.exit_code, 0, "{:?}", applied.stopped);
    (applied.summary, world.entries("app"))
}

/// Drops a run after every number of its steps, and lets another go on.
async fn dropped_at_any_step(pair: Pair) {
    let expected = whole(pair).await;
    let planned = World::new(fleet(), pair);
    planned.deploy("app:multi3");
    let plan = planned.plan().await;
    for steps in 0.. {
        let world = World::new(fleet(), pair);
        world.deploy("app:multi3");
        let mut run = Box::pin(world.try_apply(&plan));
        let ended = (0..steps).any(|_| run.as_mut().now_or_never().is_some());
        drop(run);
        let applied = world.apply(&plan).await;
        assert_eq!((applied.summary, world.entries("app")), expected, "{pair:?} dropped after {steps} steps");
        assert_eq!(applied.exit_code, 0);
        assert!(world.store.lock().broken.is_empty());
        if ended {
            break;
        }
    }
}

mod a_run_that_is_dropped_at_any_step_goes_on_to_the_same_end_with_the_same_totals {
    use super::{Pair, dropped_at_any_step};

    #[tokio::test]
    async fn where_pairs_take_tags_and_the_last_one_the_image() {
        dropped_at_any_step(Pair::TagThenImage).await;
    }

    #[tokio::test]
    async fn where_pairs_take_the_image() {
        dropped_at_any_step(Pair::Image).await;
    }

    #[tokio::test]
    async fn where_pairs_take_tags_only() {
        dropped_at_any_step(Pair::TagOnly).await;
    }
}

#[tokio::test]
async fn a_journal_that_is_cut_after_any_line_leads_to_the_same_end() {
    // What was written after the last sync may be lost with the machine; deletions that it tells of are then found gone.
    for pair in PAIRS {
        let world = World::new(fleet(), pair);
        let plan = world.plan().await;
        world.apply(&plan).await;
        let text = std::fs::read_to_string(world.journal(&plan)).unwrap();
        let all = lines(&world.journal(&plan)).unwrap().len();
        let planned = plan.summary.delete;
        for keep in (0..all).step_by(7) {
            let cut: String = text.split_inclusive('\n').take(keep).collect();
            std::fs::write(world.journal(&plan), cut + "{\"seq\":").unwrap();
            let applied = world.apply(&plan).await;
            assert_eq!(applied.summary.deleted + applied.summary.gone, planned, "{pair:?} after {keep} lines");
            assert_eq!(applied.exit_code, 0);
        }
    }
}
