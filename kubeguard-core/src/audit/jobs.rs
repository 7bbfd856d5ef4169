//! Which jobs will never end, why, and what ends them well: the family `ZJ`.

use super::rule::Rule;

/// The rows.
pub(super) const RULES: &[Rule] = &[];
