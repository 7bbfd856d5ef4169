//! Usage that is read anew, and the judgement that follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use jiff::Timestamp;

use crate::ecr::clusters::Clusters;
use crate::ecr::plan::Plan;
use crate::ecr::planning::{self, Answer, Inputs, KeptImage};
use crate::ecr::policy::{Cap, Caps, Policy};
use crate::ecr::snapshot::RegistrySnapshot;
use crate::ecr::state::CleanState;
use crate::error::Result;
use crate::images::{Digest, Salt};

/// Who knows what is in use, and judges by it as the plan was judged.
pub trait Evidence: Send + Sync {
    /// Usage of all declared clusters, including what could not be read.
    type Usage: Send + Sync;

    /// Reads the usage of every declared cluster anew.
    ///
    /// # Errors
    /// Only what leaves no answer at all; a cluster that cannot be read is part of the usage and refuses what it may use.
    fn usage(&self) -> impl Future<Output = Result<Self::Usage>> + Send;

    /// Returns whose manifests must be read, by repository, before a registry is judged: see
    /// [`configs_to_read`](planning::configs_to_read).
    fn configs_to_read(&self, usage: &Self::Usage, registry: &RegistrySnapshot) -> BTreeMap<String, BTreeSet<Digest>>;

    /// Judges a registry by the policy of the plan: the very function that makes plans, with the caps off, as they are
    /// counted over what is left of the plan.
    fn judge(&self, usage: &Self::Usage, registry: &RegistrySnapshot, now: Timestamp) -> Plan;
}

/// The evidence of a plan: its policy and clusters, with what they answer now.
#[derive(Debug)]
pub struct Fresh<'a, F> {
    policy: Policy,
    clusters: &'a Clusters,
    state: Option<&'a CleanState>,
    keep_lists: &'a [KeptImage],
    salt: Option<&'a Salt>,
    tool: &'a str,
    read: F,
}

impl<'a, F> Fresh<'a, F> {
    /// Takes the policy of the plan, what else the plan rested on, and how every declared cluster is asked anew.
    pub fn new(
        policy: &Policy,
        clusters: &'a Clusters,
        state: Option<&'a CleanState>,
        keep_lists: &'a [KeptImage],
        tool: &'a str,
        read: F,
    ) -> Self {
        let caps = Caps { share: Cap::Off, per_repository: Cap::Off, per_run: Cap::Off };
        Self { policy: Policy { caps, ..policy.clone() }, clusters, state, keep_lists, salt: None, tool, read }
    }

    /// Takes what names in hashed inventories are hidden with.
    #[must_use]
    pub fn with_salt(mut self, salt: Option<&'a Salt>) -> Self {
        self.salt = salt;
        self
    }
}

impl<F, A> Evidence for Fresh<'_, F>
where
    F: Fn() -> A + Send + Sync,
    A: Future<Output = Result<Vec<Answer>>> + Send,
{
    type Usage = Vec<Answer>;

    fn usage(&self) -> impl Future<Output = Result<Vec<Answer>>> + Send {
        (self.read)()
    }

    fn configs_to_read(&self, usage: &Vec<Answer>, registry: &RegistrySnapshot) -> BTreeMap<String, BTreeSet<Digest>> {
        planning::configs_to_read(&self.policy, registry, usage)
    }

    fn judge(&self, usage: &Vec<Answer>, registry: &RegistrySnapshot, now: Timestamp) -> Plan {
        planning::plan_part(&Inputs {
            policy: &self.policy,
            clusters: self.clusters,
            answers: usage,
            registry,
            state: self.state,
            keep_lists: self.keep_lists,
            salt: self.salt,
            now,
            tool: self.tool,
            offline: false,
        })
    }
}
