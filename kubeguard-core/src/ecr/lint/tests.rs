//! Lints of repositories that are written down here.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::audit::Severity;
use crate::ecr::clusters::Clusters;
use crate::ecr::plan::{PlanFinding, PlanRemedy, PlannedRepository};
use crate::ecr::planning;
use crate::ecr::registry::PreviewAction;
use crate::images::Digest;

const CALLER: &str = "arn:aws:sts::111122223333:assumed-role/ecr-plan/ci";
const NODES: &str = "arn:aws:iam::111122223333:role/eks/nodes";
const OWN: &str = "arn:aws:iam::111122223333:role/ecr-plan";

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// An image of `app` that some votes keep.
fn image(name: &str, class: &str, tags: &[&str], kept: &Value) -> PlannedImage {
    serde_json::from_value(json!({
        "repository": "app", "digest": digest(name), "tags": tags, "decision": "keep", "kept": kept, "class": class,
        "status": "ACTIVE",
    }))
    .unwrap()
}

fn used(by: &str) -> Value {
    json!([{"vote": "in-use", "by": by, "path": "spec.containers[0].image"}])
}

struct World {
    policy: Policy,
    registry: RegistrySnapshot,
    plan: Plan,
    lifecycles: Vec<Lifecycle>,
    quota: u64,
}

impl World {
    fn new(images: Vec<PlannedImage>, rule: &str) -> Self {
        let text = format!("apiVersion: kubeguard.dev/v1\nkind: CleanPolicy\nrules:\n- {rule}\n");
        let policy = Policy::parse("policy", &text).unwrap();
        let entries: Vec<Value> = images
            .iter()
            .map(|image| json!({"digest": image.digest, "tags": image.tags, "status": "ACTIVE"}))
            .collect();
        let registry: RegistrySnapshot = serde_json::from_value(json!({
            "registry": {"partition": "aws", "account": "111122223333", "region": "us-east-1"},
            "caller": CALLER, "callerAccount": "111122223333", "takenAt": "2026-11-22T10:00:00Z",
            "replication": {"read": []}, "pullThrough": {"read": []}, "exclusions": {"read": [OWN]},
            "repositories": [{"name": "app", "arn": "", "entries": entries}],
        }))
        .unwrap();
        let clusters = Clusters { clusters: Vec::new(), from_file: true };
        let now: Timestamp = registry.taken_at;
        let mut plan = planning::plan(&planning::Inputs {
            policy: &policy,
            clusters: &clusters,
            answers: &[],
            registry: &registry,
            state: None,
            keep_lists: &[],
            salt: None,
            now,
            tool: "",
            offline: false,
        });
        plan.images = images;
        plan.findings.clear();
        // No cluster is asked here: what is in use, these tests say themselves.
        plan.refused.clear();
        Self { policy, registry, plan, lifecycles: Vec::new(), quota: QUOTA }
    }

    fn usual(images: Vec<PlannedImage>) -> Self {
        Self::new(images, "{name: a, repositories: [app], action: report}")
    }

    fn lifecycle(mut self, rules: &Value, results: &[(&str, i64, PreviewAction)]) -> Self {
        let result = |(name, priority, action): &(&str, i64, PreviewAction)| PreviewResult {
            digest: Some(digest(name)),
            tags: Vec::new(),
            priority: *priority,
            action: *action,
        };
        self.lifecycles = vec![Lifecycle {
            repository: "app".to_owned(),
            policy: Ok(Some(json!({"rules": rules}).to_string())),
            preview: Ok(results.iter().map(result).collect()),
        }];
        self
    }

    fn report(&self) -> AuditReport {
        lint(&Inputs {
            lifecycles: &self.lifecycles,
            plan: &self.plan,
            registry: &self.registry,
            policy: &self.policy,
            quota: self.quota,
        })
    }

    /// Rules with messages.
    fn said(&self) -> Vec<(String, String)> {
        self.report().items.into_iter().map(|own| (own.rule, own.message)).collect()
    }
}

fn said(rule: &str, message: &str) -> (String, String) {
    (rule.to_owned(), message.to_owned())
}

#[test]
fn a_rule_that_takes_away_what_is_in_use_is_named_with_the_workload() {
    let ledger = image("d4", "image", &["v4"], &used("prod/payments/StatefulSet/ledger"));
    let free = image("d5", "image", &["v5"], &json!([{"vote": "newest", "by": "policy/a: 1 of 5"}]));
    let results = [("d4", 20, PreviewAction::Expire), ("d5", 20, PreviewAction::Expire)];
    let world = World::usual(vec![ledger, free]).lifecycle(&json!([]), &results);
    let report = world.report();
    let [own] = report.items.as_slice() else { panic!("{:?}", report.items) };
    assert_eq!(own.message, "lifecycle rule 20 removes app:v4 within 24h; used by prod/payments/StatefulSet/ledger");
    assert_eq!(
        (own.rule.as_str(), own.severity, own.object.to_string()),
        ("EC201", Severity::Critical, "repository/app".to_owned())
    );
    let referrer = own.evidence.iter().find_map(|evidence| evidence.object.as_ref().map(|object| (object, evidence)));
    let (object, evidence) = referrer.unwrap();
    assert_eq!((object.kind.as_str(), object.namespace.as_str()), ("StatefulSet", "payments"));
    assert_eq!(evidence.path, "/spec/containers/0/image");
    assert!(report.complete);
}

#[test]
fn rollbacks_and_standbys_need_their_images_and_the_other_votes_do_not() {
    let vote = |vote: &str| json!([{"vote": vote, "by": "prod/team/Deployment/web"}]);
    for (kind, expected) in
        [("rollback", 1), ("standby", 1), ("in-use", 1), ("pinned", 0), ("age", 0), ("recent-use", 0)]
    {
        let world = World::usual(vec![image("d1", "image", &["v1"], &vote(kind))]);
        let world = world.lifecycle(&json!([]), &[("d1", 1, PreviewAction::Transition)]);
        let rules: Vec<String> = world.said().into_iter().map(|(rule, _)| rule).collect();
        assert_eq!(rules, vec!["EC202"; expected], "{kind}");
    }
}

#[test]
fn what_an_image_in_use_needs_is_needed_up_and_down() {
    let mut index = image("i1", "index", &["m1"], &used("prod/a/Deployment/web"));
    index.children = vec![digest("a")];
    let child = image("a", "image", &[], &json!([{"vote": "referenced", "by": format!("parent {}", digest("i1"))}]));
    let mut signature = image("sig", "attached", &["sha256-x.sig"], &json!([]));
    signature.subjects = vec![digest("a")];
    // A child that a pod names by its digest keeps its index, and so its other child.
    let named = image("b", "image", &[], &used("prod/a/Deployment/pinned"));
    let mut above =
        image("i2", "index", &["m2"], &json!([{"vote": "referenced", "by": format!("child {}", digest("b"))}]));
    above.children = vec![digest("b"), digest("c")];
    let sibling = image("c", "image", &[], &json!([]));
    // An index that only shares a child is not needed.
    let mut dead = image("i3", "index", &["m3"], &json!([]));
    dead.children = vec![digest("a")];
    let all = ["i1", "a", "sig", "b", "i2", "c", "i3"].map(|name| (name, 7, PreviewAction::Expire));
    let world = World::usual(vec![index, child, signature, named, above, sibling, dead]).lifecycle(&json!([]), &all);
    let mut told: Vec<String> = world.said().into_iter().map(|(_, message)| message).collect();
    told.sort();
    let by = |name: &str| format!("app@{}", digest(name));
    let mut expected = vec![
        "lifecycle rule 7 removes app:m1 within 24h; used by prod/a/Deployment/web".to_owned(),
        format!("lifecycle rule 7 removes {} within 24h, a part of app:m1; used by prod/a/Deployment/web", by("a")),
        "lifecycle rule 7 removes app:sha256-x.sig within 24h, attached to app:m1; used by prod/a/Deployment/web"
            .to_owned(),
        format!("lifecycle rule 7 removes {} within 24h; used by prod/a/Deployment/pinned", by("b")),
        format!(
            "lifecycle rule 7 removes app:m2 within 24h, the index of {}; used by prod/a/Deployment/pinned",
            by("b")
        ),
        format!(
            "lifecycle rule 7 removes {} within 24h, a part of {}; used by prod/a/Deployment/pinned",
            by("c"),
            by("b")
        ),
    ];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_rule_whose_tags_no_image_has_is_idle_and_the_message_tells_of_and() {
    let images = || vec![image("a", "image", &["prod-1"], &json!([])), image("b", "image", &["release-1"], &json!([]))];
    let rule = |selection: Value| json!([{"rulePriority": 10, "selection": selection}]);
    let of = |selection: Value| World::usual(images()).lifecycle(&rule(selection), &[]).said();
    let both = json!({"tagStatus": "tagged", "tagPrefixList": ["prod-", "release-"], "countType": "imageCountMoreThan", "countNumber": 1});
    assert_eq!(
        of(both),
        [said(
            "EC203",
            "lifecycle rule 10 matches nothing: tags must match \"prod-*\" AND \"release-*\" at once; each matches some image alone"
        )]
    );
    let none =
        json!({"tagStatus": "tagged", "tagPatternList": ["v*"], "countType": "sinceImagePushed", "countNumber": 1});
    assert_eq!(of(none), [said("EC203", "lifecycle rule 10 matches nothing: no image has a tag \"v*\"")]);
    for fine in [
        json!({"tagStatus": "tagged", "tagPrefixList": ["prod-"], "countType": "imageCountMoreThan", "countNumber": 1}),
        json!({"tagStatus": "untagged", "countType": "sinceImagePushed", "countNumber": 1}),
        json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}),
    ] {
        assert_eq!(of(fine.clone()), [], "{fine}");
    }
    let empty = World::usual(Vec::new()).lifecycle(&rule(json!({"tagStatus": "tagged", "tagPrefixList": ["x"]})), &[]);
    assert_eq!(empty.said(), [], "an empty repository shows nothing");
}

#[test]
fn a_rule_that_counts_parts_is_told_how_many_an_image_has() {
    let mut images = Vec::new();
    for number in 0..4 {
        let (index, child, attestation) = (format!("i{number}"), format!("c{number}"), format!("t{number}"));
        let mut own = image(&index, "index", &[&index], &json!([]));
        own.children = vec![digest(&child), digest(&attestation)];
        images.extend([own, image(&child, "image", &[], &json!([])), image(&attestation, "image", &[], &json!([]))]);
    }
    let rule = |selection: Value| json!([{"rulePriority": 5, "selection": selection}]);
    let of = |selection: Value| World::usual(images.clone()).lifecycle(&rule(selection), &[]).said();
    assert_eq!(
        of(json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 100})),
        [said(
            "EC204",
            "lifecycle rule 5 keeps 100 entries: 3.0 entries per image here (12 entries, 4 images), so that is about 33 images"
        )]
    );
    assert_eq!(
        of(json!({"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1})),
        [said(
            "EC204",
            "lifecycle rule 5 keeps 1 entries: all 8 that it counts now are parts of images, or attached to them"
        )]
    );
    // By its tag every image counts once, and days are not counted at all.
    assert_eq!(
        of(json!({"tagStatus": "tagged", "tagPrefixList": ["i"], "countType": "imageCountMoreThan", "countNumber": 1})),
        []
    );
    assert_eq!(of(json!({"tagStatus": "any", "countType": "sinceImagePushed", "countNumber": 1})), []);
}

#[test]
fn a_quota_is_near_from_80_percent_and_nearer_from_95() {
    for (entries, quota, expected) in [
        (79, 100, None),
        (80, 100, Some(Severity::Medium)),
        (94, 100, Some(Severity::Medium)),
        (95, 100, Some(Severity::High)),
        (120, 100, Some(Severity::High)),
        (3, 4, None),
        (5, 0, None),
    ] {
        let found = rules::near_quota("app", entries, quota);
        assert_eq!(found.map(|own| own.severity), expected, "{entries} of {quota}");
    }
    let mut world = World::usual(vec![image("a", "image", &["v1"], &json!([]))]);
    world.quota = 1;
    assert_eq!(world.said(), [said("EC205", "1 of 1 entries (100 %): a push beyond the quota is refused")]);
}

#[test]
fn exclusions_matter_where_pull_times_decide() {
    let exclusions = |arns: &[&str]| {
        crate::ecr::snapshot::Reading::Read(arns.iter().map(|arn| (*arn).to_owned()).collect::<Vec<_>>())
    };
    let window = "{name: a, repositories: [app], action: report, keepPulledWithin: 30d}";
    let mut world = World::new(Vec::new(), window);
    world.registry.exclusions = exclusions(&[NODES, OWN]);
    assert_eq!(
        world.said(),
        [said(
            "EC206",
            &format!("pulls by {NODES} leave no pull time, and keepPulledWithin of rule a decides by pull times")
        )]
    );
    let mut trusted = World::new(Vec::new(), window);
    trusted.registry.exclusions = exclusions(&[NODES, OWN]);
    trusted.policy.pull_times.trusted_exclusions = vec![crate::ecr::policy::Pattern::new("arn:**/nodes").unwrap()];
    assert_eq!(trusted.said(), []);
    // AWS' own rule by pull time is a window too.
    let archive = json!([{"rulePriority": 3, "selection": {"tagStatus": "any", "countType": "sinceImagePulled", "countNumber": 90}}]);
    let mut lifecycle = World::usual(Vec::new()).lifecycle(&archive, &[]);
    lifecycle.registry.exclusions = exclusions(&[NODES, OWN]);
    assert!(lifecycle.said()[0].1.ends_with("lifecycle rule 3 of app decides by pull times"), "{:?}", lifecycle.said());
    let mut nothing = World::usual(Vec::new());
    nothing.registry.exclusions = exclusions(&[NODES, OWN]);
    assert_eq!(nothing.said(), []);
}

#[test]
fn our_own_role_is_told_to_be_excluded_with_the_call() {
    let mut world = World::usual(Vec::new());
    world.registry.exclusions = crate::ecr::snapshot::Reading::Read(Vec::new());
    let report = world.report();
    let [own] = report.items.as_slice() else { panic!("{:?}", report.items) };
    assert_eq!((own.rule.as_str(), own.severity), ("EC207", Severity::Low));
    let call = format!("aws ecr register-pull-time-update-exclusion --principal-arn {OWN}");
    assert!(own.remedy.text.starts_with(&call) && own.message.ends_with(&call), "{own:?}");
}

#[test]
fn exclusions_that_cannot_be_read_are_no_answer_only_where_they_decide() {
    for (rule, complete) in [
        ("{name: a, repositories: [app], action: report}", true),
        ("{name: a, repositories: [app], action: report, keepPulledWithin: 30d}", false),
    ] {
        let mut world = World::new(Vec::new(), rule);
        world.registry.exclusions = crate::ecr::snapshot::Reading::Failed("denied".to_owned());
        let report = world.report();
        assert_eq!(report.complete, complete, "{rule}");
    }
}

#[test]
fn what_could_not_be_read_is_skipped_with_its_reason() {
    let mut world =
        World::usual(vec![image("d4", "image", &["v4"], &used("prod/a/Deployment/web"))]).lifecycle(&json!([]), &[]);
    world.lifecycles[0].preview = Err("AWS' preview of the lifecycle policy failed".to_owned());
    let report = world.report();
    assert!(!report.complete);
    assert_eq!(report.skipped[0].rules, ["EC201", "EC202"]);
    assert_eq!(report.skipped[0].reason, "app: AWS' preview of the lifecycle policy failed");
    world.lifecycles[0].policy = Ok(Some("<html>".to_owned()));
    assert_eq!(world.report().skipped[1].rules, ["EC203", "EC204"]);
}

#[test]
fn a_plans_own_findings_of_the_registry_are_passed_on() {
    let finding = |rule: &str, message: &str| PlanFinding {
        rule: rule.to_owned(),
        severity: "medium".to_owned(),
        message: message.to_owned(),
        remedy: PlanRemedy { text: "do".to_owned() },
        by: None,
        image: None,
        repository: (rule == "EC213").then(|| "app".to_owned()),
    };
    let mut world = World::usual(Vec::new());
    world.plan.findings = vec![
        finding("EC102", "app:v4 is used"),
        finding("EC211", "clusters are not declared in a file"),
        finding("EC213", "app was pulled from"),
    ];
    assert!(world.plan.repositories.iter().any(|PlannedRepository { name, .. }| name == "app"));
    let report = world.report();
    let told: Vec<(&str, String)> =
        report.items.iter().map(|own| (own.rule.as_str(), own.object.to_string())).collect();
    assert_eq!(told, [("EC211", "registry/111122223333/us-east-1".to_owned()), ("EC213", "repository/app".to_owned())]);
}
