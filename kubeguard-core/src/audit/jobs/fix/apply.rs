//! A plan is carried out: everything is read anew before each act, and looked at after it.

mod reading;

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Act, Became, Call, DryRun, FixItem, FixReport, Plan, Seen, Target, seen, still};
use crate::access::{Cluster, Said};
use crate::audit::facts::Facts;
use crate::audit::jobs::Outcome;
use crate::audit::report::ObjectName;
use crate::audit::rule::Policy;
use crate::error::Failure;

/// Between two acts.
const PACE: Duration = Duration::from_secs(1);
/// A sidecar that is asked to quit has this long to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two looks at what follows: the first, and the longest.
const LOOKS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// What carrying out a plan takes.
#[derive(Clone, Copy)]
pub struct Applying<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What the plan was made from.
    pub facts: &'a Facts,
    /// What the rules are told.
    pub policy: &'a Policy,
    /// The server's clock.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Nothing is changed: everything is read again, and the server asked.
    pub rehearse: bool,
    /// How long what follows an act is watched.
    pub watch: Duration,
    /// Who writes events.
    pub tool: &'a str,
    /// Told before each act, and after it.
    pub progress: &'a dyn Fn(&Act, Option<&FixItem>),
}

/// Why an act was not done.
enum Halt {
    Changed(String),
    Failed(String),
}

/// What an act that was sent came to.
struct Sent {
    /// Nobody has said that it was heard.
    unanswered: Option<String>,
}

/// Carries a plan out, one act a second at most, in its order.
///
/// Each act is judged again on facts that are read anew right before it. After one that led to something else than was
/// predicted, nothing more is begun.
pub async fn apply(plan: &Plan, with: Applying<'_>) -> FixReport {
    let mut items: Vec<FixItem> = Vec::new();
    let mut stopped: Option<String> = None;
    let mut next = Instant::now();
    for act in &plan.acts {
        if let Some(why) = &act.refused {
            items.push(FixItem::new(act, Became::Refused, Some(why.clone())));
            continue;
        }
        if let Some(why) = &stopped {
            items.push(FixItem::new(act, Became::NotTried, Some(why.clone())));
            continue;
        }
        sleep_until(next).await;
        (with.progress)(act, None);
        let (item, differs) = with.carry_out(act).await;
        if !with.rehearse {
            next = Instant::now() + PACE;
        }
        (with.progress)(act, Some(&item));
        stopped = differs.then(|| "one before it led to something else than was predicted".to_owned());
        items.push(item);
    }
    FixReport::new(plan, with.rehearse.then_some(DryRun::Server), items)
}

impl Applying<'_> {
    /// Carries one act out; tells whether something else followed than was predicted.
    async fn carry_out(&self, act: &Act) -> (FixItem, bool) {
        let halted = |halt: Halt| match halt {
            Halt::Changed(why) => FixItem::new(act, Became::Changed, Some(why)),
            Halt::Failed(why) => FixItem::new(act, Became::Failed, Some(why)),
        };
        let version = match self.again(act).await {
            Ok(version) => version,
            Err(halt) => return (halted(halt), false),
        };
        let sent = match self.send(act, version.as_deref()).await {
            Ok(sent) => sent,
            Err(halt) => return (halted(halt), false),
        };
        let no_event = self.event(act).await.err();
        if self.rehearse {
            return (FixItem { no_event, ..FixItem::new(act, Became::Planned, None) }, false);
        }
        let differs = "it led to something else than was predicted";
        let (became, reason, followed) = match self.follow(act).await {
            Seen::AsPredicted(told) => (Became::Done, None, told),
            Seen::Differs(told) => (Became::Failed, Some(differs.to_owned()), told),
            Seen::NotYet(told) => {
                let late = format!("what was predicted was not seen within {:?}", self.watch);
                (Became::Failed, Some(sent.unanswered.map_or(late.clone(), |why| format!("{why}; {late}"))), told)
            }
        };
        // That nothing was seen in time says nothing about the prediction.
        let stop = reason.as_deref() == Some(differs);
        (FixItem { no_event, seen: Some(followed), ..FixItem::new(act, became, reason) }, stop)
    }

    /// Reads everything anew and judges again; returns the version of the job.
    async fn again(&self, act: &Act) -> Result<Option<String>, Halt> {
        let fresh = self.read(act).await.map_err(Halt::Failed)?;
        still(act, &fresh.facts, self.policy, (self.now)()).map_err(Halt::Changed)?;
        Ok(fresh.version)
    }

    async fn send(&self, act: &Act, version: Option<&str>) -> Result<Sent, Halt> {
        match (&act.call, &act.pod, &act.job) {
            (Some(Call::InPod { method, port, path }), Some(pod), _) => {
                if self.rehearse {
                    self.may_forward(&pod.name.namespace).await?;
                    return Ok(Sent { unanswered: None });
                }
                self.quit(pod, *port, (method, path)).await
            }
            (Some(Call::DeleteJob), _, Some(job)) => self.delete(job, version).await,
            _ => Err(Halt::Failed("nothing is known that could be sent".to_owned())),
        }
    }

    async fn quit(&self, pod: &Target, port: u16, request: (&str, &str)) -> Result<Sent, Halt> {
        let ObjectName { namespace, name, .. } = &pod.name;
        let limit = ANSWER.min(self.watch.max(Duration::from_millis(500)));
        match self.cluster.ask_in_pod((namespace, name), port, request, limit).await {
            Ok(Said::Status(200..=299)) => Ok(Sent { unanswered: None }),
            Ok(Said::Nothing(why)) => Ok(Sent { unanswered: Some(why) }),
            Ok(Said::Status(code)) => Err(Halt::Failed(refusal(code, port, request.1))),
            Ok(Said::Unreachable(why)) => Err(Halt::Failed(format!("nothing listens at port {port}: {why}"))),
            Err(Failure::Status { code: 404, .. }) => Err(Halt::Changed(format!("pod {name} is gone"))),
            Err(failure) if failure.is_refusal() => Err(Halt::Failed(format!(
                "ports of pods in namespace {namespace} may not be forwarded: {failure}; it takes the verbs get and create on \
                 pods/portforward"
            ))),
            Err(failure) => Err(Halt::Failed(format!("its port cannot be forwarded: {failure}"))),
        }
    }

    /// Asks the server whether a port may be forwarded. The verb is `get` for a WebSocket, and newer servers ask for
    /// `create` too.
    async fn may_forward(&self, namespace: &str) -> Result<(), Halt> {
        for verb in ["get", "create"] {
            let question = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {
                    "namespace": namespace, "verb": verb, "resource": "pods", "subresource": "portforward",
                }},
            });
            let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let answer = self.cluster.ask(path, &question).await;
            let answer = answer.map_err(|failure| {
                Halt::Failed(format!("whether ports of pods may be forwarded cannot be asked: {failure}"))
            })?;
            if answer.pointer("/status/allowed") != Some(&Value::Bool(true)) {
                let why =
                    format!("ports of pods in namespace {namespace} may not be forwarded: {verb} pods/portforward");
                return Err(Halt::Failed(why + " is not allowed"));
            }
        }
        Ok(())
    }

    async fn delete(&self, job: &Target, version: Option<&str>) -> Result<Sent, Halt> {
        let ObjectName { namespace, name, .. } = &job.name;
        let Some(version) = version else { return Err(Halt::Changed(format!("job {name} is gone"))) };
        let mut options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {"uid": job.uid, "resourceVersion": version},
        });
        if self.rehearse {
            options["dryRun"] = json!(["All"]);
        }
        let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}");
        match self.cluster.send_json(Method::DELETE, &path, &options).await {
            Ok(_) => Ok(Sent { unanswered: None }),
            Err(Failure::Status { code: 404, .. }) => Err(Halt::Changed(format!("job {name} is gone"))),
            Err(Failure::Status { code: 409, message, .. }) => {
                Err(Halt::Changed(format!("job {name} has changed right now: {message}")))
            }
            Err(failure @ (Failure::TimedOut(_) | Failure::Connection(_))) => {
                Ok(Sent { unanswered: Some(failure.to_string()) })
            }
            Err(failure) => Err(Halt::Failed(format!("job {name} cannot be deleted: {failure}"))),
        }
    }

    /// Writes an event on the job, else on the pod.
    ///
    /// # Errors
    /// Why there is none: it is not worth more than a word.
    async fn event(&self, act: &Act) -> Result<(), String> {
        let Some(target) = act.job.as_ref().or(act.pod.as_ref()) else { return Ok(()) };
        let event = event(act, target, (self.now)(), self.tool);
        let dry_run = if self.rehearse { "?dryRun=All" } else { "" };
        let path = format!("/api/v1/namespaces/{}/events{dry_run}", target.name.namespace);
        self.cluster.ask(&path, &event).await.map(drop).map_err(|failure| format!("no event was written: {failure}"))
    }

    /// Looks until what was predicted is seen, something else is, or the time is up.
    async fn follow(&self, act: &Act) -> Seen {
        let until = Instant::now() + self.watch;
        let (mut pause, longest) = LOOKS;
        loop {
            let found = match self.read(act).await {
                Ok(fresh) => seen(act, &fresh.facts),
                Err(why) => Seen::NotYet(why),
            };
            if !matches!(found, Seen::NotYet(_)) || Instant::now() + pause > until {
                return found;
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}

/// Says what a status code of a sidecar means.
fn refusal(code: u16, port: u16, path: &str) -> String {
    let means = match code {
        401 | 403 => "it does not let itself be asked",
        404 => "it has no such endpoint, or it is switched off",
        405 => "it wants another method",
        503 => "it cannot quit at the moment; try again later",
        500..=599 => "something is wrong with it",
        _ => "it does not do it",
    };
    format!("it answers {code} at :{port}{path}: {means}")
}

fn event(act: &Act, target: &Target, now: Timestamp, tool: &str) -> Value {
    let ObjectName { api_version, kind, namespace, name } = &target.name;
    let predicted = act.predicted.first().map_or_else(String::new, |outcome: &Outcome| outcome.steps.join("; "));
    let pod = act.pod.as_ref().map_or("", |pod| pod.name.name.as_str());
    let rules = act.rules.join(", ");
    let message = match &act.container {
        Some(container) => format!("asked {} of pod {pod} to quit ({rules}); predicted: {predicted}", container.name),
        None => format!("deleted the job ({rules}); predicted: {predicted}"),
    };
    let now = format!("{now:.0}");
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"generateName": format!("{name}."), "namespace": namespace},
        "involvedObject": {"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name, "uid": target.uid},
        "reason": "KubeguardFix", "message": message, "type": "Normal", "action": act.fix.word(),
        "source": {"component": tool}, "reportingComponent": tool, "reportingInstance": "",
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    })
}
