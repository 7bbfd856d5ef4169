//! Sizes of one repository from its unique layers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ecr::plan::{Class, Decision, PlannedImage, VoteKind};
use crate::images::Digest;

/// Sizes in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Every layer is known.
    pub(super) exact: bool,
    pub(super) all: u64,
    /// Of what goes by deletion.
    pub(super) deleted: u64,
    /// Of what goes, and of what would.
    pub(super) candidates: u64,
    /// Of what only votes of one kind keep.
    pub(super) kept_only_by: BTreeMap<VoteKind, u64>,
}

/// What becomes of everything that names one layer.
struct Layer {
    bytes: u64,
    all_deleted: bool,
    all_candidates: bool,
    kept_by: BTreeSet<VoteKind>,
}

impl Sizes {
    /// Adds up the layers of a repository's images, each once. Indexes have none.
    ///
    /// Where the layers of an image are not known they may be anybody's: then its size counts whole, and the sums are upper
    /// bounds.
    pub(super) fn of(
        images: &[&PlannedImage],
        known: &BTreeMap<Digest, Vec<(Digest, u64)>>,
        kinds: &[BTreeSet<VoteKind>],
    ) -> Self {
        let mut layers: HashMap<Digest, Layer> = HashMap::new();
        let mut sizes = Self { exact: true, ..Self::default() };
        for (image, kinds) in images.iter().zip(kinds).filter(|(image, _)| image.class != Class::Index) {
            sizes.exact &= known.contains_key(&image.digest);
            // What is not known is a layer of its own, which nothing else names.
            let own = known.get(&image.digest).cloned();
            let own = own.unwrap_or_else(|| vec![(image.digest, image.bytes.unwrap_or(0))]);
            let deleted = image.decision == Decision::Delete;
            let candidate = image.decision != Decision::Keep || image.candidate;
            for (digest, bytes) in own {
                let layer = layers.entry(digest).or_insert_with(|| Layer {
                    bytes,
                    all_deleted: true,
                    all_candidates: true,
                    kept_by: BTreeSet::new(),
                });
                layer.bytes = layer.bytes.max(bytes);
                layer.all_deleted &= deleted;
                layer.all_candidates &= candidate;
                if image.decision == Decision::Keep {
                    layer.kept_by.extend(kinds);
                }
            }
        }
        for layer in layers.into_values() {
            let add = |sum: &mut u64| *sum = sum.saturating_add(layer.bytes);
            add(&mut sizes.all);
            if layer.all_deleted {
                add(&mut sizes.deleted);
            }
            if layer.all_candidates {
                add(&mut sizes.candidates);
            }
            let mut kinds = layer.kept_by.into_iter();
            if let (Some(only), None) = (kinds.next(), kinds.next()) {
                add(sizes.kept_only_by.entry(only).or_default());
            }
        }
        sizes
    }
}
