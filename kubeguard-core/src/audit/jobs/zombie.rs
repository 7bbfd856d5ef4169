//! Pods whose work is over while a sidecar holds them.

use jiff::{SignedDuration, Timestamp};

use super::view::{Case, known};
use crate::audit::facts::{ContainerStatus, Facts, Pod};
use crate::audit::report::Proof;
use crate::pods::{Class, Member, Role, RoleOf, SidecarTable, done};

/// A main container that has ended for good.
#[derive(Debug, Clone)]
pub struct Main<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its exit code.
    pub exit_code: i32,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// A sidecar that is not done.
#[derive(Debug, Clone)]
pub struct Holder<'a> {
    /// The container.
    pub member: Member<'a>,
    /// Why it is a sidecar.
    pub role: RoleOf<'a>,
    /// What the kubelet says of it.
    pub status: &'a ContainerStatus,
}

impl<'a> Holder<'a> {
    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.member.container.name
    }

    /// Returns the time that it has by its row of the table: it ends by itself, or somebody else ends it.
    fn own_grace(&self) -> Option<SignedDuration> {
        let row = self.role.row?;
        let given = row.report_after.parse().ok();
        given.or(row.self_ending.then_some(SignedDuration::from_mins(5)))
    }

    /// Returns whether it was started again after the work was over.
    #[must_use]
    pub fn restarts_since(&self, over: Option<Timestamp>) -> bool {
        let last = self.status.last.as_ref().and_then(|last| known(last.finished));
        let again = self.status.restarts > 0 || self.status.waiting() == Some("CrashLoopBackOff");
        again && last.zip(over).is_some_and(|(last, over)| last > over)
    }
}

/// A pod whose work is over and that sidecars hold.
#[derive(Debug, Clone)]
pub struct Zombie<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its main containers, all done.
    pub mains: Vec<Main<'a>>,
    /// Its sidecars that are not done; at least one.
    pub holders: Vec<Holder<'a>>,
    /// When the last main ended; `None` where the kubelet does not say.
    pub over_since: Option<Timestamp>,
    /// For how long, never negative.
    pub age: Option<SignedDuration>,
    /// The weakest proof among the holders.
    pub proof: Proof,
}

impl Zombie<'_> {
    /// Returns how long its holders may take to end.
    #[must_use]
    pub fn grace(&self) -> SignedDuration {
        let own: Option<Vec<SignedDuration>> = self.holders.iter().map(Holder::own_grace).collect();
        let of_pod = SignedDuration::from_secs(self.pod.spec.termination_grace_period_seconds.unwrap_or(30));
        let usual = of_pod.max(SignedDuration::from_secs(60));
        own.and_then(|own| own.into_iter().min()).unwrap_or(usual)
    }

    /// Returns whether every main succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.mains.iter().all(|main| main.exit_code == 0)
    }
}

/// Returns what holds a pod whose work is over; `None` for any other pod, and where a status is missing.
#[must_use]
pub fn zombie<'a>(facts: &'a Facts, pod: &'a Pod, table: &'a SidecarTable, now: Timestamp) -> Option<Zombie<'a>> {
    let case = Case::alive(facts, pod)?;
    let statuses = case.containers(Class::Regular)?;
    let roles = facts.roles(pod, table, now);
    let (mut mains, mut holders) = (Vec::new(), Vec::new());
    for ((member, status), role) in statuses.into_iter().zip(roles) {
        let is_done = done(member, &pod.spec, status);
        match (role.role, is_done) {
            (Role::Main, false) => return None,
            (Role::Main, true) => {
                let ended = status.terminated()?;
                let name = member.container.name.as_str();
                mains.push(Main { name, exit_code: ended.exit_code, finished: known(ended.finished) });
            }
            (Role::Sidecar, false) => holders.push(Holder { member, role, status }),
            (Role::Sidecar, true) => {}
        }
    }
    let proof = holders.iter().map(|holder| holder.role.proof).min()?;
    let ends: Option<Vec<Timestamp>> = mains.iter().map(|main| main.finished).collect();
    let over_since = ends.and_then(|ends| ends.into_iter().max());
    let age = over_since.map(|over| now.duration_since(over).max(SignedDuration::ZERO));
    (!mains.is_empty()).then_some(Zombie { pod, mains, holders, over_since, age, proof })
}
