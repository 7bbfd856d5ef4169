//! Which rules run.

use super::rule::Rule;

/// What `--select` and `--ignore` say: ids, or prefixes of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Rules that run; all where empty.
    pub select: Vec<String>,
    /// Rules that do not.
    pub ignore: Vec<String>,
}

/// An id, or prefix of ids, that no rule has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no rule is called {id:?}{}", did_you_mean(similar))]
pub struct UnknownRule {
    /// What was asked for.
    pub id: String,
    /// Ids that look like it, the most similar first.
    pub similar: Vec<String>,
}

fn did_you_mean(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!("; did you mean {}?", similar.join(" or ")) }
}

/// More suggestions than these are no help.
const MOST_SIMILAR: usize = 3;

impl Selection {
    /// Returns the rules that are meant, in the order of `rules`.
    ///
    /// Rules that are opt-in are meant only by their whole id; others may find more when they are.
    ///
    /// # Errors
    /// [`UnknownRule`] for an id or prefix that no rule has.
    pub fn of<'a>(&self, rules: &'a [Rule]) -> Result<Vec<&'a Rule>, UnknownRule> {
        for id in self.select.iter().chain(&self.ignore) {
            if !is_known(id, rules) {
                return Err(UnknownRule { id: id.clone(), similar: similar(id, rules) });
            }
        }
        let is_asked = |rule: &Rule| self.select.iter().any(|id| id == rule.id);
        let meant = |rule: &&Rule| {
            let chosen = match (rule.opt_in, self.select.is_empty()) {
                (true, _) => is_asked(rule),
                (false, empty) => empty || self.select.iter().any(|id| rule.id.starts_with(id.as_str())),
            };
            chosen && !self.ignore.iter().any(|id| rule.id.starts_with(id.as_str()))
        };
        let form = |rule: &'a Rule| rule.asked.filter(|_| is_asked(rule)).unwrap_or(rule);
        Ok(rules.iter().filter(meant).map(form).collect())
    }
}

/// Returns whether a rule has this id, or begins with it.
pub(super) fn is_known(id: &str, rules: &[Rule]) -> bool {
    !id.is_empty() && rules.iter().any(|rule| rule.id.starts_with(id))
}

fn similar(id: &str, rules: &[Rule]) -> Vec<String> {
    let wanted = id.to_uppercase();
    let mut nearest: Vec<(usize, &str)> = rules
        .iter()
        .map(|rule| {
            let by_id = strsim::damerau_levenshtein(rule.id, &wanted);
            let by_name = strsim::damerau_levenshtein(rule.name, &id.to_lowercase());
            let cut = rule.id.get(..wanted.len()).map_or(usize::MAX, |cut| strsim::damerau_levenshtein(cut, &wanted));
            (by_id.min(by_name).min(cut), rule.id)
        })
        .filter(|(distance, _)| *distance <= 1 + id.len() / 4)
        .collect();
    nearest.sort_unstable();
    if nearest.first().is_some_and(|(distance, _)| *distance == 0) {
        nearest.retain(|(distance, _)| *distance == 0);
    }
    nearest.into_iter().take(MOST_SIMILAR).map(|(_, id)| id.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MORE: Rule = Rule { id: "PA201", name: "named-port-unresolved", opt_in: true, ..Rule::BASE };
    const RULES: &[Rule] = &[
        Rule { opt_in: false, asked: Some(&MORE), ..MORE },
        Rule { id: "PA103", name: "no-liveness", opt_in: true, ..Rule::BASE },
        Rule { id: "HPA-001", name: "cannot-scale", ..Rule::BASE },
    ];

    fn ids(select: &[&str], ignore: &[&str]) -> Vec<&'static str> {
        let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let selection = Selection { select: own(select), ignore: own(ignore) };
        selection.of(RULES).unwrap().iter().map(|rule| rule.id).collect()
    }

    #[test]
    fn ids_and_prefixes_select_and_opt_in_rules_need_their_whole_id() {
        assert_eq!(ids(&[], &[]), ["PA201", "HPA-001"]);
        assert_eq!(ids(&["PA"], &[]), ["PA201"]);
        assert_eq!(ids(&["PA103"], &[]), ["PA103"]);
        assert_eq!(ids(&[], &["HPA-"]), ["PA201"]);
    }

    #[test]
    fn a_rule_that_finds_more_when_it_is_asked_for_is_asked_for_by_its_whole_id() {
        let finds_more = |select: &[&str]| {
            let select = select.iter().map(|id| (*id).to_owned()).collect();
            let chosen = Selection { select, ignore: Vec::new() }.of(RULES).unwrap();
            let found: Vec<_> = chosen.iter().filter(|rule| rule.id == "PA201").map(|rule| rule.opt_in).collect();
            found
        };
        assert_eq!((finds_more(&[]), finds_more(&["PA", "PA20"])), (vec![false], vec![false]));
        assert_eq!((finds_more(&["PA201"]), finds_more(&["PA", "PA201"])), (vec![true], vec![true]));
    }

    #[test]
    fn an_id_that_no_rule_has_is_an_error_with_the_nearest() {
        let told =
            |id: &str| Selection { select: vec![id.to_owned()], ignore: Vec::new() }.of(RULES).unwrap_err().to_string();
        assert_eq!(told("PA210"), r#"no rule is called "PA210"; did you mean PA201 or PA103?"#);
        assert_eq!(told("pa201"), r#"no rule is called "pa201"; did you mean PA201?"#);
        assert_eq!(told("named-port-unresolvd"), r#"no rule is called "named-port-unresolvd"; did you mean PA201?"#);
        assert_eq!(told("XYZ-999"), r#"no rule is called "XYZ-999""#);
    }
}
