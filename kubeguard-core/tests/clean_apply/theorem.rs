//! The promise: whatever others push, move, deploy and delete meanwhile, whatever goes wrong and wherever a run is
//! killed, no reference that an apply has seen loses its image or its tag through the apply.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use jiff::SignedDuration;
use kubeguard_core::ecr::apply::{Applied, Event, ItemState, SkipReason, lines};
use kubeguard_core::ecr::plan::{Decision, Plan};
use kubeguard_core::ecr::snapshot::Status;
use kubeguard_core::images::Digest;
use proptest::prelude::*;

use crate::store::{Content, Deed, Fault, PAIRS, Pair, now};
use crate::world::{POLICY, World, old};

/// One entry, by the numbers of the entries before it.
#[derive(Debug, Clone)]
struct Made {
    kind: u8,
    tags: u8,
    others: Vec<usize>,
    young: bool,
    archived: bool,
}

/// Everything that differs between two cases.
#[derive(Debug, Clone)]
struct Case {
    repositories: Vec<Vec<Made>>,
    references: Vec<(usize, usize, bool)>,
    pair: Pair,
    keep_newest: u8,
    action: &'static str,
    more: &'static str,
    script: Vec<(u64, usize, Deed)>,
    faults: BTreeMap<u64, Fault>,
    /// The first run is killed at this moment, and another follows.
    killed: Option<usize>,
}

fn made() -> impl Strategy<Value = Made> {
    let others = prop::collection::vec(0_usize..12, 1..3);
    (0_u8..12, 0_u8..4, others, prop::bool::weighted(0.1), prop::bool::weighted(0.05))
        .prop_map(|(kind, tags, others, young, archived)| Made { kind, tags, others, young, archived })
}

fn deed() -> impl Strategy<Value = Deed> {
    let (n, m) = (0_usize..12, 0_usize..12);
    (0_u8..11, n, m).prop_map(|(kind, n, m)| match kind {
        0 => Deed::Push(n, format!("t{m}")),
        1 | 2 => Deed::Tag(n, format!("t{m}")),
        3 => Deed::Untag(n),
        4 => Deed::Index(n, m, format!("t{}", n + m)),
        5 => Deed::Sign(n),
        6 => Deed::Delete(n),
        7 => Deed::Pull(n),
        8 => Deed::Archive(n),
        9 => Deed::Deploy(format!("t{n}")),
        _ => Deed::Pin(n),
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Throttled),
        Just(Fault::LostBefore),
        Just(Fault::LostAfter),
        Just(Fault::Denied),
        Just(Fault::Expired),
        (0_usize..5).prop_map(|at| Fault::Item(at, "KmsError")),
        (0_usize..5).prop_map(|at| Fault::Item(at, "ImageReferencedByManifestList")),
        (0_usize..5).prop_map(|at| Fault::Item(at, "ImageNotFound")),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let content = (
        prop::collection::vec(prop::collection::vec(made(), 0..10), 1..3),
        prop::collection::vec((0_usize..2, 0_usize..10, any::<bool>()), 0..4),
    );
    let settings = (
        prop::sample::select(PAIRS.to_vec()),
        1_u8..4,
        prop::sample::select(vec!["delete", "delete", "delete", "archive", "archive-then-delete"]),
        prop::sample::select(vec!["orphanedArtifacts: delete", "orphanedArtifacts: keep", "untagged: skip"]),
    );
    let meanwhile = (
        prop::collection::vec((1_u64..40, 0_usize..2, deed()), 0..4),
        prop::collection::btree_map(1_u64..8, fault(), 0..3),
        prop::option::weighted(0.3, 0_usize..60),
    );
    let calm = prop::bool::weighted(0.25);
    (content, settings, meanwhile, calm).prop_map(
        |((repositories, references), (pair, keep_newest, action, more), (script, faults, killed), calm)| Case {
            repositories,
            references,
            pair,
            keep_newest,
            action,
            more,
            script: if calm { Vec::new() } else { script },
            faults: if calm { BTreeMap::new() } else { faults },
            killed,
        },
    )
}

const NAMES: [&str; 2] = ["app", "base"];

fn content(made: &[Made]) -> (Content, Vec<Digest>) {
    let (mut content, mut digests) = (Content::default(), Vec::<Digest>::new());
    for (number, made) in made.iter().enumerate() {
        let at = if made.young { now() - SignedDuration::from_mins(30) } else { old(number.try_into().unwrap()) };
        let below: BTreeSet<Digest> =
            made.others.iter().filter_map(|other| digests.get(other % number.max(1))).copied().collect();
        let mut tags: Vec<String> =
            (0..made.tags.min(2)).map(|tag| format!("t{}", number + usize::from(tag) * 6)).collect();
        let (mut children, mut subject) = (Vec::new(), None);
        match made.kind {
            0..3 => children.extend(below),
            // A child that is missing.
            3 => children.push(Digest::of(b"missing")),
            4 => subject = below.first().copied(),
            5 => tags = below.first().map(|subject| format!("sha256-{}.sig", subject.hex())).into_iter().collect(),
            _ => {}
        }
        let digest = content.add(&number.to_string(), &tags, &children, subject, at);
        if made.archived
            && let Some(entry) = content.entries.get_mut(&digest)
        {
            entry.status = Status::Archived;
            entry.last_archived_at = Some(old(0));
        }
        digests.push(digest);
    }
    (content, digests)
}

fn world(case: &Case) -> World {
    let policy = POLICY
        .replace("keepNewest: 1", &format!("keepNewest: {}", case.keep_newest))
        .replace("orphanedArtifacts: delete", case.more)
        .replace("action: delete", &format!("action: {}", case.action));
    let made: Vec<_> = case.repositories.iter().map(|made| content(made)).collect();
    let contents = NAMES.iter().zip(&made).map(|(name, (content, _))| ((*name).to_owned(), content.clone()));
    let world = World::with(&policy, contents.collect(), case.pair);
    for (repository, number, by_digest) in &case.references {
        let Some((_, digests)) = made.get(*repository) else { continue };
        match digests.get(*number) {
            Some(digest) if *by_digest => world.deploy(&format!("{}@{digest}", NAMES[*repository])),
            _ => world.deploy(&format!("{}:t{number}", NAMES[*repository])),
        }
    }
    world
}

/// Applies a plan; where the case says so it is killed first: the future is dropped, as a process would end, between
/// two steps of its own or of the registry.
async fn applied(world: &World, plan: &Plan, killed: Option<usize>) -> Applied {
    if let Some(steps) = killed {
        let mut run = Box::pin(world.try_apply(plan));
        for _ in 0..steps {
            if run.as_mut().now_or_never().is_some() {
                break;
            }
        }
    }
    world.apply(plan).await
}

fn planned(plan: &Plan) -> impl Iterator<Item = (&str, Digest, &[String])> {
    let goes = plan.images.iter().filter(|image| image.decision != Decision::Keep);
    goes.map(|image| (image.repository.as_str(), image.digest, image.tags.as_slice()))
}

async fn holds(case: &Case) -> Result<(), TestCaseError> {
    let world = world(case);
    let plan = world.plan().await;
    {
        let mut inner = world.store.lock();
        let before = inner.calls;
        let script =
            case.script.iter().map(|(at, repository, deed)| (before + at, NAMES[*repository].to_owned(), deed.clone()));
        inner.script = script.collect();
        inner.faults.clone_from(&case.faults);
    }
    let applied = applied(&world, &plan, case.killed).await;
    let made = {
        let inner = world.store.lock();
        prop_assert!(inner.broken.is_empty(), "{:?}", inner.broken);
        for (repository, ids) in &inner.mutations {
            for id in ids {
                let known = planned(&plan).any(|(name, digest, tags)| {
                    name == repository
                        && id.digest == Some(digest)
                        && id.tag.as_ref().is_none_or(|tag| tags.contains(tag))
                });
                prop_assert!(known, "{id:?} is not planned");
            }
        }
        inner.mutations.clone()
    };
    let written = lines(&world.journal(&plan)).unwrap();
    let intents: Vec<_> = written
        .iter()
        .filter_map(|line| match &line.event {
            Event::Intent { repository, ids, .. } => Some((repository.clone(), ids.clone())),
            _ => None,
        })
        .collect();
    // A killed run may have written one that it did not come to.
    prop_assert!(made.iter().all(|call| intents.contains(call)) && intents.len() <= made.len() + 1);

    let summary = applied.summary;
    let all =
        summary.deleted + summary.archived + summary.gone + summary.skipped + summary.failed + summary.unconfirmed;
    prop_assert_eq!(all, planned(&plan).count() as u64);
    if case.script.is_empty() {
        for item in applied.items.iter().filter(|item| item.state == ItemState::Deleted) {
            prop_assert!(!world.entries(&item.repository).contains(&item.digest));
        }
    }
    if case.script.is_empty() && case.faults.is_empty() {
        prop_assert_eq!(applied.exit_code, 0, "{:?}", applied.items);
        // What an archived index would need again stays beside it.
        let waits = applied.items.iter().filter(|item| item.reason == Some(SkipReason::ParentKept)).count() as u64;
        prop_assert_eq!(summary.deleted + summary.archived + waits, all);
        prop_assert!(waits == 0 || case.action == "archive-then-delete");
        if case.action == "delete" && case.more != "untagged: skip" {
            unused_is_gone(case, &world)?;
        }
        let again = world.apply(&plan).await;
        prop_assert_eq!(again.summary, summary);
        prop_assert_eq!(world.store.lock().mutations.len(), made.len());
    }
    Ok(())
}

/// Of old images that nothing names, lists or is attached to, only the newest remain.
fn unused_is_gone(case: &Case, world: &World) -> Result<(), TestCaseError> {
    let inner = world.store.lock();
    for (name, content) in &inner.content {
        let plain = content.entries.values().filter(|entry| {
            let named = inner.deployed.iter().any(|reference| {
                reference.ends_with(&format!("/{name}@{}", entry.digest))
                    || entry.tags.iter().any(|tag| reference.ends_with(&format!("/{name}:{tag}")))
            });
            let listed = content
                .children
                .iter()
                .any(|(index, children)| content.entries.contains_key(index) && children.contains(&entry.digest));
            let signs = entry.subject.is_some() || entry.tags.iter().any(|tag| tag.starts_with("sha256-"));
            let young =
                entry.pushed_at.is_none_or(|pushed| now().duration_since(pushed) < SignedDuration::from_hours(2));
            let index = content.children.contains_key(&entry.digest);
            !named && !listed && !signs && !young && !index && entry.status == Status::Active
        });
        prop_assert!(plain.count() <= usize::from(case.keep_newest), "unused images remain in {}", name);
    }
    Ok(())
}

fn holds_in_thousands_of_cases() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config = ProptestConfig { cases: 2_500, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(case in case())| {
        runtime.block_on(holds(&case))?;
    });
}

/// Ten thousand cases in all, a quarter in each of four tests, which run beside each other.
mod nothing_that_is_needed_goes_and_what_is_not_needed_does {
    use super::holds_in_thousands_of_cases;

    #[test]
    fn first_quarter() {
        holds_in_thousands_of_cases();
    }

    #[test]
    fn second_quarter() {
        holds_in_thousands_of_cases();
    }

    #[test]
    fn third_quarter() {
        holds_in_thousands_of_cases();
    }

    #[test]
    fn last_quarter() {
        holds_in_thousands_of_cases();
    }
}
