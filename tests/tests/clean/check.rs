//! What must have come of a row.

use std::collections::{BTreeMap, BTreeSet};

use kubeguard_core::ecr::apply::{Applied, ItemState};
use kubeguard_core::ecr::plan::{Decision, Plan, PlanFinding, PlannedImage, RefusalReason};
use kubeguard_core::ecr::snapshot::Status;
use kubeguard_testkit::fake_ecr::Change;

use crate::row::Row;
use crate::world::{Content, World};

pub(crate) fn plan(row: &Row, world: &World, plan: &Plan) {
    let name = format!("{} {}", row.id, row.case);
    let find = |entry: &String| -> &PlannedImage {
        let wanted = world.digest(entry);
        plan.images.iter().find(|image| image.digest == wanted).unwrap_or_else(|| panic!("{name}: no {entry}"))
    };
    let refused: Vec<RefusalReason> = plan.refused.iter().map(|refused| refused.reason).collect();
    for reason in &row.refused {
        assert!(refused.contains(reason), "{name}: {refused:?}");
    }
    assert_eq!(refused.is_empty(), row.refused.is_empty(), "{name}: {:?}", plan.refused);
    for (entry, vote) in &row.stay {
        let image = find(entry);
        assert_eq!(image.decision, Decision::Keep, "{name}: {entry}");
        assert!(image.kept.iter().any(|kept| kept.vote == *vote), "{name}: {entry}: {:?}", image.kept);
    }
    for (entries, decision) in [(&row.go, Decision::Delete), (&row.archive, Decision::Archive)] {
        for entry in entries {
            let image = find(entry);
            assert_eq!(image.decision, decision, "{name}: {entry}: {:?}", image.kept);
            assert!(image.kept.is_empty(), "{name}: {entry}");
        }
    }
    for entry in &row.candidates {
        let image = find(entry);
        assert!(image.candidate && image.kept.is_empty() && image.decision == Decision::Keep, "{name}: {entry}");
    }
    for (first, second) in &row.order {
        assert!(find(first).order < find(second).order, "{name}: {first} before {second}");
    }
    let foreign: Vec<&str> = plan.foreign.iter().map(|foreign| foreign.image.as_str()).collect();
    for image in &row.foreign {
        assert!(foreign.contains(&image.as_str()), "{name}: {foreign:?}");
    }
    for (repository, notes) in &row.notes {
        let found = plan.repositories.iter().find(|found| found.name == *repository);
        let said = found.map_or_else(|| panic!("{name}: no {repository}"), |found| &found.notes);
        assert!(notes.iter().all(|note| said.contains(note)), "{name}: {said:?}");
    }
    for rule in &row.findings {
        assert!(plan.findings.iter().any(|finding| finding.rule == *rule), "{name}: {rule}: {:?}", plan.findings);
    }
    if let Some(pages) = row.pages_of_pods {
        assert_eq!(world.pages_of_pods(), pages, "{name}");
    }
}

/// A verification finds what the row says and nothing else.
pub(crate) fn verified(row: &Row, found: &[PlanFinding]) {
    if let Some(rules) = &row.verify {
        let found: BTreeSet<&String> = found.iter().map(|finding| &finding.rule).collect();
        assert_eq!(found, rules.iter().collect(), "{} {}", row.id, row.case);
    }
}

/// Planning anew reads no manifest, and comes to the same.
pub(crate) async fn again(row: &Row, world: &World, plan: &Plan) {
    let read = world.ecr.store().count("BatchGetImage");
    assert!(read > 0, "{}: the first plan reads manifests", row.id);
    let (second, _) = world.plan(row).await;
    assert_eq!(world.ecr.store().count("BatchGetImage"), read, "{}: the second plan reads none", row.id);
    let decisions = |plan: &Plan| plan.images.iter().map(|image| (image.digest, image.decision)).collect::<Vec<_>>();
    assert_eq!(decisions(plan), decisions(&second), "{}", row.id);
}

pub(crate) fn applied(row: &Row, world: &World, plan: &Plan, applied: &Applied, before: &Content) {
    let name = format!("{} {}", row.id, row.case);
    let expected = &row.apply;
    let said = || format!("{name}: stopped {:?}, items {:#?}", applied.stopped, applied.items);
    let stopped = applied.stopped.as_ref().map(|stop| stop.reason);
    let wanted = expected.stopped;
    if wanted.is_some() || row.refused.is_empty() || row.partly {
        assert_eq!(stopped, wanted, "{}", said());
        assert_eq!(applied.exit_code, expected.exit, "{}", said());
    }

    let mut exceptions: BTreeMap<_, (ItemState, Option<_>, Option<&str>)> = BTreeMap::new();
    for (entry, reason) in &expected.skipped {
        exceptions.insert(world.digest(entry), (ItemState::Skipped, Some(*reason), None));
    }
    for (entry, code) in &expected.failed {
        exceptions.insert(world.digest(entry), (ItemState::Failed, None, Some(code)));
    }
    for entry in &expected.gone {
        exceptions.insert(world.digest(entry), (ItemState::Gone, None, None));
    }
    let store = world.ecr.store();
    let label = |digest| store.label(digest);
    let (mut deleted, mut archived) = (BTreeSet::new(), BTreeSet::new());
    for item in &applied.items {
        let usual = match item.decision {
            Decision::Archive => ItemState::Archived,
            _ => ItemState::Deleted,
        };
        let usual = if stopped.is_some() { ItemState::Skipped } else { usual };
        let (state, reason, code) = exceptions.get(&item.digest).copied().unwrap_or((usual, None, None));
        assert_eq!(item.state, state, "{name}: {}: {item:?}", label(&item.digest));
        assert!(reason.is_none() || item.reason == reason, "{name}: {}: {item:?}", label(&item.digest));
        assert!(code.is_none() || item.code.as_deref() == code, "{name}: {}: {item:?}", label(&item.digest));
        match item.state {
            ItemState::Deleted | ItemState::Gone => drop(deleted.insert((item.repository.clone(), item.digest))),
            ItemState::Archived => drop(archived.insert((item.repository.clone(), item.digest))),
            _ => {}
        }
    }
    drop(store);

    let after = world.content();
    for (place, tags) in before {
        let entry = world.ecr.store().label(&place.1);
        if deleted.contains(place) {
            assert!(!after.contains_key(place), "{name}: {entry} is still there");
            continue;
        }
        let found = after.get(place).unwrap_or_else(|| panic!("{name}: {entry} is gone, and was not to go"));
        let wanted = expected.tags.get(&entry).map_or_else(|| tags.clone(), |tags| tags.iter().cloned().collect());
        assert_eq!(*found, wanted, "{name}: tags of {entry}");
    }
    calls(row, world, &name, &archived);
    order(plan, world, &name);
}

fn calls(row: &Row, world: &World, name: &str, archived: &BTreeSet<(String, kubeguard_core::images::Digest)>) {
    let store = world.ecr.store();
    for (operation, (least, most)) in &row.apply.calls {
        let count = store.count(operation);
        assert!((*least..=*most).contains(&count), "{name}: {count} calls of {operation}");
    }
    for (repository, digest) in archived {
        let entry = store.entry((&world.id, repository.as_str()), *digest);
        assert_eq!(entry.map(|entry| &entry.status), Some(&Status::Archived), "{name}: {}", store.label(digest));
    }
    for call in store.journal() {
        assert!(call.ids.len() <= 100, "{name}: a call of {} ids", call.ids.len());
        assert_eq!(call.registry_id.as_ref(), Some(&world.id.account), "{name}: every call names its registry");
    }
    for registry in &row.apply.untouched {
        assert!(store.effects().all(|effect| effect.registry != registry.0), "{name}: {:?} was touched", registry.0);
    }
    if row.apply.stopped.is_some() || (!row.refused.is_empty() && !row.partly) {
        assert_eq!(store.effects().count(), 0, "{name}: nothing may be called: {:?}", store.journal());
    }
}

/// What the plan puts first is gone, or archived, by an earlier call.
fn order(plan: &Plan, world: &World, name: &str) {
    let store = world.ecr.store();
    let mut call_of = BTreeMap::new();
    for (at, call) in store.journal().iter().enumerate() {
        for effect in call.effects.iter().filter(|effect| effect.registry == world.id) {
            if let Change::Deleted(digest, _) | Change::Archived(digest) = &effect.change {
                call_of.insert((effect.repository.clone(), *digest), at);
            }
        }
    }
    let planned = plan.images.iter().filter_map(|image| {
        let at = call_of.get(&(image.repository.clone(), image.digest))?;
        Some((&image.repository, image.order?, *at))
    });
    let mut last: BTreeMap<&String, (u64, usize)> = BTreeMap::new();
    let mut planned: Vec<_> = planned.collect();
    planned.sort_unstable();
    for (repository, order, at) in planned {
        if let Some((before, earlier)) = last.get(repository) {
            assert!(order == *before || at > *earlier, "{name}: order {order} is called with or before order {before}");
        }
        let latest = last.get(repository).map_or(at, |(_, earlier)| at.max(*earlier));
        last.insert(repository, (order, latest));
    }
}
