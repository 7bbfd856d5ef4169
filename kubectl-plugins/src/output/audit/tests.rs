//! What every format makes of one report whose texts try to be more than texts.

use insta::assert_snapshot;
use kubeguard_core::audit::report::{PodCount, Source, fingerprint};
use kubeguard_core::audit::{AuditReport, Evidence, Finding, ObjectName, Proof, Remedy, Severity, Skipped};
use serde_json::{Value, json};

use super::{AuditFormat, Frame, RuleRow};

const RULES: &[RuleRow<'_>] = &[
    RuleRow {
        id: "PA201",
        name: "named-port-unresolved",
        severity: Severity::Critical,
        summary: "a probe names a port that its container lacks",
        remedy: "name the port, or use its number",
    },
    RuleRow {
        id: "PA301",
        name: "liveness-not-slower",
        severity: Severity::High,
        summary: "a failing dependency restarts the container",
        remedy: "make liveness slower than readiness",
    },
    RuleRow { id: "ZJ302", name: "never-scheduled", severity: Severity::High, summary: "no node fits", remedy: "" },
];

fn finding(rule: &str, name: &str, severity: Severity, object: ObjectName, message: &str) -> Finding {
    Finding {
        fingerprint: fingerprint(rule, &object, None, ""),
        rule: rule.to_owned(),
        name: name.to_owned(),
        severity,
        proof: Proof::Exact,
        object,
        container: None,
        source: None,
        message: message.to_owned(),
        evidence: Vec::new(),
        remedy: Remedy::default(),
        since: None,
        pods: None,
        also: Vec::new(),
        assumptions: Vec::new(),
        details: serde_json::Map::new(),
    }
}

fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectName {
    ObjectName {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn sample() -> AuditReport {
    let web = object("apps/v1", "Deployment", "team", "web");
    let evil = object("v1", "Pod", "te\u{1b}[31mam", "<script>alert('1')</script>");
    let port =
        json!({"op": "replace", "path": "/spec/template/spec/containers/0/readinessProbe/httpGet/port", "value": 8080});
    let items = vec![
        Finding {
            container: Some("app".to_owned()),
            source: Some(Source { file: "deploy/web, 1%.yaml".to_owned(), line: 31 }),
            evidence: vec![Evidence {
                object: None,
                path: "/spec/template/spec/containers/0/readinessProbe/httpGet/port".to_owned(),
                value: "http".into(),
            }],
            remedy: Remedy { text: "name the port, or use its number".to_owned(), patch: vec![port] },
            since: "2026-11-22T10:00:58.5Z".parse().ok(),
            pods: Some(PodCount { count: 3, example: "web-6c9f".to_owned() }),
            ..finding(
                "PA201",
                "named-port-unresolved",
                Severity::Critical,
                web.clone(),
                "readiness port \"http\" is not among the ports of container app: the pod never becomes ready",
            )
        },
        Finding {
            proof: Proof::Model,
            assumptions: vec!["every pod takes 30s & no more".to_owned()],
            evidence: vec![Evidence {
                object: Some(web),
                path: "/metadata/annotations/a".to_owned(),
                value: "\"><img src=x onerror=alert(2)>\u{9b}2J".into(),
            }],
            remedy: Remedy { text: "put `a|b` in *quotes*\r\n::error::no".to_owned(), patch: Vec::new() },
            ..finding(
                "PA999",
                "of-nobody-we-know",
                Severity::Medium,
                evil,
                "a | b\n::warning::[x](y) \u{202e}evil ]]> --> \\ \"\u{7f}",
            )
        },
        finding("PA301", "liveness-not-slower", Severity::Info, object("v1", "Node", "", "n1"), "so it is"),
    ];
    let skipped = vec![
        Skipped {
            rules: vec!["ZJ302".to_owned()],
            reason: "cannot list nodes: \u{1b}]0;Forbidden".to_owned(),
            partial: false,
            namespace: None,
        },
        Skipped {
            rules: vec!["PA301".to_owned()],
            reason: "cannot list services".to_owned(),
            partial: true,
            namespace: Some("shop".to_owned()),
        },
    ];
    AuditReport::new(items, skipped, 12)
}

fn frame() -> Frame<'static> {
    Frame {
        command: "kubectl probe-audit",
        rules: RULES,
        fail_on: Some(Severity::High),
        taken_at: "2026-11-22T10:00:00Z".parse().unwrap(),
        kind: None,
        colour: false,
        suppressed: &[],
        blast: None,
    }
}

fn shown(format: AuditFormat) -> String {
    format.writer().report(&sample(), &frame())
}

fn empty(format: AuditFormat) -> String {
    format.writer().report(&AuditReport::new(Vec::new(), Vec::new(), 1), &frame())
}

const ALL: [AuditFormat; 11] = [
    AuditFormat::Table,
    AuditFormat::Wide,
    AuditFormat::Json,
    AuditFormat::Yaml,
    AuditFormat::Name,
    AuditFormat::Sarif,
    AuditFormat::Junit,
    AuditFormat::Markdown,
    AuditFormat::Github,
    AuditFormat::Prometheus,
    AuditFormat::Html,
];

#[test]
fn no_format_lets_a_name_steer_the_terminal() {
    for format in ALL {
        let text = shown(format);
        assert!(text.ends_with('\n'), "{format:?}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{format:?}: {text}");
    }
}

#[test]
fn a_table_has_a_line_for_each_finding_and_ends_with_totals() {
    assert_snapshot!(shown(AuditFormat::Table), @r#"
    SEVERITY   RULE    NAMESPACE   OBJECT                            CONTAINER   MESSAGE
    info       PA301   <none>      node/n1                           <none>      so it is
    medium     PA999   te[31mam    pod/<script>alert('1')</script>   <none>      a | b ::warning::[x](y) evil ]]> --> \ "
    critical   PA201   team        deployment.apps/web               app         readiness port "http" is not among the ports of container app: the pod never becomes ready
    3 findings: 1 critical, 1 medium, 1 info · 12 objects, 3 rules
    judged in part: PA301 in namespace shop: cannot list services
    not judged: ZJ302: cannot list nodes: ]0;Forbidden
    "#);
    assert_snapshot!(empty(AuditFormat::Table), @"no findings · 1 object, 3 rules");
}

#[test]
fn wide_adds_proof_age_pods_and_fingerprint() {
    assert_snapshot!(shown(AuditFormat::Wide), @r#"
    SEVERITY   RULE    NAMESPACE   OBJECT                            CONTAINER   PROOF   SINCE                  PODS             FINGERPRINT                        MESSAGE
    info       PA301   <none>      node/n1                           <none>      exact   <none>                 <none>           af528135184b01f6d7b81815112611bb   so it is
    medium     PA999   te[31mam    pod/<script>alert('1')</script>   <none>      model   <none>                 <none>           731374bbfd7df43d7462a89411652eb8   a | b ::warning::[x](y) evil ]]> --> \ "
    critical   PA201   team        deployment.apps/web               app         exact   2026-11-22T10:00:58Z   3, as web-6c9f   56bcb4067dd523679267b5d25f20fe79   readiness port "http" is not among the ports of container app: the pod never becomes ready
    3 findings: 1 critical, 1 medium, 1 info · 12 objects, 3 rules
    judged in part: PA301 in namespace shop: cannot list services
    not judged: ZJ302: cannot list nodes: ]0;Forbidden
    "#);
}

#[test]
fn a_table_of_one_kind_names_that_kind_alone() {
    let frame = Frame { kind: Some("Repository"), colour: true, ..frame() };
    let items = vec![
        finding("EC201", "x", Severity::High, object("ecr", "Repository", "", "app"), "gone"),
        finding("EC206", "y", Severity::Low, object("ecr", "Registry", "", "eu"), "of none"),
    ];
    let text = AuditFormat::Table.writer().report(&AuditReport::new(items, Vec::new(), 1), &frame);
    assert_snapshot!(text.replace('\u{1b}', "^"), @"
    SEVERITY   RULE    REPOSITORY   MESSAGE
    low        EC206   -            of none
    ^[31mhigh^[0m       EC201   app          gone
    2 findings: 1 high, 1 low · 1 object, 3 rules
    ");
}

#[test]
fn names_stand_once() {
    let mut report = sample();
    report.items.extend(sample().items);
    assert_snapshot!(AuditFormat::Name.writer().report(&report, &frame()), @"
    node/n1
    pod/<script>alert('1')</script>
    deployment.apps/web
    ");
}

#[test]
fn json_and_yaml_are_the_report_itself() {
    let json: AuditReport = serde_json::from_str(&shown(AuditFormat::Json)).unwrap();
    assert_eq!(json, sample());
    let yaml: AuditReport = serde_saphyr::from_str(&shown(AuditFormat::Yaml)).unwrap();
    assert_eq!(yaml, sample());
}

/// One part of the SARIF of the sample, by its pointer.
fn sarif(pointer: &str) -> String {
    let sarif: Value = serde_json::from_str(&shown(AuditFormat::Sarif)).unwrap();
    serde_json::to_string_pretty(sarif.pointer(pointer).unwrap()).unwrap()
}

#[test]
fn sarif_lists_every_rule_also_one_that_nobody_announced() {
    assert_snapshot!(sarif("/runs/0/tool/driver"), @r#"
    {
      "name": "kubeguard",
      "fullName": "kubectl probe-audit",
      "version": "0.1.0",
      "rules": [
        {
          "id": "PA201",
          "name": "named-port-unresolved",
          "shortDescription": {
            "text": "a probe names a port that its container lacks"
          },
          "defaultConfiguration": {
            "level": "error"
          },
          "help": {
            "text": "name the port, or use its number"
          }
        },
        {
          "id": "PA301",
          "name": "liveness-not-slower",
          "shortDescription": {
            "text": "a failing dependency restarts the container"
          },
          "defaultConfiguration": {
            "level": "error"
          },
          "help": {
            "text": "make liveness slower than readiness"
          }
        },
        {
          "id": "ZJ302",
          "name": "never-scheduled",
          "shortDescription": {
            "text": "no node fits"
          },
          "defaultConfiguration": {
            "level": "error"
          }
        },
        {
          "id": "PA999",
          "name": "of-nobody-we-know",
          "shortDescription": {
            "text": "of-nobody-we-know"
          },
          "defaultConfiguration": {
            "level": "warning"
          }
        }
      ]
    }
    "#);
}

#[test]
fn sarif_tells_level_places_and_fingerprint() {
    assert_snapshot!(sarif("/runs/0/results/2"), @r#"
    {
      "ruleId": "PA201",
      "level": "error",
      "message": {
        "text": "readiness port \"http\" is not among the ports of container app: the pod never becomes ready"
      },
      "locations": [
        {
          "logicalLocations": [
            {
              "fullyQualifiedName": "team/Deployment/web/app",
              "name": "app",
              "kind": "resource"
            }
          ],
          "physicalLocation": {
            "artifactLocation": {
              "uri": "deploy/web%2C%201%25.yaml"
            },
            "region": {
              "startLine": 31
            }
          }
        }
      ],
      "partialFingerprints": {
        "kubeguard/v1": "56bcb4067dd523679267b5d25f20fe79"
      },
      "properties": {
        "severity": "critical",
        "proof": "exact",
        "remedy": "name the port, or use its number"
      },
      "ruleIndex": 0
    }
    "#);
    assert_snapshot!(sarif("/runs/0/results/1/message/text"), @r#""a | b ::warning::[x](y) evil ]]> --> \\ \"""#);
}

#[test]
fn sarif_tells_what_was_not_judged() {
    assert_snapshot!(sarif("/runs/0/invocations"), @r#"
    [
      {
        "executionSuccessful": false,
        "toolExecutionNotifications": [
          {
            "level": "warning",
            "message": {
              "text": "judged in part: PA301 in namespace shop: cannot list services"
            }
          },
          {
            "level": "warning",
            "message": {
              "text": "not judged: ZJ302: cannot list nodes: ]0;Forbidden"
            }
          }
        ]
      }
    ]
    "#);
}

/// What the schema of SARIF 2.1.0 requires of every part that is written here.
#[test]
fn sarif_has_what_its_schema_requires() {
    for text in [shown(AuditFormat::Sarif), empty(AuditFormat::Sarif)] {
        let sarif: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(sarif["version"], "2.1.0");
        let run = &sarif["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert!(run["tool"]["driver"]["name"].is_string() && run["invocations"][0]["executionSuccessful"].is_boolean());
        let ids: std::collections::BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), rules.len());
        for result in run["results"].as_array().unwrap() {
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            assert!(!result["message"]["text"].as_str().unwrap().is_empty());
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
            assert!(result["partialFingerprints"]["kubeguard/v1"].is_string());
            let place = &result["locations"][0];
            assert!(place["logicalLocations"][0]["fullyQualifiedName"].is_string());
            if let Some(file) = place.get("physicalLocation") {
                assert!(file["region"]["startLine"].as_u64().unwrap() >= 1);
                let uri = file["artifactLocation"]["uri"].as_str().unwrap();
                assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()), "{uri}");
            }
        }
    }
}

#[test]
fn junit_fails_what_is_severe_enough_and_skips_what_was_not_judged() {
    assert_snapshot!(shown(AuditFormat::Junit), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="kubectl probe-audit">
      <testsuite name="PA" tests="4" failures="1" errors="0" skipped="1">
        <testcase classname="cluster" name="PA301 liveness-not-slower node/n1">
          <system-out>info: so it is</system-out>
        </testcase>
        <testcase classname="te[31mam" name="PA999 of-nobody-we-know pod/&lt;script&gt;alert(&apos;1&apos;)&lt;/script&gt;">
          <system-out>medium: a | b ::warning::[x](y) evil ]]&gt; --&gt; \ &quot;
    deployment.apps/web /metadata/annotations/a = &quot;\&quot;&gt;&lt;img src=x onerror=alert(2)&gt;2J&quot;
    remedy: put `a|b` in *quotes* ::error::no</system-out>
        </testcase>
        <testcase classname="team" name="PA201 named-port-unresolved deployment.apps/web container app">
          <failure type="critical" message="readiness port &quot;http&quot; is not among the ports of container app: the pod never becomes ready">critical: readiness port &quot;http&quot; is not among the ports of container app: the pod never becomes ready
    /spec/template/spec/containers/0/readinessProbe/httpGet/port = &quot;http&quot;
    remedy: name the port, or use its number</failure>
        </testcase>
        <testcase classname="shop" name="PA301">
          <skipped type="judgedInPart" message="cannot list services"></skipped>
        </testcase>
      </testsuite>
      <testsuite name="ZJ" tests="1" failures="0" errors="0" skipped="1">
        <testcase classname="cluster" name="ZJ302">
          <skipped type="notJudged" message="cannot list nodes: ]0;Forbidden"></skipped>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
    let never = AuditFormat::Junit.writer().report(&sample(), &Frame { fail_on: None, ..frame() });
    assert!(!never.contains("<failure"), "{never}");
    assert_snapshot!(empty(AuditFormat::Junit), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="kubectl probe-audit">
      <testsuite name="PA" tests="2" failures="0" errors="0" skipped="0">
        <testcase classname="rules" name="PA201 named-port-unresolved"/>
        <testcase classname="rules" name="PA301 liveness-not-slower"/>
      </testsuite>
      <testsuite name="ZJ" tests="1" failures="0" errors="0" skipped="0">
        <testcase classname="rules" name="ZJ302 never-scheduled"/>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn markdown_begins_with_the_worst_and_holds_no_markup_of_a_name() {
    assert_snapshot!(shown(AuditFormat::Markdown), @r#"
    **kubectl probe-audit**: 3 findings: 1 critical, 1 medium, 1 info · 12 objects, 3 rules

    | Severity | Rule | Namespace | Object | Container | Message | Remedy |
    | --- | --- | --- | --- | --- | --- | --- |
    | critical | PA201 named-port-unresolved | team | deployment.apps/web | app | readiness port "http" is not among the ports of container app: the pod never becomes ready | name the port, or use its number |
    | medium | PA999 of-nobody-we-know | te\[31mam | pod/&lt;script&gt;alert('1')&lt;/script&gt; |  | a \| b ::warning::\[x\](y) evil \]\]&gt; --&gt; \\ " | put \`a\|b\` in \*quotes\* ::error::no |
    | info | PA301 liveness-not-slower | cluster | node/n1 |  | so it is |  |

    Not everything could be judged:

    - judged in part: PA301 in namespace shop: cannot list services
    - not judged: ZJ302: cannot list nodes: \]0;Forbidden
    "#);
    assert_snapshot!(empty(AuditFormat::Markdown), @"**kubectl probe-audit**: no findings · 1 object, 3 rules");
}

#[test]
fn an_annotation_stands_on_its_file_and_nobody_else_can_write_one() {
    assert_snapshot!(shown(AuditFormat::Github), @r#"
    ::notice title=PA301 liveness-not-slower::node/n1: so it is
    ::warning title=PA999 of-nobody-we-know::pod/<script>alert('1')</script> in te[31mam: a | b ::warning::[x](y) evil ]]> --> \ "%0Aremedy: put `a|b` in *quotes* ::error::no
    ::error file=deploy/web%2C 1%25.yaml,line=31,title=PA201 named-port-unresolved::deployment.apps/web in team, container app: readiness port "http" is not among the ports of container app: the pod never becomes ready%0Aremedy: name the port, or use its number
    ::warning title=not judged::judged in part: PA301 in namespace shop: cannot list services
    ::warning title=not judged::not judged: ZJ302: cannot list nodes: ]0;Forbidden
    3 findings: 1 critical, 1 medium, 1 info · 12 objects, 3 rules
    "#);
}

#[test]
fn every_series_stands_once() {
    let mut report = sample();
    report.items.extend(sample().items);
    assert_snapshot!(AuditFormat::Prometheus.writer().report(&report, &frame()), @r#"
    # HELP kubeguard_findings A rule finds something wrong with an object.
    # TYPE kubeguard_findings gauge
    kubeguard_findings{rule="PA201",severity="critical",namespace="team",kind="Deployment",name="web",container="app"} 1
    kubeguard_findings{rule="PA301",severity="info",namespace="",kind="Node",name="n1",container=""} 1
    kubeguard_findings{rule="PA999",severity="medium",namespace="te[31mam",kind="Pod",name="<script>alert('1')</script>",container=""} 1
    # HELP kubeguard_rules_skipped A rule could not be judged.
    # TYPE kubeguard_rules_skipped gauge
    kubeguard_rules_skipped{rule="PA301",reason="cannot list services"} 1
    kubeguard_rules_skipped{rule="ZJ302",reason="cannot list nodes: ]0;Forbidden"} 1
    # HELP kubeguard_audit_complete Everything that was asked for could be judged.
    # TYPE kubeguard_audit_complete gauge
    kubeguard_audit_complete 0
    # HELP kubeguard_audit_timestamp_seconds Time of what was judged.
    # TYPE kubeguard_audit_timestamp_seconds gauge
    kubeguard_audit_timestamp_seconds 1795341600
    "#);
}

/// The elements of a page, as a parser of XML sees them; it refuses what is not closed or not escaped.
fn elements(page: &str) -> std::collections::BTreeMap<String, usize> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(page);
    reader.config_mut().check_end_names = true;
    let mut elements = std::collections::BTreeMap::new();
    let mut depth = 0;
    loop {
        let name = match reader.read_event().unwrap() {
            Event::Start(element) => {
                depth += 1;
                element.name().as_ref().to_vec()
            }
            Event::Empty(element) => element.name().as_ref().to_vec(),
            Event::End(_) => {
                depth -= 1;
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        *elements.entry(String::from_utf8(name).unwrap()).or_default() += 1;
    }
    assert_eq!(depth, 0, "every element ends");
    elements
}

#[test]
fn a_page_is_one_file_whose_markup_is_its_own() {
    let page = shown(AuditFormat::Html);
    let elements = elements(&page);
    assert_eq!(elements["article"], 3);
    assert_eq!((elements["script"], elements.get("img")), (1, None), "no text became markup");
    assert!(!page.contains("src=x onerror") || page.contains("&lt;img src=x"), "{page}");
    for outside in ["http:", "https:", "url(", "@import", "<link", " src=\""] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// The page from one mark up to another.
fn part(start: &str, end: &str) -> String {
    let page = shown(AuditFormat::Html);
    let (_, page) = page.split_once(start).unwrap();
    page.split_once(end).unwrap().0.to_owned()
}

#[test]
fn a_page_begins_with_totals_gaps_and_a_filter_that_needs_a_script() {
    assert_snapshot!(part("<body>\n", "<main>"), @r#"
    <header>
    <h1>kubectl probe-audit</h1>
    <p class="when">3 findings: 1 critical, 1 medium, 1 info · 12 objects, 3 rules · <time datetime="2026-11-22T10:00:00Z">2026-11-22T10:00:00Z</time></p>
    <ul class="counts">
    <li class="critical"><b>1</b> critical</li>
    <li class="high none"><b>0</b> high</li>
    <li class="medium"><b>1</b> medium</li>
    <li class="low none"><b>0</b> low</li>
    <li class="info"><b>1</b> info</li>
    </ul>
    </header>
    <section class="skipped">
    <h2>Not everything could be judged</h2>
    <ul>
    <li>judged in part: PA301 in namespace shop: cannot list services</li>
    <li>not judged: ZJ302: cannot list nodes: ]0;Forbidden</li>
    </ul>
    </section>
    <form id="filter" hidden="">
    <label>Namespace <select name="namespace">
    <option value="">all</option>
    <option value="cluster">cluster</option>
    <option value="te[31mam">te[31mam</option>
    <option value="team">team</option>
    </select></label>
    <fieldset>
    <legend>Severity</legend>
    <label><input type="checkbox" name="severity" value="critical" checked=""/> critical</label>
    <label><input type="checkbox" name="severity" value="medium" checked=""/> medium</label>
    <label><input type="checkbox" name="severity" value="info" checked=""/> info</label>
    </fieldset>
    <output name="shown"></output>
    </form>
    "#);
}

#[test]
fn a_page_has_evidence_remedy_and_patch_of_each_finding() {
    assert_snapshot!(part("namespace=\"team\">\n", "</article>"), @r#"
    <h2><span class="severity">critical</span> PA201 <small>named-port-unresolved</small></h2>
    <p class="message">readiness port &quot;http&quot; is not among the ports of container app: the pod never becomes ready</p>
    <dl>
    <div><dt>Object</dt><dd>deployment.apps/web</dd></div>
    <div><dt>Namespace</dt><dd>team</dd></div>
    <div><dt>Container</dt><dd>app</dd></div>
    <div><dt>Source</dt><dd>deploy/web, 1%.yaml:31</dd></div>
    <div><dt>Since</dt><dd>2026-11-22T10:00:58Z</dd></div>
    <div><dt>Pods</dt><dd>3, as web-6c9f</dd></div>
    <div><dt>Proof</dt><dd>exact</dd></div>
    <div><dt>Fingerprint</dt><dd>56bcb4067dd523679267b5d25f20fe79</dd></div>
    </dl>
    <p class="remedy"><b>Remedy</b> name the port, or use its number</p>
    <details>
    <summary>Patch</summary>
    <pre>[
      {
        &quot;op&quot;: &quot;replace&quot;,
        &quot;path&quot;: &quot;/spec/template/spec/containers/0/readinessProbe/httpGet/port&quot;,
        &quot;value&quot;: 8080
      }
    ]</pre>
    </details>
    <details>
    <summary>Evidence</summary>
    <table>
    <tbody>
    <tr><td><code>/spec/template/spec/containers/0/readinessProbe/httpGet/port</code></td><td><code>http</code></td></tr>
    </tbody>
    </table>
    </details>
    "#);
    assert_snapshot!(part("<td>deployment", "</tr>"), @".apps/web <code>/metadata/annotations/a</code></td><td><code>&quot;&gt;&lt;img src=x onerror=alert(2)&gt;2J</code></td>");
}

#[test]
fn a_page_without_findings_has_no_filter() {
    let page = empty(AuditFormat::Html);
    let elements = elements(&page);
    assert_eq!((elements.get("article"), elements.get("form")), (None, None));
    assert!(page.contains("no findings"), "{page}");
}
