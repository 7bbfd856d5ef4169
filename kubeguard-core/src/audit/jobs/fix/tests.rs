#![expect(clippy::needless_pass_by_value, reason = "json! makes values where they are used")]

use serde_json::{Value, json};

use super::*;
use crate::audit::facts::{Builder, Gap, Origin};
use crate::audit::{audit, rules};
use crate::pods::SidecarTable;

const NOW: &str = "2026-11-22T10:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A job whose work is over while istio's proxy, which a webhook added, holds its pod.
#[derive(Clone)]
struct World {
    job: Value,
    pod: Value,
    more: Vec<Value>,
    gaps: Vec<Gap>,
    policy: Policy,
}

fn world() -> World {
    let spec = json!({"restartPolicy": "Never", "nodeName": "n1", "containers": [{"name": "load", "image": "load:1"}]});
    let mut of_pod = spec.clone();
    of_pod["containers"].as_array_mut().unwrap().push(json!({"name": "istio-proxy", "image": "istio/proxyv2:1.26"}));
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "load", "uid": "j-1", "controller": true}]);
    World {
        job: json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "load", "namespace": "etl", "uid": "j-1", "creationTimestamp": "2026-11-22T08:00:00Z"},
            "spec": {"template": {"spec": spec}}, "status": {"active": 1, "startTime": "2026-11-22T08:00:00Z"},
        }),
        pod: json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "load-x", "namespace": "etl", "uid": "p-1", "ownerReferences": owner},
            "spec": of_pod,
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "load", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-11-22T09:00:00Z"}}},
                {"name": "istio-proxy", "state": {"running": {"startedAt": "2026-11-22T08:00:00Z"}}},
            ]},
        }),
        more: vec![json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.34.0"}}})],
        gaps: Vec::new(),
        policy: Policy::default(),
    }
}

impl World {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Replaces the sidecar's container.
    fn sidecar(self, container: Value) -> Self {
        self.with(|world| {
            world.pod["status"]["containerStatuses"][1]["name"] = container["name"].clone();
            world.pod["spec"]["containers"][1] = container;
        })
    }

    fn facts(&self) -> Facts {
        let mut builder = Builder::new(Origin::Live);
        for object in [&self.job, &self.pod].into_iter().chain(&self.more).filter(|object| !object.is_null()) {
            builder.add(object.clone());
        }
        self.gaps.iter().for_each(|gap| builder.gap(gap.clone()));
        builder.finish()
    }

    fn plan(&self, fix: Fix, most: usize) -> Plan {
        let chosen: Vec<&Rule> = rules().iter().filter(|rule| fix.is_about(rule.id)).collect();
        let facts = self.facts();
        let report = audit(&facts, &chosen, &self.policy, now());
        plan(&facts, &chosen, &self.policy, &report, (fix, most), now())
    }

    /// Returns the only act, or why it is refused.
    fn quit(&self) -> Result<Act, String> {
        let plan = self.plan(Fix::Quit, 10);
        assert_eq!(plan.acts.len(), 1, "{plan:?}");
        let act = plan.acts.into_iter().next().unwrap();
        act.refused.clone().map_or(Ok(act), Err)
    }

    fn delete(&self) -> Result<Act, String> {
        let plan = self.plan(Fix::Delete, 10);
        assert_eq!(plan.acts.len(), 1, "{plan:?}");
        let act = plan.acts.into_iter().next().unwrap();
        act.refused.clone().map_or(Ok(act), Err)
    }
}

#[test]
fn a_known_proxy_that_holds_finished_work_is_asked_to_quit() {
    let act = world().quit().unwrap();
    let call = Call::InPod { method: "POST".to_owned(), port: 15020, path: "/quitquitquit".to_owned() };
    assert_eq!(act.call, Some(call));
    assert_eq!(act.rules, ["ZJ101"]);
    assert_eq!(act.predicted[0].job, super::super::Ends::Complete);
    assert_eq!(act.object.to_string(), "job.batch/load");
    assert!(act.notes.is_empty(), "{:?}", act.notes);
}

#[test]
fn a_failure_that_a_proxy_hides_is_let_out_and_the_retry_is_told_before() {
    let act = world()
        .with(|world| world.pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 137.into())
        .quit()
        .unwrap();
    assert_eq!(act.rules, ["ZJ102"]);
    assert_eq!(act.predicted[0].runs_again, Some(true));
    assert_eq!(
        act.predicted[0].steps,
        ["istio-proxy ends with 0", "pod Failed", "attempt 2 of 7: the main runs again"]
    );
}

#[test]
fn what_is_not_sure_or_not_possible_is_refused_with_its_reason() {
    let container = |name: &str, image: &str| json!({"name": name, "image": image});
    let told = |world: World, words: &str| {
        let why = world.quit().unwrap_err();
        assert!(why.contains(words), "{why:?} does not say {words:?}");
    };
    // Not known, switched off, unconfirmed, of unknown exit code.
    told(world().sidecar(container("agent", "agent:1")), "no endpoint is known");
    told(world().sidecar(container("linkerd-proxy", "linkerd/proxy:1")), "which is off");
    told(world().sidecar(container("cloud-sql-proxy", "cloud-sql-connectors/cloud-sql-proxy:2")), "--quitquitquit");
    told(world().sidecar(container("envoy", "public.ecr.aws/appmesh/aws-appmesh-envoy:v1")), "not confirmed");
    told(world().sidecar(container("daprd", "daprio/daprd:1")), "with which code daprd ends");
    // Its liveness probe would start it again.
    let mut probed = container("istio-proxy", "istio/proxyv2:1");
    probed["livenessProbe"] = json!({"tcpSocket": {"port": 15020}});
    let again = world().sidecar(probed).with(|world| {
        world.pod["spec"]["restartPolicy"] = "OnFailure".into();
        world.job["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure".into();
    });
    told(again, "liveness probe");
    // A node without port-forward, and a pod that shares its node's ports.
    told(world().with(|world| world.more[0]["metadata"]["labels"] = json!({"type": "virtual-kubelet"})), "virtual");
    told(world().with(|world| world.pod["spec"]["hostNetwork"] = true.into()), "its node's network");
    // Its job cannot be read: what follows is not known.
    told(world().with(|world| world.job = Value::Null).with(hidden_but_marked), "could not be read");
}

/// Without its job the injection cannot be seen; an injector's own mark is as good.
fn hidden_but_marked(world: &mut World) {
    let status = json!({"sidecar.istio.io/status": "{\"containers\": [\"istio-proxy\"]}"});
    world.pod["metadata"]["annotations"] = status;
}

#[test]
fn a_guess_is_never_acted_on() {
    // Both are in the template, and nothing but time tells them apart.
    let guess = world().sidecar(json!({"name": "second", "image": "second:1"})).with(|world| {
        world.job["spec"]["template"]["spec"]["containers"] = world.pod["spec"]["containers"].clone();
        world.pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] =
            "2026-11-22T06:00:00Z".into();
    });
    assert!(guess.quit().unwrap_err().contains("only a guess"));
    assert!(guess.delete().unwrap_err().contains("only a guess"));
}

#[test]
fn an_unreadable_node_is_told_and_does_not_refuse() {
    let act = world().with(|world| {
        world.more.clear();
        world.gaps.push(Gap { fact: Fact::Node, namespace: None, reason: "cannot list nodes: Forbidden".to_owned() });
    });
    let act = act.quit().unwrap();
    assert!(act.notes[0].contains("nodes could not be read"), "{:?}", act.notes);
}

/// A second proxy beside the first.
fn second(world: &mut World, container: Value, running: Value) {
    let name = container["name"].clone();
    world.pod["spec"]["containers"].as_array_mut().unwrap().push(container);
    let status = json!({"name": name, "state": {"running": running}});
    world.pod["status"]["containerStatuses"].as_array_mut().unwrap().push(status);
}

#[test]
fn sidecars_of_one_pod_are_asked_all_or_none() {
    let sql = json!({"name": "cloud-sql-proxy", "image": "x/cloud-sql-connectors/cloud-sql-proxy:2", "args": ["--quitquitquit"]});
    let both = world().with(|world| second(world, sql.clone(), json!({})));
    let plan = both.plan(Fix::Quit, 10);
    assert_eq!(plan.due().count(), 2);
    // The first leaves the pod held, the last ends it.
    let jobs: Vec<&str> = plan.acts.iter().map(|act| act.predicted[0].job.as_str()).collect();
    assert_eq!(jobs, ["progressing", "complete"]);
    let stays = world().with(|world| second(world, json!({"name": "agent", "image": "agent:1"}), json!({})));
    let plan = stays.plan(Fix::Quit, 10);
    assert_eq!(plan.due().count(), 0);
    assert!(plan.acts[0].refused.as_ref().unwrap().contains("sidecar agent holds the pod too"), "{plan:?}");
    // One act alone is allowed: a pod's sidecars are not divided.
    let plan = both.plan(Fix::Quit, 1);
    assert!(plan.acts.iter().all(|act| act.refused.as_ref().unwrap().contains("beyond --max 1")), "{plan:?}");
}

#[test]
fn work_that_succeeded_is_never_run_again() {
    let ends_badly = "- {id: istio, names: [istio-proxy], images: [istio/proxyv2], class: data-path,
        quit: [{method: POST, port: 15020, path: /quit}], exit: {quit: 3}}";
    let refused = world().with(|world| world.policy.sidecars = SidecarTable::with("own.yaml", ends_badly).unwrap());
    assert!(refused.quit().unwrap_err().contains("ends with 3"));
    // A failed main whose pod something else than a job made: what follows is not known.
    let workflow = world().with(|world| {
        world.job = Value::Null;
        hidden_but_marked(world);
        world.pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "run", "uid": "t-1", "controller": true}]);
    });
    assert!(workflow.quit().is_ok(), "a pod that succeeds is the same for everybody");
    let failed = workflow
        .with(|world| world.pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 1.into());
    assert!(failed.quit().unwrap_err().contains("TaskRun run does with a pod that failed"));
    // An index may or may not try again.
    let indexed = world().with(|world| {
        world.pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 1.into();
        world.job["spec"]["backoffLimitPerIndex"] = 1.into();
        world.job["spec"]["completionMode"] = "Indexed".into();
        world.job["spec"]["completions"] = 1.into();
    });
    assert!(indexed.quit().unwrap_err().contains("is not known"));
}

#[test]
fn no_more_than_max_is_done_and_what_is_accepted_is_left_alone() {
    let plan = world().plan(Fix::Quit, 0);
    assert_eq!(plan.acts[0].refused.as_deref(), Some("it is beyond --max 0"));
    let accepted = json!({"kubeguard.dev/ignore": "ZJ101 because=known"});
    let of_job = world().with(|world| world.job["metadata"]["annotations"] = accepted.clone());
    assert!(of_job.plan(Fix::Quit, 10).acts.is_empty());
    let of_pod = world().with(|world| world.pod["metadata"]["annotations"] = accepted.clone());
    assert!(of_pod.plan(Fix::Quit, 10).acts.is_empty());
}

#[test]
fn what_cannot_be_read_is_told_and_leads_to_nothing() {
    let unread = world().with(|world| {
        world.pod = Value::Null;
        world.gaps.push(Gap { fact: Fact::Pod, namespace: None, reason: "cannot list pods: Forbidden".to_owned() });
    });
    let plan = unread.plan(Fix::Quit, 10);
    assert!(plan.acts.is_empty() && !plan.complete && !plan.skipped.is_empty());
    assert!(FixReport::of_plan(&plan, None).exit_code() > 0);
}

#[test]
fn an_act_is_given_up_when_anything_has_changed() {
    let planned = world().quit().unwrap();
    let told = |world: World, words: &str| {
        let why = still(&planned, &world.facts(), &world.policy, now()).unwrap_err();
        assert!(why.contains(words), "{why:?} does not say {words:?}");
    };
    assert_eq!(still(&planned, &world().facts(), &Policy::default(), now()), Ok(()));
    told(world().with(|world| world.pod = Value::Null), "pod load-x is gone");
    told(world().with(|world| world.pod["metadata"]["uid"] = "p-2".into()), "another one now");
    told(world().with(|world| world.pod["metadata"]["deletionTimestamp"] = NOW.into()), "being deleted");
    let state = |index: usize, state: Value| {
        move |world: &mut World| world.pod["status"]["containerStatuses"][index]["state"] = state
    };
    let ended = json!({"terminated": {"exitCode": 0, "finishedAt": NOW}});
    told(world().with(state(1, ended)), "does not run any more");
    told(world().with(state(0, json!({"running": {}}))), "does not hold work that is over");
    told(world().with(state(1, json!({"running": {"startedAt": "2026-11-22T09:59:00Z"}}))), "started again since");
    told(world().with(|world| world.pod["status"]["phase"] = "Succeeded".into()), "istio-proxy");
    told(world().with(|world| world.job = Value::Null).with(hidden_but_marked), "could not be read, or is gone");
    // The main failed since: the same request would lead to something else.
    let failed = json!({"terminated": {"exitCode": 1, "finishedAt": "2026-11-22T09:00:00Z"}});
    told(world().with(state(0, failed)), "does not hold work that is over");
}

#[test]
fn a_job_that_hangs_is_deleted_unless_something_else_owns_it() {
    let act = world().delete().unwrap();
    assert_eq!((act.call.clone(), act.predicted[0].job), (Some(Call::DeleteJob), super::super::Ends::Missing));
    let owned = |kind: &str, api: &str| {
        let owner = json!([{"apiVersion": api, "kind": kind, "name": "o", "uid": "o-1", "controller": true}]);
        world().with(|world| world.job["metadata"]["ownerReferences"] = owner)
    };
    let of_cron = owned("CronJob", "batch/v1").delete().unwrap();
    assert!(of_cron.notes[0].contains("CronJob o could not be read"), "{:?}", of_cron.notes);
    for (kind, api) in
        [("Workflow", "argoproj.io/v1alpha1"), ("JobSet", "jobset.x-k8s.io/v1alpha2"), ("RayJob", "ray.io/v1")]
    {
        assert!(owned(kind, api).delete().unwrap_err().contains(&format!("{kind} o made it")));
    }
    let marked = |field: &str, name: &str, value: &str| {
        world().with(|world| world.job["metadata"][field] = json!({name: value})).delete().unwrap_err()
    };
    assert!(marked("annotations", "helm.sh/hook", "pre-upgrade").contains("hook"));
    assert!(marked("annotations", "argocd.argoproj.io/hook", "Sync").contains("hook"));
    assert!(marked("annotations", "argocd.argoproj.io/tracking-id", "app:batch/Job:etl/load").contains("Argo CD"));
    assert!(marked("labels", "kustomize.toolkit.fluxcd.io/name", "apps").contains("Flux"));
    let leaving = world().with(|world| {
        world.job["metadata"]["deletionTimestamp"] = "2026-11-22T09:00:00Z".into();
        world.job["metadata"]["finalizers"] = json!(["example.com/keep"]);
    });
    assert!(leaving.delete().unwrap_err().contains("being deleted already; its finalizers: example.com/keep"));
}

#[test]
fn a_job_of_which_anything_may_still_be_at_work_is_not_deleted() {
    // A second pod of the job whose main runs.
    let other = |status: Value| {
        world().with(|world| {
            let mut pod = world.pod.clone();
            pod["metadata"]["name"] = "load-y".into();
            pod["metadata"]["uid"] = "p-2".into();
            pod["status"] = status;
            world.more.push(pod);
        })
    };
    let runs = json!({"phase": "Running", "containerStatuses": [
        {"name": "load", "state": {"running": {}}}, {"name": "istio-proxy", "state": {"running": {}}}]});
    assert!(other(runs).delete().unwrap_err().contains("container load of pod load-y has not ended"));
    let between = json!({"phase": "Running", "containerStatuses": [
        {"name": "load", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}},
        {"name": "istio-proxy", "state": {"running": {}}}]});
    assert!(other(between).delete().unwrap_err().contains("has not ended"));
    let unknown = json!({"phase": "Running", "containerStatuses": []});
    assert!(other(unknown).delete().unwrap_err().contains("is not known"));
    assert!(other(json!({"phase": "Pending"})).delete().is_ok(), "what has not begun loses nothing");
    let unread = world().with(|world| {
        let reason = "cannot list pods: Forbidden".to_owned();
        world.gaps.push(Gap { fact: Fact::Pod, namespace: Some("etl".to_owned()), reason });
    });
    assert!(unread.delete().unwrap_err().contains("whether its work still runs is not known"));
}

#[test]
fn a_pod_without_a_job_is_never_deleted() {
    let bare = world().with(|world| {
        world.job = Value::Null;
        world.pod["metadata"].as_object_mut().unwrap().remove("ownerReferences");
        hidden_but_marked(world);
    });
    assert!(bare.delete().unwrap_err().contains("a pod is never deleted: its work would run again"));
    assert!(bare.quit().is_ok());
}

#[test]
fn a_deletion_is_given_up_when_the_job_has_changed() {
    let planned = world().delete().unwrap();
    let told = |world: World, words: &str| {
        let why = still(&planned, &world.facts(), &world.policy, now()).unwrap_err();
        assert!(why.contains(words), "{why:?} does not say {words:?}");
    };
    assert_eq!(still(&planned, &world().facts(), &Policy::default(), now()), Ok(()));
    told(world().with(|world| world.job["metadata"]["uid"] = "j-2".into()), "another one now");
    told(world().with(|world| world.job = Value::Null), "job load is gone");
    let finished = json!([{"type": "Complete", "status": "True"}]);
    told(world().with(|world| world.job["status"]["conditions"] = finished), "it has finished");
    told(world().with(|world| world.job["spec"]["suspend"] = true.into()), "suspended");
    let runs = json!({"running": {}});
    told(world().with(|world| world.pod["status"]["containerStatuses"][0]["state"] = runs), "nothing says");
}

#[test]
fn what_followed_is_compared_with_what_was_predicted() {
    let act = world().quit().unwrap();
    let ended = |code: i32, phase: &str| {
        let phase = phase.to_owned();
        world().with(move |world| {
            world.pod["status"]["phase"] = phase.into();
            world.pod["status"]["containerStatuses"][1]["state"] = json!({"terminated": {"exitCode": code}});
        })
    };
    let finish = |world: World, word: &str| {
        world.with(|world| world.job["status"]["conditions"] = json!([{"type": word, "status": "True"}]))
    };
    let told = |world: World| seen(&act, &world.facts());
    assert_eq!(told(world()), Seen::NotYet("istio-proxy still runs".to_owned()));
    assert!(matches!(told(ended(0, "Running")), Seen::NotYet(_)), "the phase comes a moment later");
    assert!(matches!(told(ended(0, "Succeeded")), Seen::NotYet(text) if text.contains("has not finished")));
    let done = "istio-proxy ended with 0, pod Succeeded, the job is complete";
    assert_eq!(told(finish(ended(0, "Succeeded"), "Complete")), Seen::AsPredicted(done.to_owned()));
    assert!(matches!(told(ended(1, "Failed")), Seen::Differs(text) if text.contains("ended with 1, pod Failed")));
    assert!(matches!(told(finish(ended(0, "Succeeded"), "Failed")), Seen::Differs(_)));
    let again = world().with(|world| world.pod["status"]["containerStatuses"][1]["restartCount"] = 1.into());
    assert!(matches!(told(again), Seen::Differs(text) if text.contains("started again")));
    // The pod, then the job too, may be gone before anybody looks.
    let gone = world().with(|world| world.pod = Value::Null);
    assert!(matches!(told(gone.clone()), Seen::NotYet(_)));
    assert!(matches!(told(finish(gone, "Complete")), Seen::AsPredicted(_)));
    assert!(matches!(told(ended(0, "Succeeded").with(|world| world.job = Value::Null)), Seen::AsPredicted(_)));
}

#[test]
fn a_report_is_one_json_object_without_nulls_and_its_worst_item_decides() {
    let plan = world().plan(Fix::Quit, 10);
    let report = FixReport::of_plan(&plan, Some(DryRun::Client));
    let json = report.as_json();
    assert_eq!(
        json["items"][0]["request"],
        json!({"method": "POST", "port": 15020, "path": "/quitquitquit", "by": "portforward"})
    );
    assert_eq!((json["items"][0]["result"].clone(), json["exitCode"].clone()), (json!("planned"), json!(0)));
    assert!(!json.to_string().contains("null"), "{json}");
    let code = |became: &[Became]| {
        let items = became.iter().map(|became| FixItem::new(&plan.acts[0], *became, None)).collect();
        FixReport::new(&plan, None, items).exit_code()
    };
    assert_eq!(code(&[Became::Done, Became::Failed, Became::Changed, Became::Refused]), 5);
    assert_eq!(code(&[Became::Done, Became::Failed, Became::Changed]), 4);
    assert_eq!(code(&[Became::Done, Became::NotTried]), 6);
    assert_eq!(code(&[Became::Done]), 0);
    let refused = world().plan(Fix::Quit, 0);
    assert_eq!(FixReport::of_plan(&refused, None).exit_code(), 5);
}

#[test]
fn a_cron_job_that_forbids_overlap_starts_what_it_missed_once_the_job_is_gone() {
    let owner =
        json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "hourly", "uid": "c-1", "controller": true}]);
    let next = |policy: &str, deadline: Value, last: &str| {
        let act = world()
            .with(|world| {
                world.job["metadata"]["ownerReferences"] = owner.clone();
                world.more.push(json!({"apiVersion": "batch/v1", "kind": "CronJob",
                    "metadata": {"name": "hourly", "namespace": "etl", "uid": "c-1"}, "status": {"lastScheduleTime": last},
                    "spec": {"schedule": "30 * * * *", "concurrencyPolicy": policy, "startingDeadlineSeconds": deadline}}));
            })
            .delete()
            .unwrap();
        act.predicted[0].steps[1].clone()
    };
    let (old, fresh) = ("2026-11-22T08:30:00Z", "2026-11-22T09:30:00Z");
    assert_eq!(next("Forbid", Value::Null, old), "CronJob hourly starts the run that it missed at once");
    assert_eq!(next("Forbid", Value::Null, fresh), "the next run starts at 2026-11-22T10:30:00Z");
    assert_eq!(next("Forbid", json!(600), old), "the next run starts at 2026-11-22T10:30:00Z", "it is too late for it");
    assert_eq!(next("Allow", Value::Null, old), "the next run starts at 2026-11-22T10:30:00Z");
}
