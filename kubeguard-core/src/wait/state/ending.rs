//! When a wait ends, and whether what is known by then is an answer.

use jiff::Timestamp;

use super::{State, object_of, selects};
use crate::gather::resource::Resource;
use crate::wait::policy::OnFailure;
use crate::wait::record::Target;
use crate::wait::report::{Ended, Skipped};
use crate::wait::verdict::Verdict;
use crate::wait::view::Lookup;

impl State {
    /// Ends the wait when every answer is there, when one failure is enough, or when time is up.
    pub(super) fn conclude(&mut self) {
        if self.start.is_none() || self.targets.is_empty() {
            return;
        }
        let failed = self.items.values().any(|item| item.closed && !item.optional);
        let fast = failed && self.policy.on_failure == OnFailure::Fast;
        // One look ends when everything has been read, whatever it finds.
        if !self.policy.once && (fast || self.all_answered()) {
            self.finish(if failed { Ended::Failed } else { Ended::Done });
        } else if self.deadline().is_some_and(|deadline| self.now >= deadline) {
            self.finish(Ended::TimedOut);
        } else if self.stalls_at().is_some_and(|at| self.now >= at) {
            self.finish(Ended::Stalled);
        }
    }

    fn all_answered(&self) -> bool {
        let settled = self.items.values().all(|item| item.closed || item.has_settled(self.now, self.policy.settle));
        settled && self.targets.iter().all(|target| self.is_satisfied(target))
    }

    /// Returns whether the wait has ended, or would end now, before every answer was there: a selection that has not been
    /// read to its end may hold more, and nothing at all is no answer.
    pub(crate) fn is_open(&self, ended: Ended) -> bool {
        if self.start.is_none() {
            return self.targets.iter().any(|target| target.name.is_none() && self.matched(target) < target.min_count);
        }
        match ended {
            Ended::TimedOut | Ended::Stalled | Ended::Cut => self.targets.is_empty() || !self.all_answered(),
            _ => !self.targets.iter().all(|target| self.is_satisfied(target)),
        }
    }

    /// Returns the targets that could never be read, with what the server said last.
    pub(crate) fn unread(&self) -> Vec<Skipped> {
        let of = |target: &Target| {
            let resource = &target.resource;
            let namespace = target.namespace.clone().unwrap_or_default();
            let reading = self.view.reading(&resource.group, &resource.kind, &namespace, "list");
            let area = (resource.group.clone(), resource.kind.clone());
            let (message, _) = self.errors.get(&area).filter(|_| reading == Lookup::Unread)?;
            let object = object_of(target);
            let place = target.namespace.as_ref().map_or_else(String::new, |name| format!(" in namespace {name}"));
            Some(Skipped { object, namespace, reason: format!("cannot list {}{place}: {message}", resource.plural) })
        };
        self.targets.iter().filter_map(of).collect()
    }

    /// Returns whether a target's list has been read and a selection has found enough.
    fn is_satisfied(&self, target: &Target) -> bool {
        if target.name.is_some() {
            return true;
        }
        let Resource { group, kind, .. } = &target.resource;
        match self.view.reading(group, kind, target.namespace.as_deref().unwrap_or_default(), "list") {
            Lookup::Denied(_) => true,
            Lookup::Unread => false,
            Lookup::Known(()) => self.matched(target) >= target.min_count,
        }
    }

    pub(crate) fn matched(&self, target: &Target) -> usize {
        self.items.keys().filter(|key| self.view.get(key).is_some_and(|object| selects(target, object))).count()
    }

    /// Ends the wait now; the first end stands.
    pub fn finish(&mut self, ended: Ended) {
        if self.ended.is_none() {
            self.ended = Some((ended, self.now));
        }
    }

    /// Returns why and when the wait has ended.
    #[must_use]
    pub fn ended(&self) -> Option<(Ended, Timestamp)> {
        self.ended
    }

    /// Returns when the next judgement is due without any event: the end of a hold, of a settle time, the stall time
    /// or the deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, self.deadline(), self.stalls_at()].into_iter().flatten().min()
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.start?.checked_add(self.policy.timeout?).ok()
    }

    fn stalls_at(&self) -> Option<Timestamp> {
        let stall = self.policy.stall?;
        let open = self.items.values().filter(|item| !item.closed && item.judgement.verdict != Verdict::Complete);
        open.map(|item| item.moved_at).max().or(self.start)?.checked_add(stall).ok()
    }

    /// Returns whether everything that the judgement needs as it stands has been read, or may not be.
    pub(crate) fn has_read_all(&self) -> bool {
        self.wants.keys().all(|(resource, namespace)| {
            let namespace = namespace.as_deref().unwrap_or_default();
            !matches!(self.view.reading(&resource.group, &resource.kind, namespace, "list"), Lookup::Unread)
        })
    }
}
