//! One case after the other.

use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use std::collections::BTreeMap;

use kubeguard_core::ecr::apply::{
    CallOutcome, Demands, Event, ItemState, Journal, SkipReason, StopReason, calls, lines,
};
use kubeguard_core::ecr::plan::{Decision, Plan};
use kubeguard_core::ecr::snapshot::{ReplicationRule, Status};
use kubeguard_core::ecr::{restore, verify};
use kubeguard_core::images::RegistryId;

use crate::store::{Content, Deed, Fault, PAIRS, Pair, now};
use crate::world::{POLICY, World, images, old};

#[tokio::test]
async fn what_is_unused_goes_under_every_reading_and_a_second_apply_does_nothing() {
    for pair in PAIRS {
        let (content, digests) = images(6);
        let world = World::new(content, pair);
        world.deploy("app:v2");
        let plan = world.plan().await;
        let applied = world.apply(&plan).await;
        assert_eq!(applied.exit_code, 0, "{pair:?} {applied:?}");
        assert_eq!(applied.summary.deleted, 4);
        assert_eq!(applied.summary.bytes, 4000);
        let mut left = vec![digests[2], digests[5]];
        left.sort();
        assert_eq!(world.entries("app"), left);
        let made = world.store.lock().mutations.len();
        let again = world.apply(&plan).await;
        assert_eq!((again.summary, again.exit_code), (applied.summary, 0));
        assert_eq!(world.store.lock().mutations.len(), made);
    }
}

#[tokio::test]
async fn a_rehearsal_names_the_very_calls_and_makes_none() {
    let (content, _) = images(250);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    let rehearsed = world.rehearse(&plan).await;
    assert_eq!(rehearsed.summary.due, 249);
    assert_eq!(rehearsed.calls.iter().map(|call| call.ids.len()).collect::<Vec<_>>(), [100, 100, 49]);
    assert_eq!(rehearsed.calls, calls(&plan));
    assert!(world.store.lock().mutations.is_empty());
    assert!(!world.journal(&plan).exists());
    let applied = world.apply(&plan).await;
    assert_eq!(applied.calls, rehearsed.calls);
    assert_eq!(applied.summary.deleted, 249);
}

#[tokio::test]
async fn an_image_with_more_tags_than_a_call_may_name_takes_several_calls() {
    for pair in PAIRS {
        let (mut content, _) = images(2);
        let tags: Vec<String> = (0..230).map(|at| format!("many{at}")).collect();
        let many = content.add("many", &tags, &[], None, old(-9));
        let world = World::new(content, pair);
        let plan = world.plan().await;
        let applied = world.apply(&plan).await;
        assert_eq!((applied.summary.deleted, applied.exit_code), (2, 0), "{pair:?} {:?}", applied.items);
        assert!(!world.entries("app").contains(&many));
    }
}

#[tokio::test]
async fn an_index_goes_before_its_children_and_a_subject_before_its_signature() {
    for pair in PAIRS {
        let (mut content, _) = images(2);
        let children =
            [content.add("a", &[], &[], None, old(-9)), content.add("b", &["b".to_owned()], &[], None, old(-9))];
        let index = content.add("index", &["multi".to_owned()], &children, None, old(-8));
        let outer = content.add("outer", &["outer".to_owned()], &[index], None, old(-7));
        let signature = content.add("signature", &[format!("sha256-{}.sig", outer.hex())], &[], None, old(-6));
        let world = World::new(content, pair);
        let plan = world.plan().await;
        let order = |digest| plan.images.iter().find(|image| image.digest == digest).unwrap().order;
        assert_eq!(
            [order(outer), order(index), order(children[0]), order(signature)],
            [Some(1), Some(2), Some(3), Some(2)]
        );
        let applied = world.apply(&plan).await;
        assert_eq!((applied.summary.deleted, applied.exit_code), (6, 0), "{pair:?} {:?}", applied.items);
    }
}

#[tokio::test]
async fn what_follows_an_entry_that_stays_stays_too() {
    let (mut content, _) = images(2);
    let child = content.add("a", &[], &[], None, old(-9));
    let index = content.add("index", &["multi".to_owned()], &[child], None, old(-8));
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    let first = plan.images.iter().find(|image| image.tags == ["v0"]).unwrap().digest;
    let at = usize::from(index > first);
    world.store.lock().faults.insert(1, Fault::Item(at, "KmsError"));
    let applied = world.apply(&plan).await;
    let of = |digest| applied.items.iter().find(|item| item.digest == digest).unwrap();
    assert_eq!((of(index).state, of(index).code.as_deref()), (ItemState::Failed, Some("KmsError")));
    assert_eq!(of(child).reason, Some(SkipReason::ParentKept));
    assert_eq!(applied.exit_code, 6);
    assert!(world.entries("app").contains(&child));
}

/// Applies a plan over five images while somebody acts before the n-th call.
async fn meanwhile(pair: Pair, call: u64, deed: Deed) -> (World, Plan, kubeguard_core::ecr::apply::Applied) {
    let (content, _) = images(5);
    let world = World::new(content, pair);
    let plan = world.plan().await;
    let before = world.store.lock().calls;
    world.store.lock().script.push((before + call, "app".to_owned(), deed));
    let applied = world.apply(&plan).await;
    (world, plan, applied)
}

#[tokio::test]
async fn what_is_deployed_between_plan_and_apply_stays() {
    for pair in PAIRS {
        let (world, _, applied) = meanwhile(pair, 1, Deed::Deploy("v1".to_owned())).await;
        let item = applied.items.iter().find(|item| item.tags == ["v1"]).unwrap();
        assert_eq!((item.state, item.reason), (ItemState::Skipped, Some(SkipReason::InUse)));
        assert_eq!(item.by.as_deref(), Some("prod/team/Deployment/web0"));
        assert_eq!((applied.exit_code, applied.summary.deleted), (4, 3));
        assert!(world.store.lock().content["app"].holder("v1").is_some());
    }
}

#[tokio::test]
async fn what_gets_a_tag_at_any_moment_keeps_it() {
    for pair in [Pair::TagThenImage, Pair::TagOnly] {
        for call in 1..16 {
            let (world, ..) = meanwhile(pair, call, Deed::Tag(0, "new".to_owned())).await;
            let first = world.store.lock().content["app"].holder("new");
            assert!(first.is_some() || call > 12, "{pair:?} before call {call}");
            assert!(world.store.lock().broken.is_empty());
        }
    }
}

#[tokio::test]
async fn pulled_pushed_archived_and_deleted_entries_are_told_apart() {
    let (_, _, applied) = meanwhile(Pair::TagThenImage, 1, Deed::Pull(0)).await;
    assert!(applied.items.iter().any(|item| item.reason == Some(SkipReason::Changed)) || applied.exit_code == 0);
    let (_, _, applied) = meanwhile(Pair::TagThenImage, 1, Deed::Delete(0)).await;
    assert!(applied.summary.gone <= 1 && applied.summary.failed == 0);
    assert_eq!(applied.summary.deleted + applied.summary.gone, 4 - applied.summary.skipped);
}

#[tokio::test]
async fn answers_that_are_lost_are_looked_up_and_count_once() {
    for pair in PAIRS {
        for fault in [Fault::LostBefore, Fault::LostAfter, Fault::Throttled] {
            let (content, _) = images(5);
            let world = World::new(content, pair);
            let plan = world.plan().await;
            world.store.lock().faults.insert(1, fault.clone());
            let applied = world.apply(&plan).await;
            assert_eq!((applied.summary.deleted, applied.exit_code), (4, 0), "{pair:?} {fault:?} {:?}", applied.items);
            let lines = lines(&world.journal(&plan)).unwrap();
            let outcome = lines.iter().find_map(|line| match line.event {
                Event::Result { outcome, .. } => Some(outcome),
                _ => None,
            });
            let expected = if fault == Fault::Throttled { CallOutcome::Throttled } else { CallOutcome::Timeout };
            assert_eq!(outcome, Some(expected));
        }
    }
}

#[tokio::test]
async fn a_call_without_an_answer_is_not_made_for_ever() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    world.store.lock().faults.extend((1..100).map(|call| (call, Fault::LostBefore)));
    let applied = world.apply(&plan).await;
    assert_eq!((applied.summary.failed, applied.exit_code), (4, 6));
    assert_eq!(world.store.lock().mutations.len(), 4);
}

#[tokio::test]
async fn a_refused_item_blocks_no_other_and_an_unknown_code_is_no_success() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    world.store.lock().faults.insert(1, Fault::Item(2, "SomethingNewException"));
    let applied = world.apply(&plan).await;
    assert_eq!((applied.summary.deleted, applied.summary.failed, applied.exit_code), (3, 1, 6));
    let failed = applied.items.iter().find(|item| item.state == ItemState::Failed).unwrap();
    assert_eq!(failed.code.as_deref(), Some("SomethingNewException"));
    // The next run tries it again, and the totals are those of the plan.
    let again = world.apply(&plan).await;
    assert_eq!((again.summary.deleted, again.summary.failed, again.exit_code), (4, 0, 0));
}

#[tokio::test]
async fn denied_calls_end_their_repository_and_expired_credentials_end_the_run() {
    let content = BTreeMap::from([("app".to_owned(), images(5).0), ("base".to_owned(), images(6).0)]);
    for (fault, deleted, stopped) in [(Fault::Denied, 5, None), (Fault::Expired, 0, Some(StopReason::Credentials))] {
        let world = World::with(POLICY, content.clone(), Pair::TagThenImage);
        let plan = world.plan().await;
        world.store.lock().faults.insert(1, fault);
        let applied = world.apply(&plan).await;
        assert_eq!((applied.summary.deleted, applied.summary.failed), (deleted, 4));
        assert_eq!((applied.stopped.map(|stop| stop.reason), applied.exit_code), (stopped, 6));
    }
}

#[tokio::test]
async fn incomplete_usage_means_no_call_at_all() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    world.complete.store(false, Ordering::Relaxed);
    let applied = world.apply(&plan).await;
    assert_eq!(applied.stopped.unwrap().reason, StopReason::UsageRefused);
    assert_eq!(applied.exit_code, 5);
    assert!(world.store.lock().mutations.is_empty());
}

#[tokio::test]
async fn a_plan_that_was_edited_is_old_or_is_of_others_is_turned_away() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    let stopped = async |plan: &Plan| {
        let applied = world.apply(plan).await;
        assert!(world.store.lock().mutations.is_empty());
        (applied.stopped.unwrap().reason, applied.exit_code)
    };
    let mut edited = plan.clone();
    edited.images.iter_mut().for_each(|image| image.decision = Decision::Delete);
    assert_eq!(stopped(&edited).await, (StopReason::PlanAltered, 5));
    let mut offline = Plan { offline: true, ..plan.clone() };
    offline.sha256 = offline.hash();
    assert_eq!(stopped(&offline).await, (StopReason::PlanOffline, 5));
    let mut other = Plan { registry: RegistryId::new("999999999999", "us-east-1"), ..plan.clone() };
    other.sha256 = other.hash();
    assert_eq!(stopped(&other).await, (StopReason::WrongRegistry, 5));
    // By the registry's clock: this machine's may be wrong.
    let ahead = |seconds| world.store.lock().ahead = SignedDuration::from_secs(seconds);
    ahead(86_401);
    assert_eq!(stopped(&plan).await, (StopReason::PlanExpired, 5));
    ahead(-301);
    assert_eq!(stopped(&plan).await, (StopReason::PlanExpired, 5));
    ahead(0);
    world.store.lock().caller = "999999999999".to_owned();
    assert_eq!(stopped(&plan).await, (StopReason::WrongAccount, 5));
}

#[tokio::test]
async fn a_plan_that_nobody_approved_or_that_another_policy_made_is_turned_away() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    for (demands, reason, code) in [
        (Demands { sha256: Some("00"), ..Demands::default() }, StopReason::PlanAltered, 5),
        (Demands { policy_sha256: Some("00"), ..Demands::default() }, StopReason::PolicyChanged, 4),
    ] {
        let (journal, past) = Journal::open(&world.journal(&plan), &plan.sha256).unwrap().unwrap();
        let applied = world.run(&plan, Some(journal), past, demands).await.unwrap();
        assert_eq!((applied.stopped.unwrap().reason, applied.exit_code), (reason, code));
    }
}

#[tokio::test]
async fn a_destination_that_deletions_now_reach_stops_the_run() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    let destination = RegistryId::new("111122223333", "eu-west-1");
    world.store.lock().replication.push(ReplicationRule { destination, prefixes: Vec::new(), deletes: false });
    let applied = world.apply(&plan).await;
    assert_eq!((applied.stopped.unwrap().reason, applied.exit_code), (StopReason::ReplicationChanged, 4));
    assert!(world.store.lock().mutations.is_empty());
}

#[tokio::test]
async fn caps_are_counted_again_over_what_is_left() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let mut plan = world.plan().await;
    plan.policy.caps.per_repository = kubeguard_core::ecr::policy::Cap::Entries(3);
    plan.sha256 = plan.hash();
    let applied = world.apply(&plan).await;
    assert!(applied.items.iter().all(|item| item.reason == Some(SkipReason::CapExceeded)));
    assert_eq!(applied.exit_code, 5);
}

#[tokio::test]
async fn the_last_image_that_runs_never_goes() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    // Others delete the one that the plan keeps.
    let kept = plan.images.iter().find(|image| image.decision == Decision::Keep).unwrap().digest;
    let mut wide = plan.clone();
    wide.policy.rules[0].keep_newest = 0;
    wide.sha256 = wide.hash();
    world.store.lock().content.get_mut("app").unwrap().entries.remove(&kept);
    let applied = world.apply(&wide).await;
    assert!(!world.entries("app").is_empty());
    assert_eq!(applied.exit_code, 4, "{applied:?}");
}

#[tokio::test]
async fn the_smallest_repository_goes_first() {
    let content =
        BTreeMap::from([("a".to_owned(), images(6).0), ("b".to_owned(), images(3).0), ("c".to_owned(), images(4).0)]);
    let world = World::with(POLICY, content, Pair::TagThenImage);
    let plan = world.plan().await;
    world.apply(&plan).await;
    let order: Vec<String> = world.store.lock().mutations.iter().map(|(repository, _)| repository.clone()).collect();
    assert_eq!(order, ["b", "a", "c"]);
}

#[tokio::test]
async fn a_repository_that_is_gone_is_told_and_the_others_go_on() {
    let content = BTreeMap::from([("a".to_owned(), images(3).0), ("b".to_owned(), images(4).0)]);
    let world = World::with(POLICY, content, Pair::TagThenImage);
    let plan = world.plan().await;
    world.store.lock().content.remove("a");
    let applied = world.apply(&plan).await;
    assert_eq!((applied.summary.deleted, applied.summary.skipped, applied.exit_code), (3, 2, 4));
}

#[tokio::test]
async fn images_are_archived_one_by_one_index_first_and_never_deleted_instead() {
    let (mut content, _) = images(2);
    let child = content.add("a", &[], &[], None, old(-9));
    let index = content.add("index", &["multi".to_owned()], &[child], None, old(-8));
    let policy = POLICY.replace("action: delete", "action: archive");
    let world = World::with(&policy, BTreeMap::from([("app".to_owned(), content)]), Pair::TagThenImage);
    let plan = world.plan().await;
    let applied = world.apply(&plan).await;
    assert_eq!((applied.summary.archived, applied.exit_code), (3, 0), "{:?}", applied.items);
    for digest in [child, index] {
        assert_eq!(world.store.lock().content["app"].entries[&digest].status, Status::Archived);
    }
    let again = world.apply(&plan).await;
    assert_eq!((again.summary, again.exit_code), (applied.summary, 0));
}

#[tokio::test]
async fn a_second_run_at_once_is_turned_away() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    let other = world.lease("other");
    kubeguard_core::ecr::apply::Lease::acquire(&other, None).await.unwrap();
    let applied = world.apply(&plan).await;
    let stop = applied.stopped.unwrap();
    assert_eq!((stop.reason, applied.exit_code), (StopReason::LeaseHeld, 5));
    assert!(stop.message.contains("other (process "), "{}", stop.message);
    assert!(world.store.lock().mutations.is_empty());
}

#[tokio::test]
async fn an_interrupted_run_ends_before_its_next_call_and_the_next_one_finishes() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    world.interrupted.store(true, Ordering::Relaxed);
    let applied = world.apply(&plan).await;
    assert_eq!((applied.stopped.unwrap().reason, applied.exit_code), (StopReason::Interrupted, 130));
    assert!(world.store.lock().mutations.is_empty());
    world.interrupted.store(false, Ordering::Relaxed);
    assert_eq!(world.apply(&plan).await.summary.deleted, 4);
}

#[tokio::test]
async fn manifests_are_put_aside_before_they_go() {
    let (content, digests) = images(3);
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    let file = world.folder.path().join("tombstones.ndjson");
    let (journal, past) = Journal::open(&world.journal(&plan), &plan.sha256).unwrap().unwrap();
    let demands = Demands { tombstones: Some(&file), ..Demands::default() };
    let applied = world.run(&plan, Some(journal), past, demands).await.unwrap();
    assert_eq!(applied.summary.deleted, 2);
    let text = std::fs::read_to_string(&file).unwrap();
    let stones: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(stones.len(), 2);
    for stone in stones {
        let manifest = stone["manifest"].as_str().unwrap();
        assert_eq!(kubeguard_core::images::Digest::of(manifest.as_bytes()).to_string(), stone["digest"]);
        assert!(digests.iter().any(|digest| stone["digest"] == digest.to_string()));
    }
}

#[tokio::test]
async fn the_journal_has_every_call_before_it_and_the_totals_at_its_end() {
    let (content, _) = images(5);
    let world = World::new(content, Pair::TagOnly);
    let plan = world.plan().await;
    let applied = world.apply(&plan).await;
    let lines = lines(&world.journal(&plan)).unwrap();
    let words: Vec<String> =
        lines.iter().map(|line| serde_json::to_value(line).unwrap()["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        words,
        [
            "start",
            "lease",
            "usage",
            "repository",
            "intent",
            "result",
            "intent",
            "result",
            "confirm",
            "confirm",
            "confirm",
            "confirm",
            "verify",
            "end"
        ]
    );
    assert!(matches!(&lines.last().unwrap().event, Event::End { totals, exit_code: 0 } if *totals == applied.summary));
    assert!(now() >= lines[0].time);
}

#[tokio::test]
async fn an_entry_that_a_new_index_lists_stays() {
    let mut content = Content::default();
    for at in 0..4 {
        content.add(&format!("v{at}"), &[format!("v{at}")], &[], None, old(at));
    }
    let world = World::new(content, Pair::TagThenImage);
    let plan = world.plan().await;
    world.store.lock().act("app", &Deed::Index(0, 1, "multi".to_owned()));
    let applied = world.apply(&plan).await;
    assert!(world.store.lock().content["app"].holder("multi").is_some());
    assert_eq!(applied.summary.failed, 0);
}

#[tokio::test]
async fn archived_images_in_use_are_found_and_restored_children_first() {
    let (mut content, _) = images(2);
    let child = content.add("a", &[], &[], None, old(-9));
    let index = content.add("index", &["multi".to_owned()], &[child], None, old(-8));
    let policy = POLICY.replace("action: delete", "action: archive");
    let world = World::with(&policy, BTreeMap::from([("app".to_owned(), content)]), Pair::TagThenImage);
    let plan = world.plan().await;
    world.apply(&plan).await;
    world.deploy("app:multi");
    let fresh = world.plan().await;
    let findings = verify::missing(&fresh);
    let told: Vec<_> = findings.iter().map(|finding| (finding.rule.as_str(), finding.message.as_str())).collect();
    let message = "app:multi is used by prod/team/Deployment/web0 and is archived: it cannot be pulled";
    assert_eq!(told, [("EC102", message)]);

    let repository = world.look().await.repositories.remove(0);
    let order = restore::restorable(&repository, &[index]);
    assert_eq!(order, [child, index]);
    let restored = restore::restore(&world.store, "app", &order).await;
    assert!(restored.iter().all(|restored| restored.status == Some(Status::Activating)), "{restored:?}");
    assert_eq!(verify::missing(&world.plan().await)[0].severity, "high");
}

#[tokio::test]
async fn what_is_in_use_and_missing_is_found() {
    let (content, digests) = images(2);
    let world = World::new(content, Pair::TagThenImage);
    world.deploy("app:nothing");
    world.deploy(&format!("app@{}", digests[0]));
    let findings = verify::missing(&world.plan().await);
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].rule.as_str(), findings[0].severity.as_str()), ("EC101", "critical"));
}
