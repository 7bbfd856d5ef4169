//! What a plan notices, records and explains beside its decisions.

use jiff::SignedDuration;
use kubeguard_core::ecr::explain::explain;
use kubeguard_core::ecr::findings::{RULES, rule};
use kubeguard_core::ecr::plan::{Plan, PlanFinding, RefusalReason, VoteKind};
use kubeguard_core::ecr::planning::{configs_to_read, plan_explaining};
use kubeguard_core::ecr::state::CleanState;
use kubeguard_core::ecr::verify::verify;
use kubeguard_core::images::Digest;
use kubeguard_core::images::inventory::{KindRead, Need, ReadStatus};
use serde_json::{Value, json};

use super::{EntryHistory, Row, Told, ago, digest, now, table};

fn row(row: Value) -> Row {
    serde_json::from_value(row).unwrap()
}

fn planned(row: &Row) -> Plan {
    row.plan(&table().base, false)
}

fn of<'a>(plan: &'a Plan, rule: &str) -> Vec<&'a PlanFinding> {
    plan.findings.iter().filter(|finding| finding.rule == rule).collect()
}

fn pod(spec: &str, status: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "team"},
        "spec": {"containers": [{"name": "a", "image": spec}]},
        "status": {"phase": "Running", "startTime": "2026-11-21T00:00:00Z", "containerStatuses": [status]}})
}

#[test]
fn a_digest_whose_tag_is_gone_can_still_be_pulled() {
    let plan = planned(&row(json!({"id": "EC101", "clusters": {"A": {"uses": ["gone@<D2>", "v3@<GONE>"]}}})));
    let told: Vec<(&str, bool)> =
        of(&plan, "EC101").iter().map(|found| (found.severity.as_str(), found.message.contains("app:gone@"))).collect();
    assert_eq!(told, [("critical", false), ("info", true)]);
}

#[test]
fn what_only_old_revisions_finished_jobs_and_texts_name_may_be_missing() {
    let object = |kind: &str, version: &str, spec: Value, more: Value| {
        let mut object =
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "team"}, "spec": spec});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let template = json!({"template": {"spec": {"containers": [{"name": "a", "image": "HOST/app:gone"}]}}});
    let mut old = template.clone();
    old["replicas"] = 0.into();
    let objects = [
        object(
            "Job",
            "batch/v1",
            template,
            json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}),
        ),
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": old, "metadata": {"name": "web-1", "namespace": "team",
            "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "team"}, "data": {"t": "run HOST/app:gone now"}}),
    ];
    let plan = planned(&row(json!({"id": "EC101", "clusters": {"A": {"objects": objects}}})));
    let severities: Vec<&str> = of(&plan, "EC101").iter().map(|found| found.severity.as_str()).collect();
    assert_eq!(severities, ["info"; 3]);
}

#[test]
fn a_missing_child_is_critical_where_a_pod_may_need_it() {
    let index = |severity: &str, platforms: &[&str], uses: &[&str]| {
        let row = row(json!({"id": "EC104", "clusters": {"A": {"uses": uses}},
            "entries": [{"name": "I1", "children": ["a", "GONE"], "tags": ["m1"]}, {"name": "a"}]}));
        let base = table().base;
        let (policy, mut registry) = (row.policy(&base), row.snapshot());
        for child in registry.repositories[0].indexes.values_mut().flat_map(|index| &mut index.children) {
            let arm = child.digest == digest("GONE");
            child.platform = Some(if arm { "linux/arm64" } else { "linux/amd64" }.to_owned());
        }
        let told = row.clusters["A"].uses.len();
        let mut inventory = row.inventory("A", &row.clusters["A"], &policy);
        for reference in &mut inventory.references {
            reference.platforms = platforms.iter().map(|platform| (*platform).to_owned()).collect();
        }
        let plan = row.made_of(&policy, vec![inventory], &registry, &row.state(), kubeguard_core::ecr::planning::plan);
        let found = of(&plan, "EC104");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, severity, "{platforms:?} {told}");
        assert!(found[0].message.starts_with("app:m1 lists sha256:"), "{}", found[0].message);
    };
    index("medium", &[], &[]);
    index("medium", &["linux/amd64"], &["m1"]);
    index("critical", &["linux/amd64", "linux/arm64"], &["m1"]);
    // Where the nodes are not known, it may land on any.
    index("critical", &[], &["m1"]);
}

#[test]
fn a_kind_that_does_not_decide_and_was_denied_is_told() {
    let row = row(json!({"id": "EC210", "clusters": {"A": {}}}));
    let policy = row.policy(&table().base);
    let mut inventory = row.inventory("A", &row.clusters["A"], &policy);
    let kind = |resource: &str, need, status| KindRead {
        api_version: "v1".to_owned(),
        resource: resource.to_owned(),
        need,
        status,
        objects: None,
        pages: None,
        references: None,
        resource_version: None,
        message: Some("forbidden".to_owned()),
    };
    inventory.kinds = vec![
        kind("pods", Need::Required, ReadStatus::Ok),
        kind("secrets", Need::Optional, ReadStatus::Denied),
        kind("events", Need::Optional, ReadStatus::Absent),
    ];
    let plan =
        row.made_of(&policy, vec![inventory], &row.snapshot(), &row.state(), kubeguard_core::ecr::planning::plan);
    let found = of(&plan, "EC210");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "secrets of cluster A could not be read: forbidden");
    assert_eq!((plan.inventories[0].kinds_read, plan.inventories[0].kinds), (Some(1), 3));
}

#[test]
fn a_cluster_without_uid_is_shown_the_one_to_pin() {
    let plan = planned(&row(json!({"id": "EC211", "clusters": {"A": {}}})));
    assert_eq!(of(&plan, "EC211")[0].remedy.text, "add  uid: uid-A  to cluster A in the clusters file");
}

#[test]
fn every_finding_is_of_a_rule_and_no_more_severe_than_it() {
    let order = ["info", "low", "medium", "high", "critical"];
    let rank = |severity: &str| order.iter().position(|known| *known == severity).unwrap();
    let table = table();
    for row in &table.rows {
        for finding in row.plan(&table.base, false).findings {
            let known = rule(&finding.rule).unwrap_or_else(|| panic!("{finding:?}"));
            assert!(rank(&finding.severity) <= rank(known.severity), "{finding:?}");
            assert!(!finding.remedy.text.is_empty(), "{finding:?}");
        }
    }
    assert!(RULES.len() >= 15);
}

#[test]
fn a_tag_that_moved_is_found_and_one_platform_of_an_index_is_the_same_image() {
    let status = |image: &str| json!({"name": "a", "imageID": image});
    let found = |spec: &str, image: &str| {
        let row = row(json!({"id": "EC105", "clusters": {"A": {"objects": [pod(spec, &status(image))]}},
            "entries": [{"name": "I1", "children": ["a", "b"], "tags": ["m1"]}, {"name": "a"}, {"name": "b"}]}));
        let policy = row.policy(&table().base);
        let inventory = row.inventory("A", &row.clusters["A"], &policy);
        let plan = planned(&row);
        let found = verify(&plan, &row.snapshot(), &[&inventory], &policy.hosts());
        found.into_iter().filter(|finding| finding.rule == "EC105").map(|finding| finding.message).collect::<Vec<_>>()
    };
    let moved = found("HOST/app:v5", "HOST/app@<D2>");
    let wanted =
        format!("A/team/Pod/x runs {}, app:v5 is {} now: a restart changes the version", digest("D2"), digest("D5"));
    assert_eq!(moved, [wanted]);
    assert_eq!(found("HOST/app:v5", "<D2>").len(), 1);
    assert_eq!(found("HOST/app:m1", "HOST/app@<a>"), [""; 0]);
    assert_eq!(found("HOST/app:v5@<D5>", "HOST/app@<D5>"), [""; 0]);
    // What is no entry may be a configuration, and a tag that is gone is another finding.
    assert_eq!(found("HOST/app:v5", "<C5>"), [""; 0]);
    assert_eq!(found("HOST/app:gone", "HOST/app@<D2>"), [""; 0]);
}

#[test]
fn only_images_in_use_are_read_to_explain_a_digest() {
    let wanted = |spec: &str, image: &str, configs: Value| {
        let row = row(json!({"id": "T76", "configs": configs,
            "clusters": {"A": {"objects": [pod(spec, &json!({"name": "a", "imageID": image}))]}},
            "entries": [{"name": "I1", "children": ["a", "b"], "tags": ["m1"]}, {"name": "a"}, {"name": "b"}]}));
        let policy = row.policy(&table().base);
        let answer = row.answer("A", &policy);
        configs_to_read(&policy, &row.snapshot(), &[answer]).into_values().flatten().collect::<Vec<Digest>>()
    };
    let sorted = |mut digests: Vec<Digest>| {
        digests.sort();
        digests
    };
    assert_eq!(wanted("HOST/app:v5", "<C5>", json!({})), [digest("D5")]);
    assert_eq!(wanted("HOST/app:m1", "<C5>", json!({})), sorted(vec![digest("a"), digest("b")]));
    let none: [Digest; 0] = [];
    assert_eq!(wanted("HOST/app:v5", "<D5>", json!({})), none, "an entry explains itself");
    assert_eq!(wanted("HOST/app:v5", "HOST/app@<C5>", json!({})), none, "a digest of a repository is none of this");
    assert_eq!(wanted("HOST/app:v5", "<C5>", json!({"D5": "C5"})), none, "what is known is not read");
    assert_eq!(wanted("HOST/app:gone", "<C5>", json!({})), none);
}

/// Pods that run digests which nobody knows, each named after how many hours ago it began.
fn strangers(hours: &[u32]) -> Vec<Value> {
    let pod = |hours: &u32| {
        let mut pod = pod("HOST/app:v5", &json!({"name": "a", "imageID": format!("<X{hours}>")}));
        pod["metadata"]["name"] = format!("x{hours:02}").into();
        pod["status"]["startTime"] = ago(f64::from(*hours)).to_string().into();
        pod
    };
    hours.iter().map(pod).collect()
}

#[test]
fn of_many_doubts_ten_are_listed_and_the_others_counted() {
    let hours: Vec<u32> = (1..=30).collect();
    let row = row(json!({"id": "doubts", "clusters": {"A": {"objects": strangers(&hours)}},
        "entries": [{"name": "D3", "hoursAgo": 15.5}]}));
    let plan = planned(&row);
    let doubts = |plan: &Plan, name: &str| {
        let image = plan.images.iter().find(|image| image.digest == digest(name)).unwrap();
        let votes = image.kept.iter().filter(|vote| vote.vote == VoteKind::Unknown);
        let told: Vec<String> = votes.clone().map(|vote| vote.by.clone()).collect();
        (told, votes.filter_map(|vote| vote.more).sum::<u64>())
    };
    let (told, more) = doubts(&plan, "D1");
    assert_eq!((told.len(), more), (10, 20));
    assert!(told[0].starts_with("A/team/Pod/x01 runs ") && told[9].starts_with("A/team/Pod/x10 runs "), "{told:?}");
    // Only who began after it was pushed may run it.
    let (told, more) = doubts(&plan, "D3");
    assert_eq!((told.len(), more), (10, 5));

    let base = table().base;
    let whole = row.made(&base, false, &row.state(), |_, inputs| plan_explaining(inputs, "app:v3"));
    assert_eq!((doubts(&whole, "D3").0.len(), doubts(&whole, "D3").1), (15, 0));
    assert_eq!(doubts(&whole, "D1").0.len(), 10);
    assert_eq!(explain(&whole, "app:v3").entries[0].votes, explain(&plan, "app:v3").entries[0].votes);
}

#[test]
fn a_cap_does_not_break_the_quarantines_row_and_missing_evidence_does_not_count() {
    let base = table().base;
    let mut row = row(json!({"id": "row", "policy": {"caps": {"share": "10%"}},
        "rule": {"quarantine": {"plans": 3, "apart": "24h"}}, "clusters": {"A": {}},
        "state": {"D2": {"candidateHours": [48, 24]}}}));
    let plans = |row: &Row| {
        let state = row.after(&base, &row.state());
        let entries = &state.repositories[0].entries;
        entries.iter().find(|entry| entry.digest == digest("D2")).unwrap().candidate_plans.len()
    };
    row.state.extend((3..=7).map(|number| {
        let seen: super::Seen = serde_json::from_value(json!({"candidateHours": [48, 24]})).unwrap();
        (format!("D{number}"), seen)
    }));
    assert_eq!(planned(&row).refused[0].reason, RefusalReason::CapExceeded);
    assert_eq!(plans(&row), 3, "a plan that a cap refuses counts");
    row.clusters.insert("B".to_owned(), Told { missing: Some("down".to_owned()), ..Told::default() });
    assert_eq!(plans(&row), 2, "one without evidence does not");
}

#[test]
fn the_quarantine_tells_which_plan_this_is_and_a_use_begins_the_row_anew() {
    let base = table().base;
    let row = row(json!({"id": "row", "rule": {"quarantine": {"plans": 3, "apart": "24h"}}, "clusters": {"A": {}},
        "state": {"D2": {"candidateHours": [48], "lastUsedHours": 47}, "D3": {"candidateHours": [30]}}}));
    let plan = planned(&row);
    let by = |name: &str| plan.images.iter().find(|image| image.digest == digest(name)).unwrap().kept[0].by.clone();
    let (since, from) = (ago(30.0), ago(6.0));
    assert_eq!(by("D3"), format!("quarantine: candidate since {since}, may go from {from}; this is plan 2 of 3"));
    assert!(by("D2").ends_with("this is plan 1 of 3"), "{}", by("D2"));
    // The row that was begun anew is the one that later plans go on with.
    let state = row.after(&base, &row.state());
    let entry: &EntryHistory = state.repositories[0].entries.iter().find(|entry| entry.digest == digest("D2")).unwrap();
    assert_eq!((entry.candidate_since, entry.candidate_plans.as_slice()), (Some(now()), &[now()][..]));
}

#[test]
fn uses_are_recorded_by_key_without_a_registry_and_recording_twice_adds_nothing() {
    let base = table().base;
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": "team"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "HOST/app:v7"}]}}},
        "status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    let mut row = row(json!({"id": "uses", "rule": {"keepUsedWithin": "7d"},
        "clusters": {"A": {"uses": ["v2", "v3@<D4>"], "objects": [job, pod("docker.io/library/nginx:1", &json!({}))]}}}));
    let policy = row.policy(&base);
    let inventory = row.inventory("A", &row.clusters["A"], &policy);
    let mut state = CleanState::new(row.registry_id(), now());
    state.record_uses(&inventory, None);
    let keys = |state: &CleanState| state.uses.iter().map(|used| used.key.clone()).collect::<Vec<_>>();
    let digest_of_d4 = format!("app@{}", digest("D4"));
    assert_eq!(keys(&state), ["app:v2", "app:v3", "app:v7", &digest_of_d4, "docker.io/library/nginx:1"]);
    assert_eq!(state.uses[0].by, "A/team/Deployment/web");
    let mut again = state.clone();
    again.record_uses(&inventory, None);
    assert_eq!(again, state);
    let mut older = inventory.clone();
    older.taken_at -= SignedDuration::from_hours(5);
    again.record_uses(&older, None);
    assert_eq!(again, state, "an older inventory takes nothing");

    // Where the policy ignores Jobs that have ended, they are no use.
    row.rule = json!({"finishedJobs": "ignore"});
    let mut ignoring = CleanState::new(row.registry_id(), now());
    ignoring.record_uses(&inventory, Some(&row.policy(&base)));
    assert!(!keys(&ignoring).contains(&"app:v7".to_owned()));

    // The next plan knows which entries these are, and keeps that.
    let row = self::row(json!({"id": "uses", "rule": {"keepUsedWithin": "7d"}, "clusters": {"A": {}}}));
    let after = row.after(&base, &state);
    let used = |name: &str| {
        let entries = &after.repositories[0].entries;
        entries.iter().find(|entry| entry.digest == digest(name)).unwrap().last_used
    };
    assert_eq!((used("D2"), used("D4"), used("D5")), (Some(now()), Some(now()), None));
}

#[test]
fn an_explanation_tells_who_keeps_it_what_hangs_on_it_and_from_when_it_may_go() {
    let row =
        row(json!({"id": "explain", "rule": {"keepUsedWithin": "7d", "quarantine": {"plans": 2, "apart": "24h"}},
        "clusters": {"A": {"uses": ["v2"]}}, "keepLists": ["app:v2"],
        "entries": [{"name": "SIG", "tags": ["sha256-<hex D2>.sig"]}],
        "state": {"D3": {"candidateHours": [5]}}}));
    let plan = planned(&row);
    let host = row.registry_id().host();
    for image in ["app:v2".to_owned(), format!("{host}/app:v2"), format!("app@{}", digest("D2"))] {
        let explanation = explain(&plan, &image);
        assert_eq!(explanation.entries.len(), 1, "{image}");
        assert!(!explanation.incomplete);
        let explained = &explanation.entries[0];
        assert_eq!((explained.entry.digest, explained.votes), (digest("D2"), 2));
        assert_eq!((explained.keeps[0].digest, explained.keeps[0].relation.as_str()), (digest("SIG"), "attached"));
        let may_go = explained.may_go.as_ref().unwrap();
        assert_eq!(may_go.without, [VoteKind::InUse, VoteKind::Pinned]);
        // Its last use is today: a week of recent use, then a day of quarantine.
        let from = now() + SignedDuration::from_hours(24 * 8);
        assert_eq!((may_go.from, may_go.because.as_deref(), may_go.plans), (from, Some("quarantine"), Some(2)));
    }
    let waits = explain(&plan, "app:v3").entries.remove(0).may_go.unwrap();
    assert_eq!((waits.without.len(), waits.from), (0, now() + SignedDuration::from_hours(19)));
    assert_eq!(waits.plans, Some(1));
    let signature = explain(&plan, &format!("app@{}", digest("SIG"))).entries.remove(0);
    assert_eq!(signature.belongs_to[0].relation, "subject");
    assert_eq!(explain(&plan, "app").entries.len(), 10);
    assert_eq!(explain(&plan, "app:v99").entries, []);
    assert_eq!(explain(&plan, "999999999999.dkr.ecr.us-east-1.amazonaws.com/app:v2").entries, []);
}

#[test]
fn what_nothing_keeps_but_missing_evidence_is_told_as_such() {
    let mut row = row(json!({"id": "explain", "clusters": {"A": {"uses": ["v2"]}, "B": {"missing": "down"}}}));
    let plan = planned(&row);
    assert!(explain(&plan, "app:v3").incomplete);
    assert!(!explain(&plan, "app:v2").incomplete, "one vote keeps, whatever others would say");
    row.clusters.remove("B");
    row.policy = json!({"caps": {"share": "10%"}});
    assert!(!explain(&planned(&row), "app:v3").incomplete, "a cap is no evidence");
}
