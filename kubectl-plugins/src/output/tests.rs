//! What every format makes of the same reports.

use insta::assert_snapshot;
use kubeguard_core::wait::report::{Ended, ItemReport, Source, WaitReport};
use kubeguard_core::wait::verdict::Verdict;

use super::Format;
use super::samples::{complete, crash_loop, progressing, report, skipped, superseded, unproved};

fn shown(format: Format, report: &WaitReport) -> String {
    format.writer(false, false).report(report)
}

fn failed() -> WaitReport {
    report(vec![complete("api"), crash_loop()])
}

#[test]
fn a_failure_stands_with_its_chain_log_and_remedy() {
    assert_snapshot!(shown(Format::Table, &failed()), @"
    NAMESPACE   OBJECT           VERDICT    DETAIL
    team        deployment/api   complete   2 of 2 available
    team        deployment/web   failed     CrashLoop: 1 of 4 pods updated, 3 old still there
      because  2 of 2 pods, container app: CrashLoop: exit 1, 3 restarts in 1m40s
               pod web-6c9f7-k2x  ← replicaset web-6c9f7 (revision 8)
      event    BackOff: back-off restarting failed container
      log      panic: config: DATABASE_URL is not set
               exit status 1
      remedy   look at the last log line of container app, or kubectl rollout undo
      looser   --tolerate CrashLoop=5m   or   --profile patient
    failed after 1m46s: 1 failed, 1 complete
    ");
}

#[test]
fn wide_adds_evidence_generations_age_and_rule() {
    let report = report(vec![complete("api"), unproved()]);
    assert_snapshot!(shown(Format::Wide, &report), @"
    NAMESPACE   OBJECT           VERDICT        EVIDENCE   GENERATION   OBSERVED   SINCE                  RULE     DETAIL
    team        deployment/api   complete       strong     7            7          2026-11-22T10:00:58Z   <none>   2 of 2 available
    data        kafka/main       unverifiable   none       4            <none>     2026-11-22T10:00:58Z   WD-G7    NoEvidence: Ready=True may belong to the previous spec
      remedy   check the controller, or accept its status with --assume-observed
    unverifiable after 1m46s: 1 unverifiable, 1 complete
    ");
}

#[test]
fn an_explanation_tells_what_was_looked_at_and_what_would_flip_it() {
    let text = Format::Table.writer(false, true).report(&report(vec![unproved()]));
    assert_snapshot!(text, @"
    NAMESPACE   OBJECT       VERDICT        DETAIL
    data        kafka/main   unverifiable   NoEvidence: Ready=True may belong to the previous spec
      evidence       none   generation 4   observedGeneration <none>
      rule           WD-G7
      looked at      metadata.generation = 4
                     status.observedGeneration = absent
      would flip it  status.observedGeneration = 4
                     a status write after the spec
      remedy         check the controller, or accept its status with --assume-observed
    unverifiable after 1m46s: 1 unverifiable
    ");
}

#[test]
fn rules_alone_make_no_explanation() {
    let text = shown(Format::Table, &report(vec![unproved()]));
    assert!(!text.contains("WD-G7") && !text.contains("looked at"), "{text}");
}

#[test]
fn a_newer_spec_names_its_writer() {
    assert_snapshot!(shown(Format::Table, &report(vec![superseded()])), @"
    NAMESPACE   OBJECT           VERDICT      DETAIL
    team        deployment/api   superseded   NewerGeneration: generation 8 was written by argocd-controller at 2026-11-22T10:00:41Z
      remedy   wait for that one with --follow, or apply again
    superseded after 1m46s: 1 superseded
    ");
}

#[test]
fn what_was_not_judged_is_named_in_the_answer_or_left_to_stderr() {
    let report = WaitReport { skipped: vec![skipped()], exit_code: 6, ..report(vec![complete("api")]) };
    assert_snapshot!(shown(Format::Table, &report), @"
    NAMESPACE   OBJECT           VERDICT    DETAIL
    team        deployment/api   complete   2 of 2 available
    not judged: job/migrate in namespace other: cannot list jobs in namespace other: server says (Forbidden)
    complete after 1m46s: 1 complete, 1 not judged
    ");
    for format in [
        Format::Table,
        Format::Wide,
        Format::Json,
        Format::Yaml,
        Format::Ndjson,
        Format::Name,
        Format::Junit,
        Format::Github,
    ] {
        let writer = format.writer(false, false);
        assert_eq!(writer.report(&report).contains("job/migrate"), writer.tells_skipped(), "{format:?}");
    }
}

#[test]
fn without_any_judgement_there_is_no_answer() {
    let report =
        WaitReport { skipped: vec![skipped()], exit_code: 2, verdict: Verdict::Unverifiable, ..report(vec![]) };
    assert_eq!(shown(Format::Table, &report).lines().last(), Some("no answer after 1m46s: 1 not judged"));
}

#[test]
fn why_a_wait_ended_is_its_last_line() {
    for (ended, line) in [
        (Ended::TimedOut, "timed out after 1m46s: 1 progressing, 1 complete; --timeout gives it more time"),
        (Ended::Stalled, "stalled after 1m46s: 1 progressing, 1 complete; --stall gives it more time"),
        (Ended::Interrupted, "interrupted after 1m46s: 1 progressing, 1 complete"),
        (Ended::Once, "progressing: 1 progressing, 1 complete"),
    ] {
        let report = WaitReport { ended, ..report(vec![complete("api"), progressing("web")]) };
        assert_eq!(shown(Format::Table, &report).lines().last(), Some(line));
    }
}

#[test]
fn json_is_the_one_of_the_contract() {
    assert_snapshot!(shown(Format::Json, &failed()), @r#"
    {
      "apiVersion": "kubeguard.dev/v1",
      "kind": "WaitReport",
      "verdict": "failed",
      "exitCode": 1,
      "elapsedSeconds": 106.25,
      "until": "available",
      "ended": "done",
      "items": [
        {
          "apiVersion": "apps/v1",
          "objectKind": "Deployment",
          "namespace": "team",
          "name": "api",
          "verdict": "complete",
          "message": "2 of 2 available",
          "evidence": "strong",
          "generation": 7,
          "observedGeneration": 7,
          "since": "2026-11-22T10:00:58Z"
        },
        {
          "apiVersion": "apps/v1",
          "objectKind": "Deployment",
          "namespace": "team",
          "name": "web",
          "source": {
            "file": "web.yaml",
            "line": 1
          },
          "verdict": "failed",
          "reason": "CrashLoop",
          "message": "1 of 4 pods updated, 3 old still there: exit 1, 3 restarts in 1m40s",
          "evidence": "strong",
          "generation": 7,
          "observedGeneration": 7,
          "since": "2026-11-22T10:00:58Z",
          "causes": [
            {
              "objectKind": "Pod",
              "namespace": "team",
              "name": "web-6c9f7-k2x",
              "container": "app",
              "reason": "CrashLoop",
              "message": "exit 1, 3 restarts in 1m40s",
              "since": "2026-11-22T10:00:06Z",
              "count": 2,
              "of": 2,
              "chain": [
                "replicaset web-6c9f7 (revision 8)"
              ],
              "events": [
                "BackOff: back-off restarting failed container"
              ],
              "log": [
                "panic: config: DATABASE_URL is not set",
                "exit status 1"
              ]
            }
          ],
          "remedy": "look at the last log line of container app, or kubectl rollout undo",
          "looser": [
            "--tolerate CrashLoop=5m",
            "--profile patient"
          ]
        }
      ],
      "requests": {
        "list": 3,
        "watch": 3,
        "get": 1
      }
    }
    "#);
}

#[test]
fn yaml_says_what_json_says() {
    let report = report(vec![complete("api"), unproved(), crash_loop()]);
    let yaml: serde_json::Value = serde_saphyr::from_str(&shown(Format::Yaml, &report)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&shown(Format::Json, &report)).unwrap();
    assert_eq!(yaml, json);
}

#[test]
fn a_change_is_one_line_of_json() {
    let writer = Format::Ndjson.writer(false, false);
    let line = writer.change("2026-11-22T10:00:02Z".parse().unwrap(), &progressing("web")).unwrap();
    assert_snapshot!(line, @r#"{"time":"2026-11-22T10:00:02Z","apiVersion":"apps/v1","objectKind":"Deployment","namespace":"team","name":"web","verdict":"progressing","reason":"UpdatedReplicas","message":"1 of 3 pods updated, 3 available, 3 old still there","evidence":"strong","generation":7,"observedGeneration":7,"since":"2026-11-22T10:00:58Z"}"#);
    assert_eq!(writer.report(&failed()), "");
}

#[test]
fn names_are_those_that_kubectl_takes() {
    let report = report(vec![complete("api"), crash_loop(), unproved()]);
    assert_snapshot!(shown(Format::Name, &report), @"
    deployment.apps/web
    kafka.kafka.example.org/main
    ");
}

#[test]
fn a_message_of_ten_thousand_characters_is_cut_for_people_and_whole_for_programs() {
    let message = "x".repeat(10_000);
    let report = report(vec![ItemReport { message: message.clone(), ..progressing("web") }]);
    let longest = shown(Format::Table, &report).lines().map(|line| line.chars().count()).max();
    assert!(longest.is_some_and(|longest| longest < 500), "{longest:?}");
    assert!(shown(Format::Json, &report).contains(&message));
}

/// Every text of a report that a cluster or a file can choose.
fn steering() -> WaitReport {
    let evil = "\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\r\nfake";
    let mut item = ItemReport { explain: unproved().explain, ..crash_loop() };
    for text in [&mut item.namespace, &mut item.name, &mut item.object_kind, &mut item.reason, &mut item.message] {
        text.push_str(evil);
    }
    item.api_version.insert_str(0, evil);
    item.remedy.push_str(evil);
    item.looser[0].push_str(evil);
    let cause = &mut item.causes[0];
    for text in [&mut cause.name, &mut cause.object_kind, &mut cause.reason, &mut cause.message] {
        text.push_str(evil);
    }
    for text in [&mut cause.chain[0], &mut cause.events[0], &mut cause.log[0]] {
        text.push_str(evil);
    }
    cause.container = Some(evil.to_owned());
    cause.unavailable.push(evil.to_owned());
    let explain = item.explain.as_mut().unwrap();
    explain.reads[0].path.push_str(evil);
    explain.reads[0].value.push_str(evil);
    explain.flips[0].push_str(evil);
    let mut skipped = skipped();
    for text in [&mut skipped.object, &mut skipped.namespace, &mut skipped.reason] {
        text.push_str(evil);
    }
    WaitReport { skipped: vec![skipped], ..report(vec![item]) }
}

#[test]
fn no_text_of_a_cluster_steers_the_terminal_in_any_format() {
    let report = steering();
    for format in [
        Format::Table,
        Format::Wide,
        Format::Json,
        Format::Yaml,
        Format::Ndjson,
        Format::Name,
        Format::Junit,
        Format::Github,
    ] {
        let writer = format.writer(false, true);
        let change = writer.change("2026-11-22T10:00:02Z".parse().unwrap(), &report.items[0]).unwrap_or_default();
        let text = change + &writer.report(&report);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{format:?}: {text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("fake")), "{format:?}: {text}");
    }
}

#[test]
fn escaped_json_reads_back_as_it_was() {
    let report = steering();
    let read: serde_json::Value = serde_json::from_str(&shown(Format::Json, &report)).unwrap();
    assert_eq!(read["items"][0]["name"], report.items[0].name.as_str());
}

#[test]
fn many_objects_are_one_line_each() {
    let report = report((0..500).map(|n| complete(&format!("web-{n:03}"))).collect());
    let text = shown(Format::Table, &report);
    assert_eq!(text.lines().count(), 502);
    assert!(text.ends_with("complete after 1m46s: 500 complete\n"), "{text}");
}

#[test]
fn junit_has_a_test_case_per_object() {
    let items = vec![complete("api"), crash_loop(), ItemReport { optional: true, ..unproved() }];
    let report = WaitReport { skipped: vec![skipped()], ..report(items) };
    assert_snapshot!(shown(Format::Junit, &report), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuite name="wait-deploy" tests="4" failures="1" errors="1" skipped="1" time="106.250">
      <testcase classname="team" name="deployment/api"/>
      <testcase classname="team" name="deployment/web">
        <failure type="CrashLoop" message="1 of 4 pods updated, 3 old still there: exit 1, 3 restarts in 1m40s">failed: 2 of 2 pods, container app: CrashLoop: exit 1, 3 restarts in 1m40s; 1 of 4 pods updated, 3 old still there
    pod/web-6c9f7-k2x container app: CrashLoop: exit 1, 3 restarts in 1m40s
      log  panic: config: DATABASE_URL is not set
      log  exit status 1
    remedy: look at the last log line of container app, or kubectl rollout undo</failure>
      </testcase>
      <testcase classname="data" name="kafka/main">
        <skipped type="NoEvidence" message="Ready=True may belong to the previous spec">unverifiable: NoEvidence: Ready=True may belong to the previous spec
    remedy: check the controller, or accept its status with --assume-observed</skipped>
      </testcase>
      <testcase classname="other" name="job/migrate">
        <error type="notJudged" message="cannot list jobs in namespace other: server says (Forbidden)">not judged: job/migrate in namespace other: cannot list jobs in namespace other: server says (Forbidden)</error>
      </testcase>
    </testsuite>
    "#);
}

#[test]
fn github_gets_an_annotation_per_object_that_is_not_complete() {
    let source = Some(Source { file: "deploy/web,1.yaml".to_owned(), line: 7 });
    let items = vec![complete("api"), ItemReport { source, ..crash_loop() }];
    assert_snapshot!(shown(Format::Github, &report(items)), @r#"
    ::error file=deploy/web%2C1.yaml,line=7,title=deployment/web in team failed::2 of 2 pods, container app: CrashLoop: exit 1, 3 restarts in 1m40s; 1 of 4 pods updated, 3 old still there%0Apod/web-6c9f7-k2x: CrashLoop: exit 1, 3 restarts in 1m40s%0Aremedy: look at the last log line of container app, or kubectl rollout undo
    failed after 1m46s: 1 failed, 1 complete
    "#);
}
