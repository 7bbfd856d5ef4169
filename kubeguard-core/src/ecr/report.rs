//! Sizes and costs: what a registry holds, what would be freed, and what one kind of vote alone keeps.
//!
//! Layers are shared, so the sizes of images must not be added: a layer counts once, and is freed when everything that
//! names it goes. Where the layers of a repository are not all known its numbers are upper bounds, and say so.

mod growth;
mod layers;
mod manifests;
mod votes;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

pub use growth::Growth;
pub use manifests::{read_layers, recall_layers, unread_layers, untrusted_windows};

use self::layers::Sizes;
use super::plan::{Class, Plan, PlannedImage, VoteKind};
use super::snapshot::{RegistrySnapshot, Status};
use super::state::CleanState;
use crate::images::{Digest, RegistryId};

/// Micro-dollars that AWS takes for a GB-month in most regions: 0.10 USD. Archived bytes cost the same up to 150 TB.
pub const PRICE: u64 = 100_000;

/// Bytes of the GB that storage is billed by.
pub const GB: u64 = 1 << 30;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// A fresh judgement of the registry.
    pub plan: &'a Plan,
    /// The registry that the plan was made of, with as many layers as are known.
    pub registry: &'a RegistrySnapshot,
    /// What earlier runs saw.
    pub state: Option<&'a CleanState>,
    /// Micro-dollars for a GB-month.
    pub price: u64,
    /// Entries that one repository may have.
    pub quota: u64,
}

/// Sizes and costs of a registry. All sizes are bytes; money is in micro-dollars a month, rounded down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryReport {
    /// `kubeguard.dev/v1`.
    pub api_version: String,
    /// `RegistryReport`.
    pub kind: String,
    /// The registry's time.
    pub created_at: Timestamp,
    /// The registry.
    pub registry: RegistryId,
    /// Micro-dollars for a GB-month of 2^30 bytes.
    pub price_micro_usd: u64,
    /// Repositories, by name.
    pub items: Vec<RepositoryReport>,
    /// All of them together.
    pub summary: Amounts,
}

/// Sizes and costs of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryReport {
    /// Name.
    pub name: String,
    /// Why it could not be read, or not in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its sizes and costs.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// How fast it grows, where the state reaches back for a day or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
}

/// Sizes and costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Entries.
    pub entries: u64,
    /// Images as people count them: runnable, not archived, part of no index.
    pub roots: u64,
    /// Entries that are archived.
    pub archived: u64,
    /// Every layer is known, so that all sizes are exact; else they are upper bounds.
    pub bytes_exact: bool,
    /// What it holds.
    pub bytes: u64,
    /// What goes with the entries that the plan deletes.
    pub reclaimable_bytes: u64,
    /// What would go with everything that only quarantine, a refusal or a rule that reports keeps, the planned too.
    pub candidate_bytes: u64,
    /// What only votes of one kind keep, by kind; a kind that keeps nothing alone is left out.
    pub kept_only_by: BTreeMap<VoteKind, u64>,
    /// What it costs.
    pub cost_micro_usd: u64,
    /// What would be saved by the deletions.
    pub reclaimable_micro_usd: u64,
}

impl RegistryReport {
    /// Version of the document.
    pub const API_VERSION: &'static str = "kubeguard.dev/v1";
    /// Kind of the document.
    pub const KIND: &'static str = "RegistryReport";
}

/// Makes a report of a registry.
#[must_use]
pub fn report(inputs: &Inputs<'_>) -> RegistryReport {
    let Inputs { plan, registry, price, .. } = *inputs;
    let mut images: BTreeMap<&str, Vec<&PlannedImage>> = BTreeMap::new();
    for image in &plan.images {
        images.entry(&image.repository).or_default().push(image);
    }
    let items: Vec<RepositoryReport> = registry
        .repositories
        .iter()
        .map(|repository| {
            let name = repository.repository.name.as_str();
            let images = images.get(name).map_or(&[][..], Vec::as_slice);
            let sizes = Sizes::of(images, &repository.layers, &votes::kinds(images));
            RepositoryReport {
                name: name.to_owned(),
                problem: repository.problem.as_ref().map(|problem| problem.message.clone()),
                amounts: amounts(images, &sizes, price),
                growth: inputs.state.and_then(|state| growth::of(repository, state, plan.created_at, inputs.quota)),
            }
        })
        .collect();
    let mut summary = Amounts { bytes_exact: true, ..Amounts::default() };
    for item in &items {
        summary.add(&item.amounts);
    }
    summary.price(price);
    RegistryReport {
        api_version: RegistryReport::API_VERSION.to_owned(),
        kind: RegistryReport::KIND.to_owned(),
        created_at: plan.created_at,
        registry: registry.registry.clone(),
        price_micro_usd: price,
        items,
        summary,
    }
}

fn amounts(images: &[&PlannedImage], sizes: &Sizes, price: u64) -> Amounts {
    let parts: std::collections::HashSet<Digest> = images.iter().flat_map(|image| &image.children).copied().collect();
    let is_root = |image: &&&PlannedImage| {
        matches!(image.class, Class::Image | Class::Index)
            && image.status == Status::Active
            && !parts.contains(&image.digest)
    };
    let mut amounts = Amounts {
        entries: images.len() as u64,
        roots: images.iter().filter(is_root).count() as u64,
        archived: images.iter().filter(|image| image.status == Status::Archived).count() as u64,
        bytes_exact: sizes.exact,
        bytes: sizes.all,
        reclaimable_bytes: sizes.deleted,
        candidate_bytes: sizes.candidates,
        kept_only_by: sizes.kept_only_by.clone(),
        ..Amounts::default()
    };
    amounts.price(price);
    amounts
}

impl Amounts {
    fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.roots += other.roots;
        self.archived += other.archived;
        self.bytes_exact &= other.bytes_exact;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.reclaimable_bytes = self.reclaimable_bytes.saturating_add(other.reclaimable_bytes);
        self.candidate_bytes = self.candidate_bytes.saturating_add(other.candidate_bytes);
        for (kind, bytes) in &other.kept_only_by {
            let sum = self.kept_only_by.entry(*kind).or_default();
            *sum = sum.saturating_add(*bytes);
        }
    }

    fn price(&mut self, price: u64) {
        self.cost_micro_usd = cost(self.bytes, price);
        self.reclaimable_micro_usd = cost(self.reclaimable_bytes, price);
    }
}

/// Returns what bytes cost a month in micro-dollars, rounded down.
#[must_use]
pub fn cost(bytes: u64, price: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(price) / u128::from(GB)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
