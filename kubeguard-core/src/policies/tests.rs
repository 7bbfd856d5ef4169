use super::*;

fn all(settings: &PolicySettings, stage: Stage) -> Vec<(&'static str, Vec<Value>)> {
    BUNDLES.iter().map(|bundle| (bundle.name, bundle.manifests(settings, stage))).collect()
}

#[test]
fn every_bundle_is_whole_and_in_the_order_in_which_it_is_applied() {
    let order: Vec<String> = all(&PolicySettings::default(), Stage::Warn)
        .into_iter()
        .map(|(name, manifests)| format!("{name}: {}", manifests.iter().map(kind).collect::<Vec<_>>().join(", ")))
        .collect();
    let wanted = [
        "daemonset: ConfigMap, ClusterRole, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding",
        "daemonset-quota: ResourceQuota, ClusterRole",
        "surge: ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding",
        "hpa: ConfigMap, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding",
        "start-order: ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding",
        "field-ref: ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding",
        "gomaxprocs: MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding",
        "zone: ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding",
        "node-hold: NodePool, NodeReadinessRule, DaemonSet",
    ];
    assert_eq!(order, wanted);
}

#[test]
fn a_stage_is_what_the_binding_does_and_closes_only_at_the_end() {
    let closed = PolicySettings { failure_policy: FailurePolicy::Fail, ..PolicySettings::default() };
    for (stage, actions, failure) in [
        (Stage::Audit, json!(["Audit"]), "Ignore"),
        (Stage::Warn, json!(["Warn", "Audit"]), "Ignore"),
        (Stage::Deny, json!(["Deny"]), "Fail"),
    ] {
        let manifests: Vec<Value> = all(&closed, stage).into_iter().flat_map(|(_, manifests)| manifests).collect();
        let of = |wanted: &str| manifests.iter().filter(|manifest| kind(manifest) == wanted).collect::<Vec<_>>();
        assert!(of("ValidatingAdmissionPolicyBinding").iter().all(|one| one["spec"]["validationActions"] == actions));
        let policies = [of("ValidatingAdmissionPolicy"), of("MutatingAdmissionPolicy")].concat();
        assert!(policies.iter().all(|policy| policy["spec"]["failurePolicy"] == failure), "{stage:?}");
    }
    let open = bundle("surge").unwrap().manifests(&PolicySettings::default(), Stage::Deny);
    assert_eq!(open[0]["spec"]["failurePolicy"], "Ignore", "only who asks for it closes");
}

#[test]
fn settings_are_written_where_they_belong() {
    let text = "
apiVersion: kubeguard.dev/v1
kind: GuardPolicy
namespace: guard
exemptNamespaces: [kube-system, infra]
namespaces:
  surge: {matchLabels: {mesh: served}}
daemonSets:
  maxCpu: 250m
  nodes: 240
  robots: [flux]
  priorityClasses: [low]
  hostPorts: [9100]
  hostPaths: [/var/log]
tenants: [a, b]
autoscalers: {maxRatio: 4}
nodeHold: {nodePool: gpu, namespace: gpu, daemonSet: driver, condition: DriverReady}
";
    let settings = PolicySettings::parse("policy.yaml", text).unwrap();
    let of = |name: &str| bundle(name).unwrap().manifests(&settings, Stage::Warn);
    let find = |name: &str, wanted: &str| of(name).into_iter().find(|one| kind(one) == wanted).unwrap();
    let parameters = find("daemonset", "ConfigMap");
    assert_eq!(parameters["metadata"]["namespace"], "guard");
    assert_eq!(parameters["data"], json!({"maxCpu": "250m", "maxMemory": "512Mi", "nodes": "240"}));
    assert_eq!(find("hpa", "ConfigMap")["data"]["maxRatio"], "4");
    let binding = find("daemonset", "ValidatingAdmissionPolicyBinding");
    assert_eq!(binding["spec"]["paramRef"]["namespace"], "guard");
    let exempt = &binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*exempt, json!(["kube-system", "infra"]));
    let surge = find("surge", "ValidatingAdmissionPolicyBinding");
    assert_eq!(surge["spec"]["matchResources"]["namespaceSelector"]["matchLabels"], json!({"mesh": "served"}));
    let policy = find("daemonset", "ValidatingAdmissionPolicy").to_string();
    for part in ["[\\\"flux\\\"]", "[\\\"low\\\"]", "[9100]", "[\\\"/var/log\\\"]"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    let quotas: Vec<Value> = of("daemonset-quota").into_iter().filter(|one| kind(one) == "ResourceQuota").collect();
    let namespaces: Vec<&str> = quotas.iter().filter_map(|one| one["metadata"]["namespace"].as_str()).collect();
    assert_eq!(namespaces, ["a", "b"]);
    let rule = find("node-hold", "NodeReadinessRule");
    assert_eq!(rule["spec"]["taint"]["key"], "readiness.k8s.io/gpu.driver");
    assert_eq!(
        find("node-hold", "DaemonSet")["spec"]["template"]["spec"]["tolerations"][0]["key"],
        rule["spec"]["taint"]["key"]
    );
    assert_eq!(
        find("node-hold", "NodePool")["spec"]["template"]["spec"]["startupTaints"][0]["key"],
        rule["spec"]["taint"]["key"]
    );
}

#[test]
fn what_is_wrong_in_a_settings_file_is_said_with_its_place() {
    let head = "apiVersion: kubeguard.dev/v1\nkind: GuardPolicy\n";
    for (text, says) in [
        ("daemonSets: {maxCpu: much}", "daemonSets.maxCpu: much is no quantity"),
        ("daemonSets: {maxCPU: 1}", "unknown field \"maxCPU\""),
        ("namespaces: {surges: {}}", "namespaces.surges: there is no such bundle"),
        ("autoscalers: {maxRatio: 0}", "would admit no autoscaler"),
        ("kind: Policy", "this is"),
    ] {
        let text = if text.starts_with("kind") {
            format!("apiVersion: kubeguard.dev/v1\n{text}")
        } else {
            format!("{head}{text}")
        };
        let error = PolicySettings::parse("policy.yaml", &text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn every_policy_has_cases_of_both_kinds_and_its_rules_are_named() {
    for bundle in BUNDLES {
        assert!(!bundle.rules.is_empty() && !bundle.keeps_away.is_empty(), "{}", bundle.name);
        let cases = bundle.cases(&PolicySettings::default());
        if bundle.kind == "ValidatingAdmissionPolicy" {
            let has = |wanted: fn(&Case) -> bool| cases.iter().any(wanted);
            assert!(has(|case| matches!(case.expected, Expected::Refused(_))), "{}", bundle.name);
            assert!(has(|case| case.expected == Expected::Admitted && !case.exempt), "{}", bundle.name);
            assert!(has(|case| case.exempt), "{}", bundle.name);
            assert!(has(|case| matches!(case.act, Act::Touch { .. })), "{}", bundle.name);
        }
    }
}
