//! What became of a plan: each entry's state, totals that are exact, and the exit code they give.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ecr::plan::{Decision, PlanFinding, PlannedImage, PlannedInventory, RefusalReason, Refused};
use crate::images::{Digest, RegistryId};

/// What became of one planned entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ItemState {
    /// It was there, a call of this plan named it, and it is gone.
    Deleted,
    /// It is archived by a call of this plan.
    Archived,
    /// It was gone before any call of this plan named it.
    Gone,
    /// It stays, for a [`SkipReason`].
    Skipped,
    /// A call named it and was refused, or could not be made.
    Failed,
    /// A call named it, and what became of it cannot be read.
    Unconfirmed,
    /// It would go: nothing was called, as asked.
    Due,
}

/// Why a planned entry stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SkipReason {
    /// It is used, or was lately.
    InUse,
    /// It is not any more what the plan saw.
    Changed,
    /// Something else keeps it now.
    Kept,
    /// It was born after the plan, or after what the plan knows of usage.
    TooNew,
    /// More would go than may go at once.
    CapExceeded,
    /// Without it the repository would hold no image that runs.
    LastImage,
    /// What lists it, or what it is attached to, is still there.
    ParentKept,
    /// The repository is gone, or is another of the same name.
    RepositoryGone,
    /// The run ended before it.
    NotReached,
    /// Fresh evidence refuses the repository.
    #[serde(untagged)]
    Refused(RefusalReason),
}

impl SkipReason {
    /// Returns the exit code that it gives.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InUse | Self::Changed | Self::Kept | Self::TooNew | Self::RepositoryGone => 4,
            Self::CapExceeded | Self::LastImage => 5,
            Self::Refused(reason) => refusal_code(reason),
            // The exit code of the cause counts.
            Self::ParentKept | Self::NotReached => 0,
        }
    }
}

/// The exit code of a repository in which nothing may go.
fn refusal_code(reason: RefusalReason) -> u8 {
    match reason {
        RefusalReason::AccessDenied | RefusalReason::RegistryUnreadable | RefusalReason::ManifestUnreadable => 6,
        _ => 5,
    }
}

/// Why a run ends before everything was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "`meaning` says each in words")]
pub enum StopReason {
    PlanAltered,
    PlanOffline,
    PlanExpired,
    PlanRefused,
    WrongAccount,
    WrongRegistry,
    PolicyChanged,
    LeaseHeld,
    LeaseLost,
    UsageRefused,
    ReplicationChanged,
    CapExceeded,
    Credentials,
    Verify,
    Interrupted,
}

impl StopReason {
    /// Returns it in words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::PlanAltered => "the plan is not what its hash says, or not the one that was asked for",
            Self::PlanOffline => "the plan was made from a saved registry",
            Self::PlanExpired => "the plan is too old, or from the future",
            Self::PlanRefused => "the plan itself refuses everything",
            Self::WrongAccount => "the credentials are of another account than those that made the plan",
            Self::WrongRegistry => "the plan is for another registry",
            Self::PolicyChanged => "the policy or the clusters are not those of the plan",
            Self::LeaseHeld => "somebody else cleans this registry now",
            Self::LeaseLost => "the lease could not be kept: somebody else may clean this registry now",
            Self::UsageRefused => "usage that was read anew does not prove enough",
            Self::ReplicationChanged => "deletions would now reach a registry that the plan does not know of",
            Self::CapExceeded => "more would go than may go in one run",
            Self::Credentials => "the credentials are not valid any more",
            Self::Verify => "something in use is missing that was not missing before",
            Self::Interrupted => "interrupted",
        }
    }

    /// Returns the exit code that it gives.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Verify => 1,
            Self::PolicyChanged | Self::ReplicationChanged => 4,
            Self::Credentials => 6,
            Self::Interrupted => 130,
            _ => 5,
        }
    }
}

/// Why a run ended early, with its words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Why.
    pub reason: StopReason,
    /// In words, with names.
    pub message: String,
}

impl Stop {
    /// Says why, and adds what is known beyond it.
    #[must_use]
    pub fn new(reason: StopReason, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref();
        let colon = if detail.is_empty() { "" } else { ": " };
        Self { reason, message: format!("{}{colon}{detail}", reason.meaning()) }
    }
}

/// One planned entry with what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Repository.
    pub repository: String,
    /// Digest.
    pub digest: Digest,
    /// Its planned tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What was planned.
    pub decision: Decision,
    /// What became of it.
    pub state: ItemState,
    /// Why it stays, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<SkipReason>,
    /// Who or what causes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// AWS' code, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Planned tags that are gone though the entry is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed_tags: Vec<String>,
    /// Its size, as the plan has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl Item {
    /// A planned entry that nothing became of yet.
    pub(super) fn new(image: &PlannedImage) -> Self {
        Self {
            repository: image.repository.clone(),
            digest: image.digest,
            tags: image.tags.clone(),
            decision: image.decision,
            state: ItemState::Skipped,
            reason: Some(SkipReason::NotReached),
            by: None,
            code: None,
            removed_tags: Vec::new(),
            bytes: image.bytes,
        }
    }

    fn exit_code(&self) -> u8 {
        match self.state {
            ItemState::Deleted | ItemState::Archived | ItemState::Gone | ItemState::Due => 0,
            ItemState::Skipped => self.reason.map_or(0, SkipReason::exit_code),
            ItemState::Failed | ItemState::Unconfirmed => 6,
        }
    }
}

/// How many planned entries ended how. Each counts once, whatever number of runs it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Deleted by calls of this plan.
    pub deleted: u64,
    /// Archived by calls of this plan.
    pub archived: u64,
    /// Gone before.
    pub gone: u64,
    /// Kept.
    pub skipped: u64,
    /// Refused.
    pub failed: u64,
    /// Not known.
    pub unconfirmed: u64,
    /// Those that would go, where nothing was called.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub due: u64,
    /// Bytes of what was deleted, or would be: an upper bound, as layers are shared. Indexes have no bytes of their own
    /// and are not counted.
    pub bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `CleanResult`.
    pub kind: String,
    /// sha256 of the plan.
    pub plan: String,
    /// The registry.
    pub registry: RegistryId,
    /// Whose credentials it used, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Usage as it was read anew, last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inventories: Vec<PlannedInventory>,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Nothing was called, as asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsed: bool,
    /// Why it ended early, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stop>,
    /// Repositories in which fresh evidence lets nothing go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// What is in use and missing, that was not missing before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<PlanFinding>,
    /// Every planned entry, in the plan's order.
    pub items: Vec<Item>,
    /// Calls in their order: those that were made, or would be.
    pub calls: Vec<super::Call>,
    /// Totals.
    pub summary: Totals,
    /// As the contract has it; the worst item decides.
    pub exit_code: u8,
}

/// The worst of some exit codes: an interruption, then 2, 1, 5, 4, 6, 3, 0.
pub(super) fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    const ORDER: [u8; 8] = [130, 2, 1, 5, 4, 6, 3, 0];
    codes.into_iter().min_by_key(|code| ORDER.iter().position(|known| known == code)).unwrap_or(0)
}

/// Counts items, and tells the exit code that they and an early end give.
pub(super) fn totals(items: &[Item], counts_bytes: impl Fn(&Item) -> bool, stopped: Option<&Stop>) -> (Totals, u8) {
    let mut totals = Totals::default();
    for item in items {
        let place = match item.state {
            ItemState::Deleted => &mut totals.deleted,
            ItemState::Archived => &mut totals.archived,
            ItemState::Gone => &mut totals.gone,
            ItemState::Skipped => &mut totals.skipped,
            ItemState::Failed => &mut totals.failed,
            ItemState::Unconfirmed => &mut totals.unconfirmed,
            ItemState::Due => &mut totals.due,
        };
        *place += 1;
        let goes =
            item.state == ItemState::Deleted || item.state == ItemState::Due && item.decision == Decision::Delete;
        if goes && counts_bytes(item) {
            totals.bytes = totals.bytes.saturating_add(item.bytes.unwrap_or(0));
        }
    }
    let stop = stopped.map_or(0, |stop| stop.reason.exit_code());
    (totals, worst(items.iter().map(Item::exit_code).chain([stop])))
}
