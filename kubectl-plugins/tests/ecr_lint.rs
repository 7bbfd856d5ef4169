//! The real binary: what AWS' lifecycle rules would do, what a registry costs, and the rights that each part needs.
#![cfg(feature = "ecr")]
#![expect(clippy::unwrap_used, reason = "a test fails with what differs")]

use std::process::Command;

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use kubeguard_core::ecr::registry::Registry as _;
use kubeguard_core::images::RegistryId;
use kubeguard_testkit::FakeCluster;
use kubeguard_testkit::fake_ecr::{ACCOUNT, Calls, FakeEcr, Fault, Lifecycle, REGION, Store, image, index};
use serde_json::{Value, json};

const NOW: &str = "2026-11-22T10:00:00Z";
const POLICY: &str = "apiVersion: kubeguard.dev/v1
kind: CleanPolicy
caps: {share: off, perRepository: off, perRun: off}
rules:
- {name: apps, repositories: [app], action: delete, keepNewest: 1, keepUsedWithin: 0, keepDeployed: 0, quarantine: off}
";
const LINT: &str = "lint --clusters clusters.yaml";
const REPORT: &str = "report --clusters clusters.yaml --policy policy.yaml --state state";
/// As AWS keeps it.
const LIFECYCLE: &str = r#"{"rules": [
  {"rulePriority": 10, "selection": {"tagStatus": "tagged", "tagPrefixList": ["prod-", "release-"],
    "countType": "imageCountMoreThan", "countNumber": 5}, "action": {"type": "expire"}},
  {"rulePriority": 20, "selection": {"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days",
    "countNumber": 30}, "action": {"type": "expire"}}]}"#;

struct World {
    ecr: FakeEcr,
    cluster: FakeCluster,
    folder: tempfile::TempDir,
}

impl World {
    /// A registry that `fill` fills, and a cluster whose StatefulSet `payments/ledger` uses `app:v4`.
    fn new(fill: impl FnOnce(&mut Store)) -> Self {
        let mut store = Store::new(NOW.parse().unwrap());
        store.home().exclusions.push(format!("arn:aws:iam::{ACCOUNT}:user/cleaner"));
        fill(&mut store);
        let cluster = FakeCluster::start();
        cluster.serve_workloads("uid-prod");
        let now: Timestamp = NOW.parse().unwrap();
        cluster.date(&now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let container = json!({"name": "app", "image": format!("{}/app:v4", RegistryId::new(ACCOUNT, REGION).host())});
        cluster.put(
            "/apis/apps/v1/namespaces/payments/statefulsets",
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"namespace": "payments", "name": "ledger"},
                "spec": {"template": {"spec": {"containers": [container]}}}}),
        );
        let world = Self { ecr: FakeEcr::new(store).serve(), cluster, folder: tempfile::tempdir().unwrap() };
        drop(world.cluster.kubeconfig(world.folder.path()));
        world.write("policy.yaml", POLICY);
        world.write(
            "clusters.yaml",
            "apiVersion: kubeguard.dev/v1\nkind: Clusters\nclusters:\n- {name: prod, context: fake, uid: uid-prod}\n",
        );
        world
    }

    /// The same with v1 to v5 in `app`, whose lifecycle policy takes v4, and `base` without a policy.
    fn usual() -> Self {
        Self::new(|store| {
            for number in 1..=5 {
                let push = image(&format!("D{number}")).tag(&format!("v{number}"));
                store.push("app", push.age(days(100 - number)));
            }
            store.push("base", image("B1").tag("v1").age(days(10)));
            let used = store.digest("D4");
            let mut lifecycle = Lifecycle::new(LIFECYCLE).expires(used, 20);
            // It is done when it is looked at for the first time.
            lifecycle.polls = 0;
            store.repository("app").lifecycle = Some(lifecycle);
        })
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Returns exit code, stdout and stderr.
    fn run(&self, args: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-ecr_clean"));
        command.args(args.split(' ')).current_dir(self.folder.path()).env_clear().envs(self.ecr.environment());
        command.env("HOME", self.folder.path()).env("KUBECONFIG", self.folder.path().join("kubeconfig"));
        output(&mut command)
    }

    fn text(&self, args: &str) -> String {
        let (code, out, err) = self.run(args);
        format!("{code}\n{out}{err}")
    }

    fn count(&self, operation: &str) -> usize {
        self.ecr.store().count(operation)
    }
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

fn output(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), part(&output.stdout), part(&output.stderr))
}

#[test]
fn a_lifecycle_rule_that_takes_what_is_in_use_is_told_with_rule_cluster_and_workload() {
    let world = World::usual();
    assert_snapshot!(world.text(LINT), @r#"
    1
    SEVERITY   RULE    REPOSITORY   MESSAGE
    critical   EC201   app          lifecycle rule 20 removes app:v4 within 24h; used by prod/payments/StatefulSet/ledger
    medium     EC203   app          lifecycle rule 10 matches nothing: tags must match "prod-*" AND "release-*" at once
    2 findings: 1 critical, 1 medium · 2 objects, 13 rules
    "#);
    assert_eq!(world.count("StartLifecyclePolicyPreview"), 1, "a repository without a policy is not previewed");
    assert!(world.ecr.store().journal().is_empty(), "nothing is changed");
    let never = world.run(&format!("{LINT} --fail-on never"));
    assert_eq!(never.0, 0, "{never:?}");
    let base = world.text(&format!("{LINT} --repository base"));
    assert_snapshot!(base, @"
    0
    no findings · 1 object, 13 rules
    ");
}

#[test]
fn every_format_of_an_audit_is_written() {
    let world = World::usual();
    let shown = |format: &str| {
        let (code, out, err) = world.run(&format!("{LINT} -o {format}"));
        assert_eq!(code, 1, "{format}: {err}");
        out
    };
    let report: Value = serde_json::from_str(&shown("json")).unwrap();
    assert_eq!((&report["kind"], &report["complete"]), (&json!("AuditReport"), &json!(true)));
    assert_eq!(report["summary"], json!({"critical": 1, "high": 0, "medium": 1, "low": 0, "info": 0, "objects": 2}));
    let used = &report["items"][0];
    assert_eq!(used["rule"], "EC201");
    assert_eq!(used["object"], json!({"apiVersion": "ecr", "kind": "Repository", "name": "app"}));
    assert_eq!(used["details"], json!({"rulePriority": 20, "usedBy": ["prod/payments/StatefulSet/ledger"]}));
    let sarif: Value = serde_json::from_str(&shown("sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["level"], "error");
    assert_snapshot!(shown("name"), @"repository/app");
    assert_snapshot!(shown("prometheus").lines().filter(|line| line.starts_with("kubeguard_findings")).collect::<Vec<_>>().join("\n"), @r#"
    kubeguard_findings{rule="EC201",severity="critical",namespace="",kind="Repository",name="app",container=""} 1
    kubeguard_findings{rule="EC203",severity="medium",namespace="",kind="Repository",name="app",container=""} 1
    "#);
    for (format, expected) in [
        ("wide", "exact"),
        ("yaml", "kind: AuditReport"),
        ("junit", "<failure"),
        ("markdown", "| critical | EC201"),
        ("github", "::error title=EC201 lifecycle-removes-used::"),
        ("html", "<article class=\"critical\""),
    ] {
        let text = shown(format);
        assert!(text.contains(expected), "{format}\n{text}");
    }
}

#[tokio::test]
async fn a_preview_that_runs_already_is_waited_for() {
    let world = World::usual();
    world.ecr.store().repository("app").lifecycle.as_mut().unwrap().polls = 1;
    world.ecr.direct().start_lifecycle_preview("app").await.unwrap();
    let told = world.text(LINT);
    assert!(told.starts_with("1\n") && told.contains("EC201"), "{told}");
    assert_eq!(world.count("StartLifecyclePolicyPreview"), 3, "theirs, ours that was refused, ours");
}

#[test]
fn a_preview_that_may_not_be_read_is_not_judged_and_the_rest_is() {
    let world = World::usual();
    world.ecr.store().fail_in("app", "StartLifecyclePolicyPreview", Calls::All, Fault::AccessDenied);
    assert_snapshot!(world.text(LINT), @r#"
    6
    SEVERITY   RULE    REPOSITORY   MESSAGE
    medium     EC203   app          lifecycle rule 10 matches nothing: tags must match "prod-*" AND "release-*" at once
    1 finding: 1 medium · 2 objects, 13 rules
    not judged: EC201, EC202: app: StartLifecyclePolicyPreview of app: AccessDeniedException: User: arn:aws:iam::111122223333:user/cleaner is not authorized to perform: ecr:StartLifecyclePolicyPreview on resource: arn:aws:ecr:us-east-1:111122223333:repository/app because no identity-based policy allows the ecr:StartLifecyclePolicyPreview action
    "#);
    world.ecr.store().heal();
    world.ecr.store().deny("app");
    let denied = world.run(LINT);
    assert_eq!(denied.0, 6, "{denied:?}");
    assert!(denied.1.contains("not judged: EC201, EC202, EC203, EC204, EC205: app: "), "{denied:?}");
}

#[test]
fn usage_that_is_not_complete_proves_nothing() {
    let world = World::usual();
    world.cluster.fail("list", "/cronjobs?", kubeguard_testkit::Fault::Status(403, "Forbidden"), None);
    let told = world.run(&format!("{LINT} --fail-on never"));
    assert_eq!(told.0, 5, "{told:?}");
    assert!(told.1.contains("judged in part: EC201, EC202: usage is not complete: InventoryIncomplete"), "{told:?}");
    // What is found all the same weighs more.
    assert_eq!(world.run(LINT).0, 1);
}

#[test]
fn a_quota_is_the_one_that_is_given() {
    let world = World::usual();
    let lint = |quota: &str| world.run(&format!("{LINT} --policy policy.yaml --fail-on high --quota {quota}"));
    world.ecr.store().repository("app").lifecycle = None;
    let (code, out, err) = lint("6");
    assert!(out.contains("medium     EC205   app          5 of 6 entries (83 %)"), "{out}{err}");
    assert_eq!(code, 0);
    let (code, out, _) = lint("5");
    assert!(out.contains("high       EC205   app          5 of 5 entries (100 %)"), "{out}");
    assert_eq!(code, 1);
    assert!(!lint("100000").1.contains("EC205"));
    assert_eq!(lint("0").0, 2);
}

#[test]
fn our_own_role_is_told_how_to_leave_no_pull_times() {
    let world = World::usual();
    world.ecr.store().home().exclusions.clear();
    let told = world.text(&format!("{LINT} --repository base"));
    assert_snapshot!(told, @"
    0
    SEVERITY   RULE    REPOSITORY   MESSAGE
    low        EC207   -            arn:aws:iam::111122223333:user/cleaner counts as a puller when it reads manifests; exclude it with: aws ecr register-pull-time-update-exclusion --principal-arn arn:aws:iam::111122223333:user/cleaner
    1 finding: 1 low · 1 object, 13 rules
    ");
}

/// Two images of 1 GB that share 900 MB, of which the older goes.
fn shared(store: &mut Store) {
    let layers = |own: &'static str| [("base", 900_000_000), (own, 100_000_000)];
    store.push("app", image("old").tag("v1").layers(&layers("o")).age(days(90)));
    store.push("app", image("new").tag("v2").layers(&layers("n")).age(days(80)));
}

#[test]
fn a_layer_that_another_image_has_too_is_not_reclaimable() {
    let world = World::new(shared);
    assert_snapshot!(world.text(&format!("{REPORT} -q")), @"
    0
    REPOSITORY   ENTRIES   ROOTS   SIZE      RECLAIMABLE   COST       GROWTH   QUOTA
    app          2         2       1.0 GiB   95.4 MiB      0.10 USD   -        -
    kept by one kind of vote alone: newest 953.7 MiB
    0.10 USD a month at 0.10 USD a GB, 0.009313 USD of it reclaimable
    ");
    let read = world.count("BatchGetImage");
    assert!(read > 0);
    let (code, out, _) = world.run(&format!("{REPORT} --price 0.2 -o json"));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_snapshot!(serde_json::to_string_pretty(&report["items"]).unwrap(), @r#"
    [
      {
        "name": "app",
        "entries": 2,
        "roots": 2,
        "archived": 0,
        "bytesExact": true,
        "bytes": 1100000000,
        "reclaimableBytes": 100000000,
        "candidateBytes": 100000000,
        "keptOnlyBy": {
          "newest": 1000000000
        },
        "costMicroUsd": 204890,
        "reclaimableMicroUsd": 18626
      }
    ]
    "#);
    assert_eq!(world.count("BatchGetImage"), read, "a manifest is read once in its life");
    assert_eq!(report["priceMicroUsd"], 200_000);
}

#[test]
fn our_own_reads_are_not_taken_for_a_consumer_that_nobody_declared() {
    let world = World::new(shared);
    world.ecr.store().home().exclusions.clear();
    assert!(world.text(REPORT).starts_with("0\n"));
    let plan = world.text("plan --clusters clusters.yaml --policy policy.yaml --state state");
    assert!(plan.contains("1 to delete") && !plan.contains("EC213"), "{plan}");
}

#[test]
fn manifests_are_not_read_where_that_would_move_the_pull_times_that_decide() {
    let world = World::new(shared);
    world.ecr.store().home().exclusions.clear();
    let windows = POLICY.replace("quarantine: off", "quarantine: off, keepPulledWithin: 30d");
    world.write("policy.yaml", &windows);
    assert_snapshot!(world.text(REPORT), @"
    5
    REPOSITORY   ENTRIES   ROOTS   SIZE        RECLAIMABLE   COST       GROWTH   QUOTA
    app          2         2       ≤ 1.9 GiB   ≤ 953.7 MiB   0.18 USD   -        -
    kept by one kind of vote alone: newest ≤ 953.7 MiB
    0.18 USD a month at 0.10 USD a GB, 0.09 USD of it reclaimable
    2 manifests are not read: that counts as a pull, and keepPulledWithin of apps decides by pull times
    try: --read-manifests reads them; or exclude the role, kubectl ecr-clean lint prints the call
    ");
    assert_eq!(world.count("BatchGetImage"), 0);
    let (code, out, err) = world.run(&format!("{REPORT} --read-manifests"));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("95.4 MiB") && !out.contains('≤'), "{out}");
    // A role that is excluded leaves no pull time.
    let excluded = World::new(shared);
    excluded.write("policy.yaml", &windows);
    assert_eq!(excluded.run(REPORT).0, 0);
}

#[test]
fn what_a_report_could_not_read_makes_its_sizes_bounds() {
    let world = World::new(|store| {
        shared(store);
        store.push("app", index("multi").tag("v3").children(["amd", "arm"]).age(days(70)));
        store.push("base", image("B1").tag("v1").age(days(10)));
        store.deny("base");
    });
    world.write("policy.yaml", &POLICY.replace("[app]", "[app, base]"));
    let told = world.run(REPORT);
    assert_eq!(told.0, 6, "{told:?}");
    assert!(told.1.contains("base could not be read: "), "{told:?}");
    assert!(told.1.contains("app          5         3"), "three images are five entries: {told:?}");
}

/// Without AWS: the account is given.
fn iam(args: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let policy =
        POLICY.replace("[app]", r#"[app, "team/*", "/^svc-[a-z]+$/"]"#).replace("caps:", "optInTag: clean\ncaps:");
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-ecr_clean"));
    command.args(args.split(' ')).current_dir(folder.path()).env_clear().env("HOME", folder.path());
    let (code, out, err) = output(command.env("AWS_EC2_METADATA_DISABLED", "true"));
    format!("{code}\n{out}{err}")
}

#[test]
fn rights_to_apply_are_for_the_policys_repositories_and_only_after_they_opted_in() {
    assert_snapshot!(iam("iam apply --policy policy.yaml --registry 111122223333 --region us-east-1"), @r#"
    0
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "ReadRegistry",
          "Effect": "Allow",
          "Action": [
            "ecr:DescribePullThroughCacheRules",
            "ecr:DescribeRegistry",
            "ecr:ListPullTimeUpdateExclusions"
          ],
          "Resource": "*"
        },
        {
          "Sid": "ListRepositories",
          "Effect": "Allow",
          "Action": "ecr:DescribeRepositories",
          "Resource": "arn:aws:ecr:us-east-1:111122223333:repository/*"
        },
        {
          "Sid": "ReadRepositories",
          "Effect": "Allow",
          "Action": [
            "ecr:BatchGetImage",
            "ecr:DescribeImages",
            "ecr:GetLifecyclePolicy",
            "ecr:ListImageReferrers",
            "ecr:ListImages",
            "ecr:ListTagsForResource"
          ],
          "Resource": [
            "arn:aws:ecr:us-east-1:111122223333:repository/app",
            "arn:aws:ecr:us-east-1:111122223333:repository/svc-*",
            "arn:aws:ecr:us-east-1:111122223333:repository/team/*"
          ]
        },
        {
          "Sid": "CarryOutPlans",
          "Effect": "Allow",
          "Action": [
            "ecr:BatchDeleteImage",
            "ecr:UpdateImageStorageClass"
          ],
          "Resource": [
            "arn:aws:ecr:us-east-1:111122223333:repository/app",
            "arn:aws:ecr:us-east-1:111122223333:repository/svc-*",
            "arn:aws:ecr:us-east-1:111122223333:repository/team/*"
          ],
          "Condition": {
            "StringEquals": {
              "aws:ResourceTag/clean": "true"
            }
          }
        },
        {
          "Sid": "NeverDeleteRepository",
          "Effect": "Deny",
          "Action": "ecr:DeleteRepository",
          "Resource": "*"
        }
      ]
    }
    "/^svc-[a-z]+$/" is granted as "svc-*": IAM's wildcards also stand for slashes, and it has no regex
    "team/*" is granted as "team/*": IAM's wildcards also stand for slashes, and it has no regex
    "#);
}

#[test]
fn a_wide_answer_of_rights_is_the_same() {
    let asked = "iam apply --policy policy.yaml --registry 111122223333 --region us-east-1";
    assert_eq!(iam(&format!("{asked} -o wide")), iam(asked));
}

#[test]
fn in_china_the_partition_is_another() {
    assert_snapshot!(iam("iam lint --repository app --registry 111122223333 --region cn-north-1"), @r#"
    0
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "ReadRegistry",
          "Effect": "Allow",
          "Action": [
            "ecr:DescribePullThroughCacheRules",
            "ecr:DescribeRegistry",
            "ecr:ListPullTimeUpdateExclusions"
          ],
          "Resource": "*"
        },
        {
          "Sid": "ListRepositories",
          "Effect": "Allow",
          "Action": "ecr:DescribeRepositories",
          "Resource": "arn:aws-cn:ecr:cn-north-1:111122223333:repository/*"
        },
        {
          "Sid": "ReadRepositories",
          "Effect": "Allow",
          "Action": [
            "ecr:BatchGetImage",
            "ecr:DescribeImages",
            "ecr:GetLifecyclePolicy",
            "ecr:ListImageReferrers",
            "ecr:ListImages",
            "ecr:ListTagsForResource"
          ],
          "Resource": [
            "arn:aws-cn:ecr:cn-north-1:111122223333:repository/app"
          ]
        },
        {
          "Sid": "PreviewLifecycle",
          "Effect": "Allow",
          "Action": [
            "ecr:GetLifecyclePolicyPreview",
            "ecr:StartLifecyclePolicyPreview"
          ],
          "Resource": [
            "arn:aws-cn:ecr:cn-north-1:111122223333:repository/app"
          ]
        },
        {
          "Sid": "NeverDeleteRepository",
          "Effect": "Deny",
          "Action": "ecr:DeleteRepository",
          "Resource": "*"
        }
      ]
    }
    "#);
}

#[test]
fn all_three_roles_are_in_one_document() {
    let told = iam("iam --registry 111122223333 --region us-east-1");
    let document: Value = serde_json::from_str(told.strip_prefix("0\n").unwrap()).unwrap();
    assert_eq!(document["kind"], "IamPolicies");
    for role in ["plan", "apply", "lint"] {
        assert_eq!(document[role]["Version"], "2012-10-17");
        assert!(document[role].to_string().contains(":repository/*"), "all repositories: {role}");
    }
    assert!(iam("iam everything --registry 111122223333 --region us-east-1").starts_with("2\n"));
}
