//! What calls meet on their way: counts, limits, faults, and what others do between two of them.

use std::collections::BTreeMap;
use std::time::Duration;

use kubeguard_core::images::{Digest, RegistryId};
use tokio::time::Instant;

use super::operations::Refusal;
use super::store::Store;

/// What goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 500 with `ServerException`; nothing has happened.
    Server,
    /// The connection is closed without an answer, *after* the call has had its effect.
    Lost,
    /// The connection is closed without an answer; nothing has happened.
    Reset,
    /// `ThrottlingException`.
    Throttled,
    /// `AccessDeniedException`.
    AccessDenied,
    /// `ExpiredTokenException`.
    Expired,
    /// Any other refusal, by its code.
    Refused(&'static str),
    /// 500 with a page of HTML: the endpoint does not know the operation.
    UnknownOperation,
    /// The answer is no JSON.
    Garbage,
    /// The answer comes after this time.
    Slow(Duration),
    /// Items that name this digest, or a tag of it, are refused with this code; the others go through.
    Item(Digest, &'static str),
    /// The next page is this page once more, under another token.
    DuplicatePage,
    /// The next page's token is the one of this page.
    RepeatedToken,
    /// The last page has a token: an empty one.
    EmptyToken,
    /// One more row, without a digest.
    NamelessRow,
}

/// Which calls of an operation are meant, counted from when this was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// This one, from 1.
    Nth(u64),
    /// The first so many.
    First(u64),
    /// Every n-th.
    Every(u64),
    /// All.
    All,
}

impl Calls {
    const fn takes(self, number: u64) -> bool {
        match self {
            Self::Nth(nth) => number == nth,
            Self::First(count) => number <= count,
            Self::Every(step) => number.is_multiple_of(step),
            Self::All => true,
        }
    }
}

/// A call as the server saw it, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// As in `DescribeImages`.
    pub operation: &'static str,
    /// The registry that answers.
    pub registry: RegistryId,
    /// `registryId` as it was sent.
    pub registry_id: Option<String>,
    /// The repository it names.
    pub repository: Option<String>,
    /// ARN of the caller; empty for a key that is not known.
    pub caller: String,
    /// How many ids it names.
    pub ids: usize,
}

struct Rule {
    /// `*` for any.
    operation: String,
    repository: Option<String>,
    calls: Calls,
    fault: Fault,
    met: u64,
}

type Action = Box<dyn FnMut(&mut Store) + Send>;

struct Hook {
    operation: String,
    /// Calls until it is due.
    left: u64,
    action: Action,
}

struct Bucket {
    per_second: f64,
    burst: f64,
    filled: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.at).as_secs_f64() * self.per_second;
        self.filled = (self.filled + earned).min(self.burst);
        self.at = now;
        let enough = self.filled >= 1.0;
        if enough {
            self.filled -= 1.0;
        }
        enough
    }
}

type Script = Box<dyn FnMut(&mut Store, &Seen) + Send>;

#[derive(Default)]
pub(super) struct Traffic {
    pub(super) seen: Vec<Seen>,
    rules: Vec<Rule>,
    hooks: Vec<Hook>,
    buckets: BTreeMap<String, Bucket>,
    script: Option<Script>,
}

/// What a call has met before its operation runs.
#[derive(Default)]
pub(super) struct Met {
    pub(super) delay: Duration,
    /// The call ends here.
    pub(super) end: Option<End>,
    /// The answer does not arrive.
    pub(super) lost: bool,
    /// Items that are refused.
    pub(super) items: Vec<(Digest, &'static str)>,
    /// What happens to the answer's page.
    pub(super) page: Option<Fault>,
}

/// How a call ends without its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Refused(Refusal),
    Reset,
    UnknownOperation,
    Garbage,
}

impl Store {
    /// Lets calls of an operation go wrong; `*` means any operation.
    pub fn fail(&mut self, operation: &str, calls: Calls, fault: Fault) {
        let operation = operation.to_owned();
        self.traffic.rules.push(Rule { operation, repository: None, calls, fault, met: 0 });
    }

    /// Lets calls of an operation that name a repository go wrong.
    pub fn fail_in(&mut self, repository: &str, operation: &str, calls: Calls, fault: Fault) {
        let (operation, repository) = (operation.to_owned(), Some(repository.to_owned()));
        self.traffic.rules.push(Rule { operation, repository, calls, fault, met: 0 });
    }

    /// Denies everything that names a repository; its registry still lists it.
    pub fn deny(&mut self, repository: &str) {
        self.fail_in(repository, "*", Calls::All, Fault::AccessDenied);
    }

    /// Lets everything go well again. What others will do stays.
    pub fn heal(&mut self) {
        self.traffic.rules.clear();
        self.traffic.buckets.clear();
    }

    /// Allows an operation so many calls a second, after a burst; `*` gives all operations one common limit.
    pub fn limit(&mut self, operation: &str, per_second: u32, burst: u32) {
        let (per_second, burst) = (f64::from(per_second), f64::from(burst));
        let bucket = Bucket { per_second, burst, filled: burst, at: Instant::now() };
        self.traffic.buckets.insert(operation.to_owned(), bucket);
    }

    /// Does something right before the n-th call of an operation from now on, counted from 1.
    pub fn before(&mut self, operation: &str, nth: u64, action: impl FnOnce(&mut Self) + Send + 'static) {
        let mut action = Some(action);
        let once = move |store: &mut Self| {
            if let Some(action) = action.take() {
                action(store);
            }
        };
        self.traffic.hooks.push(Hook { operation: operation.to_owned(), left: nth, action: Box::new(once) });
    }

    /// Does something right before every call, until another script takes its place.
    pub fn before_every_call(&mut self, script: impl FnMut(&mut Self, &Seen) + Send + 'static) {
        self.traffic.script = Some(Box::new(script));
    }

    /// Returns every call so far, in order.
    #[must_use]
    pub fn seen(&self) -> &[Seen] {
        &self.traffic.seen
    }

    /// Returns how many calls of an operation were made, whatever became of them.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.traffic.seen.iter().filter(|seen| seen.operation == operation).count()
    }

    /// Notes a call, lets others act, and decides what it meets.
    pub(super) fn meet(&mut self, seen: Seen) -> Met {
        if let Some(mut script) = self.traffic.script.take() {
            script(self, &seen);
            // It may have put another in its place.
            self.traffic.script.get_or_insert(script);
        }
        for mut action in self.traffic.due(seen.operation) {
            action(self);
        }
        let mut met = self.traffic.met(&seen);
        if met.end.is_none() && !self.traffic.pass(seen.operation) {
            met.end = Some(End::Refused(Refusal::throttled()));
        }
        self.traffic.seen.push(seen);
        met
    }
}

impl Traffic {
    fn due(&mut self, operation: &str) -> Vec<Action> {
        let mut due = Vec::new();
        let mut waiting = Vec::new();
        for mut hook in self.hooks.drain(..) {
            hook.left -= u64::from(hook.operation == operation || hook.operation == "*");
            if hook.left == 0 {
                due.push(hook.action);
            } else {
                waiting.push(hook);
            }
        }
        self.hooks = waiting;
        due
    }

    fn pass(&mut self, operation: &str) -> bool {
        // Both, not one or the other: a call that its own limit stops has used the common one.
        let common = self.buckets.get_mut("*").is_none_or(Bucket::take);
        let own = self.buckets.get_mut(operation).is_none_or(Bucket::take);
        common && own
    }

    fn met(&mut self, seen: &Seen) -> Met {
        let mut met = Met::default();
        for rule in &mut self.rules {
            let named = rule.repository.is_none() || rule.repository == seen.repository;
            if !named || (rule.operation != "*" && rule.operation != seen.operation) {
                continue;
            }
            rule.met += 1;
            if !rule.calls.takes(rule.met) {
                continue;
            }
            let end = match rule.fault {
                Fault::Server => End::Refused(Refusal::server()),
                Fault::Reset => End::Reset,
                Fault::Throttled => End::Refused(Refusal::throttled()),
                Fault::AccessDenied => End::Refused(Refusal::denied(seen)),
                Fault::Expired => End::Refused(Refusal::expired()),
                Fault::Refused(code) => End::Refused(Refusal::new(code, "as the test wants it")),
                Fault::UnknownOperation => End::UnknownOperation,
                Fault::Garbage => End::Garbage,
                Fault::Lost => {
                    met.lost = true;
                    continue;
                }
                Fault::Slow(time) => {
                    met.delay += time;
                    continue;
                }
                Fault::Item(digest, code) => {
                    met.items.push((digest, code));
                    continue;
                }
                Fault::DuplicatePage | Fault::RepeatedToken | Fault::EmptyToken | Fault::NamelessRow => {
                    met.page = Some(rule.fault.clone());
                    continue;
                }
            };
            met.end.get_or_insert(end);
        }
        met
    }
}
