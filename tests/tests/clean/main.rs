//! Every row of `tests/scenarios/ecr` the whole way: clusters that answer → inventories → a look at a registry → plan →
//! apply → what the registry holds then.
//!
//! Each row is applied under every way in which ECR may read a pair of tag and digest; what is not planned must be there
//! afterwards, with its tags, and what is planned must be gone but for what the row names.

mod check;
mod commands;
mod row;
mod world;

use kubeguard_testkit::fake_ecr::Pairs;

use crate::row::{Row, Table};
use crate::world::World;

const PLANS: &str = include_str!("../../scenarios/ecr/plan.yaml");
const COMMANDS: &str = include_str!("../../scenarios/ecr/commands.yaml");
const APPLIES: &str = include_str!("../../scenarios/ecr/apply.yaml");

fn table(text: &str) -> Table {
    serde_saphyr::from_str(text).expect("a table that can be read")
}

/// Runs rows at once, and says which failed after all have run.
async fn every<F: Future<Output = ()> + Send + 'static>(table: Table, run: impl Fn(std::sync::Arc<Row>) -> F) {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut running = Vec::new();
    for row in table.rows {
        let row = std::sync::Arc::new(row.based_on(&table.base));
        running.push((format!("{} {}", row.id, row.case), tokio::spawn(run(row))));
    }
    let mut failed = Vec::new();
    for (name, row) in running {
        if row.await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_plan_holds_the_whole_way_and_goes_as_planned() {
    every(table(PLANS), whole_way).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_apply_holds_however_pairs_are_read() {
    every(table(APPLIES), whole_way).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_holds_in_the_real_binary() {
    every(table(COMMANDS), |row| async move {
        let world = World::new(&row, Pairs::Tag);
        tokio::task::spawn_blocking(move || commands::run(&row, &world)).await.expect("the row holds");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_apply_holds_in_the_real_binary() {
    every(table(APPLIES), |row| async move {
        let pairs = Pairs::ALL.into_iter().find(|pairs| row.takes(*pairs)).expect("a reading");
        let world = World::new(&row, pairs);
        tokio::task::spawn_blocking(move || commands::whole_way(&row, &world)).await.expect("the row holds");
    })
    .await;
}

async fn whole_way(row: std::sync::Arc<Row>) {
    for pairs in Pairs::ALL.into_iter().filter(|pairs| row.takes(*pairs)) {
        let world = World::new(&row, pairs);
        let (plan, findings) = world.plan(&row).await;
        check::plan(&row, &world, &plan);
        check::verified(&row, &findings);
        if row.again {
            check::again(&row, &world, &plan).await;
        }
        let before = world.content();
        world.act(&row.between);
        world.set_up_calls(&row);
        let applied = world.apply(&if row.edited { world::edited(&plan) } else { plan.clone() }).await;
        check::applied(&row, &world, &plan, &applied, &before);
        if applied.items.is_empty() {
            // No call that changes something: how pairs are read makes no difference.
            break;
        }
    }
}
