//! Uses that inventories recorded beside the plans, by key, and the entries that these keys mean now.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Inputs;
use super::deployed::Tags;
use super::names::Names;
use crate::images::Digest;

/// The newest recorded use of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ecr) struct Recorded {
    pub(in crate::ecr) last: Timestamp,
    pub(in crate::ecr) by: String,
}

/// Returns the newest recorded use of every entry that a key means, by repository.
pub(in crate::ecr) fn uses(inputs: &Inputs<'_>) -> HashMap<String, HashMap<Digest, Recorded>> {
    let mut used: HashMap<String, HashMap<Digest, Recorded>> = HashMap::new();
    let Some(state) = inputs.state.filter(|state| !state.uses.is_empty()) else { return used };
    let mut names = Names::of(inputs.policy, inputs.registry);
    let mut repositories = Tags::of(inputs.registry);
    for recorded in &state.uses {
        let image = names.own(&recorded.key);
        for selector in &names.meaning(&image).selectors {
            let Some(tags) = repositories.get_mut(selector.repository.as_str()) else { continue };
            let tagged = selector.tag.as_deref().and_then(|tag| tags.digest(tag));
            for digest in tagged.into_iter().chain(selector.digest) {
                let entries = used.entry(selector.repository.clone()).or_default();
                let newest = Recorded { last: recorded.last, by: recorded.by.clone() };
                let known = entries.entry(digest).or_insert_with(|| newest.clone());
                if *known < newest {
                    *known = newest;
                }
            }
        }
    }
    used
}
