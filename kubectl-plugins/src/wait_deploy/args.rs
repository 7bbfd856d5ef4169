//! What to wait for and how long, as flags, and the policy that they make.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use kubeguard_core::error::{Error, Result};
use kubeguard_core::gather::selector::Selector;
use kubeguard_core::wait::policy::{
    EvidenceFloor, Hold, JobMode, Level, NodeBudget, OnFailure, Paused, PodMode, Policy, Profile,
};
use kubeguard_core::wait::reason::Reason;
use kubeguard_core::wait::rules::{Rules, Sources};

use super::NAME;
use crate::duration;

/// The quiet time of `--until stable`.
const STABLE: SignedDuration = SignedDuration::from_secs(30);

fn word<T: std::str::FromStr<Err = ()> + 'static>(
    words: &'static [&'static str],
) -> impl Fn(&str) -> std::result::Result<T, String> + Clone {
    move |text| text.parse().map_err(|()| format!("one of: {}", words.join(", ")))
}

/// What to wait for, and how long.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Wait")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct WaitArgs {
    /// How far: observed (the controller has read the spec), updated (every pod runs the new template), available,
    /// gone (no old pod is left, terminating ones included), serving (every Service routes to the new pods), stable
    /// (serving, and nothing has changed or restarted for --settle) [default: available]
    #[arg(long, value_name = "LEVEL", value_parser = word::<Level>(&["observed", "updated", "available", "gone", "serving", "stable"]))]
    pub(super) until: Option<Level>,
    /// Time for the whole wait; 0 waits for ever [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(super) timeout: Option<SignedDuration>,
    /// End when nothing made progress for this long [default: off]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(super) stall: Option<SignedDuration>,
    /// Quiet time after success [default: 0s; 30s with --until stable]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(super) settle: Option<SignedDuration>,
    /// Judge now and end
    #[arg(long)]
    pub(super) once: bool,
    /// Judge the objects of -f as they stand, contact nothing
    #[arg(long, requires = "filename", conflicts_with_all = ["once", "record", "replay"])]
    pub(super) offline: bool,
    /// The moment that counts as now with --offline [default: the current time]
    #[arg(long, value_name = "RFC3339", requires = "offline")]
    pub(super) now: Option<Timestamp>,
    /// What proves that a status belongs to its spec: any, strong (an observed generation) [default: any]
    #[arg(long, value_name = "FLOOR", value_parser = word::<EvidenceFloor>(&["any", "strong"]))]
    pub(super) evidence: Option<EvidenceFloor>,
    /// Believe a status that nothing ties to its spec
    #[arg(long)]
    pub(super) assume_observed: bool,
    /// Oldest generation that counts
    #[arg(long, value_name = "N")]
    pub(super) min_generation: Option<i64>,
    /// Uid that the object must have
    #[arg(long, value_name = "UID")]
    pub(super) uid: Option<String>,
    /// Accept a newer generation that somebody else writes meanwhile
    #[arg(long)]
    pub(super) follow: bool,
    /// Hold times and restart budget: strict, normal, patient [default: normal]
    #[arg(long, value_name = "PROFILE", value_parser = word::<Profile>(&["strict", "normal", "patient"]))]
    pub(super) profile: Option<Profile>,
    /// Wait longer before a reason fails, or for ever without a duration; repeatable
    #[arg(long, value_name = "REASON[=DURATION]", value_parser = tolerate)]
    pub(super) tolerate: Vec<(String, Hold)>,
    /// Fail at once for a reason; repeatable
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(super) fail_on: Vec<String>,
    /// End at the first failure (fast), or gather all (collect) [default: fast]
    #[arg(long, value_name = "WHEN", value_parser = word::<OnFailure>(&["fast", "collect"]))]
    pub(super) on_failure: Option<OnFailure>,
    /// What a paused object counts as: suspended, complete, failed [default: suspended]
    #[arg(long, value_name = "VERDICT", value_parser = word::<Paused>(&["suspended", "complete", "failed"]))]
    pub(super) paused: Option<Paused>,
    /// CEL that says when an object is done: self, spec, status, conditions, generation, age; repeatable, one
    /// is enough
    #[arg(long, value_name = "CEL")]
    pub(super) done_when: Vec<String>,
    /// CEL that says when an object has failed; repeatable, one is enough
    #[arg(long, value_name = "CEL")]
    pub(super) fail_when: Vec<String>,
    /// File with rules for custom resources, which come before the built-in ones; repeatable
    #[arg(long, value_name = "FILE")]
    pub(super) rules: Vec<PathBuf>,
    /// Judge custom resources by the generic rules alone
    #[arg(long)]
    pub(super) no_rule_pack: bool,
    /// How many objects a selector must match
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) min_count: usize,
    /// Objects that may fail without failing the set
    #[arg(long, value_name = "SELECTOR")]
    pub(super) optional: Option<Selector>,
    /// Nodes that may be broken, and so without a ready pod of a DaemonSet: a number, or a share as in 10%
    /// [default: 100%]
    #[arg(long, value_name = "N|P%")]
    pub(super) max_broken_nodes: Option<NodeBudget>,
    /// When a Job is done: complete, started [default: complete]
    #[arg(long, value_name = "WHEN", value_parser = word::<JobMode>(&["complete", "started"]))]
    pub(super) job_mode: Option<JobMode>,
    /// When a bare pod is done: ready, complete [default: ready]
    #[arg(long, value_name = "WHEN", value_parser = word::<PodMode>(&["ready", "complete"]))]
    pub(super) pod_mode: Option<PodMode>,
    /// Record everything that happens into a file
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Play a recording again; further options ask "what if"
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "filename", "objects", "once"])]
    pub(super) replay: Option<PathBuf>,
    /// Print the least Role for this wait and end
    #[arg(long)]
    pub(super) print_rbac: bool,
}

fn reason(text: &str) -> std::result::Result<String, String> {
    if text.parse::<Reason>().is_ok() {
        return Ok(text.to_owned());
    }
    let nearest = Reason::ALL.iter().map(|reason| (strsim::jaro_winkler(reason.word(), text), reason.word()));
    let nearest = nearest.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.88);
    match nearest {
        Some((_, word)) => Err(format!("no reason {text:?}; did you mean {word}?")),
        // A controller's own word can be any CamelCase word.
        None if text.starts_with(|c: char| c.is_ascii_uppercase()) => Ok(text.to_owned()),
        None => Err(format!("no reason {text:?}; {NAME} reasons lists them")),
    }
}

fn tolerate(text: &str) -> std::result::Result<(String, Hold), String> {
    let (word, hold) = text.split_once('=').map_or((text, None), |(word, hold)| (word, Some(hold)));
    let hold = match hold {
        None => Hold::Never,
        Some(hold) => {
            let seconds = duration::parse(hold)?.as_secs();
            Hold::Seconds(u32::try_from(seconds).map_err(|_| format!("{hold} is longer than 136 years"))?)
        }
    };
    Ok((reason(word)?, hold))
}

/// Reads a file with rules: its name, and its text.
pub(super) fn rule_file(path: &Path) -> Result<(String, String)> {
    let file = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Io { doing: "read", file: file.clone(), source })?;
    Ok((file, text))
}

impl WaitArgs {
    /// Reads and checks the rules that these flags name; `None` where they name none.
    pub(super) fn own_rules(&self) -> Result<Option<Rules>> {
        if self.rules.is_empty() && self.done_when.is_empty() && self.fail_when.is_empty() && !self.no_rule_pack {
            return Ok(None);
        }
        let files = self.rules.iter().map(|path| rule_file(path)).collect::<Result<_>>()?;
        let (done_when, fail_when) = (self.done_when.clone(), self.fail_when.clone());
        Rules::new(Sources { pack: !self.no_rule_pack, files, done_when, fail_when }).map(Some)
    }

    /// Lays what was given over `policy`; what was left out stays.
    pub(super) fn lay_over(&self, policy: &mut Policy, own_rules: Option<Rules>) {
        fn set<T: Copy>(slot: &mut T, given: Option<T>) {
            *slot = given.unwrap_or(*slot);
        }
        policy.rules = own_rules.unwrap_or_else(|| policy.rules.clone());
        set(&mut policy.until, self.until);
        set(&mut policy.evidence, self.evidence);
        set(&mut policy.profile, self.profile);
        set(&mut policy.on_failure, self.on_failure);
        set(&mut policy.paused, self.paused);
        set(&mut policy.max_broken_nodes, self.max_broken_nodes);
        set(&mut policy.job_mode, self.job_mode);
        set(&mut policy.pod_mode, self.pod_mode);
        let quiet = (self.until == Some(Level::Stable)).then_some(STABLE);
        set(&mut policy.settle, self.settle.or(quiet));
        if let Some(timeout) = self.timeout {
            policy.timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        }
        policy.stall = self.stall.filter(|stall| !stall.is_zero()).or(policy.stall);
        policy.once |= self.once;
        policy.follow |= self.follow;
        policy.assume_observed |= self.assume_observed;
        policy.holds.extend(self.tolerate.iter().cloned());
        policy.holds.extend(self.fail_on.iter().map(|word| (word.clone(), Hold::Seconds(0))));
    }

    /// Returns what these flags ask for.
    ///
    /// # Errors
    /// When a file with rules cannot be read, or an expression is wrong.
    pub(super) fn policy(&self) -> Result<Policy> {
        let mut policy = Policy::default();
        self.lay_over(&mut policy, self.own_rules()?);
        Ok(policy)
    }
}
