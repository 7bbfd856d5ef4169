//! On which line of a document a field is written.

use super::facts::Written;
use super::report::Source;

/// Returns where a field is written: the line of its deepest node that is there.
pub(super) fn of(written: &Written, _path: &str) -> Source {
    written.source.clone()
}
