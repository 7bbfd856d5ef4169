//! What an action would lead to: the kubelet and the Job controller as functions.

use jiff::{SignedDuration, Timestamp};

use super::books::{Books, Entry, Failure};
use super::phase::{Phase, phase};
use super::view::{JobState, cron_of, deadline, job_of, moment, span, started, state};
use crate::audit::facts::{Facts, Of, Pod, State};
use crate::audit::kinds::{Job, PodFailurePolicyRule};
use crate::pods::{Class, Member, SidecarTable, Switch, members, restarts};

/// What somebody may do about a pod that does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Nothing.
    Wait,
    /// Ask a container to quit by its own endpoint.
    Quit(&'a str),
    /// Send SIGTERM to a container.
    Signal(&'a str),
    /// Set the job's deadline, counted from its start.
    Deadline(SignedDuration),
    /// Delete the job with its pods.
    DeleteJob,
    /// Delete the pod alone.
    DeletePod,
    /// Change the template that later runs are made from.
    TemplatePatch,
}

impl Action<'_> {
    /// Returns its name, as in `delete-job`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Quit(_) => "quit",
            Self::Signal(_) => "signal",
            Self::Deadline(_) => "deadline",
            Self::DeleteJob => "delete-job",
            Self::DeletePod => "delete-pod",
            Self::TemplatePatch => "template-patch",
        }
    }
}

/// How a job stands after an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It succeeds.
    Complete,
    /// It fails.
    Failed,
    /// It has not ended.
    Progressing,
    /// It waits until somebody resumes it.
    Suspended,
    /// It is gone.
    Missing,
}

impl Ends {
    /// Returns the word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Progressing => "progressing",
            Self::Suspended => "suspended",
            Self::Missing => "missing",
        }
    }
}

/// What an action leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What happens, in its order.
    pub steps: Vec<String>,
    /// The pod's last phase; `None` when it is gone.
    pub pod_phase: Option<Phase>,
    /// How the job stands then; for a pod without a job, whether the pod ends.
    pub job: Ends,
    /// Whether work runs again; `None` where that cannot be told.
    pub runs_again: Option<bool>,
    /// What was assumed.
    pub assumptions: Vec<String>,
}

/// Returns what an action leads to: one outcome per branch where an exit code is not known.
#[must_use]
pub fn outcome(facts: &Facts, pod: &Pod, action: Action<'_>, table: &SidecarTable, now: Timestamp) -> Vec<Outcome> {
    let model = Model::of(facts, pod, table, now);
    match action {
        Action::Wait => vec![model.wait()],
        Action::Quit(name) => model.end(name, true),
        Action::Signal(name) => model.end(name, false),
        Action::Deadline(after) => vec![model.deadline(after)],
        Action::DeleteJob => vec![deletion(facts, model.job, now)],
        Action::DeletePod => model.delete_pod(),
        Action::TemplatePatch => {
            vec![
                model.stays(
                    "this job stays as it is: its template cannot change; the next run is made from the new one",
                ),
            ]
        }
    }
}

/// Returns what the deletion of a job leads to.
pub(super) fn deletion(facts: &Facts, job: Option<&Of<Job>>, now: Timestamp) -> Outcome {
    let mut steps = vec!["the job and its pods are deleted, and with them the record of the run".to_owned()];
    let cron = job.and_then(|job| cron_of(facts, job));
    if let Some((cron, spec)) = cron.and_then(|cron| Some((cron, cron.spec.as_ref().filter(|spec| !spec.suspend)?))) {
        let zone = (!spec.time_zone.is_empty()).then_some(spec.time_zone.as_str());
        if let Ok(schedule) = crate::cron::Schedule::parse(&spec.schedule, zone) {
            // One that forbids overlap has not counted the runs that it could not start: it starts the latest of them.
            let last = moment(cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref()));
            let since = last.or(cron.meta.created).map(|since| match spec.starting_deadline_seconds {
                Some(seconds) => since.max(now.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(since)),
                None => since,
            });
            let waits = spec.concurrency_policy == "Forbid"
                && since.and_then(|since| schedule.next(since)).is_some_and(|missed| missed <= now);
            if waits {
                steps.push(format!("CronJob {} starts the run that it missed at once", cron.meta.name));
            } else if let Some(next) = schedule.next(now) {
                steps.push(format!("the next run starts at {next}"));
            }
        }
    }
    Outcome { steps, pod_phase: None, job: Ends::Missing, runs_again: Some(false), assumptions: Vec::new() }
}

struct Model<'a> {
    pod: &'a Pod,
    job: Option<&'a Of<Job>>,
    books: Option<Books<'a>>,
    table: &'a SidecarTable,
    now: Timestamp,
}

impl<'a> Model<'a> {
    fn of(facts: &'a Facts, pod: &'a Pod, table: &'a SidecarTable, now: Timestamp) -> Self {
        let job = job_of(facts, pod);
        let books = job.and_then(|job| Books::of(facts, job, pod, now));
        Self { pod, job, books, table, now }
    }

    fn stays(&self, step: &str) -> Outcome {
        let pod_phase = self.pod.status.as_ref().map(|status| phase(&self.pod.spec, status, false));
        let steps = vec![step.to_owned()];
        Outcome { steps, pod_phase, job: Ends::Progressing, runs_again: Some(false), assumptions: Vec::new() }
    }

    /// Returns what holds whatever is done to the pod.
    fn decided(&self) -> Option<Outcome> {
        let entry = self.books.as_ref()?.decided()?;
        Some(entered(entry, self.pod.status.as_ref().map(|status| phase(&self.pod.spec, status, false))))
    }

    fn is_suspended(&self) -> bool {
        self.job.is_some_and(|job| state(job) == JobState::Suspended)
    }

    fn wait(&self) -> Outcome {
        if let Some(outcome) = self.decided() {
            return outcome;
        }
        if self.is_suspended() {
            let stays = self.stays("the job is suspended: its pods are deleted, and its deadline does not run");
            return Outcome { pod_phase: None, job: Ends::Suspended, runs_again: None, ..stays };
        }
        match self.job.and_then(deadline) {
            Some(end) => Outcome { job: Ends::Failed, ..self.stays(&format!("DeadlineExceeded at {end}")) },
            None => self.stays("nothing will end it: it has no deadline"),
        }
    }

    fn deadline(&self, after: SignedDuration) -> Outcome {
        if let Some(outcome) = self.decided() {
            return outcome;
        }
        if self.is_suspended() {
            let stays = self.stays("the job is suspended: its deadline begins when it is resumed");
            return Outcome { pod_phase: None, job: Ends::Suspended, runs_again: None, ..stays };
        }
        let end = self.job.and_then(started).and_then(|start| start.checked_add(after).ok());
        let steps = match end {
            Some(end) if end <= self.now => {
                vec![format!("DeadlineExceeded at once: {end} is past"), "its pods are deleted".to_owned()]
            }
            Some(end) => vec![format!("DeadlineExceeded at {end}"), "its pods are deleted".to_owned()],
            None => vec![format!("DeadlineExceeded {} after its start", span(after))],
        };
        Outcome { steps, pod_phase: None, job: Ends::Failed, runs_again: Some(false), assumptions: Vec::new() }
    }

    /// Returns the exit codes that a container may end with, and what is assumed of them.
    fn codes(&self, member: Member<'_>, quits: bool) -> (Vec<i32>, Option<String>) {
        let container = member.container;
        let row = self.table.find(&container.name, &container.image).and_then(Result::ok);
        let exit = row.and_then(|row| row.exit.as_ref());
        let zero = |switch: &Switch| {
            !switch.arg.is_empty()
                && container.command.iter().chain(&container.args).any(|arg| is_flag(arg, &switch.arg))
        };
        let code = exit.and_then(|exit| match quits {
            true => exit.quit,
            false if exit.term_zero_with.as_ref().is_some_and(zero) => Some(0),
            false => exit.term,
        });
        if let Some(code) = code {
            return (vec![code], None);
        }
        let other = if quits { 1 } else { 143 };
        (vec![0, other], Some(format!("the exit code of {} is not known", container.name)))
    }

    fn end(&self, name: &str, quits: bool) -> Vec<Outcome> {
        let Some(member) = members(&self.pod.spec).find(|member| member.container.name == name) else {
            return Vec::new();
        };
        let (codes, assumed) = self.codes(member, quits);
        let outcomes = codes.into_iter().map(|code| {
            let mut outcome = self.ended(member, code);
            outcome.assumptions.extend(assumed.clone());
            outcome
        });
        outcomes.collect()
    }

    /// Returns what follows when a container ends with a code.
    fn ended(&self, member: Member<'_>, code: i32) -> Outcome {
        let name = &member.container.name;
        let spec = &self.pod.spec;
        let probed = member.container.liveness_probe.is_some() && restarts(member, spec, 1);
        if let Some(outcome) = self.decided() {
            return outcome;
        }
        if restarts(member, spec, code) || probed {
            let step = format!("{name} ends with {code} and is started again: the pod stays");
            let mut outcome = self.stays(&step);
            // Under OnFailure that counts, whichever container it is.
            if let Some(entry) = self.books.as_ref().and_then(Books::restarted) {
                outcome.steps.push(entry.step);
                outcome.job = entry.job;
            }
            return outcome;
        }
        let Some(status) = &self.pod.status else { return self.stays("nothing is known of the pod") };
        let mut status = status.clone();
        let list = if member.class == Class::Regular { &mut status.containers } else { &mut status.init };
        if let Some(found) = list.iter_mut().find(|found| found.name == *name.as_str()) {
            let ended = crate::audit::facts::Ended { exit_code: code, finished: Some(self.now), ..Default::default() };
            found.state = State::Terminated(Box::new(ended));
        }
        let then = phase(spec, &status, false);
        let mut outcome = match then {
            Phase::Succeeded => self.succeeds(),
            Phase::Failed => self.fails(Failure::Ended(&status)),
            Phase::Pending | Phase::Running => self.stays("other containers still hold the pod"),
        };
        outcome.pod_phase = Some(then);
        outcome.steps.insert(0, format!("{name} ends with {code}"));
        if then != Phase::Running && then != Phase::Pending {
            outcome.steps.insert(1, format!("pod {}", then.as_str()));
        }
        outcome
    }

    fn succeeds(&self) -> Outcome {
        let Some(books) = &self.books else {
            let steps = vec!["it has no job".to_owned()];
            let phase = Some(Phase::Succeeded);
            let assumptions = Vec::new();
            return Outcome { steps, pod_phase: phase, job: Ends::Complete, runs_again: Some(false), assumptions };
        };
        entered(books.succeeds(), Some(Phase::Succeeded))
    }

    fn fails(&self, how: Failure<'_>) -> Outcome {
        let Some(books) = &self.books else {
            let steps = vec!["it has no job that would try again".to_owned()];
            let phase = Some(Phase::Failed);
            let assumptions = Vec::new();
            return Outcome { steps, pod_phase: phase, job: Ends::Failed, runs_again: Some(false), assumptions };
        };
        entered(books.fails(how), Some(Phase::Failed))
    }

    fn delete_pod(&self) -> Vec<Outcome> {
        let Some(books) = &self.books else {
            let stays = self.stays("the pod is deleted; nothing known makes it again");
            return vec![Outcome { pod_phase: None, job: Ends::Missing, runs_again: None, ..stays }];
        };
        if !books.waits_for_the_end() {
            let mut outcome = self.fails(Failure::Deleted);
            outcome.steps.insert(0, "a pod that is being deleted counts as failed at once".to_owned());
            outcome.pod_phase = None;
            return vec![outcome];
        }
        // The last phase counts: what every container that still runs ends with.
        let mut branches: Vec<(crate::audit::facts::PodStatus, Vec<String>)> =
            self.pod.status.iter().map(|status| (status.clone(), Vec::new())).collect();
        for member in members(&self.pod.spec).filter(|member| member.class == Class::Regular) {
            let name = member.container.name.as_str();
            let done = |status: &crate::audit::facts::PodStatus| {
                status.container(name).is_some_and(|found| found.terminated().is_some())
            };
            if branches.iter().all(|(status, _)| done(status)) {
                continue;
            }
            let (codes, assumed) = self.codes(member, false);
            branches = branches
                .into_iter()
                .flat_map(|(status, notes)| {
                    codes.iter().map(move |code| (status.clone(), notes.clone(), *code)).collect::<Vec<_>>()
                })
                .map(|(mut status, mut notes, code)| {
                    if let Some(found) = status.containers.iter_mut().find(|found| found.name == *name) {
                        let ended = crate::audit::facts::Ended { exit_code: code, ..Default::default() };
                        found.state = State::Terminated(Box::new(ended));
                    }
                    notes.extend(assumed.clone());
                    (status, notes)
                })
                .take(4)
                .collect();
        }
        let outcomes = branches.into_iter().map(|(status, notes)| {
            let then = phase(&self.pod.spec, &status, true);
            let mut outcome =
                if then == Phase::Succeeded { self.succeeds() } else { self.fails(Failure::Ended(&status)) };
            outcome.steps.insert(0, format!("the pod ends as {} and that counts", then.as_str()));
            outcome.pod_phase = None;
            outcome.assumptions.extend(notes);
            outcome
        });
        outcomes.collect()
    }
}

/// Returns what the controller's books say as an outcome.
fn entered(entry: Entry, pod_phase: Option<Phase>) -> Outcome {
    let Entry { step, job, runs_again, assumption } = entry;
    Outcome { steps: vec![step], pod_phase, job, runs_again, assumptions: assumption.into_iter().collect() }
}

/// Returns whether an argument is a switch that is on.
pub(super) fn is_flag(arg: &str, flag: &str) -> bool {
    let bare = |text: &str| text.trim_start_matches('-').to_owned();
    let (name, value) = arg.split_once('=').map_or((arg, "true"), |(name, value)| (name, value));
    arg.starts_with('-') && bare(name) == bare(flag) && !matches!(value, "false" | "0")
}

/// Returns whether a rule of a podFailurePolicy is about a pod that has failed.
///
/// Exit codes: of the named container or of any, only of those that did not end with 0.
pub(super) fn matches(rule: &PodFailurePolicyRule, status: &crate::audit::facts::PodStatus) -> bool {
    if let Some(codes) = &rule.on_exit_codes {
        return status.containers.iter().chain(&status.init).any(|container| {
            let named = codes.container_name.is_empty() || container.name == *codes.container_name.as_str();
            let code = container.terminated().map_or(0, |ended| ended.exit_code);
            let listed = codes.values.contains(&code);
            named && code != 0 && if codes.operator == "In" { listed } else { codes.operator == "NotIn" && !listed }
        });
    }
    rule.on_pod_conditions.iter().any(|pattern| {
        status
            .conditions
            .iter()
            .any(|found| found.kind == *pattern.r#type.as_str() && found.status == *pattern.status.as_str())
    })
}
