use std::io::Write as _;

use serde_json::json;

use super::*;

const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";

fn found_with(scan: &Scan, objects: &[Value]) -> Found {
    let hosts = HostMap::default();
    let mut collector = Collector::new(&hosts, scan);
    for object in objects {
        collector.add(object);
    }
    collector.finish()
}

fn found(objects: &[Value]) -> Found {
    found_with(&Scan::default(), objects)
}

/// Returns `use path image` of every reference, the host shortened.
fn lines(found: &Found) -> Vec<String> {
    let line = |reference: &Reference| {
        let r#use = serde_json::to_value(reference.r#use).unwrap();
        let image = reference.image.replace(HOST, "HOST");
        format!("{} {} {image}", r#use.as_str().unwrap(), reference.path)
    };
    found.references.iter().map(line).collect()
}

fn image(name: &str) -> String {
    format!("{HOST}/{name}")
}

fn meta(name: &str) -> Value {
    json!({"namespace": "team", "name": name})
}

fn pod_spec(name: &str) -> Value {
    json!({"containers": [{"name": "app", "image": image(name)}]})
}

fn owned(name: &str, kind: &str, owner: &str) -> Value {
    json!({"namespace": "team", "name": name, "ownerReferences": [{"kind": kind, "name": owner, "controller": true}]})
}

#[test]
fn every_place_of_a_pod_is_read() {
    let digest = format!("sha256:{}", "0f".repeat(32));
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "team", "name": "web",
            "annotations": {"proxy.example.org/config": format!("image: {}", image("proxy:1"))}},
        "spec": {
            "initContainers": [{"name": "init", "image": image("init:1")}],
            "containers": [{"name": "app", "image": image("app:1"),
                "env": [{"name": "RELATED_IMAGE_TOOL", "value": image("tool:1")}], "args": [format!("--sidecar={}", image("side:1"))]}],
            "ephemeralContainers": [{"name": "debug", "image": image("debug:1")}],
            "volumes": [{"name": "model", "image": {"reference": image("model:1")}}, {"name": "tmp", "emptyDir": {}}],
        },
        "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "containerStatuses": [{
            "name": "app", "image": "app:1", "imageID": format!("docker-pullable://{}", image(&format!("app@{digest}"))),
            "state": {"running": {"startedAt": "2026-01-01T00:01:00Z"}},
        }]},
    });
    let found = found(&[pod]);
    assert_eq!(
        lines(&found),
        [
            "text metadata.annotations[proxy.example.org/config] HOST/proxy:1",
            "text spec.containers[0].args[0] HOST/side:1",
            "text spec.containers[0].env[0].value HOST/tool:1",
            "pod spec.containers[0].image HOST/app:1",
            "pod spec.ephemeralContainers[0].image HOST/debug:1",
            "pod spec.initContainers[0].image HOST/init:1",
            "pod spec.volumes[0].image.reference HOST/model:1",
            "status status.containerStatuses[0].image app:1",
            &format!("status status.containerStatuses[0].imageID docker-pullable://HOST/app@{digest}"),
        ]
    );
    let running = found.references.iter().find(|reference| reference.path.ends_with("imageID")).unwrap();
    assert_eq!(running.spec.as_deref(), Some(image("app:1").as_str()));
    assert_eq!(running.started_at.unwrap().to_string(), "2026-01-01T00:01:00Z");
}

#[test]
fn a_pod_is_the_same_from_protobuf() {
    use prost::Message as _;

    let pod = json!({"metadata": meta("web"), "spec": {"containers": [{"name": "a", "image": "a:1"}],
        "ephemeralContainers": [{"name": "b", "image": "b:1"}], "volumes": [{"name": "v", "image": {"reference": "v:1"}}]}});
    let pod: ImagePod = serde_json::from_value(pod).unwrap();
    let again = ImagePod::decode(pod.encode_to_vec().as_slice()).unwrap();
    assert_eq!(again, pod);
    assert_eq!(again.spec.unwrap().containers().count(), 2);
}

#[test]
fn workloads_are_templates_and_old_revisions_are_revisions() {
    let template = |name: &str| json!({"template": {"spec": pod_spec(name)}});
    let mut old = template("web:1");
    old["replicas"] = 0.into();
    let mut old_meta = owned("web-1", "Deployment", "web");
    old_meta["annotations"] = json!({"deployment.kubernetes.io/revision": "7"});
    let mut running = template("web:2");
    running["replicas"] = 2.into();
    let objects = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web"), "spec": template("web:3")}),
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": old_meta, "spec": old}),
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": owned("web-2", "Deployment", "web"), "spec": running}),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta("db"), "spec": template("db:3"),
            "status": {"currentRevision": "db-2", "updateRevision": "db-3"}}),
        json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": owned("db-1", "StatefulSet", "db"),
            "revision": 1, "data": {"spec": template("db:1")}}),
        json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": owned("db-2", "StatefulSet", "db"),
            "revision": 2, "data": {"spec": template("db:2")}}),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta("report"),
            "spec": {"suspend": true, "jobTemplate": {"spec": template("report:1")}}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("done"), "spec": template("done:1"),
            "status": {"conditions": [{"type": "Complete", "status": "True"}]}}),
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("waits"), "spec": template("waits:1")}),
        json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": meta("pt"), "template": {"spec": pod_spec("pt:1")}}),
    ];
    let found = found(&objects);
    let short: Vec<String> = lines(&found)
        .iter()
        .map(|line| line.replace("spec.containers[0].image HOST/", "").replace("template.", ""))
        .collect();
    assert_eq!(
        short,
        [
            "revision data.spec.db:1",
            "template data.spec.db:2",
            "template spec.jobTemplate.spec.report:1",
            "template spec.web:3",
            "finished spec.done:1",
            "template spec.waits:1",
            "template pt:1",
            "revision spec.web:1",
            "template spec.web:2",
            "template spec.db:3",
        ]
    );
    let old = found.references.iter().find(|reference| reference.image == image("web:1")).unwrap();
    assert_eq!((old.owner.as_deref(), old.revision), (Some("Deployment/web"), Some(7)));
}

#[test]
fn pods_of_one_owner_are_one_reference_under_its_workload() {
    let pod = |name: &str, started: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": owned(name, "ReplicaSet", "web-1"), "spec": pod_spec("web:1"),
            "status": {"phase": "Running", "containerStatuses": [{"name": "app", "imageID": image(&format!("web@sha256:{}", "0f".repeat(32))),
                "state": {"running": {"startedAt": started}}}]}})
    };
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": owned("web-1", "Deployment", "web"),
        "spec": {"replicas": 2, "template": {"spec": pod_spec("web:1")}}});
    let found = found(&[pod("a", "2026-01-02T00:00:00Z"), pod("b", "2026-01-01T00:00:00Z"), set]);
    let pods: Vec<_> = found.references.iter().filter(|reference| reference.pods.is_some()).collect();
    let told: Vec<_> =
        pods.iter().map(|reference| (reference.kind.as_str(), reference.name.as_str(), reference.pods)).collect();
    assert_eq!(told, [("Deployment", "web", Some(2)); 2]);
    assert_eq!(pods[1].started_at.unwrap().to_string(), "2026-01-01T00:00:00Z");
}

#[test]
fn a_finished_jobs_pod_and_its_texts_are_finished() {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": owned("j-1", "Job", "j"), "spec": pod_spec("jj:1"),
        "status": {"phase": "Succeeded"}});
    pod["spec"]["containers"][0]["args"] = json!([image("tool:1")]);
    let applied = json!({"spec": {"template": {"spec": pod_spec("jj:1")}}}).to_string();
    let job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"namespace": "team", "name": "j", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}},
        "status": {"conditions": [{"type": "Failed", "status": "True"}]}});
    let found = found(&[pod, job]);
    assert!(found.references.iter().all(|reference| reference.r#use == Use::Finished), "{:?}", lines(&found));
    assert_eq!(found.references.len(), 3);
}

#[test]
fn custom_resources_are_read_by_their_shape() {
    let custom = json!({
        "apiVersion": "example.org/v1", "kind": "Anything", "metadata": meta("x"),
        "spec": {
            "stages": [{"image": image("stage:1")}, {"jobTemplate": {"proxy_image": "nginx:1"}}],
            "driverImage": image("driver:1"),
            "image": {"registry": HOST, "repository": "team/joined", "tag": 1.5},
            "sidecar": {"image": {"repository": image("untagged")}},
            "package": "provider-x", "catalog": image("catalog:1"),
            "deep": {"podSpec": {"containers": [{"name": "c", "image": image("cc:1"), "lifecycle": {"exec": image("hook:1")}}]}},
            "script": format!("docker run {} now", image("script:1")),
            "value": image("param:$(TAG)"), "imageName": image("bad:"), "empty": {"image": ""},
        },
        "status": {"summary": {"images": [image("summary:1")]}},
    });
    let found = found(&[custom]);
    assert_eq!(
        lines(&found),
        [
            "custom spec.catalog HOST/catalog:1",
            "custom spec.deep.podSpec.containers[0].image HOST/cc:1",
            "text spec.deep.podSpec.containers[0].lifecycle.exec HOST/hook:1",
            "custom spec.driverImage HOST/driver:1",
            "custom spec.image HOST/team/joined:1.5",
            "text spec.script HOST/script:1",
            "custom spec.sidecar.image HOST/untagged",
            "custom spec.stages[0].image HOST/stage:1",
            "custom spec.stages[1].jobTemplate.proxy_image nginx:1",
            "text status.summary.images[0] HOST/summary:1",
        ]
    );
    let suspicious: Vec<_> = found.suspicious.iter().map(|s| (s.path.as_str(), s.reason, s.spec_place)).collect();
    assert_eq!(
        suspicious,
        [
            ("spec.imageName", Suspicion::NoTag, false),
            ("spec.imageName", Suspicion::Unparsed, false),
            ("spec.sidecar.image", Suspicion::NoTag, false),
            ("spec.value", Suspicion::Templated, false),
        ]
    );
}

#[test]
fn a_tag_beside_an_image_without_one_leaves_the_repository_in_doubt() {
    let custom = json!({"apiVersion": "example.org/v1", "kind": "Anything", "metadata": meta("x"), "spec": {
        "prometheus": {"image": image("prom"), "version": "v3"}, "plain": {"image": image("plain")},
        "tagged": {"postgresImageName": image("pg:17"), "version": "17"},
        "image": {"repository": image("joined"), "tag": "1", "tool": {"image": image("inner:1")}, "name": image("other:1")},
    }});
    let found = found(&[custom]);
    assert_eq!(
        lines(&found),
        [
            "custom spec.image HOST/joined:1",
            "text spec.image.name HOST/other:1",
            "custom spec.image.tool.image HOST/inner:1",
            "custom spec.plain.image HOST/plain",
            "custom spec.prometheus.image HOST/prom",
            "custom spec.tagged.postgresImageName HOST/pg:17",
        ]
    );
    let suspicious: Vec<_> = found.suspicious.iter().map(|s| (s.path.as_str(), s.reason)).collect();
    assert_eq!(suspicious, [("spec.prometheus.image", Suspicion::NoTag)]);
}

#[test]
fn a_list_of_images_in_one_field_names_each_of_them() {
    let custom = json!({"apiVersion": "example.org/v1", "kind": "Anything", "metadata": meta("x"),
        "spec": {"image": format!("{},{}", image("aa:1"), image("bb:2"))}});
    let found = found(&[custom]);
    assert_eq!(lines(&found), ["custom spec.image HOST/aa:1", "custom spec.image HOST/bb:2"]);
    assert_eq!(found.suspicious[0].reason, Suspicion::Unparsed, "and the whole is no reference");
}

#[test]
fn a_host_that_only_looks_like_ecr_is_reported_in_a_text_too() {
    let text = "docker pull vpce-0a1b.dkr.ecr.us-east-1.vpce.amazonaws.com/web:1";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("m"), "data": {"run.sh": text}});
    let found = found(&[map]);
    assert_eq!(lines(&found), Vec::<String>::new());
    assert_eq!((found.suspicious[0].reason, found.suspicious[0].spec_place), (Suspicion::Unparsed, false));
}

#[test]
fn the_start_of_a_pod_says_nothing_of_a_container_that_began_anew() {
    let digest = image(&format!("web@sha256:{}", "0f".repeat(32)));
    let started = |restarts: u64| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("web"), "spec": pod_spec("web:1"),
            "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "containerStatuses": [
                {"name": "app", "imageID": digest, "restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        let found = found(&[pod]);
        found.references.iter().find(|reference| reference.r#use == Use::Status).unwrap().started_at
    };
    assert_eq!(started(0).map(|at| at.to_string()).as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(started(1), None);
}

#[test]
fn a_config_map_is_text_and_its_keys_mean_nothing() {
    let text =
        format!("registry: {HOST}\nimage: {}\nbase: {}\n# see {}.\n", image("aa:1"), image("bb-${X}"), image("cc:2"));
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("m"), "data": {"image": "not an image", "values": text}});
    let found = found(&[map]);
    assert_eq!(
        lines(&found),
        ["text data.values HOST/aa:1", "text data.values HOST/cc:2", "text data.values HOST/cc:2."]
    );
    assert_eq!(found.coverage.registry_addresses, 1);
    assert_eq!(found.suspicious[0].text, image("bb-${X}"));
}

#[test]
fn an_image_field_of_a_built_in_kind_that_is_no_reference_is_reported_as_such() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("web"),
        "spec": {"containers": [{"name": "app", "image": format!("{HOST}/Web:1")}]}});
    let found = found(&[pod]);
    assert_eq!(lines(&found), Vec::<String>::new());
    assert_eq!((found.suspicious[0].reason, found.suspicious[0].spec_place), (Suspicion::Unparsed, true));
}

fn release(revision: i64, status: &str, tag: &str) -> Value {
    use base64::Engine as _;
    let manifest = format!(
        "---\n# Source: web\n{}",
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": pod_spec(&format!("web:{tag}"))}}})
    );
    let hook = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"},
        "spec": {"template": {"spec": pod_spec(&format!("migrate:{tag}"))}}})
    .to_string();
    let stored = json!({"name": "web", "version": revision, "info": {"status": status}, "manifest": manifest, "hooks": [{"manifest": hook}]});
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(stored.to_string().as_bytes()).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let helms = base64.encode(gzip.finish().unwrap());
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "team", "name": format!("sh.helm.release.v1.web.v{revision}"),
        "labels": {"owner": "helm"}}, "data": {"release": base64.encode(helms)}})
}

#[test]
fn helm_history_is_revisions_and_the_newest_deployed_one_is_in_use() {
    let mut damaged = release(3, "failed", "4");
    damaged["data"]["release"] = "bm90IGEgcmVsZWFzZQ==".into();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("token"), "data": {"x": "MTExMTIyMjIzMzMzLmRrci5lY3IudXMtZWFzdC0xLmFtYXpvbmF3cy5jb20veHg6MQ=="}});
    let objects = [release(1, "superseded", "1"), release(2, "deployed", "2"), damaged, secret];
    let found = found(&objects);
    assert_eq!(
        lines(&found),
        [
            "revision hooks[0][Job/migrate].spec.template.spec.containers[0].image HOST/migrate:1",
            "template hooks[0][Job/migrate].spec.template.spec.containers[0].image HOST/migrate:2",
            "revision manifest[Deployment/web].spec.template.spec.containers[0].image HOST/web:1",
            "template manifest[Deployment/web].spec.template.spec.containers[0].image HOST/web:2",
        ]
    );
    assert_eq!(found.coverage.too_deep, ["Secret team/sh.helm.release.v1.web.v3"], "what cannot be decoded is named");
    let all = found_with(&Scan { secrets: Secrets::All, ..Scan::default() }, &objects);
    assert_eq!(lines(&all).last().unwrap(), "text data[x] HOST/xx:1");
}

#[test]
fn annotations_pin_images_objects_and_namespaces() {
    let keep = |kind: &str, name: &str, namespace: Value| {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace, "annotations": {KEEP: "true"}},
            "spec": {"containers": [{"name": "a", "image": image("kept:1")}]}})
    };
    let listed = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "annotations": {KEEP_IMAGES: "app:v3 app:v4"}}});
    let pinned = |objects: &[Value]| -> Vec<(String, String)> {
        found(objects).pinned.into_iter().map(|pin| (pin.source, pin.image.replace(HOST, "HOST"))).collect()
    };
    let of = |source: &str, image: &str| (source.to_owned(), image.to_owned());
    let source = "Namespace/team kubeguard.dev/keep-images";
    assert_eq!(pinned(&[listed]), [of(source, "app:v3"), of(source, "app:v4")]);
    assert_eq!(pinned(&[keep("Pod", "web", "team".into())]), [of("Pod/web kubeguard.dev/keep", "HOST/kept:1")]);
    let mut owned_pod = keep("Pod", "web-x", "team".into());
    owned_pod["metadata"]["ownerReferences"] = json!([{"kind": "ReplicaSet", "name": "web", "controller": true}]);
    assert_eq!(pinned(&[owned_pod]), [of("ReplicaSet/web kubeguard.dev/keep", "HOST/kept:1")], "as the template says");
    let in_namespace = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("p"), "spec": pod_spec("pp:1")});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "annotations": {KEEP: "true"}}});
    assert_eq!(pinned(&[in_namespace, namespace]), [of("Namespace/team kubeguard.dev/keep", "HOST/pp:1")]);
}

#[test]
fn a_pod_that_runs_another_repository_than_its_template_is_rewritten() {
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": owned("proxy-1", "Deployment", "proxy"),
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "nginx", "image": "nginx:1.25"}, {"name": "b", "image": "b:1"}]}}}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": owned("proxy-1-x", "ReplicaSet", "proxy-1"),
        "spec": {"containers": [{"name": "nginx", "image": image("hub/nginx:1.25")}, {"name": "b", "image": "docker.io/library/b:1"},
            {"name": "injected", "image": "sidecar:1"}]}});
    let found = found(&[pod, set]);
    let told: Vec<_> =
        found.rewritten.iter().map(|r| (r.from.as_str(), r.to.as_str(), r.kind.as_str(), r.name.as_str())).collect();
    assert_eq!(told, [("nginx:1.25", image("hub/nginx:1.25").as_str(), "Deployment", "proxy")]);
}

#[test]
fn a_revision_of_a_daemon_set_is_found_by_the_end_of_its_name() {
    let revision = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": owned("agent-5f", "DaemonSet", "agent"),
        "data": {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a:1"}]}}}}});
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": owned("agent-x", "DaemonSet", "agent"), "spec": {"containers": [{"name": "a", "image": image("aa:1")}]}});
    pod["metadata"]["labels"] = json!({"controller-revision-hash": "5f"});
    assert_eq!(found(&[revision, pod]).rewritten[0].name, "agent");
}

#[test]
fn what_is_nested_too_deep_is_named() {
    let mut value = json!({"image": image("deep:1")});
    for _ in 0..70 {
        value = json!({"x": value});
    }
    let object = json!({"apiVersion": "example.org/v1", "kind": "Deep", "metadata": meta("d"), "spec": value});
    assert_eq!(found(&[object]).coverage.too_deep, ["Deep team/d"]);
}

fn json_values() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,8}".prop_map(Value::from),
        "[a-z]{2,6}(:[a-z0-9${}. ]{0,5})?".prop_map(|text| image(&text).into()),
    ];
    let key = prop_oneof![
        "[a-z]{1,5}",
        prop::sample::select(&["image", "containers", "kind", "metadata", "spec", "status", "name"])
            .prop_map(ToOwned::to_owned)
    ];
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn any_object_can_be_read_and_no_mention_of_a_repository_is_lost(spec in json_values(), group in "(example.org/|apps/)?v1", kind in "(Deployment|Pod|Job|ConfigMap|Thing)") {
        let object = json!({"apiVersion": group, "kind": kind, "metadata": meta("any"), "spec": spec});
        let mentions = spec.to_string().matches(HOST).count();
        let first = found(std::slice::from_ref(&object));
        let kept = first.references.len() + first.suspicious.len() + usize::try_from(first.coverage.registry_addresses).unwrap();
        // A pod is read slim: its own fields alone.
        proptest::prop_assert!(mentions == 0 || kept > 0 || kind == "Pod", "{object}");
        proptest::prop_assert_eq!(first, found(&[object]));
    }
}

fn node(name: &str, architecture: &str, taints: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/arch": architecture}},
        "spec": {"taints": taints}, "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": architecture}}})
}

/// Returns the platforms of every reference, by name of its object.
fn platforms(found: &Found) -> Vec<(&str, Vec<&str>)> {
    let rows = found.references.iter();
    rows.map(|row| (row.name.as_str(), row.platforms.iter().map(String::as_str).collect())).collect()
}

#[test]
fn a_reference_of_a_pod_spec_has_the_platforms_of_the_nodes_that_fit() {
    let gpu = json!([{"key": "gpu", "effect": "NoSchedule"}]);
    let cordoned = json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
    let placed = |kind: &str, group: &str, name: &str, more: Value| {
        let mut spec = pod_spec("app:1");
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": meta(name), "spec": {"template": {"spec": spec}}})
    };
    let arm = json!({"nodeSelector": {"kubernetes.io/arch": "arm64"}});
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": owned("p", "Deployment", "placed"), "spec": pod_spec("app:1")});
    pod["spec"]["nodeName"] = "n2".into();
    let mut other = pod.clone();
    other["metadata"]["name"] = "q".into();
    other["spec"]["nodeName"] = "n3".into();
    let objects = [
        placed("Deployment", "apps", "anywhere", json!({})),
        placed("Deployment", "apps", "arm", arm.clone()),
        placed("Deployment", "apps", "gpu", json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]})),
        placed("Deployment", "apps", "nowhere", json!({"nodeSelector": {"kubernetes.io/arch": "riscv64"}})),
        placed("DaemonSet", "apps", "each", json!({})),
        placed("Rollout", "argoproj.io", "unheard", arm),
        pod,
        other,
        node("n1", "amd64", &json!([])),
        node("n2", "arm64", &json!([])),
        node("n3", "s390x", &gpu),
        node("n4", "ppc64le", &cordoned),
    ];
    let found = found(&objects);
    assert_eq!(
        platforms(&found),
        [
            ("each", vec!["linux/amd64", "linux/arm64", "linux/ppc64le"]),
            ("anywhere", vec!["linux/amd64", "linux/arm64"]),
            ("arm", vec!["linux/arm64"]),
            ("gpu", vec!["linux/amd64", "linux/arm64", "linux/s390x"]),
            ("nowhere", vec![]),
            ("placed", vec!["linux/arm64", "linux/s390x"]),
            ("unheard", vec!["linux/arm64"]),
        ]
    );
    let counted: Vec<_> = found.platforms.iter().map(|platform| (platform.platform.as_str(), platform.nodes)).collect();
    assert_eq!(counted, [("linux/amd64", 1), ("linux/arm64", 1), ("linux/ppc64le", 1), ("linux/s390x", 1)]);
}

#[test]
fn without_nodes_no_platform_is_known_and_texts_run_nowhere() {
    let env = json!({"containers": [{"name": "a", "image": image("app:1"), "env": [{"name": "TOOL", "value": image("tool:1")}]}]});
    let workload = |spec: &Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web"), "spec": {"template": {"spec": spec}}});
    assert_eq!(platforms(&found(&[workload(&env)])), [("web", vec![]), ("web", vec![])]);
    let with_node = found(&[workload(&env), node("n1", "amd64", &json!([]))]);
    assert_eq!(platforms(&with_node), [("web", vec![]), ("web", vec!["linux/amd64"])]);
    let texts: Vec<_> = with_node.references.iter().map(|reference| reference.r#use).collect();
    assert_eq!(texts, [Use::Text, Use::Template]);
}
